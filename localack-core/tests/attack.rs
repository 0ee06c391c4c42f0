//! Flows of every controller, through bad networks, with an engine to which awkward things happen all
//! the time: its sink refuses packets, its budget is a packet or two, its clock stands still, its pool
//! is small, and somebody changes controllers and services as the flows run. When that stops, everything
//! must come to its end: every octet arrives, nothing is lost, nobody waits for ever.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that goes wrong here should stop"
)]

#[path = "attack/chaos.rs"]
mod chaos;
#[path = "attack/turns.rs"]
mod turns;

use core::net::SocketAddr;
use core::time::Duration;

use chaos::{Chaos, Mix};
use localack_core::{Config, Engine, Instant};
use localack_testkit::memory::Memory;
use localack_testkit::script::check;
use localack_testkit::sim::{
    Crowd, Delay, Duplicate, Endpoint, FaultKind, Links, LinuxConfig, LinuxHost, Loss, Outage,
    Path, Random, Rate, Reorder, World, seeds,
};

/// When the trouble ends.
const CALM: Duration = Duration::from_secs(20);
/// When all must be over.
const END: Duration = Duration::from_secs(400);
const FLOWS: usize = 8;

fn address(text: &str, port: u16) -> SocketAddr {
    SocketAddr::new(text.parse().expect("a literal"), port)
}

/// The inner and the outer host of flow `number`: each sends something, at its own time.
fn hosts(number: u16, random: &mut Random) -> [(SocketAddr, LinuxHost); 2] {
    let config = LinuxConfig {
        own: address("192.0.2.10", 40_000 + number),
        // Some of them share a network.
        peer: address(
            ["203.0.113.20", "203.0.113.21", "198.51.100.7"][usize::from(number) % 3],
            5_000 + number,
        ),
        isn: random.below(u32::MAX),
        timestamp_offset: random.below(u32::MAX),
        timestamps: random.chance(700_000),
        sack: random.chance(700_000),
        ecn: random.chance(300_000),
        receive_buffer: 16 << 10 << random.below(4),
        ..LinuxConfig::strict()
    };
    let octets = [0, 3_000, 60_000, 400_000];
    let amount =
        |random: &mut Random| octets[random.below(4) as usize] + u64::from(random.below(5_000));
    let mirrored = config.mirrored();
    let opens = Instant::from_micros(random.below(4_000_000).into());
    let inner = LinuxHost::connect(config.clone())
        .connecting_at(opens)
        .send_total(amount(random));
    let outer = LinuxHost::listen(mirrored).send_total(amount(random));
    [(config.own, inner), (config.peer, outer)]
}

/// A way through a network that is bad until the trouble ends.
fn bad_path(random: &mut Random, one_way_ms: u64) -> Path {
    let end = u32::try_from(CALM.as_millis()).expect("seconds");
    let outage = {
        let start = 500 + random.below(end - 9_000);
        let length = random.below(8_000);
        let at = |ms: u32| Instant::from_millis(ms.into());
        Outage::new([(at(start), at(start + length))])
    };
    let way = Duration::from_millis(one_way_ms);
    let until = Instant::ZERO.after(CALM);
    Path::new()
        .then(Rate::new(
            u64::from(100_000 + random.below(2_000_000)),
            60_000,
        ))
        .then(outage)
        .then(chaos::Until::new(
            until,
            Loss {
                ppm: random.below(80_000),
                random: random.fork(),
            },
        ))
        .then(chaos::Until::new(
            until,
            Duplicate {
                ppm: random.below(30_000),
                random: random.fork(),
            },
        ))
        .then(Delay(way))
        .then(chaos::Until::new(
            until,
            Reorder {
                ppm: random.below(60_000),
                by: Duration::from_micros(u64::from(random.below(30_000))),
                random: random.fork(),
            },
        ))
}

fn live(seed: u64) {
    let mut random = Random::new(seed);
    let blocks = [60, 200, 2000][random.below(3) as usize];
    let mut memory = Memory::new(FLOWS, blocks, 2048);
    let mut config = Config::new([seed, 7]);
    config.demotion_hold = Duration::from_millis(300);
    config.drain_patience = Duration::from_secs(8);
    config.super_segment = [0, 0, 20_000][random.below(3) as usize];
    let mix = Mix {
        random: random.fork(),
    };
    let engine = Engine::new(memory.storage(), config, mix).expect("memory that fits");
    let calm = Instant::ZERO.after(CALM);
    let chaos = Chaos::new(engine, random.fork(), calm);
    let mut inner = Vec::new();
    let mut outer = Vec::new();
    for number in 0..FLOWS {
        let [one, other] = hosts(u16::try_from(number).expect("few"), &mut random);
        inner.push(one);
        outer.push(other);
    }
    let way = u64::from(5 + random.below(300));
    let links = Links {
        inner_up: Path::new().then(Delay(Duration::from_micros(200))),
        inner_down: Path::new().then(Delay(Duration::from_micros(200))),
        outer_up: bad_path(&mut random, way),
        outer_down: bad_path(&mut random, way),
    };
    let mut world = World::new(Crowd::new(inner), Crowd::new(outer), chaos, links);
    let ended = world.run(END);
    for (side, crowd) in [("inner", &world.inner), ("outer", &world.outer)] {
        for (number, host) in crowd.hosts().enumerate() {
            // A direction that leaves its service may take back what it offered, so that its sender has
            // gone too far (rule H2.11), and its receiver's own acknowledgements may end where octets
            // were SACKed (rule H4.2). Who is not served fills its peer's window to the last octet.
            let changes = world.middle.changes_services();
            let grave = host.faults().iter().find(|fault| {
                let kind = fault.kind;
                let back = kind == FaultKind::WindowRetreat
                    || kind == FaultKind::Reneged
                    || kind == FaultKind::BeyondWindow;
                let full = kind == FaultKind::AtEdge;
                let excused = full || (changes && back) || fault.may_be_network();
                !excused
            });
            assert_eq!(grave, None, "seed {seed}: {side} host {number}");
        }
    }
    let crowds = [&world.inner, &world.outer];
    let waiting: Vec<String> = crowds
        .iter()
        .flat_map(|crowd| crowd.hosts().enumerate())
        .filter(|(_, host)| !host.is_done())
        .map(|(number, host)| {
            let (acknowledged, received) = (host.acknowledged(), host.received());
            format!("host {number}: {acknowledged} acknowledged, {received} received")
        })
        .collect();
    assert!(
        ended,
        "seed {seed}: these wait for ever: {waiting:#?}\n{}",
        world.middle.describe()
    );
    assert_eq!(world.middle.counters().octets_lost, 0, "seed {seed}");
}

/// Architecture, promises 1, 2 and 5; rules H5.10, H6.4, H9.8, H12.3.
#[test]
fn whatever_happens_to_the_engine_everything_arrives() {
    for seed in seeds(6) {
        live(seed);
    }
}

/// Rule H3.3, invariant 7: found by the life above with seed 19.
#[test]
fn h3_3_the_receivers_echo_tells_which_timestamps_are_too_old() {
    check(include_str!("scripts/attack_stale_clock.script"));
}
