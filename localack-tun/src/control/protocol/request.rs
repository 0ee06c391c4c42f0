//! What can be asked for.

use core::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;
use localack_core::{Direction, Service};
use serde::{Deserialize, Serialize};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Request {
    /// What the gateway is doing as a whole.
    Status,
    /// The flows that are greatest by some measure.
    Flows(Flows),
    /// The last connections that were left alone, and why.
    Refused,
    /// The policies at work, in their order, the default last.
    PolicyList,
    /// Adds policies or replaces those of the same names.
    PolicySet(PolicySet),
    /// Takes a policy away.
    PolicyRemove(PolicyRemove),
    /// Reads the file of settings again.
    PolicyReload,
    /// The arrangements that policies can name.
    ArrangementList,
    /// Adds arrangements or replaces those of the same names.
    ArrangementSet(ArrangementSet),
    /// Takes an arrangement away.
    ArrangementRemove(ArrangementRemove),
    /// Asks for another service or arrangement of one flow.
    Flow(SetService),
    /// Begins to hand every flow back to its ends.
    Drain,
    /// Goes on as another program, with all connections.
    Upgrade(Upgrade),
    /// All counters.
    Stats,
}

/// The program to go on as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// Its file, an absolute path.
    pub program: PathBuf,
    /// How connections are laid out in its memory ([`localack_core::LAYOUT`]).
    pub layout: u32,
}

/// By which measure flows are chosen and ordered, both directions together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// Octets held.
    #[default]
    Custody,
    /// Octets per second that receivers acknowledge.
    Rate,
    /// Waiting that senders were spared.
    Saved,
}

/// Which flows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flows {
    /// The measure.
    #[serde(default)]
    pub sort: Sort,
    /// How many, at most [`MOST_FLOWS`](super::MOST_FLOWS); more counts as that.
    #[serde(default = "Flows::usual_limit")]
    pub limit: usize,
}

impl Flows {
    const fn usual_limit() -> usize {
        100
    }
}

impl Default for Flows {
    fn default() -> Self {
        Self {
            sort: Sort::default(),
            limit: Self::usual_limit(),
        }
    }
}

/// Policies to add or replace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySet {
    /// Tables `[[policy]]` and `[default]` as in a file of settings, and nothing else.
    pub toml: String,
    /// The name of the policy before which new ones go; they go to the end without it. Policies that
    /// are replaced keep their place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

/// A policy to take away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRemove {
    /// Its name.
    pub name: String,
}

/// Arrangements to add or replace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrangementSet {
    /// Tables `[[arrangement]]` as in a file of settings, and nothing else.
    pub toml: String,
}

/// An arrangement to take away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrangementRemove {
    /// Its name.
    pub name: String,
}

/// How a flow is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowName {
    /// By its id as other answers have it: the queue, a colon, the flow's own id.
    Id(String),
    /// By the addresses and ports of its ends, in either order.
    Ends([SocketAddr; 2]),
}

/// Another service or arrangement for a flow; one of them at least.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetService {
    /// Which flow.
    pub flow: FlowName,
    /// Which of its directions; both without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<DirectionChoice>,
    /// The service; without it that of the arrangement, and if that names none, the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceWord>,
    /// The name of an arrangement, or [`NO_ARRANGEMENT`](crate::config::NO_ARRANGEMENT); without it the present
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrangement: Option<String>,
}

/// A direction of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DirectionChoice {
    /// From the inner side.
    InnerToOuter,
    /// From the outer side.
    OuterToInner,
}

impl From<DirectionChoice> for Direction {
    fn from(choice: DirectionChoice) -> Self {
        match choice {
            DirectionChoice::InnerToOuter => Self::InnerToOuter,
            DirectionChoice::OuterToInner => Self::OuterToInner,
        }
    }
}

/// A service, by its name in policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceWord {
    /// Data passes as it is.
    Bypass,
    /// Copies of data answer losses on the receiver's side.
    Snoop,
    /// Data is acknowledged at once, kept, and delivered.
    LocalAck,
}

impl From<ServiceWord> for Service {
    fn from(word: ServiceWord) -> Self {
        match word {
            ServiceWord::Bypass => Self::Bypass,
            ServiceWord::Snoop => Self::Snoop,
            ServiceWord::LocalAck => Self::LocalAck,
        }
    }
}

impl From<Service> for ServiceWord {
    fn from(service: Service) -> Self {
        match service {
            Service::LocalAck => Self::LocalAck,
            Service::Snoop => Self::Snoop,
            // What has no name here acknowledges nothing early.
            _ => Self::Bypass,
        }
    }
}
