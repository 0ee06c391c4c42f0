//! Replays packet captures.
pub mod bytes;
pub mod clock;
pub mod conversation;
pub mod dissect;
pub mod link;
pub mod ranges;
pub mod source;
