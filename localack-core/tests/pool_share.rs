//! Flows whose receiver makes no progress may not use up the pool for all (rule H12.4).

#![allow(
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "a test that goes wrong here should stop"
)]

use core::time::Duration;

use localack_core::{
    Config, Engine, Event, FlowConfig, Instant, PacketMeta, PassReason, Poll, Port, Sink, SinkFull,
    Transmit, TransmitKind, Verdict,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet};

/// Takes everything and keeps the news.
#[derive(Default)]
struct News {
    events: Vec<Event>,
    /// Ports of the clients whose server was asked for its window.
    probed: Vec<u16>,
}

impl Sink for News {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        if packet.kind() == TransmitKind::WindowProbe {
            // The source port, behind an IPv4 header.
            let port = packet.header().get(20..22).expect("a TCP header");
            self.probed
                .push(u16::from_be_bytes(port.try_into().expect("two octets")));
        }
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        self.events.push(event);
    }
}

struct World<'e> {
    engine: Engine<'e, FlowConfig>,
    news: News,
    now: Instant,
    /// The window with which servers begin.
    offer: u16,
    /// Both ends permit SACK.
    sack: bool,
}

impl<'e> World<'e> {
    fn new(memory: &'e mut Memory) -> Self {
        let mut config = Config::new([1, 2]);
        config.queue_floor = 1 << 20;
        let mut flow = FlowConfig::inner_local_ack();
        flow.buffer_limit = 40_000;
        Self {
            engine: Engine::new(memory.storage(), config, flow).expect("valid"),
            news: News::default(),
            now: Instant::from_millis(1),
            offer: 60_000,
            sack: false,
        }
    }

    fn takes(&mut self, port: Port, packet: &Packet) -> Verdict {
        let mut octets = packet.encode(Layout::Aligned);
        let verdict = self.engine.ingest(
            port,
            self.now,
            &mut octets,
            PacketMeta::default(),
            &mut self.news,
        );
        self.settles();
        verdict
    }

    fn settles(&mut self) {
        while self.engine.poll(self.now, 64, &mut self.news) == Poll::More {}
    }

    /// Lets time pass, from deadline to deadline.
    fn waits(&mut self, time: Duration) {
        let end = self.now.after(time);
        while let Some(next) = self.engine.next_deadline().filter(|&next| next <= end) {
            self.now = self.now.latest(next);
            self.settles();
        }
        self.now = end;
        self.settles();
    }

    /// Opens a connection from `port` of the client and uploads `octets`; the server has shown that
    /// it is there, and acknowledges none of them.
    fn uploads(&mut self, port: u16, octets: usize) -> Verdict {
        let sack = self.sack;
        let client = |flags, seq, ack, payload: Vec<u8>| Packet {
            source: ([192, 0, 2, 1], port).into(),
            destination: ([203, 0, 113, 9], 80).into(),
            ip: IpFields::default(),
            flags,
            seq,
            ack,
            window: 60_000,
            urgent: 0,
            options: Options {
                mss: flags.has(Flags::SYN).then_some(1460),
                sack_permitted: sack && flags.has(Flags::SYN),
                ..Options::default()
            },
            payload,
        };
        let offer = self.offer;
        let server = |flags, seq, ack, payload| {
            let packet = client(flags, seq, ack, payload);
            Packet {
                source: packet.destination,
                destination: packet.source,
                window: offer,
                ..packet
            }
        };
        let mut verdict = self.takes(Port::Inner, &client(Flags::SYN, 0, 0, Vec::new()));
        if verdict == Verdict::Pass(PassReason::Handshake) {
            let _ = self.takes(
                Port::Outer,
                &server(Flags::SYN | Flags::ACK, 0, 1, Vec::new()),
            );
            verdict = self.takes(Port::Inner, &client(Flags::ACK, 1, 1, Vec::new()));
            let _ = self.takes(Port::Outer, &server(Flags::ACK, 1, 1, vec![1; 10]));
        }
        let mut seq = 1;
        for chunk in vec![7; octets].chunks(1460) {
            let _ = self.takes(Port::Inner, &client(Flags::ACK, seq, 11, chunk.to_vec()));
            seq += u32::try_from(chunk.len()).expect("short");
        }
        verdict
    }

    /// The server acknowledges the first `octets` of the client at `port`, and has room for so many more.
    fn hears(&mut self, port: u16, octets: u32, window: u16) {
        let ack = Packet {
            source: ([203, 0, 113, 9], 80).into(),
            destination: ([192, 0, 2, 1], port).into(),
            ip: IpFields::default(),
            flags: Flags::ACK,
            seq: 11,
            ack: 1 + octets,
            window,
            urgent: 0,
            options: Options::default(),
            payload: Vec::new(),
        };
        let _ = self.takes(Port::Outer, &ack);
    }

    fn refused_for_memory(&self) -> usize {
        let full = |event: &&Event| {
            matches!(
                event,
                Event::Refused {
                    reason: PassReason::PoolFull,
                    ..
                }
            )
        };
        self.news.events.iter().filter(full).count()
    }
}

#[test]
fn h12_4_stalled_flows_hold_half_of_the_pool_at_most_before_new_ones_are_left_alone() {
    let mut memory = Memory::new(16, 64, 1536);
    let mut world = World::new(&mut memory);

    let _ = world.uploads(1001, 40_000);
    let _ = world.uploads(1002, 15_000);
    // Much is held, but nothing says yet that it is stuck.
    let _ = world.uploads(1003, 0);
    assert_eq!(world.refused_for_memory(), 0);
    assert_eq!(world.engine.flows().count(), 3);

    world.waits(Duration::from_secs(70));
    assert_eq!(world.uploads(1004, 0), Verdict::Pass(PassReason::PoolFull));
    assert_eq!(world.refused_for_memory(), 1, "{:?}", world.news.events);

    // Progress of one lets new ones in again.
    let debt = |world: &World<'_>| {
        world
            .engine
            .flows()
            .map(|flow| flow.inner_to_outer.debt)
            .max()
    };
    let owed = debt(&world).expect("flows");
    world.hears(1001, owed, 60_000);
    let _ = world.uploads(1005, 0);
    assert_eq!(world.refused_for_memory(), 1, "{:?}", world.news.events);
}

#[test]
fn h12_4_half_of_the_pool_is_not_yet_too_much() {
    let mut memory = Memory::new(16, 64, 1536);
    let mut world = World::new(&mut memory);
    let _ = world.uploads(1001, 20 * 1536);
    let _ = world.uploads(1002, 12 * 1536);
    assert_eq!(world.engine.blocks_used(), 32);
    world.waits(Duration::from_secs(70));
    assert_eq!(world.uploads(1003, 1), Verdict::Pass(PassReason::Handshake));
    assert_eq!(world.refused_for_memory(), 0, "{:?}", world.news.events);
    assert_eq!(world.engine.blocks_used(), 33);
    world.waits(Duration::from_secs(70));
    assert_eq!(world.uploads(1004, 0), Verdict::Pass(PassReason::PoolFull));
    assert_eq!(world.refused_for_memory(), 1, "{:?}", world.news.events);
}

#[test]
fn h12_4_a_receiver_that_answers_from_behind_a_closed_window_for_30_s_has_stalled() {
    for sack in [false, true] {
        for room in [1460, 60_000] {
            stalls_behind_a_closed_window(sack, room, false);
        }
    }
}

#[test]
fn h12_4_a_receiver_that_talks_from_behind_a_closed_window_has_stalled_all_the_same() {
    for sack in [false, true] {
        for room in [1460, 60_000] {
            stalls_behind_a_closed_window(sack, room, true);
        }
    }
}

/// Receivers offer `room`, take one segment and no more: what was sent beyond that, their window has
/// taken back. Each probe is answered; one that talks says the same all the time.
fn stalls_behind_a_closed_window(sack: bool, room: u16, talks: bool) {
    let mut memory = Memory::new(16, 64, 1536);
    let mut world = World::new(&mut memory);
    world.sack = sack;
    world.offer = room + 1;
    let held = [(1001, 40_000), (1002, 15_000)];
    for (port, octets) in held {
        let _ = world.uploads(port, octets);
        world.hears(port, 1460, 0);
    }
    let answers = |world: &mut World<'_>, seconds: u64| {
        for _ in 0..seconds * 10 {
            world.waits(Duration::from_millis(100));
            let mut asked = core::mem::take(&mut world.news.probed);
            if talks {
                asked.extend(held.map(|(port, _)| port));
            }
            for port in asked {
                world.hears(port, 1460, 0);
            }
        }
    };
    let given = format!("SACK {sack}, room {room}, talks {talks}");
    answers(&mut world, 20);
    assert_eq!(world.uploads(1003, 0), Verdict::Pass(PassReason::Handshake));
    assert_eq!(world.refused_for_memory(), 0, "nothing is stuck yet");
    answers(&mut world, 50);
    let verdict = world.uploads(1004, 0);
    assert_eq!(verdict, Verdict::Pass(PassReason::PoolFull), "{given}");
    assert_eq!(world.refused_for_memory(), 1, "{:?}", world.news.events);
    // The window opens, and what was held is taken.
    world.hears(1001, 38_000, 60_000);
    let _ = world.uploads(1005, 0);
    assert_eq!(world.refused_for_memory(), 1, "{:?}", world.news.events);
}

#[test]
fn h12_4_a_silent_receiver_has_not_stalled_before_30_s() {
    // One flow holds more than half, so that no other tells of its path.
    let mut memory = Memory::new(16, 48, 1536);
    let mut world = World::new(&mut memory);
    let _ = world.uploads(1001, 40_000);
    world.waits(Duration::from_secs(28));
    let _ = world.uploads(1003, 0);
    assert_eq!(world.refused_for_memory(), 0, "{:?}", world.news.events);
    world.waits(Duration::from_secs(42));
    assert_eq!(world.uploads(1004, 0), Verdict::Pass(PassReason::PoolFull));
}
