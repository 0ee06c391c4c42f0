//! The gateway between real kernels: the Linux TCP at both ends, `localack-tun run` between them in a
//! namespace of its own, and where a long or bad path is wanted, `localack-tun emulate` beyond it. All
//! that the two ends can see is what they would see without it, only sooner.
//!
//! Needs root and iproute2, and for some of the tests bash, curl and iperf3. Without root they say so and
//! pass, unless `LOCALACK_REQUIRE_ROOT=1` turns that into a failure. `LOCALACK_KERNELS=long` makes
//! outages and transfers longer, for the release build:
//!
//! ```sh
//! LOCALACK_KERNELS=long cargo test --release -p localack-tun --test kernels
//! ```
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/content.rs"]
mod content;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../common/gateway.rs"]
mod gateway;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../common/program.rs"]
mod program;
#[path = "../common/satellite.rs"]
mod satellite;

mod arranged;
mod bulk;
mod closing;
mod huge;
mod idle;
mod killed;
mod operated;
mod options;
mod paths;
mod refused;
mod stall;
mod standby;
mod tools;
mod world;

/// Whether there is time for more.
fn is_long() -> bool {
    std::env::var_os("LOCALACK_KERNELS").is_some_and(|value| value == "long")
}
