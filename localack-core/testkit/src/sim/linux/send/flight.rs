//! The segments in flight: the SACK scoreboard (RFC 6675) and the order in which they were sent.
//!
//! Each operation costs what it changes, times a logarithm: never what is in flight.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use localack_core::Instant;

/// A segment that was sent and is not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Sent {
    /// Positions; a FIN is the last one.
    pub(in super::super) start: u64,
    pub(in super::super) end: u64,
    pub(in super::super) fin: bool,
    /// When it was sent last, and which transmission of all that was.
    pub(in super::super) at: Instant,
    serial: u64,
    /// Whether it was ever sent again.
    pub(in super::super) again: bool,
    /// Whether a retransmission is in flight.
    resent: bool,
    pub(in super::super) sacked: bool,
    lost: bool,
}

/// What an acknowledgement says about one segment.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Delivered {
    pub(in super::super) sent: Sent,
    /// Whether a SACK had reported it before.
    pub(in super::super) known: bool,
}

/// All segments between SND.UNA and SND.NXT.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Flight {
    segments: VecDeque<Sent>,
    /// The number of the first of `segments`.
    first: u64,
    /// Transmissions, oldest first, with the number of their segment; some are out of date.
    by_time: VecDeque<(u64, u64)>,
    serial: u64,
    /// Numbers of segments that are lost and not sent again.
    unrepaired: BTreeSet<u64>,
    /// What SACK blocks reported, merged.
    ranges: BTreeMap<u64, u64>,
    sacked: u32,
    lost: u32,
    resent: u32,
    /// Duplicate acknowledgements of a receiver without SACK: so many segments have left.
    pub(in super::super) reno_sacked: u32,
    /// The end of the last segment that SACK reported.
    pub(in super::super) highest_sacked: u64,
}

impl Flight {
    pub(in super::super) fn len(&self) -> u32 {
        u32::try_from(self.segments.len()).expect("windows are small")
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(in super::super) const fn sacked(&self) -> u32 {
        self.sacked + self.reno_sacked
    }

    pub(in super::super) const fn lost(&self) -> u32 {
        self.lost
    }

    pub(in super::super) const fn resent(&self) -> u32 {
        self.resent
    }

    /// Segments that are believed to be in the network.
    pub(in super::super) fn in_network(&self) -> u32 {
        (self.len() + self.resent).saturating_sub(self.sacked() + self.lost)
    }

    pub(in super::super) fn head(&self) -> Option<&Sent> {
        self.segments.front()
    }

    pub(in super::super) fn get(&self, number: u64) -> Option<&Sent> {
        let index = number.checked_sub(self.first)?;
        self.segments.get(usize::try_from(index).ok()?)
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Sent> {
        let index = number.checked_sub(self.first)?;
        self.segments.get_mut(usize::try_from(index).ok()?)
    }

    /// The number of the last segment.
    pub(in super::super) fn last_number(&self) -> Option<u64> {
        (!self.is_empty()).then(|| self.first + self.segments.len() as u64 - 1)
    }

    fn stamp(&mut self, number: u64) -> u64 {
        self.serial += 1;
        self.by_time.push_back((self.serial, number));
        self.serial
    }

    /// Adds a segment that is sent now.
    pub(in super::super) fn push(&mut self, start: u64, end: u64, fin: bool, now: Instant) {
        let number = self.first + self.segments.len() as u64;
        let serial = self.stamp(number);
        self.segments.push_back(Sent {
            start,
            end,
            fin,
            at: now,
            serial,
            again: false,
            resent: false,
            sacked: false,
            lost: false,
        });
    }

    /// Notes that a segment is sent again.
    pub(in super::super) fn sent_again(&mut self, number: u64, now: Instant) {
        let serial = self.stamp(number);
        self.unrepaired.remove(&number);
        let mut more = 0;
        if let Some(segment) = self.get_mut(number) {
            segment.at = now;
            segment.serial = serial;
            segment.again = true;
            if !segment.sacked && !segment.resent {
                segment.resent = true;
                more = 1;
            }
        }
        self.resent += more;
    }

    /// The next segment that should be sent again.
    pub(in super::super) fn next_lost(&self) -> Option<u64> {
        self.unrepaired.first().copied()
    }

    /// Takes what is acknowledged up to `una`; a segment that is acknowledged in part shrinks.
    pub(in super::super) fn acknowledge(&mut self, una: u64, mut each: impl FnMut(Delivered)) {
        while let Some(segment) = self.segments.front_mut() {
            if segment.end > una {
                segment.start = segment.start.max(una);
                break;
            }
            let sent = *segment;
            self.segments.pop_front();
            self.unrepaired.remove(&self.first);
            self.first += 1;
            self.sacked -= u32::from(sent.sacked);
            self.lost -= u32::from(sent.lost);
            self.resent -= u32::from(sent.resent);
            each(Delivered {
                sent,
                known: sent.sacked,
            });
        }
        while let Some((&start, &end)) = self.ranges.first_key_value() {
            if end > una && start >= una {
                break;
            }
            self.ranges.pop_first();
            if end > una {
                self.ranges.insert(una, end);
                break;
            }
        }
    }

    /// Takes a SACK block within what is in flight; reports the segments that it newly covers.
    pub(in super::super) fn sack(&mut self, start: u64, end: u64, mut each: impl FnMut(Sent)) {
        let mut from = start;
        while from < end {
            // Skip what is known.
            let before = self.ranges.range(..=from).next_back();
            if let Some((_, &known)) = before.filter(|&(_, &known)| known > from) {
                from = known;
                continue;
            }
            let next = self
                .ranges
                .range(from..)
                .next()
                .map_or(end, |(&next, _)| next);
            let to = next.min(end);
            let (left, right) = self.merge(from, to);
            self.mark_sacked((from, to), (left, right), &mut each);
            from = to;
        }
    }

    /// Adds a range that touches no known one but at its ends; answers the range it is now part of.
    fn merge(&mut self, from: u64, to: u64) -> (u64, u64) {
        let mut left = from;
        if let Some((&start, &end)) = self.ranges.range(..from).next_back()
            && end == from
        {
            left = start;
        }
        let right = self.ranges.remove(&to).unwrap_or(to);
        self.ranges.insert(left, right);
        (left, right)
    }

    fn mark_sacked(&mut self, part: (u64, u64), whole: (u64, u64), each: &mut impl FnMut(Sent)) {
        let mut index = self
            .segments
            .partition_point(|segment| segment.end <= part.0);
        while let Some(segment) = self.segments.get_mut(index) {
            if segment.start >= part.1 {
                break;
            }
            if !segment.sacked && segment.start >= whole.0 && segment.end <= whole.1 {
                let before = *segment;
                segment.sacked = true;
                segment.lost = false;
                segment.resent = false;
                self.sacked += 1;
                self.lost -= u32::from(before.lost);
                self.resent -= u32::from(before.resent);
                self.unrepaired.remove(&(self.first + index as u64));
                self.highest_sacked = self.highest_sacked.max(before.end);
                each(before);
            }
            index += 1;
        }
    }

    /// Marks a segment as lost; false if nothing changes.
    pub(in super::super) fn mark_lost(&mut self, number: u64) -> bool {
        let Some(segment) = self.get_mut(number) else {
            return false;
        };
        if segment.sacked || (segment.lost && !segment.resent) {
            return false;
        }
        let before = *segment;
        segment.lost = true;
        segment.resent = false;
        self.lost += u32::from(!before.lost);
        self.resent -= u32::from(before.resent);
        self.unrepaired.insert(number);
        true
    }

    /// The oldest transmission that is not out of date, unless it came after `(at, end)`.
    pub(in super::super) fn oldest(&mut self, at: Instant, end: u64) -> Option<(u64, Sent)> {
        while let Some(&(serial, number)) = self.by_time.front() {
            let live = self.get(number).filter(|segment| {
                let waits = segment.lost && !segment.resent;
                segment.serial == serial && !segment.sacked && !waits
            });
            let Some(segment) = live else {
                self.by_time.pop_front();
                continue;
            };
            let later = segment.at > at || (segment.at == at && segment.end >= end);
            return (!later).then_some((number, *segment));
        }
        None
    }

    /// Marks all as lost that is not reported; with `renege`, nothing counts as reported. Spares
    /// what `spare` says. Costs what is in flight: for time-outs only.
    pub(in super::super) fn time_out(&mut self, renege: bool, spare: impl Fn(&Sent) -> bool) {
        self.reno_sacked = 0;
        if renege {
            self.ranges.clear();
            self.sacked = 0;
            self.highest_sacked = 0;
        }
        for index in 0..self.segments.len() {
            let segment = &mut self.segments[index];
            if renege {
                segment.sacked = false;
            }
            if index == 0 || !spare(segment) {
                self.mark_lost(self.first + index as u64);
            }
        }
        self.rebuild();
    }

    /// Nothing is lost after all.
    pub(in super::super) fn nothing_lost(&mut self) {
        for segment in &mut self.segments {
            segment.lost = false;
        }
        self.lost = 0;
        self.unrepaired.clear();
        self.rebuild();
    }

    /// Lists again every transmission that is in the network.
    fn rebuild(&mut self) {
        let mut all: Vec<(u64, u64)> = Vec::new();
        for (number, segment) in (self.first..).zip(&self.segments) {
            if !segment.sacked && (!segment.lost || segment.resent) {
                all.push((segment.serial, number));
            }
        }
        all.sort_unstable();
        self.by_time = all.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    /// Ten segments of 100, sent a microsecond apart.
    fn ten() -> Flight {
        let mut flight = Flight::default();
        for number in 0..10 {
            flight.push(number * 100, number * 100 + 100, false, at(number));
        }
        flight
    }

    fn newly(flight: &mut Flight, start: u64, end: u64) -> Vec<u64> {
        let mut new = Vec::new();
        flight.sack(start, end, |sent| new.push(sent.start));
        new
    }

    #[test]
    fn rfc6675_blocks_mark_each_segment_once_and_only_whole() {
        let mut flight = ten();
        assert_eq!(newly(&mut flight, 250, 450), [300]);
        assert_eq!(newly(&mut flight, 200, 500), [200, 400]);
        assert_eq!(newly(&mut flight, 200, 500), []);
        assert_eq!(newly(&mut flight, 700, 800), [700]);
        assert_eq!(newly(&mut flight, 100, 900), [100, 500, 600, 800]);
        assert_eq!((flight.sacked(), flight.in_network()), (8, 2));
        assert_eq!(flight.highest_sacked, 900);
        assert_eq!(flight.ranges.len(), 1);
    }

    #[test]
    fn rfc6675_pipe_counts_losses_and_retransmissions() {
        let mut flight = ten();
        newly(&mut flight, 500, 1000);
        assert!(flight.mark_lost(0) && flight.mark_lost(1) && !flight.mark_lost(1));
        assert!(!flight.mark_lost(7), "reported, and yet lost");
        assert_eq!(flight.in_network(), 3);
        assert_eq!(flight.next_lost(), Some(0));
        flight.sent_again(0, at(20));
        assert_eq!((flight.next_lost(), flight.in_network()), (Some(1), 4));
        assert!(flight.mark_lost(0), "a retransmission may be lost too");
        assert_eq!((flight.next_lost(), flight.in_network()), (Some(0), 3));
        let mut known = Vec::new();
        flight.acknowledge(650, |delivered| known.push(delivered.known));
        assert_eq!(known, [false, false, false, false, false, true]);
        assert_eq!(flight.head().map(|sent| sent.start), Some(650));
        assert_eq!((flight.len(), flight.sacked(), flight.lost()), (4, 4, 0));
        assert_eq!((flight.in_network(), flight.next_lost()), (0, None));
    }

    #[test]
    fn rfc8985_transmissions_come_in_the_order_of_their_times() {
        let mut flight = ten();
        flight.mark_lost(0);
        flight.sent_again(0, at(30));
        newly(&mut flight, 100, 200);
        assert_eq!(flight.oldest(at(5), 600).map(|(number, _)| number), Some(2));
        assert_eq!(flight.oldest(at(2), 300).map(|(number, _)| number), None);
        newly(&mut flight, 200, 1000);
        assert_eq!(flight.oldest(at(30), 1).map(|(number, _)| number), None);
        assert_eq!(flight.oldest(at(31), 1).map(|(number, _)| number), Some(0));
    }

    #[test]
    fn rfc2018_time_outs_forget_what_a_reneging_receiver_reported() {
        let mut flight = ten();
        newly(&mut flight, 300, 600);
        flight.time_out(false, |sent| sent.start >= 800);
        assert_eq!((flight.lost(), flight.sacked()), (5, 3));
        flight.time_out(true, |_| false);
        assert_eq!(
            (flight.lost(), flight.sacked(), flight.in_network()),
            (10, 0, 0)
        );
        assert_eq!(newly(&mut flight, 300, 600), [300, 400, 500]);
    }
}
