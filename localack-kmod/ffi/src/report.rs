//! Looks at flows and at what all of them have.
#![forbid(unsafe_code)]

use core::time::Duration;

use localack_core::{Direction, DirectionInfo, DirectionMode, FlowInfo, FlowState, Service};

use crate::abi::{Custody, DirectionState, FlowView};
use crate::convert::{address, controller_number, service_number, side};

/// A flow in C's words.
pub(crate) fn view(flow: &FlowInfo) -> FlowView {
    let key = &flow.key;
    let ((inner, version), (outer, _)) = (address(key.inner()), address(key.outer()));
    FlowView {
        id: flow.id.to_bits(),
        state: state(flow.state),
        client: side(flow.client),
        version,
        reserved: 0,
        link: key.link(),
        addresses: [inner, outer],
        ports: [key.inner_port(), key.outer_port()],
        reserved2: 0,
        directions: Direction::BOTH.map(|d| direction(flow.direction(d))),
    }
}

const fn state(state: FlowState) -> u8 {
    match state {
        FlowState::SynSeen => 0,
        FlowState::SynAckSeen => 1,
        FlowState::Resetting => 3,
        FlowState::Tombstone => 4,
        _ => 2,
    }
}

pub(crate) const fn mode(mode: DirectionMode) -> u8 {
    match mode {
        DirectionMode::StoreAndForward => 1,
        DirectionMode::LocalAck => 2,
        DirectionMode::Draining => 3,
        DirectionMode::Snoop => 4,
        _ => 0,
    }
}

fn direction(info: &DirectionInfo) -> DirectionState {
    DirectionState {
        service: service_number(info.service),
        mode: mode(info.mode),
        controller: controller_number(info.controller),
        reserved: 0,
        debt: info.debt,
        custody: info.custody,
        rate: info.rate,
        srtt_us: micros(info.srtt),
        min_rtt_us: micros(info.min_rtt),
        cwnd: info.cwnd,
        in_flight: info.pipe,
        lost: info.lost,
        mss: info.mss,
        reserved2: 0,
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// What a flow owes, in octets.
pub(crate) fn debt(flow: &FlowInfo) -> u64 {
    let debts = Direction::BOTH.map(|d| u64::from(flow.direction(d).debt));
    debts.into_iter().fold(0, u64::saturating_add)
}

/// Whether something hangs on a flow that would be lost with the engine.
pub(crate) fn owes(flow: &FlowInfo) -> bool {
    debt(flow) > 0 || flow.state == FlowState::Resetting
}

/// Whether a direction could not be left to itself at this moment without its ends noticing.
pub(crate) fn is_served(flow: &FlowInfo) -> bool {
    let open = flow.state == FlowState::Open || flow.state == FlowState::Resetting;
    let busy = |info: &DirectionInfo| {
        info.mode != DirectionMode::Bypass || info.service != Service::Bypass
    };
    open && Direction::BOTH.into_iter().any(|d| busy(flow.direction(d)))
}

/// Adds a flow to what all have together.
pub(crate) fn add(custody: &mut Custody, flow: &FlowInfo) {
    custody.flows = custody.flows.saturating_add(1);
    custody.owing = custody.owing.saturating_add(u32::from(owes(flow)));
    custody.served = custody.served.saturating_add(u32::from(is_served(flow)));
    custody.debt = custody.debt.saturating_add(debt(flow));
}
