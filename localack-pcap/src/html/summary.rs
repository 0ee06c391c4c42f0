//! What the capture holds and what came of it, in words and in tables.

use std::collections::BTreeMap;

use localack_core::{Controller, Service};
use maud::{Markup, html};

use super::{Content, what_if, words};
use crate::replay::{Checksums, Inner, Options};
use crate::report::units::{bytes, count, time, time_or_dash};
use crate::report::{Report, WaitFigures, saved};

pub(super) fn summary(content: &Content<'_>) -> Markup {
    let report = content.report;
    let (input, tcp) = (&report.input, &report.tcp);
    let adopted = report.flows.iter().filter(|flow| flow.adopted).count() as u64;
    let [captured, engine] = content.traces.waits().each_ref().map(WaitFigures::from);
    html! {
        h2 { "Summary" }
        p {
            "The capture holds " (count(input.packets, "packet")) " in " (time(input.duration_us)) " (" (input.format)
            @if !input.link_types.is_empty() { ", " (input.link_types.join(" and ")) }
            "): " (tcp.packets) " of TCP in " (count(tcp.conversations, "conversation")) ", "
            (count(tcp.complete_handshakes, "complete handshake")) " among them. "
            (verdict(adopted, tcp.conversations))
        }
        (cards(report, adopted, &captured, &engine))
        @if captured.count > 0 && adopted > 0 {
            p {
                "Half of all data packets waited " (time_or_dash(captured.p50)) " or longer for their acknowledgement, and one in a hundred "
                (time_or_dash(captured.p99)) " or longer. With the engine in the path it would have been "
                (time_or_dash(engine.p50)) " and " (time_or_dash(engine.p99)) "."
            }
        }
        div.note {
            p {
                strong { "Open loop. " }
                "The engine is the real one and saw every packet at its captured time, but the captured senders did not react to its "
                "acknowledgements. So this tells what the engine makes of each packet and how long each acknowledgement takes; "
                "it does not tell how much faster a transfer would have been"
                @if content.what_if.is_none() { " (" code { "--what-if" } " does)" }
                ". The graphs of custody are of the captured pace, too: a sender "
                "that is acknowledged sooner may send more."
            }
        }
        @if let Some(chosen) = content.what_if { (what_if::summary(chosen)) }
        (notes(report))
    }
}

fn verdict(adopted: u64, all: u64) -> String {
    match (adopted, all) {
        (_, 0) => String::new(),
        (0, _) => "The engine adopted none of them: see why below.".to_owned(),
        (_, 1) => "The engine adopted it.".to_owned(),
        _ if adopted == all => "The engine adopted all of them.".to_owned(),
        _ => format!("The engine adopted {adopted} of them and left the others alone."),
    }
}

fn cards(report: &Report, adopted: u64, captured: &WaitFigures, engine: &WaitFigures) -> Markup {
    let all = report.tcp.conversations;
    let directions = || {
        report
            .flows
            .iter()
            .filter(|flow| flow.adopted)
            .flat_map(|flow| flow.both())
    };
    let gain: u64 = directions()
        .map(|direction| saved(&direction.ack_wait_us))
        .sum();
    let waited: u64 = directions()
        .map(|direction| direction.ack_wait_us.captured.total)
        .sum();
    let local: u64 = directions().map(|direction| direction.local_acks).sum();
    let custody = directions()
        .map(|direction| direction.peak_custody_bytes)
        .max()
        .unwrap_or(0);
    let share = |part: u64, whole: u64| (part as f64 * 100.0 / whole.max(1) as f64).min(100.0);
    let bar = |part, whole| html! { div.bar { i style=(format!("width:{:.1}%", share(part, whole))) {} } };
    html! {
        div.cards {
            div.card { b { (adopted) " of " (all) } span { "conversations adopted" } (bar(adopted, all)) }
            @if waited > 0 {
                div.card.good {
                    b { (format!("{:.0}%", share(gain, waited))) }
                    span { "of the waiting for ACKs saved, where adopted" }
                    (bar(gain, waited))
                }
            }
            @if captured.count > 0 {
                div.card {
                    b { (time_or_dash(captured.p50)) @if adopted > 0 { " \u{2192} " (time_or_dash(engine.p50)) } }
                    span { "median wait for an ACK" @if adopted > 0 { ", captured and with the engine" } }
                }
            }
            @if adopted > 0 {
                div.card { b { (local) } span { "ACKs made locally" } }
                div.card { b { (bytes(custody)) } span { "in custody at most, of one direction" } }
            }
        }
    }
}

/// What a reader has to know before trusting the figures.
fn notes(report: &Report) -> Markup {
    let input = &report.input;
    let cut: u64 = report
        .flows
        .iter()
        .flat_map(|flow| flow.both())
        .map(|direction| direction.cut_packets)
        .sum();
    let facts = [
        (input.truncated, "packets are cut short in the capture"),
        (input.undecoded, "packets could not be decoded"),
        (report.tcp.bad_checksums, "packets have a wrong checksum"),
        (report.tcp.fragments, "packets are fragments"),
        (
            cut,
            "data packets could not be taken into custody: the capture holds only their headers",
        ),
        (
            input.clock_jumps,
            "times the capture's clock was set; the replay's went on",
        ),
    ];
    let facts: Vec<_> = facts.into_iter().filter(|fact| fact.0 > 0).collect();
    html! {
        @if let Some(cut) = input.cut {
            div.note.bad {
                p { strong { "The capture is damaged: " } (cut.reason) " at offset " (cut.offset) ". What came before is used." }
            }
        }
        @if report.invariants.violations > 0 {
            div.note.bad {
                p {
                    strong { "The engine broke a promise: " } (report.invariants.violations) " of "
                    (report.invariants.checked) " checks failed."
                }
                ul { @for violation in &report.invariants.described { li { (violation) } } }
            }
        }
        @if !facts.is_empty() {
            p { "Of the capture itself:" }
            ul { @for (number, what) in facts { li { (number) " " (what) } } }
        }
    }
}

/// Why conversations were not adopted.
pub(super) fn left_alone(report: &Report) -> Markup {
    let mut reasons = BTreeMap::<&str, (u64, u64)>::new();
    for flow in &report.flows {
        if let Some(reason) = flow.reason {
            let entry = reasons.entry(reason).or_default();
            entry.0 += 1;
            entry.1 += flow
                .both()
                .into_iter()
                .map(|direction| direction.unique_payload_bytes)
                .sum::<u64>();
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, (flows, _))| core::cmp::Reverse(*flows));
    html! {
        h2 { "Left alone" }
        @if reasons.is_empty() {
            p { "No conversation was left alone." }
        } @else {
            p { "The engine changes nothing about these: their packets passed bit for bit." }
            div.scroll tabindex="0" role="region" aria-label="Reasons" {
                table {
                    thead {
                        tr {
                            th.number scope="col" { "No." } th scope="col" { "Reason" }
                            th.number scope="col" { "Conversations" } th.number scope="col" { "Payload" }
                            th scope="col" { "What it means" }
                        }
                    }
                    tbody {
                        @for (reason, (flows, payload)) in reasons {
                            tr id=(format!("reason-{reason}")) {
                                td.number { @if let Some(number) = words::number(reason) { (number) } }
                                td { code { (reason) } }
                                td.number { (flows) } td.number { (bytes(payload)) }
                                td { (words::explained(reason)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How the engine was set, what it counted, and what was checked.
pub(super) fn engine(content: &Content<'_>) -> Markup {
    let report = content.report;
    let checked = report.invariants.checked;
    html! {
        h2 { "Engine" }
        div.scroll {
            table {
                tbody {
                    @for (name, value) in settings(content.options) {
                        tr { th scope="row" { (name) } td { (value) } }
                    }
                    tr {
                        th scope="row" { "Checks beside the engine" }
                        td {
                            (checked) ", "
                            @match report.invariants.violations { 0 => "none failed", failed => { (failed) " failed" } }
                        }
                    }
                }
            }
        }
        details {
            summary { "All counters that are not zero" }
            div.scroll {
                table {
                    tbody {
                        @for (group, names) in &report.counters {
                            @for (name, number) in names.iter().filter(|(_, number)| **number > 0) {
                                tr { td { (group) } td { code { (name) } } td.number { (number) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn settings(options: &Options) -> Vec<(&'static str, String)> {
    let inner = match &options.inner {
        Inner::Auto => "the end with the shorter handshake round trip".to_owned(),
        Inner::Networks(networks) => {
            let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
            format!("hosts in {}", networks.join(", "))
        }
    };
    let controller = match options.controller {
        Controller::Provisioned(provision) => {
            format!(
                "a vouched rate of {} kbit/s",
                u64::from(provision.rate) * 8 / 1000
            )
        }
        Controller::Reno => "Reno".to_owned(),
        Controller::Cubic => "CUBIC".to_owned(),
        Controller::Bbr => "BBR".to_owned(),
        other => format!("{other:?}"),
    };
    let service = match options.service {
        Service::LocalAck => "local acknowledgement",
        Service::Snoop => "snoop: losses are answered from copies",
        Service::Bypass => "none",
        _ => "another",
    };
    let checksums = match options.checksums {
        Checksums::Auto => "offloaded ones are known from corruption",
        Checksums::Verify => "every wrong one is corruption",
        Checksums::Trust => "not looked at",
    };
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    vec![
        ("Inner end", inner),
        ("Service of its data", service.to_owned()),
        ("Both directions served", yes(options.both_directions)),
        ("Congestion control", controller),
        ("Pacing", yes(options.pacing)),
        ("Flow slots", options.flows.to_string()),
        ("Memory for data in custody", bytes(options.buffer as u64)),
        ("Checksums", checksums.to_owned()),
    ]
}
