//! Round trips, from the capture point to both ends.
//!
//! A capture point divides the round trip in two parts: to the client and back, and to the server
//! and back. Each part is the shortest of three kinds of samples:
//!
//! - the handshake: SYN to SYN-ACK, SYN-ACK to the client's acknowledgement;
//! - data to the first acknowledgement of its last octet (not of what was sent twice, Karn);
//! - a TSval to its first echo (RFC 7323). An echo may have waited, so it can only be too long.
//!
//! The shortest sample is the path without queues; that the ends may delay acknowledgements makes
//! no difference, as not all of them are.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::{Confidence, Estimate};
use crate::dissect::Flags;
use crate::whatif::trace::{Record, Side, Trace};

/// Timestamps, or data packets, that may wait for an echo at once.
const MOST_WAITING: usize = 4096;

/// One part of the round trip.
#[derive(Debug, Clone, Default)]
struct Part {
    handshake: Option<i64>,
    shortest: Option<i64>,
    samples: u64,
    /// The first of them.
    some: Vec<i64>,
}

impl Part {
    fn sample(&mut self, micros: i64) {
        self.samples += 1;
        if self.some.len() < MOST_WAITING {
            self.some.push(micros);
        }
        self.shortest = Some(
            self.shortest
                .map_or(micros, |shortest| shortest.min(micros)),
        );
    }
}

/// Round trips between the capture point and both ends of a connection, without queues.
#[derive(Debug, Clone, Default)]
pub struct RoundTrips {
    parts: [Part; 2],
}

impl RoundTrips {
    /// Measures those of `trace`.
    #[must_use]
    pub fn of(trace: &Trace) -> Self {
        let mut parts = [Part::default(), Part::default()];
        for side in Side::BOTH {
            let part = &mut parts[side as usize];
            handshake(trace, side, part);
            acknowledged(trace, side, part);
            if trace.has_timestamps() {
                echoed(trace, side, part);
            }
        }
        Self { parts }
    }

    /// The part between the capture point and `side`, in microseconds.
    #[must_use]
    pub fn part(&self, side: Side) -> Option<f64> {
        self.parts[side as usize]
            .shortest
            .map(|micros| micros as f64)
    }

    /// The same in whole microseconds; 0 where it is not known.
    #[must_use]
    pub fn micros(&self, side: Side) -> i64 {
        self.parts[side as usize].shortest.unwrap_or(0)
    }

    /// By how much this share of the samples of `side` is above the shortest at most, in microseconds:
    /// queues, and waiting of the other end.
    #[must_use]
    pub fn above(&self, side: Side, percent: usize) -> i64 {
        let part = &self.parts[side as usize];
        let mut some = part.some.clone();
        some.sort_unstable();
        let place = some.len().saturating_sub(1) * percent / 100;
        some.get(place)
            .map_or(0, |micros| micros - part.shortest.unwrap_or(*micros))
    }

    /// Both parts together, in milliseconds.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        let [client, server] = [self.part(Side::Client)?, self.part(Side::Server)?];
        let sum = client + server;
        let handshakes = self.parts.iter().map(|part| part.handshake);
        let handshake = handshakes.sum::<Option<i64>>().map(|sum| sum as f64);
        let samples: u64 = self.parts.iter().map(|part| part.samples).sum();
        let agrees = handshake.is_some_and(|handshake| handshake <= sum * 1.2 + 1000.0);
        let confidence = match samples {
            10.. if agrees => Confidence::High,
            _ if agrees || samples >= 10 => Confidence::Medium,
            _ => Confidence::Low,
        };
        Some(Estimate {
            value: (sum / 1000.0).max(0.001),
            how: format!(
                "the shortest of {samples} samples: {:.1} ms to the client, {:.1} ms to the server",
                client / 1000.0,
                server / 1000.0
            ),
            confidence,
        })
    }
}

/// The last SYN (or SYN-ACK) toward `side`, and what came back.
fn handshake(trace: &Trace, side: Side, part: &mut Part) {
    let mut asked = None;
    for record in &trace.records {
        let syn = record.flags.has(Flags::SYN);
        if record.from != side {
            if syn {
                asked = Some(record.at);
            }
        } else if record.flags.has(Flags::ACK)
            && (syn || side == Side::Client)
            && let Some(at) = asked
        {
            let micros = record.at - at;
            part.handshake = Some(micros);
            part.sample(micros);
            return;
        }
    }
}

/// Data toward `side` and its acknowledgements.
fn acknowledged(trace: &Trace, side: Side, part: &mut Part) {
    let mut waiting: VecDeque<(i64, i64)> = VecDeque::new();
    let mut highest = 0;
    for record in &trace.records {
        if record.from != side {
            if record.len == 0 {
                continue;
            }
            if record.start < highest {
                // Sent again: whose acknowledgement comes cannot be told.
                while waiting.back().is_some_and(|&(end, _)| end > record.start) {
                    waiting.pop_back();
                }
            } else {
                if waiting.len() >= MOST_WAITING {
                    waiting.pop_front();
                }
                waiting.push_back((record.end(), record.at));
            }
            highest = highest.max(record.end());
        } else if let Some(ack) = record.ack {
            let mut latest = None;
            while let Some(&(_, at)) = waiting.front().filter(|&&(end, _)| end <= ack) {
                latest = Some(at);
                waiting.pop_front();
            }
            if let Some(at) = latest {
                part.sample(record.at - at);
            }
        }
    }
}

/// Timestamps toward `side` and their echoes.
fn echoed(trace: &Trace, side: Side, part: &mut Part) {
    // A value that has had its echo stays: other segments may carry it, too.
    let mut waiting: HashMap<u32, Option<i64>> = HashMap::new();
    let mut order = VecDeque::new();
    for Record {
        at, from, stamps, ..
    } in &trace.records
    {
        let Some((value, echo)) = *stamps else {
            continue;
        };
        if *from != side {
            if let Entry::Vacant(entry) = waiting.entry(value) {
                entry.insert(Some(*at));
                order.push_back(value);
            }
            if order.len() > MOST_WAITING
                && let Some(oldest) = order.pop_front()
            {
                waiting.remove(&oldest);
            }
        } else if let Some(sent) = waiting.get_mut(&echo).and_then(Option::take) {
            part.sample(*at - sent);
        }
    }
}
