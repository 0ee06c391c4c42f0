//! Two engines fed the same packets side by side, and what they send.

use core::hash::Hasher as _;

use localack_core::{
    BlockSlot, Config, ConfigError, Engine, EngineHead, Event, FlowId, FlowSlot, IndexSlot,
    Instant, PacketMeta, PathSlot, Poll, Port, Sink, SinkFull, Storage, Transmit, TransmitKind,
    Verdict,
};

use super::options::{Options, ReplayPolicy};
use crate::digest::Digest;

/// Octets of one block: a full-size Ethernet payload and a bit.
pub(crate) const BLOCK: usize = 1536;
/// Packets that one poll may send before it is called again.
const BUDGET: usize = 256;
/// Polls in a row without an end: an engine that never rests.
const RESTLESS: usize = 65_536;
/// The engines' key: a fixed one, so that a replay is the same every time.
const HASH_KEY: [u64; 2] = [0x6c6f_6361_6c61_636b, 0x7265_706c_6179_2d31];

/// Memory for one engine.
#[derive(Debug)]
pub(crate) struct Memory {
    head: Box<EngineHead>,
    flows: Vec<FlowSlot>,
    index: Vec<IndexSlot>,
    blocks: Vec<BlockSlot>,
    arena: Vec<u8>,
    paths: Vec<PathSlot>,
}

impl Memory {
    pub(crate) fn new(options: &Options) -> Self {
        let blocks = (options.buffer / BLOCK).max(1);
        Self {
            head: Box::new(EngineHead::EMPTY),
            flows: vec![FlowSlot::EMPTY; options.flows],
            index: vec![IndexSlot::EMPTY; (2 * options.flows).next_power_of_two()],
            blocks: vec![BlockSlot::EMPTY; blocks],
            arena: vec![0; blocks * BLOCK],
            paths: vec![PathSlot::EMPTY; options.flows.min(4096)],
        }
    }

    /// Octets of the arena.
    pub(crate) fn arena(&self) -> usize {
        self.arena.len()
    }

    fn lend(&mut self) -> Storage<'_> {
        Storage {
            head: &mut self.head,
            flows: &mut self.flows,
            index: &mut self.index,
            blocks: &mut self.blocks,
            arena: &mut self.arena,
            paths: &mut self.paths,
            before: &mut [],
        }
    }
}

/// A packet that the engine made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Emission {
    pub(crate) port: Port,
    pub(crate) flow: FlowId,
    pub(crate) kind: TransmitKind,
    start: usize,
    end: usize,
}

/// The first engine's sink: keeps what came until it is looked at.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    octets: Vec<u8>,
    pub(crate) emissions: Vec<Emission>,
    pub(crate) events: Vec<Event>,
    digest: Digest,
}

impl Outbox {
    /// The octets of one packet.
    pub(crate) fn packet(&self, emission: &Emission) -> &[u8] {
        &self.octets[emission.start..emission.end]
    }

    /// Forgets what was looked at.
    pub(crate) fn clear(&mut self) {
        self.octets.clear();
        self.emissions.clear();
        self.events.clear();
    }
}

impl Sink for Outbox {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let start = self.octets.len();
        packet
            .slices()
            .for_each(|piece| self.octets.extend_from_slice(piece));
        digest_packet(&mut self.digest, packet.port(), &self.octets[start..]);
        self.emissions.push(Emission {
            port: packet.port(),
            flow: packet.flow(),
            kind: packet.kind(),
            start,
            end: self.octets.len(),
        });
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        self.events.push(event);
    }
}

/// The second engine's sink: only a digest of what came.
#[derive(Debug, Default)]
struct Mirror {
    octets: Vec<u8>,
    digest: Digest,
}

impl Sink for Mirror {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        self.octets.clear();
        packet
            .slices()
            .for_each(|piece| self.octets.extend_from_slice(piece));
        digest_packet(&mut self.digest, packet.port(), &self.octets);
        Ok(())
    }
}

fn digest_packet(digest: &mut Digest, port: Port, octets: &[u8]) {
    digest.write_u8(u8::from(port == Port::Inner));
    digest.write(octets);
}

/// The two engines.
#[derive(Debug)]
pub(crate) struct Twins<'a> {
    first: Engine<'a, ReplayPolicy>,
    second: Engine<'a, ReplayPolicy>,
    pub(crate) outbox: Outbox,
    mirror: Mirror,
    copy: Vec<u8>,
}

impl<'a> Twins<'a> {
    pub(crate) fn new(memory: &'a mut [Memory; 2], options: &Options) -> Result<Self, ConfigError> {
        let [first, second] = memory;
        let (config, policy) = (Config::new(HASH_KEY), ReplayPolicy::new(options));
        Ok(Self {
            first: Engine::new(first.lend(), config, policy.clone())?,
            second: Engine::new(second.lend(), config, policy)?,
            outbox: Outbox::default(),
            mirror: Mirror::default(),
            copy: Vec::new(),
        })
    }

    /// The engine that the report is about.
    pub(crate) const fn first(&self) -> &Engine<'a, ReplayPolicy> {
        &self.first
    }

    /// Gives both engines a packet. What the first makes of it is in `packet` and in the outbox.
    pub(crate) fn ingest(
        &mut self,
        port: Port,
        now: Instant,
        packet: &mut [u8],
        meta: PacketMeta,
    ) -> Verdict {
        self.copy.clear();
        self.copy.extend_from_slice(packet);
        let verdict = self.first.ingest(port, now, packet, meta, &mut self.outbox);
        let second = self
            .second
            .ingest(port, now, &mut self.copy, meta, &mut self.mirror);
        digest_verdict(&mut self.outbox.digest, verdict, packet);
        digest_verdict(&mut self.mirror.digest, second, &self.copy);
        verdict
    }

    /// Lets both engines send what they may; `false` if one never rests.
    pub(crate) fn poll(&mut self, now: Instant) -> bool {
        let first = poll(&mut self.first, now, &mut self.outbox);
        let second = poll(&mut self.second, now, &mut self.mirror);
        first && second
    }

    /// When an engine has to be polled next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match (self.first.next_deadline(), self.second.next_deadline()) {
            (Some(first), Some(second)) => Some(first.min(second)),
            (first, second) => first.or(second),
        }
    }

    /// Whether both engines have sent the same so far.
    pub(crate) fn agree(&self) -> bool {
        self.outbox.digest.finish() == self.mirror.digest.finish()
    }
}

fn poll<S: Sink>(engine: &mut Engine<'_, ReplayPolicy>, now: Instant, sink: &mut S) -> bool {
    (0..RESTLESS).any(|_| engine.poll(now, BUDGET, sink) != Poll::More)
}

fn digest_verdict(digest: &mut Digest, verdict: Verdict, packet: &[u8]) {
    let (class, reason) = match verdict {
        Verdict::Pass(reason) => (0, reason.number()),
        Verdict::Forward => (1, 0),
        Verdict::Absorb(reason) => (2, reason.number()),
        Verdict::Drop(reason) => (3, reason.number()),
    };
    digest.write(&[class, reason]);
    digest.write(packet);
}
