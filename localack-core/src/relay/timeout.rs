//! The timer of a direction: retransmission time-out (RFC 6298), tail loss probe and reordering
//! (RFC 8985), and the probes of a closed window (RFC 9293 section 3.8.6.1).

use core::time::Duration;

use super::Work;
use super::pump::Plan;
use crate::config::Config;
use crate::event::Event;
use crate::flow::stream::StreamFlags;
use crate::flow::{FlowFlags, FlowSlot};
use crate::half::send::{SendFlags, TimerKind};
use crate::policy::Direction;
use crate::recovery::rtt::RtoBounds;
use crate::recovery::undo::Undo;
use crate::seq::SeqRange;
use crate::sink::{Sink, TransmitKind};
use crate::stats::DirectionMode;
use crate::time::{Instant, Moment, Stamp, micros};

/// How long a receiver may hold back the acknowledgement of a lone segment (RFC 8985 section 7.2,
/// TLP.max_ack_delay), in microseconds.
const MAX_ACK_DELAY_US: u32 = 200_000;
/// What a probe waits beyond two round trips, so that timers' grain does not matter, in
/// microseconds.
const PROBE_GRAIN_US: u32 = 2_000;
/// The same of a repair that waits for what is only late.
const REORDERING_GRAIN_US: u32 = 100;

impl FlowSlot {
    /// The retransmission time-out now.
    pub(crate) fn rto(&self, config: &Config, direction: Direction) -> Duration {
        let bound = |duration| u32::try_from(micros(duration)).unwrap_or(u32::MAX);
        let initial_us = if self.flags.has(FlowFlags::SYN_LOST) {
            RtoBounds::INITIAL_AFTER_SYN_LOSS_US
        } else {
            RtoBounds::DEFAULT.initial_us
        };
        let bounds = RtoBounds {
            initial_us,
            min_us: bound(config.rto_min),
            max_us: bound(config.rto_max),
            ..RtoBounds::DEFAULT
        };
        Duration::from_micros(self.stream(direction).send.rto(&bounds).into())
    }

    /// Whether something that the receiver's window admits was not acknowledged in time.
    pub(crate) fn is_silent(&self, direction: Direction, now: Instant) -> bool {
        let stream = self.stream(direction);
        let send = &stream.send;
        let is_due = send.timer.is_due(now) && send.times_out();
        is_due && stream.is_active() && send.in_flight() > 0 && stream.head_fits()
    }
}

impl<S: Sink + ?Sized> Work<'_, S> {
    /// The retransmission time-out now.
    pub(super) fn rto(&self, direction: Direction) -> Duration {
        self.flow.rto(self.config, direction)
    }

    /// Something was sent: the timer runs from now on, if it did not (RFC 6298 section 5.1).
    pub(super) fn start_timer(&mut self, direction: Direction) {
        if !self.flow.stream(direction).send.timer.is_set() {
            self.flow.stream_mut(direction).send.progress_at = Stamp::at(self.now);
            self.arm(direction);
            return;
        }
        let send = &self.flow.stream(direction).send;
        let was_lone = send.in_flight() <= u32::from(send.mss()).saturating_mul(2);
        if was_lone && send.timer_kind() != TimerKind::Reordering {
            self.hasten_probe(direction);
        }
    }

    /// The first segment of a flight waits for an acknowledgement that may be delayed; with a second
    /// one behind it, it need not (RFC 8985 section 7.2).
    fn hasten_probe(&mut self, direction: Direction) {
        let now = self.now;
        let Some(probe_us) = self.probe_timeout(direction) else {
            return;
        };
        let at = now.after(Duration::from_micros(probe_us.into()));
        let send = &mut self.flow.stream_mut(direction).send;
        if send.timer.resolve(now).is_some_and(|due| at < due) {
            send.arm(TimerKind::TailProbe, at);
        }
    }

    /// After an acknowledgement: the timer starts anew if something is still on its way, and stops
    /// if nothing is (RFC 6298 sections 5.2 and 5.3). `wait_us` is how long more losses are waited
    /// for.
    pub(super) fn rearm(&mut self, direction: Direction, advanced: bool, wait_us: Option<u32>) {
        let now = self.now;
        // The probe of a closed window waits on, whatever else the receiver says from behind it.
        let persists = self.waits_for_window(direction) && !advanced;
        // And so does the probe of a tail after which nothing was sent (RFC 8985 section 7.2): a receiver
        // that goes on sending itself would put it off for ever.
        let probes = !advanced && self.waits_for_tail_probe(direction);
        let send = &mut self.flow.stream_mut(direction).send;
        if send.in_flight() == 0 {
            if !persists {
                send.timer = Stamp::NEVER;
            }
        } else if let Some(wait_us) = wait_us {
            let wait_us = wait_us.saturating_add(REORDERING_GRAIN_US);
            let at = now.after(Duration::from_micros(wait_us.into()));
            send.arm(TimerKind::Reordering, at);
        } else if advanced || !(send.times_out() || probes) || !send.timer.is_set() {
            self.arm(direction);
        }
    }

    /// Whether the timer runs for a probe of the tail, and nothing has been sent for as long as one waits.
    fn waits_for_tail_probe(&self, direction: Direction) -> bool {
        let send = &self.flow.stream(direction).send;
        send.timer_kind() == TimerKind::TailProbe
            && self
                .probe_timeout(direction)
                .is_some_and(|probe_us| !send.sent_at.is_within(probe_us.into(), self.now))
    }

    /// Lets the timer run from now: for a probe of the tail where that makes sense, or for the
    /// time-out.
    fn arm(&mut self, direction: Direction) {
        let (now, timeout) = (self.now, self.rto(direction));
        let probe_us = self.probe_timeout(direction);
        let timeout_us = micros(timeout);
        let send = &mut self.flow.stream_mut(direction).send;
        match probe_us {
            // Where the time-out would come first, the probe takes its place (RFC 8985 section 7.2).
            Some(probe_us) => {
                let wait = Duration::from_micros(timeout_us.min(probe_us.into()));
                send.arm(TimerKind::TailProbe, now.after(wait));
            }
            None => send.arm(TimerKind::Timeout, now.after(timeout)),
        }
    }

    /// The probe time-out (PTO, RFC 8985 section 7.2), in microseconds; `None` where a probe would
    /// tell nothing.
    fn probe_timeout(&self, direction: Direction) -> Option<u32> {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        let out = SendFlags::TAIL_PROBE_OUT | SendFlags::TAIL_PROBE_OWED;
        if !self.has(FlowFlags::SACK)
            || stream.flags.has(StreamFlags::RECOVERY)
            // Until the receiver is known to be there, its sender repeats what it sent (rule H7.2).
            || stream.mode() == DirectionMode::StoreAndForward
            // A window that was taken back is probed in its own way.
            || !stream.head_fits()
            || stream.chain.octets_sacked() > 0
            || send.flags.has(out)
            || send.doublings() > 0
        {
            return None;
        }
        let is_lone = send.in_flight() <= u32::from(send.mss()) || send.path_mtu.is_probing();
        let delay = if is_lone {
            MAX_ACK_DELAY_US
        } else {
            PROBE_GRAIN_US
        };
        Some(send.srtt_us()?.saturating_mul(2).saturating_add(delay))
    }

    /// The timer has expired.
    pub(super) fn on_timeout(&mut self, direction: Direction) {
        let kind = self.flow.stream(direction).send.timer_kind();
        self.flow.stream_mut(direction).send.timer = Stamp::NEVER;
        match kind {
            TimerKind::TailProbe if self.size_probe_timed_out(direction) => {}
            TimerKind::TailProbe if self.flow.stream(direction).send.in_flight() > 0 => {
                let send = &mut self.flow.stream_mut(direction).send;
                send.flags.set(SendFlags::TAIL_PROBE_OWED);
                let at = self.now.after(self.rto(direction));
                self.flow
                    .stream_mut(direction)
                    .send
                    .arm(TimerKind::Timeout, at);
            }
            TimerKind::Reordering => {
                let mut news = self.news(direction);
                let wait_us = self.look_for_losses(direction, &mut news);
                self.rearm(direction, false, wait_us);
                self.leave_to_sender(direction, &news);
            }
            TimerKind::PathCheck if !self.is_path_dead(direction) => self.wait_on(direction),
            TimerKind::Timeout | TimerKind::TailProbe | TimerKind::PathCheck => {
                self.on_silence(direction);
            }
        }
    }

    /// The receiver has been silent for a whole time-out.
    fn on_silence(&mut self, direction: Direction) {
        if self.flow.stream(direction).snoops() {
            return self.copies_timed_out(direction);
        }
        let (now, give_up) = (self.now, micros(self.config.give_up_after));
        let send = &self.flow.stream(direction).send;
        if send.progress_at.is_set() && u64::from(send.progress_at.age(now)) >= give_up {
            self.give_up(direction);
            return;
        }
        if send.has_stalled(now) {
            self.flow.flags.set(FlowFlags::stalled(direction));
        }
        if self.size_probe_timed_out(direction) {
            return;
        }
        self.suspect_black_hole(direction);
        if self.is_held_by_path(direction) {
            return;
        }
        let stream = self.flow.stream(direction);
        let (head_fits, in_flight) = (stream.head_fits(), stream.send.in_flight());
        self.flow.stream_mut(direction).send.back_off();
        let mut kind = TimerKind::Timeout;
        if in_flight > 0 && head_fits {
            if self.flow.stream(direction).send.time_outs() == 1 {
                kind = TimerKind::PathCheck;
            }
            self.counters.timeouts = self.counters.timeouts.saturating_add(1);
            self.time_out(direction);
        } else if in_flight > 0 || self.waits_for_window(direction) {
            self.flow
                .stream_mut(direction)
                .flags
                .set(StreamFlags::PROBE_OWED);
        }
        let timeout = micros(self.rto(direction));
        let stream = self.flow.stream(direction);
        if stream.send.in_flight() > 0 || stream.flags.has(StreamFlags::PROBE_OWED) {
            let wait = if kind == TimerKind::PathCheck {
                timeout / 2
            } else {
                timeout
            };
            self.wait_patiently(direction, kind, wait);
        }
    }

    /// The second half of a doubled time-out: nothing says that the path is dead.
    fn wait_on(&mut self, direction: Direction) {
        let wait = micros(self.rto(direction)).div_ceil(2);
        self.wait_patiently(direction, TimerKind::Timeout, wait);
    }

    /// The first octets outstanding were sent again, and their answer cannot be there before a whole
    /// time-out has passed since, whenever the one that runs began.
    pub(super) fn on_head_repaired(&mut self, direction: Direction) {
        let stream = self.flow.stream(direction);
        // Probes of a dead path are told what to do by the path, not by their own time-out.
        let is_held = stream.flags.has(StreamFlags::HELD);
        if stream.send.timer_kind() == TimerKind::Timeout && !is_held {
            let wait = micros(self.rto(direction));
            self.wait_patiently(direction, TimerKind::Timeout, wait);
        }
    }

    /// Lets the timer run for `wait_us` microseconds, but not beyond the time to give up.
    fn wait_patiently(&mut self, direction: Direction, kind: TimerKind, wait_us: u64) {
        let (now, give_up) = (self.now, micros(self.config.give_up_after));
        let send = &mut self.flow.stream_mut(direction).send;
        let patience = give_up.saturating_sub(send.progress_at.age(now).into());
        let wait = Duration::from_micros(wait_us.min(patience));
        send.arm(kind, now.after(wait));
    }

    /// Everything outstanding counts as lost; whether that is true, the answers to what is sent next
    /// will tell (F-RTO, RFC 5682 section 3.1).
    pub(super) fn time_out(&mut self, direction: Direction) {
        let now = self.now;
        let copies = self.copies(direction);
        let send = &mut self.flow.stream_mut(direction).send;
        let is_first = !send.flags.has(SendFlags::TIMED_OUT);
        let sacked_to = send.sacked_to;
        send.congestion.on_timeout(now, send.in_flight());
        self.resume_on_timeout(direction);
        self.owe_cwr(direction);
        self.lose_all(direction);
        let send = &mut self.flow.stream_mut(direction).send;
        if is_first {
            let reduced = Undo::begin(send.snd_una, copies);
            send.attempt.with_undo(|undo| *undo = reduced);
            send.probe_end = sacked_to;
            send.flags.set(SendFlags::TIMED_OUT | SendFlags::FORWARD);
        }
    }

    /// Sends a probe for the tail: new data if there is any, else the last segment again (RFC 8985
    /// section 7.3). It needs no room in the congestion window.
    pub(super) fn send_tail_probe(&mut self, direction: Direction) {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        let mss = u32::from(send.mss());
        let ready = SeqRange::new(send.snd_nxt, stream.rcv_nxt());
        let fits = SeqRange::new(
            send.snd_nxt,
            send.usable_edge().earliest(send.snd_nxt.advance(mss)),
        );
        let new = ready.intersection(fits);
        // A receiver that is not known to be there yet may have no use for anything but the head (rule
        // H7.2).
        let is_head = !stream.flags.has(StreamFlags::PROVEN);
        let plan = if is_head || new.is_empty() {
            // A receiver may have taken its window back (rule H1.1).
            let fits = send.snd_nxt.earliest(send.wnd_edge.latest(send.snd_una));
            let all = SeqRange::new(send.snd_una, fits);
            let most = mss.min(all.octets());
            let octets = if is_head {
                SeqRange::new(all.start(), all.start().advance(most))
            } else {
                SeqRange::new(all.end().retreat(most), all.end())
            };
            let octets = octets.intersection(stream.chain.held());
            Plan {
                range: octets,
                fin: self.carries_fin(direction, octets) && all.end().after(octets.end()),
                kind: TransmitKind::Retransmission,
            }
        } else {
            Plan {
                range: new,
                fin: self.carries_fin(direction, new),
                kind: TransmitKind::Data,
            }
        };
        let repeats = plan.kind == TransmitKind::Retransmission;
        if plan.range.is_empty() && !plan.fin {
            self.flow
                .stream_mut(direction)
                .send
                .flags
                .clear(SendFlags::TAIL_PROBE_OWED);
            return;
        }
        if !self.send_data(direction, plan.range, plan.fin, plan.kind) {
            return;
        }
        let end = plan.range.end().advance(u32::from(plan.fin));
        let range = SeqRange::new(plan.range.start(), end);
        self.charge_share(direction, range.octets());
        if repeats {
            self.note_transmission(direction, range, true);
        } else {
            self.note_sent(direction, range);
        }
        self.counters.tail_probes = self.counters.tail_probes.saturating_add(1);
        let send = &mut self.flow.stream_mut(direction).send;
        send.flags.clear(SendFlags::TAIL_PROBE_OWED);
        send.flags.set(SendFlags::TAIL_PROBE_OUT);
        if repeats && !is_head {
            send.flags.set(SendFlags::TAIL_PROBE_REPEATS);
        }
        send.probe_end = send.snd_nxt;
    }

    /// Starts the persist timer where the receiver's window holds sending back and nothing is on
    /// its way (RFC 9293 section 3.8.6.1).
    pub(super) fn watch_closed_window(&mut self, direction: Direction) {
        let waits = self.waits_for_window(direction);
        let (now, timeout) = (self.now, self.rto(direction));
        let send = &mut self.flow.stream_mut(direction).send;
        if waits && send.in_flight() == 0 && !send.timer.is_set() {
            send.arm(TimerKind::Timeout, now.after(timeout));
            send.progress_at = Stamp::at(now);
        }
    }

    /// Whether something waits to be sent that the receiver's window does not admit.
    pub(super) fn waits_for_window(&self, direction: Direction) -> bool {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        let data = stream.rcv_nxt().after(send.snd_nxt);
        let fin = stream.fin() == Some(send.snd_nxt);
        (data || fin) && send.snd_nxt.at_or_after(send.usable_edge())
    }

    /// Sends the owed probe into the closed window: the first octet that is not acknowledged, or
    /// the FIN. It moves SND.NXT only if the receiver's window has room for that octet: beyond it
    /// the receiver may not take it (rule H1.1).
    pub(super) fn send_probe(&mut self, direction: Direction) {
        let stream = self.flow.stream(direction);
        let at = stream.send.snd_una;
        let range = SeqRange::new(at, at.advance(1)).intersection(stream.chain.held());
        let fin = range.is_empty() && stream.fin() == Some(at);
        if !range.is_empty() || fin {
            let range = if fin { SeqRange::new(at, at) } else { range };
            if !self.send_data(direction, range, fin, TransmitKind::WindowProbe) {
                return;
            }
            self.charge_share(direction, 1);
            let now = self.now;
            let end = at.advance(1);
            let send = &mut self.flow.stream_mut(direction).send;
            send.sent_at = Moment::at(now);
            if end.at_or_before(send.wnd_edge) {
                let again = send.snd_nxt.after(at);
                let range = SeqRange::new(at, end);
                if again {
                    self.note_transmission(direction, range, true);
                } else {
                    self.note_sent(direction, range);
                }
            }
        }
        self.flow
            .stream_mut(direction)
            .flags
            .clear(StreamFlags::PROBE_OWED);
    }

    /// The debt of a closing direction is old (rule H6.3).
    pub(super) fn report_slow_close(&mut self, direction: Direction) {
        let octets = self.flow.stream(direction).debt();
        if octets > 0 {
            self.event(Event::SlowClose {
                flow: self.id,
                direction,
                octets,
            });
        }
    }
}
