//! One block of the arena: what is known of it besides its octets, and how it is named.

use core::num::NonZeroU32;

use super::marks::Marks;
use crate::recovery::delivery::Sent;
#[cfg(test)]
use crate::time::{Instant, Stamp};

/// The distances of the skip links, in pages, ascending.
pub(super) const SKIPS: [u32; 3] = [16, 256, 4096];

/// The name of a block: its index plus one, so that zeroed memory means "none".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(super) struct Link(u32);

impl Link {
    pub(super) const NONE: Self = Self(0);

    /// The block at `index`.
    pub(super) const fn to(index: u32) -> Self {
        Self(index.wrapping_add(1))
    }

    /// A link that stands for something else than a block while a pool is rebuilt.
    pub(super) const fn named(raw: u32) -> Self {
        Self(raw)
    }

    /// What [`Self::named`] got.
    pub(super) const fn raw(self) -> u32 {
        self.0
    }

    /// The index, if there is one. Whether it exists in the pool is for the slice to say.
    pub(super) const fn index(self) -> Option<usize> {
        match self.0.checked_sub(1) {
            Some(index) => Some(index as usize),
            None => None,
        }
    }
}

/// What the pool knows of one block. All zeroes is a block that was never used.
///
/// Plain old data that fits a cache line: 60 octets, and 40 without the feature `bbr`, which notes
/// less of a transmission.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct BlockSlot {
    /// The next page of the chain, or the next free block.
    pub(super) next: Link,
    /// The pages [`SKIPS`] ahead. Right for every page inside the chain; beyond its tail stale.
    pub(super) skip: [Link; 3],
    /// Octets held out of order (past the in-order end) or SACKed by the receiver (before it).
    pub(super) marks: Marks,
    /// The chain's epoch under which the SACK marks were made; under any other they are void.
    pub(super) epoch: u32,
    /// Offset of the end of the last pushed segment that ends in this page, 0 if none.
    pub(super) push: u16,
    /// If the whole page is SACKed: at least so many pages from here on are, too; 0 says nothing.
    ///
    /// Marks only ever grow within an epoch, so this stays true without upkeep, and walks over
    /// long SACKed stretches take a few jumps instead of a step per page.
    pub(super) run: u16,
    /// The last transmission of any octet of the page.
    pub(super) sent: Sent,
}

impl BlockSlot {
    /// A block that was never used.
    pub const EMPTY: Self = Self {
        next: Link::NONE,
        skip: [Link::NONE; 3],
        marks: Marks::NONE,
        epoch: 0,
        push: 0,
        run: 0,
        sent: Sent::NEVER,
    };

    /// The octets SACKed under `epoch`, where the in-order end lies at `end` in this page.
    pub(super) fn sacked(&self, epoch: u32, end: u32) -> Marks {
        if self.epoch == epoch {
            self.marks.before(end)
        } else {
            Marks::NONE
        }
    }

    /// Pages from here on that are SACKed as a whole under `epoch`, 0 if this page is not; the
    /// in-order end lies at `end` in it.
    pub(super) fn sacked_pages(&self, epoch: u32, end: u32, size: BlockSize) -> u32 {
        if self.sacked(epoch, end).fill(size.octets()) {
            u32::from(self.run).max(1)
        } else {
            0
        }
    }

    /// Notes a transmission of octets of the page. That some were sent again is never forgotten.
    pub(super) const fn note_sent(&mut self, sent: Sent) {
        let flags = sent.flags | self.sent.flags & Sent::RETRANSMITTED;
        self.sent = Sent { flags, ..sent };
    }

    /// All marks that are valid under `epoch`, where the in-order end lies at `end` in this page.
    pub(super) fn valid(&self, epoch: u32, end: u32) -> Marks {
        if self.epoch == epoch {
            self.marks
        } else {
            self.marks.after(end)
        }
    }

    /// Drops the SACK marks of earlier epochs, so that new marks can be added.
    pub(super) fn enter(&mut self, epoch: u32, end: u32) {
        if self.epoch != epoch {
            self.marks = self.valid(epoch, end);
            self.epoch = epoch;
            self.run = 0;
        }
    }
}

/// Octets per block, 64 ..= 65,535.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(crate) struct BlockSize(NonZeroU32);

impl BlockSize {
    /// Smallest block, in octets.
    pub(crate) const MIN: u32 = 64;
    /// Largest block, in octets: offsets in a block are 16-bit numbers.
    pub(crate) const MAX: u32 = 65_535;

    /// The size of the blocks that an `arena` is cut into, one for each of `blocks`.
    ///
    /// `None` if there are no blocks, more than 2^31 of them, or their size is not allowed.
    #[must_use]
    pub(crate) fn of(blocks: &[BlockSlot], arena: &[u8]) -> Option<Self> {
        let octets = u32::try_from(arena.len().checked_div(blocks.len())?).ok()?;
        let size = NonZeroU32::new(octets)?;
        let fits = (Self::MIN..=Self::MAX).contains(&octets);
        (fits && blocks.len() <= 1 << 31).then_some(Self(size))
    }

    /// Octets per block.
    #[must_use]
    pub(crate) const fn octets(self) -> u32 {
        self.0.get()
    }

    /// Blocks that hold `octets`, the last one perhaps in part.
    #[must_use]
    pub(crate) const fn pages(self, octets: u32) -> u32 {
        octets.div_ceil(self.0.get())
    }

    /// The page that an octet lies in, and its offset there.
    pub(super) fn split(self, octet: u32) -> (u32, u32) {
        (octet / self.0, octet % self.0)
    }

    /// Where a page begins, in octets from the base.
    pub(crate) const fn start_of(self, page: u32) -> u32 {
        page.saturating_mul(self.0.get())
    }
}

/// A slot of arbitrary numbers, to test that none of them can do harm.
#[cfg(test)]
pub(super) fn garbage(raw: [u32; 10]) -> BlockSlot {
    let [next, a, b, c, low, high, epoch, rest, at, flags] = raw;
    let mut sent = Sent::NEVER;
    sent.at = Stamp::at(Instant::from_micros(at.into()));
    sent.flags = flags;
    let half = |word: u32| crate::seq::low_half(word);
    BlockSlot {
        next: Link(next),
        skip: [Link(a), Link(b), Link(c)],
        marks: Marks::garbage([half(low), half(low >> 16), half(high), half(high >> 16)]),
        epoch,
        push: half(rest),
        run: half(rest >> 16),
        sent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn block_sizes_outside_the_limits_are_refused() {
        let blocks = [BlockSlot::EMPTY; 2];
        let size = |octets: usize| BlockSize::of(&blocks, &vec![0; octets]).map(BlockSize::octets);
        assert_eq!(size(127), None);
        assert_eq!(size(128), Some(64));
        assert_eq!(size(3 * 1024 + 1), Some(1536));
        assert_eq!(size(2 * 65_535), Some(65_535));
        assert_eq!(size(2 * 65_536), None);
        assert_eq!(BlockSize::of(&[], &[0; 64]), None);
    }

    #[test]
    fn a_block_fits_a_cache_line() {
        let octets = if cfg!(feature = "bbr") { 60 } else { 40 };
        assert_eq!(size_of::<BlockSlot>(), octets);
    }
}
