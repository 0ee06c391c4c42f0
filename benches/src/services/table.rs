//! Rows as tables in Markdown.

use super::case::{Case, Figure};
use super::row::Row;

/// A table for each scenario, in the order of the cases.
#[must_use]
pub fn tables(cases: &[Case], rows: &[Row]) -> String {
    let mut text = String::new();
    let mut scenario = "";
    for (case, row) in cases.iter().zip(rows) {
        if case.scenario != scenario {
            if !scenario.is_empty() {
                text.push('\n');
            }
            scenario = case.scenario;
            text.push_str(&head(case));
        }
        let mut cells = vec![row.path.clone(), row.arrangement.to_string()];
        cells.extend(case.figures.iter().flat_map(|&figure| cell(figure, row)));
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

fn head(case: &Case) -> String {
    let mut names = vec![String::from("path"), String::from("arrangement")];
    let mut lines = vec!["---", "---"];
    for &figure in case.figures {
        let columns = headings(figure, case);
        lines.extend(columns.iter().map(|_| "---:"));
        names.extend(columns);
    }
    format!(
        "**{}**\n\n| {} |\n|{}|\n",
        case.scenario,
        names.join(" | "),
        lines.join("|")
    )
}

fn headings(figure: Figure, case: &Case) -> Vec<String> {
    let one = |name: &str| vec![name.to_string()];
    match figure {
        Figure::Goodput => one("goodput"),
        Figure::Fairness => one("least / most"),
        Figure::SenderResent => one("sender resends"),
        Figure::SenderTimeouts => one("its time-outs"),
        Figure::LinkResent => one("resent to receiver"),
        Figure::Needless => one("arrives twice"),
        Figure::ReturnLoad => one("packets/s back"),
        Figure::ReturnLost => one("lost there"),
        Figure::DataLost => one("data packets dropped"),
        Figure::RoundTrip => one("RTT the sender sees"),
        Figure::Bystander => one("RTT of a bystander"),
        Figure::Rate => one("rate / limit"),
        Figure::PeakRate => one("in its busiest second"),
        Figure::Custody => one("in custody at most"),
        Figure::Times => match case.work {
            super::Work::Objects(sizes, _) => {
                let name = |octets: &u32| format!("{} KB", octets / 1000);
                sizes.iter().map(name).collect()
            }
            super::Work::Endless { .. } => Vec::new(),
        },
    }
}

fn cell(figure: Figure, row: &Row) -> Vec<String> {
    let percent = |share: f64| match share * 100.0 {
        0.0 => String::from("0 %"),
        share if share < 10.0 => format!("{share:.1} %"),
        share => format!("{share:.0} %"),
    };
    let perhaps = |value: Option<f64>, show: &dyn Fn(f64) -> String| {
        value.map_or_else(|| String::from("-"), show)
    };
    let millis = |value: f64| {
        if value < 10.0 {
            format!("{value:.1} ms")
        } else {
            format!("{value:.0} ms")
        }
    };
    vec![match figure {
        Figure::Goodput => perhaps(row.goodput_share, &percent),
        Figure::Fairness => perhaps(row.fairness, &|value| format!("{value:.2}")),
        Figure::SenderResent => percent(row.sender_resent),
        Figure::SenderTimeouts => row.sender_timeouts.to_string(),
        Figure::LinkResent => percent(row.link_resent),
        Figure::Needless => percent(row.needless),
        Figure::ReturnLoad => format!("{:.0}", row.return_packets_per_s),
        Figure::ReturnLost => row.return_lost.to_string(),
        Figure::DataLost => row.data_lost.iter().sum::<u64>().to_string(),
        Figure::RoundTrip => perhaps(row.round_trip_ms, &millis),
        Figure::Bystander => perhaps(row.bystander_ms, &millis),
        Figure::Rate => perhaps(row.rate_share, &percent),
        Figure::PeakRate => perhaps(row.peak_rate_share, &percent),
        Figure::Custody => format!("{} KB", row.custody / 1000),
        Figure::Times => {
            let times = row.times.iter();
            let cells = times.map(|time| {
                let halves = format!("{:.2} s ({:.1})", time.median_s, time.half_round_trips);
                if time.of_95_s > time.median_s {
                    format!("{halves}, {:.2} s", time.of_95_s)
                } else {
                    halves
                }
            });
            return cells.collect();
        }
    }]
}
