//! `localack-tun upgrade`.

use core::time::Duration;
use std::io::{self, Write};
use std::path::PathBuf;
use std::{env, thread};

use clap::Args;
use localack_core::LAYOUT;
use localack_tun::clock::Clock;
use localack_tun::control::Client;
use localack_tun::control::protocol::{Answer, Request, Upgrade as Wanted};

use super::Failure;
use super::ctl::default_socket;

/// How long the gateway may take to go on.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked.
const LOOK: Duration = Duration::from_millis(50);

/// Have a running gateway go on as this program, with every connection.
///
/// To be run from the new build. The gateway needs a `state` in [engine] of its settings, which it reads anew. Its
/// connections wait for a moment, and nothing that was acknowledged is lost. If the new build lays connections out
/// in memory in another way than the old one, the old one refuses, and goes on: drain it (SIGTERM), and start
/// the new one.
#[derive(Debug, Args)]
pub(super) struct Upgrade {
    /// The gateway's control socket.
    #[arg(long, value_name = "PATH", default_value_os_t = default_socket())]
    socket: PathBuf,
}

impl Upgrade {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let program = env::current_exe().map_err(Failure::runtime)?;
        let clock = Clock::start();
        let mut client = Client::connect(&self.socket).map_err(Failure::runtime)?;
        let wanted = Request::Upgrade(Wanted {
            program,
            layout: LAYOUT,
        });
        client.ask(wanted).map_err(Failure::runtime)?;
        while clock.now() < PATIENCE {
            thread::sleep(LOOK);
            let status =
                Client::connect(&self.socket).and_then(|mut client| client.ask(Request::Status));
            if let Ok(Answer::Status(status)) = status
                && u128::from(status.uptime_ms) <= clock.now().as_millis()
            {
                return writeln!(io::stdout(), "version {} goes on", status.version)
                    .map_err(Failure::runtime);
            }
        }
        Err(Failure::runtime(
            "the gateway makes way, and nobody has gone on; see its log",
        ))
    }
}
