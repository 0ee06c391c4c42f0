//! What the sender half keeps and decides by itself.

use super::*;
use crate::congestion::{Controller, Start};

/// What is asked of a mark is whether it is newer (RFC 6582 section 3.2, step 2; RFC 7661), and a number
/// that lies half of all numbers back looks so.
#[test]
fn marks_of_long_ago_stay_old_however_much_is_sent() {
    for isn in [1, u32::MAX - 5] {
        let mut send = SendHalf::EMPTY;
        send.start_at(SeqNum::new(isn));
        for _ in 0..12 {
            send.snd_una = send.snd_una.advance(1 << 29);
            send.catch_up();
            assert!(send.recover.before(send.snd_una));
            assert!(send.cwnd_full.before(send.snd_una));
            assert!(send.probe_end.at_or_before(send.snd_una));
        }
    }
}

#[test]
fn rfc6298_5_7_a_sample_ends_the_back_off_and_progress_does_not() {
    let mut send = SendHalf::EMPTY;
    let rto = |send: &SendHalf| send.rto(&RtoBounds::DEFAULT);
    send.on_round_trip(600_000, Instant::ZERO);
    send.back_off();
    send.back_off();
    send.note_progress();
    assert_eq!((rto(&send), send.time_outs()), (7_200_000, 0));
    send.reset_backoff();
    assert_eq!(rto(&send), 1_800_000);
    send.back_off();
    send.on_round_trip(600_000, Instant::ZERO);
    // RTTVAR has decayed to 225 ms.
    assert_eq!(rto(&send), 1_500_000);
}

const UNA: SeqNum = SeqNum::new(u32::MAX - 2_000);

/// A stream of segments of 1,000 octets with so many octets in flight.
fn flight(octets: u32) -> SendHalf {
    let mut send = SendHalf::EMPTY;
    send.start_at(UNA);
    send.congestion.on_established(&Start {
        now: Instant::ZERO,
        mss: 1000,
        initial_segments: 10,
        rtt_us: None,
    });
    send.snd_nxt = UNA.advance(octets);
    send
}

/// Every flag that there is.
const ALL: u16 = 0x3ff;

fn flags_after(change: impl FnOnce(&mut SendHalf)) -> u16 {
    let mut send = flight(5_000);
    send.flags.set(ALL);
    change(&mut send);
    (0..10)
        .map(|bit| 1 << bit)
        .filter(|&flag| send.flags.has(flag))
        .sum()
}

#[test]
fn rfc3168_6_1_3_a_stream_that_is_handed_back_answers_no_marks() {
    let echoes = SendFlags::ECHO | SendFlags::CWR_OWED | SendFlags::ECN_REDUCED;
    assert_eq!(flags_after(SendHalf::leave_ecn), ALL - echoes);
}

#[test]
fn rfc8985_7_4_a_reduction_ends_the_tail_probe() {
    let probe =
        SendFlags::TAIL_PROBE_OUT | SendFlags::TAIL_PROBE_REPEATS | SendFlags::TAIL_PROBE_OWED;
    assert_eq!(flags_after(SendHalf::forget_tail_probe), ALL - probe);
    for (out, end) in [(true, 0), (false, 4_000)] {
        let mut send = flight(5_000);
        send.probe_end = UNA.advance(4_000);
        send.flags.put(SendFlags::TAIL_PROBE_OUT, out);
        send.forget_tail_probe();
        assert_eq!(send.probe_end, UNA.advance(end));
    }
}

#[test]
fn h13_3_copies_begin_with_what_the_hosts_said_and_nothing_else() {
    let at = UNA.advance(3_000);
    let said = SendFlags::ECHO | SendFlags::OVERRUNS;
    assert_eq!(flags_after(|send| send.begin_copies(at)), said);
    let mut send = flight(5_000);
    send.arm(TimerKind::Timeout, Instant::from_millis(5));
    send.lost.lose_all(send.outstanding());
    send.duplicate_acks = 2;
    send.back_off();
    send.begin_copies(at);
    assert_eq!((send.sacked_to, send.probe_end), (at, at));
    assert_eq!((send.cwnd_full, send.recover), (at, at.retreat(1)));
    assert!(send.lost.is_empty() && !send.timer.is_set());
    assert_eq!((send.duplicate_acks, send.doublings()), (0, 0));
}

#[test]
fn marks_of_a_probe_or_a_time_out_stay_where_they_are() {
    for (flag, moves) in [
        (0, true),
        (SendFlags::TAIL_PROBE_OUT, false),
        (SendFlags::FORWARD, false),
        (SendFlags::TIMED_OUT, true),
    ] {
        let mut send = flight(5_000);
        send.flags.set(flag);
        send.snd_una = UNA.advance(2_000);
        send.catch_up();
        assert_eq!(send.probe_end == send.snd_una, moves, "{flag:#x}");
    }
}

#[test]
fn rfc9293_3_10_7_4_a_window_is_news_or_not() {
    let scale = WindowScale::new(0);
    let heard = |seq: u32, ack: u32, field: u16, advances: bool| {
        let mut send = flight(5_000);
        send.snd_una = UNA.advance(2_000);
        send.start_window(SeqNum::new(70), UNA.advance(2_000), 9_000);
        let ack = UNA.advance(ack);
        let news = send.note_window(SeqNum::new(seq), ack, field, scale, advances);
        assert_eq!(news, send.wnd_edge == ack.advance(field.into()));
        news
    };
    assert!(heard(71, 2_000, 5, false), "said later");
    assert!(heard(70, 2_000, 5, false), "said with the same number");
    assert!(
        heard(69, 2_000, 5, true),
        "said with a newer acknowledgement"
    );
    assert!(!heard(69, 2_000, 5, false));
    assert!(!heard(70, 1_999, 5, false), "overtaken");
    assert!(!heard(69, 2_000, 8_999, false));
    assert!(heard(69, 2_000, 9_001, false), "it can take more");
}

#[test]
fn h2_6_a_probe_of_a_closed_window_is_one_octet_at_its_edge() {
    let mut send = flight(0);
    send.start_window(SeqNum::new(70), UNA, 0);
    let probe = |from: u32, to: u32| SeqRange::new(UNA.advance(from), UNA.advance(to));
    assert!(send.is_window_probe(probe(0, 1)));
    assert!(!send.is_window_probe(probe(0, 2)));
    assert!(!send.is_window_probe(probe(1, 2)));
    send.wnd_edge = UNA.advance(1);
    assert!(!send.is_window_probe(probe(0, 1)), "it is open");
    assert!(
        !send.is_window_probe(probe(1, 2)),
        "something is outstanding"
    );
}

#[test]
fn h13_3_more_losses_than_links_have_are_congestion() {
    let congested = |in_flight: u32, lost: u32| {
        let mut send = flight(in_flight + lost);
        send.lost.lose_head(UNA, UNA.advance(lost));
        assert_eq!(send.in_flight(), in_flight + lost);
        send.is_congested(Instant::ZERO)
    };
    // Eight segments, and a quarter of what is in flight.
    assert!(!congested(40_000 - 18_000, 18_000));
    assert!(congested(40_000 - 18_001, 18_001));
    assert!(!congested(0, 10_000));
}

#[test]
fn rfc7661_4_3_a_window_holds_what_its_hosts_have_in_flight() {
    for (in_flight, cwnd) in [(5_000, 10_000), (10_000, 10_000), (25_000, 25_000)] {
        let mut send = flight(in_flight);
        send.admit_all_in_flight();
        assert_eq!(send.congestion.cwnd(), cwnd);
    }
}

#[test]
fn h6_3_what_drains_is_measured_or_vouched_for() {
    let mut send = flight(0);
    send.expect_rate(3_000_000);
    assert_eq!(send.drained_in(1_500), 4_500);
    send.expect_rate(1_000_000);
    assert_eq!(send.drained_in(1_000_000), 3_000_000, "the better of both");
    assert_eq!(send.drained_in(u64::MAX), u32::MAX);
    send.congestion.nominate(Controller::provisioned(5_000_000));
    assert_eq!(send.drained_in(1_000_000), 5_000_000);
}

#[test]
fn h6_3_a_first_rate_is_known_after_thirty_milliseconds() {
    let at = |ms: u64| Instant::from_millis(1_000 + ms);
    let mut send = flight(0);
    send.note_drained(1_000, at(0));
    send.note_drained(1_000, at(29));
    assert_eq!(send.rate, 0);
    send.note_drained(1_000, at(30));
    assert_eq!(send.rate, 100_000);
    send.note_drained(20_000, at(129));
    assert_eq!(send.rate, 100_000, "later ones take 100 ms");
    send.note_drained(20_000, at(130));
    assert_eq!(send.rate, 400_000, "it rises at once");
    send.note_drained(0, at(230));
    assert_eq!(send.rate, 300_000, "and sinks slowly");
}

#[test]
fn rfc9040_3_a_round_trip_of_others_is_expected() {
    let mut send = flight(0);
    send.expect_round_trip(600_000);
    assert_eq!(send.srtt_us(), Some(600_000));
    assert_eq!(send.rto(&RtoBounds::DEFAULT), 1_800_000);
}

#[test]
fn what_is_given_up_waits_for_nothing() {
    let mut send = flight(5_000);
    send.arm(TimerKind::Timeout, Instant::from_millis(5));
    send.pace_due = Stamp::at(Instant::from_millis(7));
    send.lost.lose_all(send.outstanding());
    send.stand_still();
    assert!(!send.timer.is_set() && !send.pace_due.is_set() && send.lost.is_empty());
}

#[test]
fn every_flag_is_one_of_its_own_and_leaves_the_timer_alone() {
    let flags = [
        SendFlags::TAIL_PROBE_OWED,
        SendFlags::TAIL_PROBE_OUT,
        SendFlags::TAIL_PROBE_REPEATS,
        SendFlags::FORWARD,
        SendFlags::FORWARD_NEW,
        SendFlags::TIMED_OUT,
        SendFlags::ECHO,
        SendFlags::CWR_OWED,
        SendFlags::ECN_REDUCED,
        SendFlags::OVERRUNS,
    ];
    for kind in [TimerKind::Timeout, TimerKind::PathCheck] {
        for flag in flags {
            let mut send = flight(0);
            send.arm(kind, Instant::ZERO);
            for on in [true, false] {
                send.flags.put(flag, on);
                for other in flags {
                    let is_set = on && other == flag;
                    assert_eq!(send.flags.has(other), is_set, "{flag:#x}, {other:#x}");
                }
                assert_eq!(send.timer_kind(), kind);
            }
        }
    }
    assert_eq!(flags.into_iter().fold(0, |all, flag| all | flag), ALL);
}

#[test]
fn rfc6298_5_5_each_time_out_doubles_the_next() {
    let mut send = flight(5_000);
    let first = send.rto(&RtoBounds::DEFAULT);
    for doublings in 1..5 {
        send.back_off();
        assert_eq!(send.doublings(), doublings);
        assert_eq!(send.rto(&RtoBounds::DEFAULT), first << doublings);
    }
    send.reset_backoff();
    assert_eq!(send.doublings(), 0);
}

#[test]
fn rfc8985_5_1_what_is_sent_is_noted_with_its_time() {
    for ms in [1, 70_000] {
        let now = Instant::from_millis(ms);
        for again in [false, true] {
            let sent = flight(0).note_of(now, 1_000, 4_000, again);
            assert_eq!(sent.at.resolve(now), Some(now));
            assert_eq!(sent.is_retransmitted(), again);
        }
    }
}

#[cfg(feature = "bbr")]
#[test]
fn a_delivery_is_measured_and_an_application_that_limits_it_is_known() {
    let at = |ms: u64| Instant::from_millis(1_000 + ms);
    for limited in [false, true] {
        let mut send = flight(0);
        if limited {
            send.on_app_limited(0);
        }
        let sent = send.note_of(at(0), 1_000, 0, false);
        assert_eq!(sent.flags & Sent::APP_LIMITED != 0, limited);
        let sample = send.on_delivered(at(50), 1_000, Some(&sent));
        assert!(sample.is_known);
        assert_eq!((sample.delivered, sample.interval_us), (1_000, 50_000));
        assert_eq!(sample.is_app_limited, limited);
        // The next one waits for nobody.
        let next = send.note_of(at(60), 1_000, 1_000, false);
        assert_eq!(next.flags & Sent::APP_LIMITED, 0);
    }
}
