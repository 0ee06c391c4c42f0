//! Outages of the link while transfers are under way, with one flow and with a thousand. The bar: a
//! flow moves again within a round trip and half a second of the link's return.
//!
//! What a receiver had got when the link died is acknowledged once more when it comes back, so even a
//! probe that leaves at once moves a receiver on only one and a half round trips later; flows that did
//! not probe themselves hear of the return a round trip after it, send, and may have to learn likewise
//! what their receivers had got.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that goes wrong here should stop"
)]

#[path = "outage/lab.rs"]
mod lab;

use core::time::Duration;

use lab::{Closure, Lab, Left, NEAR};
use localack_core::{Controller, Instant, TransmitKind};

/// What a flow may take longer than a round trip to move again.
const GRACE: Duration = Duration::from_millis(500);
/// Probes for all flows of a dead network in any second.
const PROBES: usize = 8;

/// Every controller; one is told the rate.
fn controllers(rate_mbit: u32) -> [Controller; 4] {
    [
        Controller::Reno,
        Controller::Cubic,
        Controller::Bbr,
        Controller::provisioned(rate_mbit * 125_000),
    ]
}

/// At different points between two probes, in milliseconds.
const OUTAGES: [u64; 3] = [5_000, 30_119, 120_070];

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// No more packets than are allowed have left for a network between two times, in which only probes
/// leave: none but repairs, and few.
fn probes_are_few(left: &[Left], seconds: u64) {
    assert!(
        left.iter()
            .all(|left| left.kind == Some(TransmitKind::Retransmission)),
        "more than probes"
    );
    for some in left.windows(PROBES + 1) {
        let time = some[PROBES].at.since(some[0].at);
        assert!(time >= Duration::from_secs(1), "{some:?}");
    }
    // And yet it is asked all the time.
    let least = usize::try_from(seconds).expect("short") * (PROBES - 1);
    assert!(left.len() >= least, "{} in {seconds} s", left.len());
}

/// How long after the link's return the last of all flows sent, and the last receiver moved on.
struct Return {
    sent: Duration,
    moved: Duration,
}

/// Lets the link die, as `closure` says counted from the end of the warm-up, and come back; every flow
/// must have moved a while later.
fn outage_of(lab: &Lab, closure: Closure) -> Return {
    let closure = closure.later(lab.warm_up);
    let (down, up) = (closure.from, closure.until);
    let lab = lab.clone().closed(closure);
    let mut memory = lab.memory();
    let mut run = lab.clone().run(&mut memory);
    run.until_instant(down);
    let polls = run.net.middle.polls;
    run.until_instant(up);
    let polls = run.net.middle.polls - polls;
    // A held flow's own timer runs on, and its sender's.
    let seconds = up.since(down).as_secs() + 1;
    let most = seconds * (30 + 10 * u64::from(lab.near));
    assert!(polls <= most, "{polls} polls");
    let before = run.received();
    let dead_at = run.net.middle.dead_at.expect("a dead path");
    let left = run.left(&NEAR, dead_at, up);
    probes_are_few(&left, up.since(dead_at).as_secs());
    run.until_instant(up.after(lab.rtt() * 3 + Duration::from_secs(1)));
    let moved: Option<Vec<Duration>> = run.moved(up, &before).into_iter().collect();
    let moved = moved.expect("every receiver gets on");
    run.blameless();
    Return {
        sent: run.sent_again(up),
        moved: moved.into_iter().max().expect("flows"),
    }
}

#[test]
fn bar_outages_one_flow_moves_within_a_round_trip_and_half_a_second() {
    for controller in controllers(20) {
        for rtt_ms in [50, 600] {
            for outage in OUTAGES {
                let lab = Lab {
                    rtt_ms,
                    controller,
                    warm_up: 1_000 + 4 * rtt_ms,
                    ..Lab::default()
                };
                let back = outage_of(&lab, Closure::new(&NEAR, 0, outage));
                assert!(
                    back.moved <= lab.rtt() + GRACE,
                    "{:?} {controller:?} {rtt_ms} {outage}",
                    back.moved
                );
            }
        }
    }
}

#[test]
fn bar_outages_a_thousand_flows_move_within_a_round_trip_and_half_a_second() {
    let cases = [(50, 5_000), (600, 5_000), (600, 120_070), (50, 30_119)];
    for (controller, (rtt_ms, outage)) in controllers(100).into_iter().zip(cases) {
        let lab = Lab {
            rtt_ms,
            controller,
            near: 1000,
            rate_mbit: 100,
            buffer: 4096,
            warm_up: 300 + 2 * rtt_ms,
            ..Lab::default()
        };
        let back = outage_of(&lab, Closure::new(&NEAR, 0, outage));
        let sent = back.sent;
        assert!(sent <= lab.rtt() + GRACE, "{sent:?} {controller:?}");
        // A round trip to learn what had arrived, half of one to get there, and its turn on the link.
        let late = lab.rtt() * 3 / 2 + Duration::from_millis(250);
        let moved = back.moved;
        assert!(
            moved <= lab.rtt() + GRACE + late,
            "{moved:?} {controller:?}"
        );
    }
}

#[test]
fn bar_outages_without_sack_or_timestamps() {
    for (sack, timestamps) in [(false, true), (true, false), (false, false)] {
        for rtt_ms in [50, 600] {
            let lab = Lab {
                rtt_ms,
                sack,
                timestamps,
                near: 3,
                warm_up: 1_000 + 4 * rtt_ms,
                ..Lab::default()
            };
            let back = outage_of(&lab, Closure::new(&NEAR, 0, 30_070));
            let Return { sent, moved } = back;
            assert!(sent <= lab.rtt() + GRACE, "{sent:?}");
            assert!(moved <= lab.rtt() * 5 / 2 + GRACE, "{moved:?}");
        }
    }
}

#[test]
fn bar_outages_where_only_acknowledgements_are_lost() {
    for controller in controllers(20) {
        for rtt_ms in [50, 600] {
            let lab = Lab {
                rtt_ms,
                controller,
                warm_up: 1_000 + 4 * rtt_ms,
                ..Lab::default()
            };
            let closure = Closure {
                data: false,
                ..Closure::new(&NEAR, 0, 30_000)
            };
            let moved = outage_of(&lab, closure).moved;
            assert!(moved <= lab.rtt() + GRACE, "{moved:?} {controller:?}");
        }
    }
}

#[test]
fn bar_outages_before_the_first_acknowledgement() {
    for controller in controllers(20) {
        let lab = Lab {
            rtt_ms: 600,
            controller,
            warm_up: 650,
            ..Lab::default()
        };
        let moved = outage_of(&lab, Closure::new(&NEAR, 0, 30_000)).moved;
        assert!(moved <= lab.rtt() + GRACE, "{moved:?} {controller:?}");
    }
}

#[test]
fn bar_outages_during_recovery() {
    for controller in controllers(20) {
        let mut lab = Lab {
            controller,
            warm_up: 1_000,
            ..Lab::default()
        };
        // Some segments are lost, and when that is known, everything.
        lab.closures.push(Closure {
            acks: false,
            ..Closure::new(&NEAR, 930, 940)
        });
        let mut memory = lab.memory();
        let mut run = lab.clone().run(&mut memory);
        run.until(lab.warm_up);
        assert!(run.net.middle.engine.counters().recoveries > 0);
        let moved = outage_of(&lab, Closure::new(&NEAR, 0, 30_000)).moved;
        assert!(moved <= lab.rtt() + GRACE, "{moved:?} {controller:?}");
    }
}

#[test]
fn bar_outages_with_a_fin_in_flight() {
    for controller in controllers(20) {
        let lab = Lab {
            controller,
            octets: Some(300_000),
            ..Lab::default()
        };
        let rtt = lab.rtt();
        let mut memory = lab.memory();
        let mut run = lab.clone().run(&mut memory);
        run.until(10_000);
        // When the sender heard that its FIN had arrived.
        let closed = run.closed_at().expect("closed").as_micros() / 1000;
        // The FIN is lost; or its acknowledgement is.
        for early in [rtt.as_millis() + 3, 3] {
            let down = closed - u64::try_from(early).expect("short");
            let up = down + 30_070;
            let lab = lab.clone().closed(Closure::new(&NEAR, down, up));
            let mut memory = lab.memory();
            let mut run = lab.run(&mut memory);
            run.until(up);
            assert_eq!(run.closed_at(), None);
            run.until(up + 60_000);
            let repairs = run.left(&NEAR, at(up), at(up + 60_000));
            let is_repair = |left: &&Left| left.kind == Some(TransmitKind::Retransmission);
            let last = repairs.iter().rfind(is_repair).expect("a probe");
            let last = last.at.since(at(up));
            assert!(last <= rtt + GRACE, "{last:?} {controller:?}");
            // The receiver's own FIN is its own affair.
            assert!(run.closed_at().is_some());
            assert_eq!(run.received(), [300_000]);
            run.blameless();
        }
    }
}

#[test]
fn outages_of_one_network_do_not_disturb_another() {
    for controller in controllers(5) {
        let (down, up) = (3_000, 18_000);
        let lab = Lab {
            controller,
            rate_mbit: 5,
            near: 3,
            far: 3,
            ..Lab::default()
        };
        let lab = lab.closed(Closure::new(&NEAR, down, up));
        let mut memory = lab.memory();
        let mut run = lab.run(&mut memory);
        run.until(down + 1_000);
        // What all flows together have of the link from now on is theirs.
        let share = 5 * 125_000 * 1448 / 1500;
        let mut before = run.received();
        let mut all = 0;
        for second in 2..15 {
            run.until(down + second * 1000);
            let now = run.received();
            let got: u64 = now[3..].iter().zip(&before[3..]).map(|(n, b)| n - b).sum();
            // Flows of BBR measure the round trip together: a fifth of a second with half of a window.
            let least = if controller == Controller::Bbr {
                85
            } else {
                90
            };
            assert!(
                got > share * least / 100,
                "{got} in {second} {controller:?}"
            );
            assert_eq!(now[..3], before[..3], "{controller:?}");
            all += got;
            before = now;
        }
        assert!(all > 13 * share * 19 / 20, "{all} {controller:?}");
        run.until(up + 1_000);
        run.blameless();
    }
}

#[test]
fn rfc6298_5_5_flows_to_a_dead_host_of_a_living_network_back_off() {
    for controller in controllers(2) {
        let (down, up) = (3_000, 63_000);
        let [a, b, c] = NEAR;
        let lab = Lab {
            controller,
            rate_mbit: 2,
            near: 4,
            ..Lab::default()
        };
        let lab = lab.closed(Closure::new(&[a, b, c, 1], down, up));
        let mut memory = lab.memory();
        let mut run = lab.run(&mut memory);
        run.until(up);
        let before = run.received();
        let left = run.left(&[a, b, c, 1], at(down + 1_500), at(up));
        let times: Vec<Instant> = left.iter().map(|left| left.at).collect();
        // Each time-out is twice the one before.
        assert!((3..=9).contains(&times.len()), "{times:?} {controller:?}");
        for three in times.windows(3) {
            let (one, two) = (three[1].since(three[0]), three[2].since(three[1]));
            let wrong = two.abs_diff(one * 2);
            // The grain of a long timer is coarse.
            assert!(wrong < two / 100, "{times:?}");
        }
        assert_eq!(run.net.middle.engine.counters().path_probes, 0);
        let living = before[1..].iter().all(|&octets| octets > 2_000_000);
        assert!(living, "{before:?}");
        run.blameless();
    }
}

#[test]
fn h8_7_a_path_that_stays_dead_is_given_up_in_time() {
    for near in [1, 20] {
        let lab = Lab {
            near,
            give_up_after: Duration::from_secs(100),
            ..Lab::default()
        };
        let lab = lab.closed(Closure::new(&NEAR, 1_000, 1_000_000));
        let mut memory = lab.memory();
        let mut run = lab.run(&mut memory);
        run.until(100_000);
        assert_eq!(run.given_up(), 0);
        run.blameless();
        run.until(102_000);
        assert_eq!(run.given_up(), usize::from(near));
        assert!(run.net.middle.engine.counters().octets_lost > 0);
        // What is left over polls nobody.
        let polls = run.net.middle.polls;
        run.until(140_000);
        assert!(run.net.middle.polls - polls < 100);
    }
}
