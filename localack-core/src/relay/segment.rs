//! One segment of an established flow, from arrival to verdict.

use super::Work;
use super::feedback::Feedback;
use super::intake::{Corrupt, Intake};
use crate::event::DemoteCause;
use crate::flow::FlowFlags;
use crate::flow::phase::Phase;
use crate::flow::stream::StreamFlags;
use crate::half::recv::SackList;
use crate::policy::Direction;
use crate::seq::{SeqNum, SeqRange};
use crate::sink::{PacketMeta, Sink, TransmitKind};
use crate::time::{Moment, Stamp};
use crate::verdict::{AbsorbReason, DropReason, PassReason, Verdict};
use crate::wire::{Flags, Segment};

/// How often a flow that is short of blocks looks for some.
const POOL_PATIENCE: core::time::Duration = core::time::Duration::from_millis(200);
/// An acknowledgement may be this old at least, in octets.
const LEAST_ACK_LAG: u32 = 1 << 16;
/// A timestamp clock of a tick a microsecond goes half way round in 36 minutes.
const TIMESTAMP_LIFE_US: u64 = 30 * 60 * 1_000_000;
/// A keepalive that repeats an octet is told from a retransmission by the silence before it: no
/// stack sends one within a second of its last data (rule H9.1).
const KEEPALIVE_SILENCE_US: u64 = 1_000_000;

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Decides what becomes of a segment that travels in `direction`, and sends what it causes.
    pub(crate) fn on_segment(
        &mut self,
        direction: Direction,
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Verdict {
        self.note_silence();
        self.flow.seen_at = Moment::at(self.now);
        match self.flow.phase() {
            Phase::Resetting { from } => {
                return self.on_segment_while_resetting(from, direction, packet, seg, meta);
            }
            Phase::Tombstone => return self.on_segment_to_tombstone(direction, packet, seg, meta),
            Phase::Open => {}
            Phase::Free | Phase::SynSeen | Phase::SynAckSeen => {
                return Verdict::Pass(PassReason::Handshake);
            }
        }
        if !seg.ip.plain {
            return Verdict::Pass(PassReason::IpOptions);
        }
        if seg.options.malformed {
            return Verdict::Pass(PassReason::Malformed);
        }
        if seg.flags.contains(Flags::RST) {
            return self.on_reset(direction, packet, seg, meta);
        }
        self.reconcile();
        let verdict = if self.is_served() {
            self.on_served(direction, packet, seg, meta)
        } else {
            self.on_watched(direction, packet, seg, meta)
        };
        self.try_promote(direction);
        self.try_promote(direction.reverse());
        if Direction::BOTH
            .iter()
            .all(|&d| self.flow.stream(d).is_finished())
        {
            self.close();
        }
        verdict
    }

    /// A segment of a flow of which no direction is served: it is only followed.
    fn on_watched(
        &mut self,
        direction: Direction,
        packet: &[u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Verdict {
        if Self::verify(packet, seg, meta).is_err() {
            return Verdict::Pass(PassReason::BadChecksum);
        }
        let has_ack = seg.flags.contains(Flags::ACK);
        let sound = !has_ack || self.fault_of_ack(direction, seg).is_none();
        if sound && self.is_acceptable(direction, seg) {
            self.follow(direction, seg);
            if has_ack {
                self.take_feedback(direction.reverse(), seg);
            }
        }
        Verdict::Pass(PassReason::BypassService)
    }

    fn on_served(
        &mut self,
        direction: Direction,
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Verdict {
        let echo = direction.reverse();
        let active = self.flow.stream(direction).is_active();
        if let Some(verdict) = self.refuse(direction, packet, seg, meta) {
            return verdict;
        }
        let acceptable = self.is_acceptable(direction, seg);
        if !acceptable && let Some(verdict) = self.reject(direction, packet, seg, meta) {
            return verdict;
        }
        let rcv_nxt = self.flow.stream(direction).rcv_nxt();
        let carries = seg.has_payload() || seg.flags.contains(Flags::FIN);
        let is_keepalive = active && self.is_keepalive(direction, seg);
        let taken = if active && carries && !is_keepalive {
            self.take_data(direction, packet, seg, meta)
        } else {
            Self::verify(packet, seg, meta).map(|()| Intake::Nothing)
        };
        let intake = match taken {
            Ok(intake) => intake,
            Err(Corrupt) => return Verdict::Pass(PassReason::BadChecksum),
        };
        let feedback = if acceptable {
            self.follow(direction, seg);
            self.take_feedback(echo, seg)
        } else {
            Feedback::Nothing
        };
        if acceptable {
            self.hear(direction, seg);
        }
        let verdict = if is_keepalive {
            self.on_keepalive(direction, packet, seg, meta)
        } else if active && carries {
            self.after_intake(direction, packet, seg, meta, intake, rcv_nxt)
        } else if carries {
            self.forward(direction, packet, seg, meta, seg.seq)
        } else {
            self.on_pure_ack(direction, packet, seg, meta, feedback)
        };
        self.settle(direction, seg, feedback, verdict);
        verdict
    }

    /// Whether a segment's sequence number is one its receiver would accept, so that the rest of it
    /// may be believed (rules H1.9 and H5.3).
    pub(super) fn is_acceptable(&self, direction: Direction, seg: &Segment) -> bool {
        let stream = self.flow.stream(direction);
        let (low, high) = if stream.is_active() {
            let fin = u32::from(stream.fin().is_some());
            (
                stream.recv.ack_sent,
                stream.recv.edge.latest(stream.recv.seq_max).advance(fin),
            )
        } else {
            (stream.send.snd_una, stream.send.widest_edge())
        };
        let reaches = seg.seq_end().at_or_after(low) || seg.seq.at_or_after(low.retreat(1));
        reaches && seg.seq.at_or_before(high)
    }

    /// What becomes of a segment whose sequence number its receiver would not accept, if that is
    /// clear already. A host judges for itself (section 2.2); where the engine would lend the
    /// segment a sequence number that is accepted, it must judge (rule H1.9).
    fn reject(
        &mut self,
        direction: Direction,
        packet: &[u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Option<Verdict> {
        let stream = self.flow.stream(direction);
        let carries = seg.has_payload() || seg.flags.contains(Flags::FIN);
        if !stream.is_active() {
            let beyond = seg.seq.after(stream.send.widest_edge());
            return beyond.then_some(Verdict::Pass(PassReason::Unacceptable));
        }
        if carries {
            return None;
        }
        Some(match Self::verify(packet, seg, meta) {
            Ok(()) => Verdict::Drop(DropReason::OutOfWindow),
            Err(Corrupt) => Verdict::Pass(PassReason::BadChecksum),
        })
    }

    /// Segments that no receiver would accept, whatever its window: nothing of them is believed or
    /// passed on with numbers that make them acceptable (rules H1.9, H4.6 and H5.3).
    fn refuse(
        &mut self,
        direction: Direction,
        packet: &[u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Option<Verdict> {
        let reason = if seg.flags.contains(Flags::ACK) {
            self.fault_of_ack(direction, seg)
                .or_else(|| self.fault_of_timestamp(direction, seg))?
        } else {
            DropReason::NoAckFlag
        };
        if Self::verify(packet, seg, meta).is_err() {
            return Some(Verdict::Pass(PassReason::BadChecksum));
        }
        if reason != DropReason::NoAckFlag
            && seg.has_payload()
            && self.flow.stream(direction).is_active()
        {
            self.send_limited_ack(direction);
        }
        Some(Verdict::Drop(reason))
    }

    /// An acknowledgement of what cannot have been sent, or one far too old (RFC 5961 section 5.2).
    pub(super) fn fault_of_ack(&self, direction: Direction, seg: &Segment) -> Option<DropReason> {
        let echo = self.flow.stream(direction.reverse());
        let (sent, beyond) = if echo.is_active() {
            (echo.recv.edge, DropReason::AckBeyondEdge)
        } else {
            (echo.send.widest_edge(), DropReason::InvalidAck)
        };
        if seg.ack.after(echo.recv.seq_max.latest(sent)) {
            return Some(beyond);
        }
        let lag = echo.send.snd_una.octets_past(seg.ack);
        (lag > echo.send.wnd_max.max(LEAST_ACK_LAG)).then_some(DropReason::InvalidAck)
    }

    /// A timestamp older than one the engine has accepted in the receiver's place (PAWS).
    fn fault_of_timestamp(&self, direction: Direction, seg: &Segment) -> Option<DropReason> {
        let stream = self.flow.stream(direction);
        let void = self.has(FlowFlags::clock_void(direction.source()));
        let stamped = seg
            .options
            .timestamps
            .filter(|_| self.has(FlowFlags::TIMESTAMPS) && !void)?;
        (stream.is_active() && stream.recv.is_stale(stamped.val))
            .then_some(DropReason::OldTimestamp)
    }

    /// After a long silence a fast timestamp clock may have gone half way round: the next
    /// timestamp of each host is taken as it comes (rule H3.9, RFC 7323 section 5.5).
    fn note_silence(&mut self) {
        if self
            .flow
            .seen_at
            .age_us(self.now)
            .is_some_and(|silence| silence > TIMESTAMP_LIFE_US)
        {
            self.flow.flags.set(FlowFlags::INNER_CLOCK_VOID);
            self.flow.flags.set(FlowFlags::OUTER_CLOCK_VOID);
        }
    }

    /// Follows a valid segment of a host: how its packets look, its timestamps, its numbers.
    fn follow(&mut self, direction: Direction, seg: &Segment) {
        self.flow.host_mut(direction.source()).observe(seg);
        let stamped = seg
            .options
            .timestamps
            .filter(|_| self.has(FlowFlags::TIMESTAMPS))
            .map(|t| t.val);
        let void = FlowFlags::clock_void(direction.source());
        let renew = self.has(void) && stamped.is_some();
        if renew {
            self.flow.flags.clear(void);
        }
        let closing = self.now.after(self.config.closing_time);
        let stream = self.flow.stream_mut(direction);
        if let Some(val) = stamped {
            if renew {
                stream.recv.ts_recent = val;
                stream.recv.ts_max = val;
            }
            stream
                .recv
                .note_timestamp(val, seg.seq, stream.recv.ack_sent);
        }
        if stream.is_active() {
            return;
        }
        let range = SeqRange::new(seg.seq, seg.seq_end());
        if seg.payload_len == 1 && stream.send.is_window_probe(range) {
            // Most likely it is not taken; if it is, its acknowledgement will tell.
            return;
        }
        stream.recv.seq_max = stream.recv.seq_max.latest(range.end());
        stream.recv.ack_sent = stream.send.snd_una;
        stream.watch(range, stamped);
        if seg.flags.contains(Flags::FIN) {
            stream.recv.fin = range.end().retreat(1);
            stream.flags.set(StreamFlags::FIN_SEEN);
            self.flow.end_by(closing);
        }
    }

    /// A valid segment shows that its host is alive and established.
    fn hear(&mut self, direction: Direction, seg: &Segment) {
        let echo = direction.reverse();
        if self.flow.pending.from() == direction.source() {
            // Its SYN, if it sent one, was of no consequence (rule H7.7).
            self.flow.flags.clear(FlowFlags::SYN_PENDING);
        }
        self.end_suspicion(direction);
        // Whoever still speaks has not reset the connection.
        self.end_suspicion(echo);
        let served = self.flow.stream_mut(echo);
        if served.flags.take(StreamFlags::KEEPALIVE_HELD) {
            served.flags.set(StreamFlags::ACK_OWED);
        }
        if served.is_active()
            && (seg.has_payload() || served.send.snd_una.after(served.recv.ack_sent))
        {
            self.note_proof(echo);
        }
    }

    fn end_suspicion(&mut self, direction: Direction) {
        let stream = self.flow.stream_mut(direction);
        if stream.flags.take(StreamFlags::SUSPECT) {
            stream.patience = Stamp::NEVER;
            if stream.ack_point().after(stream.recv.ack_sent) {
                stream.flags.set(StreamFlags::ACK_OWED);
            }
        }
    }

    /// Whether the segment asks if the receiver lives or has reopened its window: it begins one
    /// before what its sender knows to be acknowledged, and carries nothing new (rules H2.6, H9.1).
    fn is_keepalive(&self, direction: Direction, seg: &Segment) -> bool {
        let stream = self.flow.stream(direction);
        // After a finished FIN its sequence number is the one that is repeated.
        let next = stream.next_expected();
        let asks = seg.seq == stream.recv.ack_sent.retreat(1)
            && stream.recv.ack_sent == next
            && !seg.flags.contains(Flags::FIN)
            && (stream.fin().is_none() || stream.is_finished());
        let quiet = !stream
            .recv
            .data_at
            .is_within(KEEPALIVE_SILENCE_US, self.now);
        asks && (seg.payload_len == 0 || (seg.payload_len == 1 && quiet))
    }

    /// Answers a window probe at once; passes a keepalive on, or keeps it until the receiver gives a
    /// sign of life (rules H2.6 and H9.1).
    fn on_keepalive(
        &mut self,
        direction: Direction,
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Verdict {
        let stream = self.flow.stream_mut(direction);
        let is_shut = stream.recv.edge == stream.rcv_nxt();
        let may_send = stream.acks_early() && stream.fin().is_none();
        if may_send && (is_shut || stream.flags.take(StreamFlags::REOPENED)) {
            stream.flags.set(StreamFlags::ACK_OWED);
            return Verdict::Absorb(AbsorbReason::WindowProbe);
        }
        if stream.debt() == 0
            && stream.send.in_flight() == 0
            && stream.recv.seq_max == stream.next_expected()
        {
            stream.flags.set(StreamFlags::KEEPALIVE_PASSED);
            return self.forward(direction, packet, seg, meta, seg.seq);
        }
        stream.flags.set(StreamFlags::KEEPALIVE_HELD);
        Verdict::Absorb(AbsorbReason::Keepalive)
    }

    /// What becomes of a packet whose data was looked at.
    fn after_intake(
        &mut self,
        direction: Direction,
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
        intake: Intake,
        rcv_nxt: SeqNum,
    ) -> Verdict {
        if let Some(cause) = self.unfit(seg) {
            if cause == DemoteCause::Urgent {
                let urgent = seg.seq.advance(seg.urgent.into());
                let stream = self.flow.stream_mut(direction);
                stream.recv.urgent = urgent;
                stream.flags.set(StreamFlags::URGENT);
            }
            self.demote(direction, cause);
        }
        if !self.flow.stream(direction).is_active() {
            // It left the service just now; what was stored of the packet is not promised.
            let range = SeqRange::new(seg.seq, seg.seq_end());
            let stamp = seg.options.timestamps.map(|timestamps| timestamps.val);
            self.flow.stream_mut(direction).watch(range, stamp);
            return self.forward(direction, packet, seg, meta, seg.seq);
        }
        let early = self.flow.stream(direction).acks_early();
        match intake {
            Intake::InOrder { direct, .. } => {
                if early {
                    self.acknowledge(direction, seg, intake, rcv_nxt);
                }
                if direct && self.flow.stream(direction).send.snd_nxt == seg.seq {
                    let end = seg.seq_end();
                    let verdict = self.forward(direction, packet, seg, meta, seg.seq);
                    self.note_sent(direction, end);
                    return verdict;
                }
                Verdict::Absorb(AbsorbReason::Stored)
            }
            Intake::Held => {
                if early {
                    self.acknowledge(direction, seg, intake, rcv_nxt);
                }
                Verdict::Absorb(AbsorbReason::Stored)
            }
            Intake::Duplicate => {
                self.on_duplicate(direction, seg, rcv_nxt, early);
                Verdict::Absorb(AbsorbReason::Duplicate)
            }
            Intake::DuplicateFin => {
                self.send_limited_ack(direction);
                Verdict::Absorb(AbsorbReason::DuplicateFin)
            }
            Intake::Probe => {
                self.flow
                    .stream_mut(direction)
                    .flags
                    .set(StreamFlags::ACK_OWED);
                Verdict::Absorb(AbsorbReason::WindowProbe)
            }
            Intake::OutOfWindow => {
                self.send_limited_ack(direction);
                Verdict::Drop(DropReason::OutOfWindow)
            }
            Intake::BeyondFin => Verdict::Drop(DropReason::BeyondFin),
            Intake::NoMemory | Intake::Nothing => {
                if early {
                    self.send_limited_ack(direction);
                }
                Verdict::Absorb(AbsorbReason::NoMemory)
            }
        }
    }

    /// Acknowledges data just taken in, now or a little later (rule H5.6).
    fn acknowledge(
        &mut self,
        direction: Direction,
        seg: &Segment,
        intake: Intake,
        rcv_nxt: SeqNum,
    ) {
        self.schedule_ack(direction, seg, intake);
        let repeated = self.repeated(direction, seg, rcv_nxt, intake);
        if self.flow.stream(direction).flags.has(StreamFlags::ACK_OWED) {
            let advanced = self
                .flow
                .stream(direction)
                .ack_point()
                .after(self.flow.stream(direction).recv.ack_sent);
            let kind = if advanced {
                TransmitKind::LocalAck
            } else {
                TransmitKind::DuplicateAck
            };
            self.send_ack(direction, kind, repeated);
        }
    }

    /// Data that is known already: what was acknowledged is acknowledged again (rule H5.1); what
    /// was not is sent to the receiver once more, because its sender's patience says that it is
    /// time.
    fn on_duplicate(&mut self, direction: Direction, seg: &Segment, rcv_nxt: SeqNum, early: bool) {
        let stream = self.flow.stream(direction);
        let end = seg.seq.advance(seg.payload_len);
        if early {
            self.acknowledge(direction, seg, Intake::Duplicate, rcv_nxt);
        } else if end.at_or_before(stream.recv.ack_sent) {
            self.send_limited_ack(direction);
        } else if !stream.owes_word_of_receiver() && seg.seq.at_or_before(stream.send.snd_una) {
            self.repeat_head(direction, end);
        }
    }

    /// A segment that only acknowledges.
    fn on_pure_ack(
        &mut self,
        direction: Direction,
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
        feedback: Feedback,
    ) -> Verdict {
        let active = self.flow.stream(direction).is_active();
        if active && let Some(cause) = self.unfit(seg) {
            self.demote(direction, cause);
        }
        let echo = direction.reverse();
        if feedback == Feedback::WentRound {
            // The sender of that data is the judge of its own acknowledgement (rule H4.6).
            let seq = self.seq_of_pure_ack(direction, seg);
            return self.forward(direction, packet, seg, meta, seq);
        }
        self.try_leave(echo);
        if self.flow.stream(echo).is_active() && !self.must_pass(direction, seg, feedback) {
            return Verdict::Absorb(AbsorbReason::Acknowledgement);
        }
        let seq = self.seq_of_pure_ack(direction, seg);
        self.forward(direction, packet, seg, meta, seq)
    }

    /// SND.NXT toward the receiver in place of the sender's own, which may run past the receiver's
    /// window (rule H1.1).
    fn seq_of_pure_ack(&self, direction: Direction, seg: &Segment) -> SeqNum {
        let stream = self.flow.stream(direction);
        if stream.is_active() {
            stream.send.seq_without_data()
        } else {
            seg.seq
        }
    }

    /// Whether a receiver's pure acknowledgement goes on to the data's sender although the engine
    /// has acknowledged before it (section 2.2).
    fn must_pass(&self, direction: Direction, seg: &Segment, feedback: Feedback) -> bool {
        let echo = self.flow.stream(direction.reverse());
        let acks_fin = echo.is_finished() && echo.recv.ack_sent.at_or_before(echo.recv.fin);
        let asked =
            echo.flags.has(StreamFlags::KEEPALIVE_PASSED) || self.has(FlowFlags::SYN_PENDING);
        let honest = !echo.acks_early() && echo.ack_point().after(echo.recv.ack_sent);
        let asks = seg.seq.before(self.flow.stream(direction).send.snd_nxt)
            && !self.flow.stream(direction).is_active();
        acks_fin || asked || honest || feedback == Feedback::Opened || asks
    }

    /// Sends everything the segment has caused, as far as this call has room.
    fn settle(
        &mut self,
        direction: Direction,
        seg: &Segment,
        feedback: Feedback,
        verdict: Verdict,
    ) {
        let echo = direction.reverse();
        // Whatever else goes where the packet itself goes must not overtake it: it waits for the
        // next poll (rules H2.4 and H7.2).
        let goes_on = matches!(verdict, Verdict::Forward | Verdict::Pass(_));
        let (data, back) = (self.flow.stream(direction), self.flow.stream(echo));
        let relays = data.is_active() && !back.is_active() && feedback == Feedback::News;
        if relays && !goes_on {
            self.flow
                .stream_mut(direction)
                .flags
                .set(StreamFlags::RELAY_OWED);
        }
        if !goes_on && self.flow.stream(echo).owes_word_of_receiver() {
            self.flow.stream_mut(echo).flags.set(StreamFlags::ACK_OWED);
        }
        self.pay_acks(direction);
        if goes_on {
            self.note_cwnd_use(direction);
        } else {
            self.pay_acks(echo);
            self.relay_sack(direction, seg);
            self.pump(direction);
        }
        if self
            .flow
            .stream(direction)
            .flags
            .has(StreamFlags::RELAY_OWED)
        {
            self.send_relay(direction, &[]);
        }
        self.pump(echo);
        if !goes_on {
            self.offer_more(echo);
        }
        self.try_leave(echo);
        self.try_leave(direction);
    }

    /// Passes on the SACK blocks of a segment whose data stays here: no data segment of the engine
    /// carries any.
    fn relay_sack(&mut self, direction: Direction, seg: &Segment) {
        let blocks = seg.options.sack.as_slice();
        if !blocks.is_empty()
            && self
                .flow
                .stream(direction)
                .flags
                .has(StreamFlags::RELAY_OWED)
        {
            let blocks: SackList = blocks
                .iter()
                .map(|block| SeqRange::new(block.left, block.right))
                .filter(|range| !range.is_empty())
                .collect();
            self.send_relay(direction, &blocks);
        }
    }

    /// Pays acknowledgements that are owed to the sender of `direction`'s data.
    pub(super) fn pay_acks(&mut self, direction: Direction) {
        let stream = self.flow.stream_mut(direction);
        if !stream.is_active() {
            stream
                .flags
                .clear(StreamFlags::ACK_OWED.or(StreamFlags::WINDOW_OWED));
            return;
        }
        if stream.flags.has(StreamFlags::ACK_OWED) {
            let advanced = stream.ack_point().after(stream.recv.ack_sent);
            let kind = if advanced {
                TransmitKind::LocalAck
            } else {
                TransmitKind::DuplicateAck
            };
            self.send_ack(direction, kind, SeqRange::default());
        } else if stream.flags.has(StreamFlags::WINDOW_OWED) {
            self.send_ack(direction, TransmitKind::WindowUpdate, SeqRange::default());
        }
    }

    /// Announces a larger window to a sender that is short of it.
    pub(super) fn offer_more(&mut self, direction: Direction) {
        let stream = self.flow.stream(direction);
        if !stream.acks_early() || stream.fin().is_some() {
            return;
        }
        let (edge, target) = (stream.recv.edge, self.target_edge(direction));
        let left = edge.octets_past(stream.recv.seq_max);
        let step = self.window_step(direction);
        if crate::half::window::may_rise(edge, target, step) && left <= target.octets_past(edge) {
            self.flow
                .stream_mut(direction)
                .flags
                .set(StreamFlags::WINDOW_OWED);
            self.pay_acks(direction);
        } else if left < step
            && self.pool.available(&stream.chain) < step
            && !stream.recv.window_due.is_set()
        {
            // Nothing of this flow's own will tell when others give blocks back.
            let again = Stamp::at(self.now.after(POOL_PATIENCE));
            self.flow.stream_mut(direction).recv.window_due = again;
        }
    }
}
