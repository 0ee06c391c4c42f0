//! Prints the headline figures, each beside its floor or a peer that was measured in the same rounds.

use std::io::Write as _;
use std::process::ExitCode;

use benches::figures::memory::Usage;
use benches::figures::{Figure, Meter, json, measure, table};
use clap::Parser;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what is allocated: the engine must not.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// What the engine takes for a packet, beside what cannot be avoided and beside others.
#[derive(Debug, Parser)]
struct Arguments {
    /// Print a list of {name, ratio, min, max, against, ns, against_ns} instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure only figures with one of these words in their names, such as "cycle pass".
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
    /// Print what memory is used for instead.
    #[arg(long, conflicts_with_all = ["json", "only", "rounds"])]
    memory: bool,
    /// Rounds of each comparison, 1 or more.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

fn run(arguments: &Arguments) -> Result<(), String> {
    if arguments.memory {
        return print(&Usage::measure().table());
    }
    let meter = Meter {
        rounds: arguments.rounds.into(),
        allocations,
    };
    let words: Vec<&str> = arguments
        .only
        .iter()
        .flat_map(|words| words.split_whitespace())
        .collect();
    let tell = |figure: &Figure| eprintln!("{}: {:.2}", figure.name, figure.ratio);
    let figures = measure(&meter, &words, tell)?;
    let text = if arguments.json {
        json(&figures)
    } else {
        table(&figures)
    };
    print(&text)?;
    eprintln!("the engine has allocated nothing");
    Ok(())
}

fn print(text: &str) -> Result<(), String> {
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(|error| format!("standard output: {error}"))
}
