//! The commands in the README do what they are written down for.

#![cfg(unix)]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

#[test]
fn every_command_runs_as_it_is_written() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(here.join("README.md")).unwrap();
    // As in the repository's root, but what is written there goes away again.
    let root = tempfile::tempdir().unwrap();
    symlink(here, root.path().join("localack-pcap")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_localack-pcap"));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let commands: Vec<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with("localack-pcap ") || line.contains("| localack-pcap "))
        .collect();
    assert!(commands.len() >= 7, "{commands:?}");
    for command in commands {
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(root.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {errors}");
        assert_eq!(errors, "", "{command}");
    }
    assert!(root.path().join("report.html").exists());
}
