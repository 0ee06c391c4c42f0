//! What holds whatever happens, and whatever the memory says.

use super::*;
use crate::path::slot::Health;
use proptest::prelude::*;
use std::collections::HashMap;

const FLOWS: u32 = 9;
const PATHS: u8 = 3;

/// The path of a flow.
fn path_of(flow: u32) -> PathKey {
    key((flow % u32::from(PATHS)) as u8)
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Timeout(u32, u8),
    Heard(u8),
    Withdraw(u32),
    Hold(u32),
    Wait(u32),
    Tasks,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..FLOWS, 1u8..4).prop_map(|(flow, consecutive)| Step::Timeout(flow, consecutive)),
        1 => (0..PATHS).prop_map(Step::Heard),
        1 => (0..FLOWS + 1).prop_map(Step::Withdraw),
        1 => (0..FLOWS + 1).prop_map(Step::Hold),
        3 => (0..400_000u32).prop_map(Step::Wait),
        1 => (0..130_000_000u32).prop_map(Step::Wait),
        4 => Just(Step::Tasks),
    ]
}

/// What must hold of a table at any time.
fn check(rig: &mut Rig, now: Instant) -> Result<(), TestCaseError> {
    let mut in_doubt = 0;
    for (index, slot) in (0..).zip(&rig.slots) {
        let waits = |node: &&Node| node.0.ring() == Some(RingId::of_path(index));
        let waiting = rig.nodes.iter().filter(waits).count();
        prop_assert_eq!(slot.waiting as usize, waiting);
        prop_assert_eq!(slot.ring.is_empty(), waiting == 0);
        let queue = slot.place.ring();
        let expected = match (slot.health(), waiting) {
            (Health::Live, 0) => None,
            (Health::Doubt, 0) | (Health::Dead, 0) => Some(Queue::Doubts),
            (Health::Dead, _) => Some(Queue::Probing),
            (Health::Waking, 1..) => Some(Queue::Waking),
            (health, waiting) => {
                return Err(TestCaseError::fail(std::format!(
                    "{health:?} with {waiting}"
                )));
            }
        };
        prop_assert_eq!(queue, expected.map(Queue::id));
        if matches!(slot.health(), Health::Doubt | Health::Dead) {
            in_doubt += 1;
            prop_assert!(rig.head.may_concern(&slot.key));
        }
        let waits_us = match slot.health() {
            Health::Dead if waiting > 0 => Some(PROBE_INTERVAL_US),
            Health::Waking => Some(WAKE_TICK_US),
            Health::Live | Health::Doubt | Health::Dead => None,
        };
        if let Some(waits_us) = waits_us {
            let latest = now.after(Duration::from_micros(waits_us.into()));
            let deadline = slot.acts_at.resolve(now);
            prop_assert!(deadline.is_some_and(|at| at <= latest));
        }
    }
    prop_assert_eq!(rig.head.any_in_doubt(), in_doubt > 0);
    let waits = rig.nodes.iter().any(|node| node.0.ring().is_some());
    let deadline = rig.next_deadline(now);
    prop_assert_eq!(deadline.is_some(), waits);
    let latest = now.after(Duration::from_micros(PROBE_INTERVAL_US.into()));
    prop_assert!(deadline.is_none_or(|at| at <= latest));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn who_waits_is_asked_or_let_go_and_probes_are_few(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut rig = Rig::new(FLOWS as usize);
        let mut now = at(1000);
        let mut probed: HashMap<u8, Instant> = HashMap::new();
        let mut note_probe = |flow: u32, now: Instant| {
            let path = (flow % u32::from(PATHS)) as u8;
            let before = probed.insert(path, now);
            before.is_none_or(|before| now.since(before) >= Duration::from_millis(125))
        };
        for step in steps {
            let (mut table, nodes) = rig.table();
            match step {
                Step::Timeout(flow, consecutive) => {
                    let verdict = table.on_timeout(nodes, flow, &path_of(flow), now, timeout(consecutive));
                    let waits = waits_in(nodes, flow).is_some();
                    match verdict {
                        Verdict::Probe => prop_assert!(waits && note_probe(flow, now)),
                        Verdict::Wait => prop_assert!(waits),
                        Verdict::BackOff => {
                            let health = table.find(&path_of(flow)).and_then(|index| table.slot(index));
                            prop_assert!(health.is_some_and(|slot| slot.health() != Health::Dead));
                        }
                    }
                }
                Step::Heard(path) => {
                    let index = table.find(&key(path));
                    let was = index.and_then(|index| table.slot(index)).map(|slot| slot.health());
                    prop_assert_eq!(table.on_heard(&key(path), now), was == Some(Health::Dead));
                }
                Step::Withdraw(flow) => {
                    let waits = waits_in(nodes, flow).is_some();
                    prop_assert_eq!(table.withdraw(nodes, flow, now), waits);
                    prop_assert!(waits_in(nodes, flow).is_none());
                }
                Step::Hold(flow) => {
                    if table.hold(nodes, flow, &path_of(flow), now) == Verdict::Probe {
                        prop_assert!(note_probe(flow, now));
                    }
                }
                Step::Wait(micros) => now = now.after(Duration::from_micros(micros.into())),
                Step::Tasks => {
                    for (flow, kind) in rig.tasks_at(now) {
                        let waits = waits_in(&rig.nodes, flow).is_some();
                        match kind {
                            TaskKind::Probe => prop_assert!(waits && note_probe(flow, now)),
                            TaskKind::Wake => prop_assert!(!waits),
                        }
                    }
                }
            }
            check(&mut rig, now)?;
        }
        // Once something is heard from everywhere, everybody goes within a fifth of a second.
        for path in 0..PATHS {
            rig.table().0.on_heard(&key(path), now);
        }
        let spread = Duration::from_micros(WAKE_SPREAD_US.into());
        rig.tasks_at(now.after(spread));
        prop_assert!(rig.nodes.iter().all(|node| node.0.ring().is_none()));
        prop_assert!(!rig.head.any_in_doubt());
    }

    #[test]
    fn damage_neither_panics_nor_loops(
        octets in prop::collection::vec(0u32..7, 8 * 12),
        stamps in prop::collection::vec(any::<u32>(), 8),
        places in prop::collection::vec((0u32..9, 0u32..9, prop_oneof![0u32..4, 18u32..29]), 8 + 6),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut rig = Rig::new(6);
        for path in 0..PATHS {
            rig.table().0.find_or_insert(&key(path), at(1));
        }
        let words = octets.chunks_exact(12).zip(&stamps).zip(&places);
        for (slot, ((words, &stamp), &(prev, next, list))) in rig.slots.iter_mut().zip(words) {
            slot.place = ReadyLink::damaged(prev, next, list);
            slot.ring = ReadyRing::damaged(words[0]);
            slot.waiting = words[1];
            slot.interval_us = words[2];
            slot.acts_at = Stamp::at(Instant::from_micros(stamp.into()));
            slot.turn_at = Stamp::at(Instant::from_micros(u64::from(stamp) * 3));
            slot.set_health([Health::Live, Health::Doubt, Health::Dead, Health::Waking][words[3] as usize % 4]);
        }
        for (node, &(prev, next, list)) in rig.nodes.iter_mut().zip(&places[8..]) {
            node.0 = ReadyLink::damaged(prev, next, list);
        }
        rig.head.waking = ReadyRing::damaged(octets[4]);
        rig.head.probing = ReadyRing::damaged(octets[5]);
        rig.head.doubts = ReadyRing::damaged(octets[6]);
        let mut now = at(1000);
        for step in steps {
            let (mut table, nodes) = rig.table();
            match step {
                Step::Timeout(flow, consecutive) => {
                    let _ = table.on_timeout(nodes, flow, &path_of(flow), now, timeout(consecutive));
                }
                Step::Heard(path) => {
                    table.on_heard(&key(path), now);
                }
                Step::Withdraw(flow) => {
                    table.withdraw(nodes, flow, now);
                    prop_assert!(waits_in(nodes, flow).and_then(RingId::path).is_none());
                }
                Step::Hold(flow) => {
                    let _ = table.hold(nodes, flow, &path_of(flow), now);
                }
                Step::Wait(micros) => now = now.after(Duration::from_micros(micros.into())),
                Step::Tasks => {
                    let mut budget = 1000;
                    while let Some(task) = table.next_task(nodes, now, &mut budget) {
                        prop_assert!((task.flow as usize) < nodes.len());
                    }
                    prop_assert!(budget > 0, "it went round and round");
                    let _ = table.head.next_deadline(table.slots, now);
                }
            }
        }
    }
}
