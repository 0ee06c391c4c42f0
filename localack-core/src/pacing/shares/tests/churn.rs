//! Flows that come and go.

use super::*;
use proptest::prelude::*;

const RATE: u32 = 40 * MBIT;

#[test]
fn who_joins_gets_a_part_and_who_leaves_gives_it_back() {
    let mut bench = Bench::new(RATE, vec![Node::greedy(); 4]);
    let all = core::mem::take(&mut bench.nodes);
    bench.nodes = all[..1].to_vec();
    for flows in [1, 2, 4] {
        bench
            .nodes
            .extend_from_slice(&all[bench.nodes.len()..flows]);
        bench.begin();
        bench.run(SECOND);
        for flow in 0..flows {
            let part = u64::from(RATE) / flows as u64;
            assert!(
                bench.rate(flow).abs_diff(part) <= 2 * bench.quantum(),
                "{flow} of {flows}"
            );
        }
    }
    for flow in 1..4 {
        bench.shares.leave(&mut bench.nodes, flow);
        bench.nodes[flow as usize].source = Source::Periodic(0, SECOND);
    }
    bench.begin();
    bench.run(SECOND);
    assert!(bench.rate(0) + 2 * bench.quantum() >= u64::from(RATE));
    assert_eq!(bench.shares.fair_rate(0, 0, u32::MAX), RATE);
}

#[test]
fn flows_that_come_for_a_packet_neither_starve_nor_slow_the_others() {
    let mut nodes = vec![Node::new(Source::Window(600_000)); 2];
    // Twenty flows of 100 packets a second in all.
    nodes.extend((0..20).map(|flow| Node::new(Source::Periodic(1500, 200_000 + 13 * flow))));
    let mut bench = Bench::new(RATE, nodes);
    bench.run(3 * SECOND);
    bench.begin();
    bench.run(6 * SECOND);
    assert!(
        bench.total_rate() >= u64::from(RATE) * 98 / 100,
        "{}",
        bench.total_rate()
    );
    for flow in 2..22 {
        assert!(bench.rate(flow) >= 7300, "{}", bench.rate(flow));
        assert!(bench.nodes[flow].waiting <= 1500);
    }
}

#[test]
fn a_floor_is_kept_while_others_come_and_go() {
    let mut nodes = vec![Node::greedy().bounded(RATE / 2, u32::MAX)];
    // Each wants a fiftieth of the rate, in bursts.
    nodes.extend((0..40).map(|flow| {
        let period = 60_000 + 977 * flow;
        Node::new(Source::Periodic(
            u64::from(RATE) * period / SECOND / 50,
            period,
        ))
    }));
    let mut bench = Bench::new(RATE, nodes);
    bench.run(SECOND);
    bench.begin();
    bench.run(3 * SECOND);
    let floor = u64::from(RATE) / 2;
    assert!(
        bench.rate(0) >= floor * 99 / 100,
        "{} of {floor}",
        bench.rate(0)
    );
    assert!(bench.total_rate() >= u64::from(RATE) * 99 / 100);
}

#[test]
fn a_flow_that_is_wiped_or_waits_elsewhere_is_not_served() {
    let mut bench = Bench::new(RATE, vec![Node::greedy(); 3]);
    bench.gather();
    let now = at(START);
    let turn = bench.shares.visit(&mut bench.nodes, now).unwrap();
    bench.shares.leave(&mut bench.nodes, turn.flow);
    let before = bench.shares.shares[0];
    bench
        .shares
        .served(&mut bench.nodes, now, turn, 0, Rest::Waits);
    assert_eq!(bench.shares.shares[0], before);
    assert_eq!(bench.nodes[0].ready.ring(), None);
    let mut ready = crate::timer::ReadyList::EMPTY;
    assert!(ready.push_back(&mut bench.nodes, 0));
    assert!(
        !bench.shares.join(&mut bench.nodes, 0, 0),
        "it waits in the ready list"
    );
    bench.shares.leave(&mut bench.nodes, 0);
    assert_eq!(ready.pop_front(&mut bench.nodes), Some(0));
    bench.nodes[0].member.deficit = 77;
    assert!(bench.shares.join(&mut bench.nodes, 0, 0));
    assert_eq!(
        bench.nodes[0].member.deficit, 0,
        "what an old turn left is void"
    );
    assert!(
        !bench.shares.join(&mut bench.nodes, 0, 0),
        "it waits already"
    );
    assert!(!bench.shares.join(&mut bench.nodes, 1, 0), "no member");
    assert!(!bench.shares.join(&mut bench.nodes, 0, 3), "no such flow");
}

#[test]
fn two_hundred_flows_cost_no_more_visits_than_their_turns() {
    // Low ceilings and high floors among them: every visit but one in a turn sends something.
    let nodes = (0..200u32).map(|flow| match flow % 10 {
        0 => Node::greedy().bounded(RATE / 50, u32::MAX),
        1 => Node::greedy().bounded(0, RATE / 1000),
        _ => Node::greedy(),
    });
    let mut bench = Bench::new(RATE, nodes.collect());
    bench.run(SECOND / 5);
    let packets: usize = bench.nodes.iter().map(|node| node.packets).sum();
    assert!(packets > 600);
    assert!(
        bench.visits <= packets as u64 * 5 / 4,
        "{} for {packets}",
        bench.visits
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever flows do, the share counts them right and never exceeds its rate.
    #[test]
    fn joins_and_leaves_balance(
        steps in prop::collection::vec((0u8..5, 0u32..6, 0u64..4000, 0u32..6000), 1..200),
    ) {
        let mut nodes = vec![Node::greedy(); 6];
        for (floor, node) in (0..).zip(&mut nodes) {
            node.member.floor = floor * (RATE / 10);
        }
        let mut bench = Bench::new(RATE, nodes);
        let mut sent = 0;
        for (step, flow, wait, octets) in steps {
            let (shares, nodes) = (&mut bench.shares, &mut bench.nodes);
            match step {
                0 | 1 => _ = shares.join(nodes, 0, flow),
                2 => shares.leave(nodes, flow),
                _ => {
                    if let Some(turn) = shares.visit(nodes, at(bench.now)) {
                        let rest = [Rest::Waits, Rest::Interrupted, Rest::Idle][octets as usize % 3];
                        let octets = octets.min(turn.octets);
                        sent += u64::from(octets);
                        shares.served(nodes, at(bench.now), turn, octets, rest);
                    }
                }
            }
            bench.now += wait;
            let waits = |node: &&Node| node.ready.ring().is_some();
            let waiting: Vec<_> = bench.nodes.iter().filter(waits).collect();
            let floors: u64 = waiting.iter().map(|node| u64::from(node.member.floor)).sum();
            prop_assert_eq!(bench.shares.shares[0].load(), (waiting.len() as u32, floors));
            let next = bench.shares.next_at(at(bench.now));
            prop_assert_eq!(next.is_some(), !waiting.is_empty());
            if let Some(next) = next {
                let turn = bench.shares.visit(&mut bench.nodes, next);
                prop_assert!(turn.is_some(), "nobody can be visited when it was said");
            }
            let idle = bench.nodes.iter().filter(|node| node.ready.ring().is_none());
            prop_assert!(idle.map(|node| node.member.deficit).all(|deficit| deficit == 0));
            let ideal = u64::from(RATE) * (bench.now - START) / SECOND;
            prop_assert!(sent <= ideal + bench.quantum());
        }
    }
}
