//! The books of one direction of data: what its sender was told, and what its receiver said, as seen
//! at the engine.

use localack_core::Port;

use super::host::Host;
use super::operation::Setup;
use super::ranges::Ranges;
use crate::packet::{Flags, Packet};

/// The books of the data of one host. All numbers are positions in its stream.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    /// What has arrived at the engine whole, and what has more than once.
    pub(super) arrived: Ranges,
    pub(super) twice: Ranges,
    pub(super) fin: Option<i64>,
    /// When new data arrived last, in microseconds.
    pub(super) data_at: i64,
    /// The highest acknowledgement of the receiver that has arrived.
    pub(super) acked: i64,
    /// The highest acknowledgement, and right edge, that the sender was told.
    pub(super) told: i64,
    pub(super) edge: i64,
    /// What was reported to the sender by SACK out of the engine's store.
    pub(super) promised: Ranges,
    /// The acknowledgement of the RST of the receiver that arrives at this moment.
    pub(super) acked_by_reset: i64,
    /// Where the engine's store ended in order when it was at rest last.
    pub(super) stored: i64,
    /// When the receiver last acknowledged something new, or had nothing to acknowledge, in
    /// microseconds.
    pub(super) progress_at: i64,
    /// Octets that were declared lost, and the acknowledgement that the last declaration was about.
    pub(super) lost: i64,
    pub(super) lost_up_to: i64,
    /// When that was, in microseconds.
    pub(super) lost_at: i64,
    /// Whether its receiver is known to have the connection (rule H7.1).
    pub(super) proven: bool,
}

impl Ledger {
    pub(super) fn new(source: Port, setup: &Setup) -> Self {
        Self {
            arrived: Ranges::default(),
            twice: Ranges::default(),
            fin: None,
            data_at: 0,
            acked: 0,
            told: 0,
            edge: 0,
            promised: Ranges::default(),
            acked_by_reset: 0,
            stored: 0,
            progress_at: 0,
            lost: 0,
            lost_at: 0,
            lost_up_to: 0,
            proven: setup.early || setup.client() != source,
        }
    }

    /// A segment of the sender's arrives.
    pub(super) fn arrives(&mut self, packet: &Packet, host: &Host, now_us: i64) {
        if packet.flags.has(Flags::SYN) || packet.flags.has(Flags::RST) {
            return;
        }
        let start = host.position(packet.seq);
        let end = start + i64::from(packet.payload_len());
        if end > start {
            if !self.arrived.covers(start, end) {
                self.data_at = now_us;
            }
            let known = self.arrived.clone();
            self.twice.insert_common(&known, start, end);
            self.arrived.insert(start, end);
        }
        if packet.flags.has(Flags::FIN) {
            self.fin = Some(end);
        }
    }

    /// A stranger sends octets in the sender's name; they may be reported as duplicates.
    pub(super) fn is_forged(&mut self, packet: &Packet, host: &Host) {
        let start = host.position(packet.seq);
        self.twice
            .insert(start, start + i64::from(packet.payload_len()));
    }

    /// The receiver has acknowledged.
    pub(super) fn is_acked(&mut self, ack: i64, now_us: i64) {
        if ack > self.acked {
            self.acked = ack;
            self.progress_at = now_us;
        }
        self.proven |= ack > 0;
    }

    /// Octets that the sender was told are delivered, without its FIN.
    pub(super) fn told_octets(&self) -> i64 {
        self.fin.map_or(self.told, |fin| self.told.min(fin))
    }

    /// Octets that the receiver is known to have, without the FIN.
    pub(super) fn acked_octets(&self) -> i64 {
        self.fin.map_or(self.acked, |fin| self.acked.min(fin))
    }

    /// Octets promised and not known to have been delivered.
    pub(super) fn debt(&self) -> i64 {
        (self.told_octets() - self.acked_octets()).max(0)
    }

    /// Octets promised that were neither delivered, nor taken by a reset, nor declared lost.
    pub(super) fn open(&self) -> i64 {
        let closed = self
            .acked_octets()
            .max(self.acked_by_reset)
            .max(self.lost_up_to);
        (self.told_octets() - closed).max(0)
    }

    /// The engine declares octets lost.
    pub(super) fn loses(&mut self, octets: u32, now_us: i64) {
        self.lost_at = now_us;
        self.lost += i64::from(octets);
        self.lost_up_to = self.told_octets();
    }
}
