//! A life of two hosts with an engine between them.

mod books;
mod host;

use core::time::Duration;

use localack_core::wire::{self, Parsed, checksum};
use localack_core::{
    Checksum, Config, Counters, Custody, Direction, Engine, FlowConfig, FlowInfo, FlowState,
    Instant, PacketMeta, Poll, Port, Service, Sink, SinkFull, Transmit, Verdict,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Packet, packet_too_big};

use crate::input::Input;
use crate::operation::{Operation, Setup, controller};
use books::Books;
pub(crate) use host::Hosts;
use host::octet_at;

/// Octets of a block.
pub(crate) const BLOCK_SIZE: usize = 512;
/// Packets that one ingested packet may push.
const MOST_PUSHED: usize = 3;
/// Packets that one call of `poll` may send.
const BUDGET: usize = 8;
/// Calls of `poll` after which the engine must have come to rest.
const MOST_POLLS: usize = 2_000;
/// Deadlines met on the way to a later time.
const MOST_DEADLINES: usize = 64;
/// Operations of one input; more only repeat what fewer can do.
const MOST_OPERATIONS: usize = 512;
/// When lives begin, in microseconds.
const BEGINNING: u64 = 1_000_000;

/// Lives the life that `octets` describe: two octets of set-up, then operations.
///
/// # Panics
/// If the engine answers a packet with more than it may, makes a packet that is not right in every
/// field that etherparse checks, invents an octet, changes what it passes, changes the worth of a
/// checksum, holds more than its memory or less than it has promised, or does not come to rest.
pub fn ingest(octets: &[u8]) {
    let mut input = Input(octets);
    if let Some(setup) = Setup::read(&mut input) {
        live(setup, input);
    }
}

/// Lives a life; answers what the engine counted.
fn live(setup: Setup, mut operations: Input<'_>) -> Counters {
    let blocks = if setup.has(Setup::TIGHT) { 8 } else { 64 };
    let mut memory = Memory::new(4, blocks, BLOCK_SIZE);
    let engine =
        Engine::new(memory.storage(), config(), policy(setup)).expect("the memory fits together");
    let mut life = Life::new(engine, vec![Hosts::new(setup)], blocks);
    life.shakes_hands();
    for _ in 0..MOST_OPERATIONS {
        let Some(operation) = Operation::read(&mut operations) else {
            break;
        };
        life.happens(operation);
    }
    *life.engine.counters()
}

pub(crate) const fn config() -> Config {
    Config::new([3, 5])
}

pub(crate) fn policy(setup: Setup) -> FlowConfig {
    let mut policy = if setup.has(Setup::BOTH) {
        FlowConfig::both_local_ack()
    } else {
        FlowConfig::inner_local_ack()
    };
    if setup.has(Setup::EARLY) {
        policy.custody = Custody::AfterHandshake;
    }
    if setup.has(Setup::TIGHT) {
        policy.ack_delay = Duration::from_millis(10);
    }
    [policy.controller, policy.inward_controller] = setup.controllers().map(controller);
    policy.pacing = !setup.is_unpaced();
    policy
}

/// An engine and those who speak to it.
pub(crate) struct Life<'e> {
    pub(crate) engine: Engine<'e, FlowConfig>,
    /// The hosts of each connection.
    pub(crate) hosts: Vec<Hosts>,
    /// The connection that the next operation is about.
    pub(crate) about: usize,
    /// In microseconds.
    pub(crate) now: u64,
    sink: Outlet,
    /// Octets that the pool can hold.
    capacity: usize,
    /// Nothing has arrived so far but what the hosts sent.
    pub(crate) honest: bool,
    /// The engine has taken over from another, with what that owed.
    pub(crate) is_heir: bool,
    books: Books,
}

/// Keeps what the engine sends, or refuses it.
struct Outlet {
    made: Vec<(Port, Vec<u8>)>,
    /// Packets to refuse.
    refusals: u8,
}

impl Sink for Outlet {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        if self.refusals > 0 {
            self.refusals -= 1;
            return Err(SinkFull);
        }
        let octets: Vec<u8> = packet.slices().flatten().copied().collect();
        assert_eq!(octets.len(), packet.wire_len());
        self.made.push((packet.port(), octets));
        Ok(())
    }
}

impl<'e> Life<'e> {
    /// A life that begins, with a pool of `blocks`.
    pub(crate) fn new(engine: Engine<'e, FlowConfig>, hosts: Vec<Hosts>, blocks: usize) -> Self {
        Self {
            engine,
            hosts,
            about: 0,
            now: BEGINNING,
            sink: Outlet {
                made: Vec::new(),
                refusals: 0,
            },
            capacity: blocks * BLOCK_SIZE,
            honest: true,
            is_heir: false,
            books: Books::default(),
        }
    }

    /// The hosts that operations are about open their connection.
    pub(crate) fn shakes_hands(&mut self) {
        for (port, packet) in self.hosts[self.about].handshake() {
            self.arrives(port, packet, Checksum::Verify);
        }
    }

    /// The flow that operations are about, if there is one.
    fn flow(&self) -> Option<FlowInfo> {
        self.engine.flows().nth(self.about)
    }

    /// Does one thing.
    pub(crate) fn happens(&mut self, operation: Operation) {
        self.books.open(&self.engine);
        match operation {
            Operation::Segment {
                outer,
                checksum,
                shape,
            } => {
                let port = side(outer);
                self.honest &= shape.damage.is_empty();
                let packet = self.hosts[self.about].segment(port, &shape);
                self.arrives(
                    port,
                    packet,
                    match checksum {
                        2 => Checksum::Verified,
                        3 => Checksum::Partial,
                        _ => Checksum::Verify,
                    },
                );
            }
            Operation::Wait { log, steps, jump } => {
                let end = self.now + (1 << log) * (u64::from(steps) + 1);
                if !jump {
                    self.meet_deadlines(end);
                }
                self.now = end;
                self.rest();
            }
            Operation::Octets(outer, octets) => {
                self.honest = false;
                self.arrives(side(outer), octets, Checksum::Verify);
            }
            Operation::Service(outer, serve) => {
                let service = if serve {
                    Service::LocalAck
                } else {
                    Service::Bypass
                };
                let direction = Direction::arriving_on(side(outer));
                let flow = self.flow().map(|flow| flow.id);
                if let Some(flow) = flow {
                    let answer = self
                        .engine
                        .set_service(flow, direction, service, self.instant());
                    assert_eq!(answer, Ok(()), "a flow that was listed a moment ago");
                }
                self.rest();
            }
            Operation::Controller(outer, number) => {
                let direction = Direction::arriving_on(side(outer));
                let flow = self.flow().map(|flow| flow.id);
                if let Some(flow) = flow {
                    let chosen = controller(number);
                    let now = self.instant();
                    let answer = self.engine.set_controller(flow, direction, chosen, now);
                    assert_eq!(answer, Ok(()), "a flow that was listed a moment ago");
                }
                self.rest();
            }
            Operation::TooBig(outer, mtu) => {
                let port = side(outer);
                if let Some(packet) = self.hosts[self.about].last(port) {
                    let error = packet_too_big(packet, mtu.into());
                    self.arrives(port.other(), error, Checksum::Verify);
                }
            }
            Operation::Full(count) => self.sink.refusals = count,
            Operation::Drain => {
                self.engine.drain(self.instant());
                self.rest();
            }
            Operation::Backwards => self.now /= 2,
        }
        self.audit();
    }

    pub(crate) const fn instant(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    /// Polls whenever the engine wants to be polled before `end`.
    fn meet_deadlines(&mut self, end: u64) {
        for _ in 0..MOST_DEADLINES {
            match self.engine.next_deadline() {
                Some(at) if at.as_micros() < end => self.now = self.now.max(at.as_micros()),
                Some(_) | None => return,
            }
            self.rest();
        }
    }

    fn arrives(&mut self, port: Port, mut octets: Vec<u8>, checksum: Checksum) {
        let original = octets.clone();
        let meta = PacketMeta {
            checksum,
            ..PacketMeta::default()
        };
        self.books.note(port, packet_in(&original));
        let now = self.instant();
        let verdict = self
            .engine
            .ingest(port, now, &mut octets, meta, &mut self.sink);
        assert!(
            self.sink.made.len() <= MOST_PUSHED,
            "{} packets pushed",
            self.sink.made.len()
        );
        match verdict {
            Verdict::Pass(_) => assert_eq!(octets, original, "a passed packet was changed"),
            Verdict::Forward => {
                assert_eq!(
                    octets.len(),
                    original.len(),
                    "an edit changed the length (rule H1.10)"
                );
                if checksum == Checksum::Verify {
                    assert!(
                        is_right(&original),
                        "a segment that was never verified was edited"
                    );
                    assert!(is_right(&octets), "an edit broke the checksum (rule H1.8)");
                }
            }
            Verdict::Absorb(_) | Verdict::Drop(_) => {}
        }
        if matches!(verdict, Verdict::Pass(_) | Verdict::Forward) {
            self.hear(port.other(), &octets);
        }
        if verdict == Verdict::Forward {
            let decoded = Packet::decode(packet_in(&octets)).expect("an edited segment is one");
            self.books
                .check(&self.engine, port.other(), &decoded.packet);
        }
        self.rest();
    }

    /// The host on `port` hears a packet, whichever connection it is of.
    fn hear(&mut self, port: Port, octets: &[u8]) {
        for hosts in &mut self.hosts {
            hosts.hears(port, octets);
        }
    }

    /// Polls until nothing is left to do now, and looks at all that was sent.
    pub(crate) fn rest(&mut self) {
        let now = self.instant();
        let mut calls = 0;
        let rest = loop {
            let poll = self.engine.poll(now, BUDGET, &mut self.sink);
            if poll != Poll::More {
                break poll;
            }
            calls += 1;
            assert!(
                calls < MOST_POLLS,
                "poll does not come to rest: {} packets, {:#?}",
                self.sink.made.len(),
                self.engine.flows().collect::<Vec<_>>()
            );
        };
        if rest == Poll::Idle {
            let due = self.engine.next_deadline();
            assert!(
                due.is_none_or(|at| at > now),
                "idle, and yet a deadline is due: {due:?} at {now:?}"
            );
            // Where memory was damaged, what waits may wait for ever.
            if due.is_none() && (self.honest || !self.is_heir) {
                self.nothing_waits();
            }
        }
        let mut payload = 0;
        for (port, octets) in core::mem::take(&mut self.sink.made) {
            let decoded = Packet::decode(&octets)
                .unwrap_or_else(|error| panic!("a broken packet was made: {error}: {octets:02x?}"));
            assert!(
                decoded.checksum_ok && decoded.ip_checksum_ok,
                "a wrong checksum was made"
            );
            payload += decoded.packet.payload.len();
            assert!(
                !self.honest || self.has_room(port, &decoded.packet),
                "octets beyond every window (rule H1.1)"
            );
            if self.honest {
                for (at, &octet) in (0..).zip(&decoded.packet.payload) {
                    let seq = decoded.packet.seq.wrapping_add(at);
                    assert_eq!(octet, octet_at(seq), "an octet was invented (invariant 12)");
                }
            }
            self.books.check(&self.engine, port, &decoded.packet);
            self.hear(port, &octets);
        }
        assert!(
            payload <= 2 * self.capacity,
            "{payload} octets of payload sent at once"
        );
    }

    /// Whether a segment toward `port` fits its host.
    fn has_room(&self, port: Port, packet: &Packet) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.any(|hosts| hosts.owns(port, packet) && hosts.has_room(port, packet))
    }

    /// The engine waits for nothing: then nothing may wait for the engine.
    fn nothing_waits(&self) {
        for flow in self.engine.flows() {
            for direction in Direction::BOTH {
                let info = flow.direction(direction);
                assert_eq!(
                    info.debt, 0,
                    "octets are promised, and no timer runs: {flow:#?}"
                );
            }
        }
    }

    /// Nothing beyond the memory, nothing promised that is not held (invariants 1 and 23).
    pub(crate) fn audit(&self) {
        let mut held = 0;
        for flow in self.engine.flows() {
            for direction in Direction::BOTH {
                let info = flow.direction(direction);
                assert!(
                    info.debt <= info.custody
                        || (self.is_heir && flow.state == FlowState::Tombstone),
                    "{} promised, {} held",
                    info.debt,
                    info.custody
                );
                held += usize::try_from(info.custody).expect("a small pool");
            }
        }
        assert!(
            held <= self.capacity,
            "{held} octets held in {}",
            self.capacity
        );
    }
}

const fn side(outer: bool) -> Port {
    if outer { Port::Outer } else { Port::Inner }
}

/// What the IP header says is the packet; a frame may be filled up behind it.
fn packet_in(octets: &[u8]) -> &[u8] {
    let number = |at| {
        let pair = octets.get(at..at + 2)?;
        Some(usize::from(u16::from_be_bytes([pair[0], pair[1]])))
    };
    let length = match octets.first() {
        Some(first) if first >> 4 == 4 => number(2),
        _ => number(4).map(|payload| 40 + payload),
    };
    length
        .and_then(|length| octets.get(..length))
        .unwrap_or(octets)
}

/// Whether `packet` is a TCP segment with a right checksum.
fn is_right(packet: &[u8]) -> bool {
    match wire::parse(packet) {
        Parsed::Tcp(seg) => checksum::verify(packet, &seg),
        Parsed::Icmp(_) | Parsed::Other(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use localack_core::{AbsorbReason, TransmitKind};

    use super::*;
    use crate::seeds::seeds;

    /// The seeds would be worth little if they did not get past the handshake.
    #[test]
    fn the_seeds_make_the_engine_do_all_that_it_can() {
        let lives: Vec<_> = seeds("ingest")
            .iter()
            .map(|(_, octets)| {
                let mut input = Input(octets);
                let setup = Setup::read(&mut input).expect("two octets at least");
                live(setup, input)
            })
            .collect();
        let sum = |count: &dyn Fn(&Counters) -> u64| -> u64 { lives.iter().map(count).sum() };
        assert!(lives.iter().all(|counters| counters.flows_adopted == 1));
        // Packets of somebody's own service come from no engine that has none.
        let of_the_engine = |kind: &&TransmitKind| **kind != TransmitKind::Own;
        for &kind in TransmitKind::ALL.iter().filter(of_the_engine) {
            assert!(
                sum(&|counters| counters.transmitted(kind)) > 0,
                "no {}",
                kind.slug()
            );
        }
        for reason in [
            AbsorbReason::Stored,
            AbsorbReason::Duplicate,
            AbsorbReason::Acknowledgement,
        ] {
            assert!(
                sum(&|counters| counters.absorbed(reason)) > 0,
                "no {}",
                reason.slug()
            );
        }
        assert!(sum(&Counters::forwarded) > 0);
        assert!(sum(&|counters| counters.octets_lost) > 0);
        assert!(sum(&|counters| counters.sink_full) > 0);
    }
}
