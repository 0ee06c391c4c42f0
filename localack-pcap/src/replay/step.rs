//! One packet through the engine, and everything that leaves because of it.

use localack_core::{
    AbsorbReason, Checksum, Event, FlowId, FlowKey, Instant, LinkId, PacketMeta, PassReason, Port,
    TransmitKind, Verdict,
};

use super::check::{Moment, SHADOW};
use super::options::{Inner, ReplayPolicy};
use super::tally::{self, Tally};
use super::twins::{BLOCK, Emission};
use super::{Arrival, Load, Replay, ReplayError, scene};
use crate::annotate::Captured;
use crate::bytes::Rest;
use crate::conversation::End;
use crate::dissect::{Flags, Segment};
use crate::link::IpPacket;

impl Replay<'_> {
    /// Gives the engines a packet, and follows what they do.
    pub(super) fn ingest(
        &mut self,
        arrival: &Arrival<'_>,
        link_id: u32,
    ) -> Result<(), ReplayError> {
        let moment = self.moment();
        let meta = PacketMeta {
            checksum: arrival.checksum,
            gso_size: 0,
            link: LinkId(link_id),
        };
        let mut packet = core::mem::take(&mut self.packet);
        packet.clear();
        packet.extend_from_slice(arrival.octets);
        let verdict = self
            .twins
            .ingest(arrival.port, moment.time, &mut packet, meta);
        // What the engine pushed leaves before the packet itself.
        let current = arrival.segment.map(|(_, observed)| observed.conversation);
        self.take_events(current);
        self.keep_for_comparison(arrival, verdict);
        self.take_output(moment)?;
        let edited = (verdict == Verdict::Forward).then_some(packet.as_slice());
        if let Some(annotator) = &mut self.annotator {
            let captured = Captured {
                port: arrival.port,
                time: self.clock.calendar(moment.time),
                octets: arrival.octets,
                wire_len: arrival.wire_len,
            };
            annotator.captured(&captured, verdict, edited)?;
        }
        self.packet_left(moment, arrival, verdict, edited);
        self.packet = packet;
        self.poll(moment.time)?;
        self.settle(moment, arrival);
        Ok(())
    }

    /// Reads a packet that leaves.
    fn read(&mut self, octets: &[u8]) -> Option<Segment> {
        let packet = IpPacket {
            rest: Rest::new(octets, octets.len()),
            link_id: 0,
        };
        self.reader.dissect(&packet).segment
    }

    /// Remembers data that the engine took.
    fn keep_for_comparison(&mut self, arrival: &Arrival<'_>, verdict: Verdict) {
        let Some((segment, observed)) = arrival.segment.filter(|_| arrival.direct) else {
            return;
        };
        let tally = &mut self.tallies[observed.conversation];
        if segment.payload == 0 || tally.flow.is_none() {
            return;
        }
        let direction = tally.direction_mut(observed.sender);
        match verdict {
            Verdict::Forward
            | Verdict::Absorb(AbsorbReason::Stored)
            | Verdict::Pass(PassReason::Untouched) => {
                let payload = payload(&segment, arrival.octets);
                direction.shadow.insert(observed.start, payload);
            }
            Verdict::Pass(PassReason::Truncated) => direction.cut_packets += 1,
            Verdict::Pass(_) | Verdict::Absorb(_) | Verdict::Drop(_) => {}
        }
    }

    /// Counts and checks what became of a captured packet.
    fn packet_left(
        &mut self,
        moment: Moment,
        arrival: &Arrival<'_>,
        verdict: Verdict,
        edited: Option<&[u8]>,
    ) {
        let agree = self.twins.agree();
        self.checker.expect(moment, agree, || {
            "two engines did not do the same".to_owned()
        });
        let Some((segment, observed)) = arrival.segment else {
            return;
        };
        let tally = &mut self.tallies[observed.conversation];
        match verdict {
            Verdict::Pass(reason) => tally.pass(reason),
            Verdict::Forward => tally.direction_mut(observed.sender).rewritten += 1,
            Verdict::Absorb(AbsorbReason::Acknowledgement) => {
                tally.direction_mut(observed.sender.other()).absorbed_acks += 1;
            }
            Verdict::Absorb(_) | Verdict::Drop(_) => {}
        }
        let left = match (verdict, edited) {
            (Verdict::Pass(_), _) => Some(segment),
            (_, Some(octets)) => self.check_edited(moment, arrival, &segment, octets),
            _ => None,
        };
        if let Some(left) = left {
            self.acknowledged(
                observed.conversation,
                observed.sender.other(),
                &left,
                moment.time,
            );
        }
    }

    fn check_edited(
        &mut self,
        moment: Moment,
        arrival: &Arrival<'_>,
        before: &Segment,
        octets: &[u8],
    ) -> Option<Segment> {
        let after = self.read(octets);
        self.checker.edited(
            moment,
            before,
            after.as_ref(),
            arrival.checksum == Checksum::Partial,
        );
        let unchanged = payload(before, arrival.octets) == payload(before, octets);
        self.checker.payload(moment, before, unchanged);
        let (after, (_, observed)) = after.zip(arrival.segment)?;
        if after.ack != before.ack {
            let conversation = &self.conversations.all()[observed.conversation];
            let to = observed.sender.other();
            self.checker
                .acknowledgement(moment, conversation, to, &after);
        }
        Some(after)
    }

    /// An acknowledgement reaches `to`.
    fn acknowledged(&mut self, conversation: usize, to: End, segment: &Segment, now: Instant) {
        if !segment.flags.has(Flags::ACK) {
            return;
        }
        let position = self.conversations.all()[conversation].position(to, segment.ack);
        if let Some(position) = position {
            let wait = &mut self.tallies[conversation].direction_mut(to).engine;
            wait.outstanding.acknowledge(position, now, &mut wait.waits);
            let scene = scene(&self.conversations, &self.tallies, conversation, now);
            self.watch.acknowledged(&scene, to, position);
        }
    }

    /// Looks at everything that the engine made since the last time.
    pub(super) fn take_output(&mut self, moment: Moment) -> Result<(), ReplayError> {
        self.take_events(None);
        for at in 0..self.twins.outbox.emissions.len() {
            let emission = self.twins.outbox.emissions[at];
            self.emission(moment, &emission)?;
        }
        self.twins.outbox.clear();
        Ok(())
    }

    fn emission(&mut self, moment: Moment, emission: &Emission) -> Result<(), ReplayError> {
        let octets = self.twins.outbox.packet(emission);
        if let Some(annotator) = &mut self.annotator {
            let time = self.clock.calendar(moment.time);
            annotator.made(emission.port, time, emission.kind, octets)?;
        }
        let packet = IpPacket {
            rest: Rest::new(octets, octets.len()),
            link_id: 0,
        };
        let segment = self.reader.dissect(&packet).segment;
        self.checker.made(moment, emission.kind, segment.as_ref());
        let known = self.flows.get(&emission.flow).copied();
        self.checker.expect(moment, known.is_some(), || {
            "a packet of an unknown flow".to_owned()
        });
        let Some((index, segment)) = known.zip(segment) else {
            return Ok(());
        };
        let conversation = &self.conversations.all()[index];
        let to = tally::end(emission.port, conversation.client());
        let tally = &mut self.tallies[index];
        count(tally, emission.kind, to);
        if emission.kind != TransmitKind::Reset {
            self.checker
                .acknowledgement(moment, conversation, to, &segment);
        }
        if segment.payload > 0 {
            let (from, data) = (to.other(), payload(&segment, octets));
            let shadow = &tally.direction(from).shadow;
            self.checker
                .data(moment, conversation, from, shadow, &segment, data);
            if let Some(start) = conversation.position(from, segment.payload_seq()) {
                let end = start + i64::from(segment.payload);
                let again = emission.kind == TransmitKind::Retransmission;
                let scene = scene(&self.conversations, &self.tallies, index, moment.time);
                self.watch.sent(&scene, from, start, end, again);
            }
        }
        self.acknowledged(index, to, &segment, moment.time);
        Ok(())
    }

    /// Looks at the events since the last time; `current` is the conversation that caused them.
    fn take_events(&mut self, current: Option<usize>) {
        for at in 0..self.twins.outbox.events.len() {
            match self.twins.outbox.events[at] {
                Event::Adopted {
                    flow,
                    key,
                    handshake,
                } => {
                    let Some(index) = current.or_else(|| self.conversation_of(&key)) else {
                        continue;
                    };
                    self.flows.insert(flow, index);
                    let inner = match self.options.inner {
                        Inner::Auto => Some(ReplayPolicy::inner_by_round_trip(&handshake)),
                        Inner::Networks(_) => self.inner_by_network(&key),
                    };
                    let tally = &mut self.tallies[index];
                    (tally.flow, tally.adopted, tally.inner) = (Some(flow), true, inner);
                }
                Event::Refused { key, reason, .. } => {
                    if let Some(index) = current.or_else(|| self.conversation_of(&key)) {
                        self.tallies[index].refused.get_or_insert(reason);
                    }
                }
                // Its last packets may still have to be looked at.
                Event::Closed { flow, .. } => self.closed.push(flow),
                _ => {}
            }
        }
        self.twins.outbox.events.clear();
    }

    /// The port of the only end in the inner networks.
    fn inner_by_network(&self, key: &FlowKey) -> Option<Port> {
        match ReplayPolicy::new(self.options).inner_by_network(key)[..] {
            [port] => Some(port),
            _ => None,
        }
    }

    fn conversation_of(&self, key: &FlowKey) -> Option<usize> {
        let inner = (key.inner(), key.inner_port());
        let outer = (key.outer(), key.outer_port());
        self.conversations
            .lookup(inner, outer)
            .map(|(index, _)| index)
    }

    /// Takes stock of the flow of a packet once all that it caused has left.
    fn settle(&mut self, moment: Moment, arrival: &Arrival<'_>) {
        if let Some((_, observed)) = arrival.segment {
            self.take_stock(moment, observed.conversation);
        }
        for at in 0..self.closed.len() {
            let flow = self.closed[at];
            if let Some(index) = self.flows.remove(&flow) {
                self.forget(index, flow);
            }
        }
        self.closed.clear();
        let engine = self.twins.first();
        let load = Load {
            custody: u64::from(engine.blocks_used()) * BLOCK as u64,
            flows: self.flows.len() as u64,
            adopted: engine.counters().flows_adopted,
            slots: engine.slots_used().into(),
        };
        self.watch.load(moment.time, load);
    }

    fn forget(&mut self, index: usize, flow: FlowId) {
        let tally = &mut self.tallies[index];
        if tally.flow == Some(flow) {
            tally.flow = None;
            self.custody -= core::mem::take(&mut tally.custody);
            End::BOTH
                .into_iter()
                .for_each(|end| tally.direction_mut(end).shadow = Default::default());
        }
    }

    fn take_stock(&mut self, moment: Moment, index: usize) {
        let conversation = &self.conversations.all()[index];
        let tally = &mut self.tallies[index];
        let Some(info) = tally.flow.and_then(|flow| self.twins.first().flow(flow)) else {
            return;
        };
        let (mut custody, mut debts) = (0, [0; 2]);
        for sender in End::BOTH {
            let state = info.direction(tally::direction(sender, conversation.client()));
            let direction = tally.direction_mut(sender);
            direction.peak_custody = direction.peak_custody.max(state.debt);
            custody += u64::from(state.custody);
            debts[sender as usize] = state.debt;
            if direction.shadow.len() > 0 {
                let floor = conversation.acknowledged(sender).unwrap_or(i64::MIN);
                direction
                    .shadow
                    .trim(floor, if state.custody == 0 { 0 } else { SHADOW });
            }
        }
        self.custody = self.custody + custody - tally.custody;
        tally.custody = custody;
        let scene = scene(&self.conversations, &self.tallies, index, moment.time);
        for from in End::BOTH {
            self.watch.custody(&scene, from, debts[from as usize]);
        }
        self.checker.custody(moment, self.custody, self.lent);
    }
}

/// The payload of a segment that ends its packet.
fn payload<'p>(segment: &Segment, octets: &'p [u8]) -> &'p [u8] {
    octets
        .len()
        .checked_sub(segment.payload as usize)
        .and_then(|at| octets.get(at..))
        .unwrap_or_default()
}

/// Counts a packet that the engine made and sends to `to`.
fn count(tally: &mut Tally, kind: TransmitKind, to: End) {
    match kind {
        TransmitKind::LocalAck | TransmitKind::DuplicateAck | TransmitKind::WindowUpdate => {
            tally.direction_mut(to).local_acks += 1;
        }
        TransmitKind::Data => tally.direction_mut(to.other()).custody_segments += 1,
        TransmitKind::Retransmission => tally.direction_mut(to.other()).engine_retransmissions += 1,
        _ => {}
    }
}
