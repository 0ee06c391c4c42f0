//! The smallest program with an engine: what its flash holds beyond that of `baseline` is the engine.
//!
//! Never run. Packets come from nowhere and go nowhere, but the compiler must not know. With the feature
//! `everything` all is called that an engine can be asked. No panic may be left in it.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::mem::size_of;
use core::sync::atomic::AtomicU8;

use cortex_m_rt::entry;
use localack_core::{
    Config, Engine, FlowConfig, Instant, PacketMeta, Poll, Port, Sink, SinkFull, StaticStorage,
    Transmit, Verdict,
};
use static_cell::ConstStaticCell;

/// Connections with 4 KiB of octets in custody each.
type Memory = StaticStorage<8, 16, 64, { 8 * 4096 }>;
type Memory1 = StaticStorage<1, 2, 8, 4096>;
type Memory32 = StaticStorage<32, 64, 256, { 32 * 4096 }>;

/// Their sizes are looked up in the program's file.
#[used]
static MEMORY_OF_1: [AtomicU8; size_of::<Memory1>()] =
    [const { AtomicU8::new(0) }; size_of::<Memory1>()];
#[used]
static MEMORY_OF_8: [AtomicU8; size_of::<Memory>()] =
    [const { AtomicU8::new(0) }; size_of::<Memory>()];
#[used]
static MEMORY_OF_32: [AtomicU8; size_of::<Memory32>()] =
    [const { AtomicU8::new(0) }; size_of::<Memory32>()];

static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
static PACKET: ConstStaticCell<[u8; 600]> = ConstStaticCell::new([0; 600]);

struct Wire;

impl Sink for Wire {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        packet.slices().for_each(|piece| {
            black_box(piece);
        });
        black_box(Ok(()))
    }
}

/// In a function of its own, so that its stack can be told from that of the program.
#[inline(never)]
fn ingest(
    engine: &mut Engine<'_, FlowConfig>,
    port: Port,
    now: Instant,
    packet: &mut [u8],
) -> bool {
    let verdict = engine.ingest(port, now, packet, PacketMeta::default(), &mut Wire);
    matches!(verdict, Verdict::Pass(_) | Verdict::Forward)
}

/// See [`ingest`].
#[inline(never)]
fn poll(engine: &mut Engine<'_, FlowConfig>, now: Instant) -> bool {
    engine.poll(now, 16, &mut Wire) == Poll::More
}

/// What a caller may want besides.
#[cfg(feature = "everything")]
fn ask(engine: &mut Engine<'_, FlowConfig>, now: Instant) {
    use localack_core::{Controller, Direction, Service};

    let direction = black_box(Direction::InnerToOuter);
    for flow in engine.flows() {
        black_box(flow);
    }
    let first = engine.flows().next().map(|flow| flow.id);
    if let Some(id) = first {
        for controller in [
            Controller::Reno,
            Controller::Cubic,
            Controller::Bbr,
            Controller::provisioned(black_box(1)),
        ] {
            let changed = engine.set_controller(id, direction, controller, now);
            black_box(changed.is_ok());
        }
        black_box(
            engine
                .set_service(id, direction, Service::Bypass, now)
                .is_ok(),
        );
        black_box(engine.give_up(id, now, &mut Wire).is_ok());
        black_box(engine.flow(id));
    }
    black_box(engine.set_shared_rate(0, black_box(1), now));
    for counter in engine.counters().iter() {
        black_box(counter);
    }
    engine.drain(now);
}

#[entry]
fn main() -> ! {
    if let (Some(memory), Some(packet)) = (MEMORY.try_take(), PACKET.try_take()) {
        let config = Config::new(black_box([1, 2]));
        let policy = FlowConfig::inner_local_ack();
        if let Ok(mut engine) = Engine::new(memory.as_storage(), config, policy) {
            loop {
                let now = Instant::from_micros(black_box(1));
                if ingest(&mut engine, black_box(Port::Inner), now, black_box(packet)) {
                    black_box(&packet);
                }
                while poll(&mut engine, now) {}
                #[cfg(feature = "can-panic")]
                assert!(black_box(false), "a panic to be found");
                #[cfg(feature = "everything")]
                ask(&mut engine, now);
                black_box(engine.next_deadline());
            }
        }
    }
    loop {
        black_box(());
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        black_box(());
    }
}
