//! CUBIC (RFC 9438), in octets: the RFC's windows times the segment size.
//!
//! The age of a stage is added up from one acknowledgement to the next instead of being read off a
//! starting time. So what must not count (idle and application-limited time, RFC 9438 section 5.8)
//! is left out where it happens, and a stage may last for ever: an age that can be counted no
//! further stands for a window beyond every limit.

mod curve;

use super::Ack;
use super::hystart::HyStart;
use super::window::{AFTER_TIMEOUT, CongestionWindow, WINDOW_LIMIT};
use super::words::Words;
use crate::time::Instant;
use curve::Curve;

/// Multiplicative decrease (beta, RFC 9438 section 4.6), in tenths.
const BETA_TENTHS: u64 = 7;
/// What fast convergence leaves of the last window: (1 + beta) / 2, in twentieths (section 4.7).
const CONVERGENCE_TWENTIETHS: u64 = 17;
/// Additive increase of the Reno-friendly window, in seventeenths of a segment per window: alpha =
/// 3 * (1 - beta) / (1 + beta), and then Reno's own (section 4.3).
const ALPHA: u64 = 9;
const ALPHA_RENO: u64 = 17;

/// Words of a [`Stage`], and of what may lie in its place.
pub(super) const STAGE_WORDS: usize = 7;
pub(super) type StageWords = [u32; STAGE_WORDS];

/// What only CUBIC keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cubic {
    stage: Stage,
    /// What the last growth of the window left over, in octets divided by the window.
    growth_rest: u32,
    /// The same of the Reno-friendly window, in eighths of an octet divided by 17 windows.
    estimate_rest: u32,
    /// The stage before the last reduction; before the first one, the rounds of slow start.
    aside: StageWords,
}

/// A stage of congestion avoidance: all that a needless reduction must bring back (RFC 9438
/// section 4.9.2). All zeroes: the initial slow start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stage {
    /// W_max; zero while it is undefined: the window with which the next stage begins.
    w_max: u32,
    /// K, in microseconds.
    k_us: u32,
    /// Time since the stage began, without what does not count, in microseconds.
    age_us: u32,
    /// The time up to which it is counted, in microseconds modulo 2^32.
    counted_us: u32,
    /// W_est, the window that Reno would have.
    w_est: u32,
    /// Window when the threshold was last set (cwnd_prior).
    cwnd_prior: u32,
    flags: u32,
}

/// The stage has begun: the window has grown in congestion avoidance (section 4.2).
const BEGUN: u32 = 1;
/// The initial slow start is over.
const STARTED: u32 = 1 << 1;
/// The stage was set aside by a reduction that may be taken back.
const REDUCED: u32 = 1 << 2;

impl Cubic {
    pub(super) const fn load(words: &Words) -> Self {
        let [
            w_max,
            k_us,
            age_us,
            counted_us,
            w_est,
            cwnd_prior,
            flags,
            growth_rest,
            estimate_rest,
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            ..,
        ] = *words;
        let stage = [w_max, k_us, age_us, counted_us, w_est, cwnd_prior, flags];
        Self {
            stage: Stage::load(stage),
            growth_rest,
            estimate_rest,
            aside: [a, b, c, d, e, f, g],
        }
    }

    pub(super) fn store(self, words: &mut Words) {
        let rests = [self.growth_rest, self.estimate_rest];
        let all = self
            .stage
            .words()
            .into_iter()
            .chain(rests)
            .chain(self.aside);
        for (word, value) in words.iter_mut().zip(all) {
            *word = value;
        }
    }

    /// A segment was handed to a path that had none: the time before is not part of the curve.
    pub(super) fn on_restart(&mut self, now: Instant) {
        self.stage.counted_us = low_micros(now);
    }

    /// Follows the time and the rounds of slow start; for every acknowledgement, also in recovery.
    pub(super) fn on_round(&mut self, window: &mut CongestionWindow, ack: &Ack) {
        self.stage.count(ack);
        if self.stage.has(STARTED) || !window.in_slow_start() {
            return;
        }
        let mut hystart = HyStart::load(self.aside);
        if hystart.on_ack(ack) {
            window.ssthresh = window.cwnd.max(window.segment().saturating_mul(2));
            self.leave_initial_slow_start(window);
        } else {
            self.aside = hystart.words();
        }
    }

    /// Without a loss there is no last window to return to (RFC 9438 section 4.10).
    fn leave_initial_slow_start(&mut self, window: &CongestionWindow) {
        self.stage.flags |= STARTED;
        self.stage.cwnd_prior = window.cwnd;
        self.aside = Stage::load([0; STAGE_WORDS]).words();
    }

    /// Grows the window, which held sending back.
    pub(super) fn on_ack(&mut self, window: &mut CongestionWindow, ack: &Ack) {
        let taken = if window.in_slow_start() {
            self.stage.flags &= !BEGUN;
            let step = self.slow_start_step(window, ack.acked);
            let room = window.ssthresh.saturating_sub(window.cwnd);
            window.grow(step.min(room));
            if step <= room {
                return;
            }
            room
        } else {
            0
        };
        self.avoid(window, ack, ack.acked.saturating_sub(taken));
    }

    /// Octets by which an ACK of `octets` grows the window in slow start. They leave paced, so a
    /// stretch ACK counts in full (RFC 9406 section 4.2), except after a time-out, when it may tell
    /// of what was never lost (RFC 3465 section 2.3).
    fn slow_start_step(&self, window: &CongestionWindow, octets: u32) -> u32 {
        if !self.stage.has(STARTED) {
            HyStart::load(self.aside).growth(octets)
        } else if window.episode == AFTER_TIMEOUT {
            window.slow_start_step(octets)
        } else {
            octets
        }
    }

    /// Congestion avoidance, for an ACK of `octets` (RFC 9438 sections 4.2 to 4.5).
    fn avoid(&mut self, window: &mut CongestionWindow, ack: &Ack, octets: u32) {
        // W_est never passes the window by itself: something else made the window smaller, an idle
        // time or smaller segments.
        if !self.stage.has(BEGUN) || self.stage.w_est > window.cwnd {
            self.begin_stage(window, ack.now);
        }
        // What one ACK acknowledges beyond a window is not saved up.
        let octets = octets.min(window.cwnd);
        self.grow_estimate(window, octets);
        let curve = Curve {
            w_max: self.stage.w_max,
            k_us: self.stage.k_us,
            segment: window.segment(),
        };
        let age_us = u64::from(self.stage.age_us);
        if curve.at(age_us) >= self.stage.w_est {
            let next_us = age_us.saturating_add(ack.srtt_us.unwrap_or(0).into());
            let highest = window.cwnd.saturating_add(window.cwnd >> 1);
            let target = curve.at(next_us).clamp(window.cwnd, highest);
            self.approach(window, target, octets);
        }
        // In the Reno-friendly region, and never behind Reno.
        window.grow(self.stage.w_est.saturating_sub(window.cwnd));
    }

    /// The first growth in congestion avoidance since it was left.
    fn begin_stage(&mut self, window: &CongestionWindow, now: Instant) {
        if !self.stage.has(STARTED) {
            self.leave_initial_slow_start(window);
        }
        let stage = &mut self.stage;
        stage.flags |= BEGUN;
        // Also where W_max is undefined: after a time-out (section 4.8) and without a loss.
        stage.w_max = stage.w_max.max(window.cwnd);
        let missing = stage.w_max.saturating_sub(window.cwnd);
        stage.k_us = curve::k_us(missing, window.segment());
        stage.age_us = 0;
        stage.counted_us = low_micros(now);
        stage.w_est = window.cwnd;
        self.growth_rest = 0;
        self.estimate_rest = 0;
    }

    /// Moves W_est as Reno would move its window: alpha segments per window, until it is as large as
    /// the one that was reduced, and a segment from then on (section 4.3).
    fn grow_estimate(&mut self, window: &CongestionWindow, octets: u32) {
        let alpha = if self.stage.w_est < self.stage.cwnd_prior {
            ALPHA
        } else {
            ALPHA_RENO
        };
        let credit = u64::from(octets)
            .saturating_mul(window.segment().into())
            .saturating_mul(alpha)
            .saturating_add(u64::from(self.estimate_rest) << 3);
        let (whole, rest) = divide(credit, u64::from(window.cwnd).saturating_mul(ALPHA_RENO));
        self.estimate_rest = narrow(rest >> 3);
        self.stage.w_est = self.stage.w_est.saturating_add(whole).min(WINDOW_LIMIT);
    }

    /// Grows the window toward a target that it would reach with a window of acknowledged octets.
    fn approach(&mut self, window: &mut CongestionWindow, target: u32, octets: u32) {
        let credit = u64::from(target.saturating_sub(window.cwnd))
            .saturating_mul(octets.into())
            .saturating_add(self.growth_rest.min(window.cwnd).into());
        let (whole, rest) = divide(credit, window.cwnd.into());
        self.growth_rest = narrow(rest);
        window.grow(whole);
    }

    /// A reduction with `in_flight` octets outstanding: the new slow-start threshold.
    pub(super) fn on_reduction(&mut self, window: &CongestionWindow, in_flight: u32) -> u32 {
        let mut before = self.stage;
        before.flags |= REDUCED;
        self.aside = before.words();
        let stage = &mut self.stage;
        stage.flags = STARTED;
        stage.cwnd_prior = window.cwnd;
        // Fast convergence: a flow that loses before it is back has less of the path than it had,
        // and leaves room for others (section 4.7).
        stage.w_max = if window.cwnd < stage.w_max {
            part(window.cwnd, CONVERGENCE_TWENTIETHS, 20)
        } else {
            window.cwnd
        };
        part(in_flight, BETA_TENTHS, 10)
            .max(window.segment().saturating_mul(2))
            .min(WINDOW_LIMIT)
    }

    /// The same for a time-out, which says nothing of where the path was full: the next stage starts
    /// from its own window (section 4.8).
    pub(super) fn on_timeout(&mut self, window: &CongestionWindow, in_flight: u32) -> u32 {
        let ssthresh = self.on_reduction(window, in_flight);
        self.stage.w_max = 0;
        ssthresh
    }

    /// The last reduction was needless, and the window is what it was (section 4.9).
    pub(super) fn on_spurious(&mut self) {
        let mut before = Stage::load(self.aside);
        if self.stage.has(STARTED) && before.has(REDUCED) {
            before.flags &= !REDUCED;
            *self = Self {
                stage: before,
                growth_rest: 0,
                estimate_rest: 0,
                aside: [0; STAGE_WORDS],
            };
        }
    }
}

impl Stage {
    const fn load(words: StageWords) -> Self {
        let [w_max, k_us, age_us, counted_us, w_est, cwnd_prior, flags] = words;
        Self {
            w_max,
            k_us,
            age_us,
            counted_us,
            w_est,
            cwnd_prior,
            flags,
        }
    }

    const fn words(self) -> StageWords {
        [
            self.w_max,
            self.k_us,
            self.age_us,
            self.counted_us,
            self.w_est,
            self.cwnd_prior,
            self.flags,
        ]
    }

    const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Counts the time since the last acknowledgement if it was the window that held sending back.
    fn count(&mut self, ack: &Ack) {
        let now_us = low_micros(ack.now);
        let passed_us = now_us.wrapping_sub(self.counted_us);
        // A present that runs backwards stands still.
        if ack.cwnd_limited && passed_us < 1 << 31 {
            self.age_us = self.age_us.saturating_add(passed_us);
        }
        self.counted_us = now_us;
    }
}

/// Microseconds modulo 2^32.
fn low_micros(at: Instant) -> u32 {
    narrow(at.as_micros() & u64::from(u32::MAX))
}

/// So many parts of `whole`, where `parts` is at most `of`.
fn part(whole: u32, parts: u64, of: u64) -> u32 {
    let (octets, _) = divide(u64::from(whole).saturating_mul(parts), of);
    octets
}

/// Quotient and remainder; nothing is gained from a window of zero.
fn divide(dividend: u64, divisor: u64) -> (u32, u64) {
    match (dividend.checked_div(divisor), dividend.checked_rem(divisor)) {
        (Some(quotient), Some(rest)) => (narrow(quotient), rest),
        _ => (0, 0),
    }
}

fn narrow(wide: u64) -> u32 {
    u32::try_from(wide).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
