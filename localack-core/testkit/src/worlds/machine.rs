//! The real engine, learned as an automaton.
//!
//! An engine lends no copy of itself, so a state of it is kept as the inputs that lead there, and
//! entered by feeding them to a fresh one. What it then does with one more input is remembered: the
//! search asks for the same step of the same state many times, and the engine is run only once.

use core::fmt::Write as _;
use core::hash::Hasher as _;
use std::collections::HashMap;

use localack_core::{
    Direction, DirectionMode, Engine, Event, FlowConfig, FlowState, Instant, PacketMeta, Poll,
    Port, SeqNum, Sink, SinkFull, Transmit, TransmitKind, Verdict,
};

use super::digest::{Digest, Printed};
use super::scope::{Scope, index};
use super::segment::{Segment, Segments, relative};
use crate::laws::{Modes, Origin, Witness};
use crate::memory::Memory;
use crate::packet::{Flags, Packet};

/// Calls of `poll` at one time after which the engine must have come to rest.
const MOST_POLLS: u32 = 1000;
/// Packets that one ingested packet may push (architecture section 3, "Work and time").
const MOST_PUSHED: usize = 3;
/// Microseconds since the engine's epoch at which a small world begins.
const EPOCH_US: u64 = 1_000_000_000;

/// What an engine is given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Input {
    /// A segment from the end in whose name it is sent.
    Segment(u32),
    /// Nothing but the time.
    Poll,
    /// The request to hand everything back.
    Drain,
}

/// What is known of one direction of data in a state of the engine; numbers relative to the ISN of
/// the data's sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stream {
    pub(super) mode: DirectionMode,
    /// First octet that the receiver has not acknowledged, as far as the engine knows.
    pub(super) snd_una: u32,
    /// First octet that is not held in order.
    pub(super) rcv_nxt: u32,
    pub(super) debt: u32,
    pub(super) custody: u32,
}

/// A state of the engine.
#[derive(Debug)]
pub(super) struct State {
    from: Option<(u32, u64, Input)>,
    /// When it wants to be polled, in microseconds.
    pub(super) due: Option<u64>,
    /// Both directions of an open flow, by the port of the data's sender.
    pub(super) streams: Option<[Stream; 2]>,
    /// Octets that events have reported lost so far, by the port of their sender.
    pub(super) lost: [u32; 2],
    /// Whether it has reset the connection for want of a receiver.
    pub(super) gave_up: bool,
    witness: Witness,
}

impl State {
    /// Highest acknowledgement number that was sent to the end on `port`.
    pub(super) fn told(&self, port: Port) -> u32 {
        self.witness
            .told_ack(port)
            .map_or(0, |ack| relative(port, ack))
    }

    /// Highest acknowledgement of the peer's data that came from the end on `port`.
    pub(super) fn acked(&self, port: Port) -> u32 {
        self.witness
            .acked(port)
            .map_or(0, |ack| relative(port.other(), ack))
    }
}

/// What one input brings about.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The state afterwards.
    pub(super) next: u32,
    /// What leaves, by port, in order.
    pub(super) out: Vec<(Port, u32)>,
    /// What happened.
    pub(super) events: Vec<Event>,
    /// Which laws were broken.
    pub(super) faults: Vec<String>,
}

/// The automaton as far as it is known.
#[derive(Debug)]
pub(super) struct Machine {
    scope: Scope,
    states: Vec<State>,
    known: HashMap<u128, u32>,
    steps: HashMap<(u32, u64, Input), u32>,
    outcomes: Vec<Outcome>,
    memory: Memory,
}

#[derive(Debug, Default)]
struct Tape {
    made: Vec<(Port, TransmitKind, Vec<u8>)>,
    events: Vec<Event>,
}

impl Sink for Tape {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let octets = packet.slices().flatten().copied().collect();
        self.made.push((packet.port(), packet.kind(), octets));
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        self.events.push(event);
    }
}

/// Takes everything and forgets it.
struct Past;

impl Sink for Past {
    fn transmit(&mut self, _: Transmit<'_>) -> Result<(), SinkFull> {
        Ok(())
    }
}

impl Machine {
    /// The automaton with nothing but its first state, number 0: an engine that has seen nothing.
    pub(super) fn new(scope: &Scope) -> Self {
        Self {
            scope: *scope,
            states: vec![State {
                from: None,
                due: None,
                streams: None,
                lost: [0; 2],
                gave_up: false,
                witness: Witness::new(),
            }],
            known: HashMap::new(),
            steps: HashMap::new(),
            outcomes: Vec::new(),
            memory: Scope::memory(),
        }
    }

    pub(super) fn state(&self, number: u32) -> &State {
        &self.states[number as usize]
    }

    /// States that were met.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// Steps that were taken by the engine itself.
    pub(super) fn steps(&self) -> usize {
        self.outcomes.len()
    }

    pub(super) fn outcome(&self, number: u32) -> &Outcome {
        &self.outcomes[number as usize]
    }

    /// Gives the engine in state `number` an input at a time in microseconds; answers the outcome's
    /// number.
    pub(super) fn step(
        &mut self,
        number: u32,
        now: u64,
        input: Input,
        segments: &mut Segments,
    ) -> u32 {
        let key = (number, now, input);
        if let Some(&outcome) = self.steps.get(&key) {
            return outcome;
        }
        let outcome = self.run(key, segments);
        let place = u32::try_from(self.outcomes.len()).expect("a small world");
        self.outcomes.push(outcome);
        self.steps.insert(key, place);
        place
    }

    /// The inputs that lead to a state, in order.
    fn history(&self, number: u32) -> Vec<(u64, Input)> {
        let mut inputs = Vec::new();
        let mut at = number;
        while let Some((from, now, input)) = self.state(at).from {
            inputs.push((now, input));
            at = from;
        }
        inputs.reverse();
        inputs
    }

    /// Enters a state and takes one step from there.
    fn run(&mut self, key: (u32, u64, Input), segments: &mut Segments) -> Outcome {
        let (number, now, input) = key;
        let history = self.history(number);
        let mut storage = self.memory.storage();
        if !self.scope.knows_paths {
            storage.paths = &mut [];
        }
        let mut engine = Engine::new(storage, Scope::config(), self.scope.policy())
            .expect("a scope's settings are valid");
        for (at, earlier) in history {
            match earlier {
                Input::Segment(id) => {
                    let mut octets = segments.octets(id).to_vec();
                    let port = segments.get(id).from;
                    let _ = engine.ingest(port, instant(at), &mut octets, META, &mut Past);
                }
                Input::Poll => {}
                Input::Drain => engine.drain(instant(at)),
            }
            while engine.poll(instant(at), 64, &mut Past) == Poll::More {}
        }
        let before = &self.states[number as usize];
        let mut step = Step {
            scope: &self.scope,
            segments,
            witness: before.witness.clone(),
            out: Vec::new(),
            faults: Vec::new(),
        };
        let modes = modes(&engine);
        let mut tape = Tape::default();
        let passed = match input {
            Input::Segment(id) => step.ingest(&mut engine, instant(now), id, &mut tape),
            Input::Poll => None,
            Input::Drain => {
                engine.drain(instant(now));
                None
            }
        };
        let pushed = core::mem::take(&mut tape.made);
        if pushed.len() > MOST_PUSHED {
            step.faults
                .push(format!("ingest pushed {} packets", pushed.len()));
        }
        step.rest(&mut engine, instant(now), &mut tape);
        let both = (modes, self::modes(&engine));
        for (port, kind, octets) in pushed {
            step.leaves(port, Origin::Made(kind), &octets, both);
        }
        if let Some((port, origin, octets)) = passed {
            step.leaves(port, origin, &octets, both);
        }
        for (port, kind, octets) in core::mem::take(&mut tape.made) {
            step.leaves(port, Origin::Made(kind), &octets, both);
        }
        let Step {
            witness,
            out,
            mut faults,
            ..
        } = step;
        let mut lost = before.lost;
        let mut gave_up = before.gave_up;
        for event in &tape.events {
            let (source, octets) = match *event {
                Event::Reset { from, lost, .. } => (from.other(), lost),
                Event::GivenUp {
                    direction, lost, ..
                } => {
                    gave_up = true;
                    (direction.source(), lost)
                }
                _ => continue,
            };
            let given = match input {
                Input::Segment(id) => Some(segments.get(id)),
                Input::Poll | Input::Drain => None,
            };
            let owed = owed(before, given, &self.scope, source);
            if octets != owed {
                faults.push(format!(
                    "{event:?} reports {octets} octets of {source:?}'s lost, of which {owed} were \
                     promised and not acknowledged"
                ));
            }
            lost[index(source)] += octets;
        }
        let counted = engine.counters().octets_lost;
        if counted != u64::from(lost[0]) + u64::from(lost[1]) {
            faults.push(format!("{counted} octets counted as lost, not {lost:?}"));
        }
        let state = State {
            from: Some(key),
            due: engine
                .next_deadline()
                .map(|at| at.as_micros().saturating_sub(EPOCH_US)),
            streams: streams(&engine),
            lost,
            gave_up,
            witness,
        };
        let digest = digest(&engine, &state);
        let next = *self.known.entry(digest).or_insert_with(|| {
            self.states.push(state);
            u32::try_from(self.states.len() - 1).expect("a small world")
        });
        Outcome {
            next,
            out,
            events: tape.events,
            faults,
        }
    }
}

/// One step of the engine, with what watches it.
struct Step<'m> {
    scope: &'m Scope,
    segments: &'m mut Segments,
    witness: Witness,
    out: Vec<(Port, u32)>,
    faults: Vec<String>,
}

impl Step<'_> {
    /// Hands in a segment; answers what of it goes on, and where.
    fn ingest(
        &mut self,
        engine: &mut Engine<'_, FlowConfig>,
        now: Instant,
        id: u32,
        tape: &mut Tape,
    ) -> Option<(Port, Origin, Vec<u8>)> {
        let port = self.segments.get(id).from;
        let mut octets = self.segments.octets(id).to_vec();
        let decoded = Packet::decode(&octets).expect("an end's packet");
        self.witness.arrives(port, &decoded);
        let verdict = engine.ingest(port, now, &mut octets, META, tape);
        let origin = match verdict {
            Verdict::Pass(reason) => Origin::Passed(reason),
            Verdict::Forward => Origin::Edited,
            Verdict::Absorb(_) | Verdict::Drop(_) => return None,
        };
        if matches!(origin, Origin::Passed(_)) && octets != self.segments.octets(id) {
            self.faults
                .push(format!("{origin:?}, and yet the packet was changed"));
        }
        Some((port.other(), origin, octets))
    }

    /// Polls until the engine rests.
    fn rest(&mut self, engine: &mut Engine<'_, FlowConfig>, now: Instant, tape: &mut Tape) {
        for _ in 0..MOST_POLLS {
            match engine.poll(now, 64, tape) {
                Poll::More => {}
                Poll::Blocked => {
                    self.faults
                        .push("poll is blocked by a sink that takes all".into());
                    return;
                }
                Poll::Idle => {
                    if engine.next_deadline().is_some_and(|at| at <= now) {
                        self.faults
                            .push("poll is idle and yet a deadline is due".into());
                    }
                    return;
                }
            }
        }
        self.faults
            .push(format!("poll did not come to rest in {MOST_POLLS} calls"));
    }

    /// Judges a packet that leaves by `port`.
    fn leaves(&mut self, port: Port, origin: Origin, octets: &[u8], modes: (Modes, Modes)) {
        let decoded = match Packet::decode(octets) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.faults.push(format!("a broken packet: {error}"));
                return;
            }
        };
        let mut faults = self
            .witness
            .leaves(port, origin, &decoded, modes.0, modes.1);
        match Segment::of(&decoded, port) {
            Ok(segment) => self
                .out
                .push((port, self.segments.id(&segment, self.scope))),
            Err(fault) => faults.push(fault),
        }
        self.faults.extend(
            faults
                .into_iter()
                .map(|fault| format!("to {port:?} by {origin:?}: {fault}")),
        );
    }
}

const META: PacketMeta = PacketMeta {
    checksum: localack_core::Checksum::Verify,
    gso_size: 0,
    link: localack_core::LinkId(0),
};

const fn instant(now: u64) -> Instant {
    Instant::from_micros(EPOCH_US + now)
}

/// Octets of the data from `source` that it was told have arrived, and that its receiver has not
/// acknowledged, not even in the segment that is `given`; a FIN is no octet.
fn owed(before: &State, given: Option<&Segment>, scope: &Scope, source: Port) -> u32 {
    let data_end = 1 + scope.app(source).octets();
    let last_word = given.filter(|segment| segment.from != source && segment.has(Flags::ACK));
    let acked = before
        .acked(source.other())
        .max(last_word.map_or(0, |segment| segment.ack));
    let told = before.told(source);
    told.min(data_end).saturating_sub(acked.min(data_end))
}

fn modes(engine: &Engine<'_, FlowConfig>) -> Modes {
    streams(engine).map_or(Modes::NONE, |streams| Modes {
        by_source: streams.map(|stream| Some(stream.mode)),
    })
}

fn streams(engine: &Engine<'_, FlowConfig>) -> Option<[Stream; 2]> {
    let flow = engine.flows().last()?;
    if !matches!(flow.state, FlowState::Open | FlowState::Resetting) {
        return None;
    }
    Some(Port::BOTH.map(|port| {
        let info = flow.direction(Direction::arriving_on(port));
        let relative = |seq: SeqNum| relative(port, seq.raw());
        Stream {
            mode: info.mode,
            snd_una: relative(info.snd_una),
            rcv_nxt: relative(info.rcv_nxt),
            debt: info.debt,
            custody: info.custody,
        }
    }))
}

/// Everything that the future depends on: all of the engine's memory but its counters, and what the
/// witness knows.
fn digest(engine: &Engine<'_, FlowConfig>, state: &State) -> u128 {
    let mut digest = Digest::new();
    let mut printed = Printed::into(&mut digest);
    write!(printed, "{engine:?}{:?}", state.witness).expect("a digest takes everything");
    assert!(printed.is_whole(), "counters without an end");
    digest.write_u32(state.lost[0]);
    digest.write_u32(state.lost[1]);
    digest.write_u8(u8::from(state.gave_up));
    digest.value()
}
