#![allow(clippy::arithmetic_side_effects)]

use super::*;
use proptest::prelude::*;

const MSS: u32 = 1000;

fn news(delivered: u32, in_flight: u32, is_safe: bool, ssthresh: u32) -> Progress {
    Progress {
        delivered,
        in_flight,
        is_safe,
        ssthresh,
        segment: MSS,
    }
}

#[test]
fn rfc9937_the_first_repair_may_always_go_out() {
    for in_flight in [0, 500, 10 * MSS, 100 * MSS] {
        let mut prr = Prr::begin(100 * MSS);
        let cwnd = prr.on_ack(&news(1, in_flight, false, 5 * MSS));
        assert!(cwnd >= in_flight + MSS, "{in_flight}");
        // Once it is out, the bounds rule.
        prr.on_sent(MSS);
        let cwnd = prr.on_ack(&news(1, 100 * MSS, false, 5 * MSS));
        assert_eq!(cwnd, 100 * MSS);
    }
}

#[test]
fn rfc9937_the_reduction_is_spread_over_the_flight() {
    // 100 segments in flight, one of them lost, to become 70: seven go out for ten that arrive.
    let (flight, ssthresh) = (100 * MSS, 70 * MSS);
    let mut prr = Prr::begin(flight);
    let (mut in_flight, mut sent) = (flight - MSS, 0);
    for arrived in 1..=90 {
        in_flight -= MSS;
        let cwnd = prr.on_ack(&news(MSS, in_flight, false, ssthresh));
        while in_flight + MSS <= cwnd {
            prr.on_sent(MSS);
            in_flight += MSS;
            sent += 1;
        }
        if in_flight > ssthresh {
            let share = f_share(arrived);
            assert!(sent <= share + 1 && sent + 1 >= share, "{sent} {share}");
        }
    }
    assert!(in_flight.abs_diff(ssthresh) <= 2 * MSS, "{in_flight}");
}

/// Seven tenths.
fn f_share(arrived: u32) -> u32 {
    arrived * 7 / 10
}

#[test]
fn rfc9937_packet_conservation_while_losses_go_on_and_slow_start_when_it_is_safe() {
    // Heavy loss: less is in flight than may be.
    let mut prr = Prr::begin(20 * MSS);
    prr.on_ack(&news(MSS, 4 * MSS, false, 10 * MSS));
    prr.on_sent(MSS);
    // One for one.
    assert_eq!(prr.on_ack(&news(MSS, 4 * MSS, false, 10 * MSS)), 5 * MSS);
    prr.on_sent(MSS);
    // One for one and one more.
    assert_eq!(prr.on_ack(&news(MSS, 4 * MSS, true, 10 * MSS)), 6 * MSS);
    prr.on_sent(2 * MSS);
    // What earlier acknowledgements allowed and was not used is not lost (prr_delivered - prr_out).
    let mut lazy = Prr::begin(20 * MSS);
    lazy.on_ack(&news(3 * MSS, 4 * MSS, false, 10 * MSS));
    lazy.on_sent(MSS);
    assert_eq!(lazy.on_ack(&news(MSS, 4 * MSS, false, 10 * MSS)), 7 * MSS);
    // Nor do repairs that had to go out make it less than one for one.
    let mut early = Prr::begin(20 * MSS);
    early.on_ack(&news(100, 4 * MSS, false, 10 * MSS));
    early.on_sent(MSS);
    assert_eq!(
        early.on_ack(&news(100, 4 * MSS, false, 10 * MSS)),
        4 * MSS + 100
    );
    // Up to the threshold and not beyond.
    assert_eq!(
        prr.on_ack(&news(9 * MSS, 9 * MSS, true, 10 * MSS)),
        10 * MSS
    );
    assert_eq!(prr.on_ack(&news(MSS, 10 * MSS, true, 10 * MSS)), 10 * MSS);
}

#[test]
fn any_state_is_harmless() {
    for word in [0, 1, u32::MAX] {
        for other in [0, u32::MAX] {
            let mut prr = Prr {
                delivered: word,
                out: other,
                recover_fs: word,
            };
            prr.on_sent(u32::MAX);
            prr.on_ack(&news(u32::MAX, word, true, other));
        }
    }
}

proptest! {
    #[test]
    fn rfc9937_bounds(
        flight in 2_u32..200,
        threshold_percent in 1_u32..=100,
        steps in prop::collection::vec((1_u32..3000, 0_u32..3000, any::<bool>(), 0_u32..6), 1..300),
    ) {
        let recover_fs = flight * MSS;
        let ssthresh = (recover_fs / 100 * threshold_percent).max(2 * MSS);
        let mut prr = Prr::begin(recover_fs);
        let mut in_flight = recover_fs;
        let (mut delivered, mut out) = (0_u64, 0_u64);
        for (arrived, lost, is_safe, most) in steps {
            let arrived = arrived.min(in_flight);
            if arrived == 0 {
                continue;
            }
            in_flight -= arrived;
            in_flight -= lost.min(in_flight);
            delivered += u64::from(arrived);
            let is_proportional = in_flight > ssthresh;
            let is_first = out == 0;
            let before = in_flight;
            let cwnd = prr.on_ack(&news(arrived, in_flight, is_safe, ssthresh));
            prop_assert!(cwnd >= in_flight);
            // Not every chance to send is taken.
            for _ in 0..most {
                if in_flight + MSS <= cwnd {
                    prr.on_sent(MSS);
                    in_flight += MSS;
                    out += u64::from(MSS);
                }
            }
            let sent = in_flight - before;
            if is_proportional {
                let share = (delivered * u64::from(ssthresh)).div_ceil(recover_fs.into());
                prop_assert!(sent == 0 || out <= share + u64::from(MSS), "{out} > {share}");
                prop_assert!(is_first || sent == 0 || out <= share, "{out} > {share}");
            } else {
                prop_assert!(cwnd <= ssthresh || is_first && cwnd <= ssthresh + MSS, "{cwnd}");
                // Never faster than slow start.
                let kept = u64::from(arrived).max((delivered + u64::from(sent)).saturating_sub(out));
                prop_assert!(is_first || u64::from(sent) <= kept + u64::from(MSS));
            }
        }
    }

    /// However losses fall, recovery ends at the threshold: a flight in which every repair arrives.
    #[test]
    fn rfc9937_recovery_ends_at_the_threshold(
        flight in 10_u32..300,
        lost_percent in 1_u32..60,
        threshold_tenths in 5_u32..=7,
    ) {
        let recover_fs = flight * MSS;
        let ssthresh = recover_fs / 10 * threshold_tenths;
        let lost = (flight * lost_percent / 100).max(1) * MSS;
        let mut prr = Prr::begin(recover_fs);
        // All losses are found at once; every delivery makes the next acknowledgement.
        let mut in_flight = recover_fs - lost;
        let mut delivered = 0;
        while delivered < recover_fs && in_flight > 0 {
            in_flight -= MSS;
            delivered += MSS;
            let cwnd = prr.on_ack(&news(MSS, in_flight, delivered > recover_fs - lost, ssthresh));
            while in_flight + MSS <= cwnd {
                prr.on_sent(MSS);
                in_flight += MSS;
            }
            prop_assert!(in_flight <= ssthresh.max(recover_fs - lost));
        }
        prop_assert!(in_flight <= ssthresh);
    }
}
