//! What is foretold of connections: how they would have gone with an engine in the path.

use maud::{Markup, html};

use super::Drawn;
use crate::plot::{self, PlotError};
use crate::report::units::{bytes, count, time};
use crate::whatif::estimate::Estimate;
use crate::whatif::{
    CannotSimulate, Chosen, FlowWhatIf, Foretold, Percentiles, Simulated, place_in_words, rate,
};

/// What is foretold of all simulated connections together.
pub(super) fn summary(chosen: &Chosen) -> Markup {
    let (summary, settings) = (&chosen.summary, &chosen.settings);
    html! {
        div.note #what-if {
            p {
                strong { "Closed loop. " }
                (count(summary.flows, "conversation")) " of those drawn below "
                @if summary.flows == 1 { "was" } @else { "were" }
                " also played again in virtual time over the path that the capture tells of, without an engine and with one ("
                (settings.controller) ", " (place_in_words(settings.place)) "; senders with " (settings.sender) "). "
                @match summary.speedup {
                    Some(speedup) => {
                        @match (summary.trustworthy, summary.flows) {
                            (1, 1) => "It was reproduced well enough to be trusted: it",
                            (trusted, all) if trusted == all => "All were reproduced well enough to be trusted: together they",
                            (trusted, _) => { (trusted) " of them could be reproduced well enough to be trusted: together they" },
                        }
                        " took " (time(summary.captured_us)) " as captured, " (time(summary.reproduced_us)) " when played again, and "
                        (time(summary.engine_us)) " with the engine: " strong { (format!("{speedup:.1} times as fast")) }
                        ", with " (bytes(summary.buffer_octets)) " in custody at most."
                    },
                    None => "None could be reproduced well enough to be trusted.",
                }
            }
        }
    }
}

/// What is foretold of one connection.
pub(super) fn section(
    index: usize,
    result: &Result<Foretold, CannotSimulate>,
    drawn: &mut Drawn,
) -> Result<Markup, PlotError> {
    let foretold = match result {
        Ok(foretold) => foretold,
        Err(reason) => {
            return Ok(html! {
                div.what-if {
                    h4 { "What if there were an engine" }
                    p { "This conversation was not simulated: " (reason) "." }
                }
            });
        }
    };
    let flow = &foretold.flow;
    let name = |kind: &str| format!("flow-{}-{kind}", index + 1);
    let title = |what: &str| format!("{what}, {} to {}", flow.client, flow.server);
    let plots = [
        plot::progress(
            &name("progress"),
            &title("Simulated transfer"),
            &foretold.progress,
        ),
        plot::completion(
            &name("completion"),
            &title("Simulated completion times"),
            flow,
        ),
    ];
    let plots = plots
        .into_iter()
        .flatten()
        .map(|plot| drawn.draw(plot, None));
    let plots = plots.collect::<Result<Vec<_>, _>>()?;
    Ok(html! {
        div.what-if {
            h4 { "What if there were an engine" }
            p { (trust(flow)) " " (verdict(flow)) }
            (times(flow))
            @if !flow.notes.is_empty() { ul { @for note in &flow.notes { li { (note) } } } }
            @for plot in &plots { (plot) }
            details {
                summary { "The path and the application that were simulated" }
                (path(flow))
                @for (side, end) in ["client", "server"].into_iter().enumerate() {
                    @if flow.octets[side] > 0 {
                        p {
                            "The " (end) " writes " (bytes(flow.octets[side])) " in " (count(flow.bursts[side], "burst"))
                            " and waits for " (time(flow.think_us[side])) " by itself."
                        }
                    }
                }
            }
        }
    })
}

fn trust(flow: &FlowWhatIf) -> Markup {
    html! {
        @if flow.trustworthy {
            span.yes.trust data-trust="yes" { "Trustworthy." }
        } @else {
            span.no.trust data-trust="no" { "Not trustworthy." }
        }
        @if let Some(error) = flow.error_pct {
            " Played again without an engine it takes " (format!("{:.0}", error.abs())) " % "
            @if error < 0.0 { "less" } @else { "more" } " than captured."
        }
    }
}

fn verdict(flow: &FlowWhatIf) -> Markup {
    html! {
        @if let Some(speedup) = flow.speedup {
            "With the engine it is " strong { (format!("{speedup:.1} times as fast")) } " as without."
        }
    }
}

/// Medians and percentiles over runs.
fn times(flow: &FlowWhatIf) -> Markup {
    let captured = &flow.captured;
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        td {} th.number scope="col" { "Completion time" } th.number scope="col" { "10 % to 90 % of runs" }
                        th.number.wide scope="col" { "Throughput" } th.number.wide scope="col" { "Sent again" }
                        th.number scope="col" { "In custody, at most" }
                    }
                }
                tbody {
                    tr {
                        th scope="row" { "As captured" } td.number data-v=(captured.completion_us) { (time(captured.completion_us)) } td.number { "\u{2013}" }
                        td.number.wide { (rate(captured.throughput_bps)) }
                        td.number.wide { (captured.retransmitted_segments) } td.number { "\u{2013}" }
                    }
                    (runs("Played again without an engine", &flow.reproduced, false))
                    (runs("With the engine", &flow.engine, true))
                }
            }
        }
    }
}

fn runs(name: &str, runs: &Simulated, has_engine: bool) -> Markup {
    let median = |figure: Option<Percentiles>| figure.map_or(0, |figure| figure.p50);
    let custody = runs.peak_custody_octets.filter(|_| has_engine);
    html! {
        tr {
            th scope="row" { (name) }
            @if let Some(times) = runs.completion_us {
                td.number data-v=(times.p50) { (time(times.p50)) }
                td.number data-from=(times.p10) data-to=(times.p90) {
                    @if runs.runs > 1 { (time(times.p10)) " to " (time(times.p90)) } @else { "one run" }
                }
                td.number.wide { (rate(median(runs.throughput_bps))) }
                td.number.wide {
                    (median(runs.retransmitted_segments))
                    @if has_engine { " + " (median(runs.engine_retransmitted_segments)) " by the engine" }
                }
                td.number data-v=[custody.map(|custody| custody.p90)] {
                    @if let Some(custody) = custody { (bytes(custody.p90)) } @else { "\u{2013}" }
                }
            } @else {
                td colspan="5" { "did not end" }
            }
        }
    }
}

fn path(flow: &FlowWhatIf) -> Markup {
    let path = &flow.path;
    let row = |name: &str, value: String, estimate: &Estimate| {
        html! {
            tr {
                th scope="row" { (name) } td.number { (value) } td { (estimate.confidence.name()) } td { (estimate.how) }
            }
        }
    };
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "Path" } th.number scope="col" { "Estimate" } th scope="col" { "Sure" }
                        th scope="col" { "How it was found" }
                    }
                }
                tbody {
                    (row("Round trip", format!("{:.2} ms", path.rtt_ms.value), &path.rtt_ms))
                    (row("Rate", format!("{:.2} Mbit/s", path.rate_mbit.value), &path.rate_mbit))
                    (row("Loss", format!("{:.2} %", path.loss_pct.value), &path.loss_pct))
                    (row("Queue", bytes(path.queue_octets.value as u64), &path.queue_octets))
                }
            }
        }
    }
}
