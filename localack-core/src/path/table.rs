//! From a path's name to its slot.
//!
//! Set-associative: the hash chooses a bucket of neighbouring slots, so that a look-up reads a few
//! cache lines and never more. A full bucket forgets the path that was used least recently, unless
//! flows wait for it.

use core::ops::Range;

use super::key::{PathKey, WATCHES};
use super::slot::{Health, PathSlot, Tick};
use crate::time::Instant;
use crate::timer::ReadyRing;

/// Slots of a bucket. The last bucket has the remainder as well.
const WAYS: usize = 4;

/// What an engine keeps besides its path slots: which paths need looking after.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct PathHead {
    /// Paths that are in doubt, or dead without a flow that waits: in the order in which that is
    /// forgotten.
    pub(super) doubts: ReadyRing,
    /// Dead paths, in the order of their next probes.
    pub(super) probing: ReadyRing,
    /// Paths that have come back and whose flows are let go.
    pub(super) waking: ReadyRing,
    /// Paths that are in doubt or dead.
    in_doubt: u32,
    /// How many of them carry each mark ([`PathKey::watch`]).
    watched: [u16; WATCHES],
}

impl PathHead {
    /// Nothing is known of any path.
    pub(crate) const EMPTY: Self = Self {
        doubts: ReadyRing::EMPTY,
        probing: ReadyRing::EMPTY,
        waking: ReadyRing::EMPTY,
        in_doubt: 0,
        watched: [0; WATCHES],
    };

    /// Whether it matters from where something is heard. While it does not, packets need no path.
    pub(crate) const fn any_in_doubt(&self) -> bool {
        self.in_doubt != 0
    }

    /// Whether it may matter that something is heard by way of `key`, told without a look into the
    /// table. While a few paths are in doubt, the packets of all the others are spared the hash.
    pub(crate) fn may_concern(&self, key: &PathKey) -> bool {
        self.any_in_doubt()
            && self
                .watched
                .get(key.watch())
                .is_some_and(|&paths| paths != 0)
    }

    fn count(&mut self, key: &PathKey, more: bool) {
        let step = |count: u32| {
            if more {
                count.saturating_add(1)
            } else {
                count.saturating_sub(1)
            }
        };
        self.in_doubt = step(self.in_doubt);
        if let Some(paths) = self.watched.get_mut(key.watch()) {
            *paths = u16::try_from(step((*paths).into())).unwrap_or(u16::MAX);
        }
    }
}

/// A view of the path slots.
#[derive(Debug)]
pub(crate) struct PathTable<'p> {
    pub(super) head: &'p mut PathHead,
    pub(super) slots: &'p mut [PathSlot],
    hash_key: [u64; 2],
}

impl<'p> PathTable<'p> {
    /// A view of `slots`, of which there may be any number.
    pub(crate) const fn new(
        head: &'p mut PathHead,
        slots: &'p mut [PathSlot],
        hash_key: [u64; 2],
    ) -> Self {
        Self {
            head,
            slots,
            hash_key,
        }
    }

    /// The slot index of a path; `None` if nothing is known of it.
    pub(super) fn find(&self, key: &PathKey) -> Option<u32> {
        let bucket = self.bucket(key);
        let place = self
            .slots
            .get(bucket.clone())?
            .iter()
            .position(|slot| slot.key == *key)?;
        u32::try_from(bucket.start.saturating_add(place)).ok()
    }

    /// The slot index of a path, which is entered if nothing is known of it; `None` if all slots
    /// of its bucket are needed.
    pub(super) fn find_or_insert(&mut self, key: &PathKey, now: Instant) -> Option<u32> {
        let index = match self.find(key) {
            Some(index) => index,
            None => self.insert(key, now)?,
        };
        self.slot_mut(index)?.used_at = Tick::at(now);
        Some(index)
    }

    /// Forgets who waits for which path: the flows will say so again. What is in a place where it would not
    /// be found is forgotten as a whole.
    pub(crate) fn rebuild(&mut self, now: Instant) {
        *self.head = PathHead::EMPTY;
        for place in 0..self.slots.len() {
            let Some(&PathSlot { key, .. }) = self.slots.get(place) else {
                return;
            };
            let is_found = !key.is_none() && self.bucket(&key).contains(&place);
            let Some(slot) = self.slots.get_mut(place) else {
                return;
            };
            if !is_found {
                *slot = PathSlot::EMPTY;
                continue;
            }
            let health = slot.health();
            slot.forget_flows();
            if let (Health::Doubt | Health::Dead, Ok(index)) = (health, u32::try_from(place)) {
                self.doubt_again(index, health, now);
            }
        }
    }

    fn insert(&mut self, key: &PathKey, now: Instant) -> Option<u32> {
        let bucket = self.bucket(key);
        let slots = self.slots.get_mut(bucket.clone())?;
        // A slot without a path was never used, which is the longest ago of all.
        let (place, slot) = slots
            .iter_mut()
            .enumerate()
            .filter(|(_, slot)| !slot.is_pinned())
            .max_by_key(|(_, slot)| (slot.key.is_none(), slot.used_at.age(now)))?;
        *slot = PathSlot::new(*key);
        u32::try_from(bucket.start.saturating_add(place)).ok()
    }

    /// The slots that may hold a path.
    pub(super) fn bucket(&self, key: &PathKey) -> Range<usize> {
        let slots = self.slots.len();
        let buckets = (slots / WAYS).max(1);
        // The hash as a fraction of 2^32, times the buckets.
        let product = u64::from(key.hash(self.hash_key))
            .saturating_mul(u64::try_from(buckets).unwrap_or(u64::MAX));
        let bucket = usize::try_from(product >> 32).unwrap_or(0);
        let start = bucket.saturating_mul(WAYS);
        let end = if bucket.saturating_add(1) == buckets {
            slots
        } else {
            start.saturating_add(WAYS)
        };
        start..end
    }

    pub(super) fn slot(&self, index: u32) -> Option<&PathSlot> {
        self.slots.get(usize::try_from(index).ok()?)
    }

    pub(super) fn slot_mut(&mut self, index: u32) -> Option<&mut PathSlot> {
        self.slots.get_mut(usize::try_from(index).ok()?)
    }

    /// Changes what is known of a path's reachability, and counts it.
    pub(super) fn set_health(&mut self, index: u32, health: Health) {
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        let counts = |health| matches!(health, Health::Doubt | Health::Dead);
        let (was, is) = (counts(slot.health()), counts(health));
        let key = slot.key;
        slot.set_health(health);
        if was != is {
            self.head.count(&key, is);
        }
    }
}

#[cfg(test)]
mod tests;
