//! Many hosts on one link.

use core::net::SocketAddr;
use std::collections::{BTreeSet, HashMap};

use localack_core::Instant;
use localack_core::wire::{Parsed, parse};

use super::endpoint::Endpoint;

/// Many hosts on one link, each with one address and port: for worlds of many connections.
#[derive(Debug)]
pub struct Crowd<E> {
    hosts: Vec<Member<E>>,
    by_address: HashMap<SocketAddr, usize>,
    /// Who wants to be polled, and when.
    due: BTreeSet<(Instant, usize)>,
}

#[derive(Debug)]
struct Member<E> {
    host: E,
    /// Its entry in [`Crowd::due`].
    due: Option<Instant>,
}

impl<E: Endpoint> Crowd<E> {
    /// Hosts and their addresses.
    ///
    /// # Panics
    /// If two have the same address.
    #[must_use]
    pub fn new(hosts: impl IntoIterator<Item = (SocketAddr, E)>) -> Self {
        let mut crowd = Self {
            hosts: Vec::new(),
            by_address: HashMap::new(),
            due: BTreeSet::new(),
        };
        for (address, host) in hosts {
            crowd.join(address, host);
        }
        crowd
    }

    /// One more host; answers its number.
    ///
    /// # Panics
    /// If its address is taken.
    pub fn join(&mut self, address: SocketAddr, host: E) -> usize {
        let number = self.hosts.len();
        self.hosts.push(Member { host, due: None });
        let before = self.by_address.insert(address, number);
        assert!(before.is_none(), "two hosts at {address}");
        self.set_due(number, Some(Instant::ZERO));
        number
    }

    /// The hosts, in the order of their numbers.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = &E> {
        self.hosts.iter().map(|member| &member.host)
    }

    /// Host `number`, which will be polled at once, for it may have been given work.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn host_mut(&mut self, number: usize) -> &mut E {
        self.set_due(number, Some(Instant::ZERO));
        &mut self.hosts[number].host
    }

    fn set_due(&mut self, number: usize, due: Option<Instant>) {
        let before = core::mem::replace(&mut self.hosts[number].due, due);
        if before != due {
            if let Some(at) = before {
                self.due.remove(&(at, number));
            }
            if let Some(at) = due {
                self.due.insert((at, number));
            }
        }
    }

    fn ask(&mut self, now: Instant, number: usize) {
        let due = self.hosts[number].host.next_at(now);
        self.set_due(number, due);
    }
}

/// Whom a packet is for: the destination of a segment, the sender of the segment that an error quotes.
fn addressee(packet: &[u8]) -> Option<SocketAddr> {
    match parse(packet) {
        Parsed::Tcp(seg) => Some(SocketAddr::new(seg.dst, seg.dst_port)),
        Parsed::Icmp(error) => Some(SocketAddr::new(error.quoted.src, error.quoted.src_port)),
        Parsed::Other(_) => None,
    }
}

impl<E: Endpoint> Endpoint for Crowd<E> {
    /// A packet for nobody is lost.
    fn receive(&mut self, now: Instant, packet: Vec<u8>) {
        let number = addressee(&packet).and_then(|address| self.by_address.get(&address));
        if let Some(&number) = number {
            self.hosts[number].host.receive(now, packet);
            self.ask(now, number);
        }
    }

    fn poll(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let due: Vec<usize> = self
            .due
            .iter()
            .take_while(|&&(at, _)| at <= now)
            .map(|&(_, number)| number)
            .collect();
        let mut out = Vec::new();
        for number in due {
            out.extend(self.hosts[number].host.poll(now));
            self.ask(now, number);
        }
        out
    }

    fn next_at(&mut self, _: Instant) -> Option<Instant> {
        self.due.first().map(|&(at, _)| at)
    }

    fn is_done(&self) -> bool {
        self.hosts().all(Endpoint::is_done)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::sim::{
        Delay, Links, Loss, Path, Random, Rate, SmolHost, SmolSettings, Stream, Wire, World,
    };

    #[test]
    fn many_connections_share_one_link_and_each_gets_what_is_its_own() {
        let address = |host: u8, port| SocketAddr::new([192, 0, 2, host].into(), port);
        let host = |number: u16, connects: bool| {
            let addresses = [address(1, 1000 + number), address(2, 80 + number)];
            let streams = [1, 2].map(|side| Stream::new(u64::from(number) * 2 + side, 20_000));
            let side = usize::from(!connects);
            let host = SmolHost::new(SmolSettings {
                own: addresses[side],
                peer: addresses[1 - side],
                connects,
                seed: number.into(),
                stamps_from: None,
                buffer: 65_535,
                sends: streams[side].clone(),
                expects: streams[1 - side].clone(),
            });
            (addresses[side], host)
        };
        let mut random = Random::new(8);
        let mut path = || {
            Path::new()
                .then(Rate::new(1_250_000, 100_000))
                .then(Loss {
                    ppm: 10_000,
                    random: random.fork(),
                })
                .then(Delay(Duration::from_millis(10)))
        };
        let links = Links {
            outer_up: path(),
            outer_down: path(),
            ..Links::default()
        };
        let crowd = |connects| Crowd::new((0..20).map(|number| host(number, connects)));
        let mut world = World::new(crowd(true), crowd(false), Wire, links);
        assert!(world.run(Duration::from_secs(600)));
        for host in world.inner.hosts().chain(world.outer.hosts()) {
            assert_eq!((host.fault(), host.received()), (None, 20_000));
        }
    }

    #[test]
    fn a_host_that_was_touched_is_polled_at_once() {
        #[derive(Debug, Default)]
        struct Idle(bool);
        impl Endpoint for Idle {
            fn receive(&mut self, _: Instant, _: Vec<u8>) {}
            fn poll(&mut self, _: Instant) -> Vec<Vec<u8>> {
                let sends = core::mem::take(&mut self.0);
                sends.then(|| vec![1]).into_iter().collect()
            }
            fn next_at(&mut self, now: Instant) -> Option<Instant> {
                self.0.then_some(now)
            }
            fn is_done(&self) -> bool {
                !self.0
            }
        }
        let address = |port| SocketAddr::new([192, 0, 2, 1].into(), port);
        let mut crowd = Crowd::new([1, 2].map(|port| (address(port), Idle(false))));
        let now = Instant::from_millis(7);
        assert!(crowd.poll(now).is_empty());
        assert_eq!(crowd.next_at(now), None);
        crowd.host_mut(1).0 = true;
        assert!(crowd.next_at(now).is_some_and(|at| at <= now));
        assert_eq!(crowd.poll(now), [vec![1]]);
        assert!(crowd.is_done() && crowd.next_at(now).is_none());
    }
}
