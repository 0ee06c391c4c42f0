//! Building packets in the name of the two hosts, and handing them to the sink.

use super::Work;
use crate::flow::FlowFlags;
use crate::flow::stream::StreamFlags;
use crate::half::recv::SackList;
use crate::half::window::{self, Offer, Told};
use crate::policy::Direction;
use crate::pool::Payload;
use crate::seq::{SeqNum, SeqRange};
use crate::sink::{LinkId, Sink, Transmit, TransmitKind};
use crate::time::{Moment, Stamp, micros};
use crate::wire::{Flags, HeaderSpec, IpVersion, Sum, Timestamps, emit, emit_partial};

/// A segment to be made.
struct Draft<'d> {
    kind: TransmitKind,
    /// The direction it travels in; it is made in the name of that direction's data sender.
    travels: Direction,
    seq: SeqNum,
    ack: SeqNum,
    window: u16,
    flags: Flags,
    /// May be marked instead of dropped (rule H11.3).
    ecn_capable: bool,
    urgent: u16,
    timestamps: Option<Timestamps>,
    sack: &'d [SeqRange],
    /// Octets of the travelling stream's custody.
    payload: SeqRange,
    gso_size: u16,
}

/// ECN-capable transport (RFC 3168 section 5).
const ECT_0: u8 = 0b10;
/// How often an unasked duplicate acknowledgement may be sent (rule H8.6), in microseconds.
const DUPLICATE_INTERVAL_US: u64 = 100_000;
/// How long after its last data a sender counts as sending (rule H5.6), in microseconds.
const TAIL_PATIENCE_US: u64 = 10_000;
/// Octets by which rounding may lead past twice the debt that the receiver drains in time.
const ROUNDING_SLACK: u32 = 1 << 20;
/// How often a challenge may be sent (rule H8.6), in microseconds.
const CHALLENGE_INTERVAL_US: u64 = 500_000;
/// How long after a reopened window it is announced once more (rule H2.6), in milliseconds.
const REOPEN_REPEAT: core::time::Duration = core::time::Duration::from_millis(50);

impl<S: Sink + ?Sized> Work<'_, S> {
    /// What an acknowledgement of `direction`'s data says now.
    pub(super) fn offer(&self, direction: Direction) -> Offer {
        let stream = self.flow.stream(direction);
        let scale = self.flow.host(direction.source().other()).scale();
        let most = self.pool.most_octets(&stream.chain);
        let target = self.target_edge(direction);
        // A sender that has stopped must not wait for the rest of its acknowledgement.
        let (recv, now) = (&stream.recv, self.now);
        let sends = recv.data_at.is_within(TAIL_PATIENCE_US, now) && !recv.ack_due.is_due(now);
        let promised = stream.flags.has(StreamFlags::SACK_PROMISED);
        let sacked = promised && recv.sacked_to.after(recv.ack_sent);
        let told = Told {
            // Nor is the receiver's own word ever held back.
            ack: stream.recv.ack_sent.latest(stream.send.snd_una),
            edge: stream.recv.edge,
            // And what was SACKed is acknowledged as a whole (rule H4.2).
            ceiling: (sends && !sacked).then_some(stream.send.snd_una.advance(most)),
            debt_edge: (sends && !sacked).then(|| self.overdue_edge(direction)),
        };
        window::offer(
            told,
            stream.ack_point(),
            target,
            self.window_step(direction),
            scale,
        )
    }

    /// Whether an acknowledgement with `offer` would say what was said before.
    pub(super) fn is_no_news(&self, direction: Direction, offer: Offer) -> bool {
        let recv = &self.flow.stream(direction).recv;
        offer.ack.at_or_before(recv.ack_sent) && offer.edge.at_or_before(recv.edge)
    }

    /// Sends an acknowledgement of `direction`'s data that is owed to its sender, called after what it
    /// says.
    pub(super) fn pay_ack(&mut self, direction: Direction, offer: Offer, duplicate: SeqRange) {
        let kind = if offer.ack.after(self.flow.stream(direction).recv.ack_sent) {
            TransmitKind::LocalAck
        } else {
            TransmitKind::DuplicateAck
        };
        self.send_offer(direction, kind, offer, duplicate);
    }

    /// Lets an acknowledgement wait until its sender pauses, or for as long as one may wait.
    pub(super) fn wait_with_ack(&mut self, direction: Direction) {
        let later = Stamp::at(
            self.now
                .after(core::time::Duration::from_micros(TAIL_PATIENCE_US)),
        );
        let stream = self.flow.stream_mut(direction);
        stream.flags.clear(StreamFlags::ACK_OWED);
        let held_back = stream.chain.end().after(stream.recv.ack_sent);
        if held_back && !stream.recv.ack_due.is_set() {
            stream.recv.ack_due = later;
        }
    }

    /// The least step by which the window offered for `direction` grows.
    pub(super) fn window_step(&self, direction: Direction) -> u32 {
        window::step(
            self.flow.stream(direction).send.mss(),
            self.flow.buffer_limit,
        )
    }

    /// How far the window offered for `direction` could reach: what the flow may hold, what the
    /// pool has, what the receiver drains in time (rule H6.3), and not past a queue that stands
    /// already (rule H12.2).
    pub(super) fn target_edge(&self, direction: Direction) -> SeqNum {
        let stream = self.flow.stream(direction);
        let (recv, send) = (&stream.recv, &stream.send);
        if !stream.acks_early() || stream.fin().is_some() {
            return recv.edge;
        }
        let unsent = stream.rcv_nxt().octets_past(send.snd_nxt);
        let queue = send
            .congestion
            .cwnd()
            .saturating_mul(2)
            .max(send.drained_in(100_000));
        if unsent > queue.max(self.config.queue_floor) {
            return recv.edge;
        }
        let by_flow = self.debt_edge(direction);
        let by_pool = stream.rcv_nxt().advance(self.pool.available(&stream.chain));
        let scale = self.flow.host(direction.source().other()).scale();
        let by_field = stream.ack_point().advance(scale.octets(u16::MAX));
        recv.edge
            .latest(by_flow.earliest(by_pool).earliest(by_field))
    }

    /// How far custody may reach at present, so that the receiver drains it in time (rule H6.3).
    fn debt_edge(&self, direction: Direction) -> SeqNum {
        let send = &self.flow.stream(direction).send;
        let debt = send
            .drained_in(micros(self.config.debt_time))
            .max(self.config.debt_floor);
        send.snd_una.advance(self.flow.buffer_limit.min(debt))
    }

    /// How far rounding may carry the offered edge nevertheless: twice as far, and a mebibyte for
    /// rates that come and go.
    fn overdue_edge(&self, direction: Direction) -> SeqNum {
        let edge = self.debt_edge(direction);
        let debt = edge.octets_past(self.flow.stream(direction).send.snd_una);
        edge.advance(debt).advance(ROUNDING_SLACK)
    }

    /// Notes that the sender of `direction`'s data has been told `offer`.
    pub(super) fn note_offered(&mut self, direction: Direction, offer: Offer) {
        let now = self.now;
        let local_ack = self.flow.stream(direction).acks_early();
        let stream = self.flow.stream_mut(direction);
        let recv = &mut stream.recv;
        let rose = offer.edge.after(recv.edge);
        let was_shut =
            recv.seq_max.octets_past(recv.ack_sent) >= recv.edge.octets_past(recv.ack_sent);
        if rose && was_shut && local_ack {
            stream.flags.set(StreamFlags::REOPENED);
            recv.window_due = Stamp::at(now.after(REOPEN_REPEAT));
        }
        recv.edge = offer.edge;
        recv.ack_sent = recv.ack_sent.latest(offer.ack);
        let held_back = local_ack && stream.chain.end().after(recv.ack_sent);
        let tail = now.after(core::time::Duration::from_micros(TAIL_PATIENCE_US));
        recv.ack_due = if held_back {
            Stamp::at(tail)
        } else {
            Stamp::NEVER
        };
        stream
            .flags
            .clear(StreamFlags::ACK_OWED.or(StreamFlags::WINDOW_OWED));
    }

    /// Sends an acknowledgement of `direction`'s data to its sender (rule 2.1).
    pub(super) fn send_ack(
        &mut self,
        direction: Direction,
        kind: TransmitKind,
        duplicate: SeqRange,
    ) -> bool {
        let offer = self.offer(direction);
        self.send_offer(direction, kind, offer, duplicate)
    }

    fn send_offer(
        &mut self,
        direction: Direction,
        kind: TransmitKind,
        offer: Offer,
        duplicate: SeqRange,
    ) -> bool {
        let sack = self.sack_blocks(direction, duplicate);
        let travels = direction.reverse();
        let back = self.flow.stream(travels);
        // What the host itself would send next (rules H1.1b and H2.4).
        let seq = if back.is_active() || back.overruns() {
            back.send.seq_without_data()
        } else {
            back.send.snd_nxt
        };
        let draft = Draft {
            kind,
            travels,
            seq,
            ack: offer.ack,
            window: offer.window,
            flags: Flags::ACK.union(self.echo_of(direction)),
            ecn_capable: false,
            urgent: 0,
            timestamps: self.timestamps(travels),
            sack: &sack,
            payload: SeqRange::default(),
            gso_size: 0,
        };
        let sent = self.emit(&draft);
        if sent {
            self.note_offered(direction, offer);
            self.note_sacked(direction, &sack);
        }
        sent
    }

    /// The SACK blocks of an acknowledgement of `direction`'s data: only where octets held out of
    /// order are promised to stay (rule H4.2), and only if both ends speak SACK.
    pub(super) fn sack_blocks(&self, direction: Direction, duplicate: SeqRange) -> SackList {
        let stream = self.flow.stream(direction);
        if !self.has(FlowFlags::SACK) || !stream.sacks() {
            return SackList::new();
        }
        stream
            .recv
            .blocks(duplicate, self.has(FlowFlags::TIMESTAMPS))
    }

    /// Notes what was SACKed to the sender, which must now stay (rule H4.2).
    pub(super) fn note_sacked(&mut self, direction: Direction, sack: &[SeqRange]) {
        let stream = self.flow.stream_mut(direction);
        for block in sack {
            // A D-SACK block promises nothing.
            if block.end().at_or_before(stream.recv.ack_sent) {
                continue;
            }
            if !stream.flags.has(StreamFlags::SACK_PROMISED) {
                stream.recv.sacked_to = block.end();
                stream.flags.set(StreamFlags::SACK_PROMISED);
            }
            stream.recv.sacked_to = stream.recv.sacked_to.latest(block.end());
        }
    }

    /// Sends an unasked duplicate acknowledgement, unless one was sent just before (rule H8.6).
    pub(super) fn send_limited_ack(&mut self, direction: Direction) -> bool {
        if self
            .flow
            .duplicate_at
            .is_within(DUPLICATE_INTERVAL_US, self.now)
        {
            return false;
        }
        let sent = self.send_ack(direction, TransmitKind::DuplicateAck, SeqRange::default());
        if sent {
            self.flow.duplicate_at = Moment::at(self.now);
        }
        sent
    }

    /// Challenges the sender of an inexact reset, unless one was challenged just before (H8.6).
    pub(super) fn send_challenge(&mut self, direction: Direction) {
        if self
            .flow
            .challenge_at
            .is_within(CHALLENGE_INTERVAL_US, self.now)
        {
            return;
        }
        if self.send_ack(direction, TransmitKind::Challenge, SeqRange::default()) {
            self.flow.challenge_at = Moment::at(self.now);
        }
    }

    /// Passes the sender's newest acknowledgement on to the receiver without its data (rule
    /// H5.10), with the SACK blocks it carried.
    pub(super) fn send_relay(&mut self, direction: Direction, sack: &[SeqRange]) -> bool {
        let (offer, window, ack) = self.ack_fields(direction);
        let draft = Draft {
            kind: TransmitKind::AckRelay,
            travels: direction,
            seq: self.flow.stream(direction).send.seq_without_data(),
            ack,
            window,
            flags: Flags::ACK.union(self.echo_of(direction.reverse())),
            ecn_capable: false,
            urgent: 0,
            timestamps: self.timestamps(direction),
            sack,
            payload: SeqRange::default(),
            gso_size: 0,
        };
        let sent = self.emit(&draft);
        if sent {
            self.note_ack_fields(direction, offer);
            self.flow
                .stream_mut(direction)
                .flags
                .clear(StreamFlags::RELAY_OWED);
        }
        sent
    }

    /// Sends octets in custody to their receiver (rule 2.4).
    pub(super) fn send_data(
        &mut self,
        direction: Direction,
        range: SeqRange,
        fin: bool,
        kind: TransmitKind,
    ) -> bool {
        let mss = self.flow.stream(direction).send.mss();
        self.send_segments(direction, range, fin, kind, mss)
    }

    /// The same in segments of at most `size` octets.
    pub(super) fn send_segments(
        &mut self,
        direction: Direction,
        range: SeqRange,
        fin: bool,
        kind: TransmitKind,
        size: u16,
    ) -> bool {
        let (offer, window, ack) = self.ack_fields(direction);
        let stream = self.flow.stream(direction);
        let end = range.end();
        let empties = end == stream.rcv_nxt();
        let is_new = kind == TransmitKind::Data && !range.is_empty();
        let ecn = self.ecn_of_data(direction, is_new);
        let mut flags = Flags::ACK
            .union(self.echo_of(direction.reverse()))
            .union(ecn.cwr);
        if !range.is_empty() && (empties || self.pool.pushed(&stream.chain, range)) {
            flags = flags.union(Flags::PSH);
        }
        if fin {
            flags = flags.union(Flags::FIN);
        }
        let urgent = if stream.flags.has(StreamFlags::URGENT) {
            stream.recv.urgent.octets_past(range.start())
        } else {
            0
        };
        if urgent > 0 {
            flags = flags.union(Flags::URG);
        }
        let draft = Draft {
            kind,
            travels: direction,
            seq: range.start(),
            ack,
            window,
            flags,
            ecn_capable: ecn.capable,
            urgent: u16::try_from(urgent).unwrap_or(u16::MAX),
            timestamps: self.timestamps(direction),
            sack: &[],
            payload: range,
            gso_size: if range.octets() > u32::from(size) {
                size
            } else {
                0
            },
        };
        let sent = self.emit(&draft);
        if sent {
            self.note_cwr(direction, ecn.cwr);
            self.note_ack_fields(direction, offer);
        }
        sent
    }

    /// Sends a reset in the direction `travels`.
    pub(super) fn send_reset(
        &mut self,
        travels: Direction,
        seq: SeqNum,
        ack: Option<SeqNum>,
    ) -> bool {
        self.emit(&Draft {
            kind: TransmitKind::Reset,
            travels,
            seq,
            ack: ack.unwrap_or(SeqNum::ZERO),
            window: 0,
            flags: if ack.is_some() {
                Flags::RST.union(Flags::ACK)
            } else {
                Flags::RST
            },
            ecn_capable: false,
            urgent: 0,
            timestamps: None,
            sack: &[],
            payload: SeqRange::default(),
            gso_size: 0,
        })
    }

    /// The acknowledgement fields of a segment that travels with `direction`'s data: the engine's
    /// own where it serves the other direction, else the newest that the host itself sent.
    fn ack_fields(&self, direction: Direction) -> (Option<Offer>, u16, SeqNum) {
        let echo = self.flow.stream(direction.reverse());
        if echo.is_active() {
            let offer = self.offer(direction.reverse());
            (Some(offer), offer.window, offer.ack)
        } else {
            let ack = echo.send.snd_una;
            let window = if self.arranged {
                self.doled_window(direction.reverse(), ack, echo.send.window)
            } else {
                echo.send.window
            };
            (None, window, ack)
        }
    }

    fn note_ack_fields(&mut self, direction: Direction, offer: Option<Offer>) {
        let echo = direction.reverse();
        if let Some(offer) = offer {
            self.note_offered(echo, offer);
        } else if self.doles_out(echo) {
            // The field is rounded up, and what it says is offered.
            let (_, field, ack) = self.ack_fields(direction);
            let scale = self.flow.host(echo.source().other()).scale();
            let edge = ack.advance(scale.octets(field));
            self.note_doled(echo, edge);
        }
    }

    /// The timestamps of a segment made in the name of the host that sends `travels`' data.
    fn timestamps(&self, travels: Direction) -> Option<Timestamps> {
        if !self.has(FlowFlags::TIMESTAMPS) {
            return None;
        }
        let (data, echo) = (
            self.flow.stream(travels),
            self.flow.stream(travels.reverse()),
        );
        Some(Timestamps {
            val: if data.is_active() {
                data.recv.ts_max
            } else {
                data.recv.ts_recent
            },
            ecr: if echo.is_active() {
                echo.recv.ts_recent
            } else {
                echo.send.tsecr
            },
        })
    }

    /// Builds a segment and offers it to the sink.
    fn emit(&mut self, draft: &Draft<'_>) -> bool {
        if self.blocked || self.room == 0 {
            return false;
        }
        let spec = self.spec(draft);
        let chain = &mut self.flow.stream_mut(draft.travels).chain;
        let payload = if draft.payload.is_empty() {
            Payload::default()
        } else {
            self.pool.payload(chain, draft.payload)
        };
        let octets = draft.payload.octets();
        let header = if draft.gso_size > 0 {
            // Whoever cuts it must add up each piece anyway.
            emit_partial(&spec, octets)
        } else {
            let empty = draft.payload.is_empty();
            let sum = if empty { Sum::new() } else { payload.sum() };
            emit(&spec, octets, sum)
        };
        let Some(header) = header else {
            return false;
        };
        let from = draft.travels.source();
        let transmit = Transmit {
            port: from.other(),
            flow: self.id,
            link: LinkId(self.key.link()),
            kind: draft.kind,
            gso_size: draft.gso_size,
            header: header.as_slice(),
            payload,
        };
        if self.sink.transmit(transmit).is_err() {
            self.counters.sink_full = self.counters.sink_full.saturating_add(1);
            self.blocked = true;
            return false;
        }
        self.room = self.room.saturating_sub(1);
        self.counters.count_transmit(draft.kind);
        true
    }

    fn spec<'d>(&self, draft: &Draft<'d>) -> HeaderSpec<'d> {
        let (src, src_port, dst, dst_port) = ends(&self.key, draft.travels);
        let host = self.flow.host(draft.travels.source());
        HeaderSpec {
            src,
            dst,
            src_port,
            dst_port,
            seq: draft.seq,
            ack: draft.ack,
            flags: draft.flags,
            window: draft.window,
            urgent: draft.urgent,
            timestamps: draft.timestamps,
            sack: draft.sack,
            hop_limit: host.hop_limit(),
            traffic_class: host.traffic_class() | if draft.ecn_capable { ECT_0 } else { 0 },
            flow_label: host.flow_label(),
            // A packet without fragments to come may always forbid them (rule H10.3).
            dont_fragment: true,
        }
    }

    /// The IP version of the flow.
    pub(super) fn version(&self) -> IpVersion {
        IpVersion::of(self.key.inner())
    }
}

/// Source and destination of packets that travel in `direction`.
fn ends(
    key: &crate::flow::FlowKey,
    direction: Direction,
) -> (core::net::IpAddr, u16, core::net::IpAddr, u16) {
    match direction {
        Direction::InnerToOuter => (key.inner(), key.inner_port(), key.outer(), key.outer_port()),
        Direction::OuterToInner => (key.outer(), key.outer_port(), key.inner(), key.inner_port()),
    }
}
