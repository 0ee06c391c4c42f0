//! The memory of one path.

use super::key::PathKey;
use crate::time::{Instant, Stamp};
use crate::timer::{ReadyLink, ReadyNode, ReadyRing};

/// When something happened, to tell its age by for years; zeroed memory is "never".
///
/// In units of 2^16 microseconds (66 ms), modulo 2^32 of them: eight years. A path may lie
/// untouched for long, and must not look fresh again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(super) struct Tick(u32);

const TICK_BITS: u32 = 16;

impl Tick {
    pub(super) const NEVER: Self = Self(0);

    /// The tick of `at`. One in 2^32 is moved by one to keep zero free.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "modulo 2^32 is what a tick is"
    )]
    pub(super) const fn at(at: Instant) -> Self {
        let low = (at.as_micros() >> TICK_BITS) as u32;
        Self(if low == 0 { 1 } else { low })
    }

    /// Ticks since then; the most there are if it never came.
    pub(super) const fn age(self, now: Instant) -> u32 {
        if self.0 == 0 {
            return u32::MAX;
        }
        Self::at(now).0.wrapping_sub(self.0)
    }

    /// Whether it came less than `micros` microseconds ago, give or take a tick.
    pub(super) fn is_within(self, micros: u64, now: Instant) -> bool {
        self.0 != 0 && u64::from(self.age(now)) < micros >> TICK_BITS
    }
}

/// Whether a path can be reached, as far as its flows can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Health {
    /// Nothing says that it cannot.
    Live,
    /// A retransmission timer expired, and nothing has been heard since.
    Doubt,
    /// Time-outs persist. Flows wait in the ring and probe in turn.
    Dead,
    /// Something was heard: the flows in the ring are let go one by one.
    Waking,
}

/// The memory of one path. Opaque; lend a slice of [`PathSlot::EMPTY`] to the engine.
///
/// Plain old data: integers and indices, all zero when unused.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct PathSlot {
    pub(super) key: PathKey,
    /// Its place among the paths that need looking after.
    pub(super) place: ReadyLink,
    pub(super) used_at: Tick,
    pub(super) learned_at: Tick,
    /// Averages of what flows learned, zero if unknown: microseconds, octets, octets per second.
    pub(super) srtt_us: u32,
    pub(super) rttvar_us: u32,
    pub(super) ssthresh: u32,
    pub(super) rate: u32,
    /// What a flow may jump to (Careful Resume).
    pub(super) saved_at: Tick,
    pub(super) saved_cwnd: u32,
    pub(super) saved_rtt_us: u32,
    /// When a flow jumped last.
    pub(super) claimed_at: Stamp,
    /// When the time-out was that began the doubt.
    pub(super) doubt_at: Stamp,
    /// When the path needs looking after.
    pub(super) acts_at: Stamp,
    /// While dead, when the last probe left; while waking, when the next flow is let go.
    pub(super) turn_at: Stamp,
    /// Between two flows that are let go, in microseconds.
    pub(super) interval_us: u32,
    /// The flows that wait for an answer.
    pub(super) ring: ReadyRing,
    /// How many.
    pub(super) waiting: u32,
    health: u16,
    /// Flows whose first time-out came since the doubt began.
    pub(super) heads: u16,
}

const _: () = assert!(size_of::<PathSlot>() <= 96);

impl PathSlot {
    /// A slot without a path.
    pub const EMPTY: Self = Self::new(PathKey::NONE);

    /// A path of which nothing is known.
    pub(super) const fn new(key: PathKey) -> Self {
        Self {
            key,
            place: ReadyLink::EMPTY,
            used_at: Tick::NEVER,
            learned_at: Tick::NEVER,
            srtt_us: 0,
            rttvar_us: 0,
            ssthresh: 0,
            rate: 0,
            saved_at: Tick::NEVER,
            saved_cwnd: 0,
            saved_rtt_us: 0,
            claimed_at: Stamp::NEVER,
            doubt_at: Stamp::NEVER,
            acts_at: Stamp::NEVER,
            turn_at: Stamp::NEVER,
            interval_us: 0,
            ring: ReadyRing::EMPTY,
            waiting: 0,
            health: 0,
            heads: 0,
        }
    }

    /// Nobody waits for the path, and so far nothing says that it cannot be reached.
    pub(super) const fn forget_flows(&mut self) {
        self.set_health(Health::Live);
        self.place = ReadyLink::EMPTY;
        self.ring = ReadyRing::EMPTY;
        self.waiting = 0;
    }

    pub(super) const fn health(&self) -> Health {
        match self.health {
            1 => Health::Doubt,
            2 => Health::Dead,
            3 => Health::Waking,
            _ => Health::Live,
        }
    }

    pub(super) const fn set_health(&mut self, health: Health) {
        self.health = match health {
            Health::Live => 0,
            Health::Doubt => 1,
            Health::Dead => 2,
            Health::Waking => 3,
        };
    }

    /// Whether the path must be remembered: flows wait for it, or it is not known to live.
    pub(super) fn is_pinned(&self) -> bool {
        self.health() != Health::Live || !self.ring.is_empty()
    }
}

impl Default for PathSlot {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl ReadyNode for PathSlot {
    fn ready(&self) -> &ReadyLink {
        &self.place
    }

    fn ready_mut(&mut self) -> &mut ReadyLink {
        &mut self.place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn h12_5_a_tick_does_not_look_fresh_again_for_years() {
        let start = Instant::from_millis(77);
        let tick = Tick::at(start);
        assert!(tick.is_within(1 << TICK_BITS, start));
        for days in [1_u64, 49, 50, 365, 8 * 365] {
            let later = start.after(Duration::from_secs(days * 86_400));
            assert!(!tick.is_within(600_000_000, later), "{days} days");
        }
        assert!(!Tick::NEVER.is_within(u64::MAX, start));
        assert!(Tick::at(Instant::ZERO).is_within(1 << TICK_BITS, Instant::ZERO));
        assert_eq!(Tick::NEVER.age(start), u32::MAX, "longer ago than anything");
    }
}
