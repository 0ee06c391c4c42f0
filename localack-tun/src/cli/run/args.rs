//! What `localack-tun run` is told.

use std::path::PathBuf;

use clap::Args;
use localack_core::Custody;
use localack_tun::config::{ControllerName, Flags, Rate, ServiceChoice, custody};
use localack_tun::gateway::Source;
use localack_tun::gateway::replica::Address;
use localack_tun::steer::InterfaceName;

use super::STATE_FILE;

/// Acknowledge TCP that passes this machine for the far end, until SIGTERM or SIGINT.
///
/// Creates two TUN devices and steers the TCP, and the ICMP, that this machine forwards between the
/// two interfaces through an engine: IPv4 and IPv6, and nothing else. Without more being said it
/// acknowledges data from the inner side, with the controller bbr, once the receiver has shown that it
/// is there; data from the outer side passes as it is.
///
/// With `--inner-port` or `--outer-port` it does that at layer 2 instead: it takes a port from its bridge,
/// such as the one of a virtual machine, and sits between the two. Nothing in the guest or in the routing
/// changes, and all frames but those of TCP pass as they are.
///
/// With `--host` the hosts that wait are this machine itself: its own TCP that goes by the outer interface
/// passes the engine, whether it forwards or not, and nothing of the routing changes.
///
/// SIGHUP reads the configuration file again; what it says of connections then holds for those under
/// way too. SIGTERM and SIGINT hand every connection back to its ends, for which they wait until what
/// was acknowledged is delivered (`drain_deadline` in the file, 30 s by default), and then undo
/// everything; the connections go on without the engine. A second one does not wait. After a crash the
/// next `run`, or `localack-tun cleanup`, undoes what is left.
#[derive(Debug, Args)]
pub(in crate::cli) struct Run {
    /// The interface on the side of the hosts that wait: the local network.
    #[arg(long, value_name = "IF")]
    pub(super) inner: Option<String>,

    /// The interface on the side of the long path.
    #[arg(long, value_name = "IF")]
    pub(super) outer: Option<String>,

    /// Instead of the two: a port of a bridge with the hosts that wait behind it, such as the tap device of
    /// a virtual machine.
    #[arg(long, value_name = "IF", conflicts_with_all = ["inner", "outer", "outer_port"])]
    pub(super) inner_port: Option<String>,

    /// Instead of the two: a port of a bridge that leads to the long path, such as a network card. All that
    /// are on the bridge are the inner side, this machine too.
    #[arg(long, value_name = "IF", conflicts_with_all = ["inner", "outer"])]
    pub(super) outer_port: Option<String>,

    /// Instead of an inner interface: accelerate this machine's own connections that go by the outer
    /// interface.
    #[arg(long, conflicts_with_all = ["inner", "inner_port", "outer_port"])]
    pub(super) host: bool,

    /// The configuration file (TOML); what is said here wins over it.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    #[command(flatten)]
    pub(super) serving: Serving,

    #[command(flatten)]
    pub(super) steering: SteeringArgs,

    /// Let a second gateway follow this one here, which goes on with all connections when this one is gone: an
    /// address and port on a network that only the two use, for everything goes over it in the clear, or the
    /// path of a Unix socket.
    #[arg(long, value_name = "ADDRESS", help_heading = "Standby")]
    pub(super) standby: Option<Address>,

    /// Do not wait for the standby's word before packets leave: it costs no time then, and what the standby does not
    /// know yet when this one dies is lost.
    #[arg(long, requires = "standby", help_heading = "Standby")]
    pub(super) unconfirmed: bool,

    /// Follow the gateway that waits for a standby there, and take its place when it is gone: it does not answer
    /// for a second. Nothing is steered before. The settings of connections must be alike; whatever leads
    /// packets to this machine instead is yours to change.
    #[arg(long, value_name = "ADDRESS", help_heading = "Standby")]
    pub(super) follow: Option<Address>,

    /// Wait for the death of the process that has started this one, and then for another gateway.
    #[arg(long = "watch", hide = true)]
    pub(super) watch: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Connections that no policy is for")]
pub(super) struct Serving {
    /// What is done with data from the inner side: local-ack, snoop or bypass [default: local-ack].
    #[arg(long, value_name = "SERVICE")]
    pub(super) service: Option<ServiceChoice>,

    /// What else is done with it: an [[arrangement]] of the file, or none.
    #[arg(long, value_name = "NAME", requires = "config")]
    pub(super) arrangement: Option<String>,

    /// Who decides how much of it may be in flight: reno, cubic, bbr or provisioned [default: bbr].
    #[arg(long, value_name = "CONTROLLER")]
    pub(super) controller: Option<ControllerName>,

    /// The rate that you vouch for, all connections together, for provisioned: 20mbit.
    #[arg(long, value_name = "RATE")]
    pub(super) rate: Option<Rate>,

    /// When the engine may acknowledge: after-proof or after-handshake [default: after-proof].
    #[arg(long, value_name = "WHEN", value_parser = custody)]
    pub(super) custody: Option<Custody>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Steering")]
pub(super) struct SteeringArgs {
    /// Switch forwarding on where it is off, and off again at the end.
    #[arg(long)]
    pub(super) set_forwarding: bool,

    /// Steer IPv4 alone.
    #[arg(long, conflicts_with = "ipv6_only")]
    pub(super) ipv4_only: bool,

    /// Steer IPv6 alone.
    #[arg(long)]
    pub(super) ipv6_only: bool,

    /// The TUN device that gets what arrives on the inner interface; with a port the TAP device on that
    /// side, with `--host` the device that gets what this machine sends.
    #[arg(long, value_name = "NAME", default_value = "lak-in")]
    pub(super) inner_device: InterfaceName,

    /// The same for the outer interface or side.
    #[arg(long, value_name = "NAME", default_value = "lak-out")]
    pub(super) outer_device: InterfaceName,

    /// The bridge that is made to join a port and a TAP device.
    #[arg(long, value_name = "NAME", default_value = "lak-br")]
    pub(super) bridge_device: InterfaceName,

    /// The device by which this machine gets packets of the engine's, with `--host`.
    #[arg(long, value_name = "NAME", default_value = "lak-back")]
    pub(super) return_device: InterfaceName,

    /// Priority of the routing rules.
    #[arg(long, value_name = "N", default_value_t = 10_800)]
    pub(super) rule_priority: u32,

    /// Routing table for what arrives on the inner interface.
    #[arg(long, value_name = "N", default_value_t = 10_801)]
    pub(super) inner_table: u32,

    /// Routing table for what arrives on the outer interface.
    #[arg(long, value_name = "N", default_value_t = 10_802)]
    pub(super) outer_table: u32,

    /// The file in which is noted what is to be put back. Each network namespace needs its own.
    #[arg(long, value_name = "FILE", default_value = STATE_FILE)]
    pub(super) state: PathBuf,
}

impl Run {
    /// Where the settings come from.
    pub(super) fn source(&self) -> Source {
        let mut flags = Flags::default();
        flags.inner.clone_from(&self.inner);
        flags.outer.clone_from(&self.outer);
        flags.inner_port.clone_from(&self.inner_port);
        flags.outer_port.clone_from(&self.outer_port);
        flags.host = self.host;
        flags.service = self.serving.service;
        flags.arrangement.clone_from(&self.serving.arrangement);
        flags.controller = self.serving.controller;
        flags.rate = self.serving.rate;
        flags.custody = self.serving.custody;
        Source::new(self.config.clone(), flags)
    }
}
