//! Choosing among all flows while they are looked at one by one.

use core::cmp::{Ordering, Reverse};
use core::net::SocketAddr;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use localack_core::{Direction, FlowId, FlowInfo, FlowState, ShapingId};

use super::flow::{mode_number, state_number};
use super::protocol::FlowName;
use super::savings::Sample;

/// A flow and the queue it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The number of the queue.
    pub queue: u16,
    /// The flow.
    pub flow: FlowInfo,
}

/// What all flows that were looked at have together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Flows in each [`FlowState`], in the order of their numbers.
    pub states: [u64; 5],
    /// Open flows by the [`DirectionMode`](localack_core::DirectionMode) of each direction, inner to outer first.
    pub modes: [[u64; 5]; 2],
    /// The same by the number of each direction's arrangement; the first has none.
    pub arranged: [[u64; ShapingId::COUNT]; 2],
    /// Octets of blocks held.
    pub custody: u64,
    /// Octets acknowledged to senders and not by receivers.
    pub debt: u64,
}

impl Totals {
    /// Flows in all states.
    #[must_use]
    pub fn flows(&self) -> u64 {
        self.states.iter().sum()
    }

    fn count(&mut self, flow: &FlowInfo) {
        add(self.states.get_mut(state_number(flow.state)), 1);
        let directions = Direction::BOTH.into_iter();
        let cells = self.modes.iter_mut().zip(&mut self.arranged);
        for (direction, (modes, arranged)) in directions.zip(cells) {
            let info = flow.direction(direction);
            if flow.state == FlowState::Open {
                add(modes.get_mut(mode_number(info.mode)), 1);
                add(arranged.get_mut(usize::from(info.shaping.number())), 1);
            }
            add(Some(&mut self.custody), info.custody.into());
            add(Some(&mut self.debt), info.debt.into());
        }
    }

    fn merge(&mut self, other: &Self) {
        let pairs = |to: &mut [u64], from: &[u64]| {
            for (to, from) in to.iter_mut().zip(from) {
                add(Some(to), *from);
            }
        };
        pairs(&mut self.states, &other.states);
        for (to, from) in self.modes.iter_mut().zip(&other.modes) {
            pairs(to, from);
        }
        for (to, from) in self.arranged.iter_mut().zip(&other.arranged) {
            pairs(to, from);
        }
        add(Some(&mut self.custody), other.custody);
        add(Some(&mut self.debt), other.debt);
    }
}

fn add(cell: Option<&mut u64>, more: u64) {
    if let Some(cell) = cell {
        *cell = cell.saturating_add(more);
    }
}

/// Which flows are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    All,
    /// The text of an id without its queue.
    Id {
        queue: u16,
        id: String,
    },
    /// Two ends, in either order.
    Ends([SocketAddr; 2]),
}

/// A number for flows, each by its queue and its id.
pub(super) type Measures = HashMap<(u16, FlowId), u64>;

/// The flows that were asked for, out of all that are offered: at most a fixed number, the greatest by
/// one measure. Its memory is bounded by that number.
#[derive(Debug, Clone)]
pub struct Selection {
    wanted: Wanted,
    /// Without it, octets held are the measure.
    measures: Option<Arc<Measures>>,
    limit: usize,
    /// The least of them first.
    best: BinaryHeap<Reverse<Ranked>>,
    totals: Totals,
    /// What is remembered of every flow that is served, if that is wanted too.
    samples: Option<Vec<Sample>>,
}

/// A flow with its place in the order.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    measure: u64,
    seen: Seen,
}

impl Ranked {
    /// Greater measures first, then lower queues and slots, so that the order is the same every time.
    fn rank(&self) -> (u64, Reverse<(u16, u32)>) {
        let slot = self.seen.flow.id.slot();
        (self.measure, Reverse((self.seen.queue, slot)))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl Selection {
    /// The `limit` flows that hold most octets; with a limit of 0 only the totals.
    #[must_use]
    pub fn greatest(limit: usize) -> Self {
        Self {
            wanted: Wanted::All,
            measures: None,
            limit,
            best: BinaryHeap::new(),
            totals: Totals::default(),
            samples: None,
        }
    }

    /// The `limit` greatest of all flows by measures that are not known of a flow alone; those that have
    /// none come last.
    pub(super) fn by(measures: Measures, limit: usize) -> Self {
        Self {
            measures: Some(Arc::new(measures)),
            ..Self::greatest(limit)
        }
    }

    /// A few numbers of every flow that is served.
    pub(super) fn samples() -> Self {
        Self {
            samples: Some(Vec::new()),
            ..Self::greatest(0)
        }
    }

    /// Flows that have this name. There may be several between two ends, over several links; no more
    /// than `limit` are kept.
    ///
    /// # Errors
    /// What is wrong with an id.
    pub fn named(name: &FlowName, limit: usize) -> Result<Self, String> {
        let wanted = match name {
            FlowName::Ends(ends) => Wanted::Ends(*ends),
            FlowName::Id(text) => {
                let wrong = || format!("{text:?} is not the id of a flow, such as \"0:12.3\"");
                let (queue, id) = text.split_once(':').ok_or_else(wrong)?;
                Wanted::Id {
                    queue: queue.parse().map_err(|_| wrong())?,
                    id: id.to_owned(),
                }
            }
        };
        let mut selection = Self::greatest(limit);
        selection.wanted = wanted;
        Ok(selection)
    }

    /// Looks at a flow of a queue.
    pub fn offer(&mut self, queue: u16, flow: &FlowInfo) {
        self.totals.count(flow);
        if self.wants(queue, flow) {
            let measure = self.measure(queue, flow);
            let seen = Seen { queue, flow: *flow };
            self.keep(Ranked { measure, seen });
        }
        if let Some(samples) = &mut self.samples {
            samples.extend(Sample::of(queue, flow));
        }
    }

    /// Takes over what another one has that was asked for the same.
    pub fn merge(&mut self, other: Self) {
        self.totals.merge(&other.totals);
        for Reverse(ranked) in other.best {
            self.keep(ranked);
        }
        if let Some(samples) = &mut self.samples {
            samples.extend(other.samples.into_iter().flatten());
        }
    }

    fn wants(&self, queue: u16, flow: &FlowInfo) -> bool {
        match &self.wanted {
            Wanted::All => true,
            Wanted::Id { queue: of, id } => *of == queue && flow.id.to_string() == *id,
            Wanted::Ends([one, other]) => {
                let key = &flow.key;
                let inner = SocketAddr::new(key.inner(), key.inner_port());
                let outer = SocketAddr::new(key.outer(), key.outer_port());
                (inner, outer) == (*one, *other) || (outer, inner) == (*one, *other)
            }
        }
    }

    fn measure(&self, queue: u16, flow: &FlowInfo) -> u64 {
        match &self.measures {
            Some(measures) => measures.get(&(queue, flow.id)).copied().unwrap_or(0),
            None => {
                let held = |direction| u64::from(flow.direction(direction).custody);
                Direction::BOTH.into_iter().map(held).sum()
            }
        }
    }

    fn keep(&mut self, ranked: Ranked) {
        if self.best.len() < self.limit {
            self.best.push(Reverse(ranked));
        } else if let Some(mut least) = self.best.peek_mut()
            && ranked > least.0
        {
            *least = Reverse(ranked);
        }
    }

    /// What all flows have together, wanted or not.
    #[must_use]
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(super) fn into_samples(self) -> Vec<Sample> {
        self.samples.unwrap_or_default()
    }

    /// The flows, the greatest first.
    #[must_use]
    pub fn into_flows(self) -> Vec<Seen> {
        let sorted = self.best.into_sorted_vec();
        sorted
            .into_iter()
            .map(|Reverse(ranked)| ranked.seen)
            .collect()
    }
}
