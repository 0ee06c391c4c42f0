//! Reno (RFC 5681) with byte counting (RFC 3465).

use super::window::{CongestionWindow, WINDOW_LIMIT};
use super::words::Words;

/// What only Reno keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Reno {
    /// Octets acknowledged since the window last grew by a segment, in congestion avoidance.
    acked: u32,
}

impl Reno {
    pub(super) const fn load(words: &Words) -> Self {
        let [acked, ..] = *words;
        Self { acked }
    }

    pub(super) const fn store(self, words: &mut Words) {
        let [acked, ..] = words;
        *acked = self.acked;
    }

    /// Grows the window for an acknowledgement of `octets`.
    ///
    /// Octets are counted, not acknowledgements, so that a receiver that divides its ACKs gains
    /// nothing (RFC 3465, rule H12.1).
    pub(super) fn on_ack(&mut self, window: &mut CongestionWindow, octets: u32) {
        if window.in_slow_start() {
            window.grow(window.slow_start_step(octets));
            return;
        }
        // One segment for each window of octets acknowledged (RFC 3465 section 2.1); what one ACK
        // acknowledges beyond a window is not saved up.
        self.acked = self.acked.saturating_add(octets);
        if let Some(rest) = self.acked.checked_sub(window.cwnd) {
            self.acked = rest.min(window.cwnd);
            window.grow(window.segment());
        }
    }

    /// A reduction: the new slow-start threshold, half of what is in flight but at least two
    /// segments (RFC 5681 equation 4).
    pub(super) fn on_reduction(&mut self, window: &CongestionWindow, in_flight: u32) -> u32 {
        self.acked = 0;
        (in_flight >> 1)
            .max(window.segment().saturating_mul(2))
            .min(WINDOW_LIMIT)
    }
}
