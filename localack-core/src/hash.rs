//! A keyed hash of a few words, for tables that strangers fill.
//!
//! Folded multiplication: of the product of two words, each hidden behind a part of the secret, the
//! halves are xored. Who does not know the secret cannot tell which inputs collide, and no answer is
//! ever shown outside. It is no code for authentication. Two multiplications for an IPv4 connection: a
//! third of the time that SipHash-1-3 takes, and on 32-bit processors, which have no 64-bit rotation,
//! a fourth of its code.

/// Odd, and near 2^64 over the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of `pairs` of words under `secret`. The number of pairs counts, too.
pub(crate) fn keyed<const N: usize>(secret: [u64; 2], pairs: [[u64; 2]; N]) -> u32 {
    let [mask, seed] = secret;
    let mut state = seed;
    for [a, b] in pairs {
        state = fold(a ^ mask, b ^ state);
    }
    let wide = fold(state ^ seed, SPREAD.rotate_left(shift(N)) ^ mask);
    low_half(wide ^ wide >> 32)
}

/// Different for each number of pairs that there is.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a rotation counts modulo 64"
)]
const fn shift(pairs: usize) -> u32 {
    pairs as u32
}

/// The halves of a product, mixed.
const fn fold(a: u64, b: u64) -> u64 {
    let wide = (a as u128).wrapping_mul(b as u128);
    low_word(wide) ^ low_word(wide >> 64)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is asked for"
)]
const fn low_word(wide: u128) -> u64 {
    wide as u64
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is asked for"
)]
const fn low_half(wide: u64) -> u32 {
    wide as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

    use super::*;
    use std::vec;

    const SECRET: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

    #[test]
    fn each_bit_of_the_input_and_of_the_secret_changes_half_of_the_answer() {
        let input = [[0x0a00_0001_c000_0207, 0x0050_01bb_0000_0000], [1, 2]];
        let before = keyed(SECRET, input);
        let mut changed = 0;
        for bit in 0..256 {
            let mut other = input;
            other[bit / 128][bit / 64 % 2] ^= 1 << (bit % 64);
            let differs = (keyed(SECRET, other) ^ before).count_ones();
            assert!((5..=27).contains(&differs), "bit {bit}: {differs}");
            changed += differs;
        }
        for bit in 0..128 {
            let mut other = SECRET;
            other[bit / 64] ^= 1 << (bit % 64);
            let differs = (keyed(other, input) ^ before).count_ones();
            assert!((5..=27).contains(&differs), "secret bit {bit}: {differs}");
            changed += differs;
        }
        // 384 changes of 16 bits each, give or take four standard deviations.
        assert!((5820..=6470).contains(&changed), "{changed}");
    }

    #[test]
    fn neighbouring_connections_spread_like_chance() {
        // 2^16 ports of one host, and 2^16 hosts with one port, into as many cells.
        let ports = |n: u64| [[0x0a00_0001_c000_0207, n << 48 | 0x01bb_0000_0000]];
        let hosts = |n: u64| [[0x0a00_0000_c000_0207 + (n << 32), 0x0050_01bb_0000_0000]];
        for secret in [SECRET, [0, 0], [1, 2], [u64::MAX, 3]] {
            for case in [&ports as &dyn Fn(u64) -> [[u64; 2]; 1], &hosts] {
                let mut cells = vec![0_u32; 1 << 16];
                for n in 0..1 << 16 {
                    cells[(keyed(secret, case(n)) & 0xffff) as usize] += 1;
                }
                let most = cells.iter().max().unwrap();
                let empty = cells.iter().filter(|&&count| count == 0).count();
                // Poisson: 24,109 empty cells, and hardly any with ten.
                assert!(*most <= 12, "{secret:x?}: {most}");
                assert!((23_500..=24_800).contains(&empty), "{secret:x?}: {empty}");
            }
        }
    }

    #[test]
    fn how_much_there_is_counts() {
        let (short, long) = ([[0, 0]], [[0, 0], [0, 0]]);
        assert_ne!(keyed(SECRET, short), keyed(SECRET, long));
    }

    #[test]
    fn the_answer_is_the_same_on_every_machine() {
        assert_eq!(
            keyed(SECRET, [[0x0a00_0001_c000_0207, 0x0050_01bb_0000_0000]]),
            0x2179_218f
        );
        assert_eq!(keyed(SECRET, [[0, 0], [0, 0]]), 0x5976_578d);
        assert_eq!(keyed(SECRET, [[1, 2], [3, 4], [5, 6]]), 0xaa6a_4080);
    }
}
