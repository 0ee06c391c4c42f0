//! What is drawn of one conversation.

use super::series::{Mark, Series};
use crate::conversation::End;
use crate::waits::Waits;

/// Marks that each kind of one direction may keep.
const DATA: usize = 2000;
const REPEATS: usize = 600;
const LINE: usize = 1200;
const BLOCKS: usize = 600;

/// Both directions of a conversation.
#[derive(Debug, Clone)]
pub struct FlowTrace {
    /// When the trace begins, in microseconds of virtual time.
    pub from: u64,
    /// Whether the conversation had begun before.
    pub late: bool,
    /// Which end is the client.
    pub client: End,
    directions: [DirectionTrace; 2],
}

/// The data of one sender over time; positions are those of [`crate::conversation`].
#[derive(Debug, Clone)]
pub struct DirectionTrace {
    /// New data as it was captured.
    pub data: Series,
    /// Data that was captured again.
    pub repeats: Series,
    /// The receiver's cumulative acknowledgement in the capture.
    pub acknowledged: Series,
    /// The cumulative acknowledgement that leaves the engine for the sender.
    pub engine: Series,
    /// The right edge of the receiver's window in the capture.
    pub edge: Series,
    /// The receiver's SACK blocks.
    pub sacked: Series,
    /// Data that the engine sent for the first time.
    pub delivered: Series,
    /// Data that the engine sent again.
    pub resent: Series,
    /// Octets acknowledged to the sender and not yet by the receiver.
    pub custody: Series,
    /// Waits for acknowledgements in the capture.
    pub captured_waits: Waits,
    /// The same with the engine.
    pub engine_waits: Waits,
    /// By how many binary digits the receiver's windows are to be shifted.
    pub(super) shift: u8,
    /// The first position that was seen, the origin of what is drawn.
    pub(super) origin: Option<i64>,
}

impl Default for DirectionTrace {
    fn default() -> Self {
        Self {
            data: Series::new(DATA),
            repeats: Series::new(REPEATS),
            acknowledged: Series::new(LINE),
            engine: Series::new(LINE),
            edge: Series::new(LINE),
            sacked: Series::new(BLOCKS),
            delivered: Series::new(LINE),
            resent: Series::new(REPEATS),
            custody: Series::new(LINE),
            captured_waits: Waits::default(),
            engine_waits: Waits::default(),
            shift: 0,
            origin: None,
        }
    }
}

impl FlowTrace {
    /// The most marks that one trace keeps.
    pub const MOST: usize = 2 * (DATA + 2 * REPEATS + BLOCKS + 5 * LINE);

    pub(super) fn new(from: u64, late: bool) -> Self {
        Self {
            from,
            late,
            client: End::First,
            directions: Default::default(),
        }
    }

    /// What `sender` sent.
    #[must_use]
    pub const fn direction(&self, sender: End) -> &DirectionTrace {
        &self.directions[sender as usize]
    }

    pub(super) const fn direction_mut(&mut self, sender: End) -> &mut DirectionTrace {
        &mut self.directions[sender as usize]
    }

    /// Marks that are kept.
    #[must_use]
    pub fn marks(&self) -> usize {
        let directions = self.directions.iter();
        directions
            .flat_map(DirectionTrace::all)
            .map(|series| series.marks().len())
            .sum()
    }
}

impl DirectionTrace {
    /// All series.
    #[must_use]
    pub const fn all(&self) -> [&Series; 9] {
        [
            &self.data,
            &self.repeats,
            &self.acknowledged,
            &self.engine,
            &self.edge,
            &self.sacked,
            &self.delivered,
            &self.resent,
            &self.custody,
        ]
    }

    /// The position that counts as zero.
    #[must_use]
    pub fn origin(&self) -> i64 {
        self.origin.unwrap_or(0)
    }

    /// From the first octet to the last that was sent or sent again; `None` if there is no data.
    #[must_use]
    pub fn extent(&self) -> Option<(i64, i64)> {
        let marks = || self.data.marks().iter().chain(self.repeats.marks());
        Some((
            marks().map(|mark| mark.low).min()?,
            marks().map(|mark| mark.high).max()?,
        ))
    }
}

impl Mark {
    pub(super) const fn stretch(time: u64, low: i64, high: i64) -> Self {
        Self { time, low, high }
    }
}
