//! Data out of order.

use localack_core::{AbsorbReason, Port, Storage, TransmitKind};

use super::BATCH;
use super::start::{Crowd, STEP, launch};
use crate::load::{Case, Frame, Gateway, Line, OUTER_FIRST, PAYLOAD, Say, Sent, Setting};

/// Segments that come in pairs, the second first, and an acknowledgement of the receiver for both. A unit
/// is a segment.
#[derive(Debug)]
pub struct Swapped<'a> {
    gateway: Gateway<'a>,
    next: u32,
    data: Vec<Frame>,
    acks: Vec<Frame>,
    before: [u64; 3],
}

impl<'a> Swapped<'a> {
    /// One connection.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn new(storage: Storage<'a>) -> Result<Self, String> {
        let mut gateway = Gateway::new(storage, Setting::new(), Sent::default());
        let next = launch(&mut gateway, 0..1, Crowd::ONE)?;
        Ok(Self {
            gateway,
            next: next[0],
            data: Frame::ring(BATCH, PAYLOAD),
            acks: Frame::ring(BATCH / 2, 0),
            before: [0; 3],
        })
    }

    /// Acknowledgements out of order and in order, and acknowledgements absorbed.
    fn counts(&self) -> [u64; 3] {
        let counters = self.gateway.engine.counters();
        [
            counters.transmitted(TransmitKind::DuplicateAck),
            counters.transmitted(TransmitKind::LocalAck),
            counters.absorbed(AbsorbReason::Acknowledgement),
        ]
    }
}

impl Case for Swapped<'_> {
    fn prepare(&mut self) {
        for (pair, ack) in self.data.chunks_mut(2).zip(&mut self.acks) {
            let second = self.next.wrapping_add(STEP);
            for (frame, seq) in pair.iter_mut().zip([second, self.next]) {
                frame.write(Port::Inner, Line(0), Say::ack(seq, OUTER_FIRST));
            }
            self.next = second.wrapping_add(STEP);
            ack.write(Port::Outer, Line(0), Say::ack(OUTER_FIRST, self.next));
        }
        self.before = self.counts();
    }

    fn run(&mut self) -> u32 {
        for (pair, ack) in self.data.chunks_mut(2).zip(&mut self.acks) {
            for frame in pair {
                let _ = self.gateway.carry(Port::Inner, frame.packet());
            }
            let _ = self.gateway.carry(Port::Outer, ack.packet());
        }
        BATCH as u32
    }

    fn check(&mut self) -> Result<(), String> {
        let after = self.counts();
        let found = [0, 1, 2].map(|which| after[which] - self.before[which]);
        if found == [BATCH as u64 / 2; 3] {
            Ok(())
        } else {
            Err(format!(
                "{found:?} duplicate and local acknowledgements and acknowledgements absorbed of {} pairs",
                BATCH / 2
            ))
        }
    }
}
