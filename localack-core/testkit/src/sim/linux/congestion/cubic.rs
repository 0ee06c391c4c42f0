//! CUBIC (RFC 9438), in segments and seconds.

use localack_core::Instant;

use super::super::clock::{after, since};

/// The constant C, in segments per second cubed (section 4.6).
const C: f64 = 0.4;
/// The factor by which a loss reduces the window (section 4.6).
pub(super) const BETA: f64 = 0.7;

/// State of the window's curve.
#[derive(Clone, Debug, Default)]
pub(super) struct Cubic {
    /// The window just before the last reduction, less if it was smaller than the one before.
    w_max: f64,
    /// Seconds from the epoch until the curve is back at `w_max`.
    k: f64,
    /// When this stage of congestion avoidance began.
    epoch: Option<Instant>,
    /// What Reno would have by now.
    w_est: f64,
    /// The window at the last reduction.
    prior: f64,
}

impl Cubic {
    /// Section 4.6, with fast convergence (4.7); answers the threshold.
    pub(super) fn reduce(&mut self, cwnd: f64) -> f64 {
        self.w_max = if cwnd < self.w_max {
            cwnd * (1.0 + BETA) / 2.0
        } else {
            cwnd
        };
        self.prior = cwnd;
        self.epoch = None;
        cwnd * BETA
    }

    /// By how much the window grows for `acked` segments (sections 4.2 to 4.5).
    pub(super) fn step(&mut self, now: Instant, srtt: u64, cwnd: f64, acked: f64) -> f64 {
        let epoch = *self.epoch.get_or_insert_with(|| {
            self.w_est = cwnd;
            if cwnd < self.w_max {
                self.k = ((self.w_max - cwnd) / C).cbrt();
            } else {
                self.k = 0.0;
                self.w_max = cwnd;
            }
            now
        });
        let t = seconds(since(now, epoch));
        let curve = |t: f64| C * (t - self.k).powi(3) + self.w_max;
        let alpha = if self.w_est < self.prior {
            3.0 * (1.0 - BETA) / (1.0 + BETA)
        } else {
            1.0
        };
        self.w_est += alpha * acked / cwnd;
        if curve(t) < self.w_est {
            return (self.w_est - cwnd).max(0.0);
        }
        let target = curve(t + seconds(srtt)).clamp(cwnd, 1.5 * cwnd);
        (target - cwnd) / cwnd * acked
    }

    /// Moves the curve by time in which nothing was sent.
    pub(super) fn idle(&mut self, micros: u64) {
        self.epoch = self.epoch.map(|epoch| after(epoch, micros));
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
