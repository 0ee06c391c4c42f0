//! Captures made by hand: packets, the headers around them, and files.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use core::net::IpAddr;

use localack_pcap::replay::{Options, replay};
use localack_pcap::report::Report;
use localack_pcap::source::Source;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

/// One TCP packet to be.
#[derive(Clone, Debug)]
pub struct Tcp {
    pub from: (IpAddr, u16),
    pub to: (IpAddr, u16),
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
    pub sum: Sum,
}

/// What the checksum field is to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sum {
    Good,
    /// Only the pseudo-header's.
    Partial,
    Wrong,
}

impl Tcp {
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn addresses(&self) -> Vec<u8> {
        let octets = |address| match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        [octets(self.from.0), octets(self.to.0)].concat()
    }

    /// The TCP segment.
    pub fn segment(&self) -> Vec<u8> {
        let header = 20 + self.options.len();
        assert_eq!(header % 4, 0);
        let mut out = [self.from.1.to_be_bytes(), self.to.1.to_be_bytes()].concat();
        out.extend(self.seq.to_be_bytes());
        out.extend(self.ack.to_be_bytes());
        out.extend([(header as u8 / 4) << 4, self.flags, 0x20, 0, 0, 0, 0, 0]);
        out.extend(&self.options);
        out.extend(&self.payload);
        let mut pseudo = self.addresses();
        pseudo.extend((out.len() as u32).to_be_bytes());
        pseudo.extend([0, 0, 0, 6]);
        let sum = match self.sum {
            Sum::Good => !ones_sum(&[pseudo, out.clone()].concat()),
            Sum::Partial => ones_sum(&pseudo),
            Sum::Wrong => !ones_sum(&[pseudo, out.clone()].concat()) ^ 0x0f0f,
        };
        out[16..18].copy_from_slice(&sum.to_be_bytes());
        out
    }

    /// The IP packet.
    pub fn ip(&self) -> Vec<u8> {
        ip(self.from.0, self.to.0, 6, &self.segment())
    }
}

/// An IP packet of the version of its addresses.
pub fn ip(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut out = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
            out.extend([from.octets(), to.octets()].concat());
            out.extend(payload);
            let total = out.len() as u16;
            out[2..4].copy_from_slice(&total.to_be_bytes());
            ipv4_sum(&mut out);
            out
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut out = vec![0x60, 0, 0, 0];
            out.extend((payload.len() as u16).to_be_bytes());
            out.extend([protocol, 64]);
            out.extend([from.octets(), to.octets()].concat());
            out.extend(payload);
            out
        }
        _ => panic!("addresses of two versions"),
    }
}

/// Puts the right checksum into an IPv4 header of 20 octets.
pub fn ipv4_sum(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let sum = !ones_sum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

pub fn udp(from_port: u16, to_port: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = [from_port.to_be_bytes(), to_port.to_be_bytes()].concat();
    out.extend((8 + payload.len() as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend(payload);
    out
}

fn ones_sum(octets: &[u8]) -> u16 {
    let mut sum: u32 = octets
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// A connection of which packets are made.
#[derive(Clone, Debug)]
pub struct Connection {
    pub client: (IpAddr, u16),
    pub server: (IpAddr, u16),
    pub client_isn: u32,
    pub server_isn: u32,
}

/// A packet and when it was captured, in microseconds.
pub type Timed = (u64, Vec<u8>);

impl Connection {
    pub fn v4() -> Self {
        Self {
            client: ("10.1.0.1".parse().unwrap(), 40_000),
            server: ("192.0.2.9".parse().unwrap(), 80),
            client_isn: 0xffff_fc00,
            server_isn: 7_000,
        }
    }

    pub fn v6() -> Self {
        Self {
            client: ("2001:db8::1".parse().unwrap(), 40_000),
            server: ("2001:db8:9::9".parse().unwrap(), 80),
            ..Self::v4()
        }
    }

    /// A packet of the client; numbers count from the initial ones.
    pub fn up(&self, seq: u32, ack: u32, flags: u8, payload: usize) -> Tcp {
        Tcp {
            from: self.client,
            to: self.server,
            seq: self.client_isn.wrapping_add(seq),
            ack: if flags & ACK == 0 {
                0
            } else {
                self.server_isn.wrapping_add(ack)
            },
            flags,
            options: if flags & SYN == 0 {
                Vec::new()
            } else {
                SYN_OPTIONS.to_vec()
            },
            payload: (0..payload).map(|at| (seq as usize + at) as u8).collect(),
            sum: Sum::Good,
        }
    }

    /// A packet of the server.
    pub fn down(&self, seq: u32, ack: u32, flags: u8, payload: usize) -> Tcp {
        Self {
            client: self.server,
            server: self.client,
            client_isn: self.server_isn,
            server_isn: self.client_isn,
        }
        .up(seq, ack, flags, payload)
    }

    /// Handshake, 1000 octets up, 300 down, and both FINs: ten packets, a second apart.
    pub fn exchange(&self) -> Vec<Tcp> {
        vec![
            self.up(0, 0, SYN, 0),
            self.down(0, 1, SYN | ACK, 0),
            self.up(1, 1, ACK, 0),
            self.up(1, 1, ACK | PSH, 1000),
            self.down(1, 1001, ACK, 0),
            self.down(1, 1001, ACK | PSH, 300),
            self.up(1001, 301, ACK, 0),
            self.up(1001, 301, ACK | FIN, 0),
            self.down(301, 1002, ACK | FIN, 0),
            self.up(1002, 302, ACK, 0),
        ]
    }

    /// An upload of `segments` segments of 1000 octets in one burst, captured beside the client,
    /// over a path of `rtt` microseconds.
    pub fn upload(&self, segments: u32, rtt: u64) -> Vec<Timed> {
        let mut out = vec![
            (0, self.up(0, 0, SYN, 0).ip()),
            (rtt, self.down(0, 1, SYN | ACK, 0).ip()),
            (rtt + 50, self.up(1, 1, ACK, 0).ip()),
        ];
        // The first segment proves the server; the rest follow its acknowledgement.
        out.push((rtt + 100, self.up(1, 1, ACK, 1000).ip()));
        out.push((2 * rtt + 100, self.down(1, 1001, ACK, 0).ip()));
        let begin = 2 * rtt + 200;
        for n in 1..segments {
            out.push((
                begin + u64::from(n) * 10,
                self.up(1 + n * 1000, 1, ACK, 1000).ip(),
            ));
        }
        for n in 1..segments {
            let at = begin + u64::from(n) * 10 + rtt;
            out.push((at, self.down(1, 1001 + n * 1000, ACK, 0).ip()));
        }
        out
    }
}

/// Maximum segment size 1460, window scale 7, SACK permitted.
const SYN_OPTIONS: [u8; 12] = [2, 4, 5, 0xb4, 1, 3, 3, 7, 4, 2, 0, 0];

/// Which byte order and resolution a classic file has.
#[derive(Clone, Copy, Debug)]
pub struct Flavour {
    pub big_endian: bool,
    pub nanoseconds: bool,
}

pub const PLAIN: Flavour = Flavour {
    big_endian: false,
    nanoseconds: false,
};

impl Flavour {
    pub fn word(self, word: u32) -> [u8; 4] {
        if self.big_endian {
            word.to_be_bytes()
        } else {
            word.to_le_bytes()
        }
    }
}

/// A classic file; each frame with its time in microseconds and its length on the wire.
pub fn pcap(flavour: Flavour, link: u32, frames: &[(u64, usize, Vec<u8>)]) -> Vec<u8> {
    let magic = if flavour.nanoseconds {
        0xa1b2_3c4d
    } else {
        0xa1b2_c3d4
    };
    let version = if flavour.big_endian {
        0x0002_0004
    } else {
        0x0004_0002
    };
    let mut out = Vec::new();
    for word in [magic, version, 0, 0, 262_144, link] {
        out.extend(flavour.word(word));
    }
    for (micros, wire_len, frame) in frames {
        let fraction = micros % 1_000_000 * if flavour.nanoseconds { 1000 } else { 1 };
        let words = [
            micros / 1_000_000,
            fraction,
            frame.len() as u64,
            *wire_len as u64,
        ];
        words
            .iter()
            .for_each(|&word| out.extend(flavour.word(word as u32)));
        out.extend(frame);
    }
    out
}

/// A classic little-endian file with whole frames.
pub fn plain(link: u32, frames: &[Timed]) -> Vec<u8> {
    let frames: Vec<_> = frames
        .iter()
        .map(|(at, frame)| (*at, frame.len(), frame.clone()))
        .collect();
    pcap(PLAIN, link, &frames)
}

/// One packet a second, raw IP.
pub fn raw(packets: &[Tcp]) -> Vec<u8> {
    let frames: Vec<_> = packets
        .iter()
        .enumerate()
        .map(|(n, packet)| (n as u64 * 1_000_000, packet.ip()))
        .collect();
    plain(101, &frames)
}

/// A pcapng block.
pub fn block(big_endian: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let word = |word: u32| {
        if big_endian {
            word.to_be_bytes()
        } else {
            word.to_le_bytes()
        }
    };
    let padding = body.len().next_multiple_of(4) - body.len();
    let length = 12 + body.len() + padding;
    let mut out = [word(kind), word(length as u32)].concat();
    out.extend(body);
    out.extend(vec![0; padding]);
    out.extend(word(length as u32));
    out
}

/// Replays a file from memory; nothing may be violated.
pub fn run(file: Vec<u8>) -> Report {
    run_with(file, &Options::default())
}

/// As [`run`], with options.
pub fn run_with(file: Vec<u8>, options: &Options) -> Report {
    let mut source = Source::new(std::io::Cursor::new(file)).unwrap();
    let report = replay(&mut source, options, None, &mut |_| ()).unwrap();
    assert_eq!(
        report.invariants.violations, 0,
        "{:?}",
        report.invariants.described
    );
    assert!(report.input.packets == 0 || report.invariants.checked > 0 || report.tcp.packets == 0);
    report
}
