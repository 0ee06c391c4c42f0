//! What was lost, and whether a full queue explains it.
//!
//! A range of the stream was lost if it was sent twice, or if it came late by more than reordering
//! explains (then it was lost before the capture point). It was not lost, but sent again for
//! nothing, if its receiver reports a duplicate (D-SACK, RFC 2883), or acknowledges it sooner after
//! the repetition than a round trip allows (Eifel, RFC 3522).
//!
//! A loss is put down to a full queue if the packets sent beside it had to wait about as long as any
//! ever had to. The simulated queue loses those again by itself, so only the others become the
//! path's loss.

use std::collections::VecDeque;

use super::{Confidence, Estimate, RoundTrips};
use crate::ranges::RangeSet;
use crate::whatif::trace::{Record, Side, Trace};

/// Segments in flight that are remembered.
const MOST_IN_FLIGHT: usize = 100_000;
/// Repetitions, and gaps, of which it is not known yet what they were.
const MOST_OPEN: usize = 512;
/// Losses whose circumstances are remembered.
const MOST_LOSSES: usize = 100_000;
/// A wait is a long one from this share of the longest.
const LONG: f64 = 0.7;
/// Below this, in microseconds, waiting is no sign of a queue.
const LEAST_WAIT: f64 = 5000.0;

/// Losses of one direction, counted in full segments.
#[derive(Debug, Clone, Copy, Default)]
pub struct Losses {
    /// Segments sent.
    pub sent: f64,
    /// Segments that were sent again.
    pub retransmitted: f64,
    /// Of those, the ones that had arrived.
    pub spurious: f64,
    /// Segments lost while the queue was full.
    pub congestive: f64,
    /// Segments lost otherwise.
    pub random: f64,
    /// The longest wait in a queue, leaving out the longest hundredth, in microseconds.
    pub longest_queue_us: f64,
}

impl Losses {
    /// Counts those of `sender`'s data.
    #[must_use]
    pub fn of(trace: &Trace, sender: Side, round_trips: &RoundTrips) -> Self {
        let mut watch = Watch {
            reach: round_trips.micros(sender.other()),
            whole: round_trips.micros(sender) + round_trips.micros(sender.other()),
            segment: f64::from(trace.segment_size()),
            ..Watch::default()
        };
        for record in &trace.records {
            if record.from == sender {
                watch.data(record);
            } else {
                watch.feedback(record);
            }
        }
        let mut one_way = waits_by_stamps(trace, sender);
        watch.finish(&mut one_way)
    }

    /// The path's own loss in percent.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        let lost = self.random;
        let share = if self.sent > 0.0 {
            (lost / self.sent).min(0.5)
        } else {
            0.0
        };
        let confidence = match lost {
            20.0.. => Confidence::High,
            5.0.. => Confidence::Medium,
            _ if lost < 0.5 && self.sent >= 1000.0 => Confidence::High,
            _ if lost < 0.5 && self.sent >= 100.0 => Confidence::Medium,
            _ => Confidence::Low,
        };
        Estimate {
            value: share * 100.0,
            how: format!(
                "{:.0} of {:.0} segments lost; {:.0} more by a full queue, {:.0} sent again for nothing",
                lost, self.sent, self.congestive, self.spurious
            ),
            confidence,
        }
    }
}

/// A segment that is on its way.
#[derive(Debug, Clone, Copy)]
struct Flying {
    end: i64,
    at: i64,
    reported: bool,
}

/// A repetition that may have been for nothing.
#[derive(Debug, Clone, Copy)]
struct Repetition {
    start: i64,
    end: i64,
    /// When it was sent, and when the octets were sent at first.
    at: i64,
    original: i64,
}

#[derive(Debug, Default)]
struct Watch {
    /// The shortest time from the capture point to the receiver and back, and for all of the path.
    reach: i64,
    whole: i64,
    segment: f64,
    known: RangeSet,
    highest: i64,
    flying: VecDeque<Flying>,
    /// Times at which new octets were captured, by their ends: to find when lost ones were sent.
    repeated: VecDeque<Repetition>,
    /// Gaps in what passes: they were lost before, or are late.
    gaps: VecDeque<(i64, i64, i64)>,
    /// When what was lost had been sent, and how many segments.
    lost: Vec<(i64, f64)>,
    /// When what was acknowledged had been sent, and its round trip.
    samples: Vec<(i64, i64)>,
    acknowledged: i64,
    /// The receiver reported a gap last.
    gap: bool,
    counts: Losses,
}

impl Watch {
    fn data(&mut self, record: &Record) {
        if record.len == 0 {
            return;
        }
        let (start, end) = (record.start, record.end());
        let octets = f64::from(record.len);
        // An octet below what was acknowledged: a keep-alive.
        if record.len == 1 && end <= self.acknowledged {
            return;
        }
        self.counts.sent += octets / self.segment;
        let overlap = self.known.overlap(start, end) as f64;
        if overlap > 0.0 {
            self.counts.retransmitted += overlap / self.segment;
            let original = self.sent_at(end).unwrap_or(record.at);
            if self.repeated.len() >= MOST_OPEN {
                self.settle_first();
            }
            self.repeated.push_back(Repetition {
                start,
                end,
                at: record.at,
                original,
            });
            let from = self.flying.partition_point(|flying| flying.end <= start);
            let to = self.flying.partition_point(|flying| flying.end <= end);
            // Whose acknowledgement comes cannot be told (Karn).
            self.flying
                .range_mut(from..to.max(from))
                .for_each(|flying| flying.reported = true);
        }
        if start > self.highest && self.highest > 0 && self.gaps.len() < MOST_OPEN {
            self.gaps.push_back((self.highest, start, record.at));
        }
        if overlap < octets && start < self.highest {
            self.fill(start, end, record.at);
        }
        self.known.insert(start, end);
        if end > self.highest {
            self.highest = end;
            if self.flying.len() >= MOST_IN_FLIGHT {
                self.flying.pop_front();
            }
            self.flying.push_back(Flying {
                end,
                at: record.at,
                reported: false,
            });
        }
    }

    /// When the octets up to `end` were sent at first.
    fn sent_at(&self, end: i64) -> Option<i64> {
        let at = self.flying.partition_point(|flying| flying.end < end);
        self.flying.get(at).map(|flying| flying.at)
    }

    /// Octets that were missing arrive: they were lost before the capture point if that took as long
    /// as it takes to be told.
    fn fill(&mut self, start: i64, end: i64, at: i64) {
        let late = (self.whole / 2).max(3000);
        for gap in &mut self.gaps {
            let octets = end.min(gap.1) - start.max(gap.0);
            if octets > 0 && at - gap.2 >= late {
                lose(&mut self.lost, gap.2, octets as f64 / self.segment);
            }
        }
        self.gaps
            .retain(|&(low, high, _)| !(start <= low && high <= end));
    }

    fn feedback(&mut self, record: &Record) {
        let Some(ack) = record.ack else { return };
        let mut latest = None;
        while let Some(&flying) = self.flying.front().filter(|flying| flying.end <= ack) {
            if !flying.reported {
                latest = Some(flying.at);
            }
            self.flying.pop_front();
        }
        // What a repaired gap had held back waited for that, not in a queue.
        let gap = record.sack.iter().any(|&(left, _)| left > ack);
        if core::mem::replace(&mut self.gap, gap) || gap {
            latest = None;
        }
        if let Some(&(left, right)) = record.sack.first() {
            if left < ack {
                self.duplicate(left, right);
            } else {
                let at = self.flying.partition_point(|flying| flying.end < right);
                if let Some(flying) = self.flying.get_mut(at).filter(|flying| !flying.reported) {
                    flying.reported = true;
                    latest = Some(flying.at);
                }
            }
        }
        if let Some(at) = latest {
            self.samples.push((at, record.at - at));
        }
        self.acknowledged = self.acknowledged.max(ack);
        self.settle(ack, record.at);
    }

    /// The receiver has these octets twice.
    fn duplicate(&mut self, left: i64, right: i64) {
        let before = self.repeated.len();
        self.repeated
            .retain(|repetition| repetition.start >= right || repetition.end <= left);
        if before > self.repeated.len() {
            self.counts.spurious += (right - left) as f64 / self.segment;
        }
    }

    /// Repetitions that are acknowledged were for nothing if that came too soon. Those that arrived
    /// at their time are kept for a while: a report of a duplicate may follow.
    fn settle(&mut self, ack: i64, at: i64) {
        let soon = self.reach * 4 / 5;
        let (counts, segment) = (&mut self.counts, self.segment);
        self.repeated.retain(|repetition| {
            let early = repetition.end <= ack && at - repetition.at < soon;
            if early {
                counts.spurious += (repetition.end - repetition.start) as f64 / segment;
            }
            !early
        });
        while self
            .repeated
            .front()
            .is_some_and(|first| first.end <= ack && at - first.at > 2 * self.whole + 10_000)
        {
            self.settle_first();
        }
    }

    /// The first repetition was needed.
    fn settle_first(&mut self) {
        if let Some(first) = self.repeated.pop_front() {
            let segments = (first.end - first.start) as f64 / self.segment;
            lose(&mut self.lost, first.original, segments);
        }
    }

    fn finish(mut self, one_way: &mut Vec<(i64, i64)>) -> Losses {
        while !self.repeated.is_empty() {
            self.settle_first();
        }
        let by_round_trip = waits(self.samples);
        let by_stamps = waits(core::mem::take(one_way));
        let longest = |waits: &[(i64, f64)]| percentile(waits, 99);
        // Whichever sees more of the queue: it depends on where the capture was made.
        let waits = if longest(&by_stamps) > 1.5 * longest(&by_round_trip) {
            by_stamps
        } else {
            by_round_trip
        };
        let mut counts = self.counts;
        counts.longest_queue_us = longest(&waits);
        let long = counts.longest_queue_us * LONG;
        for (at, segments) in self.lost {
            if counts.longest_queue_us >= LEAST_WAIT
                && around(&waits, at).is_some_and(|wait| wait >= long)
            {
                counts.congestive += segments;
            } else {
                counts.random += segments;
            }
        }
        counts
    }
}

fn lose(lost: &mut Vec<(i64, f64)>, at: i64, segments: f64) {
    if lost.len() < MOST_LOSSES {
        lost.push((at, segments));
    }
}

/// From times to what they are longer than the shortest, in the order of sending.
fn waits(mut samples: Vec<(i64, i64)>) -> Vec<(i64, f64)> {
    samples.sort_unstable();
    let least = samples.iter().map(|sample| sample.1).min().unwrap_or(0);
    let wait = |(at, time): (i64, i64)| (at, (time - least) as f64);
    samples.into_iter().map(wait).collect()
}

fn percentile(waits: &[(i64, f64)], percent: usize) -> f64 {
    let mut sorted: Vec<f64> = waits.iter().map(|wait| wait.1).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or(0.0)
}

/// How long packets waited that were sent about `at`.
fn around(waits: &[(i64, f64)], at: i64) -> Option<f64> {
    let place = waits.partition_point(|wait| wait.0 < at);
    let near = waits.get(place.saturating_sub(2)..(place + 2).min(waits.len()))?;
    near.iter().map(|wait| wait.1).reduce(f64::max)
}

/// By how much each packet of `sender` came later than its timestamp says, if it has one: a time
/// with an unknown origin, in which a queue before the capture point shows.
fn waits_by_stamps(trace: &Trace, sender: Side) -> Vec<(i64, i64)> {
    let mut stamped = trace
        .records
        .iter()
        .filter(|record| record.from == sender && record.len > 0)
        .filter_map(|record| record.stamps.map(|(value, _)| (record.at, value)));
    let Some((first_at, first)) = stamped.next() else {
        return Vec::new();
    };
    let all: Vec<(i64, i64)> = stamped
        .map(|(at, value)| (at, i64::from(value.wrapping_sub(first).cast_signed())))
        .collect();
    let Some(&(last_at, ticks)) = all.last() else {
        return Vec::new();
    };
    // Linux and most others tick in milliseconds; where that is not so, nothing is concluded.
    let expected = (last_at - first_at) as f64 / 1000.0;
    if ticks < 50 || (ticks as f64 / expected - 1.0).abs() > 0.5 {
        return Vec::new();
    }
    all.into_iter()
        .map(|(at, ticks)| (at, at - first_at - ticks * 1000))
        .collect()
}
