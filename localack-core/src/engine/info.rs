//! Snapshots of flows.

use core::time::Duration;

use super::Engine;
use crate::flow::phase::Phase;
use crate::flow::{FlowFlags, FlowSlot};
use crate::policy::Direction;
use crate::stats::{DirectionInfo, FlowInfo, FlowState};

impl<P, X> Engine<'_, P, X> {
    pub(super) fn info(&self, slot: u32) -> Option<FlowInfo> {
        let id = self.id_of(slot)?;
        let flow = self.slot(slot)?;
        let state = match flow.phase() {
            Phase::Free => return None,
            Phase::SynSeen => FlowState::SynSeen,
            Phase::SynAckSeen => FlowState::SynAckSeen,
            Phase::Open => FlowState::Open,
            Phase::Resetting { .. } => FlowState::Resetting,
            Phase::Tombstone => FlowState::Tombstone,
        };
        Some(FlowInfo {
            id,
            key: flow.key.unpack()?,
            state,
            client: flow.client(),
            traffic_class: flow.host(flow.client()).traffic_class(),
            inner_to_outer: self.direction_info(flow, Direction::InnerToOuter),
            outer_to_inner: self.direction_info(flow, Direction::OuterToInner),
        })
    }

    fn direction_info(&self, flow: &FlowSlot, direction: Direction) -> DirectionInfo {
        let stream = flow.stream(direction);
        let (recv, send) = (&stream.recv, &stream.send);
        let active = stream.is_active();
        DirectionInfo {
            service: stream.service(),
            shaping: stream.shaping(),
            mode: stream.mode(),
            snd_una: send.snd_una,
            snd_nxt: send.snd_nxt,
            rcv_nxt: if active {
                stream.rcv_nxt()
            } else {
                recv.seq_max
            },
            ack_sent: recv.ack_sent,
            offered_edge: recv.edge,
            debt: stream.debt(),
            custody: stream
                .chain
                .blocks()
                .saturating_mul(self.block_size.octets()),
            srtt: Duration::from_micros(send.srtt_us().unwrap_or(0).into()),
            window_edge: send.wnd_edge,
            min_rtt: Duration::from_micros(send.min_rtt.us().unwrap_or(0).into()),
            controller: send.congestion.controller(),
            ssthresh: send.congestion.ssthresh(),
            lost: send.lost.octets(),
            sacked: stream.chain.octets_sacked(),
            rate: if stream.snoops() { 0 } else { send.rate },
            cwnd: send.congestion.cwnd(),
            pipe: stream.pipe(flow.flags.has(FlowFlags::SACK)),
            mss: send.mss(),
        }
    }
}
