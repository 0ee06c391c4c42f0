//! Two hosts, two links and a box, which may be a piece of wire: then the hosts meet directly over
//! the same links.

use core::time::Duration;

use localack_core::{Instant, Port};

use super::endpoint::Endpoint;
use super::middle::Middle;
use super::path::Path;

/// The four one-way paths of the two links. What a node of one answers to a sender travels by its
/// opposite.
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
        let hosts = [self.inner.next_at(now), self.outer.next_at(now)];
        let links = &self.links;
        let rest = [
            self.middle.next_at(),
            links.inner_up.next_at(),
            links.inner_down.next_at(),
            links.outer_up.next_at(),
            links.outer_down.next_at(),
        ];
        let Some(at) = hosts.into_iter().chain(rest).flatten().min() else {
            return false;
        };
        self.now = now.latest(at);
        self.happen(hosts.map(|at| at.is_some_and(|at| at <= self.now)));
        true
    }

    /// Lets all happen that is due now, and polls the hosts that want it.
    fn happen(&mut self, [inner, outer]: [bool; 2]) {
        let now = self.now;
        if inner {
            for packet in self.inner.poll(now) {
                self.links.inner_up.send(now, packet);
            }
        }
        if outer {
            for packet in self.outer.poll(now) {
                self.links.outer_down.send(now, packet);
            }
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
        let links = &mut self.links;
        answer(now, &mut links.inner_up, &mut links.inner_down);
        answer(now, &mut links.outer_up, &mut links.outer_down);
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

/// Sends what the nodes of each path of a link answer by the other.
fn answer(now: Instant, one: &mut Path, other: &mut Path) {
    while let Some(packet) = one.answer() {
        other.send(now, packet);
    }
    while let Some(packet) = other.answer() {
        one.send(now, packet);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::packet::{Flags, IpFields, Layout, Options, Packet};
    use crate::sim::{Delay, Mtu, Wire};

    /// Sends what it is given, each packet at its time, and keeps what comes.
    #[derive(Debug, Default)]
    struct Script {
        sends: VecDeque<(Instant, Vec<u8>)>,
        came: Vec<(Instant, Vec<u8>)>,
    }

    impl Endpoint for Script {
        fn receive(&mut self, now: Instant, packet: Vec<u8>) {
            self.came.push((now, packet));
        }

        fn poll(&mut self, now: Instant) -> Vec<Vec<u8>> {
            let due = |sends: &VecDeque<(Instant, _)>| sends.front().is_some_and(|s| s.0 <= now);
            let mut out = Vec::new();
            while due(&self.sends) {
                out.extend(self.sends.pop_front().map(|(_, packet)| packet));
            }
            out
        }

        fn next_at(&mut self, _: Instant) -> Option<Instant> {
            self.sends.front().map(|&(at, _)| at)
        }

        fn is_done(&self) -> bool {
            self.sends.is_empty()
        }
    }

    fn segment(payload: usize) -> Vec<u8> {
        let packet = Packet {
            source: "192.0.2.1:1".parse().unwrap(),
            destination: "203.0.113.1:2".parse().unwrap(),
            ip: IpFields::default(),
            flags: Flags::ACK,
            seq: 1,
            ack: 1,
            window: 1,
            urgent: 0,
            options: Options::default(),
            payload: vec![0; payload],
        };
        packet.encode(Layout::Aligned)
    }

    #[test]
    fn what_a_router_answers_travels_back_to_the_sender() {
        let millis = |ms| Path::new().then(Delay(Duration::from_millis(ms)));
        let links = Links {
            inner_up: millis(1),
            inner_down: millis(2),
            outer_up: millis(10).then(Mtu::new(1000)),
            outer_down: millis(20),
        };
        let sends = [segment(100), segment(1200)].map(|packet| (Instant::ZERO, packet));
        let inner = Script {
            sends: sends.clone().into(),
            ..Script::default()
        };
        let mut world = World::new(inner, Script::default(), Wire, links);
        world.linger(Duration::from_secs(1));
        let [small, _] = sends;
        assert_eq!(world.outer.came, [(Instant::from_millis(11), small.1)]);
        let [(at, answer)] = &world.inner.came[..] else {
            panic!("one answer, not {}", world.inner.came.len())
        };
        assert_eq!(*at, Instant::from_millis(33));
        assert!(Packet::decode(answer).is_err(), "an answer is not TCP");
    }
}
