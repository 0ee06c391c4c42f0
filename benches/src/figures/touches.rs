//! What a crowd of connections must cost more than one: memory that is in no cache.
//!
//! For each cycle of a connection whose turn comes by chance, a line of the index has to be read, then its
//! slot, its block's slot, and the place of the payload. The floor touches as many lines of each as the
//! engine does, in memory of the same size and laid out alike, and does nothing else. A line is read and
//! written at once. Each place depends on the one before as it must: the index says where the slot is, and
//! that where the block is; lines of the same place do not wait for each other.

use core::hint::black_box;

use crate::load::cases::{BATCH, Order, Picks};
use crate::load::{Case, PAYLOAD};

/// Octets of a line of the cache.
const LINE: usize = 64;
/// Lines of a flow slot that a cycle touches, of the sixteen that there are: as `valgrind --tool=lackey
/// --trace-mem=yes` found for the case `cycle`.
pub(super) const SLOT_LINES: usize = 13;
/// Octets of a flow slot, and of a block.
const SLOT: usize = 1024;
const BLOCK: usize = 1536;
/// Where a flow slot says which block it is.
const BLOCK_AT: core::ops::Range<usize> = 4..8;
/// Octets of a block slot, in whole lines.
const BLOCK_SLOT: usize = 64;

/// Touches of as many connections as there are. A unit is what a cycle touches.
#[derive(Debug)]
pub(super) struct Touches {
    index: Vec<u64>,
    slots: Vec<u8>,
    block_slots: Vec<u8>,
    arena: Vec<u8>,
    picks: Picks,
    batch: Vec<u32>,
    sum: u8,
}

impl Touches {
    /// Memory for `flows` connections, each with a block.
    #[must_use]
    pub(super) fn new(flows: u32, order: Order) -> Self {
        let count = flows as usize;
        let places = (2 * count).next_power_of_two();
        // The hash scatters connections over the index, and they lie in the order in which they came.
        let mut index = vec![0; places];
        let mut slots = vec![1; count * SLOT];
        for (flow, slot) in (0..flows).zip(slots.chunks_exact_mut(SLOT)) {
            index[place(flow, places)] = u64::from(flow);
            slot[BLOCK_AT].copy_from_slice(&scattered(flow, flows).to_ne_bytes());
        }
        Self {
            index,
            slots,
            block_slots: vec![1; count * BLOCK_SLOT],
            arena: vec![1; count * BLOCK],
            picks: Picks::new(order, flows),
            batch: vec![0; BATCH],
            sum: 0,
        }
    }

    /// Takes turns in another order.
    pub(super) fn set_order(&mut self, order: Order) {
        self.picks = self.picks.in_order(order);
    }
}

/// Where the index begins to look for a connection.
fn place(flow: u32, places: usize) -> usize {
    let hash = u64::from(flow).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(hash).expect("32 bits") & (places - 1)
}

/// The block of a connection: as they are freed and taken again, no order stays.
fn scattered(flow: u32, flows: u32) -> u32 {
    let place = u64::from(flow) * 2_654_435_761 % u64::from(flows);
    u32::try_from(place).expect("less than the flows")
}

/// Reads and writes a part of each line of `place`.
#[inline]
fn touch(place: &mut [u8], lines: usize) -> u8 {
    let mut sum = 0_u8;
    for line in place.chunks_exact_mut(LINE).take(lines) {
        line[0] = line[0].wrapping_add(1);
        sum = sum.wrapping_add(line[0]);
    }
    sum
}

impl Case for Touches {
    fn prepare(&mut self) {
        for turn in &mut self.batch {
            *turn = self.picks.turn();
        }
    }

    fn run(&mut self) -> u32 {
        let places = self.index.len();
        let mut sum = self.sum;
        for &turn in &self.batch {
            let at = self.index[place(turn, places)] as usize * SLOT;
            let slot = &mut self.slots[at..at + SLOT];
            let mut block = [0; 4];
            block.copy_from_slice(&slot[BLOCK_AT]);
            let block = u32::from_ne_bytes(block) as usize;
            sum = sum.wrapping_add(touch(slot, SLOT_LINES));
            let at = block * BLOCK_SLOT;
            sum = sum.wrapping_add(touch(&mut self.block_slots[at..at + BLOCK_SLOT], 1));
            let at = block * BLOCK;
            let lines = PAYLOAD.div_ceil(LINE);
            sum = sum.wrapping_add(touch(&mut self.arena[at..at + BLOCK], lines));
        }
        self.sum = black_box(sum);
        BATCH as u32
    }
}
