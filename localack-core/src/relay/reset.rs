//! Resets: judged, delayed until what was promised is delivered, or sent by the engine itself
//! (sections 1.8 and 2.5 of the protocol's rules).

use super::Work;
use super::feedback::Feedback;
use crate::event::Event;
use crate::flow::FlowFlags;
use crate::flow::phase::Phase;
use crate::flow::stream::StreamFlags;
use crate::policy::{Direction, Port};
use crate::seq::SeqNum;
use crate::sink::{PacketMeta, Sink, TransmitKind};
use crate::stats::DirectionMode;
use crate::time::Stamp;
use crate::verdict::{AbsorbReason, DropReason, PassReason, Verdict};
use crate::wire::{Flags, Segment};

/// Retransmission time-outs of silence after which a suspected reset counts (rule H8.4).
const SUSPECT_TIMEOUTS: u32 = 3;
/// How long a reset waits for a sink that was full.
const RESET_RETRY: core::time::Duration = core::time::Duration::from_millis(10);

impl<S: Sink + ?Sized> Work<'_, S> {
    /// A reset from the sender of `direction`'s data.
    pub(super) fn on_reset(
        &mut self,
        direction: Direction,
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Verdict {
        if Self::verify(packet, seg, meta).is_err() {
            return Verdict::Pass(PassReason::BadChecksum);
        }
        if self.flow.stream(direction).is_active() {
            self.on_reset_of_served(direction, packet, seg, meta)
        } else {
            self.on_reset_of_watched(direction, packet, seg, meta)
        }
    }

    /// The engine is the receiver that the reset must convince (RFC 5961 section 3.2).
    fn on_reset_of_served(
        &mut self,
        direction: Direction,
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Verdict {
        let stream = self.flow.stream(direction);
        let recv = &stream.recv;
        let after_fin = stream.fin().filter(|&fin| fin == stream.rcv_nxt()).map(|fin| fin.advance(1));
        let sacked = self.has(FlowFlags::SACK) && stream.flags.has(StreamFlags::SACK_PROMISED);
        // RCV.NXT is what was acknowledged, or a little more while an acknowledgement waits.
        let exact = seg.seq == recv.ack_sent
            || seg.seq == stream.rcv_nxt()
            || Some(seg.seq) == after_fin
            || (sacked && seg.seq == recv.sacked_to);
        if exact {
            return self.obey_reset(direction, packet, seg, meta);
        }
        if seg.seq.after(recv.ack_sent) && seg.seq.at_or_before(recv.edge) {
            self.send_limited_ack(direction, TransmitKind::Challenge);
            return Verdict::Absorb(AbsorbReason::Challenged);
        }
        Verdict::Drop(DropReason::BlindReset)
    }

    /// The other end host is the receiver that the reset must convince; it may know better what is
    /// exact (rule H8.4).
    fn on_reset_of_watched(
        &mut self,
        direction: Direction,
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Verdict {
        let send = &self.flow.stream(direction).send;
        let (una, contiguous, edge) = (send.snd_una, send.contiguous, send.widest_edge());
        if seg.seq == una && una == contiguous {
            return self.obey_reset(direction, packet, seg, meta);
        }
        let served = self.is_served();
        if seg.seq.at_or_after(una) && seg.seq.at_or_before(contiguous) {
            if served {
                self.suspect(direction.reverse());
            } else {
                self.close();
            }
        } else if served && (seg.seq.before(una) || seg.seq.after(edge)) {
            return Verdict::Drop(DropReason::BlindReset);
        }
        self.forward(direction, packet, seg, meta, seg.seq).passing_for(PassReason::Reset)
    }

    /// The sender of `direction`'s data may have been reset: nothing more is acknowledged early
    /// until it is heard.
    fn suspect(&mut self, direction: Direction) {
        let patience = self.rto(direction).saturating_mul(SUSPECT_TIMEOUTS);
        let patience = Stamp::at(self.now.after(patience));
        let stream = self.flow.stream_mut(direction);
        if stream.mode() == DirectionMode::LocalAck && !stream.flags.has(StreamFlags::SUSPECT) {
            stream.recv.promise = stream.recv.ack_sent;
            stream.flags.set(StreamFlags::SUSPECT);
            stream.patience = patience;
        }
    }

    /// The suspicion has lasted too long: the reset was meant, and its sender's peer is gone.
    pub(super) fn confirm_suspicion(&mut self, direction: Direction) {
        let lost = self.flow.stream(direction).debt();
        self.lose(lost);
        self.event(Event::Reset { flow: self.id, from: direction.source().other(), lost });
        self.close();
    }

    /// A reset that counts: the host that sent it is gone. What it was to receive is lost; what it
    /// has sent and was promised is delivered first (rules H8.2 and H8.3).
    fn obey_reset(&mut self, direction: Direction, packet: &mut [u8], seg: &Segment, meta: PacketMeta) -> Verdict {
        let echo = direction.reverse();
        let last = &mut self.flow.stream_mut(echo).send;
        if seg.flags.contains(Flags::ACK) && seg.ack.at_or_before(last.snd_nxt) {
            last.watch_ack(seg.ack);
        }
        let lost = self.flow.stream(echo).debt();
        self.lose(lost);
        self.event(Event::Reset { flow: self.id, from: direction.source(), lost });
        let owes = !self.flow.stream(direction).owes_nothing();
        if !owes {
            let seq = if self.flow.stream(direction).is_active() {
                self.flow.stream(direction).send.seq_without_data()
            } else {
                seg.seq
            };
            let verdict = self.forward(direction, packet, seg, meta, seq);
            self.close();
            return verdict.passing_for(PassReason::Reset);
        }
        self.abandon(echo);
        let stream = self.flow.stream_mut(direction);
        stream.recv.promise = stream.recv.ack_sent;
        stream.set_mode(DirectionMode::Draining);
        // The reset takes the place of a FIN.
        stream.flags.clear(StreamFlags::FIN_SEEN.or(StreamFlags::SUSPECT).or(StreamFlags::ACK_OWED));
        stream.recv.ack_due = Stamp::NEVER;
        stream.recv.window_due = Stamp::NEVER;
        stream.patience = Stamp::NEVER;
        self.flow.set_phase(Phase::Resetting { from: direction.source() });
        self.flow.phase_due = self.now.after(self.config.reset_patience).as_micros();
        self.pump(direction);
        Verdict::Absorb(AbsorbReason::ResetHeld)
    }

    /// Gives up what is stored of a direction whose receiver is gone. Its acknowledgements so far
    /// stay in force.
    fn abandon(&mut self, direction: Direction) {
        let stream = self.flow.stream_mut(direction);
        if stream.is_active() {
            stream.send.snd_una = stream.recv.ack_sent;
            stream.send.snd_nxt = stream.send.snd_nxt.latest(stream.recv.ack_sent);
            self.pool.retire(&mut stream.chain);
            stream.set_mode(DirectionMode::Bypass);
            stream.set_service(crate::policy::Service::Bypass);
            stream.send.timer = Stamp::NEVER;
            stream.recv.ack_due = Stamp::NEVER;
            stream.recv.window_due = Stamp::NEVER;
            stream.flags = StreamFlags::NONE;
        }
    }

    fn lose(&mut self, octets: u32) {
        self.counters.octets_lost = self.counters.octets_lost.saturating_add(octets.into());
    }

    /// A segment while what the host on `from` was promised is still being delivered.
    pub(super) fn on_segment_while_resetting(
        &mut self,
        from: Port,
        direction: Direction,
        packet: &[u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Verdict {
        let absorbed = Verdict::Absorb(AbsorbReason::AfterReset);
        if direction.source() == from || Self::verify(packet, seg, meta).is_err() {
            return absorbed;
        }
        let served = direction.reverse();
        if seg.flags.contains(Flags::RST) {
            let send = &self.flow.stream(direction).send;
            if seg.seq.at_or_after(send.snd_una) && seg.seq.at_or_before(send.snd_nxt) {
                let lost = self.flow.stream(served).debt();
                self.lose(lost);
                self.event(Event::Reset { flow: self.id, from: from.other(), lost });
                self.close();
            }
            return absorbed;
        }
        if seg.flags.contains(Flags::ACK) && self.is_acceptable(direction, seg) {
            let feedback = self.take_feedback(served, seg);
            if feedback == Feedback::WentRound {
                self.close();
                return absorbed;
            }
            self.pump(served);
            self.finish_reset();
        }
        absorbed
    }

    /// Sends the reset that waited, once everything promised is delivered (rule 2.5).
    pub(super) fn finish_reset(&mut self) {
        let Phase::Resetting { from } = self.flow.phase() else { return };
        let direction = Direction::arriving_on(from);
        let stream = self.flow.stream(direction);
        let (seq, ack) = (stream.rcv_nxt(), self.flow.stream(direction.reverse()).send.snd_una);
        if stream.send.snd_una.at_or_after(seq) {
            self.flow.flags.set(FlowFlags::RESET_DUE);
            if self.send_reset(direction, seq, Some(ack)) {
                self.close();
            }
        }
    }

    /// Patience with the delivery before a reset has ended: the receiver is told all the same.
    pub(super) fn cut_reset_short(&mut self) {
        let Phase::Resetting { from } = self.flow.phase() else { return };
        let direction = Direction::arriving_on(from);
        let (una, ack) =
            (self.flow.stream(direction).send.snd_una, self.flow.stream(direction.reverse()).send.snd_una);
        if !self.send_reset(direction, una, Some(ack)) {
            self.flow.flags.set(FlowFlags::RESET_DUE);
            return;
        }
        let lost = self.flow.stream(direction).debt();
        self.lose(lost);
        self.event(Event::GivenUp { flow: self.id, direction, lost });
        self.entomb();
    }

    /// The receiver of `direction`'s data has been silent for too long (rule H8.7).
    pub(super) fn give_up(&mut self, direction: Direction) {
        // The receiver may well be in good health, and answer by another way (rule H9.3).
        let silently = self.has(FlowFlags::ASYMMETRIC);
        if !silently && !self.reset_both(direction) {
            let send = &mut self.flow.stream_mut(direction).send;
            send.timer = Stamp::at(self.now.after(RESET_RETRY));
            return;
        }
        let lost = self.flow.stream(direction).debt().saturating_add(self.flow.stream(direction.reverse()).debt());
        self.lose(lost);
        self.event(Event::GivenUp { flow: self.id, direction, lost });
        if silently { self.close() } else { self.entomb() }
    }

    /// Resets the sender of `direction`'s data and then its receiver; whether both could be sent.
    fn reset_both(&mut self, direction: Direction) -> bool {
        let back = direction.reverse();
        let (data, echo) = (self.flow.stream(direction), self.flow.stream(back));
        let (una, ack_sent, heard) = (data.send.snd_una, data.recv.ack_sent, echo.send.snd_una);
        if !self.has(FlowFlags::RESET_DUE) && self.send_reset(back, heard, Some(ack_sent)) {
            self.flow.flags.set(FlowFlags::RESET_DUE);
        }
        self.has(FlowFlags::RESET_DUE) && self.send_reset(direction, una, Some(heard))
    }

    /// Only the memory that the connection was reset stays (rule 2.5).
    fn entomb(&mut self) {
        for direction in Direction::BOTH {
            self.abandon(direction);
        }
        self.flow.flags.clear(FlowFlags::RESET_DUE);
        self.flow.set_phase(Phase::Tombstone);
        self.flow.phase_due = self.now.after(self.config.tombstone_time).as_micros();
    }

    /// Tells whoever still speaks that the connection was reset.
    pub(super) fn on_segment_to_tombstone(
        &mut self,
        direction: Direction,
        packet: &[u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Verdict {
        let answerable = seg.flags.contains(Flags::ACK) && !seg.flags.contains(Flags::RST);
        if answerable && Self::verify(packet, seg, meta).is_ok() {
            let seq: SeqNum = seg.ack;
            self.send_reset(direction.reverse(), seq, None);
        }
        Verdict::Absorb(AbsorbReason::Tombstone)
    }
}
