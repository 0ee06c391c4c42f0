//! Sets of positions.

/// Ranges in order that neither overlap nor touch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    /// Adds `start..end`.
    pub(super) fn insert(&mut self, start: i64, end: i64) {
        if end <= start {
            return;
        }
        let (mut left, mut right) = (start, end);
        self.0.retain(|&(from, to)| {
            let apart = to < left || from > right;
            if !apart {
                (left, right) = (left.min(from), right.max(to));
            }
            apart
        });
        let at = self.0.partition_point(|&(from, _)| from < left);
        self.0.insert(at, (left, right));
    }

    /// Adds the ranges of `other` inside `start..end`.
    pub(super) fn insert_common(&mut self, other: &Self, start: i64, end: i64) {
        for &(from, to) in &other.0 {
            self.insert(from.max(start), to.min(end));
        }
    }

    /// Forgets what lies below `position`.
    pub(super) fn forget_below(&mut self, position: i64) {
        self.0.retain_mut(|range| {
            range.0 = range.0.max(position);
            range.0 < range.1
        });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether all of `start..end` is in it.
    pub(super) fn covers(&self, start: i64, end: i64) -> bool {
        end <= start || self.0.iter().any(|&(from, to)| from <= start && end <= to)
    }

    /// The end of the range that holds or touches `position`, or `position`.
    pub(super) fn end_from(&self, position: i64) -> i64 {
        let found = self
            .0
            .iter()
            .find(|&&(from, to)| from <= position && position <= to);
        found.map_or(position, |&(_, to)| to)
    }

    /// The start of the first range beyond `position`, if there is one.
    pub(super) fn next_start(&self, position: i64) -> Option<i64> {
        self.0
            .iter()
            .map(|&(from, _)| from)
            .find(|&from| from > position)
    }

    /// How many positions there are.
    pub(super) fn count(&self) -> i64 {
        self.0.iter().map(|&(from, to)| to - from).sum()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (i64, i64)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_are_cut_and_are_found() {
        let mut ranges = Ranges::default();
        for (start, end) in [(10, 20), (30, 40), (20, 25), (5, 5)] {
            ranges.insert(start, end);
        }
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(10, 25), (30, 40)]);
        assert!(ranges.covers(11, 25) && !ranges.covers(11, 26) && ranges.covers(7, 7));
        assert_eq!((ranges.end_from(10), ranges.end_from(26)), (25, 26));
        assert_eq!(
            (ranges.next_start(10), ranges.next_start(30)),
            (Some(30), None)
        );
        ranges.forget_below(12);
        assert_eq!(ranges.count(), 23);
        let mut common = Ranges::default();
        common.insert_common(&ranges, 20, 33);
        assert_eq!(common.iter().collect::<Vec<_>>(), [(20, 25), (30, 33)]);
    }
}
