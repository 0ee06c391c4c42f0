//! Whether the last reduction was needless: what was sent again had arrived after all (RFC 4015,
//! RFC 3522 by timestamps, RFC 2883 and RFC 3708 by D-SACKs, RFC 5682 by what is acknowledged).

use crate::seq::{SeqNum, SeqRange};

/// What was sent again since the last reduction. Plain old data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(crate) struct Undo {
    /// SND.UNA at the reduction, while that may be taken back.
    marker: SeqNum,
    /// TSval of the first repair.
    tsval: u32,
    /// Octets sent twice that no D-SACK has shown to be needless; above them, how far it is.
    octets_and_state: u32,
}

/// A reduction may be taken back; nothing was sent again yet.
const REDUCED: u32 = 1 << 31;
/// Something was sent again.
const REPAIRED: u32 = 1 << 30;
/// The first of it was what the marker names, so that its acknowledgement can be told.
const HEAD_FIRST: u32 = 1 << 29;
/// More octets than are ever sent again count as this many.
const MOST_OCTETS: u32 = HEAD_FIRST.wrapping_sub(1);

impl Undo {
    pub(crate) const EMPTY: Self = Self {
        marker: SeqNum::ZERO,
        tsval: 0,
        octets_and_state: 0,
    };

    pub(super) const fn from_words(words: [u32; 3]) -> Self {
        let [marker, tsval, octets_and_state] = words;
        Self {
            marker: SeqNum::new(marker),
            tsval,
            octets_and_state,
        }
    }

    pub(super) const fn to_words(self) -> [u32; 3] {
        [self.marker.raw(), self.tsval, self.octets_and_state]
    }

    /// A reduction that may turn out needless. `copies` octets past `snd_una` were sent twice before it:
    /// D-SACKs of those say nothing of what will be sent again because of it.
    pub(crate) fn begin(snd_una: SeqNum, copies: u32) -> Self {
        Self {
            marker: snd_una,
            tsval: 0,
            octets_and_state: REDUCED | copies.min(MOST_OCTETS),
        }
    }

    /// `range` is sent again, in a segment with this TSval.
    pub(crate) fn on_repair(&mut self, range: SeqRange, tsval: u32) {
        if self.octets_and_state & REDUCED != 0 {
            self.tsval = tsval;
            self.octets_and_state = REPAIRED | self.octets();
            if range.start().at_or_before(self.marker) {
                self.octets_and_state |= HEAD_FIRST;
            }
        }
        self.set_octets(self.octets().saturating_add(range.octets()));
    }

    /// An acknowledgement of something new, with SND.UNA at `una` before it, echoes `tsecr`: true if
    /// an earlier transmission of what was repaired first brought it about (RFC 3522 section 3.2).
    /// Only the first that acknowledges the repair can tell, and only if the repair was of SND.UNA:
    /// what is acknowledged before it may be older repairs. It never says so of a repair that carried
    /// the same TSval as the first transmission (rule H3.5).
    pub(crate) fn echoes_original(&self, tsecr: u32, una: SeqNum) -> bool {
        let behind = self.tsval.wrapping_sub(tsecr);
        let is_first = self.octets_and_state & HEAD_FIRST != 0 && una == self.marker;
        is_first && self.has_repaired() && tsecr != 0 && behind != 0 && behind < 1 << 31
    }

    /// A D-SACK reports `range`: true if by now everything that was sent twice is known to have been
    /// there (RFC 3708 section 3).
    pub(crate) fn on_dsack(&mut self, range: SeqRange, snd_nxt: SeqNum) -> bool {
        let is_ours = self.octets_and_state & (REDUCED | REPAIRED) != 0
            && range.start().at_or_after(self.marker)
            && range.end().at_or_before(snd_nxt);
        if is_ours {
            self.set_octets(self.octets().saturating_sub(range.octets()));
        }
        is_ours && self.has_repaired() && self.octets() == 0
    }

    /// Whether something was sent again that a D-SACK may be about.
    pub(crate) const fn has_repaired(&self) -> bool {
        self.octets_and_state & REPAIRED != 0
    }

    /// It is too late, or done.
    pub(crate) const fn end(&mut self) {
        *self = Self::EMPTY;
    }

    /// Octets sent twice that no D-SACK has shown to be needless.
    pub(crate) const fn octets(&self) -> u32 {
        self.octets_and_state & MOST_OCTETS
    }

    fn set_octets(&mut self, octets: u32) {
        self.octets_and_state = self.octets_and_state & !MOST_OCTETS | octets.min(MOST_OCTETS);
    }

    /// SND.UNA has come so far that the marker would soon look new.
    pub(crate) const fn catch_up(&mut self, snd_una: SeqNum) {
        if snd_una.octets_past(self.marker) > 1 << 30 {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u32, end: u32) -> SeqRange {
        SeqRange::new(SeqNum::new(start), SeqNum::new(end))
    }

    #[test]
    fn rfc3522_3_2_only_an_echo_from_before_the_repair_tells() {
        for base in [1000, u32::MAX] {
            let tsval = |offset: u32| base.wrapping_add(offset);
            let una = SeqNum::new(1);
            let mut undo = Undo::begin(una, 0);
            assert!(
                !undo.echoes_original(tsval(0), una),
                "nothing was sent again"
            );
            undo.on_repair(range(1, 1001), tsval(5));
            undo.on_repair(range(1001, 2001), tsval(50));
            assert!(undo.echoes_original(tsval(4), una));
            assert!(
                !undo.echoes_original(tsval(5), una),
                "h3_5: the same TSval says nothing"
            );
            assert!(!undo.echoes_original(tsval(6), una));
            undo.end();
            assert!(!undo.echoes_original(tsval(4), una));
        }
    }

    #[test]
    fn rfc3522_3_2_an_older_repair_at_the_front_tells_nothing() {
        let una = SeqNum::new(1);
        let mut undo = Undo::begin(una, 0);
        undo.on_repair(range(5001, 6001), 50);
        assert!(
            !undo.echoes_original(4, una),
            "the front was repaired before the reduction"
        );
        let mut undo = Undo::begin(una, 0);
        undo.on_repair(range(1, 1001), 50);
        assert!(
            !undo.echoes_original(4, SeqNum::new(1001)),
            "not the first acknowledgement"
        );
        assert!(undo.echoes_original(4, una));
    }

    #[test]
    fn rfc3708_3_all_repairs_must_be_reported_as_duplicates() {
        let nxt = SeqNum::new(10_000);
        let mut undo = Undo::begin(SeqNum::new(1000), 0);
        assert!(!undo.on_dsack(range(1000, 2000), nxt));
        undo.on_repair(range(1000, 2000), 7);
        undo.on_repair(range(3000, 3500), 7);
        assert!(!undo.on_dsack(range(1000, 2000), nxt));
        assert!(
            !undo.on_dsack(range(0, 500), nxt),
            "from before the reduction"
        );
        assert!(!undo.on_dsack(range(10_000, 10_500), nxt), "never sent");
        assert!(undo.on_dsack(range(3000, 3500), nxt));
    }

    #[test]
    fn rfc3708_3_a_copy_from_before_the_reduction_is_no_repair() {
        let nxt = SeqNum::new(10_000);
        let probe = range(9000, 10_000);
        let mut late = Undo::begin(SeqNum::new(1000), 1000);
        late.on_repair(range(1000, 2000), 7);
        assert!(!late.on_dsack(probe, nxt), "only the probe was needless");
        assert!(late.on_dsack(range(1000, 2000), nxt));
        let mut early = Undo::begin(SeqNum::new(1000), 1000);
        assert!(!early.on_dsack(probe, nxt), "nothing was sent again yet");
        early.on_repair(range(1000, 2000), 7);
        assert!(early.on_dsack(range(1000, 2000), nxt));
    }

    #[test]
    fn rfc3522_3_2_an_echo_from_half_way_round_is_not_older() {
        let una = SeqNum::new(1);
        let mut undo = Undo::begin(una, 0);
        undo.on_repair(range(1, 1001), 5);
        let half = 1_u32 << 31;
        assert!(!undo.echoes_original(half + 5, una));
        assert!(undo.echoes_original(half + 6, una));
    }

    #[test]
    fn rfc3708_3_without_a_reduction_there_is_nothing_to_take_back() {
        let mut undo = Undo::EMPTY;
        undo.on_repair(range(1, 1001), 7);
        assert!(!undo.has_repaired());
        assert!(!undo.on_dsack(range(1, 1001), SeqNum::new(10_000)));
        assert_eq!(undo.octets(), 1000, "copies from before any reduction");
    }

    #[test]
    fn h9_9_a_reduction_stands_once_its_marker_is_a_quarter_of_the_way_round_behind() {
        for (una, may_be_undone) in [
            (1000, true),
            (1500, true),
            (2000, true),
            (1000 + (1 << 30), true),
            (1000 + (1 << 30) + 1, false),
            (1000 + (3 << 29), false),
        ] {
            let mut undo = Undo::begin(SeqNum::new(1000), 0);
            undo.on_repair(range(1000, 2000), 7);
            undo.catch_up(SeqNum::new(una));
            assert_eq!(undo.has_repaired(), may_be_undone, "SND.UNA at {una}");
            let undone = undo.on_dsack(range(1000, 2000), SeqNum::new(una).advance(10_000));
            assert_eq!(undone, may_be_undone, "SND.UNA at {una}");
        }
    }
}
