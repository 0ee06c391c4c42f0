//! A piece of work on one flow: what it may use meanwhile, and what has to be seen to afterwards, its
//! timer, the list it waits in, its end.

use super::Engine;
use crate::path::{PathTable, Verdict as PathVerdict};
use crate::policy::{Direction, Policy};
use crate::pool::Pool;
use crate::relay::{TurnTaken, Work};
use crate::services::PacketServices;
use crate::sink::Sink;
use crate::storage::Storage;
use crate::time::Instant;
use crate::wire::Segment;

impl<P: Policy, X: PacketServices> Engine<'_, P, X> {
    /// Lets `job` work on a flow, and then sees to its timer, to where it waits, and to its end.
    pub(super) fn work<S: Sink + ?Sized, T>(
        &mut self,
        slot: u32,
        wall: Instant,
        room: usize,
        sink: &mut S,
        job: impl FnOnce(&mut Work<'_, S>) -> T,
    ) -> Option<(T, Done)> {
        self.work_here(slot, wall, None, room, sink, job)
    }

    /// The same as a part of its caller, for the one that is called for each segment.
    #[inline(always)]
    pub(super) fn work_here<S: Sink + ?Sized, T>(
        &mut self,
        slot: u32,
        wall: Instant,
        arrived: Option<Arrived<'_>>,
        room: usize,
        sink: &mut S,
        job: impl FnOnce(&mut Work<'_, S>) -> T,
    ) -> Option<(T, Done)> {
        let (answer, mut done) = self.work_once(slot, wall, arrived, room, sink, job)?;
        if let Some(direction) = self.hold(slot) {
            let probe = |work: &mut Work<'_, S>| work.probe_path(direction);
            let probed = self.work_once(slot, wall, None, done.room, sink, probe);
            if let Some(((), after)) = probed {
                done.room = after.room;
                done.blocked = after.blocked;
            }
        }
        Some((answer, done))
    }

    pub(super) fn work_once<S: Sink + ?Sized, T>(
        &mut self,
        slot: u32,
        wall: Instant,
        arrived: Option<Arrived<'_>>,
        room: usize,
        sink: &mut S,
        job: impl FnOnce(&mut Work<'_, S>) -> T,
    ) -> Option<(T, Done)> {
        // Only the job differs: what is done before and after it is there once, not for each job.
        let mut work = self.begin_work(slot, wall, arrived, room, sink)?;
        let answer = job(&mut work);
        let outcome = Outcome::of(&work);
        let done = outcome.done;
        self.end_work(slot, wall, &outcome, sink);
        self.storage.head.seal.close();
        self.storage.head.pool.end_undo();
        Some((answer, done))
    }

    fn begin_work<'w, S: Sink + ?Sized>(
        &'w mut self,
        slot: u32,
        wall: Instant,
        arrived: Option<Arrived<'_>>,
        room: usize,
        sink: &'w mut S,
    ) -> Option<Work<'w, S>> {
        let id = self.id_of(slot)?;
        let Storage {
            head,
            flows,
            blocks,
            arena,
            paths,
            before,
            ..
        } = &mut self.storage;
        let flow = flows.get_mut(usize::try_from(slot).ok()?)?;
        let key = flow.key.unpack()?;
        if self.config.sink_waits
            && let Some(before) = before.first_mut()
        {
            if arrived.is_some_and(|(direction, seg)| flow.only_hears(direction, seg)) {
                head.pool.begin_hearing();
            } else {
                *before = *flow;
                head.pool.begin_undo();
            }
        }
        let now = head.clock.now();
        let half = u32::try_from(blocks.len() / 2).unwrap_or(u32::MAX);
        head.seal.open(slot);
        Some(Work {
            id,
            key,
            stalled_before: flow.stalled_blocks(),
            arranged: flow.is_arranged(),
            flow,
            pool: Pool::new(&mut head.pool, blocks, arena, self.block_size),
            shares: &mut head.shares,
            paths: PathTable::new(&mut head.paths, paths, self.config.hash_key),
            shapings: &head.shapings,
            counters: &mut head.counters,
            config: &self.config,
            sink,
            now,
            wall,
            crowded: head.stalled_blocks > half,
            room,
            turn: None,
            share_waits: None,
            verdicts: [PathVerdict::BackOff; 2],
            blocked: false,
            done: false,
        })
    }

    fn end_work<S: Sink + ?Sized>(
        &mut self,
        slot: u32,
        wall: Instant,
        work: &Outcome,
        sink: &mut S,
    ) {
        let Storage { head, flows, .. } = &mut self.storage;
        let stalled = head.stalled_blocks.saturating_sub(work.stalled_before);
        head.stalled_blocks = stalled.saturating_add(work.stalled_after);
        if work.ended {
            self.forget(slot, wall, sink);
            return;
        }
        match work.due {
            Some(at) => head.wheel.arm(flows, slot, at),
            None => head.wheel.disarm(flows, slot),
        }
        let in_turn = work.done.turn != TurnTaken::default();
        self.line_up(slot, work.has_work, work.done.share_waits, in_turn);
    }
}

/// The segment that a piece of work is about, and where it travels.
pub(super) type Arrived<'s> = (Direction, &'s Segment);

/// What a piece of work leaves to be seen to.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    done: Done,
    /// The flow is over.
    ended: bool,
    has_work: bool,
    due: Option<Instant>,
    stalled_before: u32,
    stalled_after: u32,
}

impl Outcome {
    fn of<S: Sink + ?Sized>(work: &Work<'_, S>) -> Self {
        Self {
            done: Done {
                room: work.room,
                blocked: work.blocked,
                walks: work.walks(),
                turn: work.turn.unwrap_or_default(),
                share_waits: work.share_waits,
            },
            ended: work.done,
            has_work: work.has_work(),
            due: work.flow.next_due(work.now),
            stalled_before: work.stalled_before,
            stalled_after: work.flow.stalled_blocks(),
        }
    }
}

/// How a piece of work on a flow ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    /// Packets that may still be sent.
    pub(super) room: usize,
    /// The sink is full.
    pub(super) blocked: bool,
    /// A walk goes on.
    pub(super) walks: bool,
    /// What became of its turn at a vouched rate.
    pub(super) turn: TurnTaken,
    /// The vouched rate that it waits for a turn at.
    pub(super) share_waits: Option<u8>,
}

#[cfg(test)]
mod tests;
