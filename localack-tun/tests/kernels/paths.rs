//! Paths between the gateway and the server, and before it, that lose, mix up, repeat and break packets, are
//! narrow, or are not there for a while.

use core::time::Duration;
use std::thread;

use localack_tun::clock::Clock;

use crate::common::{ip, privileged};
use crate::content::{receive_at_most, send};
use crate::gateway::{FAMILIES, Family, Site};
use crate::world::{BOTH_WAYS, World, carry, carry_both_ways, number, until};

/// Carries octets both ways over either IP version, at the same time.
fn carry_all(world: &World, octets: u64) {
    thread::scope(|scope| {
        for connection in world.servers.map(|server| world.connect(server)) {
            scope.spawn(move || carry_both_ways(&connection, octets));
        }
    });
}

#[test]
fn packets_are_lost() {
    if !privileged() {
        return;
    }
    for loss in ["1%", "3%", "5%"] {
        let link = format!("--delay 20ms --rate 60mbit --queue 1mib --loss {loss}");
        let mut world = World::over(&format!("loss{}", &loss[..1]), &link, BOTH_WAYS);
        carry_all(&world, 600_000);
        world.stop();
    }
}

#[test]
fn packets_are_mixed_up_repeated_and_broken() {
    if !privileged() {
        return;
    }
    let link = "--delay 20ms --rate 60mbit --queue 1mib --reorder 3% --reorder-by 8ms --duplicate 3% --corrupt 2%";
    let mut world = World::over("broken", link, BOTH_WAYS);
    carry_all(&world, 1_000_000);
    // The engine has seen some of what was broken and left it to the receiver to judge.
    assert!(world.counter("pass", "bad-checksum") > 0);
    world.stop();
}

/// What is broken on its way to the gateway must not be acknowledged there (rule H5.4). The client is on
/// the far side of the link here, and its data is acknowledged early.
#[test]
fn what_is_broken_before_the_gateway_is_not_acknowledged() {
    if !privileged() {
        return;
    }
    let link = "--delay 10ms --rate 60mbit --queue 1mib --corrupt 3%";
    let mut world = World::over("before", link, BOTH_WAYS);
    thread::scope(|scope| {
        for server in world.servers {
            let world = &world;
            scope.spawn(move || carry_both_ways(&world.connect_inward(server), 1_000_000));
        }
    });
    assert!(world.counter("pass", "bad-checksum") > 0);
    world.stop();
}

#[test]
fn a_path_that_is_gone_for_a_while() {
    if !privileged() {
        return;
    }
    let outage = Duration::from_secs(if crate::is_long() { 30 } else { 5 });
    let world = World::over(
        "outage",
        "--delay 20ms --rate 60mbit --queue 1mib",
        BOTH_WAYS,
    );
    let connections = world.servers.map(|server| world.connect(server));
    thread::scope(|scope| {
        for [near, far] in &connections {
            for (from, to) in [(near, far), (far, near)] {
                let number = number();
                scope.spawn(move || send(from, number, 8_000_000).unwrap());
                scope.spawn(move || receive_at_most(to, 8_000_000).is_whole(number, 8_000_000));
            }
        }
        thread::sleep(Duration::from_millis(500));
        world.cut_the_path();
        thread::sleep(outage);
        world.mend_the_path();
    });
}

/// Sends from the client until all has come; how long it took.
fn upload(world: &World, octets: u64) -> Duration {
    let clock = Clock::start();
    thread::scope(|scope| {
        for [near, far] in world.servers.map(|server| world.connect(server)) {
            scope.spawn(move || carry(&near, &far, octets));
        }
    });
    clock.now()
}

#[test]
fn a_narrow_path_that_tells_its_width() {
    if !privileged() {
        return;
    }
    let world = World::bare("narrow", BOTH_WAYS)
        .behind_a_router(1280)
        .started();
    carry_all(&world, 1_000_000);
    // The client's kernel was told nothing: the gateway sends its data in smaller segments.
    assert!(world.counter("absorb", "packet-too-big") >= 2);
}

#[test]
fn a_narrow_path_that_swallows_what_is_too_long() {
    if !privileged() {
        return;
    }
    let world = World::bare("blackhole", BOTH_WAYS)
        .behind_a_router(1280)
        .started();
    // The router says nothing of its own.
    world.ip_both(Site::Third, "rule add priority 1 iif lo blackhole");
    let took = upload(&world, 300_000);
    assert!(took < Duration::from_secs(25), "{took:?}");
}

#[test]
fn an_inner_side_that_is_a_vlan() {
    if !privileged() {
        return;
    }
    let Some(world) = World::bare("vlan", BOTH_WAYS).with_a_vlan() else {
        eprintln!("skipped: this kernel has no VLANs");
        return;
    };
    let world = world.started();
    carry_all(&world, 500_000);
    assert_eq!(world.counter("engine", "flows-adopted"), 2);
}

/// The way to the client is lost for a while, and what is meant for it goes to a router on the other side, which
/// sends it back. The gateway's own acknowledgements must not pass for the server's (rules H4.6 and H9.11): the server
/// does not have the data yet.
#[test]
fn what_the_gateway_says_itself_comes_back_to_it() {
    if !privileged() {
        return;
    }
    let mut world = World::bare("back", "").behind_a_router(1500).started();
    let connections = world.servers.map(|server| world.connect(server));
    let numbers = connections.each_ref().map(|[near, far]| {
        let number = number();
        send(near, number, 1_000).unwrap();
        receive_at_most(far, 1_000).is_whole(number, 1_000);
        self::number()
    });
    // What is for the client still turns round there.
    let rules = world.servers.map(|server| {
        let version = if server.is_ipv4() { 4 } else { 6 };
        let router = world.name(Site::Third);
        let rule = format!("priority 1 to {server} blackhole");
        ip(&format!("-n {router} -{version} rule add {rule}"));
        format!("-n {router} -{version} rule del {rule}")
    });
    let gateway = world.name(Site::Gateway);
    let around = FAMILIES.map(|Family { client, third, .. }| format!("{client} via {third}"));
    for route in &around {
        ip(&format!("-n {gateway} route add {route}"));
    }
    thread::scope(|scope| {
        for ([near, _], number) in connections.iter().zip(numbers) {
            scope.spawn(move || send(near, number, 100_000).unwrap());
        }
        until("acknowledgements come back", || {
            world.counter("drop", "came-back") > 10
        });
        for route in &around {
            ip(&format!("-n {gateway} route del {route}"));
        }
        for rule in &rules {
            ip(rule);
        }
        for ([_, far], number) in connections.iter().zip(numbers) {
            receive_at_most(far, 100_000).is_whole(number, 100_000);
        }
    });
    world.stop();
}
