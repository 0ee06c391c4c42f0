//! One direction's byte stream, and how its blocks are strung together.

use crate::seq::{SeqNum, SeqRange};

use super::block::{BlockSlot, Link, SKIPS};
use super::{BlockSize, Pool};

/// One direction's byte stream in the pool. All zeroes is an empty stream without a quota.
///
/// Holds the octets [`Chain::held`] without a hole, and perhaps some past their end.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Chain {
    /// Sequence number of the first octet of page 0; at or before `una`.
    pub(super) base: SeqNum,
    /// First octet that is not released.
    pub(super) una: SeqNum,
    /// The in-order end, *L*.
    pub(super) end: SeqNum,
    pub(super) head: Link,
    pub(super) tail: Link,
    /// Pages.
    pub(super) count: u32,
    /// For each skip distance *d*, page `count - 1 - d`: the next to get that skip link.
    pub(super) lag: [Link; 3],
    /// A page sent lately, and its block: where sending goes on. None if the link is.
    pub(super) read_page: u32,
    pub(super) read: Link,
    /// Octets held past the in-order end.
    pub(super) ahead: u32,
    /// Octets between `una` and `end` that are SACKed under this epoch.
    pub(super) sacked: u32,
    /// Number of times all SACK marks were dropped.
    ///
    /// It repeats under a block's eyes if a page stays in the chain for 2^16 retransmission time-outs,
    /// which are at least 200 ms apart (3.6 hours). Old marks would be believed then until the next
    /// time-out.
    epoch: u16,
    pub(super) reserved: u16,
    pub(super) limit: u32,
}

impl Chain {
    /// An empty stream without a quota: it can store nothing. [`Pool::restart`] says where it
    /// begins, [`Pool::reserve`] gives it a quota.
    pub(crate) const EMPTY: Self = Self {
        base: SeqNum::ZERO,
        una: SeqNum::ZERO,
        end: SeqNum::ZERO,
        head: Link::NONE,
        tail: Link::NONE,
        count: 0,
        lag: [Link::NONE; 3],
        read_page: 0,
        read: Link::NONE,
        ahead: 0,
        sacked: 0,
        epoch: 0,
        reserved: 0,
        limit: 0,
    };

    /// What is stored in order: from the first octet that is not released to the in-order end.
    #[must_use]
    pub(crate) const fn held(&self) -> SeqRange {
        SeqRange::new(self.una, self.end)
    }

    /// The in-order end, *L*: the next octet wanted from the sender.
    #[must_use]
    pub(crate) const fn end(&self) -> SeqNum {
        self.end
    }

    /// Octets held past the in-order end.
    #[must_use]
    pub(crate) const fn octets_ahead(&self) -> u32 {
        self.ahead
    }

    /// Octets stored in order that are marked as SACKed.
    #[must_use]
    pub(crate) const fn octets_sacked(&self) -> u32 {
        self.sacked
    }

    /// Blocks that its quota lets it take beside those that it holds.
    #[must_use]
    pub(crate) const fn blocks_left(&self) -> u32 {
        self.limit.saturating_sub(self.count)
    }

    /// Whether the chain may store anything.
    #[must_use]
    pub(crate) const fn has_quota(&self) -> bool {
        self.limit > 0
    }

    /// Blocks that the chain holds.
    #[must_use]
    pub(crate) const fn blocks(&self) -> u32 {
        self.count
    }

    /// Drops all SACK marks, as a retransmission time-out demands (rule H4.1); O(1).
    ///
    /// What is held out of order stays.
    pub(crate) const fn forget_sacked(&mut self) {
        if self.sacked > 0 {
            self.sacked = 0;
            self.epoch = self.epoch.wrapping_add(1);
        }
    }

    /// The number under which SACK marks are valid now.
    #[expect(clippy::as_conversions, reason = "widening in a const fn")]
    pub(super) const fn epoch(&self) -> u32 {
        self.epoch as u32
    }

    /// Blocks that the chain can have at any time.
    #[expect(clippy::as_conversions, reason = "widening in a const fn")]
    pub(super) const fn reserved(&self) -> u32 {
        self.reserved as u32
    }

    /// Reserved blocks that the chain does not hold.
    pub(super) const fn owed(&self) -> u32 {
        self.reserved().saturating_sub(self.count)
    }

    /// Where the last page ends.
    pub(super) const fn capacity_end(&self, size: BlockSize) -> SeqNum {
        self.base.advance(size.start_of(self.count))
    }

    /// Where `page` begins.
    pub(super) const fn page_start(&self, page: u32, size: BlockSize) -> SeqNum {
        self.base.advance(size.start_of(page))
    }

    /// The offset of the in-order end in the page that begins at `page_start`, at most a block.
    pub(super) fn end_in(&self, page_start: SeqNum, size: BlockSize) -> u32 {
        self.end.octets_past(page_start).min(size.octets())
    }

    /// Lets a stream without a quota, of which nothing is stored, end at `end`: it is only watched.
    /// One that has a quota is what is stored of it, and stays.
    pub(crate) const fn follow(&mut self, end: SeqNum) {
        if self.count == 0 && self.limit == 0 {
            self.rebase(end);
        }
    }

    /// Lets an empty stream begin at `at`.
    pub(super) const fn rebase(&mut self, at: SeqNum) {
        self.base = at;
        self.una = at;
        self.end = at;
    }
}

impl Pool<'_> {
    /// Appends an empty page.
    pub(super) fn append(&mut self, chain: &mut Chain) -> Option<Link> {
        let link = self.take_block(chain)?;
        *self.slot_mut(link)? = BlockSlot {
            epoch: chain.epoch(),
            ..BlockSlot::EMPTY
        };
        if chain.count == 0 {
            chain.head = link;
        } else if let Some(tail) = self.slot_mut(chain.tail) {
            tail.next = link;
        }
        chain.tail = link;
        self.link_skips(chain, link);
        chain.count = chain.count.saturating_add(1);
        Some(link)
    }

    /// Lets the pages that lie a skip's distance before the new last page point to it.
    ///
    /// Both the pages and their count shift when pages are freed at the head, so the cursors need
    /// no upkeep there.
    pub(super) fn link_skips(&mut self, chain: &mut Chain, link: Link) {
        for (level, distance) in SKIPS.into_iter().enumerate() {
            let Some(lag) = chain.lag.get_mut(level) else {
                return;
            };
            if chain.count < distance {
                return;
            }
            if chain.count == distance {
                *lag = chain.head;
            } else if let Some(slot) = self.slot(*lag) {
                *lag = slot.next;
            }
            if let Some(skip) = self
                .slot_mut(*lag)
                .and_then(|slot| slot.skip.get_mut(level))
            {
                *skip = link;
            }
        }
    }

    /// Frees the first `pages` pages and moves the base behind them.
    pub(super) fn drop_head(&mut self, chain: &mut Chain, pages: u32) {
        let pages = pages.min(chain.count);
        let Some(last_page) = pages.checked_sub(1) else {
            return;
        };
        if let Some(last) = self.locate(chain, last_page) {
            let next = self.slot(last).map_or(Link::NONE, |slot| slot.next);
            self.free(chain.head, last, pages);
            chain.head = next;
        }
        chain.base = chain.page_start(pages, self.size);
        match chain.read_page.checked_sub(pages) {
            Some(page) => chain.read_page = page,
            None => chain.read = Link::NONE,
        }
        self.set_count(chain, chain.count.saturating_sub(pages));
    }

    /// Frees all but the first `pages` pages, which hold everything that is stored; so the page
    /// sent lately stays.
    pub(super) fn drop_tail(&mut self, chain: &mut Chain, pages: u32) {
        let surplus = chain.count.saturating_sub(pages);
        if surplus == 0 {
            return;
        }
        let Some(last_page) = pages.checked_sub(1) else {
            self.free(chain.head, chain.tail, surplus);
            return self.set_count(chain, 0);
        };
        let Some(last) = self.locate(chain, last_page) else {
            return;
        };
        let lag = SKIPS.map(|distance| {
            let page = last_page.checked_sub(distance);
            page.and_then(|page| self.locate(chain, page))
                .unwrap_or(Link::NONE)
        });
        let first = self.slot(last).map_or(Link::NONE, |slot| slot.next);
        self.free(first, chain.tail, surplus);
        chain.tail = last;
        chain.lag = lag;
        self.set_count(chain, pages);
    }

    /// Books a lower page count: what falls below the reservation is promised again.
    fn set_count(&mut self, chain: &mut Chain, count: u32) {
        let owed = chain.owed();
        chain.count = count;
        let promise = chain.owed().saturating_sub(owed);
        self.head.promised = self.head.promised.saturating_add(promise);
        if count == 0 {
            chain.head = Link::NONE;
            chain.tail = Link::NONE;
            chain.read = Link::NONE;
        }
    }

    /// The block of a page, from the nearest page before it that the chain knows.
    ///
    /// At most 45 steps and one for every 4,096 pages.
    #[inline]
    pub(super) fn locate(&self, chain: &Chain, page: u32) -> Option<Link> {
        let last = chain.count.min(self.blocks()).checked_sub(1)?;
        if page == last {
            Some(chain.tail)
        } else if page == 0 {
            Some(chain.head)
        } else if page < last {
            self.search(chain, page, last)
        } else {
            None
        }
    }

    /// The block of a page that is neither the first nor the `last`.
    fn search(&self, chain: &Chain, page: u32, last: u32) -> Option<Link> {
        let mut from = (0, chain.head);
        for (distance, lag) in SKIPS.into_iter().zip(chain.lag) {
            if let Some(known) = last.checked_sub(distance).filter(|known| *known <= page) {
                from = (known, lag);
                break;
            }
        }
        if chain.read != Link::NONE && (from.0..=page).contains(&chain.read_page) {
            from = (chain.read_page, chain.read);
        }
        self.hop(from.1, page.saturating_sub(from.0))
    }

    /// The block `pages` pages past `link`, which must not lie past the tail.
    pub(super) fn hop(&self, link: Link, pages: u32) -> Option<Link> {
        let (mut link, mut left) = (link, pages);
        for (level, distance) in SKIPS.into_iter().enumerate().rev() {
            while let Some(rest) = left.checked_sub(distance) {
                link = *self.slot(link)?.skip.get(level)?;
                left = rest;
            }
        }
        for _ in 0..left {
            link = self.slot(link)?.next;
        }
        Some(link)
    }
}
