//! Bytes on the wire: reading, checking, editing and building TCP segments in IP packets.
//!
//! Nothing here knows a connection. [`parse()`] reads a packet once into a flat [`Segment`] of typed
//! fields and offsets, which no later step checks again; [`Rewrite`] edits fields in place and
//! never changes a length; [`emit()`] builds headers from a [`HeaderSpec`].

mod bytes;
pub mod checksum;
mod emit;
mod icmp;
mod ip;
mod options;
mod parse;
mod rewrite;

use core::fmt;
use core::net::IpAddr;

use crate::seq::SeqNum;

pub use checksum::Sum;
pub use emit::{Header, HeaderSpec, MAX_HEADER_LEN, emit, emit_partial, option_len};
pub use icmp::{IcmpError, IcmpKind, Quoted};
pub use ip::{IpFields, NotTcp};
pub use options::{KindSet, MAX_SACK_BLOCKS, Options, SackBlock, SackBlocks, Timestamps, kind};
pub use parse::{Parsed, parse, parse_headers};
pub use rewrite::{ChecksumKind, Rewrite};

/// The control bits of a TCP header, as they stand in its byte 13 (RFC 9293 section 3.1).
///
/// The ninth bit, AE, is [`Segment::accurate_ecn`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Flags(u8);

impl Flags {
    /// No bit set.
    pub const NONE: Self = Self(0);
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement field counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// ECN echo (RFC 3168).
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Self = Self(0x80);

    /// The letters that [`Debug`](fmt::Debug) prints, from the lowest bit up.
    const LETTERS: [char; 8] = ['F', 'S', 'R', 'P', '.', 'U', 'E', 'W'];

    /// Flags from the bits of header byte 13.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The bits as they stand in header byte 13.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag of `other` is set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These flags and those of `other`.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These flags but none of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Debug for Flags {
    /// One letter per flag, the dot for ACK, as in packet listings: `S`, `S.`, `P.`, `F.`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE {
            return f.write_str("none");
        }
        for (bit, letter) in (0u8..).zip(Self::LETTERS) {
            if self.0 & (1 << bit) != 0 {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

/// The IP version that carries a segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum IpVersion {
    /// Version 4.
    V4,
    /// Version 6.
    V6,
}

impl IpVersion {
    /// The version of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// One TCP segment as [`parse()`] found it: fields and offsets, all checked.
///
/// The offsets count from the start of the IP header. They fit the packet that was parsed; the
/// methods that take a packet answer an empty slice for one they do not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Segment {
    /// IP version.
    pub version: IpVersion,
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number of the first octet, or of SYN.
    pub seq: SeqNum,
    /// The acknowledgement field, whether or not ACK is set.
    pub ack: SeqNum,
    /// The eight control bits.
    pub flags: Flags,
    /// The AE bit of AccECN (RFC 9768), formerly the ECN nonce: the low bit of header byte 12.
    pub accurate_ecn: bool,
    /// The window field, unscaled.
    pub window: u16,
    /// The urgent pointer, whether or not URG is set.
    pub urgent: u16,
    /// The checksum field; see [`checksum::verify`].
    pub checksum: u16,
    /// What the IP header adds.
    pub ip: IpFields,
    /// The TCP options.
    pub options: Options,
    /// Offset of the TCP header.
    pub tcp_offset: u16,
    /// Offset of the payload.
    pub payload_offset: u16,
    /// Octets of payload.
    pub payload_len: u32,
    /// Octets of the whole packet as its IP header says; padding of the link behind it is no part.
    pub packet_len: u32,
}

impl Segment {
    /// Whether the segment carries payload.
    #[must_use]
    pub const fn has_payload(&self) -> bool {
        self.payload_len != 0
    }

    /// Sequence numbers the segment takes up: its payload, and one each for SYN and FIN.
    #[must_use]
    pub const fn sequence_len(&self) -> u32 {
        let syn = if self.flags.contains(Flags::SYN) {
            1
        } else {
            0
        };
        let fin = if self.flags.contains(Flags::FIN) {
            1
        } else {
            0
        };
        self.payload_len.wrapping_add(syn).wrapping_add(fin)
    }

    /// The sequence number behind the segment.
    #[must_use]
    pub const fn seq_end(&self) -> SeqNum {
        self.seq.advance(self.sequence_len())
    }

    /// Octets of the TCP header, options included.
    #[must_use]
    pub const fn header_len(&self) -> u16 {
        self.payload_offset.saturating_sub(self.tcp_offset)
    }

    /// Octets of TCP header and payload, the length that the pseudo header holds.
    #[must_use]
    pub fn tcp_len(&self) -> u32 {
        u32::from(self.header_len()).saturating_add(self.payload_len)
    }

    /// The TCP header in `packet`, options included.
    #[must_use]
    pub fn header<'p>(&self, packet: &'p [u8]) -> &'p [u8] {
        let range = usize::from(self.tcp_offset)..usize::from(self.payload_offset);
        packet.get(range).unwrap_or_default()
    }

    /// The payload in `packet`.
    #[must_use]
    pub fn payload<'p>(&self, packet: &'p [u8]) -> &'p [u8] {
        let tail = packet
            .get(usize::from(self.payload_offset)..)
            .unwrap_or_default();
        usize::try_from(self.payload_len)
            .ok()
            .and_then(|len| tail.get(..len))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
