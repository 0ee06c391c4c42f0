//! The captured octets that an engine may hold, to compare what it sends with.

use std::collections::VecDeque;

use crate::ranges::RangeSet;

/// A stretch of one sender's octets; the first copy of each is kept.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    /// The position of the first octet.
    base: i64,
    octets: VecDeque<u8>,
    present: RangeSet,
}

impl Shadow {
    /// Remembers octets from `start` on, but for those known already.
    pub(crate) fn insert(&mut self, start: i64, octets: &[u8]) {
        if self.octets.is_empty() {
            self.base = start;
        }
        let end = start + octets.len() as i64;
        if start == self.base + self.octets.len() as i64 {
            // By far the most usual: the next octets of the stream.
            self.octets.extend(octets);
            self.present.insert(start, end);
            return;
        }
        let start_kept = start.max(self.base);
        if start_kept >= end {
            return;
        }
        let length = (end - self.base) as usize;
        if self.octets.len() < length {
            self.octets.resize(length, 0);
        }
        let mut from = start_kept;
        while from < end {
            let known_end = self.present.contiguous_from(from).min(end);
            if known_end > from {
                from = known_end;
                continue;
            }
            let gap_end = self
                .present
                .parts(from, end)
                .next()
                .map_or(end, |(low, _)| low);
            for position in from..gap_end {
                self.octets[(position - self.base) as usize] = octets[(position - start) as usize];
            }
            from = gap_end;
        }
        self.present.insert(start_kept, end);
    }

    /// Whether `octets` from `start` on differ from what was remembered.
    pub(crate) fn contradicts(&self, start: i64, octets: &[u8]) -> bool {
        let end = start + octets.len() as i64;
        self.present.parts(start, end).any(|(low, high)| {
            let held = self
                .octets
                .range((low - self.base) as usize..(high - self.base) as usize);
            !held.eq(&octets[(low - start) as usize..(high - start) as usize])
        })
    }

    /// Forgets what lies below `floor`, and all but `limit` octets.
    pub(crate) fn trim(&mut self, floor: i64, limit: usize) {
        let beyond = self.octets.len().saturating_sub(limit) as i64;
        let floor = floor.max(self.base + beyond);
        if floor <= self.base {
            return;
        }
        let gone = usize::try_from(floor - self.base)
            .unwrap_or(usize::MAX)
            .min(self.octets.len());
        self.octets.drain(..gone);
        self.base = floor;
        self.present.forget_below(floor);
        if self.octets.is_empty() {
            *self = Self::default();
        }
    }

    /// Octets that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.octets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_copy_is_what_counts() {
        let mut shadow = Shadow::default();
        shadow.insert(100, b"abcdef");
        shadow.insert(110, b"xyz");
        shadow.insert(104, b"EFGHIJKLMN");
        assert!(!shadow.contradicts(100, b"abcdefGHIJxyzN"));
        assert!(shadow.contradicts(104, b"EF"));
        assert!(shadow.contradicts(100, b"abcdefGHIJKyz"));
        assert!(!shadow.contradicts(114, b"not known"));
    }

    #[test]
    fn what_is_acknowledged_or_too_much_is_forgotten() {
        let mut shadow = Shadow::default();
        shadow.insert(0, &[1; 100]);
        shadow.trim(40, 1000);
        assert_eq!(shadow.len(), 60);
        assert!(!shadow.contradicts(30, &[9; 10]));
        assert!(shadow.contradicts(30, &[9; 11]));
        shadow.insert(20, &[2; 100]);
        assert_eq!(shadow.len(), 80);
        shadow.trim(0, 10);
        assert_eq!(shadow.len(), 10);
        assert!(shadow.contradicts(119, &[1]));
        shadow.trim(1000, 10);
        assert_eq!(shadow.len(), 0);
        shadow.insert(7, &[3]);
        assert!(shadow.contradicts(7, &[4]));
    }
}
