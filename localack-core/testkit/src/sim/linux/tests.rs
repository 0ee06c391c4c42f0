//! Two hosts on a network in virtual time.

use core::time::Duration;

use super::*;
use crate::sim::{
    Corrupt, Delay, Duplicate, Links, Loss, Middle, Path, Random, Rate, Reorder, Wire, World, seeds,
};

mod bench;
mod goodput;
mod listening;
mod others;
mod reading;
mod receiving;
mod scripted;
mod sending;
mod strict;
mod transfer;

const MEBIBYTE: u64 = 1 << 20;

/// What the network is like, each way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Net {
    /// The round trip in milliseconds, and the rate in megabits a second.
    rtt: u64,
    rate: u64,
    /// Parts per million.
    loss: u32,
    reorder: u32,
    duplicate: u32,
    corrupt: u32,
    seed: u64,
}

pub(super) const CLEAN: Net = Net {
    rtt: 50,
    rate: 20,
    loss: 0,
    reorder: 0,
    duplicate: 0,
    corrupt: 0,
    seed: 1,
};

impl Net {
    /// Whether it does more than lose packets.
    const fn harms(&self) -> bool {
        self.reorder > 0 || self.duplicate > 0 || self.corrupt > 0
    }

    /// Octets that the network carries in a round trip.
    const fn product(&self) -> u64 {
        self.rtt * self.rate * 125
    }

    fn path(&self, random: &mut Random) -> Path {
        let queue = self.product().max(64 * 1024);
        Path::new()
            .then(Rate::new(self.rate * 125_000, queue))
            .then(Loss {
                ppm: self.loss,
                random: random.fork(),
            })
            .then(Duplicate {
                ppm: self.duplicate,
                random: random.fork(),
            })
            .then(Corrupt {
                ppm: self.corrupt,
                random: random.fork(),
            })
            .then(Delay(Duration::from_micros(self.rtt * 500)))
            .then(Reorder {
                ppm: self.reorder,
                by: Duration::from_micros(self.rtt * 500),
                random: random.fork(),
            })
    }

    /// A world in which `middle` stands right beside the inner host.
    fn world<M: Middle>(
        &self,
        [inner, outer]: [LinuxHost; 2],
        middle: M,
    ) -> World<LinuxHost, LinuxHost, M> {
        let mut random = Random::new(self.seed);
        let links = Links {
            outer_up: self.path(&mut random),
            outer_down: self.path(&mut random),
            ..Links::default()
        };
        World::new(inner, outer, middle, links)
    }

    fn bare(&self, hosts: [LinuxHost; 2]) -> World<LinuxHost, LinuxHost, Wire> {
        self.world(hosts, Wire)
    }
}

/// A pair of hosts that have not begun: the inner one connects.
fn pair(config: &LinuxConfig) -> [LinuxHost; 2] {
    [
        LinuxHost::connect(config.clone()),
        LinuxHost::listen(config.mirrored()),
    ]
}

/// No fault, or none that the network does not explain.
fn blameless<M>(world: &World<LinuxHost, LinuxHost, M>, bad_network: bool) {
    for host in [&world.inner, &world.outer] {
        if bad_network {
            assert_eq!(host.grave_fault(), None);
        } else {
            assert_eq!(host.faults().first(), None);
        }
    }
}
