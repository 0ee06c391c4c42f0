//! What an operator does while connections are under way: they go on.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::net::{Shutdown, TcpStream};
use std::thread;

use localack_tun::control::protocol::{Answer, PolicySet, Request};

use crate::common::privileged;
use crate::content::{receive, send};
use crate::world::{BOTH_WAYS, World, carry_both_ways, number, until};

pub(crate) const LINK: &str = "--delay 40ms --rate 40mbit --queue 1mib --loss 0.5%";

/// Streams both ways over each connection until `work` is done, or for so many octets, whichever is
/// longer; each is whole.
pub(crate) fn meanwhile(connections: &[[TcpStream; 2]], octets: u64, work: impl FnOnce()) {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for [near, far] in connections {
            for (from, to) in [(near, far), (far, near)] {
                let ended = &ended;
                scope.spawn(move || {
                    let mut sent = Vec::new();
                    while sent.is_empty() || !ended.load(Ordering::Relaxed) {
                        let number = number();
                        send(from, number, octets).unwrap();
                        sent.push(number);
                    }
                    from.shutdown(Shutdown::Write).unwrap();
                    sent
                });
                scope.spawn(move || receive_several(to, octets));
            }
        }
        work();
        ended.store(true, Ordering::Relaxed);
    });
}

/// Streams of so many octets, one after the other, until the end.
fn receive_several(from: &TcpStream, octets: u64) {
    let mut several = 0;
    loop {
        let received = crate::content::receive_at_most(from, octets);
        let Some(number) = received.number else {
            assert_eq!(received.error, None);
            break;
        };
        received.is_whole(number, octets);
        several += 1;
    }
    assert!(several > 0);
}

#[test]
fn policies_change_each_tenth_of_a_second() {
    if !privileged() {
        return;
    }
    let mut world = World::over("flip", LINK, BOTH_WAYS);
    let connections: Vec<_> = (0..6)
        .map(|n| world.connect(world.servers[n % 2]))
        .collect();
    meanwhile(&connections, 200_000, || {
        let policies = [
            ("bypass", "local-ack", "cubic"),
            ("local-ack", "bypass", "bbr"),
            ("bypass", "bypass", "reno"),
            ("local-ack", "local-ack", "cubic"),
        ];
        for (out, back, controller) in policies.iter().cycle().take(40) {
            let toml = format!(
                "[[policy]]\nname = \"all\"\ninner_to_outer = \"{out}\"\nouter_to_inner = \"{back}\"\n\
                 controller = \"{controller}\"\n"
            );
            let answer = world.ask(Request::PolicySet(PolicySet { toml, before: None }));
            assert!(matches!(answer, Answer::PolicySet(_)), "{answer:?}");
            thread::sleep(Duration::from_millis(100));
        }
    });
    world.stop();
}

#[test]
fn draining_stopping_and_starting_again() {
    if !privileged() {
        return;
    }
    let mut world = World::over("drain", LINK, BOTH_WAYS);
    let connections: Vec<_> = (0..4)
        .map(|n| world.connect(world.servers[n % 2]))
        .collect();
    meanwhile(&connections, 300_000, || {
        thread::sleep(Duration::from_millis(700));
        assert!(matches!(world.ask(Request::Drain), Answer::Drain));
        until("everything is delivered", || {
            match world.ask(Request::Status) {
                Answer::Status(status) => status.state == "drained",
                other => panic!("{other:?}"),
            }
        });
        thread::sleep(Duration::from_millis(300));
        world.stop();
        thread::sleep(Duration::from_millis(300));
        world.start();
        // The old ones go on without it, new ones with it.
        let served = world.connect(world.servers[1]);
        carry_both_ways(&served, 300_000);
        assert_eq!(world.counter("engine", "flows-adopted"), 1);
        // And once more in the middle of everything, without a warning.
        let late = world.connect(world.servers[0]);
        let number = number();
        thread::scope(|scope| {
            scope.spawn(|| {
                send(&late[0], number, 2_000_000).unwrap();
                late[0].shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(|| receive(&late[1]).is_whole(number, 2_000_000));
            thread::sleep(Duration::from_millis(300));
            world.stop();
        });
        world.start();
    });
    world.stop();
}
