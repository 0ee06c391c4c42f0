#![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod bounds;
mod churn;
mod damage;
mod fairness;

use super::*;
use crate::pacing::Pacer;
use crate::timer::ReadyLink;
use std::vec;
use std::vec::Vec;

const MBIT: u32 = 125_000;
const SECOND: u64 = 1_000_000;
const START: u64 = 1_750_000_000_000_000;
/// Octets of a full-size packet.
const SEGMENT: u16 = 1500;

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

/// What a flow of a simulated share sends.
#[derive(Clone, Debug)]
enum Source {
    /// Packets of these sizes, in turn, without end.
    Greedy(Vec<u32>),
    /// Full-size packets, as far as the window of its fair rate admits; each is acknowledged after
    /// so many microseconds.
    Window(u64),
    /// So many octets each so many microseconds.
    Periodic(u64, u64),
}

#[derive(Clone, Debug)]
struct Node {
    ready: ReadyLink,
    share: u8,
    member: Member,
    source: Source,
    /// Keeps the ceiling.
    pacer: Pacer,
    /// Octets that a periodic source has not sent yet, and when more come.
    waiting: u64,
    more_at: u64,
    /// When each packet in flight is acknowledged, and its octets.
    flight: std::collections::VecDeque<(u64, u32)>,
    in_flight: u64,
    packets: usize,
    sent: u64,
    /// When it began, and octets sent until the measurement began.
    sent_before: u64,
}

impl ReadyNode for Node {
    fn ready(&self) -> &ReadyLink {
        &self.ready
    }

    fn ready_mut(&mut self) -> &mut ReadyLink {
        &mut self.ready
    }
}

impl ShareNode for Node {
    fn member(&self, share: u8) -> Option<Member> {
        (share == self.share).then_some(self.member)
    }

    fn set_deficit(&mut self, share: u8, deficit: u32) {
        if share == self.share {
            self.member.deficit = deficit;
        }
    }
}

impl Node {
    fn new(source: Source) -> Self {
        Self {
            ready: ReadyLink::EMPTY,
            share: 0,
            member: Member {
                deficit: 0,
                floor: 0,
                ceiling: u32::MAX,
            },
            source,
            pacer: Pacer::EMPTY,
            waiting: 0,
            more_at: START,
            flight: std::collections::VecDeque::new(),
            in_flight: 0,
            packets: 0,
            sent: 0,
            sent_before: 0,
        }
    }

    fn greedy() -> Self {
        Self::new(Source::Greedy(vec![SEGMENT.into()]))
    }

    fn bounded(self, floor: u32, ceiling: u32) -> Self {
        let member = Member {
            deficit: 0,
            floor,
            ceiling,
        };
        Self { member, ..self }
    }

    /// The next packet, if only the share holds it back.
    fn next(&self, shares: &Shares, now: u64) -> Option<u32> {
        let octets = match &self.source {
            Source::Greedy(sizes) => sizes[self.packets % sizes.len()],
            Source::Window(rtt) => {
                let rate = shares.fair_rate(self.share, self.member.floor, self.member.ceiling);
                let window = u64::from(rate) * (rtt * 3 / 2 + 20_000) / SECOND;
                let least = 4 * u64::from(SEGMENT);
                (self.in_flight + u64::from(SEGMENT) <= window.max(least))
                    .then_some(SEGMENT.into())?
            }
            Source::Periodic(..) => {
                let octets = self.waiting.min(SEGMENT.into());
                (octets > 0).then_some(octets as u32)?
            }
        };
        let pace = shares.ceiling_pace(self.share, self.member.ceiling);
        self.pacer.may_send(at(now), octets, pace).then_some(octets)
    }

    fn send(&mut self, shares: &Shares, now: u64, octets: u32) {
        let pace = shares.ceiling_pace(self.share, self.member.ceiling);
        self.pacer.on_sent(at(now), octets, pace);
        self.sent += u64::from(octets);
        self.packets += 1;
        match self.source {
            Source::Greedy(_) => {}
            Source::Window(rtt) => {
                self.flight.push_back((now + rtt, octets));
                self.in_flight += u64::from(octets);
            }
            Source::Periodic(..) => self.waiting -= u64::from(octets),
        }
    }

    /// Takes in what has happened by now. When the node should be looked at again, if not for its
    /// share.
    fn advance(&mut self, shares: &Shares, now: u64) -> Option<u64> {
        while let Some(&(acked_at, octets)) = self.flight.front()
            && acked_at <= now
        {
            self.flight.pop_front();
            self.in_flight -= u64::from(octets);
        }
        if let Source::Periodic(octets, period) = self.source {
            while self.more_at <= now {
                self.waiting += octets;
                self.more_at += period;
            }
        }
        let pace = shares.ceiling_pace(self.share, self.member.ceiling);
        let more_at = matches!(self.source, Source::Periodic(..)).then_some(self.more_at);
        let acked_at = self.flight.front().map(|&(acked_at, _)| acked_at);
        let paced = self.pacer.wake_at(at(now), SEGMENT.into(), pace);
        [more_at, acked_at, paced.map(Instant::as_micros)]
            .into_iter()
            .flatten()
            .min()
    }
}

/// A simulated engine of flows that do nothing but wait for their shares.
struct Bench {
    shares: Shares,
    nodes: Vec<Node>,
    now: u64,
    /// How much later than asked for it is called.
    late: u64,
    /// When the measurement began.
    since: u64,
    visits: u64,
}

impl Bench {
    fn new(rate: u32, nodes: Vec<Node>) -> Self {
        let mut shares = Shares::EMPTY;
        for node in &nodes {
            shares.open(node.share, rate, SEGMENT, 0);
        }
        Self {
            shares,
            nodes,
            now: START,
            late: 0,
            since: START,
            visits: 0,
        }
    }

    fn quantum(&self) -> u64 {
        let pace = self.shares.shares[0].pace();
        Pacer::EMPTY.allowance(at(START), pace).into()
    }

    /// Lets flows join that have something to send; when the next may have.
    fn gather(&mut self) -> Option<u64> {
        let mut wake: Option<u64> = None;
        for flow in 0..self.nodes.len() {
            let again = self.nodes[flow].advance(&self.shares, self.now);
            if self.nodes[flow].next(&self.shares, self.now).is_some() {
                let share = self.nodes[flow].share;
                self.shares.join(&mut self.nodes, share, flow as u32);
            } else if let Some(again) = again {
                wake = Some(wake.map_or(again, |wake| wake.min(again)));
            }
        }
        wake
    }

    /// One visit, as the engine makes it; `false` if nobody has a turn.
    fn visit(&mut self) -> bool {
        let Some(turn) = self.shares.visit(&mut self.nodes, at(self.now)) else {
            return false;
        };
        self.visits += 1;
        let (mut sent, flow) = (0, turn.flow as usize);
        let rest = loop {
            match self.nodes[flow].next(&self.shares, self.now) {
                None => break Rest::Idle,
                Some(octets) if sent + octets > turn.octets => break Rest::Waits,
                Some(octets) => {
                    self.nodes[flow].send(&self.shares, self.now, octets);
                    sent += octets;
                }
            }
        };
        self.shares
            .served(&mut self.nodes, at(self.now), turn, sent, rest);
        true
    }

    fn run(&mut self, micros: u64) {
        let end = self.now + micros;
        while self.now < end {
            let wake = loop {
                let wake = self.gather();
                if !self.visit() {
                    break wake;
                }
                while self.visit() {}
            };
            let turn_at = self.shares.next_at(at(self.now)).map(Instant::as_micros);
            let next = [turn_at, wake].into_iter().flatten().min().unwrap_or(end);
            assert!(next > self.now, "it would be called again at once");
            self.now = (next + self.late).min(end);
        }
    }

    /// What was sent so far does not count.
    fn begin(&mut self) {
        self.since = self.now;
        for node in &mut self.nodes {
            node.sent_before = node.sent;
        }
    }

    fn sent(&self, flow: usize) -> u64 {
        self.nodes[flow].sent - self.nodes[flow].sent_before
    }

    fn total(&self) -> u64 {
        (0..self.nodes.len()).map(|flow| self.sent(flow)).sum()
    }

    /// Octets per second of a flow since the measurement began.
    fn rate(&self, flow: usize) -> u64 {
        self.sent(flow) * SECOND / (self.now - self.since)
    }

    fn total_rate(&self) -> u64 {
        self.total() * SECOND / (self.now - self.since)
    }

    /// Jain's index of the flows' rates in millionths.
    fn jain(&self) -> u64 {
        let sent = |flow| u128::from(self.sent(flow));
        let flows = 0..self.nodes.len();
        let squares: u128 = flows.map(|flow| sent(flow) * sent(flow)).sum();
        let total = u128::from(self.total());
        (total * total * 1_000_000 / (squares * self.nodes.len() as u128).max(1)) as u64
    }
}

/// A flow that the sink stops just as its turn ends has had it.
#[test]
fn h12_1_a_turn_that_is_used_up_is_over_however_it_ended() {
    let mut bench = Bench::new(MBIT, vec![Node::greedy(); 2]);
    let _ = bench.gather();
    let turn = bench.shares.visit(&mut bench.nodes, at(bench.now)).unwrap();
    assert_eq!((turn.flow, u64::from(turn.octets)), (0, bench.quantum()));
    let now = at(bench.now);
    bench
        .shares
        .served(&mut bench.nodes, now, turn, turn.octets, Rest::Interrupted);
    let next_at = bench.shares.next_at(now).unwrap();
    assert!(next_at > now);
    let next = bench.shares.visit(&mut bench.nodes, next_at).unwrap();
    assert_eq!(next.flow, 1);
    assert!(next.octets > 0);
}
