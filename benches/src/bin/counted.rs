//! Does a case again and again, so that `.ci/instructions.py` can count the instructions that it takes.
//!
//! Everything that belongs to the case, and nothing else, is done in a function called
//! `inside_the_count`: `valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*inside_the_count*'`.

use core::hint::black_box;
use std::process::ExitCode;

use benches::load::Case;
use benches::load::cases::every::{bound, every, with};
use clap::Parser;

/// Batches that are done before the count begins, and in it.
const WARM: usize = 2;
const COUNTED: usize = 10;

/// Does one case, and prints how many units of it were inside the count.
#[derive(Debug, Parser)]
struct Arguments {
    /// The case.
    #[arg(required_unless_present = "list")]
    case: Option<String>,
    /// Print all cases; behind some, what they are compared with, and how many times as much they may take.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for name in every() {
            match bound(name) {
                Some((ordinary, times)) => println!("{name} {ordinary} {times}"),
                None => println!("{name}"),
            }
        }
        return ExitCode::SUCCESS;
    }
    let name = arguments.case.unwrap_or_default();
    match with(&name, count).and_then(|units| units) {
        Ok(units) => {
            println!("{units}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn count(case: &mut dyn Case) -> Result<u32, String> {
    for _ in 0..WARM {
        case.prepare();
        let _ = case.run();
        case.check()?;
    }
    let mut units = 0;
    for _ in 0..COUNTED {
        case.prepare();
        units += inside_the_count(case);
        case.check()?;
    }
    Ok(units)
}

/// What is counted. The parameter keeps it from being called in place of `run`.
#[inline(never)]
fn inside_the_count(case: &mut dyn Case) -> u32 {
    black_box(black_box(case).run())
}
