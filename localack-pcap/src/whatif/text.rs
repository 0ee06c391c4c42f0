//! The answer for people.

use std::io::{self, Write};

use console::Style;

use super::report::{FlowWhatIf, Percentiles, Simulated, WhatIf};
use crate::report::units::{bytes, count, time};

/// Connections that were not simulated and are named.
const MOST_SKIPPED: usize = 10;

/// Writes the answer about the capture called `name`.
///
/// # Errors
/// Those of `out`.
pub fn write_text(out: &mut dyn Write, name: &str, answer: &WhatIf) -> io::Result<()> {
    let bold = Style::new().bold();
    let (input, settings) = (&answer.input, &answer.settings);
    writeln!(out, "{}", bold.apply_to(name))?;
    writeln!(
        out,
        "  {}, {} TCP in {}",
        count(input.packets, "packet"),
        input.segments,
        count(input.conversations, "conversation"),
    )?;
    writeln!(
        out,
        "  Closed loop: an engine with {} {}, senders with {}.",
        settings.controller,
        place_in_words(settings.place),
        settings.sender,
    )?;
    writeln!(out)?;
    for (number, flow) in answer.flows.iter().enumerate() {
        write_flow(out, number + 1, flow)?;
    }
    skipped(out, answer)?;
    summary(out, answer)
}

/// Where the engine is, by the name of its place.
pub(crate) fn place_in_words(place: &str) -> &str {
    match place {
        "near-sender" => "near the sender",
        "near-receiver" => "near the receiver",
        _ => "in the middle",
    }
}

fn write_flow(out: &mut dyn Write, number: usize, flow: &FlowWhatIf) -> io::Result<()> {
    let title = format!("{number} {} -> {}", flow.client, flow.server);
    writeln!(out, "{}", Style::new().bold().apply_to(title))?;
    for (side, name) in ["client", "server"].into_iter().enumerate() {
        if flow.octets[side] > 0 {
            writeln!(
                out,
                "  the {name} writes {} in {}, and waits for {} by itself",
                bytes(flow.octets[side]),
                count(flow.bursts[side], "burst"),
                time(flow.think_us[side]),
            )?;
        }
    }
    let path = &flow.path;
    for (name, estimate, unit) in [
        ("round trip", &path.rtt_ms, "ms"),
        ("rate", &path.rate_mbit, "Mbit/s"),
        ("loss", &path.loss_pct, "%"),
        ("queue", &path.queue_octets, "B"),
    ] {
        let digits = if unit == "B" { 0 } else { 2 };
        writeln!(
            out,
            "  {name:10} {:>9.digits$} {unit:6} {:6}  {}",
            estimate.value,
            estimate.confidence.name(),
            estimate.how,
        )?;
    }
    writeln!(
        out,
        "  {:12} {:>9} {:>17} {:>12} {:>9} {:>9}",
        "", "time", "10 .. 90 %", "throughput", "repeated", "custody"
    )?;
    let captured = &flow.captured;
    writeln!(
        out,
        "  {:12} {:>9} {:>17} {:>12} {:>9} {:>9}",
        "captured",
        time(captured.completion_us),
        "",
        rate(captured.throughput_bps),
        captured.retransmitted_segments,
        "",
    )?;
    write_runs(out, "reproduced", &flow.reproduced, false)?;
    write_runs(out, "with engine", &flow.engine, true)?;
    let verdict = flow.error_pct.map(|error| format!("error {error:+.0} %"));
    let speedup = flow
        .speedup
        .map(|speedup| format!("{speedup:.1} times as fast with the engine"));
    let words: Vec<String> = [verdict, speedup].into_iter().flatten().collect();
    if !words.is_empty() {
        let style = if flow.trustworthy {
            Style::new().green()
        } else {
            Style::new().yellow()
        };
        writeln!(out, "  {}", style.apply_to(words.join(", ")))?;
    }
    for note in &flow.notes {
        writeln!(out, "  {}", Style::new().yellow().apply_to(note))?;
    }
    writeln!(out)
}

fn write_runs(
    out: &mut dyn Write,
    name: &str,
    runs: &Simulated,
    has_engine: bool,
) -> io::Result<()> {
    let Some(times) = runs.completion_us else {
        return writeln!(out, "  {name:12} {:>9}", "never");
    };
    let median = |figure: Option<Percentiles>| figure.map_or(0, |figure| figure.p50);
    let spread = if runs.runs > 1 {
        format!("{} .. {}", time(times.p10), time(times.p90))
    } else {
        String::new()
    };
    let again = if has_engine {
        format!(
            "{}+{}",
            median(runs.retransmitted_segments),
            median(runs.engine_retransmitted_segments)
        )
    } else {
        median(runs.retransmitted_segments).to_string()
    };
    let custody = runs.peak_custody_octets.filter(|_| has_engine);
    writeln!(
        out,
        "  {name:12} {:>9} {spread:>17} {:>12} {again:>9} {:>9}",
        time(times.p50),
        rate(median(runs.throughput_bps)),
        custody.map_or_else(String::new, |custody| bytes(custody.p90)),
    )
}

/// Bits per second, for people.
pub(crate) fn rate(bits: u64) -> String {
    match bits {
        0..100_000 => format!("{}.{} kbit/s", bits / 1000, bits % 1000 / 100),
        _ => format!(
            "{}.{:02} Mbit/s",
            bits / 1_000_000,
            bits % 1_000_000 / 10_000
        ),
    }
}

fn skipped(out: &mut dyn Write, answer: &WhatIf) -> io::Result<()> {
    for flow in answer.skipped.iter().take(MOST_SKIPPED) {
        writeln!(
            out,
            "Not simulated: {} -> {}, {}: {}",
            flow.client,
            flow.server,
            bytes(flow.octets),
            flow.reason,
        )?;
    }
    let more = answer.skipped.len().saturating_sub(MOST_SKIPPED);
    if more > 0 {
        writeln!(
            out,
            "Not simulated: {}",
            count(more as u64, "more conversation")
        )?;
    }
    Ok(())
}

fn summary(out: &mut dyn Write, answer: &WhatIf) -> io::Result<()> {
    let summary = &answer.summary;
    writeln!(
        out,
        "{} simulated, {} of them trustworthy",
        count(summary.flows, "conversation"),
        summary.trustworthy,
    )?;
    let Some(speedup) = summary.speedup else {
        return Ok(());
    };
    writeln!(
        out,
        "Those took {}, {} when played again, {} with the engine: {speedup:.1} times as fast, with {} of buffer",
        time(summary.captured_us),
        time(summary.reproduced_us),
        time(summary.engine_us),
        bytes(summary.buffer_octets),
    )
}
