//! Tunnels that may hold an IP packet.

use crate::bytes::Rest;
use crate::link::{IpPacket, decode_ethernet, decode_ethertype, decode_mpls, decode_ppp};

/// Assigned UDP ports of tunnels.
mod port {
    pub(super) const L2TP: u16 = 1701;
    pub(super) const GTP_USER: u16 = 2152;
    pub(super) const TEREDO: u16 = 3544;
    pub(super) const LISP: u16 = 4341;
    pub(super) const GRE: u16 = 4754;
    pub(super) const VXLAN: u16 = 4789;
    pub(super) const VXLAN_GPE: u16 = 4790;
    pub(super) const AYIYA: u16 = 5072;
    pub(super) const GENEVE: u16 = 6081;
    pub(super) const MPLS: u16 = 6635;
}

/// What a GRE header carries (RFC 2784, RFC 2890, RFC 2637).
pub(super) fn gre(rest: Rest<'_>) -> Option<IpPacket<'_>> {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const ACKNOWLEDGEMENT: u16 = 0x0080;
    const ERSPAN: u16 = 0x88be;
    const ERSPAN_3: u16 = 0x22eb;
    const WCCP: u16 = 0x883e;
    let flags = rest.u16(0)?;
    let word = |present: bool| if present { 4 } else { 0 };
    let mut header = 4
        + word(flags & (CHECKSUM | ROUTING) != 0)
        + word(flags & KEY != 0)
        + word(flags & SEQUENCE != 0);
    match flags & 7 {
        0 if flags & ROUTING != 0 => return None,
        0 => {}
        1 => header += word(flags & ACKNOWLEDGEMENT != 0),
        _ => return None,
    }
    let ethertype = rest.u16(2)?;
    let payload = rest.skip(header)?;
    match ethertype {
        // Its first version has no header of its own, and no GRE sequence number.
        ERSPAN if flags & SEQUENCE == 0 => decode_ethernet(payload),
        ERSPAN => decode_ethernet(payload.skip(8)?),
        ERSPAN_3 => decode_ethernet(payload.skip(erspan_3_header(payload)?)?),
        // Its second version puts a header before the packet.
        WCCP => return ip_packet(payload).or_else(|| ip_packet(payload.skip(4)?)),
        _ => decode_ethertype(ethertype, payload),
    }
    .ok()
}

/// Octets of the header of ERSPAN's third version.
fn erspan_3_header(rest: Rest<'_>) -> Option<usize> {
    const PLATFORM: u8 = 1;
    Some(if rest.u8(11)? & PLATFORM == 0 { 12 } else { 20 })
}

/// What a UDP datagram carries, by its ports.
pub(super) fn udp(rest: Rest<'_>) -> Option<IpPacket<'_>> {
    const HEADER: usize = 8;
    let ports = [rest.u16(0)?, rest.u16(2)?];
    let payload = rest.limit(usize::from(rest.u16(4)?)).skip(HEADER)?;
    // The lower port is the likelier service.
    let [low, high] = if ports[0] <= ports[1] {
        ports
    } else {
        [ports[1], ports[0]]
    };
    tunnel_on(low, payload).or_else(|| tunnel_on(high, payload))?
}

/// The tunnel on a port, if one is known there, and the packet in it, if there is one.
fn tunnel_on(port: u16, payload: Rest<'_>) -> Option<Option<IpPacket<'_>>> {
    match port {
        port::VXLAN => Some(
            payload
                .skip(8)
                .and_then(|inner| decode_ethernet(inner).ok()),
        ),
        port::VXLAN_GPE => Some(vxlan_gpe(payload)),
        port::GENEVE => Some(geneve(payload)),
        port::GTP_USER => Some(gtp(payload)),
        port::GRE => Some(gre(payload)),
        port::AYIYA => Some(ayiya(payload)),
        port::L2TP => Some(l2tp(payload)),
        port::TEREDO => {
            Some(ip_packet(payload).filter(|_| payload.u8(0).is_some_and(|octet| octet >> 4 == 6)))
        }
        port::LISP => Some(payload.skip(8).and_then(ip_packet)),
        port::MPLS => Some(decode_mpls(payload).ok()),
        _ => None,
    }
}

/// Geneve (RFC 8926).
fn geneve(rest: Rest<'_>) -> Option<IpPacket<'_>> {
    let options = usize::from(rest.u8(0)? & 0x3f) * 4;
    let inner = rest.skip(8 + options)?;
    decode_ethertype(rest.u16(2)?, inner).ok()
}

/// VXLAN with a protocol of its choice (RFC 9870's predecessor drafts).
fn vxlan_gpe(rest: Rest<'_>) -> Option<IpPacket<'_>> {
    const ETHERNET: u8 = 3;
    let inner = rest.skip(8)?;
    match rest.u8(3)? {
        1 | 2 => ip_packet(inner),
        ETHERNET => decode_ethernet(inner).ok(),
        _ => None,
    }
}

/// "Anything in anything" tunnels (draft-massar-v6ops-ayiya).
fn ayiya(rest: Rest<'_>) -> Option<IpPacket<'_>> {
    const FIXED: usize = 8;
    let identity = 1 << (rest.u8(0)? >> 4);
    let signature = usize::from(rest.u8(1)? >> 4) * 4;
    ip_packet(rest.skip(FIXED + identity + signature)?)
}

/// Data messages of L2TP, version 2 (RFC 2661).
fn l2tp(rest: Rest<'_>) -> Option<IpPacket<'_>> {
    const CONTROL: u16 = 0x8000;
    const LENGTH: u16 = 0x4000;
    const SEQUENCE: u16 = 0x0800;
    const OFFSET: u16 = 0x0200;
    let flags = rest.u16(0)?;
    if flags & CONTROL != 0 || flags & 15 != 2 {
        return None;
    }
    let word = |flag: u16, octets: usize| if flags & flag != 0 { octets } else { 0 };
    let mut header = 6 + word(LENGTH, 2) + word(SEQUENCE, 4);
    if flags & OFFSET != 0 {
        header += 2 + usize::from(rest.u16(header)?);
    }
    decode_ppp(rest.skip(header)?).ok()
}

/// The user plane of GTP, version 1 (3GPP TS 29.281).
fn gtp(rest: Rest<'_>) -> Option<IpPacket<'_>> {
    const USER_DATA: u8 = 255;
    const OPTIONAL_FIELDS: u8 = 0x07;
    const EXTENSION: u8 = 0x04;
    let [flags, kind, ..]: [u8; 8] = rest.array(0)?;
    if flags >> 5 != 1 || kind != USER_DATA {
        return None;
    }
    let mut rest = rest.limit(8 + usize::from(rest.u16(2)?)).skip(8)?;
    if flags & OPTIONAL_FIELDS != 0 {
        let mut next = rest.u8(3)?;
        rest = rest.skip(4)?;
        while flags & EXTENSION != 0 && next != 0 {
            let length = usize::from(rest.u8(0)?) * 4;
            next = rest.u8(length.checked_sub(1)?)?;
            rest = rest.skip(length)?;
        }
    }
    ip_packet(rest)
}

/// Ethernet in IP (RFC 3378).
pub(super) fn etherip(rest: Rest<'_>) -> Option<IpPacket<'_>> {
    decode_ethernet(rest.skip(2)?).ok()
}

/// An IP packet that nothing announces.
fn ip_packet(rest: Rest<'_>) -> Option<IpPacket<'_>> {
    matches!(rest.u8(0)? >> 4, 4 | 6).then_some(IpPacket { rest, link_id: 0 })
}
