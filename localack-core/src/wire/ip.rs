//! IP headers: IPv4 with its options, IPv6 with its chain of extension headers.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bytes::Reader;

/// Octets of an IPv4 header without options.
pub(super) const IPV4_HEADER_LEN: usize = 20;
/// Octets of an IPv6 header.
pub(super) const IPV6_HEADER_LEN: usize = 40;

/// The DF bit beside the fragment offset of IPv4.
pub(super) const DONT_FRAGMENT: u16 = 0x4000;
/// The MF bit beside the fragment offset of IPv4.
const MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment offset of IPv4.
const FRAGMENT_OFFSET: u16 = 0x1fff;
/// The flow label in the first word of an IPv6 header.
pub(super) const FLOW_LABEL: u32 = 0x000f_ffff;

/// The most extension headers that one packet may chain; hosts send two or three.
const MAX_EXTENSIONS: usize = 8;

/// Numbers of the IP protocol registry that are no end of the walk or a reason of their own.
mod protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const IPV4: u8 = 4;
    pub(super) const IPV6: u8 = 41;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const GRE: u8 = 47;
    pub(super) const ESP: u8 = 50;
    pub(super) const AH: u8 = 51;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
    pub(super) const MOBILITY: u8 = 135;
    pub(super) const MPLS: u8 = 137;
    pub(super) const HIP: u8 = 139;
    pub(super) const SHIM6: u8 = 140;
}

/// Why a packet holds no segment that could be read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotTcp {
    /// Neither IPv4 nor IPv6.
    NotIp,
    /// Fewer bytes than the IP header says there are: the end was cut off.
    Truncated,
    /// A header contradicts itself or the one before it.
    Malformed,
    /// A fragment. An IPv6 packet with a fragment header counts even if it is the only fragment.
    Fragment,
    /// An IP length of zero: a packet of more than 64 KiB, or one whose length is yet to be set.
    Jumbo,
    /// ESP or AH.
    Ipsec,
    /// IP, GRE or MPLS inside IP.
    Tunnel,
    /// Any other protocol, and ICMP messages that are no intact error about a TCP segment.
    Protocol,
}

/// What the IP header says beside addresses and lengths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IpFields {
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// DSCP and ECN: the type of service octet or the traffic class.
    pub traffic_class: u8,
    /// Flow label, 20 bits; 0 for IPv4.
    pub flow_label: u32,
    /// Whether routers must not fragment: the DF bit, always true for IPv6.
    pub dont_fragment: bool,
    /// Whether there are neither IPv4 options nor IPv6 extension headers.
    pub plain: bool,
}

impl IpFields {
    /// The ECN field (RFC 3168 section 5): 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE.
    #[must_use]
    pub const fn ecn(&self) -> u8 {
        self.traffic_class & 3
    }
}

/// An IP header read as far as the upper-layer protocol.
pub(super) struct IpHeader {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// The upper-layer protocol, none of those that [`refuse`] has a reason for.
    pub(super) protocol: u8,
    /// Octets of all headers before the upper layer's.
    pub(super) len: usize,
    /// Octets of the packet by its own account; the bytes at hand may be fewer.
    pub(super) packet_len: usize,
    pub(super) fields: IpFields,
}

/// Reads the IP header at the start of `packet`, of which the end may be missing.
#[inline]
pub(super) fn read(packet: &[u8]) -> Result<IpHeader, NotTcp> {
    match packet.first().map(|first| first >> 4) {
        Some(4) => read_v4(packet),
        Some(6) => read_v6(packet),
        Some(_) | None => Err(NotTcp::NotIp),
    }
}

#[inline]
fn read_v4(packet: &[u8]) -> Result<IpHeader, NotTcp> {
    let header = packet
        .first_chunk()
        .and_then(HeaderV4::read)
        .ok_or(NotTcp::Truncated)?;
    let len = usize::from(header.version_len & 0x0f).saturating_mul(4);
    let packet_len = usize::from(header.total_len);
    if packet_len == 0 {
        return Err(NotTcp::Jumbo);
    }
    if len < IPV4_HEADER_LEN || packet_len < len {
        return Err(NotTcp::Malformed);
    }
    if header.fragment & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0 {
        return Err(NotTcp::Fragment);
    }
    refuse(header.protocol)?;
    Ok(IpHeader {
        src: IpAddr::V4(Ipv4Addr::from(header.src)),
        dst: IpAddr::V4(Ipv4Addr::from(header.dst)),
        protocol: header.protocol,
        len,
        packet_len,
        fields: IpFields {
            hop_limit: header.hop_limit,
            traffic_class: header.traffic_class,
            flow_label: 0,
            dont_fragment: header.fragment & DONT_FRAGMENT != 0,
            plain: len == IPV4_HEADER_LEN,
        },
    })
}

#[inline]
fn read_v6(packet: &[u8]) -> Result<IpHeader, NotTcp> {
    let header = packet
        .first_chunk()
        .and_then(HeaderV6::read)
        .ok_or(NotTcp::Truncated)?;
    let rest = packet.get(IPV6_HEADER_LEN..).unwrap_or_default();
    let payload_len = usize::from(header.payload_len);
    if payload_len == 0 && !rest.is_empty() {
        return Err(NotTcp::Jumbo);
    }
    let (protocol, extensions_len) = walk_extensions(header.next_header, rest, payload_len)?;
    let [version_class, class_label, ..] = header.version_class_label.to_be_bytes();
    Ok(IpHeader {
        src: IpAddr::V6(Ipv6Addr::from(header.src)),
        dst: IpAddr::V6(Ipv6Addr::from(header.dst)),
        protocol,
        len: IPV6_HEADER_LEN.saturating_add(extensions_len),
        packet_len: IPV6_HEADER_LEN.saturating_add(payload_len),
        fields: IpFields {
            hop_limit: header.hop_limit,
            traffic_class: (version_class << 4) | (class_label >> 4),
            flow_label: header.version_class_label & FLOW_LABEL,
            dont_fragment: true,
            plain: extensions_len == 0,
        },
    })
}

/// The fixed part of an IPv4 header in wire order (RFC 791 section 3.1).
struct HeaderV4 {
    version_len: u8,
    traffic_class: u8,
    total_len: u16,
    fragment: u16,
    hop_limit: u8,
    protocol: u8,
    src: [u8; 4],
    dst: [u8; 4],
}

impl HeaderV4 {
    #[inline(always)]
    fn read(octets: &[u8; IPV4_HEADER_LEN]) -> Option<Self> {
        let mut fields = Reader(octets);
        let (version_len, traffic_class) = (fields.u8()?, fields.u8()?);
        let (total_len, _identification, fragment) = (fields.u16()?, fields.u16()?, fields.u16()?);
        let (hop_limit, protocol, _checksum) = (fields.u8()?, fields.u8()?, fields.u16()?);
        let (src, dst) = (fields.array()?, fields.array()?);
        Some(Self {
            version_len,
            traffic_class,
            total_len,
            fragment,
            hop_limit,
            protocol,
            src,
            dst,
        })
    }
}

/// An IPv6 header in wire order (RFC 8200 section 3).
struct HeaderV6 {
    version_class_label: u32,
    payload_len: u16,
    next_header: u8,
    hop_limit: u8,
    src: [u8; 16],
    dst: [u8; 16],
}

impl HeaderV6 {
    #[inline(always)]
    fn read(octets: &[u8; IPV6_HEADER_LEN]) -> Option<Self> {
        let mut fields = Reader(octets);
        Some(Self {
            version_class_label: fields.u32()?,
            payload_len: fields.u16()?,
            next_header: fields.u8()?,
            hop_limit: fields.u8()?,
            src: fields.array()?,
            dst: fields.array()?,
        })
    }
}

/// Follows the chain of extension headers at the start of `rest`, of which at most `payload_len`
/// octets belong to the packet; answers the upper-layer protocol and the octets before it.
fn walk_extensions(
    next_header: u8,
    rest: &[u8],
    payload_len: usize,
) -> Result<(u8, usize), NotTcp> {
    let mut next_header = next_header;
    let mut walked = 0usize;
    for _ in 0..=MAX_EXTENSIONS {
        match next_header {
            protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::DESTINATION_OPTIONS
            | protocol::MOBILITY
            | protocol::HIP
            | protocol::SHIM6 => {}
            protocol::FRAGMENT => return Err(NotTcp::Fragment),
            _ => return refuse(next_header).map(|()| (next_header, walked)),
        }
        // All of these begin with the next header and their length in units of eight octets, the
        // first unit not counted (RFC 8200 section 4, RFC 6564).
        let Some(&[next, units, ..]) = rest.get(walked..) else {
            return Err(missing(walked.saturating_add(2), payload_len));
        };
        next_header = next;
        walked = usize::from(units)
            .saturating_add(1)
            .saturating_mul(8)
            .saturating_add(walked);
        if walked > payload_len {
            return Err(NotTcp::Malformed);
        }
    }
    Err(NotTcp::Malformed)
}

/// Why `needed` octets are not at hand of a packet that claims `claimed`.
const fn missing(needed: usize, claimed: usize) -> NotTcp {
    if needed > claimed {
        NotTcp::Malformed
    } else {
        NotTcp::Truncated
    }
}

/// Refuses the protocols that hide another packet, or that no one but their ends may change.
#[inline]
const fn refuse(protocol: u8) -> Result<(), NotTcp> {
    match protocol {
        protocol::ESP | protocol::AH => Err(NotTcp::Ipsec),
        protocol::IPV4 | protocol::IPV6 | protocol::GRE | protocol::MPLS => Err(NotTcp::Tunnel),
        _ => Ok(()),
    }
}
