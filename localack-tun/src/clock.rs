//! The machine's clocks, and the only code that reads them.

use core::time::Duration;
use std::time::{Instant, SystemTime};

/// A clock that never runs backwards and knows the wall-clock time of its start.
///
/// Packets are stamped with the start's wall-clock time plus the monotonic time since, so a
/// capture has no jumps even when the machine's wall clock is set while it runs.
#[derive(Debug, Clone)]
pub struct Clock {
    started: Instant,
    started_since_unix_epoch: Duration,
}

impl Clock {
    /// Starts a clock at zero.
    #[expect(
        clippy::disallowed_methods,
        reason = "time enters the program here and nowhere else"
    )]
    pub fn start() -> Self {
        let started_since_unix_epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            // A machine whose wall clock is before 1970 has no better stamp to offer.
            .unwrap_or(Duration::ZERO);
        Self {
            started: Instant::now(),
            started_since_unix_epoch,
        }
    }

    /// A clock that was at zero so long ago, perhaps in another process.
    #[must_use]
    pub fn started_before(since: Duration) -> Self {
        let mut clock = Self::start();
        clock.started = clock.started.checked_sub(since).unwrap_or(clock.started);
        clock.started_since_unix_epoch = clock.started_since_unix_epoch.saturating_sub(since);
        clock
    }

    /// What the machine's monotonic clock says: the same for all processes until the machine starts anew.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn machine_time() -> Duration {
        use nix::time::{ClockId, clock_gettime};
        clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
    }

    /// The time since the clock started, monotonic.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The wall-clock stamp, as time since the Unix epoch, of the moment `now` of this clock.
    pub fn stamp(&self, now: Duration) -> Duration {
        self.started_since_unix_epoch.saturating_add(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on_where_another_process_has_begun() {
        let first = Clock::start();
        let long_ago = Clock::started_before(Duration::from_millis(700));
        assert!(long_ago.now() >= Duration::from_millis(700));
        let stamps = [&long_ago, &first].map(|clock| clock.stamp(clock.now()));
        let apart = stamps[0].abs_diff(stamps[1]);
        assert!(apart < Duration::from_secs(5), "{apart:?}");
    }

    #[test]
    fn stamps_advance_with_the_monotonic_clock() {
        let clock = Clock::start();
        let first = clock.now();
        let second = clock.now();
        assert!(second >= first);
        assert_eq!(
            clock.stamp(second).checked_sub(clock.stamp(first)),
            second.checked_sub(first)
        );
    }
}
