//! The scoreboard: which stored octets the receiver has SACKed (RFC 2018, RFC 6675).

use crate::seq::{SeqNum, SeqRange, low_half};

use super::block::Link;
use super::report::{Report, Tally};
use super::sent::Newest;
use super::walk::Piece;
use super::{Chain, Marks, Pool};

/// What [`Pool::mark_sacked`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Marked {
    /// Octets that were not marked before.
    pub(crate) newly: Tally,
    /// The newest note of the pages with new marks that are SACKed up to the last octet sent. The
    /// note of a page of which only the front is SACKed may be that of a later segment.
    pub(crate) newest: Option<Newest>,
    /// The lowest sequence number newly marked on a page of which nothing was sent twice.
    pub(crate) lowest: Option<SeqNum>,
    /// Whether the block was too long for one call; the same call again goes on with it.
    pub(crate) more: bool,
}

/// What [`Pool::unsacked_run`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Run {
    /// The first run of octets that are not SACKed; it may go on where the search ended.
    Found(SeqRange),
    /// Everything is SACKed as far as this number, where the search ended.
    Skipped(SeqNum),
    /// Everything in the range is SACKed.
    None,
}

/// What [`Pool::unsacked_octets`] counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counted {
    /// Octets that are not SACKed.
    pub(crate) octets: u32,
    /// Where the count ended: the end of the range, unless it was too long for one call.
    pub(crate) reached: SeqNum,
}

/// A stretch of pages that are SACKed as a whole, while it is being walked.
#[derive(Clone, Copy, Debug, Default)]
struct Stretch {
    first: Link,
    pages: u32,
}

impl Pool<'_> {
    /// Marks `block` as SACKed, as far as it lies in what is stored in order.
    ///
    /// The caller has cut it to `snd_una .. snd_nxt`, a FIN counted or not. Visits at most `max_pages` pages; pages that
    /// are marked already are skipped by the stretch, so a block that grows, or one that is
    /// reported again and again, costs what is new in it. A mark that a page cannot express is
    /// forgotten: the octets count as not SACKed and may be sent once too often.
    pub(crate) fn mark_sacked(
        &mut self,
        chain: &mut Chain,
        block: SeqRange,
        snd_nxt: SeqNum,
        watch: [SeqRange; 2],
        max_pages: u32,
    ) -> Marked {
        let mut report = Report::new(chain, snd_nxt, watch);
        let Some(mut walk) = self.walk(chain, block.intersection(chain.held())) else {
            return Marked::default();
        };
        let mut stretch = Stretch::default();
        for _ in 0..max_pages {
            let Some(piece) = walk.piece(chain, self.size) else {
                break;
            };
            let pages = self.mark_piece(chain, piece, &mut report);
            stretch = self.lengthen(stretch, piece.link, pages);
            self.step(&mut walk, pages.max(1));
        }
        self.note_stretch(stretch);
        chain.sacked = chain.sacked.saturating_add(report.sacked.octets);
        Marked {
            newly: report.sacked,
            newest: report.newest,
            lowest: report.lowest,
            more: !walk.is_done(),
        }
    }

    /// The first run of octets in `range` that are stored in order and not SACKed.
    ///
    /// Visits at most `max_pages` pages, so a run can be longer than what is found of it.
    #[must_use]
    pub(crate) fn unsacked_run(&self, chain: &Chain, range: SeqRange, max_pages: u32) -> Run {
        let range = range.intersection(chain.held());
        if range.is_empty() {
            return Run::None;
        }
        if chain.sacked == 0 {
            return Run::Found(range);
        }
        let Some(mut walk) = self.walk(chain, range) else {
            return Run::None;
        };
        let mut run: Option<SeqRange> = None;
        for _ in 0..max_pages {
            let Some(piece) = walk.piece(chain, self.size) else {
                break;
            };
            let pages = self.sacked_pages(chain, piece);
            if pages == 0 {
                let (found, ends) = self.run_in(chain, piece, run);
                run = found;
                if ends {
                    break;
                }
            } else if run.is_some() {
                break;
            }
            self.step(&mut walk, pages.max(1));
        }
        match run {
            Some(run) => Run::Found(run),
            None if walk.is_done() => Run::None,
            None => Run::Skipped(walk.at(chain, self.size)),
        }
    }

    /// Counts the octets in `range` that are stored in order and not SACKed, through at most
    /// `max_pages` pages.
    #[must_use]
    pub(crate) fn unsacked_octets(
        &self,
        chain: &Chain,
        range: SeqRange,
        max_pages: u32,
    ) -> Counted {
        let range = range.intersection(chain.held());
        if chain.sacked == 0 {
            return Counted {
                octets: range.octets(),
                reached: range.end(),
            };
        }
        let Some(mut walk) = self.walk(chain, range) else {
            return Counted {
                octets: 0,
                reached: range.end(),
            };
        };
        let mut octets = 0_u32;
        for _ in 0..max_pages {
            let Some(piece) = walk.piece(chain, self.size) else {
                break;
            };
            let pages = self.sacked_pages(chain, piece);
            if pages == 0 {
                let sacked = self
                    .sacked_marks(chain, piece)
                    .octets_in(piece.from, piece.to);
                octets = octets.saturating_add(piece.octets().saturating_sub(sacked));
            }
            self.step(&mut walk, pages.max(1));
        }
        Counted {
            octets,
            reached: walk.at(chain, self.size),
        }
    }

    /// The pages from a piece's on that are SACKed as a whole, 0 if its is not.
    pub(super) fn sacked_pages(&self, chain: &Chain, piece: Piece) -> u32 {
        let end = chain.end_in(piece.start, self.size);
        self.slot(piece.link)
            .map_or(0, |slot| slot.sacked_pages(chain.epoch(), end, self.size))
    }

    /// The SACKed octets of a page.
    pub(super) fn sacked_marks(&self, chain: &Chain, piece: Piece) -> Marks {
        let end = chain.end_in(piece.start, self.size);
        self.slot(piece.link)
            .map_or(Marks::NONE, |slot| slot.sacked(chain.epoch(), end))
    }

    /// Marks a piece, if it is not marked already and can be. Answers the pages from there on that
    /// are SACKed as a whole.
    fn mark_piece(&mut self, chain: &Chain, piece: Piece, report: &mut Report) -> u32 {
        let end = chain.end_in(piece.start, self.size);
        let size = self.size;
        let Some(slot) = self.slot_mut(piece.link) else {
            return 0;
        };
        slot.enter(chain.epoch(), end);
        let known = slot.marks;
        if let Some(marks) = known.with(piece.from, piece.to) {
            slot.marks = marks;
            if report.count(piece, marks, known) > 0 {
                let first = known.first_unmarked(piece.from, piece.to);
                let (_, to) = marks.stretch(first, end);
                report.deliver(piece, (first, to), &slot.sent, size);
            }
        }
        slot.sacked_pages(chain.epoch(), end, size)
    }

    /// Adds `pages` SACKed pages from `link` on to a stretch, or ends it if there are none.
    fn lengthen(&mut self, stretch: Stretch, link: Link, pages: u32) -> Stretch {
        let total = stretch.pages.saturating_add(pages);
        if pages > 0 && stretch.pages > 0 && total <= u32::from(u16::MAX) {
            return Stretch {
                pages: total,
                ..stretch
            };
        }
        self.note_stretch(stretch);
        Stretch { first: link, pages }
    }

    /// Writes a stretch into its first page, for later walks to jump over.
    fn note_stretch(&mut self, stretch: Stretch) {
        if stretch.pages > 1
            && let Some(slot) = self.slot_mut(stretch.first)
        {
            slot.run = low_half(stretch.pages);
        }
    }

    /// Looks for the start of a run in a piece, or for the end of the `run` that reaches it.
    fn run_in(
        &self,
        chain: &Chain,
        piece: Piece,
        run: Option<SeqRange>,
    ) -> (Option<SeqRange>, bool) {
        let marks = self.sacked_marks(chain, piece);
        let mut from = piece.from;
        let (sacked, change) = marks.stretch(from, piece.to);
        if sacked {
            if run.is_some() || change == piece.to {
                return (run, run.is_some());
            }
            from = change;
        }
        let (_, to) = marks.stretch(from, piece.to);
        let start = run.map_or(piece.seq(from), SeqRange::start);
        (Some(SeqRange::new(start, piece.seq(to))), to < piece.to)
    }
}
