#![allow(clippy::arithmetic_side_effects)]

use super::*;
use crate::recovery::delivery::RateSample;
use crate::seq::SeqNum;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const MSS: u32 = 1000;
/// The same, as it is told.
const SMSS: u16 = 1000;

impl ControllerState {
    fn in_slow_start(&self) -> bool {
        self.cwnd() < self.ssthresh()
    }

    fn on_loss(&mut self, in_flight: u32) {
        self.on_congestion(Instant::ZERO, in_flight);
    }
}

fn start(mss: u16, initial_segments: u32) -> Start {
    Start {
        now: Instant::ZERO,
        mss,
        initial_segments,
        rtt_us: None,
    }
}

fn established(segments: u32) -> ControllerState {
    let mut state = ControllerState::EMPTY;
    state.on_established(&start(SMSS, segments));
    state
}

fn news(octets: u32, cwnd_limited: bool) -> Ack {
    Ack {
        now: Instant::ZERO,
        acked: octets,
        delivered: octets,
        lost: 0,
        prior_in_flight: octets,
        in_flight: 0,
        rtt_us: None,
        srtt_us: None,
        snd_una: SeqNum::ZERO,
        snd_nxt: SeqNum::ZERO,
        cwnd_limited,
        rate: RateSample::default(),
    }
}

fn sent(octets: u32) -> SentNow {
    SentNow {
        now: Instant::ZERO,
        octets,
        in_flight: 0,
        app_limited: false,
    }
}

/// A connection in congestion avoidance with a window of `segments`.
fn avoiding(segments: u32) -> ControllerState {
    let mut state = established(2 * segments);
    state.on_loss(2 * segments * MSS);
    state.on_recovery_exit();
    state
}

fn ack(state: &mut ControllerState, octets: u32) {
    state.on_ack(&news(octets, true));
}

#[test]
fn rfc6928_2_the_initial_window_is_ten_segments_or_14600_octets() {
    for (mss, segments, cwnd) in [
        (1000, 10, 10_000),
        (1460, 10, 14_600),
        (2000, 10, 14_600),
        (9000, 10, 18_000),
        (536, 10, 5360),
    ] {
        let mut state = ControllerState::EMPTY;
        state.on_established(&start(mss, segments));
        assert_eq!(state.cwnd(), cwnd, "segments of {mss}");
        assert!(state.in_slow_start());
    }
}

#[test]
fn rfc5681_3_1_one_segment_after_a_lost_syn() {
    assert_eq!(established(1).cwnd(), MSS);
    let mut large = ControllerState::EMPTY;
    large.on_established(&start(9000, 1));
    assert_eq!(large.cwnd(), 9000);
}

#[test]
fn rfc3465_2_2_slow_start_grows_by_what_is_acknowledged_up_to_two_segments() {
    let mut state = established(10);
    ack(&mut state, 700);
    assert_eq!(state.cwnd(), 10_700);
    ack(&mut state, 2 * MSS);
    assert_eq!(state.cwnd(), 12_700);
    ack(&mut state, 10 * MSS);
    assert_eq!(
        state.cwnd(),
        14_700,
        "a stretch ACK counts for two segments"
    );
}

#[test]
fn rfc5681_3_1_congestion_avoidance_grows_by_a_segment_per_window() {
    let mut state = avoiding(10);
    for _ in 0..9 {
        ack(&mut state, MSS);
        assert_eq!(state.cwnd(), 10 * MSS);
    }
    ack(&mut state, MSS);
    assert_eq!(state.cwnd(), 11 * MSS);
    for _ in 0..11 {
        ack(&mut state, MSS);
    }
    assert_eq!(state.cwnd(), 12 * MSS);
}

#[test]
fn h12_1_dividing_acknowledgements_gains_nothing() {
    for mut whole in [established(10), avoiding(10)] {
        let mut divided = whole;
        for _ in 0..50 {
            ack(&mut whole, MSS);
            for _ in 0..MSS {
                ack(&mut divided, 1);
            }
            // At most the rounding of one octet more than a segment's worth.
            assert!(
                divided.cwnd().abs_diff(whole.cwnd()) <= MSS,
                "{divided:?} {whole:?}"
            );
            assert!(divided.cwnd() <= whole.cwnd() || whole.in_slow_start());
        }
    }
}

#[test]
fn rfc3465_2_1_an_ack_of_more_than_a_window_grows_it_once() {
    let mut state = avoiding(10);
    ack(&mut state, 45 * MSS);
    assert_eq!(state.cwnd(), 11 * MSS);
    ack(&mut state, 1);
    assert_eq!(state.cwnd(), 11 * MSS, "at most a window is carried over");
    let mut state = avoiding(10);
    ack(&mut state, 15 * MSS);
    ack(&mut state, 6 * MSS);
    assert_eq!(
        state.cwnd(),
        12 * MSS,
        "the rest counts toward the next segment"
    );
}

#[test]
fn rfc5681_3_1_a_reduction_starts_the_count_anew() {
    let mut state = avoiding(10);
    ack(&mut state, 9 * MSS);
    state.on_loss(10 * MSS);
    state.on_recovery_exit();
    ack(&mut state, MSS);
    assert_eq!(state.cwnd(), 5 * MSS);
}

#[test]
fn rfc5681_equation_4_and_rfc6675_a_loss_halves_the_flight() {
    let mut state = established(10);
    state.on_loss(9 * MSS);
    assert_eq!(state.ssthresh(), 4500);
    state.on_sent(&sent(MSS));
    // In recovery the window follows what is delivered and does not pass the threshold (RFC 9937).
    for in_flight in [8 * MSS, 5 * MSS, 4 * MSS] {
        let mut news = news(MSS, true);
        news.in_flight = in_flight;
        state.on_ack(&news);
        assert!(state.cwnd() <= in_flight.max(4500), "{in_flight}");
    }
    state.on_recovery_exit();
    assert_eq!(state.cwnd(), 4500);
    for _ in 0..4 {
        ack(&mut state, MSS);
    }
    assert_eq!(state.cwnd(), 4500);
    ack(&mut state, MSS);
    assert_eq!(state.cwnd(), 5500);
}

/// Two recoveries in a row: what the first has sent behind its holes, and has been SACKed, is outstanding
/// when the second begins, but no window let go as much.
#[test]
fn rfc5681_3_1_a_threshold_is_a_part_of_the_window_at_most() {
    for controller in controllers() {
        let mut state = ControllerState::EMPTY;
        state.nominate(controller);
        state.on_established(&start(1000, 100));
        if state.provisioned().is_some() || state.needs_pacing() {
            // Neither follows a threshold.
            continue;
        }
        let mut before = state.cwnd();
        for _ in 0..5 {
            state.on_congestion(Instant::ZERO, 10 * before);
            state.on_recovery_exit();
            assert!(state.cwnd() < before, "{controller:?}");
            before = state.cwnd();
        }
        state.on_congestion(Instant::ZERO, before);
        let threshold = state.ssthresh();
        state.on_timeout(Instant::ZERO, 10 * before);
        assert!(state.ssthresh() <= threshold, "{controller:?}");
    }
}

#[test]
fn rfc5681_equation_4_the_threshold_is_at_least_two_segments() {
    let mut state = established(10);
    state.on_loss(MSS);
    state.on_recovery_exit();
    assert_eq!((state.cwnd(), state.ssthresh()), (2 * MSS, 2 * MSS));
}

#[test]
fn rfc5681_3_1_a_time_out_leaves_one_segment() {
    let mut state = established(10);
    state.on_timeout(Instant::ZERO, 10 * MSS);
    assert_eq!((state.cwnd(), state.ssthresh()), (MSS, 5 * MSS));
}

#[test]
fn rfc5681_3_1_a_segment_that_times_out_again_leaves_the_threshold() {
    let mut state = established(10);
    state.on_timeout(Instant::ZERO, 10 * MSS);
    ack(&mut state, 0);
    state.on_timeout(Instant::ZERO, MSS);
    assert_eq!(state.ssthresh(), 5 * MSS);
    // Another segment: its loss is news.
    ack(&mut state, MSS);
    state.on_timeout(Instant::ZERO, 2 * MSS);
    assert_eq!(state.ssthresh(), 2 * MSS);
}

#[test]
fn rfc3465_2_3_slow_start_after_a_time_out_grows_by_one_segment_per_ack() {
    let mut state = established(10);
    state.on_timeout(Instant::ZERO, 20 * MSS);
    ack(&mut state, 5 * MSS);
    assert_eq!(state.cwnd(), 2 * MSS);
    state.on_recovery_exit();
    ack(&mut state, 5 * MSS);
    assert_eq!(state.cwnd(), 4 * MSS);
}

#[test]
fn rfc5681_4_1_after_idling_the_window_restarts_and_the_threshold_stays() {
    let mut state = avoiding(40);
    state.on_idle_restart(10);
    assert_eq!((state.cwnd(), state.ssthresh()), (10 * MSS, 40 * MSS));
    let mut small = avoiding(4);
    small.on_idle_restart(10);
    assert_eq!(small.cwnd(), 4 * MSS, "min(IW, cwnd)");
    small.on_idle_restart(1);
    assert_eq!(small.cwnd(), MSS, "IW after a lost SYN");
}

#[test]
fn rfc7661_a_window_that_is_not_used_does_not_grow() {
    for mut state in [established(10), avoiding(10)] {
        let before = state.cwnd();
        for _ in 0..100 {
            state.on_ack(&news(MSS, false));
        }
        assert_eq!(state.cwnd(), before);
    }
}

#[test]
fn rfc5681_3_1_smaller_segments_shrink_the_window_in_proportion() {
    let mut state = established(10);
    state.on_mss_change(500);
    assert_eq!(state.cwnd(), 5000);
    state.on_mss_change(1000);
    assert_eq!(state.cwnd(), 5000, "larger segments alone give no credit");
    state.on_timeout(Instant::ZERO, 4000);
    state.on_mss_change(1400);
    assert_eq!((state.cwnd(), state.ssthresh()), (1400, 2800));
}

#[test]
fn a_damaged_tag_falls_back_to_reno() {
    let mut state = avoiding(20);
    state.window.kind = 77;
    assert_eq!(state.kind(), Kind::Reno);
    state.on_loss(20 * MSS);
    assert_eq!(state.ssthresh(), 10 * MSS);
}

#[test]
fn rfc4015_3_2_a_needless_reduction_is_taken_back_once() {
    let mut state = avoiding(40);
    state.on_loss(40 * MSS);
    state.on_recovery_exit();
    assert_eq!(state.cwnd(), 20 * MSS);
    state.on_spurious();
    assert_eq!((state.cwnd(), state.ssthresh()), (40 * MSS, 40 * MSS));
    state.on_idle_restart(10);
    state.on_spurious();
    assert_eq!(state.cwnd(), 10 * MSS, "nothing is left to take back");
    // A window that has outgrown what it was stays in congestion avoidance.
    let mut state = established(10);
    state.on_loss(10 * MSS);
    state.on_recovery_exit();
    while state.cwnd() <= 10 * MSS {
        ack(&mut state, MSS);
    }
    state.on_spurious();
    assert_eq!((state.cwnd(), state.ssthresh()), (11 * MSS, 5 * MSS));
}

/// RFC 5682: whatever time-outs in a row took is given back if none was needed, to each kind of controller.
#[test]
fn rfc5682_time_outs_in_a_row_are_taken_back_as_one() {
    for controller in controllers() {
        let mut state = ControllerState::EMPTY;
        state.nominate(controller);
        state.on_established(&start(SMSS, 10));
        let (window, chosen) = (state.cwnd(), state.controller());
        for _ in 0..3 {
            state.on_timeout(Instant::ZERO, 10 * MSS);
            assert_eq!(state.cwnd(), MSS, "{controller:?}");
            assert_eq!(state.controller(), chosen);
        }
        state.on_spurious();
        if let Some(vouched) = state.provisioned() {
            // The share knows best what the window is to be.
            state.set_provisioned(vouched, None);
        }
        assert_eq!(state.cwnd(), window, "{controller:?}");
        assert_eq!(state.controller(), chosen);
    }
}

/// Every controller that is built in.
fn controllers() -> Vec<Controller> {
    vec![
        Controller::Reno,
        #[cfg(feature = "cubic")]
        Controller::Cubic,
        #[cfg(feature = "bbr")]
        Controller::Bbr,
        Controller::provisioned(1_000_000),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Ack(Ack),
    Sent(SentNow),
    Lost(u32),
    Congestion(u32),
    TimeOut(u32),
    RecoveryExit,
    Spurious,
    IdleRestart,
    Threshold(u32),
    Rate(u32),
    Switch(usize),
}

fn events() -> impl Strategy<Value = Vec<(u32, Event)>> {
    let octets = || prop_oneof![4 => 0..100_000_u32, 1 => any::<u32>()];
    let rtt = || prop::option::of(prop_oneof![1..1_000_000_u32, any::<u32>()]);
    let ack = (
        octets(),
        octets(),
        octets(),
        octets(),
        rtt(),
        rtt(),
        any::<(u32, bool)>(),
    );
    let ack = ack.prop_map(
        |(acked, delivered, lost, in_flight, rtt_us, srtt_us, (una, limited))| {
            Event::Ack(Ack {
                now: Instant::ZERO,
                acked,
                delivered,
                lost,
                prior_in_flight: in_flight,
                in_flight,
                rtt_us,
                srtt_us,
                snd_una: SeqNum::new(una),
                snd_nxt: SeqNum::new(una.wrapping_add(in_flight)),
                cwnd_limited: limited,
                rate: RateSample::default(),
            })
        },
    );
    let event = prop_oneof![
        8 => ack,
        3 => octets().prop_map(|octets| Event::Sent(sent(octets))),
        1 => octets().prop_map(Event::Lost),
        1 => octets().prop_map(Event::Congestion),
        1 => octets().prop_map(Event::TimeOut),
        1 => Just(Event::RecoveryExit),
        1 => Just(Event::Spurious),
        1 => Just(Event::IdleRestart),
        1 => octets().prop_map(Event::Threshold),
        1 => any::<u32>().prop_map(Event::Rate),
        1 => (0..4_usize).prop_map(Event::Switch),
    ];
    let passed_us = prop_oneof![8 => 0..100_000_u32, 1 => any::<u32>()];
    prop::collection::vec((passed_us, event), 0..200)
}

proptest! {
    #[test]
    fn the_window_stays_between_one_segment_and_its_limit(
        mss in 1_u16..,
        first in 0..4_usize,
        events in events(),
    ) {
        let controllers = controllers();
        let choose = |number| *controllers.iter().cycle().nth(number).unwrap_or(&Controller::Reno);
        let mut state = ControllerState::EMPTY;
        state.nominate(choose(first));
        state.on_established(&start(mss, 10));
        let least = u32::from(mss);
        let mut at_us = 0_u64;
        for (passed_us, event) in events {
            at_us += u64::from(passed_us);
            let now = Instant::from_micros(at_us);
            match event {
                Event::Ack(ack) => state.on_ack(&Ack { now, ..ack }),
                Event::Sent(sent) => state.on_sent(&SentNow { now, ..sent }),
                Event::Lost(octets) => state.on_lost(&LostNow {
                    now,
                    octets,
                    tx_in_flight: octets,
                    lost_since_sent: octets,
                    is_app_limited: false,
                    sack: true,
                }),
                Event::Congestion(in_flight) => state.on_congestion(now, in_flight),
                Event::TimeOut(in_flight) => state.on_timeout(now, in_flight),
                Event::RecoveryExit => state.on_recovery_exit(),
                Event::Spurious => state.on_spurious(),
                Event::IdleRestart => state.on_idle_restart(10),
                Event::Threshold(octets) => state.set_threshold(octets),
                Event::Rate(rate) => {
                    if let Some(mut vouched) = state.provisioned() {
                        vouched.rate = rate;
                        state.set_provisioned(vouched, Some(50_000));
                    }
                }
                Event::Switch(number) => {
                    state.choose(choose(number), &Start { now, ..start(mss, 10) });
                }
            }
            prop_assert!(
                (least..=window::WINDOW_LIMIT).contains(&state.cwnd()),
                "{event:?}: {state:?}"
            );
            prop_assert!(state.ssthresh() >= 2 * least, "{event:?}: {state:?}");
        }
    }
}

#[test]
fn a_controller_costs_what_its_words_cost() {
    let window = 12;
    let expected = match (cfg!(feature = "bbr"), cfg!(feature = "cubic")) {
        (true, _) => window + 4 * 28,
        (false, true) => window + 4 * (16 + 5),
        (false, false) => window + 4 * (1 + 5),
    };
    assert_eq!(size_of::<ControllerState>(), expected);
}

#[test]
fn a_vouched_rate_names_its_share_modulo_16() {
    for (share, kept) in [(0, 0), (3, 3), (15, 15), (18, 2)] {
        let mut state = ControllerState::EMPTY;
        state.nominate(Controller::Provisioned(Provision::new(share, 1_000_000)));
        assert_eq!(state.share(), Some(kept), "{share}");
    }
}

#[test]
fn a_controller_that_is_chosen_before_the_handshake_has_no_window_yet() {
    let mut state = ControllerState::EMPTY;
    state.choose(Controller::provisioned(1_000_000), &start(SMSS, 10));
    assert_eq!(state.cwnd(), 0);
    state.on_established(&start(SMSS, 10));
    assert!(state.cwnd() > 0);
}

#[test]
fn invariant_26_the_window_of_a_vouched_rate_follows_the_round_trip() {
    let mut state = ControllerState::EMPTY;
    state.nominate(Controller::provisioned(2_500_000));
    state.on_established(&start(SMSS, 10));
    let mut news = news(MSS, true);
    news.srtt_us = Some(600_000);
    state.on_ack(&news);
    assert_eq!(state.cwnd(), 2_300_000, "600 ms + 300 ms + 20 ms");
    // Not before something has arrived after a time-out.
    state.on_timeout(Instant::ZERO, 10 * MSS);
    news.acked = 0;
    state.on_ack(&news);
    assert_eq!(state.cwnd(), MSS);
    news.acked = MSS;
    state.on_ack(&news);
    assert_eq!(state.cwnd(), 2_300_000);
}

/// Reno in recovery: ten segments were in flight, half of that is the threshold, and one was repaired.
fn recovering() -> ControllerState {
    let mut state = established(10);
    state.on_loss(10 * MSS);
    state.on_sent(&sent(MSS));
    state
}

#[test]
fn rfc9937_only_an_advance_without_a_loss_gives_a_segment_more() {
    for (acked, lost, segments) in [(MSS, 0, 4), (0, 0, 3), (MSS, MSS, 3), (0, MSS, 3)] {
        let mut state = recovering();
        state.on_ack(&Ack {
            acked,
            lost,
            in_flight: 2 * MSS,
            ..news(MSS, true)
        });
        assert_eq!(state.cwnd(), segments * MSS, "{acked} {lost}");
    }
}

#[test]
fn rfc9937_what_delivers_nothing_does_not_move_the_window() {
    let mut state = recovering();
    let before = state;
    state.on_ack(&Ack {
        lost: MSS,
        in_flight: 2 * MSS,
        ..news(0, true)
    });
    assert_eq!(state, before);
}
