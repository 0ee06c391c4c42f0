//! What is believed of the path: its rounds, its bandwidth, its shortest round trip, how much it
//! aggregates, and the volume in flight that follows.

use super::control::{MIN_PIPE_SEGMENTS, PROBE_RTT_CWND_GAIN};
use super::{Bbr, CongestionWindow, News, Phase, UNBOUNDED, has_reached, percent};
use crate::congestion::Ack;
use crate::congestion::window::WINDOW_LIMIT;
use crate::time::Stamp;

/// Rounds that each half of the `extra_acked` filter spans (`BBR.ExtraAckedFilterLen` is 10).
const EXTRA_ACKED_HALF: u8 = 5;
/// Segments of the initial window, before anything is known (RFC 6928).
const INITIAL_SEGMENTS: u32 = 10;
/// Bounds of a send quantum: a millisecond of the rate, but this much at most, and so many segments
/// at least (`SetSendQuantum`).
const QUANTUM_LIMIT: u32 = 65_536;
const QUANTUM_SEGMENTS: u32 = 2;
/// Quanta that are on their way inside the hosts (`UpdateOffloadBudget`).
const OFFLOAD_QUANTA: u32 = 3;

impl Bbr {
    /// Takes in the sample and counts rounds (`UpdateRound`, `UpdateLatestDeliverySignals`).
    pub(super) fn count_rounds(&mut self, ack: &Ack) -> News {
        self.cwnd_limited |= ack.cwnd_limited;
        let sample = &ack.rate;
        let mut news = News {
            rate: delivery_rate(ack),
            is_app_limited: sample.is_app_limited,
            round_start: false,
            loss_round_start: false,
        };
        if !sample.is_known {
            return news;
        }
        self.delivered = sample.total_delivered;
        if !self.heard {
            self.heard = true;
            self.next_round_delivered = sample.prior_delivered;
            self.loss_round_delivered = sample.prior_delivered;
        }
        if has_reached(sample.prior_delivered, self.next_round_delivered) {
            news.round_start = true;
            self.start_round();
            self.rounds_since_probe_up = self.rounds_since_probe_up.saturating_add(1);
            self.cwnd_limited_before = self.cwnd_limited;
            self.cwnd_limited = ack.cwnd_limited;
            self.queue_seen_before = self.queue_seen;
            self.queue_seen = false;
            if self.phase != Phase::ProbeRtt {
                self.probe_rtt_shadow = self.probe_rtt_shadow.saturating_sub(1);
            }
        }
        if has_reached(sample.prior_delivered, self.loss_round_delivered) {
            news.loss_round_start = true;
            self.loss_round_delivered = self.delivered;
        }
        news.is_app_limited |= self.probe_rtt_shadow > 0;
        news
    }

    /// A round ends with what is sent from now on (`StartRound`).
    pub(super) const fn start_round(&mut self) {
        self.next_round_delivered = self.delivered;
    }

    /// `C.is_cwnd_limited`: the window was all used within the last round.
    pub(super) const fn is_cwnd_limited(&self) -> bool {
        self.cwnd_limited || self.cwnd_limited_before
    }

    /// `UpdateMaxBw`: a sample that the application limited counts only if it is better still.
    pub(super) fn update_max_bw(&mut self, news: News) {
        if news.rate >= self.best_bw() || !news.is_app_limited {
            let [_, best] = &mut self.max_bw;
            *best = news.rate.max(*best);
        }
    }

    /// `AdvanceMaxBwFilter`: a cycle ends. One without a sample is no reason to forget.
    pub(super) const fn advance_max_bw_filter(&mut self) {
        let [_, latest] = self.max_bw;
        if latest > 0 {
            self.max_bw = [latest, 0];
        }
    }

    /// `BBR.max_bw`.
    pub(super) fn best_bw(&self) -> u32 {
        let [before, latest] = self.max_bw;
        before.max(latest)
    }

    /// `BBR.bw`.
    pub(super) fn bw(&self) -> u32 {
        self.best_bw().min(self.bw_shortterm)
    }

    /// `BBR.bdp` at a rate; `None` before the first round trip.
    pub(super) fn bdp_at(&self, rate: u32) -> Option<u32> {
        if self.min_rtt_us == UNBOUNDED {
            return None;
        }
        let octets = u64::from(rate).saturating_mul(self.min_rtt_us.into()) / 1_000_000;
        Some(u32::try_from(octets).map_or(WINDOW_LIMIT, |octets| octets.min(WINDOW_LIMIT)))
    }

    /// `BBR.bdp`; the initial window before the first round trip.
    pub(super) fn bdp(&self, window: &CongestionWindow) -> u32 {
        self.bdp_at(self.bw())
            .unwrap_or_else(|| initial_cwnd(window))
    }

    /// `Inflight(BBR.max_bw, 1.0)`: what fills the path without a queue.
    pub(super) fn full_pipe(&self, window: &CongestionWindow) -> u32 {
        let bdp = self.bdp_at(self.best_bw());
        self.quantization_budget(window, bdp.unwrap_or_else(|| initial_cwnd(window)))
    }

    /// `BBR.max_inflight`: what full use of the path needs.
    pub(super) fn max_inflight(&self, window: &CongestionWindow) -> u32 {
        let multiple = self.bdp_at(self.bw()).map_or_else(
            || initial_cwnd(window),
            |bdp| percent(bdp, self.cwnd_gain()),
        );
        let [before, latest] = self.extra_acked;
        let octets = multiple.saturating_add(before.max(latest));
        self.quantization_budget(window, octets).min(WINDOW_LIMIT)
    }

    /// `TargetInflight`: the estimated BDP, unless congestion cut the window.
    pub(super) fn target_inflight(&self, window: &CongestionWindow) -> u32 {
        self.bdp(window).min(window.cwnd)
    }

    /// `ProbeRTTCwnd`.
    pub(super) fn probe_rtt_cwnd(&self, window: &CongestionWindow) -> u32 {
        let multiple = self.bdp_at(self.bw()).map_or_else(
            || initial_cwnd(window),
            |bdp| percent(bdp, PROBE_RTT_CWND_GAIN),
        );
        multiple.max(min_pipe_cwnd(window))
    }

    /// `QuantizationBudget`.
    fn quantization_budget(&self, window: &CongestionWindow, octets: u32) -> u32 {
        let segment = window.segment();
        let least = segment.saturating_mul(QUANTUM_SEGMENTS);
        let quantum = (self.pacing_rate / 1000).min(QUANTUM_LIMIT).max(least);
        let enough = octets
            .max(quantum.saturating_mul(OFFLOAD_QUANTA))
            .max(min_pipe_cwnd(window));
        if self.phase == Phase::Up {
            enough.saturating_add(segment.saturating_mul(2))
        } else {
            enough
        }
    }

    /// `UpdateACKAggregation`: what came beyond what the rate explains.
    pub(super) fn update_ack_aggregation(
        &mut self,
        window: &CongestionWindow,
        ack: &Ack,
        news: News,
    ) {
        let interval_us = self.extra_acked_start.age(ack.now);
        let expected = u64::from(self.bw()).saturating_mul(interval_us.into()) / 1_000_000;
        let mut expected = u32::try_from(expected).unwrap_or(u32::MAX);
        if self.extra_acked_delivered <= expected {
            self.extra_acked_delivered = 0;
            self.extra_acked_start = Stamp::at(ack.now);
            expected = 0;
        }
        self.extra_acked_delivered = self.extra_acked_delivered.saturating_add(ack.delivered);
        let extra = self.extra_acked_delivered.saturating_sub(expected);
        if news.round_start {
            self.extra_acked_rounds = self.extra_acked_rounds.saturating_add(1);
            let [_, latest] = self.extra_acked;
            if !self.full_bw_reached {
                self.extra_acked = [0, 0];
                self.extra_acked_rounds = 0;
            } else if self.extra_acked_rounds >= EXTRA_ACKED_HALF {
                self.extra_acked = [latest, 0];
                self.extra_acked_rounds = 0;
            }
        }
        let [_, most] = &mut self.extra_acked;
        *most = extra.min(window.cwnd).max(*most);
    }
}

/// `RS.delivery_rate` in octets per second; zero if nothing was measured.
fn delivery_rate(ack: &Ack) -> u32 {
    u64::from(ack.rate.delivered)
        .saturating_mul(1_000_000)
        .checked_div(ack.rate.interval_us.into())
        .map_or(0, |rate| u32::try_from(rate).unwrap_or(u32::MAX))
}

/// `BBR.MinPipeCwnd`.
pub(super) fn min_pipe_cwnd(window: &CongestionWindow) -> u32 {
    window.segment().saturating_mul(MIN_PIPE_SEGMENTS)
}

/// `C.InitialCwnd`.
pub(super) fn initial_cwnd(window: &CongestionWindow) -> u32 {
    window.initial(INITIAL_SEGMENTS)
}
