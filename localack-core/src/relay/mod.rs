//! What happens to an established flow: its segments, its timers, and what is sent for it.
//!
//! A segment carries data of one stream and feedback on the other. `data` names the direction of
//! its payload, `echo` the one it acknowledges; with both served, each is handled as if the other
//! were not (rule H9.10).
//!
//! [`Work`] is one flow together with everything it may use for the time of one call. Each file
//! adds the methods of one concern.

mod accept;
mod ack_thin;
mod ecn;
mod edit;
mod feedback;
mod icmp;
mod intake;
mod keepalive;
mod losses;
mod news;
mod outage;
mod output;
mod pmtu;
mod pump;
mod rate_limit;
mod reset;
mod resume;
mod segment;
mod service;
mod settle;
mod snoop;
mod tend;
mod timeout;
mod timers;
mod vouched;

use crate::config::Config;
use crate::event::Event;
use crate::flow::{FlowFlags, FlowId, FlowKey, FlowSlot};
use crate::pacing::Shares;
use crate::path::{PathTable, Verdict};
use crate::policy::Direction;
use crate::pool::Pool;
use crate::shaping::Shapings;
use crate::sink::Sink;
use crate::stats::Counters;
use crate::time::Instant;

pub(crate) use edit::kind_of;
pub(crate) use vouched::TurnTaken;

/// Pages of a chain that one step may visit; what is left goes on at the next poll.
pub(crate) const MAX_PAGES: u32 = 64;

/// One flow, and what it may use while it is being worked on.
pub(crate) struct Work<'w, S: ?Sized> {
    pub(crate) id: FlowId,
    pub(crate) key: FlowKey,
    pub(crate) flow: &'w mut FlowSlot,
    pub(crate) pool: Pool<'w>,
    pub(crate) shares: &'w mut Shares,
    pub(crate) paths: PathTable<'w>,
    pub(crate) shapings: &'w Shapings,
    /// Either direction has more asked of it than bypass and local acknowledgement.
    pub(crate) arranged: bool,
    /// What becomes of each direction whose retransmission timer has expired, inner first.
    pub(crate) verdicts: [Verdict; 2],
    pub(crate) counters: &'w mut Counters,
    pub(crate) config: &'w Config,
    pub(crate) sink: &'w mut S,
    pub(crate) now: Instant,
    /// The caller's clock, for events; `now` is the engine's.
    pub(crate) wall: Instant,
    /// Stalled flows hold so much of the pool that no new custody begins (rule H12.4).
    pub(crate) crowded: bool,
    /// Blocks that the flow held while it was stalled, before the work.
    pub(crate) stalled_before: u32,
    /// Packets that may still be pushed in this call.
    pub(crate) room: usize,
    /// The flow's turn at a vouched rate, if it has it.
    pub(crate) turn: Option<TurnTaken>,
    /// A segment waits for a turn at this vouched rate.
    pub(crate) share_waits: Option<u8>,
    /// The sink has refused a packet.
    pub(crate) blocked: bool,
    /// The flow's state is of no use any more.
    pub(crate) done: bool,
}

impl<S: Sink + ?Sized> Work<'_, S> {
    fn event(&mut self, event: Event) {
        self.sink.event(self.wall, event);
    }

    fn has(&self, flag: FlowFlags) -> bool {
        self.flow.flags.has(flag)
    }

    /// Whether either direction is served at present.
    fn is_served(&self) -> bool {
        Direction::BOTH
            .iter()
            .any(|&d| self.flow.stream(d).is_active())
    }

    /// Forgets the flow; from now on its packets pass bit for bit.
    fn close(&mut self) {
        self.done = true;
    }
}
