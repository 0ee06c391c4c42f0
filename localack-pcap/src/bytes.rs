//! A view of the rest of a frame that never reads beyond what was stored.

/// What is left of a frame: the octets that were stored, and how many there were on the wire.
#[derive(Debug, Clone, Copy)]
pub struct Rest<'a> {
    /// The stored octets.
    pub data: &'a [u8],
    /// Octets on the wire; `data` may be shorter, never longer.
    pub wire_len: usize,
}

impl<'a> Rest<'a> {
    /// A rest of `wire_len` octets of which `data` was stored.
    #[must_use]
    pub fn new(data: &'a [u8], wire_len: usize) -> Self {
        let data = data.get(..wire_len).unwrap_or(data);
        Self { data, wire_len }
    }

    /// What comes after `octets` octets; `None` if there were not so many on the wire.
    #[must_use]
    pub fn skip(self, octets: usize) -> Option<Self> {
        let wire_len = self.wire_len.checked_sub(octets)?;
        Some(Self {
            data: self.data.get(octets..).unwrap_or_default(),
            wire_len,
        })
    }

    /// The same, ending after `octets` octets if it is longer.
    #[must_use]
    pub fn limit(self, octets: usize) -> Self {
        Self::new(self.data, self.wire_len.min(octets))
    }

    /// Whether every octet was stored.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        self.data.len() == self.wire_len
    }

    /// The octet at `offset`, if it was stored.
    #[must_use]
    pub fn u8(self, offset: usize) -> Option<u8> {
        self.data.get(offset).copied()
    }

    /// The big-endian 16-bit number at `offset`, if it was stored.
    #[must_use]
    pub fn u16(self, offset: usize) -> Option<u16> {
        self.array(offset).map(u16::from_be_bytes)
    }

    /// The big-endian 32-bit number at `offset`, if it was stored.
    #[must_use]
    pub fn u32(self, offset: usize) -> Option<u32> {
        self.array(offset).map(u32::from_be_bytes)
    }

    /// `N` octets at `offset`, if they were stored.
    #[must_use]
    pub fn array<const N: usize>(self, offset: usize) -> Option<[u8; N]> {
        self.data.get(offset..)?.first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_frame_keeps_its_length_on_the_wire() {
        let rest = Rest::new(&[1, 2, 3, 4], 10);
        let after = rest.skip(6).unwrap();
        assert_eq!(
            (after.data, after.wire_len, after.is_complete()),
            (&[][..], 4, false)
        );
        assert!(rest.skip(11).is_none());
        assert_eq!((rest.u16(2), rest.u16(3)), (Some(0x0304), None));
    }

    #[test]
    fn octets_beyond_the_wire_length_do_not_count() {
        let rest = Rest::new(&[1, 2, 3, 4], 3).limit(2);
        assert_eq!(
            (rest.data, rest.wire_len, rest.is_complete()),
            (&[1, 2][..], 2, true)
        );
    }
}
