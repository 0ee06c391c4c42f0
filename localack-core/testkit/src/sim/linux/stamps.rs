//! Timestamps (RFC 7323), in ticks of a millisecond.

use localack_core::Instant;

use super::clock::MILLISECOND;
use super::position::low_half;

/// A TSval may be older by so many ticks than the newest (`TCP_PAWS_WINDOW`).
const TOLERANCE: i32 = 1;
/// After so much silence any timestamp is as good as another, in microseconds: 24 days.
const EXPIRY: u64 = 24 * 24 * 3600 * 1_000_000;

/// State of the timestamps of a connection.
#[derive(Clone, Debug)]
pub(super) struct Stamps {
    offset: u32,
    /// TS.Recent, and when it was set.
    recent: Option<(u32, Instant)>,
}

impl Stamps {
    pub(super) const fn new(offset: u32) -> Self {
        Self {
            offset,
            recent: None,
        }
    }

    /// TSval for a segment that leaves now.
    pub(super) fn value(&self, now: Instant) -> u32 {
        let ticks = low_half(now.as_micros() / MILLISECOND);
        self.offset.wrapping_add(ticks)
    }

    /// TSecr for a segment that leaves now.
    pub(super) fn echo(&self) -> u32 {
        self.recent.map_or(0, |(recent, _)| recent)
    }

    /// Microseconds since `echo` was this host's TSval; `None` if it never was by now.
    pub(super) fn age(&self, now: Instant, echo: u32) -> Option<u64> {
        let ticks = self.value(now).wrapping_sub(echo);
        let existed = u64::from(ticks) <= now.as_micros() / MILLISECOND;
        existed.then_some(u64::from(ticks) * MILLISECOND)
    }

    /// Whether PAWS refuses a segment with this TSval (section 5).
    pub(super) fn refuse(&self, now: Instant, value: u32) -> bool {
        self.is_older(now, value, TOLERANCE)
    }

    /// Whether PAWS refuses a segment with this TSval where nothing is tolerated, as FreeBSD does.
    pub(super) fn refuse_any(&self, now: Instant, value: u32) -> bool {
        self.is_older(now, value, 0)
    }

    fn is_older(&self, now: Instant, value: u32, tolerance: i32) -> bool {
        self.recent.is_some_and(|(recent, at)| {
            let fresh = now.as_micros() - at.as_micros() < EXPIRY;
            fresh && recent.wrapping_sub(value).cast_signed() > tolerance
        })
    }

    /// By how many ticks a TSval is older than the newest.
    pub(super) fn lag(&self, value: u32) -> i32 {
        self.echo().wrapping_sub(value).cast_signed()
    }

    /// Takes the TSval of a segment over that reaches back to the last acknowledgement
    /// (section 4.3).
    pub(super) fn take(&mut self, now: Instant, value: u32) {
        if self
            .recent
            .is_none_or(|(recent, _)| value.wrapping_sub(recent).cast_signed() >= 0)
        {
            self.recent = Some((value, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7323_paws_tolerates_one_tick_as_linux_does() {
        let mut stamps = Stamps::new(7);
        let now = Instant::from_millis(5);
        assert!(!stamps.refuse(now, 0x8000_0000));
        stamps.take(now, 1);
        assert!(!stamps.refuse_any(now, 1) && stamps.refuse_any(now, 0));
        assert!(!stamps.refuse(now, 1) && !stamps.refuse(now, 0) && stamps.refuse(now, u32::MAX));
        stamps.take(now, 0);
        assert_eq!(stamps.echo(), 1);
        assert!(!stamps.refuse(Instant::from_micros(EXPIRY + 5000), u32::MAX));
    }

    #[test]
    fn echoes_of_the_future_have_no_age() {
        let stamps = Stamps::new(u32::MAX);
        let now = Instant::from_micros(12_345);
        assert_eq!(stamps.value(now), 11);
        assert_eq!(stamps.age(now, 1), Some(10_000));
        assert_eq!(stamps.age(now, u32::MAX), Some(12_000));
        assert_eq!(stamps.age(now, 12), None);
        assert_eq!(stamps.age(now, u32::MAX - 1), None, "before it began");
    }
}
