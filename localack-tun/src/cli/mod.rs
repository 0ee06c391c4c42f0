//! The command line.

mod cleanup;
mod ctl;
mod demo;
mod emulate;
mod failure;
mod log;
mod run;
mod top;
mod upgrade;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub(crate) use failure::Failure;

/// A gateway that acknowledges TCP for the far end of a long path, and an emulator of such paths.
#[derive(Debug, Parser)]
#[command(name = "localack-tun", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(Box<demo::Demo>),
    #[command(name = demo::GATEWAY, hide = true)]
    DemoGateway(Box<demo::Gateway>),
    Run(Box<run::Run>),
    Ctl(Box<ctl::Ctl>),
    Top(top::Top),
    Upgrade(upgrade::Upgrade),
    Cleanup(cleanup::Cleanup),
    Emulate(Box<emulate::Emulate>),
}

impl Command {
    fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Demo(demo) => demo.run(),
            Self::DemoGateway(gateway) => gateway.run(),
            Self::Run(run) => run.run(),
            Self::Ctl(ctl) => ctl.run(),
            Self::Top(top) => top.run(),
            Self::Upgrade(upgrade) => upgrade.run(),
            Self::Cleanup(cleanup) => cleanup.run(),
            Self::Emulate(emulate) => emulate.run(),
        }
    }
}

/// Runs the program: 0 when all went well, 1 when the system refused something, 2 for bad usage.
pub(crate) fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("localack-tun: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
