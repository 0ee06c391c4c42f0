//! Classic ECN (RFC 3168, rule H11.3): marks on the sender's data are echoed to it as its receiver
//! would, and the receiver's echoes are answered as its sender would. Neither host sees the other's
//! feedback about a hop that is not its own.

use super::Work;
use super::intake::Intake;
use crate::flow::FlowFlags;
use crate::flow::stream::StreamFlags;
use crate::half::send::SendFlags;
use crate::policy::Direction;
use crate::recovery::undo::Undo;
use crate::sink::Sink;
use crate::wire::{Flags, Segment};

/// Congestion experienced, in the ECN field of an IP header (RFC 3168 section 5).
const CONGESTED: u8 = 0b11;

/// What a data segment says of ECN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct EcnOfData {
    pub(super) capable: bool,
    /// CWR, or nothing.
    pub(super) cwr: Flags,
}

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Whether a router has marked the segment.
    pub(super) fn is_marked(&self, seg: &Segment) -> bool {
        self.has(FlowFlags::ECN) && seg.ip.ecn() == CONGESTED
    }

    /// Whether a packet may go on as it is: without a mark that is answered here, and without the CWR
    /// that the engine owes.
    pub(super) fn may_go_with_its_mark(&self, direction: Direction, seg: &Segment) -> bool {
        let owes = self
            .flow
            .stream(direction)
            .send
            .flags
            .has(SendFlags::CWR_OWED);
        !self.is_marked(seg) && !owes
    }

    /// ECE as acknowledgements of `direction`'s data carry it at present.
    pub(super) fn echo_of(&self, direction: Direction) -> Flags {
        if self.flow.stream(direction).send.flags.has(SendFlags::ECHO) {
            Flags::ECE
        } else {
            Flags::NONE
        }
    }

    /// What the segment says of the path from its sender. A mark on new data is echoed until its
    /// sender answers with CWR; a segment with both has answered the mark before (RFC 3168 section
    /// 6.1.3). What was known is no news: it may come from anyone (section 6.1.5).
    pub(super) fn note_marks(&mut self, direction: Direction, seg: &Segment, intake: Intake) {
        let is_new = matches!(intake, Intake::InOrder { .. } | Intake::Held);
        if !self.has(FlowFlags::ECN) || !is_new || !seg.has_payload() {
            return;
        }
        let marked = self.is_marked(seg);
        let send = &mut self.flow.stream_mut(direction).send;
        if seg.flags.contains(Flags::CWR) {
            send.flags.clear(SendFlags::ECHO);
        }
        if marked {
            send.flags.set(SendFlags::ECHO);
        }
    }

    /// The receiver's echo of a mark reduces the window, once for what was in flight (RFC 3168 section
    /// 6.1.2).
    pub(super) fn hear_echo(&mut self, direction: Direction, echoes: bool) {
        if !echoes || !self.has(FlowFlags::ECN) {
            return;
        }
        let stream = self.flow.stream_mut(direction);
        let send = &mut stream.send;
        // Whatever else looked like congestion, this is some (RFC 4015 section 3).
        send.attempt.with_undo(Undo::end);
        send.flags
            .clear(SendFlags::FORWARD | SendFlags::FORWARD_NEW);
        // The receiver repeats itself until CWR, which follows what is outstanding now, has arrived.
        let answered = stream.flags.has(StreamFlags::RECOVERY)
            || send.flags.has(SendFlags::ECN_REDUCED)
            || !send.snd_una.after(send.recover);
        if answered {
            return;
        }
        self.reduce(direction);
        let stream = self.flow.stream_mut(direction);
        let send = &mut stream.send;
        // Nothing is to be repaired, and nothing to be taken back.
        if stream.flags.take(StreamFlags::RECOVERY) {
            send.flags.set(SendFlags::ECN_REDUCED);
        }
        send.attempt.with_undo(Undo::end);
    }

    /// A loss within the flight for which the window was reduced already is repaired, and no more.
    pub(super) fn join_ecn_reduction(&mut self, direction: Direction) -> bool {
        let stream = self.flow.stream_mut(direction);
        let send = &mut stream.send;
        let joins = send.flags.has(SendFlags::ECN_REDUCED);
        if joins {
            send.flags.clear(SendFlags::ECN_REDUCED);
            stream.flags.set(StreamFlags::RECOVERY);
            send.recover = send.snd_nxt;
            send.forget_tail_probe();
        }
        joins
    }

    /// Ends the reduction once everything is acknowledged that was outstanding when it began; whether
    /// it did.
    pub(super) fn end_ecn_reduction(&mut self, direction: Direction) -> bool {
        let send = &mut self.flow.stream_mut(direction).send;
        let ends = send.flags.has(SendFlags::ECN_REDUCED) && send.snd_una.at_or_after(send.recover);
        if ends {
            send.flags.clear(SendFlags::ECN_REDUCED);
            send.congestion.on_recovery_exit();
        }
        ends
    }

    /// The window was reduced: the receiver is told with the next new data (RFC 3168 section 6.1.2).
    pub(super) fn owe_cwr(&mut self, direction: Direction) {
        if self.has(FlowFlags::ECN) {
            let send = &mut self.flow.stream_mut(direction).send;
            send.flags.set(SendFlags::CWR_OWED);
        }
    }

    /// What a segment with octets of `direction`'s custody says. Only new data may be marked (RFC 3168
    /// sections 6.1.4 to 6.1.6), and only new data carries CWR.
    pub(super) fn ecn_of_data(&self, direction: Direction, is_new: bool) -> EcnOfData {
        let owes = self
            .flow
            .stream(direction)
            .send
            .flags
            .has(SendFlags::CWR_OWED);
        EcnOfData {
            capable: is_new && self.has(FlowFlags::ECN),
            cwr: if is_new && owes {
                Flags::CWR
            } else {
                Flags::NONE
            },
        }
    }

    /// A segment with these flags has left.
    pub(super) fn note_cwr(&mut self, direction: Direction, cwr: Flags) {
        if cwr != Flags::NONE {
            let send = &mut self.flow.stream_mut(direction).send;
            send.flags.clear(SendFlags::CWR_OWED);
        }
    }
}
