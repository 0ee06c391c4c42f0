//! What a receiver's segment says about the data sent to it (rules H1.9, H4.* and H9.*).

use super::Work;
use crate::event::DemoteCause;
use crate::flow::FlowFlags;
use crate::flow::stream::StreamFlags;
use crate::half::send::SendFlags;
use crate::policy::Direction;
use crate::seq::{SeqNum, SeqRange};
use crate::sink::Sink;
use crate::stats::DirectionMode;
use crate::time::Stamp;
use crate::wire::{Flags, Segment};

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
    /// It asks only for what the engine sends again from its copies (rule H13.3): its sender need not hear.
    Spared,
    /// News, but what it says of holes is the engine's business (rule H13.3).
    Covered,
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
        let scale = self.flow.host(echo.source().other()).scale();
        let stream = self.flow.stream_mut(echo);
        if seg.ack.after(stream.recv.seq_max) {
            // Data that was acknowledged here was never seen here: it takes another way (H9.3).
            stream.recv.seq_max = seg.ack;
            stream.watch(SeqRange::new(stream.send.snd_nxt, seg.ack), None);
            self.flow.flags.set(FlowFlags::ASYMMETRIC);
            self.demote(echo.reverse(), DemoteCause::Asymmetric);
        }
        let doles_out = self.arranged && self.doles_out(echo);
        let has_ecn = self.has(FlowFlags::ECN);
        let has_timestamps = self.has(FlowFlags::TIMESTAMPS);
        let stream = self.flow.stream_mut(echo);
        if let Some(timestamps) = seg.options.timestamps.filter(|_| has_timestamps) {
            stream.recv.note_echo(timestamps.ecr);
        }
        let (una, window) = (stream.send.snd_una, stream.send.window);
        let edge = stream.send.wnd_edge;
        let copies = if self.arranged {
            self.hear_of_copies(echo, seg)
        } else {
            None
        };
        let stream = self.flow.stream_mut(echo);
        let send = &mut stream.send;
        let echoed = send.flags.has(SendFlags::ECHO);
        let advances = seg.ack.after(una);
        let is_news = send.note_window(seg.seq, seg.ack, seg.window, scale, advances);
        if send.wnd_edge.at_or_after(stream.recv.edge) {
            if !doles_out {
                stream.recv.edge = send.wnd_edge;
            }
            send.flags.clear(SendFlags::OVERRUNS);
        }
        if is_news && let Some(timestamps) = seg.options.timestamps {
            send.tsecr = timestamps.ecr;
        }
        if is_news {
            let echoes = has_ecn && seg.flags.contains(Flags::ECE);
            send.flags.put(SendFlags::ECHO, echoes);
        }
        stream.watch_ack(seg.ack);
        let send = &stream.send;
        let same_echo = send.flags.has(SendFlags::ECHO) == echoed;
        let is_news = send.snd_una != una
            || send.window != window
            || !seg.options.sack.is_empty()
            || !same_echo;
        let same_window = send.wnd_edge == edge;
        let plain = if is_news {
            Feedback::News
        } else {
            Feedback::Nothing
        };
        match copies {
            None => plain,
            Some(news) => self
                .answer_from_copies(echo, seg, same_window, news)
                .unwrap_or(plain),
        }
    }

    /// Feedback on data in custody.
    fn served_feedback(&mut self, echo: Direction, seg: &Segment) -> Feedback {
        let stream = self.flow.stream(echo);
        let (una, highest) = (stream.send.snd_una, stream.recv.seq_max);
        if seg.ack.after(highest) {
            self.went_round(echo, seg.ack);
            self.note_peer_window(echo, seg, true);
            return Feedback::WentRound;
        }
        if seg.ack.before(una) {
            return Feedback::Nothing;
        }
        let mut news = self.news(echo);
        news.echoes = seg.flags.contains(Flags::ECE);
        self.take_ack(echo, seg.ack, &mut news);
        if news.acked > 0 {
            // Where custody began at the handshake, proof comes after it.
            self.flow.stream_mut(echo).flags.set(StreamFlags::PROVEN);
        }
        self.take_sack(echo, seg, &mut news);
        let window_before = self.flow.stream(echo).send.wnd_edge;
        let opened = self.note_peer_window(echo, seg, news.acked > 0);
        let same_window = self.flow.stream(echo).send.wnd_edge == window_before;
        self.count_duplicate(echo, seg, same_window, &mut news);
        let tsecr = seg.options.timestamps.map(|timestamps| timestamps.ecr);
        self.learn(echo, &mut news, tsecr);
        self.hear_of_size_probe(echo, news.acked);
        if opened {
            Feedback::Opened
        } else {
            Feedback::News
        }
    }

    /// Takes in the receiver's window (rule H2.7). Whether it has opened for a sender that sees it as
    /// it is.
    fn note_peer_window(&mut self, echo: Direction, seg: &Segment, advances: bool) -> bool {
        let scale = self.flow.host(echo.source().other()).scale();
        let now = self.now;
        let stream = self.flow.stream_mut(echo);
        let send = &mut stream.send;
        let was_shut = send.usable_edge().at_or_before(send.snd_nxt);
        let news = send.note_window(seg.seq, seg.ack, seg.window, scale, advances);
        if was_shut && send.usable_edge().after(send.snd_nxt) {
            // Probes went unanswered for want of room, not of a path: what follows is timed anew.
            send.reset_backoff();
            send.timer = Stamp::NEVER;
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
        let mut news = self.news(echo);
        self.take_ack(echo, ack, &mut news);
        self.learn(echo, &mut news, None);
        let stream = self.flow.stream_mut(echo);
        stream.recv.seq_max = stream.recv.seq_max.latest(ack);
        stream.recv.prune_held(stream.chain.end());
        self.demote(echo, DemoteCause::WentRound);
        // Where its data goes round, its acknowledgements may (rule H9.3).
        self.flow.flags.set(FlowFlags::ASYMMETRIC);
        self.demote(echo.reverse(), DemoteCause::Asymmetric);
    }

    /// The receiver has shown that it is established: custody may begin (rule H7.1).
    pub(super) fn note_proof(&mut self, echo: Direction) {
        self.flow.stream_mut(echo).flags.set(StreamFlags::PROVEN);
        self.begin_custody(echo);
    }
}
