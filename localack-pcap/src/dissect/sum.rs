//! The internet checksum (RFC 1071).
//!
//! Sums are kept in the machine's byte order, four octets at a time: a one's-complement sum does
//! not mind, as long as it is turned round once at the end.

/// Adds up the 32-bit words of `octets`; an odd rest is padded with zeroes.
pub(super) fn add(octets: &[u8]) -> u64 {
    let (words, rest) = octets.as_chunks::<4>();
    let sum: u64 = words
        .iter()
        .map(|&word| u64::from(u32::from_ne_bytes(word)))
        .sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum + u64::from(u32::from_ne_bytes(last))
}

/// A 32-bit number of a pseudo-header as a summand.
pub(super) const fn number(number: u32) -> u64 {
    number.to_be() as u64
}

/// Folds a sum into 16 bits, in network byte order.
pub(super) const fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (sum as u16).to_be()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_section_3() {
        assert_eq!(
            fold(add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])),
            0xddf2
        );
    }

    #[test]
    fn an_odd_octet_is_the_high_one() {
        assert_eq!(fold(add(&[0x12])), 0x1200);
        assert_eq!(fold(add(&[0, 0, 0, 0, 0x12, 0x34, 0x56])), 0x1234 + 0x5600);
        assert_eq!(fold(number(0x0001_0002)), 3);
    }
}
