#![allow(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use super::super::window::OPEN;
use super::super::{Controller, ControllerState, Start};
use super::*;
use crate::recovery::delivery::RateSample;
use crate::time::Instant;

const MSS: u32 = 1000;

/// A sender in its initial slow start; each round acknowledges what was sent in the one before.
struct Sender {
    state: ControllerState,
    una: SeqNum,
    nxt: SeqNum,
    /// Sent when the last round ended, which ends this one.
    end: SeqNum,
    now_us: u64,
    cwnd_limited: bool,
}

impl Sender {
    fn new() -> Self {
        Self::with_initial_window(10)
    }

    fn with_initial_window(segments: u32) -> Self {
        let mut state = ControllerState::EMPTY;
        state.nominate(Controller::Cubic);
        state.on_established(&Start {
            now: Instant::ZERO,
            mss: 1000,
            initial_segments: segments,
            rtt_us: None,
        });
        let una = SeqNum::new(u32::MAX - 20_000);
        Self {
            state,
            una,
            nxt: una.advance(state.cwnd()),
            end: una.advance(state.cwnd()),
            now_us: 1,
            cwnd_limited: true,
        }
    }

    fn ack(&mut self, octets: u32, rtt_us: Option<u32>) {
        self.una = self.una.advance(octets);
        self.now_us += 100;
        self.state.on_ack(&Ack {
            now: Instant::from_micros(self.now_us),
            acked: octets,
            delivered: octets,
            lost: 0,
            prior_in_flight: self.state.cwnd(),
            in_flight: self.state.cwnd() - octets,
            rtt_us,
            srtt_us: rtt_us,
            snd_una: self.una,
            snd_nxt: self.nxt,
            cwnd_limited: self.cwnd_limited,
            rate: RateSample::default(),
        });
        self.nxt = self.una.advance(self.state.cwnd());
    }

    /// A round of single segments, the first `samples` of which measure `rtt_us`. Octets of growth for
    /// each octet acknowledged. The last acknowledgement begins the next round.
    fn round(&mut self, samples: u32, rtt_us: u32) -> f64 {
        let before = self.state.cwnd();
        if self.end == self.una {
            self.end = self.nxt;
        }
        let (flight, end) = (self.end.octets_past(self.una), self.end);
        let mut measured = 0;
        while self.una.before(end) {
            self.end = self.nxt;
            let octets = end.octets_past(self.una).min(MSS);
            self.ack(octets, (measured < samples).then_some(rtt_us));
            measured += 1;
        }
        f64::from(self.state.cwnd() - before) / f64::from(flight)
    }

    fn is_slow_start(&self) -> bool {
        self.state.cwnd() < self.state.ssthresh()
    }
}

#[test]
fn rfc9406_4_2_slow_start_doubles_while_round_trips_stand_still() {
    let mut sender = Sender::new();
    for _ in 0..8 {
        assert_eq!(sender.round(u32::MAX, 50_000), 1.0);
    }
    assert!(sender.is_slow_start());
}

#[test]
fn rfc9406_4_2_an_eighth_more_delay_begins_conservative_slow_start_for_five_rounds() {
    let mut sender = Sender::new();
    sender.round(8, 80_000);
    // 80 / 8 = 10 ms is the threshold: one microsecond less is not enough.
    assert_eq!(sender.round(8, 89_999), 1.0);
    // The round before is what counts: 89.999 + 89.999 / 8.
    let partial = sender.round(8, 101_249);
    assert!(partial > 0.25 && partial < 1.0, "in the middle of a round");
    for _ in 1..5 {
        assert!(sender.is_slow_start());
        let growth = sender.round(8, 101_249);
        assert!((growth - 0.25).abs() < 0.01, "{growth}");
    }
    assert!(!sender.is_slow_start());
    let (cwnd, ssthresh) = (sender.state.cwnd(), sender.state.ssthresh());
    assert!(
        (ssthresh..=ssthresh + MSS).contains(&cwnd),
        "{cwnd} {ssthresh}"
    );
    assert_eq!(sender.state.window.episode, OPEN);
}

#[test]
fn rfc9406_4_3_the_threshold_is_between_4_and_16_ms() {
    for (first, second, slows) in [
        (8_000, 11_999, false),
        (8_000, 12_000, true),
        (600_000, 615_999, false),
        (600_000, 616_000, true),
    ] {
        let mut sender = Sender::new();
        sender.round(8, first);
        assert_eq!(sender.round(8, second) < 1.0, slows, "{first} {second}");
    }
}

#[test]
fn rfc9406_4_2_fewer_than_eight_samples_prove_nothing() {
    let mut sender = Sender::new();
    sender.round(8, 50_000);
    assert_eq!(sender.round(7, 200_000), 1.0);
    let mut sender = Sender::new();
    sender.round(8, 50_000);
    assert!(sender.round(8, 200_000) < 1.0);
    let mut sender = Sender::new();
    sender.round(0, 0);
    assert_eq!(
        sender.round(20, 200_000),
        1.0,
        "nothing to compare with in the round before"
    );
}

#[test]
fn rfc9406_4_2_shorter_round_trips_resume_slow_start() {
    let mut sender = Sender::new();
    sender.round(8, 50_000);
    sender.round(8, 70_000);
    let slow = sender.round(8, 70_000);
    assert!((slow - 0.25).abs() < 0.01);
    // Below the baseline, from the eighth sample on.
    let resumed = sender.round(8, 69_999);
    assert!(resumed > 0.25 && resumed < 1.0, "{resumed}");
    assert_eq!(sender.round(8, 69_999), 1.0);
    // It is HyStart++ again that ends it, with five rounds to go.
    sender.round(8, 90_000);
    for _ in 1..5 {
        assert!(sender.is_slow_start());
        sender.round(8, 90_000);
    }
    assert!(!sender.is_slow_start());
}

#[test]
fn rfc9406_4_2_dividing_acknowledgements_gains_nothing_in_conservative_slow_start() {
    let mut sender = Sender::new();
    sender.round(8, 50_000);
    sender.round(8, 70_000);
    let before = sender.state.cwnd();
    for _ in 0..MSS {
        sender.ack(1, None);
    }
    assert!(sender.state.cwnd() - before <= MSS / 4);
}

#[test]
fn rfc9406_4_3_a_stretch_ack_counts_in_full_because_segments_are_paced() {
    let mut sender = Sender::new();
    sender.ack(10 * MSS, None);
    assert_eq!(sender.state.cwnd(), 20 * MSS);
}

#[test]
fn rfc9406_4_2_a_loss_ends_it_for_good() {
    let mut sender = Sender::new();
    sender.round(8, 50_000);
    sender.state.on_timeout(Instant::ZERO, 20 * MSS);
    sender.state.on_recovery_exit();
    // Slow start up to the threshold does not listen to round trips any more.
    sender.nxt = sender.una.advance(sender.state.cwnd());
    sender.end = sender.nxt;
    let mut rtt_us = 60_000;
    while sender.is_slow_start() {
        let room = sender.state.ssthresh() - sender.state.cwnd();
        let flight = sender.nxt.octets_past(sender.una);
        let growth = sender.round(u32::MAX, rtt_us);
        assert!(growth == 1.0 || room < flight, "{growth}");
        rtt_us *= 2;
    }
    assert!(sender.state.cwnd() >= 14 * MSS);
}

#[test]
fn rfc9406_4_2_after_a_needless_reduction_the_initial_slow_start_goes_on() {
    let mut sender = Sender::new();
    sender.round(8, 50_000);
    sender.state.on_congestion(Instant::ZERO, 20 * MSS);
    sender.state.on_spurious();
    assert!(sender.is_slow_start());
    assert_eq!(sender.round(u32::MAX, 50_000), 1.0);
    assert_eq!(sender.round(u32::MAX, 50_000), 1.0);
    let slow = sender.round(u32::MAX, 80_000) + sender.round(u32::MAX, 80_000);
    assert!(slow < 2.0, "it still listens");
}

#[test]
fn rfc9406_idling_after_the_exit_does_not_begin_it_again() {
    let mut sender = Sender::new();
    sender.round(8, 50_000);
    for _ in 0..=5 {
        sender.round(8, 70_000);
    }
    assert!(!sender.is_slow_start());
    let threshold = sender.state.ssthresh();
    sender.state.on_idle_restart(10);
    sender.nxt = sender.una.advance(sender.state.cwnd());
    sender.end = sender.nxt;
    sender.round(8, 50_000);
    sender.round(8, 200_000);
    assert_eq!(sender.state.ssthresh(), threshold);
}

#[test]
fn rfc5681_equation_4_the_threshold_it_leaves_is_at_least_two_segments() {
    let mut sender = Sender::with_initial_window(1);
    sender.cwnd_limited = false;
    // Nine samples in each round of ninety octets, once the first window is acknowledged.
    for (rtt_us, acks) in [(50_000, 150), (80_000, 100)] {
        for _ in 0..acks {
            sender.nxt = sender.nxt.earliest(sender.una.advance(100));
            sender.ack(10, Some(rtt_us));
        }
    }
    assert_eq!(sender.state.cwnd(), MSS);
    assert_eq!(sender.state.ssthresh(), 2 * MSS);
}
