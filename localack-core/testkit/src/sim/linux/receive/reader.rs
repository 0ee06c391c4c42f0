//! The application that reads.

use localack_core::Instant;

use super::super::clock::{SECOND, after, since};
use super::super::position::FIRST_OCTET;
use super::Receiver;

/// How often a slow application reads, in microseconds.
const READ_EVERY: u64 = 10_000;

/// How the application reads.
#[derive(Clone, Debug)]
pub(in super::super) struct Reader {
    /// The position up to which it has read.
    pub(super) read: u64,
    /// Octets a second; `None`: at once.
    pub(in super::super) rate: Option<u64>,
    pub(in super::super) paused: bool,
    /// Since when it has been reading what it will take next.
    since: Instant,
}

impl Reader {
    pub(super) const fn new() -> Self {
        Self {
            read: FIRST_OCTET,
            rate: None,
            paused: false,
            since: Instant::ZERO,
        }
    }

    /// Octets that a slow application takes in one read.
    fn portion(rate: u64) -> u64 {
        (rate * READ_EVERY / SECOND).max(1)
    }
}

impl Receiver {
    /// Lets the application read what it may have by now. True if the peer should be told.
    pub(in super::super) fn read(&mut self, now: Instant) -> bool {
        let end = FIRST_OCTET + self.octets();
        let available = end - self.reader.read;
        if available == 0 || self.reader.paused {
            self.reader.since = now;
            return false;
        }
        let taken = match self.reader.rate {
            None => available,
            Some(rate) => {
                let due = since(now, self.reader.since).saturating_mul(rate) / SECOND;
                let taken = due.min(available);
                if taken < Reader::portion(rate).min(available) {
                    return false;
                }
                self.reader.since = now;
                taken
            }
        };
        self.reader.read += taken;
        self.window.adjust(now, self.reader.read);
        let left = self.window.left(self.rcv_nxt);
        if 2 * left > self.window.limit() {
            return false;
        }
        let possible = self.window.possible(self.held(), self.acks.peer_mss);
        possible > 0 && possible >= 2 * left
    }

    /// When the application reads next.
    pub(in super::super) fn next_read(&self) -> Option<Instant> {
        let rate = self.reader.rate?;
        let end = FIRST_OCTET + self.octets();
        let available = end - self.reader.read;
        if available == 0 || self.reader.paused {
            return None;
        }
        let octets = Reader::portion(rate).min(available);
        Some(after(
            self.reader.since,
            (octets * SECOND).div_ceil(rate.max(1)),
        ))
    }
}
