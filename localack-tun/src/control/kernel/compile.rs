//! Policies made into rules that the kernel module takes: each rule asks one network and one range of ports of each
//! end, and whatever a policy asks is a list of such rules.

use core::net::IpAddr;

use ipnet::IpNet;
use localack_core::Port;

use super::words::{Arrangement, Policy, Rule, Serving, SetRules};
use crate::config::{Match, PortRange, Settings};
use crate::control::protocol::ServiceWord;
use crate::policy::{Numbers, Policies};

/// Ports from the first to the last.
type Ports = (u16, u16);

const ALL_PORTS: Ports = (0, u16::MAX);

/// What is asked of one end: one of the networks, where `None` is every one, and one of the ranges of ports.
#[derive(Debug, Clone)]
struct End {
    networks: Vec<Option<IpNet>>,
    ports: Vec<Ports>,
}

impl End {
    fn new(networks: &[IpNet], ports: &[PortRange]) -> Self {
        let mut end = Self {
            networks: networks.iter().copied().map(Some).collect(),
            ports: ports.iter().map(|range| range.bounds()).collect(),
        };
        if end.networks.is_empty() {
            end.networks.push(None);
        }
        if end.ports.is_empty() {
            end.ports.push(ALL_PORTS);
        }
        end
    }

    /// What is asked by both.
    fn and(&self, other: &Self) -> Self {
        Self {
            networks: pairs(&self.networks, &other.networks, |one, other| {
                match (one, other) {
                    (None, both) | (both, None) => Some(both),
                    (Some(one), Some(other)) if one.contains(&other) => Some(Some(other)),
                    (Some(one), Some(other)) if other.contains(&one) => Some(Some(one)),
                    _ => None,
                }
            }),
            ports: pairs(&self.ports, &other.ports, |one, other| {
                let both = (one.0.max(other.0), one.1.min(other.1));
                (both.0 <= both.1).then_some(both)
            }),
        }
    }
}

/// What each of some and each of others have in common, without what is there already.
fn pairs<T: Copy + PartialEq, U: PartialEq>(
    some: &[T],
    others: &[T],
    common: impl Fn(T, T) -> Option<U>,
) -> Vec<U> {
    let mut all = Vec::new();
    for one in some {
        for both in others.iter().filter_map(|other| common(*one, *other)) {
            if !all.contains(&both) {
                all.push(both);
            }
        }
    }
    all
}

/// The rules that together ask what a policy asks.
fn rules(matches: &Match) -> Vec<Rule> {
    let inner = End::new(&matches.inner, &matches.inner_port);
    let outer = End::new(&matches.outer, &matches.outer_port);
    let asks_of_opener = !(matches.source.is_empty()
        && matches.destination.is_empty()
        && matches.source_port.is_empty()
        && matches.destination_port.is_empty());
    if !asks_of_opener {
        return product(matches, matches.from, &inner, &outer);
    }
    let source = End::new(&matches.source, &matches.source_port);
    let destination = End::new(&matches.destination, &matches.destination_port);
    let openers = [
        (Port::Inner, &source, &destination),
        (Port::Outer, &destination, &source),
    ];
    let known = |side: Port| matches.from.is_none_or(|from| from == side);
    let openers = openers.into_iter().filter(|(side, _, _)| known(*side));
    openers
        .flat_map(|(side, at_inner, at_outer)| {
            product(
                matches,
                Some(side),
                &inner.and(at_inner),
                &outer.and(at_outer),
            )
        })
        .collect()
}

fn product(matches: &Match, from: Option<Port>, inner: &End, outer: &End) -> Vec<Rule> {
    let networks = pairs_of(&inner.networks, &outer.networks);
    let networks = networks.filter(|(inner, outer)| match (inner, outer) {
        (Some(inner), Some(outer)) => inner.addr().is_ipv4() == outer.addr().is_ipv4(),
        _ => true,
    });
    let asked = |ports: Ports| (ports != ALL_PORTS).then_some(ports);
    networks
        .flat_map(|(inner_network, outer_network)| {
            pairs_of(&inner.ports, &outer.ports).map(move |(inner_ports, outer_ports)| Rule {
                from: from.map(side),
                dscp: matches.dscp.iter().map(|point| point.number()).collect(),
                inner: inner_network.map(network),
                outer: outer_network.map(network),
                inner_ports: asked(inner_ports),
                outer_ports: asked(outer_ports),
            })
        })
        .collect()
}

fn pairs_of<'a, T: Copy>(some: &'a [T], others: &'a [T]) -> impl Iterator<Item = (T, T)> + 'a {
    some.iter()
        .flat_map(move |one| others.iter().map(move |other| (*one, *other)))
}

fn side(port: Port) -> String {
    match port {
        Port::Inner => "inner".to_owned(),
        Port::Outer => "outer".to_owned(),
    }
}

fn network(network: IpNet) -> String {
    let length = network.prefix_len();
    match network.network() {
        IpAddr::V4(four) => format!("{:08x}/{length}", four.to_bits()),
        IpAddr::V6(six) => format!("{:032x}/{length}", six.to_bits()),
    }
}

/// The rules of settings, for a kernel whose arrangements have these numbers.
pub(super) fn compile(settings: &Settings, numbers: &Numbers, revision: u64) -> SetRules {
    let policies = Policies::numbered(settings, numbers);
    let mut all: Vec<_> = policies
        .rules()
        .map(|rule| Policy {
            name: rule.name().to_owned(),
            serving: Serving::of(rule.answer()),
            rules: rules(&rule.settings().matches),
        })
        .collect();
    // The last is the default.
    let default = all.pop().map(|last| last.serving);
    let default = default.unwrap_or_else(|| Serving::of(&localack_core::Admit::Pass));
    let arrangements = policies.arrangements().iter();
    let arrangements = arrangements.map(|(id, one)| {
        let shaping = one.shaping();
        Arrangement {
            number: id.number(),
            name: one.name.clone(),
            service: one.service().map(ServiceWord::from),
            rate_limit: shaping.rate_limit,
            ack_interval_us: u32::try_from(shaping.ack_interval.as_micros()).unwrap_or(u32::MAX),
            mss_clamp: shaping.mss_clamp,
        }
    });
    SetRules {
        revision,
        settings: settings.to_toml(),
        default,
        arrangements: arrangements.collect(),
        policies: all,
    }
}
