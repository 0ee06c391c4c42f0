//! How the congestion window grows and shrinks.

mod classic;
mod cubic;
mod hystart;

use localack_core::Instant;

use super::config::{LinuxConfig, LinuxCongestion};
use classic::Classic;
use cubic::Cubic;
use hystart::HyStart;

/// No slow-start threshold yet.
pub(super) const INFINITE: u32 = u32::MAX;

/// What an acknowledgement brings to congestion control.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    pub(super) now: Instant,
    /// Segments that were newly delivered.
    pub(super) delivered: u32,
    /// The smoothed round-trip time, in microseconds.
    pub(super) srtt: u64,
    /// The sample that this acknowledgement brought.
    pub(super) sample: Option<u64>,
    /// Positions: what is acknowledged, and what was sent.
    pub(super) una: u64,
    pub(super) nxt: u64,
}

/// The window, in segments, and what moves it.
#[derive(Clone, Debug)]
pub(super) struct Congestion {
    pub(super) cwnd: u32,
    pub(super) ssthresh: u32,
    /// The part of a segment by which the window is larger than `cwnd`, 0 .. 1.
    fraction: f64,
    /// `None`: Reno.
    cubic: Option<Cubic>,
    /// As it was before the last reduction, for the case that it was not called for.
    before: Option<Cubic>,
    hystart: Option<HyStart>,
    classic: Option<Classic>,
}

impl Congestion {
    pub(super) fn new(config: &LinuxConfig) -> Self {
        Self {
            cwnd: config.initial_window_segments.max(1),
            ssthresh: INFINITE,
            fraction: 0.0,
            cubic: match config.congestion {
                LinuxCongestion::Cubic => Some(Cubic::default()),
                LinuxCongestion::Reno => None,
            },
            before: None,
            hystart: config.hystart.then(|| HyStart::new(config.paced)),
            classic: config.classic_hystart.then(|| Classic::new(config.paced)),
        }
    }

    pub(super) const fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// Sets the window, in whole segments.
    pub(super) const fn set(&mut self, cwnd: u32) {
        self.cwnd = if cwnd == 0 { 1 } else { cwnd };
        self.fraction = 0.0;
    }

    /// Grows the window for delivered segments (RFC 5681 section 3.1, RFC 9438 section 4).
    pub(super) fn grow(&mut self, growth: Growth) {
        let mut delivered = growth.delivered;
        if self.in_slow_start()
            && let Some(classic) = &mut self.classic
            && classic.ends_slow_start(&growth, self.cwnd)
        {
            self.ssthresh = self.cwnd;
        }
        if self.in_slow_start() {
            let rate = match &mut self.hystart {
                Some(hystart) => {
                    if hystart.ends_slow_start(&growth) {
                        self.ssthresh = self.cwnd;
                        return;
                    }
                    delivered = delivered.min(hystart.limit());
                    hystart.divisor()
                }
                None => 1,
            };
            let room = self.ssthresh - self.cwnd;
            let step = f64::from(delivered) / f64::from(rate);
            if step < f64::from(room) {
                self.add(step);
                return;
            }
            self.set(self.ssthresh);
            delivered = delivered.saturating_sub(room.saturating_mul(rate));
        }
        if delivered == 0 {
            return;
        }
        let cwnd = f64::from(self.cwnd) + self.fraction;
        let step = match &mut self.cubic {
            Some(cubic) => cubic.step(growth.now, growth.srtt, cwnd, f64::from(delivered)),
            None => f64::from(delivered) / cwnd,
        };
        self.add(step);
    }

    fn add(&mut self, step: f64) {
        let sum = f64::from(self.cwnd) + self.fraction + step;
        // Far below 2^32: windows are bounded by 2^30 octets.
        self.cwnd = sum.floor() as u32;
        self.fraction = sum.fract();
    }

    /// The threshold after a loss; what it was based on can be restored by [`Self::restore`].
    pub(super) fn reduce(&mut self) {
        self.before = self.cubic.clone();
        let cwnd = f64::from(self.cwnd);
        let threshold = match &mut self.cubic {
            Some(cubic) => cubic.reduce(cwnd),
            None => cwnd / 2.0,
        };
        self.ssthresh = (threshold as u32).max(2);
    }

    /// The last reduction was not called for: growth goes on where it was (RFC 9438 section 4.9).
    pub(super) fn restore(&mut self) {
        if let Some(before) = self.before.take() {
            self.cubic = Some(before);
        }
    }

    /// Nothing was in flight for `micros`: that time does not count (RFC 9438 section 4.2).
    pub(super) fn idle(&mut self, micros: u64) {
        if let Some(cubic) = &mut self.cubic {
            cubic.idle(micros);
        }
    }
}
