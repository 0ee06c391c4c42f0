//! The half that faces the data's receiver: what it has, what it may be sent, and what is next.

use crate::congestion::ControllerState;
use crate::recovery::rtt::{Backoff, RtoBounds, RttEstimator};
use crate::seq::{SeqNum, SeqRange};
use crate::time::{Instant, Moment, Stamp};

/// State toward the receiver of the data (RFC 9293 section 3.3.1, send sequence space).
///
/// Of a direction that is only watched, the numbers say what went by.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct SendHalf {
    /// SND.UNA: highest acknowledgement of the receiver (*A*; *P* where the stream is watched).
    pub(crate) snd_una: SeqNum,
    /// SND.NXT: what was sent on so far, a FIN counted (*N*; *X* where the stream is watched).
    pub(crate) snd_nxt: SeqNum,
    /// Right edge of the receiver's window (*We*).
    pub(crate) wnd_edge: SeqNum,
    /// SND.WL1: sequence number of the segment that gave the window.
    wl1: SeqNum,
    /// Largest window the receiver has offered, in octets (Max.SND.WND).
    pub(crate) wnd_max: u32,
    /// The receiver's newest window field.
    pub(crate) window: u16,
    /// Duplicate acknowledgements in a row.
    pub(crate) duplicate_acks: u8,
    /// How often the retransmission time-out is doubled.
    backoff: Backoff,
    /// The receiver's newest TSecr.
    pub(crate) tsecr: u32,
    /// Everything in `snd_una .. lost_edge` that is not SACKed counts as lost.
    pub(crate) lost_edge: SeqNum,
    /// What is lost before this was sent again (HighRxt, RFC 6675).
    pub(crate) high_rxt: SeqNum,
    /// Octets between `high_rxt` and `lost_edge` that are not SACKed.
    pub(crate) lost: u32,
    /// Highest edge the receiver has SACKed.
    pub(crate) sacked_to: SeqNum,
    /// Recovery ends when this is acknowledged (RFC 6582 `recover`, RFC 6675 RecoveryPoint).
    pub(crate) recover: SeqNum,
    /// The end of the segment being timed, while `timed_at` is set.
    timed_end: SeqNum,
    timed_at: Stamp,
    /// When the retransmission or persist timer expires.
    pub(crate) timer: Stamp,
    /// When the receiver last made progress, or showed that it lives behind a closed window.
    pub(crate) progress_at: Stamp,
    /// When something was last sent.
    pub(crate) sent_at: Moment,
    /// Measured delivery rate, in octets per second.
    pub(crate) rate: u32,
    rate_octets: u32,
    rate_since: Moment,
    rtt: RttEstimator,
    pub(crate) congestion: ControllerState,
}

/// Time without progress after which a direction counts as stalled (rule H12.4), in microseconds.
const STALLED_US: u64 = 30_000_000;

/// Shortest time over which the delivery rate is measured, in microseconds.
const RATE_SPAN_US: u64 = 100_000;

impl SendHalf {
    pub(crate) const EMPTY: Self = Self {
        snd_una: SeqNum::ZERO,
        snd_nxt: SeqNum::ZERO,
        wnd_edge: SeqNum::ZERO,
        wl1: SeqNum::ZERO,
        wnd_max: 0,
        window: 0,
        duplicate_acks: 0,
        backoff: Backoff::NONE,
        tsecr: 0,
        lost_edge: SeqNum::ZERO,
        high_rxt: SeqNum::ZERO,
        lost: 0,
        sacked_to: SeqNum::ZERO,
        recover: SeqNum::ZERO,
        timed_end: SeqNum::ZERO,
        timed_at: Stamp::NEVER,
        timer: Stamp::NEVER,
        progress_at: Stamp::NEVER,
        sent_at: Moment::NEVER,
        rate: 0,
        rate_octets: 0,
        rate_since: Moment::NEVER,
        rtt: RttEstimator::EMPTY,
        congestion: ControllerState::EMPTY,
    };

    /// Octets of payload in a full segment to the receiver; zero before service begins.
    pub(crate) const fn mss(&self) -> u16 {
        self.congestion.mss()
    }

    /// Octets sent and not acknowledged (FlightSize, RFC 5681), a FIN counted.
    pub(crate) fn in_flight(&self) -> u32 {
        self.snd_nxt.octets_past(self.snd_una)
    }

    /// What has been sent and not acknowledged.
    pub(crate) const fn outstanding(&self) -> SeqRange {
        SeqRange::new(self.snd_una, self.snd_nxt)
    }

    /// What is lost and has not been sent again, SACKed octets not taken out.
    pub(crate) const fn repairable(&self) -> SeqRange {
        SeqRange::new(self.high_rxt, self.lost_edge)
    }

    /// Where new data must end: one octet before the edge, so that an acknowledgement at SND.NXT
    /// always lies strictly inside the window (rule H1.1b).
    pub(crate) const fn usable_edge(&self) -> SeqNum {
        self.wnd_edge.retreat(1)
    }

    /// No window that the receiver has offered reached further: its host may have taken some of it
    /// back, but its peer need not have heard of that yet.
    pub(crate) const fn widest_edge(&self) -> SeqNum {
        self.snd_una.advance(self.wnd_max)
    }

    /// The sequence number for segments without data: SND.NXT, unless the receiver has taken its
    /// window back (rule H1.1b).
    pub(crate) fn seq_without_data(&self) -> SeqNum {
        if self.snd_nxt.at_or_before(self.wnd_edge) {
            self.snd_nxt
        } else {
            self.snd_una.latest(self.usable_edge())
        }
    }

    /// Takes in a window if it is news (RFC 9293 section 3.10.7.4); whether it was.
    pub(crate) fn note_window(
        &mut self,
        seq: SeqNum,
        ack: SeqNum,
        field: u16,
        octets: u32,
    ) -> bool {
        let edge = ack.advance(octets);
        let is_news = self.wl1.before(seq)
            || (self.wl1 == seq && (ack.after(self.snd_una) || ack == self.snd_una))
            // A sender that has gone back to repeat itself still says how much it can take.
            || edge.after(self.wnd_edge);
        if !is_news {
            return false;
        }
        self.wl1 = self.wl1.latest(seq);
        self.window = field;
        self.wnd_edge = edge;
        self.wnd_max = self.wnd_max.max(octets);
        true
    }

    /// Begins the window state from a SYN or SYN-ACK of the receiver (rule H2.2).
    pub(crate) fn start_window(&mut self, seq: SeqNum, ack: SeqNum, field: u16) {
        self.wl1 = seq;
        self.window = field;
        self.wnd_edge = ack.advance(u32::from(field));
        self.wnd_max = u32::from(field);
    }

    /// The segment that ends at `end` leaves for the first time: time it unless another is timed.
    pub(crate) fn time_segment(&mut self, end: SeqNum, sent: Stamp) {
        if !self.timed_at.is_set() {
            self.timed_end = end;
            self.timed_at = sent;
        }
    }

    /// Something is sent again: the acknowledgement of what is timed would be ambiguous (Karn,
    /// RFC 6298 section 3).
    pub(crate) const fn stop_timing(&mut self) {
        self.timed_at = Stamp::NEVER;
    }

    /// The round trip of the timed segment, in microseconds, if `ack` covers it.
    pub(crate) fn timed_round_trip(&mut self, ack: SeqNum, now: Instant) -> Option<u32> {
        if !self.timed_at.is_set() || ack.before(self.timed_end) {
            return None;
        }
        let sample = self.timed_at.age(now);
        self.stop_timing();
        Some(sample)
    }

    /// Smoothed round-trip time in microseconds; `None` before the first sample.
    pub(crate) const fn srtt_us(&self) -> Option<u32> {
        self.rtt.srtt_us()
    }

    /// The retransmission time-out now, in microseconds.
    pub(crate) fn rto(&self, bounds: &RtoBounds) -> u32 {
        self.rtt.rto(bounds, self.backoff)
    }

    /// Takes in a round trip, in microseconds. It ends the back-off, because the time-out is
    /// computed anew (RFC 6298 section 5.7).
    pub(crate) fn on_round_trip(&mut self, sample_us: u32) {
        self.rtt.on_sample(sample_us);
        self.reset_backoff();
    }

    /// The retransmission timer expired.
    pub(crate) fn back_off(&mut self) {
        self.backoff.double();
    }

    /// New data was acknowledged without giving a sample, or nothing was lost after all.
    pub(crate) const fn reset_backoff(&mut self) {
        self.backoff = Backoff::NONE;
    }

    /// Whether nothing was delivered for so long that the octets in custody count as stuck (rule
    /// H12.4).
    pub(crate) fn has_stalled(&self, now: Instant) -> bool {
        let silent = u64::from(self.progress_at.age(now)) >= STALLED_US;
        // A receiver that answers from behind a closed window makes no progress either.
        let shut = self
            .rate_since
            .age_us(now)
            .is_some_and(|age| age >= STALLED_US);
        silent || (shut && self.backoff.is_high())
    }

    /// Counts delivered octets toward the delivery rate, measured over a round trip or more.
    pub(crate) fn note_delivered(&mut self, octets: u32, now: Instant) {
        self.rate_octets = self.rate_octets.saturating_add(octets);
        let Some(elapsed) = self.rate_since.age_us(now) else {
            self.rate_since = Moment::at(now);
            return;
        };
        if elapsed < RATE_SPAN_US.max(self.srtt_us().unwrap_or(0).into()) {
            return;
        }
        let per_second = u64::from(self.rate_octets)
            .saturating_mul(1_000_000)
            .checked_div(elapsed);
        let measured = per_second
            .and_then(|rate| u32::try_from(rate).ok())
            .unwrap_or(u32::MAX);
        // Rises at once and sinks slowly: the bound on debt must not choke a flow that speeds up.
        let sunk = self
            .rate
            .saturating_sub(self.rate / 4)
            .saturating_add(measured / 4);
        self.rate = measured.max(sunk);
        self.rate_octets = 0;
        self.rate_since = Moment::at(now);
    }

    /// Octets that the receiver drains in `micros` microseconds at its measured rate.
    pub(crate) fn drained_in(&self, micros: u64) -> u32 {
        let octets = u64::from(self.rate).saturating_mul(micros) / 1_000_000;
        u32::try_from(octets).unwrap_or(u32::MAX)
    }

    /// Takes `sacked` octets, newly reported and lost until now, out of the lost ones.
    pub(crate) const fn forgive(&mut self, sacked: u32) {
        self.lost = self.lost.saturating_sub(sacked);
    }

    /// Moves the marks of loss recovery behind SND.UNA.
    pub(crate) fn catch_up(&mut self) {
        self.snd_nxt = self.snd_nxt.latest(self.snd_una);
        if self.snd_una.octets_past(self.recover) > 1 << 30 {
            // Old enough to look new some day.
            self.recover = self.snd_una.retreat(1);
        }
        self.high_rxt = self.high_rxt.latest(self.snd_una);
        self.lost_edge = self.lost_edge.latest(self.snd_una);
        self.sacked_to = self.sacked_to.latest(self.snd_una);
        if self.high_rxt.at_or_after(self.lost_edge) {
            self.lost_edge = self.high_rxt;
            self.lost = 0;
        }
    }

    /// Lets a stream that is to be sent begin at `at`, with nothing in flight.
    pub(crate) const fn start_at(&mut self, at: SeqNum) {
        self.snd_una = at;
        self.snd_nxt = at;
        self.lost_edge = at;
        self.high_rxt = at;
        self.lost = 0;
        self.sacked_to = at;
        self.recover = at.retreat(1);
        self.duplicate_acks = 0;
        self.timer = Stamp::NEVER;
        self.progress_at = Stamp::NEVER;
        self.rate_since = Moment::NEVER;
        self.rate_octets = 0;
        self.stop_timing();
    }

    /// Whether `range` is one octet right behind a closed window, sent to learn when it opens.
    pub(crate) fn is_window_probe(&self, range: SeqRange) -> bool {
        range.octets() == 1 && range.start() == self.wnd_edge && self.wnd_edge == self.snd_una
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6298_5_7_a_sample_or_progress_ends_the_back_off() {
        let mut send = SendHalf::EMPTY;
        let rto = |send: &SendHalf| send.rto(&RtoBounds::DEFAULT);
        send.on_round_trip(600_000);
        send.back_off();
        send.back_off();
        assert_eq!(rto(&send), 7_200_000);
        send.reset_backoff();
        assert_eq!(rto(&send), 1_800_000);
        send.back_off();
        send.on_round_trip(600_000);
        // RTTVAR has decayed to 225 ms.
        assert_eq!(rto(&send), 1_500_000);
    }
}
