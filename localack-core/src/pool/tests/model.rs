//! The pool against the simplest thing that could be right: an octet and three flags per number.

use proptest::prelude::*;

use std::collections::BTreeMap;

use super::super::{Expired, Expiry, Newest, Run};
use super::*;
use crate::recovery::delivery::Sent;
use crate::time::{Instant, Stamp};
use crate::wire::checksum::Sum;

/// Octets of stream that a run can touch.
const SPAN: u32 = 24_000;

#[derive(Clone, Debug)]
enum Op {
    /// Store at an offset from the in-order end; with octets that do not match what was sent before.
    Store {
        ahead: i32,
        octets: u32,
        edge: u32,
        liar: bool,
        push: bool,
        commit: bool,
    },
    Extend {
        pages: u32,
    },
    Sack {
        from: u32,
        octets: u32,
        watch: (u32, u32),
        pages: u32,
    },
    TimeOut,
    Release {
        octets: u32,
        watch: (u32, u32),
        pages: u32,
    },
    /// The receiver acknowledges more than was stored.
    Overtake {
        octets: u32,
    },
    /// Read, as for sending, and perhaps note it, some time after the last time.
    Send {
        from: u32,
        octets: u32,
        pause: Option<u32>,
        again: bool,
    },
    /// Look for losses from what was sent some time ago.
    Expire {
        from: u32,
        octets: u32,
        ago: u32,
        end: u32,
        reach: u32,
        pages: u32,
    },
    Restart,
    Limit {
        blocks: u32,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let pages = prop_oneof![1u32..4, Just(64)];
    let watch = || (0u32..3000, 0u32..3000);
    let octets = prop_oneof![1u32..4, 1u32..200, 1u32..3000];
    let ahead = prop_oneof![6 => Just(0), 2 => -300..300, 2 => 0..5000];
    prop_oneof![
        30 => (ahead, octets, prop_oneof![4 => Just(9000u32), 1 => 0u32..3000], any::<(bool, bool)>(), 0..10)
            .prop_map(|(ahead, octets, edge, (liar, push), commit)|
                Op::Store { ahead, octets, edge, liar, push, commit: commit > 0 }),
        3 => pages.clone().prop_map(|pages| Op::Extend { pages }),
        12 => (0u32..6000, 1u32..4000, watch(), pages.clone())
            .prop_map(|(from, octets, watch, pages)| Op::Sack { from, octets, watch, pages }),
        1 => Just(Op::TimeOut),
        8 => (0u32..3000, watch(), pages.clone()).prop_map(|(octets, watch, pages)| Op::Release { octets, watch, pages }),
        1 => (1u32..3000).prop_map(|octets| Op::Overtake { octets }),
        12 => (0u32..6000, 1u32..2000, prop::option::weighted(0.8, 0u32..3), 0..4)
            .prop_map(|(from, octets, pause, again)| Op::Send { from, octets, pause, again: again == 0 }),
        6 => (0u32..6000, 1u32..4000, 0u32..4, 0u32..6000, 0u32..5, pages)
            .prop_map(|(from, octets, ago, end, reach, pages)| Op::Expire { from, octets, ago, end, reach, pages }),
        1 => Just(Op::Restart),
        1 => (0u32..60).prop_map(|blocks| Op::Limit { blocks }),
    ]
}

/// What the chain should hold. Positions count from the ISN.
struct Model {
    isn: SeqNum,
    una: u32,
    end: u32,
    bytes: Vec<u8>,
    /// Held out of order.
    held: Vec<bool>,
    /// Reported as SACKed since the last time-out.
    reported: Vec<bool>,
    /// Marked as SACKed by the pool.
    sacked: Vec<bool>,
    /// Where what was sent ends.
    nxt: u32,
    /// The time, and the notes of the pages by where they begin.
    now: u64,
    notes: BTreeMap<u32, Note>,
}

/// When something was sent, on a clock that does not wrap, and the note of it.
#[derive(Clone, Copy)]
struct Note {
    at: u64,
    sent: Sent,
}

/// What the notes of delivered pages say: the newest, and the lowest octet.
#[derive(Default)]
struct News {
    newest: Option<(u64, u32, Sent)>,
    lowest: Option<u32>,
}

impl Model {
    fn new(isn: SeqNum) -> Self {
        let flags = vec![false; SPAN as usize];
        Self {
            isn,
            una: 0,
            end: 0,
            bytes: vec![0; SPAN as usize],
            held: flags.clone(),
            reported: flags.clone(),
            sacked: flags,
            nxt: 0,
            // A few microseconds before a stamp wraps.
            now: (1 << 32) - 20,
            notes: BTreeMap::new(),
        }
    }

    /// Where the pages begin that `from .. to` touches.
    fn pages(&self, chain: &Chain, size: u32, from: u32, to: u32) -> Vec<u32> {
        let base = self.at(chain.base);
        let first = base + (from - base) / size * size;
        (first..to).step_by(size as usize).collect()
    }

    /// The pages that were freed have no notes.
    fn forget_notes(&mut self, chain: &Chain, size: u32) {
        let base = self.at(chain.base);
        let pages = base..base + chain.blocks() * size;
        self.notes.retain(|page, _| pages.contains(page));
    }

    /// Sent octets end here, as far as they are stored.
    fn sent_end(&self) -> u32 {
        self.nxt.min(self.end)
    }

    /// Takes in that `first .. to` of the page at `page` has newly arrived.
    fn deliver(&self, news: &mut News, size: u32, page: u32, first: u32, to: u32) {
        let Some(note) = self.notes.get(&page) else {
            return;
        };
        if !note.sent.is_retransmitted() {
            news.lowest = Some(news.lowest.map_or(first, |lowest| lowest.min(first)));
        }
        if to == page + size || to >= self.sent_end() {
            let is_newer = news
                .newest
                .is_none_or(|(at, end, _)| (note.at, to) > (at, end));
            if is_newer {
                news.newest = Some((note.at, to, note.sent));
            }
        }
    }

    fn assert_news(&self, news: &News, newest: Option<Newest>, lowest: Option<SeqNum>) {
        let expected = news.newest.map(|(_, end, sent)| Newest {
            end: self.seq(end),
            sent,
        });
        assert_eq!(newest, expected);
        assert_eq!(lowest, news.lowest.map(|at| self.seq(at)));
    }

    /// Two ranges to watch.
    fn watch(&self, (from, octets): (u32, u32)) -> [SeqRange; 2] {
        let at = |at: u32| self.seq((self.una + from + at).min(SPAN));
        [
            SeqRange::new(at(0), at(octets)),
            SeqRange::new(at(octets + octets / 3), at(2 * octets)),
        ]
    }

    /// How many of the flags in the ranges are set.
    fn count_in(&self, flags: &[bool], ranges: [SeqRange; 2]) -> u32 {
        let counts = ranges.map(|range| count(&flags[self.span(range)]));
        counts.iter().sum()
    }

    fn seq(&self, at: u32) -> SeqNum {
        self.isn.advance(at)
    }

    fn at(&self, seq: SeqNum) -> u32 {
        seq.octets_past(self.isn)
    }

    fn range(&self, from: u32, to: u32) -> SeqRange {
        SeqRange::new(self.seq(from), self.seq(to))
    }

    fn span(&self, range: SeqRange) -> core::ops::Range<usize> {
        self.at(range.start()) as usize..self.at(range.end()) as usize
    }

    /// Takes over `bytes` that the pool says it stored.
    fn take(&mut self, from: u32, bytes: &[u8]) {
        for (at, byte) in (from..).zip(bytes) {
            let at = at as usize;
            if at as u32 >= self.end && !self.held[at] {
                self.bytes[at] = *byte;
                self.held[at] = true;
            }
        }
    }

    /// What the pool has marked, asked for octet by octet.
    fn marks_of(&self, pool: &Pool<'_>, chain: &Chain) -> Vec<bool> {
        let mut marks = vec![false; SPAN as usize];
        marks[self.una as usize..self.end as usize].fill(true);
        let mut at = self.una;
        while at < self.end {
            match pool.unsacked_run(chain, self.range(at, self.end), 3) {
                Run::Found(run) => {
                    marks[self.span(run)].fill(false);
                    at = self.at(run.end());
                }
                Run::Skipped(to) => {
                    assert!(self.at(to) > at, "a search makes progress");
                    at = self.at(to);
                }
                Run::None => break,
            }
        }
        marks
    }

    fn check(&self, pool: &Pool<'_>, chain: &Chain) {
        assert_eq!(chain.held(), self.range(self.una, self.end));
        let held = &self.bytes[self.una as usize..self.end as usize];
        assert_eq!(bytes_of(pool, chain, chain.held()), held);
        let mut sum = Sum::new();
        sum.add_bytes(held);
        assert_eq!(pool.peek(chain, chain.held()).sum().fold(), sum.fold());
        assert!(pool.matches(chain, self.seq(self.una), held));
        assert_eq!(chain.octets_ahead(), count(&self.held));
        assert_eq!(self.marks_of(pool, chain), self.sacked);
        assert_eq!(chain.octets_sacked(), count(&self.sacked));
        assert_eq!(pool.free_blocks() + chain.blocks(), pool.blocks());
        assert!(
            held.len() as u32 + chain.octets_ahead() <= chain.blocks() * pool.block_size().octets()
        );
        assert!(
            self.una != self.end
                || chain.octets_ahead() > 0
                || chain.blocks() == 0
                || self.end == 0
        );
        // Pages from the first octet that is not released to the last that is held, and no more.
        let last = self
            .held
            .iter()
            .rposition(|held| *held)
            .map_or(0, |at| at as u32 + 1);
        let kept = self.seq(last.max(self.end)).octets_past(chain.base);
        assert_eq!(chain.blocks(), pool.block_size().pages(kept));
        let middle = self.una.midpoint(self.end);
        assert_eq!(
            bytes_of(pool, chain, self.range(middle, self.end)),
            self.bytes[middle as usize..self.end as usize]
        );
    }
}

/// How many flags are set.
fn count(flags: &[bool]) -> u32 {
    let busy = flags
        .chunks(256)
        .filter(|chunk| **chunk != [false; 256][..chunk.len()]);
    busy.flatten().filter(|flag| **flag).count() as u32
}

fn store(model: &mut Model, pool: &mut Pool<'_>, chain: &mut Chain, op: &Op) {
    let Op::Store {
        ahead,
        octets,
        edge,
        liar,
        push,
        commit,
    } = *op
    else {
        return;
    };
    let at = model.end.saturating_add_signed(ahead);
    let edge = model.end + edge;
    if at + octets > SPAN || edge > SPAN {
        return;
    }
    let bytes: Vec<u8> = (at..at + octets)
        .map(|at| super::octet(at) ^ u8::from(liar))
        .collect();
    let before = (chain.blocks(), pool.available(chain));
    let staged = pool.store(chain, model.seq(at), &bytes, model.seq(edge), push);
    let mut sum = Sum::new();
    sum.add_bytes(&bytes);
    assert_eq!(staged.sum().fold(), sum.fold());
    if !commit {
        drop(staged);
        assert_eq!((chain.blocks(), pool.available(chain)), before);
        return;
    }
    let stored = staged.commit();
    let from = at.max(model.end);
    let wanted = (at + octets).min(edge).saturating_sub(from);
    let (taken, in_order) = if stored.held().is_empty() && from == model.end {
        (stored.advanced().octets().min(wanted), true)
    } else {
        assert!(stored.advanced().is_empty());
        assert!(stored.held().is_empty() || stored.held().start() == model.seq(from));
        (stored.held().octets(), false)
    };
    assert!(taken <= wanted);
    if in_order {
        assert_eq!(
            taken,
            wanted.min(before.1),
            "in order, only a lack of room may refuse octets"
        );
    }
    let first = (from - at) as usize;
    let new = &bytes[bytes.len().min(first)..bytes.len().min(first + taken as usize)];
    let differs = (from..)
        .zip(new)
        .any(|(at, byte)| model.held[at as usize] && model.bytes[at as usize] != *byte);
    assert_eq!(stored.differs(), differs);
    model.take(from, new);
    if in_order {
        let end = model.at(stored.advanced().end());
        assert_eq!(stored.advanced().start(), model.seq(model.end));
        advance(model, end, stored.more());
    }
}

/// Moves the model's in-order end to where the pool says it is.
fn advance(model: &mut Model, end: u32, more: bool) {
    let passed = model.end as usize..end as usize;
    assert!(
        model.held[passed.clone()].iter().all(|held| *held),
        "only held octets may be acknowledged"
    );
    model.held[passed].fill(false);
    model.end = end;
    assert!(
        more || !model.held[end as usize],
        "the in-order end stops only at a hole"
    );
}

fn step_sack(model: &mut Model, pool: &mut Pool<'_>, chain: &mut Chain, op: &Op) {
    let Op::Sack {
        from,
        octets,
        watch,
        pages,
    } = *op
    else {
        return;
    };
    let from = (model.una + from).min(model.end);
    let to = (from + octets).min(model.end);
    let watch = model.watch(watch);
    // What arrives was sent.
    model.nxt = model.nxt.max(to);
    let snd_nxt = model.seq(model.nxt);
    let marked = pool.mark_sacked(chain, model.range(from, to), snd_nxt, watch, pages);
    model.reported[from as usize..to as usize].fill(true);
    let marks = model.marks_of(pool, chain);
    let mut new = vec![false; SPAN as usize];
    for at in model.una as usize..model.end as usize {
        assert!(!marks[at] || model.reported[at], "marked without a report");
        assert!(marks[at] || !model.sacked[at], "a mark went away");
        new[at] = marks[at] && !model.sacked[at];
    }
    assert_eq!(marked.newly.octets, count(&new));
    assert_eq!(marked.newly.watched, model.count_in(&new, watch));
    let size = pool.block_size().octets();
    let mut news = News::default();
    for page in model.pages(chain, size, from, to) {
        let mut piece = page.max(from)..(page + size).min(to);
        if let Some(first) = piece.find(|at| new[*at as usize]) {
            let end = (page + size).min(model.end);
            let reach = (first..end).find(|at| !marks[*at as usize]).unwrap_or(end);
            model.deliver(&mut news, size, page, first, reach);
        }
    }
    model.assert_news(&news, marked.newest, marked.lowest);
    if !marked.more {
        // All but what lies in the first and the last page of the block is always expressible.
        let inner = (from + size).min(to) as usize..(to.saturating_sub(size)).max(from) as usize;
        assert!(inner.is_empty() || marks[inner].iter().all(|marked| *marked));
    }
    model.sacked = marks;
}

fn step_release(
    model: &mut Model,
    pool: &mut Pool<'_>,
    chain: &mut Chain,
    una: u32,
    watch: (u32, u32),
    pages: u32,
) {
    let watch = model.watch(watch);
    let size = pool.block_size().octets();
    let looks_at_ends = !model.sacked.contains(&true)
        && (una <= model.end || !model.held[model.end as usize..].contains(&true));
    let before = *chain;
    let released = pool.release(chain, model.seq(una), model.seq(model.nxt), watch, pages);
    let reached = model.at(chain.una);
    let news = passed_news(model, &before, size, reached, looks_at_ends);
    model.assert_news(&news, released.newest, released.lowest);
    assert_eq!(released.more, reached < una);
    assert!(reached > model.una || una == model.una);
    let mut gone = vec![false; SPAN as usize];
    let passed = model.una as usize..reached as usize;
    gone[passed.clone()].copy_from_slice(&model.sacked[passed.clone()]);
    assert_eq!(released.sacked.octets, count(&gone));
    assert_eq!(released.sacked.watched, model.count_in(&gone, watch));
    model.sacked[passed.clone()].fill(false);
    model.held[passed].fill(false);
    model.una = reached;
    model.end = model.end.max(reached);
    model.nxt = model.nxt.max(reached);
}

/// What the pages say that SND.UNA passes on its way to `reached`; or only the first of them and the
/// last of which nothing was sent that has not arrived.
fn passed_news(model: &Model, chain: &Chain, size: u32, reached: u32, ends: bool) -> News {
    let passed_to = reached.min(model.sent_end());
    let mut news = News::default();
    if passed_to <= model.una {
        return news;
    }
    let pages = model.pages(chain, size, model.una, passed_to);
    let to = |page: u32| (page + size).min(passed_to);
    let last = pages
        .iter()
        .rposition(|page| to(*page) == page + size || to(*page) == model.sent_end());
    for (index, page) in pages.iter().enumerate() {
        if ends && index > 0 && Some(index) != last {
            continue;
        }
        let mut piece = model.una.max(*page)..to(*page);
        if let Some(first) = piece.find(|at| !model.sacked[*at as usize]) {
            model.deliver(&mut news, size, *page, first, to(*page));
        }
    }
    news
}

/// Sends once more or for the first time.
fn send(model: &mut Model, pool: &mut Pool<'_>, chain: &mut Chain, op: &Op) {
    let Op::Send {
        from,
        octets,
        pause,
        again,
    } = *op
    else {
        return;
    };
    let from = (model.una + from).min(model.end);
    let to = (from + octets).min(model.end);
    let range = model.range(from, to);
    let mut sent = Vec::new();
    let payload = pool.payload(chain, range);
    payload.for_each(|piece| sent.extend_from_slice(piece));
    assert_eq!(sent, model.bytes[from as usize..to as usize]);
    let Some(pause) = pause.filter(|_| from < to) else {
        return;
    };
    model.now += u64::from(pause);
    model.nxt = model.nxt.max(to);
    let mut sent = Sent::NEVER;
    sent.at = Stamp::at(Instant::from_micros(model.now));
    sent.flags = if again { Sent::RETRANSMITTED } else { 0 };
    pool.stamp(chain, range, sent);
    for page in model.pages(chain, pool.block_size().octets(), from, to) {
        let before = model.notes.get(&page);
        let twice = before.is_some_and(|note| note.sent.is_retransmitted());
        let mut sent = sent;
        if twice {
            sent.flags |= Sent::RETRANSMITTED;
        }
        model.notes.insert(
            page,
            Note {
                at: model.now,
                sent,
            },
        );
    }
}

/// Looks for losses in steps, and compares the sum with what the notes say.
fn expire(model: &Model, pool: &Pool<'_>, chain: &Chain, op: &Op) {
    let Op::Expire {
        from,
        octets,
        ago,
        end,
        reach,
        pages,
    } = *op
    else {
        return;
    };
    let from = (model.una + from).min(model.end);
    let to = (from + octets).min(model.end);
    let xmit = model.now - u64::from(ago);
    let end = model.una + end;
    let expiry = Expiry {
        xmit: Stamp::at(Instant::from_micros(xmit)),
        end: model.seq(end),
        reach_us: reach,
        now: Instant::from_micros(model.now + 1),
    };
    let size = pool.block_size().octets();
    let (mut edge, mut octets, mut last, mut wait_us) = (from, 0, None, None);
    for page in model.pages(chain, size, from, to) {
        let (start, stop) = (page.max(from), (page + size).min(to));
        let unsacked = stop - start - count(&model.sacked[start as usize..stop as usize]);
        if unsacked > 0 {
            let note = model
                .notes
                .get(&page)
                .filter(|note| (note.at, stop) <= (xmit, end) || note.at < xmit);
            wait_us =
                note.map(|note| (note.at + u64::from(reach)).saturating_sub(model.now + 1) as u32);
            if wait_us != Some(0) {
                break;
            }
            (octets, last, wait_us) = (octets + unsacked, note.map(|note| note.sent), None);
        }
        edge = stop;
    }
    let mut found = pool.expired(chain, model.range(from, to), &expiry, pages);
    while found.more {
        let rest = pool.expired(
            chain,
            SeqRange::new(found.edge, model.seq(to)),
            &expiry,
            pages,
        );
        assert!(
            rest.edge.after(found.edge) || !rest.more,
            "a search makes progress"
        );
        found = Expired {
            octets: found.octets + rest.octets,
            last: rest.last.or(found.last),
            ..rest
        };
    }
    let expected = Expired {
        edge: model.seq(edge),
        octets,
        last,
        wait_us,
        more: false,
    };
    assert_eq!(found, expected);
}

fn step(model: &mut Model, pool: &mut Pool<'_>, chain: &mut Chain, op: &Op) {
    match *op {
        Op::Store { .. } => store(model, pool, chain, op),
        Op::Sack { .. } => step_sack(model, pool, chain, op),
        Op::Extend { pages } => {
            let stored = pool.extend(chain, pages);
            advance(model, model.at(stored.advanced().end()), stored.more());
        }
        Op::TimeOut => {
            chain.forget_sacked();
            model.sacked.fill(false);
            model.reported.fill(false);
        }
        Op::Release {
            octets,
            watch,
            pages,
        } => {
            let una = (model.una + octets).min(model.end);
            step_release(model, pool, chain, una, watch, pages);
        }
        Op::Overtake { octets } => {
            let una = model.end + octets;
            if una < SPAN - 10_000 {
                step_release(model, pool, chain, una, (0, 0), ALL);
                let stored = pool.extend(chain, ALL);
                advance(model, model.at(stored.advanced().end()), stored.more());
            }
        }
        Op::Send { .. } => send(model, pool, chain, op),
        Op::Expire { .. } => expire(model, pool, chain, op),
        Op::Restart => {
            pool.restart(chain, model.seq(model.end));
            model.una = model.end;
            model.held.fill(false);
            model.sacked.fill(false);
            model.reported.fill(false);
            assert_eq!(pool.free_blocks(), pool.blocks());
        }
        Op::Limit { blocks } => {
            let quota = Quota {
                reserved_blocks: blocks / 4,
                limit_blocks: blocks,
            };
            let _ = pool.reserve(chain, quota);
        }
    }
    model.forget_notes(chain, pool.block_size().octets());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_pool_does_what_a_flat_model_does(
        isn in prop_oneof![any::<u32>(), (0u32..SPAN).prop_map(|back| 0u32.wrapping_sub(back)),
            (0u32..SPAN).prop_map(|back| (1u32 << 31) - back)],
        size in prop_oneof![Just(64usize), 64usize..300, 300usize..2048],
        blocks in prop_oneof![1usize..8, 8usize..400],
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut memory = Memory::new(blocks, size);
        let isn = SeqNum::new(isn);
        let mut chain = memory.chain(isn);
        let mut model = Model::new(isn);
        let mut pool = memory.pool();
        for op in &ops {
            step(&mut model, &mut pool, &mut chain, op);
            model.check(&pool, &chain);
        }
        pool.retire(&mut chain);
        prop_assert_eq!((pool.free_blocks(), pool.unpromised_blocks()), (pool.blocks(), pool.blocks()));
    }

    /// Segments of half a block and more are held, and their SACKs known, exactly.
    #[test]
    fn large_segments_are_never_refused(
        size in 64usize..200,
        segments in prop::collection::vec((0u32..40, any::<bool>()), 1..80),
        spare in 0u32..100,
        first in 1u32..200,
    ) {
        let mut memory = Memory::new(400, size);
        let isn = SeqNum::new(u32::MAX - 1000);
        let mut chain = memory.chain(isn);
        let mut pool = memory.pool();
        let mss = (size as u32).div_ceil(2) + spare;
        let _ = put(&mut pool, &mut chain, isn, &octets(0, first));
        for (segment, store) in segments {
            let at = first + segment * mss;
            if store {
                let seq = isn.advance(at);
                let stored = put(&mut pool, &mut chain, seq, &octets(at, mss));
                let covered = stored.held() == range(seq, mss) || chain.end().at_or_after(seq.advance(mss));
                let far = at / size as u32 > chain.blocks() + super::super::store::MAX_GAP_PAGES;
                prop_assert!(covered || far, "{stored:?}");
            } else {
                let block = range(isn.advance(at), mss);
                if block.intersection(chain.held()) == block {
                    sack(&mut pool, &mut chain, block, NOWHERE, ALL);
                    prop_assert_eq!(pool.unsacked_run(&chain, block, ALL), Run::None);
                }
            }
        }
    }

    /// Links, marks and counts of random integers are wrong, but end.
    #[test]
    fn corrupt_state_neither_panics_nor_hangs(
        garbage in prop::collection::vec(any::<[u32; 10]>(), 12),
        bounded: bool,
        ops in prop::collection::vec(op(), 1..40),
        at in prop::collection::vec(0usize..12, 1..6),
    ) {
        let mut memory = Memory::new(12, 64);
        let mut chain = memory.chain(SeqNum::ZERO);
        let _ = put(&mut memory.pool(), &mut chain, SeqNum::ZERO, &octets(0, 500));
        for index in at {
            let raw = garbage[index].map(|raw| if bounded { raw % 14 } else { raw });
            memory.blocks[index] = super::super::block::garbage(raw);
        }
        let mut pool = memory.pool();
        for op in &ops {
            abuse(&mut pool, &mut chain, op);
        }
        prop_assert!(pool.steps.get() < 3_000_000, "{}", pool.steps.get());
    }
}

/// Runs an operation without asking whether the result is right.
fn abuse(pool: &mut Pool<'_>, chain: &mut Chain, op: &Op) {
    let una = chain.una;
    match *op {
        Op::Store {
            ahead,
            octets,
            edge,
            push,
            commit,
            ..
        } => {
            let at = chain.end().advance(ahead.cast_unsigned());
            let edge = chain.end().advance(edge);
            let staged = pool.store(chain, at, &vec![1; octets as usize], edge, push);
            if commit {
                let _ = staged.commit();
            }
        }
        Op::Extend { pages } => {
            let _ = pool.extend(chain, pages);
        }
        Op::Sack {
            from,
            octets,
            watch,
            pages,
        } => {
            let watch = [range(una.advance(watch.0), watch.1), range(una, watch.0)];
            sack(pool, chain, range(una.advance(from), octets), watch, pages);
        }
        Op::TimeOut => chain.forget_sacked(),
        Op::Release {
            octets,
            watch,
            pages,
        } => {
            let watch = [range(una, watch.1), NOWHERE[1]];
            release(pool, chain, una.advance(octets), watch, pages);
        }
        Op::Overtake { octets } => {
            let una = chain.end().advance(octets);
            release(pool, chain, una, NOWHERE, ALL);
        }
        Op::Send { from, octets, .. } => {
            let range = range(una.advance(from), octets);
            let _ = pool.payload(chain, range).count();
            pool.stamp(chain, range, Sent::NEVER);
        }
        Op::Expire {
            from,
            octets,
            reach,
            pages,
            ..
        } => {
            let expiry = Expiry {
                xmit: Stamp::at(Instant::from_micros(1 << 31)),
                end: una,
                reach_us: reach,
                now: Instant::from_micros(1 << 31),
            };
            let range = range(una.advance(from), octets);
            let _ = pool.expired(chain, range, &expiry, pages);
        }
        Op::Restart => pool.restart(chain, una),
        Op::Limit { blocks } => {
            let _ = pool.reserve(
                chain,
                Quota {
                    reserved_blocks: blocks / 4,
                    limit_blocks: blocks,
                },
            );
        }
    }
    let _ = pool.unsacked_run(chain, chain.held(), 64);
    let _ = pool.unsacked_octets(chain, chain.held(), 64);
    let _ = pool.pushed(chain, chain.held());
    let _ = pool.payload(chain, chain.held()).count();
    let _ = pool.available(chain);
}
