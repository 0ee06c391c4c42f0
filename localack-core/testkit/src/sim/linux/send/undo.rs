//! Reductions that were not called for are undone (RFC 3522, RFC 4015, and D-SACK, RFC 3708).

use super::{Phase, Sender};

/// What is needed to undo the last reduction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Undo {
    /// SND.UNA when the reduction began, while it can be undone.
    pub(super) marker: Option<u64>,
    /// Retransmissions that no D-SACK has shown to be needless; below zero: cannot tell.
    pub(super) unexcused: i64,
    pub(super) prior_cwnd: u32,
    pub(super) prior_ssthresh: u32,
    /// Own timestamp of the first retransmission.
    pub(super) first_retransmission: Option<u32>,
}

impl Sender {
    /// Remembers what would be restored.
    pub(super) const fn arm_undo(&mut self) {
        self.undo.marker = Some(self.una);
        self.undo.unexcused = if self.flight.resent() > 0 {
            self.flight.resent() as i64
        } else {
            -1
        };
    }

    pub(super) const fn remember_window(&mut self) {
        self.undo.prior_cwnd = self.congestion.cwnd;
        self.undo.prior_ssthresh = self.congestion.ssthresh;
    }

    /// Whether what is acknowledged with `echo` must be an original transmission: it was sent
    /// before the first retransmission, or there was none.
    fn is_original(&self, echo: Option<u32>) -> bool {
        match (echo, self.undo.first_retransmission) {
            (_, None) => true,
            (Some(echo), Some(first)) => echo.wrapping_sub(first).cast_signed() < 0,
            (None, Some(_)) => false,
        }
    }

    /// Whether the last reduction was needless, by D-SACK or by `echo`.
    pub(super) fn may_undo(&self, echo: Option<u32>) -> bool {
        self.undo.marker.is_some() && (self.undo.unexcused == 0 || self.is_original(echo))
    }

    /// Restores the window; `unmark` if nothing is lost after all.
    pub(super) fn undo_reduction(&mut self, unmark: bool) {
        if unmark {
            self.flight.nothing_lost();
        }
        if self.undo.prior_ssthresh > 0 {
            let cwnd = self.congestion.cwnd.max(self.undo.prior_cwnd);
            self.congestion.set(cwnd);
            self.congestion.restore();
            if self.undo.prior_ssthresh > self.congestion.ssthresh {
                self.congestion.ssthresh = self.undo.prior_ssthresh;
                self.queue_cwr = false;
            }
        }
        self.undo.marker = None;
        self.rack.advanced = true;
        self.stats.undone += 1;
    }

    /// All of a recovery is acknowledged: undo it if it was needless. True if recovery must last,
    /// because duplicate acknowledgements would otherwise begin another one (no SACK).
    pub(super) fn undo_at_end(&mut self, echo: Option<u32>) -> bool {
        if self.may_undo(echo) {
            self.undo_reduction(false);
        }
        if self.una == self.high_seq && !self.sack {
            return true;
        }
        self.phase = Phase::Open;
        false
    }

    /// Every retransmission was needless: undo at once.
    pub(super) fn undo_by_dsack(&mut self) -> bool {
        if self.undo.marker.is_some() && self.undo.unexcused == 0 {
            self.undo_reduction(false);
            return true;
        }
        false
    }

    /// A partial acknowledgement of an original: the rest is late, not lost. True if recovery
    /// should go on as it is.
    pub(super) fn undo_partial(&mut self, echo: Option<u32>) -> bool {
        if self.undo.marker.is_none() || !self.is_original(echo) {
            return false;
        }
        // Reordering, then; nothing more is retransmitted until the originals are through.
        if self.flight.resent() > 0 {
            return true;
        }
        self.undo.first_retransmission = None;
        self.undo_reduction(true);
        self.settle();
        false
    }

    /// In the state after a time-out: undo it if it was needless, or if F-RTO says so.
    pub(super) fn undo_time_out(&mut self, by_frto: bool, echo: Option<u32>) -> bool {
        if !(by_frto || self.may_undo(echo)) {
            return false;
        }
        self.undo_reduction(true);
        self.rtt.recovered();
        if by_frto || self.sack {
            self.phase = Phase::Open;
        }
        self.undo.first_retransmission = None;
        true
    }

    /// The state that fits when there is no reduction.
    pub(super) fn settle(&mut self) {
        let left = self.flight.sacked() + self.flight.lost() + self.flight.resent();
        let phase = if left > 0 {
            Phase::Disorder
        } else {
            Phase::Open
        };
        if self.phase != phase {
            self.phase = phase;
            self.high_seq = self.nxt;
        }
    }
}
