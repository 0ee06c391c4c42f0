//! Losses: acknowledgements with SACK blocks, and what is sent again.

use core::ops::Range;
use core::time::Duration;

use localack_core::wire::MAX_HEADER_LEN;
use localack_core::{Port, SeqNum, SeqRange, Sink, SinkFull, Storage, Transmit, TransmitKind};

use super::BATCH;
use super::life::closing;
use super::start::{Crowd, STEP, launch};
use crate::load::{Case, Frame, Gateway, Line, OUTER_FIRST, PAYLOAD, Say, Sent, Setting};

/// One of so many segments is lost.
const LOSSES: u32 = 4;

/// The octets of some segments of a connection, counted from its first.
fn segments(first: u32, range: Range<u32>) -> SeqRange {
    let at = |number: u32| SeqNum::new(first.wrapping_add(number * STEP));
    SeqRange::new(at(range.start), at(range.end))
}

/// A flight of segments of one connection after the other, whose receiver tells of it by SACK.
#[derive(Debug)]
struct Flights<'a, S> {
    gateway: Gateway<'a, S>,
    crowd: Crowd,
    /// Connections begun so far.
    lines: u32,
    /// The first number of the flight.
    first: u32,
    /// Time from acknowledgement to acknowledgement.
    tick: Duration,
}

impl<'a, S: Sink> Flights<'a, S> {
    fn new(storage: Storage<'a>, crowd: Crowd, tick: Duration, sink: S) -> Result<Self, String> {
        // Nothing is learned from one flight for the next.
        let storage = Storage {
            paths: &mut [],
            before: &mut [],
            ..storage
        };
        let mut flights = Self {
            gateway: Gateway::new(storage, Setting::large(), sink),
            crowd,
            lines: 0,
            first: 0,
            tick,
        };
        flights.begin()?;
        Ok(flights)
    }

    fn line(&self) -> Line {
        Line(self.lines - 1)
    }

    fn begin(&mut self) -> Result<(), String> {
        let line = self.lines;
        self.lines += 1;
        let next = launch(&mut self.gateway, line..line + 1, self.crowd)?;
        self.first = next[0].wrapping_sub(self.crowd.held * STEP);
        self.gateway.tick = self.tick;
        Ok(())
    }

    /// All of it has arrived after all, and the connection ends.
    fn end(&mut self) {
        let all = self.first.wrapping_add(self.crowd.held * STEP);
        let mut frame = Frame::new(0);
        frame.write(Port::Outer, self.line(), Say::ack(OUTER_FIRST, all));
        let _ = self.gateway.carry(Port::Outer, frame.packet());
        for (port, mut packet) in closing(self.line(), all) {
            let _ = self.gateway.carry(port, &mut packet);
        }
    }

    /// An acknowledgement of nothing but `blocks`.
    fn write(&self, frame: &mut Frame, blocks: &[SeqRange]) {
        let say = Say {
            sack: blocks,
            ..Say::ack(OUTER_FIRST, self.first)
        };
        frame.write(Port::Outer, self.line(), say);
    }
}

/// Acknowledgements with three SACK blocks, the first of which grows by a segment each time. A unit is one
/// of them.
#[derive(Debug)]
pub struct SackAcks<'a> {
    flights: Flights<'a, Sent>,
    frames: Vec<Frame>,
    told: u32,
}

impl<'a> SackAcks<'a> {
    /// A connection with as many segments in flight as `crowd` says, three of the first of them lost.
    ///
    /// # Errors
    /// If they never are in flight.
    pub fn new(storage: Storage<'a>, crowd: Crowd) -> Result<Self, String> {
        // All of it happens in much less than a round trip.
        let tick = Duration::from_micros(1);
        let flights = Flights::new(storage, crowd, tick, Sent::default())?;
        Ok(Self {
            flights,
            frames: Frame::ring(BATCH, 0),
            told: u32::MAX,
        })
    }

    fn tell(&mut self, index: usize) {
        let first = self.flights.first;
        self.told += 1;
        let blocks = [5..self.told, 3..4, 1..2].map(|range| segments(first, range));
        self.flights.write(&mut self.frames[index], &blocks);
    }
}

impl Case for SackAcks<'_> {
    fn prepare(&mut self) {
        if self.told > self.flights.crowd.held - BATCH as u32 {
            if self.told != u32::MAX {
                self.flights.end();
                self.flights.begin().expect("as before");
            }
            // The losses are found and repaired.
            self.told = 5;
            for _ in 0..8 {
                self.tell(0);
                let packet = self.frames[0].packet();
                let _ = self.flights.gateway.carry(Port::Outer, packet);
            }
        }
        for index in 0..BATCH {
            self.tell(index);
        }
    }

    fn run(&mut self) -> u32 {
        for frame in &mut self.frames {
            let _ = self.flights.gateway.carry(Port::Outer, frame.packet());
        }
        BATCH as u32
    }

    fn check(&mut self) -> Result<(), String> {
        let flow = self.flights.gateway.engine.flows().last();
        let sacked = flow.map_or(0, |flow| flow.inner_to_outer.sacked);
        let expected = (self.told - 5 + 2) * STEP;
        if sacked == expected {
            Ok(())
        } else {
            Err(format!(
                "{sacked} octets are SACKed, and should be {expected}"
            ))
        }
    }
}

/// A sink that copies what it gets, as a device does, into a buffer that stays in a cache.
#[derive(Debug)]
struct Copies {
    buffer: Vec<u8>,
    repairs: u64,
}

impl Sink for Copies {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        self.repairs += u64::from(packet.kind() == TransmitKind::Retransmission);
        let copied = packet.copy_to(core::hint::black_box(&mut self.buffer));
        assert!(copied.is_some());
        Ok(())
    }
}

/// An acknowledgement that tells of a loss, and the segment sent again. A unit is both.
#[derive(Debug)]
pub struct Repairs<'a> {
    flights: Flights<'a, Copies>,
    frames: Vec<Frame>,
    /// Losses told of.
    told: u32,
    /// Those of a batch.
    batch: u32,
    before: u64,
}

impl<'a> Repairs<'a> {
    /// A connection with as many segments in flight as `crowd` says, a fourth of them lost.
    ///
    /// # Errors
    /// If they never are in flight.
    pub fn new(storage: Storage<'a>, crowd: Crowd) -> Result<Self, String> {
        let copies = Copies {
            buffer: vec![0; MAX_HEADER_LEN + PAYLOAD],
            repairs: 0,
        };
        let batch = (BATCH as u32).min(crowd.held / LOSSES - 1);
        // An acknowledgement tells of as many segments as have arrived since the one before it.
        let tick = crowd.tick * 2 * LOSSES;
        let flights = Flights::new(storage, crowd, tick, copies)?;
        Ok(Self {
            flights,
            frames: Frame::ring(batch as usize, 0),
            told: 0,
            batch,
            before: 0,
        })
    }
}

impl Case for Repairs<'_> {
    fn prepare(&mut self) {
        if (self.told + self.batch + 1) * LOSSES > self.flights.crowd.held {
            self.flights.end();
            self.flights.begin().expect("as before");
            self.told = 0;
        }
        for index in 0..self.batch {
            let first = self.flights.first;
            let newest = self.told + index;
            let blocks: Vec<SeqRange> = (0..3)
                .filter_map(|back| newest.checked_sub(back))
                .map(|number| segments(first, number * LOSSES + 1..(number + 1) * LOSSES))
                .collect();
            self.flights
                .write(&mut self.frames[index as usize], &blocks);
        }
        self.told += self.batch;
        self.before = self.flights.gateway.sink.repairs;
    }

    fn run(&mut self) -> u32 {
        for frame in &mut self.frames {
            let _ = self.flights.gateway.carry(Port::Outer, frame.packet());
        }
        self.batch
    }

    fn check(&mut self) -> Result<(), String> {
        let repaired = self.flights.gateway.sink.repairs - self.before;
        if repaired.abs_diff(u64::from(self.batch)) <= 1 {
            Ok(())
        } else {
            Err(format!(
                "{repaired} segments were sent again, of {} lost",
                self.batch
            ))
        }
    }
}
