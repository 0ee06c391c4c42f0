use core::net::IpAddr;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::packets::{
    Sample, V4_DST, V4_SRC, V6_DST, V6_SRC, any_sample, plain_sum, v4, v6, with_pseudo_header,
};
use crate::wire::{IcmpError, IcmpKind, IpVersion, NotTcp, Parsed, parse};

/// An ICMP error that quotes `original`, from the sample's source address to its destination.
fn error(version: IpVersion, kind: u8, code: u8, word: u32, original: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(word.to_be_bytes());
    message.extend(original);
    let covered = match version {
        IpVersion::V4 => message.clone(),
        IpVersion::V6 => with_pseudo_header(V6_SRC.into(), V6_DST.into(), 58, &message),
    };
    message[2..4].copy_from_slice(&(!plain_sum(&covered)).to_be_bytes());
    match version {
        IpVersion::V4 => v4(1, &[], &message),
        IpVersion::V6 => v6(58, &[], &message),
    }
}

fn read(packet: &[u8]) -> Option<IcmpError> {
    match parse(packet) {
        Parsed::Icmp(error) => Some(error),
        Parsed::Other(NotTcp::Protocol) => None,
        other @ (Parsed::Tcp(_) | Parsed::Other(_)) => panic!("{other:?}"),
    }
}

fn sample(version: IpVersion) -> Sample {
    Sample::new(version, &[1, 1, 1, 0], b"a payload")
}

#[test]
fn each_error_has_its_kind() {
    let cases = [
        (
            IpVersion::V4,
            3,
            4,
            1400,
            IcmpKind::PacketTooBig { mtu: 1400 },
        ),
        (IpVersion::V4, 3, 4, 0, IcmpKind::PacketTooBig { mtu: 0 }),
        // The upper half of the word is not the MTU (RFC 1191 section 4).
        (
            IpVersion::V4,
            3,
            4,
            0x0005_0500,
            IcmpKind::PacketTooBig { mtu: 1280 },
        ),
        (IpVersion::V4, 3, 1, 0, IcmpKind::Unreachable { code: 1 }),
        (IpVersion::V4, 11, 0, 0, IcmpKind::TimeExceeded),
        (IpVersion::V4, 12, 0, 0, IcmpKind::Other),
        (
            IpVersion::V6,
            2,
            0,
            0x0001_0000,
            IcmpKind::PacketTooBig { mtu: 65_536 },
        ),
        (IpVersion::V6, 1, 4, 0, IcmpKind::Unreachable { code: 4 }),
        (IpVersion::V6, 3, 0, 0, IcmpKind::TimeExceeded),
        (IpVersion::V6, 4, 1, 40, IcmpKind::Other),
    ];
    for (version, icmp_type, code, word, kind) in cases {
        let found = read(&error(
            version,
            icmp_type,
            code,
            word,
            &sample(version).packet(),
        ));
        assert_eq!(
            found.map(|e| e.kind),
            Some(kind),
            "{version:?} {icmp_type} {code}"
        );
    }
}

#[test]
fn messages_that_are_no_errors_are_another_protocol() {
    for (version, icmp_type) in [
        (IpVersion::V4, 0),
        (IpVersion::V4, 4),
        (IpVersion::V4, 5),
        (IpVersion::V4, 8),
        (IpVersion::V6, 128),
        (IpVersion::V6, 129),
        (IpVersion::V6, 135),
    ] {
        let packet = error(version, icmp_type, 0, 0, &sample(version).packet());
        assert_eq!(read(&packet), None, "{version:?} {icmp_type}");
    }
}

#[test]
fn a_quotation_is_used_as_far_as_it_goes() {
    for (version, ip_len) in [(IpVersion::V4, 20), (IpVersion::V6, 40)] {
        let original = sample(version).packet();
        for len in 0..=original.len() {
            let found = read(&error(version, 3, 1, 0, &original[..len]));
            let Some(found) = found.filter(|_| len >= ip_len + 8) else {
                assert_eq!(found, None, "{version:?} {len}");
                assert!(len < ip_len + 8, "{version:?} {len}");
                continue;
            };
            assert_eq!(found.quoted.seq.raw(), 0xffff_fc01);
            assert_eq!(found.quoted.total_len as usize, original.len());
            assert_eq!(found.quoted.payload_len, (len > ip_len + 12).then_some(9));
        }
    }
}

#[test]
fn a_quotation_of_another_protocol_or_version_is_not_used() {
    let (udp4, udp6) = (v4(17, &[], &[0; 20]), v6(17, &[], &[0; 20]));
    assert_eq!(read(&error(IpVersion::V4, 3, 1, 0, &udp4)), None);
    assert_eq!(read(&error(IpVersion::V6, 1, 1, 0, &udp6)), None);
    assert_eq!(
        read(&error(
            IpVersion::V4,
            3,
            1,
            0,
            &sample(IpVersion::V6).packet()
        )),
        None
    );
    assert_eq!(
        read(&error(
            IpVersion::V6,
            1,
            1,
            0,
            &sample(IpVersion::V4).packet()
        )),
        None
    );
    // A later fragment has no TCP header to quote.
    let mut fragment = sample(IpVersion::V4).packet();
    fragment[7] = 100;
    assert_eq!(read(&error(IpVersion::V4, 3, 1, 0, &fragment)), None);
}

#[test]
fn a_header_length_that_cannot_be_is_not_used() {
    let mut original = sample(IpVersion::V4).packet();
    for offset in [0x00, 0x40, 0xf0] {
        original[32] = offset;
        let found = read(&error(IpVersion::V4, 11, 0, 0, &original)).unwrap();
        assert_eq!(found.quoted.payload_len, None);
    }
}

#[test]
fn padding_of_the_link_is_not_part_of_an_error() {
    for version in [IpVersion::V4, IpVersion::V6] {
        let mut packet = error(version, 3, 1, 0, &sample(version).packet());
        let bare = read(&packet);
        packet.extend([0xee; 5]);
        assert!(bare.is_some());
        assert_eq!(read(&packet), bare);
    }
}

#[test]
fn an_error_that_was_cut_off_cannot_be_checked() {
    let packet = error(IpVersion::V4, 3, 4, 1400, &sample(IpVersion::V4).packet());
    for len in [packet.len() - 1, 40, 21] {
        assert_eq!(parse(&packet[..len]), Parsed::Other(NotTcp::Truncated));
    }
}

proptest! {
    #[test]
    fn what_is_quoted_is_what_was_sent(original in any_sample(), mtu: u16) {
        let version = original.version;
        let packet = match version {
            IpVersion::V4 => error(version, 3, 4, u32::from(mtu), &original.packet()),
            IpVersion::V6 => error(version, 2, 0, u32::from(mtu), &original.packet()),
        };
        let found = read(&packet).unwrap();
        let (src, dst): (IpAddr, IpAddr) = match version {
            IpVersion::V4 => (V4_SRC.into(), V4_DST.into()),
            IpVersion::V6 => (V6_SRC.into(), V6_DST.into()),
        };
        prop_assert_eq!((found.version, found.outer_src, found.outer_dst), (version, src, dst));
        prop_assert_eq!(found.kind, IcmpKind::PacketTooBig { mtu: u32::from(mtu) });
        prop_assert_eq!((found.quoted.src, found.quoted.dst), (src, dst));
        let ports = (found.quoted.src_port, found.quoted.dst_port);
        prop_assert_eq!(ports, (original.src_port, original.dst_port));
        prop_assert_eq!(found.quoted.seq.raw(), original.seq);
        prop_assert_eq!(found.quoted.payload_len, Some(original.payload.len() as u32));
        prop_assert_eq!(found.quoted.total_len as usize, original.packet().len());
    }

    /// Invariant 22: a forged or damaged error must not pass for a good one.
    #[test]
    fn every_single_octet_error_is_found(original in any_sample(), at: prop::sample::Index, bits in 1u8..) {
        let mut packet = error(original.version, 3, 1, 0, &original.packet());
        let header = match original.version {
            IpVersion::V4 => 20,
            IpVersion::V6 => 40,
        };
        let victim = header + at.index(packet.len() - header);
        packet[victim] ^= bits;
        prop_assert_eq!(read(&packet), None);
    }
}
