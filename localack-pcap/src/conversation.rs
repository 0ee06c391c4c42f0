//! Conversations and their figures, counted from the captured packets alone.
//!
//! A conversation is what Wireshark calls a TCP stream: the packets between two address and port
//! pairs, until a SYN with another sequence number begins a new one. A bounded amount of memory
//! is kept for each.

use core::net::IpAddr;
use std::collections::HashMap;

use crate::dissect::{Flags, Segment, Sum};
use crate::ranges::RangeSet;

/// An address and a port.
pub type Endpoint = (IpAddr, u16);

/// The largest window a TCP can offer (RFC 7323 section 2.3).
const WINDOW: i64 = 1 << 30;

/// One of the two ends of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The sender of the first packet.
    First,
    /// The other one.
    Second,
}

impl End {
    /// Both ends.
    pub const BOTH: [Self; 2] = [Self::First, Self::Second];

    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// What one end of a conversation sent.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// Its packets.
    pub packets: u64,
    /// Their payload, repetitions included.
    pub payload_bytes: u64,
    /// Distinct payload octets, from the initial sequence number + 1 up.
    pub unique_payload_bytes: u64,
    /// Packets that only acknowledge.
    pub pure_acks: u64,
    /// Packets whose payload, SYN or FIN was captured before, keep-alives excepted.
    pub retransmitted_packets: u64,
    /// Whether so many gaps were open at once that `unique_payload_bytes` may be too small.
    pub approximate: bool,
    sums: Sums,
    space: Space,
}

/// How the checksums of one sender look.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    good: u64,
    partial: u64,
}

/// The sequence space of one sender.
#[derive(Debug, Clone, Default)]
struct Space {
    /// What Wireshark takes for the initial sequence number.
    base: Option<u32>,
    /// The initial sequence number of a captured SYN.
    isn: Option<u32>,
    /// The highest believable position so far: a sequence number without wrap-around.
    highest: Option<i64>,
    /// The last position that was too far ahead to be believed.
    doubted: Option<i64>,
    /// The position of the first payload octet, where the SYN was captured.
    floor: Option<i64>,
    fin: Option<i64>,
    /// The highest position that the other end acknowledged.
    acknowledged: Option<i64>,
    payload: RangeSet,
}

/// Two ends and what they sent.
#[derive(Debug, Clone)]
pub struct Conversation {
    ends: [Endpoint; 2],
    client: End,
    sent: [Sent; 2],
    syn_from: Option<End>,
    complete_handshake: bool,
}

/// What the table found out about one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The number of the conversation.
    pub conversation: usize,
    /// Whether the segment began it.
    pub is_new: bool,
    /// Who sent the segment.
    pub sender: End,
    /// The position of its first payload octet.
    pub start: i64,
    /// The position after its last payload octet, if it brought octets not captured before.
    pub new_data: Option<i64>,
    /// Up to which position of the other end's space it acknowledges.
    pub acknowledged: Option<i64>,
    /// Whether its checksum is one that the sender's network card was to complete.
    pub offloaded: bool,
}

/// All conversations of a capture.
#[derive(Debug, Default)]
pub struct Conversations {
    latest: HashMap<(Endpoint, Endpoint), usize>,
    all: Vec<Conversation>,
    packets: u64,
    bad_checksums: u64,
}

impl Conversations {
    /// A table of none.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one segment.
    pub fn observe(&mut self, segment: &Segment) -> Observed {
        self.packets += 1;
        self.bad_checksums += u64::from(segment.sum.is_bad());
        let (conversation, is_new) = self.find(segment);
        // The index comes from `find`.
        let (sender, sighting) = self.all[conversation].observe(segment);
        Observed {
            conversation,
            is_new,
            sender,
            start: sighting.start,
            new_data: sighting.new_data,
            acknowledged: sighting.acknowledged,
            offloaded: sighting.offloaded,
        }
    }

    /// The conversation of two endpoints, and which end the first of them is.
    #[must_use]
    pub fn lookup(&self, one: Endpoint, other: Endpoint) -> Option<(usize, End)> {
        let &index = self.latest.get(&key(one, other))?;
        Some((index, self.all.get(index)?.end(one)))
    }

    /// All conversations, in the order of their first packets.
    #[must_use]
    pub fn all(&self) -> &[Conversation] {
        &self.all
    }

    /// TCP packets seen.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Packets with a wrong checksum, offloaded ones included.
    #[must_use]
    pub const fn bad_checksums(&self) -> u64 {
        self.bad_checksums
    }

    /// Conversations with a complete handshake.
    #[must_use]
    pub fn complete_handshakes(&self) -> u64 {
        self.all
            .iter()
            .filter(|conversation| conversation.complete_handshake)
            .count() as u64
    }

    fn find(&mut self, segment: &Segment) -> (usize, bool) {
        let key = key(segment.source, segment.target);
        let known = self.latest.get(&key).copied();
        if let Some(index) = known.filter(|&index| !self.all[index].is_reused_by(segment)) {
            return (index, false);
        }
        self.all.push(Conversation::new(segment));
        self.latest.insert(key, self.all.len() - 1);
        (self.all.len() - 1, true)
    }
}

/// The same key for both directions.
fn key(one: Endpoint, other: Endpoint) -> (Endpoint, Endpoint) {
    if one <= other {
        (one, other)
    } else {
        (other, one)
    }
}

/// What one segment was to its conversation.
struct Sighting {
    start: i64,
    new_data: Option<i64>,
    acknowledged: Option<i64>,
    offloaded: bool,
}

impl Conversation {
    fn new(segment: &Segment) -> Self {
        Self {
            ends: [segment.source, segment.target],
            client: End::First,
            sent: [Sent::default(), Sent::default()],
            syn_from: None,
            complete_handshake: false,
        }
    }

    /// The end that sent the SYN, or else the first packet.
    #[must_use]
    pub const fn client(&self) -> End {
        self.client
    }

    /// Address and port of an end.
    #[must_use]
    pub const fn endpoint(&self, end: End) -> Endpoint {
        self.ends[end as usize]
    }

    /// Which end has this address and port.
    #[must_use]
    pub fn end(&self, endpoint: Endpoint) -> End {
        if self.ends[0] == endpoint {
            End::First
        } else {
            End::Second
        }
    }

    /// What an end sent.
    #[must_use]
    pub const fn sent(&self, end: End) -> &Sent {
        &self.sent[end as usize]
    }

    /// Whether SYN, SYN-ACK and the client's acknowledgement of it were captured.
    #[must_use]
    pub const fn complete_handshake(&self) -> bool {
        self.complete_handshake
    }

    /// Where a sequence number near [`Conversation::acknowledgeable`] lies in the space of `end`.
    #[must_use]
    pub fn position(&self, end: End, seq: u32) -> Option<i64> {
        let near = self.acknowledgeable(end).or(self.sent(end).space.highest)?;
        Some(unwrap(seq, near))
    }

    /// The highest acknowledgement that `end` can be given on the evidence of the capture: what it
    /// sent without a gap, or what the other end acknowledged.
    #[must_use]
    pub fn acknowledgeable(&self, end: End) -> Option<i64> {
        let space = &self.sent(end).space;
        let from = space.acknowledged.max(space.floor)?;
        let data_end = space.payload.contiguous_from(from);
        Some(data_end + i64::from(space.fin == Some(data_end)))
    }

    /// The highest position of `end`'s space that the other end acknowledged.
    #[must_use]
    pub fn acknowledged(&self, end: End) -> Option<i64> {
        self.sent(end).space.acknowledged
    }

    /// Whether `segment` is the SYN of another connection between the same endpoints.
    fn is_reused_by(&self, segment: &Segment) -> bool {
        let base = self.sent(self.end(segment.source)).space.base;
        segment.flags.has(Flags::SYN)
            && !segment.flags.has(Flags::ACK)
            && base.is_some_and(|base| base != segment.seq)
    }

    fn observe(&mut self, segment: &Segment) -> (End, Sighting) {
        let sender = self.end(segment.source);
        self.handshake(sender, segment);
        let acknowledges = segment.flags.has(Flags::ACK);
        let [first, second] = &mut self.sent;
        let (own, other) = if sender == End::First {
            (first, second)
        } else {
            (second, first)
        };
        other
            .space
            .learn_base(acknowledges.then(|| segment.ack.wrapping_sub(1)));
        let acknowledged = other
            .space
            .highest
            .filter(|_| acknowledges)
            .map(|near| unwrap(segment.ack, near));
        if let Some(position) = acknowledged {
            other.space.acknowledge(position);
        }
        let (start, new_data) = own.count(segment);
        (
            sender,
            Sighting {
                start,
                new_data,
                acknowledged,
                offloaded: own.judge(segment.sum),
            },
        )
    }

    fn handshake(&mut self, sender: End, segment: &Segment) {
        let flags = segment.flags;
        if flags.has(Flags::SYN) && !flags.has(Flags::ACK) && self.syn_from.is_none() {
            self.syn_from = Some(sender);
            self.client = sender;
        }
        let server_isn = self.sent(sender.other()).space.isn;
        self.complete_handshake |= self.syn_from == Some(sender)
            && flags.has(Flags::ACK)
            && !flags.has_any(Flags::SYN.with(Flags::RST))
            && server_isn.is_some_and(|isn| segment.ack == isn.wrapping_add(1));
    }
}

impl Sent {
    /// Counts a segment; returns its position, and the one after its last octet if it brought new
    /// ones.
    fn count(&mut self, segment: &Segment) -> (i64, Option<i64>) {
        self.packets += 1;
        self.payload_bytes += u64::from(segment.payload);
        self.pure_acks += u64::from(segment.is_pure_ack());
        let space = &mut self.space;
        let repeated_syn = segment.flags.has(Flags::SYN) && space.isn == Some(segment.seq);
        if segment.flags.has(Flags::SYN.with(Flags::ACK)) {
            // A server that answers anew, as with SYN cookies, stays in its conversation.
            space.base = Some(segment.seq);
        }
        space.learn_base(Some(
            segment
                .seq
                .wrapping_sub(u32::from(!segment.flags.has(Flags::SYN))),
        ));
        let start = space.place(segment);
        let end = start + i64::from(segment.payload);
        let next = space.payload.highest();
        let is_keepalive = segment.payload == 1 && next == Some(end);
        let counted = start.max(space.floor.unwrap_or(i64::MIN));
        let known = space.payload.overlap(counted, end);
        let new = space.payload.insert(counted, end);
        let repeated_fin = segment.flags.has(Flags::FIN) && space.fin.replace(end) == Some(end);
        self.unique_payload_bytes += new;
        self.retransmitted_packets +=
            u64::from(repeated_syn || repeated_fin || known > 0 && !is_keepalive);
        self.approximate = space.payload.is_approximate();
        (start, (new > 0).then_some(end))
    }

    /// Whether a checksum is one that a network card was to complete: this sender's usually are.
    fn judge(&mut self, sum: Sum) -> bool {
        match sum {
            Sum::Good => self.sums.good += 1,
            Sum::Partial => self.sums.partial += 1,
            Sum::Wrong | Sum::Unknown => {}
        }
        sum == Sum::Partial && self.sums.partial >= self.sums.good
    }
}

impl Space {
    fn learn_base(&mut self, base: Option<u32>) {
        self.base = self.base.or(base);
    }

    /// The position of a segment's first payload octet.
    fn place(&mut self, segment: &Segment) -> i64 {
        const ROOM: i64 = 1 << 33;
        let seq = segment.payload_seq();
        let start = match self.highest {
            Some(near) => unwrap(seq, near),
            None => ROOM + i64::from(seq),
        };
        if segment.flags.has(Flags::SYN) {
            self.isn = Some(segment.seq);
            if self.payload.highest().is_none() {
                self.floor = Some(start);
            }
        }
        self.advance(start + i64::from(segment.payload) + i64::from(segment.flags.has(Flags::FIN)));
        start
    }

    /// Moves the highest position: a leap beyond any window is believed when a second packet
    /// confirms it.
    fn advance(&mut self, end: i64) {
        let Some(highest) = self.highest else {
            self.highest = Some(end);
            return;
        };
        let confirmed = self
            .doubted
            .is_some_and(|doubted| end.abs_diff(doubted) <= WINDOW as u64);
        if end - highest <= WINDOW || confirmed {
            self.highest = Some(highest.max(end));
            self.doubted = None;
        } else {
            self.doubted = Some(end);
        }
    }

    /// The other end acknowledged everything below `position`, if that can be believed.
    fn acknowledge(&mut self, position: i64) {
        let known = self.acknowledged.or(self.floor).or(self.highest);
        if known.is_none_or(|known| position - known <= WINDOW) {
            self.acknowledged = self.acknowledged.max(Some(position));
        }
    }
}

/// The position nearest to `near` that a sequence number can stand for.
fn unwrap(seq: u32, near: i64) -> i64 {
    // The low 32 bits of a position are its sequence number.
    let distance = seq.wrapping_sub(near as u32) as i32;
    near + i64::from(distance)
}
