//! Questions without data: window probes and keepalives (rules H2.6 and H9.1).

use super::Work;
use crate::flow::stream::StreamFlags;
use crate::policy::Direction;
use crate::sink::{PacketMeta, Sink};
use crate::verdict::{AbsorbReason, Verdict};
use crate::wire::{Flags, Segment};

/// A keepalive that repeats an octet is told from a retransmission by the silence before it: no
/// stack sends one within a second of its last data (rule H9.1).
const KEEPALIVE_SILENCE_US: u64 = 1_000_000;

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Whether the segment asks if the receiver lives or has reopened its window: it begins one
    /// before what its sender knows to be acknowledged, and carries nothing new (rules H2.6, H9.1).
    pub(super) fn is_keepalive(&self, direction: Direction, seg: &Segment) -> bool {
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
    pub(super) fn on_keepalive(
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
}
