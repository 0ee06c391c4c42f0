//! The Linux side of `localack`: a gateway with an engine in it, and the ground that it is measured on.
//!
//! # The gateway
//! `localack-tun run` steers the TCP that a machine forwards between two interfaces through an
//! engine that acknowledges it for the far end.
//!
//! - [`config`] reads its settings, [`policy`] makes the engine's decisions of them.
//! - [`steer`] (Linux) has the kernel hand packets over, and undoes that whatever happens.
//! - [`gateway`] (Linux) carries them through engines, one for each queue and thread. A
//!   [`gateway::Handle`] asks them and changes what they do while they run.
//! - [`control`] (Linux) is how an operator speaks to it, [`metrics`] (Linux) what Prometheus reads,
//!   [`top`] (Linux) what a terminal shows.
//! - [`device`] (Linux) opens the TUN devices, [`netns`] (Linux) works in other network namespaces.
//!
//! # The emulator
//! `localack-tun emulate` joins two TUN devices by an emulated link (delay, jitter, rate and queue,
//! random and burst loss, reordering, duplication, corruption), so two network namespaces on one
//! machine see a satellite hop between them without any kernel module.
//!
//! - [`link`] is the link itself. It is sans-IO: packets and the time go in, packets come out
//!   when they are due; it opens no device, reads no clock, and the same seed with the same
//!   packets gives the same losses. Use it in your own simulations.
//! - [`emulate`] (Linux) runs two such links between two TUN devices.
//! - [`capture`] writes what passes one end to a pcap file.
//!
//! # Both together
//! `localack-tun demo` moves a file over such a link, without the gateway's engine and with it, and
//! compares.
//!
//! - [`demo`] (Linux) makes a network of its own for each transfer, and leaves nothing behind.
//!
//! [`clock`] is the one place that reads the machine's clocks.
//!
//! # Example
//!
//! ```
//! use core::time::Duration;
//! use localack_tun::link::{Link, LinkConfig};
//!
//! # fn main() -> Result<(), localack_tun::link::ConfigError> {
//! let mut config = LinkConfig::default();
//! config.delay = Duration::from_millis(300);
//! let mut link = Link::new(config)?;
//!
//! link.push(Duration::ZERO, vec![0x45; 40]);
//! assert_eq!(link.pop_due(Duration::from_millis(299)), None);
//! assert_eq!(link.next_deadline(), Some(Duration::from_millis(300)));
//! assert_eq!(link.pop_due(Duration::from_millis(300)), Some(vec![0x45; 40]));
//! # Ok(())
//! # }
//! ```

pub mod capture;
pub mod clock;
pub mod config;
#[cfg(target_os = "linux")]
pub mod control;
#[cfg(target_os = "linux")]
pub mod demo;
#[cfg(target_os = "linux")]
pub mod device;
#[cfg(target_os = "linux")]
pub mod emulate;
#[cfg(target_os = "linux")]
pub mod gateway;
pub mod link;
#[cfg(target_os = "linux")]
pub mod metrics;
#[cfg(target_os = "linux")]
pub mod netns;
pub mod policy;
#[cfg(target_os = "linux")]
pub mod steer;
#[cfg(target_os = "linux")]
pub mod top;

/// The README's example, compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
