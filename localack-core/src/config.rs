//! What holds for the whole engine.

use core::time::Duration;

/// Settings of an engine; [`Config::new`] gives the defaults of the protocol's rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Config {
    /// Secret key of the flow table's hash; take it from a random source. Nothing else is random.
    pub hash_key: [u64; 2],
    /// Largest IP packet that may leave by each port, inner first, in octets (rule H10.2).
    pub mtu: [u16; 2],
    /// Most payload octets in one packet made by the engine; above the segment size the sink
    /// must cut super-segments itself. Zero: one segment.
    pub super_segment: u16,
    /// Blocks of the pool promised to each served direction.
    pub reserved_blocks: u32,
    /// The time within which what is in custody should reach its receiver (T_debt, rule H6.3).
    pub debt_time: Duration,
    /// Octets that may be in custody however slowly they drain (rule H6.3).
    pub debt_floor: u32,
    /// Unsent octets above which the offered window stops growing, at least; twice the
    /// congestion window where that is more (rule H12.2).
    pub queue_floor: u32,
    /// How long a reset may wait for delivery (T_rst, rule H8.2).
    pub reset_patience: Duration,
    /// How long a drain waits for the offered window to match the receiver's (T_drain, H2.11).
    pub drain_patience: Duration,
    /// How long a reset connection is remembered (rule 2.5).
    pub tombstone_time: Duration,
    /// How long a silent receiver is tried (R2, rule H8.7); never below 100 s.
    pub give_up_after: Duration,
    /// How long a handshake may take; at most 30 minutes.
    pub handshake_time: Duration,
    /// How long an established flow may be idle before it is forgotten (rule H9.8); at most 30
    /// days.
    pub idle_time: Duration,
    /// How long a flow with both FINs in flight may be idle; at most 30 days.
    pub closing_time: Duration,
    /// Least retransmission time-out (rule H12.1).
    pub rto_min: Duration,
    /// Greatest retransmission time-out and probe interval.
    pub rto_max: Duration,
    /// How long a promotion waits after a demotion, so that services do not flap (rule H12.3).
    pub demotion_hold: Duration,
    /// Share of the flow slots that unfinished handshakes may hold, in percent (rule H7.8).
    pub handshake_share: u8,
    /// Whether no packet that the sink is given leaves before the call is over that it is given in.
    ///
    /// Then a flow that was being worked on when its engine was stopped is mostly not lost:
    /// [`Engine::attach`](crate::Engine::attach) puts it back to what it was, as if the packet in hand had
    /// been lost on its way. Unless the flow is only told what goes by, that costs a copy of its slot each
    /// time, for which [`Storage::before`](crate::Storage::before) must have room. If packets leave earlier than
    /// this says, hosts may have been told what the engine does not know of any more.
    pub sink_waits: bool,
}

impl Config {
    /// The defaults, with this key for the flow table's hash.
    #[must_use]
    pub const fn new(hash_key: [u64; 2]) -> Self {
        Self {
            hash_key,
            mtu: [u16::MAX; 2],
            super_segment: 0,
            reserved_blocks: 2,
            debt_time: Duration::from_secs(3),
            debt_floor: 64 * 1024,
            queue_floor: 0,
            reset_patience: Duration::from_secs(3),
            drain_patience: Duration::from_secs(10),
            tombstone_time: Duration::from_secs(60),
            give_up_after: Duration::from_secs(924),
            handshake_time: Duration::from_secs(60),
            idle_time: Duration::from_secs(2 * 3600 + 4 * 60),
            closing_time: Duration::from_secs(4 * 60),
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(60),
            demotion_hold: Duration::from_secs(60),
            handshake_share: 50,
            sink_waits: false,
        }
    }
}

/// Why an engine cannot be built from the storage and settings it was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// No flow slots, or more than 2^30.
    Flows,
    /// The index is not a power of two of at least twice the flow slots.
    Index,
    /// Blocks come out smaller than 64 or larger than 65535 octets, or there are none.
    Blocks,
    /// `reserved_blocks` is zero or more than the pool has.
    Reservation,
    /// A time is out of its documented range.
    Time,
    /// [`Config::sink_waits`], and no slot in [`Storage::before`](crate::Storage::before).
    Before,
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Flows => "between 1 and 2^30 flow slots are needed",
            Self::Index => "the index must be a power of two of at least twice the flow slots",
            Self::Blocks => "arena / blocks must be a block size of 64 to 65535 octets",
            Self::Reservation => "reserved_blocks must be at least 1 and fit the pool",
            Self::Time => "a time is out of range: see Config",
            Self::Before => "sink_waits needs a slot in Storage::before",
        })
    }
}

impl core::error::Error for ConfigError {}
