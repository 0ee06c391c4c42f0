#![allow(clippy::arithmetic_side_effects, clippy::float_arithmetic)]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use super::super::window::{OPEN, TIMED_OUT};
use super::super::{Controller, ControllerState, Start};
use super::*;
use crate::congestion::SentNow;
use crate::recovery::delivery::RateSample;
use crate::seq::SeqNum;
use proptest::prelude::*;
use std::vec::Vec;

mod edges;

const MSS: u32 = 1448;
const SMSS: u16 = 1448;

/// A flow whose acknowledgements come one for each segment, spread evenly over a round trip.
#[derive(Clone, Copy, Debug)]
struct Flow {
    state: ControllerState,
    now_us: u64,
    rtt_us: u32,
}

fn established() -> ControllerState {
    let mut state = ControllerState::EMPTY;
    state.nominate(Controller::Cubic);
    state.on_established(&Start {
        now: Instant::ZERO,
        mss: SMSS,
        initial_segments: 10,
        rtt_us: None,
    });
    state
}

impl Flow {
    /// In congestion avoidance after a loss with a window of `segments`: the window is 0.7 of it.
    fn after_loss(segments: u32, rtt_us: u32) -> Self {
        let mut state = established();
        state.window.cwnd = segments * MSS;
        let mut flow = Self {
            state,
            now_us: (1 << 32) - 3_000_000,
            rtt_us,
        };
        flow.lose();
        flow
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.now_us)
    }

    fn lose(&mut self) {
        let flight = self.state.cwnd();
        self.state.on_congestion(self.now(), flight);
        self.state.on_recovery_exit();
    }

    fn ack(&mut self, octets: u32, cwnd_limited: bool) {
        let now = self.now();
        self.state.on_ack(&Ack {
            now,
            acked: octets,
            delivered: octets,
            lost: 0,
            prior_in_flight: self.state.cwnd(),
            in_flight: self.state.cwnd().saturating_sub(octets),
            rtt_us: Some(self.rtt_us),
            srtt_us: Some(self.rtt_us),
            snd_una: SeqNum::ZERO,
            snd_nxt: SeqNum::ZERO.advance(self.state.cwnd()),
            cwnd_limited,
            rate: RateSample::default(),
        });
    }

    fn send(&mut self, octets: u32, in_flight: u32) {
        let now = self.now();
        self.state.on_sent(&SentNow {
            now,
            octets,
            in_flight,
            app_limited: false,
        });
    }

    /// Acknowledges a window. The caller may look at every step.
    fn round(&mut self) {
        let start_us = self.now_us;
        let flight = self.state.cwnd();
        let mut acked = 0;
        while acked < flight {
            let octets = MSS.min(flight - acked);
            acked += octets;
            let part = u64::from(self.rtt_us) * u64::from(acked) / u64::from(flight);
            self.now_us = start_us + part;
            self.ack(octets, true);
        }
    }

    fn segments(&self) -> f64 {
        f64::from(self.state.cwnd()) / f64::from(MSS)
    }

    fn cubic(&self) -> Cubic {
        Cubic::load(&self.state.words)
    }
}

/// RFC 9438 in floats and segments, acknowledgement by acknowledgement.
#[derive(Clone, Copy, Debug)]
struct Reference {
    cwnd: f64,
    ssthresh: f64,
    w_max: Option<f64>,
    cwnd_prior: f64,
    /// K, age and W_est of the stage.
    stage: Option<(f64, f64, f64)>,
}

impl Reference {
    /// Where W_cubic and W_est are all but equal the window jumps from one to the other; there the
    /// reference takes the side that `hint` is on. W_est goes by the window, and so may be as far off as that.
    fn ack(&mut self, segments: f64, passed: f64, rtt: f64, hint: f64) {
        let mut segments = segments;
        if self.cwnd < self.ssthresh {
            let taken = segments.min(self.ssthresh - self.cwnd);
            self.cwnd += taken;
            self.stage = None;
            if segments - taken < 1e-6 {
                return;
            }
            segments -= taken;
        }
        let (k, age, mut w_est) = self.stage.unwrap_or_else(|| {
            let w_max = self.w_max.unwrap_or(0.0).max(self.cwnd);
            self.w_max = Some(w_max);
            (((w_max - self.cwnd) / 0.4).cbrt(), -passed, self.cwnd)
        });
        let w_max = self.w_max.unwrap_or(0.0);
        let age = age + passed;
        let segments = segments.min(self.cwnd);
        // Equal is what is the same number of octets.
        let alpha = if self.cwnd_prior - w_est > 1e-6 {
            3.0 * 0.3 / 1.7
        } else {
            1.0
        };
        w_est += alpha * segments / self.cwnd;
        let curve = |t: f64| 0.4 * (t - k).powi(3) + w_max;
        let target = curve(age + rtt).clamp(self.cwnd, 1.5 * self.cwnd);
        let friendly = self.cwnd.max(w_est);
        let cubic = (self.cwnd + (target - self.cwnd) * segments / self.cwnd).max(w_est);
        let is_cubic = if (curve(age) - w_est).abs() < 0.02 + w_est / 200.0 {
            (cubic - hint).abs() < (friendly - hint).abs()
        } else {
            curve(age) > w_est
        };
        self.cwnd = if is_cubic { cubic } else { friendly };
        self.stage = Some((k, age, w_est));
    }

    /// A reduction from what the flow has; its window and its W_max, so that the decision whether it
    /// is smaller than before is one.
    fn reduce(&mut self, flow: &Flow, is_timeout: bool) {
        let w_max = f64::from(flow.cubic().stage.w_max) / f64::from(MSS);
        self.cwnd_prior = flow.segments();
        self.w_max = match self.cwnd_prior < w_max {
            _ if is_timeout => None,
            true => Some(self.cwnd_prior * 0.85),
            false => Some(self.cwnd_prior),
        };
        self.ssthresh = (0.7 * self.cwnd_prior).max(2.0);
        self.cwnd = if is_timeout { 1.0 } else { self.ssthresh };
        self.stage = None;
    }
}

#[test]
fn rfc9438_4_2_the_window_follows_the_curve() {
    for (rtt_us, segments) in [
        (10_000, 300),
        (30_000, 100),
        (50_000, 1000),
        (100_000, 30),
        (200_000, 300),
        (200_000, 2000),
        (600_000, 20),
        (600_000, 1000),
        (600_000, 5000),
    ] {
        let mut flow = Flow::after_loss(segments, rtt_us);
        let (w_max, start) = (f64::from(segments), flow.segments());
        let k = ((w_max - start) / 0.4).cbrt();
        let rtt = f64::from(rtt_us) / 1e6;
        // The stage begins with the first acknowledgement.
        flow.ack(MSS, true);
        let begin_us = flow.now_us;
        let mut w_est = start;
        loop {
            flow.round();
            let t = (flow.now_us - begin_us) as f64 / 1e6;
            if t > 2.0 * k {
                break;
            }
            w_est += if w_est < w_max { 0.9 / 1.7 } else { 1.0 };
            let exact = (0.4 * (t - k).powi(3) + w_max).max(w_est);
            let error = (flow.segments() - exact).abs();
            assert!(
                error <= 1.0 + exact / 100.0,
                "{segments} segments, {rtt} s, at {t} of {k} s: {} for {exact}",
                flow.segments()
            );
        }
    }
}

#[test]
fn rfc9438_4_2_k_is_when_the_last_window_is_reached() {
    let mut flow = Flow::after_loss(1000, 100_000);
    flow.ack(MSS, true);
    let begin_us = flow.now_us;
    // cbrt(300 / 0.4) s; the window is flat there.
    while flow.now_us - begin_us < 9_085_603 {
        assert!(flow.segments() < 1000.5, "concave until K");
        flow.round();
    }
    assert!(
        (flow.segments() - 1000.0).abs() < 1.0,
        "{}",
        flow.segments()
    );
    flow.round();
    assert!((flow.segments() - 1000.0).abs() < 1.0, "plateau");
}

#[test]
fn rfc9438_4_3_the_reno_friendly_region_is_exact_for_small_windows() {
    let mut flow = Flow::after_loss(20, 5_000);
    let mut expected = flow.segments();
    assert!((expected - 14.0).abs() < 0.01);
    for round in 0..40 {
        // A window of acknowledgements is alpha segments; once the old window is reached, one.
        let (flight, before) = (flow.state.cwnd(), expected);
        flow.round();
        let alpha = if before < 20.0 { 0.9 / 1.7 } else { 1.0 };
        expected += alpha;
        let error = (flow.segments() - expected).abs();
        // As the window grows under the round, its last acknowledgements count a little less.
        let slack = f64::from(round + 1) * alpha * f64::from(MSS) / f64::from(flight);
        assert!(
            error <= slack,
            "round {round}: {} {expected}",
            flow.segments()
        );
    }
    assert!(flow.segments() > 48.0 * 0.95);
}

#[test]
fn rfc9438_4_4_the_target_is_at_most_one_and_a_half_windows() {
    // Far into the convex region the curve runs away from the window.
    let mut flow = Flow::after_loss(10, 400_000);
    flow.ack(MSS, true);
    let mut cubic = flow.cubic();
    cubic.stage.age_us = 60_000_000;
    cubic.store(&mut flow.state.words);
    let before = flow.state.cwnd();
    flow.round();
    let growth = f64::from(flow.state.cwnd()) / f64::from(before);
    assert!(growth > 1.4 && growth <= 1.5, "{growth}");
}

#[test]
fn rfc9438_4_6_a_loss_leaves_seven_tenths_and_at_least_two_segments() {
    let mut flow = Flow::after_loss(100, 50_000);
    assert_eq!(flow.state.ssthresh(), 100 * MSS / 10 * 7);
    assert_eq!(flow.state.cwnd(), flow.state.ssthresh());
    flow.state.on_congestion(flow.now(), MSS);
    assert_eq!(flow.state.ssthresh(), 2 * MSS);
}

#[test]
fn rfc9438_4_7_fast_convergence() {
    let mut flow = Flow::after_loss(100, 50_000);
    assert_eq!(flow.cubic().stage.w_max, 100 * MSS);
    // Again before it is back: 70 * 0.85.
    flow.lose();
    assert_eq!(flow.cubic().stage.w_max, 70 * MSS * 17 / 20);
    // Beyond it: the window itself.
    while flow.state.cwnd() <= 60 * MSS {
        flow.round();
    }
    let cwnd = flow.state.cwnd();
    flow.lose();
    assert_eq!(flow.cubic().stage.w_max, cwnd);
}

#[test]
fn rfc9438_4_8_after_a_time_out_the_curve_starts_from_its_own_window() {
    let mut flow = Flow::after_loss(100, 200_000);
    flow.round();
    let flight = flow.state.cwnd();
    flow.state.on_timeout(flow.now(), flight);
    assert_eq!(flow.state.cwnd(), MSS);
    assert_eq!(flow.state.ssthresh(), (u64::from(flight) * 7 / 10) as u32);
    // The first ACK after it counts for a segment, whatever it acknowledges (RFC 3465 section 2.3).
    flow.ack(30 * MSS, true);
    assert_eq!(flow.state.cwnd(), 2 * MSS);
    flow.state.on_recovery_exit();
    while flow.state.cwnd() < flow.state.ssthresh() {
        flow.round();
    }
    flow.round();
    let stage = flow.cubic().stage;
    assert_eq!(stage.k_us, 0);
    assert!(stage.w_max.abs_diff(flow.state.ssthresh()) <= MSS);
    // Convex from the start: 0.4 * t^3, Reno before that.
    let start = f64::from(stage.w_max) / f64::from(MSS);
    let begin_us = flow.now_us - u64::from(stage.age_us);
    for _ in 0..50 {
        flow.round();
    }
    let t = (flow.now_us - begin_us) as f64 / 1e6;
    let exact = start + 0.4 * t.powi(3);
    assert!((flow.segments() - exact).abs() <= 1.0 + exact / 50.0);
}

#[test]
fn rfc9438_4_8_a_segment_that_times_out_again_leaves_the_curve() {
    let mut flow = Flow::after_loss(100, 200_000);
    flow.round();
    flow.state.on_timeout(flow.now(), 70 * MSS);
    let before = flow.cubic();
    flow.state.on_timeout(flow.now(), MSS);
    assert_eq!(flow.cubic(), before);
    assert_eq!(flow.state.window.episode, TIMED_OUT);
}

#[test]
fn rfc9438_4_9_a_needless_reduction_leaves_no_trace() {
    for is_timeout in [false, true] {
        let mut flow = Flow::after_loss(200, 100_000);
        for _ in 0..20 {
            flow.round();
        }
        let mut twin = flow;
        if is_timeout {
            flow.state.on_timeout(flow.now(), flow.state.cwnd());
        } else {
            flow.state.on_congestion(flow.now(), flow.state.cwnd());
        }
        assert_ne!(flow.cubic().stage, twin.cubic().stage);
        flow.state.on_spurious();
        assert_eq!(flow.cubic().stage, twin.cubic().stage);
        assert_eq!(flow.state.ssthresh(), twin.state.ssthresh());
        assert_eq!(flow.state.window.episode, OPEN);
        for _ in 0..100 {
            assert!(flow.state.cwnd().abs_diff(twin.state.cwnd()) <= 2);
            flow.round();
            twin.round();
        }
        assert!(flow.segments() > 210.0, "beyond the old window by now");
    }
}

#[test]
fn rfc9438_4_9_the_age_goes_on_through_a_needless_recovery() {
    let mut flow = Flow::after_loss(1000, 100_000);
    flow.round();
    let age_us = flow.cubic().stage.age_us;
    let cwnd = flow.state.cwnd();
    flow.state.on_congestion(flow.now(), cwnd);
    for _ in 0..10 {
        flow.now_us += 10_000;
        flow.ack(MSS, true);
        flow.send(MSS, cwnd - 10 * MSS);
    }
    assert!(flow.state.cwnd() < cwnd);
    flow.state.on_spurious();
    flow.now_us += 10_000;
    flow.ack(MSS, true);
    assert_eq!(flow.cubic().stage.age_us, age_us + 110_000);
}

#[test]
fn rfc9438_4_9_2_a_window_that_has_outgrown_the_old_one_stays() {
    let mut flow = Flow::after_loss(20, 100_000);
    while flow.state.cwnd() <= 21 * MSS {
        flow.round();
    }
    let before = flow.state;
    flow.state.on_spurious();
    assert_eq!(flow.state.cwnd(), before.cwnd());
    assert_eq!(flow.state.ssthresh(), before.ssthresh());
    assert_eq!(flow.cubic(), Cubic::load(&before.words));
}

#[test]
fn rfc4015_a_reduction_is_taken_back_once() {
    let mut flow = Flow::after_loss(200, 100_000);
    flow.state.on_spurious();
    assert_eq!(flow.state.cwnd(), 200 * MSS);
    flow.state.on_idle_restart(10);
    flow.state.on_spurious();
    assert_eq!(flow.state.cwnd(), 10 * MSS);
}

#[test]
fn rfc9438_4_10_leaving_slow_start_without_a_loss_the_window_is_the_plateau() {
    let mut flow = Flow {
        state: established(),
        now_us: 1,
        rtt_us: 100_000,
    };
    flow.state.set_threshold(40 * MSS);
    while flow.state.cwnd() < 40 * MSS {
        let room = 40 * MSS - flow.state.cwnd();
        flow.ack(room.min(10 * MSS), true);
    }
    assert_eq!(
        flow.state.cwnd(),
        40 * MSS,
        "slow start ends at the threshold"
    );
    flow.ack(MSS, true);
    let stage = flow.cubic().stage;
    assert_eq!((stage.w_max, stage.k_us), (40 * MSS, 0));
    assert_eq!(stage.cwnd_prior, 40 * MSS);
}

#[test]
fn rfc9438_5_8_time_limited_by_the_application_does_not_count() {
    let mut flow = Flow::after_loss(500, 100_000);
    for _ in 0..5 {
        flow.round();
    }
    let mut twin = flow;
    // Ten minutes of a trickle.
    for _ in 0..6_000 {
        flow.now_us += 100_000;
        flow.ack(MSS, false);
    }
    assert_eq!(flow.state.cwnd(), twin.state.cwnd());
    for _ in 0..30 {
        flow.round();
        twin.round();
        assert_eq!(flow.state.cwnd(), twin.state.cwnd());
    }
    // And an hour of nothing at all.
    flow.now_us += 3_600_000_000;
    flow.send(MSS, 0);
    for _ in 0..30 {
        flow.round();
        twin.round();
        assert_eq!(flow.state.cwnd(), twin.state.cwnd());
    }
}

#[test]
fn rfc5681_4_1_after_idling_slow_start_leads_to_a_new_stage() {
    let mut flow = Flow::after_loss(20, 20_000);
    while flow.state.cwnd() < 60 * MSS {
        flow.round();
    }
    // In slow start again, and in congestion avoidance with less than it had.
    for (threshold, restart) in [(14 * MSS, 10), (14 * MSS, 15)] {
        let mut idle = flow;
        idle.state.on_idle_restart(restart);
        let mut before = idle.state.cwnd();
        for _ in 0..10 {
            idle.round();
            let doubled = before * 2;
            assert!(idle.state.cwnd() <= doubled.min(before.max(threshold) + 2 * MSS));
            before = idle.state.cwnd();
        }
    }
}

#[test]
fn rfc9438_4_2_slow_start_is_no_part_of_a_stage() {
    let mut flow = Flow::after_loss(20, 100_000);
    // The stage has begun, and W_est is still its first window.
    flow.ack(1, true);
    flow.state.on_idle_restart(10);
    while flow.state.cwnd() < flow.state.ssthresh() {
        flow.now_us += 1_000_000;
        flow.ack(MSS, true);
    }
    flow.now_us += 1_000_000;
    flow.ack(MSS, true);
    assert_eq!(flow.cubic().stage.age_us, 0, "its time begins here");
}

#[test]
fn h12_1_dividing_acknowledgements_gains_nothing() {
    for (segments, rtt_us) in [(20, 5_000), (200, 200_000)] {
        let mut whole = Flow::after_loss(segments, rtt_us);
        whole.ack(MSS, true);
        let mut divided = whole;
        for _ in 0..200 {
            whole.now_us += 10_000;
            divided.now_us += 10_000;
            whole.ack(MSS, true);
            for _ in 0..MSS {
                divided.ack(1, true);
            }
            let (least, most) = (divided.state.cwnd(), whole.state.cwnd());
            assert!(least <= most + 2 && most - least.min(most) <= MSS);
        }
    }
}

#[test]
fn rfc3465_2_1_an_ack_of_more_than_a_window_counts_for_one() {
    for (segments, rtt_us) in [(20, 5_000), (200, 600_000)] {
        let mut flow = Flow::after_loss(segments, rtt_us);
        flow.ack(MSS, true);
        let mut window = flow;
        let cwnd = flow.state.cwnd();
        window.ack(cwnd, true);
        flow.ack(50 * cwnd, true);
        assert_eq!(flow.state.cwnd(), window.state.cwnd());
    }
}

#[test]
fn a_stage_outlasts_its_clock() {
    let mut flow = Flow::after_loss(30, 100_000);
    flow.round();
    // Three hours without a loss, a minute at a time: stamps would wrap, the age saturates.
    for _ in 0..180 {
        let before = flow.state.cwnd();
        flow.now_us += 60_000_000;
        flow.ack(MSS, true);
        assert!(flow.state.cwnd() > before, "still convex");
    }
    assert_eq!(flow.cubic().stage.age_us, u32::MAX);
}

#[test]
fn time_that_runs_backwards_stands_still() {
    let mut flow = Flow::after_loss(30, 100_000);
    flow.round();
    let age_us = flow.cubic().stage.age_us;
    flow.now_us -= 50_000;
    flow.ack(MSS, true);
    assert_eq!(flow.cubic().stage.age_us, age_us);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ack { octets: u32, passed_us: u32 },
    Idle { us: u32 },
    Lose,
    TimeOut,
    Needless,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ack =
        (1..6 * MSS, 0..40_000_u32).prop_map(|(octets, passed_us)| Step::Ack { octets, passed_us });
    let step = prop_oneof![
        300 => ack,
        2 => (0..2_000_000_u32).prop_map(|us| Step::Idle { us }),
        2 => Just(Step::Lose),
        1 => Just(Step::TimeOut),
        1 => Just(Step::Needless),
    ];
    prop::collection::vec(step, 1..1500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rfc9438_4_integers_follow_the_floats(
        segments in 5_u32..3000,
        rtt_us in 1_000..800_000_u32,
        steps in steps(),
    ) {
        let mut flow = Flow::after_loss(segments, rtt_us);
        let mut reference = Reference {
            cwnd: flow.segments(),
            ssthresh: flow.segments(),
            w_max: Some(segments.into()),
            cwnd_prior: segments.into(),
            stage: None,
        };
        for step in steps {
            match step {
                Step::Ack { octets, passed_us } => {
                    let octets = octets.min(flow.state.cwnd());
                    flow.now_us += u64::from(passed_us);
                    flow.ack(octets, true);
                    reference.ack(
                        f64::from(octets) / f64::from(MSS),
                        f64::from(passed_us) / 1e6,
                        f64::from(rtt_us) / 1e6,
                        flow.segments(),
                    );
                }
                Step::Idle { us } => {
                    flow.now_us += u64::from(us);
                    flow.send(MSS, 0);
                }
                Step::Lose => {
                    reference.reduce(&flow, false);
                    flow.lose();
                }
                Step::TimeOut => {
                    reference.reduce(&flow, true);
                    let flight = flow.state.cwnd();
                    flow.state.on_timeout(flow.now(), flight);
                    flow.state.on_recovery_exit();
                }
                Step::Needless => {
                    flow.state.on_congestion(flow.now(), flow.state.cwnd());
                    flow.state.on_spurious();
                }
            }
            let error = (flow.segments() - reference.cwnd).abs();
            prop_assert!(
                error <= 0.25 + reference.cwnd / 200.0,
                "{} for {reference:?}, {:?}",
                flow.segments(),
                flow.cubic()
            );
            if flow.state.cwnd() <= flow.state.ssthresh() {
                // When slow start ends is a matter of single octets.
                reference.cwnd = flow.segments();
                reference.ssthresh = f64::from(flow.state.ssthresh()) / f64::from(MSS);
            }
        }
    }

    #[test]
    fn any_state_is_harmless(
        words: [u32; 16],
        cwnd: u32,
        ssthresh: u32,
        events in prop::collection::vec((0..4_u8, any::<u32>()), 1..40),
    ) {
        let mut flow = Flow::after_loss(30, 100_000);
        for (word, any) in flow.state.words.iter_mut().zip(words) {
            *word = any;
        }
        flow.state.window.cwnd = cwnd;
        flow.state.window.ssthresh = ssthresh;
        for (event, number) in events {
            let before = flow.state.cwnd();
            flow.now_us += u64::from(number);
            match event {
                0 => flow.lose(),
                1 => flow.state.on_timeout(flow.now(), number),
                2 => flow.state.on_spurious(),
                _ => {
                    flow.ack(number, true);
                    // Never faster than slow start, whatever lay there.
                    let most = u64::from(before.min(WINDOW_LIMIT)) + u64::from(number);
                    prop_assert!(u64::from(flow.state.cwnd()) <= most.max(MSS.into()));
                }
            }
            prop_assert!(flow.state.cwnd() <= WINDOW_LIMIT.max(cwnd));
        }
    }
}
