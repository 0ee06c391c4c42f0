//! One test per promise.

use super::super::store::MAX_GAP_PAGES;
use super::super::{NoRoom, Run};
use super::*;
use crate::wire::checksum::Sum;

const ISN: SeqNum = SeqNum::new(u32::MAX - 700);

fn sum_of(bytes: &[u8]) -> u16 {
    let mut sum = Sum::new();
    sum.add_bytes(bytes);
    sum.fold()
}

#[test]
fn a_segment_is_invisible_until_it_is_committed() {
    let mut memory = Memory::new(8, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let bytes = octets(0, 101);
    let staged = pool.store(&mut chain, ISN, &bytes, ISN.advance(1000), false);
    assert_eq!(staged.sum().fold(), sum_of(&bytes));
    drop(staged);
    // H5.4: a segment with a bad checksum changes no state.
    assert_eq!(
        (chain.end(), chain.blocks(), pool.free_blocks()),
        (ISN, 0, 8)
    );
    let stored = pool
        .store(&mut chain, ISN, &bytes, ISN.advance(1000), false)
        .commit();
    assert_eq!(stored.advanced(), range(ISN, 101));
    assert!(stored.held().is_empty() && !stored.more() && !stored.differs());
    assert_eq!(bytes_of(&pool, &chain, chain.held()), bytes);
    assert_eq!(pool.peek(&chain, chain.held()).sum().fold(), sum_of(&bytes));
}

#[test]
fn an_abandoned_segment_leaves_the_chain_as_it_was() {
    let mut memory = Memory::new(400, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    // Far enough for skip links of two levels to be cut and made anew.
    let _ = put(&mut pool, &mut chain, ISN, &octets(0, 300 * 64 - 5));
    for extra in [1, 64, 1000, 2000] {
        for gap in [0, 99] {
            let at = chain.end().advance(gap);
            drop(pool.store(
                &mut chain,
                at,
                &octets(7, extra),
                ISN.advance(1 << 20),
                true,
            ));
        }
        assert_eq!((chain.blocks(), chain.octets_ahead()), (300, 0));
    }
    let _ = append(&mut pool, &mut chain, &octets(300 * 64 - 5, 90 * 64));
    assert_eq!(
        bytes_of(&pool, &chain, chain.held()),
        octets(0, 390 * 64 - 5)
    );
    for page in 0..390 {
        let at = ISN.advance(page * 64);
        assert_eq!(bytes_of(&pool, &chain, range(at, 1)), [octet(page * 64)]);
    }
}

#[test]
fn the_sum_covers_what_is_not_stored() {
    let mut memory = Memory::new(8, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let _ = put(&mut pool, &mut chain, ISN, &octets(0, 33));
    let bytes = octets(0, 99);
    let staged = pool.store(&mut chain, ISN, &bytes, ISN.advance(77), true);
    assert_eq!(staged.sum().fold(), sum_of(&bytes));
    assert_eq!(staged.commit().advanced(), range(ISN.advance(33), 44));
    // The end of the segment was cut off, and its PSH with it.
    assert!(!pool.pushed(&chain, chain.held()));
    let old = pool.store(&mut chain, ISN, &bytes[..20], ISN.advance(77), true);
    assert_eq!(old.sum().fold(), sum_of(&bytes[..20]));
    assert!(old.commit().advanced().is_empty());
}

#[test]
fn the_first_copy_of_an_octet_wins() {
    // H5.2, invariant 12.
    let mut memory = Memory::new(8, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let held = put(&mut pool, &mut chain, ISN.advance(40), &octets(40, 60));
    assert_eq!(held.held(), range(ISN.advance(40), 60));
    assert!(held.advanced().is_empty());
    let other = vec![0x55; 120];
    let staged = pool.store(&mut chain, ISN, &other, ISN.advance(1000), false);
    assert_eq!(staged.sum().fold(), sum_of(&other));
    let stored = staged.commit();
    assert!(stored.differs());
    assert_eq!(stored.advanced(), range(ISN, 120));
    let mut expected = other.clone();
    expected[40..100].copy_from_slice(&octets(40, 60));
    assert_eq!(bytes_of(&pool, &chain, chain.held()), expected);
    assert!(!pool.matches(&chain, ISN, &other));
    assert!(pool.matches(
        &chain,
        ISN.retreat(10),
        &[&[9; 10][..], &expected, &[1; 5]].concat()
    ));
}

#[test]
fn a_filled_hole_brings_what_lies_behind_it() {
    let mut memory = Memory::new(200, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let _ = put(
        &mut pool,
        &mut chain,
        ISN.advance(10),
        &octets(10, 64 * 150),
    );
    assert_eq!(chain.octets_ahead(), 64 * 150);
    let stored = put(&mut pool, &mut chain, ISN, &octets(0, 10));
    assert!(
        stored.more(),
        "64 pages are the most that one commit goes over"
    );
    let mut end = stored.advanced().end();
    assert_eq!(end, ISN.advance(64 * 64));
    loop {
        let stored = pool.extend(&mut chain, 16);
        assert_eq!(stored.advanced().start(), end);
        end = stored.advanced().end();
        if !stored.more() {
            break;
        }
    }
    assert_eq!(end, ISN.advance(10 + 64 * 150));
    assert_eq!(chain.octets_ahead(), 0);
    assert_eq!(
        bytes_of(&pool, &chain, chain.held()),
        octets(0, 10 + 64 * 150)
    );
}

#[test]
fn out_of_order_octets_are_held_exactly_or_not_at_all() {
    // H4.2: what is reported as held stays held, so what cannot be noted is refused.
    let mut memory = Memory::new(8, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    for at in [10, 30] {
        assert_eq!(
            put(&mut pool, &mut chain, ISN.advance(at), &[1; 5])
                .held()
                .octets(),
            5
        );
    }
    assert!(
        put(&mut pool, &mut chain, ISN.advance(50), &[1; 5])
            .held()
            .is_empty()
    );
    assert_eq!(
        put(&mut pool, &mut chain, ISN.advance(15), &[1; 15]).held(),
        range(ISN.advance(15), 15)
    );
    assert_eq!(
        put(&mut pool, &mut chain, ISN.advance(50), &[1; 5])
            .held()
            .octets(),
        5
    );
    assert_eq!(chain.octets_ahead(), 30);
    // What was staged behind a refusal is given back.
    for at in [70, 90] {
        assert_eq!(
            put(&mut pool, &mut chain, ISN.advance(at), &[1; 5])
                .held()
                .octets(),
            5
        );
    }
    let stored = put(&mut pool, &mut chain, ISN.advance(55), &[1; 13]);
    assert_eq!(stored.held(), range(ISN.advance(55), 9));
    let refused = put(&mut pool, &mut chain, ISN.advance(100), &[1; 200]);
    assert!(refused.held().is_empty());
    assert_eq!((chain.blocks(), pool.free_blocks()), (2, 6));
}

#[test]
fn a_segment_too_far_ahead_is_not_stored() {
    let mut memory = Memory::new(200, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let far = ISN.advance((MAX_GAP_PAGES + 1) * 64);
    assert!(put(&mut pool, &mut chain, far, &[1; 5]).held().is_empty());
    assert_eq!(chain.blocks(), 0);
    assert_eq!(
        put(&mut pool, &mut chain, far.retreat(1), &[1; 5])
            .held()
            .octets(),
        5
    );
}

#[test]
fn a_pool_that_runs_out_stores_the_prefix_that_fits() {
    // H5.5, invariant 23.
    let mut memory = Memory::new(4, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    assert_eq!(pool.available(&chain), 256);
    assert_eq!(
        put(&mut pool, &mut chain, ISN, &octets(0, 100))
            .advanced()
            .octets(),
        100
    );
    assert_eq!(pool.available(&chain), 156);
    let bytes = octets(100, 400);
    let staged = pool.store(
        &mut chain,
        ISN.advance(100),
        &bytes,
        ISN.advance(1000),
        true,
    );
    assert_eq!(staged.sum().fold(), sum_of(&bytes));
    assert_eq!(staged.commit().advanced(), range(ISN.advance(100), 156));
    assert!(append(&mut pool, &mut chain, &[1]).advanced().is_empty());
    assert_eq!(pool.available(&chain), 0);
    let released = release(&mut pool, &mut chain, ISN.advance(64), NOWHERE, ALL);
    assert_eq!((released.blocks, pool.available(&chain)), (1, 64));
}

#[test]
fn all_that_is_free_and_promised_to_nobody_can_be_reserved() {
    // H12.4.
    let mut memory = Memory::new(10, 64);
    let quota = |reserved_blocks| Quota {
        reserved_blocks,
        limit_blocks: 10,
    };
    let mut first = memory.chain_with(ISN, quota(3));
    let mut pool = memory.pool();
    let mut second = empty(ISN);
    assert_eq!(pool.reserve(&mut second, quota(8)), Err(NoRoom));
    assert_eq!(pool.reserve(&mut second, quota(7)), Ok(()));
    assert_eq!(pool.reserve(&mut first, quota(4)), Err(NoRoom));
    assert_eq!(pool.reserve(&mut first, quota(3)), Ok(()));
    assert_eq!(pool.unpromised_blocks(), 0);
}

#[test]
fn a_reservation_is_kept_from_everyone_else() {
    // H12.4.
    let mut memory = Memory::new(10, 64);
    let mut modest = memory.chain_with(
        ISN,
        Quota {
            reserved_blocks: 3,
            limit_blocks: 3,
        },
    );
    let mut greedy = memory.chain_with(
        ISN,
        Quota {
            reserved_blocks: 2,
            limit_blocks: 100,
        },
    );
    let mut pool = memory.pool();
    let mut third = empty(ISN);
    assert_eq!(
        pool.reserve(
            &mut third,
            Quota {
                reserved_blocks: 6,
                limit_blocks: 6
            }
        ),
        Err(NoRoom)
    );
    assert_eq!(pool.available(&greedy), 7 * 64);
    assert_eq!(
        put(&mut pool, &mut greedy, ISN, &octets(0, 6400))
            .advanced()
            .octets(),
        7 * 64
    );
    assert_eq!(pool.unpromised_blocks(), 0);
    assert_eq!(
        pool.reserve(
            &mut third,
            Quota {
                reserved_blocks: 1,
                limit_blocks: 1
            }
        ),
        Err(NoRoom)
    );
    assert_eq!(
        put(&mut pool, &mut modest, ISN, &octets(0, 6400))
            .advanced()
            .octets(),
        3 * 64
    );
    assert_eq!((pool.free_blocks(), pool.available(&modest)), (0, 0));
    // What the modest one releases is promised to it again.
    let una = modest.end();
    release(&mut pool, &mut modest, una, NOWHERE, ALL);
    assert_eq!(pool.available(&greedy), 0);
    assert!(
        put(&mut pool, &mut greedy, ISN.advance(7 * 64), &[1])
            .advanced()
            .is_empty()
    );
    assert_eq!(
        put(&mut pool, &mut modest, una, &octets(0, 64))
            .advanced()
            .octets(),
        64
    );
    pool.retire(&mut modest);
    assert_eq!(pool.unpromised_blocks(), 3);
    pool.retire(&mut greedy);
    assert_eq!((pool.free_blocks(), pool.unpromised_blocks()), (10, 10));
}

#[test]
fn an_idle_stream_holds_no_block() {
    let mut memory = Memory::new(8, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let _ = put(&mut pool, &mut chain, ISN, &octets(0, 100));
    let released = release(&mut pool, &mut chain, ISN.advance(100), NOWHERE, ALL);
    assert_eq!(
        (released.blocks, released.more, chain.blocks()),
        (2, false, 0)
    );
    assert_eq!(
        put(&mut pool, &mut chain, ISN.advance(100), &[7; 3]).advanced(),
        range(ISN.advance(100), 3)
    );
    let _ = put(&mut pool, &mut chain, ISN.advance(110), &[8; 3]);
    // Held out of order: promised to the sender, so it stays (H4.2).
    assert_eq!(
        release(&mut pool, &mut chain, ISN.advance(103), NOWHERE, ALL).blocks,
        0
    );
    let _ = put(&mut pool, &mut chain, ISN.advance(103), &[9; 7]);
    assert_eq!(
        bytes_of(&pool, &chain, chain.held()),
        [9, 9, 9, 9, 9, 9, 9, 8, 8, 8]
    );
}

#[test]
fn octets_that_went_round_are_let_go() {
    // H9.2: the receiver acknowledges what was never stored.
    let mut memory = Memory::new(40, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let _ = put(&mut pool, &mut chain, ISN, &octets(0, 100));
    let _ = put(&mut pool, &mut chain, ISN.advance(200), &octets(200, 300));
    let una = ISN.advance(230);
    let released = release(&mut pool, &mut chain, una, NOWHERE, ALL);
    assert!(!released.more);
    assert_eq!(
        (chain.una, chain.end(), chain.octets_ahead()),
        (una, una, 270)
    );
    assert_eq!(pool.extend(&mut chain, ALL).advanced(), range(una, 270));
    assert_eq!(bytes_of(&pool, &chain, chain.held()), octets(230, 270));
    // Whole pages of them, held out of order, are not taken for SACKed ones.
    let beyond = ISN.advance(100_000);
    let _ = put(&mut pool, &mut chain, ISN.advance(600), &octets(600, 300));
    assert!(!release(&mut pool, &mut chain, beyond, NOWHERE, ALL).more);
    assert_eq!(
        (chain.end(), chain.octets_ahead(), pool.free_blocks()),
        (beyond, 0, 40)
    );
}

#[test]
fn sacked_octets_are_counted_once_and_kept() {
    // H4.1: marked, never freed.
    let mut memory = Memory::new(40, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let _ = put(&mut pool, &mut chain, ISN, &octets(0, 1000));
    let at = |offset: u32| ISN.advance(offset);
    let watch = [range(at(400), 150), range(at(560), 40)];
    let marked = sack(
        &mut pool,
        &mut chain,
        SeqRange::new(at(300), at(500)),
        watch,
        ALL,
    );
    assert_eq!(
        (marked.newly.octets, marked.newly.watched, marked.more),
        (200, 100, false)
    );
    let marked = sack(
        &mut pool,
        &mut chain,
        SeqRange::new(at(350), at(700)),
        watch,
        ALL,
    );
    assert_eq!((marked.newly.octets, marked.newly.watched), (200, 90));
    assert_eq!(chain.octets_sacked(), 400);
    assert_eq!(pool.free_blocks(), 40 - 16);
    assert_eq!(
        pool.unsacked_run(&chain, SeqRange::new(at(0), at(1000)), ALL),
        Run::Found(range(at(0), 300))
    );
    assert_eq!(
        pool.unsacked_run(&chain, SeqRange::new(at(301), at(1000)), ALL),
        Run::Found(range(at(700), 300))
    );
    assert_eq!(
        pool.unsacked_run(&chain, SeqRange::new(at(301), at(650)), ALL),
        Run::None
    );
    assert_eq!(
        pool.unsacked_octets(&chain, SeqRange::new(at(250), at(750)), ALL)
            .octets,
        100
    );
    let released = release(&mut pool, &mut chain, at(450), watch, ALL);
    assert_eq!((released.sacked.octets, released.sacked.watched), (150, 50));
    assert_eq!(chain.octets_sacked(), 250);
    let released = release(&mut pool, &mut chain, at(1000), watch, ALL);
    assert_eq!(
        (released.sacked.octets, released.sacked.watched),
        (250, 50 + 90)
    );
    assert_eq!((chain.octets_sacked(), chain.blocks()), (0, 0));
}

#[test]
fn a_time_out_forgets_sacks_but_not_what_is_held() {
    // H4.1 for the receiver's SACKs, H4.2 for the engine's own.
    let mut memory = Memory::new(40, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let _ = put(&mut pool, &mut chain, ISN, &octets(0, 140));
    let _ = put(&mut pool, &mut chain, ISN.advance(150), &octets(150, 20));
    sack(
        &mut pool,
        &mut chain,
        range(ISN.advance(64), 70),
        NOWHERE,
        ALL,
    );
    chain.forget_sacked();
    assert_eq!(chain.octets_sacked(), 0);
    assert_eq!(
        pool.unsacked_run(&chain, chain.held(), ALL),
        Run::Found(chain.held())
    );
    let marked = sack(
        &mut pool,
        &mut chain,
        range(ISN.advance(130), 5),
        NOWHERE,
        ALL,
    );
    assert_eq!(marked.newly.octets, 5);
    assert_eq!(pool.unsacked_octets(&chain, chain.held(), ALL).octets, 135);
    assert_eq!(chain.octets_ahead(), 20);
    let _ = put(&mut pool, &mut chain, ISN.advance(140), &octets(140, 10));
    assert_eq!(bytes_of(&pool, &chain, chain.held()), octets(0, 170));
}

#[test]
fn a_time_out_forgets_how_far_the_sacks_went() {
    let mut memory = Memory::new(40, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let _ = put(&mut pool, &mut chain, ISN, &octets(0, 30 * 64));
    let _ = sack(&mut pool, &mut chain, range(ISN, 20 * 64), NOWHERE, ALL);
    chain.forget_sacked();
    let marked = sack(&mut pool, &mut chain, range(ISN, 64), NOWHERE, ALL);
    assert_eq!(marked.newly.octets, 64);
    let rest = SeqRange::new(ISN.advance(64), chain.end());
    assert_eq!(
        pool.unsacked_run(&chain, chain.held(), ALL),
        Run::Found(rest)
    );
    let marked = sack(&mut pool, &mut chain, range(ISN, 20 * 64), NOWHERE, ALL);
    assert_eq!(marked.newly.octets, 19 * 64);
}

#[test]
fn runs_end_where_sacked_pages_begin() {
    let mut memory = Memory::new(40, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let _ = put(&mut pool, &mut chain, ISN, &octets(0, 30 * 64));
    let sacked = range(ISN.advance(2 * 64), 20 * 64);
    let _ = sack(&mut pool, &mut chain, sacked, NOWHERE, ALL);
    let first = SeqRange::new(ISN, sacked.start());
    assert_eq!(
        pool.unsacked_run(&chain, chain.held(), ALL),
        Run::Found(first)
    );
    // A search that ends early says how far it came.
    let tail = SeqRange::new(sacked.start(), chain.end());
    assert_eq!(
        pool.unsacked_run(&chain, tail, 1),
        Run::Skipped(sacked.end())
    );
    assert_eq!(
        pool.unsacked_run(&chain, chain.held(), 1),
        Run::Found(range(ISN, 64))
    );
    let counted = pool.unsacked_octets(&chain, chain.held(), 1);
    assert_eq!((counted.octets, counted.reached), (64, ISN.advance(64)));
    let counted = pool.unsacked_octets(&chain, range(ISN, 23 * 64 + 9), ALL);
    assert_eq!(
        (counted.octets, counted.reached),
        (3 * 64 + 9, ISN.advance(23 * 64 + 9))
    );
}

#[test]
fn pushes_are_remembered_where_they_ended() {
    // H5.7.
    let mut memory = Memory::new(40, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let edge = ISN.advance(1000);
    let push = |pool: &mut Pool<'_>, chain: &mut Chain, at: u32, count: u32, push: bool| {
        let _ = pool
            .store(chain, ISN.advance(at), &octets(at, count), edge, push)
            .commit();
    };
    push(&mut pool, &mut chain, 0, 64, true);
    push(&mut pool, &mut chain, 64, 30, false);
    push(&mut pool, &mut chain, 200, 30, true);
    push(&mut pool, &mut chain, 94, 106, true);
    let pushed =
        |from: u32, to: u32| pool.pushed(&chain, SeqRange::new(ISN.advance(from), ISN.advance(to)));
    assert!(pushed(0, 64) && pushed(63, 65) && !pushed(0, 63) && !pushed(64, 229));
    // Of the two that end in one page, at 200 and at 230, the last is known.
    assert!(pushed(64, 230));
}

/// Only time-outs that drop marks are counted, so that their number comes round as late as it can.
#[test]
fn h4_1_marks_stay_void_after_any_number_of_time_outs_without_sacks() {
    let mut memory = Memory::new(8, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let _ = put(&mut pool, &mut chain, ISN, &octets(0, 4 * 64));
    let page = |number: u32| range(ISN.advance(number * 64), 64);
    let _ = sack(&mut pool, &mut chain, page(0), NOWHERE, ALL);
    for _ in 0..1 << 16 {
        chain.forget_sacked();
    }
    let _ = sack(&mut pool, &mut chain, page(2), NOWHERE, ALL);
    let counted = pool.unsacked_octets(&chain, chain.held(), ALL);
    assert_eq!(counted.octets, 3 * 64);
}

#[test]
fn only_a_stream_that_stores_nothing_follows_what_is_seen() {
    let (here, there) = (SeqNum::new(1000), SeqNum::new(5000));
    let mut watched = empty(here);
    watched.follow(there);
    assert_eq!(watched.held(), range(there, 0));
    let mut memory = Memory::new(8, 64);
    let mut chain = memory.chain(here);
    chain.follow(there);
    assert_eq!(chain.end(), here, "it has a quota");
    let mut pool = memory.pool();
    let _ = append(&mut pool, &mut chain, &octets(0, 10));
    chain.limit = 0;
    chain.follow(there);
    assert_eq!(chain.held(), range(here, 10), "it holds something");
}

/// What was marked at once is let go of at once, as far as whole blocks are.
#[test]
fn a_stretch_of_sacked_blocks_is_released_in_one_step() {
    let mut memory = Memory::new(16, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let _ = put(&mut pool, &mut chain, ISN, &octets(0, 12 * 64));
    let _ = sack(&mut pool, &mut chain, range(ISN, 10 * 64), NOWHERE, ALL);
    let released = release(&mut pool, &mut chain, ISN.advance(10 * 64), NOWHERE, 2);
    assert_eq!((released.more, released.blocks), (false, 10));
    assert_eq!(released.sacked.octets, 10 * 64);
    assert_eq!((chain.octets_sacked(), chain.held().octets()), (0, 2 * 64));
}

#[test]
fn sacked_octets_released_in_parts_of_blocks_are_counted_once() {
    let mut memory = Memory::new(8, 64);
    let mut chain = memory.chain(ISN);
    let mut pool = memory.pool();
    let _ = put(&mut pool, &mut chain, ISN, &octets(0, 6 * 64));
    let _ = sack(&mut pool, &mut chain, range(ISN, 4 * 64), NOWHERE, ALL);
    for (until, octets) in [(32, 32), (3 * 64, 160), (4 * 64, 64), (5 * 64, 0)] {
        let released = release(&mut pool, &mut chain, ISN.advance(until), NOWHERE, ALL);
        assert_eq!((released.sacked.octets, released.more), (octets, false));
    }
}
