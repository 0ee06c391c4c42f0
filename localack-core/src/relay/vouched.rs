//! Sending at a rate that the operator vouches for: whether a segment may go now, or its flow has to
//! wait until its share comes round to it.

use super::Work;
use crate::congestion::{Controller, Start};
use crate::flow::FlowSlot;
use crate::flow::stream::StreamFlags;
use crate::half::send::SendFlags;
use crate::pacing::{Member, ShareNode};
use crate::policy::Direction;
use crate::sink::Sink;
use crate::time::Stamp;

/// A flow's turn at a vouched rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct TurnTaken {
    pub(crate) share: u8,
    /// Octets of IP packets that are left of it.
    pub(crate) left: u32,
    /// Octets that it has used.
    pub(crate) used: u32,
    /// A segment did not fit what was left.
    pub(crate) waits: bool,
}

impl FlowSlot {
    /// The direction whose data uses `share`, the first where both do. One that has just left the service
    /// may still be in line for it.
    pub(crate) fn direction_of(&self, share: u8) -> Option<Direction> {
        let uses =
            |&direction: &Direction| self.stream(direction).send.congestion.share() == Some(share);
        let mut active = Direction::BOTH
            .into_iter()
            .filter(|&direction| self.stream(direction).is_active());
        active
            .find(uses)
            .or_else(|| Direction::BOTH.into_iter().find(uses))
    }
}

impl ShareNode for FlowSlot {
    fn member(&self, share: u8) -> Option<Member> {
        let direction = self.direction_of(share)?;
        let vouched = self.stream(direction).send.congestion.provisioned()?;
        Some(Member {
            deficit: vouched.deficit,
            floor: vouched.floor(),
            ceiling: vouched.ceiling(),
        })
    }

    fn set_deficit(&mut self, share: u8, deficit: u32) {
        if let Some(direction) = self.direction_of(share) {
            let congestion = &mut self.stream_mut(direction).send.congestion;
            congestion.set_deficit(deficit);
        }
    }
}

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Octets of the IP packets that carry `octets` of payload.
    pub(super) fn packet_octets(&self, direction: Direction, octets: u32) -> u32 {
        let mss = u32::from(self.flow.stream(direction).send.mss()).max(1);
        let headers = u32::from(self.header_octets());
        let packets = if octets <= mss {
            1
        } else {
            octets.div_ceil(mss)
        };
        octets.saturating_add(packets.saturating_mul(headers))
    }

    /// Octets of payload left out of turn.
    pub(super) fn charge_share(&mut self, direction: Direction, octets: u32) {
        if let Some(share) = self.flow.stream(direction).send.congestion.share() {
            let packets = self.packet_octets(direction, octets);
            self.shares.charge(share, self.now, packets);
        }
    }

    /// Begins to use the vouched rate that the direction's controller names, if it does.
    pub(super) fn open_share(&mut self, direction: Direction) {
        // The largest packet that it may ever send: a size that grows again must not be too large for
        // every turn.
        let congestion = &self.flow.stream(direction).send.congestion;
        let segment = self.segment_size(direction).max(congestion.mss());
        let packet = self.header_octets().saturating_add(segment);
        if let (Some(share), Some(vouched)) = (congestion.share(), congestion.provisioned()) {
            let most = self.config.super_segment;
            self.shares.open(share, vouched.rate, packet, most);
        }
    }

    /// The engine has come back to a flow that it knows from the memory alone.
    pub(crate) fn resume_service(&mut self) {
        for direction in Direction::BOTH {
            if !self.flow.stream(direction).chain.has_quota() {
                continue;
            }
            self.open_share(direction);
            if self.has_plan(direction) {
                // It may have waited for its turn.
                self.share_waits = self.flow.stream(direction).send.congestion.share();
            }
        }
    }

    /// Another controller takes over.
    pub(crate) fn set_controller(&mut self, direction: Direction, controller: Controller) {
        let serves = self.flow.stream(direction).chain.has_quota();
        let now = self.now;
        let initial_segments = self.initial_segments();
        let send = &mut self.flow.stream_mut(direction).send;
        if serves && let Some(share) = send.congestion.share() {
            self.shares.close(share);
        }
        let start = Start {
            now,
            mss: send.mss(),
            initial_segments,
            rtt_us: send.srtt_us(),
        };
        send.congestion.choose(controller, &start);
        let stream = self.flow.stream_mut(direction);
        let repairs = stream.flags.has(StreamFlags::RECOVERY);
        let send = &mut stream.send;
        let lost = repairs && !send.flags.has(SendFlags::TIMED_OUT);
        let reduces = lost || send.flags.has(SendFlags::ECN_REDUCED);
        if reduces && !send.congestion.needs_pacing() {
            // It was not there when the loss was found, and knows no window to arrive at.
            send.congestion.on_congestion(now, send.in_flight());
        }
        if serves {
            self.open_share(direction);
        }
    }

    /// Gives up what the direction holds, and its part of a vouched rate.
    pub(super) fn retire(&mut self, direction: Direction) {
        if self.flow.stream(direction).is_active() {
            self.teach(direction);
        }
        let stream = self.flow.stream_mut(direction);
        if stream.chain.has_quota()
            && let Some(share) = stream.send.congestion.share()
        {
            self.shares.close(share);
        }
        self.pool.retire(&mut stream.chain);
        stream.send.pace_due = Stamp::NEVER;
    }

    /// Takes in what the direction's share has to give at present.
    pub(super) fn follow_share(&mut self, direction: Direction) {
        let send = &mut self.flow.stream_mut(direction).send;
        if let (Some(share), Some(mut vouched)) =
            (send.congestion.share(), send.congestion.provisioned())
        {
            vouched.rate = self
                .shares
                .fair_rate(share, vouched.floor(), vouched.ceiling());
            let srtt_us = send.srtt_us();
            send.congestion.set_provisioned(vouched, srtt_us);
        }
    }

    /// It is the flow's turn at a vouched rate, which its other direction may use as well; or it waits
    /// for another, for which the flow cannot be in line meanwhile. Whether it would send more if there
    /// were room.
    pub(crate) fn on_turn(&mut self, turn: TurnTaken) -> bool {
        let share = turn.share;
        self.turn = Some(turn);
        for direction in Direction::BOTH {
            if self
                .flow
                .stream(direction)
                .send
                .congestion
                .share()
                .is_some()
            {
                self.pump(direction);
            }
        }
        (self.room == 0 || self.blocked)
            && Direction::BOTH.into_iter().any(|direction| {
                let stream = self.flow.stream(direction);
                let uses = stream.is_active() && stream.send.congestion.share() == Some(share);
                uses && self.has_plan(direction)
            })
    }

    /// Whether a segment of `octets` may go now as far as a vouched rate is concerned; it counts as
    /// sent then.
    pub(super) fn share_lets_pass(&mut self, direction: Direction, octets: u32) -> bool {
        let Some(share) = self.flow.stream(direction).send.congestion.share() else {
            return true;
        };
        let packets = self.packet_octets(direction, octets);
        if self.flow.stream(direction).flags.has(StreamFlags::HELD) {
            // The one segment that probes a dead path is for all of its flows, and waits for none.
            self.shares.charge(share, self.now, packets);
            return true;
        }
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.share == share) {
            let fits = packets <= turn.left;
            if fits {
                turn.left = turn.left.saturating_sub(packets);
                turn.used = turn.used.saturating_add(packets);
            }
            turn.waits |= !fits;
            return fits;
        }
        let passes = self.shares.pass(share, self.now, packets);
        if !passes {
            self.share_waits = Some(share);
        }
        passes
    }
}
