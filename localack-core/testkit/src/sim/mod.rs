//! A network in virtual time, deterministic from its seeds.
//!
//! ```text
//! Endpoint A == Path == Middle (the engine, or a plain wire) == Path == Endpoint B
//! ```
//!
//! A [`Path`] is a chain of [`Node`]s (delay, rate with a drop-tail or CoDel queue, independent and
//! burst loss, outages, a limit of packet size, reordering, duplication, corruption), one path for
//! each direction of each link. A [`World`] moves the packets and calls everyone when their time has
//! come. Random nodes draw from a [`Random`] of their own, so adding one does not change what another
//! does. With a [`Wire`] in the middle the same links join the two hosts directly. A [`Crowd`] puts
//! many hosts on one link.

mod crowd;
mod endpoint;
mod linux;
mod middle;
mod node;
mod path;
mod random;
mod series;
mod smol;
mod world;

pub use crowd::Crowd;
pub use endpoint::Endpoint;
pub use linux::{
    Content, Fault, FaultKind, LinuxConfig, LinuxCongestion, LinuxHost, LinuxStats, Listening,
    Write,
};
pub use middle::{BareBox, Between, EngineBox, Middle, Wire};
pub use node::{
    BurstLoss, CoDel, CoDelSettings, Corrupt, Delay, Duplicate, Loss, Mtu, Outage, Rate, Reorder,
};
pub use path::{Exits, Node, Path};
pub use random::{Random, seeds};
pub use series::Series;
pub use smol::{SmolHost, SmolSettings, Stream};
pub use world::{Links, World};
