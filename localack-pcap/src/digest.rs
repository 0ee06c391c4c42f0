//! A fast digest of octets, to tell whether two engines did the same.

use core::hash::Hasher;

/// Not a defence against anybody: equal inputs give equal digests, different ones hardly ever.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Digest(u64);

impl Digest {
    fn mix(&mut self, word: u64) {
        // The golden ratio in 64 bits: an odd multiplier that spreads every bit upwards.
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(GOLDEN);
    }
}

impl Hasher for Digest {
    fn write(&mut self, octets: &[u8]) {
        let (words, rest) = octets.as_chunks::<8>();
        words
            .iter()
            .for_each(|&word| self.mix(u64::from_le_bytes(word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last));
        self.mix(octets.len() as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_or_moved_octet_changes_the_digest() {
        let digest = |pieces: &[&[u8]]| {
            let mut digest = Digest::default();
            pieces.iter().for_each(|piece| digest.write(piece));
            digest.finish()
        };
        let whole = digest(&[b"0123456789"]);
        assert_eq!(whole, digest(&[b"0123456789"]));
        for other in [
            &[&b"0123456788"[..]][..],
            &[b"01234567", b"89"],
            &[b"0123456789\0"],
            &[b"8901234567"],
        ] {
            assert_ne!(whole, digest(other));
        }
    }
}
