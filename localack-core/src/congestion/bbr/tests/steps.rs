//! Single steps of the model, at the very edge of their conditions.

use std::collections::BTreeSet;

use super::events::{MSS, RTT_US, Told};
use super::*;
use crate::time::Moment;

/// So many milliseconds after a point in time.
fn later(at: Instant, ms: u64) -> Instant {
    Instant::from_micros(at.as_micros() + ms * 1000)
}

/// A segment leaves after an idle time.
fn restart(told: &mut Told) {
    told.state.on_sent(&SentNow {
        now: told.now(),
        octets: MSS,
        in_flight: 0,
        app_limited: true,
    });
}

#[test]
fn bbr_5_5_7_what_the_handshake_measured_counts_for_ten_seconds() {
    for (after_us, min_rtt_us) in [(6_000_000, RTT_US), (10_000_000, 2 * RTT_US)] {
        let mut told = Told::new(Some(RTT_US));
        told.now_us += after_us;
        told.round_of(MSS, MSS, 2 * RTT_US);
        assert_eq!(told.bbr().min_rtt_us, min_rtt_us, "after {after_us} us");
    }
}

#[test]
fn bbr_5_5_7_a_shorter_round_trip_counts_at_once() {
    let mut told = Told::new(Some(RTT_US));
    told.round_of(MSS, MSS, RTT_US / 2);
    assert_eq!(told.bbr().min_rtt_us, RTT_US / 2);
}

/// `ProbeRTT` renews only when it looks for the minimum again, not the minimum that the model uses.
#[test]
fn bbr_5_5_7_the_minimum_is_as_old_as_its_measurement() {
    let mut told = Told::new(Some(RTT_US));
    let began = told.now();
    let mut bbr = told.bbr();
    bbr.probe_rtt_min_at = Moment::at(later(began, 5000));
    for (at_ms, min_rtt_us) in [(6000, RTT_US), (10_500, RTT_US * 3 / 2)] {
        let mut ack = told.news(MSS, MSS, RTT_US * 3 / 2);
        ack.now = later(began, at_ms);
        bbr.update_min_rtt(&ack);
        assert_eq!(bbr.min_rtt_us, min_rtt_us, "after {at_ms} ms");
    }
}

#[test]
fn rfc7661_a_window_with_room_for_a_segment_is_not_all_used() {
    for (in_flight, is_limited) in [(8 * MSS, false), (8 * MSS + 1, true)] {
        let mut told = Told::cruising();
        told.state.window.cwnd = 10 * MSS;
        told.state.on_sent(&SentNow {
            now: told.now(),
            octets: MSS,
            in_flight,
            app_limited: false,
        });
        assert_eq!(told.bbr().is_cwnd_limited(), is_limited, "{in_flight}");
    }
}

#[test]
fn bbr_5_5_10_3_without_a_queue_only_many_losses_or_unseen_ones_lower_the_short_term_model() {
    for (sack, lost, is_lowered) in [
        (true, MSS, false),
        (false, MSS, true),
        (true, 20 * MSS, true),
    ] {
        let mut told = Told::cruising();
        told.state.on_lost(&LostNow {
            now: told.now(),
            octets: MSS,
            tx_in_flight: 100 * MSS,
            lost_since_sent: MSS,
            is_app_limited: false,
            sack,
        });
        told.lost = lost;
        told.round(100 * MSS, 90 * MSS);
        let bbr = told.bbr();
        let bounds = [bbr.bw_shortterm, bbr.inflight_shortterm];
        let are_set = bounds.map(|bound| bound != UNBOUNDED);
        assert_eq!(are_set, [is_lowered; 2], "{sack} {lost}: {bbr:?}");
    }
}

#[test]
fn bbr_5_5_11_2_a_needless_time_out_gives_the_bound_of_a_probe_back() {
    let mut told = Told::probing();
    told.set(|bbr| bbr.inflight_longterm = 500 * MSS);
    told.state.on_timeout(told.now(), 100 * MSS);
    told.lose(40 * MSS, 100 * MSS, 40 * MSS);
    assert!(told.bbr().inflight_longterm < 500 * MSS);
    told.state.on_spurious();
    assert_eq!(told.bbr().inflight_longterm, 500 * MSS);
}

#[test]
fn bbr_5_4_1_idleness_ends_a_probe_rtt_that_has_lasted_long_enough() {
    for (for_ms, phase, cwnd) in [
        (100, Phase::ProbeRtt, 50 * MSS),
        (300, Phase::Cruise, 200 * MSS),
    ] {
        let mut told = Told::cruising();
        let began = Instant::from_micros(told.now_us - for_ms * 1000);
        told.set(|bbr| {
            bbr.phase = Phase::ProbeRtt;
            bbr.phase_at = Moment::at(began);
            bbr.prior_cwnd = 200 * MSS;
        });
        told.state.window.cwnd = 50 * MSS;
        restart(&mut told);
        assert_eq!(told.bbr().phase, phase, "{for_ms} ms");
        assert_eq!(told.state.cwnd(), cwnd, "{for_ms} ms");
    }
}

#[test]
fn bbr_5_4_1_idleness_does_not_speed_up_drain() {
    let mut told = Told::new(Some(RTT_US));
    while told.bbr().phase != Phase::Drain {
        told.round(100 * MSS, 200 * MSS);
    }
    restart(&mut told);
    assert_eq!(told.state.pacing_rate(None), Some(495_000));
}

#[test]
fn counts_that_wrap_are_reached_for_half_of_all_numbers() {
    for (count, mark, is_reached) in [
        (7, 7, true),
        (6, 7, false),
        (4, u32::MAX, true),
        (u32::MAX, 4, false),
        ((1 << 31) - 1, 0, true),
        (1 << 31, 0, false),
    ] {
        assert_eq!(has_reached(count, mark), is_reached, "{count} {mark}");
    }
}

#[test]
fn bbr_5_6_4_3_before_the_pipe_was_full_the_window_grows_to_what_the_path_needs() {
    let mut told = Told::new(Some(RTT_US));
    let bbr = told.bbr();
    let enough = bbr.max_inflight(&told.state.window);
    // Whatever that is, the window grows for as long as less than the initial one was delivered.
    for (cwnd, delivered, grows) in [
        (enough - 1, 10 * MSS, true),
        (enough, 10 * MSS, false),
        (enough, 10 * MSS - 1, true),
    ] {
        let mut ack = told.news(MSS, MSS, RTT_US);
        ack.rate.total_delivered = delivered;
        let mut window = told.state.window;
        window.cwnd = cwnd;
        bbr.set_cwnd(&mut window, &ack);
        let grown = if grows { cwnd + MSS } else { cwnd };
        assert_eq!(window.cwnd, grown, "{cwnd} {delivered}");
    }
}

#[test]
fn bbr_5_6_4_4_a_loss_in_probe_rtt_keeps_the_window_to_return_to() {
    for (phase, kept) in [
        (Phase::ProbeRtt, 300 * MSS),
        // Otherwise the window when the loss was found.
        (Phase::Cruise, 50 * MSS),
    ] {
        let mut told = Told::cruising();
        told.set(|bbr| {
            bbr.phase = phase;
            bbr.prior_cwnd = 300 * MSS;
        });
        told.state.window.cwnd = 50 * MSS;
        told.lose(MSS, 50 * MSS, MSS);
        told.state.on_congestion(told.now(), 49 * MSS);
        assert_eq!(told.bbr().prior_cwnd, kept, "{phase:?}");
    }
}

#[test]
fn bbr_5_3_3_6_a_probe_that_stopped_as_a_precaution_and_lost_nothing_goes_on() {
    for (lost, phase) in [(0, Phase::Refill), (40 * MSS, Phase::Cruise)] {
        let mut told = Told::probing();
        told.set(|bbr| {
            bbr.inflight_longterm = 110 * MSS;
            bbr.prev_probe_too_high = true;
        });
        told.round(100 * MSS, 110 * MSS);
        assert_eq!(told.bbr().phase, Phase::Down);
        told.lose(lost, 110 * MSS, lost);
        told.round(100 * MSS, 10 * MSS);
        assert_eq!(told.bbr().phase, phase, "{lost}");
    }
}

#[test]
fn bbr_5_3_3_5_half_of_the_flows_wait_for_a_round_less() {
    let mut rounds = BTreeSet::new();
    for delivered in 0..64 {
        let mut bbr = Told::cruising().bbr();
        bbr.delivered = delivered;
        bbr.start_probe_bw_down(Instant::from_millis(5));
        rounds.insert(bbr.rounds_since_probe_up);
    }
    assert_eq!(rounds, BTreeSet::from([0, 1]));
}

/// 125 % of the BDP, and of the two segments that a probe adds to it, is what a probe alone does not
/// exceed in its first round.
#[test]
fn a_probe_ends_with_a_queue_of_its_own() {
    for (is_clear, rounds, in_flight, phase) in [
        (true, 0, 10 * MSS, Phase::Up),
        (true, 1, 10 * MSS, Phase::Up),
        (true, 0, 200 * MSS, Phase::Up),
        (true, 1, 127_500, Phase::Up),
        (true, 1, 127_501, Phase::Down),
        (false, 1, 200 * MSS, Phase::Up),
    ] {
        let mut told = Told::probing();
        told.set(|bbr| {
            bbr.probe_began_clear = is_clear;
            bbr.phase_rounds = rounds;
        });
        let mut ack = told.news(MSS, in_flight, RTT_US);
        // In the middle of a round.
        ack.rate.prior_delivered -= MSS;
        told.state.on_ack(&ack);
        let case = (is_clear, rounds, in_flight);
        assert_eq!(told.bbr().phase, phase, "{case:?}");
    }
}

#[test]
fn bbr_5_5_4_a_cycle_without_a_sample_forgets_no_bandwidth() {
    let mut bbr = Told::cruising().bbr();
    for (before, after) in [
        ([800_000, 1_000_000], [1_000_000, 0]),
        ([1_000_000, 0], [1_000_000, 0]),
    ] {
        bbr.max_bw = before;
        bbr.advance_max_bw_filter();
        assert_eq!(bbr.max_bw, after);
    }
}

#[test]
fn bbr_5_6_3_a_quantum_is_a_millisecond_of_the_rate_within_its_bounds() {
    let told = Told::new(Some(RTT_US));
    for (pacing_rate, quantum) in [
        (1_000_000, 2 * MSS),
        (10_000_000, 10 * MSS),
        (100_000_000, 65_536),
    ] {
        let mut bbr = told.bbr();
        bbr.pacing_rate = pacing_rate;
        // Three quanta are on their way inside the hosts.
        let most = bbr.max_inflight(&told.state.window);
        assert_eq!(most, 3 * quantum, "{pacing_rate}");
    }
}

#[test]
fn bbr_5_5_9_aggregation_is_remembered_for_ten_rounds() {
    let mut told = Told::cruising();
    let mut bbr = told.bbr();
    bbr.extra_acked = [0, 50 * MSS];
    bbr.extra_acked_rounds = 0;
    bbr.extra_acked_delivered = 0;
    for round in 1..=10 {
        let ack = told.news(0, 90 * MSS, RTT_US);
        let news = News {
            rate: 0,
            is_app_limited: false,
            round_start: true,
            loss_round_start: true,
        };
        bbr.update_ack_aggregation(&told.state.window, &ack, news);
        let most = bbr.extra_acked.into_iter().max();
        let expected = if round < 10 { 50 * MSS } else { 0 };
        assert_eq!(most, Some(expected), "round {round}");
    }
}

#[test]
fn bbr_5_4_1_only_what_is_delivered_ends_a_restart() {
    let mut told = Told::cruising();
    restart(&mut told);
    told.round(0, 90 * MSS);
    assert!(told.bbr().idle_restart, "losses alone");
    told.round(MSS, 90 * MSS);
    assert!(!told.bbr().idle_restart);
}

#[test]
fn bbr_5_3_4_3_probe_rtt_lasts_from_when_little_enough_is_in_flight() {
    let mut told = Told::cruising();
    told.set(|bbr| {
        bbr.phase = Phase::ProbeRtt;
        bbr.phase_at = Moment::NEVER;
    });
    for _ in 0..3 {
        told.round(50 * MSS, 51 * MSS);
        assert_eq!(told.bbr().phase_at, Moment::NEVER, "more than half a BDP");
    }
    told.round(50 * MSS, 50 * MSS);
    assert_eq!(told.bbr().phase_at, Moment::at(told.now()));
    let mut rounds = 0;
    while told.bbr().phase == Phase::ProbeRtt {
        told.round(50 * MSS, 50 * MSS);
        rounds += 1;
    }
    assert!((2..=3).contains(&rounds), "{rounds} rounds of 100 ms");
}

#[test]
fn a_queue_is_an_eighth_of_the_round_trip_and_more_than_four_segments() {
    let mut told = Told::cruising();
    for (min_rtt_us, rtt_us, is_seen) in [
        (100_000, 110_000, false),
        (100_000, 112_500, false),
        (100_000, 112_501, true),
        // At a megabyte a second.
        (20_000, 24_000, false),
        (20_000, 24_001, true),
    ] {
        let mut bbr = told.bbr();
        bbr.min_rtt_us = min_rtt_us;
        let ack = told.news(MSS, MSS, rtt_us);
        bbr.look_for_queue(&ack, MSS);
        assert_eq!(bbr.is_queue_seen(), is_seen, "{rtt_us} of {min_rtt_us} us");
    }
}

#[test]
fn losses_are_too_many_above_the_threshold_and_what_chance_takes() {
    let told = Told::cruising();
    for (lost, is_too_high) in [(7 * MSS, false), (7 * MSS + 1, true)] {
        let bbr = told.bbr();
        let judged = bbr.is_loss_too_high(&told.state.window, lost, 100 * MSS);
        assert_eq!(judged, is_too_high, "5 % and 2 % of 100: {lost}");
    }
}

#[test]
fn bbr_5_5_10_2_losses_just_after_probe_rtt_set_no_bound() {
    for (shadow, is_bound) in [(2, false), (0, true)] {
        let mut told = Told::probing();
        told.set(|bbr| bbr.probe_rtt_shadow = shadow);
        told.lose(40 * MSS, 100 * MSS, 40 * MSS);
        let bbr = told.bbr();
        assert!(bbr.prev_probe_too_high, "they end the probe");
        assert_eq!(bbr.inflight_longterm != UNBOUNDED, is_bound);
    }
}

#[test]
fn bbr_5_5_10_1_signals_of_a_probe_end_with_it() {
    let mut told = Told::probing();
    assert_ne!(told.bbr().bw_latest, 0);
    told.lose(40 * MSS, 100 * MSS, 40 * MSS);
    let bbr = told.bbr();
    assert_eq!(bbr.phase, Phase::Down);
    assert!(!bbr.is_loss_in_round);
    assert_eq!((bbr.bw_latest, bbr.inflight_latest), (0, 0));
}

#[test]
fn bbr_5_3_1_3_losses_once_the_pipe_is_full_anyway_set_no_bound() {
    let mut told = Told::new(Some(RTT_US));
    for _ in 0..3 {
        told.round(20 * MSS, 20 * MSS);
    }
    for lost in 1..=6 {
        told.lose(MSS, 20 * MSS, lost * MSS);
    }
    told.lost = 12 * MSS;
    assert_eq!(told.bbr().phase, Phase::Startup);
    told.round(20 * MSS, 20 * MSS);
    let bbr = told.bbr();
    assert!(bbr.full_bw_reached, "the third round without growth");
    assert_eq!(bbr.inflight_longterm, UNBOUNDED);
    assert_eq!(bbr.undo, Undo::Nothing);
}

#[test]
fn bbr_5_3_1_3_startup_ends_with_many_losses_of_much() {
    for (events, lost, is_over) in [
        (1, 12 * MSS, false),
        (6, MSS, false),
        (5, 12 * MSS, false),
        (6, 12 * MSS, true),
    ] {
        let mut told = Told::new(Some(RTT_US));
        told.round(10 * MSS, 20 * MSS);
        for _ in 0..events {
            told.lose(lost / events, 20 * MSS, lost);
        }
        told.state.on_congestion(told.now(), 14 * MSS);
        told.lost = lost;
        told.round(20 * MSS, 20 * MSS);
        let phase = told.bbr().phase;
        assert_eq!(phase != Phase::Startup, is_over, "{events} of {lost}");
    }
}
