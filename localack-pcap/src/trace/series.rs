//! Points over time in bounded memory.

/// Something between two positions at one time; a point where they are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Microseconds of virtual time.
    pub time: u64,
    /// The lower position.
    pub low: i64,
    /// The higher one.
    pub high: i64,
}

/// Marks in the order of their times, thinned out once there are too many.
///
/// All are kept while they fit. Then time is cut into equal steps, and of each step the first mark, the
/// last, the one that reaches lowest and the one that reaches highest are kept; steps are doubled
/// whenever there are too many again. So no extreme is ever lost, and a line through what is left differs from
/// the line through all by less than a step in time.
#[derive(Debug, Clone)]
pub struct Series {
    limit: usize,
    marks: Vec<Mark>,
    /// Microseconds; zero while nothing was left out.
    step: u64,
    seen: u64,
}

impl Series {
    /// An empty one that keeps at most `limit` marks, or eight.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            limit: if limit < 8 { 8 } else { limit },
            marks: Vec::new(),
            step: 0,
            seen: 0,
        }
    }

    /// Adds a mark; one that comes before the last in time counts as simultaneous with it.
    pub fn push(&mut self, mut mark: Mark) {
        self.seen += 1;
        mark.time = self
            .marks
            .last()
            .map_or(mark.time, |last| mark.time.max(last.time));
        self.marks.push(mark);
        if let Some(bucket) = mark.time.checked_div(self.step) {
            let begin = self
                .marks
                .partition_point(|held| held.time / self.step < bucket);
            if self.marks.len() - begin > 4 {
                let kept = extremes(&self.marks[begin..]);
                self.marks.truncate(begin);
                self.marks.extend(kept);
            }
        }
        while self.marks.len() > self.limit {
            self.thin();
        }
    }

    /// Adds a point, unless it continues a level line: then only its end moves.
    pub fn line(&mut self, time: u64, at: i64) {
        let level = |mark: &Mark| mark.high == at && mark.low == at;
        if let [.., before, last] = &mut self.marks[..]
            && level(before)
            && level(last)
        {
            self.seen += 1;
            last.time = last.time.max(time);
            return;
        }
        self.push(Mark {
            time,
            low: at,
            high: at,
        });
    }

    fn thin(&mut self) {
        let (Some(first), Some(last)) = (self.marks.first(), self.marks.last()) else {
            return;
        };
        // Four marks of a step, and half of the room free again.
        let least = (last.time - first.time) / (self.limit as u64 / 8) + 1;
        self.step = (self.step * 2).max(least);
        let step = self.step;
        self.marks = self
            .marks
            .chunk_by(|one, other| one.time / step == other.time / step)
            .flat_map(extremes)
            .collect();
    }

    /// What is kept, in the order of times.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// How many marks there were.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Within how many microseconds marks were left out; `None` if none was.
    #[must_use]
    pub const fn step(&self) -> Option<u64> {
        if self.step == 0 {
            None
        } else {
            Some(self.step)
        }
    }
}

/// The first, the lowest, the highest and the last, in their order.
fn extremes(marks: &[Mark]) -> Vec<Mark> {
    let last = marks.len().saturating_sub(1);
    let lowest = (0..marks.len())
        .min_by_key(|&at| marks[at].low)
        .unwrap_or(0);
    let highest = (0..marks.len())
        .max_by_key(|&at| marks[at].high)
        .unwrap_or(0);
    let mut kept = [0, lowest, highest, last];
    kept.sort_unstable();
    let mut kept = kept.to_vec();
    kept.dedup();
    kept.into_iter()
        .filter_map(|at| marks.get(at).copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn point(time: u64, at: i64) -> Mark {
        Mark {
            time,
            low: at,
            high: at,
        }
    }

    #[test]
    fn few_marks_are_all_kept() {
        let mut series = Series::new(100);
        (0..100).for_each(|n| series.push(point(n, n as i64)));
        assert_eq!((series.marks().len(), series.step()), (100, None));
        series.push(point(100, 100));
        assert!(series.step().is_some() && series.marks().len() <= 100);
    }

    #[test]
    fn extremes_survive_and_memory_is_bounded() {
        let mut series = Series::new(64);
        for n in 0..1_000_000_u64 {
            let at = match n {
                333_333 => 1 << 40,
                777_777 => -(1 << 40),
                _ => (n % 97) as i64,
            };
            series.push(point(n * 7, at));
            assert!(series.marks().len() <= 64 && series.marks.capacity() <= 256);
        }
        assert_eq!(series.seen(), 1_000_000);
        assert!(series.marks().contains(&point(333_333 * 7, 1 << 40)));
        assert!(series.marks().contains(&point(777_777 * 7, -(1 << 40))));
        assert_eq!(series.marks().first(), Some(&point(0, 0)));
        assert_eq!(series.marks().last().unwrap().time, 999_999 * 7);
        assert!(series.marks().is_sorted_by_key(|mark| mark.time));
        assert!(series.marks().len() > 16);
    }

    #[test]
    fn time_that_stands_still_is_bounded_too() {
        let mut series = Series::new(8);
        (0..10_000).for_each(|n| series.push(point(5, n)));
        assert_eq!(series.marks().first(), Some(&point(5, 0)));
        assert_eq!(series.marks().last(), Some(&point(5, 9_999)));
        assert!(series.marks().len() <= 8);
        series.push(point(3, 1));
        assert_eq!(series.marks().last(), Some(&point(5, 1)));
    }

    #[test]
    fn level_lines_take_two_points() {
        let mut series = Series::new(8);
        (0..1_000).for_each(|n| series.line(n, 7));
        series.line(1_000, 9);
        assert_eq!(
            series.marks(),
            [point(0, 7), point(999, 7), point(1_000, 9)]
        );
        assert_eq!(series.step(), None);
    }
}
