//! `localack-pcap what-if` itself, and captures that other people published.

#[path = "common/program.rs"]
mod program;

use std::path::PathBuf;
use std::process::Output;

use localack_pcap::sample::SAMPLE;
use program::{code, program, stderr, stdout};
use serde_json::Value;

fn what_if(args: &[&str], input: &[u8]) -> Output {
    program(&[&["what-if"], args].concat(), input)
}

#[test]
fn the_sample_is_asked_about_without_a_file() {
    let output = what_if(&["--seeds", "3", "--top", "2"], &[]);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    let text = stdout(&output);
    for part in [
        "507 packets",
        "Closed loop",
        "round trip",
        "captured",
        "reproduced",
        "with engine",
        "its rate is only a lower bound",
        "see --top",
        "2 conversations simulated",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn the_answer_as_json_says_what_it_is() {
    let arguments = [
        "-", "--json", "--seeds", "3", "--top", "1", "--place", "middle",
    ];
    let output = what_if(&arguments, SAMPLE);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["schema"], "localack-what-if/1");
    assert_eq!(answer["settings"]["place"], "middle");
    let flow = &answer["flows"][0];
    assert_eq!(flow["octets"][0], 256_000);
    let rtt = flow["path"]["rtt_ms"]["value"].as_f64().unwrap();
    assert!((550.0..570.0).contains(&rtt), "{rtt}");
    assert_eq!(flow["reproduced"]["runs"], 3);
    assert_eq!(answer["skipped"].as_array().unwrap().len(), 6);
}

#[test]
fn what_the_caller_says_is_used_and_nonsense_refused() {
    let told = ["--rtt", "100", "--rate", "10mbit", "--loss", "0", "--json"];
    let answer = what_if(&told, &[]);
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    let path = &answer["flows"][0]["path"];
    assert_eq!(path["rtt_ms"]["value"], 100.0);
    assert_eq!(path["rate_mbit"]["confidence"], "told");
    for bad in [
        ["--rtt", "0"],
        ["--rtt", "nan"],
        ["--rate", "-1"],
        ["--rate", "inf"],
        ["--loss", "51"],
        ["--seeds", "0"],
        ["--place", "moon"],
        ["--controller", "none"],
        ["--sender", "bbr"],
        ["--buffer", "2G"],
    ] {
        let output = what_if(&bad, &[]);
        assert_eq!(code(&output), 2, "{bad:?}");
        let said = stderr(&output);
        assert!(said.starts_with("localack-pcap: "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn what_cannot_be_simulated_is_told_in_one_line() {
    // A header and nothing else; no capture; and a file that is not there.
    for (arguments, input, part) in [
        (["-"], &SAMPLE[..24], "no TCP in it"),
        (
            ["-"],
            b"this is no capture, by no means".as_slice(),
            "standard input",
        ),
        (["/nowhere/at/all.pcap"], &[], "/nowhere/at/all.pcap"),
    ] {
        let output = what_if(&arguments, input);
        assert_eq!((code(&output), stdout(&output).as_str()), (1, ""));
        let said = stderr(&output);
        assert!(said.contains(part) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn damaged_captures_are_survived() {
    let mut state = 5_u64;
    for round in 0..40 {
        let mut capture = SAMPLE.to_vec();
        capture.truncate(60_000);
        for _ in 0..30 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Headers are near the beginnings of packets; the file's own is spared.
            let at = 24 + (state >> 33) as usize % (capture.len() - 24);
            capture[at] = (state >> 25) as u8;
        }
        let output = what_if(&["-", "--seeds", "1", "--top", "3"], &capture);
        assert!([0, 1].contains(&code(&output)), "{round}: {output:?}");
    }
}

/// Captures that other people published; without the folder this says so and passes.
#[test]
fn published_captures_are_understood() {
    let folder = std::env::var_os("LOCALACK_CAPTURES").map(PathBuf::from);
    let Some(folder) = folder.filter(|folder| folder.join("groundtruth.json").exists()) else {
        println!("skipped: LOCALACK_CAPTURES names no folder with captures");
        return;
    };
    // Round trips are those that another analyser finds.
    for (name, rtt, octets) in [
        ("download-183ms.pcap", 183.2, 129_878),
        ("bulk-1mb-headers-only.pcap", 51.3, 1_000_000),
        ("lossy-download.pcap", 368.6, 523_060),
        ("tls-182ms.pcap", 181.2, 121_583),
    ] {
        let path = folder.join(name);
        let arguments = [
            path.to_str().unwrap(),
            "--json",
            "--seeds",
            "5",
            "--top",
            "1",
        ];
        let output = what_if(&arguments, &[]);
        assert_eq!(code(&output), 0, "{name}: {}", stderr(&output));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let flow = &answer["flows"][0];
        let found = flow["path"]["rtt_ms"]["value"].as_f64().unwrap();
        assert!((found / rtt - 1.0).abs() < 0.05, "{name}: {found}");
        let larger = flow["octets"].as_array().unwrap().iter();
        let larger = larger.map(|octets| octets.as_u64().unwrap()).max();
        assert_eq!(larger, Some(octets), "{name}");
        let engine = &flow["engine"];
        assert_eq!(engine["unfinished"], 0, "{name}: {engine}");
        println!("{name}: {} {}", flow["error_pct"], flow["speedup"]);
    }
}
