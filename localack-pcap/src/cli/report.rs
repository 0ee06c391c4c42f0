//! `localack-pcap report`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::options::{EngineArgs, OrderArgs};
use super::what_if::{PlaceArg, SenderArg, parse_loss, parse_rate, parse_rtt};
use super::{Failure, examine, open, progress_bar, spare_input};
use crate::html::{Content, DRAWN, Page};
use crate::output;
use crate::replay::replay_watched;
use crate::trace::Traces;
use crate::whatif::{self, Chosen, Told, what_if_of};

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The capture, pcap or pcapng; `-` reads standard input; without it the embedded sample.
    file: Option<PathBuf>,
    /// The HTML file to write; it needs no other file and no network.
    #[arg(long, value_name = "OUT.html")]
    html: PathBuf,
    /// Write each graph into this folder, too, as an SVG file.
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Show no progress; errors, warnings and violations are still told.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    order: OrderArgs,
    #[command(flatten)]
    simulation: SimulationArgs,
}

/// What is simulated, too.
#[derive(Debug, Args)]
struct SimulationArgs {
    /// Foretell, too, how the conversations that are drawn would go with an engine in the path, as the
    /// command `what-if` does: with the same --controller, by default bbr.
    #[arg(long)]
    what_if: bool,
    /// For --what-if: round trip between the ends without queues, in milliseconds [default: estimated].
    #[arg(long, value_name = "MS", requires = "what_if", visible_alias = "rtt", value_parser = parse_rtt)]
    path_rtt: Option<f64>,
    /// For --what-if: rate of the bottleneck in Mbit/s [default: estimated].
    #[arg(long, value_name = "MBIT", requires = "what_if", value_parser = parse_rate)]
    path_rate: Option<f64>,
    /// For --what-if: data packets that the path loses, in percent [default: estimated].
    #[arg(long, value_name = "PCT", requires = "what_if", visible_alias = "loss", value_parser = parse_loss)]
    path_loss: Option<f64>,
    /// For --what-if: where the engine is.
    #[arg(long, value_enum, requires = "what_if", default_value_t = PlaceArg::NearSender)]
    place: PlaceArg,
    /// For --what-if: the congestion control of the simulated hosts.
    #[arg(long, value_enum, requires = "what_if", default_value_t = SenderArg::Cubic)]
    sender: SenderArg,
    /// For --what-if: with how many seeds paths that lose packets are simulated.
    #[arg(long, value_name = "N", requires = "what_if", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    seeds: u32,
}

/// Replays and writes the page; answers how many invariants were violated.
pub(super) fn run(args: &ReportArgs) -> Result<u64, Failure> {
    let input = args.file.as_deref();
    spare_input(&args.html, input)?;
    if args.simulation.what_if && input == Some(Path::new("-")) {
        return Err(Failure::ReadTwice);
    }
    let (name, opened) = open(input);
    let mut source = opened.map_err(|error| Failure::Open {
        name: name.clone(),
        error,
    })?;
    let (options, order) = (args.engine.options(), args.order.layout());
    let mut traces = Traces::new(order.top.min(DRAWN), order.sort);
    let bar = progress_bar(input, args.quiet);
    let report = replay_watched(&mut source, &options, None, &mut traces, &mut |octets| {
        bar.set_position(octets);
    })?;
    bar.finish_and_clear();
    examine(&name, &report)?;
    let what_if = if args.simulation.what_if {
        let drawn = Content::drawn(&report, order.top, order.sort);
        Some(foretell(args, &drawn)?)
    } else {
        None
    };
    let page = Page::new(&Content {
        name: &name,
        report: &report,
        traces: &traces,
        options: &options,
        top: order.top,
        sort: order.sort,
        what_if: what_if.as_ref(),
    })?;
    output::write(&args.html, page.html.as_bytes())?;
    if let Some(folder) = &args.svg {
        write_plots(folder, &page, input)?;
    }
    Ok(report.invariants.violations)
}

/// Reads the capture again, and simulates what is drawn of it.
fn foretell(args: &ReportArgs, drawn: &[usize]) -> Result<Chosen, Failure> {
    let (input, simulation) = (args.file.as_deref(), &args.simulation);
    let (name, opened) = open(input);
    let mut source = opened.map_err(|error| Failure::Open { name, error })?;
    let options = whatif::Options {
        told: Told {
            rtt_ms: simulation.path_rtt,
            rate_mbit: simulation.path_rate,
            loss_pct: simulation.path_loss,
        },
        controller: args.engine.simulated(),
        place: simulation.place.place(),
        sender: simulation.sender.choice(),
        seeds: simulation.seeds,
        ..whatif::Options::default()
    };
    let bar = progress_bar(input, args.quiet);
    let chosen = what_if_of(&mut source, &options, drawn, &mut |octets| {
        bar.set_position(octets);
    });
    bar.finish_and_clear();
    Ok(chosen)
}

fn write_plots(folder: &Path, page: &Page, input: Option<&Path>) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| Failure::Create {
        path: folder.to_owned(),
        error,
    })?;
    for (name, svg) in &page.plots {
        let path = folder.join(format!("{name}.svg"));
        spare_input(&path, input)?;
        output::write(&path, svg.as_bytes())?;
    }
    Ok(())
}
