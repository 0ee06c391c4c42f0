//! Packets that arrive at the engine, and what leaves it.

use localack_core::{
    Controller, Direction, DirectionMode, FlowInfo, FlowState, Port, SeqNum, Service, ShapingId,
    Verdict,
};

use super::{Checked, Claim, Made, Parcel, World, index, passage};
use crate::laws::{Modes, Origin};
use crate::model::operation::Hop;
use crate::packet::{Decoded, Flags, Packet};

/// Packets that one ingested packet may push (architecture: work and time).
const MOST_PUSHED: usize = 3;

impl World<'_> {
    /// A packet arrives at the engine from the side of `port`.
    pub(in crate::model) fn arrives(
        &mut self,
        port: Port,
        parcel: &Parcel,
        claim: Claim,
    ) -> Checked {
        let came = Packet::decode(&parcel.octets).ok();
        let whole = came.as_ref().is_some_and(|decoded| decoded.checksum_ok);
        let inert = match claim {
            Claim::None => (!whole).then_some("a spoilt packet"),
            Claim::Inert => Some("a stranger's guess"),
            Claim::Icmp => None,
        };
        let at_ms = self.at_ms();
        match &came {
            Some(decoded) => self.script.arrival(at_ms, port, decoded, &self.hosts),
            None => self
                .script
                .note(at_ms, "something that is no segment arrives"),
        }
        let peer = index(port.other());
        let books = self.ledgers.clone();
        let genuine = came
            .as_ref()
            .filter(|decoded| decoded.checksum_ok && !parcel.foreign);
        if let Some(decoded) = genuine {
            self.notes(port, decoded);
        }
        if let Some(strange) = came
            .as_ref()
            .filter(|decoded| decoded.checksum_ok && parcel.foreign)
        {
            let own = index(port);
            self.ledgers[own].is_forged(&strange.packet, &self.hosts[own]);
        }
        let before = self.info();
        let modes = Self::modes_of(before.as_ref());
        let mut octets = parcel.octets.clone();
        let now = self.instant();
        let tape = &mut self.tape;
        let verdict = self
            .engine
            .ingest(port, now, &mut octets, Self::meta(), tape);
        // A bit that turns is not the same step wherever numbers begin.
        self.script.verdict(verdict, whole);
        self.summary.verdict(verdict);
        if matches!(verdict, Verdict::Drop(_)) {
            // What it said does not count.
            self.ledgers = books;
        }
        if self.tape.made.len() > MOST_PUSHED {
            return Err(format!("ingest pushed {} packets", self.tape.made.len()));
        }
        if let Some(why) = inert {
            self.must_be_the_same(before.as_ref(), why)?;
        }
        self.check_answers(port, came.as_ref())?;
        let pushed = core::mem::take(&mut self.tape.made);
        self.learn_flow();
        self.rest()?;
        let polled = core::mem::take(&mut self.tape.made);
        let modes = (modes, self.modes());
        for made in pushed {
            self.leaves_made(made, modes)?;
        }
        self.goes_on(port, parcel, (octets, whole), verdict, modes)?;
        for made in polled {
            self.leaves_made(made, modes)?;
        }
        self.take_events()?;
        self.ledgers[peer].acked_by_reset = 0;
        if let Some(decoded) = genuine {
            self.check_relay(port, &decoded.packet)?;
        }
        self.audit()
    }

    /// What a host was told that it need not send again: by the engine, or, if it has no say, by the peer.
    fn receives_from(&self, port: Port) -> i64 {
        let ledger = &self.ledgers[index(port)];
        match self.modes().by_source[index(port)] {
            None | Some(DirectionMode::Bypass | DirectionMode::Snoop) => ledger.acked,
            Some(_) => ledger.told,
        }
    }

    /// Takes note of what a host says.
    fn notes(&mut self, port: Port, decoded: &Decoded) {
        self.witness.arrives(port, decoded);
        let packet = &decoded.packet;
        let (own, peer) = (index(port), index(port.other()));
        let now = self.now_us;
        let end = self.hosts[own].position(packet.seq) + i64::from(packet.seq_len());
        self.ledgers[own].arrives(packet, &self.hosts[own], now);
        self.marked[own] |= packet.ip.traffic_class & 3 == 3;
        if packet.flags.has(Flags::ACK) && !packet.flags.has(Flags::SYN) {
            let ack = self.hosts[peer].position(packet.ack);
            if packet.flags.has(Flags::RST) {
                self.ledgers[peer].acked_by_reset = ack;
                return;
            }
            // A receiver drops what it has with its acknowledgement (RFC 9293 section 3.10.7.4).
            let (low, seq) = (self.receives_from(port), end - i64::from(packet.seq_len()));
            if end < low && seq < low - 1 {
                return;
            }
            self.ledgers[peer].is_acked(ack, now);
            // Whoever sends data has the connection (rule H7.1).
            self.ledgers[peer].proven |= !packet.payload.is_empty();
        }
    }

    /// Invariant 14: what no receiver would accept changes nothing. An answer may acknowledge what
    /// waited for that, and offer more.
    fn must_be_the_same(&self, before: Option<&FlowInfo>, why: &str) -> Checked {
        let plain = |info: &FlowInfo| {
            let mut info = *info;
            for of in [&mut info.inner_to_outer, &mut info.outer_to_inner] {
                (of.offered_edge, of.ack_sent, of.debt) = (SeqNum::new(0), SeqNum::new(0), 0);
                // Nor does idleness end with it, or the share of a rate.
                (of.cwnd, of.rate, of.controller) = (0, 0, Controller::Reno);
                // Timers have a grain: what was due almost is sent when anything comes.
                (of.snd_nxt, of.pipe) = (SeqNum::new(0), 0);
            }
            format!("{info:#?}")
        };
        let after = self.info();
        let pending = before.is_some_and(|flow| {
            let of = Direction::BOTH.map(|direction| *flow.direction(direction));
            of.iter().any(|of| match of.service {
                Service::LocalAck => {
                    matches!(of.mode, DirectionMode::Bypass | DirectionMode::Snoop)
                }
                Service::Snoop => of.mode != DirectionMode::Snoop,
                _ => matches!(
                    of.mode,
                    DirectionMode::LocalAck | DirectionMode::StoreAndForward | DirectionMode::Snoop
                ),
            })
        });
        if pending {
            // A service that was asked for begins with whatever comes.
            return Ok(());
        }
        let [before, after] =
            [before, after.as_ref()].map(|info| info.map_or(String::new(), plain));
        let changed = before
            .lines()
            .zip(after.lines())
            .find(|(before, after)| before != after);
        match changed {
            None if before.is_empty() == after.is_empty() => Ok(()),
            Some((before, after)) => Err(format!(
                "{why} changed the flow (invariants 14, 22): {} became {}",
                before.trim(),
                after.trim()
            )),
            None => Err(format!("{why} ended the flow (invariant 22)")),
        }
    }

    /// Invariant 16: a segment without data is answered by one at most.
    fn check_answers(&self, port: Port, came: Option<&Decoded>) -> Checked {
        let Some(came) = came.filter(|decoded| decoded.packet.seq_len() == 0) else {
            return Ok(());
        };
        if self.tape.made.len() < 2 {
            return Ok(());
        }
        let answers = self.tape.made.iter().filter(|(to, _, _, octets)| {
            let empty = Packet::decode(octets).is_ok_and(|made| made.packet.seq_len() == 0);
            *to == port && empty
        });
        match answers.count() {
            0 | 1 => Ok(()),
            more => Err(format!(
                "{more} answers to {:?} (invariant 16)",
                came.packet.flags
            )),
        }
    }

    /// The packet itself goes on, or not: as it came, or edited.
    fn goes_on(
        &mut self,
        port: Port,
        parcel: &Parcel,
        (octets, whole): (Vec<u8>, bool),
        verdict: Verdict,
        modes: (Modes, Modes),
    ) -> Checked {
        let Some(passage) = passage(verdict) else {
            return Ok(());
        };
        if octets.len() != parcel.octets.len() {
            return Err("an edit changed the length (rule H1.10)".into());
        }
        let origin = match passage {
            Ok(_) if octets != parcel.octets => {
                return Err("a packet that passes was changed (invariant 24)".into());
            }
            Ok(reason) => Origin::Passed(reason),
            Err(()) => Origin::Edited,
        };
        let edited = origin == Origin::Edited;
        if edited && Packet::decode(&octets).is_ok_and(|decoded| decoded.checksum_ok) != whole {
            return Err("a checksum is not worth what it was (invariant 13)".into());
        }
        if self.setup.served == [false; 2] && !self.served_later && edited {
            return Err("a packet was edited with services off (invariant 30)".into());
        }
        let parcel = Parcel {
            octets,
            foreign: parcel.foreign,
            made: false,
        };
        self.leaves(port.other(), origin, parcel, modes)
    }

    fn leaves_made(&mut self, (port, kind, flow, octets): Made, modes: (Modes, Modes)) -> Checked {
        if self.crowd.owns(flow) {
            return Ok(());
        }
        if self.setup.served == [false; 2] && !self.served_later {
            return Err(format!(
                "a {} with services off (invariant 30)",
                kind.slug()
            ));
        }
        self.summary.made(kind);
        let parcel = Parcel {
            octets,
            foreign: false,
            made: true,
        };
        self.leaves(port, Origin::Made(kind), parcel, modes)
    }

    /// A packet leaves by `port`.
    fn leaves(
        &mut self,
        port: Port,
        origin: Origin,
        parcel: Parcel,
        modes: (Modes, Modes),
    ) -> Checked {
        match Packet::decode(&parcel.octets) {
            Ok(decoded) => {
                self.script.departure(port, origin, &decoded, &self.hosts);
                if !parcel.foreign && !self.forgot {
                    let faults = self
                        .witness
                        .leaves(port, origin, &decoded, modes.0, modes.1);
                    if let Some(fault) = faults.into_iter().next() {
                        return Err(fault);
                    }
                }
                if !parcel.foreign && decoded.checksum_ok {
                    self.check_departure(port, origin, &decoded.packet, modes)?;
                }
            }
            Err(error) if parcel.made => return Err(format!("a broken packet was made: {error}")),
            Err(_) => {}
        }
        self.hops[Hop::new(port, false).index()].push_back(parcel);
        Ok(())
    }

    /// Judges what polling has made.
    pub(super) fn collect(&mut self, before: Modes) -> Checked {
        self.learn_flow();
        let modes = (before, self.modes());
        for made in core::mem::take(&mut self.tape.made) {
            self.leaves_made(made, modes)?;
        }
        self.take_events()
    }

    /// Invariant 15: what one host acknowledges, the other learns in the same step, if the engine is
    /// not the one who acknowledges there.
    fn check_relay(&self, port: Port, packet: &Packet) -> Checked {
        let plain = packet.flags.has(Flags::ACK)
            && !packet.flags.has(Flags::SYN)
            && !packet.flags.has(Flags::RST);
        let inward = Hop::new(port, true);
        let Some(flow) = self.info().filter(|flow| {
            let orderly = !self.disturbed[inward.index()];
            plain && orderly && !self.tape.full && flow.state == FlowState::Open
        }) else {
            return Ok(());
        };
        let back = Direction::arriving_on(port.other());
        let mode = |direction| flow.direction(direction).mode;
        if mode(back) != DirectionMode::Bypass || mode(back.reverse()) != DirectionMode::LocalAck {
            return Ok(());
        }
        if flow.direction(back.reverse()).shaping != ShapingId::NONE {
            // It may be one of those that wait for the next (RFC 3449).
            return Ok(());
        }
        let own = &self.ledgers[index(port)];
        let end = self.hosts[index(port)].position(packet.seq) + i64::from(packet.seq_len());
        if end < own.told || (packet.seq_len() > 0 && end <= own.told) {
            // A receiver drops what it has with its acknowledgement (RFC 9293 section 3.10.7.4).
            return Ok(());
        }
        let ledger = &self.ledgers[index(port.other())];
        let (acked, told) = (ledger.acked, ledger.told);
        if told < acked {
            return Err(format!(
                "ACK {acked} was not relayed at once, only {told} (invariant 15)"
            ));
        }
        Ok(())
    }
}
