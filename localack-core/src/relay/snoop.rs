//! Copies of data that goes by, from which losses behind the engine are answered (rule H13.3).
//!
//! The endpoints keep all that is theirs: numbers, windows, acknowledgements. What the engine knows of the
//! last part of the path it learns as a sender does (RFC 8985, RFC 6298), from the same notes and marks, but
//! only of octets that it has a copy of: what lies before the copies is its sender's business.

use super::feedback::Feedback;
use super::news::News;
use super::{MAX_PAGES, Work};
use crate::congestion::Start;
use crate::event::{DemoteCause, Event};
use crate::flow::FlowFlags;
use crate::flow::stream::{Stream, StreamFlags};
use crate::policy::{Direction, Service};
use crate::pool::Quota;
use crate::seq::{SeqNum, SeqRange};
use crate::sink::{PacketMeta, Sink};
use crate::stats::DirectionMode;
use crate::time::Stamp;
use crate::wire::{Flags, Rewrite, Segment};

/// After so many time-outs in a row the sender hears everything again.
const PATIENT_TIME_OUTS: u8 = 3;
/// After so many the copies are given up: the receiver is gone, or wants none of it.
const LAST_TIME_OUT: u8 = 6;

impl Stream {
    /// What is known of losses behind the engine, and owed for them, begins anew at `at`.
    fn begin_copies(&mut self, at: SeqNum) {
        self.send.begin_copies(at);
        self.flags.clear(
            StreamFlags::WALK_OWED
                .or(StreamFlags::RECOVERY)
                .or(StreamFlags::FIRST_REPAIR),
        );
    }

    /// Whether there is a copy of the first octet that the receiver has not acknowledged.
    fn has_copy_of_head(&self) -> bool {
        let una = self.send.snd_una;
        self.chain.start().at_or_before(una) && una.before(self.chain.end())
    }
}

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Sets out to keep copies of a direction's data, once it is in no other service. What is in flight
    /// already has none.
    pub(crate) fn try_snoop(&mut self, direction: Direction) {
        let stream = self.flow.stream(direction);
        if stream.service() != Service::Snoop {
            return;
        }
        match stream.mode() {
            DirectionMode::StoreAndForward | DirectionMode::LocalAck => {
                self.demote(direction, DemoteCause::Request);
            }
            DirectionMode::Draining => return,
            DirectionMode::Bypass => {}
            // An engine that has come back to the flow has lost its copies.
            DirectionMode::Snoop if stream.chain.has_quota() => return,
            DirectionMode::Snoop => {}
        }
        let stream = self.flow.stream(direction);
        if !stream.is_active() && stream.fin().is_none() {
            self.begin_copies(direction);
        }
    }

    fn begin_copies(&mut self, direction: Direction) {
        let quota = Quota {
            reserved_blocks: 0,
            limit_blocks: self
                .pool
                .block_size()
                .pages(self.flow.buffer_limit)
                .saturating_add(2),
        };
        let start = Start {
            now: self.now,
            mss: self.segment_size(direction),
            initial_segments: self.initial_segments(),
            rtt_us: self.flow.stream(direction).send.srtt_us(),
        };
        let stream = self.flow.stream_mut(direction);
        let at = stream.rcv_nxt();
        self.pool.restart(&mut stream.chain, at);
        if self.pool.reserve(&mut stream.chain, quota).is_err() {
            return;
        }
        stream.send.begin_copies(at);
        stream.send.congestion.on_established(&start);
        let is_new = !stream.snoops();
        if is_new {
            stream.send.rate = 0;
        }
        stream.set_mode(DirectionMode::Snoop);
        self.open_share(direction);
        if is_new {
            self.event(Event::ServiceChanged {
                flow: self.id,
                direction,
                service: Service::Snoop,
                soft: false,
            });
        }
    }

    /// Gives the copies up: nothing hangs on them.
    pub(super) fn stop_snooping(&mut self, direction: Direction) {
        let stream = self.flow.stream(direction);
        let end = match stream.fin() {
            Some(fin) if fin == stream.rcv_nxt() => fin.advance(1),
            _ => stream.rcv_nxt(),
        };
        self.retire(direction);
        let stream = self.flow.stream_mut(direction);
        stream.set_mode(DirectionMode::Bypass);
        stream.send.rate = 0;
        stream.chain.follow(end);
        stream.begin_copies(end);
        self.event(Event::ServiceChanged {
            flow: self.id,
            direction,
            service: Service::Bypass,
            soft: false,
        });
    }

    /// Forgets all copies and begins anew with what comes next; `end` is where what went by without a hole
    /// ends.
    fn forget_copies(&mut self, direction: Direction, end: SeqNum) {
        let stream = self.flow.stream_mut(direction);
        self.pool.restart(&mut stream.chain, end);
        stream.begin_copies(end);
    }

    /// The copies may not be sent as they are any more: the path has become narrower.
    pub(super) fn outdate_copies(&mut self, direction: Direction) {
        if self.flow.stream(direction).snoops() {
            self.forget_copies(direction, self.flow.stream(direction).rcv_nxt());
        }
    }

    /// Copies the data of a valid segment that goes by, before its numbers are followed.
    #[inline(never)]
    pub(super) fn keep_copy(&mut self, direction: Direction, packet: &[u8], seg: &Segment) {
        let stream = self.flow.stream(direction);
        let (start, end) = (seg.seq, seg.seq.advance(seg.payload_len));
        let (range, rcv_nxt) = (SeqRange::new(start, end), stream.rcv_nxt());
        let passes = !stream.snoops() || !stream.chain.has_quota() || !seg.has_payload();
        if passes || end.at_or_before(stream.chain.start()) || stream.send.is_window_probe(range) {
            return;
        }
        let in_order = start.at_or_before(rcv_nxt);
        let reached = if in_order {
            end.latest(rcv_nxt)
        } else {
            rcv_nxt
        };
        if self.flow.unfit(seg).is_some() {
            // It cannot be made again as it is.
            self.forget_copies(direction, reached);
            return;
        }
        self.make_room_for_copy(direction, end.octets_past(rcv_nxt.latest(start)));
        let known_to = self.flow.stream(direction).send.snd_nxt;
        let push = seg.flags.contains(Flags::PSH);
        let stream = self.flow.stream_mut(direction);
        let payload = seg.payload(packet);
        let stored = self
            .pool
            .store(&mut stream.chain, start, payload, end, push)
            .commit();
        if stored.more() {
            stream.flags.set(StreamFlags::WALK_OWED);
        }
        if in_order && stream.rcv_nxt().before(reached) {
            // No room at all. What comes next can be kept again.
            self.forget_copies(direction, reached);
            return;
        }
        let advanced = stored.advanced();
        if start.before(known_to) {
            self.note_sent_again(direction, range, advanced);
        } else {
            self.note_sent(direction, range);
        }
        let stream = self.flow.stream_mut(direction);
        if !stream.flags.has(StreamFlags::RECOVERY) {
            stream.send.admit_all_in_flight();
        }
    }

    /// Its sender has sent something again, whether the engine would have or not.
    fn note_sent_again(&mut self, direction: Direction, range: SeqRange, advanced: SeqRange) {
        if !advanced.is_empty() {
            // Of what has waited behind a hole nobody noted when it was sent.
            self.note_transmission(direction, advanced, true);
        }
        self.note_transmission(direction, range, true);
        let stream = self.flow.stream_mut(direction);
        let send = &mut stream.send;
        for waiting in send.lost.waiting() {
            let sent = waiting.intersection(range);
            if !sent.is_empty() && sent.start() == waiting.start() {
                let counted = self.pool.unsacked_octets(&stream.chain, sent, MAX_PAGES);
                send.lost.on_repaired(sent.end(), counted.octets);
            }
        }
        send.snd_nxt = send.snd_nxt.latest(range.end());
        self.start_timer(direction);
    }

    /// Lets the oldest copies go where there is no room for `octets` more: copies may take half of the pool,
    /// and never what custody needs.
    fn make_room_for_copy(&mut self, direction: Direction, octets: u32) {
        let size = self.pool.block_size();
        let stream = self.flow.stream(direction);
        let needed = size.pages(octets).saturating_add(1);
        let spare = self
            .pool
            .unpromised_blocks()
            .saturating_sub(self.pool.blocks() / 2);
        let room = stream.chain.blocks_left().min(spare);
        let missing = needed.saturating_sub(room);
        if missing == 0 || stream.chain.blocks() == 0 {
            return;
        }
        let (from, end) = (stream.chain.start(), stream.rcv_nxt());
        let to = from.advance(size.start_of(missing));
        if !to.before(end) {
            self.forget_copies(direction, end);
            return;
        }
        self.release(direction, to, MAX_PAGES);
        let stream = self.flow.stream_mut(direction);
        let start = stream.chain.start();
        stream.send.lost.catch_up(start);
    }

    /// Takes in what a receiver says of the copies; `None` if they are none of its concern.
    #[inline(never)]
    pub(super) fn hear_of_copies(&mut self, echo: Direction, seg: &Segment) -> Option<News> {
        let stream = self.flow.stream(echo);
        if !stream.snoops() || !stream.chain.has_quota() || seg.ack.before(stream.send.snd_una) {
            return None;
        }
        let mut news = self.news(echo);
        self.take_ack(echo, seg.ack, &mut news);
        if news.acked > 0 {
            self.flow.stream_mut(echo).flags.set(StreamFlags::PROVEN);
        }
        self.take_sack(echo, seg, &mut news);
        Some(news)
    }

    /// Draws the conclusions from it; `None` if its sender should hear all of it.
    #[inline(never)]
    pub(super) fn answer_from_copies(
        &mut self,
        echo: Direction,
        seg: &Segment,
        same_window: bool,
        mut news: News,
    ) -> Option<Feedback> {
        self.count_duplicate(echo, seg, same_window, &mut news);
        let tsecr = seg.options.timestamps.map(|timestamps| timestamps.ecr);
        self.learn(echo, &mut news, tsecr);
        self.leave_to_sender(echo, &news);
        if !self.speaks_only_of_copies(echo, seg, &news) {
            return None;
        }
        let asks_only = seg.flags == Flags::ACK && !seg.has_payload() && same_window;
        if news.acked > 0 {
            Some(Feedback::Covered)
        } else if asks_only && news.is_repeated_request(self.has(FlowFlags::SACK)) {
            Some(Feedback::Spared)
        } else {
            None
        }
    }

    /// Losses behind a full queue, or of more than links lose, are their sender's business, who must hear of
    /// them and slow down. Repairs would only make the queue fuller.
    pub(super) fn leave_to_sender(&mut self, direction: Direction, news: &News) {
        let now = self.now;
        let stream = self.flow.stream_mut(direction);
        if stream.snoops() && news.lost > 0 && stream.send.is_congested(now) {
            let end = stream.rcv_nxt();
            self.forget_copies(direction, end);
        }
    }

    /// Whether a segment asks for nothing that the engine will not send, and reports nothing as received
    /// that it has no copy of (rule H13.3).
    fn speaks_only_of_copies(&self, echo: Direction, seg: &Segment, news: &News) -> bool {
        let stream = self.flow.stream(echo);
        let copied = stream.chain.held();
        let blocks = seg.options.sack.as_slice();
        let all_copied = blocks.iter().all(|block| {
            block.left.at_or_after(copied.start()) && block.right.at_or_before(copied.end())
        });
        stream.has_copy_of_head()
            && all_copied
            && !news.reports_duplicate()
            && !seg.flags.contains(Flags::ECE)
            && stream.send.doublings() < PATIENT_TIME_OUTS
    }

    /// Takes SACK blocks about copies out of a segment on its way to the data's sender, who would send again
    /// what the engine sends. Whether there were any.
    pub(super) fn erase_sack_of_copies(packet: &mut [u8], seg: &Segment, meta: PacketMeta) -> bool {
        let mut rewrite = Rewrite::new(packet, seg, super::edit::kind_of(meta));
        rewrite.erase_sack();
        rewrite.changed()
    }

    /// The receiver was silent for a whole time-out after copies were sent to it.
    pub(super) fn copies_timed_out(&mut self, direction: Direction) {
        self.flow.stream_mut(direction).send.back_off();
        let stream = self.flow.stream(direction);
        if stream.send.doublings() > LAST_TIME_OUT || !stream.has_copy_of_head() {
            self.forget_copies(direction, stream.rcv_nxt());
            return;
        }
        self.counters.timeouts = self.counters.timeouts.saturating_add(1);
        self.time_out(direction);
        let at = self.now.after(self.rto(direction));
        let send = &mut self.flow.stream_mut(direction).send;
        send.arm(crate::half::send::TimerKind::Timeout, at);
    }

    /// Goes on with what was cut short, and sends what is owed.
    pub(super) fn run_copies(&mut self, direction: Direction) {
        if !self.flow.stream(direction).snoops() {
            return;
        }
        self.walk_on(direction);
        self.pump(direction);
        if self.flow.stream(direction).chain.blocks() == 0 {
            // Nothing could be sent again.
            self.flow.stream_mut(direction).send.timer = Stamp::NEVER;
        }
    }
}
