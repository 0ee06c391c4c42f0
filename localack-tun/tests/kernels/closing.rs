//! How connections end: one way at a time, by resets, with patience or without.

use core::net::IpAddr;
use core::time::Duration;
use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::thread;

use localack_tun::clock::Clock;
use socket2::SockRef;

use crate::common::privileged;
use crate::content::{receive, receive_at_most, send};
use crate::world::{BOTH_WAYS, World, carry, number, until};

const LINK: &str = "--delay 30ms --rate 100mbit --queue 2mib";

/// Lets each scenario run over either IP version, all at once.
fn each(world: &World, scenarios: &[fn(&World, IpAddr)]) {
    thread::scope(|scope| {
        for server in world.servers {
            for scenario in scenarios {
                scope.spawn(move || scenario(world, server));
            }
        }
    });
}

#[test]
fn ends_are_as_they_were_meant() {
    if !privileged() {
        return;
    }
    let scenarios: [fn(&World, IpAddr); 5] = [
        the_client_closes_its_half,
        the_server_closes_its_half,
        a_close_with_unread_octets,
        a_reset_by_the_client,
        a_close_that_waits,
    ];
    // First as it is without the program: what is asked of it is nothing else.
    let mut world = World::bare_over("ends", LINK, BOTH_WAYS);
    each(&world, &scenarios);
    each(&world, &[a_reset_by_the_server]);
    world.start();
    each(&world, &scenarios);
    until("no connection is open any more", || {
        world.flows().iter().all(|flow| flow.state != "open")
    });
    assert_eq!(world.counter("engine", "octets-lost"), 0);
    // Only now: what a receiver refuses is lost indeed, with its sender told.
    each(&world, &[a_reset_by_the_server]);
    assert!(world.counter("engine", "octets-lost") > 0);
}

fn the_client_closes_its_half(world: &World, server: IpAddr) {
    let [near, far] = world.connect(server);
    carry(&near, &far, 20_000);
    thread::sleep(Duration::from_millis(200));
    carry(&far, &near, 1_000_000);
}

fn the_server_closes_its_half(world: &World, server: IpAddr) {
    let [near, far] = world.connect(server);
    carry(&far, &near, 20_000);
    thread::sleep(Duration::from_millis(200));
    carry(&near, &far, 1_000_000);
}

/// A socket that is closed with octets that nobody has read sends a reset. What it had written before
/// is for the peer all the same.
fn a_close_with_unread_octets(world: &World, server: IpAddr) {
    let [near, far] = world.connect(server);
    let number = number();
    send(&far, 0, 40_000).unwrap();
    (&near).read_exact(&mut [0; 100]).unwrap();
    send(&near, number, 60_000).unwrap();
    // All octets have come where they are to go, and nobody has read them.
    for (end, octets) in [(&near, 39_900), (&far, 60_000)] {
        until("everything has come", || {
            end.peek(&mut [0; 64_000]).unwrap() == octets
        });
    }
    drop(near);
    let received = receive(&far);
    received.is_a_beginning(number);
    assert_eq!(received.octets, 60_000);
    assert_eq!(received.error, Some(ErrorKind::ConnectionReset));
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
}

/// A reset in the midst of an upload. What the gateway holds then it has some seconds to deliver.
fn a_reset_by_the_client(world: &World, server: IpAddr) {
    let [near, far] = world.connect(server);
    let number = number();
    thread::scope(|scope| {
        let reader = scope.spawn(|| receive(&far));
        send(&near, number, 300_000).unwrap();
        reset(near);
        let received = reader.join().unwrap();
        received.is_a_beginning(number);
        assert!(received.number.is_some());
        assert_eq!(
            received.error,
            Some(ErrorKind::ConnectionReset),
            "{received:?}"
        );
    });
}

/// A reset by the server in the midst of an upload reaches the client, who sees it at its next write.
fn a_reset_by_the_server(world: &World, server: IpAddr) {
    let [near, far] = world.connect(server);
    let number = number();
    thread::scope(|scope| {
        let writer = scope.spawn(|| send(&near, number, u64::MAX));
        receive_at_most(&far, 300_000).is_a_beginning(number);
        let clock = Clock::start();
        reset(far);
        let error = writer.join().unwrap().unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            ),
            "{error}"
        );
        assert!(clock.now() < Duration::from_secs(5), "{:?}", clock.now());
    });
}

/// `SO_LINGER`: when `close` comes back the receiver's kernel has everything, for the FIN is never
/// acknowledged early (rule H6.1).
fn a_close_that_waits(world: &World, server: IpAddr) {
    // A child that another thread starts has a copy of the socket until its program is loaded, and while
    // there is one a close waits for nothing: then once more.
    let waited = (0..10).any(|_| {
        let [near, far] = world.connect(server);
        let number = number();
        SockRef::from(&near)
            .set_linger(Some(Duration::from_secs(20)))
            .unwrap();
        // As much as fits into the receiver's buffer while nobody reads.
        send(&near, number, 40_000).unwrap();
        let clock = Clock::start();
        drop(near);
        let a_round_trip = clock.now() >= Duration::from_millis(55);
        if a_round_trip {
            far.set_nonblocking(true).unwrap();
        }
        receive(&far).is_whole(number, 40_000);
        a_round_trip
    });
    assert!(waited, "each close came back before a round trip");
}

#[test]
fn both_ends_close_at_the_same_time() {
    if !privileged() {
        return;
    }
    let mut world = World::over("both", LINK, BOTH_WAYS);
    thread::scope(|scope| {
        for n in 0..20 {
            let world = &world;
            scope.spawn(move || {
                let [near, far] = world.connect(world.servers[n % 2]);
                let number = number();
                thread::scope(|scope| {
                    for end in [&near, &far] {
                        scope.spawn(move || {
                            send(end, number, 5000).unwrap();
                            end.shutdown(Shutdown::Write).unwrap();
                        });
                    }
                });
                for end in [&near, &far] {
                    receive(end).is_whole(number, 5000);
                }
            });
        }
    });
    until("all are closed", || {
        world.flows().iter().all(|flow| flow.state != "open")
    });
    world.stop();
}
