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
use crate::sink::{PacketMeta, Sink};
use crate::stats::DirectionMode;
use crate::time::{Due, Stamp};
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
        let after_fin = stream
            .fin()
            .filter(|&fin| fin == stream.rcv_nxt())
            .map(|fin| fin.advance(1));
        let sacked = self.has(FlowFlags::SACK) && stream.flags.has(StreamFlags::SACK_PROMISED);
        // RCV.NXT is what was acknowledged, or a little more while an acknowledgement waits.
        let exact = seg.seq == recv.ack_sent
            || seg.seq == stream.rcv_nxt()
            || Some(seg.seq) == after_fin
            || (sacked && seg.seq == recv.sacked_to && seg.seq.after(recv.ack_sent));
        if exact {
            return self.obey_reset(direction, packet, seg, meta);
        }
        if seg.seq.after(recv.ack_sent) && seg.seq.at_or_before(recv.edge) {
            self.send_challenge(direction);
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
        let stream = self.flow.stream(direction);
        let (una, contiguous, edge) = (
            stream.send.snd_una,
            stream.rcv_nxt(),
            stream.send.widest_edge(),
        );
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
        self.forward(direction, packet, seg, meta, seg.seq)
            .passing_for(PassReason::Reset)
    }

    /// The sender of `direction`'s data may have been reset: nothing more is acknowledged early
    /// until it is heard.
    fn suspect(&mut self, direction: Direction) {
        let patience = self.rto(direction).saturating_mul(SUSPECT_TIMEOUTS);
        let patience = Stamp::at(self.now.after(patience));
        let stream = self.flow.stream_mut(direction);
        if stream.mode() == DirectionMode::LocalAck && !stream.flags.has(StreamFlags::SUSPECT) {
            stream.flags.set(StreamFlags::SUSPECT);
            stream.patience = patience;
        }
    }

    /// The suspicion has lasted too long without a word from either host: the reset was meant. Both
    /// are told once more, with numbers that cannot be mistaken.
    pub(super) fn confirm_suspicion(&mut self, direction: Direction) {
        self.flow.stream_mut(direction).patience = Stamp::NEVER;
        self.give_up(direction);
    }

    /// A reset that counts: the host that sent it is gone. What it was to receive is lost; what it
    /// has sent and was promised is delivered first (rules H8.2 and H8.3).
    fn obey_reset(
        &mut self,
        direction: Direction,
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Verdict {
        let echo = direction.reverse();
        self.take_last_ack(echo, seg);
        let lost = self.flow.stream(echo).debt();
        self.lose(lost);
        self.event(Event::Reset {
            flow: self.id,
            from: direction.source(),
            lost,
        });
        let owes = !self.flow.stream(direction).owes_nothing();
        if !owes {
            let seq = if self.flow.stream(direction).is_active() {
                self.flow.stream(direction).send.seq_without_data()
            } else {
                seg.seq
            };
            let verdict = self.forward(direction, packet, seg, meta, seq);
            self.end();
            return verdict.passing_for(PassReason::Reset);
        }
        self.abandon(echo);
        let stream = self.flow.stream_mut(direction);
        stream.set_mode(DirectionMode::Draining);
        stream
            .flags
            .clear(StreamFlags::SUSPECT.or(StreamFlags::ACK_OWED));
        if stream
            .fin()
            .is_some_and(|fin| stream.send.snd_nxt.at_or_before(fin))
        {
            // The reset takes the place of the FIN.
            stream.flags.clear(StreamFlags::FIN_SEEN);
        }
        stream.recv.ack_due = Stamp::NEVER;
        stream.recv.window_due = Stamp::NEVER;
        stream.patience = Stamp::NEVER;
        self.flow.set_phase(Phase::Resetting {
            from: direction.source(),
        });
        self.flow.phase_due = Due::at(self.now.after(self.config.reset_patience));
        self.pump(direction);
        self.finish_reset();
        Verdict::Absorb(AbsorbReason::ResetHeld)
    }

    /// What a reset acknowledges of `direction`'s data is not lost: no more than is stored, though it may
    /// have been sent by a probe alone, or go round the engine (rule H4.6).
    fn take_last_ack(&mut self, direction: Direction, seg: &Segment) {
        let stream = self.flow.stream_mut(direction);
        let most = stream.rcv_nxt().latest(stream.send.snd_nxt);
        let send = &mut stream.send;
        if seg.flags.contains(Flags::ACK) && seg.ack.at_or_before(most) {
            send.snd_una = send.snd_una.latest(seg.ack);
            send.snd_nxt = send.snd_nxt.latest(send.snd_una);
        }
    }

    /// Gives up what is stored of a direction whose receiver is gone. Its acknowledgements so far
    /// stay in force.
    fn abandon(&mut self, direction: Direction) {
        let stream = self.flow.stream_mut(direction);
        if stream.is_active() {
            // Its sender may have used all of the window it was offered here.
            let offered = stream.recv.edge.octets_past(stream.recv.ack_sent);
            stream.send.wnd_max = stream.send.wnd_max.max(offered);
            stream.send.snd_una = stream.recv.ack_sent;
            stream.send.snd_nxt = stream.send.snd_nxt.latest(stream.recv.ack_sent);
            self.retire(direction);
            let stream = self.flow.stream_mut(direction);
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
        if octets > 0 {
            self.flow.flags.set(FlowFlags::TELL_AGAIN);
        }
    }

    /// The reset has gone on. If there is something that a host must hear of, it is told again: the reset may
    /// be lost too.
    fn end(&mut self) {
        if self.has(FlowFlags::TELL_AGAIN) {
            self.entomb();
        } else {
            self.close();
        }
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
                self.take_last_ack(served, seg);
                let lost = self.flow.stream(served).debt();
                self.lose(lost);
                self.event(Event::Reset {
                    flow: self.id,
                    from: from.other(),
                    lost,
                });
                self.end();
            }
            return absorbed;
        }
        let sound = seg.flags.contains(Flags::ACK) && self.fault_of_ack(direction, seg).is_none();
        if sound && self.is_acceptable(direction, seg) {
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
        let Phase::Resetting { from } = self.flow.phase() else {
            return;
        };
        let direction = Direction::arriving_on(from);
        let stream = self.flow.stream(direction);
        let seq = stream.fin().map_or(stream.rcv_nxt(), |fin| fin.advance(1));
        let ack = self.flow.stream(direction.reverse()).send.snd_una;
        if stream.send.snd_una.at_or_after(seq) {
            if self.flow.phase_due == Due::NEVER {
                // No host has asked for it: both were given up, there was no room for the second reset, and
                // everything has arrived since. The other host has been reset nevertheless.
                self.flow.flags.set(FlowFlags::TELL_AGAIN);
            }
            self.flow.flags.set(FlowFlags::RESET_DUE);
            if self.send_reset(direction, seq, Some(ack)) {
                self.end();
            }
        }
    }

    /// Patience with the delivery before a reset has ended: the receiver is told all the same.
    pub(super) fn cut_reset_short(&mut self) {
        let Phase::Resetting { from } = self.flow.phase() else {
            return;
        };
        let direction = Direction::arriving_on(from);
        let ack = self.flow.stream(direction.reverse()).send.snd_una;
        let sent = if self.has(FlowFlags::TELL_AGAIN) {
            self.send_loud_reset(direction, ack)
        } else {
            let una = self.flow.stream(direction).send.snd_una;
            self.send_reset(direction, una, Some(ack))
        };
        if !sent {
            self.flow.flags.set(FlowFlags::RESET_DUE);
            return;
        }
        let lost = self.flow.stream(direction).debt();
        self.lose(lost);
        self.event(Event::GivenUp {
            flow: self.id,
            direction,
            lost,
        });
        self.entomb();
    }

    /// The receiver of `direction`'s data has been silent for too long (rule H8.7): its sender is
    /// reset, and then the receiver. Where the sink is full that is tried again.
    pub(super) fn give_up(&mut self, direction: Direction) {
        if self.try_to_give_up(direction) {
            return;
        }
        let again = Stamp::at(self.now.after(RESET_RETRY));
        let stream = self.flow.stream_mut(direction);
        if stream.flags.has(StreamFlags::SUSPECT) {
            stream.patience = again;
        } else {
            stream.send.timer = again;
        }
    }

    /// The same once. `false`, and no change, if the sink is full.
    fn try_to_give_up(&mut self, direction: Direction) -> bool {
        let back = direction.reverse();
        let other_lost = self.flow.stream(back).debt();
        // The receiver may well be in good health, and answer by another way (rule H9.3).
        let silently = self.has(FlowFlags::ASYMMETRIC);
        let ack_sent = self.flow.stream(direction).recv.ack_sent;
        if !silently && !self.send_loud_reset(back, ack_sent) {
            return false;
        }
        if other_lost > 0 {
            self.lose(other_lost);
            self.event(Event::GivenUp {
                flow: self.id,
                direction: back,
                lost: other_lost,
            });
        }
        if silently {
            let lost = self.flow.stream(direction).debt();
            self.lose(lost);
            self.event(Event::GivenUp {
                flow: self.id,
                direction,
                lost,
            });
            self.close();
            return true;
        }
        // Its sender has been told, so only its receiver is left, as after a reset of the sender's.
        self.abandon(back);
        self.flow.stream_mut(direction).send.timer = Stamp::NEVER;
        self.flow.set_phase(Phase::Resetting {
            from: direction.source(),
        });
        self.flow.phase_due = Due::NEVER;
        self.cut_reset_short();
        true
    }

    /// Resets a host whose own octets are lost, so that it must hear of it. What was sent to it last may not
    /// have arrived: what it has acknowledged is exact if nothing has since (rule H8.7), what is next if all
    /// has. Between the two it challenges the second (RFC 5961 section 3.2), and the answer is exact; an old
    /// number alone it would drop without a word.
    fn send_loud_reset(&mut self, travels: Direction, ack: SeqNum) -> bool {
        let send = &self.flow.stream(travels).send;
        let (heard, next) = (send.snd_una, send.seq_without_data());
        let sent = self.send_reset(travels, next, Some(ack));
        if sent && heard != next {
            // Where there is no room for it, the tombstone says the same to whatever the host says next.
            self.send_reset(travels, heard, Some(ack));
        }
        sent
    }

    /// Whoever owns the engine waits no longer: what is owed is given up. Whether nothing is owed any more.
    pub(crate) fn give_up_debts(&mut self) -> bool {
        match self.flow.phase() {
            Phase::Open => {
                let owing = Direction::BOTH
                    .into_iter()
                    .filter(|&direction| !self.flow.stream(direction).owes_nothing())
                    .max_by_key(|&direction| self.flow.stream(direction).debt());
                if let Some(direction) = owing {
                    // Who asks for it asks again.
                    self.try_to_give_up(direction);
                }
            }
            Phase::Resetting { .. } => self.cut_reset_short(),
            Phase::Free | Phase::SynSeen | Phase::SynAckSeen | Phase::Tombstone => {}
        }
        self.done
            || !matches!(self.flow.phase(), Phase::Resetting { .. })
                && Direction::BOTH
                    .iter()
                    .all(|&direction| self.flow.stream(direction).owes_nothing())
    }

    /// The newest acknowledgement that has travelled with `direction`'s data: the engine's own, or the host's.
    fn last_ack_with(&self, direction: Direction) -> SeqNum {
        let back = self.flow.stream(direction.reverse());
        if back.is_active() {
            back.recv.ack_sent
        } else {
            back.send.snd_una
        }
    }

    /// What the flow held cannot be relied on: both hosts are told, in so far as they were promised anything,
    /// with numbers that are near enough for a challenge (RFC 5961 section 3.2); what answers it is told
    /// exactly.
    pub(super) fn announce_ruin(&mut self) {
        for direction in Direction::BOTH {
            let ack = self.last_ack_with(direction);
            if !self.send_loud_reset(direction, ack) {
                return;
            }
        }
        for direction in Direction::BOTH {
            let lost = self.flow.stream(direction).debt();
            self.lose(lost);
            if self.flow.stream(direction).is_active() {
                self.event(Event::GivenUp {
                    flow: self.id,
                    direction,
                    lost,
                });
            }
        }
        self.entomb();
    }

    /// Another connection takes the addresses over while octets were in custody. Its hosts make nothing of
    /// these resets, which have the numbers of the old one; but if its hosts are still there, because
    /// somebody has forged the new one, they learn here what was lost.
    pub(crate) fn disown(&mut self) {
        for direction in Direction::BOTH {
            let ack = self.last_ack_with(direction);
            let stream = self.flow.stream(direction);
            // What went by a host may have, what the engine sent it may not.
            let seq = if stream.is_active() {
                stream.send.snd_una
            } else {
                stream.rcv_nxt()
            };
            self.send_reset(direction, seq, Some(ack));
        }
    }

    /// Only the memory that the connection was reset stays (rule 2.5).
    fn entomb(&mut self) {
        for direction in Direction::BOTH {
            self.abandon(direction);
            // Nor does anything that was held back go on.
            let stream = self.flow.stream_mut(direction);
            stream.recv.ack_due = Stamp::NEVER;
            stream.send.pace_due = Stamp::NEVER;
        }
        self.flow.flags.clear(FlowFlags::RESET_DUE);
        self.flow.set_phase(Phase::Tombstone);
        self.flow.phase_due = Due::at(self.now.after(self.config.tombstone_time));
    }

    /// Tells whoever still speaks that the connection was reset.
    pub(super) fn on_segment_to_tombstone(
        &mut self,
        direction: Direction,
        packet: &[u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Verdict {
        let pending = &self.flow.pending;
        if self.has(FlowFlags::SYN_PENDING)
            && direction.source() == pending.from()
            && seg.seq == pending.isn().advance(1)
        {
            // A new connection, whose SYN-ACK took another way (rule H9.3).
            self.close();
            return Verdict::Pass(PassReason::MidStream);
        }
        let answerable = seg.flags.contains(Flags::ACK) && !seg.flags.contains(Flags::RST);
        if answerable && Self::verify(packet, seg, meta).is_ok() {
            let seq: SeqNum = seg.ack;
            self.send_reset(direction.reverse(), seq, None);
        }
        Verdict::Absorb(AbsorbReason::Tombstone)
    }
}
