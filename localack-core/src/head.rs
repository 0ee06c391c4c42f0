//! What an engine keeps besides its flows and blocks.

use crate::flow::table::SlotList;
use crate::pacing::Shares;
use crate::path::PathHead;
use crate::pool::PoolHead;
use crate::seal::Seal;
use crate::shaping::Shapings;
use crate::stats::Counters;
use crate::time::Instant;
use crate::timer::{ReadyList, TimerWheel};

/// List heads, timers and counters of an engine. Opaque; lend [`EngineHead::EMPTY`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct EngineHead {
    pub(crate) seal: Seal,
    pub(crate) wheel: TimerWheel,
    pub(crate) ready: ReadyList,
    pub(crate) slots: SlotList,
    pub(crate) pool: PoolHead,
    pub(crate) shares: Shares,
    pub(crate) paths: PathHead,
    pub(crate) clock: Clock,
    /// Flows whose handshake is not complete.
    pub(crate) embryonic: u32,
    /// Non-zero once the engine hands its flows back.
    pub(crate) draining: u32,
    /// Where the next search for an unfinished handshake to evict begins.
    pub(crate) eviction: u32,
    /// Blocks held by directions that make no progress (rule H12.4).
    pub(crate) stalled_blocks: u32,
    pub(crate) shapings: Shapings,
    pub(crate) counters: Counters,
}

impl EngineHead {
    /// Whether an engine has used this head, so that [`Engine::attach`](crate::Engine::attach) may find flows.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.seal != Seal::NONE
    }

    /// The head of an engine that has seen nothing.
    pub const EMPTY: Self = Self {
        seal: Seal::NONE,
        wheel: TimerWheel::EMPTY,
        ready: ReadyList::EMPTY,
        slots: SlotList::EMPTY,
        pool: PoolHead::EMPTY,
        shares: Shares::EMPTY,
        paths: PathHead::EMPTY,
        clock: Clock::EMPTY,
        embryonic: 0,
        draining: 0,
        eviction: 0,
        stalled_blocks: 0,
        shapings: Shapings::EMPTY,
        counters: Counters::ZERO,
    };
}

/// The engine's own time: the caller's, but it never runs backward, and never far past a deadline.
///
/// A jump of the caller's clock (a suspended machine, a clock that was set) would otherwise expire
/// every timer at once (rule H9.8). Where nothing is due there is nothing to protect, and the
/// engine's time follows at once.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Clock {
    now_us: u64,
    /// How far the caller's clock is ahead for good.
    ahead_us: u64,
}

/// How far time may run past a deadline in one step, in microseconds.
const MAX_LATENESS_US: u64 = 1_000_000;

impl Clock {
    pub(crate) const EMPTY: Self = Self {
        now_us: 0,
        ahead_us: 0,
    };

    /// Takes in the caller's time and answers the engine's; `None`, and no change, if the step is so large
    /// that it could run past a deadline: see [`Self::leap`].
    #[inline]
    pub(crate) fn step(&mut self, wall: Instant) -> Option<Instant> {
        let now_us = self.follow(wall);
        if now_us.saturating_sub(self.now_us) > MAX_LATENESS_US {
            return None;
        }
        self.now_us = now_us;
        Some(Instant::from_micros(now_us))
    }

    /// The same for a step of any size, given the next deadline.
    pub(crate) fn leap(&mut self, wall: Instant, deadline: Option<Instant>) -> Instant {
        let mut now_us = self.follow(wall);
        if let Some(deadline) = deadline {
            let latest_us = deadline
                .as_micros()
                .max(self.now_us)
                .saturating_add(MAX_LATENESS_US);
            let late_us = now_us.saturating_sub(latest_us);
            self.ahead_us = self.ahead_us.saturating_add(late_us);
            now_us = now_us.saturating_sub(late_us);
        }
        self.now_us = now_us;
        Instant::from_micros(now_us)
    }

    /// Begins anew if it cannot be true: time that has run to its end does not go on.
    pub(crate) fn mend(&mut self) {
        /// Some hundred thousand years.
        const FAR_US: u64 = 1 << 62;
        if self.now_us.max(self.ahead_us) > FAR_US {
            *self = Self::EMPTY;
        }
    }

    fn follow(&self, wall: Instant) -> u64 {
        let ahead = wall.as_micros().saturating_sub(self.ahead_us);
        ahead.max(self.now_us)
    }

    pub(crate) const fn now(&self) -> Instant {
        Instant::from_micros(self.now_us)
    }

    /// A point of the engine's time on the caller's clock.
    pub(crate) const fn wall(&self, at: Instant) -> Instant {
        Instant::from_micros(at.as_micros().saturating_add(self.ahead_us))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    #[test]
    fn h9_8_a_jump_past_a_deadline_is_capped_at_a_second() {
        let mut clock = Clock::EMPTY;
        assert_eq!(clock.leap(at(10), Some(at(12))), at(10));
        assert_eq!(clock.leap(at(1_000_000), Some(at(12))), at(13));
        assert_eq!(clock.leap(at(1_000_002), Some(at(20))), at(15));
        assert_eq!(clock.wall(at(16)), at(1_000_003));
    }

    #[test]
    fn h9_8_no_step_of_a_second_runs_far_past_a_deadline() {
        let mut clock = Clock::EMPTY;
        assert_eq!(clock.step(at(10)), None);
        assert_eq!(clock.leap(at(10), None), at(10));
        assert_eq!(
            (clock.step(at(11)), clock.step(at(9))),
            (Some(at(11)), Some(at(11)))
        );
        let late = Instant::from_micros(12_000_001);
        assert_eq!((clock.step(late), clock.now()), (None, at(11)));
    }

    #[test]
    fn a_clock_at_the_end_of_time_begins_anew() {
        for (now_us, ahead_us) in [(u64::MAX, 0), (5, u64::MAX)] {
            let mut clock = Clock { now_us, ahead_us };
            clock.mend();
            assert_eq!(clock.leap(at(7), None), at(7));
        }
        let mut clock = Clock::EMPTY;
        clock.leap(at(100), None);
        clock.mend();
        assert_eq!(clock.now(), at(100));
    }

    #[test]
    fn without_deadlines_time_follows_at_once() {
        let mut clock = Clock::EMPTY;
        assert_eq!(clock.leap(at(50_000_000), None), at(50_000_000));
    }

    #[test]
    fn going_back_is_standing_still() {
        let mut clock = Clock::EMPTY;
        assert_eq!(clock.leap(at(100), None), at(100));
        assert_eq!(clock.leap(at(7), None), at(100));
        assert_eq!(clock.leap(at(101), None), at(101));
    }

    #[test]
    fn a_clock_may_be_as_late_as_any_host_is() {
        for (now_us, goes_on) in [(1 << 62, true), ((1 << 62) + 1, false)] {
            let mut clock = Clock::EMPTY;
            let late = Instant::from_micros(now_us);
            assert_eq!(clock.leap(late, None), late);
            clock.mend();
            assert_eq!(clock.now() == late, goes_on, "{now_us}");
        }
    }
}
