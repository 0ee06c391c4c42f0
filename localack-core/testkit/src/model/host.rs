//! An end of the connection: a TCP that does only what it is told, and is strict with what it gets.

mod content;
mod receive;
mod window;

use core::net::SocketAddr;

use localack_core::Port;

use super::operation::Setup;
use super::ranges::Ranges;
use crate::packet::{Flags, IpFields, Options, Packet};

pub(super) use receive::Refusal;
use window::Window;

/// The first TSval of a host, from its offset.
pub(super) const FIRST_STAMP: u32 = 100;

/// What became of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Alive,
    /// Its application has reset the connection.
    Aborted,
    /// It was reset.
    Reset,
    /// It is off the net.
    Vanished,
    /// It has started anew and knows nothing of the connection.
    Rebooted,
}

/// Positions count from the first octet of a stream; its FIN takes the position after the last.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) port: Port,
    own: SocketAddr,
    peer: SocketAddr,
    pub(super) isn: u32,
    pub(super) peer_isn: u32,
    pub(super) stamp_offset: u32,
    pub(super) setup: Setup,
    pub(super) state: State,
    /// What a script counts its numbers and timestamps from.
    pub(super) names: (u32, u32),
    /// Whether it knows that its peer has the connection, too.
    pub(super) established: bool,
    /// Whether it owes an echo of a congestion mark, and a sign that it has slowed down for one.
    owes_echo: bool,
    owes_sign: bool,
    /// Where its urgent octets end, and those of its peer.
    pub(super) urgent: i64,
    pub(super) heard_urgent: i64,
    /// Octets that the application has written, and whether it has closed.
    pub(super) written: i64,
    pub(super) closed: bool,
    pub(super) una: i64,
    pub(super) nxt: i64,
    /// The peer's right edge, and the numbers of the segment that said so.
    pub(super) edge: i64,
    edge_by: (i64, i64),
    widest: i64,
    /// What the peer has reported by SACK.
    pub(super) sacked: Ranges,
    pub(super) rcv: i64,
    pub(super) early: Ranges,
    /// Where the peer's FIN stands, once it was seen.
    pub(super) fin: Option<i64>,
    pub(super) window: Window,
    duplicate: Option<(i64, i64)>,
    recent_stamp: u32,
    last_ack: i64,
    /// Segments with data that wait for an acknowledgement.
    owed: u8,
    challenged_at: Option<i64>,
    /// Where SND.UNA was when something was last sent again for want of an acknowledgement.
    resent_at: Option<i64>,
}

impl Host {
    pub(super) fn new(port: Port, setup: &Setup) -> Self {
        let addresses = match (port, setup.v6) {
            (Port::Inner, false) => ["192.0.2.10:40000", "203.0.113.20:443"],
            (Port::Outer, false) => ["203.0.113.20:443", "192.0.2.10:40000"],
            (Port::Inner, true) => ["[2001:db8:1::10]:40000", "[2001:db8:2::20]:443"],
            (Port::Outer, true) => ["[2001:db8:2::20]:443", "[2001:db8:1::10]:40000"],
        };
        let [own, peer] = addresses.map(|text| text.parse().expect("a literal"));
        let [inner, outer] = setup.isns;
        let (isn, peer_isn, room) = match port {
            Port::Inner => (inner, outer, setup.room[0]),
            Port::Outer => (outer, inner, setup.room[1]),
        };
        let peers_room = match port {
            Port::Inner => setup.room[1],
            Port::Outer => setup.room[0],
        };
        let stamp_offset = isn.rotate_left(9) ^ 0x8000_0000;
        Self {
            port,
            own,
            peer,
            isn,
            peer_isn,
            stamp_offset,
            setup: *setup,
            state: State::Alive,
            names: (isn, stamp_offset),
            established: !setup.third_lost || setup.client() == port,
            owes_echo: false,
            owes_sign: false,
            urgent: 0,
            heard_urgent: 0,
            written: 0,
            closed: false,
            una: 0,
            nxt: 0,
            edge: peers_room.into(),
            edge_by: (-1, -1),
            widest: peers_room.into(),
            sacked: Ranges::default(),
            rcv: 0,
            early: Ranges::default(),
            fin: None,
            window: Window::new(room.into(), setup.shift.unwrap_or(0)),
            duplicate: None,
            recent_stamp: 0,
            last_ack: 0,
            owed: 0,
            challenged_at: None,
            resent_at: None,
        }
    }

    /// The number of a position of its own stream; that of its SYN is -1.
    pub(super) fn number(&self, position: i64) -> u32 {
        wire(self.isn, position)
    }

    /// The position of its own stream that a number means.
    pub(super) fn position(&self, number: u32) -> i64 {
        unwire(self.isn, number, self.una)
    }

    /// The position of its peer's stream that a number means.
    pub(super) fn peers_position(&self, number: u32) -> i64 {
        unwire(self.peer_isn, number, self.rcv)
    }

    /// The number of a position of its peer's stream.
    pub(super) fn peers_number(&self, position: i64) -> u32 {
        wire(self.peer_isn, position)
    }

    /// Its TSval at a time in milliseconds.
    pub(super) fn stamp(&self, at_ms: i64) -> u32 {
        let ticks = u32::try_from(at_ms.max(0)).unwrap_or(u32::MAX);
        self.stamp_offset
            .wrapping_add(FIRST_STAMP)
            .wrapping_add(ticks)
    }

    /// Its SYN, or SYN-ACK.
    pub(super) fn syn(&mut self, answer: bool, at_ms: i64) -> Packet {
        let flags = match (answer, self.setup.ecn) {
            (true, false) => Flags::SYN | Flags::ACK,
            (true, true) => Flags::SYN | Flags::ACK | Flags::ECE,
            (false, false) => Flags::SYN,
            (false, true) => Flags::SYN | Flags::ECE | Flags::CWR,
        };
        let mut packet = self.bare(flags, -1, at_ms);
        packet.window = self.window.first_field();
        packet.options = Options {
            mss: Some(self.setup.mss + if self.setup.timestamps { 12 } else { 0 }),
            window_scale: self.setup.shift,
            sack_permitted: self.setup.sack,
            timestamps: self.stamps(at_ms),
            ..Options::default()
        };
        packet
    }

    fn stamps(&self, at_ms: i64) -> Option<(u32, u32)> {
        let value = self.stamp(at_ms);
        self.setup.timestamps.then_some((value, self.recent_stamp))
    }

    /// Takes the TSval of a SYN or SYN-ACK.
    pub(super) const fn note_first_stamp(&mut self, stamp: u32) {
        self.recent_stamp = stamp;
    }

    /// A segment without window, SACK and payload.
    fn bare(&self, flags: Flags, seq: i64, at_ms: i64) -> Packet {
        let (hop_limit, flow_label, traffic_class) = match self.port {
            Port::Inner => (64, 0x1_2345, 0x28),
            Port::Outer => (57, 0x5_4321, 0x48),
        };
        Packet {
            source: self.own,
            destination: self.peer,
            ip: IpFields {
                hop_limit,
                traffic_class,
                flow_label: if self.setup.v6 { flow_label } else { 0 },
                ..IpFields::default()
            },
            flags,
            seq: self.number(seq),
            ack: if flags.has(Flags::ACK) {
                wire(self.peer_isn, self.rcv)
            } else {
                0
            },
            window: 0,
            urgent: 0,
            options: Options {
                timestamps: self.stamps(at_ms).filter(|_| !flags.has(Flags::RST)),
                ..Options::default()
            },
            payload: Vec::new(),
        }
    }

    /// A segment as it would be, without sending it.
    pub(super) fn imagine(&self, seq: i64, octets: i64, at_ms: i64) -> Packet {
        let mut packet = self.bare(Flags::ACK, seq, at_ms);
        if octets > 0 {
            let length = usize::try_from(octets).expect("a segment");
            packet.payload = content::stretch(self.port, seq, length).to_vec();
        }
        packet.window = self.window.clone().announce(self.rcv, false);
        packet
    }

    /// A segment that leaves now.
    pub(super) fn segment(&mut self, seq: i64, octets: i64, fin: bool, at_ms: i64) -> Packet {
        let mut packet = self.imagine(seq, octets, at_ms);
        let last = seq + octets == self.written && octets > 0;
        if last {
            packet.flags = packet.flags | Flags::PSH;
        }
        if fin {
            packet.flags = packet.flags | Flags::FIN;
        }
        packet.window = self.window.announce(self.rcv, true);
        if self.owes_echo {
            packet.flags = packet.flags | Flags::ECE;
        }
        if self.urgent > seq {
            packet.flags = packet.flags | Flags::URG;
            packet.urgent = u16::try_from(self.urgent - seq).unwrap_or(u16::MAX);
        }
        if self.setup.sack {
            packet.options.sack = self.blocks(octets > 0);
            packet.options.sack_present = !packet.options.sack.is_empty();
        }
        self.last_ack = self.rcv;
        self.owed = 0;
        packet
    }

    /// SACK blocks, a D-SACK first; full segments have no room for them.
    fn blocks(&mut self, with_data: bool) -> Vec<(u32, u32)> {
        if with_data {
            return Vec::new();
        }
        let duplicate = self.duplicate.take();
        let early = self.early.iter().rev();
        duplicate
            .into_iter()
            .chain(early)
            .take(3)
            .map(|(left, right)| (wire(self.peer_isn, left), wire(self.peer_isn, right)))
            .collect()
    }

    pub(super) fn acknowledge(&mut self, at_ms: i64) -> Packet {
        if !self.established {
            return self.syn(true, at_ms);
        }
        self.segment(self.nxt, 0, false, at_ms)
    }

    /// An acknowledgement that has waited for a second segment.
    pub(super) fn late_acknowledgement(&mut self, at_ms: i64) -> Option<Packet> {
        let owes = self.owed > 0 && self.state == State::Alive;
        owes.then(|| self.acknowledge(at_ms))
    }

    /// Sends new octets that the peer's window admits, at most `most` segments.
    pub(super) fn send_new(&mut self, most: usize, at_ms: i64) -> Vec<Packet> {
        let mut sent = Vec::new();
        while self.state == State::Alive && self.established && sent.len() < most {
            let octets = i64::from(self.setup.mss)
                .min(self.written - self.nxt)
                .min(self.edge - self.nxt);
            let end = self.nxt + octets.max(0);
            let fin =
                self.closed && self.nxt <= self.written && end == self.written && end < self.edge;
            if octets <= 0 && !fin {
                break;
            }
            let mut packet = self.segment(self.nxt, octets.max(0), fin, at_ms);
            if self.setup.ecn && octets > 0 {
                // Only what is new is ECN-capable, and says that the sender has slowed down.
                packet.ip.traffic_class |= 2;
                if core::mem::take(&mut self.owes_sign) {
                    packet.flags = packet.flags | Flags::CWR;
                }
            }
            self.nxt += octets.max(0) + i64::from(fin);
            sent.push(packet);
        }
        sent
    }

    /// Sends something again; nothing if nothing is unacknowledged.
    pub(super) fn send_again(&mut self, skip: i64, octets: i64, at_ms: i64) -> Option<Packet> {
        if !self.established && self.state == State::Alive {
            return Some(self.syn(true, at_ms));
        }
        let out = self.nxt - self.una;
        if out <= 0 || self.state != State::Alive {
            return None;
        }
        let start = self.una + skip % out;
        let data_end = self.nxt.min(self.written);
        let octets = octets
            .clamp(1, self.setup.mss.into())
            .min(data_end - start)
            .max(0);
        let fin = self.nxt > self.written && start + octets == self.written;
        Some(self.segment(start, octets, fin, at_ms))
    }

    /// What a time-out sends: the first octets that were not reported. Where those at SND.UNA were, the
    /// report was advice that did not last (RFC 2018 section 8). A window that was taken back takes what still
    /// fits: Linux and the BSDs cut a segment to it.
    pub(super) fn time_out(&mut self, at_ms: i64) -> Option<Packet> {
        let mss = i64::from(self.setup.mss);
        if self.sacked.end_from(self.una) > self.una {
            self.sacked.clear();
        }
        let end = self.sacked.next_start(self.una).unwrap_or(i64::MAX);
        let room = match self.edge - self.una {
            room @ 1.. => room,
            // What a closed window takes is asked for with what is there.
            _ => mss,
        };
        self.resent_at = Some(self.una);
        self.send_again(0, mss.min(end - self.una).min(room), at_ms)
    }

    /// What an acknowledgement of something sent again lets go: the next of it (RFC 6582).
    pub(super) fn goes_on(&mut self, at_ms: i64) -> Option<Packet> {
        let advanced = self.resent_at.is_some_and(|una| una < self.una);
        let packet = if advanced { self.time_out(at_ms) } else { None };
        if advanced && packet.is_none() {
            self.resent_at = None;
        }
        packet
    }

    /// A segment without octets one below the next: a sign of life is wanted.
    pub(super) fn keepalive(&mut self, at_ms: i64) -> Packet {
        if !self.established {
            return self.syn(true, at_ms);
        }
        self.segment(self.una - 1, 0, false, at_ms)
    }

    /// The application is gone: nothing of the connection is left but a RST.
    pub(super) fn abort(&mut self, at_ms: i64) -> Packet {
        self.state = State::Aborted;
        self.bare(Flags::RST | Flags::ACK, self.nxt, at_ms)
    }

    /// Whether all was sent and acknowledged, and all was received, FINs included.
    pub(super) fn is_done(&self) -> bool {
        self.closed && self.una > self.written && self.fin.is_some_and(|fin| self.rcv > fin)
    }

    /// Octets in order, FIN excluded.
    pub(super) fn octets_in_order(&self) -> i64 {
        self.fin.map_or(self.rcv, |fin| fin.min(self.rcv))
    }
}

fn wire(isn: u32, position: i64) -> u32 {
    let steps = (position + 1).rem_euclid(1 << 32);
    isn.wrapping_add(u32::try_from(steps).expect("reduced modulo 2^32"))
}

fn unwire(isn: u32, number: u32, near: i64) -> i64 {
    near + i64::from(number.wrapping_sub(wire(isn, near)).cast_signed())
}
