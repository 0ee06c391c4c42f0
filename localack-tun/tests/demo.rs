//! `localack-tun demo` itself: what it prints is so, and nothing is left of it, however it ends.
//!
//! Needs root and iproute2. Without it the tests say so and pass, unless `LOCALACK_REQUIRE_ROOT=1` turns that
//! into a failure. The program runs in a namespace that the test makes and removes, and that is to it
//! what the machine's own network is to a user.
#![cfg(target_os = "linux")]

mod common;

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use common::{Namespace, Scratch, ip, privileged};
use localack_tun::clock::Clock;
use localack_tun::netns;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;
use serde_json::Value;
use sha2::{Digest, Sha256};

const PATIENCE: Duration = Duration::from_secs(60);
/// A path on which a transfer is short, and still has losses.
const SHORT: &str = "--delay 20ms --rate 50mbit --loss 2% --size 600kb --seed 3";

/// Demonstrations clear what others have left, so that there is one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn demo(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_localack-tun"));
    command.arg("demo").args(arguments.split_whitespace());
    command
}

fn output(namespace: &Namespace, arguments: &str) -> Output {
    netns::within(&namespace.0, || demo(arguments).output().unwrap()).unwrap()
}

/// The network that the program finds, and must leave as it is.
fn network(namespace: &Namespace) -> Vec<String> {
    let mut dump: Vec<_> = ["link", "addr", "rule", "route show table all"]
        .iter()
        .map(|what| ip(&format!("-n {} {what}", namespace.0)))
        .collect();
    let forwarding = netns::within(&namespace.0, || {
        fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap()
    });
    dump.push(forwarding.unwrap());
    dump
}

fn home_of(process: u32) -> PathBuf {
    PathBuf::from(format!("/run/localack-demo.{process}"))
}

/// The processes of the machine, as far as they last.
fn processes() -> Vec<u32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// The children of a process that run this program.
fn gateways_of(parent: u32) -> Vec<u32> {
    let is_child = |process: &u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let command = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
        status.contains(&format!("PPid:\t{parent}\n")) && command.contains("demo-gateway")
    };
    let mut children = processes();
    children.retain(is_child);
    children
}

/// The network namespaces that processes are in.
fn namespaces() -> BTreeSet<PathBuf> {
    processes()
        .iter()
        .filter_map(|process| fs::read_link(format!("/proc/{process}/ns/net")).ok())
        .collect()
}

/// Waits until there is something.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::start();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock.now() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What the file of so many octets is.
fn digest_of_file(octets: usize) -> String {
    let mut content = vec![0; octets];
    Pcg64Mcg::new(octets as u128).fill_bytes(&mut content);
    let digest = Sha256::digest(&content);
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn files_arrive_intact_and_the_numbers_fit_together() {
    if !privileged() {
        return;
    }
    let _alone = alone();
    let own = Namespace::new("demo-json");
    let before = network(&own);
    for (direction, flags) in [("upload", ""), ("download", "--download --runs 2")] {
        let output = output(&own, &format!("{SHORT} {flags} --json"));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["setting"]["direction"], direction);
        let limit = json["setting"]["physical_limit_seconds"].as_f64().unwrap();
        let runs = if direction == "upload" { 1 } else { 2 };
        for mode in ["without_engine", "with_engine"] {
            let transfers = &json[mode]["runs"];
            assert_eq!(transfers.as_array().unwrap().len(), runs);
            for transfer in transfers.as_array().unwrap() {
                assert_eq!(transfer["sha256"], digest_of_file(600_000));
                let seconds = transfer["seconds"].as_f64().unwrap();
                assert!(seconds >= limit, "{direction} {mode}: {seconds} < {limit}");
                let last = transfer["progress"].as_array().unwrap().last().unwrap();
                assert_eq!(last, &serde_json::json!([seconds, 600_000]));
            }
        }
        // Both senders are this kernel; the engine's word for it is that it acknowledged and repaired.
        let engine = &json["with_engine"]["runs"][0]["engine"];
        assert!(engine["local_acks"].as_u64().unwrap() > 10, "{engine}");
        assert!(engine["retransmissions"].as_u64().unwrap() > 0, "{engine}");
        assert!(json["without_engine"]["runs"][0]["engine"].is_null());
        let again = |mode: &str| {
            json[mode]["median"]["sender_retransmissions"]
                .as_u64()
                .unwrap()
        };
        assert!(again("without_engine") > again("with_engine"), "{json}");
        let lines = told.lines().filter(|line| line.contains(": 100 % after "));
        assert_eq!(lines.count(), 2 * runs, "{told}");
    }
    assert_eq!(network(&own), before);
}

#[test]
fn the_report_is_a_table_and_a_plot_of_eighty_columns() {
    if !privileged() {
        return;
    }
    let _alone = alone();
    let own = Namespace::new("demo-text");
    let output = output(&own, SHORT);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.is_ascii() && !text.contains('\x1b'), "{text}");
    let long = text.lines().find(|line| line.len() > 82);
    assert_eq!(long, None, "{text}");

    let cells = |label: &str| -> [String; 2] {
        let row = text.lines().find_map(|line| line.strip_prefix(label));
        let row = row.unwrap_or_else(|| panic!("no {label:?} in\n{text}"));
        let cells = row
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty());
        let cells: Vec<_> = cells.map(str::to_owned).collect();
        cells
            .try_into()
            .unwrap_or_else(|cells| panic!("{label}: {cells:?}"))
    };
    let amount = |cell: &String, units: &[(&str, f64)]| {
        let (number, unit) = cell.split_once(' ').unwrap();
        let (_, factor) = units.iter().find(|(name, _)| *name == unit).unwrap();
        number.parse::<f64>().unwrap() * factor
    };
    let times = cells("time ").map(|cell| amount(&cell, &[("ms", 1e-3), ("s", 1.0)]));
    let rates = cells("goodput ").map(|cell| amount(&cell, &[("kbit/s", 1e3), ("Mbit/s", 1e6)]));
    for (time, rate) in times.into_iter().zip(rates) {
        let octets = time * rate / 8.0;
        assert!((octets - 600_000.0).abs() < 6_000.0, "{octets}");
    }
    let limit = 0.06 + 600_000.0 * 1500.0 / 1448.0 * 8.0 / 50e6;
    let shares = cells("share of the physical limit, 159 ms ");
    let shares = shares.map(|cell| amount(&cell, &[("%", 0.01)]));
    for (time, share) in times.into_iter().zip(shares) {
        assert!(
            (share - limit / time).abs() < 0.02,
            "{share} of {limit} in {time}"
        );
    }
    assert_eq!(cells("SHA-256 of what arrived "), ["right", "right"]);
    let [direct, engine] = cells("retransmissions by the engine ");
    assert!(direct == "-" && engine.parse::<u64>().unwrap() > 0);
    let [direct, _] = cells("retransmissions by the sender ");
    assert!(
        direct.parse::<u64>().unwrap() > 0,
        "nothing was lost:\n{text}"
    );
    let waits = cells("longest wait without progress ");
    let waits = waits.map(|cell| amount(&cell, &[("ms", 1e-3), ("s", 1.0)]));
    assert!(waits[0] < times[0] && waits[1] < times[1], "{text}");
    assert!(
        text.contains(". without the engine     # with the engine"),
        "{text}"
    );
    assert!(text.contains("   600 kB |"), "{text}");
}

/// A running demonstration.
struct Running {
    child: Child,
}

impl Running {
    fn start(own: &Namespace, arguments: &str) -> Self {
        let mut command = demo(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = netns::within(&own.0, || command.spawn().unwrap()).unwrap();
        Self { child }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    fn gateway(&self) -> u32 {
        let look = || gateways_of(self.child.id()).first().copied();
        wait_for("no gateway", look)
    }

    /// Its exit code or signal, and what it has said.
    fn ended(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        let status = wait_for("it does not end", || self.child.try_wait().unwrap());
        let mut err = self.child.stderr.take().unwrap();
        err.read_to_string(&mut said).unwrap();
        (status.code(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_gone(process: u32) -> Option<()> {
    (!Path::new(&format!("/proc/{process}")).exists()).then_some(())
}

#[test]
fn signals_leave_nothing_behind() {
    if !privileged() {
        return;
    }
    let _alone = alone();
    let own = Namespace::new("demo-signals");
    let before = network(&own);
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        // While the kernel forwards.
        let mut running = Running::start(&own, "--size 50mb");
        let process = running.child.id();
        wait_for("no home", || home_of(process).exists().then_some(()));
        thread::sleep(Duration::from_millis(700));
        running.signal(signal);
        let (status, said) = running.ended();
        assert_eq!(status, Some(code), "{said}");
        assert_eq!(
            said,
            "localack-tun: interrupted; everything that was made is removed\n"
        );
        assert!(!home_of(process).exists());

        // While the engine does, and has something in custody.
        let arguments = "--delay 100ms --size 3mb --rate 8mbit --loss 0%";
        let mut running = Running::start(&own, arguments);
        let process = running.child.id();
        let gateway = running.gateway();
        let namespace = fs::read_link(format!("/proc/{gateway}/ns/net")).unwrap();
        thread::sleep(Duration::from_millis(700));
        running.signal(signal);
        let (status, said) = running.ended();
        assert_eq!(status, Some(code), "{said}");
        assert!(
            said.ends_with("interrupted; everything that was made is removed\n"),
            "{said}"
        );
        assert_eq!(is_gone(gateway), Some(()));
        assert!(!namespaces().contains(&namespace));
        assert!(!home_of(process).exists());
    }
    assert_eq!(network(&own), before);
}

#[test]
fn a_killed_demonstration_takes_its_network_along_and_the_next_one_clears_its_files() {
    if !privileged() {
        return;
    }
    let _alone = alone();
    let own = Namespace::new("demo-killed");
    let before = network(&own);
    let mut running = Running::start(&own, "--delay 50ms --size 1mb --rate 4mbit --loss 0%");
    let process = running.child.id();
    let gateway = running.gateway();
    let namespace = fs::read_link(format!("/proc/{gateway}/ns/net")).unwrap();
    let mut lines = BufReader::new(running.child.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(
        first.starts_with("without the engine: 100 % after "),
        "{first}"
    );
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    wait_for("the gateway stays", || is_gone(gateway));
    assert!(!namespaces().contains(&namespace));
    assert_eq!(network(&own), before);

    assert!(home_of(process).exists(), "there is nothing to clear");
    let output = output(&own, SHORT);
    assert!(output.status.success());
    assert!(!home_of(process).exists());
}

#[test]
fn without_root_it_says_so_in_one_line() {
    if !privileged() {
        return;
    }
    let _alone = alone();
    // Where the program is built, nobody may be allowed to look.
    let program = Scratch::new("demo-of-nobody");
    fs::copy(env!("CARGO_BIN_EXE_localack-tun"), &program.0).unwrap();
    fs::set_permissions(&program.0, PermissionsExt::from_mode(0o755)).unwrap();
    let output = Command::new(&program.0)
        .arg("demo")
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "localack-tun: demo: needs root: CAP_SYS_ADMIN to make network namespaces of its own, \
         CAP_NET_ADMIN for the interfaces in them\n"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn a_path_that_carries_nothing_is_given_up_in_time() {
    if !privileged() {
        return;
    }
    let _alone = alone();
    let own = Namespace::new("demo-slow");
    let arguments = "--loss 100% --delay 10ms --size 1kb --patience 500ms";
    let output = output(&own, arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let said = "localack-tun: demo: without the engine: 0 of 1000 octets had arrived after";
    assert!(told.starts_with(said), "{told}");
}
