//! Programs of others: curl and iperf3.

use core::net::IpAddr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

use crate::common::{Scratch, privileged};
use crate::content::{receive, receive_at_most, send};
use crate::gateway::Site;
use crate::world::{BOTH_WAYS, World, number};

/// Whether a program is there; if it has to be, it is.
fn is_there(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok();
    if !found {
        let required = std::env::var_os("LOCALACK_REQUIRE_ROOT").is_some_and(|value| value == "1");
        assert!(
            !required,
            "LOCALACK_REQUIRE_ROOT=1, but there is no {program}"
        );
        eprintln!("skipped: there is no {program}");
    }
    found
}

fn url(server: IpAddr, port: u16) -> String {
    match server {
        IpAddr::V4(server) => format!("http://{server}:{port}/"),
        IpAddr::V6(server) => format!("http://[{server}]:{port}/"),
    }
}

/// Takes one request of HTTP: keeps what is uploaded, or sends a stream.
fn answer(listener: &TcpListener, number: u64, octets: u64) {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(&stream);
    let (mut line, mut length, mut expects) = (String::new(), None, false);
    reader.read_line(&mut line).unwrap();
    let is_upload = line.starts_with("PUT ");
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        length = length.or_else(|| {
            header
                .strip_prefix("content-length: ")
                .map(|n| n.parse().unwrap())
        });
        expects |= header == "expect: 100-continue";
    }
    let mut writer = &stream;
    if is_upload {
        if expects {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
        assert_eq!(length, Some(octets));
        receive_at_most(reader, octets).is_whole(number, octets);
        writer
            .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            .unwrap();
    } else {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {octets}\r\nConnection: close\r\n\r\n");
        writer.write_all(head.as_bytes()).unwrap();
        send(writer, number, octets).unwrap();
    }
}

#[test]
fn curl_uploads_and_downloads() {
    if !(privileged() && is_there("curl")) {
        return;
    }
    let octets = 2_000_000;
    let world = World::over(
        "curl",
        "--delay 20ms --rate 100mbit --queue 2mib --loss 1%",
        BOTH_WAYS,
    );
    thread::scope(|scope| {
        for server in world.servers {
            let world = &world;
            scope.spawn(move || {
                let listener = world.listen(server);
                let url = url(server, listener.local_addr().unwrap().port());
                let number = number();
                let file = Scratch::new(&format!("curl-{number}"));
                send(std::fs::File::create(&file.0).unwrap(), number, octets).unwrap();
                let curl = |arguments: &[&str]| {
                    let mut curl = world.command(Site::Client, "curl");
                    curl.args([
                        "--silent",
                        "--show-error",
                        "--fail",
                        "--max-time",
                        "30",
                        "--noproxy",
                        "*",
                    ]);
                    curl.args(arguments).arg(&url);
                    curl
                };
                thread::scope(|scope| {
                    scope.spawn(|| answer(&listener, number, octets));
                    let status = curl(&["--upload-file", file.0.to_str().unwrap()]).status();
                    assert!(status.unwrap().success());
                });
                thread::scope(|scope| {
                    scope.spawn(|| answer(&listener, number, octets));
                    let mut curl = curl(&[]).stdout(Stdio::piped()).spawn().unwrap();
                    receive(curl.stdout.take().unwrap()).is_whole(number, octets);
                    assert!(curl.wait().unwrap().success());
                });
            });
        }
    });
    assert_eq!(world.counter("engine", "flows-adopted"), 4);
}

#[test]
fn iperf3_measures() {
    if !(privileged() && is_there("iperf3")) {
        return;
    }
    let world = World::new("iperf", BOTH_WAYS);
    for server in world.servers {
        for arguments in ["--parallel 4", "--reverse", "--bidir"] {
            let mut listening = world.command(Site::Server, "iperf3");
            let mut listening = listening
                .args([
                    "--server",
                    "--one-off",
                    "--forceflush",
                    "--bind",
                    &server.to_string(),
                ])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut said = BufReader::new(listening.stdout.take().unwrap());
            let mut line = String::new();
            while !line.contains("Server listening") {
                line.clear();
                assert!(said.read_line(&mut line).unwrap() > 0, "no server");
            }
            let client = world
                .command(Site::Client, "iperf3")
                .args(["--client", &server.to_string(), "--bytes", "8M", "--json"])
                .args(arguments.split(' '))
                .output()
                .unwrap();
            let text = String::from_utf8(client.stdout).unwrap();
            assert!(client.status.success(), "{text}");
            let mut rest = String::new();
            said.read_to_string(&mut rest).unwrap();
            assert!(listening.wait().unwrap().success(), "{rest}");
            let report: serde_json::Value = serde_json::from_str(&text).unwrap();
            // Its server stops reading when the client has sent all, wherever that is then.
            let received = report["end"]["sum_received"]["bytes"].as_u64();
            assert!(received.unwrap() > 0, "{text}");
        }
    }
}
