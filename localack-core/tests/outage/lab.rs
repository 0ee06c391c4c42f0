//! Many connections through one engine and over one link, which dies for some of them or for all.

use core::net::{IpAddr, SocketAddr, SocketAddrV4};
use core::time::Duration;
use std::collections::BTreeMap;

use localack_core::{
    Config, Controller, Custody, Engine, Event, FlowConfig, Instant, PacketMeta, Poll, Port, Sink,
    SinkFull, Transmit, TransmitKind, Verdict,
};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    Content, Crowd, Delay, Exits, Links, LinuxConfig, LinuxHost, Middle, Node, Path, Rate, World,
};

/// Receivers that lie in the same network as far as the engine can tell.
pub(crate) const NEAR: [u8; 3] = [203, 0, 113];
/// Receivers of another network.
pub(crate) const FAR: [u8; 3] = [198, 51, 100];

const BLOCK_SIZE: usize = 1536;
/// Calls of `poll` after one packet or one deadline after which the engine must be at rest.
const MOST_POLLS: u32 = 2_000;

/// A time without a link, for a network or one address of it.
#[derive(Clone, Debug)]
pub(crate) struct Closure {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
    /// The first octets of the addresses concerned.
    pub(crate) prefix: Vec<u8>,
    pub(crate) data: bool,
    pub(crate) acks: bool,
}

impl Closure {
    /// Both ways, between two times in milliseconds.
    pub(crate) fn new(prefix: &[u8], from: u64, until: u64) -> Self {
        Self {
            from: Instant::from_millis(from),
            until: Instant::from_millis(until),
            prefix: prefix.to_vec(),
            data: true,
            acks: true,
        }
    }

    /// The same so many milliseconds later.
    pub(crate) fn later(mut self, millis: u64) -> Self {
        let by = Duration::from_millis(millis);
        self.from = self.from.after(by);
        self.until = self.until.after(by);
        self
    }
}

/// A packet that left the engine for the link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub(crate) at: Instant,
    pub(crate) to: SocketAddrV4,
    /// `None`: it came from its sender and went on.
    pub(crate) kind: Option<TransmitKind>,
}

impl Left {
    fn new(at: Instant, kind: Option<TransmitKind>, packet: &[u8]) -> Self {
        let octets = |at: usize| [0, 1, 2, 3].map(|next| packet[at + next]);
        let [_, _, high, low] = octets(20);
        Self {
            at,
            to: SocketAddrV4::new(octets(16).into(), u16::from_be_bytes([high, low])),
            kind,
        }
    }
}

/// One way of the link, which drops what comes while it is closed.
#[derive(Debug)]
struct Gate {
    closures: Vec<Closure>,
    /// Where the address of the receiver of data stands in a packet.
    address_at: usize,
}

impl Node for Gate {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        let at = self.address_at;
        let address: [u8; 4] = packet[at..at + 4].try_into().expect("four octets");
        let is_closed = |closure: &Closure| {
            closure.from <= now && now < closure.until && address.starts_with(&closure.prefix)
        };
        if !self.closures.iter().any(is_closed) {
            exits.onward(now, packet);
        }
    }
}

#[derive(Default)]
struct Outbox {
    packets: Vec<(Port, Vec<u8>)>,
    log: Vec<Left>,
    events: Vec<Event>,
    now: Instant,
}

impl Sink for Outbox {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let octets = packet.slices().collect::<Vec<_>>().concat();
        if packet.port() == Port::Outer {
            self.log
                .push(Left::new(self.now, Some(packet.kind()), &octets));
        }
        self.packets.push((packet.port(), octets));
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        self.events.push(event);
    }
}

/// An engine that must come to rest, and soon.
pub(crate) struct Watched<'e> {
    pub(crate) engine: Engine<'e, FlowConfig>,
    outbox: Outbox,
    /// Calls of `poll` so far.
    pub(crate) polls: u64,
    /// When the first probe of a dead path left.
    pub(crate) dead_at: Option<Instant>,
}

impl Watched<'_> {
    fn settle(&mut self, now: Instant) -> Vec<(Port, Vec<u8>)> {
        self.outbox.now = now;
        let mut polls = 1;
        while self.engine.poll(now, 64, &mut self.outbox) == Poll::More {
            polls += 1;
            assert!(polls < MOST_POLLS, "no rest at {now:?}");
        }
        self.polls += u64::from(polls);
        let next = self.engine.next_deadline();
        assert!(
            next.is_none_or(|at| at > now),
            "at rest, and due at {now:?}"
        );
        if self.dead_at.is_none() && self.engine.counters().path_probes > 0 {
            self.dead_at = Some(now);
        }
        core::mem::take(&mut self.outbox.packets)
    }
}

impl Middle for Watched<'_> {
    fn ingest(&mut self, now: Instant, port: Port, mut packet: Vec<u8>) -> Vec<(Port, Vec<u8>)> {
        let meta = PacketMeta::default();
        let outbox = &mut self.outbox;
        outbox.now = now;
        let verdict = self.engine.ingest(port, now, &mut packet, meta, outbox);
        if matches!(verdict, Verdict::Pass(_) | Verdict::Forward) {
            if port == Port::Inner {
                self.outbox.log.push(Left::new(now, None, &packet));
            }
            self.outbox.packets.push((port.other(), packet));
        }
        self.settle(now)
    }

    fn poll(&mut self, now: Instant) -> Vec<(Port, Vec<u8>)> {
        self.settle(now)
    }

    fn next_at(&self) -> Option<Instant> {
        self.engine.next_deadline()
    }
}

/// What the senders do and what the link is like.
#[derive(Clone, Debug)]
pub(crate) struct Lab {
    pub(crate) rtt_ms: u64,
    pub(crate) rate_mbit: u64,
    pub(crate) controller: Controller,
    /// How many flows there are to each network.
    pub(crate) near: u16,
    pub(crate) far: u16,
    /// What each of them sends; `None`: without end.
    pub(crate) octets: Option<u64>,
    /// Octets that each sender may have on its way and the engine may hold for it.
    pub(crate) buffer: u32,
    pub(crate) sack: bool,
    pub(crate) timestamps: bool,
    /// How long the flows have run when a link dies, in milliseconds.
    pub(crate) warm_up: u64,
    pub(crate) closures: Vec<Closure>,
    pub(crate) give_up_after: Duration,
}

impl Default for Lab {
    fn default() -> Self {
        Self {
            rtt_ms: 50,
            rate_mbit: 20,
            controller: Controller::Cubic,
            near: 1,
            far: 0,
            octets: None,
            buffer: 64 << 10,
            sack: true,
            timestamps: true,
            warm_up: 1_000,
            closures: Vec::new(),
            give_up_after: Duration::from_secs(924),
        }
    }
}

pub(crate) type Net<'e> = World<Crowd<LinuxHost>, Crowd<LinuxHost>, Watched<'e>>;

/// A world that was made for a [`Lab`].
pub(crate) struct Run<'e> {
    pub(crate) net: Net<'e>,
    lab: Lab,
}

impl Lab {
    pub(crate) const fn rtt(&self) -> Duration {
        Duration::from_millis(self.rtt_ms)
    }

    const fn flows(&self) -> u16 {
        self.near + self.far
    }

    /// The same with a time without a link.
    pub(crate) fn closed(mut self, closure: Closure) -> Self {
        self.closures.push(closure);
        self
    }

    pub(crate) fn memory(&self) -> Memory {
        let flows = usize::from(self.flows());
        // A direction may hold a quarter more than its limit, in blocks that are not all full, and is
        // promised a few; unfinished handshakes may take half of the slots.
        let blocks = 8 + self.buffer as usize * 2 / BLOCK_SIZE;
        Memory::new(2 * flows + 2, flows * blocks, BLOCK_SIZE)
    }

    /// The address of receiver `number`: of the first network, or of the second.
    pub(crate) fn receiver(&self, number: u16) -> SocketAddr {
        let prefix = if number < self.near { NEAR } else { FAR };
        let [a, b, c] = prefix;
        let host = u8::try_from(number % 250).expect("below 250") + 1;
        SocketAddr::new(IpAddr::from([a, b, c, host]), 1000 + number)
    }

    fn hosts(&self, number: u16) -> (LinuxConfig, LinuxHost, LinuxHost) {
        let config = LinuxConfig {
            own: SocketAddr::new(IpAddr::from([192, 0, 2, 10]), 2000 + number),
            peer: self.receiver(number),
            send_buffer: self.buffer as usize,
            // Half of it is window.
            receive_buffer: 2 * self.buffer as usize,
            sack: self.sack,
            timestamps: self.timestamps,
            isn: 0x3000_0000_u32.wrapping_mul(u32::from(number) + 1),
            content: Some(Content::Pattern(u64::from(number))),
            ..LinuxConfig::strict()
        };
        // Spread over a fifth of a second.
        let start = Instant::from_micros(u64::from(number) * 200_000 / u64::from(self.flows()));
        let sender = LinuxHost::connect(config.clone()).connecting_at(start);
        let sender = match self.octets {
            Some(octets) => sender.send_total(octets),
            None => sender.send_endless(),
        };
        let receiver = LinuxHost::listen(config.mirrored());
        (config, sender, receiver)
    }

    pub(crate) fn run(self, memory: &mut Memory) -> Run<'_> {
        let mut config = Config::new([3, 4]);
        config.give_up_after = self.give_up_after;
        config.mtu = [1500; 2];
        let mut policy = FlowConfig::inner_local_ack();
        policy.controller = self.controller;
        policy.buffer_limit = self.buffer;
        policy.custody = Custody::AfterHandshake;
        let engine = Engine::new(memory.storage(), config, policy).expect("memory that fits");
        let middle = Watched {
            engine,
            outbox: Outbox::default(),
            polls: 0,
            dead_at: None,
        };
        let gate = |is_up: bool| Gate {
            closures: self
                .closures
                .iter()
                .filter(|closure| if is_up { closure.data } else { closure.acks })
                .cloned()
                .collect(),
            address_at: if is_up { 16 } else { 12 },
        };
        let half = Delay(self.rtt() / 2);
        let octets_per_second = self.rate_mbit * 125_000;
        let product = octets_per_second * self.rtt_ms / 1000;
        // Room for two packets of each flow.
        let queue = product.max(200_000).max(u64::from(self.flows()) * 3000);
        let lan = || Path::new().then(Delay(Duration::from_micros(100)));
        let links = Links {
            inner_up: lan(),
            inner_down: lan(),
            outer_up: Path::new()
                .then(gate(true))
                .then(Rate::new(octets_per_second, queue))
                .then(half),
            outer_down: Path::new().then(half).then(gate(false)),
        };
        let hosts: Vec<_> = (0..self.flows()).map(|number| self.hosts(number)).collect();
        let mut crowds = [Vec::new(), Vec::new()];
        for (config, sender, receiver) in hosts {
            crowds[0].push((config.own, sender));
            crowds[1].push((config.peer, receiver));
        }
        let [senders, receivers] = crowds.map(Crowd::new);
        Run {
            net: World::new(senders, receivers, middle, links),
            lab: self,
        }
    }
}

impl Run<'_> {
    /// Lets time pass until then, in milliseconds.
    pub(crate) fn until(&mut self, millis: u64) {
        self.until_instant(Instant::from_millis(millis));
    }

    pub(crate) fn until_instant(&mut self, at: Instant) {
        self.net.linger(at.since(self.net.now()));
    }

    /// Octets that each receiver has got in order.
    pub(crate) fn received(&self) -> Vec<u64> {
        self.net.outer.hosts().map(LinuxHost::received).collect()
    }

    /// How long after `from` each receiver got more than `before`.
    pub(crate) fn moved(&self, from: Instant, before: &[u64]) -> Vec<Option<Duration>> {
        let receivers = self.net.outer.hosts().zip(before);
        receivers
            .map(|(host, &before)| Some(host.received_at(before + 1)?.since(from)))
            .collect()
    }

    /// Packets that left for addresses that begin so, between two times.
    pub(crate) fn left(&self, prefix: &[u8], from: Instant, until: Instant) -> Vec<Left> {
        let ours = |left: &&Left| {
            let is_timely = left.at > from && left.at < until;
            is_timely && left.to.ip().octets().starts_with(prefix)
        };
        let log = &self.net.middle.outbox.log;
        log.iter().filter(ours).copied().collect()
    }

    /// How long after `from` the last flow sent something for the first time since.
    pub(crate) fn sent_again(&self, from: Instant) -> Duration {
        let mut first = BTreeMap::new();
        for left in &self.net.middle.outbox.log {
            if left.at >= from {
                first.entry(left.to).or_insert(left.at);
            }
        }
        assert_eq!(
            first.len(),
            self.lab.flows().into(),
            "flows that send again"
        );
        let last = first.into_values().max();
        last.expect("flows").since(from)
    }

    /// When the first sender had closed.
    pub(crate) fn closed_at(&self) -> Option<Instant> {
        self.net.inner.hosts().next().expect("a host").finished_at()
    }

    /// Connections that the engine has given up.
    pub(crate) fn given_up(&self) -> usize {
        let events = self.net.middle.outbox.events.iter();
        events
            .filter(|event| matches!(event, Event::GivenUp { .. }))
            .count()
    }

    /// Nobody has anything to complain of, and nothing is lost.
    pub(crate) fn blameless(&self) {
        let hosts = self.net.inner.hosts().chain(self.net.outer.hosts());
        for host in hosts {
            assert_eq!(host.faults(), [], "{:?}", self.lab);
        }
        assert_eq!(self.net.middle.engine.counters().octets_lost, 0);
    }
}
