//! What is measured: connections whose packets are ready before the clock starts, an engine that carries
//! them, and [`cases`] in which it does so.

mod batch;
pub mod cases;
mod frame;
mod gateway;
mod line;

pub use batch::Case;
pub use frame::{Frame, HEADERS, PAYLOAD, Say};
pub use gateway::{Gateway, Sent, Setting};
pub use line::{INNER_FIRST, Line, OUTER_FIRST, SCALE};
