//! What is sent next from custody, and when: repairs first, then new data, as far as the receiver's
//! window, the congestion window and the pace let it (RFC 5681, RFC 6675).

use super::pmtu::SizeProbe;
use super::{MAX_PAGES, Work};
use crate::congestion::SentNow;
use crate::flow::FlowFlags;
use crate::flow::stream::StreamFlags;
use crate::half::send::SendFlags;
use crate::pacing::Pace;
use crate::policy::Direction;
use crate::pool::Run;
use crate::recovery::delivery::Sent;
use crate::seq::SeqRange;
use crate::sink::{Sink, TransmitKind};
use crate::time::{Moment, Stamp, micros};

/// Stretches of a chain that the search for the next hole looks at.
const SEARCH_STEPS: u32 = 16;

/// The next segment from custody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    pub(super) range: SeqRange,
    pub(super) fin: bool,
    pub(super) kind: TransmitKind,
}

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Sends what windows and pace allow, until the room of this call is used up.
    pub(super) fn pump(&mut self, direction: Direction) {
        let stream = self.flow.stream(direction);
        if !stream.is_active() && !stream.snoops() {
            return;
        }
        self.restart_after_idle(direction);
        self.follow_share(direction);
        if self
            .flow
            .stream(direction)
            .send
            .flags
            .has(SendFlags::TAIL_PROBE_OWED)
        {
            self.send_tail_probe(direction);
        }
        let mut waits = None;
        while self.room > 0 && !self.blocked {
            if self.send_size_probe(direction) {
                continue;
            }
            let Some(plan) = self.plan(direction) else {
                break;
            };
            let octets = plan.range.octets();
            waits = self.waits_for_pace(direction, octets).then_some(octets);
            if waits.is_some() || !self.share_lets_pass(direction, plan.range.octets()) {
                break;
            }
            if !self.send_plan(direction, plan) {
                break;
            }
        }
        if self.room == 0 || self.blocked {
            // What this call had no room for may have to wait for its time as well, and then nothing
            // but that time calls it.
            waits = self
                .plan(direction)
                .map(|plan| plan.range.octets())
                .filter(|&octets| self.waits_for_pace(direction, octets));
        }
        self.note_use(direction);
        let due = waits.and_then(|octets| {
            let packets = self.packet_octets(direction, octets);
            let pacer = &self.flow.stream(direction).send.pacer;
            pacer.wake_at(self.now, packets, self.pace(direction))
        });
        let stream = self.flow.stream_mut(direction);
        if stream.is_active() {
            // Copies wait for no pace; the time may be that of a larger window (`tend_window`).
            stream.send.pace_due = due.map_or(Stamp::NEVER, Stamp::at);
        }
        self.watch_closed_window(direction);
    }

    /// Whether there is a segment that the windows let go.
    pub(super) fn has_plan(&self, direction: Direction) -> bool {
        self.plan(direction).is_some()
    }

    /// Whether `pump` would send something if it had room.
    pub(super) fn has_to_send(&self, direction: Direction) -> bool {
        let stream = self.flow.stream(direction);
        let in_line = self.share_waits.is_some() || self.turn.is_some();
        (stream.is_active() || (self.arranged && stream.snoops()))
            && !(in_line && stream.send.congestion.share().is_some())
            && (stream.send.flags.has(SendFlags::TAIL_PROBE_OWED)
                || self
                    .plan(direction)
                    .is_some_and(|plan| !self.waits_for_pace(direction, plan.range.octets())))
    }

    /// How fast segments may leave.
    fn pace(&self, direction: Direction) -> Pace {
        let own = self.pace_of_controller(direction);
        if self.arranged {
            self.limited_pace(direction, own)
        } else {
            own
        }
    }

    /// The same, but no faster than the direction's limit.
    fn limited_pace(&self, direction: Direction, own: Pace) -> Pace {
        let limit = self.rate_limit(direction);
        if limit == 0 || self.flow.stream(direction).snoops() {
            return own;
        }
        let mss = self.flow.stream(direction).send.mss();
        let segment = mss.saturating_add(self.header_octets());
        own.limited(Pace::new(limit, segment, self.config.super_segment))
    }

    /// How fast segments may leave as far as the controller cares. At a vouched rate all that is left to keep
    /// is the flow's ceiling.
    #[inline(always)]
    fn pace_of_controller(&self, direction: Direction) -> Pace {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        if let (Some(share), Some(vouched)) =
            (send.congestion.share(), send.congestion.provisioned())
        {
            return self.shares.ceiling_pace(share, vouched.ceiling());
        }
        if self.arranged && stream.snoops() {
            // Its hosts pace the flow; what is sent again waits only for the window.
            return Pace::UNPACED;
        }
        if self.has(FlowFlags::UNPACED) && !send.congestion.needs_pacing() {
            return Pace::UNPACED;
        }
        let resumed = send
            .attempt
            .resume()
            .pacing_rate(send.congestion.cwnd(), send.srtt_us());
        let rate = resumed
            .or_else(|| send.congestion.pacing_rate(send.srtt_us()))
            .unwrap_or(0);
        let (headers, mss) = (self.header_octets(), send.mss());
        // Controllers count payload.
        let wire = u64::from(rate)
            .saturating_mul(mss.saturating_add(headers).into())
            .checked_div(mss.into())
            .and_then(|rate| u32::try_from(rate).ok())
            .unwrap_or(u32::MAX);
        let rate = if rate == 0 { 0 } else { wire };
        let segment = mss.saturating_add(headers);
        let pace = Pace::new(rate, segment, self.config.super_segment);
        if send.congestion.is_starting() {
            pace.beginning(segment)
        } else {
            pace
        }
    }

    /// Whether a segment of so many octets has to wait for its time.
    pub(super) fn waits_for_pace(&self, direction: Direction, octets: u32) -> bool {
        let stream = self.flow.stream(direction);
        let packets = self.packet_octets(direction, octets);
        // Probes of a dead path have a pace of their own.
        let is_probe = stream.flags.has(StreamFlags::HELD);
        let pacer = &stream.send.pacer;
        !is_probe && !pacer.may_send(self.now, packets, self.pace(direction))
    }

    /// Whether a packet of so many octets, which may stand for several, may leave as it is: now, and as
    /// no larger burst than the pace allows (rule H12.1).
    pub(super) fn goes_in_a_burst(&self, direction: Direction, octets: u32) -> bool {
        let (pace, packets) = (self.pace(direction), self.packet_octets(direction, octets));
        let stream = self.flow.stream(direction);
        packets <= pace.quantum()
            && (stream.flags.has(StreamFlags::HELD)
                || stream.send.pacer.may_send(self.now, packets, pace))
    }

    /// Sends a planned segment and notes that; false if it could not be sent.
    pub(super) fn send_plan(&mut self, direction: Direction, plan: Plan) -> bool {
        if !self.send_data(direction, plan.range, plan.fin, plan.kind) {
            return false;
        }
        let end = plan.range.end().advance(u32::from(plan.fin));
        if plan.kind == TransmitKind::Data {
            // New data carries the newest acknowledgement with it (rule H5.10).
            self.flow
                .stream_mut(direction)
                .flags
                .clear(StreamFlags::RELAY_OWED);
            self.note_sent(direction, SeqRange::new(plan.range.start(), end));
        } else {
            self.note_repaired(direction, plan);
        }
        true
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

    /// Notes that `range`, a FIN counted, has been sent to the receiver for the first time.
    pub(super) fn note_sent(&mut self, direction: Direction, range: SeqRange) {
        let send = &mut self.flow.stream_mut(direction).send;
        if send.in_flight() == 0 {
            send.rack.begin_flight();
        }
        self.note_transmission(direction, range, false);
        let send = &mut self.flow.stream_mut(direction).send;
        send.snd_nxt = send.snd_nxt.latest(range.end());
        self.resume_on_sent(direction);
        self.start_timer(direction);
    }

    fn note_repaired(&mut self, direction: Direction, plan: Plan) {
        let end = plan.range.end().advance(u32::from(plan.fin));
        let octets = plan.range.octets().saturating_add(u32::from(plan.fin));
        let pipe = self.pipe(direction).saturating_add(octets);
        let stream = self.flow.stream_mut(direction);
        let is_last = stream.send.lost.octets() <= octets && !stream.may_send_more();
        if is_last && pipe <= stream.send.congestion.cwnd() {
            // What the receiver's window holds back until this arrives says nothing of the path.
            stream.send.on_app_limited(pipe);
        }
        self.note_transmission(direction, SeqRange::new(plan.range.start(), end), true);
        let stream = self.flow.stream_mut(direction);
        stream.flags.clear(StreamFlags::FIRST_REPAIR);
        let tsval = if stream.is_active() {
            stream.recv.ts_max
        } else {
            stream.recv.ts_recent
        };
        let send = &mut stream.send;
        if send.lost.is_empty() {
            // A second copy; there is no third.
            send.probe_end = end;
            return;
        }
        send.lost.on_repaired(end, octets);
        send.attempt
            .with_undo(|undo| undo.on_repair(plan.range, tsval));
        let is_head = plan.range.start().at_or_before(send.snd_una);
        self.start_timer(direction);
        if is_head {
            self.on_head_repaired(direction);
        }
    }

    /// What every transmission leaves behind: its time, on the pages it lies in, the pace of the
    /// next, and what the controller makes of it.
    pub(super) fn note_transmission(&mut self, direction: Direction, range: SeqRange, again: bool) {
        let now = self.now;
        let in_flight = self.pipe(direction);
        let pace = self.pace(direction);
        let packets = self.packet_octets(direction, range.octets());
        let stream = self.flow.stream_mut(direction);
        let snoops = self.arranged && stream.snoops();
        let send = &mut stream.send;
        send.sent_at = Moment::at(now);
        let octets = range.octets();
        let note = send.note_of(now, octets, in_flight, again);
        self.pool.stamp(&mut stream.chain, range, note);
        if !snoops {
            send.pacer.on_sent(now, packets, pace);
        }
        send.congestion.on_sent(&SentNow {
            now,
            octets,
            in_flight,
            app_limited: note.flags & Sent::APP_LIMITED != 0,
        });
    }

    /// The next segment to send, repairs first, but for what is to tell whether a time-out was
    /// spurious (RFC 5682).
    fn plan(&self, direction: Direction) -> Option<Plan> {
        let stream = self.flow.stream(direction);
        if stream.flags.has(StreamFlags::HELD) {
            // Nothing but the one segment that probes the path.
            let probes = stream.flags.has(StreamFlags::FIRST_REPAIR);
            return probes.then(|| self.plan_repair(direction)).flatten();
        }
        let send = &stream.send;
        if send.lost.is_empty()
            && !stream.rcv_nxt().after(send.snd_nxt)
            && stream.fin() != Some(send.snd_nxt)
        {
            // Everything has been sent, and nothing was lost.
            return None;
        }
        if send.flags.has(SendFlags::FORWARD_NEW)
            && let Some(plan) = self.plan_new(direction)
        {
            return Some(plan);
        }
        self.plan_repair(direction)
            .or_else(|| self.plan_new(direction))
            .or_else(|| self.plan_second_copy(direction))
    }

    /// The next lost segment, as far as the congestion window has room for it. The first of a
    /// recovery needs none (RFC 6675 section 5, step 4.3).
    fn plan_repair(&self, direction: Direction) -> Option<Plan> {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        if send.lost.is_empty() {
            return None;
        }
        let room = send.congestion.cwnd().saturating_sub(self.pipe(direction));
        // A repair from a copy takes the place of what was lost, which its sender has answered for.
        let replaces = stream.snoops() && !send.flags.has(SendFlags::TIMED_OUT);
        let is_first = stream.flags.has(StreamFlags::FIRST_REPAIR);
        if room < u32::from(send.mss()) && !is_first && !replaces {
            return None;
        }
        let [again, first] = send.lost.waiting();
        self.repair_in(direction, again)
            .or_else(|| self.repair_in(direction, first))
            .or_else(|| self.repair_of_fin(direction, first))
    }

    /// At a vouched rate that the receiver's window leaves idle, each repair is sent a second time:
    /// were the first lost too, the window would stay shut for another round trip. While the window is
    /// so small that most of the rate is idle, as it is when a receiver has just begun, the tail is
    /// probed likewise (RFC 8985 section 7), at once and as a whole. Nobody else waits for the rate
    /// that this takes, and nothing is sent a third time so.
    fn plan_second_copy(&self, direction: Direction) -> Option<Plan> {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        let other_use = SendFlags::TAIL_PROBE_OUT | SendFlags::FORWARD | SendFlags::TIMED_OUT;
        let shut = send.usable_edge().octets_past(send.snd_nxt) < u32::from(send.mss());
        let waits = stream.rcv_nxt().after(send.snd_nxt) && stream.acks_early();
        let idle = send.congestion.provisioned().is_some() && shut && waits;
        let other_use = send.flags.has(other_use) || send.path_mtu.is_probing();
        if !idle || !send.lost.is_empty() || other_use {
            return None;
        }
        let from = send.probe_end.latest(send.snd_una);
        let is_small = send.in_flight() < send.congestion.cwnd() / 2;
        let range = if is_small {
            SeqRange::new(from, send.snd_nxt)
        } else {
            send.lost.repaired_from(from)
        };
        self.repair_in(direction, range)
    }

    /// The first segment of what is not SACKed in `lost`.
    fn repair_in(&self, direction: Direction, lost: SeqRange) -> Option<Plan> {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        let mut rest = lost;
        for _ in 0..SEARCH_STEPS {
            match self.pool.unsacked_run(&stream.chain, rest, MAX_PAGES) {
                Run::Found(run) => {
                    let end = run
                        .start()
                        .advance(self.largest_segment(direction))
                        .earliest(run.end())
                        .earliest(send.usable_edge());
                    let range = SeqRange::new(run.start(), end);
                    let fin = self.carries_fin(direction, range) && lost.end().after(end);
                    let plan = Plan {
                        range,
                        fin,
                        kind: TransmitKind::Retransmission,
                    };
                    return (!range.is_empty()).then_some(plan);
                }
                Run::Skipped(to) => rest = SeqRange::new(to, rest.end()),
                Run::None => return None,
            }
        }
        None
    }

    /// The FIN alone, if it is lost and nothing before it is.
    fn repair_of_fin(&self, direction: Direction, lost: SeqRange) -> Option<Plan> {
        let stream = self.flow.stream(direction);
        let fin = stream.fin()?;
        let bare = lost.contains(fin) && stream.send.snd_nxt.after(fin);
        let open = self
            .pool
            .unsacked_octets(&stream.chain, lost, MAX_PAGES)
            .octets
            == 0;
        let range = SeqRange::new(fin, fin);
        (bare && open).then_some(Plan {
            range,
            fin: true,
            kind: TransmitKind::Retransmission,
        })
    }

    /// Whether a segment of `range` ends right before a FIN that fits the receiver's window.
    pub(super) fn carries_fin(&self, direction: Direction, range: SeqRange) -> bool {
        let stream = self.flow.stream(direction);
        stream.fin() == Some(range.end())
            && stream.rcv_nxt() == range.end()
            && range.end().at_or_before(stream.send.usable_edge())
    }

    /// The next new segment, as far as both windows allow.
    fn plan_new(&self, direction: Direction) -> Option<Plan> {
        let stream = self.flow.stream(direction);
        if stream.snoops() {
            // What is new its sender sends itself.
            return None;
        }
        let send = &stream.send;
        match self.plan_size_probe(direction) {
            SizeProbe::None => {}
            SizeProbe::Soon => return None,
            SizeProbe::Now(range, _) => {
                return Some(Plan {
                    range,
                    fin: false,
                    kind: TransmitKind::Data,
                });
            }
        }
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
        let send = &self.flow.stream(direction).send;
        let mss = u32::from(send.mss()).max(1);
        let room = send.congestion.cwnd().saturating_sub(self.pipe(direction));
        // A super-segment with CWR would carry it in each of its segments.
        let most = if send.flags.has(SendFlags::CWR_OWED) {
            0
        } else {
            u32::from(self.config.super_segment).min(room)
        };
        let segments = most.checked_div(mss).unwrap_or(0);
        // A turn at a vouched rate is used up in whole segments.
        let packet = mss.saturating_add(self.header_octets().into());
        let in_turn = self
            .turn
            .as_ref()
            .map_or(u32::MAX, |turn| turn.left.checked_div(packet).unwrap_or(0));
        let segments = segments.min(in_turn).max(1);
        segments.saturating_mul(mss)
    }

    /// Notes whether the congestion window is used up: only then may it grow (RFC 7661). In slow
    /// start half of it is enough, because it doubles while that is delivered.
    pub(super) fn note_use(&mut self, direction: Direction) {
        let pipe = self.pipe(direction);
        let stream = self.flow.stream_mut(direction);
        let usable = stream.may_send_more();
        let send = &mut stream.send;
        let cwnd = send.congestion.cwnd();
        let in_slow_start = cwnd < send.congestion.ssthresh();
        let used = pipe.saturating_add(u32::from(send.mss()));
        if used > cwnd || (in_slow_start && pipe > cwnd / 2) {
            send.cwnd_full = send.snd_nxt;
        }
        if !usable && send.lost.is_empty() && used <= cwnd {
            send.on_app_limited(pipe);
        }
    }
}
