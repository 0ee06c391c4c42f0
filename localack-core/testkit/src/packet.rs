//! TCP segments, decoded and encoded independently of the engine.
//!
//! Headers and checksums are `etherparse`'s; option lists are walked here, because
//! `etherparse`'s iterator stops at the first kind it does not know.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{
    IpDscp, IpEcn, IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6FlowLabel, Ipv6Header,
    NetSlice, SlicedPacket, TcpHeader, TransportSlice,
};

/// The control bits of a TCP header.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// ECN echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);
    /// The accurate-ECN bit (RFC 9768), formerly NS.
    pub const AE: Self = Self(0x100);

    const LETTERS: [(Self, char); 9] = [
        (Self::SYN, 'S'),
        (Self::FIN, 'F'),
        (Self::RST, 'R'),
        (Self::PSH, 'P'),
        (Self::URG, 'U'),
        (Self::ECE, 'E'),
        (Self::CWR, 'C'),
        (Self::AE, 'A'),
        (Self::ACK, '.'),
    ];

    /// The flags named by letters: `S F R P U E C A` and `.` for ACK.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let mut flags = Self::default();
        for letter in word.chars() {
            let (flag, _) = Self::LETTERS
                .into_iter()
                .find(|&(_, known)| known == letter)?;
            flags = flags | flag;
        }
        (!word.is_empty()).then_some(flags)
    }

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sequence numbers that SYN and FIN take.
    #[must_use]
    pub fn octets(self) -> u32 {
        u32::from(self.has(Self::SYN)) + u32::from(self.has(Self::FIN))
    }
}

impl core::ops::BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (flag, letter) in Self::LETTERS {
            if self.has(flag) {
                write!(f, "{letter}")?;
            }
        }
        if self.0 == 0 { write!(f, "-") } else { Ok(()) }
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

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

/// Where timestamps and SACK blocks stand in the option list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Layout {
    /// Each option is padded in front so that its numbers are aligned, as hosts do it.
    #[default]
    Aligned,
    /// One NOP first, so that every number stands at an odd offset (rule H1.8).
    Odd,
}

/// The options of a TCP header.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Maximum segment size (kind 2).
    pub mss: Option<u16>,
    /// Window scale (kind 3).
    pub window_scale: Option<u8>,
    /// SACK permitted (kind 4).
    pub sack_permitted: bool,
    /// TSval and TSecr (kind 8).
    pub timestamps: Option<(u32, u32)>,
    /// Blocks (kind 5).
    pub sack: Vec<(u32, u32)>,
    /// Whether a SACK option was there at all.
    pub sack_present: bool,
    /// Options of other kinds, raw, in order.
    pub others: Vec<u8>,
}

impl Options {
    /// The option list as it stands in a header, padded to a multiple of four octets.
    #[must_use]
    pub fn encode(&self, layout: Layout) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(mss) = self.mss {
            bytes.extend([2, 4]);
            bytes.extend(mss.to_be_bytes());
        }
        if self.sack_permitted {
            bytes.extend([1, 1, 4, 2]);
        }
        if let Some(shift) = self.window_scale {
            bytes.extend([1, 3, 3, shift]);
        }
        if layout == Layout::Odd {
            bytes.push(1);
        }
        if let Some((value, echo)) = self.timestamps {
            if layout == Layout::Aligned {
                bytes.extend([1, 1]);
            }
            bytes.extend([8, 10]);
            bytes.extend(value.to_be_bytes());
            bytes.extend(echo.to_be_bytes());
        }
        bytes.extend(&self.others);
        if !self.sack.is_empty() {
            if layout == Layout::Aligned {
                while bytes.len() % 4 != 2 {
                    bytes.push(1);
                }
            }
            bytes.extend([
                5,
                u8::try_from(2 + 8 * self.sack.len()).expect("at most 4 blocks"),
            ]);
            for (left, right) in &self.sack {
                bytes.extend(left.to_be_bytes());
                bytes.extend(right.to_be_bytes());
            }
        }
        if layout == Layout::Odd && bytes.len() % 4 != 0 {
            bytes.push(0);
        }
        while bytes.len() % 4 != 0 {
            bytes.push(if layout == Layout::Odd { 0 } else { 1 });
        }
        bytes
    }

    /// Walks an option list; `None` if a length contradicts the list.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let word = |value: &[u8], at: usize| -> Option<u32> {
            Some(u32::from_be_bytes(value.get(at..at + 4)?.try_into().ok()?))
        };
        let mut options = Self::default();
        while let Some((&kind, rest)) = bytes.split_first() {
            match kind {
                0 => break,
                1 => {
                    bytes = rest;
                    continue;
                }
                _ => {}
            }
            let length = usize::from(*rest.first()?);
            let value = bytes.get(2..length)?;
            match (kind, value.len()) {
                (2, 2) => options.mss = Some(u16::from_be_bytes([value[0], value[1]])),
                (3, 1) => options.window_scale = Some(value[0]),
                (4, 0) => options.sack_permitted = true,
                (5, length) if length % 8 == 0 => {
                    options.sack_present = true;
                    for block in value.chunks(8) {
                        options.sack.push((word(block, 0)?, word(block, 4)?));
                    }
                }
                (8, 8) => options.timestamps = Some((word(value, 0)?, word(value, 4)?)),
                _ => options.others.extend(&bytes[..length]),
            }
            bytes = &bytes[length..];
        }
        Some(options)
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

/// A packet-too-big message (ICMPv4 type 3 code 4, ICMPv6 type 2) that quotes the head of `packet`,
/// from `router` to the packet's source.
#[must_use]
pub fn packet_too_big(packet: &Packet, mtu: u32) -> Vec<u8> {
    use etherparse::icmpv4::DestUnreachableHeader;
    use etherparse::{Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type};

    let original = packet.encode(Layout::Aligned);
    match packet.source.ip() {
        IpAddr::V4(source) => {
            let quote = &original[..original.len().min(28)];
            let next_hop_mtu = u16::try_from(mtu).expect("an IPv4 MTU");
            let kind =
                Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded {
                    next_hop_mtu,
                });
            let icmp = Icmpv4Header::with_checksum(kind, quote);
            let body = icmp.header_len() + quote.len();
            let mut header = Ipv4Header {
                time_to_live: 60,
                protocol: IpNumber::ICMP,
                source: [198, 51, 100, 1],
                destination: source.octets(),
                ..Ipv4Header::default()
            };
            header.set_payload_len(body).expect("short");
            header.header_checksum = header.calc_header_checksum();
            [&header.to_bytes()[..], &icmp.to_bytes()[..], quote].concat()
        }
        IpAddr::V6(source) => {
            let quote = &original[..original.len().min(1232)];
            let router = Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1).octets();
            let kind = Icmpv6Type::PacketTooBig { mtu };
            let icmp = Icmpv6Header::with_checksum(kind, router, source.octets(), quote)
                .expect("short enough for a checksum");
            let mut header = Ipv6Header {
                next_header: IpNumber::IPV6_ICMP,
                hop_limit: 60,
                source: router,
                destination: source.octets(),
                ..Ipv6Header::default()
            };
            header
                .set_payload_length(icmp.header_len() + quote.len())
                .expect("short");
            [&header.to_bytes()[..], &icmp.to_bytes()[..], quote].concat()
        }
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
