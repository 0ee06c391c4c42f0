//! Two hosts that always have something to say.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use localack_core::Port;
use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet};

use crate::operation::{Setup, Shape};

/// Octets that a host sends if nothing else is asked for.
const MSS: u16 = 1_000;
/// The shift of both hosts' windows, if they scale them.
const SCALE: u8 = 5;
/// Ticks between two segments of a host.
const TICKS: u32 = 3;

/// One end of the connection: as much of a TCP as it takes to be plausible.
#[derive(Clone, Debug)]
struct Host {
    address: SocketAddr,
    /// Next sequence number to send.
    snd_nxt: u32,
    /// Next sequence number expected: the highest one heard of.
    rcv_nxt: u32,
    /// Its timestamp clock.
    clock: u32,
    /// The newest timestamp heard.
    echo: u32,
    /// The right edge of all windows that it has offered.
    edge: Option<u32>,
    last: Option<Packet>,
}

/// What both hosts send at a sequence number, whenever they send it.
pub(super) const fn octet_at(seq: u32) -> u8 {
    let [a, b, c, d] = seq.wrapping_mul(0x9e37_79b1).to_be_bytes();
    a ^ b ^ c ^ d
}

/// Both ends.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    inner: Host,
    outer: Host,
    setup: Setup,
}

impl Hosts {
    pub(crate) fn new(setup: Setup) -> Self {
        Self::numbered(setup, 0)
    }

    /// The same two on another connection.
    pub(crate) fn numbered(setup: Setup, number: u16) -> Self {
        let host = |v4: [u8; 4], v6: u16, port, isn, clock| Host {
            address: SocketAddr::new(
                if setup.has(Setup::V6) {
                    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, v6, 0, 0, 0, 0, 1))
                } else {
                    IpAddr::V4(Ipv4Addr::from(v4))
                },
                port,
            ),
            snd_nxt: isn,
            rcv_nxt: 0,
            clock,
            echo: 0,
            edge: None,
            last: None,
        };
        let isn = match setup.isn {
            low @ 0..128 => u32::from(low) << 8,
            high => u32::MAX - u32::from(u8::MAX - high) * 16,
        };
        Self {
            inner: host([192, 0, 2, 1], 1, 40_000 + number, isn, 100),
            outer: host(
                [203, 0, 113, 1],
                2,
                443,
                isn.wrapping_add(0x7fff_f000),
                u32::MAX - 20,
            ),
            setup,
        }
    }

    /// Whether a packet toward `port` is for the host there.
    pub(super) fn owns(&self, port: Port, packet: &Packet) -> bool {
        let (to, from) = (self.of(port).address, self.of(port.other()).address);
        (packet.destination, packet.source) == (to, from)
    }

    /// SYN, SYN-ACK and ACK, with the ports they arrive on.
    pub(super) fn handshake(&mut self) -> [(Port, Vec<u8>); 3] {
        let client = if self.setup.has(Setup::OUTER_CLIENT) {
            Port::Outer
        } else {
            Port::Inner
        };
        [
            (client, Flags::SYN),
            (client.other(), Flags::SYN | Flags::ACK),
            (client, Flags::ACK),
        ]
        .map(|(port, flags)| {
            let marks = match (
                self.setup.has_ecn(),
                flags.has(Flags::ACK),
                flags.has(Flags::SYN),
            ) {
                (true, false, true) => Flags::ECE | Flags::CWR,
                (true, true, true) => Flags::ECE,
                _ => Flags::default(),
            };
            let flags = u8::try_from((flags | marks).0).expect("eight bits");
            let shape = Shape {
                payload: Some(0),
                flags: Some(flags),
                ..Shape::default()
            };
            let octets = self.segment(port, &shape);
            self.hears(port.other(), &octets);
            (port, octets)
        })
    }

    /// The last segment of the host on `port`, before any damage.
    pub(super) const fn last(&self, port: Port) -> Option<&Packet> {
        self.of(port).last.as_ref()
    }

    /// The next segment of the host on `port`, with the deviations of `shape`.
    pub(super) fn segment(&mut self, port: Port, shape: &Shape) -> Vec<u8> {
        let packet = self.next(port, shape);
        let scale = self.setup.has(Setup::SCALE);
        let host = self.of_mut(port);
        host.clock = host.clock.wrapping_add(TICKS);
        if shape.seq.is_none() {
            host.snd_nxt = host.snd_nxt.wrapping_add(packet.seq_len());
        }
        let mut octets = packet.encode(if shape.window.is_some_and(|window| window & 1 == 1) {
            Layout::Odd
        } else {
            Layout::Aligned
        });
        if packet.flags.has(Flags::ACK) {
            let scales = scale && !packet.flags.has(Flags::SYN);
            let window = u32::from(packet.window) << if scales { SCALE } else { 0 };
            let edge = packet.ack.wrapping_add(window);
            let further = |old: u32| edge.wrapping_sub(old).cast_signed() > 0;
            if host.edge.is_none_or(further) {
                host.edge = Some(edge);
            }
        }
        host.last = Some(packet);
        for &(at, bits) in &shape.damage {
            let at = usize::from(at) % octets.len();
            octets[at] ^= bits;
        }
        octets
    }

    fn next(&self, port: Port, shape: &Shape) -> Packet {
        let (host, peer) = (self.of(port), self.of(port.other()));
        let flags = Flags(shape.flags.map_or(Flags::ACK.0, u16::from));
        let syn = flags.has(Flags::SYN);
        let ahead = |base: u32, by: i16| base.wrapping_add_signed(by.into());
        let ack = ahead(host.rcv_nxt, shape.ack.unwrap_or(0));
        let blocks = shape.sack.iter().map(|&(start, length)| {
            let left = ahead(ack, start);
            (left, left.wrapping_add(length.into()))
        });
        let length = shape.payload.unwrap_or(MSS);
        let seq = ahead(host.snd_nxt, shape.seq.unwrap_or(0));
        Packet {
            source: host.address,
            destination: peer.address,
            ip: IpFields {
                traffic_class: self.mark(shape, length),
                ..IpFields::default()
            },
            flags,
            seq,
            ack: if flags.has(Flags::ACK) { ack } else { 0 },
            window: shape.window.unwrap_or(20_000),
            urgent: u16::from(flags.has(Flags::URG)) * 7,
            options: Options {
                mss: syn.then_some(MSS),
                window_scale: (syn && self.setup.has(Setup::SCALE)).then_some(SCALE),
                sack_permitted: syn && self.setup.has(Setup::SACK),
                timestamps: self
                    .setup
                    .has(Setup::TIMESTAMPS)
                    .then(|| (ahead(host.clock, shape.clock.unwrap_or(0)), host.echo)),
                sack: if syn { Vec::new() } else { blocks.collect() },
                ..Options::default()
            },
            payload: (0..u32::from(length))
                .map(|at| octet_at(seq.wrapping_add(at)))
                .collect(),
        }
    }

    /// The ECN field of a segment: some routers mark (RFC 3168 section 5).
    fn mark(&self, shape: &Shape, length: u16) -> u8 {
        const ECT_0: u8 = 2;
        const CE: u8 = 3;
        let marked = shape.window.is_some_and(|window| window & 2 == 2);
        match (self.setup.has_ecn() && length > 0, marked) {
            (false, _) => 0,
            (true, false) => ECT_0,
            (true, true) => CE,
        }
    }

    /// Whether a segment with data toward `port` ends within a window that the host there has ever
    /// offered, but for an octet that asks whether it is open (rules H1.1 and H2.6).
    pub(super) fn has_room(&self, port: Port, packet: &Packet) -> bool {
        let end = packet.seq.wrapping_add(packet.payload_len());
        let edge = self.of(port).edge;
        packet.payload.is_empty()
            || edge.is_some_and(|edge| end.wrapping_sub(edge).cast_signed() <= 1)
    }

    /// The host on `port` hears a packet: it moves on if it makes sense.
    pub(super) fn hears(&mut self, port: Port, octets: &[u8]) {
        let Ok(decoded) = Packet::decode(octets) else {
            return;
        };
        let packet = decoded.packet;
        if !decoded.checksum_ok || !self.owns(port, &packet) {
            return;
        }
        let host = self.of_mut(port);
        let end = packet.seq.wrapping_add(packet.seq_len());
        if packet.flags.has(Flags::SYN) || end.wrapping_sub(host.rcv_nxt).cast_signed() > 0 {
            host.rcv_nxt = end;
        }
        if let Some((value, _)) = packet.options.timestamps {
            host.echo = value;
        }
    }

    const fn of(&self, port: Port) -> &Host {
        match port {
            Port::Inner => &self.inner,
            Port::Outer => &self.outer,
        }
    }

    const fn of_mut(&mut self, port: Port) -> &mut Host {
        match port {
            Port::Inner => &mut self.inner,
            Port::Outer => &mut self.outer,
        }
    }
}
