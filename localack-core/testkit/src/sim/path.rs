//! One direction of a link: a chain of nodes and the packets on their way through it.

use core::fmt;
use std::collections::BTreeMap;

use localack_core::Instant;

/// One thing that happens to packets on their way.
pub trait Node: fmt::Debug {
    /// Takes a packet at `now` and hands it on, once, never or several times, at `now` or later.
    fn pass(&mut self, now: Instant, packet: Vec<u8>, onward: &mut dyn FnMut(Instant, Vec<u8>));
}

/// A chain of nodes. Each node sees its packets in the order of their times.
#[derive(Debug, Default)]
pub struct Path {
    nodes: Vec<Box<dyn Node>>,
    /// By time and serial number: the next node's position, and the packet.
    travelling: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    serial: u64,
}

impl Path {
    /// A path that does nothing: packets arrive when they are sent.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same path with one more node at its end.
    #[must_use]
    pub fn then(mut self, node: impl Node + 'static) -> Self {
        self.nodes.push(Box::new(node));
        self
    }

    /// Sends a packet into the path.
    pub fn send(&mut self, now: Instant, packet: Vec<u8>) {
        self.put(now, 0, packet);
    }

    fn put(&mut self, at: Instant, position: usize, packet: Vec<u8>) {
        self.travelling
            .insert((at, self.serial), (position, packet));
        self.serial += 1;
    }

    /// When something next happens on the path.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.travelling.keys().next().map(|&(at, _)| at)
    }

    /// The next packet that arrives at the far end by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<Vec<u8>> {
        while self.next_at().is_some_and(|at| at <= now) {
            let ((at, _), (position, packet)) = self.travelling.pop_first()?;
            let Some(node) = self.nodes.get_mut(position) else {
                return Some(packet);
            };
            let mut onward = Vec::new();
            node.pass(at, packet, &mut |time, packet| {
                onward.push((time.latest(at), packet));
            });
            for (time, packet) in onward {
                self.put(time, position + 1, packet);
            }
        }
        None
    }
}
