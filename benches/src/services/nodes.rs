//! Nodes that only these measurements need.

use core::cell::Cell;
use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use localack_core::wire::{Flags, Parsed, parse};
use localack_core::{Instant, SeqNum};
use localack_testkit::sim::{Exits, Node, Random};

/// What has passed a [`Gauge`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Reading {
    /// Packets.
    pub(super) packets: u64,
    /// Octets of them.
    pub(super) octets: u64,
    /// Octets of payload.
    pub(super) payload: u64,
    /// Octets of payload that had not passed before.
    pub(super) new: u64,
    /// The most octets of packets in one second.
    pub(super) most_in_a_second: u64,
}

/// Which octets of a stream of less than 2^31 have passed.
#[derive(Debug)]
struct Passed {
    start: SeqNum,
    /// Where what has passed without a hole ends, counted from the start, and what has passed behind it.
    end: u32,
    ahead: BTreeMap<u32, u32>,
}

impl Passed {
    const fn from(start: SeqNum) -> Self {
        Self {
            start,
            end: 0,
            ahead: BTreeMap::new(),
        }
    }

    /// Notes that so many octets from `seq` pass; answers how many of them had not before.
    fn note(&mut self, seq: SeqNum, octets: u32) -> u32 {
        let mut from = seq.octets_past(self.start).max(self.end);
        let to = seq.advance(octets).octets_past(self.start);
        if to <= from {
            return 0;
        }
        let mut new = to - from;
        let mut until = to;
        // What passed ahead and touches it becomes one with it.
        while let Some((&left, &right)) = self.ahead.range(..=until).next_back()
            && right >= from
        {
            new -= right.min(to).saturating_sub(left.max(from)).min(new);
            from = from.min(left);
            until = until.max(right);
            self.ahead.remove(&left);
        }
        if from == self.end {
            self.end = until;
        } else {
            self.ahead.insert(from, until);
        }
        new
    }
}

/// Counts what passes, and passes it on.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    dial: Rc<Cell<Reading>>,
    /// What has passed of each source port's data.
    passed: HashMap<u16, Passed>,
    /// The present second, and the octets in it.
    second: (u64, u64),
}

impl Gauge {
    /// Where its counts can be read.
    pub(super) fn dial(&self) -> Rc<Cell<Reading>> {
        Rc::clone(&self.dial)
    }
}

impl Node for Gauge {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        let mut reading = self.dial.get();
        let octets = packet.len() as u64;
        reading.packets += 1;
        reading.octets += octets;
        let second = now.as_micros() / 1_000_000;
        if second != self.second.0 {
            self.second = (second, 0);
        }
        self.second.1 += octets;
        reading.most_in_a_second = reading.most_in_a_second.max(self.second.1);
        let parsed = parse(&packet);
        if let Parsed::Tcp(seg) = &parsed
            && seg.flags.contains(Flags::SYN)
        {
            let start = seg.seq.advance(1);
            self.passed.insert(seg.src_port, Passed::from(start));
        } else if let Parsed::Tcp(seg) = &parsed
            && seg.has_payload()
        {
            let passed = self.passed.entry(seg.src_port);
            let passed = passed.or_insert_with(|| Passed::from(seg.seq));
            reading.payload += u64::from(seg.payload_len);
            reading.new += u64::from(passed.note(seg.seq, seg.payload_len));
        }
        self.dial.set(reading);
        exits.onward(now, packet);
    }
}

/// A link layer that repeats each packet until it gets through, and keeps the order: what a service above
/// it is compared with. It knows of each loss after a round trip of its link.
#[derive(Debug)]
pub(super) struct Arq {
    pub(super) ppm: u32,
    pub(super) round_trip: Duration,
    pub(super) random: Random,
    /// When the packet before this one got through.
    pub(super) last: Instant,
}

impl Node for Arq {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        let mut at = now;
        while self.random.chance(self.ppm) {
            at = at.after(self.round_trip);
        }
        self.last = self.last.latest(at);
        exits.onward(self.last, packet);
    }
}

/// A token bucket that drops what exceeds a rate.
#[derive(Debug)]
pub(super) struct Policer {
    /// Octets per second.
    pub(super) rate: u64,
    /// Octets that may pass at once.
    pub(super) burst: u64,
    /// When the bucket would be empty of debt: it is full where that is `burst` ago.
    pub(super) paid_until_us: u64,
}

impl Node for Policer {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        let us = |octets: u64| octets * 1_000_000 / self.rate;
        let depth = us(self.burst);
        let from = self
            .paid_until_us
            .max(now.as_micros().saturating_sub(depth));
        let until = from + us(packet.len() as u64);
        if until <= now.as_micros() {
            self.paid_until_us = until;
            exits.onward(now, packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use localack_testkit::sim::Path;

    use super::*;

    fn through(mut path: Path, sent: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Vec<(u64, u8)> {
        for (at, packet) in sent {
            path.send(Instant::from_micros(at), packet);
        }
        let mut all = Vec::new();
        while let Some(at) = path.next_at() {
            while let Some(packet) = path.receive(at) {
                all.push((at.as_micros(), packet[0]));
            }
        }
        all
    }

    #[test]
    fn what_passed_before_is_known_octet_by_octet() {
        let mut passed = Passed::from(SeqNum::new(u32::MAX - 9));
        let mut note = |at: u32, octets| passed.note(SeqNum::new(u32::MAX - 9).advance(at), octets);
        assert_eq!(note(0, 10), 10);
        assert_eq!(note(20, 10), 10);
        assert_eq!(note(40, 10), 10);
        assert_eq!(note(15, 30), 15);
        assert_eq!(note(15, 35), 0);
        assert_eq!(note(5, 10), 5);
        assert_eq!((passed.end, passed.ahead.len()), (50, 0));
    }

    #[test]
    fn a_policer_lets_its_rate_pass_and_a_burst_before() {
        // Full from the start: three at once, and then one in a millisecond.
        let policer = Policer {
            rate: 1_000_000,
            burst: 3_000,
            paid_until_us: 0,
        };
        let sent = (0..40_u8).map(|number| (10_000 + u64::from(number) * 100, vec![number; 1000]));
        let passed = through(Path::new().then(policer), sent);
        let numbers: Vec<u8> = passed.iter().map(|&(_, number)| number).collect();
        assert_eq!(numbers, [0, 1, 2, 10, 20, 30]);
    }

    #[test]
    fn a_link_that_repeats_loses_nothing_and_keeps_the_order() {
        let arq = Arq {
            ppm: 300_000,
            round_trip: Duration::from_millis(10),
            random: Random::new(4),
            last: Instant::ZERO,
        };
        let sent = (0..200_u8).map(|number| (u64::from(number) * 1000, vec![number]));
        let passed = through(Path::new().then(arq), sent);
        let numbers: Vec<u8> = passed.iter().map(|&(_, number)| number).collect();
        assert_eq!(numbers, (0..200).collect::<Vec<u8>>());
        let late = passed.iter().filter(|&&(at, n)| at > u64::from(n) * 1000);
        assert!(late.count() > 100);
    }
}
