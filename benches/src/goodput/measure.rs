//! Measuring cells.

use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::Mutex;

use super::cell::{Cell, Scenario};
use super::lab::{Lab, memory};
use super::row::{Completion, OBJECTS, Row, rounded};

/// Virtual time in which an object must have arrived, and a connection be closed.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Virtual time between two connections.
const PAUSE: Duration = Duration::from_secs(5);
/// What each connection of [`Scenario::Resume`] sends.
const RESUMED: u32 = 20_000_000;

/// A row, and what went wrong while it was measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The figures.
    pub row: Row,
    /// Faults that a host or the engine found, and what did not come to its end.
    pub faults: Vec<String>,
}

/// Measures one cell with losses from `seed`.
#[must_use]
pub fn measure(cell: &Cell, seed: u64) -> Outcome {
    let mut outcome = Outcome {
        row: Row::of(cell, seed),
        faults: Vec::new(),
    };
    match cell.scenario {
        Scenario::Bulk | Scenario::SmallSndbuf => {
            endless(cell, &mut outcome);
            let times = OBJECTS.map(|octets| object(cell, octets, &mut outcome));
            outcome.row.completion_over_limit = Completion::from_sizes(times);
        }
        Scenario::Resume => resumed(cell, &mut outcome),
    }
    outcome
}

/// An endless source.
fn endless(cell: &Cell, outcome: &mut Outcome) {
    let mut memory = memory(cell);
    let mut lab = Lab::new(*cell, outcome.row.seed, memory.as_mut(), None);
    lab.run_for(cell.duration());
    outcome.row.goodput_share = Some(rounded(lab.received() as f64 / cell.most_octets()));
    finish(lab, outcome);
}

/// One object; its time over the least possible.
fn object(cell: &Cell, octets: u32, outcome: &mut Outcome) -> Option<f64> {
    let mut memory = memory(cell);
    let mut lab = Lab::new(*cell, outcome.row.seed, memory.as_mut(), Some(octets));
    let ratio = transfer(&mut lab, cell, octets, outcome);
    outcome.faults.extend(lab.into_faults());
    ratio
}

/// A second connection after one that has shown what the path is like.
fn resumed(cell: &Cell, outcome: &mut Outcome) {
    let mut memory = memory(cell);
    let mut lab = Lab::new(*cell, outcome.row.seed, memory.as_mut(), Some(RESUMED));
    if transfer(&mut lab, cell, RESUMED, outcome).is_some() {
        lab.run_for(PAUSE);
        lab.reconnect(RESUMED);
        outcome.row.completion_over_limit.of_20m = transfer(&mut lab, cell, RESUMED, outcome);
    }
    finish(lab, outcome);
}

/// Runs a connection for `octets` to its end; the time until all have arrived over the least possible.
fn transfer(lab: &mut Lab<'_>, cell: &Cell, octets: u32, outcome: &mut Outcome) -> Option<f64> {
    let Some(time) = lab.run_until(octets.into(), PATIENCE) else {
        let got = lab.received();
        outcome
            .faults
            .push(format!("{got} octets of {octets} arrived in an hour"));
        return None;
    };
    if !lab.close(PATIENCE) {
        outcome
            .faults
            .push(format!("the connection that sent {octets} did not close"));
    }
    Some(rounded(time.as_secs_f64() / cell.least_seconds(octets)))
}

/// Takes the figures of the latest connection, and of the whole run.
fn finish(lab: Lab<'_>, outcome: &mut Outcome) {
    outcome.row.duration_s = rounded(lab.elapsed().as_secs_f64());
    outcome.row.retransmitted_share = rounded(lab.reading().retransmitted_share());
    outcome.row.peak_custody_bytes = lab.peak_custody();
    outcome.faults.extend(lab.into_faults());
}

/// Measures all of `cells` on `threads` threads; a panic becomes a fault. The outcomes come in the
/// order of the cells.
#[must_use]
pub fn measure_all(cells: &[Cell], seed: u64, threads: usize) -> Vec<Outcome> {
    spread(cells, threads, |cell| measure_or_tell(cell, seed))
}

/// What `task` makes of each cell, in the order of the cells, worked out on several threads.
fn spread<T: Send>(cells: &[Cell], threads: usize, task: impl Fn(&Cell) -> T + Sync) -> Vec<T> {
    // The long ones first, so that no thread is left with one at the end.
    let mut order: Vec<(usize, &Cell)> = cells.iter().enumerate().collect();
    order.sort_by_key(|(_, cell)| core::cmp::Reverse(cell.cost()));
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some(&(place, cell)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = task(cell);
            done.lock()
                .expect("nobody panics with it")
                .push((place, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().expect("nobody panicked with it");
    done.sort_by_key(|&(place, _)| place);
    done.into_iter().map(|(_, result)| result).collect()
}

fn measure_or_tell(cell: &Cell, seed: u64) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| measure(cell, seed))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Outcome {
            row: Row::of(cell, seed),
            faults: vec![format!("panicked: {}", text.unwrap_or("without words"))],
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goodput::Contender;

    /// The outcome of a cell before anything is measured.
    fn blank(cell: &Cell, seed: u64) -> Outcome {
        Outcome {
            row: Row::of(cell, seed),
            faults: Vec::new(),
        }
    }

    #[test]
    fn results_stand_in_the_order_of_the_cells() {
        let cells = crate::goodput::full();
        for threads in [1, 3] {
            let names = spread(&cells, threads, Cell::name);
            let expected: Vec<String> = cells.iter().map(Cell::name).collect();
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn a_panic_is_a_fault_of_its_cell_alone() {
        // A cell without a rate cannot be simulated.
        let broken = Cell::bulk(50, 0, 0, Contender::Direct);
        let outcome = measure_or_tell(&broken, 1);
        assert_eq!(outcome.row, Row::of(&broken, 1));
        assert!(
            outcome.faults[0].starts_with("panicked: "),
            "{:?}",
            outcome.faults
        );
    }

    #[test]
    fn a_seed_repeats_and_another_loses_other_packets() {
        for who in [Contender::Direct, Contender::Reno] {
            let cell = Cell::bulk(50, 20, 10_000, who);
            let time = |seed| object(&cell, 1_000_000, &mut blank(&cell, seed)).unwrap();
            let differ = (2..5).any(|seed| time(seed) != time(1));
            assert!(time(1) == time(1) && differ, "{who:?}");
        }
    }

    #[test]
    fn a_sender_alone_and_an_engine_fill_a_short_clean_path() {
        for who in [Contender::Direct, Contender::Reno] {
            let cell = Cell::bulk(50, 2, 0, who);
            let mut outcome = blank(&cell, 1);
            endless(&cell, &mut outcome);
            let times = OBJECTS[..4].iter();
            let times: Vec<f64> = times
                .map(|&octets| object(&cell, octets, &mut outcome).unwrap())
                .collect();
            let Outcome { row, faults } = outcome;
            assert_eq!(faults, [""; 0], "{who:?}");
            let share = row.goodput_share.unwrap();
            assert!((0.9..=1.0).contains(&share), "{who:?}: {share}");
            assert!(row.retransmitted_share < 0.1, "{who:?}: {row:?}");
            assert!(
                times.iter().all(|time| (1.0..1.5).contains(time)),
                "{times:?}"
            );
            assert_eq!(row.peak_custody_bytes.is_some(), who == Contender::Reno);
            assert!((119.9..120.1).contains(&row.duration_s), "{row:?}");
        }
    }

    #[test]
    fn a_second_connection_is_timed_from_its_own_beginning() {
        let cell = Cell::bulk(10, 100, 0, Contender::Reno).with(Scenario::Resume);
        let Outcome { row, faults } = measure(&cell, 1);
        assert_eq!(faults, [""; 0]);
        let time = row.completion_over_limit.of_20m.unwrap();
        assert!((1.0..1.5).contains(&time), "{time}");
        assert!(row.duration_s < 4.0, "{row:?}");
    }

    #[test]
    fn a_small_send_buffer_holds_back_the_sender_alone() {
        let cell = Cell::bulk(200, 20, 0, Contender::Direct).with(Scenario::SmallSndbuf);
        let mut outcome = blank(&cell, 1);
        endless(&cell, &mut outcome);
        // 64 KB in 200 ms are 2.7 Mbit/s of 20.
        let share = outcome.row.goodput_share.unwrap();
        assert!((0.10..0.14).contains(&share), "{share}");
    }
}
