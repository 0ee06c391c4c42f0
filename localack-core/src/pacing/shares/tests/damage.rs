//! Memory that says anything.

use super::*;
use proptest::prelude::*;

use crate::timer::ReadyRing;

/// A share whose ring begins at `head` (0 to 7, none if more), and which says anything of itself.
fn damaged(head: u32, sent_at: u64, words: [u32; 11]) -> Share {
    let (mut ring, mut pacer) = (ReadyRing::EMPTY, Pacer::EMPTY);
    ring.push_back(RingId::of_share(0), &mut [ReadyLink::EMPTY; 8], head);
    pacer.on_sent(at(sent_at), u32::MAX, Pace::new(words[0], SEGMENT, 0));
    Share::damaged(ring, pacer, words)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn damage_neither_panics_nor_loops(
        states in prop::collection::vec((0u32..12, any::<u64>(), any::<[u32; 11]>()), SHARES),
        waiting: u32,
        first: u32,
        deficits in prop::collection::vec(any::<[u32; 3]>(), 6),
        lists in prop::collection::vec((0u8..18, any::<bool>()), 6),
        now: u64,
        steps in prop::collection::vec((0u8..7, 0u8..18, 0u32..8, any::<u32>()), 0..60),
    ) {
        let mut shares = Shares::EMPTY;
        (shares.waiting, shares.first) = (waiting, first);
        for (slot, (head, sent_at, words)) in shares.shares.iter_mut().zip(states) {
            *slot = damaged(head, sent_at, words);
        }
        let mut nodes = vec![Node::greedy(); 6];
        let mut rings = [ReadyRing::EMPTY; SHARES];
        for (flow, (deficit, (list, waits))) in (0..).zip(deficits.into_iter().zip(lists)) {
            let [deficit, floor, ceiling] = deficit;
            let node = &mut nodes[flow as usize];
            node.member = Member { deficit, floor, ceiling };
            node.share = list;
            if waits {
                let ring = &mut rings[usize::from(list) & 15];
                ring.push_back(RingId::of_share(list), &mut nodes, flow);
            }
        }
        for (step, share, flow, octets) in steps {
            match step {
                0 => _ = shares.join(&mut nodes, share, flow),
                1 => shares.leave(&mut nodes, flow),
                2 => shares.open(share, octets, octets as u16, 0),
                3 => shares.close(share),
                4 => shares.charge(share, at(now), octets),
                5 => _ = shares.pass(share, at(now), octets),
                _ => {
                    if let Some(turn) = shares.visit(&mut nodes, at(now)) {
                        let rest = [Rest::Waits, Rest::Interrupted, Rest::Idle][octets as usize % 3];
                        shares.served(&mut nodes, at(now), turn, octets, rest);
                    }
                }
            }
            let _ = shares.next_at(at(now));
            let rate = shares.fair_rate(share, flow, octets);
            prop_assert!(rate >= 1 && rate <= octets.max(1));
        }
        // Everybody who is served once and for all comes out: nobody is found for ever.
        let mut visits = 0;
        while visits < 1000 {
            let Some(wake) = shares.next_at(at(now)) else { break };
            if let Some(turn) = shares.visit(&mut nodes, wake) {
                shares.served(&mut nodes, wake, turn, 0, Rest::Idle);
            }
            visits += 1;
        }
        prop_assert!(visits <= 6 + 2 * SHARES, "{} visits for 6 flows", visits);
    }
}

#[test]
fn a_flow_that_a_damaged_ring_has_lost_can_join_again() {
    let mut bench = Bench::new(20 * MBIT, vec![Node::greedy(); 2]);
    bench.gather();
    bench.shares = Shares::EMPTY;
    bench.shares.open(0, 20 * MBIT, SEGMENT, 0);
    assert_eq!(bench.shares.visit(&mut bench.nodes, at(START)), None);
    assert!(bench.shares.join(&mut bench.nodes, 0, 1));
    let turn = bench.shares.visit(&mut bench.nodes, at(START)).unwrap();
    assert_eq!(turn.flow, 1);
}

#[test]
fn wrong_counts_are_right_again_once_nobody_waits() {
    let mut bench = Bench::new(20 * MBIT, vec![Node::greedy(); 2]);
    bench.gather();
    let (rate, sizes) = (20 * MBIT, SEGMENT.into());
    // 77 flows wait with floors beyond every rate, in a round that never ends.
    let words = [rate, sizes, 2, 77, 5, 1, 0, 0, u32::MAX, 0, 0];
    bench.shares.shares[0] = Share::damaged(bench.shares.shares[0].ring, Pacer::EMPTY, words);
    assert!(bench.shares.fair_rate(0, 0, u32::MAX) < rate / 2000);
    bench.shares.leave(&mut bench.nodes, 0);
    bench.shares.leave(&mut bench.nodes, 1);
    assert_eq!(bench.shares.shares[0].load(), (0, 0));
    assert_eq!(bench.shares.fair_rate(0, 0, u32::MAX), rate);
}

#[test]
fn a_round_without_end_ends() {
    let ceiling = 2 * MBIT;
    let mut bench = Bench::new(20 * MBIT, vec![Node::greedy(); 2]);
    bench.nodes[0].member.ceiling = ceiling;
    bench.gather();
    let words = [20 * MBIT, SEGMENT.into(), 2, 2, 0, 0, 0, 0, u32::MAX, 0, 0];
    bench.shares.shares[0] = Share::damaged(bench.shares.shares[0].ring, Pacer::EMPTY, words);
    let mut now = at(START);
    for _ in 0..50 {
        now = bench.shares.next_at(now).unwrap();
        let turn = bench.shares.visit(&mut bench.nodes, now).unwrap();
        let sent = turn.octets;
        bench
            .shares
            .served(&mut bench.nodes, now, turn, sent, Rest::Waits);
    }
    let level = bench.shares.fair_rate(0, 0, u32::MAX);
    assert!(level.abs_diff(18 * MBIT) < MBIT, "{level}");
}
