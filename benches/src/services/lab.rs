//! The world of a case, in virtual time.

use core::net::SocketAddr;
use core::time::Duration;

use localack_core::{Config, Engine, Instant, PacketMeta, ShapingId};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{BareBox, Between, Crowd, LinuxConfig, LinuxHost, World, Write};

use super::arrangement::{Arranged, Arrangement, BYSTANDER};
use super::case::{Case, Work};
use super::route::Dials;

const BLOCK_SIZE: usize = 2048;
/// How often round trips are looked at.
const SAMPLE: Duration = Duration::from_millis(100);
/// How often a bystander says something, and how much.
const CHAT: Duration = Duration::from_millis(100);
const CHAT_OCTETS: u64 = 200;

fn flows(case: &Case) -> u16 {
    match case.work {
        Work::Endless { flows, .. } => flows,
        Work::Objects(..) => 1,
    }
}

/// What a flow may have in flight, octets: the slowest link's share of both round trips and queues.
fn in_flight(case: &Case) -> u64 {
    let route = &case.route;
    let rate = route.most() as u64;
    let round_trips = route.round_trip().as_micros() as u64 * rate / 1_000_000;
    round_trips + route.outer_up.queue.min(rate * 2)
}

/// Octets that the engine may hold for one flow.
fn buffer_limit(case: &Case) -> u32 {
    u32::try_from((4 * in_flight(case)).clamp(1 << 20, 32 << 20)).expect("clamped")
}

/// Memory for the engine of `case`; `None` if it has none.
pub(super) fn memory(case: &Case) -> Option<Memory> {
    let held = case
        .arrangement
        .buffer
        .unwrap_or_else(|| buffer_limit(case));
    // Copies take half of the pool at most.
    let octets = (held as usize * 5 / 2).max(1 << 16) * usize::from(flows(case));
    let slots = usize::from(flows(case)) + 2;
    let has_engine = case.arrangement.has_engine;
    has_engine.then(|| Memory::new(slots, octets / BLOCK_SIZE, BLOCK_SIZE))
}

fn between<'m>(case: &Case, memory: Option<&'m mut Memory>) -> Between<'m, Arranged> {
    let engine = memory.map(|memory| {
        let mut config = Config::new([7, 11]);
        config.mtu = [1500; 2];
        let policy = case.arrangement.policy(buffer_limit(case));
        let storage = memory.storage();
        let mut engine = Engine::new(storage, config, policy).expect("it fits together");
        for (number, shaping) in Arrangement::SHAPED.iter().zip(case.arrangement.shapings()) {
            let id = ShapingId::new(*number).expect("below 16");
            assert!(engine.set_shaping(id, &shaping, Instant::ZERO), "an id");
        }
        BareBox::new(engine, PacketMeta::default()).measuring()
    });
    Between::new(engine)
}

fn address(text: &str, port: u16) -> SocketAddr {
    SocketAddr::new(text.parse().expect("a literal"), port)
}

/// Sender and receiver number `number`.
fn settings(case: &Case, number: u16) -> [LinuxConfig; 2] {
    let buffer = |times: u64| {
        let octets = usize::try_from(times * in_flight(case)).expect("64 bits");
        octets.max(6 << 20)
    };
    let sender = LinuxConfig {
        own: address("192.0.2.10", 40_000 + number),
        peer: address("203.0.113.20", 5_000 + number),
        isn: 0x2f6b_3d15_u32.wrapping_add(0x0100_0000 * u32::from(number)),
        send_buffer: buffer(4),
        receive_buffer_max: buffer(8),
        ..LinuxConfig::default()
    };
    let receiver = sender.mirrored();
    [sender, receiver]
}

fn hosts(case: &Case, octets: Option<u32>) -> [Vec<(SocketAddr, LinuxHost)>; 2] {
    let mut all = [Vec::new(), Vec::new()];
    for number in 0..flows(case) {
        let [sender, receiver] = settings(case, number);
        let ends = [sender.own, receiver.own];
        // They do not all begin at the same time.
        let at = Instant::from_millis(u64::from(number) * 130);
        let sender = LinuxHost::connect(sender).connecting_at(at);
        let sender = match octets {
            Some(octets) => sender.send_total(octets.into()),
            None => sender.send_endless(),
        };
        let mut receiver = LinuxHost::listen(receiver);
        if let Work::Endless { read_rate, .. } = case.work {
            receiver = receiver.read_rate(read_rate);
        }
        all[0].push((ends[0], sender));
        all[1].push((ends[1], receiver));
    }
    if let Work::Endless {
        bystander: true,
        seconds,
        ..
    } = case.work
    {
        let [mut sender, mut receiver] = settings(case, 1000);
        sender.peer.set_port(BYSTANDER);
        receiver.own.set_port(BYSTANDER);
        let ends = [sender.own, receiver.own];
        let step = Write {
            wait: CHAT,
            octets: CHAT_OCTETS,
            ..Write::default()
        };
        let steps = (0..seconds * 10).map(|_| step);
        let sender = LinuxHost::connect(sender).send_scripted(steps, false);
        all[0].push((ends[0], sender));
        all[1].push((ends[1], LinuxHost::listen(receiver)));
    }
    all
}

/// Round trips as hosts saw them, summed up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    sum: Duration,
    count: u32,
}

impl Seen {
    fn note(&mut self, round_trip: Option<Duration>) {
        if let Some(round_trip) = round_trip {
            self.sum += round_trip;
            self.count += 1;
        }
    }

    /// The mean in milliseconds, if there was any.
    pub(super) fn mean_ms(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum.as_secs_f64() * 1000.0 / f64::from(self.count))
    }
}

/// Hosts, links and what is between them.
#[derive(Debug)]
pub(super) struct Lab<'m> {
    world: World<Crowd<LinuxHost>, Crowd<LinuxHost>, Between<'m, Arranged>>,
    pub(super) dials: Dials,
    flows: usize,
    pub(super) seen: Seen,
    pub(super) bystander: Seen,
}

impl<'m> Lab<'m> {
    /// A world with [`memory`] for its engine, and senders with so many octets each; `None`: without end.
    pub(super) fn new(
        case: &Case,
        seed: u64,
        memory: Option<&'m mut Memory>,
        octets: Option<u32>,
    ) -> Self {
        let (links, dials) = case.route.links(seed);
        let [senders, receivers] = hosts(case, octets).map(Crowd::new);
        Self {
            world: World::new(senders, receivers, between(case, memory), links),
            dials,
            flows: flows(case).into(),
            seen: Seen::default(),
            bystander: Seen::default(),
        }
    }

    /// The senders of the flows that are measured.
    pub(super) fn senders(&self) -> impl Iterator<Item = &LinuxHost> {
        self.world.inner.hosts().take(self.flows)
    }

    /// Payload octets that each receiver has got in order.
    pub(super) fn received(&self) -> Vec<u64> {
        let receivers = self.world.outer.hosts().take(self.flows);
        receivers.map(LinuxHost::received).collect()
    }

    /// Lets `time` pass, and notes round trips.
    pub(super) fn watch(&mut self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = SAMPLE.min(left);
            self.world.linger(step);
            left -= step;
            let round_trip = |lab: &Self, number| {
                let host = lab.world.inner.hosts().nth(number)?;
                host.smoothed_rtt()
            };
            for number in 0..self.flows {
                let seen = round_trip(self, number);
                self.seen.note(seen);
            }
            let seen = round_trip(self, self.flows);
            self.bystander.note(seen);
        }
    }

    /// Runs until the first flow's octets have arrived; the time, or `None` if `limit` passes first.
    pub(super) fn run_until(&mut self, octets: u64, limit: Duration) -> Option<Duration> {
        while self.received()[0] < octets {
            if !self.world.step() || self.elapsed() > limit {
                return None;
            }
        }
        Some(self.elapsed())
    }

    /// Runs until all hosts have closed; false if that takes more than `limit`.
    pub(super) fn close(&mut self, limit: Duration) -> bool {
        self.world.run(limit)
    }

    /// Time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.world.now().since(Instant::ZERO)
    }

    /// The most octets in custody.
    pub(super) fn most_custody(&self) -> u32 {
        let engine = self.world.middle.engine();
        engine.map_or(0, |engine| engine.most_debt()[0])
    }

    /// What hosts and engine found wrong.
    pub(super) fn faults(&self) -> Vec<String> {
        let World { inner, outer, .. } = &self.world;
        let mut faults = Vec::new();
        for (name, crowd) in [("sender", inner), ("receiver", outer)] {
            for (number, host) in crowd.hosts().enumerate() {
                // A network may deliver twice, and a sender be told so; the engine may, too.
                let all = host.faults().iter();
                let some = all.filter(|fault| !fault.may_be_network()).take(3);
                faults.extend(some.map(|fault| format!("{name} {number}: {fault:?}")));
            }
        }
        if let Some(engine) = self.world.middle.engine() {
            let lost = engine.counters().octets_lost;
            if lost > 0 {
                faults.push(format!("the engine lost {lost} octets"));
            }
        }
        faults
    }
}
