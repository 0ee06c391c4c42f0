//! Packets that wait for a standby's word: nothing may leave that tells of octets which the standby does not have
//! yet.

use std::collections::VecDeque;
use std::io::IoSlice;

use localack_core::Port;

/// Octets that may wait; what comes on top finds no room.
const MOST_HELD: usize = 16 << 20;

/// Packets in the order in which they are to leave.
#[derive(Debug, Default)]
pub(super) struct HeldBack {
    packets: VecDeque<Held>,
    octets: usize,
    /// What the packets that come now tell of: the standby has to have so many records.
    pub(super) needs: u64,
}

#[derive(Debug)]
pub(super) struct Held {
    needs: u64,
    pub(super) port: Port,
    pub(super) octets: Vec<u8>,
}

impl HeldBack {
    /// Takes a packet in pieces, if there is room.
    pub(super) fn take(&mut self, port: Port, pieces: &[IoSlice<'_>]) -> bool {
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        if self.octets.saturating_add(length) > MOST_HELD {
            return false;
        }
        let mut octets = Vec::with_capacity(length);
        for piece in pieces {
            octets.extend_from_slice(piece);
        }
        self.octets += length;
        self.packets.push_back(Held {
            needs: self.needs,
            port,
            octets,
        });
        true
    }

    /// The packet that may leave next, if the standby has so many records.
    pub(super) fn ready(&self, confirmed: u64) -> Option<&Held> {
        self.packets.front().filter(|held| held.needs <= confirmed)
    }

    /// It has left.
    pub(super) fn gone(&mut self) {
        if let Some(held) = self.packets.pop_front() {
            self.octets = self.octets.saturating_sub(held.octets.len());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_leave_in_order_when_what_they_tell_is_known() {
        let mut held = HeldBack::default();
        for needs in [1, 1, 3] {
            held.needs = needs;
            assert!(held.take(Port::Outer, &[IoSlice::new(&[1]), IoSlice::new(&[2, 3])]));
        }
        assert!(held.ready(0).is_none());
        for _ in 0..2 {
            assert_eq!(held.ready(2).unwrap().octets, [1, 2, 3]);
            held.gone();
        }
        assert!(held.ready(2).is_none() && held.ready(3).is_some());
        held.gone();
        assert!(held.is_empty() && held.octets == 0);
    }

    #[test]
    fn there_is_an_end_to_the_room() {
        let mut held = HeldBack::default();
        let packet = vec![0; 1 << 20];
        let taken = (0..100).take_while(|_| held.take(Port::Inner, &[IoSlice::new(&packet)]));
        assert_eq!(taken.count(), 16);
        held.gone();
        assert!(held.take(Port::Inner, &[IoSlice::new(&packet)]));
    }
}
