//! Packets of which little or nothing is kept.

use core::time::Duration;

use localack_core::{PacketServices, PassReason, Port, Storage};

use super::BATCH;
use crate::load::{
    Case, Frame, Gateway, INNER_FIRST, Line, OUTER_FIRST, PAYLOAD, Say, Sent, Setting,
};

/// Full segments of a connection that the engine does not serve. A unit is a segment.
#[derive(Debug)]
pub struct Pass<'a> {
    gateway: Gateway<'a>,
    frames: Vec<Frame>,
    next: u32,
    before: u64,
}

impl<'a> Pass<'a> {
    /// An engine that has not seen the connection's beginning.
    #[must_use]
    pub fn new(storage: Storage<'a>) -> Self {
        Self {
            gateway: Gateway::new(storage, Setting::new(), Sent::default()),
            frames: Frame::ring(BATCH, PAYLOAD),
            next: INNER_FIRST,
            before: 0,
        }
    }
}

impl Case for Pass<'_> {
    fn prepare(&mut self) {
        for frame in &mut self.frames {
            frame.write(Port::Inner, Line(0), Say::ack(self.next, OUTER_FIRST));
            self.next = self.next.wrapping_add(PAYLOAD as u32);
        }
        self.before = self.gateway.engine.counters().passed(PassReason::MidStream);
    }

    fn run(&mut self) -> u32 {
        for frame in &mut self.frames {
            let _ = self.gateway.carry(Port::Inner, frame.packet());
        }
        BATCH as u32
    }

    fn check(&mut self) -> Result<(), String> {
        let after = self.gateway.engine.counters().passed(PassReason::MidStream);
        match after - self.before {
            count if count == BATCH as u64 => Ok(()),
            other => Err(format!("{other} of {BATCH} packets passed")),
        }
    }
}

/// Acknowledgements of a sender that is ahead of the receiver, edited in place. A unit is one of them.
#[derive(Debug)]
pub struct PureAcks<'a, X = ()> {
    gateway: Gateway<'a, Sent, X>,
    frames: Vec<Frame>,
    next: u32,
    before: u64,
}

impl<'a> PureAcks<'a> {
    /// A connection whose sender has sent more than the congestion window lets out.
    #[must_use]
    pub fn new(storage: Storage<'a>, setting: Setting) -> Self {
        Self::with_services(storage, setting, ())
    }
}

impl<'a, X: PacketServices> PureAcks<'a, X> {
    /// The same in an engine with packet services of the caller's own.
    #[must_use]
    pub fn with_services(storage: Storage<'a>, setting: Setting, services: X) -> Self {
        let gateway = Gateway::new(storage, setting, Sent::default());
        let mut gateway = gateway.with_services(services);
        gateway.open(Line(0).handshake());
        let mut frame = Frame::new(PAYLOAD);
        let mut next = INNER_FIRST;
        for _ in 0..20 {
            frame.write(Port::Inner, Line(0), Say::ack(next, OUTER_FIRST));
            let _ = gateway.carry(Port::Inner, frame.packet());
            next = next.wrapping_add(PAYLOAD as u32);
        }
        // Time stands still, or the data would be sent again, and at last given up.
        gateway.tick = Duration::ZERO;
        Self {
            gateway,
            frames: Frame::ring(BATCH, 0),
            next,
            before: 0,
        }
    }
}

impl<X: PacketServices> Case for PureAcks<'_, X> {
    fn prepare(&mut self) {
        for frame in &mut self.frames {
            frame.write(Port::Inner, Line(0), Say::ack(self.next, OUTER_FIRST));
        }
        self.before = self.gateway.engine.counters().forwarded();
    }

    fn run(&mut self) -> u32 {
        for frame in &mut self.frames {
            let _ = self.gateway.carry(Port::Inner, frame.packet());
        }
        BATCH as u32
    }

    fn check(&mut self) -> Result<(), String> {
        match self.gateway.engine.counters().forwarded() - self.before {
            count if count == BATCH as u64 => Ok(()),
            other => Err(format!("{other} of {BATCH} acknowledgements were edited")),
        }
    }
}
