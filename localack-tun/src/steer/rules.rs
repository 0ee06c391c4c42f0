//! Our rules and routes in the kernel, and those of others that are in the way.

use core::fmt::Write as _;
use std::io;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, IpProtocol, RouteNetlinkMessage};
use nix::errno::Errno;

use super::error::SteerError;
use super::name::InterfaceName;
use super::netlink::Netlink;
use super::{Family, PROTOCOL};

/// The protocol number of ICMPv6, which the crate has no name for.
const ICMPV6: u8 = 58;

/// The table of the gateway's own addresses.
const LOCAL: u32 = 255;

/// One way off the normal path: from an interface, through a table, to a TUN device.
#[derive(Debug)]
pub(super) struct Detour<'a> {
    pub(super) interface: &'a InterfaceName,
    pub(super) table: u32,
    pub(super) device: u32,
    /// The MTU of the interface on the far side of the engine, in octets.
    ///
    /// The kernel refuses what is longer ("fragmentation needed") before the engine has
    /// acknowledged it; behind the engine that refusal would reach a sender that has no copy left.
    pub(super) mtu: u32,
}

fn family_of(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}

/// What is steered: TCP, and the errors that may concern it. Rules cannot tell the errors from
/// other ICMP, so echoes take the detour too.
fn protocols(family: Family) -> [IpProtocol; 2] {
    match family {
        Family::Ipv4 => [IpProtocol::Tcp, IpProtocol::Icmp],
        Family::Ipv6 => [IpProtocol::Tcp, IpProtocol::from(ICMPV6)],
    }
}

fn rule(family: Family, priority: u32, detour: &Detour<'_>, protocol: IpProtocol) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family_of(family);
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Iifname(detour.interface.as_str().to_owned()),
        RuleAttribute::IpProtocol(protocol),
        RuleAttribute::Priority(priority),
        RuleAttribute::Table(detour.table),
        RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)),
    ];
    message
}

fn route(family: Family, detour: &Detour<'_>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family_of(family);
    message.header.protocol = RouteProtocol::Other(PROTOCOL);
    message.header.kind = RouteType::Unicast;
    message.header.scope = match family {
        Family::Ipv4 => RouteScope::Link,
        Family::Ipv6 => RouteScope::Universe,
    };
    message.attributes = vec![
        RouteAttribute::Table(detour.table),
        RouteAttribute::Oif(detour.device),
        RouteAttribute::Metrics(vec![RouteMetric::Mtu(detour.mtu)]),
    ];
    message
}

/// Adds the default route of one detour.
pub(super) fn add_route(
    netlink: &mut Netlink,
    family: Family,
    detour: &Detour<'_>,
) -> Result<(), SteerError> {
    let message = RouteNetlinkMessage::NewRoute(route(family, detour));
    netlink
        .request(message, NLM_F_CREATE | NLM_F_EXCL)
        .map_err(|error| SteerError::kernel("adding a route", error))?;
    Ok(())
}

/// Adds the rules of one detour, and sees that the kernel has understood all of them.
pub(super) fn add_rules(
    netlink: &mut Netlink,
    family: Family,
    priority: u32,
    detour: &Detour<'_>,
) -> Result<(), SteerError> {
    for protocol in protocols(family) {
        let wanted = rule(family, priority, detour, protocol);
        let message = RouteNetlinkMessage::NewRule(wanted.clone());
        netlink
            .request(message, NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|error| SteerError::kernel("adding a rule", error))?;
        let there = rules(netlink, family)?.into_iter().any(|rule| {
            let has = |attribute| rule.attributes.contains(attribute);
            wanted.attributes.iter().all(has)
        });
        if !there {
            // It would send everything on the detour: out at once, however the kernel names it.
            let _ = netlink.request(RouteNetlinkMessage::DelRule(wanted), 0);
            return Err(SteerError::OldKernel);
        }
    }
    Ok(())
}

/// Whether our rules and routes of a family are these, and no others.
pub(super) fn are_in_force(
    netlink: &mut Netlink,
    family: Family,
    priority: u32,
    detours: &[Detour<'_>],
) -> Result<bool, SteerError> {
    let (rules, routes) = (our_rules(netlink, family)?, our_routes(netlink, family)?);
    let wanted: Vec<RuleMessage> = detours
        .iter()
        .flat_map(|detour| {
            protocols(family)
                .into_iter()
                .map(move |protocol| rule(family, priority, detour, protocol))
        })
        .collect();
    let has_rule = |wanted: &RuleMessage| {
        rules.iter().any(|rule| {
            let has = |attribute| rule.attributes.contains(attribute);
            wanted.attributes.iter().all(has)
        })
    };
    let has_route = |detour: &Detour<'_>| {
        let wanted = route(family, detour);
        routes.iter().any(|route| {
            let has = |attribute| route.attributes.contains(attribute);
            wanted.attributes.iter().all(has)
        })
    };
    Ok(rules.len() == wanted.len()
        && routes.len() == detours.len()
        && wanted.iter().all(has_rule)
        && detours.iter().all(has_route))
}

/// All rules of a family, in the order the kernel tries them.
pub(super) fn rules(netlink: &mut Netlink, family: Family) -> Result<Vec<RuleMessage>, SteerError> {
    let mut message = RuleMessage::default();
    message.header.family = family_of(family);
    let answers = netlink
        .dump(&RouteNetlinkMessage::GetRule(message))
        .map_err(|error| SteerError::kernel("listing rules", error))?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRule(rule) => Some(rule),
            _ => None,
        })
        .collect())
}

/// Our routes in whatever table, or everybody's in one.
enum Which {
    Ours,
    Table(u32),
}

fn routes(
    netlink: &mut Netlink,
    family: Family,
    which: &Which,
) -> Result<Vec<RouteMessage>, SteerError> {
    let mut message = RouteMessage::default();
    message.header.address_family = family_of(family);
    match which {
        Which::Ours => message.header.protocol = RouteProtocol::Other(PROTOCOL),
        Which::Table(table) => message.attributes.push(RouteAttribute::Table(*table)),
    }
    let answers = match netlink.dump(&RouteNetlinkMessage::GetRoute(message)) {
        Ok(answers) => answers,
        // A table that never had a route does not exist.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(SteerError::kernel("listing routes", error)),
    };
    let wanted = |route: &RouteMessage| match which {
        Which::Ours => is_our_route(route),
        Which::Table(table) => table_of_route(route) == *table,
    };
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(route) if wanted(&route) => Some(route),
            _ => None,
        })
        .collect())
}

/// Our rules, which are told by their routing protocol.
pub(super) fn our_rules(
    netlink: &mut Netlink,
    family: Family,
) -> Result<Vec<RuleMessage>, SteerError> {
    let mut rules = rules(netlink, family)?;
    rules.retain(is_our_rule);
    Ok(rules)
}

/// Our routes, which are told by their routing protocol.
pub(super) fn our_routes(
    netlink: &mut Netlink,
    family: Family,
) -> Result<Vec<RouteMessage>, SteerError> {
    routes(netlink, family, &Which::Ours)
}

/// Removes our rules and then our routes of one family; returns how many of each there were.
pub(super) fn remove(netlink: &mut Netlink, family: Family) -> Result<(usize, usize), SteerError> {
    let rules = our_rules(netlink, family)?;
    let count = rules.len();
    for rule in rules {
        let removed = netlink.request(RouteNetlinkMessage::DelRule(rule), 0);
        unless_gone(removed).map_err(|error| SteerError::kernel("removing a rule", error))?;
    }
    let routes = our_routes(netlink, family)?;
    let routes_count = routes.len();
    for route in routes {
        let removed = netlink.request(RouteNetlinkMessage::DelRoute(route), 0);
        unless_gone(removed).map_err(|error| SteerError::kernel("removing a route", error))?;
    }
    Ok((count, routes_count))
}

/// A rule or route that somebody else, or the end of its device, has just removed is no error.
fn unless_gone<T>(removed: io::Result<T>) -> io::Result<()> {
    match removed.map_err(|error| (error.raw_os_error().map(Errno::from_raw), error)) {
        Ok(_) | Err((Some(Errno::ENOENT | Errno::ESRCH), _)) => Ok(()),
        Err((_, error)) => Err(error),
    }
}

/// Refuses a priority or tables that others use.
pub(super) fn check_clashes(
    netlink: &mut Netlink,
    family: Family,
    priority: u32,
    tables: [u32; 2],
) -> Result<(), SteerError> {
    let rules = rules(netlink, family)?;
    let local = rules.iter().find(|rule| table_of_rule(rule) == LOCAL);
    if let Some(local) = local.map(priority_of)
        && local >= priority
    {
        return Err(SteerError::BeforeLocal { priority, local });
    }
    let clash = |choose, in_the_way: &dyn Fn(&RuleMessage) -> bool| {
        let rules: Vec<_> = rules
            .iter()
            .filter(|rule| !is_our_rule(rule) && in_the_way(rule))
            .map(describe)
            .collect();
        if rules.is_empty() {
            return Ok(());
        }
        let rules = rules.join("; ");
        Err(SteerError::RuleClash { choose, rules })
    };
    clash("priority", &|rule| priority_of(rule) == priority)?;
    clash("table", &|rule| tables.contains(&table_of_rule(rule)))?;
    for table in tables {
        let mut routes = routes(netlink, family, &Which::Table(table))?;
        routes.retain(|route| !is_our_route(route));
        if !routes.is_empty() {
            let routes = routes.len();
            return Err(SteerError::TableClash { table, routes });
        }
    }
    Ok(())
}

fn is_our_rule(rule: &RuleMessage) -> bool {
    let ours = RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL));
    rule.attributes.contains(&ours)
}

fn is_our_route(route: &RouteMessage) -> bool {
    route.header.protocol == RouteProtocol::Other(PROTOCOL)
}

fn priority_of(rule: &RuleMessage) -> u32 {
    let priority = rule
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::Priority(priority) => Some(*priority),
            _ => None,
        });
    // The kernel leaves out a priority of zero.
    priority.unwrap_or(0)
}

fn table_of_rule(rule: &RuleMessage) -> u32 {
    let table = rule
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::Table(table) => Some(*table),
            _ => None,
        });
    table.unwrap_or(u32::from(rule.header.table))
}

fn table_of_route(route: &RouteMessage) -> u32 {
    let RouteHeader { table: short, .. } = route.header;
    let table = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
    table.unwrap_or(u32::from(short))
}

/// A rule much as `ip rule` prints it.
fn describe(rule: &RuleMessage) -> String {
    let mut text = format!("{}:", priority_of(rule));
    let prefix = |address: Option<String>, len: u8| match address {
        Some(address) => format!("{address}/{len}"),
        None => "all".to_owned(),
    };
    let source = rule
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::Source(address) => Some(address.to_string()),
            _ => None,
        });
    let _ = write!(text, " from {}", prefix(source, rule.header.src_len));
    for attribute in &rule.attributes {
        let _ = match attribute {
            RuleAttribute::Destination(to) => write!(text, " to {to}/{}", rule.header.dst_len),
            RuleAttribute::Iifname(name) => write!(text, " iif {name}"),
            RuleAttribute::Oifname(name) => write!(text, " oif {name}"),
            RuleAttribute::FwMark(mark) => write!(text, " fwmark {mark:#x}"),
            RuleAttribute::IpProtocol(protocol) => {
                write!(text, " ipproto {}", i32::from(*protocol))
            }
            _ => Ok(()),
        };
    }
    let _ = match rule.header.action {
        RuleAction::ToTable => write!(text, " lookup {}", table_of_rule(rule)),
        other => write!(text, " {other:?}"),
    };
    text
}
