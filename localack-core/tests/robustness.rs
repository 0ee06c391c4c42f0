//! Nothing that arrives makes the engine panic, grow, or answer without measure, and the same
//! input gives the same output.

use core::time::Duration;

use localack_core::{
    Config, Engine, FlowConfig, Instant, PacketMeta, Poll, Port, Sink, SinkFull, StaticStorage,
    Transmit, Verdict,
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
        self.packets.push((packet.port(), packet.slices().flatten().copied().collect()));
        Ok(())
    }
}

/// A random segment of one of a few connections, more often sensible than not.
fn segment(random: &mut Random, numbers: &mut [u32; 2]) -> (Port, Vec<u8>) {
    let v6 = random.chance(300_000);
    let host = random.below(3);
    let (inner, outer) = if v6 {
        (format!("[2001:db8:1::{host}]:40000"), "[2001:db8:2::1]:443".to_owned())
    } else {
        (format!("192.0.2.{host}:40000"), "203.0.113.1:443".to_owned())
    };
    let port = if random.chance(500_000) { Port::Inner } else { Port::Outer };
    let (own, peer) = if port == Port::Inner { (0, 1) } else { (1, 0) };
    let (source, destination) = if own == 0 { (inner, outer) } else { (outer, inner) };
    let flags = match random.below(20) {
        0 => Flags::SYN,
        1 => Flags::SYN | Flags::ACK,
        2 => Flags::RST,
        3 => Flags::RST | Flags::ACK,
        4 => Flags::FIN | Flags::ACK,
        5 => Flags::ACK | Flags::URG,
        6 => Flags(u16::from(random.octet())),
        7 => Flags::ACK | Flags::PSH | Flags::FIN,
        _ => Flags::ACK,
    };
    let near = |random: &mut Random, number: u32| match random.below(8) {
        0 => number.wrapping_add(random.below(4000)).wrapping_sub(2000),
        1 => random.below(u32::MAX),
        _ => number,
    };
    let length = [0, 0, 1, 100, 1000, 1400][random.below(6) as usize];
    let seq = near(random, numbers[own]);
    let ack = near(random, numbers[peer]);
    let block = |random: &mut Random| {
        let left = near(random, ack).wrapping_add(random.below(3000));
        (left, left.wrapping_add(random.below(3000)))
    };
    let sack: Vec<_> = (0..random.below(8).saturating_sub(4)).map(|_| block(random)).collect();
    let syn = flags.has(Flags::SYN);
    let stamps = random.chance(700_000).then(|| (random.below(1000), random.below(1000)));
    let blocks = if stamps.is_some() { 3 } else { 4 };
    let packet = Packet {
        source: source.parse().expect("a literal"),
        destination: destination.parse().expect("a literal"),
        ip: IpFields::default(),
        flags,
        seq,
        ack,
        window: [0, 1, 1000, 60_000][random.below(4) as usize],
        urgent: 0,
        options: Options {
            mss: syn.then(|| u16::from(random.octet()) * 8),
            window_scale: (syn && random.chance(500_000)).then(|| random.octet() & 15),
            sack_permitted: syn && random.chance(800_000),
            timestamps: stamps,
            sack: if syn { Vec::new() } else { sack.into_iter().take(blocks).collect() },
            ..Options::default()
        },
        payload: (0..length).map(|_| random.octet()).collect(),
    };
    if seq == numbers[own] {
        numbers[own] = seq.wrapping_add(packet.seq_len());
    }
    (port, packet.encode(if random.chance(200_000) { Layout::Odd } else { Layout::Aligned }))
}

/// A whole life from `seed`: what arrives, when, and all that leaves, in order.
fn live(seed: u64, steps: u32, sloppy: bool) -> Vec<(Port, Vec<u8>)> {
    let mut random = Random::new(seed);
    let mut memory = Memory::new(4, 16, 1536);
    let mut flow = FlowConfig::both_local_ack();
    flow.ack_delay = Duration::from_millis(u64::from(random.below(11)));
    let mut engine = Engine::new(memory.storage(), Config::new([seed, 2]), flow).expect("valid");
    let (mut tape, mut all) = (Tape::default(), Vec::new());
    let mut numbers = [random.below(u32::MAX), random.below(u32::MAX)];
    let mut now = 1_000_000_u64;
    for step in 0..steps {
        now += u64::from(random.below(50_000));
        if random.chance(5_000) {
            now += 100_000_000;
        }
        // Time may run backwards; that counts as standing still.
        let said = if random.chance(20_000) { now / 2 } else { now };
        let at = Instant::from_micros(said);
        let (port, mut octets) = segment(&mut random, &mut numbers);
        if sloppy && random.chance(300_000) {
            for _ in 0..=random.below(4) {
                let at = random.below(u32::try_from(octets.len()).expect("short")) as usize;
                octets[at] = random.octet();
            }
            octets.truncate(1 + random.below(u32::try_from(octets.len()).expect("short")) as usize);
        }
        tape.full = random.chance(50_000);
        let original = octets.clone();
        let checksum = [<_>::default(), localack_core::Checksum::Verified, localack_core::Checksum::Partial]
            [usize::try_from(random.below(8)).expect("small").saturating_sub(5)];
        let meta = PacketMeta { checksum, ..PacketMeta::default() };
        let verdict = engine.ingest(port, at, &mut octets, meta, &mut tape);
        let pushed = tape.packets.len();
        assert!(pushed <= MOST_PUSHED, "seed {seed} step {step}: {pushed} packets pushed by one");
        match verdict {
            Verdict::Pass(_) => {
                assert_eq!(octets, original, "seed {seed} step {step}: a passed packet was changed");
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
            assert!(rounds < 1000, "seed {seed} step {step}: poll does not come to rest");
        }
        // The windows of all flows are bounded by the memory lent: 16 blocks.
        let left: usize = tape.packets.iter().map(|(_, octets)| octets.len()).sum();
        assert!(left <= 16 * 1536 + 100 * 100, "seed {seed} step {step}: {left} octets at once");
        all.append(&mut tape.packets);
        let held: u32 = engine
            .flows()
            .flat_map(|flow| [flow.inner_to_outer.custody, flow.outer_to_inner.custody])
            .sum();
        assert!(held <= 16 * 1536, "seed {seed} step {step}: {held} octets held (invariant 23)");
    }
    all
}

/// Valid segments in any order, of a few connections, with a sink that is full at times.
#[test]
fn any_sequence_of_segments_is_survived() {
    for seed in seeds(30) {
        let left = live(seed, 1500, false);
        assert!(!left.is_empty());
    }
}

/// The same with octets overwritten and packets cut off.
#[test]
fn mutated_segments_are_survived() {
    for seed in seeds(30) {
        let left = live(seed, 1500, true);
        assert!(!left.is_empty());
    }
}

/// Octets that are nothing at all pass untouched (invariant 24).
#[test]
fn noise_passes_or_is_survived() {
    let mut random = Random::new(99);
    let mut memory = Memory::new(4, 16, 1536);
    let mut engine =
        Engine::new(memory.storage(), Config::new([1, 2]), FlowConfig::both_local_ack()).expect("valid");
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
        assert!(matches!(verdict, Verdict::Pass(_)), "noise became {verdict:?}");
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
    let third = Packet { flags: Flags::ACK, seq: 101, ack: 701, ..base.clone() };
    let data = Packet { payload: vec![7; 500], ..third.clone() };
    let greeting = Packet { flags: Flags::ACK, seq: 701, payload: vec![8; 10], ..back.clone() };
    let script =
        [(Port::Inner, base), (Port::Outer, back), (Port::Inner, third), (Port::Outer, greeting), (Port::Inner, data)];
    for (number, (port, packet)) in (1..).zip(script) {
        let mut octets = packet.encode(Layout::Aligned);
        let now = Instant::from_millis(number);
        let _ = engine.ingest(port, now, &mut octets, PacketMeta::default(), &mut tape);
        while engine.poll(now, 8, &mut tape) == Poll::More {}
    }
    let acknowledged = tape.packets.iter().any(|(port, octets)| {
        *port == Port::Inner && Packet::decode(octets).is_ok_and(|decoded| decoded.packet.ack == 601)
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
    assert!(engine.next_deadline().is_some(), "unfinished handshakes never expire");
}
