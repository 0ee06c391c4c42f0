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

#[cfg(test)]
mod tests {
    use super::*;

    /// Acknowledges a window each round trip of 100 ms for `seconds`; answers the windows.
    fn run(cubic: &mut Cubic, mut cwnd: f64, from: u64, seconds: u64) -> Vec<f64> {
        let mut windows = Vec::new();
        for round in 0..seconds * 10 {
            for part in 0..10 {
                let now = Instant::from_millis(from + round * 100 + part * 10);
                cwnd += cubic.step(now, 100_000, cwnd, cwnd / 10.0);
            }
            windows.push(cwnd);
        }
        windows
    }

    /// Section 4.2: W(t) = C (t - K)^3 + W_max, K = cbrt((W_max - cwnd) / C).
    #[test]
    fn rfc9438_4_2_the_window_follows_the_curve() {
        let mut cubic = Cubic::default();
        assert_eq!(cubic.reduce(1000.0), 700.0);
        let windows = run(&mut cubic, 700.0, 5000, 16);
        let k = (300.0_f64 / 0.4).cbrt();
        assert!((9.0..9.1).contains(&k));
        for (round, window) in windows.into_iter().enumerate().skip(5) {
            // The window aims at where the curve is a round trip ahead.
            let t = (round as f64 + 1.0) / 10.0;
            let low = 0.4 * (t - 0.15 - k).powi(3) + 1000.0;
            let high = 0.4 * (t + 0.15 - k).powi(3) + 1000.0;
            assert!(
                (low - 2.0..high + 2.0).contains(&window),
                "{t} s: {window} {low} {high}"
            );
        }
    }

    #[test]
    fn rfc9438_4_3_small_windows_grow_as_those_of_reno() {
        let mut cubic = Cubic::default();
        let cwnd = cubic.reduce(20.0);
        assert_eq!(cwnd, 14.0);
        let windows = run(&mut cubic, cwnd, 0, 2);
        // 0.53 segments each round trip up to 20, then one.
        let reached = windows.iter().position(|&window| window >= 20.0).unwrap();
        assert!((9..=13).contains(&reached), "{reached}");
        let last = windows[windows.len() - 1];
        let expected = 20.0 + (windows.len() - 1 - reached) as f64;
        assert!((last - expected).abs() < 1.5, "{last} {expected}");
    }

    #[test]
    fn rfc9438_4_7_a_second_loss_below_the_old_maximum_leaves_room() {
        let mut cubic = Cubic::default();
        cubic.reduce(1000.0);
        cubic.reduce(800.0);
        assert_eq!(cubic.w_max, 680.0);
        cubic.reduce(900.0);
        assert_eq!(cubic.w_max, 900.0);
    }

    #[test]
    fn rfc9438_4_2_time_without_data_does_not_count() {
        let mut still = Cubic::default();
        still.reduce(1000.0);
        let mut idle = still.clone();
        let before = run(&mut still, 700.0, 0, 2);
        run(&mut idle, 700.0, 0, 1);
        idle.idle(60_000_000);
        let after = run(&mut idle, before[9], 61_000, 1);
        assert!(
            (after[9] - before[19]).abs() < 1.0,
            "{} {}",
            after[9],
            before[19]
        );
    }
}
