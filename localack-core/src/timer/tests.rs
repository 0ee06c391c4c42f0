#![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::vec;
use std::vec::Vec;

impl TimerNode for TimerLink {
    fn timer(&self) -> &TimerLink {
        self
    }

    fn timer_mut(&mut self) -> &mut TimerLink {
        self
    }
}

impl TimerLink {
    fn deadline(&self) -> Option<Instant> {
        (self.link.list() != 0).then(|| at(self.deadline_us()))
    }
}

/// No deadline changes its bucket more often than there are levels.
const MOST_MOVES: u32 = 17;

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

struct Bench {
    wheel: TimerWheel,
    nodes: Vec<TimerLink>,
}

impl Bench {
    fn new(nodes: usize) -> Self {
        Self {
            wheel: TimerWheel::EMPTY,
            nodes: vec![TimerLink::EMPTY; nodes],
        }
    }

    fn arm(&mut self, index: u32, micros: u64) {
        self.wheel.arm(&mut self.nodes, index, at(micros));
    }

    fn disarm(&mut self, index: u32) {
        self.wheel.disarm(&mut self.nodes, index);
    }

    fn pop(&mut self, now: u64, budget: &mut u32) -> Option<u32> {
        self.wheel.pop_expired(&mut self.nodes, at(now), budget)
    }

    /// All that is due at `now`, in the order in which it comes.
    fn expired(&mut self, now: u64) -> Vec<u32> {
        core::iter::from_fn(|| self.pop(now, &mut u32::MAX.clone())).collect()
    }

    fn next(&self) -> Option<u64> {
        self.wheel.next_deadline().map(Instant::as_micros)
    }

    /// Sleeps from deadline to deadline as a caller would, until something comes; when and how
    /// often it woke up.
    fn sleep(&mut self) -> (u64, u32, Vec<u32>) {
        for wakes in 1..=MOST_MOVES {
            let now = self.next().expect("a timer is armed");
            let expired = self.expired(now);
            if !expired.is_empty() {
                return (now, wakes, expired);
            }
        }
        panic!("woke up {MOST_MOVES} times for nothing");
    }
}

#[test]
fn the_wheel_fits_the_head_without_padding() {
    assert_eq!(size_of::<TimerWheel>(), 8 + 32 + 1024 + 8);
    assert_eq!(size_of::<TimerLink>(), 20);
}

#[test]
fn a_timer_comes_exactly_when_it_is_due() {
    for due in [
        0,
        1,
        15,
        16,
        17,
        999,
        200_000,
        1 << 24,
        7_440_000_000,
        u64::MAX,
    ] {
        let mut bench = Bench::new(1);
        bench.arm(0, due);
        if due > 0 {
            assert_eq!(bench.expired(due - 1), [], "due at {due}");
        }
        assert_eq!(bench.nodes[0].deadline(), Some(at(due)));
        assert_eq!(bench.expired(due), [0], "due at {due}");
        assert_eq!(bench.nodes[0].deadline(), None);
        assert_eq!(bench.next(), None);
    }
}

#[test]
fn a_sleeper_wakes_up_at_the_deadline_and_few_times_before() {
    for due in [3, 200_000, 123_456_789, 7_440_000_000, 1 << 50] {
        let mut bench = Bench::new(1);
        bench.arm(0, due);
        let (now, wakes, expired) = bench.sleep();
        assert_eq!((now, &expired[..]), (due, &[0][..]));
        assert!(wakes <= due.ilog2() / 4 + 1, "{wakes} wakes for {due}");
    }
}

#[test]
fn a_deadline_that_has_passed_is_due_at_once() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.expired(5_000_000), []);
    bench.arm(0, 17);
    assert_eq!(bench.next(), Some(5_000_000));
    // Time that runs backwards stands still.
    assert_eq!(bench.expired(3), [0]);
    bench.arm(1, 5_000_001);
    assert_eq!(bench.expired(4_999_999), []);
    assert_eq!(bench.expired(5_000_001), [1]);
}

#[test]
fn putting_a_deadline_off_touches_only_the_node_itself() {
    let mut bench = Bench::new(3);
    for index in 0..3 {
        bench.arm(index, 1_000_000);
    }
    let before = (bench.nodes[0], bench.nodes[2], bench.wheel.occupied);
    bench.arm(1, 1_300_000);
    assert_eq!(
        (bench.nodes[0], bench.nodes[2], bench.wheel.occupied),
        before
    );
    assert_eq!(bench.expired(1_299_999), [0, 2]);
    assert_eq!(bench.expired(1_300_000), [1]);
}

#[test]
fn bringing_a_deadline_forward_moves_it() {
    let mut bench = Bench::new(1);
    bench.arm(0, 9_000_000);
    bench.arm(0, 40);
    assert_eq!(bench.sleep().0, 40);
    assert_eq!(bench.next(), None);
}

#[test]
fn a_timer_that_keeps_being_due_starves_nobody() {
    let mut bench = Bench::new(3);
    for index in 0..3 {
        bench.arm(index, 100);
    }
    let order: Vec<_> = (0..9)
        .map(|_| {
            let index = bench.pop(100, &mut 1).expect("all are due");
            bench.arm(index, 100);
            index
        })
        .collect();
    assert_eq!(order, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_clock_that_jumps_by_years_costs_nothing() {
    const YEAR: u64 = 365 * 86_400 * 1_000_000;
    let mut bench = Bench::new(3);
    bench.arm(0, 5);
    bench.arm(1, 30 * YEAR);
    bench.arm(2, 60 * YEAR);
    let mut budget = 2 + MOST_MOVES;
    assert_eq!(bench.pop(50 * YEAR, &mut budget), Some(0));
    assert_eq!(bench.pop(50 * YEAR, &mut budget), Some(1));
    assert_eq!(bench.pop(50 * YEAR, &mut budget), None);
    assert!(budget > 0);
    bench.arm(0, 50 * YEAR + 200_000);
    assert_eq!(bench.sleep().0, 50 * YEAR + 200_000);
    assert_eq!(bench.sleep().0, 60 * YEAR);
}

#[test]
fn an_engine_that_starts_late_in_its_epoch_finds_its_first_timer() {
    let now = 1_750_000_000_000_000;
    let mut bench = Bench::new(1);
    bench.arm(0, now + 300_000);
    assert!(bench.next().unwrap() <= now + 300_000);
    assert_eq!(bench.pop(now, &mut MOST_MOVES.clone()), None);
    assert_eq!(bench.sleep().0, now + 300_000);
}

#[test]
fn a_million_timers_due_at_once_drain_within_each_budget() {
    const TIMERS: u32 = 1_000_000;
    let mut bench = Bench::new(TIMERS as usize);
    // One call before, so that they hang high in the wheel and have to come down.
    for index in 0..TIMERS {
        bench.arm(index, 10_000_000);
    }
    assert_eq!(bench.expired(1_000), []);
    let (mut drained, mut spent) = (0, 0);
    while bench.next().is_some_and(|next| next <= 10_000_000) {
        let mut budget = 64;
        while bench.pop(10_000_000, &mut budget).is_some() {
            drained += 1;
        }
        spent += 64 - budget;
        assert!(budget == 0 || bench.next().is_none());
    }
    assert_eq!(drained, TIMERS);
    assert_eq!(
        spent, TIMERS,
        "what is due need not come down level by level"
    );
}

#[test]
fn moving_between_buckets_is_paid_from_the_budget() {
    let mut bench = Bench::new(100);
    for index in 0..100 {
        bench.arm(index, 0x1_0000 + u64::from(index));
    }
    let mut budget = 10;
    assert_eq!(bench.pop(0x1_0000 - 1, &mut budget), None);
    assert_eq!(budget, 10, "nothing to move yet");
    let mut calls = 0;
    loop {
        let mut budget = 10;
        let popped = bench.pop(0x1_0000, &mut budget);
        calls += 1;
        if popped.is_none() && budget > 0 {
            break;
        }
    }
    assert!(
        (10..=12).contains(&calls),
        "{calls} calls of 10 for 100 nodes"
    );
    for index in 1..100 {
        assert_eq!(bench.expired(0x1_0000 + index), [index as u32]);
    }
}

#[test]
fn disarming_in_a_bucket_that_is_being_emptied_ends_it() {
    let mut bench = Bench::new(4);
    for index in 0..3 {
        bench.arm(index, 0x1_0005);
    }
    assert_eq!(bench.pop(0x1_0000, &mut 1), None);
    bench.disarm(1);
    bench.disarm(2);
    bench.arm(3, 0x1_0002);
    assert_eq!(bench.next(), Some(0x1_0002));
    assert_eq!(bench.expired(0x1_0004), [3]);
    assert_eq!(bench.expired(0x1_0005), [0]);
}

#[test]
fn a_node_that_its_bucket_does_not_know_is_placed_anew() {
    let mut bench = Bench::new(1);
    bench.arm(0, 500);
    bench.wheel = TimerWheel::EMPTY;
    bench.arm(0, 501);
    assert_eq!(bench.expired(501), [0]);
}

#[test]
fn a_node_in_a_bucket_that_does_not_exist_is_placed_anew() {
    let mut bench = Bench::new(1);
    bench.nodes[0].link = ring::tests_support::link(0, 0, 999);
    bench.arm(0, 500);
    assert_eq!(bench.expired(500), [0]);
}

#[derive(Clone, Debug)]
enum Step {
    Arm(u32, u64),
    Disarm(u32),
    /// Time passes (or runs back) and what is due is taken, at most so much at a time.
    Pass(i64, u32),
    /// Until the wheel's next deadline.
    Sleep,
}

fn step() -> impl Strategy<Value = Step> {
    let distance = (0u32..40, any::<u64>()).prop_map(|(bits, wide)| wide & ((1 << bits) - 1));
    let pass = (0u32..36, any::<i64>()).prop_map(|(bits, wide)| wide % (1i64 << bits));
    prop_oneof![
        4 => (0u32..12, distance).prop_map(|(index, distance)| Step::Arm(index, distance)),
        1 => (0u32..12).prop_map(Step::Disarm),
        2 => (pass, 1u32..8).prop_map(|(pass, budget)| Step::Pass(pass, budget)),
        2 => Just(Step::Sleep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_wheel_agrees_with_a_sorted_map(start in 0u64..1 << 60, steps in prop::collection::vec(step(), 1..100)) {
        let mut bench = Bench::new(12);
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        let (mut clock, mut latest) = (start, start);
        prop_assert_eq!(bench.expired(start), Vec::<u32>::new());
        for step in steps {
            let mut pass = None;
            match step {
                Step::Arm(index, distance) => {
                    bench.arm(index, clock + distance);
                    model.insert(index, clock + distance);
                }
                Step::Disarm(index) => {
                    bench.disarm(index);
                    model.remove(&index);
                }
                Step::Pass(by, budget) => pass = Some((clock.saturating_add_signed(by), budget)),
                Step::Sleep => pass = bench.next().map(|next| (next, u32::MAX)),
            }
            if let Some((now, limit)) = pass {
                clock = now;
                latest = latest.max(now);
                let due: BTreeSet<_> =
                    model.iter().filter(|&(_, &at)| at <= latest).map(|(&index, _)| index).collect();
                model.retain(|_, at| *at > latest);
                let mut came = BTreeSet::new();
                loop {
                    let mut budget = limit;
                    let popped = bench.pop(now, &mut budget);
                    prop_assert!(popped.is_none_or(|index| came.insert(index)), "came twice");
                    if popped.is_none() && budget > 0 {
                        break;
                    }
                }
                prop_assert_eq!(came, due);
            }
            prop_assert_eq!(bench.next().is_some(), !model.is_empty());
            if let (Some(next), Some(&earliest)) = (bench.next(), model.values().min()) {
                prop_assert!(next <= earliest.max(latest), "{} is after {}", next, earliest);
            }
            for index in 0..12 {
                prop_assert_eq!(bench.nodes[index as usize].deadline(), model.get(&index).copied().map(at));
            }
        }
    }

    #[test]
    fn damage_neither_panics_nor_loops(
        now: u64,
        occupied: [u64; WORDS],
        heads in prop::collection::vec((0usize..BUCKETS, 0u32..8), 0..20),
        links in prop::collection::vec((any::<u32>(), any::<u32>(), 0u32..7, 0u32..7, 0u32..260), 5),
        emptying in 0u32..300,
        steps in prop::collection::vec((0u8..3, 0u32..7, any::<u64>()), 0..40),
    ) {
        let mut bench = Bench::new(5);
        (bench.wheel.now_us, bench.wheel.occupied, bench.wheel.emptying) = (now, occupied, emptying);
        for (bucket, head) in heads {
            bench.wheel.heads[bucket] = head;
        }
        for (node, (low, high, prev, next, list)) in bench.nodes.iter_mut().zip(links) {
            let link = ring::tests_support::link(prev, next, list);
            *node = TimerLink { deadline_low: low, deadline_high: high, link };
        }
        let mut latest = now;
        for (step, index, micros) in steps {
            match step {
                0 => bench.arm(index, micros),
                1 => bench.disarm(index),
                _ => drop(bench.pop(micros, &mut 50)),
            }
            prop_assert!(bench.wheel.now_us >= latest, "time ran backwards");
            latest = bench.wheel.now_us;
        }
        // Each bucket costs at most one look for its damage, each node one for each of its moves.
        let mut budget = BUCKETS as u32 + 5 * MOST_MOVES;
        while bench.pop(u64::MAX, &mut budget).is_some() {}
        prop_assert!(budget > 0, "still not done");
        prop_assert_eq!(bench.next(), None);
    }
}
