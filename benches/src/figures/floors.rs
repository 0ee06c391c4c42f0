//! The least that could be done instead.
//!
//! The loops are the fastest of those tried on x86-64 without extensions: sixty-four bits at a time with
//! the carries counted, in four chains. Copying is the standard library's, which uses what the machine
//! has; done apart from the sum it is faster than both in one pass, as long as a payload stays in the
//! first cache.

use core::hint::black_box;

use localack_core::Port;

use crate::load::cases::BATCH;
use crate::load::{Case, Frame, Line, OUTER_FIRST, Say};

/// The checksum of octets, folded; they may be of any number.
#[must_use]
#[inline]
pub(super) fn checksum(octets: &[u8]) -> u16 {
    let mut chains = [0_u64; 4];
    let (blocks, rest) = octets.as_chunks::<32>();
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (chain, word) in chains.iter_mut().zip(words) {
            *chain = add(*chain, u64::from_ne_bytes(*word));
        }
    }
    let (words, rest) = rest.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let sum = words
        .iter()
        .chain([&last])
        .map(|word| u64::from_ne_bytes(*word))
        .chain(chains)
        .fold(0, add);
    let halves = (sum >> 32) + (sum & 0xffff_ffff);
    let quarters = (halves >> 32) + ((halves >> 16) & 0xffff) + (halves & 0xffff);
    let folded = (quarters >> 16) + (quarters & 0xffff);
    let folded = (folded >> 16) + (folded & 0xffff);
    let [a, b, ..] = folded.to_ne_bytes();
    if cfg!(target_endian = "little") {
        !u16::from_be_bytes([a, b])
    } else {
        let [.., a, b] = folded.to_ne_bytes();
        !u16::from_be_bytes([a, b])
    }
}

/// One's-complement addition.
#[inline]
const fn add(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(carry as u64)
}

/// What is done with each payload. A unit is a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task {
    /// Adding it up.
    Checksum,
    /// Copying it, and adding it up.
    CopyAndChecksum,
    /// Copying it.
    Copy,
}

/// Payloads that arrive in frames and are kept in memory one after the other, round and round.
#[derive(Debug)]
pub struct Floor {
    task: Task,
    frames: Vec<Frame>,
    from: usize,
    arena: Vec<u8>,
    at: usize,
    batch: usize,
}

impl Floor {
    /// Payloads of `payload` octets out of `frames` frames, into `arena` octets of memory; fewer than two
    /// payloads are as good as one.
    #[must_use]
    pub fn new(task: Task, payload: usize, frames: usize, arena: usize) -> Self {
        let batch = if payload > 10_000 { 4 } else { BATCH };
        Self {
            task,
            frames: Frame::ring(frames.max(batch), payload),
            from: 0,
            arena: vec![1; arena.max(payload)],
            at: 0,
            batch,
        }
    }

    /// The same for what is in a cache: one place for all.
    #[must_use]
    pub fn in_cache(task: Task, payload: usize) -> Self {
        Self::new(task, payload, 0, 0)
    }
}

impl Case for Floor {
    fn prepare(&mut self) {
        self.from += self.batch;
        if self.from + self.batch > self.frames.len() {
            self.from = 0;
        }
        // As for the engine, so that the same is in the cache.
        for frame in &mut self.frames[self.from..self.from + self.batch] {
            frame.write(Port::Inner, Line(0), Say::ack(1, OUTER_FIRST));
        }
    }

    fn run(&mut self) -> u32 {
        for frame in &self.frames[self.from..self.from + self.batch] {
            let payload = black_box(frame.payload());
            if self.task != Task::Checksum {
                if self.at + payload.len() > self.arena.len() {
                    self.at = 0;
                }
                let end = self.at + payload.len();
                black_box(&mut self.arena[self.at..end]).copy_from_slice(payload);
                self.at = end;
            }
            if self.task != Task::Copy {
                black_box(checksum(payload));
            }
        }
        u32::try_from(self.batch).expect("a few")
    }
}

#[cfg(test)]
mod tests {
    use localack_core::wire::Sum;

    use super::*;

    #[test]
    fn the_sum_is_right_for_all_lengths_and_carries() {
        for length in 0..200 {
            for octets in [vec![0xff; length], (0..=255).cycle().take(length).collect()] {
                let mut sum = Sum::new();
                sum.add_bytes(&octets);
                assert_eq!(checksum(&octets), sum.checksum(), "{length}");
            }
        }
    }

    #[test]
    fn payloads_are_copied_all_over_the_arena() {
        let mut floor = Floor::new(Task::CopyAndChecksum, 100, 0, 1000);
        for _ in 0..3 {
            floor.prepare();
            assert_eq!(floor.run(), 64);
        }
        let payload = floor.frames[0].payload();
        assert!(floor.arena.chunks(100).all(|part| part == payload));
    }
}
