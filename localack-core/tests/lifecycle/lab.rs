//! An engine between two hosts whose segments the tests write themselves.

use localack_core::{
    Config, Custody, Engine, Event, FlowConfig, FlowId, FlowInfo, Instant, PacketMeta, Poll, Port,
    Sink, SinkFull, Storage, Transmit, TransmitKind, Verdict,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet};

/// ISNs of the inner and the outer host; the numbers in the tests are relative to them.
pub(crate) const ISN: [u32; 2] = [1_000, 5_000];
pub(crate) const MSS: u32 = 1000;

/// A packet that left, with relative numbers. `kind` is `None` for one that came in and went on.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    pub(crate) at: Instant,
    pub(crate) toward: Port,
    pub(crate) kind: Option<TransmitKind>,
    pub(crate) flags: Flags,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) window: u32,
    pub(crate) len: u32,
}

/// A sink that may refuse one packet.
#[derive(Default)]
pub(crate) struct Tape {
    pub(crate) left: Vec<Left>,
    pub(crate) events: Vec<Event>,
    /// The time on the engine's clock.
    pub(crate) now: Instant,
    /// Packets that the engine has offered.
    pub(crate) offered: usize,
    /// The number of the one to refuse.
    pub(crate) refused: Option<usize>,
}

impl Tape {
    pub(crate) fn note(&mut self, toward: Port, kind: Option<TransmitKind>, octets: &[u8]) {
        let packet = Packet::decode(octets).expect("a TCP segment").packet;
        let (own, peer) = match toward {
            Port::Outer => (ISN[0], ISN[1]),
            Port::Inner => (ISN[1], ISN[0]),
        };
        self.left.push(Left {
            at: self.now,
            toward,
            kind,
            flags: packet.flags,
            seq: packet.seq.wrapping_sub(own),
            ack: packet.ack.wrapping_sub(peer),
            window: packet.window.into(),
            len: packet.payload_len(),
        });
    }
}

impl Sink for Tape {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        self.offered += 1;
        if self.refused == Some(self.offered - 1) {
            return Err(SinkFull);
        }
        let octets: Vec<u8> = packet.slices().flatten().copied().collect();
        self.note(packet.port(), Some(packet.kind()), &octets);
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        self.events.push(event);
    }
}

/// A segment of the host on `port`. SYNs offer no scaling of windows.
pub(crate) fn segment(
    port: Port,
    flags: Flags,
    seq: u32,
    ack: u32,
    window: u16,
    len: u32,
) -> Packet {
    let [inner, outer] =
        ["192.0.2.1:40000", "203.0.113.1:443"].map(|text| text.parse().expect("a literal"));
    let (source, destination, own, peer) = match port {
        Port::Inner => (inner, outer, ISN[0], ISN[1]),
        Port::Outer => (outer, inner, ISN[1], ISN[0]),
    };
    let syn = flags.has(Flags::SYN);
    let has_ack = flags.has(Flags::ACK);
    Packet {
        source,
        destination,
        ip: IpFields::default(),
        flags,
        seq: own.wrapping_add(seq),
        ack: if has_ack { peer.wrapping_add(ack) } else { 0 },
        window,
        urgent: 0,
        options: Options {
            mss: syn.then_some(MSS as u16),
            sack_permitted: syn,
            ..Options::default()
        },
        payload: (seq..seq + len)
            .map(|number| (number % 251) as u8)
            .collect(),
    }
}

/// The same with custody from the handshake on.
pub(crate) fn at_once(mut flow: FlowConfig) -> FlowConfig {
    flow.custody = Custody::AfterHandshake;
    flow
}

pub(crate) fn at(ms: u64) -> Instant {
    Instant::from_millis(1_000_000 + ms)
}

/// An engine and its sink.
pub(crate) struct Lab<'m> {
    pub(crate) engine: Engine<'m, FlowConfig>,
    pub(crate) tape: Tape,
    /// The window in the outer host's SYN-ACK, and its scaling.
    pub(crate) offer: (u16, Option<u8>),
    /// What became of the last packet that came in.
    pub(crate) verdict: Option<Verdict>,
}

impl<'m> Lab<'m> {
    pub(crate) fn new(memory: &'m mut Memory, config: Config, flow: FlowConfig) -> Self {
        Self::over(memory.storage(), config, flow)
    }

    pub(crate) fn over(storage: Storage<'m>, config: Config, flow: FlowConfig) -> Self {
        let engine = Engine::new(storage, config, flow).expect("valid settings");
        Self {
            engine,
            tape: Tape::default(),
            offer: (60_000, None),
            verdict: None,
        }
    }

    /// Polls until there is nothing to do now. Where the sink was full, it has room again.
    pub(crate) fn settle(&mut self) {
        let mut polls = 0;
        while self.engine.poll(self.tape.now, 8, &mut self.tape) != Poll::Idle {
            polls += 1;
            assert!(polls < 1000, "poll does not come to rest");
        }
    }

    /// Lets time pass.
    pub(crate) fn until(&mut self, ms: u64) {
        self.settle();
        while let Some(due) = self.engine.next_deadline().filter(|&due| due <= at(ms)) {
            self.tape.now = due.max(self.tape.now);
            self.settle();
        }
        self.tape.now = at(ms);
        self.settle();
    }

    pub(crate) fn arrives(&mut self, ms: u64, port: Port, packet: &Packet) {
        self.until(ms);
        let mut octets = packet.encode(Layout::Aligned);
        let meta = PacketMeta::default();
        let verdict = self
            .engine
            .ingest(port, self.tape.now, &mut octets, meta, &mut self.tape);
        if matches!(verdict, Verdict::Pass(_) | Verdict::Forward) {
            self.tape.note(port.other(), None, &octets);
        }
        self.verdict = Some(verdict);
        self.settle();
    }

    /// A plain segment with data or an acknowledgement.
    pub(crate) fn says(&mut self, ms: u64, port: Port, seq: u32, ack: u32, window: u16, len: u32) {
        self.arrives(ms, port, &segment(port, Flags::ACK, seq, ack, window, len));
    }

    /// The first `steps` packets of a handshake that the inner host begins.
    pub(crate) fn shake(&mut self, ms: u64, from: usize, to: usize) {
        let all = [
            (Port::Inner, Flags::SYN, 0, 0),
            (Port::Outer, Flags::SYN | Flags::ACK, 0, 1),
            (Port::Inner, Flags::ACK, 1, 1),
        ];
        for &(port, flags, seq, ack) in &all[from..to] {
            let window = if port == Port::Outer {
                self.offer.0
            } else {
                60_000
            };
            let mut packet = segment(port, flags, seq, ack, window, 0);
            packet.options.window_scale = self.offer.1.filter(|_| flags.has(Flags::SYN));
            self.arrives(ms, port, &packet);
            assert!(self.has_passed(), "{:?}", self.verdict);
        }
    }

    pub(crate) fn has_passed(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Pass(_)))
    }

    pub(crate) fn flow(&self) -> FlowInfo {
        self.engine.flows().last().expect("a flow")
    }

    pub(crate) fn id(&self) -> FlowId {
        self.flow().id
    }

    /// Resets that went toward `port`.
    pub(crate) fn resets(&self, port: Port) -> Vec<&Left> {
        let is_reset = |left: &&Left| left.toward == port && left.flags.has(Flags::RST);
        self.tape.left.iter().filter(is_reset).collect()
    }

    /// The first octet that the host on `port` lacks.
    pub(crate) fn reached(&self, port: Port) -> u32 {
        let mut next = 1;
        let mut segments: Vec<(u32, u32)> = self
            .tape
            .left
            .iter()
            .filter(|left| left.toward == port && left.len > 0)
            .map(|left| (left.seq, left.seq + left.len))
            .collect();
        segments.sort_unstable();
        for (start, end) in segments {
            if start <= next {
                next = next.max(end);
            }
        }
        next
    }

    /// Octets that events say were lost.
    pub(crate) fn announced_lost(&self) -> u64 {
        let lost = |event: &Event| {
            if let Event::GivenUp { lost, .. } | Event::Reset { lost, .. } = *event {
                u64::from(lost)
            } else {
                0
            }
        };
        self.tape.events.iter().map(lost).sum()
    }
}
