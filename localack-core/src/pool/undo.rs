//! Putting the chains of one flow back to what they were before it was worked on.
//!
//! Their heads are in the flow's slot, of which somebody keeps a copy. Octets are written behind what a chain
//! holds, and blocks appended to it: its old head does not see them. What is marked or noted meanwhile is true.
//! So all that an old head misses is the link from the last block that was freed to the one behind it, unless
//! blocks were freed twice, or one that was freed has been used again: then there is no way back.

use core::sync::atomic::{Ordering, compiler_fence};

use super::block::Link;
use super::{Pool, PoolHead};

/// Nothing is to be put back.
const IDLE: u32 = 0;
/// Nothing was freed.
const WHOLE: u32 = 1;
/// A stretch of blocks was freed, and is as it was but for its last link.
const FREED: u32 = 2;
/// There is no way back.
const GONE: u32 = 3;
/// Nothing is to be put back, whatever is written to the flow's slot: its chains are left alone.
const HEARS: u32 = 4;

/// How to put chains back. Whoever dies while a flow is being worked on leaves this as it was before a store or
/// after it, and the stores in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(super) struct Undo {
    state: u32,
    /// The last block that was freed.
    last: Link,
    /// The one that was behind it.
    followed: Link,
    _padding: u32,
}

/// Whether what was being done to a flow could be put back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the slot is put back with the blocks, or neither"]
pub(crate) enum Undone {
    /// There is nothing to put back: the flow is good as it is.
    Nothing,
    /// Its blocks are as its old slot says.
    Chains,
    /// No.
    Impossible,
}

impl Undo {
    pub(super) const NONE: Self = Self {
        state: IDLE,
        last: Link::NONE,
        followed: Link::NONE,
        _padding: 0,
    };

    pub(super) fn begin(&mut self) {
        self.enter(WHOLE);
    }

    pub(super) fn begin_hearing(&mut self) {
        self.enter(HEARS);
    }

    fn enter(&mut self, state: u32) {
        compiler_fence(Ordering::SeqCst);
        self.state = state;
        compiler_fence(Ordering::SeqCst);
    }

    pub(super) fn end(&mut self) {
        compiler_fence(Ordering::SeqCst);
        self.state = IDLE;
    }

    /// Blocks are about to be freed, the last of which this is, and this one is behind it.
    #[inline]
    pub(super) fn before_free(&mut self, last: Link, followed: Link) {
        match self.state {
            IDLE => return,
            WHOLE => {
                (self.last, self.followed) = (last, followed);
                compiler_fence(Ordering::SeqCst);
                self.state = FREED;
            }
            _ => self.state = GONE,
        }
        compiler_fence(Ordering::SeqCst);
    }

    /// A free block is about to be used.
    #[inline]
    pub(super) fn before_use(&mut self) {
        if self.state == FREED {
            self.state = GONE;
            compiler_fence(Ordering::SeqCst);
        }
    }
}

impl Pool<'_> {
    /// Puts the blocks of the flow that was being worked on back to what they were, for its old slot, if
    /// that is possible. May be done again if it is interrupted.
    pub(crate) fn undo(&mut self) -> Undone {
        let PoolHead { undo, .. } = *self.head;
        match undo.state {
            HEARS => Undone::Nothing,
            WHOLE => Undone::Chains,
            FREED => match self.slot_mut(undo.last) {
                Some(slot) => {
                    slot.next = undo.followed;
                    Undone::Chains
                }
                None => Undone::Impossible,
            },
            _ => Undone::Impossible,
        }
    }
}
