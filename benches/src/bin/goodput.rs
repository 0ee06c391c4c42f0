//! Prints what a receiver gets with and without an engine on the path, in virtual time.

use std::io::Write as _;
use std::process::ExitCode;

use benches::goodput::{
    Cell, Outcome, Row, bars, checked, full, golden, measure_all, subset, table_of_bars,
    table_of_rows,
};
use clap::Parser;

/// Goodput and transfer times with each congestion controller, beside a sender alone.
#[derive(Debug, Parser)]
struct Arguments {
    /// Print rows as JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure the whole matrix instead of what runs in minutes.
    #[arg(long)]
    full: bool,
    /// Judge the rows by the project's bars, and fail if one is missed.
    #[arg(long)]
    bars: bool,
    /// Measure the cells of the golden file, and fail if a figure became worse.
    #[arg(long, conflicts_with_all = ["full", "bars"])]
    check: bool,
    /// Measure the cells of the golden file, and write it anew.
    #[arg(long, conflicts_with_all = ["full", "bars", "check"])]
    bless: bool,
    /// Measure only cells that have all these words in their names, such as "600ms bbr".
    #[arg(long, value_name = "WORDS", conflicts_with_all = ["bars", "check", "bless"])]
    only: Option<String>,
    /// Seed of the losses.
    #[arg(long, default_value_t = 1, conflicts_with_all = ["check", "bless"])]
    seed: u64,
    /// How many cells are measured at a time.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

impl Arguments {
    fn cells(&self) -> Vec<Cell> {
        let mut cells = if self.check || self.bless {
            checked()
        } else if self.full {
            full()
        } else {
            subset()
        };
        for word in self.only.iter().flat_map(|words| words.split_whitespace()) {
            cells.retain(|cell| cell.name().split(' ').any(|part| part == word));
        }
        cells
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// False if a run went wrong, or what was asked for does not hold.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let old = arguments.check.then(|| golden::read(&golden::file()));
    let old = old.transpose()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the wait is real, whatever is measured"
    )]
    let started = std::time::Instant::now();
    let outcomes = measure_all(&arguments.cells(), arguments.seed, arguments.threads);
    let waited = started.elapsed().as_secs_f64();
    let nothing_wrong = report_faults(&outcomes);
    let rows: Vec<Row> = outcomes.into_iter().map(|outcome| outcome.row).collect();
    print(&rows, arguments.json)?;
    eprintln!("{} rows in {waited:.1} s", rows.len());
    let bars_met = !arguments.bars || judge(&rows);
    let none_worse = old.is_none_or(|old| check(&old, &rows));
    if arguments.bless {
        if !nothing_wrong {
            return Err("the golden file stays as it is".into());
        }
        golden::write(&golden::file(), &rows)?;
    }
    Ok(nothing_wrong && bars_met && none_worse)
}

fn report_faults(outcomes: &[Outcome]) -> bool {
    for Outcome { row, faults } in outcomes {
        for fault in faults {
            eprintln!("fault: {}: {fault}", row.name());
        }
    }
    outcomes.iter().all(|outcome| outcome.faults.is_empty())
}

fn print(rows: &[Row], as_json: bool) -> Result<(), String> {
    let text = if as_json {
        golden::json(rows)
    } else {
        table_of_rows(rows)
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .map_err(|error| format!("standard output: {error}"))
}

fn judge(rows: &[Row]) -> bool {
    let bars = bars(rows);
    let missed = bars.iter().filter(|bar| !bar.is_met()).count();
    eprint!("\n{}", table_of_bars(&bars));
    eprintln!("{missed} of {} bars missed", bars.len());
    missed == 0
}

fn check(old: &[Row], rows: &[Row]) -> bool {
    let golden::Comparison { worse, better } = golden::compare(old, rows);
    for line in &worse {
        eprintln!("worse: {line}");
    }
    for line in &better {
        eprintln!("better: {line}");
    }
    if !better.is_empty() {
        eprintln!("--bless writes what became better into the golden file");
    }
    worse.is_empty()
}
