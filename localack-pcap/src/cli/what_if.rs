//! `localack-pcap what-if`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::options::parse_size;
use super::{Failure, complain, open, progress_bar};
use crate::whatif::{
    ControllerChoice, Options, Place, SenderChoice, Told, WhatIf, what_if, write_text,
};

/// Simulates the connections of a capture without an engine and with one.
#[derive(Debug, Args)]
pub(super) struct WhatIfArgs {
    /// The capture, pcap or pcapng; `-` reads standard input; without it the embedded sample.
    file: Option<PathBuf>,
    /// Round trip between the ends without queues, in milliseconds; if not given, estimated.
    #[arg(long, value_name = "MS", value_parser = parse_rtt)]
    rtt: Option<f64>,
    /// Rate of the bottleneck in Mbit/s; if not given, estimated.
    #[arg(long, value_name = "MBIT", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Data packets that the path loses, in percent; if not given, estimated.
    #[arg(long, value_name = "PCT", value_parser = parse_loss)]
    loss: Option<f64>,
    /// Who decides in the engine how much may be in flight; `provisioned` vouches for the rate.
    #[arg(long, value_enum, default_value_t = ControllerArg::Bbr)]
    controller: ControllerArg,
    /// Where the engine is.
    #[arg(long, value_enum, default_value_t = PlaceArg::NearSender)]
    place: PlaceArg,
    /// The congestion control of the simulated hosts.
    #[arg(long, value_enum, default_value_t = SenderArg::Cubic)]
    sender: SenderArg,
    /// With how many seeds paths that lose packets are simulated.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    seeds: u32,
    /// Connections that are simulated, the largest first.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Octets that the engine may hold for a connection; K, M and G stand for powers of 1024.
    #[arg(long, value_name = "BYTES", default_value = "4M", value_parser = parse_buffer)]
    buffer: u32,
    /// Print the answer as JSON and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ControllerArg {
    /// The window grows by a segment a round trip and is halved by a loss.
    Reno,
    /// It follows a cubic curve of the time since the last loss.
    Cubic,
    /// It follows a model of the path's bandwidth and shortest round trip.
    Bbr,
    /// The path's rate, given or estimated, is vouched for.
    Provisioned,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum PlaceArg {
    /// Beside the end that sends more.
    NearSender,
    /// Beside the end that receives more.
    NearReceiver,
    /// Half way between them.
    Middle,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum SenderArg {
    /// As in Linux, with HyStart.
    Cubic,
    /// RFC 5681.
    Reno,
}

impl PlaceArg {
    pub(super) const fn place(self) -> Place {
        match self {
            Self::NearSender => Place::NearSender,
            Self::NearReceiver => Place::NearReceiver,
            Self::Middle => Place::Middle,
        }
    }
}

impl SenderArg {
    pub(super) const fn choice(self) -> SenderChoice {
        match self {
            Self::Cubic => SenderChoice::Cubic,
            Self::Reno => SenderChoice::Reno,
        }
    }
}

/// Simulates and reports; nothing can be violated.
pub(super) fn run(args: &WhatIfArgs) -> Result<u64, Failure> {
    let (name, opened) = open(args.file.as_deref());
    let mut source = opened.map_err(|error| Failure::Open {
        name: name.clone(),
        error,
    })?;
    let bar = progress_bar(args.file.as_deref(), args.json);
    let answer = what_if(&mut source, &args.options(), &mut |octets| {
        bar.set_position(octets);
    });
    bar.finish_and_clear();
    if let Some(cut) = source.cut() {
        complain(&format!(
            "warning: {name}: {} at offset {}; what came before is used",
            cut.reason, cut.offset
        ));
    }
    if answer.flows.is_empty() {
        return Err(Failure::NothingToSimulate {
            name,
            reason: reason(&answer),
        });
    }
    print(args, &name, &answer).or_else(|error| match error.kind() {
        // Whoever reads has seen enough.
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::Print(error)),
    })?;
    Ok(0)
}

/// Why the largest conversation could not be simulated.
fn reason(answer: &WhatIf) -> String {
    match answer.skipped.first() {
        None => "no TCP in it".to_owned(),
        Some(first) => format!("{} -> {}: {}", first.client, first.server, first.reason),
    }
}

fn print(args: &WhatIfArgs, name: &str, answer: &WhatIf) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.json {
        serde_json::to_writer_pretty(&mut out, answer)?;
        writeln!(out)?;
    } else {
        write_text(&mut out, name, answer)?;
    }
    out.flush()
}

impl WhatIfArgs {
    const fn options(&self) -> Options {
        Options {
            told: Told {
                rtt_ms: self.rtt,
                rate_mbit: self.rate,
                loss_pct: self.loss,
            },
            controller: match self.controller {
                ControllerArg::Reno => ControllerChoice::Reno,
                ControllerArg::Cubic => ControllerChoice::Cubic,
                ControllerArg::Bbr => ControllerChoice::Bbr,
                ControllerArg::Provisioned => ControllerChoice::Provisioned,
            },
            place: self.place.place(),
            sender: self.sender.choice(),
            seeds: self.seeds,
            top: self.top,
            buffer: self.buffer,
        }
    }
}

pub(super) fn parse_rtt(text: &str) -> Result<f64, String> {
    number(text, "ms", 0.01..=60_000.0)
        .ok_or_else(|| "not a time between 0.01 and 60000 milliseconds".to_owned())
}

pub(super) fn parse_rate(text: &str) -> Result<f64, String> {
    number(text, "mbit", 0.01..=10_000.0)
        .ok_or_else(|| "not a rate between 0.01 and 10000 Mbit/s".to_owned())
}

pub(super) fn parse_loss(text: &str) -> Result<f64, String> {
    number(text, "%", 0.0..=50.0).ok_or_else(|| "not a share between 0 and 50 percent".to_owned())
}

/// A number with or without its unit.
fn number(text: &str, unit: &str, range: core::ops::RangeInclusive<f64>) -> Option<f64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.strip_suffix(unit).unwrap_or(&lower).trim_end();
    digits.parse().ok().filter(|number| range.contains(number))
}

fn parse_buffer(text: &str) -> Result<u32, String> {
    /// The simulator lends as much for each run.
    const MOST: u32 = 1 << 30;
    let size = parse_size(text)?;
    u32::try_from(size)
        .ok()
        .filter(|&size| size <= MOST)
        .ok_or_else(|| "more than 1G".to_owned())
}
