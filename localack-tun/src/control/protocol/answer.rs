//! What is answered.

use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::request::{DirectionChoice, FlowName, ServiceWord, Sort};

/// An answer; it has the name of its request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Answer {
    /// See [`Request::Status`](super::Request::Status).
    Status(Status),
    /// See [`Request::Flows`](super::Request::Flows).
    Flows(FlowList),
    /// See [`Request::Refused`](super::Request::Refused).
    Refused(RefusedList),
    /// See [`Request::PolicyList`](super::Request::PolicyList).
    PolicyList(PolicyList),
    /// See [`Request::PolicySet`](super::Request::PolicySet).
    PolicySet(AppliedEntry),
    /// See [`Request::PolicyRemove`](super::Request::PolicyRemove).
    PolicyRemove(AppliedEntry),
    /// See [`Request::PolicyReload`](super::Request::PolicyReload).
    PolicyReload(AppliedEntry),
    /// See [`Request::ArrangementList`](super::Request::ArrangementList).
    ArrangementList(ArrangementList),
    /// See [`Request::ArrangementSet`](super::Request::ArrangementSet).
    ArrangementSet(AppliedEntry),
    /// See [`Request::ArrangementRemove`](super::Request::ArrangementRemove).
    ArrangementRemove(AppliedEntry),
    /// See [`Request::Flow`](super::Request::Flow).
    Flow(FlowSet),
    /// See [`Request::Drain`](super::Request::Drain).
    Drain,
    /// See [`Request::Upgrade`](super::Request::Upgrade).
    Upgrade,
    /// See [`Request::Stats`](super::Request::Stats).
    Stats(Stats),
}

/// What the gateway is doing as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// `starting`, `running`, `draining` or `drained`.
    pub state: String,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// The interface on the inner side.
    pub inner: String,
    /// The interface on the outer side.
    pub outer: String,
    /// The file that the settings came from.
    pub config: Option<String>,
    /// Queues, each with an engine of its own.
    pub queues: u16,
    /// Policies, the default not counted.
    pub policies: u32,
    /// Arrangements that policies can name.
    #[serde(default)]
    pub arrangements: u32,
    /// Flows that can be followed at a time.
    pub flow_slots: u64,
    /// How full the memory for octets in custody is, in all queues together.
    pub pool: PoolEntry,
    /// What all flows have together.
    pub totals: TotalsEntry,
}

/// How full a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PoolEntry {
    /// Octets there is room for.
    pub octets: u64,
    /// Octets of blocks that are in use.
    pub used: u64,
}

/// What all flows have together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TotalsEntry {
    /// Flows by what they are doing.
    pub flows: FlowCounts,
    /// Octets of blocks held.
    pub custody: u64,
    /// Octets acknowledged to senders and not by receivers.
    pub debt: u64,
    /// Octets per second that outer hosts acknowledge of data from the inner side that is served.
    pub rate_inner_to_outer: u64,
    /// Octets per second that inner hosts acknowledge of data from the outer side that is served.
    pub rate_outer_to_inner: u64,
    /// Octets acknowledged before their receivers had, of flows that have ended too.
    pub acknowledged_early: u64,
    /// See [`DirectionEntry::saved_ms`]; of flows that have ended too.
    pub saved_ms: u64,
}

/// Flows by what they are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FlowCounts {
    /// All that are known.
    pub all: u64,
    /// Those whose handshake is under way.
    pub opening: u64,
    /// Those whose handshake is complete.
    pub open: u64,
    /// Those that were reset.
    pub reset: u64,
    /// Directions of open flows that are acknowledged early.
    pub local_ack: u64,
    /// Directions of open flows that wait for a proof that the receiver is there.
    pub store_and_forward: u64,
    /// Directions of open flows that are handed back.
    pub draining: u64,
    /// Directions of open flows of whose data copies answer losses.
    #[serde(default)]
    pub snoop: u64,
    /// Directions of open flows that pass as they are.
    pub bypass: u64,
}

/// Flows, the greatest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowList {
    /// The measure they are ordered by.
    pub sort: Sort,
    /// What all flows have together, those not listed too.
    pub totals: TotalsEntry,
    /// The flows.
    pub flows: Vec<FlowEntry>,
}

/// A flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowEntry {
    /// The queue, a colon, and the flow's id in it.
    pub id: String,
    /// The end behind the inner interface.
    pub inner: SocketAddr,
    /// The end behind the outer interface.
    pub outer: SocketAddr,
    /// The link that tells it from others between the same ends.
    pub link: u32,
    /// The side that opened it: `inner` or `outer`.
    pub client: String,
    /// `syn-seen`, `syn-ack-seen`, `open`, `resetting` or `tombstone`.
    pub state: String,
    /// Data from the inner side.
    pub inner_to_outer: DirectionEntry,
    /// Data from the outer side.
    pub outer_to_inner: DirectionEntry,
}

impl FlowEntry {
    /// Data from the inner side, then from the outer.
    #[must_use]
    pub const fn directions(&self) -> [&DirectionEntry; 2] {
        [&self.inner_to_outer, &self.outer_to_inner]
    }
}

/// One direction of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectionEntry {
    /// The service that is asked for.
    pub service: ServiceWord,
    /// The name of the arrangement of what goes in this direction, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrangement: Option<String>,
    /// `bypass`, `store-and-forward`, `local-ack`, `draining` or `snoop`.
    pub mode: String,
    /// Why it is or is not acknowledged early.
    pub reason: Reason,
    /// Octets per second that the receiver acknowledged in the last second, if the direction is served.
    pub rate: u64,
    /// Octets of blocks held.
    pub custody: u64,
    /// Octets acknowledged to the sender and not by the receiver.
    pub debt: u64,
    /// Octets acknowledged to the sender before the receiver had acknowledged them.
    pub acknowledged_early: u64,
    /// Milliseconds that segments were spared of waiting for their acknowledgements, added up: each
    /// segment counts while it is on its way to its receiver and back.
    pub saved_ms: u64,
    /// Smoothed round-trip time to the receiver in microseconds, 0 if unknown.
    pub srtt_us: u64,
    /// Shortest round-trip time of the last minutes in microseconds, 0 if unknown.
    pub min_rtt_us: u64,
    /// `reno`, `cubic`, `bbr` or `provisioned`.
    pub controller: String,
    /// Congestion window toward the receiver, in octets.
    pub cwnd: u64,
    /// Octets on their way to the receiver.
    pub in_flight: u64,
    /// Octets found lost that wait to be sent again.
    pub lost: u64,
    /// Largest segment sent to the receiver, in octets.
    pub mss: u16,
}

/// Which list a [`Reason`] is numbered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReasonGroup {
    /// What the direction is doing ([`DirectionMode`](localack_core::DirectionMode)).
    Mode,
    /// Why packets pass ([`PassReason`](localack_core::PassReason)).
    Pass,
    /// Why early acknowledgement ended ([`DemoteCause`](localack_core::DemoteCause)).
    Demote,
    /// A list of a later version.
    #[serde(other)]
    Unknown,
}

/// Why something is as it is. Group and number stay the same for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The list.
    pub group: ReasonGroup,
    /// The number in it.
    pub number: u8,
    /// The name that goes with the number.
    pub name: String,
    /// A sentence for people, which may change.
    pub text: String,
}

/// Connections that were left alone, the newest last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedList {
    /// The connections.
    pub refused: Vec<RefusalEntry>,
}

/// A connection that was left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalEntry {
    /// The end behind the inner interface.
    pub inner: SocketAddr,
    /// The end behind the outer interface.
    pub outer: SocketAddr,
    /// The side that the deciding segment came from: `inner` or `outer`.
    pub from: String,
    /// Why.
    pub reason: Reason,
    /// Milliseconds since then.
    pub age_ms: u64,
}

/// The policies at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyList {
    /// In their order; the default is the last.
    pub policies: Vec<PolicyEntry>,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyEntry {
    /// Its name.
    pub name: String,
    /// New connections that it was for.
    pub hits: u64,
    /// What it asks and does, as in a file of settings but without the heading of the table.
    pub toml: String,
}

/// The arrangements that there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrangementList {
    /// In the order of the settings.
    pub arrangements: Vec<ArrangementEntry>,
}

/// An arrangement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrangementEntry {
    /// Its name.
    pub name: String,
    /// The policies that name it, `default` among them.
    pub policies: Vec<String>,
    /// Directions of open flows that have it.
    pub directions: u64,
    /// What it does, as in a file of settings but without the heading of the table.
    pub toml: String,
}

/// What came of other policies or arrangements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedEntry {
    /// Policies at work now, the default not counted.
    pub policies: u32,
    /// Flows under way that are served in another way from now on.
    pub flows_changed: u64,
    /// Flows under way that would have begun in another way, and go on as they began.
    pub flows_partial: u64,
    /// Settings that take effect at the next start only.
    pub ignored: Vec<String>,
}

/// A flow of which another service was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowSet {
    /// Its id.
    pub id: String,
    /// Its ends.
    pub flow: FlowName,
    /// The directions that were meant.
    pub directions: Vec<DirectionChoice>,
    /// The service asked for, if one was. It is reached once nothing hangs on the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceWord>,
    /// The arrangement asked for, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrangement: Option<String>,
}

/// All counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Of all queues together.
    pub counters: Vec<CounterEntry>,
    /// Of each queue.
    pub queues: Vec<QueueEntry>,
}

/// A counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterEntry {
    /// `pass`, `absorb`, `drop`, `transmit`, `engine` or `device`.
    pub group: String,
    /// Its name in the group.
    pub name: String,
    /// The number of the reason in the groups that have numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u8>,
    /// The count since the start.
    pub count: u64,
}

/// The counters of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// The number of the queue.
    pub queue: u16,
    /// How full its pool is.
    pub pool: PoolEntry,
    /// Its counters that are not zero.
    pub counters: Vec<CounterEntry>,
}
