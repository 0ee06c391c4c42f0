//! The words that are exchanged over the control socket.
//!
//! One JSON object on a line of its own asks, one answers. The documentation for those who write a
//! client in another language is `docs/control.md`; a test holds it to these types.

mod answer;
mod request;

use serde::{Deserialize, Serialize};

pub use answer::{
    Answer, AppliedEntry, ArrangementEntry, ArrangementList, CounterEntry, DirectionEntry,
    FlowCounts, FlowEntry, FlowList, FlowSet, PolicyEntry, PolicyList, PoolEntry, QueueEntry,
    Reason, ReasonGroup, RefusalEntry, RefusedList, Stats, Status, TotalsEntry,
};
pub use request::{
    ArrangementRemove, ArrangementSet, DirectionChoice, FlowName, Flows, PolicyRemove, PolicySet,
    Request, ServiceWord, SetService, Sort, Upgrade,
};

/// The version of the protocol. It changes when an old client would misunderstand an answer; fields and
/// requests may be added without that.
pub const VERSION: u32 = 1;

/// Octets of a request at most, with the end of its line.
pub const LONGEST_REQUEST: usize = 1 << 18;
/// Octets of an answer at most, with the end of its line.
pub const LONGEST_ANSWER: usize = 1 << 25;
/// Flows in an answer at most.
pub const MOST_FLOWS: usize = 10_000;

/// A request as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question<R = Request> {
    /// See [`VERSION`].
    pub v: u32,
    /// Comes back with the answer, so that a client can tell answers apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What is wanted.
    pub request: R,
}

/// What every version of a request has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub(super) struct QuestionHead {
    pub(super) v: Option<u32>,
    #[serde(default)]
    pub(super) id: Option<u64>,
}

/// An answer as it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply<A = Answer> {
    /// See [`VERSION`].
    pub v: u32,
    /// The number of the question, if it had one and could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The answer itself, or why there is none.
    #[serde(flatten)]
    pub outcome: Outcome<A>,
}

/// An answer, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome<A = Answer> {
    /// What was asked for.
    Answer(Box<A>),
    /// Why it cannot be had.
    Error(ErrorEntry),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ErrorEntry {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

impl ErrorEntry {
    /// An error with a message.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The line is no request.
    BadRequest,
    /// The line is longer than [`LONGEST_REQUEST`]; the connection is closed after this.
    TooLong,
    /// The version is another one than [`VERSION`].
    Version,
    /// As many clients as there may be are there; the connection is closed after this.
    TooManyClients,
    /// The flow does not exist, or has ended.
    UnknownFlow,
    /// Several flows have this name; their ids are told.
    AmbiguousFlow,
    /// There is no policy of this name.
    UnknownPolicy,
    /// There is no arrangement of this name.
    UnknownArrangement,
    /// The text of a policy or an arrangement, or what it leads to, is wrong.
    BadPolicy,
    /// The gateway refuses, for a reason that is told.
    Refused,
    /// The gateway did not answer in time.
    Busy,
    /// The gateway is ending.
    Ending,
    /// A code of a later version.
    #[serde(other)]
    Unknown,
}
