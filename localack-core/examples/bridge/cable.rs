//! A cable in memory: frames take their time, and some are lost by a script.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a mistake in the scenery should be seen at once"
)]

use core::cell::RefCell;

use localack_core::Instant;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant as SmolInstant;

/// The longest IP packet: 512 octets of payload.
pub(crate) const MTU: usize = 552;
/// Frames that fit into one direction of a cable.
const ROOM: usize = 64;

/// Two directions.
pub(crate) struct Cable {
    ways: [RefCell<Way>; 2],
}

/// One direction: a ring of frames.
struct Way {
    frames: [Frame; ROOM],
    first: usize,
    held: usize,
    delay_us: u64,
    loses: fn(u32) -> bool,
    sent: u32,
    lost: u32,
}

#[derive(Clone, Copy)]
struct Frame {
    due_us: u64,
    length: usize,
    octets: [u8; MTU],
}

impl Cable {
    /// A cable that delays frames for `delay_us` microseconds. `loses` says for each direction which of
    /// its frames it loses, the first of which has number 0.
    pub(crate) const fn new(delay_us: u64, loses: [fn(u32) -> bool; 2]) -> Self {
        let [there, back] = loses;
        Self {
            ways: [
                RefCell::new(Way::new(delay_us, there)),
                RefCell::new(Way::new(delay_us, back)),
            ],
        }
    }

    /// Its two ends.
    pub(crate) const fn ends(&self) -> [End<'_>; 2] {
        let [there, back] = &self.ways;
        [
            End {
                incoming: back,
                outgoing: there,
            },
            End {
                incoming: there,
                outgoing: back,
            },
        ]
    }

    /// When the next frame arrives at one of its ends.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        let due = |way: &RefCell<Way>| way.borrow().next_due_us();
        let due_us = self.ways.iter().filter_map(due).min()?;
        Some(Instant::from_micros(due_us))
    }

    /// Frames that were sent, and how many of them were lost.
    pub(crate) fn losses(&self) -> (u32, u32) {
        self.ways.iter().fold((0, 0), |(sent, lost), way| {
            let way = way.borrow();
            (sent + way.sent, lost + way.lost)
        })
    }
}

impl Way {
    const fn new(delay_us: u64, loses: fn(u32) -> bool) -> Self {
        let empty = Frame {
            due_us: 0,
            length: 0,
            octets: [0; MTU],
        };
        Self {
            frames: [empty; ROOM],
            first: 0,
            held: 0,
            delay_us,
            loses,
            sent: 0,
            lost: 0,
        }
    }

    fn next_due_us(&self) -> Option<u64> {
        (self.held > 0).then(|| self.frames[self.first].due_us)
    }
}

/// One end of a cable: a device.
pub(crate) struct End<'c> {
    incoming: &'c RefCell<Way>,
    outgoing: &'c RefCell<Way>,
}

/// The frame that has been at this end for longest.
pub(crate) struct Arrived<'c>(&'c RefCell<Way>);

/// Room for one frame.
pub(crate) struct Room<'c> {
    way: &'c RefCell<Way>,
    now_us: u64,
}

impl RxToken for Arrived<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        let mut way = self.0.borrow_mut();
        let frame = &way.frames[way.first];
        let result = take(&frame.octets[..frame.length]);
        way.first = (way.first + 1) % ROOM;
        way.held -= 1;
        result
    }
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut way = self.way.borrow_mut();
        let (delay_us, at) = (way.delay_us, (way.first + way.held) % ROOM);
        let frame = &mut way.frames[at];
        frame.length = length;
        frame.due_us = self.now_us + delay_us;
        let result = fill(&mut frame.octets[..length]);
        if (way.loses)(way.sent) {
            way.lost += 1;
        } else {
            way.held += 1;
        }
        way.sent += 1;
        result
    }
}

impl Device for End<'_> {
    type RxToken<'a>
        = Arrived<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Room<'a>
    where
        Self: 'a;

    fn receive(&mut self, now: SmolInstant) -> Option<(Arrived<'_>, Room<'_>)> {
        let (now_us, incoming) = (micros(now), self.incoming);
        let due_us = incoming.borrow().next_due_us()?;
        // Who takes a packet may have to answer it.
        let room = self.transmit(now)?;
        (due_us <= now_us).then_some((Arrived(incoming), room))
    }

    fn transmit(&mut self, now: SmolInstant) -> Option<Room<'_>> {
        let room = Room {
            way: self.outgoing,
            now_us: micros(now),
        };
        (self.outgoing.borrow().held < ROOM).then_some(room)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

fn micros(now: SmolInstant) -> u64 {
    u64::try_from(now.total_micros()).unwrap_or(0)
}
