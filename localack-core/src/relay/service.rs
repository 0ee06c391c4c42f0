//! Which service each direction gets, and the way from one to another (section 3 of the rules).

use super::Work;
use crate::congestion::Start;
use crate::event::{DemoteCause, Event};
use crate::flow::FlowFlags;
use crate::flow::phase::Phase;
use crate::flow::stream::StreamFlags;
use crate::half::send::SendFlags;
use crate::policy::{Direction, Service};
use crate::pool::Quota;
use crate::sink::Sink;
use crate::stats::DirectionMode;
use crate::time::{Stamp, micros};
use crate::wire::{IpVersion, option_len};

/// Segments of the initial window (RFC 6928).
const INITIAL_SEGMENTS: u32 = 10;

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Sets out for the services that are asked for, where they are not those in force.
    pub(super) fn reconcile(&mut self) {
        if self.flow.phase() != Phase::Open {
            return;
        }
        for direction in Direction::BOTH {
            match self.flow.stream(direction).service() {
                Service::Bypass if self.flow.stream(direction).is_bypassed() => {}
                Service::Bypass => self.demote(direction, DemoteCause::Request),
                Service::Snoop => self.try_snoop(direction),
                Service::LocalAck => self.try_promote(direction),
            }
        }
    }

    /// Starts to store a direction's data if that is asked for and nothing is in flight past the
    /// engine: the store begins where the receiver's acknowledgement and the sender's data meet.
    #[inline]
    pub(crate) fn try_promote(&mut self, direction: Direction) {
        let stream = self.flow.stream(direction);
        if stream.service() == Service::LocalAck && !stream.is_active() {
            self.promote_where_it_meets(direction);
        }
    }

    #[inline(never)]
    fn promote_where_it_meets(&mut self, direction: Direction) {
        let now = self.now;
        let stream = self.flow.stream(direction);
        let meets = stream.send.snd_una == stream.recv.seq_max && stream.fin().is_none();
        let held_back = stream.patience.is_set() && !stream.patience.is_due(now);
        if !meets || held_back {
            return;
        }
        if !self.begin_store(direction) {
            self.flow.stream_mut(direction).set_service(Service::Bypass);
            self.event(Event::Demoted {
                flow: self.id,
                direction,
                cause: DemoteCause::PoolLow,
            });
        }
    }

    /// Begins to store; `false` if the pool cannot promise the minimum (rule H12.4).
    pub(crate) fn begin_store(&mut self, direction: Direction) -> bool {
        if self.crowded {
            return false;
        }
        let size = self.pool.block_size();
        let scale = self.flow.host(direction.source().other()).scale();
        let send = &self.flow.stream(direction).send;
        // What the receiver itself has offered must find room too; the octets may begin and end
        // inside a block.
        let edge = self.flow.stream(direction).recv.edge.latest(send.wnd_edge);
        let offered = edge.octets_past(send.snd_una);
        let most = self
            .flow
            .most_held(scale)
            .max(offered.saturating_add(scale.unit()));
        let quota = Quota {
            reserved_blocks: self.config.reserved_blocks,
            limit_blocks: size.pages(most).saturating_add(2),
        };
        let mss = self.segment_size(direction);
        let segments = self.initial_segments();
        let stream = self.flow.stream_mut(direction);
        let start = stream.send.snd_una;
        self.pool.restart(&mut stream.chain, start);
        if self.pool.reserve(&mut stream.chain, quota).is_err() {
            return false;
        }
        stream.recv.forget_held();
        stream.recv.ack_sent = start;
        stream.recv.seq_max = start;
        // The receiver may have taken some of its window back; the edge never goes back (invariant 4).
        stream.recv.edge = edge.latest(start);
        stream.patience = Stamp::NEVER;
        if stream.snoops() {
            stream.send.rate = 0;
        }
        let window_max = stream.send.wnd_max;
        stream.send.start_at(start);
        stream.send.wnd_max = window_max;
        let start = Start {
            now: self.now,
            mss,
            initial_segments: segments,
            rtt_us: stream.send.srtt_us(),
        };
        stream.send.congestion.on_established(&start);
        self.open_share(direction);
        self.take_hints(direction);
        let stream = self.flow.stream_mut(direction);
        stream.set_mode(DirectionMode::StoreAndForward);
        self.flow.flags.clear(FlowFlags::stalled(direction));
        self.begin_custody(direction);
        true
    }

    /// Segments of the initial window: one if the handshake lost a SYN (RFC 5681 section 3.1, rule
    /// H7.9).
    pub(super) fn initial_segments(&self) -> u32 {
        if self.has(FlowFlags::SYN_LOST) {
            1
        } else {
            INITIAL_SEGMENTS
        }
    }

    /// Begins to acknowledge early, if the receiver is known to be there or the operator says so
    /// (rule H7.1).
    pub(super) fn begin_custody(&mut self, direction: Direction) {
        let at_once = self.has(FlowFlags::CUSTODY_AFTER_HANDSHAKE);
        let stream = self.flow.stream_mut(direction);
        let waiting = stream.mode() == DirectionMode::StoreAndForward;
        if waiting && (at_once || stream.flags.has(StreamFlags::PROVEN)) {
            stream.set_mode(DirectionMode::LocalAck);
            if stream.ack_point().after(stream.recv.ack_sent) {
                stream.flags.set(StreamFlags::ACK_OWED);
            }
            self.event(Event::CustodyBegun {
                flow: self.id,
                direction,
            });
        }
    }

    /// Octets of payload in a full segment to the receiver of `direction`'s data (rule H10.2).
    pub(crate) fn segment_size(&self, direction: Direction) -> u16 {
        let to = direction.source().other();
        let [inner, outer] = self.config.mtu;
        let mtu = match to {
            crate::policy::Port::Inner => inner,
            crate::policy::Port::Outer => outer,
        };
        self.segment_size_at(mtu)
            .min(self.segment_size_announced(direction))
    }

    fn segment_size_announced(&self, direction: Direction) -> u16 {
        let host = self.flow.host(direction.source().other());
        host.mss.saturating_sub(self.fixed_options()).max(1)
    }

    /// Octets of payload that fit a packet of `mtu` octets.
    pub(super) fn segment_size_at(&self, mtu: u16) -> u16 {
        mtu.saturating_sub(self.header_octets()).max(1)
    }

    /// Octets of the headers of every packet with data.
    pub(super) fn header_octets(&self) -> u16 {
        let headers: u16 = match self.version() {
            IpVersion::V4 => 40,
            IpVersion::V6 => 60,
        };
        headers.saturating_add(self.fixed_options())
    }

    /// Octets of options in every segment (RFC 6691).
    fn fixed_options(&self) -> u16 {
        u16::try_from(option_len(self.has(FlowFlags::TIMESTAMPS), 0)).unwrap_or(0)
    }

    /// Nothing more of `direction` is acknowledged early; what was promised is delivered, and then
    /// its packets pass.
    pub(super) fn demote(&mut self, direction: Direction, cause: DemoteCause) {
        let patience = Stamp::at(self.now.after(self.config.drain_patience));
        let stream = self.flow.stream_mut(direction);
        if cause != DemoteCause::Request {
            stream.set_service(Service::Bypass);
        }
        match stream.mode() {
            DirectionMode::LocalAck | DirectionMode::StoreAndForward => {}
            DirectionMode::Snoop => return self.stop_snooping(direction),
            DirectionMode::Bypass | DirectionMode::Draining => return,
        }
        stream.set_mode(DirectionMode::Draining);
        stream.flags.clear(
            StreamFlags::SUSPECT
                .or(StreamFlags::REOPENED)
                .or(StreamFlags::WINDOW_OWED),
        );
        stream.recv.window_due = Stamp::NEVER;
        stream.patience = patience;
        self.event(Event::Demoted {
            flow: self.id,
            direction,
            cause,
        });
        self.try_leave(direction);
    }

    /// Lets a draining direction go once both ends' views agree: every promise is kept, and the
    /// receiver's own window reaches as far as the one offered, or patience has ended (rules H2.11
    /// and H4.2, invariant 25).
    #[inline]
    pub(super) fn try_leave(&mut self, direction: Direction) {
        let is_draining = self.flow.stream(direction).mode() == DirectionMode::Draining;
        if is_draining && self.flow.phase() == Phase::Open {
            self.leave_once_agreed(direction);
        }
    }

    #[inline(never)]
    fn leave_once_agreed(&mut self, direction: Direction) {
        let (now, hold) = (self.now, self.config.demotion_hold);
        let stream = self.flow.stream(direction);
        // A sender that has gone silent with a hole in its data does not fill it any more; what was
        // SACKed behind it was advice (RFC 2018 section 8).
        let patience = micros(self.config.drain_patience);
        let is_silent = !stream.recv.data_at.is_within(patience, now);
        let has_hole = stream.send.snd_una.at_or_after(stream.rcv_nxt());
        let given_up = has_hole && is_silent && stream.patience.is_due(now);
        if !stream.owes_nothing() && !given_up {
            return;
        }
        // An acknowledgement that waits would be forgotten with the rest.
        if stream.flags.has(StreamFlags::ACK_OWED) || stream.recv.ack_due.is_set() {
            let flags = &mut self.flow.stream_mut(direction).flags;
            flags.set(StreamFlags::ACK_OWED);
            self.pay_acks(direction);
        }
        let stream = self.flow.stream(direction);
        if stream.flags.has(StreamFlags::ACK_OWED) {
            return;
        }
        let reaches = stream.send.wnd_edge.at_or_after(stream.recv.edge);
        if !reaches && !stream.patience.is_due(now) {
            return;
        }
        // What is stored beyond the promise still belongs to its sender, who will send it again.
        self.retire(direction);
        let stream = self.flow.stream_mut(direction);
        stream.set_mode(DirectionMode::Bypass);
        stream.chain.follow(stream.send.snd_nxt);
        stream.recv.forget_held();
        // From here on its sender sees the receiver's own window.
        stream.recv.edge = stream.recv.edge.latest(stream.send.wnd_edge);
        stream.send.leave_ecn();
        stream.recv.ts_recent = stream.recv.ts_max;
        stream.send.timer = Stamp::NEVER;
        stream.recv.ack_due = Stamp::NEVER;
        stream.recv.window_due = Stamp::NEVER;
        stream.flags = stream
            .flags
            .and(StreamFlags::PROVEN.or(StreamFlags::FIN_SEEN));
        stream.patience = Stamp::at(now.after(hold));
        if !reaches {
            stream.send.flags.set(SendFlags::OVERRUNS);
            self.counters.soft_drains = self.counters.soft_drains.saturating_add(1);
        }
        self.event(Event::ServiceChanged {
            flow: self.id,
            direction,
            service: Service::Bypass,
            soft: !reaches,
        });
    }
}
