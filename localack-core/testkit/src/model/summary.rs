//! What happened in a run, for tests that want to know how far the model gets.

use localack_core::{AbsorbReason, DropReason, PassReason, TransmitKind, Verdict};

/// What happened in a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    made: [u32; TransmitKind::COUNT],
    absorbed: [u32; AbsorbReason::COUNT],
    dropped: [u32; DropReason::COUNT],
    passed: [u32; PassReason::COUNT],
    edited: u32,
    /// Octets that were announced as lost.
    pub octets_lost: u64,
    /// Directions that were handed back to their hosts.
    pub hand_overs: u32,
    /// Octets that both hosts received.
    pub delivered: u64,
    /// A digest of every packet that left, with numbers relative to their hosts.
    pub digest: u64,
}

impl Summary {
    pub(super) fn made(&mut self, kind: TransmitKind) {
        self.made[usize::from(kind.number())] += 1;
    }

    pub(super) fn verdict(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Pass(reason) => self.passed[usize::from(reason.number())] += 1,
            Verdict::Forward => self.edited += 1,
            Verdict::Absorb(reason) => self.absorbed[usize::from(reason.number())] += 1,
            Verdict::Drop(reason) => self.dropped[usize::from(reason.number())] += 1,
        }
    }

    /// Adds what happened in another run.
    pub fn add(&mut self, other: &Self) {
        let add = |sums: &mut [u32], counts: &[u32]| {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        };
        add(&mut self.made, &other.made);
        add(&mut self.absorbed, &other.absorbed);
        add(&mut self.dropped, &other.dropped);
        add(&mut self.passed, &other.passed);
        self.edited += other.edited;
        self.octets_lost += other.octets_lost;
        self.hand_overs += other.hand_overs;
        self.delivered += other.delivered;
    }

    /// Packets that the engine made for this.
    #[must_use]
    pub fn transmitted(&self, kind: TransmitKind) -> u32 {
        self.made[usize::from(kind.number())]
    }

    /// Packets that were edited and sent on.
    #[must_use]
    pub const fn edited(&self) -> u32 {
        self.edited
    }

    /// Packets absorbed for this reason.
    #[must_use]
    pub fn absorbed(&self, reason: AbsorbReason) -> u32 {
        self.absorbed[usize::from(reason.number())]
    }

    /// Packets discarded for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u32 {
        self.dropped[usize::from(reason.number())]
    }

    /// Packets that passed for this reason.
    #[must_use]
    pub fn passed(&self, reason: PassReason) -> u32 {
        self.passed[usize::from(reason.number())]
    }
}
