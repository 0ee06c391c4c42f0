//! One piece of memory for all that an engine needs: cut from a mapped file, say, or from what a kernel
//! has allocated.
//!
//! The slots are plain old data without padding, every bit pattern of which is a slot (perhaps a damaged
//! one, which [`Engine::attach`](crate::Engine::attach) sorts out), so octets may be looked at as slots:
//! that is what the feature `bytemuck` says to the compiler, and checks.

use bytemuck::{Pod, try_cast_slice_mut};

use super::Storage;
use crate::flow::FlowSlot;
use crate::flow::table::IndexSlot;
use crate::head::EngineHead;
use crate::path::PathSlot;
use crate::pool::BlockSlot;

/// Where parts begin: at cache lines.
const ALIGNMENT: usize = 64;

/// How many of each part one piece of memory is cut into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Geometry {
    /// [`FlowSlot`]s.
    pub flows: usize,
    /// [`IndexSlot`]s: a power of two of at least twice the flows.
    pub index: usize,
    /// [`BlockSlot`]s.
    pub blocks: usize,
    /// Octets of the arena: the octets of a block times the blocks.
    pub arena: usize,
    /// [`PathSlot`]s; there may be none.
    pub paths: usize,
}

/// The memory is not [`Geometry::octets`] long, or does not begin at a multiple of eight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Misfit;

impl core::fmt::Display for Misfit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the memory is too short for an engine of this size, or lies askew")
    }
}

impl core::error::Error for Misfit {}

impl Geometry {
    /// Octets that all parts take together, [`Storage::before`] with one slot among them, each beginning at a
    /// multiple of 64 from the start; `None` if that is more than can be addressed.
    #[must_use]
    pub const fn octets(&self) -> Option<usize> {
        let parts = [
            (1, size_of::<EngineHead>()),
            (1, size_of::<FlowSlot>()),
            (self.flows, size_of::<FlowSlot>()),
            (self.index, size_of::<IndexSlot>()),
            (self.blocks, size_of::<BlockSlot>()),
            (self.paths, size_of::<PathSlot>()),
            (self.arena, 1),
        ];
        let mut sum = 0_usize;
        let mut rest = parts.as_slice();
        while let [(number, size), tail @ ..] = rest {
            let Some(octets) = number.checked_mul(*size) else {
                return None;
            };
            let Some(octets) = octets.checked_next_multiple_of(ALIGNMENT) else {
                return None;
            };
            let Some(more) = sum.checked_add(octets) else {
                return None;
            };
            sum = more;
            rest = tail;
        }
        Some(sum)
    }
}

impl<'a> Storage<'a> {
    /// Cuts `memory` into the parts of an engine. All zeroes is memory that no engine has used.
    ///
    /// # Errors
    /// [`Misfit`] if there are fewer octets than [`Geometry::octets`], or they do not begin at a multiple of
    /// eight; more are left alone.
    pub fn cut(memory: &'a mut [u8], geometry: &Geometry) -> Result<Self, Misfit> {
        let mut rest = memory;
        let head = part::<EngineHead>(&mut rest, 1)?;
        Ok(Self {
            head: head.first_mut().ok_or(Misfit)?,
            before: part(&mut rest, 1)?,
            flows: part(&mut rest, geometry.flows)?,
            index: part(&mut rest, geometry.index)?,
            blocks: part(&mut rest, geometry.blocks)?,
            paths: part(&mut rest, geometry.paths)?,
            arena: part(&mut rest, geometry.arena)?,
        })
    }
}

/// Takes the next part off the front.
fn part<'a, T: Pod>(rest: &mut &'a mut [u8], number: usize) -> Result<&'a mut [T], Misfit> {
    let octets = number.checked_mul(size_of::<T>()).ok_or(Misfit)?;
    let room = octets.checked_next_multiple_of(ALIGNMENT).ok_or(Misfit)?;
    let (own, others) = core::mem::take(rest)
        .split_at_mut_checked(room)
        .ok_or(Misfit)?;
    *rest = others;
    let own = own.get_mut(..octets).ok_or(Misfit)?;
    try_cast_slice_mut(own).map_err(|_| Misfit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::vec;

    use super::*;

    const GEOMETRY: Geometry = Geometry {
        flows: 3,
        index: 8,
        blocks: 5,
        arena: 5 * 600,
        paths: 2,
    };

    #[test]
    fn a_region_is_cut_into_parts_that_fill_it() {
        let octets = GEOMETRY.octets().unwrap();
        let mut memory = vec![0_u64; octets / 8 + 1];
        let memory: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
        let start = memory.as_ptr().addr();
        let storage = Storage::cut(memory, &GEOMETRY).unwrap();
        let lengths = [
            storage.flows.len(),
            storage.index.len(),
            storage.blocks.len(),
            storage.arena.len(),
            storage.paths.len(),
            storage.before.len(),
        ];
        assert_eq!(lengths, [3, 8, 5, 3000, 2, 1]);
        let end = storage.arena.as_ptr_range().end.addr();
        assert!(octets - (end - start) < ALIGNMENT);
        for part in [
            storage.flows.as_ptr().addr(),
            storage.index.as_ptr().addr(),
            storage.blocks.as_ptr().addr(),
            storage.paths.as_ptr().addr(),
            storage.arena.as_ptr().addr(),
            storage.before.as_ptr().addr(),
        ] {
            assert_eq!((part - start) % ALIGNMENT, 0);
        }
    }

    #[test]
    fn what_is_too_short_or_askew_is_refused() {
        let octets = GEOMETRY.octets().unwrap();
        let mut memory = vec![0_u64; octets / 8 + 1];
        let memory: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
        assert!(Storage::cut(&mut memory[..octets - 1], &GEOMETRY).is_err());
        assert!(Storage::cut(&mut memory[1..], &GEOMETRY).is_err());
        let endless = Geometry {
            arena: usize::MAX,
            ..GEOMETRY
        };
        assert_eq!(endless.octets(), None);
        let misfit = Storage::cut(memory, &endless).err().unwrap();
        assert!(std::format!("{misfit}").contains("too short"));
    }

    /// Memory that the system hands out is zeroed; it needs no other preparation.
    #[test]
    fn empty_slots_are_all_zeroes() {
        fn is_zero<T: Pod>(slot: &T) -> bool {
            bytemuck::bytes_of(slot).iter().all(|&octet| octet == 0)
        }
        assert!(is_zero(&EngineHead::EMPTY));
        assert!(is_zero(&FlowSlot::EMPTY));
        assert!(is_zero(&IndexSlot::EMPTY));
        assert!(is_zero(&BlockSlot::EMPTY));
        assert!(is_zero(&PathSlot::EMPTY));
    }
}
