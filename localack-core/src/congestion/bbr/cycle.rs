//! `ProbeBW`: a cycle of slowing down, cruising, filling the pipe and trying for more.

use super::control::UP_PACING_GAIN;
use super::{Bbr, CongestionWindow, News, Phase, UNBOUNDED, percent};
use crate::congestion::Ack;
use crate::congestion::window::WINDOW_LIMIT;
use crate::time::{Instant, Moment};

/// The shortest wait for the next probe and how much longer it may be, in milliseconds.
const PROBE_WAIT_MS: u16 = 2000;
pub(super) const PROBE_WAIT_SPREAD_MS: u16 = 1000;
/// Rounds after which the next probe comes at the latest, so that Reno and CUBIC flows find a window
/// of this many segments (25 Mbit/s at 30 ms) between probes and no more is lost than can be regained.
const RENO_ROUNDS: u32 = 63;
/// The long-term bound grows by at most two to the power of this many segments in a round.
const MOST_UP_ROUNDS: u8 = 30;

impl Bbr {
    /// `StartProbeBW_DOWN`.
    pub(super) fn start_probe_bw_down(&mut self, now: Instant) {
        self.reset_congestion_signals();
        self.probe_up_acked_per_inc = UNBOUNDED;
        self.pick_probe_wait(now);
        self.phase_at = Moment::at(now);
        self.probe_stopping = true;
        self.start_round();
        self.phase = Phase::Down;
    }

    /// `StartProbeBW_CRUISE`.
    pub(super) const fn start_probe_bw_cruise(&mut self) {
        self.phase = Phase::Cruise;
    }

    /// `StartProbeBW_REFILL`: the short-term model is forgotten.
    pub(super) const fn start_probe_bw_refill(&mut self) {
        self.reset_short_term_model();
        self.bw_probe_up_rounds = 0;
        self.bw_probe_up_acked = 0;
        self.prev_probe_precautionary = false;
        self.probe_stopping = false;
        self.start_round();
        self.phase = Phase::Refill;
    }

    /// `StartProbeBW_UP`.
    fn start_probe_bw_up(&mut self, window: &CongestionWindow, news: News) {
        self.is_bw_probe_sample = true;
        self.probe_stopping = false;
        self.start_round();
        self.reset_full_bw(news.rate);
        self.phase = Phase::Up;
        self.phase_rounds = 0;
        self.probe_began_clear = !self.is_queue_seen();
        self.raise_inflight_longterm_slope(window);
    }

    /// `UpdateProbeBWCyclePhase`.
    pub(super) fn update_probe_bw_cycle_phase(
        &mut self,
        window: &CongestionWindow,
        ack: &Ack,
        news: News,
    ) {
        if !self.full_bw_reached || self.adapt_long_term_model(window, ack, news) {
            return;
        }
        match self.phase {
            Phase::Down | Phase::Cruise => {
                if self.is_time_to_probe_bw(window, ack.now) {
                    self.start_probe_bw_refill();
                } else if self.phase == Phase::Down && self.is_time_to_cruise(window, ack) {
                    self.start_probe_bw_cruise();
                }
            }
            Phase::Refill => {
                if news.round_start {
                    self.start_probe_bw_up(window, news);
                }
            }
            Phase::Up => {
                if self.is_time_to_go_down(window, ack, news) {
                    self.prev_probe_too_high = false;
                    self.start_probe_bw_down(ack.now);
                }
            }
            Phase::Startup | Phase::Drain | Phase::ProbeRtt => {}
        }
    }

    /// `AdaptLongTermModel`; whether it decided where to go.
    fn adapt_long_term_model(&mut self, window: &CongestionWindow, ack: &Ack, news: News) -> bool {
        if self.probe_stopping && news.round_start {
            // All that the probe can tell has been told.
            self.is_bw_probe_sample = false;
            self.probe_stopping = false;
            if self.is_in_probe_bw() {
                if !news.is_app_limited {
                    self.advance_max_bw_filter();
                }
                if self.prev_probe_precautionary && !self.prev_probe_too_high {
                    self.start_probe_bw_refill();
                    return true;
                }
            }
        }
        let sample = &ack.rate;
        let is_safe =
            sample.is_known && !self.is_loss_too_high(window, sample.lost, sample.tx_in_flight);
        if is_safe && self.inflight_longterm != UNBOUNDED {
            self.inflight_longterm = self.inflight_longterm.max(sample.tx_in_flight);
            if self.phase == Phase::Up {
                self.probe_inflight_longterm_upward(window, ack, news);
            }
        }
        false
    }

    /// `ProbeInflightLongtermUpward`: by 1, 2, 4... segments per round while the bound is in use.
    fn probe_inflight_longterm_upward(&mut self, window: &CongestionWindow, ack: &Ack, news: News) {
        if !self.is_held_by_longterm(window) {
            return;
        }
        self.bw_probe_up_acked = self.bw_probe_up_acked.saturating_add(ack.delivered);
        let steps = self
            .bw_probe_up_acked
            .checked_div(self.probe_up_acked_per_inc)
            .unwrap_or(0);
        let used = steps.saturating_mul(self.probe_up_acked_per_inc);
        self.bw_probe_up_acked = self.bw_probe_up_acked.saturating_sub(used);
        self.inflight_longterm = self
            .inflight_longterm
            .saturating_add(steps.saturating_mul(window.segment()))
            .min(WINDOW_LIMIT);
        if news.round_start {
            self.raise_inflight_longterm_slope(window);
        }
    }

    /// `RaiseInflightLongtermSlope`.
    fn raise_inflight_longterm_slope(&mut self, window: &CongestionWindow) {
        let share = window
            .cwnd
            .checked_shr(self.bw_probe_up_rounds.into())
            .unwrap_or(0);
        self.bw_probe_up_rounds = self
            .bw_probe_up_rounds
            .saturating_add(1)
            .min(MOST_UP_ROUNDS);
        self.probe_up_acked_per_inc = share.max(window.segment());
    }

    /// The window is all used and the long-term bound is what holds it.
    const fn is_held_by_longterm(&self, window: &CongestionWindow) -> bool {
        self.is_cwnd_limited() && window.cwnd >= self.inflight_longterm
    }

    /// `IsTimeToProbeBW`: after two or three seconds, or as many rounds as the window has segments,
    /// as Reno would.
    fn is_time_to_probe_bw(&self, window: &CongestionWindow, now: Instant) -> bool {
        let wait_ms = PROBE_WAIT_MS.saturating_add(self.bw_probe_wait_ms);
        let wait_us = u64::from(wait_ms).saturating_mul(1000);
        let reno_rounds = self
            .target_inflight(window)
            .checked_div(window.segment())
            .unwrap_or(0)
            .min(RENO_ROUNDS);
        !self.phase_at.is_within(wait_us, now)
            || u32::from(self.rounds_since_probe_up) >= reno_rounds
    }

    /// `PickProbeWait`: spread by what differs between flows, so that they do not probe together.
    fn pick_probe_wait(&mut self, now: Instant) {
        let spread = scramble(
            now.as_micros()
                .wrapping_shl(32)
                .wrapping_add(u64::from(self.delivered))
                ^ u64::from(self.best_bw()).wrapping_shl(17)
                ^ now.as_micros(),
        );
        self.rounds_since_probe_up = u8::from(spread & 1 != 0);
        let wait = (spread >> 33).checked_rem(PROBE_WAIT_SPREAD_MS.into());
        self.bw_probe_wait_ms = wait.and_then(|ms| u16::try_from(ms).ok()).unwrap_or(0);
    }

    /// `IsTimeToCruise`: the queue is gone, and there is headroom.
    fn is_time_to_cruise(&self, window: &CongestionWindow, ack: &Ack) -> bool {
        ack.in_flight <= self.inflight_with_headroom(window)
            && ack.in_flight <= self.full_pipe(window)
    }

    /// The probe has put a quarter of the BDP, which is all that it adds in a round, into a queue that
    /// was not there before.
    ///
    /// The draft goes on for three rounds without growth. Where a round trip is long, the queue that
    /// this leaves takes longer to drain than there is until the next probe; it then stands until
    /// `ProbeRTT`. Where others have a queue already it says nothing, and the draft's rule holds. A
    /// link that has become faster takes what the probe adds and shows no queue.
    fn has_built_a_queue(&self, window: &CongestionWindow, ack: &Ack) -> bool {
        let enough = percent(self.full_pipe(window), UP_PACING_GAIN);
        self.probe_began_clear && self.phase_rounds > 0 && ack.in_flight > enough
    }

    /// `IsTimeToGoDown`.
    fn is_time_to_go_down(&mut self, window: &CongestionWindow, ack: &Ack, news: News) -> bool {
        if self.prev_probe_too_high && ack.in_flight >= self.inflight_longterm {
            self.prev_probe_precautionary = true;
            return true;
        }
        if news.round_start {
            self.phase_rounds = self.phase_rounds.saturating_add(1);
        }
        if self.is_held_by_longterm(window) {
            self.reset_full_bw(news.rate);
            return false;
        }
        self.full_bw_now || self.has_built_a_queue(window, ack)
    }
}

/// Spreads what differs over all bits (the finaliser of `SplitMix64`).
const fn scramble(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
