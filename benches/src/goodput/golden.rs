//! Figures that must not get worse.

use std::path::{Path, PathBuf};

use super::row::Row;

/// How much less a goodput share may be, absolute.
const SHARE: f64 = 0.02;
/// How much longer a transfer may take, relative.
const TIME: f64 = 0.05;
/// How much more may be retransmitted, as a share of all, absolute.
const RETRANSMITTED: f64 = 0.01;
/// How much more may be in custody, relative.
const CUSTODY: f64 = 0.25;

/// What became worse and what became better, beyond what is tolerated.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Comparison {
    /// What became worse, or is not measured any more.
    pub worse: Vec<String>,
    /// What became better, or is new: worth a new golden file.
    pub better: Vec<String>,
}

/// Where the golden file is.
#[must_use]
pub fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("goodput.golden.json")
}

/// Reads a golden file.
///
/// # Errors
/// What is wrong with the file, in words.
pub fn read(path: &Path) -> Result<Vec<Row>, String> {
    let wrong = |error: &dyn core::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}

/// Writes a golden file.
///
/// # Errors
/// Why the file cannot be written, in words.
pub fn write(path: &Path, rows: &[Row]) -> Result<(), String> {
    std::fs::write(path, json(rows)).map_err(|error| format!("{}: {error}", path.display()))
}

/// Rows as a JSON list, one row a line.
#[must_use]
pub fn json(rows: &[Row]) -> String {
    let line = |row| serde_json::to_string(row).expect("a row is plain data");
    let lines: Vec<String> = rows.iter().map(line).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// Compares new figures with golden ones.
#[must_use]
pub fn compare(golden: &[Row], rows: &[Row]) -> Comparison {
    let mut comparison = Comparison::default();
    for old in golden {
        let name = old.name();
        match rows.iter().find(|row| row.name() == name) {
            Some(new) => comparison.row(&name, old, new),
            None => comparison.worse.push(format!("{name}: not measured")),
        }
    }
    for row in rows {
        if golden.iter().all(|old| old.name() != row.name()) {
            comparison.better.push(format!("{}: new", row.name()));
        }
    }
    comparison
}

impl Comparison {
    fn row(&mut self, name: &str, old: &Row, new: &Row) {
        let shares = (old.goodput_share, new.goodput_share);
        self.figure(&format!("{name}: goodput"), shares, SHARE, false);
        let times = [old, new].map(|row| row.completion_over_limit.each());
        for ((size, before), (_, after)) in times[0].into_iter().zip(times[1]) {
            let margin = TIME * before.unwrap_or(0.0);
            self.figure(&format!("{name}: {size}"), (before, after), margin, true);
        }
        let again = [old, new].map(|row| Some(row.retransmitted_share));
        let again = (again[0], again[1]);
        let text = format!("{name}: share retransmitted");
        self.figure(&text, again, RETRANSMITTED, true);
        let custody = [old, new].map(|row| row.peak_custody_bytes.map(f64::from));
        let margin = CUSTODY * custody[0].unwrap_or(0.0);
        let text = format!("{name}: octets in custody");
        self.figure(&text, (custody[0], custody[1]), margin, true);
    }

    fn figure(
        &mut self,
        name: &str,
        (old, new): (Option<f64>, Option<f64>),
        margin: f64,
        less_is_better: bool,
    ) {
        let text = |figure: Option<f64>| figure.map_or("nothing".into(), |f| f.to_string());
        let text = format!("{name}: was {}, now {}", text(old), text(new));
        let gain = match (old, new) {
            (Some(old), Some(new)) if less_is_better => old - new,
            (Some(old), Some(new)) => new - old,
            (Some(_), None) => f64::NEG_INFINITY,
            (None, Some(_)) => f64::INFINITY,
            (None, None) => 0.0,
        };
        if gain < -margin {
            self.worse.push(text);
        } else if gain > margin {
            self.better.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goodput::{Cell, Contender, checked};

    fn row() -> Row {
        let mut row = Row::of(&Cell::bulk(600, 20, 0, Contender::Bbr), 1);
        row.goodput_share = Some(0.9);
        row.completion_over_limit.of_60k = Some(1.5);
        row.retransmitted_share = 0.02;
        row.peak_custody_bytes = Some(1_000_000);
        row
    }

    fn compared(change: impl FnOnce(&mut Row)) -> (usize, usize) {
        let mut new = row();
        change(&mut new);
        let Comparison { worse, better } = compare(&[row()], &[new]);
        (worse.len(), better.len())
    }

    #[test]
    fn each_figure_has_its_margin_and_its_better_side() {
        assert_eq!(compared(|_| ()), (0, 0));
        let share = |share| move |row: &mut Row| row.goodput_share = Some(share);
        assert_eq!(compared(share(0.881)), (0, 0));
        assert_eq!(compared(share(0.879)), (1, 0));
        assert_eq!(compared(share(0.921)), (0, 1));
        let time = |time| move |row: &mut Row| row.completion_over_limit.of_60k = time;
        assert_eq!(compared(time(Some(1.57))), (0, 0));
        assert_eq!(compared(time(Some(1.58))), (1, 0));
        assert_eq!(compared(time(Some(1.42))), (0, 1));
        assert_eq!(compared(time(None)), (1, 0));
        assert_eq!(compared(|row| row.retransmitted_share = 0.031), (1, 0));
        let custody = |octets| move |row: &mut Row| row.peak_custody_bytes = Some(octets);
        assert_eq!(compared(custody(1_240_000)), (0, 0));
        assert_eq!(compared(custody(1_260_000)), (1, 0));
        assert_eq!(compared(custody(700_000)), (0, 1));
    }

    #[test]
    fn the_golden_file_has_the_cells_that_are_checked() {
        let golden: Vec<String> = read(&file()).unwrap().iter().map(Row::name).collect();
        let cells: Vec<String> = checked().iter().map(Cell::name).collect();
        assert_eq!(golden, cells);
    }

    #[test]
    fn a_row_that_is_missing_is_worse_and_a_new_one_better() {
        let mut other = row();
        other.rate_mbit = 100;
        let Comparison { worse, better } = compare(&[row()], &[other]);
        assert_eq!((worse.len(), better.len()), (1, 1));
    }
}
