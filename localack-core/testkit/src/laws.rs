//! Laws that every packet leaving the engine must obey (protocol section 4), whatever was sent.
//!
//! A [`Witness`] sees each packet that goes in and each that comes out of one connection and keeps
//! its own, simple account of both ends: what each has sent, acknowledged, offered, and been told.
//! It knows nothing of the engine but the [`Modes`] it is given.

mod account;

use localack_core::{DirectionMode, PassReason, Port, TransmitKind};

use crate::packet::{Decoded, Flags, Packet};
use account::{Account, ahead, look};

/// How a packet came to leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The engine made it.
    Made(TransmitKind),
    /// It came in and was edited.
    Edited,
    /// It came in and passes untouched.
    Passed(PassReason),
}

impl Origin {
    /// Whether the engine answers for what the packet says.
    ///
    /// It does not for packets that it passes because it could not or must not judge them.
    const fn is_answered_for(self) -> bool {
        matches!(
            self,
            Self::Made(_) | Self::Edited | Self::Passed(PassReason::Untouched)
        )
    }
}

/// What the engine does with data from the inner and the outer side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Modes {
    /// By the port where the data arrives: inner, outer.
    pub by_source: [Option<DirectionMode>; 2],
}

impl Modes {
    /// Nothing is served.
    pub const NONE: Self = Self {
        by_source: [None, None],
    };

    fn in_custody(self, source: Port) -> bool {
        matches!(
            self.by_source[index(source)],
            Some(DirectionMode::LocalAck | DirectionMode::Draining)
        )
    }

    fn is_stored(self, source: Port) -> bool {
        self.in_custody(source)
            || self.by_source[index(source)] == Some(DirectionMode::StoreAndForward)
    }
}

const fn index(port: Port) -> usize {
    match port {
        Port::Inner => 0,
        Port::Outer => 1,
    }
}

/// The observer of one connection.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    accounts: [Account; 2],
}

impl Witness {
    /// An observer that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn of(&self, port: Port) -> &Account {
        &self.accounts[index(port)]
    }

    /// Takes note of a packet that arrives on `port`; call it before the engine sees the packet.
    pub fn arrives(&mut self, port: Port, decoded: &Decoded) {
        if !decoded.checksum_ok {
            return;
        }
        let packet = &decoded.packet;
        self.note_handshake(port, packet);
        let [inner, outer] = &mut self.accounts;
        let (own, peer) = match port {
            Port::Inner => (inner, outer),
            Port::Outer => (outer, inner),
        };
        own.sends(packet, peer);
    }

    /// A SYN-ACK that answers a SYN begins a new incarnation (rule H7.4).
    fn note_handshake(&mut self, port: Port, packet: &Packet) {
        if !packet.flags.has(Flags::SYN) {
            return;
        }
        let other = port.other();
        if packet.flags.has(Flags::ACK) {
            let pending = self.of(other).pending.clone();
            if let Some(syn) = pending.filter(|syn| ahead(packet.ack, syn.seq) > 0)
                && self.of(other).isn != Some(syn.seq)
            {
                self.accounts = [Account::default(), Account::default()];
                self.accounts[index(other)].begins(&syn);
                self.accounts[index(port)].begins(packet);
            }
        } else {
            self.accounts[index(port)].pending = Some(packet.clone());
        }
    }

    /// Judges a packet that leaves by `port`, and takes note of it; answers what is wrong with it.
    pub fn leaves(
        &mut self,
        port: Port,
        origin: Origin,
        decoded: &Decoded,
        before: Modes,
        after: Modes,
    ) -> Vec<String> {
        let mut faults = Vec::new();
        let packet = &decoded.packet;
        if matches!(origin, Origin::Made(_)) && !(decoded.checksum_ok && decoded.ip_checksum_ok) {
            faults.push("a checksum is wrong (invariant 13)".to_owned());
        }
        let served = |side: Port| before.is_stored(side) && after.is_stored(side);
        let custody = |side: Port| before.in_custody(side) && after.in_custody(side);
        let plain = !packet.flags.has(Flags::SYN) && !packet.flags.has(Flags::RST);
        if origin.is_answered_for() && plain && decoded.checksum_ok {
            if custody(port) {
                self.judge_feedback(port, packet, &mut faults);
            }
            if served(port.other()) {
                self.judge_data(port, origin, packet, &mut faults);
            }
            if custody(port) || served(port.other()) {
                self.judge_timestamps(port, packet, &mut faults);
            }
            if let Origin::Made(_) = origin {
                self.judge_ecn(port, origin, packet, &mut faults);
                self.judge_made(
                    port,
                    packet,
                    custody(port),
                    served(port.other()),
                    &mut faults,
                );
            }
        }
        if decoded.checksum_ok {
            let shift = self.of(port.other()).shift();
            self.accounts[index(port)].is_told(packet, shift, origin.is_answered_for());
        }
        faults
    }

    /// ACK, window and SACK told to a sender whose data is in custody.
    fn judge_feedback(&self, port: Port, packet: &Packet, faults: &mut Vec<String>) {
        let (host, peer) = (self.of(port), self.of(port.other()));
        let (Some(isn), true) = (host.isn, packet.flags.has(Flags::ACK)) else {
            return;
        };
        let rel = |seq: u32| ahead(seq, isn);
        if let Some(told) = host.told_ack
            && ahead(packet.ack, told) < 0
        {
            faults.push(format!(
                "ACK {} goes back from {} (invariant 3)",
                rel(packet.ack),
                rel(told)
            ));
        }
        let own_word = [peer.acked, peer.said]
            .into_iter()
            .flatten()
            .any(|acked| ahead(packet.ack, acked) <= 0);
        if ahead(packet.ack, host.sent_end) > 0 && !own_word {
            faults.push(format!(
                "ACK {} beyond all that was sent, {} (invariant 3)",
                rel(packet.ack),
                rel(host.sent_end)
            ));
        }
        if let Some(fin) = host.fin
            && ahead(packet.ack, fin) > 0
            && !own_word
        {
            faults.push(format!(
                "ACK {} of a FIN that R has not acked (H6.1)",
                rel(packet.ack)
            ));
        }
        let edge = packet
            .ack
            .wrapping_add(u32::from(packet.window) << peer.shift());
        if let Some(told) = host.told_edge
            && ahead(edge, told) < 0
        {
            faults.push(format!(
                "window edge {} goes back from {} (invariant 4)",
                rel(edge),
                rel(told)
            ));
        }
        self.judge_sack(port, packet, faults);
    }

    fn judge_sack(&self, port: Port, packet: &Packet, faults: &mut Vec<String>) {
        let (host, peer) = (self.of(port), self.of(port.other()));
        let blocks = &packet.options.sack;
        if packet.options.sack_present && !(host.sack_permitted && peer.sack_permitted) {
            faults.push("SACK was not negotiated (H4.4)".to_owned());
        }
        let most = if packet.options.timestamps.is_some() {
            3
        } else {
            4
        };
        if blocks.len() > most {
            faults.push(format!("{} SACK blocks (H4.4)", blocks.len()));
        }
        for (position, &(left, right)) in blocks.iter().enumerate() {
            let duplicate = position == 0
                && (ahead(left, packet.ack) < 0
                    || blocks.get(1).is_some_and(|&(start, end)| {
                        ahead(left, start) >= 0 && ahead(right, end) <= 0
                    }));
            let ordered = ahead(right, left) > 0 && ahead(right, host.sent_end) <= 0;
            if !ordered || (!duplicate && ahead(left, packet.ack) <= 0) {
                let isn = host.isn.unwrap_or(0);
                faults.push(format!(
                    "SACK block {}:{} outside (ACK, M] (invariant 9)",
                    ahead(left, isn),
                    ahead(right, isn)
                ));
            }
        }
    }

    /// Sequence numbers and payload toward the receiver of stored data.
    fn judge_data(&self, port: Port, origin: Origin, packet: &Packet, faults: &mut Vec<String>) {
        let (source, receiver) = (self.of(port.other()), self.of(port));
        let Some(isn) = source.isn else { return };
        let rel = |seq: u32| ahead(seq, isn);
        // Probes and keepalives of the sender pass as they are when nothing is in custody (H9.1).
        let verbatim = matches!(origin, Origin::Passed(_));
        let end = packet.seq.wrapping_add(packet.seq_len());
        // A FIN takes no room, and the probe of a window that is exactly zero is the octet past it
        // (H2.9, RFC 9293 section 3.8.6.1).
        let probe = origin == Origin::Made(TransmitKind::WindowProbe);
        let allowed = i64::from(probe || packet.flags.has(Flags::FIN));
        if let Some(edge) = receiver.offered
            && ahead(end, edge) > allowed
            && !verbatim
        {
            faults.push(format!(
                "{}:{} runs past the receiver's edge {} (invariant 6)",
                rel(packet.seq),
                rel(end),
                rel(edge)
            ));
        }
        if let Some(acked) = receiver.acked
            && ahead(packet.seq, acked) < -1
            && !verbatim
        {
            faults.push(format!(
                "SEQ {} below A - 1 = {} (invariant 6)",
                rel(packet.seq),
                rel(acked) - 1
            ));
        }
        if let Some(at) = source.differs(packet) {
            faults.push(format!(
                "octet {} is not what was sent first (invariant 12)",
                rel(at)
            ));
        }
        if packet.flags.has(Flags::FIN) {
            let fin = packet.seq.wrapping_add(packet.payload_len());
            if source.fin != Some(fin) {
                faults.push(format!("FIN at {} was never sent (H6.1)", rel(fin)));
            }
            if ahead(receiver.whole_with(packet), fin) < 0 {
                faults.push(format!(
                    "FIN at {} before all octets below it were emitted (invariant 17)",
                    rel(fin)
                ));
            }
        }
    }

    fn judge_timestamps(&self, port: Port, packet: &Packet, faults: &mut Vec<String>) {
        let (source, target) = (self.of(port.other()), self.of(port));
        let negotiated = source.timestamps && target.timestamps;
        match packet.options.timestamps {
            Some((value, echo)) if negotiated => {
                if !source.has_stamped(value) {
                    faults.push(format!("TSval {value} was never sent by its host (H3.1)"));
                }
                if !target.has_stamped(echo) {
                    faults.push(format!(
                        "TSecr {echo} was never sent by that host (invariant 8)"
                    ));
                }
            }
            Some(_) => {}
            None if negotiated => faults.push("the timestamp is missing (H3.7)".to_owned()),
            None => {}
        }
    }

    /// New data alone is ECN-capable, and alone says CWR (H11.3, RFC 3168 sections 6.1.4 to 6.1.6).
    fn judge_ecn(&self, port: Port, origin: Origin, packet: &Packet, faults: &mut Vec<String>) {
        let agreed = self.of(port).ecn && self.of(port.other()).ecn;
        let new = origin == Origin::Made(TransmitKind::Data) && !packet.payload.is_empty();
        let field = packet.ip.traffic_class & 3;
        if field != 0 && !(agreed && new && field == 2) {
            faults.push(format!("ECN field {field} (H11.3)"));
        }
        if packet.flags.has(Flags::CWR) && !(agreed && new) {
            faults.push("CWR on what is no new data (H11.3)".to_owned());
        }
        if packet.flags.has(Flags::ECE) && !agreed {
            faults.push("ECE without agreement on ECN (H11.3)".to_owned());
        }
    }

    /// What only packets made by the engine must obey.
    fn judge_made(
        &self,
        port: Port,
        packet: &Packet,
        feedback: bool,
        data: bool,
        faults: &mut Vec<String>,
    ) {
        let (source, target) = (self.of(port.other()), self.of(port));
        let isn = source.isn.unwrap_or(0);
        if feedback
            && !data
            && packet.payload.is_empty()
            // A FIN that is repeated from a copy stands where it stood (rule H13.3).
            && !(packet.flags.has(Flags::FIN) && packet.seq.wrapping_add(1) == target.reached())
            && packet.seq != target.reached()
            && !target.may_expect(packet.seq)
            && !target.is_overrun_to(packet.seq, source)
        {
            faults.push(format!(
                "SEQ {} of a synthesized ACK is not X = {} (invariant 5)",
                ahead(packet.seq, isn),
                ahead(target.reached(), isn)
            ));
        }
        if let (Some((value, _)), Some(newest)) = (packet.options.timestamps, target.told_stamp)
            && data
            && ahead(value, newest) < 0
        {
            faults.push(format!(
                "TSval {value} goes back from {newest} (invariant 7)"
            ));
        }
        if packet.options.timestamps.is_some() && !(source.timestamps && target.timestamps) {
            faults.push("a timestamp that was not negotiated (H3.7)".to_owned());
        }
        let room = target
            .mss()
            .saturating_sub(packet.options.encode(<_>::default()).len());
        if packet.payload.len() > room {
            faults.push(format!(
                "{} octets of payload where {room} fit (H10.2)",
                packet.payload.len()
            ));
        }
        if let Some(last) = &source.last
            && (packet.source, packet.destination) != (last.source, last.destination)
        {
            faults.push("addresses or ports differ from the host's own".to_owned());
        }
        if !source.looks.contains(&look(packet)) {
            faults.push("hop limit, DSCP or flow label are not the host's own (H9.5)".to_owned());
        }
        let only_ack = packet.payload.is_empty() && !packet.flags.has(Flags::FIN);
        let echo = if source.ecn && target.ecn {
            Flags::ACK | Flags::ECE
        } else {
            Flags::ACK
        };
        if only_ack && packet.flags != Flags::ACK && packet.flags != echo {
            faults.push(format!(
                "a pure ACK with flags {} (section 2.1)",
                packet.flags
            ));
        }
        if !packet.ip.dont_fragment || packet.ip.more_fragments || !packet.ip.options.is_empty() {
            faults.push("DF clear, or a fragment, or IPv4 options (H10.3)".to_owned());
        }
    }

    /// First octet that the host on `port` has not sent (`M`).
    #[must_use]
    pub fn sent_end(&self, port: Port) -> u32 {
        self.of(port).sent_end
    }

    /// Highest acknowledgement number the host on `port` was told.
    #[must_use]
    pub fn told_ack(&self, port: Port) -> Option<u32> {
        self.of(port).told_ack
    }

    /// Right edge of the window the host on `port` was offered (`E`).
    #[must_use]
    pub fn told_edge(&self, port: Port) -> Option<u32> {
        self.of(port).told_edge
    }

    /// First sequence number not yet emitted to the host on `port` (`X`, and `N` of its peer).
    #[must_use]
    pub fn reached(&self, port: Port) -> u32 {
        self.of(port).reached()
    }

    /// Highest acknowledgement number the host on `port` has sent (`A` of its peer's data).
    #[must_use]
    pub fn acked(&self, port: Port) -> Option<u32> {
        self.of(port).acked
    }

    /// Shift of the window fields that the host on `port` sends.
    #[must_use]
    pub fn shift(&self, port: Port) -> u8 {
        self.of(port).shift()
    }
}

#[cfg(test)]
mod tests;
