//! From a frame to the IP packet in it: the headers of link layers.

use crate::bytes::Rest;
use crate::source::{Frame, LinkType};

/// An IP packet found in a frame.
#[derive(Debug, Clone, Copy)]
pub struct IpPacket<'a> {
    /// The packet from its IP header on; link-layer trailers are still there.
    pub rest: Rest<'a>,
    /// A number that stands for the VLAN tags and the session the frame came by.
    ///
    /// MPLS labels are left out: the two directions of a connection carry different ones.
    pub link_id: u32,
}

/// Why no IP packet was found in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Undecoded {
    /// The link type is not one of those that are decoded.
    LinkType,
    /// The frame carries another protocol, such as ARP.
    NotIp,
    /// The frame ends before an IP header.
    Short,
}

impl Undecoded {
    /// All values.
    pub const ALL: [Self; 3] = [Self::LinkType, Self::NotIp, Self::Short];

    /// A stable name.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::LinkType => "unknown-link-type",
            Self::NotIp => "not-ip",
            Self::Short => "short-frame",
        }
    }
}

mod ethertype {
    pub(super) const IPV4: u16 = 0x0800;
    pub(super) const IPV6: u16 = 0x86dd;
    pub(super) const VLAN: u16 = 0x8100;
    pub(super) const SERVICE_VLAN: u16 = 0x88a8;
    /// QinQ before IEEE 802.1ad.
    pub(super) const OLD_QINQ: u16 = 0x9100;
    /// The tag of bridge port extenders, IEEE 802.1BR.
    pub(super) const E_TAG: u16 = 0x893f;
    /// Cisco VN-Tag.
    pub(super) const VN_TAG: u16 = 0x8926;
    /// Cisco FabricPath.
    pub(super) const FABRIC_PATH: u16 = 0x8903;
    /// Provider backbone bridging, IEEE 802.1ah.
    pub(super) const BACKBONE: u16 = 0x88e7;
    pub(super) const MPLS: u16 = 0x8847;
    pub(super) const MPLS_UPSTREAM: u16 = 0x8848;
    pub(super) const PPPOE_SESSION: u16 = 0x8864;
    pub(super) const BRIDGING: u16 = 0x6558;
    pub(super) const PPP: u16 = 0x880b;
    /// The least value that is not a length in an IEEE 802.3 frame.
    pub(super) const LEAST: u16 = 0x0600;
}

/// Headers that may follow one another in one frame.
const DEEPEST: usize = 16;

/// What the next header of a frame is.
#[derive(Debug, Clone, Copy)]
enum Next {
    Ethernet,
    EtherType(u16),
    Llc,
    Ppp,
    Mpls,
    Ip,
    Ipv6,
}

/// Finds the IP packet in `frame`.
///
/// # Errors
/// Why there is none: see [`Undecoded`].
pub fn decode<'a>(frame: &Frame<'a>) -> Result<IpPacket<'a>, Undecoded> {
    let rest = Rest::new(frame.data, frame.wire_len);
    let (next, header) = match frame.link {
        LinkType::ETHERNET => (Next::Ethernet, 0),
        LinkType::FDDI => (Next::Llc, 13),
        LinkType::RAW | LinkType::IPV4 => (Next::Ip, 0),
        LinkType::IPV6 => (Next::Ipv6, 0),
        link if LinkType::OLD_RAW.contains(&link) => (Next::Ip, 0),
        LinkType::NULL | LinkType::LOOP => (family(rest)?, 4),
        LinkType::LINUX_SLL => (cooked(rest.u16(14))?, 16),
        LinkType::LINUX_SLL2 => (cooked(rest.u16(0))?, 20),
        LinkType::PPP | LinkType::PPP_HDLC => (Next::Ppp, 0),
        LinkType::PPP_ETHER => (Next::EtherType(ethertype::PPPOE_SESSION), 0),
        LinkType::C_HDLC => (Next::EtherType(rest.u16(2).ok_or(Undecoded::Short)?), 4),
        _ => return Err(Undecoded::LinkType),
    };
    let rest = rest.skip(header).ok_or(Undecoded::Short)?;
    headers(next, rest)
}

/// Finds the IP packet behind an EtherType: what GRE and Geneve carry.
///
/// # Errors
/// Why there is none: see [`Undecoded`].
pub fn decode_ethertype(ethertype: u16, rest: Rest<'_>) -> Result<IpPacket<'_>, Undecoded> {
    headers(Next::EtherType(ethertype), rest)
}

/// Finds the IP packet in an Ethernet frame: what VXLAN carries.
///
/// # Errors
/// Why there is none: see [`Undecoded`].
pub fn decode_ethernet(rest: Rest<'_>) -> Result<IpPacket<'_>, Undecoded> {
    headers(Next::Ethernet, rest)
}

/// Finds the IP packet in a PPP frame: what L2TP carries.
///
/// # Errors
/// Why there is none: see [`Undecoded`].
pub fn decode_ppp(rest: Rest<'_>) -> Result<IpPacket<'_>, Undecoded> {
    headers(Next::Ppp, rest)
}

/// Finds the IP packet behind an MPLS label stack.
///
/// # Errors
/// Why there is none: see [`Undecoded`].
pub fn decode_mpls(rest: Rest<'_>) -> Result<IpPacket<'_>, Undecoded> {
    headers(Next::Mpls, rest)
}

/// Walks from header to header until an IP packet begins.
fn headers(mut next: Next, mut rest: Rest<'_>) -> Result<IpPacket<'_>, Undecoded> {
    let mut link_id = 0;
    for _ in 0..DEEPEST {
        let (following, octets) = match next {
            Next::Ip => return ip(rest, link_id, &[4, 6]),
            Next::Ipv6 => return ip(rest, link_id, &[6]),
            Next::Ethernet => (after_length_or_type(rest.u16(12), &mut rest, 14)?, 14),
            Next::EtherType(ethertype) => match ethertype {
                ethertype::IPV4 => (Next::Ip, 0),
                ethertype::IPV6 => (Next::Ipv6, 0),
                ethertype::VLAN | ethertype::SERVICE_VLAN | ethertype::OLD_QINQ => {
                    vlan(&mut rest, &mut link_id)?
                }
                ethertype::E_TAG => (after_length_or_type(rest.u16(6), &mut rest, 8)?, 8),
                ethertype::VN_TAG => (after_length_or_type(rest.u16(4), &mut rest, 6)?, 6),
                ethertype::FABRIC_PATH => (Next::Ethernet, 2),
                ethertype::BACKBONE => (Next::Ethernet, 4),
                ethertype::MPLS | ethertype::MPLS_UPSTREAM => (Next::Mpls, 0),
                ethertype::PPPOE_SESSION => {
                    let session = rest.u16(2).ok_or(Undecoded::Short)?;
                    mix(&mut link_id, 0x2_0000 | u32::from(session));
                    let length = rest.u16(4).ok_or(Undecoded::Short)?;
                    rest = rest.limit(6 + usize::from(length));
                    (Next::Ppp, 6)
                }
                ethertype::BRIDGING => (Next::Ethernet, 0),
                ethertype::PPP => (Next::Ppp, 0),
                _ => return Err(Undecoded::NotIp),
            },
            Next::Llc => match rest.array::<8>(0) {
                Some([0xaa, 0xaa, 0x03, 0, 0, 0, high, low]) => {
                    (Next::EtherType(u16::from_be_bytes([high, low])), 8)
                }
                // The service access point of IP.
                Some([0x06, _, 0x03, ..]) => (Next::Ip, 3),
                _ => return Err(Undecoded::NotIp),
            },
            Next::Ppp => ppp(rest)?,
            Next::Mpls => {
                let label = rest.u32(0).ok_or(Undecoded::Short)?;
                let bottom = label & 0x100 != 0;
                (
                    if bottom {
                        after_mpls(rest.skip(4))?
                    } else {
                        Next::Mpls
                    },
                    4,
                )
            }
        };
        rest = rest.skip(octets).ok_or(Undecoded::Short)?;
        next = following;
    }
    Err(Undecoded::NotIp)
}

/// An IP packet if its version is one of `versions`.
fn ip<'a>(rest: Rest<'a>, link_id: u32, versions: &[u8]) -> Result<IpPacket<'a>, Undecoded> {
    let version = rest.u8(0).ok_or(Undecoded::Short)? >> 4;
    if versions.contains(&version) {
        Ok(IpPacket { rest, link_id })
    } else {
        Err(Undecoded::NotIp)
    }
}

/// A VLAN tag, whatever its EtherType.
fn vlan(rest: &mut Rest<'_>, link_id: &mut u32) -> Result<(Next, usize), Undecoded> {
    let tag = rest.u16(0).ok_or(Undecoded::Short)?;
    mix(link_id, 0x1_0000 | u32::from(tag & 0x0fff));
    Ok((after_length_or_type(rest.u16(2), rest, 4)?, 4))
}

/// What follows the field that is an EtherType or, in IEEE 802.3, a length.
fn after_length_or_type(
    field: Option<u16>,
    rest: &mut Rest<'_>,
    header: usize,
) -> Result<Next, Undecoded> {
    let field = field.ok_or(Undecoded::Short)?;
    if field >= ethertype::LEAST {
        return Ok(Next::EtherType(field));
    }
    *rest = rest.limit(header + usize::from(field));
    Ok(Next::Llc)
}

/// A PPP protocol number, which may be compressed to one octet, perhaps after HDLC octets.
fn ppp(rest: Rest<'_>) -> Result<(Next, usize), Undecoded> {
    let hdlc = if rest.u8(0) == Some(0xff) { 2 } else { 0 };
    let first = rest.u8(hdlc).ok_or(Undecoded::Short)?;
    // An odd first octet is the whole number: the protocol field is compressed.
    let (protocol, octets) = if first & 1 == 1 {
        (u16::from(first), 1)
    } else {
        (rest.u16(hdlc).ok_or(Undecoded::Short)?, 2)
    };
    match protocol {
        0x0021 => Ok((Next::Ip, hdlc + octets)),
        0x0057 => Ok((Next::Ipv6, hdlc + octets)),
        0x0281 | 0x0283 => Ok((Next::Mpls, hdlc + octets)),
        _ => Err(Undecoded::NotIp),
    }
}

/// What an MPLS label stack carries: nothing says so but its first octets.
fn after_mpls(payload: Option<Rest<'_>>) -> Result<Next, Undecoded> {
    let payload = payload.ok_or(Undecoded::Short)?;
    match payload.u8(0).ok_or(Undecoded::Short)? >> 4 {
        4 | 6 => Ok(Next::Ip),
        _ => Err(Undecoded::NotIp),
    }
}

/// The address family before a packet on a BSD loopback, in either byte order.
fn family(rest: Rest<'_>) -> Result<Next, Undecoded> {
    const INET: u32 = 2;
    // The number for IPv6 differs from system to system.
    const INET6: [u32; 3] = [24, 28, 30];
    let family = rest.u32(0).ok_or(Undecoded::Short)?;
    let family = if family > 0xffff {
        family.swap_bytes()
    } else {
        family
    };
    if family == INET {
        return Ok(Next::Ip);
    }
    if INET6.contains(&family) {
        return Ok(Next::Ipv6);
    }
    u16::try_from(family)
        .ok()
        .filter(|&ethertype| ethertype >= ethertype::LEAST)
        .map(Next::EtherType)
        .ok_or(Undecoded::NotIp)
}

/// The protocol field of a cooked capture.
fn cooked(protocol: Option<u16>) -> Result<Next, Undecoded> {
    /// IEEE 802.2 frames have no EtherType.
    const LLC: u16 = 4;
    match protocol.ok_or(Undecoded::Short)? {
        LLC => Ok(Next::Llc),
        ethertype if ethertype >= ethertype::LEAST => Ok(Next::EtherType(ethertype)),
        _ => Err(Undecoded::NotIp),
    }
}

/// Folds one tag into a link's number, so that the order of tags matters.
const fn mix(link_id: &mut u32, tag: u32) {
    // FNV-1a over 32-bit words: any fixed mixing does, equality is all that counts.
    *link_id = (*link_id ^ tag).wrapping_mul(0x0100_0193);
}
