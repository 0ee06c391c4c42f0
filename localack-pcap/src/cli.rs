//! The command line.

use core::net::IpAddr;
use core::time::Duration;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ipnet::IpNet;
use localack_core::{Controller, Service};

use crate::annotate::Annotator;
use crate::replay::{Checksums, Inner, Options, ReplayError, replay};
use crate::report::{Layout, Report, Sort, write_text};
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
    Replay(Box<ReplayArgs>),
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The capture, pcap or pcapng; `-` reads standard input; without it the embedded sample.
    file: Option<PathBuf>,
    /// Which end of a connection is the inner one, whose data is served: `auto` (the end with the
    /// shorter handshake round trip), or networks in CIDR form, separated by commas.
    #[arg(long, value_name = "auto|CIDR[,CIDR]", default_value = "auto", value_parser = parse_inner)]
    inner: Inner,
    /// What the engine does with that data.
    #[arg(long, value_enum, default_value_t = ServiceArg::LocalAck)]
    service: ServiceArg,
    /// Serve the data of both ends.
    #[arg(long)]
    both_directions: bool,
    /// Who decides how much may be in flight toward the receivers.
    #[arg(long, value_enum, default_value_t = ControllerArg::Cubic)]
    controller: ControllerArg,
    /// Vouch for a rate instead, such as 20mbit, which all connections share; once each way.
    #[arg(long, value_name = "RATE", conflicts_with = "controller", value_parser = parse_rate)]
    rate: Option<u32>,
    /// Let Reno and CUBIC send at once what an acknowledgement allows.
    #[arg(long, conflicts_with = "rate")]
    no_pacing: bool,
    /// Flows that the engine can hold.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    flows: u32,
    /// Octets lent to the engine for data in custody; K, M and G stand for powers of 1024.
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = parse_size)]
    buffer: usize,
    /// What wrong checksums mean.
    #[arg(long, value_enum, default_value_t = ChecksumsArg::Auto)]
    checksums: ChecksumsArg,
    /// Write what went in and out of both ports, with comments, to this pcapng file.
    #[arg(long, value_name = "OUT.pcapng")]
    write: Option<PathBuf>,
    /// Print the report as JSON and nothing else.
    #[arg(long)]
    json: bool,
    /// Print no text report and no progress; errors, warnings and violations are still told.
    #[arg(long)]
    quiet: bool,
    /// Conversations that the text report shows.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Their order.
    #[arg(long, value_enum, default_value_t = SortArg::Bytes)]
    sort: SortArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ServiceArg {
    /// Acknowledge it at once, hold it, and deliver it.
    LocalAck,
    /// Nothing: follow the connections only.
    Bypass,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ControllerArg {
    /// The window grows by a segment a round trip and is halved by a loss.
    Reno,
    /// It follows a cubic curve of the time since the last loss.
    Cubic,
    /// It follows a model of the path's bandwidth and shortest round trip.
    Bbr,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ChecksumsArg {
    /// A sender's usual pseudo-header sums are offloaded, other wrong sums are corruption.
    Auto,
    /// Every wrong sum is corruption.
    Verify,
    /// No sum is looked at.
    Trust,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SortArg {
    /// Most payload first.
    Bytes,
    /// Most packets first.
    Packets,
    /// Longest wait for ACKs first.
    Wait,
    /// Most waiting saved first.
    Saved,
    /// In the order of their first packets.
    Start,
}

/// Why the program ends without a report.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{name}: {error}")]
    Open { name: String, error: OpenError },
    #[error("{name}: nothing could be decoded: {reasons}")]
    NothingDecoded { name: String, reasons: String },
    #[error("{}: {error}", path.display())]
    Create { path: PathBuf, error: io::Error },
    #[error("{}: would overwrite the capture that is read", path.display())]
    SameFile { path: PathBuf },
    #[error("{0}")]
    Replay(#[from] ReplayError),
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
    let Command::Replay(args) = cli.command;
    match run_replay(&args) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(violations) => {
            complain(&format!("{violations} invariants violated"));
            ExitCode::from(VIOLATION)
        }
        Err(failure) => {
            complain(&failure.to_string());
            match failure {
                Failure::Replay(ReplayError::Engine(_)) | Failure::SameFile { .. } => {
                    ExitCode::from(USAGE)
                }
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

/// Replays and reports; answers how many invariants were violated.
fn run_replay(args: &ReplayArgs) -> Result<u64, Failure> {
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
    let bar = progress_bar(args);
    let report = replay(&mut source, &args.options(), annotator, &mut |octets| {
        bar.set_position(octets);
    })?;
    bar.finish_and_clear();
    if report.nothing_decoded() {
        return Err(Failure::NothingDecoded {
            name,
            reasons: reasons(&report),
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
    print(args, &name, &report).or_else(|error| match error.kind() {
        // Whoever reads has seen enough.
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::Print(error)),
    })?;
    Ok(report.invariants.violations)
}

fn open(file: Option<&Path>) -> (String, Result<Source, OpenError>) {
    match file {
        None => (sample::NAME.to_owned(), Source::new(sample::SAMPLE)),
        Some(path) if path == Path::new("-") => {
            ("standard input".to_owned(), Source::new(io::stdin()))
        }
        Some(path) => (path.display().to_string(), Source::open(path)),
    }
}

fn create(path: &Path, args: &ReplayArgs) -> Result<Annotator, Failure> {
    let existing = path.canonicalize().ok();
    let input = args
        .file
        .as_deref()
        .and_then(|file| file.canonicalize().ok());
    if existing.is_some() && existing == input {
        return Err(Failure::SameFile {
            path: path.to_owned(),
        });
    }
    Annotator::create(path).map_err(|error| Failure::Create {
        path: path.to_owned(),
        error,
    })
}

/// Shows how far a long file has been read, on a terminal.
fn progress_bar(args: &ReplayArgs) -> ProgressBar {
    /// Files below this are read before anyone looks.
    const LONG: u64 = 16 << 20;
    let length = args
        .file
        .as_deref()
        .and_then(|path| File::open(path).ok()?.metadata().ok());
    let length = length
        .filter(std::fs::Metadata::is_file)
        .map_or(0, |metadata| metadata.len());
    if args.quiet || length < LONG || !io::stderr().is_terminal() {
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

fn print(args: &ReplayArgs, name: &str, report: &Report) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
    } else if !args.quiet {
        write_text(&mut out, name, report, args.layout())?;
    }
    out.flush()
}

impl ReplayArgs {
    fn options(&self) -> Options {
        Options {
            inner: self.inner.clone(),
            both_directions: self.both_directions,
            service: match self.service {
                ServiceArg::LocalAck => Service::LocalAck,
                ServiceArg::Bypass => Service::Bypass,
            },
            controller: match (self.rate, self.controller) {
                (Some(rate), _) => Controller::provisioned(rate),
                (None, ControllerArg::Reno) => Controller::Reno,
                (None, ControllerArg::Cubic) => Controller::Cubic,
                (None, ControllerArg::Bbr) => Controller::Bbr,
            },
            pacing: !self.no_pacing,
            flows: self.flows as usize,
            buffer: self.buffer,
            checksums: match self.checksums {
                ChecksumsArg::Auto => Checksums::Auto,
                ChecksumsArg::Verify => Checksums::Verify,
                ChecksumsArg::Trust => Checksums::Trust,
            },
        }
    }

    fn layout(&self) -> Layout {
        /// Columns where there is no terminal.
        const PLAIN: usize = 100;
        let width = Term::stdout()
            .size_checked()
            .map_or(PLAIN, |(_, columns)| columns.into());
        let sort = match self.sort {
            SortArg::Bytes => Sort::Bytes,
            SortArg::Packets => Sort::Packets,
            SortArg::Wait => Sort::Wait,
            SortArg::Saved => Sort::Saved,
            SortArg::Start => Sort::Start,
        };
        Layout {
            width,
            top: self.top,
            sort,
        }
    }
}

fn parse_inner(text: &str) -> Result<Inner, String> {
    if text == "auto" {
        return Ok(Inner::Auto);
    }
    let network = |part: &str| {
        let host = || part.parse::<IpAddr>().map(IpNet::from);
        part.parse()
            .or_else(|_| host())
            .map_err(|_| format!("{part:?} is not a network such as 192.0.2.0/24"))
    };
    text.split(',')
        .map(|part| network(part.trim()))
        .collect::<Result<_, _>>()
        .map(Inner::Networks)
}

fn parse_size(text: &str) -> Result<usize, String> {
    /// Below this not even one segment finds room.
    const LEAST: usize = 8 << 10;
    const MOST: usize = 16 << 30;
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let size = digits
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    size.filter(|size| (LEAST..=MOST).contains(size))
        .ok_or_else(|| "not a number of octets between 8K and 16G".to_owned())
}

/// Reads bits per second, and answers octets per second.
fn parse_rate(text: &str) -> Result<u32, String> {
    const UNITS: [(&str, u64); 4] = [
        ("kbit", 1_000),
        ("mbit", 1_000_000),
        ("gbit", 1_000_000_000),
        ("bit", 1),
    ];
    /// Below this a segment takes more than a second.
    const LEAST: u64 = 8_000;
    const MOST: u64 = 32_000_000_000;
    let lower = text.to_ascii_lowercase();
    let bits = UNITS.into_iter().find_map(|(unit, worth)| {
        let number = lower.strip_suffix(unit)?.parse::<u64>().ok()?;
        number.checked_mul(worth)
    });
    bits.filter(|bits| (LEAST..=MOST).contains(bits))
        .and_then(|bits| u32::try_from(bits / 8).ok())
        .ok_or_else(|| "not a rate between 8kbit and 32gbit per second".to_owned())
}
