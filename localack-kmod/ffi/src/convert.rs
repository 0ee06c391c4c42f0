//! Numbers of C into types of the core, and back.
#![forbid(unsafe_code)]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use localack_core::wire::{self, Parsed};
use localack_core::{
    Checksum, Config, Controller, Custody, Direction, Event, FlowConfig, FlowKey, LinkId,
    PacketMeta, Poll, Port, Provision, Service, Shaping, ShapingId, Verdict,
};

use crate::abi::{self, Arrangement, Meta, News, Serving, Settings};

/// The longest wait of an acknowledgement (rule H5.6).
const MOST_ACK_DELAY_US: u32 = 10_000;
/// The longest pause between acknowledgements.
const MOST_ACK_INTERVAL_US: u32 = 500_000;
/// The largest window that can be offered.
const MOST_BUFFER: u32 = 1 << 29;

pub(crate) const fn port(side: u8) -> Option<Port> {
    match side {
        abi::LOCALACK_INNER => Some(Port::Inner),
        abi::LOCALACK_OUTER => Some(Port::Outer),
        _ => None,
    }
}

pub(crate) const fn side(port: Port) -> u8 {
    match port {
        Port::Inner => abi::LOCALACK_INNER,
        Port::Outer => abi::LOCALACK_OUTER,
    }
}

pub(crate) const fn direction(number: u8) -> Option<Direction> {
    match number {
        abi::LOCALACK_INNER_TO_OUTER => Some(Direction::InnerToOuter),
        abi::LOCALACK_OUTER_TO_INNER => Some(Direction::OuterToInner),
        _ => None,
    }
}

pub(crate) const fn direction_number(direction: Direction) -> u8 {
    side(direction.source())
}

pub(crate) const fn service(number: u8) -> Option<Service> {
    match number {
        abi::LOCALACK_BYPASS => Some(Service::Bypass),
        abi::LOCALACK_SNOOP => Some(Service::Snoop),
        abi::LOCALACK_LOCAL_ACK => Some(Service::LocalAck),
        _ => None,
    }
}

pub(crate) const fn service_number(service: Service) -> u8 {
    match service {
        Service::LocalAck => abi::LOCALACK_LOCAL_ACK,
        Service::Snoop => abi::LOCALACK_SNOOP,
        _ => abi::LOCALACK_BYPASS,
    }
}

/// The controllers, outward and inward.
fn controllers(serving: &Serving) -> Option<[Controller; 2]> {
    let Serving {
        controller,
        inward_controller,
        rate: [rate, inward_rate],
        share: [share, inward_share],
        floor: [floor, inward_floor],
        ceiling: [ceiling, inward_ceiling],
        ..
    } = *serving;
    let one = |number, rate, share, floor, ceiling| match number {
        abi::LOCALACK_RENO => Some(Controller::Reno),
        abi::LOCALACK_CUBIC => Some(Controller::Cubic),
        abi::LOCALACK_BBR => Some(Controller::Bbr),
        abi::LOCALACK_PROVISIONED if rate > 0 && share < 16 => {
            let mut provision = Provision::new(share, rate);
            provision.floor = floor;
            if ceiling > 0 {
                provision.ceiling = ceiling;
            }
            Some(Controller::Provisioned(provision))
        }
        _ => None,
    };
    Some([
        one(controller, rate, share, floor, ceiling)?,
        one(
            inward_controller,
            inward_rate,
            inward_share,
            inward_floor,
            inward_ceiling,
        )?,
    ])
}

/// What an arrangement does; `None` if a number means nothing.
pub(crate) fn shaping(arrangement: &Arrangement) -> Option<Shaping> {
    let Arrangement {
        rate_limit,
        ack_interval_us,
        mss_clamp,
        ..
    } = *arrangement;
    (ack_interval_us <= MOST_ACK_INTERVAL_US).then(|| {
        Shaping::NONE
            .with_rate_limit(rate_limit)
            .with_ack_interval(Duration::from_micros(ack_interval_us.into()))
            .with_mss_clamp(mss_clamp)
    })
}

pub(crate) const fn controller_number(controller: Controller) -> u8 {
    match controller {
        Controller::Reno => abi::LOCALACK_RENO,
        Controller::Bbr => abi::LOCALACK_BBR,
        Controller::Provisioned(_) => abi::LOCALACK_PROVISIONED,
        _ => abi::LOCALACK_CUBIC,
    }
}

pub(crate) const fn poll(poll: Poll) -> u8 {
    match poll {
        Poll::Idle => abi::LOCALACK_IDLE,
        Poll::More => abi::LOCALACK_MORE,
        Poll::Blocked => abi::LOCALACK_BLOCKED,
    }
}

pub(crate) const fn meta(meta: &Meta) -> Option<PacketMeta> {
    let checksum = match meta.checksum {
        abi::LOCALACK_CHECKSUM_VERIFY => Checksum::Verify,
        abi::LOCALACK_CHECKSUM_VERIFIED => Checksum::Verified,
        abi::LOCALACK_CHECKSUM_PARTIAL => Checksum::Partial,
        _ => return None,
    };
    Some(PacketMeta {
        checksum,
        gso_size: meta.gso_size,
        link: LinkId(meta.link),
    })
}

pub(crate) const fn verdict(verdict: Verdict) -> (u8, u8) {
    match verdict {
        Verdict::Pass(reason) => (abi::LOCALACK_PASS, reason.number()),
        Verdict::Forward => (abi::LOCALACK_FORWARD, 0),
        Verdict::Absorb(reason) => (abi::LOCALACK_ABSORB, reason.number()),
        Verdict::Drop(reason) => (abi::LOCALACK_DROP, reason.number()),
    }
}

/// How to serve a flow; `None` if a number means nothing.
pub(crate) fn flow_config(serving: &Serving) -> Option<FlowConfig> {
    let [inner_shaping, outer_shaping] = serving.arrangement;
    let mut config = FlowConfig::tracked();
    config.inner_to_outer = service(serving.inner_to_outer)?;
    config.outer_to_inner = service(serving.outer_to_inner)?;
    config.inner_shaping = ShapingId::new(inner_shaping)?;
    config.outer_shaping = ShapingId::new(outer_shaping)?;
    [config.controller, config.inward_controller] = controllers(serving)?;
    config.pacing = !flag(serving.in_bursts)?;
    config.custody = match serving.after_handshake {
        0 => Custody::AfterProof,
        1 => Custody::AfterHandshake,
        _ => return None,
    };
    config.careful_resume = flag(serving.careful_resume)?;
    config.allow_dont_fragment = flag(serving.allow_dont_fragment)?;
    flag(serving.adopt)?;
    match serving.buffer_limit {
        0 => {}
        limit if limit <= MOST_BUFFER => config.buffer_limit = limit,
        _ => return None,
    }
    if serving.ack_delay_us > MOST_ACK_DELAY_US {
        return None;
    }
    config.ack_delay = Duration::from_micros(serving.ack_delay_us.into());
    Some(config)
}

pub(crate) const fn flag(number: u8) -> Option<bool> {
    match number {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// What holds for the whole engine.
pub(crate) fn config(settings: &Settings) -> Config {
    let mut config = Config::new(settings.hash_key);
    config.mtu = settings.mtu;
    config.super_segment = settings.super_segment;
    if settings.drain_ms > 0 {
        config.drain_patience = Duration::from_millis(settings.drain_ms.into());
    }
    if settings.give_up_ms > 0 {
        config.give_up_after = Duration::from_millis(settings.give_up_ms.into());
    }
    if settings.hold_ms > 0 {
        config.demotion_hold = Duration::from_millis(settings.hold_ms.into());
    }
    if settings.debt_floor > 0 {
        config.debt_floor = settings.debt_floor;
    }
    config
}

/// The connection that a packet of TCP belongs to.
pub(crate) fn key(port: Port, link: u32, packet: &[u8]) -> Option<FlowKey> {
    let Parsed::Tcp(seg) = wire::parse_headers(packet) else {
        return None;
    };
    Some(match port {
        Port::Inner => FlowKey::new(seg.src, seg.src_port, seg.dst, seg.dst_port, link),
        Port::Outer => FlowKey::new(seg.dst, seg.dst_port, seg.src, seg.src_port, link),
    })
}

/// Octets and IP version of an address.
pub(crate) const fn address(address: IpAddr) -> ([u8; 16], u8) {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            ([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4)
        }
        IpAddr::V6(v6) => (v6.octets(), 6),
    }
}

/// Whether an address lies in a network of so many bits.
pub(crate) fn is_in(candidate: IpAddr, network: &[u8; 16], bits: u8) -> bool {
    let (own, net, length) = match candidate {
        IpAddr::V4(v4) => {
            let [a, b, c, d, ..] = *network;
            let net = Ipv4Addr::new(a, b, c, d).to_bits();
            (u128::from(v4.to_bits()) << 96, u128::from(net) << 96, 32)
        }
        IpAddr::V6(v6) => (v6.to_bits(), Ipv6Addr::from_octets(*network).to_bits(), 128),
    };
    match bits {
        0 => true,
        bits if bits <= length => {
            let rest = 128_u32.saturating_sub(bits.into());
            own.checked_shr(rest) == net.checked_shr(rest)
        }
        _ => false,
    }
}

/// News in C's words.
pub(crate) fn news(event: Event) -> News {
    let mut news = News {
        kind: abi::LOCALACK_OTHER_NEWS,
        side: 0,
        reason: 0,
        reserved: 0,
        octets: 0,
        flow: 0,
    };
    match event {
        Event::Adopted { flow, .. } => {
            news.kind = abi::LOCALACK_ADOPTED;
            news.flow = flow.to_bits();
        }
        Event::Refused { from, reason, .. } => {
            news.kind = abi::LOCALACK_REFUSED;
            news.side = side(from);
            news.reason = reason.number();
        }
        Event::CustodyBegun { flow, direction } => {
            news.kind = abi::LOCALACK_CUSTODY_BEGUN;
            news.side = direction_number(direction);
            news.flow = flow.to_bits();
        }
        Event::Demoted {
            flow,
            direction,
            cause,
        } => {
            news.kind = abi::LOCALACK_DEMOTED;
            news.side = direction_number(direction);
            news.reason = cause as u8;
            news.flow = flow.to_bits();
        }
        Event::ServiceChanged {
            flow,
            direction,
            service,
            ..
        } => {
            news.kind = abi::LOCALACK_SERVICE_CHANGED;
            news.side = direction_number(direction);
            news.reason = service_number(service);
            news.flow = flow.to_bits();
        }
        Event::SlowClose {
            flow,
            direction,
            octets,
        } => {
            news.kind = abi::LOCALACK_SLOW_CLOSE;
            news.side = direction_number(direction);
            news.octets = octets;
            news.flow = flow.to_bits();
        }
        Event::Reset { flow, from, lost } => {
            news.kind = abi::LOCALACK_RESET;
            news.side = side(from);
            news.octets = lost;
            news.flow = flow.to_bits();
        }
        Event::GivenUp {
            flow,
            direction,
            lost,
        } => {
            news.kind = abi::LOCALACK_GIVEN_UP;
            news.side = direction_number(direction);
            news.octets = lost;
            news.flow = flow.to_bits();
        }
        Event::Closed { flow, .. } => {
            news.kind = abi::LOCALACK_CLOSED;
            news.flow = flow.to_bits();
        }
        _ => {}
    }
    news
}
