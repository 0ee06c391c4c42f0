//! Whether `localack-pcap what-if` foretells what the gateway does, between real kernels: a direct
//! upload is captured, what-if is asked of the capture alone, and then the gateway is put in. As root:
//!
//! ```sh
//! cargo bench -p localack-tun --bench what_if
//! cargo bench -p localack-tun --bench what_if -- --runs 3 --only 300ms
//! cargo bench -p localack-tun --bench what_if -- --keep target/foretold --set grid
//! ```
//!
//! There are two sets of paths: a grid of round trips, rates and losses, and others that are held out:
//! whoever works on what-if's estimates looks at the grid's captures, which `--keep` keeps, and at nothing
//! but the errors of the others.
//!
//! What is foretold is the median over captures, what is measured the median over as many uploads with
//! the gateway; both kinds take turns. The exit code is 1 if the median error of a set
//! is above 15 %.
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
    use std::path::PathBuf;

    use clap::{Parser, ValueEnum};
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
        /// Only these paths.
        #[arg(long)]
        set: Option<Set>,
        /// Keep captures and measured times in this folder; what is there already is not done again.
        #[arg(long, value_name = "DIR")]
        keep: Option<PathBuf>,
        /// What `cargo bench` says.
        #[arg(long, hide = true)]
        bench: bool,
    }

    #[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
    enum Set {
        /// Those that the estimates have been worked on with.
        Grid,
        /// Those that they have not.
        HeldOut,
    }

    /// The median error that is allowed, in percent.
    const ALLOWED: f64 = 15.0;
    let arguments = Arguments::parse();
    if !common::privileged() {
        return ExitCode::SUCCESS;
    }
    if let Some(folder) = &arguments.keep {
        std::fs::create_dir_all(folder).unwrap();
    }
    let mut missed = false;
    for (set, paths) in [
        (Set::Grid, Path::GRID.as_slice()),
        (Set::HeldOut, Path::HELD_OUT.as_slice()),
    ] {
        let paths = paths
            .iter()
            .filter(|path| path.name().contains(&arguments.only));
        let paths: Vec<_> = paths.collect();
        if paths.is_empty() || arguments.set.is_some_and(|only| only != set) {
            continue;
        }
        println!("\n{set:?}\n");
        println!("| path | upload | captured | played again | foretold | measured | error |");
        println!("|---|---:|---:|---:|---:|---:|---:|");
        let mut errors = Vec::new();
        for path in paths {
            let found = path.compare(arguments.runs, arguments.keep.as_deref());
            println!("{}", found.row());
            errors.push(found.error_pct().abs());
        }
        let error = stage::median(errors);
        println!("\nmedian error {error:.0} %");
        missed |= error > ALLOWED;
    }
    ExitCode::from(u8::from(missed))
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    ExitCode::SUCCESS
}
