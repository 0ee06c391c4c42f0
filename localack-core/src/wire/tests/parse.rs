use std::vec;
use std::vec::Vec;

use etherparse::{IpNumber, IpSlice, TcpOptionElement, TcpSlice};
use proptest::collection;
use proptest::prelude::*;

use super::packets::{Sample, any_sample, segment_of, v4, v6};
use crate::wire::{Flags, IpVersion, NotTcp, Parsed, Segment, parse, parse_headers};

const VERSIONS: [IpVersion; 2] = [IpVersion::V4, IpVersion::V6];

/// Octets of the IP header that [`Sample::packet`] writes.
fn ip_len(version: IpVersion) -> usize {
    match version {
        IpVersion::V4 => 20,
        IpVersion::V6 => 40,
    }
}

fn refusal(packet: &[u8]) -> Option<NotTcp> {
    match parse(packet) {
        Parsed::Other(reason) => Some(reason),
        Parsed::Tcp(_) | Parsed::Icmp(_) => None,
    }
}

#[test]
fn what_is_not_ip_is_refused() {
    for packet in [&[][..], &[0x00], &[0x55; 60], &[0xff; 60]] {
        assert_eq!(refusal(packet), Some(NotTcp::NotIp));
    }
}

#[test]
fn a_packet_cut_anywhere_is_truncated() {
    for version in VERSIONS {
        let packet = Sample::new(version, &[1, 1, 1, 0], b"payload").packet();
        for len in 1..packet.len() {
            assert_eq!(
                refusal(&packet[..len]),
                Some(NotTcp::Truncated),
                "{version:?} {len}"
            );
        }
    }
}

#[test]
fn a_capture_may_lack_the_payload_but_not_the_header() {
    for version in VERSIONS {
        let sample = Sample::new(version, &[1, 1, 1, 0], b"payload");
        let packet = sample.packet();
        let headers = ip_len(version) + 24;
        for len in headers..packet.len() {
            let Parsed::Tcp(seg) = parse_headers(&packet[..len]) else {
                panic!("{len}")
            };
            assert_eq!(seg, segment_of(&packet));
            assert_eq!(seg.payload(&packet[..len]), b"");
            assert_eq!(seg.payload_len, 7);
        }
        let cut = parse_headers(&packet[..headers - 1]);
        assert_eq!(cut, Parsed::Other(NotTcp::Truncated));
    }
}

#[test]
fn padding_of_the_link_is_not_payload() {
    for version in VERSIONS {
        let mut packet = Sample::new(version, &[], b"").packet();
        let len = packet.len();
        packet.resize(len + 6, 0xee);
        let seg = segment_of(&packet);
        assert_eq!(usize::try_from(seg.packet_len), Ok(len));
        assert!(!seg.has_payload());
        assert_eq!(seg.payload(&packet), b"");
    }
}

#[test]
fn a_fragment_is_refused_even_if_it_is_the_only_one() {
    let tcp = Sample::new(IpVersion::V4, &[], b"x").tcp();
    for (high, low) in [(0x20, 0), (0x00, 1), (0x1f, 0xff), (0x40, 9)] {
        let mut packet = v4(6, &[], &tcp);
        (packet[6], packet[7]) = (high, low);
        assert_eq!(refusal(&packet), Some(NotTcp::Fragment));
    }
    let atomic = v6(6, &[(44, vec![0; 6])], &tcp);
    assert_eq!(refusal(&atomic), Some(NotTcp::Fragment));
    let behind_options = v6(6, &[(60, vec![1, 4, 0, 0, 0, 0]), (44, vec![0; 6])], &tcp);
    assert_eq!(refusal(&behind_options), Some(NotTcp::Fragment));
}

#[test]
fn an_ip_length_of_zero_is_a_jumbo_packet() {
    for (version, field) in [(IpVersion::V4, 2), (IpVersion::V6, 4)] {
        let mut packet = Sample::new(version, &[], &[7; 70_000]).packet();
        packet[field..field + 2].copy_from_slice(&[0, 0]);
        assert_eq!(refusal(&packet), Some(NotTcp::Jumbo));
    }
}

/// RFC 791 section 3.1: the total length counts the header, and there need be nothing else.
#[test]
fn rfc791_3_1_a_header_without_a_payload_is_well_formed() {
    for (protocol, reason) in [(17, NotTcp::Protocol), (50, NotTcp::Ipsec)] {
        let mut packet = v4(protocol, &[], &[]);
        assert_eq!(packet.len(), 20);
        assert_eq!(refusal(&packet), Some(reason));
        packet[6] |= 0x20;
        assert_eq!(refusal(&packet), Some(NotTcp::Fragment));
        packet[3] = 19;
        assert_eq!(refusal(&packet), Some(NotTcp::Malformed));
    }
}

#[test]
fn other_protocols_have_their_reasons() {
    let cases = [
        (50, NotTcp::Ipsec),
        (51, NotTcp::Ipsec),
        (4, NotTcp::Tunnel),
        (41, NotTcp::Tunnel),
        (47, NotTcp::Tunnel),
        (137, NotTcp::Tunnel),
        (17, NotTcp::Protocol),
        (132, NotTcp::Protocol),
        (59, NotTcp::Protocol),
        (255, NotTcp::Protocol),
    ];
    for (protocol, reason) in cases {
        assert_eq!(
            refusal(&v4(protocol, &[], &[0; 40])),
            Some(reason),
            "{protocol}"
        );
        assert_eq!(
            refusal(&v6(protocol, &[], &[0; 40])),
            Some(reason),
            "{protocol}"
        );
        let behind_routing = v6(protocol, &[(43, vec![0; 6])], &[0; 40]);
        assert_eq!(refusal(&behind_routing), Some(reason), "{protocol}");
        // Known from the header alone, however much is cut off.
        assert_eq!(
            refusal(&v4(protocol, &[], &[0; 40])[..20]),
            Some(reason),
            "{protocol}"
        );
    }
    // ICMP belongs to its own IP version only.
    assert_eq!(refusal(&v4(58, &[], &[0; 40])), Some(NotTcp::Protocol));
    assert_eq!(refusal(&v6(1, &[], &[0; 40])), Some(NotTcp::Protocol));
}

#[test]
fn headers_that_contradict_themselves_are_malformed() {
    let malformed = |packet: &[u8]| assert_eq!(refusal(packet), Some(NotTcp::Malformed));
    let good = Sample::new(IpVersion::V4, &[], b"").packet();
    let with = |at: usize, octet: u8| {
        let mut packet = good.clone();
        packet[at] = octet;
        packet
    };
    malformed(&with(0, 0x44)); // an IPv4 header of four words
    malformed(&with(3, 19)); // an IPv4 length below its header's
    malformed(&with(3, 39)); // no room for a TCP header
    malformed(&with(32, 0x40)); // a TCP header of four words
    malformed(&with(32, 0x60)); // a TCP header past the end of the packet

    // Whatever the protocol behind them, lengths that contradict each other come first.
    let mut short = v4(17, &[], &[0; 8]);
    short[3] = 19;
    malformed(&short);
    let mut overlong = v6(17, &[(60, vec![0; 6])], &[0; 8]);
    overlong[41] = 2;
    malformed(&overlong);
    malformed(&v6(60, &[(0, vec![0; 6])], &[])); // the chain goes on, the packet does not
    let ends = v6(59, &[(0, vec![0; 6])], &[]); // both end here: there is no next header
    assert_eq!(refusal(&ends), Some(NotTcp::Protocol));
    malformed(&v6(6, &[], &[]));

    // And before the reason that the end of a capture would give.
    let mut cut = Sample::new(IpVersion::V4, &[], b"payload").packet();
    cut[32] = 0x40;
    assert_eq!(parse_headers(&cut[..41]), Parsed::Other(NotTcp::Malformed));
}

#[test]
fn a_chain_of_extension_headers_cut_short_is_truncated() {
    let chain = [(0, vec![0; 6]), (60, vec![0; 14])];
    let packet = v6(6, &chain, &Sample::new(IpVersion::V6, &[], b"x").tcp());
    for len in 41..packet.len() {
        assert_eq!(refusal(&packet[..len]), Some(NotTcp::Truncated), "{len}");
    }
    // What the packet claims would just do.
    let claimed = v6(60, &[], &[6, 0]);
    assert_eq!(refusal(&claimed[..41]), Some(NotTcp::Truncated));
}

#[test]
fn a_chain_of_extension_headers_is_walked_up_to_a_bound() {
    let sample = Sample::new(IpVersion::V6, &[], b"behind all that");
    let chain = |len| vec![(60, vec![1, 4, 0, 0, 0, 0]); len];
    for len in 0..=8 {
        let seg = segment_of(&v6(6, &chain(len), &sample.tcp()));
        assert_eq!(usize::from(seg.tcp_offset), 40 + 8 * len);
        assert_eq!(seg.ip.plain, len == 0);
    }
    assert_eq!(
        refusal(&v6(6, &chain(9), &sample.tcp())),
        Some(NotTcp::Malformed)
    );
    for number in [0, 43, 60, 135, 139, 140] {
        let packet = v6(6, &[(number, vec![0; 22])], &sample.tcp());
        assert_eq!(
            segment_of(&packet).payload(&packet),
            b"behind all that",
            "{number}"
        );
    }
}

#[test]
fn a_broken_option_list_is_still_a_segment() {
    for version in VERSIONS {
        let packet = Sample::new(version, &[8, 200, 0, 0], b"data").packet();
        let seg = segment_of(&packet);
        assert!(seg.options.malformed);
        assert_eq!(seg.payload(&packet), b"data");
    }
}

#[test]
fn syn_and_fin_take_a_number_each() {
    let mut sample = Sample::new(IpVersion::V4, &[], b"abc");
    sample.seq = u32::MAX - 1;
    sample.flags = Flags::SYN.union(Flags::FIN).bits();
    let seg = segment_of(&sample.packet());
    assert_eq!(seg.sequence_len(), 5);
    // Across the wrap.
    assert_eq!(seg.seq_end().raw(), 3);
}

#[test]
fn a_packet_that_a_segment_does_not_fit_gives_nothing() {
    let packet = Sample::new(IpVersion::V4, &[], b"abc").packet();
    let seg = segment_of(&packet);
    assert_eq!(seg.payload(&packet[..30]), b"");
    assert_eq!(seg.header(&packet[..30]), b"");
}

/// That `seg` says what etherparse says about `packet`.
fn agrees_with_etherparse(packet: &[u8], seg: &Segment) -> Result<(), TestCaseError> {
    let ip = IpSlice::from_slice(packet).unwrap();
    let tcp = TcpSlice::from_slice(ip.payload().payload).unwrap();
    prop_assert_eq!(
        (seg.src, seg.dst),
        (ip.source_addr(), ip.destination_addr())
    );
    match &ip {
        IpSlice::Ipv4(ip) => {
            let header = ip.header();
            prop_assert_eq!(seg.version, IpVersion::V4);
            prop_assert_eq!(seg.ip.hop_limit, header.ttl());
            let class = header.dcp().value() << 2 | header.ecn().value();
            prop_assert_eq!(seg.ip.traffic_class, class);
            prop_assert_eq!(seg.ip.ecn(), header.ecn().value());
            prop_assert_eq!(seg.ip.dont_fragment, header.dont_fragment());
            prop_assert_eq!(seg.ip.flow_label, 0);
            prop_assert_eq!(seg.ip.plain, header.options().is_empty());
            prop_assert_eq!(seg.packet_len, u32::from(header.total_len()));
        }
        IpSlice::Ipv6(ip) => {
            let header = ip.header();
            prop_assert_eq!(seg.version, IpVersion::V6);
            prop_assert_eq!(seg.ip.hop_limit, header.hop_limit());
            prop_assert_eq!(seg.ip.traffic_class, header.traffic_class());
            prop_assert_eq!(seg.ip.flow_label, header.flow_label().value());
            prop_assert!(seg.ip.dont_fragment);
            prop_assert_eq!(seg.ip.plain, ip.extensions().is_empty());
            prop_assert_eq!(seg.packet_len, 40 + u32::from(header.payload_length()));
        }
    }
    let ports = (tcp.source_port(), tcp.destination_port());
    prop_assert_eq!((seg.src_port, seg.dst_port), ports);
    prop_assert_eq!(seg.seq.raw(), tcp.sequence_number());
    prop_assert_eq!(seg.ack.raw(), tcp.acknowledgment_number());
    let bits = [
        tcp.fin(),
        tcp.syn(),
        tcp.rst(),
        tcp.psh(),
        tcp.ack(),
        tcp.urg(),
        tcp.ece(),
        tcp.cwr(),
    ];
    let flags = bits
        .iter()
        .rev()
        .fold(0, |flags, bit| flags << 1 | u8::from(*bit));
    prop_assert_eq!(seg.flags.bits(), flags);
    prop_assert_eq!(seg.accurate_ecn, tcp.ns());
    prop_assert_eq!(seg.window, tcp.window_size());
    prop_assert_eq!(seg.urgent, tcp.urgent_pointer());
    prop_assert_eq!(seg.checksum, tcp.checksum());
    prop_assert_eq!(seg.header(packet), tcp.header_slice());
    prop_assert_eq!(seg.payload(packet), tcp.payload());
    options_agree(seg, &tcp)
}

/// Everything that etherparse reads before it stops at a kind it does not know.
fn options_agree(seg: &Segment, tcp: &TcpSlice<'_>) -> Result<(), TestCaseError> {
    let options = &seg.options;
    let mut kinds = Vec::new();
    for element in tcp.options_iterator().map_while(Result::ok) {
        // Of a repeated kind the first counts.
        if kinds.contains(&core::mem::discriminant(&element)) {
            continue;
        }
        kinds.push(core::mem::discriminant(&element));
        match element {
            TcpOptionElement::Noop => {}
            TcpOptionElement::MaximumSegmentSize(mss) => prop_assert_eq!(options.mss, Some(mss)),
            TcpOptionElement::WindowScale(n) => prop_assert_eq!(options.window_scale, Some(n)),
            TcpOptionElement::SelectiveAcknowledgementPermitted => {
                prop_assert!(options.sack_permitted);
            }
            TcpOptionElement::SelectiveAcknowledgement(first, rest) => {
                let edges = |block: &crate::wire::SackBlock| (block.left.raw(), block.right.raw());
                let expected = core::iter::once(first).chain(rest.into_iter().flatten());
                prop_assert!(options.sack.as_slice().iter().map(edges).eq(expected));
            }
            TcpOptionElement::Timestamp(val, ecr) => {
                let timestamps = options.timestamps.unwrap();
                prop_assert_eq!((timestamps.val, timestamps.ecr), (val, ecr));
            }
        }
    }
    Ok(())
}

fn is_consistent(packet: &[u8], seg: &Segment) -> Result<(), TestCaseError> {
    prop_assert_eq!(seg.payload(packet).len() as u32, seg.payload_len);
    prop_assert_eq!(seg.header(packet).len(), usize::from(seg.header_len()));
    prop_assert_eq!(
        u32::from(seg.payload_offset) + seg.payload_len,
        seg.packet_len
    );
    prop_assert!(seg.packet_len as usize <= packet.len());
    Ok(())
}

/// IPv4 options or the body of an IPv6 destination options header, or nothing.
fn any_ip_options() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(0usize), 1 => 1usize..=4]
}

fn packet_of(sample: &Sample, ip_options: usize) -> Vec<u8> {
    match (sample.version, ip_options) {
        (_, 0) => sample.packet(),
        (IpVersion::V4, words) => sample.packet_with(&vec![1; 4 * words]),
        (IpVersion::V6, units) => sample.packet_with(&vec![0; 8 * units - 2]),
    }
}

proptest! {
    #[test]
    fn any_octets_are_parsed_or_refused(mut packet in collection::vec(any::<u8>(), 0..200), version in 4u8..=6) {
        if let Some(first) = packet.first_mut() {
            *first = version << 4 | *first & 0x0f;
        }
        if let Parsed::Tcp(seg) = parse(&packet) {
            is_consistent(&packet, &seg)?;
        }
        let _ = parse_headers(&packet);
    }

    #[test]
    fn every_field_is_what_etherparse_reads(sample in any_sample(), ip_options in any_ip_options()) {
        let packet = packet_of(&sample, ip_options);
        let seg = segment_of(&packet);
        is_consistent(&packet, &seg)?;
        agrees_with_etherparse(&packet, &seg)?;
        prop_assert_eq!(parse_headers(&packet), Parsed::Tcp(seg));
    }

    #[test]
    fn a_damaged_packet_is_refused_or_read_as_etherparse_does(
        sample in any_sample(),
        ip_options in any_ip_options(),
        damage in collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        headers_only: bool,
    ) {
        let mut packet = packet_of(&sample, ip_options);
        let range = if headers_only { packet.len().min(100) } else { packet.len() };
        for (at, octet) in damage {
            packet[at.index(range)] = octet;
        }
        if let Parsed::Tcp(seg) = parse(&packet) {
            is_consistent(&packet, &seg)?;
            // Etherparse takes the extension headers of mobility, HIP and SHIM6 for the upper layer.
            let oracle = IpSlice::from_slice(&packet).is_ok_and(|ip| {
                let payload = ip.payload();
                payload.ip_number == IpNumber::TCP && TcpSlice::from_slice(payload.payload).is_ok()
            });
            if oracle {
                agrees_with_etherparse(&packet, &seg)?;
            }
        }
    }
}
