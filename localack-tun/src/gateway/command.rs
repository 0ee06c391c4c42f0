//! What workers are told to do, and the work of theirs that takes more than a turn.

use core::mem;
use std::collections::VecDeque;
use std::sync::mpsc::Sender;

use localack_core::{Counters, Direction, Engine, FlowId, FlowInfo, Instant, Service, UnknownFlow};

use super::outlet::DeviceCounters;
use crate::policy::{Change, Policies, Subject};

/// Flow slots that one turn of a worker looks at, so that packets need not wait for long.
pub(super) const STEP: u32 = 1024;

/// Something that a worker is to do. It answers when it is done; nobody need listen.
pub(super) enum Command {
    /// Tell what was counted.
    Count(Sender<Counts>),
    /// Show all flows.
    Show(Box<dyn Viewer>),
    /// Ask for another service of a direction of a flow.
    Serve(FlowId, Direction, Service, Sender<Result<(), UnknownFlow>>),
    /// Work by other policies, and lead the flows there are over to them.
    Switch(Policies, Sender<Switched>),
    /// Hand all flows back, and tell by [`Held`](super::handle::Held) what is left to do.
    Drain,
    /// Give up what could not be delivered.
    Abandon(Sender<Abandoned>),
    /// End.
    Stop,
}

/// Who wants to see the flows of a queue.
pub(super) trait Viewer: Send {
    /// Sees one.
    fn see(&mut self, flow: &FlowInfo);
    /// Has seen all.
    fn end(self: Box<Self>);
}

/// What one queue has counted.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Counts {
    /// By its engine.
    pub engine: Counters,
    /// By its ends of the devices.
    pub devices: DeviceCounters,
}

/// What other policies have changed about live flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Switched {
    /// Flows that are served otherwise now.
    pub changed: u64,
    /// Flows that keep something of how they were served, because a connection can only have it from
    /// its beginning.
    pub partial: u64,
}

/// What was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Abandoned {
    /// Connections.
    pub flows: u64,
    /// Octets that their senders believe to be delivered.
    pub octets: u64,
}

/// Work that goes over all flows, a step a turn.
enum Task {
    Show(Box<dyn Viewer>),
    Switch {
        new: Policies,
        /// Those before, once the new ones are in force.
        old: Option<Policies>,
        switched: Switched,
        reply: Sender<Switched>,
    },
}

/// Such work, one after the other.
pub(super) struct Tasks {
    waiting: VecDeque<Task>,
    /// The slot that the first of them goes on with.
    next: u32,
    changes: Vec<(FlowId, Change)>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::with_capacity(16),
            next: 0,
            changes: Vec::with_capacity(STEP as usize),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn show(&mut self, viewer: Box<dyn Viewer>) {
        self.waiting.push_back(Task::Show(viewer));
    }

    pub(super) fn switch(&mut self, new: Policies, reply: Sender<Switched>) {
        self.waiting.push_back(Task::Switch {
            new,
            old: None,
            switched: Switched::default(),
            reply,
        });
    }

    /// Takes a step.
    pub(super) fn step(&mut self, engine: &mut Engine<'_, Policies>, now: Instant) {
        let Some(task) = self.waiting.front_mut() else {
            return;
        };
        let slots = self.next..self.next.saturating_add(STEP);
        self.next = slots.end;
        let is_last = slots.end >= engine.slots_used();
        match task {
            Task::Show(viewer) => engine.flows_in(slots).for_each(|flow| viewer.see(&flow)),
            Task::Switch {
                new, old, switched, ..
            } => {
                let old = old.get_or_insert_with(|| {
                    // From here on new connections are under the new ones.
                    let old = mem::replace(engine.policy_mut(), new.clone());
                    for (share, rate) in new.rate_changes(&old) {
                        engine.set_shared_rate(share, rate, now);
                    }
                    old
                });
                for flow in engine.flows_in(slots) {
                    let subject = Subject::new(flow.key, flow.client, flow.traffic_class);
                    let change = new.change(old, &subject);
                    switched.partial += u64::from(change.is_partial());
                    if !change.is_empty() {
                        self.changes.push((flow.id, change));
                    }
                }
                for (flow, change) in self.changes.drain(..) {
                    let changed = change.apply(engine, flow, now).is_ok();
                    switched.changed += u64::from(changed);
                }
            }
        }
        if is_last {
            self.next = 0;
            match self.waiting.pop_front() {
                Some(Task::Show(viewer)) => viewer.end(),
                Some(Task::Switch {
                    switched, reply, ..
                }) => {
                    // Whoever asked may have lost patience.
                    let _ = reply.send(switched);
                }
                None => {}
            }
        }
    }
}
