//! What the caller is given: packets in pieces, names, counts and texts.

use core::error::Error;
use std::collections::HashSet;

use localack_core::{
    AbsorbReason, AttachError, Config, ConfigError, Direction, DropReason, Event, FlowConfig,
    Instant, PacketMeta, PassReason, Poll, Port, SeqNum, SeqRange, Service, Sink, SinkFull,
    Transmit, TransmitKind, UnknownFlow, Verdict,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, Layout};

use super::lab::{ISN, Lab, MSS, Tape, at, at_once, segment};

/// Sees that each packet that it is lent can be had in one piece too, and passes it on.
#[derive(Default)]
struct Careful {
    tape: Tape,
    /// Payload octets, and per segment of a super-segment, of what carried data.
    lengths: Vec<(usize, u16)>,
    /// The most pieces that a packet came in.
    pieces: usize,
}

impl Sink for Careful {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let pieces: Vec<&[u8]> = packet.slices().collect();
        let whole = pieces.concat();
        assert_eq!(pieces[0], packet.header());
        assert_eq!(packet.wire_len(), whole.len());
        let mut buffer = vec![0xa5; whole.len() + 3];
        assert_eq!(packet.copy_to(&mut buffer), Some(whole.len()));
        assert_eq!(buffer[..whole.len()], whole);
        assert_eq!(buffer[whole.len()..], [0xa5; 3]);
        assert_eq!(packet.copy_to(&mut buffer[..whole.len() - 1]), None);
        if packet.kind() == TransmitKind::Data {
            let payload = whole.len() - packet.header().len();
            self.lengths.push((payload, packet.gso_size()));
        } else {
            assert_eq!(packet.gso_size(), 0, "{:?}", packet.kind());
        }
        self.pieces = self.pieces.max(pieces.len());
        // A sink by reference, and one of a type that is not known, are sinks as well.
        let mut inner: &mut dyn Sink = &mut self.tape;
        Sink::transmit(&mut inner, packet)
    }

    fn event(&mut self, now: Instant, event: Event) {
        let mut inner = &mut self.tape;
        Sink::event(&mut inner, now, event);
    }
}

#[test]
fn what_a_sink_is_lent_is_one_packet_in_pieces() {
    for super_segment in [0, 8_000] {
        let mut config = Config::new([1, 2]);
        config.super_segment = super_segment;
        // Blocks of less than a segment, so that every segment has several.
        let mut memory = Memory::new(4, 512, 300);
        let policy = at_once(FlowConfig::inner_local_ack());
        let mut lab = Lab::new(&mut memory, config, policy);
        lab.offer = (1_001, None);
        lab.shake(0, 0, 3);
        for seq in (1..20_001).step_by(MSS as usize) {
            lab.says(10, Port::Inner, seq, 1, 60_000, MSS);
        }
        let mut sink = Careful::default();
        let mut opens =
            segment(Port::Outer, Flags::ACK, 1, 1_001, 60_000, 0).encode(Layout::Aligned);
        let verdict = lab.engine.ingest(
            Port::Outer,
            at(20),
            &mut opens,
            PacketMeta::default(),
            &mut sink,
        );
        assert!(matches!(verdict, Verdict::Absorb(_)));
        while lab.engine.poll(at(20), 64, &mut sink) == Poll::More {}
        assert!(sink.pieces > 3, "{} pieces", sink.pieces);
        assert!(sink.tape.offered >= sink.lengths.len(), "handed on");
        let mss = MSS as usize;
        for &(payload, gso_size) in &sink.lengths {
            let is_super = payload > mss;
            assert!(is_super == (gso_size > 0), "{payload} by {gso_size}");
            assert!(!is_super || usize::from(gso_size) == mss);
            assert!(payload <= mss.max(super_segment.into()));
        }
        let largest = sink.lengths.iter().max().expect("data");
        assert_eq!(largest.0 > mss, super_segment > 0, "{largest:?}");
        // One that ends the connection is told as an event.
        let id = lab.id();
        let mut reset =
            segment(Port::Outer, Flags::RST | Flags::ACK, 1, 1_001, 0, 0).encode(Layout::Aligned);
        let _verdict = lab.engine.ingest(
            Port::Outer,
            at(30),
            &mut reset,
            PacketMeta::default(),
            &mut sink,
        );
        let told = |event: &Event| matches!(event, Event::Reset { flow, .. } if *flow == id);
        assert!(sink.tape.events.iter().any(told), "{:?}", sink.tape.events);
    }
}

#[test]
fn every_verdict_is_counted_and_a_flow_is_found_by_its_id_while_it_lives() {
    let mut memory = Memory::new(4, 64, 1536);
    let policy = at_once(FlowConfig::inner_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy);
    lab.shake(0, 0, 3);
    assert_eq!(lab.engine.counters().forwarded(), 0);
    lab.says(10, Port::Inner, 1, 1, 60_000, 100);
    // What R says meanwhile is edited in place, to acknowledge what the engine has.
    let before = lab.engine.counters().forwarded();
    lab.says(20, Port::Outer, 1, 1, 60_000, 10);
    let verdict = lab.verdict.expect("a packet came");
    assert_eq!(verdict, Verdict::Forward);
    assert_eq!(lab.engine.counters().forwarded(), before + 1);

    // .. his acknowledgement is absorbed, what does not fit is dropped, and what came by was passed.
    let tally = |lab: &Lab<'_>| {
        let counters = lab.engine.counters();
        [
            counters.absorbed(AbsorbReason::Acknowledgement),
            counters.dropped(DropReason::BlindReset),
            counters.passed(PassReason::Handshake),
            counters.transmitted(TransmitKind::LocalAck),
        ]
    };
    let before = tally(&lab);
    assert_eq!((before[2], before[3]), (3, 1));
    lab.says(30, Port::Outer, 11, 51, 60_000, 0);
    lab.arrives(
        31,
        Port::Inner,
        &segment(Port::Inner, Flags::RST, 500_000, 0, 0, 0),
    );
    let verdict = lab.verdict.expect("a packet came");
    assert_eq!(verdict, Verdict::Drop(DropReason::BlindReset));
    assert_eq!(tally(&lab), [before[0] + 1, before[1] + 1, 3, 1]);

    let info = lab.flow();
    assert_eq!(lab.engine.flow(info.id), Some(info));
    assert_eq!(info.inner_to_outer.service, Service::LocalAck);
    assert_eq!(info.outer_to_inner.service, Service::Bypass);
    assert_eq!(
        info.direction(Direction::InnerToOuter),
        &info.inner_to_outer
    );
    assert_eq!(
        info.direction(Direction::OuterToInner),
        &info.outer_to_inner
    );
    lab.until(400);
    lab.says(410, Port::Outer, 11, 101, 60_000, 0);
    lab.says(411, Port::Inner, 101, 11, 60_000, 0);
    // Nothing is owed: a reset that fits ends it, and the id finds nothing.
    lab.arrives(
        420,
        Port::Outer,
        &segment(Port::Outer, Flags::RST, 11, 0, 0, 0),
    );
    assert_eq!(lab.engine.flow(info.id), None);
    let now = lab.tape.now;
    let service = lab
        .engine
        .set_service(info.id, Direction::InnerToOuter, Service::Bypass, now);
    assert_eq!(service, Err(UnknownFlow));

    let mut memory = Memory::new(4, 64, 1536);
    let policy = FlowConfig::both_local_ack();
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy);
    lab.shake(0, 0, 3);
    for direction in Direction::BOTH {
        let info = *lab.flow().direction(direction);
        assert_eq!(info.service, Service::LocalAck, "{direction:?}");
    }
}

/// Who watches the memory of a gateway sees what is held, and that it is given back.
#[test]
fn blocks_are_in_use_while_they_hold_something() {
    let mut memory = Memory::new(4, 64, 1536);
    let policy = at_once(FlowConfig::inner_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy);
    lab.shake(0, 0, 3);
    assert_eq!(lab.engine.blocks_used(), 0);
    // 6000 octets need four blocks, and no more.
    for number in 0..6 {
        lab.says(10, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
    }
    assert_eq!(lab.engine.blocks_used(), 4);
    lab.says(20, Port::Outer, 1, 1 + 6 * MSS, 60_000, 0);
    assert_eq!(lab.engine.blocks_used(), 0);
}

/// What a packet has settled, no poll has to see to: whoever waits for the next deadline may sleep on.
#[test]
fn what_is_settled_by_a_packet_asks_for_no_poll() {
    let mut memory = Memory::new(4, 64, 1536);
    let policy = at_once(FlowConfig::inner_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy);
    lab.shake(0, 0, 3);
    lab.until(1_000);
    let (id, now) = (lab.id(), lab.tape.now);
    let asked = lab
        .engine
        .set_service(id, Direction::InnerToOuter, Service::LocalAck, now);
    assert_eq!(asked, Ok(()));
    assert_eq!(lab.engine.next_deadline(), Some(now));
    let mut packet = segment(Port::Outer, Flags::ACK, 1, 1, 60_000, 0).encode(Layout::Aligned);
    let meta = PacketMeta::default();
    let _ = lab
        .engine
        .ingest(Port::Outer, now, &mut packet, meta, &mut lab.tape);
    let due = lab.engine.next_deadline();
    assert!(due.is_none_or(|due| due > now), "{due:?} at {now:?}");
}

#[test]
fn names_and_errors_say_what_they_are() {
    let errors = [
        ConfigError::Flows,
        ConfigError::Index,
        ConfigError::Blocks,
        ConfigError::Reservation,
        ConfigError::Time,
        ConfigError::Before,
    ];
    let mut texts: HashSet<String> = errors.iter().map(ToString::to_string).collect();
    texts.insert(UnknownFlow.to_string());
    let refusals = [AttachError::Empty, AttachError::Layout, AttachError::Sizes];
    texts.extend(refusals.iter().map(ToString::to_string));
    assert_eq!(texts.len(), errors.len() + 1 + refusals.len());
    let inner = AttachError::Config(ConfigError::Index).to_string();
    assert_eq!(inner, ConfigError::Index.to_string());
    assert!(texts.iter().all(|text| text.len() > 10), "{texts:?}");
    let error: &dyn Error = &UnknownFlow;
    assert!(error.source().is_none());

    let mut memory = Memory::new(4, 64, 1536);
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), FlowConfig::tracked());
    lab.shake(0, 0, 1);
    let id = lab.id();
    let (slot, tenant) = id.to_string().split_once('.').map_or_else(
        || panic!("{id} has no point"),
        |(slot, tenant)| (slot.to_owned(), tenant.to_owned()),
    );
    assert_eq!(slot, id.slot().to_string());
    assert!(tenant.parse::<u32>().is_ok(), "{tenant}");

    let number = SeqNum::new(ISN[0]);
    assert_eq!(
        (number.to_string(), format!("{number:?}")),
        ("1000".into(), "1000".into())
    );
    let range = SeqRange::new(number, number.advance(48));
    assert_eq!(format!("{range:?}"), "1000:1048");
}
