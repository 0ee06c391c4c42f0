//! Editing a host's own segment on its way through (rules 2.2 and 2.3).

use super::Work;
use crate::flow::stream::StreamFlags;
use crate::policy::Direction;
use crate::seq::{SeqNum, SeqRange};
use crate::sink::{Checksum, PacketMeta, Sink};
use crate::verdict::{PassReason, Verdict};
use crate::wire::{ChecksumKind, Flags, Rewrite, Segment};

/// What the host that a segment goes to hears of its feedback.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hearing {
    /// All of it.
    Feedback,
    /// A keepalive is refused with its feedback, and answered (rule H9.1).
    Question,
    /// Nothing: the segment is refused.
    Nothing,
}

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Sends the packet on, edited as the services of both directions demand; `seq` is its new
    /// sequence number where its data is served.
    pub(super) fn forward(
        &mut self,
        direction: Direction,
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
        seq: SeqNum,
    ) -> Verdict {
        let mut rewrite = Rewrite::new(packet, seg, kind_of(meta));
        let data = self.flow.stream(direction);
        rewrite.set_seq(seq);
        if data.is_active() {
            rewrite.set_tsval(data.recv.ts_max);
            // It was for the engine (rule H11.3).
            rewrite.set_flags(Flags::NONE, Flags::CWR);
        } else if seq != seg.seq {
            self.note_lent_number(direction, seg, seq);
        }
        let echo = direction.reverse();
        let has_ack = seg.flags.contains(Flags::ACK);
        if self.flow.stream(echo).is_active() && has_ack && seg.flags.contains(Flags::RST) {
            // It promises nothing more than what was promised (section 2.5).
            rewrite.set_ack(self.flow.stream(echo).recv.ack_sent);
        } else if self.flow.stream(echo).is_active() && has_ack {
            let data = self.flow.stream(direction);
            let end = seq.advance(seg.seq_end().octets_past(seg.seq));
            let hearing = if !data.is_active() && !self.is_acceptable(direction, seg) {
                Hearing::Nothing
            } else if end.before(data.send.snd_una) {
                Hearing::Question
            } else {
                Hearing::Feedback
            };
            self.edit_feedback(echo, hearing, &mut rewrite);
        } else {
            self.freshen_feedback(echo, seg, &mut rewrite);
            let arranged = self.arranged;
            if arranged && has_ack && !seg.flags.contains(Flags::RST) {
                self.dole_out(echo, seg, &mut rewrite);
            }
        }
        if rewrite.changed() {
            Verdict::Forward
        } else {
            Verdict::Pass(PassReason::Untouched)
        }
    }

    /// With a number that its receiver takes, a segment brings its timestamp there too (rule H3.3).
    fn note_lent_number(&mut self, direction: Direction, seg: &Segment, seq: SeqNum) {
        let stream = self.flow.stream_mut(direction);
        if let Some(timestamps) = seg.options.timestamps {
            let expected = stream.rcv_nxt();
            stream.recv.note_timestamp(timestamps.val, seq, expected);
        }
    }

    /// Makes the segment acknowledge what the engine acknowledges, and offer what it offers.
    fn edit_feedback(&mut self, echo: Direction, hearing: Hearing, rewrite: &mut Rewrite<'_>) {
        let offer = self.offer(echo);
        let echoes = self.echo_of(echo);
        let stream = self.flow.stream(echo);
        rewrite.set_flags(echoes, Flags::ECE.without(echoes));
        rewrite.set_ack(offer.ack);
        rewrite.set_window(offer.window);
        rewrite.set_tsecr(stream.recv.ts_recent);
        // The receiver's own blocks lie below what is acknowledged here (rule H1.5).
        let blocks = self.sack_blocks(echo, SeqRange::default());
        rewrite.replace_sack(&blocks);
        if hearing == Hearing::Nothing {
            // But what it offers stands in it, whoever reads it.
            self.flow.stream_mut(echo).recv.edge = offer.edge;
            return;
        }
        self.note_sacked(echo, &blocks);
        if hearing == Hearing::Question {
            let recv = &mut self.flow.stream_mut(echo).recv;
            recv.edge = offer.edge;
            recv.ack_sent = recv.ack_sent.latest(offer.ack);
            return;
        }
        self.note_offered(echo, offer);
        self.flow
            .stream_mut(echo)
            .flags
            .clear(StreamFlags::KEEPALIVE_PASSED);
    }

    /// The acknowledgement with which a direction is handed over may report octets as received twice that
    /// the engine has sent twice, and their sender only once (rules H1.5 and H4.3).
    /// Whether it did.
    pub(super) fn drop_report_of_copies(
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> bool {
        let first = seg.options.sack.as_slice().first();
        let reports = first.is_some_and(|block| block.right.at_or_before(seg.ack));
        if reports {
            Rewrite::new(packet, seg, kind_of(meta)).erase_sack();
        }
        reports
    }

    /// An older segment that now gets a newer sequence number must not bring an older window with
    /// it (rule H5.10).
    fn freshen_feedback(&self, echo: Direction, seg: &Segment, rewrite: &mut Rewrite<'_>) {
        let newest = &self.flow.stream(echo).send;
        let has_ack = seg.flags.contains(Flags::ACK);
        let served = self.flow.stream(echo.reverse()).is_active();
        if served && has_ack && seg.ack.before(newest.snd_una) {
            let echoes = self.echo_of(echo);
            rewrite.set_flags(echoes, Flags::ECE.without(echoes));
            rewrite.set_ack(newest.snd_una);
            rewrite.set_window(newest.window);
            rewrite.set_tsecr(newest.tsecr);
        }
    }
}

/// What the checksum field of a packet covers.
pub(crate) const fn kind_of(meta: PacketMeta) -> ChecksumKind {
    match meta.checksum {
        Checksum::Partial => ChecksumKind::Partial,
        Checksum::Verify | Checksum::Verified => ChecksumKind::Full,
    }
}
