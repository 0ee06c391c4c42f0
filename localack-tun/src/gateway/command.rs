//! What workers are told to do, and the work of theirs that takes more than a turn.

use core::mem;
use std::collections::VecDeque;
use std::sync::mpsc::Sender;

use localack_core::{Counters, Direction, Engine, FlowId, FlowInfo, Instant, UnknownFlow};

use super::outlet::DeviceCounters;
use super::replica::Feed;
use crate::policy::{Change, DirectionChange, Policies};

/// Flow slots that one turn of a worker looks at, so that packets need not wait for long.
pub(super) const STEP: u32 = 1024;

/// Something that a worker is to do. It answers when it is done; nobody need listen.
pub(super) enum Command {
    /// Tell what was counted.
    Count(Sender<Counts>),
    /// Show all flows.
    Show(Box<dyn Viewer>),
    /// Serve a direction of a flow in another way.
    Serve(
        FlowId,
        Direction,
        DirectionChange,
        Sender<Result<(), UnknownFlow>>,
    ),
    /// Work by other policies, and lead the flows there are over to them.
    Switch(Policies, Sender<Switched>),
    /// Hand all flows back, and tell by [`Held`](super::watch::Held) what is left to do.
    Drain,
    /// Tell a standby everything from now on.
    Follow(Box<Feed>),
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
    /// Blocks of its memory that hold octets, at this moment.
    pub blocks_used: u64,
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
                    new.arrangements().tell(engine, now);
                    for (share, rate) in new.rate_changes(&old) {
                        engine.set_shared_rate(share, rate, now);
                    }
                    old
                });
                for flow in engine.flows_in(slots) {
                    let change = new.change_of_flow(old, &flow);
                    switched.partial += u64::from(change.is_partial());
                    if !change.is_made(&flow) {
                        self.changes.push((flow.id, change));
                    } else if is_arranged_otherwise(new, old, &flow) {
                        switched.changed += 1;
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

/// Whether an arrangement of a flow means something else now.
fn is_arranged_otherwise(new: &Policies, old: &Policies, flow: &FlowInfo) -> bool {
    Direction::BOTH.into_iter().any(|direction| {
        let id = flow.direction(direction).shaping;
        new.arrangements().differs(old.arrangements(), id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EngineSettings, Settings};
    use crate::gateway::memory::Memory;
    use crate::gateway::watch::{Held, Remaining, Watch};
    use localack_core::wire::{self, Flags, HeaderSpec, Sum};
    use localack_core::{Config, PacketMeta, Port, SeqNum, Service, Sink, SinkFull, Transmit};
    use std::sync::mpsc::channel;

    /// A sink for an engine that has nothing to send.
    struct Nowhere;

    impl Sink for Nowhere {
        fn transmit(&mut self, _: Transmit<'_>) -> Result<(), SinkFull> {
            Ok(())
        }
    }

    const NOW: Instant = Instant::from_millis(1);

    fn policies(text: &str) -> Policies {
        Policies::new(&Settings::parse(text).unwrap_or_else(|problems| panic!("{problems}")))
    }

    /// Lets the engine see the first SYN of a connection.
    fn open(engine: &mut Engine<'_, Policies>, client_port: u16) {
        let spec = HeaderSpec {
            src: [10, 0, 0, 1].into(),
            dst: [192, 0, 2, 1].into(),
            src_port: client_port,
            dst_port: 80,
            seq: SeqNum::new(1),
            ack: SeqNum::new(0),
            flags: Flags::SYN,
            window: 60_000,
            urgent: 0,
            timestamps: None,
            sack: &[],
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            dont_fragment: true,
        };
        let header = wire::emit(&spec, 0, Sum::new()).expect("one IP version");
        let mut packet = header.as_slice().to_vec();
        let meta = PacketMeta::default();
        let _ = engine.ingest(Port::Inner, NOW, &mut packet, meta, &mut Nowhere);
    }

    /// Works on an engine with more flows than two turns take.
    fn with_flows(work: impl FnOnce(&mut Engine<'_, Policies>)) {
        let settings = EngineSettings {
            flows: 8 * STEP,
            buffer: 4 << 20,
            ..EngineSettings::default()
        };
        let mut memory = Memory::new(&settings.per_queue(), false).unwrap();
        let config = Config::new([1, 2]);
        let mut engine = Engine::new(memory.storage().unwrap(), config, policies("")).unwrap();
        (1..=FLOWS).for_each(|port| open(&mut engine, port));
        assert_eq!(engine.slots_used(), u32::from(FLOWS));
        work(&mut engine);
    }

    const FLOWS: u16 = 2 * 1024 + 7;

    struct Counter(Sender<u32>, u32);

    impl Viewer for Counter {
        fn see(&mut self, _: &FlowInfo) {
            self.1 += 1;
        }

        fn end(self: Box<Self>) {
            let _ = self.0.send(self.1);
        }
    }

    #[test]
    fn flows_are_shown_once_in_bounded_steps() {
        with_flows(|engine| {
            let (reply, seen) = channel();
            let mut tasks = Tasks::new();
            tasks.show(Box::new(Counter(reply, 0)));
            for _ in 0..2 {
                tasks.step(engine, NOW);
                assert!(seen.try_recv().is_err());
            }
            tasks.step(engine, NOW);
            assert_eq!(seen.try_recv(), Ok(u32::from(FLOWS)));
            assert!(tasks.is_empty());
        });
    }

    #[test]
    fn policies_hold_at_once_for_new_flows_and_step_by_step_for_others() {
        with_flows(|engine| {
            let (reply, switched) = channel();
            let mut tasks = Tasks::new();
            tasks.switch(policies("[default]\nservice = \"bypass\""), reply);
            let bypassed = |engine: &Engine<'_, Policies>| {
                let flows = engine.flows();
                let bypassed = flows.filter(|flow| flow.inner_to_outer.service == Service::Bypass);
                u32::try_from(bypassed.count()).unwrap()
            };
            tasks.step(engine, NOW);
            assert_eq!(bypassed(engine), STEP);
            // One that comes in between has the new policy from its beginning.
            open(engine, FLOWS + 1);
            assert_eq!(bypassed(engine), STEP + 1);
            tasks.step(engine, NOW);
            assert!(switched.try_recv().is_err());
            tasks.step(engine, NOW);
            let expected = Switched {
                changed: FLOWS.into(),
                partial: 0,
            };
            assert_eq!(switched.try_recv(), Ok(expected));
            assert_eq!(bypassed(engine), u32::from(FLOWS) + 1);
        });
    }

    #[test]
    fn an_arrangement_that_means_something_else_changes_all_that_have_it() {
        with_flows(|engine| {
            let text = |octets: u16| {
                format!(
                    "[[arrangement]]\nname = \"a\"\nmss_clamp = {octets}\n[default]\narrangement = \"a\""
                )
            };
            let (reply, switched) = channel();
            let mut tasks = Tasks::new();
            let first = policies(&text(1000));
            let second = first.reload(&Settings::parse(&text(900)).unwrap());
            let third = second.clone();
            for policies in [first, second, third] {
                tasks.switch(policies, reply.clone());
            }
            let (id, _) = policies(&text(64)).arrangements().find("a").unwrap();
            tasks.step(engine, NOW);
            assert_eq!(engine.shaping(id).mss_clamp, 1000, "at once");
            while !tasks.is_empty() {
                tasks.step(engine, NOW);
            }
            assert_eq!(engine.shaping(id).mss_clamp, 900);
            assert!(engine.flows().all(|flow| flow.inner_to_outer.shaping == id));
            let counts: Vec<_> = switched.try_iter().map(|one| one.changed).collect();
            assert_eq!(counts, [u64::from(FLOWS), u64::from(FLOWS), 0]);
        });
    }

    #[test]
    fn one_task_follows_the_other() {
        with_flows(|engine| {
            let (reply, switched) = channel();
            let mut tasks = Tasks::new();
            tasks.switch(policies("[default]\nservice = \"bypass\""), reply.clone());
            tasks.switch(policies("[default]\ncontroller = \"reno\""), reply);
            for _ in 0..6 {
                assert!(!tasks.is_empty());
                tasks.step(engine, NOW);
            }
            assert!(tasks.is_empty());
            let counts: Vec<_> = switched.try_iter().map(|one| one.changed).collect();
            assert_eq!(counts, [u64::from(FLOWS); 2]);
            assert!(engine.flows().all(|flow| {
                flow.inner_to_outer.service == Service::LocalAck
                    && flow.inner_to_outer.controller == localack_core::Controller::Reno
            }));
        });
    }

    #[test]
    fn what_is_held_is_known_after_a_look_at_all() {
        with_flows(|engine| {
            let held = Held::default();
            let mut watch = Watch::new(NOW);
            for _ in 0..2 {
                watch.step(engine, NOW, &held);
                assert_eq!(held.remaining(), None);
            }
            watch.step(engine, NOW, &held);
            // Handshakes owe nobody anything.
            assert_eq!(held.remaining(), Some(Remaining::default()));
            assert!(watch.due() > NOW);
        });
    }
}
