//! What a walk over octets that have arrived at the receiver gathers.

use crate::recovery::delivery::Sent;
use crate::seq::{SeqNum, SeqRange};

use super::sent::Newest;
use super::walk::Piece;
use super::{BlockSize, Chain, Marks};

/// A number of octets, and how many of them lie in the ranges that the caller watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    /// All octets.
    pub(crate) octets: u32,
    /// Those in one of the watched ranges, which are disjoint.
    pub(crate) watched: u32,
}

/// SACKed octets, and what the notes of the pages say whose octets have newly arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    watch: [SeqRange; 2],
    /// Where what was sent of the stored octets ends. A FIN is not one of them.
    pub(super) sent_end: SeqNum,
    /// Octets SACKed: newly, or until they were released.
    pub(super) sacked: Tally,
    /// The newest note of the pages that have arrived up to the last octet sent.
    pub(super) newest: Option<Newest>,
    /// The lowest new octet of a page of which nothing was sent twice.
    pub(super) lowest: Option<SeqNum>,
}

impl Report {
    pub(super) fn new(chain: &Chain, snd_nxt: SeqNum, watch: [SeqRange; 2]) -> Self {
        Self {
            watch,
            sent_end: snd_nxt.earliest(chain.end),
            sacked: Tally::default(),
            newest: None,
            lowest: None,
        }
    }

    /// Counts all octets of `range` as SACKed.
    pub(super) fn count_all(&mut self, range: SeqRange) {
        self.sacked.octets = self.sacked.octets.saturating_add(range.octets());
        for watch in self.watch {
            let watched = range.intersection(watch).octets();
            self.sacked.watched = self.sacked.watched.saturating_add(watched);
        }
    }

    /// Counts the octets of `piece` that are in `marks` and not in `known`; answers their number.
    pub(super) fn count(&mut self, piece: Piece, marks: Marks, known: Marks) -> u32 {
        let new = |from, to| {
            marks
                .octets_in(from, to)
                .saturating_sub(known.octets_in(from, to))
        };
        let octets = new(piece.from, piece.to);
        self.sacked.octets = self.sacked.octets.saturating_add(octets);
        for watch in self.watch {
            let (from, to) = piece.offsets_of(watch);
            self.sacked.watched = self.sacked.watched.saturating_add(new(from, to));
        }
        octets
    }

    /// Takes in a released piece of a page with the note `sent`, unless all that was sent of it was
    /// `sacked` before.
    pub(super) fn release(&mut self, piece: Piece, sacked: Marks, sent: &Sent, size: BlockSize) {
        let to = self.sent_end.octets_past(piece.start).min(piece.to);
        let first = sacked.first_unmarked(piece.from, to);
        if first < to {
            self.deliver(piece, (first, to), sent, size);
        }
    }

    /// Takes in the note of a page whose octets from the offset `first` on, which is new, up to `to`
    /// have arrived. A page that was never sent says nothing.
    pub(super) fn deliver(
        &mut self,
        piece: Piece,
        (first, to): (u32, u32),
        sent: &Sent,
        size: BlockSize,
    ) {
        if !sent.at.is_set() {
            return;
        }
        let (start, end) = (piece.seq(first), piece.seq(to));
        if !sent.is_retransmitted() {
            self.lowest = Some(self.lowest.map_or(start, |lowest| lowest.earliest(start)));
        }
        // If something was sent past `end`, the note may be that of a later segment.
        if to == size.octets() || end.at_or_after(self.sent_end) {
            let page = Newest { end, sent: *sent };
            self.newest = Some(self.newest.map_or(page, |newest| newest.latest(page)));
        }
    }
}
