//! Spacing packets out to a rate by virtual finishing times.
//!
//! A sender that has sent so many octets at so many a second is done with them at a point in time,
//! whether they left in one burst or one by one. What it keeps is that point. How far it lies in the
//! past is what may be sent at once, but never more than a quantum: who was idle or woke up late
//! gets no larger burst for it.

use crate::time::Instant;

/// A tick is a microsecond divided by two to the power of so many. The packets of 40 Gbit/s are
/// 300 ns apart; a tick of 15 ps keeps their rounding below 0.01 %, and time modulo 2^64 ticks is
/// unambiguous for four years.
const TICK_BITS: u32 = 16;
/// Nothing puts a sender off for longer than 18 minutes, in ticks: not a packet at the lowest
/// rates, and no damaged memory. The packet after it may have to wait as long again, and a
/// [`Stamp`](crate::time::Stamp) must still tell that from the past.
const HORIZON: u64 = ((1 << 30) - 1) << TICK_BITS;
/// The time whose octets make a quantum, as a part of a second.
const QUANTUM_PER_SECOND: u32 = 1000;
/// Full-size packets of the smallest and of the largest quantum (rule H12.1).
const FEWEST_SEGMENTS: u32 = 2;
const MOST_SEGMENTS: u32 = 10;
/// The same for a flow that begins: few enough that with those that follow at once they are no more than ten.
const FIRST_SEGMENTS: u32 = 8;

/// A rate, and how much of it may be used at once. Computed where it is needed, never stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pace {
    /// Octets of IP packets per second; zero if there is no limit.
    rate: u32,
    /// Octets that leave together where packets wait for their time.
    quantum: u32,
    /// Octets that who has sent less than the rate allows may send at once: a quantum, or more.
    burst: u32,
}

/// Octets that may leave back to back at `rate` octets per second: what it carries in a
/// millisecond, but at least two and at most ten packets of `segment` octets (rule H12.1), or one
/// super-segment where that is larger. All are octets of IP packets.
pub(crate) fn quantum(rate: u32, segment: u16, super_segment: u16) -> u32 {
    let segment = u32::from(segment).max(1);
    (rate / QUANTUM_PER_SECOND)
        .max(segment.saturating_mul(FEWEST_SEGMENTS))
        .min(segment.saturating_mul(MOST_SEGMENTS))
        .max(super_segment.into())
}

impl Pace {
    /// No limit.
    pub(crate) const UNPACED: Self = Self {
        rate: 0,
        quantum: u32::MAX,
        burst: u32::MAX,
    };

    /// A rate in octets per second, none if zero, for full-size packets of `segment` octets, of
    /// which the sink cuts packets of up to `super_segment` octets itself.
    pub(crate) fn new(rate: u32, segment: u16, super_segment: u16) -> Self {
        if rate == 0 {
            return Self::UNPACED;
        }
        let quantum = quantum(rate, segment, super_segment);
        Self {
            rate,
            quantum,
            burst: quantum,
        }
    }

    /// The same for who begins: as many packets of `segment` octets leave at once as nearly make an initial window,
    /// which nobody else paces either (rule H12.1, RFC 6928).
    pub(crate) fn beginning(self, segment: u16) -> Self {
        let most = u32::from(segment).saturating_mul(FIRST_SEGMENTS);
        Self {
            burst: self.burst.max(most),
            ..self
        }
    }

    /// Octets that leave together where packets wait for their time.
    pub(crate) const fn quantum(self) -> u32 {
        self.quantum
    }

    /// Another rate, none if zero, with the same bursts.
    pub(crate) const fn at_rate(self, rate: u32) -> Self {
        Self { rate, ..self }
    }

    /// The slower of the two.
    pub(crate) const fn limited(self, other: Self) -> Self {
        if self.rate == 0 || (other.rate != 0 && other.rate < self.rate) {
            other
        } else {
            self
        }
    }

    /// The same rate with bursts twice as large.
    pub(crate) const fn doubled(self) -> Self {
        Self {
            quantum: self.quantum.saturating_mul(2),
            burst: self.burst.saturating_mul(2),
            ..self
        }
    }

    /// Ticks that `octets` take, rounded up so that no rounding ever adds to the rate.
    fn ticks(self, octets: u32) -> u64 {
        let rate = u64::from(self.rate);
        let micros = u64::from(octets).saturating_mul(1_000_000);
        let (Some(whole), Some(rest)) = (micros.checked_div(rate), micros.checked_rem(rate)) else {
            return 0;
        };
        let part = (rest << TICK_BITS).div_ceil(rate.max(1));
        whole
            .saturating_mul(1 << TICK_BITS)
            .saturating_add(part)
            .min(HORIZON)
    }

    /// Octets that `ticks` carry, rounded down.
    fn octets(self, ticks: u64) -> u32 {
        let octets = (ticks.saturating_mul(self.rate.into()) >> TICK_BITS) / 1_000_000;
        u32::try_from(octets).unwrap_or(u32::MAX)
    }
}

/// When a paced sender is done with what it has sent. Plain old data; all zeroes before the first
/// packet, and any content is harmless.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Pacer {
    /// The point in ticks modulo 2^64, in halves; zero if nothing was sent yet.
    low: u32,
    high: u32,
}

impl Pacer {
    /// Nothing was sent yet.
    pub(crate) const EMPTY: Self = Self { low: 0, high: 0 };

    /// Octets that may leave now, at most a burst.
    pub(crate) fn allowance(&self, now: Instant, pace: Pace) -> u32 {
        if pace.rate == 0 {
            return u32::MAX;
        }
        match self.lag(now) {
            Lag::Ahead(_) => 0,
            Lag::Behind(ticks) if ticks < pace.ticks(pace.burst) => {
                pace.octets(ticks).min(pace.burst)
            }
            Lag::Behind(_) => pace.burst,
        }
    }

    /// Whether a packet of `octets` may leave now. One that is larger than a quantum may when a
    /// quantum may.
    pub(crate) fn may_send(&self, now: Instant, octets: u32, pace: Pace) -> bool {
        octets.min(pace.quantum) <= self.allowance(now, pace)
    }

    /// When a packet of `octets` may leave; `None` if it may now.
    pub(crate) fn ready_at(&self, now: Instant, octets: u32, pace: Pace) -> Option<Instant> {
        if self.may_send(now, octets, pace) {
            return None;
        }
        let span = pace.ticks(octets.min(pace.quantum));
        let wait = match self.lag(now) {
            Lag::Ahead(ticks) => span.saturating_add(ticks),
            Lag::Behind(ticks) => span.saturating_sub(ticks),
        };
        let micros = wait.div_ceil(1 << TICK_BITS);
        Some(Instant::from_micros(now.as_micros().saturating_add(micros)))
    }

    /// When to look again if a packet of `octets` may not leave now; `None` if it may.
    ///
    /// Half a quantum may leave then, or the packet if that is more: a timer is needed at most
    /// twice per quantum, however small the packets, and may come half a quantum late before any of
    /// the rate is lost. Half a quantum must last a microsecond for that, the step of the clock.
    pub(crate) fn wake_at(&self, now: Instant, octets: u32, pace: Pace) -> Option<Instant> {
        if self.may_send(now, octets, pace) {
            return None;
        }
        self.ready_at(now, octets.max(pace.quantum / 2), pace)
    }

    /// A packet of `octets` leaves now, whether it might or not.
    pub(crate) fn on_sent(&mut self, now: Instant, octets: u32, pace: Pace) {
        if pace.rate == 0 {
            *self = Self::EMPTY;
            return;
        }
        if octets == 0 {
            return;
        }
        let present = present(now);
        let cost = pace.ticks(octets);
        let done = match self.lag(now) {
            Lag::Ahead(ticks) => present.wrapping_add(ticks.saturating_add(cost).min(HORIZON)),
            Lag::Behind(ticks) => {
                let credit = ticks.min(pace.ticks(pace.burst));
                present.wrapping_sub(credit).wrapping_add(cost)
            }
        };
        self.set(done.max(1));
    }

    fn lag(&self, now: Instant) -> Lag {
        let done = u64::from(self.high) << 32 | u64::from(self.low);
        let behind = present(now).wrapping_sub(done).cast_signed();
        match (done, behind) {
            (0, _) => Lag::Behind(u64::MAX),
            (_, 0..) => Lag::Behind(behind.unsigned_abs()),
            (_, _) if behind.unsigned_abs() <= HORIZON => Lag::Ahead(behind.unsigned_abs()),
            // Nothing puts it so far off but damage.
            (_, _) => Lag::Behind(u64::MAX),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    const fn set(&mut self, ticks: u64) {
        self.low = ticks as u32;
        self.high = (ticks >> 32) as u32;
    }
}

/// Where the finishing time lies, in ticks.
#[derive(Clone, Copy)]
enum Lag {
    Ahead(u64),
    Behind(u64),
}

/// The present in ticks, modulo 2^64.
const fn present(now: Instant) -> u64 {
    now.as_micros() << TICK_BITS
}

#[cfg(test)]
mod tests;
