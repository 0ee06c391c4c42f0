//! What becomes of flows whose memory does not agree with itself (rule H13.1).

#![allow(clippy::arithmetic_side_effects)]

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet};

use super::*;
use crate::event::Event;
use crate::flow::stream::Stream;
use crate::flow::{FlowKey, FlowSlot};
use crate::policy::{Custody, Direction, FlowConfig, Port};
use crate::seq::SeqNum;
use crate::sink::{PacketMeta, Sink, SinkFull, Transmit};
use crate::storage::StaticStorage;
use crate::time::Stamp;

const NOW: Instant = Instant::from_micros(5_000_000);
/// What is in custody for each flow, from this sequence number on; one segment was sent, one waits.
const HELD: u32 = 1_000;
const FIRST: u32 = 100;

type Memory = StaticStorage<4, 8, 16, { 16 * 512 }>;

/// Who would hear of resets: the inner host's port, and which of the two it is.
#[derive(Default)]
struct Resets(Vec<(u16, &'static str)>);

impl Sink for Resets {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let octets: Vec<u8> = packet.slices().flatten().copied().collect();
        let sent = Packet::decode(&octets).expect("a segment").packet;
        if sent.flags.has(Flags::RST) {
            let told = match packet.port() {
                Port::Inner => (sent.destination.port(), "inner"),
                Port::Outer => (sent.source.port(), "outer"),
            };
            self.0.push(told);
        }
        Ok(())
    }
}

/// A segment of one of the hosts of the connection from this port.
fn segment(from: Port, port: u16, flags: Flags, numbers: [u32; 2], octets: u32) -> Vec<u8> {
    let inner = SocketAddr::from(([192, 0, 2, 1], port));
    let outer = SocketAddr::from(([203, 0, 113, 1], 443));
    let (source, destination) = match from {
        Port::Inner => (inner, outer),
        Port::Outer => (outer, inner),
    };
    let packet = Packet {
        source,
        destination,
        ip: IpFields::default(),
        flags,
        seq: numbers[0],
        ack: numbers[1],
        window: 60_000,
        urgent: 0,
        options: Options::default(),
        payload: vec![7; octets as usize],
    };
    packet.encode(Layout::Aligned)
}

fn policy() -> FlowConfig {
    let mut policy = FlowConfig::inner_local_ack();
    policy.custody = Custody::AfterHandshake;
    policy
}

/// An engine with two connections, from the ports 1 and 2, that holds octets for the outer host of each. It ends
/// between two calls.
fn lived(memory: &mut Memory) -> Storage<'_> {
    let config = Config::new([1, 2]);
    let mut engine = Engine::new(memory.as_storage(), config, policy()).expect("memory that fits");
    for port in [1, 2] {
        let steps = [
            (Port::Inner, Flags::SYN, [FIRST - 1, 0], 0),
            (Port::Outer, Flags::SYN | Flags::ACK, [499, FIRST], 0),
            (Port::Inner, Flags::ACK, [FIRST, 500], 0),
            (Port::Inner, Flags::ACK, [FIRST, 500], HELD / 2),
            (Port::Inner, Flags::ACK, [FIRST + HELD / 2, 500], HELD / 2),
        ];
        for (from, flags, numbers, octets) in steps {
            let mut packet = segment(from, port, flags, numbers, octets);
            let meta = PacketMeta::default();
            let sink = &mut Resets::default();
            let _ = engine.ingest(from, NOW, &mut packet, meta, sink);
            let _ = engine.poll(NOW, 100, sink);
        }
    }
    engine.into_parts().0
}

/// What an engine reports that takes over what was done to that memory, and who is reset at its first poll.
fn after(damage: impl FnOnce(&mut [FlowSlot])) -> (AttachReport, Vec<(u16, &'static str)>, u32) {
    let mut memory = Memory::new();
    let storage = lived(&mut memory);
    damage(storage.flows);
    let (mut engine, report) =
        Engine::attach(storage, Config::new([1, 2]), policy()).expect("an engine has lived here");
    let mut sink = Resets::default();
    let _ = engine.poll(NOW, 100, &mut sink);
    sink.0.sort_unstable();
    // A host is told at each number at which it may listen.
    sink.0.dedup();
    (report, sink.0, engine.blocks_used())
}

/// The stream from the inner host of the first connection.
fn first(flows: &mut [FlowSlot]) -> &mut Stream {
    let first = flows.first_mut().expect("there are four");
    first.stream_mut(Direction::InnerToOuter)
}

#[test]
fn h13_1_what_agrees_with_itself_goes_on() {
    let (report, resets, blocks) = after(|_| ());
    let expected = AttachReport {
        flows: 2,
        octets_held: 2 * u64::from(HELD),
        ..AttachReport::default()
    };
    assert_eq!((report, resets, blocks), (expected, vec![], 4));
}

#[test]
fn h13_1_of_two_flows_of_one_name_one_is_forgotten() {
    let (report, resets, blocks) = after(|flows| flows[1].key = flows[0].key);
    assert_eq!((report.flows, report.forgotten, report.ruined), (1, 1, 0));
    assert_eq!((resets, blocks), (vec![], 2), "its octets are free again");
}

#[test]
fn h13_1_octets_that_two_claim_are_relied_on_by_nobody() {
    let two_flows = after(|flows| {
        let chain = first(flows).chain;
        flows[1].stream_mut(Direction::InnerToOuter).chain = chain;
    });
    let (report, resets, blocks) = two_flows;
    assert_eq!((report.ruined, report.flows, blocks), (2, 0, 0));
    let both = |port| [(port, "inner"), (port, "outer")];
    assert_eq!(resets, [both(1), both(2)].concat());
    // Both streams of one flow.
    let (report, resets, blocks) = after(|flows| {
        let copy = *first(flows);
        *flows[0].stream_mut(Direction::OuterToInner) = copy;
    });
    assert_eq!((report.ruined, report.flows, blocks), (1, 1, 2));
    assert_eq!(resets, both(1));
}

/// What is wrong with a stream, and how that comes about.
type Damage = (&'static str, fn(&mut Stream));

#[test]
fn h13_1_a_stream_that_cannot_be_is_not_relied_on() {
    let cases: [Damage; 6] = [
        ("more is acknowledged than is stored", |stream| {
            stream.recv.ack_sent = SeqNum::new(FIRST + HELD + 1);
        }),
        ("more was sent than is stored", |stream| {
            stream.send.snd_nxt = SeqNum::new(FIRST + HELD + 1);
        }),
        ("more was delivered than was sent", |stream| {
            stream.send.snd_una = stream.send.snd_nxt.advance(1);
        }),
        ("more was delivered than is stored", |stream| {
            stream.send.snd_una = SeqNum::new(FIRST + HELD + 1);
            stream.send.snd_nxt = SeqNum::new(FIRST + HELD + 1);
        }),
        ("what was not delivered is not stored", |stream| {
            stream.send.snd_una = SeqNum::new(FIRST - 1);
        }),
        ("nothing is stored", |stream| {
            stream.chain.abandon();
        }),
    ];
    for (what, damage) in cases {
        let (report, resets, blocks) = after(|flows| damage(first(flows)));
        assert_eq!((report.ruined, report.flows), (1, 1), "{what}");
        assert_eq!(resets.len(), 2, "{what}");
        assert_eq!(blocks, 2, "{what}");
    }
}

#[test]
fn rfc6298_5_what_is_on_its_way_has_a_timer_again() {
    let mut memory = Memory::new();
    let storage = lived(&mut memory);
    let stream = first(storage.flows);
    assert!(stream.send.snd_nxt.after(stream.send.snd_una));
    stream.send.timer = Stamp::NEVER;
    stream.send.pace_due = Stamp::NEVER;
    let (mut engine, _) =
        Engine::attach(storage, Config::new([1, 2]), policy()).expect("an engine has lived here");
    let _ = engine.poll(NOW, 100, &mut Resets::default());
    let before = engine.counters().timeouts;
    let mut now = NOW;
    for _ in 0..400 {
        now = now.after(Duration::from_millis(10));
        let _ = engine.poll(now, 100, &mut Resets::default());
    }
    assert!(engine.counters().timeouts > before);
}

/// What the sink of an engine was told that gives up what a flow holds.
#[derive(Default)]
struct Losses {
    lost: u64,
    resets: usize,
}

impl Sink for Losses {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let octets: Vec<u8> = packet.slices().flatten().copied().collect();
        let sent = Packet::decode(&octets).expect("a segment").packet;
        self.resets += usize::from(sent.flags.has(Flags::RST));
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        if let Event::GivenUp { lost, .. } = event {
            self.lost += u64::from(lost);
        }
    }
}

/// Lets the hosts of the connection from port 1 say that.
fn hear(engine: &mut Engine<'_, FlowConfig>, said: &[(Port, Flags, [u32; 2], u32)]) -> Losses {
    let mut sink = Losses::default();
    for &(from, flags, numbers, octets) in said {
        let mut packet = segment(from, 1, flags, numbers, octets);
        let meta = PacketMeta::default();
        let _ = engine.ingest(from, NOW, &mut packet, meta, &mut sink);
        let _ = engine.poll(NOW, 100, &mut sink);
    }
    sink
}

/// An engine that takes over from one that died while it wrote to the first slot.
fn cut<'a>(
    engine: Engine<'a, FlowConfig>,
    policy: FlowConfig,
) -> (Engine<'a, FlowConfig>, AttachReport) {
    let storage = engine.into_parts().0;
    storage.head.seal.open(0);
    Engine::attach(storage, Config::new([1, 2]), policy).expect("an engine has lived here")
}

const HANDSHAKE: [(Port, Flags, [u32; 2], u32); 3] = [
    (Port::Inner, Flags::SYN, [FIRST - 1, 0], 0),
    (Port::Outer, SYN_ACK, [499, FIRST], 0),
    (Port::Inner, Flags::ACK, [FIRST, 500], 0),
];
const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);

#[test]
fn h8_7_a_handshake_that_was_written_to_is_forgotten_and_nobody_hears_of_it() {
    for packets in [1, 2] {
        let mut memory = Memory::new();
        let engine = Engine::new(memory.as_storage(), Config::new([1, 2]), policy());
        let mut engine = engine.expect("memory that fits");
        let _ = hear(&mut engine, &HANDSHAKE[..packets]);
        let (mut engine, report) = cut(engine, policy());
        let expected = AttachReport {
            forgotten: 1,
            interrupted: true,
            ..AttachReport::default()
        };
        assert_eq!(report, expected, "{packets}");
        let mut sink = Losses::default();
        let _ = engine.poll(NOW, 100, &mut sink);
        assert_eq!(sink.resets, 0, "{packets}");
    }
}

#[test]
fn h8_7_who_was_reset_is_reset_again_by_the_next_engine() {
    let mut memory = Memory::new();
    let engine = Engine::new(memory.as_storage(), Config::new([1, 2]), policy());
    let mut engine = engine.expect("memory that fits");
    let _ = hear(&mut engine, &HANDSHAKE);
    let data = [(Port::Inner, Flags::ACK, [FIRST, 500], HELD)];
    let _ = hear(&mut engine, &data);
    let id = engine.flows().last().expect("a flow").id;
    let mut sink = Losses::default();
    assert_eq!(engine.give_up(id, NOW, &mut sink), Ok(true));
    let _ = engine.poll(NOW, 100, &mut sink);
    assert!(sink.resets >= 2, "both hosts");
    let (mut engine, report) = cut(engine, policy());
    assert_eq!((report.forgotten, report.ruined), (0, 0));
    let more = [(Port::Inner, Flags::ACK, [FIRST + HELD, 500], HELD)];
    assert!(hear(&mut engine, &more).resets > 0);
}

#[test]
fn h8_7_only_who_acknowledges_early_can_have_lost_what_it_wrote_down_last() {
    // Until the outer host has sent something, what is stored is not acknowledged.
    for (custody, lost) in [
        (Custody::AfterProof, 0),
        (Custody::AfterHandshake, HELD.into()),
    ] {
        let mut memory = Memory::new();
        let policy = FlowConfig {
            custody,
            ..policy()
        };
        let engine = Engine::new(memory.as_storage(), Config::new([1, 2]), policy);
        let mut engine = engine.expect("memory that fits");
        let _ = hear(&mut engine, &HANDSHAKE);
        let data = [(Port::Inner, Flags::ACK, [FIRST, 500], HELD)];
        let _ = hear(&mut engine, &data);
        let (mut engine, report) = cut(engine, policy);
        assert_eq!((report.ruined, report.flows), (1, 0), "{custody:?}");
        let mut sink = Losses::default();
        let _ = engine.poll(NOW, 100, &mut sink);
        assert_eq!(sink.lost, lost, "{custody:?}");
    }
}

/// A receiver's window may be larger than what the engine may hold: what was sent on at once is owed, too.
#[test]
fn h8_7_a_loss_is_told_of_up_to_64_kib_however_little_is_held() {
    for (acked, told) in [(40_000, 40_000), (70_000, 65_536)] {
        let mut memory = Memory::new();
        let storage = lived(&mut memory);
        storage.flows[0].buffer_limit = 4096;
        let stream = first(storage.flows);
        stream.recv.ack_sent = stream.send.snd_una.advance(acked);
        let (mut engine, report) = Engine::attach(storage, Config::new([1, 2]), policy())
            .expect("an engine has lived here");
        assert_eq!(report.ruined, 1);
        let mut sink = Losses::default();
        let _ = engine.poll(NOW, 100, &mut sink);
        assert_eq!(sink.lost, told);
    }
}

#[test]
fn h13_1_two_flows_whose_names_have_one_hash_both_go_on() {
    let mut seen = BTreeMap::new();
    let twins = (0..400_000_u32).find_map(|number| {
        let [a, b, c, d] = number.to_be_bytes();
        let key = FlowKey::new(
            [10, a, b, c].into(),
            d.into(),
            [192, 0, 2, 1].into(),
            443,
            0,
        );
        let earlier = seen.insert(key.hash([1, 2]), key)?;
        Some([earlier, key])
    });
    let twins = twins.expect("there are 18 such pairs on average");
    let (report, resets, blocks) = after(|flows| {
        for (flow, key) in flows.iter_mut().zip(&twins) {
            flow.key = key.into();
        }
    });
    assert_eq!((report.flows, report.forgotten, report.ruined), (2, 0, 0));
    assert_eq!((resets, blocks), (vec![], 4));
}
