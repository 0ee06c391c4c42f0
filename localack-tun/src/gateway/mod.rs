//! The live gateway: an engine between two TUN devices.
//!
//! The kernel hands over what is steered to the two devices ([`crate::steer`]): super-segments, as they
//! come, with checksums that are still open. What the engine makes of them it gives back in the same form.

mod frame;
mod hops;
mod memory;
mod outlet;
mod worker;

use std::os::fd::BorrowedFd;

use localack_core::{Config, ConfigError, Counters, Policy};
use tun_rs::SyncDevice;

use crate::clock::Clock;
use memory::Memory;
use worker::Worker;

pub use outlet::DeviceCounters;
pub use worker::WorkerError;

/// The largest payload of a packet that the kernel is to cut, in octets.
const SUPER_SEGMENT: u16 = 60_000;

/// What an engine is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Resources {
    /// Connections at a time.
    pub flows: usize,
    /// Octets in custody at a time.
    pub buffer: usize,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            flows: 4096,
            buffer: 256 << 20,
        }
    }
}

/// Why a gateway cannot begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The engine does not take its settings.
    #[error("the engine cannot work so: {0}")]
    Config(#[from] ConfigError),
    /// A device is gone, or cannot be waited for.
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

/// What was done.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The engine's counters.
    pub engine: Counters,
    /// What the devices did not take.
    pub devices: DeviceCounters,
}

/// Carries packets between `devices`, the inner side's first, until `stop` becomes readable.
///
/// # Errors
/// See [`GatewayError`].
pub fn run<P: Policy>(
    devices: [SyncDevice; 2],
    resources: Resources,
    mut config: Config,
    policy: P,
    stop: BorrowedFd<'_>,
) -> Result<Report, GatewayError> {
    config.super_segment = SUPER_SEGMENT;
    let mut memory = Memory::new(resources.flows, resources.buffer);
    let mut worker = Worker::new(&mut memory, config, policy, devices, Clock::start())?;
    worker.run(stop)?;
    let (engine, devices) = worker.counters();
    Ok(Report { engine, devices })
}
