//! Super-segments, as interfaces with offloads make them.

use localack_core::{AbsorbReason, PassReason, Port, Storage, TransmitKind};

use super::start::{Crowd, STEP, launch};
use crate::load::{Case, Frame, Gateway, Line, OUTER_FIRST, PAYLOAD, Say, Sent, Setting};

/// Segments in one super-segment: as many as the largest burst that can be allowed, which counts the
/// headers of each.
const SEGMENTS: u32 = 43;
/// Octets of its payload.
const OCTETS: u32 = SEGMENTS * STEP;
/// Super-segments made ready at a time.
const BATCH: usize = 4;

/// A super-segment of 62,264 octets in, its local acknowledgement out, and an acknowledgement of the
/// receiver in. A unit is the cycle of one.
#[derive(Debug)]
pub struct Whole<'a> {
    gateway: Gateway<'a>,
    next: u32,
    data: Vec<Frame>,
    acks: Vec<Frame>,
    before: [u64; 3],
}

impl<'a> Whole<'a> {
    /// Octets of payload of one.
    pub const OCTETS: usize = OCTETS as usize;

    /// One connection whose window has room for it.
    ///
    /// # Errors
    /// If it never has.
    pub fn new(storage: Storage<'a>) -> Result<Self, String> {
        let mut setting = Setting::new();
        setting.config.super_segment = u16::MAX;
        let mut gateway = Gateway::new(storage, setting, Sent::default());
        let crowd = Crowd::holding(2 * OCTETS, Crowd::ONE.tick);
        let next = launch(&mut gateway, 0..1, crowd)?[0];
        let mut ack = Frame::new(0);
        ack.write(Port::Outer, Line(0), Say::ack(OUTER_FIRST, next));
        let _ = gateway.carry(Port::Outer, ack.packet());
        // As far apart as so many octets are at the pace of what went before.
        gateway.tick = Crowd::ONE.tick * SEGMENTS;
        Ok(Self {
            gateway,
            next,
            data: Frame::ring(BATCH, Self::OCTETS),
            acks: Frame::ring(BATCH, 0),
            before: [0; 3],
        })
    }

    /// Local acknowledgements, super-segments passed on as they came, and acknowledgements absorbed.
    fn counts(&self) -> [u64; 3] {
        let counters = self.gateway.engine.counters();
        [
            counters.transmitted(TransmitKind::LocalAck),
            counters.passed(PassReason::Untouched),
            counters.absorbed(AbsorbReason::Acknowledgement),
        ]
    }
}

impl Case for Whole<'_> {
    fn prepare(&mut self) {
        for (data, ack) in self.data.iter_mut().zip(&mut self.acks) {
            data.write(Port::Inner, Line(0), Say::ack(self.next, OUTER_FIRST));
            self.next = self.next.wrapping_add(OCTETS);
            ack.write(Port::Outer, Line(0), Say::ack(OUTER_FIRST, self.next));
        }
        self.before = self.counts();
    }

    fn run(&mut self) -> u32 {
        for (data, ack) in self.data.iter_mut().zip(&mut self.acks) {
            let _ = self
                .gateway
                .carry_super(Port::Inner, data.packet(), PAYLOAD as u16);
            let _ = self.gateway.carry(Port::Outer, ack.packet());
        }
        BATCH as u32
    }

    fn check(&mut self) -> Result<(), String> {
        let after = self.counts();
        let found = [0, 1, 2].map(|which| after[which] - self.before[which]);
        if found == [BATCH as u64; 3] {
            Ok(())
        } else {
            Err(format!(
                "{found:?} local acknowledgements, super-segments passed on and acknowledgements \
                 absorbed, of {BATCH}"
            ))
        }
    }
}
