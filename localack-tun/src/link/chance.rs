//! The random decisions of a link.

use core::time::Duration;

use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng;

use super::config::{BurstLoss, LinkConfig};
use super::units::Probability;

/// One generator for each kind of decision, so that switching one impairment on or off does not
/// change what the others do to the same packets. PCG's output is fixed for all time, and so is
/// the outcome of a seed.
#[derive(Debug, Clone)]
pub(super) struct Chances {
    loss: Pcg32,
    burst: Burst,
    jitter: Pcg32,
    reorder: Pcg32,
    duplicate: Pcg32,
    corrupt: Pcg32,
}

impl Chances {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            loss: Pcg32::new(seed, 1),
            burst: Burst {
                bad: false,
                rng: Pcg32::new(seed, 2),
            },
            jitter: Pcg32::new(seed, 3),
            reorder: Pcg32::new(seed, 4),
            duplicate: Pcg32::new(seed, 5),
            corrupt: Pcg32::new(seed, 6),
        }
    }

    /// Whether the next packet is lost on the way.
    pub(super) fn lost(&mut self, config: &LinkConfig) -> bool {
        // Both are always asked: each must advance by one step a packet.
        let alone = happens(config.loss, &mut self.loss);
        let in_burst = config
            .burst_loss
            .is_some_and(|model| self.burst.loses(model));
        alone || in_burst
    }

    /// The next packet's propagation delay.
    pub(super) fn delay(&mut self, config: &LinkConfig) -> Duration {
        let earliest = config.delay.saturating_sub(config.jitter);
        let width = config.jitter.as_nanos().saturating_mul(2);
        earliest.saturating_add(Duration::from_nanos(below(width, &mut self.jitter)))
    }

    /// Whether the next packet is held back.
    pub(super) fn held_back(&mut self, config: &LinkConfig) -> bool {
        happens(config.reorder, &mut self.reorder)
    }

    /// Whether the next packet arrives twice.
    pub(super) fn duplicated(&mut self, config: &LinkConfig) -> bool {
        happens(config.duplicate, &mut self.duplicate)
    }

    /// Flips one bit of `packet` if it is to be corrupted, and tells whether it did.
    pub(super) fn corrupt(&mut self, config: &LinkConfig, packet: &mut [u8]) -> bool {
        if packet.is_empty() || !happens(config.corrupt, &mut self.corrupt) {
            return false;
        }
        let last = u128::try_from(packet.len())
            .unwrap_or(u128::MAX)
            .saturating_sub(1);
        let position = usize::try_from(below(last, &mut self.corrupt)).unwrap_or(0);
        let bit = self.corrupt.next_u32() % u8::BITS;
        if let Some(octet) = packet.get_mut(position) {
            *octet ^= 1 << bit;
        }
        true
    }
}

/// The state of a path that loses in bursts.
#[derive(Debug, Clone)]
struct Burst {
    bad: bool,
    rng: Pcg32,
}

impl Burst {
    fn loses(&mut self, model: BurstLoss) -> bool {
        let turn = if self.bad { model.leave } else { model.enter };
        self.bad ^= happens(turn, &mut self.rng);
        // Drawn in both states, so that the draws of a packet do not depend on the state.
        let lost = happens(model.loss, &mut self.rng);
        self.bad && lost
    }
}

fn happens(chance: Probability, rng: &mut Pcg32) -> bool {
    chance.happens(rng.next_u32())
}

/// A number between 0 and `most`, both included, uniform to within 2^-64.
fn below(most: u128, rng: &mut Pcg32) -> u64 {
    let range = most.saturating_add(1).min(1 << 64);
    let scaled = (u128::from(rng.next_u64()) * range) >> 64;
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_draws_reach_both_ends() {
        let mut rng = Pcg32::new(7, 7);
        let draws: Vec<u64> = (0..200).map(|_| below(3, &mut rng)).collect();
        assert_eq!(draws.iter().min(), Some(&0));
        assert_eq!(draws.iter().max(), Some(&3));
        assert_eq!(below(0, &mut rng), 0);
    }

    #[test]
    fn bursts_are_as_long_as_the_model_says() {
        let ppm = |n| Probability::from_ppm(n).unwrap();
        let model = BurstLoss {
            enter: ppm(10_000),
            leave: ppm(250_000),
            loss: ppm(1_000_000),
        };
        let mut burst = Burst {
            bad: false,
            rng: Pcg32::new(3, 3),
        };
        let fates: Vec<bool> = (0..200_000).map(|_| burst.loses(model)).collect();
        let lost = fates.iter().filter(|lost| **lost).count();
        let bursts = fates.windows(2).filter(|pair| pair[1] && !pair[0]).count();
        // Mean burst 1/leave = 4 packets; share of loss enter/(enter + leave) = 3.8 %.
        assert!(
            (36..=44).contains(&(lost * 10 / bursts)),
            "{lost} lost in {bursts} bursts"
        );
        assert!((7_000..=8_400).contains(&lost), "{lost} lost");
    }
}
