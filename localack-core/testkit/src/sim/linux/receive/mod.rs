//! The receiving half.

pub(super) mod acks;
mod reader;
mod sacks;
pub(super) mod window;

use std::collections::BTreeMap;

use localack_core::Instant;

use super::config::LinuxConfig;
use super::content::Content;
use super::fault::{FaultKind, Faults};
use super::position::FIRST_OCTET;
use acks::DelayedAck;
use reader::Reader;
use sacks::Sacks;
use window::ReceiveWindow;

/// Everything about the data that this host receives.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    pub(super) rcv_nxt: u64,
    pub(super) window: ReceiveWindow,
    pub(super) acks: DelayedAck,
    pub(super) sacks: Sacks,
    pub(super) reader: Reader,
    /// What arrived out of order: ranges that neither overlap nor touch.
    early: BTreeMap<u64, u64>,
    early_octets: u64,
    /// Where the FIN stands, once one was seen.
    fin: Option<u64>,
    expected: Content,
    /// How many octets had arrived in order when.
    log: Vec<(u64, Instant)>,
}

impl Receiver {
    pub(super) fn new(config: &LinuxConfig, expected: Content, mss: u64) -> Self {
        Self {
            rcv_nxt: FIRST_OCTET,
            window: ReceiveWindow::new(config, FIRST_OCTET, mss),
            acks: DelayedAck::new(config.delayed_ack),
            sacks: Sacks::default(),
            reader: Reader::new(),
            early: BTreeMap::new(),
            early_octets: 0,
            fin: None,
            expected,
            log: Vec::new(),
        }
    }

    /// Octets in order, FIN excluded.
    pub(super) fn octets(&self) -> u64 {
        self.rcv_nxt - FIRST_OCTET - u64::from(self.is_closed())
    }

    /// Whether the peer's FIN arrived in order.
    pub(super) fn is_closed(&self) -> bool {
        self.fin.is_some_and(|fin| self.rcv_nxt > fin)
    }

    /// When the first `octets` had all arrived.
    pub(super) fn received_at(&self, octets: u64) -> Option<Instant> {
        let index = self.log.partition_point(|&(arrived, _)| arrived < octets);
        self.log.get(index).map(|&(_, at)| at)
    }

    /// Octets in the buffer.
    pub(super) fn held(&self) -> u64 {
        (FIRST_OCTET + self.octets()).saturating_sub(self.reader.read) + self.early_octets
    }

    /// Whether nothing waits for the application.
    pub(super) fn is_drained(&self) -> bool {
        self.reader.read >= FIRST_OCTET + self.octets()
    }

    /// The right edge of what was reported by SACK.
    pub(super) fn highest_reported(&self) -> Option<u64> {
        self.early.last_key_value().map(|(_, &end)| end)
    }

    /// A segment arrived again that was acknowledged long ago.
    pub(super) fn repeated(&mut self, start: u64, end: u64) {
        self.sacks.duplicate(start, end);
        self.acks.disturbed(self.window.left(self.rcv_nxt));
    }

    /// Takes the payload of an acceptable segment, which stands at `start`.
    pub(super) fn take(
        &mut self,
        now: Instant,
        (start, payload, fin): (u64, &[u8], bool),
        rto: u64,
    ) {
        let octets_end = start + payload.len() as u64;
        let end = octets_end + u64::from(fin);
        if end == start {
            return;
        }
        if end <= self.rcv_nxt {
            self.repeated(start, end);
            return;
        }
        if start >= self.window.edge() {
            self.acks.disturbed(self.window.left(self.rcv_nxt));
            return;
        }
        if fin {
            self.fin = self.fin.or(Some(octets_end));
        }
        if start > self.rcv_nxt {
            self.take_early(start, end);
            // Without SACK each answer must look like the one before.
            let held = self.held();
            if self.sacks.enabled && self.window.grow(end - start, held) {
                self.acks.window_grew();
            }
            return;
        }
        if start < self.rcv_nxt {
            self.sacks.duplicate(start, self.rcv_nxt);
        }
        let length = end - self.rcv_nxt;
        self.advance(now, end);
        let held = self.held();
        self.acks
            .data(now, length, self.window.left(self.rcv_nxt), rto);
        self.window.measure(now, self.rcv_nxt);
        if self.window.grow(length, held) {
            self.acks.window_grew();
        }
    }

    fn advance(&mut self, now: Instant, end: u64) {
        let gaps = !self.early.is_empty();
        self.rcv_nxt = end;
        while let Some((&start, &end)) = self.early.first_key_value() {
            if start > self.rcv_nxt {
                break;
            }
            if start < self.rcv_nxt {
                self.sacks.duplicate(start, end.min(self.rcv_nxt));
            }
            self.early.pop_first();
            self.early_octets -= end - start;
            self.rcv_nxt = self.rcv_nxt.max(end);
        }
        if gaps {
            self.sacks.advance(self.rcv_nxt);
            // A gap was filled: say so at once (RFC 5681 section 4.2).
            self.acks.now = true;
        }
        let octets = self.octets();
        match self.log.last_mut() {
            Some((last, at)) if *at == now => *last = octets,
            _ => self.log.push((octets, now)),
        }
    }

    /// Keeps what arrived out of order.
    fn take_early(&mut self, start: u64, end: u64) {
        self.acks.now = true;
        let (mut left, mut right) = (start, end);
        let mut known = 0;
        let touched = self.early.range(..=end).rev();
        let touched: Vec<(u64, u64)> = touched
            .map(|(&left, &right)| (left, right))
            .take_while(|&(_, right)| right >= start)
            .collect();
        for (old, old_end) in touched {
            let overlap = (old.max(start), old_end.min(end));
            if overlap.0 < overlap.1 {
                self.sacks.duplicate(overlap.0, overlap.1);
            }
            known += old_end - old;
            (left, right) = (left.min(old), right.max(old_end));
            self.early.remove(&old);
        }
        self.early.insert(left, right);
        self.early_octets += right - left - known;
        self.sacks.report(left, right);
    }

    /// Whether the octets of a segment, acceptable or not, are the stream's, and the FIN is where it
    /// was.
    pub(super) fn check(
        &self,
        now: Instant,
        start: u64,
        payload: &[u8],
        fin: bool,
        faults: &mut Faults,
    ) {
        let end = start + payload.len() as u64;
        let beyond = self
            .fin
            .is_some_and(|known| end > known || (fin && end != known));
        let highest = self.early.last_key_value().map_or(0, |(_, &end)| end);
        let early_fin = fin && self.fin.is_none() && end < highest.max(self.rcv_nxt);
        if beyond || early_fin {
            faults.add(now, FaultKind::BeyondFin);
        }
        // One octet of garbage below RCV.NXT is how some hosts ask for a sign of life.
        let keepalive = payload.len() == 1 && end <= self.rcv_nxt;
        if keepalive {
            return;
        }
        let skipped = FIRST_OCTET.saturating_sub(start);
        let Some(octets) = usize::try_from(skipped).ok().and_then(|n| payload.get(n..)) else {
            return;
        };
        let offset = start.max(FIRST_OCTET) - FIRST_OCTET;
        if let Some(wrong) = self.expected.first_wrong(offset, octets) {
            faults.add(now, FaultKind::WrongOctet(wrong));
        }
    }
}
