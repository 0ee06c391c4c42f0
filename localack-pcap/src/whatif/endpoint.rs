//! What the TCP of both ends is like: from their SYNs, their windows and what they had in flight.

use std::collections::VecDeque;

use serde::Serialize;

use super::application::Application;
use super::estimate::RoundTrips;
use super::trace::{Record, Side, Trace};
use crate::dissect::Flags;

/// Linux's default limit of the receive buffer (`tcp_rmem[2]`) and of the send buffer (`tcp_wmem[2]`).
const DEFAULT_RECEIVE: u64 = 6 << 20;
const DEFAULT_SEND: u64 = 4 << 20;
/// The largest buffer that is simulated.
const MOST: u64 = 1 << 30;

/// One end's TCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointEstimate {
    /// The MSS that its SYN announces.
    pub mss: u16,
    /// Its window scale shift; none without the option.
    pub window_scale: Option<u8>,
    /// Whether it permits selective acknowledgements.
    pub sack: bool,
    /// Whether it has timestamps.
    pub timestamps: bool,
    /// The window of its first segment after the handshake, in octets.
    pub first_window: u64,
    /// The largest window that it offered, in octets.
    pub largest_window: u64,
    /// The window to which its buffer may grow in the simulation, in octets.
    pub window_limit: u64,
    /// How that was found.
    pub window_limit_how: &'static str,
    /// The most octets that it had in flight.
    pub most_in_flight: u64,
    /// What its send buffer holds in the simulation, in octets.
    pub send_buffer: u64,
    /// How that was found.
    pub send_buffer_how: &'static str,
    /// Segments that it sends before the first acknowledgement of data.
    pub initial_window_segments: u32,
    /// Octets per second that its application reads, if that kept its window closed.
    pub read_rate: Option<u64>,
}

impl EndpointEstimate {
    /// What `trace` says of `side`; none without its SYN.
    #[must_use]
    pub fn of(
        trace: &Trace,
        side: Side,
        round_trips: &RoundTrips,
        application: &Application,
    ) -> Option<Self> {
        let syn = trace.syn[side as usize]?;
        let windows = Windows::of(trace, side);
        let flight = Flight::of(trace, side, round_trips.micros(side));
        let first_write = application.scripts[side as usize].steps.first();
        let first_write = first_write.map_or(0, |step| step.octets);
        let scaled = trace
            .syn
            .iter()
            .all(|syn| syn.is_some_and(|syn| syn.window_scale.is_some()));
        let (window_limit, window_limit_how) = windows.limit(syn.window_scale.filter(|_| scaled));
        let (send_buffer, send_buffer_how) = flight.buffer();
        Some(Self {
            mss: syn.mss.unwrap_or(536),
            window_scale: syn.window_scale,
            sack: syn.sack_permitted,
            timestamps: syn.timestamps.is_some(),
            first_window: windows.first,
            largest_window: windows.largest,
            window_limit,
            window_limit_how,
            most_in_flight: flight.most,
            send_buffer,
            send_buffer_how,
            initial_window_segments: flight.initial_segments(trace.segment_size(), first_write),
            read_rate: windows.read_rate(),
        })
    }
}

/// The windows that an end offers.
#[derive(Debug, Default)]
struct Windows {
    first: u64,
    largest: u64,
    /// Time with less than two segments of window, and all time, in microseconds, and octets that
    /// arrived.
    closed: i64,
    time: i64,
    octets: u64,
}

impl Windows {
    fn of(trace: &Trace, side: Side) -> Self {
        let little = u64::from(2 * trace.segment_size());
        let mut windows = Self {
            octets: trace.octets[side.other() as usize],
            ..Self::default()
        };
        let mut closed_since = None;
        let mut last = None;
        let unusable = Flags::SYN.with(Flags::RST).with(Flags::FIN);
        let own = trace.records.iter().filter(|record| {
            record.from == side && record.ack.is_some() && !record.flags.has_any(unusable)
        });
        for record in own {
            let window = u64::from(record.window);
            if windows.first == 0 {
                windows.first = window;
            }
            windows.largest = windows.largest.max(window);
            if let Some(since) = closed_since {
                windows.closed += record.at - since;
            }
            closed_since = (window < little).then_some(record.at);
            let since = last.replace(record.at).unwrap_or(record.at);
            windows.time += record.at - since;
        }
        windows.first = windows.first.max(little / 2);
        windows.largest = windows.largest.max(windows.first);
        windows
    }

    /// To what the window may grow: a window that has grown goes on growing where there is more to
    /// receive in a round trip.
    const fn limit(&self, scale: Option<u8>) -> (u64, &'static str) {
        let Some(scale) = scale else {
            return (self.largest, "the largest window seen; it has no scale");
        };
        if self.largest <= self.first + self.first / 4 {
            return (self.largest, "the window seen, which did not grow");
        }
        // A host chooses the scale for its largest buffer: between one and two times this.
        let shift = if scale > 14 { 14 } else { scale };
        let by_scale = (0x8000_u64 << shift) * 3 / 2 / 2;
        let limit = if by_scale > MOST { MOST } else { by_scale };
        if limit > self.largest {
            (limit, "the window grew; its scale tells how far it may")
        } else {
            (self.largest, "the largest window seen")
        }
    }

    fn read_rate(&self) -> Option<u64> {
        let waited = self.closed > self.time / 10 && self.closed > 10_000;
        let time = u64::try_from(self.time).ok().filter(|&time| time > 0)?;
        waited.then(|| (self.octets.saturating_mul(1_000_000) / time).max(1000))
    }
}

/// What an end has in flight.
#[derive(Debug, Default)]
struct Flight {
    most: u64,
    /// Acknowledgements of data, those that met a flight near its most, repetitions, and the smallest
    /// window.
    acks: u64,
    at_most: u64,
    repeats: u64,
    window: u64,
    /// Octets sent before the first acknowledgement.
    first: u64,
}

impl Flight {
    /// Of `side`, to which an acknowledgement takes half of `reach` from the capture point, and whose
    /// next data is there as much later.
    fn of(trace: &Trace, side: Side, reach: i64) -> Self {
        let mut flights = Vec::new();
        let mut flight = Self {
            window: u64::MAX,
            ..Self::default()
        };
        let mut coming = VecDeque::new();
        let (mut sent, mut acked) = (0_i64, 0_i64);
        for record in &trace.records {
            if record.from != side {
                if let Some(ack) = record.ack.filter(|_| !record.flags.has(Flags::SYN)) {
                    coming.push_back((record.at, ack, u64::from(record.window)));
                }
                continue;
            }
            if record.len == 0 {
                continue;
            }
            let by = record.at - reach;
            while let Some(&(_, ack, window)) = coming.front().filter(|&&(at, ..)| at <= by) {
                coming.pop_front();
                if ack > acked && ack <= sent {
                    flights.push((sent - acked).unsigned_abs());
                    acked = ack;
                    flight.window = flight.window.min(window);
                }
            }
            flight.repeats += u64::from(record.end() <= sent);
            sent = sent.max(record.end());
            flight.most = flight.most.max((sent - acked).unsigned_abs());
            if acked == 0 {
                flight.first = sent.unsigned_abs();
            }
        }
        let near = flight.most.saturating_sub(flight.most / 10);
        flight.acks = flights.len() as u64;
        flight.at_most = flights.iter().filter(|&&octets| octets >= near).count() as u64;
        flight
    }

    /// The send buffer: what was in flight all the time although window and network had room.
    fn buffer(&self) -> (u64, &'static str) {
        let steady = self.acks >= 50 && self.at_most * 2 > self.acks;
        let room = self.window > self.most + self.most / 4;
        if steady && room && self.repeats == 0 && self.most < DEFAULT_SEND / 2 {
            return (self.most, "so much was in flight most of the time");
        }
        (DEFAULT_SEND.max(2 * self.most), "nothing shows its limit")
    }

    /// Segments of the first flight, if the network ended it: there was more to write.
    fn initial_segments(&self, mss: u32, first_write: u64) -> u32 {
        const USUAL: u32 = 10;
        let mss = u64::from(mss.max(1));
        let segments = u32::try_from(self.first.div_ceil(mss)).unwrap_or(USUAL);
        let ended = first_write > self.first + mss;
        if ended || segments > USUAL {
            segments.clamp(1, 64)
        } else {
            USUAL
        }
    }
}

/// A buffer of which half becomes window, as the simulated hosts have it.
pub(super) fn buffer(window: u64) -> usize {
    usize::try_from((2 * window).clamp(4096, MOST)).unwrap_or(DEFAULT_RECEIVE as usize)
}

/// Segments of `sender` that were sent again.
pub(super) fn repeats(trace: &Trace, sender: Side) -> u64 {
    let mut highest = 0;
    let mut count = 0;
    let own = trace
        .records
        .iter()
        .filter(|record| record.from == sender && record.len > 0);
    for Record { start, len, .. } in own {
        let end = start + i64::from(*len);
        count += u64::from(*start < highest && !(*len == 1 && end == highest));
        highest = highest.max(end);
    }
    count
}
