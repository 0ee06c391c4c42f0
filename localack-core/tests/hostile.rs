//! Hostile networks: what an attacker sends who is not on the path but knows the addresses and ports,
//! and what a flood, a bad topology or a quarrelsome host brings about. Flows that are served must not
//! notice; nothing may be answered without measure (architecture, promises 1, 3 and 5; RFC 5961).
//!
//! A build without debug assertions (`cargo test --release -p localack-core --test hostile`) makes a
//! million attempts of each kind; a debug build makes as many as it can in a few seconds.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that goes wrong here should stop"
)]

#[path = "hostile/amplify.rs"]
mod amplify;
#[path = "hostile/blind.rs"]
mod blind;
#[path = "hostile/collide.rs"]
mod collide;
#[path = "hostile/flood.rs"]
mod flood;
#[path = "hostile/forge.rs"]
mod forge;
#[path = "hostile/rig.rs"]
mod rig;
#[path = "hostile/routes.rs"]
mod routes;
#[path = "hostile/scene.rs"]
mod scene;
#[path = "hostile/siege.rs"]
mod siege;
#[path = "hostile/storm.rs"]
mod storm;
