//! Building the headers of new segments.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Flags;
use super::bytes::TCP_HEADER_LEN;
use super::bytes::Writer;
use super::checksum::{PROTOCOL_TCP, Sum, ipv4_header_checksum, pseudo_header};
use super::ip::{DONT_FRAGMENT, FLOW_LABEL, IPV6_HEADER_LEN};
use super::options::{MAX_OPTIONS_LEN, Timestamps, kind};
use super::rewrite::write_sack;
use crate::seq::{SeqNum, SeqRange};

/// The most octets of IP and TCP header together: IPv6 without extensions, TCP with all options.
pub const MAX_HEADER_LEN: usize = IPV6_HEADER_LEN + MAX_TCP_HEADER_LEN;

/// The most octets of a TCP header.
const MAX_TCP_HEADER_LEN: usize = TCP_HEADER_LEN as usize + MAX_OPTIONS_LEN;
/// Timestamps and the two no-operation options that align them.
const TIMESTAMPS_LEN: usize = 12;
/// Offset of the checksum in the IPv4 header.
const IPV4_CHECKSUM_OFFSET: usize = 10;
/// Offset of the checksum in the TCP header.
const CHECKSUM_OFFSET: usize = 16;

/// Everything that the headers of a new segment say.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HeaderSpec<'a> {
    /// Source address.
    pub src: IpAddr,
    /// Destination address, of the same IP version.
    pub dst: IpAddr,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: SeqNum,
    /// Acknowledgement number.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: Flags,
    /// Window field, unscaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Values of a timestamps option.
    pub timestamps: Option<Timestamps>,
    /// Blocks of a SACK option in their order, a D-SACK block first if there is one; at most four,
    /// three beside timestamps.
    pub sack: &'a [SeqRange],
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label, the low 20 bits; unused for IPv4.
    pub flow_label: u32,
    /// The DF bit; unused for IPv6.
    pub dont_fragment: bool,
}

/// IP and TCP header of a new segment, ready to go out in front of its payload.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; MAX_HEADER_LEN],
    len: u8,
}

impl Header {
    /// The octets of both headers.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Octets of options in a segment with or without timestamps and with `sack_blocks` blocks of SACK,
/// padding included. More than 40 do not fit a header.
#[must_use]
pub const fn option_len(timestamps: bool, sack_blocks: usize) -> usize {
    let timestamps_len = if timestamps { TIMESTAMPS_LEN } else { 0 };
    let sack_len = match sack_blocks {
        0 => 0,
        blocks => blocks.saturating_mul(8).saturating_add(4),
    };
    sack_len.saturating_add(timestamps_len)
}

/// Builds the headers of a segment whose `payload_len` octets of payload add up to `payload_sum`.
///
/// Options stand on word boundaries: no operation twice and timestamps, then no operation twice and
/// SACK. Reserved bits, AE and the IPv4 identification are zero, as an atomic datagram allows
/// (RFC 6864 section 4.1). Both checksums are complete.
///
/// `None` if the addresses are of two IP versions, the options do not fit in 40 octets, or the
/// packet exceeds what IP can say about its length.
#[must_use]
pub fn emit(spec: &HeaderSpec<'_>, payload_len: u32, payload_sum: Sum) -> Option<Header> {
    build(spec, payload_len, Some(payload_sum))
}

/// The same for an interface that completes the checksums of TCP itself: the field holds the sum of the
/// pseudo-header alone, and nobody adds up the payload.
#[must_use]
pub fn emit_partial(spec: &HeaderSpec<'_>, payload_len: u32) -> Option<Header> {
    build(spec, payload_len, None)
}

fn build(spec: &HeaderSpec<'_>, payload_len: u32, payload_sum: Option<Sum>) -> Option<Header> {
    let options_len = option_len(spec.timestamps.is_some(), spec.sack.len());
    if options_len > MAX_OPTIONS_LEN {
        return None;
    }
    let tcp_header_len =
        u8::try_from(options_len.checked_add(usize::from(TCP_HEADER_LEN))?).ok()?;
    let tcp_len = u32::from(tcp_header_len).checked_add(payload_len)?;

    let mut bytes = [0; MAX_HEADER_LEN];
    let ip_len = match (spec.src, spec.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => write_v4(&mut bytes, spec, src, dst, tcp_len)?,
        (IpAddr::V6(src), IpAddr::V6(dst)) => write_v6(&mut bytes, spec, src, dst, tcp_len)?,
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    let tcp = bytes
        .get_mut(usize::from(ip_len)..)?
        .get_mut(..usize::from(tcp_header_len))?;
    write_tcp(tcp, spec, tcp_header_len)?;

    let mut sum = pseudo_header(spec.src, spec.dst, tcp_len);
    let field = match payload_sum {
        Some(payload_sum) => {
            sum.add_bytes(tcp);
            sum.combine(payload_sum);
            sum.checksum()
        }
        None => sum.fold(),
    };
    Writer(tcp.get_mut(CHECKSUM_OFFSET..)?).u16(field)?;
    Some(Header {
        bytes,
        len: ip_len.checked_add(tcp_header_len)?,
    })
}

/// Writes an IPv4 header; returns its length.
fn write_v4(
    bytes: &mut [u8; MAX_HEADER_LEN],
    spec: &HeaderSpec<'_>,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    tcp_len: u32,
) -> Option<u8> {
    const LEN: u8 = 20;
    const VERSION_AND_WORDS: u8 = 0x45;
    let header = bytes.first_chunk_mut::<{ LEN as usize }>()?;
    let mut fields = Writer(header);
    fields.array([VERSION_AND_WORDS, spec.traffic_class])?;
    fields.u16(u16::try_from(tcp_len.checked_add(u32::from(LEN))?).ok()?)?;
    fields.u16(0)?;
    fields.u16(if spec.dont_fragment { DONT_FRAGMENT } else { 0 })?;
    fields.array([spec.hop_limit, PROTOCOL_TCP])?;
    fields.u16(0)?;
    fields.array(src.octets())?;
    fields.array(dst.octets())?;
    let checksum = ipv4_header_checksum(header);
    Writer(header.get_mut(IPV4_CHECKSUM_OFFSET..)?).u16(checksum)?;
    Some(LEN)
}

/// Writes an IPv6 header; returns its length.
fn write_v6(
    bytes: &mut [u8; MAX_HEADER_LEN],
    spec: &HeaderSpec<'_>,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    tcp_len: u32,
) -> Option<u8> {
    const LEN: u8 = 40;
    const VERSION: u32 = 6;
    let mut fields = Writer(bytes.first_chunk_mut::<{ LEN as usize }>()?);
    let class = u32::from(spec.traffic_class);
    fields.u32((VERSION << 28) | (class << 20) | (spec.flow_label & FLOW_LABEL))?;
    fields.u16(u16::try_from(tcp_len).ok()?)?;
    fields.array([PROTOCOL_TCP, spec.hop_limit])?;
    fields.array(src.octets())?;
    fields.array(dst.octets())?;
    Some(LEN)
}

/// Fills `tcp`, exactly the room of the header, but for the checksum.
fn write_tcp(tcp: &mut [u8], spec: &HeaderSpec<'_>, header_len: u8) -> Option<()> {
    let mut fields = Writer(tcp);
    fields.u16(spec.src_port)?;
    fields.u16(spec.dst_port)?;
    fields.u32(spec.seq.raw())?;
    fields.u32(spec.ack.raw())?;
    // The length counts words of four octets and stands in the upper half of its octet.
    fields.array([header_len << 2, spec.flags.bits()])?;
    fields.u16(spec.window)?;
    fields.u16(0)?;
    fields.u16(spec.urgent)?;
    if let Some(timestamps) = spec.timestamps {
        fields.array([kind::NOP, kind::NOP, kind::TIMESTAMPS, 10])?;
        fields.u32(timestamps.val)?;
        fields.u32(timestamps.ecr)?;
    }
    if !spec.sack.is_empty() {
        fields.array([kind::NOP; 2])?;
        write_sack(fields.0, spec.sack);
    }
    Some(())
}
