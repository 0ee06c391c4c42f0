//! What the order of deliveries says of losses (RACK, RFC 8985 section 6): what was sent well before
//! something that has arrived is lost.

use crate::pool::{Expiry, Newest};
use crate::seq::SeqNum;
use crate::time::{Instant, Stamp};

/// A reordering window is kept for so many recoveries after the last D-SACK (RFC 8985 section 6.2,
/// step 4).
const PERSIST: u8 = 16;
/// The reordering window grows to at most so many quarters of the shortest round trip.
const WIDEST: u8 = 64;

/// What has arrived last, by the order of sending, and how far the path reorders. Plain old data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Rack {
    /// When the last sent of what has arrived was sent (RACK.xmit_ts), and where it ends.
    xmit: Stamp,
    end: SeqNum,
    /// Its round trip (RACK.rtt), in microseconds.
    rtt_us: u32,
    /// D-SACKs count once until this is acknowledged (RACK.dsack_round).
    dsack_round: SeqNum,
    /// Quarters of the shortest round trip beyond the first (RACK.reo_wnd_mult less one).
    widened: u8,
    /// Recoveries for which it stays that wide.
    persist: u8,
    reordering_seen: u8,
    spare: u8,
}

/// What the reordering window depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Circumstances {
    pub(crate) recovering: bool,
    /// More than two segments behind a hole have arrived (DupThresh, RFC 6675).
    pub(crate) dup_thresh_reached: bool,
    pub(crate) min_rtt_us: u32,
    pub(crate) srtt_us: u32,
}

impl Rack {
    pub(crate) const EMPTY: Self = Self {
        xmit: Stamp::NEVER,
        end: SeqNum::ZERO,
        rtt_us: 0,
        dsack_round: SeqNum::ZERO,
        widened: 0,
        persist: 0,
        reordering_seen: 0,
        spare: 0,
    };

    /// Whether the path was seen to deliver out of order.
    pub(crate) const fn reordering_seen(&self) -> bool {
        self.reordering_seen != 0
    }

    /// The round trip of what arrived last, by the order of sending, in microseconds.
    pub(crate) const fn rtt_us(&self) -> u32 {
        self.rtt_us
    }

    /// Something leaves, and nothing sent before it is on its way: what arrived last is older, and soon
    /// too old for its stamp to tell.
    pub(crate) const fn begin_flight(&mut self) {
        self.xmit = Stamp::NEVER;
    }

    /// Something never sent before has arrived after something behind it had (section 6.2, step 3).
    pub(crate) const fn note_reordering(&mut self) {
        self.reordering_seen = 1;
    }

    /// The last sent of what an acknowledgement delivers (section 6.2, step 2).
    pub(crate) fn on_delivered(&mut self, newest: &Newest, now: Instant, min_rtt_us: u32) {
        let sent = &newest.sent;
        let rtt_us = sent.at.age(now);
        if sent.is_retransmitted() && rtt_us < min_rtt_us {
            // It is the first transmission that has arrived, not the repair.
            return;
        }
        let is_newer = !self.xmit.is_set()
            || sent.at.is_after(self.xmit)
            || (sent.at == self.xmit && newest.end.after(self.end));
        if is_newer {
            self.xmit = sent.at;
            self.end = newest.end;
            self.rtt_us = rtt_us;
        }
    }

    /// The receiver had something already: the window was too narrow (section 6.2, step 4). Counts
    /// once per round.
    pub(crate) fn on_dsack(&mut self, snd_una: SeqNum, snd_nxt: SeqNum) {
        // A round that ends beyond SND.NXT is one of long ago: sequence numbers have gone half way round.
        let is_round = self.dsack_round.at_or_before(snd_nxt);
        if self.persist > 0 && is_round && snd_una.before(self.dsack_round) {
            return;
        }
        self.dsack_round = snd_nxt;
        self.widened = self.widened.saturating_add(1).min(WIDEST);
        self.persist = PERSIST;
    }

    /// A recovery is over.
    pub(crate) fn on_recovery_exit(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.widened = 0;
        }
    }

    /// How much later than its successors something may arrive, in microseconds.
    pub(crate) fn reordering_window(&self, given: &Circumstances) -> u32 {
        if !self.reordering_seen() && (given.recovering || given.dup_thresh_reached) {
            return 0;
        }
        let quarters = u32::from(self.widened).saturating_add(1);
        (given.min_rtt_us / 4)
            .saturating_mul(quarters)
            .min(given.srtt_us)
    }

    /// What is lost by now, if anything has arrived.
    pub(crate) fn expiry(&self, now: Instant, reordering_window_us: u32) -> Option<Expiry> {
        self.xmit.is_set().then(|| Expiry {
            xmit: self.xmit,
            end: self.end,
            reach_us: self.rtt_us.saturating_add(reordering_window_us),
            now,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::delivery::Sent;

    const USUAL: Circumstances = Circumstances {
        recovering: false,
        dup_thresh_reached: false,
        min_rtt_us: 40_000,
        srtt_us: 60_000,
    };

    fn delivered(rack: &mut Rack, sent_ms: u64, end: u32, now_ms: u64, flags: u32) {
        let newest = Newest {
            end: SeqNum::new(end),
            sent: Sent {
                at: Stamp::at(Instant::from_millis(sent_ms)),
                flags,
                ..Sent::NEVER
            },
        };
        rack.on_delivered(&newest, Instant::from_millis(now_ms), USUAL.min_rtt_us);
    }

    fn xmit_ms(rack: &Rack) -> u64 {
        let now = Instant::from_millis(1_000_000);
        rack.xmit.resolve(now).unwrap().as_micros() / 1000
    }

    #[test]
    fn rfc8985_6_2_step_2_the_last_sent_counts_not_the_last_arrived() {
        let mut rack = Rack::EMPTY;
        assert_eq!(rack.expiry(Instant::from_millis(1), 0), None);
        delivered(&mut rack, 1000, 500, 1050, 0);
        delivered(&mut rack, 990, 900, 1055, 0);
        assert_eq!((xmit_ms(&rack), rack.rtt_us), (1000, 50_000));
        delivered(&mut rack, 1000, 700, 1060, 0);
        assert_eq!((rack.end, rack.rtt_us), (SeqNum::new(700), 60_000));
    }

    #[test]
    fn rfc8985_6_2_step_2_an_answer_too_quick_for_a_repair_is_ignored() {
        let mut rack = Rack::EMPTY;
        delivered(&mut rack, 1000, 500, 1050, 0);
        delivered(&mut rack, 1100, 300, 1130, Sent::RETRANSMITTED);
        assert_eq!(xmit_ms(&rack), 1000);
        delivered(&mut rack, 1100, 300, 1140, Sent::RETRANSMITTED);
        assert_eq!(xmit_ms(&rack), 1100);
    }

    #[test]
    fn rfc8985_6_2_step_4_no_window_until_reordering_is_seen_and_losses_are_likely() {
        let mut rack = Rack::EMPTY;
        assert_eq!(rack.reordering_window(&USUAL), 10_000);
        for given in [
            Circumstances {
                recovering: true,
                ..USUAL
            },
            Circumstances {
                dup_thresh_reached: true,
                ..USUAL
            },
        ] {
            assert_eq!(rack.reordering_window(&given), 0);
        }
        rack.note_reordering();
        let given = Circumstances {
            recovering: true,
            ..USUAL
        };
        assert_eq!(rack.reordering_window(&given), 10_000);
    }

    #[test]
    fn rfc8985_6_2_step_4_d_sacks_widen_it_once_a_round_and_recoveries_forget() {
        let mut rack = Rack::EMPTY;
        let (una, nxt) = (SeqNum::new(1000), SeqNum::new(9000));
        rack.on_dsack(una, nxt);
        rack.on_dsack(una, nxt);
        assert_eq!(rack.reordering_window(&USUAL), 20_000);
        rack.on_dsack(nxt, SeqNum::new(20_000));
        assert_eq!(rack.reordering_window(&USUAL), 30_000);
        // h9_9: Three quarters of the way round.
        let mut old = rack;
        let una = SeqNum::new(20_000).advance(3 << 30);
        old.on_dsack(una, una.advance(9000));
        assert_eq!(old.reordering_window(&USUAL), 40_000);
        for round in 1..100_u32 {
            let at = SeqNum::new(20_000 * round);
            rack.on_dsack(at, at.advance(20_000));
        }
        assert_eq!(
            rack.reordering_window(&USUAL),
            USUAL.srtt_us,
            "at most a round trip"
        );
        for _ in 0..15 {
            rack.on_recovery_exit();
        }
        assert!(rack.reordering_window(&USUAL) > 10_000);
        rack.on_recovery_exit();
        assert_eq!(rack.reordering_window(&USUAL), 10_000);
    }

    #[test]
    fn rfc8985_6_2_step_4_a_round_ends_with_the_window_that_it_widened() {
        let mut rack = Rack::EMPTY;
        let (una, nxt) = (SeqNum::new(1000), SeqNum::new(9000));
        rack.on_dsack(una, nxt);
        assert_eq!(rack.reordering_window(&USUAL), 20_000);
        for _ in 0..PERSIST {
            rack.on_recovery_exit();
        }
        assert_eq!(rack.reordering_window(&USUAL), 10_000);
        rack.on_dsack(una, nxt);
        assert_eq!(rack.reordering_window(&USUAL), 20_000);
        // No round has begun before the first D-SACK, wherever the numbers are.
        let mut rack = Rack::EMPTY;
        let una = SeqNum::new(u32::MAX - 500);
        rack.on_dsack(una, una.advance(9000));
        assert_eq!(rack.reordering_window(&USUAL), 20_000);
    }
}
