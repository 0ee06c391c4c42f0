//! Letting go of what the receiver has acknowledged.

use crate::seq::{SeqNum, SeqRange};

use super::report::{Report, Tally};
use super::sent::Newest;
use super::walk::{Piece, Walk};
use super::{Chain, Marks, Pool};

/// What [`Pool::release`] let go of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Released {
    /// Octets released that were marked as SACKed.
    pub(crate) sacked: Tally,
    /// The newest note of the pages with newly delivered octets that were passed up to the last
    /// octet sent. Without SACK marks only the first page and the last one passed are looked at.
    pub(crate) newest: Option<Newest>,
    /// The lowest sequence number newly delivered in a page of which nothing was sent twice, of the
    /// same pages.
    pub(crate) lowest: Option<SeqNum>,
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
    /// at most `max_pages` pages are visited; without any it is O(1), and only two pages are asked
    /// when they were sent. `snd_nxt` is where what was sent ends, a FIN counted or not.
    ///
    /// If `snd_una` lies past the in-order end, octets went round the engine (rule H9.2) and the
    /// in-order end follows; octets held out of order may then touch it, so call
    /// [`Pool::extend`].
    pub(crate) fn release(
        &mut self,
        chain: &mut Chain,
        snd_una: SeqNum,
        snd_nxt: SeqNum,
        watch: [SeqRange; 2],
        max_pages: u32,
    ) -> Released {
        if !snd_una.after(chain.una) {
            return Released::default();
        }
        let passed = SeqRange::new(chain.una, snd_una);
        let mut report = Report::new(chain, snd_nxt, watch);
        let overtaken = chain.ahead > 0 && snd_una.after(chain.end);
        let reached = if chain.sacked > 0 || overtaken {
            self.unmark(chain, passed, max_pages, &mut report)
        } else {
            self.look_at_ends(chain, passed, &mut report);
            snd_una
        };
        chain.sacked = chain.sacked.saturating_sub(report.sacked.octets);
        chain.una = reached;
        chain.end = chain.end.latest(reached);
        let blocks = self.drop_released(chain);
        Released {
            sacked: report.sacked,
            newest: report.newest,
            lowest: report.lowest,
            blocks,
            more: reached != snd_una,
        }
    }

    /// What the first page and the last one in `passed` say, if nothing is marked there.
    fn look_at_ends(&self, chain: &Chain, passed: SeqRange, report: &mut Report) {
        let end = passed.end().earliest(report.sent_end);
        let passed = SeqRange::new(passed.start(), end);
        let Some(first) = self.first_piece(chain, passed) else {
            return;
        };
        self.tell(first, report);
        let (page, offset) = self.size.split(end.octets_past(chain.base));
        let page = if offset > 0 && end == report.sent_end {
            page
        } else {
            page.saturating_sub(1)
        };
        let last = SeqRange::new(chain.page_start(page, self.size), end);
        if last.start().after(first.start)
            && let Some(last) = self.first_piece(chain, last)
        {
            self.tell(last, report);
        }
    }

    /// The part of `range` that lies in its first page.
    fn first_piece(&self, chain: &Chain, range: SeqRange) -> Option<Piece> {
        self.walk(chain, range)?.piece(chain, self.size)
    }

    /// Counts and forgets the marks in `passed`; answers how far it came.
    fn unmark(
        &mut self,
        chain: &mut Chain,
        passed: SeqRange,
        max_pages: u32,
        report: &mut Report,
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
                self.unmark_piece(chain, piece, report);
            } else {
                let end = piece.start.advance(self.size.start_of(pages));
                report.count_all(SeqRange::new(piece.start, end));
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

    fn unmark_piece(&mut self, chain: &mut Chain, piece: Piece, report: &mut Report) {
        let end = chain.end_in(piece.start, self.size);
        let Some(slot) = self.slot_mut(piece.link) else {
            return;
        };
        slot.enter(chain.epoch(), end);
        let (marks, sent) = (slot.marks, slot.sent);
        slot.marks = marks.without(0, piece.to);
        let overtaken = marks.after(end).octets_in(piece.from, piece.to);
        chain.ahead = chain.ahead.saturating_sub(overtaken);
        let sacked = marks.before(end);
        report.count(piece, sacked, Marks::NONE);
        report.release(piece, sacked, &sent, self.size);
    }

    /// Takes in what the note of a page says of a piece that is released and not marked.
    fn tell(&self, piece: Piece, report: &mut Report) {
        if let Some(slot) = self.slot(piece.link) {
            report.release(piece, Marks::NONE, &slot.sent, self.size);
        }
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
