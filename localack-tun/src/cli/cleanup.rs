//! `localack-tun cleanup`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use localack_tun::steer;

use super::Failure;
use super::run::STATE_FILE;

/// Undo what a `run` has left behind that was killed.
///
/// Removes its rules and routes from this network namespace, puts the kernel's settings back that it
/// had changed, and a port that it had taken into its bridge. Without anything to undo it does nothing. `run` does the same before it begins.
#[derive(Debug, Args)]
pub(super) struct Cleanup {
    /// The file in which `run` notes what is to be put back.
    #[arg(long, value_name = "FILE", default_value = STATE_FILE)]
    state: PathBuf,
}

impl Cleanup {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let undone = steer::cleanup(&self.state).map_err(Failure::runtime)?;
        let told = if undone.is_empty() {
            "nothing was left behind".to_owned()
        } else {
            format!("undone: {undone}")
        };
        writeln!(io::stdout(), "{told}").map_err(Failure::runtime)
    }
}
