//! HyStart++ (RFC 9406): slow start ends when round trips grow.

use super::super::clock::MILLISECOND;
use super::Growth;

/// Section 4.3.
const MIN_RTT_THRESH: u64 = 4 * MILLISECOND;
const MAX_RTT_THRESH: u64 = 16 * MILLISECOND;
const RTT_SAMPLES: u32 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u32 = 5;
/// Most segments that one acknowledgement counts for when sending is not paced.
const LIMIT: u32 = 8;

/// State of one slow start.
#[derive(Clone, Debug)]
pub(super) struct HyStart {
    paced: bool,
    /// The round ends when this is acknowledged.
    round_end: u64,
    last_round: Option<u64>,
    this_round: Option<u64>,
    samples: u32,
    /// In conservative slow start: its rounds so far, and the round trip that caused it.
    conservative: Option<(u32, u64)>,
}

impl HyStart {
    pub(super) const fn new(paced: bool) -> Self {
        Self {
            paced,
            round_end: 0,
            last_round: None,
            this_round: None,
            samples: 0,
            conservative: None,
        }
    }

    /// By what growth is divided now.
    pub(super) const fn divisor(&self) -> u32 {
        if self.conservative.is_some() {
            CSS_GROWTH_DIVISOR
        } else {
            1
        }
    }

    /// The most segments that an acknowledgement counts for (section 4.2).
    pub(super) const fn limit(&self) -> u32 {
        if self.paced { u32::MAX } else { LIMIT }
    }

    /// Takes a sample; true when congestion avoidance should begin.
    pub(super) fn ends_slow_start(&mut self, growth: &Growth) -> bool {
        if growth.una > self.round_end {
            self.round_end = growth.nxt;
            self.last_round = self.this_round.take();
            self.samples = 0;
            if let Some((rounds, _)) = &mut self.conservative {
                *rounds += 1;
                if *rounds >= CSS_ROUNDS {
                    return true;
                }
            }
        }
        if let Some(sample) = growth.sample {
            self.samples += 1;
            let least = self.this_round.map_or(sample, |least| least.min(sample));
            self.this_round = Some(least);
        }
        let (Some(this), Some(last)) = (self.this_round, self.last_round) else {
            return false;
        };
        if self.samples < RTT_SAMPLES {
            return false;
        }
        match self.conservative {
            None => {
                let threshold = (last / 8).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if this >= last + threshold {
                    self.conservative = Some((0, this));
                }
            }
            Some((_, baseline)) if this < baseline => self.conservative = None,
            Some(_) => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use localack_core::Instant;

    use super::*;

    /// A round trip of `segments` samples of `rtt`; true when slow start is over.
    fn round(hystart: &mut HyStart, number: u64, segments: u64, rtt: u64) -> bool {
        let (first, next) = (number * 1000, number * 1000 + 1000);
        (1..=segments).any(|segment| {
            hystart.ends_slow_start(&Growth {
                now: Instant::ZERO,
                delivered: 1,
                srtt: rtt,
                sample: Some(rtt),
                una: first + segment,
                nxt: next,
            })
        })
    }

    #[test]
    fn rfc9406_4_3_longer_round_trips_end_slow_start_after_five_rounds() {
        let mut hystart = HyStart::new(true);
        assert!(!round(&mut hystart, 1, 10, 50_000) && !round(&mut hystart, 2, 20, 56_000));
        assert_eq!(hystart.divisor(), 1, "below an eighth of the round trip");
        assert!(!round(&mut hystart, 3, 20, 63_000));
        assert_eq!(hystart.divisor(), 4);
        for number in 4..8 {
            assert!(!round(&mut hystart, number, 20, 64_000));
        }
        assert!(round(&mut hystart, 8, 20, 64_000));
    }

    #[test]
    fn rfc9406_4_3_shorter_round_trips_resume_slow_start() {
        let mut hystart = HyStart::new(true);
        round(&mut hystart, 1, 10, 50_000);
        round(&mut hystart, 2, 7, 90_000);
        assert_eq!(hystart.divisor(), 1, "on fewer than eight samples");
        round(&mut hystart, 3, 10, 120_000);
        assert_eq!(hystart.divisor(), 4);
        round(&mut hystart, 4, 10, 60_000);
        assert_eq!(hystart.divisor(), 1);
        assert_eq!(
            (HyStart::new(true).limit(), HyStart::new(false).limit()),
            (u32::MAX, 8)
        );
    }
}
