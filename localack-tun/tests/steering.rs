//! Steering in real network namespaces: client, gateway and server, with a forwarder in the
//! engine's place that only copies and counts.
//!
//! Needs root and iproute2. Without it the tests say so and pass, unless `LOCALACK_REQUIRE_ROOT=1`
//! turns that into a failure. Everything happens inside namespaces that the tests make and remove.
#![cfg(target_os = "linux")]

mod common;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "common/gateway.rs"]
mod gateway;

use core::time::Duration;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use common::{Scratch, privileged};
use gateway::{FAMILIES, Forwarder, Gateway, Site, Way, assert_same};
use localack_tun::steer::{self, Leftovers, Plan, SteerError, Steering};

/// Tells the helper process where its state file is, and whether it may switch forwarding on.
const HELPER_STATE: &str = "LA_TEST_STEER_STATE";
const HELPER_FORWARDING: &str = "LA_TEST_STEER_FORWARDING";

fn plan() -> Plan {
    let names = ["in0", "out0", "lak-in", "lak-out"].map(|name| name.parse().unwrap());
    let [inner, outer, inner_device, outer_device] = names;
    Plan::new(inner, outer, inner_device, outer_device)
}

#[test]
fn tcp_takes_the_detour_and_udp_does_not() {
    if !privileged() {
        return;
    }
    let gateway = Gateway::new("detour");
    let state = Scratch::new("detour.toml");
    let forwarder = Forwarder::start(gateway.devices());
    let _steering = gateway.within(|| Steering::install(&plan(), &state.0).unwrap());
    for family in FAMILIES {
        let ttls = gateway.server_sees(family);
        let before = forwarder.counts();
        gateway.echo_by_tcp(family.server, 1 << 20);
        let during = forwarder.counts() - before;
        // A mebibyte each way is 725 segments of 1448 octets; a bridge of the two would be none.
        assert!(during.tcp[Way::Outward as usize] > 725, "{during:?}");
        assert!(during.tcp[Way::Inward as usize] > 725, "{during:?}");
        // Forwarded twice: the engine has to add one.
        assert_eq!(ttls.stop(), [62], "TTL or hop limit at the server");

        let before = forwarder.counts();
        gateway.echo_by_udp(family.server);
        assert_eq!((forwarder.counts() - before).udp, [0, 0]);
        // Rules cannot tell echoes from errors.
        gateway.ping(family.server);
        let during = forwarder.counts() - before;
        assert_eq!(
            (during.icmp, during.tcp, during.udp),
            ([1, 1], [0, 0], [0, 0])
        );
    }
}

#[test]
fn the_gateway_itself_is_not_steered() {
    if !privileged() {
        return;
    }
    let gateway = Gateway::new("self");
    let state = Scratch::new("self.toml");
    let forwarder = Forwarder::start(gateway.devices());
    let _steering = gateway.within(|| Steering::install(&plan(), &state.0).unwrap());
    for family in FAMILIES {
        for address in [family.gateway_inner, family.gateway_outer] {
            gateway.echo_by_tcp_between(Site::Client, Site::Gateway, address);
            gateway.ping(address);
        }
        // What the gateway itself begins goes its own way, and so do the answers.
        gateway.echo_by_tcp_between(Site::Gateway, Site::Server, family.server);
    }
    assert_eq!(forwarder.counts().tcp, [0, 0]);
    assert_eq!(forwarder.counts().icmp, [0, 0]);
}

#[test]
fn removal_leaves_nothing_and_open_connections_go_on() {
    if !privileged() {
        return;
    }
    let gateway = Gateway::new("remove");
    let state = Scratch::new("remove.toml");
    let forwarder = Forwarder::start(gateway.devices());
    let before = gateway.dump();
    let steering = gateway.within(|| Steering::install(&plan(), &state.0).unwrap());
    let during = gateway.dump();
    assert_ne!(before, during);
    assert!(state.0.exists());
    let connections = FAMILIES.map(|family| gateway.open_echo(family.server));
    for connection in &connections {
        connection.exchange(100_000);
    }
    assert!(forwarder.counts().tcp[0] > 140);
    gateway.within(|| steering.remove().unwrap());
    assert_same(&before, &gateway.dump());
    assert!(!state.0.exists());
    let counts = forwarder.stop();
    for connection in &connections {
        connection.exchange(100_000);
    }
    assert_eq!(counts, forwarder.counts());

    // Dropping does the same.
    gateway.within(|| drop(Steering::install(&plan(), &state.0).unwrap()));
    assert_same(&before, &gateway.dump());
    assert!(!state.0.exists());
}

/// In a process of its own, which the test that started it kills.
#[test]
#[ignore = "the other tests run this one"]
fn helper_that_steers_until_it_is_killed() {
    let Some(state) = std::env::var_os(HELPER_STATE) else {
        return;
    };
    let mut plan = plan();
    plan.set_forwarding = std::env::var_os(HELPER_FORWARDING).is_some();
    let forwarder = Forwarder::start(gateway::open_devices(None));
    match Steering::install(&plan, state.as_ref()) {
        Ok(_steering) => {
            println!("ready");
            thread::sleep(Duration::from_secs(60));
        }
        Err(error) => println!("refused: {error}"),
    }
    drop(forwarder);
}

/// A process that has installed a steering, or tried to.
struct Helper {
    child: Child,
    said: String,
}

impl Helper {
    fn start(gateway: &Gateway, state: &Scratch, set_forwarding: bool, wrapper: &[&str]) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut words = wrapper.to_vec();
        words.push(program.to_str().unwrap());
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(["--exact", "helper_that_steers_until_it_is_killed"])
            .args(["--ignored", "--nocapture"])
            .env(HELPER_STATE, &state.0)
            .stdout(Stdio::piped());
        if set_forwarding {
            command.env(HELPER_FORWARDING, "1");
        }
        // The child begins in the namespace of the thread that starts it.
        let mut child = gateway.within(|| command.spawn().unwrap());
        let mut said = String::new();
        let output = BufReader::new(child.stdout.take().unwrap());
        for line in output.lines() {
            let line = line.unwrap();
            said.push_str(&line);
            said.push('\n');
            if line.contains("ready") || line.contains("refused") {
                break;
            }
        }
        Self { child, said }
    }

    /// Ends it as `kill -9` does.
    fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn a_crash_steals_no_packets_and_is_cleaned_up_after() {
    if !privileged() {
        return;
    }
    let mut gateway = Gateway::new("crash");
    gateway.close_devices();
    // One interface that forwards IPv6 although the others do not: it has to stay so.
    gateway.set("ipv4/ip_forward", "0");
    gateway.set("ipv6/conf/all/forwarding", "0");
    gateway.set("ipv6/conf/out0/forwarding", "1");
    let before = gateway.dump();
    let state = Scratch::new("crash.toml");
    let mut helper = Helper::start(&gateway, &state, true, &[]);
    assert!(helper.said.contains("ready"), "{}", helper.said);
    let connections = FAMILIES.map(|family| gateway.open_echo(family.server));
    for connection in &connections {
        connection.exchange(100_000);
    }
    // While it lives, nobody else steers and nobody cleans up.
    let second = gateway.within(|| Steering::install(&plan(), &state.0).map(drop));
    assert!(second.is_err(), "{second:?}");
    let cleanup = gateway.within(|| steer::cleanup(&state.0));
    let pid = helper.child.id();
    assert!(
        matches!(cleanup, Err(SteerError::Running { pid: p }) if p == pid),
        "{cleanup:?}"
    );

    helper.kill();
    // The devices and their routes have gone with the process; the rules find nothing.
    for connection in &connections {
        connection.exchange(100_000);
    }
    let left = gateway.within(|| steer::leftovers(&state.0)).unwrap();
    assert_eq!(
        (left.rules, left.routes, left.state_file),
        (8, 0, true),
        "{left}"
    );
    let undone = gateway.within(|| steer::cleanup(&state.0)).unwrap();
    assert_eq!((undone.rules, undone.state_file), (8, true), "{undone}");
    assert_same(&before, &gateway.dump());
    assert!(!state.0.exists());
    let again = gateway.within(|| steer::cleanup(&state.0)).unwrap();
    assert_eq!(again, Leftovers::default());
}

#[test]
fn a_second_steering_is_refused() {
    if !privileged() {
        return;
    }
    let gateway = Gateway::new("twice");
    let state = Scratch::new("twice.toml");
    let other_state = Scratch::new("twice-other.toml");
    let _steering = gateway.within(|| Steering::install(&plan(), &state.0).unwrap());
    let during = gateway.dump();
    let again = gateway.within(|| Steering::install(&plan(), &state.0).map(drop));
    let pid = std::process::id();
    assert!(
        matches!(again, Err(SteerError::Running { pid: p }) if p == pid),
        "{again:?}"
    );
    // Another state file does not hide the rules that are there.
    let other = gateway.within(|| Steering::install(&plan(), &other_state.0).map(drop));
    let message = other.unwrap_err().to_string();
    assert!(message.contains("8 rules, 4 routes"), "{message}");
    assert!(!other_state.0.exists());
    assert_same(&during, &gateway.dump());
}

#[test]
fn clashes_are_named_and_nothing_is_changed() {
    if !privileged() {
        return;
    }
    let gateway = Gateway::new("clash");
    let state = Scratch::new("clash.toml");
    let cases = [
        (
            "rule",
            "from 192.0.2.0/24 lookup 77 priority 10800",
            "choose another priority: 10800: from 192.0.2.0/24 lookup 77",
        ),
        (
            "-6 rule",
            "from all iif in0 lookup 77 priority 10800",
            "choose another priority: 10800: from all iif in0 lookup 77",
        ),
        (
            "rule",
            "from all fwmark 0x1 lookup 10802 priority 500",
            "choose another table: 500: from all fwmark 0x1 lookup 10802",
        ),
        (
            "route",
            "192.0.2.128/25 via 198.51.100.2 table 10801",
            "routing table 10801 has 1 routes of somebody else",
        ),
        (
            "-6 route",
            "unreachable default table 10802",
            "routing table 10802 has 1 routes of somebody else",
        ),
        ("rule", "from all lookup local priority 20000", ""),
    ];
    for (object, what, message) in cases {
        gateway.ip(&format!("{object} add {what}"));
        let before = gateway.dump();
        let outcome = gateway.within(|| Steering::install(&plan(), &state.0).map(drop));
        match message {
            // A second look at the local table further down harms nobody.
            "" => outcome.unwrap(),
            _ => {
                let error = outcome.unwrap_err().to_string();
                assert!(error.contains(message), "{error}");
            }
        }
        assert_same(&before, &gateway.dump());
        assert!(!state.0.exists());
        gateway.ip(&format!("{object} del {what}"));
    }
    gateway.ip("rule add from all lookup local priority 20000");
    gateway.ip("rule del from all lookup local priority 0");
    let outcome = gateway.within(|| Steering::install(&plan(), &state.0).map(drop));
    let error = outcome.unwrap_err().to_string();
    assert!(
        error.contains("the local table is consulted at 20000"),
        "{error}"
    );
}

type Change<'a> = &'a dyn Fn(&mut Plan);

#[test]
fn interfaces_and_numbers_that_cannot_work_are_refused() {
    if !privileged() {
        return;
    }
    let gateway = Gateway::new("refuse");
    let state = Scratch::new("refuse.toml");
    gateway.ip("link add br0 type bridge");
    gateway.ip("link add port0 type veth peer name port1");
    gateway.ip("link set port0 master br0 up");
    let refusal = |change: Change| {
        let mut plan = plan();
        change(&mut plan);
        let before = gateway.dump();
        let outcome = gateway.within(|| Steering::install(&plan, &state.0).map(drop));
        assert_same(&before, &gateway.dump());
        assert!(!state.0.exists());
        outcome.unwrap_err().to_string()
    };
    let name = |text: &str| text.parse().unwrap();
    let table: [(Change, &str); 11] = [
        (&|plan| plan.inner = name("eth7"), "eth7: no such interface"),
        (
            &|plan| plan.outer = name("port1"),
            "port1: the interface is down",
        ),
        (&|plan| plan.outer = name("in0"), "in0: named twice"),
        (&|plan| plan.outer = name("lak-in"), "lak-in: named twice"),
        (
            &|plan| plan.inner = name("lo"),
            "lo: is the loopback interface",
        ),
        (
            &|plan| plan.inner = name("port0"),
            "port0: is a port of br0",
        ),
        (
            &|plan| plan.inner_device = name("br0"),
            "br0: is not a TUN device",
        ),
        (
            &|plan| plan.priority = 0,
            "rule priority 0: must be 1 to 32765",
        ),
        (&|plan| plan.priority = 32_766, "rule priority 32766"),
        (
            &|plan| plan.outer_table = 254,
            "routing tables 10801 and 254",
        ),
        (
            &|plan| plan.outer_table = 10_801,
            "routing tables 10801 and 10801",
        ),
    ];
    for (change, message) in table {
        let error = refusal(change);
        assert!(error.contains(message), "{error}");
    }
    gateway.ip("link set lak-out mtu 1499");
    let error = refusal(&|_| ());
    assert!(
        error.contains("lak-out: its MTU of 1499 octets is below the 1500"),
        "{error}"
    );
    gateway.ip("link set lak-out mtu 1500");
    for (setting, remedy) in [
        ("ipv4/conf/out0/forwarding", "net/ipv4/conf/out0/forwarding"),
        ("ipv4/ip_forward", "net.ipv4.ip_forward"),
        ("ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"),
    ] {
        gateway.set(setting, "0");
        let error = refusal(&|_| ());
        let remedy = format!("`sysctl -w {remedy}=1` switches it on");
        assert!(error.contains(&remedy), "{error}");
        gateway.set(setting, "1");
    }
    gateway.set("ipv6/conf/all/forwarding", "0");
    let mut v4_only = plan();
    v4_only.ipv6 = false;
    gateway.within(|| {
        Steering::install(&v4_only, &state.0)
            .unwrap()
            .remove()
            .unwrap();
    });
}

#[test]
fn without_the_capability_the_message_is_clear() {
    if !privileged() {
        return;
    }
    let gateway = Gateway::new("nocap");
    let state = Scratch::new("nocap.toml");
    let before = gateway.dump();
    // The devices stay: a process without the capability could not make them.
    let wrapper = [
        "setpriv",
        "--bounding-set=-net_admin",
        "--inh-caps=-net_admin",
    ];
    let program = std::env::current_exe().unwrap();
    let output = gateway.within(|| {
        Command::new(wrapper[0])
            .args(&wrapper[1..])
            .arg(program)
            .args([
                "--exact",
                "helper_that_only_tries",
                "--ignored",
                "--nocapture",
            ])
            .env(HELPER_STATE, &state.0)
            .output()
            .unwrap()
    });
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("not permitted; it needs CAP_NET_ADMIN"),
        "{said}"
    );
    assert!(!state.0.exists());
    assert_same(&before, &gateway.dump());
}

/// In a process that may not.
#[test]
#[ignore = "another test runs this one"]
fn helper_that_only_tries() {
    if let Some(state) = std::env::var_os(HELPER_STATE) {
        println!(
            "{:?}",
            Steering::install(&plan(), state.as_ref()).map_err(|e| e.to_string())
        );
    }
}

#[test]
fn a_failure_half_way_undoes_the_first_half() {
    if !privileged() {
        return;
    }
    let gateway = Gateway::new("half");
    let state = Scratch::new("half.toml");
    // Below 1280 octets there is no IPv6 on the devices: its routes fail, when those of IPv4 and
    // settings are already there.
    for device in ["in0", "out0", "lak-in", "lak-out"] {
        gateway.ip(&format!("link set {device} mtu 1200"));
    }
    let before = gateway.dump();
    let outcome = gateway.within(|| Steering::install(&plan(), &state.0).map(drop));
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("adding a route"), "{error}");
    assert_same(&before, &gateway.dump());
    assert!(!state.0.exists());
}

#[test]
fn a_strict_reverse_path_filter_stays_and_drops_nothing() {
    if !privileged() {
        return;
    }
    let gateway = Gateway::new("filter");
    let state = Scratch::new("filter.toml");
    for interface in ["all", "default", "in0", "out0", "lak-in", "lak-out"] {
        gateway.set(&format!("ipv4/conf/{interface}/rp_filter"), "1");
    }
    let forwarder = Forwarder::start(gateway.devices());
    let install = || gateway.within(|| Steering::install(&plan(), &state.0));
    // The kernel's check of what comes from a third network would follow our rules.
    let error = install().unwrap_err().to_string();
    assert!(error.contains("third0"), "{error}");
    assert!(
        error.contains("`sysctl -w net/ipv4/conf/third0/rp_filter=2`"),
        "{error}"
    );
    gateway.set("ipv4/conf/third0/rp_filter", "2");
    let steering = install().unwrap();
    for interface in ["all", "in0", "out0"] {
        let filter = gateway.setting(&format!("ipv4/conf/{interface}/rp_filter"));
        assert_eq!(filter, "1");
    }
    for family in FAMILIES {
        gateway.echo_by_tcp(family.server, 100_000);
        // A third network, which is neither inner nor outer: only one way takes the detour.
        gateway.echo_by_tcp_between(Site::Client, Site::Third, family.third);
    }
    // The client's 100,000 octets to the third network alone are 70 segments.
    assert!(forwarder.counts().tcp[Way::Outward as usize] >= 4 * 70);
    gateway.within(|| steering.remove().unwrap());
}

#[test]
fn packets_too_long_for_the_far_side_never_reach_the_engine() {
    if !privileged() {
        return;
    }
    let gateway = Gateway::new("mtu");
    let state = Scratch::new("mtu.toml");
    gateway.ip("link set out0 mtu 1400");
    let forwarder = Forwarder::start(gateway.devices());
    let _steering = gateway.within(|| Steering::install(&plan(), &state.0).unwrap());
    for family in FAMILIES {
        gateway.echo_by_tcp(family.server, 1 << 18);
    }
    assert_eq!(forwarder.longest(Way::Outward), 1400);
}

#[test]
fn an_interface_on_top_of_another_works_as_inner() {
    if !privileged() {
        return;
    }
    for kind in ["vlan id 5", "macvlan mode bridge"] {
        let gateway = Gateway::new("upper");
        let state = Scratch::new("upper.toml");
        if !gateway.put_on_top(kind) {
            eprintln!("skipped: this kernel has no {kind}");
            continue;
        }
        let mut plan = plan();
        plan.inner = "in0.5".parse().unwrap();
        let forwarder = Forwarder::start(gateway.devices());
        let before = gateway.dump();
        let steering = gateway.within(|| Steering::install(&plan, &state.0).unwrap());
        for family in FAMILIES {
            gateway.echo_by_tcp(family.server, 100_000);
        }
        assert!(
            forwarder.counts().tcp.iter().all(|count| *count >= 2 * 70),
            "{kind}"
        );
        gateway.within(|| steering.remove().unwrap());
        assert_same(&before, &gateway.dump());
    }
}
