//! Where a run sits: between two interfaces, between a port and its bridge, or between this machine and an
//! interface.

use std::path::Path;

use localack_core::Port;
use localack_tun::config::Settings;
use localack_tun::device::{self, End};
use localack_tun::gateway::{self, Layer};
use localack_tun::steer::{
    self, Cut, CutPlan, Host, HostPlan, InterfaceName, Leftovers, Lower, Plan, Rest, Steering,
};
use tun_rs::SyncDevice;

use super::args::SteeringArgs;
use crate::cli::Failure;

/// A place.
#[derive(Debug)]
pub(super) enum Place {
    /// Where packets are forwarded.
    Forwarding(Plan),
    /// Where a port is, on that side of the engine, in its bridge.
    Bridge(CutPlan, Port),
    /// Where this machine's own packets go out and come in, with what is below IP there.
    Host(HostPlan, Lower),
}

/// A place that is taken, until it is removed or dropped.
pub(super) enum Taken {
    Forwarding(Steering),
    Bridge(Cut),
    /// With the device that nothing is read from.
    Host(Host, SyncDevice),
}

/// What stays of a place until the engine has ended.
pub(super) struct Remainder {
    _host: Option<(Rest, SyncDevice)>,
}

fn name(name: &str) -> Result<InterfaceName, Failure> {
    name.parse()
        .map_err(|error| Failure::usage(format!("{name}: {error}")))
}

fn interface(side: &str, interface: &Option<String>) -> Result<InterfaceName, Failure> {
    let interface = interface.as_deref().ok_or_else(|| {
        Failure::usage(format!(
            "no {side} interface: name it with --{side} IF, or in the file with `interface` in [{side}]"
        ))
    })?;
    name(interface)
}

impl Place {
    /// The place that the settings and the command line name.
    pub(super) fn of(settings: &Settings, given: &SteeringArgs) -> Result<Self, Failure> {
        let devices = [given.inner_device.clone(), given.outer_device.clone()];
        if settings.engine.state.is_some() && (settings.port.is_some() || settings.host) {
            return Err(Failure::usage(
                "`state` in [engine] is for packets that are forwarded: neither a port of a bridge nor this \
                 machine's own connections outlive a gateway",
            ));
        }
        if let Some((side, port)) = &settings.port {
            if given.set_forwarding || given.ipv4_only || given.ipv6_only {
                return Err(Failure::usage(
                    "--set-forwarding, --ipv4-only and --ipv6-only are for packets that are forwarded: a \
                     port of a bridge carries frames",
                ));
            }
            let [inner, outer] = devices;
            let (near, far) = match side {
                Port::Inner => (inner, outer),
                Port::Outer => (outer, inner),
            };
            let plan = CutPlan::new(name(port)?, near, far, given.bridge_device.clone());
            return Ok(Self::Bridge(plan, *side));
        }
        if settings.host {
            return Self::of_host(settings, given);
        }
        let [inner_device, outer_device] = devices;
        let mut plan = Plan::new(
            interface("inner", &settings.inner)?,
            interface("outer", &settings.outer)?,
            inner_device,
            outer_device,
        );
        plan.priority = given.rule_priority;
        plan.inner_table = given.inner_table;
        plan.outer_table = given.outer_table;
        plan.ipv4 = !given.ipv6_only;
        plan.ipv6 = !given.ipv4_only;
        plan.set_forwarding = given.set_forwarding;
        plan.kept_in.clone_from(&settings.engine.state);
        Ok(Self::Forwarding(plan))
    }

    /// The same where this machine is the inner side.
    fn of_host(settings: &Settings, given: &SteeringArgs) -> Result<Self, Failure> {
        if given.set_forwarding {
            return Err(Failure::usage(
                "--set-forwarding is for packets that are forwarded: this machine's own are not",
            ));
        }
        let mut plan = HostPlan::new(
            interface("outer", &settings.outer)?,
            given.inner_device.clone(),
            given.outer_device.clone(),
            given.return_device.clone(),
        );
        plan.ipv4 = !given.ipv6_only;
        plan.ipv6 = !given.ipv4_only;
        let (lower, _) = plan.look().map_err(Failure::runtime)?;
        Ok(Self::Host(plan, lower))
    }

    /// Undoes what a run that was killed has left.
    pub(super) fn cleanup(&self, state: &Path) -> Result<Leftovers, Failure> {
        match self {
            Self::Forwarding(..) => steer::cleanup(state),
            Self::Bridge(..) => Cut::cleanup(state),
            Self::Host(..) => Host::cleanup(state),
        }
        .map_err(Failure::runtime)
    }

    /// The largest IP packets that go out on either side, inner first, in octets.
    pub(super) fn mtu(&self) -> Result<[u16; 2], Failure> {
        let mtu = match self {
            Self::Forwarding(plan) => {
                steer::mtu(&plan.inner).and_then(|inner| Ok([inner, steer::mtu(&plan.outer)?]))
            }
            Self::Bridge(plan, _) => plan.mtu().map(|mtu| [mtu; 2]),
            Self::Host(plan, _) => plan.look().map(|(_, mtu)| [mtu; 2]),
        };
        mtu.map(|mtu| mtu.map(|mtu| u16::try_from(mtu).unwrap_or(u16::MAX)))
            .map_err(Failure::runtime)
    }

    /// What the devices carry.
    pub(super) const fn layer(&self) -> Layer {
        match self {
            Self::Forwarding(..) => Layer::Ip,
            Self::Bridge(..) | Self::Host(_, Lower::Ethernet) => Layer::Ethernet,
            Self::Host(_, Lower::Bare) => Layer::UnroutedIp,
        }
    }

    /// Opens both devices with all of their queues.
    pub(super) fn open_devices(&self, queues: u16) -> Result<Vec<[SyncDevice; 2]>, Failure> {
        let [inner, outer] = self.device_names();
        let (inner, outer) = (self.open(inner, queues)?, self.open(outer, queues)?);
        Ok(inner.into_iter().zip(outer).map(<[_; 2]>::from).collect())
    }

    fn open(&self, name: &InterfaceName, queues: u16) -> Result<Vec<SyncDevice>, Failure> {
        let end: End = name.as_str().parse().map_err(Failure::usage)?;
        match self {
            Self::Forwarding(plan) if plan.kept_in.is_none() => device::open_queues(&end, queues),
            Self::Forwarding(_) => device::open_lasting_queues(&end, queues),
            Self::Bridge(..) | Self::Host(_, Lower::Ethernet) => {
                device::open_tap_queues(&end, queues)
            }
            Self::Host(_, Lower::Bare) => device::open_tun_queues(&end, queues),
        }
        .map_err(Failure::runtime)
    }

    /// The devices, the inner side's first.
    const fn device_names(&self) -> [&InterfaceName; 2] {
        match self {
            Self::Forwarding(plan) => [&plan.inner_device, &plan.outer_device],
            Self::Bridge(plan, Port::Inner) => [&plan.near_device, &plan.far_device],
            Self::Bridge(plan, Port::Outer) => [&plan.far_device, &plan.near_device],
            Self::Host(plan, _) => [&plan.inner_device, &plan.outer_device],
        }
    }

    /// Has the kernel hand packets over.
    pub(super) fn take(&self, state: &Path) -> Result<Taken, Failure> {
        match self {
            Self::Forwarding(plan) if plan.kept_in.is_none() => {
                Steering::install(plan, state).map(Taken::Forwarding)
            }
            Self::Forwarding(plan) => Steering::resume(plan, state).map(Taken::Forwarding),
            Self::Bridge(plan, _) => Cut::install(plan, state).map(Taken::Bridge),
            Self::Host(plan, _) => {
                let mut back = self.open(&plan.return_device, 1)?;
                let Some(back) = back.pop() else {
                    return Err(Failure::runtime("a device without a queue"));
                };
                Host::install(plan, state).map(|host| Taken::Host(host, back))
            }
        }
        .map_err(Failure::runtime)
    }

    /// What is on either side, the inner one first.
    pub(super) fn sides(&self) -> [String; 2] {
        match self {
            Self::Forwarding(plan) => [plan.inner.to_string(), plan.outer.to_string()],
            Self::Bridge(plan, Port::Inner) => [plan.port.to_string(), "its bridge".to_owned()],
            Self::Bridge(plan, Port::Outer) => ["its bridge".to_owned(), plan.port.to_string()],
            Self::Host(plan, _) => ["this machine".to_owned(), plan.outer.to_string()],
        }
    }

    /// All devices of ours.
    pub(super) fn devices(&self) -> Vec<&str> {
        let mut names = self.device_names().map(InterfaceName::as_str).to_vec();
        match self {
            Self::Forwarding(..) => {}
            Self::Bridge(plan, _) => names.push(plan.cable.as_str()),
            Self::Host(plan, _) => names.push(plan.return_device.as_str()),
        }
        names
    }

    /// Lets everything but the connections of a dead gateway pass without it.
    pub(super) fn hold(&self, state: &Path) -> Result<usize, Failure> {
        let Self::Forwarding(plan) = self else {
            return Ok(0);
        };
        // Or another gateway that begins just now would lose its rules again.
        let orphans = gateway::served_in(state).map_err(Failure::runtime)?;
        steer::hold(plan, orphans.served()).map_err(Failure::runtime)?;
        Ok(orphans.served().len())
    }

    /// Removes the devices that do not vanish by themselves.
    pub(super) fn remove_devices(&self) -> Result<(), Failure> {
        if let Self::Forwarding(Plan {
            kept_in: Some(_), ..
        }) = self
        {
            for device in self.device_names() {
                steer::remove_device(device).map_err(Failure::runtime)?;
            }
        }
        Ok(())
    }

    /// How packets are steered, where that is by rules and routes.
    pub(super) const fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Forwarding(plan) => Some(plan),
            Self::Bridge(..) | Self::Host(..) => None,
        }
    }

    /// Which TCP it serves.
    pub(super) const fn what(&self) -> &'static str {
        match self {
            Self::Forwarding(..) => "forwarded",
            Self::Bridge(..) => "bridged",
            Self::Host(..) => "this machine's",
        }
    }
}

impl Taken {
    /// Settings of the kernel that are changed meanwhile: name, what it was and what it is.
    pub(super) fn settings(&self) -> Vec<[String; 3]> {
        match self {
            Self::Forwarding(steering) => steering.settings().collect(),
            Self::Bridge(_) | Self::Host(..) => Vec::new(),
        }
    }

    /// Makes everything as it was, but for what the last packets need.
    pub(super) fn remove(self) -> Result<Remainder, Failure> {
        let host = match self {
            Self::Forwarding(steering) => steering.remove().map(|()| None),
            Self::Bridge(cut) => cut.remove().map(|()| None),
            Self::Host(host, back) => host.remove().map(|rest| Some((rest, back))),
        };
        let host = host.map_err(Failure::runtime)?;
        Ok(Remainder { _host: host })
    }

    /// Leaves it as it is, for another process to take over.
    pub(super) fn leave(self) {
        if let Self::Forwarding(steering) = self {
            steering.leave();
        }
    }

    /// What connections go on by after that.
    pub(super) const fn without(&self) -> &'static str {
        match self {
            Self::Forwarding(_) => "by plain forwarding",
            Self::Bridge(_) => "through the bridge",
            Self::Host(..) => "without the engine",
        }
    }
}
