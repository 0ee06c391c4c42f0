//! Fields in network order, one after another.
//!
//! Over a run of fixed length the compiler sees through all of it: no length is checked at run
//! time, and none can be got wrong.

/// Takes fields from the front of a run of octets; `None` when they have run out.
pub(super) struct Reader<'p>(pub(super) &'p [u8]);

impl Reader<'_> {
    #[inline(always)]
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }

    #[inline(always)]
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    #[inline(always)]
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline(always)]
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }
}

/// Puts fields into a run of octets from its front; `None` when there is no room left.
pub(super) struct Writer<'p>(pub(super) &'p mut [u8]);

impl Writer<'_> {
    #[inline(always)]
    pub(super) fn array<const N: usize>(&mut self, octets: [u8; N]) -> Option<()> {
        let (front, rest) = core::mem::take(&mut self.0).split_first_chunk_mut::<N>()?;
        *front = octets;
        self.0 = rest;
        Some(())
    }

    #[inline(always)]
    pub(super) fn u16(&mut self, value: u16) -> Option<()> {
        self.array(value.to_be_bytes())
    }

    #[inline(always)]
    pub(super) fn u32(&mut self, value: u32) -> Option<()> {
        self.array(value.to_be_bytes())
    }
}

/// Octets of a TCP header without options.
pub(super) const TCP_HEADER_LEN: u16 = 20;
