//! What the tests of `localack-core` stand on.
//!
//! - [`script`]: packet scripts. A text file says which packet arrives when, and what must leave;
//!   each script is run in many variants (IPv4 and IPv6, sequence numbers and timestamps that
//!   wrap, either end as the client).
//! - [`laws`]: what must hold for every packet that leaves, whatever the script says; a witness
//!   that watches both ports of an engine.
//! - [`sim`]: a network in virtual time: link nodes, endpoints, and a world that joins them.
//! - [`model`]: the reference model: two hosts that do what a list of operations says, and every
//!   invariant that can be seen from outside, checked after each step.
//! - [`worlds`]: small worlds, searched exhaustively: the engine between two abstract ends, in every
//!   order of events.
//! - [`packet`]: TCP segments decoded and encoded with `etherparse`, independently of the engine.
//! - [`memory`]: heap memory for an engine.

pub mod laws;
pub mod memory;
pub mod model;
pub mod packet;
pub mod script;
pub mod sim;
pub mod worlds;
