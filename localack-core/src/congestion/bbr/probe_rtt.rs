//! The shortest round trip, and `ProbeRTT`, which empties the queue to measure it.
//!
//! The draft renews the minimum only by a shorter round trip, so that even a flow without a queue
//! gives up half of its window every five seconds; where a round trip takes 600 ms, that is a tenth
//! of its throughput. A round trip as short as the minimum tells the same as `ProbeRTT` would find
//! out, so here it renews it. The value itself stays, and cannot creep upward.

use super::{Bbr, CongestionWindow, News, Phase};
use crate::congestion::Ack;
use crate::time::{Instant, Moment};

/// `BBR.MinRTTFilterLen`, `BBR.ProbeRTTInterval` and `BBR.ProbeRTTDuration`, in microseconds.
const MIN_RTT_FILTER_US: u64 = 10_000_000;
const PROBE_RTT_INTERVAL_US: u64 = 5_000_000;
const PROBE_RTT_DURATION_US: u64 = 200_000;
/// Round trips that are longer by less than one in so many parts are as short.
const SAME_RTT_PART: u32 = 64;
/// Rounds after `ProbeRTT` that still show how little was in flight.
const SHADOW_ROUNDS: u8 = 2;

impl Bbr {
    /// `UpdateMinRTT`; whether `ProbeRTT` is due.
    pub(super) fn update_min_rtt(&mut self, ack: &Ack) -> bool {
        let now = ack.now;
        let mut is_expired = !self.probe_rtt_min_at.is_within(PROBE_RTT_INTERVAL_US, now);
        if let Some(rtt_us) = ack.rtt_us.map(|rtt_us| rtt_us.max(1)) {
            if is_as_short(rtt_us, self.min_rtt_us) {
                self.min_rtt_at = Moment::at(now);
            }
            if is_as_short(rtt_us, self.probe_rtt_min_us) {
                self.probe_rtt_min_us = self.probe_rtt_min_us.min(rtt_us);
                self.probe_rtt_min_at = Moment::at(now);
                is_expired = false;
            } else if is_expired {
                self.probe_rtt_min_us = rtt_us;
                self.probe_rtt_min_at = Moment::at(now);
            }
        }
        if self.probe_rtt_min_us < self.min_rtt_us
            || !self.min_rtt_at.is_within(MIN_RTT_FILTER_US, now)
        {
            self.min_rtt_us = self.probe_rtt_min_us;
            self.min_rtt_at = self.probe_rtt_min_at;
        }
        is_expired
    }

    /// `CheckProbeRTT`.
    pub(super) fn check_probe_rtt(
        &mut self,
        window: &mut CongestionWindow,
        ack: &Ack,
        news: News,
        is_expired: bool,
    ) {
        if self.phase != Phase::ProbeRtt && is_expired && !self.idle_restart {
            self.save_cwnd(window);
            self.phase = Phase::ProbeRtt;
            self.phase_at = Moment::NEVER;
            self.probe_stopping = true;
            self.start_round();
        }
        if self.phase == Phase::ProbeRtt {
            self.handle_probe_rtt(window, ack, news);
        }
        if ack.delivered > 0 {
            self.idle_restart = false;
        }
    }

    /// `HandleProbeRTT`. What is delivered meanwhile says nothing of the bandwidth.
    fn handle_probe_rtt(&mut self, window: &mut CongestionWindow, ack: &Ack, news: News) {
        self.probe_rtt_shadow = SHADOW_ROUNDS;
        if self.phase_at == Moment::NEVER {
            if ack.in_flight <= self.probe_rtt_cwnd(window) {
                self.phase_at = Moment::at(ack.now);
                self.probe_rtt_round_done = false;
                self.start_round();
            }
            return;
        }
        if news.round_start {
            self.probe_rtt_round_done = true;
        }
        if self.probe_rtt_round_done {
            self.check_probe_rtt_done(window, ack.now);
        }
    }

    /// `CheckProbeRTTDone`, `ExitProbeRTT`.
    pub(super) fn check_probe_rtt_done(&mut self, window: &mut CongestionWindow, now: Instant) {
        if self.phase_at == Moment::NEVER || self.phase_at.is_within(PROBE_RTT_DURATION_US, now) {
            return;
        }
        self.probe_rtt_min_at = Moment::at(now);
        self.reset_short_term_model();
        if self.full_bw_reached {
            // Little is in flight: there is no queue to slow down for.
            self.start_probe_bw_down(now);
            self.start_probe_bw_cruise();
        } else {
            self.enter_startup();
        }
        self.restore_cwnd(window);
    }
}

/// Whether a round trip is at most as long as `known_us`, or hardly longer.
const fn is_as_short(rtt_us: u32, known_us: u32) -> bool {
    rtt_us <= known_us.saturating_add(known_us / SAME_RTT_PART)
}
