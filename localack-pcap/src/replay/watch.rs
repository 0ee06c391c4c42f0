//! Following a replay from beside.

use localack_core::Instant;

use crate::conversation::{Conversation, End, Observed};
use crate::dissect::Segment;
use crate::waits::Waits;

/// Someone who is told what happens in a replay, and changes nothing about it.
pub trait Watch {
    /// A TCP segment was captured.
    fn captured(&mut self, _: &Scene<'_>, _: &Segment, _: &Observed) {}

    /// An acknowledgement of everything below `position` leaves the engine for `to`, whose data it
    /// is about; whether the engine made it or let it pass.
    fn acknowledged(&mut self, _: &Scene<'_>, _to: End, _position: i64) {}

    /// The engine sends the octets from `start` up to `end` of what `from` had sent.
    fn sent(&mut self, _: &Scene<'_>, _from: End, _start: i64, _end: i64, _again: bool) {}

    /// So many octets of what `from` sent are acknowledged to it, and not by the receiver.
    fn custody(&mut self, _: &Scene<'_>, _from: End, _octets: u32) {}

    /// What the engine holds, after each captured packet.
    fn load(&mut self, _: Instant, _: Load) {}

    /// A conversation has ended, or the capture has.
    fn ended(&mut self, _: usize, _: [Endings<'_>; 2]) {}
}

/// Nobody.
impl Watch for () {}

/// Where and when something happens.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'c> {
    /// Virtual time.
    pub now: Instant,
    /// The number of the conversation.
    pub index: usize,
    /// The conversation.
    pub conversation: &'c Conversation,
    /// What it has come to so far.
    pub standing: Standing,
}

/// By what conversations are put in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Waits for acknowledgements in the capture, in microseconds.
    pub waited: u64,
    /// How much shorter they are with the engine.
    pub saved: u64,
}

/// What an engine holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Octets of the blocks in use.
    pub custody: u64,
    /// Connections that are followed.
    pub flows: u64,
    /// Connections whose handshakes were completed so far.
    pub adopted: u64,
    /// Most flow slots in use at once so far, unfinished handshakes included.
    pub slots: u64,
}

/// The waits of one direction at the end; first the first end's.
#[derive(Debug, Clone, Copy)]
pub struct Endings<'w> {
    /// In the capture.
    pub captured: &'w Waits,
    /// With the engine.
    pub engine: &'w Waits,
}
