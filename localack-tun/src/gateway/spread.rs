//! Which queue's engine has a connection.
//!
//! The kernel gives a packet to the queue that the latest packet of its flow went into from here, or
//! else to one that it chooses by a hash of its own; of that the first is forgotten where there are more
//! than some thousand flows, the second holds for the addresses of the packet itself and not of one
//! that an ICMP error quotes, and neither is promised. So this side decides: a secret, keyed hash of
//! the connection's two ends, which is the same for both directions and for errors about either,
//! names the queue. A packet that arrives at another one is handed over ([`super::exchange`]). The
//! engine's answers and what it sends on teach the kernel, so that for most connections no more than
//! the first packet of each direction takes that way.
//!
//! A program in the kernel (`TUNSETSTEERINGEBPF`) could choose at once. It would need privileges for
//! BPF and one more thing to keep in step, and packets would still have to be handed over where it is
//! missing.

use core::hash::{Hash, Hasher};

use localack_core::wire::{self, Parsed};
use localack_core::{FlowKey, Port};
use siphasher::sip::SipHasher13;

/// The choice of a queue for every connection.
#[derive(Clone, Copy)]
pub(super) struct Spread {
    queues: u16,
    key: [u64; 2],
}

impl Spread {
    /// A choice among `queues`, by a secret.
    pub(super) const fn new(queues: u16, key: [u64; 2]) -> Self {
        Self { queues, key }
    }

    /// The queue that `packet`, which arrived on `port`, is for; `None` if it belongs to no connection,
    /// so that every engine lets it pass.
    pub(super) fn queue_for(&self, port: Port, packet: &[u8]) -> Option<usize> {
        match wire::parse(packet) {
            Parsed::Tcp(seg) => {
                Some(self.queue(port, (seg.src, seg.src_port), (seg.dst, seg.dst_port)))
            }
            // What it quotes had arrived on the other side.
            Parsed::Icmp(error) => {
                let quoted = &error.quoted;
                let (src, dst) = ((quoted.src, quoted.src_port), (quoted.dst, quoted.dst_port));
                Some(self.queue(port.other(), src, dst))
            }
            Parsed::Other(_) => None,
        }
    }

    fn queue(&self, from: Port, src: End, dst: End) -> usize {
        let (inner, outer) = match from {
            Port::Inner => (src, dst),
            Port::Outer => (dst, src),
        };
        self.queue_of(&FlowKey::new(inner.0, inner.1, outer.0, outer.1, 0))
    }

    /// The queue of a connection.
    fn queue_of(&self, key: &FlowKey) -> usize {
        let [k0, k1] = self.key;
        let mut hasher = SipHasher13::new_with_keys(k0, k1);
        key.hash(&mut hasher);
        let scaled = (u128::from(hasher.finish()) * u128::from(self.queues)) >> 64;
        usize::try_from(scaled).unwrap_or_default()
    }
}

/// Address and port of a host.
type End = (core::net::IpAddr, u16);

#[cfg(test)]
mod tests {
    use super::*;
    use localack_core::SeqNum;
    use localack_core::wire::{Flags, HeaderSpec, Sum};

    fn packet(src: End, dst: End) -> Vec<u8> {
        let spec = HeaderSpec {
            src: src.0,
            dst: dst.0,
            src_port: src.1,
            dst_port: dst.1,
            seq: SeqNum::new(1),
            ack: SeqNum::new(2),
            flags: Flags::ACK,
            window: 60_000,
            urgent: 0,
            timestamps: None,
            sack: &[],
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            dont_fragment: true,
        };
        wire::emit(&spec, 0, Sum::new())
            .expect("one IP version")
            .as_slice()
            .to_vec()
    }

    /// "Destination unreachable: fragmentation needed" about `quoted`, from a router.
    fn too_big(quoted: &[u8]) -> Vec<u8> {
        let mut error = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 1, 0, 0];
        error.extend([203, 0, 113, 9, 192, 0, 2, 1]);
        error.extend([3, 4, 0, 0, 0, 0, 5, 0]);
        error.extend(&quoted[..28]);
        let length = u16::try_from(error.len()).unwrap();
        error[2..4].copy_from_slice(&length.to_be_bytes());
        for (range, at) in [(0..20, 10), (20..error.len(), 22)] {
            let mut sum = Sum::new();
            sum.add_bytes(&error[range]);
            let sum = sum.checksum().to_be_bytes();
            error[at..at + 2].copy_from_slice(&sum);
        }
        error
    }

    fn ends(number: u16) -> [(End, End); 2] {
        [
            (
                ([192, 0, 2, 1].into(), 1024 + number),
                ([198, 51, 100, 1].into(), 443),
            ),
            (
                ("2001:db8::1".parse().unwrap(), 1024 + number),
                ("2001:db8:1::1".parse().unwrap(), 443),
            ),
        ]
    }

    #[test]
    fn both_directions_and_errors_about_them_are_for_one_queue() {
        let spread = Spread::new(7, [1, 2]);
        for number in 0..100 {
            for (inner, outer) in ends(number) {
                let there = packet(inner, outer);
                let back = packet(outer, inner);
                let queue = spread.queue_for(Port::Inner, &there);
                assert!(queue.is_some_and(|queue| queue < 7));
                assert_eq!(spread.queue_for(Port::Outer, &back), queue);
                if inner.0.is_ipv4() {
                    // The error comes from where the packet went.
                    assert_eq!(spread.queue_for(Port::Outer, &too_big(&there)), queue);
                    assert_eq!(spread.queue_for(Port::Inner, &too_big(&back)), queue);
                }
            }
        }
    }

    #[test]
    fn connections_are_spread_over_all_queues_by_the_secret() {
        let count = |key: [u64; 2]| {
            let spread = Spread::new(4, key);
            let mut counts = [0; 4];
            let mut places = Vec::new();
            for (inner, outer) in (0..500).flat_map(ends) {
                let queue = spread
                    .queue_for(Port::Inner, &packet(inner, outer))
                    .unwrap();
                counts[queue] += 1;
                places.push(queue);
            }
            (counts, places)
        };
        let ((counts, one), (_, other)) = (count([1, 2]), count([3, 4]));
        assert!(counts.iter().all(|count| *count > 200), "{counts:?}");
        assert_ne!(one, other);
    }

    #[test]
    fn what_is_no_connection_is_for_any_queue() {
        let spread = Spread::new(4, [1, 2]);
        let mut udp = packet(ends(1)[0].0, ends(1)[0].1);
        udp[9] = 17;
        for junk in [&udp[..], &[], &[0x45; 19]] {
            assert_eq!(spread.queue_for(Port::Inner, junk), None);
        }
    }
}
