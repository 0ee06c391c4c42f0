//! `localack-tun run --inner-port` and `--outer-port`: the real program between a port and its bridge, in
//! namespaces of its own. A veth pair or a TAP device stands for a virtual machine's.
//!
//! Needs root and iproute2. Without it the tests say so and pass, unless `LOCALACK_REQUIRE_ROOT=1`
//! turns that into a failure.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "other tests need more of it")]
mod common;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "common/gateway.rs"]
mod gateway;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "common/program.rs"]
mod program;

#[path = "bridge/frames.rs"]
mod frames;

use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;

use common::{Namespace, Scratch, ip, privileged};
use gateway::{FAMILIES, PATIENCE};
use localack_tun::clock::Clock;
use localack_tun::netns;
use nix::sys::signal::Signal;
use program::{Running, program_in};

/// Memory enough for a test, both directions served, and all that happens told.
const SETTINGS: &str = "[engine]\nflows = 1000\nbuffer = \"64mib\"\nnetworks = 100\n\
                        [control]\nsocket = \"off\"\n[log]\nlevel = \"debug\"\n\
                        [default]\nouter_to_inner = \"local-ack\"\n";

fn config(test: &str, text: &str) -> Scratch {
    let file = Scratch::new(&format!("{test}.toml"));
    fs::write(&file.0, text).unwrap();
    file
}

/// A guest on a bridge of its host, and a router on the same bridge with a server behind it.
struct Place {
    guest: Namespace,
    host: Namespace,
    router: Namespace,
    server: Namespace,
    /// A long, lossy link between router and server, in place of a short one.
    link: Option<Child>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(link) = &mut self.link {
            let _ = link.kill();
            let _ = link.wait();
        }
    }
}

/// What the bridge itself has.
const HOST: [&str; 2] = ["192.0.2.3", "2001:db8:1::3"];

impl Place {
    fn new(test: &str, far: bool) -> Self {
        let [guest, host, router, server] =
            ["c", "h", "r", "s"].map(|role| Namespace::new(&format!("{test}{role}")));
        let mut place = Self {
            guest,
            host,
            router,
            server,
            link: None,
        };
        let [g, h, r, s] = place.names().map(str::to_owned);
        ip(&format!("-n {h} link add name br0 type bridge"));
        for (name, other) in [("vnet0", &g), ("up0", &r)] {
            ip(&format!(
                "link add name {name} netns {h} type veth peer name eth0 netns {other}"
            ));
            ip(&format!("-n {h} link set {name} master br0"));
            ip(&format!("-n {h} link set {name} up"));
            ip(&format!("-n {other} link set eth0 up"));
        }
        ip(&format!("-n {h} link set br0 up"));
        let out = if far {
            place.link = Some(satellite(&r, &s));
            "sat0"
        } else {
            ip(&format!(
                "link add name out0 netns {r} type veth peer name out0 netns {s}"
            ));
            ip(&format!("-n {r} link set out0 up"));
            ip(&format!("-n {s} link set out0 up"));
            "out0"
        };
        for (family, bridge) in FAMILIES.into_iter().zip(HOST) {
            let v6 = family.client.contains(':');
            let (prefix, nodad) = if v6 { (64, "nodad") } else { (24, "") };
            for (name, address, device) in [
                (&g, family.client, "eth0"),
                (&h, bridge, "br0"),
                (&r, family.gateway_inner, "eth0"),
                (&r, family.gateway_outer, out),
                (&s, family.server, out),
            ] {
                ip(&format!(
                    "-n {name} addr add {address}/{prefix} dev {device} {nodad}"
                ));
            }
            for (name, via) in [
                (&g, family.gateway_inner),
                (&h, family.gateway_inner),
                (&s, family.gateway_outer),
            ] {
                ip(&format!("-n {name} route add default via {via}"));
            }
        }
        netns::within(&r, || {
            for path in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                fs::write(format!("/proc/sys/net/{path}"), "1").unwrap();
            }
        })
        .unwrap();
        place
    }

    fn names(&self) -> [&str; 4] {
        [&self.guest.0, &self.host.0, &self.router.0, &self.server.0]
    }

    fn run(&self, test: &str, config: &Scratch, arguments: &str) -> Running {
        Running::start_in(&self.host.0, test, config, arguments)
    }

    fn cleanup(&self, run: &Running) -> (i32, String) {
        program_in(&self.host.0, &["cleanup", "--state", run.state_name()])
    }

    /// Interfaces, bridges, addresses, routes and rules of the host and the guest.
    fn dump(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for namespace in [&self.host.0, &self.guest.0] {
            for what in ["-d link", "addr", "route show table all", "rule", "-6 rule"] {
                let text = ip(&format!("-n {namespace} -o {what}"));
                lines.extend(text.lines().map(|line| format!("{namespace}: {line}")));
            }
        }
        // Link-local addresses and the multicast of IPv6 come when the kernel has made sure of them;
        // timers, numbers of ports and queues differ from one look to the next.
        lines.retain(|line| !(line.contains("fe80:") || line.contains("ff00:")));
        for line in &mut lines {
            *line = settled(line);
        }
        lines.sort();
        lines
    }
}

/// What has to stay the same of what `ip` prints.
fn settled(line: &str) -> String {
    let mut kept = Vec::new();
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        let is_number = matches!(
            word,
            "port_id" | "port_no" | "designated_port" | "hold_timer" | "message_age_timer"
        );
        if is_number || word.ends_with("_timer") || word == "gc_timer" {
            words.next();
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

/// Joins two namespaces by a long, lossy link.
fn satellite(left: &str, right: &str) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_localack-tun"))
        .args(["emulate", "--left", &format!("sat0@{left}")])
        .args(["--right", &format!("sat0@{right}")])
        .args(["--delay", "150ms", "--rate", "40mbit", "--queue", "2mib"])
        .args(["--loss", "1%"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    said.read_line(&mut ready).unwrap();
    assert!(ready.starts_with("ready"), "{ready}");
    child
}

/// The two ends of a connection from one namespace to a listener in another.
fn connect(from: &str, to: &str, address: &str) -> [TcpStream; 2] {
    let any = (address.parse::<IpAddr>().unwrap(), 0);
    let listener = netns::within(to, || TcpListener::bind(any))
        .unwrap()
        .unwrap();
    let address = listener.local_addr().unwrap();
    let near = netns::within(from, || TcpStream::connect_timeout(&address, PATIENCE));
    let near = near.unwrap().unwrap();
    let (far, _) = listener.accept().unwrap();
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    [near, far]
}

/// Sends octets both ways at once, different ones, and checks them.
fn exchange(connection: &[TcpStream; 2], octets: usize) {
    exchange_and_count(connection, octets, &AtomicUsize::new(0));
}

/// The same, and counts what has arrived.
fn exchange_and_count([near, far]: &[TcpStream; 2], octets: usize, arrived: &AtomicUsize) {
    let content = |seed: usize| -> Vec<u8> {
        let octet = |n: usize| ((n * 31 + n / 251 + seed) % 256) as u8;
        (0..octets).map(octet).collect()
    };
    thread::scope(|scope| {
        for (mut from, mut to, seed) in [(near, far, 1), (far, near, 2)] {
            let sent = content(seed);
            scope.spawn(move || from.write_all(&sent).unwrap());
            scope.spawn(move || {
                let mut received = vec![0; octets];
                for piece in received.chunks_mut(64 << 10) {
                    to.read_exact(piece).unwrap();
                    arrived.fetch_add(piece.len(), Ordering::Relaxed);
                }
                assert!(received == content(seed), "other octets");
            });
        }
    });
}

/// Exchanges octets over `connections` as long as `work` lasts, which is told how often.
fn meanwhile(connections: &[[TcpStream; 2]], work: impl FnOnce(&AtomicUsize)) {
    /// Ends what asks for it, even in a panic.
    struct Ender<'a>(&'a AtomicBool);
    impl Drop for Ender<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (ended, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let _ender = Ender(&ended);
        for connection in connections {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    exchange(connection, 300_000);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        work(&rounds);
    });
}

/// Waits until `number` connections have exchanged their octets once more.
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

fn echo_by_udp(place: &Place, address: &str) {
    let [guest, _, _, server] = place.names();
    let any = (address.parse::<IpAddr>().unwrap(), 0);
    let far = netns::within(server, || UdpSocket::bind(any))
        .unwrap()
        .unwrap();
    let wildcard = if any.0.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let near = netns::within(guest, || UdpSocket::bind(wildcard))
        .unwrap()
        .unwrap();
    for socket in [&near, &far] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    // One that fills a frame, and one that is cut into fragments.
    for length in [1400, 4000] {
        let sent: Vec<u8> = (0..length).map(|n: u32| (n % 251) as u8).collect();
        let mut datagram = [0; 8192];
        near.send_to(&sent, far.local_addr().unwrap()).unwrap();
        let (octets, from) = far.recv_from(&mut datagram).unwrap();
        far.send_to(&datagram[..octets], from).unwrap();
        let (octets, _) = near.recv_from(&mut datagram).unwrap();
        assert!(datagram[..octets] == sent);
    }
}

/// Has the guest forget its neighbours, and ask for them.
fn ask_neighbours(place: &Place) {
    let [guest, ..] = place.names();
    ip(&format!("-n {guest} neigh flush all"));
    for family in FAMILIES {
        echo_by_udp(place, family.server);
    }
    let known = ip(&format!("-n {guest} neigh"));
    for family in FAMILIES {
        assert!(known.contains(family.gateway_inner), "{known}");
    }
}

fn number(log: &str, name: &str) -> u64 {
    let text = log.rsplit(&format!("{name}=")).next().unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_guest_is_served_at_its_port_and_its_connections_survive_the_end() {
    if !privileged() {
        return;
    }
    let place = Place::new("br", false);
    let [guest, host, _, server] = place.names();
    // What was set of the port stays so.
    ip(&format!(
        "-n {host} link set vnet0 type bridge_slave hairpin on mcast_flood off group_fwd_mask 16384"
    ));
    let before = place.dump();
    let bridge = ip(&format!("-n {host} link show br0"));
    let config = config("br", SETTINGS);
    let run = place.run("br", &config, "--inner-port vnet0");
    assert_eq!(
        bridge,
        ip(&format!("-n {host} link show br0")),
        "its address"
    );
    let taken = ip(&format!("-n {host} -d link show lak-out"));
    for part in [
        "master br0",
        "hairpin on",
        "mcast_flood off",
        "group_fwd_mask 0x4000",
    ] {
        assert!(taken.contains(part), "{part}: {taken}");
    }
    assert!(ip(&format!("-n {host} link show vnet0")).contains("master lak-br"));
    ask_neighbours(&place);
    let connections = FAMILIES.map(|family| connect(guest, server, family.server));
    // The machine itself is reached as before, by frames to an address that may be the port's.
    for address in HOST {
        exchange(&connect(guest, host, address), 300_000);
    }
    meanwhile(&connections, |rounds| {
        a_round_more(rounds, 2);
        run.signal(Signal::SIGTERM);
        let log = run.ended(0);
        assert!(log.contains("every connection is handed back"), "{log}");
        assert!(
            log.contains("connections go on through the bridge"),
            "{log}"
        );
        assert_eq!(number(&log, "connections"), 4, "{log}");
        assert_eq!(log.matches("custody begins").count(), 8, "{log}");
        assert_eq!(number(&log, "octets_lost"), 0, "{log}");
        assert_eq!(number(&log, "device_refused"), 0, "{log}");
        assert_eq!(before, place.dump());
        assert!(!run.state().exists());
        a_round_more(rounds, 2);
    });
}

#[test]
fn frames_to_an_address_that_port_and_bridge_share_arrive() {
    if !privileged() {
        return;
    }
    let place = Place::new("brmac", false);
    let [guest, host, _, server] = place.names();
    // The least address of all ports is the bridge's own.
    ip(&format!(
        "-n {host} link set vnet0 address 02:00:00:00:00:01"
    ));
    let bridge = ip(&format!("-n {host} link show br0"));
    assert!(bridge.contains("02:00:00:00:00:01"), "{bridge}");
    let config = config("brmac", SETTINGS);
    let run = place.run("brmac", &config, "--inner-port vnet0");
    assert_eq!(bridge, ip(&format!("-n {host} link show br0")));
    for address in HOST {
        exchange(&connect(guest, host, address), 300_000);
    }
    exchange(&connect(guest, server, FAMILIES[0].server), 300_000);
    run.signal(Signal::SIGTERM);
    let log = run.ended(0);
    assert_eq!(number(&log, "connections"), 3, "{log}");
}

#[test]
fn two_queues_serve_many_connections_of_a_guest() {
    if !privileged() {
        return;
    }
    let place = Place::new("brq", false);
    let [guest, _, _, server] = place.names();
    let config = config("brq", &SETTINGS.replace("[engine]", "[engine]\nqueues = 2"));
    let run = place.run("brq", &config, "--inner-port vnet0");
    let connections: Vec<_> = (0..20)
        .map(|n| connect(guest, server, FAMILIES[n % 2].server))
        .collect();
    meanwhile(&connections, |rounds| a_round_more(rounds, 20));
    run.signal(Signal::SIGTERM);
    let log = run.ended(0);
    assert_eq!(number(&log, "connections"), 20, "{log}");
    assert_eq!(number(&log, "octets_lost"), 0, "{log}");
    assert!(number(&log, "handed_over") > 0, "{log}");
    for queue in ["adopted queue=0", "adopted queue=1"] {
        assert!(log.contains(queue), "{log}");
    }
}

#[test]
fn all_on_a_bridge_are_served_at_its_way_out() {
    if !privileged() {
        return;
    }
    let place = Place::new("brup", false);
    let [guest, host, _, server] = place.names();
    // Jumbo frames, from end to end.
    for (name, interfaces) in place.names().into_iter().zip([
        &["eth0"][..],
        &["vnet0", "up0", "br0"],
        &["eth0", "out0"],
        &["out0"],
    ]) {
        for interface in interfaces {
            ip(&format!("-n {name} link set {interface} mtu 9000"));
        }
    }
    // As that of a machine whose bridge has the address of its network card.
    ip(&format!("-n {host} link set up0 address 02:00:00:00:00:01"));
    let before = place.dump();
    let config = config("brup", &format!("{SETTINGS}[outer]\nport = \"up0\"\n"));
    let run = place.run("brup", &config, "");
    for device in ["lak-in", "lak-out", "lak-br", "br0"] {
        let link = ip(&format!("-n {host} link show {device}"));
        assert!(link.contains("mtu 9000"), "{link}");
    }
    let connections: Vec<_> = [guest, host]
        .into_iter()
        .flat_map(|from| FAMILIES.map(|family| connect(from, server, family.server)))
        .collect();
    ask_neighbours(&place);
    meanwhile(&connections, |rounds| {
        a_round_more(rounds, 4);
        run.signal(Signal::SIGTERM);
        let log = run.ended(0);
        assert_eq!(number(&log, "connections"), 4, "{log}");
        assert_eq!(log.matches("custody begins").count(), 8, "{log}");
        assert_eq!(number(&log, "octets_lost"), 0, "{log}");
        assert_eq!(before, place.dump());
        a_round_more(rounds, 4);
    });
}

#[test]
fn a_guest_on_a_long_path_sends_and_receives_and_is_handed_back_in_the_middle() {
    if !privileged() {
        return;
    }
    let place = Place::new("brlong", true);
    let [guest, _, _, server] = place.names();
    let config = config("brlong", SETTINGS);
    let before = place.dump();
    let run = place.run("brlong", &config, "--inner-port vnet0");
    let connections = FAMILIES.map(|family| connect(guest, server, family.server));
    let arrived = AtomicUsize::new(0);
    thread::scope(|scope| {
        let transfers = connections
            .each_ref()
            .map(|connection| scope.spawn(|| exchange_and_count(connection, 6 << 20, &arrived)));
        // Enough that some of it was lost on the way, and far from all.
        let clock = Clock::start();
        while arrived.load(Ordering::Relaxed) < 3 << 20 {
            assert!(clock.now() < PATIENCE, "nothing arrives");
            thread::sleep(Duration::from_millis(10));
        }
        run.signal(Signal::SIGTERM);
        let log = run.ended(0);
        assert!(log.contains("every connection is handed back"), "{log}");
        assert_eq!(number(&log, "octets_lost"), 0, "{log}");
        assert!(number(&log, "local_acks") > 20, "{log}");
        assert!(number(&log, "retransmissions") > 0, "{log}");
        assert_eq!(before, place.dump());
        assert!(
            !transfers.iter().all(|transfer| transfer.is_finished()),
            "it was in the middle of the transfers"
        );
    });
}

#[test]
fn what_a_killed_run_leaves_is_undone_by_the_next_and_by_cleanup() {
    if !privileged() {
        return;
    }
    let place = Place::new("brkill", false);
    let [guest, host, _, server] = place.names();
    let before = place.dump();
    let config = config("brkill", SETTINGS);
    let kill = || {
        let run = place.run("brkill", &config, "--inner-port vnet0");
        exchange(&connect(guest, server, FAMILIES[0].server), 300_000);
        run.signal(Signal::SIGKILL);
        run.gone();
        assert!(ip(&format!("-n {host} link show vnet0")).contains("master lak-br"));
        run
    };
    // A connection that the engine holds nothing of lives through all of this.
    let idle = connect(guest, server, FAMILIES[1].server);
    let first = kill();
    let next = place.run("brkill", &config, "--inner-port vnet0");
    let log = next.log();
    assert!(
        log.contains("what it left is undone: 1 ports out of their bridges"),
        "{log}"
    );
    exchange(&connect(guest, server, FAMILIES[0].server), 300_000);
    let (code, said) = place.cleanup(&next);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("in force already, by process"), "{said}");
    next.signal(Signal::SIGTERM);
    next.ended(0);
    assert_eq!(before, place.dump());

    let last = kill();
    let (code, said) = place.cleanup(&last);
    assert_eq!(
        (code, said.as_str()),
        (0, "undone: 1 ports out of their bridges and a state file\n")
    );
    assert_eq!(before, place.dump());
    exchange(&idle, 300_000);
    assert_eq!(
        place.cleanup(&last),
        (0, "nothing was left behind\n".to_owned())
    );

    // A port that somebody has put elsewhere since stays there.
    let moved = kill();
    ip(&format!("-n {host} link add name br1 type bridge"));
    ip(&format!("-n {host} link set vnet0 master br1"));
    assert_eq!(place.cleanup(&moved).0, 0);
    assert!(ip(&format!("-n {host} link show vnet0")).contains("master br1"));
    drop(first);
}

#[test]
fn what_cannot_be_taken_is_refused_in_a_line() {
    if !privileged() {
        return;
    }
    let place = Place::new("brno", false);
    let [_, host, ..] = place.names();
    ip(&format!(
        "-n {host} link add name d0 type veth peer name d1"
    ));
    ip(&format!("-n {host} link add name lak-br type bridge"));
    let config = config("brno", SETTINGS);
    let state = Scratch::new("brno.state");
    let before = place.dump();
    let refused = |arguments: &str, code: i32, message: &str| {
        let mut words = vec!["run", "--state", state.0.to_str().unwrap()];
        words.extend(["--config", config.0.to_str().unwrap()]);
        words.extend(arguments.split_whitespace());
        let (exit, said) = program_in(host, &words);
        assert_eq!(exit, code, "{said}");
        assert!(said.contains(message), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(before, place.dump());
        assert!(!state.0.exists());
    };
    refused("--inner-port vnet7", 1, "vnet7: no such interface");
    refused(
        "--inner-port d0",
        1,
        "d0: is no port of a bridge; `ip link set d0 master BRIDGE` makes it one",
    );
    refused("--inner-port br0", 1, "br0: is no port of a bridge");
    refused("--inner-port vnet0", 1, "lak-br: the name is taken");
    refused(
        "--inner-port vnet0 --bridge-device vnet0",
        1,
        "vnet0: named twice",
    );
    refused(
        "--inner-port vnet0 --inner-device up0",
        1,
        "up0: the name is taken",
    );
    refused(
        "--inner-port vnet0 --ipv4-only",
        2,
        "are for packets that are forwarded",
    );
    refused("--inner-port a/b", 2, "\"a/b\" is not an interface");
    let with = |text: &str| fs::write(&config.0, format!("{SETTINGS}{text}")).unwrap();
    with("[inner]\ninterface = \"d0\"\n");
    refused(
        "--outer-port up0",
        2,
        "a port takes the place of the interfaces",
    );
}
