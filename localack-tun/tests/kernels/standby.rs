//! Two gateways, of which one follows the other, and addresses that move.

use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use localack_tun::clock::Clock;
use localack_tun::control::Client;
use localack_tun::control::protocol::{
    Answer, ArrangementSet, DirectionChoice, FlowName, Request, SetService,
};
use localack_tun::netns;
use nix::sys::signal::Signal;

use crate::common::{Namespace, Scratch, ip, privileged};
use crate::program::Running;
use crate::world::{carry_both_ways, patient};

/// A client and two gateways on one network, the gateways and a router on another, and a server behind a long
/// link from the router.
struct Pair {
    client: Namespace,
    gateways: [Namespace; 2],
    server: Namespace,
    _router: Namespace,
    _switch: Namespace,
    link: Child,
}

const INNER: &str = "192.0.2.1/24";
const OUTER: &str = "198.51.100.1/24";
const SERVER: &str = "203.0.113.2";

/// What a standby says once it has everything; what it says as long as it has not contains the first words too.
const LEVEL: &str = " level with the gateway: ready";

impl Pair {
    fn new(test: &str, settings: &str) -> Self {
        let name = |role: &str| Namespace::new(&format!("{test}{role}"));
        let [client, server, router, switch] = ["c", "s", "r", "w"].map(name);
        let gateways = ["g", "h"].map(name);
        for (number, bridge) in ["near", "far"].into_iter().enumerate() {
            ip(&format!(
                "-n {} link add name {bridge} type bridge",
                switch.0
            ));
            ip(&format!("-n {} link set {bridge} up", switch.0));
            let [first, second] = &gateways;
            let own = if number == 0 { "in0" } else { "out0" };
            let end = if number == 0 { &client } else { &router };
            for (port, (host, device)) in [(first, own), (second, own), (end, "eth0")]
                .into_iter()
                .enumerate()
            {
                let port = format!("{bridge}{port}");
                ip(&format!(
                    "link add name {port} netns {} type veth peer name {device} netns {}",
                    switch.0, host.0
                ));
                ip(&format!(
                    "-n {} link set {port} master {bridge} up",
                    switch.0
                ));
                ip(&format!("-n {} link set {device} up", host.0));
            }
        }
        let [first, second] = &gateways;
        ip(&format!(
            "link add name ha0 netns {} type veth peer name ha0 netns {}",
            first.0, second.0
        ));
        for (gateway, host) in [(first, 1), (second, 2)] {
            ip(&format!("-n {} link set ha0 up", gateway.0));
            ip(&format!(
                "-n {} addr add 10.9.0.{host}/30 dev ha0",
                gateway.0
            ));
        }
        ip(&format!("-n {} addr add 192.0.2.2/24 dev eth0", client.0));
        ip(&format!("-n {} route add default via 192.0.2.1", client.0));
        ip(&format!(
            "-n {} addr add 198.51.100.254/24 dev eth0",
            router.0
        ));
        ip(&format!(
            "-n {} route add 192.0.2.0/24 via 198.51.100.1",
            router.0
        ));
        for namespace in gateways.iter().chain([&router]) {
            netns::within(&namespace.0, || {
                fs::write("/proc/sys/net/ipv4/ip_forward", "1")
            })
            .unwrap()
            .unwrap();
        }
        let mut link = Command::new(env!("CARGO_BIN_EXE_localack-tun"))
            .args(["emulate", "--left", &format!("sat0@{}", router.0)])
            .args(["--right", &format!("sat0@{}", server.0)])
            .args(settings.split_whitespace())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(link.stderr.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        ip(&format!("-n {} addr add 203.0.113.1/30 dev sat0", router.0));
        ip(&format!("-n {} addr add {SERVER}/30 dev sat0", server.0));
        ip(&format!(
            "-n {} route add default via 203.0.113.1",
            server.0
        ));
        let pair = Self {
            client,
            gateways,
            server,
            _router: router,
            _switch: switch,
            link,
        };
        pair.give_addresses(0);
        pair
    }

    /// From now on this gateway has the addresses by which others reach it.
    fn give_addresses(&self, gateway: usize) {
        let gateway = &self.gateways[gateway].0;
        ip(&format!("-n {gateway} addr add {INNER} dev in0"));
        ip(&format!("-n {gateway} addr add {OUTER} dev out0"));
        ip(&format!(
            "-n {gateway} route add default via 198.51.100.254"
        ));
        for host in [&self.client, &self._router] {
            ip(&format!("-n {} neigh flush dev eth0", host.0));
        }
    }

    /// The network sees no more of it. Were the inner side cut off first, its acknowledgements to the client would go
    /// by the default route, and come back from the router as if the server had sent them.
    fn cut_off(&self, gateway: usize) {
        for device in ["out0", "in0"] {
            ip(&format!(
                "-n {} link set {device} down",
                self.gateways[gateway].0
            ));
        }
    }

    fn connect(&self) -> [TcpStream; 2] {
        let listener = netns::within(&self.server.0, || TcpListener::bind((SERVER, 0)));
        let listener = listener.unwrap().unwrap();
        let address = listener.local_addr().unwrap();
        let near = netns::within(&self.client.0, || TcpStream::connect(address));
        let (far, _) = listener.accept().unwrap();
        patient([near.unwrap().unwrap(), far])
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.link.kill();
        let _ = self.link.wait();
    }
}

#[test]
fn a_standby_goes_on_with_every_connection_of_a_gateway_that_is_gone() {
    if privileged() {
        succession("pair", "10.9.0.1:9108", 20, 1 << 20, "");
    }
}

#[test]
fn a_standby_may_be_on_the_same_machine() {
    let meeting = Scratch::new("meeting.sock");
    if privileged() {
        succession("near", &meeting.0.display().to_string(), 3, 1 << 20, "");
    }
}

#[test]
fn a_standby_has_the_arrangements_of_connections_too() {
    let meeting = Scratch::new("arranged.sock");
    if privileged() {
        let meeting = meeting.0.display().to_string();
        succession("thin", &meeting, 3, 1 << 20, ARRANGED);
    }
}

/// What both gateways arrange, in `[default]` and with the arrangements after it.
const ARRANGED: &str = "arrangement = \"thin\"\nreverse_arrangement = \"slow\"\n\
     [[arrangement]]\nname = \"slow\"\nrate_limit = \"20mbit\"\n\
     [[arrangement]]\nname = \"thin\"\nack_interval = \"5ms\"\n";

/// Carries streams of so many octets both ways over so many connections, and lets the gateway be gone meanwhile.
/// What is beside that in the settings of both is in `more`.
fn succession(test: &str, meeting: &str, connections: usize, octets: u64, more: &str) {
    let pair = Pair::new(test, "--delay 50ms --rate 50mbit");
    let [config, other, socket] =
        ["1.toml", "2.toml", "2.sock"].map(|name| Scratch::new(&format!("{test}{name}")));
    let settings = format!(
        "[engine]\nflows = 1000\nbuffer = \"64mib\"\nnetworks = 100\n\
         [log]\nlevel = \"debug\"\n[default]\nouter_to_inner = \"local-ack\"\n{more}"
    );
    fs::write(
        &config.0,
        format!("{settings}[control]\nsocket = \"off\"\n"),
    )
    .unwrap();
    let path = socket.0.display();
    fs::write(
        &other.0,
        format!("{settings}[control]\nsocket = \"{path}\"\n"),
    )
    .unwrap();
    let between = "--ipv4-only --inner in0 --outer out0";
    let [first, second] = &pair.gateways;
    let arguments = format!("{between} --standby {meeting}");
    let leader = Running::start_in(&first.0, &format!("{test}1"), &config, &arguments);
    let early = pair.connect();
    let arguments = format!("{between} --follow {meeting}");
    let standby = Running::spawn_in(&second.0, &format!("{test}2"), &other, &arguments);
    let connections: Vec<_> = (0..connections)
        .map(|_| pair.connect())
        .chain([early])
        .collect();
    thread::scope(|scope| {
        let carriers: Vec<_> = connections
            .iter()
            .map(|connection| scope.spawn(move || carry_both_ways(connection, octets)))
            .collect();
        standby.wait_for(LEVEL, 1);
        thread::sleep(Duration::from_millis(500));
        let log = standby.log();
        assert!(!log.contains("not level"), "{log}");
        assert!(carriers.iter().any(|carrier| !carrier.is_finished()));
        pair.cut_off(0);
        leader.signal(Signal::SIGKILL);
        leader.died();
        let log = standby.wait_for(" TCP passes the engine", 1);
        let all = connections.len();
        let told = format!("the connections of an earlier gateway go on connections={all}");
        assert!(log.contains(&told), "{log}");
        assert!(log.contains("connections_reset=0"), "{log}");
        pair.give_addresses(1);
        let wanted = Request::Flows(serde_json::from_str("{}").unwrap());
        let answer = Client::connect(&socket.0).unwrap().ask(wanted).unwrap();
        let Answer::Flows(list) = answer else {
            panic!("{answer:?}");
        };
        let names = (!more.is_empty()).then_some(["thin", "slow"]);
        for flow in list.flows {
            let arranged = flow.directions().map(|one| one.arrangement.as_deref());
            let expected = names.map_or([None; 2], |names| names.map(Some));
            assert_eq!(arranged, expected, "{flow:?}");
        }
        let clock = Clock::start();
        while !carriers.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(100));
            if clock.now() > Duration::from_secs(120) {
                let mut client = Client::connect(&socket.0).unwrap();
                let wanted = Request::Flows(serde_json::from_str("{}").unwrap());
                panic!("not done: {:#?}\n{}", client.ask(wanted), standby.log());
            }
        }
        for carrier in carriers {
            carrier.join().unwrap();
        }
    });
    standby.signal(Signal::SIGTERM);
    let log = standby.ended(0);
    assert!(log.contains("octets_lost=0"), "{log}");
}

#[test]
fn a_standby_that_has_taken_over_goes_on_with_its_own_when_it_is_started_anew() {
    if !privileged() {
        return;
    }
    let pair = Pair::new("anew", "--delay 50ms --rate 50mbit");
    let [config, other, meeting] =
        ["1.toml", "2.toml", "meeting.sock"].map(|name| Scratch::new(&format!("anew{name}")));
    let kept = Scratch::new("anew.kept");
    let engine = "flows = 1000\nbuffer = \"64mib\"\nnetworks = 100\n";
    let rest = "[control]\nsocket = \"off\"\n[default]\nouter_to_inner = \"local-ack\"\n";
    fs::write(&config.0, format!("[engine]\n{engine}{rest}")).unwrap();
    let keeps = format!("state = \"{}\"\nhold = \"30s\"\n", kept.0.display());
    fs::write(&other.0, format!("[engine]\n{keeps}{engine}{rest}")).unwrap();
    let between = "--ipv4-only --inner in0 --outer out0";
    let [first, second] = &pair.gateways;
    let meeting = meeting.0.display();
    let arguments = format!("{between} --standby {meeting}");
    let leader = Running::start_in(&first.0, "anew1", &config, &arguments);
    let follows = format!("{between} --follow {meeting}");
    let standby = Running::spawn_in(&second.0, "anew2", &other, &follows);
    let connection = pair.connect();
    thread::scope(|scope| {
        let carrier = scope.spawn(|| carry_both_ways(&connection, 8 << 20));
        standby.wait_for(LEVEL, 1);
        pair.cut_off(0);
        leader.signal(Signal::SIGKILL);
        leader.died();
        standby.wait_for(" TCP passes the engine", 1);
        pair.give_addresses(1);
        // Nobody is there any more whom it could follow.
        standby.signal(Signal::SIGKILL);
        standby.died();
        let again = Running::start_in(&second.0, "anew2", &other, &follows);
        let log = again.log();
        let told = "the connections of an earlier gateway go on connections=1";
        assert!(log.contains(told), "{log}");
        carrier.join().unwrap();
        again.signal(Signal::SIGTERM);
        let log = again.ended(0);
        assert!(log.contains("octets_lost=0"), "{log}");
    });
}

/// The names of both arrangements of the only connection of a gateway.
fn arranged(socket: &Scratch) -> Vec<Option<String>> {
    let wanted = Request::Flows(serde_json::from_str("{}").unwrap());
    let answer = Client::connect(&socket.0).unwrap().ask(wanted).unwrap();
    let Answer::Flows(mut list) = answer else {
        panic!("{answer:?}");
    };
    let flow = list.flows.pop().unwrap();
    let names = flow.directions().map(|one| one.arrangement.clone());
    names.into()
}

#[test]
fn what_is_arranged_by_order_goes_to_the_standby() {
    if !privileged() {
        return;
    }
    let meeting = Scratch::new("ordered.meeting");
    let pair = Pair::new("order", "--delay 20ms --rate 50mbit");
    let names = ["1.toml", "2.toml", "1.sock", "2.sock"];
    let [config, other, socket, spare] = names.map(|name| Scratch::new(&format!("order{name}")));
    let slow = "[[arrangement]]\nname = \"slow\"\nrate_limit = \"20mbit\"\n";
    let thin = "[[arrangement]]\nname = \"thin\"\nack_interval = \"5ms\"\n";
    // Numbered by their order, so that the two gateways would number them otherwise.
    for (config, socket, arrangements) in [
        (&config, &socket, [slow, thin]),
        (&other, &spare, [thin, slow]),
    ] {
        let text = format!(
            "[engine]\nflows = 1000\nbuffer = \"64mib\"\nnetworks = 100\n[log]\nlevel = \"debug\"\n\
             [control]\nsocket = {:?}\n{}[default]\nreverse_arrangement = \"thin\"\n",
            socket.0,
            arrangements.concat()
        );
        fs::write(&config.0, text).unwrap();
    }
    let between = "--ipv4-only --inner in0 --outer out0";
    let [first, second] = &pair.gateways;
    let meeting = meeting.0.display();
    let arguments = format!("{between} --standby {meeting}");
    let leader = Running::start_in(&first.0, "order1", &config, &arguments);
    let arguments = format!("{between} --follow {meeting}");
    let standby = Running::spawn_in(&second.0, "order2", &other, &arguments);
    standby.wait_for(LEVEL, 1);
    let connection = pair.connect();
    let ask = |request| Client::connect(&socket.0).unwrap().ask(request).unwrap();

    // As long as the settings differ, it does not follow.
    let toml = slow.replace("20mbit", "30mbit");
    ask(Request::ArrangementSet(ArrangementSet { toml }));
    standby.wait_for(
        "[[arrangement]], [default] or [[policy]] of its settings are others",
        1,
    );
    let toml = slow.to_owned();
    ask(Request::ArrangementSet(ArrangementSet { toml }));
    standby.wait_for(LEVEL, 2);

    let wanted = Request::Flows(serde_json::from_str("{}").unwrap());
    let Answer::Flows(list) = ask(wanted) else {
        panic!("other than flows");
    };
    ask(Request::Flow(SetService {
        flow: FlowName::Id(list.flows[0].id.clone()),
        direction: Some(DirectionChoice::InnerToOuter),
        service: None,
        arrangement: Some("slow".to_owned()),
    }));
    // What leaves the gateway leaves it after the standby has what led to it.
    let [mut near, mut far] = connection.each_ref();
    near.write_all(b"arranged").unwrap();
    far.read_exact(&mut [0; 8]).unwrap();
    let expected = ["slow", "thin"].map(|name| Some(name.to_owned()));
    assert_eq!(arranged(&socket), expected);
    pair.cut_off(0);
    leader.signal(Signal::SIGKILL);
    leader.died();
    standby.wait_for(" TCP passes the engine", 1);
    pair.give_addresses(1);
    assert_eq!(arranged(&spare), expected);
    carry_both_ways(&connection, 300_000);
    standby.signal(Signal::SIGTERM);
    let log = standby.ended(0);
    assert!(log.contains("octets_lost=0"), "{log}");
}
