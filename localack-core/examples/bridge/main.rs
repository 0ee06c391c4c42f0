//! How the engine joins two of smoltcp's devices: `bridge.rs` is the code to take, the rest is scenery.
//!
//! `cargo run -p localack-core --example bridge` lets eight connections carry a stream both ways through
//! it, over cables in memory of which one is long and loses packets. `examples/cortex-m` does the same on a
//! microcontroller, with the same files.

mod bridge;
mod cable;
mod exchange;
mod hosts;

use localack_core::{Config, Engine, Event, FlowConfig, Instant, StaticStorage};

use bridge::Observer;
use exchange::{Cables, exchange};
use hosts::{Amount, Sockets, buffers};

/// Eight connections with 32 KiB of octets in custody between them.
type Memory = StaticStorage<8, 16, 64, { 64 * 512 }>;

struct Console;

impl Observer for Console {
    fn event(&mut self, now: Instant, event: Event) {
        println!("{:>7} ms  {event:?}", now.as_micros() / 1000);
    }
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let mut memory = Box::new(Memory::new());
    let mut policy = FlowConfig::inner_local_ack();
    policy.buffer_limit = 32 * 1024 / 8;
    let mut config = Config::new([0x5eed, 0xcafe]);
    // All eight begin at once.
    config.handshake_share = 100;
    let engine = Engine::new(memory.as_storage(), config, policy)?;
    let cables = Box::new(Cables::new());
    let (mut near, mut far) = (Box::new(buffers()), Box::new(buffers()));
    let (mut near_sockets, mut far_sockets) = (Sockets::default(), Sockets::default());
    let amount = Amount {
        outward: 48 * 1024,
        inward: 8 * 1024,
    };
    let outcome = exchange(
        engine,
        &cables,
        [(&mut near_sockets, &mut near), (&mut far_sockets, &mut far)],
        amount,
        &mut Console,
        |engine| {
            for (_, name, count) in engine.counters().iter().filter(|&(_, _, count)| count > 0) {
                println!("{count:>8}  {name}");
            }
        },
    );
    let [inward, outward] = outcome.received;
    println!(
        "{outward} octets outward and {inward} inward in {} ms; {} of {} packets lost, {} dropped",
        outcome.lasted.as_millis(),
        outcome.lost,
        outcome.packets,
        outcome.dropped,
    );
    if outcome.intact {
        Ok(())
    } else {
        Err("a stream did not arrive as it was sent".into())
    }
}
