//! CUBIC (RFC 9438).

use super::window::{CongestionWindow, WINDOW_LIMIT};
use super::words::Words;
use super::{Ack, SentNow};
use crate::time::Instant;

/// What only CUBIC keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Cubic {
    acked: u32,
}

impl Cubic {
    pub(super) const fn load(words: &Words) -> Self {
        let [acked, ..] = *words;
        Self { acked }
    }

    pub(super) const fn store(self, words: &mut Words) {
        let [acked, ..] = words;
        *acked = self.acked;
    }

    /// Segments were handed to the path: an idle time is not part of the curve.
    pub(super) fn on_sent(&mut self, _window: &CongestionWindow, _sent: &SentNow) {}

    /// Follows the rounds of slow start; called for every acknowledgement, also in recovery.
    pub(super) fn on_round(&mut self, _window: &mut CongestionWindow, _ack: &Ack) {}

    /// Grows the window.
    pub(super) fn on_ack(&mut self, window: &mut CongestionWindow, ack: &Ack) {
        if window.in_slow_start() {
            window.grow(window.slow_start_step(ack.acked));
        }
    }

    /// A reduction: the new slow-start threshold.
    pub(super) fn on_reduction(
        &mut self,
        window: &CongestionWindow,
        _now: Instant,
        in_flight: u32,
    ) -> u32 {
        (in_flight >> 1)
            .max(window.segment().saturating_mul(2))
            .min(WINDOW_LIMIT)
    }

    /// The last reduction was needless.
    pub(super) fn on_spurious(&mut self) {}
}
