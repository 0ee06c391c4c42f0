//! The memory an engine needs: what each slot takes, and what that adds up to.
//!
//! `cargo run -p localack-core --example memory`
#![expect(
    clippy::arithmetic_side_effects,
    reason = "sums of a few constants, for people to read"
)]

use core::mem::size_of;

use localack_core::{BlockSlot, EngineHead, FlowSlot, IndexSlot, PathSlot, StaticStorage};

/// Flows, index slots, blocks and octets in custody of a microcontroller with 64 KiB to spare.
type Small = StaticStorage<8, 16, 160, { 160 * 256 }>;

// The size is part of what is promised: it must fit, with room for a stack.
const _: () = assert!(size_of::<Small>() <= 64 * 1024);

/// Octets for `flows` connections to `paths` networks and `blocks` blocks of `block_size` octets.
const fn total(flows: usize, paths: usize, blocks: usize, block_size: usize) -> usize {
    size_of::<EngineHead>()
        + flows * size_of::<FlowSlot>()
        + (2 * flows).next_power_of_two() * size_of::<IndexSlot>()
        + paths * size_of::<PathSlot>()
        + blocks * (size_of::<BlockSlot>() + block_size)
}

// The table speaks of the same memory.
const _: () = {
    let padding = size_of::<Small>() - total(8, 8, 160, 256);
    assert!(padding < 16);
};

fn main() {
    println!("| part | octets |");
    println!("|---|---:|");
    for (part, octets) in [
        ("`FlowSlot`, one per connection", size_of::<FlowSlot>()),
        (
            "`IndexSlot`, at least two per connection",
            size_of::<IndexSlot>(),
        ),
        (
            "`PathSlot`, one per network to be remembered",
            size_of::<PathSlot>(),
        ),
        (
            "`BlockSlot`, one per block of the arena",
            size_of::<BlockSlot>(),
        ),
        ("`EngineHead`, one", size_of::<EngineHead>()),
    ] {
        println!("| {part} | {octets} |");
    }
    println!();
    println!("| connections | networks | blocks | octets per block | in custody | everything |");
    println!("|---:|---:|---:|---:|---:|---:|");
    for (flows, paths, blocks, block_size) in [
        (8, 8, 160, 256),
        (1_000, 1_000, 16_384, 1_536),
        (1_000_000, 65_536, 1 << 20, 1_536),
    ] {
        println!(
            "| {flows} | {paths} | {blocks} | {block_size} | {} | {} |",
            readable(blocks * block_size),
            readable(total(flows, paths, blocks, block_size))
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
