//! The engine, the two hosts, and the network between them.

mod act;
mod again;
mod arrive;
mod calm;
mod forge;

use std::collections::VecDeque;

use localack_core::{
    Config, Direction, Engine, Event, FlowConfig, FlowId, FlowInfo, FlowState, Instant, PacketMeta,
    PassReason, Poll, Port, Sink, SinkFull, Storage, Transmit, TransmitKind, Verdict,
};

use super::account::Ledger;
use super::crowd::Crowd;
use super::host::Host;
use super::operation::{Hop, Setup, shapings};
use super::print::Script;
use super::summary::Summary;
use crate::laws::{Modes, Witness};
use crate::packet::Layout;

/// Script time zero, in milliseconds.
pub(super) const EPOCH_MS: i64 = 1_000_000;
/// Octets of a block.
pub(super) const BLOCK_SIZE: usize = 2048;
/// The round trip to the outer host that the handshake shows, in milliseconds, and to the inner one.
const OUTER_MS: i64 = 20;
const INNER_MS: i64 = 1;
/// Packets that one call of `poll` may send, and calls after which the engine must be at rest.
const BUDGET: usize = 16;
const MOST_POLLS: usize = 2_000;
/// Deadlines on the way to a later time.
const MOST_DEADLINES: usize = 10_000;

/// What is wrong; the text names the invariant.
pub(super) type Checked = Result<(), String>;

/// A packet of the engine's: where it leaves, what for, and of which flow.
pub(super) type Made = (Port, TransmitKind, FlowId, Vec<u8>);

/// Keeps what the engine sends and says.
#[derive(Debug, Default)]
pub(super) struct Tape {
    pub(super) made: Vec<Made>,
    pub(super) events: Vec<Event>,
    pub(super) full: bool,
    /// Packets that it takes before it is full.
    pub(super) room: Option<u8>,
}

impl Sink for Tape {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        if self.room == Some(0) {
            self.full = true;
        }
        if self.full {
            return Err(SinkFull);
        }
        self.room = self.room.map(|room| room - 1);
        let octets = packet.slices().flatten().copied().collect();
        let (port, kind, flow) = (packet.port(), packet.kind(), packet.flow());
        self.made.push((port, kind, flow, octets));
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        self.events.push(event);
    }
}

/// A packet on its way.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) octets: Vec<u8>,
    /// A stranger has sent it, or it was spoilt on the way.
    pub(super) foreign: bool,
    /// The engine made it.
    pub(super) made: bool,
}

/// What is known of a packet before the engine has seen it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// If it is not whole, it must not change anything.
    None,
    /// It must not change anything, although it is whole.
    Inert,
    /// It is no segment.
    Icmp,
}

/// Everything.
#[derive(Debug)]
pub(super) struct World<'e> {
    pub(super) setup: Setup,
    pub(super) engine: Engine<'e, FlowConfig>,
    /// Memory for engines that know nothing: one, and one that stands in while another is replaced.
    pub(super) spare: Vec<Storage<'e>>,
    pub(super) tape: Tape,
    pub(super) witness: Witness,
    pub(super) hosts: [Host; 2],
    pub(super) ledgers: [Ledger; 2],
    pub(super) hops: [VecDeque<Parcel>; 4],
    /// Whether packets of a hop may have changed places, or come twice.
    pub(super) disturbed: [bool; 4],
    pub(super) crowd: Crowd,
    /// In microseconds.
    pub(super) now_us: i64,
    /// How far the engine's clock is behind, and where it stands still.
    pub(super) behind_us: i64,
    pub(super) still_us: Option<i64>,
    pub(super) flow: Option<FlowId>,
    /// A service was asked for after the beginning.
    pub(super) served_later: bool,
    /// Whether the offered window had to shrink at a hand-over, by source (rule H2.11).
    pub(super) soft: [bool; 2],
    /// The engine has lost its state.
    pub(super) forgot: bool,
    /// Another connection is to follow on the same ports.
    pub(super) again: bool,
    /// Whether a packet of a host's has arrived with a congestion mark.
    pub(super) marked: [bool; 2],
    /// A host has left or was aborted, or a stranger has come close, so that a reset may come.
    pub(super) doomed: bool,
    pub(super) script: Script,
    pub(super) summary: Summary,
}

pub(super) const fn index(port: Port) -> usize {
    match port {
        Port::Inner => 0,
        Port::Outer => 1,
    }
}

pub(super) fn config() -> Config {
    let mut config = Config::new([0x6c6f_6361, 0x6c61_636b]);
    config.give_up_after = core::time::Duration::from_secs(100);
    config
}

/// An engine that knows what the numbers of shapings mean.
fn begin<'e>(storage: Storage<'e>, setup: &Setup) -> Engine<'e, FlowConfig> {
    let policy = setup.policy();
    let mut engine = Engine::new(storage, config(), policy).expect("settings are valid");
    for (id, shaping) in shapings() {
        engine.set_shaping(id, &shaping, Instant::ZERO);
    }
    engine
}

impl<'e> World<'e> {
    /// A world in which nothing has happened yet.
    pub(super) fn new(setup: &Setup, mut storages: Vec<Storage<'e>>, script: Script) -> Self {
        let storage = storages.pop().expect("memory");
        Self {
            script,
            setup: *setup,
            engine: begin(storage, setup),
            spare: storages,
            tape: Tape::default(),
            witness: Witness::new(),
            ledgers: Port::BOTH.map(|port| Ledger::new(port, setup)),
            hosts: Port::BOTH.map(|port| Host::new(port, setup)),
            hops: [const { VecDeque::new() }; 4],
            disturbed: [false; 4],
            crowd: Crowd::default(),
            now_us: (EPOCH_MS - 1000) * 1000,
            behind_us: 0,
            still_us: None,
            flow: None,
            served_later: false,
            soft: [false; 2],
            forgot: false,
            again: setup.again,
            marked: [false; 2],
            doomed: false,
            summary: Summary::default(),
        }
    }

    /// Three packets, which must pass as they are.
    pub(super) fn handshake(&mut self) -> Checked {
        self.shakes_hands(-1000)?;
        self.advance_to_ms(0)?;
        self.script.begin();
        Ok(())
    }

    /// The same, from a time on.
    pub(super) fn shakes_hands(&mut self, from_ms: i64) -> Checked {
        let client = self.setup.client();
        let (there, back) = match client {
            Port::Inner => (OUTER_MS, INNER_MS),
            Port::Outer => (INNER_MS, OUTER_MS),
        };
        let times = [0, there, there + back].map(|after| from_ms + after);
        for (step, at_ms) in (0..).zip(times) {
            self.advance_to_ms(at_ms)?;
            let from = if step == 1 { client.other() } else { client };
            let host = &mut self.hosts[index(from)];
            let packet = match step {
                0 | 1 => host.syn(step == 1, at_ms),
                _ => host.acknowledge(at_ms),
            };
            if let Some((stamp, _)) = packet.options.timestamps {
                self.hosts[index(from.other())].note_first_stamp(stamp);
            }
            let octets = packet.encode(Layout::Aligned);
            let parcel = Parcel {
                octets: octets.clone(),
                foreign: false,
                made: false,
            };
            self.arrives(from, &parcel, Claim::None)?;
            let out = &mut self.hops[Hop::new(from.other(), false).index()];
            let place = out.iter().position(|parcel| parcel.octets == octets);
            let Some(place) = place.filter(|&place| place == 0 || from_ms > 0) else {
                return Err("a handshake that does not pass (rule H7.5)".into());
            };
            out.drain(..=place);
            if step == 2 && !self.setup.third_lost {
                self.hosts[index(from.other())].receive(&packet, at_ms);
            }
        }
        Ok(())
    }

    /// Relative to script time zero.
    pub(super) const fn at_ms(&self) -> i64 {
        self.now_us.div_euclid(1000) - EPOCH_MS
    }

    /// The engine's time.
    pub(super) fn instant(&self) -> Instant {
        let wall = self.still_us.unwrap_or(self.now_us - self.behind_us);
        Instant::from_micros(u64::try_from(wall).unwrap_or(0))
    }

    pub(super) fn info(&self) -> Option<FlowInfo> {
        self.engine.flow(self.flow?)
    }

    pub(super) fn modes(&self) -> Modes {
        Self::modes_of(self.info().as_ref())
    }

    pub(super) fn modes_of(info: Option<&FlowInfo>) -> Modes {
        match info {
            Some(flow) if matches!(flow.state, FlowState::Open | FlowState::Resetting) => Modes {
                by_source: Direction::BOTH.map(|d| Some(flow.direction(d).mode)),
            },
            _ => Modes::NONE,
        }
    }

    /// Lets time pass, and the engine do what is due on the way.
    pub(super) fn advance_to_ms(&mut self, at_ms: i64) -> Checked {
        let target = (EPOCH_MS + at_ms) * 1000;
        for _ in 0..MOST_DEADLINES {
            let Some(at) = self
                .deadline_us()
                .filter(|&at| at <= target && !self.tape.full)
            else {
                break;
            };
            self.now_us = self.now_us.max(at);
            self.poll()?;
        }
        self.now_us = self.now_us.max(target);
        self.poll()
    }

    /// When the engine wants to be polled, in true time; never while its clock stands still.
    pub(super) fn deadline_us(&self) -> Option<i64> {
        let deadline = self.engine.next_deadline()?;
        let at = i64::try_from(deadline.as_micros()).unwrap_or(i64::MAX);
        match self.still_us {
            Some(still) => (at <= still).then_some(self.now_us),
            None => Some(at + self.behind_us),
        }
    }

    /// Polls until nothing is left to do now, and judges what that made.
    pub(super) fn poll(&mut self) -> Checked {
        let before = self.modes();
        self.rest()?;
        self.collect(before)?;
        self.audit()
    }

    /// Polls until nothing is left to do now.
    pub(super) fn rest(&mut self) -> Checked {
        let now = self.instant();
        for _ in 0..MOST_POLLS {
            match self.engine.poll(now, BUDGET, &mut self.tape) {
                Poll::More => {}
                Poll::Blocked if self.tape.full => return Ok(()),
                Poll::Blocked => return Err("blocked by a sink that takes everything".into()),
                Poll::Idle => {
                    let late = self.engine.next_deadline().is_some_and(|at| at <= now);
                    return if late && !self.tape.full {
                        Err("idle, and yet a deadline is due".into())
                    } else {
                        Ok(())
                    };
                }
            }
        }
        Err(format!(
            "poll does not come to rest in {MOST_POLLS} calls (invariant 16)"
        ))
    }

    pub(super) fn meta() -> PacketMeta {
        PacketMeta::default()
    }
}

/// Why a packet goes on, if it does: untouched for a reason, or edited.
pub(super) const fn passage(verdict: Verdict) -> Option<Result<PassReason, ()>> {
    match verdict {
        Verdict::Pass(reason) => Some(Ok(reason)),
        Verdict::Forward => Some(Err(())),
        Verdict::Absorb(_) | Verdict::Drop(_) => None,
    }
}
