//! ICMP errors about TCP segments (RFC 792, RFC 1191, RFC 4443, RFC 8201).

use core::net::IpAddr;

use super::IpVersion;
use super::bytes::Reader;
use super::bytes::TCP_HEADER_LEN;
use super::checksum::{PROTOCOL_TCP, Sum, pseudo_header_of};
use super::ip::{self, IpHeader};
use crate::seq::SeqNum;

/// IP protocol number of ICMP.
const PROTOCOL_V4: u8 = 1;
/// IP protocol number of ICMPv6.
const PROTOCOL_V6: u8 = 58;

/// An ICMP error with a correct checksum that quotes the start of a TCP segment.
///
/// Anyone can send one: what it quotes must be checked against the connection (RFC 5927 section 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IcmpError {
    /// IP version of the error and of the segment it quotes.
    pub version: IpVersion,
    /// Who reports the error.
    pub outer_src: IpAddr,
    /// To whom; an honest error goes to [`Quoted::src`].
    pub outer_dst: IpAddr,
    /// What went wrong.
    pub kind: IcmpKind,
    /// The segment that met the error.
    pub quoted: Quoted,
}

/// The errors that matter to a TCP sender.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum IcmpKind {
    /// The packet did not fit the next link (ICMPv4 type 3 code 4, ICMPv6 type 2).
    PacketTooBig {
        /// What fits, in octets of the whole packet; 0 from IPv4 routers older than RFC 1191.
        mtu: u32,
    },
    /// The destination is unreachable (ICMPv4 type 3, ICMPv6 type 1).
    Unreachable {
        /// The code of that IP version's message.
        code: u8,
    },
    /// The hop limit ran out, or time for reassembly did (ICMPv4 type 11, ICMPv6 type 3).
    TimeExceeded,
    /// A problem with a header (ICMPv4 type 12, ICMPv6 type 4).
    Other,
}

/// The start of the segment that an error quotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Quoted {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: SeqNum,
    /// Octets of payload, if the quotation reaches as far as the header length.
    pub payload_len: Option<u32>,
    /// Octets of the whole packet as its IP header says.
    pub total_len: u32,
}

/// Whether `ip` heads an ICMP message of its own IP version.
#[inline]
pub(super) fn is_carried_by(ip: &IpHeader) -> bool {
    let number = match IpVersion::of(ip.src) {
        IpVersion::V4 => PROTOCOL_V4,
        IpVersion::V6 => PROTOCOL_V6,
    };
    ip.protocol == number
}

/// Reads `message`, the whole payload of the packet that `outer` heads.
pub(super) fn read(outer: &IpHeader, message: &[u8]) -> Option<IcmpError> {
    if !is_intact(outer, message) {
        return None;
    }
    let (&[icmp_type, code, _, _, m0, m1, m2, m3], original) = message.split_first_chunk::<8>()?;
    let version = IpVersion::of(outer.src);
    let kind = match (version, icmp_type, code) {
        (IpVersion::V4, 3, 4) => IcmpKind::PacketTooBig {
            mtu: u32::from(u16::from_be_bytes([m2, m3])),
        },
        (IpVersion::V6, 2, _) => IcmpKind::PacketTooBig {
            mtu: u32::from_be_bytes([m0, m1, m2, m3]),
        },
        (IpVersion::V4, 3, _) | (IpVersion::V6, 1, _) => IcmpKind::Unreachable { code },
        (IpVersion::V4, 11, _) | (IpVersion::V6, 3, _) => IcmpKind::TimeExceeded,
        (IpVersion::V4, 12, _) | (IpVersion::V6, 4, _) => IcmpKind::Other,
        (IpVersion::V4 | IpVersion::V6, _, _) => return None,
    };
    let quoted = quotation(original)?;
    (IpVersion::of(quoted.src) == version).then_some(IcmpError {
        version,
        outer_src: outer.src,
        outer_dst: outer.dst,
        kind,
        quoted,
    })
}

/// Whether the checksum over the message is correct; ICMPv6 includes a pseudo header.
fn is_intact(outer: &IpHeader, message: &[u8]) -> bool {
    let mut sum = match (IpVersion::of(outer.src), u32::try_from(message.len())) {
        (IpVersion::V4, _) => Sum::new(),
        (IpVersion::V6, Ok(len)) => pseudo_header_of(PROTOCOL_V6, outer.src, outer.dst, len),
        (IpVersion::V6, Err(_)) => return false,
    };
    sum.add_bytes(message);
    sum.fold() == 0xffff
}

/// Reads the start of the packet in `original`: at least the IP header and eight octets of TCP.
fn quotation(original: &[u8]) -> Option<Quoted> {
    let ip = ip::read(original).ok()?;
    let tcp = original.get(ip.len..)?;
    // A packet that says it is shorter than a TCP header never was a segment.
    let claimed = ip.packet_len.checked_sub(ip.len)?;
    if ip.protocol != PROTOCOL_TCP || claimed < usize::from(TCP_HEADER_LEN) {
        return None;
    }
    let mut fields = Reader(tcp);
    Some(Quoted {
        src: ip.src,
        dst: ip.dst,
        src_port: fields.u16()?,
        dst_port: fields.u16()?,
        seq: SeqNum::new(fields.u32()?),
        payload_len: payload_len(&ip, tcp),
        total_len: u32::try_from(ip.packet_len).ok()?,
    })
}

/// The payload length that the quoted headers imply, if they are there and agree.
fn payload_len(ip: &IpHeader, tcp: &[u8]) -> Option<u32> {
    let header_len = u16::from(tcp.get(12)? >> 4).checked_mul(4)?;
    if header_len < TCP_HEADER_LEN {
        return None;
    }
    let tcp_len = ip.packet_len.checked_sub(ip.len)?;
    u32::try_from(tcp_len.checked_sub(usize::from(header_len))?).ok()
}
