//! How much memory a gateway needs for the traffic of captures.
//!
//! The engine replays each capture, and what it holds is looked at after every packet. Quantiles are over
//! time: what holds for half of the time, or for all but a hundredth of it. Several captures count
//! as one after the other, not as traffic at the same time.
//!
//! # The JSON form, `localack-size/1`
//! All counts are integers.
//!
//! - `schema`: `"localack-size/1"`.
//! - `captures[]`: `name`, `packets`, `duration_us`, `conversations`, `adopted`, `cut_at_offset` (null
//!   unless the file is damaged).
//! - `custody_bytes`, `flows`: `peak`, `p99`, `p50`; octets of the buffer's blocks in use, and connections
//!   that are followed.
//! - `slots_peak`: most flow slots in use at once, unfinished handshakes included.
//! - `arrivals_per_s`: `peak`, `p99`, `p50`; connections adopted in each second.
//! - `uncounted`: what the figures do not hold, `table_full` and `pool_full` (conversations that found no
//!   flow slot or no memory), `handshakes_evicted`, `no_memory` (data packets that found no room), `buffer_reached` (whether the
//!   buffer was ever full), `cut_packets` (data packets of which the capture holds too little), `undecoded`.
//! - `recommended`: `flows`, `buffer_bytes`, `headroom_percent` and `toml`, the same as settings of
//!   `localack-tun`.

mod levels;
mod text;

use serde::Serialize;

use crate::replay::{Load, Options, Watch};
use crate::report::Report;
use levels::{Arrivals, Levels};
use localack_core::Instant;

pub use text::write_text;

/// The name and version of the JSON form.
pub const SCHEMA: &str = "localack-size/1";

/// Octets of a block, and the blocks that are promised to each served direction: the usual ones of
/// `localack-tun`.
const BLOCK: u64 = 1536;
const PROMISED: u64 = 2;
/// The least that `localack-tun` takes, and the most.
const FLOWS: core::ops::RangeInclusive<u64> = 256..=1 << 24;
const BUFFER: core::ops::RangeInclusive<u64> = 4 << 20..=1 << 40;

/// Looks at what the engine holds while captures are replayed, one after the other.
#[derive(Debug)]
pub struct Sizing {
    options: Options,
    custody: Levels,
    flows: Levels,
    arrivals: Arrivals,
    slots: u64,
    captures: Vec<Capture>,
    uncounted: Uncounted,
}

/// One capture.
#[derive(Debug, Serialize)]
pub struct Capture {
    /// What it is called.
    pub name: String,
    /// Frames.
    pub packets: u64,
    /// From the earliest to the latest time stamp, in microseconds.
    pub duration_us: u64,
    /// TCP conversations.
    pub conversations: u64,
    /// Those that the engine adopted.
    pub adopted: u64,
    /// Offset of the first octet that could not be used, if the file is damaged.
    pub cut_at_offset: Option<u64>,
}

/// What the figures do not hold.
#[derive(Debug, Default, Serialize)]
pub struct Uncounted {
    /// Conversations that found no flow slot.
    pub table_full: u64,
    /// Conversations that found no memory.
    pub pool_full: u64,
    /// Unfinished handshakes forgotten to make room.
    pub handshakes_evicted: u64,
    /// Data packets that were dropped, for their senders to send again, for want of memory.
    pub no_memory: u64,
    /// Whether the whole buffer was in use at any time.
    pub buffer_reached: bool,
    /// Data packets that were not taken, because octets are missing in the capture.
    pub cut_packets: u64,
    /// Frames in which no IP packet was found.
    pub undecoded: u64,
}

/// The highest value, and what holds for 99 and for 50 hundredths of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// The highest.
    pub peak: u64,
    /// Not exceeded for 99 hundredths of the time; to three digits.
    pub p99: u64,
    /// Not exceeded for half of the time; to three digits.
    pub p50: u64,
}

/// How much a gateway should have.
#[derive(Debug, Serialize)]
pub struct Recommended {
    /// Connections that can be followed at a time.
    pub flows: u64,
    /// Octets for data in custody.
    pub buffer_bytes: u64,
    /// How much more than the peak that is, in percent.
    pub headroom_percent: u32,
    /// Settings of `localack-tun` that say so.
    pub toml: String,
}

/// What traffic takes; serializes to the JSON form.
#[derive(Debug, Serialize)]
pub struct Size {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The captures.
    pub captures: Vec<Capture>,
    /// Octets of the buffer's blocks in use.
    pub custody_bytes: Quantiles,
    /// Connections that are followed.
    pub flows: Quantiles,
    /// Most flow slots in use at once, unfinished handshakes included.
    pub slots_peak: u64,
    /// Connections adopted in each second.
    pub arrivals_per_s: Quantiles,
    /// What is missing in these figures.
    pub uncounted: Uncounted,
    /// What to give a gateway.
    pub recommended: Recommended,
}

impl Sizing {
    /// For replays with these options.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            options: options.clone(),
            custody: Levels::default(),
            flows: Levels::default(),
            arrivals: Arrivals::default(),
            slots: 0,
            captures: Vec::new(),
            uncounted: Uncounted::default(),
        }
    }

    /// A capture was replayed to its end.
    pub fn finished(&mut self, name: &str, report: &Report) {
        self.custody.pause();
        self.flows.pause();
        self.arrivals.pause();
        let left = |slug| {
            report
                .flows
                .iter()
                .filter(|flow| flow.reason == Some(slug))
                .count() as u64
        };
        let evicted = report
            .counters
            .get("engine")
            .and_then(|group| group.get("handshakes-evicted"));
        let uncounted = &mut self.uncounted;
        uncounted.table_full += left("table-full");
        uncounted.pool_full += left("pool-full");
        uncounted.handshakes_evicted += evicted.copied().unwrap_or(0);
        let dropped = report
            .counters
            .get("drop")
            .and_then(|group| group.get("no-memory"));
        uncounted.no_memory += dropped.copied().unwrap_or(0);
        uncounted.undecoded += report.input.undecoded;
        let directions = report.flows.iter().flat_map(|flow| flow.both());
        uncounted.cut_packets += directions
            .map(|direction| direction.cut_packets)
            .sum::<u64>();
        self.captures.push(Capture {
            name: name.to_owned(),
            packets: report.input.packets,
            duration_us: report.input.duration_us,
            conversations: report.tcp.conversations,
            adopted: report.flows.iter().filter(|flow| flow.adopted).count() as u64,
            cut_at_offset: report.input.cut_at_offset,
        });
    }

    /// What all captures come to, and what a gateway should have if it is to have `headroom` percent more.
    #[must_use]
    pub fn size(mut self, headroom: u32) -> Size {
        // One more segment finds no room before the last block is taken.
        let lent = self.options.buffer as u64;
        self.uncounted.buffer_reached = self.custody.peak() + (64 << 10) >= lent;
        let flows = self.flows.quantiles();
        let custody = self.custody.quantiles();
        Size {
            schema: SCHEMA,
            captures: self.captures,
            custody_bytes: custody,
            flows,
            slots_peak: self.slots,
            arrivals_per_s: self.arrivals.quantiles(),
            uncounted: self.uncounted,
            recommended: recommended(custody.peak, flows.peak.max(self.slots), headroom),
        }
    }
}

impl Watch for Sizing {
    fn load(&mut self, now: Instant, load: Load) {
        let now = now.as_micros();
        self.custody.set(now, load.custody);
        self.flows.set(now, load.flows);
        self.arrivals.set(now, load.adopted);
        self.slots = self.slots.max(load.slots);
    }
}

fn recommended(custody: u64, flows: u64, headroom: u32) -> Recommended {
    const MIB: u64 = 1 << 20;
    let more = |number: u64| {
        let all = u128::from(number) * u128::from(100 + u64::from(headroom));
        u64::try_from(all.div_ceil(100)).unwrap_or(u64::MAX)
    };
    let flows = more(flows).min(*FLOWS.end()).next_multiple_of(256);
    let flows = flows.clamp(*FLOWS.start(), *FLOWS.end());
    // Each flow is promised some blocks for the direction that is served.
    let buffer = more(custody).saturating_add(flows * PROMISED * BLOCK);
    let buffer = buffer
        .div_ceil(MIB)
        .saturating_mul(MIB)
        .clamp(*BUFFER.start(), *BUFFER.end());
    Recommended {
        flows,
        buffer_bytes: buffer,
        headroom_percent: headroom,
        toml: format!(
            "# {headroom} percent more than the captured traffic took, and two blocks promised to each flow.\n\
             [engine]\nflows = {flows}\nbuffer = \"{}mib\"\n",
            buffer / MIB
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_headroom_and_never_less_than_a_gateway_takes() {
        let least = recommended(0, 0, 0);
        assert_eq!((least.flows, least.buffer_bytes), (256, 4 << 20));
        let some = recommended(100 << 20, 1000, 100);
        assert_eq!(some.flows, 2048);
        assert_eq!(some.buffer_bytes, (200 << 20) + 2048 * 2 * 1536);
        let most = recommended(u64::MAX, u64::MAX, u32::MAX);
        assert_eq!((most.flows, most.buffer_bytes), (1 << 24, 1 << 40));
        assert!(
            some.toml
                .ends_with("[engine]\nflows = 2048\nbuffer = \"206mib\"\n"),
            "{}",
            some.toml
        );
    }
}
