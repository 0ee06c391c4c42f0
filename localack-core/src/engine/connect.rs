//! Handshakes on their way through: which connection gets a slot, and when its service begins.

use super::{Engine, INGEST_ROOM};
use crate::event::Event;
use crate::flow::admit::{syn_info, unservable_together};
use crate::flow::host::{PendingSyn, unservable};
use crate::flow::phase::Phase;
use crate::flow::stream::StreamFlags;
use crate::flow::{FlowFlags, FlowKey, FlowSlot};
use crate::policy::{Admit, Direction, FlowConfig, Policy, Port, Service, SynInfo};
use crate::relay::{Work, kind_of};
use crate::services::PacketServices;
use crate::shaping::ShapingId;
use crate::sink::{Checksum, PacketMeta, Sink, SinkFull, Transmit};
use crate::time::{Due, Instant, Moment};
use crate::verdict::{PassReason, Verdict};
use crate::wire::{Flags, Rewrite, Segment, checksum};

/// A sink for work that sends nothing and whose news is told otherwise.
#[derive(Debug)]
pub(super) struct Quiet;

impl Sink for Quiet {
    fn transmit(&mut self, _: Transmit<'_>) -> Result<(), SinkFull> {
        Err(SinkFull)
    }
}

/// A handshake packet goes on as it is.
const PASSED: Verdict = Verdict::Pass(PassReason::Handshake);

#[expect(
    clippy::too_many_arguments,
    reason = "a packet, its circumstances and its flow"
)]
impl<P: Policy, X: PacketServices> Engine<'_, P, X> {
    /// The SYN of a connection that is not known.
    pub(super) fn on_first_syn<S: Sink + ?Sized>(
        &mut self,
        key: &FlowKey,
        port: Port,
        wall: Instant,
        seg: &Segment,
        sink: &mut S,
    ) -> Verdict {
        let answer = self.judge_syn(key, port, seg);
        let config = match answer {
            Ok(config) => config,
            Err(reason) => return self.refuse(key, port, reason, wall, sink),
        };
        let has_room = self.make_room();
        let Some(slot) = has_room.then(|| self.take_slot(key)).flatten() else {
            return self.refuse(key, port, PassReason::TableFull, wall, sink);
        };
        self.begin(slot, port, seg, &config);
        PASSED
    }

    /// Lets a SYN or SYN-ACK that goes on announce no larger segments than its direction may have.
    pub(super) fn clamp_mss(
        &mut self,
        key: &FlowKey,
        port: Port,
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
        verdict: Verdict,
    ) -> Verdict {
        let direction = Direction::arriving_on(port);
        let (Verdict::Pass(PassReason::Handshake), Some(announced)) = (verdict, seg.options.mss)
        else {
            return verdict;
        };
        if !self.storage.head.shapings.clamp_any() {
            return verdict;
        }
        let Some(slot) = self.find(key) else {
            return verdict;
        };
        let shaping = self
            .slot(slot)
            .map_or(ShapingId::NONE, |flow| flow.stream(direction).shaping());
        let clamp = self.storage.head.shapings.get(shaping).mss_clamp;
        if clamp == 0 || announced <= clamp {
            return verdict;
        }
        let mut rewrite = Rewrite::new(packet, seg, kind_of(meta));
        rewrite.set_mss(clamp);
        if !rewrite.changed() {
            return verdict;
        }
        if let Some(flow) = self.slot_mut(slot) {
            flow.clamp_mss(port, seg.seq, clamp);
        }
        Verdict::Forward
    }

    /// Whether a connection may be served, as far as its SYN tells.
    fn judge_syn(
        &mut self,
        key: &FlowKey,
        port: Port,
        seg: &Segment,
    ) -> Result<FlowConfig, PassReason> {
        if self.storage.head.draining != 0 {
            return Err(PassReason::Draining);
        }
        if let Some(reason) = unservable(seg) {
            return Err(reason);
        }
        // A packet that comes by twice must not be served twice (rule H9.11).
        let mirrored = FlowKey::new(
            key.outer(),
            key.outer_port(),
            key.inner(),
            key.inner_port(),
            key.link(),
        );
        if self.find(&mirrored).is_some() {
            return Err(PassReason::WrongPort);
        }
        match self.policy.admit(key, port, &syn_info(seg)) {
            Admit::Pass => Err(PassReason::Policy),
            Admit::Adopt(config) => Ok(config),
        }
    }

    /// Starts a slot's life with a SYN.
    fn begin(&mut self, slot: u32, port: Port, seg: &Segment, config: &FlowConfig) {
        let now = self.storage.head.clock.now();
        let due = now.after(self.config.handshake_time);
        if let Some(flow) = self.slot_mut(slot) {
            flow.begin(port, seg, config, now);
            flow.observe(port, seg);
            flow.phase_due = Due::at(due);
        }
        self.storage.head.wheel.arm(self.storage.flows, slot, due);
    }

    /// Leaves a connection alone, and says so.
    fn refuse<S: Sink + ?Sized>(
        &mut self,
        key: &FlowKey,
        from: Port,
        reason: PassReason,
        wall: Instant,
        sink: &mut S,
    ) -> Verdict {
        let counters = &mut self.storage.head.counters;
        counters.flows_refused = counters.flows_refused.saturating_add(1);
        sink.event(
            wall,
            Event::Refused {
                key: *key,
                from,
                reason,
            },
        );
        Verdict::Pass(reason)
    }

    /// Leaves a connection alone whose handshake was followed so far.
    fn abandon<S: Sink + ?Sized>(
        &mut self,
        slot: u32,
        key: &FlowKey,
        from: Port,
        reason: PassReason,
        wall: Instant,
        sink: &mut S,
    ) -> Verdict {
        self.release_slot(slot);
        self.refuse(key, from, reason, wall, sink)
    }

    /// A SYN or SYN-ACK of a connection that is known.
    pub(super) fn on_syn<S: Sink + ?Sized>(
        &mut self,
        slot: u32,
        key: &FlowKey,
        port: Port,
        wall: Instant,
        packet: &[u8],
        seg: &Segment,
        meta: PacketMeta,
        sink: &mut S,
    ) -> Verdict {
        if meta.checksum == Checksum::Verify && !checksum::verify(packet, seg) {
            return Verdict::Pass(PassReason::BadChecksum);
        }
        let Some((phase, client)) = self.slot(slot).map(|flow| (flow.phase(), flow.client()))
        else {
            return PASSED;
        };
        if seg.flags.contains(Flags::ACK) {
            return self.on_syn_ack(slot, key, port, wall, seg, sink);
        }
        match phase {
            Phase::Free => {
                self.forget(slot, wall, sink);
                self.on_first_syn(key, port, wall, seg, sink)
            }
            Phase::SynSeen | Phase::SynAckSeen if port != client => {
                self.abandon(slot, key, port, PassReason::UnusualHandshake, wall, sink)
            }
            Phase::SynSeen | Phase::SynAckSeen => {
                self.on_syn_again(slot, port, seg);
                PASSED
            }
            Phase::Open | Phase::Resetting { .. } | Phase::Tombstone => {
                // Perhaps a new life of the connection, perhaps a forgery: only a SYN-ACK tells
                // (rules H7.6 and H7.7).
                let now = self.storage.head.clock.now();
                if let Some(flow) = self.slot_mut(slot) {
                    let own = flow.pending.is_established() && port == client;
                    if own && flow.pending.isn() == seg.seq {
                        // A copy of the SYN that began this connection (rule H7.7).
                        return PASSED;
                    }
                    flow.pending = PendingSyn::of(port, seg, now);
                    flow.flags.set(FlowFlags::SYN_PENDING);
                }
                PASSED
            }
        }
    }

    /// The client's SYN again, or another one in its place.
    fn on_syn_again(&mut self, slot: u32, port: Port, seg: &Segment) {
        let now = self.storage.head.clock.now();
        let Some(flow) = self.slot_mut(slot) else {
            return;
        };
        let again = flow.pending.isn() == seg.seq;
        if flow.phase() == Phase::SynSeen {
            // Hosts that get no answer leave options out, and the receiver knows the SYN that it gets.
            let config = flow.chosen();
            self.begin(slot, port, seg, &config);
        }
        if again && let Some(flow) = self.slot_mut(slot) {
            flow.note_syn_again(now);
        }
    }

    fn on_syn_ack<S: Sink + ?Sized>(
        &mut self,
        slot: u32,
        key: &FlowKey,
        port: Port,
        wall: Instant,
        seg: &Segment,
        sink: &mut S,
    ) -> Verdict {
        let now = self.storage.head.clock.now();
        let Some(flow) = self.slot(slot) else {
            return PASSED;
        };
        let answers = port == flow.pending.from().other() && flow.pending.is_answered_by(seg.ack);
        let is_new = match flow.phase() {
            Phase::SynSeen | Phase::SynAckSeen => true,
            Phase::Open | Phase::Resetting { .. } | Phase::Tombstone => {
                flow.flags.has(FlowFlags::SYN_PENDING)
            }
            Phase::Free => false,
        };
        if !answers || !is_new {
            // A repeated SYN-ACK, or somebody else's: the client judges (rules H7.3 and H7.7), and what
            // it answers must reach the server, which may not have had the third ACK.
            if let Some(flow) = self.slot_mut(slot)
                && flow.phase() == Phase::Open
            {
                let server = flow.stream_mut(Direction::arriving_on(port));
                server.flags.set(StreamFlags::KEEPALIVE_PASSED);
            }
            return PASSED;
        }
        let reason = unservable_together(&flow.pending, seg);
        if !flow.phase().is_embryonic()
            && let Err(verdict) = self.begin_again(slot, key, wall, sink)
        {
            return verdict;
        }
        if let Some(reason) = reason {
            return self.abandon(slot, key, port, reason, wall, sink);
        }
        let Some(flow) = self.slot_mut(slot) else {
            return PASSED;
        };
        if flow.phase() == Phase::SynAckSeen {
            flow.flags.set(FlowFlags::SYN_LOST);
        }
        flow.observe(port, seg);
        flow.on_syn_ack(seg, now);
        PASSED
    }

    /// The connection's addresses have a new tenant: what the old one was promised is lost with it
    /// (rule H7.6), and the slot begins anew with the SYN that was pending.
    ///
    /// # Errors
    /// The verdict for the SYN-ACK if the new connection is not followed.
    fn begin_again<S: Sink + ?Sized>(
        &mut self,
        slot: u32,
        key: &FlowKey,
        wall: Instant,
        sink: &mut S,
    ) -> Result<(), Verdict> {
        let Some(old) = self.slot(slot).copied() else {
            return Err(PASSED);
        };
        let from = old.pending.from();
        let lost = Direction::BOTH
            .iter()
            .fold(0_u32, |sum, &d| sum.saturating_add(old.stream(d).debt()));
        if let Some(flow) = self.id_of(slot)
            && old.phase() != Phase::Tombstone
        {
            let counters = &mut self.storage.head.counters;
            counters.octets_lost = counters.octets_lost.saturating_add(lost.into());
            sink.event(wall, Event::Reset { flow, from, lost });
        }
        if lost > 0 && old.phase() == Phase::Open {
            self.work(slot, wall, INGEST_ROOM, sink, |work| work.disown());
        }
        self.forget(slot, wall, sink);
        let host = *old.host(from);
        let config = match self.judge_again(key, &old.pending, host.traffic_class()) {
            Ok(config) => config,
            Err(reason) => return Err(self.refuse(key, from, reason, wall, sink)),
        };
        // The slot just given back is the next one taken.
        if self.take_slot(key) != Some(slot) {
            return Err(self.refuse(key, from, PassReason::TableFull, wall, sink));
        }
        let due = self
            .storage
            .head
            .clock
            .now()
            .after(self.config.handshake_time);
        if let Some(flow) = self.slot_mut(slot) {
            flow.set_phase(Phase::SynSeen);
            flow.set_client(from);
            flow.pending = old.pending;
            flow.configure(&config);
            *flow.host_mut(from) = host;
            flow.phase_due = Due::at(due);
        }
        self.storage.head.wheel.arm(self.storage.flows, slot, due);
        Ok(())
    }

    /// Whether a connection may be served whose SYN was remembered.
    fn judge_again(
        &mut self,
        key: &FlowKey,
        pending: &PendingSyn,
        traffic_class: u8,
    ) -> Result<FlowConfig, PassReason> {
        if self.storage.head.draining != 0 {
            return Err(PassReason::Draining);
        }
        if pending.is_unservable() {
            return Err(PassReason::NegotiatedOption);
        }
        let info: SynInfo = pending.info(traffic_class);
        match self.policy.admit(key, pending.from(), &info) {
            Admit::Pass => Err(PassReason::Policy),
            Admit::Adopt(config) => Ok(config),
        }
    }

    /// A segment without SYN of a connection that is being set up.
    pub(super) fn on_handshake_segment<S: Sink + ?Sized>(
        &mut self,
        slot: u32,
        key: &FlowKey,
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
        let Some(flow) = self.slot_mut(slot) else {
            return PASSED;
        };
        if seg.flags.contains(Flags::RST) {
            if flow.is_ended_by(port, seg) {
                self.release_slot(slot);
            }
            return PASSED;
        }
        if flow.phase() != Phase::SynAckSeen {
            return PASSED;
        }
        if !flow.is_third_ack(port, seg) {
            flow.watch_early(port, seg);
            return PASSED;
        }
        flow.observe(port, seg);
        if let Err(reason) = self.open(slot, key, wall, seg, sink) {
            return self.abandon(slot, key, port, reason, wall, sink);
        }
        let direction = Direction::arriving_on(port);
        self.work(slot, wall, INGEST_ROOM, sink, |work| {
            if seg.has_payload() || seg.flags.contains(Flags::FIN) {
                work.on_segment(direction, packet, seg, meta)
            } else {
                work.flow.seen_at = Moment::at(work.now);
                PASSED
            }
        })
        .map_or(PASSED, |(verdict, _)| verdict)
    }

    /// The handshake is complete: asks the policy again, and begins to serve.
    fn open<S: Sink + ?Sized>(
        &mut self,
        slot: u32,
        key: &FlowKey,
        wall: Instant,
        seg: &Segment,
        sink: &mut S,
    ) -> Result<(), PassReason> {
        if self.storage.head.draining != 0 {
            return Err(PassReason::Draining);
        }
        let now = self.storage.head.clock.now();
        let Some(flow) = self.slot(slot) else {
            return Err(PassReason::TableFull);
        };
        let handshake = flow.handshake(now);
        let config = self.policy.established(key, &handshake, flow.chosen());
        let idle = Due::at(now.after(self.config.idle_time));
        let Some(flow) = self.slot_mut(slot) else {
            return Err(PassReason::TableFull);
        };
        flow.configure(&config);
        flow.on_third_ack(seg, &handshake);
        flow.phase_due = idle;
        let wanted = wants_service(flow);
        if flow.drop_fragmentable(seg.version) {
            self.storage.head.embryonic = self.storage.head.embryonic.saturating_sub(1);
            return Err(PassReason::DfClear);
        }
        self.storage.head.embryonic = self.storage.head.embryonic.saturating_sub(1);
        let Some(flow) = self.id_of(slot) else {
            return Err(PassReason::TableFull);
        };
        // The news that custody has begun must come after the news of the flow.
        let promote = |work: &mut Work<'_, Quiet>| {
            Direction::BOTH.into_iter().for_each(|d| {
                work.try_promote(d);
                if work.flow.is_arranged() {
                    work.try_snoop(d);
                }
            })
        };
        self.work(slot, wall, 0, &mut Quiet, promote);
        let served = self.slot(slot).is_some_and(wants_service);
        if wanted && !served {
            return Err(PassReason::PoolFull);
        }
        let counters = &mut self.storage.head.counters;
        counters.flows_adopted = counters.flows_adopted.saturating_add(1);
        sink.event(
            wall,
            Event::Adopted {
                flow,
                key: *key,
                handshake,
            },
        );
        let arranged = self.slot(slot).is_some_and(FlowSlot::is_arranged);
        for direction in Direction::BOTH {
            if self
                .slot(slot)
                .is_some_and(|state| state.stream(direction).acks_early())
            {
                sink.event(wall, Event::CustodyBegun { flow, direction });
            }
            if arranged
                && self
                    .slot(slot)
                    .is_some_and(|state| state.stream(direction).snoops())
            {
                let service = Service::Snoop;
                let soft = false;
                let changed = Event::ServiceChanged {
                    flow,
                    direction,
                    service,
                    soft,
                };
                sink.event(wall, changed);
            }
        }
        Ok(())
    }
}

/// Whether any direction is to be served.
fn wants_service(flow: &FlowSlot) -> bool {
    Direction::BOTH
        .iter()
        .any(|&d| flow.stream(d).service() != Service::Bypass)
}
