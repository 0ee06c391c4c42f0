//! How long data waits for its acknowledgement.

use std::collections::VecDeque;

use hdrhistogram::Histogram;
use localack_core::Instant;

/// Packets that may wait at once; the oldest is given up for a new one.
const MOST_OUTSTANDING: usize = 8192;
/// Waits that are remembered one by one before they are put into a histogram.
const EXACT: usize = 2048;
/// Significant decimal digits of the histogram.
const DIGITS: u8 = 2;

/// Data packets that wait for an acknowledgement.
#[derive(Debug, Clone, Default)]
pub struct Outstanding {
    /// The position after the last octet, and when the packet was captured; ascending.
    packets: VecDeque<(i64, Instant)>,
}

impl Outstanding {
    /// A packet with new octets, the last one before `end`, was captured.
    pub fn push(&mut self, end: i64, now: Instant) {
        if self.packets.len() >= MOST_OUTSTANDING {
            self.packets.pop_front();
        }
        let at = match self.packets.back() {
            Some(&(last, _)) if last > end => {
                self.packets.partition_point(|packet| packet.0 <= end)
            }
            _ => self.packets.len(),
        };
        self.packets.insert(at, (end, now));
    }

    /// Everything below `position` is acknowledged: the waits that end with it go into `waits`.
    pub fn acknowledge(&mut self, position: i64, now: Instant, waits: &mut Waits) {
        while let Some(&(_, since)) = self.packets.front().filter(|packet| packet.0 <= position) {
            self.packets.pop_front();
            waits.record(u64::try_from(now.since(since).as_micros()).unwrap_or(u64::MAX));
        }
    }
}

/// A distribution of waits, in microseconds.
///
/// Exact up to 2048 of them, to two digits beyond. Grows with what it holds, up to some ten kilobytes.
#[derive(Debug, Clone, Default)]
pub struct Waits {
    total: u64,
    exact: Vec<u64>,
    rest: Option<Box<Histogram<u32>>>,
}

impl Waits {
    /// Adds one wait.
    pub fn record(&mut self, wait: u64) {
        self.total = self.total.saturating_add(wait);
        if let Some(histogram) = &mut self.rest {
            return put(histogram, wait);
        }
        self.exact.push(wait);
        if self.exact.len() > EXACT
            && let Ok(mut histogram) = Histogram::new(DIGITS)
        {
            for wait in core::mem::take(&mut self.exact) {
                put(&mut histogram, wait);
            }
            self.rest = Some(Box::new(histogram));
        }
    }

    /// Adds all of another distribution.
    pub fn merge(&mut self, other: &Self) {
        other.exact.iter().for_each(|&wait| self.record(wait));
        let Some(histogram) = &other.rest else {
            return;
        };
        // What `record` adds to the total is rounded.
        let total = self.total.saturating_add(other.total);
        for step in histogram.iter_recorded() {
            let (wait, count) = (step.value_iterated_to(), step.count_since_last_iteration());
            for _ in 0..count {
                self.record(wait);
            }
        }
        self.total = total;
    }

    /// At most `steps` + 1 points of the distribution: a wait, and the part of all that do not exceed it,
    /// ascending from the shortest wait to the longest.
    #[must_use]
    pub fn curve(&self, steps: usize) -> Vec<(u64, f64)> {
        let mut sorted = self.exact.clone();
        sorted.sort_unstable();
        let wait_at = |part: f64| match &self.rest {
            Some(histogram) => histogram.value_at_quantile(part),
            None => {
                let rank = (sorted.len() as f64 * part).ceil() as usize;
                sorted[rank.clamp(1, sorted.len()) - 1]
            }
        };
        if self.count() == 0 {
            return Vec::new();
        }
        let mut curve: Vec<(u64, f64)> = Vec::new();
        for step in 0..=steps.max(1) {
            let part = step as f64 / steps.max(1) as f64;
            let wait = wait_at(part);
            match curve.last_mut() {
                Some(last) if last.0 == wait => last.1 = part,
                _ => curve.push((wait, part)),
            }
        }
        curve
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.rest
            .as_ref()
            .map_or(self.exact.len() as u64, |histogram| histogram.len())
    }

    /// All of them together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The waits that `percents` percent of all do not exceed (the nearest rank); `None` if there are none.
    #[must_use]
    pub fn percentiles<const N: usize>(&self, percents: [u64; N]) -> Option<[u64; N]> {
        if let Some(histogram) = &self.rest {
            return Some(percents.map(|percent| histogram.value_at_percentile(percent as f64)));
        }
        let mut sorted = self.exact.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        Some(percents.map(|percent| {
            let rank = (sorted.len() as u64 * percent).div_ceil(100).max(1) as usize;
            sorted[(rank - 1).min(last)]
        }))
    }
}

/// Records a wait in a histogram, which grows as far as it can.
fn put(histogram: &mut Histogram<u32>, wait: u64) {
    if histogram.record(wait).is_err() {
        histogram.saturating_record(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_ends_the_waits_below_it() {
        let (mut outstanding, mut waits) = (Outstanding::default(), Waits::default());
        outstanding.push(100, Instant::from_micros(10));
        outstanding.push(300, Instant::from_micros(20));
        outstanding.push(200, Instant::from_micros(30));
        outstanding.acknowledge(99, Instant::from_micros(40), &mut waits);
        assert_eq!(waits.count(), 0);
        outstanding.acknowledge(200, Instant::from_micros(50), &mut waits);
        assert_eq!((waits.count(), waits.total()), (2, 40 + 20));
        outstanding.acknowledge(300, Instant::from_micros(15), &mut waits);
        assert_eq!((waits.count(), waits.total()), (3, 60));
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut waits = Waits::default();
        assert_eq!(waits.percentiles([50, 99]), None);
        (1..=4).for_each(|wait| waits.record(wait * 10));
        assert_eq!(waits.percentiles([50, 99]), Some([20, 40]));
        waits.record(50);
        assert_eq!(waits.percentiles([50]), Some([30]));
    }

    #[test]
    fn many_waits_take_bounded_memory_and_lose_two_digits_at_most() {
        let mut waits = Waits::default();
        (1..=100_000).for_each(|wait| waits.record(wait));
        let [median, high] = waits.percentiles([50, 99]).unwrap();
        assert!(
            median.abs_diff(50_000) <= 500 && high.abs_diff(99_000) <= 990,
            "{median} {high}"
        );
        assert_eq!((waits.count(), waits.exact.capacity()), (100_000, 0));
        waits.record(u64::MAX);
    }

    #[test]
    fn curves_rise_from_the_shortest_to_the_longest() {
        let mut waits = Waits::default();
        assert_eq!(waits.curve(10), []);
        [5, 1, 1, 1].into_iter().for_each(|wait| waits.record(wait));
        assert_eq!(waits.curve(4), [(1, 0.75), (5, 1.0)]);
        (0..10_000).for_each(|wait| waits.record(wait));
        let curve = waits.curve(100);
        assert!(curve.len() <= 101 && curve.is_sorted());
        assert!(curve.last().unwrap().0.abs_diff(9_999) < 100);
    }

    #[test]
    fn merged_distributions_have_all_waits() {
        let (mut all, mut many, mut few) = (Waits::default(), Waits::default(), Waits::default());
        (0..5_000).for_each(|wait| many.record(wait));
        few.record(1_000_000);
        all.merge(&few);
        all.merge(&many);
        assert_eq!(
            (all.count(), all.total()),
            (5_001, many.total() + 1_000_000)
        );
        assert!(all.curve(10_000).last().unwrap().0.abs_diff(1_000_000) < 10_000);
    }

    #[test]
    fn memory_of_what_is_never_acknowledged_is_bounded() {
        let mut outstanding = Outstanding::default();
        (0..100_000).for_each(|end| outstanding.push(end, Instant::ZERO));
        assert_eq!(outstanding.packets.len(), MOST_OUTSTANDING);
    }
}
