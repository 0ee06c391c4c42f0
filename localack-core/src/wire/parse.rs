//! From bytes to a [`Segment`], or to the reason why there is none.

use super::bytes::Reader;
use super::bytes::TCP_HEADER_LEN;
use super::checksum::PROTOCOL_TCP;
use super::icmp::{self, IcmpError};
use super::ip::{self, IpHeader, NotTcp};
use super::options::Options;
use super::{Flags, IpVersion, Segment};
use crate::seq::SeqNum;

/// What a packet is to the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Parsed {
    /// A whole TCP segment.
    Tcp(Segment),
    /// An intact ICMP error about a TCP segment.
    Icmp(IcmpError),
    /// Neither.
    Other(NotTcp),
}

/// Reads one IP packet. Bytes behind the length that its header states are padding of the link and
/// are ignored.
///
/// Checksums of IPv4 header and segment are not looked at: offloads leave them open. A broken
/// option list is no reason to refuse a segment, see [`Options::malformed`].
#[must_use]
#[inline]
pub fn parse(packet: &[u8]) -> Parsed {
    read(packet, Cut::Refused)
}

/// As [`parse()`], but takes a segment whose payload is cut off, as a capture's snap length does.
///
/// [`Segment::payload_len`] is then what the sender sent and [`Segment::payload`] is empty. An ICMP
/// error must still be whole, because its checksum is verified.
#[must_use]
pub fn parse_headers(packet: &[u8]) -> Parsed {
    read(packet, Cut::Accepted)
}

/// What to do with a segment whose payload is cut off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Refused,
    Accepted,
}

/// Answers `Parsed` rather than a `Result` around it, as all below do: a segment is large, and it would
/// be moved once more, at half again the cost of the whole parse.
#[inline]
fn read(packet: &[u8], cut: Cut) -> Parsed {
    let ip = match ip::read(packet) {
        Ok(ip) => ip,
        Err(reason) => return Parsed::Other(reason),
    };
    let is_tcp = ip.protocol == PROTOCOL_TCP;
    if !is_tcp && !icmp::is_carried_by(&ip) {
        return Parsed::Other(NotTcp::Protocol);
    }
    let may_be_cut = is_tcp && cut == Cut::Accepted;
    if packet.len() < ip.packet_len && !may_be_cut {
        return Parsed::Other(NotTcp::Truncated);
    }
    let end = packet.len().min(ip.packet_len);
    let upper = packet.get(ip.len..end).unwrap_or_default();
    if is_tcp {
        segment(&ip, upper)
    } else {
        icmp::read(&ip, upper).map_or(Parsed::Other(NotTcp::Protocol), Parsed::Icmp)
    }
}

/// Reads the TCP header at the start of `tcp`, the bytes at hand behind the IP header.
#[inline(always)]
fn segment(ip: &IpHeader, tcp: &[u8]) -> Parsed {
    let tcp_len = ip.packet_len.saturating_sub(ip.len);
    let cut = if tcp.len() < tcp_len {
        NotTcp::Truncated
    } else {
        NotTcp::Malformed
    };
    let Some(header) = tcp.first_chunk().and_then(TcpHeader::read) else {
        return Parsed::Other(cut);
    };
    let header_len = u16::from(header.offset >> 4).saturating_mul(4);
    let Some(payload_len) = tcp_len.checked_sub(usize::from(header_len)) else {
        return Parsed::Other(NotTcp::Malformed);
    };
    if header_len < TCP_HEADER_LEN {
        return Parsed::Other(NotTcp::Malformed);
    }
    let Some(options) = tcp.get(usize::from(TCP_HEADER_LEN)..usize::from(header_len)) else {
        return Parsed::Other(cut);
    };
    // The bounds of the walk over the IP headers keep all of these far below their types' limits.
    let (Ok(tcp_offset), Ok(payload_len), Ok(packet_len)) = (
        u16::try_from(ip.len),
        u32::try_from(payload_len),
        u32::try_from(ip.packet_len),
    ) else {
        return Parsed::Other(NotTcp::Malformed);
    };
    Parsed::Tcp(Segment {
        version: IpVersion::of(ip.src),
        src: ip.src,
        dst: ip.dst,
        src_port: header.src_port,
        dst_port: header.dst_port,
        seq: SeqNum::new(header.seq),
        ack: SeqNum::new(header.ack),
        flags: Flags::from_bits(header.flags),
        accurate_ecn: header.offset & 1 == 1,
        window: header.window,
        urgent: header.urgent,
        checksum: header.checksum,
        ip: ip.fields,
        options: Options::read(options),
        tcp_offset,
        payload_offset: tcp_offset.saturating_add(header_len),
        payload_len,
        packet_len,
    })
}

/// The fixed part of a TCP header in wire order (RFC 9293 section 3.1).
struct TcpHeader {
    src_port: u16,
    dst_port: u16,
    seq: u32,
    ack: u32,
    /// Header length in words, three reserved bits, AE.
    offset: u8,
    flags: u8,
    window: u16,
    checksum: u16,
    urgent: u16,
}

impl TcpHeader {
    #[inline(always)]
    fn read(octets: &[u8; TCP_HEADER_LEN as usize]) -> Option<Self> {
        let mut fields = Reader(octets);
        Some(Self {
            src_port: fields.u16()?,
            dst_port: fields.u16()?,
            seq: fields.u32()?,
            ack: fields.u32()?,
            offset: fields.u8()?,
            flags: fields.u8()?,
            window: fields.u16()?,
            checksum: fields.u16()?,
            urgent: fields.u16()?,
        })
    }
}
