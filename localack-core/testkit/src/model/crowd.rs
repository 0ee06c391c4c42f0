//! Other flows, whose receivers take nothing, so that the pool fills.

use localack_core::{FlowId, Port};

use super::operation::Setup;
use crate::packet::{Flags, IpFields, Layout, Options, Packet};

/// Octets of one of their segments, and how many of them come.
const OCTETS: usize = 1000;
const SEGMENTS: u32 = 12;
/// Flows that may come.
const MOST: usize = 4;

/// The other flows.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd {
    flows: Vec<FlowId>,
    come: u16,
}

impl Crowd {
    pub(super) fn adopts(&mut self, flow: FlowId) {
        self.flows.push(flow);
    }

    /// The engine has lost its state: whoever comes next may have the same number.
    pub(super) fn is_forgotten(&mut self) {
        self.flows.clear();
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.come == 0
    }

    pub(super) fn owns(&self, flow: FlowId) -> bool {
        self.flows.contains(&flow)
    }

    /// The packets of a new flow, in order, with the ports at which they arrive: a handshake and as
    /// much data as the first window of the receiver holds.
    pub(super) fn comes(&mut self, setup: &Setup) -> Vec<(Port, Vec<u8>)> {
        if usize::from(self.come) >= MOST {
            return Vec::new();
        }
        self.come += 1;
        let source = if setup.served[0] {
            Port::Inner
        } else {
            Port::Outer
        };
        let number = self.come;
        let segment = |port, flags, seq, ack, payload: &[u8]| {
            (port, segment(port, number, flags, seq, ack, payload))
        };
        let mut packets = vec![
            segment(source.other(), Flags::SYN, 500, 0, &[]),
            segment(source, Flags::SYN | Flags::ACK, 900, 501, &[]),
            segment(source.other(), Flags::ACK, 501, 901, &[]),
        ];
        for count in 0..SEGMENTS {
            let seq = 901 + count * OCTETS as u32;
            packets.push(segment(source, Flags::ACK, seq, 501, &[7; OCTETS]));
        }
        packets
    }

    /// RSTs of all receivers, by which the flows end.
    pub(super) fn leaves(&mut self, setup: &Setup) -> Vec<(Port, Vec<u8>)> {
        let receiver = if setup.served[0] {
            Port::Outer
        } else {
            Port::Inner
        };
        let resets = (1..=self.come).map(|number| {
            let flags = Flags::RST | Flags::ACK;
            (receiver, segment(receiver, number, flags, 501, 901, &[]))
        });
        resets.collect()
    }
}

fn segment(port: Port, number: u16, flags: Flags, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    let inner = ("192.0.2.10", 41_000 + number);
    let outer = ("203.0.113.20", 443);
    let (from, to) = match port {
        Port::Inner => (inner, outer),
        Port::Outer => (outer, inner),
    };
    let address = |(host, port): (&str, u16)| format!("{host}:{port}").parse().expect("a literal");
    let packet = Packet {
        source: address(from),
        destination: address(to),
        ip: IpFields::default(),
        flags,
        seq,
        ack,
        window: 12_000,
        urgent: 0,
        options: Options {
            mss: flags.has(Flags::SYN).then_some(1000),
            ..Options::default()
        },
        payload: payload.to_vec(),
    };
    packet.encode(Layout::Aligned)
}
