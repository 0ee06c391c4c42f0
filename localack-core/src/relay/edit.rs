//! Editing a host's own segment on its way through (rules 2.2 and 2.3).

use super::Work;
use crate::flow::stream::StreamFlags;
use crate::policy::Direction;
use crate::seq::{SeqNum, SeqRange};
use crate::sink::{Checksum, PacketMeta, Sink};
use crate::verdict::{PassReason, Verdict};
use crate::wire::{ChecksumKind, Flags, Rewrite, Segment};

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
        let kind = match meta.checksum {
            Checksum::Partial => ChecksumKind::Partial,
            Checksum::Verify | Checksum::Verified => ChecksumKind::Full,
        };
        let mut rewrite = Rewrite::new(packet, seg, kind);
        let data = self.flow.stream(direction);
        rewrite.set_seq(seq);
        if data.is_active() {
            rewrite.set_tsval(data.recv.ts_max);
            // It was for the engine (rule H11.3).
            rewrite.set_flags(Flags::NONE, Flags::CWR);
        }
        let echo = direction.reverse();
        let has_ack = seg.flags.contains(Flags::ACK);
        if self.flow.stream(echo).is_active() && has_ack && seg.flags.contains(Flags::RST) {
            // It promises nothing more than what was promised (section 2.5).
            rewrite.set_ack(self.flow.stream(echo).recv.ack_sent);
        } else if self.flow.stream(echo).is_active() && has_ack {
            // Who refuses the segment does not hear its feedback either.
            let own = self.flow.stream(direction).is_active();
            let counts = own || self.is_acceptable(direction, seg);
            self.edit_feedback(echo, counts, &mut rewrite);
        } else {
            self.freshen_feedback(echo, seg, &mut rewrite);
        }
        if rewrite.changed() {
            Verdict::Forward
        } else {
            Verdict::Pass(PassReason::Untouched)
        }
    }

    /// Makes the segment acknowledge what the engine acknowledges, and offer what it offers.
    fn edit_feedback(&mut self, echo: Direction, counts: bool, rewrite: &mut Rewrite<'_>) {
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
        if !counts {
            // But what it offers stands in it, whoever reads it.
            self.flow.stream_mut(echo).recv.edge = offer.edge;
            return;
        }
        self.note_sacked(echo, &blocks);
        self.note_offered(echo, offer);
        self.flow
            .stream_mut(echo)
            .flags
            .clear(StreamFlags::KEEPALIVE_PASSED);
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
