//! Network namespaces without a name, and interfaces, addresses and routes in them.
//!
//! A namespace without a name exists as long as somebody has it open: it goes with the process,
//! however that ends, and its interfaces go with it.

use core::net::Ipv4Addr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::sched::{CloneFlags, unshare};

use crate::netns;
use crate::steer::netlink::Netlink;

/// The addresses on each side of the gateway differ in their last octet.
const PREFIX: u8 = 24;

/// A network namespace that exists as long as this value, or a process inside it.
pub(super) struct Namespace {
    handle: File,
    netlink: Netlink,
}

impl Namespace {
    /// Makes one, without IPv6: what IPv6 sends by itself would be part of every measurement.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::PermissionDenied`] without `CAP_SYS_ADMIN`, or another error of the kernel's.
    pub(super) fn new() -> io::Result<Self> {
        let make = || -> io::Result<Self> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            for scope in ["all", "default"] {
                let path = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
                if Path::new(&path).exists() {
                    fs::write(path, "1")?;
                }
            }
            Ok(Self {
                handle: File::open("/proc/thread-self/ns/net")?,
                netlink: Netlink::open()?,
            })
        };
        // The new namespace is the thread's alone, and both end together.
        thread::scope(|scope| scope.spawn(make).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs `work` inside; sockets and devices that it opens, and processes that it starts, stay there.
    pub(super) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        netns::inside(&self.handle, work)
    }

    /// Sets a file below `/proc/sys/net`.
    pub(super) fn set(&self, path: &str, value: &str) -> io::Result<()> {
        self.within(|| fs::write(Path::new("/proc/sys/net").join(path), value))?
    }

    /// Reads a file below `/proc/thread-self/net`.
    pub(super) fn read(&self, path: &str) -> io::Result<String> {
        self.within(|| fs::read_to_string(Path::new("/proc/thread-self/net").join(path)))?
    }

    /// Joins `name` here and `peer` in another namespace by a pair of virtual Ethernet interfaces.
    pub(super) fn join(&mut self, name: &str, peer: &str, other: &Self) -> io::Result<()> {
        let mut far = LinkMessage::default();
        far.attributes = vec![
            LinkAttribute::IfName(peer.to_owned()),
            LinkAttribute::NetNsFd(other.handle.as_raw_fd()),
        ];
        let mut near = LinkMessage::default();
        near.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
            ]),
        ];
        let message = RouteNetlinkMessage::NewLink(near);
        self.netlink
            .request(message, NLM_F_CREATE | NLM_F_EXCL)
            .map(drop)
    }

    /// Sets an interface up, with an address.
    pub(super) fn set_up(&mut self, name: &str, address: Ipv4Addr) -> io::Result<()> {
        let index = self.index(name)?;
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.netlink
            .request(RouteNetlinkMessage::SetLink(link), 0)?;
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = PREFIX;
        message.header.index = index;
        message.attributes = vec![
            AddressAttribute::Local(address.into()),
            AddressAttribute::Address(address.into()),
        ];
        let message = RouteNetlinkMessage::NewAddress(message);
        self.netlink
            .request(message, NLM_F_CREATE | NLM_F_EXCL)
            .map(drop)
    }

    /// Sends everything that has no other way to `router`.
    pub(super) fn route_by(&mut self, router: Ipv4Addr) -> io::Result<()> {
        let mut route = RouteMessage::default();
        route.header.address_family = AddressFamily::Inet;
        route.header.table = RouteHeader::RT_TABLE_MAIN;
        route.header.protocol = RouteProtocol::Static;
        route.header.scope = RouteScope::Universe;
        route.header.kind = RouteType::Unicast;
        route.attributes = vec![RouteAttribute::Gateway(router.into())];
        let message = RouteNetlinkMessage::NewRoute(route);
        self.netlink
            .request(message, NLM_F_CREATE | NLM_F_EXCL)
            .map(drop)
    }

    fn index(&mut self, name: &str) -> io::Result<u32> {
        let mut message = LinkMessage::default();
        message
            .attributes
            .push(LinkAttribute::IfName(name.to_owned()));
        let answers = self
            .netlink
            .request(RouteNetlinkMessage::GetLink(message), 0)?;
        let index = answers.iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => Some(link.header.index),
            _ => None,
        });
        index.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
