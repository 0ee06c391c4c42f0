//! Sequence numbers as positions that never wrap.

/// The position of a SYN; small steps back from it stay positive.
pub(super) const ORIGIN: u64 = 1 << 32;

/// The position of the first octet of a stream.
pub(super) const FIRST_OCTET: u64 = ORIGIN + 1;

/// One direction's sequence space: positions count from [`ORIGIN`] at its SYN.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Space {
    isn: u32,
}

impl Space {
    pub(super) const fn new(isn: u32) -> Self {
        Self { isn }
    }

    /// The number that stands in a header for a position.
    pub(super) fn wire(self, position: u64) -> u32 {
        self.isn.wrapping_add(low_half(position))
    }

    /// The position, within 2^31 of `near`, that a number in a header means.
    pub(super) fn position(self, near: u64, number: u32) -> u64 {
        let ahead = number.wrapping_sub(self.wire(near)).cast_signed();
        near.saturating_add_signed(ahead.into())
    }
}

/// The low 32 bits of `wide`.
pub(super) fn low_half(wide: u64) -> u32 {
    u32::try_from(wide & 0xffff_ffff).expect("masked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_the_wrap_of_sequence_numbers() {
        let space = Space::new(u32::MAX - 5);
        assert_eq!(space.wire(ORIGIN), u32::MAX - 5);
        assert_eq!(space.wire(ORIGIN + 6), 0);
        for near in [ORIGIN, ORIGIN + 6, ORIGIN + (5 << 32)] {
            for (position, number) in [
                (near + 70_000, space.wire(near + 70_000)),
                (near - 1, space.wire(near - 1)),
            ] {
                assert_eq!(space.position(near, number), position);
            }
        }
    }
}
