//! What follows from the model: the rate at which segments leave, and the window.

use super::model::{initial_cwnd, min_pipe_cwnd};
use super::{Bbr, CongestionWindow, Phase, UNBOUNDED, percent};
use crate::congestion::Ack;
use crate::congestion::window::{OPEN, WINDOW_LIMIT};

/// Gains in hundredths. Startup's lets the rate double each round (4 ln 2).
pub(super) const UNITY: u32 = 100;
const STARTUP_PACING_GAIN: u32 = 277;
const DRAIN_PACING_GAIN: u32 = 50;
const DOWN_PACING_GAIN: u32 = 90;
pub(super) const UP_PACING_GAIN: u32 = 125;
const DEFAULT_CWND_GAIN: u32 = 200;
const UP_CWND_GAIN: u32 = 225;
pub(super) const PROBE_RTT_CWND_GAIN: u32 = 50;
/// The part of the bandwidth that is used, so that queues drain (`BBR.PacingMarginPercent` is 1).
const PACING_SHARE: u32 = 99;
/// `BBR.MinPipeCwnd` in segments.
pub(super) const MIN_PIPE_SEGMENTS: u32 = 4;
/// What is left free below the long-term bound for others (`BBR.Headroom`), in hundredths.
const HEADROOM: u32 = 15;

impl Bbr {
    const fn pacing_gain(&self) -> u32 {
        match self.phase {
            Phase::Startup => STARTUP_PACING_GAIN,
            Phase::Drain => DRAIN_PACING_GAIN,
            Phase::Down => DOWN_PACING_GAIN,
            Phase::Cruise | Phase::Refill | Phase::ProbeRtt => UNITY,
            Phase::Up => UP_PACING_GAIN,
        }
    }

    pub(super) const fn cwnd_gain(&self) -> u32 {
        match self.phase {
            Phase::Startup | Phase::Drain | Phase::Down | Phase::Cruise | Phase::Refill => {
                DEFAULT_CWND_GAIN
            }
            Phase::Up => UP_CWND_GAIN,
            Phase::ProbeRtt => PROBE_RTT_CWND_GAIN,
        }
    }

    /// `InitPacingRate`: the window once per round trip, times the gain. Without a round trip the
    /// first flight is not paced.
    pub(super) fn init_pacing_rate(&mut self, window: &CongestionWindow, srtt_us: Option<u32>) {
        let rate = srtt_us.and_then(|srtt_us| {
            u64::from(window.cwnd)
                .saturating_mul(1_000_000)
                .checked_div(srtt_us.into())
        });
        if let Some(rate) = rate {
            let rate = u32::try_from(rate).unwrap_or(u32::MAX);
            self.pacing_rate = percent(rate, STARTUP_PACING_GAIN);
        }
    }

    /// `SetPacingRate`.
    pub(super) fn set_pacing_rate(&mut self, window: &CongestionWindow, srtt_us: Option<u32>) {
        if self.pacing_rate == 0 {
            self.init_pacing_rate(window, srtt_us);
        }
        self.set_pacing_rate_with_gain(window, self.pacing_gain());
    }

    /// `SetPacingRateWithGain`: until the pipe was full once, the rate only grows. Never less than a
    /// segment per second: zero would mean unpaced.
    pub(super) fn set_pacing_rate_with_gain(&mut self, window: &CongestionWindow, gain: u32) {
        let rate = percent(percent(self.bw(), gain), PACING_SHARE);
        if self.full_bw_reached {
            self.pacing_rate = rate.max(window.segment());
        } else {
            self.pacing_rate = rate.max(self.pacing_rate);
        }
    }

    /// `SetCwnd`.
    pub(super) fn set_cwnd(&self, window: &mut CongestionWindow, ack: &Ack) {
        let max_inflight = self.max_inflight(window);
        let grown = window.cwnd.saturating_add(ack.delivered).min(WINDOW_LIMIT);
        if self.full_bw_reached {
            window.cwnd = grown.min(max_inflight);
        } else if window.cwnd < max_inflight || ack.rate.total_delivered < initial_cwnd(window) {
            window.cwnd = grown;
        }
        window.cwnd = window.cwnd.max(min_pipe_cwnd(window));
        self.bound_cwnd(window);
    }

    /// `BoundCwndForProbeRTT`, `BoundCwndForModel`.
    fn bound_cwnd(&self, window: &mut CongestionWindow) {
        let cap = match self.phase {
            Phase::Startup | Phase::Drain => UNBOUNDED,
            Phase::Down | Phase::Refill | Phase::Up => self.inflight_longterm,
            Phase::Cruise => self.inflight_with_headroom(window),
            Phase::ProbeRtt => self
                .inflight_with_headroom(window)
                .min(self.probe_rtt_cwnd(window)),
        };
        let cap = cap.min(self.inflight_shortterm).max(min_pipe_cwnd(window));
        window.cwnd = window.cwnd.min(cap);
    }

    /// `InflightWithHeadroom`.
    pub(super) fn inflight_with_headroom(&self, window: &CongestionWindow) -> u32 {
        if self.inflight_longterm == UNBOUNDED {
            return UNBOUNDED;
        }
        let headroom = percent(self.inflight_longterm, HEADROOM).max(window.segment());
        self.inflight_longterm
            .saturating_sub(headroom)
            .max(min_pipe_cwnd(window))
    }

    /// `SaveCwnd`: the last window that neither recovery nor `ProbeRTT` had cut.
    pub(super) fn save_cwnd(&mut self, window: &CongestionWindow) {
        self.prior_cwnd = if window.episode == OPEN && self.phase != Phase::ProbeRtt {
            window.cwnd
        } else {
            window.cwnd.max(self.prior_cwnd)
        };
    }

    /// `RestoreCwnd`, within what the model allows by now.
    pub(super) fn restore_cwnd(&self, window: &mut CongestionWindow) {
        let restored = window.cwnd.max(self.prior_cwnd).min(WINDOW_LIMIT);
        window.cwnd = if self.full_bw_reached {
            restored.min(self.max_inflight(window).max(window.cwnd))
        } else {
            restored
        };
        self.bound_cwnd(window);
    }
}
