//! The memory an engine lives in: lent by the caller, used in place, never moved.

#[cfg(feature = "bytemuck")]
mod region;

use crate::flow::FlowSlot;
use crate::flow::table::IndexSlot;
use crate::head::EngineHead;
use crate::path::PathSlot;
use crate::pool::BlockSlot;

#[cfg(feature = "bytemuck")]
pub use region::{Geometry, Misfit};

/// Memory for one engine.
///
/// All mutable state lives here; the [`Engine`](crate::Engine) itself is a view of it. Everything
/// starts as zeroes. The block size is `arena.len() / blocks.len()` octets.
#[derive(Debug)]
pub struct Storage<'a> {
    /// List heads, timers, counters.
    pub head: &'a mut EngineHead,
    /// One slot per flow.
    pub flows: &'a mut [FlowSlot],
    /// The hash index: a power of two of at least twice the flows.
    pub index: &'a mut [IndexSlot],
    /// One slot per block of the arena.
    pub blocks: &'a mut [BlockSlot],
    /// The octets in custody.
    pub arena: &'a mut [u8],
    /// What is known of the paths to receivers, a slot per network; as many as there are networks
    /// worth remembering, or none.
    pub paths: &'a mut [PathSlot],
    /// The flow that is being worked on as it was before: one slot if
    /// [`Config::sink_waits`](crate::Config::sink_waits), else none.
    pub before: &'a mut [FlowSlot],
}

/// Memory of a size known at compile time, for a `static`.
///
/// All zeroes, so it costs no flash. Do not put it on a stack. The octets of a direction's window
/// come out of `ARENA`; `INDEX` must be a power of two of at least `2 * FLOWS`. There is nothing in it for
/// [`Storage::before`].
#[derive(Debug)]
#[repr(C)]
pub struct StaticStorage<
    const FLOWS: usize,
    const INDEX: usize,
    const BLOCKS: usize,
    const ARENA: usize,
> {
    head: EngineHead,
    flows: [FlowSlot; FLOWS],
    index: [IndexSlot; INDEX],
    blocks: [BlockSlot; BLOCKS],
    arena: [u8; ARENA],
    paths: [PathSlot; FLOWS],
}

impl<const FLOWS: usize, const INDEX: usize, const BLOCKS: usize, const ARENA: usize>
    StaticStorage<FLOWS, INDEX, BLOCKS, ARENA>
{
    /// Zeroed memory.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            head: EngineHead::EMPTY,
            flows: [FlowSlot::EMPTY; FLOWS],
            index: [IndexSlot::EMPTY; INDEX],
            blocks: [BlockSlot::EMPTY; BLOCKS],
            arena: [0; ARENA],
            paths: [PathSlot::EMPTY; FLOWS],
        }
    }

    /// Lends the memory to an engine.
    pub const fn as_storage(&mut self) -> Storage<'_> {
        Storage {
            head: &mut self.head,
            flows: &mut self.flows,
            index: &mut self.index,
            blocks: &mut self.blocks,
            arena: &mut self.arena,
            paths: &mut self.paths,
            before: &mut [],
        }
    }
}

impl<const FLOWS: usize, const INDEX: usize, const BLOCKS: usize, const ARENA: usize> Default
    for StaticStorage<FLOWS, INDEX, BLOCKS, ARENA>
{
    fn default() -> Self {
        Self::new()
    }
}
