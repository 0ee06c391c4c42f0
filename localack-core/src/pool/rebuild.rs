//! Taking a pool over whose owner has died: which block belongs to whom is told by the chains alone.
//!
//! In three steps: every chain claims its blocks, in which its owner's name is written meanwhile; then
//! what nobody has claimed is free; then the links that only shorten the way are made anew. A block
//! that two chains claim belongs to neither.

use crate::seq::SeqNum;

use super::block::Link;
use super::{BlockSlot, Chain, MAX_CHAIN, Pool, PoolHead};

/// Who claims a block, as its index plus one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner(u32);

impl Owner {
    /// The owner with this number, which is less than 2^32 - 1.
    pub(crate) const fn new(number: u32) -> Self {
        Self(number.wrapping_add(1))
    }

    /// Its number.
    pub(crate) const fn number(self) -> u32 {
        self.0.wrapping_sub(1)
    }
}

/// Why a chain cannot be what somebody was promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unsound {
    /// It does not agree with itself or with its blocks.
    Damaged,
    /// This owner claims one of its blocks, too.
    Shared(Owner),
}

impl Pool<'_> {
    /// Forgets who owns which block.
    pub(crate) fn begin_rebuild(&mut self) {
        let fresh = self.head.fresh.min(self.blocks());
        *self.head = PoolHead {
            fresh,
            ..PoolHead::EMPTY
        };
        for slot in self.used_slots() {
            slot.skip = [Link::NONE; 3];
        }
    }

    fn used_slots(&mut self) -> impl Iterator<Item = &mut BlockSlot> {
        let fresh = usize::try_from(self.head.fresh).unwrap_or(usize::MAX);
        self.blocks.iter_mut().take(fresh)
    }

    /// Finds out whether a chain is whole, and writes its owner's name into its blocks. Counts anew what
    /// can be counted.
    ///
    /// # Errors
    /// [`Unsound`] if it is not; then it has claimed nothing.
    pub(crate) fn claim(&mut self, chain: &mut Chain, owner: Owner) -> Result<(), Unsound> {
        self.check_bounds(chain)?;
        let (mut ahead, mut sacked) = (0_u32, 0_u32);
        let (mut link, mut last) = (chain.head, Link::NONE);
        for page in 0..chain.count {
            match self.claim_page(chain, page, link, owner) {
                Ok(counts) => {
                    ahead = ahead.saturating_add(counts.ahead);
                    sacked = sacked.saturating_add(counts.sacked);
                    (last, link) = (link, counts.next);
                }
                Err(unsound) => {
                    self.unclaim(chain, owner);
                    return Err(unsound);
                }
            }
        }
        if last != chain.tail {
            self.unclaim(chain, owner);
            return Err(Unsound::Damaged);
        }
        (chain.ahead, chain.sacked) = (ahead, sacked);
        chain.read = Link::NONE;
        chain.read_page = 0;
        Ok(())
    }

    fn check_bounds(&self, chain: &Chain) -> Result<(), Unsound> {
        let size = self.size;
        let (una, end) = (
            chain.una.octets_since(chain.base),
            chain.end.octets_since(chain.base),
        );
        let (Some(una), Some(end)) = (una, end) else {
            return Err(Unsound::Damaged);
        };
        let room = size.start_of(chain.count);
        let whole = una <= end && end <= room && room <= MAX_CHAIN.saturating_add(size.octets());
        let begins = una < size.octets() || chain.count == 0;
        let quota = chain.reserved() <= chain.limit.max(chain.count);
        if chain.count <= self.head.fresh && whole && begins && quota {
            Ok(())
        } else {
            Err(Unsound::Damaged)
        }
    }

    fn claim_page(
        &mut self,
        chain: &Chain,
        page: u32,
        link: Link,
        owner: Owner,
    ) -> Result<Counts, Unsound> {
        let (size, fresh) = (self.size, self.head.fresh);
        let start = chain.page_start(page, size);
        let end = chain.end_in(start, size);
        let una = chain.una.octets_past(start).min(size.octets());
        let slot = link
            .index()
            .filter(|&index| index < fresh as usize)
            .and_then(|index| self.blocks.get_mut(index))
            .ok_or(Unsound::Damaged)?;
        let [name, ..] = slot.skip;
        if name != Link::NONE {
            return Err(Unsound::Shared(Owner(name.raw())));
        }
        let marks = slot.valid(chain.epoch(), end);
        if !marks.are_sound(end, size.octets()) {
            return Err(Unsound::Damaged);
        }
        slot.skip = [Link::named(owner.0), Link::NONE, Link::NONE];
        slot.run = 0;
        if u32::from(slot.push) > size.octets() {
            slot.push = 0;
        }
        Ok(Counts {
            ahead: marks.after(end).octets_in(end, size.octets()),
            sacked: slot.sacked(chain.epoch(), end).octets_in(una, end),
            next: slot.next,
        })
    }

    /// Takes the owner's name out of the chain's blocks, as far as they carry it.
    fn unclaim(&mut self, chain: &Chain, owner: Owner) {
        let mut link = chain.head;
        for _ in 0..chain.count {
            let Some(slot) = self.slot_mut(link) else {
                return;
            };
            let [name, ..] = slot.skip;
            if name != Link::named(owner.0) {
                return;
            }
            slot.skip = [Link::NONE; 3];
            link = slot.next;
        }
    }

    /// Gives up what `owner` has claimed with this chain, if anything.
    pub(crate) fn disclaim(&mut self, chain: &mut Chain, owner: Owner) {
        self.unclaim(chain, owner);
        chain.abandon();
    }

    /// All that are whole have claimed their blocks: the others are free.
    pub(crate) fn free_unclaimed(&mut self) {
        let mut free = Link::NONE;
        let mut used = 0_u32;
        for (index, slot) in (0..).zip(self.used_slots()) {
            let [name, ..] = slot.skip;
            if name == Link::NONE {
                *slot = BlockSlot {
                    next: free,
                    ..BlockSlot::EMPTY
                };
                free = Link::to(index);
            } else {
                used = used.saturating_add(1);
            }
        }
        (self.head.free, self.head.used) = (free, used);
    }

    /// Makes the links of a claimed chain anew that shorten the way, and keeps blocks free for it as they
    /// were before, as far as there are any.
    pub(crate) fn relink(&mut self, chain: &mut Chain) {
        let count = core::mem::take(&mut chain.count);
        chain.lag = [Link::NONE; 3];
        let mut link = chain.head;
        for _ in 0..count {
            let Some(slot) = self.slot_mut(link) else {
                break;
            };
            slot.skip = [Link::NONE; 3];
            let next = slot.next;
            self.link_skips(chain, link);
            chain.count = chain.count.saturating_add(1);
            link = next;
        }
        let most = self.unpromised_blocks().saturating_add(chain.count);
        chain.reserved = chain.reserved.min(u16::try_from(most).unwrap_or(u16::MAX));
        self.head.promised = self.head.promised.saturating_add(chain.owed());
    }
}

/// What a page adds to its chain.
struct Counts {
    ahead: u32,
    sacked: u32,
    next: Link,
}

impl Chain {
    /// What it holds is somebody else's business: the stream goes on from its end, without a quota.
    pub(crate) const fn abandon(&mut self) {
        let end = self.end;
        *self = Self::EMPTY;
        self.rebase(end);
    }

    /// Where what is stored begins.
    pub(crate) const fn start(&self) -> SeqNum {
        self.una
    }
}
