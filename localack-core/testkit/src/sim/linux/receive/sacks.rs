//! What is reported by SACK (RFC 2018, RFC 2883).

/// Blocks that are remembered.
const MOST: usize = 4;

/// The blocks to report, most recent first.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Sacks {
    /// Both ends permitted SACK.
    pub(in super::super) enabled: bool,
    recent: Vec<(u64, u64)>,
    duplicate: Option<(u64, u64)>,
}

impl Sacks {
    /// A segment arrived early and is now part of this range.
    pub(super) fn report(&mut self, left: u64, right: u64) {
        self.recent
            .retain(|&(start, end)| end < left || start > right);
        self.recent.insert(0, (left, right));
        self.recent.truncate(MOST);
    }

    /// Octets arrived that had arrived before.
    pub(super) const fn duplicate(&mut self, start: u64, end: u64) {
        self.duplicate = Some((start, end));
    }

    /// All up to `rcv_nxt` is acknowledged.
    pub(super) fn advance(&mut self, rcv_nxt: u64) {
        self.recent.retain(|&(_, end)| end > rcv_nxt);
    }

    /// Takes up to `most` blocks for a segment; a duplicate is reported once only.
    pub(in super::super) fn blocks(&mut self, most: usize) -> Vec<(u64, u64)> {
        if most == 0 {
            return Vec::new();
        }
        let duplicate = self.duplicate.take();
        duplicate
            .into_iter()
            .chain(self.recent.iter().copied())
            .take(most)
            .collect()
    }

    /// How many blocks wait to be reported.
    pub(in super::super) fn waiting(&self) -> usize {
        self.recent.len() + usize::from(self.duplicate.is_some())
    }
}
