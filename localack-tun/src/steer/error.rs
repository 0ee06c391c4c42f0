//! What can be wrong with steering, in an operator's words.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use super::name::InterfaceName;
use super::{Leftovers, PRIORITIES};

/// Why packets could not be steered, or the steering not be undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SteerError {
    /// The process may not change rules, routes or interfaces.
    #[error("changing rules and routes is not permitted; it needs CAP_NET_ADMIN (run as root)")]
    NotPermitted,
    /// Connections wait for a gateway that goes on with them.
    #[error(
        "{}: connections of a gateway that has died are kept here, and wait for another: start it again \
         (`run` with the same `state`) and stop it in good order, or remove the file; then they are lost, and \
         their ends not told", .0.display()
    )]
    Kept(PathBuf),
    /// There is no interface of that name in this network namespace.
    #[error("{0}: no such interface (see `ip link`)")]
    NoInterface(InterfaceName),
    /// The interface is set down.
    #[error("{0}: the interface is down; `ip link set {0} up` sets it up")]
    InterfaceDown(InterfaceName),
    /// One interface was named for two of the four roles.
    #[error("{0}: named twice; the interfaces and our devices must all differ")]
    SameInterface(InterfaceName),
    /// The loopback interface forwards nothing.
    #[error("{0}: is the loopback interface, which forwards nothing")]
    Loopback(InterfaceName),
    /// Packets of this interface count as received on another one.
    #[error("{port}: is a port of {master}; its packets count as received on {master}: name that")]
    Port {
        /// The interface that was named.
        port: InterfaceName,
        /// The bridge, bond or routing domain it belongs to.
        master: String,
    },
    /// An interface that is to be taken from its bridge has none.
    #[error("{0}: is no port of a bridge; `ip link set {0} master BRIDGE` makes it one")]
    NoPort(InterfaceName),
    /// The bridge gives VLANs to its ports, which would have to be given to ours and back again.
    #[error("{0}: filters VLANs (`vlan_filtering`), and a port of such a bridge cannot be served")]
    FiltersVlans(String),
    /// A bridge is to be made that exists.
    #[error("{0}: the name is taken; --bridge-device names the bridge that is made otherwise")]
    BridgeTaken(InterfaceName),
    /// What is below IP on an interface is neither Ethernet nor nothing.
    #[error("{interface}: its link layer ({kind}) is not known here; it must be Ethernet or none")]
    Lower {
        /// The interface.
        interface: InterfaceName,
        /// What the kernel calls it.
        kind: String,
    },
    /// The kernel lacks what hands over a machine's own packets.
    #[error(
        "this kernel cannot hand over the machine's own packets: {0}; it needs nf_tables with hooks at \
         interfaces for both ways (Linux 5.16), and clsact, u32 and mirred of traffic control"
    )]
    NoHooks(#[source] io::Error),
    /// Somebody hands over a machine's own packets at that interface.
    #[error("{0}: another run with --host is in force there")]
    HostTaken(InterfaceName),
    /// A device that the engine should read is no TUN device.
    #[error("{0}: is not a TUN device")]
    NotTun(InterfaceName),
    /// A TUN device would cut packets that the interfaces carry whole.
    #[error("{device}: its MTU of {mtu} octets is below the {needed} of the interfaces")]
    SmallDevice {
        /// The TUN device.
        device: InterfaceName,
        /// Its MTU, in octets.
        mtu: u32,
        /// The larger MTU of the two interfaces, in octets.
        needed: u32,
    },
    /// The rules would come before the local table or behind the main one.
    #[error(
        "rule priority {0}: must be {first} to {last}, behind the rule of the local table and before \
         that of the main table",
        first = PRIORITIES.start(),
        last = PRIORITIES.end()
    )]
    Priority(u32),
    /// The table numbers are equal, or the kernel's own.
    #[error("routing tables {0} and {1}: must differ and be none of 0, 253, 254, 255")]
    Tables(u32, u32),
    /// Somebody moved the rule of the local table behind the wanted priority.
    #[error(
        "rule priority {priority}: the local table is consulted at {local}; our rules must come \
         later, or they would take what is for the gateway itself"
    )]
    BeforeLocal {
        /// The priority asked for.
        priority: u32,
        /// That of the first rule that looks up the local table.
        local: u32,
    },
    /// Rules of somebody else have the priority, or look up our tables.
    #[error("a rule of somebody else is in the way; choose another {choose}: {rules}")]
    RuleClash {
        /// What should be chosen otherwise: the priority or the table.
        choose: &'static str,
        /// The rules, as `ip rule` prints them.
        rules: String,
    },
    /// The table has routes of somebody else.
    #[error("routing table {table} has {routes} routes of somebody else; choose another")]
    TableClash {
        /// The table.
        table: u32,
        /// How many routes are in it.
        routes: usize,
    },
    /// The kernel does not forward packets of this family from this interface.
    #[error("{family} forwarding is off on {interface}; `sysctl -w {sysctl}=1` switches it on")]
    ForwardingOff {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// The interface that would not forward.
        interface: String,
        /// What to set.
        sysctl: String,
    },
    /// A third interface checks where packets come from so strictly that it would drop TCP.
    ///
    /// The kernel asks for the way back as if the packet came in where this one goes out. For what
    /// goes from a third interface to ours, our rules answer that, with a TUN device.
    #[error(
        "{0}: its strict reverse-path filter would drop what goes from there to the inner or outer \
         interface; `sysctl -w net/ipv4/conf/{0}/rp_filter=2` makes it loose"
    )]
    StrictFilter(String),
    /// Another process steers already.
    #[error("steering is in force already, by process {pid}")]
    Running {
        /// The process that holds the state file.
        pid: u32,
    },
    /// An earlier process ended without cleaning up.
    #[error("an earlier run left {0} behind; clean up first")]
    LeftBehind(Leftovers),
    /// The state file is about another network namespace than the caller's.
    #[error("{0}: belongs to another network namespace")]
    OtherNamespace(PathBuf),
    /// The kernel took a rule but forgot part of it.
    #[error("the kernel does not know rules for one protocol (Linux 4.17 is the first that does)")]
    OldKernel,
    /// The state file could not be written, read or removed.
    #[error("{0}: {1}")]
    State(PathBuf, #[source] io::Error),
    /// The state file holds something else.
    #[error("{0}: is no state file of localack: {1}")]
    Meaning(PathBuf, String),
    /// A setting of the kernel could not be read or changed.
    #[error("{0}: {1}")]
    Sysctl(PathBuf, #[source] io::Error),
    /// The kernel refused a request.
    #[error("{0}: {1}")]
    Kernel(&'static str, #[source] io::Error),
    /// Something failed, and then so did undoing what had been done.
    #[error("{cause}; and undoing the rest failed: {undo}")]
    Undo {
        /// What failed first.
        cause: Box<Self>,
        /// What failed while undoing.
        undo: Box<Self>,
    },
}

impl SteerError {
    pub(super) fn kernel(what: &'static str, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            _ => Self::Kernel(what, error),
        }
    }

    /// The same where the kernel may lack what is asked for.
    pub(super) fn hooks(what: &'static str, error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(
                Errno::EOPNOTSUPP
                | Errno::ENOENT
                | Errno::EINVAL
                | Errno::EPROTONOSUPPORT
                | Errno::EAFNOSUPPORT,
            ) => Self::NoHooks(error),
            _ => Self::kernel(what, error),
        }
    }
}
