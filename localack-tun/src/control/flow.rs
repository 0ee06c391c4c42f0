//! Flows in the protocol's words.

use core::net::SocketAddr;
use core::time::Duration;

use localack_core::{
    Controller, DemoteCause, Direction, DirectionInfo, DirectionMode, FlowInfo, FlowKey, FlowState,
    Port, Service,
};

use super::backend::Refusal;
use super::protocol::{
    DirectionEntry, FlowCounts, FlowEntry, PoolEntry, RefusalEntry, TotalsEntry,
};
use super::reason;
use super::savings::Standing;
use super::{Occupancy, Seen, Totals};
use crate::policy::Arrangements;

/// The place of a state in [`Totals::states`].
pub(super) const fn state_number(state: FlowState) -> usize {
    match state {
        FlowState::SynSeen => 0,
        FlowState::SynAckSeen => 1,
        FlowState::Open => 2,
        FlowState::Resetting => 3,
        _ => 4,
    }
}

/// The names that go with [`state_number`].
pub(crate) const STATES: [&str; 5] = ["syn-seen", "syn-ack-seen", "open", "resetting", "tombstone"];

/// The place of a mode in [`Totals::modes`], and the number of its reason.
pub(super) const fn mode_number(mode: DirectionMode) -> usize {
    match mode {
        DirectionMode::StoreAndForward => 1,
        DirectionMode::LocalAck => 2,
        DirectionMode::Draining => 3,
        DirectionMode::Snoop => 4,
        _ => 0,
    }
}

/// The names that go with [`mode_number`].
pub(crate) const MODES: [&str; 5] = [
    "bypass",
    "store-and-forward",
    "local-ack",
    "draining",
    "snoop",
];

fn word(words: &[&str], number: usize) -> String {
    words.get(number).copied().unwrap_or_default().to_owned()
}

pub(super) fn side(port: Port) -> String {
    match port {
        Port::Inner => "inner".to_owned(),
        Port::Outer => "outer".to_owned(),
    }
}

fn controller(controller: Controller) -> String {
    let name = match controller {
        Controller::Reno => "reno",
        Controller::Cubic => "cubic",
        Controller::Bbr => "bbr",
        Controller::Provisioned(_) => "provisioned",
        _ => "unknown",
    };
    name.to_owned()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The ends of a connection, inner first.
pub(super) const fn ends(key: &FlowKey) -> [SocketAddr; 2] {
    [
        SocketAddr::new(key.inner(), key.inner_port()),
        SocketAddr::new(key.outer(), key.outer_port()),
    ]
}

/// The id of a flow among all queues.
pub(super) fn id(seen: &Seen) -> String {
    format!("{}:{}", seen.queue, seen.flow.id)
}

impl FlowEntry {
    /// A flow with what is known of it beside the engine's account.
    pub(super) fn new(
        seen: &Seen,
        standings: &[Standing; 2],
        causes: [Option<DemoteCause>; 2],
        arrangements: &Arrangements,
    ) -> Self {
        let name = |direction| {
            let name = arrangements.name(seen.flow.direction(direction).shaping);
            name.map(str::to_owned)
        };
        let flow = &seen.flow;
        let [inner, outer] = ends(&flow.key);
        let [there, back] = standings;
        let [cause_there, cause_back] = causes;
        Self {
            id: id(seen),
            inner,
            outer,
            link: flow.key.link(),
            client: side(flow.client),
            state: word(&STATES, state_number(flow.state)),
            inner_to_outer: DirectionEntry {
                arrangement: name(Direction::InnerToOuter),
                ..direction(flow, Direction::InnerToOuter, there, cause_there)
            },
            outer_to_inner: DirectionEntry {
                arrangement: name(Direction::OuterToInner),
                ..direction(flow, Direction::OuterToInner, back, cause_back)
            },
        }
    }
}

fn direction(
    flow: &FlowInfo,
    direction: Direction,
    standing: &Standing,
    cause: Option<DemoteCause>,
) -> DirectionEntry {
    let info = flow.direction(direction);
    DirectionEntry {
        service: info.service.into(),
        arrangement: None,
        mode: word(&MODES, mode_number(info.mode)),
        reason: reason::of(flow.state, info, cause),
        rate: standing.rate,
        custody: info.custody.into(),
        debt: info.debt.into(),
        acknowledged_early: standing.saving.octets,
        saved_ms: standing.saving.milliseconds(),
        srtt_us: micros(info.srtt),
        min_rtt_us: micros(info.min_rtt),
        controller: controller(info.controller),
        cwnd: info.cwnd.into(),
        in_flight: info.pipe.into(),
        lost: info.lost.into(),
        mss: info.mss,
    }
}

/// Whether the engine carries the data of a direction.
pub(super) fn is_served(info: &DirectionInfo) -> bool {
    info.mode != DirectionMode::Bypass
}

/// Whether a service makes the engine carry data.
pub(super) fn serves(service: Service) -> bool {
    service != Service::Bypass
}

impl TotalsEntry {
    /// What all flows have together, and what those before them had.
    pub(super) fn new(totals: &Totals, [there, back]: &[Standing; 2]) -> Self {
        let mut saving = there.saving;
        saving.add(back.saving);
        let (rate_inner_to_outer, rate_outer_to_inner) = (there.rate, back.rate);
        let [syn, syn_ack, open, resetting, tombstone] = totals.states;
        let [outward, inward] = totals.modes;
        let mode = |number: usize| {
            let one = |modes: [u64; 5]| modes.get(number).copied().unwrap_or_default();
            one(outward).saturating_add(one(inward))
        };
        Self {
            flows: FlowCounts {
                all: totals.flows(),
                opening: syn.saturating_add(syn_ack),
                open,
                reset: resetting.saturating_add(tombstone),
                bypass: mode(0),
                store_and_forward: mode(1),
                local_ack: mode(2),
                draining: mode(3),
                snoop: mode(4),
            },
            custody: totals.custody,
            debt: totals.debt,
            rate_inner_to_outer,
            rate_outer_to_inner,
            acknowledged_early: saving.octets,
            saved_ms: saving.milliseconds(),
        }
    }
}

impl From<Occupancy> for PoolEntry {
    fn from(pool: Occupancy) -> Self {
        Self {
            octets: pool.blocks.saturating_mul(pool.block_size),
            used: pool.used.saturating_mul(pool.block_size),
        }
    }
}

impl From<&Refusal> for RefusalEntry {
    fn from(refusal: &Refusal) -> Self {
        let [inner, outer] = ends(&refusal.key);
        Self {
            inner,
            outer,
            from: side(refusal.from),
            reason: reason::pass(refusal.reason),
            age_ms: millis(refusal.age),
        }
    }
}
