//! Reading what is stored in order: as slices for sending, as a sum, against an arriving copy.

use core::fmt;

use crate::seq::{SeqNum, SeqRange};
use crate::wire::checksum::Sum;

use super::block::Link;
use super::walk::Walk;
use super::{BlockSlot, Chain, Pool};

/// Stored octets in order, as an iterator over the pieces they lie in; empty by default.
#[derive(Clone, Copy, Default)]
pub(crate) struct Payload<'p> {
    blocks: &'p [BlockSlot],
    arena: &'p [u8],
    size: u32,
    link: Link,
    offset: u32,
    left: u32,
}

impl<'p> Payload<'p> {
    /// Octets that lie in one piece, and in no pool.
    pub(crate) fn of(octets: &'p [u8]) -> Self {
        let left = u32::try_from(octets.len()).unwrap_or(0);
        Self {
            blocks: &[],
            arena: octets,
            size: left,
            link: Link::to(0),
            offset: 0,
            left,
        }
    }
}

impl Payload<'_> {
    /// The sum over the octets that are left.
    #[must_use]
    pub(crate) fn sum(self) -> Sum {
        let mut sum = Sum::new();
        for piece in self {
            sum.add_bytes(piece);
        }
        sum
    }
}

impl<'p> Iterator for Payload<'p> {
    type Item = &'p [u8];

    fn next(&mut self) -> Option<&'p [u8]> {
        let octets = self.size.saturating_sub(self.offset).min(self.left);
        if octets == 0 {
            return None;
        }
        let index = self.link.index()?;
        let start = index
            .checked_mul(self.size as usize)?
            .checked_add(self.offset as usize)?;
        let piece = self.arena.get(start..start.checked_add(octets as usize)?)?;
        self.link = self.blocks.get(index).map_or(Link::NONE, |slot| slot.next);
        self.offset = 0;
        self.left = self.left.saturating_sub(octets);
        Some(piece)
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("octets", &self.left)
            .finish_non_exhaustive()
    }
}

impl Pool<'_> {
    /// The octets of `range` as far as they are stored in order.
    ///
    /// The chain remembers the place, so that reading on from there needs no search.
    #[must_use]
    pub(crate) fn payload(&self, chain: &mut Chain, range: SeqRange) -> Payload<'_> {
        let Some(walk) = self.walk(chain, range.intersection(chain.held())) else {
            return Payload::default();
        };
        chain.read = walk.link;
        chain.read_page = walk.page;
        self.payload_of(walk)
    }

    /// The same, without a trace in the chain.
    pub(super) fn peek(&self, chain: &Chain, range: SeqRange) -> Payload<'_> {
        let walk = self.walk(chain, range.intersection(chain.held()));
        walk.map_or_else(Payload::default, |walk| self.payload_of(walk))
    }

    fn payload_of(&self, walk: Walk) -> Payload<'_> {
        Payload {
            blocks: self.blocks,
            arena: self.arena,
            size: self.size.octets(),
            link: walk.link,
            offset: walk.offset,
            left: walk.left,
        }
    }

    /// Whether an arriving copy equals what is stored in order, as far as they overlap (H5.2).
    #[must_use]
    pub(crate) fn matches(&self, chain: &Chain, seq: SeqNum, copy: &[u8]) -> bool {
        let octets = u32::try_from(copy.len()).unwrap_or(u32::MAX);
        let both = SeqRange::new(seq, seq.advance(octets)).intersection(chain.held());
        let mut rest = copy
            .get(both.start().octets_past(seq) as usize..)
            .unwrap_or_default();
        self.peek(chain, both).all(|stored| {
            let (now, later) = rest.split_at_checked(stored.len()).unwrap_or((rest, &[]));
            rest = later;
            now == stored
        })
    }

    /// Whether a segment that the sender pushed ends in `range` or at its end (rule H5.7).
    ///
    /// Of several that end in one page only the last is known. One step per page of the range.
    #[must_use]
    pub(crate) fn pushed(&self, chain: &Chain, range: SeqRange) -> bool {
        let mut walk = self.walk(chain, range.intersection(chain.held()));
        while let Some(piece) = walk.and_then(|walk| walk.piece(chain, self.size)) {
            let push = self.slot(piece.link).map_or(0, |slot| u32::from(slot.push));
            if piece.from < push && push <= piece.to {
                return true;
            }
            if let Some(walk) = walk.as_mut() {
                self.step(walk, 1);
            }
        }
        false
    }
}
