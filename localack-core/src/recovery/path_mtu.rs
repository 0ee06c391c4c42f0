//! Which size of segment a path carries: smaller when large ones vanish, and larger again when that
//! is safe to try (RFC 4821, RFC 8899, RFC 1191 section 6.3).

use crate::time::Instant;

/// How long a size that a path does not carry is not tried again (RFC 1191 section 6.3).
const PATIENCE_S: u64 = 600;
/// Seconds in a unit of time.
const UNIT_S: u64 = 8;
/// Octets that a larger size must gain to be worth a probe.
const GRAIN: u16 = 32;

/// What is being done about the size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// It is as large as it can be.
    Settled,
    /// It was made smaller because larger segments seem to vanish; nothing has got through since.
    Shrunk,
    /// A larger one is to be tried.
    Searching,
    /// A segment of a larger size is on its way.
    Probing,
    /// Larger ones do not get through; for some time none is tried.
    Waiting,
}

/// The search for the largest size that a path carries. Plain old data.
///
/// It goes down from the largest size that both hosts allow: each probe that fails halves the
/// distance of the next one from the size that works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct PathMtu {
    /// The phase in the lower half; in the upper, how often the distance was halved, or how often
    /// nothing was heard of a smaller size.
    state: u8,
    /// Since when it waits, in units of time modulo 2^8. What wraps meanwhile waits a little longer.
    since: u8,
}

impl PathMtu {
    pub(crate) const SETTLED: Self = Self { state: 0, since: 0 };

    pub(crate) const fn phase(self) -> Phase {
        match self.state & 0x0f {
            1 => Phase::Shrunk,
            2 => Phase::Searching,
            3 => Phase::Probing,
            4 => Phase::Waiting,
            _ => Phase::Settled,
        }
    }

    /// Whether no larger size has to be tried, now or later.
    pub(crate) const fn is_settled(self) -> bool {
        matches!(self.phase(), Phase::Settled)
    }

    pub(crate) const fn is_probing(self) -> bool {
        matches!(self.phase(), Phase::Probing)
    }

    const fn enter(&mut self, phase: Phase, halvings: u8) {
        let number = match phase {
            Phase::Settled => 0,
            Phase::Shrunk => 1,
            Phase::Searching => 2,
            Phase::Probing => 3,
            Phase::Waiting => 4,
        };
        self.state = number | halvings << 4;
    }

    const fn halvings(self) -> u8 {
        self.state >> 4
    }

    /// Nothing is heard of segments of the present size, once more: whether it is time for a smaller
    /// one. Each smaller size has two chances.
    pub(crate) const fn on_silence(&mut self) -> bool {
        let is_second = !matches!(self.phase(), Phase::Shrunk) || self.halvings() > 0;
        self.enter(Phase::Shrunk, if is_second { 0 } else { 1 });
        is_second
    }

    /// Something has got through.
    pub(crate) const fn on_progress(&mut self) {
        if matches!(self.phase(), Phase::Shrunk) {
            self.enter(Phase::Searching, 0);
        }
    }

    /// A larger size is known not to get through: it is not tried for some time.
    pub(crate) fn wait(&mut self, now: Instant) {
        self.since = units(now);
        self.enter(Phase::Waiting, 0);
    }

    /// Begins to search anew once it has waited long enough.
    pub(crate) fn end_wait(&mut self, now: Instant) {
        let waited = u64::from(units(now).wrapping_sub(self.since)).saturating_mul(UNIT_S);
        if self.phase() == Phase::Waiting && waited >= PATIENCE_S {
            self.enter(Phase::Searching, 0);
        }
    }

    /// The size to try next, or that is being tried, between the one that works and the largest that
    /// the hosts allow; `None` if nothing is to be gained.
    pub(crate) fn candidate(self, works: u16, largest: u16) -> Option<u16> {
        let gain = largest
            .saturating_sub(works)
            .checked_shr(self.halvings().into())
            .unwrap_or(0);
        (gain >= GRAIN).then(|| works.saturating_add(gain))
    }

    /// A segment of the size to try was sent.
    pub(crate) const fn on_sent(&mut self) {
        self.enter(Phase::Probing, self.halvings());
    }

    /// It has arrived: the path carries that size.
    pub(crate) fn on_arrived(&mut self, now: Instant) {
        if self.halvings() == 0 {
            self.enter(Phase::Settled, 0);
        } else {
            self.wait(now);
        }
    }

    /// It was lost.
    pub(crate) fn on_lost(&mut self) {
        self.enter(Phase::Searching, self.halvings().saturating_add(1).min(15));
    }

    /// What has become of it will never be known.
    pub(crate) const fn forget(&mut self) {
        if self.is_probing() {
            self.enter(Phase::Searching, self.halvings());
        }
    }
}

/// A point in time in units, modulo 2^8.
const fn units(now: Instant) -> u8 {
    let [low, ..] = (now.as_micros() / (UNIT_S * 1_000_000)).to_le_bytes();
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds.saturating_mul(1000))
    }

    #[test]
    fn rfc8899_5_3_a_probe_that_arrives_settles_the_size_after_an_outage() {
        let mut size = PathMtu::SETTLED;
        assert!(size.on_silence());
        assert_eq!(size.phase(), Phase::Shrunk);
        assert_eq!([(); 3].map(|()| size.on_silence()), [false, true, false]);
        size.on_progress();
        assert_eq!(size.candidate(1220, 1440), Some(1440));
        size.on_sent();
        assert!(size.is_probing());
        size.on_arrived(at(5));
        assert!(size.is_settled());
    }

    #[test]
    fn rfc4821_7_3_each_loss_halves_the_distance_until_nothing_is_to_be_gained() {
        let mut size = PathMtu::SETTLED;
        size.on_silence();
        size.on_progress();
        for expected in [Some(1460), Some(1340), Some(1280), None] {
            assert_eq!(size.candidate(1220, 1460), expected);
            size.on_sent();
            size.on_lost();
        }
    }

    #[test]
    fn rfc1191_6_3_a_larger_size_is_tried_again_after_ten_minutes() {
        for start in [0_u64, 1, 2047, 2048, 1 << 30] {
            let mut size = PathMtu::SETTLED;
            size.wait(at(start));
            size.end_wait(at(start + 590));
            assert_eq!(size.phase(), Phase::Waiting);
            size.end_wait(at(start + 608));
            assert_eq!(size.phase(), Phase::Searching);
            assert_eq!(size.candidate(1240, 1440), Some(1440));
        }
    }

    #[test]
    fn a_size_between_that_works_is_kept_for_a_while() {
        let mut size = PathMtu::SETTLED;
        size.on_silence();
        size.on_progress();
        size.on_sent();
        size.on_lost();
        size.on_sent();
        size.on_arrived(at(0));
        assert_eq!(size.phase(), Phase::Waiting);
    }

    #[test]
    fn any_bits_are_harmless() {
        for state in 0..=u8::MAX {
            let mut size = PathMtu { state, since: 7 };
            let _ = size.candidate(1, u16::MAX);
            size.end_wait(at(10_000));
            size.on_progress();
            size.on_lost();
            size.on_sent();
            size.forget();
            assert_eq!(size.phase(), Phase::Searching);
        }
    }
}
