//! One vouched rate, and how it divides among those who want it.
//!
//! Every flow is entitled to the level, or to its floor or ceiling if the level is outside of them.
//! The level that uses the rate up exactly is searched for while the flows have their turns: with
//! neither floors nor ceilings it is the rate divided by the flows, and it is never lower than what
//! remains when every floor is kept, divided likewise; so entitlements only exceed the rate for a
//! round or two after flows have come.

use super::pacer::{Pace, Pacer};
use crate::time::Instant;
use crate::timer::ReadyRing;

/// Of the rate, one part in so many is never promised to floors, so that flows without one move.
const UNPROMISED: u32 = 32;
/// Octets of the largest turn: of a floor that is far above the level.
const LARGEST_TURN: u32 = 1 << 30;
/// Octets that a flow may save for a later turn: the largest packet.
const LARGEST_SAVING: u32 = 65_535;

/// What a flow has to do with a share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    /// Octets that it may send in the rest of this turn, or saved for its next one.
    pub(crate) deficit: u32,
    /// Octets per second that it gets even if its fair part is less.
    pub(crate) floor: u32,
    /// Octets per second that it gets at most, even if that is less than its floor.
    pub(crate) ceiling: u32,
}

/// A vouched rate. Plain old data; all zeroes before its first use, and any content is harmless.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(super) struct Share {
    /// Flows that wait for a turn; the first has it.
    pub(super) ring: ReadyRing,
    pacer: Pacer,
    /// Octets of IP packets per second; zero if there is no limit.
    rate: u32,
    /// Octets of the largest packet, and of the largest that the sink cuts.
    segment: u16,
    super_segment: u16,
    /// Flows to which the rate is vouched, busy or not.
    members: u32,
    /// Flows in the ring.
    backlogged: u32,
    /// Sum of their floors, in halves.
    floors_low: u32,
    floors_high: u32,
    /// Octets per second of a flow that is neither at its floor nor at its ceiling.
    level: u32,
    /// Octets that must be allowed before the first flow of the ring is visited.
    need: u32,
    /// Turns until the round ends.
    turns_left: u32,
    /// Sum of what those who had their turn in this round are entitled to, and how many of them are
    /// entitled to the level itself.
    entitled: u32,
    elastic: u32,
}

impl Share {
    pub(super) const EMPTY: Self = Self {
        ring: ReadyRing::EMPTY,
        pacer: Pacer::EMPTY,
        rate: 0,
        segment: 0,
        super_segment: 0,
        members: 0,
        backlogged: 0,
        floors_low: 0,
        floors_high: 0,
        level: 0,
        need: 0,
        turns_left: 0,
        entitled: 0,
        elastic: 0,
    };

    /// A flow begins to use the share. The first sets the rate; the largest packet counts.
    pub(super) fn open(&mut self, rate: u32, segment: u16, super_segment: u16) {
        if self.members == 0 {
            self.rate = rate;
            (self.segment, self.super_segment) = (0, 0);
        }
        self.members = self.members.saturating_add(1);
        self.segment = self.segment.max(segment);
        self.super_segment = self.super_segment.max(super_segment);
    }

    /// Another rate from now on. Whether a flow uses the share: the next first flow sets it again.
    pub(super) const fn set_rate(&mut self, rate: u32) -> bool {
        let is_used = self.members > 0;
        if is_used {
            self.rate = rate;
        }
        is_used
    }

    pub(super) const fn rate(&self) -> u32 {
        self.rate
    }

    pub(super) const fn close(&mut self) {
        self.members = self.members.saturating_sub(1);
    }

    pub(super) fn pace(&self) -> Pace {
        Pace::new(self.rate, self.segment, self.super_segment)
    }

    /// How a flow keeps a ceiling, in octets per second. It may save twice what the share sends at
    /// once: otherwise it would lose what it is entitled to while others have their turns.
    pub(super) fn ceiling_pace(&self, ceiling: u32) -> Pace {
        if ceiling == u32::MAX {
            return Pace::UNPACED;
        }
        let ceiling = ceiling.max(1);
        let rate = if self.rate == 0 { ceiling } else { self.rate };
        Pace::new(rate, self.segment, self.super_segment)
            .doubled()
            .at_rate(ceiling)
    }

    /// The octets that may leave now.
    pub(super) fn allowance(&self, now: Instant) -> u32 {
        self.pacer.allowance(now, self.pace())
    }

    /// The octets that may leave now, once the first flow can be visited; `None` until then.
    pub(super) fn visitable(&self, now: Instant) -> Option<u32> {
        let allowance = self.allowance(now);
        (allowance >= self.need.min(self.quantum() / 2)).then_some(allowance)
    }

    /// When the first flow can be visited.
    pub(super) fn visitable_at(&self, now: Instant) -> Instant {
        let need = self.need.min(self.quantum() / 2);
        self.pacer.ready_at(now, need, self.pace()).unwrap_or(now)
    }

    /// Octets left now, whether they might or not.
    pub(super) fn on_sent(&mut self, now: Instant, octets: u32) {
        let pace = self.pace();
        self.pacer.on_sent(now, octets, pace);
    }

    /// Octets of a turn at the level, and of the largest burst.
    fn quantum(&self) -> u32 {
        super::quantum(self.rate, self.segment, self.super_segment)
    }

    /// The rate as a number to divide.
    const fn whole(&self) -> u32 {
        if self.rate == 0 { u32::MAX } else { self.rate }
    }

    /// What every flow can have while every floor is kept.
    fn least_level(&self) -> u32 {
        let whole = self.whole();
        let floors = u32::try_from(self.floors()).unwrap_or(u32::MAX);
        let open = whole.saturating_sub(floors).max(whole / UNPROMISED);
        open.checked_div(self.backlogged).unwrap_or(whole).max(1)
    }

    fn level(&self) -> u32 {
        self.level.max(self.least_level()).min(self.whole())
    }

    /// The octets per second that a flow with these bounds is entitled to.
    pub(super) fn entitlement(&self, floor: u32, ceiling: u32) -> u32 {
        self.level().max(floor).min(ceiling).clamp(1, self.whole())
    }

    /// A flow has joined the ring.
    pub(super) fn on_join(&mut self, member: &Member) {
        let (level, part) = (self.level(), self.part(member));
        self.backlogged = self.backlogged.saturating_add(1);
        self.set_floors(self.floors().saturating_add(member.floor.into()));
        self.level = if self.backlogged == 1 {
            self.whole()
        } else {
            level.saturating_sub(part.checked_div(self.backlogged).unwrap_or(0))
        };
    }

    /// A flow has left the ring. What it leaves is found by the next round.
    pub(super) fn on_leave(&mut self, member: &Member) {
        self.backlogged = self.backlogged.saturating_sub(1);
        self.set_floors(self.floors().saturating_sub(member.floor.into()));
        if self.ring.is_empty() {
            self.backlogged = 0;
            self.set_floors(0);
        }
    }

    /// What a member is entitled to.
    fn part(&self, member: &Member) -> u32 {
        self.entitlement(member.floor, member.ceiling)
    }

    /// The first flow of the ring begins a turn. Answers what it may send in it.
    pub(super) fn begin_turn(&mut self, member: &Member) -> u32 {
        if self.turns_left == 0 || self.turns_left > self.backlogged {
            self.turns_left = self.backlogged.max(1);
            (self.entitled, self.elastic) = (0, 0);
        }
        let (level, part) = (self.level(), self.part(member));
        // No less than a packet, so that each turn is good for one. That is more than a low ceiling
        // is entitled to, but the flow keeps its ceiling itself.
        let turn = u64::from(self.quantum())
            .saturating_mul(part.into())
            .checked_div(level.into())
            .and_then(|octets| u32::try_from(octets).ok())
            .unwrap_or(LARGEST_TURN)
            .min(LARGEST_TURN)
            .max(self.segment.into());
        self.entitled = self.entitled.saturating_add(part);
        self.elastic = self.elastic.saturating_add(u32::from(part == level));
        self.turns_left = self.turns_left.saturating_sub(1);
        if self.turns_left == 0 {
            self.level = self.next_level(level);
        }
        member.deficit.min(LARGEST_SAVING).saturating_add(turn)
    }

    /// The level after a round: up by what any flow may take without the sum exceeding the rate,
    /// or down by as much as those must give who give way.
    fn next_level(&self, level: u32) -> u32 {
        let spare = self.whole().saturating_sub(self.entitled);
        let excess = self.entitled.saturating_sub(self.whole());
        let rise = spare.checked_div(self.backlogged).unwrap_or(0);
        let fall = excess.checked_div(self.elastic).unwrap_or(0);
        level.saturating_add(rise).saturating_sub(fall)
    }

    /// So much is left of the first flow's turn.
    pub(super) const fn set_need(&mut self, deficit: u32) {
        self.need = deficit;
    }

    /// Whether what is left of a turn is good for a full-size packet.
    pub(super) fn is_worth_a_visit(&self, deficit: u32) -> bool {
        deficit > 0 && deficit >= self.segment.into()
    }

    fn floors(&self) -> u64 {
        u64::from(self.floors_high) << 32 | u64::from(self.floors_low)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    const fn set_floors(&mut self, floors: u64) {
        self.floors_low = floors as u32;
        self.floors_high = (floors >> 32) as u32;
    }
}

#[cfg(test)]
impl Share {
    /// Flows in the ring and the sum of their floors.
    pub(super) fn load(&self) -> (u32, u64) {
        (self.backlogged, self.floors())
    }

    /// A share as damage may leave it.
    pub(super) const fn damaged(ring: ReadyRing, pacer: Pacer, words: [u32; 11]) -> Self {
        let [rate, sizes, members, backlogged, words @ ..] = words;
        let [floors_low, floors_high, level, need, words @ ..] = words;
        let [turns_left, entitled, elastic] = words;
        let [a, b, c, d] = sizes.to_le_bytes();
        Self {
            ring,
            pacer,
            rate,
            segment: u16::from_le_bytes([a, b]),
            super_segment: u16::from_le_bytes([c, d]),
            members,
            backlogged,
            floors_low,
            floors_high,
            level,
            need,
            turns_left,
            entitled,
            elastic,
        }
    }
}
