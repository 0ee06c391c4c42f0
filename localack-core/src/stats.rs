//! Counters of the engine and snapshots of flows.

use core::time::Duration;

use crate::congestion::Controller;
use crate::flow::id::FlowId;
use crate::flow::key::FlowKey;
use crate::policy::{Direction, Port, Service};
use crate::seq::SeqNum;
use crate::shaping::ShapingId;
use crate::sink::TransmitKind;
use crate::verdict::{AbsorbReason, DropReason, PassReason, Verdict};

/// Counts since the engine was made. All saturate; none is ever reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    pass: [u64; PassReason::COUNT],
    forward: u64,
    absorb: [u64; AbsorbReason::COUNT],
    drop: [u64; DropReason::COUNT],
    transmit: [u64; TransmitKind::COUNT],
    /// Transmissions that the sink refused for the moment.
    pub sink_full: u64,
    /// Flows whose handshake was completed and that have got a slot.
    pub flows_adopted: u64,
    /// Connections left alone after a look at their handshake.
    pub flows_refused: u64,
    /// Unfinished handshakes forgotten to make room.
    pub handshakes_evicted: u64,
    /// Octets acknowledged to a sender and not delivered to its receiver, each of them announced
    /// in an [`Event`](crate::Event).
    pub octets_lost: u64,
    /// Retransmissions by a sender whose octets differ from the first copy (rule H5.2).
    pub conflicts: u64,
    /// Hand-overs at which the offered window had to shrink (rule H2.11).
    pub soft_drains: u64,
    /// Reductions of a congestion window because of a loss that deliveries told of, or of an ECN echo.
    pub recoveries: u64,
    /// Retransmission time-outs.
    pub timeouts: u64,
    /// Tail loss probes sent (RFC 8985).
    pub tail_probes: u64,
    /// Recoveries and time-outs that turned out needless and were taken back (RFC 4015).
    pub spurious_recoveries: u64,
    /// Segments sent to learn whether a dead path has come back.
    pub path_probes: u64,
    /// Flows that began where an earlier one to the same network left off.
    pub resumptions: u64,
}

impl Counters {
    /// All zero.
    pub const ZERO: Self = Self {
        pass: [0; PassReason::COUNT],
        forward: 0,
        absorb: [0; AbsorbReason::COUNT],
        drop: [0; DropReason::COUNT],
        transmit: [0; TransmitKind::COUNT],
        sink_full: 0,
        flows_adopted: 0,
        flows_refused: 0,
        handshakes_evicted: 0,
        octets_lost: 0,
        conflicts: 0,
        soft_drains: 0,
        recoveries: 0,
        timeouts: 0,
        tail_probes: 0,
        spurious_recoveries: 0,
        path_probes: 0,
        resumptions: 0,
    };

    pub(crate) fn count_verdict(&mut self, verdict: Verdict) {
        let cell = match verdict {
            Verdict::Pass(reason) => self.pass.get_mut(usize::from(reason.number())),
            Verdict::Forward => Some(&mut self.forward),
            Verdict::Absorb(reason) => self.absorb.get_mut(usize::from(reason.number())),
            Verdict::Drop(reason) => self.drop.get_mut(usize::from(reason.number())),
        };
        increment(cell);
    }

    pub(crate) fn count_transmit(&mut self, kind: TransmitKind) {
        increment(self.transmit.get_mut(usize::from(kind.number())));
    }

    pub(crate) fn count_own(&mut self, sent: u8) {
        let cell = self
            .transmit
            .get_mut(usize::from(TransmitKind::Own.number()));
        if let Some(count) = cell {
            *count = count.saturating_add(sent.into());
        }
    }

    /// Packets passed untouched for `reason`.
    #[must_use]
    pub fn passed(&self, reason: PassReason) -> u64 {
        self.pass
            .get(usize::from(reason.number()))
            .copied()
            .unwrap_or(0)
    }

    /// Packets edited in place and sent on.
    #[must_use]
    pub const fn forwarded(&self) -> u64 {
        self.forward
    }

    /// Packets absorbed for `reason`.
    #[must_use]
    pub fn absorbed(&self, reason: AbsorbReason) -> u64 {
        self.absorb
            .get(usize::from(reason.number()))
            .copied()
            .unwrap_or(0)
    }

    /// Packets discarded for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drop
            .get(usize::from(reason.number()))
            .copied()
            .unwrap_or(0)
    }

    /// Packets made by the engine and taken by the sink.
    #[must_use]
    pub fn transmitted(&self, kind: TransmitKind) -> u64 {
        self.transmit
            .get(usize::from(kind.number()))
            .copied()
            .unwrap_or(0)
    }

    /// Every counter with its group and its stable name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        let pass = PassReason::ALL
            .iter()
            .map(|&r| ("pass", r.slug(), self.passed(r)));
        let absorb = AbsorbReason::ALL
            .iter()
            .map(|&r| ("absorb", r.slug(), self.absorbed(r)));
        let drop = DropReason::ALL
            .iter()
            .map(|&r| ("drop", r.slug(), self.dropped(r)));
        let transmit = TransmitKind::ALL
            .iter()
            .map(|&k| ("transmit", k.slug(), self.transmitted(k)));
        let rest = [
            ("engine", "forwarded", self.forward),
            ("engine", "sink-full", self.sink_full),
            ("engine", "flows-adopted", self.flows_adopted),
            ("engine", "flows-refused", self.flows_refused),
            ("engine", "handshakes-evicted", self.handshakes_evicted),
            ("engine", "octets-lost", self.octets_lost),
            ("engine", "conflicts", self.conflicts),
            ("engine", "soft-drains", self.soft_drains),
            ("engine", "recoveries", self.recoveries),
            ("engine", "timeouts", self.timeouts),
            ("engine", "tail-probes", self.tail_probes),
            ("engine", "spurious-recoveries", self.spurious_recoveries),
            ("engine", "path-probes", self.path_probes),
            ("engine", "resumptions", self.resumptions),
        ];
        pass.chain(absorb).chain(drop).chain(transmit).chain(rest)
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::ZERO
    }
}

fn increment(cell: Option<&mut u64>) {
    if let Some(count) = cell {
        *count = count.saturating_add(1);
    }
}

/// Where a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FlowState {
    /// A SYN was seen.
    SynSeen,
    /// A SYN-ACK answered it.
    SynAckSeen,
    /// The handshake is complete.
    Open,
    /// An endpoint reset the connection; what was acknowledged is still being delivered.
    Resetting,
    /// The connection was reset; whoever speaks is told again.
    Tombstone,
}

/// What one direction of a flow is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DirectionMode {
    /// Data and acknowledgements pass as they are.
    Bypass,
    /// Data is stored and forwarded, and acknowledged by its receiver only: no proof yet.
    StoreAndForward,
    /// Data is acknowledged at once.
    LocalAck,
    /// What was acknowledged is delivered; nothing more is acknowledged early.
    Draining,
    /// Data and acknowledgements pass as they are; copies of the data answer losses.
    Snoop,
}

/// A snapshot of one direction of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct DirectionInfo {
    /// The service that is asked for.
    pub service: Service,
    /// What else is done with its packets.
    pub shaping: ShapingId,
    /// What the direction is doing.
    pub mode: DirectionMode,
    /// First octet that the receiver has not acknowledged (SND.UNA toward the receiver).
    pub snd_una: SeqNum,
    /// First octet not yet sent to the receiver (SND.NXT toward the receiver).
    pub snd_nxt: SeqNum,
    /// First octet not yet held in order (RCV.NXT toward the sender).
    pub rcv_nxt: SeqNum,
    /// Highest acknowledgement number sent to the data's sender.
    pub ack_sent: SeqNum,
    /// Right edge of the window offered to the sender.
    pub offered_edge: SeqNum,
    /// Octets acknowledged to the sender and not by the receiver.
    pub debt: u32,
    /// Octets of the pool's blocks that the direction holds.
    pub custody: u32,
    /// Smoothed round-trip time to the receiver, zero if unknown.
    pub srtt: Duration,
    /// Right edge of the receiver's own window.
    pub window_edge: SeqNum,
    /// Shortest round-trip time of the last minutes, zero if unknown.
    pub min_rtt: Duration,
    /// Who decides how much may be in flight.
    pub controller: Controller,
    /// Slow-start threshold, in octets.
    pub ssthresh: u32,
    /// Octets found lost that wait to be sent again.
    pub lost: u32,
    /// Octets that the receiver has SACKed.
    pub sacked: u32,
    /// Octets per second that the receiver has acknowledged of late.
    pub rate: u32,
    /// Congestion window toward the receiver, in octets.
    pub cwnd: u32,
    /// Estimate of the octets on their way to the receiver (RFC 6675 pipe).
    pub pipe: u32,
    /// Largest segment sent to the receiver, in octets of payload.
    pub mss: u16,
}

/// A snapshot of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct FlowInfo {
    /// Its id.
    pub id: FlowId,
    /// Its addresses and ports.
    pub key: FlowKey,
    /// Where it is in its life.
    pub state: FlowState,
    /// The side that opened the connection.
    pub client: Port,
    /// The differentiated-services octet of the client's latest packet, without ECN.
    pub traffic_class: u8,
    /// Data from the inner side.
    pub inner_to_outer: DirectionInfo,
    /// Data from the outer side.
    pub outer_to_inner: DirectionInfo,
}

impl FlowInfo {
    /// The snapshot of one direction.
    #[must_use]
    pub const fn direction(&self, direction: Direction) -> &DirectionInfo {
        match direction {
            Direction::InnerToOuter => &self.inner_to_outer,
            Direction::OuterToInner => &self.outer_to_inner,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_counter_is_listed_once_under_a_name_of_its_own() {
        let counters = Counters::ZERO;
        let names: HashSet<_> = counters
            .iter()
            .map(|(group, name, _)| (group, name))
            .collect();
        assert_eq!(names.len(), counters.iter().count());
        assert_eq!(names.len(), size_of::<Counters>() / size_of::<u64>());
    }

    #[test]
    fn a_counter_is_listed_with_its_own_count() {
        let counters = Counters {
            recoveries: 1,
            timeouts: 2,
            tail_probes: 3,
            spurious_recoveries: 4,
            path_probes: 5,
            resumptions: 6,
            ..Counters::ZERO
        };
        let counted: std::vec::Vec<_> = counters
            .iter()
            .filter(|&(_, _, count)| count > 0)
            .map(|(_, name, count)| (name, count))
            .collect();
        assert_eq!(
            counted,
            [
                ("recoveries", 1),
                ("timeouts", 2),
                ("tail-probes", 3),
                ("spurious-recoveries", 4),
                ("path-probes", 5),
                ("resumptions", 6),
            ]
        );
    }
}
