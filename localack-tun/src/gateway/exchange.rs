//! Packets on their way from the queue that they arrived at to the one whose engine has their
//! connection ([`super::spread`] says which).
//!
//! A packet lies in a [`Parcel`] from the moment it is read, and the parcel itself changes hands: nothing
//! is copied. Every queue has so many of them, which come back to it; where they have run out, or the
//! other queue does not keep up, the packet is dropped, as a full queue of the kernel's would.

use core::mem;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use localack_core::{LinkId, Port};

use super::ethernet::{self, MOST_LEAD};
use super::frame::FRAME_HEADER;
use super::mailbox::Wakers;
use super::spread::Spread;

/// The longest packet, in octets.
const LONGEST_PACKET: usize = 65_535;
/// Parcels of each queue: a burst of each device, twice.
const PARCELS: usize = 256;
/// Parcels that may wait for one queue.
const WAITING: usize = 1024;

/// Room for a packet.
pub(super) struct Parcel {
    /// The device that it came in by.
    pub(super) port: Port,
    /// What the kernel says of it.
    pub(super) header: [u8; FRAME_HEADER],
    /// How long it is, in octets, with what stands before the IP header.
    pub(super) length: usize,
    /// Octets before the IP header; all of them if there is none.
    pub(super) lead: usize,
    /// The VLANs that it is in.
    pub(super) link: LinkId,
    pub(super) room: Vec<u8>,
    /// The queue that the parcel belongs to.
    home: usize,
}

impl Parcel {
    pub(super) fn new(home: usize) -> Self {
        Self {
            port: Port::Inner,
            header: [0; FRAME_HEADER],
            length: 0,
            lead: 0,
            link: LinkId(0),
            room: vec![0; LONGEST_PACKET + MOST_LEAD],
            home,
        }
    }

    /// Finds the IP packet in a frame of Ethernet.
    pub(super) fn find_packet(&mut self) {
        let found = ethernet::lead(self.frame());
        (self.lead, self.link) = found.unwrap_or((self.length, LinkId(0)));
    }

    /// All of it.
    pub(super) fn frame(&self) -> &[u8] {
        self.room.get(..self.length).unwrap_or_default()
    }

    /// The IP packet.
    pub(super) fn packet(&mut self) -> &mut [u8] {
        let octets = self.lead..self.length;
        self.room.get_mut(octets).unwrap_or_default()
    }
}

/// What was handed over, and what could not be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Handed {
    /// Packets that went to other queues.
    pub(super) over: u64,
    /// Packets that were dropped because there was no parcel or no room.
    pub(super) dropped: u64,
}

/// The end of one queue.
pub(super) struct Exchange {
    own: usize,
    spread: Spread,
    spare: Vec<Parcel>,
    inbox: Receiver<Parcel>,
    returned: Receiver<Parcel>,
    peers: Vec<Peer>,
    wakers: Wakers,
    pub(super) handed: Handed,
}

/// The way to another queue.
struct Peer {
    inbox: SyncSender<Parcel>,
    returned: SyncSender<Parcel>,
    /// It has got parcels that it was not woken for yet.
    is_due: bool,
}

impl Exchange {
    /// The ends of all queues; none of them if there is but one.
    pub(super) fn among(wakers: &Wakers, spread: Spread) -> Vec<Self> {
        let queues = wakers.len();
        if queues < 2 {
            return Vec::new();
        }
        let (inboxes, waiting): (Vec<_>, Vec<_>) =
            (0..queues).map(|_| sync_channel(WAITING)).unzip();
        let (returns, returned): (Vec<_>, Vec<_>) =
            (0..queues).map(|_| sync_channel(PARCELS)).unzip();
        let peers = || {
            let both = inboxes.iter().zip(&returns);
            both.map(|(inbox, returned)| Peer {
                inbox: inbox.clone(),
                returned: returned.clone(),
                is_due: false,
            })
            .collect()
        };
        waiting
            .into_iter()
            .zip(returned)
            .enumerate()
            .map(|(own, (inbox, returned))| Self {
                own,
                spread,
                spare: (0..PARCELS).map(|_| Parcel::new(own)).collect(),
                inbox,
                returned,
                peers: peers(),
                wakers: wakers.clone(),
                handed: Handed::default(),
            })
            .collect()
    }

    /// Hands the packet over if another queue is to have it, and puts an empty parcel in its place.
    /// `false` if it is for this one.
    pub(super) fn hand_over(&mut self, parcel: &mut Parcel) -> bool {
        let port = parcel.port;
        let owner = self.spread.queue_for(port, parcel.packet());
        let Some(owner) = owner.filter(|owner| *owner != self.own) else {
            return false;
        };
        let spare = self.spare.pop().or_else(|| self.returned.try_recv().ok());
        let handed = match (spare, self.peers.get_mut(owner)) {
            (Some(empty), Some(peer)) => {
                let full = mem::replace(parcel, empty);
                match peer.inbox.try_send(full) {
                    Ok(()) => {
                        peer.is_due = true;
                        true
                    }
                    Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) => {
                        self.spare.push(mem::replace(parcel, back));
                        false
                    }
                }
            }
            (spare, _) => {
                self.spare.extend(spare);
                false
            }
        };
        let count = if handed {
            &mut self.handed.over
        } else {
            &mut self.handed.dropped
        };
        *count = count.saturating_add(1);
        true
    }

    /// Wakes the queues that have got something since the last call.
    pub(super) fn wake(&mut self) {
        for (queue, peer) in self.peers.iter_mut().enumerate() {
            if mem::take(&mut peer.is_due) {
                self.wakers.wake(queue);
            }
        }
    }

    /// The next packet that another queue has handed over to this one.
    pub(super) fn next(&self) -> Option<Parcel> {
        self.inbox.try_recv().ok()
    }

    /// Gives a parcel back to the queue that it belongs to.
    pub(super) fn give_back(&self, parcel: Parcel) {
        if let Some(peer) = self.peers.get(parcel.home) {
            // There is room for all parcels of a queue; if the queue has ended, nobody misses it.
            let _ = peer.returned.try_send(parcel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use localack_core::SeqNum;
    use localack_core::wire::{self, Flags, HeaderSpec, Sum};

    const SPREAD: Spread = Spread::new(2, [1, 2]);

    /// Puts a packet into `parcel` that is for `queue`.
    fn fill(parcel: &mut Parcel, queue: usize) {
        for port in 1024.. {
            let spec = HeaderSpec {
                src: [192, 0, 2, 1].into(),
                dst: [198, 51, 100, 1].into(),
                src_port: port,
                dst_port: 443,
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
            let packet = wire::emit(&spec, 0, Sum::new()).expect("one IP version");
            let packet = packet.as_slice();
            if SPREAD.queue_for(Port::Inner, packet) == Some(queue) {
                parcel.room[..packet.len()].copy_from_slice(packet);
                parcel.length = packet.len();
                return;
            }
        }
    }

    fn ends() -> [Exchange; 2] {
        let wakers = Wakers::new(2).unwrap();
        let Ok(ends) = Exchange::among(&wakers, SPREAD).try_into() else {
            panic!("two");
        };
        ends
    }

    #[test]
    fn one_queue_needs_no_exchange() {
        assert!(Exchange::among(&Wakers::new(1).unwrap(), SPREAD).is_empty());
    }

    #[test]
    fn a_packet_of_its_own_stays_and_another_is_handed_over_whole() {
        let [mut zero, one] = ends();
        let mut parcel = Parcel::new(0);
        fill(&mut parcel, 0);
        assert!(!zero.hand_over(&mut parcel));
        fill(&mut parcel, 1);
        let sent = parcel.packet().to_vec();
        assert!(zero.hand_over(&mut parcel));
        assert!(one.next().is_some_and(|mut got| got.packet() == sent));
        assert!(one.next().is_none());
        assert_eq!(
            zero.handed,
            Handed {
                over: 1,
                dropped: 0
            }
        );
    }

    #[test]
    fn parcels_come_back_for_ever() {
        let [mut zero, one] = ends();
        let mut parcel = Parcel::new(0);
        for _ in 0..3 * PARCELS {
            fill(&mut parcel, 1);
            assert!(zero.hand_over(&mut parcel));
            one.give_back(one.next().unwrap());
        }
        assert_eq!(zero.handed.dropped, 0);
    }

    #[test]
    fn who_does_not_keep_up_loses_packets_and_blocks_nobody() {
        let [mut zero, one] = ends();
        let mut parcel = Parcel::new(0);
        for _ in 0..PARCELS + 10 {
            fill(&mut parcel, 1);
            assert!(zero.hand_over(&mut parcel), "it is not this queue's");
        }
        let over = PARCELS as u64;
        assert_eq!(zero.handed, Handed { over, dropped: 10 });
        one.give_back(one.next().unwrap());
        fill(&mut parcel, 1);
        assert!(zero.hand_over(&mut parcel));
        assert_eq!(
            zero.handed,
            Handed {
                over: over + 1,
                dropped: 10
            }
        );
    }
}
