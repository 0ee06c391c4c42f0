//! HyStart as Linux's CUBIC has it: slow start ends when acknowledgements that follow each other
//! closely fill half a round trip, or when round trips grow (Ha and Rhee, 2011).

use localack_core::Instant;

use super::super::clock::{MILLISECOND, since};
use super::Growth;

/// Below this window nothing is judged (`hystart_low_window`).
const LOW_WINDOW: u32 = 16;
/// Acknowledgements this near to each other are of one train (`hystart_ack_delta_us`).
const TRAIN_GAP: u64 = 2 * MILLISECOND;
/// Round trips are judged by so many samples (`HYSTART_MIN_SAMPLES`).
const SAMPLES: u32 = 8;
/// By how much they must grow at least and at most (`HYSTART_DELAY_THRESH`).
const LEAST_DELAY: u64 = 4 * MILLISECOND;
const MOST_DELAY: u64 = 16 * MILLISECOND;
/// What the sender's own queueing may add to a train (`hystart_ack_delay`), at most.
const OWN_DELAY: u64 = MILLISECOND;

/// State of one slow start.
#[derive(Clone, Debug, Default)]
pub(super) struct Classic {
    paced: bool,
    /// The round ends when this is acknowledged.
    round_end: u64,
    round_start: Option<Instant>,
    last_ack: Option<Instant>,
    samples: u32,
    /// The shortest round trips: of this round's first samples, and of all.
    current: Option<u64>,
    least: Option<u64>,
}

impl Classic {
    pub(super) fn new(paced: bool) -> Self {
        Self {
            paced,
            ..Self::default()
        }
    }

    /// Takes a sample; true when slow start should end with a window of `cwnd` segments.
    pub(super) fn ends_slow_start(&mut self, growth: &Growth, cwnd: u32) -> bool {
        let Some(sample) = growth.sample else {
            return false;
        };
        let least = self.least.map_or(sample, |least| least.min(sample));
        self.least = Some(least);
        if growth.una > self.round_end || self.round_start.is_none() {
            self.round_end = growth.nxt;
            self.round_start = Some(growth.now);
            self.last_ack = Some(growth.now);
            self.samples = 0;
            self.current = None;
        }
        if cwnd < LOW_WINDOW {
            return false;
        }
        self.train_is_long(growth.now, least) || self.is_delayed(sample, least)
    }

    fn train_is_long(&mut self, now: Instant, least: u64) -> bool {
        let (Some(start), Some(last)) = (self.round_start, self.last_ack) else {
            return false;
        };
        if since(now, last) > TRAIN_GAP {
            return false;
        }
        self.last_ack = Some(now);
        let whole = least + OWN_DELAY;
        let limit = if self.paced { whole } else { whole / 2 };
        since(now, start) > limit
    }

    fn is_delayed(&mut self, sample: u64, least: u64) -> bool {
        let current = self.current.map_or(sample, |current| current.min(sample));
        self.current = Some(current);
        if self.samples < SAMPLES {
            self.samples += 1;
            return false;
        }
        current > least + (least / 8).clamp(LEAST_DELAY, MOST_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round of `acks` acknowledgements, `gap` microseconds apart, of round trips of `rtt`.
    fn round(
        classic: &mut Classic,
        number: u64,
        (acks, gap, rtt): (u64, u64, u64),
        cwnd: u32,
    ) -> Option<u64> {
        let (first, next) = (number * 1000, number * 1000 + 1000);
        (1..=acks).find(|ack| {
            let growth = Growth {
                now: Instant::from_micros(number * 10_000_000 + ack * gap),
                delivered: 2,
                srtt: rtt,
                sample: Some(rtt),
                una: first + ack,
                nxt: next,
            };
            classic.ends_slow_start(&growth, cwnd)
        })
    }

    #[test]
    fn a_train_of_half_a_round_trip_ends_slow_start() {
        let mut classic = Classic::new(false);
        assert_eq!(round(&mut classic, 1, (40, 1000, 100_000), 100), None);
        // 50.5 ms after the first acknowledgement.
        assert_eq!(round(&mut classic, 2, (99, 1000, 100_000), 100), Some(52));
        let mut paced = Classic::new(true);
        assert_eq!(round(&mut paced, 1, (99, 1000, 100_000), 100), None);
        let mut sparse = Classic::new(false);
        assert_eq!(round(&mut sparse, 1, (99, 2001, 100_000), 100), None);
    }

    #[test]
    fn longer_round_trips_end_it_after_eight_samples() {
        let mut classic = Classic::new(true);
        assert_eq!(round(&mut classic, 1, (20, 10, 80_000), 100), None);
        assert_eq!(round(&mut classic, 2, (20, 10, 90_000), 100), None);
        assert_eq!(round(&mut classic, 3, (20, 10, 90_001), 100), Some(9));
    }

    #[test]
    fn small_windows_are_left_alone() {
        let mut classic = Classic::new(false);
        assert_eq!(round(&mut classic, 1, (20, 10, 80_000), 15), None);
        assert_eq!(round(&mut classic, 2, (90, 1000, 300_000), 15), None);
    }
}
