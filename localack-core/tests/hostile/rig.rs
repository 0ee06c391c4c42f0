//! An engine whose every answer can be laid to the packet that caused it.

use localack_core::{
    Engine, Event, FlowConfig, FlowInfo, Instant, PacketMeta, Poll, Port, Sink, SinkFull, Transmit,
    TransmitKind, Verdict,
};
use localack_testkit::sim::Middle;

/// Calls of `poll` at one time after which the engine must have come to rest.
const MOST_POLLS: u64 = 10_000;

/// A packet that the engine made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Made {
    pub(crate) toward: Port,
    pub(crate) kind: TransmitKind,
    pub(crate) octets: Vec<u8>,
}

#[derive(Debug, Default)]
struct Outbox {
    made: Vec<Made>,
    /// All but refusals, of which a flood brings one for each packet.
    events: Vec<Event>,
}

impl Sink for Outbox {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        self.made.push(Made {
            toward: packet.port(),
            kind: packet.kind(),
            octets: packet.slices().flatten().copied().collect(),
        });
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        if !matches!(event, Event::Refused { .. }) {
            self.events.push(event);
        }
    }
}

/// An engine and what it has made.
#[derive(Debug)]
pub(crate) struct Rig<'e> {
    pub(crate) engine: Engine<'e, FlowConfig>,
    outbox: Outbox,
    /// Calls of `poll` so far.
    pub(crate) polls: u64,
}

impl<'e> Rig<'e> {
    pub(crate) fn new(engine: Engine<'e, FlowConfig>) -> Self {
        Self {
            engine,
            outbox: Outbox::default(),
            polls: 0,
        }
    }

    /// Hands a packet in and lets the engine come to rest; what became of it, and what was made
    /// meanwhile.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        port: Port,
        packet: &mut [u8],
    ) -> (Verdict, Vec<Made>) {
        let meta = PacketMeta::default();
        let verdict = self
            .engine
            .ingest(port, now, packet, meta, &mut self.outbox);
        (verdict, self.rest(now))
    }

    /// Lets the engine come to rest.
    pub(crate) fn rest(&mut self, now: Instant) -> Vec<Made> {
        let most = self.polls + MOST_POLLS;
        while self.engine.poll(now, 8, &mut self.outbox) == Poll::More {
            self.polls += 1;
            assert!(self.polls < most, "poll does not come to rest");
        }
        self.polls += 1;
        core::mem::take(&mut self.outbox.made)
    }

    pub(crate) fn events(&self) -> &[Event] {
        &self.outbox.events
    }

    /// The flow that was adopted last.
    pub(crate) fn flow(&self) -> Option<FlowInfo> {
        self.engine.flows().last()
    }
}

/// What leaves a box when this became of a packet.
pub(crate) fn leaving(
    port: Port,
    verdict: Verdict,
    packet: Vec<u8>,
    made: Vec<Made>,
) -> Vec<(Port, Vec<u8>)> {
    let passed = matches!(verdict, Verdict::Pass(_) | Verdict::Forward);
    made.into_iter()
        .map(|made| (made.toward, made.octets))
        .chain(passed.then_some((port.other(), packet)))
        .collect()
}

impl Middle for Rig<'_> {
    fn ingest(&mut self, now: Instant, port: Port, mut packet: Vec<u8>) -> Vec<(Port, Vec<u8>)> {
        let (verdict, made) = self.take(now, port, &mut packet);
        leaving(port, verdict, packet, made)
    }

    fn poll(&mut self, now: Instant) -> Vec<(Port, Vec<u8>)> {
        let made = self.rest(now);
        made.into_iter()
            .map(|made| (made.toward, made.octets))
            .collect()
    }

    fn next_at(&self) -> Option<Instant> {
        self.engine.next_deadline()
    }
}
