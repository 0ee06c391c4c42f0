//! Shorter ways to the same fault.

use super::operation::{Operation, Setup};
use super::print::Script;
use super::{Failure, live, run};

/// Runs that may be spent on it.
const MOST_RUNS: usize = 4_000;
/// Letters of a fault that tell it from others.
const KIND: usize = 40;

/// The shortest way to the same kind of fault that leaving operations out, and plainer settings, lead to.
#[must_use]
pub fn minimise(failure: &Failure) -> Failure {
    let mut search = Search {
        setup: failure.setup,
        operations: failure.operations.clone(),
        fault: failure.fault.clone(),
        runs: 0,
    };
    loop {
        let before = (search.operations.len(), search.setup);
        search.leave_out();
        search.make_plainer();
        if before == (search.operations.len(), search.setup) || search.runs >= MOST_RUNS {
            break;
        }
    }
    let script = Script::new(&search.setup, false);
    let (fault, script) = match live(&search.setup, &search.operations, script) {
        Ok(_) => (search.fault, String::new()),
        Err((fault, script)) => (fault, script),
    };
    Failure {
        fault,
        setup: search.setup,
        operations: search.operations,
        script,
    }
}

/// A fault without its numbers.
fn kind(fault: &str) -> String {
    let plain = fault.chars().filter(|letter| !letter.is_ascii_digit());
    plain.take(KIND).collect()
}

struct Search {
    setup: Setup,
    operations: Vec<Operation>,
    fault: String,
    runs: usize,
}

impl Search {
    fn fails(&mut self, setup: &Setup, operations: &[Operation]) -> bool {
        self.runs += 1;
        if self.runs > MOST_RUNS {
            return false;
        }
        match run(setup, operations) {
            Ok(_) => false,
            Err(failure) => kind(&failure.fault) == kind(&self.fault),
        }
    }

    /// Leaves out ever smaller pieces, from the end.
    fn leave_out(&mut self) {
        let mut piece = self.operations.len().div_ceil(2).max(1);
        loop {
            let mut end = self.operations.len();
            while end > 0 {
                let start = end.saturating_sub(piece);
                let mut shorter = self.operations.clone();
                shorter.drain(start..end);
                let setup = self.setup;
                if self.fails(&setup, &shorter) {
                    self.operations = shorter;
                }
                end = start.min(self.operations.len());
            }
            if piece == 1 {
                return;
            }
            piece = piece.div_ceil(2).max(1);
        }
    }

    /// Sets one setting after another to its default.
    fn make_plainer(&mut self) {
        let plain = Setup::default();
        let edits: [fn(&mut Setup, &Setup); 15] = [
            |setup, plain| setup.v6 = plain.v6,
            |setup, plain| setup.timestamps = plain.timestamps,
            |setup, plain| setup.sack = plain.sack,
            |setup, plain| setup.shift = plain.shift,
            |setup, plain| setup.outer_opens = plain.outer_opens,
            |setup, plain| setup.isns = plain.isns,
            |setup, plain| setup.room = plain.room,
            |setup, plain| setup.mss = plain.mss,
            |setup, plain| setup.blocks = plain.blocks,
            |setup, plain| setup.controller = plain.controller,
            |setup, plain| setup.ecn = plain.ecn,
            |setup, plain| setup.third_lost = plain.third_lost,
            |setup, plain| setup.again = plain.again,
            |setup, plain| {
                (setup.lazy, setup.paced, setup.early) = (plain.lazy, plain.paced, plain.early);
            },
            |setup, plain| (setup.served, setup.orderly) = (plain.served, true),
        ];
        for edit in edits {
            let mut plainer = self.setup;
            edit(&mut plainer, &plain);
            let operations = self.operations.clone();
            if plainer != self.setup && self.fails(&plainer, &operations) {
                self.setup = plainer;
            }
        }
    }
}
