//! What a receiver's segment says about the data sent to it (rules H1.9, H4.* and H9.*).

use super::{MAX_PAGES, Work};
use crate::congestion::Ack;
use crate::event::DemoteCause;
use crate::flow::FlowFlags;
use crate::flow::stream::StreamFlags;
use crate::policy::Direction;
use crate::seq::{SeqNum, SeqRange};
use crate::sink::Sink;
use crate::stats::DirectionMode;
use crate::time::Stamp;
use crate::wire::Segment;

/// Pages that a cumulative acknowledgement may visit to count SACKed octets.
const RELEASE_PAGES: u32 = 1024;

/// What the acknowledgement part of a segment meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Feedback {
    /// Nothing new.
    Nothing,
    /// New acknowledgement, window or SACK information.
    News,
    /// The receiver's window has opened for a sender that sees it as it is (rule H2.2).
    Opened,
    /// It acknowledges octets that never passed here: it goes on with its own number (rule H4.6).
    WentRound,
}

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Takes in the feedback on `echo`'s data from its receiver.
    pub(super) fn take_feedback(&mut self, echo: Direction, seg: &Segment) -> Feedback {
        if self.flow.stream(echo).is_active() {
            self.served_feedback(echo, seg)
        } else {
            self.watched_feedback(echo, seg)
        }
    }

    /// Feedback on data that is only watched.
    fn watched_feedback(&mut self, echo: Direction, seg: &Segment) -> Feedback {
        let shift = self.flow.host(echo.source().other()).scale();
        let stream = self.flow.stream_mut(echo);
        if seg.ack.after(stream.recv.seq_max) {
            // Data that was acknowledged here was never seen here: it takes another way (H9.3).
            stream.recv.seq_max = seg.ack;
            stream.watch(SeqRange::new(stream.send.snd_nxt, seg.ack), None);
            self.flow.flags.set(FlowFlags::ASYMMETRIC);
            self.demote(echo.reverse(), DemoteCause::Asymmetric);
        }
        let stream = self.flow.stream_mut(echo);
        let send = &mut stream.send;
        let (una, window) = (send.snd_una, send.window);
        let is_news = send.note_window(seg.seq, seg.ack, seg.window, shift.octets(seg.window));
        if is_news && let Some(timestamps) = seg.options.timestamps {
            send.tsecr = timestamps.ecr;
        }
        stream.watch_ack(seg.ack);
        let send = &stream.send;
        if send.snd_una != una || send.window != window || !seg.options.sack.is_empty() {
            Feedback::News
        } else {
            Feedback::Nothing
        }
    }

    /// Feedback on data in custody.
    fn served_feedback(&mut self, echo: Direction, seg: &Segment) -> Feedback {
        let stream = self.flow.stream(echo);
        let (una, highest) = (stream.send.snd_una, stream.recv.seq_max);
        if seg.ack.after(highest) {
            self.went_round(echo, seg.ack);
            self.note_peer_window(echo, seg);
            return Feedback::WentRound;
        }
        if seg.ack.before(una) {
            return Feedback::Nothing;
        }
        let advanced = self.take_ack(echo, seg.ack);
        let newly_sacked = self.take_sack(echo, seg);
        let window_before = self.flow.stream(echo).send.wnd_edge;
        let opened = self.note_peer_window(echo, seg);
        let send = &self.flow.stream(echo).send;
        let same_window = send.wnd_edge == window_before;
        let is_duplicate = !advanced
            && !seg.has_payload()
            && send.in_flight() > 0
            && (newly_sacked > 0 || (same_window && !self.has(FlowFlags::SACK)));
        if is_duplicate {
            let send = &mut self.flow.stream_mut(echo).send;
            send.duplicate_acks = send.duplicate_acks.saturating_add(1);
        }
        self.look_for_losses(echo, advanced);
        self.restart_timer(echo, advanced);
        if opened {
            Feedback::Opened
        } else {
            Feedback::News
        }
    }

    /// SND.UNA moves to `ack`; whether it moved.
    fn take_ack(&mut self, echo: Direction, ack: SeqNum) -> bool {
        let now = self.now;
        let stream = self.flow.stream_mut(echo);
        let acked = ack.octets_past(stream.send.snd_una);
        if acked == 0 {
            return false;
        }
        let watch = stream.send.repairable();
        // The FIN takes a sequence number but no octet of the store.
        let octets_to = stream.fin().map_or(ack, |fin| ack.earliest(fin));
        let released = self
            .pool
            .release(&mut stream.chain, octets_to, watch, RELEASE_PAGES);
        let send = &mut stream.send;
        let passed = watch
            .intersection(SeqRange::new(send.snd_una, ack))
            .octets();
        send.forgive(passed.saturating_sub(released.sacked.watched));
        send.snd_una = ack;
        send.catch_up();
        send.duplicate_acks = 0;
        send.note_delivered(acked, now);
        match send.timed_round_trip(ack, now) {
            Some(sample) => send.on_round_trip(sample),
            None => send.reset_backoff(),
        }
        send.congestion.on_ack(&Ack {
            now,
            acked,
            delivered: acked,
            lost: 0,
            prior_in_flight: 0,
            in_flight: send.in_flight(),
            rtt_us: None,
            srtt_us: send.srtt_us(),
            snd_una: send.snd_una,
            snd_nxt: send.snd_nxt,
            cwnd_limited: stream.flags.has(StreamFlags::CWND_LIMITED),
            rate: crate::recovery::delivery::RateSample::default(),
        });
        send.progress_at = Stamp::at(now);
        if ack.at_or_after(stream.recv.sacked_to) {
            stream.flags.clear(StreamFlags::SACK_PROMISED);
        }
        let recovered = stream.flags.has(StreamFlags::RECOVERY) && ack.at_or_after(send.recover);
        if recovered {
            stream
                .flags
                .clear(StreamFlags::RECOVERY.or(StreamFlags::FIRST_REPAIR));
            send.congestion.on_recovery_exit();
        }
        self.flow.flags.clear(FlowFlags::stalled(echo));
        let stream = self.flow.stream_mut(echo);
        if released.more || stream.chain.octets_ahead() > 0 && stream.chain.end() == ack {
            stream.flags.set(StreamFlags::WALK_OWED);
        }
        true
    }

    /// Marks what the receiver has SACKed; octets newly marked. Blocks about what was not sent or
    /// is acknowledged already are lies or duplicates and mark nothing (rules H4.3 and H4.6).
    fn take_sack(&mut self, echo: Direction, seg: &Segment) -> u32 {
        if !self.has(FlowFlags::SACK) {
            return 0;
        }
        let mut newly = 0_u32;
        for block in seg.options.sack.as_slice() {
            let stream = self.flow.stream_mut(echo);
            let range = SeqRange::new(block.left, block.right);
            if range.is_empty()
                || block.right.after(stream.send.snd_nxt)
                || block.left.before(stream.send.snd_una)
            {
                continue;
            }
            let watch = stream.send.repairable();
            let marked = self
                .pool
                .mark_sacked(&mut stream.chain, range, watch, MAX_PAGES);
            newly = newly.saturating_add(marked.newly.octets);
            stream.send.forgive(marked.newly.watched);
            stream.send.sacked_to = stream.send.sacked_to.latest(block.right);
        }
        newly
    }

    /// Takes in the receiver's window (rule H2.7). Whether it has opened for a sender that sees it as
    /// it is.
    fn note_peer_window(&mut self, echo: Direction, seg: &Segment) -> bool {
        let shift = self.flow.host(echo.source().other()).scale();
        let now = self.now;
        let stream = self.flow.stream_mut(echo);
        let send = &mut stream.send;
        let was_shut = send.usable_edge().at_or_before(send.snd_nxt);
        let news = send.note_window(seg.seq, seg.ack, seg.window, shift.octets(seg.window));
        if was_shut && send.usable_edge().after(send.snd_nxt) {
            // Probes went unanswered for want of room, not of a path: what follows is timed anew.
            send.reset_backoff();
        }
        if news && let Some(timestamps) = seg.options.timestamps {
            send.tsecr = timestamps.ecr;
        }
        // A receiver that answers from behind a closed window lives (rule H2.9).
        if send.wnd_edge.at_or_before(send.snd_una.advance(1)) {
            send.progress_at = Stamp::at(now);
        }
        // Before custody the sender sees its receiver's own window (rule H2.2).
        let stores_only = stream.mode() == DirectionMode::StoreAndForward;
        let opened = stores_only && stream.send.wnd_edge.after(stream.recv.edge);
        if opened {
            stream.recv.edge = stream.send.wnd_edge;
        }
        opened
    }

    /// The receiver has octets that never passed here: the engine has nothing to add to them, and
    /// stops acknowledging early (rules H4.6 and H9.2).
    fn went_round(&mut self, echo: Direction, ack: SeqNum) {
        self.take_ack(echo, ack);
        let stream = self.flow.stream_mut(echo);
        stream.recv.seq_max = stream.recv.seq_max.latest(ack);
        stream.recv.prune_held(stream.chain.end());
        self.demote(echo, DemoteCause::WentRound);
    }

    /// The receiver has shown that it is established: custody may begin (rule H7.1).
    pub(super) fn note_proof(&mut self, echo: Direction) {
        let stream = self.flow.stream_mut(echo);
        if !stream.flags.has(StreamFlags::PROVEN) {
            stream.flags.set(StreamFlags::PROVEN);
            self.begin_custody(echo);
        }
    }
}
