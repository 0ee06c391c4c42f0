//! The engine between two hosts that run someone else's TCP (smoltcp), over links that lose,
//! reorder, duplicate and corrupt, in virtual time. Every packet that leaves is judged by the
//! protocol's laws, and both streams are compared octet by octet.
//!
//! A failure names its seed; `LOCALACK_SEED=n` runs that seed alone.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that goes wrong here should stop"
)]

use core::time::Duration;

use localack_core::{Config, Direction, Engine, Event, FlowConfig, Instant, Service};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    Corrupt, Delay, Duplicate, EngineBox, Links, Loss, Middle, Path, Random, Rate, Reorder, Series,
    SmolHost, SmolSettings, Stream, Wire, World, seeds,
};

const MEBIBYTE: usize = 1 << 20;
/// Virtual time in which every transfer must be over.
const LIMIT: Duration = Duration::from_secs(3600);
/// Virtual time that is left for the FINs.
const AFTERWARDS: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug)]
struct Case {
    v6: bool,
    seed: u64,
    /// What each side sends.
    octets: usize,
    stamps: bool,
    /// Losses and so on of the outer and the inner link, in parts per million.
    outer: Harm,
    inner: Harm,
    /// Whether the outer host opens the connection.
    outer_connects: bool,
    /// Whether sequence numbers of both hosts pass 2^32 on the way.
    wraps: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Harm {
    loss: u32,
    reorder: u32,
    duplicate: u32,
    corrupt: u32,
}

impl Case {
    fn new(v6: bool, seed: u64) -> Self {
        Self {
            v6,
            seed,
            octets: MEBIBYTE,
            stamps: seed.is_multiple_of(2),
            outer: Harm {
                loss: 50_000,
                reorder: 100_000,
                ..Harm::default()
            },
            inner: Harm::default(),
            outer_connects: seed.is_multiple_of(3),
            wraps: false,
        }
    }

    fn links(&self, random: &mut Random) -> Links {
        let mut path = |harm: Harm, delay: u64, bytes_per_second: u64| {
            let by = Duration::from_millis(15);
            Path::new()
                .then(Rate::new(bytes_per_second, 256 * 1024))
                .then(Loss {
                    ppm: harm.loss,
                    random: random.fork(),
                })
                .then(Duplicate {
                    ppm: harm.duplicate,
                    random: random.fork(),
                })
                .then(Corrupt {
                    ppm: harm.corrupt,
                    random: random.fork(),
                })
                .then(Delay(Duration::from_millis(delay)))
                .then(Reorder {
                    ppm: harm.reorder,
                    by,
                    random: random.fork(),
                })
        };
        Links {
            inner_up: path(self.inner, 1, 12_500_000),
            inner_down: path(self.inner, 1, 12_500_000),
            outer_up: path(self.outer, 30, 2_500_000),
            outer_down: path(self.outer, 30, 2_500_000),
        }
    }

    fn hosts(&self, random: &mut Random) -> [SmolHost; 2] {
        let addresses = if self.v6 {
            ["[2001:db8:1::10]:40000", "[2001:db8:2::20]:443"]
        } else {
            ["192.0.2.10:40000", "203.0.113.20:443"]
        };
        let addresses = addresses.map(|address| address.parse().expect("a literal"));
        let streams = [1, 2].map(|side| Stream::new(self.seed * 10 + side, self.octets));
        [0, 1].map(|side| {
            let mut settings = SmolSettings {
                own: addresses[side],
                peer: addresses[1 - side],
                connects: (side == 1) == self.outer_connects,
                seed: random.below(u32::MAX).into(),
                stamps_from: self.stamps.then_some(u32::MAX - 20_000),
                buffer: 65_535,
                sends: streams[side].clone(),
                expects: streams[1 - side].clone(),
            };
            if self.wraps && settings.connects {
                settings.seed = seed_before_the_wrap(&settings, self.octets);
            }
            SmolHost::new(settings)
        })
    }

    fn world<M: Middle>(&self, middle: M) -> World<SmolHost, SmolHost, M> {
        let mut random = Random::new(self.seed);
        let links = self.links(&mut random);
        let [inner, outer] = self.hosts(&mut random);
        World::new(inner, outer, middle, links)
    }

    /// Runs a world to its end and checks that both streams arrived; answers when they had.
    fn run<M: Middle>(&self, world: &mut World<SmolHost, SmolHost, M>) -> Instant {
        let done = world.run(LIMIT);
        let state = format!(
            "{self:?} at {:?}\n  inner {:?}\n  outer {:?}\n  again with LOCALACK_SEED={}",
            world.now(),
            world.inner,
            world.outer,
            self.seed
        );
        assert_eq!(world.inner.fault(), None, "{state}");
        assert_eq!(world.outer.fault(), None, "{state}");
        assert!(done, "not over in time: {state}");
        assert_eq!(world.inner.received(), self.octets, "{state}");
        assert_eq!(world.outer.received(), self.octets, "{state}");
        let over = world.now();
        world.linger(AFTERWARDS);
        if self.outer == Harm::default() && self.inner == Harm::default() {
            assert!(
                world.inner.is_closed() && world.outer.is_closed(),
                "not closed: {state}"
            );
        }
        over
    }

    /// The same with an engine in the middle; answers what happened in it.
    fn run_with_engine(&self, flow: FlowConfig) -> Report {
        println!("{self:?}: again with LOCALACK_SEED={}", self.seed);
        let mut memory = Memory::new(4, 2048, 1536);
        let engine = Engine::new(memory.storage(), Config::new([1, 2]), flow).expect("valid");
        let mut world = self.world(EngineBox::new(engine));
        let over = self.run(&mut world);
        let faults = world.middle.faults();
        assert!(
            faults.is_empty(),
            "{} laws broken, first: {:#?}\nbefore it: {:#?}",
            faults.len(),
            &faults[..faults.len().min(5)],
            world.middle.before_fault()
        );
        let lost = world.middle.counters().octets_lost;
        assert_eq!(lost, 0, "octets were lost");
        let owed: u32 = world
            .middle
            .engine()
            .flows()
            .map(|flow| flow.inner_to_outer.debt + flow.outer_to_inner.debt)
            .sum();
        assert_eq!(
            owed, 0,
            "octets are still owed long after both hosts had everything"
        );
        Report {
            most_debt: world.middle.most_debt(),
            events: world.middle.events().to_vec(),
            over,
        }
    }
}

struct Report {
    most_debt: [u32; 2],
    events: Vec<Event>,
    over: Instant,
}

impl Report {
    fn saw(&self, wanted: fn(&Event) -> bool) -> bool {
        self.events.iter().any(wanted)
    }
}

/// A seed with which smoltcp's first sequence number lies less than half a stream before 2^32.
fn seed_before_the_wrap(settings: &SmolSettings, octets: usize) -> u64 {
    use localack_testkit::packet::Packet;
    use localack_testkit::sim::Endpoint as _;
    let before = u32::try_from(octets / 2).expect("a short stream");
    (0..1 << 20)
        .find(|&seed| {
            let mut host = SmolHost::new(SmolSettings {
                seed,
                buffer: 64,
                ..settings.clone()
            });
            let sent = host.poll(localack_core::Instant::ZERO);
            let syn = sent.first().and_then(|octets| Packet::decode(octets).ok());
            syn.is_some_and(|syn| syn.packet.seq > u32::MAX - before)
        })
        .expect("one seed in some thousands")
}

/// Without an engine the network itself must deliver, or the other tests prove nothing.
#[test]
fn the_bare_network_delivers() {
    for seed in seeds(2) {
        for v6 in [false, true] {
            let case = Case {
                octets: MEBIBYTE / 8,
                ..Case::new(v6, seed)
            };
            let _ = case.run(&mut case.world(Wire));
        }
    }
}

/// Both directions in LocalAck at once over 5 % loss each way and reordering (H9.10).
#[test]
fn a_mebibyte_each_way_arrives_intact_with_both_directions_served() {
    for seed in seeds(6) {
        for v6 in [false, true] {
            let report = Case::new(v6, seed).run_with_engine(FlowConfig::both_local_ack());
            assert!(
                report.most_debt.iter().all(|&debt| debt > 10_000),
                "nothing was in custody"
            );
        }
    }
}

/// One direction in LocalAck, the other untouched.
#[test]
fn a_mebibyte_each_way_arrives_intact_with_one_direction_served() {
    for direction in Direction::BOTH {
        for seed in seeds(4) {
            for v6 in [false, true] {
                let flow = FlowConfig::tracked().with_service(direction, Service::LocalAck);
                let report = Case::new(v6, seed).run_with_engine(flow);
                let served = usize::from(direction == Direction::OuterToInner);
                assert!(report.most_debt[served] > 10_000, "nothing was in custody");
                assert_eq!(
                    report.most_debt[1 - served],
                    0,
                    "the other direction was touched"
                );
            }
        }
    }
}

/// No service: the engine only looks on.
#[test]
fn a_flow_without_service_is_not_disturbed() {
    for seed in seeds(2) {
        for v6 in [false, true] {
            let case = Case {
                octets: MEBIBYTE / 8,
                ..Case::new(v6, seed)
            };
            let report = case.run_with_engine(FlowConfig::tracked());
            assert_eq!(report.most_debt, [0, 0]);
            // Bit for bit as without the engine: so is the time it takes.
            assert_eq!(report.over, case.run(&mut case.world(Wire)), "{case:?}");
        }
    }
}

/// Both links lose, reorder, duplicate and corrupt.
#[test]
fn streams_survive_every_kind_of_harm_on_both_sides() {
    let harm = Harm {
        loss: 20_000,
        reorder: 50_000,
        duplicate: 20_000,
        corrupt: 10_000,
    };
    for seed in seeds(6) {
        for v6 in [false, true] {
            let octets = MEBIBYTE / 4;
            let case = Case {
                octets,
                outer: harm,
                inner: harm,
                ..Case::new(v6, seed)
            };
            case.run_with_engine(FlowConfig::both_local_ack());
        }
    }
}

/// Over clean links of different speeds both hosts close at will, and no state is left.
#[test]
fn both_hosts_close_and_no_state_is_left() {
    for flow in [
        FlowConfig::both_local_ack(),
        FlowConfig::inner_local_ack(),
        FlowConfig::tracked(),
    ] {
        for seed in seeds(4) {
            for v6 in [false, true] {
                let (octets, outer) = (MEBIBYTE / 8, Harm::default());
                let case = Case {
                    octets,
                    outer,
                    ..Case::new(v6, seed)
                };
                let report = case.run_with_engine(flow);
                let closed = report.saw(|event| matches!(event, Event::Closed { .. }));
                assert!(closed, "state is left over: {case:?}");
            }
        }
    }
}

/// Two engines in series work, each with the other as its host (H9.6, invariant 16).
#[test]
fn two_engines_in_series_deliver() {
    for seed in seeds(2) {
        for v6 in [false, true] {
            let case = Case {
                octets: MEBIBYTE / 4,
                ..Case::new(v6, seed)
            };
            println!("{case:?}: again with LOCALACK_SEED={seed}");
            let mut memories = [(); 2].map(|()| Memory::new(4, 2048, 1536));
            let [first, second] = memories.each_mut().map(|memory| {
                let flow = FlowConfig::both_local_ack();
                let engine = Engine::new(memory.storage(), Config::new([1, 2]), flow);
                EngineBox::new(engine.expect("valid"))
            });
            let mut world = case.world(Series { first, second });
            case.run(&mut world);
            for middle in [&world.middle.first, &world.middle.second] {
                let (faults, before) = (middle.faults(), middle.before_fault());
                assert!(
                    faults.is_empty(),
                    "{case:?}: {:#?}\n{before:#?}",
                    faults.first()
                );
                assert_eq!(middle.counters().octets_lost, 0);
            }
        }
    }
}

/// Sequence numbers pass 2^32 in the middle of the transfer (H9.9).
#[test]
fn streams_survive_the_wrap_of_sequence_numbers() {
    for seed in seeds(2) {
        let case = Case {
            wraps: true,
            octets: MEBIBYTE / 4,
            ..Case::new(false, seed)
        };
        case.run_with_engine(FlowConfig::both_local_ack());
    }
}
