//! What names a path: the network that a receiver is in, and how the box reaches it.

use core::net::IpAddr;

use crate::flow::FlowKey;
use crate::hash;
use crate::policy::{Direction, Port};

/// The name of a path: the receiver's IPv4 /24 or IPv6 /64, the port of the box that it is reached
/// through, and the caller's link.
///
/// Plain old data, as it lies in a [`PathSlot`](super::PathSlot); all zeroes names no path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct PathKey {
    /// The prefix, its first octet the most significant; zero behind it.
    prefix: [u32; 2],
    link: u32,
    /// IP version: 4 or 6.
    version: u8,
    port: u8,
    reserved: u16,
}

impl PathKey {
    /// No path.
    pub(super) const NONE: Self = Self {
        prefix: [0; 2],
        link: 0,
        version: 0,
        port: 0,
        reserved: 0,
    };

    /// The path to `receiver`, which is reached through `port` and `link`.
    pub(crate) fn new(receiver: IpAddr, port: Port, link: u32) -> Self {
        let (version, prefix) = match receiver {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                (4, [u32::from_be_bytes([a, b, c, 0]), 0])
            }
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                let (high, low) = ([a, b, c, d], [e, f, g, h]);
                (6, [u32::from_be_bytes(high), u32::from_be_bytes(low)])
            }
        };
        Self {
            prefix,
            link,
            version,
            port: match port {
                Port::Inner => 0,
                Port::Outer => 1,
            },
            reserved: 0,
        }
    }

    /// The path to the receiver of a direction's data.
    pub(crate) fn to_receiver(key: &FlowKey, direction: Direction) -> Self {
        let port = direction.source().other();
        let receiver = match port {
            Port::Inner => key.inner(),
            Port::Outer => key.outer(),
        };
        Self::new(receiver, port, key.link())
    }

    /// The port that the receivers are reached through.
    pub(crate) const fn port(&self) -> Port {
        if self.port == 0 {
            Port::Inner
        } else {
            Port::Outer
        }
    }

    /// Whether this names no path.
    pub(super) const fn is_none(&self) -> bool {
        self.version == 0
    }

    /// The hash of the key under a secret: whoever does not know it cannot choose networks that collide.
    pub(super) fn hash(&self, secret: [u64; 2]) -> u32 {
        let [high, low] = self.prefix;
        let prefix = u64::from(high) << 32 | u64::from(low);
        let way = u64::from(self.version) << 8 | u64::from(self.port);
        hash::keyed(secret, [[prefix, way << 32 | u64::from(self.link)]])
    }

    /// One of [`WATCHES`] marks, without a secret and far cheaper than the hash: equal keys have
    /// equal marks.
    pub(super) fn watch(&self) -> usize {
        let [high, low] = self.prefix;
        let wide = u64::from(high) << 32 | u64::from(low);
        let salt = u64::from(self.link) << 8 | u64::from(self.port);
        // Multiplication by an odd number near 2^64 over the golden ratio spreads consecutive
        // prefixes over the top bits.
        let mixed = (wide ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        usize::try_from(mixed >> WATCH_SHIFT).unwrap_or(0)
    }
}

/// Values of [`PathKey::watch`].
pub(super) const WATCHES: usize = 32;
const WATCH_SHIFT: u32 = 64 - WATCHES.ilog2();

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const KEY: [u64; 2] = [7, 9];

    fn outer(address: &str) -> PathKey {
        PathKey::new(address.parse().unwrap(), Port::Outer, 0)
    }

    #[test]
    fn h12_5_a_path_is_a_prefix() {
        assert_eq!(outer("192.0.2.1"), outer("192.0.2.254"));
        assert_ne!(outer("192.0.2.1"), outer("192.0.3.1"));
        assert_eq!(outer("2001:db8:1:2::1"), outer("2001:db8:1:2:ffff::"));
        assert_ne!(outer("2001:db8:1:2::1"), outer("2001:db8:1:3::1"));
        assert_ne!(outer("0.0.0.0"), outer("::"), "the versions differ");
        assert!(!outer("0.0.0.0").is_none() && PathKey::NONE.is_none());
    }

    #[test]
    fn port_and_link_are_part_of_the_name() {
        let address = "192.0.2.1".parse().unwrap();
        let keys = [
            PathKey::new(address, Port::Outer, 0),
            PathKey::new(address, Port::Inner, 0),
            PathKey::new(address, Port::Outer, 1),
        ];
        let hashes: HashSet<_> = keys.iter().map(|key| key.hash(KEY)).collect();
        assert_eq!(hashes.len(), 3);
        assert_eq!(
            keys.map(|key| key.port()),
            [Port::Outer, Port::Inner, Port::Outer]
        );
    }

    proptest! {
        #[test]
        fn every_mark_exists(octets: [u8; 16], v6: bool, link: u32) {
            let [a, b, c, d, ..] = octets;
            let address = if v6 { IpAddr::from(octets) } else { IpAddr::from([a, b, c, d]) };
            prop_assert!(PathKey::new(address, Port::Inner, link).watch() < WATCHES);
        }
    }

    #[test]
    fn neighbouring_networks_have_different_marks() {
        let marks: HashSet<_> = (0..=255_u8)
            .map(|third| PathKey::new([10, 1, third, 9].into(), Port::Outer, 0).watch())
            .collect();
        assert!(marks.len() > WATCHES / 2, "{marks:?}");
    }
}
