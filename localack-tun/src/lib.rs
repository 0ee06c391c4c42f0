//! The Linux side of `localack`: today a user-space link emulator, the ground that real kernels
//! are measured on.
//!
//! The emulator joins two TUN devices by an emulated link (delay, jitter, rate and queue, random
//! and burst loss, reordering, duplication, corruption), so two network namespaces on one
//! machine see a satellite hop between them without any kernel module.
//!
//! - [`link`] is the link itself. It is sans-IO: packets and the time go in, packets come out
//!   when they are due; it opens no device, reads no clock, and the same seed with the same
//!   packets gives the same losses. Use it in your own simulations.
//! - `emulate` (Linux) runs two such links between two TUN devices.
//! - [`capture`] writes what passes one end to a pcap file.
//! - [`clock`] is the one place that reads the machine's clocks.
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
pub mod device;
#[cfg(target_os = "linux")]
pub mod emulate;
#[cfg(target_os = "linux")]
pub mod gateway;
pub mod link;
#[cfg(target_os = "linux")]
pub mod netns;
pub mod policy;
#[cfg(target_os = "linux")]
pub mod steer;

/// The README's example, compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
