//! Rare, typed news about flows.

use crate::flow::id::FlowId;
use crate::flow::key::FlowKey;
use crate::policy::{Direction, Handshake, Port, Service};
use crate::verdict::PassReason;

/// Something rare that happened to a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event {
    /// A handshake was completed and the flow has a slot.
    Adopted {
        /// The flow.
        flow: FlowId,
        /// Its addresses and ports.
        key: FlowKey,
        /// What its handshake showed.
        handshake: Handshake,
    },
    /// A connection is left alone.
    Refused {
        /// Its addresses and ports.
        key: FlowKey,
        /// The port on which the deciding segment arrived.
        from: Port,
        /// Why.
        reason: PassReason,
    },
    /// Early acknowledgement begins in one direction.
    CustodyBegun {
        /// The flow.
        flow: FlowId,
        /// The direction of the data.
        direction: Direction,
    },
    /// One direction stops acknowledging early and hands its data back to its sender.
    Demoted {
        /// The flow.
        flow: FlowId,
        /// The direction of the data.
        direction: Direction,
        /// Why.
        cause: DemoteCause,
    },
    /// One direction has reached the service that was asked for.
    ServiceChanged {
        /// The flow.
        flow: FlowId,
        /// The direction of the data.
        direction: Direction,
        /// The service now in force.
        service: Service,
        /// Whether the offered window had to shrink at the hand-over (rule H2.11).
        soft: bool,
    },
    /// After a FIN, octets have been in custody for longer than the debt bound (rule H6.3).
    SlowClose {
        /// The flow.
        flow: FlowId,
        /// The direction of the data.
        direction: Direction,
        /// Octets still in custody.
        octets: u32,
    },
    /// An endpoint reset the connection.
    Reset {
        /// The flow.
        flow: FlowId,
        /// The port the reset came from.
        from: Port,
        /// Acknowledged octets that can no longer be delivered because their receiver is gone.
        lost: u32,
    },
    /// A receiver stayed silent too long; both ends are told with a reset (rule H8.7).
    GivenUp {
        /// The flow.
        flow: FlowId,
        /// The direction whose data could not be delivered.
        direction: Direction,
        /// Acknowledged octets that were not delivered.
        lost: u32,
    },
    /// The flow has no state any more.
    Closed {
        /// The flow; its id is not used again.
        flow: FlowId,
        /// Its addresses and ports.
        key: FlowKey,
    },
}

/// Why a direction leaves local acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DemoteCause {
    /// The caller asked for another service.
    Request = 0,
    /// Urgent data (rule H5.8).
    Urgent = 1,
    /// A TCP option the store cannot carry (rule H5.9).
    UnknownOption = 2,
    /// Octets went round the engine (rules H4.6 and H9.2).
    WentRound = 3,
    /// The other direction does not pass here (rule H9.3).
    Asymmetric = 4,
    /// The sender allows fragmentation (rule H10.3).
    DfClear = 5,
    /// The pool is short of blocks (rule H12.4).
    PoolLow = 6,
}
