//! What a flow does because time has passed, or because it could not do all of it before.

use super::{MAX_PAGES, Work};
use crate::flow::phase::Phase;
use crate::flow::stream::{Stream, StreamFlags};
use crate::flow::{FlowFlags, FlowSlot};
use crate::path::Verdict;
use crate::policy::Direction;
use crate::seq::SeqRange;
use crate::sink::Sink;
use crate::stats::DirectionMode;
use crate::time::{Due, Instant, Stamp, micros};

/// How often a drain whose patience has ended looks whether it may end itself.
const IMPATIENCE: core::time::Duration = core::time::Duration::from_secs(1);
/// What a stream owes and can pay at the next opportunity.
const DEBTS: StreamFlags = StreamFlags::ACK_OWED
    .or(StreamFlags::WINDOW_OWED)
    .or(StreamFlags::RELAY_OWED)
    .or(StreamFlags::PROBE_OWED)
    .or(StreamFlags::WALK_OWED);

impl Stream {
    /// When this direction has something to do by itself.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let waits = match self.mode() {
            DirectionMode::StoreAndForward => false,
            DirectionMode::Bypass
            | DirectionMode::Snoop
            | DirectionMode::LocalAck
            | DirectionMode::Draining => true,
        };
        let patience = if waits { self.patience } else { Stamp::NEVER };
        [
            self.recv.ack_due,
            self.recv.window_due,
            self.send.timer,
            self.send.pace_due,
            patience,
        ]
        .into_iter()
        .filter_map(|stamp| stamp.resolve(now))
        .min()
    }
}

impl FlowSlot {
    /// When the flow has something to do by itself; `None` if never.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Instant> {
        let phase = self.phase_due.resolve(now);
        Direction::BOTH
            .into_iter()
            .filter_map(|d| self.stream(d).next_due(now))
            .chain(phase)
            .min()
    }
}

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Deals with everything that is due, and then pays what is owed.
    pub(crate) fn on_timer(&mut self, verdicts: [Verdict; 2]) {
        self.verdicts = verdicts;
        if self.flow.phase_due.has_come(self.now) {
            self.on_phase_due();
        }
        for direction in Direction::BOTH {
            if !self.done {
                self.on_stream_due(direction);
            }
        }
        if !self.done {
            self.run();
        }
    }

    /// The time of the flow's phase is over.
    fn on_phase_due(&mut self) {
        match self.flow.phase() {
            Phase::Open => self.on_idle(),
            Phase::Resetting { .. } => {
                self.flow.phase_due = Due::NEVER;
                self.cut_reset_short();
            }
            Phase::Free | Phase::SynSeen | Phase::SynAckSeen | Phase::Tombstone => self.close(),
        }
    }

    /// A flow that has been silent is forgotten, unless something is in custody (rule H9.8).
    fn on_idle(&mut self) {
        let closing = Direction::BOTH
            .iter()
            .any(|&d| self.flow.stream(d).fin().is_some());
        let patience = if closing {
            self.config.closing_time
        } else {
            self.config.idle_time
        };
        // Differences of `Duration` can panic as far as the compiler knows; those of numbers cannot.
        let silence_us = self.flow.seen_at.age_us(self.now).unwrap_or(0);
        let left_us = micros(patience).saturating_sub(silence_us);
        if left_us > 0 {
            let left = core::time::Duration::from_micros(left_us);
            self.flow.phase_due = Due::at(self.now.after(left));
        } else if self.flow.is_without_debt() {
            self.close();
        } else {
            self.flow.phase_due = Due::at(self.now.after(patience));
        }
    }

    fn on_stream_due(&mut self, direction: Direction) {
        let now = self.now;
        let stream = self.flow.stream_mut(direction);
        if stream.recv.ack_due.is_due(now) && stream.is_active() {
            // It stays due until it is paid.
            stream.flags.set(StreamFlags::ACK_OWED);
        }
        if stream.recv.window_due.is_due(now) {
            // The update may have been lost: once more, and then the sender's probes must do.
            stream.recv.window_due = Stamp::NEVER;
            if stream.flags.has(StreamFlags::REOPENED) {
                stream.flags.set(StreamFlags::WINDOW_OWED);
            }
        }
        if stream.patience.is_due(now) {
            self.on_impatience(direction);
        }
        if !self.done && self.flow.stream(direction).send.timer.is_due(now) {
            self.on_timeout(direction);
        }
    }

    fn on_impatience(&mut self, direction: Direction) {
        let stream = self.flow.stream_mut(direction);
        match stream.mode() {
            DirectionMode::Bypass | DirectionMode::Snoop => {
                stream.patience = Stamp::NEVER;
                self.try_promote(direction);
            }
            DirectionMode::StoreAndForward => {}
            DirectionMode::LocalAck if stream.flags.has(StreamFlags::SUSPECT) => {
                self.confirm_suspicion(direction)
            }
            DirectionMode::LocalAck => {
                stream.patience = Stamp::NEVER;
                self.report_slow_close(direction);
            }
            DirectionMode::Draining => {
                self.try_leave(direction);
                // Still in custody: it goes when the receiver has acknowledged it.
                let stream = self.flow.stream_mut(direction);
                if stream.mode() == DirectionMode::Draining {
                    stream.patience = Stamp::at(self.now.after(IMPATIENCE));
                }
            }
        }
    }

    /// Pays what is owed and sends what may be sent, as far as this call has room.
    pub(crate) fn run(&mut self) {
        if self.has(FlowFlags::RESET_DUE) {
            if self.flow.phase() == Phase::Tombstone {
                return self.announce_ruin();
            }
            self.finish_reset();
            if !self.done && !self.flow.phase_due.is_set() {
                self.cut_reset_short();
            }
        }
        self.reconcile();
        for direction in Direction::BOTH {
            if self.done {
                continue;
            }
            if !self.flow.stream(direction).is_active() {
                let stream = self.flow.stream(direction);
                // What was held back is let go even where nothing more is.
                if self.arranged || stream.holds_back() {
                    self.tend(direction);
                }
                continue;
            }
            self.walk_on(direction);
            self.pay_acks(direction);
            if self
                .flow
                .stream(direction)
                .flags
                .has(StreamFlags::PROBE_OWED)
            {
                self.send_probe(direction);
            }
            self.pump(direction);
            if self
                .flow
                .stream(direction)
                .flags
                .has(StreamFlags::RELAY_OWED)
            {
                self.send_relay(direction, &[]);
            }
            self.offer_more(direction);
            self.try_leave(direction);
        }
    }

    /// Goes on with a walk that was cut short.
    pub(super) fn walk_on(&mut self, direction: Direction) {
        let stream = self.flow.stream_mut(direction);
        if !stream.flags.take(StreamFlags::WALK_OWED) {
            return;
        }
        let una = stream
            .fin()
            .map_or(stream.send.snd_una, |fin| stream.send.snd_una.earliest(fin));
        let (watch, snd_nxt) = ([SeqRange::default(); 2], stream.send.snd_nxt);
        let released = self
            .pool
            .release(&mut stream.chain, una, snd_nxt, watch, MAX_PAGES);
        let stored = self.pool.extend(&mut stream.chain, MAX_PAGES);
        stream.recv.prune_held(stream.chain.end());
        let more = released.more || stored.more();
        stream.flags.put(StreamFlags::WALK_OWED, more);
        if !more && stream.ack_point().after(stream.recv.ack_sent) {
            stream.flags.set(StreamFlags::ACK_OWED);
        }
    }

    /// Whether a walk was cut short and goes on at the next poll.
    pub(crate) fn walks(&self) -> bool {
        Direction::BOTH
            .iter()
            .any(|&d| self.flow.stream(d).flags.has(StreamFlags::WALK_OWED))
    }

    /// Whether the flow has something to do that does not wait for time or a packet.
    pub(crate) fn has_work(&self) -> bool {
        !self.done
            && (self.has(FlowFlags::RESET_DUE)
                || Direction::BOTH.iter().any(|&d| {
                    let stream = self.flow.stream(d);
                    let runs = stream.is_active() || (self.arranged && stream.snoops());
                    runs && (stream.flags.any(DEBTS) || self.has_to_send(d))
                }))
    }
}
