//! What the notes of the pages say of what has arrived, and of what has not (RFC 8985).

use super::super::sack::Marked;
use super::super::sent::Expired;
use super::super::{Expiry, Newest};
use super::*;
use crate::recovery::delivery::Sent;
use crate::time::{Instant, Stamp};

const ISN: SeqNum = SeqNum::new(u32::MAX - 700);
/// Octets per page.
const SIZE: u32 = 64;

fn at(offset: u32) -> SeqNum {
    ISN.advance(offset)
}

fn pages(first: u32, count: u32) -> SeqRange {
    range(at(first * SIZE), count * SIZE)
}

/// A moment soon before stamps wrap, for small numbers.
fn time(millis: u64) -> Instant {
    Instant::from_micros((1 << 32) - 5_000 + millis * 1000)
}

fn first(millis: u64) -> Sent {
    let mut sent = Sent::NEVER;
    sent.at = Stamp::at(time(millis));
    sent
}

fn again(millis: u64) -> Sent {
    let mut sent = first(millis);
    sent.flags = Sent::RETRANSMITTED;
    sent
}

/// Memory and a chain of `octets` octets of which nothing was sent.
fn stored(octets: u32) -> (Memory, Chain) {
    let mut memory = Memory::new(600, SIZE as usize);
    let mut chain = memory.chain(ISN);
    let bytes = super::octets(0, octets);
    let _ = put(&mut memory.pool(), &mut chain, ISN, &bytes);
    (memory, chain)
}

fn newest(end: SeqNum, sent: Sent) -> Option<Newest> {
    Some(Newest { end, sent })
}

fn mark(pool: &mut Pool<'_>, chain: &mut Chain, block: SeqRange) -> Marked {
    sack(pool, chain, block, NOWHERE, ALL)
}

/// The note of a page.
fn note_of(pool: &Pool<'_>, chain: &Chain, page: u32) -> Sent {
    let walk = pool.walk(chain, pages(page, 1)).unwrap();
    pool.slot(walk.link).unwrap().sent
}

#[test]
fn rfc8985_6_1_a_page_keeps_its_last_transmission_and_that_there_were_several() {
    let (mut memory, mut chain) = stored(10 * SIZE);
    let mut pool = memory.pool();
    pool.stamp(&mut chain, range(at(0), 3 * SIZE + 1), first(1));
    let notes = [0, 3, 4].map(|page| note_of(&pool, &chain, page));
    assert_eq!(notes, [first(1), first(1), Sent::NEVER]);
    pool.stamp(&mut chain, range(at(70), 10), again(2));
    pool.stamp(&mut chain, range(at(127), 2), first(3));
    let notes = [0, 1, 2].map(|page| note_of(&pool, &chain, page));
    assert_eq!(notes, [first(1), again(3), first(3)]);
    // Only what is stored in order can have been sent.
    let _ = put(&mut pool, &mut chain, at(11 * SIZE), &octets(11 * SIZE, 5));
    pool.stamp(&mut chain, pages(9, 5), first(4));
    let notes = [9, 10, 11].map(|page| note_of(&pool, &chain, page));
    assert_eq!(notes, [first(4), Sent::NEVER, Sent::NEVER]);
}

#[test]
fn the_note_of_a_page_goes_with_it() {
    let (mut memory, mut chain) = stored(10 * SIZE);
    let mut pool = memory.pool();
    let everything = chain.held();
    pool.stamp(&mut chain, everything, again(1));
    release(&mut pool, &mut chain, everything.end(), NOWHERE, ALL);
    let _ = append(&mut pool, &mut chain, &octets(0, 10 * SIZE));
    let octets = chain.held();
    let marked = mark(&mut pool, &mut chain, octets);
    assert_eq!(marked.newly.octets, 10 * SIZE);
    assert_eq!((marked.newest, marked.lowest), (None, None));
}

#[test]
fn rfc8985_6_2_step_2_the_last_sent_of_what_a_sack_reports_is_known() {
    let (mut memory, mut chain) = stored(10 * SIZE);
    let mut pool = memory.pool();
    for page in 0..10 {
        pool.stamp(&mut chain, pages(page, 1), first(page.into()));
    }
    // The third page was sent again, later than all others.
    pool.stamp(&mut chain, pages(3, 1), again(20));
    let marked = mark(&mut pool, &mut chain, pages(5, 2));
    assert_eq!(marked.newest, newest(at(7 * SIZE), first(6)));
    assert_eq!(marked.lowest, Some(at(5 * SIZE)));
    let marked = mark(&mut pool, &mut chain, pages(3, 5));
    assert_eq!(marked.newest, newest(at(4 * SIZE), again(20)));
    // Not the page that was sent twice: its first transmission may have come in order.
    assert_eq!(marked.lowest, Some(at(4 * SIZE)));
    // What is reported once more says nothing.
    let marked = mark(&mut pool, &mut chain, pages(3, 5));
    assert_eq!((marked.newest, marked.lowest), (None, None));
}

#[test]
fn rfc8985_6_2_step_2_of_what_was_sent_at_once_the_last_counts() {
    let (mut memory, mut chain) = stored(10 * SIZE);
    let mut pool = memory.pool();
    pool.stamp(&mut chain, pages(0, 10), first(7));
    let marked = mark(&mut pool, &mut chain, pages(2, 3));
    assert_eq!(marked.newest, newest(at(5 * SIZE), first(7)));
    let (early, late) = (marked.newest.unwrap(), newest(at(6 * SIZE), first(7)));
    assert_eq!(Some(early.latest(late.unwrap())), late);
    assert_eq!(Some(late.unwrap().latest(early)), late);
    assert!(!early.is_after(&early));
}

#[test]
fn a_page_with_only_its_front_sacked_says_nothing_of_its_note() {
    let (mut memory, mut chain) = stored(10 * SIZE);
    let mut pool = memory.pool();
    // Segments of a page and a half.
    pool.stamp(&mut chain, range(at(0), 96), first(1));
    pool.stamp(&mut chain, range(at(96), 96), first(2));
    let marked = mark(&mut pool, &mut chain, range(at(0), 96));
    assert_eq!(marked.newest, newest(at(64), first(1)));
    assert_eq!(marked.lowest, Some(at(0)));
    let marked = mark(&mut pool, &mut chain, range(at(100), 92));
    assert_eq!(marked.newest, newest(at(192), first(2)));
    assert_eq!(marked.lowest, Some(at(100)));
    // What is missing between the two was sent again, and closes the gap.
    pool.stamp(&mut chain, range(at(96), 4), again(3));
    let marked = mark(&mut pool, &mut chain, range(at(96), 4));
    assert_eq!(marked.newest, newest(at(128), again(3)));
    assert_eq!(marked.lowest, None);
}

#[test]
fn the_end_of_what_was_sent_ends_a_page() {
    let (mut memory, mut chain) = stored(5 * SIZE);
    let mut pool = memory.pool();
    let snd_nxt = at(3 * SIZE + 10);
    pool.stamp(&mut chain, SeqRange::new(at(0), snd_nxt), first(1));
    let tail = range(at(3 * SIZE), 9);
    let marked = pool.mark_sacked(&mut chain, tail, snd_nxt, NOWHERE, ALL);
    assert_eq!(marked.newest, None);
    let tail = SeqRange::new(at(3 * SIZE), snd_nxt);
    let marked = pool.mark_sacked(&mut chain, tail, snd_nxt, NOWHERE, ALL);
    assert_eq!(marked.newest, newest(snd_nxt, first(1)));
    chain.forget_sacked();
    let released = pool.release(&mut chain, snd_nxt.retreat(1), snd_nxt, NOWHERE, ALL);
    assert_eq!(released.newest, newest(at(3 * SIZE), first(1)));
    let released = pool.release(&mut chain, snd_nxt, snd_nxt, NOWHERE, ALL);
    assert_eq!(released.newest, newest(snd_nxt, first(1)));
    assert_eq!(released.lowest, Some(snd_nxt.retreat(1)));
}

#[test]
fn a_fin_is_in_no_page() {
    let after_fin = |chain: &Chain| chain.end().advance(1);
    let (mut memory, mut chain) = stored(SIZE + 10);
    let mut pool = memory.pool();
    let data = chain.held();
    pool.stamp(&mut chain, data, first(1));
    let snd_nxt = after_fin(&chain);
    let last = range(at(SIZE), 11);
    let marked = pool.mark_sacked(&mut chain, last, snd_nxt, NOWHERE, ALL);
    assert_eq!(marked.newly.octets, 10);
    assert_eq!(marked.newest, newest(data.end(), first(1)));
    chain.forget_sacked();
    let expiry = Expiry {
        xmit: Stamp::at(time(2)),
        end: snd_nxt,
        reach_us: 0,
        now: time(3),
    };
    let with_fin = SeqRange::new(at(0), snd_nxt);
    let found = pool.expired(&chain, with_fin, &expiry, ALL);
    assert_eq!((found.edge, found.octets), (data.end(), data.octets()));
    let fin = SeqRange::new(data.end(), snd_nxt);
    let found = pool.expired(&chain, fin, &expiry, ALL);
    assert_eq!(
        (found.edge, found.octets, found.more),
        (data.end(), 0, false)
    );
    let released = pool.release(&mut chain, data.end(), snd_nxt, NOWHERE, ALL);
    assert_eq!(released.newest, newest(data.end(), first(1)));
    let released = pool.release(&mut chain, snd_nxt, snd_nxt, NOWHERE, ALL);
    assert_eq!((released.newest, released.lowest), (None, None));
}

#[test]
fn without_sacks_an_acknowledgement_looks_at_the_first_page_and_the_last() {
    let (mut memory, mut chain) = stored(20 * SIZE);
    let mut pool = memory.pool();
    for page in 0..20 {
        pool.stamp(&mut chain, pages(page, 1), first(page.into()));
    }
    pool.stamp(&mut chain, pages(3, 1), again(30));
    pool.stamp(&mut chain, pages(5, 1), again(31));
    // Inside a page: nothing is known of the last octet of it.
    let released = release(&mut pool, &mut chain, at(10), NOWHERE, ALL);
    assert_eq!((released.newest, released.lowest), (None, Some(at(0))));
    let released = release(&mut pool, &mut chain, at(2 * SIZE + 1), NOWHERE, ALL);
    assert_eq!(released.newest, newest(at(2 * SIZE), first(1)));
    assert_eq!(released.lowest, Some(at(10)));
    // The page sent again lies between the two and is not looked at.
    let released = release(&mut pool, &mut chain, at(5 * SIZE), NOWHERE, ALL);
    assert_eq!(released.newest, newest(at(5 * SIZE), first(4)));
    // The first page is the newest here; what was not sent twice begins behind it.
    let released = release(&mut pool, &mut chain, at(8 * SIZE + 5), NOWHERE, ALL);
    assert_eq!(released.newest, newest(at(6 * SIZE), again(31)));
    assert_eq!(released.lowest, Some(at(7 * SIZE)));
    let released = release(&mut pool, &mut chain, at(20 * SIZE), NOWHERE, ALL);
    assert_eq!(released.newest, newest(at(20 * SIZE), first(19)));
    assert_eq!(released.lowest, Some(at(8 * SIZE + 5)));
}

#[test]
fn among_sacks_an_acknowledgement_tells_what_they_did_not() {
    let (mut memory, mut chain) = stored(20 * SIZE);
    let mut pool = memory.pool();
    for page in 0..20 {
        pool.stamp(&mut chain, pages(page, 1), first(page.into()));
    }
    // Pages 0 and 2 were sent again; the others, up to half of page 10, were SACKed.
    mark(&mut pool, &mut chain, pages(1, 1));
    mark(&mut pool, &mut chain, range(at(3 * SIZE), 7 * SIZE + 20));
    pool.stamp(&mut chain, pages(0, 1), again(30));
    pool.stamp(&mut chain, pages(2, 1), again(29));
    let released = release(&mut pool, &mut chain, at(10 * SIZE), NOWHERE, ALL);
    assert_eq!(released.newest, newest(at(SIZE), again(30)));
    assert_eq!((released.lowest, released.sacked.octets), (None, 8 * SIZE));
    // All of this was SACKed before.
    let released = release(&mut pool, &mut chain, at(10 * SIZE + 20), NOWHERE, ALL);
    assert_eq!((released.newest, released.lowest), (None, None));
    mark(&mut pool, &mut chain, pages(15, 1));
    let released = release(&mut pool, &mut chain, at(13 * SIZE + 1), NOWHERE, ALL);
    assert_eq!(released.newest, newest(at(13 * SIZE), first(12)));
    assert_eq!(released.lowest, Some(at(10 * SIZE + 20)));
}

#[test]
fn h9_2_octets_that_went_round_are_no_news() {
    let (mut memory, mut chain) = stored(SIZE + 10);
    let mut pool = memory.pool();
    let data = chain.held();
    let snd_nxt = at(SIZE);
    pool.stamp(&mut chain, SeqRange::new(at(0), snd_nxt), first(1));
    let _ = put(&mut pool, &mut chain, at(300), &octets(300, 10));
    let una = at(305);
    let released = pool.release(&mut chain, una, snd_nxt, NOWHERE, ALL);
    assert_eq!(released.newest, newest(at(SIZE), first(1)));
    assert_eq!(released.lowest, Some(data.start()));
    assert_eq!((chain.una, chain.end()), (una, una));
}

/// Searches everything stored for losses.
fn search(pool: &Pool<'_>, chain: &Chain, xmit: u64, end: u32, reach: u32, now: u64) -> Expired {
    let expiry = Expiry {
        xmit: Stamp::at(time(xmit)),
        end: at(end),
        reach_us: reach * 1000,
        now: time(now),
    };
    pool.expired(chain, chain.held(), &expiry, ALL)
}

#[test]
fn rfc8985_6_2_step_5_what_was_sent_well_before_something_that_arrived_has_expired() {
    let (mut memory, mut chain) = stored(10 * SIZE);
    let mut pool = memory.pool();
    for page in 0..8 {
        pool.stamp(&mut chain, pages(page, 1), first(page.into()));
    }
    let nothing = Expired {
        edge: at(0),
        octets: 0,
        last: None,
        wait_us: None,
        more: false,
    };
    assert_eq!(search(&pool, &chain, 0, 0, 10, 100), nothing);
    // Sent earlier than what arrived, but it may still come.
    let found = search(&pool, &chain, 5, 6 * SIZE, 10, 9);
    let waits = Expired {
        wait_us: Some(1000),
        ..nothing
    };
    assert_eq!(found, waits);
    let found = search(&pool, &chain, 5, 6 * SIZE, 10, 12);
    let some = Expired {
        edge: at(3 * SIZE),
        octets: 3 * SIZE,
        last: Some(first(2)),
        wait_us: Some(1000),
        more: false,
    };
    assert_eq!(found, some);
    // However late it is, what was sent later says nothing.
    let found = search(&pool, &chain, 5, 5 * SIZE, 10, 1000);
    let all_earlier = Expired {
        edge: at(5 * SIZE),
        octets: 5 * SIZE,
        last: Some(first(4)),
        wait_us: None,
        more: false,
    };
    assert_eq!(found, all_earlier);
    // A repair is newer than what lies around it.
    pool.stamp(&mut chain, pages(2, 1), again(50));
    let found = search(&pool, &chain, 5, 5 * SIZE, 10, 1000);
    assert_eq!((found.edge, found.wait_us), (at(2 * SIZE), None));
    // What was never sent is not lost.
    let found = search(&pool, &chain, 60, 10 * SIZE, 0, 1000);
    assert_eq!((found.edge, found.octets), (at(8 * SIZE), 8 * SIZE));
    assert_eq!((found.last, found.wait_us), (Some(first(7)), None));
}

#[test]
fn rfc8985_6_2_step_5_of_what_was_sent_at_once_only_what_lies_before_it_was_earlier() {
    let (mut memory, mut chain) = stored(10 * SIZE);
    let mut pool = memory.pool();
    pool.stamp(&mut chain, pages(0, 10), first(7));
    let found = search(&pool, &chain, 7, 4 * SIZE + 1, 10, 17);
    assert_eq!((found.edge, found.octets), (at(4 * SIZE), 4 * SIZE));
    assert_eq!(found.wait_us, None);
    // Of a page whose end has arrived the front is missing.
    mark(&mut pool, &mut chain, range(at(4 * SIZE + 10), SIZE - 10));
    let found = search(&pool, &chain, 7, 5 * SIZE, 10, 17);
    assert_eq!((found.edge, found.octets), (at(5 * SIZE), 4 * SIZE + 10));
}

#[test]
fn rfc8985_6_2_step_5_sacked_octets_are_not_lost() {
    let (mut memory, mut chain) = stored(10 * SIZE);
    let mut pool = memory.pool();
    pool.stamp(&mut chain, pages(0, 5), first(1));
    pool.stamp(&mut chain, pages(5, 5), first(30));
    mark(&mut pool, &mut chain, range(at(SIZE + 10), 3 * SIZE));
    mark(&mut pool, &mut chain, pages(5, 2));
    let found = search(&pool, &chain, 30, 7 * SIZE, 10, 35);
    // It goes over SACKed pages that are newer.
    assert_eq!((found.edge, found.octets), (at(7 * SIZE), 2 * SIZE));
    assert_eq!(found.last, Some(first(1)));
    let tail = range(at(4 * SIZE + 20), 10);
    let expiry = Expiry {
        xmit: Stamp::at(time(2)),
        end: at(0),
        reach_us: 0,
        now: time(2),
    };
    let found = pool.expired(&chain, tail, &expiry, ALL);
    assert_eq!((found.edge, found.octets), (tail.end(), 10));
    // Two pages, or runs of them, at a time.
    let found = pool.expired(&chain, chain.held(), &expiry, 2);
    assert_eq!((found.edge, found.more), (at(2 * SIZE), true));
    let rest = SeqRange::new(found.edge, chain.end());
    let found = pool.expired(&chain, rest, &expiry, 1);
    assert_eq!((found.edge, found.more), (at(4 * SIZE), true));
    let rest = SeqRange::new(found.edge, chain.end());
    let found = pool.expired(&chain, rest, &expiry, 3);
    assert_eq!((found.edge, found.more), (at(7 * SIZE), false));
    assert_eq!((found.octets, found.last), (SIZE - 10, Some(first(1))));
}

#[test]
fn a_search_among_sacked_pages_finds_nothing_but_gets_on() {
    let (mut memory, mut chain) = stored(300 * SIZE);
    let mut pool = memory.pool();
    let everything = chain.held();
    pool.stamp(&mut chain, everything, first(1));
    // One report in several steps: only its first page says how far the SACKed pages go.
    while sack(&mut pool, &mut chain, pages(1, 200), NOWHERE, 64).more {}
    let expiry = Expiry {
        xmit: Stamp::at(time(2)),
        end: at(0),
        reach_us: 0,
        now: time(2),
    };
    let inside = SeqRange::new(at(2 * SIZE), everything.end());
    let found = pool.expired(&chain, inside, &expiry, 64);
    assert_eq!((found.octets, found.last, found.more), (0, None, true));
    assert_eq!(found.edge, at(66 * SIZE));
    let around = pool.expired(&chain, everything, &expiry, 3);
    assert_eq!((around.octets, around.edge), (2 * SIZE, at(202 * SIZE)));
}
