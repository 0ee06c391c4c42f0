//! The half that faces the data's sender: what was seen from it, and what it was told.

use heapless::Vec;

use crate::seq::{SeqNum, SeqRange};
use crate::time::{Moment, Stamp};

/// Most SACK blocks that fit a segment (RFC 2018 section 3).
pub(crate) const MAX_SACK: usize = 4;
/// Most SACK blocks beside timestamps.
pub(crate) const MAX_SACK_WITH_TIMESTAMPS: usize = 3;

/// Nothing held out of order.
const NO_BLOCKS: [SeqRange; MAX_SACK] = [SeqRange::new(SeqNum::ZERO, SeqNum::ZERO); MAX_SACK];

/// SACK blocks of one acknowledgement.
pub(crate) type SackList = Vec<SeqRange, MAX_SACK>;

/// The first blocks of `blocks`, as many as a segment holds.
pub(crate) fn sack_list(blocks: impl Iterator<Item = SeqRange>) -> SackList {
    let mut list = SackList::new();
    for block in blocks {
        // `collect` would panic instead.
        if list.push(block).is_err() {
            break;
        }
    }
    list
}

/// State toward the sender of the data (RFC 9293 section 3.3.1, receive sequence space).
///
/// RCV.NXT itself is the end of the chain in custody, so that nothing can be acknowledged that is
/// not stored.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct RecvHalf {
    /// Highest sequence number seen from the sender, its FIN counted (*M*).
    pub(crate) seq_max: SeqNum,
    /// Sequence number of the FIN, if one was seen (*F*).
    pub(crate) fin: SeqNum,
    /// Highest acknowledgement number sent to the sender.
    pub(crate) ack_sent: SeqNum,
    /// Right edge of the window the sender was offered (*E*).
    pub(crate) edge: SeqNum,
    /// Highest edge SACKed to the sender, if anything was.
    pub(crate) sacked_to: SeqNum,
    /// End of the sender's urgent data.
    pub(crate) urgent: SeqNum,
    /// TS.Recent (RFC 7323 section 4.3), echoed to the sender. Of a stream that is only watched: the
    /// TSval that may stand on segments made in its name (*tsr*, rule H3.2).
    pub(crate) ts_recent: u32,
    /// Highest TSval of any valid segment of the sender.
    pub(crate) ts_max: u32,
    /// What is held out of order, most recent first (RFC 2018 section 4); after them empty
    /// ranges.
    sack: [SeqRange; MAX_SACK],
    /// When a delayed acknowledgement is due; set while a segment waits for one.
    pub(crate) ack_due: Stamp,
    /// When a reopened window is announced again (rule H2.6).
    pub(crate) window_due: Stamp,
    /// When data last arrived.
    pub(crate) data_at: Moment,
}

impl RecvHalf {
    pub(crate) const EMPTY: Self = Self {
        seq_max: SeqNum::ZERO,
        fin: SeqNum::ZERO,
        ack_sent: SeqNum::ZERO,
        edge: SeqNum::ZERO,
        sacked_to: SeqNum::ZERO,
        urgent: SeqNum::ZERO,
        ts_recent: 0,
        ts_max: 0,
        sack: NO_BLOCKS,
        ack_due: Stamp::NEVER,
        window_due: Stamp::NEVER,
        data_at: Moment::NEVER,
    };

    /// The blocks held out of order, most recent first.
    pub(crate) fn held(&self) -> &[SeqRange] {
        let len = self
            .sack
            .iter()
            .take_while(|block| !block.is_empty())
            .count();
        self.sack.get(..len).unwrap_or_default()
    }

    /// Notes that `range` is now held out of order: it becomes the first block, joined with the
    /// blocks it touches. The oldest block is forgotten if there are too many, though its octets
    /// stay held.
    pub(crate) fn note_held(&mut self, range: SeqRange) {
        if range.is_empty() {
            return;
        }
        let first = self
            .held()
            .iter()
            .filter(|old| old.touches(range))
            .fold(range, |sum, &old| sum.hull(old));
        let mut blocks = NO_BLOCKS;
        let old = self.held().iter().filter(|old| !old.touches(first));
        for (cell, &block) in blocks.iter_mut().zip(core::iter::once(&first).chain(old)) {
            *cell = block;
        }
        self.sack = blocks;
    }

    /// Nothing is held out of order any more.
    pub(crate) const fn forget_held(&mut self) {
        self.sack = NO_BLOCKS;
    }

    /// Forgets blocks, or parts of them, that the in-order end has moved over.
    pub(crate) fn prune_held(&mut self, rcv_nxt: SeqNum) {
        let mut blocks = NO_BLOCKS;
        let left = self
            .held()
            .iter()
            .filter(|block| block.end().after(rcv_nxt));
        for (cell, block) in blocks.iter_mut().zip(left) {
            *cell = SeqRange::new(block.start().latest(rcv_nxt), block.end());
        }
        self.sack = blocks;
    }

    /// The SACK blocks of the next acknowledgement: a duplicate just received first (RFC 2883),
    /// then what is held out of order, as many as fit (rule H4.4).
    pub(crate) fn blocks(&self, duplicate: SeqRange, timestamps: bool) -> SackList {
        let most = if timestamps {
            MAX_SACK_WITH_TIMESTAMPS
        } else {
            MAX_SACK
        };
        let first = Some(duplicate).filter(|range| !range.is_empty());
        let all = first.into_iter().chain(self.held().iter().copied());
        sack_list(all.take(most))
    }

    /// Takes a timestamp of the sender in (RFC 7323 section 4.3): the echo follows it only if the
    /// segment begins at or before what was `expected` (rule H3.4).
    pub(crate) fn note_timestamp(&mut self, val: u32, seq: SeqNum, expected: SeqNum) {
        if !older(val, self.ts_recent) && seq.at_or_before(expected) {
            self.ts_recent = val;
        }
        if !older(val, self.ts_max) {
            self.ts_max = val;
        }
    }

    /// The receiver echoes a timestamp of the sender's: it has taken it, and refuses older ones (rule
    /// H3.3), whatever went by out of order here.
    pub(crate) fn note_echo(&mut self, echo: u32) {
        if older(self.ts_recent, echo) && !older(self.ts_max, echo) {
            self.ts_recent = echo;
        }
    }

    /// Whether a segment with this timestamp is older than one already accepted (PAWS).
    pub(crate) const fn is_stale(&self, val: u32) -> bool {
        older(val, self.ts_recent)
    }
}

/// Whether one timestamp is older than another, modulo 2^32 (RFC 7323 section 5.2).
pub(crate) const fn older(val: u32, than: u32) -> bool {
    SeqNum::new(val).before(SeqNum::new(than))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u32, end: u32) -> SeqRange {
        SeqRange::new(SeqNum::new(start), SeqNum::new(end))
    }

    #[test]
    fn h4_4_the_most_recent_block_comes_first_and_neighbours_join() {
        let mut recv = RecvHalf::EMPTY;
        for start in [2001, 4001, 6001, 8001] {
            recv.note_held(range(start, start + 1000));
        }
        let none = range(0, 0);
        assert_eq!(
            recv.blocks(none, true).as_slice(),
            [range(8001, 9001), range(6001, 7001), range(4001, 5001)]
        );
        assert_eq!(recv.blocks(none, false).len(), 4);
        recv.note_held(range(5001, 6001));
        assert_eq!(
            recv.blocks(none, true).as_slice(),
            [range(4001, 7001), range(8001, 9001), range(2001, 3001)]
        );
        let duplicate = range(1, 1001);
        assert_eq!(
            recv.blocks(duplicate, true).as_slice(),
            [duplicate, range(4001, 7001), range(8001, 9001)]
        );
        recv.prune_held(SeqNum::new(4501));
        assert_eq!(recv.held(), [range(4501, 7001), range(8001, 9001)]);
        recv.prune_held(SeqNum::new(9001));
        assert!(recv.held().is_empty());
    }

    #[test]
    fn h4_4_the_oldest_block_gives_way_to_a_fifth() {
        let mut recv = RecvHalf::EMPTY;
        for start in [10, 30, 50, 70, 90] {
            recv.note_held(range(start, start + 10));
        }
        assert_eq!(
            recv.held(),
            [range(90, 100), range(70, 80), range(50, 60), range(30, 40)]
        );
    }

    #[test]
    fn h3_4_a_timestamp_past_a_hole_is_not_echoed() {
        let (mut recv, ack_sent) = (RecvHalf::EMPTY, SeqNum::new(1001));
        recv.note_timestamp(5, SeqNum::new(1001), ack_sent);
        recv.note_timestamp(9, SeqNum::new(2001), ack_sent);
        assert_eq!((recv.ts_recent, recv.ts_max), (5, 9));
        recv.note_timestamp(8, SeqNum::new(1001), ack_sent);
        assert_eq!((recv.ts_recent, recv.ts_max), (8, 9));
        assert!(recv.is_stale(7) && !recv.is_stale(8));
    }

    #[test]
    fn timestamps_wrap() {
        assert!(older(u32::MAX - 3, 2) && !older(2, u32::MAX - 3));
    }

    #[test]
    fn rfc2018_8_what_is_forgotten_is_held_no_more() {
        let mut recv = RecvHalf::EMPTY;
        recv.note_held(range(20, 30));
        recv.note_held(range(40, 50));
        recv.forget_held();
        assert!(recv.held().is_empty());
    }

    #[test]
    fn h3_3_what_the_receiver_echoes_it_has_taken() {
        let echoed = |echo: u32| {
            let mut recv = RecvHalf::EMPTY;
            recv.note_timestamp(5, SeqNum::new(1), SeqNum::new(1));
            recv.note_timestamp(9, SeqNum::new(2001), SeqNum::new(1001));
            recv.note_echo(echo);
            recv.ts_recent
        };
        assert_eq!([4, 5, 6, 9].map(echoed), [5, 5, 6, 9]);
        assert_eq!(echoed(10), 5, "nobody has sent that");
    }
}
