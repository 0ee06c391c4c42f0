//! What TCP can negotiate, be told, or do without.

use core::net::{IpAddr, SocketAddr};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send as send_with, setsockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::common::privileged;
use crate::content::{receive_at_most, send};
use crate::gateway::Site;
use crate::world::{BOTH_WAYS, World, carry, carry_both_ways, number, patient};

const BAD_LINK: &str = "--delay 15ms --rate 100mbit --queue 2mib --loss 1%";

#[test]
fn without_timestamps_sacks_or_window_scaling() {
    if !privileged() {
        return;
    }
    let world = World::over("bare", BAD_LINK, BOTH_WAYS);
    for site in [Site::Client, Site::Server] {
        for option in ["tcp_timestamps", "tcp_sack", "tcp_window_scaling"] {
            world.set(site, &format!("ipv4/{option}"), "0");
            thread::scope(|scope| {
                for connection in world.servers.map(|server| world.connect(server)) {
                    scope.spawn(move || carry_both_ways(&connection, 300_000));
                }
            });
            world.set(site, &format!("ipv4/{option}"), "1");
        }
    }
    // And with none of them.
    for option in ["tcp_timestamps", "tcp_sack", "tcp_window_scaling"] {
        world.set(Site::Client, &format!("ipv4/{option}"), "0");
    }
    for server in world.servers {
        carry_both_ways(&world.connect(server), 200_000);
    }
    assert_eq!(world.counter("engine", "flows-adopted"), 14);
}

/// One of the counters that a site's kernel keeps in /proc/net/netstat or, for IPv6, snmp6.
fn kernel_counter(world: &World, site: Site, name: &str) -> u64 {
    // Of the thread: the process is in another namespace.
    let read = |file| {
        let path = Path::new("/proc/thread-self/net").join(file);
        world.at(site, move || fs::read_to_string(path)).unwrap()
    };
    let (v4, v6) = (read("netstat"), read("snmp6"));
    let lines: Vec<_> = v4.lines().collect();
    let pairs = lines
        .chunks_exact(2)
        .flat_map(|pair| pair[0].split(' ').zip(pair[1].split(' ')))
        .chain(
            v6.lines()
                .filter_map(|line| line.split_once(char::is_whitespace)),
        );
    let mut found = pairs.filter(|(key, _)| *key == name);
    let (_, value) = found.next().unwrap_or_else(|| panic!("no {name}"));
    value.trim().parse().unwrap()
}

#[test]
fn with_classic_ecn_and_with_accurate_ecn() {
    if !privileged() {
        return;
    }
    let world = World::over("ecn", BAD_LINK, BOTH_WAYS);
    for site in [Site::Client, Site::Server] {
        world.set(site, "ipv4/tcp_ecn", "1");
    }
    for server in world.servers {
        carry_both_ways(&world.connect(server), 500_000);
    }
    // Marked as able to tell congestion, by the engine and by the kernel.
    for site in [Site::Client, Site::Server] {
        for name in ["InECT0Pkts", "Ip6InECT0Pkts"] {
            assert!(kernel_counter(&world, site, name) > 20, "{name}");
        }
    }
    assert_eq!(world.counter("engine", "flows-adopted"), 2);

    let accurate = |site| {
        let set = || fs::write("/proc/sys/net/ipv4/tcp_ecn", "3");
        world.at(site, set)
    };
    if let Err(error) = accurate(Site::Client).and(accurate(Site::Server)) {
        eprintln!("skipped: this kernel has no accurate ECN: {error}");
        return;
    }
    for server in world.servers {
        carry_both_ways(&world.connect(server), 100_000);
    }
    assert!(world.counter("pass", "accurate-ecn") > 0);
    assert_eq!(world.counter("engine", "flows-adopted"), 2);
}

#[test]
fn with_an_urgent_octet() {
    if !privileged() {
        return;
    }
    let world = World::new("urgent", BOTH_WAYS);
    for server in world.servers {
        let connection = world.connect(server);
        for (from, to) in [(0, 1), (1, 0)] {
            let (mut from, mut to) = (&connection[from], &connection[to]);
            send(from, 7, 50_000).unwrap();
            receive_at_most(to, 50_000).is_whole(7, 50_000);
            from.write_all(b"before").unwrap();
            send_with(from.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
            from.write_all(b"after").unwrap();
            let mut text = [0; 6];
            to.read_exact(&mut text).unwrap();
            assert_eq!(&text, b"before");
            // Out of band: not part of the stream.
            let mut urgent = [0; 1];
            crate::world::until("the urgent octet", || {
                match recv(to.as_raw_fd(), &mut urgent, MsgFlags::MSG_OOB) {
                    Ok(some) => some == 1,
                    Err(Errno::EINVAL | Errno::EAGAIN) => false,
                    Err(error) => panic!("{error}"),
                }
            });
            assert_eq!(&urgent, b"!");
            let mut text = [0; 5];
            to.read_exact(&mut text).unwrap();
            assert_eq!(&text, b"after");
        }
        carry_both_ways(&connection, 300_000);
    }
}

#[test]
fn with_data_on_the_first_packet() {
    if !privileged() {
        return;
    }
    let world = World::over("tfo", "--delay 15ms", BOTH_WAYS);
    // The client sends data with its SYN, the server takes it, without cookies: a round trip less.
    world.set(Site::Client, "ipv4/tcp_fastopen", "5");
    world.set(Site::Server, "ipv4/tcp_fastopen", "1538");
    for server in world.servers {
        let listener = world.listen(server);
        let address = listener.local_addr().unwrap();
        let socket = world.socket(Site::Client, server);
        let open = 0x2000_0000;
        let number = number();
        let mut first = Vec::new();
        send(&mut first, number, 900).unwrap();
        let sent = socket
            .send_to_with_flags(&first, &address.into(), open)
            .unwrap();
        assert_eq!(sent, 900);
        let (far, _) = listener.accept().unwrap();
        let [near, far] = patient([socket.into(), far]);
        receive_at_most(&far, 900).is_whole(number, 900);
        carry(&near, &far, 500_000);
        carry(&far, &near, 500_000);
    }
    for (site, name) in [
        (Site::Client, "TCPFastOpenActive"),
        (Site::Server, "TCPFastOpenPassive"),
    ] {
        assert_eq!(kernel_counter(&world, site, name), 2, "{name}");
    }
    assert_eq!(world.counter("engine", "flows-adopted"), 2);
}

#[derive(Debug, Clone)]
struct Signature;

// The kernel's `struct tcp_md5sig`: an address, flags, lengths, and the key.
nix::setsockopt_impl!(
    Signature,
    libc::IPPROTO_TCP,
    libc::TCP_MD5SIG,
    [u8; 216],
    nix::sys::socket::sockopt::SetStruct<'_, [u8; 216]>
);

/// Signs what goes to and comes from `peer`; whether the kernel can.
fn sign(socket: &Socket, peer: IpAddr) -> bool {
    const KEY: &[u8] = b"between routers";
    let mut signature = [0; 216];
    match peer {
        IpAddr::V4(peer) => {
            signature[..2].copy_from_slice(&2_u16.to_ne_bytes());
            signature[4..8].copy_from_slice(&peer.octets());
        }
        IpAddr::V6(peer) => {
            signature[..2].copy_from_slice(&10_u16.to_ne_bytes());
            signature[8..24].copy_from_slice(&peer.octets());
        }
    }
    signature[130] = KEY.len() as u8;
    signature[136..136 + KEY.len()].copy_from_slice(KEY);
    match setsockopt(socket, Signature, &signature) {
        Ok(()) => true,
        Err(Errno::ENOPROTOOPT) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn signed_by_md5_they_pass_untouched() {
    if !privileged() {
        return;
    }
    let world = World::new("md5", BOTH_WAYS);
    for server in world.servers {
        let listening = world.socket(Site::Server, server);
        let socket = world.socket(Site::Client, server);
        if !(sign(&listening, world.client(server)) && sign(&socket, server)) {
            eprintln!("skipped: this kernel has no TCP_MD5SIG");
            return;
        }
        listening
            .bind(&SocketAddr::from((server, 0)).into())
            .unwrap();
        listening.listen(8).unwrap();
        let listener: TcpListener = listening.into();
        socket
            .connect(&listener.local_addr().unwrap().into())
            .unwrap();
        let (far, _) = listener.accept().unwrap();
        carry_both_ways(&patient([socket.into(), far]), 500_000);
    }
    // The SYNs; what follows is of connections that nobody knows.
    assert!(world.counter("pass", "authenticated") >= 2);
    assert_eq!(world.counter("engine", "flows-adopted"), 0);
    refused_for(&world, "authenticated");
}

/// Both connections stand in the list of those that were left alone, with their reason, and no other.
fn refused_for(world: &World, reason: &str) {
    use localack_tun::control::protocol::{Answer, Request};
    let Answer::Refused(list) = world.ask(Request::Refused) else {
        panic!("other than refusals");
    };
    assert!(list.refused.len() >= 2, "{list:?}");
    for refusal in list.refused {
        assert_eq!(refusal.reason.name, reason, "{refusal:?}");
    }
}

/// The two ends of a connection between sockets of multipath TCP; `None` if the kernel has none.
fn multipath(world: &World, server: IpAddr) -> Option<[TcpStream; 2]> {
    let make = |site| {
        let domain = if server.is_ipv4() {
            Domain::IPV4
        } else {
            Domain::IPV6
        };
        let make = || Socket::new(domain, Type::STREAM, Some(Protocol::MPTCP));
        match world.at(site, make) {
            Ok(socket) => Some(socket),
            Err(error) => {
                eprintln!("skipped: this kernel has no multipath TCP: {error}");
                None
            }
        }
    };
    let (listening, socket) = (make(Site::Server)?, make(Site::Client)?);
    listening
        .bind(&SocketAddr::from((server, 0)).into())
        .unwrap();
    listening.listen(8).unwrap();
    let listener: TcpListener = listening.into();
    socket
        .connect(&listener.local_addr().unwrap().into())
        .unwrap();
    let (far, _) = listener.accept().unwrap();
    Some(patient([socket.into(), far]))
}

#[test]
fn multipath_connections_pass_untouched() {
    if !privileged() {
        return;
    }
    let world = World::new("multipath", BOTH_WAYS);
    for server in world.servers {
        let Some(connection) = multipath(&world, server) else {
            return;
        };
        carry_both_ways(&connection, 500_000);
    }
    assert_eq!(world.counter("engine", "flows-adopted"), 0);
    assert!(world.counter("pass", "negotiated-option") > 0);
    refused_for(&world, "negotiated-option");
}
