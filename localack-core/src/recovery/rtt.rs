//! Round-trip time and retransmission time-out (RFC 6298).
//!
//! Integers in microseconds; the averages keep their fractions (eighths and quarters of a
//! microsecond), so that short round trips lose nothing to rounding. Which segments may be timed
//! (Karn's rule, RFC 6298 section 3) is the caller's business.

/// Longest round trip that is believed, in microseconds; a longer one counts as this.
const LONGEST_SAMPLE_US: u32 = 240_000_000;

/// Doublings after which every time-out has reached its upper bound: they fit five bits.
const MOST_DOUBLINGS: u8 = 31;
const DOUBLING_BITS: u32 = 5;
/// Time-outs in a row that are told apart.
const MOST_TIME_OUTS: u8 = 7;

/// Limits of the retransmission time-out, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RtoBounds {
    /// Least time-out (rule H12.1).
    pub(crate) min_us: u32,
    /// Greatest time-out, however often doubled; at least 60 s (RFC 6298 section 2.5).
    pub(crate) max_us: u32,
    /// Time-out before the first sample (RFC 6298 section 2.1).
    pub(crate) initial_us: u32,
    /// Least allowance for variation on top of the smoothed round trip: the G of RFC 6298. Besides
    /// the granularity of the caller's timers it has to cover how long a receiver delays its
    /// acknowledgements, once RTTVAR has decayed on a steady path.
    pub(crate) granularity_us: u32,
}

impl RtoBounds {
    /// Least time-out before the first sample after the handshake lost a SYN (RFC 6298 section 5.7,
    /// rule H7.9), in microseconds.
    pub(crate) const INITIAL_AFTER_SYN_LOSS_US: u32 = 3_000_000;

    /// 200 ms to 60 s, 1 s to begin with, 200 ms for delayed acknowledgements.
    pub(crate) const DEFAULT: Self = Self {
        min_us: 200_000,
        max_us: 60_000_000,
        initial_us: 1_000_000,
        granularity_us: 200_000,
    };
}

/// The estimator of one direction. Plain old data; all zeroes before the first sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct RttEstimator {
    /// SRTT in eighths of a microsecond; zero before the first sample.
    srtt_eighths: u32,
    /// RTTVAR in quarters of a microsecond.
    rttvar_quarters: u32,
}

/// How often the time-out is doubled: once for each time-out since the last sample. Progress alone does
/// not end that: what was sent twice measures nothing, and the time-out may be too short for every
/// segment to come (Karn's algorithm, RFC 6298 section 5). Above the doublings: time-outs since the last
/// progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Backoff(u8);

impl Backoff {
    /// The time-out is as it was computed.
    pub(crate) const NONE: Self = Self(0);

    /// How often the time-out is doubled.
    pub(crate) const fn doublings(self) -> u8 {
        self.0 & MOST_DOUBLINGS
    }

    /// Time-outs since the last progress, as far as they are told apart.
    pub(crate) const fn time_outs(self) -> u8 {
        self.0 >> DOUBLING_BITS
    }

    /// Whether the timer has expired so often in a row that the path or its end must be in trouble.
    pub(crate) const fn is_high(self) -> bool {
        self.doublings() >= 4
    }

    /// The retransmission timer expired: doubles the time-out (RFC 6298 section 5.5).
    pub(crate) fn double(&mut self) {
        let time_outs = self.time_outs().saturating_add(1).min(MOST_TIME_OUTS);
        let doublings = self.doublings().saturating_add(1).min(MOST_DOUBLINGS);
        self.0 = time_outs << DOUBLING_BITS | doublings;
    }

    /// Something was acknowledged.
    pub(crate) const fn note_progress(&mut self) {
        self.0 = self.doublings();
    }
}

impl RttEstimator {
    /// Nothing measured yet.
    pub(crate) const EMPTY: Self = Self {
        srtt_eighths: 0,
        rttvar_quarters: 0,
    };

    /// Smoothed round-trip time in microseconds; `None` before the first sample.
    pub(crate) const fn srtt_us(&self) -> Option<u32> {
        if self.srtt_eighths == 0 {
            None
        } else {
            Some(self.srtt_eighths >> 3)
        }
    }

    /// Takes in the round trip of a segment that was sent once (RFC 6298 sections 2.2, 2.3, 3).
    pub(crate) fn on_sample(&mut self, sample_us: u32) {
        // Zero would read as "no sample".
        let sample_us = sample_us.clamp(1, LONGEST_SAMPLE_US);
        if self.srtt_eighths == 0 {
            // SRTT <- R, RTTVAR <- R/2.
            self.srtt_eighths = sample_us << 3;
            self.rttvar_quarters = sample_us << 1;
            return;
        }
        // RTTVAR <- 3/4 RTTVAR + 1/4 |SRTT - R'|, with the SRTT from before this sample.
        let deviation_us = (self.srtt_eighths >> 3).abs_diff(sample_us);
        let kept = self
            .rttvar_quarters
            .saturating_sub(self.rttvar_quarters >> 2);
        self.rttvar_quarters = kept.saturating_add(deviation_us);
        // SRTT <- 7/8 SRTT + 1/8 R'.
        let kept = self.srtt_eighths.saturating_sub(self.srtt_eighths >> 3);
        self.srtt_eighths = kept.saturating_add(sample_us);
    }

    /// The retransmission time-out after so many doublings, in microseconds.
    pub(crate) fn rto(&self, bounds: &RtoBounds, backoff: Backoff) -> u32 {
        let base = match self.srtt_us() {
            Some(srtt_us) => {
                srtt_us.saturating_add(self.rttvar_quarters.max(bounds.granularity_us))
            }
            None => bounds.initial_us,
        };
        let doubled = u64::from(base.max(bounds.min_us)) << backoff.doublings();
        u32::try_from(doubled)
            .unwrap_or(u32::MAX)
            .min(bounds.max_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl RttEstimator {
        fn rttvar_us(&self) -> u32 {
            self.rttvar_quarters >> 2
        }
    }

    /// The RFC's formula and nothing else: no floor above one millisecond.
    const PLAIN: RtoBounds = RtoBounds {
        min_us: 1,
        max_us: 60_000_000,
        initial_us: 1_000_000,
        granularity_us: 1_000,
    };

    #[test]
    fn rfc6298_2_1_the_first_time_out_is_one_second() {
        assert_eq!(
            RttEstimator::EMPTY.rto(&RtoBounds::DEFAULT, Backoff::NONE),
            1_000_000
        );
        assert_eq!(RttEstimator::EMPTY.srtt_us(), None);
    }

    #[test]
    fn rfc6298_2_2_the_first_sample_sets_srtt_and_half_of_it_rttvar() {
        let mut rtt = RttEstimator::EMPTY;
        rtt.on_sample(600_000);
        assert_eq!((rtt.srtt_us(), rtt.rttvar_us()), (Some(600_000), 300_000));
        // 600 ms + 4 * 300 ms.
        assert_eq!(rtt.rto(&PLAIN, Backoff::NONE), 1_800_000);
        assert_eq!(rtt.rto(&RtoBounds::DEFAULT, Backoff::NONE), 1_800_000);
    }

    #[test]
    fn rfc6298_2_3_later_samples_are_smoothed() {
        let mut rtt = RttEstimator::EMPTY;
        rtt.on_sample(100_000);
        rtt.on_sample(180_000);
        // RTTVAR = 3/4 * 50 + 1/4 * |100 - 180| = 57.5 ms; SRTT = 7/8 * 100 + 1/8 * 180 = 110 ms.
        assert_eq!((rtt.srtt_us(), rtt.rttvar_us()), (Some(110_000), 57_500));
        assert_eq!(rtt.rto(&PLAIN, Backoff::NONE), 340_000);
        rtt.on_sample(30_000);
        // RTTVAR = 3/4 * 57.5 + 1/4 * 80 = 63.125 ms; SRTT = 7/8 * 110 + 1/8 * 30 = 100 ms.
        assert_eq!((rtt.srtt_us(), rtt.rttvar_us()), (Some(100_000), 63_125));
        assert_eq!(rtt.rto(&PLAIN, Backoff::NONE), 352_500);
    }

    #[test]
    fn rfc6298_2_3_the_variance_term_is_at_least_the_granularity() {
        let mut rtt = RttEstimator::EMPTY;
        for _ in 0..100 {
            rtt.on_sample(600_000);
        }
        assert_eq!(rtt.srtt_us(), Some(600_000));
        assert_eq!(rtt.rto(&PLAIN, Backoff::NONE), 601_000);
        assert_eq!(rtt.rto(&RtoBounds::DEFAULT, Backoff::NONE), 800_000);
    }

    #[test]
    fn rfc6298_2_4_and_2_5_the_time_out_has_bounds() {
        let mut rtt = RttEstimator::EMPTY;
        rtt.on_sample(50);
        let eager = RtoBounds {
            granularity_us: 1_000,
            ..RtoBounds::DEFAULT
        };
        assert_eq!(rtt.rto(&eager, Backoff::NONE), 200_000);
        rtt.on_sample(u32::MAX);
        assert_eq!(rtt.rto(&RtoBounds::DEFAULT, Backoff::NONE), 60_000_000);
    }

    #[test]
    fn rfc6298_5_5_each_time_out_doubles_up_to_the_bound() {
        let (rtt, mut backoff) = (RttEstimator::EMPTY, Backoff::NONE);
        let mut seen = std::vec![rtt.rto(&RtoBounds::DEFAULT, backoff)];
        for _ in 0..7 {
            backoff.double();
            seen.push(rtt.rto(&RtoBounds::DEFAULT, backoff));
        }
        let seconds = [1, 2, 4, 8, 16, 32, 60, 60];
        assert_eq!(seen, seconds.map(|s| s * 1_000_000));
        for _ in 0..1000 {
            backoff.double();
        }
        assert_eq!(rtt.rto(&RtoBounds::DEFAULT, backoff), 60_000_000);
        assert_eq!((backoff.time_outs(), backoff.doublings()), (7, 31));
        backoff.note_progress();
        assert_eq!((backoff.time_outs(), backoff.doublings()), (0, 31));
        backoff.double();
        assert_eq!((backoff.time_outs(), backoff.doublings()), (1, 31));
    }

    #[test]
    fn four_time_outs_without_an_answer_are_trouble() {
        let mut backoff = Backoff::NONE;
        for time_outs in 0..10 {
            assert_eq!(backoff.is_high(), time_outs >= 4, "{time_outs} time-outs");
            backoff.double();
        }
    }

    #[test]
    fn rfc6298_5_7_a_sample_counts_for_more_than_the_first_time_out() {
        let mut rtt = RttEstimator::EMPTY;
        let patient = RtoBounds {
            initial_us: RtoBounds::INITIAL_AFTER_SYN_LOSS_US,
            ..RtoBounds::DEFAULT
        };
        assert_eq!(rtt.rto(&patient, Backoff::NONE), 3_000_000);
        rtt.on_sample(100_000);
        assert_eq!(rtt.rto(&patient, Backoff::NONE), 300_000);
    }

    #[test]
    fn a_steady_path_is_measured_exactly() {
        for first in [1, 2_000_000] {
            let mut rtt = RttEstimator::EMPTY;
            rtt.on_sample(first);
            for _ in 0..300 {
                rtt.on_sample(617_123);
            }
            assert_eq!((rtt.srtt_us(), rtt.rttvar_us()), (Some(617_123), 0));
        }
    }

    #[test]
    fn a_round_trip_of_zero_is_a_sample() {
        let mut rtt = RttEstimator::EMPTY;
        rtt.on_sample(0);
        assert_eq!(rtt.srtt_us(), Some(1));
    }

    proptest! {
        #[test]
        fn the_estimate_stays_among_the_samples(samples in prop::collection::vec(1u32..=LONGEST_SAMPLE_US, 1..100)) {
            let mut rtt = RttEstimator::EMPTY;
            for &sample in &samples {
                rtt.on_sample(sample);
            }
            let (low, high) = (*samples.iter().min().unwrap(), *samples.iter().max().unwrap());
            let srtt = rtt.srtt_us().unwrap();
            prop_assert!(low <= srtt && srtt <= high);
            let rto = rtt.rto(&RtoBounds::DEFAULT, Backoff::NONE);
            prop_assert!((200_000..=60_000_000).contains(&rto));
            prop_assert!(rto >= srtt.min(60_000_000));
        }
    }
}
