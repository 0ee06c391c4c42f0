//! What a listening host makes of SYNs and of what follows them, where that is not the usual: SYN cookies,
//! a full accept queue, TCP_DEFER_ACCEPT. Until it has made a connection of it, whoever has sent a third
//! ACK knows nothing of that.

use localack_core::Instant;

use super::fault::FaultKind;
use super::handshake::Handshake;
use super::host::{Life, LinuxHost};
use super::position::{FIRST_OCTET, Space};
use super::stamps::Stamps;
use crate::packet::{Flags, Options, Packet};

/// How a host listens; the default is a host with room for everybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Listening {
    /// It answers SYNs and keeps nothing of them (SYN cookies): the first acknowledgement must bring back
    /// all that it has to know, and stand at the SYN's number plus one.
    pub cookies: bool,
    /// Until then nobody accepts connections, and the queue for them is full: acknowledgements and data
    /// are dropped, and SYN-ACKs repeated.
    pub full_until: Option<Instant>,
    /// For so many SYN-ACKs an acknowledgement without data makes no connection (TCP_DEFER_ACCEPT).
    pub defers: u32,
}

/// Bits of a SYN-ACK's TSval that say what the SYN offered (`TSBITS`), and those of the window scale.
const STAMP_BITS: u32 = 6;
const NO_SCALE: u32 = 0xf;
/// What a cookie can say of the MSS (`msstab`).
const SIZES: [u16; 4] = [1460, 1440, 1300, 536];

impl LinuxHost {
    /// A segment for a host without any connection.
    pub(super) fn on_listening(&mut self, now: Instant, packet: &Packet) {
        let flags = packet.flags;
        if flags.has(Flags::SYN) && !flags.has(Flags::ACK) {
            self.on_syn(now, packet);
            return;
        }
        if !self.config.listening.cookies || !self.is_cookie(packet) {
            if self.config.strict && !flags.has(Flags::RST) {
                self.faults.add(now, FaultKind::OutOfTurn);
            }
            self.refuse(packet);
            return;
        }
        if self.is_full(now) {
            return;
        }
        self.recall(now, packet);
        self.on_third_ack(now, packet);
        self.on_segment(now, packet);
    }

    /// Whether the third ACK makes a connection. What it does not take makes none either.
    pub(super) fn accepts(&mut self, now: Instant, packet: &Packet) -> bool {
        let bare = packet.seq_len() == 0;
        let deferred = bare && self.handshake.repeats() < self.config.listening.defers;
        self.handshake.acked = true;
        !deferred && !self.is_full(now)
    }

    /// Whether a SYN-ACK is repeated: one whose acknowledgement only waits for data is not, until the
    /// last moment (`syn_ack_recalc`).
    pub(super) fn repeats_syn_ack(&self) -> bool {
        let defers = self.config.listening.defers;
        defers == 0 || !self.handshake.acked || self.handshake.repeats() >= defers
    }

    fn is_full(&self, now: Instant) -> bool {
        let until = self.config.listening.full_until;
        until.is_some_and(|until| now < until)
    }

    /// Answers a SYN with a cookie. What the host remembers of it is what the cookie stands for.
    pub(super) fn offer_cookie(&mut self, now: Instant, packet: &Packet) {
        let size = packet.options.mss.unwrap_or(536);
        let size = SIZES.into_iter().find(|&known| known <= size);
        self.handshake.cookie = Some((packet.seq, size.unwrap_or(536)));
        self.life = Life::SynReceived;
        self.send_syn(now);
        self.life = Life::Listening;
    }

    /// Whether an acknowledgement holds the cookie of the SYN that came before its number.
    fn is_cookie(&self, packet: &Packet) -> bool {
        let made_for = self.handshake.cookie.map(|(isn, _)| isn.wrapping_add(1));
        packet.flags.has(Flags::ACK)
            && !packet.flags.has(Flags::RST)
            && packet.ack == self.own.wire(FIRST_OCTET)
            && made_for == Some(packet.seq)
    }

    /// TSval of a SYN-ACK: with a cookie its last bits say what the SYN offered, and it is not ahead of
    /// the clock (`cookie_init_timestamp`).
    pub(super) fn syn_ack_stamp(&self, now: Instant) -> u32 {
        let value = self.stamps.value(now);
        if !self.config.listening.cookies {
            return value;
        }
        let offered = &self.handshake.offered;
        let scale = offered.window_scale.map_or(NO_SCALE, u32::from);
        let ecn = u32::from(self.handshake.ecn);
        let bits = scale | u32::from(offered.sack_permitted) << 4 | ecn << 5;
        let coded = value >> STAMP_BITS << STAMP_BITS | bits;
        if coded.wrapping_sub(value).cast_signed() > 0 {
            coded.wrapping_sub(1 << STAMP_BITS)
        } else {
            coded
        }
    }

    /// All that is known of the peer is what its acknowledgement says.
    fn recall(&mut self, now: Instant, packet: &Packet) {
        let size = self.handshake.cookie.map(|(_, size)| size);
        self.peer_isn = packet.seq.wrapping_sub(1);
        self.theirs = Space::new(self.peer_isn);
        self.stamps = Stamps::new(self.config.timestamp_offset);
        let stamped = packet.options.timestamps.filter(|_| self.config.timestamps);
        let bits = stamped.map_or(NO_SCALE, |(_, echo)| echo);
        let scale = bits & NO_SCALE;
        self.handshake = Handshake {
            offered: Options {
                mss: size,
                window_scale: u8::try_from(scale).ok().filter(|_| scale != NO_SCALE),
                sack_permitted: stamped.is_some() && bits >> 4 & 1 == 1,
                timestamps: stamped,
                ..Options::default()
            },
            ecn: stamped.is_some() && bits >> 5 & 1 == 1,
            ..Handshake::default()
        };
        if let Some((value, _)) = stamped {
            self.stamps.take(now, value);
        }
    }
}
