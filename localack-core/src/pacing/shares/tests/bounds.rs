//! Floors and ceilings.

use super::*;
use proptest::prelude::*;

const RATE: u32 = 20 * MBIT;
const NONE: u32 = u32::MAX;

/// Rates of flows with these floors and ceilings after a second to settle.
fn settle(bounds: &[(u32, u32)]) -> Bench {
    let nodes = bounds
        .iter()
        .map(|&(floor, ceiling)| Node::greedy().bounded(floor, ceiling));
    let mut bench = Bench::new(RATE, nodes.collect());
    bench.run(SECOND);
    bench.begin();
    bench.run(3 * SECOND);
    bench
}

/// What each flow should get: the level at which the rate is used up, found by bisection.
fn ideal(bounds: &[(u32, u32)]) -> Vec<u64> {
    let at_level = |level: u64| {
        let part = |&(floor, ceiling): &(u32, u32)| level.max(floor.into()).min(ceiling.into());
        bounds.iter().map(part).collect::<Vec<_>>()
    };
    let (mut low, mut high) = (0, u64::from(RATE));
    while low < high {
        let middle = (low + high).div_ceil(2);
        if at_level(middle).iter().sum::<u64>() <= u64::from(RATE) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    at_level(low)
}

fn assert_near(bench: &Bench, bounds: &[(u32, u32)], percent: u64) {
    for (flow, ideal) in ideal(bounds).into_iter().enumerate() {
        let rate = bench.rate(flow);
        let bound = ideal * percent / 100 + 2 * bench.quantum();
        assert!(
            rate.abs_diff(ideal) <= bound,
            "flow {flow}: {rate}, not {ideal}"
        );
    }
}

#[test]
fn a_floor_below_the_fair_part_changes_nothing() {
    let bounds = [(RATE / 2, NONE), (0, NONE)];
    assert_near(&settle(&bounds), &bounds, 1);
}

#[test]
fn a_floor_above_the_fair_part_is_kept() {
    let bounds = [
        (RATE / 10 * 8, NONE),
        (0, NONE),
        (0, NONE),
        (0, NONE),
        (0, NONE),
    ];
    let bench = settle(&bounds);
    assert!(
        bench.rate(0) >= u64::from(RATE) * 8 / 10 * 995 / 1000,
        "{}",
        bench.rate(0)
    );
    assert_near(&bench, &bounds, 1);
}

#[test]
fn what_a_ceiling_leaves_goes_to_the_others() {
    let bounds = [(0, RATE / 100), (0, RATE / 20), (0, NONE), (0, NONE)];
    let bench = settle(&bounds);
    assert_near(&bench, &bounds, 2);
    assert!(bench.total_rate() >= u64::from(RATE) * 99 / 100);
}

#[test]
fn ceilings_that_leave_some_of_the_rate_are_reached() {
    let bounds = [(0, RATE / 100), (0, RATE / 20), (0, RATE / 3)];
    assert_near(&settle(&bounds), &bounds, 1);
}

#[test]
fn a_ceiling_just_below_the_fair_part_is_reached() {
    let mut bounds = vec![(0, RATE / 10 * 9 / 10); 9];
    bounds.push((0, NONE));
    assert_near(&settle(&bounds), &bounds, 2);
}

#[test]
fn a_ceiling_is_reached_by_one_that_waits_a_round_for_each_turn() {
    let mut bounds = vec![(0, NONE); 9];
    bounds.push((RATE / 100 * 9, RATE / 100 * 9));
    let bench = settle(&bounds);
    let ceiling = u64::from(RATE / 100 * 9);
    assert!(bench.rate(9) >= ceiling * 99 / 100, "{}", bench.rate(9));
    assert_near(&bench, &bounds, 2);
}

#[test]
fn a_low_ceiling_still_has_turns_that_are_good_for_a_packet() {
    let mut bench = Bench::new(RATE, vec![Node::greedy(), Node::greedy().bounded(0, 1)]);
    bench.gather();
    bench.shares.leave(&mut bench.nodes, 0);
    assert_eq!(bench.nodes[1].member.deficit, SEGMENT.into());
}

#[test]
fn a_ceiling_is_a_limit_whatever_the_share() {
    for rate in [0, RATE] {
        let shares = Bench::new(rate, vec![Node::greedy()]).shares;
        assert_eq!(shares.ceiling_pace(0, NONE), Pace::UNPACED);
        for ceiling in [0, 1, RATE / 2] {
            let (pace, mut pacer) = (shares.ceiling_pace(0, ceiling), Pacer::EMPTY);
            let (burst, later) = (pacer.allowance(at(START), pace), at(START + SECOND / 1000));
            assert_eq!(burst, 6000);
            pacer.on_sent(at(START), burst, pace);
            let more = pacer.allowance(later, pace);
            assert!(more.abs_diff(ceiling / 1000) <= 1, "{more} at {ceiling}");
        }
    }
}

#[test]
fn who_joins_takes_a_part_of_the_level_at_once() {
    let mut bench = Bench::new(RATE, vec![Node::greedy(); 5]);
    for flows in 1..=5 {
        assert!(bench.shares.join(&mut bench.nodes, 0, flows - 1));
        let level = bench.shares.fair_rate(0, 0, NONE);
        assert!(level.abs_diff(RATE / flows) <= 1, "{level} of {flows}");
    }
    for flows in (0..5).rev() {
        bench.shares.leave(&mut bench.nodes, flows);
        let level = bench.shares.fair_rate(0, 0, NONE);
        assert!(
            level.abs_diff(RATE / flows.max(1)) <= 1,
            "{level} of {flows}"
        );
    }
}

#[test]
fn the_level_finds_what_floors_and_ceilings_leave() {
    // Every flow uses its turns up; only the level is looked at.
    let hundredth = RATE / 100;
    let mut bench = Bench::new(RATE, vec![Node::greedy(); 5]);
    for (node, (floor, ceiling)) in
        bench
            .nodes
            .iter_mut()
            .zip([(0, 30), (0, 30), (0, 30), (0, 100), (60, 100)])
    {
        (node.member.floor, node.member.ceiling) = (floor * hundredth, ceiling * hundredth);
    }
    let mut now = at(START);
    // Who is in line, and the level in hundredths of the rate.
    for (flows, level) in [
        (&[0, 1, 2, 3][..], 25),
        (&[1, 2, 3], 40),
        (&[1, 2, 3, 4], 13),
        (&[1, 3, 4], 20),
        (&[0, 3], 70),
        (&[3, 4], 50 - 10),
        (&[0], 100),
    ] {
        for flow in 0..5 {
            if flows.contains(&flow) {
                bench.shares.join(&mut bench.nodes, 0, flow);
            } else {
                bench.shares.leave(&mut bench.nodes, flow);
            }
        }
        for _ in 0..200 {
            now = bench.shares.next_at(now).unwrap();
            let turn = bench.shares.visit(&mut bench.nodes, now).unwrap();
            let sent = turn.octets;
            bench
                .shares
                .served(&mut bench.nodes, now, turn, sent, Rest::Waits);
        }
        let (found, level) = (bench.shares.fair_rate(0, 0, NONE), level * hundredth);
        let near = found.abs_diff(level) <= hundredth;
        assert!(near, "{found}, not {level}, for {flows:?}");
    }
}

#[test]
fn a_window_of_its_fair_rate_does_not_keep_a_flow_from_what_ceilings_leave() {
    let mut nodes = vec![Node::greedy().bounded(0, RATE / 20); 9];
    nodes.push(Node::new(Source::Window(600_000)));
    let mut bench = Bench::new(RATE, nodes);
    bench.run(3 * SECOND);
    bench.begin();
    bench.run(6 * SECOND);
    let left = u64::from(RATE) * 11 / 20;
    assert!(
        bench.rate(9) >= left * 98 / 100,
        "{} of {left}",
        bench.rate(9)
    );
}

#[test]
fn a_ceiling_below_the_floor_counts() {
    let bounds = [(RATE / 2, RATE / 4), (0, NONE)];
    let bench = settle(&bounds);
    assert_near(&bench, &bounds, 1);
    assert_eq!(bench.shares.fair_rate(0, RATE / 2, RATE / 4), RATE / 4);
}

#[test]
fn floors_that_do_not_fit_shrink_together_and_starve_nobody() {
    let bounds = [(RATE / 4 * 3, NONE), (RATE / 4 * 3, NONE), (0, NONE)];
    let bench = settle(&bounds);
    assert!(bench.rate(0).abs_diff(bench.rate(1)) <= u64::from(RATE) / 50);
    assert!(bench.rate(2) >= u64::from(RATE) / 150, "{}", bench.rate(2));
    assert!(bench.total_rate() >= u64::from(RATE) * 99 / 100);
}

#[test]
fn the_fair_rate_is_the_level_within_the_bounds() {
    let bench = settle(&[(0, NONE); 4]);
    let quarter = RATE / 4;
    for (floor, ceiling, expected) in [
        (0, NONE, quarter),
        (RATE / 2, NONE, RATE / 2),
        (0, RATE / 8, RATE / 8),
        (RATE * 2, NONE, RATE),
        (0, 0, 1),
    ] {
        let rate = bench.shares.fair_rate(0, floor, ceiling);
        assert!(
            rate.abs_diff(expected) <= expected / 100,
            "{rate}, not {expected}"
        );
    }
}

fn bounds() -> impl Strategy<Value = Vec<(u32, u32)>> {
    let one = (0u32..8, 0u32..8).prop_map(|(floor, ceiling)| {
        let floor = if floor < 4 {
            0
        } else {
            RATE / 64 * (floor - 3)
        };
        let ceiling = if ceiling < 4 {
            NONE
        } else {
            RATE / 64 * (ceiling - 3)
        };
        (floor, ceiling)
    });
    prop::collection::vec(one, 1..10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_flow_gets_what_the_level_gives_it(bounds in bounds()) {
        let bench = settle(&bounds);
        assert_near(&bench, &bounds, 3);
        let total: u64 = ideal(&bounds).into_iter().sum();
        prop_assert!(bench.total_rate() >= total * 99 / 100);
        for (flow, &(floor, ceiling)) in bounds.iter().enumerate() {
            let least = u64::from(floor.min(ceiling));
            prop_assert!(bench.rate(flow) + bench.quantum() >= least * 99 / 100, "{} is below its floor", flow);
            prop_assert!(bench.rate(flow) <= u64::from(ceiling) + 2 * bench.quantum());
        }
    }
}

/// Ends the turn of a flow that has sent nothing.
fn ends_turn(bench: &mut Bench, flow: u32) {
    let turn = Turn {
        share: 0,
        flow,
        octets: 0,
        is_whole: true,
    };
    let now = at(bench.now);
    bench
        .shares
        .served(&mut bench.nodes, now, turn, 0, Rest::Waits);
}

#[test]
fn what_is_promised_too_much_is_taken_from_those_above_their_floors() {
    let floor = Node::greedy().bounded(RATE / 2, NONE);
    let mut bench = Bench::new(RATE, vec![floor, Node::greedy(), Node::greedy()]);
    bench.gather();
    for flow in [0, 1, 2, 0] {
        ends_turn(&mut bench, flow);
    }
    let level = bench.shares.fair_rate(0, 0, NONE);
    assert!(level.abs_diff(RATE / 4) <= 3, "{level} of {RATE}");
}

#[test]
fn what_a_flow_leaves_is_found_by_the_next_round() {
    let mut nodes = vec![Node::greedy(); 3];
    nodes.push(Node::greedy().bounded(0, RATE / 100));
    let mut bench = Bench::new(RATE, nodes);
    bench.gather();
    ends_turn(&mut bench, 0);
    // It has the first of four turns.
    bench.shares.leave(&mut bench.nodes, 1);
    for flow in [2, 3] {
        ends_turn(&mut bench, flow);
    }
    let level = bench.shares.fair_rate(0, 0, NONE);
    assert!(level.abs_diff(RATE / 3) <= RATE / 100, "{level} of {RATE}");
    for flow in [0, 2, 3] {
        ends_turn(&mut bench, flow);
    }
    let level = bench.shares.fair_rate(0, 0, NONE);
    assert!(level >= RATE / 5 * 2, "{level} of {RATE}");
}

#[test]
fn floors_of_any_size_add_up() {
    let nodes = vec![Node::greedy().bounded(NONE, NONE); 2];
    let mut bench = Bench::new(RATE, nodes);
    bench.gather();
    let sum = 2 * u64::from(NONE);
    assert_eq!(bench.shares.shares[0].load(), (2, sum));
    // All but a part of the rate is promised.
    bench.nodes.push(Node::greedy());
    bench.gather();
    for flow in [0, 1, 2] {
        ends_turn(&mut bench, flow);
    }
    assert!(bench.shares.fair_rate(0, 0, NONE) <= RATE / 32);
    bench.shares.leave(&mut bench.nodes, 0);
    assert_eq!(bench.shares.shares[0].load(), (2, sum / 2));
}
