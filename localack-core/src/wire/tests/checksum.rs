use core::net::IpAddr;
use std::vec;
use std::vec::Vec;

use proptest::collection;
use proptest::prelude::*;

use super::packets::{Sample, any_sample, plain_sum, segment_of, with_pseudo_header};
use crate::wire::checksum::{
    header_sum, ipv4_header_checksum, is_partial, pseudo_header, update, verify,
};
use crate::wire::{IpVersion, Sum};

fn sum_of(bytes: &[u8]) -> Sum {
    let mut sum = Sum::new();
    sum.add_bytes(bytes);
    sum
}

#[test]
fn the_example_of_rfc_1071_adds_up() {
    // Section 3: the sum of these octets is ddf2.
    assert_eq!(
        sum_of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).fold(),
        0xddf2
    );
}

#[test]
fn a_long_run_of_ones_stays_minus_zero() {
    assert_eq!(sum_of(&vec![0xff; 65_536]).fold(), 0xffff);
    assert_eq!(sum_of(&[]).fold(), 0);
}

#[test]
fn equation_3_keeps_the_zero_that_equation_2_loses() {
    // The example of RFC 1624 section 4: the recomputed checksum is 0000, not ffff.
    assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
}

#[test]
fn a_partial_checksum_is_the_bare_pseudo_header() {
    for version in [IpVersion::V4, IpVersion::V6] {
        let mut packet = Sample::new(version, &[], b"to be finished").packet();
        assert!(!is_partial(&segment_of(&packet)));
        let seg = segment_of(&packet);
        let partial = pseudo_header(seg.src, seg.dst, 20 + 14).fold();
        let field = usize::from(seg.tcp_offset) + 16;
        packet[field..field + 2].copy_from_slice(&partial.to_be_bytes());
        let seg = segment_of(&packet);
        assert!(is_partial(&seg));
        assert!(!verify(&packet, &seg));
    }
}

#[test]
fn an_ipv4_header_checks_to_zero() {
    let packet = Sample::new(IpVersion::V4, &[], &[]).packet_with(&[1, 1, 1, 0]);
    let mut header = packet[..24].to_vec();
    (header[1], header[6], header[8]) = (0, 0x40, 64);
    assert_eq!(ipv4_header_checksum(&header), 0);
    header[8] = 63;
    assert_ne!(ipv4_header_checksum(&header), 0);
}

proptest! {
    #[test]
    fn a_sum_equals_the_plain_loop(bytes in collection::vec(any::<u8>(), 0..600), skip in 0usize..8) {
        let bytes = bytes.get(skip..).unwrap_or_default();
        prop_assert_eq!(sum_of(bytes).fold(), plain_sum(bytes));
        prop_assert_eq!(sum_of(bytes).checksum(), !plain_sum(bytes));
    }

    #[test]
    fn pieces_of_any_length_add_up_to_the_whole(
        pieces in collection::vec(collection::vec(any::<u8>(), 0..90), 0..8),
    ) {
        let whole = pieces.concat();
        let (mut appended, mut combined, mut copied) = (Sum::new(), Sum::new(), Sum::new());
        for piece in &pieces {
            appended.add_bytes(piece);
            combined.combine(sum_of(piece));
            let mut copy = vec![0; piece.len()];
            prop_assert_eq!(copied.copy_bytes(&mut copy, piece), piece.len());
            prop_assert_eq!(&copy, piece);
        }
        prop_assert_eq!(appended.fold(), plain_sum(&whole));
        prop_assert_eq!(appended, combined);
        prop_assert_eq!(appended, copied);
    }

    #[test]
    fn a_copy_stops_at_the_shorter_slice(
        src in collection::vec(any::<u8>(), 0..200),
        room in 0usize..200,
    ) {
        let mut dst = vec![0xee; room];
        let mut sum = Sum::new();
        let copied = sum.copy_bytes(&mut dst, &src);
        prop_assert_eq!(copied, room.min(src.len()));
        prop_assert_eq!(&dst[..copied], &src[..copied]);
        prop_assert!(dst[copied..].iter().all(|octet| *octet == 0xee));
        prop_assert_eq!(sum, sum_of(&src[..copied]));
    }

    #[test]
    fn numbers_add_like_their_octets(lead in collection::vec(any::<u8>(), 0..4), a: u16, b: u32) {
        let mut sum = sum_of(&lead);
        sum.add_u16(a);
        sum.add_u32(b);
        let octets: Vec<u8> = [&lead[..], &a.to_be_bytes(), &b.to_be_bytes()].concat();
        prop_assert_eq!(sum, sum_of(&octets));
    }

    #[test]
    fn an_update_equals_a_fresh_checksum(mut words in collection::vec(any::<u16>(), 2..40), new: u16) {
        // Word 0 is never zero, as the protocol number in a pseudo header is not.
        words[0] |= 1;
        let octets = |words: &[u16]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>();
        let (check, old) = (!plain_sum(&octets(&words)), words[1]);
        words[1] = new;
        prop_assert_eq!(update(check, old, new), !plain_sum(&octets(&words)));
    }

    #[test]
    fn a_pseudo_header_is_what_the_rfcs_say(v4: ([u8; 4], [u8; 4]), v6: ([u8; 16], [u8; 16]), len in 0usize..300) {
        let pairs: [(IpAddr, IpAddr); 2] = [(v4.0.into(), v4.1.into()), (v6.0.into(), v6.1.into())];
        for (src, dst) in pairs {
            let covered = with_pseudo_header(src, dst, 6, &vec![0; len]);
            prop_assert_eq!(pseudo_header(src, dst, len as u32).fold(), plain_sum(&covered));
        }
    }

    #[test]
    fn every_single_octet_error_is_found(sample in any_sample(), at: prop::sample::Index, error in 1u8..) {
        let mut packet = sample.packet();
        let seg = segment_of(&packet);
        prop_assert!(verify(&packet, &seg));
        let mut apart = header_sum(&packet, &seg);
        apart.combine(sum_of(seg.payload(&packet)));
        prop_assert_eq!(apart.fold(), 0xffff);

        let tcp = usize::from(seg.tcp_offset);
        let victim = tcp + at.index(packet.len() - tcp);
        packet[victim] ^= error;
        prop_assert!(!verify(&packet, &seg));
    }
}
