//! A hash of 128 bits, by which states are told apart.

use core::fmt;
use core::hash::Hasher;

/// Two lanes of multiplications, folded. Fast where the search spends its time, and wide enough that
/// no two of some millions of states share a value by accident (odds of 2^-80 and less).
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest {
    lanes: [u64; 2],
}

impl Digest {
    pub(super) const fn new() -> Self {
        Self {
            lanes: [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344],
        }
    }

    /// Takes in a few octets; no two strings give the same words.
    fn write_short(&mut self, octets: &[u8]) {
        let mut rest = octets;
        loop {
            let (now, later) = rest.split_at(rest.len().min(7));
            let mut word = [0; 8];
            word[..now.len()].copy_from_slice(now);
            word[7] = u8::try_from(rest.len().min(8)).unwrap_or(8);
            self.write_u64(u64::from_le_bytes(word));
            if later.is_empty() {
                return;
            }
            rest = later;
        }
    }

    pub(super) fn value(&self) -> u128 {
        u128::from(self.lanes[0]) << 64 | u128::from(self.lanes[1])
    }
}

const fn fold(a: u64, b: u64) -> u64 {
    let wide = (a as u128).wrapping_mul(b as u128);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// Digests what is printed, but for the engine's counters: nothing hangs on them, and no two ways
/// count alike.
#[derive(Debug)]
pub(super) struct Printed<'d> {
    digest: &'d mut Digest,
    skips: bool,
}

impl<'d> Printed<'d> {
    pub(super) const fn into(digest: &'d mut Digest) -> Self {
        Self {
            digest,
            skips: false,
        }
    }

    /// Whether everything behind the counters was taken in.
    pub(super) const fn is_whole(&self) -> bool {
        !self.skips
    }
}

impl fmt::Write for Printed<'_> {
    /// Derived `Debug` prints names and brackets each by a call of its own, and counters are plain
    /// numbers and arrays of them.
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.skips {
            self.skips = piece != " }";
        } else if piece == "counters" {
            self.skips = true;
        } else {
            self.digest.write_short(piece.as_bytes());
        }
        Ok(())
    }
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.lanes[0]
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.write_u64(u64::from_le_bytes(chunk.try_into().expect("eight octets")));
        }
        let rest = chunks.remainder();
        let last = rest
            .iter()
            .fold(rest.len() as u64, |all, &octet| all << 8 | u64::from(octet));
        self.write_u64(last);
    }

    fn write_u64(&mut self, word: u64) {
        let [a, b] = self.lanes;
        self.lanes = [
            fold(a ^ word, 0x9e37_79b9_7f4a_7c15).wrapping_add(b.rotate_left(23)),
            fold(b.wrapping_add(word), 0xd6e8_feb8_6659_fd93) ^ a.rotate_left(41),
        ];
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(word.into());
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Write as _;

    use super::*;

    fn digest_of(text: &[&str]) -> u128 {
        let mut digest = Digest::new();
        let mut printed = Printed::into(&mut digest);
        for piece in text {
            printed.write_str(piece).unwrap();
        }
        assert!(printed.is_whole());
        digest.value()
    }

    #[test]
    fn texts_that_differ_have_digests_that_differ() {
        let texts: [&[&str]; 7] = [
            &[""],
            &["a"],
            &["a", ""],
            &["ab"],
            &["a", "b"],
            &["abcdefg"],
            &["abcdefgh"],
        ];
        for (place, text) in texts.iter().enumerate() {
            for other in &texts[..place] {
                assert_ne!(digest_of(text), digest_of(other), "{text:?} {other:?}");
            }
        }
    }

    #[test]
    fn counters_do_not_count() {
        #[derive(Debug)]
        struct Counters {
            _pass: [u64; 2],
            _lost: u64,
        }
        #[derive(Debug)]
        struct Head {
            _before: u8,
            counters: Counters,
            _after: u8,
        }
        let digest = |count, after| {
            let mut digest = Digest::new();
            let counters = Counters {
                _pass: [count; 2],
                _lost: count,
            };
            let head = Head {
                _before: 1,
                counters,
                _after: after,
            };
            let _ = &head.counters;
            let mut printed = Printed::into(&mut digest);
            write!(printed, "{head:?}").unwrap();
            assert!(printed.is_whole());
            digest.value()
        };
        assert_eq!(digest(1, 7), digest(200, 7));
        assert_ne!(digest(1, 7), digest(1, 8));
    }
}
