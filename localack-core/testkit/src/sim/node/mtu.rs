//! A router whose next link takes no large packets.

use localack_core::Instant;

use crate::packet::{Packet, packet_too_big};
use crate::sim::path::{Exits, Node};

/// Drops packets above a size, which may change.
#[derive(Clone, Debug)]
pub struct Mtu {
    mtu: u16,
    /// Changes to come, the next one last.
    changes: Vec<(Instant, u16)>,
    answers: bool,
}

impl Mtu {
    /// A router that answers the sender of a TCP segment above `mtu` octets with "packet too big"
    /// (RFC 1191, RFC 8201). It fragments nothing: an IPv4 packet that allows it is dropped without
    /// an answer.
    #[must_use]
    pub const fn new(mtu: u16) -> Self {
        Self::with(mtu, true)
    }

    /// A black hole: packets above `mtu` octets vanish.
    #[must_use]
    pub const fn black_hole(mtu: u16) -> Self {
        Self::with(mtu, false)
    }

    const fn with(mtu: u16, answers: bool) -> Self {
        Self {
            mtu,
            changes: Vec::new(),
            answers,
        }
    }

    /// The same, with another limit from `at` on.
    #[must_use]
    pub fn until(mut self, at: Instant, mtu: u16) -> Self {
        self.changes.push((at, mtu));
        self.changes.sort_by_key(|&(at, _)| core::cmp::Reverse(at));
        self
    }
}

impl Node for Mtu {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        while let Some((_, mtu)) = self.changes.pop_if(|&mut (at, _)| at <= now) {
            self.mtu = mtu;
        }
        if packet.len() <= usize::from(self.mtu) {
            exits.onward(now, packet);
            return;
        }
        if !self.answers {
            return;
        }
        // Errors about errors are not sent, and what is broken is not understood (RFC 1122 3.2.2).
        let Ok(decoded) = Packet::decode(&packet) else {
            return;
        };
        if decoded.packet.source.is_ipv6() || decoded.packet.ip.dont_fragment {
            exits.answer(packet_too_big(&decoded.packet, self.mtu.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use localack_core::wire::{IcmpKind, Parsed, parse};

    use super::*;
    use crate::packet::{Flags, IpFields, Layout, Options};
    use crate::sim::Path;

    fn segment(v6: bool, dont_fragment: bool, payload: usize) -> Vec<u8> {
        let addresses = if v6 {
            ["[2001:db8::1]:1", "[2001:db8::2]:2"]
        } else {
            ["192.0.2.1:1", "192.0.2.2:2"]
        };
        let [source, destination] = addresses.map(|text| text.parse().unwrap());
        let packet = Packet {
            source,
            destination,
            ip: IpFields {
                dont_fragment,
                ..IpFields::default()
            },
            flags: Flags::ACK,
            seq: 77,
            ack: 1,
            window: 1,
            urgent: 0,
            options: Options::default(),
            payload: vec![7; payload],
        };
        packet.encode(Layout::Aligned)
    }

    fn passes(path: &mut Path, now: Instant, packet: Vec<u8>) -> bool {
        path.send(now, packet);
        path.receive(now).is_some()
    }

    #[test]
    fn rfc_1191_rfc_8201_a_router_answers_with_the_size_that_it_takes() {
        for v6 in [false, true] {
            let mut path = Path::new().then(Mtu::new(1400));
            let fits = segment(v6, true, 1400 - if v6 { 60 } else { 40 });
            assert_eq!(fits.len(), 1400);
            assert!(passes(&mut path, Instant::ZERO, fits));
            assert_eq!(path.answer(), None);
            let large = segment(v6, true, 1401 - if v6 { 60 } else { 40 });
            assert!(!passes(&mut path, Instant::ZERO, large));
            let answer = path.answer().unwrap();
            let Parsed::Icmp(error) = parse(&answer) else {
                panic!("not an ICMP error")
            };
            assert_eq!(error.kind, IcmpKind::PacketTooBig { mtu: 1400 });
            assert_eq!(error.quoted.seq.raw(), 77);
        }
    }

    #[test]
    fn the_limit_changes_when_it_is_told_to() {
        let at = Instant::from_millis;
        let mtu = Mtu::black_hole(1500)
            .until(at(20), 1500)
            .until(at(10), 1000);
        let mut path = Path::new().then(mtu);
        let mut large = |millis| passes(&mut path, at(millis), segment(false, true, 1200));
        assert_eq!([9, 10, 19, 20].map(&mut large), [true, false, false, true]);
    }

    #[test]
    fn a_black_hole_and_a_packet_that_may_be_fragmented_get_no_answer() {
        let mut hole = Path::new().then(Mtu::black_hole(1000));
        assert!(!passes(
            &mut hole,
            Instant::ZERO,
            segment(false, true, 1200)
        ));
        assert_eq!(hole.answer(), None);
        let mut router = Path::new().then(Mtu::new(1000));
        assert!(!passes(
            &mut router,
            Instant::ZERO,
            segment(false, false, 1200)
        ));
        assert_eq!(router.answer(), None);
    }
}
