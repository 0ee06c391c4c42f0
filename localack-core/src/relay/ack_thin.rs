//! Leaving out acknowledgements on a narrow path back (RFC 3449 section 5.2.1): one that says nothing but
//! what the next one says too need not take its room.
//!
//! What a sender needs to see passes at once: duplicates, SACK blocks, marks of congestion, windows that it
//! waits for, and four acknowledgements for each window that is on its way behind the engine at least. Beside
//! the receiver hardly anything ever is, and every acknowledgement may be the last one: it passes as soon as
//! no other has followed for half of the interval.

use core::time::Duration;

use super::Work;
use crate::policy::Direction;
use crate::seq::SeqNum;
use crate::shaping::ShapingId;
use crate::sink::Sink;
use crate::time::{Stamp, micros};
use crate::verdict::Verdict;
use crate::wire::{Flags, Segment};

/// Acknowledgements that each window of data gets at least.
const PER_WINDOW: u32 = 4;

impl<S: Sink + ?Sized> Work<'_, S> {
    /// The least interval between acknowledgements that travel in `direction`, zero if it does not matter.
    pub(super) fn ack_interval(&self, direction: Direction) -> Duration {
        match self.flow.stream(direction).shaping() {
            ShapingId::NONE => Duration::ZERO,
            id => self.shapings.get(id).ack_interval,
        }
    }

    /// Whether an acknowledgement that travels in `direction` waits for the next one. `una` is SND.UNA of the
    /// data that it acknowledges before it came.
    pub(super) fn thins(&mut self, direction: Direction, seg: &Segment, una: SeqNum) -> bool {
        let interval = self.ack_interval(direction);
        let echo = direction.reverse();
        if interval.is_zero() || self.flow.stream(echo).is_active() {
            return false;
        }
        let now = self.now;
        let two_segments = u32::from(self.segment_size(echo)).saturating_mul(2);
        let stream = self.flow.stream_mut(echo);
        let (recv, send) = (&stream.recv, &mut stream.send);
        let acked = seg.ack.octets_past(una);
        let is_plain = seg.flags == Flags::ACK
            && !seg.has_payload()
            && seg.options.sack.is_empty()
            && seg.options.unusual.is_empty()
            && acked > 0
            && seg.ack == send.snd_una;
        let is_last = recv.seq_max.at_or_before(seg.ack);
        let shrinks = send.wnd_edge.before(recv.edge);
        let is_short = recv.edge.octets_past(recv.seq_max) < two_segments;
        let held = send.octets_held_back().saturating_add(acked);
        let ahead = recv.seq_max.octets_past(seg.ack);
        let window = ahead.saturating_add(held);
        let is_enough = ahead > held && held.saturating_mul(PER_WINDOW) >= window;
        let Some(since) = send.held_back_since(now) else {
            return false;
        };
        let mut due = since.after(interval);
        if !is_plain || shrinks || is_short || is_enough || due <= now {
            return false;
        }
        if is_last {
            due = due.min(now.after(Duration::from_micros(micros(interval) / 2)));
        }
        send.hold_back(acked);
        stream.recv.ack_due = Stamp::at(due);
        true
    }

    /// Notes that a segment with the newest acknowledgement has gone on in `direction`.
    pub(super) fn note_ack_went(&mut self, direction: Direction, verdict: Verdict) {
        let stream = self.flow.stream(direction);
        let echo = direction.reverse();
        if stream.shaping() == ShapingId::NONE
            || !verdict.goes_on()
            || self.flow.stream(echo).is_active()
        {
            return;
        }
        let now = self.now;
        let stream = self.flow.stream_mut(echo);
        stream.send.begin_holding_back(now);
        stream.recv.ack_due = Stamp::NEVER;
    }

    /// Sends the acknowledgement of `direction`'s data that was held back, if it is time.
    pub(super) fn tend_acks(&mut self, direction: Direction) {
        let now = self.now;
        if !self.flow.stream(direction).recv.ack_due.is_due(now) {
            return;
        }
        if self.send_relay(direction.reverse(), &[]) {
            let stream = self.flow.stream_mut(direction);
            stream.send.begin_holding_back(now);
            stream.recv.ack_due = Stamp::NEVER;
        }
    }

    /// How long an acknowledgement that the engine makes for `direction`'s data may wait, in microseconds, for
    /// the sake of the path that it takes (rule H5.6); zero if it does not matter.
    pub(super) fn thinned_delay(&self, direction: Direction) -> u16 {
        let interval = micros(self.ack_interval(direction.reverse()));
        u16::try_from(interval.min(10_000)).unwrap_or(0)
    }

    /// Whether so much was taken in of `direction`'s data that its sender must hear of it.
    pub(super) fn is_enough_to_acknowledge(&self, direction: Direction) -> bool {
        let stream = self.flow.stream(direction);
        let told = stream.recv.ack_sent;
        let held = stream.rcv_nxt().octets_past(told);
        held.saturating_mul(PER_WINDOW) >= stream.recv.edge.octets_past(told)
    }
}
