//! Going over a range of a chain, page by page.

use crate::seq::{SeqNum, SeqRange};

use super::block::Link;
use super::{BlockSize, Chain, Pool};

/// A place in a chain and how far there is to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) link: Link,
    pub(super) page: u32,
    /// Offset in the page.
    pub(super) offset: u32,
    /// Octets to go.
    pub(super) left: u32,
}

/// The part of a page that a walk stands on: the offsets `from .. to`, never empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) link: Link,
    pub(super) from: u32,
    pub(super) to: u32,
    /// Sequence number of the page's first octet.
    pub(super) start: SeqNum,
}

impl Piece {
    /// The sequence number of an offset in the page.
    pub(super) const fn seq(&self, offset: u32) -> SeqNum {
        self.start.advance(offset)
    }

    /// Octets of the piece.
    pub(super) const fn octets(&self) -> u32 {
        self.to.saturating_sub(self.from)
    }

    /// The part of the piece that lies in `range`, as offsets; the second is not more than the
    /// first if there is none.
    pub(super) fn offsets_of(&self, range: SeqRange) -> (u32, u32) {
        let from = range.start().octets_past(self.start).max(self.from);
        let to = range.end().octets_past(self.start).min(self.to);
        (from, to)
    }
}

impl Walk {
    /// A walk from an offset in a page whose block is `link`, over `octets` that have pages.
    pub(super) const fn new(link: Link, page: u32, offset: u32, octets: u32) -> Self {
        Self {
            link,
            page,
            offset,
            left: octets,
        }
    }

    /// Where the walk stands.
    pub(super) const fn at(&self, chain: &Chain, size: BlockSize) -> SeqNum {
        chain.page_start(self.page, size).advance(self.offset)
    }

    /// Pages from the present one on that lie in the range from their first octet to their last.
    pub(super) fn whole_pages(&self, size: BlockSize) -> u32 {
        if self.offset == 0 {
            size.split(self.left).0
        } else {
            0
        }
    }

    /// Whether there is nothing left.
    pub(super) const fn is_done(&self) -> bool {
        self.left == 0
    }

    /// The part of the present page that lies in the range, `None` at the end.
    pub(super) fn piece(&self, chain: &Chain, size: BlockSize) -> Option<Piece> {
        let to = self.offset.saturating_add(self.left).min(size.octets());
        (self.offset < to).then(|| Piece {
            link: self.link,
            from: self.offset,
            to,
            start: chain.page_start(self.page, size),
        })
    }
}

impl Pool<'_> {
    /// A walk over the part of `range` that the chain has pages for, `None` if it has none.
    pub(super) fn walk(&self, chain: &Chain, range: SeqRange) -> Option<Walk> {
        let pages = SeqRange::new(chain.base, chain.capacity_end(self.size));
        let range = range.intersection(pages);
        if range.is_empty() {
            return None;
        }
        let (page, offset) = self.size.split(range.start().octets_past(chain.base));
        let link = self.locate(chain, page)?;
        Some(Walk::new(link, page, offset, range.octets()))
    }

    /// Moves on to the start of the page `pages` ahead, or to the end of the range.
    pub(super) fn step(&self, walk: &mut Walk, pages: u32) {
        let octets = self.size.start_of(pages).saturating_sub(walk.offset);
        if octets >= walk.left {
            walk.offset = walk.offset.saturating_add(walk.left);
            walk.left = 0;
            return;
        }
        walk.page = walk.page.saturating_add(pages);
        walk.offset = 0;
        match self.hop(walk.link, pages) {
            Some(link) => {
                walk.link = link;
                walk.left = walk.left.saturating_sub(octets);
            }
            None => walk.left = 0,
        }
    }
}
