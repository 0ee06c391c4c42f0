//! Cutting super-segments, as a sink with offloads does.

use super::{Flags, Layout, Packet};

/// The segments of `size` octets of payload that `octets`, a larger one, stands for; itself where it is none, whose
/// `size` is zero.
///
/// # Panics
/// If it is no TCP segment.
#[must_use]
pub fn segments(octets: Vec<u8>, size: u16) -> Vec<Vec<u8>> {
    if size == 0 {
        return vec![octets];
    }
    let whole = Packet::decode(&octets).expect("a TCP segment").packet;
    let size = usize::from(size);
    let last = whole.payload.len().div_ceil(size) - 1;
    let pieces = whole.payload.chunks(size).enumerate();
    let cut = pieces.map(|(number, piece)| {
        let mut packet = whole.clone();
        let offset = u32::try_from(number * size).expect("a packet");
        packet.seq = whole.seq.wrapping_add(offset);
        packet.payload = piece.to_vec();
        if number < last {
            // These belong to the last of them.
            packet.flags = Flags(whole.flags.0 & !(Flags::PSH.0 | Flags::FIN.0));
        }
        packet.encode(Layout::Aligned)
    });
    cut.collect()
}
