//! `localack-tun run --host`: the real program beside the connections of its own machine, in namespaces of
//! their own. The machine is the client, or the router between client and server.
//!
//! Needs root and iproute2. Without it the tests say so and pass, unless `LOCALACK_REQUIRE_ROOT=1`
//! turns that into a failure.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "other tests need more of it")]
mod common;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "common/content.rs"]
mod content;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "common/gateway.rs"]
mod gateway;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "common/program.rs"]
mod program;
#[path = "common/satellite.rs"]
mod satellite;

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use common::{Scratch, ip, privileged};
use content::{receive, send};
use gateway::{FAMILIES, Gateway, PATIENCE, Site, assert_same};
use localack_tun::clock::Clock;
use localack_tun::control::Client;
use localack_tun::control::protocol::{Answer, FlowEntry, Request};
use localack_tun::netns;
use nix::sys::signal::Signal;
use program::{Running, program_in};
use satellite::Satellite;
use socket2::{Domain, Protocol, Socket, Type};

/// A path that is long and loses packets, but not for so long that a test would be.
const LINK: &str = "--delay 50ms --rate 40mbit --queue 2mib --loss 0.5%";

/// A network in which one machine runs the program.
struct World {
    // In the order in which they have to go.
    run: Option<Running>,
    _link: Option<Satellite>,
    gateway: Gateway,
    config: Scratch,
    socket: Scratch,
    test: String,
    site: Site,
    arguments: String,
}

impl World {
    /// One in which the program does not run yet: at `site`, for what goes by `outer`.
    fn new(test: &str, link: Option<&str>, (site, outer): (Site, &str)) -> Self {
        let test = format!("h{test}");
        let mut gateway = Gateway::new(&test);
        gateway.close_devices();
        let socket = Scratch::new(&format!("{test}.sock"));
        let config = Scratch::new(&format!("{test}.toml"));
        let world = Self {
            run: None,
            _link: link.map(|link| Satellite::start(&gateway, link)),
            gateway,
            config,
            socket,
            test,
            site,
            arguments: format!("--host --outer {outer}"),
        };
        world.configure(1, "");
        world
    }

    fn configure(&self, queues: u16, settings: &str) {
        let text = format!(
            "[engine]\nflows = 1000\nbuffer = \"64mib\"\nnetworks = 100\nqueues = {queues}\n\
             [log]\nlevel = \"debug\"\n[control]\nsocket = \"{}\"\n{settings}",
            self.socket.0.display()
        );
        fs::write(&self.config.0, text).unwrap();
    }

    fn start(&mut self) -> &Running {
        let name = self.name(self.site).to_owned();
        let run = Running::start_in(&name, &self.test, &self.config, &self.arguments);
        self.run.insert(run)
    }

    /// Stops the program as systemd does, and sees that nothing was lost; its log.
    fn stop(&mut self) -> String {
        let run = self.run.take().unwrap();
        run.signal(Signal::SIGTERM);
        let log = run.ended(0);
        assert!(log.contains("octets_lost=0"), "{log}");
        log
    }

    fn name(&self, site: Site) -> &str {
        self.gateway.name(site)
    }

    fn ask(&self, request: Request) -> Answer {
        let mut client = Client::connect(&self.socket.0).unwrap();
        client.ask(request).unwrap()
    }

    fn flows(&self) -> Vec<FlowEntry> {
        let wanted = serde_json::from_str("{}").unwrap();
        match self.ask(Request::Flows(wanted)) {
            Answer::Flows(list) => list.flows,
            other => panic!("{other:?}"),
        }
    }

    /// The sum of the counters that `wanted` names by their group and name.
    fn count(&self, wanted: impl Fn(&str, &str) -> bool) -> u64 {
        let Answer::Stats(stats) = self.ask(Request::Stats) else {
            panic!("other than statistics");
        };
        let counters = stats.counters.into_iter();
        counters
            .filter(|counter| wanted(&counter.group, &counter.name))
            .map(|counter| counter.count)
            .sum()
    }

    /// Packets that the engine has seen.
    fn seen(&self) -> u64 {
        self.count(|group, name| matches!(group, "pass" | "absorb" | "drop") || name == "forwarded")
    }

    /// Nothing that happens in `work` is seen by the engine.
    fn unseen(&self, what: &str, work: impl FnOnce()) {
        let before = self.seen();
        work();
        assert_eq!(self.seen() - before, 0, "{what}");
    }

    /// A connection from one machine to an address of another: the near end and the far one.
    fn connect(&self, from: Site, to: Site, address: &str) -> [TcpStream; 2] {
        let any = (address.parse::<IpAddr>().unwrap(), 0);
        let listener = netns::within(self.name(to), || TcpListener::bind(any));
        let listener = listener.unwrap().unwrap();
        let address = listener.local_addr().unwrap();
        let near = netns::within(self.name(from), || {
            TcpStream::connect_timeout(&address, PATIENCE)
        });
        let near = near.unwrap().unwrap();
        let (far, peer) = listener.accept().unwrap();
        assert_eq!(peer, near.local_addr().unwrap(), "as the server sees it");
        patient([near, far])
    }

    /// Interfaces, addresses, routes, rules, traffic control, hooks and settings of the machine.
    fn dump(&self) -> BTreeSet<String> {
        let name = self.name(self.site);
        let mut lines = BTreeSet::new();
        for what in [
            "link",
            "addr",
            "-4 route show table all",
            "-6 route show table all",
            "rule",
            "-6 rule",
        ] {
            let text = ip(&format!("-n {name} -o {what}"));
            lines.extend(
                text.lines()
                    .map(|line| format!("{what}: {}", line.trim_end())),
            );
        }
        // Link-local addresses come when the kernel has made sure of them.
        lines.retain(|line| !(line.contains("fe80:") || line.contains("ff00:")));
        for command in ["tc qdisc", "nft list ruleset"] {
            let output = Command::new("ip")
                .args(["netns", "exec", name])
                .args(command.split(' '))
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            lines.extend(text.lines().map(|line| format!("{command}: {line}")));
        }
        let settings = netns::within(name, || {
            let mut settings = Vec::new();
            for directory in ["ipv4", "ipv4/conf", "ipv6", "ipv6/conf", "core"] {
                settings_in(&format!("/proc/sys/net/{directory}"), 1, &mut settings);
            }
            settings
        });
        lines.extend(settings.unwrap());
        lines
    }
}

/// The settings of the kernel in a directory, and so many levels below it.
fn settings_in(directory: &str, below: u8, settings: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if path.is_dir() {
            if below > 0 {
                settings_in(&name, below - 1, settings);
            }
        } else if let Ok(value) = fs::read_to_string(&path) {
            settings.push(format!("{name}: {}", value.trim_end()));
        }
    }
}

fn patient(ends: [TcpStream; 2]) -> [TcpStream; 2] {
    for stream in &ends {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    ends
}

/// Sends a stream from one end of a connection to the other, and closes this way of it.
fn carry(from: &TcpStream, to: &TcpStream, octets: u64) {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) as u64;
    thread::scope(|scope| {
        scope.spawn(|| {
            send(from, number, octets).unwrap();
            from.shutdown(Shutdown::Write).unwrap();
        });
        receive(to).is_whole(number, octets);
    });
}

/// Sends so many octets up and so many down, over each connection at once.
fn carry_all(connections: &[[TcpStream; 2]], up: u64, down: u64) {
    thread::scope(|scope| {
        for [near, far] in connections {
            scope.spawn(move || carry(near, far, up));
            scope.spawn(move || carry(far, near, down));
        }
    });
}

/// Exchanges octets over `connections` as long as `work` lasts, which is told how often.
fn meanwhile(connections: &[[TcpStream; 2]], work: impl FnOnce(&AtomicUsize)) {
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
                    exchange(connection, 200_000);
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
    let clock = Clock::start();
    while rounds.load(Ordering::Relaxed) < goal {
        assert!(clock.now() < PATIENCE, "nothing moves");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Sends octets both ways at once, different ones, and checks them.
fn exchange([near, far]: &[TcpStream; 2], octets: usize) {
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
                to.read_exact(&mut received).unwrap();
                assert!(received == content(seed), "other octets");
            });
        }
    });
}

/// Whether there are flows, and what this machine sends is acknowledged early.
fn are_served(flows: &[FlowEntry]) -> bool {
    let is_served = |flow: &FlowEntry| flow.inner_to_outer.mode == "local-ack";
    !flows.is_empty() && flows.iter().all(is_served)
}

#[test]
fn own_connections_over_a_long_link_are_served() {
    if !privileged() {
        return;
    }
    // At an interface of Ethernet with a router behind it, and at one without a link layer.
    for (test, site, outer) in [
        ("long", Site::Client, "eth0"),
        ("bare", Site::Gateway, "sat0"),
    ] {
        let mut world = World::new(test, Some(LINK), (site, outer));
        world.configure(2, "[default]\nouter_to_inner = \"local-ack\"\n");
        world.start();
        let connections: Vec<_> = Satellite::SERVERS
            .iter()
            .map(|server| world.connect(site, Site::Server, server))
            .collect();
        // Sent by the server's host, and so opened by the outer side.
        let inward: Vec<_> = match site {
            Site::Client => FAMILIES
                .iter()
                .map(|family| world.connect(Site::Server, site, family.client))
                .map(|[far, near]| [near, far])
                .collect(),
            _ => Vec::new(),
        };
        let all: Vec<_> = connections.into_iter().chain(inward).collect();
        for connection in &all {
            exchange(connection, 10_000);
        }
        let flows = world.flows();
        assert_eq!(flows.len(), all.len());
        for to in flows.iter().flat_map(FlowEntry::directions) {
            assert_eq!(to.mode, "local-ack", "{flows:?}");
        }
        for [near, _] in &all {
            let ends = [near.local_addr().unwrap(), near.peer_addr().unwrap()];
            assert!(
                flows.iter().any(|flow| [flow.inner, flow.outer] == ends),
                "{ends:?} in {flows:?}"
            );
        }
        carry_all(&all, 1_000_000, 300_000);
        let early = world.count(|group, name| group == "transmit" && name == "local-ack");
        assert!(early > 200, "{early}");
        world.stop();
    }
}

/// Another wire between the client and the server: its ends, the client's first, of either IP version.
fn another_wire(world: &World) -> [[&'static str; 2]; 2] {
    let ends = [
        ["203.0.113.137", "203.0.113.138"],
        ["2001:db8:9::1", "2001:db8:9::2"],
    ];
    let sites = [Site::Client, Site::Server].map(|site| world.name(site).to_owned());
    ip(&format!(
        "link add name eth9 netns {} type veth peer name eth9 netns {}",
        sites[0], sites[1]
    ));
    for (place, site) in sites.iter().enumerate() {
        ip(&format!("-n {site} link set eth9 up"));
        ip(&format!(
            "-n {site} addr add {}/30 dev eth9",
            ends[0][place]
        ));
        ip(&format!(
            "-n {site} addr add {}/64 dev eth9 nodad",
            ends[1][place]
        ));
    }
    ends
}

#[test]
fn nothing_else_is_touched() {
    if !privileged() {
        return;
    }
    let mut world = World::new("else", None, (Site::Client, "eth0"));
    let wire = another_wire(&world);
    // What the engine does not serve shows no less what it does to packets.
    let old = FAMILIES.map(|family| world.connect(Site::Client, Site::Server, family.server));
    world.start();
    for (family, [own, far]) in FAMILIES.into_iter().zip(wire) {
        let hops = world.gateway.server_sees(family);
        let served = world.connect(Site::Client, Site::Server, family.server);
        exchange(&served, 500_000);
        assert!(are_served(&world.flows()), "{:?}", world.flows());
        assert_eq!(hops.stop(), [63], "one router");
        world.unseen("echoes", || world.gateway.ping(family.server));
        world.unseen("UDP", || world.gateway.echo_by_udp(family.server));
        world.unseen("another interface", || {
            exchange(&world.connect(Site::Client, Site::Server, far), 100_000);
            exchange(&world.connect(Site::Server, Site::Client, own), 100_000);
        });
        let loopback = if own.contains(':') {
            "::1"
        } else {
            "127.0.0.1"
        };
        world.unseen("the machine with itself", || {
            for address in [loopback, family.client] {
                exchange(&world.connect(Site::Client, Site::Client, address), 100_000);
            }
        });
        world.unseen("connections of others", || {
            let other = world.connect(Site::Gateway, Site::Server, family.server);
            exchange(&other, 100_000);
        });

        // Nobody listens there: this is told as it would be without the engine.
        let nobody = SocketAddr::from((family.server.parse::<IpAddr>().unwrap(), 9));
        let refusal = netns::within(world.name(Site::Client), || TcpStream::connect(nobody));
        assert_eq!(
            refusal.unwrap().unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    }
    for connection in &old {
        exchange(connection, 100_000);
    }
    assert!(world.count(|_, name| name == "mid-stream") > 0);
    world.stop();
}

/// A socket that is bound to the interface hears nothing that comes in elsewhere.
#[test]
fn a_socket_may_be_bound_to_the_interface() {
    if !privileged() {
        return;
    }
    let mut world = World::new("bound", None, (Site::Client, "eth0"));
    world.start();
    for family in FAMILIES {
        let server: IpAddr = family.server.parse().unwrap();
        let listener = netns::within(world.name(Site::Server), || TcpListener::bind((server, 0)));
        let listener = listener.unwrap().unwrap();
        let domain = if server.is_ipv4() {
            Domain::IPV4
        } else {
            Domain::IPV6
        };
        let socket = netns::within(world.name(Site::Client), || {
            Socket::new(domain, Type::STREAM, Some(Protocol::TCP))
        });
        let socket = socket.unwrap().unwrap();
        socket.bind_device(Some(b"eth0")).unwrap();
        let address = listener.local_addr().unwrap();
        socket.connect_timeout(&address.into(), PATIENCE).unwrap();
        let (far, _) = listener.accept().unwrap();
        let ends = patient([socket.into(), far]);
        exchange(&ends, 300_000);
        assert!(are_served(&world.flows()), "{:?}", world.flows());
    }
    world.stop();
}

/// What a router forwards for others is not its own.
#[test]
fn forwarded_connections_pass_by() {
    if !privileged() {
        return;
    }
    let mut world = World::new("router", None, (Site::Gateway, "out0"));
    world.start();
    for family in FAMILIES {
        world.unseen("forwarded", || {
            exchange(
                &world.connect(Site::Client, Site::Server, family.server),
                100_000,
            );
            exchange(
                &world.connect(Site::Server, Site::Client, family.client),
                100_000,
            );
        });
    }
    let mut served = Vec::new();
    for family in FAMILIES {
        let own = world.connect(Site::Gateway, Site::Server, family.server);
        exchange(&own, 100_000);
        let inward = world.connect(Site::Server, Site::Gateway, family.gateway_outer);
        exchange(&inward, 100_000);
        served.extend([own, inward]);
    }
    let flows = world.flows();
    assert_eq!(flows.len(), 4);
    assert!(are_served(&flows), "{flows:?}");
    world.stop();
}

#[test]
fn a_narrow_path_is_learned_of_from_its_router() {
    if !privileged() {
        return;
    }
    let mut world = World::new("narrow", None, (Site::Client, "eth0"));
    for (family, (exact, mtu)) in FAMILIES.into_iter().zip([(32, 1100), (128, 1300)]) {
        let server = family.server;
        world.gateway.ip(&format!(
            "route add {server}/{exact} dev out0 mtu lock {mtu}"
        ));
    }
    world.start();
    let connections =
        FAMILIES.map(|family| world.connect(Site::Client, Site::Server, family.server));
    carry_all(&connections, 500_000, 100_000);
    assert!(world.count(|_, name| name == "packet-too-big") > 0);
    world.stop();
}

#[test]
fn connections_survive_the_end_and_everything_is_as_before() {
    if !privileged() {
        return;
    }
    for (test, site, outer) in [
        ("end", Site::Client, "eth0"),
        ("endbare", Site::Gateway, "sat0"),
    ] {
        let mut world = World::new(
            test,
            Some("--delay 20ms --rate 60mbit --queue 1mib"),
            (site, outer),
        );
        let before = world.dump();
        world.start();
        assert_ne!(before, world.dump());
        let connections: Vec<_> = Satellite::SERVERS
            .iter()
            .map(|server| world.connect(site, Site::Server, server))
            .collect();
        meanwhile(&connections, |rounds| {
            a_round_more(rounds, connections.len());
            assert!(are_served(&world.flows()), "{:?}", world.flows());
            let state = world.run.as_ref().unwrap().state().to_owned();
            assert!(state.exists());
            let log = world.stop();
            assert!(
                log.contains("connections go on without the engine"),
                "{log}"
            );
            assert!(!state.exists());
            assert_same(&before, &world.dump());
            a_round_more(rounds, connections.len());
        });
    }
}

#[test]
fn a_crash_leaves_nothing_but_a_file() {
    if !privileged() {
        return;
    }
    let mut world = World::new("crash", None, (Site::Client, "eth0"));
    let before = world.dump();
    world.start();
    let served = world.connect(Site::Client, Site::Server, FAMILIES[0].server);
    exchange(&served, 100_000);
    world.run.as_ref().unwrap().signal(Signal::SIGKILL);
    let run = world.run.take().unwrap();
    run.gone();
    // The kernel takes the rest away in its own time.
    let clock = Clock::start();
    while before != world.dump() && clock.now() < PATIENCE {
        thread::sleep(Duration::from_millis(10));
    }
    assert_same(&before, &world.dump());
    assert!(run.state().exists());
    exchange(&served, 100_000);
    for family in FAMILIES {
        let connection = world.connect(Site::Client, Site::Server, family.server);
        exchange(&connection, 100_000);
    }
    let name = world.name(Site::Client);
    let cleanup = || program_in(name, &["cleanup", "--state", run.state_name()]);
    assert_eq!(cleanup(), (0, "undone: a state file\n".to_owned()));
    assert_eq!(cleanup(), (0, "nothing was left behind\n".to_owned()));
    assert_same(&before, &world.dump());

    // The next run needs no cleanup.
    world.start().signal(Signal::SIGKILL);
    let run = world.run.take().unwrap();
    run.gone();
    let again = world.start();
    assert!(
        again.log().contains("what it left is undone: a state file"),
        "{}",
        again.log()
    );
    drop(run);
    let served = world.connect(Site::Client, Site::Server, FAMILIES[1].server);
    exchange(&served, 100_000);
    assert!(are_served(&world.flows()), "{:?}", world.flows());
    world.stop();
    assert_same(&before, &world.dump());
}

#[test]
fn what_cannot_work_is_refused_and_changes_nothing() {
    if !privileged() {
        return;
    }
    let mut world = World::new("refused", None, (Site::Client, "eth0"));
    let name = world.name(Site::Client).to_owned();
    for link in [
        "name br0 type bridge",
        "name port0 type veth peer name port1",
        "name down0 type veth peer name down1",
    ] {
        ip(&format!("-n {name} link add {link}"));
    }
    ip(&format!("-n {name} link set port0 master br0 up"));
    let state = Scratch::new("hrefused-other.state");
    let other_config = Scratch::new("hrefused-other.toml");
    fs::write(
        &other_config.0,
        "[engine]\nflows = 1000\nbuffer = \"16mib\"\n[control]\nsocket = \"off\"\n",
    )
    .unwrap();
    let config = other_config.0.to_str().unwrap().to_owned();
    let run = |arguments: &str| {
        let fixed = [
            "run",
            "--host",
            "--state",
            state.0.to_str().unwrap(),
            "--config",
            &config,
        ];
        let arguments: Vec<_> = fixed.into_iter().chain(arguments.split(' ')).collect();
        program_in(&name, &arguments)
    };
    let before = world.dump();
    let cases = [
        ("--outer eth7", 1, "eth7: no such interface"),
        ("--outer lo", 1, "lo: is the loopback interface"),
        ("--outer down0", 1, "down0: the interface is down"),
        ("--outer port0", 1, "port0: is a port of br0"),
        ("--outer eth0 --inner-device eth0", 1, "eth0: named twice"),
        (
            "--outer eth0 --inner in0",
            2,
            "cannot be used with '--inner <IF>'",
        ),
        ("--outer eth0 --inner-port in0", 2, "cannot be used with"),
        (
            "--outer eth0 --set-forwarding",
            2,
            "--set-forwarding is for packets",
        ),
        ("--ipv4-only", 2, "no outer interface"),
    ];
    for (arguments, code, what) in cases {
        let (ended, said) = run(arguments);
        assert!(ended == code && said.contains(what), "{arguments}: {said}");
        assert!(!state.0.exists());
    }
    assert_same(&before, &world.dump());

    let output = netns::within(&name, || {
        Command::new("setpriv")
            .args(["--bounding-set=-net_admin", "--inh-caps=-net_admin"])
            .arg(env!("CARGO_BIN_EXE_localack-tun"))
            .args(["run", "--host", "--outer", "eth0", "--config", &config])
            .args(["--state".as_ref(), state.0.as_os_str()])
            .output()
            .unwrap()
    });
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("not permitted; CAP_NET_ADMIN"), "{said}");
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1));

    // Where one is, there is no room for another, whatever its devices are called.
    world.start();
    let others = "--outer eth0 --inner-device a0 --outer-device b0 --return-device c0";
    let during = world.dump();
    let (ended, said) = run(others);
    assert!(ended == 1, "{said}");
    assert!(
        said.contains("eth0: another run with --host is in force there"),
        "{said}"
    );
    assert!(!state.0.exists());
    assert_same(&during, &world.dump());
    world.stop();
    assert_same(&before, &world.dump());
}

#[test]
fn one_ip_version_may_be_left_alone() {
    if !privileged() {
        return;
    }
    for (only, served) in [("--ipv4-only", 0), ("--ipv6-only", 1)] {
        let mut world = World::new(&only[2..6], None, (Site::Client, "eth0"));
        world.arguments = format!("{} {only}", world.arguments);
        world.start();
        let [other, ours] = [1 - served, served].map(|family| FAMILIES[family].server);
        world.unseen(only, || {
            exchange(&world.connect(Site::Client, Site::Server, other), 100_000);
        });
        let served = world.connect(Site::Client, Site::Server, ours);
        exchange(&served, 100_000);
        assert_eq!(world.flows().len(), 1);
        world.stop();
    }
}
