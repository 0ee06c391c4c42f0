//! The memory an engine needs: what each slot takes, and what that adds up to.
//!
//! `cargo run -p localack-core --example memory`
#![expect(
    clippy::arithmetic_side_effects,
    reason = "sums of a few constants, for people to read"
)]

use core::mem::size_of;

use localack_core::{BlockSlot, EngineHead, FlowSlot, IndexSlot, StaticStorage};

/// Flows, index slots, blocks and octets in custody of a microcontroller with 64 KiB to spare.
type Small = StaticStorage<8, 16, 176, { 176 * 256 }>;

// The size is part of what is promised: it must fit, with room for a stack.
const _: () = assert!(size_of::<Small>() <= 64 * 1024);

/// Octets for `flows` connections and `blocks` blocks of `block_size` octets.
const fn total(flows: usize, blocks: usize, block_size: usize) -> usize {
    size_of::<EngineHead>()
        + flows * size_of::<FlowSlot>()
        + (2 * flows).next_power_of_two() * size_of::<IndexSlot>()
        + blocks * (size_of::<BlockSlot>() + block_size)
}

fn main() {
    println!("| part | octets |");
    println!("|---|---:|");
    println!(
        "| `FlowSlot`, one per connection | {} |",
        size_of::<FlowSlot>()
    );
    println!(
        "| `IndexSlot`, at least two per connection | {} |",
        size_of::<IndexSlot>()
    );
    println!(
        "| `BlockSlot`, one per block of the arena | {} |",
        size_of::<BlockSlot>()
    );
    println!("| `EngineHead`, one | {} |", size_of::<EngineHead>());
    println!();
    println!("| connections | blocks | octets per block | in custody | everything |");
    println!("|---:|---:|---:|---:|---:|");
    for (flows, blocks, block_size) in [
        (8, 176, 256),
        (1_000, 16_384, 1_536),
        (1_000_000, 1 << 20, 1_536),
    ] {
        println!(
            "| {flows} | {blocks} | {block_size} | {} | {} |",
            readable(blocks * block_size),
            readable(total(flows, blocks, block_size))
        );
    }
}

/// A number of octets in the unit that suits it, rounded to the nearest.
fn readable(octets: usize) -> String {
    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;
    match octets {
        0..MIB => format!("{} KiB", (octets + KIB / 2) / KIB),
        _ => format!("{} MiB", (octets + MIB / 2) / MIB),
    }
}
