//! What one end of a connection has said, and what it was told.

use std::collections::BTreeSet;

use crate::packet::{Flags, Packet};

/// How far `a` lies ahead of `b` on the circle of sequence numbers or timestamps.
pub(super) fn ahead(a: u32, b: u32) -> i64 {
    i64::from(a.wrapping_sub(b).cast_signed())
}

fn latest(known: Option<u32>, new: u32) -> u32 {
    match known {
        Some(known) if ahead(known, new) >= 0 => known,
        _ => new,
    }
}

/// Octets kept for comparison; a longer stream is not compared beyond them.
const MOST_CONTENT: i64 = 1 << 26;
/// Marks an octet that was not sent yet.
const UNSENT: u16 = 256;

/// One end of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Its initial sequence number.
    pub(super) isn: Option<u32>,
    /// A SYN without ACK that no SYN-ACK has answered.
    pub(super) pending: Option<Packet>,
    /// Its last packet.
    pub(super) last: Option<Packet>,
    /// Hop limit, DSCP and flow label of its packets so far.
    pub(super) looks: BTreeSet<(u8, u8, u32)>,
    window_scale: Option<u8>,
    peer_scales: bool,
    mss_option: Option<u16>,
    /// Whether its SYN permits SACK.
    pub(super) sack_permitted: bool,
    /// Whether its SYN or SYN-ACK speaks of classic ECN.
    pub(super) ecn: bool,
    /// Whether its SYN has a timestamp.
    pub(super) timestamps: bool,
    /// First sequence number it has not sent; a FIN counts.
    pub(super) sent_end: u32,
    /// The sequence number of its FIN.
    pub(super) fin: Option<u32>,
    /// Highest acknowledgement number it has sent.
    pub(super) acked: Option<u32>,
    /// The same, with what segments said that its peer, but not the engine, has acknowledged all of.
    pub(super) said: Option<u32>,
    /// The acknowledgement number of a RST of its own that fits what it has sent and was told: who has obeyed
    /// that takes what lies below for old (section 2.5).
    parting: Option<u32>,
    /// Right edge of the window it has offered.
    pub(super) offered: Option<u32>,
    /// Its highest acknowledgement number, and the lowest right edge that it has said with it: what is left of
    /// its window if it has taken some back.
    least: Option<(u32, u32)>,
    stamps: BTreeSet<u32>,
    content: Vec<u16>,
    /// Highest acknowledgement number it was told.
    pub(super) told_ack: Option<u32>,
    /// Right edge it was told.
    pub(super) told_edge: Option<u32>,
    /// Newest TSval it was given.
    pub(super) told_stamp: Option<u32>,
    /// Furthest sequence number of anything emitted to it, in its window or past it.
    tried: Option<u32>,
    /// Ranges of its peer's sequence space that were emitted to it, sorted, apart.
    emitted: Vec<(i64, i64)>,
    peer_isn: Option<u32>,
}

impl Account {
    /// Begins a new incarnation with this SYN or SYN-ACK.
    pub(super) fn begins(&mut self, syn: &Packet) {
        self.isn = Some(syn.seq);
        self.sent_end = syn.seq.wrapping_add(1);
        self.window_scale = syn.options.window_scale.map(|shift| shift.min(14));
        self.mss_option = syn.options.mss;
        self.sack_permitted = syn.options.sack_permitted;
        self.timestamps = syn.options.timestamps.is_some();
        // A SYN has both flags, a SYN-ACK only the first (RFC 3168 section 6.1.1).
        let reduced = syn.flags.has(Flags::CWR);
        self.ecn = syn.flags.has(Flags::ECE) && reduced != syn.flags.has(Flags::ACK);
        self.last = Some(syn.clone());
        self.looks.insert(look(syn));
        self.note_stamp(syn);
        self.store(syn);
    }

    fn note_stamp(&mut self, packet: &Packet) {
        if let Some((value, _)) = packet.options.timestamps {
            self.stamps.insert(value);
        }
    }

    /// Takes note of a segment with a right checksum that this end has sent.
    pub(super) fn sends(&mut self, packet: &Packet, peer: &mut Self) {
        let Some(isn) = self.isn else { return };
        self.note_stamp(packet);
        if packet.flags.has(Flags::SYN) {
            if packet.seq == isn && packet.flags.has(Flags::ACK) {
                self.acked = Some(latest(self.acked, packet.ack));
                let edge = packet.ack.wrapping_add(packet.window.into());
                self.offered = Some(latest(self.offered, edge));
            }
            self.peer_scales = peer.window_scale.is_some();
            peer.peer_scales = self.window_scale.is_some();
            (self.peer_isn, peer.peer_isn) = (peer.isn, self.isn);
            self.store(packet);
            return;
        }
        let limit = [self.told_edge, peer.offered]
            .into_iter()
            .flatten()
            .reduce(|a, b| latest(Some(a), b));
        // What follows a FIN that took no room lies past the edge by that FIN (H6.4).
        let parted = self.fin.is_some_and(|fin| ahead(packet.seq, fin) == 1);
        let far = limit.is_some_and(|edge| ahead(packet.seq, edge) > i64::from(parted));
        let insane = packet.flags.has(Flags::ACK)
            && peer
                .told_edge
                .is_some_and(|edge| ahead(packet.ack, edge) > 1)
            && ahead(packet.ack, peer.sent_end) > 0;
        if far || insane || !packet.flags.has(Flags::ACK) {
            return;
        }
        self.last = Some(packet.clone());
        self.looks.insert(look(packet));
        if packet.flags.has(Flags::RST) {
            self.parts(packet);
            return;
        }
        self.store(packet);
        let end = packet.seq.wrapping_add(packet.seq_len());
        let old = |known| ahead(end, known) < 0 && ahead(packet.seq, known) < -1;
        if self.told_ack.is_some_and(old) {
            // All of it was acknowledged before: a receiver drops it with its ACK and its window (H1.9).
            return;
        }
        let edge = packet
            .ack
            .wrapping_add(u32::from(packet.window) << self.shift());
        self.least = Some(match self.least {
            Some((ack, least)) if ahead(packet.ack, ack) < 0 => (ack, least),
            Some((ack, least)) if packet.ack == ack && ahead(edge, least) > 0 => (ack, least),
            _ => (packet.ack, edge),
        });
        self.offered = Some(latest(self.offered, edge));
        self.said = Some(latest(self.said, packet.ack));
        if ![peer.acked, peer.parting].into_iter().flatten().any(old) {
            self.acked = Some(latest(self.acked, packet.ack));
        }
    }

    /// Takes note of a RST of its own. Only one between what this end was told and what it has sent can be
    /// exact, and only what an exact one acknowledges counts (H8.4).
    fn parts(&mut self, reset: &Packet) {
        let exact = self
            .told_ack
            .is_some_and(|told| ahead(reset.seq, told) >= 0)
            && ahead(reset.seq, self.sent_end) <= 0;
        if exact {
            self.parting = Some(latest(self.parting, reset.ack));
        }
    }

    fn store(&mut self, packet: &Packet) {
        let Some(isn) = self.isn else { return };
        let syn = i64::from(packet.flags.has(Flags::SYN));
        let start = ahead(packet.seq, isn) - 1 + syn;
        for (offset, &octet) in (start..).zip(&packet.payload) {
            if let Ok(at) = usize::try_from(offset)
                && offset < MOST_CONTENT
            {
                if self.content.len() <= at {
                    self.content.resize(at + 1, UNSENT);
                }
                if self.content[at] == UNSENT {
                    self.content[at] = octet.into();
                }
            }
        }
        let end = packet.seq.wrapping_add(packet.seq_len());
        self.sent_end = latest(Some(self.sent_end), end);
        if packet.flags.has(Flags::FIN) && self.fin.is_none() {
            self.fin = Some(packet.seq.wrapping_add(packet.payload_len()));
        }
    }

    /// First octet of `packet` that is not what this end sent first there.
    pub(super) fn differs(&self, packet: &Packet) -> Option<u32> {
        let isn = self.isn?;
        let start = ahead(packet.seq, isn) - 1;
        let wrong = (start..)
            .zip(&packet.payload)
            .position(|(offset, &octet)| {
                offset < MOST_CONTENT
                    && usize::try_from(offset)
                        .ok()
                        .and_then(|at| self.content.get(at))
                        != Some(&octet.into())
            })?;
        Some(
            packet
                .seq
                .wrapping_add(u32::try_from(wrong).expect("inside a packet")),
        )
    }

    /// Takes note of a packet that was emitted to this end.
    pub(super) fn is_told(&mut self, packet: &Packet, peer_shift: u8, judged: bool) {
        let Some(peer_isn) = self.peer_isn else {
            return;
        };
        if packet.flags.has(Flags::RST) {
            return;
        }
        let syn = packet.flags.has(Flags::SYN);
        if syn && packet.seq != peer_isn {
            return;
        }
        let furthest = packet.seq.wrapping_add(packet.seq_len());
        self.tried = Some(latest(self.tried, furthest));
        if !judged && !syn {
            let near = ahead(packet.seq, self.reached()) <= 0
                || self.offered.is_none_or(|edge| ahead(packet.seq, edge) < 0);
            if !near {
                return;
            }
        }
        // What lies below all that this end has acknowledged is dropped, with its acknowledgement (RFC 9293
        // section 3.10.7.4) and its timestamp (RFC 7323 section 5.3, R2 before R3).
        let end = packet.seq.wrapping_add(packet.seq_len());
        let old = |acked| ahead(end, acked) < 0 && ahead(packet.seq, acked) < -1;
        if !syn && self.acked.is_some_and(old) {
            return;
        }
        let taken = match self.acked {
            Some(acked) => judged && !syn && ahead(end, acked) >= 0,
            None => judged || syn,
        };
        if let (Some((value, _)), true) = (packet.options.timestamps, taken) {
            self.told_stamp = Some(latest(self.told_stamp, value));
        }
        if packet.flags.has(Flags::ACK) {
            self.told_ack = Some(latest(self.told_ack, packet.ack));
            let shift = if syn { 0 } else { peer_shift };
            let edge = packet.ack.wrapping_add(u32::from(packet.window) << shift);
            self.told_edge = Some(latest(self.told_edge, edge));
        }
        // An octet behind a closed window is a question and will not be taken (rule H2.6).
        let asks = packet.seq_len() == 1
            && packet.payload_len() == 1
            && self.offered == Some(packet.seq)
            && self.acked == Some(packet.seq);
        if asks {
            return;
        }
        let start = ahead(packet.seq, peer_isn);
        emit(
            &mut self.emitted,
            start,
            start + i64::from(packet.seq_len()),
        );
    }

    /// First sequence number of the peer beyond all that was emitted to this end (`X`).
    pub(super) fn reached(&self) -> u32 {
        let end = self.emitted.last().map_or(1, |&(_, end)| end.max(1));
        let emitted = self
            .peer_isn
            .unwrap_or(0)
            .wrapping_add(u32::try_from(end).unwrap_or(1));
        // An octet behind a closed window may have been taken after all.
        latest(self.acked, emitted)
    }

    /// Whether a segment without data may have the number `seq` instead of [`Self::reached`]: something lies
    /// past this end's window, and `seq` between what it has and its edge (H2.11).
    pub(super) fn may_expect(&self, seq: u32) -> bool {
        self.least.is_some_and(|(ack, least)| {
            self.tried.is_some_and(|tried| ahead(tried, least) > 0)
                && ahead(seq, ack) >= 0
                && self.offered.is_some_and(|edge| ahead(seq, edge) <= 0)
        })
    }

    /// Whether `seq` is the furthest number of anything emitted to this end, from a peer whom the engine has offered
    /// as much: where it lay past this end's window then, and no more now, `X` is there as the peer sees it (H2.11).
    pub(super) fn is_overrun_to(&self, seq: u32, peer: &Self) -> bool {
        let within = |edge: Option<u32>| edge.is_some_and(|edge| ahead(seq, edge) <= 0);
        self.tried == Some(seq)
            && within(self.offered)
            && within(peer.told_edge)
            && self.acked.is_some_and(|acked| ahead(seq, acked) >= 0)
    }

    /// End of the hole-free part of what was emitted to this end, counting `packet`'s payload.
    pub(super) fn whole_with(&self, packet: &Packet) -> u32 {
        let Some(isn) = self.peer_isn else {
            return packet.seq;
        };
        let mut emitted = self.emitted.clone();
        let start = ahead(packet.seq, isn);
        emit(&mut emitted, start, start + i64::from(packet.payload_len()));
        // An octet behind a closed window may have been taken after all.
        if let Some(acked) = self.acked {
            emit(&mut emitted, 1, ahead(acked, isn));
        }
        let end = emitted.first().map_or(1, |&(_, end)| end);
        isn.wrapping_add(u32::try_from(end).unwrap_or(1))
    }

    /// Its window shift, zero unless both SYNs had the option (rule H2.2).
    pub(super) fn shift(&self) -> u8 {
        if self.peer_scales {
            self.window_scale.unwrap_or(0)
        } else {
            0
        }
    }

    /// Whether it has ever sent this TSval.
    pub(super) fn has_stamped(&self, value: u32) -> bool {
        self.stamps.contains(&value)
    }

    /// Largest segment it takes, options included.
    pub(super) fn mss(&self) -> usize {
        let default = if self.last.as_ref().is_some_and(|last| last.source.is_ipv6()) {
            1220
        } else {
            536
        };
        usize::from(self.mss_option.unwrap_or(default))
    }
}

/// What a packet's IP header says besides addresses and lengths.
pub(super) fn look(packet: &Packet) -> (u8, u8, u32) {
    (
        packet.ip.hop_limit,
        packet.ip.traffic_class >> 2,
        packet.ip.flow_label,
    )
}

/// Adds `start..end` to sorted ranges that do not touch each other.
fn emit(ranges: &mut Vec<(i64, i64)>, start: i64, end: i64) {
    let (mut start, mut end) = (start, end);
    ranges.retain(|&(left, right)| {
        let apart = right < start || left > end;
        if !apart {
            (start, end) = (start.min(left), end.max(right));
        }
        apart
    });
    if end > start {
        let position = ranges.partition_point(|&(left, _)| left < start);
        ranges.insert(position, (start, end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_where_they_touch() {
        let mut ranges = Vec::new();
        for (start, end) in [(0, 1), (5, 7), (9, 12), (7, 9), (3, 3)] {
            emit(&mut ranges, start, end);
        }
        assert_eq!(ranges, [(0, 1), (5, 12)]);
    }

    #[test]
    fn distances_are_signed_and_wrap() {
        assert_eq!(ahead(2, u32::MAX), 3);
        assert_eq!(ahead(u32::MAX, 2), -3);
    }
}
