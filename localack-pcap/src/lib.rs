//! Replays packet captures.
pub mod annotate;
pub mod bytes;
pub mod cli;
pub mod clock;
pub mod conversation;
mod digest;
pub mod dissect;
pub mod link;
pub mod ranges;
pub mod replay;
pub mod report;
pub mod sample;
pub mod source;
pub mod waits;
