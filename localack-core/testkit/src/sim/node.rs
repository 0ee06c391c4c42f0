//! What can happen to packets.

use core::time::Duration;

use localack_core::Instant;

use super::path::Node;
use super::random::Random;

type Onward<'f> = &'f mut dyn FnMut(Instant, Vec<u8>);

/// A constant delay.
#[derive(Clone, Copy, Debug)]
pub struct Delay(pub Duration);

impl Node for Delay {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, onward: Onward<'_>) {
        onward(now.after(self.0), packet);
    }
}

/// A link of a certain rate with a queue before it that drops what does not fit (drop-tail).
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    bytes_per_second: u64,
    queue: u64,
    free_at: Instant,
}

impl Rate {
    /// A rate in octets per second, and a queue in octets.
    #[must_use]
    pub const fn new(bytes_per_second: u64, queue: u64) -> Self {
        Self {
            bytes_per_second,
            queue,
            free_at: Instant::ZERO,
        }
    }
}

impl Node for Rate {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, onward: Onward<'_>) {
        let waiting = self.free_at.since(now);
        let queued = waiting.as_micros() * u128::from(self.bytes_per_second) / 1_000_000;
        let length = packet.len() as u64;
        if queued + u128::from(length) > u128::from(self.queue.max(length)) {
            return;
        }
        let time = Duration::from_micros(length * 1_000_000 / self.bytes_per_second);
        self.free_at = self.free_at.latest(now).after(time);
        onward(self.free_at, packet);
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
    fn pass(&mut self, now: Instant, packet: Vec<u8>, onward: Onward<'_>) {
        if !self.random.chance(self.ppm) {
            onward(now, packet);
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
    fn pass(&mut self, now: Instant, packet: Vec<u8>, onward: Onward<'_>) {
        let mut at = now;
        if self.random.chance(self.ppm) {
            let most = u32::try_from(self.by.as_micros())
                .unwrap_or(u32::MAX)
                .max(1);
            at = now.after(Duration::from_micros(self.random.below(most).into()));
        }
        onward(at, packet);
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
    fn pass(&mut self, now: Instant, packet: Vec<u8>, onward: Onward<'_>) {
        if self.random.chance(self.ppm) {
            onward(now, packet.clone());
        }
        onward(now, packet);
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
    fn pass(&mut self, now: Instant, mut packet: Vec<u8>, onward: Onward<'_>) {
        if self.random.chance(self.ppm) && !packet.is_empty() {
            let at = self
                .random
                .below(u32::try_from(packet.len()).unwrap_or(u32::MAX))
                as usize;
            packet[at] ^= 1 << self.random.below(8);
        }
        onward(now, packet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Path;

    fn arrivals(path: &mut Path, sent: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Vec<(u64, u8)> {
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

    #[test]
    fn rate_serialises_and_its_queue_overflows() {
        // 1000 octets per ms; room for three packets of 1000.
        let mut path = Path::new()
            .then(Rate::new(1_000_000, 3000))
            .then(Delay(Duration::from_millis(5)));
        let sent = (0..5).map(|number| (0, vec![number; 1000]));
        assert_eq!(arrivals(&mut path, sent), [(6000, 0), (7000, 1), (8000, 2)]);
    }

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
        let count = |node: &mut dyn Node| {
            let mut out = Vec::new();
            for _ in 0..10_000 {
                node.pass(Instant::ZERO, vec![0; 10], &mut |_, packet| {
                    out.push(packet);
                });
            }
            (
                out.len(),
                out.iter()
                    .filter(|packet| packet.iter().any(|&o| o != 0))
                    .count(),
            )
        };
        let random = Random::new(5);
        let (left, _) = count(&mut Loss {
            ppm: 100_000,
            random: random.clone(),
        });
        assert!((8_700..9_300).contains(&left), "{left}");
        let (left, _) = count(&mut Duplicate {
            ppm: 100_000,
            random: random.clone(),
        });
        assert!((10_700..11_300).contains(&left), "{left}");
        let (left, changed) = count(&mut Corrupt {
            ppm: 100_000,
            random,
        });
        assert!(
            left == 10_000 && (700..1_300).contains(&changed),
            "{changed}"
        );
    }
}
