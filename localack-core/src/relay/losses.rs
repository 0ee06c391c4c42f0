//! Which of the octets in flight are lost (RACK, RFC 8985; RFC 6675; RFC 6582), and what follows.

use super::news::News;
use super::{MAX_PAGES, Work};
use crate::flow::FlowFlags;
use crate::flow::stream::StreamFlags;
use crate::half::send::SendFlags;
use crate::policy::Direction;
use crate::pool::Expiry;
use crate::recovery::delivery::Sent;
use crate::recovery::rack::Circumstances;
use crate::recovery::undo::Undo;
use crate::seq::{SeqNum, SeqRange};
use crate::sink::Sink;

/// Duplicate acknowledgements that mean a loss (RFC 5681 section 3.2, RFC 6675 section 2).
const DUP_THRESH: u8 = 3;
/// Steps by which the search for the lost edge widens; each sees a few pages at most.
const LOST_EDGE_STEPS: u32 = 6;

impl<S: Sink + ?Sized> Work<'_, S> {
    pub(super) fn pipe(&self, direction: Direction) -> u32 {
        self.flow.stream(direction).pipe(self.has(FlowFlags::SACK))
    }

    /// Looks for losses after an acknowledgement, or because what may only have been late has had
    /// its time. Answers how long to wait before more is lost, in microseconds.
    pub(super) fn look_for_losses(&mut self, direction: Direction, news: &mut News) -> Option<u32> {
        if self.flow.stream(direction).send.in_flight() == 0 {
            return None;
        }
        if self.has(FlowFlags::SACK) {
            self.losses_by_order(direction, news)
        } else {
            self.losses_by_duplicates(direction, news);
            None
        }
    }

    /// Without SACK, duplicates stand for what has arrived behind the first hole (RFC 6582).
    fn losses_by_duplicates(&mut self, direction: Direction, news: &mut News) {
        let stream = self.flow.stream(direction);
        let (send, recovering) = (&stream.send, stream.flags.has(StreamFlags::RECOVERY));
        let segment_end = send.snd_una.advance(u32::from(send.mss()));
        // The duplicates of what was sent again look like a new loss (RFC 6582 section 3.2, step 2).
        let is_first = send.snd_una.after(send.recover) || send.flags.has(SendFlags::ECN_REDUCED);
        let threshold = send.duplicate_acks >= DUP_THRESH && is_first;
        // A partial acknowledgement uncovers the next hole (RFC 6582 section 3.2, step 5).
        let partial = recovering && news.acked > 0;
        if (recovering || !threshold) && !partial {
            return;
        }
        let head = self
            .size_probe_at_head(direction)
            .unwrap_or(segment_end)
            .earliest(send.snd_nxt);
        if !head.after(send.lost.edge()) {
            return;
        }
        self.raise_lost_edge(direction, head, None, news);
        // It is sent at once, whatever the window says.
        self.flow
            .stream_mut(direction)
            .flags
            .set(StreamFlags::FIRST_REPAIR);
    }

    /// With SACK, what was sent well before something that has arrived is lost (RFC 8985), and where
    /// order is kept also what more than two segments have arrived behind of (RFC 6675).
    fn losses_by_order(&mut self, direction: Direction, news: &mut News) -> Option<u32> {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        let given = Circumstances {
            recovering: stream.flags.has(StreamFlags::RECOVERY),
            dup_thresh_reached: stream.chain.octets_sacked() >= dup_thresh(send.mss()),
            min_rtt_us: send.min_rtt.us().unwrap_or(0),
            srtt_us: send.srtt_us().unwrap_or(0),
        };
        let window_us = send.rack.reordering_window(&given);
        let expiry = send.rack.expiry(self.now, window_us);
        let mut wait_us = None;
        if let Some(expiry) = &expiry {
            wait_us = shorter(
                self.lost_again(direction, expiry, news),
                self.lost_by_age(direction, expiry, news),
            );
        }
        let send = &self.flow.stream(direction).send;
        if !send.rack.reordering_seen() {
            let edge = self.lost_edge(direction);
            if edge.after(self.flow.stream(direction).send.lost.edge()) {
                self.raise_lost_edge(direction, edge, None, news);
            }
        }
        wait_us
    }

    /// First losses: what was sent before something that has arrived, and has had its time.
    fn lost_by_age(
        &mut self,
        direction: Direction,
        expiry: &Expiry,
        news: &mut News,
    ) -> Option<u32> {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        let range = SeqRange::new(send.lost.edge(), send.snd_nxt);
        let expired = self.pool.expired(&stream.chain, range, expiry, MAX_PAGES);
        if expired.octets > 0 {
            self.raise_lost_edge(direction, expired.edge, expired.last.as_ref(), news);
        } else if expired.edge.after(range.start()) {
            self.flow.stream_mut(direction).send.lost.pass(expired.edge);
        }
        if expired.more {
            Some(0)
        } else {
            expired.wait_us
        }
    }

    /// Repairs that were lost as well.
    fn lost_again(
        &mut self,
        direction: Direction,
        expiry: &Expiry,
        news: &mut News,
    ) -> Option<u32> {
        let stream = self.flow.stream(direction);
        let (chain, send) = (&stream.chain, &stream.send);
        let [again, _] = send.lost.waiting();
        let mut range = send.lost.repaired_from(send.lost.again_edge());
        if again.is_empty() {
            // What was sent once more may be lost once more: it is at the front.
            let all = send.lost.repaired_from(send.snd_una);
            let head = self.pool.expired(chain, all, expiry, 1);
            if head.octets > 0 {
                range = all;
            }
        }
        if range.is_empty() {
            return None;
        }
        let expired = self.pool.expired(chain, range, expiry, MAX_PAGES);
        if expired.octets > 0 {
            let now = self.now;
            let stream = self.flow.stream_mut(direction);
            let in_flight = stream.pipe(true);
            let send = &mut stream.send;
            send.on_lost(now, expired.octets, expired.last.as_ref(), in_flight, true);
            send.lost
                .raise_again(SeqRange::new(range.start(), expired.edge), expired.octets);
            news.lost = news.lost.saturating_add(expired.octets);
        } else if expired.edge.after(range.start()) {
            let lost = &mut self.flow.stream_mut(direction).send.lost;
            lost.pass_again(expired.edge);
        }
        if expired.more {
            Some(0)
        } else {
            expired.wait_us
        }
    }

    /// Everything before this and not SACKed is lost: more than two full segments behind it have
    /// been SACKed (RFC 6675 `IsLost`).
    fn lost_edge(&self, direction: Direction) -> SeqNum {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        let known = send.lost.edge();
        let needed = dup_thresh(send.mss());
        if stream.chain.octets_sacked() < needed {
            return known;
        }
        let mut edge = send.sacked_to.retreat(needed);
        for _ in 0..LOST_EDGE_STEPS {
            if edge.at_or_before(known) {
                return known;
            }
            let behind = SeqRange::new(edge, send.sacked_to);
            let unsacked = self
                .pool
                .unsacked_octets(&stream.chain, behind, MAX_PAGES)
                .octets;
            let missing = needed.saturating_sub(behind.octets().saturating_sub(unsacked));
            if missing == 0 {
                return edge;
            }
            edge = edge.retreat(missing);
        }
        known
    }

    /// Octets in flight that were sent twice already, so that D-SACKs may come of them: earlier repairs,
    /// and a tail loss probe.
    pub(super) fn copies(&self, direction: Direction) -> u32 {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        let probe = if send.flags.has(SendFlags::TAIL_PROBE_REPEATS) {
            send.mss().into()
        } else {
            0
        };
        let repaired = send.lost.repaired_from(send.snd_una);
        let counted = self
            .pool
            .unsacked_octets(&stream.chain, repaired, MAX_PAGES);
        counted.octets.saturating_add(probe)
    }

    /// Reduces the window once for what is outstanding now.
    pub(super) fn reduce(&mut self, direction: Direction) {
        let now = self.now;
        if self.join_ecn_reduction(direction) {
            return;
        }
        let copies = self.copies(direction);
        self.counters.recoveries = self.counters.recoveries.saturating_add(1);
        self.owe_cwr(direction);
        let stream = self.flow.stream_mut(direction);
        stream.flags.set(StreamFlags::RECOVERY);
        let send = &mut stream.send;
        send.recover = send.snd_nxt;
        let reduced = Undo::begin(send.snd_una, copies);
        send.attempt.with_undo(|undo| *undo = reduced);
        send.forget_tail_probe();
        let cwnd = send.congestion.cwnd();
        send.congestion.on_congestion(now, send.in_flight());
        self.resume_on_congestion(direction, cwnd);
        let stream = self.flow.stream_mut(direction);
        let send = &mut stream.send;
        if send.in_flight() == 0 {
            stream.flags.clear(StreamFlags::RECOVERY);
            send.congestion.on_recovery_exit();
        }
    }

    /// Declares everything before `edge` lost that is not SACKed; `last` is the note of the last of
    /// it, where that is known.
    fn raise_lost_edge(
        &mut self,
        direction: Direction,
        edge: SeqNum,
        last: Option<&Sent>,
        news: &mut News,
    ) {
        let (now, has_sack) = (self.now, self.has(FlowFlags::SACK));
        let stream = self.flow.stream_mut(direction);
        let range = SeqRange::new(stream.send.lost.edge(), edge);
        let counted = self.pool.unsacked_octets(&stream.chain, range, MAX_PAGES);
        // Past the store only a FIN can be.
        let past = u32::from(range.end().after(stream.chain.end()));
        let edge = if past > 0 {
            edge
        } else {
            counted.reached.latest(range.start())
        };
        let octets = counted.octets.saturating_add(past);
        let lost = SeqRange::new(range.start(), edge);
        if self.loses_only_size_probe(direction, lost, octets) {
            let stream = self.flow.stream_mut(direction);
            stream.send.lost.raise(edge, octets);
            stream.flags.set(StreamFlags::FIRST_REPAIR);
            return;
        }
        let stream = self.flow.stream_mut(direction);
        let in_flight = stream.pipe(has_sack);
        let send = &mut stream.send;
        send.on_lost(now, octets, last, in_flight, has_sack);
        send.lost.raise(edge, octets);
        news.lost = news.lost.saturating_add(octets);
        // The first loss of a flight reduces the window.
        if !stream.flags.has(StreamFlags::RECOVERY) {
            self.reduce(direction);
            self.flow
                .stream_mut(direction)
                .flags
                .set(StreamFlags::FIRST_REPAIR);
        }
    }

    /// Everything in flight counts as lost, and all SACK marks are void, because a receiver may
    /// renege (RFC 6298 section 5, RFC 5681 section 3.1, rule H4.1).
    pub(super) fn lose_all(&mut self, direction: Direction) {
        let (now, has_sack) = (self.now, self.has(FlowFlags::SACK));
        let stream = self.flow.stream_mut(direction);
        let in_flight = stream.pipe(has_sack);
        let send = &mut stream.send;
        stream.chain.forget_sacked();
        stream
            .flags
            .set(StreamFlags::RECOVERY.or(StreamFlags::FIRST_REPAIR));
        let before = send.lost.octets();
        // What has no copy is not the engine's to repair.
        let from = send.snd_una.latest(stream.chain.start());
        send.lost
            .lose_all(SeqRange::new(from, send.snd_nxt.latest(from)));
        let newly = send.lost.octets().saturating_sub(before);
        send.on_lost(now, newly, None, in_flight, has_sack);
        send.sacked_to = send.snd_una;
        send.recover = send.snd_nxt;
        send.duplicate_acks = 0;
        send.flags.clear(
            SendFlags::TAIL_PROBE_OUT
                | SendFlags::TAIL_PROBE_REPEATS
                | SendFlags::TAIL_PROBE_OWED
                | SendFlags::FORWARD
                | SendFlags::FORWARD_NEW
                | SendFlags::ECN_REDUCED,
        );
        send.path_mtu.forget();
    }

    /// The sender itself has given up waiting for its first octets, up to `end`: they are sent once
    /// more, but no more often than a round trip allows.
    pub(super) fn repeat_head(&mut self, direction: Direction, end: SeqNum) {
        let now = self.now;
        let stream = self.flow.stream_mut(direction);
        let send = &mut stream.send;
        let round_trip = send.srtt_us().unwrap_or(0);
        let end = end.earliest(send.snd_nxt);
        if stream.flags.has(StreamFlags::RECOVERY)
            || !send.lost.is_empty()
            || send.sent_at.is_within(round_trip.into(), now)
            || !end.after(send.snd_una)
        {
            return;
        }
        send.lost.lose_head(send.snd_una, end);
        stream.flags.set(StreamFlags::FIRST_REPAIR);
    }
}

/// SACKed octets that stand for more than two segments (RFC 6675 section 4, `IsLost`).
fn dup_thresh(mss: u16) -> u32 {
    u32::from(mss)
        .saturating_mul(DUP_THRESH.saturating_sub(1).into())
        .saturating_add(1)
}

/// The shorter of two waits.
fn shorter(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
