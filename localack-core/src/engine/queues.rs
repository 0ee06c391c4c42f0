//! Where a flow waits when it is not its own timer that it waits for: for the next poll, for its turn
//! at a vouched rate, or for a dead path to come back. It is in one list at a time.

use core::net::IpAddr;

use super::Engine;
use crate::flow::FlowSlot;
use crate::flow::stream::StreamFlags;
use crate::half::send::TimerKind;
use crate::pacing::Rest;
use crate::path::{PathKey, PathTable, TaskKind, Timeout, Verdict};
use crate::policy::{Direction, Policy, Port};
use crate::relay::TurnTaken;
use crate::services::PacketServices;
use crate::sink::{LinkId, Sink, SinkFull};
use crate::storage::Storage;
use crate::time::{Instant, micros};
use crate::timer::ReadyNode;

impl<P: Policy, X: PacketServices> Engine<'_, P, X> {
    /// When there is something to do, on the engine's clock.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let head = &*self.storage.head;
        let now = head.clock.now();
        if !head.ready.is_empty() {
            return Some(now);
        }
        let turn = sooner(head.wheel.next_deadline(), head.shares.next_at(now));
        sooner(turn, head.paths.next_deadline(self.storage.paths, now))
    }

    /// Whether there is something to do at `now`.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next_due().is_some_and(|at| at <= now)
    }

    /// After work on a flow: it goes where it waits for what is next.
    pub(super) fn line_up(
        &mut self,
        slot: u32,
        has_work: bool,
        share_waits: Option<u8>,
        in_turn: bool,
    ) {
        let Some(flow) = self.slot(slot) else {
            return;
        };
        let waits = flow.ready().ring().is_some();
        if !waits && !has_work && share_waits.is_none() {
            // It is in no list, and need not be in any.
            return;
        }
        let held = is_held(flow).is_some();
        let Storage {
            head, flows, paths, ..
        } = &mut self.storage;
        let now = head.clock.now();
        if has_work || share_waits.is_some() || !held {
            let mut table = PathTable::new(&mut head.paths, paths, self.config.hash_key);
            table.withdraw(flows, slot, now);
        }
        if has_work {
            head.shares.leave(flows, slot);
            head.ready.push_back(flows, slot);
            return;
        }
        head.ready.remove(flows, slot);
        match share_waits {
            Some(share) => {
                head.shares.join(flows, share, slot);
            }
            // Its turn goes on as long as it says so itself.
            None if in_turn => {}
            None => head.shares.leave(flows, slot),
        }
    }

    /// Lets a flow wait for its dead path again after it had something else to do. The direction
    /// that is to probe the path at once, if any.
    pub(super) fn hold(&mut self, slot: u32) -> Option<Direction> {
        let flow = self.slot(slot)?;
        let direction = is_held(flow)?;
        if flow.ready().waits_elsewhere() {
            // It has something else to do first.
            return None;
        }
        let key = PathKey::to_receiver(&flow.key.unpack()?, direction);
        let Storage {
            head, flows, paths, ..
        } = &mut self.storage;
        let now = head.clock.now();
        let mut table = PathTable::new(&mut head.paths, paths, self.config.hash_key);
        match table.hold(flows, slot, &key, now) {
            Verdict::Probe => Some(direction),
            Verdict::Wait => None,
            Verdict::BackOff => {
                // The path lives: what waits for it goes on as after a time-out.
                let flow = self.slot_mut(slot)?;
                let send = &mut flow.stream_mut(direction).send;
                send.arm(TimerKind::Timeout, now);
                self.storage.head.wheel.arm(self.storage.flows, slot, now);
                None
            }
        }
    }

    /// Something arrives from `source`: its network can be reached.
    pub(super) fn hear(&mut self, source: IpAddr, port: Port, link: LinkId) {
        if !self.storage.head.paths.any_in_doubt() {
            return;
        }
        let key = PathKey::new(source, port, link.0);
        let Storage { head, paths, .. } = &mut self.storage;
        if head.paths.may_concern(&key) {
            let now = head.clock.now();
            PathTable::new(&mut head.paths, paths, self.config.hash_key).on_heard(&key, now);
        }
    }

    /// What each direction does whose retransmission timer has expired.
    pub(super) fn ask_paths(&mut self, slot: u32) -> [Verdict; 2] {
        Direction::BOTH.map(|direction| self.ask_path(slot, direction))
    }

    fn ask_path(&mut self, slot: u32, direction: Direction) -> Verdict {
        let now = self.storage.head.clock.now();
        let config = &self.config;
        let asked = self
            .storage
            .flows
            .get(usize::try_from(slot).unwrap_or(usize::MAX))
            .filter(|flow| flow.is_silent(direction, now))
            .and_then(|flow| Some((flow.key.unpack()?, flow)))
            .map(|(key, flow)| {
                let send = &flow.stream(direction).send;
                let timeout = micros(flow.rto(config, direction));
                let early = send.timer_kind() == TimerKind::PathCheck;
                let waited = if early { timeout / 2 } else { timeout };
                let timeout = Timeout {
                    consecutive: send.time_outs().saturating_add(1),
                    waited_us: u32::try_from(waited).unwrap_or(u32::MAX),
                    early,
                };
                (PathKey::to_receiver(&key, direction), timeout)
            });
        let Some((key, timeout)) = asked else {
            return Verdict::BackOff;
        };
        let Storage {
            head, flows, paths, ..
        } = &mut self.storage;
        head.ready.remove(flows, slot);
        head.shares.leave(flows, slot);
        PathTable::new(&mut head.paths, paths, self.config.hash_key)
            .on_timeout(flows, slot, &key, now, timeout)
    }

    /// Probes dead paths, and lets the flows of those go that have come back. Answers the room that
    /// is left.
    pub(super) fn serve_paths<S: Sink + ?Sized>(
        &mut self,
        wall: Instant,
        mut room: usize,
        steps: &mut u32,
        sink: &mut S,
    ) -> Result<usize, SinkFull> {
        let now = self.storage.head.clock.now();
        while room > 0 && *steps > 0 {
            let Storage {
                head, flows, paths, ..
            } = &mut self.storage;
            let mut table = PathTable::new(&mut head.paths, paths, self.config.hash_key);
            let Some(task) = table.next_task(flows, now, steps) else {
                break;
            };
            let direction = Direction::arriving_on(task.port.other());
            let served = self.work(task.flow, wall, room, sink, |work| match task.kind {
                TaskKind::Probe => work.probe_path(direction),
                TaskKind::Wake => work.wake(direction),
            });
            if let Some(((), done)) = served {
                room = done.room;
                if done.blocked {
                    return Err(SinkFull);
                }
            }
        }
        Ok(room)
    }

    /// After a turn at a vouched rate: what else the flow waits for, it could not be in line for.
    fn line_up_anew(&mut self, slot: u32, share_waits: Option<u8>) {
        let held = self.slot(slot).is_some_and(|flow| is_held(flow).is_some());
        let Storage { head, flows, .. } = &mut self.storage;
        if let Some(share) = share_waits {
            head.shares.leave(flows, slot);
            head.shares.join(flows, share, slot);
        } else if held {
            // If its turn is over.
            head.ready.push_back(flows, slot);
        }
    }

    /// Lets those send whose turn it is at a vouched rate.
    pub(super) fn serve_shares<S: Sink + ?Sized>(
        &mut self,
        wall: Instant,
        mut room: usize,
        mut steps: u32,
        sink: &mut S,
    ) -> Result<(), SinkFull> {
        let now = self.storage.head.clock.now();
        while room > 0 && steps > 0 {
            let Storage { head, flows, .. } = &mut self.storage;
            let Some(turn) = head.shares.visit(flows, now) else {
                break;
            };
            let before = room;
            let taken = TurnTaken {
                share: turn.share,
                left: turn.octets,
                ..TurnTaken::default()
            };
            let served = self.work(turn.flow, wall, room, sink, |work| work.on_turn(taken));
            let Some((wants_more, done)) = served else {
                // Nobody is there: its place in line is void.
                let Storage { head, flows, .. } = &mut self.storage;
                head.shares.served(flows, now, turn, 0, Rest::Idle);
                continue;
            };
            room = done.room;
            let rest = match (done.turn.waits, wants_more) {
                (true, _) => Rest::Waits,
                (false, true) => Rest::Interrupted,
                (false, false) => Rest::Idle,
            };
            let Storage { head, flows, .. } = &mut self.storage;
            head.shares.served(flows, now, turn, done.turn.used, rest);
            self.line_up_anew(turn.flow, done.share_waits);
            if done.blocked {
                return Err(SinkFull);
            }
            if room == before {
                steps = steps.saturating_sub(1);
            }
        }
        Ok(())
    }
}

/// The earlier of two points, as far as they are set.
fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The direction of a flow that waits for a dead path.
pub(super) fn is_held(flow: &FlowSlot) -> Option<Direction> {
    Direction::BOTH
        .into_iter()
        .find(|&direction| flow.stream(direction).flags.has(StreamFlags::HELD))
}
