//! What arrangements of services bring their users, and that they cost no octet, in virtual time.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that goes wrong here should stop"
)]

use core::time::Duration;

use localack_core::{
    AbsorbReason, Config, Direction, Engine, FlowConfig, Instant, PacketMeta, Service, Shaping,
    ShapingId,
};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    BareBox, Between, Delay, EngineBox, Links, LinuxConfig, LinuxHost, Loss, Path, Random, Rate,
    World, seeds,
};

/// 20 Mbit/s in octets per second.
const RATE: u64 = 2_500_000;
/// Octets of 100 full packets.
const QUEUE: u64 = 150_000;

fn id(number: u8) -> ShapingId {
    ShapingId::new(number).expect("below 16")
}

fn delay(micros: u64) -> Path {
    Path::new().then(Delay(Duration::from_micros(micros)))
}

/// A server behind 40 ms of wire, the engine, and a last hop of 20 Mbit/s and 5 ms.
fn last_hop(loss_ppm: u32, queue: u64) -> Links {
    let loss = Loss {
        ppm: loss_ppm,
        random: Random::new(1),
    };
    Links {
        inner_up: delay(20_000),
        inner_down: delay(20_000),
        outer_up: Path::new()
            .then(Rate::new(RATE, queue))
            .then(loss)
            .then(Delay(Duration::from_micros(2_500))),
        outer_down: delay(2_500),
    }
}

/// What came of it.
#[derive(Debug)]
struct Run {
    received: u64,
    /// Payload that the sender sent again, in percent of all.
    resent: f64,
    timeouts: u64,
    absorbed: [u64; 2],
}

/// Runs an endless sender with CUBIC for 20 s; without an arrangement there is no engine. The ends check every
/// octet.
fn run(links: Links, arrangement: Option<(FlowConfig, [Shaping; 2])>, blocks: usize) -> Run {
    let mut memory = Memory::new(4, blocks, 2048);
    let engine = arrangement.map(|(config, shapings)| {
        let storage = memory.storage();
        let mut settings = Config::new([1, 2]);
        settings.mtu = [1500; 2];
        settings.reserved_blocks = 1;
        let mut engine = Engine::new(storage, settings, config).expect("memory that fits");
        for (number, shaping) in [1, 2].into_iter().zip(&shapings) {
            assert!(engine.set_shaping(id(number), shaping, Instant::ZERO));
        }
        BareBox::new(engine, PacketMeta::default())
    });
    let config = LinuxConfig::default();
    let receiver = LinuxHost::listen(config.mirrored());
    let sender = LinuxHost::connect(config).send_endless();
    let mut world = World::new(sender, receiver, Between::new(engine), links);
    world.linger(Duration::from_secs(20));
    assert_eq!(world.inner.grave_fault(), None);
    assert_eq!(world.outer.grave_fault(), None);
    let stats = *world.inner.stats();
    let counters = world.middle.engine().map(BareBox::counters);
    let absorbed = [AbsorbReason::Spared, AbsorbReason::Thinned]
        .map(|reason| counters.map_or(0, |counters| counters.absorbed(reason)));
    Run {
        received: world.outer.received(),
        resent: stats.octets_retransmitted as f64 * 100.0 / stats.octets_sent as f64,
        timeouts: stats.timeouts,
        absorbed,
    }
}

fn snoop() -> FlowConfig {
    FlowConfig::tracked().with_service(Direction::InnerToOuter, Service::Snoop)
}

const NO_SHAPING: [Shaping; 2] = [Shaping::NONE; 2];

#[test]
fn h13_3_copies_spare_a_sender_the_losses_of_a_last_hop() {
    let direct = run(last_hop(30_000, QUEUE), None, 1);
    let copied = run(last_hop(30_000, QUEUE), Some((snoop(), NO_SHAPING)), 2048);
    assert!(
        copied.received > 10 * direct.received,
        "{direct:?} {copied:?}"
    );
    assert!(direct.resent > 2.0, "{direct:?}");
    let third = direct.resent / 3.0;
    assert!(copied.resent < third && copied.timeouts == 0, "{copied:?}");
    assert!(copied.absorbed[0] > 10_000, "{copied:?}");
}

#[test]
fn h13_3_a_full_queue_is_its_senders_business() {
    let direct = run(last_hop(0, QUEUE), None, 1);
    let copied = run(last_hop(0, QUEUE), Some((snoop(), NO_SHAPING)), 2048);
    // The sender hears of what the queue drops, and holds back as it would without copies.
    assert!(
        copied.resent <= direct.resent + 0.5,
        "{direct:?} {copied:?}"
    );
    let least = direct.received / 100 * 97;
    assert!(copied.received >= least, "{direct:?} {copied:?}");
}

/// An engine beside the sender, and a path of so many octets per second and microseconds there and back behind
/// it, with a queue of so many octets.
fn plain_path(rate: u64, round_trip_us: u64, queue: u64) -> Links {
    Links {
        inner_up: delay(100),
        inner_down: delay(100),
        outer_up: Path::new()
            .then(Rate::new(rate, queue))
            .then(Delay(Duration::from_micros(round_trip_us / 2))),
        outer_down: delay(round_trip_us / 2),
    }
}

#[test]
fn h13_3_no_queue_is_taken_for_a_link_that_loses_whatever_its_length() {
    type Case = (&'static str, fn() -> Links);
    let cases: [Case; 4] = [
        ("15 packets", || last_hop(0, QUEUE / 100 * 15)),
        ("150 ms", || plain_path(RATE, 150_000, RATE / 1000 * 150)),
        ("600 ms", || plain_path(RATE, 600_000, RATE / 1000 * 600)),
        ("10 ms, 100 Mbit/s", || plain_path(5 * RATE, 10_000, QUEUE)),
    ];
    for (name, links) in cases {
        let direct = run(links(), None, 1);
        let mut config = snoop();
        config.buffer_limit = 16 << 20;
        let copied = run(links(), Some((config, NO_SHAPING)), 16_384);
        let least = direct.received / 100 * 97;
        assert!(copied.received >= least, "{name}: {direct:?} {copied:?}");
        assert!(
            copied.resent <= direct.resent + 0.5 && copied.timeouts <= direct.timeouts,
            "{name}: {direct:?} {copied:?}"
        );
    }
}

#[test]
fn h13_3_copies_that_have_no_room_do_no_harm() {
    let direct = run(last_hop(10_000, QUEUE), None, 1);
    for (limit, blocks) in [(0, 64), (3000, 64), (1 << 20, 4)] {
        let mut config = snoop();
        config.buffer_limit = limit;
        let copied = run(last_hop(10_000, QUEUE), Some((config, NO_SHAPING)), blocks);
        let least = direct.received / 10 * 9;
        assert!(
            copied.received >= least,
            "{limit} {blocks}: {direct:?} {copied:?}"
        );
    }
}

/// 20 Mbit/s to the receiver and so many octets per second the other way, before which the engine stands.
fn starved(back: u64) -> Links {
    let millis = |ms| Delay(Duration::from_millis(ms));
    Links {
        inner_up: Path::new().then(Rate::new(RATE, QUEUE)).then(millis(25)),
        inner_down: Path::new().then(Rate::new(back, 4000)).then(millis(25)),
        outer_up: delay(100),
        outer_down: delay(100),
    }
}

#[test]
fn rfc3449_5_2_1_thinned_out_acknowledgements_fit_a_narrow_way_back() {
    let config = FlowConfig::tracked().with_shaping(Direction::OuterToInner, id(2));
    for back in [8_000, 4_000] {
        let direct = run(starved(back), None, 1);
        for millis in [20, 50] {
            let thinning = Shaping::NONE.with_ack_interval(Duration::from_millis(millis));
            let arrangement = Some((config, [Shaping::NONE, thinning]));
            let thinned = run(starved(back), arrangement, 64);
            let least = direct.received / 100 * 140;
            assert!(
                thinned.received > least && thinned.timeouts == 0,
                "{back} {millis}: {direct:?} {thinned:?}"
            );
            assert!(thinned.absorbed[1] > 5000, "{thinned:?}");
        }
    }
}

#[test]
fn rfc3449_5_2_1_no_acknowledgement_is_left_out_that_a_sender_needs() {
    // With losses behind the engine, nothing that tells of them is missed.
    let thinning = Shaping::NONE.with_ack_interval(Duration::from_millis(20));
    let shaped = FlowConfig::tracked().with_shaping(Direction::OuterToInner, id(2));
    let direct = run(last_hop(10_000, QUEUE), None, 1);
    let arrangement = Some((shaped, [Shaping::NONE, thinning]));
    let thinned = run(last_hop(10_000, QUEUE), arrangement, 64);
    let least = direct.received / 100 * 85;
    assert!(thinned.received > least, "{direct:?} {thinned:?}");
    assert!(
        thinned.timeouts <= direct.timeouts,
        "{direct:?} {thinned:?}"
    );
}

#[test]
fn a_rate_limit_is_kept_without_a_drop_where_the_engine_sends() {
    keeps_to_its_rate(&[Service::LocalAck]);
}

#[test]
fn a_rate_limit_is_kept_without_a_drop_where_the_hosts_send() {
    keeps_to_its_rate(&[Service::Bypass, Service::Snoop]);
}

fn keeps_to_its_rate(services: &[Service]) {
    const LIMIT: u32 = 625_000;
    for &service in services {
        let limit = Shaping::NONE.with_rate_limit(LIMIT);
        let config = FlowConfig::tracked()
            .with_service(Direction::InnerToOuter, service)
            .with_shaping(Direction::InnerToOuter, id(1));
        let run = run(
            last_hop(0, QUEUE),
            Some((config, [limit, Shaping::NONE])),
            2048,
        );
        let share = run.received as f64 / (f64::from(LIMIT) * 20.0 * 1448.0 / 1500.0);
        assert!((0.96..1.0).contains(&share), "{service:?}: {share} {run:?}");
        assert!(run.resent == 0.0, "{service:?}: {run:?}");
    }
}

/// Lets services and shaping of both directions change at random moments during transfers both ways over
/// lossy links.
fn flip(seed: u64, limits: [u32; 4]) {
    const OCTETS: u64 = 1 << 20;
    let mut random = Random::new(seed);
    let mut memory = Memory::new(4, 512, 2048);
    let mut settings = Config::new([seed, 2]);
    settings.demotion_hold = Duration::from_millis(20);
    let engine = Engine::new(memory.storage(), settings, FlowConfig::tracked());
    let engine = engine.expect("memory that fits");
    let mut path = |millis, ppm| {
        let random = random.fork();
        Path::new()
            .then(Rate::new(RATE, QUEUE))
            .then(Loss { ppm, random })
            .then(Delay(Duration::from_millis(millis)))
    };
    let links = Links {
        inner_up: path(2, 3_000),
        inner_down: path(2, 3_000),
        outer_up: path(15, 10_000),
        outer_down: path(15, 10_000),
    };
    let config = LinuxConfig {
        sack: random.chance(800_000),
        timestamps: random.chance(800_000),
        ..LinuxConfig::default()
    };
    let outer = LinuxHost::listen(config.mirrored()).send_total(OCTETS);
    let inner = LinuxHost::connect(config).send_total(OCTETS);
    let mut world = World::new(inner, outer, EngineBox::new(engine), links);
    let mut flips = 0;
    while !(world.inner.is_closed() && world.outer.is_closed()) {
        world.linger(Duration::from_millis(20 + u64::from(random.below(120))));
        let now = world.now();
        assert!(now < Instant::from_millis(600_000), "seed {seed}: {flips}");
        let engine = world.middle.engine();
        let intervals = [0, 0, 5, 40];
        let shaping = Shaping::NONE
            .with_rate_limit(limits[random.below(4) as usize])
            .with_ack_interval(Duration::from_millis(intervals[random.below(4) as usize]));
        assert!(engine.set_shaping(id(1), &shaping, now));
        assert_eq!(engine.shaping(id(1)), shaping);
        let Some(flow) = engine.flows().last().map(|flow| flow.id) else {
            continue;
        };
        let services = [Service::Bypass, Service::Snoop, Service::LocalAck];
        let service = services[random.below(3) as usize];
        let direction = Direction::BOTH[random.below(2) as usize];
        let shaping = id(u8::try_from(random.below(2)).expect("small"));
        // A flow that has closed in the meantime is gone.
        flips += u32::from(
            engine
                .arrange(flow, direction, service, shaping, now)
                .is_ok(),
        );
    }
    let received = [world.inner.received(), world.outer.received()];
    assert_eq!(received, [OCTETS; 2], "seed {seed}");
    for host in [&world.inner, &world.outer] {
        assert_eq!(host.grave_fault(), None, "seed {seed}");
    }
    let faults = world.middle.faults();
    let before = world.middle.before_fault().join("\n");
    assert_eq!(faults, &[] as &[String], "seed {seed}\n{before}");
    assert_eq!(world.middle.counters().octets_lost, 0, "seed {seed}");
    assert!(flips > 5, "seed {seed}: {flips}");
}

#[test]
fn arrangements_that_change_at_random_moments_lose_no_octet() {
    for seed in seeds(40) {
        println!("LOCALACK_SEED={seed}");
        flip(seed, [0; 4]);
    }
}

#[test]
fn arrangements_with_rates_that_change_at_random_moments_lose_no_octet() {
    for seed in seeds(40) {
        println!("LOCALACK_SEED={seed}");
        flip(seed, [0, 0, 200_000, 1_000_000]);
    }
}
