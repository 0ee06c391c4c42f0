//! What the operator's interfaces ask of a running gateway.

use core::time::Duration;
use std::path::{Path, PathBuf};

use localack_core::{
    Counters, DemoteCause, Direction, FlowId, FlowKey, PassReason, Port, Service, ShapingId,
};

use super::Selection;
use crate::config::Settings;
use crate::gateway::DeviceCounters;
use crate::policy::{Arrangements, Policies, UnknownArrangement};

/// The arrangement that was chosen, with the service that it names, if it names one.
pub type Chosen = Result<(ShapingId, Option<Service>), UnknownArrangement>;

/// A running gateway, as the control socket and the metrics see it.
///
/// It is called from their threads. A call may wait a moment for the gateway's workers, but not for
/// long: [`BackendError::Busy`] is an answer too. It never keeps a worker from its packets.
pub trait Backend: Send + Sync {
    /// What is known without asking a worker.
    fn overview(&self) -> Overview;

    /// What every queue has counted, in the order of their numbers.
    ///
    /// # Errors
    /// [`BackendError::Busy`] and [`BackendError::Gone`].
    fn queues(&self) -> Result<Vec<QueueReport>, BackendError>;

    /// Shows every flow of every queue to the selection or to copies of it that are merged again.
    ///
    /// # Errors
    /// [`BackendError::Busy`] and [`BackendError::Gone`].
    fn collect(&self, selection: Selection) -> Result<Selection, BackendError>;

    /// The policies at work.
    fn policies(&self) -> Policies;

    /// The settings that hold.
    fn settings(&self) -> Settings;

    /// Makes the policies and defaults hold that `edit` makes of the present settings, for flows under
    /// way too. Nothing else changes the settings meanwhile. What only a new start could change is left
    /// as it is, and told.
    ///
    /// # Errors
    /// [`BackendError::Refused`] with what `edit` said, [`BackendError::Busy`] and
    /// [`BackendError::Gone`].
    fn change_policies(
        &self,
        edit: &mut dyn FnMut(&Settings) -> Result<Settings, String>,
    ) -> Result<Applied, BackendError>;

    /// Reads the file of settings again.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if there is none, or something in it is wrong; nothing has changed
    /// then. [`BackendError::Busy`] and [`BackendError::Gone`].
    fn reload(&self) -> Result<Applied, BackendError>;

    /// Asks for another service of one direction of a flow.
    ///
    /// # Errors
    /// [`BackendError::UnknownFlow`], [`BackendError::Busy`] and [`BackendError::Gone`].
    fn set_service(
        &self,
        queue: u16,
        flow: FlowId,
        direction: Direction,
        service: Service,
    ) -> Result<(), BackendError>;

    /// Gives one direction of a flow another arrangement that `choose` finds among those there are, and another
    /// service, which stays as it is without one.
    ///
    /// # Errors
    /// [`BackendError::UnknownArrangement`] if that is what `choose` says, and as of
    /// [`Backend::set_service`].
    fn arrange(
        &self,
        queue: u16,
        flow: FlowId,
        direction: Direction,
        choose: &dyn Fn(&Arrangements) -> Chosen,
    ) -> Result<(), BackendError>;

    /// Begins to hand every flow back to its ends; new ones pass. Does not wait for the end of it.
    ///
    /// # Errors
    /// [`BackendError::Busy`] and [`BackendError::Gone`].
    fn drain(&self) -> Result<(), BackendError>;

    /// Begins to go on as another program, which lays connections out in memory like that. Does not wait for
    /// the end of it.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if connections would be lost by it.
    fn upgrade(&self, program: &Path, layout: u32) -> Result<(), BackendError> {
        let _ = (program, layout);
        Err(BackendError::Refused(
            "this gateway cannot go on as another program".to_owned(),
        ))
    }

    /// The last connections that were left alone, the newest last; none if nobody remembers.
    fn refused(&self) -> Vec<Refusal> {
        Vec::new()
    }

    /// Why early acknowledgement of a flow ended last, inner to outer first; nothing if nobody
    /// remembers, or it began again.
    fn demoted(&self, queue: u16, flow: FlowId) -> [Option<DemoteCause>; 2] {
        let _ = (queue, flow);
        [None; 2]
    }
}

/// What a gateway is doing as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayState {
    /// Nothing is steered to it yet.
    Starting,
    /// It serves connections.
    Running,
    /// It hands connections back and serves no new ones.
    Draining,
    /// Nothing is in custody any more, and all packets pass.
    Drained,
}

/// What is known of a gateway without asking a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// What it is doing.
    pub state: GatewayState,
    /// The time since its start.
    pub uptime: Duration,
    /// The interface on the side of the hosts that wait.
    pub inner: String,
    /// The interface on the side of the long path.
    pub outer: String,
    /// Queues, each with an engine of its own.
    pub queues: u16,
    /// The file that its settings came from.
    pub config: Option<PathBuf>,
}

/// What one queue has counted, and how full its memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueReport {
    /// The engine's counters.
    pub counters: Counters,
    /// What the devices did not take or give.
    pub devices: DeviceCounters,
    /// How full the pool of blocks is.
    pub pool: Occupancy,
    /// Flow slots there are.
    pub flow_slots: u64,
}

/// How full a pool of blocks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Occupancy {
    /// Blocks there are.
    pub blocks: u64,
    /// Blocks that hold octets.
    pub used: u64,
    /// Octets of one block.
    pub block_size: u64,
}

/// What came of other policies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Policies at work now, without the default.
    pub policies: u32,
    /// Flows under way that are served in another way from now on.
    pub flows_changed: u64,
    /// Flows under way that would have begun in another way, and go on as they began.
    pub flows_partial: u64,
    /// Settings that take effect at the next start only.
    pub ignored: Vec<String>,
}

/// A connection that was left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Its addresses and ports.
    pub key: FlowKey,
    /// The side that the deciding segment came from.
    pub from: Port,
    /// Why.
    pub reason: PassReason,
    /// How long ago.
    pub age: Duration,
}

/// Why a gateway does not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// A worker did not answer in time.
    #[error("the gateway is too busy to answer; try again")]
    Busy,
    /// A worker has ended.
    #[error("the gateway is ending")]
    Gone,
    /// There is no such flow, or none any more.
    #[error("there is no such flow")]
    UnknownFlow,
    /// There is no such arrangement.
    #[error(transparent)]
    UnknownArrangement(#[from] UnknownArrangement),
    /// What was asked for cannot be done, for the reason told.
    #[error("{0}")]
    Refused(String),
}
