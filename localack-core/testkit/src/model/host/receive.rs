//! What a host accepts (RFC 9293 section 3.10.7, RFC 7323 section 5, RFC 5961), as strictly as any does.

use super::{Host, State, content};
use crate::packet::{Flags, Packet};

/// Why a host did not take a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::model) enum Refusal {
    /// Its timestamp is too old.
    Stamp,
    /// It lies, or ends, beyond the window.
    Window,
    /// It acknowledges what was never sent.
    AckOfUnsent,
    /// Its acknowledgement is older than what the host was told.
    AckOld,
    /// It reports octets that were never sent.
    SackOfUnsent,
    /// It lies beyond the FIN, or is another FIN.
    BeyondFin,
    /// An octet is not what the peer has sent.
    WrongOctet(i64),
    /// The timestamp that was agreed on is missing.
    NoStamp,
}

/// Least time between two answers to segments without data, in milliseconds.
const CHALLENGE_EVERY: i64 = 500;

impl Host {
    /// Takes a segment with a right checksum; answers with what it sends, and what it did not like.
    pub(in crate::model) fn receive(
        &mut self,
        packet: &Packet,
        at_ms: i64,
    ) -> (Vec<Packet>, Option<Refusal>) {
        match self.state {
            State::Vanished => return (Vec::new(), None),
            State::Aborted | State::Reset | State::Rebooted => {
                return (self.refuse(packet, at_ms), None);
            }
            State::Alive => {}
        }
        let seq = self.peers_position(packet.seq);
        if packet.flags.has(Flags::RST) {
            return (self.take_reset(seq, at_ms), None);
        }
        if packet.flags.has(Flags::SYN) {
            return (self.challenge(at_ms, false), None);
        }
        let data = i64::from(packet.payload_len());
        let end = seq + i64::from(packet.seq_len());
        if let Some(refusal) = self.refusal(packet, seq, seq + data, end) {
            return (self.challenge(at_ms, end > seq), Some(refusal));
        }
        if end < self.last_ack || (end == seq && seq < self.last_ack) {
            self.note_duplicate(seq, seq + data);
            return (self.challenge(at_ms, end > seq), None);
        }
        if let (Some((value, _)), true) = (packet.options.timestamps, self.setup.timestamps)
            && seq <= self.last_ack
            && value.wrapping_sub(self.recent_stamp).cast_signed() >= 0
        {
            self.recent_stamp = value;
        }
        self.established = true;
        self.take_signs(packet, seq);
        let refusal = self.take_acknowledgement(packet, seq);
        self.take_octets(seq, seq + data, packet.flags.has(Flags::FIN));
        let grows = self
            .window
            .read(self.octets_in_order(), self.setup.mss.into());
        let mut out = self.send_new(2, at_ms);
        if end > seq || grows {
            let wait = self.setup.lazy && end > seq && self.early.count() == 0 && self.owed == 0;
            self.owed += 1;
            if grows || !wait || self.duplicate.is_some() {
                out.push(self.acknowledge(at_ms));
            }
        }
        (out, refusal)
    }

    fn refusal(&self, packet: &Packet, seq: i64, data_end: i64, end: i64) -> Option<Refusal> {
        if self.setup.timestamps {
            let Some((value, _)) = packet.options.timestamps else {
                return Some(Refusal::NoStamp);
            };
            if value.wrapping_sub(self.recent_stamp).cast_signed() < 0 {
                return Some(Refusal::Stamp);
            }
        }
        let edge = self.window.edge();
        let probe = seq == edge && data_end == seq + 1;
        if seq > edge || (data_end > edge && !probe) {
            return Some(Refusal::Window);
        }
        let beyond = self
            .fin
            .is_some_and(|fin| data_end > fin || (packet.flags.has(Flags::FIN) && data_end != fin));
        if beyond && end > seq {
            return Some(Refusal::BeyondFin);
        }
        let ack = self.position(packet.ack);
        if ack > self.nxt {
            return Some(Refusal::AckOfUnsent);
        }
        if ack < self.una - self.widest {
            return Some(Refusal::AckOld);
        }
        content::first_wrong(self.port.other(), seq, &packet.payload).map(Refusal::WrongOctet)
    }

    /// Marks of congestion (RFC 3168 sections 6.1.2 and 6.1.3), and of urgent octets.
    fn take_signs(&mut self, packet: &Packet, seq: i64) {
        if self.setup.ecn {
            self.owes_echo &= !packet.flags.has(Flags::CWR);
            self.owes_echo |= packet.ip.traffic_class & 3 == 3;
            self.owes_sign |= packet.flags.has(Flags::ECE);
        }
        if packet.flags.has(Flags::URG) {
            self.heard_urgent = self.heard_urgent.max(seq + i64::from(packet.urgent));
        }
    }

    fn take_acknowledgement(&mut self, packet: &Packet, seq: i64) -> Option<Refusal> {
        let ack = self.position(packet.ack);
        let mut refusal = (ack < self.una).then_some(Refusal::AckOld);
        for &(left, right) in &packet.options.sack {
            let (left, right) = (self.position(left), self.position(right));
            if right > self.nxt || left >= right {
                refusal = Some(Refusal::SackOfUnsent);
            } else if left > ack {
                self.sacked.insert(left, right);
            }
        }
        if ack >= self.una && (seq, ack) >= self.edge_by {
            self.edge_by = (seq, ack);
            let window = i64::from(packet.window) << self.setup.shift.unwrap_or(0);
            self.edge = ack + window;
            self.widest = self.widest.max(window);
        }
        self.una = self.una.max(ack);
        self.sacked.forget_below(self.una);
        refusal
    }

    fn take_octets(&mut self, seq: i64, data_end: i64, fin: bool) {
        if fin {
            self.fin = Some(data_end);
        }
        let edge = self.window.edge();
        if data_end <= edge {
            let known = self.rcv.max(seq);
            if seq < self.rcv {
                self.note_duplicate(seq, self.rcv.min(data_end));
            } else if self.early.covers(seq, data_end) {
                self.note_duplicate(seq, data_end);
            }
            self.early.insert(known, data_end);
        }
        self.rcv = self.early.end_from(self.rcv);
        if self.fin == Some(self.rcv) {
            self.rcv += 1;
        }
        self.early.forget_below(self.rcv);
    }

    const fn note_duplicate(&mut self, start: i64, end: i64) {
        if end > start {
            self.duplicate = Some((start, end));
        }
    }

    /// RFC 5961 section 3.2.
    fn take_reset(&mut self, seq: i64, at_ms: i64) -> Vec<Packet> {
        let reported = self.early.iter().next_back().map(|(_, end)| end);
        if seq == self.rcv || (self.setup.sack && reported == Some(seq)) {
            self.state = State::Reset;
            Vec::new()
        } else if seq > self.rcv && seq <= self.window.edge() {
            self.challenge(at_ms, false)
        } else {
            Vec::new()
        }
    }

    /// The answer to what is not acceptable.
    fn challenge(&mut self, at_ms: i64, has_data: bool) -> Vec<Packet> {
        let recent = self
            .challenged_at
            .is_some_and(|at| at_ms - at < CHALLENGE_EVERY);
        if !has_data && recent {
            return Vec::new();
        }
        if !has_data {
            self.challenged_at = Some(at_ms);
        }
        vec![self.acknowledge(at_ms)]
    }

    /// There is no such connection any more (RFC 9293 section 3.10.7.1).
    fn refuse(&self, packet: &Packet, at_ms: i64) -> Vec<Packet> {
        if packet.flags.has(Flags::RST) || !packet.flags.has(Flags::ACK) {
            return Vec::new();
        }
        let mut reset = self.bare(Flags::RST, self.nxt, at_ms);
        reset.seq = packet.ack;
        vec![reset]
    }
}
