//! From a key's hash to a flow slot, and which flow slots are free.
//!
//! The index is an open-addressing table with linear probing over lent memory. One rule bounds
//! every walk: no insertion may leave a run of more than [`MAX_RUN`] occupied slots. An entry
//! always lies in the run that holds its home slot, so that a look-up, an insertion and a removal
//! (which closes its hole by shifting entries back and never grows a run) end within one or two
//! runs, and what an insertion accepted is always found. At half load the longest run of two
//! million slots stays below that bound for any but an absurdly unlucky hash; the flow that is
//! refused then passes unserved.

use super::id::FlowId;

/// Longest run of occupied index slots.
const MAX_RUN: usize = 128;

/// One slot of the hash index. Opaque: lend a slice of [`IndexSlot::EMPTY`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct IndexSlot {
    hash: u32,
    /// Flow index plus one; zero if the slot is empty.
    flow: u32,
}

impl IndexSlot {
    /// A slot without an entry.
    pub const EMPTY: Self = Self { hash: 0, flow: 0 };

    const fn is_empty(self) -> bool {
        self.flow == 0
    }
}

/// No slot near the entry's home is free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TableFull;

/// A view of the hash index: `hash -> flow index`, where several flows may share a hash.
///
/// The slice's length must be a power of two, and at least twice the flows to make
/// [`TableFull`] rare.
#[derive(Debug)]
pub(crate) struct FlowIndex<'a> {
    slots: &'a mut [IndexSlot],
    #[cfg(test)]
    steps: core::cell::Cell<usize>,
}

impl<'a> FlowIndex<'a> {
    pub(crate) const fn new(slots: &'a mut [IndexSlot]) -> Self {
        Self {
            slots,
            #[cfg(test)]
            steps: core::cell::Cell::new(0),
        }
    }

    /// The first flow under `hash` that `is_it` accepts.
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut place = self.home(hash);
        for _ in 0..self.longest_run() {
            let entry = self.at(place);
            let flow = entry.flow.checked_sub(1)?;
            if entry.hash == hash && is_it(flow) {
                return Some(flow);
            }
            place = self.after(place, 1);
        }
        None
    }

    /// Enters `flow` under `hash`. The pair must not be in the table yet.
    pub(crate) fn insert(&mut self, hash: u32, flow: u32) -> Result<(), TableFull> {
        let reference = flow.checked_add(1).ok_or(TableFull)?;
        let home = self.home(hash);
        let ahead = self.run_from(home).count();
        let place = self.after(home, ahead);
        let run = ahead
            .saturating_add(self.run_from(self.after(place, 1)).count())
            .saturating_add(self.run_before(home))
            .saturating_add(1);
        if run > self.longest_run() {
            return Err(TableFull);
        }
        let slot = self.slots.get_mut(place).ok_or(TableFull)?;
        *slot = IndexSlot {
            hash,
            flow: reference,
        };
        Ok(())
    }

    /// Takes the entry of `flow` under `hash` out; `false` if there is none.
    pub(crate) fn remove(&mut self, hash: u32, flow: u32) -> bool {
        let Some(place) = self
            .run_from(self.home(hash))
            .find(|(_, entry)| entry.hash == hash && entry.flow.checked_sub(1) == Some(flow))
            .map(|(place, _)| place)
        else {
            return false;
        };
        self.close_hole(place);
        true
    }

    /// Empties the slot `hole`, first moving back each later entry of the run that would no longer
    /// be reached from its home.
    fn close_hole(&mut self, mut hole: usize) {
        let mut place = hole;
        for _ in 0..self.longest_run() {
            place = self.after(place, 1);
            let entry = self.at(place);
            if entry.is_empty() {
                break;
            }
            if self.distance(self.home(entry.hash), place) >= self.distance(hole, place) {
                self.set(hole, entry);
                hole = place;
            }
        }
        self.set(hole, IndexSlot::EMPTY);
    }

    /// The occupied slots from `start` up to the first empty one.
    fn run_from(&self, start: usize) -> impl Iterator<Item = (usize, IndexSlot)> {
        (0..self.longest_run())
            .map(move |step| self.after(start, step))
            .map(|place| (place, self.at(place)))
            .take_while(|(_, entry)| !entry.is_empty())
    }

    /// Occupied slots just before `end`.
    fn run_before(&self, end: usize) -> usize {
        (1..=self.longest_run())
            .map(|step| self.at(end.wrapping_sub(step) & self.mask()))
            .take_while(|entry| !entry.is_empty())
            .count()
    }

    /// One slot always stays empty, so that a run has an end.
    const fn longest_run(&self) -> usize {
        if self.mask() < MAX_RUN {
            self.mask()
        } else {
            MAX_RUN
        }
    }

    const fn mask(&self) -> usize {
        self.slots.len().saturating_sub(1)
    }

    const fn home(&self, hash: u32) -> usize {
        hash as usize & self.mask()
    }

    const fn after(&self, place: usize, steps: usize) -> usize {
        place.wrapping_add(steps) & self.mask()
    }

    const fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.mask()
    }

    fn at(&self, place: usize) -> IndexSlot {
        #[cfg(test)]
        self.steps.set(self.steps.get().saturating_add(1));
        self.slots.get(place).copied().unwrap_or_default()
    }

    fn set(&mut self, place: usize, entry: IndexSlot) {
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = entry;
        }
    }
}

/// A slot that [`SlotList`] hands out. Zeroed memory is a slot that was never used.
pub(crate) trait FreeNode {
    /// Index plus one of the next free slot; zero at the end of the list. Says nothing while the
    /// slot is in use.
    fn next_free(&self) -> u32;
    fn set_next_free(&mut self, next: u32);
    /// Odd while the slot is in use; one more at each change.
    fn generation(&self) -> u32;
    fn set_generation(&mut self, generation: u32);
}

/// Which slots are free: a stack of slots given back, and a mark above which none was ever used,
/// so that starting up touches no slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct SlotList {
    /// Index plus one of the slot given back last; zero if none is left.
    free: u32,
    /// Slots from this index on were never used.
    watermark: u32,
    /// Slots in use.
    live: u32,
}

impl SlotList {
    /// Every slot is free.
    pub(crate) const EMPTY: Self = Self {
        free: 0,
        watermark: 0,
        live: 0,
    };

    /// The list as it begins when slots are looked through whose list is not believed: none is free, none
    /// in use. The one that `old` would have taken next may have been taken already, and if `old` is damaged
    /// others behind it.
    pub(crate) fn rebuilt<T: FreeNode>(nodes: &[T], old: &Self) -> Self {
        let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        let mut watermark = old.watermark.min(count);
        while node(nodes, watermark).is_some_and(is_live) {
            watermark = watermark.saturating_add(1);
        }
        Self {
            watermark,
            ..Self::EMPTY
        }
    }

    /// A slot that was looked through is in use.
    pub(crate) const fn count_live(&mut self) {
        self.live = self.live.saturating_add(1);
    }

    /// A slot that was looked through is free, whoever had it.
    pub(crate) fn readmit<T: FreeNode>(&mut self, nodes: &mut [T], slot: u32) {
        let Some(node) = node_mut(nodes, slot) else {
            return;
        };
        if is_live(node) {
            node.set_generation(node.generation().wrapping_add(1));
        }
        node.set_next_free(self.free);
        self.free = slot.saturating_add(1);
    }

    /// Slots in use.
    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    /// Slots below this index may be in use; those at and above it were never touched.
    pub(crate) const fn watermark(&self) -> u32 {
        self.watermark
    }

    /// Takes a slot; `None` if all are in use.
    pub(crate) fn alloc<T: FreeNode>(&mut self, nodes: &mut [T]) -> Option<FlowId> {
        let slot = self.take_freed(nodes).or_else(|| self.take_fresh(nodes))?;
        let node = node_mut(nodes, slot)?;
        let generation = node.generation().wrapping_add(1);
        node.set_generation(generation);
        self.live = self.live.saturating_add(1);
        Some(FlowId { slot, generation })
    }

    /// Gives the slot of `id` back; `false`, and no change, if that flow is gone already.
    pub(crate) fn free<T: FreeNode>(&mut self, nodes: &mut [T], id: FlowId) -> bool {
        if live_id(nodes, id.slot) != Some(id) {
            return false;
        }
        let Some(node) = node_mut(nodes, id.slot) else {
            return false;
        };
        node.set_generation(id.generation.wrapping_add(1));
        node.set_next_free(self.free);
        self.free = id.slot.saturating_add(1);
        self.live = self.live.saturating_sub(1);
        true
    }

    /// The slot given back last. A head that leads nowhere, or to a slot in use, is damage: the
    /// rest of the list is then abandoned, which loses slots but hands none out twice.
    fn take_freed<T: FreeNode>(&mut self, nodes: &[T]) -> Option<u32> {
        let slot = core::mem::take(&mut self.free).checked_sub(1)?;
        let node = node(nodes, slot)?;
        if is_live(node) || slot >= self.watermark {
            return None;
        }
        self.free = node.next_free();
        Some(slot)
    }

    /// The first slot that was never used.
    fn take_fresh<T: FreeNode>(&mut self, nodes: &[T]) -> Option<u32> {
        let slot = self.watermark;
        let node = node(nodes, slot)?;
        self.watermark = slot.saturating_add(1);
        (!is_live(node)).then_some(slot)
    }
}

/// The id of the flow that lives in `slot`, if one does. The id of a flow that is gone is never
/// the answer again.
pub(crate) fn live_id<T: FreeNode>(nodes: &[T], slot: u32) -> Option<FlowId> {
    let node = node(nodes, slot)?;
    is_live(node).then(|| FlowId {
        slot,
        generation: node.generation(),
    })
}

fn is_live<T: FreeNode>(node: &T) -> bool {
    node.generation() & 1 == 1
}

fn node<T>(nodes: &[T], slot: u32) -> Option<&T> {
    nodes.get(usize::try_from(slot).ok()?)
}

fn node_mut<T>(nodes: &mut [T], slot: u32) -> Option<&mut T> {
    nodes.get_mut(usize::try_from(slot).ok()?)
}

#[cfg(test)]
mod tests;
