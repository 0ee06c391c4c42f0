//! Taking a sender's data into custody (section 1.5 of the protocol's rules).

use super::Work;
use crate::flow::FlowFlags;
use crate::flow::stream::StreamFlags;
use crate::policy::Direction;
use crate::seq::{SeqNum, SeqRange};
use crate::sink::{Checksum, PacketMeta, Sink};
use crate::time::{Moment, Stamp};
use crate::wire::{Flags, Segment, checksum};

/// What became of a segment's data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Intake {
    /// It has none.
    Nothing,
    /// It extends what is stored in order. `direct` says that the packet itself may be its first
    /// transmission.
    InOrder { direct: bool, filled_gap: bool },
    /// It is held out of order.
    Held,
    /// All of it is known already.
    Duplicate,
    /// A FIN that was seen before, without new data.
    DuplicateFin,
    /// An octet beyond a closed window, sent to learn when it opens (rule H2.6).
    Probe,
    /// None of it lies in the window.
    OutOfWindow,
    /// It lies behind the sender's own FIN (rule H6.4).
    BeyondFin,
    /// There is no memory for it (rule H5.5).
    NoMemory,
}

/// The segment's TCP checksum is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Corrupt;

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Verifies a segment whose data is not stored (rule H1.9).
    pub(super) fn verify(packet: &[u8], seg: &Segment, meta: PacketMeta) -> Result<(), Corrupt> {
        if meta.checksum == Checksum::Verify && !checksum::verify(packet, seg) {
            Err(Corrupt)
        } else {
            Ok(())
        }
    }

    /// Stores what is new in a segment of a served direction. Nothing changes if its checksum is
    /// wrong, and nothing counts as stored that is not (rules H5.4 and H5.5).
    ///
    /// # Errors
    /// [`Corrupt`] if the checksum is wrong.
    pub(super) fn take_data(
        &mut self,
        direction: Direction,
        packet: &[u8],
        seg: &Segment,
        meta: PacketMeta,
    ) -> Result<Intake, Corrupt> {
        let stream = self.flow.stream(direction);
        let (start, end) = (seg.seq, seg.seq.advance(seg.payload_len));
        let rcv_nxt = stream.rcv_nxt();
        let limit = stream.fin().unwrap_or(stream.recv.edge);
        let is_new = seg.has_payload() && end.after(rcv_nxt) && start.before(limit);
        if !is_new {
            Self::verify(packet, seg, meta)?;
            let intake = self.known_data(direction, packet, seg);
            return Ok(self.take_fin(direction, seg, intake));
        }
        self.restart_after_idle(direction);
        let direct = self.may_go_direct(direction, seg, meta);
        let push = seg.flags.contains(Flags::PSH);
        let stream = self.flow.stream_mut(direction);
        let limit = limit.earliest(stream.recv.edge);
        let held_before = stream.chain.octets_ahead();
        let staged = self
            .pool
            .store(&mut stream.chain, start, seg.payload(packet), limit, push);
        if meta.checksum == Checksum::Verify {
            let mut sum = checksum::header_sum(packet, seg);
            sum.combine(staged.sum());
            if sum.fold() != 0xffff {
                return Err(Corrupt);
            }
        }
        let stored = staged.commit();
        let recv = &mut stream.recv;
        recv.seq_max = recv.seq_max.latest(end.earliest(limit));
        recv.data_at = Moment::at(self.now);
        stream.flags.clear(StreamFlags::REOPENED);
        recv.window_due = Stamp::NEVER;
        if stored.more() {
            stream.flags.set(StreamFlags::WALK_OWED);
        }
        if stored.differs() {
            self.counters.conflicts = self.counters.conflicts.saturating_add(1);
        }
        let advanced = stored.advanced();
        let intake = if !advanced.is_empty() {
            let filled_gap = !recv.held().is_empty();
            recv.prune_held(stream.chain.end());
            Intake::InOrder {
                direct: direct && advanced.end().at_or_after(end),
                filled_gap,
            }
        } else if !stored.held().is_empty() {
            recv.note_held(stored.held());
            if stream.chain.octets_ahead() == held_before {
                Intake::Duplicate
            } else {
                Intake::Held
            }
        } else {
            Intake::NoMemory
        };
        if start.before(rcv_nxt) {
            self.compare(direction, packet, seg);
        }
        Ok(self.take_fin(direction, seg, intake))
    }

    /// A segment that brings no new data.
    fn known_data(&mut self, direction: Direction, packet: &[u8], seg: &Segment) -> Intake {
        if !seg.has_payload() {
            return Intake::Nothing;
        }
        let stream = self.flow.stream(direction);
        let end = seg.seq.advance(seg.payload_len);
        if end.at_or_before(stream.rcv_nxt()) {
            self.compare(direction, packet, seg);
            return Intake::Duplicate;
        }
        if stream.fin().is_some_and(|fin| seg.seq.at_or_after(fin)) {
            return Intake::BeyondFin;
        }
        let is_shut = stream.recv.edge == stream.rcv_nxt();
        if is_shut && seg.seq == stream.recv.edge {
            Intake::Probe
        } else {
            Intake::OutOfWindow
        }
    }

    /// Counts a repetition whose octets are not those of the first copy, which stays (rule H5.2).
    fn compare(&mut self, direction: Direction, packet: &[u8], seg: &Segment) {
        let chain = &self.flow.stream(direction).chain;
        if !self.pool.matches(chain, seg.seq, seg.payload(packet)) {
            self.counters.conflicts = self.counters.conflicts.saturating_add(1);
        }
    }

    /// Notes a FIN, which is delivered but not acknowledged early (rule H6.1).
    fn take_fin(&mut self, direction: Direction, seg: &Segment, intake: Intake) -> Intake {
        if !seg.flags.contains(Flags::FIN) {
            return intake;
        }
        let fin = seg.seq.advance(seg.payload_len);
        let patience = Stamp::at(self.now.after(self.config.debt_time));
        let closing = self.now.after(self.config.closing_time);
        let stream = self.flow.stream_mut(direction);
        if stream.fin().is_some() {
            return if intake == Intake::Nothing || intake == Intake::Duplicate {
                Intake::DuplicateFin
            } else {
                intake
            };
        }
        // A bare FIN is accepted at a closed window too (rule H6.4).
        if fin.before(stream.rcv_nxt()) || fin.after(stream.recv.edge) || intake == Intake::NoMemory
        {
            return intake;
        }
        stream.recv.fin = fin;
        stream.recv.seq_max = stream.recv.seq_max.latest(fin.advance(1));
        stream.flags.set(StreamFlags::FIN_SEEN);
        if stream.acks_early() {
            stream.patience = patience;
        }
        let bare = intake == Intake::Nothing || intake == Intake::Duplicate;
        let in_order = fin == stream.rcv_nxt();
        let direct = stream.send.snd_nxt == fin
            && seg.seq == fin
            && fin.at_or_before(stream.send.usable_edge());
        self.flow.end_by(closing, self.now);
        match (bare, in_order) {
            (true, true) => Intake::InOrder {
                direct,
                filled_gap: false,
            },
            (true, false) => Intake::Held,
            (false, _) => intake,
        }
    }

    /// Whether the packet itself may be the first transmission of its data: nothing is queued
    /// ahead of it, and the receiver's and the congestion window let it pass.
    fn may_go_direct(&self, direction: Direction, seg: &Segment, meta: PacketMeta) -> bool {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        let end = seg.seq_end();
        let segment = if meta.gso_size > 0 {
            u32::from(meta.gso_size)
        } else {
            seg.payload_len
        };
        let stamped = seg.options.timestamps.is_some() || !self.has(FlowFlags::TIMESTAMPS);
        let ecn = Flags::ECE.union(Flags::CWR);
        let plain = Flags::ACK.union(Flags::PSH).union(Flags::FIN).union(ecn);
        stamped
            && self.may_go_with_its_mark(direction, seg)
            && seg.options.unusual.is_empty()
            && seg.flags.without(plain) == Flags::NONE
            && seg.seq == send.snd_nxt
            && seg.seq == stream.rcv_nxt()
            && stream.fin().is_none()
            && segment <= u32::from(send.mss())
            && end.at_or_before(send.usable_edge())
            && send.lost.is_empty()
            && !stream.flags.has(StreamFlags::HELD)
            && self.goes_in_a_burst(direction, seg.payload_len)
            && self.pipe(direction).saturating_add(seg.payload_len)
                <= send.congestion.cwnd().max(u32::from(send.mss()))
    }

    /// Decides when the segment just taken in is acknowledged (rule H5.6): at once if anything is
    /// unusual or the delay is zero, else with the second full segment or when the delay ends.
    pub(super) fn schedule_ack(&mut self, direction: Direction, seg: &Segment, intake: Intake) {
        let thinned = if self.arranged {
            self.thinned_delay(direction)
        } else {
            0
        };
        let (delay, now) = (self.flow.ack_delay.max(thinned), self.now);
        let is_enough = thinned > 0 && self.is_enough_to_acknowledge(direction);
        let marked = self.is_marked(seg);
        let stream = self.flow.stream_mut(direction);
        let Intake::InOrder { filled_gap, .. } = intake else {
            stream.flags.set(StreamFlags::ACK_OWED);
            return;
        };
        let segments = seg
            .payload_len
            .div_ceil(u32::from(stream.send.mss()).max(1));
        let at_once = delay == 0
            || filled_gap
            || seg.flags.intersects(Flags::PSH.union(Flags::FIN))
            || marked
            || is_enough
            || (thinned == 0 && (segments >= 2 || stream.recv.ack_due.is_set()));
        if at_once {
            stream.flags.set(StreamFlags::ACK_OWED);
        } else if !stream.recv.ack_due.is_set() {
            stream.recv.ack_due =
                Stamp::at(now.after(core::time::Duration::from_micros(delay.into())));
        }
    }

    /// The part of a segment that was known before it came, for a D-SACK block (RFC 2883).
    pub(super) fn repeated(
        &self,
        direction: Direction,
        seg: &Segment,
        rcv_nxt: SeqNum,
        intake: Intake,
    ) -> SeqRange {
        let whole = SeqRange::new(seg.seq, seg.seq.advance(seg.payload_len));
        let recv = &self.flow.stream(direction).recv;
        let acknowledged = recv.ack_sent;
        // The store may have had no room for the end of it.
        let held = recv.held().first().copied().unwrap_or_default();
        match intake {
            Intake::Duplicate if seg.seq.at_or_after(rcv_nxt) => whole.intersection(held),
            Intake::Duplicate | Intake::DuplicateFin | Intake::InOrder { .. } => SeqRange::new(
                whole.start(),
                whole.end().earliest(rcv_nxt).earliest(acknowledged),
            ),
            Intake::Nothing
            | Intake::Held
            | Intake::Probe
            | Intake::OutOfWindow
            | Intake::BeyondFin
            | Intake::NoMemory => SeqRange::default(),
        }
    }
}
