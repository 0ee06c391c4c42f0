//! What must hold of whatever is left when an engine is cut.

use localack_core::{
    Direction, DirectionMode, Engine, Event, FlowConfig, FlowId, FlowInfo, FlowState, Instant,
    PacketMeta, Poll, Port, Sink, SinkFull, Storage, Transmit, Verdict,
};
use localack_testkit::packet::{Flags, Packet};

use super::hosts::{
    CONNECTIONS, Say, Truth, connection_of, connection_of_flow, index, octet_at, position, told,
};
use super::life::{GEOMETRY, config, loss, policy};
use super::tracer::Image;

/// The mark on the slot that is written to, as an index into the memory's first words of four octets.
const MARK: usize = 8;
/// Times that the successor is polled before all that it holds must have arrived.
const MOST_ROUNDS: usize = 300;

/// What the successor says and sends.
#[derive(Default)]
struct Outside {
    packets: Vec<(Port, Packet)>,
    lost: Vec<(FlowId, Direction, u32)>,
}

impl Sink for Outside {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let octets: Vec<u8> = packet.slices().flatten().copied().collect();
        let decoded = Packet::decode(&octets).expect("a segment");
        assert!(decoded.checksum_ok && decoded.ip_checksum_ok);
        self.packets.push((packet.port(), decoded.packet));
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        self.lost.extend(loss(&event));
    }
}

/// What was before the cut.
#[derive(Debug)]
pub(crate) struct Before {
    /// The flows, in the order of their slots.
    pub(crate) flows: Vec<FlowInfo>,
    /// What hosts have said, what has just arrived included.
    pub(crate) truth: Truth,
    /// The connection that it is about; none: all of them.
    pub(crate) about: Option<usize>,
    /// In microseconds.
    pub(crate) now: u64,
}

/// What a cut has led to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) interrupted: bool,
    pub(crate) ruined: bool,
    /// Octets that were acknowledged and told to be lost.
    pub(crate) lost: u32,
}

/// The flows in an image.
pub(crate) fn flows(image: &Image) -> Vec<FlowInfo> {
    let mut memory = image.memory.clone();
    let (engine, _) = Engine::attach(cut(&mut memory), config(), policy()).expect("an engine's");
    engine.flows().collect()
}

fn cut(memory: &mut [u64]) -> Storage<'_> {
    Storage::cut(bytemuck::cast_slice_mut(memory), &GEOMETRY).expect("memory that fits")
}

/// Lets an engine take over what is left, and sees that nobody is worse off than he is told.
///
/// # Panics
/// If any connection but the one that was written to is touched, anything is acknowledged that is not there,
/// or something that was acknowledged neither arrives as it was sent nor is told to be lost.
pub(crate) fn judge(image: &Image, before: &Before) -> Outcome {
    let mut memory = image.memory.clone();
    let mark = bytemuck::cast_slice::<_, u32>(&memory)[MARK].checked_sub(1);
    let (engine, report) =
        Engine::attach(cut(&mut memory), config(), policy()).expect("an engine's");
    assert_eq!(report.interrupted, mark.is_some());
    assert!(report.ruined <= u32::from(mark.is_some()), "{report:?}");
    // A slot is taken before it is marked: of what has only begun nothing is known, and nobody was told.
    assert!(report.ruined + report.forgotten <= 1, "{report:?}");
    for flow in &before.flows {
        let connection = connection_of_flow(flow);
        let is_spared = before.about.is_some_and(|about| about != connection);
        let found = engine.flow(flow.id);
        if is_spared {
            assert_eq!(found.as_ref(), Some(flow), "a bystander");
        } else if mark != Some(flow.id.slot()) && flow.state == FlowState::Open {
            let goes_on = |flow: FlowInfo| flow.state != FlowState::Tombstone;
            let ended = before.truth.reset[connection] || found.is_none();
            assert!(ended || found.is_some_and(goes_on), "{flow:#?} {found:#?}");
        }
    }
    let book = |from: usize| {
        core::array::from_fn(|connection| {
            let place = 2 * (from + connection);
            [image.told[place], image.told[place + 1]]
        })
    };
    let mut epilogue = Epilogue {
        engine,
        now: before.now,
        truth: before.truth,
        arrived: before.truth.acked,
        told: book(0),
        lost: book(CONNECTIONS),
        resets: [[false; 2]; CONNECTIONS],
    };
    epilogue.plays();
    epilogue.ends();
    Outcome {
        interrupted: report.interrupted,
        ruined: report.ruined > 0,
        lost: epilogue.lost.as_flattened().iter().sum(),
    }
}

/// What comes after the cut: receivers that take and acknowledge whatever comes in order.
struct Epilogue<'e> {
    engine: Engine<'e, FlowConfig>,
    now: u64,
    truth: Truth,
    /// What receivers have, by connection and sender.
    arrived: [[u32; 2]; CONNECTIONS],
    /// What senders were told.
    told: [[u32; 2]; CONNECTIONS],
    /// What was told to be lost.
    lost: [[u32; 2]; CONNECTIONS],
    /// Which hosts were reset.
    resets: [[bool; 2]; CONNECTIONS],
}

impl Epilogue<'_> {
    fn plays(&mut self) {
        for _ in 0..MOST_ROUNDS {
            let mut outside = Outside::default();
            self.polls(&mut outside);
            self.hear(outside);
            if self.all_has_arrived() {
                return;
            }
            let due = self.engine.next_deadline().map(Instant::as_micros);
            self.now = self.now.max(due.unwrap_or(0)) + 1;
        }
        panic!(
            "it does not arrive: {:?} of {:?}, {:?} lost",
            self.arrived, self.told, self.lost
        );
    }

    fn polls(&mut self, outside: &mut Outside) {
        let now = Instant::from_micros(self.now);
        let mut calls = 0;
        while let Poll::More = self.engine.poll(now, 8, outside) {
            calls += 1;
            assert!(calls < 1000, "no rest");
        }
    }

    /// Whether all that senders were told has arrived, as far as it was not told to be lost.
    fn all_has_arrived(&self) -> bool {
        self.missing().all(|(_, _, missing)| missing == 0)
    }

    /// Octets acknowledged that have not arrived and are not told to be lost, by connection and sender.
    fn missing(&self) -> impl Iterator<Item = (usize, usize, u32)> + '_ {
        (0..CONNECTIONS).flat_map(move |connection| {
            [0, 1].map(|side| {
                let has = self.arrived[connection][side] + self.lost[connection][side];
                let told = self.told[connection][side];
                (connection, side, told.saturating_sub(has))
            })
        })
    }

    /// The hosts hear what was sent, and receivers answer.
    fn hear(&mut self, mut outside: Outside) {
        for (flow, direction, lost) in outside.lost.drain(..) {
            // Connections have come in the order of their slots.
            self.lost[flow.slot() as usize][index(direction.source())] += lost;
        }
        let mut answers = Vec::new();
        for (port, packet) in outside.packets {
            let connection = connection_of(port, &packet);
            self.hears_acknowledgement(port, connection, &packet);
            if packet.flags.has(Flags::RST) {
                self.resets[connection][index(port)] = true;
            } else if packet.seq_len() > 0 && self.takes(port, connection, &packet) {
                answers.push(self.answer(port, connection));
            }
        }
        for say in answers {
            let mut octets = say.octets();
            let mut outside = Outside::default();
            let now = Instant::from_micros(self.now);
            let meta = PacketMeta::default();
            let verdict = self
                .engine
                .ingest(say.from, now, &mut octets, meta, &mut outside);
            if let Verdict::Pass(_) | Verdict::Forward = verdict {
                let packet = Packet::decode(&octets).expect("a segment").packet;
                outside.packets.push((say.from.other(), packet));
            }
            self.polls(&mut outside);
            self.hear(outside);
        }
    }

    /// Nothing is acknowledged that was never sent.
    fn hears_acknowledgement(&mut self, port: Port, connection: usize, packet: &Packet) {
        if let Some(ack) = told(port, packet) {
            let sent = self.truth.sent[connection][index(port)];
            assert!(ack <= sent, "{ack} acknowledged, {sent} sent");
            let highest = &mut self.told[connection][index(port)];
            *highest = (*highest).max(ack);
        }
    }

    /// A receiver takes what is in order; whether it has to answer.
    fn takes(&mut self, port: Port, connection: usize, packet: &Packet) -> bool {
        let source = port.other();
        for (seq, &octet) in (packet.seq..).zip(&packet.payload) {
            assert_eq!(octet, octet_at(seq), "an octet was invented");
        }
        let start = position(source, packet.seq);
        let end = start + packet.seq_len();
        let sent = self.truth.sent[connection][index(source)];
        assert!(end <= sent, "more than was sent: {end} of {sent}");
        let arrived = &mut self.arrived[connection][index(source)];
        if start <= *arrived {
            *arrived = (*arrived).max(end);
        }
        true
    }

    fn answer(&self, port: Port, connection: usize) -> Say {
        let own = self.truth.sent[connection][index(port)];
        let has = self.arrived[connection][index(port.other())];
        Say::new(connection, port, own, 0, has)
    }

    /// Who has lost something was reset, at both ends; what goes on owes nothing.
    fn ends(&self) {
        for connection in 0..CONNECTIONS {
            if self.lost[connection].iter().sum::<u32>() > 0 && !self.truth.reset[connection] {
                assert_eq!(self.resets[connection], [true; 2], "nobody hears of a loss");
            }
        }
        for flow in self.engine.flows() {
            for direction in Direction::BOTH {
                let of = flow.direction(direction);
                let active = matches!(of.mode, DirectionMode::LocalAck | DirectionMode::Draining);
                let sent = self.truth.sent[connection_of_flow(&flow)][index(direction.source())];
                let stored = position(direction.source(), of.rcv_nxt.raw());
                assert!(!active || stored <= sent, "{stored} stored, {sent} sent");
            }
        }
    }
}
