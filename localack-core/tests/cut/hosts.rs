//! Hosts that say what they are told to, and what each of them knows.

use core::net::SocketAddr;

use localack_core::{FlowInfo, Port};
use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet};

/// Connections of the story.
pub(crate) const CONNECTIONS: usize = 4;
/// First sequence numbers, of the inner and the outer host.
const ISNS: [u32; 2] = [1_000, 500_000];
const MSS: u16 = 1_000;

/// What a host sends at a sequence number.
pub(crate) const fn octet_at(seq: u32) -> u8 {
    let [a, b, c, d] = seq.wrapping_mul(0x9e37_79b1).to_be_bytes();
    a ^ b ^ c ^ d
}

pub(crate) const fn index(port: Port) -> usize {
    match port {
        Port::Inner => 0,
        Port::Outer => 1,
    }
}

fn address(connection: usize, port: Port) -> SocketAddr {
    let number = u16::try_from(connection).expect("few");
    match port {
        Port::Inner => SocketAddr::from(([192, 0, 2, 1], 40_000 + number)),
        Port::Outer => SocketAddr::from(([203, 0, 113, 1], 443)),
    }
}

/// The connection that a packet toward `port` is of.
pub(crate) fn connection_of(port: Port, packet: &Packet) -> usize {
    let inner = match port {
        Port::Inner => packet.destination,
        Port::Outer => packet.source,
    };
    usize::from(inner.port() - 40_000)
}

/// The connection that a flow is.
pub(crate) fn connection_of_flow(flow: &FlowInfo) -> usize {
    usize::from(flow.key.inner_port() - 40_000)
}

/// A segment, with numbers from the first octets of both hosts on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Say {
    pub(crate) connection: usize,
    pub(crate) from: Port,
    pub(crate) flags: Flags,
    pub(crate) seq: u32,
    pub(crate) octets: u32,
    pub(crate) ack: u32,
    pub(crate) sack: Option<(u32, u32)>,
}

impl Say {
    pub(crate) const fn new(
        connection: usize,
        from: Port,
        seq: u32,
        octets: u32,
        ack: u32,
    ) -> Self {
        Self {
            connection,
            from,
            flags: Flags::ACK,
            seq,
            octets,
            ack,
            sack: None,
        }
    }

    pub(crate) const fn flagged(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// The packet. A SYN is numbered like the octet behind it.
    pub(crate) fn packet(&self) -> Packet {
        let own = ISNS[index(self.from)] + 1;
        let other = ISNS[index(self.from.other())] + 1;
        let syn = self.flags.has(Flags::SYN);
        let seq = own + self.seq - u32::from(syn);
        let has_ack = self.flags.has(Flags::ACK);
        Packet {
            source: address(self.connection, self.from),
            destination: address(self.connection, self.from.other()),
            ip: IpFields::default(),
            flags: self.flags,
            seq,
            ack: if has_ack { other + self.ack } else { 0 },
            window: 60_000,
            urgent: 0,
            options: Options {
                mss: syn.then_some(MSS),
                sack_permitted: syn,
                sack: self
                    .sack
                    .map(|(left, right)| (other + left, other + right))
                    .into_iter()
                    .collect(),
                ..Options::default()
            },
            payload: (seq..seq + self.octets).map(octet_at).collect(),
        }
    }

    pub(crate) fn octets(&self) -> Vec<u8> {
        self.packet().encode(Layout::Aligned)
    }
}

/// What the ends of all connections know, by connection and the data's sender. Numbers count from the
/// sender's first octet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Truth {
    /// All that a sender has sent, a FIN included.
    pub(crate) sent: [[u32; 2]; CONNECTIONS],
    /// What its receiver has acknowledged.
    pub(crate) acked: [[u32; 2]; CONNECTIONS],
    /// A host has reset the connection.
    pub(crate) reset: [bool; CONNECTIONS],
}

impl Truth {
    /// Somebody says something.
    pub(crate) fn hears(&mut self, say: &Say) {
        let from = index(say.from);
        let fin = u32::from(say.flags.has(Flags::FIN));
        let sent = &mut self.sent[say.connection][from];
        *sent = (*sent).max(say.seq + say.octets + fin);
        if say.flags.has(Flags::ACK) {
            let acked = &mut self.acked[say.connection][1 - from];
            *acked = (*acked).max(say.ack);
        }
        self.reset[say.connection] |= say.flags.has(Flags::RST);
    }
}

/// The acknowledgement number of a packet toward `port`, counted from the first octet of the host there; none
/// of what acknowledges nothing.
pub(crate) fn told(port: Port, packet: &Packet) -> Option<u32> {
    let says = packet.flags.has(Flags::ACK) && !packet.flags.has(Flags::RST);
    says.then(|| packet.ack.wrapping_sub(ISNS[index(port)] + 1))
}

/// The sequence number of a packet from the host on `port`, counted from its first octet.
pub(crate) const fn position(port: Port, seq: u32) -> u32 {
    seq.wrapping_sub(ISNS[index(port)] + 1)
}
