//! The Internet checksum: sums (RFC 1071), incremental updates (RFC 1624), pseudo headers.
//!
//! A [`Sum`] remembers whether an odd number of octets went into it. Pieces of any length can
//! therefore be summed apart, kept beside their bytes and combined later, which is how a stored
//! payload is checksummed once and then sent under any number of headers.

use core::net::IpAddr;

use super::Segment;

/// IP protocol number of TCP.
pub(super) const PROTOCOL_TCP: u8 = 6;

/// Octets that one turn of the summing loop takes: enough lanes for the vector unit.
const BLOCK: usize = 32;
/// One lane per 32-bit word of a block. Each turn adds less than 2^32 to a 64-bit lane, so a lane
/// cannot overflow on anything shorter than 128 GiB.
type Lanes = [u64; BLOCK / 4];

/// A one's-complement sum over a run of octets of even or odd length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sum {
    /// The sum of all 16-bit words so far, folded to 16 bits.
    folded: u16,
    /// Whether the next octet is the low half of a word.
    odd: bool,
}

impl Sum {
    /// The sum over nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            folded: 0,
            odd: false,
        }
    }

    /// Appends `bytes`.
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        let mut lanes = Lanes::default();
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        for block in blocks {
            add_block(&mut lanes, block);
        }
        self.append(sum_of(lanes, rest), bytes.len());
    }

    /// Copies `src` into `dst` and appends the octets copied, in one pass; returns their number,
    /// which is the length of the shorter slice.
    pub fn copy_bytes(&mut self, dst: &mut [u8], src: &[u8]) -> usize {
        let octets = dst.len().min(src.len());
        let (Some(dst), Some(src)) = (dst.get_mut(..octets), src.get(..octets)) else {
            return 0;
        };
        let mut lanes = Lanes::default();
        let (dst_blocks, dst_rest) = dst.as_chunks_mut::<BLOCK>();
        let (src_blocks, src_rest) = src.as_chunks::<BLOCK>();
        for (to, from) in dst_blocks.iter_mut().zip(src_blocks) {
            *to = *from;
            add_block(&mut lanes, from);
        }
        dst_rest.copy_from_slice(src_rest);
        self.append(sum_of(lanes, src_rest), octets);
        octets
    }

    /// Appends a 16-bit number in network order.
    pub const fn add_u16(&mut self, value: u16) {
        self.append_word(value);
    }

    /// Appends a 32-bit number in network order.
    pub const fn add_u32(&mut self, value: u32) {
        let [a, b, c, d] = value.to_be_bytes();
        self.append_word(u16::from_be_bytes([a, b]));
        self.append_word(u16::from_be_bytes([c, d]));
    }

    /// Appends octets that were summed apart.
    pub const fn combine(&mut self, following: Self) {
        self.append_word(following.folded);
        self.odd = self.odd != following.odd;
    }

    /// The sum folded to 16 bits; 0xffff over data that contains its own correct checksum.
    #[must_use]
    pub const fn fold(self) -> u16 {
        self.folded
    }

    /// The checksum: the complement of the sum.
    #[must_use]
    pub const fn checksum(self) -> u16 {
        !self.folded
    }

    /// A sum that starts in the middle of a word if `offset` is odd.
    pub(super) const fn at_offset(offset: usize) -> Self {
        Self {
            folded: 0,
            odd: offset & 1 == 1,
        }
    }

    const fn append(&mut self, folded: u16, octets: usize) {
        self.append_word(folded);
        self.odd = self.odd != (octets & 1 == 1);
    }

    /// Adds a word that starts at the present position; behind an odd octet its halves fall into
    /// the other halves of the sum's words (RFC 1071 section 2, byte order independence).
    const fn append_word(&mut self, word: u16) {
        let aligned = if self.odd { word.swap_bytes() } else { word };
        self.folded = add(self.folded, aligned);
    }
}

/// One's-complement addition: the carry comes round into the low end.
const fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    if carry { sum.wrapping_add(1) } else { sum }
}

#[inline(always)]
fn add_block(lanes: &mut Lanes, block: &[u8; BLOCK]) {
    let (words, _) = block.as_chunks::<4>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        *lane = lane.wrapping_add(u64::from(u32::from_ne_bytes(*word)));
    }
}

/// The folded sum of whole blocks and the `rest` behind them.
///
/// Words are added in the machine's order; their octets come out of memory in the network's, so
/// reading the total back octet by octet undoes the swap, if there was one.
fn sum_of(lanes: Lanes, rest: &[u8]) -> u16 {
    let mut total = lanes
        .iter()
        .fold(0u64, |total, lane| total.wrapping_add(*lane));
    let (words, tail) = rest.as_chunks::<4>();
    for word in words {
        total = total.wrapping_add(u64::from(u32::from_ne_bytes(*word)));
    }
    let last = match *tail {
        [a] => [a, 0, 0, 0],
        [a, b] => [a, b, 0, 0],
        [a, b, c] => [a, b, c, 0],
        _ => [0; 4],
    };
    total = total.wrapping_add(u64::from(u32::from_ne_bytes(last)));
    let [a, b, c, d, e, f, g, h] = total.to_ne_bytes();
    add(
        add(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
        add(u16::from_be_bytes([e, f]), u16::from_be_bytes([g, h])),
    )
}

/// Sum of the TCP pseudo header for a segment of `tcp_len` octets, header included (RFC 9293
/// section 3.1, RFC 8200 section 8.1).
#[must_use]
pub fn pseudo_header(src: IpAddr, dst: IpAddr, tcp_len: u32) -> Sum {
    pseudo_header_of(PROTOCOL_TCP, src, dst, tcp_len)
}

/// Sum of the pseudo header for `len` octets of any upper-layer protocol.
pub(super) fn pseudo_header_of(protocol: u8, src: IpAddr, dst: IpAddr, len: u32) -> Sum {
    // Nine numbers of 32 bits at most.
    let total = words_of(src)
        .wrapping_add(words_of(dst))
        .wrapping_add(u64::from(len))
        .wrapping_add(u64::from(protocol));
    Sum {
        folded: folded(total),
        odd: false,
    }
}

/// The sum of an address's 32-bit words.
fn words_of(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.segments().map(u64::from);
            let high = a.wrapping_add(c).wrapping_add(e).wrapping_add(g);
            let low = b.wrapping_add(d).wrapping_add(f).wrapping_add(h);
            (high << 16).wrapping_add(low)
        }
    }
}

/// A sum of numbers in network order, folded to 16 bits.
const fn folded(total: u64) -> u16 {
    let [a, b, c, d, e, f, g, h] = total.to_be_bytes();
    add(
        add(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
        add(u16::from_be_bytes([e, f]), u16::from_be_bytes([g, h])),
    )
}

/// Sum of the pseudo header and the TCP header of `seg` as it stands in `packet`.
///
/// Combined with the sum of the payload it verifies the segment, which is valid if and only if
/// the result folds to 0xffff: the payload need not be read twice.
#[must_use]
pub fn header_sum(packet: &[u8], seg: &Segment) -> Sum {
    let mut sum = pseudo_header(seg.src, seg.dst, seg.tcp_len());
    sum.add_bytes(seg.header(packet));
    sum
}

/// Whether the TCP checksum of `seg` in `packet` is correct.
#[must_use]
pub fn verify(packet: &[u8], seg: &Segment) -> bool {
    let mut sum = header_sum(packet, seg);
    if seg.has_payload() {
        sum.add_bytes(seg.payload(packet));
    }
    sum.fold() == 0xffff
}

/// Whether the checksum field of `seg` holds the sum of the pseudo header only, the form in which
/// a host leaves it for its interface to finish (`CHECKSUM_PARTIAL` on Linux).
#[must_use]
pub fn is_partial(seg: &Segment) -> bool {
    pseudo_header(seg.src, seg.dst, seg.tcp_len()).fold() == seg.checksum
}

/// The checksum after a 16-bit word `old` under it became `new` (RFC 1624 section 3, equation 3).
///
/// Equation 3 keeps zero apart from minus zero as a fresh computation would, which the older
/// equation 2 does not; an error already present stays in the result unchanged.
#[must_use]
pub const fn update(check: u16, old: u16, new: u16) -> u16 {
    !add(add(!check, !old), new)
}

/// The checksum of an IPv4 header whose checksum field is zero; 0 over one whose field is correct.
#[must_use]
pub fn ipv4_header_checksum(header: &[u8]) -> u16 {
    let mut sum = Sum::new();
    sum.add_bytes(header);
    sum.checksum()
}
