//! Storms: an engine between hosts that answer whatever they need not accept, at once and without
//! measure (RFC 9293 section 3.10.7.4 as the strictest stacks take it; rule H8.6, invariant 16). Whatever
//! the hosts believe, what the engine adds to the quarrel is over at once.

use core::time::Duration;
use std::collections::VecDeque;

use localack_core::{Instant, Port, TransmitKind};
use localack_testkit::packet::Packet;

use super::flood::Lent;
use super::forge::{ACK, PSH, RST, SYN};
use super::rig::Rig;
use super::scene::{Host, SCENES, Scene, rig, set};

/// Packets after which an exchange at one instant counts as endless.
const ENDLESS: usize = 200;
/// Packets that the engine may make at one instant because of one packet and all answers to it.
const MOST_MADE: usize = 4;

/// What an exchange came to.
#[derive(Debug, Default)]
struct Exchange {
    packets: usize,
    made: Vec<TransmitKind>,
    story: Vec<String>,
}

/// Lets `packet` arrive on `port`, and then whatever it brings about, until all is quiet.
fn exchange(
    mut rig: Option<&mut Rig<'_>>,
    hosts: &mut [Host; 2],
    now: Instant,
    port: Port,
    packet: Vec<u8>,
) -> Exchange {
    let mut all = Exchange::default();
    let mut arriving = VecDeque::from([(port, packet)]);
    while let Some((port, mut packet)) = arriving.pop_front() {
        all.packets += 1;
        if all.packets > ENDLESS {
            break;
        }
        all.story.push(tell("from", port, &packet));
        let leaving = if let Some(rig) = rig.as_deref_mut() {
            let (verdict, made) = rig.take(now, port, &mut packet);
            all.made.extend(made.iter().map(|made| made.kind));
            super::rig::leaving(port, verdict, packet, made)
        } else {
            vec![(port.other(), packet)]
        };
        for (toward, octets) in leaving {
            all.story.push(tell("to", toward, &octets));
            let packet = Packet::decode(&octets).expect("a segment").packet;
            let host = &mut hosts[usize::from(toward == Port::Outer)];
            if host.hears(&packet) {
                arriving.push_back((toward, host.says(ACK, 0, 0, 0)));
            }
        }
    }
    all
}

fn tell(what: &str, port: Port, octets: &[u8]) -> String {
    let packet = Packet::decode(octets).expect("a segment").packet;
    let (flags, seq, ack, len) = (packet.flags, packet.seq, packet.ack, packet.payload_len());
    format!(
        "{what} {port:?}: {flags} {seq} len {len} ack {ack} w{}",
        packet.window
    )
}

/// What begins the quarrel: flags, how far SEQ and ACK are from the sender's own, and octets.
const KICKS: [(u8, u32, u32, u16); 10] = [
    (ACK, 0, 0, 0),
    // A keepalive, and one with an octet.
    (ACK, u32::MAX, 0, 0),
    (ACK, u32::MAX, 0, 1),
    // Beyond any window.
    (ACK, 1_000_000, 0, 0),
    (ACK | PSH, 1_000_000, 0, 100),
    (ACK, 0, 1_000_000, 0),
    (ACK | PSH, 0, 1_000_000, 100),
    // Old.
    (ACK, 0_u32.wrapping_sub(1_000_000), 0, 0),
    (RST, 100, 0, 0),
    (SYN, 3_000_000, 0, 0),
];

/// How far off each host is in what it sends and in what it expects.
fn errors() -> impl Iterator<Item = [(u32, u32); 2]> {
    const FAR: u32 = 1_000_000;
    const BACK: u32 = 0_u32.wrapping_sub(FAR);
    let each = [(0, 0), (FAR, 0), (BACK, FAR)];
    each.into_iter()
        .flat_map(move |one| each.into_iter().map(move |two| [one, two]))
}

/// Rule H8.6, invariant 16: at one instant the engine adds a few packets at most, and where two hosts
/// would come to rest without it, they do so with it.
#[test]
fn h8_6_quarrels_of_hosts_die_out() {
    let mut endless = 0;
    for scene in SCENES {
        for kick in KICKS {
            for errors in errors() {
                for port in [Port::Inner, Port::Outer] {
                    endless += u32::from(!quarrel(scene, kick, errors, port));
                }
            }
        }
    }
    // Where the engine only passes on what two hosts of this kind say to each other.
    assert!(endless < 40, "{endless} endless quarrels");
}

/// Whether the quarrel dies out.
fn quarrel(
    scene: Scene,
    (flags, ahead, acks_ahead, length): (u8, u32, u32, u16),
    errors: [(u32, u32); 2],
    port: Port,
) -> bool {
    let mut lent = Lent::new(2, 64);
    let mut rig = rig(&mut lent, scene);
    let (mut hosts, now) = set(scene, &mut rig);
    for (host, (send, receive)) in hosts.iter_mut().zip(errors) {
        host.snd_nxt = host.snd_nxt.wrapping_add(send);
        host.rcv_nxt = host.rcv_nxt.wrapping_add(receive);
    }
    let first = hosts[usize::from(port == Port::Outer)].says(flags, ahead, acks_ahead, length);
    let mut alone = hosts;
    let without = exchange(None, &mut alone, now, port, first.clone());
    let with = exchange(Some(&mut rig), &mut hosts, now, port, first);
    let story = || {
        let story = with.story[..with.story.len().min(30)].join("\n");
        format!("{scene:?} {flags:#x} {ahead} {acks_ahead} {errors:?} {port:?}\n{story}")
    };
    assert!(with.made.len() <= MOST_MADE, "{}", story());
    let dies_out = with.packets <= 2 * MOST_MADE;
    let dies_out_alone = without.packets <= ENDLESS;
    let serves_all = scene == Scene::OwingBoth;
    assert!(dies_out || !(dies_out_alone || serves_all), "{}", story());
    dies_out
}

/// Rule H8.6: however long somebody goes on, challenges leave at most every 500 ms and unasked duplicate
/// acknowledgements at most every 100 ms; nothing is made in answer to what has no data, but for inexact
/// resets and probes.
#[test]
fn h8_6_answers_are_limited_in_time() {
    const KICKS_EACH: u64 = 500;
    const APART: Duration = Duration::from_millis(10);
    let allowed = |apart_ms: u64| KICKS_EACH * 10 / apart_ms + 1;
    for scene in [Scene::Owing, Scene::OwingBoth, Scene::Full] {
        for (number, &(flags, ahead, acks_ahead, length)) in KICKS.iter().enumerate() {
            let mut lent = Lent::new(2, 64);
            let mut rig = rig(&mut lent, scene);
            let (hosts, mut now) = set(scene, &mut rig);
            let mut made = Vec::new();
            for _ in 0..KICKS_EACH {
                // The hosts do not move: what the engine sends of its own accord is not counted.
                rig.rest(now);
                let mut octets = hosts[0].says(flags, ahead, acks_ahead, length);
                let (_, answers) = rig.take(now, Port::Inner, &mut octets);
                made.extend(answers.iter().map(|answer| answer.kind));
                now = now.after(APART);
            }
            let count = |kind| made.iter().filter(|&&other| other == kind).count() as u64;
            let challenges = count(TransmitKind::Challenge);
            let duplicates = count(TransmitKind::DuplicateAck);
            let story = || format!("{scene:?}, kick {number}: {made:?}");
            assert!(challenges <= allowed(500), "{}", story());
            // A probe of a closed window and a repeated octet are answered each time (H2.6, H5.1).
            let probes = ahead == u32::MAX && (scene == Scene::Full || length == 1);
            let most = if probes { KICKS_EACH } else { allowed(100) };
            assert!(duplicates <= most, "{}", story());
            let silent = length == 0 && flags == ACK && !probes;
            assert!(!silent || duplicates == 0, "{}", story());
            // Duplicate acknowledgements in good order may mean a loss, once a round trip at most
            // (RFC 5681 section 3.2, invariant 26).
            let resent = count(TransmitKind::Retransmission);
            assert!(resent <= allowed(200), "{}", story());
            // Nothing else is made because of it.
            let rest = made.len() as u64 - challenges - duplicates;
            assert_eq!(rest, resent, "{}", story());
        }
    }
}
