//! When custody may begin (rules H7.1 to H7.3): an engine before servers that do not yet have the
//! connection that their clients believe in. By default nothing is acknowledged that such a server has not
//! taken; where the operator lets custody begin at the handshake, what is lost with the server is told to
//! both ends and counted.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that goes wrong here should stop"
)]

use core::time::Duration;

use localack_core::{
    Config, Controller, Custody, DirectionMode, Engine, Event, FlowConfig, Instant,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, Packet};
use localack_testkit::script::check;
use localack_testkit::sim::{
    Delay, EngineBox, Exits, FaultKind, Links, LinuxConfig, LinuxHost, Listening, Node, Path,
    Random, Rate, Reorder, World, seeds,
};

type EngineWorld<'e> = World<LinuxHost, LinuxHost, EngineBox<'e, FlowConfig>>;

const BOTH: [Custody; 2] = [Custody::AfterProof, Custody::AfterHandshake];
const RTT_MS: u64 = 200;

/// Drops some of the client's segments after its SYN, by their numbers in the order of their coming.
#[derive(Debug)]
struct Drops {
    come: usize,
    dropped: &'static [usize],
}

impl Drops {
    const fn new(dropped: &'static [usize]) -> Self {
        Self { come: 0, dropped }
    }
}

impl Node for Drops {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        let decoded = Packet::decode(&packet).expect("a TCP segment").packet;
        if !decoded.flags.has(Flags::SYN) {
            self.come += 1;
            if self.dropped.contains(&(self.come - 1)) {
                return;
            }
        }
        exits.onward(now, packet);
    }
}

/// A policy for data from the inner side.
fn policy(custody: Custody) -> FlowConfig {
    let mut policy = FlowConfig::inner_local_ack();
    policy.custody = custody;
    policy
}

/// An inner host that sends `octets` to an outer one that listens so.
fn world<'e>(
    memory: &'e mut Memory,
    policy: FlowConfig,
    config: &LinuxConfig,
    listening: Listening,
    octets: u64,
    up: Path,
) -> EngineWorld<'e> {
    let engine =
        Engine::new(memory.storage(), Config::new([1, 2]), policy).expect("memory that fits");
    let half = Delay(Duration::from_millis(RTT_MS / 2));
    let links = Links {
        inner_up: Path::new().then(Delay(Duration::from_micros(100))),
        inner_down: Path::new().then(Delay(Duration::from_micros(100))),
        outer_up: up.then(half),
        outer_down: Path::new().then(half),
    };
    let inner = LinuxHost::connect(config.clone()).send_total(octets);
    let mut server = config.mirrored();
    server.listening = listening;
    World::new(
        inner,
        LinuxHost::listen(server),
        EngineBox::new(engine),
        links,
    )
}

fn memory() -> Memory {
    Memory::new(4, 1024, 2048)
}

/// Hosts with and without timestamps and SACK.
fn hosts() -> [LinuxConfig; 2] {
    [true, false].map(|modern| LinuxConfig {
        sack: modern,
        timestamps: modern,
        ..LinuxConfig::strict()
    })
}

fn full(ms: u64) -> Listening {
    Listening {
        full_until: Some(Instant::from_millis(ms)),
        ..Listening::default()
    }
}

const COOKIES: Listening = Listening {
    cookies: true,
    full_until: None,
    defers: 0,
};
const DEFERS: Listening = Listening {
    cookies: false,
    full_until: None,
    defers: 3,
};

/// Everything arrived, and nobody did anything wrong.
fn blameless(world: &EngineWorld<'_>, octets: u64, what: &str) {
    assert_eq!(world.outer.received(), octets, "{what}");
    assert_eq!(world.inner.faults(), [], "{what}");
    assert_eq!(world.outer.faults(), [], "{what}");
    assert_eq!(world.middle.faults(), &[] as &[String], "{what}");
    assert_eq!(world.middle.counters().octets_lost, 0, "{what}");
}

/// Rules H7.1, H7.2 and H3.6: servers that make a connection only of what they like, over a path that
/// loses the third ACK, the first data, or both, several times.
#[test]
fn h7_2_servers_that_have_no_connection_yet_get_one_and_every_octet() {
    let losses: [&[usize]; 6] = [&[], &[0], &[1], &[0, 1], &[0, 1, 2, 3], &[1, 2, 4, 5, 8]];
    let servers = [Listening::default(), full(1_500), full(9_000), DEFERS];
    for custody in BOTH {
        for config in hosts() {
            for octets in [700, 100_000] {
                for (listening, dropped) in servers
                    .iter()
                    .flat_map(|server| losses.iter().map(move |losses| (*server, *losses)))
                {
                    let what = format!("{custody:?} {octets} {listening:?} without {dropped:?}");
                    let mut memory = memory();
                    let up = Path::new().then(Drops::new(dropped));
                    let mut world =
                        world(&mut memory, policy(custody), &config, listening, octets, up);
                    assert!(world.run(Duration::from_secs(100)), "{what}");
                    blameless(&world, octets, &what);
                }
            }
        }
    }
}

/// Rules H7.2 and H3.6: a server with SYN cookies makes a connection of nothing but a segment that begins at
/// its number, acknowledges its SYN-ACK, and echoes its TSval to the bit. Where only the third ACK or only
/// the head of the data is lost, or one after the other, the engine sends nothing else before it.
#[test]
fn h7_2_syn_cookies_survive_the_loss_of_the_third_ack_and_of_the_head() {
    for custody in BOTH {
        for config in hosts() {
            // One segment of data at first: behind a lost third ACK and a lost head a second segment is
            // refused by the server, whoever sends it.
            for (octets, dropped) in [
                (1_000, &[0][..]),
                (1_000, &[0, 1]),
                (1_000, &[0, 1, 2, 3]),
                (100_000, &[]),
                (100_000, &[0]),
                (100_000, &[1]),
                (100_000, &[1, 2, 3]),
                // The third ACK and the whole first flight: what comes next must be the head.
                (100_000, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
                (12_000, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
            ] {
                let what = format!("{custody:?} {octets} without {dropped:?}");
                let mut memory = memory();
                let up = Path::new().then(Drops::new(dropped));
                let mut world = world(&mut memory, policy(custody), &config, COOKIES, octets, up);
                assert!(world.run(Duration::from_secs(100)), "{what}");
                blameless(&world, octets, &what);
            }
        }
    }
}

/// Rule H7.1: until the server has shown that it is there, nothing is acknowledged that it has not; and
/// with custody from the handshake on, everything is at once.
#[test]
fn h7_1_before_proof_nothing_is_acknowledged_early() {
    for custody in BOTH {
        let mut memory = memory();
        let config = LinuxConfig::strict();
        let mut world = world(
            &mut memory,
            policy(custody),
            &config,
            full(3_000),
            100_000,
            Path::new(),
        );
        world.linger(Duration::from_millis(2_900));
        let flow = world.middle.engine().flows().last().expect("a flow");
        let up = flow.inner_to_outer;
        match custody {
            Custody::AfterProof => {
                assert_eq!(up.mode, DirectionMode::StoreAndForward);
                assert_eq!((up.debt, world.inner.acknowledged()), (0, 0));
                assert_eq!(world.middle.most_debt(), [0, 0]);
            }
            Custody::AfterHandshake => {
                assert_eq!(up.mode, DirectionMode::LocalAck);
                assert!(up.debt > 60_000 && world.inner.acknowledged() > 60_000);
            }
        }
        assert_eq!(world.outer.received(), 0);
        assert!(world.run(Duration::from_secs(60)), "{custody:?}");
        blameless(&world, 100_000, &format!("{custody:?}"));
    }
}

/// Rules H7.1, H8.3 and H13.1: the server never had room, and forgets. It answers with a reset: by default
/// nobody was promised anything; after the handshake the promise is broken loudly, to both ends, to the
/// octet.
#[test]
fn h7_1_a_server_that_forgets_the_handshake_is_no_silent_loss() {
    for custody in BOTH {
        for config in hosts() {
            let mut memory = memory();
            let mut world = world(
                &mut memory,
                policy(custody),
                &config,
                full(1_000_000),
                100_000,
                Path::new(),
            );
            world.linger(Duration::from_secs(200));
            let promised = world.inner.acknowledged();
            let events: Vec<Event> = world.middle.events().to_vec();
            let lost: u64 = events
                .iter()
                .map(|event| match *event {
                    Event::Reset { lost, .. } | Event::GivenUp { lost, .. } => lost.into(),
                    Event::Adopted { .. }
                    | Event::Refused { .. }
                    | Event::CustodyBegun { .. }
                    | Event::Demoted { .. }
                    | Event::ServiceChanged { .. }
                    | Event::SlowClose { .. }
                    | Event::Closed { .. }
                    | _ => 0,
                })
                .sum();
            assert_eq!(lost, promised, "{custody:?} {events:?}");
            assert_eq!(world.middle.counters().octets_lost, promised);
            assert_eq!(promised > 0, custody == Custody::AfterHandshake);
            let kinds: Vec<FaultKind> = world.inner.faults().iter().map(|f| f.kind).collect();
            assert_eq!(kinds, [FaultKind::UnexpectedReset], "{custody:?}");
            assert!(!world.inner.is_established());
            assert_eq!(world.outer.received(), 0);
            assert_eq!(world.middle.faults(), &[] as &[String]);
        }
    }
}

/// A client of a server with SYN cookies over paths that reorder: whatever is reset is counted, and what is
/// not reset arrives (rule H7.2).
#[test]
fn h7_2_syn_cookies_on_a_path_that_reorders_lose_nothing_in_silence() {
    let mut arrived = 0;
    for custody in BOTH {
        for seed in seeds(40) {
            let mut random = Random::new(seed);
            let mut memory = memory();
            let dropped: &'static [usize] = if random.chance(300_000) { &[0] } else { &[] };
            let up = Path::new().then(Drops::new(dropped)).then(Reorder {
                ppm: 200_000,
                by: Duration::from_millis(5),
                random: random.fork(),
            });
            let config = LinuxConfig::strict();
            let octets = 30_000;
            let mut world = world(&mut memory, policy(custody), &config, COOKIES, octets, up);
            world.linger(Duration::from_secs(200));
            let lost = world.middle.counters().octets_lost;
            let acknowledged = world.inner.acknowledged();
            assert_eq!(world.middle.faults(), &[] as &[String], "seed {seed}");
            // What the server had taken before its reset, it may not have been able to say.
            let missing = acknowledged.saturating_sub(world.outer.received());
            assert!(
                missing <= lost && lost <= acknowledged,
                "{custody:?} seed {seed}: {missing} octets of {acknowledged} lost, {lost} counted"
            );
            assert_eq!(
                world.inner.grave_fault().is_some(),
                world.outer.received() < octets,
                "{custody:?} seed {seed}"
            );
            arrived += u32::from(world.outer.received() == octets);
        }
    }
    assert!(arrived > 0, "no connection survived");
}

/// 60 KB over 600 ms and 20 Mbit/s: the default costs one round trip, and custody after the handshake none.
#[test]
fn h7_1_proof_costs_an_upload_one_round_trip() {
    const OCTETS: u64 = 60_000;
    let took = BOTH.map(|custody| {
        let mut memory = memory();
        let mut policy = policy(custody);
        policy.controller = Controller::provisioned(2_500_000);
        let engine =
            Engine::new(memory.storage(), Config::new([1, 2]), policy).expect("memory that fits");
        let long = Delay(Duration::from_micros(299_900));
        let links = Links {
            inner_up: Path::new().then(Delay(Duration::from_micros(100))),
            inner_down: Path::new().then(Delay(Duration::from_micros(100))),
            outer_up: Path::new().then(Rate::new(2_500_000, 1_500_000)).then(long),
            outer_down: Path::new().then(long),
        };
        let config = LinuxConfig::strict();
        let inner = LinuxHost::connect(config.clone()).send_total(OCTETS);
        let outer = LinuxHost::listen(config.mirrored());
        let mut world = World::new(inner, outer, EngineBox::new(engine), links);
        assert!(world.run(Duration::from_secs(20)), "{custody:?}");
        blameless(&world, OCTETS, &format!("{custody:?}"));
        let at = world.outer.received_at(OCTETS).expect("it arrived");
        at.as_micros()
    });
    // The handshake, half a round trip, and 62,184 octets of packets at 2.5 MB/s.
    let limit = 900_000 + 24_874;
    let [by_default, trusting] = took;
    assert!(trusting * 100 <= limit * 115, "{trusting}");
    assert!(by_default * 100 <= limit * 175, "{by_default}");
    let dearer = by_default - trusting;
    assert!((550_000..=610_000).contains(&dearer), "{dearer}");
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)+) => {
        $($(#[$doc])* #[test] fn $name() { check(include_str!(concat!("scripts/", $file, ".script"))); })+
    };
}

scripts! {
    /// H7.1, H7.2, H3.6, T19.
    h7_2_before_proof_octets_go_in_order_and_the_head_comes_first = "custody_order";
    /// H7.1, H7.3, H8.3.
    h7_1_servers_that_are_not_there_yet = "custody_servers";
    /// H4.6, H9.11, H9.5.
    h9_11_the_engines_own_acknowledgements_may_come_back = "came_back";
}
