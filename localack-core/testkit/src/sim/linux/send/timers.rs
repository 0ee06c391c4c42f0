//! The sender's timers.

use localack_core::Instant;

use super::super::clock::{MILLISECOND, SECOND, after};
use super::rtt::{RTO_MAX, RTO_MIN};
use super::{Phase, Sender};

/// Time-outs in a row after which a host gives up (`tcp_retries2`).
const MOST_RETRIES: u32 = 15;

/// When what is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SendTimers {
    /// Retransmission.
    pub(super) rto: Option<Instant>,
    /// Tail loss probe (RFC 8985 section 7).
    pub(super) tail: Option<Instant>,
    /// The end of RACK's reordering window.
    pub(super) reorder: Option<Instant>,
    /// Probe of a closed window.
    pub(super) probe: Option<Instant>,
    /// Pacing.
    pub(super) pace: Option<Instant>,
    /// Time-outs since SND.UNA advanced last.
    pub(super) retries: u32,
    /// Probes of the window since it closed.
    pub(super) probes: u32,
}

impl Sender {
    /// When something is due.
    pub(in super::super) fn next_at(&self) -> Option<Instant> {
        let timers = &self.timers;
        [
            timers.rto,
            timers.tail,
            timers.reorder,
            timers.probe,
            timers.pace,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due; true if there may be something to send.
    pub(in super::super) fn on_timers(&mut self, now: Instant) -> bool {
        let due = |timer: Option<Instant>| timer.is_some_and(|at| at <= now);
        let mut any = false;
        if due(self.timers.pace) {
            self.timers.pace = None;
            any = true;
        }
        if due(self.timers.reorder) {
            self.timers.reorder = None;
            self.reordering_is_over(now);
            any = true;
        }
        if due(self.timers.tail) {
            self.timers.tail = None;
            self.tail_probe(now);
            any = true;
        }
        if due(self.timers.rto) {
            self.time_out(now);
            any = true;
        }
        if due(self.timers.probe) {
            self.timers.probe = None;
            self.probe_window(now);
            any = true;
        }
        any
    }

    /// Sets the retransmission timer and the tail probe anew (RFC 6298 section 5.3).
    pub(super) fn rearm(&mut self, now: Instant) {
        if self.flight.is_empty() {
            self.timers.rto = None;
            self.timers.tail = None;
            self.timers.reorder = None;
            return;
        }
        self.timers.rto = Some(after(now, self.rtt.rto()));
        self.arm_tail_probe(now);
    }

    /// A probe if nothing is heard for two round trips (RFC 8985 section 7.2).
    pub(super) fn arm_tail_probe(&mut self, now: Instant) {
        self.timers.tail = None;
        let quiet =
            matches!(self.phase, Phase::Open | Phase::Reducing) && self.flight.sacked() == 0;
        if !self.sack || !quiet || self.flight.is_empty() || self.tlp.is_some() {
            return;
        }
        let timeout = match self.rtt.smoothed() {
            Some(srtt) if self.flight.len() == 1 => 2 * srtt + RTO_MIN,
            Some(srtt) => 2 * srtt + 2 * MILLISECOND,
            None => SECOND,
        };
        let at = after(now, timeout);
        // A time-out that comes first, or with it, is the probe.
        self.timers.tail = Some(self.timers.rto.map_or(at, |rto| rto.min(at)));
    }

    fn tail_probe(&mut self, now: Instant) {
        self.timers.rto = Some(after(now, self.rtt.rto()));
        self.tlp = Some((self.nxt, true));
        if let Some(new) = self.new_segment(now, true) {
            self.forced = Some(new);
            self.tlp = Some((self.nxt, false));
        } else if let Some(last) = self.flight.last_number() {
            self.forced = self.resend(last, now);
        }
        self.stats.loss_probes += 1;
    }

    /// What an acknowledgement says about a tail probe (RFC 8985 section 7.4).
    pub(super) fn tail_probe_answered(&mut self, out: &super::ack::Outcome) {
        let Some((end, again)) = self.tlp else {
            return;
        };
        if self.una < end {
            return;
        }
        if !again {
            self.tlp = None;
        } else if self.una > end {
            // The probe repaired a loss, which is a reason to slow down.
            self.tlp = None;
            if self.phase < Phase::Reducing {
                self.enter_reducing();
                self.end_reduction();
                self.settle();
            }
        } else if out.duplicate && out.reported == 0 {
            self.tlp = None; // Both copies arrived.
        }
    }

    fn time_out(&mut self, now: Instant) {
        self.timers.rto = None;
        self.timers.tail = None;
        self.timers.reorder = None;
        if self.flight.is_empty() {
            return;
        }
        if self.timers.retries >= MOST_RETRIES {
            self.gave_up = true;
            return;
        }
        self.enter_loss(now);
        self.timers.retries += 1;
        self.stats.timeouts += 1;
        self.rtt.back_off();
        self.timers.rto = Some(after(now, self.rtt.rto()));
        if let Some(first) = self.flight.next_lost() {
            self.forced = self.resend(first, now);
        }
    }

    /// Waits for a window that is too small for what is to be sent.
    pub(super) fn arm_window_probe(&mut self, now: Instant) {
        if self.timers.probe.is_none() && self.flight.is_empty() {
            let interval = self.rtt.base().max(RTO_MIN) << self.timers.probes.min(10);
            self.timers.probe = Some(after(now, interval.min(RTO_MAX)));
        }
    }

    fn probe_window(&mut self, now: Instant) {
        if !self.flight.is_empty() {
            return;
        }
        self.timers.probes += 1;
        self.stats.window_probes += 1;
        self.forced = Some(self.window_probe(now));
        self.arm_window_probe(now);
    }

    /// Forgets about probes when the window lets data go.
    pub(super) fn window_probe_answered(&mut self) {
        if self.timers.probe.is_some() && self.may_send_new() {
            self.timers.probe = None;
            self.timers.probes = 0;
        }
    }
}
