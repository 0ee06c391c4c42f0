//! Two hosts, a gateway beside one of them, and the long link between the gateway and the other.
//!
//! ```text
//!   near host ──── gateway ════ emulated link ════ far host
//!       veth: eth0, near0        TUN: far0, eth0
//! ```

use core::net::Ipv4Addr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use tun_rs::SyncDevice;

use super::error::DemoError;
use super::net::Namespace;
use crate::capture::Capture;
use crate::device::{self, End};
use crate::emulate::{Emulation, Limits, Report, RunError};
use crate::link::Link;

/// The gateway's interface on the side of the near host.
pub(super) const GATEWAY_NEAR: &str = "near0";
/// The gateway's interface on the side of the long link.
pub(super) const GATEWAY_FAR: &str = "far0";
/// The interface of either host.
const HOST: &str = "eth0";

pub(super) const NEAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub(super) const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const ROUTER_NEAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ROUTER_FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// A network for one transfer. No kernel that takes part remembers an earlier one.
pub(super) struct World {
    // Ends before the namespaces that its devices are in.
    emulator: Emulator,
    pub(super) near: Namespace,
    pub(super) gateway: Namespace,
    pub(super) far: Namespace,
}

impl World {
    /// Builds it, with these links away from the near host and back.
    pub(super) fn new(there: Link, back: Link) -> Result<Self, DemoError> {
        let namespace = || Namespace::new().map_err(DemoError::making("a network namespace"));
        let (mut near, mut gateway, mut far) = (namespace()?, namespace()?, namespace()?);
        let left = open(&gateway, GATEWAY_FAR)?;
        let right = open(&far, HOST)?;
        let mut build = || -> io::Result<()> {
            gateway.join(GATEWAY_NEAR, HOST, &near)?;
            gateway.set_up(GATEWAY_NEAR, ROUTER_NEAR)?;
            gateway.set_up(GATEWAY_FAR, ROUTER_FAR)?;
            near.set_up(HOST, NEAR)?;
            far.set_up(HOST, FAR)?;
            near.route_by(ROUTER_NEAR)?;
            far.route_by(ROUTER_FAR)?;
            gateway.set("ipv4/ip_forward", "1")
        };
        build().map_err(DemoError::making("the network"))?;
        let emulator = Emulator::start(left, right, there, back)
            .map_err(DemoError::making("the long link"))?;
        Ok(Self {
            emulator,
            near,
            gateway,
            far,
        })
    }

    /// What the near host's TCP has retransmitted since this network is there.
    pub(super) fn retransmissions(&self) -> Result<u64, DemoError> {
        let text = self.near.read("snmp");
        let count = text.and_then(|text| {
            counter(&text, "Tcp:", "RetransSegs").ok_or_else(|| io::ErrorKind::InvalidData.into())
        });
        count.map_err(DemoError::reading("the sender's counters"))
    }

    /// Ends the link, and with it the network.
    pub(super) fn end(mut self) -> Result<(), DemoError> {
        match self.emulator.end() {
            Some(Err(error)) => Err(DemoError::Link(error)),
            _ => Ok(()),
        }
    }

    /// Whether the link has ended by itself.
    pub(super) fn is_broken(&self) -> bool {
        self.emulator.has_ended()
    }
}

fn open(namespace: &Namespace, name: &str) -> Result<SyncDevice, DemoError> {
    let end: End = name.parse().map_err(|_| DemoError::Name(name.to_owned()))?;
    namespace
        .within(|| device::open(&end))
        .map_err(DemoError::making("a TUN device"))?
        .map_err(DemoError::Device)
}

/// The counter `name` of the group `group` in a file with a line of names above each line of numbers.
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let names = lines.next()?.split_whitespace();
    let values = lines.next()?.split_whitespace();
    let (_, value) = names.zip(values).find(|(found, _)| *found == name)?;
    value.parse().ok()
}

/// A running emulator, stopped at the end at the latest.
struct Emulator {
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<Result<Report, RunError>>>,
}

impl Emulator {
    fn start(left: SyncDevice, right: SyncDevice, there: Link, back: Link) -> io::Result<Self> {
        let (readable, stop) = UnixStream::pair()?;
        let emulation = Emulation::new(left, right, there, back, None::<Capture<File>>);
        let work = move || emulation.run(Limits::default(), readable.as_fd());
        let thread = thread::Builder::new().name("link".to_owned()).spawn(work)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn end(&mut self) -> Option<Result<Report, RunError>> {
        // A closed socket is readable.
        self.stop = None;
        let thread = self.thread.take()?;
        let ended = thread.join();
        Some(ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::counter;

    #[test]
    fn counters_are_found_by_their_names() {
        let text = "Ip: Forwarding RetransSegs\nIp: 1 5\nTcp: RtoMin RetransSegs InErrs\n\
                    Tcp: 200 17 0\nUdp: InErrors\nUdp: 3\n";
        assert_eq!(counter(text, "Tcp:", "RetransSegs"), Some(17));
        assert_eq!(counter(text, "Tcp:", "Nothing"), None);
        assert_eq!(counter(text, "Icmp:", "RetransSegs"), None);
    }
}
