//! The invariants, checked after each step. The module's table says which is where.

use core::time::Duration;

use localack_core::{
    Direction, DirectionInfo, DirectionMode, Event, FlowInfo, FlowState, PassReason, Port, Service,
};

use super::world::{BLOCK_SIZE, Checked, World, index};
use crate::laws::{Modes, Origin};
use crate::packet::{Flags, Packet};

/// How long a direction waits for its sender to fill a hole before what was reported behind it is
/// given back (T_drain, rule H2.11).
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

const fn is_custody(mode: Option<DirectionMode>) -> bool {
    matches!(
        mode,
        Some(DirectionMode::LocalAck | DirectionMode::Draining)
    )
}

impl World<'_> {
    /// Judges by the truth a segment of the connection's own that leaves by `port`: what it tells the
    /// host there of its own data.
    pub(super) fn check_departure(
        &mut self,
        port: Port,
        origin: Origin,
        packet: &Packet,
        modes: (Modes, Modes),
    ) -> Checked {
        let (own, peer) = (index(port), index(port.other()));
        let ack = self.hosts[own].position(packet.ack);
        if packet.flags.has(Flags::SYN) || !packet.flags.has(Flags::ACK) {
            return Ok(());
        }
        if packet.flags.has(Flags::RST) {
            return Ok(());
        }
        let received = self.hosts[peer].rcv;
        let ledger = &mut self.ledgers[own];
        if let Some(fin) = ledger.fin.filter(|&fin| ack > fin && received <= fin) {
            return Err(format!(
                "ACK {ack} of a FIN at {fin} that has not arrived (invariant 17)"
            ));
        }
        if ack > received && !ledger.arrived.covers(received, ack) {
            return Err(format!(
                "ACK {ack}, but the receiver has {received} and not all between has arrived (invariant 1)"
            ));
        }
        if ack > ledger.acked && !ledger.proven {
            return Err(format!("ACK {ack} before proof (invariant 20)"));
        }
        let served = is_custody(modes.0.by_source[own]) && is_custody(modes.1.by_source[own]);
        let passed_unjudged =
            matches!(origin, Origin::Passed(reason) if reason != PassReason::Untouched);
        if served && !passed_unjudged {
            self.check_blocks(port, packet, ack)?;
            self.check_echo(port, packet)?;
        }
        let shift = self.setup.shift.unwrap_or(0);
        let now = self.now_us;
        // Who has all of a segment drops it with its acknowledgement (RFC 9293 section 3.10.7.4).
        let seq = self.hosts[peer].position(packet.seq);
        let (end, low) = (seq + i64::from(packet.seq_len()), self.ledgers[peer].acked);
        if end < low && seq < low - 1 {
            return Ok(());
        }
        let ledger = &mut self.ledgers[own];
        if ledger.debt() == 0 {
            ledger.progress_at = now;
        }
        ledger.told = ledger.told.max(ack);
        ledger.edge = ledger.edge.max(ack + (i64::from(packet.window) << shift));
        ledger.promised.forget_below(ack);
        Ok(())
    }

    /// A sender in custody hears of the marks on its own way to the engine only (rule H11.3).
    fn check_echo(&self, port: Port, packet: &Packet) -> Checked {
        if packet.flags.has(Flags::ECE) && !self.marked[index(port)] {
            return Err("an echo of a congestion mark that was none (rule H11.3)".into());
        }
        Ok(())
    }

    /// Invariants 9 and 10: only octets that its sender has sent here are reported to it, and only
    /// those as duplicates that it has sent twice. What the receiver reports never is.
    fn check_blocks(&mut self, port: Port, packet: &Packet, ack: i64) -> Checked {
        let host = &self.hosts[index(port)];
        let position = |&(left, right): &(u32, u32)| (host.position(left), host.position(right));
        let blocks: Vec<_> = packet.options.sack.iter().map(position).collect();
        let ledger = &mut self.ledgers[index(port)];
        for (number, &(left, right)) in blocks.iter().enumerate() {
            let inside = blocks.get(1).is_some_and(|&(l, r)| l <= left && right <= r);
            if number == 0 && (left < ack || inside) {
                if !ledger.twice.covers(left, right) {
                    return Err(format!(
                        "D-SACK {left}:{right} of what was not sent here twice (invariant 10)"
                    ));
                }
                continue;
            }
            if !ledger.arrived.covers(left, right) {
                return Err(format!(
                    "SACK {left}:{right} was never stored (invariant 9)"
                ));
            }
            ledger.promised.insert(left, right);
        }
        Ok(())
    }

    /// What must hold whenever the engine is at rest.
    pub(super) fn audit(&mut self) -> Checked {
        let info = self.info();
        let live = info.filter(|flow| matches!(flow.state, FlowState::Open | FlowState::Resetting));
        for direction in Direction::BOTH {
            let direction_info = live.as_ref().map(|flow| flow.direction(direction));
            self.check_custody(direction, direction_info)?;
            if let Some(of) = direction_info {
                let source = index(direction.source());
                self.ledgers[source].stored = self.hosts[source].position(of.rcv_nxt.raw());
            }
            if let (Some(of), Some(FlowState::Open)) = (direction_info, live.map(|flow| flow.state))
            {
                self.check_numbers(direction, of)?;
            }
        }
        self.check_pool(info)
    }

    /// Invariants 1 and 11: what a sender was told and the receiver really lacks is held, or was
    /// declared lost.
    fn check_custody(&self, direction: Direction, info: Option<&DirectionInfo>) -> Checked {
        let ledger = &self.ledgers[index(direction.source())];
        let receiver = &self.hosts[index(direction.source().other())];
        let sender = &self.hosts[index(direction.source())];
        let has = receiver.octets_in_order();
        let lacks = ledger.told_octets() - has.max(ledger.lost_up_to);
        if lacks <= 0 {
            return Ok(());
        }
        let Some(info) = info.filter(|info| is_custody(Some(info.mode))) else {
            return Err(format!(
                "{direction:?}: {lacks} octets promised, not delivered, not declared lost, and nobody holds them (invariant 1)"
            ));
        };
        let una = sender.position(info.snd_una.raw());
        if una > has {
            return Err(format!(
                "{direction:?}: the store begins at {una}, and the receiver has {has} (invariant 11)"
            ));
        }
        let end = sender.position(info.rcv_nxt.raw());
        if end < ledger.told_octets() {
            return Err(format!(
                "{direction:?}: the store ends at {end}, and {} is acknowledged (invariant 1)",
                ledger.told_octets()
            ));
        }
        let promised = ledger.promised.count();
        let held = i64::from(info.custody);
        if held < ledger.told_octets() - una + promised {
            return Err(format!(
                "{direction:?}: {held} octets held, {} acknowledged and {promised} reported (invariants 1, 9)",
                ledger.told_octets() - una
            ));
        }
        Ok(())
    }

    /// Invariants 2, 26 and 27.
    fn check_numbers(&self, direction: Direction, info: &DirectionInfo) -> Checked {
        if !is_custody(Some(info.mode)) {
            return Ok(());
        }
        let source = direction.source();
        let sender = &self.hosts[index(source)];
        let ledger = &self.ledgers[index(source)];
        let [una, nxt, end, edge] = [info.snd_una, info.snd_nxt, info.rcv_nxt, info.offered_edge]
            .map(|seq| sender.position(seq.raw()));
        let wrong = |text: String| Err(format!("{direction:?}: {text}"));
        if una > nxt || una > ledger.acked.max(0) {
            return wrong(format!(
                "SND.UNA {una}, SND.NXT {nxt}, and the receiver has acknowledged {} (invariants 2, 14)",
                ledger.acked
            ));
        }
        if nxt > sender.nxt || end > sender.nxt {
            return wrong(format!(
                "SND.NXT {nxt} or RCV.NXT {end} beyond all that was sent (invariant 2)"
            ));
        }
        let room = i64::from(self.policy_limit());
        if edge - una > room + 65_536 {
            return wrong(format!("{} octets are offered (invariant 27)", edge - una));
        }
        Ok(())
    }

    const fn policy_limit(&self) -> u32 {
        1 << 20
    }

    /// Invariant 23, and losses that are counted as they are declared.
    fn check_pool(&self, info: Option<FlowInfo>) -> Checked {
        let ours = |flow: FlowInfo| {
            let of = Direction::BOTH.map(|direction| u64::from(flow.direction(direction).custody));
            of.iter().sum()
        };
        let held: u64 = if self.crowd.is_empty() {
            info.map_or(0, ours)
        } else {
            self.engine.flows().map(ours).sum()
        };
        let capacity = u64::from(self.setup.blocks) * BLOCK_SIZE as u64;
        if held > capacity {
            return Err(format!("{held} octets held in {capacity} (invariant 23)"));
        }
        let counted = self.engine.counters().octets_lost;
        if counted != self.summary.octets_lost {
            return Err(format!(
                "{counted} octets counted as lost, {} announced",
                self.summary.octets_lost
            ));
        }
        Ok(())
    }

    /// Judges the engine's news.
    pub(super) fn take_events(&mut self) -> Checked {
        for event in core::mem::take(&mut self.tape.events) {
            match event {
                Event::Reset { flow, from, lost } => {
                    self.declared(flow, from.other(), lost)?;
                    if Some(flow) == self.flow {
                        // Obeyed, its acknowledgement counts like any other, and may go on (section 2.5).
                        let ledger = &mut self.ledgers[index(from.other())];
                        ledger.is_acked(ledger.acked_by_reset, self.now_us);
                    }
                }
                Event::GivenUp {
                    flow,
                    direction,
                    lost,
                } => {
                    self.declared(flow, direction.source(), lost)?;
                    self.check_patience(flow, direction)?;
                }
                Event::ServiceChanged {
                    flow,
                    direction,
                    service: Service::Bypass,
                    soft,
                } if Some(flow) == self.flow => self.check_hand_over(direction, soft)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// What is declared lost is what was promised to `source` and not acknowledged to the engine, and
    /// never less than what the receiver really lacks; or exactly that, because the engine may hear an old
    /// segment, whose acknowledgement the ledger does not count.
    fn declared(&mut self, flow: localack_core::FlowId, source: Port, lost: u32) -> Checked {
        self.summary.octets_lost += u64::from(lost);
        if Some(flow) != self.flow {
            return Ok(());
        }
        self.script
            .event(&format!("{lost} octets from {source:?} declared lost"));
        let ledger = &self.ledgers[index(source)];
        let has = self.hosts[index(source.other())].octets_in_order();
        // What a RST that is obeyed acknowledges is not lost.
        let open = ledger.open();
        let really = ledger.told_octets() - ledger.lost_up_to.max(has);
        if ![open, really].contains(&lost.into()) || open < really {
            return Err(format!(
                "{lost} octets from {source:?} declared lost; {} were promised and not acknowledged, {} not delivered (failure accounting)",
                open,
                really.max(0)
            ));
        }
        self.ledgers[index(source)].loses(lost, self.now_us);
        Ok(())
    }

    /// Nobody is given up who has not been silent for as long as the settings say, unless there was a
    /// reset (rule H8.7).
    fn check_patience(&mut self, flow: localack_core::FlowId, direction: Direction) -> Checked {
        if Some(flow) != self.flow || self.doomed {
            return Ok(());
        }
        self.doomed = true;
        let waits = self
            .ledgers
            .iter()
            .map(|ledger| self.now_us - ledger.progress_at);
        let silent = waits.max().unwrap_or(0);
        let micros = |time: core::time::Duration| i64::try_from(time.as_micros());
        let patience = micros(super::world::config().give_up_after);
        // It begins when the octets are sent; they may be acknowledged a little later.
        let delay = micros(self.setup.policy().ack_delay);
        if silent + delay.unwrap_or(0) < patience.unwrap_or(i64::MAX) {
            return Err(format!(
                "{direction:?}: given up after {silent} us (rule H8.7)"
            ));
        }
        Ok(())
    }

    /// Invariant 25: at the hand-over the receiver has all that its sender was told, and all that was
    /// reported to it, unless the sender has fallen silent behind a hole.
    fn check_hand_over(&mut self, direction: Direction, soft: bool) -> Checked {
        let receiver = &self.hosts[index(direction.source().other())];
        let ledger = &mut self.ledgers[index(direction.source())];
        self.summary.hand_overs += 1;
        if ledger.told > receiver.rcv {
            return Err(format!(
                "{direction:?}: handed over at {}, and the receiver has {} (invariant 25)",
                ledger.told, receiver.rcv
            ));
        }
        let patience = i64::try_from(DRAIN_PATIENCE.as_micros()).unwrap_or(i64::MAX);
        let silent = self.now_us - ledger.data_at >= patience;
        for (left, right) in ledger.promised.iter() {
            let had = right <= receiver.rcv || receiver.early.covers(left.max(receiver.rcv), right);
            // What was reported behind a hole that nobody fills was advice (RFC 2018 section 8).
            let advice = silent && left > ledger.stored;
            if !had && !advice {
                return Err(format!(
                    "{direction:?}: {left}:{right} was reported and is dropped (invariants 9, 25)"
                ));
            }
        }
        ledger.promised.clear();
        self.soft[index(direction.source())] |= soft;
        Ok(())
    }

    /// Finds the connection's flow among the engine's news.
    pub(super) fn learn_flow(&mut self) {
        for event in &self.tape.events {
            if let Event::Adopted { flow, key, .. } = event {
                if key.inner_port() == 40_000 {
                    self.flow = Some(*flow);
                } else {
                    self.crowd.adopts(*flow);
                }
            }
        }
    }
}
