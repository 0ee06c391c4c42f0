//! Segments on their way in: what is acceptable (RFC 9293 section 3.10.7, as Linux tests it).

use localack_core::Instant;

use super::fault::{FaultKind, Seen};
use super::host::{Life, LinuxHost};
use super::position::{FIRST_OCTET, ORIGIN};
use super::send::ack::{AckInfo, AckRefused};
use super::strict::Refusal;
use super::watch::Told;
use crate::packet::{Decoded, Flags, Packet};

impl LinuxHost {
    /// Takes a packet.
    pub(super) fn input(&mut self, now: Instant, octets: &[u8]) {
        self.sender.stats.segments_received += 1;
        self.faults.segment = None;
        let Ok(Decoded {
            packet,
            checksum_ok,
            ip_checksum_ok,
        }) = Packet::decode(octets)
        else {
            self.faults.add(now, FaultKind::Undecodable);
            return;
        };
        self.faults.segment = Some(Seen::new(&packet, self.peer_isn, self.config.isn));
        if !checksum_ok || !ip_checksum_ok {
            self.faults.add(now, FaultKind::BadChecksum);
            return;
        }
        if packet.source != self.config.peer || packet.destination != self.config.own {
            self.faults.add(now, FaultKind::Undecodable);
            return;
        }
        let most = u32::from(self.config.advertised_mss());
        if octets.len() > self.config.mtu.into() || packet.payload_len() > most {
            self.faults.add(now, FaultKind::Oversize);
            return;
        }
        match self.life {
            Life::Listening => self.on_listening(now, &packet),
            Life::SynSent => self.on_syn_ack(now, &packet),
            Life::SynReceived => self.on_syn_received(now, &packet),
            Life::Open => self.on_segment(now, &packet),
            Life::Dead => self.refuse(&packet),
        }
    }

    fn on_syn_received(&mut self, now: Instant, packet: &Packet) {
        if packet.flags.has(Flags::RST) {
            self.faults.add(now, FaultKind::UnexpectedReset);
            self.life = Life::Dead;
        } else if packet.flags.has(Flags::SYN) {
            if packet.seq == self.peer_isn {
                self.handshake_timer(now);
            } else {
                self.faults.add(now, FaultKind::UnexpectedSyn);
            }
        } else if packet.flags.has(Flags::ACK) {
            if packet.ack == self.own.wire(FIRST_OCTET) {
                let seq = self.theirs.position(FIRST_OCTET, packet.seq);
                let edge = FIRST_OCTET + u64::from(self.receiver.window.first_field());
                if seq < FIRST_OCTET || seq > edge {
                    // `tcp_check_req`: it makes no connection.
                    self.faults.add(now, FaultKind::BeyondWindow);
                } else if self.config.strict && self.refuses_third_ack(now, packet) {
                    self.sender.stats.refused_paws += 1;
                } else if self.accepts(now, packet) {
                    self.on_third_ack(now, packet);
                    self.on_segment(now, packet);
                }
            } else {
                self.faults.add(now, FaultKind::AckOfUnsent);
                self.refuse(packet);
            }
        } else if self.config.strict {
            self.faults.add(now, FaultKind::MissingAck);
        }
    }

    /// A segment of an established connection.
    pub(super) fn on_segment(&mut self, now: Instant, packet: &Packet) {
        let seq = self.theirs.position(self.receiver.rcv_nxt, packet.seq);
        if packet.flags.has(Flags::RST) {
            self.on_reset(now, seq);
            return;
        }
        let end = seq + u64::from(packet.seq_len());
        let has_data = end > seq;
        let fin = packet.flags.has(Flags::FIN);
        if has_data && !packet.flags.has(Flags::SYN) {
            let faults = &mut self.faults;
            self.receiver.check(now, seq, &packet.payload, fin, faults);
        }
        self.judge_options(now, packet);
        let refusal = self.refusal(now, packet, (seq, end));
        if let Some(refusal) = refusal {
            if refusal == Refusal::Answered {
                self.challenge(now, has_data);
            }
            return;
        }
        if packet.flags.has(Flags::SYN) {
            if seq != ORIGIN {
                self.faults.add(now, FaultKind::UnexpectedSyn);
            }
            self.challenge(now, false);
            return;
        }
        if !packet.flags.has(Flags::ACK) {
            self.faults.add(now, FaultKind::MissingAck);
            return;
        }
        let echo = self.take_stamp(now, packet, seq);
        if !self.on_acknowledgement(now, packet, (seq, echo)) {
            self.challenge(now, false);
            return;
        }
        self.take_marks(packet);
        if let Some((echo, age)) = echo {
            let length = packet.payload_len().into();
            self.receiver.window.sample(echo, age, length);
        }
        let rto = self.sender.rtt.rto();
        let data = (seq, &packet.payload[..], fin);
        self.receiver.take(now, data, rto);
        if has_data {
            self.acknowledge_if_due(now, packet.payload_len().into());
        }
    }

    /// Whether, and how, a segment from `seq` to `end` is refused for its timestamp or its place.
    fn refusal(
        &mut self,
        now: Instant,
        packet: &Packet,
        (seq, end): (u64, u64),
    ) -> Option<Refusal> {
        if self.config.strict && !packet.flags.has(Flags::SYN) {
            return self.refuses_strictly(now, packet, (seq, end));
        }
        let taken = self.passes_paws(now, packet, seq, end) && self.is_in_window(now, seq, end);
        (!taken).then_some(Refusal::Answered)
    }

    /// Options that were not agreed on, or are missing.
    fn judge_options(&mut self, now: Instant, packet: &Packet) {
        let syn = packet.flags.has(Flags::SYN);
        let stamped = packet.options.timestamps.is_some();
        let marks = packet.flags.has(Flags::ECE) || packet.flags.has(Flags::CWR);
        if self.sender.stamps && !stamped {
            self.faults.add(now, FaultKind::MissingTimestamp);
        }
        let foreign = (stamped && !self.sender.stamps)
            || (packet.options.sack_present && !self.sender.sack)
            || (marks && !self.sender.ecn);
        if foreign && !syn {
            self.faults.add(now, FaultKind::NotNegotiated);
        }
    }

    /// RFC 7323 section 5, with the exception that Linux makes for plain duplicates.
    fn passes_paws(&mut self, now: Instant, packet: &Packet, seq: u64, end: u64) -> bool {
        let Some((value, _)) = packet.options.timestamps.filter(|_| self.sender.stamps) else {
            return true;
        };
        if !self.stamps.refuse(now, value) {
            return true;
        }
        let rcv_nxt = self.receiver.rcv_nxt;
        let ack = self.own.position(self.sender.una, packet.ack);
        let window = u64::from(packet.window) << self.peer_scale;
        let plain = end == seq && seq == rcv_nxt && ack == self.sender.una;
        let lag = u64::try_from(self.stamps.lag(value)).unwrap_or(0) * 1000;
        if plain && window == self.sender.wnd && lag <= self.sender.rtt.rto() * 6 / 5 {
            return true;
        }
        self.hold_against_paws(now, (seq, end));
        false
    }

    /// A segment from `seq` to `end` is refused for its timestamp.
    pub(super) fn hold_against_paws(&mut self, now: Instant, (seq, end): (u64, u64)) {
        self.sender.stats.refused_paws += 1;
        let wanted = end > self.receiver.rcv_nxt && end > seq;
        let kind = if wanted {
            FaultKind::PawsData
        } else {
            FaultKind::Paws
        };
        self.faults.add(now, kind);
    }

    /// Linux's `tcp_sequence`.
    fn is_in_window(&mut self, now: Instant, seq: u64, end: u64) -> bool {
        let edge = self.receiver.window.edge();
        // One octet beyond a closed window is how some hosts probe it.
        let probe = seq == edge && end == seq + 1;
        if end > edge && !probe {
            self.faults.add(now, FaultKind::BeyondWindow);
        }
        let beyond = seq > edge || (end > edge && !self.receiver.is_drained());
        let before = end < self.receiver.window.acknowledged();
        if beyond || before {
            self.sender.stats.refused_sequence += 1;
            if before && end > seq {
                self.receiver.repeated(seq, end);
            }
            return false;
        }
        true
    }

    /// Takes TSval, and answers TSecr and its age.
    fn take_stamp(&mut self, now: Instant, packet: &Packet, seq: u64) -> Option<(u32, u64)> {
        let (value, echo) = packet.options.timestamps.filter(|_| self.sender.stamps)?;
        if seq <= self.receiver.window.acknowledged() {
            self.stamps.take(now, value);
        }
        let age = self.stamps.age(now, echo);
        if age.is_none() {
            self.faults.add(now, FaultKind::EchoOfUnsent);
        }
        Some((echo, age?))
    }

    /// Hands an acknowledgement to the sender; false if the segment must be dropped.
    fn on_acknowledgement(
        &mut self,
        now: Instant,
        packet: &Packet,
        (seq, echo): (u64, Option<(u32, u64)>),
    ) -> bool {
        let una = self.sender.una;
        let position = |number| self.own.position(una, number);
        let info = AckInfo {
            ack: position(packet.ack),
            seq,
            window: u64::from(packet.window) << self.peer_scale,
            sack: packet
                .options
                .sack
                .iter()
                .map(|&(left, right)| (position(left), position(right)))
                .collect(),
            echo,
            payload: packet.seq_len() > 0,
            ece: packet.flags.has(Flags::ECE),
        };
        let kind = match self.sender.on_ack(now, &info, &mut self.faults) {
            Ok(()) => {
                let told = Told {
                    ack: info.ack,
                    window: info.window,
                    stamp: packet.options.timestamps.map(|(value, _)| value),
                };
                // Who has closed, and knows that it arrived, has no use for a window.
                if !self.sender.source.is_over(self.sender.una) {
                    self.watch.tell(now, told, &mut self.faults);
                }
                return true;
            }
            Err(AckRefused::Unsent) => FaultKind::AckOfUnsent,
            Err(AckRefused::TooOld) => FaultKind::AckTooOld,
        };
        self.faults.add(now, kind);
        false
    }

    /// ECN as a receiver (RFC 3168 section 6.1.3).
    fn take_marks(&mut self, packet: &Packet) {
        const CE: u8 = 3;
        if !self.sender.ecn {
            return;
        }
        if packet.flags.has(Flags::CWR) {
            self.echo_congestion = false;
        }
        if packet.ip.traffic_class & 3 == CE && !packet.payload.is_empty() {
            self.echo_congestion = true;
        }
    }

    /// Decides whether data that arrived is acknowledged at once (RFC 5681 section 4.2).
    fn acknowledge_if_due(&mut self, now: Instant, length: u64) {
        let told = self.receiver.read(now);
        let receiver = &mut self.receiver;
        let unacknowledged =
            receiver.rcv_nxt - receiver.window.acknowledged().min(receiver.rcv_nxt);
        let possible = receiver
            .window
            .possible(receiver.held(), receiver.acks.peer_mss);
        let full = unacknowledged > receiver.acks.peer_mss;
        let last = receiver.is_drained() && length < receiver.acks.peer_mss;
        if told
            || (full && possible >= receiver.window.announced())
            || (last && length > 0 && !receiver.acks.is_interactive())
        {
            receiver.acks.now = true;
        }
    }

    /// RFC 5961 section 3.2.
    fn on_reset(&mut self, now: Instant, seq: u64) {
        self.faults.add(now, FaultKind::UnexpectedReset);
        let reported = self.receiver.highest_reported();
        let lenient = self.sender.sack && !self.config.strict;
        if seq == self.receiver.rcv_nxt || (lenient && reported == Some(seq)) {
            self.life = Life::Dead;
        } else if seq > self.receiver.rcv_nxt && seq <= self.receiver.window.edge() {
            self.challenge(now, false);
        }
    }
}
