//! What flows leave behind for later flows to the same place (RFC 9040, rule H12.5), and the
//! window that one of them may jump to (Careful Resume, RFC 9959).

use super::key::PathKey;
use super::slot::{PathSlot, Tick};
use super::table::PathTable;
use crate::time::{Instant, Stamp};

/// Age at which hints are forgotten (rule H12.5), in microseconds.
const HINT_LIFETIME_US: u64 = 600_000_000;

/// Age at which saved parameters are forgotten unless the operator says otherwise, in microseconds.
pub(crate) const SAVED_LIFETIME_US: u64 = 600_000_000;

/// A smaller capacity is not worth a jump (RFC 9959 section 3.1: four times the initial window of
/// RFC 6928), in octets.
const LEAST_SAVED: u32 = 4 * 14_600;

/// How long saved parameters count as in use after a jump: so many round trips, and at least so
/// many microseconds. Validation takes two round trips, a retreat a few more.
const CLAIM_ROUND_TRIPS: u32 = 8;
const CLAIM_LEAST_US: u32 = 4_000_000;

/// What a flow learned of its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Lesson {
    /// Smoothed round trip and its variation, in microseconds.
    pub(crate) srtt_us: Option<u32>,
    pub(crate) rttvar_us: Option<u32>,
    /// The slow-start threshold in octets, if a loss set it.
    pub(crate) ssthresh: Option<u32>,
    /// A congestion window in octets that the flow has filled; `None` if it never filled one, which
    /// says nothing of what the path can carry.
    pub(crate) cwnd: Option<u32>,
    /// That window was still doubling: half of it is all that is known to fit (RFC 9959 section
    /// 4.1).
    pub(crate) in_slow_start: bool,
    /// The shortest round trip, in microseconds.
    pub(crate) min_rtt_us: Option<u32>,
    /// How fast the path delivered, in octets per second.
    pub(crate) rate: Option<u32>,
}

/// What a flow may expect of its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hint {
    /// Smoothed round trip and its variation, in microseconds.
    pub(crate) srtt_us: Option<u32>,
    pub(crate) rttvar_us: Option<u32>,
    /// The slow-start threshold to begin with, in octets.
    pub(crate) ssthresh: Option<u32>,
    /// How fast the path delivered to one flow, in octets per second.
    pub(crate) rate: Option<u32>,
}

/// The parameters that Careful Resume jumps by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Saved {
    /// Octets that the path carried in a round trip.
    pub(crate) cwnd: u32,
    /// The shortest round trip then, in microseconds.
    pub(crate) rtt_us: u32,
}

impl PathTable<'_> {
    /// A flow that ends or pauses tells what it learned.
    pub(crate) fn learn(&mut self, key: &PathKey, now: Instant, lesson: &Lesson) {
        if let Some(index) = self.find_or_insert(key, now)
            && let Some(slot) = self.slot_mut(index)
        {
            slot.learn(now, lesson);
        }
    }

    /// What earlier flows learned in the last ten minutes; `None` if nothing.
    pub(crate) fn hint(&self, key: &PathKey, now: Instant) -> Option<Hint> {
        self.slot(self.find(key)?)?.hint(now)
    }

    /// The parameters that a flow may jump by: no older than `lifetime_us`, and not in use by a
    /// flow that has just jumped (RFC 9959 section 3.2).
    pub(crate) fn saved(&self, key: &PathKey, now: Instant, lifetime_us: u64) -> Option<Saved> {
        self.slot(self.find(key)?)?.saved(now, lifetime_us)
    }

    /// Octets per second of what was saved, whoever uses it at present.
    pub(crate) fn saved_rate(&self, key: &PathKey) -> Option<u32> {
        let slot = self.slot(self.find(key)?)?;
        let per_second = u64::from(slot.saved_cwnd)
            .saturating_mul(1_000_000)
            .checked_div(slot.saved_rtt_us.into())?;
        u32::try_from(per_second).ok()
    }

    /// A flow jumps now.
    pub(crate) fn claim_saved(&mut self, key: &PathKey, now: Instant) {
        if let Some(slot) = self.find(key).and_then(|index| self.slot_mut(index)) {
            slot.claimed_at = Stamp::at(now);
        }
    }

    /// The path could not carry what was saved: nobody jumps by it again (RFC 9959 section 3.5).
    pub(crate) fn forget_saved(&mut self, key: &PathKey) {
        if let Some(slot) = self.find(key).and_then(|index| self.slot_mut(index)) {
            slot.saved_at = Tick::NEVER;
            slot.claimed_at = Stamp::NEVER;
        }
    }
}

impl PathSlot {
    fn learn(&mut self, now: Instant, lesson: &Lesson) {
        if !self.learned_at.is_within(HINT_LIFETIME_US, now) {
            self.srtt_us = 0;
            self.rttvar_us = 0;
            self.ssthresh = 0;
            self.rate = 0;
        }
        let merged = [
            (&mut self.srtt_us, lesson.srtt_us),
            (&mut self.rttvar_us, lesson.rttvar_us),
            (&mut self.ssthresh, lesson.ssthresh),
            (&mut self.rate, lesson.rate),
        ];
        for (known, news) in merged {
            if let Some(news) = news.filter(|&news| news > 0) {
                *known = merge(*known, news);
                self.learned_at = Tick::at(now);
            }
        }
        if let Some(saved) = lesson.saved() {
            self.saved_cwnd = saved.cwnd;
            self.saved_rtt_us = saved.rtt_us;
            self.saved_at = Tick::at(now);
        }
    }

    pub(super) fn hint(&self, now: Instant) -> Option<Hint> {
        let known = |value: u32| Some(value).filter(|&value| value > 0);
        let hint = Hint {
            srtt_us: known(self.srtt_us),
            rttvar_us: known(self.rttvar_us),
            ssthresh: known(self.ssthresh),
            rate: known(self.rate),
        };
        self.learned_at
            .is_within(HINT_LIFETIME_US, now)
            .then_some(hint)
    }

    fn saved(&self, now: Instant, lifetime_us: u64) -> Option<Saved> {
        let claim_us = self
            .saved_rtt_us
            .saturating_mul(CLAIM_ROUND_TRIPS)
            .max(CLAIM_LEAST_US);
        let in_use = self.claimed_at.is_due(now) && self.claimed_at.age(now) < claim_us;
        let usable = self.saved_at.is_within(lifetime_us, now) && !in_use;
        usable.then_some(Saved {
            cwnd: self.saved_cwnd,
            rtt_us: self.saved_rtt_us,
        })
    }
}

impl Lesson {
    /// What the path carried in a round trip: no more than the window, and no more than was
    /// delivered, where that was measured. A window may include a queue, or be twice the capacity
    /// by design.
    fn saved(&self) -> Option<Saved> {
        let rtt_us = self.min_rtt_us.filter(|&rtt_us| rtt_us > 0)?;
        let window = if self.in_slow_start {
            self.cwnd? / 2
        } else {
            self.cwnd?
        };
        let delivered = self.rate.filter(|&rate| rate > 0).map(|rate| {
            let octets = u64::from(rate).saturating_mul(rtt_us.into()) / 1_000_000;
            u32::try_from(octets).unwrap_or(u32::MAX)
        });
        let cwnd = window.min(delivered.unwrap_or(u32::MAX));
        (cwnd >= LEAST_SAVED).then_some(Saved { cwnd, rtt_us })
    }
}

/// Exponential decay with a weight of one half (RFC 9040 section 6.2 leaves the function open).
fn merge(known: u32, news: u32) -> u32 {
    if known == 0 {
        return news;
    }
    // The mean without a carry.
    (known & news).saturating_add((known ^ news) >> 1)
}

#[cfg(test)]
mod tests;
