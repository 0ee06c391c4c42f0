//! What can happen to packets.

mod burst;
mod codel;
mod mtu;
mod outage;
mod rate;

use core::time::Duration;

use localack_core::Instant;

pub use burst::BurstLoss;
pub use codel::{CoDel, CoDelSettings};
pub use mtu::Mtu;
pub use outage::Outage;
pub use rate::Rate;

use super::path::{Exits, Node};
use super::random::Random;

/// A constant delay.
#[derive(Clone, Copy, Debug)]
pub struct Delay(pub Duration);

impl Node for Delay {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        exits.onward(now.after(self.0), packet);
    }
}

/// Independent loss.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Probability in parts per million.
    pub ppm: u32,
    /// Where it draws from.
    pub random: Random,
}

impl Node for Loss {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        if !self.random.chance(self.ppm) {
            exits.onward(now, packet);
        }
    }
}

/// Some packets are held back, so that later ones overtake them.
#[derive(Clone, Debug)]
pub struct Reorder {
    /// Probability in parts per million.
    pub ppm: u32,
    /// The longest time a packet is held back.
    pub by: Duration,
    /// Where it draws from.
    pub random: Random,
}

impl Node for Reorder {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        let mut at = now;
        if self.random.chance(self.ppm) {
            let most = u32::try_from(self.by.as_micros())
                .unwrap_or(u32::MAX)
                .max(1);
            at = now.after(Duration::from_micros(self.random.below(most).into()));
        }
        exits.onward(at, packet);
    }
}

/// Some packets arrive twice.
#[derive(Clone, Debug)]
pub struct Duplicate {
    /// Probability in parts per million.
    pub ppm: u32,
    /// Where it draws from.
    pub random: Random,
}

impl Node for Duplicate {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        if self.random.chance(self.ppm) {
            exits.onward(now, packet.clone());
        }
        exits.onward(now, packet);
    }
}

/// Some packets have one bit flipped.
#[derive(Clone, Debug)]
pub struct Corrupt {
    /// Probability in parts per million.
    pub ppm: u32,
    /// Where it draws from.
    pub random: Random,
}

impl Node for Corrupt {
    fn pass(&mut self, now: Instant, mut packet: Vec<u8>, exits: &mut Exits<'_>) {
        if self.random.chance(self.ppm) && !packet.is_empty() {
            let at = self
                .random
                .below(u32::try_from(packet.len()).unwrap_or(u32::MAX))
                as usize;
            packet[at] ^= 1 << self.random.below(8);
        }
        exits.onward(now, packet);
    }
}

/// Sends packets at their times, and answers when each arrived and with which first octet.
#[cfg(test)]
fn arrivals(
    path: &mut super::Path,
    sent: impl IntoIterator<Item = (u64, Vec<u8>)>,
) -> Vec<(u64, u8)> {
    for (at, packet) in sent {
        path.send(Instant::from_micros(at), packet);
    }
    let mut all = Vec::new();
    while let Some(at) = path.next_at() {
        while let Some(packet) = path.receive(at) {
            all.push((at.as_micros(), packet[0]));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Path;

    #[test]
    fn a_queue_after_a_reordering_sees_packets_in_their_new_order() {
        let hold = Reorder {
            ppm: 500_000,
            by: Duration::from_millis(10),
            random: Random::new(3),
        };
        let mut path = Path::new().then(hold).then(Rate::new(1_000_000, 1 << 20));
        let all = arrivals(
            &mut path,
            (0..50).map(|number| (u64::from(number) * 100, vec![number; 100])),
        );
        assert_eq!(all.len(), 50);
        assert!(
            all.windows(2).all(|pair| pair[1].0 >= pair[0].0 + 100),
            "overlapping transmissions"
        );
        assert!(
            all.windows(2).any(|pair| pair[1].1 < pair[0].1),
            "nothing was reordered"
        );
    }

    #[test]
    fn loss_duplication_and_corruption_do_what_they_say() {
        let count = |node: Box<dyn FnOnce(Path) -> Path>| {
            let mut path = node(Path::new());
            for _ in 0..10_000 {
                path.send(Instant::ZERO, vec![0; 10]);
            }
            let all: Vec<_> = core::iter::from_fn(|| path.receive(Instant::ZERO)).collect();
            let changed = all.iter().filter(|packet| packet.iter().any(|&o| o != 0));
            (all.len(), changed.count())
        };
        let (ppm, random) = (100_000, Random::new(5));
        let draw = random.clone();
        let (left, _) = count(Box::new(move |path| path.then(Loss { ppm, random: draw })));
        assert!((8_700..9_300).contains(&left), "{left}");
        let draw = random.clone();
        let (left, _) = count(Box::new(move |path| {
            path.then(Duplicate { ppm, random: draw })
        }));
        assert!((10_700..11_300).contains(&left), "{left}");
        let (left, changed) = count(Box::new(move |path| path.then(Corrupt { ppm, random })));
        assert!(
            left == 10_000 && (700..1_300).contains(&changed),
            "{changed}"
        );
    }
}
