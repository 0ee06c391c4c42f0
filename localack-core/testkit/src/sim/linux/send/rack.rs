//! Loss detection by time (RFC 8985), and by counting where there is no SACK.

use localack_core::Instant;

use super::super::clock::{after, since};
use super::flight::Sent;
use super::{Phase, Sender};

/// Recoveries for which a wider reordering window lasts.
const PERSIST: u32 = 16;
/// Most quarters of the least round-trip time that the window may be.
const MOST_STEPS: u64 = 255;

/// State of RACK.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rack {
    /// The most recently sent segment of those that were delivered: when, its end, its round trip.
    at: Instant,
    end: u64,
    pub(super) rtt: u64,
    pub(super) advanced: bool,
    /// Quarters of the least round-trip time that are waited, while there is reordering.
    steps: u64,
    persist: u32,
    /// Once a round trip is enough.
    dsack_round: u64,
}

impl Default for Rack {
    fn default() -> Self {
        Self {
            at: Instant::ZERO,
            end: 0,
            rtt: 0,
            advanced: false,
            steps: 1,
            persist: 0,
            dsack_round: 0,
        }
    }
}

impl Sender {
    /// A segment was delivered (RFC 8985 section 6.2, step 2).
    pub(super) fn rack_delivered(&mut self, now: Instant, sent: &Sent) {
        let rtt = since(now, sent.at);
        if sent.again && self.rtt.least().is_some_and(|least| rtt < least) {
            return; // The original, more likely.
        }
        self.rack.rtt = rtt;
        if (sent.at, sent.end) > (self.rack.at, self.rack.end) {
            self.rack.at = sent.at;
            self.rack.end = sent.end;
        }
        self.rack.advanced = true;
    }

    /// A D-SACK widens the reordering window for a while (step 4).
    pub(super) fn rack_dsack(&mut self) {
        if self.una < self.rack.dsack_round {
            return;
        }
        self.rack.dsack_round = self.nxt;
        self.rack.steps = (self.rack.steps + 1).min(MOST_STEPS);
        self.rack.persist = PERSIST;
    }

    /// A recovery is over.
    pub(super) const fn rack_recovered(&mut self) {
        self.rack.persist = self.rack.persist.saturating_sub(1);
        if self.rack.persist == 0 {
            self.rack.steps = 1;
        }
    }

    /// How long a segment may be overtaken.
    fn reordering_window(&self) -> u64 {
        if !self.reordering_seen
            && (self.phase >= Phase::Recovery || self.flight.sacked() >= self.reordering)
        {
            return 0;
        }
        let least = self.rtt.least().unwrap_or(0);
        let smoothed = self.rtt.smoothed().unwrap_or(0);
        (least / 4 * self.rack.steps).min(smoothed)
    }

    /// Time until `sent` counts as lost; zero if it does.
    fn rack_remaining(&self, now: Instant, sent: &Sent) -> u64 {
        (self.rack.rtt + self.reordering_window()).saturating_sub(since(now, sent.at))
    }

    /// Marks what is lost by now (step 5); answers how many segments.
    pub(super) fn rack_detect(&mut self, now: Instant) -> u32 {
        self.timers.reorder = None;
        self.rack.advanced = false;
        let mut marked = 0;
        while let Some((number, sent)) = self.flight.oldest(self.rack.at, self.rack.end) {
            let remaining = self.rack_remaining(now, &sent);
            if remaining > 0 {
                self.timers.reorder = Some(after(now, remaining));
                break;
            }
            let resent = self.flight.resent();
            if !self.flight.mark_lost(number) {
                break;
            }
            self.lost_again |= self.flight.resent() < resent;
            marked += 1;
        }
        marked
    }

    /// Marks what is lost after an acknowledgement; answers how many segments.
    pub(super) fn detect_losses(&mut self, now: Instant, una_advanced: bool) -> u32 {
        if self.flight.is_empty() {
            return 0;
        }
        if self.sack {
            return if self.rack.advanced {
                self.rack_detect(now)
            } else {
                0
            };
        }
        // RFC 5681 section 3.2 and RFC 6582: the head, after three duplicates or in recovery.
        let head = self
            .flight
            .last_number()
            .map(|last| last + 1 - u64::from(self.flight.len()));
        let begins = self.phase < Phase::Recovery && self.flight.sacked() >= self.reordering;
        if begins || (self.phase >= Phase::Recovery && una_advanced) {
            return u32::from(head.is_some_and(|head| self.flight.mark_lost(head)));
        }
        0
    }

    /// A segment was delivered out of order, `below` the highest one: remember how far.
    pub(super) fn saw_reordering(&mut self, below: u64, highest: u64) {
        let distance = highest
            .saturating_sub(below)
            .div_ceil(u64::from(self.mss.max(1)));
        let distance = u32::try_from(distance).unwrap_or(300).min(300);
        self.reordering = self.reordering.max(distance);
        self.reordering_seen = true;
    }
}
