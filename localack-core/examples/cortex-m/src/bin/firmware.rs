//! Eight connections through an engine on a microcontroller, over cables in memory of which one is long
//! and loses packets. Events and counters are logged with defmt. Ends well only if all octets arrived.
#![no_std]
#![no_main]

#[path = "../../../bridge/bridge.rs"]
mod bridge;
#[path = "../../../bridge/cable.rs"]
mod cable;
#[path = "../../../bridge/exchange.rs"]
mod exchange;
#[path = "../../../bridge/hosts.rs"]
mod hosts;

use core::mem::size_of;

use cortex_m_rt::entry;
use cortex_m_semihosting::debug;
use defmt::{error, info};
use defmt_semihosting as _;
use localack_core::{Config, Engine, Event, FlowConfig, Instant, StaticStorage};
use static_cell::ConstStaticCell;

use bridge::Observer;
use exchange::{Cables, exchange};
use hosts::{Amount, Buffers, Sockets, buffers};

/// Octets in custody.
const BUFFER: usize = 32 * 1024;
/// Eight connections, with blocks of a segment.
type Memory = StaticStorage<8, 16, { BUFFER / 512 }, BUFFER>;

/// What the stack of the engine may take; `run.sh` measures what it does.
const STACK: usize = 2 * 1024;
// The promise: engine, memory and stack in 64 KiB.
const _: () = assert!(size_of::<Memory>() + STACK <= 64 * 1024);

static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
static CABLES: ConstStaticCell<Cables> = ConstStaticCell::new(Cables::new());
static INNER: ConstStaticCell<Buffers> = ConstStaticCell::new(buffers());
static OUTER: ConstStaticCell<Buffers> = ConstStaticCell::new(buffers());

/// What each connection carries.
const AMOUNT: Amount = Amount {
    outward: 48 * 1024,
    inward: 8 * 1024,
};

struct Log;

impl Observer for Log {
    fn event(&mut self, now: Instant, event: Event) {
        info!("{=u64} ms: {}", now.as_micros() / 1000, event);
    }
}

#[entry]
fn main() -> ! {
    let done = run();
    if done {
        info!("both streams of all connections are intact");
    } else {
        error!("a stream did not arrive as it was sent");
    }
    defmt::flush();
    debug::exit(if done {
        debug::EXIT_SUCCESS
    } else {
        debug::EXIT_FAILURE
    });
    idle()
}

fn run() -> bool {
    let mut config = Config::new([0x5eed, 0xcafe]);
    // All eight begin at once.
    config.handshake_share = 100;
    let mut policy = FlowConfig::inner_local_ack();
    policy.buffer_limit = (BUFFER / 8) as u32;
    let engine = match Engine::new(MEMORY.take().as_storage(), config, policy) {
        Ok(engine) => engine,
        Err(problem) => {
            error!("{}", problem);
            return false;
        }
    };
    let cables: &'static Cables = CABLES.take();
    let (mut near, mut far) = (Sockets::default(), Sockets::default());
    let outcome = exchange(
        engine,
        cables,
        [(&mut near, INNER.take()), (&mut far, OUTER.take())],
        AMOUNT,
        &mut Log,
        |engine| {
            for (group, name, count) in engine.counters().iter().filter(|&(_, _, count)| count > 0)
            {
                info!("{=str} {=str}: {=u64}", group, name, count);
            }
        },
    );
    let [inward, outward] = outcome.received;
    info!(
        "{=u32} octets outward and {=u32} inward in {=u64} ms; {=u32} of {=u32} packets lost, {=u32} dropped",
        outward,
        inward,
        outcome.lasted.as_millis() as u64,
        outcome.lost,
        outcome.packets,
        outcome.dropped
    );
    let all = 8 * AMOUNT.outward == outward && 8 * AMOUNT.inward == inward;
    // Without losses nothing would be shown.
    outcome.intact && all && outcome.lost > 0
}

fn idle() -> ! {
    loop {
        cortex_m::asm::nop();
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    error!("{}", defmt::Display2Format(info));
    debug::exit(debug::EXIT_FAILURE);
    idle()
}
