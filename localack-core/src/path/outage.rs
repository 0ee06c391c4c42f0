//! Whether a path can be reached, and who asks next.
//!
//! A flow that times out alone backs off (RFC 6298 section 5.5), and after an outage waits for
//! a timer that may be a minute away. All flows of a path together know better: nothing was heard
//! from the whole network. Then a few probes per second of all of them take the place of each
//! one's back-off, and the first answer lets all of them go.
//!
//! Three queues of paths find what is due without a search: each is served in the order in which
//! its paths entered, because all of them wait equally long in it.

use core::time::Duration;

use super::key::PathKey;
use super::slot::{Health, PathSlot};
use super::table::{PathHead, PathTable};
use crate::policy::Port;
use crate::time::{Instant, Stamp};
use crate::timer::{ReadyNode, ReadyRing, RingId};

/// Probes that all flows of a dead path together may send in a second.
///
/// What was on its way when the path died has often arrived, and only its acknowledgements have not:
/// then a probe brings the receiver nothing new, and its answer half a round trip later does. Over
/// a geostationary satellite that leaves 200 ms for the wait for the probe, if data is to arrive
/// within a round trip and half a second of the path's return.
pub(crate) const PROBES_PER_SECOND: u32 = 8;
const PROBE_INTERVAL_US: u32 = 1_000_000 / PROBES_PER_SECOND;

/// Time in which all flows of a path that has come back are let go, in microseconds. With the wait
/// for the probe that finds out it stays below half a second.
const WAKE_SPREAD_US: u32 = 200_000;
/// How often a waking path is looked at, in microseconds: what is due within it leaves together.
const WAKE_TICK_US: u32 = 2_000;
/// Octets that a flow sends when it is let go: one packet.
const WAKE_OCTETS: u64 = 1500;

/// A doubt that no flow renews is forgotten after this time, in microseconds: twice the longest
/// time-out, which a flow that still doubts would have renewed it by.
const DOUBT_US: u32 = 120_000_000;

/// A retransmission timer has expired, and with it `waited_us` microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Timeout {
    /// Time-outs of the flow since it last heard anything, this one counted.
    pub(crate) consecutive: u8,
    /// The time-out that has passed, in microseconds.
    pub(crate) waited_us: u32,
    /// It was not doubled, as it must be for a flow that is alone (RFC 6298 section 5.5).
    pub(crate) early: bool,
}

/// Flows that must have timed out for one of them not to double its time-out.
const SEVERAL: u16 = 2;

/// What a flow whose retransmission timer expired does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the flow waits for its answer"]
pub(crate) enum Verdict {
    /// The path is not known to be dead: the flow does as it would alone.
    BackOff,
    /// The flow sends its first segment now, without a further reduction or back-off, and waits in
    /// the ring.
    Probe,
    /// The flow sends nothing. It waits in the ring.
    Wait,
}

/// What a flow in a ring is to do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Task {
    pub(crate) flow: u32,
    /// The port through which the receiver in question is reached: of a flow's two directions, the
    /// one that sends there.
    pub(crate) port: Port,
    pub(crate) kind: TaskKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TaskKind {
    /// It is the flow's turn to probe: as [`Verdict::Probe`]. It is still in the ring.
    Probe,
    /// The path has come back: the flow does what it does after a time-out. It is in no list.
    Wake,
}

/// A queue of paths that need looking after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Queue {
    Waking,
    Probing,
    Doubts,
}

impl Queue {
    const ALL: [Self; 3] = [Self::Waking, Self::Probing, Self::Doubts];

    /// The list of a queue. The links of paths are their own, and so are the numbers.
    const fn id(self) -> RingId {
        RingId::of_path(match self {
            Self::Waking => 0,
            Self::Probing => 1,
            Self::Doubts => 2,
        })
    }
}

impl PathHead {
    /// When [`PathTable::next_task`] has something to do; `None` if no flow waits. It may be early,
    /// and late by less than 2 ms.
    pub(crate) fn next_deadline(&self, slots: &[PathSlot], now: Instant) -> Option<Instant> {
        if self.waking.is_empty() && self.probing.is_empty() {
            return None;
        }
        [&self.waking, &self.probing]
            .into_iter()
            .filter_map(|list| {
                let index = usize::try_from(list.front()?).ok()?;
                slots.get(index)?.acts_at.resolve(now)
            })
            .min()
    }
}

impl PathTable<'_> {
    /// The retransmission timer of `flow` toward `key` has expired. `flow` indexes `nodes`, and is
    /// in no list, unless it waits in the ring already.
    pub(crate) fn on_timeout<T: ReadyNode>(
        &mut self,
        nodes: &mut [T],
        flow: u32,
        key: &PathKey,
        now: Instant,
        timeout: Timeout,
    ) -> Verdict {
        let Some(index) = self.find_or_insert(key, now) else {
            return Verdict::BackOff;
        };
        let Some(slot) = self.slot_mut(index) else {
            return Verdict::BackOff;
        };
        match slot.health() {
            Health::Live if timeout.early => Verdict::BackOff,
            Health::Live => {
                slot.doubt_at = Stamp::at(now);
                slot.heads = 1;
                self.set_health(index, Health::Doubt);
                self.enqueue(index, Queue::Doubts, now, DOUBT_US);
                Verdict::BackOff
            }
            Health::Doubt => {
                let doubted_us = slot.doubt_at.age(now);
                if doubted_us > DOUBT_US {
                    // Too long ago to be the same trouble.
                    slot.doubt_at = Stamp::at(now);
                    slot.heads = 0;
                }
                if timeout.consecutive == 1 {
                    slot.heads = slot.heads.saturating_add(1);
                }
                // The flow's time-out before this one came after the doubt began, or began it: all
                // that time nothing was heard from anyone.
                let is_enough = !timeout.early || slot.heads >= SEVERAL;
                let persists = timeout.consecutive >= 2 && doubted_us >= timeout.waited_us;
                if persists && is_enough && self.join(nodes, flow, index) {
                    self.set_health(index, Health::Dead);
                    self.begin_probing(index, now);
                    return Verdict::Probe;
                }
                self.enqueue(index, Queue::Doubts, now, DOUBT_US);
                Verdict::BackOff
            }
            Health::Dead => self.hold_in(nodes, flow, index, now),
            Health::Waking => Verdict::BackOff,
        }
    }

    /// `flow` had left the ring for other work, and comes back. [`Verdict::BackOff`]: the path is
    /// not dead any more, and the flow does as if it had been woken.
    pub(crate) fn hold<T: ReadyNode>(
        &mut self,
        nodes: &mut [T],
        flow: u32,
        key: &PathKey,
        now: Instant,
    ) -> Verdict {
        match self.find(key) {
            Some(index) => self.hold_in(nodes, flow, index, now),
            None => Verdict::BackOff,
        }
    }

    fn hold_in<T: ReadyNode>(
        &mut self,
        nodes: &mut [T],
        flow: u32,
        index: u32,
        now: Instant,
    ) -> Verdict {
        let Some(slot) = self.slot(index) else {
            return Verdict::BackOff;
        };
        if slot.health() != Health::Dead {
            return Verdict::BackOff;
        }
        if waits_in(nodes, flow) == Some(RingId::of_path(index)) {
            return Verdict::Wait;
        }
        let is_first = slot.ring.is_empty();
        let is_due = slot.turn_at.age(now) >= PROBE_INTERVAL_US;
        if !self.join(nodes, flow, index) {
            return Verdict::BackOff;
        }
        if is_first && is_due {
            self.begin_probing(index, now);
            return Verdict::Probe;
        }
        if is_first {
            // A little later than the bound asks for, so that the queue stays in order.
            self.enqueue(index, Queue::Probing, now, PROBE_INTERVAL_US);
        }
        Verdict::Wait
    }

    /// Takes `flow` out of the ring that it waits in, because it ends, is moving again, or has other
    /// work. `false` if it is in none.
    pub(crate) fn withdraw<T: ReadyNode>(
        &mut self,
        nodes: &mut [T],
        flow: u32,
        now: Instant,
    ) -> bool {
        let ring = waits_in(nodes, flow);
        let Some(index) = ring.and_then(RingId::path) else {
            return false;
        };
        let Some(slot) = self.slot_mut(index) else {
            // Damage: no such ring.
            let mut none = ReadyRing::EMPTY;
            return none.remove(RingId::of_path(index), nodes, flow);
        };
        if !slot.ring.remove(RingId::of_path(index), nodes, flow) {
            return false;
        }
        slot.waiting = slot.waiting.saturating_sub(1);
        if slot.ring.is_empty() {
            self.on_empty_ring(index, now);
        }
        true
    }

    /// Something arrived from the network that `key` names. Whether that ends an outage. Nothing to
    /// do unless [`PathHead::may_concern`](super::PathHead::may_concern) says so.
    pub(crate) fn on_heard(&mut self, key: &PathKey, now: Instant) -> bool {
        let Some(index) = self.find(key) else {
            return false;
        };
        let Some(slot) = self.slot_mut(index) else {
            return false;
        };
        match slot.health() {
            Health::Live | Health::Waking => false,
            Health::Doubt => {
                self.revive(index);
                false
            }
            Health::Dead if slot.ring.is_empty() => {
                self.revive(index);
                true
            }
            Health::Dead => {
                // As fast as the path is known to take it, but soon for everyone.
                let fair_us = WAKE_SPREAD_US.checked_div(slot.waiting).unwrap_or(0);
                let rate = slot.hint(now).and_then(|hint| hint.rate);
                let paced_us = rate.and_then(|rate| {
                    let micros = WAKE_OCTETS.saturating_mul(1_000_000);
                    micros.checked_div(rate.into())
                });
                let paced_us = paced_us.and_then(|micros| u32::try_from(micros).ok());
                slot.interval_us = fair_us.min(paced_us.unwrap_or(u32::MAX)).max(1);
                slot.turn_at = Stamp::at(now);
                self.set_health(index, Health::Waking);
                self.enqueue(index, Queue::Waking, now, 0);
                true
            }
        }
    }

    /// What is due for a flow in a ring. Call again until `None`.
    ///
    /// Each path that is looked at costs one of `budget`; without any left there may be more.
    pub(crate) fn next_task<T: ReadyNode>(
        &mut self,
        nodes: &mut [T],
        now: Instant,
        budget: &mut u32,
    ) -> Option<Task> {
        while let Some((index, queue)) = self.first_due(now) {
            *budget = budget.checked_sub(1)?;
            let task = match queue {
                Queue::Waking => self.wake_next(nodes, index, now),
                Queue::Probing => self.probe_next(nodes, index, now),
                Queue::Doubts => {
                    // Nobody has renewed the doubt: there is nobody left to find out for.
                    self.revive(index);
                    None
                }
            };
            if task.is_some() {
                return task;
            }
        }
        None
    }

    /// The path that is due first, in the order of urgency of the queues.
    fn first_due(&mut self, now: Instant) -> Option<(u32, Queue)> {
        Queue::ALL.into_iter().find_map(|queue| {
            let (list, slots) = self.list_and_slots(queue);
            let index = list.front()?;
            if waits_in(slots, index) != Some(queue.id()) {
                // Damage: the list is cut short.
                *list = ReadyRing::EMPTY;
                return None;
            }
            let is_due = self.slot(index)?.acts_at.is_due(now);
            is_due.then_some((index, queue))
        })
    }

    /// Lets the flow go that has waited longest, if its time has come.
    fn wake_next<T: ReadyNode>(
        &mut self,
        nodes: &mut [T],
        index: u32,
        now: Instant,
    ) -> Option<Task> {
        let slot = self.slot_mut(index)?;
        let port = slot.key.port();
        if !slot.turn_at.is_due(now) {
            self.enqueue(index, Queue::Waking, now, WAKE_TICK_US);
            return None;
        }
        let flow = slot.ring.pop_front(RingId::of_path(index), nodes);
        slot.waiting = slot.waiting.saturating_sub(1);
        // From when it was due, not from now: a late poll must not delay the others.
        let interval = Duration::from_micros(slot.interval_us.into());
        let turn_at = slot.turn_at.resolve(now).unwrap_or(now).after(interval);
        slot.turn_at = Stamp::at(turn_at);
        if slot.ring.is_empty() {
            self.revive(index);
        } else if turn_at > now {
            self.enqueue(index, Queue::Waking, now, WAKE_TICK_US);
        }
        flow.map(|flow| Task {
            flow,
            port,
            kind: TaskKind::Wake,
        })
    }

    /// Gives the turn to the flow that has waited longest for it. A dead host has its turn like any
    /// other, and the next may find that the network lives.
    fn probe_next<T: ReadyNode>(
        &mut self,
        nodes: &mut [T],
        index: u32,
        now: Instant,
    ) -> Option<Task> {
        let slot = self.slot_mut(index)?;
        let port = slot.key.port();
        let flow = slot.ring.pop_front(RingId::of_path(index), nodes);
        if let Some(flow) = flow {
            slot.ring.push_back(RingId::of_path(index), nodes, flow);
        }
        if slot.ring.is_empty() {
            self.on_empty_ring(index, now);
        } else {
            self.begin_probing(index, now);
        }
        flow.map(|flow| Task {
            flow,
            port,
            kind: TaskKind::Probe,
        })
    }

    /// A probe leaves now; the next may follow in a while.
    fn begin_probing(&mut self, index: u32, now: Instant) {
        if let Some(slot) = self.slot_mut(index) {
            slot.turn_at = Stamp::at(now);
        }
        self.enqueue(index, Queue::Probing, now, PROBE_INTERVAL_US);
    }

    /// Appends `flow`, which must be in no list, to the ring of a path.
    fn join<T: ReadyNode>(&mut self, nodes: &mut [T], flow: u32, index: u32) -> bool {
        let Some(slot) = self.slot_mut(index) else {
            return false;
        };
        let joined = slot.ring.push_back(RingId::of_path(index), nodes, flow);
        if joined {
            slot.waiting = slot.waiting.saturating_add(1);
        }
        joined
    }

    /// The path was out of reach before its flows were forgotten, and nothing has been heard since.
    pub(super) fn doubt_again(&mut self, index: u32, health: Health, now: Instant) {
        self.set_health(index, health);
        self.enqueue(index, Queue::Doubts, now, DOUBT_US);
    }

    /// Nobody waits any more. A dead path stays so for a while, in case somebody comes back.
    fn on_empty_ring(&mut self, index: u32, now: Instant) {
        match self.slot(index).map(|slot| slot.health()) {
            Some(Health::Dead | Health::Doubt) => {
                self.enqueue(index, Queue::Doubts, now, DOUBT_US);
            }
            Some(Health::Waking | Health::Live) => self.revive(index),
            None => {}
        }
    }

    /// Nothing is wrong with the path any more, and nobody waits for it.
    fn revive(&mut self, index: u32) {
        self.set_health(index, Health::Live);
        self.dequeue(index);
        if let Some(slot) = self.slot_mut(index) {
            slot.ring = ReadyRing::EMPTY;
            slot.waiting = 0;
        }
    }

    /// Lets a path be looked after in `wait_us` microseconds.
    fn enqueue(&mut self, index: u32, queue: Queue, now: Instant, wait_us: u32) {
        self.dequeue(index);
        let at = now.after(Duration::from_micros(wait_us.into()));
        if let Some(slot) = self.slot_mut(index) {
            slot.acts_at = Stamp::at(at);
        }
        let (list, slots) = self.list_and_slots(queue);
        list.push_back(queue.id(), slots, index);
    }

    fn dequeue(&mut self, index: u32) {
        let Some(id) = waits_in(self.slots, index) else {
            return;
        };
        if let Some(queue) = Queue::ALL.into_iter().find(|queue| queue.id() == id) {
            let (list, slots) = self.list_and_slots(queue);
            list.remove(id, slots, index);
        } else {
            // Damage: no such queue.
            let mut none = ReadyRing::EMPTY;
            none.remove(id, self.slots, index);
        }
    }

    const fn list_and_slots(&mut self, queue: Queue) -> (&mut ReadyRing, &mut [PathSlot]) {
        let list = match queue {
            Queue::Waking => &mut self.head.waking,
            Queue::Probing => &mut self.head.probing,
            Queue::Doubts => &mut self.head.doubts,
        };
        (list, self.slots)
    }
}

/// The list that a node waits in.
fn waits_in<T: ReadyNode>(nodes: &[T], index: u32) -> Option<RingId> {
    let index = usize::try_from(index).ok()?;
    nodes.get(index)?.ready().ring()
}

#[cfg(test)]
mod tests;
