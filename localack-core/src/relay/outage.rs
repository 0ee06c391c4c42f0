//! A dead path: what one of its flows does while the engine probes it for all of them, and when it
//! has come back.

use core::time::Duration;

use super::Work;
use crate::flow::stream::StreamFlags;
use crate::half::send::{SendFlags, TimerKind};
use crate::pacing::Pacer;
use crate::path::Verdict;
use crate::policy::Direction;
use crate::recovery::undo::Undo;
use crate::sink::Sink;
use crate::time::micros;

impl<S: Sink + ?Sized> Work<'_, S> {
    /// What the path's health means for this direction, whose timer has expired.
    const fn verdict(&self, direction: Direction) -> Verdict {
        let [inner, outer] = self.verdicts;
        match direction {
            Direction::InnerToOuter => inner,
            Direction::OuterToInner => outer,
        }
    }

    /// Whether the path is known to be dead.
    pub(super) fn is_path_dead(&self, direction: Direction) -> bool {
        self.verdict(direction) != Verdict::BackOff
    }

    /// Whether the path is known to be dead, so that this direction waits for it instead of backing
    /// off. It may be its turn to probe.
    pub(super) fn is_held_by_path(&mut self, direction: Direction) -> bool {
        let verdict = self.verdict(direction);
        let stream = self.flow.stream_mut(direction);
        if verdict == Verdict::BackOff {
            // Its own timer may be faster than its turn to be woken.
            let comes_back = stream.flags.has(StreamFlags::HELD);
            if comes_back {
                self.wake(direction);
            }
            return comes_back;
        }
        stream.flags.set(StreamFlags::HELD);
        stream.flags.clear(StreamFlags::FIRST_REPAIR);
        // In case nobody calls: the time-out as it is, or the end of all patience.
        let (now, timeout) = (self.now, micros(self.rto(direction)));
        let give_up = micros(self.config.give_up_after);
        let send = &mut self.flow.stream_mut(direction).send;
        let patience = give_up.saturating_sub(send.progress_at.age(now).into());
        let wait = Duration::from_micros(timeout.min(patience));
        send.arm(TimerKind::Timeout, now.after(wait));
        if verdict == Verdict::Probe {
            self.probe_path(direction);
        }
        true
    }

    /// Sends the first segment once more, to learn whether the path is back.
    pub(crate) fn probe_path(&mut self, direction: Direction) {
        let stream = self.flow.stream_mut(direction);
        let send = &mut stream.send;
        if !stream.flags.has(StreamFlags::HELD) || send.in_flight() == 0 {
            return;
        }
        let end = send.snd_una.advance(u32::from(send.mss()));
        send.lost
            .lose_head(send.snd_una, end.earliest(send.snd_nxt));
        stream.flags.set(StreamFlags::FIRST_REPAIR);
        self.counters.path_probes = self.counters.path_probes.saturating_add(1);
        self.pump(direction);
    }

    /// The path has come back: the direction goes on as after a time-out of its own.
    pub(crate) fn wake(&mut self, direction: Direction) {
        let stream = self.flow.stream_mut(direction);
        if !stream.flags.take(StreamFlags::HELD) || stream.send.in_flight() == 0 {
            return;
        }
        stream.send.reset_backoff();
        stream.send.back_off();
        self.leave_dead_path(direction);
        let at = self.now.after(self.rto(direction));
        self.flow
            .stream_mut(direction)
            .send
            .arm(TimerKind::Timeout, at);
        self.pump(direction);
    }

    /// What was sent into a dead path is lost. Where the last of it arrived before the path died, and
    /// only the acknowledgements did not, answers look as if the time-outs had been needless; but what
    /// was sent after that is gone, and waits for nothing, nor for the pace that probes have used up.
    pub(super) fn leave_dead_path(&mut self, direction: Direction) {
        let timed_out = self
            .flow
            .stream(direction)
            .send
            .flags
            .has(SendFlags::TIMED_OUT);
        if !timed_out {
            // It was held at the first.
            self.counters.timeouts = self.counters.timeouts.saturating_add(1);
        }
        self.time_out(direction);
        let send = &mut self.flow.stream_mut(direction).send;
        send.attempt.with_undo(Undo::end);
        send.pacer = Pacer::EMPTY;
        send.flags
            .clear(SendFlags::FORWARD | SendFlags::FORWARD_NEW);
    }
}
