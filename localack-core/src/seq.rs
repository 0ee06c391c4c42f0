//! Sequence numbers and the quantities measured along them (RFC 9293 section 3.4).
//!
//! A sequence number has no order of its own: the space is a circle. There is therefore no
//! `PartialOrd` and no `-`; order is a question ([`SeqNum::before`]) and a distance is an
//! `Option` ([`SeqNum::octets_since`]). Every operation is total: nothing here can panic.

use core::fmt;

/// A TCP sequence or acknowledgement number.
///
/// Two numbers exactly 2^31 apart are each *not* before the other's successor: see
/// [`SeqNum::before`]. Windows are bounded well below that distance, so such a pair never
/// belongs to one connection (rule H9.9).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SeqNum(u32);

impl SeqNum {
    /// The number zero.
    pub const ZERO: Self = Self(0);

    /// Wraps a raw 32-bit number as it stands in a header.
    #[must_use]
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// The raw 32-bit number.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// This number moved forward by `octets`, modulo 2^32.
    #[must_use]
    pub const fn advance(self, octets: u32) -> Self {
        Self(self.0.wrapping_add(octets))
    }

    /// This number moved backward by `octets`, modulo 2^32.
    #[must_use]
    pub const fn retreat(self, octets: u32) -> Self {
        Self(self.0.wrapping_sub(octets))
    }

    /// Whether this number comes strictly before `other`: `other` lies 1 ..= 2^31 - 1 octets ahead.
    ///
    /// At a distance of exactly 2^31 neither is before the other, so `before` stays antisymmetric.
    #[must_use]
    pub const fn before(self, other: Self) -> bool {
        let ahead = other.0.wrapping_sub(self.0);
        ahead != 0 && ahead < 1 << 31
    }

    /// Whether this number comes strictly after `other`.
    #[must_use]
    pub const fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// Whether this number equals `other` or comes before it.
    #[must_use]
    pub const fn at_or_before(self, other: Self) -> bool {
        self.0 == other.0 || self.before(other)
    }

    /// Whether this number equals `other` or comes after it.
    #[must_use]
    pub const fn at_or_after(self, other: Self) -> bool {
        other.at_or_before(self)
    }

    /// Octets from `earlier` to here, or `None` if this number is not at or after `earlier`.
    #[must_use]
    pub const fn octets_since(self, earlier: Self) -> Option<u32> {
        let ahead = self.0.wrapping_sub(earlier.0);
        if ahead < 1 << 31 { Some(ahead) } else { None }
    }

    /// Octets from `earlier` to here, zero if this number is not after `earlier`.
    #[must_use]
    pub const fn octets_past(self, earlier: Self) -> u32 {
        match self.octets_since(earlier) {
            Some(octets) => octets,
            None => 0,
        }
    }

    /// The later of two numbers.
    #[must_use]
    pub const fn latest(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The earlier of two numbers.
    #[must_use]
    pub const fn earliest(self, other: Self) -> Self {
        if other.before(self) { other } else { self }
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A half-open range of sequence space, `start .. end`; empty when both are equal.
///
/// A range never spans 2^31 octets or more: [`SeqRange::new`] answers an empty one instead.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SeqRange {
    start: SeqNum,
    end: SeqNum,
}

impl SeqRange {
    /// The range from `start` up to but not including `end`; empty at `start` if `end` is before it.
    #[must_use]
    pub const fn new(start: SeqNum, end: SeqNum) -> Self {
        match end.octets_since(start) {
            Some(_) => Self { start, end },
            None => Self { start, end: start },
        }
    }

    /// First sequence number of the range.
    #[must_use]
    pub const fn start(self) -> SeqNum {
        self.start
    }

    /// First sequence number past the range.
    #[must_use]
    pub const fn end(self) -> SeqNum {
        self.end
    }

    /// Length in octets.
    #[must_use]
    pub const fn octets(self) -> u32 {
        self.end.octets_past(self.start)
    }

    /// Whether the range holds no octet.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start.0 == self.end.0
    }

    /// Whether `seq` lies in the range.
    #[must_use]
    pub const fn contains(self, seq: SeqNum) -> bool {
        seq.at_or_after(self.start) && seq.before(self.end)
    }

    /// The part of the range that lies in `other` too; empty if there is none.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        // Half the space away "latest" and "earliest" say nothing.
        if self.is_empty() || other.is_empty() {
            return Self {
                start: self.start,
                end: self.start,
            };
        }
        Self::new(self.start.latest(other.start), self.end.earliest(other.end))
    }

    /// Whether the two ranges overlap or touch.
    #[must_use]
    pub const fn touches(self, other: Self) -> bool {
        self.start.at_or_before(other.end) && other.start.at_or_before(self.end)
    }

    /// The smallest range that covers both.
    #[must_use]
    pub const fn hull(self, other: Self) -> Self {
        Self::new(self.start.earliest(other.start), self.end.latest(other.end))
    }
}

impl fmt::Debug for SeqRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.start, self.end)
    }
}

/// The shift count of the window scale option, 0 ..= 14 (RFC 7323 section 2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WindowScale(u8);

impl WindowScale {
    /// No scaling.
    pub const NONE: Self = Self(0);

    /// A shift count; more than 14 means 14, as RFC 7323 section 2.3 requires (rule H2.2).
    #[must_use]
    pub const fn new(shift: u8) -> Self {
        Self(if shift > 14 { 14 } else { shift })
    }

    /// The shift count.
    #[must_use]
    pub const fn shift(self) -> u8 {
        self.0
    }

    /// The octets that one unit of a window field stands for, 1 ..= 16384.
    #[must_use]
    pub const fn unit(self) -> u32 {
        1 << self.0
    }

    /// The window in octets that the header field `field` announces.
    #[must_use]
    pub const fn octets(self, field: u16) -> u32 {
        (field as u32) << self.0
    }

    /// The field that announces at most `octets`: rounded down, clamped to 65535 units.
    #[must_use]
    pub const fn field_floor(self, octets: u32) -> u16 {
        let units = octets >> self.0;
        if units > 0xffff {
            0xffff
        } else {
            low_half(units)
        }
    }

    /// The field that announces at least `octets`: rounded up, clamped to 65535 units.
    #[must_use]
    pub const fn field_ceil(self, octets: u32) -> u16 {
        let units = octets.div_ceil(self.unit());
        if units > 0xffff {
            0xffff
        } else {
            low_half(units)
        }
    }
}

/// The low 16 bits of `value`.
pub(crate) const fn low_half(value: u32) -> u16 {
    (value & 0xffff) as u16
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_half_the_space_apart_are_unordered() {
        let a = SeqNum::new(7);
        let b = a.advance(1 << 31);
        assert!(!a.before(b) && !b.before(a));
        assert_eq!(b.octets_since(a), None);
        assert_eq!(a.octets_since(b), None);
    }

    #[test]
    fn nothing_intersects_an_empty_range() {
        let at = SeqNum::new;
        let range = SeqRange::new(at(1000), at(2000));
        for far in [0, 1500, (1 << 31) + 1500, u32::MAX] {
            let empty = SeqRange::new(at(far), at(far));
            assert!(range.intersection(empty).is_empty() && empty.intersection(range).is_empty());
        }
    }

    #[test]
    fn window_fields_round_the_way_their_names_say() {
        let scale = WindowScale::new(7);
        assert_eq!(scale.field_floor(65_437), 511);
        assert_eq!(scale.field_ceil(65_437), 512);
        assert_eq!(scale.octets(512), 65_536);
        assert_eq!(WindowScale::new(200), WindowScale::new(14));
        assert_eq!(WindowScale::NONE.field_floor(1 << 20), 0xffff);
        for (octets, field) in [
            (65_534, 65_534),
            (65_535, 65_535),
            (65_536, 65_535),
            (131_071, 65_535),
        ] {
            assert_eq!(WindowScale::NONE.field_floor(octets), field);
            assert_eq!(WindowScale::NONE.field_ceil(octets), field);
        }
    }

    proptest! {
        #[test]
        fn order_is_antisymmetric(a: u32, b: u32) {
            let (a, b) = (SeqNum::new(a), SeqNum::new(b));
            prop_assert!(!(a.before(b) && b.before(a)));
        }

        #[test]
        fn order_is_transitive_inside_half_the_space(base: u32, x in 0u32..1 << 30, y in 0u32..1 << 30) {
            let a = SeqNum::new(base);
            let b = a.advance(x);
            let c = b.advance(y);
            prop_assert!(a.at_or_before(b) && b.at_or_before(c) && a.at_or_before(c));
        }

        #[test]
        fn advancing_and_measuring_are_inverse(base: u32, step in 0u32..1 << 31) {
            let a = SeqNum::new(base);
            prop_assert_eq!(a.advance(step).octets_since(a), Some(step));
            prop_assert_eq!(a.advance(step).retreat(step), a);
        }

        #[test]
        fn comparisons_ignore_a_common_offset(a: u32, b: u32, offset: u32) {
            // Invariant 28.
            let (x, y) = (SeqNum::new(a), SeqNum::new(b));
            prop_assert_eq!(x.before(y), x.advance(offset).before(y.advance(offset)));
        }

        #[test]
        fn intersections_agree_with_a_bitmap(base: u32, a in 0u32..64, b in 0u32..64, c in 0u32..64, d in 0u32..64) {
            let base = SeqNum::new(base);
            let at = |n: u32| base.advance(n);
            let (x, y) = (SeqRange::new(at(a), at(b)), SeqRange::new(at(c), at(d)));
            let both = x.intersection(y);
            for n in 0..64 {
                prop_assert_eq!(both.contains(at(n)), x.contains(at(n)) && y.contains(at(n)));
            }
        }

        #[test]
        fn a_rounded_window_is_within_one_unit(shift in 0u8..=14, octets in 0u32..1 << 16) {
            let scale = WindowScale::new(shift);
            let (low, high) = (scale.octets(scale.field_floor(octets)), scale.octets(scale.field_ceil(octets)));
            prop_assert!(low <= octets && octets <= high && high - low <= scale.unit());
        }
    }
}
