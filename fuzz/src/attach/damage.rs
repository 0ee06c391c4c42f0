//! What may become of memory.

use crate::input::Input;

use super::scene::{GEOMETRY, MARK};

/// One change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Damage {
    /// Bits of an octet are turned.
    Bits(u16, u8),
    /// A number of four octets becomes another one.
    Number(u16, u32),
    /// To a number of four octets something is added.
    Sum(u16, i16),
    /// Octets become the same: where, how many, and which.
    Fill(u16, u16, u8),
    /// Octets are written again elsewhere: from where, where to, and how many.
    Copy(u16, u16, u16),
    /// Octets change places.
    Swap(u16, u16, u16),
    /// Octets become whatever: where, how many, and from which seed.
    Noise(u16, u16, u8),
    /// A slot, or none, is marked as being written to.
    Mark(u8),
}

impl Damage {
    pub(crate) fn read(input: &mut Input<'_>) -> Option<Self> {
        Some(match input.u8()? & 7 {
            0 => Self::Bits(input.u16()?, input.u8()?),
            1 => Self::Number(input.u16()?, input.u32()?),
            2 => Self::Sum(input.u16()?, input.i16()?),
            3 => Self::Fill(input.u16()?, input.u16()?, input.u8()?),
            4 => Self::Copy(input.u16()?, input.u16()?, input.u16()?),
            5 => Self::Swap(input.u16()?, input.u16()?, input.u16()?),
            6 => Self::Noise(input.u16()?, input.u16()?, input.u8()?),
            _ => Self::Mark(input.u8()?),
        })
    }

    /// Appends the octets that read as this change.
    pub(crate) fn write(self, octets: &mut Vec<u8>) {
        match self {
            Self::Bits(at, bits) => {
                octets.push(0);
                octets.extend(at.to_be_bytes());
                octets.push(bits);
            }
            Self::Number(at, number) => {
                octets.push(1);
                octets.extend(at.to_be_bytes());
                octets.extend(number.to_be_bytes());
            }
            Self::Sum(at, more) => {
                octets.push(2);
                octets.extend(at.to_be_bytes());
                octets.extend(more.to_be_bytes());
            }
            Self::Fill(at, count, with) | Self::Noise(at, count, with) => {
                octets.push(if matches!(self, Self::Fill(..)) { 3 } else { 6 });
                octets.extend(at.to_be_bytes());
                octets.extend(count.to_be_bytes());
                octets.push(with);
            }
            Self::Copy(from, to, count) | Self::Swap(from, to, count) => {
                octets.push(if matches!(self, Self::Copy(..)) { 4 } else { 5 });
                octets.extend([from, to, count].map(u16::to_be_bytes).concat());
            }
            Self::Mark(slot) => octets.extend([7, slot]),
        }
    }

    /// Does it. All places count modulo what the slots take; what is stored of payload is left alone, except
    /// by what is long enough to reach it.
    pub(crate) fn befalls(self, memory: &mut [u8]) {
        let slots = memory.len() - GEOMETRY.arena;
        let place = |at: u16| usize::from(at) % slots;
        let word = |at: u16| place(at) / 4 * 4;
        let span = |at: usize, count: u16| at..(at + usize::from(count)).min(memory.len());
        match self {
            Self::Bits(at, bits) => memory[place(at)] ^= bits,
            Self::Number(at, number) => {
                memory[word(at)..][..4].copy_from_slice(&number.to_le_bytes());
            }
            Self::Sum(at, more) => {
                let octets = memory[word(at)..]
                    .first_chunk_mut()
                    .expect("slots are words");
                *octets = u32::from_le_bytes(*octets)
                    .wrapping_add_signed(more.into())
                    .to_le_bytes();
            }
            Self::Fill(at, count, with) => {
                let span = span(place(at), count);
                memory[span].fill(with);
            }
            Self::Copy(from, to, count) => {
                let (from, to) = (span(word(from), count), word(to));
                let count = from.len().min(memory.len() - to);
                memory.copy_within(from.start..from.start + count, to);
            }
            Self::Swap(one, other, count) => {
                let (one, other) = (word(one.min(other)), word(one.max(other)));
                let (low, high) = (one.min(other), one.max(other));
                let count = usize::from(count).min(high - low).min(memory.len() - high);
                let (front, back) = memory.split_at_mut(high);
                front[low..low + count].swap_with_slice(&mut back[..count]);
            }
            Self::Noise(at, count, seed) => {
                let span = span(place(at), count);
                let mut state = u32::from(seed) | 0x100;
                for octet in &mut memory[span] {
                    // xorshift32.
                    state ^= state << 13;
                    state ^= state >> 17;
                    state ^= state << 5;
                    *octet = state.to_le_bytes()[1];
                }
            }
            Self::Mark(slot) => {
                memory[MARK..][..4].copy_from_slice(&u32::from(slot).to_le_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let all = [
            Damage::Bits(700, 3),
            Damage::Number(1, 0xdead_beef),
            Damage::Sum(9, -3),
            Damage::Fill(1, 2, 3),
            Damage::Copy(4, 5, 6),
            Damage::Swap(4, 5, 6),
            Damage::Noise(1, 2, 3),
            Damage::Mark(1),
        ];
        let mut octets = Vec::new();
        for damage in all {
            damage.write(&mut octets);
        }
        let mut input = Input(&octets);
        for damage in all {
            assert_eq!(Damage::read(&mut input), Some(damage));
        }
        assert_eq!(Damage::read(&mut input), None);
    }
}
