//! Segments as the search knows them: relative numbers and lengths instead of octets.

use core::fmt;
use core::net::SocketAddr;
use std::collections::HashMap;

use localack_core::Port;

use super::scope::{MSS, Scope, index};
use crate::packet::{Decoded, Flags, IpFields, Layout, Options, Packet};

/// Initial sequence numbers of the inner and the outer end: one wraps inside its first segment.
const ISN: [u32; 2] = [u32::MAX - 20, 70_000];
/// First values of their timestamp clocks.
const CLOCK: [u32; 2] = [5000, u32::MAX - 2];

/// A segment. Sequence numbers are relative to the ISN of the end they belong to, timestamps to its
/// clock; what the payload says follows from where it stands.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Segment {
    /// The end in whose name it is sent.
    pub(super) from: Port,
    /// Control bits, see [`Flags`].
    pub(super) flags: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    /// Octets of payload.
    pub(super) len: u16,
    pub(super) sack: Vec<(u32, u32)>,
    /// TSval and TSecr.
    pub(super) stamps: Option<(u32, u32)>,
}

impl Segment {
    pub(super) fn has(&self, flag: Flags) -> bool {
        Flags(self.flags).has(flag)
    }

    /// First sequence number after it.
    pub(super) fn end(&self) -> u32 {
        self.seq
            .wrapping_add(u32::from(self.len))
            .wrapping_add(Flags(self.flags).octets())
    }

    /// The packet it stands for.
    pub(super) fn to_packet(&self, scope: &Scope) -> Packet {
        let (from, to) = (self.from, self.from.other());
        let syn = self.has(Flags::SYN);
        let absolute = |port: Port, number: u32| ISN[index(port)].wrapping_add(number);
        let stamp = |port: Port, value: u32| CLOCK[index(port)].wrapping_add(value);
        let first = self.seq.wrapping_add(u32::from(syn));
        let header = if scope.timestamps { 12 } else { 0 };
        Packet {
            source: address(from),
            destination: address(to),
            ip: IpFields::default(),
            flags: Flags(self.flags),
            seq: absolute(from, self.seq),
            ack: if self.has(Flags::ACK) {
                absolute(to, self.ack)
            } else {
                0
            },
            window: self.window,
            urgent: 0,
            options: Options {
                mss: syn.then(|| u16::try_from(MSS).expect("small") + header),
                sack_permitted: syn && scope.sack,
                timestamps: self.stamps.map(|(value, echo)| {
                    let first = syn && !self.has(Flags::ACK);
                    (stamp(from, value), if first { 0 } else { stamp(to, echo) })
                }),
                sack: self
                    .sack
                    .iter()
                    .map(|&(left, right)| (absolute(to, left), absolute(to, right)))
                    .collect(),
                sack_present: !self.sack.is_empty(),
                ..Options::default()
            },
            payload: (0..u32::from(self.len))
                .map(|at| octet(from, first.wrapping_add(at)))
                .collect(),
        }
    }

    /// What a packet that leaves toward `to` stands for.
    ///
    /// # Errors
    /// What is wrong with it, whoever receives it.
    pub(super) fn of(decoded: &Decoded, to: Port) -> Result<Self, String> {
        let packet = &decoded.packet;
        let from = to.other();
        if packet.source != address(from) || packet.destination != address(to) {
            return Err("a packet with other addresses".into());
        }
        if !decoded.checksum_ok || !decoded.ip_checksum_ok {
            return Err("a packet with a wrong checksum (invariant 13)".into());
        }
        if packet.payload_len() > MSS {
            return Err("a packet larger than its receiver takes (H10.2)".into());
        }
        let relative = |port: Port, number: u32| number.wrapping_sub(ISN[index(port)]);
        let stamp = |port: Port, value: u32| value.wrapping_sub(CLOCK[index(port)]);
        let segment = Self {
            from,
            flags: packet.flags.0,
            seq: relative(from, packet.seq),
            ack: if packet.flags.has(Flags::ACK) {
                relative(to, packet.ack)
            } else {
                0
            },
            window: packet.window,
            len: u16::try_from(packet.payload.len()).expect("no longer than a segment"),
            sack: packet
                .options
                .sack
                .iter()
                .map(|&(left, right)| (relative(to, left), relative(to, right)))
                .collect(),
            stamps: packet
                .options
                .timestamps
                .map(|(value, echo)| (stamp(from, value), stamp(to, echo))),
        };
        let wrong = (segment.seq..)
            .zip(&packet.payload)
            .find(|&(at, &found)| found != octet(from, at));
        match wrong {
            Some((at, _)) => Err(format!("octet {at} is not what was sent (invariant 12)")),
            None => Ok(segment),
        }
    }
}

/// `F. 49:97 ack 1 w96`: the notation of packet scripts.
impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Flags(self.flags), self.seq)?;
        if self.len > 0 {
            write!(f, ":{}", self.seq.wrapping_add(self.len.into()))?;
        }
        if self.has(Flags::ACK) {
            write!(f, " ack {}", self.ack)?;
        }
        write!(f, " w{}", self.window)?;
        if let Some((value, echo)) = self.stamps {
            write!(f, " ts {value} tsecr {echo}")?;
        }
        if !self.sack.is_empty() {
            write!(f, " sack")?;
            for (left, right) in &self.sack {
                write!(f, " {left}:{right}")?;
            }
        }
        Ok(())
    }
}

/// A sequence number relative to the ISN of the end on `port`.
pub(super) const fn relative(port: Port, number: u32) -> u32 {
    number.wrapping_sub(ISN[index(port)])
}

/// Where an end's sequence numbers and timestamps begin.
pub(super) const fn origin(port: Port) -> (u32, u32) {
    (ISN[index(port)], CLOCK[index(port)])
}

fn address(port: Port) -> SocketAddr {
    match port {
        Port::Inner => SocketAddr::from(([192, 0, 2, 10], 40_000)),
        Port::Outer => SocketAddr::from(([203, 0, 113, 20], 443)),
    }
}

/// The octet at a relative sequence number, as packet scripts have it.
fn octet(from: Port, at: u32) -> u8 {
    let side = if from == Port::Inner { 0 } else { 0x55 };
    (at.wrapping_mul(0x9e37_79b1) ^ side).to_be_bytes()[1]
}

/// All segments that were ever met, each once.
#[derive(Debug, Default)]
pub(super) struct Segments {
    all: Vec<Segment>,
    octets: Vec<Vec<u8>>,
    ids: HashMap<Segment, u32>,
}

impl Segments {
    /// The name of a segment.
    pub(super) fn id(&mut self, segment: &Segment, scope: &Scope) -> u32 {
        if let Some(&id) = self.ids.get(segment) {
            return id;
        }
        let id = u32::try_from(self.all.len()).expect("a small world");
        self.octets
            .push(segment.to_packet(scope).encode(Layout::Aligned));
        self.all.push(segment.clone());
        self.ids.insert(segment.clone(), id);
        id
    }

    pub(super) fn get(&self, id: u32) -> &Segment {
        &self.all[id as usize]
    }

    /// The packet as octets.
    pub(super) fn octets(&self, id: u32) -> &[u8] {
        &self.octets[id as usize]
    }
}
