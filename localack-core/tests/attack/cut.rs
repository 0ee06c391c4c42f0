//! Cutting super-segments, as a sink with offloads does.

use localack_testkit::packet::{Flags, Layout, Packet};

/// The segments of `size` octets of payload that `octets`, a larger one, stands for.
pub(crate) fn segments(octets: &[u8], size: u16) -> Vec<Vec<u8>> {
    let whole = Packet::decode(octets).expect("a TCP segment").packet;
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
