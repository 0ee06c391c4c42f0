//! An engine that is not left in peace.

use core::time::Duration;

use localack_core::{
    Admit, Controller, Counters, Custody, Direction, Engine, FlowConfig, FlowId, FlowKey, Instant,
    PacketMeta, Policy, Poll, Port, Provision, Service, Sink, SinkFull, SynInfo, Transmit, Verdict,
};
use localack_testkit::packet::segments;
use localack_testkit::sim::{Exits, Middle, Node, Random};

/// Calls of `poll` at one time after which the engine must have come to rest.
const MOST_POLLS: usize = 20_000;

/// Another answer for every connection.
#[derive(Debug)]
pub(crate) struct Mix {
    pub(crate) random: Random,
}

pub(crate) fn any_controller(random: &mut Random) -> Controller {
    match random.below(6) {
        0 => Controller::Reno,
        1 => Controller::Cubic,
        2 => Controller::Bbr,
        share => {
            let share = u8::try_from(share % 2).expect("small");
            let mut provision = Provision::new(share, 150_000 << (2 * share));
            if random.chance(300_000) {
                provision.floor = 1 + random.below(100_000);
            }
            if random.chance(300_000) {
                provision.ceiling = 20_000 + random.below(400_000);
            }
            Controller::Provisioned(provision)
        }
    }
}

impl Policy for Mix {
    fn admit(&mut self, _: &FlowKey, _: Port, _: &SynInfo) -> Admit {
        let random = &mut self.random;
        let mut flow = match random.below(4) {
            0 => FlowConfig::inner_local_ack(),
            1 => FlowConfig::tracked().with_service(Direction::OuterToInner, Service::LocalAck),
            _ => FlowConfig::both_local_ack(),
        };
        if random.chance(500_000) {
            flow.custody = Custody::AfterHandshake;
        }
        flow.controller = any_controller(random);
        flow.inward_controller = any_controller(random);
        flow.pacing = random.chance(500_000);
        flow.careful_resume = random.chance(500_000);
        flow.buffer_limit = 1 << (14 + random.below(6));
        flow.ack_delay = Duration::from_millis(u64::from(random.below(3)) * 5);
        Admit::Adopt(flow)
    }
}

#[derive(Debug)]
struct Outlet {
    packets: Vec<(Port, Vec<u8>)>,
    random: Random,
    /// Refusals in a million.
    refuses: u32,
}

impl Sink for Outlet {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        if self.random.chance(self.refuses) {
            return Err(SinkFull);
        }
        let octets: Vec<u8> = packet.slices().flatten().copied().collect();
        let port = packet.port();
        let cut = segments(octets, packet.gso_size());
        self.packets
            .extend(cut.into_iter().map(|octets| (port, octets)));
        Ok(())
    }
}

/// An engine, and somebody who meddles with it until `calm`.
#[derive(Debug)]
pub(crate) struct Chaos<'e> {
    engine: Engine<'e, Mix>,
    outlet: Outlet,
    random: Random,
    calm: Instant,
    changes_services: bool,
    /// When the sink that was full is tried again.
    retry: Option<Instant>,
    /// Polls since anything left or arrived, and since when.
    idle: (Instant, usize),
}

impl<'e> Chaos<'e> {
    pub(crate) fn new(engine: Engine<'e, Mix>, mut random: Random, calm: Instant) -> Self {
        let refuses = [0, 20_000, 300_000][random.below(3) as usize];
        Self {
            engine,
            outlet: Outlet {
                packets: Vec::new(),
                random: random.fork(),
                refuses,
            },
            changes_services: random.chance(600_000),
            random,
            calm,
            retry: None,
            idle: (Instant::ZERO, 0),
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        self.engine.counters()
    }

    /// Whether services change as flows run.
    pub(crate) const fn changes_services(&self) -> bool {
        self.changes_services
    }

    pub(crate) fn describe(&self) -> String {
        let flows: Vec<String> = self
            .engine
            .flows()
            .map(|flow| format!("{flow:#?}"))
            .collect();
        format!("{:?}\n{}", self.engine.next_deadline(), flows.join("\n"))
    }

    fn any_flow(&mut self) -> Option<FlowId> {
        let flows: Vec<FlowId> = self.engine.flows().map(|flow| flow.id).collect();
        let count = u32::try_from(flows.len()).expect("few");
        (count > 0).then(|| flows[self.random.below(count) as usize])
    }

    /// Does something awkward, at times.
    fn meddle(&mut self, now: Instant) {
        if now >= self.calm {
            self.outlet.refuses = 0;
            return;
        }
        if !self.random.chance(30_000) {
            return;
        }
        let Some(flow) = self.any_flow() else { return };
        let direction = Direction::BOTH[self.random.below(2) as usize];
        if !self.changes_services || self.random.chance(500_000) {
            let controller = any_controller(&mut self.random);
            let done = self.engine.set_controller(flow, direction, controller, now);
            assert_eq!(done, Ok(()));
        } else {
            let service = if self.random.chance(700_000) {
                Service::LocalAck
            } else {
                Service::Bypass
            };
            let done = self.engine.set_service(flow, direction, service, now);
            assert_eq!(done, Ok(()));
        }
    }

    /// What is said to be the time: it may stand still, or seem to go backwards.
    fn said(&mut self, now: Instant) -> Instant {
        if now < self.calm && self.random.chance(50_000) {
            Instant::from_micros(now.as_micros() / 2)
        } else {
            now
        }
    }

    fn settle(&mut self, now: Instant) {
        self.retry = None;
        let budget = if now < self.calm {
            [1, 2, 8, 64][self.random.below(4) as usize]
        } else {
            64
        };
        for _ in 0..MOST_POLLS {
            match self.engine.poll(now, budget, &mut self.outlet) {
                Poll::More => {}
                Poll::Blocked => {
                    assert!(self.outlet.refuses > 0, "blocked by a sink that takes all");
                    self.retry = Some(now.after(Duration::from_millis(1)));
                    return;
                }
                Poll::Idle => {
                    let due = self.engine.next_deadline();
                    assert!(
                        due.is_none_or(|at| at > now),
                        "idle at {now:?}, due at {due:?}"
                    );
                    return;
                }
            }
        }
        panic!("poll does not come to rest at {now:?}: {}", self.describe());
    }

    /// Nobody must be called again and again although nothing happens.
    fn watch(&mut self, now: Instant) {
        const SPAN: Duration = Duration::from_secs(1);
        const MOST: usize = 6_000;
        let (since, calls) = &mut self.idle;
        if now.since(*since) > SPAN {
            (*since, *calls) = (now, 0);
        }
        *calls += 1;
        assert!(*calls < MOST, "{MOST} calls for nothing since {since:?}");
    }
}

impl Middle for Chaos<'_> {
    fn ingest(&mut self, now: Instant, port: Port, mut packet: Vec<u8>) -> Vec<(Port, Vec<u8>)> {
        self.meddle(now);
        let said = self.said(now);
        let meta = PacketMeta::default();
        let verdict = self
            .engine
            .ingest(port, said, &mut packet, meta, &mut self.outlet);
        if matches!(verdict, Verdict::Pass(_) | Verdict::Forward) {
            self.outlet.packets.push((port.other(), packet));
        }
        self.settle(now);
        core::mem::take(&mut self.outlet.packets)
    }

    fn poll(&mut self, now: Instant) -> Vec<(Port, Vec<u8>)> {
        self.meddle(now);
        self.settle(now);
        self.watch(now);
        core::mem::take(&mut self.outlet.packets)
    }

    fn next_at(&self) -> Option<Instant> {
        self.retry.or_else(|| self.engine.next_deadline())
    }
}

/// A node that works until a point in time, and then lets everything through.
#[derive(Debug)]
pub(crate) struct Until<N> {
    end: Instant,
    node: N,
}

impl<N> Until<N> {
    pub(crate) const fn new(end: Instant, node: N) -> Self {
        Self { end, node }
    }
}

impl<N: Node> Node for Until<N> {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        if now < self.end {
            self.node.pass(now, packet, exits);
        } else {
            exits.onward(now, packet);
        }
    }

    fn next_at(&self) -> Option<Instant> {
        self.node.next_at()
    }

    fn poll(&mut self, now: Instant, exits: &mut Exits<'_>) {
        self.node.poll(now, exits);
    }
}
