//! Every link layer and tunnel that is decoded gives the same conversation.

mod common;

use common::*;

/// A link type and what puts a frame of it around an IP packet.
type Wrap = (&'static str, u32, fn(&[u8]) -> Vec<u8>);

fn ethertype(packet: &[u8]) -> u16 {
    if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 }
}

fn ppp_protocol(packet: &[u8]) -> u16 {
    if packet[0] >> 4 == 6 { 0x0057 } else { 0x0021 }
}

/// An Ethernet frame, padded to the least length.
fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    out.extend(ethertype.to_be_bytes());
    out.extend(payload);
    out.resize(out.len().max(60), 0xee);
    out
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn pppoe(packet: &[u8]) -> Vec<u8> {
    let length = packet.len() as u16 + 2;
    [
        words(&[0x1100, 77, length, ppp_protocol(packet)]),
        packet.to_vec(),
    ]
    .concat()
}

fn mpls(labels: &[u32], packet: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (n, label) in labels.iter().enumerate() {
        let bottom = u32::from(n + 1 == labels.len()) << 8;
        out.extend((label << 12 | bottom | 64).to_be_bytes());
    }
    out.extend(packet);
    out
}

fn family(packet: &[u8], six: u32) -> u32 {
    if packet[0] >> 4 == 6 { six } else { 2 }
}

const LINKS: &[Wrap] = &[
    ("Ethernet", 1, |packet| ethernet(ethertype(packet), packet)),
    ("Ethernet with a check sequence", 1, |packet| {
        [
            ethernet(ethertype(packet), packet),
            vec![0xde, 0xad, 0xbe, 0xef],
        ]
        .concat()
    }),
    ("VLAN", 1, |packet| {
        ethernet(
            0x8100,
            &[words(&[5, ethertype(packet)]), packet.to_vec()].concat(),
        )
    }),
    ("QinQ", 1, |packet| {
        ethernet(
            0x88a8,
            &[words(&[5, 0x8100, 6, ethertype(packet)]), packet.to_vec()].concat(),
        )
    }),
    ("old QinQ", 1, |packet| {
        ethernet(
            0x9100,
            &[words(&[5, 0x8100, 6, ethertype(packet)]), packet.to_vec()].concat(),
        )
    }),
    ("PPPoE", 1, |packet| ethernet(0x8864, &pppoe(packet))),
    ("VLAN and PPPoE", 1, |packet| {
        ethernet(0x8100, &[words(&[5, 0x8864]), pppoe(packet)].concat())
    }),
    ("MPLS", 1, |packet| {
        ethernet(0x8847, &mpls(&[17, 18, 19], packet))
    }),
    ("VLAN and MPLS", 1, |packet| {
        ethernet(0x8100, &[words(&[7, 0x8847]), mpls(&[99], packet)].concat())
    }),
    ("IEEE 802.2", 1, |packet| {
        let snap = [
            words(&[0xaaaa, 0x0300, 0, ethertype(packet)]),
            packet.to_vec(),
        ]
        .concat();
        ethernet(snap.len() as u16, &snap)
    }),
    ("SLL", 113, |packet| {
        [
            words(&[0, 1, 6, 2, 0, 1, 0, ethertype(packet)]),
            packet.to_vec(),
        ]
        .concat()
    }),
    ("SLL with a VLAN", 113, |packet| {
        [
            words(&[0, 1, 6, 2, 0, 1, 0, 0x8100, 9, ethertype(packet)]),
            packet.to_vec(),
        ]
        .concat()
    }),
    ("SLL2", 276, |packet| {
        [
            words(&[ethertype(packet), 0, 0, 3, 1, 6, 2, 0, 1, 0]),
            packet.to_vec(),
        ]
        .concat()
    }),
    ("raw", 101, |packet| packet.to_vec()),
    ("raw, BSD", 12, |packet| packet.to_vec()),
    ("raw, OpenBSD", 14, |packet| packet.to_vec()),
    ("loopback, little-endian", 0, |packet| {
        [family(packet, 30).to_le_bytes().to_vec(), packet.to_vec()].concat()
    }),
    ("loopback, big-endian", 0, |packet| {
        [family(packet, 24).to_be_bytes().to_vec(), packet.to_vec()].concat()
    }),
    ("loopback, OpenBSD", 108, |packet| {
        [family(packet, 24).to_be_bytes().to_vec(), packet.to_vec()].concat()
    }),
];

const HOSTS: ([u8; 4], [u8; 4]) = ([198, 51, 100, 1], [198, 51, 100, 2]);

fn outer(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ip(HOSTS.0.into(), HOSTS.1.into(), protocol, payload)
}

const TUNNELS: &[Wrap] = &[
    ("IP in IPv4", 101, |packet| {
        outer(if packet[0] >> 4 == 6 { 41 } else { 4 }, packet)
    }),
    ("GRE", 101, |packet| {
        outer(
            47,
            &[words(&[0, ethertype(packet)]), packet.to_vec()].concat(),
        )
    }),
    ("GRE with key and sequence", 101, |packet| {
        outer(
            47,
            &[
                words(&[0x3000, ethertype(packet), 0, 5, 0, 6]),
                packet.to_vec(),
            ]
            .concat(),
        )
    }),
    ("Ethernet in GRE", 101, |packet| {
        outer(
            47,
            &[words(&[0, 0x6558]), ethernet(ethertype(packet), packet)].concat(),
        )
    }),
    ("VXLAN", 101, |packet| {
        let vxlan = [
            words(&[0x0800, 0, 0, 0x500]),
            ethernet(ethertype(packet), packet),
        ]
        .concat();
        outer(17, &udp(50_000, 4789, &vxlan))
    }),
    ("Geneve with an option", 101, |packet| {
        let header = words(&[0x0200, 0x6558, 0, 0x500, 1, 0x0201, 0, 3]);
        let geneve = [header, ethernet(ethertype(packet), packet)].concat();
        outer(17, &udp(50_000, 6081, &geneve))
    }),
    ("GTP-U", 101, |packet| {
        let header = words(&[0x30ff, packet.len() as u16, 0, 9]);
        outer(17, &udp(2152, 2152, &[header, packet.to_vec()].concat()))
    }),
    ("GTP-U with an extension", 101, |packet| {
        let header = words(&[
            0x34ff,
            packet.len() as u16 + 8,
            0,
            9,
            1,
            0x0085,
            0x0110,
            0x0900,
        ]);
        outer(17, &udp(2152, 2152, &[header, packet.to_vec()].concat()))
    }),
];

fn check(wrap: &Wrap, connection: &Connection, adopted: bool) {
    let &(name, link, frame) = wrap;
    let frames: Vec<_> = (0_u64..)
        .zip(connection.exchange())
        .map(|(n, packet)| (n * 1_000_000, frame(&packet.ip())))
        .collect();
    let report = run(plain(link, &frames));
    assert_eq!(
        (
            report.input.packets,
            report.input.undecoded,
            report.input.truncated
        ),
        (10, 0, 0),
        "{name}"
    );
    assert_eq!(
        (report.tcp.packets, report.tcp.conversations),
        (10, 1),
        "{name}"
    );
    assert_eq!(
        (report.tcp.complete_handshakes, report.tcp.bad_checksums),
        (1, 0),
        "{name}"
    );
    let [flow] = &report.flows[..] else {
        panic!("{name}: {:?}", report.flows)
    };
    assert_eq!(
        (flow.adopted, flow.reason),
        (adopted, if adopted { None } else { Some("tunnel") }),
        "{name}"
    );
    assert_eq!(
        flow.client,
        core::net::SocketAddr::from(connection.client).to_string(),
        "{name}"
    );
    let [up, down] = flow.both();
    assert_eq!(
        (
            up.packets,
            up.payload_bytes,
            up.unique_payload_bytes,
            up.pure_acks
        ),
        (6, 1000, 1000, 3),
        "{name}"
    );
    assert_eq!(
        (
            down.packets,
            down.payload_bytes,
            down.unique_payload_bytes,
            down.pure_acks
        ),
        (4, 300, 300, 1),
        "{name}"
    );
}

#[test]
fn every_link_layer_gives_the_same_figures() {
    for wrap in LINKS {
        check(wrap, &Connection::v4(), true);
        check(wrap, &Connection::v6(), true);
    }
}

#[test]
fn connections_in_tunnels_are_counted_and_left_alone() {
    for wrap in TUNNELS {
        check(wrap, &Connection::v4(), false);
        check(wrap, &Connection::v6(), false);
    }
}

#[test]
fn what_is_not_decoded_is_counted_with_its_reason() {
    let packet = Connection::v4().up(0, 0, SYN, 0).ip();
    let frames = [
        (0, ethernet(0x0800, &packet)),
        (1, ethernet(0x0806, &[0; 28])),
        (2, ethernet(0x0800, &packet)[..10].to_vec()),
    ];
    let report = run(plain(1, &frames));
    assert_eq!(
        (
            report.input.packets,
            report.input.undecoded,
            report.tcp.packets
        ),
        (3, 2, 1)
    );
    assert_eq!(report.input.undecoded_reasons["not-ip"], 1);
    assert_eq!(report.input.undecoded_reasons["short-frame"], 1);
    assert!(!report.nothing_decoded());
    let report = run(plain(147, &frames));
    assert_eq!(report.input.undecoded_reasons["unknown-link-type"], 3);
    assert!(report.nothing_decoded());
    assert_eq!(report.input.link_types, ["LINKTYPE_147"]);
}

#[test]
fn different_vlans_are_different_links_to_the_engine_but_one_conversation() {
    let vlan =
        |id: u16, packet: &Tcp| ethernet(0x8100, &[words(&[id, 0x0800]), packet.ip()].concat());
    // A router on a stick: every packet is captured twice.
    let frames: Vec<_> = (0_u64..)
        .zip(Connection::v4().exchange())
        .flat_map(|(n, packet)| {
            [
                (n * 1000, vlan(10, &packet)),
                (n * 1000 + 1, vlan(20, &packet)),
            ]
        })
        .collect();
    let report = run(plain(1, &frames));
    assert_eq!((report.tcp.packets, report.tcp.conversations), (20, 1));
    let [up, down] = report.flows[0].both();
    assert_eq!((up.payload_bytes, up.unique_payload_bytes), (2000, 1000));
    assert_eq!((down.payload_bytes, down.unique_payload_bytes), (600, 300));
    assert!(report.flows[0].adopted);
}
