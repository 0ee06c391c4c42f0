//! What a stream consists of, so that a receiver can tell a wrong octet without storing any.

use std::sync::Arc;

/// The octets of a stream, known by their offset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// An endless stream in which every octet depends on its offset and on a key.
    Pattern(u64),
    /// These octets; a stream must not be longer.
    Octets(Arc<[u8]>),
}

impl Content {
    /// `length` octets from `offset` on.
    ///
    /// # Panics
    /// If the content ends before.
    pub(super) fn octets(&self, offset: u64, length: u32) -> Vec<u8> {
        match self {
            Self::Pattern(key) => {
                let mut octets = Vec::with_capacity(length as usize + 16);
                let mut word = offset / 8;
                let skipped = (offset % 8) as usize;
                octets.extend(&mixed(*key, word)[skipped..]);
                while octets.len() < length as usize {
                    word += 1;
                    octets.extend(mixed(*key, word));
                }
                octets.truncate(length as usize);
                octets
            }
            Self::Octets(all) => {
                let start = usize::try_from(offset).expect("in memory");
                all[start..start + length as usize].to_vec()
            }
        }
    }

    /// The offset of the first of `octets`, which stand at `offset`, that is not the stream's.
    pub(super) fn first_wrong(&self, offset: u64, octets: &[u8]) -> Option<u64> {
        match self {
            Self::Pattern(_) => {
                let length = u32::try_from(octets.len()).expect("a packet");
                difference(offset, octets, &self.octets(offset, length))
            }
            Self::Octets(all) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let expected = all.get(start..).unwrap_or(&[]);
                difference(
                    offset,
                    octets,
                    &expected[..expected.len().min(octets.len())],
                )
            }
        }
    }
}

/// Where `octets`, which stand at `offset`, are not `expected`.
fn difference(offset: u64, octets: &[u8], expected: &[u8]) -> Option<u64> {
    if octets == expected {
        return None;
    }
    let same = octets.iter().zip(expected).take_while(|(a, b)| a == b);
    Some(offset + same.count() as u64)
}

/// Eight octets of the pattern: a mix in which every bit of key and place counts.
fn mixed(key: u64, word: u64) -> [u8; 8] {
    let mut mix = (word ^ key.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mix ^= mix >> 29;
    mix = mix.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mix ^ mix >> 32).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_stream_is_the_same_part_and_no_other() {
        let whole = Content::Pattern(7).octets(0, 4000);
        for content in [Content::Pattern(7), Content::Octets(whole.clone().into())] {
            for (offset, length) in [(0, 1), (3, 2), (8, 8), (1001, 1448), (1999, 2001)] {
                let part = content.octets(offset, length);
                let start = offset as usize;
                assert_eq!(part, whole[start..start + length as usize]);
                assert_eq!(content.first_wrong(offset, &part), None);
                assert!(content.first_wrong(offset + 1, &part).is_some());
                assert!(content.first_wrong(offset + 1448, &part).is_some());
                for wrong in [0, part.len() / 2, part.len() - 1] {
                    let mut part = part.clone();
                    part[wrong] ^= 0x10;
                    let found = content.first_wrong(offset, &part);
                    assert_eq!(found, Some(offset + wrong as u64));
                }
            }
        }
        assert!(Content::Pattern(8).first_wrong(0, &whole).is_some());
    }
}
