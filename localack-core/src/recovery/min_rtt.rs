//! The shortest round trip of late: what the path takes when nothing queues on it.

use crate::time::{Instant, Moment};

/// How long a minimum holds, in microseconds: routes change.
const LIFE_US: u64 = 300_000_000;

/// The shortest round trip seen within the last minutes. Plain old data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(crate) struct MinRtt {
    us: u32,
    since: Moment,
}

impl MinRtt {
    pub(crate) const EMPTY: Self = Self {
        us: 0,
        since: Moment::NEVER,
    };

    /// Takes in a round trip, in microseconds.
    pub(crate) fn on_sample(&mut self, sample_us: u32, now: Instant) {
        if self.us == 0 || sample_us <= self.us || !self.since.is_within(LIFE_US, now) {
            self.us = sample_us.max(1);
            self.since = Moment::at(now);
        }
    }

    /// In microseconds; `None` before the first sample.
    pub(crate) const fn us(&self) -> Option<u32> {
        if self.us == 0 { None } else { Some(self.us) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_of_the_last_minutes_counts() {
        let mut min = MinRtt::EMPTY;
        assert_eq!(min.us(), None);
        for (second, sample, shortest) in [
            (0, 600, 600),
            (1, 700, 600),
            (2, 500, 500),
            (200, 800, 500),
            (303, 800, 800),
        ] {
            min.on_sample(sample, Instant::from_millis(second * 1000));
            assert_eq!(min.us(), Some(shortest), "after {second} s");
        }
    }
}
