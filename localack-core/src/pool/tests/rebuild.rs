//! Taking a pool over whose owner has died (rule H13.1): what is whole goes on, what is not is told, and
//! nothing is in use that nobody claims.

use super::*;
use crate::pool::block::Link;
use crate::pool::rebuild::{Owner, Unsound};

const AT: SeqNum = SeqNum::new(u32::MAX - 500);
const BLOCK: u32 = 64;

/// A pool in which two streams hold ten blocks each, one of them with a hole and SACK marks, and whose
/// other blocks were used and given back.
fn estate() -> (Memory, [Chain; 2]) {
    let mut memory = Memory::new(40, BLOCK as usize);
    let mut chains = [memory.chain(AT), memory.chain(AT)];
    let mut gone = memory.chain(AT);
    let mut pool = memory.pool();
    for piece in 0..10 {
        for chain in &mut chains {
            let _ = append(&mut pool, chain, &octets(piece * BLOCK, BLOCK));
        }
        let _ = append(&mut pool, &mut gone, &octets(0, BLOCK));
    }
    let end = chains[0].end();
    let _ = put(
        &mut pool,
        &mut chains[0],
        end.advance(10),
        &octets(10 * BLOCK + 10, 20),
    );
    let _ = sack(
        &mut pool,
        &mut chains[0],
        range(AT.advance(100), 200),
        NOWHERE,
        ALL,
    );
    let end = gone.end();
    let _ = release(&mut pool, &mut gone, end, NOWHERE, ALL);
    (memory, chains)
}

/// Rebuilds the pool for the chains; what became of each claim.
fn rebuild(memory: &mut Memory, chains: &mut [Chain]) -> Vec<Result<(), Unsound>> {
    let mut pool = memory.pool();
    pool.begin_rebuild();
    let claims = (0..).zip(&mut *chains);
    let fates: Vec<_> = claims
        .map(|(number, chain)| pool.claim(chain, Owner::new(number)))
        .collect();
    pool.free_unclaimed();
    for (chain, fate) in chains.iter_mut().zip(&fates) {
        if fate.is_ok() {
            pool.relink(chain);
        }
    }
    fates
}

/// The stream holds what it was given, without a hole.
fn holds(memory: &mut Memory, chain: &Chain, count: u32) {
    let held = bytes_of(&memory.pool(), chain, chain.held());
    assert_eq!(held, octets(0, count));
}

/// It still does, and takes what comes next.
fn is_whole(memory: &mut Memory, chain: &mut Chain) {
    let held = chain.held().octets();
    holds(memory, chain, held);
    let _ = append(&mut memory.pool(), chain, &octets(held, 3 * BLOCK));
    let more = chain.held().octets();
    assert!(more >= held + 3 * BLOCK, "{held} and {more}");
    holds(memory, chain, more);
}

#[test]
fn what_was_left_in_order_goes_on_as_it_was() {
    let (mut memory, mut chains) = estate();
    let before = chains.map(|chain| (chain.ahead, chain.sacked, chain.count));
    let used = memory.head.used();
    assert_eq!(rebuild(&mut memory, &mut chains), [Ok(()), Ok(())]);
    let after = chains.map(|chain| (chain.ahead, chain.sacked, chain.count));
    assert_eq!((after, memory.head.used()), (before, used));
    assert_eq!(before[0], (20, 200, 11), "there was something to count");
    // What fills the hole meets what is held behind it.
    let mut pool = memory.pool();
    let end = chains[0].end();
    let _ = put(&mut pool, &mut chains[0], end, &octets(10 * BLOCK, 10));
    assert_eq!(chains[0].held().octets(), 10 * BLOCK + 30);
    is_whole(&mut memory, &mut chains[1]);
    // All other blocks can be had.
    let free = 40 - memory.head.used();
    let mut new = memory.chain(AT);
    let _ = append(&mut memory.pool(), &mut new, &octets(0, free * BLOCK));
    holds(&mut memory, &new, free * BLOCK);
}

#[test]
fn who_claims_what_another_has_is_told_whose_it_is() {
    let (mut memory, mut chains) = estate();
    // Behind its first block, the second stream leads into the other one.
    let second = chains[1].head.index().unwrap();
    memory.blocks[second].next = chains[0].head;
    let fates = rebuild(&mut memory, &mut chains);
    assert_eq!(fates, [Ok(()), Err(Unsound::Shared(Owner::new(0)))]);
    assert_eq!(Owner::new(0).number(), 0);
    // Its own are free, that which it claimed before this was found out too.
    assert_eq!(memory.head.used(), chains[0].count);
    is_whole(&mut memory, &mut chains[0].clone());

    // Neither can be relied on: both give up what they claimed.
    let (mut memory, mut chains) = estate();
    memory.blocks[second].next = chains[0].head;
    let mut pool = memory.pool();
    pool.begin_rebuild();
    assert_eq!(pool.claim(&mut chains[0], Owner::new(0)), Ok(()));
    assert!(pool.claim(&mut chains[1], Owner::new(1)).is_err());
    let end = chains[0].end();
    pool.disclaim(&mut chains[0], Owner::new(0));
    pool.free_unclaimed();
    assert_eq!(memory.head.used(), 0);
    assert_eq!((chains[0].end(), chains[0].has_quota()), (end, false));
}

#[test]
fn a_stream_that_goes_round_claims_nothing() {
    let (mut memory, mut chains) = estate();
    let first = chains[0].head.index().unwrap();
    memory.blocks[first].next = chains[0].head;
    let fates = rebuild(&mut memory, &mut chains);
    assert_eq!(fates, [Err(Unsound::Shared(Owner::new(0))), Ok(())]);
    assert_eq!(memory.head.used(), chains[1].count);
    is_whole(&mut memory, &mut chains[1]);
}

#[test]
fn a_stream_that_does_not_agree_with_itself_or_its_blocks_is_damaged() {
    type Harm = fn(&mut Memory, &mut Chain);
    let harms: [(&str, Harm); 9] = [
        ("ends elsewhere", |_, chain| chain.tail = chain.head),
        ("begins nowhere", |_, chain| chain.head = Link::NONE),
        ("begins outside", |_, chain| chain.head = Link::to(99)),
        ("is torn", |memory, chain| {
            memory.blocks[chain.head.index().unwrap()].next = Link::NONE;
        }),
        ("has more blocks than there were", |_, chain| {
            chain.count = 41;
        }),
        ("holds more than its blocks", |_, chain| {
            chain.end = chain.end.advance(3 * BLOCK);
        }),
        ("ends before it begins", |_, chain| {
            chain.end = chain.una.retreat(1);
        }),
        ("released what it keeps", |_, chain| {
            chain.una = chain.base.advance(BLOCK);
        }),
        ("is owed more than it may have", |_, chain| {
            (chain.reserved, chain.limit) = (30, 20);
        }),
    ];
    for (what, harm) in harms {
        let (mut memory, mut chains) = estate();
        let [mut first, second] = chains;
        harm(&mut memory, &mut first);
        chains = [first, second];
        let fates = rebuild(&mut memory, &mut chains);
        assert_eq!(fates, [Err(Unsound::Damaged), Ok(())], "{what}");
        assert_eq!(memory.head.used(), chains[1].count, "{what}");
        is_whole(&mut memory, &mut chains[1]);
    }
}

#[test]
fn whose_block_it_is_is_told_of_any_owner() {
    let (mut memory, [mut first, mut copy]) = estate();
    copy.clone_from(&first);
    let mut pool = memory.pool();
    pool.begin_rebuild();
    assert_eq!(pool.claim(&mut first, Owner::new(5)), Ok(()));
    let claim = pool.claim(&mut copy, Owner::new(6));
    assert_eq!(claim, Err(Unsound::Shared(Owner::new(5))));
    assert_eq!(Owner::new(5).number(), 5);
}

/// A pushed segment may end inside a block or with it, and others may follow.
#[test]
fn h5_7_what_was_pushed_is_still_pushed_after_a_rebuild() {
    for octets_pushed in [BLOCK - 10, BLOCK, BLOCK + 1, 2 * BLOCK] {
        let mut memory = Memory::new(8, BLOCK as usize);
        let mut chain = memory.chain(AT);
        let mut pool = memory.pool();
        let edge = AT.advance(1 << 20);
        let bytes = octets(0, octets_pushed);
        let _ = pool.store(&mut chain, AT, &bytes, edge, true).commit();
        let _ = append(&mut pool, &mut chain, &octets(octets_pushed, 100));
        let mut chains = [chain];
        assert_eq!(rebuild(&mut memory, &mut chains), [Ok(())]);
        let [chain] = chains;
        let pool = memory.pool();
        assert!(pool.pushed(&chain, range(AT, octets_pushed)));
        assert!(!pool.pushed(&chain, range(AT, octets_pushed - 1)));
        let rest = SeqRange::new(AT.advance(octets_pushed), chain.end());
        assert!(!pool.pushed(&chain, rest));
    }
}
