//! What the gateway does for real connections, beside a gateway that only forwards: Linux's TCP at both
//! ends in namespaces of their own, `localack-tun run` between them, and `localack-tun emulate` for the
//! path. As root:
//!
//! ```sh
//! cargo bench -p localack-tun --bench gateway
//! cargo bench -p localack-tun --bench gateway -- long lossy --runs 5
//! ```
//!
//! The contenders of a group take turns, so that what else the machine does meets all of them, and
//! medians are told. A bar that is missed makes the exit code 1. The groups:
//!
//! | group | what is measured |
//! |---|---|
//! | `long` | uploads at 600 ms: the time that is physically needed, divided by the time it took |
//! | `ideal` | the same beside an ideal sender that obeys the same receiver's windows, from a capture |
//! | `fresh` | the same on a path that no connection has used |
//! | `learned` | uploads over a path that connections have used before, with Careful Resume |
//! | `sndbuf` | a sender with 64 kB of buffer at 50 ms |
//! | `lossy` | 50 ms with 1 % loss |
//! | `objects` | small objects on clean paths of 10 to 600 ms |
//! | `short` | goodput on clean paths of 0.2 and 10 ms |
//! | `veth` | goodput and processor time without an emulated path, also of `haproxy` that splices |
//! | `syscalls` | the program's calls of the system for each packet, by `strace` |
//! | `memory` | the program's memory beside what its settings say |
//! | `idle` | processor time for 100,000 connections that say nothing |
#![cfg_attr(not(target_os = "linux"), allow(unused))]

#[cfg(target_os = "linux")]
#[path = "../../tests/common/mod.rs"]
#[allow(dead_code, reason = "tests need more of it")]
mod common;
#[cfg(target_os = "linux")]
#[path = "../../tests/common/gateway.rs"]
#[allow(dead_code, reason = "tests need more of it")]
mod gateway;
#[cfg(target_os = "linux")]
#[path = "../../tests/common/program.rs"]
#[allow(dead_code, reason = "tests need more of it")]
mod program;
#[cfg(target_os = "linux")]
#[path = "../../tests/common/satellite.rs"]
mod satellite;

#[cfg(target_os = "linux")]
mod groups;
#[cfg(target_os = "linux")]
mod ideal;
#[cfg(target_os = "linux")]
mod resources;
#[cfg(target_os = "linux")]
mod stage;
#[cfg(target_os = "linux")]
mod watch;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use clap::Parser;

    /// The gateway beside plain forwarding, between real kernels.
    #[derive(Debug, Parser)]
    struct Arguments {
        /// The groups to measure [default: all].
        #[arg(value_name = "GROUP")]
        groups: Vec<String>,
        /// How often each contender has its turn.
        #[arg(long, default_value_t = 3)]
        runs: usize,
        /// Only hold connections: for a group that needs many.
        #[arg(long, hide = true, num_args = 4)]
        hold: Vec<String>,
        /// What `cargo bench` says.
        #[arg(long, hide = true)]
        bench: bool,
    }

    let arguments = Arguments::parse();
    if !arguments.hold.is_empty() {
        resources::hold(&arguments.hold);
        return ExitCode::SUCCESS;
    }
    if !common::privileged() {
        return ExitCode::SUCCESS;
    }
    let mut missed = 0;
    for (name, group) in groups::ALL {
        let wanted = &arguments.groups;
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            missed += group(arguments.runs);
        }
    }
    println!("{missed} bars missed");
    ExitCode::from(u8::from(missed > 0))
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    ExitCode::SUCCESS
}
