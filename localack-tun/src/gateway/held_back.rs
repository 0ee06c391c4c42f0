//! Packets that wait: for a standby's word, because nothing may leave that tells of octets which the standby does
//! not have yet; or only for the end of the engine's work, where that may outlive this process. A process that is
//! killed is killed in a call of the system's more often than not, and no connection should be in the middle of
//! something then.

use std::collections::VecDeque;
use std::io::IoSlice;

use localack_core::Port;

/// Octets that may wait; what comes on top finds no room.
const MOST_HELD: usize = 16 << 20;

/// Buffers that are kept for the next packets.
const MOST_SPARE: usize = 64;

/// Packets in the order in which they are to leave.
#[derive(Debug, Default)]
pub(super) struct HeldBack {
    packets: VecDeque<Held>,
    octets: usize,
    spare: Vec<Vec<u8>>,
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
        let mut octets = self.spare.pop().unwrap_or_default();
        octets.clear();
        octets.reserve(length);
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
            if self.spare.len() < MOST_SPARE {
                self.spare.push(held.octets);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether a packet that comes now waits for nobody.
    pub(super) fn lets_pass(&self) -> bool {
        self.needs == 0 && self.packets.is_empty()
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
        assert!(held.is_empty() && held.octets == 0 && !held.lets_pass());
    }

    #[test]
    fn what_waits_for_no_word_leaves_at_once_and_in_order() {
        let mut held = HeldBack::default();
        assert!(held.lets_pass());
        for octet in [1, 2] {
            assert!(held.take(Port::Inner, &[IoSlice::new(&[octet; 2])]));
            assert!(!held.lets_pass());
            assert_eq!(held.ready(0).unwrap().octets, [octet; 2]);
            held.gone();
        }
        assert!(held.lets_pass());
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
