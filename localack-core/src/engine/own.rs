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

    /// A segment that services of the caller's own see first. They see only what arrived whole.
    #[expect(
        clippy::too_many_arguments,
        reason = "a packet, its circumstances and its flow"
    )]
    pub(super) fn on_tcp_of_services<S: Sink + ?Sized>(
        &mut self,
        mask: u8,
        (slot, id, key): (u32, FlowId, &FlowKey),
        port: Port,
        wall: Instant,
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
        sink: &mut S,
    ) -> Verdict {
        if meta.checksum == Checksum::Verify && !checksum::verify(packet, seg) {
            return Verdict::Pass(PassReason::BadChecksum);
        }
        let (circumstances, flow) = ((port, wall), (id, *key));
        let mut passing = Passing::new(packet, seg, meta, circumstances, flow, sink);
        let step = self.services.on_segment(mask, &mut passing);
        let (sent, edited, seg) = passing.finish();
        let counters = &mut self.storage.head.counters;
        counters.count_own(sent);
        if step == Step::Absorb {
            return Verdict::Absorb(AbsorbReason::Own);
        }
        let Some(seg) = seg else {
            return Verdict::Forward;
        };
        // Its addresses cannot have been edited, so it is of the same flow.
        let verdict = self.on_known_tcp(slot, key, port, wall, packet, &seg, meta, sink);
        if edited && matches!(verdict, Verdict::Pass(_)) {
            Verdict::Forward
        } else {
            verdict
        }
    }
}
