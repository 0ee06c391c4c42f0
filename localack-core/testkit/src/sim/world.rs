//! Two hosts, two links and a box.

use core::time::Duration;

use localack_core::{Instant, Port};

use super::endpoint::Endpoint;
use super::middle::Middle;
use super::path::Path;

/// The four one-way paths of the two links.
#[derive(Debug, Default)]
pub struct Links {
    /// From the inner host to the box.
    pub inner_up: Path,
    /// From the box to the inner host.
    pub inner_down: Path,
    /// From the box to the outer host.
    pub outer_up: Path,
    /// From the outer host to the box.
    pub outer_down: Path,
}

/// Everything, and the time.
#[derive(Debug)]
pub struct World<A, B, M> {
    /// The host behind the inner port.
    pub inner: A,
    /// The host behind the outer port.
    pub outer: B,
    /// The box.
    pub middle: M,
    links: Links,
    now: Instant,
    /// Packets moved so far.
    pub packets: u64,
}

impl<A: Endpoint, B: Endpoint, M: Middle> World<A, B, M> {
    /// A world at time zero.
    pub const fn new(inner: A, outer: B, middle: M, links: Links) -> Self {
        Self {
            inner,
            outer,
            middle,
            links,
            now: Instant::ZERO,
            packets: 0,
        }
    }

    /// The time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Moves time on to whatever happens next and lets it happen; false if nothing ever will.
    pub fn step(&mut self) -> bool {
        let now = self.now;
        let next = [
            self.inner.next_at(now),
            self.outer.next_at(now),
            self.middle.next_at(),
            self.links.inner_up.next_at(),
            self.links.inner_down.next_at(),
            self.links.outer_up.next_at(),
            self.links.outer_down.next_at(),
        ];
        let Some(at) = next.into_iter().flatten().min() else {
            return false;
        };
        self.now = now.latest(at);
        self.happen();
        true
    }

    /// Lets all happen that is due now.
    fn happen(&mut self) {
        let now = self.now;
        for packet in self.inner.poll(now) {
            self.links.inner_up.send(now, packet);
        }
        for packet in self.outer.poll(now) {
            self.links.outer_down.send(now, packet);
        }
        while let Some(packet) = self.links.inner_up.receive(now) {
            let out = self.middle.ingest(now, Port::Inner, packet);
            self.leave(out);
        }
        while let Some(packet) = self.links.outer_down.receive(now) {
            let out = self.middle.ingest(now, Port::Outer, packet);
            self.leave(out);
        }
        if self.middle.next_at().is_some_and(|at| at <= now) {
            let out = self.middle.poll(now);
            self.leave(out);
        }
        while let Some(packet) = self.links.inner_down.receive(now) {
            self.packets += 1;
            self.inner.receive(now, packet);
        }
        while let Some(packet) = self.links.outer_up.receive(now) {
            self.packets += 1;
            self.outer.receive(now, packet);
        }
    }

    fn leave(&mut self, packets: Vec<(Port, Vec<u8>)>) {
        for (port, packet) in packets {
            match port {
                Port::Inner => self.links.inner_down.send(self.now, packet),
                Port::Outer => self.links.outer_up.send(self.now, packet),
            }
        }
    }

    /// Runs until both hosts are done; false if `limit` passes first or nothing happens any more.
    pub fn run(&mut self, limit: Duration) -> bool {
        let end = self.now.after(limit);
        while !(self.inner.is_done() && self.outer.is_done()) {
            if self.now > end || !self.step() {
                return false;
            }
        }
        true
    }

    /// Runs for `time`, or until nothing happens any more.
    pub fn linger(&mut self, time: Duration) {
        let end = self.now.after(time);
        while self.now < end && self.step() {}
    }
}
