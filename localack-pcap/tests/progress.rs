//! The progress of a long capture: on a terminal, and nowhere else.

#![cfg(target_os = "linux")]

mod common;
#[path = "common/program.rs"]
mod program;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::*;
use program::PROGRAM;

/// A capture that takes a while: 20 MB of datagrams, and an exchange.
fn long(path: &Path) {
    let [from, to] = ["10.1.0.1", "192.0.2.9"].map(|address| address.parse().unwrap());
    let datagram = ip(from, to, 17, &udp(1000, 2000, &[0; 1400]));
    let mut frames: Vec<Timed> = Connection::v4()
        .exchange()
        .iter()
        .zip(0..)
        .map(|(packet, at)| (at, packet.ip()))
        .collect();
    frames.extend((100..14_000).map(|at| (at, datagram.clone())));
    fs::write(path, plain(101, &frames)).unwrap();
}

/// What a terminal shows while a shell runs `command`; none where there is no `script`.
fn terminal(command: &str) -> Option<String> {
    let output = Command::new("script")
        .args(["-qec", command, "/dev/null"])
        .env("TERM", "xterm")
        .output();
    let Ok(output) = output else {
        assert!(
            std::env::var_os("LOCALACK_REQUIRE_ROOT").is_none(),
            "script (util-linux) is missing"
        );
        eprintln!("skipped: there is no program called script");
        return None;
    };
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command}: {shown}");
    Some(shown)
}

#[test]
fn progress_is_shown_on_a_terminal_and_never_in_what_is_piped() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let [capture, out, errors, html] = ["long.pcap", "out", "errors", "out.html"].map(file);
    long(Path::new(&capture));
    let is_progress = |text: &str| text.contains(" of 19.") && text.contains(" left");
    for arguments in [
        format!("replay {capture} --json"),
        format!("size {capture} --json"),
        format!("report {capture} --html {html}"),
        format!("what-if {capture} --rtt 10 --rate 10"),
    ] {
        let run = format!("{PROGRAM} {arguments}");
        // Standard error is the terminal, standard output a file.
        let Some(shown) = terminal(&format!("{run} >{out}")) else {
            return;
        };
        assert!(is_progress(&shown), "{arguments}: {shown:?}");
        // At the end it is wiped away.
        assert!(
            shown.contains('\r') && !shown.trim_end().ends_with("left"),
            "{shown:?}"
        );
        let piped = fs::read_to_string(&out).unwrap();
        assert!(!is_progress(&piped) && !piped.contains('\x1b'), "{piped}");
        if arguments.contains("--json") {
            serde_json::from_str::<serde_json::Value>(&piped).unwrap();
        }
        // The other way round there is none.
        let shown = terminal(&format!("{run} 2>{errors}")).unwrap();
        assert!(!is_progress(&shown), "{arguments}: {shown:?}");
        assert_eq!(fs::read_to_string(&errors).unwrap(), "", "{arguments}");
    }
    let run = format!("{PROGRAM} replay {capture} --quiet");
    let shown = terminal(&run).unwrap();
    assert_eq!(shown, "", "nothing was to be said");
    // A short capture is read before anyone looks.
    let shown = terminal(&format!("{PROGRAM} replay --json >{out}")).unwrap();
    assert_eq!(shown, "");
}
