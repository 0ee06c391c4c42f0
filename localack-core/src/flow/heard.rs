//! Segments after which a flow is as good with a part of what is written for them as with all of it.
//!
//! What is written says what went by, or is advice: somebody who dies in the middle of it has done no more harm
//! than a packet that is lost behind him.

use super::phase::Phase;
use super::stream::{Stream, StreamFlags};
use super::{FlowFlags, FlowSlot};
use crate::event::DemoteCause;
use crate::policy::Direction;
use crate::wire::{Flags, IpVersion, Segment};

impl FlowSlot {
    /// Whether no more is written to the flow for a segment that travels in `direction` than when it came, how its
    /// host's packets look and which timestamp it has, the numbers of directions that are only watched, and how
    /// far the congestion window is used. It may be so although this says no.
    #[inline(always)]
    pub(crate) fn only_hears(&self, direction: Direction, seg: &Segment) -> bool {
        self.stream(direction.reverse()).is_only_watched() && self.is_at_rest_for(direction, seg)
    }

    /// The same, if the direction that it acknowledges is only watched.
    #[inline(always)]
    fn is_at_rest_for(&self, direction: Direction, seg: &Segment) -> bool {
        let (data, echo) = (self.stream(direction), self.stream(direction.reverse()));
        (data.is_only_watched() || data.is_at_rest_for(seg))
            && self.phase() == Phase::Open
            && !self.flags.has(FlowFlags::SYN_PENDING)
            && seg.flags.without(Flags::PSH) == Flags::ACK
            // Else data went round (rule H9.3).
            && seg.ack.at_or_before(echo.recv.seq_max)
            && self.unfit(seg).is_none()
    }

    /// What about a segment, once it is verified, keeps its direction from being served (rules
    /// H5.8, H5.9 and H10.3).
    pub(crate) fn unfit(&self, seg: &Segment) -> Option<DemoteCause> {
        if !seg.options.unusual.is_empty() {
            Some(DemoteCause::UnknownOption)
        } else if seg.flags.contains(Flags::URG) {
            Some(DemoteCause::Urgent)
        } else if seg.version == IpVersion::V4
            && !seg.ip.dont_fragment
            && !self.flags.has(FlowFlags::ALLOW_DF)
        {
            Some(DemoteCause::DfClear)
        } else {
            None
        }
    }
}

impl Stream {
    /// Whether the sender of data that is acknowledged early says nothing of it with `seg`, and nothing is owed.
    fn is_at_rest_for(&self, seg: &Segment) -> bool {
        let usual = StreamFlags::PROVEN
            .or(StreamFlags::SACK_PROMISED)
            .or(StreamFlags::RECOVERY);
        !seg.has_payload()
            && self.is_plainly_served()
            && self.flags.or(usual) == usual
            && seg.seq == self.recv.seq_max
    }
}
