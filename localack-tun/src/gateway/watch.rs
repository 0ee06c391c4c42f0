//! What a draining engine still holds.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use localack_core::{Direction, DirectionMode, Engine, FlowInfo, FlowState, Instant, Policy};

use super::command::STEP;

/// How long after one look the next begins.
const PAUSE: Duration = Duration::from_millis(20);

/// What an engine has not handed back yet, as others may read it.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Looks that were completed.
    looks: AtomicU64,
    flows: AtomicU64,
    octets: AtomicU64,
}

/// What is not handed back yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Remaining {
    /// Connections.
    pub flows: u64,
    /// Octets that were acknowledged to their senders and are not delivered.
    pub octets: u64,
}

impl Held {
    /// What remained at the last look; `None` if there was none.
    pub(super) fn remaining(&self) -> Option<Remaining> {
        (self.looks.load(Ordering::Acquire) > 0).then(|| Remaining {
            flows: self.flows.load(Ordering::Relaxed),
            octets: self.octets.load(Ordering::Relaxed),
        })
    }

    fn publish(&self, remaining: Remaining) {
        self.flows.store(remaining.flows, Ordering::Relaxed);
        self.octets.store(remaining.octets, Ordering::Relaxed);
        self.looks.fetch_add(1, Ordering::Release);
    }
}

/// A look at all flows, again and again, a step a turn.
#[derive(Debug)]
pub(super) struct Watch {
    next: u32,
    so_far: Remaining,
    /// When to go on.
    due: Instant,
}

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next: 0,
            so_far: Remaining::default(),
            due: now,
        }
    }

    /// When the next step is due.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// Takes a step, if it is time.
    pub(super) fn step<P: Policy>(&mut self, engine: &Engine<'_, P>, now: Instant, held: &Held) {
        if now < self.due {
            return;
        }
        let slots = self.next..self.next.saturating_add(STEP);
        self.next = slots.end;
        for flow in engine.flows_in(slots) {
            self.so_far.flows += u64::from(is_held(&flow));
            self.so_far.octets += debt(&flow);
        }
        if self.next >= engine.slots_used() {
            held.publish(self.so_far);
            *self = Self::new(now.after(PAUSE));
        }
    }
}

/// Whether the engine has to do something yet until the flow is its ends' own again.
fn is_held(flow: &FlowInfo) -> bool {
    // Copies owe nobody anything.
    let is_passing = |direction| {
        let mode = flow.direction(direction).mode;
        matches!(mode, DirectionMode::Bypass | DirectionMode::Snoop)
    };
    match flow.state {
        FlowState::Open => !Direction::BOTH.into_iter().all(is_passing),
        FlowState::Resetting => true,
        _ => false,
    }
}

/// Octets that the engine owes the receivers of a flow.
pub(super) fn debt(flow: &FlowInfo) -> u64 {
    Direction::BOTH
        .into_iter()
        .map(|direction| u64::from(flow.direction(direction).debt))
        .sum()
}
