//! BBR version 3 (draft-ietf-ccwg-bbr).

use super::window::CongestionWindow;
use super::words::Words;
use super::{Ack, LostNow, SentNow, Start};
use crate::time::Instant;

/// What only BBR keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Bbr {
    rate: u32,
}

impl Bbr {
    pub(super) const fn load(words: &Words) -> Self {
        let [rate, ..] = *words;
        Self { rate }
    }

    pub(super) const fn store(self, words: &mut Words) {
        let [rate, ..] = words;
        *rate = self.rate;
    }

    /// Begins with the window as it is.
    pub(super) fn begin(_window: &mut CongestionWindow, _start: &Start) -> Self {
        Self::default()
    }

    /// Segments were handed to the path.
    pub(super) fn on_sent(&mut self, _window: &mut CongestionWindow, _sent: &SentNow) {}

    /// An acknowledgement brought news.
    pub(super) fn on_ack(&mut self, window: &mut CongestionWindow, ack: &Ack) {
        window.grow(ack.acked);
    }

    /// Octets were found lost.
    pub(super) fn on_lost(&mut self, _window: &mut CongestionWindow, _lost: &LostNow) {}

    /// Loss recovery begins.
    pub(super) fn on_recovery(
        &mut self,
        _window: &mut CongestionWindow,
        _now: Instant,
        _in_flight: u32,
    ) {
    }

    /// Loss recovery ends.
    pub(super) fn on_recovery_exit(&mut self, _window: &mut CongestionWindow) {}

    /// The retransmission timer expired; the caller sets the loss window of one segment.
    pub(super) fn on_timeout(
        &mut self,
        _window: &mut CongestionWindow,
        _now: Instant,
        _in_flight: u32,
    ) {
    }

    /// The last recovery was needless.
    pub(super) fn on_spurious(&mut self, _window: &mut CongestionWindow) {}

    /// Octets per second at which segments may leave.
    pub(super) const fn pacing_rate(&self) -> Option<u32> {
        Some(self.rate)
    }
}
