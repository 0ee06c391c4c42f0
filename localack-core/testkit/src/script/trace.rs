//! What a script did to an engine and what came of it, as octets: for a machine that has no room for the
//! script itself, where a program replays it and compares every octet.
//!
//! Numbers are little-endian. A run begins with [`NEW`] and its settings. Each other record is a call of the
//! engine with its arguments and all that it did: its answer, its packets, a digest of its events, and its
//! next deadline. A run ends with a digest of its flows and counters.

use core::fmt::{Debug, Write};

use localack_core::{
    Checksum, Config, Controller, Custody, Direction, Engine, Event, FlowConfig, Instant,
    PacketMeta, Policy, Poll, Port, Service, Shaping, TransmitKind, Verdict,
};

const END: u8 = 0;
const NEW: u8 = 1;
const INGEST: u8 = 2;
const POLL: u8 = 3;
const SET_SERVICE: u8 = 4;
const DRAIN: u8 = 5;
const GIVE_UP: u8 = 6;
const SINK: u8 = 7;
const SHAPE: u8 = 8;

/// Records what is done to one engine, if anybody wants to know.
#[derive(Debug, Default)]
pub(super) struct Trace(Option<Vec<u8>>);

/// A packet that the engine made.
type Made = (Port, TransmitKind, Vec<u8>);

impl Trace {
    /// One that records.
    pub(super) fn wanted() -> Self {
        Self(Some(Vec::new()))
    }

    /// The record, which ends with the engine's state.
    pub(super) fn finish<P: Policy>(self, engine: &Engine<'_, P>) -> Vec<u8> {
        let Some(mut octets) = self.0 else {
            return Vec::new();
        };
        let mut digest = Digest::new();
        engine.flows().for_each(|flow| digest.add(&flow));
        engine
            .counters()
            .iter()
            .for_each(|counter| digest.add(&counter));
        octets.push(END);
        octets.extend(digest.0.to_le_bytes());
        octets
    }

    /// An engine begins.
    pub(super) fn begins(
        &mut self,
        (flows, blocks, block_size): (usize, usize, usize),
        config: &Config,
        policy: &FlowConfig,
    ) {
        let Some(octets) = &mut self.0 else { return };
        octets.push(NEW);
        for size in [flows, blocks, block_size] {
            put32(octets, u32::try_from(size).expect("a small memory"));
        }
        for setting in [
            config.debt_floor,
            config.queue_floor,
            config.reserved_blocks,
            u32::try_from(config.give_up_after.as_secs()).expect("not for ever"),
            config.mtu[0].into(),
            policy.buffer_limit,
            u32::try_from(policy.ack_delay.as_micros()).expect("a short time"),
        ] {
            put32(octets, setting);
        }
        let (algorithm, rate) = match policy.controller {
            Controller::Reno => (0, 0),
            Controller::Cubic => (1, 0),
            Controller::Bbr => (2, 0),
            Controller::Provisioned(provision) => (3, provision.rate),
            _ => panic!("a controller that a trace knows nothing of"),
        };
        octets.extend([
            service(policy.inner_to_outer),
            service(policy.outer_to_inner),
            u8::from(policy.custody == Custody::AfterHandshake),
            u8::from(policy.allow_dont_fragment),
            u8::from(policy.pacing),
            algorithm,
        ]);
        put32(octets, rate);
    }

    /// A packet came, and this became of it.
    pub(super) fn ingest(
        &mut self,
        (port, now, meta): (Port, Instant, PacketMeta),
        packet: &[u8],
        (verdict, after): (Verdict, &[u8]),
    ) {
        let Some(octets) = &mut self.0 else { return };
        octets.extend([INGEST, port as u8]);
        octets.push(match meta.checksum {
            Checksum::Verify => 0,
            Checksum::Verified => 1,
            Checksum::Partial => 2,
        });
        octets.extend(now.as_micros().to_le_bytes());
        put_octets(octets, packet);
        octets.extend(match verdict {
            Verdict::Pass(reason) => [0, reason as u8],
            Verdict::Forward => [1, 0],
            Verdict::Absorb(reason) => [2, reason as u8],
            Verdict::Drop(reason) => [3, reason as u8],
        });
        put_octets(octets, after);
    }

    /// The engine was polled.
    pub(super) fn poll(&mut self, now: Instant, budget: usize, answer: Poll) {
        let Some(octets) = &mut self.0 else { return };
        octets.push(POLL);
        octets.extend(now.as_micros().to_le_bytes());
        put32(octets, u32::try_from(budget).expect("a small budget"));
        octets.push(match answer {
            Poll::More => 0,
            Poll::Blocked => 1,
            Poll::Idle => 2,
        });
    }

    /// The flow with the newest state was to be served otherwise.
    pub(super) fn set_service(&mut self, now: Instant, direction: Direction, to: Service) {
        let Some(octets) = &mut self.0 else { return };
        octets.push(SET_SERVICE);
        octets.extend(now.as_micros().to_le_bytes());
        octets.extend([direction as u8, service(to)]);
    }

    /// Packets of one direction were to be treated otherwise. They name the shaping after their direction's.
    pub(super) fn set_shaping(&mut self, now: Instant, direction: Direction, to: &Shaping) {
        let Some(octets) = &mut self.0 else { return };
        octets.push(SHAPE);
        octets.extend(now.as_micros().to_le_bytes());
        octets.push(direction as u8);
        put32(octets, to.rate_limit);
        put32(
            octets,
            u32::try_from(to.ack_interval.as_micros()).expect("a short time"),
        );
        put32(octets, to.mss_clamp.into());
    }

    /// The engine was to hand back its flows.
    pub(super) fn drain(&mut self, now: Instant) {
        let Some(octets) = &mut self.0 else { return };
        octets.push(DRAIN);
        octets.extend(now.as_micros().to_le_bytes());
    }

    /// The first flow was to be given up; `done` is the answer.
    pub(super) fn give_up(&mut self, now: Instant, done: bool) {
        let Some(octets) = &mut self.0 else { return };
        octets.push(GIVE_UP);
        octets.extend(now.as_micros().to_le_bytes());
        octets.push(done.into());
    }

    /// From now on the sink takes so many packets, or any number: 255.
    pub(super) fn sink(&mut self, room: Option<u8>) {
        let Some(octets) = &mut self.0 else { return };
        octets.extend([SINK, room.unwrap_or(u8::MAX)]);
    }

    /// What the last call made and told, and when it wants the next.
    pub(super) fn came(&mut self, made: &[Made], events: &[Event], deadline: Option<Instant>) {
        let Some(octets) = &mut self.0 else { return };
        put32(octets, u32::try_from(made.len()).expect("a few packets"));
        for (port, kind, packet) in made {
            octets.extend([*port as u8, *kind as u8]);
            put_octets(octets, packet);
        }
        let mut digest = Digest::new();
        events.iter().for_each(|event| digest.add(event));
        octets.extend(digest.0.to_le_bytes());
        octets.extend(deadline.map_or(u64::MAX, Instant::as_micros).to_le_bytes());
    }
}

fn put32(octets: &mut Vec<u8>, number: u32) {
    octets.extend(number.to_le_bytes());
}

fn put_octets(octets: &mut Vec<u8>, more: &[u8]) {
    put32(octets, u32::try_from(more.len()).expect("a packet"));
    octets.extend(more);
}

const fn service(service: Service) -> u8 {
    match service {
        Service::LocalAck => 1,
        Service::Snoop => 2,
        _ => 0,
    }
}

/// The FNV-1a hash of how things are printed.
struct Digest(u32);

impl Digest {
    const fn new() -> Self {
        Self(0x811c_9dc5)
    }

    fn add(&mut self, thing: &dyn Debug) {
        write!(self, "{thing:?}").expect("nothing can fail");
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for octet in text.bytes() {
            self.0 = (self.0 ^ u32::from(octet)).wrapping_mul(0x0100_0193);
        }
        Ok(())
    }
}
