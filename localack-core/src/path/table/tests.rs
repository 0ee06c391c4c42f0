#![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::*;
use crate::policy::Port;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::vec;
use std::vec::Vec;

const HASH_KEY: [u64; 2] = [3, 5];

fn key(network: u16) -> PathKey {
    let [high, low] = network.to_be_bytes();
    PathKey::new([10, high, low, 1].into(), Port::Outer, 0)
}

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}

#[test]
fn every_slot_belongs_to_a_bucket_of_at_most_seven() {
    for len in 0..40_usize {
        let (mut head, mut slots) = (PathHead::EMPTY, vec![PathSlot::EMPTY; len]);
        let table = PathTable::new(&mut head, &mut slots, HASH_KEY);
        let buckets: HashSet<_> = (0..2000)
            .map(|network| table.bucket(&key(network)))
            .collect();
        let covered: usize = buckets.iter().map(ExactSizeIterator::len).sum();
        assert_eq!(covered, len, "{buckets:?}");
        assert!(
            buckets.iter().all(|bucket| bucket.len() <= 7),
            "{buckets:?}"
        );
    }
}

#[test]
fn without_slots_nothing_is_remembered() {
    let mut head = PathHead::EMPTY;
    let mut table = PathTable::new(&mut head, &mut [], HASH_KEY);
    assert_eq!(table.find_or_insert(&key(1), at(1)), None);
    assert_eq!(table.find(&key(1)), None);
}

#[test]
fn one_slot_remembers_the_last_path() {
    let (mut head, mut slots) = (PathHead::EMPTY, [PathSlot::EMPTY]);
    let mut table = PathTable::new(&mut head, &mut slots, HASH_KEY);
    assert_eq!(table.find_or_insert(&key(1), at(1)), Some(0));
    assert_eq!(table.find(&key(1)), Some(0));
    assert_eq!(table.find_or_insert(&key(2), at(2)), Some(0));
    assert_eq!(table.find(&key(1)), None);
}

#[test]
fn the_least_recently_used_path_gives_way() {
    let (mut head, mut slots) = (PathHead::EMPTY, [PathSlot::EMPTY; 4]);
    let mut table = PathTable::new(&mut head, &mut slots, HASH_KEY);
    for network in 1..=4 {
        assert!(
            table
                .find_or_insert(&key(network), at(network.into()))
                .is_some()
        );
    }
    assert!(table.find_or_insert(&key(1), at(10)).is_some());
    assert!(table.find_or_insert(&key(5), at(11)).is_some());
    let known = (1..=5).filter(|&network| table.find(&key(network)).is_some());
    assert_eq!(known.collect::<Vec<_>>(), [1, 3, 4, 5]);
}

#[test]
fn a_path_in_an_outage_does_not_give_way() {
    let (mut head, mut slots) = (PathHead::EMPTY, [PathSlot::EMPTY; 4]);
    let mut table = PathTable::new(&mut head, &mut slots, HASH_KEY);
    for (network, health) in [
        (1, Health::Doubt),
        (2, Health::Dead),
        (3, Health::Waking),
        (4, Health::Doubt),
    ] {
        let index = table.find_or_insert(&key(network), at(1)).unwrap();
        table.set_health(index, health);
    }
    assert_eq!(table.find_or_insert(&key(5), at(100)), None);
    let third = table.find(&key(3)).unwrap();
    table.set_health(third, Health::Live);
    assert_eq!(table.find_or_insert(&key(5), at(100)), Some(third));
}

#[test]
fn packets_of_other_paths_are_mostly_spared_the_hash() {
    let (mut head, mut slots) = (PathHead::EMPTY, vec![PathSlot::EMPTY; 64]);
    assert!(!head.any_in_doubt() && !head.may_concern(&key(1)));
    let mut table = PathTable::new(&mut head, &mut slots, HASH_KEY);
    let index = table.find_or_insert(&key(1), at(1)).unwrap();
    table.set_health(index, Health::Doubt);
    table.set_health(index, Health::Dead);
    assert!(table.head.any_in_doubt() && table.head.may_concern(&key(1)));
    let others = (2..1000).filter(|&network| table.head.may_concern(&key(network)));
    assert!(others.count() < 1000 / 16);
    table.set_health(index, Health::Waking);
    assert!(!table.head.any_in_doubt() && !table.head.may_concern(&key(1)));
}

#[test]
fn memory_has_no_padding_and_costs_what_the_documents_say() {
    assert_eq!((size_of::<PathSlot>(), align_of::<PathSlot>()), (96, 4));
    assert_eq!((size_of::<PathHead>(), align_of::<PathHead>()), (80, 4));
}

proptest! {
    #[test]
    fn the_table_forgets_but_never_mixes_up(
        len in 0usize..24,
        steps in prop::collection::vec((0u16..40, 0u8..4), 0..200),
    ) {
        let (mut head, mut slots) = (PathHead::EMPTY, vec![PathSlot::EMPTY; len]);
        let mut table = PathTable::new(&mut head, &mut slots, HASH_KEY);
        // What was learned of each network, and whether it must be remembered.
        let mut model: HashMap<u16, (u32, bool)> = HashMap::new();
        for (step, (network, health)) in (1..).zip(steps) {
            let Some(index) = table.find_or_insert(&key(network), at(step.into())) else {
                let pinned = table.bucket(&key(network)).all(|index| {
                    table.slots[index].is_pinned()
                });
                prop_assert!(pinned, "step {} found no room", step);
                continue;
            };
            prop_assert!(table.bucket(&key(network)).contains(&(index as usize)));
            let learned = table.slots[index as usize].srtt_us;
            if learned == 0 {
                prop_assert!(!model.get(&network).is_some_and(|&(_, pinned)| pinned));
            } else {
                prop_assert_eq!(Some(learned), model.get(&network).map(|&(srtt, _)| srtt));
            }
            let health = [Health::Live, Health::Doubt, Health::Dead, Health::Waking][usize::from(health)];
            table.slots[index as usize].srtt_us = step;
            table.set_health(index, health);
            model.insert(network, (step, health != Health::Live));
            for (&network, &(srtt, pinned)) in &model {
                let found = table.find(&key(network)).map(|index| table.slots[index as usize].srtt_us);
                prop_assert!(found == Some(srtt) || (found.is_none() && !pinned));
            }
            let in_doubt = table.slots.iter().filter(|slot| {
                matches!(slot.health(), Health::Doubt | Health::Dead)
            });
            prop_assert_eq!(table.head.in_doubt as usize, in_doubt.count());
        }
    }
}

/// Taken over with another hash key, a path may lie where nobody looks for it.
#[test]
fn h13_1_a_path_in_a_place_where_it_is_not_found_is_forgotten() {
    let mut found = 0;
    for seed in 0..100 {
        let (mut head, mut slots) = (PathHead::EMPTY, [PathSlot::EMPTY; 8]);
        let mut table = PathTable::new(&mut head, &mut slots, HASH_KEY);
        let place = table.find_or_insert(&key(1), at(1)).unwrap();
        table.set_health(place, Health::Doubt);
        let bucket = table.bucket(&key(1));
        let mut table = PathTable::new(&mut head, &mut slots, [seed, 5]);
        let is_found = table.bucket(&key(1)) == bucket;
        table.rebuild(at(2));
        assert_eq!(table.find(&key(1)), Some(place).filter(|_| is_found));
        let in_use = table.slots.iter().filter(|slot| !slot.key.is_none());
        assert_eq!(in_use.count(), usize::from(is_found));
        assert_eq!(table.head.any_in_doubt(), is_found);
        found += u32::from(is_found);
    }
    assert!((1..100).contains(&found), "{found} of 100 keys");
}
