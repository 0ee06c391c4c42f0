//! Taking octets in: copy and sum in one pass, visible only once committed.

use core::fmt;

use crate::seq::{SeqNum, SeqRange, low_half};
use crate::wire::checksum::Sum;

use super::block::Link;
use super::walk::{Piece, Walk};
use super::{Chain, Pool};

/// Most pages that one segment may skip beyond the last page of the chain.
///
/// Bounds the work that a segment far out of order causes; one further ahead is not stored, so it
/// is not acknowledged and will come again.
pub(super) const MAX_GAP_PAGES: u32 = 64;

/// Pages that a commit looks at to join what was held out of order to the in-order end.
const JOIN_PAGES: u32 = 64;

/// A segment whose octets are in the pool but do not belong to the stream yet.
///
/// Verify [`Staged::sum`], then [`Staged::commit`]. Dropped without a commit it leaves no trace.
#[must_use = "octets are stored only once committed"]
pub(crate) struct Staged<'s, 'p> {
    pool: &'s mut Pool<'p>,
    chain: &'s mut Chain,
    sum: Sum,
    start: SeqNum,
    filled: Filled,
    /// Whether the octets staged end a segment that was pushed.
    push: bool,
    /// Pages of the chain that stay if nothing is committed.
    keep: u32,
}

impl fmt::Debug for Staged<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged")
            .field("start", &self.start)
            .field("octets", &self.filled.octets)
            .field("sum", &self.sum)
            .finish_non_exhaustive()
    }
}

impl Staged<'_, '_> {
    /// The sum over the whole payload as it arrived, stored or not.
    #[must_use]
    pub(crate) const fn sum(&self) -> Sum {
        self.sum
    }

    /// Makes the octets part of the stream.
    pub(crate) fn commit(mut self) -> Stored {
        let Filled {
            octets,
            last,
            differs,
        } = self.filled;
        let range = SeqRange::new(self.start, self.start.advance(octets));
        let Some(last) = last else {
            return Stored {
                differs,
                ..Stored::nothing(self.chain)
            };
        };
        // New pages cannot refuse a mark, so if anything is held all of them are needed.
        self.keep = u32::MAX;
        if self.push {
            self.pool.note_push(last);
        }
        let stored = if self.start == self.chain.end {
            self.pool.advance(self.chain, range)
        } else {
            self.pool.hold(self.chain, range)
        };
        Stored { differs, ..stored }
    }
}

impl Drop for Staged<'_, '_> {
    fn drop(&mut self) {
        self.pool.drop_tail(self.chain, self.keep);
    }
}

/// What a commit made part of the stream. Only the pool can make one, and nothing else gives a
/// range that may be acknowledged (invariant 23).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) struct Stored {
    advanced: SeqRange,
    held: SeqRange,
    differs: bool,
    more: bool,
}

impl Stored {
    /// Nothing new: the in-order end stays.
    const fn nothing(chain: &Chain) -> Self {
        let end = SeqRange::new(chain.end, chain.end);
        Self {
            advanced: end,
            held: end,
            differs: false,
            more: false,
        }
    }

    /// What the in-order end moved over: octets that may be acknowledged.
    #[must_use]
    pub(crate) const fn advanced(self) -> SeqRange {
        self.advanced
    }

    /// What is now held out of order: octets that may be SACKed; they stay until they are
    /// released in order (rule H4.2). Empty if the segment was in order.
    #[must_use]
    pub(crate) const fn held(self) -> SeqRange {
        self.held
    }

    /// Whether octets that were held already came again with other values; the held ones stay
    /// (rule H5.2).
    #[must_use]
    pub(crate) const fn differs(self) -> bool {
        self.differs
    }

    /// Whether [`Pool::extend`] may move the in-order end further.
    #[must_use]
    pub(crate) const fn more(self) -> bool {
        self.more
    }
}

/// What became of the octets offered to [`Pool::fill`].
#[derive(Clone, Copy, Debug, Default)]
struct Filled {
    octets: u32,
    /// The piece that the last of them went to.
    last: Option<Piece>,
    /// Whether octets that were held already came with other values.
    differs: bool,
}

impl<'p> Pool<'p> {
    /// Takes a segment's payload, whose first octet is `seq`, as far as it lies between the
    /// in-order end and `edge` and finds room.
    ///
    /// Of a segment that is too large for the room left, the prefix that fits is taken (rule
    /// H5.5). Octets that are held already are not taken again. `push` says that the segment ends
    /// with PSH; it is remembered if the last octet is taken.
    pub(crate) fn store<'s>(
        &'s mut self,
        chain: &'s mut Chain,
        seq: SeqNum,
        payload: &[u8],
        edge: SeqNum,
        push: bool,
    ) -> Staged<'s, 'p> {
        let keep = chain.count;
        let mut sum = Sum::new();
        let (early, rest) = split(payload, chain.end.octets_past(seq));
        if !early.is_empty() {
            sum.add_bytes(early);
        }
        let start = seq.latest(chain.end);
        let (wanted, _) = split(rest, edge.octets_past(start));
        let filled = self.fill(chain, start, wanted, &mut sum);
        let (_, left) = split(rest, filled.octets);
        if !left.is_empty() {
            sum.add_bytes(left);
        }
        Staged {
            pool: self,
            chain,
            sum,
            start,
            filled,
            push: push && left.is_empty(),
            keep,
        }
    }

    /// Moves the in-order end over what is held behind it, through at most `max_pages` pages.
    pub(crate) fn extend(&mut self, chain: &mut Chain, max_pages: u32) -> Stored {
        let start = chain.end;
        let more = chain.ahead > 0 && self.join(chain, max_pages);
        Stored {
            advanced: SeqRange::new(start, chain.end),
            more,
            ..Stored::nothing(chain)
        }
    }

    /// Copies `bytes` to their places from `start` on, without changing what is visible.
    fn fill(&mut self, chain: &mut Chain, start: SeqNum, bytes: &[u8], sum: &mut Sum) -> Filled {
        let mut filled = Filled::default();
        let range = SeqRange::new(start, start.advance(octets(bytes)));
        if range.is_empty() {
            return filled;
        }
        let Some(mut walk) = self.make_pages(chain, range) else {
            return filled;
        };
        let in_order = start == chain.end;
        let mut rest = bytes;
        while let Some(piece) = walk.piece(chain, self.size) {
            let (now, later) = split(rest, piece.octets());
            let placed = if in_order && chain.ahead == 0 {
                self.copy(piece.link, piece.from, piece.to, now, sum)
            } else {
                self.place(chain, piece, in_order, now, sum)
            };
            let Some(differs) = placed else { break };
            filled.differs |= differs;
            filled.octets = filled.octets.saturating_add(piece.octets());
            filled.last = Some(piece);
            rest = later;
            self.step(&mut walk, 1);
        }
        filled
    }

    /// Appends pages until `range` is covered or there are no more to be had; a walk over what is
    /// covered, `None` if its start is not or lies too far ahead.
    ///
    /// The first page is found before others push it away from the chain's tail.
    fn make_pages(&mut self, chain: &mut Chain, range: SeqRange) -> Option<Walk> {
        let (first, offset) = self.size.split(range.start().octets_past(chain.base));
        if first.saturating_sub(chain.count) > MAX_GAP_PAGES {
            return None;
        }
        let mut link = self.locate(chain, first);
        let octets = offset.saturating_add(range.octets());
        let pages = first.saturating_add(self.size.pages(octets));
        while chain.count < pages {
            let page = chain.count;
            let Some(appended) = self.append(chain) else {
                break;
            };
            if page == first {
                link = Some(appended);
            }
        }
        let room = self.size.start_of(chain.count.saturating_sub(first));
        let covered = octets.min(room).saturating_sub(offset);
        Some(Walk::new(link?, first, offset, covered))
    }

    /// Copies `bytes` to the octets `from .. to` of a block; never differs from what was there.
    fn copy(
        &mut self,
        link: Link,
        from: u32,
        to: u32,
        bytes: &[u8],
        sum: &mut Sum,
    ) -> Option<bool> {
        sum.copy_bytes(self.octets_mut(link, from, to)?, bytes);
        Some(false)
    }

    /// Copies `bytes` into a piece except where octets are held; those are only compared. Says
    /// whether they differ, or `None` if octets out of order could not be marked there.
    fn place(
        &mut self,
        chain: &Chain,
        piece: Piece,
        in_order: bool,
        bytes: &[u8],
        sum: &mut Sum,
    ) -> Option<bool> {
        let end = chain.end_in(piece.start, self.size);
        let marks = self.slot(piece.link)?.valid(chain.epoch(), end);
        if !in_order {
            marks.with(piece.from, piece.to)?;
        }
        let mut differs = false;
        let (mut from, mut rest) = (piece.from, bytes);
        while from < piece.to {
            let (held, to) = marks.stretch(from, piece.to);
            let (now, later) = split(rest, to.saturating_sub(from));
            if held {
                sum.add_bytes(now);
                differs |= self.octets_mut(piece.link, from, to)? != now;
            } else {
                self.copy(piece.link, from, to, now, sum)?;
            }
            (from, rest) = (to, later);
        }
        Some(differs)
    }

    /// Moves the in-order end over `range`, which begins there, and over what it now touches.
    fn advance(&mut self, chain: &mut Chain, range: SeqRange) -> Stored {
        if chain.ahead == 0 {
            chain.end = range.end();
            return Stored {
                advanced: range,
                ..Stored::nothing(chain)
            };
        }
        self.clear_ahead(chain, range);
        chain.end = range.end();
        let joined = self.extend(chain, JOIN_PAGES);
        Stored {
            advanced: SeqRange::new(range.start(), chain.end),
            ..joined
        }
    }

    /// Clears the marks in `range`, which begins at the in-order end.
    fn clear_ahead(&mut self, chain: &mut Chain, range: SeqRange) {
        let Some(mut walk) = self.walk(chain, range) else {
            return;
        };
        while let Some(piece) = walk.piece(chain, self.size) {
            if let Some(slot) = self.slot_mut(piece.link) {
                let octets = slot.marks.octets_in(piece.from, piece.to);
                slot.marks = slot.marks.without(piece.from, piece.to);
                chain.ahead = chain.ahead.saturating_sub(octets);
            }
            self.step(&mut walk, 1);
        }
    }

    /// Moves the in-order end over marked octets behind it; whether there may be more of them.
    fn join(&mut self, chain: &mut Chain, max_pages: u32) -> bool {
        let beyond = SeqRange::new(chain.end, chain.capacity_end(self.size));
        let Some(mut walk) = self.walk(chain, beyond) else {
            return false;
        };
        for _ in 0..max_pages {
            let Some(piece) = walk.piece(chain, self.size) else {
                return false;
            };
            let Some(slot) = self.slot_mut(piece.link) else {
                return false;
            };
            let (held, to) = slot.marks.stretch(piece.from, piece.to);
            if !held {
                return false;
            }
            slot.marks = slot.marks.without(piece.from, to);
            chain.ahead = chain.ahead.saturating_sub(to.saturating_sub(piece.from));
            chain.end = piece.seq(to);
            if to < piece.to {
                return false;
            }
            self.step(&mut walk, 1);
        }
        !walk.is_done() && chain.ahead > 0
    }

    /// Marks `range`, which lies past the in-order end, as held.
    fn hold(&mut self, chain: &mut Chain, range: SeqRange) -> Stored {
        let mut walk = self.walk(chain, range);
        while let Some(piece) = walk.and_then(|walk| walk.piece(chain, self.size)) {
            let end = chain.end_in(piece.start, self.size);
            if let Some(slot) = self.slot_mut(piece.link) {
                slot.enter(chain.epoch(), end);
                if let Some(marks) = slot.marks.with(piece.from, piece.to) {
                    let known = slot.marks.octets_in(piece.from, piece.to);
                    chain.ahead = chain
                        .ahead
                        .saturating_add(piece.octets().saturating_sub(known));
                    slot.marks = marks;
                }
            }
            if let Some(walk) = walk.as_mut() {
                self.step(walk, 1);
            }
        }
        Stored {
            held: range,
            ..Stored::nothing(chain)
        }
    }

    /// Remembers that a pushed segment ends with a piece.
    fn note_push(&mut self, last: Piece) {
        if let Some(slot) = self.slot_mut(last.link) {
            slot.push = slot.push.max(low_half(last.to));
        }
    }
}

/// The number of octets in a payload.
fn octets(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// The first `octets` octets and the others.
fn split(bytes: &[u8], octets: u32) -> (&[u8], &[u8]) {
    bytes
        .split_at_checked(octets as usize)
        .unwrap_or((bytes, &[]))
}
