//! Single events, and any sequence of them.

use proptest::prelude::*;

use super::*;
use crate::congestion::window::WINDOW_LIMIT;
use crate::congestion::words::WORDS;
use crate::congestion::{Controller, ControllerState};
use crate::recovery::delivery::RateSample;
use crate::seq::SeqNum;

pub(super) const MSS: u32 = 1000;
pub(super) const RTT_US: u32 = 100_000;

/// A flow and the world as told to it so far.
pub(super) struct Told {
    pub(super) state: ControllerState,
    pub(super) now_us: u64,
    delivered: u32,
    /// Octets lost, as the next samples tell.
    pub(super) lost: u32,
    /// The application had no more to send, as the next samples tell.
    pub(super) app_limited: bool,
}

impl Told {
    pub(super) fn new(rtt_us: Option<u32>) -> Self {
        let mut state = ControllerState::EMPTY;
        state.nominate(Controller::Bbr);
        state.on_established(&Start {
            now: Instant::from_millis(1),
            mss: 1000,
            initial_segments: 10,
            rtt_us,
        });
        Self {
            state,
            now_us: 1000,
            delivered: 0,
            lost: 0,
            app_limited: false,
        }
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_micros(self.now_us)
    }

    pub(super) fn bbr(&self) -> Bbr {
        Bbr::load(&self.state.words)
    }

    pub(super) fn set(&mut self, change: impl FnOnce(&mut Bbr)) {
        let mut bbr = self.bbr();
        change(&mut bbr);
        bbr.store(&mut self.state.words);
    }

    /// A round later: so many octets came in it, and so many are in flight.
    pub(super) fn round(&mut self, octets: u32, in_flight: u32) {
        self.round_of(octets, in_flight, RTT_US);
    }

    pub(super) fn round_of(&mut self, octets: u32, in_flight: u32, rtt_us: u32) {
        let ack = self.news(octets, in_flight, rtt_us);
        self.state.on_ack(&ack);
    }

    /// What the acknowledgement tells that comes with such a round.
    pub(super) fn news(&mut self, octets: u32, in_flight: u32, rtt_us: u32) -> Ack {
        self.now_us += u64::from(rtt_us);
        let prior_delivered = self.delivered;
        self.delivered = self.delivered.wrapping_add(octets);
        Ack {
            now: self.now(),
            acked: octets,
            delivered: octets,
            lost: 0,
            prior_in_flight: in_flight,
            in_flight,
            rtt_us: Some(rtt_us),
            srtt_us: Some(rtt_us),
            snd_una: SeqNum::ZERO,
            snd_nxt: SeqNum::ZERO,
            cwnd_limited: false,
            rate: RateSample {
                is_known: true,
                delivered: octets,
                interval_us: rtt_us,
                prior_delivered,
                total_delivered: self.delivered,
                tx_in_flight: octets,
                lost: self.lost,
                is_app_limited: self.app_limited,
            },
        }
    }

    pub(super) fn lose(&mut self, octets: u32, tx_in_flight: u32, lost_since_sent: u32) {
        self.state.on_lost(&LostNow {
            now: self.now(),
            octets,
            tx_in_flight,
            lost_since_sent,
            is_app_limited: false,
            sack: true,
        });
    }

    /// A flow that fills a pipe of 100 packets in a round trip, in `ProbeBW_CRUISE`.
    pub(super) fn cruising() -> Self {
        let mut told = Self::new(Some(RTT_US));
        for _ in 0..8 {
            told.round(100 * MSS, 90 * MSS);
        }
        assert_eq!(told.bbr().phase, Phase::Cruise);
        assert_eq!(told.bbr().best_bw(), 1_000_000);
        told
    }

    /// The same, in `ProbeBW_UP`.
    pub(super) fn probing() -> Self {
        let mut told = Self::cruising();
        while told.bbr().phase != Phase::Up {
            told.round(100 * MSS, 90 * MSS);
        }
        told
    }
}

#[test]
fn bbr_5_6_2_the_first_flight_is_paced_by_the_handshake_or_not_at_all() {
    let paced = Told::new(Some(RTT_US)).state;
    assert_eq!(
        paced.pacing_rate(None),
        Some(277_000),
        "2.77 windows per round trip"
    );
    let mut unpaced = Told::new(None);
    assert_eq!(unpaced.state.pacing_rate(Some(RTT_US)), None);
    unpaced.round(1000, 9000);
    let rate = unpaced.state.pacing_rate(None).unwrap();
    assert!(rate >= 277_000, "{rate}");
}

#[test]
fn bbr_5_6_2_the_rate_does_not_fall_before_the_pipe_was_full() {
    let mut told = Told::new(Some(RTT_US));
    told.round(1000, 9000);
    assert_eq!(told.state.pacing_rate(None), Some(277_000));
    assert_eq!(told.state.cwnd(), 11_000);
}

#[test]
fn bbr_5_6_2_gains_and_margin() {
    let told = Told::cruising();
    assert_eq!(told.state.pacing_rate(None), Some(990_000));
    // Two BDP, and a flight that comes with one acknowledgement is aggregation.
    assert_eq!(told.state.cwnd(), 300 * MSS);
    let told = Told::probing();
    assert_eq!(told.state.pacing_rate(None), Some(1_237_500));
}

#[test]
fn bbr_5_3_2_drain_ends_after_three_rounds_whatever_is_in_flight() {
    let mut told = Told::new(Some(RTT_US));
    while told.bbr().phase == Phase::Startup {
        told.round(100 * MSS, 200 * MSS);
    }
    let mut rounds = 0;
    while told.bbr().phase == Phase::Drain {
        assert_eq!(told.state.pacing_rate(None), Some(495_000));
        told.round(100 * MSS, 200 * MSS);
        rounds += 1;
    }
    assert_eq!((rounds, told.bbr().phase), (3, Phase::Down));
}

#[test]
fn bbr_5_3_3_down_gives_way_to_the_next_probe_in_time() {
    let mut told = Told::new(Some(RTT_US));
    let mut waited = 0;
    while told.bbr().phase != Phase::Refill {
        if told.bbr().phase == Phase::Down {
            waited += 1;
        }
        assert_ne!(told.bbr().phase, Phase::Cruise);
        told.round(100 * MSS, 200 * MSS);
    }
    assert!((19..=31).contains(&waited), "{waited} rounds of 100 ms");
}

#[test]
fn bbr_5_3_4_probe_rtt_in_startup_returns_to_startup() {
    let mut told = Told::new(Some(RTT_US));
    // Growth of a third in each round, and five seconds of it.
    let mut octets = 10 * MSS;
    while told.bbr().phase == Phase::Startup {
        told.round_of(octets, octets, RTT_US * 2);
        octets += octets / 3;
    }
    assert_eq!(told.bbr().phase, Phase::ProbeRtt);
    assert!(!told.bbr().full_bw_reached);
    let kept = told.bbr().prior_cwnd;
    while told.bbr().phase == Phase::ProbeRtt {
        told.round(10 * MSS, 4 * MSS);
    }
    assert_eq!(told.bbr().phase, Phase::Startup);
    assert!(told.state.cwnd() >= kept, "the window is restored");
}

#[test]
fn bbr_5_3_3_6_only_who_went_too_high_the_last_time_stops_at_the_bound() {
    let probe = |too_high: bool, in_flight: u32| {
        let mut told = Told::probing();
        told.set(|bbr| {
            bbr.inflight_longterm = 110 * MSS;
            bbr.prev_probe_too_high = too_high;
        });
        told.round(100 * MSS, in_flight);
        told.bbr().phase
    };
    assert_eq!(probe(true, 110 * MSS), Phase::Down);
    assert_eq!(probe(true, 109 * MSS), Phase::Up);
    assert_eq!(probe(false, 110 * MSS), Phase::Up);
}

#[test]
fn bbr_5_5_10_2_the_bound_is_where_losses_came_to_the_threshold() {
    let threshold = |told: &Told| told.bbr().loss_threshold();
    // 116 packets and three of them lost, then 14 lost ones: 2.94 of them make 5.94 of 118.94 or 5 %.
    let mut told = Told::probing();
    assert_eq!(threshold(&told), 5, "no queue is seen");
    told.lose(8 * MSS, 130 * MSS, 9 * MSS);
    assert_eq!(
        told.bbr().phase,
        Phase::Up,
        "chance may lose two in a hundred more"
    );
    told.lose(14 * MSS, 130 * MSS, 17 * MSS);
    let bbr = told.bbr();
    assert_eq!(bbr.inflight_longterm, 118_947);
    assert_eq!((bbr.phase, bbr.undo), (Phase::Down, Undo::Up));
    assert!(bbr.prev_probe_too_high && !bbr.is_bw_probe_sample);
    // With a queue in sight two in a hundred are enough.
    let mut told = Told::probing();
    told.round_of(100 * MSS, 110 * MSS, RTT_US * 5 / 4);
    assert_eq!((threshold(&told), told.bbr().phase), (2, Phase::Up));
    told.lose(MSS, 120 * MSS, 2 * MSS);
    assert_eq!(told.bbr().phase, Phase::Up, "2 of 120 is less");
    told.lose(MSS, 120 * MSS, 3 * MSS);
    assert_eq!(told.bbr().phase, Phase::Down);
    assert_eq!(
        told.bbr().inflight_longterm,
        119_387,
        "119 + (2.38 - 2) / 0.98"
    );
    // A probe is judged once.
    told.lose(MSS, 50 * MSS, 30 * MSS);
    assert_eq!(told.bbr().inflight_longterm, 119_387);
}

#[test]
fn bbr_5_5_10_2_the_bound_falls_by_three_tenths_at_most() {
    let mut told = Told::probing();
    told.lose(5 * MSS, 30 * MSS, 20 * MSS);
    assert_eq!(told.bbr().inflight_longterm, 70 * MSS);
}

#[test]
fn bbr_5_5_10_3_losses_with_a_queue_lower_the_short_term_model() {
    for (rtt_us, is_lowered) in [(RTT_US, false), (RTT_US * 3 / 2, true)] {
        let mut told = Told::cruising();
        told.round_of(100 * MSS, 95 * MSS, rtt_us);
        told.lose(MSS, 100 * MSS, MSS);
        told.state.on_congestion(told.now(), 95 * MSS);
        told.round_of(100 * MSS, 95 * MSS, rtt_us);
        told.round_of(100 * MSS, 95 * MSS, rtt_us);
        let bbr = told.bbr();
        assert_eq!(bbr.bw_shortterm != UNBOUNDED, is_lowered, "{bbr:?}");
        if is_lowered {
            // To seven tenths, or what was delivered: 100 packets in 150 ms.
            assert_eq!(bbr.bw_shortterm, 700_000);
            assert_eq!(bbr.inflight_shortterm, 210 * MSS);
            assert_eq!(told.state.pacing_rate(None), Some(693_000));
        }
    }
}

/// A flow that tries out how much the path takes learns that from its probe alone.
#[test]
fn bbr_5_5_10_3_losses_while_probing_leave_the_short_term_model_alone() {
    let mut told = Told::new(Some(RTT_US));
    let mut in_flight = 10 * MSS;
    for round in 0..5 {
        // The path takes more in each round, though a queue grows.
        let rtt_us = if round < 2 { RTT_US } else { RTT_US * 3 / 2 };
        told.round_of(in_flight, in_flight, rtt_us);
        told.lose(MSS / 10, in_flight, MSS / 10);
        told.state.on_congestion(told.now(), in_flight);
        in_flight *= 2;
        let bbr = told.bbr();
        assert_eq!(bbr.phase, Phase::Startup);
        let bounds = [bbr.bw_shortterm, bbr.inflight_shortterm];
        assert_eq!(bounds, [UNBOUNDED; 2], "{round}: {bbr:?}");
    }
}

#[test]
fn rfc3168_6_1_2_a_congestion_without_a_loss_is_a_mark() {
    let mut told = Told::probing();
    told.state.on_congestion(told.now(), 110 * MSS);
    assert_eq!(told.bbr().inflight_longterm, 110 * MSS);
    assert_eq!(told.bbr().phase, Phase::Down);
    // A loss of which nothing is left once SACKs are taken out is not a mark, either.
    for octets in [0, MSS] {
        let mut told = Told::probing();
        told.lose(octets, 120 * MSS, octets);
        told.state.on_congestion(told.now(), 110 * MSS);
        assert_eq!(told.bbr().phase, Phase::Up);
        assert_eq!(told.bbr().is_loss_in_round, octets > 0);
    }
}

#[test]
fn bbr_5_5_11_2_a_needless_recovery_is_taken_back() {
    let mut told = Told::probing();
    let cwnd = told.state.cwnd();
    told.lose(20 * MSS, 140 * MSS, 20 * MSS);
    told.state.on_congestion(told.now(), 100 * MSS);
    assert_eq!(told.bbr().phase, Phase::Down);
    told.round(100 * MSS, 90 * MSS);
    told.lose(MSS, 120 * MSS, MSS);
    told.state.on_spurious();
    let bbr = told.bbr();
    assert_eq!(bbr.phase, Phase::Refill);
    assert_eq!(bbr.inflight_longterm, UNBOUNDED);
    assert!(
        told.state.cwnd() >= cwnd.min(200 * MSS),
        "{} of {cwnd}",
        told.state.cwnd()
    );
    told.state.on_spurious();
    assert_eq!(told.bbr().inflight_longterm, UNBOUNDED);
}

#[test]
fn rfc3168_6_1_2_a_mark_after_a_needless_recovery_is_no_loss() {
    let mut told = Told::cruising();
    told.lose(MSS, 100 * MSS, MSS);
    told.state.on_congestion(told.now(), 80 * MSS);
    // One more before it is known that none was.
    told.lose(MSS, 100 * MSS, MSS);
    told.state.on_spurious();
    assert!(!told.bbr().is_marked);
    told.state.on_congestion(told.now(), 80 * MSS);
    assert!(told.bbr().is_marked);
}

#[test]
fn bbr_5_5_11_2_a_needless_end_of_startup_is_taken_back() {
    let mut told = Told::new(Some(RTT_US));
    told.round(10 * MSS, 20 * MSS);
    for lost in 1..=6 {
        told.lose(MSS, 20 * MSS, lost * MSS);
    }
    told.state.on_congestion(told.now(), 14 * MSS);
    told.lost = 12 * MSS;
    told.round(20 * MSS, 20 * MSS);
    assert_eq!(
        (told.bbr().phase, told.bbr().undo),
        (Phase::Down, Undo::Startup)
    );
    told.state.on_spurious();
    assert_eq!(told.bbr().phase, Phase::Startup);
    assert!(!told.bbr().full_bw_reached);
}

#[test]
fn bbr_5_6_4_4_a_time_out_leaves_one_segment_and_its_end_restores_the_window() {
    let mut told = Told::cruising();
    told.lose(90 * MSS, 100 * MSS, 90 * MSS);
    told.state.on_timeout(told.now(), 90 * MSS);
    assert_eq!(told.state.cwnd(), MSS);
    told.state.on_timeout(told.now(), MSS);
    assert_eq!(told.state.cwnd(), MSS);
    told.round(MSS, MSS);
    assert_eq!(told.state.cwnd(), 4 * MSS);
    told.state.on_recovery_exit();
    assert!(told.state.cwnd() >= 140 * MSS, "{}", told.state.cwnd());
}

#[test]
fn bbr_5_4_idleness_restarts_at_the_bandwidth() {
    let mut told = Told::probing();
    told.state.on_sent(&SentNow {
        now: told.now(),
        octets: MSS,
        in_flight: 0,
        app_limited: true,
    });
    assert_eq!(told.state.pacing_rate(None), Some(990_000));
    assert!(told.bbr().idle_restart);
}

#[test]
fn bbr_5_5_7_a_minimum_from_long_ago_is_replaced() {
    // Past what 32 bits of microseconds tell, and half of it.
    for idle_s in [11, 2200, 4290, 4300, 86_400] {
        let mut told = Told::cruising();
        told.now_us += idle_s * 1_000_000;
        told.state.on_sent(&SentNow {
            now: told.now(),
            octets: MSS,
            in_flight: 0,
            app_limited: true,
        });
        told.round_of(MSS, MSS, 3 * RTT_US);
        assert_eq!(told.bbr().min_rtt_us, 3 * RTT_US, "after {idle_s} s");
        assert_ne!(told.bbr().phase, Phase::ProbeRtt);
    }
}

#[test]
fn another_controller_hands_over_a_running_flow() {
    let mut told = Told::new(Some(RTT_US));
    told.delivered = 3_000_000_000;
    told.state.choose(Controller::Reno, &start(&told));
    told.round(10 * MSS, 10 * MSS);
    told.state.choose(Controller::Bbr, &start(&told));
    for _ in 0..8 {
        told.round(100 * MSS, 90 * MSS);
    }
    assert_eq!(
        told.bbr().phase,
        Phase::Cruise,
        "rounds are counted from where the flow was"
    );
}

fn start(told: &Told) -> Start {
    Start {
        now: told.now(),
        mss: 1000,
        initial_segments: 10,
        rtt_us: Some(RTT_US),
    }
}

#[test]
fn flows_that_differ_by_little_probe_at_different_times() {
    let mut waits = std::collections::BTreeSet::new();
    for delivered in 0..200 {
        let mut told = Told::cruising();
        told.set(|bbr| {
            bbr.delivered = delivered;
            bbr.start_probe_bw_down(Instant::from_millis(5));
            assert!(bbr.bw_probe_wait_ms < cycle::PROBE_WAIT_SPREAD_MS);
        });
        waits.insert(told.bbr().bw_probe_wait_ms / 100);
    }
    assert_eq!(waits.len(), 10, "all tenths of a second occur");
}

fn sample() -> impl Strategy<Value = RateSample> {
    (any::<[u32; 6]>(), any::<(bool, bool)>()).prop_map(|(numbers, flags)| RateSample {
        is_known: flags.0,
        is_app_limited: flags.1,
        delivered: numbers[0],
        interval_us: numbers[1] >> (numbers[1] & 31),
        prior_delivered: numbers[2],
        total_delivered: numbers[3],
        tx_in_flight: numbers[4],
        lost: numbers[5],
    })
}

/// An event of any kind with any numbers.
fn tell(state: &mut ControllerState, kind: u8, now: Instant, n: [u32; 6], rate: RateSample) {
    match kind {
        0..=3 => state.on_ack(&Ack {
            now,
            acked: n[0],
            delivered: n[1],
            lost: n[2],
            prior_in_flight: n[3],
            in_flight: n[4],
            rtt_us: (n[5] & 1 != 0).then_some(n[5] >> (n[5] >> 27)),
            srtt_us: (n[5] & 2 != 0).then_some(n[5]),
            snd_una: SeqNum::new(n[0]),
            snd_nxt: SeqNum::new(n[1]),
            cwnd_limited: n[5] & 4 != 0,
            rate,
        }),
        4 => state.on_sent(&SentNow {
            now,
            octets: n[0],
            in_flight: if n[1] & 1 == 0 { 0 } else { n[1] },
            app_limited: n[2] & 1 != 0,
        }),
        5 => state.on_lost(&LostNow {
            now,
            octets: n[0],
            tx_in_flight: n[1],
            lost_since_sent: n[2],
            is_app_limited: n[3] & 1 != 0,
            sack: n[3] & 2 != 0,
        }),
        6 => state.on_congestion(now, n[0]),
        7 => state.on_recovery_exit(),
        8 => state.on_timeout(now, n[0]),
        9 => state.on_spurious(),
        10 => state.on_idle_restart(10),
        _ => state.on_mss_change(u16::try_from(n[0] & 0xffff).unwrap()),
    }
}

proptest! {
    #[test]
    fn any_words_decode_and_come_back(words in any::<[u32; WORDS]>()) {
        let bbr = Bbr::load(&words);
        let mut kept = [0; WORDS];
        bbr.store(&mut kept);
        prop_assert_eq!(Bbr::load(&kept), bbr);
    }

    #[test]
    fn no_event_panics_or_closes_the_window(
        words in prop::option::of(any::<[u32; WORDS]>()),
        mss in 1u16..,
        events in prop::collection::vec(
            (0u8..12, any::<u64>(), any::<[u32; 6]>(), sample()),
            0..200,
        ),
    ) {
        let mut state = Told::new(None).state;
        state.on_mss_change(mss);
        if let Some(words) = words {
            state.words = words;
        }
        let mut now_us = 0_u64;
        for (kind, step, numbers, rate) in events {
            now_us = now_us.wrapping_add(step >> (step & 63));
            tell(&mut state, kind, Instant::from_micros(now_us), numbers, rate);
            let mss = u32::from(state.mss());
            prop_assert!((mss..=WINDOW_LIMIT).contains(&state.cwnd()), "{:?}", state);
            if kind <= 3 {
                prop_assert!(state.cwnd() >= 4 * mss, "{:?}", state);
                prop_assert!(!Bbr::load(&state.words).full_bw_reached || state.pacing_rate(None).is_some());
            }
        }
    }
}

fn news(rate: u32, is_app_limited: bool) -> News {
    News {
        rate,
        is_app_limited,
        round_start: true,
        loss_round_start: true,
    }
}

#[test]
fn bbr_5_5_4_a_sample_that_the_application_limited_counts_only_if_it_is_better() {
    let mut told = Told::cruising();
    for (rate, is_app_limited, best) in [
        (900_000, true, 1_000_000),
        (1_100_000, true, 1_100_000),
        (1_000_000, false, 1_100_000),
        (1_200_000, false, 1_200_000),
    ] {
        told.set(|bbr| {
            bbr.update_max_bw(news(rate, is_app_limited));
        });
        assert_eq!(told.bbr().best_bw(), best, "{rate} {is_app_limited}");
    }
    // One that the path limited counts in its cycle even if it is less: two cycles later it is all there is.
    told.set(|bbr| {
        for _ in 0..2 {
            bbr.advance_max_bw_filter();
            bbr.update_max_bw(news(700_000, false));
        }
    });
    assert_eq!(told.bbr().best_bw(), 700_000);
}
