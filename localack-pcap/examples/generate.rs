//! Writes a large capture of bulk transfers, to measure how fast captures are replayed.
//!
//! `cargo run --release -p localack-pcap --example generate -- OUT.pcap MEGABYTES [FLOWS]`
//!
//! Each flow has its handshake, data in full segments at 40 ms from its receiver, an ACK for every
//! second segment, one segment of a hundred lost and sent again, and FINs. Flows run side by side;
//! a new one begins whenever one ends.

use std::fs::File;
use std::io::{self, BufWriter, Write};

/// Octets of payload in a full segment.
const MSS: usize = 1448;
/// Segments that a flow sends.
const SEGMENTS: u32 = 2000;
/// Segments between a segment and the ACK for it.
const FLIGHT: u32 = 32;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(path), Some(megabytes)) = (
        args.next(),
        args.next().and_then(|text| text.parse::<u64>().ok()),
    ) else {
        eprintln!("usage: generate OUT.pcap MEGABYTES [FLOWS]");
        std::process::exit(2);
    };
    let side_by_side = args
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(50_usize)
        .max(1);
    let mut capture = Capture::create(&path)?;
    let mut flows: Vec<_> = (0..side_by_side)
        .map(|number| Flow::new(number as u32))
        .collect();
    let mut next = side_by_side as u32;
    while capture.octets < megabytes * 1_000_000 {
        for flow in &mut flows {
            if flow.step(&mut capture)? {
                *flow = Flow::new(next);
                next += 1;
            }
        }
    }
    capture.out.flush()
}

/// A classic capture file with raw IP packets.
struct Capture {
    out: BufWriter<File>,
    octets: u64,
    micros: u64,
}

impl Capture {
    fn create(path: &str) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
            out.write_all(&word.to_le_bytes())?;
        }
        Ok(Self {
            out,
            octets: 24,
            micros: 1_700_000_000_000_000,
        })
    }

    fn packet(&mut self, packet: &[u8]) -> io::Result<()> {
        self.micros += 10;
        let (seconds, rest) = (self.micros / 1_000_000, self.micros % 1_000_000);
        for word in [
            seconds as u32,
            rest as u32,
            packet.len() as u32,
            packet.len() as u32,
        ] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.octets += 16 + packet.len() as u64;
        self.out.write_all(packet)
    }
}

/// One connection: the client uploads.
struct Flow {
    client: [u8; 4],
    port: u16,
    /// Steps done: three of the handshake, then one per segment.
    step: u32,
}

const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;

impl Flow {
    fn new(number: u32) -> Self {
        let [_, a, b, c] = (number / 50_000).to_be_bytes();
        Self {
            client: [10, a, b, c.wrapping_add(1)],
            port: 10_000 + (number % 50_000) as u16,
            step: 0,
        }
    }

    /// Writes the next packets; `true` after the last.
    fn step(&mut self, capture: &mut Capture) -> io::Result<bool> {
        let step = self.step;
        self.step += 1;
        match step {
            0 => capture.packet(&self.segment(true, 0, 0, SYN, 0))?,
            1 => capture.packet(&self.segment(false, 0, 1, SYN | ACK, 0))?,
            2 => capture.packet(&self.segment(true, 1, 1, ACK, 0))?,
            _ => return self.transfer(capture, step - 3),
        }
        Ok(false)
    }

    fn transfer(&self, capture: &mut Capture, number: u32) -> io::Result<bool> {
        let at = |number: u32| 1 + number * MSS as u32;
        if number < SEGMENTS {
            capture.packet(&self.segment(true, at(number), 1, ACK, MSS))?;
            if number % 100 == 99 {
                capture.packet(&self.segment(true, at(number - 10), 1, ACK, MSS))?;
            }
        }
        if number >= FLIGHT && number.is_multiple_of(2) {
            capture.packet(&self.segment(false, 1, at(number - FLIGHT), ACK, 0))?;
        }
        if number < SEGMENTS + FLIGHT {
            return Ok(false);
        }
        let end = at(SEGMENTS);
        capture.packet(&self.segment(true, end, 1, ACK | FIN, 0))?;
        capture.packet(&self.segment(false, 1, end + 1, ACK | FIN, 0))?;
        capture.packet(&self.segment(true, end + 1, 2, ACK, 0))?;
        Ok(true)
    }

    /// A whole IP packet with right checksums.
    fn segment(&self, from_client: bool, seq: u32, ack: u32, flags: u8, payload: usize) -> Vec<u8> {
        const SERVER: ([u8; 4], u16) = ([192, 0, 2, 80], 443);
        let client = (self.client, self.port);
        let ((source, from), (target, to)) = if from_client {
            (client, SERVER)
        } else {
            (SERVER, client)
        };
        let options: &[u8] = if flags & SYN == 0 {
            &[]
        } else {
            &[2, 4, 5, 0xa8, 1, 3, 3, 7, 4, 2, 0, 0]
        };
        let header = 20 + options.len();
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0];
        packet.extend([source, target].concat());
        packet.extend([from.to_be_bytes(), to.to_be_bytes()].concat());
        packet.extend([seq.to_be_bytes(), ack.to_be_bytes()].concat());
        packet.extend([(header as u8 / 4) << 4, flags, 0x20, 0, 0, 0, 0, 0]);
        packet.extend(options);
        packet.extend((0..payload).map(|at| (seq as usize + at) as u8));
        let total = packet.len() as u16;
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        let sum = checksum(packet[..20].chunks(2), 0);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        let length = u32::from(total) - 20;
        let sum = checksum(packet[12..].chunks(2), 6 + length);
        packet[36..38].copy_from_slice(&sum.to_be_bytes());
        packet
    }
}

fn checksum<'p>(words: impl Iterator<Item = &'p [u8]>, start: u32) -> u16 {
    let mut sum = words.fold(start, |sum, word| {
        sum + u32::from(u16::from_be_bytes([
            word[0],
            word.get(1).copied().unwrap_or(0),
        ]))
    });
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
