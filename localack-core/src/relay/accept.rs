//! Which segments may be believed, and which must not go on with numbers that make them acceptable
//! (rules H1.9, H4.6 and H5.3).

use super::Work;
use super::intake::Corrupt;
use crate::flow::FlowFlags;
use crate::half::recv::older;
use crate::policy::Direction;
use crate::sink::{PacketMeta, Sink};
use crate::verdict::{DropReason, PassReason, Verdict};
use crate::wire::{Flags, Segment};

/// A timestamp clock of a tick a microsecond goes half way round in 36 minutes.
const TIMESTAMP_LIFE_US: u64 = 30 * 60 * 1_000_000;

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Whether a segment's sequence number is one its receiver would accept, so that the rest of it
    /// may be believed (rules H1.9 and H5.3).
    pub(super) fn is_acceptable(&self, direction: Direction, seg: &Segment) -> bool {
        let stream = self.flow.stream(direction);
        let (low, high) = if stream.is_active() {
            let fin = u32::from(stream.fin().is_some());
            (
                stream.recv.ack_sent,
                // One more, because a sender may count the octet with which it probes.
                stream
                    .recv
                    .edge
                    .latest(stream.recv.seq_max)
                    .advance(fin.saturating_add(1)),
            )
        } else {
            // A FIN takes no room (rule H6.4), and what follows it lies one further.
            let edge = stream.widest_edge().advance(1);
            (stream.send.snd_una, edge)
        };
        let reaches = seg.seq_end().at_or_after(low) || seg.seq.at_or_after(low.retreat(1));
        reaches && seg.seq.at_or_before(high)
    }

    /// What becomes of a segment whose sequence number its receiver would not accept, if that is
    /// clear already. A host judges for itself (section 2.2); where the engine would lend the
    /// segment a sequence number that is accepted, it must judge (rule H1.9).
    pub(super) fn reject(
        &mut self,
        direction: Direction,
        packet: &[u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Option<Verdict> {
        let stream = self.flow.stream(direction);
        let carries = seg.has_payload() || seg.flags.contains(Flags::FIN);
        if !stream.is_active() {
            let beyond = seg.seq.after(stream.widest_edge());
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
    pub(super) fn refuse(
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
            // One more, because a receiver may take the octet that probes its closed window.
            (echo.send.widest_edge().advance(1), DropReason::InvalidAck)
        };
        if seg.ack.after(echo.recv.seq_max.latest(sent)) {
            return Some(beyond);
        }
        let lag = echo.send.snd_una.octets_past(seg.ack);
        (lag > echo.send.wnd_max.max(1)).then_some(DropReason::InvalidAck)
    }

    /// A timestamp older than one the engine has accepted in the receiver's place (PAWS).
    pub(super) fn fault_of_timestamp(
        &self,
        direction: Direction,
        seg: &Segment,
    ) -> Option<DropReason> {
        let stream = self.flow.stream(direction);
        let void = self.has(FlowFlags::clock_void(direction.source()));
        let stamped = seg
            .options
            .timestamps
            .filter(|_| self.has(FlowFlags::TIMESTAMPS) && !void)?;
        (stream.is_active() && stream.recv.is_stale(stamped.val))
            .then_some(DropReason::OldTimestamp)
    }

    /// Whether a segment may be one that the engine itself sent to the far side, and that came back by a router
    /// which takes this for the way there: there is less left of its hops than its host's own have, and its
    /// timestamp is none that only the host can have written. Were it believed, the engine would take its own
    /// acknowledgement for the receiver's, and let go of octets that nobody has (rules H4.6 and H9.11).
    ///
    /// A host whose path has become longer is believed again with the next tick of its clock.
    pub(super) fn may_have_come_back(&self, direction: Direction, seg: &Segment) -> bool {
        if seg.ip.hop_limit >= self.flow.host(direction.source()).hop_limit()
            || !self.flow.stream(direction.reverse()).is_active()
            || !self.has(FlowFlags::TIMESTAMPS)
        {
            return false;
        }
        let recv = &self.flow.stream(direction).recv;
        let is_void = self.has(FlowFlags::clock_void(direction.source()));
        seg.options.timestamps.is_some_and(|stamped| {
            if is_void {
                [recv.ts_recent, recv.ts_max].contains(&stamped.val)
            } else {
                !older(recv.ts_max, stamped.val)
            }
        })
    }

    /// After a long silence a fast timestamp clock may have gone half way round: the next
    /// timestamp of each host is taken as it comes (rule H3.9, RFC 7323 section 5.5).
    pub(super) fn note_silence(&mut self) {
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
}
