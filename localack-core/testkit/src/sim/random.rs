//! Random numbers that a seed repeats.

use rand_pcg::Pcg32;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _};

/// A small random source.
#[derive(Clone, Debug)]
pub struct Random(Pcg32);

impl Random {
    /// The source that `seed` names.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Pcg32::seed_from_u64(seed))
    }

    /// A number below `limit`, which must not be zero.
    pub fn below(&mut self, limit: u32) -> u32 {
        // The bias of the high half of a 64-bit product is below 2^-32 * limit: no matter here.
        let wide = u64::from(self.0.next_u32()) * u64::from(limit);
        u32::try_from(wide >> 32).expect("below a 32-bit limit")
    }

    /// True with a probability in parts per million.
    pub fn chance(&mut self, ppm: u32) -> bool {
        self.below(1_000_000) < ppm
    }

    /// A random octet.
    pub fn octet(&mut self) -> u8 {
        self.0.next_u32().to_be_bytes()[0]
    }

    /// Another source, drawn from this one.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.0.next_u64())
    }
}

/// The seeds a randomised test runs with: the one in `LOCALACK_SEED`, or `count` fixed ones.
///
/// # Panics
/// If `LOCALACK_SEED` is not a number.
#[must_use]
pub fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("LOCALACK_SEED") {
        Ok(seed) => vec![seed.parse().expect("LOCALACK_SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_another_differs() {
        let draw = |seed| -> Vec<u32> {
            let mut random = Random::new(seed);
            (0..8).map(|_| random.below(1000)).collect()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(7).iter().all(|&number| number < 1000));
    }

    #[test]
    fn chances_are_as_likely_as_they_say() {
        let mut random = Random::new(1);
        let hits = (0..100_000).filter(|_| random.chance(50_000)).count();
        assert!((4_700..5_300).contains(&hits), "{hits}");
        assert!(!random.chance(0) && random.chance(1_000_000));
    }
}
