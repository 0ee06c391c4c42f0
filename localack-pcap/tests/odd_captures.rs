//! Captures as the world has them: damaged, one-sided, out of order, with impossible clocks.

mod common;

use common::*;
use localack_pcap::replay::{Checksums, Options};

#[test]
fn byte_orders_and_resolutions_give_the_same_times() {
    for (big_endian, nanoseconds) in [(false, false), (false, true), (true, false), (true, true)] {
        let frames = (0..).zip(Connection::v4().exchange()).map(|(n, packet)| {
            let octets = packet.ip();
            (1_000_000 + n * 1500, octets.len(), octets)
        });
        let file = pcap(
            Flavour {
                big_endian,
                nanoseconds,
            },
            101,
            &frames.collect::<Vec<_>>(),
        );
        let report = run(file);
        assert_eq!(
            report.input.format,
            if nanoseconds { "pcap-ns" } else { "pcap" }
        );
        assert_eq!(report.input.duration_us, 9 * 1500);
        assert_eq!(
            (report.tcp.packets, report.tcp.complete_handshakes),
            (10, 1)
        );
    }
}

/// A section of a pcapng file with one raw-IP interface and one packet per block kind.
fn section(big_endian: bool, ticks: u64, packets: &[Vec<u8>]) -> Vec<u8> {
    let half = |half: u16| {
        if big_endian {
            half.to_be_bytes()
        } else {
            half.to_le_bytes()
        }
    };
    let word = |word: u32| {
        if big_endian {
            word.to_be_bytes()
        } else {
            word.to_le_bytes()
        }
    };
    let mut header = word(0x1a2b_3c4d).to_vec();
    header.extend([half(1), half(0)].concat());
    header.extend([0xff; 8]);
    let mut interface = [half(101), half(0)].concat();
    interface.extend(word(0));
    // Ticks of 1/1024 s, and 100 s to be added.
    interface.extend([half(9).as_slice(), &half(1), &[0x8a, 0, 0, 0]].concat());
    interface.extend([half(14), half(8)].concat());
    interface.extend(if big_endian {
        100_i64.to_be_bytes()
    } else {
        100_i64.to_le_bytes()
    });
    interface.extend(word(0));
    let stamp = [word((ticks >> 32) as u32), word(ticks as u32)].concat();
    let lengths = |packet: &[u8]| word(packet.len() as u32).repeat(2);
    let enhanced = |packet: &[u8]| {
        [
            word(0).to_vec(),
            stamp.clone(),
            lengths(packet),
            packet.to_vec(),
        ]
        .concat()
    };
    let obsolete = |packet: &[u8]| {
        [
            half(0).to_vec(),
            half(0).to_vec(),
            stamp.clone(),
            lengths(packet),
            packet.to_vec(),
        ]
        .concat()
    };
    let simple = |packet: &[u8]| [word(packet.len() as u32).to_vec(), packet.to_vec()].concat();
    let mut out = block(big_endian, 0x0a0d_0d0a, &header);
    out.extend(block(big_endian, 1, &interface));
    for (n, packet) in packets.iter().enumerate() {
        out.extend(match n % 3 {
            0 => block(big_endian, 6, &enhanced(packet)),
            1 => block(big_endian, 2, &obsolete(packet)),
            _ => block(big_endian, 3, &simple(packet)),
        });
        // A block that nobody knows.
        out.extend(block(big_endian, 0x0bad_cafe, &[1, 2, 3]));
    }
    out
}

#[test]
fn sections_of_either_byte_order_and_all_packet_blocks_are_read() {
    let packets: Vec<_> = Connection::v4().exchange().iter().map(Tcp::ip).collect();
    for big_endian_first in [false, true] {
        let mut file = section(big_endian_first, 1024, &packets[..5]);
        file.extend(section(!big_endian_first, 3 * 1024, &packets[5..]));
        let report = run(file);
        assert_eq!(report.input.format, "pcapng");
        assert_eq!(
            (
                report.input.packets,
                report.tcp.packets,
                report.tcp.conversations
            ),
            (10, 10, 1)
        );
        assert_eq!(report.input.duration_us, 2_000_000);
        assert_eq!(report.input.cut_at_offset, None);
        assert_eq!(
            report.flows[0].both().map(|sent| sent.unique_payload_bytes),
            [1000, 300]
        );
    }
}

#[test]
fn everything_before_the_damage_is_used() {
    let whole = raw(&Connection::v4().exchange());
    let record = |n: usize| -> usize {
        24 + Connection::v4().exchange()[..n]
            .iter()
            .map(|packet| 16 + packet.ip().len())
            .sum::<usize>()
    };
    for (keep, packets) in [
        (record(4) + 3, 4),
        (record(7) + 20, 7),
        (record(10) - 1, 9),
        (30, 0),
    ] {
        let report = run(whole[..keep].to_vec());
        assert_eq!(report.input.packets, packets as u64);
        assert_eq!(report.input.cut_at_offset, Some(record(packets) as u64));
    }
    assert_eq!(run(whole[..record(3)].to_vec()).input.cut_at_offset, None);
    // A length that no frame has.
    let mut broken = whole;
    let at = record(5) + 8;
    broken[at..at + 4].fill(0xff);
    let report = run(broken);
    assert_eq!(
        (report.input.packets, report.input.cut_at_offset),
        (5, Some(record(5) as u64))
    );
    // A pcapng block whose two lengths differ.
    let packets: Vec<_> = Connection::v4().exchange().iter().map(Tcp::ip).collect();
    let good = section(false, 0, &packets[..4]);
    let mut broken = [good.clone(), section(false, 0, &packets[4..])].concat();
    let last = broken.len() - 2;
    broken[last] ^= 1;
    let report = run(broken);
    assert_eq!(report.input.packets, 10);
    assert!(report.input.cut_at_offset.unwrap() > good.len() as u64);
}

#[test]
fn a_block_that_is_shorter_than_its_frame_is_damage() {
    let packets: Vec<_> = Connection::v4().exchange().iter().map(Tcp::ip).collect();
    for big_endian in [false, true] {
        // Process information, whose length the parser does not look at before it uses it.
        for length in [0_u32, 9, 11] {
            let good = section(big_endian, 0, &packets);
            let mut broken = good.clone();
            for word in [0x8000_0001, length, 0, 0] {
                broken.extend(if big_endian {
                    word.to_be_bytes()
                } else {
                    word.to_le_bytes()
                });
            }
            let report = run(broken);
            assert_eq!(report.input.packets, 10);
            assert_eq!(report.input.cut_at_offset, Some(good.len() as u64));
        }
    }
}

#[test]
fn clocks_that_leap_or_run_backwards_neither_hang_nor_overflow() {
    let leap = 46 * 366 * 86_400 * 1_000_000;
    let times = [
        5_000_000,
        leap,
        6_000_000,
        4_000_000,
        7_000_000,
        0,
        leap,
        leap + 10,
        8_000_000,
        9_000_000,
    ];
    let frames: Vec<_> = times
        .into_iter()
        .zip(Connection::v4().exchange().iter().map(Tcp::ip))
        .collect();
    let report = run(plain(101, &frames));
    assert_eq!(
        (report.tcp.packets, report.tcp.complete_handshakes),
        (10, 1)
    );
    assert!(report.input.clock_jumps >= 3);
    assert_eq!(report.input.duration_us, duration(&times));
}

/// Latest minus earliest, as 32 bits of seconds hold them.
fn duration(times: &[u64]) -> u64 {
    let stored = |micros: u64| (micros / 1_000_000) as u32 as u64 * 1_000_000 + micros % 1_000_000;
    let times: Vec<_> = times.iter().map(|&micros| stored(micros)).collect();
    times.iter().max().unwrap() - times.iter().min().unwrap()
}

#[test]
fn one_direction_alone_is_counted_and_left_alone() {
    let up: Vec<_> = Connection::v4()
        .exchange()
        .into_iter()
        .filter(|packet| packet.to.1 == 80)
        .collect();
    let report = run(raw(&up));
    let flow = &report.flows[0];
    assert_eq!((report.tcp.packets, report.tcp.complete_handshakes), (6, 0));
    assert!(!flow.adopted && flow.reason.is_some());
    assert_eq!(report.counters["engine"]["forwarded"], 0);
    assert_eq!(flow.both().map(|sent| sent.local_acks), [0, 0]);
    assert_eq!(flow.both().map(|sent| sent.unique_payload_bytes), [1000, 0]);
}

#[test]
fn a_connection_joined_in_its_middle_is_counted_and_left_alone() {
    let report = run(raw(&Connection::v4().exchange()[4..]));
    let flow = &report.flows[0];
    // The sender of the first packet counts as the client.
    assert_eq!(flow.client, "192.0.2.9:80");
    assert_eq!(
        (flow.adopted, flow.reason, flow.complete_handshake),
        (false, Some("mid-stream"), false)
    );
    assert_eq!(flow.both().map(|sent| sent.payload_bytes), [300, 0]);
}

#[test]
fn a_syn_with_another_number_begins_another_conversation() {
    let first = Connection::v4();
    let second = Connection {
        client_isn: 5_000_000,
        server_isn: 6_000_000,
        ..first
    };
    let packets = [first.exchange(), second.exchange()].concat();
    let report = run(raw(&packets));
    assert_eq!(
        (report.tcp.conversations, report.tcp.complete_handshakes),
        (2, 2)
    );
    for flow in &report.flows {
        assert_eq!(
            flow.both().map(|sent| sent.unique_payload_bytes),
            [1000, 300]
        );
        assert!(flow.adopted, "{flow:?}");
    }
    // The same SYN again is a retransmission.
    let mut packets = first.exchange();
    packets.insert(1, first.up(0, 0, SYN, 0));
    let report = run(raw(&packets));
    assert_eq!(report.tcp.conversations, 1);
    assert_eq!(
        report.flows[0]
            .directions
            .client_to_server
            .retransmitted_packets,
        1
    );
}

#[test]
fn repeated_overlapping_and_early_octets_are_counted_once() {
    let connection = Connection::v4();
    let mut packets = connection.exchange();
    packets.splice(
        5..5,
        [
            connection.up(1, 1, ACK, 1000),
            connection.up(501, 1, ACK, 700),
            // A keep-alive before and after the first octet.
            connection.up(0, 1, ACK, 1),
            connection.up(1200, 1, ACK, 1),
            connection.up(2001, 1, ACK, 100),
        ],
    );
    let report = run(raw(&packets));
    let up = &report.flows[0].directions.client_to_server;
    assert_eq!(up.payload_bytes, 1000 + 1000 + 700 + 1 + 1 + 100);
    assert_eq!(up.unique_payload_bytes, 1000 + 200 + 100);
    assert_eq!(up.retransmitted_packets, 2);
}

#[test]
fn more_than_four_gigabytes_do_not_wrap_the_count() {
    let connection = Connection::v4();
    let mut packets = connection.exchange();
    packets.truncate(3);
    // Octets far apart, as if the rest were missing: 5 GB of sequence space.
    packets.extend((0..5_u64).map(|n| connection.up((1 + n * 1_000_000_000) as u32, 1, ACK, 100)));
    let report = run(raw(&packets));
    let up = &report.flows[0].directions.client_to_server;
    assert_eq!((up.payload_bytes, up.unique_payload_bytes), (500, 500));
}

#[test]
fn super_segments_are_taken_as_they_are() {
    let connection = Connection::v4();
    let mut packets = connection.exchange();
    packets.truncate(3);
    packets.push(
        connection
            .up(1, 1, ACK, 20_000)
            .with(|packet| packet.sum = Sum::Partial),
    );
    packets.push(connection.down(1, 20_001, ACK, 0));
    let report = run(raw(&packets));
    assert_eq!(
        report.flows[0]
            .directions
            .client_to_server
            .unique_payload_bytes,
        20_000
    );
    // A length of zero is left to the network card: the frame says how long the packet is.
    let frames = packets.iter().enumerate().map(|(n, packet)| {
        let mut octets = packet.ip();
        if packet.payload.len() > 1500 {
            octets[2..4].fill(0);
        }
        (n as u64, octets)
    });
    let report = run(plain(101, &frames.collect::<Vec<_>>()));
    assert_eq!(
        (report.tcp.packets, report.counters["pass"]["jumbo"]),
        (5, 1)
    );
    assert_eq!(
        report.flows[0]
            .directions
            .client_to_server
            .unique_payload_bytes,
        20_000
    );
}

/// The fragments of an IP packet, `step` octets each.
fn fragments(packet: &Tcp, step: usize) -> Vec<Vec<u8>> {
    let segment = packet.segment();
    let pieces = segment.chunks(step).enumerate();
    let last = segment.len().div_ceil(step) - 1;
    pieces
        .map(|(n, piece)| match packet.from.0 {
            core::net::IpAddr::V4(_) => {
                let mut out = ip(packet.from.0, packet.to.0, 6, piece);
                let field = (n * step / 8) as u16 | if n == last { 0 } else { 0x2000 };
                out[4..6].copy_from_slice(&[1, packet.flags]);
                out[6..8].copy_from_slice(&field.to_be_bytes());
                ipv4_sum(&mut out);
                out
            }
            core::net::IpAddr::V6(_) => {
                let field = (n * step) as u16 | u16::from(n != last);
                let mut header = vec![6, 0];
                header.extend(field.to_be_bytes());
                header.extend([0, 0, 1, packet.flags]);
                ip(
                    packet.from.0,
                    packet.to.0,
                    44,
                    &[header, piece.to_vec()].concat(),
                )
            }
        })
        .collect()
}

#[test]
fn fragments_are_put_together_for_counting_and_pass() {
    for connection in [Connection::v4(), Connection::v6()] {
        let mut frames = Vec::new();
        let mut count = 0;
        for packet in connection.exchange() {
            let mut pieces = fragments(&packet, 256);
            if pieces.len() > 1 {
                count += pieces.len() as u64;
                pieces.rotate_left(1);
            } else {
                pieces = vec![packet.ip()];
            }
            frames.extend(
                pieces
                    .into_iter()
                    .map(|piece| (frames.len() as u64, piece))
                    .collect::<Vec<_>>(),
            );
        }
        let report = run(plain(101, &frames));
        assert_eq!(count, 4 + 2);
        assert_eq!(
            (
                report.tcp.fragments,
                report.tcp.packets,
                report.tcp.bad_checksums
            ),
            (count, 10, 0)
        );
        assert_eq!(report.counters["pass"]["fragment"], count);
        assert_eq!(
            report.flows[0].both().map(|sent| sent.unique_payload_bytes),
            [1000, 300]
        );
        // Without one of them the segment is never whole.
        let lost = frames
            .iter()
            .position(|(_, frame)| frame.len() > 250)
            .unwrap();
        frames.remove(lost);
        let report = run(plain(101, &frames));
        assert_eq!((report.tcp.fragments, report.tcp.packets), (count - 1, 9));
    }
}

#[test]
fn malformed_headers_pass_uncounted() {
    let good = Connection::v4().up(1, 1, ACK, 8).ip();
    let edit = |at: usize, octet: u8| {
        let mut packet = good.clone();
        packet[at] = octet;
        packet
    };
    let frames = [
        (0, good.clone()),
        (1, edit(32, 0x40)),      // a TCP header of 16 octets
        (2, edit(32, 0xf0)),      // a TCP header longer than the packet
        (3, edit(0, 0x44)),       // an IP header of 16 octets
        (4, edit(3, 10)),         // an IP packet shorter than its header
        (5, good[..30].to_vec()), // an IP packet that ends within its TCP header
        (6, good[..12].to_vec()), // and one within its IP header
        (7, vec![0x45]),
        (8, Vec::new()),
    ];
    let report = run(plain(101, &frames));
    assert_eq!(
        (
            report.input.packets,
            report.tcp.packets,
            report.tcp.conversations
        ),
        (9, 1, 1)
    );
}

#[test]
fn cut_segments_count_whole_and_are_not_taken_into_custody() {
    let upload = Connection::v4().upload(20, 100_000);
    let frames: Vec<_> = upload
        .iter()
        .map(|(at, packet)| (*at, packet.len(), packet[..packet.len().min(60)].to_vec()))
        .collect();
    let report = run(pcap(PLAIN, 101, &frames));
    let up = &report.flows[0].directions.client_to_server;
    assert_eq!((report.input.truncated, up.cut_packets), (20, 20));
    assert_eq!(
        (up.payload_bytes, up.unique_payload_bytes, up.local_acks),
        (20_000, 20_000, 0)
    );
    assert!(report.flows[0].adopted);
    assert_eq!(report.counters["pass"]["truncated"], 20);
}

/// An upload whose client leaves its checksums to the network card.
fn offloaded() -> Vec<u8> {
    let connection = Connection::v4();
    let packets = connection
        .upload(20, 100_000)
        .into_iter()
        .map(|(at, mut packet)| {
            if packet[12] == 10 {
                let segment = packet.split_off(20);
                let up = Tcp {
                    sum: Sum::Partial,
                    options: segment[20..usize::from(segment[12] >> 4) * 4].to_vec(),
                    payload: segment[usize::from(segment[12] >> 4) * 4..].to_vec(),
                    seq: u32::from_be_bytes(segment[4..8].try_into().unwrap()),
                    ack: u32::from_be_bytes(segment[8..12].try_into().unwrap()),
                    flags: segment[13],
                    ..connection.up(0, 0, 0, 0)
                };
                packet = up.ip();
            }
            (at, packet)
        });
    plain(101, &packets.collect::<Vec<_>>())
}

#[test]
fn sums_left_to_a_network_card_are_told_from_corruption() {
    let with = |checksums| {
        run_with(
            offloaded(),
            &Options {
                checksums,
                ..Options::default()
            },
        )
    };
    for checksums in [Checksums::Auto, Checksums::Trust] {
        let report = with(checksums);
        assert_eq!(report.tcp.bad_checksums, 22);
        assert!(
            report.flows[0].directions.client_to_server.local_acks > 0,
            "{checksums:?}"
        );
    }
    let report = with(Checksums::Verify);
    assert_eq!(
        (report.tcp.bad_checksums, report.flows[0].adopted),
        (22, false)
    );
    assert_eq!(report.flows[0].directions.client_to_server.local_acks, 0);
}

#[test]
fn a_corrupt_segment_is_never_acknowledged_early() {
    let connection = Connection::v4();
    let mut upload = connection.upload(20, 100_000);
    let corrupt = connection
        .up(1 + 19 * 1000, 1, ACK, 1000)
        .with(|packet| packet.sum = Sum::Wrong);
    let at = upload
        .iter()
        .rposition(|(_, packet)| packet.len() > 1000)
        .unwrap();
    upload[at].1 = corrupt.ip();
    upload.truncate(at + 1);
    let report = run(plain(101, &upload));
    assert_eq!(
        (
            report.tcp.bad_checksums,
            report.counters["pass"]["bad-checksum"]
        ),
        (1, 1)
    );
    let up = &report.flows[0].directions.client_to_server;
    assert_eq!(up.peak_custody_bytes, 18_000);
}

#[test]
fn an_empty_capture_is_a_report_of_nothing() {
    let report = run(plain(1, &[]));
    assert_eq!(
        (
            report.input.packets,
            report.input.duration_us,
            report.tcp.conversations
        ),
        (0, 0, 0)
    );
    assert!(!report.nothing_decoded());
}
