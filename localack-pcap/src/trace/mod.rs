//! What the conversations that matter most looked like over time, in bounded memory.
//!
//! A capture may come from a pipe, so it is read once, and which conversations will matter most is not
//! known before its end. So there are more places than graphs are asked for ([`Traces::places`]).
//! A conversation takes a free place with its first packet. Where none is free, it takes that of the
//! conversation that comes to least so far, as soon as it comes to a quarter more itself; its trace then
//! begins late, and says so. A conversation that ends up first among many of different size has had its place almost
//! from its beginning. In the order of beginnings ([`Sort::Start`]) the first ones keep their places.
//!
//! A trace keeps at most [`FlowTrace::MOST`] marks, see [`Series`].

mod flow;
mod series;

use std::collections::HashMap;

use crate::conversation::{Conversation, End, Observed};
use crate::dissect::{Flags, Segment};
use crate::replay::{Endings, Scene, Watch};
use crate::report::Sort;
use crate::waits::Waits;

pub use flow::{DirectionTrace, FlowTrace};
pub use series::{Mark, Series};

/// The largest window a TCP can offer (RFC 7323 section 2.3); no believable number is farther away.
const FAR: i64 = 1 << 30;
/// The largest shift of a window (RFC 7323 section 2.3).
const MOST_SHIFT: u8 = 14;

/// Traces of conversations, gathered while a capture is replayed.
#[derive(Debug)]
pub struct Traces {
    sort: Sort,
    places: usize,
    held: HashMap<usize, Held>,
    /// No place is held by less than this.
    least: u64,
    /// Conversations that gave their places up, or never got one.
    without: u64,
    begun: Option<u64>,
    waits: [Waits; 2],
}

#[derive(Debug)]
struct Held {
    worth: u64,
    trace: FlowTrace,
}

impl Traces {
    /// Room for the first `top` conversations in the order of `sort`, and spare room.
    #[must_use]
    pub fn new(top: usize, sort: Sort) -> Self {
        Self {
            sort,
            places: Self::places(top),
            held: HashMap::new(),
            least: 0,
            without: 0,
            begun: None,
            waits: Default::default(),
        }
    }

    /// Conversations that are traced at once, to draw `top` of them.
    #[must_use]
    pub fn places(top: usize) -> usize {
        if top == 0 {
            0
        } else {
            top.saturating_mul(2)
                .saturating_add(54)
                .min(top.saturating_add(128))
        }
    }

    /// The trace of a conversation, by its number.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&FlowTrace> {
        self.held.get(&index).map(|held| &held.trace)
    }

    /// When the capture begins, in microseconds of virtual time.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.begun.unwrap_or(0)
    }

    /// The waits of all conversations, in the capture and with the engine.
    #[must_use]
    pub const fn waits(&self) -> &[Waits; 2] {
        &self.waits
    }

    /// Marks that are kept, of all conversations together.
    #[must_use]
    pub fn marks(&self) -> usize {
        self.held.values().map(|held| held.trace.marks()).sum()
    }

    /// What a conversation comes to so far.
    fn worth(&self, scene: &Scene<'_>) -> u64 {
        let sum = |figure: fn(&Conversation, End) -> u64| {
            End::BOTH
                .into_iter()
                .map(|end| figure(scene.conversation, end))
                .sum()
        };
        match self.sort {
            Sort::Bytes => sum(|conversation, end| conversation.sent(end).payload_bytes),
            Sort::Packets => sum(|conversation, end| conversation.sent(end).packets),
            Sort::Wait => scene.standing.waited,
            Sort::Saved => scene.standing.saved,
            Sort::Start => 0,
        }
    }

    /// The trace of a conversation that has or gets a place.
    fn place(&mut self, scene: &Scene<'_>) -> Option<&mut FlowTrace> {
        let worth = self.worth(scene);
        if !self.held.contains_key(&scene.index) {
            if self.held.len() >= self.places {
                self.evict(worth)?;
            }
            let packets: u64 = End::BOTH
                .into_iter()
                .map(|end| scene.conversation.sent(end).packets)
                .sum();
            let trace = FlowTrace::new(scene.now.as_micros(), packets > 1);
            self.held.insert(scene.index, Held { worth, trace });
        }
        let held = self.held.get_mut(&scene.index)?;
        held.worth = worth;
        Some(&mut held.trace)
    }

    /// Frees the place of what comes to least, if `worth` is a quarter more.
    fn evict(&mut self, worth: u64) -> Option<()> {
        let enough = |least: u64| worth > least.saturating_add(least / 4);
        if !enough(self.least) {
            return None;
        }
        // Ties go to whoever came first.
        let (index, least) = self
            .held
            .iter()
            .map(|(&index, held)| (index, held.worth))
            .min_by_key(|&(index, worth)| (worth, core::cmp::Reverse(index)))?;
        self.least = least;
        if !enough(least) {
            return None;
        }
        self.held.remove(&index);
        self.without += 1;
        Some(())
    }
}

impl Watch for Traces {
    fn captured(&mut self, scene: &Scene<'_>, segment: &Segment, observed: &Observed) {
        let time = scene.now.as_micros();
        self.begun.get_or_insert(time);
        let Some(trace) = self.place(scene) else {
            return;
        };
        trace.client = scene.conversation.client();
        trace
            .direction_mut(observed.sender)
            .data(time, segment, observed);
        let about = observed.sender.other();
        let direction = trace.direction_mut(about);
        if segment.flags.has(Flags::SYN) {
            direction.shift = segment.options.window_scale.unwrap_or(0).min(MOST_SHIFT);
        }
        // Windows are scaled if both ends say so, and not otherwise (RFC 7323 section 2.2).
        if segment.flags.has(Flags::SYN.with(Flags::ACK)) && segment.options.window_scale.is_none()
        {
            trace.direction_mut(observed.sender).shift = 0;
        }
        let direction = trace.direction_mut(about);
        let Some(position) = observed
            .acknowledged
            .filter(|_| !segment.flags.has(Flags::RST))
        else {
            return;
        };
        direction.acknowledgement(time, position, segment);
        for &(left, right) in segment.options.sack() {
            let ends = [left, right].map(|seq| scene.conversation.position(about, seq));
            if let [Some(low), Some(high)] = ends
                && low < high
                && direction.believes(high)
                && direction.believes(low)
            {
                direction.sacked.push(Mark::stretch(time, low, high));
            }
        }
    }

    fn acknowledged(&mut self, scene: &Scene<'_>, to: End, position: i64) {
        if let Some(held) = self.held.get_mut(&scene.index) {
            let direction = held.trace.direction_mut(to);
            if direction.believes(position) {
                direction.engine.line(scene.now.as_micros(), position);
            }
        }
    }

    fn sent(&mut self, scene: &Scene<'_>, from: End, start: i64, end: i64, again: bool) {
        if let Some(held) = self.held.get_mut(&scene.index) {
            let direction = held.trace.direction_mut(from);
            let series = if again {
                &mut direction.resent
            } else {
                &mut direction.delivered
            };
            series.push(Mark::stretch(scene.now.as_micros(), start, end));
        }
    }

    fn custody(&mut self, scene: &Scene<'_>, from: End, octets: u32) {
        if let Some(held) = self.held.get_mut(&scene.index) {
            let direction = held.trace.direction_mut(from);
            if octets > 0 || !direction.custody.marks().is_empty() {
                direction.custody.line(scene.now.as_micros(), octets.into());
            }
        }
    }

    fn ended(&mut self, index: usize, waits: [Endings<'_>; 2]) {
        for (end, waits) in End::BOTH.into_iter().zip(waits) {
            self.waits[0].merge(waits.captured);
            self.waits[1].merge(waits.engine);
            if let Some(held) = self.held.get_mut(&index) {
                let direction = held.trace.direction_mut(end);
                direction.captured_waits = waits.captured.clone();
                direction.engine_waits = waits.engine.clone();
            }
        }
    }
}

impl DirectionTrace {
    fn data(&mut self, time: u64, segment: &Segment, observed: &Observed) {
        if segment.payload == 0 || segment.flags.has(Flags::RST) {
            return;
        }
        let (low, high) = (observed.start, observed.start + i64::from(segment.payload));
        if !self.believes(low) {
            return;
        }
        self.origin.get_or_insert(low);
        let series = if observed.new_data.is_some() {
            &mut self.data
        } else {
            &mut self.repeats
        };
        series.push(Mark::stretch(time, low, high));
    }

    fn acknowledgement(&mut self, time: u64, position: i64, segment: &Segment) {
        if !self.believes(position) {
            return;
        }
        self.origin.get_or_insert(position);
        self.acknowledged.line(time, position);
        // The window of a segment with a SYN is never scaled (RFC 7323 section 2.2).
        let shift = if segment.flags.has(Flags::SYN) {
            0
        } else {
            self.shift
        };
        self.edge
            .line(time, position + (i64::from(segment.window) << shift));
    }

    /// Whether a position is near enough to the origin or to the last data to be one of this connection.
    fn believes(&self, position: i64) -> bool {
        let last = self
            .data
            .marks()
            .last()
            .map(|mark| mark.high)
            .or(self.origin);
        last.is_none_or(|last| position.abs_diff(last) <= FAR as u64)
    }
}
