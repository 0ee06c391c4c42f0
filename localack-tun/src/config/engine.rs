//! The table `[engine]`: memory, queues, and limits of time.

use core::ops::RangeInclusive;
use core::time::Duration;

use localack_core::{Config, Geometry};
use serde::Serialize;
use std::path::PathBuf;

use super::OFF;
use super::quantity::{show_octets, write_octets, write_time};
use super::reader::{Reader, Section};
use super::value::{boolean, octets, text, time, whole};

/// The keys of `[engine]`.
pub(super) const KEYS: &[&str] = &[
    "flows",
    "buffer",
    "block",
    "networks",
    "queues",
    "lock_memory",
    "prefault",
    "state",
    "hold",
    "reserved_blocks",
    "handshake_share",
    "debt_time",
    "debt_floor",
    "queue_floor",
    "reset_patience",
    "drain_patience",
    "drain_deadline",
    "tombstone_time",
    "give_up_after",
    "handshake_time",
    "idle_time",
    "closing_time",
    "rto_min",
    "rto_max",
    "demotion_hold",
];

const MIB: u64 = 1 << 20;
/// Room for one direction of a connection with the limit that is usual, so that it is never more than
/// there is.
const LEAST_PER_QUEUE: u64 = 4 * MIB;
/// The engine takes blocks of less than 64 KiB, and at most 2^31 of them.
const BLOCKS: RangeInclusive<u32> = 512..=32_768;
/// The engine counts what is soon in microseconds modulo 2^32, and takes half an hour at most.
const HALF_HOUR: Duration = Duration::from_secs(1800);
/// What is late it counts in milliseconds modulo 2^32.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

const fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// What holds for the engines of all queues. Numbers and octets are for all queues together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EngineSettings {
    /// Connections that can be followed at a time, 1 to 16,777,216; a little over 1 KiB each.
    pub flows: u32,
    /// Octets that can be in custody, 4 MiB for each queue to 1 TiB.
    #[serde(serialize_with = "write_octets")]
    pub buffer: u64,
    /// Octets of one block of the buffer, 512 to 32,768: a segment or a little more.
    #[serde(serialize_with = "write_octets")]
    pub block: u32,
    /// Networks whose paths are remembered, at most 1,048,576; 96 octets each.
    pub networks: u32,
    /// Queues, each with an engine and a thread of its own, 1 to 256.
    pub queues: u16,
    /// Whether the memory may never be swapped out.
    pub lock_memory: bool,
    /// Whether all memory is touched at the start, so that none is missing later.
    pub prefault: bool,
    /// The file that keeps the memory, so that connections outlive the process: an absolute path, best on a
    /// tmpfs. Without one they are lost with it.
    pub state: Option<PathBuf>,
    /// How long after the death of a gateway with a `state` its connections wait for another, before they are
    /// given up; at most 30 min.
    #[serde(serialize_with = "write_time")]
    pub hold: Duration,
    /// See [`Config::reserved_blocks`]; 1 to 1024.
    pub reserved_blocks: u32,
    /// See [`Config::handshake_share`]; 1 to 100.
    pub handshake_share: u8,
    /// See [`Config::debt_time`]; 10 ms to 30 min.
    #[serde(serialize_with = "write_time")]
    pub debt_time: Duration,
    /// See [`Config::debt_floor`]; at most 512 MiB.
    #[serde(serialize_with = "write_octets")]
    pub debt_floor: u32,
    /// See [`Config::queue_floor`]; at most 512 MiB.
    #[serde(serialize_with = "write_octets")]
    pub queue_floor: u32,
    /// See [`Config::reset_patience`]; at most 30 min.
    #[serde(serialize_with = "write_time")]
    pub reset_patience: Duration,
    /// See [`Config::drain_patience`]; at most 30 min.
    #[serde(serialize_with = "write_time")]
    pub drain_patience: Duration,
    /// How long a gateway that is told to stop tries to deliver what it has acknowledged, before it gives
    /// up what is left; at most 30 min.
    #[serde(serialize_with = "write_time")]
    pub drain_deadline: Duration,
    /// See [`Config::tombstone_time`]; at most 30 min.
    #[serde(serialize_with = "write_time")]
    pub tombstone_time: Duration,
    /// See [`Config::give_up_after`]; 100 s to 30 min.
    #[serde(serialize_with = "write_time")]
    pub give_up_after: Duration,
    /// See [`Config::handshake_time`]; 1 s to 30 min.
    #[serde(serialize_with = "write_time")]
    pub handshake_time: Duration,
    /// See [`Config::idle_time`]; 1 s to 30 d.
    #[serde(serialize_with = "write_time")]
    pub idle_time: Duration,
    /// See [`Config::closing_time`]; 1 s to 30 d.
    #[serde(serialize_with = "write_time")]
    pub closing_time: Duration,
    /// See [`Config::rto_min`]; 1 ms to 30 min and at most `rto_max`.
    #[serde(serialize_with = "write_time")]
    pub rto_min: Duration,
    /// See [`Config::rto_max`]; 1 ms to 30 min.
    #[serde(serialize_with = "write_time")]
    pub rto_max: Duration,
    /// See [`Config::demotion_hold`]; at most 30 min.
    #[serde(serialize_with = "write_time")]
    pub demotion_hold: Duration,
}

impl Default for EngineSettings {
    /// The defaults of [`Config`], and memory for a gateway of moderate size.
    fn default() -> Self {
        let config = Config::new([0; 2]);
        Self {
            flows: 65_536,
            buffer: 256 * MIB,
            block: 1536,
            networks: 16_384,
            queues: 1,
            lock_memory: false,
            prefault: true,
            state: None,
            hold: ms(10_000),
            reserved_blocks: config.reserved_blocks,
            handshake_share: config.handshake_share,
            debt_time: config.debt_time,
            debt_floor: config.debt_floor,
            queue_floor: config.queue_floor,
            reset_patience: config.reset_patience,
            drain_patience: config.drain_patience,
            drain_deadline: ms(30_000),
            tombstone_time: config.tombstone_time,
            give_up_after: config.give_up_after,
            handshake_time: config.handshake_time,
            idle_time: config.idle_time,
            closing_time: config.closing_time,
            rto_min: config.rto_min,
            rto_max: config.rto_max,
            demotion_hold: config.demotion_hold,
        }
    }
}

impl EngineSettings {
    /// The memory of each of the queues; together they have at least what is asked for, but for a
    /// part of a block.
    #[must_use]
    pub fn per_queue(&self) -> Geometry {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let queues = u64::from(self.queues.max(1));
        let flows = u64::from(self.flows).div_ceil(queues);
        let blocks = self.buffer_per_queue() / u64::from(self.block.max(1));
        Geometry {
            flows: size(flows),
            index: size((flows * 2).next_power_of_two()),
            blocks: size(blocks),
            arena: size(blocks * u64::from(self.block)),
            paths: size(u64::from(self.networks).div_ceil(queues)),
        }
    }

    /// Octets of the buffer that one queue has.
    pub(super) fn buffer_per_queue(&self) -> u64 {
        self.buffer / u64::from(self.queues.max(1))
    }

    /// The settings of one queue's engine, with its secret key and the largest IP packets that its
    /// ports take, inner first.
    #[must_use]
    pub fn config(&self, hash_key: [u64; 2], mtu: [u16; 2]) -> Config {
        let mut config = Config::new(hash_key);
        config.mtu = mtu;
        config.reserved_blocks = self.reserved_blocks;
        config.handshake_share = self.handshake_share;
        config.debt_time = self.debt_time;
        config.debt_floor = self.debt_floor;
        config.queue_floor = self.queue_floor;
        config.reset_patience = self.reset_patience;
        config.drain_patience = self.drain_patience;
        config.tombstone_time = self.tombstone_time;
        config.give_up_after = self.give_up_after;
        config.handshake_time = self.handshake_time;
        config.idle_time = self.idle_time;
        config.closing_time = self.closing_time;
        config.rto_min = self.rto_min;
        config.rto_max = self.rto_max;
        config.demotion_hold = self.demotion_hold;
        config
    }

    /// Reads the table.
    pub(super) fn read(mut section: Section<'_>, reader: &mut Reader<'_>) -> Self {
        let mut engine = Self::default();
        engine.read_memory(&mut section, reader);
        engine.read_times(&mut section, reader);
        section.finish(reader);
        engine
    }

    fn read_memory(&mut self, section: &mut Section<'_>, reader: &mut Reader<'_>) {
        const LARGEST: u32 = 1 << 29;
        let read = &mut *section;
        let flows = read.read_into(reader, "flows", &mut self.flows, whole(1..=1 << 24));
        let buffer = octets(LEAST_PER_QUEUE..=1 << 40);
        let buffer = read.read_into(reader, "buffer", &mut self.buffer, buffer);
        let block = read.read_into(reader, "block", &mut self.block, octets(BLOCKS));
        read.read_into(reader, "networks", &mut self.networks, whole(0..=1 << 20));
        let queues = read.read_into(reader, "queues", &mut self.queues, whole(1..=256));
        read.read_into(reader, "lock_memory", &mut self.lock_memory, boolean);
        read.read_into(reader, "prefault", &mut self.prefault, boolean);
        read.read_into(reader, "state", &mut self.state, text(file));
        let reserved = &mut self.reserved_blocks;
        let reserved = read.read_into(reader, "reserved_blocks", reserved, whole(1..=1024));
        let share = &mut self.handshake_share;
        read.read_into(reader, "handshake_share", share, whole(1..=100));
        let floor = octets(0..=LARGEST);
        read.read_into(reader, "debt_floor", &mut self.debt_floor, &floor);
        read.read_into(reader, "queue_floor", &mut self.queue_floor, &floor);

        let place = |spans: [Option<_>; 2]| spans.into_iter().flatten().next();
        let queues_of = self.queues;
        if self.flows < queues_of.into()
            && let Some(span) = place([flows, queues.clone()])
        {
            let message = format!("`flows`: {queues_of} queues need a flow each at least");
            reader.report(span, message);
        }
        if self.buffer_per_queue() < LEAST_PER_QUEUE
            && let Some(span) = place([buffer.clone(), queues])
        {
            let octets = show_octets(u64::from(queues_of) * LEAST_PER_QUEUE);
            let message = format!("`buffer`: {queues_of} queues need {octets} at least");
            reader.report(span, message);
        } else if self.per_queue().blocks < self.reserved_blocks as usize
            && let Some(span) = place([reserved, block.or(buffer)])
        {
            let blocks = self.per_queue().blocks;
            let message = format!("`reserved_blocks`: a queue has no more than {blocks} blocks");
            reader.report(span, message);
        }
    }

    fn read_times(&mut self, section: &mut Section<'_>, reader: &mut Reader<'_>) {
        let mut read = |key, place: &mut Duration, range: RangeInclusive<Duration>| {
            section.read_into(reader, key, place, time(range))
        };
        let soon = || Duration::ZERO..=HALF_HOUR;
        read("debt_time", &mut self.debt_time, ms(10)..=HALF_HOUR);
        read("reset_patience", &mut self.reset_patience, soon());
        read("drain_patience", &mut self.drain_patience, soon());
        read("drain_deadline", &mut self.drain_deadline, soon());
        read("hold", &mut self.hold, soon());
        read("tombstone_time", &mut self.tombstone_time, soon());
        let silence = ms(100_000)..=HALF_HOUR;
        read("give_up_after", &mut self.give_up_after, silence);
        let handshake = ms(1000)..=HALF_HOUR;
        read("handshake_time", &mut self.handshake_time, handshake);
        read("idle_time", &mut self.idle_time, ms(1000)..=MONTH);
        read("closing_time", &mut self.closing_time, ms(1000)..=MONTH);
        read("demotion_hold", &mut self.demotion_hold, soon());
        let least = read("rto_min", &mut self.rto_min, ms(1)..=HALF_HOUR);
        let most = read("rto_max", &mut self.rto_max, ms(1)..=HALF_HOUR);
        if self.rto_min > self.rto_max
            && let Some(span) = least.or(most)
        {
            reader.report(span, "`rto_min` is longer than `rto_max`");
        }
    }
}

/// The absolute path of a file, or none.
fn file(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        OFF => Ok(None),
        text if !text.starts_with('/') || text.ends_with('/') || text.contains('\0') => Err(
            format!("{text:?} is not the absolute path of a file, or \"off\""),
        ),
        text => Ok(Some(text.into())),
    }
}
