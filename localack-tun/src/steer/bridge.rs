//! Taking a port from its bridge and putting the engine between the two.
//!
//! ```text
//!   guest ──► PORT                                             other ports
//!               │                                                   │
//!             cable ── near device ── engine ── far device ── its BRIDGE
//! ```
//!
//! Two TAP devices belong to the engine. The far one takes the place of the port in its bridge: it has
//! the port's address, MTU and settings, so that to the bridge nothing has changed, its own address
//! included. The near one is joined to the port by a small bridge of our own, which learns nothing,
//! filters nothing, has no address that anybody sends to, and takes no part in ARP, in IPv6 or in the
//! spanning tree: a piece of cable. Neither routes nor rules nor anything in the guest is changed.
//!
//! The port may be a guest's, which is then the inner side, or the bridge's way out into the world, which
//! is then the outer side, and all that are on the bridge are served, this machine too.
//!
//! - **A dead engine cuts the guest off**, unlike one that packets are routed to: its devices vanish, and
//!   the port stays behind alone until [`cleanup`](super::cleanup). The state file knows where it belongs.
//! - Frames to the groups that a bridge keeps to itself (LLDP, LACP, 802.1X) cross ours. Whether the
//!   bridge passes them on is decided there, as before.
//!
//! # Limits
//!
//! - A bridge that filters VLANs is refused: the VLANs of a port would be lost.
//! - In a bridge with the spanning tree switched on, a port that is new, as ours and the one that comes
//!   back are, forwards nothing for the time of `forward_delay`.
//! - Rules of a packet filter that name the port in its bridge (`physdev`, or tables of the family
//!   `bridge`) meet the far device in its place, and the port in our bridge. Where bridges call the filters
//!   of IP (`bridge-nf-call-iptables`, as Docker has it) packets meet those in both bridges.
//! - A port that goes away, as those of guests do that are shut down, is not followed when it comes back.

use std::path::Path;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::error::SteerError;
use super::links::{self, Link};
use super::name::InterfaceName;
use super::netlink::Netlink;
use super::port::{self, Port, PortSetting, change, set_attributes, set_master, set_port};
use super::state::{State, StateFile};
use super::{Leftovers, open, sysctl, undo};

/// Groups that a port of ours lets through (01-80-C2-00-00-0x, a bit each): all but those of PAUSE
/// frames, which the kernel takes out before.
const GROUPS: u16 = 0xfffd;

/// Which port is to be taken from its bridge, and the names of what comes between.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutPlan {
    /// The port: a TAP device of a virtual machine, one end of a veth pair, a network card.
    pub port: InterfaceName,
    /// The TAP device on the side of the port.
    pub near_device: InterfaceName,
    /// The TAP device that is in the bridge instead of the port.
    pub far_device: InterfaceName,
    /// The bridge of ours that joins the port and the near device.
    pub cable: InterfaceName,
}

/// What was found out about the port before it is taken.
#[derive(Debug)]
struct Found {
    link: Link,
    address: Vec<u8>,
    bridge: String,
    bridge_index: u32,
    settings: Vec<PortSetting>,
}

impl CutPlan {
    /// A plan.
    #[must_use]
    pub const fn new(
        port: InterfaceName,
        near_device: InterfaceName,
        far_device: InterfaceName,
        cable: InterfaceName,
    ) -> Self {
        Self {
            port,
            near_device,
            far_device,
            cable,
        }
    }

    fn check(&self) -> Result<(), SteerError> {
        let mut names = [&self.port, &self.near_device, &self.far_device, &self.cable];
        names.sort_unstable();
        for (name, next) in names.iter().zip(names.iter().skip(1)) {
            if name == next {
                return Err(SteerError::SameInterface((*name).clone()));
            }
        }
        Ok(())
    }

    /// Looks at the port, and whether it can be taken.
    fn find(&self, netlink: &mut Netlink) -> Result<Found, SteerError> {
        let message = links::ask(netlink, &self.port)?;
        let link = Link::of(&message);
        let settings = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::LinkInfo(infos) => port::settings_in(infos),
                _ => None,
            });
        let (Some(bridge_index), Some(settings)) = (link.master, settings) else {
            return Err(SteerError::NoPort(self.port.clone()));
        };
        if !link.up {
            return Err(SteerError::InterfaceDown(self.port.clone()));
        }
        let bridge = links::name_of(netlink, bridge_index)?;
        if let Ok(name) = bridge.parse::<InterfaceName>()
            && filters_vlans(&links::ask(netlink, &name)?)
        {
            return Err(SteerError::FiltersVlans(bridge));
        }
        Ok(Found {
            address: address_in(&message),
            link,
            bridge,
            bridge_index,
            settings,
        })
    }

    /// The largest IP packet that the port takes, in octets.
    ///
    /// # Errors
    /// [`SteerError`] if there is no such port, or it cannot be taken.
    pub fn mtu(&self) -> Result<u32, SteerError> {
        self.check()?;
        self.find(&mut open()?).map(|found| found.link.mtu)
    }
}

fn filters_vlans(bridge: &LinkMessage) -> bool {
    bridge.attributes.iter().any(|attribute| {
        let LinkAttribute::LinkInfo(infos) = attribute else {
            return false;
        };
        infos.iter().any(|info| match info {
            LinkInfo::Data(InfoData::Bridge(all)) => all.contains(&InfoBridge::VlanFiltering(true)),
            _ => false,
        })
    })
}

/// A port that is away from its bridge until this is removed or dropped.
#[derive(Debug)]
pub struct Cut {
    /// None once everything is as it was.
    state: Option<StateFile>,
}

impl Cut {
    /// Puts `plan` into force in the network namespace of the calling thread: all of it or, on an error,
    /// nothing. The TAP devices exist already, and are down.
    ///
    /// # Errors
    /// See [`SteerError`].
    pub fn install(plan: &CutPlan, state_file: &Path) -> Result<Self, SteerError> {
        plan.check()?;
        let mut netlink = open()?;
        let found = plan.find(&mut netlink)?;
        let near = Link::device(&mut netlink, &plan.near_device)?;
        let far = Link::device(&mut netlink, &plan.far_device)?;
        links::check_permitted(&mut netlink, near.index)?;
        match links::ask(&mut netlink, &plan.cable) {
            Err(SteerError::NoInterface(_)) => {}
            Ok(_) => return Err(SteerError::BridgeTaken(plan.cable.clone())),
            Err(error) => return Err(error),
        }
        let mut state = State::new([&plan.near_device, &plan.far_device], Vec::new())?;
        state.port = Some(Port {
            name: plan.port.to_string(),
            bridge: found.bridge.clone(),
            cable: plan.cable.to_string(),
            settings: found.settings.clone(),
        });
        let cut = Self {
            state: Some(StateFile::create(state_file, state)?),
        };
        match apply(&mut netlink, plan, &found, [near.index, far.index]) {
            Ok(()) => Ok(cut),
            Err(cause) => match cut.remove() {
                Ok(()) => Err(cause),
                Err(undo) => Err(SteerError::Undo {
                    cause: Box::new(cause),
                    undo: Box::new(undo),
                }),
            },
        }
    }

    /// Undoes what an ended run has left that `state_file` knows of, and nothing else.
    ///
    /// # Errors
    /// As of [`cleanup`](super::cleanup).
    pub fn cleanup(state_file: &Path) -> Result<Leftovers, SteerError> {
        match StateFile::take_over(state_file)? {
            None => Ok(Leftovers::default()),
            file => undo(file),
        }
    }

    /// Makes everything as it was, in the network namespace it was installed in.
    ///
    /// # Errors
    /// What could not be undone; the state file then stays for [`cleanup`](super::cleanup).
    pub fn remove(mut self) -> Result<(), SteerError> {
        self.undo()
    }

    fn undo(&mut self) -> Result<(), SteerError> {
        let Some(file) = self.state.take() else {
            return Ok(());
        };
        file.check_namespace()?;
        undo(Some(file)).map(drop)
    }
}

/// Undoes what it can; errors have nowhere to go. Prefer [`Cut::remove`].
impl Drop for Cut {
    fn drop(&mut self) {
        let _ = self.undo();
    }
}

/// The port changes its bridge last, and in one step: until then nothing has happened to it, and from
/// then on everything is there. Never are there two ways between the bridges.
fn apply(
    netlink: &mut Netlink,
    plan: &CutPlan,
    found: &Found,
    [near, far]: [u32; 2],
) -> Result<(), SteerError> {
    let own = address_in(&links::ask(netlink, &plan.near_device)?);
    let cable = lay(netlink, &plan.cable, own)?;
    for (device, index, master) in [
        (&plan.near_device, near, cable),
        (&plan.far_device, far, found.bridge_index),
    ] {
        sysctl::keep_ipv6_off(device)?;
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::Mtu(found.link.mtu));
        if index == far {
            let address = found.address.clone();
            message.attributes.push(LinkAttribute::Address(address));
        }
        change(netlink, message, "setting a TAP device up")?;
        set_master(netlink, index, master)?;
        links::set_up(netlink, index, true)?;
    }
    set_port(netlink, far, &found.settings)?;
    set_cable(netlink, near)?;
    links::set_up(netlink, cable, true)?;
    set_master(netlink, found.link.index, cable)?;
    forget_address(netlink, found)?;
    set_cable(netlink, found.link.index)
}

/// Has our bridge pass on what is addressed to the port itself, which may be the address of the other
/// bridge as well, rather than keep it.
fn forget_address(netlink: &mut Netlink, found: &Found) -> Result<(), SteerError> {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = found.link.index;
    message.header.flags = NeighbourFlags::Controller;
    let address = NeighbourAttribute::LinkLayerAddress(found.address.clone());
    message.attributes.push(address);
    netlink
        .request(RouteNetlinkMessage::DelNeighbour(message), 0)
        .map(drop)
        .map_err(|error| SteerError::kernel("setting up a bridge", error))
}

fn address_in(link: &LinkMessage) -> Vec<u8> {
    let address = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Address(octets) => Some(octets.clone()),
            _ => None,
        });
    address.unwrap_or_default()
}

/// Makes our bridge; its index. Its `address` is one that nobody sends to, and stays.
fn lay(netlink: &mut Netlink, name: &InterfaceName, address: Vec<u8>) -> Result<u32, SteerError> {
    let failed = |error: std::io::Error| match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EEXIST) => SteerError::BridgeTaken(name.clone()),
        _ => SteerError::kernel("making a bridge", error),
    };
    let mut message = LinkMessage::default();
    // It answers nobody's questions for addresses of this machine.
    message.header.flags = LinkFlags::Noarp;
    message.header.change_mask = LinkFlags::Noarp;
    message.attributes.extend([
        LinkAttribute::IfName(name.to_string()),
        LinkAttribute::Address(address),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::MulticastSnooping(false)])),
        ]),
    ]);
    let message = RouteNetlinkMessage::NewLink(message);
    netlink
        .request(message, NLM_F_CREATE | NLM_F_EXCL)
        .map_err(failed)?;
    sysctl::keep_ipv6_off(name)?;
    links::ask(netlink, name).map(|message| message.header.index)
}

/// Makes a port of our bridge pass everything, wherever it came from.
fn set_cable(netlink: &mut Netlink, port: u32) -> Result<(), SteerError> {
    let attributes = vec![
        InfoBridgePort::Learning(false),
        InfoBridgePort::GroupFwdMask(GROUPS),
    ];
    set_attributes(netlink, port, attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_must_differ() {
        let name = |text: &str| text.parse::<InterfaceName>().unwrap();
        let plan = |cable| CutPlan::new(name("v0"), name("a"), name("b"), name(cable));
        assert!(plan("c").check().is_ok());
        for twice in ["v0", "a", "b"] {
            let refused = plan(twice).check();
            assert!(
                matches!(refused, Err(SteerError::SameInterface(_))),
                "{twice}"
            );
        }
    }
}
