//! The octets in custody: a pool of blocks over lent memory, shared by all flows.
//!
//! A [`Chain`] is one direction's byte stream. It is stored in pages: page *k* is one block and
//! holds the octets `base + k * B .. base + (k + 1) * B`, whatever segments they came in. Blocks
//! are appended at the tail and freed at the head, so full segments and one-octet writes are both
//! dense, and finding an octet is arithmetic plus a walk over skip links of a few dozen steps at
//! most. Octets past the in-order end may be held as well; each block says which.
//!
//! The same marks, on the other side of the in-order end, say what the receiver has SACKed: the
//! chain is the scoreboard (RFC 6675), and it cannot overflow. Each block also has a note of when
//! octets of its page were last sent, from which losses are inferred (RFC 8985); what is
//! acknowledged says what the notes of its pages say.
//!
//! Rules kept here: octets are released only by what the receiver has acknowledged (H4.1,
//! invariant 11) or when the whole stream is given up; nothing that was not stored can be
//! acknowledged, because only a commit makes a [`Stored`](store::Stored) (invariant 23); the first copy of an
//! octet wins for ever (H5.2, invariant 12); a flow can use up its share, never what is promised
//! to another (H12.4).
//!
//! Every index that is read from memory is checked and every walk is bounded, so nothing panics
//! or hangs on corrupt state.

mod block;
mod chain;
mod marks;
mod read;
mod rebuild;
mod release;
mod report;
mod sack;
mod sent;
mod store;
#[cfg(test)]
mod tests;
mod undo;
mod walk;

use core::fmt;

use crate::seq::SeqNum;

pub(crate) use block::BlockSize;
pub use block::BlockSlot;
pub(crate) use chain::Chain;
pub(crate) use read::Payload;
pub(crate) use rebuild::{Owner, Unsound};
pub(crate) use release::Released;
pub(crate) use sack::Run;
pub(crate) use sent::{Expiry, Newest};

use block::Link;
use marks::Marks;
use undo::Undo;
pub(crate) use undo::Undone;

/// Most octets a chain may hold, so that windows stay below 2^30 (rule H9.9).
const MAX_CHAIN: u32 = 1 << 29;

/// What the pool knows besides its blocks. All zeroes is a pool that was never used.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct PoolHead {
    /// First block of the free list.
    free: Link,
    /// Index of the first block that was never used; all later ones were not either.
    fresh: u32,
    /// Blocks that belong to chains.
    used: u32,
    /// Blocks reserved for chains that do not hold them yet.
    promised: u32,
    /// How what is being done can be put back.
    undo: Undo,
}

impl PoolHead {
    /// A pool that was never used.
    pub(crate) const EMPTY: Self = Self {
        free: Link::NONE,
        fresh: 0,
        used: 0,
        promised: 0,
        undo: Undo::NONE,
    };

    /// Blocks that belong to chains.
    pub(crate) const fn used(&self) -> u32 {
        self.used
    }

    /// From here on what is done to one flow's chains can be put back with their slot, as long as it can.
    pub(crate) fn begin_undo(&mut self) {
        self.undo.begin();
    }

    /// From here on nothing is done to the flow that would have to be put back.
    pub(crate) fn begin_hearing(&mut self) {
        self.undo.begin_hearing();
    }

    /// All is done: nothing is put back any more.
    pub(crate) fn end_undo(&mut self) {
        self.undo.end();
    }
}

/// How many blocks a chain may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Quota {
    /// Blocks that the chain can have at any time, whatever others do.
    pub(crate) reserved_blocks: u32,
    /// Most blocks that it can have; at least the reserved ones.
    pub(crate) limit_blocks: u32,
}

/// The pool has fewer unpromised free blocks than a chain asked to reserve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoRoom;

/// A view of the pool for the time of one call.
pub(crate) struct Pool<'p> {
    head: &'p mut PoolHead,
    blocks: &'p mut [BlockSlot],
    arena: &'p mut [u8],
    size: BlockSize,
    /// Block slots read or written since the view was made.
    #[cfg(test)]
    steps: core::cell::Cell<u32>,
}

impl fmt::Debug for Pool<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("head", &self.head)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl<'p> Pool<'p> {
    /// A view of the pool in this memory; `size` is [`BlockSize::of`] it.
    pub(crate) fn new(
        head: &'p mut PoolHead,
        blocks: &'p mut [BlockSlot],
        arena: &'p mut [u8],
        size: BlockSize,
    ) -> Self {
        Self {
            head,
            blocks,
            arena,
            size,
            #[cfg(test)]
            steps: core::cell::Cell::new(0),
        }
    }

    /// Octets per block.
    #[must_use]
    pub(crate) const fn block_size(&self) -> BlockSize {
        self.size
    }

    /// Blocks in the pool.
    #[must_use]
    pub(crate) fn blocks(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)
    }

    /// Blocks that belong to no chain.
    #[must_use]
    pub(crate) fn free_blocks(&self) -> u32 {
        self.blocks().saturating_sub(self.head.used)
    }

    /// Free blocks that are not promised to any chain.
    #[must_use]
    pub(crate) fn unpromised_blocks(&self) -> u32 {
        self.free_blocks().saturating_sub(self.head.promised)
    }

    /// Gives `chain` this quota instead of the one it had.
    ///
    /// Blocks that it holds above a lowered limit stay until they are released.
    ///
    /// # Errors
    /// [`NoRoom`] if the reservation cannot be promised; the chain keeps the quota it had.
    pub(crate) fn reserve(&mut self, chain: &mut Chain, quota: Quota) -> Result<(), NoRoom> {
        let (most, _) = self.size.split(MAX_CHAIN);
        let reserved = quota.reserved_blocks.min(most).min(u16::MAX.into());
        let limit = quota.limit_blocks.min(most).max(reserved);
        let others = self.head.promised.saturating_sub(chain.owed());
        let owed = reserved.saturating_sub(chain.count);
        if others.saturating_add(owed) > self.free_blocks() {
            return Err(NoRoom);
        }
        self.head.promised = others.saturating_add(owed);
        chain.reserved = crate::seq::low_half(reserved);
        chain.limit = limit;
        Ok(())
    }

    /// Octets that `chain` may come to hold, wherever they begin and end in its blocks.
    pub(crate) fn most_octets(&self, chain: &Chain) -> u32 {
        let whole_blocks = chain.limit.saturating_sub(2);
        whole_blocks.saturating_mul(self.block_size().octets())
    }

    /// Octets past its in-order end that `chain` can take now, as long as others take none of the
    /// unpromised blocks.
    #[must_use]
    pub(crate) fn available(&self, chain: &Chain) -> u32 {
        let blocks = chain.owed().saturating_add(self.unpromised_blocks());
        let blocks = blocks.min(chain.limit.saturating_sub(chain.count));
        let slack = chain.capacity_end(self.size).octets_past(chain.end);
        slack.saturating_add(self.size.start_of(blocks))
    }

    /// Gives up everything that `chain` holds and lets its stream begin at `at`; O(1).
    ///
    /// The quota stays.
    pub(crate) fn restart(&mut self, chain: &mut Chain, at: SeqNum) {
        let count = chain.count;
        self.drop_head(chain, count);
        chain.rebase(at);
        chain.ahead = 0;
        chain.sacked = 0;
    }

    /// Gives up everything that `chain` holds, and its reservation; O(1).
    pub(crate) fn retire(&mut self, chain: &mut Chain) {
        self.restart(chain, SeqNum::ZERO);
        self.head.promised = self.head.promised.saturating_sub(chain.owed());
        *chain = Chain::EMPTY;
    }

    /// A free block for `chain`, if its quota and the promises to others allow it.
    fn take_block(&mut self, chain: &Chain) -> Option<Link> {
        let owed = chain.owed();
        let blocks = if owed > 0 {
            self.free_blocks()
        } else {
            self.unpromised_blocks()
        };
        if blocks == 0 || chain.count >= chain.limit {
            return None;
        }
        let link = self.pop_free().or_else(|| self.pop_fresh())?;
        self.head.used = self.head.used.saturating_add(1);
        if owed > 0 {
            self.head.promised = self.head.promised.saturating_sub(1);
        }
        Some(link)
    }

    fn pop_free(&mut self) -> Option<Link> {
        self.head.undo.before_use();
        let link = self.head.free;
        self.head.free = self.slot(link)?.next;
        Some(link)
    }

    fn pop_fresh(&mut self) -> Option<Link> {
        let index = self.head.fresh;
        if index >= self.blocks() {
            return None;
        }
        self.head.fresh = index.saturating_add(1);
        Some(Link::to(index))
    }

    /// Frees the `count` linked blocks `first ..= last`.
    fn free(&mut self, first: Link, last: Link, count: u32) {
        let rest = self.head.free;
        let followed = self.slot(last).map_or(Link::NONE, |slot| slot.next);
        self.head.undo.before_free(last, followed);
        if let Some(slot) = self.slot_mut(last) {
            slot.next = rest;
            self.head.free = first;
        }
        self.head.used = self.head.used.saturating_sub(count);
    }

    fn slot(&self, link: Link) -> Option<&BlockSlot> {
        #[cfg(test)]
        self.steps.set(self.steps.get().saturating_add(1));
        self.blocks.get(link.index()?)
    }

    fn slot_mut(&mut self, link: Link) -> Option<&mut BlockSlot> {
        #[cfg(test)]
        self.steps.set(self.steps.get().saturating_add(1));
        self.blocks.get_mut(link.index()?)
    }

    /// The octets `from .. to` of a block.
    fn octets_mut(&mut self, link: Link, from: u32, to: u32) -> Option<&mut [u8]> {
        let start = link.index()?.checked_mul(self.size.octets() as usize)?;
        let range = start.checked_add(from as usize)?..start.checked_add(to as usize)?;
        self.arena.get_mut(range)
    }
}
