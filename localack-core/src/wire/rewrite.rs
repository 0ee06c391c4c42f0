//! Edits of a TCP header in place.
//!
//! Every edit updates the checksum by the difference it makes (RFC 1624) and never computes it
//! afresh: that would launder a payload corrupted on the way here into a valid one. So a segment
//! is valid after an edit if and only if it was valid before (rule H1.8). No edit changes a length
//! (rule H1.10) or touches the IP header.

use super::checksum::{self, Sum};
use super::options::{MAX_OPTIONS_LEN, kind};
use super::{Flags, Segment};
use crate::seq::{SeqNum, SeqRange};

/// Offsets in the TCP header (RFC 9293 section 3.1).
mod field {
    pub(super) const SEQ: usize = 4;
    pub(super) const ACK: usize = 8;
    pub(super) const FLAGS: usize = 13;
    pub(super) const WINDOW: usize = 14;
    pub(super) const CHECKSUM: usize = 16;
    pub(super) const URGENT: usize = 18;
}

/// Octets of kind and length before the blocks of a SACK option.
const SACK_HEAD_LEN: usize = 2;
/// Octets of one block.
const SACK_BLOCK_LEN: usize = 8;

/// What the checksum field of a segment covers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ChecksumKind {
    /// The whole segment, as on the wire.
    Full,
    /// Only the pseudo header; the interface adds the rest. Edits of the segment leave it alone.
    Partial,
}

/// An editor of one segment's TCP header.
#[derive(Debug)]
pub struct Rewrite<'p> {
    header: &'p mut [u8],
    tsval_offset: Option<usize>,
    sack_offset: usize,
    sack_len: usize,
    checksum: ChecksumKind,
    changed: bool,
}

impl<'p> Rewrite<'p> {
    /// An editor for the segment `seg` that [`parse`](super::parse()) found in `packet`.
    ///
    /// With a packet that is too short for `seg` every edit does nothing.
    #[must_use]
    pub fn new(packet: &'p mut [u8], seg: &Segment, checksum: ChecksumKind) -> Self {
        let range = usize::from(seg.tcp_offset)..usize::from(seg.payload_offset);
        Self {
            header: packet.get_mut(range).unwrap_or_default(),
            tsval_offset: seg
                .options
                .timestamps
                .map(|_| usize::from(seg.options.tsopt_offset)),
            sack_offset: usize::from(seg.options.sack_offset),
            sack_len: usize::from(seg.options.sack_len),
            checksum,
            changed: false,
        }
    }

    /// Whether any edit so far changed a bit.
    #[must_use]
    pub const fn changed(&self) -> bool {
        self.changed
    }

    /// Sets the sequence number.
    pub fn set_seq(&mut self, seq: SeqNum) {
        self.replace(field::SEQ, &seq.raw().to_be_bytes());
    }

    /// Sets the acknowledgement number.
    pub fn set_ack(&mut self, ack: SeqNum) {
        self.replace(field::ACK, &ack.raw().to_be_bytes());
    }

    /// Sets the window field, which is unscaled.
    pub fn set_window(&mut self, window: u16) {
        self.replace(field::WINDOW, &window.to_be_bytes());
    }

    /// Sets the urgent pointer.
    pub fn set_urgent(&mut self, urgent: u16) {
        self.replace(field::URGENT, &urgent.to_be_bytes());
    }

    /// Sets the flags in `set`, then clears those in `clear`.
    pub fn set_flags(&mut self, set: Flags, clear: Flags) {
        if let Some(&bits) = self.header.get(field::FLAGS) {
            let flags = Flags::from_bits(bits).union(set).without(clear);
            self.replace(field::FLAGS, &[flags.bits()]);
        }
    }

    /// Sets TSval; without a timestamps option nothing happens.
    pub fn set_tsval(&mut self, tsval: u32) {
        if let Some(offset) = self.tsval_offset {
            self.replace(offset, &tsval.to_be_bytes());
        }
    }

    /// Sets TSecr; without a timestamps option nothing happens.
    pub fn set_tsecr(&mut self, tsecr: u32) {
        if let Some(offset) = self.tsval_offset {
            self.replace(offset.saturating_add(4), &tsecr.to_be_bytes());
        }
    }

    /// Sets the maximum segment size that a SYN announces; without the option nothing happens.
    pub fn set_mss(&mut self, mss: u16) {
        if let Some(offset) = self.mss_offset() {
            self.replace(offset, &mss.to_be_bytes());
        }
    }

    /// Where the value of the first maximum segment size option stands.
    fn mss_offset(&self) -> Option<usize> {
        let mut offset = super::bytes::TCP_HEADER_LEN.into();
        loop {
            let rest = self.header.get(offset..)?;
            let len = match *rest {
                [kind::NOP, ..] => 1,
                [kind::MSS, 4, _, _, ..] => return offset.checked_add(2),
                [kind::END, ..] | [_, 0 | 1, ..] => return None,
                [_, len, ..] => usize::from(len),
                [..] => return None,
            };
            offset = offset.checked_add(len)?;
        }
    }

    /// Overwrites the whole SACK option with no-operation options (rule H1.5).
    pub fn erase_sack(&mut self) {
        self.replace_sack(&[]);
    }

    /// Puts as many of `blocks` as fit, in order, in the place of the SACK option; what is left of
    /// its room becomes no-operation options. Without a SACK option nothing happens.
    pub fn replace_sack(&mut self, blocks: &[SeqRange]) {
        let mut option = [kind::NOP; MAX_OPTIONS_LEN];
        let Some(option) = option.get_mut(..self.sack_len) else {
            return;
        };
        let room = self.sack_len.saturating_sub(SACK_HEAD_LEN) / SACK_BLOCK_LEN;
        let count = blocks.len().min(room);
        write_sack(option, blocks.get(..count).unwrap_or_default());
        self.replace(self.sack_offset, option);
    }

    /// Puts `new` at `offset` of the header and carries the difference into the checksum.
    fn replace(&mut self, offset: usize, new: &[u8]) {
        let Some(old) = offset
            .checked_add(new.len())
            .and_then(|end| self.header.get_mut(offset..end))
        else {
            return;
        };
        if old == new {
            return;
        }
        // Options stand where the sender put them; at an odd offset the first octet is the low
        // half of its word.
        let mut before = Sum::at_offset(offset);
        let mut after = before;
        before.add_bytes(old);
        after.add_bytes(new);
        old.copy_from_slice(new);
        self.changed = true;
        if self.checksum == ChecksumKind::Full {
            self.update_checksum(before.fold(), after.fold());
        }
    }

    fn update_checksum(&mut self, before: u16, after: u16) {
        if let Some(field) = self
            .header
            .get_mut(field::CHECKSUM..)
            .and_then(|tail| tail.first_chunk_mut::<2>())
        {
            *field = checksum::update(u16::from_be_bytes(*field), before, after).to_be_bytes();
        }
    }
}

/// Writes a SACK option with `blocks` to the start of `place`; nothing if there are no blocks or
/// they do not fit. Returns the octets written.
pub(super) fn write_sack(place: &mut [u8], blocks: &[SeqRange]) -> usize {
    let len = SACK_HEAD_LEN.saturating_add(blocks.len().saturating_mul(SACK_BLOCK_LEN));
    let (Ok(len_octet), Some(place)) = (u8::try_from(len), place.get_mut(..len)) else {
        return 0;
    };
    let Some((head, room)) = place.split_first_chunk_mut::<SACK_HEAD_LEN>() else {
        return 0;
    };
    if blocks.is_empty() {
        return 0;
    }
    *head = [kind::SACK, len_octet];
    let (edges, _) = room.as_chunks_mut::<4>();
    let values = blocks.iter().flat_map(|block| [block.start(), block.end()]);
    for (edge, value) in edges.iter_mut().zip(values) {
        *edge = value.raw().to_be_bytes();
    }
    len
}
