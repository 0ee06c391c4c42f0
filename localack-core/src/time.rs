//! Time as the caller gives it: microseconds since an epoch of the caller's choice.
//!
//! The engine owns no clock. A `now` that stands still or runs backwards counts as standing
//! still.

use core::time::Duration;

/// A point in time, in microseconds since the caller's epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(u64);

impl Instant {
    /// The epoch itself.
    pub const ZERO: Self = Self(0);

    /// The point `micros` microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The point `millis` milliseconds after the epoch; saturates.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to here; zero if this point is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The point `duration` later; saturates.
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// The later of two points.
    #[must_use]
    pub const fn latest(self, other: Self) -> Self {
        if self.0 < other.0 { other } else { self }
    }
}

/// A duration in whole microseconds, saturating at `u64::MAX`.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "bounded by the comparison before the cast")]
pub(crate) const fn micros(duration: Duration) -> u64 {
    let wide = duration.as_micros();
    if wide > u64::MAX as u128 { u64::MAX } else { wide as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_back_in_time_is_standing_still() {
        let (early, late) = (Instant::from_millis(1), Instant::from_millis(3));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late.since(early), Duration::from_millis(2));
    }

    #[test]
    fn the_far_future_saturates() {
        let end = Instant::from_micros(u64::MAX);
        assert_eq!(end.after(Duration::MAX), end);
    }
}
