//! The program itself: exit codes, what goes to which stream, and the files it writes.

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::*;
use localack_pcap::link;
use localack_pcap::source::Source;
use serde_json::Value;

fn program(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_localack-pcap"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn with_input(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_localack-pcap"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// A path that no other test uses.
fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn the_sample_is_replayed_without_a_file() {
    let output = program(&["replay"]);
    let text = stdout(&output);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    for part in [
        "507 packets",
        "7 conversations",
        "Open loop",
        "with the engine",
        "no violation",
        "Counted: ",
        "recoveries",
        "left alone: negotiated-option",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "colours outside a terminal");
}

#[test]
fn the_sample_shows_what_a_local_acknowledgement_is_for() {
    let output = program(&["replay", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schema"], "localack-replay/1");
    assert_eq!(report["tcp"]["packets"], 505);
    assert_eq!(report["invariants"]["violations"], 0);
    let upload = &report["flows"][0]["directions"]["client_to_server"];
    assert_eq!(upload["unique_payload_bytes"], 256_000);
    let wait = &upload["ack_wait_us"];
    assert!(
        wait["captured"]["p50"].as_u64().unwrap() > 500_000,
        "{wait}"
    );
    assert_eq!(wait["engine"]["p50"], 0);
    let reasons: Vec<_> = report["flows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flow| &flow["reason"])
        .collect();
    assert!(
        reasons.iter().any(|reason| *reason == "negotiated-option"),
        "{reasons:?}"
    );
}

#[test]
fn each_controller_sends_in_its_own_way_and_cubic_unless_told_otherwise() {
    let report = |args: &[&str]| -> Value {
        let output = program(&[&["replay", "--json"], args].concat());
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let ways: [&[&str]; 6] = [
        &["--controller", "cubic"],
        &["--controller", "cubic", "--no-pacing"],
        &["--controller", "reno"],
        &["--controller", "bbr"],
        &["--rate", "20mbit"],
        &["--rate", "200kbit"],
    ];
    let reports = ways.map(report);
    assert_eq!(reports[0], report(&[]));
    for (at, one) in reports.iter().enumerate() {
        let same = reports.iter().filter(|other| *other == one).count();
        assert_eq!(same, 1, "{:?}", ways[at]);
    }
    assert_eq!(
        report(&["--rate", "20mbit"]),
        report(&["--rate", "20000KBIT"])
    );
}

#[test]
fn json_names_every_field_and_every_reason() {
    let output = with_input(
        &["replay", "-", "--json"],
        &raw(&Connection::v6().exchange()),
    );
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for field in ["packets", "truncated", "undecoded", "duration_us"] {
        assert!(report["input"][field].is_u64(), "{field}");
    }
    assert_eq!(
        (
            &report["input"]["format"],
            &report["input"]["link_types"][0]
        ),
        (&"pcap".into(), &"RAW".into())
    );
    assert!(report["input"]["cut_at_offset"].is_null());
    for field in [
        "packets",
        "conversations",
        "complete_handshakes",
        "bad_checksums",
        "fragments",
    ] {
        assert!(report["tcp"][field].is_u64(), "{field}");
    }
    let flow = &report["flows"][0];
    assert_eq!(
        (&flow["client"], &flow["server"]),
        (&"[2001:db8::1]:40000".into(), &"[2001:db8:9::9]:80".into())
    );
    assert_eq!(
        (&flow["adopted"], &flow["complete_handshake"]),
        (&true.into(), &true.into())
    );
    assert!(flow["reason"].is_null());
    for direction in ["client_to_server", "server_to_client"] {
        let figures = &flow["directions"][direction];
        for field in [
            "packets",
            "payload_bytes",
            "unique_payload_bytes",
            "pure_acks",
            "retransmitted_packets",
            "local_acks",
            "absorbed_acks",
            "rewritten",
            "engine_retransmissions",
            "peak_custody_bytes",
        ] {
            assert!(figures[field].is_u64(), "{direction} {field}");
        }
        for side in ["captured", "engine"] {
            for percentile in ["p50", "p99"] {
                assert!(
                    figures["ack_wait_us"][side][percentile].is_u64(),
                    "{direction} {side} {percentile}"
                );
            }
        }
    }
    assert_eq!(
        report["counters"]["pass"].as_object().unwrap().len(),
        localack_core::PassReason::COUNT
    );
    assert_eq!(
        report["counters"]["absorb"].as_object().unwrap().len(),
        localack_core::AbsorbReason::COUNT
    );
    assert_eq!(
        report["counters"]["drop"].as_object().unwrap().len(),
        localack_core::DropReason::COUNT
    );
    assert!(report["invariants"]["checked"].as_u64().unwrap() > 0);
}

#[test]
fn percentiles_of_nothing_are_null() {
    let only_syn = raw(&Connection::v4().exchange()[..1]);
    let output = with_input(&["replay", "-", "--json"], &only_syn);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let wait = &report["flows"][0]["directions"]["client_to_server"]["ack_wait_us"];
    assert!(wait["captured"]["p50"].is_null() && wait["engine"]["p99"].is_null());
    assert_eq!(report["flows"][0]["reason"], "handshake");
}

#[test]
fn every_error_is_one_line_with_its_exit_code() {
    let text = temporary("text.pcap");
    std::fs::write(&text, "This is no capture, but a text of some length.\n").unwrap();
    let empty = temporary("empty.pcap");
    std::fs::write(&empty, "").unwrap();
    let stub = temporary("stub.pcap");
    std::fs::write(&stub, [0xd4, 0xc3, 0xb2, 0xa1, 2, 0]).unwrap();
    let foreign = temporary("foreign.pcap");
    std::fs::write(&foreign, plain(147, &[(0, vec![0; 60])])).unwrap();
    let good = temporary("good.pcap");
    std::fs::write(&good, raw(&Connection::v4().exchange())).unwrap();
    let [text, empty, stub, foreign, good] =
        [&text, &empty, &stub, &foreign, &good].map(|path| path.to_str().unwrap());
    let cases: &[(i32, &[&str], &str)] = &[
        (2, &[], "no command"),
        (2, &["reply"], "reply"),
        (2, &["replay", "--bogus"], "--bogus"),
        (
            2,
            &["replay", "--service", "snop"],
            "local-ack, snoop, bypass",
        ),
        (2, &["replay", "--inner", "10.0.0.0/33"], "10.0.0.0/33"),
        (2, &["replay", "--inner", "10.0.0.0/8,"], "network"),
        (2, &["replay", "--checksums", "maybe"], "maybe"),
        (2, &["replay", "--buffer", "12Q"], "12Q"),
        (
            2,
            &["replay", "--buffer", "99999999999999999999G"],
            "octets",
        ),
        (2, &["replay", "--flows", "0"], "--flows"),
        (2, &["replay", "--controller", "vegas"], "vegas"),
        (2, &["replay", "--rate", "20"], "8kbit"),
        (2, &["replay", "--rate", "7999bit"], "7999bit"),
        (2, &["replay", "--rate", "99999999999999999999gbit"], "rate"),
        (
            2,
            &["replay", "--rate", "20mbit", "--controller", "cubic"],
            "--controller",
        ),
        (2, &["replay", good, "more"], "more"),
        (2, &["replay", good, "--write", good], "overwrite"),
        (1, &["replay", "/nowhere/at.all"], "/nowhere/at.all"),
        (1, &["replay", "/"], "/: "),
        (1, &["replay", text], "not a pcap"),
        (1, &["replay", empty], "empty"),
        (1, &["replay", stub], "header"),
        (1, &["replay", foreign, "--json"], "LINKTYPE_147"),
        (1, &["replay", "-"], "standard input"),
        (
            1,
            &["replay", good, "--write", "/nowhere/out.pcapng"],
            "/nowhere/out.pcapng",
        ),
    ];
    for (expected, args, part) in cases {
        let output = program(args);
        let told = stderr(&output);
        assert_eq!(
            (code(&output), stdout(&output).as_str()),
            (*expected, ""),
            "{args:?}: {told}"
        );
        assert_eq!(told.lines().count(), 1, "{args:?}: {told}");
        assert!(
            told.starts_with("localack-pcap: ") && told.contains(part),
            "{args:?}: {told}"
        );
    }
    // The capture that was to be overwritten is still there.
    assert_eq!(code(&program(&["replay", good, "--quiet"])), 0);
}

#[test]
fn a_damaged_file_is_a_warning() {
    let whole = raw(&Connection::v4().exchange());
    let output = with_input(&["replay", "-", "--json"], &whole[..whole.len() - 1]);
    assert_eq!(code(&output), 0);
    assert_eq!(stderr(&output).lines().count(), 1);
    assert!(stderr(&output).contains("warning"), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["input"]["packets"], 9);
    assert_eq!(report["input"]["cut_at_offset"], whole.len() - 16 - 40);
}

#[test]
fn quiet_says_nothing_and_top_and_sort_bound_the_text_alone() {
    let output = program(&["replay", "--quiet"]);
    assert_eq!(
        (
            code(&output),
            stdout(&output).as_str(),
            stderr(&output).as_str()
        ),
        (0, "", "")
    );
    let titles = |args: &[&str]| -> Vec<String> {
        let output = program(&[&["replay"], args].concat());
        stdout(&output)
            .lines()
            .filter(|line| line.contains(" -> "))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(titles(&[]).len(), 7);
    assert_eq!(titles(&["--top", "2"]).len(), 2);
    assert!(
        titles(&["--sort", "start"])
            .iter()
            .zip(1..)
            .all(|(line, n)| line.starts_with(&format!("{n} ")))
    );
    assert!(titles(&["--sort", "saved", "--top", "1"])[0].starts_with("1 "));
    let output = program(&["replay", "--top", "0", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["flows"].as_array().unwrap().len(), 7);
}

/// The comment of an enhanced packet block, wherever it is.
fn comments(file: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(file);
    text.split("localack: ")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| !c.is_control()).collect())
        .collect()
}

#[test]
fn the_annotated_capture_shows_both_ports_and_says_what_was_done() {
    let path = temporary("annotated.pcapng");
    let input = plain(101, &Connection::v4().upload(30, 560_000));
    let output = with_input(
        &["replay", "-", "--json", "--write", path.to_str().unwrap()],
        &input,
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let counters = &report["counters"];
    let sum = |group: &str| {
        counters[group]
            .as_object()
            .unwrap()
            .values()
            .map(|count| count.as_u64().unwrap())
            .sum::<u64>()
    };
    let (made, absorbed, dropped) = (sum("transmit"), sum("absorb"), sum("drop"));
    let edited = counters["engine"]["forwarded"].as_u64().unwrap();
    let captured = report["input"]["packets"].as_u64().unwrap();
    let mut source = Source::open(&path).unwrap();
    let mut frames = [0; 2];
    while let Some(frame) = source.next_frame() {
        assert!(link::decode(&frame).is_ok());
        frames[frame.clock as usize] += 1;
    }
    assert_eq!(source.cut(), None);
    // Each captured packet is seen where it arrived and, if it passed, where it left.
    assert_eq!(
        frames.iter().sum::<u64>(),
        captured * 2 - absorbed - dropped + made
    );
    let comments = comments(&std::fs::read(&path).unwrap());
    let count = |part: &str| {
        comments
            .iter()
            .filter(|comment| comment.starts_with(part))
            .count() as u64
    };
    assert!(made > 0 && absorbed > 0);
    assert_eq!(
        (count("made"), count("absorbed"), count("rewritten")),
        (made, absorbed, edited)
    );
}
