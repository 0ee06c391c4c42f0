//! ICMP errors about segments.

use core::net::{IpAddr, Ipv6Addr};

use etherparse::{IpNumber, Ipv4Header, Ipv6Header};

use super::{Layout, Packet};

/// A packet-too-big message (ICMPv4 type 3 code 4, ICMPv6 type 2) that quotes the head of `packet`,
/// from `router` to the packet's source.
#[must_use]
pub fn packet_too_big(packet: &Packet, mtu: u32) -> Vec<u8> {
    use etherparse::icmpv4::DestUnreachableHeader;
    use etherparse::{Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type};

    let original = packet.encode(Layout::Aligned);
    match packet.source.ip() {
        IpAddr::V4(source) => {
            let quote = &original[..original.len().min(28)];
            let next_hop_mtu = u16::try_from(mtu).expect("an IPv4 MTU");
            let kind =
                Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded {
                    next_hop_mtu,
                });
            let icmp = Icmpv4Header::with_checksum(kind, quote);
            let body = icmp.header_len() + quote.len();
            let mut header = Ipv4Header {
                time_to_live: 60,
                protocol: IpNumber::ICMP,
                source: [198, 51, 100, 1],
                destination: source.octets(),
                ..Ipv4Header::default()
            };
            header.set_payload_len(body).expect("short");
            header.header_checksum = header.calc_header_checksum();
            [&header.to_bytes()[..], &icmp.to_bytes()[..], quote].concat()
        }
        IpAddr::V6(source) => {
            let quote = &original[..original.len().min(1232)];
            let router = Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1).octets();
            let kind = Icmpv6Type::PacketTooBig { mtu };
            let icmp = Icmpv6Header::with_checksum(kind, router, source.octets(), quote)
                .expect("short enough for a checksum");
            let mut header = Ipv6Header {
                next_header: IpNumber::IPV6_ICMP,
                hop_limit: 60,
                source: router,
                destination: source.octets(),
                ..Ipv6Header::default()
            };
            header
                .set_payload_length(icmp.header_len() + quote.len())
                .expect("short");
            [&header.to_bytes()[..], &icmp.to_bytes()[..], quote].concat()
        }
    }
}
