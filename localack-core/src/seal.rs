//! What tells an engine that takes memory over whether it can: what the memory was made for, and
//! whether somebody died while writing to it.

use core::mem::{offset_of, size_of};
use core::sync::atomic::{Ordering, compiler_fence};

use crate::flow::FlowSlot;
use crate::flow::table::IndexSlot;
use crate::head::EngineHead;
use crate::path::PathSlot;
use crate::pool::BlockSlot;
use crate::storage::Storage;

/// "lack" in ASCII, read as a little-endian number: other byte orders are other layouts.
const MAGIC: u32 = u32::from_le_bytes(*b"lack");

/// To be raised whenever a slot's octets come to mean something else although their number and place
/// stay the same. What sizes and offsets show is in [`LAYOUT`] already.
const REVISION: u32 = 3;

/// A number that is another wherever the memory of one build's engine means nothing to another build, so that
/// [`Engine::attach`](crate::Engine::attach) refuses it.
pub const LAYOUT: u32 = layout();

const fn layout() -> u32 {
    let parts = [
        REVISION as usize,
        size_of::<FlowSlot>(),
        size_of::<IndexSlot>(),
        size_of::<BlockSlot>(),
        size_of::<PathSlot>(),
        size_of::<EngineHead>(),
        offset_of!(FlowSlot, key),
        offset_of!(FlowSlot, hosts),
        offset_of!(FlowSlot, phase_due),
        offset_of!(EngineHead, shares),
        offset_of!(EngineHead, clock),
        offset_of!(EngineHead, counters),
        usize::BITS as usize,
    ];
    // FNV-1a.
    let mut hash: u32 = 0x811c_9dc5;
    let mut at = 0;
    while at < parts.len() {
        #[expect(clippy::indexing_slicing, reason = "below the length, in a constant")]
        let part = parts[at];
        hash = (hash ^ low_half(part)).wrapping_mul(0x0100_0193);
        at = at.wrapping_add(1);
    }
    hash
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::as_conversions,
    reason = "sizes are small, and this is a hash"
)]
const fn low_half(part: usize) -> u32 {
    part as u32
}

/// Whose memory this is, and what is being done to it. All zeroes is nobody's.
///
/// Plain old data, like all that is lent. Whoever reads it after a crash is another process, and
/// what it must see is the order in which this one's stores were made: the compiler is kept from
/// changing that by fences, and a processor shows its own stores in order to whoever comes after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Seal {
    magic: u32,
    layout: u32,
    flows: u32,
    index: u32,
    blocks: u32,
    paths: u32,
    arena_low: u32,
    arena_high: u32,
    /// Index plus one of the slot that is being written to; zero if none is.
    open: u32,
    _padding: u32,
}

/// Why memory cannot be taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Broken {
    /// No engine has ever used it, or it was overwritten.
    Magic,
    /// An engine of another build has.
    Layout,
    /// It was cut differently.
    Sizes,
}

impl Seal {
    pub(crate) const NONE: Self = Self {
        magic: 0,
        layout: 0,
        flows: 0,
        index: 0,
        blocks: 0,
        paths: 0,
        arena_low: 0,
        arena_high: 0,
        open: 0,
        _padding: 0,
    };

    /// The seal of this memory.
    pub(crate) fn of(storage: &Storage<'_>) -> Self {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let arena = u64::try_from(storage.arena.len()).unwrap_or(u64::MAX);
        Self {
            magic: MAGIC,
            layout: LAYOUT,
            flows: count(storage.flows.len()),
            index: count(storage.index.len()),
            blocks: count(storage.blocks.len()),
            paths: count(storage.paths.len()),
            arena_low: u32::try_from(arena & u64::from(u32::MAX)).unwrap_or(0),
            arena_high: u32::try_from(arena >> 32).unwrap_or(u32::MAX),
            open: 0,
            _padding: 0,
        }
    }

    /// Whether this is the seal of memory like `storage`, whatever was being done to it.
    pub(crate) fn fits(&self, storage: &Storage<'_>) -> Result<(), Broken> {
        let own = Self::of(storage);
        if self.magic != own.magic {
            Err(Broken::Magic)
        } else if self.layout != own.layout {
            Err(Broken::Layout)
        } else if *self
            != (Self {
                open: self.open,
                ..own
            })
        {
            Err(Broken::Sizes)
        } else {
            Ok(())
        }
    }

    /// `slot`, and whatever hangs on it, is written to from here on.
    #[inline(always)]
    pub(crate) fn open(&mut self, slot: u32) {
        self.open = slot.wrapping_add(1);
        compiler_fence(Ordering::SeqCst);
    }

    /// Everything that was begun is done.
    #[inline(always)]
    pub(crate) fn close(&mut self) {
        compiler_fence(Ordering::SeqCst);
        self.open = 0;
    }

    /// The slot that was being written to when the last writer stopped.
    pub(crate) const fn opened(&self) -> Option<u32> {
        self.open.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_that_mean_something_else_have_another_number() {
        // Raise `REVISION` when the meaning of a field changes, and then write the number here.
        let known = match (cfg!(feature = "cubic"), cfg!(feature = "bbr")) {
            (true, true) if usize::BITS == 64 => LAYOUT_OF_64_BITS,
            _ => LAYOUT,
        };
        assert_eq!(LAYOUT, known);
    }

    const LAYOUT_OF_64_BITS: u32 = 3_912_728_478;

    #[test]
    fn memory_that_was_cut_differently_is_told_apart_by_its_seal() {
        use crate::storage::StaticStorage;

        let mut lived = StaticStorage::<4, 8, 16, { 16 * 512 }>::new();
        let seal = Seal::of(&lived.as_storage());
        assert!(seal.fits(&lived.as_storage()).is_ok());
        // As many blocks, and each is twice as large.
        let mut wide = StaticStorage::<4, 8, 16, { 16 * 1024 }>::new();
        assert!(matches!(seal.fits(&wide.as_storage()), Err(Broken::Sizes)));
    }
}
