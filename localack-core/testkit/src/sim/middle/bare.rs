//! An engine and nothing else.

use localack_core::{
    Counters, Direction, Engine, Event, Instant, PacketMeta, Policy, Poll, Port, Sink, SinkFull,
    Transmit, Verdict,
};

use super::Middle;
use crate::packet::segments;

#[derive(Debug, Default)]
struct Outbox {
    packets: Vec<(Port, Vec<u8>)>,
    events: Vec<Event>,
}

impl Sink for Outbox {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let octets: Vec<&[u8]> = packet.slices().collect();
        let cut = segments(octets.concat(), packet.gso_size());
        let port = packet.port();
        self.packets
            .extend(cut.into_iter().map(|octets| (port, octets)));
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        self.events.push(event);
    }
}

/// An engine without a witness: for runs of millions of packets, where the ends judge.
#[derive(Debug)]
pub struct BareBox<'e, P> {
    engine: Engine<'e, P>,
    outbox: Outbox,
    meta: PacketMeta,
    measures: bool,
    most_debt: [u32; 2],
}

impl<'e, P: Policy> BareBox<'e, P> {
    /// A box around `engine`, which is told `meta` of each packet.
    #[must_use]
    pub fn new(engine: Engine<'e, P>, meta: PacketMeta) -> Self {
        Self {
            engine,
            outbox: Outbox::default(),
            meta,
            measures: false,
            most_debt: [0; 2],
        }
    }

    /// The same, but it looks at every flow slot after every packet to see how much is in custody.
    #[must_use]
    pub const fn measuring(mut self) -> Self {
        self.measures = true;
        self
    }

    /// The engine's news.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.outbox.events
    }

    /// The most octets that all flows together had in custody at any time, for data from the inner
    /// and outer side; zero unless the box is [measuring](Self::measuring).
    #[must_use]
    pub const fn most_debt(&self) -> [u32; 2] {
        self.most_debt
    }

    /// The engine's counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        self.engine.counters()
    }

    /// The engine itself.
    pub const fn engine(&mut self) -> &mut Engine<'e, P> {
        &mut self.engine
    }

    /// Lets the engine come to rest, and sees how much is in custody then.
    fn settle(&mut self, now: Instant) {
        while self.engine.poll(now, 64, &mut self.outbox) == Poll::More {}
        if !self.measures {
            return;
        }
        for (direction, most) in Direction::BOTH.into_iter().zip(&mut self.most_debt) {
            let debts = self
                .engine
                .flows()
                .map(|flow| flow.direction(direction).debt);
            *most = (*most).max(debts.fold(0, u32::saturating_add));
        }
    }
}

impl<P: Policy> Middle for BareBox<'_, P> {
    fn ingest(&mut self, now: Instant, port: Port, mut packet: Vec<u8>) -> Vec<(Port, Vec<u8>)> {
        let verdict = self
            .engine
            .ingest(port, now, &mut packet, self.meta, &mut self.outbox);
        if matches!(verdict, Verdict::Pass(_) | Verdict::Forward) {
            self.outbox.packets.push((port.other(), packet));
        }
        self.settle(now);
        core::mem::take(&mut self.outbox.packets)
    }

    fn poll(&mut self, now: Instant) -> Vec<(Port, Vec<u8>)> {
        self.settle(now);
        core::mem::take(&mut self.outbox.packets)
    }

    fn next_at(&self) -> Option<Instant> {
        self.engine.next_deadline()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use localack_core::{Config, FlowConfig};

    use super::*;
    use crate::memory::Memory;
    use crate::sim::{
        Delay, EngineBox, Links, Loss, Path, Random, Rate, SmolHost, SmolSettings, Stream, World,
    };

    fn world<M: Middle>(middle: M) -> World<SmolHost, SmolHost, M> {
        let mut random = Random::new(11);
        let mut path = |ppm| {
            Path::new()
                .then(Rate::new(2_500_000, 256 * 1024))
                .then(Loss {
                    ppm,
                    random: random.fork(),
                })
                .then(Delay(Duration::from_millis(20)))
        };
        let links = Links {
            inner_up: path(0),
            inner_down: path(0),
            outer_up: path(20_000),
            outer_down: path(20_000),
        };
        let addresses = ["192.0.2.1:1000", "203.0.113.1:80"].map(|text| text.parse().unwrap());
        let streams = [Stream::new(1, 200_000), Stream::new(2, 1000)];
        let [inner, outer] = [0, 1].map(|side| {
            SmolHost::new(SmolSettings {
                own: addresses[side],
                peer: addresses[1 - side],
                connects: side == 0,
                seed: 5,
                stamps_from: Some(0),
                buffer: 65_535,
                sends: streams[side].clone(),
                expects: streams[1 - side].clone(),
            })
        });
        World::new(inner, outer, middle, links)
    }

    #[test]
    fn a_bare_box_does_to_a_connection_what_a_watched_one_does() {
        let limit = Duration::from_secs(600);
        let mut memories = [(); 2].map(|()| Memory::new(4, 512, 2048));
        let [one, other] = &mut memories;
        let config = Config::new([1, 2]);
        let policy = FlowConfig::inner_local_ack();
        let engine = Engine::new(one.storage(), config, policy).unwrap();
        let mut watched = world(EngineBox::new(engine));
        assert!(watched.run(limit));
        let engine = Engine::new(other.storage(), config, policy).unwrap();
        let mut bare = world(BareBox::new(engine, PacketMeta::default()).measuring());
        assert!(bare.run(limit));
        assert_eq!((bare.now(), bare.packets), (watched.now(), watched.packets));
        assert_eq!(bare.middle.counters(), watched.middle.counters());
        assert_eq!(bare.middle.events(), watched.middle.events());
        assert_eq!(bare.middle.most_debt(), watched.middle.most_debt());
        assert!(bare.middle.most_debt()[0] > 0 && watched.middle.faults().is_empty());
    }
}
