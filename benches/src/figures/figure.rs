//! One figure: a time beside another.

use core::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// How a time compares with another that was measured in the same rounds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What it is called; names stay.
    pub name: String,
    /// How many times longer it takes: the median of all rounds. Less is better.
    pub ratio: f64,
    /// The least ratio of a round.
    pub min: f64,
    /// The greatest ratio of a round.
    pub max: f64,
    /// What it is compared with.
    pub against: String,
    /// Nanoseconds of a unit, the median of all rounds.
    pub ns: f64,
    /// Nanoseconds of what it is compared with, the median of all rounds.
    pub against_ns: f64,
}

impl Figure {
    /// A figure from the times of each round, its own and the other.
    ///
    /// # Panics
    /// If there is no round.
    #[must_use]
    pub fn new(name: &str, against: &str, rounds: &[[f64; 2]]) -> Self {
        let ratios = sorted(rounds.iter().map(|[ours, other]| ours / other));
        Self {
            name: name.to_owned(),
            ratio: rounded(median(&ratios)),
            min: rounded(ratios[0]),
            max: rounded(*ratios.last().expect("at least one round")),
            against: against.to_owned(),
            ns: rounded(median(&sorted(rounds.iter().map(|[ours, _]| *ours)))),
            against_ns: rounded(median(&sorted(rounds.iter().map(|[_, other]| *other)))),
        }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    }
}

/// To the thousandth.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The figures for people, a line each.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let width = figures.iter().map(|figure| figure.name.len()).max();
    let width = width.unwrap_or(0);
    let mut text = format!(
        "{:width$}   ratio      min      max           ns   against ns   against\n",
        "figure"
    );
    for figure in figures {
        let Figure {
            name,
            ratio,
            min,
            max,
            against,
            ns,
            against_ns,
        } = figure;
        writeln!(
            text,
            "{name:width$} {ratio:7.2}  {min:7.2}  {max:7.2}  {ns:11.1}  {against_ns:11.1}   {against}"
        )
        .expect("a string takes everything");
    }
    text
}

/// The figures for programs.
#[must_use]
pub fn json(figures: &[Figure]) -> String {
    let mut text = serde_json::to_string_pretty(figures).expect("plain figures");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_of_the_ratios_and_not_the_ratio_of_the_medians() {
        let rounds = [[10.0, 5.0], [30.0, 10.0], [100.0, 100.0]];
        let figure = Figure::new("name", "other", &rounds);
        assert_eq!((figure.ratio, figure.min, figure.max), (2.0, 1.0, 3.0));
        assert_eq!((figure.ns, figure.against_ns), (30.0, 10.0));
    }

    /// The keys are what others read.
    #[test]
    fn json_has_the_documented_keys_and_comes_back() {
        let figure = Figure::new("name", "other", &[[3.0, 2.0], [5.0, 2.0]]);
        let text = json(core::slice::from_ref(&figure));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut keys: Vec<&str> = value[0]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            ["against", "against_ns", "max", "min", "name", "ns", "ratio"]
        );
        let back: Vec<Figure> = serde_json::from_str(&text).unwrap();
        assert_eq!(back, [figure]);
    }
}
