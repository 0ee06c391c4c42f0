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
//! flow costs a [`FlowSlot`] of at most 1,024 octets and two to four [`IndexSlot`]s of 8. The octets in
//! custody are kept in blocks of `arena.len() / blocks.len()` octets, each with a [`BlockSlot`] of 60;
//! full segments and one-octet writes fill the blocks alike. A network that is to be remembered costs
//! a [`PathSlot`] of 96; there may be none of them.
//!
//! The memory may outlive its engine: one that was killed leaves it behind in a file mapping, say, and
//! [`Engine::attach`] goes on with it. Only a flow that was being written to at that moment may be lost, and
//! its hosts are told; hardly any where [`Config::sink_waits`].
//!
//! A block has one note of when its octets were sent and of what was delivered by then. Losses are
//! inferred from these notes, and rates measured, so blocks of a segment or a little more serve best
//! (1,536 octets for Ethernet). Smaller ones waste less where connections are few and memory is short,
//! and cost more steps a segment; in larger ones several segments share a note, and a loss among them
//! is found later.
//!
//! Without the feature `bbr` a flow takes 928 octets and a block 40; without `cubic` too a flow takes
//! 808.
//!
//! # Map
//! - [`wire`]: bytes to [`wire::Segment`]s and back; no connection state.
//! - `engine`: finds the flow of a packet, and takes over the memory of an engine that is gone; `seal`: whose
//!   memory it is. `flow`: its slot, key, handshake; `relay`: what happens to an established flow, a file per
//!   concern; `half`: its receiver and its sender state.
//! - `pool`: the octets in custody, which are the scoreboard too.
//! - `recovery`: what was lost (RACK-TLP), what was needless (F-RTO, Eifel, D-SACK), round trips,
//!   delivery rates, path MTU. `congestion`: how much may be in flight, a file per [`Controller`], and
//!   proportional rate reduction. `pacing`: when it may leave, and how flows share a vouched rate.
//! - `path`: what is known of a network whichever flow found it out: hints, Careful Resume, outages.
//! - `timer`: what is due, and who waits for what else. `hash`: where a stranger's key belongs in a table.
//! - [`Config`], [`Policy`], [`Sink`], [`Event`], [`Counters`], [`FlowInfo`]: the caller's side.
//!
//! [`which_service`] says which service is for which path, with measurements.
//!
//! # Features
//! - `cubic`, on by default: [`Controller::Cubic`], which is then the default controller.
//! - `bbr`, on by default: [`Controller::Bbr`].
//! - `bytemuck`: the slots are `bytemuck::Pod`, and [`Storage`] can be cut from one piece of memory, such as a
//!   mapped file.
//! - `defmt`: `defmt::Format` on the public types. The crate itself logs nothing.
//!
//! Without the first two code and slots are smaller; nothing else changes.
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
mod hash;
mod head;
mod pacing;
mod path;
mod policy;
mod pool;
mod recovery;
mod relay;
mod seal;
mod seq;
mod services;
mod shaping;
mod sink;
mod stats;
mod storage;
mod time;
mod timer;
mod verdict;
pub mod wire;

#[doc = include_str!("../docs/services.md")]
pub mod which_service {}

pub use config::{Config, ConfigError};
pub use congestion::{Controller, Provision};
pub use engine::{AttachError, AttachReport, Engine, Poll, UnknownFlow};
pub use event::{DemoteCause, Event};
pub use flow::table::IndexSlot;
pub use flow::{FlowId, FlowKey, FlowSlot};
pub use head::EngineHead;
pub use path::PathSlot;
pub use policy::{
    Admit, Custody, Direction, FlowConfig, Handshake, Policy, Port, Service, SynInfo,
};
pub use pool::BlockSlot;
pub use seal::LAYOUT;
pub use seq::{SeqNum, SeqRange, WindowScale};
pub use services::{PacketService, PacketServices, Passing, Step};
pub use shaping::{Shaping, ShapingId};
pub use sink::{Checksum, LinkId, PacketMeta, Sink, SinkFull, Transmit, TransmitKind};
pub use stats::{Counters, DirectionInfo, DirectionMode, FlowInfo, FlowState};
#[cfg(feature = "bytemuck")]
pub use storage::{Geometry, Misfit};
pub use storage::{StaticStorage, Storage};
pub use time::Instant;
pub use verdict::{AbsorbReason, DropReason, PassReason, Verdict};
