//! The first search for the bandwidth: Startup doubles the rate each round until it no longer pays,
//! Drain empties the queue that this left behind.

use super::{Bbr, CongestionWindow, News, Phase, Undo, percent};
use crate::congestion::Ack;
use crate::congestion::window::{AFTER_TIMEOUT, TIMED_OUT};

/// Growth of the delivery rate in a round that is worth going on for, in hundredths.
const FULL_BW_GROWTH: u32 = 125;
/// Rounds without it that show a full pipe.
const FULL_BW_ROUNDS: u8 = 3;
/// Losses in a round of Startup that are more than a burst (`BBRStartupFullLossCnt`).
const STARTUP_FULL_LOSSES: u8 = 6;
/// Rounds that Drain takes at most.
const DRAIN_ROUNDS: u8 = 3;

impl Bbr {
    /// `EnterStartup`.
    pub(super) const fn enter_startup(&mut self) {
        self.phase = Phase::Startup;
    }

    /// `ResetFullBW`, with a first baseline.
    pub(super) const fn reset_full_bw(&mut self, baseline: u32) {
        self.full_bw = baseline;
        self.full_bw_count = 0;
        self.full_bw_now = false;
    }

    /// `CheckFullBWReached`: three rounds without much growth.
    pub(super) fn check_full_bw_reached(&mut self, news: News) {
        if self.full_bw_now || !news.round_start || news.is_app_limited || news.rate == 0 {
            return;
        }
        if news.rate >= percent(self.full_bw, FULL_BW_GROWTH) {
            self.reset_full_bw(news.rate);
            return;
        }
        self.full_bw_count = self.full_bw_count.saturating_add(1);
        if self.full_bw_count >= FULL_BW_ROUNDS {
            self.full_bw_now = true;
            self.full_bw_reached = true;
        }
    }

    /// `CheckStartupDone`.
    pub(super) fn check_startup_done(&mut self, window: &CongestionWindow, ack: &Ack, news: News) {
        if news.loss_round_start {
            if self.phase == Phase::Startup && !self.full_bw_reached {
                self.check_startup_high_loss(window, ack);
            }
            self.loss_events = 0;
            self.loss_is_blind = false;
            self.is_marked = false;
        }
        if self.phase == Phase::Startup && self.full_bw_reached {
            self.phase = Phase::Drain;
            self.phase_rounds = 0;
        }
    }

    /// `CheckStartupHighLoss`: a whole round of recovery with many losses. A receiver that does not
    /// SACK lets only one be seen, and a mark is a queue by itself.
    fn check_startup_high_loss(&mut self, window: &CongestionWindow, ack: &Ack) {
        let is_high = self.loss_events >= STARTUP_FULL_LOSSES
            && self.is_loss_too_high(window, ack.rate.lost, ack.rate.tx_in_flight);
        // A round of losses began with the first of them, so that recovery has lasted for all of it.
        let has_timed_out = matches!(window.episode, TIMED_OUT | AFTER_TIMEOUT);
        if self.is_marked || !has_timed_out && (is_high || self.loss_is_blind) {
            self.undo = Undo::Startup;
            self.full_bw_now = true;
            self.full_bw_reached = true;
            self.inflight_longterm = self.bdp(window).max(self.inflight_latest);
        }
    }

    /// `CheckDrainDone`: the queue is gone, or will not go.
    pub(super) fn check_drain_done(&mut self, window: &CongestionWindow, ack: &Ack, news: News) {
        if self.phase != Phase::Drain {
            return;
        }
        if news.round_start {
            self.phase_rounds = self.phase_rounds.saturating_add(1);
        }
        if ack.in_flight <= self.full_pipe(window) || self.phase_rounds > DRAIN_ROUNDS {
            self.start_probe_bw_down(ack.now);
        }
    }
}
