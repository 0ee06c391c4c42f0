//! The program dies, and its connections do not.

use core::time::Duration;
use std::fs;
use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::thread;

use localack_core::LAYOUT;
use localack_tun::clock::Clock;
use localack_tun::control::protocol::{FlowEntry, Request, Upgrade};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;

use crate::common::{Scratch, privileged};
use crate::content::{Received, receive, send};
use crate::gateway::PATIENCE;
use crate::stall::Lookout;
use crate::world::{BOTH_WAYS, World, carry_both_ways, number, until};

/// How long nothing at all may come of a stream. Whose retransmissions meet one death after the other, waits
/// up to two minutes with the next one (`TCP_RTO_MAX`).
const STREAM_PATIENCE: Duration = Duration::from_secs(180);

/// How often the program dies.
fn deaths() -> u32 {
    let given = std::env::var("LOCALACK_DEATHS").ok();
    let usual = if crate::is_long() { 100 } else { 8 };
    given
        .and_then(|deaths| deaths.parse().ok())
        .unwrap_or(usual)
}

/// What became of one stream.
struct Carried {
    number: u64,
    /// Whether its sender believes that all of it has arrived.
    believed: bool,
    received: Received,
}

/// Sends a stream from one end of a connection to the other, whatever happens to it.
fn try_to_carry(from: &TcpStream, to: &TcpStream, octets: u64, lookout: &Lookout) -> Carried {
    let number = number();
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            send(from, number, octets)?;
            from.shutdown(Shutdown::Write)
        });
        let received = receive(to);
        lookout.tell_of(to, &received);
        Carried {
            number,
            believed: sender.join().unwrap().is_ok(),
            received,
        }
    })
}

/// A random number that a failure names.
fn seed() -> u64 {
    let given = std::env::var("LOCALACK_SEED").ok();
    let given = given.and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| getrandom::u64().unwrap())
}

#[test]
fn connections_outlive_a_gateway_that_is_killed_again_and_again() {
    if !privileged() {
        return;
    }
    // Enough that they are under way until the last death.
    let octets = if crate::is_long() { 12 << 20 } else { 2 << 20 };
    let seed = seed();
    eprintln!("LOCALACK_SEED={seed} replays it");
    let mut random = Pcg64Mcg::new(seed.into());
    let mut world = World::bare_over("killed", "--delay 30ms --rate 50mbit", BOTH_WAYS)
        .that_keeps("30s")
        .started();
    let lookout = &Lookout::of(&world);
    let connections: Vec<_> = (0..50)
        .map(|n| world.connect(world.servers[n % 2]))
        .collect();
    for end in connections.iter().flatten() {
        end.set_read_timeout(Some(STREAM_PATIENCE)).unwrap();
        end.set_write_timeout(Some(STREAM_PATIENCE)).unwrap();
    }
    let (mut whole, mut reset, mut silent) = (0, 0, Vec::new());
    thread::scope(|scope| {
        let carriers: Vec<_> = connections
            .iter()
            .map(|[near, far]| {
                scope.spawn(move || {
                    thread::scope(|scope| {
                        let out = scope.spawn(|| try_to_carry(near, far, octets, lookout));
                        let back = try_to_carry(far, near, octets, lookout);
                        [out.join().unwrap(), back]
                    })
                })
            })
            .collect();
        for _ in 0..deaths() {
            thread::sleep(Duration::from_millis(u64::from(random.next_u32() % 700)));
            world.kill();
            thread::sleep(Duration::from_millis(u64::from(random.next_u32() % 300)));
            world.start();
            let log = world.log();
            assert!(
                log.contains("the connections of an earlier gateway go on"),
                "{log}"
            );
        }
        for carrier in carriers {
            let streams = carrier.join().unwrap();
            for (way, carried) in streams.iter().enumerate() {
                if carried.received.error.is_none() && carried.received.octets == octets {
                    carried.received.is_whole(carried.number, octets);
                    whole += 1;
                    continue;
                }
                // Cut short, but its beginning is right, and its receiver knows: whether it reads that or
                // hears it while it writes.
                carried.received.is_a_beginning(carried.number);
                if carried.received.error == Some(ErrorKind::ConnectionReset)
                    || carried.received.error.is_none() && !streams[1 - way].believed
                {
                    reset += 1;
                } else {
                    silent.push(format!("{:?}", carried.received));
                }
            }
        }
    });
    let lost = world.counter("engine", "octets-lost");
    eprintln!(
        "{} deaths: {whole} streams whole, {reset} reset, {} neither; {lost} octets given up",
        deaths(),
        silent.len()
    );
    assert!(
        silent.is_empty(),
        "seed {seed}: lost in silence: {silent:#?}\n{}",
        world.log()
    );
    assert!(
        reset == 0 || lost > 0,
        "nobody says what {reset} streams have lost"
    );
    // The connection that was being worked on is put back to what it was. That cannot be while a handshake is
    // being seen or blocks of its are used again, and a debug build takes long about that.
    let most = if cfg!(debug_assertions) {
        2 * deaths()
    } else {
        (whole + reset) / 50
    };
    assert!(reset <= most, "{whole} whole, {reset} reset");
    let owes = |flow: &FlowEntry| flow.directions().iter().any(|direction| direction.debt > 0);
    let clock = Clock::start();
    while world.flows().iter().any(owes) {
        let left: Vec<_> = world.flows().into_iter().filter(owes).collect();
        assert!(
            clock.now() < PATIENCE,
            "still owed: {left:#?}\n{}",
            world.log()
        );
        thread::sleep(Duration::from_millis(100));
    }
    world.end();
    assert!(!world.kept().exists());
}

#[test]
fn a_gateway_that_nobody_follows_ends_its_connections_loudly() {
    if !privileged() {
        return;
    }
    let mut world = World::bare_over("orphan", "--delay 200ms", "").that_keeps("1s");
    let before = world.dump();
    world.start();
    let [near, far] = world.connect(world.servers[0]);
    let [idle, other] = world.connect(world.servers[1]);
    send(&near, number(), 200_000).unwrap();
    send(&idle, 7, 1000).unwrap();
    until("custody", || {
        world
            .flows()
            .iter()
            .any(|flow| flow.inner_to_outer.debt > 50_000)
    });
    let clock = Clock::start();
    let dead = world.kill();
    let log = dead.wait_for("steering is undone", 1);
    assert!(clock.now() >= Duration::from_secs(1));
    assert!(
        log.contains("its connections wait for another one"),
        "{log}"
    );
    assert!(log.contains("of 1 connections were acknowledged"), "{log}");
    let error = receive(&near).error;
    assert_eq!(error, Some(ErrorKind::ConnectionReset));
    assert_eq!(receive(&far).error, Some(ErrorKind::ConnectionReset));
    // One that owes nothing goes on by plain forwarding.
    send(&idle, 8, 1000).unwrap();
    idle.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive(&other).octets, 2000);
    assert!(!world.kept().exists());
    until("everything undone", || world.dump() == before);
}

#[test]
fn while_the_connections_of_a_dead_gateway_wait_others_pass() {
    const OCTETS: u64 = 2 << 20;
    if !privileged() {
        return;
    }
    let mut world = World::bare_over("others", "--delay 50ms --rate 20mbit", BOTH_WAYS)
        .that_keeps("30s")
        .started();
    for server in world.servers {
        let [near, far] = world.connect(server);
        let number = number();
        thread::scope(|scope| {
            scope.spawn(|| {
                send(&near, number, OCTETS).unwrap();
                near.shutdown(Shutdown::Write).unwrap();
            });
            let received = scope.spawn(|| receive(&far));
            until("custody", || {
                world
                    .flows()
                    .iter()
                    .any(|flow| flow.inner_to_outer.debt > 100_000)
            });
            let dead = world.kill();
            dead.wait_for("others pass without an engine", 1);
            let state = dead.state_name().to_owned();
            let (code, said) = world.program(&["cleanup", "--state", &state]);
            assert!(
                code == 1 && said.contains("wait for another: start it again"),
                "{said}"
            );
            let [other, its_server] = world.connect(server);
            carry_both_ways(&[other, its_server], 200_000);
            assert!(!received.is_finished(), "it has gone around the engine");
            let [late, its_server] = world.connect(server);
            world.start();
            carry_both_ways(&[late, its_server], 200_000);
            received.join().unwrap().is_whole(number, OCTETS);
        });
    }
    world.stop();
}

#[test]
fn connections_go_on_while_the_program_is_replaced_under_them() {
    const OCTETS: u64 = 2 << 20;
    if !privileged() {
        return;
    }
    let mut world = World::bare_over("upgrade", "--delay 50ms --rate 20mbit", BOTH_WAYS)
        .that_keeps("10s")
        .started();
    let connections = world.servers.map(|server| world.connect(server));
    thread::scope(|scope| {
        let carriers: Vec<_> = connections
            .iter()
            .map(|connection| scope.spawn(move || carry_both_ways(connection, OCTETS)))
            .collect();
        for times in 2..=4 {
            thread::sleep(Duration::from_millis(300));
            let (code, said) = world.program(&["upgrade", "--socket", world.socket_name()]);
            assert_eq!(code, 0, "{said}");
            assert!(said.contains(concat!("version ", env!("CARGO_PKG_VERSION"), " goes on")));
            world.wait_for(" TCP passes the engine", times);
        }
        for carrier in carriers {
            carrier.join().unwrap();
        }
    });
    let log = world.stop();
    assert_eq!(log.matches("another program goes on").count(), 3, "{log}");
    assert!(!log.contains("connections_reset=1"), "{log}");
}

#[test]
fn a_program_that_cannot_go_on_is_refused_and_nothing_happens() {
    if !privileged() {
        return;
    }
    let program = || std::env::current_exe().unwrap();
    let wanted = |program, layout| Request::Upgrade(Upgrade { program, layout });
    let refused = |world: &World, request, why: &str| {
        let error = world.try_to_ask(request).unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    let bare = World::new("forgetful", "");
    refused(
        &bare,
        wanted(program(), LAYOUT),
        "`state` in [engine] says where",
    );
    let mut world = World::bare("stays", "").that_keeps("1s").started();
    let [near, far] = world.connect(world.servers[0]);
    refused(
        &world,
        wanted(program(), LAYOUT ^ 1),
        "lays connections out otherwise",
    );
    refused(&world, wanted("/nowhere".into(), LAYOUT), "is no program");
    // One that the system does not run is found out late, and the present one goes on.
    let broken = Scratch::new("broken-program");
    fs::write(&broken.0, "no program").unwrap();
    fs::set_permissions(&broken.0, fs::Permissions::from_mode(0o700)).unwrap();
    world.try_to_ask(wanted(broken.0.clone(), LAYOUT)).unwrap();
    let log = world.wait_for(" TCP passes the engine", 2);
    assert!(
        log.contains("does not run, and this program goes on"),
        "{log}"
    );
    carry_both_ways(&[near, far], 100_000);
    world.stop();
}

#[test]
fn a_watchdog_counts_from_the_latest_death() {
    if !privileged() {
        return;
    }
    let mut world = World::bare_over("again", "--delay 20ms", "")
        .that_keeps("2s")
        .started();
    let connection = world.connect(world.servers[0]);
    // Each of them lives for less than it takes to be trusted.
    for _ in 0..6 {
        thread::sleep(Duration::from_millis(300));
        world.kill();
        thread::sleep(Duration::from_millis(400));
        world.start();
    }
    carry_both_ways(&connection, 100_000);
    let log = world.log();
    assert!(
        log.contains("the connections of an earlier gateway go on connections=1"),
        "{log}"
    );
    world.stop();
}
