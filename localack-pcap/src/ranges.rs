//! A set of half-open ranges of sequence space, in bounded memory.

/// Ranges that one set remembers apart.
const MOST: usize = 1024;

/// Disjoint, ascending ranges of unwrapped sequence numbers.
///
/// When there would be more than 1024 of them, the lowest gap is closed: what is later inserted
/// there counts as known. The size of what was inserted stays exact otherwise, whatever the order.
#[derive(Debug, Clone, Default)]
pub struct RangeSet {
    ranges: Vec<(i64, i64)>,
    approximate: bool,
}

impl RangeSet {
    /// Adds `start..end` and returns how much of it was new.
    pub fn insert(&mut self, start: i64, end: i64) -> u64 {
        if start >= end {
            return 0;
        }
        // By far the most usual: the next octets of a stream.
        if let Some(last) = self
            .ranges
            .last_mut()
            .filter(|last| last.0 <= start && start <= last.1)
        {
            let new = (end - last.1).max(0);
            last.1 = last.1.max(end);
            return new as u64;
        }
        let from = self.ranges.partition_point(|range| range.1 < start);
        let to = self.ranges.partition_point(|range| range.0 <= end);
        let known: i64 = self.ranges[from..to]
            .iter()
            .map(|&(low, high)| (high.min(end) - low.max(start)).max(0))
            .sum();
        let touched = &self.ranges[from..to];
        let low = touched.first().map_or(start, |range| range.0.min(start));
        let high = touched.last().map_or(end, |range| range.1.max(end));
        self.ranges.splice(from..to, [(low, high)]);
        self.bound();
        (end - start - known) as u64
    }

    /// Whether all of `start..end` is in the set.
    #[must_use]
    pub fn covers(&self, start: i64, end: i64) -> bool {
        let at = self.ranges.partition_point(|range| range.1 < end);
        start >= end
            || self
                .ranges
                .get(at)
                .is_some_and(|range| range.0 <= start && end <= range.1)
    }

    /// How much of `start..end` is in the set.
    #[must_use]
    pub fn overlap(&self, start: i64, end: i64) -> u64 {
        self.parts(start, end)
            .map(|(low, high)| (high - low).max(0) as u64)
            .sum()
    }

    /// How far the set reaches from `start` without a gap: `start` itself if it is not in the set.
    #[must_use]
    pub fn contiguous_from(&self, start: i64) -> i64 {
        let at = self.ranges.partition_point(|range| range.1 < start);
        self.ranges
            .get(at)
            .filter(|range| range.0 <= start)
            .map_or(start, |range| range.1)
    }

    /// Forgets what lies below `floor`.
    pub fn forget_below(&mut self, floor: i64) {
        let gone = self.ranges.partition_point(|range| range.1 <= floor);
        self.ranges.drain(..gone);
        if let Some(first) = self.ranges.first_mut() {
            first.0 = first.0.max(floor);
        }
    }

    /// The parts of `start..end` that are in the set, in order.
    pub fn parts(&self, start: i64, end: i64) -> impl Iterator<Item = (i64, i64)> + '_ {
        let from = self.ranges.partition_point(|range| range.1 <= start);
        let inside = self.ranges[from..]
            .iter()
            .take_while(move |range| range.0 < end);
        inside.map(move |&(low, high)| (low.max(start), high.min(end)))
    }

    /// The end of the highest range.
    #[must_use]
    pub fn highest(&self) -> Option<i64> {
        self.ranges.last().map(|range| range.1)
    }

    /// Whether a gap had to be closed.
    #[must_use]
    pub const fn is_approximate(&self) -> bool {
        self.approximate
    }

    fn bound(&mut self) {
        if self.ranges.len() > MOST {
            let (low, _) = self.ranges.remove(0);
            self.ranges[0].0 = low;
            self.approximate = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_counted_once() {
        let mut set = RangeSet::default();
        assert_eq!(set.insert(10, 20), 10);
        assert_eq!(set.insert(20, 25), 5);
        assert_eq!(set.insert(30, 40), 10);
        assert_eq!(set.insert(5, 35), 5 + 5);
        assert_eq!(set.insert(0, 100), 5 + 60);
        assert_eq!(set.insert(50, 60), 0);
        assert_eq!(
            (set.covers(0, 100), set.covers(0, 101), set.highest()),
            (true, false, Some(100))
        );
    }

    #[test]
    fn agrees_with_a_bitmap_in_any_order() {
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % below) as usize
        };
        for _ in 0..200 {
            let (mut set, mut bitmap) = (RangeSet::default(), [false; 300]);
            for _ in 0..60 {
                let start = random(280);
                let end = start + random(20);
                let known = bitmap[start..end].iter().filter(|&&bit| bit).count();
                assert_eq!(set.overlap(start as i64, end as i64), known as u64);
                assert_eq!(set.covers(start as i64, end as i64), known == end - start);
                assert_eq!(
                    set.insert(start as i64, end as i64),
                    (end - start - known) as u64
                );
                bitmap[start..end].fill(true);
            }
            assert!(!set.is_approximate());
        }
    }

    #[test]
    fn gaps_end_what_is_contiguous() {
        let mut set = RangeSet::default();
        set.insert(10, 20);
        set.insert(30, 40);
        assert_eq!(
            [5, 10, 15, 20, 25, 30].map(|at| set.contiguous_from(at)),
            [5, 20, 20, 20, 25, 40]
        );
        assert_eq!(set.parts(15, 35).collect::<Vec<_>>(), [(15, 20), (30, 35)]);
        set.forget_below(32);
        assert_eq!(set.parts(0, 100).collect::<Vec<_>>(), [(32, 40)]);
    }

    #[test]
    fn memory_is_bounded_and_the_lowest_gap_is_given_up() {
        let mut set = RangeSet::default();
        for n in 0..5000_i64 {
            assert_eq!(set.insert(n * 10, n * 10 + 5), 5);
        }
        assert!(set.is_approximate());
        assert_eq!(set.ranges.len(), MOST);
        assert_eq!(set.insert(5, 10), 0);
        assert_eq!(set.insert(49_985, 49_990), 5);
    }
}
