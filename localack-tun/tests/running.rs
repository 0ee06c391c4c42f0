//! `localack-tun run` and `cleanup`: the real program between real kernels, in namespaces of their own.
//!
//! Needs root and iproute2. Without it the tests say so and pass, unless `LOCALACK_REQUIRE_ROOT=1`
//! turns that into a failure.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "other tests need more of it")]
mod common;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "common/gateway.rs"]
mod gateway;
#[path = "common/program.rs"]
mod program;
#[path = "common/satellite.rs"]
mod satellite;

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;

use common::{Scratch, privileged};
use gateway::{Connection, FAMILIES, Gateway, PATIENCE, assert_same};
use localack_tun::clock::Clock;
use localack_tun::control::Client;
use localack_tun::control::protocol::{Answer, FlowName, Flows, Request, ServiceWord, SetService};
use nix::sys::signal::Signal;
use program::{Running, program};
use satellite::Satellite;

/// Memory enough for a test.
const SMALL: &str = "[engine]\nflows = 1000\nbuffer = \"64mib\"\nnetworks = 100\n\
                     [control]\nsocket = \"off\"\n";

/// A gateway whose devices the program makes.
fn place(test: &str) -> Gateway {
    let mut gateway = Gateway::new(test);
    gateway.close_devices();
    gateway
}

/// A file with these settings.
fn config(test: &str, text: &str) -> Scratch {
    let file = Scratch::new(&format!("{test}.toml"));
    fs::write(&file.0, format!("{SMALL}{text}")).unwrap();
    file
}

/// Ends what asks for it, even in a panic.
struct Ender<'a>(&'a AtomicBool);

impl Drop for Ender<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Exchanges octets over `connections`, each by a thread of its own, as long as `work` lasts.
fn meanwhile(connections: &[Connection], work: impl FnOnce(&AtomicUsize)) {
    let (ended, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let _ender = Ender(&ended);
        for connection in connections {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    connection.exchange(300_000);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        work(&rounds);
    });
}

/// Waits until every one of `number` connections has exchanged its octets once more.
fn a_round_more(rounds: &AtomicUsize, number: usize) {
    let goal = rounds.load(Ordering::Relaxed) + 2 * number;
    for _ in 0..3000 {
        if rounds.load(Ordering::Relaxed) >= goal {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("nothing moves");
}

#[test]
fn a_run_carries_connections_and_they_survive_its_end() {
    if !privileged() {
        return;
    }
    let gateway = place("run");
    let config = config("run", "[log]\nlevel = \"debug\"\n");
    let before = gateway.dump();
    let run = Running::start(&gateway, "run", &config, "");
    assert_ne!(before, gateway.dump());
    let connections = FAMILIES.map(|family| gateway.open_echo(family.server));
    meanwhile(&connections, |rounds| {
        a_round_more(rounds, 2);
        run.signal(Signal::SIGTERM);
        let log = run.ended(0);
        assert!(log.contains("every connection is handed back"), "{log}");
        assert!(log.contains("octets_lost=0"), "{log}");
        assert_eq!(log.matches("custody begins").count(), 2, "{log}");
        assert!(log.contains("connection=192.0.2.2:"), "{log}");
        assert!(log.contains("connection=[2001:db8:1::2]:"), "{log}");
        assert_same(&before, &gateway.dump());
        assert!(!run.state().exists());
        a_round_more(rounds, 2);
    });
}

#[test]
fn what_a_killed_run_leaves_is_undone_by_the_next_and_by_cleanup() {
    if !privileged() {
        return;
    }
    let gateway = place("killed");
    gateway.set("ipv4/ip_forward", "0");
    gateway.set("ipv6/conf/all/forwarding", "0");
    let before = gateway.dump();
    let config = config("killed", "");
    let arguments = "--set-forwarding";
    let run = Running::start(&gateway, "killed", &config, arguments);
    let connections = FAMILIES.map(|family| gateway.open_echo(family.server));
    connections.iter().for_each(|c| c.exchange(300_000));
    run.signal(Signal::SIGKILL);
    run.gone();
    assert!(gateway.ip("rule").contains("10800:"), "idle rules stay");

    // The next one cleans up, and works.
    let second = Running::start(&gateway, "killed", &config, arguments);
    let log = second.log();
    assert!(log.contains("what it left is undone: 8 rules"), "{log}");
    let set =
        "is changed until the end name=\"net/ipv4/conf/in0/forwarding\" before=\"0\" now=\"1\"";
    assert!(log.contains(set), "{log}");
    let connections = FAMILIES.map(|family| gateway.open_echo(family.server));
    connections.iter().for_each(|c| c.exchange(300_000));

    // Who lives is not cleaned up after.
    let (code, said) = program(&gateway, &["cleanup", "--state", second.state_name()]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("steering is in force already, by process"),
        "{said}"
    );

    second.signal(Signal::SIGKILL);
    second.gone();
    let (code, said) = program(&gateway, &["cleanup", "--state", second.state_name()]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.starts_with("undone: 8 rules, 0 routes and a state file"),
        "{said}"
    );
    assert_same(&before, &gateway.dump());
    let (code, said) = program(&gateway, &["cleanup", "--state", second.state_name()]);
    assert_eq!((code, said.as_str()), (0, "nothing was left behind\n"));
}

#[test]
fn policies_change_under_connections_that_go_on() {
    if privileged() {
        change_policies("hup", 1);
    }
}

#[test]
fn policies_change_under_connections_of_two_queues() {
    if privileged() {
        change_policies("hup2", 2);
    }
}

/// Changes the policies each 100 ms under connections that go on.
fn change_policies(test: &str, queues: u16) {
    let gateway = place(test);
    let base = SMALL.replace("[engine]", &format!("[engine]\nqueues = {queues}"));
    let policy = |service: &str, controller: &str| {
        format!(
            "{base}[[policy]]\nname = \"all\"\nservice = \"{service}\"\nouter_to_inner = \"{service}\"\n\
             controller = \"{controller}\"\n"
        )
    };
    let config = config(test, "");
    fs::write(&config.0, policy("local-ack", "bbr")).unwrap();
    let run = Running::start(&gateway, test, &config, "");
    let connections = FAMILIES.map(|family| gateway.open_echo(family.server));
    meanwhile(&connections, |rounds| {
        a_round_more(rounds, 2);
        for turn in 1..=20 {
            let text = if turn % 2 == 1 {
                policy("bypass", "cubic")
            } else {
                policy("local-ack", "bbr")
            };
            fs::write(&config.0, text).unwrap();
            run.signal(Signal::SIGHUP);
            let log = run.wait_for("the configuration was read again", turn);
            let told = log.matches("flows_changed=2").count();
            assert_eq!(told, turn, "{log}");
            thread::sleep(Duration::from_millis(100));
        }
        a_round_more(rounds, 2);
    });
    run.signal(Signal::SIGTERM);
    let log = run.ended(0);
    assert!(log.contains("octets_lost=0"), "{log}");
}

#[test]
fn a_wrong_file_changes_nothing_and_what_cannot_change_is_named() {
    if !privileged() {
        return;
    }
    let gateway = place("wrong");
    let config = config("wrong", "");
    let run = Running::start(&gateway, "wrong", &config, "");
    fs::write(
        &config.0,
        format!("{SMALL}[default]\ncontroler = \"reno\"\nrate = 7\n"),
    )
    .unwrap();
    run.signal(Signal::SIGHUP);
    let log = run.wait_for("the configuration stays as it was", 1);
    let (wrong, line) = (config.0.display(), SMALL.lines().count() + 2);
    let expected = format!(
        "unknown key `controler` in [default]; did you mean `controller`? file={wrong} line={line} column=1"
    );
    assert!(log.contains(&expected), "{log}");

    let other = SMALL.replace("1000", "2000");
    fs::write(
        &config.0,
        format!("{other}[log]\nformat = \"json\"\nlevel = \"warn\"\n"),
    )
    .unwrap();
    run.signal(Signal::SIGHUP);
    let log = run.wait_for("[log] format differs, which only a restart can change", 1);
    assert!(
        log.contains("[engine] flows differs, which only a restart can change"),
        "{log}"
    );
    // The level holds at once.
    run.signal(Signal::SIGTERM);
    let log = run.ended(0);
    assert!(!log.contains("stopping"), "{log}");
}

#[test]
fn the_log_can_be_json() {
    if !privileged() {
        return;
    }
    let gateway = place("json");
    let config = config("json", "[log]\nformat = \"json\"\nlevel = \"debug\"\n");
    let run = Running::start(&gateway, "json", &config, "");
    gateway.echo_by_tcp(FAMILIES[0].server, 100_000);
    run.signal(Signal::SIGINT);
    let log = run.ended(0);
    assert!(log.lines().count() > 4, "{log}");
    for line in log.lines() {
        assert!(
            line.starts_with("{\"timestamp\":\"") && line.ends_with('}'),
            "{line}"
        );
    }
    assert!(
        log.contains("\"message\":\"adopted\",\"queue\":0,\"flow\":\"0."),
        "{log}"
    );
}

#[test]
fn a_running_gateway_is_asked_and_told_by_its_socket() {
    if !privileged() {
        return;
    }
    let gateway = place("socket");
    let config = config("socket", "[metrics]\nlisten = 9180\n");
    let socket = Scratch::new("socket.sock");
    let path = socket.0.to_str().unwrap();
    let text = fs::read_to_string(&config.0).unwrap();
    fs::write(&config.0, text.replace("\"off\"", &format!("{path:?}"))).unwrap();
    let run = Running::start(&gateway, "socket", &config, "");
    let mut client = Client::connect(&socket.0).unwrap();
    let connection = gateway.open_echo(FAMILIES[1].server);
    connection.exchange(300_000);

    let mut status = || match client.ask(Request::Status).unwrap() {
        Answer::Status(status) => status,
        other => panic!("{other:?}"),
    };
    let there = status();
    assert_eq!(
        (there.state.as_str(), there.inner.as_str()),
        ("running", "in0")
    );
    assert_eq!((there.queues, there.flow_slots), (1, 1000));
    let flow = || {
        let mut client = Client::connect(&socket.0).unwrap();
        let wanted: Flows = serde_json::from_str("{}").unwrap();
        match client.ask(Request::Flows(wanted)).unwrap() {
            Answer::Flows(list) => list.flows[0].clone(),
            other => panic!("{other:?}"),
        }
    };
    let before = flow();
    assert_eq!(before.inner_to_outer.mode, "local-ack");
    let [near, far] = connection.ends().map(|end| end.local_addr().unwrap());
    assert_eq!((before.inner, before.outer), (near, far));
    let answer = Client::connect(&socket.0)
        .unwrap()
        .ask(Request::Flow(SetService {
            flow: FlowName::Ends([near, far]),
            direction: None,
            service: Some(ServiceWord::Bypass),
            arrangement: None,
        }));
    assert!(matches!(answer, Ok(Answer::Flow(_))), "{answer:?}");
    // It leaves when its receiver's own window reaches as far as the one that its sender was offered (rule H2.11).
    let clock = Clock::start();
    while flow().inner_to_outer.mode != "bypass" {
        assert!(clock.now() < PATIENCE, "{:?}", flow());
        connection.exchange(300_000);
    }

    let metrics = gateway.within(|| {
        let mut stream = TcpStream::connect("127.0.0.1:9180").unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    assert!(metrics.contains("localack_"), "{metrics}");

    let answer = Client::connect(&socket.0).unwrap().ask(Request::Drain);
    assert!(matches!(answer, Ok(Answer::Drain)), "{answer:?}");
    let clock = Clock::start();
    while status().state != "drained" {
        assert!(clock.now() < PATIENCE, "{:?}", status());
        thread::sleep(Duration::from_millis(10));
    }
    connection.exchange(300_000);
    run.signal(Signal::SIGTERM);
    run.ended(0);
    assert!(!socket.0.exists());
}

#[test]
fn starts_that_cannot_work_are_refused_in_a_line() {
    if !privileged() {
        return;
    }
    let gateway = place("refuse");
    let config = config("refuse", "");
    let state = Scratch::new("refuse.state");
    let before = gateway.dump();
    let refused = |arguments: &str, code: i32, message: &str| {
        let mut words = vec!["run", "--state", state.0.to_str().unwrap()];
        words.extend(["--config", config.0.to_str().unwrap()]);
        words.extend(arguments.split_whitespace());
        let (exit, said) = program(&gateway, &words);
        assert_eq!(exit, code, "{said}");
        let line = said.strip_prefix("localack-tun: ").unwrap_or(&said);
        assert!(line.contains(message), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_same(&before, &gateway.dump());
        assert!(!state.0.exists());
    };
    let sides = "--inner in0 --outer out0";
    refused(
        "--outer out0",
        2,
        "no inner interface: name it with --inner IF",
    );
    refused(
        "--inner in0 --outer in0",
        2,
        "the inner and the outer interface are the same",
    );
    refused("--inner in7 --outer out0", 1, "in7: no such interface");
    refused(
        &format!("{sides} --rate 5mbit"),
        2,
        "--rate is for --controller provisioned",
    );
    refused(
        &format!("{sides} --controller provisioned"),
        2,
        "needs the rate that you vouch for",
    );
    refused(
        &format!("{sides} --rule-priority 0"),
        1,
        "rule priority 0: must be 1 to 32765",
    );
    refused(
        &format!("{sides} --inner-device in0"),
        1,
        "in0: the name is taken",
    );

    fs::write(&config.0, "[engine]\nbuffer = \"1024gib\"\n").unwrap();
    refused(sides, 1, "MiB of memory, but ");
    fs::write(&config.0, SMALL).unwrap();

    gateway.ip("rule add from 192.0.2.0/24 lookup 77 priority 10800");
    let (_, said) = program(
        &gateway,
        &[
            "run",
            "--config",
            config.0.to_str().unwrap(),
            "--state",
            state.0.to_str().unwrap(),
            "--inner",
            "in0",
            "--outer",
            "out0",
        ],
    );
    assert_eq!(
        said,
        "localack-tun: a rule of somebody else is in the way; choose another priority: 10800: from \
         192.0.2.0/24 lookup 77\n"
    );
    gateway.ip("rule del from 192.0.2.0/24 lookup 77 priority 10800");
    gateway.set("ipv6/conf/all/forwarding", "0");
    let before = gateway.dump();
    let (_, said) = program(
        &gateway,
        &[
            "run",
            "--config",
            config.0.to_str().unwrap(),
            "--state",
            state.0.to_str().unwrap(),
            "--inner",
            "in0",
            "--outer",
            "out0",
        ],
    );
    assert!(
        said.contains("IPv6 forwarding is off on all interfaces; `sysctl -w"),
        "{said}"
    );
    assert_same(&before, &gateway.dump());
}

#[test]
fn without_the_capability_a_run_is_refused_in_a_line() {
    if !privileged() {
        return;
    }
    let gateway = place("nocap");
    let config = config("nocap", "");
    let state = Scratch::new("nocap.state");
    let output = gateway.within(|| {
        Command::new("setpriv")
            .args(["--bounding-set=-net_admin", "--inh-caps=-net_admin"])
            .arg(env!("CARGO_BIN_EXE_localack-tun"))
            .args(["run", "--inner", "in0", "--outer", "out0"])
            .args(["--state".as_ref(), state.0.as_os_str()])
            .args(["--config".as_ref(), config.0.as_os_str()])
            .output()
            .unwrap()
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("not permitted; CAP_NET_ADMIN"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn memory_is_locked_if_asked_or_the_start_refused() {
    if !privileged() {
        return;
    }
    let gateway = place("lock");
    let config = config("lock", "");
    let locked = SMALL.replace("[engine]", "[engine]\nlock_memory = true");
    fs::write(&config.0, locked).unwrap();
    let run = Running::start(&gateway, "lock", &config, "");
    let status = fs::read_to_string(format!("/proc/{}/status", run.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    assert!(kib > 64 << 10, "{kib} KiB");
    run.signal(Signal::SIGTERM);
    run.ended(0);

    let state = Scratch::new("lock-refused.state");
    let output = gateway.within(|| {
        Command::new("setpriv")
            .args(["--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"])
            .arg(env!("CARGO_BIN_EXE_localack-tun"))
            .args(["run", "--inner", "in0", "--outer", "out0"])
            .args(["--state".as_ref(), state.0.as_os_str()])
            .args(["--config".as_ref(), config.0.as_os_str()])
            .output()
            .unwrap()
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("it needs CAP_IPC_LOCK, or a limit"), "{said}");
}

#[test]
fn two_queues_carry_many_connections() {
    if !privileged() {
        return;
    }
    let gateway = place("queues");
    let text = "[log]\nlevel = \"debug\"\n";
    let config = config("queues", text);
    let queues = fs::read_to_string(&config.0)
        .unwrap()
        .replace("[engine]", "[engine]\nqueues = 2");
    fs::write(&config.0, queues).unwrap();
    let before = gateway.dump();
    let run = Running::start(&gateway, "queues", &config, "");
    let connections: Vec<_> = (0..50)
        .map(|number| gateway.open_echo(FAMILIES[number % 2].server))
        .collect();
    meanwhile(&connections, |rounds| {
        a_round_more(rounds, 50);
    });
    run.signal(Signal::SIGTERM);
    let log = run.ended(0);
    // Each was adopted once, by the engine that had all of its packets: none was met half-way.
    assert_eq!(log.matches(": adopted").count(), 0, "{log}");
    let adopted = |queue: u16| {
        let mark = format!("adopted queue={queue} ");
        log.matches(&mark).count()
    };
    assert_eq!(adopted(0) + adopted(1), 50, "{log}");
    assert!(adopted(0) > 5 && adopted(1) > 5, "{log}");
    assert_eq!(log.matches("custody begins").count(), 50, "{log}");
    assert!(log.contains("octets_lost=0"), "{log}");
    let handed = log.rsplit("handed_over=").next().unwrap();
    let handed: u64 = handed.split_whitespace().next().unwrap().parse().unwrap();
    assert!(
        handed > 0,
        "what arrived at the other queue was handed over"
    );
    assert_same(&before, &gateway.dump());
}

#[test]
fn what_is_in_custody_is_delivered_over_a_long_path_before_the_end() {
    if !privileged() {
        return;
    }
    let gateway = place("long");
    let link = "--delay 150ms --rate 40mbit --queue 2mib --loss 1%";
    let _link = Satellite::start(&gateway, link);
    let config = config("long", "");
    let before = gateway.dump();
    let run = Running::start_between(&gateway, ["in0", "sat0"], "long", &config, "");
    let connections = Satellite::SERVERS.map(|server| gateway.open_echo(server));
    let arrived = AtomicUsize::new(0);
    thread::scope(|scope| {
        let transfers = connections.each_ref().map(|connection| {
            scope.spawn(|| {
                // The client's octets are acknowledged by the gateway, far ahead of the server.
                let [mut client, mut server] = connection.ends();
                let content: Vec<u8> = (0..8 << 20).map(|n: u32| (n % 251) as u8).collect();
                let mut received = vec![0; content.len()];
                thread::scope(|scope| {
                    scope.spawn(|| client.write_all(&content).unwrap());
                    for piece in received.chunks_mut(64 << 10) {
                        server.read_exact(piece).unwrap();
                        arrived.fetch_add(piece.len(), Ordering::Relaxed);
                    }
                });
                assert!(received == content, "other octets");
            })
        });
        // A good part, and far from all.
        let clock = Clock::start();
        while arrived.load(Ordering::Relaxed) < 2 << 20 {
            assert!(clock.now() < PATIENCE, "nothing arrives");
            thread::sleep(Duration::from_millis(10));
        }
        run.signal(Signal::SIGTERM);
        let log = run.ended(0);
        assert!(log.contains("every connection is handed back"), "{log}");
        assert!(log.contains("octets_lost=0"), "{log}");
        let acks = log.rsplit("local_acks=").next().unwrap();
        let acks: u64 = acks.split_whitespace().next().unwrap().parse().unwrap();
        assert!(acks > 20, "{acks} local acknowledgements");
        assert_same(&before, &gateway.dump());
        assert!(
            !transfers.iter().all(|transfer| transfer.is_finished()),
            "it was in the middle of the transfers"
        );
    });
}

#[test]
fn a_device_that_goes_ends_the_run_and_is_told() {
    if !privileged() {
        return;
    }
    let gateway = place("gone");
    let config = config("gone", "");
    let before = gateway.dump();
    let run = Running::start(&gateway, "gone", &config, "");
    let connection = gateway.open_echo(FAMILIES[0].server);
    connection.exchange(300_000);
    gateway.ip("link del lak-in");
    let log = run.ended(1);
    let last = log.lines().last().unwrap();
    assert_eq!(last, "localack-tun: the device of the inner side is gone");
    assert_same(&before, &gateway.dump());
    connection.exchange(300_000);
}

#[test]
fn what_cannot_be_delivered_in_time_is_told() {
    if !privileged() {
        return;
    }
    let gateway = place("deadline");
    let config = config("deadline", "");
    let deadline = SMALL.replace("[engine]", "[engine]\ndrain_deadline = \"300ms\"");
    fs::write(&config.0, deadline).unwrap();
    let before = gateway.dump();
    let run = Running::start(&gateway, "deadline", &config, "");
    let connection = gateway.open_echo(FAMILIES[0].server);
    connection.exchange(300_000);
    // The server reads no more, so its window closes, and the gateway fills.
    let [mut client, mut server] = connection.ends();
    client
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let octets = [0x5a; 1 << 16];
    let full = loop {
        if let Err(error) = client.write(&octets) {
            break error;
        }
    };
    assert!(
        matches!(full.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{full}"
    );
    run.signal(Signal::SIGTERM);
    let log = run.ended(1);
    assert!(
        log.contains("octets of 1 connections were acknowledged and could not be delivered"),
        "{log}"
    );
    assert_same(&before, &gateway.dump());
    // Neither end takes what arrived for all there was (rule H8.7).
    let told = client.write(&octets).unwrap_err();
    assert_eq!(told.kind(), ErrorKind::ConnectionReset, "{told}");
    let mut buffer = [0; 1 << 16];
    let end = loop {
        match server.read(&mut buffer) {
            Ok(0) => panic!("the end of the stream, as if nothing was lost"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(end.kind(), ErrorKind::ConnectionReset, "{end}");
}
