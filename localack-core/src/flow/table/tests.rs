#![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::super::key::FlowKey;
use super::*;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::vec;
use std::vec::Vec;

/// Steps that one operation may take: the run ahead and, to insert, the runs that would be joined.
const MOST_STEPS: usize = 3 * (MAX_RUN + 1);

impl FlowIndex<'_> {
    /// What `operation` answers and how many slots it looked at.
    fn counted<R>(&mut self, operation: impl FnOnce(&mut Self) -> R) -> (R, usize) {
        let before = self.steps.get();
        let answer = operation(self);
        (answer, self.steps.get() - before)
    }
}

#[test]
fn flows_that_share_a_hash_are_told_apart() {
    let mut slots = [IndexSlot::EMPTY; 16];
    let mut index = FlowIndex::new(&mut slots);
    index.insert(0xffff_ffff, 3).unwrap();
    index.insert(0xffff_ffff, 0).unwrap();
    assert_eq!(index.find(0xffff_ffff, |flow| flow == 0), Some(0));
    assert_eq!(index.find(0xffff_ffff, |_| true), Some(3));
    assert_eq!(
        index.find(0x0fff_ffff, |_| true),
        None,
        "same home, another hash"
    );
    assert!(index.remove(0xffff_ffff, 3));
    assert!(!index.remove(0xffff_ffff, 3));
    assert_eq!(index.find(0xffff_ffff, |_| true), Some(0));
}

#[test]
fn slices_without_room_are_full() {
    for length in [0, 1] {
        let mut slots = vec![IndexSlot::EMPTY; length];
        let mut index = FlowIndex::new(&mut slots);
        assert_eq!(index.insert(1, 0), Err(TableFull));
        assert_eq!(index.find(1, |_| true), None);
        assert!(!index.remove(1, 0));
    }
    let mut slots = [IndexSlot::EMPTY; 4];
    let mut index = FlowIndex::new(&mut slots);
    for flow in 0..3 {
        index.insert(flow, flow).unwrap();
    }
    assert_eq!(index.insert(3, 3), Err(TableFull), "one slot stays empty");
    assert_eq!(index.insert(3, u32::MAX), Err(TableFull), "not an index");
}

#[test]
fn an_adversary_with_one_hash_gets_one_run() {
    let mut slots = vec![IndexSlot::EMPTY; 4096];
    let mut index = FlowIndex::new(&mut slots);
    let accepted = (0..1000)
        .filter(|&flow| index.insert(7, flow).is_ok())
        .count();
    assert_eq!(accepted, MAX_RUN);
    for flow in 0..1000 {
        let (found, steps) = index.counted(|index| index.find(7, |other| other == flow));
        assert_eq!(found.is_some(), (flow as usize) < MAX_RUN);
        assert!(steps <= MOST_STEPS);
    }
    // Others are not harmed, next to it neither: their entry would lengthen the run.
    assert_eq!(index.insert(6, 2000), Err(TableFull));
    assert_eq!(index.insert(2000, 2000), Ok(()));
    for flow in 0..MAX_RUN as u32 {
        let (removed, steps) = index.counted(|index| index.remove(7, flow));
        assert!(removed && steps <= MOST_STEPS);
    }
    assert_eq!(index.insert(6, 2001), Ok(()));
}

#[test]
fn an_entry_that_would_join_two_runs_into_a_long_one_is_refused() {
    let mut slots = vec![IndexSlot::EMPTY; 1024];
    let mut index = FlowIndex::new(&mut slots);
    let half = MAX_RUN as u32 / 2;
    for hash in (100..100 + half).chain(101 + half..101 + 2 * half) {
        index.insert(hash, hash).unwrap();
    }
    assert_eq!(index.insert(100 + half, 1), Err(TableFull));
    assert!(index.remove(100, 100));
    assert_eq!(index.insert(100 + half, 1), Ok(()));
}

#[test]
fn a_flood_of_patterned_keys_meets_short_runs() {
    const FLOWS: u32 = 1 << 16;
    let mut slots = vec![IndexSlot::EMPTY; 2 * FLOWS as usize];
    let mut index = FlowIndex::new(&mut slots);
    let secret = [0x5eed, 0xfeed];
    // One attacker's counter through ports and low address bits.
    let hash = |n: u32| {
        let source = [10, 0, (n >> 24) as u8, (n >> 16) as u8].into();
        FlowKey::new(source, n as u16, [192, 0, 2, 1].into(), 443, 0).hash(secret)
    };
    let (mut worst, mut total) = (0, 0);
    for flow in 0..FLOWS {
        let (answer, steps) = index.counted(|index| index.insert(hash(flow), flow));
        assert_eq!(answer, Ok(()));
        worst = worst.max(steps);
    }
    for flow in 0..FLOWS {
        let (found, steps) = index.counted(|index| index.find(hash(flow), |other| other == flow));
        assert_eq!(found, Some(flow));
        total += steps;
    }
    assert!(worst <= MOST_STEPS, "{worst} steps");
    // Linear probing at half load needs 1.5 on average.
    assert!(
        total < 2 * FLOWS as usize,
        "{total} steps for {FLOWS} look-ups"
    );
}

/// Few homes, so that runs meet, wrap around the end and are split by removals.
fn hash() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..6, 60u32..64, 0u32..256]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_index_agrees_with_a_map(
        bits in 1u32..9,
        steps in prop::collection::vec((any::<bool>(), hash(), 0u32..200), 0..400),
    ) {
        let mut slots = vec![IndexSlot::EMPTY; 1 << bits];
        let mut index = FlowIndex::new(&mut slots);
        let mut model: HashMap<u32, u32> = HashMap::new();
        for (enter, hash, flow) in steps {
            let known = model.get(&flow).copied();
            if !enter || known.is_some() {
                let hash = known.unwrap_or(hash);
                let (removed, steps) = index.counted(|index| index.remove(hash, flow));
                prop_assert_eq!(removed, model.remove(&flow).is_some());
                prop_assert!(steps <= MOST_STEPS);
            } else {
                let (answer, steps) = index.counted(|index| index.insert(hash, flow));
                prop_assert!(steps <= MOST_STEPS);
                if answer.is_ok() {
                    model.insert(flow, hash);
                } else {
                    // Only a long run is a reason, and a short table is one run at most.
                    prop_assert!(model.len() + 1 >= MAX_RUN.min(1 << bits));
                }
            }
        }
        for (&flow, &hash) in &model {
            prop_assert_eq!(index.find(hash, |other| other == flow), Some(flow));
        }
        for (flow, hash) in model {
            prop_assert!(index.remove(hash, flow));
        }
        prop_assert!(slots.iter().all(|slot| slot.is_empty()), "what remains has no owner");
    }

    #[test]
    fn damage_neither_panics_nor_loops(
        entries in prop::collection::vec((0u32..600, 0u32..9), 512),
        steps in prop::collection::vec((0u8..3, 0u32..600, 0u32..9), 0..20),
    ) {
        let mut slots: Vec<_> = entries.into_iter().map(|(hash, flow)| IndexSlot { hash, flow }).collect();
        let mut index = FlowIndex::new(&mut slots);
        for (step, hash, flow) in steps {
            let ((), steps) = index.counted(|index| match step {
                0 => drop(index.find(hash, |other| other == flow)),
                1 => drop(index.insert(hash, flow)),
                _ => drop(index.remove(hash, flow)),
            });
            prop_assert!(steps <= MOST_STEPS, "{steps} steps");
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Slot {
    next: u32,
    generation: u32,
}

const UNUSED: Slot = Slot {
    next: 0,
    generation: 0,
};

impl FreeNode for Slot {
    fn next_free(&self) -> u32 {
        self.next
    }

    fn set_next_free(&mut self, next: u32) {
        self.next = next;
    }

    fn generation(&self) -> u32 {
        self.generation
    }

    fn set_generation(&mut self, generation: u32) {
        self.generation = generation;
    }
}

/// Whether the flow of `id` still lives.
fn lives(nodes: &[Slot], id: FlowId) -> bool {
    live_id(nodes, id.slot) == Some(id)
}

#[test]
fn an_id_dies_with_its_flow() {
    let (mut list, mut nodes) = (SlotList::EMPTY, [UNUSED; 2]);
    let first = list.alloc(&mut nodes).unwrap();
    assert!(lives(&nodes, first));
    assert!(list.free(&mut nodes, first));
    assert!(!list.free(&mut nodes, first), "given back already");
    let second = list.alloc(&mut nodes).unwrap();
    assert_eq!((second.slot, list.live()), (0, 1));
    assert_ne!(first, second);
    assert!(!lives(&nodes, first));
    assert!(!list.free(&mut nodes, first));
    assert_eq!(live_id(&nodes, 0), Some(second));
    assert_eq!(live_id(&nodes, 1), None);
}

#[test]
fn starting_up_touches_no_slot() {
    let (mut list, mut nodes) = (SlotList::EMPTY, [UNUSED; 3]);
    list.alloc(&mut nodes).unwrap();
    assert_eq!(list.watermark(), 1);
    assert_eq!(nodes[1..], [UNUSED; 2]);
}

#[test]
fn slots_in_use_are_found_wherever_a_damaged_list_says_that_they_end() {
    let (mut list, mut nodes) = (SlotList::EMPTY, [UNUSED; 6]);
    for _ in 0..4 {
        list.alloc(&mut nodes).unwrap();
    }
    for damaged in [0, 2, 4, u32::MAX] {
        list.watermark = damaged;
        let found = SlotList::rebuilt(&nodes, &list);
        assert!(found.watermark() >= 4, "{damaged}: {}", found.watermark());
        assert!(found.watermark() as usize <= nodes.len());
    }
}

#[test]
fn a_damaged_free_list_loses_slots_but_gives_none_twice() {
    for next in [1, 2, 3, 77, u32::MAX] {
        let (mut list, mut nodes) = (SlotList::EMPTY, [UNUSED; 4]);
        let ids: Vec<_> = (0..2).map(|_| list.alloc(&mut nodes).unwrap()).collect();
        assert!(list.free(&mut nodes, ids[0]) && list.free(&mut nodes, ids[1]));
        nodes[1].next = next;
        let given: Vec<_> = (0..10).map(|_| list.alloc(&mut nodes)).collect();
        assert!(
            given[..3].iter().all(Option::is_some),
            "the fresh slots are still there: {given:?}"
        );
        let given: Vec<_> = given.into_iter().flatten().map(|id| id.slot).collect();
        let distinct: HashSet<_> = given.iter().collect();
        assert_eq!(distinct.len(), given.len(), "{given:?}");
    }
}

proptest! {
    #[test]
    fn slots_are_given_to_one_flow_at_a_time(steps in prop::collection::vec((any::<bool>(), 0usize..8), 0..200)) {
        let (mut list, mut nodes) = (SlotList::EMPTY, [UNUSED; 6]);
        let (mut live, mut dead) = (Vec::<FlowId>::new(), Vec::<FlowId>::new());
        for (take, which) in steps {
            if take {
                let id = list.alloc(&mut nodes);
                prop_assert_eq!(id.is_some(), live.len() < 6);
                if let Some(id) = id {
                    prop_assert!(live.iter().all(|other| other.slot != id.slot));
                    prop_assert!(!dead.contains(&id));
                    live.push(id);
                }
            } else if which < live.len() {
                let id = live.swap_remove(which);
                prop_assert!(list.free(&mut nodes, id));
                dead.push(id);
            }
            prop_assert_eq!(list.live() as usize, live.len());
            prop_assert!(live.iter().all(|&id| lives(&nodes, id)));
            prop_assert!(!dead.iter().any(|&id| lives(&nodes, id)));
        }
    }
}

#[test]
fn h13_1_a_list_made_anew_knows_what_is_in_use_and_gives_back_the_rest() {
    let (mut old, mut nodes) = (SlotList::EMPTY, [UNUSED; 4]);
    let ids: Vec<_> = (0..4).map(|_| old.alloc(&mut nodes).unwrap()).collect();
    assert!(old.free(&mut nodes, ids[2]));

    let mut list = SlotList::rebuilt(&nodes, &old);
    assert_eq!((list.live(), list.watermark()), (0, 4));
    // One is free, one in use, and of one in use nothing is kept.
    list.readmit(&mut nodes, ids[2].slot);
    list.readmit(&mut nodes, ids[0].slot);
    list.count_live();
    list.count_live();
    list.readmit(&mut nodes, 99);
    assert_eq!(list.live(), 2);
    assert!(!lives(&nodes, ids[0]) && lives(&nodes, ids[1]) && lives(&nodes, ids[3]));

    let given: Vec<_> = (0..3).map(|_| list.alloc(&mut nodes)).collect();
    let slots: Vec<_> = given.iter().map(|id| id.map(|id| id.slot)).collect();
    assert_eq!(slots, [Some(0), Some(2), None]);
    assert_eq!(list.live(), 4);
    assert!(!lives(&nodes, ids[0]), "its id is not given again");
}
