//! From an IP packet to the TCP segment in it: extension headers, fragments, tunnels.
//!
//! This is the replayer's own decoder, apart from the engine's: it counts what is in the
//! capture, whatever the engine makes of it.

mod defrag;
mod options;
mod sum;
mod tcp;
mod tunnel;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::bytes::Rest;
use crate::link::IpPacket;
use defrag::{Defrag, Fragment, FragmentKey};
pub use options::Options;
pub use tcp::{Flags, Segment, Sum};

/// IP packets and tunnels that may be inside one another.
const DEEPEST: u8 = 12;

/// Assigned numbers of IP protocols.
mod protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ICMP: u8 = 1;
    pub(super) const IPV4: u8 = 4;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const IPV6: u8 = 41;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const GRE: u8 = 47;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const ICMPV6: u8 = 58;
    pub(super) const DESTINATION: u8 = 60;
    pub(super) const ETHERIP: u8 = 97;
    pub(super) const MOBILITY: u8 = 135;
    pub(super) const HIP: u8 = 139;
    pub(super) const SHIM6: u8 = 140;
    pub(super) const MPLS: u8 = 137;
}

/// What was found in one IP packet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dissection {
    /// The innermost TCP segment.
    pub segment: Option<Segment>,
    /// Whether the segment, or what else there is, came inside another IP packet.
    pub tunnel: bool,
    /// IP fragments met, of whatever protocol.
    pub fragments: u8,
    /// Octets of the outer IP packet as its header states them; zero if it states nothing usable.
    pub ip_len: usize,
    /// The addresses and ports of the TCP segment that an ICMP error quotes.
    pub quoted: Option<Quoted>,
}

/// A TCP segment that an ICMP error message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    /// Who sent the segment.
    pub source: (IpAddr, u16),
    /// Where it was going.
    pub target: (IpAddr, u16),
}

/// A decoder with the fragments it has gathered.
#[derive(Debug, Default)]
pub struct Dissector {
    defrag: Defrag,
}

/// The addresses of the IP header that a transport header belongs to, and the link it came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Addresses {
    source: IpAddr,
    target: IpAddr,
    link_id: u32,
}

impl Dissector {
    /// A decoder without fragments.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for a TCP segment in `packet`.
    pub fn dissect(&mut self, packet: &IpPacket<'_>) -> Dissection {
        let mut found = Dissection::default();
        self.ip(packet, 0, &mut found);
        found
    }

    fn ip(&mut self, packet: &IpPacket<'_>, depth: u8, found: &mut Dissection) {
        if depth >= DEEPEST {
            return;
        }
        found.tunnel |= depth > 0;
        match packet.rest.u8(0).map(|octet| octet >> 4) {
            Some(4) => self.ipv4(packet, depth, found),
            Some(6) => self.ipv6(packet, depth, found),
            _ => None,
        };
    }

    fn ipv4(&mut self, packet: &IpPacket<'_>, depth: u8, found: &mut Dissection) -> Option<()> {
        let &IpPacket { rest, link_id } = packet;
        let header: [u8; 20] = rest.array(0)?;
        let header_len = usize::from(header[0] & 15) * 4;
        let total = match usize::from(u16::from_be_bytes([header[2], header[3]])) {
            // Left to the network card to fill in: the frame says how long it is.
            0 => rest.wire_len,
            total => total,
        };
        if header_len < 20 || total < header_len {
            return None;
        }
        if depth == 0 {
            found.ip_len = total.min(rest.wire_len);
        }
        let addresses = Addresses {
            source: IpAddr::V4(Ipv4Addr::from(*header[12..].first_chunk::<4>()?)),
            target: IpAddr::V4(Ipv4Addr::from(*header[16..].first_chunk::<4>()?)),
            link_id,
        };
        let protocol = header[9];
        let payload = rest.limit(total).skip(header_len)?;
        let whole = total <= rest.data.len();
        let fragmentation = u16::from_be_bytes([header[6], header[7]]);
        let (more, offset) = (
            fragmentation & 0x2000 != 0,
            usize::from(fragmentation & 0x1fff) * 8,
        );
        if !more && offset == 0 {
            self.transport(protocol, addresses, payload, depth, found);
            return Some(());
        }
        let id = u32::from(u16::from_be_bytes([header[4], header[5]]));
        let key = FragmentKey {
            addresses,
            id,
            protocol: Some(protocol),
        };
        let fragment = Fragment {
            offset,
            more,
            whole,
            payload,
        };
        found.fragments = found.fragments.saturating_add(1);
        let datagram = self.defrag.add(key, fragment)?;
        self.transport(
            protocol,
            addresses,
            Rest::new(&datagram, datagram.len()),
            depth,
            found,
        );
        Some(())
    }

    fn ipv6(&mut self, packet: &IpPacket<'_>, depth: u8, found: &mut Dissection) -> Option<()> {
        const HEADER: usize = 40;
        let &IpPacket { rest, link_id } = packet;
        let header: [u8; HEADER] = rest.array(0)?;
        let stated = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let addresses = Addresses {
            source: IpAddr::V6(Ipv6Addr::from(*header[8..].first_chunk::<16>()?)),
            target: IpAddr::V6(Ipv6Addr::from(*header[24..].first_chunk::<16>()?)),
            link_id,
        };
        // No length in the header: a jumbogram's option holds it.
        let payload_len = match stated {
            0 => jumbo_payload(header[6], rest),
            stated => Some(stated),
        };
        if depth == 0 {
            found.ip_len =
                payload_len.map_or(rest.wire_len, |len| (HEADER + len).min(rest.wire_len));
        }
        let payload_len = payload_len?;
        let payload = rest.limit(HEADER + payload_len).skip(HEADER)?;
        let whole = HEADER + payload_len <= rest.data.len();
        self.extensions(header[6], addresses, payload, whole, depth, found)
    }

    /// Walks the extension headers of an IPv6 packet, or of the datagram its fragments gave.
    fn extensions(
        &mut self,
        mut next: u8,
        mut addresses: Addresses,
        mut rest: Rest<'_>,
        whole: bool,
        depth: u8,
        found: &mut Dissection,
    ) -> Option<()> {
        loop {
            let length = match next {
                protocol::HOP_BY_HOP | protocol::DESTINATION => {
                    let length = (usize::from(rest.u8(1)?) + 1) * 8;
                    let home = check_options(rest.data.get(2..length)?)?;
                    addresses.source = home.map_or(addresses.source, IpAddr::V6);
                    length
                }
                protocol::MOBILITY | protocol::HIP | protocol::SHIM6 => {
                    (usize::from(rest.u8(1)?) + 1) * 8
                }
                protocol::ROUTING => {
                    if let Some(last) = final_destination(rest) {
                        addresses.target = IpAddr::V6(last);
                    }
                    (usize::from(rest.u8(1)?) + 1) * 8
                }
                protocol::FRAGMENT => {
                    let [following, _, high, low, id @ ..]: [u8; 8] = rest.array(0)?;
                    let field = u16::from_be_bytes([high, low]);
                    let (more, offset) = (field & 1 != 0, usize::from(field & 0xfff8));
                    let payload = rest.skip(8)?;
                    if more || offset > 0 {
                        let key = FragmentKey {
                            addresses,
                            id: u32::from_be_bytes(id),
                            protocol: None,
                        };
                        let fragment = Fragment {
                            offset,
                            more,
                            whole,
                            payload,
                        };
                        found.fragments = found.fragments.saturating_add(1);
                        let datagram = self.defrag.add(key, fragment)?;
                        let rest = Rest::new(&datagram, datagram.len());
                        return self.extensions(following, addresses, rest, true, depth, found);
                    }
                    next = following;
                    rest = payload;
                    continue;
                }
                _ => {
                    self.transport(next, addresses, rest, depth, found);
                    return Some(());
                }
            };
            next = rest.u8(0)?;
            rest = rest.skip(length)?;
        }
    }

    fn transport(
        &mut self,
        protocol: u8,
        addresses: Addresses,
        rest: Rest<'_>,
        depth: u8,
        found: &mut Dissection,
    ) {
        match protocol {
            protocol::TCP => found.segment = tcp::segment(addresses, rest),
            protocol::IPV4 | protocol::IPV6 => {
                self.ip(
                    &IpPacket {
                        rest,
                        link_id: addresses.link_id,
                    },
                    depth + 1,
                    found,
                );
            }
            protocol::AUTHENTICATION => {
                if let Some((next, inner)) = authenticated(rest) {
                    self.transport(next, addresses, inner, depth, found);
                }
            }
            protocol::GRE => self.inside(tunnel::gre(rest), depth, found),
            protocol::UDP => self.inside(tunnel::udp(rest), depth, found),
            protocol::ETHERIP => self.inside(tunnel::etherip(rest), depth, found),
            protocol::MPLS => self.inside(crate::link::decode_mpls(rest).ok(), depth, found),
            protocol::ICMP | protocol::ICMPV6 if depth == 0 => {
                found.quoted = quoted(protocol, rest);
            }
            _ => {}
        }
    }

    fn inside(&mut self, packet: Option<IpPacket<'_>>, depth: u8, found: &mut Dissection) {
        if let Some(packet) = packet {
            self.ip(&packet, depth + 1, found);
        }
    }
}

/// Walks the options of a hop-by-hop or destination header; `None` if one overruns its header.
///
/// Answers the home address of a mobile sender, which is the pseudo-header's source (RFC 6275
/// section 6.3).
fn check_options(mut options: &[u8]) -> Option<Option<Ipv6Addr>> {
    const PAD_1: u8 = 0;
    const HOME_ADDRESS: u8 = 0xc9;
    let mut home = None;
    while let Some((&kind, rest)) = options.split_first() {
        if kind == PAD_1 {
            options = rest;
            continue;
        }
        let (&length, rest) = rest.split_first()?;
        let (value, rest) = rest.split_at_checked(length.into())?;
        if kind == HOME_ADDRESS {
            home = <[u8; 16]>::try_from(value).ok().map(Ipv6Addr::from);
        }
        options = rest;
    }
    Some(home)
}

/// The payload length that a jumbogram's hop-by-hop option states (RFC 2675).
fn jumbo_payload(next: u8, rest: Rest<'_>) -> Option<usize> {
    const JUMBO: [u8; 2] = [0xc2, 4];
    const LEAST: u32 = 0x1_0000;
    // Alignment puts the option first in the header.
    let option: [u8; 2] = rest.array(42)?;
    let length = rest.u32(44)?;
    (next == protocol::HOP_BY_HOP && option == JUMBO && length >= LEAST).then_some(length as usize)
}

/// The last address of a routing header that has segments left: the pseudo-header's destination.
fn final_destination(rest: Rest<'_>) -> Option<Ipv6Addr> {
    const SOURCE_ROUTE: u8 = 0;
    const MOBILE: u8 = 2;
    const SEGMENT: u8 = 4;
    let [_, length, kind, left]: [u8; 4] = rest.array(0)?;
    if left == 0 {
        return None;
    }
    let at = match kind {
        SOURCE_ROUTE | MOBILE => (usize::from(length) * 8).checked_sub(8)?,
        SEGMENT => 8,
        _ => return None,
    };
    rest.array::<16>(at).map(Ipv6Addr::from)
}

/// What follows an authentication header, which protects but does not hide it.
fn authenticated(rest: Rest<'_>) -> Option<(u8, Rest<'_>)> {
    let length = (usize::from(rest.u8(1)?) + 2) * 4;
    Some((rest.u8(0)?, rest.skip(length)?))
}

/// The TCP segment that an ICMP error quotes.
fn quoted(protocol: u8, rest: Rest<'_>) -> Option<Quoted> {
    const ERRORS: [u8; 5] = [3, 4, 5, 11, 12];
    let kind = rest.u8(0)?;
    let is_error = if protocol == protocol::ICMP {
        ERRORS.contains(&kind)
    } else {
        kind < 128
    };
    let inner = rest.skip(8)?;
    let (source, target, at) = match inner.u8(0)? >> 4 {
        4 if inner.u8(9)? == protocol::TCP => (
            IpAddr::from(inner.array::<4>(12)?),
            IpAddr::from(inner.array::<4>(16)?),
            usize::from(inner.u8(0)? & 15) * 4,
        ),
        6 if inner.u8(6)? == protocol::TCP => (
            IpAddr::from(inner.array::<16>(8)?),
            IpAddr::from(inner.array::<16>(24)?),
            40,
        ),
        _ => return None,
    };
    is_error.then_some(Quoted {
        source: (source, inner.u16(at)?),
        target: (target, inner.u16(at + 2)?),
    })
}
