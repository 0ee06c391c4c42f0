//! The memory of an engine. All of it is there from the start, and it never grows.

use localack_core::{BlockSlot, EngineHead, FlowSlot, IndexSlot, PathSlot, Storage};

/// Octets of a block: a full segment of Ethernet, and what the engine needs to keep several in one.
const BLOCK_SIZE: usize = 2048;

/// Owns what an engine borrows.
pub(super) struct Memory {
    head: Box<EngineHead>,
    flows: Vec<FlowSlot>,
    index: Vec<IndexSlot>,
    blocks: Vec<BlockSlot>,
    arena: Vec<u8>,
    paths: Vec<PathSlot>,
}

impl Memory {
    /// Memory for `flows` connections, at least one, with `buffer` octets for what is in custody, in whole
    /// blocks.
    pub(super) fn new(flows: usize, buffer: usize) -> Self {
        let flows = flows.max(1);
        let blocks = (buffer / BLOCK_SIZE).max(1);
        Self {
            head: Box::new(EngineHead::EMPTY),
            flows: vec![FlowSlot::EMPTY; flows],
            index: vec![IndexSlot::EMPTY; (2 * flows).next_power_of_two()],
            blocks: vec![BlockSlot::EMPTY; blocks],
            arena: vec![0; blocks * BLOCK_SIZE],
            paths: vec![PathSlot::EMPTY; flows],
        }
    }

    /// Lends it.
    pub(super) fn storage(&mut self) -> Storage<'_> {
        Storage {
            head: &mut self.head,
            flows: &mut self.flows,
            index: &mut self.index,
            blocks: &mut self.blocks,
            arena: &mut self.arena,
            paths: &mut self.paths,
        }
    }
}
