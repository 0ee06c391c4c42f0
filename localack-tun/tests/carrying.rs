//! The gateway's engine between real kernels: client, gateway and server in namespaces of their own.
//!
//! Needs root and iproute2. Without it the test says so and passes, unless `LOCALACK_REQUIRE_ROOT=1`
//! turns that into a failure.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "other tests need more of it")]
mod common;

use core::time::Duration;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use common::{Namespace, ip, privileged};
use localack_core::{Direction, DirectionMode, FlowInfo, Service, TransmitKind};
use localack_tun::clock::Clock;
use localack_tun::config::Settings;
use localack_tun::device::open_with_offloads;
use localack_tun::gateway::{Gateway, Layer, Setup, Source};
use localack_tun::netns;

const PATIENCE: Duration = Duration::from_secs(30);
/// Octets of the file that crosses the gateway.
const FILE: usize = 20 << 20;

fn set(namespace: &Namespace, path: &str, value: &str) {
    let (path, value) = (format!("/proc/sys/net/ipv4/{path}"), value.to_owned());
    netns::within(&namespace.0, move || std::fs::write(path, value))
        .unwrap()
        .unwrap();
}

/// A client and a server with a gateway between them, and the gateway's rules for TCP.
fn sites() -> [Namespace; 3] {
    let [client, gate, server] = ["carryc", "carryg", "carrys"].map(Namespace::new);
    for (site, own, peer, host, router) in [
        (&client, "c0", "g0", "192.0.2.2", "192.0.2.1"),
        (&server, "s0", "g1", "198.51.100.2", "198.51.100.1"),
    ] {
        let (site, gate) = (&site.0, &gate.0);
        ip(&format!(
            "-n {site} link add {own} type veth peer name {peer} netns {gate}"
        ));
        ip(&format!("-n {site} addr add {host}/24 dev {own}"));
        ip(&format!("-n {gate} addr add {router}/24 dev {peer}"));
        ip(&format!("-n {site} link set {own} up"));
        ip(&format!("-n {gate} link set {peer} up"));
        ip(&format!("-n {site} route add default via {router}"));
    }
    set(&gate, "ip_forward", "1");
    set(&gate, "conf/all/rp_filter", "0");
    [client, gate, server]
}

#[test]
fn a_file_crosses_the_gateway_acknowledged_on_the_way() {
    if !privileged() {
        return;
    }
    let [client, gate, server] = sites();
    let devices = ["lak-in", "lak-out"]
        .map(|name| open_with_offloads(&format!("{name}@{}", gate.0).parse().unwrap()).unwrap());
    for (from, device, number) in [("g0", "lak-in", 101), ("g1", "lak-out", 102)] {
        let gate = &gate.0;
        ip(&format!(
            "-n {gate} route add default dev {device} table {number}"
        ));
        ip(&format!(
            "-n {gate} rule add iif {from} ipproto tcp pref {number} lookup {number}"
        ));
    }
    for device in ["lak-in", "lak-out"] {
        set(&gate, &format!("conf/{device}/rp_filter"), "0");
    }
    let text = "[engine]\nflows = 1000\nbuffer = \"64mib\"";
    let settings = Settings::parse(text).unwrap_or_else(|problems| panic!("{problems}"));
    let gateway = Gateway::start(Setup {
        hand_over: None,
        standby: None,
        inheritance: None,
        devices: vec![devices],
        layer: Layer::Ip,
        settings,
        source: Source::default(),
        mtu: [1500; 2],
        set_level: Box::new(|_| ()),
        on_end: Arc::new(|| ()),
    })
    .unwrap();
    let handle = gateway.handle();

    let listen = || TcpListener::bind("198.51.100.2:5000").unwrap();
    let listener = netns::within(&server.0, listen).unwrap();
    let (go, wait) = channel();
    let receiver = thread::spawn(move || {
        let mut file = Vec::new();
        let (mut stream, _) = listener.accept().unwrap();
        wait.recv().unwrap();
        stream.read_to_end(&mut file).unwrap();
        file
    });
    let file: Vec<u8> = (0..FILE).map(|place| (place * 7 % 251) as u8).collect();
    let connect = || TcpStream::connect("198.51.100.2:5000").unwrap();
    let mut stream = netns::within(&client.0, connect).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| (&stream).write_all(&file).unwrap());
        // While the server does not read, the gateway fills.
        let used = || handle.counts().unwrap()[0].blocks_used;
        let clock = Clock::start();
        while used() == 0 {
            assert!(clock.now() < PATIENCE, "nothing is in custody");
            thread::sleep(Duration::from_millis(5));
        }
        go.send(()).unwrap();
    });
    let shown = |flows: &mut Vec<FlowInfo>, _, flow: &FlowInfo| flows.push(*flow);
    let flows = handle.show(&Vec::new(), shown).unwrap().concat();
    let [flow] = flows.as_slice() else {
        panic!("one flow: {flows:?}");
    };
    let direction = Direction::InnerToOuter;
    assert_eq!(flow.direction(direction).mode, DirectionMode::LocalAck);
    handle
        .set_service(0, flow.id, direction, Service::LocalAck)
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    // The server closes when it has all.
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert!(receiver.join().unwrap() == file, "the file is another one");

    let counted = handle.counts().unwrap();
    let report = gateway.stop().unwrap()[0];
    assert!(counted[0].engine.transmitted(TransmitKind::LocalAck) > 20);
    assert_eq!(report.engine.octets_lost, 0);
    assert_eq!(report.blocks_used, 0, "everything was delivered");
    assert!(report.engine.transmitted(TransmitKind::LocalAck) > 20);
    // Super-segments came and went whole.
    let sent = report.engine.transmitted(TransmitKind::Data) + report.engine.forwarded();
    assert!((1..FILE as u64 / 1448).contains(&sent), "{sent} packets");
    assert_eq!(
        report.devices.refused + report.devices.odd,
        0,
        "{:?}",
        report.devices
    );
}
