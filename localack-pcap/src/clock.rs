//! Virtual time from a capture's time stamps.
//!
//! Time stamps may come from several clocks, jump by decades, or run backwards. Virtual time
//! never runs backwards and never leaps: a step that no silence explains is taken for a clock
//! that was set, and time goes on from where it was.

use core::time::Duration;
use std::collections::BTreeMap;

use localack_core::Instant;

/// A forward step above this is a clock that was set, not a silence.
const LONGEST_SILENCE: i128 = 24 * 3600 * 1_000_000_000;
/// A backward step up to this is packets recorded out of order.
const DISORDER: i128 = 10 * 1_000_000_000;
/// Virtual time begins here, so that it has room for every "before".
const START: i128 = 1_000_000_000;

/// The clock of a replay.
#[derive(Debug, Default)]
pub struct Clock {
    now: i128,
    /// For each of the capture's clocks, what to add to its time stamps.
    offsets: BTreeMap<u32, i128>,
    latest_offset: Option<i128>,
    /// The first time stamp in the file.
    origin: Option<i128>,
    first: Option<i128>,
    last: Option<i128>,
    jumps: u64,
}

impl Clock {
    /// A clock that has seen no time stamp.
    #[must_use]
    pub fn new() -> Self {
        Self {
            now: START,
            ..Self::default()
        }
    }

    /// Takes the time stamp of the next packet, in nanoseconds, and returns virtual time.
    ///
    /// A packet without a time stamp arrives when the one before it did.
    pub fn tick(&mut self, clock: u32, time: Option<i128>) -> Instant {
        if let Some(time) = time {
            self.origin = self.origin.or(Some(time));
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = Some(self.last.map_or(time, |last| last.max(time)));
            self.advance(clock, time);
        }
        self.now()
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.now / 1000).unwrap_or(u64::MAX))
    }

    /// What a calendar would show at a point of virtual time: it agrees with the first time stamp.
    ///
    /// Counted from the capture's epoch; from zero if the first time stamp makes no sense there.
    #[must_use]
    pub fn calendar(&self, at: Instant) -> Duration {
        /// The end of what 64 bits of nanoseconds can say.
        const END: i128 = i64::MAX as i128;
        let origin = self
            .origin
            .filter(|origin| (0..END).contains(origin))
            .unwrap_or(0);
        let nanoseconds = origin + i128::from(at.as_micros()) * 1000 - START;
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
    }

    /// From the earliest to the latest time stamp, in microseconds.
    #[must_use]
    pub fn duration_us(&self) -> u64 {
        let span = self
            .last
            .zip(self.first)
            .map_or(0, |(last, first)| last - first);
        u64::try_from(span / 1000).unwrap_or(u64::MAX)
    }

    /// How often a clock was found to have been set.
    #[must_use]
    pub const fn jumps(&self) -> u64 {
        self.jumps
    }

    fn advance(&mut self, clock: u32, time: i128) {
        let anchor = self.now - time;
        // A clock not seen before is believed to agree with the one that was read last.
        let known = self.offsets.get(&clock).copied().or(self.latest_offset);
        let offset = match known {
            None => anchor,
            Some(offset) => {
                let step = time + offset - self.now;
                if !(-DISORDER..=LONGEST_SILENCE).contains(&step) {
                    self.jumps += 1;
                    anchor
                } else {
                    offset
                }
            }
        };
        self.offsets.insert(clock, offset);
        self.latest_offset = Some(offset);
        self.now = self.now.max(time + offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i128 = 1_000_000_000;

    fn ticks(clock: &mut Clock, stamps: &[(u32, i128)]) -> Vec<u64> {
        stamps
            .iter()
            .map(|&(id, time)| clock.tick(id, Some(time)).as_micros() / 1_000_000)
            .collect()
    }

    #[test]
    fn time_between_packets_is_kept() {
        let mut clock = Clock::new();
        assert_eq!(
            ticks(
                &mut clock,
                &[(0, 50 * SECOND), (0, 53 * SECOND), (0, 4000 * SECOND)]
            ),
            [1, 4, 3951]
        );
        assert_eq!((clock.duration_us(), clock.jumps()), (3_950_000_000, 0));
    }

    #[test]
    fn a_leap_of_decades_and_back_is_standing_still() {
        let decades = 46 * 366 * 24 * 3600 * SECOND;
        let mut clock = Clock::new();
        assert_eq!(
            ticks(
                &mut clock,
                &[(0, SECOND), (0, decades), (0, 2 * SECOND), (0, 5 * SECOND)]
            ),
            [1, 1, 1, 4]
        );
        assert_eq!(clock.jumps(), 2);
    }

    #[test]
    fn clocks_that_disagree_run_side_by_side() {
        let far = i128::from(u64::MAX) * 1000;
        let mut clock = Clock::new();
        let stamps = [
            (0, SECOND),
            (1, far),
            (0, 2 * SECOND),
            (1, far + 2 * SECOND),
            (0, 4 * SECOND),
        ];
        assert_eq!(ticks(&mut clock, &stamps), [1, 1, 2, 3, 4]);
        assert_eq!(clock.jumps(), 1);
    }

    #[test]
    fn packets_out_of_order_do_not_turn_time_back() {
        let mut clock = Clock::new();
        assert_eq!(
            ticks(
                &mut clock,
                &[(0, 9 * SECOND), (0, 8 * SECOND), (0, 10 * SECOND)]
            ),
            [1, 1, 2]
        );
        assert_eq!((clock.jumps(), clock.duration_us()), (0, 2_000_000));
    }

    #[test]
    fn the_calendar_agrees_with_the_first_stamp() {
        let mut clock = Clock::new();
        assert_eq!(clock.calendar(clock.now()), Duration::ZERO);
        clock.tick(0, Some(1_700_000_000 * SECOND));
        let later = clock.tick(0, Some(1_700_000_002 * SECOND));
        assert_eq!(clock.calendar(later), Duration::from_secs(1_700_000_002));
        let mut clock = Clock::new();
        let first = clock.tick(0, Some(i128::from(u64::MAX) * 1000));
        assert_eq!(clock.calendar(first), Duration::ZERO);
    }

    #[test]
    fn a_packet_without_a_stamp_arrives_with_the_one_before_it() {
        let mut clock = Clock::new();
        let first = clock.tick(0, Some(7 * SECOND));
        assert_eq!(clock.tick(0, None), first);
        assert_eq!(Clock::new().duration_us(), 0);
    }
}
