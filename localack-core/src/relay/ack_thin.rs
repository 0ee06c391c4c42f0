//! Leaving out acknowledgements on a narrow path back (RFC 3449 section 5.2.1): one that says nothing but
//! what the next one says too need not take its room.
//!
//! What a sender needs to see passes at once: duplicates without SACK blocks, the first that tell of a hole,
//! each new stretch behind it, what was received twice, marks of congestion, windows that it waits for, and one
//! acknowledgement for each quarter of a window that is on its way behind the engine at least. Of a stretch
//! that only grows the next acknowledgement says all: there would be more of them than of data, at the worst
//! moment. Beside the receiver nothing is ever on its way, and every acknowledgement may be the last one: it
//! passes when no other has followed for some times as long as they usually take.

use core::time::Duration;

use super::Work;
use crate::flow::FlowFlags;
use crate::flow::stream::Stream;
use crate::policy::Direction;
use crate::seq::{SeqNum, SeqRange};
use crate::shaping::ShapingId;
use crate::sink::Sink;
use crate::time::{Instant, Stamp, micros};
use crate::verdict::Verdict;
use crate::wire::{Flags, SackBlock, Segment};

/// Acknowledgements that each window of data gets at least.
const PER_WINDOW: u32 = 4;
/// Octets of which one acknowledgement tells at most: what it lets go leaves as one burst.
const MOST_OCTETS: u32 = 64 * 1024;
/// Acknowledgements with SACK blocks that pass after each that acknowledges more: senders repeat what is
/// missing when three have come (RFC 5681 section 3.2, RFC 6675).
const DUPLICATES: u8 = 3;
/// Whoever has been silent for so many times as long as from one acknowledgement of two segments to the next
/// may have nothing more to say.
const USUAL_GAPS: u64 = 4;

impl Stream {
    /// Whether SACK blocks of a watched stream's receiver say nothing but that the stretch that grew last has
    /// grown (RFC 2018 section 4). Notes the stretch.
    fn notes_growth(&mut self, ack: SeqNum, advances: bool, blocks: &[SackBlock]) -> bool {
        let known = SeqRange::new(self.send.probe_end, self.send.sacked_to);
        if advances {
            self.send.duplicate_acks = 0;
        }
        let Some(first) = blocks.first() else {
            self.send.probe_end = self.send.sacked_to;
            return true;
        };
        let stretch = SeqRange::new(first.left, first.right);
        let within = |outer: &SackBlock| {
            stretch.start().at_or_after(outer.left) && stretch.end().at_or_before(outer.right)
        };
        // RFC 2883 section 4.
        let is_duplicate = stretch.start().before(ack) || blocks.get(1).is_some_and(within);
        if is_duplicate {
            return false;
        }
        self.send.probe_end = stretch.start();
        self.send.sacked_to = stretch.end();
        if !advances {
            self.send.duplicate_acks = self.send.duplicate_acks.saturating_add(1);
        }
        stretch.start() == known.start()
            && stretch.end().at_or_after(known.end())
            && (advances || self.send.duplicate_acks > DUPLICATES)
    }

    /// The stretch that was noted, if something is missing before it.
    fn noted_stretch(&self) -> Option<SeqRange> {
        let stretch = SeqRange::new(self.send.probe_end, self.send.sacked_to);
        let is_ahead = stretch.start().after(self.send.snd_una)
            && stretch.end().at_or_before(self.send.snd_nxt);
        (is_ahead && !stretch.is_empty() && !self.snoops()).then_some(stretch)
    }
}

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
        let acked = seg.ack.octets_past(una);
        let blocks = seg.options.sack.as_slice();
        // Where copies are kept, what is told of holes is what they cannot fill.
        let only_grows = if stream.snoops() {
            blocks.is_empty()
        } else {
            stream.notes_growth(seg.ack, acked > 0, blocks)
        };
        let (recv, send) = (&stream.recv, &mut stream.send);
        let is_plain = seg.flags == Flags::ACK
            && !seg.has_payload()
            && seg.options.unusual.is_empty()
            && (acked > 0 || !blocks.is_empty())
            && only_grows
            && seg.ack == send.snd_una;
        let reach = blocks.first().map_or(seg.ack, |block| block.right);
        let is_last = recv.seq_max.at_or_before(reach);
        let shrinks = send.wnd_edge.before(recv.edge);
        let is_short = recv.edge.octets_past(recv.seq_max) < two_segments;
        let held = send.octets_held_back().saturating_add(acked);
        let ahead = recv.seq_max.octets_past(seg.ack);
        let window = ahead.saturating_add(held);
        let is_quarter = ahead > held && held.saturating_mul(PER_WINDOW) >= window;
        let is_enough = is_quarter || held > MOST_OCTETS;
        let Some(since) = send.held_back_since(now) else {
            return false;
        };
        let mut due = since.after(interval);
        if !is_plain || shrinks || is_short || is_enough || due <= now {
            return false;
        }
        if is_last {
            let count = held.checked_div(two_segments).unwrap_or(0);
            due = due.min(now.after(pause(now, since, interval, count)));
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
        let has_sack = self.has(FlowFlags::SACK);
        let stretch = self.flow.stream(direction).noted_stretch();
        let stretch = stretch.filter(|_| has_sack);
        if self.send_relay(direction.reverse(), stretch.as_slice()) {
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

/// How long the last of `count` acknowledgements since the one that went on may wait for one more: some times
/// as long as they were apart, between a quarter and half of the interval.
fn pause(now: Instant, since: Instant, interval: Duration, count: u32) -> Duration {
    let whole_us = micros(interval);
    let gaps_us = micros(now.since(since)).saturating_mul(USUAL_GAPS);
    let usual_us = gaps_us.checked_div(count.into()).unwrap_or(u64::MAX);
    Duration::from_micros(usual_us.max(whole_us / 4).min(whole_us / 2))
}
