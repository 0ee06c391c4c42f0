//! Memory for an engine, on the heap.

use localack_core::{BlockSlot, EngineHead, FlowSlot, IndexSlot, PathSlot, Storage};

/// Owns what an engine borrows.
#[derive(Debug)]
pub struct Memory {
    head: Box<EngineHead>,
    flows: Vec<FlowSlot>,
    index: Vec<IndexSlot>,
    blocks: Vec<BlockSlot>,
    arena: Vec<u8>,
    paths: Vec<PathSlot>,
    before: [FlowSlot; 1],
}

impl Memory {
    /// Memory for `flows` connections and `blocks` blocks of `block_size` octets.
    #[must_use]
    pub fn new(flows: usize, blocks: usize, block_size: usize) -> Self {
        Self {
            head: Box::new(EngineHead::EMPTY),
            flows: vec![FlowSlot::EMPTY; flows],
            index: vec![IndexSlot::EMPTY; (2 * flows).next_power_of_two()],
            blocks: vec![BlockSlot::EMPTY; blocks],
            arena: vec![0; blocks * block_size],
            paths: vec![PathSlot::EMPTY; flows],
            before: [FlowSlot::EMPTY],
        }
    }

    /// Lends it.
    pub fn storage(&mut self) -> Storage<'_> {
        Storage {
            head: &mut self.head,
            flows: &mut self.flows,
            index: &mut self.index,
            blocks: &mut self.blocks,
            arena: &mut self.arena,
            paths: &mut self.paths,
            before: &mut self.before,
        }
    }
}
