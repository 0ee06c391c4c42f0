//! Prints what each service is good for, and where it is not, in virtual time.

use std::io::Write as _;
use std::process::ExitCode;

use benches::services::{Case, Outcome, Row, all, measure_all, tables};
use clap::Parser;

/// Scenarios with several arrangements of services each, in virtual time.
#[derive(Debug, Parser)]
struct Arguments {
    /// Print rows as JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Measure only cases whose names hold all these words, such as "lossy snoop".
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
    /// Seed of the losses.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many cases are measured at a time.
    #[arg(long, default_value_t = 2)]
    threads: usize,
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

/// False if something went wrong in a run.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let mut cases: Vec<Case> = all();
    for word in arguments.only.iter().flat_map(|words| words.split(' ')) {
        cases.retain(|case| case.name().contains(word));
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the wait is real, whatever is measured"
    )]
    let started = std::time::Instant::now();
    let outcomes = measure_all(&cases, arguments.seed, arguments.threads);
    let waited = started.elapsed().as_secs_f64();
    for Outcome { row, faults } in &outcomes {
        for fault in faults {
            eprintln!(
                "fault: {}, {}: {}: {fault}",
                row.scenario, row.path, row.arrangement
            );
        }
    }
    let nothing_wrong = outcomes.iter().all(|outcome| outcome.faults.is_empty());
    let rows: Vec<Row> = outcomes.into_iter().map(|outcome| outcome.row).collect();
    let text = if arguments.json {
        serde_json::to_string_pretty(&rows).map_err(|error| error.to_string())? + "\n"
    } else {
        tables(&cases, &rows)
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .map_err(|error| format!("standard output: {error}"))?;
    eprintln!("{} rows in {waited:.1} s", rows.len());
    Ok(nothing_wrong)
}
