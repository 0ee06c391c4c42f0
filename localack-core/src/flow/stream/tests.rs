//! What a stream says of itself.

#![allow(clippy::arithmetic_side_effects)]

use super::*;
use crate::congestion::Start;
use crate::time::Instant;

const ISN: SeqNum = SeqNum::new(u32::MAX - 100);

/// A stream with so many octets that wait, and whose receiver offers so many.
fn waiting(octets: u32, offered: u32) -> Stream {
    let mut stream = Stream::EMPTY;
    stream.start_at(ISN);
    stream.chain.follow(ISN.advance(octets));
    stream.send.congestion.on_established(&Start {
        now: Instant::ZERO,
        mss: 1000,
        initial_segments: 10,
        rtt_us: None,
    });
    // The last octet that is offered is not used (rule H1.1b).
    stream.send.wnd_edge = ISN.advance(offered + 1);
    stream
}

fn range(from: u32, to: u32) -> SeqRange {
    SeqRange::new(ISN.advance(from), ISN.advance(to))
}

#[test]
fn rfc1122_4_2_3_4_a_segment_is_sent_whole_or_with_all_that_waits() {
    for (octets, offered, goes) in [
        (0, 5000, false),
        (5000, 0, false),
        (0, 0, false),
        (5000, 999, false),
        (5000, 1000, true),
        (400, 399, false),
        (400, 400, true),
    ] {
        let stream = waiting(octets, offered);
        assert_eq!(stream.may_send_more(), goes, "{octets} of {offered}");
    }
}

#[test]
fn a_mode_is_there_or_not() {
    let modes = [
        DirectionMode::Bypass,
        DirectionMode::StoreAndForward,
        DirectionMode::LocalAck,
        DirectionMode::Draining,
        DirectionMode::Snoop,
    ];
    let mut stream = Stream::EMPTY;
    for service in [Service::Bypass, Service::LocalAck, Service::Snoop] {
        for mode in modes {
            stream.set_service(service);
            stream.set_mode(mode);
            assert_eq!((stream.mode(), stream.service()), (mode, service));
            assert!(stream.has_mode());
            assert_eq!(stream.is_bypassed(), mode == DirectionMode::Bypass);
            assert_eq!(stream.is_draining(), mode == DirectionMode::Draining);
            assert_eq!(stream.snoops(), mode == DirectionMode::Snoop);
            let copies = mode == DirectionMode::Snoop || service == Service::Snoop;
            assert_eq!(stream.is_arranged(), copies, "{mode:?}, {service:?}");
            let plainly = mode == DirectionMode::LocalAck && service == Service::LocalAck;
            assert_eq!(stream.is_plainly_served(), plainly);
        }
    }
    // What no engine has written.
    for code in 0..16 {
        stream.mode_and_service = code;
        assert_eq!(stream.has_mode(), matches!(code, 0..=3 | 8), "{code}");
    }
}

#[test]
fn a_window_or_an_acknowledgement_is_held_back() {
    let due = Stamp::at(Instant::from_millis(5));
    let mut stream = Stream::EMPTY;
    assert!(!stream.holds_back());
    stream.recv.ack_due = due;
    assert!(stream.holds_back());
    stream.recv.ack_due = Stamp::NEVER;
    stream.send.pace_due = due;
    assert!(stream.holds_back());
}

#[test]
fn h6_1_a_stream_is_finished_when_its_fin_is_acknowledged() {
    let mut stream = waiting(10, 0);
    stream.send.snd_una = ISN.advance(11);
    assert!(!stream.is_finished(), "there is no FIN");
    assert_eq!(stream.next_expected(), ISN.advance(10));
    stream.flags.set(StreamFlags::FIN_SEEN);
    stream.recv.fin = ISN.advance(10);
    assert!(stream.is_finished());
    assert_eq!(stream.next_expected(), ISN.advance(11));
    stream.send.snd_una = ISN.advance(10);
    assert!(!stream.is_finished());
    assert_eq!(stream.next_expected(), ISN.advance(10));
}

#[test]
fn h3_2_a_timestamp_counts_when_all_before_it_has_gone_by() {
    let mut stream = waiting(10, 0);
    stream.watch(range(20, 30), Some(5));
    assert_eq!((stream.recv.ts_recent, stream.recv.ts_max), (0, 5));
    stream.watch(range(10, 20), Some(3));
    assert_eq!(stream.recv.ts_recent, 3);
    assert_eq!(stream.rcv_nxt(), ISN.advance(30), "the hole is filled");
    // The FIN at 30 has gone by; what comes after it has its number behind it.
    stream.watch(range(31, 31), Some(6));
    assert_eq!(stream.recv.ts_recent, 3, "no FIN was seen");
    stream.flags.set(StreamFlags::FIN_SEEN);
    stream.recv.fin = ISN.advance(40);
    stream.watch(range(31, 31), Some(7));
    assert_eq!(stream.recv.ts_recent, 3, "the FIN is still to come");
    stream.recv.fin = ISN.advance(30);
    stream.watch(range(31, 31), Some(8));
    assert_eq!(stream.recv.ts_recent, 8);
}

#[test]
fn what_was_acknowledged_has_gone_by_and_so_has_what_lay_behind_it() {
    let mut stream = waiting(10, 0);
    stream.watch(range(20, 30), None);
    stream.watch(range(40, 50), None);
    stream.watch_ack(ISN.advance(20));
    assert_eq!(stream.rcv_nxt(), ISN.advance(30));
    assert_eq!(stream.recv.held(), [range(40, 50)]);
    stream.watch_ack(ISN.advance(60));
    assert_eq!(stream.rcv_nxt(), ISN.advance(60));
    assert!(stream.recv.held().is_empty());
}

#[test]
fn h5_6_only_the_receiver_can_tell_what_is_not_acknowledged_early() {
    let owes = |mode: DirectionMode, acknowledged: u32, told: u32| {
        let mut stream = waiting(20, 0);
        stream.set_mode(mode);
        stream.send.snd_una = ISN.advance(acknowledged);
        stream.recv.ack_sent = ISN.advance(told);
        stream.owes_word_of_receiver()
    };
    assert!(owes(DirectionMode::StoreAndForward, 10, 5));
    assert!(!owes(DirectionMode::StoreAndForward, 5, 5));
    assert!(!owes(DirectionMode::Bypass, 10, 5));
    assert!(owes(DirectionMode::LocalAck, 10, 5));
    assert!(
        !owes(DirectionMode::LocalAck, 5, 5),
        "the engine can tell as much"
    );
}
