//! One segment of an established flow, from arrival to verdict.

use super::Work;
use super::feedback::Feedback;
use super::intake::{Corrupt, Intake};
use crate::event::DemoteCause;
use crate::flow::FlowFlags;
use crate::flow::phase::Phase;
use crate::flow::stream::StreamFlags;
use crate::policy::Direction;
use crate::seq::{SeqNum, SeqRange};
use crate::sink::{PacketMeta, Sink, TransmitKind};
use crate::time::{Moment, Stamp};
use crate::verdict::{AbsorbReason, DropReason, PassReason, Verdict};
use crate::wire::{Flags, Segment};

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
            let verdict = self.on_watched(direction, packet, seg, meta);
            if self.arranged {
                self.note_ack_went(direction, verdict);
                self.tend(direction.reverse());
                self.tend(direction);
            }
            verdict
        };
        self.try_promote(direction);
        self.try_promote(direction.reverse());
        if self.arranged {
            self.try_snoop(direction);
            self.try_snoop(direction.reverse());
        }
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
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Verdict {
        if Self::verify(packet, seg, meta).is_err() {
            return Verdict::Pass(PassReason::BadChecksum);
        }
        let has_ack = seg.flags.contains(Flags::ACK);
        let sound = !has_ack || self.fault_of_ack(direction, seg).is_none();
        if !sound || !self.is_acceptable(direction, seg) {
            return Verdict::Pass(PassReason::BypassService);
        }
        if self.arranged {
            self.keep_copy(direction, packet, seg);
        }
        self.follow(direction, seg);
        let echo = direction.reverse();
        let una = self.flow.stream(echo).send.snd_una;
        let feedback = if has_ack {
            self.take_feedback(echo, seg)
        } else {
            Feedback::Nothing
        };
        let carries = seg.has_payload() || seg.flags.contains(Flags::FIN);
        if feedback == Feedback::Spared {
            return Verdict::Absorb(AbsorbReason::Spared);
        }
        if self.arranged && self.thins(direction, seg, una) {
            return Verdict::Absorb(AbsorbReason::Thinned);
        }
        let seq = self.seq_of_pure_ack(direction, seg);
        let lends = has_ack && !carries && seq != seg.seq;
        let mut verdict = Verdict::Pass(PassReason::BypassService);
        if lends || (has_ack && self.doles_out(echo)) {
            let seq = if lends { seq } else { seg.seq };
            verdict = self
                .forward(direction, packet, seg, meta, seq)
                .passing_for(PassReason::BypassService);
        }
        if feedback == Feedback::Covered && Self::erase_sack_of_copies(packet, seg, meta) {
            verdict = Verdict::Forward;
        }
        verdict
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
        let came_back = acceptable && self.may_have_come_back(direction, seg);
        if came_back && !carries {
            return match Self::verify(packet, seg, meta) {
                Ok(()) => Verdict::Drop(DropReason::CameBack),
                Err(Corrupt) => Verdict::Pass(PassReason::BadChecksum),
            };
        }
        let acceptable = acceptable && !came_back;
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
        let una = self.flow.stream(echo).send.snd_una;
        let feedback = if acceptable {
            if self.arranged {
                self.keep_copy(direction, packet, seg);
            }
            self.follow(direction, seg);
            self.take_feedback(echo, seg)
        } else {
            Feedback::Nothing
        };
        if acceptable {
            self.hear(direction, seg);
            self.note_marks(direction, seg, intake);
        }
        let mut verdict = if is_keepalive {
            self.on_keepalive(direction, packet, seg, meta)
        } else if active && carries {
            self.after_intake(direction, packet, seg, meta, intake, rcv_nxt)
        } else if carries {
            self.forward(direction, packet, seg, meta, seg.seq)
        } else {
            self.on_pure_ack(direction, packet, seg, meta, feedback, una)
        };
        if feedback == Feedback::Covered
            && verdict.goes_on()
            && Self::erase_sack_of_copies(packet, seg, meta)
        {
            verdict = Verdict::Forward;
        }
        if self.arranged {
            self.note_ack_went(direction, verdict);
        }
        self.settle(direction, seg, feedback, verdict);
        verdict
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
            // Most likely it is not taken; if it is, its acknowledgement will tell. Its timestamp may be
            // taken even so (rule H3.3).
            if let Some(val) = stamped {
                let expected = stream.rcv_nxt();
                stream.recv.note_timestamp(val, range.start(), expected);
            }
            stream.recv.seq_max = stream.recv.seq_max.latest(range.end());
            return;
        }
        stream.recv.seq_max = stream.recv.seq_max.latest(range.end());
        stream.recv.ack_sent = stream.send.snd_una;
        stream.watch(range, stamped);
        if seg.flags.contains(Flags::FIN) {
            stream.recv.fin = range.end().retreat(1);
            stream.flags.set(StreamFlags::FIN_SEEN);
            self.flow.end_by(closing, self.now);
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
        if let Some(cause) = self.flow.unfit(seg) {
            if cause == DemoteCause::Urgent {
                let urgent = seg.seq.advance(seg.urgent.into());
                let stream = self.flow.stream_mut(direction);
                // The pointer never goes back, whatever order it comes in (RFC 9293 section 3.10.7.4).
                stream.recv.urgent = if stream.flags.has(StreamFlags::URGENT) {
                    stream.recv.urgent.latest(urgent)
                } else {
                    urgent
                };
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
                } else if self.flow.stream(direction).owes_word_of_receiver() {
                    // What was missing before SACKed octets has come.
                    let flags = &mut self.flow.stream_mut(direction).flags;
                    flags.set(StreamFlags::ACK_OWED);
                }
                if direct
                    && self.flow.stream(direction).send.snd_nxt == seg.seq
                    && self.share_lets_pass(direction, seg.payload_len)
                {
                    let end = seg.seq_end();
                    let verdict = self.forward(direction, packet, seg, meta, seg.seq);
                    self.note_sent(direction, SeqRange::new(seg.seq, end));
                    return verdict;
                }
                Verdict::Absorb(AbsorbReason::Stored)
            }
            Intake::Held => {
                let stream = self.flow.stream(direction);
                let asks = !stream.flags.has(StreamFlags::SUSPECT)
                    && stream.rcv_nxt() == stream.recv.ack_sent;
                if early {
                    self.acknowledge(direction, seg, intake, rcv_nxt);
                } else if asks {
                    // Its receiver gets nothing from behind the hole, and cannot ask for what is missing
                    // (RFC 5681 section 4.2). Hosts that know SACK ask so: no duplicate means anything to
                    // them that brings no news (RFC 6675 section 2).
                    self.send_ack(direction, TransmitKind::DuplicateAck, SeqRange::default());
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
            Intake::Probe if !early && self.flow.stream(direction).send.snd_nxt == seg.seq => {
                // The window is the receiver's own: the question is for it.
                let recv = &mut self.flow.stream_mut(direction).recv;
                recv.seq_max = recv.seq_max.latest(seg.seq_end());
                self.forward(direction, packet, seg, meta, seg.seq)
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
        let flags = self.flow.stream(direction).flags;
        if !flags.has(StreamFlags::ACK_OWED) || flags.has(StreamFlags::WALK_OWED) {
            return;
        }
        let repeated = self.repeated(direction, seg, rcv_nxt, intake);
        let plain = matches!(
            intake,
            Intake::InOrder {
                filled_gap: false,
                ..
            }
        ) && repeated.is_empty();
        let offer = self.offer(direction);
        if plain && self.is_no_news(direction, offer) {
            // Said again it would look like a duplicate, and mean a loss (rule H4.5).
            self.wait_with_ack(direction);
            return;
        }
        self.pay_ack(direction, offer, repeated);
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
        una: SeqNum,
    ) -> Verdict {
        let active = self.flow.stream(direction).is_active();
        if active && let Some(cause) = self.flow.unfit(seg) {
            self.demote(direction, cause);
        }
        let echo = direction.reverse();
        if feedback == Feedback::WentRound {
            // The sender of that data is the judge of its own acknowledgement (rule H4.6).
            let seq = self.seq_of_pure_ack(direction, seg);
            return self.forward(direction, packet, seg, meta, seq);
        }
        if feedback == Feedback::Spared {
            return Verdict::Absorb(AbsorbReason::Spared);
        }
        if self.arranged && self.thins(direction, seg, una) {
            return Verdict::Absorb(AbsorbReason::Thinned);
        }
        let was_active = self.flow.stream(echo).is_active();
        self.try_leave(echo);
        let left = was_active && !self.flow.stream(echo).is_active();
        if left && Self::drop_report_of_copies(packet, seg, meta) {
            let seq = self.seq_of_pure_ack(direction, seg);
            let _ = self.forward(direction, packet, seg, meta, seq);
            return Verdict::Forward;
        }
        if self.flow.stream(echo).is_active() && !self.must_pass(direction, seg, feedback) {
            return Verdict::Absorb(AbsorbReason::Acknowledgement);
        }
        let seq = self.seq_of_pure_ack(direction, seg);
        self.forward(direction, packet, seg, meta, seq)
    }

    /// SND.NXT toward the receiver in place of the sender's own, which may run past the receiver's
    /// window while its data is stored (rule H1.1), and for some time after that (rule H2.11).
    fn seq_of_pure_ack(&self, direction: Direction, seg: &Segment) -> SeqNum {
        let stream = self.flow.stream(direction);
        let strays = stream.overruns() && seg.seq.after(stream.send.wnd_edge);
        if stream.is_active() || strays {
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
}
