//! What a handshake agrees on.

#![allow(clippy::arithmetic_side_effects)]

use core::net::Ipv4Addr;

use super::*;
use crate::wire::{HeaderSpec, Parsed, Sum, Timestamps, emit, parse};

const NOW: Instant = Instant::from_micros(5_000_000);
/// ISNs of the client, on the inner port, and of the server.
const CLIENT: u32 = 100;
const SERVER: u32 = 500;
/// The windows that both announce first.
const WINDOW: u16 = 10_000;

const SYN: Flags = Flags::SYN;
const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);
const CLASSIC: Flags = Flags::ECE.union(Flags::CWR);

fn segment(flags: Flags, seq: u32, ack: u32, window: u16) -> Segment {
    let spec = HeaderSpec {
        src: Ipv4Addr::LOCALHOST.into(),
        dst: Ipv4Addr::LOCALHOST.into(),
        src_port: 1,
        dst_port: 2,
        seq: SeqNum::new(seq),
        ack: SeqNum::new(ack),
        flags,
        window,
        urgent: 0,
        timestamps: None,
        sack: &[],
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        dont_fragment: true,
    };
    let header = emit(&spec, 0, Sum::new()).expect("both addresses are IPv4");
    let Parsed::Tcp(segment) = parse(header.as_slice()) else {
        panic!("a TCP segment is taken for something else");
    };
    segment
}

fn syn(flags: Flags) -> Segment {
    segment(SYN.union(flags), CLIENT, 0, WINDOW)
}

fn syn_ack(flags: Flags) -> Segment {
    segment(SYN_ACK.union(flags), SERVER, CLIENT + 1, WINDOW)
}

/// What is pending after this SYN of the inner host.
fn pending(syn: &Segment) -> PendingSyn {
    PendingSyn::of(Port::Inner, syn, NOW)
}

/// A flow that has seen these two.
fn shaken(syn: &Segment, syn_ack: &Segment) -> FlowSlot {
    let mut flow = FlowSlot::EMPTY;
    flow.begin(Port::Inner, syn, &FlowConfig::inner_local_ack(), NOW);
    flow.on_syn_ack(syn_ack, NOW);
    flow
}

#[test]
fn rfc9768_3_1_1_accurate_ecn_needs_an_offer_and_an_answer() {
    for (offers, answers, cwr, refused) in [
        (false, false, false, false),
        (false, false, true, false),
        (false, true, false, false),
        (true, false, false, false),
        (true, false, true, true),
        (true, true, false, true),
    ] {
        let mut first = syn(CLASSIC);
        first.accurate_ecn = offers;
        let mut second = syn_ack(if cwr { Flags::CWR } else { Flags::NONE });
        second.accurate_ecn = answers;
        let reason = unservable_together(&pending(&first), &second);
        let expected = refused.then_some(PassReason::AccurateEcn);
        assert_eq!(reason, expected, "{offers} {answers} {cwr}");
    }
}

#[test]
fn rfc3168_6_1_1_ecn_needs_an_offer_and_an_answer() {
    for (offer, answer, agreed) in [
        (CLASSIC, Flags::ECE, true),
        (CLASSIC, Flags::NONE, false),
        (Flags::NONE, Flags::ECE, false),
        (CLASSIC, CLASSIC, false),
        (Flags::ECE, Flags::ECE, false),
    ] {
        let flow = shaken(&syn(offer), &syn_ack(answer));
        let has_ecn = flow.flags.has(FlowFlags::ECN);
        assert_eq!(has_ecn, agreed, "{offer:?} {answer:?}");
    }
}

#[test]
fn rfc2018_2_and_rfc7323_3_2_what_one_host_offers_alone_is_not_agreed_on() {
    let some = Some(Timestamps { val: 7, ecr: 0 });
    for (offered, answered) in [(false, false), (false, true), (true, false), (true, true)] {
        let (mut first, mut second) = (syn(Flags::NONE), syn_ack(Flags::NONE));
        first.options.sack_permitted = offered;
        second.options.sack_permitted = answered;
        first.options.timestamps = some.filter(|_| offered);
        second.options.timestamps = some.filter(|_| answered);
        let flags = shaken(&first, &second).flags;
        let agreed = offered && answered;
        assert_eq!(flags.has(FlowFlags::SACK), agreed, "{offered} {answered}");
        assert_eq!(flags.has(FlowFlags::TIMESTAMPS), agreed);
    }
}

#[test]
fn a_clamp_is_for_the_host_and_the_syn_that_it_names() {
    for (port, isn, kept) in [
        (Port::Inner, CLIENT, 500),
        // The server may have the same ISN.
        (Port::Outer, CLIENT, 1460),
        // Another SYN in the place of the one that is pending.
        (Port::Inner, CLIENT + 1, 1460),
    ] {
        let mut first = syn(Flags::NONE);
        first.options.mss = Some(1460);
        let mut flow = shaken(&first, &syn_ack(Flags::NONE));
        flow.clamp_mss(port, SeqNum::new(isn), 500);
        assert_eq!(flow.pending.mss(), kept, "{port:?} {isn}");
        assert!(flow.host(port).mss <= 500);
    }
}

#[test]
fn h2_2_before_the_third_ack_a_window_counts_only_for_what_the_client_has_sent() {
    let first_edge = CLIENT + 1 + u32::from(WINDOW);
    for (flags, ack, edge) in [
        (Flags::ACK, CLIENT + 1, CLIENT + 60_001),
        (Flags::ACK, CLIENT + 1001, first_edge),
        (Flags::NONE, CLIENT + 1, first_edge),
    ] {
        let mut flow = shaken(&syn(Flags::NONE), &syn_ack(Flags::NONE));
        flow.watch_early(Port::Outer, &segment(flags, SERVER + 1, ack, 60_000));
        let up = flow.stream(Direction::InnerToOuter);
        assert_eq!(up.send.wnd_edge, SeqNum::new(edge), "{flags:?} {ack}");
        assert_eq!(up.recv.edge, SeqNum::new(edge), "{flags:?} {ack}");
    }
}
