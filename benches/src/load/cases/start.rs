//! Getting connections to where they are measured: open, and with so much on its way.

use core::ops::Range;
use core::time::Duration;

use localack_core::{FlowInfo, PacketServices, Port, Sink, Verdict};

use super::Order;
use crate::load::line::Openings;
use crate::load::{Frame, Gateway, INNER_FIRST, Line, OUTER_FIRST, PAYLOAD, Say};

/// Octets of a full segment's payload, as numbers count them.
pub(super) const STEP: u32 = PAYLOAD as u32;
/// Segments that a flow may have in flight at first.
const FIRST_WINDOW: u32 = 10;
/// Handshakes at a time: unfinished ones may hold a part of the slots only.
const AT_A_TIME: usize = 4096;

/// Who sends, and how much of it is always on its way.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Connections.
    pub flows: u32,
    /// Segments of each that its receiver has not acknowledged.
    pub held: u32,
    /// Whose turn it is.
    pub order: Order,
    /// Frames that packets arrive in, if more than a batch has.
    pub frames: usize,
    /// Time from packet to packet.
    pub tick: Duration,
}

impl Crowd {
    /// One connection whose receiver answers at once.
    pub const ONE: Self = Self {
        flows: 1,
        held: 0,
        order: Order::Turns,
        frames: 0,
        tick: Duration::from_micros(100),
    };

    /// One connection with so many octets in custody, in whole segments.
    #[must_use]
    pub const fn holding(octets: u32, tick: Duration) -> Self {
        Self {
            held: octets / STEP,
            tick,
            ..Self::ONE
        }
    }

    /// Blocks of 1,536 octets that this takes, and some more.
    #[must_use]
    pub const fn blocks(&self) -> usize {
        // Two are promised to each connection.
        (self.held as usize + 2) * self.flows as usize + 4096
    }

    /// From a segment to its acknowledgement.
    fn round_trip(&self) -> Duration {
        match self.held {
            0 => self.tick,
            // Far away, so that nothing is due while others have their turns.
            1..FIRST_WINDOW => Duration::from_secs(1),
            _ => self.tick * 2 * self.flows * self.held,
        }
    }
}

/// Opens `lines`, and lets each get on until as much is in flight as shall be. Answers their next
/// sequence numbers.
///
/// # Errors
/// If so much is never in flight.
pub(super) fn launch<S: Sink, X: PacketServices>(
    gateway: &mut Gateway<'_, S, X>,
    lines: Range<u32>,
    crowd: Crowd,
) -> Result<Vec<u32>, String> {
    let mut launch = Launch {
        gateway,
        next: vec![INNER_FIRST; lines.len()],
        lines,
        crowd,
        data: Frame::new(PAYLOAD),
        ack: Frame::new(0),
    };
    launch.open();
    launch.fly();
    launch.gateway.tick = crowd.tick;
    launch.see_that_it_may_go_on()?;
    Ok(launch.next)
}

struct Launch<'g, 'a, S, X> {
    gateway: &'g mut Gateway<'a, S, X>,
    lines: Range<u32>,
    next: Vec<u32>,
    crowd: Crowd,
    data: Frame,
    ack: Frame,
}

impl<S: Sink, X: PacketServices> Launch<'_, '_, S, X> {
    fn open(&mut self) {
        let openings = Openings::new();
        self.gateway.tick = Duration::ZERO;
        let lines: Vec<u32> = self.lines.clone().collect();
        for some in lines.chunks(AT_A_TIME) {
            for number in 0..3 {
                if number == 1 {
                    self.gateway.rest(self.crowd.round_trip());
                }
                for &line in some {
                    let (port, mut packet) = openings.packet(number, Line(line));
                    let verdict = self.gateway.carry(port, &mut packet);
                    assert!(matches!(verdict, Verdict::Pass(_)), "{line}: {verdict:?}");
                }
            }
        }
    }

    /// Slow start: each acknowledgement lets two segments go, until so many are on their way; then each lets
    /// one go for another round trip, so that the congestion window has more than enough room. Everything is
    /// as evenly spaced as if it were paced, and round trips stay the same.
    fn fly(&mut self) {
        let held = self.crowd.held;
        if held < FIRST_WINDOW {
            (0..held).for_each(|_| self.send());
            return;
        }
        let mut flying = FIRST_WINDOW;
        self.spread(flying, |launch, _| launch.send());
        loop {
            let window = flying;
            let more = window.min(held - window);
            self.spread(window, |launch, slot| {
                launch.acknowledge(window + slot.min(more) - 1);
                launch.send();
                if slot < more {
                    launch.send();
                }
            });
            flying += more;
            if more == 0 {
                break;
            }
        }
    }

    /// Does something for each of `slots` parts of a round trip.
    fn spread(&mut self, slots: u32, act: impl Fn(&mut Self, u32)) {
        let begin = self.gateway.now();
        for slot in 0..slots {
            act(self, slot);
            let end = begin.after(self.crowd.round_trip() * (slot + 1) / slots);
            self.gateway.rest(end.since(self.gateway.now()));
        }
    }

    /// The next segment of each connection.
    fn send(&mut self) {
        for (line, next) in self.lines.clone().zip(&mut self.next) {
            let frame = &mut self.data;
            frame.write(Port::Inner, Line(line), Say::ack(*next, OUTER_FIRST));
            let _ = self.gateway.carry(Port::Inner, frame.packet());
            *next = next.wrapping_add(STEP);
        }
    }

    /// An acknowledgement of all but the last `behind` segments of each.
    fn acknowledge(&mut self, behind: u32) {
        for (line, next) in self.lines.clone().zip(&self.next) {
            let ack = next.wrapping_sub(behind * STEP);
            let frame = &mut self.ack;
            frame.write(Port::Outer, Line(line), Say::ack(OUTER_FIRST, ack));
            let _ = self.gateway.carry(Port::Outer, frame.packet());
        }
    }

    fn see_that_it_may_go_on(&self) -> Result<(), String> {
        let held = self.crowd.held;
        let wanted = (held + 1).saturating_mul(STEP);
        let ours = |flow: &FlowInfo| {
            let line = Line::of_inner(flow.key.inner(), flow.key.inner_port());
            line.is_some_and(|line| self.lines.contains(&line.0))
        };
        let flows = self.gateway.engine.flows();
        let narrow = flows
            .filter(ours)
            .map(|flow| flow.inner_to_outer)
            .find(|flow| {
                let in_flight = flow.snd_nxt.octets_past(flow.snd_una);
                flow.cwnd < wanted || in_flight != held * STEP
            });
        narrow.map_or(Ok(()), |flow| {
            Err(format!("{held} segments shall be in flight: {flow:?}"))
        })
    }
}
