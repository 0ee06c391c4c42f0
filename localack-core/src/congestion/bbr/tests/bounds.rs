//! What bounds the volume in flight, and when a bound moves.

use super::events::{MSS, RTT_US, Told};
use super::*;
use crate::half::send::SendHalf;
use crate::recovery::delivery::Sent;

/// The application fills the window.
fn fill(told: &mut Told) {
    let cwnd = told.state.cwnd();
    told.state.on_sent(&SentNow {
        now: told.now(),
        octets: MSS,
        in_flight: cwnd - MSS,
        app_limited: false,
    });
}

/// A flow in `ProbeBW_UP` whose window a bound of 120 packets holds, which is all used if `fills`.
fn held(fills: bool) -> Told {
    let mut told = Told::cruising();
    told.set(|bbr| bbr.inflight_longterm = 120 * MSS);
    while told.bbr().phase != Phase::Up {
        told.round(100 * MSS, 90 * MSS);
        if fills {
            fill(&mut told);
        }
    }
    assert_eq!(told.state.cwnd(), 120 * MSS);
    told
}

#[test]
fn bbr_5_3_3_6_a_probe_raises_the_bound_by_1_2_4_and_8_segments_in_a_round() {
    let mut told = held(true);
    for packets in [121, 123, 127, 135] {
        let cwnd = told.state.cwnd();
        told.round(cwnd, cwnd - 5 * MSS);
        assert_eq!(told.bbr().phase, Phase::Up);
        assert_eq!(told.bbr().inflight_longterm, packets * MSS);
        assert_eq!(told.state.cwnd(), packets * MSS);
        fill(&mut told);
        // An acknowledgement in the middle of a round, which raises nothing, finds the bound in use.
        told.set(|bbr| bbr.reset_full_bw(0));
    }
}

#[test]
fn bbr_5_3_3_6_what_is_acknowledged_beyond_a_step_counts_for_the_next() {
    let mut told = held(true);
    told.round(120 * MSS, 115 * MSS);
    fill(&mut told);
    // A segment for every half of 120 packets: 119 of them, then one more that completes the second.
    told.round(119 * MSS, 115 * MSS);
    assert_eq!(told.bbr().inflight_longterm, 122 * MSS);
    assert_eq!(told.bbr().bw_probe_up_acked, 59 * MSS);
}

#[test]
fn bbr_5_3_3_6_a_window_that_is_not_used_raises_no_bound() {
    let mut told = held(false);
    for _ in 0..3 {
        told.round(110 * MSS, 100 * MSS);
    }
    assert_eq!(told.bbr().inflight_longterm, 120 * MSS);
}

#[test]
fn bbr_5_3_3_6_a_bound_below_what_has_arrived_safely_is_raised_to_it() {
    let bound_after = |bound: u32, lost: u32| {
        let mut told = Told::cruising();
        told.set(|bbr| bbr.inflight_longterm = bound);
        told.lost = lost;
        told.round(100 * MSS, 90 * MSS);
        told.bbr().inflight_longterm
    };
    assert_eq!(bound_after(90 * MSS, 0), 100 * MSS);
    assert_eq!(bound_after(110 * MSS, 0), 110 * MSS);
    assert_eq!(
        bound_after(90 * MSS, 20 * MSS),
        90 * MSS,
        "a fifth was lost"
    );
    assert_eq!(bound_after(UNBOUNDED, 0), UNBOUNDED);
}

#[test]
fn bbr_5_3_3_6_what_the_application_limits_ends_no_cycle_of_the_bandwidth_filter() {
    for limited in [false, true] {
        let mut told = Told::cruising();
        let before = told.bbr().max_bw;
        let now = told.now();
        told.set(|bbr| bbr.start_probe_bw_down(now));
        told.app_limited = limited;
        told.round(90 * MSS, 90 * MSS);
        let after = if limited { before } else { [before[1], 0] };
        assert_eq!(told.bbr().max_bw, after);
    }
}

#[test]
fn bbr_5_5_10_2_what_the_application_limits_sets_no_bound() {
    for limited in [false, true] {
        let mut send = SendHalf::EMPTY;
        let told = Told::probing();
        send.congestion = told.state;
        let last = Sent {
            in_flight: 140 * MSS,
            flags: if limited { Sent::APP_LIMITED } else { 0 },
            ..Sent::NEVER
        };
        send.on_lost(told.now(), 30 * MSS, Some(&last), 100 * MSS, true);
        let bbr = Bbr::load(&send.congestion.words);
        assert!(bbr.prev_probe_too_high, "it ends the probe");
        assert_eq!(bbr.inflight_longterm == UNBOUNDED, limited);
    }
}

#[test]
fn bbr_5_5_11_2_a_time_out_in_recovery_keeps_what_there_is_to_return_to() {
    let mut told = Told::probing();
    told.lose(20 * MSS, 140 * MSS, 20 * MSS);
    told.state.on_congestion(told.now(), 100 * MSS);
    for _ in 0..3 {
        told.round(80 * MSS, 80 * MSS);
    }
    assert!(told.bbr().inflight_longterm < 140 * MSS);
    assert!(!told.bbr().is_loss_in_round);
    told.state.on_timeout(told.now(), 80 * MSS);
    told.state.on_spurious();
    assert_eq!(told.bbr().inflight_longterm, UNBOUNDED);
}

#[test]
fn bbr_5_6_4_the_short_term_bound_holds_the_window() {
    let mut told = Told::cruising();
    told.set(|bbr| bbr.inflight_shortterm = 150 * MSS);
    told.round(100 * MSS, 90 * MSS);
    assert_eq!(told.state.cwnd(), 150 * MSS);
}

#[test]
fn bbr_5_6_4_4_no_more_is_restored_than_the_model_allows() {
    let mut told = Told::cruising();
    told.set(|bbr| bbr.prior_cwnd = 900 * MSS);
    told.state.on_recovery_exit();
    assert_eq!(told.state.cwnd(), 300 * MSS);
}

/// Round trips that grow by one in a hundred each are as short as the one before, not as the shortest.
#[test]
fn bbr_5_5_7_the_shortest_round_trip_does_not_creep() {
    let mut told = Told::cruising();
    let mut rtt_us = RTT_US;
    for _ in 0..20 {
        rtt_us += rtt_us / 100;
        told.round_of(100 * MSS, 90 * MSS, rtt_us);
    }
    assert_eq!(told.bbr().probe_rtt_min_us, RTT_US);
    assert_eq!(told.bbr().min_rtt_us, RTT_US);
}
