//! The engine that is cut, in a process of its own: it stops itself before and after each thing that happens.

use core::sync::atomic::{AtomicU32, Ordering};
use std::io::Write as _;

use localack_core::{
    Config, Custody, Direction, Engine, Event, FlowConfig, FlowId, FlowInfo, Geometry, Instant,
    PacketMeta, Poll, Port, Service, Sink, SinkFull, Storage, Transmit, Verdict,
};
use localack_testkit::packet::Packet;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::unistd::gettid;

use super::hosts::{CONNECTIONS, connection_of, connection_of_flow, index, told};
use super::story::{Act, story};

/// Octets of a block.
const BLOCK_SIZE: usize = 512;
pub(crate) const GEOMETRY: Geometry = Geometry {
    flows: CONNECTIONS,
    index: 2 * CONNECTIONS,
    blocks: 32,
    arena: 32 * BLOCK_SIZE,
    paths: 2,
};
/// When the story begins, in microseconds.
pub(crate) const BEGINNING: u64 = 5_000_000;
/// With this word in front a line says where things are.
pub(crate) const ANNOUNCEMENT: &str = "to-be-cut";

pub(crate) const fn config() -> Config {
    Config::new([1, 2])
}

pub(crate) fn policy() -> FlowConfig {
    let mut policy = FlowConfig::both_local_ack();
    policy.custody = Custody::AfterHandshake;
    policy
}

/// What senders were told, by connection and sender, and behind it what was told to be lost: it has left the
/// process.
pub(crate) type Told = [AtomicU32; 4 * CONNECTIONS];

/// What an event says of octets that are lost.
pub(crate) const fn loss(event: &Event) -> Option<(FlowId, Direction, u32)> {
    match *event {
        Event::GivenUp {
            flow,
            direction,
            lost,
        } => Some((flow, direction, lost)),
        Event::Reset { flow, from, lost } => {
            Some((flow, Direction::arriving_on(from.other()), lost))
        }
        _ => None,
    }
}

/// A sink whose packets are outside as soon as it has them, or when the call is over. What it is told to be lost is
/// known at once.
struct Outside<'t> {
    told: &'t Told,
    waits: bool,
    /// Acknowledgements that wait, and whose they are.
    waiting: Vec<(usize, u32)>,
}

impl Outside<'_> {
    fn leaves(&mut self, port: Port, octets: &[u8]) {
        let packet = Packet::decode(octets).expect("a segment").packet;
        if let Some(ack) = told(port, &packet) {
            let place = 2 * connection_of(port, &packet) + index(port);
            self.waiting.push((place, ack));
        }
        if !self.waits {
            self.call_is_over();
        }
    }

    fn call_is_over(&mut self) {
        for (place, ack) in self.waiting.drain(..) {
            self.told[place].fetch_max(ack, Ordering::SeqCst);
        }
    }
}

impl Sink for Outside<'_> {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let octets: Vec<u8> = packet.slices().flatten().copied().collect();
        self.leaves(packet.port(), &octets);
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        if let Some((flow, direction, octets)) = loss(&event) {
            // Connections have come in the order of their slots.
            let place = 2 * (CONNECTIONS + flow.slot() as usize) + index(direction.source());
            self.told[place].fetch_add(octets, Ordering::SeqCst);
        }
    }
}

/// Flows are asked to go by.
fn hands_back(engine: &mut Engine<'_, FlowConfig>, act: &Act, now: Instant) {
    match *act {
        Act::Bypass(connection) => {
            let is_it = |flow: &FlowInfo| connection_of_flow(flow) == connection;
            let flow = engine.flows().find(is_it).expect("it is open").id;
            engine
                .set_service(flow, Direction::OuterToInner, Service::Bypass, now)
                .expect("it is there");
        }
        Act::Drain => engine.drain(now),
        Act::Segment(_) | Act::Wait(_) => {}
    }
}

/// Lives through the story, and lets the parent stop it. The sink may wait with its packets for the end of a call.
pub(crate) fn live(waits: bool) {
    let octets = GEOMETRY.octets().expect("a small engine");
    let mut memory = vec![0_u64; octets / 8];
    let told: Box<Told> = Box::default();
    ptrace::traceme().expect("the parent watches");
    writeln!(
        std::io::stdout(),
        "\n{ANNOUNCEMENT} {} {} {}",
        gettid(),
        memory.as_ptr().addr(),
        told.as_ptr().addr()
    )
    .expect("the parent listens");
    raise(Signal::SIGSTOP).expect("a signal");
    let storage =
        Storage::cut(bytemuck::cast_slice_mut(&mut memory), &GEOMETRY).expect("memory that fits");
    let mut config = config();
    config.sink_waits = waits;
    let mut engine = Engine::new(storage, config, policy()).expect("memory that fits");
    let mut outside = Outside {
        told: &told,
        waits,
        waiting: Vec::new(),
    };
    let mut now_us = BEGINNING;
    for (name, act) in story() {
        let segment = match act {
            Act::Segment(say) => Some((say.from, say.octets())),
            Act::Wait(ms) => {
                now_us += ms * 1_000;
                None
            }
            Act::Bypass(_) | Act::Drain => None,
        };
        if name.is_some() {
            raise(Signal::SIGSTOP).expect("a signal");
        }
        let now = Instant::from_micros(now_us);
        if let Some((port, mut packet)) = segment {
            let meta = PacketMeta::default();
            let verdict = engine.ingest(port, now, &mut packet, meta, &mut outside);
            outside.call_is_over();
            if let Verdict::Pass(_) | Verdict::Forward = verdict {
                outside.leaves(port.other(), &packet);
                outside.call_is_over();
            }
        } else {
            hands_back(&mut engine, &act, now);
        }
        while let Poll::More = engine.poll(now, 8, &mut outside) {
            outside.call_is_over();
        }
        outside.call_is_over();
        if name.is_some() {
            raise(Signal::SIGSTOP).expect("a signal");
        }
        now_us += 1_000;
    }
}
