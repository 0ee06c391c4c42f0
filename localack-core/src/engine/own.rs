//! The caller's own services: which of them see a segment, and what becomes of it after them.

use super::Engine;
use crate::flow::{FlowId, FlowKey};
use crate::policy::{Direction, Policy, Port};
use crate::services::{PacketServices, Passing, Step};
use crate::shaping::ShapingId;
use crate::sink::{Checksum, PacketMeta, Sink};
use crate::time::Instant;
use crate::verdict::{AbsorbReason, PassReason, Verdict};
use crate::wire::{Segment, checksum};

impl<P: Policy, X: PacketServices> Engine<'_, P, X> {
    /// Which of the caller's own services see segments that arrive on `port`, and whose they are; `None` if
    /// none does.
    pub(super) fn named_services(&self, slot: u32, port: Port) -> Option<(u8, FlowId)> {
        let direction = Direction::arriving_on(port);
        let shaping = self.slot(slot)?.stream(direction).shaping();
        if shaping == ShapingId::NONE {
            return None;
        }
        let mask = self.storage.head.shapings.get(shaping).own;
        let id = self.id_of(slot)?;
        (mask != 0).then_some((mask, id))
    }

    /// Lets services of the caller's own see a segment first, if it arrived whole: what of it goes on and whether
    /// they have edited it, or what has become of it.
    #[inline(never)]
    pub(super) fn show_to_services<S: Sink + ?Sized>(
        &mut self,
        (mask, flow): (u8, (FlowId, FlowKey)),
        circumstances: (Port, Instant),
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
        sink: &mut S,
    ) -> Result<(Segment, bool), Verdict> {
        if meta.checksum == Checksum::Verify && !checksum::verify(packet, seg) {
            return Err(Verdict::Pass(PassReason::BadChecksum));
        }
        let mut passing = Passing::new(packet, seg, meta, circumstances, flow, sink);
        let step = self.services.on_segment(mask, &mut passing);
        let (sent, edited, seg) = passing.finish();
        let counters = &mut self.storage.head.counters;
        counters.count_own(sent);
        if step == Step::Absorb {
            return Err(Verdict::Absorb(AbsorbReason::Own));
        }
        // Its addresses cannot have been edited, so it is of the same flow.
        seg.map(|seg| (seg, edited)).ok_or(Verdict::Forward)
    }
}
