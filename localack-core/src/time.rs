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
#[expect(
    clippy::cast_possible_truncation,
    reason = "bounded by the comparison before the cast"
)]
pub(crate) const fn micros(duration: Duration) -> u64 {
    let wide = duration.as_micros();
    if wide > u64::MAX as u128 {
        u64::MAX
    } else {
        wide as u64
    }
}

/// A point in time within half an hour of the present, in four octets; zeroed memory is "never".
///
/// Microseconds modulo 2^32: unambiguous within 35 minutes, and the engine keeps every such
/// deadline shorter and never lets the present run away from one (see `clock`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Stamp(u32);

impl Stamp {
    pub(crate) const NEVER: Self = Self(0);

    /// The stamp of `at`. One instant in 2^32 is moved by a microsecond to keep zero free.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "modulo 2^32 is what a stamp is"
    )]
    pub(crate) const fn at(at: Instant) -> Self {
        let low = at.0 as u32;
        Self(if low == 0 { 1 } else { low })
    }

    /// The stamp that [`Stamp::bits`] gave.
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The stamp as a number to be kept among others.
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    pub(crate) const fn is_set(self) -> bool {
        self.0 != 0
    }

    /// Whether the point is set and has come.
    pub(crate) const fn is_due(self, now: Instant) -> bool {
        self.is_set() && Self::at(now).0.wrapping_sub(self.0) < 1 << 31
    }

    /// Microseconds since the point; zero if it is not set or lies ahead.
    pub(crate) const fn age(self, now: Instant) -> u32 {
        if self.is_due(now) {
            Self::at(now).0.wrapping_sub(self.0)
        } else {
            0
        }
    }

    /// Whether this point is later than `other`, both within 35 minutes of each other. "Never" is
    /// later than no point, and any point is later than "never".
    pub(crate) const fn is_after(self, other: Self) -> bool {
        let ahead = self.0.wrapping_sub(other.0);
        self.is_set() && (!other.is_set() || (ahead != 0 && ahead < 1 << 31))
    }

    /// Microseconds from `earlier` to this point, both within 35 minutes of each other; zero if it is
    /// not after `earlier`, or if either is "never".
    #[cfg(any(test, feature = "bbr"))]
    pub(crate) const fn since(self, earlier: Self) -> u32 {
        if earlier.is_set() && self.is_after(earlier) {
            self.0.wrapping_sub(earlier.0)
        } else {
            0
        }
    }

    /// The point itself, given a present near it.
    pub(crate) const fn resolve(self, now: Instant) -> Option<Instant> {
        if !self.is_set() {
            return None;
        }
        let ahead = self.0.wrapping_sub(Self::at(now).0);
        Some(if ahead < 1 << 31 {
            Instant(now.0.saturating_add(ahead as u64))
        } else {
            Instant(now.0.saturating_sub(ahead.wrapping_neg() as u64))
        })
    }
}

/// When something happened, to tell its age by for up to 49 days; zeroed memory is "never".
///
/// Milliseconds modulo 2^32. For what is only ever compared with the present; a [`Stamp`] is finer
/// but says nothing of what is more than half an hour away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Moment(u32);

impl Moment {
    pub(crate) const NEVER: Self = Self(0);

    /// The moment of `at`. One in 2^32 is moved by a millisecond to keep zero free.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "modulo 2^32 is what a moment is"
    )]
    pub(crate) const fn at(at: Instant) -> Self {
        let low = (at.0 / 1000) as u32;
        Self(if low == 0 { 1 } else { low })
    }

    /// The moment that [`Moment::bits`] gave.
    #[cfg(feature = "bbr")]
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The moment as a number to be kept among others.
    #[cfg(feature = "bbr")]
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// Microseconds since the moment, in whole milliseconds; `None` if it never came.
    pub(crate) const fn age_us(self, now: Instant) -> Option<u64> {
        if self.0 == 0 {
            return None;
        }
        let age_ms = Self::at(now).0.wrapping_sub(self.0) as u64;
        Some(age_ms.saturating_mul(1000))
    }

    /// Whether the moment came less than `micros` microseconds ago.
    pub(crate) const fn is_within(self, micros: u64, now: Instant) -> bool {
        matches!(self.age_us(now), Some(age) if age < micros)
    }
}

/// A deadline up to 49 days away, in four octets; zeroed memory is "never".
///
/// Units of two milliseconds modulo 2^32, rounded up: it never comes early.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Due(u32);

/// Microseconds of the unit of a [`Due`].
const DUE_UNIT_US: u64 = 2000;

impl Due {
    pub(crate) const NEVER: Self = Self(0);

    /// One unit in 2^32 is put off by another to keep zero free.
    pub(crate) const fn at(at: Instant) -> Self {
        let low = Self::low(at.0.div_ceil(DUE_UNIT_US));
        Self(if low == 0 { 1 } else { low })
    }

    #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32 is what it is")]
    const fn low(units: u64) -> u32 {
        units as u32
    }

    pub(crate) const fn is_set(self) -> bool {
        self.0 != 0
    }

    /// Whether the point is set and has come.
    pub(crate) const fn has_come(self, now: Instant) -> bool {
        self.is_set() && self.units_ahead(now) == 0
    }

    /// The sooner of two points, as seen from now; never is not soon.
    pub(crate) const fn sooner(self, other: Self, now: Instant) -> Self {
        if !other.is_set() || (self.is_set() && self.units_ahead(now) <= other.units_ahead(now)) {
            self
        } else {
            other
        }
    }

    /// The point itself, given a present near it.
    pub(crate) const fn resolve(self, now: Instant) -> Option<Instant> {
        if !self.is_set() {
            return None;
        }
        let units = (now.0 / DUE_UNIT_US).saturating_add(self.units_ahead(now) as u64);
        Some(Instant(units.saturating_mul(DUE_UNIT_US)))
    }

    const fn units_ahead(self, now: Instant) -> u32 {
        let ahead = self.0.wrapping_sub(Self::low(now.0 / DUE_UNIT_US));
        if ahead < 1 << 31 { ahead } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_ages_for_weeks() {
        let start = Instant::from_millis(77);
        let moment = Moment::at(start);
        for days in [0_u64, 1, 20, 49] {
            let later = start.after(Duration::from_secs(days * 86_400));
            assert_eq!(moment.age_us(later), Some(days * 86_400_000_000));
            assert_eq!(moment.is_within(1, later), days == 0);
        }
        assert_eq!(Moment::NEVER.age_us(start), None);
        assert!(!Moment::NEVER.is_within(u64::MAX, start));
    }

    #[test]
    fn a_stamp_finds_its_instant_again() {
        for base in [1_u64, u64::from(u32::MAX) - 7, (1 << 40) + 1] {
            for delta in [0_u64, 1, 1_000_000, 1_800_000_000] {
                let now = Instant::from_micros(base);
                let later = Instant::from_micros(base + delta);
                assert_eq!(Stamp::at(later).resolve(now), Some(later));
                assert_eq!(Stamp::at(now).resolve(later), Some(now));
                assert!(Stamp::at(now).is_due(later));
                assert_eq!(u64::from(Stamp::at(now).age(later)), delta);
                assert_eq!(Stamp::at(later).is_due(now), delta == 0);
            }
        }
        // The one instant whose low half would read as "never" is still set, and due.
        let zero = Instant::from_micros(1 << 32);
        assert!(Stamp::at(zero).is_due(zero));
        assert!(!Stamp::NEVER.is_due(Instant::from_micros(77)));
        assert_eq!(Stamp::NEVER.resolve(Instant::ZERO), None);
    }

    #[test]
    fn stamps_are_in_order_across_the_wrap_and_never_is_before_them_all() {
        for base in [1_u64, u64::from(u32::MAX) - 7, 1 << 32, (1 << 40) + 1] {
            let early = Stamp::at(Instant::from_micros(base));
            for delta in [2_u32, 1_000_000, 2_100_000_000] {
                let late = Stamp::at(Instant::from_micros(base + u64::from(delta)));
                assert!(late.is_after(early) && !early.is_after(late));
                // The instant that would read as "never" counts as the one after it.
                let moved = u32::from(base == 1 << 32);
                assert_eq!((late.since(early), early.since(late)), (delta - moved, 0));
            }
            assert!(!early.is_after(early));
            assert!(early.is_after(Stamp::NEVER) && !Stamp::NEVER.is_after(early));
            assert_eq!(
                (early.since(Stamp::NEVER), Stamp::NEVER.since(early)),
                (0, 0)
            );
        }
        assert!(!Stamp::NEVER.is_after(Stamp::NEVER));
    }

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

    #[test]
    fn a_due_time_comes_late_by_two_milliseconds_at_most() {
        for base_us in [1_u64, (2000 << 32) - 3_000_000, 987_654_321_123] {
            let now = Instant::from_micros(base_us);
            for wait_us in [0_u64, 1, 2500, 60_000_000, 30 * 86_400_000_000] {
                let at = Instant::from_micros(base_us + wait_us);
                let due = Due::at(at);
                let resolved = due.resolve(now).unwrap();
                assert!(resolved >= at && resolved.as_micros() - at.as_micros() <= 4000);
                assert!(due.has_come(resolved));
                assert_eq!(due.has_come(now), resolved <= now);
                assert!(due.has_come(at.after(Duration::from_millis(4))));
            }
        }
        let now = Instant::from_millis(5000);
        let (soon, late) = (
            Due::at(Instant::from_millis(6000)),
            Due::at(Instant::from_millis(9000)),
        );
        assert_eq!(
            (soon.sooner(late, now), late.sooner(soon, now)),
            (soon, soon)
        );
        assert_eq!(Due::NEVER.sooner(soon, now), soon);
        assert!(!Due::NEVER.has_come(now) && Due::NEVER.resolve(now).is_none());
    }

    #[test]
    fn what_lies_half_way_round_is_neither_due_nor_later_and_resolves_to_the_past() {
        const HALF: u64 = 1 << 31;
        for base_us in [HALF + 7, (1 << 40) + 77] {
            let now = Instant::from_micros(base_us);
            let later = Instant::from_micros(base_us + HALF);
            let (early, late) = (Stamp::at(now), Stamp::at(later));
            assert!(!early.is_due(later) && !late.is_due(now));
            assert!(!early.is_after(late) && !late.is_after(early));
            let past = Instant::from_micros(base_us - HALF);
            assert_eq!(late.resolve(now), Some(past));
        }
        // The same for what is 49 days away.
        let now = Instant::from_micros(DUE_UNIT_US * 5);
        let [just, half] =
            [HALF - 1, HALF].map(|units| Instant::from_micros(DUE_UNIT_US * (units + 5)));
        assert!(!Due::at(just).has_come(now) && Due::at(half).has_come(now));
    }

    #[test]
    fn durations_beyond_all_instants_saturate() {
        let (end, second) = (Instant::from_micros(u64::MAX), Duration::from_secs(1));
        let longest = Duration::from_micros(u64::MAX);
        assert_eq!(micros(longest), u64::MAX);
        for longer in [
            longest + Duration::from_nanos(1_000),
            longest + second,
            Duration::from_secs(u64::MAX),
        ] {
            assert_eq!(micros(longer), u64::MAX);
            assert_eq!(Instant::ZERO.after(longer), end);
        }
    }
}
