//! What a scripted host says when the script does not name it.

use core::net::SocketAddr;

use super::model::{Number, PacketSpec, Place, Setup, Side, Term};
use super::variant::Variant;
use crate::packet::{Flags, IpFields, Options, Packet};

/// The relative TSval at time zero of a host whose clock runs with the script's.
const RUNNING_CLOCK: i64 = 10_000;
/// The window field of a host whose script names none.
const FIRST_WINDOW: u16 = 60_000;

/// One end of the scripted connection.
#[derive(Clone, Debug)]
pub(super) struct Host {
    side: Side,
    address: SocketAddr,
    isn: u32,
    clock: u32,
    stamps: bool,
    negotiated: bool,
    mss_option: u16,
    shift: Option<u8>,
    sack: bool,
    syn_options: Vec<u8>,
    syn_flags: Flags,
    /// Relative TSval that it uses until told otherwise; `None`: its clock runs.
    stamp: Option<i64>,
    /// Newest TSval it was given, absolute.
    pub(super) told_stamp: u32,
    next: u32,
    ack: u32,
    window: u16,
}

impl Host {
    pub(super) fn new(side: Side, setup: &Setup, variant: &Variant) -> Self {
        let own = &setup.sides[side.index()];
        let index = side.index();
        let address = match (side, variant.v6) {
            (Side::S, false) => "192.0.2.10:40000",
            (Side::R, false) => "203.0.113.20:443",
            (Side::S, true) => "[2001:db8:1::10]:40000",
            (Side::R, true) => "[2001:db8:2::20]:443",
        };
        let negotiated = variant.timestamps == [true; 2];
        let fixed = |side: &super::model::SideSetup| side.first_stamp.is_some();
        let manual = setup.sides.iter().any(fixed);
        Self {
            side,
            address: address.parse().expect("a literal"),
            isn: variant.isns[index],
            clock: variant.clocks[index],
            stamps: variant.timestamps[index],
            negotiated,
            mss_option: setup.mss + if negotiated { 12 } else { 0 },
            shift: variant.shifts[index],
            sack: variant.sack[index],
            syn_options: own.syn_options.clone(),
            syn_flags: own.syn_flags,
            stamp: manual.then(|| own.first_stamp.map_or(1, i64::from)),
            told_stamp: 0,
            next: variant.isns[index],
            ack: variant.isns[side.other().index()].wrapping_add(1),
            window: own.window.unwrap_or(FIRST_WINDOW),
        }
    }

    /// Relative to this host's ISN.
    pub(super) fn relative(&self, seq: u32) -> i64 {
        i64::from(seq.wrapping_sub(self.isn).cast_signed())
    }

    fn absolute(&self, relative: i64) -> u32 {
        self.isn.wrapping_add(wrapped(relative))
    }

    /// Relative to this host's timestamp offset.
    pub(super) fn relative_stamp(&self, stamp: u32) -> i64 {
        i64::from(stamp.wrapping_sub(self.clock).cast_signed())
    }

    fn stamp_at(&self, at_ms: i64) -> u32 {
        self.clock
            .wrapping_add(wrapped(self.stamp.unwrap_or(RUNNING_CLOCK + at_ms)))
    }

    /// The SYN or SYN-ACK that begins the connection.
    pub(super) fn syn_spec(&self, answer: bool) -> PacketSpec {
        let ecn = if answer { Flags::ACK } else { Flags::default() };
        PacketSpec {
            flags: Some(Flags::SYN | ecn | self.syn_flags),
            place: Some(Place::At(Number::Is(Term {
                symbol: None,
                offset: 0,
            }))),
            ..PacketSpec::default()
        }
    }

    /// The payload octet at a relative sequence number.
    pub(super) fn octet(&self, relative: i64) -> u8 {
        let at = wrapped(relative).wrapping_mul(0x9e37_79b1) ^ (self.side.index() as u32 * 0x55);
        at.to_be_bytes()[1]
    }

    /// Makes the packet that `spec` describes and takes note of what it says.
    pub(super) fn says(
        &mut self,
        spec: &PacketSpec,
        peer: &Self,
        at_ms: i64,
        resolve: &dyn Fn(Term) -> i64,
    ) -> Packet {
        let flags = spec.flags.unwrap_or(Flags::ACK);
        let syn = flags.has(Flags::SYN);
        let fixed = |number: Option<Number>| match number {
            Some(Number::Is(term)) => Some(resolve(term)),
            None => None,
            Some(_) => panic!("an arriving packet needs plain numbers"),
        };
        let (start, length) = match spec.place {
            None => (self.relative(self.next), 0),
            Some(Place::At(number)) => (fixed(Some(number)).expect("a number"), 0),
            Some(Place::Range(start, end)) => (resolve(start), resolve(end) - resolve(start)),
            Some(Place::Series(..)) => panic!("a series is cut into segments first"),
        };
        let length = fixed(spec.len).unwrap_or(length);
        let first = start + i64::from(syn);
        let payload: Vec<u8> = (first..first + length)
            .map(|at| spec.fill.unwrap_or_else(|| self.octet(at)))
            .collect();
        if let Some(ack) = fixed(spec.ack) {
            self.ack = peer.absolute(ack);
        }
        if let Some(window) = fixed(spec.window) {
            self.window = u16::try_from(window).expect("a 16-bit window field");
        }
        if let Some(stamp) = fixed(spec.stamp) {
            self.stamp = Some(stamp);
        }
        let sack = spec.sack.iter().flatten();
        let absolute_block = |&(left, right): &(Term, Term)| {
            (peer.absolute(resolve(left)), peer.absolute(resolve(right)))
        };
        let packet = Packet {
            source: self.address,
            destination: peer.address,
            ip: self.ip(spec),
            flags,
            seq: self.absolute(start),
            ack: if flags.has(Flags::ACK) { self.ack } else { 0 },
            window: self.window,
            urgent: spec.urgent.unwrap_or(0),
            options: Options {
                mss: syn.then_some(self.mss_option),
                window_scale: self.shift.filter(|_| syn),
                sack_permitted: syn && self.sack,
                timestamps: self.timestamps(spec, syn, fixed(spec.echo), peer, at_ms),
                sack: spec.dsack.iter().chain(sack).map(absolute_block).collect(),
                sack_present: spec.dsack.is_some()
                    || spec.sack.as_ref().is_some_and(|b| !b.is_empty()),
                others: if syn {
                    [&self.syn_options[..], &spec.options].concat()
                } else {
                    spec.options.clone()
                },
            },
            payload,
        };
        let end = packet.seq.wrapping_add(packet.seq_len());
        if self.relative(end) > self.relative(self.next) {
            self.next = end;
        }
        packet
    }

    fn timestamps(
        &self,
        spec: &PacketSpec,
        syn: bool,
        echo: Option<i64>,
        peer: &Self,
        at_ms: i64,
    ) -> Option<(u32, u32)> {
        let wanted = if syn { self.stamps } else { self.negotiated } && !spec.no_stamp;
        let absolute_echo = |relative: i64| peer.clock.wrapping_add(wrapped(relative));
        let echo = echo.map_or(self.told_stamp, absolute_echo);
        wanted.then(|| (self.stamp_at(at_ms), echo))
    }

    fn ip(&self, spec: &PacketSpec) -> IpFields {
        let (hop_limit, flow_label, traffic_class) = match self.side {
            Side::S => (64, 0x1_2345, 0x28),
            Side::R => (57, 0x5_4321, 0x48),
        };
        let v6 = self.address.is_ipv6();
        IpFields {
            hop_limit: spec.hop_limit.unwrap_or(hop_limit),
            traffic_class: spec.traffic_class.unwrap_or(traffic_class) | spec.ecn.unwrap_or(0),
            flow_label: if v6 { flow_label } else { 0 },
            identification: 0,
            dont_fragment: !spec.may_fragment && !spec.fragment,
            more_fragments: spec.fragment && !v6,
            options: if spec.ip_options && !v6 {
                vec![1, 1, 1, 1]
            } else {
                Vec::new()
            },
        }
    }
}

/// A relative number on the circle.
fn wrapped(relative: i64) -> u32 {
    u32::try_from(relative.rem_euclid(1 << 32)).expect("reduced modulo 2^32")
}
