//! The least that the rows must show.

use super::cell::{Cell, Contender, Scenario};
use super::row::Row;

/// One demand, and what was measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Bar {
    /// What is demanded of which cell.
    pub name: String,
    /// What was measured; `None` if nothing was.
    pub value: Option<f64>,
    /// The bound; `None` if what it is derived from was not measured.
    pub bound: Option<f64>,
    /// Whether the bound is the least (of a share) or the most (of a time).
    pub is_least: bool,
}

impl Bar {
    /// Whether the demand is met.
    #[must_use]
    pub fn is_met(&self) -> bool {
        match (self.value, self.bound) {
            (Some(value), Some(bound)) if self.is_least => value >= bound,
            (Some(value), Some(bound)) => value <= bound,
            _ => false,
        }
    }
}

/// The demands, with what `rows` say about them.
#[must_use]
pub fn bars(rows: &[Row]) -> Vec<Bar> {
    let mut bars = Bars {
        rows,
        list: Vec::new(),
    };
    bars.long_paths();
    bars.small_objects();
    bars.other_scenarios();
    bars.short_paths();
    bars.list
}

struct Bars<'r> {
    rows: &'r [Row],
    list: Vec<Bar>,
}

impl Bars<'_> {
    fn row(&self, cell: &Cell) -> Option<&Row> {
        let name = cell.name();
        self.rows.iter().find(|row| row.name() == name)
    }

    fn share(&self, cell: &Cell) -> Option<f64> {
        self.row(cell)?.goodput_share
    }

    fn share_at_least(&mut self, cell: &Cell, bound: Option<f64>, why: &str) {
        self.list.push(Bar {
            name: format!("{}: goodput{why}", cell.name()),
            value: self.share(cell),
            bound,
            is_least: true,
        });
    }

    fn time_at_most(&mut self, cell: &Cell, size: &str, bound: f64) {
        let each = self.row(cell).map(|row| row.completion_over_limit.each());
        let time = each.and_then(|each| each.iter().find(|&&(name, _)| name == size)?.1);
        self.list.push(Bar {
            name: format!("{}: {size} over the limit", cell.name()),
            value: time,
            bound: Some(bound),
            is_least: false,
        });
    }

    fn long_paths(&mut self) {
        for rate in [20, 100] {
            for (loss, provisioned, bbr) in
                [(0, 0.95, 0.90), (10_000, 0.95, 0.85), (30_000, 0.92, 0.75)]
            {
                let cell = |who| Cell::bulk(600, rate, loss, who);
                self.share_at_least(&cell(Contender::Provisioned), Some(provisioned), "");
                self.share_at_least(&cell(Contender::Bbr), Some(bbr), "");
                let textbooks = Contender::TEXTBOOKS.map(|who| self.share(&cell(who)));
                let best = textbooks.into_iter().flatten().reduce(f64::max);
                let why = ", 0.97 of the better textbook";
                self.share_at_least(&cell(Contender::Cubic), best.map(|best| 0.97 * best), why);
            }
        }
    }

    fn small_objects(&mut self) {
        for rate in [20, 100] {
            let cell = Cell::bulk(600, rate, 0, Contender::Provisioned);
            self.time_at_most(&cell, "60k", 1.75);
            self.time_at_most(&cell.trusting(), "60k", 1.15);
            self.time_at_most(&cell.trusting(), "100k", 1.75);
        }
    }

    fn other_scenarios(&mut self) {
        for who in Contender::ENGINES {
            let cell = Cell::bulk(50, 100, 0, who).with(Scenario::SmallSndbuf);
            self.share_at_least(&cell, Some(0.95), "");
        }
        for who in [Contender::Cubic, Contender::Bbr] {
            let cell = Cell::bulk(600, 20, 0, who).with(Scenario::Resume);
            self.time_at_most(&cell, "20m", 1.25);
        }
    }

    fn short_paths(&mut self) {
        for rate in [2, 20, 100, 1000] {
            let direct = self.share(&Cell::bulk(10, rate, 0, Contender::Direct));
            for who in Contender::ENGINES {
                let cell = Cell::bulk(10, rate, 0, who);
                let bound = direct.map(|direct| 0.98 * direct);
                self.share_at_least(&cell, bound, ", 0.98 of direct");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goodput::{Completion, subset};

    #[test]
    fn every_bar_speaks_of_a_cell_of_the_subset_and_is_met_by_perfect_rows() {
        let perfect = |cell: &Cell| {
            let mut row = Row::of(cell, 1);
            row.goodput_share = Some(1.0);
            row.completion_over_limit = Completion::from_sizes([Some(1.0); 5]);
            row
        };
        let rows: Vec<Row> = subset().iter().map(perfect).collect();
        let met = bars(&rows);
        assert_eq!(met.len(), 6 * 3 + 6 + 4 + 2 + 16);
        for bar in met {
            assert!(bar.is_met(), "{bar:?}");
        }
        assert!(bars(&[]).iter().all(|bar| !bar.is_met()));
    }

    #[test]
    fn a_bar_is_met_on_the_right_side_of_its_bound() {
        let bar = |value, is_least| Bar {
            name: String::new(),
            value: Some(value),
            bound: Some(0.9),
            is_least,
        };
        assert!(bar(0.91, true).is_met() && !bar(0.89, true).is_met());
        assert!(bar(0.89, false).is_met() && !bar(0.91, false).is_met());
    }
}
