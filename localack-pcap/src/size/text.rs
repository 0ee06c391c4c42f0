//! The answer for people.

use std::io::{self, Write};

use super::{Quantiles, Size};
use crate::report::units::{bytes, count, time};

/// Writes what captures take, and the settings that follow.
///
/// # Errors
/// Those of `out`.
pub fn write_text(out: &mut dyn Write, size: &Size) -> io::Result<()> {
    for capture in &size.captures {
        writeln!(
            out,
            "{}: {} in {}; {} of {} adopted",
            capture.name,
            count(capture.packets, "packet"),
            time(capture.duration_us),
            capture.adopted,
            count(capture.conversations, "conversation"),
        )?;
    }
    writeln!(out, "\n{:28}{:>12}{:>12}{:>12}", "", "peak", "99%", "50%")?;
    let mut row = |name: &str, of: &Quantiles, unit: fn(u64) -> String| {
        let [peak, p99, p50] = [of.peak, of.p99, of.p50].map(unit);
        writeln!(out, "{name:28}{peak:>12}{p99:>12}{p50:>12}")
    };
    row("in custody", &size.custody_bytes, bytes)?;
    row("flows at a time", &size.flows, |number| number.to_string())?;
    row("new flows in a second", &size.arrivals_per_s, |number| {
        number.to_string()
    })?;
    writeln!(
        out,
        "flow slots in use at most, unfinished handshakes included: {}\n",
        size.slots_peak
    )?;
    for warning in warnings(size) {
        writeln!(out, "Not in these figures: {warning}")?;
    }
    writeln!(
        out,
        "Open loop: a sender that is acknowledged sooner may send faster than it was captured.\n\n{}",
        size.recommended.toml
    )
}

/// What the figures do not hold.
fn warnings(size: &Size) -> Vec<String> {
    let found = &size.uncounted;
    let facts = [
        (
            found.table_full,
            "left alone for want of a flow slot: run again with more --flows",
        ),
        (
            found.pool_full,
            "left alone for want of memory: run again with a larger --buffer",
        ),
    ];
    let mut warnings: Vec<_> = facts
        .iter()
        .filter(|fact| fact.0 > 0)
        .map(|fact| format!("{} {}", count(fact.0, "conversation"), fact.1))
        .collect();
    if found.handshakes_evicted > 0 {
        let evicted = count(found.handshakes_evicted, "unfinished handshake");
        warnings.push(format!(
            "{evicted} forgotten to make room: run again with more --flows"
        ));
    }
    if found.buffer_reached || found.no_memory > 0 {
        warnings.push(format!(
            "what did not fit: the buffer was full at times, and {} found no room; run again with a larger --buffer",
            count(found.no_memory, "data packet")
        ));
    }
    if found.cut_packets > 0 {
        let cut = count(found.cut_packets, "data packet");
        warnings.push(format!("{cut} of which the capture holds only the headers"));
    }
    if found.undecoded > 0 {
        warnings.push(format!("{} not decoded", count(found.undecoded, "packet")));
    }
    warnings
}
