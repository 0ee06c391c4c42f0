//! Whose turn it is at each vouched rate: deficit round robin (Shreedhar and Varghese, 1995).

use super::pacer::Pace;
use super::share::{Member, Share};
use crate::time::Instant;
use crate::timer::{ReadyNode, RingId};

/// Rates that can be vouched for. A number beyond counts modulo this.
const SHARES: usize = 16;
/// Their numbers.
const NUMBERS: core::ops::Range<u8> = 0..16;

/// A node that can wait in the ring of a share.
pub(crate) trait ShareNode: ReadyNode {
    /// What the node has to do with `share`; `None` if nothing.
    fn member(&self, share: u8) -> Option<Member>;
    /// Keeps the deficit for [`ShareNode::member`] to answer.
    fn set_deficit(&mut self, share: u8, deficit: u32);
}

/// A flow may send at a vouched rate now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the flow keeps its turn until it is told how it went"]
pub(crate) struct Turn {
    pub(crate) share: u8,
    /// The flow's index.
    pub(crate) flow: u32,
    /// Octets of IP packets that it may send, headers included.
    pub(crate) octets: u32,
    /// Nothing is left of the turn beyond them.
    is_whole: bool,
}

/// Why a flow sent no more in its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rest {
    /// Its next packet exceeds the allowance.
    Waits,
    /// It has nothing to send, or a window or its own pacing forbids it.
    Idle,
    /// The sink is full or the budget of the call is spent: the turn goes on later.
    Interrupted,
}

/// All vouched rates of an engine. Plain old data; all zeroes before the first use, and any content
/// is harmless.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Shares {
    shares: [Share; SHARES],
    /// One bit for each share with a flow in its ring.
    waiting: u32,
    /// The share to look at first, so that all have their turns where the sink is the bottleneck.
    first: u32,
}

// Lives in the engine's head.
const _: () = assert!(size_of::<Shares>() < 1024);

impl Shares {
    /// No rate was vouched for yet.
    pub(crate) const EMPTY: Self = Self {
        shares: [Share::EMPTY; SHARES],
        waiting: 0,
        first: 0,
    };

    /// A flow begins to use a share of `rate` octets per second (unlimited if zero), with packets of
    /// at most `segment` octets, or `super_segment` where the sink cuts them. The first flow sets
    /// the rate; it stays until the last has been closed, unless it is set anew.
    pub(crate) fn open(&mut self, share: u8, rate: u32, segment: u16, super_segment: u16) {
        if let Some(slot) = self.slot_mut(share) {
            slot.open(rate, segment, super_segment);
        }
    }

    /// Forgets the flows of every share, and answers the rates that were set.
    pub(crate) fn forget_flows(&mut self) -> [u32; SHARES] {
        let rates = self.shares.map(|share| share.rate());
        *self = Self::EMPTY;
        rates
    }

    /// Gives every share that is in use its rate back.
    pub(crate) fn restore_rates(&mut self, rates: [u32; SHARES]) {
        for (share, rate) in self.shares.iter_mut().zip(rates) {
            share.set_rate(rate);
        }
    }

    /// Gives a share another rate, in octets per second (unlimited if zero). `false` if no flow uses it.
    pub(crate) fn set_rate(&mut self, share: u8, rate: u32) -> bool {
        self.slot_mut(share).is_some_and(|slot| slot.set_rate(rate))
    }

    /// A flow that was opened does not use the share any more. It must wait in its ring no longer.
    pub(crate) fn close(&mut self, share: u8) {
        if let Some(slot) = self.slot_mut(share) {
            slot.close();
        }
    }

    /// Octets per second that a flow with these bounds can expect, for its window; at most the
    /// share's rate.
    pub(crate) fn fair_rate(&self, share: u8, floor: u32, ceiling: u32) -> u32 {
        self.slot(share)
            .map_or(1, |slot| slot.entitlement(floor, ceiling))
    }

    /// How a flow of the share keeps its ceiling, in octets per second; `u32::MAX` is none. The share
    /// bounds the bursts.
    pub(crate) fn ceiling_pace(&self, share: u8, ceiling: u32) -> Pace {
        self.slot(share)
            .map_or(Pace::UNPACED, |slot| slot.ceiling_pace(ceiling))
    }

    /// Whether a packet of `octets` that has just arrived may go on at once: nobody waits, and the
    /// rate allows it. It counts as sent then.
    pub(crate) fn pass(&mut self, share: u8, now: Instant, octets: u32) -> bool {
        let Some(slot) = self.slot_mut(share) else {
            return false;
        };
        let may = slot.ring.is_empty() && octets <= slot.allowance(now);
        if may {
            slot.on_sent(now, octets);
        }
        may
    }

    /// Octets were sent outside of any turn: a repair or probe that a timer wants at once. Whoever
    /// comes next waits for them.
    pub(crate) fn charge(&mut self, share: u8, now: Instant, octets: u32) {
        if let Some(slot) = self.slot_mut(share) {
            slot.on_sent(now, octets);
        }
    }

    /// Flow `flow` has something to send that only the share holds back: it gets in line. `false`,
    /// and no change, if it waits somewhere already or is no member.
    pub(crate) fn join<T: ShareNode>(&mut self, nodes: &mut [T], share: u8, flow: u32) -> bool {
        let id = RingId::of_share(share);
        let Some(member) = node(nodes, flow).and_then(|node| node.member(share)) else {
            return false;
        };
        let Some(slot) = self.slot_mut(share) else {
            return false;
        };
        if slot.ring.is_empty() {
            // What a damaged ring has lost is in it by its own account only.
            slot.ring.remove(id, nodes, flow);
        }
        if !slot.ring.push_back(id, nodes, flow) {
            return false;
        }
        slot.on_join(&member);
        set_deficit(nodes, share, flow, 0);
        if slot.ring.front() == Some(flow) {
            Self::begin_turn(slot, nodes, share);
        }
        self.waiting |= bit(share);
        true
    }

    /// Flow `flow` waits in no share any more, for whatever reason, and loses what it saved.
    pub(crate) fn leave<T: ShareNode>(&mut self, nodes: &mut [T], flow: u32) {
        let ring = node(nodes, flow).and_then(|node| node.ready().ring());
        let Some(share) = ring.and_then(RingId::share) else {
            return;
        };
        let member = node(nodes, flow).and_then(|node| node.member(share));
        let Some(slot) = self.slot_mut(share) else {
            return;
        };
        let was_first = slot.ring.front() == Some(flow);
        if !slot.ring.remove(RingId::of_share(share), nodes, flow) {
            return;
        }
        set_deficit(nodes, share, flow, 0);
        slot.on_leave(&member.unwrap_or(Member {
            deficit: 0,
            floor: 0,
            ceiling: u32::MAX,
        }));
        if was_first {
            Self::begin_turn(slot, nodes, share);
        }
        if slot.ring.is_empty() {
            self.waiting &= !bit(share);
        }
    }

    /// The next flow that may send, and how much. Constant work; [`Shares::served`] must follow.
    pub(crate) fn visit<T: ShareNode>(&mut self, nodes: &mut [T], now: Instant) -> Option<Turn> {
        let first = self.first;
        for step in NUMBERS {
            if self.waiting == 0 {
                return None;
            }
            let share = index(first.wrapping_add(step.into()));
            if self.waiting & bit(share) == 0 {
                continue;
            }
            if let Some(turn) = self.visit_share(nodes, share, now) {
                self.first = u32::from(share).wrapping_add(1);
                return Some(turn);
            }
        }
        None
    }

    fn visit_share<T: ShareNode>(
        &mut self,
        nodes: &mut [T],
        share: u8,
        now: Instant,
    ) -> Option<Turn> {
        let id = RingId::of_share(share);
        let slot = self.slot_mut(share)?;
        let Some(flow) = slot.ring.front() else {
            self.waiting &= !bit(share);
            return None;
        };
        let allowance = slot.visitable(now)?;
        let waits = |node: &&T| node.ready().ring() == Some(id);
        let member = node(nodes, flow)
            .filter(waits)
            .and_then(|node| node.member(share));
        let Some(member) = member else {
            // Damage: whoever it is has no business here.
            slot.ring.pop_front(id, nodes);
            slot.on_leave(&Member {
                deficit: 0,
                floor: 0,
                ceiling: u32::MAX,
            });
            Self::begin_turn(slot, nodes, share);
            return None;
        };
        Some(Turn {
            share,
            flow,
            octets: member.deficit.min(allowance),
            is_whole: member.deficit <= allowance,
        })
    }

    /// How a visit went: the flow has sent `sent` octets and stopped for a reason. The flow may
    /// have left or come to an end meanwhile.
    pub(crate) fn served<T: ShareNode>(
        &mut self,
        nodes: &mut [T],
        now: Instant,
        turn: Turn,
        sent: u32,
        rest: Rest,
    ) {
        let Turn { share, flow, .. } = turn;
        let id = RingId::of_share(share);
        self.charge(share, now, sent);
        let waits = |node: &&T| node.ready().ring() == Some(id);
        let member = node(nodes, flow)
            .filter(waits)
            .and_then(|node| node.member(share));
        let (Some(member), Some(slot)) = (member, self.slot_mut(share)) else {
            return;
        };
        let deficit = member.deficit.saturating_sub(sent);
        let goes_on = match rest {
            Rest::Idle => {
                self.leave(nodes, flow);
                return;
            }
            Rest::Interrupted => deficit > 0,
            Rest::Waits => !turn.is_whole && sent > 0 && slot.is_worth_a_visit(deficit),
        };
        set_deficit(nodes, share, flow, deficit);
        if goes_on {
            slot.set_need(deficit);
            return;
        }
        slot.ring.remove(id, nodes, flow);
        slot.ring.push_back(id, nodes, flow);
        Self::begin_turn(slot, nodes, share);
    }

    /// When [`Shares::visit`] should be called next; `None` if nobody waits for a turn.
    #[inline]
    pub(crate) fn next_at(&self, now: Instant) -> Option<Instant> {
        if self.waiting == 0 {
            return None;
        }
        self.first_turn(now)
    }

    fn first_turn(&self, now: Instant) -> Option<Instant> {
        NUMBERS
            .filter(|&share| self.waiting & bit(share) != 0)
            .filter_map(|share| self.slot(share))
            .map(|slot| slot.visitable_at(now))
            .min()
    }

    /// The first flow of the ring gets its quantum.
    fn begin_turn<T: ShareNode>(slot: &mut Share, nodes: &mut [T], share: u8) {
        let Some(flow) = slot.ring.front() else {
            return;
        };
        let member = node(nodes, flow).and_then(|node| node.member(share));
        let deficit = member.map_or(0, |member| slot.begin_turn(&member));
        set_deficit(nodes, share, flow, deficit);
        slot.set_need(deficit);
    }

    fn slot(&self, share: u8) -> Option<&Share> {
        self.shares.get(usize::from(index(share.into())))
    }

    fn slot_mut(&mut self, share: u8) -> Option<&mut Share> {
        self.shares.get_mut(usize::from(index(share.into())))
    }
}

/// A share's number from any.
const fn index(number: u32) -> u8 {
    (number & 15) as u8
}

fn bit(share: u8) -> u32 {
    1 << index(share.into())
}

fn node<T>(nodes: &[T], flow: u32) -> Option<&T> {
    nodes.get(usize::try_from(flow).ok()?)
}

fn set_deficit<T: ShareNode>(nodes: &mut [T], share: u8, flow: u32, deficit: u32) {
    let flow = usize::try_from(flow).ok();
    if let Some(node) = flow.and_then(|flow| nodes.get_mut(flow)) {
        node.set_deficit(share, deficit);
    }
}

#[cfg(test)]
mod tests;
