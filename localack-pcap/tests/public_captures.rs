//! Captures that other people published, kept in a folder beside the checkout: every figure is
//! that of another analyser.
//!
//! Without the folder (or another one named by `LOCALACK_CAPTURES`) these tests say so and pass.

mod common;

use std::path::PathBuf;

use localack_core::Service;
use localack_pcap::replay::{Checksums, Options, replay};
use localack_pcap::report::{Flow, Report};
use localack_pcap::source::Source;
use serde_json::Value;

/// The figures and the folder they are about.
fn truth() -> Option<(PathBuf, Value)> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join("shared")
        .join("captures");
    let folder = std::env::var_os("LOCALACK_CAPTURES").map_or(beside, PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join("groundtruth.json")) else {
        println!("skipped: no captures in {}", folder.display());
        return None;
    };
    Some((folder, serde_json::from_str(&text).unwrap()))
}

fn run(path: &std::path::Path, options: &Options) -> Report {
    let mut source = Source::open(path).unwrap();
    let report = replay(&mut source, options, None, &mut |_| ()).unwrap();
    assert_eq!(
        report.invariants.violations,
        0,
        "{}: {:?}",
        path.display(),
        report.invariants.described
    );
    report
}

/// `10.0.0.1|80` as a report writes it.
fn endpoint(text: &str) -> String {
    let (host, port) = text.split_once('|').unwrap();
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn compare(name: &str, flow: &Flow, truth: &Value) {
    let stream = &truth["stream"];
    assert_eq!(
        flow.client,
        endpoint(truth["client"].as_str().unwrap()),
        "{name} {stream}"
    );
    assert_eq!(
        flow.server,
        endpoint(truth["server"].as_str().unwrap()),
        "{name} {stream}"
    );
    assert_eq!(
        flow.complete_handshake,
        truth["handshake"] == 1,
        "{name} {stream}"
    );
    for (at, sent) in flow.both().into_iter().enumerate() {
        let figures = [
            ("packets", sent.packets),
            ("payload", sent.payload_bytes),
            ("unique", sent.unique_payload_bytes),
            ("pure_acks", sent.pure_acks),
        ];
        for (figure, ours) in figures {
            assert_eq!(
                truth[figure][at], ours,
                "{name} stream {stream} end {at}: {figure}"
            );
        }
        assert!(!sent.approximate);
    }
}

#[test]
fn every_figure_is_the_other_analysers() {
    let Some((folder, truth)) = truth() else {
        return;
    };
    for (name, truth) in truth.as_object().unwrap() {
        let report = run(&folder.join(name), &Options::default());
        let figures = [
            ("frames", report.input.packets),
            ("tcp_packets", report.tcp.packets),
            ("conversations", report.tcp.conversations),
            ("handshakes", report.tcp.complete_handshakes),
            ("ip_fragments", report.tcp.fragments),
        ];
        for (figure, ours) in figures {
            assert_eq!(truth[figure], ours, "{name}: {figure}");
        }
        let streams = truth["streams"].as_array().unwrap();
        assert_eq!(report.flows.len(), streams.len(), "{name}");
        report
            .flows
            .iter()
            .zip(streams)
            .for_each(|(flow, stream)| compare(name, flow, stream));
        assert_eq!(report.input.cut_at_offset, None, "{name}");
    }
}

#[test]
fn nothing_is_violated_whatever_is_asked_for() {
    let Some((folder, truth)) = truth() else {
        return;
    };
    for name in truth.as_object().unwrap().keys() {
        let path = folder.join(name);
        for checksums in [Checksums::Auto, Checksums::Verify, Checksums::Trust] {
            for (buffer, flows) in [(64 << 20, 1024), (100_000, 2), (8 << 10, 1)] {
                run(
                    &path,
                    &Options {
                        both_directions: true,
                        checksums,
                        buffer,
                        flows,
                        ..Options::default()
                    },
                );
            }
        }
        let bypassed = run(
            &path,
            &Options {
                service: Service::Bypass,
                ..Options::default()
            },
        );
        for group in ["absorb", "drop", "transmit"] {
            assert_eq!(
                bypassed.counters[group].values().sum::<u64>(),
                0,
                "{name}: {group}"
            );
        }
        assert_eq!(bypassed.counters["engine"]["forwarded"], 0, "{name}");
    }
}
