//! Whether `localack-pcap what-if` foretells what the gateway does, between real kernels: a direct
//! upload is captured, what-if is asked of the capture alone, and then the gateway is put in. As root:
//!
//! ```sh
//! cargo bench -p localack-tun --bench what_if
//! cargo bench -p localack-tun --bench what_if -- --runs 3 --only 300ms
//! ```
//!
//! What is foretold is the median over captures, what is measured the median over as many uploads with
//! the gateway; both kinds take turns. The exit code is 1 if the median error is above 15 %.
#![cfg_attr(not(target_os = "linux"), allow(unused))]

#[cfg(target_os = "linux")]
#[path = "../../tests/common/mod.rs"]
#[allow(dead_code, reason = "tests need more of it")]
mod common;
#[cfg(target_os = "linux")]
#[path = "../../tests/common/foretold.rs"]
mod foretold;
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
#[path = "../gateway/stage.rs"]
#[allow(dead_code, reason = "the other bench needs more of it")]
mod stage;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use clap::Parser;
    use foretold::Path;

    /// What what-if foretells beside what the gateway does.
    #[derive(Debug, Parser)]
    struct Arguments {
        /// How often each kind of upload has its turn.
        #[arg(long, default_value_t = 3)]
        runs: usize,
        /// Only paths whose names contain this.
        #[arg(long, default_value = "")]
        only: String,
        /// What `cargo bench` says.
        #[arg(long, hide = true)]
        bench: bool,
    }

    /// The median error that is allowed, in percent.
    const ALLOWED: f64 = 15.0;
    let arguments = Arguments::parse();
    if !common::privileged() {
        return ExitCode::SUCCESS;
    }
    let mut errors = Vec::new();
    println!("| path | octets | captured | played again | foretold | measured | error |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for path in Path::ALL {
        if !path.name().contains(&arguments.only) {
            continue;
        }
        let found = path.compare(arguments.runs);
        println!("{}", found.row());
        errors.push(found.error_pct().abs());
    }
    if errors.is_empty() {
        return ExitCode::SUCCESS;
    }
    let error = stage::median(errors);
    println!("median error {error:.0} %");
    ExitCode::from(u8::from(error > ALLOWED))
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    ExitCode::SUCCESS
}
