//! Proportional rate reduction (RFC 6937, with the slow-start reduction bound).

use super::super::congestion::INFINITE;
use super::{Phase, Sender};

/// State of one reduction, in segments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Prr {
    /// The window before.
    pub(super) prior: u32,
    pub(super) delivered: u32,
    pub(super) out: u32,
}

impl Prr {
    /// How much may be sent now: what `delivered` allows with `flight` segments in the network.
    fn allowance(&mut self, flight: u32, ssthresh: u32, delivered: u32, safe: bool) -> u32 {
        self.delivered += delivered;
        let allowed = if flight > ssthresh {
            let share = u64::from(self.delivered) * u64::from(ssthresh);
            let share = share.div_ceil(u64::from(self.prior.max(1)));
            u32::try_from(share)
                .unwrap_or(u32::MAX)
                .saturating_sub(self.out)
        } else {
            let bound = self.delivered.saturating_sub(self.out).max(delivered);
            (bound + u32::from(safe)).min(ssthresh - flight)
        };
        // The first retransmission must leave, whatever the sums say.
        allowed.max(u32::from(self.out == 0))
    }
}

impl Sender {
    /// Begins a reduction.
    pub(super) fn begin_reduction(&mut self) {
        self.high_seq = self.nxt;
        self.tlp = None;
        self.prr = Prr {
            prior: self.congestion.cwnd,
            delivered: 0,
            out: 0,
        };
        self.congestion.reduce();
        self.queue_cwr = self.ecn;
    }

    /// The window during a reduction, after `delivered` segments; `safe` if the acknowledgement
    /// made progress and told of no new loss.
    pub(super) fn reduce_window(&mut self, delivered: u32, safe: bool) {
        if delivered == 0 || self.prr.prior == 0 {
            return;
        }
        let flight = self.flight.in_network();
        let ssthresh = self.congestion.ssthresh;
        let allowed = self.prr.allowance(flight, ssthresh, delivered, safe);
        self.congestion.set(flight + allowed);
    }

    /// Ends it, unless it was undone.
    pub(super) fn end_reduction(&mut self) {
        let stands = self.phase == Phase::Reducing || self.undo.marker.is_some();
        if stands && self.congestion.ssthresh < INFINITE {
            self.congestion.set(self.congestion.ssthresh);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6937 section 3: the reduction is spread over the round trip, and its bound holds.
    #[test]
    fn rfc6937_sends_in_proportion_to_what_is_delivered() {
        let mut prr = Prr {
            prior: 20,
            ..Prr::default()
        };
        // 20 in flight, one lost, ssthresh 14: of 19 acknowledgements 14 let a segment go.
        let mut flight = 19;
        for acknowledged in 1..=19 {
            flight -= 1;
            let allowed = prr.allowance(flight, 14, 1, true);
            prr.out += allowed;
            flight += allowed;
            assert!(prr.out <= (acknowledged * 14_u32).div_ceil(20) + 1);
        }
        assert_eq!(flight, 14);
    }

    #[test]
    fn rfc6937_slow_start_refills_but_not_beyond_the_threshold() {
        let mut prr = Prr {
            prior: 20,
            ..Prr::default()
        };
        // Most of the window is lost: 3 left in the network.
        assert_eq!(prr.allowance(3, 14, 1, false), 1);
        prr.out += 1;
        assert_eq!(prr.allowance(3, 14, 1, true), 2);
        prr.out += 2;
        assert_eq!(prr.allowance(13, 14, 5, true), 1);
    }
}
