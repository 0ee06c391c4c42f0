//! Rows and bars for people.

use super::bars::Bar;
use super::row::Row;

const HEADINGS: [&str; 14] = [
    "scenario",
    "RTT ms",
    "Mbit/s",
    "loss %",
    "controller",
    "custody",
    "goodput",
    "10k",
    "60k",
    "100k",
    "1m",
    "20m",
    "resent %",
    "peak KiB",
];

/// A table of `rows`: goodput over what could have been, and times over the least possible.
#[must_use]
pub fn table_of_rows(rows: &[Row]) -> String {
    let figure = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
    let mut lines: Vec<[String; 14]> = vec![HEADINGS.map(String::from)];
    for row in rows {
        let times = row.completion_over_limit.each();
        let [of_10k, of_60k, of_100k, of_1m, of_20m] = times.map(|(_, time)| figure(time));
        let custody = row.peak_custody_bytes;
        lines.push([
            row.scenario.clone(),
            row.rtt_ms.to_string(),
            row.rate_mbit.to_string(),
            row.loss_pct.to_string(),
            row.controller.clone(),
            row.custody.clone(),
            figure(row.goodput_share),
            of_10k,
            of_60k,
            of_100k,
            of_1m,
            of_20m,
            format!("{:.2}", row.retransmitted_share * 100.0),
            custody.map_or("-".into(), |octets| octets.div_ceil(1024).to_string()),
        ]);
    }
    aligned(&lines, &[0, 4, 5])
}

/// A table of `bars`.
#[must_use]
pub fn table_of_bars(bars: &[Bar]) -> String {
    let figure = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
    let mut lines = vec![["bar", "value", "", "bound", ""].map(String::from)];
    for bar in bars {
        lines.push([
            bar.name.clone(),
            figure(bar.value),
            if bar.is_least { ">=" } else { "<=" }.into(),
            figure(bar.bound),
            if bar.is_met() { "pass" } else { "FAIL" }.into(),
        ]);
    }
    aligned(&lines, &[0, 2, 4])
}

/// Columns as wide as their widest cell, two blanks apart; those in `left` begin at the left.
fn aligned<const N: usize>(lines: &[[String; N]], left: &[usize]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: [usize; N] = core::array::from_fn(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| {
            if left.contains(&column) {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_headings() {
        let lines = [["a", "bb"], ["ccc", "d"]].map(|line| line.map(String::from));
        assert_eq!(aligned(&lines, &[0]), "a    bb\nccc   d\n");
    }
}
