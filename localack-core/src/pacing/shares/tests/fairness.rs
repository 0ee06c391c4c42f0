//! Equal flows.

use super::*;
use proptest::prelude::*;

#[test]
fn the_head_has_room_for_it() {
    assert_eq!(size_of::<Share>(), 56);
    assert_eq!(size_of::<Shares>(), 904);
}

#[test]
fn one_backlogged_flow_gets_all_of_the_rate() {
    for rate in [MBIT / 10, 20 * MBIT, 1000 * MBIT, 10_000 * MBIT] {
        let mut bench = Bench::new(rate, vec![Node::greedy()]);
        let span = SECOND * u64::from(MBIT) * 100 / u64::from(rate);
        bench.run(span);
        let ideal = u64::from(rate) * span / SECOND;
        let quantum = bench.quantum();
        assert!(bench.total() <= ideal + quantum, "{rate}");
        assert!(bench.total() + 2 * quantum >= ideal, "{rate}");
    }
}

#[test]
fn a_share_that_is_looked_at_late_loses_nothing() {
    let mut bench = Bench::new(100 * MBIT, vec![Node::greedy(), Node::greedy()]);
    let half_us = bench.quantum() * SECOND / u64::from(100 * MBIT) / 2;
    bench.late = half_us - 150;
    bench.run(SECOND);
    let ideal = u64::from(100 * MBIT);
    assert!(bench.total() <= ideal + bench.quantum());
    assert!(
        bench.total() + 2 * bench.quantum() >= ideal,
        "{} of {ideal}",
        bench.total()
    );
}

#[test]
fn ten_flows_share_a_rate_fairly() {
    for rate in [2 * MBIT, 20 * MBIT, 1000 * MBIT] {
        let mut bench = Bench::new(rate, vec![Node::greedy(); 10]);
        bench.run(2_000 * MBIT as u64 * SECOND / u64::from(rate) / 100);
        assert!(
            bench.jain() >= 990_000,
            "Jain's index {} at {rate}",
            bench.jain()
        );
        let (least, most) = (0..10).fold((u64::MAX, 0), |(least, most), flow| {
            (bench.sent(flow).min(least), bench.sent(flow).max(most))
        });
        assert!(
            most - least <= bench.quantum() + u64::from(SEGMENT),
            "{least} to {most}"
        );
    }
}

#[test]
fn a_rate_that_changes_is_divided_anew_at_once() {
    // Up and down again; flows with windows follow what they are entitled to.
    let windows = (0..4).map(|_| Node::new(Source::Window(100_000)));
    let nodes = windows.chain([Node::greedy(), Node::greedy().bounded(0, MBIT)]);
    let mut bench = Bench::new(20 * MBIT, nodes.collect());
    for rate in [20 * MBIT, 100 * MBIT, 2 * MBIT, 50 * MBIT] {
        assert!(bench.shares.set_rate(0, rate));
        bench.run(SECOND);
        bench.begin();
        bench.run(10 * SECOND);
        let (least, most) = (0..5).fold((u64::MAX, 0), |(least, most), flow| {
            (bench.rate(flow).min(least), bench.rate(flow).max(most))
        });
        assert!(most - least <= most / 20, "{least} to {most} of {rate}");
        let total = bench.total_rate();
        assert!(total <= u64::from(rate) * 102 / 100, "{total} of {rate}");
        assert!(total >= u64::from(rate) * 96 / 100, "{total} of {rate}");
        assert!(bench.rate(5) <= u64::from(MBIT) * 102 / 100);
    }
}

#[test]
fn a_rate_that_nobody_uses_cannot_be_changed() {
    let mut shares = Shares::EMPTY;
    assert!(!shares.set_rate(3, 20 * MBIT));
    shares.open(3, MBIT, SEGMENT, 0);
    assert!(shares.set_rate(3, 20 * MBIT));
    shares.open(3, MBIT, SEGMENT, 0);
    assert_eq!(shares.fair_rate(3, 0, u32::MAX), 20 * MBIT);
    shares.close(3);
    shares.close(3);
    shares.open(3, MBIT, SEGMENT, 0);
    assert_eq!(shares.fair_rate(3, 0, u32::MAX), MBIT);
}

#[test]
fn ten_flows_behind_windows_share_a_rate_fairly_and_leave_none_of_it() {
    // With windows of a fair part of 1.5 round trips, and round trips from 10 to 600 ms.
    let nodes = (0..10).map(|flow| Node::new(Source::Window(10_000 + 59_000 * flow)));
    let mut bench = Bench::new(20 * MBIT, nodes.collect());
    bench.run(3 * SECOND);
    bench.begin();
    bench.run(10 * SECOND);
    assert!(bench.jain() >= 990_000, "Jain's index {}", bench.jain());
    let ideal = u64::from(20 * MBIT);
    assert!(
        bench.total_rate() >= ideal * 99 / 100,
        "{} of {ideal}",
        bench.total_rate()
    );
}

#[test]
fn packets_larger_than_what_is_left_save_their_allowance() {
    let mut sizes = vec![
        vec![1500],
        vec![1499, 7],
        vec![40],
        vec![1200, 1500, 60, 576],
    ];
    sizes.push(vec![1001]);
    let nodes = sizes
        .into_iter()
        .map(|sizes| Node::new(Source::Greedy(sizes)));
    let mut bench = Bench::new(20 * MBIT, nodes.collect());
    for _ in 0..200 {
        bench.run(10_007);
        for flow in 1..5 {
            let apart = bench.sent(0).abs_diff(bench.sent(flow));
            let bound = bench.quantum() + u64::from(SEGMENT);
            assert!(apart <= bound, "flow {flow} is {apart} octets apart");
        }
    }
}

#[test]
fn a_turn_that_was_interrupted_goes_on() {
    let mut bench = Bench::new(1000 * MBIT, vec![Node::greedy(), Node::greedy()]);
    bench.gather();
    let turn = bench.shares.visit(&mut bench.nodes, at(START)).unwrap();
    assert_eq!((turn.flow, turn.octets), (0, 15_000));
    let (nodes, now) = (&mut bench.nodes, at(START));
    bench
        .shares
        .served(nodes, now, turn, 3000, Rest::Interrupted);
    let turn = bench.shares.visit(nodes, now).unwrap();
    assert_eq!((turn.flow, turn.octets), (0, 12_000));
    bench.shares.served(nodes, now, turn, 0, Rest::Interrupted);
    assert_eq!(bench.shares.visit(nodes, now), Some(turn));
    bench.shares.served(nodes, now, turn, 12_000, Rest::Waits);
    // The rate has a quantum at once; the next turn waits for half of one.
    assert_eq!(bench.shares.visit(nodes, now), None);
    let then = bench.shares.next_at(now).unwrap();
    assert_eq!(then, at(START + 60));
    let turn = bench.shares.visit(nodes, then).unwrap();
    assert_eq!((turn.flow, turn.octets), (1, 7500));
}

#[test]
fn what_is_left_of_a_turn_is_saved_for_the_next_if_no_packet_fits() {
    let mut bench = Bench::new(1000 * MBIT, vec![Node::greedy(), Node::greedy()]);
    bench.gather();
    let mut now = at(START);
    let turn = bench.shares.visit(&mut bench.nodes, now).unwrap();
    bench
        .shares
        .served(&mut bench.nodes, now, turn, 14_000, Rest::Waits);
    assert_eq!(bench.nodes[0].member.deficit, 1000);
    // Of the other's turn 14,900 octets are used, in as many visits as its rate needs.
    for (sent, left) in [(7400, 7600), (7500, 100)] {
        now = bench.shares.next_at(now).unwrap();
        let turn = bench.shares.visit(&mut bench.nodes, now).unwrap();
        assert_eq!(turn.flow, 1);
        bench
            .shares
            .served(&mut bench.nodes, now, turn, sent, Rest::Waits);
        assert_eq!(bench.nodes[1].member.deficit, left);
    }
    // What is left is no good for a packet: no visit for that.
    assert_eq!(bench.nodes[0].member.deficit, 16_000);
    now = bench.shares.next_at(now).unwrap();
    let turn = bench.shares.visit(&mut bench.nodes, now).unwrap();
    assert_eq!(turn.flow, 0);
}

#[test]
fn a_flow_whose_packet_does_not_fit_gives_its_turn_away() {
    let mut bench = Bench::new(1000 * MBIT, vec![Node::greedy(), Node::greedy()]);
    bench.gather();
    let mut now = at(START);
    let turn = bench.shares.visit(&mut bench.nodes, now).unwrap();
    bench
        .shares
        .served(&mut bench.nodes, now, turn, 15_000, Rest::Waits);
    for (flow, sent) in [(1, 0), (0, 7500), (0, 7500), (1, 0)] {
        now = bench.shares.next_at(now).unwrap();
        let turn = bench.shares.visit(&mut bench.nodes, now).unwrap();
        assert_eq!((turn.flow, turn.octets), (flow, 7500));
        bench
            .shares
            .served(&mut bench.nodes, now, turn, sent, Rest::Waits);
    }
}

#[test]
fn a_flow_that_never_sends_saves_no_more_than_a_packet() {
    let mut bench = Bench::new(0, vec![Node::greedy()]);
    bench.gather();
    let now = at(START);
    for _ in 0..100 {
        let turn = bench.shares.visit(&mut bench.nodes, now).unwrap();
        bench
            .shares
            .served(&mut bench.nodes, now, turn, 0, Rest::Waits);
    }
    assert_eq!(bench.nodes[0].member.deficit, 65_535 + 3000);
}

#[test]
fn a_flow_that_becomes_idle_saves_nothing() {
    let mut bench = Bench::new(1000 * MBIT, vec![Node::greedy(), Node::greedy()]);
    bench.gather();
    let now = at(START);
    let turn = bench.shares.visit(&mut bench.nodes, now).unwrap();
    bench
        .shares
        .served(&mut bench.nodes, now, turn, 1500, Rest::Idle);
    assert_eq!(bench.nodes[0].member.deficit, 0);
    assert_eq!(bench.nodes[0].ready.ring(), None);
    assert!(bench.shares.join(&mut bench.nodes, 0, 0));
    assert_eq!(bench.nodes[0].member.deficit, 0, "it is the other's turn");
    assert_eq!(bench.nodes[1].member.deficit, 15_000);
}

#[test]
fn what_arrives_while_nobody_waits_passes_at_once() {
    let mut bench = Bench::new(20 * MBIT, vec![Node::greedy()]);
    let now = at(START);
    assert!(bench.shares.pass(0, now, 1500) && bench.shares.pass(0, now, 1500));
    assert!(!bench.shares.pass(0, now, 1), "a quantum has passed");
    assert!(bench.shares.pass(0, at(START + 600), 1500));
    bench.gather();
    let later = at(START + SECOND);
    assert!(
        !bench.shares.pass(0, later, 1),
        "no packet overtakes those that wait"
    );
    assert_eq!(
        bench
            .shares
            .visit(&mut bench.nodes, later)
            .map(|turn| turn.octets),
        Some(3000)
    );
}

#[test]
fn what_is_sent_out_of_turn_is_made_up_for() {
    let mut bench = Bench::new(20 * MBIT, vec![Node::greedy(); 2]);
    for _ in 0..100 {
        bench.shares.charge(0, at(bench.now), 500);
        bench.run(10_000);
    }
    let ideal = u64::from(20 * MBIT) - 100 * 500;
    assert!(bench.total() <= ideal + bench.quantum());
    assert!(bench.total() + 2 * bench.quantum() >= ideal);
}

#[test]
fn shares_do_not_touch_each_other() {
    let mut nodes = vec![Node::greedy(); 6];
    for (share, node) in (0..).zip(&mut nodes) {
        node.share = share * 3;
    }
    let mut bench = Bench::new(20 * MBIT, nodes);
    bench.run(SECOND);
    for flow in 0..6 {
        assert!(bench.sent(flow).abs_diff(u64::from(20 * MBIT)) <= 2 * bench.quantum());
    }
}

#[test]
fn no_share_starves_where_the_sink_is_the_bottleneck() {
    let mut nodes = vec![Node::greedy(); 3];
    for (share, node) in (0..).zip(&mut nodes) {
        node.share = share;
    }
    let mut bench = Bench::new(20 * MBIT, nodes);
    // One visit each 100 ms: every share always has a quantum by then.
    for _ in 0..30 {
        bench.gather();
        assert!(bench.visit());
        bench.now += SECOND / 10;
    }
    for flow in 0..3 {
        assert_eq!(bench.sent(flow), 30_000);
    }
}

#[test]
fn the_first_flow_sets_the_rate_until_the_last_is_gone() {
    let mut shares = Shares::EMPTY;
    shares.open(3, 20 * MBIT, SEGMENT, 0);
    shares.open(3, 99 * MBIT, SEGMENT, 0);
    assert_eq!(shares.fair_rate(3, 0, u32::MAX), 20 * MBIT);
    shares.close(3);
    shares.open(3, 99 * MBIT, SEGMENT, 0);
    assert_eq!(shares.fair_rate(3, 0, u32::MAX), 20 * MBIT);
    // A rate that ends and begins anew is no way to a second burst.
    assert!(shares.pass(3, at(START), 3000));
    shares.close(3);
    shares.close(3);
    shares.open(3, 2 * MBIT, SEGMENT / 2, 0);
    assert_eq!(shares.fair_rate(3, 0, u32::MAX), 2 * MBIT);
    assert!(!shares.pass(3, at(START), 1));
    assert!(
        !shares.pass(3, at(START + SECOND), 1501),
        "packets are smaller now"
    );
    assert!(shares.pass(3, at(START + SECOND), 1500));
}

#[test]
fn without_a_rate_nobody_waits_but_for_their_turn() {
    let mut bench = Bench::new(0, vec![Node::greedy(); 3]);
    bench.gather();
    for flow in [0, 1, 2, 0, 1, 2] {
        assert_eq!(bench.shares.next_at(at(START)), Some(at(START)));
        let turn = bench.shares.visit(&mut bench.nodes, at(START)).unwrap();
        assert_eq!(turn.flow, flow);
        bench
            .shares
            .served(&mut bench.nodes, at(START), turn, 1500, Rest::Waits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Conservation, work conservation and fairness for any packets and any rate.
    #[test]
    fn backlogged_flows_share_the_whole_rate_equally(
        rate in 200_000u32..200_000_000,
        sizes in prop::collection::vec(prop::collection::vec(40u32..=1500, 1..4), 1..8),
        late in 0u64..4,
    ) {
        let flows = sizes.len();
        let nodes = sizes.into_iter().map(|sizes| Node::new(Source::Greedy(sizes)));
        let mut bench = Bench::new(rate, nodes.collect());
        bench.late = late;
        for _ in 0..20 {
            bench.run(4 * bench.quantum() * SECOND / u64::from(rate) + 1);
            let ideal = u64::from(rate) * (bench.now - START) / SECOND;
            let quantum = bench.quantum();
            prop_assert!(bench.total() <= ideal + quantum);
            prop_assert!(bench.total() + 2 * quantum >= ideal, "{} of {}", bench.total(), ideal);
            for flow in 1..flows {
                let apart = bench.sent(0).abs_diff(bench.sent(flow));
                prop_assert!(apart <= quantum + u64::from(SEGMENT), "{} apart", apart);
            }
        }
    }
}
