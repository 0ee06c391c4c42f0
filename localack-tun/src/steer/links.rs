//! Interfaces: what they are, setting them up and down, and the address of the TUN devices.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeSet;
use std::io;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::error::SteerError;
use super::name::InterfaceName;
use super::netlink::Netlink;

/// The address of both TUN devices: RFC 7600's dummy, which no host has and nobody routes.
///
/// A device without an address passes the reverse-path filter only where strict filtering would
/// pass too, even when the filter is set to loose.
const DUMMY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// One interface as it was when asked for.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) mtu: u32,
    pub(super) up: bool,
    loopback: bool,
    tun: bool,
    pub(super) master: Option<u32>,
}

impl Link {
    pub(super) fn of(message: &LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            mtu: 0,
            up: message.header.flags.contains(LinkFlags::Up),
            loopback: message.header.flags.contains(LinkFlags::Loopback),
            tun: false,
            master: None,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Controller(master) => link.master = Some(*master),
                LinkAttribute::LinkInfo(infos) => {
                    link.tun = infos.contains(&LinkInfo::Kind(InfoKind::Tun));
                }
                _ => {}
            }
        }
        link
    }

    /// The interface `name`, which packets are to be steered from.
    pub(super) fn source(netlink: &mut Netlink, name: &InterfaceName) -> Result<Self, SteerError> {
        let link = Self::named(netlink, name)?;
        if link.loopback {
            return Err(SteerError::Loopback(name.clone()));
        }
        if let Some(master) = link.master {
            return Err(SteerError::Port {
                port: name.clone(),
                master: name_of(netlink, master)?,
            });
        }
        if !link.up {
            return Err(SteerError::InterfaceDown(name.clone()));
        }
        Ok(link)
    }

    /// The TUN device `name`, which packets are to be steered to.
    pub(super) fn device(netlink: &mut Netlink, name: &InterfaceName) -> Result<Self, SteerError> {
        let link = Self::named(netlink, name)?;
        if !link.tun {
            return Err(SteerError::NotTun(name.clone()));
        }
        Ok(link)
    }

    fn named(netlink: &mut Netlink, name: &InterfaceName) -> Result<Self, SteerError> {
        ask(netlink, name).map(|message| Self::of(&message))
    }
}

/// All that the kernel says of the interface `name`.
pub(super) fn ask(netlink: &mut Netlink, name: &InterfaceName) -> Result<LinkMessage, SteerError> {
    let mut message = LinkMessage::default();
    let name_attribute = LinkAttribute::IfName(name.as_str().to_owned());
    message.attributes.push(name_attribute);
    let answers = netlink
        .request(RouteNetlinkMessage::GetLink(message), 0)
        .map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENODEV) => SteerError::NoInterface(name.clone()),
            _ => SteerError::kernel("looking up an interface", error),
        })?;
    answers
        .into_iter()
        .find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => Some(link),
            _ => None,
        })
        .ok_or_else(|| SteerError::NoInterface(name.clone()))
}

pub(super) fn name_of(netlink: &mut Netlink, index: u32) -> Result<String, SteerError> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    let answers = netlink
        .request(RouteNetlinkMessage::GetLink(message), 0)
        .map_err(|error| SteerError::kernel("looking up an interface", error))?;
    let attributes = answers.into_iter().find_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(link) => Some(link.attributes),
        _ => None,
    });
    let name = attributes
        .into_iter()
        .flatten()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        });
    Ok(name.unwrap_or_else(|| format!("interface {index}")))
}

/// The interfaces that have an IPv4 address.
pub(super) fn addressed(netlink: &mut Netlink) -> Result<Vec<String>, SteerError> {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    let answers = netlink
        .dump(&RouteNetlinkMessage::GetAddress(message))
        .map_err(|error| SteerError::kernel("listing addresses", error))?;
    let indices: BTreeSet<u32> = answers
        .iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(address) => Some(address.header.index),
            _ => None,
        })
        .collect();
    indices
        .into_iter()
        .map(|index| name_of(netlink, index))
        .collect()
}

/// Sees that this process may change interfaces, by a request that changes nothing.
pub(super) fn check_permitted(netlink: &mut Netlink, index: u32) -> Result<(), SteerError> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    netlink
        .request(RouteNetlinkMessage::SetLink(message), 0)
        .map_err(|error| SteerError::kernel("changing a TUN device", error))?;
    Ok(())
}

/// Sets an interface up or down.
pub(super) fn set_up(netlink: &mut Netlink, index: u32, up: bool) -> Result<(), SteerError> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.change_mask = LinkFlags::Up;
    if up {
        message.header.flags = LinkFlags::Up;
    }
    netlink
        .request(RouteNetlinkMessage::SetLink(message), 0)
        .map_err(|error| SteerError::kernel("setting a TUN device up", error))?;
    Ok(())
}

/// Gives a TUN device its [`DUMMY`] address.
pub(super) fn add_address(netlink: &mut Netlink, index: u32) -> Result<(), SteerError> {
    let message = RouteNetlinkMessage::NewAddress(address(index));
    match netlink.request(message, NLM_F_CREATE | NLM_F_EXCL) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(SteerError::kernel("addressing a TUN device", error))
        }
        _ => Ok(()),
    }
}

/// Removes a TUN device, if it is there.
pub(super) fn remove_device(netlink: &mut Netlink, name: &InterfaceName) -> Result<(), SteerError> {
    let index = match Link::device(netlink, name) {
        Ok(link) => link.index,
        Err(SteerError::NoInterface(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut message = LinkMessage::default();
    message.header.index = index;
    netlink
        .request(RouteNetlinkMessage::DelLink(message), 0)
        .map_err(|error| SteerError::kernel("removing a TUN device", error))?;
    Ok(())
}

/// Takes that address away again, if the device is still there and has it.
pub(super) fn remove_address(
    netlink: &mut Netlink,
    name: &InterfaceName,
) -> Result<(), SteerError> {
    let index = match Link::device(netlink, name) {
        Ok(link) => link.index,
        Err(SteerError::NoInterface(_) | SteerError::NotTun(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let removed = netlink.request(RouteNetlinkMessage::DelAddress(address(index)), 0);
    match removed.map_err(|error| (error.raw_os_error().map(Errno::from_raw), error)) {
        Ok(_) | Err((Some(Errno::EADDRNOTAVAIL | Errno::ENODEV), _)) => Ok(()),
        Err((_, error)) => Err(SteerError::kernel("removing an address", error)),
    }
}

fn address(index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = 32;
    // Of link scope, so that it is never chosen as the source of what the gateway itself sends.
    message.header.scope = AddressScope::Link;
    message.header.index = index;
    let dummy = IpAddr::V4(DUMMY);
    message.attributes.push(AddressAttribute::Local(dummy));
    message.attributes.push(AddressAttribute::Address(dummy));
    message
}
