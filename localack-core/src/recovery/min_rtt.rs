//! The shortest round trip of late: what the path takes when nothing queues on it.

use crate::time::Instant;

/// Bits of the round trip; the longest that is believed takes 28.
const RTT_BITS: u32 = 28;
const RTT_MASK: u32 = (1 << RTT_BITS) - 1;
/// Microseconds of a tick of its age, of which sixteen can be told apart.
const TICK_US: u64 = 20_000_000;
/// Ticks for which a minimum holds: routes change, but hardly within five minutes. One that nothing
/// was measured against for longer may look younger than it is.
const LIFE_TICKS: u32 = 15;

/// The shortest round trip seen within the last minutes. Plain old data: microseconds, and above
/// them since when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct MinRtt(u32);

impl MinRtt {
    pub(crate) const EMPTY: Self = Self(0);

    /// Takes in a round trip, in microseconds.
    pub(crate) fn on_sample(&mut self, sample_us: u32, now: Instant) {
        let tick = u32::try_from(now.as_micros() / TICK_US % 16).unwrap_or(0);
        let age = tick.wrapping_sub(self.0 >> RTT_BITS) % 16;
        let is_shorter = self.us().is_none_or(|us| sample_us <= us);
        if is_shorter || age >= LIFE_TICKS {
            self.0 = sample_us.clamp(1, RTT_MASK) | tick << RTT_BITS;
        }
    }

    /// In microseconds; `None` before the first sample.
    pub(crate) const fn us(&self) -> Option<u32> {
        match self.0 & RTT_MASK {
            0 => None,
            us => Some(us),
        }
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

    #[test]
    fn a_minimum_holds_for_five_minutes_whatever_the_time() {
        // The second time is more ticks than 32 bits count, and a multiple of sixteen.
        for base in [0, 320 << 33] {
            for (taken, samples) in [
                (290, [(303, 500), (579, 500), (580, 800)]),
                (100, [(303, 500), (399, 500), (400, 800)]),
                (2, [(30, 500), (299, 500), (303, 800)]),
            ] {
                let mut min = MinRtt::EMPTY;
                min.on_sample(500, Instant::from_millis((base + taken) * 1000));
                for (second, shortest) in samples {
                    min.on_sample(800, Instant::from_millis((base + second) * 1000));
                    assert_eq!(min.us(), Some(shortest), "of {taken} s at {second} s");
                }
            }
        }
    }
}
