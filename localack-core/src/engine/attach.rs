//! Taking over memory in which an engine has lived that is gone: killed, replaced, or lost with its
//! process.
//!
//! What the memory says is not believed but looked at. The flows and their streams are the truth, as
//! far as they are sound; every list, count and index is made anew from them. A flow that was being
//! written to when its engine stopped is put back to what it was before, where its engine's sink has let no packet
//! leave meanwhile ([`Config::sink_waits`]); otherwise, or if it does not agree with itself, it is reset at both
//! ends, and what was lost with it is told. All else goes on where it was.

use super::connect::Quiet;
use super::queues::is_held;
use super::{Engine, Storage};
use crate::config::{Config, ConfigError};
use crate::flow::audit::slot_of;
use crate::flow::phase::Phase;
use crate::flow::table::{FlowIndex, IndexSlot, SlotList};
use crate::path::PathTable;
use crate::policy::Policy;
use crate::pool::{Pool, Undone, Unsound};
use crate::seal::Broken;
use crate::time::Instant;
use crate::timer::{ReadyList, TimerWheel};

/// What an engine has found in memory that it has taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct AttachReport {
    /// Flows that go on, unfinished handshakes and connections that were reset not counted.
    pub flows: u32,
    /// Unfinished handshakes that are followed further.
    pub handshakes: u32,
    /// Flows whose hosts are reset at the next [`Engine::poll`], because what was in custody for them
    /// cannot be relied on; [`Event::GivenUp`](crate::Event::GivenUp) says what is lost.
    pub ruined: u32,
    /// Flows that are forgotten without a word, because nothing was promised to anybody, or nobody
    /// can be told from whom they were.
    pub forgotten: u32,
    /// Octets of payload in custody that are held on.
    pub octets_held: u64,
    /// Whether the engine before was stopped in the middle of something.
    pub interrupted: bool,
}

/// Why an engine cannot take memory over. The memory is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AttachError {
    /// The slices do not fit together or a setting is out of range.
    Config(ConfigError),
    /// No engine has lived here.
    Empty,
    /// The engine that has lived here was of another build, whose slots mean something else.
    Layout,
    /// The memory was cut into slices of other lengths.
    Sizes,
}

impl core::fmt::Display for AttachError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Empty => f.write_str("no engine has lived in this memory"),
            Self::Layout => f.write_str("the memory was laid out by another build"),
            Self::Sizes => f.write_str("the memory was cut into slices of other lengths"),
        }
    }
}

impl core::error::Error for AttachError {}

impl From<ConfigError> for AttachError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<Broken> for AttachError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Magic => Self::Empty,
            Broken::Layout => Self::Layout,
            Broken::Sizes => Self::Sizes,
        }
    }
}

/// What becomes of a flow that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    GoesOn,
    Ruined,
    Forgotten,
}

impl<'a, P, X> Engine<'a, P, X> {
    /// Ends the engine and gives back what it was made of, for another to go on: now, or from the memory
    /// alone ([`Engine::attach`]). The memory is as a process leaves it that is killed here.
    #[must_use]
    pub fn into_parts(self) -> (Storage<'a>, Config, P) {
        (self.storage, self.config, self.policy)
    }
}

impl<'a, P: Policy> Engine<'a, P> {
    /// An engine that goes on where another has stopped, be it in the middle of a write: `storage` is the
    /// memory that [`Engine::new`] of the same build was lent, or this function.
    ///
    /// Slices must have the lengths they had. The caller's clock must be the same, too, which a monotonic
    /// clock of the machine is; what time has passed counts. `config` and `policy` may differ: flows keep
    /// what was settled for them. Packets that went by meanwhile are found out by what the hosts say next.
    ///
    /// Whatever the memory holds, nothing panics, and nothing is acknowledged that is not there. Takes a
    /// step for each flow slot and block that was ever used, each slot of a path, and each slot of the
    /// index.
    ///
    /// # Errors
    /// [`AttachError`]; then the memory is untouched, and [`Engine::new`] can have it.
    pub fn attach(
        storage: Storage<'a>,
        config: Config,
        policy: P,
    ) -> Result<(Self, AttachReport), AttachError> {
        let block_size = config.check(&storage)?;
        storage.head.seal.fits(&storage)?;
        let mut engine = Self {
            storage,
            config,
            policy,
            block_size,
            services: (),
        };
        let report = engine.take_over();
        Ok((engine, report))
    }

    fn take_over(&mut self) -> AttachReport {
        let mut opened = self.storage.head.seal.opened();
        let interrupted = opened.is_some();
        if opened.is_some_and(|slot| self.put_back(slot)) {
            opened = None;
        }
        self.storage.head.clock.mend();
        let rates = self.forget_derived();
        let mut report = AttachReport {
            interrupted,
            ..AttachReport::default()
        };
        let slots = self.slots_used();
        for slot in 0..slots {
            self.judge(slot, opened == Some(slot), &mut report);
        }
        self.pool().free_unclaimed();
        for slot in (0..slots).rev() {
            self.reinstate(slot, &mut report);
        }
        self.storage.head.shares.restore_rates(rates);
        self.storage.head.seal.close();
        report
    }

    /// Puts the flow in a slot that was being worked on back to what it was before, if nobody has heard of
    /// anything else and that is possible; whether it was.
    fn put_back(&mut self, slot: u32) -> bool {
        match self.pool().undo() {
            Undone::Impossible => return false,
            Undone::Chains => {
                let before = self.storage.before.first().copied();
                let (Some(before), Some(flow)) = (before, self.slot_mut(slot)) else {
                    return false;
                };
                *flow = before;
            }
            Undone::Nothing => {}
        }
        self.storage.head.seal.close();
        true
    }

    /// Empties every list, count and index that is made anew. The rates of the shares, which no flow knows.
    fn forget_derived(&mut self) -> [u32; 16] {
        let Storage {
            head,
            flows,
            index,
            paths,
            ..
        } = &mut self.storage;
        head.wheel = TimerWheel::EMPTY;
        head.ready = ReadyList::EMPTY;
        head.embryonic = 0;
        head.stalled_blocks = 0;
        head.slots = SlotList::rebuilt(flows, &head.slots);
        index.fill(IndexSlot::EMPTY);
        let now = head.clock.now();
        PathTable::new(&mut head.paths, paths, self.config.hash_key).rebuild(now);
        let rates = head.shares.forget_flows();
        self.pool().begin_rebuild();
        rates
    }

    fn pool(&mut self) -> Pool<'_> {
        let Storage {
            head,
            blocks,
            arena,
            ..
        } = &mut self.storage;
        Pool::new(&mut head.pool, blocks, arena, self.block_size)
    }

    /// Finds out what becomes of the flow in a slot, and lets it claim its blocks.
    fn judge(&mut self, slot: u32, suspect: bool, report: &mut AttachReport) {
        let fate = self.fate(slot, suspect);
        match fate {
            Fate::GoesOn => {}
            Fate::Ruined => self.condemn(slot, suspect),
            Fate::Forgotten => {
                if self.id_of(slot).is_some() {
                    report.forgotten = report.forgotten.saturating_add(1);
                }
                if let Some(flow) = self.slot_mut(slot) {
                    flow.wipe();
                }
            }
        }
    }

    fn fate(&mut self, slot: u32, suspect: bool) -> Fate {
        let live = self.id_of(slot).is_some();
        let Storage {
            head,
            flows,
            index,
            blocks,
            arena,
            ..
        } = &mut self.storage;
        let mut pool = Pool::new(&mut head.pool, blocks, arena, self.block_size);
        let at = usize::try_from(slot).unwrap_or(usize::MAX);
        let Some(flow) = flows.get_mut(at) else {
            return Fate::Forgotten;
        };
        flow.unlink();
        let (Some(key), true) = (flow.key.unpack(), live) else {
            return Fate::Forgotten;
        };
        let phase = flow.phase();
        let reset = phase == Phase::Tombstone && !flow.is_ruined();
        let astray = phase.is_embryonic() && flow.is_served();
        if phase == Phase::Free || astray || (suspect && !flow.is_served() && !reset) {
            return Fate::Forgotten;
        }
        // Two of one name: the memory lies, and one of them is as good as the other.
        let hash = key.hash(self.config.hash_key);
        let packed = flow.key;
        let mut index = FlowIndex::new(index);
        let twin = |other| {
            let other = usize::try_from(other)
                .ok()
                .and_then(|other| flows.get(other));
            other.is_some_and(|other| other.key == packed)
        };
        if index.find(hash, twin).is_some() || index.insert(hash, slot).is_err() {
            return Fate::Forgotten;
        }
        let Some(flow) = flows.get_mut(at) else {
            return Fate::Forgotten;
        };
        if (suspect && !reset) || flow.is_ruined() {
            return Fate::Ruined;
        }
        match flow.claim(slot, &mut pool) {
            Ok(()) => Fate::GoesOn,
            Err(Unsound::Damaged) => Fate::Ruined,
            Err(Unsound::Shared(owner)) => {
                let other = slot_of(owner);
                if other != slot {
                    self.condemn(other, false);
                }
                Fate::Ruined
            }
        }
    }

    /// What a flow holds is given up; its hosts are told at the next poll. One that was written to when its
    /// engine stopped may have said more than it has written down.
    fn condemn(&mut self, slot: u32, suspect: bool) {
        let Storage {
            head,
            flows,
            blocks,
            arena,
            ..
        } = &mut self.storage;
        let mut pool = Pool::new(&mut head.pool, blocks, arena, self.block_size);
        let flow = usize::try_from(slot)
            .ok()
            .and_then(|slot| flows.get_mut(slot));
        if let Some(flow) = flow {
            flow.condemn(slot, suspect, &mut pool);
        }
    }

    /// Puts a slot where it belongs: among the free ones, or its flow into the lists it waits in.
    fn reinstate(&mut self, slot: u32, report: &mut AttachReport) {
        let now = self.storage.head.clock.now();
        let Storage {
            head,
            flows,
            blocks,
            arena,
            ..
        } = &mut self.storage;
        let at = usize::try_from(slot).unwrap_or(usize::MAX);
        let Some(flow) = flows.get_mut(at) else {
            return;
        };
        let phase = flow.phase();
        if phase == Phase::Free {
            head.slots.readmit(flows, slot);
            return;
        }
        head.slots.count_live();
        flow.relink(&mut Pool::new(
            &mut head.pool,
            blocks,
            arena,
            self.block_size,
        ));
        head.stalled_blocks = head.stalled_blocks.saturating_add(flow.stalled_blocks());
        let ruined = flow.is_ruined();
        let held = flow.octets_held();
        match phase {
            Phase::SynSeen | Phase::SynAckSeen => {
                head.embryonic = head.embryonic.saturating_add(1);
                report.handshakes = report.handshakes.saturating_add(1);
            }
            Phase::Open | Phase::Resetting { .. } => {
                report.flows = report.flows.saturating_add(1);
            }
            Phase::Tombstone if ruined => {
                report.ruined = report.ruined.saturating_add(1);
            }
            Phase::Free | Phase::Tombstone => {}
        }
        report.octets_held = report.octets_held.saturating_add(held.into());
        self.resume(slot, now);
    }

    /// Arms the flow's timer and lets the next poll look at it if there is something to do.
    fn resume(&mut self, slot: u32, now: Instant) {
        let Some(flow) = self.slot(slot) else { return };
        if flow.phase().is_embryonic() {
            // Its handshake must end some day, whatever the memory says.
            let due = flow.phase_due.resolve(now);
            let due = due
                .unwrap_or(now)
                .min(now.after(self.config.handshake_time));
            self.storage.head.wheel.arm(self.storage.flows, slot, due);
            return;
        }
        if let Some(flow) = self.slot_mut(slot) {
            flow.await_answers(now);
        }
        self.work_once(slot, now, None, 0, &mut Quiet, |work| work.resume_service());
        if self.slot(slot).is_some_and(|flow| is_held(flow).is_some()) {
            // It goes back to where it waits for its path.
            self.look_after(slot);
        }
    }
}

#[cfg(test)]
mod tests;
