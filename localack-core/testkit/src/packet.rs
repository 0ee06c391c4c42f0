//! TCP segments, decoded and encoded independently of the engine.
//!
//! Headers and checksums are `etherparse`'s; option lists are walked here, because
//! `etherparse`'s iterator stops at the first kind it does not know.

mod cut;
mod flags;
mod icmp;
mod options;

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{
    IpDscp, IpEcn, IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6FlowLabel, Ipv6Header,
    NetSlice, SlicedPacket, TcpHeader, TransportSlice,
};

pub use cut::segments;
pub use flags::Flags;
pub use icmp::packet_too_big;
pub use options::{Layout, Options};

/// What an IP header says besides addresses and lengths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IpFields {
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// IPv4 identification.
    pub identification: u16,
    /// IPv4 DF bit.
    pub dont_fragment: bool,
    /// IPv4 MF bit.
    pub more_fragments: bool,
    /// IPv6 flow label.
    pub flow_label: u32,
    /// IPv4 options, a multiple of four octets.
    pub options: Vec<u8>,
}

impl Default for IpFields {
    fn default() -> Self {
        Self {
            hop_limit: 64,
            traffic_class: 0,
            identification: 0,
            dont_fragment: true,
            more_fragments: false,
            flow_label: 0,
            options: Vec::new(),
        }
    }
}

/// A TCP segment and its IP header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// The rest of the IP header.
    pub ip: IpFields,
    /// Control bits.
    pub flags: Flags,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Window field as it stands in the header.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options.
    pub options: Options,
    /// Payload.
    pub payload: Vec<u8>,
}

/// Why octets are not a TCP segment in an IP packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecodeError(pub String);

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A decoded packet and what its checksums are worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded {
    /// The packet.
    pub packet: Packet,
    /// Whether the TCP checksum is right.
    pub checksum_ok: bool,
    /// Whether the IPv4 header checksum is right (always true for IPv6).
    pub ip_checksum_ok: bool,
}

impl Packet {
    /// Sequence numbers the segment takes, SYN and FIN included.
    #[must_use]
    pub fn seq_len(&self) -> u32 {
        self.payload_len() + self.flags.octets()
    }

    /// Payload octets.
    #[must_use]
    pub fn payload_len(&self) -> u32 {
        u32::try_from(self.payload.len()).expect("a packet is shorter than 4 GiB")
    }

    /// The octets on the wire, with right checksums.
    #[must_use]
    pub fn encode(&self, layout: Layout) -> Vec<u8> {
        let mut tcp = TcpHeader::new(
            self.source.port(),
            self.destination.port(),
            self.seq,
            self.window,
        );
        let has = |flag| self.flags.has(flag);
        tcp.acknowledgment_number = self.ack;
        (tcp.fin, tcp.syn, tcp.rst) = (has(Flags::FIN), has(Flags::SYN), has(Flags::RST));
        (tcp.psh, tcp.ack, tcp.urg) = (has(Flags::PSH), has(Flags::ACK), has(Flags::URG));
        (tcp.ece, tcp.cwr, tcp.ns) = (has(Flags::ECE), has(Flags::CWR), has(Flags::AE));
        tcp.urgent_pointer = self.urgent;
        tcp.set_options_raw(&self.options.encode(layout))
            .expect("at most 40 octets of options");
        let body = tcp.header_len() + self.payload.len();
        let mut bytes = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let (source, destination) = (source.octets(), destination.octets());
                tcp.checksum = tcp
                    .calc_checksum_ipv4_raw(source, destination, &self.payload)
                    .expect("an IPv4 packet is short");
                self.ipv4_header(source, destination, body)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (source, destination) = (source.octets(), destination.octets());
                tcp.checksum = tcp
                    .calc_checksum_ipv6_raw(source, destination, &self.payload)
                    .expect("an IPv6 packet is short");
                self.ipv6_header(source, destination, body)
            }
            _ => panic!("source and destination of different families"),
        };
        bytes.extend(&tcp.to_bytes()[..]);
        bytes.extend(&self.payload);
        bytes
    }

    fn ipv4_header(&self, source: [u8; 4], destination: [u8; 4], body: usize) -> Vec<u8> {
        let mut header = Ipv4Header {
            dscp: IpDscp::try_new(self.ip.traffic_class >> 2).expect("six bits"),
            ecn: IpEcn::try_new(self.ip.traffic_class & 3).expect("two bits"),
            identification: self.ip.identification,
            dont_fragment: self.ip.dont_fragment,
            more_fragments: self.ip.more_fragments,
            fragment_offset: IpFragOffset::ZERO,
            time_to_live: self.ip.hop_limit,
            protocol: IpNumber::TCP,
            source,
            destination,
            options: Ipv4Options::try_from(&self.ip.options[..]).expect("a multiple of four"),
            ..Ipv4Header::default()
        };
        header
            .set_payload_len(body)
            .expect("an IPv4 packet is short");
        header.header_checksum = header.calc_header_checksum();
        header.to_bytes().to_vec()
    }

    fn ipv6_header(&self, source: [u8; 16], destination: [u8; 16], body: usize) -> Vec<u8> {
        let mut header = Ipv6Header {
            traffic_class: self.ip.traffic_class,
            flow_label: Ipv6FlowLabel::try_new(self.ip.flow_label).expect("20 bits"),
            next_header: IpNumber::TCP,
            hop_limit: self.ip.hop_limit,
            source,
            destination,
            ..Ipv6Header::default()
        };
        header
            .set_payload_length(body)
            .expect("an IPv6 packet is short");
        header.to_bytes().to_vec()
    }

    /// Decodes an IP packet that holds one TCP segment and nothing after it.
    pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
        let error = |text: &str| DecodeError(text.to_owned());
        let sliced = SlicedPacket::from_ip(bytes).map_err(|e| DecodeError(format!("{e:?}")))?;
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
            return Err(error("not TCP"));
        };
        let (source, destination, ip, length, ip_checksum_ok, computed) = match &sliced.net {
            Some(NetSlice::Ipv4(v4)) => {
                let header = v4.header().to_header();
                let sum = tcp.calc_checksum_ipv4(header.source, header.destination);
                let right = header.calc_header_checksum() == header.header_checksum;
                let fields = IpFields {
                    hop_limit: header.time_to_live,
                    traffic_class: header.dscp.value() << 2 | header.ecn.value(),
                    identification: header.identification,
                    dont_fragment: header.dont_fragment,
                    more_fragments: header.more_fragments,
                    flow_label: 0,
                    options: header.options.as_slice().to_vec(),
                };
                let (from, to) = (
                    Ipv4Addr::from(header.source),
                    Ipv4Addr::from(header.destination),
                );
                (
                    IpAddr::V4(from),
                    IpAddr::V4(to),
                    fields,
                    header.total_len.into(),
                    right,
                    sum,
                )
            }
            Some(NetSlice::Ipv6(v6)) => {
                let header = v6.header().to_header();
                let sum = tcp.calc_checksum_ipv6(header.source, header.destination);
                let fields = IpFields {
                    hop_limit: header.hop_limit,
                    traffic_class: header.traffic_class,
                    flow_label: header.flow_label.value(),
                    ..IpFields::default()
                };
                let (from, to) = (
                    Ipv6Addr::from(header.source),
                    Ipv6Addr::from(header.destination),
                );
                let length = Ipv6Header::LEN + usize::from(header.payload_length);
                (IpAddr::V6(from), IpAddr::V6(to), fields, length, true, sum)
            }
            _ => return Err(error("not IP")),
        };
        if length != bytes.len() {
            return Err(DecodeError(format!(
                "the IP header says {length} octets of {}",
                bytes.len()
            )));
        }
        let header = tcp.to_header();
        let flags = [
            (header.fin, Flags::FIN),
            (header.syn, Flags::SYN),
            (header.rst, Flags::RST),
            (header.psh, Flags::PSH),
            (header.ack, Flags::ACK),
            (header.urg, Flags::URG),
            (header.ece, Flags::ECE),
            (header.cwr, Flags::CWR),
            (header.ns, Flags::AE),
        ]
        .into_iter()
        .filter(|&(set, _)| set)
        .fold(Flags::default(), |all, (_, flag)| all | flag);
        let packet = Self {
            source: SocketAddr::new(source, header.source_port),
            destination: SocketAddr::new(destination, header.destination_port),
            ip,
            flags,
            seq: header.sequence_number,
            ack: header.acknowledgment_number,
            window: header.window_size,
            urgent: header.urgent_pointer,
            options: Options::decode(tcp.options()).ok_or_else(|| error("broken TCP options"))?,
            payload: tcp.payload().to_vec(),
        };
        Ok(Decoded {
            packet,
            checksum_ok: computed == Ok(header.checksum),
            ip_checksum_ok,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(v6: bool) -> Packet {
        let (source, destination) = if v6 {
            ("[2001:db8::1]:1000", "[2001:db8::2]:80")
        } else {
            ("192.0.2.1:1000", "203.0.113.2:80")
        };
        Packet {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            ip: IpFields::default(),
            flags: Flags::ACK | Flags::PSH,
            seq: 0xffff_fff0,
            ack: 7,
            window: 512,
            urgent: 0,
            options: Options {
                timestamps: Some((1, 2)),
                sack: vec![(10, 20), (30, 40)],
                sack_present: true,
                ..Options::default()
            },
            payload: b"hello".to_vec(),
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_in_either_layout() {
        for v6 in [false, true] {
            for layout in [Layout::Aligned, Layout::Odd] {
                let packet = sample(v6);
                let mut bytes = packet.encode(layout);
                let decoded = Packet::decode(&bytes).unwrap();
                assert_eq!(decoded.packet, packet);
                assert!(decoded.checksum_ok && decoded.ip_checksum_ok);
                *bytes.last_mut().unwrap() ^= 1;
                assert!(!Packet::decode(&bytes).unwrap().checksum_ok);
                bytes.push(0);
                assert!(
                    Packet::decode(&bytes).is_err(),
                    "a trailing octet goes unnoticed"
                );
            }
        }
    }

    #[test]
    fn options_after_an_unknown_kind_are_found() {
        let bytes = [
            1, 1, 253, 4, 9, 9, 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0,
        ];
        let options = Options::decode(&bytes).unwrap();
        assert_eq!(options.sack, [(1, 2)]);
        assert_eq!(options.others, [253, 4, 9, 9]);
        assert_eq!(Options::decode(&[8, 1, 0, 0]), None);
        assert_eq!(Options::decode(&[8, 10, 0, 0]), None);
    }
}
