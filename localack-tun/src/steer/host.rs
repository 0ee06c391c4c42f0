//! Handing over the machine's own TCP that goes by an interface.
//!
//! ```text
//!   this machine ──► OUTER, egress: TCP ──► inner device ─┐     ┌─ outer device ◄── TCP: OUTER, ingress ◄── wire
//!                                                         engine
//!   this machine ◄── OUTER, ingress ◄── return device ◄───┘     └──► OUTER, egress ──► wire
//! ```
//!
//! Chains of nf_tables at the interface itself take what the machine sends just before it is queued there,
//! and what has come in before any protocol sees it. So the engine sits between the interface and all the
//! rest of the machine: routing, the choice of addresses, filters, connection tracking and sockets see the
//! same packets at the same interface as ever, each once. What the engine makes for the machine comes in *at
//! the interface*: it is sent out by a third device, whose traffic control turns everything back to there
//! (`mirred`), since nf_tables can send packets out but not in. A mark tells the engine's packets from
//! others at the interface, where it is taken off; nothing behind it ever sees that.
//!
//! Taken is the TCP between an address of this machine's and others, and the ICMP errors about TCP that are
//! for it; addresses may come and go. Connections of others that this machine forwards under its own address
//! (masquerading) count as its own. What is forwarded otherwise, other protocols, other interfaces, VLANs on
//! the interface, and packets that have come out of IPsec are not touched.
//!
//! - **Nothing is stolen by a dead engine, and nothing stays.** The table belongs to the socket that has made
//!   it (`NFT_TABLE_F_OWNER`), the devices to the process. When that ends, however it ends, the kernel
//!   removes both, and connections go on without the engine. A state file is all that a crash leaves.
//! - **Nothing is changed** but for what is added: no route, rule, address, or setting of the kernel.
//! - Hop limits are as without the engine, for nothing is forwarded.
//!
//! # Why not otherwise
//!
//! - *Rules and routes*, as [`Steering`](super::Steering) has them. A route to our device is looked up before
//!   a socket has a source address, so it would have to choose one as the others do, and follow them; IPv6
//!   keeps the route of that first look. What comes in for the machine would have to be forwarded to our
//!   device: with the rule of the local table moved behind ours, `tcp_early_demux` off, and forwarding on, which
//!   makes an IPv6 host forget the default route that it has learned, and IPv4 forward for strangers.
//! - *nf_tables marks with `type route`*: chooses addresses right; all of the above for what comes in.
//! - *Traffic control at the interface*: takes the same packets as here. But a redirection whose device has
//!   gone drops everything, so that a crash would cut the machine's TCP off until somebody cleans up,
//!   perhaps over that same interface.
//! - *A bridge of our own with the interface in it*: the machine's addresses and routes would have to move.
//!
//! # Limits
//!
//! - The kernel needs nf_tables with hooks at interfaces for both ways (Linux 5.16), and `clsact`, `u32` and
//!   `mirred` of traffic control; the interface Ethernet below, or nothing (TUN, `WireGuard`).
//! - Marks, priorities and socket options of a packet (`SO_MARK`, `SO_PRIORITY`) end at the engine: queueing
//!   disciplines of the interface that go by them see packets without. Those that go by DSCP see it.
//! - Traffic control for what comes in at the interface meets packets twice, from the wire and from the engine,
//!   and so does a capture there.
//! - An interface that goes away is not followed when it comes back.

mod hooks;

use std::io;
use std::path::Path;

use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use nix::errno::Errno;

use self::hooks::Places;
use super::error::SteerError;
use super::links::{self, Link};
use super::name::InterfaceName;
use super::netlink::Netlink;
use super::nftables::Nftables;
use super::port::change;
use super::state::{State, StateFile};
use super::{Leftovers, open, sysctl, undo};

/// What is below IP on an interface, and so what our devices have to carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lower {
    /// Frames of Ethernet: the devices are TAP devices.
    Ethernet,
    /// Nothing: they are TUN devices.
    Bare,
}

/// Whose packets are to be handed over, and to which devices.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostPlan {
    /// The interface towards the long path.
    pub outer: InterfaceName,
    /// The device that gets what this machine sends there.
    pub inner_device: InterfaceName,
    /// The device that gets what comes from there.
    pub outer_device: InterfaceName,
    /// The device by which this machine gets what the engine makes for it; nothing is to be read there.
    pub return_device: InterfaceName,
    /// Whether IPv4 is handed over.
    pub ipv4: bool,
    /// Whether IPv6 is handed over.
    pub ipv6: bool,
}

impl HostPlan {
    /// A plan for both IP versions.
    #[must_use]
    pub const fn new(
        outer: InterfaceName,
        inner_device: InterfaceName,
        outer_device: InterfaceName,
        return_device: InterfaceName,
    ) -> Self {
        Self {
            outer,
            inner_device,
            outer_device,
            return_device,
            ipv4: true,
            ipv6: true,
        }
    }

    const fn devices(&self) -> [&InterfaceName; 3] {
        [&self.inner_device, &self.outer_device, &self.return_device]
    }

    fn check(&self) -> Result<(), SteerError> {
        let [inner, outer, back] = self.devices();
        let mut names = [&self.outer, inner, outer, back];
        names.sort_unstable();
        for (name, next) in names.iter().zip(names.iter().skip(1)) {
            if name == next {
                return Err(SteerError::SameInterface((*name).clone()));
            }
        }
        Ok(())
    }

    /// Looks at the interface, and whether its packets can be handed over.
    fn find(&self, netlink: &mut Netlink) -> Result<(Link, Lower), SteerError> {
        let link = Link::source(netlink, &self.outer)?;
        let message = links::ask(netlink, &self.outer)?;
        let lower = match message.header.link_layer_type {
            LinkLayerType::Ether => Lower::Ethernet,
            LinkLayerType::None => Lower::Bare,
            other => {
                return Err(SteerError::Lower {
                    interface: self.outer.clone(),
                    kind: other.to_string(),
                });
            }
        };
        Ok((link, lower))
    }

    /// What is below IP on the interface, and the largest IP packet that it takes, in octets.
    ///
    /// # Errors
    /// [`SteerError`] if there is no such interface, or its packets cannot be handed over.
    pub fn look(&self) -> Result<(Lower, u32), SteerError> {
        self.check()?;
        self.find(&mut open()?)
            .map(|(link, lower)| (lower, link.mtu))
    }

    /// The name of our table, of which there is one for an interface.
    fn table(&self) -> String {
        format!("localack-{}", self.outer)
    }
}

/// A machine whose packets are handed over until this is removed or dropped.
#[derive(Debug)]
pub struct Host {
    /// None once nothing is handed over.
    state: Option<StateFile>,
    /// Our table, once there is one.
    table: Option<String>,
    /// The table ends with it.
    nftables: Nftables,
}

impl Host {
    /// Puts `plan` into force in the network namespace of the calling thread: all of it or, on an error,
    /// nothing. The devices exist already, and are down.
    ///
    /// # Errors
    /// See [`SteerError`].
    pub fn install(plan: &HostPlan, state_file: &Path) -> Result<Self, SteerError> {
        plan.check()?;
        let mut netlink = open()?;
        let (link, lower) = plan.find(&mut netlink)?;
        let mut indices = [0; 3];
        for (index, device) in indices.iter_mut().zip(plan.devices()) {
            *index = Link::device(&mut netlink, device)?.index;
            links::check_permitted(&mut netlink, *index)?;
        }
        let [inner, outer, back] = indices;
        let devices = [&plan.inner_device, &plan.outer_device];
        let mut state = State::new(devices, Vec::new())?;
        state.host = Some(plan.outer.to_string());
        let nftables = Nftables::open();
        let nftables =
            nftables.map_err(|error| SteerError::hooks("opening a netfilter socket", error))?;
        let mut host = Self {
            state: Some(StateFile::create(state_file, state)?),
            table: None,
            nftables,
        };
        let places = Places {
            table: &plan.table(),
            lower,
            versions: [plan.ipv4, plan.ipv6],
            interface: (plan.outer.as_str(), link.index),
            inner: (plan.inner_device.as_str(), inner),
            outer: (plan.outer_device.as_str(), outer),
            back,
        };
        match host.apply(&mut netlink, plan, &places, link.mtu) {
            Ok(()) => Ok(host),
            Err(cause) => match host.remove() {
                Ok(_) => Err(cause),
                Err(undo) => Err(SteerError::Undo {
                    cause: Box::new(cause),
                    undo: Box::new(undo),
                }),
            },
        }
    }

    /// The chains come last, and all at once.
    fn apply(
        &mut self,
        netlink: &mut Netlink,
        plan: &HostPlan,
        places: &Places<'_>,
        mtu: u32,
    ) -> Result<(), SteerError> {
        let indices = [places.inner.1, places.outer.1, places.back];
        for (device, index) in plan.devices().into_iter().zip(indices) {
            set_up(netlink, device, index, mtu)?;
        }
        hooks::turn_back(netlink, places.back, places.interface.1)
            .map_err(|error| SteerError::hooks("redirecting packets", error))?;
        places
            .install(&mut self.nftables)
            .map_err(|error| refused(&plan.outer, error))?;
        self.table = Some(places.table.to_owned());
        Ok(())
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

    /// Hands over nothing more. What the engine still has goes its way until the rest is dropped.
    ///
    /// # Errors
    /// What could not be undone; it ends with this process at the latest.
    pub fn remove(mut self) -> Result<Rest, SteerError> {
        self.undo()?;
        Ok(Rest(self))
    }

    fn undo(&mut self) -> Result<(), SteerError> {
        let Some(file) = self.state.take() else {
            return Ok(());
        };
        file.check_namespace()?;
        if let Some(table) = &self.table {
            match hooks::release(&mut self.nftables, table) {
                // The interface has gone and has taken them along.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(SteerError::hooks("removing hooks", error)),
                Ok(()) => {}
            }
        }
        file.remove()
    }
}

/// Undoes what it can; errors have nowhere to go. Prefer [`Host::remove`].
impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.undo();
    }
}

/// The ways from the engine to the interface and to the machine, until it is dropped.
#[derive(Debug)]
pub struct Rest(#[expect(dead_code, reason = "it is there to be dropped")] Host);

/// Sets a device up that nobody but us sends to.
fn set_up(
    netlink: &mut Netlink,
    device: &InterfaceName,
    index: u32,
    mtu: u32,
) -> Result<(), SteerError> {
    sysctl::keep_ipv6_off(device)?;
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Noarp;
    message.header.change_mask = LinkFlags::Noarp;
    message.attributes.push(LinkAttribute::Mtu(mtu));
    change(netlink, message, "setting a device up")?;
    links::set_up(netlink, index, true)
}

/// Why our chains were refused.
fn refused(interface: &InterfaceName, error: io::Error) -> SteerError {
    match error.raw_os_error().map(Errno::from_raw) {
        // Changing interfaces was permitted, so it is the table that may not be touched.
        Some(Errno::EEXIST | Errno::EPERM) => SteerError::HostTaken(interface.clone()),
        _ => SteerError::hooks("hooking into an interface", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_must_differ() {
        let name = |text: &str| text.parse::<InterfaceName>().unwrap();
        let plan = |back| HostPlan::new(name("eth0"), name("a"), name("b"), name(back));
        assert!(plan("c").check().is_ok());
        for back in ["a", "b", "eth0"] {
            let refusal = plan(back).check();
            assert!(
                matches!(refusal, Err(SteerError::SameInterface(same)) if same == name(back)),
                "{back}"
            );
        }
    }

    #[test]
    fn a_kernel_that_lacks_something_and_an_interface_that_is_taken_are_told_apart() {
        let refused = |errno: Errno| refused(&"eth0".parse().unwrap(), errno.into());
        for taken in [Errno::EEXIST, Errno::EPERM] {
            assert!(refused(taken).to_string().starts_with("eth0: another run"));
        }
        assert!(
            refused(Errno::EOPNOTSUPP)
                .to_string()
                .contains("Linux 5.16")
        );
        assert!(matches!(refused(Errno::ENOMEM), SteerError::Kernel(..)));
    }
}
