//! Segments on their way out.

use localack_core::Instant;

use super::clock::{SECOND, since};
use super::host::{Life, LinuxHost};
use super::position::FIRST_OCTET;
use super::send::transmit::Outgoing;
use crate::packet::{Flags, IpFields, Layout, Options, Packet};

/// Least time between answers to unacceptable segments without data (`tcp_invalid_ratelimit`).
const CHALLENGE_EVERY: u64 = SECOND / 2;
/// ECT(0).
const ECT: u8 = 2;

impl LinuxHost {
    /// Sends what may be sent, and an acknowledgement if none of it carried one.
    pub(super) fn transmit(&mut self, now: Instant) {
        if self.receiver.acks.now && self.receiver.sacks.waiting() > 0 {
            // Full-size segments have no room for SACK blocks.
            self.send_ack(now);
        }
        while let Some(segment) = self.sender.next_segment(now) {
            self.send_segment(now, segment);
        }
        if self.receiver.acks.now {
            self.send_ack(now);
        }
    }

    fn send_segment(&mut self, now: Instant, segment: Outgoing) {
        let offset = segment.start.saturating_sub(FIRST_OCTET);
        let payload = self.content.octets(offset, segment.length());
        let mut flags = Flags::ACK;
        if segment.push {
            flags = flags | Flags::PSH;
        }
        if segment.fin {
            flags = flags | Flags::FIN;
        }
        if segment.cwr {
            flags = flags | Flags::CWR;
        }
        let carries = segment.fin || !payload.is_empty();
        if carries {
            self.receiver.acks.data_sent(now);
        } else {
            self.sender.stats.acks_sent += 1;
        }
        let marked = self.sender.ecn && !segment.again && !payload.is_empty();
        self.send_established(now, flags, segment.start, payload, marked);
    }

    /// Sends an acknowledgement without data.
    pub(super) fn send_ack(&mut self, now: Instant) {
        self.sender.stats.acks_sent += 1;
        let seq = self.sender.nxt;
        self.send_established(now, Flags::ACK, seq, Vec::new(), false);
    }

    /// Answers an unacceptable segment (RFC 5961): not too often, if it has no data.
    pub(super) fn challenge(&mut self, now: Instant, has_data: bool) {
        let recent = self
            .last_challenge
            .is_some_and(|at| since(now, at) < CHALLENGE_EVERY);
        if recent && !has_data {
            return;
        }
        if !has_data {
            self.last_challenge = Some(now);
        }
        self.sender.stats.challenges += 1;
        if self.life == Life::Open {
            self.send_ack(now);
        }
    }

    fn send_established(
        &mut self,
        now: Instant,
        mut flags: Flags,
        position: u64,
        payload: Vec<u8>,
        marked: bool,
    ) {
        let mut options = Options::default();
        let mut room = 40;
        if self.sender.stamps {
            options.timestamps = Some((self.stamps.value(now), self.stamps.echo()));
            room -= 12;
        }
        let free = u32::from(self.config.mtu).saturating_sub(self.config.header() + 40 - room);
        let free = free.saturating_sub(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        if self.sender.sack {
            let blocks = (free.min(room).saturating_sub(4) / 8) as usize;
            let wire = |position| self.theirs.wire(position);
            let blocks = self.receiver.sacks.blocks(blocks).into_iter();
            options.sack = blocks
                .map(|(left, right)| (wire(left), wire(right)))
                .collect();
        }
        if self.echo_congestion {
            flags = flags | Flags::ECE;
        }
        let receiver = &mut self.receiver;
        let (held, mss) = (receiver.held(), receiver.acks.peer_mss);
        let window = receiver.window.announce(receiver.rcv_nxt, held, mss);
        receiver.acks.sent();
        self.send_packet(flags, position, window, options, payload, marked);
    }

    /// Resets the peer: there is no connection that its segment belongs to.
    pub(super) fn refuse(&mut self, packet: &Packet) {
        if packet.flags.has(Flags::RST) || !packet.flags.has(Flags::ACK) {
            return;
        }
        let reset = Packet {
            source: self.config.own,
            destination: self.config.peer,
            ip: IpFields::default(),
            flags: Flags::RST,
            seq: packet.ack,
            ack: 0,
            window: 0,
            urgent: 0,
            options: Options::default(),
            payload: Vec::new(),
        };
        self.outgoing.push(reset.encode(Layout::Aligned));
    }

    pub(super) fn send_packet(
        &mut self,
        flags: Flags,
        position: u64,
        window: u16,
        options: Options,
        payload: Vec<u8>,
        marked: bool,
    ) {
        let acknowledges = flags.has(Flags::ACK);
        let packet = Packet {
            source: self.config.own,
            destination: self.config.peer,
            ip: IpFields {
                traffic_class: if marked { ECT } else { 0 },
                ..IpFields::default()
            },
            flags,
            seq: self.own.wire(position),
            ack: if acknowledges {
                self.theirs.wire(self.receiver.rcv_nxt)
            } else {
                0
            },
            window,
            urgent: 0,
            options,
            payload,
        };
        self.outgoing.push(packet.encode(Layout::Aligned));
    }
}
