//! One connection through the engine, packet by packet: what it does with each, and why a sender
//! behind it no longer waits for the long path.
//!
//! `cargo run -p localack-core --example walkthrough`

use core::net::{IpAddr, Ipv4Addr};

use localack_core::wire::{self, Flags, HeaderSpec, Parsed, Sum};
use localack_core::{
    Config, ConfigError, Engine, Event, FlowConfig, Instant, PacketMeta, Poll, Port, SeqNum, Sink,
    SinkFull, StaticStorage, Transmit, Verdict,
};

/// Memory for eight connections with 64 blocks of 1,536 octets between them.
type Memory = StaticStorage<8, 16, 64, { 64 * 1536 }>;

/// The sender, on the near side.
const CLIENT: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 40_000);
/// The receiver, a satellite hop away.
const SERVER: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 443);

/// Prints what the engine sends and tells.
struct Console;

impl Sink for Console {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let octets: Vec<u8> = packet.slices().flatten().copied().collect();
        println!(
            "      engine sends to {:?}: {:<14} {}",
            packet.port(),
            packet.kind().slug(),
            describe(&octets)
        );
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        if let Event::Adopted { handshake, .. } = event {
            let far = handshake.round_trip(Port::Outer);
            println!(
                "      engine: adopted; the far side is {} ms away",
                far.as_millis()
            );
        } else if let Event::CustodyBegun { .. } = event {
            println!("      engine: local acknowledgement begins");
        } else {
            println!("      engine: {event:?}");
        }
    }
}

/// A segment from the host on `port`; `None` if the payload is too long for one.
fn segment(port: Port, seq: u32, ack: u32, flags: Flags, payload: &[u8]) -> Option<Vec<u8>> {
    let ((src, src_port), (dst, dst_port)) = match port {
        Port::Inner => (CLIENT, SERVER),
        Port::Outer => (SERVER, CLIENT),
    };
    let spec = HeaderSpec {
        src,
        dst,
        src_port,
        dst_port,
        seq: SeqNum::new(seq),
        ack: SeqNum::new(ack),
        flags,
        window: 65_535,
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
    let header = wire::emit(&spec, u32::try_from(payload.len()).ok()?, sum)?;
    Some([header.as_slice(), payload].concat())
}

/// The TCP header of a packet, in the words of packet listings.
fn describe(packet: &[u8]) -> String {
    match wire::parse(packet) {
        Parsed::Tcp(s) => format!(
            "[{:?}] seq {} ack {} window {} len {}",
            s.flags,
            s.seq.raw(),
            s.ack.raw(),
            s.window,
            s.payload_len
        ),
        Parsed::Icmp(_) | Parsed::Other(_) => "no TCP segment".to_owned(),
    }
}

/// When, on which port, what for, SEQ, ACK, flags, payload.
type Scene = (u64, Port, &'static str, u32, u32, Flags, &'static [u8]);

const ACK: Flags = Flags::ACK;
const PUSH: Flags = Flags::ACK.union(Flags::PSH);
const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);

const SCENES: [Scene; 7] = [
    (0, Port::Inner, "client opens", 1000, 0, Flags::SYN, b""),
    (600, Port::Outer, "server answers", 5000, 1001, SYN_ACK, b""),
    (601, Port::Inner, "client confirms", 1001, 5001, ACK, b""),
    (
        602,
        Port::Inner,
        "first data",
        1001,
        5001,
        PUSH,
        &[b'a'; 500],
    ),
    (1202, Port::Outer, "server has it", 5001, 1501, ACK, b""),
    (
        1203,
        Port::Inner,
        "more data",
        1501,
        5001,
        PUSH,
        &[b'b'; 500],
    ),
    (1803, Port::Outer, "server has it too", 5001, 2001, ACK, b""),
];

fn main() -> Result<(), ConfigError> {
    let mut memory = Box::new(Memory::new());
    let config = Config::new([0x0123_4567, 0x89ab_cdef]);
    let policy = FlowConfig::inner_local_ack();
    let mut engine = Engine::new(memory.as_storage(), config, policy)?;
    for (millis, port, what, seq, ack, flags, payload) in SCENES {
        let Some(mut packet) = segment(port, seq, ack, flags, payload) else {
            continue;
        };
        let now = Instant::from_millis(millis);
        println!("{millis:>5} {what}, on {port:?}: {}", describe(&packet));
        match engine.ingest(port, now, &mut packet, PacketMeta::default(), &mut Console) {
            Verdict::Pass(reason) => println!("      sent on as it is ({})", reason.slug()),
            Verdict::Forward => println!("      sent on, edited: {}", describe(&packet)),
            Verdict::Absorb(reason) => println!("      absorbed ({})", reason.slug()),
            Verdict::Drop(reason) => println!("      dropped ({})", reason.slug()),
        }
        while engine.poll(now, 64, &mut Console) == Poll::More {}
        let debt = engine
            .flows()
            .map(|flow| flow.inner_to_outer.debt)
            .sum::<u32>();
        if debt > 0 {
            println!("      in custody: {debt} octets");
        }
    }
    Ok(())
}
