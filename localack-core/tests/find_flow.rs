//! Flows are found by the name of their connection, as callers who keep something beside them need it.

#![allow(
    clippy::expect_used,
    reason = "a test that goes wrong here should stop"
)]

use core::net::IpAddr;

use localack_core::wire::{Flags, HeaderSpec, Sum, emit};
use localack_core::{
    Config, Engine, FlowConfig, FlowKey, Instant, LinkId, PacketMeta, PassReason, Port, SeqNum,
    Sink, SinkFull, StaticStorage, Transmit, Verdict,
};

struct Nowhere;

impl Sink for Nowhere {
    fn transmit(&mut self, _: Transmit<'_>) -> Result<(), SinkFull> {
        Ok(())
    }
}

/// A packet of the connection, from the client or to it.
fn packet(from_client: bool, flags: Flags) -> Vec<u8> {
    let mut ends = [
        (IpAddr::from([192, 0, 2, 1]), 40_000),
        ([192, 0, 2, 2].into(), 443),
    ];
    let mut numbers = [SeqNum::new(100), SeqNum::new(900)];
    if !from_client {
        ends.reverse();
        numbers.reverse();
    }
    let [(src, src_port), (dst, dst_port)] = ends;
    let spec = HeaderSpec {
        src,
        dst,
        src_port,
        dst_port,
        seq: numbers[0],
        ack: numbers[1].advance(1),
        flags,
        window: 60_000,
        urgent: 0,
        timestamps: None,
        sack: &[],
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        dont_fragment: true,
    };
    let packet = emit(&spec, 0, Sum::new()).expect("one IP version");
    packet.as_slice().to_vec()
}

#[test]
fn a_flow_is_found_from_its_first_syn_on_by_its_ends_and_its_link() {
    let mut memory = Box::new(StaticStorage::<8, 16, 64, { 64 * 1536 }>::new());
    let policy = FlowConfig::inner_local_ack();
    let mut engine = Engine::new(memory.as_storage(), Config::new([1, 2]), policy).unwrap();
    let key = |link| {
        let (inner, outer) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        FlowKey::new(inner, 40_000, outer, 443, link)
    };
    let meta = PacketMeta {
        link: LinkId(7),
        ..PacketMeta::default()
    };
    let now = Instant::from_millis(1);
    assert_eq!(engine.find_flow(&key(7)), None);
    let mut names = Vec::new();
    for (from_client, flags) in [
        (true, Flags::SYN),
        (false, Flags::SYN.union(Flags::ACK)),
        (true, Flags::ACK),
    ] {
        let port = if from_client {
            Port::Inner
        } else {
            Port::Outer
        };
        let mut packet = packet(from_client, flags);
        let verdict = engine.ingest(port, now, &mut packet, meta, &mut Nowhere);
        assert_ne!(verdict, Verdict::Pass(PassReason::MidStream));
        names.push(engine.find_flow(&key(7)).expect("it was seen"));
        // H9.5: the same ends over another link are another connection.
        assert_eq!(engine.find_flow(&key(8)), None);
    }
    assert_eq!(names, [names[0]; 3], "one name, as long as it lives");
    let flow = engine.flow(names[0]).expect("it has been adopted");
    assert_eq!((flow.id, flow.key), (names[0], key(7)));
}
