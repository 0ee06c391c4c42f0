//! The path of a cell, with hosts and a box, in virtual time.

use core::cell;
use core::net::SocketAddr;
use core::time::Duration;
use std::rc::Rc;

use localack_core::{Config, Engine, FlowConfig, Instant, PacketMeta};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    BareBox, Between, Delay, Links, LinuxConfig, LinuxHost, Loss, Path, Random, Rate, World,
};

use super::cell::{Cell, Contender, Scenario};
use super::meter::{Meter, Reading};

/// The round trip between sender and box.
const LAN_RTT: Duration = Duration::from_micros(200);
/// What the sender's own interface can queue: Linux does not drop there, it makes sockets wait.
const LAN_QUEUE: u64 = 256 << 20;
/// The least queue before the path: 64 packets.
const LEAST_QUEUE: u64 = 64 * 1500;
/// A send buffer of 64 KB.
const SMALL_BUFFER: usize = 64 << 10;
const BLOCK_SIZE: usize = 2048;
/// Slots for the connections of one run, which come one after the other.
const FLOWS: usize = 4;

/// How much the engine may hold for a connection: eight bandwidth-delay products, for what is lost
/// again and again is held for as many round trips, but at most 64 MiB; where two products are more
/// than that, two.
fn buffer_limit(cell: &Cell) -> u32 {
    let octets = (8 * cell.bdp()).min((2 * cell.bdp()).max(64 << 20));
    u32::try_from(octets.max(1 << 20)).expect("below 2^29 on every path of the matrix")
}

/// Memory for the engine of `cell`; `None` if it has none.
pub(super) fn memory(cell: &Cell) -> Option<Memory> {
    // A connection may hold a quarter more than its limit (rule H2.1), in blocks that are not all
    // full.
    let octets = buffer_limit(cell) as usize * 3 / 2;
    let has_engine = cell.contender.has_engine();
    has_engine.then(|| Memory::new(FLOWS, octets / BLOCK_SIZE, BLOCK_SIZE))
}

/// The engine of `cell`, or a piece of wire.
fn between<'m>(cell: &Cell, memory: Option<&'m mut Memory>) -> Between<'m, FlowConfig> {
    let controller = cell.contender.controller(cell.rate());
    let engine = controller.zip(memory).map(|(controller, memory)| {
        let mut config = Config::new([7, 11]);
        config.mtu = [1500; 2];
        let mut policy = FlowConfig::inner_local_ack();
        policy.controller = controller;
        policy.custody = cell.custody;
        policy.careful_resume = cell.scenario == Scenario::Resume;
        policy.buffer_limit = buffer_limit(cell);
        let engine = Engine::new(memory.storage(), config, policy).expect("it fits together");
        BareBox::new(engine, PacketMeta::default()).measuring()
    });
    Between::new(engine)
}

fn links(cell: &Cell, seed: u64, meter: Meter) -> Links {
    let lan_rate = if cell.rate_mbit >= 1000 {
        1_250_000_000
    } else {
        125_000_000
    };
    let lan = || {
        Path::new()
            .then(Rate::new(lan_rate, LAN_QUEUE))
            .then(Delay(LAN_RTT / 2))
    };
    let one_way = Delay(cell.rtt().saturating_sub(LAN_RTT) / 2);
    let rate = Rate::new(cell.rate().into(), cell.bdp().max(LEAST_QUEUE));
    let loss = Loss {
        ppm: cell.loss_ppm,
        random: Random::new(seed),
    };
    let outer_up = Path::new().then(meter).then(rate).then(loss).then(one_way);
    Links {
        inner_up: lan(),
        inner_down: lan(),
        outer_up,
        outer_down: Path::new().then(rate).then(one_way),
    }
}

/// Sender and receiver of the run's connection number `number`, and how many octets it is for; `None`:
/// it never ends. Their buffers do not limit it, but where the scenario says so.
fn hosts(cell: &Cell, number: u16, octets: Option<u32>) -> [LinuxHost; 2] {
    let address = |text: &str, port| SocketAddr::new(text.parse().expect("a literal"), port);
    let buffer = |products: u64| {
        let octets = usize::try_from(products * cell.bdp()).expect("64 bits");
        octets.max(6 << 20)
    };
    let sender = LinuxConfig {
        own: address("192.0.2.10", 40_000 + number),
        peer: address("203.0.113.20", 443),
        isn: 0x2f6b_3d15 + 0x0100_0000 * u32::from(number),
        send_buffer: match cell.scenario {
            Scenario::SmallSndbuf => SMALL_BUFFER,
            Scenario::Bulk | Scenario::Resume => buffer(8),
        },
        // Half of it is window, and what is lost again and again holds up as many round trips.
        receive_buffer_max: buffer(32),
        paced: Contender::TEXTBOOKS.contains(&cell.contender),
        hystart: cell.contender == Contender::TextbookHystart,
        ..LinuxConfig::default()
    };
    let receiver = sender.mirrored();
    let sender = LinuxHost::connect(sender);
    let sender = match octets {
        Some(octets) => sender.send_total(octets.into()),
        None => sender.send_endless(),
    };
    [sender, LinuxHost::listen(receiver)]
}

/// A world in which connections of one cell run, one after the other.
#[derive(Debug)]
pub(super) struct Lab<'m> {
    world: World<LinuxHost, LinuxHost, Between<'m, FlowConfig>>,
    cell: Cell,
    dial: Rc<cell::Cell<Reading>>,
    connections: u16,
    /// When the present connection's SYN was sent.
    opened_at: Instant,
    faults: Vec<String>,
}

impl<'m> Lab<'m> {
    /// A world with [`memory`] for its engine and a connection that is about to be opened, which is
    /// for so many octets; `None`: it never ends.
    pub(super) fn new(
        cell: Cell,
        seed: u64,
        memory: Option<&'m mut Memory>,
        octets: Option<u32>,
    ) -> Self {
        let meter = Meter::default();
        let dial = meter.dial();
        let links = links(&cell, seed, meter);
        let [sender, receiver] = hosts(&cell, 0, octets);
        Self {
            world: World::new(sender, receiver, between(&cell, memory), links),
            cell,
            dial,
            connections: 1,
            opened_at: Instant::ZERO,
            faults: Vec::new(),
        }
    }

    /// Exchanges both hosts for new ones that open another connection, for `octets`.
    pub(super) fn reconnect(&mut self, octets: u32) {
        self.note_faults();
        let [sender, receiver] = hosts(&self.cell, self.connections, Some(octets));
        self.world.inner = sender;
        self.world.outer = receiver;
        self.connections += 1;
        self.opened_at = self.world.now();
    }

    /// Payload octets that the receiver has got in order.
    pub(super) fn received(&self) -> u64 {
        self.world.outer.received()
    }

    /// What has entered the long path.
    pub(super) fn reading(&self) -> Reading {
        self.dial.get()
    }

    /// Time since the connection was opened.
    pub(super) fn elapsed(&self) -> Duration {
        self.world.now().since(self.opened_at)
    }

    /// Lets `time` pass.
    pub(super) fn run_for(&mut self, time: Duration) {
        self.world.linger(time);
    }

    /// Runs until `octets` have arrived; the time that took, or `None` if it is more than `limit`.
    pub(super) fn run_until(&mut self, octets: u64, limit: Duration) -> Option<Duration> {
        while self.received() < octets {
            if !self.world.step() || self.elapsed() > limit {
                return None;
            }
        }
        Some(self.elapsed())
    }

    /// Runs until both hosts have closed the connection; false if that takes more than `limit`.
    pub(super) fn close(&mut self, limit: Duration) -> bool {
        self.world.run(limit)
    }

    /// The most octets that were in custody.
    pub(super) const fn peak_custody(&self) -> Option<u32> {
        match self.world.middle.engine() {
            None => None,
            Some(engine) => Some(engine.most_debt()[0]),
        }
    }

    fn note_faults(&mut self) {
        let World { inner, outer, .. } = &self.world;
        for (name, host) in [("sender", inner), ("receiver", outer)] {
            let faults = host.faults().iter();
            self.faults
                .extend(faults.take(3).map(|fault| format!("{name}: {fault:?}")));
        }
    }

    /// What hosts and engine found wrong.
    pub(super) fn into_faults(mut self) -> Vec<String> {
        self.note_faults();
        if let Some(engine) = self.world.middle.engine() {
            let lost = engine.counters().octets_lost;
            if lost > 0 {
                self.faults.push(format!("the engine lost {lost} octets"));
            }
        }
        self.faults
    }
}
