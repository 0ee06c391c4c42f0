//! BBR version 3 (draft-ietf-ccwg-bbr, the working group's text of August 2026): the rate and the
//! window follow a model of the path.
//!
//! `model` is what is believed of the path, `signals` what losses say of it, `startup`, `cycle` and
//! `probe_rtt` are the state machine, `control` is what follows for rate and window, `pack` how it
//! all lies in a flow slot. Names are the draft's, and so are the numbers, with these exceptions:
//!
//! - Losses that come without a queue are tolerated up to a larger share, and below it the short-term
//!   model ignores them (`signals`).
//! - A round trip as short as the known minimum renews it, so that a flow without a queue is spared
//!   `ProbeRTT` (`probe_rtt`).
//! - A probe that has built a queue of its own ends before three rounds are over (`cycle`).
//! - An ECN echo counts as a loss rate above the threshold; the draft has no response to it.
//! - State to return to after a spurious recovery is saved when the recovery begins, and not again
//!   while it lasts: what came after the needless reduction is not worth returning to.

mod control;
mod cycle;
mod model;
mod pack;
mod probe_rtt;
mod signals;
mod startup;

use super::window::{CongestionWindow, OPEN};
use super::{Ack, LostNow, SentNow, Start};
use crate::recovery::delivery::RateSample;
use crate::time::{Instant, Moment, Stamp};

/// No bound: what the draft calls infinity.
const UNBOUNDED: u32 = u32::MAX;

/// Where in the state machine a flow is (`BBR.state`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Phase {
    #[default]
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

/// Where a needless recovery took the flow away from (`BBR.undo_state`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Undo {
    #[default]
    Nothing,
    Startup,
    Up,
}

/// What only BBR keeps. Rates are octets per second, volumes octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Bbr {
    phase: Phase,
    undo: Undo,

    /// `C.pacing_rate`; zero before anything is known.
    pacing_rate: u32,
    /// `BBR.prior_cwnd`.
    prior_cwnd: u32,

    /// `C.delivered` as last told.
    delivered: u32,
    /// Whether it was ever told.
    heard: bool,
    /// `BBR.next_round_delivered`.
    next_round_delivered: u32,
    /// The window was all used in this round, and in the one before (`C.is_cwnd_limited`).
    cwnd_limited: bool,
    cwnd_limited_before: bool,

    /// `BBR.max_bw_filter`: the best of the previous cycle and of this one.
    max_bw: [u32; 2],
    /// `BBR.min_rtt` in microseconds, and since when.
    min_rtt_us: u32,
    min_rtt_at: Moment,
    /// `BBR.extra_acked_interval_start`, `BBR.extra_acked_delivered`.
    extra_acked_start: Stamp,
    extra_acked_delivered: u32,
    /// `BBR.extra_acked_filter`: the most of the last rounds but these, and of these; how many.
    extra_acked: [u32; 2],
    extra_acked_rounds: u8,

    /// `BBR.full_bw` and how often nothing exceeded it by much; whether that is enough now, and was
    /// ever.
    full_bw: u32,
    full_bw_count: u8,
    full_bw_now: bool,
    full_bw_reached: bool,
    /// Rounds in Drain, or in `ProbeBW_UP`.
    phase_rounds: u8,

    /// `BBR.cycle_stamp`; in `ProbeRTT`, when little enough was in flight.
    phase_at: Moment,
    /// `BBR.bw_probe_wait`, in milliseconds beyond the shortest.
    bw_probe_wait_ms: u16,
    rounds_since_probe_up: u8,
    bw_probe_up_rounds: u8,
    bw_probe_up_acked: u32,
    probe_up_acked_per_inc: u32,
    /// The last probe is over and its feedback still arrives (`ACKS_PROBE_STOPPING`).
    probe_stopping: bool,
    is_bw_probe_sample: bool,
    prev_probe_too_high: bool,
    prev_probe_precautionary: bool,
    /// There was no queue when this probe began.
    probe_began_clear: bool,

    inflight_longterm: u32,
    bw_shortterm: u32,
    inflight_shortterm: u32,
    bw_latest: u32,
    inflight_latest: u32,
    loss_round_delivered: u32,
    is_loss_in_round: bool,
    /// Losses found in this round, up to seven.
    loss_events: u8,
    /// A loss was found in this round whose receiver does not SACK.
    loss_is_blind: bool,
    /// The path marked a packet in this round (RFC 3168).
    is_marked: bool,
    /// Losses were told of since the last recovery began.
    loss_was_told: bool,
    /// Round trips showed a queue in this round, and in the one before.
    queue_seen: bool,
    queue_seen_before: bool,

    undo_bw_shortterm: u32,
    undo_inflight_shortterm: u32,
    undo_inflight_longterm: u32,

    /// `BBR.probe_rtt_min_delay` in microseconds, and since when.
    probe_rtt_min_us: u32,
    probe_rtt_min_at: Moment,
    probe_rtt_round_done: bool,
    /// Rounds in which samples still suffer from `ProbeRTT`.
    probe_rtt_shadow: u8,
    idle_restart: bool,
}

/// What an acknowledgement means to the model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct News {
    /// `RS.delivery_rate`; zero if there is no sample.
    rate: u32,
    /// `RS.is_app_limited`.
    is_app_limited: bool,
    /// `BBR.round_start` and its equivalent for rounds of loss.
    round_start: bool,
    loss_round_start: bool,
}

impl Bbr {
    /// Begins with the window as it is (`OnInit`).
    pub(super) fn begin(window: &mut CongestionWindow, start: &Start) -> Self {
        let rtt_us = start.rtt_us.map_or(UNBOUNDED, |rtt_us| rtt_us.max(1));
        let at = Moment::at(start.now);
        let mut bbr = Self {
            min_rtt_us: rtt_us,
            min_rtt_at: at,
            probe_rtt_min_us: rtt_us,
            probe_rtt_min_at: at,
            extra_acked_start: Stamp::at(start.now),
            probe_up_acked_per_inc: UNBOUNDED,
            inflight_longterm: UNBOUNDED,
            bw_shortterm: UNBOUNDED,
            inflight_shortterm: UNBOUNDED,
            ..Self::default()
        };
        bbr.init_pacing_rate(window, start.rtt_us);
        bbr
    }

    /// An earlier flow could use twice this rate: it counts as measured, as long as nothing is.
    pub(super) fn jump(&mut self, rate: u32) {
        let [_, latest] = &mut self.max_bw;
        *latest = (*latest).max(rate);
        self.pacing_rate = self.pacing_rate.max(rate);
    }

    /// Half of the `rate` that the earlier flow could use has arrived without a sign of trouble: all
    /// of it counts as measured, and the startup that would look for it, with a queue of a whole
    /// round trip, is over.
    pub(super) fn confirm_jump(&mut self, now: Instant, rate: u32) {
        if matches!(self.phase, Phase::Startup | Phase::Drain) {
            let [_, latest] = &mut self.max_bw;
            *latest = (*latest).max(rate);
            self.full_bw_reached = true;
            self.start_probe_bw_down(now);
            self.start_probe_bw_cruise();
        }
    }

    /// It could not: what was measured since is what the path has queued, and drains.
    pub(super) const fn retreat(&mut self) {
        self.max_bw = [0, self.bw_latest];
        self.full_bw_reached = true;
        self.full_bw_now = true;
        if matches!(self.phase, Phase::Startup) {
            self.phase = Phase::Drain;
        }
    }

    /// The retreat is over, and had no more losses than chance takes: they said nothing of the jump, and
    /// the startup goes on from where the retreat has led.
    pub(super) fn search_on(&mut self, window: &CongestionWindow, rate: &RateSample) {
        let is_too_high = self.is_loss_too_high(window, rate.lost, rate.tx_in_flight);
        if !is_too_high && !self.is_marked && !self.loss_is_blind {
            self.phase = Phase::Startup;
            self.full_bw_reached = false;
            self.reset_full_bw(self.bw_latest);
        }
    }

    /// Segments were handed to the path (`OnTransmit`).
    pub(super) fn on_sent(&mut self, window: &mut CongestionWindow, sent: &SentNow) {
        let filled = sent.in_flight.saturating_add(sent.octets);
        if filled.saturating_add(window.segment()) > window.cwnd {
            self.cwnd_limited = true;
        }
        if sent.in_flight == 0 && sent.app_limited {
            self.restart_from_idle(window, sent.now);
        }
    }

    /// An acknowledgement brought news (`UpdateOnACK`).
    pub(super) fn on_ack(&mut self, window: &mut CongestionWindow, ack: &Ack) {
        let news = self.count_rounds(ack);
        self.look_for_queue(ack, window.segment());
        self.update_latest_delivery_signals(ack, news);
        self.update_max_bw(news);
        self.update_congestion_signals(window, ack, news);
        self.update_ack_aggregation(window, ack, news);
        self.check_full_bw_reached(news);
        self.check_startup_done(window, ack, news);
        self.check_drain_done(window, ack, news);
        self.update_probe_bw_cycle_phase(window, ack, news);
        let is_expired = self.update_min_rtt(ack);
        self.check_probe_rtt(window, ack, news, is_expired);
        self.advance_latest_delivery_signals(ack, news);
        self.set_pacing_rate(window, ack.srtt_us.or(ack.rtt_us));
        self.set_cwnd(window, ack);
    }

    /// Octets were found lost (`HandleLostPacket`).
    pub(super) fn on_lost(&mut self, window: &mut CongestionWindow, lost: &LostNow) {
        self.loss_was_told = true;
        if lost.octets == 0 {
            return;
        }
        self.note_loss(window);
        self.loss_is_blind |= !lost.sack;
        self.loss_events = self.loss_events.saturating_add(1);
        if self.is_bw_probe_sample {
            self.judge_probe(window, lost);
        }
    }

    /// Loss recovery begins (`OnEnterFastRecovery`), or the path marked a packet.
    pub(super) fn on_recovery(
        &mut self,
        window: &mut CongestionWindow,
        now: Instant,
        in_flight: u32,
    ) {
        if self.loss_was_told {
            self.loss_was_told = false;
            self.save_cwnd(window);
        } else {
            self.note_mark(window, now, in_flight);
        }
    }

    /// Loss recovery ends.
    pub(super) fn on_recovery_exit(&mut self, window: &mut CongestionWindow) {
        self.loss_was_told = false;
        self.restore_cwnd(window);
    }

    /// The retransmission timer expired; the caller sets the loss window of one segment
    /// (`OnEnterRTO`).
    pub(super) fn on_timeout(&mut self, window: &mut CongestionWindow) {
        if window.episode == OPEN && !self.is_loss_in_round {
            self.save_state_upon_loss(window);
        } else {
            self.save_cwnd(window);
        }
    }

    /// The last recovery was needless (`HandleSpuriousLossDetection`).
    pub(super) fn on_spurious(&mut self, window: &mut CongestionWindow) {
        self.loss_was_told = false;
        self.take_back();
        self.restore_cwnd(window);
    }

    /// Whether the path is not known to be full yet.
    pub(super) const fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Startup)
    }

    /// Octets per second at which segments may leave.
    pub(super) const fn pacing_rate(&self) -> Option<u32> {
        if self.pacing_rate == 0 {
            None
        } else {
            Some(self.pacing_rate)
        }
    }

    /// Nothing was sent for a while (`HandleRestartFromIdle`).
    fn restart_from_idle(&mut self, window: &mut CongestionWindow, now: Instant) {
        self.idle_restart = true;
        self.extra_acked_start = Stamp::at(now);
        if self.is_in_probe_bw() {
            self.set_pacing_rate_with_gain(window, control::UNITY);
        } else if self.phase == Phase::ProbeRtt {
            self.check_probe_rtt_done(window, now);
        }
    }

    /// `IsInAProbeBWState`.
    const fn is_in_probe_bw(&self) -> bool {
        matches!(
            self.phase,
            Phase::Down | Phase::Cruise | Phase::Refill | Phase::Up
        )
    }

    /// `IsProbingBW`.
    const fn is_probing_bw(&self) -> bool {
        matches!(self.phase, Phase::Startup | Phase::Refill | Phase::Up)
    }
}

/// A part of a volume or rate, in hundredths; saturates.
fn percent(of: u32, hundredths: u32) -> u32 {
    let part = u64::from(of).saturating_mul(hundredths.into()) / 100;
    u32::try_from(part).unwrap_or(u32::MAX)
}

/// Whether a count that wraps has come to `mark`.
const fn has_reached(count: u32, mark: u32) -> bool {
    count.wrapping_sub(mark) < 1 << 31
}

#[cfg(test)]
mod tests;
