//! The table of conversations, and what is drawn of the first ones.

use maud::{Markup, html};

use super::{Content, Drawn, what_if, words};
use crate::conversation::End;
use crate::plot::{self, PlotError};
use crate::report::units::{bytes, count, time, time_or_dash};
use crate::report::{DirectionFigures, Flow, Report, saved};

/// Columns with the title, whether it is a number, and whether narrow screens do without it.
const COLUMNS: [(&str, bool, bool); 12] = [
    ("#", true, false),
    ("Client", false, false),
    ("Server", false, false),
    ("Adopted", false, false),
    ("Payload", true, false),
    ("Packets", true, true),
    ("Sent again", true, true),
    ("Local ACKs", true, true),
    ("In custody, at most", true, true),
    ("Median wait", true, false),
    ("With the engine", true, false),
    ("Waiting saved", true, false),
];

/// The table of these conversations, of which the first `drawn` have graphs.
pub(super) fn table(report: &Report, rows: &[usize], drawn: usize) -> Markup {
    let hidden = report.flows.len() - rows.len();
    html! {
        h2 { "Conversations" }
        @if rows.is_empty() {
            p { "The capture holds no TCP." }
        } @else {
            p {
                "Waits are those of the direction that was served, or else of the one with more data. "
                "The waiting saved is that of all data packets together, which overlaps in time."
            }
            @if hidden > 0 {
                p { (count(hidden as u64, "more conversation")) " are left out here; the JSON form has them all." }
            }
            div.scroll tabindex="0" role="region" aria-label="Table of conversations" {
                table.sortable {
                    thead {
                        tr {
                            @for (name, number, wide) in COLUMNS {
                                th.number[number].wide[wide] scope="col" { button type="button" { (name) } }
                            }
                        }
                    }
                    tbody {
                        @for (place, &index) in rows.iter().enumerate() {
                            (row(index, &report.flows[index], place < drawn))
                        }
                    }
                }
            }
        }
    }
}

fn row(index: usize, flow: &Flow, drawn: bool) -> Markup {
    let [up, down] = flow.both();
    let sum = |figure: fn(&DirectionFigures) -> u64| figure(up) + figure(down);
    let payload = sum(|direction| direction.unique_payload_bytes);
    let custody = up.peak_custody_bytes.max(down.peak_custody_bytes);
    let wait = &main(flow).ack_wait_us;
    let gain = flow
        .adopted
        .then(|| sum(|direction| saved(&direction.ack_wait_us)));
    let engine = wait.engine.p50.filter(|_| flow.adopted);
    let number = |value: Option<u64>, text: String, wide: bool| {
        html! { td.number.wide[wide] data-v=[value] { (text) } }
    };
    let plain = |value: u64, wide| number(Some(value), value.to_string(), wide);
    html! {
        tr data-flow=(index + 1) {
            td.number data-v=(index + 1) {
                @if drawn { a href=(format!("#flow-{}", index + 1)) { (index + 1) } } @else { (index + 1) }
            }
            td.end { (flow.client) }
            td.end { (flow.server) }
            td {
                @match flow.reason {
                    None => span.yes { "yes" },
                    Some(reason) => a.no href=(format!("#reason-{reason}")) { (reason) },
                }
            }
            (number(Some(payload), bytes(payload), false))
            (plain(sum(|direction| direction.packets), true))
            (plain(sum(|direction| direction.retransmitted_packets), true))
            (plain(sum(|direction| direction.local_acks), true))
            (number(Some(custody), bytes(custody), true))
            (number(wait.captured.p50, time_or_dash(wait.captured.p50), false))
            (number(engine, time_or_dash(engine), false))
            (number(gain, time_or_dash(gain), false))
        }
    }
}

/// The direction that a conversation is about: the inner end's data if there is any, or else the one
/// with more data.
fn main(flow: &Flow) -> &DirectionFigures {
    let [up, down] = flow.both();
    match flow.inner {
        Some("client") if up.payload_bytes > 0 => up,
        Some("server") if down.payload_bytes > 0 => down,
        _ if down.payload_bytes > up.payload_bytes => down,
        _ => up,
    }
}

/// What is drawn and told of one conversation.
pub(super) struct Section<'r> {
    index: usize,
    flow: &'r Flow,
    late: Option<u64>,
    traced: bool,
    graphs: Vec<Markup>,
    what_if: Option<Markup>,
}

impl<'r> Section<'r> {
    pub(super) fn new(
        content: &Content<'r>,
        index: usize,
        drawn: &mut Drawn,
    ) -> Result<Self, PlotError> {
        let flow = &content.report.flows[index];
        let trace = content.traces.get(index);
        let begun = content.traces.begun();
        let mut graphs = Vec::new();
        for (trace, client) in trace
            .into_iter()
            .flat_map(|trace| [(trace, true), (trace, false)])
        {
            let figures = flow.both()[usize::from(!client)];
            if !is_drawn(flow, figures) {
                continue;
            }
            let end = if client == (trace.client == End::First) {
                End::First
            } else {
                End::Second
            };
            let direction = trace.direction(end);
            let (slug, words) = if client {
                ("up", "client to server")
            } else {
                ("down", "server to client")
            };
            let name = |kind: &str| format!("flow-{}-{slug}-{kind}", index + 1);
            let title = |what: &str| format!("{what}, {} to {}, {words}", flow.client, flow.server);
            let sequence = plot::sequence(
                &name("sequence"),
                &title("Sequence"),
                direction,
                begun,
                flow.adopted,
            );
            let Some(sequence) = sequence else { continue };
            let over = sequence.x;
            graphs.push(drawn.draw(sequence, Some(index))?);
            let custody =
                plot::custody(&name("custody"), &title("Custody"), direction, begun, &over);
            let engine = Some(&direction.engine_waits).filter(|_| flow.adopted);
            let waits = plot::waits(
                &name("waits"),
                &title("Waits for ACKs"),
                &direction.captured_waits,
                engine,
            );
            if let Some(custody) = custody {
                graphs.push(drawn.draw(custody, Some(index))?);
            }
            if let Some(waits) = waits {
                graphs.push(drawn.draw(waits, None)?);
            }
        }
        let foretold = content
            .what_if
            .and_then(|chosen| chosen.flows.get(&index))
            .map(|result| what_if::section(index, result, drawn))
            .transpose()?;
        Ok(Self {
            index,
            flow,
            what_if: foretold,
            late: trace
                .filter(|trace| trace.late)
                .map(|trace| trace.from.saturating_sub(begun)),
            traced: trace.is_some(),
            graphs,
        })
    }

    pub(super) fn markup(&self) -> Markup {
        let flow = self.flow;
        html! {
            section.flow id=(format!("flow-{}", self.index + 1)) {
                h3 { (self.index + 1) ". " (flow.client) " \u{2192} " (flow.server) }
                p {
                    @match (flow.reason, flow.inner) {
                        (None, Some(inner)) => { span.yes { "Adopted" } "; the " (inner) " is the inner end." },
                        (None, None) => span.yes { "Adopted." },
                        (Some(reason), _) => {
                            span.no { "Left alone: " code { (reason) } } ". " (words::explained(reason))
                        },
                    }
                }
                (figures(flow))
                @if let Some(late) = self.late {
                    p {
                        "Its graphs begin " (time(late)) " into the capture: until then others had more to show, and the "
                        "capture is read only once."
                    }
                }
                @if !self.traced {
                    p { "There is no graph of it: too many others had as much to show, and the capture is read only once." }
                } @else if self.graphs.is_empty() {
                    p { "It carries no data to draw." }
                }
                @for graph in &self.graphs { (graph) }
                @if let Some(what_if) = &self.what_if { (what_if) }
            }
        }
    }
}

/// Whether a direction has enough data for graphs: a tenth of its conversation's, or that of the inner end.
fn is_drawn(flow: &Flow, direction: &DirectionFigures) -> bool {
    let all: u64 = flow
        .both()
        .into_iter()
        .map(|direction| direction.payload_bytes)
        .sum();
    let is_main = core::ptr::eq(main(flow), direction);
    direction.payload_bytes > 0 && (is_main || direction.payload_bytes >= all / 10)
}

/// The figures of both directions, side by side.
fn figures(flow: &Flow) -> Markup {
    let [up, down] = flow.both();
    let row = |name: &str, figure: &dyn Fn(&DirectionFigures) -> String| {
        let (up, down) = (figure(up), figure(down));
        html! { tr { th scope="row" { (name) } td.number { (up) } td.number { (down) } } }
    };
    html! {
        div.scroll {
            table {
                thead { tr { td {} th.number scope="col" { "Client to server" } th.number scope="col" { "Server to client" } } }
                tbody {
                    (row("Payload", &|direction| {
                        let least = if direction.approximate { "at least " } else { "" };
                        format!("{least}{}", bytes(direction.unique_payload_bytes))
                    }))
                    (row("Packets, of them sent again", &|direction| {
                        format!("{}, {}", direction.packets, direction.retransmitted_packets)
                    }))
                    (row("Wait for ACKs, median and 99%", &|direction| {
                        let wait = &direction.ack_wait_us.captured;
                        format!("{}, {}", time_or_dash(wait.p50), time_or_dash(wait.p99))
                    }))
                    @if flow.adopted {
                        (row("The same with the engine", &|direction| {
                            let wait = &direction.ack_wait_us.engine;
                            format!("{}, {}", time_or_dash(wait.p50), time_or_dash(wait.p99))
                        }))
                        (row("ACKs made, ACKs absorbed", &|direction| {
                            format!("{}, {}", direction.local_acks, direction.absorbed_acks)
                        }))
                        (row("Sent from custody, sent again by the engine", &|direction| {
                            format!("{}, {}", direction.custody_segments, direction.engine_retransmissions)
                        }))
                        (row("In custody, at most", &|direction| bytes(direction.peak_custody_bytes)))
                    }
                }
            }
        }
    }
}
