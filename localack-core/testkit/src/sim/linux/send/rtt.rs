//! Round-trip times and the retransmission time-out (RFC 6298 as Linux does it), in microseconds.

use super::super::clock::{MILLISECOND, SECOND};

/// `TCP_RTO_MIN` and `TCP_RTO_MAX`, and the time-out before there is a sample.
pub(in super::super) const RTO_MIN: u64 = 200 * MILLISECOND;
pub(in super::super) const RTO_MAX: u64 = 120 * SECOND;
const RTO_INITIAL: u64 = SECOND;
/// How long the least round-trip time counts.
const MIN_WINDOW: u64 = 300 * SECOND;

/// The estimator.
#[derive(Clone, Debug)]
pub(in super::super) struct Rtt {
    srtt: Option<f64>,
    /// The smoothed mean deviation.
    mdev: f64,
    /// The largest deviation of this round trip.
    mdev_max: f64,
    rttvar: f64,
    /// When this is acknowledged a round trip is over.
    round_end: u64,
    min: Option<(u64, u64)>,
    backoff: u32,
}

impl Rtt {
    pub(in super::super) const fn new() -> Self {
        Self {
            srtt: None,
            mdev: 0.0,
            mdev_max: 0.0,
            rttvar: 0.0,
            round_end: 0,
            min: None,
            backoff: 0,
        }
    }

    /// Takes a sample at `now`; `una` and `nxt` tell when a round trip is over.
    pub(in super::super) fn sample(&mut self, rtt: u64, now: u64, una: u64, nxt: u64) {
        let rtt = rtt.max(1);
        if self
            .min
            .is_none_or(|(least, at)| rtt <= least || now > at + MIN_WINDOW)
        {
            self.min = Some((rtt, now));
        }
        let floor = RTO_MIN as f64;
        let sample = rtt as f64;
        let Some(srtt) = self.srtt else {
            self.srtt = Some(sample);
            // Deviations are kept four times as large as they are, as the time-out needs them.
            self.mdev = 2.0 * sample;
            self.rttvar = self.mdev.max(floor);
            self.mdev_max = self.rttvar;
            self.round_end = nxt;
            return;
        };
        let error = sample - srtt;
        self.srtt = Some(srtt + error / 8.0);
        let deviation = error.abs();
        // A round trip that is shorter than it was must not raise the time-out at once.
        let gain = if error < 0.0 && 4.0 * deviation > self.mdev {
            32.0
        } else {
            4.0
        };
        self.mdev += (4.0 * deviation - self.mdev) / gain;
        self.mdev_max = self.mdev_max.max(self.mdev);
        self.rttvar = self.rttvar.max(self.mdev_max);
        if una > self.round_end {
            if self.mdev_max < self.rttvar {
                self.rttvar -= (self.rttvar - self.mdev_max) / 4.0;
            }
            self.round_end = nxt;
            self.mdev_max = floor;
        }
    }

    /// The smoothed round-trip time, if there is one.
    pub(in super::super) fn smoothed(&self) -> Option<u64> {
        self.srtt.map(|srtt| srtt as u64)
    }

    /// The least round-trip time.
    pub(in super::super) fn least(&self) -> Option<u64> {
        self.min.map(|(least, _)| least)
    }

    /// The time-out without back-off.
    pub(in super::super) fn base(&self) -> u64 {
        match self.srtt {
            Some(srtt) => ((srtt + self.rttvar) as u64).min(RTO_MAX),
            None => RTO_INITIAL,
        }
    }

    /// The time-out.
    pub(in super::super) fn rto(&self) -> u64 {
        self.base()
            .saturating_mul(1 << self.backoff.min(20))
            .min(RTO_MAX)
    }

    /// Doubles the time-out (RFC 6298 section 5.5).
    pub(in super::super) const fn back_off(&mut self) {
        self.backoff += 1;
    }

    pub(in super::super) const fn recovered(&mut self) {
        self.backoff = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule's figures by hand: RFC 6298 with Linux's floor of 200 ms under 4 * RTTVAR.
    #[test]
    fn rfc6298_time_outs_by_hand() {
        let mut rtt = Rtt::new();
        assert_eq!((rtt.rto(), rtt.smoothed()), (1_000_000, None));
        rtt.sample(600_000, 0, 1, 1000);
        // SRTT 600 ms, RTTVAR 300 ms: 600 + 4 * 300.
        assert_eq!((rtt.smoothed(), rtt.rto()), (Some(600_000), 1_800_000));
        rtt.sample(640_000, 1, 500, 2000);
        // SRTT 605 ms; 4 * RTTVAR stays: the largest of the round trip counts.
        assert_eq!((rtt.smoothed(), rtt.rto()), (Some(605_000), 1_805_000));
        rtt.back_off();
        assert_eq!(rtt.rto(), 3_610_000);
        for _ in 0..20 {
            rtt.back_off();
        }
        assert_eq!(rtt.rto(), RTO_MAX);
        rtt.recovered();
        assert_eq!(rtt.rto(), 1_805_000);
        assert_eq!(rtt.least(), Some(600_000));
    }

    #[test]
    fn a_steady_path_ends_at_the_floor() {
        let mut rtt = Rtt::new();
        for round in 0..200 {
            rtt.sample(50_000, round * 50_000, round * 10 + 5, round * 10 + 10);
        }
        let rto = rtt.rto();
        assert!((250_000..251_000).contains(&rto), "{rto}");
        // One sample that is far too short does not raise it by much.
        rtt.sample(1000, 10_000_000, 0, 3000);
        assert!(rtt.rto() < 260_000, "{}", rtt.rto());
    }
}
