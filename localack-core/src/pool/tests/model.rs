//! The pool against the simplest thing that could be right: an octet and three flags per
//! number, and a note per page.

mod notes;
mod steps;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{Expiry, Run};
use super::*;
use crate::recovery::delivery::Sent;
use crate::time::{Instant, Stamp};
use crate::wire::checksum::Sum;
use notes::Note;
use steps::step;

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
            now: notes::START,
            notes: BTreeMap::new(),
        }
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
