//! What was being done to a flow's chains can be put back with their heads, or nobody says that it can.

use super::super::{Owner, Undone};
use super::*;

/// A chain of four blocks that is being worked on from here on.
fn begun() -> (Memory, Chain) {
    let mut memory = Memory::new(16, 64);
    let mut chain = memory.chain(SeqNum::new(1000));
    let _ = append(&mut memory.pool(), &mut chain, &octets(0..256));
    memory.head.begin_undo();
    (memory, chain)
}

fn octets(range: core::ops::Range<u32>) -> Vec<u8> {
    range.map(|n| n as u8).collect()
}

/// Lets somebody else take the pool over who has the chain's old head; what it reads there.
fn put_back(mut memory: Memory, mut before: Chain) -> Option<Vec<u8>> {
    let mut pool = memory.pool();
    // Whoever is interrupted in this does it again.
    if [pool.undo(), pool.undo()] != [Undone::Chains; 2] {
        return None;
    }
    pool.begin_rebuild();
    assert_eq!(pool.claim(&mut before, Owner::new(0)), Ok(()));
    pool.free_unclaimed();
    pool.relink(&mut before);
    Some(
        pool.peek(&before, before.held())
            .flatten()
            .copied()
            .collect(),
    )
}

#[test]
fn where_a_flow_only_hears_something_nothing_is_put_back() {
    let (mut memory, _) = begun();
    memory.head.begin_hearing();
    assert_eq!(memory.pool().undo(), Undone::Nothing);
}

#[test]
fn what_is_stored_meanwhile_was_never_there() {
    let (mut memory, before) = begun();
    let mut chain = before;
    let _ = append(&mut memory.pool(), &mut chain, &octets(300..500));
    assert_eq!(put_back(memory, before).unwrap(), octets(0..256));
}

#[test]
fn what_is_released_meanwhile_is_there_again() {
    for una in [1064, 1100, 1192, 1256] {
        let (mut memory, before) = begun();
        let mut chain = before;
        let _ = append(&mut memory.pool(), &mut chain, &octets(300..310));
        release(
            &mut memory.pool(),
            &mut chain,
            SeqNum::new(una),
            NOWHERE,
            ALL,
        );
        assert_eq!(put_back(memory, before).unwrap(), octets(0..256), "{una}");
    }
}

#[test]
fn what_was_freed_and_used_again_does_not_come_back() {
    let (mut memory, before) = begun();
    let mut chain = before;
    release(
        &mut memory.pool(),
        &mut chain,
        SeqNum::new(1130),
        NOWHERE,
        ALL,
    );
    let _ = append(&mut memory.pool(), &mut chain, &octets(300..500));
    assert_eq!(put_back(memory, before), None);
}

#[test]
fn what_was_freed_twice_does_not_come_back() {
    let (mut memory, before) = begun();
    let mut chain = before;
    for una in [1070, 1130] {
        let una = SeqNum::new(una);
        let _ = release(&mut memory.pool(), &mut chain, una, NOWHERE, ALL);
    }
    assert_eq!(put_back(memory, before), None);
}

#[test]
fn nothing_is_put_back_that_was_done() {
    let (mut memory, before) = begun();
    memory.head.end_undo();
    assert_eq!(put_back(memory, before), None);
}
