//! Operations, done.

use localack_core::{Direction, DirectionMode, Engine, Port, Service, Shaping, ShapingId};

use super::{Checked, Claim, EPOCH_MS, Parcel, World, begin, config, index};
use crate::model::host::{Refusal, State};
use crate::model::operation::{Hop, Operation, arrangement, controller, shapings};
use crate::packet::{Flags, Layout, Packet, packet_too_big};

/// Segments that one write may send at once.
const MOST_SEGMENTS: usize = 4;
/// Octets of what is urgent.
const URGENT_OCTETS: i64 = 100;
/// Packets that may wait on one hop; then the application waits, too.
const MOST_WAITING: usize = 64;
/// The longest wait for the engine, in microseconds.
const LONGEST_WAIT: i64 = 120_000_000;

impl World<'_> {
    /// Does one thing.
    pub(in crate::model) fn apply(&mut self, operation: &Operation) -> Checked {
        match *operation {
            Operation::Write { from, octets } => {
                let host = &mut self.hosts[index(from)];
                if host.state == State::Alive && !host.closed {
                    host.written += i64::from(octets & 0x0fff);
                }
                self.sends_new(from, MOST_SEGMENTS);
            }
            Operation::Resend { from, skip, octets } => {
                let at_ms = self.at_ms();
                let host = &mut self.hosts[index(from)];
                let packet = host.send_again(skip.into(), octets.into(), at_ms);
                self.posts(from, packet);
            }
            Operation::Acknowledge(from) => self.speaks(from, |host, at| host.acknowledge(at)),
            Operation::Keepalive(from) => self.speaks(from, |host, at| host.keepalive(at)),
            Operation::Stall(from, stalled) => {
                let (host, at_ms) = (&mut self.hosts[index(from)], self.now_us / 1000 - EPOCH_MS);
                host.window.stalled = stalled;
                let grows = host
                    .window
                    .read(host.octets_in_order(), host.setup.mss.into());
                let update = (grows && host.state == State::Alive).then(|| host.acknowledge(at_ms));
                self.posts(from, update);
            }
            Operation::Shrink(from) => {
                self.hosts[index(from)].window.shrink();
            }
            Operation::Close(from) => {
                self.hosts[index(from)].closed = true;
                self.sends_new(from, MOST_SEGMENTS);
            }
            Operation::Abort(from) => {
                if self.hosts[index(from)].state == State::Alive {
                    self.doomed = true;
                    self.speaks(from, |host, at| host.abort(at));
                }
            }
            Operation::Vanish(from) => {
                self.doomed = true;
                self.hosts[index(from)].state = State::Vanished;
            }
            Operation::Reboot(from) => self.reboots(from),
            Operation::Mark(hop, at) => self.marks(hop, at.into()),
            Operation::Urgent(from) => {
                let host = &mut self.hosts[index(from)];
                if host.state == State::Alive && !host.closed {
                    host.written += URGENT_OCTETS;
                    host.urgent = host.written;
                }
                self.sends_new(from, MOST_SEGMENTS);
            }
            Operation::Deliver(hop, at) => {
                let at = if self.setup.orderly { 0 } else { at.into() };
                return self.delivers(hop, at);
            }
            Operation::Lose(hop, at) => drop(self.takes(hop, at.into())),
            Operation::Repeat(hop, at) if !self.setup.orderly => {
                let queue = &mut self.hops[hop.index()];
                let copy = queue.get(usize::from(at) % queue.len().max(1)).cloned();
                queue.extend(copy);
                self.disturbed[hop.index()] = true;
            }
            Operation::Delay(hop) if !self.setup.orderly => {
                let queue = &mut self.hops[hop.index()];
                let first = queue.pop_front();
                queue.extend(first);
                self.disturbed[hop.index()] = true;
            }
            Operation::Repeat(..) | Operation::Delay(_) => {}
            Operation::Corrupt(hop, at, bit) => self.corrupts(hop, at.into(), bit.into()),
            Operation::Exchange(rounds) => return self.exchange(usize::from(rounds & 7)),
            Operation::Wait(ms) => return self.advance_to_ms(self.at_ms() + i64::from(ms)),
            Operation::Deadline => {
                let at = self.deadline_us().unwrap_or(self.now_us);
                let at = at.min(self.now_us + LONGEST_WAIT);
                return self.advance_to_ms(at.div_euclid(1000) - EPOCH_MS + 1);
            }
            Operation::ClockBack(ms) => {
                self.note(&format!("the engine's clock jumps back by {ms} ms"));
                self.behind_us += i64::from(ms) * 1000;
                return self.poll();
            }
            Operation::ClockStill(still) => {
                self.clock_stands(still);
                return self.poll();
            }
            Operation::Forge {
                from,
                what,
                seq,
                ack,
            } => return self.forges(from, what, seq, ack),
            Operation::Conflict { from, back, octets } => {
                return self.conflicts(from, back.into(), octets.into());
            }
            Operation::TooBig { from, mtu, skip } => return self.too_big(from, mtu, skip.into()),
            Operation::Serve(from, serve) => return self.serves(from, serve),
            Operation::Arrange(from, number) => return self.arranges(from, number),
            Operation::Control(from, number) => return self.controls(from, number),
            Operation::Drain => {
                self.script.action(self.at_ms(), "drain");
                self.engine.drain(self.instant());
                return self.poll();
            }
            Operation::GiveUp => return self.gives_up(),
            Operation::Sink { full } => {
                let words = if full { "sink full" } else { "sink open" };
                self.script.action(self.at_ms(), words);
                (self.tape.full, self.tape.room) = (full, None);
                return self.poll();
            }
            Operation::Room(packets) => {
                self.note(&format!("the sink takes {packets} more packets"));
                (self.tape.full, self.tape.room) = (false, Some(packets));
                return self.poll();
            }
            Operation::Crowd => return self.crowds(),
            Operation::Forget => return self.forgets(),
            Operation::Succeed => return self.succeeds(),
        }
        Ok(())
    }

    pub(super) fn note(&mut self, words: &str) {
        let at_ms = self.at_ms();
        self.script.note(at_ms, words);
    }

    fn speaks(&mut self, from: Port, say: impl FnOnce(&mut super::Host, i64) -> Packet) {
        let at_ms = self.at_ms();
        let host = &mut self.hosts[index(from)];
        let packet = (host.state == State::Alive).then(|| say(host, at_ms));
        self.posts(from, packet);
    }

    /// Puts packets of a host on their way.
    pub(super) fn posts(&mut self, from: Port, packets: impl IntoIterator<Item = Packet>) {
        let parcels = packets.into_iter().map(|packet| Parcel {
            octets: packet.encode(Layout::Aligned),
            foreign: false,
            made: false,
        });
        self.hops[Hop::new(from, true).index()].extend(parcels);
    }

    pub(super) fn sends_new(&mut self, from: Port, most: usize) {
        let at_ms = self.at_ms();
        if self.hops[Hop::new(from, true).index()].len() < MOST_WAITING {
            let packets = self.hosts[index(from)].send_new(most, at_ms);
            self.posts(from, packets);
        }
    }

    fn takes(&mut self, hop: Hop, at: usize) -> Option<Parcel> {
        let queue = &mut self.hops[hop.index()];
        let at = at % queue.len().max(1);
        queue.remove(at)
    }

    /// A packet arrives at the end of its hop.
    pub(super) fn delivers(&mut self, hop: Hop, at: usize) -> Checked {
        let at = at % self.hops[hop.index()].len().max(1);
        self.disturbed[hop.index()] |= at > 0;
        let Some(parcel) = self.takes(hop, at) else {
            return Ok(());
        };
        if hop.inward {
            return self.arrives(hop.side, &parcel, Claim::None);
        }
        let decoded = Packet::decode(&parcel.octets).ok();
        let Some(packet) = decoded
            .filter(|came| came.checksum_ok)
            .map(|came| came.packet)
        else {
            return Ok(());
        };
        let at_ms = self.at_ms();
        let host = &mut self.hosts[index(hop.side)];
        let (answers, refusal) = host.receive(&packet, at_ms);
        self.posts(hop.side, answers);
        match refusal {
            Some(refusal) if !parcel.foreign => self.judge_refusal(hop, &parcel, &packet, refusal),
            _ => Ok(()),
        }
    }

    /// A host is right to refuse what the network has changed the order of, and nothing else.
    fn judge_refusal(
        &mut self,
        hop: Hop,
        parcel: &Parcel,
        packet: &Packet,
        refusal: Refusal,
    ) -> Checked {
        let grave = matches!(
            refusal,
            Refusal::WrongOctet(_)
                | Refusal::AckOfUnsent
                | Refusal::SackOfUnsent
                | Refusal::BeyondFin
        );
        let upstream = Hop::new(hop.side.other(), true);
        // The timestamps of what the engine makes are those of packets that came before it.
        let of_engine = parcel.made && refusal != Refusal::Stamp;
        // Whoever was told of a larger window before a soft hand-over may overrun this one (rule H2.11).
        let overruns = refusal == Refusal::Window && self.soft[index(hop.side.other())];
        // A reset that is on its way, or was lost, for longer than the engine remembers it (section 2.5): what
        // is sent after that goes on, beyond the octets that were given up.
        let ledger = &self.ledgers[index(hop.side.other())];
        let memory = i64::try_from(super::config().tombstone_time.as_micros());
        let outlives = refusal == Refusal::Window
            && !parcel.made
            && self.info().is_none()
            && ledger.lost > 0
            && self.now_us - ledger.lost_at >= memory.unwrap_or(i64::MAX);
        let calm = !self.disturbed[hop.index()]
            && (of_engine || !self.disturbed[upstream.index()])
            && !overruns
            && !outlives;
        if grave || calm {
            let host = &self.hosts[index(hop.side)];
            return Err(format!(
                "the host on {:?} refuses {:?} {} ({refusal:?}, invariants 5 to 8, 12)",
                hop.side,
                packet.flags,
                host.peers_position(packet.seq) + 1,
            ));
        }
        Ok(())
    }

    /// Turns a bit of a packet, once: twice might be right again.
    fn corrupts(&mut self, hop: Hop, at: usize, bit: usize) {
        let queue = &mut self.hops[hop.index()];
        let at = at % queue.len().max(1);
        let Some(parcel) = queue.get_mut(at).filter(|parcel| !parcel.foreign) else {
            return;
        };
        let skipped = if self.setup.v6 { 44 } else { 24 };
        let room = parcel.octets.len() - skipped;
        parcel.octets[skipped + bit / 8 % room] ^= 1 << (bit % 8);
        parcel.foreign = true;
    }

    /// Sets the congestion mark of a packet that allows it.
    fn marks(&mut self, hop: Hop, at: usize) {
        let queue = &mut self.hops[hop.index()];
        let at = at % queue.len().max(1);
        if let Some(parcel) = queue.get_mut(at).filter(|parcel| !parcel.foreign) {
            mark(&mut parcel.octets, self.setup.v6);
        }
    }

    /// Everything on its way arrives, `rounds` times.
    pub(super) fn exchange(&mut self, rounds: usize) -> Checked {
        for _ in 0..rounds {
            for hop in Hop::ALL {
                for _ in 0..self.hops[hop.index()].len() {
                    self.delivers(hop, 0)?;
                }
            }
            if self.hops.iter().all(|hop| hop.is_empty()) {
                break;
            }
        }
        Ok(())
    }

    fn clock_stands(&mut self, still: bool) {
        self.note(if still {
            "the engine's clock stands still"
        } else {
            "it goes on"
        });
        if still {
            self.still_us = self.still_us.or(Some(self.now_us - self.behind_us));
        } else if let Some(at) = self.still_us.take() {
            self.behind_us = self.now_us - at;
        }
    }

    /// A host repeats what it was told is delivered, with other octets: nothing of it may count
    /// (rule H5.2). Only where the engine is the receiver: any other takes it as it comes.
    fn conflicts(&mut self, from: Port, back: i64, octets: i64) -> Checked {
        // A direction that owes nothing and may go goes before the engine looks at what arrives.
        let owes = self.ledgers[index(from)].debt() > 0;
        let custody = self.info().is_some_and(|flow| {
            let of = flow.direction(Direction::arriving_on(from));
            match of.mode {
                DirectionMode::LocalAck => owes || of.service == Service::LocalAck,
                DirectionMode::Draining => owes,
                _ => false,
            }
        });
        let told = self.ledgers[index(from)].told_octets();
        if !custody || told == 0 || self.hosts[index(from)].state != State::Alive {
            return Ok(());
        }
        let back = back % told + 1;
        if back == 1 {
            // An octet of garbage is how some hosts ask for a sign of life (rule H9.1).
            return Ok(());
        }
        let octets = octets.clamp(1, self.setup.mss.into()).min(back);
        let at_ms = self.at_ms();
        let mut packet = self.hosts[index(from)].segment(told - back, octets, false, at_ms);
        packet.payload.fill(b'Z');
        (packet.flags, packet.urgent) = (Flags::ACK, 0);
        self.disturbed[Hop::new(from, true).index()] = true;
        let parcel = Parcel {
            octets: packet.encode(Layout::Aligned),
            foreign: false,
            made: false,
        };
        self.arrives(from, &parcel, Claim::None)
    }

    /// A router beyond the engine could not send a segment of this host's on.
    fn too_big(&mut self, from: Port, mtu: u16, skip: i64) -> Checked {
        let at_ms = self.at_ms();
        let host = &self.hosts[index(from)];
        let (seq, octets) = (host.una + skip, i64::from(self.setup.mss));
        let quoted = host.imagine(seq, octets, at_ms);
        let side = if from == Port::Inner { "O" } else { "I" };
        let words = format!("{side} ptb mtu {mtu} seq {}", seq + 1);
        self.script.action(at_ms, &words);
        let parcel = Parcel {
            octets: packet_too_big(&quoted, mtu.into()),
            foreign: true,
            made: false,
        };
        self.arrives(from.other(), &parcel, Claim::Icmp)
    }

    fn serves(&mut self, from: Port, serve: bool) -> Checked {
        let Some(flow) = self.info().map(|flow| flow.id) else {
            return Ok(());
        };
        self.served_later |= serve;
        let service = if serve {
            Service::LocalAck
        } else {
            Service::Bypass
        };
        let way = if from == Port::Inner { "" } else { " R->S" };
        self.script
            .action(self.at_ms(), &format!("{}{way}", verb(service)));
        let direction = Direction::arriving_on(from);
        let now = self.instant();
        self.engine
            .set_service(flow, direction, service, now)
            .map_err(|_| "a flow that was listed a moment ago is unknown".to_owned())?;
        self.poll()
    }

    /// Another arrangement of services, at any moment, changes nothing that the hosts can see but time.
    fn arranges(&mut self, from: Port, number: u8) -> Checked {
        let Some(flow) = self.info().map(|flow| flow.id) else {
            return Ok(());
        };
        let (service, shaping) = arrangement(number);
        self.served_later |= service != Service::Bypass || shaping != ShapingId::NONE;
        let way = if from == Port::Inner { "" } else { " R->S" };
        self.script
            .action(self.at_ms(), &format!("{}{way}", verb(service)));
        self.script
            .action(self.at_ms(), &format!("shape{way} {}", shape(shaping)));
        let direction = Direction::arriving_on(from);
        let now = self.instant();
        self.engine
            .arrange(flow, direction, service, shaping, now)
            .map_err(|_| "a flow that was listed a moment ago is unknown".to_owned())?;
        self.poll()
    }

    fn gives_up(&mut self) -> Checked {
        let Some(flow) = self.info().map(|flow| flow.id) else {
            return Ok(());
        };
        self.script.action(self.at_ms(), "give-up");
        let (before, now) = (self.modes(), self.instant());
        self.doomed = true;
        let given = self
            .engine
            .give_up(flow, now, &mut self.tape)
            .map_err(|_| "a flow that was listed a moment ago is unknown".to_owned())?;
        self.collect(before)?;
        if !given && !self.tape.full && self.tape.room.is_none() {
            return Err("nothing is given up although the sink takes packets".to_owned());
        }
        if !given {
            return self.poll();
        }
        if self.ledgers.iter().any(|ledger| ledger.open() > 0) {
            return Err("something is owed that was given up (promise 1)".to_owned());
        }
        // While the engine remembers, both hosts come to know.
        for hop in [Hop::ALL, Hop::ALL].into_iter().flatten() {
            for _ in 0..self.hops[hop.index()].len() {
                self.delivers(hop, 0)?;
            }
        }
        self.poll()
    }

    fn controls(&mut self, from: Port, number: u8) -> Checked {
        let Some(flow) = self.info().map(|flow| flow.id) else {
            return Ok(());
        };
        let chosen = controller(number);
        self.note(&format!("data from {from:?} is controlled by {chosen:?}"));
        let now = self.instant();
        self.engine
            .set_controller(flow, Direction::arriving_on(from), chosen, now)
            .map_err(|_| "a flow that was listed a moment ago is unknown".to_owned())?;
        self.poll()
    }

    fn crowds(&mut self) -> Checked {
        self.note("another flow fills the pool");
        for (port, mut octets) in self.crowd.comes(&self.setup) {
            let now = self.instant();
            let _ = self
                .engine
                .ingest(port, now, &mut octets, Self::meta(), &mut self.tape);
            self.poll()?;
        }
        Ok(())
    }

    /// Invariant 19: with no debt, no SACK promise and equal edges, nobody notices that the engine
    /// has lost its state.
    fn forgets(&mut self) -> Checked {
        let owes = |port: Port| {
            let (ledger, receiver) = (&self.ledgers[index(port)], &self.hosts[index(port.other())]);
            let edge = receiver.window.edge();
            ledger.told > ledger.acked || ledger.promised.count() > 0 || ledger.edge > edge
        };
        let busy = self.engine.flows().count() != 1 || self.tape.full || self.still_us.is_some();
        if busy || Port::BOTH.into_iter().any(owes) {
            return Ok(());
        }
        if self.spare.len() < 2 {
            return Ok(());
        }
        let Some(storage) = self.spare.pop() else {
            return Ok(());
        };
        self.note("the engine loses its state");
        self.summary.octets_lost = 0;
        self.engine = begin(storage, &self.setup);
        (self.flow, self.forgot) = (None, true);
        self.crowd.is_forgotten();
        Ok(())
    }
}

impl World<'_> {
    /// Rule H13.1: an engine that takes over between two calls finds all as it was, and goes on.
    fn succeeds(&mut self) -> Checked {
        let Some(spare) = self.spare.pop() else {
            return Ok(());
        };
        self.note("another engine takes the memory over");
        let before: Vec<_> = self.engine.flows().collect();
        let stand_in = Engine::new(spare, config(), self.setup.policy()).expect("as before");
        let (storage, config, policy) = core::mem::replace(&mut self.engine, stand_in).into_parts();
        let (engine, report) =
            Engine::attach(storage, config, policy).map_err(|error| error.to_string())?;
        let (spare, ..) = core::mem::replace(&mut self.engine, engine).into_parts();
        self.spare.push(spare);
        if report.interrupted || report.ruined + report.forgotten > 0 {
            return Err(format!(
                "a flow is lost on the way: {report:?} (rule H13.1)"
            ));
        }
        let after: Vec<_> = self.engine.flows().collect();
        if before != after {
            return Err(format!("before {before:#?}, then {after:#?} (rule H13.1)"));
        }
        self.poll()
    }
}

/// How a script asks for a service.
const fn verb(service: Service) -> &'static str {
    match service {
        Service::LocalAck => "promote",
        Service::Snoop => "snoop",
        _ => "demote",
    }
}

/// How a script says what a shaping means.
fn shape(id: ShapingId) -> String {
    let meaning = shapings()
        .find(|(known, _)| *known == id)
        .map_or(Shaping::NONE, |(_, shaping)| shaping);
    let (rate, interval) = (meaning.rate_limit, meaning.ack_interval.as_millis());
    format!("rate={rate},ack={interval}")
}

/// Turns ECT into CE (RFC 3168 section 5).
fn mark(octets: &mut [u8], v6: bool) {
    if v6 {
        if octets[1] & 0x30 != 0 {
            octets[1] |= 0x30;
        }
        return;
    }
    if octets[1] & 3 == 0 {
        return;
    }
    octets[1] |= 3;
    (octets[10], octets[11]) = (0, 0);
    let words = octets[..20].chunks(2);
    let sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    octets[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
}
