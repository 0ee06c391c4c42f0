//! Letting go of what the receiver has acknowledged.

use crate::seq::{SeqNum, SeqRange};

use super::sack::Tally;
use super::walk::{Piece, Walk};
use super::{Chain, Pool};

/// What [`Pool::release`] let go of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Released {
    /// Octets released that were marked as SACKed.
    pub(crate) sacked: Tally,
    /// Blocks freed.
    pub(crate) blocks: u32,
    /// Whether the start of [`Chain::held`] is not there yet, because it was too far for one call.
    pub(crate) more: bool,
}

impl Pool<'_> {
    /// Releases everything before `snd_una`, which the receiver has acknowledged (rule H4.1).
    ///
    /// Blocks are freed once all of their octets are released; the last ones are freed as well
    /// when nothing is left, so an idle stream holds no block. Where SACK marks have to be counted
    /// at most `max_pages` pages are visited; without any it is O(1).
    ///
    /// If `snd_una` lies past the in-order end, octets went round the engine (rule H9.2) and the
    /// in-order end follows; octets held out of order may then touch it, so call
    /// [`Pool::extend`].
    pub(crate) fn release(
        &mut self,
        chain: &mut Chain,
        snd_una: SeqNum,
        watch: SeqRange,
        max_pages: u32,
    ) -> Released {
        if !snd_una.after(chain.una) {
            return Released::default();
        }
        let passed = SeqRange::new(chain.una, snd_una);
        let mut sacked = Tally::default();
        let overtaken = chain.ahead > 0 && snd_una.after(chain.end);
        let reached = if chain.sacked > 0 || overtaken {
            self.unmark(chain, passed, watch, max_pages, &mut sacked)
        } else {
            snd_una
        };
        chain.sacked = chain.sacked.saturating_sub(sacked.octets);
        chain.una = reached;
        chain.end = chain.end.latest(reached);
        let blocks = self.drop_released(chain);
        Released {
            sacked,
            blocks,
            more: reached != snd_una,
        }
    }

    /// Counts and forgets the marks in `passed`; answers how far it came.
    fn unmark(
        &mut self,
        chain: &mut Chain,
        passed: SeqRange,
        watch: SeqRange,
        max_pages: u32,
        sacked: &mut Tally,
    ) -> SeqNum {
        let Some(mut walk) = self.walk(chain, passed) else {
            return passed.end();
        };
        for _ in 0..max_pages {
            let Some(piece) = walk.piece(chain, self.size) else {
                break;
            };
            let pages = self.whole_sacked_pages(chain, walk, piece);
            if pages == 0 {
                self.unmark_piece(chain, piece, watch, sacked);
            } else {
                let end = piece.start.advance(self.size.start_of(pages));
                sacked.add(SeqRange::new(piece.start, end), watch);
            }
            self.step(&mut walk, pages.max(1));
        }
        if walk.is_done() {
            passed.end()
        } else {
            walk.at(chain, self.size)
        }
    }

    /// Pages from here on that are SACKed and released as a whole.
    fn whole_sacked_pages(&self, chain: &Chain, walk: Walk, piece: Piece) -> u32 {
        self.sacked_pages(chain, piece)
            .min(walk.whole_pages(self.size))
    }

    fn unmark_piece(
        &mut self,
        chain: &mut Chain,
        piece: Piece,
        watch: SeqRange,
        sacked: &mut Tally,
    ) {
        let end = chain.end_in(piece.start, self.size);
        let Some(slot) = self.slot_mut(piece.link) else {
            return;
        };
        slot.enter(chain.epoch, end);
        sacked.add_marks(piece, slot.marks.before(end), super::Marks::NONE, watch);
        let overtaken = slot.marks.after(end).octets_in(piece.from, piece.to);
        chain.ahead = chain.ahead.saturating_sub(overtaken);
        slot.marks = slot.marks.without(0, piece.to);
    }

    /// Frees the blocks that hold nothing but released octets; answers their number.
    fn drop_released(&mut self, chain: &mut Chain) -> u32 {
        let count = chain.count;
        let past = |chain: &Chain| chain.una.at_or_after(chain.capacity_end(self.size));
        if chain.una == chain.end && (chain.ahead == 0 || past(chain)) {
            self.restart(chain, chain.una);
        } else {
            let (pages, _) = self.size.split(chain.una.octets_past(chain.base));
            self.drop_head(chain, pages);
        }
        count.saturating_sub(chain.count)
    }
}
