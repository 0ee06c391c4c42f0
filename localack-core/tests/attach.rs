//! An engine dies in the middle of something, and another takes its memory over: transfers complete, or both
//! hosts hear of it and the loss is counted (rules H8.7, H9.2, H13.1; RFC 5961 section 3.2).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that goes wrong here should stop"
)]

use core::net::SocketAddr;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::{catch_unwind, resume_unwind};

use localack_core::{
    AttachError, AttachReport, Config, Controller, Custody, Direction, Engine, Event, FlowConfig,
    FlowId, FlowState, Instant, PacketMeta, Poll, Port, Service, Sink, SinkFull, Transmit, Verdict,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet};
use localack_testkit::sim::{
    Delay, Links, LinuxConfig, LinuxHost, Loss, Middle, Path, Random, Rate, World, seeds,
};

/// What a sink throws when its engine is to die.
struct Death;

/// A sink in whose middle of the work the process ends.
struct MortalSink {
    made: Vec<(Port, Vec<u8>)>,
    events: Vec<Event>,
    /// Packets until then.
    fuse: Option<u32>,
    /// Whether the packet has left when it happens.
    has_left: bool,
    /// The flow in whose work that was.
    victim: Option<FlowId>,
}

impl Sink for MortalSink {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let dies = self.fuse == Some(0);
        self.fuse = self.fuse.and_then(|left| left.checked_sub(1));
        if !dies || self.has_left {
            let octets = packet.slices().flatten().copied().collect();
            self.made.push((packet.port(), octets));
        }
        if dies {
            self.victim = Some(packet.flow());
            resume_unwind(Box::new(Death));
        }
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        self.events.push(event);
    }
}

/// Engines, one after the other, over the same memory.
struct Dynasty<'e> {
    engine: Option<Engine<'e, FlowConfig>>,
    sink: MortalSink,
    random: Random,
    /// Packets that an engine makes before it dies, at most; none: they die between two calls only.
    reign: u32,
    /// Whether they die at all.
    violence: bool,
    calls: u32,
    successions: u32,
    ruined: u32,
    interrupted: u32,
    /// Octets that engines owed for certain to those in whose work they died, and those that they held for
    /// them: the last acknowledgement may have left.
    owed: [u64; 2],
}

impl<'e> Dynasty<'e> {
    fn new(engine: Engine<'e, FlowConfig>, reign: u32, violence: bool, seed: u64) -> Self {
        let mut dynasty = Self {
            engine: Some(engine),
            sink: MortalSink {
                made: Vec::new(),
                events: Vec::new(),
                fuse: None,
                has_left: false,
                victim: None,
            },
            random: Random::new(seed),
            reign,
            violence,
            calls: 0,
            successions: 0,
            ruined: 0,
            interrupted: 0,
            owed: [0; 2],
        };
        dynasty.light_fuse();
        dynasty
    }

    fn light_fuse(&mut self) {
        self.calls = 1 + self.random.below(self.reign);
        self.sink.fuse = self.violence.then(|| 1 + self.random.below(self.reign));
        self.sink.has_left = self.random.chance(500_000);
    }

    fn succeed(&mut self) {
        let engine = self.engine.take().expect("there is always one");
        let victim = self.sink.victim.take();
        let victim = victim.and_then(|flow| engine.flow(flow));
        if let Some(flow) = victim.filter(|flow| flow.state != FlowState::Tombstone) {
            for direction in Direction::BOTH.map(|direction| flow.direction(direction)) {
                let held = direction.rcv_nxt.octets_past(direction.snd_una);
                self.owed[0] += u64::from(direction.debt);
                self.owed[1] += u64::from(direction.debt.max(held));
            }
        }
        let (storage, config, policy) = engine.into_parts();
        let (engine, report) =
            Engine::attach(storage, config, policy).expect("an engine has lived here");
        assert!(report.ruined + report.forgotten <= 1, "{report:?}");
        assert!(report.interrupted || report.ruined == 0, "{report:?}");
        self.successions += 1;
        self.ruined += report.ruined;
        self.interrupted += u32::from(report.interrupted);
        self.engine = Some(engine);
        self.light_fuse();
    }

    fn call<T>(
        &mut self,
        job: impl FnOnce(&mut Engine<'e, FlowConfig>, &mut MortalSink) -> T,
    ) -> Option<T> {
        let engine = self.engine.as_mut().expect("there is always one");
        let sink = &mut self.sink;
        let done = catch_unwind(AssertUnwindSafe(|| job(engine, sink)));
        self.calls = self.calls.saturating_sub(1);
        match done {
            Ok(answer) => {
                if !self.violence && self.calls == 0 {
                    self.succeed();
                }
                Some(answer)
            }
            Err(reason) if reason.is::<Death>() => {
                self.succeed();
                None
            }
            Err(reason) => resume_unwind(reason),
        }
    }
}

impl Middle for Dynasty<'_> {
    fn ingest(&mut self, now: Instant, port: Port, mut packet: Vec<u8>) -> Vec<(Port, Vec<u8>)> {
        let verdict = self.call(|engine, sink| {
            engine.ingest(port, now, &mut packet, PacketMeta::default(), sink)
        });
        let mut left = core::mem::take(&mut self.sink.made);
        if let Some(Verdict::Pass(_) | Verdict::Forward) = verdict {
            left.push((port.other(), packet));
        }
        left
    }

    fn poll(&mut self, now: Instant) -> Vec<(Port, Vec<u8>)> {
        while let Some(Poll::More) = self.call(|engine, sink| engine.poll(now, 64, sink)) {}
        core::mem::take(&mut self.sink.made)
    }

    fn next_at(&self) -> Option<Instant> {
        self.engine.as_ref().and_then(Engine::next_deadline)
    }
}

type Kingdom<'e> = World<LinuxHost, LinuxHost, Dynasty<'e>>;

const OCTETS: u64 = 300_000;
/// Octets per second of the outer link.
const RATE: u32 = 1_250_000;

fn policy(controller: Controller) -> FlowConfig {
    let mut policy = FlowConfig::tracked()
        .with_service(Direction::InnerToOuter, Service::LocalAck)
        .with_service(Direction::OuterToInner, Service::LocalAck);
    (policy.controller, policy.inward_controller) = (controller, controller);
    policy
}

fn kingdom<'e>(
    memory: &'e mut Memory,
    controller: Controller,
    reign: u32,
    violence: bool,
    seed: u64,
) -> Kingdom<'e> {
    let mut random = Random::new(seed);
    let engine = Engine::new(memory.storage(), Config::new([1, 2]), policy(controller))
        .expect("memory that fits");
    let mut way = |ms| {
        Path::new()
            .then(Rate::new(RATE.into(), 60_000))
            .then(Loss {
                ppm: 10_000,
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
    let config = LinuxConfig::default();
    let outer = LinuxHost::listen(config.mirrored()).send_total(OCTETS);
    let inner = LinuxHost::connect(config).send_total(OCTETS);
    World::new(
        inner,
        outer,
        Dynasty::new(engine, reign, violence, seed ^ 0x5eed),
        links,
    )
}

const CONTROLLERS: [Controller; 3] = [
    Controller::Cubic,
    Controller::Bbr,
    Controller::provisioned(RATE),
];

/// Succession in good order, however often, loses nothing and resets nobody.
#[test]
fn h13_1_an_engine_that_takes_over_between_two_calls_carries_on() {
    for (turn, seed) in seeds(6).into_iter().enumerate() {
        let controller = CONTROLLERS[turn % 3];
        let mut memory = Memory::new(4, 1024, 2048);
        let mut world = kingdom(&mut memory, controller, 20, false, seed);
        assert!(world.run(Duration::from_secs(300)), "not done: seed {seed}");
        let received = [world.inner.received(), world.outer.received()];
        assert_eq!(received, [OCTETS; 2], "seed {seed}");
        for host in [&world.inner, &world.outer] {
            assert_eq!(host.grave_fault(), None, "seed {seed}");
        }
        let dynasty = &world.middle;
        assert!(dynasty.successions > 50, "only {}", dynasty.successions);
        assert_eq!((dynasty.ruined, dynasty.interrupted), (0, 0));
    }
}

/// An engine that dies while it sends leaves one flow that nobody can rely on: it is reset at both ends, and
/// every octet that a host was told had arrived has, or is counted as lost.
#[test]
fn h8_7_an_engine_that_dies_at_work_loses_nothing_in_silence() {
    let (mut ruined, mut lost) = (0, 0);
    let seeds = seeds(60);
    // One that is replayed proves nothing about how many there are.
    let enough = if seeds.len() > 1 { 20 } else { 0 };
    for (turn, seed) in seeds.into_iter().enumerate() {
        let controller = CONTROLLERS[turn % 3];
        let mut memory = Memory::new(4, 1024, 2048);
        let mut world = kingdom(&mut memory, controller, 700, true, seed);
        let done = world.run(Duration::from_secs(300));
        world.linger(Duration::from_secs(200));
        let dynasty = &world.middle;
        ruined += dynasty.ruined;
        let hosts = [&world.inner, &world.outer];
        let received = hosts.map(LinuxHost::received);
        if dynasty.ruined == 0 {
            let [least, _] = dynasty.owed;
            assert_eq!(
                least, 0,
                "seed {seed}: what was owed is not told to be lost"
            );
            assert!(done && received == [OCTETS; 2], "seed {seed}: {received:?}");
            continue;
        }
        let given_up: u64 = dynasty
            .sink
            .events
            .iter()
            .map(|event| {
                if let Event::GivenUp { lost, .. } = event {
                    u64::from(*lost)
                } else {
                    0
                }
            })
            .sum();
        let engine = dynasty.engine.as_ref().expect("there is always one");
        assert_eq!(engine.counters().octets_lost, given_up, "seed {seed}");
        // What was owed where an engine died is told to be lost, and no more than it can have owed.
        let [least, most] = dynasty.owed;
        assert!(
            (least..=most).contains(&given_up),
            "seed {seed}: {given_up} octets told to be lost, of {least} to {most}"
        );
        lost += given_up;
        for (sender, receiver) in [(hosts[0], hosts[1]), (hosts[1], hosts[0])] {
            // What was acknowledged and has not arrived was told to be lost.
            let missing = sender.acknowledged().saturating_sub(receiver.received());
            assert!(
                missing <= given_up,
                "seed {seed}: {missing} octets, {given_up} told"
            );
            let whole = receiver.received() == OCTETS && sender.acknowledged() >= OCTETS;
            assert!(
                whole || (!sender.is_established() && !receiver.is_established()),
                "seed {seed}: a host waits for ever"
            );
        }
    }
    assert!(
        ruined >= enough && (lost > 0 || enough == 0),
        "hardly any engine has died at work: {ruined}, {lost} octets lost"
    );
}

/// A segment between two hosts: who sends it, its flags, its sequence and acknowledgement numbers.
fn segment(from: Port, flags: Flags, seq: u32, ack: u32, octets: usize) -> Vec<u8> {
    let (inner, outer) = (
        SocketAddr::from(([192, 0, 2, 1], 40_000)),
        SocketAddr::from(([203, 0, 113, 1], 443)),
    );
    let (source, destination) = match from {
        Port::Inner => (inner, outer),
        Port::Outer => (outer, inner),
    };
    let packet = Packet {
        source,
        destination,
        ip: IpFields::default(),
        flags,
        seq,
        ack,
        window: 60_000,
        urgent: 0,
        options: Options::default(),
        payload: vec![7; octets],
    };
    packet.encode(Layout::Aligned)
}

/// An engine that dies when an acknowledgement has left, and before it has written that down, may have told
/// more than it knows: all of that counts as lost.
#[test]
fn h8_7_an_acknowledgement_that_nobody_has_written_down_counts() {
    let mut told = 0;
    for fuse in 0..4 {
        let mut memory = Memory::new(4, 64, 2048);
        let mut policy = policy(Controller::Cubic);
        policy.custody = Custody::AfterHandshake;
        let engine = Engine::new(memory.storage(), Config::new([1, 2]), policy);
        let engine = engine.expect("memory that fits");
        let mut dynasty = Dynasty::new(engine, 1000, true, 1);
        dynasty.sink.fuse = None;
        let (inner, outer) = (Port::Inner, Port::Outer);
        let now = Instant::from_micros(1_000_000);
        for (from, flags, seq, ack) in [
            (inner, Flags::SYN, 99, 0),
            (outer, Flags::SYN | Flags::ACK, 499, 100),
            (inner, Flags::ACK, 100, 500),
        ] {
            dynasty.ingest(now, from, segment(from, flags, seq, ack, 0));
        }
        dynasty.sink.fuse = Some(fuse);
        dynasty.sink.has_left = true;
        let mut left = dynasty.ingest(now, inner, segment(inner, Flags::ACK, 100, 500, 1000));
        left.extend(dynasty.poll(now));
        if dynasty.ruined == 0 {
            continue;
        }
        let acknowledged = left.iter().filter(|(port, _)| *port == inner);
        let acknowledged = acknowledged.filter_map(|(_, octets)| {
            let packet = Packet::decode(octets).expect("a segment").packet;
            (!packet.flags.has(Flags::RST)).then_some(packet.ack - 100)
        });
        let acknowledged = acknowledged.max().unwrap_or(0);
        told = told.max(acknowledged);
        let engine = dynasty.engine.as_ref().expect("there is always one");
        let lost = engine.counters().octets_lost;
        assert!(
            lost >= acknowledged.into(),
            "{acknowledged} acknowledged, {lost} told to be lost"
        );
    }
    assert_eq!(told, 1000, "no engine has died of an acknowledgement");
}

/// Memory that no engine of this build has lived in, or that was cut otherwise, is not taken over, and not
/// touched.
#[test]
fn memory_of_others_is_refused() {
    let config = Config::new([1, 2]);
    let flow = policy(Controller::Cubic);
    let mut memory = Memory::new(4, 64, 2048);
    let attach = |memory: &mut Memory| {
        Engine::attach(memory.storage(), config, flow).map(|(_, report)| report)
    };
    assert!(!memory.storage().head.is_used());
    assert_eq!(attach(&mut memory), Err(AttachError::Empty));
    Engine::new(memory.storage(), config, flow).expect("memory that fits");
    assert!(memory.storage().head.is_used());
    assert_eq!(attach(&mut memory), Ok(AttachReport::default()));
    let mut storage = memory.storage();
    let flows = core::mem::take(&mut storage.flows);
    storage.flows = &mut flows[..3];
    let refused = Engine::attach(storage, config, flow).map(|(_, report)| report);
    assert_eq!(refused, Err(AttachError::Sizes));
    // Smaller blocks, as many.
    let mut storage = memory.storage();
    let arena = core::mem::take(&mut storage.arena);
    let half = arena.len() / 2;
    storage.arena = &mut arena[..half];
    let refused = Engine::attach(storage, config, flow).map(|(_, report)| report);
    assert_eq!(refused, Err(AttachError::Sizes));
    let mut odd = config;
    odd.reserved_blocks = 0;
    let refused = Engine::attach(memory.storage(), odd, flow).map(|(_, report)| report);
    assert!(
        matches!(refused, Err(AttachError::Config(_))),
        "{refused:?}"
    );
}
