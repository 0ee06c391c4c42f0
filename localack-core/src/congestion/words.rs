//! The room in a flow slot for what only one controller keeps.
//!
//! A flow has one controller at a time, so they share the room: each reads its state from the words
//! and writes it back. Any content is harmless.

/// Words that the largest controller needs.
pub(super) const WORDS: usize = if cfg!(feature = "bbr") {
    28
} else if cfg!(feature = "cubic") {
    16 + REDUCTION_WORDS
} else {
    1 + REDUCTION_WORDS
};

/// Words at the end in which Reno and CUBIC keep their last reduction. BBR has none, and a vouched
/// rate is never reduced.
const REDUCTION_WORDS: usize = 5;

/// The state of one controller, all zeroes to begin with.
pub(super) type Words = [u32; WORDS];

/// Nothing kept yet.
pub(super) const NOTHING: Words = [0; WORDS];
