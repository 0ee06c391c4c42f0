//! The end of the initial slow start by growing round trips (HyStart++, RFC 9406).
//!
//! When the shortest round trip of a round exceeds that of the round before, a queue is building:
//! the window grows a quarter as fast for a few rounds (conservative slow start), and then leaves
//! slow start unless the round trips fell again.

use super::Ack;
use super::cubic::StageWords;
use crate::seq::SeqNum;

/// Parameters of RFC 9406 section 4.3, in microseconds where they are times. L is infinite, because
/// segments are paced.
const MIN_RTT_THRESH_US: u32 = 4_000;
const MAX_RTT_THRESH_US: u32 = 16_000;
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u8 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;

/// No round has begun.
const IDLE: u8 = 0;
/// Standard slow start.
const STANDARD: u8 = 1;
/// Conservative slow start; so is any other number.
const CONSERVATIVE: u8 = 2;

/// The rounds of slow start. All zeroes before the first; a round trip of zero is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HyStart {
    /// Shortest round trip of the last round and of this one (lastRoundMinRTT, currentRoundMinRTT).
    last_us: u32,
    current_us: u32,
    /// Shortest round trip when conservative slow start began (cssBaselineMinRtt).
    baseline_us: u32,
    /// The round ends when this is acknowledged (windowEnd).
    end: SeqNum,
    /// Round trips measured in the round (rttSampleCount).
    samples: u8,
    /// Rounds of conservative slow start that have ended.
    css_rounds: u8,
    phase: u8,
}

impl HyStart {
    pub(super) const fn load(words: StageWords) -> Self {
        let [last_us, current_us, baseline_us, end, counts, ..] = words;
        let [samples, css_rounds, phase, _] = counts.to_le_bytes();
        Self {
            last_us,
            current_us,
            baseline_us,
            end: SeqNum::new(end),
            samples,
            css_rounds,
            phase,
        }
    }

    pub(super) const fn words(self) -> StageWords {
        let counts = u32::from_le_bytes([self.samples, self.css_rounds, self.phase, 0]);
        [
            self.last_us,
            self.current_us,
            self.baseline_us,
            self.end.raw(),
            counts,
            0,
            0,
        ]
    }

    /// An acknowledgement in slow start. Answers whether slow start is over.
    pub(super) fn on_ack(&mut self, ack: &Ack) -> bool {
        if self.phase == IDLE {
            self.phase = STANDARD;
            self.end = ack.snd_nxt;
        } else if ack.snd_una.at_or_after(self.end) {
            if self.end_round() {
                return true;
            }
            self.end = ack.snd_nxt;
        }
        if let Some(rtt_us) = ack.rtt_us {
            self.sample(rtt_us.max(1));
        }
        false
    }

    /// Octets by which an ACK of `octets` grows the window.
    pub(super) fn growth(&self, octets: u32) -> u32 {
        if self.phase <= STANDARD {
            octets
        } else {
            octets / CSS_GROWTH_DIVISOR
        }
    }

    /// The round is over; whether slow start is too. The part of a round in which conservative slow
    /// start began counts as a round.
    fn end_round(&mut self) -> bool {
        self.last_us = self.current_us;
        self.current_us = 0;
        self.samples = 0;
        if self.phase <= STANDARD {
            return false;
        }
        self.css_rounds = self.css_rounds.saturating_add(1);
        self.css_rounds >= CSS_ROUNDS
    }

    fn sample(&mut self, rtt_us: u32) {
        self.samples = self.samples.saturating_add(1);
        self.current_us = match self.current_us {
            0 => rtt_us,
            shortest => shortest.min(rtt_us),
        };
        if self.samples < N_RTT_SAMPLE {
            return;
        }
        if self.phase <= STANDARD {
            self.look_for_queue();
        } else if self.current_us < self.baseline_us {
            // The round trips grew for another reason.
            self.phase = STANDARD;
        }
    }

    fn look_for_queue(&mut self) {
        if self.last_us == 0 {
            return;
        }
        let threshold_us =
            (self.last_us / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH_US, MAX_RTT_THRESH_US);
        if self.current_us >= self.last_us.saturating_add(threshold_us) {
            self.phase = CONSERVATIVE;
            self.baseline_us = self.current_us;
            self.css_rounds = 0;
        }
    }
}

#[cfg(test)]
mod tests;
