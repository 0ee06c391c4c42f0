//! Packet services of the caller's own, arranged with the engine's: what they see, and what becomes of what
//! they do.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that goes wrong here should stop"
)]

#[path = "../examples/header_bits/counter.rs"]
mod counter;

use counter::HeaderBits;
use localack_core::wire::{Flags, HeaderSpec, Parsed, Segment, Sum, checksum, emit, parse};
use localack_core::{
    AbsorbReason, Config, Direction, Engine, FlowConfig, Instant, PacketMeta, PacketService,
    PassReason, Passing, Port, SeqNum, Service, Shaping, ShapingId, Sink, SinkFull, Step, Transmit,
    TransmitKind, Verdict,
};
use localack_testkit::memory::Memory;

/// What the engine sent.
#[derive(Default)]
struct Tape(Vec<(Port, TransmitKind, Vec<u8>)>);

impl Sink for Tape {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let octets = packet.slices().flatten().copied().collect();
        self.0.push((packet.port(), packet.kind(), octets));
        Ok(())
    }
}

fn spec(from: Port, flags: Flags, seq: u32, ack: u32) -> HeaderSpec<'static> {
    let mut ends = [([192, 0, 2, 1], 40_000), ([198, 51, 100, 7], 80)];
    if from == Port::Outer {
        ends.reverse();
    }
    let [(src, src_port), (dst, dst_port)] = ends;
    HeaderSpec {
        src: src.into(),
        dst: dst.into(),
        src_port,
        dst_port,
        seq: SeqNum::new(seq),
        ack: SeqNum::new(ack),
        flags,
        window: 60_000,
        urgent: 0,
        timestamps: None,
        sack: &[],
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        dont_fragment: true,
    }
}

fn packet(from: Port, flags: Flags, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    let mut sum = Sum::new();
    sum.add_bytes(payload);
    let octets = u32::try_from(payload.len()).expect("a short payload");
    let header = emit(&spec(from, flags, seq, ack), octets, sum).expect("one IP version");
    [header.as_slice(), payload].concat()
}

fn segment(packet: &[u8]) -> Segment {
    let Parsed::Tcp(segment) = parse(packet) else {
        panic!("{packet:?} is no segment");
    };
    segment
}

/// The shaping that tests name.
fn id() -> ShapingId {
    ShapingId::new(1).expect("a small number")
}

fn policy() -> FlowConfig {
    FlowConfig::inner_local_ack()
        .with_shaping(Direction::InnerToOuter, id())
        .with_shaping(Direction::OuterToInner, id())
}

/// A flow of which the handshake is over, with the client inside, at 3 ms.
fn open<X: localack_core::PacketServices>(
    engine: &mut Engine<'_, FlowConfig, X>,
    tape: &mut Tape,
    own: u8,
) {
    assert!(engine.set_shaping(id(), &Shaping::NONE.with_own(own), Instant::ZERO));
    let (syn, ack) = (Flags::SYN, Flags::ACK);
    for (millis, port, mut packet) in [
        (0, Port::Inner, packet(Port::Inner, syn, 0, 0, &[])),
        (
            1,
            Port::Outer,
            packet(Port::Outer, syn.union(ack), 0, 1, &[]),
        ),
        (2, Port::Inner, packet(Port::Inner, ack, 1, 1, &[])),
    ] {
        let verdict = send(engine, tape, millis, port, &mut packet);
        assert_eq!(verdict, Verdict::Pass(PassReason::Handshake));
    }
}

fn send<X: localack_core::PacketServices>(
    engine: &mut Engine<'_, FlowConfig, X>,
    tape: &mut Tape,
    millis: u64,
    port: Port,
    packet: &mut [u8],
) -> Verdict {
    let now = Instant::from_micros(millis * 1000);
    engine.ingest(port, now, packet, PacketMeta::default(), tape)
}

macro_rules! engine {
    ($memory:ident, $services:expr) => {
        Engine::new($memory.storage(), Config::new([1, 2]), policy())
            .expect("the settings are valid")
            .with_services($services)
    };
}

#[test]
fn a_counter_sees_all_segments_of_the_flows_that_name_it_and_as_long_as_they_do() {
    let mut memory = Memory::new(4, 64, 1536);
    let mut tape = Tape::default();
    let mut engine = engine!(memory, (HeaderBits::default(),));
    open(&mut engine, &mut tape, 1);
    let push = Flags::ACK.union(Flags::PSH);
    let mut data = packet(Port::Inner, push, 1, 1, b"hello");
    let _ = send(&mut engine, &mut tape, 4, Port::Inner, &mut data);
    // A segment that is damaged is none.
    let mut damaged = packet(Port::Inner, push, 6, 1, b"hello");
    if let Some(last) = damaged.last_mut() {
        *last ^= 1;
    }
    let verdict = send(&mut engine, &mut tape, 5, Port::Inner, &mut damaged);
    assert_eq!(verdict, Verdict::Pass(PassReason::BadChecksum));
    let (counter,) = engine.services();
    // The first SYN went by before the flow had a shaping.
    assert_eq!(counter.segments(Port::Inner), 2);
    assert_eq!(counter.segments(Port::Outer), 1);
    assert_eq!(counter.with(Port::Inner, Flags::PSH), 1);
    assert_eq!(counter.with(Port::Outer, Flags::SYN), 1);
    assert!(counter.to_string().starts_with("inner: 2 segments"));

    let flow = engine.flows().next().expect("there is one").id;
    let (direction, now) = (Direction::InnerToOuter, Instant::from_micros(6000));
    engine
        .arrange(flow, direction, Service::LocalAck, ShapingId::NONE, now)
        .expect("it is known");
    let mut data = packet(Port::Inner, push, 6, 1, b"hello");
    let _ = send(&mut engine, &mut tape, 7, Port::Inner, &mut data);
    assert_eq!(engine.services().0.segments(Port::Inner), 2);
}

/// Does one thing to every segment with data.
enum Act {
    Absorb,
    Window(u16),
    Answer(u8),
}

impl PacketService for Act {
    fn on_segment<S: Sink + ?Sized>(&mut self, passing: &mut Passing<'_, S>) -> Step {
        if !passing.segment().has_payload() {
            return Step::On;
        }
        match *self {
            Self::Absorb => return Step::Absorb,
            Self::Window(window) => passing.edit(|edits| edits.set_window(window)),
            Self::Answer(times) => {
                let back = passing.port();
                let answer = spec(back.other(), Flags::ACK, 1, 1);
                for time in 0..times {
                    let sent = passing.send(back, &answer, b"own");
                    assert_eq!(sent.is_ok(), time < 2, "two packets and no more");
                }
            }
        }
        Step::On
    }
}

#[test]
fn what_is_edited_goes_on_with_a_right_checksum_and_is_seen_by_the_next() {
    /// Notes the windows it sees.
    struct Windows(Vec<u16>);
    impl PacketService for Windows {
        fn on_segment<S: Sink + ?Sized>(&mut self, passing: &mut Passing<'_, S>) -> Step {
            self.0.push(passing.segment().window);
            Step::On
        }
    }
    let mut memory = Memory::new(4, 64, 1536);
    let mut tape = Tape::default();
    let services = (Windows(Vec::new()), Act::Window(777), Windows(Vec::new()));
    let mut engine = engine!(memory, services);
    open(&mut engine, &mut tape, 0b111);
    let mut data = packet(Port::Outer, Flags::ACK, 1, 1, b"hello");
    let verdict = send(&mut engine, &mut tape, 4, Port::Outer, &mut data);
    assert_eq!(verdict, Verdict::Forward);
    let seen = segment(&data);
    assert!(checksum::verify(&data, &seen));
    let (before, _, after) = engine.services();
    assert_eq!(before.0.last(), Some(&60_000));
    assert_eq!(after.0.last(), Some(&777));
    // The engine believes what the services left.
    let flow = engine.flows().next().expect("there is one");
    let edge = flow.inner_to_outer.window_edge;
    assert_eq!(edge, SeqNum::new(1).advance(777));
}

#[test]
fn what_is_absorbed_is_seen_by_nobody_after() {
    let mut memory = Memory::new(4, 64, 1536);
    let mut tape = Tape::default();
    let mut engine = engine!(memory, (Act::Absorb, HeaderBits::default()));
    open(&mut engine, &mut tape, 0b11);
    let mut data = packet(Port::Inner, Flags::ACK, 1, 1, b"hello");
    let verdict = send(&mut engine, &mut tape, 4, Port::Inner, &mut data);
    assert_eq!(verdict, Verdict::Absorb(AbsorbReason::Own));
    assert_eq!(engine.services().1.segments(Port::Inner), 1);
    assert_eq!(engine.counters().absorbed(AbsorbReason::Own), 1);
    let flow = engine.flows().next().expect("there is one");
    assert_eq!(flow.inner_to_outer.rcv_nxt, SeqNum::new(1));
    assert!(tape.0.is_empty());
}

#[test]
fn a_service_sends_two_packets_for_a_segment_and_no_more() {
    let mut memory = Memory::new(4, 64, 1536);
    let mut tape = Tape::default();
    let mut engine = engine!(memory, (Act::Answer(5),));
    open(&mut engine, &mut tape, 1);
    let mut data = packet(Port::Inner, Flags::ACK, 1, 1, b"hello");
    let _ = send(&mut engine, &mut tape, 4, Port::Inner, &mut data);
    let own: Vec<_> = tape
        .0
        .iter()
        .filter(|(_, kind, _)| *kind == TransmitKind::Own)
        .collect();
    assert_eq!(own.len(), 2);
    assert_eq!(engine.counters().transmitted(TransmitKind::Own), 2);
    for (port, _, octets) in own {
        let answer = segment(octets);
        assert_eq!(*port, Port::Inner);
        assert!(checksum::verify(octets, &answer));
        assert_eq!(answer.payload(octets), b"own");
    }
    // And custody goes on beside them.
    let local_acks = tape
        .0
        .iter()
        .filter(|(_, kind, _)| *kind == TransmitKind::LocalAck);
    let flow = engine.flows().next().expect("there is one");
    assert_eq!(flow.inner_to_outer.rcv_nxt, SeqNum::new(6));
    assert_eq!(local_acks.count(), 0, "there is no proof yet (rule H7.1)");
}

#[test]
fn each_bit_is_one_service() {
    for (own, seen) in [
        (0b00, [0, 0]),
        (0b01, [3, 0]),
        (0b10, [0, 3]),
        (0b11, [3, 3]),
    ] {
        let mut memory = Memory::new(4, 64, 1536);
        let mut tape = Tape::default();
        let mut engine = engine!(memory, (HeaderBits::default(), HeaderBits::default()));
        open(&mut engine, &mut tape, own);
        let mut data = packet(Port::Inner, Flags::ACK, 1, 1, b"hello");
        let _ = send(&mut engine, &mut tape, 4, Port::Inner, &mut data);
        let (first, second) = engine.services();
        let counts = [first, second]
            .map(|counter| counter.segments(Port::Inner) + counter.segments(Port::Outer));
        assert_eq!(counts, seen);
    }
}
