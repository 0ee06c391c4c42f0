//! The cases. Each says what its unit is, and sees that the engine does what it is measured for.

mod cycle;
pub mod every;
mod hostile;
mod life;
mod order;
mod picks;
mod plain;
mod sack;
mod start;
mod whole;

pub use cycle::{Cycle, Half};
pub use hostile::{Due, Overlaps, Reverse, Scattered};
pub use life::{End, Lives};
pub use order::Swapped;
pub use picks::{Order, Picks};
pub use plain::{Pass, PureAcks};
pub use sack::{Repairs, SackAcks};
pub use start::Crowd;
pub use whole::Whole;

/// Packets made ready at a time: few enough to stay in a cache, as they do behind a real receive ring.
pub const BATCH: usize = 64;
