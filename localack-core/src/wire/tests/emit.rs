use core::net::IpAddr;
use std::vec::Vec;

use etherparse::{IpSlice, TcpSlice};
use proptest::collection;
use proptest::prelude::*;

use super::packets::{V4_DST, V4_SRC, V6_DST, V6_SRC, segment_of};
use crate::seq::{SeqNum, SeqRange};
use crate::wire::checksum::verify;
use crate::wire::{
    Flags, HeaderSpec, IpVersion, MAX_HEADER_LEN, Sum, Timestamps, emit, emit_partial, option_len,
};

fn range(start: u32, len: u32) -> SeqRange {
    SeqRange::new(SeqNum::new(start), SeqNum::new(start).advance(len))
}

fn addresses(version: IpVersion) -> (IpAddr, IpAddr) {
    match version {
        IpVersion::V4 => (V4_SRC.into(), V4_DST.into()),
        IpVersion::V6 => (V6_SRC.into(), V6_DST.into()),
    }
}

fn spec(version: IpVersion, timestamps: bool, sack: &[SeqRange]) -> HeaderSpec<'_> {
    let (src, dst) = addresses(version);
    HeaderSpec {
        src,
        dst,
        src_port: 443,
        dst_port: 51_000,
        seq: SeqNum::new(0x0102_0304),
        ack: SeqNum::new(0xa1a2_a3a4),
        flags: Flags::ACK,
        window: 0x1234,
        urgent: 0,
        timestamps: timestamps.then_some(Timestamps {
            val: 0x1111_2222,
            ecr: 0x3333_4444,
        }),
        sack,
        hop_limit: 55,
        traffic_class: 0x28,
        flow_label: 0x000f_1234,
        dont_fragment: true,
    }
}

/// What an interface adds to the pseudo-header's sum makes the checksum that the engine would have made.
#[test]
fn a_partial_checksum_is_completed_to_the_full_one() {
    let payload = [7, 1, 200, 3, 5];
    for (version, tcp_at) in [(IpVersion::V4, 20), (IpVersion::V6, 40)] {
        let spec = spec(version, true, &[]);
        let mut sum = Sum::new();
        sum.add_bytes(&payload);
        let full = emit(&spec, 5, sum).unwrap();
        let partial = emit_partial(&spec, 5).unwrap();
        let field = tcp_at + 16..tcp_at + 18;
        let mut completed = partial.as_slice().to_vec();
        completed.extend_from_slice(&payload);
        let mut sum = Sum::new();
        sum.add_bytes(&completed[tcp_at..]);
        completed[field].copy_from_slice(&sum.checksum().to_be_bytes());
        assert_eq!(completed[..full.as_slice().len()], *full.as_slice());
    }
}

/// The layout of protocol section 2.1, octet by octet.
#[test]
fn a_pure_ack_stands_on_the_wire_as_documented() {
    let sack = [range(5, 2)];
    let header = emit(&spec(IpVersion::V4, true, &sack), 0, Sum::new()).unwrap();
    let bytes = header.as_slice();
    let mut ip = [
        0x45, 0x28, 0, 64, 0, 0, 0x40, 0, 55, 6, 0, 0, 192, 0, 2, 77, 203, 0, 113, 250,
    ];
    ip[10..12].copy_from_slice(&bytes[10..12]);
    assert_eq!(bytes[..20], ip);
    let fixed = [
        0x01, 0xbb, 0xc7, 0x38, 1, 2, 3, 4, 0xa1, 0xa2, 0xa3, 0xa4, 0xb0, 0x10, 0x12, 0x34,
    ];
    assert_eq!(bytes[20..36], fixed);
    assert_eq!(bytes[38..40], [0, 0]);
    let options = [
        1, 1, 8, 10, 0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44, 1, 1, 5, 10, 0, 0, 0, 5, 0, 0,
        0, 7,
    ];
    assert_eq!(bytes[40..], options);
}

#[test]
fn an_ipv6_header_carries_class_label_and_length() {
    let header = emit(&spec(IpVersion::V6, false, &[]), 7, Sum::new()).unwrap();
    assert_eq!(
        header.as_slice()[..8],
        [0x62, 0x8f, 0x12, 0x34, 0, 27, 6, 55]
    );

    // Only the low 20 bits of a label are one.
    let overlong = HeaderSpec {
        flow_label: u32::MAX,
        ..spec(IpVersion::V6, false, &[])
    };
    let header = emit(&overlong, 7, Sum::new()).unwrap();
    assert_eq!(header.as_slice()[..4], [0x62, 0x8f, 0xff, 0xff]);
}

#[test]
fn option_lengths_match_what_is_emitted() {
    let blocks = [
        range(1, 1),
        range(3, 1),
        range(5, 1),
        range(7, 1),
        range(9, 1),
    ];
    for timestamps in [false, true] {
        for count in 0..=blocks.len() {
            let options_len = option_len(timestamps, count);
            let header = emit(
                &spec(IpVersion::V6, timestamps, &blocks[..count]),
                0,
                Sum::new(),
            );
            let fits = count <= if timestamps { 3 } else { 4 };
            assert_eq!(
                header.map(|h| h.as_slice().len()),
                fits.then_some(60 + options_len)
            );
            assert_eq!(options_len <= 40, fits);
        }
    }
    assert_eq!(MAX_HEADER_LEN, 60 + option_len(true, 3));
}

#[test]
fn what_ip_cannot_say_is_not_emitted() {
    for (version, most) in [(IpVersion::V4, 65_535 - 40), (IpVersion::V6, 65_535 - 20)] {
        let spec = spec(version, false, &[]);
        assert!(emit(&spec, most, Sum::new()).is_some());
        assert!(emit(&spec, most + 1, Sum::new()).is_none());
        assert!(emit(&spec, u32::MAX, Sum::new()).is_none());
    }
    let mut mixed = spec(IpVersion::V4, false, &[]);
    mixed.dst = V6_DST.into();
    assert!(emit(&mixed, 0, Sum::new()).is_none());
}

proptest! {
    #[test]
    fn what_is_emitted_is_parsed_and_checks(
        v6: bool,
        ports: (u16, u16),
        numbers: (u32, u32, u8, u16, u16),
        timestamps: Option<(u32, u32)>,
        blocks in collection::vec((any::<u32>(), 1u32..1 << 30), 0..=3),
        ip in (any::<u8>(), any::<u8>(), 0u32..1 << 20, any::<bool>()),
        payload in collection::vec(any::<u8>(), 0..1500),
        cut: prop::sample::Index,
    ) {
        let version = if v6 { IpVersion::V6 } else { IpVersion::V4 };
        let (src, dst) = addresses(version);
        let sack: Vec<_> = blocks.iter().map(|(start, len)| range(*start, *len)).collect();
        let timestamps = timestamps.map(|(val, ecr)| Timestamps { val, ecr });
        let spec = HeaderSpec {
            src, dst, src_port: ports.0, dst_port: ports.1,
            seq: SeqNum::new(numbers.0), ack: SeqNum::new(numbers.1),
            flags: Flags::from_bits(numbers.2), window: numbers.3, urgent: numbers.4,
            timestamps, sack: &sack,
            hop_limit: ip.0, traffic_class: ip.1, flow_label: ip.2, dont_fragment: ip.3,
        };
        // The payload's sum comes in two pieces that meet anywhere, odd offsets included.
        let (front, back) = payload.split_at(cut.index(payload.len() + 1));
        let (mut sum, mut rest) = (Sum::new(), Sum::new());
        sum.add_bytes(front);
        rest.add_bytes(back);
        sum.combine(rest);

        let header = emit(&spec, payload.len() as u32, sum).unwrap();
        let packet = [header.as_slice(), &payload].concat();
        let seg = segment_of(&packet);
        prop_assert!(verify(&packet, &seg));
        prop_assert_eq!(seg.packet_len as usize, packet.len());
        prop_assert_eq!(seg.payload(&packet), &payload[..]);
        prop_assert_eq!((seg.src, seg.dst, seg.src_port, seg.dst_port), (src, dst, ports.0, ports.1));
        prop_assert_eq!((seg.seq, seg.ack, seg.flags), (spec.seq, spec.ack, spec.flags));
        prop_assert_eq!((seg.window, seg.urgent, seg.accurate_ecn), (numbers.3, numbers.4, false));
        prop_assert_eq!(seg.options.timestamps, timestamps);
        let edges: Vec<_> = seg.options.sack.as_slice().iter().map(|b| (b.left, b.right)).collect();
        prop_assert_eq!(edges, sack.iter().map(|r| (r.start(), r.end())).collect::<Vec<_>>());
        prop_assert!(!seg.options.malformed && seg.options.unusual.is_empty());
        prop_assert_eq!((seg.ip.hop_limit, seg.ip.traffic_class), (ip.0, ip.1));
        prop_assert_eq!(seg.ip.flow_label, if v6 { ip.2 } else { 0 });
        prop_assert_eq!(seg.ip.dont_fragment, v6 || ip.3);
        prop_assert!(seg.ip.plain);
        etherparse_accepts(&packet)?;
    }
}

/// That etherparse computes the checksums that `packet` carries.
fn etherparse_accepts(packet: &[u8]) -> Result<(), TestCaseError> {
    let ip = IpSlice::from_slice(packet).unwrap();
    let tcp = TcpSlice::from_slice(ip.payload().payload).unwrap();
    let expected = match &ip {
        IpSlice::Ipv4(ip) => {
            let header = ip.header();
            prop_assert_eq!(
                header.header_checksum(),
                header.to_header().calc_header_checksum()
            );
            prop_assert_eq!(header.identification(), 0);
            tcp.calc_checksum_ipv4(header.source(), header.destination())
                .unwrap()
        }
        IpSlice::Ipv6(ip) => {
            let header = ip.header();
            tcp.calc_checksum_ipv6(header.source(), header.destination())
                .unwrap()
        }
    };
    prop_assert_eq!(tcp.checksum(), expected);
    Ok(())
}
