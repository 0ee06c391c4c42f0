//! A C interface of `localack-core`: for kernels, and for programs in C.
//!
//! `include/localack.h` is made of this crate and says all that a C programmer has to know; a test sees that
//! it is up to date. `example/exchange.c` uses it. Versions are told apart by [`LOCALACK_ABI`].
//!
//! # The boundary
//! Two files have `unsafe` code: `boundary.rs`, whose functions C calls and which believes its pointers, and
//! `output.rs`, which calls C. All else forbids it. What C must see to is written at each function: pointers
//! are valid for the call, an engine is used by one thread at a time, and callbacks do not use the engine that
//! calls them.
//!
//! # Panics
//! There are none: the core has none, and neither has this crate (`localack-kmod/build` looks at what was
//! linked). The handler that a library needs is behind the feature `freestanding`.
#![no_std]

#[cfg(test)]
extern crate std;

mod abi;
pub mod boundary;
mod control;
mod convert;
mod output;
mod plan;
mod report;
mod rules;

pub use abi::*;
pub use output::Packet;

#[cfg(all(feature = "freestanding", not(test)))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
