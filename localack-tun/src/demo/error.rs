//! Why a demonstration could not be given.

use core::time::Duration;
use std::io;

use crate::device::OpenError;
use crate::emulate::RunError;
use crate::link::ConfigError;

/// Why a demonstration could not be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The process may not make namespaces, or devices in them.
    #[error(
        "needs root: CAP_SYS_ADMIN to make network namespaces of its own, CAP_NET_ADMIN for the \
         interfaces in them"
    )]
    NotPermitted,
    /// The settings of the link contradict each other.
    #[error(transparent)]
    Setting(ConfigError),
    /// The kernel refuses something that the network is made of.
    #[error("cannot make {0}: {1}")]
    Making(&'static str, #[source] io::Error),
    /// The kernel does not tell something.
    #[error("cannot read {0}: {1}")]
    Reading(&'static str, #[source] io::Error),
    /// A name that no device can have.
    #[error("{0} is no name of a device")]
    Name(String),
    /// A TUN device could not be opened.
    #[error(transparent)]
    Device(OpenError),
    /// The emulated link ended too early.
    #[error("the long link has ended: {0}")]
    Link(#[source] RunError),
    /// The gateway's program ended too early, or said something unexpected.
    #[error("the gateway: {0}")]
    Gateway(String),
    /// The engine left the connection alone, so there is nothing to compare.
    #[error("the engine has not acknowledged anything early: {0}")]
    NotServed(String),
    /// A connection failed.
    #[error("{mode}: the {host} has failed: {error}")]
    Transfer {
        /// Without or with the engine.
        mode: &'static str,
        /// Which of the two hosts.
        host: &'static str,
        /// What the kernel says.
        error: io::Error,
    },
    /// What arrived is not what was sent.
    #[error("{mode}: what arrived is not what was sent ({octets} octets, SHA-256 {digest})")]
    Corrupted {
        /// Without or with the engine.
        mode: &'static str,
        /// How much arrived.
        octets: u64,
        /// The digest of that.
        digest: String,
    },
    /// A transfer took too long.
    #[error(
        "{mode}: {octets} of {size} octets had arrived after {} s; take a smaller --size, or more \
         --patience", .patience.as_secs()
    )]
    TooSlow {
        /// Without or with the engine.
        mode: &'static str,
        /// How much had arrived.
        octets: u64,
        /// Of how much.
        size: u64,
        /// How long that took.
        patience: Duration,
    },
    /// The caller wanted no more.
    #[error("interrupted")]
    Interrupted,
}

impl DemoError {
    /// What makes an error of the kernel's one of ours.
    pub(super) fn making(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| match error.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            _ => Self::Making(what, error),
        }
    }

    pub(super) fn reading(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Reading(what, error)
    }
}
