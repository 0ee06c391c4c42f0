//! Amplification: what somebody can make the engine send to others, who has not shown that he hears what
//! is sent to him: who has completed no handshake, or whose segments are not acceptable (rules H7.8, H8.4,
//! H8.6 and 2.5; invariants 16 and 22; architecture, promise 5).

use core::net::SocketAddr;
use core::time::Duration;

use localack_core::{AbsorbReason, Config, Engine, FlowConfig, Instant, Port, SeqNum, Verdict};
use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet, packet_too_big};
use localack_testkit::sim::{Random, seeds};

use super::flood::{ISN, Lent, addresses, segment};
use super::forge::{RST, SYN};
use super::rig::Rig;
use super::scene::{SCENES, rig, set};

/// Packets of each life.
const PACKETS: u32 = if cfg!(debug_assertions) { 500 } else { 20_000 };
/// Far more than any window here.
const FAR: u32 = 1 << 20;
/// Octets of the longest answer without data: headers, a timestamp and three SACK blocks.
const ANSWER: usize = 20 + 20 + 12 + 28;
/// Rule H8.6: the least time between two duplicate acknowledgements that nobody has asked for, and between
/// two challenges.
const DUPLICATES_MS: u64 = 100;
const CHALLENGES_MS: u64 = 500;

/// A number that no host of the flow would send: far from `right`.
fn far(random: &mut Random, right: u32) -> u32 {
    right
        .wrapping_add(FAR)
        .wrapping_add(random.below(u32::MAX - 2 * FAR))
}

/// Something with the addresses of a host that its sender is not, or whose connection he does not follow:
/// at least one of its numbers is wrong.
fn forged(random: &mut Random, rig: &Rig<'_>) -> (Port, Vec<u8>) {
    let ends = addresses([0, 0, 0, 0, 1, 2][random.below(6) as usize]).map(SocketAddr::from);
    let side = random.below(2) as usize;
    let [source, destination] = [ends[side], ends[1 - side]];
    let flow = rig
        .engine
        .flows()
        .find(|flow| flow.key.inner() == ends[0].ip());
    let (mut right, mut right_ack) = (ISN[side], ISN[1 - side]);
    if let Some(flow) = flow {
        let [own, peer] = if side == 0 {
            [flow.inner_to_outer, flow.outer_to_inner]
        } else {
            [flow.outer_to_inner, flow.inner_to_outer]
        };
        (right, right_ack) = (own.ack_sent.raw(), peer.rcv_nxt.raw());
    }
    let any = |random: &mut Random| random.below(u32::MAX);
    let near =
        |random: &mut Random, right: u32| right.wrapping_add(random.below(3000)).wrapping_sub(1500);
    let (mut seq, ack) = match random.below(4) {
        0 => (near(random, right), far(random, right_ack)),
        1 => (far(random, right), near(random, right_ack)),
        2 => (far(random, right), far(random, right_ack)),
        _ => (right, far(random, right_ack)),
    };
    let flags = match random.below(12) {
        0 => Flags::SYN,
        1 => Flags::SYN | Flags::ACK,
        2 => Flags::RST,
        3 => Flags::RST | Flags::ACK,
        4 | 5 => Flags::ACK,
        6 | 7 => Flags::ACK | Flags::PSH,
        8 => Flags::ACK | Flags::FIN,
        9 => Flags::default(),
        _ => Flags(u16::from(random.octet())),
    };
    // A reset needs no acknowledgement number: it must be inexact.
    let distance = SeqNum::new(seq).octets_past(SeqNum::new(right.wrapping_sub(4000)));
    if flags.has(Flags::RST) && distance <= 20_000 {
        seq = far(random, right);
    }
    let length = if flags.has(Flags::RST) || flags.has(Flags::SYN) || random.chance(400_000) {
        0
    } else {
        [1, 1, 100, 1000][random.below(4) as usize]
    };
    let packet = Packet {
        source,
        destination,
        ip: IpFields::default(),
        flags,
        seq,
        ack,
        window: any(random) as u16,
        urgent: 0,
        options: Options {
            mss: flags.has(Flags::SYN).then_some(1000),
            timestamps: random.chance(300_000).then(|| (any(random), any(random))),
            sack: if random.chance(100_000) {
                vec![(any(random), any(random))]
            } else {
                Vec::new()
            },
            ..Options::default()
        },
        payload: vec![0xa5; length],
    };
    // Now and then by the wrong port (rule H9.11).
    let port = if (side == 0) != random.chance(50_000) {
        Port::Inner
    } else {
        Port::Outer
    };
    if random.chance(80_000) {
        let quoted = Packet {
            seq: far(random, right),
            ..packet
        };
        return (
            port.other(),
            packet_too_big(&quoted, 600 + random.below(900)),
        );
    }
    (port, packet.encode(Layout::Aligned))
}

/// Sends packets at the engine, a few milliseconds apart.
fn pester(what: &str, rig: &mut Rig<'_>, start: Instant, seed: u64) {
    const APART_MS: u64 = 3;
    let mut random = Random::new(seed);
    let (mut came, mut left, mut unasked) = (0, 0, 0);
    for step in 0..PACKETS {
        let now = start.after(Duration::from_millis(u64::from(step) * APART_MS));
        // What leaves now is not because of the packet.
        rig.rest(now);
        let (port, mut octets) = forged(&mut random, rig);
        let length = octets.len();
        let (verdict, made) = rig.take(now, port, &mut octets);
        let passed = matches!(verdict, Verdict::Pass(_) | Verdict::Forward);
        let story = || {
            let packet = Packet::decode(&octets).map(|decoded| decoded.packet);
            format!("{what} seed {seed} step {step} {port:?} {packet:?}: {verdict:?} {made:?}")
        };
        assert!(usize::from(passed) + made.len() <= 1, "{}", story());
        let answer = made.first().map_or(0, |made| made.octets.len());
        assert!(answer <= ANSWER, "{}", story());
        came += length;
        left += answer + if passed { length } else { 0 };
        // What looks like a retransmission is acknowledged each time (rule H5.1), and so is whatever
        // comes after a reset (section 2.5).
        let asked = matches!(
            verdict,
            Verdict::Absorb(AbsorbReason::Duplicate | AbsorbReason::Tombstone)
        );
        unasked += if asked { 0 } else { answer as u64 };
    }
    assert!(left <= came, "{what} seed {seed}: {came} came, {left} left");
    // All other answers are limited in time.
    let milliseconds = u64::from(PACKETS) * APART_MS;
    let most = [DUPLICATES_MS, CHALLENGES_MS].map(|apart| milliseconds / apart + 1);
    assert!(
        unasked <= ANSWER as u64 * most.iter().sum::<u64>(),
        "{what} seed {seed}: {unasked} octets of answers"
    );
}

/// Whatever a flow is doing: a packet for a packet, and no more octets than came.
#[test]
fn nobody_unverified_gets_more_than_a_packet_for_a_packet() {
    for scene in SCENES {
        for seed in seeds(2) {
            let mut lent = Lent::new(4, 64);
            let mut rig = rig(&mut lent, scene);
            let (_, now) = set(scene, &mut rig);
            // Another handshake is under way.
            let mut syn = segment(addresses(1), Port::Inner, SYN, [0, 0], 0);
            let _ = rig.take(now, Port::Inner, &mut syn);
            pester(&format!("{scene:?}"), &mut rig, now, seed);
        }
    }
}

/// The longest answers: to a flow with timestamps, and with holes that SACK blocks tell of.
#[test]
fn answers_with_all_options_are_few() {
    for seed in seeds(4) {
        let mut lent = Lent::new(4, 64);
        let flow = FlowConfig::both_local_ack();
        let engine = Engine::new(lent.storage(), Config::new([1, 2]), flow).expect("valid");
        let mut rig = Rig::new(engine);
        let now = Instant::from_millis(10_000);
        let holed = [1000, 3000, 5000].map(|seq| (Port::Inner, Flags::ACK, seq, 101, 500));
        let handshake = [
            (Port::Inner, Flags::SYN, 0, 0, 0),
            (Port::Outer, Flags::SYN | Flags::ACK, 0, 1, 0),
            (Port::Inner, Flags::ACK, 1, 1, 0),
            (Port::Outer, Flags::ACK | Flags::PSH, 1, 1, 100),
        ];
        let mut longest = 0;
        for (port, flags, seq, ack, length) in handshake.into_iter().chain(holed) {
            let [inner, outer] = addresses(0).map(SocketAddr::from);
            let (source, destination, own, peer) = match port {
                Port::Inner => (inner, outer, ISN[0], ISN[1]),
                Port::Outer => (outer, inner, ISN[1], ISN[0]),
            };
            let packet = Packet {
                source,
                destination,
                ip: IpFields::default(),
                flags,
                seq: own + seq,
                ack: if flags.has(Flags::ACK) { peer + ack } else { 0 },
                window: 60_000,
                urgent: 0,
                options: Options {
                    mss: flags.has(Flags::SYN).then_some(1000),
                    sack_permitted: flags.has(Flags::SYN),
                    timestamps: Some((own, if flags.has(Flags::ACK) { peer } else { 0 })),
                    ..Options::default()
                },
                payload: vec![7; length],
            };
            let (_, made) = rig.take(now, port, &mut packet.encode(Layout::Aligned));
            longest = made
                .iter()
                .map(|made| made.octets.len())
                .max()
                .unwrap_or(longest);
        }
        assert_eq!(longest, ANSWER, "the longest answer there is");
        pester("all options", &mut rig, now, seed);
    }
}

/// A spoofed handshake, of which the spoofer does not hear the other half, makes the engine send nothing,
/// nor do resets for connections that nobody has (rules H7.8 and H9.3).
#[test]
fn h7_8_half_a_handshake_is_worth_nothing() {
    let mut lent = Lent::new(16, 64);
    let flow = FlowConfig::both_local_ack();
    let engine = Engine::new(lent.storage(), Config::new([1, 2]), flow).expect("valid");
    let mut rig = Rig::new(engine);
    let mut random = Random::new(5);
    for number in 0..2000 {
        let now = Instant::from_millis(1000 + u64::from(number));
        let ends = addresses(number);
        for (flags, acks) in [
            (SYN, 0),
            (super::forge::ACK, random.below(u32::MAX)),
            (RST, 0),
        ] {
            let length = if flags == super::forge::ACK { 1000 } else { 0 };
            let seq = u32::from(flags != SYN);
            let mut octets = segment(ends, Port::Outer, flags, [seq, acks], length);
            let original = octets.clone();
            let (verdict, made) = rig.take(now, Port::Outer, &mut octets);
            assert!(matches!(verdict, Verdict::Pass(_)), "{verdict:?}");
            assert!(made.is_empty() && octets == original);
        }
    }
    assert_eq!(rig.engine.counters().flows_adopted, 0);
}
