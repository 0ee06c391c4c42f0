//! What losses say: while the flow probes, how much in flight is too much for long; otherwise, how
//! far to follow what was delivered of late.
//!
//! The draft holds every loss for congestion. Where packets are lost at random that starves a flow:
//! each round without a probe costs the share of the loss anew, and above 2 % no probe ever succeeds.
//! Of 20 Mbit/s at 600 ms it leaves 87 % at 1 % of random loss and 6 % at 3 %, of the same at 50 ms
//! 85 and 21 %. A loss that a queue caused comes with a queue, though, and round trips show it. Without
//! one, only a share that random loss hardly reaches counts: a buffer too small to be seen loses a
//! fifth of what a probe sends, and more than half of what Startup does. So the four figures become
//! 94, 93, 95 and 92 %. The price is paid where many flows meet in such a buffer: ten flows that share
//! one of a twentieth of the BDP lose 5.1 % instead of 3.2 %.

use super::{Bbr, CongestionWindow, News, Phase, UNBOUNDED, Undo, percent};
use crate::congestion::window::OPEN;
use crate::congestion::{Ack, LostNow};
use crate::time::Instant;

/// Loss that is too much where a queue is seen, in hundredths of what was in flight
/// (`BBR.LossThresh`).
const LOSS_PERCENT: u32 = 2;
/// The same where none is seen. In Startup, which sends twice what a path can take before it hears of
/// it, it is more.
const QUEUELESS_LOSS_PERCENT: u32 = 5;
const QUEUELESS_STARTUP_LOSS_PERCENT: u32 = 15;
/// What chance may lose beyond that, since of few packets it loses many at times: one in so many parts,
/// but so many segments at most.
const CHANCE_PART: u32 = 50;
const CHANCE_SEGMENTS: u32 = 8;
/// A loss cuts to this much of what was, in hundredths (`BBR.Beta`).
const BETA: u32 = 70;
/// A queue is seen if it lengthens the round trip by one in so many parts, and holds so many
/// segments: less may be noise.
const QUEUE_PART: u32 = 8;
const QUEUE_SEGMENTS: u32 = 4;

impl Bbr {
    /// Whether the round trip of this acknowledgement shows a queue.
    pub(super) fn look_for_queue(&mut self, ack: &Ack, segment: u32) {
        let Some(rtt_us) = ack.rtt_us.filter(|_| self.min_rtt_us != UNBOUNDED) else {
            return;
        };
        let queue_us = rtt_us.saturating_sub(self.min_rtt_us);
        let octets = u64::from(queue_us).saturating_mul(self.best_bw().into()) / 1_000_000;
        if queue_us > self.min_rtt_us / QUEUE_PART
            && octets > segment.saturating_mul(QUEUE_SEGMENTS).into()
        {
            self.queue_seen = true;
        }
    }

    pub(super) const fn is_queue_seen(&self) -> bool {
        self.queue_seen || self.queue_seen_before
    }

    /// The share of losses that is too much at present, in hundredths.
    pub(super) const fn loss_threshold(&self) -> u32 {
        if self.is_queue_seen() {
            LOSS_PERCENT
        } else if matches!(self.phase, Phase::Startup) {
            QUEUELESS_STARTUP_LOSS_PERCENT
        } else {
            QUEUELESS_LOSS_PERCENT
        }
    }

    /// `IsInflightTooHigh`: so much was lost of what was in flight that chance does not explain it.
    /// While the receiver's window waits for a repair little is in flight, but the losses are those
    /// of a whole round.
    pub(super) fn is_loss_too_high(
        &self,
        window: &CongestionWindow,
        lost: u32,
        in_flight: u32,
    ) -> bool {
        let volume = in_flight.max(self.inflight_latest);
        let chance = if self.is_queue_seen() {
            0
        } else {
            (volume / CHANCE_PART).min(window.segment().saturating_mul(CHANCE_SEGMENTS))
        };
        lost > percent(volume, self.loss_threshold()).saturating_add(chance)
    }

    /// `NoteLoss`.
    pub(super) fn note_loss(&mut self, window: &CongestionWindow) {
        if !self.is_loss_in_round {
            self.loss_round_delivered = self.delivered;
            if window.episode == OPEN {
                self.save_state_upon_loss(window);
            }
        }
        self.is_loss_in_round = true;
    }

    /// The path says that a queue is too long. It is believed whatever round trips show.
    pub(super) fn note_mark(&mut self, window: &CongestionWindow, now: Instant, in_flight: u32) {
        self.note_loss(window);
        self.is_marked = true;
        if self.is_bw_probe_sample {
            self.handle_inflight_too_high(window, now, in_flight, false);
        }
    }

    /// The rest of `HandleLostPacket`: whether a probe went too far.
    pub(super) fn judge_probe(&mut self, window: &CongestionWindow, lost: &LostNow) {
        if lost.sack && !self.is_loss_too_high(window, lost.lost_since_sent, lost.tx_in_flight) {
            return;
        }
        let is_app_limited = lost.is_app_limited || self.probe_rtt_shadow > 0;
        let in_flight = inflight_at_loss(lost, self.loss_threshold());
        self.handle_inflight_too_high(window, lost.now, in_flight, is_app_limited);
    }

    /// `HandleInflightTooHigh`.
    fn handle_inflight_too_high(
        &mut self,
        window: &CongestionWindow,
        now: Instant,
        tx_in_flight: u32,
        is_app_limited: bool,
    ) {
        self.prev_probe_too_high = true;
        self.is_bw_probe_sample = false;
        if !is_app_limited {
            let least = percent(self.target_inflight(window), BETA);
            self.inflight_longterm = tx_in_flight.max(least);
        }
        if self.phase == Phase::Up {
            self.undo = Undo::Up;
            self.start_probe_bw_down(now);
        }
    }

    /// `UpdateLatestDeliverySignals`.
    pub(super) fn update_latest_delivery_signals(&mut self, ack: &Ack, news: News) {
        self.bw_latest = self.bw_latest.max(news.rate);
        self.inflight_latest = self.inflight_latest.max(delivered(ack));
    }

    /// `AdvanceLatestDeliverySignals`.
    pub(super) fn advance_latest_delivery_signals(&mut self, ack: &Ack, news: News) {
        if news.loss_round_start {
            self.bw_latest = news.rate;
            self.inflight_latest = delivered(ack);
        }
    }

    /// `ResetCongestionSignals`.
    pub(super) const fn reset_congestion_signals(&mut self) {
        self.is_loss_in_round = false;
        self.bw_latest = 0;
        self.inflight_latest = 0;
    }

    /// `UpdateCongestionSignals`, `AdaptLowerBoundsFromCongestion`: once per round with losses.
    pub(super) fn update_congestion_signals(
        &mut self,
        window: &CongestionWindow,
        ack: &Ack,
        news: News,
    ) {
        if !news.loss_round_start {
            return;
        }
        let is_congested = self.is_marked
            || self.is_queue_seen()
            || self.loss_is_blind
            || self.is_loss_too_high(window, ack.rate.lost, ack.rate.tx_in_flight);
        if self.is_loss_in_round && is_congested && !self.is_probing_bw() {
            if self.bw_shortterm == UNBOUNDED {
                self.bw_shortterm = self.best_bw();
            }
            if self.inflight_shortterm == UNBOUNDED {
                self.inflight_shortterm = window.cwnd;
            }
            self.bw_shortterm = percent(self.bw_shortterm, BETA).max(self.bw_latest);
            self.inflight_shortterm =
                percent(self.inflight_shortterm, BETA).max(self.inflight_latest);
        }
        self.is_loss_in_round = false;
    }

    /// `ResetShortTermModel`.
    pub(super) const fn reset_short_term_model(&mut self) {
        self.bw_shortterm = UNBOUNDED;
        self.inflight_shortterm = UNBOUNDED;
    }

    /// `SaveStateUponLoss`.
    pub(super) fn save_state_upon_loss(&mut self, window: &CongestionWindow) {
        self.save_cwnd(window);
        self.undo = Undo::Nothing;
        self.undo_bw_shortterm = self.bw_shortterm;
        self.undo_inflight_shortterm = self.inflight_shortterm;
        self.undo_inflight_longterm = self.inflight_longterm;
    }

    /// `HandleSpuriousLossDetection`.
    pub(super) fn take_back(&mut self) {
        self.is_loss_in_round = false;
        self.reset_full_bw(0);
        self.bw_shortterm = self.bw_shortterm.max(self.undo_bw_shortterm);
        self.inflight_shortterm = self.inflight_shortterm.max(self.undo_inflight_shortterm);
        self.inflight_longterm = self.inflight_longterm.max(self.undo_inflight_longterm);
        match self.undo {
            Undo::Startup if self.phase != Phase::Startup => {
                self.full_bw_reached = false;
                if self.phase != Phase::ProbeRtt {
                    self.enter_startup();
                }
            }
            Undo::Up if !matches!(self.phase, Phase::Up | Phase::ProbeRtt) => {
                self.start_probe_bw_refill();
            }
            Undo::Startup | Undo::Up | Undo::Nothing => {}
        }
        self.undo = Undo::Nothing;
    }
}

/// `RS.delivered` of a sample that measured something.
const fn delivered(ack: &Ack) -> u32 {
    if ack.rate.interval_us == 0 {
        0
    } else {
        ack.rate.delivered
    }
}

/// `InflightAtLoss`: what was in flight when losses came to `threshold` hundredths of it, which may be
/// within the octets lost.
fn inflight_at_loss(lost: &LostNow, threshold: u32) -> u32 {
    let in_flight_before = lost.tx_in_flight.saturating_sub(lost.octets);
    let lost_before = lost.lost_since_sent.saturating_sub(lost.octets);
    let lost_prefix = u64::from(in_flight_before)
        .saturating_mul(threshold.into())
        .saturating_sub(u64::from(lost_before).saturating_mul(100))
        .checked_div(u64::from(100_u32.saturating_sub(threshold)))
        .unwrap_or(0);
    let lost_prefix = u32::try_from(lost_prefix)
        .unwrap_or(u32::MAX)
        .min(lost.octets);
    in_flight_before.saturating_add(lost_prefix)
}
