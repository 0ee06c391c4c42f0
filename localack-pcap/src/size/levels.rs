//! Quantiles over time of what rises and falls.

use hdrhistogram::Histogram;

use super::Quantiles;

/// Significant decimal digits of the quantiles.
const DIGITS: u8 = 3;
/// Microseconds in a second.
const SECOND: u64 = 1_000_000;

/// A level over time.
#[derive(Debug, Default)]
pub(super) struct Levels {
    since: Option<u64>,
    level: u64,
    peak: u64,
    times: Tallied,
}

/// How often, or for how long, each value was seen.
#[derive(Debug, Default)]
struct Tallied(Option<Histogram<u64>>);

/// New things in each second.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    second: Option<u64>,
    count: u64,
    all: u64,
    peak: u64,
    seconds: Tallied,
}

impl Tallied {
    fn add(&mut self, value: u64, weight: u64) {
        if self.0.is_none() {
            // Three digits are allowed, so that this does not fail.
            self.0 = Histogram::new(DIGITS).ok();
        }
        if let Some(histogram) = &mut self.0
            && weight > 0
            && histogram.record_n(value, weight).is_err()
        {
            histogram.saturating_record_n(value, weight);
        }
    }

    fn quantiles(&self, peak: u64) -> Quantiles {
        let at = |quantile| {
            let found = self.0.as_ref().filter(|histogram| !histogram.is_empty());
            found.map_or(peak, |histogram| {
                histogram.value_at_quantile(quantile).min(peak)
            })
        };
        Quantiles {
            peak,
            p99: at(0.99),
            p50: at(0.5),
        }
    }
}

impl Levels {
    /// From now on, in microseconds, the level is another.
    pub(super) fn set(&mut self, now: u64, level: u64) {
        if let Some(since) = self.since {
            self.times.add(self.level, now.saturating_sub(since));
        }
        self.since = Some(now);
        self.level = level;
        self.peak = self.peak.max(level);
    }

    /// The next time is another clock's.
    pub(super) const fn pause(&mut self) {
        self.since = None;
        self.level = 0;
    }

    pub(super) const fn peak(&self) -> u64 {
        self.peak
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        self.times.quantiles(self.peak)
    }
}

impl Arrivals {
    /// By now, in microseconds, so many have come in all.
    pub(super) fn set(&mut self, now: u64, all: u64) {
        let second = now / SECOND;
        match self.second {
            Some(before) if before == second => {}
            Some(before) => {
                self.seconds.add(self.count, 1);
                self.seconds.add(0, second.saturating_sub(before + 1));
                self.count = 0;
            }
            None => {}
        }
        self.second = Some(second);
        self.count += all.saturating_sub(self.all);
        self.all = all;
        self.peak = self.peak.max(self.count);
    }

    /// The next time is another clock's, and counting begins again.
    pub(super) fn pause(&mut self) {
        if self.second.take().is_some() {
            self.seconds.add(self.count, 1);
        }
        (self.count, self.all) = (0, 0);
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        self.seconds.quantiles(self.peak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_over_time() {
        let mut levels = Levels::default();
        for (now, level) in [(1_000, 10), (2_000, 500), (2_010, 20), (3_000, 0)] {
            levels.set(now, level);
        }
        let Quantiles { peak, p99, p50 } = levels.quantiles();
        assert_eq!((peak, p50), (500, 10));
        assert_eq!(p99, 20);
        levels.pause();
        levels.set(50, 7);
        levels.set(1_000_050, 0);
        assert_eq!(levels.quantiles().p50, 7);
        let alone = Levels::default().quantiles();
        assert_eq!((alone.peak, alone.p99, alone.p50), (0, 0, 0));
    }

    #[test]
    fn arrivals_are_counted_by_the_second() {
        let mut arrivals = Arrivals::default();
        for (now, all) in [(1_000_000, 1), (1_900_000, 5), (4_000_000, 6)] {
            arrivals.set(now, all);
        }
        arrivals.pause();
        let found = arrivals.quantiles();
        assert_eq!((found.peak, found.p99, found.p50), (5, 5, 0));
        arrivals.set(9_000_000, 100);
        arrivals.pause();
        assert_eq!(arrivals.quantiles().peak, 100);
    }
}
