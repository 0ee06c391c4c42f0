//! The engine with both scripted hosts, and all that watches it.

use localack_core::{
    Direction, DirectionMode, Engine, Event, FlowConfig, FlowInfo, FlowState, Instant, PacketMeta,
    PassReason, Poll, Port, Service, Shaping, ShapingId, Sink, SinkFull, Transmit, TransmitKind,
    Verdict,
};

use super::instant;
use crate::laws::{Modes, Origin, Witness};
use crate::packet::{Decoded, Packet};
use crate::script::matching::Left;
use crate::script::model::{PacketSpec, Setup, Side, Term};
use crate::script::notation::describe;
use crate::script::side::Host;
use crate::script::trace::Trace;
use crate::script::variant::Variant;

/// Packets that one ingested packet may push (architecture section 3, "Work and time").
const MOST_PUSHED: usize = 3;
/// Packets that one poll may send.
const POLL_BUDGET: usize = 64;
/// Calls of `poll` at one time after which it must have come to rest.
const MOST_POLLS: usize = 10_000;

/// Records what the engine sends and says.
#[derive(Default)]
struct Tape {
    made: Vec<(Port, TransmitKind, Vec<u8>)>,
    events: Vec<Event>,
    /// Packets that it still takes, where that is bounded.
    room: Option<u8>,
}

impl Tape {
    fn is_full(&self) -> bool {
        self.room == Some(0)
    }
}

impl Sink for Tape {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        if let Some(room) = &mut self.room {
            *room = room.checked_sub(1).ok_or(SinkFull)?;
        }
        let octets = packet.slices().flatten().copied().collect();
        self.made.push((packet.port(), packet.kind(), octets));
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        self.events.push(event);
    }
}

pub(super) struct Rig<'e> {
    engine: Engine<'e, FlowConfig>,
    tape: Tape,
    trace: Trace,
    witness: Witness,
    hosts: [Host; 2],
    inner: Side,
    laws: bool,
    now: Instant,
    at_ms: i64,
}

/// What a script calls the shaping of packets that travel in `direction`.
pub(super) fn shaping_of(direction: Direction) -> ShapingId {
    let number = match direction {
        Direction::InnerToOuter => 1,
        Direction::OuterToInner => 2,
    };
    ShapingId::new(number).expect("a small number")
}

/// The direction of the data that `side` sends.
pub(super) fn direction_from(side: Side, setup: &Setup) -> Direction {
    if side == setup.inner {
        Direction::InnerToOuter
    } else {
        Direction::OuterToInner
    }
}

impl<'e> Rig<'e> {
    pub(super) fn new(
        engine: Engine<'e, FlowConfig>,
        trace: Trace,
        setup: &Setup,
        variant: &Variant,
    ) -> Self {
        Self {
            engine,
            tape: Tape::default(),
            trace,
            witness: Witness::new(),
            hosts: Side::BOTH.map(|side| Host::new(side, setup, variant)),
            inner: setup.inner,
            laws: setup.laws,
            now: Instant::ZERO,
            at_ms: 0,
        }
    }

    /// Another engine takes the memory over.
    pub(super) fn succeeded(self) -> Self {
        let before: Vec<FlowInfo> = self.engine.flows().collect();
        let (storage, config, policy) = self.engine.into_parts();
        let (engine, report) =
            Engine::attach(storage, config, policy).expect("an engine has lived here");
        assert_eq!(
            (report.ruined, report.forgotten, report.interrupted),
            (0, 0, false),
            "nothing is wrong with memory that was left in order"
        );
        let after: Vec<FlowInfo> = engine.flows().collect();
        assert_eq!(before, after, "nor is anything changed there");
        Self { engine, ..self }
    }

    /// What was recorded, if that was wanted.
    pub(super) fn finish(self) -> Vec<u8> {
        self.trace.finish(&self.engine)
    }

    /// Records what the last call of the engine did: the tape had `made` packets and `told` events before.
    fn record(&mut self, (made, told): (usize, usize)) {
        let (made, events) = (&self.tape.made[made..], &self.tape.events[told..]);
        self.trace.came(made, events, self.engine.next_deadline());
    }

    /// Packets and events on the tape.
    fn mark(&self) -> (usize, usize) {
        (self.tape.made.len(), self.tape.events.len())
    }

    pub(super) fn hosts(&self) -> &[Host; 2] {
        &self.hosts
    }

    pub(super) fn engine(&self) -> &Engine<'e, FlowConfig> {
        &self.engine
    }

    pub(super) fn direction(&self, from: Side) -> Direction {
        Direction::arriving_on(self.port(from))
    }

    fn port(&self, side: Side) -> Port {
        if side == self.inner {
            Port::Inner
        } else {
            Port::Outer
        }
    }

    fn side(&self, port: Port) -> Side {
        if port == Port::Inner {
            self.inner
        } else {
            self.inner.other()
        }
    }

    /// Shifts of the window fields that S and R send.
    pub(super) fn shifts(&self) -> [u8; 2] {
        Side::BOTH.map(|side| self.witness.shift(self.port(side)))
    }

    /// The flow with the newest state, if there is one.
    pub(super) fn flow(&self) -> Option<FlowInfo> {
        self.engine.flows().last()
    }

    fn modes(&self) -> Modes {
        let Some(flow) = self.flow() else {
            return Modes::NONE;
        };
        if !matches!(flow.state, FlowState::Open | FlowState::Resetting) {
            return Modes::NONE;
        }
        let of = |direction| -> Option<DirectionMode> { Some(flow.direction(direction).mode) };
        Modes {
            by_source: [of(Direction::InnerToOuter), of(Direction::OuterToInner)],
        }
    }

    /// The relative number that a term stands for now.
    pub(super) fn resolve(&self, term: Term) -> i64 {
        let (s, r) = (self.port(Side::S), self.port(Side::R));
        let [host_s, host_r] = &self.hosts;
        let of_s = |seq: Option<u32>| host_s.relative(seq.unwrap_or(0));
        let of_r = |seq: Option<u32>| host_r.relative(seq.unwrap_or(0));
        let base = match term.symbol {
            None => 0,
            Some('M') => of_s(Some(self.witness.sent_end(s))),
            Some('L') => of_s(self.witness.told_ack(s)),
            Some('E') => of_s(self.witness.told_edge(s)),
            Some('A') => of_s(self.witness.acked(r)),
            Some('N') => of_s(Some(self.witness.reached(r))),
            Some('X') => of_r(Some(self.witness.reached(s))),
            Some('P') => of_r(self.witness.acked(s)),
            Some(other) => panic!("the parser knows no {other}"),
        };
        base + term.offset
    }

    /// Lets the host say what `spec` describes.
    pub(super) fn says(&mut self, from: Side, spec: &PacketSpec, at_ms: i64) -> Packet {
        let mut host = self.hosts[from.index()].clone();
        let peer = &self.hosts[from.other().index()];
        let packet = host.says(spec, peer, at_ms, &|term| self.resolve(term));
        self.hosts[from.index()] = host;
        packet
    }

    /// The packet that the host would send, without its sending it.
    pub(super) fn imagines(&mut self, from: Side, spec: &PacketSpec, at_ms: i64) -> Packet {
        let mut host = self.hosts[from.index()].clone();
        let peer = &self.hosts[from.other().index()];
        host.says(spec, peer, at_ms, &|term| self.resolve(term))
    }

    /// Lets time pass up to `at_ms`, and including it if `inclusive`.
    pub(super) fn advance(
        &mut self,
        at_ms: i64,
        inclusive: bool,
        left: &mut Vec<Left>,
    ) -> Result<(), String> {
        self.tape.events.clear();
        let target = instant(at_ms);
        if target < self.now {
            return Err("the script goes back in time".into());
        }
        while let Some(deadline) = self.engine.next_deadline() {
            if self.tape.is_full() || deadline > target || (!inclusive && deadline == target) {
                break;
            }
            self.now = self.now.latest(deadline);
            let micros = i64::try_from(self.now.as_micros() / 1000).expect("small");
            self.at_ms = micros - super::EPOCH_MS;
            let before = self.modes();
            self.poll()?;
            self.collect(before, left)?;
        }
        self.now = target;
        self.at_ms = at_ms;
        if inclusive {
            let before = self.modes();
            self.poll()?;
            self.collect(before, left)?;
        }
        Ok(())
    }

    fn poll(&mut self) -> Result<(), String> {
        for _ in 0..MOST_POLLS {
            let mark = self.mark();
            let answer = self.engine.poll(self.now, POLL_BUDGET, &mut self.tape);
            self.trace.poll(self.now, POLL_BUDGET, answer);
            self.record(mark);
            match answer {
                Poll::More => {}
                Poll::Blocked if self.tape.is_full() => return Ok(()),
                Poll::Blocked => return Err("poll is blocked by a sink that takes all".into()),
                Poll::Idle => {
                    let late = self.engine.next_deadline().is_some_and(|at| at <= self.now);
                    return if late && !self.tape.is_full() {
                        Err("poll is idle and yet a deadline is due".into())
                    } else {
                        Ok(())
                    };
                }
            }
        }
        Err(format!("poll did not come to rest in {MOST_POLLS} calls"))
    }

    /// Gives a packet to the engine; answers its verdict and reason.
    pub(super) fn arrives(
        &mut self,
        from: Side,
        octets: Vec<u8>,
        meta: PacketMeta,
        left: &mut Vec<Left>,
    ) -> Result<(String, String), String> {
        let port = self.port(from);
        let input = Packet::decode(&octets).ok();
        if let Some(decoded) = &input {
            let trusted = meta.checksum != localack_core::Checksum::Verify;
            let decoded = Decoded {
                checksum_ok: decoded.checksum_ok || trusted,
                ..decoded.clone()
            };
            self.witness.arrives(port, &decoded);
        }
        let before = self.modes();
        let mut buffer = octets.clone();
        let mark = self.mark();
        let verdict = self
            .engine
            .ingest(port, self.now, &mut buffer, meta, &mut self.tape);
        self.trace
            .ingest((port, self.now, meta), &octets, (verdict, &buffer));
        self.record(mark);
        if self.tape.made.len() > MOST_PUSHED {
            return Err(format!("ingest pushed {} packets", self.tape.made.len()));
        }
        let pushed = core::mem::take(&mut self.tape.made);
        self.poll()?;
        let polled = core::mem::take(&mut self.tape.made);
        let after = self.modes();
        for (port, kind, octets) in pushed {
            self.emit(port, Origin::Made(kind), octets, (before, after), left)?;
        }
        let (name, slug, origin) = describe_verdict(verdict);
        if let Some(origin) = origin {
            let untouched = buffer == octets;
            if matches!(origin, Origin::Passed(_)) && !untouched {
                return Err(format!("pass {slug}, and yet the packet was changed"));
            }
            let partial = meta.checksum == localack_core::Checksum::Partial;
            self.check_sum_kept(&octets, &buffer, partial)?;
            if partial {
                self.note(port.other(), origin, buffer, left);
            } else {
                self.emit(port.other(), origin, buffer, (before, after), left)?;
            }
        }
        for (port, kind, octets) in polled {
            self.emit(port, Origin::Made(kind), octets, (before, after), left)?;
        }
        Ok((name.to_owned(), slug.to_owned()))
    }

    /// A forwarded packet's checksum is right exactly if it came so (rule H1.8); a partial one
    /// stays what it is, since neither addresses nor length change.
    fn check_sum_kept(&self, came: &[u8], goes: &[u8], partial: bool) -> Result<(), String> {
        if came.len() != goes.len() {
            return Err("a forwarded packet changed its length (H1.10)".into());
        }
        let (Ok(came_as), Ok(goes_as)) = (Packet::decode(came), Packet::decode(goes)) else {
            return if came == goes {
                Ok(())
            } else {
                Err("a forwarded packet is broken".into())
            };
        };
        if partial {
            let field = |octets: &[u8], decoded: &Decoded| {
                let ip = if decoded.packet.source.is_ipv6() {
                    40
                } else {
                    20
                };
                octets[ip + 16..ip + 18].to_vec()
            };
            return if field(came, &came_as) == field(goes, &goes_as) {
                Ok(())
            } else {
                Err("a partial checksum was changed".into())
            };
        }
        if came_as.checksum_ok == goes_as.checksum_ok {
            Ok(())
        } else {
            Err("a forwarded packet's checksum is not what it was (H1.8)".into())
        }
    }

    /// Judges what polling has made.
    fn collect(&mut self, before: Modes, left: &mut Vec<Left>) -> Result<(), String> {
        let after = self.modes();
        for (port, kind, octets) in core::mem::take(&mut self.tape.made) {
            self.emit(port, Origin::Made(kind), octets, (before, after), left)?;
        }
        Ok(())
    }

    /// Records a packet that leaves, without judging it.
    fn note(&mut self, port: Port, origin: Origin, octets: Vec<u8>, left: &mut Vec<Left>) {
        let toward = self.side(port);
        let packet = Packet::decode(&octets).ok().map(|decoded| decoded.packet);
        let what = match &packet {
            Some(packet) => describe(packet, toward.other(), &self.hosts),
            None => format!("{} octets that are no TCP segment", octets.len()),
        };
        let arrow = if toward == Side::S { ">I" } else { ">O" };
        let origin = match origin {
            Origin::Made(kind) => kind.slug(),
            Origin::Edited => "edited",
            Origin::Passed(reason) => reason.slug(),
        };
        let text = format!("{:>6} {arrow} {what}   [{origin}]", self.at_ms);
        if let Some((stamp, _)) = packet.as_ref().and_then(|packet| packet.options.timestamps) {
            let host = &mut self.hosts[toward.index()];
            if stamp.wrapping_sub(host.told_stamp).cast_signed() > 0 || host.told_stamp == 0 {
                host.told_stamp = stamp;
            }
        }
        left.push(Left {
            toward,
            octets,
            packet,
            text,
        });
    }

    fn emit(
        &mut self,
        port: Port,
        origin: Origin,
        octets: Vec<u8>,
        (before, after): (Modes, Modes),
        left: &mut Vec<Left>,
    ) -> Result<(), String> {
        let decoded = Packet::decode(&octets);
        self.note(port, origin, octets, left);
        match decoded {
            Ok(decoded) => {
                let faults = self.witness.leaves(port, origin, &decoded, before, after);
                let text = || left.last().map_or("", |left| left.text.as_str());
                match faults.first() {
                    Some(fault) if self.laws => Err(format!("{fault}: {}", text())),
                    _ => Ok(()),
                }
            }
            Err(error) if matches!(origin, Origin::Made(_)) => {
                Err(format!("a packet made by the engine is broken: {error}"))
            }
            Err(_) => Ok(()),
        }
    }

    pub(super) fn set_service(
        &mut self,
        from: Side,
        service: Service,
        left: &mut Vec<Left>,
    ) -> Result<(), String> {
        let flow = self.flow().ok_or("there is no flow to serve")?;
        let before = self.modes();
        let mark = self.mark();
        self.engine
            .set_service(flow.id, self.direction(from), service, self.now)
            .map_err(|_| "the flow is unknown".to_owned())?;
        let direction = self.direction(from);
        self.trace.set_service(self.now, direction, service);
        self.record(mark);
        self.poll()?;
        self.collect(before, left)
    }

    /// Packets of `from` are treated otherwise from now on.
    pub(super) fn set_shaping(
        &mut self,
        from: Side,
        shaping: &Shaping,
        left: &mut Vec<Left>,
    ) -> Result<(), String> {
        let direction = self.direction(from);
        let before = self.modes();
        let mark = self.mark();
        self.engine
            .set_shaping(shaping_of(direction), shaping, self.now);
        self.trace.set_shaping(self.now, direction, shaping);
        self.record(mark);
        self.poll()?;
        self.collect(before, left)
    }

    pub(super) fn drain(&mut self, left: &mut Vec<Left>) -> Result<(), String> {
        let before = self.modes();
        let mark = self.mark();
        self.engine.drain(self.now);
        self.trace.drain(self.now);
        self.record(mark);
        self.poll()?;
        self.collect(before, left)
    }

    pub(super) fn give_up(&mut self, left: &mut Vec<Left>) -> Result<(), String> {
        let before = self.modes();
        let flow = self.engine.flows().next().ok_or("there is no flow")?.id;
        let mark = self.mark();
        let done = self
            .engine
            .give_up(flow, self.now, &mut self.tape)
            .map_err(|error| error.to_string())?;
        self.trace.give_up(self.now, done);
        self.record(mark);
        self.collect(before, left)
    }

    pub(super) fn set_sink(
        &mut self,
        room: Option<u8>,
        left: &mut Vec<Left>,
    ) -> Result<(), String> {
        self.tape.room = room;
        self.trace.sink(room);
        let before = self.modes();
        self.poll()?;
        self.collect(before, left)
    }

    /// What happened since the line before, as words.
    pub(super) fn step_events(&self) -> Vec<String> {
        self.tape
            .events
            .iter()
            .map(super::check::event_words)
            .collect()
    }
}

fn describe_verdict(verdict: Verdict) -> (&'static str, &'static str, Option<Origin>) {
    match verdict {
        Verdict::Pass(reason) => (
            "pass",
            PassReason::slug(reason),
            Some(Origin::Passed(reason)),
        ),
        Verdict::Forward => ("forward", "", Some(Origin::Edited)),
        Verdict::Absorb(reason) => ("absorb", reason.slug(), None),
        Verdict::Drop(reason) => ("drop", reason.slug(), None),
    }
}
