//! The core allocates nothing: with an allocator that counts, under every case.

use std::alloc::System;

use benches::load::cases::every::{every, with};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Without the usual harness, which has a thread of its own that allocates too.
fn main() {
    let counts = |act: &mut dyn FnMut()| {
        let region = Region::new(ALLOCATOR);
        act();
        let change = region.change();
        change.allocations + change.reallocations + change.deallocations
    };
    // A counter that counts nothing would find nothing.
    assert_eq!(counts(&mut || drop(core::hint::black_box(vec![1]))), 2);
    for name in every() {
        let found = with(name, |case| {
            let mut found = 0;
            for _ in 0..5 {
                case.prepare();
                found += counts(&mut || {
                    let _ = case.run();
                });
            }
            found
        });
        assert_eq!(found, Ok(0), "{name}");
    }
    println!("no case allocates or frees");
}
