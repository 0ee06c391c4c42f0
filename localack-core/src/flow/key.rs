//! What names a flow, and the keyed hash that finds it.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::hash;
use crate::seq::low_half;

/// The name of a TCP connection as the box sees it.
///
/// The two ends are told apart by the port of the box that they are reached through, not by who
/// opened the connection, so packets of both directions give the same key. An IPv4 address and
/// the IPv6 address that maps it are different ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FlowKey {
    inner: IpAddr,
    inner_port: u16,
    outer: IpAddr,
    outer_port: u16,
    link: u32,
}

impl FlowKey {
    /// The key of the connection between `inner` and `outer` over `link`.
    #[must_use]
    pub const fn new(
        inner: IpAddr,
        inner_port: u16,
        outer: IpAddr,
        outer_port: u16,
        link: u32,
    ) -> Self {
        Self {
            inner,
            inner_port,
            outer,
            outer_port,
            link,
        }
    }

    /// Address of the end behind the inner port of the box.
    #[must_use]
    pub const fn inner(&self) -> IpAddr {
        self.inner
    }

    /// TCP port of the end behind the inner port of the box.
    #[must_use]
    pub const fn inner_port(&self) -> u16 {
        self.inner_port
    }

    /// Address of the end behind the outer port of the box.
    #[must_use]
    pub const fn outer(&self) -> IpAddr {
        self.outer
    }

    /// TCP port of the end behind the outer port of the box.
    #[must_use]
    pub const fn outer_port(&self) -> u16 {
        self.outer_port
    }

    /// The caller's link identifier (rule H9.5).
    #[must_use]
    pub const fn link(&self) -> u32 {
        self.link
    }

    /// The hash of the key under a secret; never zero.
    ///
    /// Whoever does not know it cannot choose connections that collide.
    #[must_use]
    pub(crate) fn hash(&self, secret: [u64; 2]) -> u32 {
        let ports = u64::from(self.inner_port) << 48 | u64::from(self.outer_port) << 32;
        let rest = ports | u64::from(self.link);
        let hash = if let (IpAddr::V4(inner), IpAddr::V4(outer)) = (self.inner, self.outer) {
            let hosts = u64::from(inner.to_bits()) << 32 | u64::from(outer.to_bits());
            hash::keyed(secret, [[hosts, rest]])
        } else {
            let (inner, outer) = (halves(self.inner), halves(self.outer));
            // Which of them is an IPv4 address.
            let versions = u64::from(self.inner.is_ipv4()) | u64::from(self.outer.is_ipv4()) << 1;
            hash::keyed(secret, [inner, outer, [rest, versions]])
        };
        hash.max(1)
    }
}

/// The two halves of an address.
const fn halves(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(v4) => [0, v4.to_bits() as u64],
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = v6.octets();
            [
                u64::from_be_bytes([a, b, c, d, e, f, g, h]),
                u64::from_be_bytes([i, j, k, l, m, n, o, p]),
            ]
        }
    }
}

impl fmt::Display for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = SocketAddr::new(self.inner, self.inner_port);
        let outer = SocketAddr::new(self.outer, self.outer_port);
        write!(f, "{inner} <-> {outer}")?;
        if self.link != 0 {
            write!(f, " link {}", self.link)?;
        }
        Ok(())
    }
}

/// A [`FlowKey`] as it lies in a flow slot: plain old data, all zeroes while there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct PackedKey {
    inner: [u8; 16],
    outer: [u8; 16],
    inner_port: u16,
    outer_port: u16,
    /// The two halves of the link, so that there is no padding.
    link: [u16; 2],
    /// IP version of the inner and of the outer address.
    versions: [u8; 2],
}

impl PackedKey {
    /// No key.
    pub(crate) const EMPTY: Self = Self {
        inner: [0; 16],
        outer: [0; 16],
        inner_port: 0,
        outer_port: 0,
        link: [0; 2],
        versions: [0; 2],
    };

    /// Whether this is `key`, packed.
    pub(crate) fn is(&self, key: &FlowKey) -> bool {
        let [low, high] = self.link;
        let [inner_version, outer_version] = self.versions;
        self.inner_port == key.inner_port
            && self.outer_port == key.outer_port
            && [low, high] == [low_half(key.link), low_half(key.link >> 16)]
            && is_address(inner_version, &self.inner, key.inner)
            && is_address(outer_version, &self.outer, key.outer)
    }

    /// The key that was packed, or `None` if this is none.
    pub(crate) fn unpack(&self) -> Option<FlowKey> {
        let [inner_version, outer_version] = self.versions;
        let [low, high] = self.link;
        Some(FlowKey {
            inner: unpack_address(inner_version, self.inner)?,
            inner_port: self.inner_port,
            outer: unpack_address(outer_version, self.outer)?,
            outer_port: self.outer_port,
            link: u32::from(high) << 16 | u32::from(low),
        })
    }
}

impl From<&FlowKey> for PackedKey {
    fn from(key: &FlowKey) -> Self {
        let (inner_version, inner) = pack_address(key.inner);
        let (outer_version, outer) = pack_address(key.outer);
        Self {
            inner,
            outer,
            inner_port: key.inner_port,
            outer_port: key.outer_port,
            link: [low_half(key.link), low_half(key.link >> 16)],
            versions: [inner_version, outer_version],
        }
    }
}

/// IP version and octets, left-aligned and padded with zeroes.
const fn pack_address(address: IpAddr) -> (u8, [u8; 16]) {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            (4, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        }
        IpAddr::V6(v6) => (6, v6.octets()),
    }
}

/// Whether `packed` is `address`; what is behind an IPv4 address is zero.
fn is_address(version: u8, packed: &[u8; 16], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => version == 4 && packed.first_chunk() == Some(&v4.octets()),
        IpAddr::V6(v6) => version == 6 && *packed == v6.octets(),
    }
}

fn unpack_address(version: u8, octets: [u8; 16]) -> Option<IpAddr> {
    let [a, b, c, d, ..] = octets;
    match version {
        4 => Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
        6 => Some(IpAddr::V6(Ipv6Addr::from(octets))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation)]

    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    const KEY: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

    fn v4(inner_port: u16) -> FlowKey {
        FlowKey::new(
            [10, 0, 0, 1].into(),
            inner_port,
            [192, 0, 2, 7].into(),
            443,
            0,
        )
    }

    #[test]
    fn a_key_reads_like_two_sockets() {
        assert_eq!(v4(80).to_string(), "10.0.0.1:80 <-> 192.0.2.7:443");
        let v6 = FlowKey::new(
            Ipv6Addr::LOCALHOST.into(),
            80,
            [192, 0, 2, 7].into(),
            443,
            9,
        );
        assert_eq!(v6.to_string(), "[::1]:80 <-> 192.0.2.7:443 link 9");
    }

    #[test]
    fn zeroed_memory_holds_no_key() {
        assert_eq!(PackedKey::EMPTY.unpack(), None);
        assert_eq!(size_of::<PackedKey>(), 42, "no padding");
    }

    #[test]
    fn a_mapped_address_is_another_end() {
        let plain = Ipv4Addr::new(192, 0, 2, 7);
        let key = |outer: IpAddr| FlowKey::new([10, 0, 0, 1].into(), 80, outer, 443, 0);
        let (a, b) = (key(plain.into()), key(plain.to_ipv6_mapped().into()));
        assert_ne!(PackedKey::from(&a), PackedKey::from(&b));
        assert_ne!(a.hash(KEY), b.hash(KEY));
    }

    #[test]
    fn every_field_and_the_secret_reach_the_hash() {
        let base = v4(80);
        let hash = base.hash(KEY);
        let others = [
            FlowKey {
                inner: [10, 0, 0, 2].into(),
                ..base
            },
            FlowKey {
                outer: [192, 0, 2, 8].into(),
                ..base
            },
            FlowKey {
                inner_port: 81,
                ..base
            },
            FlowKey {
                outer_port: 444,
                ..base
            },
            FlowKey { link: 1, ..base },
            FlowKey::new(base.outer, base.outer_port, base.inner, base.inner_port, 0),
        ];
        for other in others {
            assert_ne!(other.hash(KEY), hash, "{other}");
        }
        assert_ne!(base.hash([KEY[0] ^ 1, KEY[1]]), hash);
        assert_ne!(base.hash([KEY[0], KEY[1] ^ 1]), hash);
    }

    /// Rule H7.8: whoever chooses among the addresses of a network of its own chooses no collision.
    #[test]
    fn every_bit_of_an_ipv6_address_reaches_the_hash() {
        let at = |inner: u128, outer: u128| {
            let [inner, outer] = [inner, outer].map(|bits| Ipv6Addr::from_bits(bits).into());
            FlowKey::new(inner, 80, outer, 443, 0).hash(KEY)
        };
        let (inner, outer) = (0x2001_0db8 << 96 | 1, 0x2001_0db8 << 96 | 2);
        let hash = at(inner, outer);
        for bit in 0..128 {
            assert_ne!(at(inner ^ 1 << bit, outer), hash, "inner {bit}");
            assert_ne!(at(inner, outer ^ 1 << bit), hash, "outer {bit}");
        }
    }

    /// Which of two ends is an IPv4 address counts, even where the octets are the same.
    #[test]
    fn the_versions_reach_the_hash() {
        let four = IpAddr::from(Ipv4Addr::new(192, 0, 2, 7));
        let six = IpAddr::from(Ipv6Addr::from_bits(0xc000_0207));
        let at = |inner, outer| FlowKey::new(inner, 80, outer, 443, 0).hash(KEY);
        assert_ne!(at(four, six), at(six, four));
        assert_ne!(at(four, six), at(six, six));
        assert_ne!(at(six, four), at(six, six));
    }

    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(IpAddr::from)
        ]
    }

    proptest! {
        #[test]
        fn packing_loses_nothing(
            inner in address(), inner_port: u16, outer in address(), outer_port: u16, link: u32,
        ) {
            let key = FlowKey::new(inner, inner_port, outer, outer_port, link);
            let packed = PackedKey::from(&key);
            prop_assert_eq!(packed.unpack(), Some(key));
            prop_assert!(packed.is(&key) && !PackedKey::EMPTY.is(&key));
            for other in [
                FlowKey { inner: key.outer, outer: key.inner, ..key },
                FlowKey { inner_port: inner_port ^ 1, ..key },
                FlowKey { outer_port: outer_port ^ 0x8000, ..key },
                FlowKey { link: link ^ 1 << 16, ..key },
            ] {
                prop_assert_eq!(packed.is(&other), other == key);
            }
            prop_assert_ne!(key.hash(KEY), 0);
        }
    }
}
