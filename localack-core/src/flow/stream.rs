//! One direction of a flow's data: the half that faces its sender, what is in custody, and the
//! half that faces its receiver.

use crate::half::recv::{MAX_SACK, RecvHalf};
use crate::half::send::{SendFlags, SendHalf};
use crate::policy::Service;
use crate::pool::Chain;
use crate::seq::{SeqNum, SeqRange};
use crate::shaping::ShapingId;
use crate::stats::DirectionMode;
use crate::time::Stamp;

/// The state of one direction. In `Bypass` it is only watched, so that service may begin later.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Stream {
    /// A [`DirectionMode`] in the low half, a [`Service`] in the high half.
    mode_and_service: u8,
    /// A [`ShapingId`] in the low half, and [`Self::SNOOPS`]: all zeroes where nothing but bypass and local
    /// acknowledgement is asked for.
    arrangement: u8,
    pub(crate) flags: StreamFlags,
    /// While draining: when patience ends. In `Bypass`: until when promotion waits. After a FIN:
    /// when the debt counts as slow.
    pub(crate) patience: Stamp,
    pub(crate) recv: RecvHalf,
    pub(crate) chain: Chain,
    pub(crate) send: SendHalf,
}

/// What is so, or is owed, in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct StreamFlags(u16);

impl StreamFlags {
    pub(crate) const NONE: Self = Self(0);
    /// The sender's FIN was seen; `recv.fin` is its sequence number.
    pub(crate) const FIN_SEEN: Self = Self(1);
    /// The receiver is known to be established (rule H7.1).
    pub(crate) const PROVEN: Self = Self(1 << 1);
    /// An acknowledgement is owed to the sender now.
    pub(crate) const ACK_OWED: Self = Self(1 << 2);
    /// A larger window is owed to the sender now.
    pub(crate) const WINDOW_OWED: Self = Self(1 << 3);
    /// The sender's newest acknowledgement is owed to the receiver (rule H5.10).
    pub(crate) const RELAY_OWED: Self = Self(1 << 4);
    /// The window was reopened and the sender has not used it yet (rule H2.6).
    pub(crate) const REOPENED: Self = Self(1 << 5);
    /// The sender asked whether the receiver lives; the answer waits for a sign (rule H9.1).
    pub(crate) const KEEPALIVE_HELD: Self = Self(1 << 6);
    /// The sender's keepalive went on to the receiver, whose answer must come back (rule H9.1).
    pub(crate) const KEEPALIVE_PASSED: Self = Self(1 << 7);
    /// The receiver may be dead: acknowledge nothing early until it is heard (rule H8.4).
    pub(crate) const SUSPECT: Self = Self(1 << 8);
    /// Losses are being repaired; `send.recover` ends it (RFC 6582, RFC 6675).
    pub(crate) const RECOVERY: Self = Self(1 << 9);
    /// The first retransmission of this recovery is not out yet and needs no window.
    pub(crate) const FIRST_REPAIR: Self = Self(1 << 10);
    /// The path to the receiver is dead: the engine probes it for all of its flows, and this one sends
    /// nothing by itself.
    pub(crate) const HELD: Self = Self(1 << 11);
    /// `send.probe` into the closed window is owed.
    pub(crate) const PROBE_OWED: Self = Self(1 << 12);
    /// There is urgent data before `recv.urgent` (rule H5.8).
    pub(crate) const URGENT: Self = Self(1 << 13);
    /// Something was SACKed to the sender; `recv.sacked_to` is the highest edge (rule H4.2).
    pub(crate) const SACK_PROMISED: Self = Self(1 << 14);
    /// A walk over the chain was cut short and goes on at the next poll.
    pub(crate) const WALK_OWED: Self = Self(1 << 15);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) const fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    pub(crate) const fn put(&mut self, other: Self, on: bool) {
        if on {
            self.set(other)
        } else {
            self.clear(other)
        }
    }

    /// Clears a flag and says whether it was set.
    pub(crate) const fn take(&mut self, other: Self) -> bool {
        let was = self.has(other);
        self.clear(other);
        was
    }
}

impl Stream {
    /// Copies are kept or asked for.
    const SNOOPS: u8 = 1 << 4;
    /// The modes in which the engine answers for the data are 1 to 3.
    const MODES_ACTIVE: u8 = 0b11;
    const MODE_SNOOP: u8 = 1 << 3;
    const PLAINLY_SERVED: u8 =
        Self::code_of_mode(DirectionMode::LocalAck) | Self::code_of_service(Service::LocalAck) << 4;

    pub(crate) const EMPTY: Self = Self {
        mode_and_service: 0,
        arrangement: 0,
        flags: StreamFlags::NONE,
        patience: Stamp::NEVER,
        recv: RecvHalf::EMPTY,
        chain: Chain::EMPTY,
        send: SendHalf::EMPTY,
    };

    pub(crate) const fn mode(&self) -> DirectionMode {
        match self.mode_and_service & 0xf {
            1 => DirectionMode::StoreAndForward,
            2 => DirectionMode::LocalAck,
            3 => DirectionMode::Draining,
            Self::MODE_SNOOP => DirectionMode::Snoop,
            _ => DirectionMode::Bypass,
        }
    }

    /// Whether the memory says a mode that there is.
    pub(crate) const fn has_mode(&self) -> bool {
        let code = self.mode_and_service & 0xf;
        code <= Self::MODES_ACTIVE || code == Self::MODE_SNOOP
    }

    pub(crate) const fn set_mode(&mut self, mode: DirectionMode) {
        self.mode_and_service = self.mode_and_service & 0xf0 | Self::code_of_mode(mode);
        self.note_arrangement();
    }

    const fn code_of_mode(mode: DirectionMode) -> u8 {
        match mode {
            DirectionMode::Bypass => 0,
            DirectionMode::StoreAndForward => 1,
            DirectionMode::LocalAck => 2,
            DirectionMode::Draining => 3,
            DirectionMode::Snoop => Self::MODE_SNOOP,
        }
    }

    /// Whether the stream goes by, and nothing else is asked for, nor is it at its end.
    pub(crate) const fn is_only_watched(&self) -> bool {
        self.mode_and_service == 0 && !self.is_arranged() && !self.flags.has(StreamFlags::FIN_SEEN)
    }

    /// Whether the stream is acknowledged early, and nothing else is asked for.
    pub(crate) const fn is_plainly_served(&self) -> bool {
        self.mode_and_service == Self::PLAINLY_SERVED && !self.is_arranged()
    }

    /// The service that is asked for.
    pub(crate) const fn service(&self) -> Service {
        match self.mode_and_service >> 4 {
            1 => Service::LocalAck,
            2 => Service::Snoop,
            _ => Service::Bypass,
        }
    }

    pub(crate) const fn set_service(&mut self, service: Service) {
        self.mode_and_service = self.mode_and_service & 0xf | Self::code_of_service(service) << 4;
        self.note_arrangement();
    }

    const fn code_of_service(service: Service) -> u8 {
        match service {
            Service::Bypass => 0,
            Service::LocalAck => 1,
            Service::Snoop => 2,
        }
    }

    /// What else is done with the direction's packets.
    pub(crate) const fn shaping(&self) -> ShapingId {
        ShapingId::decode(self.arrangement)
    }

    pub(crate) const fn set_shaping(&mut self, shaping: ShapingId) {
        self.arrangement = self.arrangement & Self::SNOOPS | shaping.number();
    }

    /// Notes whether copies are kept or asked for.
    const fn note_arrangement(&mut self) {
        let snoops = self.snoops() || matches!(self.service(), Service::Snoop);
        self.arrangement &= !Self::SNOOPS;
        if snoops {
            self.arrangement |= Self::SNOOPS;
        }
    }

    /// Whether a window or an acknowledgement that goes by is held back for a time.
    pub(crate) const fn holds_back(&self) -> bool {
        self.send.pace_due.is_set() || self.recv.ack_due.is_set()
    }

    /// Whether anything but bypass and local acknowledgement is asked for, or in force.
    pub(crate) const fn is_arranged(&self) -> bool {
        self.arrangement != 0
    }

    /// Whether copies of the direction's data are kept, and nothing is acknowledged (rule H13.3).
    pub(crate) const fn snoops(&self) -> bool {
        self.mode_and_service & Self::MODE_SNOOP != 0
    }

    /// Lets the stream begin at `at`, with nothing in flight.
    pub(crate) const fn start_at(&mut self, at: SeqNum) {
        self.send.start_at(at);
        self.chain.follow(at);
    }

    /// Follows a segment of a watched stream that goes by: `range` is its place, `tsval` its
    /// timestamp.
    pub(crate) fn watch(&mut self, range: SeqRange, tsval: Option<u32>) {
        let rcv_nxt = self.rcv_nxt();
        // A timestamp that has overtaken data must not be used before the data (rule H3.2).
        if let Some(val) = tsval {
            // A FIN is in no copy, but it goes by like data.
            let expected = match self.fin() {
                Some(fin) if fin == rcv_nxt => fin.advance(1),
                _ => rcv_nxt,
            };
            self.recv.note_timestamp(val, range.start(), expected);
        }
        if range.is_empty() {
            // An acknowledgement shows where its sender is, but brings nothing there.
            return;
        }
        if range.start().at_or_before(rcv_nxt) {
            self.chain.follow(rcv_nxt.latest(range.end()));
            self.watch_islands();
        } else {
            self.recv.note_held(range);
        }
        self.send.snd_nxt = self.send.snd_nxt.latest(range.end());
    }

    /// What went by before a hole that is filled now has gone by in order.
    fn watch_islands(&mut self) {
        for _ in 0..MAX_SACK {
            let rcv_nxt = self.rcv_nxt();
            let reach = |block: &&SeqRange| block.start().at_or_before(rcv_nxt);
            let Some(&island) = self.recv.held().iter().find(reach) else {
                return;
            };
            self.chain.follow(rcv_nxt.latest(island.end()));
            self.recv.prune_held(self.rcv_nxt());
        }
    }

    /// Follows an acknowledgement of a watched stream.
    pub(crate) fn watch_ack(&mut self, ack: SeqNum) {
        self.send.snd_una = self.send.snd_una.latest(ack);
        self.send.snd_nxt = self.send.snd_nxt.latest(self.send.snd_una);
        self.chain.follow(self.rcv_nxt().latest(self.send.snd_una));
        if !self.recv.held().is_empty() {
            self.recv.prune_held(self.rcv_nxt());
            self.watch_islands();
        }
    }

    /// The furthest that a window offered to the sender of a watched stream may have reached: by the
    /// receiver, or by the engine before it let go.
    pub(crate) fn widest_edge(&self) -> SeqNum {
        self.send.widest_edge().latest(self.recv.edge)
    }

    /// Whether the sender may have gone past its receiver's window, because the engine has offered it more
    /// (rule H2.11).
    pub(crate) const fn overruns(&self) -> bool {
        self.send.flags.has(SendFlags::OVERRUNS)
    }

    /// Whether the engine stores this direction's data and answers for it.
    pub(crate) const fn is_active(&self) -> bool {
        self.mode_and_service & Self::MODES_ACTIVE != 0
    }

    /// Whether nothing is done with its data.
    pub(crate) const fn is_bypassed(&self) -> bool {
        self.mode_and_service & 0xf == 0
    }

    /// Whether octets may be acknowledged before their receiver has them.
    pub(crate) const fn acks_early(&self) -> bool {
        matches!(self.mode(), DirectionMode::LocalAck) && !self.flags.has(StreamFlags::SUSPECT)
    }

    /// RCV.NXT toward the sender: the end of what is stored in order, the FIN not counted (*L*). Of
    /// a stream that is only watched: the end of what went by without a hole (*Xc*).
    pub(crate) const fn rcv_nxt(&self) -> SeqNum {
        self.chain.end()
    }

    /// The sequence number of the sender's FIN, if it was seen.
    pub(crate) const fn fin(&self) -> Option<SeqNum> {
        if self.flags.has(StreamFlags::FIN_SEEN) {
            Some(self.recv.fin)
        } else {
            None
        }
    }

    /// Whether the receiver has acknowledged the FIN.
    pub(crate) fn is_finished(&self) -> bool {
        self.fin().is_some_and(|fin| self.send.snd_una.after(fin))
    }

    /// What the sender sends next if it has sent nothing new: the end of what is stored, or past a
    /// FIN that the receiver has acknowledged.
    pub(crate) fn next_expected(&self) -> SeqNum {
        match self.fin() {
            Some(fin) if self.is_finished() => fin.advance(1),
            _ => self.rcv_nxt(),
        }
    }

    /// Whether the receiver's own acknowledgement goes further than what its sender was told, and
    /// nothing but it can tell the sender: before and after custody, and of a FIN.
    pub(crate) fn owes_word_of_receiver(&self) -> bool {
        self.is_active()
            && (!self.acks_early()
                || self.is_finished()
                || self.send.snd_una.after(self.recv.ack_sent))
            && self.ack_point().after(self.recv.ack_sent)
    }

    /// What may be acknowledged to the sender now: everything stored where custody has begun (but
    /// not up to where a walk has stopped for now, because SACKed octets go on there, and an
    /// acknowledgement that ends before them takes them back, rule H4.2),
    /// else what was promised, SACKed octets included once what was missing before them is there, and
    /// what the receiver has acknowledged itself. Never the FIN before the receiver does (rule H6.1),
    /// and never less than before (invariant 3).
    pub(crate) fn ack_point(&self) -> SeqNum {
        let una = self.send.snd_una;
        let early = if self.flags.has(StreamFlags::WALK_OWED) {
            una
        } else if self.acks_early() {
            self.rcv_nxt()
        } else if self.is_draining() && self.owes_sacked() {
            self.rcv_nxt().earliest(self.recv.sacked_to)
        } else {
            una
        };
        una.latest(early).latest(self.recv.ack_sent)
    }

    /// Whether the direction is on its way out of service.
    pub(crate) const fn is_draining(&self) -> bool {
        matches!(self.mode(), DirectionMode::Draining)
    }

    /// Whether octets that are held out of order may be SACKed to their sender: they are promised to
    /// stay (rule H4.2), and all before the hole is acknowledged, so that it does not look lost. Not
    /// before proof, because with the hole what is SACKed is acknowledged, too (rule H7.1).
    pub(crate) fn sacks(&self) -> bool {
        let drains = self.is_draining() && self.flags.has(StreamFlags::PROVEN);
        self.acks_early() || (drains && self.ack_point() == self.rcv_nxt())
    }

    /// Whether the first octet that is not acknowledged, or the FIN, fits the receiver's window.
    pub(crate) fn head_fits(&self) -> bool {
        let una = self.send.snd_una;
        una.before(self.send.usable_edge()) || self.fin() == Some(una)
    }

    /// Whether the receiver's window lets a new segment go: a full one, or all that waits. What is left
    /// of a window that is shut but for less holds sending back as if it were shut.
    pub(crate) fn may_send_more(&self) -> bool {
        let send = &self.send;
        let waiting = self.rcv_nxt().octets_past(send.snd_nxt);
        let open = send.usable_edge().octets_past(send.snd_nxt);
        open > 0 && waiting > 0 && open >= waiting.min(send.mss().into())
    }

    /// Octets that the sender believes delivered and that the receiver has not acknowledged.
    pub(crate) fn debt(&self) -> u32 {
        if self.is_active() {
            self.recv.ack_sent.octets_past(self.send.snd_una)
        } else {
            0
        }
    }

    /// Whether everything acknowledged or SACKed to the sender has been acknowledged by the
    /// receiver.
    pub(crate) fn owes_nothing(&self) -> bool {
        self.debt() == 0 && !self.owes_sacked()
    }

    /// Whether something SACKed to the sender is still held for the receiver (rule H4.2).
    pub(crate) fn owes_sacked(&self) -> bool {
        self.is_active()
            && self.flags.has(StreamFlags::SACK_PROMISED)
            && self.recv.sacked_to.after(self.send.snd_una)
    }

    /// Octets on their way to the receiver, as far as is known (RFC 6675 `pipe`).
    ///
    /// Without SACK each duplicate acknowledgement stands for a segment that has arrived
    /// (RFC 6582 section 3.2).
    pub(crate) fn pipe(&self, sack: bool) -> u32 {
        let arrived = if sack {
            self.chain.octets_sacked()
        } else {
            // No more than was in flight when the first of them came, and before that two segments
            // (limited transmit, RFC 3042): they may be made up.
            let segment = u32::from(self.send.mss());
            let in_recovery = self.send.recover.octets_past(self.send.snd_una);
            u32::from(self.send.duplicate_acks)
                .saturating_mul(segment)
                .min(in_recovery.max(segment.saturating_mul(2)))
        };
        self.send
            .in_flight()
            .saturating_sub(arrived)
            .saturating_sub(self.send.lost.octets())
    }
}

#[cfg(test)]
mod tests;
