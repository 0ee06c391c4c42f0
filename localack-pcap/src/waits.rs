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
    fn memory_of_what_is_never_acknowledged_is_bounded() {
        let mut outstanding = Outstanding::default();
        (0..100_000).for_each(|end| outstanding.push(end, Instant::ZERO));
        assert_eq!(outstanding.packets.len(), MOST_OUTSTANDING);
    }
}
