//! Which octets count as lost, and which of them have been sent again.
//!
//! In sequence order, what is outstanding consists of octets sent again (before `high_rxt`), octets
//! found lost and not sent again (up to `edge`), and octets that may still arrive. A repair can be
//! lost as well: then `again_rxt .. again_edge`, within the first of these parts, waits to be sent
//! once more. SACKed octets inside any part are none of its business: the chain marks them.
//!
//! Each part is sent in sequence order, so that what is lost of it next is always at its front, and
//! looking for losses takes no more steps than there are pages, once.

use crate::seq::{SeqNum, SeqRange};

/// What is lost of one direction. Plain old data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Lost {
    /// Everything before it that is not SACKed was found lost.
    edge: SeqNum,
    /// What is lost before it was sent again (HighRxt, RFC 6675).
    high_rxt: SeqNum,
    /// Repairs before it were looked at and found lost, up to `high_rxt` none yet.
    again_edge: SeqNum,
    /// Lost repairs before it were sent once more.
    again_rxt: SeqNum,
    /// Octets that wait to be sent again and are not SACKed.
    octets: u32,
}

impl Lost {
    /// Nothing is lost of what begins at `una`.
    pub(crate) const fn nothing_from(una: SeqNum) -> Self {
        Self {
            edge: una,
            high_rxt: una,
            again_edge: una,
            again_rxt: una,
            octets: 0,
        }
    }

    /// Octets that wait to be sent again.
    pub(crate) const fn octets(&self) -> u32 {
        self.octets
    }

    /// Where what was never found lost begins.
    pub(crate) const fn edge(&self) -> SeqNum {
        self.edge
    }

    /// What waits to be sent again, SACKed octets not taken out: lost repairs, then first losses.
    pub(crate) const fn waiting(&self) -> [SeqRange; 2] {
        [
            SeqRange::new(self.again_rxt, self.again_edge),
            SeqRange::new(self.high_rxt, self.edge),
        ]
    }

    /// Whether nothing waits to be sent again.
    pub(crate) const fn is_empty(&self) -> bool {
        let [again, first] = self.waiting();
        again.is_empty() && first.is_empty()
    }

    /// Repairs that were not found lost yet, from `from` on.
    pub(crate) const fn repaired_from(&self, from: SeqNum) -> SeqRange {
        SeqRange::new(from, self.high_rxt)
    }

    /// Where the search for lost repairs goes on.
    pub(crate) const fn again_edge(&self) -> SeqNum {
        self.again_edge
    }

    /// Takes `octets` that arrived out of what is lost.
    pub(crate) const fn forgive(&mut self, octets: u32) {
        self.octets = self.octets.saturating_sub(octets);
        self.settle();
    }

    /// Everything before `edge` is lost, `octets` of it for the first time.
    pub(crate) const fn raise(&mut self, edge: SeqNum, octets: u32) {
        self.edge = edge;
        self.octets = self.octets.saturating_add(octets);
    }

    /// The repairs `range` are lost, too, `octets` of them not SACKed.
    pub(crate) const fn raise_again(&mut self, range: SeqRange, octets: u32) {
        if self.again_rxt.at_or_after(self.again_edge) {
            self.again_rxt = range.start();
        }
        self.again_edge = range.end();
        self.octets = self.octets.saturating_add(octets);
    }

    /// Nothing of what lies before `edge` is lost that was not found so before: it is SACKed.
    pub(crate) const fn pass(&mut self, edge: SeqNum) {
        if self.high_rxt.at_or_after(self.edge) {
            self.high_rxt = edge;
        }
        self.edge = edge;
    }

    /// The same of repairs.
    pub(crate) const fn pass_again(&mut self, edge: SeqNum) {
        if self.again_rxt.at_or_after(self.again_edge) {
            self.again_rxt = edge;
        }
        self.again_edge = edge;
    }

    /// Everything outstanding is lost, whatever was sent again of it.
    pub(crate) const fn lose_all(&mut self, outstanding: SeqRange) {
        *self = Self {
            edge: outstanding.end(),
            octets: outstanding.octets(),
            ..Self::nothing_from(outstanding.start())
        };
    }

    /// Only the first octets, up to `end`, are to be sent again.
    pub(crate) const fn lose_head(&mut self, una: SeqNum, end: SeqNum) {
        *self = Self {
            edge: end,
            octets: end.octets_past(una),
            ..Self::nothing_from(una)
        };
    }

    /// Nothing that waits was lost after all: it may still arrive.
    pub(crate) const fn retract(&mut self) {
        self.edge = self.high_rxt;
        self.again_rxt = self.again_edge;
        self.octets = 0;
    }

    /// What waits was sent again up to `end`, `octets` of it not SACKed.
    pub(crate) const fn on_repaired(&mut self, end: SeqNum, octets: u32) {
        let [again, _] = self.waiting();
        if again.is_empty() || end.after(self.again_edge) {
            self.again_rxt = self.again_edge;
            self.high_rxt = end.latest(self.high_rxt);
        } else {
            self.again_rxt = end;
        }
        self.octets = self.octets.saturating_sub(octets);
        self.settle();
    }

    /// SND.UNA has moved to `una`.
    pub(crate) const fn catch_up(&mut self, una: SeqNum) {
        self.high_rxt = self.high_rxt.latest(una);
        self.edge = self.edge.latest(una);
        self.again_rxt = self.again_rxt.latest(una);
        self.again_edge = self.again_edge.latest(una);
        self.settle();
    }

    /// Whether all of it lies between these numbers and in the order that it should have.
    pub(crate) fn lies_within(&self, una: SeqNum, next: SeqNum) -> bool {
        let parts = [
            una,
            self.again_rxt,
            self.again_edge,
            self.high_rxt,
            self.edge,
            next,
        ];
        let in_order = parts
            .iter()
            .zip(parts.iter().skip(1))
            .all(|(earlier, later)| earlier.at_or_before(*later));
        let most = next.octets_past(una);
        in_order && self.octets <= most
    }

    const fn settle(&mut self) {
        self.edge = self.edge.latest(self.high_rxt);
        self.again_edge = self
            .again_edge
            .latest(self.again_rxt)
            .earliest(self.high_rxt);
        self.again_rxt = self.again_rxt.earliest(self.again_edge);
        if self.is_empty() {
            self.octets = 0;
        } else if self.octets == 0 {
            // SACKs have taken the rest.
            self.high_rxt = self.edge;
            self.again_rxt = self.again_edge;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(raw: u32) -> SeqNum {
        SeqNum::new(raw)
    }

    fn range(start: u32, end: u32) -> SeqRange {
        SeqRange::new(seq(start), seq(end))
    }

    #[test]
    fn rfc6675_losses_wait_until_they_are_sent_again() {
        let mut lost = Lost::nothing_from(seq(1000));
        assert!(lost.is_empty());
        lost.raise(seq(3000), 1500);
        assert_eq!(
            (lost.octets(), lost.waiting()),
            (1500, [range(1000, 1000), range(1000, 3000)])
        );
        lost.on_repaired(seq(2000), 1000);
        lost.forgive(100);
        assert_eq!((lost.octets(), lost.waiting()[1]), (400, range(2000, 3000)));
        lost.catch_up(seq(4000));
        assert!(lost.is_empty() && lost.octets() == 0 && lost.edge() == seq(4000));
    }

    #[test]
    fn rfc8985_a_lost_repair_goes_before_first_losses() {
        let mut lost = Lost::nothing_from(seq(0));
        lost.raise(seq(9000), 9000);
        lost.on_repaired(seq(4000), 4000);
        assert_eq!(lost.repaired_from(seq(0)), range(0, 4000));
        lost.raise_again(range(0, 2000), 2000);
        assert_eq!(
            (lost.octets(), lost.waiting()),
            (7000, [range(0, 2000), range(4000, 9000)])
        );
        lost.on_repaired(seq(1000), 1000);
        lost.raise_again(range(2000, 3000), 1000);
        assert_eq!(
            (lost.octets(), lost.waiting()[0]),
            (7000, range(1000, 3000))
        );
        lost.on_repaired(seq(3000), 2000);
        lost.on_repaired(seq(5000), 1000);
        assert_eq!(
            (lost.octets(), lost.waiting()),
            (4000, [range(3000, 3000), range(5000, 9000)])
        );
        assert_eq!(lost.repaired_from(lost.again_edge()), range(3000, 5000));
    }

    #[test]
    fn what_sacks_have_taken_waits_no_longer() {
        let mut lost = Lost::nothing_from(seq(0));
        lost.raise(seq(9000), 3000);
        lost.on_repaired(seq(2000), 1000);
        lost.forgive(1500);
        assert!(!lost.is_empty());
        lost.forgive(500);
        assert!(lost.is_empty());
        assert_eq!(lost.repaired_from(seq(0)), range(0, 9000));
        lost.raise_again(range(0, 2000), 1000);
        assert_eq!(lost.waiting(), [range(0, 2000), range(9000, 9000)]);
        lost.forgive(1000);
        assert!(lost.is_empty());
    }

    #[test]
    fn a_search_among_sacked_octets_gets_on_without_losses() {
        let mut lost = Lost::nothing_from(seq(0));
        lost.pass(seq(5000));
        assert!(lost.is_empty() && lost.edge() == seq(5000));
        lost.raise(seq(7000), 1000);
        lost.pass(seq(9000));
        assert_eq!(
            (lost.octets(), lost.waiting()[1]),
            (1000, range(5000, 9000))
        );
        lost.on_repaired(seq(9000), 1000);
        lost.pass_again(seq(3000));
        assert!(lost.is_empty() && lost.again_edge() == seq(3000));
    }

    #[test]
    fn rfc5682_what_was_not_lost_may_still_arrive() {
        let mut lost = Lost::nothing_from(seq(0));
        lost.lose_all(range(0, 8000));
        assert_eq!(lost.octets(), 8000);
        lost.on_repaired(seq(1000), 1000);
        lost.retract();
        assert!(lost.is_empty() && lost.octets() == 0);
        assert_eq!(lost.edge(), seq(1000));
    }

    #[test]
    fn rfc8985_repairs_of_first_losses_leave_no_older_ones_waiting() {
        let mut lost = Lost::nothing_from(seq(0));
        lost.raise(seq(9000), 9000);
        lost.on_repaired(seq(4000), 4000);
        lost.raise_again(range(0, 2000), 2000);
        // Both went out at once: the lost repairs, and what lies behind them.
        lost.on_repaired(seq(5000), 3000);
        assert_eq!(
            (lost.octets(), lost.waiting()),
            (4000, [range(2000, 2000), range(5000, 9000)])
        );
        assert!(lost.lies_within(seq(0), seq(9000)));
    }

    #[test]
    fn losses_lie_among_what_is_outstanding() {
        let nothing = Lost::nothing_from(seq(100));
        let mut some = nothing;
        some.raise(seq(300), 200);
        let mut too_many = nothing;
        too_many.raise(seq(300), 5000);
        for (what, lost, una, next, is_so) in [
            ("nothing is lost", nothing, 100, 300, true),
            ("nothing is outstanding", nothing, 100, 100, true),
            ("what is acknowledged", nothing, 200, 300, false),
            ("what was never sent", nothing, 50, 90, false),
            ("all of it", some, 100, 300, true),
            ("beyond what was sent", some, 100, 299, false),
            ("more octets than there are", too_many, 100, 300, false),
        ] {
            assert_eq!(lost.lies_within(seq(una), seq(next)), is_so, "{what}");
        }
    }
}
