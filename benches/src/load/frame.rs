//! Buffers as a driver has them behind its receive ring: a packet is written into one again and again,
//! and nothing is allocated for it.

use core::net::IpAddr;

use localack_core::wire::{Flags, HeaderSpec, MAX_HEADER_LEN, Sum, Timestamps, emit};
use localack_core::{Port, SeqNum, SeqRange};

use super::Line;

/// Octets of headers before the payload: IPv4, and TCP with timestamps.
pub const HEADERS: usize = 52;
/// Payload of a full segment: 1,500 octets of IP packet, with timestamps.
pub const PAYLOAD: usize = 1448;

/// What the packet in a frame says.
#[derive(Clone, Copy, Debug)]
pub struct Say<'a> {
    /// Control bits.
    pub flags: Flags,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// SACK blocks, at most three.
    pub sack: &'a [SeqRange],
}

impl Say<'_> {
    /// An acknowledgement, with or without data.
    #[must_use]
    pub const fn ack(seq: u32, ack: u32) -> Self {
        Self {
            flags: Flags::ACK,
            seq,
            ack,
            sack: &[],
        }
    }
}

/// A buffer and the packet in it.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Headers, and the payload behind those of a packet without SACK blocks.
    octets: Vec<u8>,
    /// Octets of the packet.
    length: usize,
    payload: usize,
    /// The sum over the payload.
    sum: Sum,
}

impl Frame {
    /// A frame for packets with `payload` octets of data, at most 65,483.
    #[must_use]
    pub fn new(payload: usize) -> Self {
        let mut octets = vec![0; HEADERS.max(MAX_HEADER_LEN) + payload];
        for (octet, value) in octets[HEADERS..].iter_mut().zip((0..=u8::MAX).cycle()) {
            *octet = value;
        }
        let mut sum = Sum::new();
        sum.add_bytes(&octets[HEADERS..HEADERS + payload]);
        Self {
            octets,
            length: 0,
            payload,
            sum,
        }
    }

    /// So many frames for packets with `payload` octets.
    #[must_use]
    pub fn ring(frames: usize, payload: usize) -> Vec<Self> {
        vec![Self::new(payload); frames]
    }

    /// Writes a packet from the host of `line` on `port`, with right checksums. The payload stays where it
    /// is, so a frame with payload takes no SACK blocks.
    ///
    /// # Panics
    /// If the packet cannot be.
    pub fn write(&mut self, port: Port, line: Line, say: Say<'_>) {
        let [source, destination] = [line.host(port), line.host(port.other())];
        let spec = HeaderSpec {
            src: IpAddr::V4(*source.ip()),
            dst: IpAddr::V4(*destination.ip()),
            src_port: source.port(),
            dst_port: destination.port(),
            seq: SeqNum::new(say.seq),
            ack: SeqNum::new(say.ack),
            flags: say.flags,
            window: 0xffff,
            urgent: 0,
            timestamps: Some(Timestamps {
                val: 1_000,
                ecr: 1_000,
            }),
            sack: say.sack,
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            dont_fragment: true,
        };
        let payload = u32::try_from(self.payload).expect("a short payload");
        let header = emit(&spec, payload, self.sum).expect("a packet that can be");
        let header = header.as_slice();
        assert!(self.payload == 0 || header.len() == HEADERS);
        self.octets[..header.len()].copy_from_slice(header);
        self.length = header.len() + self.payload;
    }

    /// The packet.
    #[inline]
    pub fn packet(&mut self) -> &mut [u8] {
        &mut self.octets[..self.length]
    }

    /// The place of the payload.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.octets[HEADERS..HEADERS + self.payload]
    }
}

#[cfg(test)]
mod tests {
    use localack_testkit::packet::Packet;

    use super::*;

    #[test]
    fn frames_hold_right_packets_whatever_was_in_them_before() {
        let mut data = Frame::new(PAYLOAD);
        let mut ack = Frame::new(0);
        let block = SeqRange::new(SeqNum::new(5), SeqNum::new(9));
        for number in [3, 70_000] {
            data.write(Port::Inner, Line(number), Say::ack(7, 8));
            let sack = Say {
                sack: &[block; 3],
                ..Say::ack(9, 10)
            };
            ack.write(Port::Outer, Line(number), sack);
            for (frame, payload, blocks) in [(&mut data, PAYLOAD, 0), (&mut ack, 0, 3)] {
                let decoded = Packet::decode(frame.packet()).expect("a segment");
                assert!(decoded.checksum_ok && decoded.ip_checksum_ok);
                assert_eq!(decoded.packet.payload.len(), payload);
                assert_eq!(decoded.packet.options.sack.len(), blocks);
            }
        }
    }
}
