//! Connections that are silent, with keepalives.

use core::net::IpAddr;
use core::time::Duration;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::thread;

use localack_tun::clock::Clock;
use socket2::{SockRef, TcpKeepalive};

use crate::common::privileged;
use crate::content::{receive_at_most, send};
use crate::gateway::Site;
use crate::world::{BOTH_WAYS, World, carry_both_ways, number};

/// Asks after a second of silence, three times, a second apart.
fn keep_alive(stream: &TcpStream) {
    let second = Duration::from_secs(1);
    let keepalive = TcpKeepalive::new()
        .with_time(second)
        .with_interval(second)
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive).unwrap();
}

/// Exchanges some octets and leaves the connection open.
fn exchange([near, far]: &[TcpStream; 2]) {
    for (from, to) in [(near, far), (far, near)] {
        let number = number();
        send(from, number, 20_000).unwrap();
        receive_at_most(to, 20_000).is_whole(number, 20_000);
    }
}

#[test]
fn idle_connections_live_as_long_as_both_ends_do_and_no_longer() {
    if !privileged() {
        return;
    }
    let mut world = World::bare("idle", BOTH_WAYS);
    let without = deaths(&world);
    world.ip_both(Site::Server, "rule del priority 1");
    world.start();
    // One end asks, or both do, and their questions cross.
    let asking: [&[usize]; 6] = [&[0], &[1], &[1], &[0], &[0, 1], &[0, 1]];
    let living: Vec<_> = (0..asking.len())
        .map(|n| world.connect(world.servers[n % 2]))
        .collect();
    for (connection, asking) in living.iter().zip(asking) {
        asking.iter().for_each(|end| keep_alive(&connection[*end]));
        exchange(connection);
    }
    // Far beyond the time after which unanswered keepalives end a connection.
    thread::sleep(Duration::from_secs(6));
    for connection in &living {
        exchange(connection);
        carry_both_ways(connection, 100_000);
    }
    // Keepalives are not answered by the gateway for a server that is gone (rule H9.1).
    let with = deaths(&world);
    for (before, after) in without.iter().zip(&with) {
        assert_eq!(before.0, after.0);
        assert!(
            before.1.abs_diff(after.1) < Duration::from_millis(2500),
            "{before:?} {after:?}"
        );
    }
}

/// How idle clients learn that the server is gone, and when.
fn deaths(world: &World) -> Vec<(ErrorKind, Duration)> {
    let connections = world.servers.map(|server: IpAddr| {
        let connection = world.connect(server);
        keep_alive(&connection[0]);
        exchange(&connection);
        connection
    });
    // The server says nothing any more.
    world.ip_both(Site::Server, "rule add priority 1 iif lo blackhole");
    let clock = Clock::start();
    thread::scope(|scope| {
        let readers: Vec<_> = connections
            .iter()
            .map(|[near, _]| {
                let clock = &clock;
                scope.spawn(move || {
                    let mut near = near;
                    (near.read(&mut [0]).unwrap_err().kind(), clock.now())
                })
            })
            .collect();
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect()
    })
}
