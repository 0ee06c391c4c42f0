//! Frames of Ethernet: where the IP packet in one begins, and what has to stand before the packets that
//! the engine makes.
//!
//! A frame has two addresses, tags of VLANs, and the type of what follows: its *lead*. The engine sees
//! what follows, and takes the VLANs as part of what names a connection ([`LinkId`]). For each connection
//! is remembered what stood before its newest packet in each direction, priority in the tags included,
//! and that goes before what the engine sends in that direction.
//!
//! - A host that has moved to another address is followed with its own next frame: where a side sends from
//!   another address than before, what went to the old one goes to the new one, without waiting for the
//!   other side to learn of it.
//! - Two ways between the same hosts stay apart: what goes to a side is otherwise addressed as the other
//!   side does it, so that an answer need not come from where packets are sent to (VRRP, bonding).

use localack_core::wire::{self, Parsed};
use localack_core::{FlowId, FlowKey, LinkId, Port};

/// Octets of an address.
const ADDRESS: usize = 6;
/// Where tags begin, or the type.
const TYPE: usize = 2 * ADDRESS;
/// Octets of a tag.
const TAG: usize = 4;
/// Most tags: those of a provider and of its customer (IEEE 802.1Q clause 9).
const MOST_TAGS: usize = 2;
/// The longest lead, in octets.
pub(super) const MOST_LEAD: usize = TYPE + MOST_TAGS * TAG + 2;

/// Types of what follows.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const CUSTOMER_TAG: u16 = 0x8100;
const PROVIDER_TAG: u16 = 0x88a8;
/// The bits of a tag that name its VLAN; the others are its priority.
const VLAN: u16 = 0x0fff;

/// Set in the number of a tag, so that VLANs differ from none and the two types from each other.
const IS_TAG: u32 = 1 << 12;
const IS_PROVIDER: u32 = 1 << 13;
/// Bits of the number of a tag.
const TAG_BITS: u32 = 14;

/// What stands before an IP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lead {
    octets: [u8; MOST_LEAD],
    length: u8,
    /// It was made of what went the other way.
    is_guess: bool,
}

impl Lead {
    /// None yet.
    const EMPTY: Self = Self {
        octets: [0; MOST_LEAD],
        length: 0,
        is_guess: false,
    };

    fn new(octets: &[u8]) -> Self {
        let mut lead = Self::EMPTY;
        if let Some(room) = lead.octets.get_mut(..octets.len()) {
            room.copy_from_slice(octets);
            lead.length = u8::try_from(octets.len()).unwrap_or(0);
        }
        lead
    }

    pub(super) fn octets(&self) -> &[u8] {
        self.octets.get(..self.length.into()).unwrap_or_default()
    }

    const fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn destination(&self) -> &[u8] {
        self.octets.get(..ADDRESS).unwrap_or_default()
    }

    fn source(&self) -> &[u8] {
        self.octets.get(ADDRESS..TYPE).unwrap_or_default()
    }

    fn send_to(&mut self, address: &[u8]) {
        if let Some(room) = self.octets.get_mut(..address.len()) {
            room.copy_from_slice(address);
        }
    }

    /// The same for the way back.
    fn reversed(&self) -> Self {
        let mut back = *self;
        if let Some(addresses) = back.octets.get_mut(..TYPE) {
            addresses.rotate_left(ADDRESS);
        }
        back.is_guess = true;
        back
    }
}

/// How many octets of `frame` stand before its IP packet, and the VLANs that it is in.
///
/// `None` for what no engine is to see: other protocols, more than two tags, and frames to groups, which
/// no connection has.
pub(super) fn lead(frame: &[u8]) -> Option<(usize, LinkId)> {
    let is_for_group = frame.first()? & 1 == 1;
    if is_for_group {
        return None;
    }
    let mut at = TYPE;
    let mut link = 0;
    for _ in 0..=MOST_TAGS {
        let kind = word(frame, at)?;
        let provider = match kind {
            IPV4 | IPV6 => return Some((at + 2, LinkId(link))),
            CUSTOMER_TAG => 0,
            PROVIDER_TAG => IS_PROVIDER,
            _ => return None,
        };
        let vlan = word(frame, at + 2)? & VLAN;
        // A tag without a VLAN is for its priority only; hosts answer such frames without one.
        if vlan != 0 {
            link = link << TAG_BITS | provider | IS_TAG | u32::from(vlan);
        }
        at += TAG;
    }
    None
}

fn word(frame: &[u8], at: usize) -> Option<u16> {
    let octets = frame.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*octets))
}

/// The connection that `packet` of TCP belongs to, which arrived on `port`.
pub(super) fn key(port: Port, packet: &[u8], link: LinkId) -> Option<FlowKey> {
    let Parsed::Tcp(seg) = wire::parse_headers(packet) else {
        return None;
    };
    let (src, dst) = ((seg.src, seg.src_port), (seg.dst, seg.dst_port));
    let (inner, outer) = match port {
        Port::Inner => (src, dst),
        Port::Outer => (dst, src),
    };
    Some(FlowKey::new(inner.0, inner.1, outer.0, outer.1, link.0))
}

/// The leads of all connections of an engine.
#[derive(Debug)]
pub(super) struct Leads {
    /// By the connection's slot.
    flows: Vec<Known>,
}

/// Those of one connection.
#[derive(Clone, Copy, Debug)]
struct Known {
    flow: Option<FlowId>,
    /// Before what goes to the inner and to the outer side.
    to: [Lead; 2],
}

impl Known {
    const EMPTY: Self = Self {
        flow: None,
        to: [Lead::EMPTY; 2],
    };
}

const fn index(port: Port) -> usize {
    match port {
        Port::Inner => 0,
        Port::Outer => 1,
    }
}

impl Leads {
    /// For so many connections. That is all the memory it takes.
    pub(super) fn new(flows: usize) -> Self {
        Self {
            flows: vec![Known::EMPTY; flows],
        }
    }

    /// Remembers what stood before a packet of `flow` that arrived on `port`.
    pub(super) fn learn(&mut self, flow: FlowId, port: Port, lead: &[u8]) {
        let slot = usize::try_from(flow.slot()).ok();
        let Some(known) = slot.and_then(|slot| self.flows.get_mut(slot)) else {
            return;
        };
        if known.flow != Some(flow) {
            *known = Known::EMPTY;
            known.flow = Some(flow);
        }
        let (onward, back) = match (index(port), &mut known.to) {
            (0, [to_inner, to_outer]) => (to_outer, to_inner),
            (_, [to_inner, to_outer]) => (to_inner, to_outer),
        };
        if onward.octets() == lead {
            onward.is_guess = false;
            return;
        }
        let newest = Lead::new(lead);
        if back.is_empty() {
            *back = newest.reversed();
        } else if !onward.is_guess && back.destination() == onward.source() {
            back.send_to(newest.source());
        }
        *onward = newest;
    }

    /// What stands before a packet of `flow` that leaves by `port`; `None` if no packet of it was seen.
    pub(super) fn of(&self, flow: FlowId, port: Port) -> Option<Lead> {
        let slot = usize::try_from(flow.slot()).ok()?;
        let known = self.flows.get(slot)?;
        let lead = known.to.get(index(port))?;
        (known.flow == Some(flow) && !lead.is_empty()).then_some(*lead)
    }
}

#[cfg(test)]
mod tests;
