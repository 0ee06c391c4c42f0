//! What the engine sends pleases the strictest receiver: hosts that refuse what any of Linux, FreeBSD and
//! smoltcp refuses have nothing to refuse, whatever is lost and whoever reads slowly, as long as the network
//! keeps the order (rules H1.1 to H1.6, H2.1 to H2.4, H3.1 to H3.8, H4.2, H5.10, H6.1; invariants 3 to 9).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that goes wrong here should stop"
)]

use core::time::Duration;

use localack_core::{Config, Controller, Direction, Engine, FlowConfig, Instant, Service};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    Delay, EngineBox, FaultKind, Links, LinuxConfig, LinuxHost, Loss, Path, Random, Rate, World,
    seeds,
};

type EngineWorld<'e> = World<LinuxHost, LinuxHost, EngineBox<'e, FlowConfig>>;

const LIMIT: Duration = Duration::from_secs(300);
/// Octets per second of the outer link.
const RATE: u32 = 1_250_000;
const OCTETS: u64 = 400_000;

/// A case: who is served, what the ends agree on, and what makes it hard.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Data of the inner and of the outer host, which send only if they are served.
    served: [bool; 2],
    sack: bool,
    timestamps: bool,
    scaling: bool,
    /// Whether the hosts refuse what anybody refuses, or what Linux does.
    strict: bool,
    /// Octets per second that each application reads; `None`: all at once.
    reads: Option<u64>,
    controller: Controller,
    loss_ppm: u32,
    seed: u64,
}

impl Case {
    fn hosts(&self) -> [LinuxHost; 2] {
        let config = LinuxConfig {
            sack: self.sack,
            timestamps: self.timestamps,
            window_scale: self.scaling.then_some(0),
            // Small enough to be full most of the time.
            receive_buffer: 32 << 10,
            receive_buffer_max: 128 << 10,
            strict: self.strict,
            ..LinuxConfig::default()
        };
        let [inner, outer] = [
            LinuxHost::connect(config.clone()),
            LinuxHost::listen(config.mirrored()),
        ]
        .map(|host| host.read_rate(self.reads));
        let send = |host: LinuxHost, served| {
            if served {
                host.send_total(OCTETS)
            } else {
                host
            }
        };
        [send(inner, self.served[0]), send(outer, self.served[1])]
    }

    fn policy(&self) -> FlowConfig {
        let mut policy = FlowConfig::tracked();
        for (direction, served) in DIRECTIONS.into_iter().zip(self.served) {
            if served {
                policy = policy.with_service(direction, Service::LocalAck);
            }
        }
        policy.controller = self.controller;
        policy.inward_controller = self.controller;
        policy
    }

    fn world<'e>(&self, memory: &'e mut Memory) -> EngineWorld<'e> {
        let mut random = Random::new(self.seed);
        let engine = Engine::new(memory.storage(), Config::new([1, 2]), self.policy())
            .expect("memory that fits");
        let mut way = |ms| {
            Path::new()
                .then(Rate::new(RATE.into(), 100_000))
                .then(Loss {
                    ppm: self.loss_ppm,
                    random: random.fork(),
                })
                .then(Delay(Duration::from_millis(ms)))
        };
        let links = Links {
            inner_up: way(1),
            inner_down: way(1),
            outer_up: way(30),
            outer_down: way(30),
        };
        let [inner, outer] = self.hosts();
        World::new(inner, outer, EngineBox::new(engine), links)
    }

    /// All arrived, and nobody has anything against anybody but what is `excused`.
    fn ended(&self, world: &EngineWorld<'_>, excused: &[FaultKind]) {
        let sent = self.served.map(|served| if served { OCTETS } else { 0 });
        let received = [world.outer.received(), world.inner.received()];
        assert_eq!(received, sent, "{self:?}");
        for (host, name) in [(&world.inner, "inner"), (&world.outer, "outer")] {
            let mut faults = host.faults().iter();
            let fault = faults.find(|fault| !excused.contains(&fault.kind));
            assert_eq!(fault, None, "the {name} host, {self:?}");
        }
        assert_eq!(world.middle.faults(), &[] as &[String], "{self:?}");
        assert_eq!(world.middle.counters().octets_lost, 0, "{self:?}");
    }
}

const DIRECTIONS: [Direction; 2] = [Direction::InnerToOuter, Direction::OuterToInner];

/// All ways to agree on options, each with two of the ways to be hard.
fn cases() -> Vec<Case> {
    let controllers = [
        Controller::Reno,
        Controller::Cubic,
        Controller::Bbr,
        Controller::provisioned(RATE),
    ];
    let mut cases = Vec::new();
    let seed = seeds(1).into_iter().sum::<u64>() << 32;
    for options in 0..8_usize {
        for (turn, served) in [[true, false], [false, true], [true, true]]
            .into_iter()
            .enumerate()
        {
            for hard in 0..2 {
                cases.push(Case {
                    strict: true,
                    served,
                    sack: options & 1 != 0,
                    timestamps: options & 2 != 0,
                    scaling: options & 4 != 0,
                    reads: (hard == 1).then_some(150_000),
                    controller: controllers[(options + turn + hard) % 4],
                    loss_ppm: [20_000, 2_000][hard],
                    seed: seed + cases.len() as u64,
                });
            }
        }
    }
    cases
}

fn memory() -> Memory {
    Memory::new(4, 1024, 2048)
}

#[test]
fn the_strictest_receiver_refuses_nothing_that_the_engine_sends() {
    let mut recovered = 0;
    for case in cases() {
        let mut memory = memory();
        let mut world = case.world(&mut memory);
        assert!(world.run(LIMIT), "not done: {case:?}");
        case.ended(&world, &[]);
        recovered += world.middle.counters().recoveries;
    }
    assert!(recovered > 50, "hardly anything was lost");
}

/// Section 3, invariants 4 and 25: nor when services end and begin anew in the middle of it. Two Linux hosts
/// that nobody serves fill each other's windows to the last octet, and then acknowledge from there: what
/// the strictest refuse, so that these are spared it where both send.
#[test]
fn nor_when_services_change() {
    let mut changes = 0;
    for mut case in cases().into_iter().filter(|case| case.reads.is_none()) {
        case.strict = case.served != [true; 2];
        let mut memory = memory();
        let mut world = case.world(&mut memory);
        let mut random = Random::new(case.seed);
        while world.now() < Instant::from_millis(300_000) && !world.run(Duration::ZERO) {
            world.linger(Duration::from_millis(u64::from(50 + random.below(400))));
            let now = world.now();
            let engine = world.middle.engine();
            let Some(flow) = engine.flows().last().map(|flow| flow.id) else {
                continue;
            };
            for (direction, served) in DIRECTIONS.into_iter().zip(case.served) {
                let service = [Service::Bypass, Service::LocalAck][random.below(2) as usize];
                if served {
                    changes += u32::from(engine.set_service(flow, direction, service, now).is_ok());
                }
            }
        }
        assert!(world.run(LIMIT), "not done: {case:?}");
        // The receiver's own acknowledgements may end where octets were SACKed (rule H4.2).
        let mut excused = vec![FaultKind::Reneged];
        // Whoever is handed over while the receiver's window is smaller than the one it was offered has
        // that taken back (rule H2.11).
        if world.middle.counters().soft_drains > 0 {
            excused.extend([FaultKind::WindowRetreat, FaultKind::BeyondWindow]);
        }
        case.ended(&world, &excused);
    }
    assert!(changes > 100, "{changes} changes");
}
