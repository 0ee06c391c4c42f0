//! A host whose TCP behaves as that of Linux 6.x where goodput and strictness depend on it.
//!
//! It measures goodput: CUBIC or Reno, RACK and tail loss probes, PRR, F-RTO and undo, delayed
//! acknowledgements, a receive window that tunes itself. And it is an oracle: every octet that
//! arrives is compared with what was sent, without being stored, and whatever the peer, or a box
//! on the way, does wrong is a [`Fault`]. With [`LinuxConfig::strict`] it refuses, and holds against its
//! peer, whatever any of the common receivers refuses.
//!
//! Sequence numbers are kept as positions that never wrap; times are microseconds.

mod application;
mod clock;
mod config;
mod congestion;
mod content;
mod fault;
mod handshake;
mod host;
mod input;
mod listen;
mod output;
mod position;
mod receive;
mod send;
mod stamps;
mod stats;
mod strict;
mod watch;

pub use application::Write;
pub use config::{LinuxConfig, LinuxCongestion};
pub use content::Content;
pub use fault::{Fault, FaultKind};
pub use host::LinuxHost;
pub use listen::Listening;
pub use stats::LinuxStats;

#[cfg(test)]
mod tests;
