//! What the applications at both ends did, as a script: who wrote how much after what.
//!
//! A capture shows packets, not writes. New octets begin another step of their writer if either
//!
//! - more of the other side's octets had reached the writer since its last step: the step depends on
//!   them (a request and its answer, a message that lets the writer go on), or
//! - the network did not keep the writer from sending them earlier: all it had sent was acknowledged
//!   for a while, or it was silent although its peer's window and what it had in flight before left
//!   room. Such a step waits for its time.
//!
//! All other octets belong to the step before: the network decided when they were sent. The capture
//! point need not be at the writer: what it had received by then follows from the round trip between
//! the capture point and the writer.

use core::time::Duration;
use std::collections::VecDeque;

use localack_testkit::sim::Write;

use super::estimate::RoundTrips;
use super::trace::{Record, Side, Trace};
use crate::dissect::Flags;
use crate::ranges::RangeSet;

/// Steps of one application; what comes later is written with the last one.
const MOST_STEPS: usize = 4096;
/// Shorter pauses are not the application's, in microseconds.
const PAUSE: i64 = 3000;

/// What one application writes, and whether it then closes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// Its steps in their order.
    pub steps: Vec<Write>,
    /// Whether it closes with the last one.
    pub closes: bool,
}

impl Script {
    /// Octets of all steps.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.steps.iter().map(|step| step.octets).sum()
    }

    /// How long it waits by itself, in microseconds.
    #[must_use]
    pub fn think_us(&self) -> u64 {
        self.steps
            .iter()
            .map(|step| u64::try_from(step.wait.as_micros()).unwrap_or(u64::MAX))
            .fold(0, u64::saturating_add)
    }

    /// Steps that write something.
    #[must_use]
    pub fn bursts(&self) -> usize {
        self.steps.iter().filter(|step| step.octets > 0).count()
    }
}

/// Both scripts, and when the captured connection was over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Application {
    /// The client's and the server's.
    pub scripts: [Script; 2],
    /// From the leaving of the SYN that was answered to the last octet's reaching its receiver, as it
    /// follows from the capture, in microseconds.
    pub took_us: u64,
}

/// Reconstructs what the applications did.
#[must_use]
pub fn reconstruct(trace: &Trace, round_trips: &RoundTrips) -> Application {
    let mut writers = Side::BOTH.map(|side| Writer::new(side, round_trips, trace));
    for record in &trace.records {
        if record.flags.has(Flags::RST) {
            continue;
        }
        let other = &mut writers[record.from.other() as usize];
        other.hear(record);
        let writer = &mut writers[record.from as usize];
        writer.say(record);
    }
    Application {
        scripts: writers.map(|writer| writer.script),
        took_us: took(trace, round_trips),
    }
}

/// One end, as it is watched.
#[derive(Debug)]
struct Writer {
    script: Script,
    /// From the capture point to it and back, without queues, how much that usually takes longer, and
    /// for the whole path.
    reach: i64,
    usual: i64,
    late: i64,
    whole: i64,
    mss: i64,
    /// What passed the capture point toward it and has not reached it yet: times, octets in order
    /// until then, acknowledgements and windows.
    coming: VecDeque<Heard>,
    /// What had reached it.
    heard: Heard,
    /// When the octets that it had received last passed the capture point.
    received_at: i64,
    /// Since when all it had sent is acknowledged.
    idle_since: Option<i64>,
    /// Octets of the other side in order, as they pass.
    passing: RangeSet,
    established: Option<i64>,
    /// The octets that its last step depends on, and when that was made.
    depends_on: i64,
    step_at: i64,
    sent: i64,
    sent_at: i64,
    repeated_at: Option<i64>,
    most_in_flight: i64,
}

/// What an end has heard from the other one.
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    at: i64,
    received: i64,
    ack: i64,
    window: i64,
}

impl Writer {
    fn new(side: Side, round_trips: &RoundTrips, trace: &Trace) -> Self {
        let reach = round_trips.micros(side);
        Self {
            script: Script::default(),
            reach,
            usual: round_trips.above(side, 50),
            late: round_trips.above(side, 75),
            whole: reach + round_trips.micros(side.other()),
            mss: trace.segment_size().into(),
            coming: VecDeque::new(),
            heard: Heard::default(),
            received_at: 0,
            idle_since: None,
            passing: RangeSet::default(),
            established: None,
            depends_on: 0,
            step_at: 0,
            sent: 0,
            sent_at: 0,
            repeated_at: None,
            most_in_flight: 0,
        }
    }

    /// How exact times are.
    const fn slack(&self) -> i64 {
        self.reach / 10 + 300
    }

    /// Something passes on its way to this end.
    fn hear(&mut self, record: &Record) {
        let last = *self.coming.back().unwrap_or(&self.heard);
        self.passing.insert(record.start.max(0), record.end());
        let heard = Heard {
            at: record.at,
            received: self.passing.contiguous_from(0).max(last.received),
            ack: record.ack.unwrap_or(0).max(last.ack),
            window: record.window.into(),
        };
        self.coming.push_back(heard);
        // Of several SYN-ACKs the last one was heard.
        let again = self.sent == 0 && record.flags.has(Flags::SYN);
        if (self.established.is_none() || again) && record.flags.has(Flags::ACK) {
            self.established = Some(record.at);
            self.step_at = record.at + self.reach;
        }
    }

    /// Takes what has reached this end when it sends something that passes at `at`.
    fn catch_up(&mut self, at: i64) {
        let by = at - self.reach + self.slack();
        while let Some(&heard) = self.coming.front().filter(|heard| heard.at <= by) {
            self.coming.pop_front();
            if heard.received > self.heard.received {
                self.received_at = heard.at;
            }
            if heard.ack >= self.sent && self.heard.ack < self.sent {
                self.idle_since = Some(heard.at + self.reach);
            }
            self.heard = heard;
        }
    }

    /// This end sends something.
    fn say(&mut self, record: &Record) {
        self.catch_up(record.at);
        if record.flags.has(Flags::SYN) {
            return;
        }
        // What follows FIN counts it.
        let new = if record.len > 0 {
            record.end() - self.sent
        } else {
            0
        };
        if record.len > 0 && record.start < self.sent && record.len > 1 {
            self.repeated_at = Some(record.at);
        }
        if new > 0 {
            self.write(record.at, new);
            self.sent = record.end();
            self.sent_at = record.at;
            self.idle_since = None;
            let in_flight = self.sent - self.heard.ack;
            self.most_in_flight = self.most_in_flight.max(in_flight);
        }
        if record.flags.has(Flags::FIN) && !self.script.closes {
            if self.is_late(record.at) || self.heard.received > self.depends_on {
                self.step(record.at, 0);
            }
            self.script.closes = true;
        }
    }

    /// So many new octets pass.
    fn write(&mut self, at: i64, octets: i64) {
        let first = self.script.bursts() == 0;
        let answers = self.heard.received > self.depends_on;
        if first || answers || self.is_late(at) {
            self.step(at, octets);
        } else if let Some(step) = self.script.steps.last_mut() {
            step.octets += octets.unsigned_abs();
        }
    }

    /// Whether nothing but the application can have been what this end waited for.
    fn is_late(&self, at: i64) -> bool {
        let pause = PAUSE + self.whole / 8 + self.late;
        if let Some(since) = self.idle_since {
            return at - since > pause;
        }
        if self.sent == 0 {
            return at - self.step_at > pause;
        }
        // Something is in flight. Acknowledgements, repairs and pacing may be what it waited for.
        let long = (self.whole / 4).max(2 * PAUSE) + self.late;
        let since_heard = at - self.reach - self.heard.at;
        let repairs = self
            .repeated_at
            .is_some_and(|repeated| at - repeated < 2 * self.whole + 10_000);
        let in_flight = self.sent - self.heard.ack;
        let room = self.heard.window - in_flight >= self.mss;
        !repairs
            && room
            && at - self.sent_at > long
            && since_heard > long
            && 2 * in_flight <= self.most_in_flight
    }

    /// Begins another step.
    fn step(&mut self, at: i64, octets: i64) {
        let answers = self.heard.received > self.depends_on;
        let busy = self.idle_since.is_none() && self.sent > 0 && !self.is_late(at);
        let base = if answers {
            (self.received_at + self.reach + self.usual).max(self.step_at)
        } else {
            self.step_at
        };
        let wait = if busy { 0 } else { (at - base).max(0) };
        if self.script.steps.len() >= MOST_STEPS {
            if let Some(step) = self.script.steps.last_mut() {
                step.octets += octets.unsigned_abs();
            }
            return;
        }
        self.depends_on = self.heard.received;
        self.step_at = at;
        self.script.steps.push(Write {
            after: self.depends_on.unsigned_abs(),
            wait: Duration::from_micros(wait.unsigned_abs()),
            octets: octets.unsigned_abs(),
        });
    }
}

/// When the SYN that was answered left the client, in the capture's microseconds.
pub(super) fn began(trace: &Trace, round_trips: &RoundTrips) -> Option<i64> {
    let answer = trace
        .records
        .iter()
        .filter(|record| record.from == Side::Server && record.flags.has(Flags::SYN))
        .map(|record| record.at)
        .next_back()?;
    let syn = answer - round_trips.micros(Side::Server);
    Some(syn - round_trips.micros(Side::Client) / 2)
}

/// From the leaving of the SYN that was answered to the last octet's reaching its receiver.
fn took(trace: &Trace, round_trips: &RoundTrips) -> u64 {
    let Some(began) = began(trace, round_trips) else {
        return 0;
    };
    let ended = Side::BOTH.into_iter().filter_map(|side| {
        let reach = round_trips.micros(side.other());
        arrived(trace, side, reach)
    });
    let ended = ended.max().unwrap_or(began);
    u64::try_from(ended - began).unwrap_or(0)
}

/// When the last octet of `side` reached the other end, whose distance is half of `reach`.
fn arrived(trace: &Trace, side: Side, reach: i64) -> Option<i64> {
    let sent = trace
        .records
        .iter()
        .filter(|record| record.from == side && record.len > 0);
    let end = sent.clone().map(Record::end).max()?;
    let first = sent.clone().find(|record| record.end() >= end)?;
    let acknowledged = trace
        .records
        .iter()
        .filter(|record| record.from != side && record.ack.is_some_and(|ack| ack >= end))
        .map(|record| record.at)
        .next();
    let earliest = first.at + reach / 2;
    Some(match acknowledged {
        Some(at) => (at - reach / 2).max(earliest),
        // The capture ends before: what was sent last counts.
        None => sent.map(|record| record.at).max()? + reach / 2,
    })
}

#[cfg(test)]
#[path = "application_tests.rs"]
mod tests;
