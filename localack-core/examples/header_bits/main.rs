//! A packet service of one's own beside local acknowledgement: it counts the bits of TCP headers of the flows
//! that it is arranged for.
//!
//! `cargo run -p localack-core --example header_bits`

mod counter;

use counter::HeaderBits;
use localack_core::wire::{Flags, HeaderSpec, Sum, emit};
use localack_core::{
    Config, Direction, Engine, FlowConfig, Instant, PacketMeta, Poll, Port, SeqNum, Shaping,
    ShapingId, Sink, SinkFull, StaticStorage, Transmit,
};

/// Octets of each segment of the upload.
const SEGMENT: u32 = 500;

/// Where packets of the engine go: nobody is there.
struct Nowhere;

impl Sink for Nowhere {
    fn transmit(&mut self, _: Transmit<'_>) -> Result<(), SinkFull> {
        Ok(())
    }
}

/// A packet of the client if it comes from inside, else of the server.
fn packet(from: Port, flags: Flags, seq: u32, ack: u32, payload: &[u8]) -> Option<Vec<u8>> {
    let mut ends = [([192, 0, 2, 1], 40_000), ([198, 51, 100, 7], 80)];
    if from == Port::Outer {
        ends.reverse();
    }
    let [(src, src_port), (dst, dst_port)] = ends;
    let spec = HeaderSpec {
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
    };
    let mut sum = Sum::new();
    sum.add_bytes(payload);
    let header = emit(&spec, u32::try_from(payload.len()).ok()?, sum)?;
    Some([header.as_slice(), payload].concat())
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let mut memory = Box::new(StaticStorage::<8, 16, 64, { 64 * 1536 }>::new());
    // The first of the caller's own services is the lowest bit. What comes from inside is counted, and
    // acknowledged at once; what comes from outside is counted.
    let counted = ShapingId::new(1).ok_or("there are sixteen")?;
    let policy = FlowConfig::inner_local_ack()
        .with_shaping(Direction::InnerToOuter, counted)
        .with_shaping(Direction::OuterToInner, counted);
    let config = Config::new([1, 2]);
    let mut engine =
        Engine::new(memory.as_storage(), config, policy)?.with_services((HeaderBits::default(),));
    engine.set_shaping(counted, &Shaping::NONE.with_own(1), Instant::ZERO);

    let (syn, ack, push) = (Flags::SYN, Flags::ACK, Flags::PSH);
    let payload = [0x55; SEGMENT as usize];
    let mut packets = vec![
        packet(Port::Inner, syn, 0, 0, &[]).map(|octets| (Port::Inner, octets)),
        packet(Port::Outer, syn.union(ack), 0, 1, &[]).map(|octets| (Port::Outer, octets)),
        packet(Port::Inner, ack, 1, 1, &[]).map(|octets| (Port::Inner, octets)),
    ];
    for number in 0..4_u32 {
        let seq = number.saturating_mul(SEGMENT).saturating_add(1);
        let data = packet(Port::Inner, ack.union(push), seq, 1, &payload);
        packets.push(data.map(|octets| (Port::Inner, octets)));
        let end = seq.saturating_add(SEGMENT);
        let answer = packet(Port::Outer, ack, 1, end, &[]);
        packets.push(answer.map(|octets| (Port::Outer, octets)));
    }
    for (millis, packet) in (0..).zip(packets) {
        let (port, mut octets) = packet.ok_or("a packet that is too large")?;
        let now = Instant::from_millis(millis);
        let verdict = engine.ingest(port, now, &mut octets, PacketMeta::default(), &mut Nowhere);
        println!("{millis:2} ms, {port:?}: {verdict:?}");
        while engine.poll(now, 16, &mut Nowhere) == Poll::More {}
    }
    let (counter,) = engine.services();
    print!("{counter}");
    Ok(())
}
