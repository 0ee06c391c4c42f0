#![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod laws;
mod restoration;

use super::*;
use crate::path::PathHead;
use crate::timer::{ReadyLink, ReadyList};
use std::vec;
use std::vec::Vec;

/// A flow, as far as a path knows it.
#[derive(Clone, Copy)]
struct Node(ReadyLink);

impl ReadyNode for Node {
    fn ready(&self) -> &ReadyLink {
        &self.0
    }

    fn ready_mut(&mut self) -> &mut ReadyLink {
        &mut self.0
    }
}

const IDLE: Node = Node(ReadyLink::EMPTY);
const SECOND: u32 = 1_000_000;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn key(network: u8) -> PathKey {
    PathKey::new([192, 0, network, 1].into(), Port::Outer, 0)
}

/// The first time-out after one second, the second after two more.
fn timeout(consecutive: u8) -> Timeout {
    Timeout {
        consecutive,
        waited_us: SECOND << consecutive.saturating_sub(1),
        early: false,
    }
}

/// A table of eight paths and some flows.
struct Rig {
    head: PathHead,
    slots: [PathSlot; 8],
    nodes: Vec<Node>,
}

impl Rig {
    fn new(flows: usize) -> Self {
        Self {
            head: PathHead::EMPTY,
            slots: [PathSlot::EMPTY; 8],
            nodes: vec![IDLE; flows],
        }
    }

    fn table(&mut self) -> (PathTable<'_>, &mut [Node]) {
        let table = PathTable::new(&mut self.head, &mut self.slots, [1, 2]);
        (table, &mut self.nodes)
    }

    fn next_deadline(&self, now: Instant) -> Option<Instant> {
        self.head.next_deadline(&self.slots, now)
    }

    fn on_timeout(&mut self, flow: u32, consecutive: u8, millis: u64) -> Verdict {
        let (mut table, nodes) = self.table();
        table.on_timeout(nodes, flow, &key(1), at(millis), timeout(consecutive))
    }

    fn hold(&mut self, flow: u32, millis: u64) -> Verdict {
        let (mut table, nodes) = self.table();
        table.hold(nodes, flow, &key(1), at(millis))
    }

    fn withdraw(&mut self, flow: u32, millis: u64) -> bool {
        let (mut table, nodes) = self.table();
        table.withdraw(nodes, flow, at(millis))
    }

    fn on_heard(&mut self, millis: u64) -> bool {
        self.table().0.on_heard(&key(1), at(millis))
    }

    fn tasks(&mut self, millis: u64) -> Vec<(u32, TaskKind)> {
        self.tasks_at(at(millis))
    }

    fn tasks_at(&mut self, now: Instant) -> Vec<(u32, TaskKind)> {
        let (mut table, nodes) = self.table();
        let mut budget = 10_000;
        let next = || table.next_task(nodes, now, &mut budget);
        core::iter::from_fn(next)
            .map(|task| (task.flow, task.kind))
            .collect()
    }

    fn deadline(&mut self, millis: u64) -> Option<u64> {
        let deadline = self.next_deadline(at(millis))?;
        Some(deadline.as_micros() / 1000)
    }

    /// Flow 0 finds the path dead at 3 s; flows 1 to `flows` wait too.
    fn dead(flows: u32) -> Self {
        let mut rig = Self::new(flows as usize);
        assert_eq!(rig.on_timeout(0, 1, 1000), Verdict::BackOff);
        assert_eq!(rig.on_timeout(0, 2, 3000), Verdict::Probe);
        for flow in 1..flows {
            assert_eq!(rig.on_timeout(flow, 1, 3000), Verdict::Wait);
        }
        rig
    }
}

#[test]
fn one_time_out_is_a_doubt_two_are_an_outage() {
    let mut rig = Rig::new(1);
    assert!(!rig.head.any_in_doubt());
    assert_eq!(rig.on_timeout(0, 1, 1000), Verdict::BackOff);
    assert!(rig.head.may_concern(&key(1)));
    assert_eq!(rig.on_timeout(0, 2, 3000), Verdict::Probe);
    assert!(rig.on_heard(3500), "it was dead");
    assert!(!rig.head.any_in_doubt());
}

#[test]
fn anything_heard_ends_the_doubt() {
    let mut rig = Rig::new(2);
    assert_eq!(rig.on_timeout(0, 1, 1000), Verdict::BackOff);
    assert!(!rig.on_heard(1500), "it was not dead");
    assert!(!rig.head.any_in_doubt());
    assert_eq!(rig.on_timeout(0, 2, 3000), Verdict::BackOff, "a new doubt");
    // Something was heard after the first time-out of this flow, one and a half seconds ago.
    assert_eq!(rig.on_timeout(1, 2, 3100), Verdict::BackOff);
    assert_eq!(rig.on_timeout(1, 3, 7100), Verdict::Probe);
}

#[test]
fn a_flow_with_a_quick_timer_does_not_condemn_the_path_for_others() {
    let mut rig = Rig::new(9);
    for flow in 0..8 {
        assert_eq!(
            rig.on_timeout(flow, 1, 1000),
            Verdict::BackOff,
            "first ones only"
        );
    }
    let quick = Timeout {
        consecutive: 2,
        waited_us: 600_000,
        early: false,
    };
    let (mut table, nodes) = rig.table();
    let verdict = table.on_timeout(nodes, 8, &key(1), at(1500), quick);
    assert_eq!(verdict, Verdict::BackOff, "its first was before the doubt");
}

#[test]
fn rfc6298_5_5_where_several_flows_have_timed_out_none_waits_twice_as_long() {
    let check = |rig: &mut Rig, millis| {
        let (mut table, nodes) = rig.table();
        let early = Timeout {
            consecutive: 2,
            early: true,
            ..timeout(1)
        };
        table.on_timeout(nodes, 0, &key(1), at(millis), early)
    };
    let mut rig = Rig::new(9);
    assert_eq!(check(&mut rig, 900), Verdict::BackOff);
    assert!(!rig.head.any_in_doubt(), "it is no time-out");
    assert_eq!(rig.on_timeout(0, 1, 1000), Verdict::BackOff);
    assert_eq!(check(&mut rig, 2000), Verdict::BackOff, "it is alone");
    assert_eq!(rig.on_timeout(1, 1, 2010), Verdict::BackOff);
    assert_eq!(check(&mut rig, 2020), Verdict::Probe);
    let mut rig = Rig::new(9);
    assert_eq!(rig.on_timeout(0, 1, 1000), Verdict::BackOff);
    assert_eq!(rig.on_timeout(1, 1, 1010), Verdict::BackOff);
    assert_eq!(check(&mut rig, 1900), Verdict::BackOff, "too early");
    assert_eq!(check(&mut rig, 2000), Verdict::Probe);
    // The path was heard of meanwhile.
    let mut rig = Rig::new(9);
    assert_eq!(rig.on_timeout(0, 1, 1000), Verdict::BackOff);
    assert_eq!(rig.on_timeout(1, 1, 1010), Verdict::BackOff);
    assert!(!rig.on_heard(1500));
    assert_eq!(check(&mut rig, 2000), Verdict::BackOff);
}

#[test]
fn rfc6298_5_5_without_a_slot_a_flow_backs_off_as_ever() {
    let mut nodes = [IDLE];
    let mut head = PathHead::EMPTY;
    let mut table = PathTable::new(&mut head, &mut [], [1, 2]);
    for consecutive in 1..8 {
        let now = at(1000 << consecutive);
        let verdict = table.on_timeout(&mut nodes, 0, &key(1), now, timeout(consecutive));
        assert_eq!(verdict, Verdict::BackOff);
    }
    assert!(!table.on_heard(&key(1), at(5000)));
    assert_eq!(table.head.next_deadline(table.slots, at(5000)), None);
}

#[test]
fn probes_go_round_and_are_an_eighth_of_a_second_apart() {
    let mut rig = Rig::dead(3);
    assert_eq!(rig.deadline(3000), Some(3125));
    assert_eq!(rig.tasks(3124), []);
    let mut turns = Vec::new();
    for eighth in 1..=6 {
        turns.extend(rig.tasks(3000 + 125 * eighth));
    }
    let turns: Vec<_> = turns
        .into_iter()
        .inspect(|(_, kind)| assert_eq!(*kind, TaskKind::Probe))
        .map(|(flow, _)| flow)
        .collect();
    assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
    // A late poll makes up for nothing.
    assert_eq!(rig.tasks(9000).len(), 1);
    assert_eq!(rig.deadline(9000), Some(9125));
}

#[test]
fn a_timer_that_expires_while_the_flow_waits_changes_nothing() {
    let mut rig = Rig::dead(2);
    assert_eq!(rig.on_timeout(1, 2, 3100), Verdict::Wait);
    assert_eq!(rig.on_timeout(1, 3, 3100), Verdict::Wait);
    assert_eq!(rig.tasks(3125), [(0, TaskKind::Probe)]);
    assert_eq!(rig.tasks(3500), [(1, TaskKind::Probe)]);
    assert_eq!(rig.tasks(3750), [(0, TaskKind::Probe)]);
}

#[test]
fn the_first_answer_lets_everyone_go_at_a_pace() {
    let mut rig = Rig::dead(5);
    assert!(rig.on_heard(4000));
    assert!(!rig.on_heard(4001), "once");
    let mut woken = Vec::new();
    for millis in 4000..=4200 {
        let tasks = rig.tasks(millis);
        assert!(tasks.len() <= 1, "{tasks:?} at {millis}");
        for (flow, kind) in tasks {
            assert_eq!(kind, TaskKind::Wake);
            woken.push((flow, millis));
        }
    }
    assert_eq!(
        woken,
        [(0, 4000), (1, 4040), (2, 4080), (3, 4120), (4, 4160)]
    );
    assert_eq!(rig.deadline(4200), None);
    assert!(rig.nodes.iter().all(|node| node.0.ring().is_none()));
}

#[test]
fn a_path_that_is_known_to_be_fast_lets_them_go_faster() {
    let mut rig = Rig::dead(5);
    let lesson = crate::path::Lesson {
        rate: Some(1_500_000),
        ..Default::default()
    };
    rig.table().0.learn(&key(1), at(3500), &lesson);
    assert!(rig.on_heard(4000));
    let woken: usize = (4000..=4004).map(|millis| rig.tasks(millis).len()).sum();
    assert_eq!(woken, 5, "a packet of 1500 octets each millisecond");
}

#[test]
fn a_late_poll_does_not_delay_the_last() {
    let mut rig = Rig::dead(1000);
    assert!(rig.on_heard(4000));
    let mut woken = 0;
    for millis in (4000..=4200).step_by(20) {
        woken += rig.tasks(millis).len();
        let due = (millis - 4000) * 5 + 1;
        assert_eq!(woken, usize::try_from(due.min(1000)).unwrap());
    }
}

#[test]
fn while_flows_are_let_go_a_time_out_is_a_flow_s_own() {
    let mut rig = Rig::dead(3);
    rig.nodes.push(IDLE);
    assert!(rig.on_heard(4000));
    assert_eq!(rig.on_timeout(3, 2, 4010), Verdict::BackOff);
    assert_eq!(rig.hold(3, 4010), Verdict::BackOff);
    assert!(!rig.head.any_in_doubt());
}

#[test]
fn a_flow_that_ends_leaves_the_ring() {
    let mut rig = Rig::dead(3);
    assert!(rig.withdraw(1, 3100) && !rig.withdraw(1, 3100));
    assert_eq!(rig.tasks(3250), [(0, TaskKind::Probe)]);
    assert_eq!(rig.tasks(3500), [(2, TaskKind::Probe)]);
    assert!(rig.withdraw(0, 3600) && rig.withdraw(2, 3600));
    assert_eq!(rig.tasks(3750), []);
    assert_eq!(rig.deadline(3750), None);
    assert!(rig.on_heard(4000), "it was dead still");
    assert_eq!(rig.tasks(4000), []);
}

#[test]
fn a_flow_that_comes_back_waits_again() {
    let mut rig = Rig::dead(2);
    assert!(rig.withdraw(0, 3100));
    // It may be ready meanwhile.
    let mut ready = ReadyList::EMPTY;
    assert!(ready.push_back(&mut rig.nodes, 0));
    assert_eq!(rig.hold(0, 3110), Verdict::BackOff, "it is in another list");
    assert_eq!(ready.pop_front(&mut rig.nodes), Some(0));
    assert_eq!(rig.hold(0, 3120), Verdict::Wait);
    assert_eq!(rig.hold(0, 3124), Verdict::Wait);
    assert_eq!(rig.tasks(3125), [(1, TaskKind::Probe)]);
    assert_eq!(rig.tasks(3250), [(0, TaskKind::Probe)]);
}

#[test]
fn coming_and_going_neither_starves_the_probes_nor_adds_to_them() {
    let mut rig = Rig::dead(1);
    let mut probes = vec![3000];
    for millis in 3001..9000 {
        if millis % 7 == 0 {
            assert!(rig.withdraw(0, millis));
            if rig.hold(0, millis) == Verdict::Probe {
                probes.push(millis);
            }
        }
        probes.extend(rig.tasks(millis).iter().map(|_| millis));
    }
    assert!(
        probes.windows(2).all(|pair| pair[1] - pair[0] >= 125),
        "{probes:?}"
    );
    assert!(
        probes.windows(2).all(|pair| pair[1] - pair[0] <= 135),
        "{probes:?}"
    );
}

#[test]
fn a_doubt_that_nobody_renews_is_forgotten() {
    let mut rig = Rig::new(1);
    assert_eq!(rig.on_timeout(0, 1, 1000), Verdict::BackOff);
    assert_eq!(rig.tasks(120_999), []);
    assert!(rig.head.any_in_doubt());
    assert_eq!(rig.tasks(121_000), []);
    assert!(!rig.head.any_in_doubt());
    // So is an outage that no flow waits for.
    let mut rig = Rig::dead(1);
    assert!(rig.withdraw(0, 4000));
    assert_eq!(rig.tasks(124_000), []);
    assert!(!rig.head.any_in_doubt());
    assert!(!rig.on_heard(124_001));
}

#[test]
fn paths_do_not_disturb_each_other() {
    let mut rig = Rig::dead(2);
    rig.nodes.extend([IDLE; 2]);
    let (mut table, nodes) = rig.table();
    let inner = PathKey::new([192, 0, 1, 1].into(), Port::Inner, 0);
    for (consecutive, millis) in [(1, 1100), (2, 3100)] {
        let _ = table.on_timeout(nodes, 2, &inner, at(millis), timeout(consecutive));
    }
    let mut budget = 100;
    let first = table.next_task(nodes, at(3350), &mut budget).unwrap();
    let second = table.next_task(nodes, at(3350), &mut budget).unwrap();
    assert_eq!((first.flow, first.port), (0, Port::Outer));
    assert_eq!((second.flow, second.port), (2, Port::Inner));
    assert_eq!(table.next_task(nodes, at(3350), &mut budget), None);
    assert!(table.on_heard(&inner, at(3400)));
    let woken = table.next_task(nodes, at(3400), &mut budget).unwrap();
    assert_eq!((woken.flow, woken.kind), (2, TaskKind::Wake));
    assert_eq!(table.next_task(nodes, at(3400), &mut budget), None);
    let verdict = table.on_timeout(nodes, 3, &key(1), at(3400), timeout(1));
    assert_eq!(verdict, Verdict::Wait, "the other is dead still");
}

#[test]
fn a_flow_waits_for_one_of_two_dead_paths() {
    let mut rig = Rig::dead(2);
    let (mut table, nodes) = rig.table();
    let inner = PathKey::new([192, 0, 1, 1].into(), Port::Inner, 0);
    for (consecutive, millis) in [(1, 1100), (2, 3100)] {
        let verdict = table.on_timeout(nodes, 1, &inner, at(millis), timeout(consecutive));
        assert_eq!(verdict, Verdict::BackOff, "it backs off toward the other");
    }
}

#[test]
fn without_budget_nothing_is_lost() {
    let mut rig = Rig::dead(4);
    assert!(rig.on_heard(4000));
    let (mut table, nodes) = rig.table();
    let mut woken = Vec::new();
    for _ in 0..4 {
        let mut budget = 1;
        woken.extend(
            table
                .next_task(nodes, at(4200), &mut budget)
                .map(|task| task.flow),
        );
        assert_eq!(
            table.next_task(nodes, at(4200), &mut budget),
            None,
            "no budget"
        );
    }
    assert_eq!(woken, [0, 1, 2, 3]);
}

/// Two flows have time-outs, 100 s apart, and the first has its second one much later.
#[test]
fn a_doubt_of_two_minutes_ago_is_other_trouble() {
    let early = Timeout {
        consecutive: 2,
        waited_us: SECOND,
        early: true,
    };
    for (millis, verdict) in [
        (102_000, Verdict::Probe),
        (121_000, Verdict::Probe),
        (121_001, Verdict::BackOff),
        (122_000, Verdict::BackOff),
    ] {
        let mut rig = Rig::new(2);
        assert_eq!(rig.on_timeout(0, 1, 1000), Verdict::BackOff);
        assert_eq!(rig.on_timeout(1, 1, 101_000), Verdict::BackOff);
        let (mut table, nodes) = rig.table();
        let answer = table.on_timeout(nodes, 0, &key(1), at(millis), early);
        assert_eq!(answer, verdict, "at {millis} ms");
    }
}

/// The flows of before will say for themselves what they wait for.
#[test]
fn h13_1_a_table_that_is_taken_over_has_no_flows_but_knows_what_was_dead() {
    let mut rig = Rig::dead(3);
    assert!(rig.deadline(3000).is_some());
    rig.table().0.rebuild(at(4000));
    rig.nodes = vec![IDLE; 3];
    assert_eq!(rig.deadline(4000), None, "nobody waits");
    assert!(rig.tasks(5000).is_empty());
    for slot in &rig.slots {
        assert!(slot.ring.is_empty() && slot.waiting == 0);
    }
    assert!(rig.head.any_in_doubt());
    assert_eq!(
        rig.on_timeout(2, 1, 5000),
        Verdict::Probe,
        "it is dead still"
    );
}
