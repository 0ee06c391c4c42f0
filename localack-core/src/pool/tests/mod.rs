//! Laws, cases and bounds of the pool.
#![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod bounds;
mod cases;
mod model;
mod rebuild;
mod sent;
mod undo;

use std::vec;
use std::vec::Vec;

use crate::seq::{SeqNum, SeqRange};

use super::release::Released;
use super::sack::Marked;
use super::store::Stored;
use super::{BlockSize, BlockSlot, Chain, Pool, PoolHead, Quota};

/// A limit of pages per call that no test's chain reaches.
const ALL: u32 = u32::MAX;
/// Watches nothing.
const NOWHERE: [SeqRange; 2] = [SeqRange::new(SeqNum::ZERO, SeqNum::ZERO); 2];

/// The memory of a pool.
struct Memory {
    head: PoolHead,
    blocks: Vec<BlockSlot>,
    arena: Vec<u8>,
    size: BlockSize,
}

impl Memory {
    fn new(blocks: usize, size: usize) -> Self {
        let blocks = vec![BlockSlot::EMPTY; blocks];
        let arena = vec![0xee; blocks.len() * size];
        let size = BlockSize::of(&blocks, &arena).unwrap();
        Self {
            head: PoolHead::EMPTY,
            blocks,
            arena,
            size,
        }
    }

    fn pool(&mut self) -> Pool<'_> {
        Pool::new(&mut self.head, &mut self.blocks, &mut self.arena, self.size)
    }

    /// A chain that may take the whole pool.
    fn chain(&mut self, at: SeqNum) -> Chain {
        let limit_blocks = u32::MAX;
        self.chain_with(
            at,
            Quota {
                reserved_blocks: 0,
                limit_blocks,
            },
        )
    }

    fn chain_with(&mut self, at: SeqNum, quota: Quota) -> Chain {
        let mut chain = empty(at);
        self.pool().reserve(&mut chain, quota).unwrap();
        chain
    }
}

/// A stream without a quota that begins at `at`.
fn empty(at: SeqNum) -> Chain {
    let mut chain = Chain::EMPTY;
    chain.rebase(at);
    chain
}

/// Stores and commits, with no edge in the way.
fn put(pool: &mut Pool<'_>, chain: &mut Chain, at: SeqNum, bytes: &[u8]) -> Stored {
    pool.store(chain, at, bytes, at.advance(1 << 30), false)
        .commit()
}

/// The same at the in-order end.
fn append(pool: &mut Pool<'_>, chain: &mut Chain, bytes: &[u8]) -> Stored {
    let end = chain.end();
    put(pool, chain, end, bytes)
}

/// Marks, where everything stored has been sent.
fn sack(
    pool: &mut Pool<'_>,
    chain: &mut Chain,
    block: SeqRange,
    watch: [SeqRange; 2],
    pages: u32,
) -> Marked {
    let snd_nxt = chain.end();
    pool.mark_sacked(chain, block, snd_nxt, watch, pages)
}

/// Releases, where everything stored has been sent.
fn release(
    pool: &mut Pool<'_>,
    chain: &mut Chain,
    una: SeqNum,
    watch: [SeqRange; 2],
    pages: u32,
) -> Released {
    let snd_nxt = chain.end();
    pool.release(chain, una, snd_nxt, watch, pages)
}

fn bytes_of(pool: &Pool<'_>, chain: &Chain, range: SeqRange) -> Vec<u8> {
    let mut bytes = Vec::new();
    pool.peek(chain, range)
        .for_each(|piece| bytes.extend_from_slice(piece));
    bytes
}

fn range(at: SeqNum, octets: u32) -> SeqRange {
    SeqRange::new(at, at.advance(octets))
}

/// The octet that a test stream has at `at`.
fn octet(at: u32) -> u8 {
    (at.wrapping_mul(0x9e37_79b9) >> 24) as u8
}

fn octets(from: u32, count: u32) -> Vec<u8> {
    (from..from + count).map(octet).collect()
}
