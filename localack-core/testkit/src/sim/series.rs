//! Two boxes one after the other.

use std::collections::VecDeque;

use localack_core::{Instant, Port};

use super::middle::Middle;

/// Two boxes one after the other: the outer port of the first is wired to the inner port of the
/// second.
#[derive(Debug)]
pub struct Series<A, B> {
    /// The box on the inner side.
    pub first: A,
    /// The box on the outer side.
    pub second: B,
}

/// Packets that one event may make two boxes exchange before they count as chattering for ever
/// (invariant 16).
const MOST_EXCHANGED: usize = 10_000;

impl<A: Middle, B: Middle> Series<A, B> {
    /// Hands packets to and fro until none is left between the boxes.
    fn settle(
        &mut self,
        now: Instant,
        from_first: Vec<(Port, Vec<u8>)>,
        from_second: Vec<(Port, Vec<u8>)>,
    ) -> Vec<(Port, Vec<u8>)> {
        let mut out = Vec::new();
        let mut between: VecDeque<(Port, Vec<u8>)> = VecDeque::new();
        // What travels outward goes to the second box, what travels inward to the first.
        let mut sort = |packets: Vec<(Port, Vec<u8>)>, first: bool, between: &mut VecDeque<_>| {
            for (port, packet) in packets {
                let leaves = (port == Port::Inner) == first;
                if leaves {
                    out.push((port, packet));
                } else {
                    between.push_back((port, packet));
                }
            }
        };
        sort(from_first, true, &mut between);
        sort(from_second, false, &mut between);
        let mut exchanged = 0;
        while let Some((toward, packet)) = between.pop_front() {
            exchanged += 1;
            assert!(
                exchanged < MOST_EXCHANGED,
                "two boxes in series do not come to rest"
            );
            match toward {
                Port::Outer => {
                    let answer = self.second.ingest(now, Port::Inner, packet);
                    sort(answer, false, &mut between);
                }
                Port::Inner => {
                    let answer = self.first.ingest(now, Port::Outer, packet);
                    sort(answer, true, &mut between);
                }
            }
        }
        out
    }
}

impl<A: Middle, B: Middle> Middle for Series<A, B> {
    fn ingest(&mut self, now: Instant, port: Port, packet: Vec<u8>) -> Vec<(Port, Vec<u8>)> {
        match port {
            Port::Inner => {
                let out = self.first.ingest(now, port, packet);
                self.settle(now, out, Vec::new())
            }
            Port::Outer => {
                let out = self.second.ingest(now, port, packet);
                self.settle(now, Vec::new(), out)
            }
        }
    }

    fn poll(&mut self, now: Instant) -> Vec<(Port, Vec<u8>)> {
        let first = self.first.poll(now);
        let second = self.second.poll(now);
        self.settle(now, first, second)
    }

    fn next_at(&self) -> Option<Instant> {
        [self.first.next_at(), self.second.next_at()]
            .into_iter()
            .flatten()
            .min()
    }
}
