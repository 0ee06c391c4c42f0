//! What stands at the ends of the network.

use localack_core::Instant;

/// A host.
pub trait Endpoint {
    /// Takes a packet from the network.
    fn receive(&mut self, now: Instant, packet: Vec<u8>);

    /// Does what is due, and answers with the packets it sends.
    fn poll(&mut self, now: Instant) -> Vec<Vec<u8>>;

    /// When it next wants to be polled; a time that has passed means at once.
    fn next_at(&mut self, now: Instant) -> Option<Instant>;

    /// Whether it has done all that it was meant to do.
    fn is_done(&self) -> bool;
}
