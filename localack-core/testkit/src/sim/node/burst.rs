//! Loss in bursts.

use localack_core::Instant;

use crate::sim::path::{Exits, Node};
use crate::sim::random::Random;

/// Gilbert-Elliott loss: a good and a bad state, each with its own probability of loss; the state may
/// change after each packet.
#[derive(Clone, Debug)]
pub struct BurstLoss {
    /// Probability that the good state ends, in parts per million.
    pub to_bad: u32,
    /// Probability that the bad state ends, in parts per million.
    pub to_good: u32,
    /// Probability of loss in the good state, in parts per million.
    pub loss_in_good: u32,
    /// Probability of loss in the bad state, in parts per million.
    pub loss_in_bad: u32,
    /// Whether the state is bad.
    pub is_bad: bool,
    /// Where it draws from.
    pub random: Random,
}

impl BurstLoss {
    /// Loses `ppm` parts per million in all, in bursts of `length` packets on average (Gilbert's
    /// model: nothing is lost in the good state, everything in the bad one).
    ///
    /// # Panics
    /// If `length` is zero, or `ppm` is a million or more.
    #[must_use]
    pub fn bursts(ppm: u32, length: u32, random: Random) -> Self {
        assert!(ppm < 1_000_000, "some packets must pass");
        let to_good = 1_000_000 / length;
        let to_bad = u64::from(to_good) * u64::from(ppm) / u64::from(1_000_000 - ppm);
        Self {
            to_bad: u32::try_from(to_bad).unwrap_or(u32::MAX).min(1_000_000),
            to_good,
            loss_in_good: 0,
            loss_in_bad: 1_000_000,
            is_bad: false,
            random,
        }
    }
}

impl Node for BurstLoss {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        let (loss, change) = if self.is_bad {
            (self.loss_in_bad, self.to_good)
        } else {
            (self.loss_in_good, self.to_bad)
        };
        let lost = self.random.chance(loss);
        self.is_bad ^= self.random.chance(change);
        if !lost {
            exits.onward(now, packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Path;

    /// Whether each of many packets was lost.
    fn losses(node: BurstLoss) -> Vec<bool> {
        let mut path = Path::new().then(node);
        (0..200_000)
            .map(|_| {
                path.send(Instant::ZERO, vec![0]);
                path.receive(Instant::ZERO).is_none()
            })
            .collect()
    }

    #[test]
    fn bursts_have_the_share_and_the_mean_length_they_were_given() {
        let lost = losses(BurstLoss::bursts(20_000, 5, Random::new(1)));
        let count = lost.iter().filter(|&&lost| lost).count();
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        assert!((3_400..4_600).contains(&count), "{count}");
        let length = count as f64 / bursts as f64;
        assert!((4.5..5.5).contains(&length), "{length}");
    }

    #[test]
    fn each_state_has_its_own_loss() {
        let node = BurstLoss {
            to_bad: 1_000,
            to_good: 1_000,
            loss_in_good: 10_000,
            loss_in_bad: 500_000,
            is_bad: false,
            random: Random::new(2),
        };
        let lost = losses(node);
        // Both states take half of the time: a quarter is lost, and stretches of a hundred show
        // which state they were in.
        let share = lost.iter().filter(|&&lost| lost).count() as f64 / lost.len() as f64;
        assert!((0.22..0.29).contains(&share), "{share}");
        let stretches = || {
            lost.chunks(100)
                .map(|c| c.iter().filter(|&&lost| lost).count())
        };
        assert!(stretches().filter(|&n| n <= 4).count() > 600);
        assert!(stretches().filter(|&n| n >= 35).count() > 600);
    }
}
