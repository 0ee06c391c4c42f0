//! Frame for frame: a TAP device that a test holds stands for a virtual machine's, another for the way out.

use core::net::IpAddr;
use core::time::Duration;
use std::os::fd::AsFd;

use localack_core::SeqNum;
use localack_core::wire::checksum::verify;
use localack_core::wire::{self, Flags, HeaderSpec, Parsed, Segment, Sum};
use localack_tun::clock::Clock;
use localack_tun::device;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::{read, write};
use tun_rs::SyncDevice;

use super::{SETTINGS, config, number};
use crate::common::{Namespace, ip, privileged};
use crate::gateway::PATIENCE;
use crate::program::Running;

const GUEST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MOVED: [u8; 6] = [2, 0, 0, 0, 0, 2];
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 9];
const EVERYBODY: [u8; 6] = [0xff; 6];

/// Octets of what the kernel says before a frame.
const ACCOUNT: usize = 10;

/// The other end of a TAP device.
struct Plug(SyncDevice);

impl Plug {
    fn new(name: &str, host: &str, mtu: u32) -> Self {
        let end = format!("{name}@{host}").parse().unwrap();
        let mut queues = device::open_tap_queues(&end, 1).unwrap();
        ip(&format!("-n {host} link set {name} mtu {mtu} master br0"));
        ip(&format!("-n {host} link set {name} up"));
        Self(queues.remove(0))
    }

    fn send(&self, frame: &[u8]) {
        self.send_with([0; ACCOUNT], frame);
    }

    fn send_with(&self, account: [u8; ACCOUNT], frame: &[u8]) {
        let octets = [&account, frame].concat();
        assert_eq!(write(&self.0, &octets), Ok(octets.len()));
    }

    /// The next frame, and what the kernel says of it; `None` if none comes.
    fn next(&self, patience: Duration) -> Option<([u8; ACCOUNT], Vec<u8>)> {
        let clock = Clock::start();
        let mut room = vec![0; 70_000];
        loop {
            let left = patience.checked_sub(clock.now())?;
            let wait = PollTimeout::try_from(left).unwrap();
            let mut wanted = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            poll(&mut wanted, wait).unwrap();
            if let Ok(octets) = read(&self.0, &mut room) {
                let (account, frame) = room[..octets].split_at(ACCOUNT);
                return Some((account.try_into().unwrap(), frame.to_vec()));
            }
        }
    }

    fn expect(&self) -> Vec<u8> {
        self.next(PATIENCE).expect("a frame").1
    }

    fn expect_silence(&self) {
        let frame = self.next(Duration::from_millis(300));
        assert_eq!(frame, None, "nothing was to come");
    }
}

/// A host whose bridge has a guest and a way out, both in the hands of the test.
fn place(test: &str, mtu: u32) -> (Namespace, [Plug; 2]) {
    let host = Namespace::new(&format!("{test}h"));
    let h = &host.0;
    localack_tun::netns::within(h, || {
        // The host has nothing to say of its own.
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        // And its bridges have no packet filter, which would drop broken IP and put fragments together.
        for kind in ["iptables", "ip6tables", "arptables"] {
            let path = format!("/proc/sys/net/bridge/bridge-nf-call-{kind}");
            if std::path::Path::new(&path).exists() {
                std::fs::write(path, "0").unwrap();
            }
        }
    })
    .unwrap();
    ip(&format!(
        "-n {h} link add name br0 type bridge group_fwd_mask 16384 mcast_snooping 0"
    ));
    ip(&format!("-n {h} link set br0 up"));
    let plugs = ["vnet0", "up0"].map(|name| Plug::new(name, h, mtu));
    (host, plugs)
}

fn frame(to: [u8; 6], from: [u8; 6], words: &[u16], content: &[u8]) -> Vec<u8> {
    let words = words.iter().flat_map(|word| word.to_be_bytes());
    let lead = to.into_iter().chain(from).chain(words);
    lead.chain(content.iter().copied()).collect()
}

struct Tcp {
    seq: u32,
    ack: u32,
    flags: Flags,
    /// Whether the guest is the source.
    outward: bool,
    payload: &'static [u8],
}

/// A packet of the connection between guest and server, IPv4 or IPv6.
fn packet(v6: bool, tcp: &Tcp) -> Vec<u8> {
    let ends: [IpAddr; 2] = if v6 {
        ["2001:db8::1", "2001:db8:1::1"].map(|address| address.parse().unwrap())
    } else {
        [[192, 0, 2, 1].into(), [198, 51, 100, 1].into()]
    };
    let (mut ends, mut ports) = (ends, [40_000, 443]);
    if !tcp.outward {
        ends.reverse();
        ports.reverse();
    }
    let spec = HeaderSpec {
        src: ends[0],
        dst: ends[1],
        src_port: ports[0],
        dst_port: ports[1],
        seq: SeqNum::new(tcp.seq),
        ack: SeqNum::new(tcp.ack),
        flags: tcp.flags,
        window: 60_000,
        urgent: 0,
        timestamps: None,
        sack: &[],
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        dont_fragment: true,
    };
    let mut sum = Sum::new();
    sum.add_bytes(tcp.payload);
    let length = u32::try_from(tcp.payload.len()).unwrap();
    let header = wire::emit(&spec, length, sum).expect("one IP version");
    [header.as_slice(), tcp.payload].concat()
}

/// The segment in a frame, behind so many octets.
fn segment(frame: &[u8], lead: usize) -> Segment {
    let Parsed::Tcp(seg) = wire::parse(&frame[lead..]) else {
        panic!("no TCP: {frame:x?}");
    };
    assert!(verify(&frame[lead..], &seg), "its checksum is wrong");
    seg
}

#[test]
fn what_is_no_served_tcp_passes_bit_for_bit_both_ways() {
    if !privileged() {
        return;
    }
    let (host, [guest, out]) = place("frames", 9000);
    let config = config("frames", SETTINGS);
    let run = Running::start_in(&host.0, "frames", &config, "--inner-port vnet0");
    let data = Tcp {
        seq: 1,
        ack: 1,
        flags: Flags::ACK,
        outward: true,
        payload: b"of a connection whose beginning nobody saw",
    };
    let mut fragment = packet(false, &data);
    fragment[6] = 0x20;
    let mut short = packet(
        false,
        &Tcp {
            payload: b"",
            ..data
        },
    );
    short.resize(46, 0xee);
    let lldp = [1, 0x80, 0xc2, 0, 0, 0x0e];
    let group = [0x33, 0x33, 0, 0, 0, 0x16];
    let (data4, data6) = (packet(false, &data), packet(true, &data));
    let ways = [(&guest, &out, ROUTER, GUEST), (&out, &guest, GUEST, ROUTER)];
    for (from, to, there, here) in ways {
        let frames = [
            frame(EVERYBODY, here, &[0x0806], &[0x11; 46]),
            frame(EVERYBODY, here, &[0x8100, 0x6005, 0x0806], &[0x12; 46]),
            frame(there, here, &[0x88a8, 7, 0x8100, 5, 0x0806], &[0x13; 46]),
            frame(lldp, here, &[0x88cc], &[0x14; 60]),
            frame(group, here, &[0x86dd], &[0x60; 60]),
            frame(there, here, &[0x88b5], &[0x15; 46]),
            frame(there, here, &[40], &[0x16; 46]),
            frame(there, here, &[0x0800], &[0x17; 8000]),
            frame(there, here, &[0x0800], &data4),
            frame(there, here, &[0x8100, 5, 0x0800], &data4),
            frame(there, here, &[0x88a8, 7, 0x8100, 5, 0x86dd], &data6),
            frame(there, here, &[0x0800], &fragment),
            frame(there, here, &[0x0800], &short),
            frame([1, 0, 0x5e, 1, 2, 3], here, &[0x0800], &data4),
        ];
        for frame in frames {
            from.send(&frame);
            let got = to.next(PATIENCE).map(|(_, frame)| frame);
            assert_eq!(got.as_ref(), Some(&frame));
        }
    }
    guest.expect_silence();
    out.expect_silence();
    run.signal(Signal::SIGTERM);
    let log = run.ended(0);
    assert_eq!(number(&log, "device_refused"), 0, "{log}");
    assert_eq!(number(&log, "connections"), 0, "{log}");
}

#[test]
fn what_is_to_be_cut_later_passes_whole_both_ways() {
    if !privileged() {
        return;
    }
    let (host, [guest, out]) = place("whole", 1500);
    let config = config("whole", SETTINGS);
    let run = Running::start_in(&host.0, "whole", &config, "--inner-port vnet0");
    let content: &[u8] = &[0x5a; 20_000];
    let tcp = Tcp {
        seq: 1,
        ack: 1,
        flags: Flags::ACK,
        outward: true,
        payload: Box::leak(content.into()),
    };
    for v6 in [false, true] {
        let inside = packet(v6, &tcp);
        let sent = frame(
            ROUTER,
            GUEST,
            &[0x8100, 5, if v6 { 0x86dd } else { 0x0800 }],
            &inside,
        );
        // To be checksummed and cut: TCP, headers, size of a segment, where the sum begins and goes.
        let ip: u16 = if v6 { 40 } else { 20 };
        let mut account = vec![1, if v6 { 4 } else { 1 }];
        for word in [18 + ip + 20, 1440, 18 + ip, 16] {
            account.extend(word.to_ne_bytes());
        }
        guest.send_with(account.as_slice().try_into().unwrap(), &sent);
        let (said, got) = out.next(PATIENCE).expect("a frame");
        assert_eq!(got.len(), sent.len(), "in one piece");
        assert_eq!(said[..2], account[..2]);
        assert_eq!(said[4..], account[4..]);
        assert!(got == sent);
    }
    // UDP in segments of 1000 octets.
    let mut udp = packet(false, &tcp)[..20].to_vec();
    udp[9] = 17;
    let length = u16::try_from(20 + 8 + 5000).unwrap();
    udp[2..4].copy_from_slice(&length.to_be_bytes());
    udp[10..12].fill(0);
    let sum = wire::checksum::ipv4_header_checksum(&udp);
    udp[10..12].copy_from_slice(&sum.to_be_bytes());
    for word in [4000, 53, 5008, 0_u16] {
        udp.extend(word.to_be_bytes());
    }
    udp.resize(usize::from(length), 0xa5);
    let sent = frame(GUEST, ROUTER, &[0x0800], &udp);
    let mut account = vec![1, 5];
    for word in [14 + 28, 1000, 14 + 20, 6_u16] {
        account.extend(word.to_ne_bytes());
    }
    out.send_with(account.as_slice().try_into().unwrap(), &sent);
    let (said, got) = guest.next(PATIENCE).expect("a frame");
    assert_eq!((&said[..2], &said[4..]), (&account[..2], &account[4..]));
    assert!(got == sent);
    run.signal(Signal::SIGTERM);
    run.ended(0);
}

#[test]
fn what_the_engine_makes_has_the_addresses_and_vlans_of_its_connection() {
    if privileged() {
        serve(false);
        serve(true);
    }
}

/// A served connection in a VLAN, whose guest moves to another address.
fn serve(v6: bool) {
    let test = if v6 { "made6" } else { "made4" };
    let (host, [guest, out]) = place(test, 1500);
    let config = config(test, SETTINGS);
    let run = Running::start_in(&host.0, test, &config, "--inner-port vnet0");
    let kind = if v6 { 0x86dd } else { 0x0800 };
    // The way back has another priority than the way there.
    let (there, back) = ([0x8100, 0x2005, kind], [0x8100, 0x6005, kind]);
    let send = |outward: bool, mac: [u8; 6], seq, ack, flags, payload| {
        let tcp = Tcp {
            seq,
            ack,
            flags,
            outward,
            payload,
        };
        let inside = packet(v6, &tcp);
        if outward {
            guest.send(&frame(ROUTER, mac, &there, &inside));
        } else {
            out.send(&frame(mac, ROUTER, &back, &inside));
        }
    };
    let syn_ack = Flags::SYN.union(Flags::ACK);
    send(true, GUEST, 1000, 0, Flags::SYN, b"");
    assert_eq!(segment(&out.expect(), 18).seq, SeqNum::new(1000));
    send(false, GUEST, 5000, 1001, syn_ack, b"");
    assert_eq!(segment(&guest.expect(), 18).seq, SeqNum::new(5000));
    send(true, GUEST, 1001, 5001, Flags::ACK, b"");
    out.expect();
    // The receiver proves that it is there; from then on the engine answers.
    send(true, GUEST, 1001, 5001, Flags::ACK, b"proof");
    assert_eq!(segment(&out.expect(), 18).seq, SeqNum::new(1001));
    send(false, GUEST, 5001, 1006, Flags::ACK, b"");
    assert_eq!(segment(&guest.expect(), 18).ack, SeqNum::new(1006));
    let answered = |mac, to: u32| {
        let frame = guest.expect();
        assert_eq!(
            frame[..18],
            self::frame(mac, ROUTER, &back, b""),
            "what it has before it"
        );
        let seg = segment(&frame, 18);
        assert_eq!((seg.ack, seg.payload_len), (SeqNum::new(to), 0));
    };
    send(true, GUEST, 1006, 5001, Flags::ACK, b"early");
    answered(GUEST, 1011);
    let sent = out.expect();
    assert_eq!(sent[..18], frame(ROUTER, GUEST, &there, b""));
    assert_eq!(segment(&sent, 18).seq, SeqNum::new(1006));

    // The guest has another address. Its first frame from there teaches the engine.
    send(true, MOVED, 1011, 5001, Flags::ACK, b"moved");
    guest.next(PATIENCE).expect("an answer");
    send(true, MOVED, 1016, 5001, Flags::ACK, b"again");
    answered(MOVED, 1021);
    // Nothing was acknowledged by the receiver, so the engine sends again, as from there.
    let clock = Clock::start();
    loop {
        let sent = out.next(PATIENCE).expect("a retransmission").1;
        let seg = segment(&sent, 18);
        if seg.seq == SeqNum::new(1006) {
            assert_eq!(sent[..18], frame(ROUTER, MOVED, &there, b""));
            break;
        }
        assert!(clock.now() < PATIENCE);
    }
    // Another VLAN is another connection, which the engine knows nothing of.
    let stranger = Tcp {
        seq: 1021,
        ack: 5001,
        flags: Flags::ACK,
        outward: true,
        payload: b"other",
    };
    guest.send(&frame(
        ROUTER,
        MOVED,
        &[0x8100, 6, kind],
        &packet(v6, &stranger),
    ));
    let clock = Clock::start();
    loop {
        let got = out.next(PATIENCE).expect("the frame").1;
        if got[14..16] == [0, 6] {
            assert_eq!(segment(&got, 18).seq, SeqNum::new(1021));
            break;
        }
        assert!(clock.now() < PATIENCE);
    }
    guest.expect_silence();
    send(false, MOVED, 5001, 1021, Flags::ACK, b"");
    run.signal(Signal::SIGTERM);
    let log = run.ended(0);
    assert_eq!(number(&log, "connections"), 1, "{log}");
    assert_eq!(number(&log, "octets_lost"), 0, "{log}");
    assert_eq!(number(&log, "device_refused"), 0, "{log}");
}
