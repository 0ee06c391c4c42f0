//! `localack-pcap report`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::options::{EngineArgs, OrderArgs};
use super::{Failure, examine, open, progress_bar, spare_input};
use crate::html::{Content, DRAWN, Page};
use crate::output;
use crate::replay::replay_watched;
use crate::trace::Traces;

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
}

/// Replays and writes the page; answers how many invariants were violated.
pub(super) fn run(args: &ReportArgs) -> Result<u64, Failure> {
    let input = args.file.as_deref();
    spare_input(&args.html, input)?;
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
    let page = Page::new(&Content {
        name: &name,
        report: &report,
        traces: &traces,
        options: &options,
        top: order.top,
        sort: order.sort,
    })?;
    output::write(&args.html, page.html.as_bytes())?;
    if let Some(folder) = &args.svg {
        write_plots(folder, &page, input)?;
    }
    Ok(report.invariants.violations)
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
