//! How much memory a gateway needs, and settings that it takes.

mod common;

#[path = "common/program.rs"]
mod program;

use std::fs;
use std::process::Output;

use common::*;
use localack_tun::config::Settings;
use program::{program, stderr};
use serde_json::Value;

fn sized(args: &[&str], input: &[u8]) -> Output {
    program(&[&["size"], args].concat(), input)
}

fn json(args: &[&str], input: &[u8]) -> Value {
    let output = sized(&[args, &["--json"]].concat(), input);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Uploads that begin a second apart, each over a path of two seconds.
fn uploads(count: u16) -> Vec<u8> {
    let mut frames = Vec::new();
    for number in 0..count {
        let connection = Connection {
            client: ("10.1.0.1".parse().unwrap(), 10_000 + number),
            ..Connection::v4()
        };
        let upload = connection.upload(20, 2_000_000);
        frames.extend(
            upload
                .into_iter()
                .map(|(at, packet)| (at + u64::from(number) * 1_000_000, packet)),
        );
    }
    frames.sort_by_key(|frame| frame.0);
    plain(101, &frames)
}

#[test]
fn a_gateway_takes_the_settings() {
    let size = json(&["-"], &uploads(5));
    let recommended = &size["recommended"];
    let toml = recommended["toml"].as_str().unwrap();
    let settings = Settings::parse(toml).unwrap();
    assert_eq!(
        u64::from(settings.engine.flows),
        recommended["flows"].as_u64().unwrap()
    );
    assert_eq!(
        settings.engine.buffer,
        recommended["buffer_bytes"].as_u64().unwrap()
    );
    let text = sized(&["-"], &uploads(5)).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.ends_with(&format!("{toml}\n")), "{text}");
    // The text above the settings is none.
    let engine = &text[text.find("[engine]").unwrap()..];
    assert_eq!(Settings::parse(engine).unwrap().engine, settings.engine);
}

#[test]
fn what_is_held_at_a_time_is_found() {
    let size = json(&["-"], &uploads(5));
    assert_eq!(size["schema"], "localack-size/1");
    assert_eq!(size["captures"][0]["adopted"], 5);
    // No upload ends before the last one has begun.
    assert_eq!(
        (&size["flows"]["peak"], &size["arrivals_per_s"]["peak"]),
        (&5.into(), &1.into())
    );
    let custody = size["custody_bytes"]["peak"].as_u64().unwrap();
    assert!(
        custody.is_multiple_of(1536) && (20 * 1536..=100 * 1536).contains(&custody),
        "{custody}"
    );
    let ordered = |name: &str| {
        let of = |which: &str| size[name][which].as_u64().unwrap();
        assert!(of("p50") <= of("p99") && of("p99") <= of("peak"), "{name}");
    };
    ["custody_bytes", "flows", "arrivals_per_s"]
        .into_iter()
        .for_each(ordered);
    let uncounted = size["uncounted"].as_object().unwrap();
    assert!(
        uncounted
            .values()
            .all(|value| *value == 0 || *value == false),
        "{uncounted:?}"
    );
}

#[test]
fn captures_follow_one_another() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one.pcap", "two.pcap"].map(|name| folder.path().join(name));
    fs::write(&one, uploads(2)).unwrap();
    fs::write(&two, uploads(4)).unwrap();
    let both = json(&[one.to_str().unwrap(), two.to_str().unwrap()], b"");
    let alone = json(&[two.to_str().unwrap()], b"");
    assert_eq!(both["captures"].as_array().unwrap().len(), 2);
    assert_eq!(both["flows"]["peak"], alone["flows"]["peak"]);
    assert_eq!(
        both["custody_bytes"]["peak"],
        alone["custody_bytes"]["peak"]
    );
    let missing = sized(&[one.to_str().unwrap(), "missing.pcap"], b"");
    assert_eq!((missing.status.code(), missing.stdout.len()), (Some(1), 0));
}

#[test]
fn want_of_room_is_told() {
    let size = json(&["-", "--flows", "2"], &uploads(5));
    let uncounted = &size["uncounted"];
    let missing =
        ["table_full", "handshakes_evicted"].map(|name| uncounted[name].as_u64().unwrap());
    assert!(missing.iter().sum::<u64>() > 0, "{uncounted}");
    let text = sized(&["-", "--flows", "2"], &uploads(5)).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("Not in these figures:") && text.contains("more --flows"),
        "{text}"
    );
    let size = json(&["-", "--buffer", "16K"], &uploads(5));
    let uncounted = &size["uncounted"];
    assert_eq!(uncounted["buffer_reached"], true, "{uncounted}");
    let damaged = uploads(2);
    let output = sized(&["-", "--json"], &damaged[..damaged.len() - 3]);
    assert!(stderr(&output).contains("warning"));
    let size: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(size["captures"][0]["cut_at_offset"].as_u64().is_some());
}

#[test]
fn headroom_is_as_asked_and_nothing_needs_little() {
    let flows = |headroom: &str| {
        let size = json(&["--headroom", headroom], b"");
        size["recommended"]["headroom_percent"].as_u64().unwrap()
    };
    assert_eq!([flows("0"), flows("50")], [0, 50]);
    assert_eq!(sized(&["--headroom", "x"], b"").status.code(), Some(2));
    let empty = json(&["-"], &raw(&[]));
    assert_eq!(
        (&empty["flows"]["peak"], &empty["recommended"]["flows"]),
        (&0.into(), &256.into())
    );
}
