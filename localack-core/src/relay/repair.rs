//! Sending from custody: what is new, and what was lost (RFC 5681, RFC 6298, RFC 6582, RFC 6675).

use core::time::Duration;

use super::{MAX_PAGES, Work};
use crate::event::Event;
use crate::flow::FlowFlags;
use crate::flow::stream::StreamFlags;
use crate::policy::Direction;
use crate::pool::Run;
use crate::recovery::rtt::RtoBounds;
use crate::seq::{SeqNum, SeqRange};
use crate::sink::{Sink, TransmitKind};
use crate::time::{Stamp, micros};

/// Duplicate acknowledgements that mean a loss (RFC 5681 section 3.2, RFC 6675 section 2).
const DUP_THRESH: u8 = 3;
/// Stretches of a chain that the search for the next hole looks at.
const SEARCH_STEPS: u32 = 16;
/// Steps by which the search for the lost edge widens; each sees a few pages at most.
const LOST_EDGE_STEPS: u32 = 6;

/// The next segment from custody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Plan {
    range: SeqRange,
    fin: bool,
    kind: TransmitKind,
}

impl<S: Sink + ?Sized> Work<'_, S> {
    pub(super) fn pipe(&self, direction: Direction) -> u32 {
        self.flow.stream(direction).pipe(self.has(FlowFlags::SACK))
    }

    /// The retransmission time-out now.
    pub(super) fn rto(&self, direction: Direction) -> Duration {
        let bound = |duration| u32::try_from(micros(duration)).unwrap_or(u32::MAX);
        let initial_us = if self.has(FlowFlags::SYN_LOST) {
            RtoBounds::INITIAL_AFTER_SYN_LOSS_US
        } else {
            RtoBounds::DEFAULT.initial_us
        };
        let bounds = RtoBounds {
            initial_us,
            min_us: bound(self.config.rto_min),
            max_us: bound(self.config.rto_max),
            ..RtoBounds::DEFAULT
        };
        Duration::from_micros(self.flow.stream(direction).send.rto(&bounds).into())
    }

    /// Looks at the marks after an acknowledgement: begins recovery, or carries it on.
    pub(super) fn look_for_losses(&mut self, direction: Direction, advanced: bool) {
        let has_sack = self.has(FlowFlags::SACK);
        let stream = self.flow.stream(direction);
        let (send, recovering) = (&stream.send, stream.flags.has(StreamFlags::RECOVERY));
        if send.in_flight() == 0 {
            return;
        }
        // Without SACK the duplicates of what was sent again look like a new loss (RFC 6582 section
        // 3.2, step 2).
        let is_new = has_sack || send.snd_una.after(send.recover);
        let threshold = send.duplicate_acks >= DUP_THRESH && is_new;
        let mut edge = if has_sack {
            self.lost_edge(direction)
        } else {
            send.lost_edge
        };
        // The first hole is lost once enough segments behind it have arrived; without SACK, so is
        // each hole that a partial acknowledgement uncovers (RFC 6582 section 3.2).
        let head_lost = (!recovering && threshold) || (!has_sack && recovering && advanced);
        if head_lost {
            let head = send
                .snd_una
                .advance(u32::from(send.mss()))
                .earliest(send.snd_nxt);
            edge = edge.latest(head);
        }
        if !edge.after(send.lost_edge) {
            return;
        }
        if !recovering {
            self.enter_recovery(direction);
        } else if head_lost {
            // A partial acknowledgement calls for the next hole at once (RFC 6582 section 3.2).
            self.flow
                .stream_mut(direction)
                .flags
                .set(StreamFlags::FIRST_REPAIR);
        }
        self.raise_lost_edge(direction, edge);
    }

    /// Everything before this and not SACKed is lost: more than two full segments behind it have
    /// been SACKed (RFC 6675 `IsLost`).
    fn lost_edge(&self, direction: Direction) -> SeqNum {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        let needed = u32::from(send.mss())
            .saturating_mul(DUP_THRESH.saturating_sub(1).into())
            .saturating_add(1);
        if stream.chain.octets_sacked() < needed {
            return send.lost_edge;
        }
        let mut edge = send.sacked_to.retreat(needed);
        for _ in 0..LOST_EDGE_STEPS {
            if edge.at_or_before(send.lost_edge) {
                return send.lost_edge;
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
        send.lost_edge
    }

    fn enter_recovery(&mut self, direction: Direction) {
        let now = self.now;
        let stream = self.flow.stream_mut(direction);
        let send = &mut stream.send;
        stream
            .flags
            .set(StreamFlags::RECOVERY.or(StreamFlags::FIRST_REPAIR));
        send.recover = send.snd_nxt;
        send.high_rxt = send.snd_una;
        send.lost_edge = send.snd_una;
        send.lost = 0;
        send.congestion.on_congestion(now, send.in_flight());
    }

    /// Declares everything before `edge` lost that is not SACKed.
    fn raise_lost_edge(&mut self, direction: Direction, edge: SeqNum) {
        let stream = self.flow.stream_mut(direction);
        let send = &mut stream.send;
        let range = SeqRange::new(send.lost_edge, edge);
        let counted = self.pool.unsacked_octets(&stream.chain, range, MAX_PAGES);
        // Past the store only a FIN can be.
        let past = if range.end().after(stream.chain.end()) {
            1
        } else {
            0
        };
        send.lost = send
            .lost
            .saturating_add(counted.octets)
            .saturating_add(past);
        send.lost_edge = if past > 0 {
            edge
        } else {
            counted.reached.latest(send.lost_edge)
        };
    }

    /// Everything in flight counts as lost, and all SACK marks are void, because a receiver may
    /// renege (RFC 6298 section 5, RFC 5681 section 3.1, rule H4.1).
    pub(super) fn lose_all(&mut self, direction: Direction) {
        let stream = self.flow.stream_mut(direction);
        let send = &mut stream.send;
        stream.chain.forget_sacked();
        stream
            .flags
            .set(StreamFlags::RECOVERY.or(StreamFlags::FIRST_REPAIR));
        send.high_rxt = send.snd_una;
        send.lost_edge = send.snd_nxt;
        send.lost = send.in_flight();
        send.sacked_to = send.snd_una;
        send.recover = send.snd_nxt;
        send.duplicate_acks = 0;
        send.stop_timing();
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
            || !send.repairable().is_empty()
            || send.sent_at.is_within(round_trip.into(), now)
            || !end.after(send.snd_una)
        {
            return;
        }
        send.high_rxt = send.snd_una;
        send.lost_edge = end;
        send.lost = end.octets_past(send.snd_una);
        stream.flags.set(StreamFlags::FIRST_REPAIR);
    }

    /// After an acknowledgement: the timer starts anew if something is still on its way, and stops
    /// if nothing is (RFC 6298 sections 5.2 and 5.3).
    pub(super) fn restart_timer(&mut self, direction: Direction, advanced: bool) {
        let (now, timeout) = (self.now, self.rto(direction));
        let send = &mut self.flow.stream_mut(direction).send;
        if send.in_flight() == 0 {
            send.timer = Stamp::NEVER;
        } else if advanced {
            send.timer = Stamp::at(now.after(timeout));
        }
    }

    /// Sends what windows allow, until the room of this call is used up.
    pub(super) fn pump(&mut self, direction: Direction) {
        if !self.flow.stream(direction).is_active() {
            return;
        }
        self.restart_after_idle(direction);
        while self.room > 0 && !self.blocked {
            let Some(plan) = self.plan(direction) else {
                break;
            };
            if !self.send_data(direction, plan.range, plan.fin, plan.kind) {
                break;
            }
            self.note_planned(direction, plan);
        }
        self.watch_closed_window(direction);
    }

    /// Whether `pump` would send something if it had room.
    pub(super) fn has_to_send(&self, direction: Direction) -> bool {
        self.flow.stream(direction).is_active() && self.plan(direction).is_some()
    }

    /// A window learned before a silence says little of the path after it (RFC 5681 section 4.1).
    pub(super) fn restart_after_idle(&mut self, direction: Direction) {
        let (now, timeout) = (self.now, micros(self.rto(direction)));
        let segments = self.initial_segments();
        let send = &mut self.flow.stream_mut(direction).send;
        let idle = send.sent_at.age_us(now).is_some_and(|age| age > timeout);
        if send.in_flight() == 0 && idle {
            send.congestion.on_idle_restart(segments);
        }
    }

    fn note_planned(&mut self, direction: Direction, plan: Plan) {
        let end = plan.range.end().advance(u32::from(plan.fin));
        if plan.kind == TransmitKind::Data {
            // New data carries the newest acknowledgement with it (rule H5.10).
            self.flow
                .stream_mut(direction)
                .flags
                .clear(StreamFlags::RELAY_OWED);
            self.note_sent(direction, end);
            return;
        }
        let (now, timeout) = (self.now, self.rto(direction));
        let stream = self.flow.stream_mut(direction);
        stream.flags.clear(StreamFlags::FIRST_REPAIR);
        let send = &mut stream.send;
        send.lost = send
            .lost
            .saturating_sub(plan.range.octets().saturating_add(u32::from(plan.fin)));
        send.high_rxt = end;
        send.stop_timing();
        if send.high_rxt.at_or_after(send.lost_edge) {
            send.lost = 0;
        }
        super::intake::start_timer(send, now, timeout);
    }

    /// The next segment to send, repairs first.
    fn plan(&self, direction: Direction) -> Option<Plan> {
        self.plan_repair(direction)
            .or_else(|| self.plan_new(direction))
    }

    /// The next lost segment, as far as the congestion window has room for it. The first of a
    /// recovery needs none (RFC 6675 section 5, step 4.3).
    fn plan_repair(&self, direction: Direction) -> Option<Plan> {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        let room = send.congestion.cwnd().saturating_sub(self.pipe(direction));
        let mss = u32::from(send.mss());
        if send.repairable().is_empty()
            || (room < mss && !stream.flags.has(StreamFlags::FIRST_REPAIR))
        {
            return None;
        }
        let mut lost = send.repairable();
        let mut searched = false;
        for _ in 0..SEARCH_STEPS {
            match self.pool.unsacked_run(&stream.chain, lost, MAX_PAGES) {
                Run::Found(run) => {
                    let end = run
                        .start()
                        .advance(mss)
                        .earliest(run.end())
                        .earliest(send.usable_edge());
                    let range = SeqRange::new(run.start(), end);
                    let fin = self.carries_fin(direction, range) && send.lost_edge.after(end);
                    let plan = Plan {
                        range,
                        fin,
                        kind: TransmitKind::Retransmission,
                    };
                    return (!range.is_empty()).then_some(plan);
                }
                Run::Skipped(to) => lost = SeqRange::new(to, lost.end()),
                Run::None => {
                    searched = true;
                    break;
                }
            }
        }
        if !searched {
            return None;
        }
        let fin = stream.fin()?;
        let bare =
            send.lost_edge.after(fin) && send.high_rxt.at_or_before(fin) && send.snd_nxt.after(fin);
        let range = SeqRange::new(fin, fin);
        bare.then_some(Plan {
            range,
            fin: true,
            kind: TransmitKind::Retransmission,
        })
    }

    /// Whether a segment of `range` ends right before a FIN that fits the receiver's window.
    fn carries_fin(&self, direction: Direction, range: SeqRange) -> bool {
        let stream = self.flow.stream(direction);
        stream.fin() == Some(range.end())
            && stream.rcv_nxt() == range.end()
            && range.end().at_or_before(stream.send.usable_edge())
    }

    /// The next new segment, as far as both windows allow.
    fn plan_new(&self, direction: Direction) -> Option<Plan> {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        let start = send.snd_nxt;
        let ready = SeqRange::new(start, stream.rcv_nxt());
        let usable = ready.intersection(SeqRange::new(start, send.usable_edge()));
        if usable.is_empty() {
            let bare = SeqRange::new(start, start);
            let fin = ready.is_empty() && self.carries_fin(direction, bare);
            return fin.then_some(Plan {
                range: bare,
                fin,
                kind: TransmitKind::Data,
            });
        }
        let pipe = self.pipe(direction);
        let room = send.congestion.cwnd().saturating_sub(pipe);
        let octets = usable.octets().min(self.largest_segment(direction));
        // Sender's silly window avoidance (RFC 1122 section 4.2.3.4): a part of a segment only if
        // nothing is on its way, it is all there is, or it is half of the largest window.
        let worthwhile = octets >= u32::from(send.mss())
            || octets == ready.octets()
            || octets >= send.wnd_max / 2
            || send.in_flight() == 0;
        if !worthwhile || (octets > room && pipe > 0) {
            return None;
        }
        let range = SeqRange::new(start, start.advance(octets));
        let fin = self.carries_fin(direction, range);
        Some(Plan {
            range,
            fin,
            kind: TransmitKind::Data,
        })
    }

    /// Octets that one packet may carry: a segment, or several where the sink cuts super-segments.
    fn largest_segment(&self, direction: Direction) -> u32 {
        let mss = u32::from(self.flow.stream(direction).send.mss()).max(1);
        let room = self
            .flow
            .stream(direction)
            .send
            .congestion
            .cwnd()
            .saturating_sub(self.pipe(direction));
        let most = u32::from(self.config.super_segment).min(room);
        let segments = most.checked_div(mss).unwrap_or(0).max(1);
        segments.saturating_mul(mss)
    }

    /// Notes whether the congestion window is used up: only then may it grow (RFC 7661).
    pub(super) fn note_cwnd_use(&mut self, direction: Direction) {
        let pipe = self.pipe(direction);
        let stream = self.flow.stream_mut(direction);
        let full =
            pipe.saturating_add(u32::from(stream.send.mss())) > stream.send.congestion.cwnd();
        stream.flags.put(StreamFlags::CWND_LIMITED, full);
    }

    /// Starts the persist timer where the receiver's window holds sending back and nothing is on
    /// its way (RFC 9293 section 3.8.6.1).
    fn watch_closed_window(&mut self, direction: Direction) {
        let waits = self.waits_for_window(direction);
        let (now, timeout) = (self.now, self.rto(direction));
        self.note_cwnd_use(direction);
        let stream = self.flow.stream_mut(direction);
        if waits && stream.send.in_flight() == 0 && !stream.send.timer.is_set() {
            stream.send.timer = Stamp::at(now.after(timeout));
            stream.send.progress_at = Stamp::at(now);
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

    /// The retransmission or persist timer has expired.
    pub(super) fn on_timeout(&mut self, direction: Direction) {
        let (now, give_up) = (self.now, micros(self.config.give_up_after));
        let send = &mut self.flow.stream_mut(direction).send;
        send.timer = Stamp::NEVER;
        if send.progress_at.is_set() && u64::from(send.progress_at.age(now)) >= give_up {
            self.give_up(direction);
            return;
        }
        if send.has_stalled(now) {
            self.flow.flags.set(FlowFlags::stalled(direction));
        }
        let send = &self.flow.stream(direction).send;
        let head_fits = send.snd_una.before(send.usable_edge()) || self.fin_is_head(direction);
        let send = &mut self.flow.stream_mut(direction).send;
        send.back_off();
        if send.in_flight() > 0 && head_fits {
            send.congestion.on_timeout(now, send.in_flight());
            self.lose_all(direction);
        } else if send.in_flight() > 0 || self.waits_for_window(direction) {
            self.flow
                .stream_mut(direction)
                .flags
                .set(StreamFlags::PROBE_OWED);
        }
        let timeout = micros(self.rto(direction));
        let flow_waits = self
            .flow
            .stream(direction)
            .flags
            .has(StreamFlags::PROBE_OWED);
        let send = &mut self.flow.stream_mut(direction).send;
        if send.in_flight() > 0 || flow_waits {
            let patience = give_up.saturating_sub(send.progress_at.age(now).into());
            send.timer = Stamp::at(now.after(Duration::from_micros(timeout.min(patience))));
        }
    }

    /// Whether the FIN is all that is not acknowledged, and fits.
    fn fin_is_head(&self, direction: Direction) -> bool {
        let stream = self.flow.stream(direction);
        stream.fin() == Some(stream.send.snd_una)
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
            let end = at.advance(1);
            if end.at_or_before(self.flow.stream(direction).send.wnd_edge) {
                self.note_sent(direction, end);
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
