//! `localack-pcap replay`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::options::{EngineArgs, OrderArgs};
use super::{Failure, examine, open, progress_bar, spare_input};
use crate::annotate::Annotator;
use crate::replay::replay;
use crate::report::{Report, write_text};

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The capture, pcap or pcapng; `-` reads standard input; without it the embedded sample.
    file: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Write what went in and out of both ports, with comments, to this pcapng file.
    #[arg(long, value_name = "OUT.pcapng")]
    write: Option<PathBuf>,
    /// Print the report as JSON and nothing else.
    #[arg(long)]
    json: bool,
    /// Print no text report and no progress; errors, warnings and violations are still told.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    order: OrderArgs,
}

/// Replays and reports; answers how many invariants were violated.
pub(super) fn run(args: &ReplayArgs) -> Result<u64, Failure> {
    let (name, opened) = open(args.file.as_deref());
    let mut source = opened.map_err(|error| Failure::Open {
        name: name.clone(),
        error,
    })?;
    let annotator = args
        .write
        .as_deref()
        .map(|path| create(path, args))
        .transpose()?;
    let bar = progress_bar(args.file.as_deref(), args.quiet);
    let report = replay(
        &mut source,
        &args.engine.options(),
        annotator,
        &mut |octets| {
            bar.set_position(octets);
        },
    )?;
    bar.finish_and_clear();
    examine(&name, &report)?;
    print(args, &name, &report).or_else(|error| match error.kind() {
        // Whoever reads has seen enough.
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::Print(error)),
    })?;
    Ok(report.invariants.violations)
}

fn create(path: &Path, args: &ReplayArgs) -> Result<Annotator, Failure> {
    spare_input(path, args.file.as_deref())?;
    Annotator::create(path).map_err(|error| Failure::Create {
        path: path.to_owned(),
        error,
    })
}

fn print(args: &ReplayArgs, name: &str, report: &Report) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
    } else if !args.quiet {
        write_text(&mut out, name, report, args.order.layout())?;
    }
    out.flush()
}
