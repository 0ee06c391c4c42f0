//! The command line.

mod options;
mod replay;
mod report;
mod size;
mod what_if;

use core::time::Duration;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::WriteError;
use crate::plot::PlotError;
use crate::replay::ReplayError;
use crate::report::Report;
use crate::sample;
use crate::source::{OpenError, Source};

/// Exit code: the capture cannot be read, or nothing in it can be decoded.
const UNREADABLE: u8 = 1;
/// Exit code: the command line is wrong.
const USAGE: u8 = 2;
/// Exit code: the engine broke a promise.
const VIOLATION: u8 = 3;

#[derive(Debug, Parser)]
#[command(name = "localack-pcap", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replay a capture through the engine and report what it would have done.
    Replay(Box<replay::ReplayArgs>),
    /// Simulate a capture's connections over their path, without the engine and with it.
    WhatIf(Box<what_if::WhatIfArgs>),
    /// Replay a capture and write what the engine would have done as an HTML file with graphs.
    Report(Box<report::ReportArgs>),
    /// Replay captures and tell how much memory a gateway needs for their traffic.
    Size(Box<size::SizeArgs>),
}

/// Why the program ends without a report.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{name}: {error}")]
    Open { name: String, error: OpenError },
    #[error("{name}: nothing could be decoded: {reasons}")]
    NothingDecoded { name: String, reasons: String },
    #[error("{name}: nothing can be simulated: {reason}")]
    NothingToSimulate { name: String, reason: String },
    #[error("{}: {error}", path.display())]
    Create { path: PathBuf, error: io::Error },
    #[error(
        "--what-if reads the capture twice, and standard input can be read only once: give a file"
    )]
    ReadTwice,
    #[error("{}: would overwrite the capture that is read", path.display())]
    SameFile { path: PathBuf },
    #[error("{0}")]
    Replay(#[from] ReplayError),
    #[error("{0}")]
    Plot(#[from] PlotError),
    #[error("{0}")]
    Write(#[from] WriteError),
    #[error("cannot print the report: {0}")]
    Print(io::Error),
}

/// Runs the program.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let violations = match cli.command {
        Command::Replay(args) => replay::run(&args),
        Command::WhatIf(args) => what_if::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Size(args) => size::run(&args),
    };
    match violations {
        Ok(0) => ExitCode::SUCCESS,
        Ok(violations) => {
            complain(&format!("{violations} invariants violated"));
            ExitCode::from(VIOLATION)
        }
        Err(failure) => {
            complain(&failure.to_string());
            match failure {
                Failure::Replay(ReplayError::Engine(_))
                | Failure::SameFile { .. }
                | Failure::ReadTwice => ExitCode::from(USAGE),
                _ => ExitCode::from(UNREADABLE),
            }
        }
    }
}

/// Tells of a wrong command line, in one line; help that was asked for is no error.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        complain("no command given: try `localack-pcap replay`, or --help");
        return ExitCode::from(USAGE);
    }
    let text = error.render().to_string();
    let line: Vec<_> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let line = line.join(" ");
    complain(line.strip_prefix("error: ").unwrap_or(&line));
    ExitCode::from(USAGE)
}

fn complain(text: &str) {
    eprintln!("localack-pcap: {text}");
}

/// Opens a capture; answers what to call it, too.
fn open(file: Option<&Path>) -> (String, Result<Source, OpenError>) {
    match file {
        None => (sample::NAME.to_owned(), Source::new(sample::SAMPLE)),
        Some(path) if path == Path::new("-") => {
            ("standard input".to_owned(), Source::new(io::stdin()))
        }
        Some(path) => (path.display().to_string(), Source::open(path)),
    }
}

/// Refuses to write to `output` if that is the capture that is read.
fn spare_input(output: &Path, input: Option<&Path>) -> Result<(), Failure> {
    let existing = output.canonicalize().ok();
    let input = input.and_then(|file| file.canonicalize().ok());
    if existing.is_some() && existing == input {
        return Err(Failure::SameFile {
            path: output.to_owned(),
        });
    }
    Ok(())
}

/// Refuses a report about nothing, and tells what is wrong with others.
fn examine(name: &str, report: &Report) -> Result<(), Failure> {
    if report.nothing_decoded() {
        return Err(Failure::NothingDecoded {
            name: name.to_owned(),
            reasons: reasons(report),
        });
    }
    if let Some(cut) = report.input.cut {
        complain(&format!(
            "warning: {name}: {} at offset {}; what came before is used",
            cut.reason, cut.offset
        ));
    }
    report
        .invariants
        .described
        .iter()
        .for_each(|violation| complain(&format!("violation: {violation}")));
    Ok(())
}

/// Shows how far a long file has been read, on a terminal.
fn progress_bar(file: Option<&Path>, quiet: bool) -> ProgressBar {
    /// Files below this are read before anyone looks.
    const LONG: u64 = 16 << 20;
    let length = file.and_then(|path| File::open(path).ok()?.metadata().ok());
    let length = length
        .filter(std::fs::Metadata::is_file)
        .map_or(0, |metadata| metadata.len());
    if quiet || length < LONG || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta} left")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

fn reasons(report: &Report) -> String {
    let reasons = report
        .input
        .undecoded_reasons
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"));
    let links = report.input.link_types.join(", ");
    format!(
        "{} (link type {links})",
        reasons.collect::<Vec<_>>().join(", ")
    )
}
