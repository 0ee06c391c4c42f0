//! Paying what a segment has caused: acknowledgements, windows, relayed feedback, data.

use super::Work;
use super::feedback::Feedback;
use crate::flow::phase::Phase;
use crate::flow::stream::StreamFlags;
use crate::half::recv::sack_list;
use crate::half::window::may_rise;
use crate::policy::Direction;
use crate::seq::SeqRange;
use crate::sink::{Sink, TransmitKind};
use crate::time::Stamp;
use crate::verdict::Verdict;
use crate::wire::Segment;

/// How often a flow that is short of blocks looks for some.
const POOL_PATIENCE: core::time::Duration = core::time::Duration::from_millis(200);

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Sends everything the segment has caused, as far as this call has room.
    pub(super) fn settle(
        &mut self,
        direction: Direction,
        seg: &Segment,
        feedback: Feedback,
        verdict: Verdict,
    ) {
        let echo = direction.reverse();
        // Whatever else goes where the packet itself goes must not overtake it: it waits for the
        // next poll (rules H2.4 and H7.2).
        let goes_on = verdict.goes_on();
        let (data, back) = (self.flow.stream(direction), self.flow.stream(echo));
        let is_news = matches!(feedback, Feedback::News | Feedback::Covered);
        let relays = data.is_active() && !back.is_active() && is_news;
        if relays && !goes_on {
            self.flow
                .stream_mut(direction)
                .flags
                .set(StreamFlags::RELAY_OWED);
        }
        if !goes_on && self.flow.stream(echo).owes_word_of_receiver() {
            self.flow.stream_mut(echo).flags.set(StreamFlags::ACK_OWED);
        }
        self.pay_acks(direction);
        if goes_on {
            self.note_use(direction);
        } else {
            self.pay_acks(echo);
            self.relay_sack(direction, seg);
            self.pump(direction);
        }
        let flags = &mut self.flow.stream_mut(direction).flags;
        if goes_on {
            // The packet itself brought the news.
            flags.clear(StreamFlags::RELAY_OWED);
        } else if flags.has(StreamFlags::RELAY_OWED) {
            self.send_relay(direction, &[]);
        }
        self.pump(echo);
        if self.arranged {
            self.tend(echo);
            self.tend(direction);
        }
        if !goes_on {
            self.offer_more(echo);
        }
        self.try_leave(echo);
        self.try_leave(direction);
    }

    /// Passes on the SACK blocks of a segment whose data stays here: no data segment of the engine
    /// carries any.
    pub(super) fn relay_sack(&mut self, direction: Direction, seg: &Segment) {
        let blocks = seg.options.sack.as_slice();
        if !blocks.is_empty()
            && self
                .flow
                .stream(direction)
                .flags
                .has(StreamFlags::RELAY_OWED)
        {
            let ranges = blocks
                .iter()
                .map(|block| SeqRange::new(block.left, block.right))
                .filter(|range| !range.is_empty());
            let blocks = sack_list(ranges);
            self.send_relay(direction, &blocks);
        }
    }

    /// Pays acknowledgements that are owed to the sender of `direction`'s data.
    pub(super) fn pay_acks(&mut self, direction: Direction) {
        let is_over = self.flow.phase() != Phase::Open;
        let stream = self.flow.stream_mut(direction);
        // Who has reset the connection, or was reset, is told nothing more (section 2.5).
        if !stream.is_active() || is_over {
            stream
                .flags
                .clear(StreamFlags::ACK_OWED.or(StreamFlags::WINDOW_OWED));
            if is_over {
                stream.recv.ack_due = Stamp::NEVER;
            }
            return;
        }
        if stream.flags.has(StreamFlags::WALK_OWED) {
            // What the walk finds is acknowledged with the rest.
            return;
        }
        if stream.flags.has(StreamFlags::ACK_OWED) {
            let offer = self.offer(direction);
            self.pay_ack(direction, offer, SeqRange::default());
        } else if stream.flags.has(StreamFlags::WINDOW_OWED) {
            self.send_ack(direction, TransmitKind::WindowUpdate, SeqRange::default());
        }
    }

    /// Announces a larger window to a sender that is short of it.
    pub(super) fn offer_more(&mut self, direction: Direction) {
        let stream = self.flow.stream(direction);
        if !stream.acks_early() || stream.fin().is_some() {
            return;
        }
        let (edge, target) = (stream.recv.edge, self.target_edge(direction));
        let left = edge.octets_past(stream.recv.seq_max);
        let step = self.window_step(direction);
        if may_rise(edge, target, step) && left <= target.octets_past(edge) {
            self.flow
                .stream_mut(direction)
                .flags
                .set(StreamFlags::WINDOW_OWED);
            self.pay_acks(direction);
        } else if left < step
            && self.pool.available(&stream.chain) < step
            && !stream.recv.window_due.is_set()
        {
            // Nothing of this flow's own will tell when others give blocks back.
            let again = Stamp::at(self.now.after(POOL_PATIENCE));
            self.flow.stream_mut(direction).recv.window_due = again;
        }
    }
}
