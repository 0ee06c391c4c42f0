//! Connections by number: their addresses, and how they are opened.

use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use localack_core::Port;
use localack_core::wire::checksum;
use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet};

/// Where the inner host's data begins.
pub const INNER_FIRST: u32 = 1_001;
/// Where the outer host's data would begin.
pub const OUTER_FIRST: u32 = 2_000_001;
/// The window scale of both hosts: their field of 0xffff is half a gibioctet.
pub const SCALE: u8 = 13;

/// The address of the first client, and the port of its first connection.
const FIRST_CLIENT: u32 = 0x0a00_0000;
const FIRST_PORT: u16 = 40_000;

/// Offsets in an IPv4 packet with a TCP segment.
mod at {
    pub(super) const IP_CHECKSUM: usize = 10;
    pub(super) const ADDRESSES: core::ops::Range<usize> = 12..20;
    pub(super) const PORTS: core::ops::Range<usize> = 20..24;
    pub(super) const TCP_CHECKSUM: usize = 36;
}

/// A connection from an inner host to an outer one. Each number up to 2^24 has its own addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Line(pub u32);

impl Line {
    /// Address and port of the host on `port`.
    #[must_use]
    pub fn host(self, port: Port) -> SocketAddrV4 {
        // Sixteen connections a client, and 2^16 servers.
        match port {
            Port::Inner => {
                let address = FIRST_CLIENT + (self.0 >> 4);
                SocketAddrV4::new(Ipv4Addr::from_bits(address), FIRST_PORT + low(self.0 & 15))
            }
            Port::Outer => {
                let address = 0xc612_0000 + (self.0 & 0xffff);
                SocketAddrV4::new(Ipv4Addr::from_bits(address), 443)
            }
        }
    }

    /// The connection of an inner host's address and port.
    #[must_use]
    pub fn of_inner(address: IpAddr, port: u16) -> Option<Self> {
        let IpAddr::V4(address) = address else {
            return None;
        };
        let client = address.to_bits().checked_sub(FIRST_CLIENT)?;
        let number = port.checked_sub(FIRST_PORT)?;
        Some(Self(client << 4 | u32::from(number)))
    }

    /// SYN, SYN-ACK and ACK, with the ports they arrive on.
    #[must_use]
    pub fn handshake(self) -> [(Port, Vec<u8>); 3] {
        let openings = Openings::new();
        [0, 1, 2].map(|number| openings.packet(number, self))
    }
}

/// The handshake of any connection, made from that of one.
#[derive(Clone, Debug)]
pub(super) struct Openings([(Port, Vec<u8>); 3]);

impl Openings {
    /// Makes the first one.
    #[must_use]
    pub(super) fn new() -> Self {
        let (syn, ack) = (INNER_FIRST.wrapping_sub(1), OUTER_FIRST.wrapping_sub(1));
        Self([
            (Port::Inner, segment(Port::Inner, Flags::SYN, syn, 0)),
            (
                Port::Outer,
                segment(Port::Outer, Flags::SYN | Flags::ACK, ack, INNER_FIRST),
            ),
            (
                Port::Inner,
                segment(Port::Inner, Flags::ACK, INNER_FIRST, OUTER_FIRST),
            ),
        ])
    }

    /// A packet of `line`'s: SYN, SYN-ACK and ACK are 0 to 2.
    #[must_use]
    pub(super) fn packet(&self, number: usize, line: Line) -> (Port, Vec<u8>) {
        let (port, mut packet) = self.0[number].clone();
        readdress(&mut packet, port, line);
        (port, packet)
    }
}

/// A segment of the first connection without data, from the host on `port`.
fn segment(port: Port, flags: Flags, seq: u32, ack: u32) -> Vec<u8> {
    let syn = flags.has(Flags::SYN);
    let packet = Packet {
        source: SocketAddr::V4(Line(0).host(port)),
        destination: SocketAddr::V4(Line(0).host(port.other())),
        ip: IpFields::default(),
        flags,
        seq,
        ack,
        window: 0xffff,
        urgent: 0,
        options: Options {
            mss: syn.then_some(1460),
            window_scale: syn.then_some(SCALE),
            sack_permitted: syn,
            timestamps: Some((1_000, if flags.has(Flags::ACK) { 1_000 } else { 0 })),
            ..Options::default()
        },
        payload: Vec::new(),
    };
    packet.encode(Layout::Aligned)
}

/// Makes a packet of the host on `port` one of `line`, with right checksums (RFC 1624).
fn readdress(packet: &mut [u8], port: Port, line: Line) {
    let [source, destination] = [line.host(port), line.host(port.other())];
    let addresses: Vec<u8> = [source, destination]
        .iter()
        .flat_map(|host| host.ip().octets())
        .collect();
    let ports: Vec<u8> = [source, destination]
        .iter()
        .flat_map(|host| host.port().to_be_bytes())
        .collect();
    replace(
        packet,
        at::ADDRESSES,
        &addresses,
        &[at::IP_CHECKSUM, at::TCP_CHECKSUM],
    );
    replace(packet, at::PORTS, &ports, &[at::TCP_CHECKSUM]);
}

/// Puts `new` into `range`, and the difference into the checksums.
fn replace(packet: &mut [u8], range: core::ops::Range<usize>, new: &[u8], checksums: &[usize]) {
    for (place, new) in range.step_by(2).zip(new.as_chunks::<2>().0) {
        for &checksum in checksums {
            let check = u16::from_be_bytes([packet[checksum], packet[checksum + 1]]);
            let old = u16::from_be_bytes([packet[place], packet[place + 1]]);
            let check = checksum::update(check, old, u16::from_be_bytes(*new));
            packet[checksum..checksum + 2].copy_from_slice(&check.to_be_bytes());
        }
        packet[place..place + 2].copy_from_slice(new);
    }
}

/// The low half of a number.
fn low(number: u32) -> u16 {
    u16::try_from(number & 0xffff).expect("sixteen bits")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every packet of a handshake is right, whichever connection it is of.
    #[test]
    fn handshakes_have_right_checksums_and_addresses_of_their_own() {
        let openings = Openings::new();
        let mut seen = HashSet::new();
        for number in [0, 1, 15, 16, 65_535, 65_536, 999_999] {
            for (port, packet) in [0, 1, 2].map(|which| openings.packet(which, Line(number))) {
                let decoded = Packet::decode(&packet).expect("a segment");
                assert!(decoded.checksum_ok && decoded.ip_checksum_ok, "{number}");
                let host = SocketAddr::V4(Line(number).host(port));
                assert_eq!(decoded.packet.source, host, "{number}");
            }
            let hosts = Port::BOTH.map(|port| Line(number).host(port));
            assert!(seen.insert(hosts), "{number} has the addresses of another");
            let inner = Line(number).host(Port::Inner);
            let found = Line::of_inner(IpAddr::V4(*inner.ip()), inner.port());
            assert_eq!(found, Some(Line(number)));
        }
    }
}
