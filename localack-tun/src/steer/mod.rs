//! Making the kernel hand over the TCP that it forwards between two interfaces, and undoing it.
//!
//! Two TUN devices belong to the engine. Rules send the TCP and the ICMP that arrive on the inner
//! and on the outer interface to them; what the engine writes into a device counts as received
//! there, and the kernel forwards it by its main table. Traffic to the gateway itself is matched
//! by the local table before our rules, and traffic of other protocols does not match them.
//!
//! ```text
//!            rule: iif INNER, TCP or ICMP          rule: iif OUTER, TCP or ICMP
//!   client ──► INNER ──► inner device ─┐     ┌─ outer device ◄── OUTER ◄── server
//!                                      engine
//!   client ◄── INNER ◄── inner device ◄┘     └► outer device ──► OUTER ──► server
//!                          main table                 main table
//! ```
//!
//! - **Nothing is stolen by a dead engine.** A TUN device vanishes with the process that holds it,
//!   and its routes with it; our rules then find an empty table, and the kernel goes on to the
//!   main one. What stays until [`cleanup`] are idle rules.
//! - **Nobody else's settings are changed** unless [`Plan::set_forwarding`] asks for it. The
//!   reverse-path filter of the devices is loose where the system filters at all, and the devices
//!   have an address (192.0.0.8, RFC 7600) because the kernel treats loose as strict without one.
//! - **Longer packets than the far side takes are refused before they are acknowledged**: each
//!   route has the MTU of the interface on the far side. A path MTU that changes later is the
//!   engine's to learn.
//! - Rules cannot tell ICMP errors from echoes, so echoes pass through the engine as well.
//! - Every packet is forwarded twice, so TTL and hop limit sink by two; the engine adds one.
//!
//! Not needed, as tests show: `accept_local` (the engine never writes packets from the gateway's
//! own addresses), `src_valid_mark` (no marks), `disable_policy` (no IPsec policies), and
//! `ip_early_demux` off (it looks for the gateway's own connections only).
//!
//! Asked of others: no third interface may filter by strict reverse path (the two named ones may).
//! The kernel would ask for the way back by our rules, and drop what goes from there to ours.
//!
//! # Limits
//!
//! - Routing policies by incoming interface and packet marks set for INNER do not hold for what
//!   comes back from the devices, for that comes in on the outer or inner device.
//! - Connection tracking meets each packet twice. Where the gateway translates addresses on OUTER,
//!   the second meeting finds the connection known and translates nothing, unless the inner side
//!   is tracked in a zone of its own:
//!   `iifname { INNER, lak-in } fib daddr type != local meta l4proto { tcp, icmp, ipv6-icmp } ct
//!   zone set 108` in an nftables chain with priority `raw`. Take that rule away with the engine:
//!   without the detour it breaks the translation.
//! - Errors that the gateway itself answers what comes from a device with (no route, no neighbour,
//!   a smaller path MTU that the main table knows) go to the host, not to the engine.
//! - What the engine sends to the inner side may leave by OUTER and come back there, if INNER goes down, its networks
//!   are then reached by a default route by OUTER, and the router there sends them back. The engine knows its own
//!   acknowledgements by their hops and timestamps, and drops them (`came-back`). Where a connection has no
//!   timestamps they look like the receiver's, and let go of octets that nobody has: routes of the kind
//!   `unreachable` with a high metric, one for each inner network, keep packets from such a loop.
//! - There can be one steering in a network namespace.

mod bridge;
mod error;
mod hold;
mod host;
mod links;
mod name;
pub(crate) mod netlink;
mod nftables;
mod port;
mod resume;
mod rules;
mod state;
mod sysctl;

use core::fmt;
use core::ops::RangeInclusive;
use std::path::{Path, PathBuf};

pub use self::bridge::{Cut, CutPlan};
pub use self::error::SteerError;
pub use self::hold::hold;
pub use self::host::{Host, HostPlan, Lower, Rest};
use self::links::Link;
pub use self::name::{InterfaceName, NameError};
use self::netlink::Netlink;
pub use self::resume::remove_device;
use self::rules::Detour;
use self::state::{State, StateFile};

/// The routing protocol number that our rules and routes carry, and are found again by.
pub const PROTOCOL: u8 = 108;

/// Rule priorities behind the local table (0) and before the main one (32766).
pub const PRIORITIES: RangeInclusive<u32> = 1..=32_765;

/// Tables with a meaning of their own: none, default, main, local.
const RESERVED_TABLES: [u32; 4] = [0, 253, 254, 255];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// Its directory below `/proc/sys/net`.
    fn directory(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// What is to be steered where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The interface towards the hosts whose data are acknowledged early.
    pub inner: InterfaceName,
    /// The interface towards the long path.
    pub outer: InterfaceName,
    /// The TUN device that gets what arrives on `inner`.
    pub inner_device: InterfaceName,
    /// The TUN device that gets what arrives on `outer`.
    pub outer_device: InterfaceName,
    /// The priority of our rules, one of [`PRIORITIES`].
    pub priority: u32,
    /// The routing table for what arrives on `inner`.
    pub inner_table: u32,
    /// The routing table for what arrives on `outer`.
    pub outer_table: u32,
    /// Whether IPv4 is steered.
    pub ipv4: bool,
    /// Whether IPv6 is steered, where the kernel has it.
    pub ipv6: bool,
    /// Switches forwarding on where it is off, rather than refuse.
    ///
    /// For IPv6 that makes a router of the machine: it forgets default routes that it has learnt
    /// from router advertisements, and accepts no more of them on interfaces with `accept_ra` 1.
    pub set_forwarding: bool,
    /// The file that keeps the connections if the steering is to outlive its process: [`cleanup`] undoes nothing
    /// as long as there are any in it.
    pub kept_in: Option<PathBuf>,
}

impl Plan {
    /// A plan for both IP versions with priority 10800 and tables 10801 and 10802.
    #[must_use]
    pub fn new(
        inner: InterfaceName,
        outer: InterfaceName,
        inner_device: InterfaceName,
        outer_device: InterfaceName,
    ) -> Self {
        Self {
            inner,
            outer,
            inner_device,
            outer_device,
            priority: 10_800,
            inner_table: 10_801,
            outer_table: 10_802,
            ipv4: true,
            ipv6: true,
            set_forwarding: false,
            kept_in: None,
        }
    }

    fn steers(&self, family: Family) -> bool {
        let wanted = match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        };
        wanted && sysctl::available(family)
    }

    fn families(&self) -> impl Iterator<Item = Family> {
        Family::ALL
            .into_iter()
            .filter(|family| self.steers(*family))
    }

    /// Looks for what is wrong whatever the kernel says.
    fn check(&self) -> Result<(), SteerError> {
        let Self {
            inner,
            outer,
            inner_device,
            outer_device,
            ..
        } = self;
        let mut names = [inner, outer, inner_device, outer_device];
        names.sort_unstable();
        for (name, next) in names.iter().zip(names.iter().skip(1)) {
            if name == next {
                return Err(SteerError::SameInterface((*name).clone()));
            }
        }
        if !PRIORITIES.contains(&self.priority) {
            return Err(SteerError::Priority(self.priority));
        }
        let tables = [self.inner_table, self.outer_table];
        let reserved = tables.iter().any(|table| RESERVED_TABLES.contains(table));
        if reserved || self.inner_table == self.outer_table {
            return Err(SteerError::Tables(self.inner_table, self.outer_table));
        }
        Ok(())
    }
}

/// What a run has left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Leftovers {
    /// Rules that carry our protocol number.
    pub rules: usize,
    /// Routes that carry our protocol number.
    pub routes: usize,
    /// Settings of the kernel that a state file lists.
    pub settings: usize,
    /// Ports that a state file lists as taken from their bridges.
    pub ports: usize,
    /// Whether there is a state file.
    pub state_file: bool,
}

impl Leftovers {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rules,
            routes,
            settings,
            ports,
            state_file,
        } = self;
        if *ports > 0 {
            return write!(f, "{ports} ports out of their bridges and a state file");
        }
        if *rules == 0 && *routes == 0 && *settings == 0 && *state_file {
            return f.write_str("a state file");
        }
        write!(f, "{rules} rules, {routes} routes and ")?;
        match state_file {
            true => write!(f, "a state file with {settings} settings"),
            false => f.write_str("no state file"),
        }
    }
}

/// Steering that is in force until it is removed or dropped.
#[derive(Debug)]
pub struct Steering {
    /// None once everything is as it was.
    state: Option<StateFile>,
}

impl Steering {
    /// Puts `plan` into force in the network namespace of the calling thread: all of it or, on an
    /// error, nothing.
    ///
    /// The TUN devices exist already; they are set down and up again, which takes away addresses
    /// they have. What has to be put back later is written to `state_file` first. Settings of the
    /// TUN devices need not be put back should the devices have gone.
    ///
    /// # Errors
    ///
    /// See [`SteerError`]; [`SteerError::LeftBehind`] asks for a [`cleanup`] first.
    pub fn install(plan: &Plan, state_file: &Path) -> Result<Self, SteerError> {
        let mut netlink = open()?;
        let detours = survey(&mut netlink, plan)?;
        let left = leftovers(state_file)?;
        if !left.is_empty() {
            return Err(SteerError::LeftBehind(left));
        }
        for family in plan.families() {
            let tables = [plan.inner_table, plan.outer_table];
            rules::check_clashes(&mut netlink, family, plan.priority, tables)?;
        }
        if plan.steers(Family::Ipv4) {
            sysctl::check_filters(plan, &links::addressed(&mut netlink)?)?;
        }
        let settings = sysctl::changes(plan)?;
        let mut state = State::new([&plan.inner_device, &plan.outer_device], settings)?;
        state.kept_in.clone_from(&plan.kept_in);
        let mut steering = Self {
            state: Some(StateFile::create(state_file, state)?),
        };
        match steering.apply(&mut netlink, plan, &detours) {
            Ok(()) => Ok(steering),
            Err(cause) => match steering.undo_with(undo_steering) {
                Ok(()) => Err(cause),
                Err(undo) => Err(SteerError::Undo {
                    cause: Box::new(cause),
                    undo: Box::new(undo),
                }),
            },
        }
    }

    /// The settings of the kernel that are changed as long as this holds: the name of each as `sysctl`
    /// has it, what it was before and what it is.
    pub fn settings(&self) -> impl Iterator<Item = [String; 3]> + '_ {
        let settings = self.state.iter().flat_map(|file| &file.state().settings);
        settings.map(sysctl::Setting::told)
    }

    /// The rules come last: no packet takes the detour before all of it is there.
    fn apply(
        &self,
        netlink: &mut Netlink,
        plan: &Plan,
        detours: &[Detour<'_>; 2],
    ) -> Result<(), SteerError> {
        if let Some(file) = &self.state {
            sysctl::apply(&file.state().settings)?;
        }
        for detour in detours {
            // Down first: an IPv6 address that the kernel has made up goes only so.
            links::set_up(netlink, detour.device, false)?;
            links::set_up(netlink, detour.device, true)?;
            if plan.steers(Family::Ipv4) {
                links::add_address(netlink, detour.device)?;
            }
            for family in plan.families() {
                rules::add_route(netlink, family, detour)?;
            }
        }
        for family in plan.families() {
            for detour in detours {
                rules::add_rules(netlink, family, plan.priority, detour)?;
            }
        }
        Ok(())
    }

    /// Makes everything as it was, in the network namespace it was installed in.
    ///
    /// # Errors
    ///
    /// The first thing that could not be undone; everything else is undone even so, and the state
    /// file stays for [`cleanup`].
    pub fn remove(mut self) -> Result<(), SteerError> {
        self.undo()
    }

    fn undo(&mut self) -> Result<(), SteerError> {
        self.undo_with(undo)
    }

    fn undo_with(
        &mut self,
        undo: impl FnOnce(Option<StateFile>) -> Result<Leftovers, SteerError>,
    ) -> Result<(), SteerError> {
        let Some(file) = self.state.take() else {
            return Ok(());
        };
        file.check_namespace()?;
        undo(Some(file)).map(drop)
    }
}

/// Undoes what it can; errors have nowhere to go. Prefer [`Steering::remove`].
impl Drop for Steering {
    fn drop(&mut self) {
        let _ = self.undo();
    }
}

/// What a run that has ended without cleaning up has left in the network namespace of the calling
/// thread and in `state_file`.
///
/// # Errors
///
/// [`SteerError::Running`] while the process that wrote the state file lives.
pub fn leftovers(state_file: &Path) -> Result<Leftovers, SteerError> {
    let file = StateFile::take_over(state_file)?;
    let mut netlink = open()?;
    let mut left = Leftovers {
        settings: file.as_ref().map_or(0, |file| file.state().settings.len()),
        ports: file
            .iter()
            .filter_map(|file| file.state().port.as_ref())
            .count(),
        state_file: file.is_some(),
        ..Leftovers::default()
    };
    for family in Family::ALL
        .into_iter()
        .filter(|family| sysctl::available(*family))
    {
        left.rules += rules::our_rules(&mut netlink, family)?.len();
        left.routes += rules::our_routes(&mut netlink, family)?.len();
    }
    Ok(left)
}

/// Removes [`leftovers`], and returns what it found and undid.
///
/// # Errors
///
/// As of [`leftovers`] and [`Steering::remove`], and [`SteerError::Kept`].
pub fn cleanup(state_file: &Path) -> Result<Leftovers, SteerError> {
    let file = StateFile::take_over(state_file)?;
    let kept_in = file.as_ref().and_then(|file| file.state().kept_in.clone());
    if let Some(kept_in) = kept_in.filter(|kept_in| kept_in.exists()) {
        return Err(SteerError::Kept(kept_in));
    }
    let devices: Vec<_> = file
        .iter()
        .flat_map(|file| file.state().devices())
        .collect();
    let undone = undo(file)?;
    for device in &devices {
        // Most have vanished with their process.
        resume::remove_device(device)?;
    }
    Ok(undone)
}

/// Undoes everything that can be undone, whatever fails; the state file goes when nothing has.
fn undo(file: Option<StateFile>) -> Result<Leftovers, SteerError> {
    hold::release();
    undo_steering(file)
}

/// The same, but connections that are held back stay so.
fn undo_steering(file: Option<StateFile>) -> Result<Leftovers, SteerError> {
    let mut netlink = open()?;
    if let Some(port) = file.as_ref().and_then(|file| file.state().port.as_ref()) {
        // Whoever takes a port makes no rules, and there may be others' whose owners live.
        port.give_back(&mut netlink)?;
        let undone = Leftovers {
            ports: 1,
            state_file: true,
            ..Leftovers::default()
        };
        return file.map_or(Ok(()), StateFile::remove).map(|()| undone);
    }
    let mut undone = Leftovers {
        state_file: file.is_some(),
        ..Leftovers::default()
    };
    if file
        .as_ref()
        .is_some_and(|file| file.state().host.is_some())
    {
        // The kernel has undone the rest; rules and settings would be others'.
        return file.map_or(Ok(()), StateFile::remove).map(|()| undone);
    }
    let mut outcome = Ok(());
    let mut note = |result: Result<(), SteerError>| {
        if outcome.is_ok() {
            outcome = result;
        }
    };
    for family in Family::ALL
        .into_iter()
        .filter(|family| sysctl::available(*family))
    {
        note(rules::remove(&mut netlink, family).map(|(rules, routes)| {
            undone.rules += rules;
            undone.routes += routes;
        }));
    }
    if let Some(file) = &file {
        for device in file.state().devices() {
            note(links::remove_address(&mut netlink, &device));
        }
        note(sysctl::restore(&file.state().settings).map(|settings| undone.settings = settings));
    }
    outcome?;
    if let Some(file) = file {
        file.remove()?;
    }
    Ok(undone)
}

/// The MTU of an interface that packets can be steered from, in octets.
///
/// # Errors
///
/// [`SteerError`] if it does not exist or forwards nothing.
pub fn mtu(interface: &InterfaceName) -> Result<u32, SteerError> {
    Link::source(&mut open()?, interface).map(|link| link.mtu)
}

/// Looks at the interfaces and devices of a plan, and says which way packets are to take by them.
fn survey<'p>(netlink: &mut Netlink, plan: &'p Plan) -> Result<[Detour<'p>; 2], SteerError> {
    plan.check()?;
    let inner = Link::source(netlink, &plan.inner)?;
    let outer = Link::source(netlink, &plan.outer)?;
    let inner_device = Link::device(netlink, &plan.inner_device)?;
    let outer_device = Link::device(netlink, &plan.outer_device)?;
    let needed = inner.mtu.max(outer.mtu);
    for (name, link) in [
        (&plan.inner_device, &inner_device),
        (&plan.outer_device, &outer_device),
    ] {
        if link.mtu < needed {
            return Err(SteerError::SmallDevice {
                device: name.clone(),
                mtu: link.mtu,
                needed,
            });
        }
        links::check_permitted(netlink, link.index)?;
    }
    Ok([
        Detour {
            interface: &plan.inner,
            table: plan.inner_table,
            device: inner_device.index,
            mtu: outer.mtu,
        },
        Detour {
            interface: &plan.outer,
            table: plan.outer_table,
            device: outer_device.index,
            mtu: inner.mtu,
        },
    ])
}

fn open() -> Result<Netlink, SteerError> {
    Netlink::open().map_err(|error| SteerError::kernel("opening a netlink socket", error))
}
