//! The figures of one measurement.

use serde::{Deserialize, Serialize};

use super::cell::Cell;

/// Sizes of the objects whose transfer is timed, in octets.
pub(super) const OBJECTS: [u32; 5] = [10_000, 60_000, 100_000, 1_000_000, 20_000_000];

/// Times of transfers over the least possible.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Completion {
    /// 10 KB.
    #[serde(rename = "10k")]
    pub of_10k: Option<f64>,
    /// 60 KB.
    #[serde(rename = "60k")]
    pub of_60k: Option<f64>,
    /// 100 KB.
    #[serde(rename = "100k")]
    pub of_100k: Option<f64>,
    /// 1 MB.
    #[serde(rename = "1m")]
    pub of_1m: Option<f64>,
    /// 20 MB.
    #[serde(rename = "20m")]
    pub of_20m: Option<f64>,
}

impl Completion {
    /// All of them, in the order of [`OBJECTS`].
    pub(super) const fn from_sizes(times: [Option<f64>; 5]) -> Self {
        let [of_10k, of_60k, of_100k, of_1m, of_20m] = times;
        Self {
            of_10k,
            of_60k,
            of_100k,
            of_1m,
            of_20m,
        }
    }

    /// Each with its name.
    #[must_use]
    pub const fn each(&self) -> [(&'static str, Option<f64>); 5] {
        [
            ("10k", self.of_10k),
            ("60k", self.of_60k),
            ("100k", self.of_100k),
            ("1m", self.of_1m),
            ("20m", self.of_20m),
        ]
    }
}

/// The figures of one measurement. Shares and ratios have four digits after the point.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// What the sender did.
    pub scenario: String,
    /// Round-trip time in milliseconds.
    pub rtt_ms: u32,
    /// Rate in Mbit/s.
    pub rate_mbit: u32,
    /// Loss of data packets in percent.
    pub loss_pct: f64,
    /// Who controlled congestion.
    pub controller: String,
    /// When custody began; `none` without an engine.
    pub custody: String,
    /// Virtual seconds of the connection that the shares are taken from.
    pub duration_s: f64,
    /// Seed of the losses.
    pub seed: u64,
    /// Payload received over what could have been; `None` where objects alone are timed.
    pub goodput_share: Option<f64>,
    /// Times of transfers.
    pub completion_over_limit: Completion,
    /// Payload octets sent toward the receiver again, over all that were sent toward it.
    pub retransmitted_share: f64,
    /// The most octets in custody at any time; `None` without an engine.
    pub peak_custody_bytes: Option<u32>,
}

impl Row {
    /// The row of `cell`, without figures.
    pub(super) fn of(cell: &Cell, seed: u64) -> Self {
        Self {
            scenario: cell.scenario.name().into(),
            rtt_ms: cell.rtt_ms,
            rate_mbit: cell.rate_mbit,
            loss_pct: cell.loss_pct(),
            controller: cell.contender.name().into(),
            custody: cell.custody_name().into(),
            duration_s: 0.0,
            seed,
            goodput_share: None,
            completion_over_limit: Completion::default(),
            retransmitted_share: 0.0,
            peak_custody_bytes: None,
        }
    }

    /// The name of its cell.
    #[must_use]
    pub fn name(&self) -> String {
        format!(
            "{} {}ms {}Mbit {}% {} {}",
            self.scenario,
            self.rtt_ms,
            self.rate_mbit,
            self.loss_pct,
            self.controller,
            self.custody
        )
    }
}

/// A figure with four digits after the point.
pub(super) fn rounded(figure: f64) -> f64 {
    (figure * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goodput::{Contender, subset};

    #[test]
    fn a_row_is_named_as_its_cell() {
        for cell in subset() {
            assert_eq!(Row::of(&cell, 1).name(), cell.name());
        }
    }

    #[test]
    fn json_has_the_names_that_programs_look_for() {
        let mut row = Row::of(&Cell::bulk(600, 20, 1_000, Contender::Bbr), 7);
        row.completion_over_limit.of_60k = Some(1.25);
        let text = serde_json::to_string(&row).unwrap();
        let expected = r#"{"scenario":"bulk","rtt_ms":600,"rate_mbit":20,"loss_pct":0.1,
            "controller":"bbr","custody":"after-proof","duration_s":0.0,"seed":7,
            "goodput_share":null,"completion_over_limit":{"10k":null,"60k":1.25,"100k":null,
            "1m":null,"20m":null},"retransmitted_share":0.0,"peak_custody_bytes":null}"#;
        let expected: String = expected.split_whitespace().collect();
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), row);
    }
}
