//! In-order data: a full segment in, its local acknowledgement out, and an acknowledgement of the
//! receiver in.

use localack_core::{
    AbsorbReason, PacketServices, PassReason, Port, Storage, TransmitKind, Verdict,
};

use super::start::{Crowd, STEP, launch};
use super::{BATCH, Order, Picks};
use crate::load::{Case, Frame, Gateway, Line, OUTER_FIRST, PAYLOAD, Say, Sent, Setting};

/// The part of a cycle that is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Half {
    /// All of it.
    Both,
    /// The segment and its local acknowledgement.
    Data,
    /// The receiver's acknowledgement.
    Ack,
}

/// A unit is a cycle, or the half of one.
#[derive(Debug)]
pub struct Cycle<'a, X = ()> {
    gateway: Gateway<'a, Sent, X>,
    half: Half,
    held: u32,
    picks: Picks,
    /// The next sequence number of each connection.
    next: Vec<u32>,
    data: Vec<Frame>,
    acks: Vec<Frame>,
    /// Where in the frames the batch begins.
    from: usize,
    before: [u64; 3],
}

impl<'a> Cycle<'a> {
    /// Opens the connections and lets them get on until as much is in flight as shall be.
    ///
    /// # Errors
    /// If that is never so.
    pub fn new(
        storage: Storage<'a>,
        setting: Setting,
        crowd: Crowd,
        half: Half,
    ) -> Result<Self, String> {
        Self::with_services(storage, setting, crowd, half, ())
    }
}

impl<'a, X: PacketServices> Cycle<'a, X> {
    /// The same in an engine with packet services of the caller's own.
    ///
    /// # Errors
    /// If so much is never in flight.
    pub fn with_services(
        storage: Storage<'a>,
        setting: Setting,
        crowd: Crowd,
        half: Half,
        services: X,
    ) -> Result<Self, String> {
        let gateway = Gateway::new(storage, setting, Sent::default());
        let mut gateway = gateway.with_services(services);
        let next = launch(&mut gateway, 0..crowd.flows, crowd)?;
        Ok(Self {
            gateway,
            half,
            held: crowd.held,
            picks: Picks::new(crowd.order, crowd.flows),
            next,
            data: Frame::ring(crowd.frames.max(BATCH), PAYLOAD),
            acks: Frame::ring(BATCH, 0),
            from: 0,
            before: [0; 3],
        })
    }

    /// Lets connections have their turns in another order.
    pub fn set_order(&mut self, order: Order) {
        self.picks = self.picks.in_order(order);
    }

    /// Local acknowledgements, segments passed on as they came, and acknowledgements absorbed.
    fn counts(&self) -> [u64; 3] {
        let counters = self.gateway.engine.counters();
        [
            counters.transmitted(TransmitKind::LocalAck),
            counters.passed(PassReason::Untouched),
            counters.absorbed(AbsorbReason::Acknowledgement),
        ]
    }

    fn carry_data(&mut self, index: usize) -> Verdict {
        let frame = &mut self.data[self.from + index];
        self.gateway.carry(Port::Inner, frame.packet())
    }

    fn carry_ack(&mut self, index: usize) -> Verdict {
        self.gateway.carry(Port::Outer, self.acks[index].packet())
    }
}

impl<X: PacketServices> Case for Cycle<'_, X> {
    fn prepare(&mut self) {
        self.from += BATCH;
        if self.from + BATCH > self.data.len() {
            self.from = 0;
        }
        for index in 0..BATCH {
            let flow = self.picks.turn();
            let seq = self.next[flow as usize];
            let end = seq.wrapping_add(STEP);
            let ack = end.wrapping_sub(self.held * STEP);
            let line = Line(flow);
            self.data[self.from + index].write(Port::Inner, line, Say::ack(seq, OUTER_FIRST));
            self.acks[index].write(Port::Outer, line, Say::ack(OUTER_FIRST, ack));
            self.next[flow as usize] = end;
        }
        if self.half == Half::Ack {
            for index in 0..BATCH {
                let _ = self.carry_data(index);
            }
        }
        self.before = self.counts();
    }

    fn run(&mut self) -> u32 {
        for index in 0..BATCH {
            if self.half != Half::Ack {
                let _ = self.carry_data(index);
            }
            if self.half != Half::Data {
                let _ = self.carry_ack(index);
            }
        }
        BATCH as u32
    }

    fn check(&mut self) -> Result<(), String> {
        if self.half == Half::Data {
            for index in 0..BATCH {
                let _ = self.carry_ack(index);
            }
        }
        let after = self.counts();
        let data = u64::from(self.half != Half::Ack) * BATCH as u64;
        let expected = [data, data, BATCH as u64];
        let found = [0, 1, 2].map(|which| after[which] - self.before[which]);
        if found == expected {
            Ok(())
        } else {
            Err(format!(
                "{found:?} local acknowledgements, segments passed on and acknowledgements absorbed \
                 where it should be {expected:?}"
            ))
        }
    }
}
