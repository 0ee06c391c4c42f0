//! Flows whose receiver makes no progress may not use up the pool for all (rule H12.4).

#![allow(
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "a test that goes wrong here should stop"
)]

use core::time::Duration;

use localack_core::{
    Config, Engine, Event, FlowConfig, Instant, PacketMeta, PassReason, Poll, Port, Sink, SinkFull,
    Transmit, Verdict,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet};

/// Takes everything and keeps the news.
#[derive(Default)]
struct News(Vec<Event>);

impl Sink for News {
    fn transmit(&mut self, _: Transmit<'_>) -> Result<(), SinkFull> {
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        self.0.push(event);
    }
}

struct World<'e> {
    engine: Engine<'e, FlowConfig>,
    news: News,
    now: Instant,
}

impl World<'_> {
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
                ..Options::default()
            },
            payload,
        };
        let server = |flags, seq, ack, payload| {
            let packet = client(flags, seq, ack, payload);
            Packet {
                source: packet.destination,
                destination: packet.source,
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
        self.news.0.iter().filter(full).count()
    }
}

#[test]
fn h12_4_stalled_flows_hold_half_of_the_pool_at_most_before_new_ones_are_left_alone() {
    let mut memory = Memory::new(16, 64, 1536);
    let mut config = Config::new([1, 2]);
    config.queue_floor = 1 << 20;
    let mut flow = FlowConfig::inner_local_ack();
    flow.buffer_limit = 40_000;
    let engine = Engine::new(memory.storage(), config, flow).expect("valid");
    let mut world = World {
        engine,
        news: News::default(),
        now: Instant::from_millis(1),
    };

    let _ = world.uploads(1001, 40_000);
    let _ = world.uploads(1002, 15_000);
    // Much is held, but nothing says yet that it is stuck.
    let _ = world.uploads(1003, 0);
    assert_eq!(world.refused_for_memory(), 0);
    assert_eq!(world.engine.flows().count(), 3);

    world.waits(Duration::from_secs(70));
    assert_eq!(world.uploads(1004, 0), Verdict::Pass(PassReason::PoolFull));
    assert_eq!(world.refused_for_memory(), 1, "{:?}", world.news.0);

    // Progress of one lets new ones in again.
    let debt = |world: &World<'_>| {
        world
            .engine
            .flows()
            .map(|flow| flow.inner_to_outer.debt)
            .max()
    };
    let owed = debt(&world).expect("flows");
    let ack = Packet {
        source: ([203, 0, 113, 9], 80).into(),
        destination: ([192, 0, 2, 1], 1001).into(),
        ip: IpFields::default(),
        flags: Flags::ACK,
        seq: 11,
        ack: 1 + owed,
        window: 60_000,
        urgent: 0,
        options: Options::default(),
        payload: Vec::new(),
    };
    let _ = world.takes(Port::Outer, &ack);
    let _ = world.uploads(1005, 0);
    assert_eq!(world.refused_for_memory(), 1, "{:?}", world.news.0);
}
