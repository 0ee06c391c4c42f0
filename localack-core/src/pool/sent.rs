//! When octets were last sent: the notes from which losses are inferred by time (RFC 8985).
//!
//! A page has one note, that of the last transmission of any of its octets. So a page that was sent
//! in parts looks as if all of it was sent last: a loss may be found later than by a note for each
//! segment, never earlier.

use crate::recovery::delivery::Sent;
use crate::seq::{SeqNum, SeqRange};
use crate::time::{Instant, Stamp};

use super::{Chain, Pool};

/// The most recently sent of some delivered pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Newest {
    /// Where what was delivered in the page ends.
    pub(crate) end: SeqNum,
    /// The note of the page.
    pub(crate) sent: Sent,
}

impl Newest {
    /// Whether it was sent after `other`; of what was sent at the same time, what comes later in
    /// sequence (`RACK_sent_after`, RFC 8985 section 6.2, step 2).
    pub(crate) const fn is_after(&self, other: &Self) -> bool {
        let same_time = !other.sent.at.is_after(self.sent.at);
        self.sent.at.is_after(other.sent.at) || (same_time && self.end.after(other.end))
    }

    /// The one sent later.
    pub(crate) const fn latest(self, other: Self) -> Self {
        if other.is_after(&self) { other } else { self }
    }
}

/// Which pages count as lost because something that was sent after them has arrived
/// (`RACK_detect_loss`, RFC 8985 section 6.2, step 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Expiry {
    /// When the most recently sent of what was delivered left (`RACK.xmit_ts`).
    pub(crate) xmit: Stamp,
    /// Where that ends (`RACK.end_seq`).
    pub(crate) end: SeqNum,
    /// Microseconds after which a page sent earlier is lost: `RACK.rtt` and the reordering window.
    pub(crate) reach_us: u32,
    pub(crate) now: Instant,
}

impl Expiry {
    /// Microseconds until a page expires, zero if it has; `None` if it was not sent before the most
    /// recently delivered one. `end` is where it, or the part in question, ends.
    fn wait_us(&self, sent: &Sent, end: SeqNum) -> Option<u32> {
        let earlier =
            self.xmit.is_after(sent.at) || (self.xmit == sent.at && end.at_or_before(self.end));
        (sent.at.is_set() && earlier).then(|| self.reach_us.saturating_sub(sent.at.age(self.now)))
    }
}

/// What [`Pool::expired`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Expired {
    /// Everything between the start of the range and this number that is not SACKed has expired.
    pub(crate) edge: SeqNum,
    /// Octets there that are not SACKed.
    pub(crate) octets: u32,
    /// The note of the last page that has expired.
    pub(crate) last: Option<Sent>,
    /// Microseconds until the page at the edge expires, if it was sent before the most recently
    /// delivered one.
    pub(crate) wait_us: Option<u32>,
    /// Whether the range was too long for one call. It goes on from the edge, which has moved even if
    /// there was nothing but SACKed octets before it.
    pub(crate) more: bool,
}

impl Pool<'_> {
    /// Notes a transmission on every page that `range` touches, as far as it is stored in order
    /// (RFC 8985 section 6.1).
    ///
    /// Costs a step per page right after [`Pool::payload`] of the same range, and the next range
    /// needs no search.
    pub(crate) fn stamp(&mut self, chain: &mut Chain, range: SeqRange, sent: Sent) {
        let Some(mut walk) = self.walk(chain, range.intersection(chain.held())) else {
            return;
        };
        while let Some(piece) = walk.piece(chain, self.size) {
            if let Some(slot) = self.slot_mut(piece.link) {
                slot.note_sent(sent);
            }
            self.step(&mut walk, 1);
        }
        chain.read = walk.link;
        chain.read_page = walk.page;
    }

    /// Goes through `range` in sequence order as long as each page with an octet that is not SACKed
    /// has expired. A page that was never sent has not, and a FIN is in no page.
    ///
    /// Visits at most `max_pages` pages.
    #[must_use]
    pub(crate) fn expired(
        &self,
        chain: &Chain,
        range: SeqRange,
        expiry: &Expiry,
        max_pages: u32,
    ) -> Expired {
        let mut found = Expired {
            edge: range.start(),
            octets: 0,
            last: None,
            wait_us: None,
            more: false,
        };
        let Some(mut walk) = self.walk(chain, range.intersection(chain.held())) else {
            return found;
        };
        for _ in 0..max_pages {
            let Some(piece) = walk.piece(chain, self.size) else {
                break;
            };
            let Some(slot) = self.slot(piece.link) else {
                return found;
            };
            let end = chain.end_in(piece.start, self.size);
            let pages = slot.sacked_pages(chain.epoch(), end, self.size);
            let sacked = slot.sacked(chain.epoch(), end);
            let octets = piece
                .octets()
                .saturating_sub(sacked.octets_in(piece.from, piece.to));
            if octets > 0 {
                found.wait_us = expiry.wait_us(&slot.sent, piece.seq(piece.to));
                if found.wait_us != Some(0) {
                    return found;
                }
                found.octets = found.octets.saturating_add(octets);
                found.last = Some(slot.sent);
                found.wait_us = None;
            }
            self.step(&mut walk, pages.max(1));
            found.edge = walk.at(chain, self.size);
        }
        found.more = !walk.is_done();
        found
    }
}
