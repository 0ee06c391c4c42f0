//! Connections that do not come about: the client must see what it would see without the program.

use core::net::SocketAddr;
use core::time::Duration;
use std::thread;

use localack_tun::clock::Clock;
use nix::errno::Errno;

use crate::common::privileged;
use crate::gateway::Site;
use crate::world::World;

/// How connecting fails, and after which time.
fn failure(world: &World, to: SocketAddr) -> (Errno, Duration) {
    let clock = Clock::start();
    let error = world.dial(to).unwrap_err();
    (Errno::from_raw(error.raw_os_error().unwrap()), clock.now())
}

/// A closed port, a host that nobody has heard of, and a network without an answer, for either IP version.
fn failures(world: &World) -> Vec<(SocketAddr, Errno, Duration)> {
    let strangers = [
        "198.51.100.77",
        "2001:db8:2::77",
        "203.0.113.200",
        "2001:db8:7::1",
    ];
    let strangers = strangers.map(|address| address.parse().unwrap());
    thread::scope(|scope| {
        let attempts: Vec<_> = world
            .servers
            .into_iter()
            .chain(strangers)
            .map(|address| {
                scope.spawn(move || ((address, 9).into(), failure(world, (address, 9).into())))
            })
            .collect();
        let ended = attempts.into_iter().map(|attempt| attempt.join().unwrap());
        ended.map(|(to, (error, took))| (to, error, took)).collect()
    })
}

#[test]
fn connecting_fails_as_it_does_without_the_program() {
    if !privileged() {
        return;
    }
    let mut world = World::bare("fail", "");
    // Two SYNs in three seconds, and no more.
    world.set(Site::Client, "ipv4/tcp_syn_retries", "1");
    for silent in ["203.0.113.200/32", "2001:db8:7::1/128"] {
        world.forward_into_nothing(silent);
    }
    for server in world.servers {
        world.connect(server);
    }
    // The neighbours know each other. The gateway asks for another three times in a second, and gives up.
    for version in ["ipv4", "ipv6"] {
        let setting = format!("{version}/neigh/out0/retrans_time_ms");
        world.set(Site::Gateway, &setting, "333");
    }
    let without = failures(&world);
    world.start();
    let with = failures(&world);
    let expected = [
        Errno::ECONNREFUSED,
        Errno::ECONNREFUSED,
        Errno::EHOSTUNREACH,
        Errno::EHOSTUNREACH,
        Errno::ETIMEDOUT,
        Errno::ETIMEDOUT,
    ];
    for ((before, after), expected) in without.iter().zip(&with).zip(expected) {
        assert_eq!(
            (before.1, after.1),
            (expected, expected),
            "{before:?} {after:?}"
        );
        // Kernels look for neighbours in steps of a second, and this machine may be busy.
        let difference = before.2.abs_diff(after.2);
        assert!(
            difference < Duration::from_millis(2500),
            "{before:?} {after:?}"
        );
    }
    for refused in [&with[0], &with[1]] {
        // Before the SYN is repeated.
        assert!(refused.2 < Duration::from_millis(950), "{refused:?}");
    }
}
