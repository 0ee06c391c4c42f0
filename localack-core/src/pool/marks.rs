//! Which octets of one block are marked: at most two ranges.

use crate::seq::low_half;

/// A range of offsets in a block, `start .. end`; empty unless `start < end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
struct Span {
    start: u16,
    end: u16,
}

impl Span {
    const EMPTY: Self = Self { start: 0, end: 0 };

    fn new(start: u32, end: u32) -> Self {
        Self {
            start: low_half(start),
            end: low_half(end),
        }
    }

    fn start(self) -> u32 {
        u32::from(self.start)
    }

    fn end(self) -> u32 {
        u32::from(self.end)
    }

    fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Octets of the span that lie in `from .. to`.
    fn octets_in(self, from: u32, to: u32) -> u32 {
        self.end().min(to).saturating_sub(self.start().max(from))
    }
}

/// The marked octets of one block, as two ranges in ascending order that do not touch.
///
/// What two ranges cannot express is refused, not approximated: a mark stands for an octet that is
/// known to be there. As long as marked and unmarked stretches are at least half a block long,
/// nothing is ever refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(super) struct Marks {
    low: Span,
    high: Span,
}

impl Marks {
    pub(super) const NONE: Self = Self {
        low: Span::EMPTY,
        high: Span::EMPTY,
    };

    /// Marks of arbitrary numbers.
    #[cfg(test)]
    pub(super) fn garbage(raw: [u16; 4]) -> Self {
        let [a, b, c, d] = raw;
        Self {
            low: Span { start: a, end: b },
            high: Span { start: c, end: d },
        }
    }

    fn of(spans: [Span; 2]) -> Self {
        match spans {
            [low, high] if low.is_empty() => Self {
                low: high,
                high: Span::EMPTY,
            },
            [low, high] => Self { low, high },
        }
    }

    fn spans(self) -> [Span; 2] {
        [self.low, self.high]
    }

    /// Whether marks like these are ever made in a block of `block_size` octets in which the in-order end
    /// lies at `end`.
    pub(super) fn are_sound(self, end: u32, block_size: u32) -> bool {
        let [low, high] = self.spans();
        let fits = |span: Span| {
            span == Span::EMPTY
                || (!span.is_empty()
                    && span.end() <= block_size
                    && (span.end() <= end || span.start() >= end))
        };
        let in_order = high == Span::EMPTY || (low != Span::EMPTY && low.end() < high.start());
        fits(low) && fits(high) && in_order
    }

    /// Whether all of a block of `block_size` octets is marked.
    pub(super) fn fill(self, block_size: u32) -> bool {
        self.low.start == 0 && self.low.end() == block_size
    }

    /// Marked octets in `from .. to`.
    pub(super) fn octets_in(self, from: u32, to: u32) -> u32 {
        let [low, high] = self.spans().map(|span| span.octets_in(from, to));
        low.saturating_add(high)
    }

    /// These marks and `from .. to`, or `None` if that takes a third range.
    pub(super) fn with(self, from: u32, to: u32) -> Option<Self> {
        let (mut from, mut to) = (from, to);
        if from >= to {
            return Some(self);
        }
        let mut apart = Span::EMPTY;
        for span in self.spans() {
            let touches = span.start() <= to && from <= span.end();
            match (span.is_empty(), touches) {
                (true, _) => {}
                (false, true) => {
                    from = from.min(span.start());
                    to = to.max(span.end());
                }
                (false, false) if apart.is_empty() => apart = span,
                (false, false) => return None,
            }
        }
        let merged = Span::new(from, to);
        let ascending = apart.start() < from;
        Some(Self::of(if ascending {
            [apart, merged]
        } else {
            [merged, apart]
        }))
    }

    /// These marks without the octets below `to` of every range that begins at or after `from`.
    ///
    /// Ranges that begin before `from` stay: no range of a block crosses the in-order end, which
    /// is the only place a caller cuts at besides the start of the block.
    pub(super) fn without(self, from: u32, to: u32) -> Self {
        Self::of(self.spans().map(|span| {
            if span.start() < from {
                span
            } else {
                let cut = Span::new(span.start().max(to), span.end());
                if cut.is_empty() { Span::EMPTY } else { cut }
            }
        }))
    }

    /// The ranges that end at or before `offset`.
    pub(super) fn before(self, offset: u32) -> Self {
        Self::of(self.spans().map(|span| {
            if span.end() <= offset {
                span
            } else {
                Span::EMPTY
            }
        }))
    }

    /// The ranges that begin at or after `offset`.
    pub(super) fn after(self, offset: u32) -> Self {
        Self::of(self.spans().map(|span| {
            if span.start() >= offset {
                span
            } else {
                Span::EMPTY
            }
        }))
    }

    /// Whether the octet at `from` is marked, and where that ceases to be so, at most `to`.
    ///
    /// The place lies past `from` whenever `from < to`.
    pub(super) fn stretch(self, from: u32, to: u32) -> (bool, u32) {
        let mut change = to;
        for span in self.spans() {
            if span.start() <= from && from < span.end() {
                return (true, span.end().min(to));
            }
            if span.start() > from && !span.is_empty() {
                change = change.min(span.start());
            }
        }
        (false, change)
    }

    /// The first offset in `from .. to` that is not marked, or `to`.
    pub(super) fn first_unmarked(self, from: u32, to: u32) -> u32 {
        match self.stretch(from, to) {
            (true, end) => end,
            (false, _) => from,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    const SIZE: u32 = 16;

    fn bits(marks: Marks) -> Vec<bool> {
        (0..SIZE)
            .map(|at| marks.octets_in(at, at + 1) == 1)
            .collect()
    }

    fn ranges(bits: &[bool]) -> usize {
        let starts = bits.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        starts + usize::from(bits.first() == Some(&true))
    }

    proptest! {
        #[test]
        fn marks_agree_with_a_bitmap(inserts in prop::collection::vec((0..SIZE, 0..=SIZE), 0..12)) {
            let mut marks = Marks::NONE;
            let mut model = vec![false; SIZE as usize];
            for (from, to) in inserts {
                let mut wanted = model.clone();
                for at in from..to {
                    wanted[at as usize] = true;
                }
                match marks.with(from, to) {
                    Some(now) => {
                        marks = now;
                        model = wanted;
                    }
                    None => prop_assert!(ranges(&wanted) > 2, "refused what two ranges can say"),
                }
                prop_assert_eq!(bits(marks), model.clone());
                prop_assert_eq!(marks.fill(SIZE), model.iter().all(|marked| *marked));
            }
            for from in 0..SIZE {
                let (marked, end) = marks.stretch(from, SIZE);
                prop_assert!(end > from && end <= SIZE);
                prop_assert!(model[from as usize..end as usize].iter().all(|bit| *bit == marked));
                prop_assert!(end == SIZE || model[end as usize] != marked);
                let unmarked = (from..SIZE).find(|at| !model[*at as usize]).unwrap_or(SIZE);
                prop_assert_eq!(marks.first_unmarked(from, SIZE), unmarked);
                let cut = bits(marks.without(0, from));
                for at in 0..SIZE {
                    prop_assert_eq!(cut[at as usize], model[at as usize] && at >= from);
                }
            }
        }

        #[test]
        fn marks_split_at_a_place_no_range_crosses(low in (0u32..4, 4u32..=7), high in (8u32..12, 12u32..=16)) {
            let marks = Marks::NONE.with(high.0, high.1).unwrap().with(low.0, low.1).unwrap();
            prop_assert_eq!(marks.before(8), Marks::NONE.with(low.0, low.1).unwrap());
            prop_assert_eq!(marks.after(8), Marks::NONE.with(high.0, high.1).unwrap());
            prop_assert_eq!(marks.without(8, 16), marks.before(8));
        }

        #[test]
        fn garbage_makes_progress(raw: [u16; 4], from in 0u32..70_000, step in 1u32..70_000) {
            let marks = Marks::garbage(raw);
            let (_, end) = marks.stretch(from, from + step);
            prop_assert!(end > from && end <= from + step);
        }
    }
}
