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
