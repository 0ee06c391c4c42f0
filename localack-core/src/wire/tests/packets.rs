//! Packets laid out octet by octet, with checksums from the plainest loop.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::vec;
use std::vec::Vec;

use proptest::collection;
use proptest::prelude::*;

use crate::wire::{IpVersion, Parsed, Segment, parse};

pub(super) const V4_SRC: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
pub(super) const V4_DST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 250);
pub(super) const V6_SRC: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 1, 0xabcd, 5);
pub(super) const V6_DST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 0xfffe);

/// The sum of RFC 1071 section 4.1, one word at a time, folded at the end.
pub(super) fn plain_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u64;
    let mut left = bytes;
    while left.len() > 1 {
        sum += u64::from(left[0]) << 8 | u64::from(left[1]);
        left = &left[2..];
    }
    if let [last] = left {
        sum += u64::from(*last) << 8;
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// A TCP segment in an IP packet, before it is laid out.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) version: IpVersion,
    pub(super) src_port: u16,
    pub(super) dst_port: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) accurate_ecn: bool,
    pub(super) window: u16,
    pub(super) urgent: u16,
    /// A multiple of four octets, at most forty.
    pub(super) options: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) hop_limit: u8,
    pub(super) traffic_class: u8,
    pub(super) flow_label: u32,
    pub(super) dont_fragment: bool,
}

impl Sample {
    /// An ordinary data segment with the given options.
    pub(super) fn new(version: IpVersion, options: &[u8], payload: &[u8]) -> Self {
        let mut options = options.to_vec();
        options.resize(options.len().next_multiple_of(4), 0);
        Self {
            version,
            src_port: 40_001,
            dst_port: 443,
            seq: 0xffff_fc01,
            ack: 0x0102_0304,
            flags: 0x18,
            accurate_ecn: false,
            window: 501,
            urgent: 0,
            options,
            payload: payload.to_vec(),
            hop_limit: 61,
            traffic_class: 0xb8,
            flow_label: 0xabcde,
            dont_fragment: true,
        }
    }

    pub(super) fn addresses(&self) -> (IpAddr, IpAddr) {
        match self.version {
            IpVersion::V4 => (V4_SRC.into(), V4_DST.into()),
            IpVersion::V6 => (V6_SRC.into(), V6_DST.into()),
        }
    }

    /// The TCP segment with a correct checksum.
    pub(super) fn tcp(&self) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(self.src_port.to_be_bytes());
        tcp.extend(self.dst_port.to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        let words = 5 + self.options.len() as u8 / 4;
        tcp.push(words << 4 | u8::from(self.accurate_ecn));
        tcp.push(self.flags);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0, 0]);
        tcp.extend(self.urgent.to_be_bytes());
        tcp.extend(&self.options);
        tcp.extend(&self.payload);
        let (src, dst) = self.addresses();
        let check = !plain_sum(&with_pseudo_header(src, dst, 6, &tcp));
        tcp[16..18].copy_from_slice(&check.to_be_bytes());
        tcp
    }

    /// The whole packet.
    pub(super) fn packet(&self) -> Vec<u8> {
        self.packet_with(&[])
    }

    /// The whole packet with IPv4 options, or with the body of an IPv6 destination options header.
    pub(super) fn packet_with(&self, ip_options: &[u8]) -> Vec<u8> {
        let tcp = self.tcp();
        match self.version {
            IpVersion::V4 => {
                let mut packet = v4(6, ip_options, &tcp);
                packet[1] = self.traffic_class;
                packet[6] = if self.dont_fragment { 0x40 } else { 0 };
                packet[8] = self.hop_limit;
                packet
            }
            IpVersion::V6 => {
                let extensions = match ip_options {
                    [] => vec![],
                    body => vec![(60, body.to_vec())],
                };
                let mut packet = v6(6, &extensions, &tcp);
                let word = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label;
                packet[..4].copy_from_slice(&word.to_be_bytes());
                packet[7] = self.hop_limit;
                packet
            }
        }
    }
}

/// The octets that an upper-layer checksum covers.
pub(super) fn with_pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, upper: &[u8]) -> Vec<u8> {
    let mut covered = Vec::new();
    for address in [src, dst] {
        match address {
            IpAddr::V4(address) => covered.extend(address.octets()),
            IpAddr::V6(address) => covered.extend(address.octets()),
        }
    }
    covered.extend((upper.len() as u32).to_be_bytes());
    covered.extend([0, 0, 0, protocol]);
    covered.extend(upper);
    covered
}

/// An IPv4 packet; `options` is a multiple of four octets.
pub(super) fn v4(protocol: u8, options: &[u8], upper: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let mut packet = vec![0x40 | (header_len / 4) as u8, 0];
    packet.extend(((header_len + upper.len()) as u16).to_be_bytes());
    packet.extend([0x12, 0x34, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(V4_SRC.octets());
    packet.extend(V4_DST.octets());
    packet.extend(options);
    let check = !plain_sum(&packet);
    packet[10..12].copy_from_slice(&check.to_be_bytes());
    packet.extend(upper);
    packet
}

/// An IPv6 packet with extension headers, each its number and 8n - 2 octets of body.
pub(super) fn v6(protocol: u8, extensions: &[(u8, Vec<u8>)], upper: &[u8]) -> Vec<u8> {
    let mut chain = Vec::new();
    for (index, (_, body)) in extensions.iter().enumerate() {
        let next = extensions
            .get(index + 1)
            .map_or(protocol, |(number, _)| *number);
        chain.extend([next, (body.len() / 8) as u8]);
        chain.extend(body);
    }
    chain.extend(upper);
    let first = extensions.first().map_or(protocol, |(number, _)| *number);
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((chain.len() as u16).to_be_bytes());
    packet.extend([first, 64]);
    packet.extend(V6_SRC.octets());
    packet.extend(V6_DST.octets());
    packet.extend(chain);
    packet
}

/// One TCP option to be laid out.
#[derive(Clone, Debug)]
pub(super) enum TcpOption {
    Nop,
    Mss(u16),
    WindowScale(u8),
    SackPermitted,
    Timestamps(u32, u32),
    Sack(Vec<(u32, u32)>),
    /// A kind that has no meaning here, with a body.
    Unusual(u8, Vec<u8>),
}

impl TcpOption {
    pub(super) fn octets(&self) -> Vec<u8> {
        let with_head = |kind: u8, body: Vec<u8>| {
            let mut octets = vec![kind, body.len() as u8 + 2];
            octets.extend(body);
            octets
        };
        match self {
            Self::Nop => vec![1],
            Self::Mss(mss) => with_head(2, mss.to_be_bytes().to_vec()),
            Self::WindowScale(shift) => with_head(3, vec![*shift]),
            Self::SackPermitted => with_head(4, vec![]),
            Self::Timestamps(val, ecr) => {
                with_head(8, [val.to_be_bytes(), ecr.to_be_bytes()].concat())
            }
            Self::Sack(blocks) => with_head(
                5,
                blocks
                    .iter()
                    .flat_map(|(l, r)| [l.to_be_bytes(), r.to_be_bytes()].concat())
                    .collect(),
            ),
            Self::Unusual(kind, body) => with_head(*kind, body.clone()),
        }
    }
}

/// Lists of options that fit a header, each kind but NOP at most once, at every alignment.
pub(super) fn any_options() -> impl Strategy<Value = Vec<TcpOption>> {
    let unusual_kind = any::<u8>().prop_filter("has a meaning", |kind| {
        ![0, 1, 2, 3, 4, 5, 8].contains(kind)
    });
    let option = prop_oneof![
        3 => Just(TcpOption::Nop),
        1 => any::<u16>().prop_map(TcpOption::Mss),
        1 => any::<u8>().prop_map(TcpOption::WindowScale),
        1 => Just(TcpOption::SackPermitted),
        3 => any::<(u32, u32)>().prop_map(|(val, ecr)| TcpOption::Timestamps(val, ecr)),
        3 => collection::vec(any::<(u32, u32)>(), 1..=4).prop_map(TcpOption::Sack),
        2 => (unusual_kind, collection::vec(any::<u8>(), 0..12))
            .prop_map(|(kind, body)| TcpOption::Unusual(kind, body)),
    ];
    collection::vec(option, 0..10).prop_map(|options| {
        let mut kept: Vec<TcpOption> = Vec::new();
        let mut room = 40;
        for option in options {
            let (kind, len) = (option.octets()[0], option.octets().len());
            let repeated = kind != 1 && kept.iter().any(|other| other.octets()[0] == kind);
            if !repeated && len <= room {
                room -= len;
                kept.push(option);
            }
        }
        kept
    })
}

/// Any segment that a host could send, with any payload up to a few hundred octets.
pub(super) fn any_sample() -> impl Strategy<Value = Sample> {
    let version = prop_oneof![Just(IpVersion::V4), Just(IpVersion::V6)];
    let numbers = any::<(u16, u16, u32, u32, u8, bool, u16, u16)>();
    let ip = (any::<u8>(), any::<u8>(), 0u32..1 << 20, any::<bool>());
    let payload = collection::vec(any::<u8>(), 0..300);
    (version, numbers, any_options(), payload, ip).prop_map(
        |(version, numbers, options, payload, ip)| {
            let list: Vec<u8> = options.iter().flat_map(TcpOption::octets).collect();
            let mut sample = Sample::new(version, &list, &payload);
            (sample.src_port, sample.dst_port, sample.seq, sample.ack) =
                (numbers.0, numbers.1, numbers.2, numbers.3);
            (
                sample.flags,
                sample.accurate_ecn,
                sample.window,
                sample.urgent,
            ) = (numbers.4, numbers.5, numbers.6, numbers.7);
            (
                sample.hop_limit,
                sample.traffic_class,
                sample.flow_label,
                sample.dont_fragment,
            ) = ip;
            sample
        },
    )
}

/// The segment in a packet that must hold one.
pub(super) fn segment_of(packet: &[u8]) -> Segment {
    let parsed = parse(packet);
    let Parsed::Tcp(segment) = parsed else {
        panic!("no segment: {parsed:?}")
    };
    segment
}
