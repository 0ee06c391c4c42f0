//! Nothing that arrives makes the engine panic, grow, or answer without measure, and the same
//! input gives the same output.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that goes wrong here should stop"
)]

use core::net::SocketAddr;
use core::time::Duration;

use localack_core::{
    Config, Engine, FlowConfig, Instant, PacketMeta, Poll, Port, Sink, SinkFull, StaticStorage,
    Transmit, TransmitKind, Verdict,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet};
use localack_testkit::sim::{Random, seeds};

/// Packets that one ingested packet may push (architecture section 3).
const MOST_PUSHED: usize = 3;

#[derive(Default)]
struct Tape {
    packets: Vec<(Port, Vec<u8>)>,
    full: bool,
}

impl Sink for Tape {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        if self.full {
            return Err(SinkFull);
        }
        self.packets
            .push((packet.port(), packet.slices().flatten().copied().collect()));
        Ok(())
    }
}

/// One pair of hosts and how far they have got.
struct Talk {
    v6: bool,
    /// Next sequence number of the inner and the outer host.
    numbers: [u32; 2],
    /// Packets of the handshake that were sent.
    stage: u32,
    stamps: bool,
}

/// The hosts of a life.
struct Hosts {
    random: Random,
    talks: Vec<Talk>,
}

impl Hosts {
    fn new(mut random: Random) -> Self {
        let talk = |random: &mut Random| Talk {
            v6: random.chance(300_000),
            numbers: [random.below(u32::MAX), random.below(u32::MAX)],
            stage: 0,
            stamps: random.chance(500_000),
        };
        let talks = (0..5).map(|_| talk(&mut random)).collect();
        Self { random, talks }
    }

    /// The next segment of one of the connections: often a sensible one, sometimes not.
    fn segment(&mut self) -> (Port, Vec<u8>) {
        let random = &mut self.random;
        let host = random.below(u32::try_from(self.talks.len()).expect("few")) as usize;
        let talk = &mut self.talks[host];
        if random.chance(2_000) {
            talk.stage = 0;
            talk.numbers = [random.below(u32::MAX), random.below(u32::MAX)];
        }
        let proper = talk.stage < 3 && random.chance(950_000);
        let own = match talk.stage {
            0 | 2 if proper => 0,
            1 if proper => 1,
            _ => random.below(2) as usize,
        };
        let flags = match (proper, talk.stage) {
            (true, 0) => Flags::SYN,
            (true, 1) => Flags::SYN | Flags::ACK,
            (true, _) => Flags::ACK,
            _ => odd_flags(random),
        };
        let near = |random: &mut Random, number: u32| match random.below(10) {
            0 if !proper => number.wrapping_add(random.below(8000)).wrapping_sub(4000),
            1 if !proper && random.chance(200_000) => random.below(u32::MAX),
            _ => number,
        };
        let seq = near(random, talk.numbers[own]);
        let ack = near(random, talk.numbers[1 - own]);
        let syn = flags.has(Flags::SYN);
        let length = if proper {
            0
        } else {
            [0, 0, 1, 100, 1000, 1400][random.below(6) as usize]
        };
        let block = |random: &mut Random| {
            let left = near(random, ack).wrapping_add(random.below(3000));
            (left, left.wrapping_add(random.below(3000)))
        };
        let blocks = random
            .below(8)
            .saturating_sub(if talk.stamps { 5 } else { 4 });
        let sack = if syn {
            Vec::new()
        } else {
            (0..blocks).map(|_| block(random)).collect()
        };
        let stamp = random.below(1000);
        let (source, destination) = addresses(talk.v6, host, own);
        let packet = Packet {
            source,
            destination,
            ip: IpFields::default(),
            flags,
            seq,
            ack,
            window: [0, 1, 1000, 60_000][random.below(4) as usize],
            urgent: 0,
            options: Options {
                mss: syn.then(|| 536 + u16::from(random.octet()) * 4),
                window_scale: (syn && random.chance(500_000)).then(|| random.octet() & 15),
                sack_permitted: syn && random.chance(800_000),
                timestamps: talk.stamps.then_some((stamp, random.below(1000))),
                sack,
                ..Options::default()
            },
            payload: (0..length).map(|_| random.octet()).collect(),
        };
        if seq == talk.numbers[own] && !flags.has(Flags::RST) {
            talk.numbers[own] = seq.wrapping_add(packet.seq_len());
        }
        talk.stage += u32::from(proper);
        let layout = if random.chance(200_000) {
            Layout::Odd
        } else {
            Layout::Aligned
        };
        (
            if own == 0 { Port::Inner } else { Port::Outer },
            packet.encode(layout),
        )
    }
}

fn odd_flags(random: &mut Random) -> Flags {
    match random.below(60) {
        0 => Flags::SYN,
        1 => Flags::SYN | Flags::ACK,
        2 => Flags::RST,
        3 => Flags::RST | Flags::ACK,
        4 => Flags::FIN | Flags::ACK,
        5 => Flags::ACK | Flags::URG,
        6 => Flags(u16::from(random.octet())),
        7 => Flags::ACK | Flags::PSH | Flags::FIN,
        8..12 => Flags::ACK | Flags::PSH,
        _ => Flags::ACK,
    }
}

fn addresses(v6: bool, host: usize, own: usize) -> (SocketAddr, SocketAddr) {
    let (inner, outer) = if v6 {
        (
            format!("[2001:db8:1::{host}]:40000"),
            "[2001:db8:2::1]:443".to_owned(),
        )
    } else {
        (
            format!("192.0.2.{host}:40000"),
            "203.0.113.1:443".to_owned(),
        )
    };
    let [inner, outer] = [inner, outer].map(|text| text.parse().expect("a literal"));
    if own == 0 {
        (inner, outer)
    } else {
        (outer, inner)
    }
}

/// What came of a life.
#[derive(PartialEq, Eq, Debug)]
struct Life {
    /// All that left, in order.
    left: Vec<(Port, Vec<u8>)>,
    adopted: u64,
    local_acks: u64,
    retransmissions: u64,
}

/// A whole life from `seed`.
fn live(seed: u64, steps: u32, sloppy: bool) -> Life {
    let mut random = Random::new(seed);
    let mut memory = Memory::new(4, 16, 1536);
    let mut flow = FlowConfig::both_local_ack();
    flow.ack_delay = Duration::from_millis(u64::from(random.below(11)));
    let mut engine = Engine::new(memory.storage(), Config::new([seed, 2]), flow).expect("valid");
    let (mut tape, mut all) = (Tape::default(), Vec::new());
    let mut hosts = Hosts::new(random.fork());
    let mut now = 1_000_000_u64;
    for step in 0..steps {
        now += u64::from(random.below(50_000));
        if random.chance(5_000) {
            now += 100_000_000;
        }
        // Time may run backwards; that counts as standing still.
        let said = if random.chance(20_000) { now / 2 } else { now };
        let at = Instant::from_micros(said);
        let (port, mut octets) = hosts.segment();
        if sloppy && random.chance(300_000) {
            for _ in 0..=random.below(4) {
                let at = random.below(u32::try_from(octets.len()).expect("short")) as usize;
                octets[at] = random.octet();
            }
            octets.truncate(1 + random.below(u32::try_from(octets.len()).expect("short")) as usize);
        }
        tape.full = random.chance(50_000);
        let original = octets.clone();
        let checksum = [
            <_>::default(),
            localack_core::Checksum::Verified,
            localack_core::Checksum::Partial,
        ][usize::try_from(random.below(8))
            .expect("small")
            .saturating_sub(5)];
        let meta = PacketMeta {
            checksum,
            ..PacketMeta::default()
        };
        let verdict = engine.ingest(port, at, &mut octets, meta, &mut tape);
        let pushed = tape.packets.len();
        assert!(
            pushed <= MOST_PUSHED,
            "seed {seed} step {step}: {pushed} packets pushed by one"
        );
        match verdict {
            Verdict::Pass(_) => {
                assert_eq!(
                    octets, original,
                    "seed {seed} step {step}: a passed packet was changed"
                );
                all.push((port.other(), octets));
            }
            Verdict::Forward => {
                assert_eq!(octets.len(), original.len(), "seed {seed} step {step}");
                all.push((port.other(), octets));
            }
            Verdict::Absorb(_) | Verdict::Drop(_) => {}
        }
        let mut rounds = 0;
        while engine.poll(at, 8, &mut tape) == Poll::More {
            rounds += 1;
            assert!(
                rounds < 1000,
                "seed {seed} step {step}: poll does not come to rest"
            );
        }
        // The windows of all flows are bounded by the memory lent: 16 blocks.
        let left: usize = tape.packets.iter().map(|(_, octets)| octets.len()).sum();
        assert!(
            left <= 16 * 1536 + 100 * 100,
            "seed {seed} step {step}: {left} octets at once"
        );
        all.append(&mut tape.packets);
        let held: u32 = engine
            .flows()
            .flat_map(|flow| [flow.inner_to_outer.custody, flow.outer_to_inner.custody])
            .sum();
        assert!(
            held <= 16 * 1536,
            "seed {seed} step {step}: {held} octets held (invariant 23)"
        );
    }
    let counters = engine.counters();
    Life {
        left: all,
        adopted: counters.flows_adopted,
        local_acks: counters.transmitted(TransmitKind::LocalAck),
        retransmissions: counters.transmitted(TransmitKind::Retransmission),
    }
}

/// Many lives, which must have led somewhere.
fn survive(sloppy: bool) {
    let lives: Vec<Life> = seeds(60)
        .into_iter()
        .map(|seed| live(seed, 1500, sloppy))
        .collect();
    if std::env::var_os("LOCALACK_SEED").is_some() {
        // One life is replayed; it alone need not have seen everything.
        return;
    }
    let total = |count: fn(&Life) -> u64| lives.iter().map(count).sum::<u64>();
    assert!(
        total(|life| life.adopted) > 20,
        "hardly any flow was adopted"
    );
    assert!(
        total(|life| life.local_acks) > 100,
        "hardly anything was acknowledged: {}",
        total(|life| life.local_acks)
    );
    assert!(
        total(|life| life.retransmissions) > 20,
        "hardly anything was resent"
    );
}

/// Valid segments in any order, of a few connections, with a sink that is full at times.
#[test]
fn any_sequence_of_segments_is_survived() {
    survive(false);
}

/// The same with octets overwritten and packets cut off.
#[test]
fn mutated_segments_are_survived() {
    survive(true);
}

/// Octets that are nothing at all pass untouched (invariant 24).
#[test]
fn noise_passes_or_is_survived() {
    let mut random = Random::new(99);
    let mut memory = Memory::new(4, 16, 1536);
    let mut engine = Engine::new(
        memory.storage(),
        Config::new([1, 2]),
        FlowConfig::both_local_ack(),
    )
    .expect("valid");
    let mut tape = Tape::default();
    for step in 0..50_000_u64 {
        let length = random.below(120) as usize;
        let mut octets: Vec<u8> = (0..length).map(|_| random.octet()).collect();
        // Half of it claims to be IPv4 or IPv6 with TCP inside.
        if random.chance(500_000) && length > 10 {
            let v6 = random.chance(500_000);
            octets[0] = if v6 { 0x60 } else { 0x45 };
            octets[if v6 { 6 } else { 9 }] = 6;
        }
        let original = octets.clone();
        let verdict = engine.ingest(
            Port::Inner,
            Instant::from_micros(step),
            &mut octets,
            PacketMeta::default(),
            &mut tape,
        );
        assert!(
            matches!(verdict, Verdict::Pass(_)),
            "noise became {verdict:?}"
        );
        assert_eq!(octets, original);
    }
    assert!(tape.packets.is_empty(), "noise was answered");
}

/// Architecture, promise 6: the same packets at the same times give the same octets out.
#[test]
fn the_same_input_gives_the_same_output() {
    for seed in seeds(5) {
        assert_eq!(live(seed, 800, true), live(seed, 800, true), "seed {seed}");
    }
}

/// Memory for eight flows and their buffers in a static of 64 KiB, with nothing on the heap.
#[test]
fn static_storage_serves_a_connection() {
    use std::sync::Mutex;
    static STORAGE: Mutex<StaticStorage<8, 16, 64, 49_152>> = Mutex::new(StaticStorage::new());
    assert!(
        size_of::<StaticStorage<8, 16, 64, 49_152>>() <= 65_536,
        "{} octets",
        size_of::<StaticStorage<8, 16, 64, 49_152>>()
    );
    let mut storage = STORAGE.lock().expect("not poisoned");
    let mut engine = Engine::new(
        storage.as_storage(),
        Config::new([3, 4]),
        FlowConfig::inner_local_ack(),
    )
    .expect("valid");
    let mut tape = Tape::default();
    let base = Packet {
        source: "192.0.2.1:1000".parse().expect("a literal"),
        destination: "192.0.2.2:80".parse().expect("a literal"),
        ip: IpFields::default(),
        flags: Flags::SYN,
        seq: 100,
        ack: 0,
        window: 20_000,
        urgent: 0,
        options: Options::default(),
        payload: Vec::new(),
    };
    let back = Packet {
        source: base.destination,
        destination: base.source,
        flags: Flags::SYN | Flags::ACK,
        seq: 700,
        ack: 101,
        ..base.clone()
    };
    let third = Packet {
        flags: Flags::ACK,
        seq: 101,
        ack: 701,
        ..base.clone()
    };
    let data = Packet {
        payload: vec![7; 500],
        ..third.clone()
    };
    let greeting = Packet {
        flags: Flags::ACK,
        seq: 701,
        payload: vec![8; 10],
        ..back.clone()
    };
    let script = [
        (Port::Inner, base),
        (Port::Outer, back),
        (Port::Inner, third),
        (Port::Outer, greeting),
        (Port::Inner, data),
    ];
    for (number, (port, packet)) in (1..).zip(script) {
        let mut octets = packet.encode(Layout::Aligned);
        let now = Instant::from_millis(number);
        let _ = engine.ingest(port, now, &mut octets, PacketMeta::default(), &mut tape);
        while engine.poll(now, 8, &mut tape) == Poll::More {}
    }
    let acknowledged = tape.packets.iter().any(|(port, octets)| {
        *port == Port::Inner
            && Packet::decode(octets).is_ok_and(|decoded| decoded.packet.ack == 601)
    });
    assert!(acknowledged, "no local acknowledgement from static memory");
}

/// A table of a million flows in slices is made at once and serves a connection.
#[test]
fn a_million_flows_fit_in_slices() {
    let mut memory = Memory::new(1_000_000, 4096, 1536);
    let flow = FlowConfig::inner_local_ack();
    let mut engine = Engine::new(memory.storage(), Config::new([5, 6]), flow).expect("valid");
    let mut tape = Tape::default();
    for host in 0..1000_u32 {
        let address = core::net::Ipv4Addr::from(0x0a00_0000 + host);
        let packet = Packet {
            source: (address, 1000).into(),
            destination: "192.0.2.2:80".parse().expect("a literal"),
            ip: IpFields::default(),
            flags: Flags::SYN,
            seq: host,
            ack: 0,
            window: 20_000,
            urgent: 0,
            options: Options::default(),
            payload: Vec::new(),
        };
        let mut octets = packet.encode(Layout::Aligned);
        let verdict = engine.ingest(
            Port::Inner,
            Instant::from_millis(1),
            &mut octets,
            PacketMeta::default(),
            &mut tape,
        );
        assert!(matches!(verdict, Verdict::Pass(_)), "{verdict:?}");
    }
    assert_eq!(engine.flows().count(), 1000);
    assert!(
        engine.next_deadline().is_some(),
        "unfinished handshakes never expire"
    );
}
