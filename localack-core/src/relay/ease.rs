//! Handing a sender over to its receiver's own acknowledgements, so slowly that it takes none of them for lost.
//!
//! A sender that was acknowledged at once gives an acknowledgement hardly more than the least retransmission
//! time-out that there is: 200 ms where it was used to less (RFC 6298 section 2.4 would have a second, nobody
//! waits so long). So custody goes on while a direction drains by request, within the window that was offered,
//! until what the sender sends next will be acknowledged by its receiver before that. On a path whose own round
//! trip is too long for it, acknowledgements are delayed more and more, because the time-out follows what the
//! sender measures. Nothing is promised meanwhile that is not stored, and patience ends it like any drain.

use super::Work;
use crate::flow::stream::StreamFlags;
use crate::half::send::SendFlags;
use crate::half::window::{self, Told};
use crate::policy::Direction;
use crate::seq::{SeqNum, SeqRange};
use crate::sink::{Sink, TransmitKind};
use crate::time::Stamp;

/// How long a sender waits for an acknowledgement that is used to none worth mentioning: 200 ms on all systems
/// that are known to wait so short. Half of it is left for what else takes time.
const LEAST_TIMEOUT_US: u64 = 100_000;
/// The first delay: below the 2 ms after which Linux sends a tail loss probe at the earliest (RFC 8985 section 7).
const FIRST_DELAY_US: u64 = 1_500;
/// Samples of the round trip for each delay, in full segments. They take a sender 73 % of the way there (RFC 6298
/// section 2.3: each an eighth), so that the next delay, which is 65 % longer, is still less than the two round
/// trips after which a tail loss probe leaves.
const SAMPLES: u32 = 10;
/// How long a sender that has just sent something may pause before it counts as silent.
const PAUSE_US: u64 = 1_000_000;
/// Segments for whose acknowledgements the window is opened at a time.
const SEGMENTS: u32 = 16;

/// What a sender has got used to.
struct Habit {
    /// Its smoothed round trip, at least, in microseconds.
    srtt: u64,
    /// How long its next acknowledgement may wait, in microseconds.
    delay: u64,
}

impl Habit {
    /// After so many steps on a path whose own round trip takes so long.
    fn after(steps: u16, round_trip: u64) -> Self {
        let first = Self {
            srtt: 0,
            delay: FIRST_DELAY_US,
        };
        (0..steps).fold(first, |Self { srtt, delay }, _| {
            let more = delay.min(round_trip).saturating_sub(srtt);
            Self {
                srtt: srtt.saturating_add(more.saturating_mul(73) / 100),
                delay: delay.saturating_mul(165) / 100,
            }
        })
    }

    /// How long it waits for an acknowledgement, at least: RTO is SRTT and no less than that.
    const fn timeout(&self) -> u64 {
        self.srtt.saturating_add(LEAST_TIMEOUT_US)
    }

    /// When it would send the last segment again to learn whether it was lost (RFC 8985 section 7.2).
    const fn tail_probe(&self) -> u64 {
        self.srtt.saturating_mul(2)
    }
}

impl<S: Sink + ?Sized> Work<'_, S> {
    /// How long acknowledgements of `direction`'s data wait at present, in microseconds.
    pub(super) fn delay_of_acks(&self, direction: Direction) -> u64 {
        if self.flow.stream(direction).delays_acks() {
            self.habit(direction).delay
        } else {
            0
        }
    }

    fn habit(&self, direction: Direction) -> Habit {
        let send = &self.flow.stream(direction).send;
        let round_trip = send.srtt_us().map_or(0, u64::from);
        Habit::after(send.flags.ease().saturating_sub(2), round_trip)
    }

    /// Whether the sender can do without early acknowledgements from here on, or has to.
    pub(super) fn is_eased_out(&mut self, direction: Direction) -> bool {
        let stream = self.flow.stream(direction);
        if !stream.eases_out() {
            return true;
        }
        self.note_samples(direction);
        let stream = self.flow.stream(direction);
        if !stream.eases_out() {
            return true;
        }
        let send = &stream.send;
        let round_trip = send.srtt_us().map_or(0, u64::from);
        let unsent = stream.rcv_nxt().octets_past(send.snd_nxt);
        let window = send.wnd_edge.octets_past(send.snd_una);
        let window = u64::from(window.min(send.congestion.cwnd()).max(1));
        let ahead = u64::from(unsent.saturating_add(send.lost.octets()));
        // As long as what is ahead of it takes to leave, and a round trip.
        let queue = ahead.saturating_mul(round_trip).checked_div(window);
        let wait = round_trip.saturating_add(queue.unwrap_or(0));
        let habit = self.habit(direction);
        let delays = send.flags.ease() > 1;
        let is_used_to_it = if self.hurries {
            wait <= round_trip.saturating_add(round_trip / 4)
        } else {
            wait <= habit.timeout() && (!delays || wait <= habit.tail_probe())
        };
        if is_used_to_it && send.doublings() == 0 || stream.patience.is_due(self.now) {
            self.end_easing(direction);
            return true;
        }
        if round_trip > LEAST_TIMEOUT_US && !self.hurries && !delays {
            let stream = self.flow.stream_mut(direction);
            stream.send.flags.set_ease(2);
            stream.recv.urgent = stream.recv.ack_sent;
        }
        self.is_quiet(direction)
    }

    /// A sender that has got used to one delay goes on to the next.
    fn note_samples(&mut self, direction: Direction) {
        let stream = self.flow.stream_mut(direction);
        let (told, since) = (stream.recv.ack_sent, stream.recv.urgent);
        let enough = u32::from(stream.send.mss()).saturating_mul(SAMPLES);
        if stream.delays_acks() && told.octets_past(since) >= enough.max(1) {
            stream.recv.urgent = told;
            let ease = stream.send.flags.ease();
            if ease < SendFlags::MOST_EASE {
                stream.send.flags.set_ease(ease.saturating_add(1));
            } else {
                // It waits for the better part of a second now.
                self.end_easing(direction);
            }
        }
    }

    /// Nothing more is acknowledged early.
    fn end_easing(&mut self, direction: Direction) {
        let stream = self.flow.stream_mut(direction);
        stream.send.flags.set_ease(0);
        stream.recv.ack_due = Stamp::NEVER;
        stream.recv.window_due = Stamp::NEVER;
        stream.flags.clear(StreamFlags::REOPENED);
    }

    /// Whether the sender waits for nothing, and has sent nothing for a while although it might have.
    fn is_quiet(&mut self, direction: Direction) -> bool {
        let now = self.now;
        let step = self.window_step(direction);
        let stream = self.flow.stream_mut(direction);
        let may_send = stream.recv.edge.octets_past(stream.recv.seq_max) >= step;
        let waits = stream.send.snd_una != stream.recv.seq_max;
        if !may_send || waits || stream.recv.window_due.is_set() {
            return false;
        }
        let pauses = stream.delays_acks() && stream.recv.data_at.is_within(PAUSE_US, now);
        if pauses {
            let pause = core::time::Duration::from_micros(PAUSE_US);
            stream.recv.window_due = Stamp::at(now.after(pause));
        }
        !pauses
    }

    /// How far the window reaches of a sender that is to get used to a longer round trip: some segments at a
    /// time, which go on at once, and never past what its receiver has offered (rule H2.11).
    pub(super) fn eased_edge(&self, direction: Direction) -> SeqNum {
        let stream = self.flow.stream(direction);
        let (recv, send) = (&stream.recv, &stream.send);
        let step = self.window_step(direction);
        let is_shut = recv.edge.octets_past(recv.seq_max) < step;
        let all_told = recv.ack_sent == stream.rcv_nxt();
        let all_sent = stream.rcv_nxt() == send.snd_nxt && send.lost.is_empty();
        if !is_shut || !all_told || !all_sent {
            return recv.edge;
        }
        let some = u32::from(send.mss()).saturating_mul(SEGMENTS);
        let by_pool = stream.rcv_nxt().advance(self.pool.available(&stream.chain));
        let edge = recv
            .edge
            .advance(some)
            .earliest(send.wnd_edge)
            .earliest(self.debt_edge(direction))
            .earliest(by_pool);
        recv.edge.latest(edge)
    }

    /// Pays an acknowledgement that has waited long enough, in several pieces: its sender takes a sample of the
    /// round trip from each. `false` if none has.
    pub(super) fn pay_delayed(&mut self, direction: Direction) -> bool {
        let now = self.now;
        let stream = self.flow.stream(direction);
        if !stream.delays_acks() || !stream.recv.ack_due.is_due(now) {
            return false;
        }
        let (end, edge) = (stream.rcv_nxt(), stream.recv.edge);
        let held = end.octets_past(stream.recv.ack_sent);
        if held == 0 {
            self.flow.stream_mut(direction).recv.ack_due = Stamp::NEVER;
            return false;
        }
        let mss = u32::from(stream.send.mss()).max(1);
        let piece = mss.max(held.div_ceil(SEGMENTS));
        let step = self.window_step(direction);
        let scale = self.flow.host(direction.source().other()).scale();
        for _ in 0..=SEGMENTS {
            let told = self.flow.stream(direction).recv.ack_sent;
            if told.at_or_after(end) {
                break;
            }
            let told = Told {
                ack: told,
                edge: edge.latest(self.flow.stream(direction).recv.edge),
                ceiling: None,
                debt_edge: None,
            };
            let ack = told.ack.advance(piece).earliest(end);
            let offer = window::offer(told, ack, told.edge, step, scale);
            if !self.send_offer(
                direction,
                TransmitKind::LocalAck,
                offer,
                SeqRange::default(),
            ) {
                // It stays due until it is paid.
                let stream = self.flow.stream_mut(direction);
                stream.recv.ack_due = Stamp::at(now);
                stream.flags.set(StreamFlags::ACK_OWED);
                return true;
            }
        }
        let stream = self.flow.stream_mut(direction);
        stream.flags.clear(StreamFlags::ACK_OWED);
        stream.recv.ack_due = Stamp::NEVER;
        true
    }
}
