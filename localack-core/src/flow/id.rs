//! What names a flow while it lives.

use core::fmt;

/// Names a flow: a slot, and which of its tenants is meant. The id of a flow that is gone finds
/// nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FlowId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl FlowId {
    /// Index of the flow's slot.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// The id as one number, for callers in another language.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// The id that [`FlowId::to_bits`] gave. Any other number names no flow, or one by chance.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            slot: low_word(bits),
            generation: low_word(bits >> 32),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "modulo 2^32 is what it is")]
const fn low_word(bits: u64) -> u32 {
    bits as u32
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_number_and_comes_back_from_it() {
        for (slot, generation) in [(0, 1), (7, 0), (u32::MAX, 3), (5, u32::MAX)] {
            let id = FlowId { slot, generation };
            assert_eq!(FlowId::from_bits(id.to_bits()), id);
            assert_eq!(id.to_bits() & 0xffff_ffff, u64::from(slot));
        }
    }
}
