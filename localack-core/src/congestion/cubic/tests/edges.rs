//! CUBIC where one of its conditions only just holds.

use super::*;

/// A flow whose initial slow start leads to a threshold of so many segments, without a loss.
fn at_threshold(segments: u32) -> Flow {
    let mut flow = Flow {
        state: established(),
        now_us: 1,
        rtt_us: 100_000,
    };
    flow.state.set_threshold(segments * MSS);
    while flow.state.cwnd() < segments * MSS {
        let room = segments * MSS - flow.state.cwnd();
        flow.ack(room.min(10 * MSS), true);
    }
    flow
}

#[test]
fn rfc9406_4_3_growing_round_trips_end_only_the_initial_slow_start() {
    let mut flow = at_threshold(80);
    flow.ack(1, true);
    flow.state.on_idle_restart(10);
    let mut una = 0;
    for (rtt_us, segments) in [(100_000, 20), (150_000, 40), (200_000, 80)] {
        for _ in 0..segments / 2 {
            una += MSS;
            flow.now_us += 1000;
            let cwnd = flow.state.cwnd();
            flow.state.on_ack(&Ack {
                now: flow.now(),
                acked: MSS,
                delivered: MSS,
                lost: 0,
                prior_in_flight: cwnd,
                in_flight: cwnd - MSS,
                rtt_us: Some(rtt_us),
                srtt_us: Some(rtt_us),
                snd_una: SeqNum::new(una),
                snd_nxt: SeqNum::new(una).advance(cwnd),
                cwnd_limited: true,
                rate: RateSample::default(),
            });
        }
        assert_eq!(flow.state.cwnd(), segments * MSS, "after {rtt_us} us");
    }
}

#[test]
fn rfc9438_4_3_the_estimate_grows_as_reno_does_from_the_window_that_was_reduced() {
    let mut flow = at_threshold(40);
    flow.ack(MSS, true);
    assert_eq!(flow.state.cwnd(), 40 * MSS + MSS / 40);
}

#[test]
fn rfc9438_4_7_a_flow_that_loses_where_it_did_before_leaves_no_more_room() {
    let mut flow = at_threshold(40);
    flow.ack(1, true);
    assert_eq!(flow.cubic().stage.w_max, flow.state.cwnd());
    flow.lose();
    assert_eq!(flow.cubic().stage.w_max, 40 * MSS);
}

#[test]
fn rfc9438_5_8_segments_that_follow_others_do_not_stop_the_time() {
    let mut flow = Flow::after_loss(100, 100_000);
    flow.ack(MSS, true);
    flow.now_us += 50_000;
    flow.send(MSS, 10 * MSS);
    flow.now_us += 50_000;
    flow.ack(MSS, true);
    assert_eq!(flow.cubic().stage.age_us, 100_000);
}

#[test]
fn rfc9438_4_2_a_stage_begins_with_the_first_advance() {
    let mut flow = Flow::after_loss(100, 100_000);
    let cwnd = flow.state.cwnd();
    // It is only SACKed.
    flow.state.on_ack(&Ack {
        now: flow.now(),
        acked: 0,
        delivered: MSS,
        lost: 0,
        prior_in_flight: cwnd,
        in_flight: cwnd - MSS,
        rtt_us: None,
        srtt_us: Some(100_000),
        snd_una: SeqNum::ZERO,
        snd_nxt: SeqNum::ZERO.advance(cwnd),
        cwnd_limited: true,
        rate: RateSample::default(),
    });
    flow.now_us += 5_000_000;
    flow.ack(MSS, true);
    assert_eq!(flow.cubic().stage.age_us, 0);
}

#[test]
fn half_of_the_clock_away_is_a_time_that_runs_backwards() {
    for (passed_us, counted_us) in [((1_u32 << 31) - 1, (1 << 31) - 1), (1 << 31, 0)] {
        let mut flow = Flow::after_loss(30, 100_000);
        flow.ack(MSS, true);
        flow.now_us += u64::from(passed_us);
        flow.ack(MSS, true);
        assert_eq!(flow.cubic().stage.age_us, counted_us);
    }
}
