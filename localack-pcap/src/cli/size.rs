//! `localack-pcap size`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;

use super::options::EngineArgs;
use super::{Failure, examine, open, progress_bar};
use crate::replay::replay_watched;
use crate::size::{Size, Sizing, write_text};

#[derive(Debug, Args)]
pub(super) struct SizeArgs {
    /// The captures, pcap or pcapng, one after the other; `-` reads standard input; without any the
    /// embedded sample.
    files: Vec<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    /// How much more than the peak a gateway should have, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=10_000))]
    headroom: u32,
    /// Print the answer as JSON and nothing else.
    #[arg(long)]
    json: bool,
    /// Show no progress; errors, warnings and violations are still told.
    #[arg(long)]
    quiet: bool,
}

/// Replays and tells what it took; answers how many invariants were violated.
pub(super) fn run(args: &SizeArgs) -> Result<u64, Failure> {
    let options = args.engine.options();
    let mut sizing = Sizing::new(&options);
    let mut violations = 0;
    let mut files: Vec<_> = args.files.iter().map(|file| Some(file.as_path())).collect();
    if files.is_empty() {
        files.push(None);
    }
    for file in files {
        let (name, opened) = open(file);
        let mut source = opened.map_err(|error| Failure::Open {
            name: name.clone(),
            error,
        })?;
        let bar = progress_bar(file, args.quiet);
        let report = replay_watched(&mut source, &options, None, &mut sizing, &mut |octets| {
            bar.set_position(octets);
        })?;
        bar.finish_and_clear();
        examine(&name, &report)?;
        sizing.finished(&name, &report);
        violations += report.invariants.violations;
    }
    let size = sizing.size(args.headroom);
    print(args.json, &size).or_else(|error| match error.kind() {
        // Whoever reads has seen enough.
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::Print(error)),
    })?;
    Ok(violations)
}

fn print(json: bool, size: &Size) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if json {
        serde_json::to_writer_pretty(&mut out, size)?;
        writeln!(out)?;
    } else {
        write_text(&mut out, size)?;
    }
    out.flush()
}
