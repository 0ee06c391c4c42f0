//! A view of a running gateway in a terminal.
//!
//! [`draw`] shows an [`App`] in a frame and does nothing else; [`run`] keeps the app up to date over the
//! control socket, and the terminal in order.

mod app;
mod draw;
mod feed;
mod terminal;
#[cfg(test)]
mod tests;

pub use app::{Action, App, Snapshot};
pub use draw::draw;
pub use terminal::{TopError, run};

/// Flows that are asked for at most; what is beyond does not fit a screen anyway.
const MOST_FLOWS: usize = 1000;
