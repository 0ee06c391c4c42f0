//! What stands between the two links: the engine, or nothing.

mod bare;
mod between;

use std::collections::VecDeque;

use localack_core::{
    Checksum, Counters, Direction, DirectionMode, Engine, Event, FlowState, Instant, PacketMeta,
    Policy, Poll, Port, Sink, SinkFull, Transmit, TransmitKind, Verdict,
};

pub use bare::BareBox;
pub use between::Between;

use crate::laws::{Modes, Origin, Witness};
use crate::packet::{Decoded, Packet, segments};

/// The box in the middle.
pub trait Middle {
    /// Takes a packet that arrived on `port`; answers what leaves, by port.
    fn ingest(&mut self, now: Instant, port: Port, packet: Vec<u8>) -> Vec<(Port, Vec<u8>)>;

    /// Does what is due.
    fn poll(&mut self, now: Instant) -> Vec<(Port, Vec<u8>)>;

    /// When it next wants to be polled.
    fn next_at(&self) -> Option<Instant>;
}

/// A piece of wire.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wire;

impl Middle for Wire {
    fn ingest(&mut self, _: Instant, port: Port, packet: Vec<u8>) -> Vec<(Port, Vec<u8>)> {
        vec![(port.other(), packet)]
    }

    fn poll(&mut self, _: Instant) -> Vec<(Port, Vec<u8>)> {
        Vec::new()
    }

    fn next_at(&self) -> Option<Instant> {
        None
    }
}

#[derive(Debug, Default)]
struct Tape {
    made: Vec<(Port, TransmitKind, Vec<u8>)>,
    events: Vec<Event>,
}

impl Sink for Tape {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let octets = packet.slices().flatten().copied().collect();
        for octets in segments(octets, packet.gso_size()) {
            self.made.push((packet.port(), packet.kind(), octets));
        }
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        self.events.push(event);
    }
}

/// An engine, with a witness that judges every packet it lets out (for worlds of one connection).
#[derive(Debug)]
pub struct EngineBox<'e, P> {
    engine: Engine<'e, P>,
    tape: Tape,
    witness: Witness,
    faults: Vec<String>,
    most_debt: [u32; 2],
    /// What came and left last.
    history: VecDeque<String>,
    /// What had come and left when the first law was broken.
    before_fault: Vec<String>,
}

/// Lines of history that are kept.
const HISTORY: usize = 40;

/// Calls of `poll` at one time after which the engine must have come to rest.
const MOST_POLLS: usize = 100_000;

impl<'e, P: Policy> EngineBox<'e, P> {
    /// A box around `engine`.
    #[must_use]
    pub fn new(engine: Engine<'e, P>) -> Self {
        Self {
            engine,
            tape: Tape::default(),
            witness: Witness::new(),
            faults: Vec::new(),
            most_debt: [0; 2],
            history: VecDeque::new(),
            before_fault: Vec::new(),
        }
    }

    /// What broke a law, in order.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// What came and left just before the first law was broken.
    #[must_use]
    pub fn before_fault(&self) -> &[String] {
        &self.before_fault
    }

    fn remember(&mut self, now: Instant, what: &str, octets: &[u8]) {
        let text = match Packet::decode(octets) {
            Ok(Decoded {
                packet,
                checksum_ok,
                ..
            }) => {
                let bad = if checksum_ok { "" } else { " badsum" };
                let end = packet.seq.wrapping_add(packet.payload_len());
                let stamps = packet
                    .options
                    .timestamps
                    .map_or(String::new(), |t| format!(" ts {t:?}"));
                let sack = &packet.options.sack;
                format!(
                    "{} {}:{end} ack {} w{}{stamps} sack {sack:?}{bad}",
                    packet.flags, packet.seq, packet.ack, packet.window
                )
            }
            Err(error) => format!("{error}"),
        };
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history
            .push_back(format!("{:>12} {what} {text}", now.as_micros()));
        if self.before_fault.is_empty() && !self.faults.is_empty() {
            self.before_fault = self.history.iter().cloned().collect();
        }
    }

    /// The engine's news.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.tape.events
    }

    /// The most octets that were in custody at any time, for data from the inner and outer side.
    #[must_use]
    pub const fn most_debt(&self) -> [u32; 2] {
        self.most_debt
    }

    /// The engine's counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        self.engine.counters()
    }

    /// The engine itself.
    pub const fn engine(&mut self) -> &mut Engine<'e, P> {
        &mut self.engine
    }

    fn modes(&self) -> Modes {
        let Some(flow) = self.engine.flows().last() else {
            return Modes::NONE;
        };
        if !matches!(flow.state, FlowState::Open | FlowState::Resetting) {
            return Modes::NONE;
        }
        Modes {
            by_source: Direction::BOTH.map(|d| Some(flow.direction(d).mode)),
        }
    }

    fn run(&mut self, now: Instant) {
        for _ in 0..MOST_POLLS {
            match self.engine.poll(now, 64, &mut self.tape) {
                Poll::More => {}
                Poll::Blocked => {
                    self.faults.push("blocked by a sink that takes all".into());
                    return;
                }
                Poll::Idle => {
                    if self.engine.next_deadline().is_some_and(|at| at <= now) {
                        self.faults
                            .push(format!("idle at {now:?} and yet a deadline is due"));
                    }
                    return;
                }
            }
        }
        self.faults
            .push(format!("poll does not come to rest at {now:?}"));
    }

    /// Judges a packet that leaves.
    fn judge(
        &mut self,
        now: Instant,
        port: Port,
        origin: Origin,
        octets: &[u8],
        modes: (Modes, Modes),
    ) {
        let witness = &mut self.witness;
        match Packet::decode(octets) {
            Ok(decoded) => {
                for fault in witness.leaves(port, origin, &decoded, modes.0, modes.1) {
                    self.faults
                        .push(format!("{now:?} {port:?} {origin:?}: {fault}"));
                }
            }
            Err(error) if matches!(origin, Origin::Made(_)) => {
                self.faults
                    .push(format!("{now:?} {port:?} {origin:?} is broken: {error}"));
            }
            Err(_) => {}
        }
        self.remember(now, &format!("to {port:?} by {origin:?}"), octets);
    }

    /// Custody: what a sender was told and the receiver has not acknowledged is held (invariant 1).
    fn audit(&mut self, now: Instant) {
        let Some(flow) = self.engine.flows().last() else {
            return;
        };
        for (direction, most) in Direction::BOTH.into_iter().zip(&mut self.most_debt) {
            let info = flow.direction(direction);
            *most = (*most).max(info.debt);
            let custody = matches!(info.mode, DirectionMode::LocalAck | DirectionMode::Draining);
            if custody && info.custody < info.debt {
                self.faults.push(format!(
                    "{now:?} {direction:?}: {} octets promised, {} held (invariant 1)",
                    info.debt, info.custody
                ));
            }
            let (source, sink) = (direction.source(), direction.source().other());
            if let (true, Some(told), Some(acked)) = (
                custody && flow.state == FlowState::Open,
                self.witness.told_ack(source),
                self.witness.acked(sink),
            ) {
                let owed = u32::try_from(told.wrapping_sub(acked).cast_signed()).unwrap_or(0);
                if owed > info.custody {
                    self.faults.push(format!(
                        "{now:?} {direction:?}: {owed} octets owed, {} held (invariant 1)",
                        info.custody
                    ));
                }
            }
        }
    }
}

impl<P: Policy> Middle for EngineBox<'_, P> {
    fn ingest(&mut self, now: Instant, port: Port, mut packet: Vec<u8>) -> Vec<(Port, Vec<u8>)> {
        let came = Packet::decode(&packet).ok();
        if let Some(decoded) = &came {
            self.witness.arrives(port, decoded);
        }
        self.remember(now, &format!("from {port:?}"), &packet);
        let before = self.modes();
        let original = packet.clone();
        let meta = PacketMeta {
            checksum: Checksum::Verify,
            ..PacketMeta::default()
        };
        let verdict = self
            .engine
            .ingest(port, now, &mut packet, meta, &mut self.tape);
        let pushed = core::mem::take(&mut self.tape.made);
        self.run(now);
        let polled = core::mem::take(&mut self.tape.made);
        let modes = (before, self.modes());
        let mut out = Vec::new();
        for (port, kind, octets) in pushed {
            self.judge(now, port, Origin::Made(kind), &octets, modes);
            out.push((port, octets));
        }
        let origin = match verdict {
            Verdict::Pass(reason) => Some(Origin::Passed(reason)),
            Verdict::Forward => Some(Origin::Edited),
            Verdict::Absorb(_) | Verdict::Drop(_) => None,
        };
        if let Some(origin) = origin {
            if matches!(origin, Origin::Passed(_)) && packet != original {
                self.faults.push(format!(
                    "{now:?} {origin:?}, and yet the packet was changed"
                ));
            }
            let right = |octets: &[u8]| Packet::decode(octets).ok().map(|d| d.checksum_ok);
            if right(&packet) != right(&original) {
                self.faults.push(format!(
                    "{now:?} {origin:?}: the checksum is not what it was (H1.8)"
                ));
            }
            self.judge(now, port.other(), origin, &packet, modes);
            out.push((port.other(), packet));
        }
        for (port, kind, octets) in polled {
            self.judge(now, port, Origin::Made(kind), &octets, modes);
            out.push((port, octets));
        }
        self.audit(now);
        out
    }

    fn poll(&mut self, now: Instant) -> Vec<(Port, Vec<u8>)> {
        let before = self.modes();
        self.run(now);
        let modes = (before, self.modes());
        let made = core::mem::take(&mut self.tape.made);
        let mut out = Vec::new();
        for (port, kind, octets) in made {
            self.judge(now, port, Origin::Made(kind), &octets, modes);
            out.push((port, octets));
        }
        self.audit(now);
        out
    }

    fn next_at(&self) -> Option<Instant> {
        self.engine.next_deadline()
    }
}
