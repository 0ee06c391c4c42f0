//! The parser against etherparse.

use etherparse::{IpSlice, LaxIpSlice, TcpSlice};
use localack_core::wire::{
    IcmpError, IpVersion, NotTcp, Parsed, Segment, checksum, parse, parse_headers,
};

/// Extension headers that the parser follows; a longer chain is refused.
const MOST_EXTENSIONS: usize = 8;

/// Parses `packet` and compares with etherparse.
///
/// # Panics
/// If the two disagree.
pub fn wire_parse(packet: &[u8]) {
    let parsed = parse(packet);
    match parsed {
        Parsed::Tcp(seg) => {
            assert_eq!(
                parse_headers(packet),
                parsed,
                "whole segments need no leniency"
            );
            is_consistent(packet, &seg);
            agrees(packet, &seg);
        }
        Parsed::Icmp(error) => {
            assert_eq!(parse_headers(packet), parsed);
            quotes(packet, &error);
        }
        Parsed::Other(reason) => {
            assert!(
                !is_ordinary(packet),
                "an ordinary segment was refused: {reason:?}"
            );
            if let Parsed::Tcp(cut) = parse_headers(packet) {
                assert_eq!(reason, NotTcp::Truncated);
                assert_eq!(cut.payload(packet), b"");
                assert!(usize::try_from(cut.packet_len).is_ok_and(|len| len > packet.len()));
            }
        }
    }
}

/// That offsets and lengths fit the packet and each other.
fn is_consistent(packet: &[u8], seg: &Segment) {
    let octets = |number: u32| usize::try_from(number).expect("a short packet");
    assert_eq!(seg.payload(packet).len(), octets(seg.payload_len));
    assert_eq!(seg.header(packet).len(), usize::from(seg.header_len()));
    assert_eq!(
        u32::from(seg.payload_offset) + seg.payload_len,
        seg.packet_len
    );
    assert!(octets(seg.packet_len) <= packet.len());
}

/// Whether etherparse sees a whole TCP segment in nothing but ordinary headers.
fn is_ordinary(packet: &[u8]) -> bool {
    let Ok(ip) = IpSlice::from_slice(packet) else {
        return false;
    };
    let payload = ip.payload();
    // A length of zero stands for a jumbogram or an unfinished header; etherparse takes what there is.
    let counted = match &ip {
        IpSlice::Ipv4(ip) => ip.header().total_len() != 0 && ip.extensions().auth.is_none(),
        IpSlice::Ipv6(ip) => {
            ip.header().payload_length() != 0
                && ip.extensions().clone().into_iter().count() <= MOST_EXTENSIONS
                && !ip.extensions().clone().into_iter().any(|extension| {
                    use etherparse::Ipv6ExtensionSlice::{Authentication, Fragment};
                    matches!(extension, Authentication(_) | Fragment(_))
                })
        }
    };
    counted
        && !payload.fragmented
        && payload.ip_number == etherparse::IpNumber::TCP
        && TcpSlice::from_slice(payload.payload).is_ok()
}

/// That `seg` says what etherparse says about `packet`.
fn agrees(packet: &[u8], seg: &Segment) {
    let Ok(ip) = IpSlice::from_slice(packet) else {
        // etherparse insists on the order of extension headers (RFC 8200 section 4.1), which does
        // not matter to an engine that leaves alone all packets that have any.
        assert!(
            seg.version == IpVersion::V6 && !seg.ip.plain,
            "etherparse reads no IP header"
        );
        return;
    };
    if ip.payload().ip_number != etherparse::IpNumber::TCP {
        // It stops at some extension headers, Shim6 (RFC 5533) among them.
        assert!(
            seg.version == IpVersion::V6 && !seg.ip.plain,
            "etherparse sees no TCP"
        );
        return;
    }
    let tcp = TcpSlice::from_slice(ip.payload().payload).expect("etherparse reads the TCP header");
    assert_eq!(
        (seg.src, seg.dst),
        (ip.source_addr(), ip.destination_addr())
    );
    let computed = match &ip {
        IpSlice::Ipv4(ip) => {
            let header = ip.header();
            assert_eq!(seg.version, IpVersion::V4);
            assert_eq!(seg.ip.hop_limit, header.ttl());
            assert_eq!(
                seg.ip.traffic_class,
                header.dcp().value() << 2 | header.ecn().value()
            );
            assert_eq!(seg.ip.dont_fragment, header.dont_fragment());
            assert_eq!(seg.ip.plain, header.options().is_empty());
            assert_eq!(seg.packet_len, u32::from(header.total_len()));
            tcp.calc_checksum_ipv4(header.source(), header.destination())
        }
        IpSlice::Ipv6(ip) => {
            let header = ip.header();
            assert_eq!(seg.version, IpVersion::V6);
            assert_eq!(seg.ip.hop_limit, header.hop_limit());
            assert_eq!(seg.ip.traffic_class, header.traffic_class());
            assert_eq!(seg.ip.flow_label, header.flow_label().value());
            assert_eq!(seg.ip.plain, ip.extensions().is_empty());
            assert_eq!(seg.packet_len, 40 + u32::from(header.payload_length()));
            tcp.calc_checksum_ipv6(header.source(), header.destination())
        }
    }
    .expect("the segment is shorter than 4 GiB");
    assert_eq!(
        (seg.src_port, seg.dst_port),
        (tcp.source_port(), tcp.destination_port())
    );
    assert_eq!(seg.seq.raw(), tcp.sequence_number());
    assert_eq!(seg.ack.raw(), tcp.acknowledgment_number());
    assert_eq!(seg.flags.bits(), tcp.slice()[13]);
    assert_eq!(seg.accurate_ecn, tcp.ns());
    assert_eq!(seg.window, tcp.window_size());
    assert_eq!(seg.urgent, tcp.urgent_pointer());
    assert_eq!(seg.checksum, tcp.checksum());
    assert_eq!(seg.header(packet), tcp.header_slice());
    assert_eq!(seg.payload(packet), tcp.payload());
    // Zero has two forms in one's complement; a receiver that adds everything up takes either.
    let right = seg.checksum == computed || (computed == 0 && seg.checksum == 0xffff);
    assert_eq!(
        checksum::verify(packet, seg),
        right,
        "checksum {:#06x}, computed {computed:#06x}",
        seg.checksum
    );
}

/// That `error` names the hosts and the segment that etherparse finds in `packet`.
fn quotes(packet: &[u8], error: &IcmpError) {
    let outer = IpSlice::from_slice(packet).expect("etherparse reads the IP header");
    assert_eq!(
        (error.outer_src, error.outer_dst),
        (outer.source_addr(), outer.destination_addr())
    );
    let original = outer
        .payload()
        .payload
        .get(8..)
        .expect("eight octets of ICMP header");
    let (quoted, _) = LaxIpSlice::from_slice(original).expect("etherparse reads the quotation");
    assert_eq!(
        (error.quoted.src, error.quoted.dst),
        (quoted.source_addr(), quoted.destination_addr())
    );
    let Some((tcp, _)) = quoted.payload().payload.split_first_chunk::<8>() else {
        panic!("less than eight octets of TCP are quoted")
    };
    let [a, b, c, d, seq @ ..] = *tcp;
    assert_eq!(error.quoted.src_port, u16::from_be_bytes([a, b]));
    assert_eq!(error.quoted.dst_port, u16::from_be_bytes([c, d]));
    assert_eq!(error.quoted.seq.raw(), u32::from_be_bytes(seq));
}
