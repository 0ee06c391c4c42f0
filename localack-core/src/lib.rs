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
pub use engine::{Engine, Poll, UnknownFlow};
pub use event::{DemoteCause, Event};
pub use flow::table::IndexSlot;
pub use flow::{FlowId, FlowKey, FlowSlot};
pub use head::EngineHead;
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
