//! One measurement.

use super::arrangement::Arrangement;
use super::route::Route;

/// What the senders do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// They send without end.
    Endless {
        /// How many there are.
        flows: u16,
        /// Virtual seconds that they are watched.
        seconds: u64,
        /// Octets per second that each receiver reads at most; `None`: all at once.
        read_rate: Option<u64>,
        /// Whether a flow that no service is for says a little every 100 ms, so that its round trips show how
        /// long packets of others wait.
        bystander: bool,
    },
    /// One after the other, connections of these sizes in octets, each so often.
    Objects(&'static [u32], u64),
}

impl Work {
    /// One sender without end, for 20 seconds.
    pub const ENDLESS: Self = Self::Endless {
        flows: 1,
        seconds: 20,
        read_rate: None,
        bystander: false,
    };
}

/// A column of a scenario's table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Figure {
    /// Payload received over what could have been.
    Goodput,
    /// What flows get of it, the least over the most.
    Fairness,
    /// Payload that senders sent again.
    SenderResent,
    /// Time-outs of senders.
    SenderTimeouts,
    /// Payload that went to receivers again.
    LinkResent,
    /// Payload that receivers got again.
    Needless,
    /// Packets on the way back to the senders.
    ReturnLoad,
    /// Packets that were lost there.
    ReturnLost,
    /// Data packets lost before and behind the engine.
    DataLost,
    /// Round trips that senders saw.
    RoundTrip,
    /// Round trips that a bystander saw.
    Bystander,
    /// Octets of packets toward the receivers, over what the limit allows.
    Rate,
    /// The same in the second with the most of them.
    PeakRate,
    /// Octets in custody at most.
    Custody,
    /// Times of transfers.
    Times,
}

/// One arrangement on one route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// What is to be seen.
    pub scenario: &'static str,
    /// What the route is like.
    pub path: String,
    /// The links.
    pub route: Route,
    /// What the senders do.
    pub work: Work,
    /// What the engine does.
    pub arrangement: Arrangement,
    /// Octets of packets per second that count as all; `None`: what the route carries.
    pub limit: Option<u32>,
    /// What the table of its scenario shows.
    pub figures: &'static [Figure],
}

impl Case {
    /// Its name, which no other case has.
    #[must_use]
    pub fn name(&self) -> String {
        format!(
            "{}, {}: {}",
            self.scenario, self.path, self.arrangement.name
        )
    }

    /// Octets of packets per second that count as all.
    pub(super) fn most(&self) -> f64 {
        self.limit.map_or_else(|| self.route.most(), f64::from)
    }
}
