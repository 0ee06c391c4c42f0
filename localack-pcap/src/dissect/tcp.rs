//! One TCP segment, as far as counting needs it.

use core::net::IpAddr;

use super::Addresses;
use super::options::{Options, options};
use super::sum;
use crate::bytes::Rest;

/// The flags of a TCP header that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(1);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(2);
    /// Reset the connection.
    pub const RST: Self = Self(4);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(16);

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag of `other` is set.
    #[must_use]
    pub const fn has_any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets of flags.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a segment's checksum field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// The right checksum.
    Good,
    /// What a sender's stack leaves to its network card to complete: the pseudo-header's sum,
    /// with or without the length, or nothing.
    Partial,
    /// Something else.
    Wrong,
    /// Not all of the segment is in the capture.
    Unknown,
}

impl Sum {
    /// Whether the checksum is wrong, for whatever reason.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Partial | Self::Wrong)
    }
}

/// One TCP segment.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    /// Address and port of the sender.
    pub source: (IpAddr, u16),
    /// Address and port of the receiver.
    pub target: (IpAddr, u16),
    /// Sequence number of the first octet, or of the SYN.
    pub seq: u32,
    /// Acknowledgement number, whether the flag is set or not.
    pub ack: u32,
    /// Flags.
    pub flags: Flags,
    /// The window field, not scaled.
    pub window: u16,
    /// Options.
    pub options: Options,
    /// Payload octets on the wire.
    pub payload: u32,
    /// The checksum field; zero if it was cut off.
    pub checksum: u16,
    /// What the checksum field is worth.
    pub sum: Sum,
}

impl Segment {
    /// Sequence number of the first payload octet: a SYN comes before it.
    #[must_use]
    pub const fn payload_seq(&self) -> u32 {
        self.seq.wrapping_add(self.flags.has(Flags::SYN) as u32)
    }

    /// Whether it does nothing but acknowledge.
    #[must_use]
    pub const fn is_pure_ack(&self) -> bool {
        const OTHERS: Flags = Flags::SYN.with(Flags::FIN).with(Flags::RST);
        self.payload == 0 && self.flags.has(Flags::ACK) && !self.flags.has_any(OTHERS)
    }
}

/// Reads a segment; `None` if its header contradicts itself or is cut off before its window.
pub(super) fn segment(addresses: Addresses, rest: Rest<'_>) -> Option<Segment> {
    const HEADER: usize = 20;
    let header: [u8; 16] = rest.array(0)?;
    let header_len = usize::from(header[12] >> 4) * 4;
    if header_len < HEADER {
        return None;
    }
    let payload = rest.wire_len.checked_sub(header_len)?;
    let word = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    Some(Segment {
        source: (addresses.source, u16::from_be_bytes([header[0], header[1]])),
        target: (addresses.target, u16::from_be_bytes([header[2], header[3]])),
        seq: word(4),
        ack: word(8),
        flags: Flags(header[13]),
        window: u16::from_be_bytes([header[14], header[15]]),
        options: options(rest, header_len),
        payload: u32::try_from(payload).ok()?,
        checksum: rest.u16(16).unwrap_or(0),
        sum: judge(addresses, rest).unwrap_or(Sum::Unknown),
    })
}

/// Compares the checksum field with what it should hold; `None` without the whole segment.
fn judge(addresses: Addresses, rest: Rest<'_>) -> Option<Sum> {
    const TCP: u32 = 6;
    if !rest.is_complete() {
        return None;
    }
    let field = rest.u16(16)?;
    let hosts = match (addresses.source, addresses.target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            sum::add(&source.octets()) + sum::add(&target.octets())
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            sum::add(&source.octets()) + sum::add(&target.octets())
        }
        _ => return None,
    };
    let without_length = hosts + sum::number(TCP);
    let pseudo = without_length + sum::number(rest.wire_len as u32);
    Some(if sum::fold(pseudo + sum::add(rest.data)) == 0xffff {
        Sum::Good
    } else if field == 0 || field == sum::fold(pseudo) || field == sum::fold(without_length) {
        Sum::Partial
    } else {
        Sum::Wrong
    })
}
