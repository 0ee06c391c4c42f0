//! Whose turn it is.

use localack_testkit::sim::Random;

/// How turns are distributed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// One after the other.
    Turns,
    /// Everybody is as likely as anybody else.
    Uniform,
    /// The k-th most likely one is k times less likely than the first.
    Zipf,
}

/// A sequence of turns of so many, always the same.
#[derive(Clone, Debug)]
pub struct Picks {
    order: Order,
    count: u32,
    random: Random,
    last: u32,
    /// For each rank the shares of it and of all before it, in parts of 2^32.
    shares: Vec<u32>,
}

impl Picks {
    /// Turns of `0 .. count`.
    #[must_use]
    pub fn new(order: Order, count: u32) -> Self {
        let shares = match order {
            Order::Turns | Order::Uniform => Vec::new(),
            Order::Zipf => shares(count),
        };
        Self {
            order,
            count,
            random: Random::new(1),
            last: count - 1,
            shares,
        }
    }

    /// Turns of as many in another order.
    #[must_use]
    pub fn in_order(&self, order: Order) -> Self {
        Self::new(order, self.count)
    }

    /// Whose turn is next.
    pub fn turn(&mut self) -> u32 {
        self.last = match self.order {
            Order::Turns => (self.last + 1) % self.count,
            Order::Uniform => self.random.below(self.count),
            Order::Zipf => {
                let at = self.random.below(u32::MAX);
                let rank = self.shares.partition_point(|&share| share <= at);
                let rank = u32::try_from(rank).expect("32 bits").min(self.count - 1);
                // Neighbours in rank are no neighbours in memory.
                scattered(rank, self.count)
            }
        };
        self.last
    }
}

fn shares(count: u32) -> Vec<u32> {
    let total: f64 = (1..=count).map(|rank| 1.0 / f64::from(rank)).sum();
    let mut sum = 0.0;
    (1..=count)
        .map(|rank| {
            sum += 1.0 / f64::from(rank) / total;
            // At most one share.
            (sum * f64::from(u32::MAX)) as u32
        })
        .collect()
}

/// A place of its own for each rank: a step that has no divisor in common with `count`.
fn scattered(rank: u32, count: u32) -> u32 {
    const STEP: u64 = 2_654_435_761;
    let place = u64::from(rank) * STEP % u64::from(count);
    u32::try_from(place).expect("less than the count")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_rank_has_a_place_of_its_own() {
        for count in [1, 1_000, 100_000, 1_000_000] {
            let places: HashSet<u32> = (0..count).map(|rank| scattered(rank, count)).collect();
            assert_eq!(places.len(), usize::try_from(count).unwrap(), "{count}");
        }
    }

    #[test]
    fn the_first_ranks_have_their_share_of_the_turns() {
        let mut picks = Picks::new(Order::Zipf, 1_000);
        let mut turns = vec![0_u32; 1_000];
        for _ in 0..100_000 {
            turns[picks.turn() as usize] += 1;
        }
        // The sum of 1/k up to 1,000 is 7.485.
        for (rank, expected) in [(0, 13_360), (1, 6_680), (9, 1_336)] {
            let found = turns[scattered(rank, 1_000) as usize];
            assert!(found.abs_diff(expected) < expected / 5, "{rank}: {found}");
        }
    }
}
