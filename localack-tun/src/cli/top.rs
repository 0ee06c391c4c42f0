//! `localack-tun top`: a view of a gateway that runs.

use std::path::PathBuf;

use clap::Args;
use localack_tun::control::protocol::Sort;
use localack_tun::top;

use super::Failure;
use super::ctl::default_socket;

/// Watch a running gateway: its flows, rates, what is in custody and the time saved.
///
/// Keys: q quits; c, r, s sort by octets in custody, rate, time saved; arrows, page up and page down
/// scroll; p pauses.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// The gateway's control socket.
    #[arg(long, value_name = "PATH", default_value_os_t = default_socket())]
    socket: PathBuf,

    /// The measure that flows are ordered by.
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
}

impl Top {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        top::run(self.socket.clone(), self.sort).map_err(Failure::runtime)
    }
}
