//! While a gateway is dead and its connections wait for another: those that it has octets of wait, all others
//! go on by plain forwarding.
//!
//! A connection of which octets were acknowledged early must not go around the engine that will deliver them.
//! So a table of nf_tables drops what would be forwarded of such connections, and only then our rules go. A
//! packet that is steered to the engine is not touched by it, whoever steers: the table may stay a little
//! longer than is needed.

use core::net::IpAddr;
use std::io;

use localack_core::FlowKey;

use super::links::Link;
use super::nftables::{Base, Batch, Meta, Nftables, Rule};
use super::{Family, Plan, SteerError, open, rules, sysctl};

/// Our table, its chain, and its sets of either version.
const TABLE: &str = "localack-hold";
const CHAIN: &str = "forward";
const SETS: [&str; 2] = ["ipv4", "ipv6"];
/// Octets of a key of either version: the inner address and port, the outer ones, ports filled up to four.
const KEYS: [u32; 2] = [16, 40];
/// Before filters (0), and before what conntrack's helpers do.
const PRIORITY: i32 = -10;
/// Keys of one message, so that the kernel takes it.
const AT_ONCE: usize = 500;
/// `IPPROTO_TCP`.
const TCP: u8 = 6;

/// Lets everything but these connections pass by plain forwarding from now on, until [`super::Steering::resume`]
/// or [`super::cleanup`]. Where nothing is steered, somebody else has done so before, and nothing is done.
///
/// Nobody may begin to steer meanwhile.
///
/// # Errors
///
/// [`SteerError`] if the kernel cannot; then all is as it was, and everything waits.
pub fn hold<'f>(
    plan: &Plan,
    flows: impl IntoIterator<Item = &'f FlowKey>,
) -> Result<(), SteerError> {
    let failed = |error| SteerError::kernel("holding connections back (nf_tables)", error);
    let mut netlink = open()?;
    let families = || {
        let families = Family::ALL.into_iter();
        families.filter(|family| sysctl::available(*family))
    };
    let mut is_steered = false;
    for family in families() {
        is_steered |= !rules::our_rules(&mut netlink, family)?.is_empty();
    }
    if !is_steered {
        return Ok(());
    }
    let inner = Link::source(&mut netlink, &plan.inner)?.index;
    let outer = Link::source(&mut netlink, &plan.outer)?.index;
    let mut keys = [Vec::new(), Vec::new()];
    for flow in flows {
        let [v4, v6] = &mut keys;
        let keys = if flow.inner().is_ipv4() { v4 } else { v6 };
        keys.push(key(flow));
    }
    release();
    let mut nftables = Nftables::open().map_err(failed)?;
    nftables.commit(table([inner, outer])).map_err(failed)?;
    fill(&mut nftables, &keys)
        .inspect_err(|_| release())
        .map_err(failed)?;
    for family in families() {
        rules::remove(&mut netlink, family)?;
    }
    Ok(())
}

/// Takes the table away, if it is there.
pub(super) fn release() {
    let mut batch = Batch::of_ip();
    batch.remove_table(TABLE);
    // Without the table, or without nf_tables, there is nothing to take away.
    let _: io::Result<()> = Nftables::open().and_then(|mut nftables| nftables.commit(batch));
}

fn table([inner, outer]: [u32; 2]) -> Batch {
    let mut batch = Batch::of_ip();
    batch.add_lasting_table(TABLE);
    batch.add_forward_chain(TABLE, CHAIN, PRIORITY);
    for ((set, octets), id) in SETS.into_iter().zip(KEYS).zip(1..) {
        batch.add_set(TABLE, set, octets, id);
    }
    for (set, version) in SETS.into_iter().zip([Family::Ipv4, Family::Ipv6]) {
        for outward in [true, false] {
            let (from, to) = if outward {
                (inner, outer)
            } else {
                (outer, inner)
            };
            let rule = Rule::new()
                .equals(Meta::Version, &[number(version)])
                .equals(Meta::IncomingInterface, &from.to_ne_bytes())
                .equals(Meta::OutgoingInterface, &to.to_ne_bytes())
                .equals(Meta::L4Protocol, &[TCP])
                .among(set, &fields(version, outward))
                .drop();
            batch.add_rule(TABLE, CHAIN, &rule);
        }
    }
    batch
}

fn fill(nftables: &mut Nftables, keys: &[Vec<Vec<u8>>; 2]) -> io::Result<()> {
    for (set, keys) in SETS.into_iter().zip(keys) {
        for keys in keys.chunks(AT_ONCE) {
            let mut batch = Batch::of_ip();
            batch.fill_set(TABLE, set, keys);
            nftables.commit(batch)?;
        }
    }
    Ok(())
}

/// What netfilter calls a version of IP (`NFPROTO_*`).
const fn number(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    }
}

/// Where in a packet the parts of a key are.
fn fields(family: Family, outward: bool) -> [(Base, u32, u32); 4] {
    let (source, destination, length) = match family {
        Family::Ipv4 => (12, 16, 4),
        Family::Ipv6 => (8, 24, 16),
    };
    let from = [(Base::Network, source, length), (Base::Transport, 0, 2)];
    let to = [
        (Base::Network, destination, length),
        (Base::Transport, 2, 2),
    ];
    let [inner, outer] = if outward { [from, to] } else { [to, from] };
    [inner[0], inner[1], outer[0], outer[1]]
}

fn key(flow: &FlowKey) -> Vec<u8> {
    let mut key = Vec::new();
    for (address, port) in [
        (flow.inner(), flow.inner_port()),
        (flow.outer(), flow.outer_port()),
    ] {
        match address {
            IpAddr::V4(address) => key.extend(address.octets()),
            IpAddr::V6(address) => key.extend(address.octets()),
        }
        key.extend(port.to_be_bytes());
        key.extend([0; 2]);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_long_as_their_sets_say() {
        let flow = |inner: &str, outer: &str| {
            FlowKey::new(
                inner.parse().unwrap(),
                0x0102,
                outer.parse().unwrap(),
                0x0304,
                0,
            )
        };
        let v4 = key(&flow("192.0.2.1", "198.51.100.2"));
        assert_eq!(v4, [192, 0, 2, 1, 1, 2, 0, 0, 198, 51, 100, 2, 3, 4, 0, 0]);
        let v6 = key(&flow("2001:db8::1", "2001:db8::2"));
        assert_eq!([v4.len(), v6.len()], KEYS.map(|octets| octets as usize));
        for (family, octets) in [Family::Ipv4, Family::Ipv6].into_iter().zip(KEYS) {
            for outward in [true, false] {
                let fields = fields(family, outward);
                let sum: u32 = fields.iter().map(|field| field.2.next_multiple_of(4)).sum();
                assert_eq!(sum, octets);
            }
        }
    }
}
