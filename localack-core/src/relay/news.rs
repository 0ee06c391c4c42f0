//! What an acknowledgement says of the octets that were sent: which have arrived, what that tells of
//! the path, and whether the last reduction was needless.

use super::{MAX_PAGES, Work};
use crate::congestion::Ack;
use crate::flow::FlowFlags;
use crate::flow::stream::StreamFlags;
use crate::half::send::SendFlags;
use crate::policy::Direction;
use crate::pool::{Newest, Released};
use crate::recovery::undo::Undo;
use crate::seq::{SeqNum, SeqRange};
use crate::sink::Sink;
use crate::time::Stamp;
use crate::wire::Segment;

/// Pages that a cumulative acknowledgement may visit to count SACKed octets.
const RELEASE_PAGES: u32 = 1024;

/// What one acknowledgement brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct News {
    /// Octets by which SND.UNA has moved.
    pub(super) acked: u32,
    /// Octets of which it is the first to say that they arrived.
    pub(super) delivered: u32,
    /// Octets found lost by it.
    pub(super) lost: u32,
    /// Octets in flight before it.
    pub(super) prior_in_flight: u32,
    /// It echoes a mark of congestion.
    pub(super) echoes: bool,
    /// Where what was sent again ended before it.
    repaired_to: SeqNum,
    /// SND.UNA and the highest SACKed edge before it.
    una_before: SeqNum,
    sacked_before: SeqNum,
    /// The last sent of what it delivers.
    newest: Option<Newest>,
    /// The lowest octet that it delivers of what was never sent again.
    lowest: Option<SeqNum>,
    /// What it reports as received twice.
    duplicate: Option<SeqRange>,
    /// It repeats what was acknowledged before.
    is_duplicate: bool,
    /// It says nothing but what was said before.
    is_repetition: bool,
}

impl News {
    /// Whether it reports something as received twice.
    pub(super) const fn reports_duplicate(&self) -> bool {
        self.duplicate.is_some()
    }

    /// Whether it says nothing but that something is missing.
    pub(super) const fn is_repeated_request(&self, sack: bool) -> bool {
        let asks = if sack {
            !self.is_repetition
        } else {
            self.is_duplicate
        };
        self.acked == 0 && asks
    }

    fn deliver(&mut self, newest: Option<Newest>, lowest: Option<SeqNum>) {
        self.newest = match (self.newest, newest) {
            (Some(old), Some(new)) => Some(old.latest(new)),
            (old, new) => old.or(new),
        };
        self.lowest = match (self.lowest, lowest) {
            (Some(old), Some(new)) => Some(old.earliest(new)),
            (old, new) => old.or(new),
        };
    }
}

impl<S: Sink + ?Sized> Work<'_, S> {
    /// No news yet.
    pub(super) fn news(&self, echo: Direction) -> News {
        let send = &self.flow.stream(echo).send;
        News {
            acked: 0,
            delivered: 0,
            lost: 0,
            prior_in_flight: self.pipe(echo),
            echoes: false,
            repaired_to: send.lost.repaired_from(send.snd_una).end(),
            una_before: send.snd_una,
            sacked_before: send.sacked_to,
            newest: None,
            lowest: None,
            duplicate: None,
            is_duplicate: false,
            is_repetition: false,
        }
    }

    /// Releases what is stored before `to`, which is not lost any more, through at most `pages` pages.
    #[inline(always)]
    pub(super) fn release(&mut self, echo: Direction, to: SeqNum, pages: u32) -> Released {
        let stream = self.flow.stream_mut(echo);
        let watch = stream.send.lost.waiting();
        let range = SeqRange::new(stream.send.snd_una.earliest(to), to);
        let snd_nxt = stream.send.snd_nxt;
        let released = self
            .pool
            .release(&mut stream.chain, to, snd_nxt, watch, pages);
        let passed = watch.iter().fold(0_u32, |sum, waiting| {
            sum.saturating_add(waiting.intersection(range).octets())
        });
        stream
            .send
            .lost
            .forgive(passed.saturating_sub(released.sacked.watched));
        released
    }

    /// SND.UNA moves to `ack`.
    pub(super) fn take_ack(&mut self, echo: Direction, ack: SeqNum, news: &mut News) {
        let now = self.now;
        let has_sack = self.has(FlowFlags::SACK);
        let acked = ack.octets_past(self.flow.stream(echo).send.snd_una);
        if acked == 0 {
            return;
        }
        if self.flow.stream_mut(echo).flags.take(StreamFlags::HELD) {
            self.leave_dead_path(echo);
        }
        let stream = self.flow.stream_mut(echo);
        // The FIN takes a sequence number but no octet of the store.
        let octets_to = stream.fin().map_or(ack, |fin| ack.earliest(fin));
        let released = self.release(echo, octets_to, RELEASE_PAGES);
        let stream = self.flow.stream_mut(echo);
        let send = &mut stream.send;
        // What went round the engine, or is not true at all, was not delivered by it: it earns no window
        // and no rate (rule H4.6).
        let sent = ack.earliest(send.snd_nxt).octets_past(send.snd_una);
        let known = if has_sack {
            released.sacked.octets
        } else {
            // Each duplicate stood for a segment (RFC 6937 section 3).
            u32::from(send.duplicate_acks).saturating_mul(send.mss().into())
        };
        send.snd_una = ack;
        send.catch_up();
        send.duplicate_acks = 0;
        send.progress_at = Stamp::at(now);
        news.acked = sent;
        news.delivered = news.delivered.saturating_add(sent.saturating_sub(known));
        news.deliver(released.newest, released.lowest);
        if ack.at_or_after(stream.recv.sacked_to) {
            stream.flags.clear(StreamFlags::SACK_PROMISED);
        }
        let walks = released.more || stream.chain.octets_ahead() > 0 && stream.chain.end() == ack;
        if walks {
            stream.flags.set(StreamFlags::WALK_OWED);
        }
        self.flow.flags.clear(FlowFlags::stalled(echo));
    }

    /// Marks what the receiver has SACKed. Blocks about what was not sent or is acknowledged already
    /// are lies or duplicates and mark nothing (rules H4.3 and H4.6).
    pub(super) fn take_sack(&mut self, echo: Direction, seg: &Segment, news: &mut News) {
        if !self.has(FlowFlags::SACK) {
            return;
        }
        let blocks = seg.options.sack.as_slice();
        for (place, block) in blocks.iter().enumerate() {
            let stream = self.flow.stream_mut(echo);
            let (una, snd_nxt) = (stream.send.snd_una, stream.send.snd_nxt);
            let range = SeqRange::new(block.left, block.right);
            if range.is_empty() || block.right.after(snd_nxt) {
                continue;
            }
            // The first block may report a duplicate: what is acknowledged, or lies within the second
            // (RFC 2883 section 4).
            let within = |outer: &crate::wire::SackBlock| {
                block.left.at_or_after(outer.left) && block.right.at_or_before(outer.right)
            };
            let is_dsack = place == 0
                && (block.right.at_or_before(seg.ack) || blocks.get(1).is_some_and(within));
            if is_dsack {
                news.duplicate = Some(range);
                continue;
            }
            if block.left.before(una) {
                continue;
            }
            let watch = stream.send.lost.waiting();
            let marked = self
                .pool
                .mark_sacked(&mut stream.chain, range, snd_nxt, watch, MAX_PAGES);
            stream.send.lost.forgive(marked.newly.watched);
            stream.send.sacked_to = stream.send.sacked_to.latest(block.right);
            news.delivered = news.delivered.saturating_add(marked.newly.octets);
            news.deliver(marked.newest, marked.lowest);
        }
    }

    /// Counts an acknowledgement that repeats the one before (RFC 5681 section 2).
    pub(super) fn count_duplicate(
        &mut self,
        echo: Direction,
        seg: &Segment,
        same_window: bool,
        news: &mut News,
    ) {
        let has_sack = self.has(FlowFlags::SACK);
        let stream = self.flow.stream_mut(echo);
        // From behind a shut window a receiver says the same again because it was asked, or talks of
        // something else: nothing has arrived there (rule H12.4).
        let may_arrive = stream.head_fits();
        let send = &mut stream.send;
        news.is_repetition =
            news.acked == 0 && !seg.has_payload() && same_window && seg.options.sack.is_empty();
        news.is_duplicate = news.acked == 0
            && !seg.has_payload()
            && send.in_flight() > 0
            && (news.delivered > 0 || (same_window && !has_sack && may_arrive));
        if news.is_duplicate {
            send.duplicate_acks = send.duplicate_acks.saturating_add(1);
            if !has_sack {
                news.delivered = u32::from(send.mss());
            }
        }
    }

    /// Draws all conclusions from an acknowledgement whose octets are taken in. `tsecr` is the
    /// timestamp that it echoes.
    pub(super) fn learn(&mut self, echo: Direction, news: &mut News, tsecr: Option<u32>) {
        let now = self.now;
        let rtt_us = self.measure(echo, news);
        if self.is_spurious(echo, news, tsecr) {
            self.take_back(echo);
        }
        let recovered = self.leave_recovery(echo) || self.end_ecn_reduction(echo);
        let wait_us = self.look_for_losses(echo, news);
        self.hear_of_tail_probe(echo, news);
        self.hear_echo(echo, news.echoes);
        let in_flight = self.pipe(echo);
        let stream = self.flow.stream_mut(echo);
        let snoops = self.arranged && stream.snoops();
        let send = &mut stream.send;
        if news.delivered > 0 || news.lost > 0 {
            if !snoops {
                send.note_drained(news.delivered, now);
            }
            let newest = news.newest.as_ref().map(|newest| &newest.sent);
            let rate = send.on_delivered(now, news.delivered, newest);
            let ack = Ack {
                now,
                acked: news.acked,
                delivered: news.delivered,
                lost: news.lost,
                prior_in_flight: news.prior_in_flight,
                in_flight,
                rtt_us,
                srtt_us: send.srtt_us(),
                snd_una: send.snd_una,
                snd_nxt: send.snd_nxt,
                cwnd_limited: !recovered && news.una_before.before(send.cwnd_full),
                rate,
            };
            let (cwnd, holds) = (send.congestion.cwnd(), send.attempt.resume().holds_window());
            send.congestion.on_ack(&ack);
            if holds {
                send.congestion.set_cwnd(cwnd);
            }
            self.resume_on_ack(echo, &ack, cwnd);
        }
        self.rearm(echo, news.acked > 0, wait_us);
    }

    /// Round trip, order of delivery. Answers the round trip in microseconds, if one was measured:
    /// never of what was sent twice (Karn, RFC 6298 section 3).
    fn measure(&mut self, echo: Direction, news: &News) -> Option<u32> {
        let now = self.now;
        let has_sack = self.has(FlowFlags::SACK);
        let send = &mut self.flow.stream_mut(echo).send;
        let sample = news
            .newest
            .as_ref()
            .filter(|newest| !newest.sent.is_retransmitted())
            .map(|newest| newest.sent.at.age(now).max(1));
        match sample {
            Some(sample) => send.on_round_trip(sample, now),
            None if news.acked > 0 => send.note_progress(),
            None => {}
        }
        let min_rtt_us = send.min_rtt.us().unwrap_or(0);
        if let Some(newest) = &news.newest {
            send.rack.on_delivered(newest, now, min_rtt_us);
        }
        let overtaken = |lowest: SeqNum| lowest.before(news.sacked_before);
        if has_sack && news.lowest.is_some_and(overtaken) && !send.flags.has(SendFlags::TIMED_OUT) {
            send.rack.note_reordering();
        }
        sample
    }

    /// Whether the acknowledgement shows that nothing was lost when the window was last reduced.
    fn is_spurious(&mut self, echo: Direction, news: &News, tsecr: Option<u32>) -> bool {
        let has_sack = self.has(FlowFlags::SACK);
        let stream = self.flow.stream_mut(echo);
        let send = &mut stream.send;
        let mut spurious = false;
        if let Some(range) = news.duplicate {
            let repeated = send.flags.has(SendFlags::TAIL_PROBE_REPEATS);
            // At a vouched rate it tells of second copies.
            let sent_once = send.congestion.provisioned().is_none();
            if repeated || (send.attempt.undo().has_repaired() && sent_once) {
                send.rack.on_dsack(send.snd_una, send.snd_nxt);
            }
            let snd_nxt = send.snd_nxt;
            spurious |= send.attempt.with_undo(|undo| undo.on_dsack(range, snd_nxt));
        }
        if news.acked > 0 && self.flow.flags.has(FlowFlags::TIMESTAMPS) {
            let send = &self.flow.stream(echo).send;
            spurious |= tsecr
                .is_some_and(|tsecr| send.attempt.undo().echoes_original(tsecr, news.una_before));
        }
        let send = &mut self.flow.stream_mut(echo).send;
        if send.flags.has(SendFlags::FORWARD) {
            // Something never sent again has arrived, and was not known to have before. What was sent
            // first after the time-out tells nothing of it.
            let flight = SeqRange::new(send.probe_end, send.recover);
            let original = news.lowest.is_some_and(|lowest| flight.contains(lowest));
            let repaired = news
                .newest
                .is_some_and(|newest| newest.sent.is_retransmitted());
            // All that was sent again was acknowledged before, and now something that was not (RFC
            // 5682 section 2.1, step 3b).
            let beyond = send.flags.has(SendFlags::FORWARD_NEW)
                && news.acked > 0
                && news.una_before.at_or_after(news.repaired_to);
            if beyond || (original && (has_sack || !repaired)) {
                spurious = true;
            } else if news.acked > 0 && !send.flags.has(SendFlags::FORWARD_NEW) {
                send.flags.set(SendFlags::FORWARD_NEW);
            } else if news.acked > 0 || news.is_duplicate {
                send.flags
                    .clear(SendFlags::FORWARD | SendFlags::FORWARD_NEW);
            }
        }
        spurious
    }

    /// Takes the last reduction back: what counts as lost may still arrive (RFC 4015).
    fn take_back(&mut self, echo: Direction) {
        let stream = self.flow.stream_mut(echo);
        let send = &mut stream.send;
        if !send.flags.has(SendFlags::TIMED_OUT) {
            // What looked lost was only late.
            send.rack.note_reordering();
        }
        send.lost.retract();
        send.attempt.with_undo(Undo::end);
        send.flags
            .clear(SendFlags::FORWARD | SendFlags::FORWARD_NEW | SendFlags::TIMED_OUT);
        send.flags.clear(SendFlags::CWR_OWED);
        send.reset_backoff();
        send.congestion.on_spurious();
        stream
            .flags
            .clear(StreamFlags::RECOVERY.or(StreamFlags::FIRST_REPAIR));
        let spurious = &mut self.counters.spurious_recoveries;
        *spurious = spurious.saturating_add(1);
    }

    /// Ends recovery once everything is acknowledged that was outstanding when it began; whether it
    /// did.
    fn leave_recovery(&mut self, echo: Direction) -> bool {
        let stream = self.flow.stream_mut(echo);
        let send = &mut stream.send;
        let recovered =
            stream.flags.has(StreamFlags::RECOVERY) && send.snd_una.at_or_after(send.recover);
        if recovered {
            stream
                .flags
                .clear(StreamFlags::RECOVERY.or(StreamFlags::FIRST_REPAIR));
            send.flags
                .clear(SendFlags::FORWARD | SendFlags::FORWARD_NEW | SendFlags::TIMED_OUT);
            send.rack.on_recovery_exit();
            send.congestion.on_recovery_exit();
        }
        recovered
    }

    /// What became of a tail loss probe (RFC 8985 section 7.4).
    fn hear_of_tail_probe(&mut self, echo: Direction, news: &News) {
        let now = self.now;
        let stream = self.flow.stream_mut(echo);
        let send = &mut stream.send;
        if !send.flags.has(SendFlags::TAIL_PROBE_OUT) || send.snd_una.before(send.probe_end) {
            return;
        }
        let repeated = send.flags.has(SendFlags::TAIL_PROBE_REPEATS);
        // Not every receiver reports duplicates.
        let both_arrived = news.duplicate.is_some() || news.is_repetition;
        let repaired = send.snd_una.after(send.probe_end);
        if repeated && !both_arrived && !repaired {
            // Either copy may have brought this about: what comes next tells.
            return;
        }
        send.flags
            .clear(SendFlags::TAIL_PROBE_OUT | SendFlags::TAIL_PROBE_REPEATS);
        if repeated && !both_arrived && !stream.flags.has(StreamFlags::RECOVERY) {
            // The probe has repaired a loss that nothing else told of.
            let octets = u32::from(send.mss());
            send.on_lost(now, octets, None, news.prior_in_flight, true);
            self.reduce(echo);
        }
    }
}
