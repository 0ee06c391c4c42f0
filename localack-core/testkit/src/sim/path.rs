//! One direction of a link: a chain of nodes and the packets on their way through it.

use core::fmt;
use std::collections::VecDeque;

use localack_core::Instant;

/// One thing that happens to packets on their way.
pub trait Node: fmt::Debug {
    /// Takes a packet that arrives at `now`.
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>);

    /// When the node wants to be polled: only a node that keeps packets itself ever does.
    fn next_at(&self) -> Option<Instant> {
        None
    }

    /// Does what is due at `now`, the time that [`Node::next_at`] named.
    fn poll(&mut self, now: Instant, exits: &mut Exits<'_>) {
        let _ = (now, exits);
    }
}

/// The ways out of a node.
#[derive(Debug)]
pub struct Exits<'p> {
    now: Instant,
    onward: &'p mut Queue,
    answers: &'p mut VecDeque<Vec<u8>>,
}

impl Exits<'_> {
    /// Hands a packet on; it reaches what comes next at `at`, and not before the present.
    pub fn onward(&mut self, at: Instant, packet: Vec<u8>) {
        self.onward.put(at.latest(self.now), packet);
    }

    /// Sends a packet of the node's own back toward the sender, by the link's other direction.
    pub fn answer(&mut self, packet: Vec<u8>) {
        self.answers.push_back(packet);
    }
}

/// Packets in the order of their times, and of their coming where the times are equal.
#[derive(Debug, Default)]
struct Queue(VecDeque<(Instant, Vec<u8>)>);

impl Queue {
    /// Nearly always the new packet is the last one; only reordering makes it look for its place.
    fn put(&mut self, at: Instant, packet: Vec<u8>) {
        if self.0.back().is_none_or(|&(last, _)| last <= at) {
            self.0.push_back((at, packet));
        } else {
            let place = self.0.partition_point(|&(time, _)| time <= at);
            self.0.insert(place, (at, packet));
        }
    }

    fn next_at(&self) -> Option<Instant> {
        self.0.front().map(|&(at, _)| at)
    }

    fn take(&mut self, now: Instant) -> Option<(Instant, Vec<u8>)> {
        self.next_at().filter(|&at| at <= now)?;
        self.0.pop_front()
    }
}

/// A node and what is on its way to it.
#[derive(Debug)]
struct Stage {
    coming: Queue,
    node: Box<dyn Node>,
}

/// A chain of nodes. Each node sees its packets in the order of their times.
#[derive(Debug, Default)]
pub struct Path {
    stages: Vec<Stage>,
    arrived: Queue,
    answers: VecDeque<Vec<u8>>,
    /// When something next happens.
    next: Option<Instant>,
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
        self.stages.push(Stage {
            coming: Queue::default(),
            node: Box::new(node),
        });
        self
    }

    /// Sends a packet into the path.
    pub fn send(&mut self, now: Instant, packet: Vec<u8>) {
        let first = self.stages.first_mut();
        first
            .map_or(&mut self.arrived, |stage| &mut stage.coming)
            .put(now, packet);
        self.next = Some(self.next.map_or(now, |next| next.min(now)));
    }

    /// When something next happens on the path.
    #[must_use]
    pub const fn next_at(&self) -> Option<Instant> {
        self.next
    }

    /// The next packet that arrives at the far end by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.next.is_none_or(|next| next > now) {
            return None;
        }
        self.advance(now);
        let arrived = self.arrived.take(now);
        let stages = self.stages.iter();
        self.next = stages
            .flat_map(|stage| [stage.coming.next_at(), stage.node.next_at()])
            .chain([self.arrived.next_at()])
            .flatten()
            .min();
        arrived.map(|(_, packet)| packet)
    }

    /// The next packet that a node sends back toward the sender. The link's other direction carries
    /// it, as if the router that made it stood at the far end.
    pub fn answer(&mut self) -> Option<Vec<u8>> {
        self.answers.pop_front()
    }

    /// Lets the nodes do all that is due. A node is done with a time only when all before it are, so
    /// going through them in order shows each its packets in the order of their times.
    fn advance(&mut self, now: Instant) {
        let mut stages = &mut self.stages[..];
        while let Some((stage, rest)) = stages.split_first_mut() {
            let onward = rest
                .first_mut()
                .map_or(&mut self.arrived, |next| &mut next.coming);
            let mut exits = Exits {
                now,
                onward,
                answers: &mut self.answers,
            };
            let Stage { coming, node } = stage;
            loop {
                let own = node.next_at().filter(|&at| at <= now);
                // A queue lets go of a packet before it takes one at the same time.
                if let Some(at) = own.filter(|&at| coming.next_at().is_none_or(|next| at <= next)) {
                    exits.now = at;
                    node.poll(at, &mut exits);
                } else if let Some((at, packet)) = coming.take(now) {
                    exits.now = at;
                    node.pass(at, packet, &mut exits);
                } else {
                    break;
                }
            }
            stages = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[derive(Debug)]
    struct Later;

    impl Node for Later {
        /// Holds a packet as long as its first octet says, and answers with a packet of that octet.
        fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
            exits.answer(vec![packet[0]]);
            let wait = Duration::from_micros(packet[0].into());
            exits.onward(now.after(wait), packet);
        }
    }

    #[test]
    fn packets_arrive_in_the_order_of_their_times_and_then_of_their_sending() {
        let mut path = Path::new().then(Later);
        path.send(at(0), vec![9, 0]);
        path.send(at(1), vec![3, 1]);
        path.send(at(2), vec![7, 2]);
        path.send(at(2), vec![2, 3]);
        let mut all = Vec::new();
        while let Some(now) = path.next_at() {
            while let Some(packet) = path.receive(now) {
                all.push((now.as_micros(), packet[1]));
            }
        }
        assert_eq!(all, [(4, 1), (4, 3), (9, 0), (9, 2)]);
    }

    #[test]
    fn nothing_arrives_before_its_time_and_answers_are_kept_apart() {
        let mut path = Path::new().then(Later);
        path.send(at(0), vec![5]);
        assert_eq!(path.receive(at(4)), None);
        assert_eq!(path.next_at(), Some(at(5)));
        assert_eq!((path.answer(), path.answer()), (Some(vec![5]), None));
        assert_eq!(path.receive(at(5)), Some(vec![5]));
        assert_eq!(path.next_at(), None);
    }

    #[test]
    fn a_path_without_nodes_delivers_at_once() {
        let mut path = Path::new();
        path.send(at(3), vec![1]);
        assert_eq!(path.next_at(), Some(at(3)));
        assert_eq!(path.receive(at(3)), Some(vec![1]));
    }
}
