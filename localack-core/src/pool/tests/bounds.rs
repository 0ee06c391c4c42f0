//! What things cost: octets of store per octet held, and steps per call however large the chain.

use super::super::report::Tally;
use super::super::{Expiry, Run};
use super::*;
use crate::recovery::delivery::Sent;
use crate::time::{Instant, Stamp};

const ISN: SeqNum = SeqNum::new(u32::MAX - 12_345);
/// The most that a direction holds in custody in these tests.
const LARGE: u32 = 64 << 20;
const SIZE: u32 = 512;
/// Pages per call, as the engine asks for.
const PAGES: u32 = 64;
/// Steps to find a page: three skip levels of at most 15 each, and the top level.
const LOOKUP: u32 = 45 + LARGE / SIZE / 4096;

/// A pool of 64 MiB with one chain that fills it.
fn full() -> (Memory, Chain) {
    let mut memory = Memory::new((LARGE / SIZE) as usize, SIZE as usize);
    let mut chain = memory.chain(ISN);
    let segment = vec![0x5a; 60_000];
    let mut pool = memory.pool();
    while !append(&mut pool, &mut chain, &segment)
        .advanced()
        .is_empty()
    {}
    assert_eq!(chain.held().octets(), LARGE);
    (memory, chain)
}

fn steps(pool: &Pool<'_>) -> u32 {
    pool.steps.replace(0)
}

#[test]
fn full_size_segments_fill_their_blocks() {
    let mut memory = Memory::new(1000, 1536);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    for _ in 0..900 {
        assert_eq!(
            append(&mut pool, &mut chain, &[1; 1448])
                .advanced()
                .octets(),
            1448
        );
    }
    let store = chain.blocks() * 1536;
    assert!(chain.held().octets() * 100 >= store * 90);
    // In fact nothing is wasted but the rest of the last block.
    assert!(store - chain.held().octets() < 1536);
}

#[test]
fn one_octet_writes_take_one_octet_each() {
    // H12.4.
    let mut memory = Memory::new(64, 1536);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    for at in 0..5000 {
        let end = chain.end();
        let _ = pool
            .store(&mut chain, end, &[octet(at)], end.advance(10), true)
            .commit();
    }
    assert_eq!(chain.blocks(), 5000_u32.div_ceil(1536));
    assert_eq!(bytes_of(&pool, &chain, chain.held()), octets(0, 5000));
}

#[test]
fn any_octet_of_64_mib_is_found_in_bounded_steps() {
    let (mut memory, chain) = full();
    let pool = memory.pool();
    let mut worst = 0;
    for page in (0..LARGE / SIZE)
        .step_by(37)
        .chain([LARGE / SIZE - 1, LARGE / SIZE - 2])
    {
        let payload = pool.peek(&chain, range(ISN.advance(page * SIZE), 1));
        assert_eq!(payload.flatten().count(), 1);
        worst = worst.max(steps(&pool));
    }
    assert!(worst <= LOOKUP, "{worst} steps");
}

#[test]
fn reading_on_needs_no_search() {
    let (mut memory, mut chain) = full();
    let pool = memory.pool();
    let middle = LARGE / 2 + 77;
    let _ = pool.payload(&mut chain, range(ISN.advance(middle), 1448));
    steps(&pool);
    for segment in 1..1000 {
        let at = ISN.advance(middle + segment * 1448);
        assert_eq!(
            pool.payload(&mut chain, range(at, 1448)).flatten().count(),
            1448
        );
        let cost = steps(&pool);
        assert!(cost <= 1448_u32.div_ceil(SIZE), "{cost} steps");
    }
}

/// The note of a first transmission after so many microseconds.
fn sent(micros: u64) -> Sent {
    let mut sent = Sent::NEVER;
    sent.at = Stamp::at(Instant::from_micros(micros));
    sent
}

#[test]
fn stamping_what_was_read_needs_no_search_nor_does_reading_on() {
    let (mut memory, mut chain) = full();
    let mut pool = memory.pool();
    let middle = LARGE / 2 + 77;
    let _ = pool.payload(&mut chain, range(ISN.advance(middle), 1448));
    steps(&pool);
    for segment in 0..1000 {
        let segment_range = range(ISN.advance(middle + segment * 1448), 1448);
        let pages = (middle + segment * 1448) % SIZE + 1448;
        let pages = pages.div_ceil(SIZE);
        assert_eq!(
            pool.payload(&mut chain, segment_range).flatten().count(),
            1448
        );
        let cost = steps(&pool);
        assert!(cost <= 1, "{cost} steps to the next segment");
        pool.stamp(&mut chain, segment_range, sent(1));
        let cost = steps(&pool);
        assert!(cost < 2 * pages, "{cost} steps for {pages} pages");
    }
}

#[test]
fn a_segment_stored_sent_and_acknowledged_costs_the_same_at_any_length() {
    for custody in [1 << 20, LARGE - (1 << 20)] {
        let mut memory = Memory::new((LARGE / SIZE) as usize, SIZE as usize);
        let mut chain = memory.chain(ISN);
        let mut pool = memory.pool();
        while chain.held().octets() < custody {
            let _ = append(&mut pool, &mut chain, &[1; 1448]);
        }
        steps(&pool);
        let mut una = ISN;
        for segment in 0..500_u64 {
            let stored = append(&mut pool, &mut chain, &[1; 1448]).advanced();
            pool.stamp(&mut chain, stored, sent(segment + 1));
            una = una.advance(1448);
            let released = release(&mut pool, &mut chain, una, NOWHERE, PAGES);
            assert!(!released.more);
            let cost = steps(&pool);
            assert!(cost <= 64, "{cost} steps with {custody} octets");
        }
    }
}

#[test]
fn a_search_for_losses_is_bounded_and_jumps_over_what_is_sacked() {
    let (mut memory, mut chain) = full();
    let mut pool = memory.pool();
    let everything = chain.held();
    pool.stamp(&mut chain, everything, sent(1));
    steps(&pool);
    let expiry = Expiry {
        xmit: Stamp::at(Instant::from_micros(2)),
        end: chain.end(),
        reach_us: 10,
        now: Instant::from_micros(11),
    };
    let found = pool.expired(&chain, everything, &expiry, PAGES);
    assert_eq!((found.octets, found.more), (PAGES * SIZE, true));
    let cost = steps(&pool);
    assert!(cost <= 2 * PAGES + LOOKUP, "{cost} steps");
    let middle = range(ISN.advance(LARGE / 4), LARGE / 2);
    while sack(&mut pool, &mut chain, middle, NOWHERE, PAGES).more {}
    steps(&pool);
    let around = SeqRange::new(middle.start().retreat(SIZE), middle.end().advance(SIZE));
    let found = pool.expired(&chain, around, &expiry, PAGES);
    assert_eq!((found.octets, found.more), (2 * SIZE, false));
    let cost = steps(&pool);
    assert!(cost <= PAGES * LOOKUP, "{cost} steps");
}

#[test]
fn appending_costs_the_same_at_any_length() {
    let mut memory = Memory::new((LARGE / SIZE) as usize, SIZE as usize);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    for _ in 0..LARGE / SIZE {
        let _ = append(&mut pool, &mut chain, &[1; SIZE as usize]);
        let cost = steps(&pool);
        assert!(cost <= 16, "{cost} steps at {} blocks", chain.blocks());
    }
}

#[test]
fn a_hostile_sack_costs_a_bounded_walk_and_is_not_starved() {
    let (mut memory, mut chain) = full();
    let mut pool = memory.pool();
    let everything = SeqRange::new(ISN.advance(1), chain.end());
    let mut total = Tally::default();
    let mut calls = 0;
    loop {
        let marked = sack(
            &mut pool,
            &mut chain,
            everything,
            [everything, NOWHERE[0]],
            PAGES,
        );
        let cost = steps(&pool);
        assert!(cost <= PAGES * LOOKUP, "{cost} steps in one call");
        total.octets += marked.newly.octets;
        total.watched += marked.newly.watched;
        calls += 1;
        if !marked.more {
            break;
        }
        assert!(marked.newly.octets > 0, "every call gets on with it");
    }
    assert_eq!((total.octets, total.watched), (LARGE - 1, LARGE - 1));
    assert!(calls <= (LARGE / SIZE).div_ceil(PAGES - 8), "{calls} calls");
    // The same report again costs a few jumps, not a walk.
    let again = sack(
        &mut pool,
        &mut chain,
        everything,
        [everything, NOWHERE[0]],
        PAGES,
    );
    assert_eq!((again.newly.octets, again.more), (0, false));
    let cost = steps(&pool);
    assert!(cost <= 8 * LOOKUP, "{cost} steps for a repeated report");
    assert_eq!(
        pool.unsacked_run(&chain, chain.held(), PAGES),
        Run::Found(range(ISN, 1))
    );
    assert_eq!(pool.unsacked_run(&chain, everything, PAGES), Run::None);
    assert_eq!(pool.unsacked_octets(&chain, chain.held(), PAGES).octets, 1);
    let cost = steps(&pool);
    assert!(cost <= 24 * LOOKUP, "{cost} steps to search");
    // A time-out forgets 64 MiB of marks at once.
    chain.forget_sacked();
    assert_eq!(
        pool.unsacked_run(&chain, chain.held(), 1),
        Run::Found(chain.held())
    );
    assert!(steps(&pool) <= 1);
}

#[test]
fn growing_blocks_cost_what_is_new_in_them() {
    let (mut memory, mut chain) = full();
    let mut pool = memory.pool();
    // Four long blocks that a receiver repeats in turn while one of them grows.
    let block = |index: u32, octets: u32| range(ISN.advance(index * (LARGE / 4) + 100), octets);
    let length = LARGE / 8;
    for index in 0..4 {
        while sack(&mut pool, &mut chain, block(index, length), NOWHERE, PAGES).more {}
    }
    steps(&pool);
    for grown in 1..200 {
        let marked = sack(
            &mut pool,
            &mut chain,
            block(3, length + grown * 1448),
            NOWHERE,
            PAGES,
        );
        assert_eq!((marked.newly.octets, marked.more), (1448, false));
        for index in 0..3 {
            let marked = sack(&mut pool, &mut chain, block(index, length), NOWHERE, PAGES);
            assert_eq!((marked.newly.octets, marked.more), (0, false));
        }
        let cost = steps(&pool);
        assert!(cost <= 12 * LOOKUP, "{cost} steps for four blocks");
    }
}

#[test]
fn releasing_64_mib_at_once_is_bounded() {
    let (mut memory, mut chain) = full();
    let mut pool = memory.pool();
    let una = chain.end().retreat(1);
    let released = release(&mut pool, &mut chain, una, NOWHERE, PAGES);
    assert_eq!((released.blocks, released.more), (LARGE / SIZE - 1, false));
    assert!(steps(&pool) <= 4 * LOOKUP);
    let (mut memory, mut chain) = full();
    let mut pool = memory.pool();
    // Every other page is SACKed, so that nothing can be jumped over.
    for page in (0..2000).step_by(2) {
        sack(
            &mut pool,
            &mut chain,
            range(ISN.advance(page * SIZE), SIZE),
            NOWHERE,
            PAGES,
        );
    }
    steps(&pool);
    let mut sacked = 0;
    loop {
        let released = release(&mut pool, &mut chain, una, NOWHERE, PAGES);
        sacked += released.sacked.octets;
        let cost = steps(&pool);
        assert!(cost <= 8 * PAGES + 4 * LOOKUP, "{cost} steps in one call");
        if !released.more {
            break;
        }
        assert!(released.blocks >= PAGES - 1);
    }
    assert_eq!((sacked, chain.una, chain.blocks()), (1000 * SIZE, una, 1));
}

#[test]
fn a_segment_that_overlaps_everything_is_bounded() {
    let (mut memory, mut chain) = full();
    let mut pool = memory.pool();
    release(&mut pool, &mut chain, ISN.advance(2 * SIZE), NOWHERE, PAGES);
    steps(&pool);
    // A duplicate of old data that reaches past the in-order end.
    let at = chain.end().retreat(60_000);
    let stored = put(&mut pool, &mut chain, at, &vec![0x5a; 61_000]);
    assert_eq!(stored.advanced().octets(), 1000);
    let cost = steps(&pool);
    assert!(cost <= 100, "{cost} steps");
    // One that lies in a thousand small pieces held out of order.
    let mut memory = Memory::new(2000, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    for piece in 0..1000 {
        let held = put(
            &mut pool,
            &mut chain,
            ISN.advance(10 + piece * 60),
            &[2; 30],
        );
        assert_eq!(held.held().octets(), 30);
    }
    steps(&pool);
    let stored = put(&mut pool, &mut chain, ISN, &vec![2; 60_000]);
    assert_eq!(
        (stored.advanced().octets(), stored.differs(), stored.more()),
        (60_000, false, false)
    );
    let cost = steps(&pool);
    assert!(
        cost <= 8 * 60_000_u32.div_ceil(64) + 4 * LOOKUP,
        "{cost} steps"
    );
}

#[test]
fn a_chain_fits_a_cache_line() {
    assert!(size_of::<Chain>() <= 64);
}
