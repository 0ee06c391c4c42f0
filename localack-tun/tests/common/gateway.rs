//! A gateway between a client and a server, in three namespaces and a fourth for a third network,
//! and a forwarder in the engine's place.

use core::net::{IpAddr, SocketAddr};
use core::ops::Sub;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use localack_tun::clock::Clock;
use localack_tun::device::{self, End};
use localack_tun::netns;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendto,
    socket,
};
use tun_rs::SyncDevice;

use crate::common::{Namespace, ip};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a reader waits before it looks whether it should stop.
const GLANCE: u16 = 50;

/// The addresses of one IP version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Family {
    pub(crate) client: &'static str,
    pub(crate) gateway_inner: &'static str,
    pub(crate) gateway_outer: &'static str,
    pub(crate) server: &'static str,
    pub(crate) gateway_third: &'static str,
    pub(crate) third: &'static str,
    prefix: u8,
}

pub(crate) const FAMILIES: [Family; 2] = [
    Family {
        client: "192.0.2.2",
        gateway_inner: "192.0.2.1",
        gateway_outer: "198.51.100.1",
        server: "198.51.100.2",
        gateway_third: "203.0.113.1",
        third: "203.0.113.2",
        prefix: 24,
    },
    Family {
        client: "2001:db8:1::2",
        gateway_inner: "2001:db8:1::1",
        gateway_outer: "2001:db8:2::1",
        server: "2001:db8:2::2",
        gateway_third: "2001:db8:3::1",
        third: "2001:db8:3::2",
        prefix: 64,
    },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    Client,
    Gateway,
    Server,
    Third,
}

pub(crate) struct Gateway {
    client: Namespace,
    gateway: Namespace,
    server: Namespace,
    third: Namespace,
    devices: Option<[Arc<SyncDevice>; 2]>,
}

/// The two TUN devices, in a named namespace or the caller's.
pub(crate) fn open_devices(namespace: Option<&str>) -> [Arc<SyncDevice>; 2] {
    ["lak-in", "lak-out"].map(|name| {
        let end = match namespace {
            Some(namespace) => format!("{name}@{namespace}"),
            None => name.to_owned(),
        };
        Arc::new(device::open(&end.parse::<End>().unwrap()).unwrap())
    })
}

impl Gateway {
    pub(crate) fn new(test: &str) -> Self {
        let [client, gateway, server, third] =
            ["c", "g", "s", "t"].map(|role| Namespace::new(&format!("{test}{role}")));
        let links = [("in0", &client), ("out0", &server), ("third0", &third)];
        for (name, host) in links {
            ip(&format!(
                "link add name {name} netns {} type veth peer name eth0 netns {}",
                gateway.0, host.0
            ));
            ip(&format!("-n {} link set {name} up", gateway.0));
            ip(&format!("-n {} link set eth0 up", host.0));
        }
        for family in FAMILIES {
            let links = [
                ("in0", family.gateway_inner, &client, family.client),
                ("out0", family.gateway_outer, &server, family.server),
                ("third0", family.gateway_third, &third, family.third),
            ];
            let (prefix, nodad) = (
                family.prefix,
                if family.prefix == 64 { "nodad" } else { "" },
            );
            for (name, router, host, address) in links {
                ip(&format!(
                    "-n {} addr add {router}/{prefix} dev {name} {nodad}",
                    gateway.0
                ));
                ip(&format!(
                    "-n {} addr add {address}/{prefix} dev eth0 {nodad}",
                    host.0
                ));
                ip(&format!("-n {} route add default via {router}", host.0));
            }
        }
        let mut world = Self {
            client,
            gateway,
            server,
            third,
            devices: None,
        };
        world.set("ipv4/ip_forward", "1");
        world.set("ipv6/conf/all/forwarding", "1");
        world.devices = Some(open_devices(Some(&world.gateway.0)));
        world
    }

    pub(crate) fn devices(&self) -> [Arc<SyncDevice>; 2] {
        self.devices.clone().unwrap()
    }

    /// Closes the TUN devices and waits until they are gone: a child that another test is just
    /// starting holds them open until its program is loaded.
    pub(crate) fn close_devices(&mut self) {
        self.devices = None;
        let clock = Clock::start();
        while ["lak-in", "lak-out"].iter().any(|name| self.has_link(name)) {
            assert!(clock.now() < PATIENCE, "the devices stay");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn has_link(&self, name: &str) -> bool {
        Command::new("ip")
            .args(["-n", &self.gateway.0, "link", "show", name])
            .output()
            .unwrap()
            .status
            .success()
    }

    pub(crate) fn name(&self, site: Site) -> &str {
        match site {
            Site::Client => &self.client.0,
            Site::Gateway => &self.gateway.0,
            Site::Server => &self.server.0,
            Site::Third => &self.third.0,
        }
    }

    /// Works in the gateway.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        netns::within(&self.gateway.0, work).unwrap()
    }

    pub(crate) fn ip(&self, args: &str) -> String {
        ip(&format!("-n {} {args}", self.gateway.0))
    }

    pub(crate) fn set(&self, path: &str, value: &str) {
        self.within(|| fs::write(Path::new("/proc/sys/net").join(path), value).unwrap());
    }

    pub(crate) fn setting(&self, path: &str) -> String {
        let text = self.within(|| fs::read_to_string(Path::new("/proc/sys/net").join(path)));
        text.unwrap().trim_end().to_owned()
    }

    /// All rules, routes, addresses and interface settings of the gateway.
    pub(crate) fn dump(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for what in [
            "rule",
            "-6 rule",
            "-4 route show table all",
            "-6 route show table all",
        ] {
            let text = self.ip(what);
            lines.extend(
                text.lines()
                    .map(|line| format!("{what}: {}", line.trim_end())),
            );
        }
        let text = self.ip("-4 -o addr");
        lines.extend(text.lines().map(|line| format!("addr: {line}")));
        // Link-local addresses come when the kernel has made sure of them.
        lines.retain(|line| !(line.contains("fe80:") || line.contains("ff00:")));
        lines.extend(self.within(|| {
            let mut settings = Vec::new();
            for family in ["ipv4", "ipv6"] {
                for directory in fs::read_dir(format!("/proc/sys/net/{family}/conf")).unwrap() {
                    for file in fs::read_dir(directory.unwrap().path()).unwrap() {
                        let path = file.unwrap().path();
                        let value = fs::read_to_string(&path).unwrap_or_default();
                        settings.push(format!("{}: {}", path.display(), value.trim_end()));
                    }
                }
            }
            settings
        }));
        lines
    }

    /// Moves the inner addresses to a new interface `in0.5` on top of `in0`, and likewise at the
    /// client for a VLAN; returns whether the kernel can.
    pub(crate) fn put_on_top(&self, kind: &str) -> bool {
        let vlan = kind.starts_with("vlan");
        // Or the lower interface answers for the address as well, and gets the packets.
        self.set("ipv4/conf/in0/arp_ignore", "1");
        let ends = [(&self.gateway, "in0", true), (&self.client, "eth0", false)];
        for (namespace, lower, router) in ends {
            if !(vlan || router) {
                continue;
            }
            let n = &namespace.0;
            let made = Command::new("ip")
                .args(["-n", n, "link", "add", "link", lower, "name"])
                .arg(format!("{lower}.5"))
                .arg("type")
                .args(kind.split_whitespace())
                .output()
                .unwrap();
            if !made.status.success() {
                return false;
            }
            ip(&format!("-n {n} addr flush dev {lower} scope global"));
            ip(&format!("-n {n} link set {lower}.5 up"));
            for family in FAMILIES {
                let address = if router {
                    family.gateway_inner
                } else {
                    family.client
                };
                let (prefix, nodad) = (
                    family.prefix,
                    if family.prefix == 64 { "nodad" } else { "" },
                );
                ip(&format!(
                    "-n {n} addr add {address}/{prefix} dev {lower}.5 {nodad}"
                ));
                if !router {
                    ip(&format!(
                        "-n {n} route replace default via {}",
                        family.gateway_inner
                    ));
                }
            }
        }
        true
    }

    /// Sends octets from the client to a server and has them back.
    pub(crate) fn echo_by_tcp(&self, address: &str, octets: usize) {
        let connection = self.open_between(Site::Client, Site::Server, address);
        connection.exchange(octets);
    }

    pub(crate) fn echo_by_tcp_between(&self, from: Site, to: Site, address: &str) {
        self.open_between(from, to, address).exchange(100_000);
    }

    pub(crate) fn open_echo(&self, address: &str) -> Connection {
        self.open_between(Site::Client, Site::Server, address)
    }

    fn open_between(&self, from: Site, to: Site, address: &str) -> Connection {
        let any = (address.parse::<IpAddr>().unwrap(), 0);
        let listener = netns::within(self.name(to), || TcpListener::bind(any))
            .unwrap()
            .unwrap();
        let address = listener.local_addr().unwrap();
        let near = netns::within(self.name(from), || {
            TcpStream::connect_timeout(&address, PATIENCE)
        })
        .unwrap()
        .unwrap();
        let (far, _) = listener.accept().unwrap();
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
        }
        Connection { near, far }
    }

    pub(crate) fn echo_by_udp(&self, address: &str) {
        let any = (address.parse::<IpAddr>().unwrap(), 0);
        let far = netns::within(&self.server.0, || UdpSocket::bind(any));
        let far = far.unwrap().unwrap();
        let wildcard = match any.0 {
            IpAddr::V4(_) => "0.0.0.0:0",
            IpAddr::V6(_) => "[::]:0",
        };
        let near = netns::within(&self.client.0, || UdpSocket::bind(wildcard));
        let near = near.unwrap().unwrap();
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        near.send_to(b"echo", far.local_addr().unwrap()).unwrap();
        let mut datagram = [0; 64];
        let (len, from) = far.recv_from(&mut datagram).unwrap();
        far.send_to(&datagram[..len], from).unwrap();
        let (len, _) = near.recv_from(&mut datagram).unwrap();
        assert_eq!(&datagram[..len], b"echo");
    }

    /// Sends an echo request from the client and waits for the reply.
    pub(crate) fn ping(&self, address: &str) {
        let address: IpAddr = address.parse().unwrap();
        let (family, protocol, request, reply) = match address {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, 8, 0),
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, 128, 129),
        };
        let socket = netns::within(&self.client.0, || {
            socket(family, SockType::Raw, SockFlag::SOCK_NONBLOCK, protocol)
        })
        .unwrap()
        .unwrap();
        // Type, code, checksum, identifier "la", sequence number "ck"; the kernel fills in
        // ICMPv6's checksum.
        let mut echo = [request, 0, 0, 0, b'l', b'a', b'c', b'k'];
        if address.is_ipv4() {
            let sum: u32 = echo
                .chunks(2)
                .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
                .sum();
            let folded = (sum & 0xffff) + (sum >> 16);
            echo[2..4].copy_from_slice(&(!u16::try_from(folded).unwrap()).to_be_bytes());
        }
        let target = SockaddrStorage::from(SocketAddr::from((address, 0)));
        sendto(socket.as_raw_fd(), &echo, &target, MsgFlags::empty()).unwrap();
        let mut packet = [0; 256];
        loop {
            assert!(readable(&socket, 30_000), "no reply from {address}");
            let len = recv(socket.as_raw_fd(), &mut packet, MsgFlags::empty()).unwrap();
            let message = match address {
                IpAddr::V4(_) => &packet[20..len],
                IpAddr::V6(_) => &packet[..len],
            };
            if message[0] == reply && message.ends_with(b"lack") {
                return;
            }
        }
    }

    /// Listens for the TTLs or hop limits of TCP from the client that arrive at the server.
    pub(crate) fn server_sees(&self, family: Family) -> Sniffer {
        let socket = netns::within(&self.server.0, || {
            socket(
                AddressFamily::Packet,
                SockType::Datagram,
                SockFlag::SOCK_NONBLOCK,
                SockProtocol::EthAll,
            )
        })
        .unwrap()
        .unwrap();
        let client: IpAddr = family.client.parse().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let reader = thread::spawn(move || {
            let mut seen = BTreeSet::new();
            let mut packet = [0; 65_536];
            while !end.load(Ordering::Relaxed) {
                while readable(&socket, GLANCE) {
                    let len = recv(socket.as_raw_fd(), &mut packet, MsgFlags::empty()).unwrap();
                    let packet = &packet[..len];
                    let from_client = match client {
                        IpAddr::V4(client) => packet.get(12..16) == Some(&client.octets()),
                        IpAddr::V6(client) => packet.get(8..24) == Some(&client.octets()),
                    };
                    if from_client && protocol(packet) == Some(6) {
                        seen.insert(packet[if client.is_ipv4() { 8 } else { 7 }]);
                    }
                }
            }
            seen.into_iter().collect()
        });
        Sniffer { ended, reader }
    }
}

/// Asserts that two dumps are equal, and shows only what differs.
pub(crate) fn assert_same(before: &BTreeSet<String>, after: &BTreeSet<String>) {
    let only = |these: &BTreeSet<String>, those| these.difference(those).cloned().collect();
    let (gone, new): (Vec<_>, Vec<_>) = (only(before, after), only(after, before));
    assert!(
        gone.is_empty() && new.is_empty(),
        "gone: {gone:#?}, new: {new:#?}"
    );
}

pub(crate) struct Sniffer {
    ended: Arc<AtomicBool>,
    reader: JoinHandle<Vec<u8>>,
}

impl Sniffer {
    pub(crate) fn stop(self) -> Vec<u8> {
        self.ended.store(true, Ordering::Relaxed);
        self.reader.join().unwrap()
    }
}

/// Both ends of an open TCP connection.
pub(crate) struct Connection {
    near: TcpStream,
    far: TcpStream,
}

impl Connection {
    /// The client's and the server's end.
    pub(crate) fn ends(&self) -> [&TcpStream; 2] {
        [&self.near, &self.far]
    }

    /// Sends octets from the near end to the far one and back.
    pub(crate) fn exchange(&self, octets: usize) {
        let content: Vec<u8> = (0..octets).map(|n| (n % 251).try_into().unwrap()).collect();
        let mut echo = vec![0; octets];
        for (mut from, mut to) in [(&self.near, &self.far), (&self.far, &self.near)] {
            thread::scope(|scope| {
                scope.spawn(|| from.write_all(&content).unwrap());
                to.read_exact(&mut echo).unwrap();
            });
            assert!(echo == content);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Outward,
    Inward,
}

/// Packets that the forwarder has carried, outward and inward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) tcp: [usize; 2],
    pub(crate) udp: [usize; 2],
    pub(crate) icmp: [usize; 2],
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        let less = |now: [usize; 2], then: [usize; 2]| [now[0] - then[0], now[1] - then[1]];
        Self {
            tcp: less(self.tcp, before.tcp),
            udp: less(self.udp, before.udp),
            icmp: less(self.icmp, before.icmp),
        }
    }
}

/// Copies packets from each of two devices to the other.
pub(crate) struct Forwarder {
    ended: Arc<AtomicBool>,
    counts: Arc<Mutex<Counts>>,
    longest: Arc<[AtomicUsize; 2]>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Forwarder {
    pub(crate) fn start([inner, outer]: [Arc<SyncDevice>; 2]) -> Self {
        let forwarder = Self {
            ended: Arc::default(),
            counts: Arc::default(),
            longest: Arc::default(),
            threads: Mutex::default(),
        };
        let ways = [
            (Way::Outward, Arc::clone(&inner), Arc::clone(&outer)),
            (Way::Inward, outer, inner),
        ];
        for (way, from, to) in ways {
            let ended = Arc::clone(&forwarder.ended);
            let counts = Arc::clone(&forwarder.counts);
            let longest = Arc::clone(&forwarder.longest);
            let thread = thread::spawn(move || {
                let mut packet = vec![0; 65_536];
                while !ended.load(Ordering::Relaxed) {
                    if !readable(from.as_ref(), GLANCE) {
                        continue;
                    }
                    while let Ok(len) = from.recv(&mut packet) {
                        let packet = &packet[..len];
                        let mut counts = counts.lock().unwrap();
                        let count = match protocol(packet) {
                            Some(6) => &mut counts.tcp,
                            Some(17) => &mut counts.udp,
                            Some(1) => &mut counts.icmp,
                            Some(58) if matches!(packet[40], 128 | 129) => &mut counts.icmp,
                            // The kernel's own multicast reports, for example.
                            _ => continue,
                        };
                        count[way as usize] += 1;
                        drop(counts);
                        longest[way as usize].fetch_max(len, Ordering::Relaxed);
                        let _ = to.send(packet);
                    }
                }
            });
            forwarder.threads.lock().unwrap().push(thread);
        }
        forwarder
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap()
    }

    /// The longest packet that went that way, in octets.
    pub(crate) fn longest(&self, way: Way) -> usize {
        self.longest[way as usize].load(Ordering::Relaxed)
    }

    /// Carries no more packets.
    pub(crate) fn stop(&self) -> Counts {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.lock().unwrap().drain(..) {
            thread.join().unwrap();
        }
        self.counts()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop();
    }
}

fn protocol(packet: &[u8]) -> Option<u8> {
    match packet.first()? >> 4 {
        4 => packet.get(9).copied(),
        6 => packet.get(6).copied(),
        _ => None,
    }
}

fn readable(file: &impl AsFd, milliseconds: u16) -> bool {
    let mut wanted = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    poll(&mut wanted, PollTimeout::from(milliseconds)).is_ok_and(|ready| ready > 0)
}
