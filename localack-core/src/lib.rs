//! A TCP local-acknowledgement engine: packets in, packets out, time passed in.
//!
//! A box in the middle of a TCP path that holds an [`Engine`] answers a sender's data with an
//! acknowledgement at once, as if the far receiver had sent it, keeps the data until the receiver's
//! own acknowledgement arrives, and repairs every loss on the way there. Neither endpoint changes.
//!
//! # The promise
//! What the engine has acknowledged it delivers, or it resets the connection and says how many
//! octets were lost ([`Event::GivenUp`], [`Event::Reset`]). It never loses an octet in silence. What
//! it does not adopt passes bit for bit, for a [`PassReason`] that is counted.
//!
//! # How to call it
//! Lend memory ([`Storage`], or a [`StaticStorage`] in a `static`), choose a [`Config`] and a
//! [`Policy`] (a [`FlowConfig`] is one), and make an [`Engine`]. Then, for each packet,
//! [`Engine::ingest`], do what the [`Verdict`] says, and [`Engine::poll`] until it is idle; and
//! again at [`Engine::next_deadline`]. Packets that the engine makes go to your [`Sink`].
//!
//! # Memory
//! All of it is lent; nothing is allocated, and nothing large is ever moved or put on a stack. One
//! flow costs a [`FlowSlot`] and two to four [`IndexSlot`]s; the octets in custody are kept in
//! blocks of `arena.len() / blocks.len()` octets, each with a [`BlockSlot`] of 32. Full segments and
//! one-octet writes fill the blocks alike.
//!
//! # Map
//! - [`wire`]: bytes to [`wire::Segment`]s and back; no connection state.
//! - `engine`: finds the flow of a packet; `flow`: its slot, key, handshake; `relay`: what happens
//!   to an established flow, a file per concern; `half`: its receiver and its sender state.
//! - `pool`: the octets in custody, which are the scoreboard too; `recovery`, `congestion`: the path
//!   toward the receiver; `timer`: what is due.
//! - [`Config`], [`Policy`], [`Sink`], [`Event`], [`Counters`], [`FlowInfo`]: the caller's side.
//!
//! # Features
//! - `defmt`: `defmt::Format` on the public types. The crate itself logs nothing.
#![doc = ""]
#![doc = "# Example"]
#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(test)]
extern crate std;

mod config;
mod congestion;
mod engine;
mod event;
mod flow;
mod half;
mod head;
mod pacing;
mod path;
mod policy;
mod pool;
mod recovery;
mod relay;
mod seq;
mod sink;
mod stats;
mod storage;
mod time;
mod timer;
mod verdict;
pub mod wire;

pub use config::{Config, ConfigError};
pub use congestion::{Controller, Provision};
pub use engine::{Engine, Poll, UnknownFlow};
pub use event::{DemoteCause, Event};
pub use flow::table::IndexSlot;
pub use flow::{FlowId, FlowKey, FlowSlot};
pub use head::EngineHead;
pub use path::PathSlot;
pub use policy::{
    Admit, Custody, Direction, FlowConfig, Handshake, Policy, Port, Service, SynInfo,
};
pub use pool::BlockSlot;
pub use seq::{SeqNum, SeqRange, WindowScale};
pub use sink::{Checksum, LinkId, PacketMeta, Sink, SinkFull, Transmit, TransmitKind};
pub use stats::{Counters, DirectionInfo, DirectionMode, FlowInfo, FlowState};
pub use storage::{StaticStorage, Storage};
pub use time::Instant;
pub use verdict::{AbsorbReason, DropReason, PassReason, Verdict};
