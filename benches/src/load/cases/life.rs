//! Connections that come and go.

use core::time::Duration;

use localack_core::wire::Flags;
use localack_core::{Port, Storage};

use crate::load::line::Openings;
use crate::load::{Case, Frame, Gateway, INNER_FIRST, Line, OUTER_FIRST, Say, Sent, Setting};

/// Connections made ready at a time.
const BATCH: u32 = 32;
/// After so long a silence a connection is forgotten.
const SILENCE: Duration = Duration::from_secs(3 * 3600);

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Both ends close it.
    Closed,
    /// Nobody says anything for hours.
    Forgotten,
}

/// Connections from the SYN to their end, without data. A unit is one of them: six packets, or three and
/// its time.
#[derive(Debug)]
pub struct Lives<'a> {
    gateway: Gateway<'a>,
    end: End,
    openings: Openings,
    next: u32,
    packets: Vec<(Port, Vec<u8>)>,
    before: u64,
}

impl<'a> Lives<'a> {
    /// An engine that knows nobody.
    #[must_use]
    pub fn new(storage: Storage<'a>, end: End) -> Self {
        Self {
            gateway: Gateway::new(storage, Setting::new(), Sent::default()),
            end,
            openings: Openings::new(),
            next: 0,
            packets: Vec::new(),
            before: 0,
        }
    }
}

/// Both FINs and what acknowledges them, where the inner host's next number is `next`.
pub(super) fn closing(line: Line, next: u32) -> [(Port, Vec<u8>); 3] {
    let fin = Flags::FIN.union(Flags::ACK);
    let (after_inner, after_outer) = (next.wrapping_add(1), OUTER_FIRST + 1);
    [
        (Port::Inner, fin, next, OUTER_FIRST),
        (Port::Outer, fin, OUTER_FIRST, after_inner),
        (Port::Inner, Flags::ACK, after_inner, after_outer),
    ]
    .map(|(port, flags, seq, ack)| {
        let mut frame = Frame::new(0);
        let say = Say {
            flags,
            ..Say::ack(seq, ack)
        };
        frame.write(port, line, say);
        (port, frame.packet().to_vec())
    })
}

impl Case for Lives<'_> {
    fn prepare(&mut self) {
        self.packets.clear();
        for _ in 0..BATCH {
            let line = Line(self.next);
            self.next = (self.next + 1) & 0xffff;
            for number in 0..3 {
                self.packets.push(self.openings.packet(number, line));
            }
            if self.end == End::Closed {
                self.packets.extend(closing(line, INNER_FIRST));
            }
        }
        self.before = self.gateway.engine.counters().flows_adopted;
    }

    fn run(&mut self) -> u32 {
        for (port, packet) in &mut self.packets {
            let _ = self.gateway.carry(*port, packet);
        }
        if self.end == End::Forgotten {
            self.gateway.rest(SILENCE);
        }
        BATCH
    }

    fn check(&mut self) -> Result<(), String> {
        let engine = &self.gateway.engine;
        let adopted = engine.counters().flows_adopted - self.before;
        let left = engine.flows().count();
        if adopted == u64::from(BATCH) && left == 0 {
            Ok(())
        } else {
            Err(format!("{adopted} of {BATCH} flows adopted, {left} left"))
        }
    }
}
