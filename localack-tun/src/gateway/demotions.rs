//! Why flows are not acknowledged early any more.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use localack_core::{DemoteCause, Direction, Event, FlowId};

/// Flows that are remembered; more are not.
const MOST: usize = 65_536;

/// The causes of both directions, inner to outer first.
type Causes = [Option<DemoteCause>; 2];

/// The last cause for each flow that was handed back, as long as it lives and is not served again.
#[derive(Clone, Debug, Default)]
pub(super) struct Demotions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    causes: Mutex<HashMap<(u16, FlowId), Causes>>,
    /// How many there are: mostly none, and then a worker need not look when a flow ends.
    count: AtomicUsize,
}

impl Default for Inner {
    /// With room for all there can be: workers take note between packets, and allocate nothing.
    fn default() -> Self {
        Self {
            causes: Mutex::new(HashMap::with_capacity(MOST)),
            count: AtomicUsize::new(0),
        }
    }
}

impl Demotions {
    fn causes(&self) -> MutexGuard<'_, HashMap<(u16, FlowId), Causes>> {
        self.0.causes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an event of a queue, if it is about this.
    pub(super) fn note(&self, queue: u16, event: &Event) {
        match *event {
            Event::Demoted {
                flow,
                direction,
                cause,
            } => self.set(queue, flow, direction, Some(cause)),
            Event::CustodyBegun { flow, direction } => self.set(queue, flow, direction, None),
            Event::Closed { flow, .. } if !self.is_empty() => {
                let mut causes = self.causes();
                causes.remove(&(queue, flow));
                self.0.count.store(causes.len(), Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn is_empty(&self) -> bool {
        self.0.count.load(Ordering::Relaxed) == 0
    }

    fn set(&self, queue: u16, flow: FlowId, direction: Direction, cause: Option<DemoteCause>) {
        if cause.is_none() && self.is_empty() {
            return;
        }
        let mut causes = self.causes();
        let key = (queue, flow);
        if causes.len() >= MOST && !causes.contains_key(&key) {
            return;
        }
        let [there, back] = causes.entry(key).or_default();
        match direction {
            Direction::InnerToOuter => *there = cause,
            Direction::OuterToInner => *back = cause,
        }
        if there.is_none() && back.is_none() {
            causes.remove(&key);
        }
        self.0.count.store(causes.len(), Ordering::Relaxed);
    }

    /// The causes for a flow of a queue.
    pub(super) fn of(&self, queue: u16, flow: FlowId) -> Causes {
        self.causes()
            .get(&(queue, flow))
            .copied()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::Fake;

    const THERE: Direction = Direction::InnerToOuter;
    const BACK: Direction = Direction::OuterToInner;

    fn demoted(flow: FlowId, direction: Direction, cause: DemoteCause) -> Event {
        Event::Demoted {
            flow,
            direction,
            cause,
        }
    }

    #[test]
    fn the_last_cause_is_known_until_service_begins_again_or_the_flow_ends() {
        let fake = Fake::new("");
        fake.open(0, 5000);
        fake.open(0, 5001);
        let [one, other] = [5000, 5001].map(|port| fake.flow(0, port));
        let demotions = Demotions::default();
        let of = |flow: FlowId| demotions.of(0, flow);
        demotions.note(0, &demoted(one.id, THERE, DemoteCause::PoolLow));
        demotions.note(0, &demoted(one.id, BACK, DemoteCause::Urgent));
        demotions.note(0, &demoted(one.id, THERE, DemoteCause::WentRound));
        assert_eq!(
            of(one.id),
            [Some(DemoteCause::WentRound), Some(DemoteCause::Urgent)]
        );
        assert_eq!(of(other.id), [None; 2]);
        assert_eq!(demotions.of(1, one.id), [None; 2], "another queue");

        let begun = |flow, direction| Event::CustodyBegun { flow, direction };
        demotions.note(0, &begun(one.id, THERE));
        assert_eq!(of(one.id), [None, Some(DemoteCause::Urgent)]);
        demotions.note(0, &begun(one.id, BACK));
        assert!(demotions.is_empty() && demotions.causes().is_empty());

        demotions.note(0, &demoted(other.id, BACK, DemoteCause::DfClear));
        let closed = |flow: &localack_core::FlowInfo| Event::Closed {
            flow: flow.id,
            key: flow.key,
        };
        demotions.note(0, &closed(&one));
        assert_eq!(of(other.id), [None, Some(DemoteCause::DfClear)]);
        demotions.note(0, &closed(&other));
        assert!(demotions.is_empty() && demotions.causes().is_empty());
    }
}
