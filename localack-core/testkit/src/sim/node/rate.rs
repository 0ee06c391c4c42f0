//! Links of a certain rate with a drop-tail queue.

use core::time::Duration;

use localack_core::Instant;

use crate::sim::path::{Exits, Node};

const NANOS: u128 = 1_000_000_000;

/// What puts packets on a wire, one after the other.
///
/// Times are kept in nanoseconds: at 10 Gbit/s a packet takes little more than one microsecond.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transmitter {
    bytes_per_second: u64,
    free_at: u128,
}

impl Transmitter {
    pub(super) const fn new(bytes_per_second: u64) -> Self {
        assert!(bytes_per_second > 0, "a link without a rate");
        Self {
            bytes_per_second,
            free_at: 0,
        }
    }

    /// Octets that were given to it and have not left by `now`.
    fn backlog(&self, now: Instant) -> u128 {
        let waiting = self.free_at.saturating_sub(nanos(now));
        waiting * u128::from(self.bytes_per_second) / NANOS
    }

    /// When it is free for another packet.
    pub(super) fn free_at(&self) -> Instant {
        let micros = self.free_at.div_ceil(1000);
        Instant::from_micros(u64::try_from(micros).expect("virtual time is short"))
    }

    /// Sends `length` octets after all it was given; answers when the last of them has left.
    pub(super) fn send(&mut self, now: Instant, length: usize) -> Instant {
        self.free_at = self.free_at.max(nanos(now));
        self.continue_with(length)
    }

    /// The same for a packet that was already waiting, which loses nothing to rounding.
    pub(super) fn continue_with(&mut self, length: usize) -> Instant {
        self.free_at += length as u128 * NANOS / u128::from(self.bytes_per_second);
        self.free_at()
    }
}

fn nanos(at: Instant) -> u128 {
    u128::from(at.as_micros()) * 1000
}

/// A link of a certain rate with a queue before it that drops what does not fit (drop-tail).
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    transmitter: Transmitter,
    queue: u64,
}

impl Rate {
    /// A rate in octets per second, and a queue in octets, which also holds the packet that is being
    /// sent. One packet always fits.
    ///
    /// # Panics
    /// If the rate is zero.
    #[must_use]
    pub const fn new(bytes_per_second: u64, queue: u64) -> Self {
        Self {
            transmitter: Transmitter::new(bytes_per_second),
            queue,
        }
    }

    /// A queue that holds as much as the link sends in `time`.
    ///
    /// # Panics
    /// If the rate is zero.
    #[must_use]
    pub fn with_queue_of(bytes_per_second: u64, time: Duration) -> Self {
        let octets = u128::from(bytes_per_second) * time.as_nanos() / NANOS;
        Self::new(bytes_per_second, u64::try_from(octets).unwrap_or(u64::MAX))
    }
}

impl Node for Rate {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        let length = packet.len() as u64;
        let full = self.transmitter.backlog(now) + u128::from(length) > u128::from(self.queue);
        if !full || self.transmitter.free_at() <= now {
            exits.onward(self.transmitter.send(now, packet.len()), packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Path;
    use crate::sim::node::{Delay, arrivals};

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
    fn a_queue_in_time_holds_what_the_link_sends_in_it() {
        let mut path = Path::new().then(Rate::with_queue_of(1_000_000, Duration::from_millis(2)));
        let sent = (0..5).map(|number| (0, vec![number; 1000]));
        assert_eq!(arrivals(&mut path, sent), [(1000, 0), (2000, 1)]);
    }

    #[test]
    fn a_packet_larger_than_the_queue_passes_an_idle_link() {
        let mut path = Path::new().then(Rate::new(1_000_000, 100));
        let sent = [
            (0, vec![0; 1000]),
            (500, vec![1; 1000]),
            (1000, vec![2; 1000]),
        ];
        assert_eq!(arrivals(&mut path, sent), [(1000, 0), (2000, 2)]);
    }

    #[test]
    fn fractions_of_a_microsecond_add_up() {
        // 10 Gbit/s: 1.2 us for each packet.
        let mut path = Path::new().then(Rate::new(1_250_000_000, 1 << 20));
        let sent = (0..100).map(|number| (0, vec![number; 1500]));
        assert_eq!(arrivals(&mut path, sent).last(), Some(&(120, 99)));
    }
}
