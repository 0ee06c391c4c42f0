//! The half that faces the data's receiver: what it has, what it may be sent, and what is next.

mod flags;

pub(crate) use flags::{SendFlags, TimerKind};

use crate::congestion::{ControllerState, LostNow};
use crate::pacing::Pacer;
use crate::recovery::attempt::Attempt;
use crate::recovery::brink::Brink;
#[cfg(feature = "bbr")]
use crate::recovery::delivery::Delivery;
use crate::recovery::delivery::{RateSample, Sent};
use crate::recovery::lost::Lost;
use crate::recovery::min_rtt::MinRtt;
use crate::recovery::path_mtu::PathMtu;
use crate::recovery::rack::Rack;
use crate::recovery::rtt::{Backoff, RtoBounds, RttEstimator};
use crate::seq::{SeqNum, SeqRange, WindowScale};
use crate::time::{Instant, Moment, Stamp};

/// Segments that links lose in a round trip, beside a quarter of what is in flight.
const USUAL_LOSSES: u32 = 8;

/// State toward the receiver of the data (RFC 9293 section 3.3.1, send sequence space).
///
/// Of a direction that is only watched, the numbers say what went by.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
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
    /// The window field that offers `wnd_edge` with the receiver's newest acknowledgement.
    pub(crate) window: u16,
    /// Duplicate acknowledgements in a row.
    pub(crate) duplicate_acks: u8,
    /// How often the retransmission time-out is doubled.
    backoff: Backoff,
    /// The receiver's newest TSecr.
    pub(crate) tsecr: u32,
    /// What is lost and has to be sent again.
    pub(crate) lost: Lost,
    /// Highest edge the receiver has SACKed.
    pub(crate) sacked_to: SeqNum,
    /// Recovery ends when this is acknowledged (RFC 6582 `recover`, RFC 6675 RecoveryPoint).
    pub(crate) recover: SeqNum,
    /// The congestion window was used up when what lies before this was in flight.
    pub(crate) cwnd_full: SeqNum,
    /// What a tail loss probe or the forward part of F-RTO has to remember, see [`SendFlags`].
    pub(crate) probe_end: SeqNum,
    pub(crate) rack: Rack,
    /// What may have to be taken back: a jump or a reduction.
    pub(crate) attempt: Attempt,
    /// When the timer expires; the flags say what for.
    pub(crate) timer: Stamp,
    /// When the receiver last made progress, or showed that it lives behind a closed window.
    pub(crate) progress_at: Stamp,
    /// When something was last sent.
    pub(crate) sent_at: Moment,
    /// Measured delivery rate, in octets per second; of a copied stream a [`Brink`].
    pub(crate) rate: u32,
    /// Octets delivered since `rate_since`; of a watched stream, acknowledged since its sender was last told.
    rate_octets: u32,
    rate_since: Moment,
    rtt: RttEstimator,
    pub(crate) min_rtt: MinRtt,
    pub(crate) flags: SendFlags,
    pub(crate) path_mtu: PathMtu,
    /// When pacing lets something go that waits only for it.
    pub(crate) pace_due: Stamp,
    pub(crate) pacer: Pacer,
    #[cfg(feature = "bbr")]
    pub(crate) delivery: Delivery,
    pub(crate) congestion: ControllerState,
}

/// Time without progress after which a direction counts as stalled (rule H12.4), in microseconds.
const STALLED_US: u64 = 30_000_000;

/// Shortest time over which the delivery rate is measured, in microseconds.
const RATE_SPAN_US: u64 = 100_000;
/// The same as long as nothing is known of it, for until then little may be in custody (rule H6.3).
const FIRST_RATE_SPAN_US: u64 = 30_000;

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
        lost: Lost::nothing_from(SeqNum::ZERO),
        sacked_to: SeqNum::ZERO,
        recover: SeqNum::ZERO,
        cwnd_full: SeqNum::ZERO,
        probe_end: SeqNum::ZERO,
        rack: Rack::EMPTY,
        attempt: Attempt::EMPTY,
        timer: Stamp::NEVER,
        progress_at: Stamp::NEVER,
        sent_at: Moment::NEVER,
        rate: 0,
        rate_octets: 0,
        rate_since: Moment::NEVER,
        rtt: RttEstimator::EMPTY,
        min_rtt: MinRtt::EMPTY,
        flags: SendFlags::NONE,
        path_mtu: PathMtu::SETTLED,
        pace_due: Stamp::NEVER,
        pacer: Pacer::EMPTY,
        #[cfg(feature = "bbr")]
        delivery: Delivery::EMPTY,
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

    /// Takes in a window if it is news (RFC 9293 section 3.10.7.4); whether it was. `advances` says that
    /// it came with the newest acknowledgement: then it is, whatever was sent again with it (rule H2.3).
    pub(crate) fn note_window(
        &mut self,
        seq: SeqNum,
        ack: SeqNum,
        field: u16,
        scale: WindowScale,
        advances: bool,
    ) -> bool {
        let octets = scale.octets(field);
        let edge = ack.advance(octets);
        let is_news = self.wl1.before(seq)
            || advances
            || (self.wl1 == seq && ack.at_or_after(self.snd_una))
            // A sender that has gone back to repeat itself still says how much it can take.
            || edge.after(self.wnd_edge);
        if !is_news {
            return false;
        }
        self.wl1 = self.wl1.latest(seq);
        // An overtaken segment with a further edge: its field, said with a newer acknowledgement, would
        // reach past that edge (rule H5.10).
        self.window = if ack.before(self.snd_una) {
            scale.field_floor(edge.octets_past(self.snd_una))
        } else {
            field
        };
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

    /// Lets the timer expire `at` a time, for this reason.
    pub(crate) const fn arm(&mut self, kind: TimerKind, at: Instant) {
        self.timer = Stamp::at(at);
        self.flags.set_timer(kind);
    }

    /// Whether the retransmission time-out is what the timer runs for, or its first half.
    pub(crate) const fn times_out(&self) -> bool {
        matches!(self.timer_kind(), TimerKind::Timeout | TimerKind::PathCheck)
    }

    /// Why the timer will expire.
    pub(crate) const fn timer_kind(&self) -> TimerKind {
        self.flags.timer()
    }

    /// The note of a transmission of `octets`, with `in_flight` octets before it.
    pub(crate) fn note_of(
        &mut self,
        now: Instant,
        octets: u32,
        in_flight: u32,
        again: bool,
    ) -> Sent {
        #[cfg(feature = "bbr")]
        let mut sent = self.delivery.on_sent(now, octets, in_flight);
        #[cfg(not(feature = "bbr"))]
        let mut sent = {
            let _ = (octets, in_flight);
            Sent {
                at: Stamp::at(now),
                ..Sent::NEVER
            }
        };
        if again {
            sent.flags |= Sent::RETRANSMITTED;
        }
        sent
    }

    /// Octets arrived; `newest` is the note of the last sent of them. What that says of the path.
    pub(crate) fn on_delivered(
        &mut self,
        now: Instant,
        octets: u32,
        newest: Option<&Sent>,
    ) -> RateSample {
        #[cfg(feature = "bbr")]
        return self
            .delivery
            .on_delivered(now, octets, newest, self.min_rtt.us());
        #[cfg(not(feature = "bbr"))]
        {
            let _ = (now, octets, newest);
            RateSample::default()
        }
    }

    /// Octets were found lost, the last of them sent with the note `last`; `in_flight` octets were
    /// under way. Whether the receiver SACKs, it says too.
    pub(crate) fn on_lost(
        &mut self,
        now: Instant,
        octets: u32,
        last: Option<&Sent>,
        in_flight: u32,
        sack: bool,
    ) {
        #[cfg(feature = "bbr")]
        let (tx_in_flight, lost_since_sent) = {
            let total = self.delivery.on_lost(octets);
            (
                last.map_or(in_flight, |sent| sent.in_flight),
                last.map_or(octets, |sent| total.wrapping_sub(sent.lost)),
            )
        };
        #[cfg(not(feature = "bbr"))]
        let (tx_in_flight, lost_since_sent) = (in_flight, octets);
        self.congestion.on_lost(&LostNow {
            now,
            octets,
            tx_in_flight,
            lost_since_sent,
            is_app_limited: last.is_some_and(|sent| sent.flags & Sent::APP_LIMITED != 0),
            sack,
        });
    }

    /// Nothing waits to be sent although the congestion window has room.
    pub(crate) fn on_app_limited(&mut self, in_flight: u32) {
        #[cfg(feature = "bbr")]
        self.delivery.on_app_limited(in_flight);
        #[cfg(not(feature = "bbr"))]
        let _ = in_flight;
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
    pub(crate) fn on_round_trip(&mut self, sample_us: u32, now: Instant) {
        self.rtt.on_sample(sample_us);
        self.min_rtt.on_sample(sample_us, now);
        self.reset_backoff();
    }

    /// What a round trip was for others, as long as none was measured here; in microseconds.
    pub(crate) fn expect_round_trip(&mut self, srtt_us: u32) {
        self.rtt.on_sample(srtt_us);
    }

    /// The retransmission timer expired.
    pub(crate) fn back_off(&mut self) {
        self.backoff.double();
    }

    /// New data was acknowledged without giving a sample: the time-out stays as it is (RFC 6298 section
    /// 5).
    pub(crate) const fn note_progress(&mut self) {
        self.backoff.note_progress();
    }

    /// The time-out is as it was computed: what it was doubled for was no silence of the path.
    pub(crate) const fn reset_backoff(&mut self) {
        self.backoff = Backoff::NONE;
    }

    /// How often the time-out is doubled.
    pub(crate) const fn doublings(&self) -> u8 {
        self.backoff.doublings()
    }

    /// Time-outs since the last progress, as far as they are told apart.
    pub(crate) const fn time_outs(&self) -> u8 {
        self.backoff.time_outs()
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

    /// Octets acknowledged to the sender of a watched stream since the last acknowledgement that it got.
    pub(crate) const fn octets_held_back(&self) -> u32 {
        self.rate_octets
    }

    /// When that one went on, if any did.
    pub(crate) fn held_back_since(&self, now: Instant) -> Option<Instant> {
        let age_us = self.rate_since.age_us(now)?;
        Some(Instant::from_micros(now.as_micros().saturating_sub(age_us)))
    }

    /// An acknowledgement of so many octets waits for the next one.
    pub(crate) const fn hold_back(&mut self, octets: u32) {
        self.rate_octets = self.rate_octets.saturating_add(octets);
    }

    /// An acknowledgement has gone on.
    pub(crate) fn begin_holding_back(&mut self, now: Instant) {
        self.rate_octets = 0;
        self.rate_since = Moment::at(now);
    }

    /// Counts delivered octets toward the delivery rate, measured over a round trip or more.
    pub(crate) fn note_drained(&mut self, octets: u32, now: Instant) {
        self.rate_octets = self.rate_octets.saturating_add(octets);
        let Some(elapsed) = self.rate_since.age_us(now) else {
            self.rate_since = Moment::at(now);
            return;
        };
        let least = if self.rate == 0 {
            FIRST_RATE_SPAN_US
        } else {
            RATE_SPAN_US
        };
        if elapsed < least.max(self.srtt_us().unwrap_or(0).into()) {
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

    /// The path carried so many octets a second before: until more is known, it still does.
    pub(crate) fn expect_rate(&mut self, rate: u32) {
        self.rate = self.rate.max(rate);
    }

    /// Octets that the receiver drains in `micros` microseconds: at its measured rate, or at the one
    /// that the operator vouches for where that is more (rule H6.3).
    pub(crate) fn drained_in(&self, micros: u64) -> u32 {
        let vouched = self.congestion.provisioned().map_or(0, |part| part.rate);
        let octets = u64::from(self.rate.max(vouched)).saturating_mul(micros) / 1_000_000;
        u32::try_from(octets).unwrap_or(u32::MAX)
    }

    /// Moves the marks of loss recovery behind SND.UNA.
    pub(crate) fn catch_up(&mut self) {
        self.snd_nxt = self.snd_nxt.latest(self.snd_una);
        if self.snd_una.octets_past(self.recover) > 1 << 30 {
            // Old enough to look new some day.
            self.recover = self.snd_una.retreat(1);
        }
        if self.snd_una.octets_past(self.cwnd_full) > 1 << 30 {
            self.cwnd_full = self.snd_una.retreat(1);
        }
        if !self
            .flags
            .has(SendFlags::TAIL_PROBE_OUT | SendFlags::FORWARD)
        {
            self.probe_end = self.probe_end.latest(self.snd_una);
        }
        let snd_una = self.snd_una;
        self.attempt.with_undo(|undo| undo.catch_up(snd_una));
        self.sacked_to = self.sacked_to.latest(self.snd_una);
        self.lost.catch_up(self.snd_una);
    }

    /// The window is reduced and losses are repaired: what a tail loss probe may have repaired asks for
    /// nothing more.
    pub(crate) const fn forget_tail_probe(&mut self) {
        if self.flags.has(SendFlags::TAIL_PROBE_OUT) {
            self.probe_end = self.snd_una;
        }
        self.probe_end = self.probe_end.latest(self.snd_una);
        self.flags.clear(
            SendFlags::TAIL_PROBE_OUT | SendFlags::TAIL_PROBE_REPEATS | SendFlags::TAIL_PROBE_OWED,
        );
    }

    /// Lets a stream that is to be sent begin at `at`, with nothing in flight.
    pub(crate) const fn start_at(&mut self, at: SeqNum) {
        self.snd_una = at;
        self.snd_nxt = at;
        self.lost = Lost::nothing_from(at);
        self.sacked_to = at;
        self.recover = at.retreat(1);
        self.cwnd_full = at;
        self.probe_end = at;
        self.rack = Rack::EMPTY;
        self.attempt = Attempt::EMPTY;
        self.flags = SendFlags::NONE;
        self.path_mtu = PathMtu::SETTLED;
        self.duplicate_acks = 0;
        self.timer = Stamp::NEVER;
        self.pace_due = Stamp::NEVER;
        self.pacer = Pacer::EMPTY;
        self.progress_at = Stamp::NEVER;
        self.rate_since = Moment::NEVER;
        self.rate_octets = 0;
        #[cfg(feature = "bbr")]
        {
            self.delivery = Delivery::EMPTY;
        }
    }

    /// Lets everything that is known of losses and repairs begin anew at `at`, whatever is in flight before
    /// it: that concerns only its sender.
    pub(crate) fn begin_copies(&mut self, at: SeqNum) {
        self.lost = Lost::nothing_from(at);
        self.sacked_to = at;
        self.recover = at.retreat(1);
        self.cwnd_full = at;
        self.probe_end = at;
        self.rack = Rack::EMPTY;
        self.attempt = Attempt::EMPTY;
        // What the hosts themselves have said stays.
        self.flags.keep(SendFlags::ECHO | SendFlags::OVERRUNS);
        self.path_mtu = PathMtu::SETTLED;
        self.duplicate_acks = 0;
        self.timer = Stamp::NEVER;
        self.pace_due = Stamp::NEVER;
        self.reset_backoff();
    }

    /// Something of what is copied was lost: whether its sender should hear of it and slow down, because the
    /// queue before the path is full, or because more of what is in flight is lost than links lose.
    pub(crate) fn is_congested(&mut self, now: Instant) -> bool {
        let least_us = self.min_rtt.us().unwrap_or(0);
        let queue_us = self.rack.rtt_us().saturating_sub(least_us);
        let mut brink = Brink::from_word(self.rate);
        let is_full = brink.on_loss(queue_us, least_us, now);
        self.rate = brink.to_word();
        let lost = self
            .attempt
            .undo()
            .octets()
            .saturating_add(self.lost.octets());
        let usual = u32::from(self.mss()).saturating_mul(USUAL_LOSSES);
        is_full || lost > usual.saturating_add(self.in_flight() / 4)
    }

    /// The window is what its hosts have in flight: they answer for it.
    pub(crate) fn admit_all_in_flight(&mut self) {
        let in_flight = self.in_flight();
        if in_flight > self.congestion.cwnd() {
            self.congestion.set_cwnd(in_flight);
        }
    }

    /// Nothing more is sent of what was stored.
    pub(crate) const fn stand_still(&mut self) {
        self.timer = Stamp::NEVER;
        self.pace_due = Stamp::NEVER;
        self.lost = Lost::nothing_from(self.snd_una);
    }

    /// The two hosts see each other's marks themselves from now on. What the engine has not answered
    /// yet is theirs to answer: a receiver repeats its echo until it is told that the window was
    /// reduced (RFC 3168 section 6.1.3).
    pub(crate) const fn leave_ecn(&mut self) {
        self.flags
            .clear(SendFlags::ECHO | SendFlags::CWR_OWED | SendFlags::ECN_REDUCED);
    }

    /// Whether `range` is one octet right behind a closed window, sent to learn when it opens.
    pub(crate) fn is_window_probe(&self, range: SeqRange) -> bool {
        range.octets() == 1 && range.start() == self.wnd_edge && self.wnd_edge == self.snd_una
    }
}

#[cfg(test)]
mod tests;
