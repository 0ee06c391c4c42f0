//! The states of loss recovery and what moves a sender between them.

use localack_core::Instant;

use super::super::clock::since;
use super::ack::Outcome;
use super::{Phase, Sender};

impl Sender {
    /// Decides what an acknowledgement means; answers how many segments it shows to be lost.
    pub(super) fn alert(&mut self, out: &mut Outcome) -> u32 {
        let plain = out.reported == 0 && !out.duplicate && !out.ece && !out.dsack;
        if plain && self.phase == Phase::Open {
            return 0;
        }
        if out.ece {
            self.undo.prior_ssthresh = 0;
        }
        if self.phase != Phase::Open && self.una >= self.high_seq && self.ends(out) {
            return 0;
        }
        let mut lost = 0;
        match self.phase {
            Phase::Recovery => {
                if !out.advanced {
                    self.count_duplicate(out);
                } else if self.undo_partial(out.echo) {
                    return 0;
                }
                if self.phase == Phase::Recovery && self.undo_by_dsack() {
                    self.settle();
                }
                lost += self.detect_losses(out.now, out.advanced);
                if self.phase == Phase::Recovery {
                    return lost;
                }
            }
            Phase::Loss => {
                self.after_time_out(out);
                lost += self.detect_losses(out.now, out.advanced);
                if self.phase != Phase::Open && !self.lost_again {
                    return lost;
                }
            }
            Phase::Open | Phase::Disorder | Phase::Reducing => {
                if !self.sack {
                    if out.advanced {
                        self.flight.reno_sacked = 0;
                    }
                    self.count_duplicate(out);
                }
                if self.phase <= Phase::Disorder {
                    self.undo_by_dsack();
                }
                lost += self.detect_losses(out.now, out.advanced);
            }
        }
        if self.flight.lost() == 0 {
            self.try_to_open(out.ece);
        } else {
            self.enter_recovery(out.ece);
        }
        lost
    }

    /// All that was sent when the state began is acknowledged; true if nothing else is to be done.
    fn ends(&mut self, out: &Outcome) -> bool {
        match self.phase {
            Phase::Reducing if self.una > self.high_seq => {
                self.end_reduction();
                self.phase = Phase::Open;
            }
            Phase::Recovery => {
                if !self.sack {
                    self.flight.reno_sacked = 0;
                }
                if self.undo_at_end(out.echo) {
                    return true;
                }
                self.end_reduction();
                self.rack_recovered();
            }
            _ => {}
        }
        false
    }

    /// A duplicate acknowledgement of a receiver without SACK: one segment has left the network.
    fn count_duplicate(&mut self, out: &mut Outcome) {
        let most = self.flight.len().saturating_sub(1 + self.flight.lost());
        if !self.sack && out.duplicate && self.flight.reno_sacked < most {
            self.flight.reno_sacked += 1;
            out.delivered += 1;
        }
    }

    fn try_to_open(&mut self, ece: bool) {
        if ece && self.phase < Phase::Reducing {
            self.stats.ecn_reductions += 1;
            self.enter_reducing();
        }
        if self.phase != Phase::Reducing {
            self.settle();
        }
    }

    /// A mark, or a loss that a probe repaired: reduce the window, without retransmissions.
    pub(super) fn enter_reducing(&mut self) {
        self.undo.prior_ssthresh = 0;
        if self.phase < Phase::Reducing {
            self.undo.marker = None;
            self.begin_reduction();
            self.phase = Phase::Reducing;
        }
    }

    fn enter_recovery(&mut self, ece: bool) {
        self.undo.first_retransmission = None;
        if self.phase < Phase::Reducing || self.phase == Phase::Loss {
            self.remember_window();
            if ece {
                self.undo.prior_ssthresh = 0;
            }
            self.arm_undo();
            self.begin_reduction();
        } else {
            self.undo.prior_ssthresh = 0;
            self.arm_undo();
        }
        self.phase = Phase::Recovery;
        self.stats.recoveries += 1;
    }

    /// RACK's timer: what was late is lost.
    pub(super) fn reordering_is_over(&mut self, now: Instant) {
        if self.rack_detect(now) > 0 && self.phase != Phase::Recovery {
            if self.phase == Phase::Loss {
                return;
            }
            self.enter_recovery(false);
        }
    }

    /// The retransmission timer: everything may be lost (RFC 6298 section 5, RFC 5681).
    pub(super) fn enter_loss(&mut self, now: Instant) {
        let fresh = self.phase < Phase::Recovery;
        let reneged = self.flight.head().is_some_and(|head| head.sacked);
        let (sack, rtt) = (self.sack, self.rack.rtt);
        self.flight
            .time_out(reneged, |sent| sack && since(now, sent.at) < rtt);
        if self.phase <= Phase::Disorder
            || self.high_seq <= self.una
            || (self.phase == Phase::Loss && self.timers.retries == 0)
        {
            self.remember_window();
            self.congestion.reduce();
            self.arm_undo();
        }
        if fresh && self.flight.sacked() >= 3 {
            self.reordering = 3;
        }
        self.congestion.set(self.flight.in_network() + 1);
        self.phase = Phase::Loss;
        self.high_seq = self.nxt;
        self.queue_cwr = self.ecn;
        self.tlp = None;
        self.new_first = false;
        self.frto = fresh || self.timers.retries > 0;
    }

    /// An acknowledgement after a time-out (RFC 5682 section 3.1 for F-RTO).
    fn after_time_out(&mut self, out: &mut Outcome) {
        let recovered = self.una >= self.high_seq;
        self.new_first = false;
        if out.advanced && self.undo_time_out(false, out.echo) {
            return;
        }
        if self.frto {
            if out.original && self.undo_time_out(true, out.echo) {
                return; // Step 3b: an original arrived, so the time-out was wrong.
            }
            if self.nxt > self.high_seq {
                if out.reported > 0 || out.duplicate {
                    self.frto = false; // Step 3a: it was right.
                }
            } else if out.advanced && !recovered {
                self.high_seq = self.nxt;
                if self.may_send_new() {
                    self.new_first = true; // Step 2b.
                    return;
                }
                self.frto = false;
            }
        }
        if recovered {
            self.undo_at_end(out.echo);
            return;
        }
        if !self.sack {
            if self.nxt > self.high_seq && out.duplicate {
                self.count_duplicate(out);
            } else if out.advanced {
                self.flight.reno_sacked = 0;
            }
        }
    }
}
