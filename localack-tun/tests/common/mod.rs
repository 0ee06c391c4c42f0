//! What tests between real network namespaces share.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Whether this run may make namespaces, found out by making one.
pub(crate) fn privileged() -> bool {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    let allowed = *ALLOWED.get_or_init(|| {
        let probe = format!("la-test-probe-{}", std::process::id());
        let netns = |verb| {
            let output = Command::new("ip").args(["netns", verb, &probe]).output();
            output.is_ok_and(|output| output.status.success())
        };
        netns("add") && netns("del")
    });
    if !allowed {
        let required = std::env::var_os("LOCALACK_REQUIRE_ROOT").is_some_and(|value| value == "1");
        assert!(
            !required,
            "LOCALACK_REQUIRE_ROOT=1, but no network namespace can be made"
        );
        eprintln!("skipped: needs root and iproute2 to make network namespaces");
    }
    allowed
}

/// Runs `ip` and returns what it prints.
pub(crate) fn ip(args: &str) -> String {
    let output = Command::new("ip")
        .args(args.split_whitespace())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {args}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A network namespace that exists as long as this value.
pub(crate) struct Namespace(pub(crate) String);

impl Namespace {
    pub(crate) fn new(role: &str) -> Self {
        let namespace = Self(format!("la-test-{role}-{}", std::process::id()));
        ip(&format!("netns add {}", namespace.0));
        ip(&format!("-n {} link set lo up", namespace.0));
        namespace
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// A file that exists as long as this value.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("la-test-{}-{name}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
