//! Which cells are measured.

use super::cell::{Cell, Contender, Scenario};

const RTTS: [u32; 4] = [10, 50, 200, 600];
const RATES: [u32; 4] = [2, 20, 100, 1000];
/// In parts per million.
const LOSSES: [u32; 4] = [0, 1_000, 10_000, 30_000];

fn direct_and_engines() -> impl Iterator<Item = Contender> {
    [Contender::Direct].into_iter().chain(Contender::ENGINES)
}

fn everyone() -> impl Iterator<Item = Contender> {
    Contender::TEXTBOOKS.into_iter().chain(direct_and_engines())
}

/// Every cell that a bar speaks of, and some that show the ground between: they run in minutes.
#[must_use]
pub fn subset() -> Vec<Cell> {
    let mut cells = Vec::new();
    // The long paths of the bars, with the small objects on a path without loss.
    for rate in [20, 100] {
        for loss in [0, 10_000, 30_000] {
            cells.extend(everyone().map(|who| Cell::bulk(600, rate, loss, who)));
        }
        let trusted = |who| Cell::bulk(600, rate, 0, who).trusting();
        cells.extend(Contender::ENGINES.map(trusted));
    }
    for rate in RATES {
        cells.extend(direct_and_engines().map(|who| Cell::bulk(10, rate, 0, who)));
    }
    let small = |who| Cell::bulk(50, 100, 0, who).with(Scenario::SmallSndbuf);
    cells.extend(direct_and_engines().map(small));
    let resumed = |who| Cell::bulk(600, 20, 0, who).with(Scenario::Resume);
    cells.extend(direct_and_engines().map(resumed));
    for (rtt, rate, loss) in [(50, 20, 0), (50, 20, 10_000), (200, 20, 1_000), (200, 2, 0)] {
        cells.extend(everyone().map(|who| Cell::bulk(rtt, rate, loss, who)));
    }
    cells
}

/// The cells of [`subset`], and every other combination.
#[must_use]
pub fn full() -> Vec<Cell> {
    let mut cells = subset();
    for rtt in RTTS {
        for rate in RATES {
            for loss in LOSSES {
                let cell = |who| Cell::bulk(rtt, rate, loss, who);
                cells.extend(everyone().map(cell));
                for scenario in [Scenario::SmallSndbuf, Scenario::Resume] {
                    cells.extend(direct_and_engines().map(|who| cell(who).with(scenario)));
                }
            }
        }
    }
    let mut seen = Vec::new();
    cells.retain(|cell| {
        let is_new = !seen.contains(cell);
        if is_new {
            seen.push(*cell);
        }
        is_new
    });
    cells
}

/// The cells of the golden file: the cheap ones of [`subset`], of every kind.
#[must_use]
pub fn checked() -> Vec<Cell> {
    let is_cheap = |cell: &Cell| match cell.scenario {
        Scenario::Bulk => cell.rate_mbit <= 20,
        Scenario::SmallSndbuf | Scenario::Resume => true,
    };
    subset().into_iter().filter(is_cheap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_measured_twice_and_the_whole_holds_the_parts() {
        let names = |cells: Vec<Cell>| {
            let mut names: Vec<String> = cells.iter().map(Cell::name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
            names
        };
        let (all, most, some) = (names(full()), names(subset()), names(checked()));
        assert!(most.iter().all(|name| all.contains(name)));
        assert!(some.iter().all(|name| most.contains(name)));
        // 4 round trips, 4 rates, 4 losses: 7 contenders, and 5 in each of the other scenarios; and
        // the two rows of four with early custody.
        assert_eq!(all.len(), 64 * (7 + 2 * 5) + 8);
    }
}
