//! Segments with somebody else's addresses, made quickly: these tests send millions.

use core::net::SocketAddrV4;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;

/// What a forged octet looks like: no stream in these tests has a run of them.
const FORGED: u8 = 0xa5;

/// A segment over IPv4 with right checksums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forgery {
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) flags: u8,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
    pub(crate) stamps: Option<(u32, u32)>,
    /// Octets of payload.
    pub(crate) length: u16,
}

impl Forgery {
    pub(crate) fn octets(&self) -> Vec<u8> {
        let options: u16 = if self.stamps.is_some() { 12 } else { 0 };
        let total = 40 + options + self.length;
        let mut octets = Vec::with_capacity(total.into());
        octets.extend([0x45, 0]);
        octets.extend(total.to_be_bytes());
        // DF, TTL 64, TCP.
        octets.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        octets.extend(self.source.ip().octets());
        octets.extend(self.destination.ip().octets());
        octets.extend(self.source.port().to_be_bytes());
        octets.extend(self.destination.port().to_be_bytes());
        octets.extend(self.seq.to_be_bytes());
        let ack = if self.flags & ACK == 0 { 0 } else { self.ack };
        octets.extend(ack.to_be_bytes());
        octets.extend([
            (5 + u8::try_from(options / 4).expect("three")) << 4,
            self.flags,
        ]);
        octets.extend(self.window.to_be_bytes());
        octets.extend([0; 4]);
        if let Some((value, echo)) = self.stamps {
            octets.extend([1, 1, 8, 10]);
            octets.extend(value.to_be_bytes());
            octets.extend(echo.to_be_bytes());
        }
        octets.resize(total.into(), FORGED);
        let header = checksum(0, &octets[..20]);
        octets[10..12].copy_from_slice(&header.to_be_bytes());
        let pseudo = sum(6 + u32::from(total - 20), &octets[12..20]);
        let segment = checksum(pseudo, &octets[20..]);
        octets[36..38].copy_from_slice(&segment.to_be_bytes());
        octets
    }
}

fn sum(start: u32, octets: &[u8]) -> u32 {
    let mut pairs = octets.chunks_exact(2);
    let mut total = start;
    for pair in &mut pairs {
        total += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    total
        + pairs
            .remainder()
            .first()
            .map_or(0, |&last| u32::from(last) << 8)
}

fn checksum(start: u32, octets: &[u8]) -> u16 {
    let mut total = sum(start, octets);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// What is forged here is what the test kit would have encoded.
#[test]
fn forgeries_are_sound() {
    use localack_testkit::packet::{Flags, Packet};
    for (stamps, length) in [(None, 0), (Some((7, u32::MAX)), 0), (None, 33)] {
        let forgery = Forgery {
            source: "192.0.2.1:1000".parse().expect("a literal"),
            destination: "203.0.113.7:443".parse().expect("a literal"),
            flags: ACK | PSH,
            seq: 0xffff_fffe,
            ack: 77,
            window: 512,
            stamps,
            length,
        };
        let decoded = Packet::decode(&forgery.octets()).expect("a segment");
        assert!(decoded.checksum_ok && decoded.ip_checksum_ok);
        let packet = decoded.packet;
        assert_eq!(packet.source, forgery.source.into());
        assert_eq!(packet.destination, forgery.destination.into());
        assert_eq!(packet.flags, Flags::ACK | Flags::PSH);
        assert_eq!((packet.seq, packet.ack), (forgery.seq, 77));
        assert_eq!(packet.options.timestamps, stamps);
        assert_eq!(packet.payload, vec![FORGED; length.into()]);
    }
}
