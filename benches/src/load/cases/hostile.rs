//! What somebody sends who wants to hurt: valid segments, chosen so that each takes as many steps as it
//! can (architecture, promise 5).

use core::time::Duration;

use localack_core::{FlowState, Port, SeqNum, SeqRange, Storage, TransmitKind};
use localack_testkit::sim::Random;

use super::BATCH;
use super::start::{Crowd, STEP, launch};
use crate::load::{Case, Frame, Gateway, Line, OUTER_FIRST, PAYLOAD, Say, Sent, Setting};

/// Times that something is due before what is waited for.
const MOST_LOOKS: usize = 1000;

/// Whether the first flow still lives, and nothing that was acknowledged is lost.
fn is_well(gateway: &Gateway<'_>) -> Result<(), String> {
    let flow = gateway.engine.flows().next();
    let lost = gateway.engine.counters().octets_lost;
    match flow {
        Some(flow) if flow.state == FlowState::Open && lost == 0 => Ok(()),
        other => Err(format!("{lost} octets lost: {other:?}")),
    }
}

/// Acknowledgements with three SACK blocks of an octet each, anywhere in what is in flight: each in the
/// middle of a page of its own, with holes on both sides. A unit is one of them.
#[derive(Debug)]
pub struct Scattered<'a> {
    gateway: Gateway<'a>,
    first: u32,
    held: u32,
    random: Random,
    frames: Vec<Frame>,
}

impl<'a> Scattered<'a> {
    /// A connection with as much in flight as `crowd` says.
    ///
    /// # Errors
    /// If it never is.
    pub fn new(storage: Storage<'a>, crowd: Crowd) -> Result<Self, String> {
        let mut gateway = Gateway::new(storage, Setting::large(), Sent::default());
        let next = launch(&mut gateway, 0..1, crowd)?;
        gateway.tick = Duration::from_micros(1);
        Ok(Self {
            gateway,
            first: next[0].wrapping_sub(crowd.held * STEP),
            held: crowd.held,
            random: Random::new(3),
            frames: Frame::ring(BATCH, 0),
        })
    }
}

impl Case for Scattered<'_> {
    fn prepare(&mut self) {
        for frame in &mut self.frames {
            let blocks = [0; 3].map(|_| {
                let offset = 1 + self.random.below(self.held * STEP - 2);
                let start = SeqNum::new(self.first.wrapping_add(offset));
                SeqRange::new(start, start.advance(1))
            });
            let say = Say {
                sack: &blocks,
                ..Say::ack(OUTER_FIRST, self.first)
            };
            frame.write(Port::Outer, Line(0), say);
        }
    }

    fn run(&mut self) -> u32 {
        for frame in &mut self.frames {
            let _ = self.gateway.carry(Port::Outer, frame.packet());
        }
        BATCH as u32
    }

    fn check(&mut self) -> Result<(), String> {
        is_well(&self.gateway)
    }
}

/// Segments of which half is known already and half is new, and their acknowledgements. A unit is a cycle.
#[derive(Debug)]
pub struct Overlaps<'a> {
    gateway: Gateway<'a>,
    next: u32,
    data: Vec<Frame>,
    acks: Vec<Frame>,
}

impl<'a> Overlaps<'a> {
    /// One connection.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn new(storage: Storage<'a>) -> Result<Self, String> {
        let mut gateway = Gateway::new(storage, Setting::new(), Sent::default());
        let crowd = Crowd {
            held: 1,
            ..Crowd::ONE
        };
        let next = launch(&mut gateway, 0..1, crowd)?;
        Ok(Self {
            gateway,
            next: next[0],
            data: Frame::ring(BATCH, PAYLOAD),
            acks: Frame::ring(BATCH, 0),
        })
    }
}

impl Case for Overlaps<'_> {
    fn prepare(&mut self) {
        for (data, ack) in self.data.iter_mut().zip(&mut self.acks) {
            let seq = self.next.wrapping_sub(STEP / 2);
            data.write(Port::Inner, Line(0), Say::ack(seq, OUTER_FIRST));
            ack.write(Port::Outer, Line(0), Say::ack(OUTER_FIRST, seq));
            self.next = seq.wrapping_add(STEP);
        }
    }

    fn run(&mut self) -> u32 {
        for (data, ack) in self.data.iter_mut().zip(&mut self.acks) {
            let _ = self.gateway.carry(Port::Inner, data.packet());
            let _ = self.gateway.carry(Port::Outer, ack.packet());
        }
        BATCH as u32
    }

    fn check(&mut self) -> Result<(), String> {
        is_well(&self.gateway)?;
        let flow = self.gateway.engine.flows().next();
        let taken = flow.is_some_and(|flow| flow.inner_to_outer.rcv_nxt.raw() == self.next);
        if taken {
            Ok(())
        } else {
            Err("a new half was not taken".into())
        }
    }
}

/// Segments of one octet, every other octet of the stream, from the far end of what is taken to its
/// beginning. A unit is one of them.
#[derive(Debug)]
pub struct Reverse<'a> {
    gateway: Gateway<'a>,
    first: u32,
    offset: u32,
    frames: Vec<Frame>,
}

impl<'a> Reverse<'a> {
    /// The furthest octet, a little nearer than where nothing is taken.
    const FURTHEST: u32 = 60 * 1536;

    /// One connection.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn new(storage: Storage<'a>) -> Result<Self, String> {
        let mut gateway = Gateway::new(storage, Setting::new(), Sent::default());
        let next = launch(&mut gateway, 0..1, Crowd::ONE)?;
        Ok(Self {
            gateway,
            first: next[0],
            offset: Self::FURTHEST,
            frames: Frame::ring(BATCH, 1),
        })
    }
}

impl Case for Reverse<'_> {
    fn prepare(&mut self) {
        for frame in &mut self.frames {
            let seq = self.first.wrapping_add(self.offset);
            frame.write(Port::Inner, Line(0), Say::ack(seq, OUTER_FIRST));
            self.offset = self.offset.checked_sub(2).unwrap_or(Self::FURTHEST);
        }
    }

    fn run(&mut self) -> u32 {
        for frame in &mut self.frames {
            let _ = self.gateway.carry(Port::Inner, frame.packet());
        }
        BATCH as u32
    }

    fn check(&mut self) -> Result<(), String> {
        is_well(&self.gateway)
    }
}

/// Connections whose timers are all due at the same instant. A unit is one of them.
#[derive(Debug)]
pub struct Due<'a> {
    gateway: Gateway<'a>,
    next: Vec<u32>,
    data: Frame,
    ack: Frame,
    before: u64,
}

impl<'a> Due<'a> {
    /// As many connections as `crowd` says, each with a segment in flight.
    ///
    /// # Errors
    /// If they cannot be opened.
    pub fn new(storage: Storage<'a>, crowd: Crowd) -> Result<Self, String> {
        let mut gateway = Gateway::new(storage, Setting::new(), Sent::default());
        let next = launch(&mut gateway, 0..crowd.flows, crowd)?;
        gateway.tick = Duration::ZERO;
        Ok(Self {
            gateway,
            next,
            data: Frame::new(PAYLOAD),
            ack: Frame::new(0),
            before: 0,
        })
    }

    fn sent_again(&self) -> u64 {
        let counters = self.gateway.engine.counters();
        counters.transmitted(TransmitKind::Retransmission)
    }
}

impl Case for Due<'_> {
    /// What was in flight has arrived, and another segment of each is sent at the same time.
    fn prepare(&mut self) {
        for (line, next) in (0..).map(Line).zip(&mut self.next) {
            let (data, ack) = (&mut self.data, &mut self.ack);
            ack.write(Port::Outer, line, Say::ack(OUTER_FIRST, *next));
            let _ = self.gateway.carry(Port::Outer, ack.packet());
            data.write(Port::Inner, line, Say::ack(*next, OUTER_FIRST));
            let _ = self.gateway.carry(Port::Inner, data.packet());
            *next = next.wrapping_add(STEP);
        }
        self.before = self.sent_again();
    }

    fn run(&mut self) -> u32 {
        // Timers that were put off come up before; others are kept to within some milliseconds.
        for _ in 0..MOST_LOOKS {
            self.gateway.rest_until_due(Duration::from_millis(10));
            if self.sent_again() > self.before {
                break;
            }
        }
        u32::try_from(self.next.len()).expect("some")
    }

    fn check(&mut self) -> Result<(), String> {
        is_well(&self.gateway)?;
        let sent = self.sent_again() - self.before;
        if sent == self.next.len() as u64 {
            Ok(())
        } else {
            let flows = self.next.len();
            Err(format!("{sent} segments of {flows} flows were due"))
        }
    }
}
