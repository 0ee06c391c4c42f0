//! Tests of the wire layer against independent arithmetic and against etherparse.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

mod checksum;
mod emit;
mod icmp;
mod options;
mod packets;
mod parse;
mod rewrite;

use std::format;

use super::{Flags, Segment};

#[test]
fn flags_print_like_packet_listings() {
    let text = |flags: Flags| format!("{flags:?}");
    assert_eq!(text(Flags::SYN), "S");
    assert_eq!(text(Flags::SYN.union(Flags::ACK)), "S.");
    assert_eq!(text(Flags::PSH.union(Flags::ACK)), "P.");
    assert_eq!(text(Flags::FIN.union(Flags::ACK)), "F.");
    assert_eq!(text(Flags::SYN.union(Flags::ECE).union(Flags::CWR)), "SEW");
    assert_eq!(text(Flags::NONE), "none");
}

#[test]
fn flags_are_a_set_of_bits() {
    let flags = Flags::from_bits(0x12);
    assert!(flags.contains(Flags::SYN) && flags.contains(Flags::ACK));
    assert!(!flags.contains(Flags::SYN.union(Flags::FIN)));
    assert!(flags.intersects(Flags::SYN.union(Flags::FIN)));
    assert_eq!(flags.without(Flags::ACK), Flags::SYN);
    assert_eq!(flags.bits(), 0x12);
}

/// A segment is copied along the whole path of a packet.
const _: () = assert!(size_of::<Segment>() <= 192);
