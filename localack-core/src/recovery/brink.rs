//! Whether what a path loses is what its queue has no room for: such a queue loses nothing before it is
//! full, and it is as long each time it is. What a link loses it loses behind queues of any length.

use crate::time::Instant;

/// Bits of a queue in microseconds; the longest that is told from longer ones takes 16 s.
const QUEUE_BITS: u32 = 24;
const QUEUE_MASK: u32 = (1 << QUEUE_BITS) - 1;
const LOSSES_MASK: u32 = 0xf;
const TICK_SHIFT: u32 = 28;
/// Microseconds of a tick of its age, of which sixteen can be told apart.
const TICK_US: u64 = 4_000_000;
/// Ticks for which a length holds at which nothing was lost any more: routes change. A sender that has
/// slowed down because of it is back before that, on all but the longest paths.
const LIFE_TICKS: u32 = 10;
/// Losses at one length after which it is that of a full queue. Where the link loses, the queue of a sender
/// that hears of none of them has become longer until then.
const LOSSES: u32 = 8;
/// The first queue is taken for full at once if it is so long, and three quarters as long as the path.
const LONG_US: u32 = 50_000;
/// A queue of so many microseconds is none.
const LEAST_US: u32 = 1_000;

/// The longest queue of late that stood when something was lost behind it. Plain old data: its length in
/// microseconds, how many losses there were at that length, and the time of the latest of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Brink(u32);

impl Brink {
    /// Nothing was lost yet.
    #[cfg(test)]
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) const fn from_word(word: u32) -> Self {
        Self(word)
    }

    pub(crate) const fn to_word(self) -> u32 {
        self.0
    }

    /// Something was lost while a queue of so many microseconds stood before a path whose shortest round trip
    /// takes `path_us`: whether the queue is taken for full.
    pub(crate) fn on_loss(&mut self, queue_us: u32, path_us: u32, now: Instant) -> bool {
        if queue_us < LEAST_US {
            return false;
        }
        let (longest, losses) = (self.0 & QUEUE_MASK, self.0 >> QUEUE_BITS & LOSSES_MASK);
        let tick = u32::try_from(now.as_micros() / TICK_US % 16).unwrap_or(0);
        let age = tick.wrapping_sub(self.0 >> TICK_SHIFT) % 16;
        // Where the queue was longer, it was not full before; a packet more or less tells nothing.
        let is_longer = queue_us > longest.saturating_add(longest / 16);
        if is_longer || age >= LIFE_TICKS {
            let is_long =
                longest == 0 && queue_us >= LONG_US.max(path_us.saturating_sub(path_us / 4));
            let counted = if is_long { LOSSES } else { 0 };
            self.0 = queue_us.min(QUEUE_MASK) | counted << QUEUE_BITS | tick << TICK_SHIFT;
            return is_long;
        }
        if queue_us < longest.saturating_sub(longest / 8) {
            return false;
        }
        let counted = losses.saturating_add(1).min(LOSSES);
        self.0 = longest | counted << QUEUE_BITS | tick << TICK_SHIFT;
        losses >= LOSSES
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const PATH_US: u32 = 1_000_000;

    fn losses(brink: &mut Brink, queue_us: u32, second: u64) -> u32 {
        let now = Instant::ZERO.after(Duration::from_secs(second));
        (0..20)
            .map(|_| u32::from(brink.on_loss(queue_us, PATH_US, now)))
            .sum()
    }

    #[test]
    fn a_queue_that_is_as_long_at_each_loss_is_full() {
        let mut brink = Brink::EMPTY;
        assert_eq!(losses(&mut brink, 60_000, 1), 11);
        // A packet less, and after the sender has slowed down.
        assert_eq!(losses(&mut brink, 58_000, 20), 20);
        assert_eq!(losses(&mut brink, 30_000, 21), 0);
        assert_eq!(losses(&mut brink, 61_000, 40), 20);
    }

    #[test]
    fn a_queue_that_was_longer_was_not_full() {
        let mut brink = Brink::EMPTY;
        assert_eq!(losses(&mut brink, 20_000, 1), 11);
        let now = Instant::from_millis(1000);
        for queue_us in [22_000, 24_000, 26_000, 28_000, 30_000] {
            assert!(!brink.on_loss(queue_us, PATH_US, now));
        }
        assert_eq!(losses(&mut brink, 22_000, 2), 0);
        assert_eq!(losses(&mut brink, 30_000, 2), 12);
    }

    #[test]
    fn what_was_known_of_another_route_is_forgotten() {
        let mut brink = Brink::EMPTY;
        assert_eq!(losses(&mut brink, 500_000, 1), 11);
        assert_eq!(losses(&mut brink, 10_000, 30), 0);
        assert_eq!(losses(&mut brink, 10_000, 41), 11);
    }

    #[test]
    fn the_first_queue_as_long_as_its_path_is_full() {
        let now = Instant::from_millis(1000);
        for (queue_us, path_us, is_full) in [
            (150_000, 150_000, true),
            (112_500, 150_000, true),
            (112_000, 150_000, false),
            (50_000, 5_000, true),
            (49_999, 5_000, false),
        ] {
            let mut brink = Brink::EMPTY;
            assert_eq!(brink.on_loss(queue_us, path_us, now), is_full);
            assert_eq!(brink.on_loss(queue_us, path_us, now), is_full);
            assert!(!brink.on_loss(queue_us / 2, path_us, now));
        }
    }

    #[test]
    fn no_queue_is_never_full_and_the_longest_counts_as_16_s() {
        let mut brink = Brink::EMPTY;
        assert_eq!(losses(&mut brink, 999, 1), 0);
        assert_eq!(losses(&mut brink, 1_000, 1), 11);
        assert_eq!(losses(&mut brink, u32::MAX, 1), 0);
        assert_eq!(losses(&mut brink, QUEUE_MASK, 1), 12);
    }

    #[test]
    fn another_route_is_told_whatever_the_time() {
        // More ticks than 32 bits count, and a multiple of sixteen.
        let long_ago = 1_u64 << 42;
        let mut brink = Brink::EMPTY;
        assert_eq!(losses(&mut brink, 500_000, long_ago + 1), 11);
        assert_eq!(losses(&mut brink, 10_000, long_ago + 30), 0);
        assert_eq!(losses(&mut brink, 10_000, long_ago + 41), 11);
    }

    #[test]
    fn a_queue_is_the_same_from_an_eighth_below_to_a_sixteenth_above() {
        let now = Instant::from_millis(1000);
        for (queue_us, is_full) in [
            (13_999, false),
            (14_000, true),
            (16_000, true),
            (17_000, true),
            (17_001, false),
        ] {
            let mut brink = Brink::EMPTY;
            for _ in 0..9 {
                assert!(!brink.on_loss(16_000, PATH_US, now));
            }
            let answer = brink.on_loss(queue_us, PATH_US, now);
            assert_eq!(answer, is_full, "{queue_us} us");
        }
    }

    #[test]
    fn what_was_kept_as_a_word_goes_on() {
        let mut brink = Brink::EMPTY;
        assert_eq!(losses(&mut brink, 60_000, 1), 11);
        let mut kept = Brink::from_word(brink.to_word());
        assert_eq!(kept, brink);
        assert_eq!(losses(&mut kept, 60_000, 2), 20);
    }
}
