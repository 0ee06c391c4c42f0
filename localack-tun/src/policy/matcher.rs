//! The question whether a policy is for a connection, in a form that is quick to answer.

use core::net::IpAddr;

use ipnet::IpNet;
use localack_core::Port;

use super::Subject;
use crate::config::{Match, PortRange};

/// What a [`Match`] asks, in masks and bounds.
#[derive(Debug)]
pub(super) struct Matcher {
    from: Option<Port>,
    /// A bit for each code point.
    dscp: u64,
    inner: End,
    outer: End,
    source: End,
    destination: End,
}

impl Matcher {
    /// Compiles what is asked.
    pub(super) fn new(matches: &Match) -> Self {
        let bits = matches.dscp.iter().fold(0, |bits, dscp| {
            bits | 1_u64.checked_shl(dscp.number().into()).unwrap_or(0)
        });
        Self {
            from: matches.from,
            dscp: if matches.dscp.is_empty() {
                u64::MAX
            } else {
                bits
            },
            inner: End::new(&matches.inner, &matches.inner_port),
            outer: End::new(&matches.outer, &matches.outer_port),
            source: End::new(&matches.source, &matches.source_port),
            destination: End::new(&matches.destination, &matches.destination_port),
        }
    }

    /// Whether all of it holds.
    pub(super) fn holds(&self, subject: &Subject) -> bool {
        let Subject { key, from, dscp } = subject;
        let inner = (key.inner(), key.inner_port());
        let outer = (key.outer(), key.outer_port());
        let (source, destination) = match from {
            Port::Inner => (inner, outer),
            Port::Outer => (outer, inner),
        };
        self.from.is_none_or(|side| side == *from)
            && self.dscp >> dscp.number() & 1 != 0
            && self.inner.holds(inner)
            && self.outer.holds(outer)
            && self.source.holds(source)
            && self.destination.holds(destination)
    }
}

/// What is asked of one end of a connection.
#[derive(Debug)]
struct End {
    networks: Networks,
    /// First and last ports; none asks nothing.
    ports: Box<[PortRange]>,
}

impl End {
    fn new(networks: &[IpNet], ports: &[PortRange]) -> Self {
        Self {
            networks: Networks::new(networks),
            ports: ports.into(),
        }
    }

    fn holds(&self, (address, port): (IpAddr, u16)) -> bool {
        (self.ports.is_empty() || self.ports.iter().any(|range| range.contains(port)))
            && self.networks.hold(address)
    }
}

/// Networks as their bits and masks, IPv4 and IPv6 apart.
#[derive(Debug)]
struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
    /// There are none, which asks nothing.
    is_any: bool,
}

impl Networks {
    fn new(networks: &[IpNet]) -> Self {
        let v4 = networks.iter().filter_map(|network| match network {
            IpNet::V4(net) => Some((net.network().to_bits(), net.netmask().to_bits())),
            IpNet::V6(_) => None,
        });
        let v6 = networks.iter().filter_map(|network| match network {
            IpNet::V4(_) => None,
            IpNet::V6(net) => Some((net.network().to_bits(), net.netmask().to_bits())),
        });
        Self {
            v4: v4.collect(),
            v6: v6.collect(),
            is_any: networks.is_empty(),
        }
    }

    fn hold(&self, address: IpAddr) -> bool {
        self.is_any
            || match address {
                IpAddr::V4(address) => {
                    let bits = address.to_bits();
                    self.v4.iter().any(|(net, mask)| bits & mask == *net)
                }
                IpAddr::V6(address) => {
                    let bits = address.to_bits();
                    self.v6.iter().any(|(net, mask)| bits & mask == *net)
                }
            }
    }
}
