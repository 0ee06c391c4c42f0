//! The emulator between two real network namespaces: echoes take the delay of the link, a file
//! crosses it intact, and its capture and its errors are what they claim to be.
//!
//! Needs root and iproute2. Without it the tests say so and pass, unless `LOCALACK_REQUIRE_ROOT=1` turns that
//! into a failure. Everything happens inside namespaces that the tests make and remove.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "these tests measure real time")]

mod common;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use common::{Namespace, Scratch, ip, privileged};
use localack_tun::netns;
use pcap_file::pcap::PcapReader;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running emulator between two namespaces with an address at each end.
struct Emulator {
    child: Option<Child>,
    left: Namespace,
    right: Namespace,
}

impl Emulator {
    const LEFT: &'static str = "192.0.2.1";
    const LEFT_V6: &'static str = "2001:db8::1";
    const RIGHT: &'static str = "192.0.2.2";
    const RIGHT_V6: &'static str = "2001:db8::2";

    fn start(test: &str, settings: &str) -> Self {
        let left = Namespace::new(&format!("{test}l"));
        let right = Namespace::new(&format!("{test}r"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_localack-tun"))
            .args(["emulate", "--left", &format!("t0@{}", left.0)])
            .args(["--right", &format!("t0@{}", right.0)])
            // Ends by itself should the test die.
            .args(["--duration", "60s"])
            .args(settings.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stderr.as_mut().unwrap())
            .read_line(&mut first)
            .unwrap();
        let emulator = Self {
            child: Some(child),
            left,
            right,
        };
        assert!(first.starts_with("ready: "), "{first}");
        for (end, v4, v6) in [
            (&emulator.left, Self::LEFT, Self::LEFT_V6),
            (&emulator.right, Self::RIGHT, Self::RIGHT_V6),
        ] {
            ip(&format!("-n {} addr add {v4}/24 dev t0", end.0));
            ip(&format!("-n {} addr add {v6}/64 dev t0 nodad", end.0));
        }
        emulator
    }

    /// Ends the emulator as a user does, by SIGTERM, and returns its report.
    fn stop(&mut self) -> String {
        let mut child = self.child.take().unwrap();
        let killed = Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
        let mut report = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut report)
            .unwrap();
        assert!(child.wait().unwrap().success(), "{report}");
        report
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Octets in which no two places look alike.
fn file_of(octets: u32) -> Vec<u8> {
    (0..octets / 4)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect()
}

fn socket_address(address: &str, port: u16) -> SocketAddr {
    (address.parse::<IpAddr>().unwrap(), port).into()
}

fn udp_socket(namespace: &Namespace, address: &str, port: u16) -> UdpSocket {
    let address = socket_address(address, port);
    let socket = netns::within(&namespace.0, || UdpSocket::bind(address))
        .unwrap()
        .unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// How long a datagram takes from `left` to `right` and back.
fn echo(emulator: &Emulator, left: &str, right: &str) -> Duration {
    let (near, far) = (
        udp_socket(&emulator.left, left, 5002),
        udp_socket(&emulator.right, right, 5002),
    );
    let mirror = thread::spawn(move || {
        let mut datagram = [0; 64];
        let (len, from) = far.recv_from(&mut datagram).unwrap();
        far.send_to(&datagram[..len], from).unwrap();
    });
    let began = Instant::now();
    near.send_to(b"echo", socket_address(right, 5002)).unwrap();
    let mut datagram = [0; 64];
    let (len, _) = near.recv_from(&mut datagram).unwrap();
    let took = began.elapsed();
    assert_eq!(&datagram[..len], b"echo");
    mirror.join().unwrap();
    took
}

/// Sends `content` from the left end to the right end over TCP; returns what arrived.
fn transfer(emulator: &Emulator, content: &[u8]) -> io::Result<Vec<u8>> {
    let address = socket_address(Emulator::RIGHT, 5001);
    let listener = netns::within(&emulator.right.0, || TcpListener::bind(address))??;
    let receiver = thread::spawn(move || -> io::Result<Vec<u8>> {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut received = Vec::new();
        stream.read_to_end(&mut received)?;
        Ok(received)
    });
    let mut stream = netns::within(&emulator.left.0, || {
        TcpStream::connect_timeout(&address, PATIENCE)
    })??;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(content)?;
    stream.shutdown(Shutdown::Write)?;
    receiver.join().unwrap()
}

/// The number after `label` in the report's line for `direction`.
fn figure(report: &str, direction: &str, label: &str) -> u64 {
    let line = report
        .lines()
        .find(|line| line.starts_with(direction))
        .unwrap();
    let (_, rest) = line
        .split_once(label)
        .unwrap_or_else(|| panic!("no {label:?} in {line}"));
    rest.trim_start()
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn echoes_take_the_delay_of_both_ways() {
    if !privileged() {
        return;
    }
    let mut emulator = Emulator::start("echo", "--delay 60ms --right-to-left delay=90ms");
    let ends = [
        (Emulator::LEFT, Emulator::RIGHT),
        (Emulator::LEFT_V6, Emulator::RIGHT_V6),
    ];
    for (left, right) in ends {
        // The soonest of some, and the upper bound leaves room for a busy machine; a second would be another
        // delay.
        let took = (0..3).map(|_| echo(&emulator, left, right)).min().unwrap();
        assert!(
            (150..1000).contains(&took.as_millis()),
            "{took:?} to {right}"
        );
    }
    let report = emulator.stop();
    // One datagram each way and family; the kernels may add IPv6 multicast reports.
    assert!(figure(&report, "left to right", ", out") >= 2, "{report}");
    assert!(figure(&report, "right to left", ", out") >= 2, "{report}");
}

#[test]
fn a_file_arrives_intact_over_a_bad_link_and_the_capture_shows_it() {
    if !privileged() {
        return;
    }
    let capture = Scratch::new("transfer.pcap");
    let settings = format!(
        "--delay 10ms --jitter 2ms --rate 50mbit --queue 100kib --loss 2% --reorder 2% \
         --reorder-by 3ms --duplicate 1% --corrupt 1% --seed 5 --write {}",
        capture.0.display()
    );
    let mut emulator = Emulator::start("file", &settings);
    let content = file_of(1 << 20);
    let received = transfer(&emulator, &content).unwrap();
    assert!(
        received == content,
        "{} of {} octets, or others",
        received.len(),
        content.len()
    );

    let report = emulator.stop();
    for label in [", lost", "reordered", "duplicated", "corrupted"] {
        assert!(
            figure(&report, "left to right", label) > 0,
            "{label}: {report}"
        );
    }
    let seen = figure(&report, "left to right", "in") + figure(&report, "right to left", ", out");
    let mut reader = PcapReader::new(File::open(&capture.0).unwrap()).unwrap();
    let mut stamps = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.unwrap();
        // Without offloads no segment is longer than the device's MTU.
        assert!(packet.data.len() <= 1500);
        stamps.push(packet.timestamp);
    }
    assert_eq!(u64::try_from(stamps.len()).unwrap(), seen, "{report}");
    assert!(stamps.is_sorted());
}

#[test]
fn it_ends_by_itself_after_its_packets_and_delivers_what_is_under_way() {
    if !privileged() {
        return;
    }
    let mut emulator = Emulator::start("count", "--delay 50ms --packets 8");
    let socket = udp_socket(&emulator.left, Emulator::LEFT, 5003);
    // More than enough: the last find the link closed. Nobody answers.
    for _ in 0..20 {
        socket
            .send_to(b"one of many", socket_address(Emulator::RIGHT, 5003))
            .unwrap();
    }
    let child = emulator.child.take().unwrap();
    let output = child.wait_with_output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    let directions = ["left to right", "right to left"];
    let total = |label| {
        directions
            .map(|way| figure(&report, way, label))
            .iter()
            .sum::<u64>()
    };
    assert_eq!(total("in"), 8, "{report}");
    assert_eq!(total(", out"), 8, "{report}");
    assert_eq!(total("under way"), 0, "{report}");
}

#[test]
fn errors_are_one_clear_line() {
    if !privileged() {
        return;
    }
    let emulator = Emulator::start("error", "");
    let complaint = |left: &str, right: &str, more: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_localack-tun"))
            .args([
                "emulate",
                "--left",
                left,
                "--right",
                right,
                "--duration",
                "1s",
            ])
            .args(more.split_whitespace())
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
        errors
    };
    let left = &emulator.left.0;
    let taken = complaint(&format!("t0@{left}"), &format!("t1@{left}"), "");
    assert!(taken.contains("the name is taken"), "{taken}");
    let other_kind = complaint(&format!("lo@{left}"), &format!("t1@{left}"), "");
    assert!(other_kind.contains("the name is taken"), "{other_kind}");
    let nowhere = complaint("t1@no-such-namespace", &format!("t2@{left}"), "");
    assert!(nowhere.contains("no such network namespace"), "{nowhere}");
    let ends = (format!("t1@{left}"), format!("t2@{left}"));
    let unwritable = complaint(&ends.0, &ends.1, "--write /nonexistent/x.pcap");
    assert!(unwritable.contains("/nonexistent/x.pcap: "), "{unwritable}");
}
