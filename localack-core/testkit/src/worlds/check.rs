//! What must hold in every state, beyond the laws of what leaves the engine.

use localack_core::{DirectionMode, Port};

use super::endpoint::Life;
use super::machine::State;
use super::scope::{Scope, index};
use super::world::{Context, World, name};

/// What is wrong with a state.
pub(super) fn faults(world: &World, context: &Context) -> Vec<String> {
    let state = context.machine.state(world.engine);
    let mut faults = Vec::new();
    for source in Port::BOTH {
        custody(world, state, &context.scope, source, &mut faults);
        resets(world, state, source, &mut faults);
    }
    faults
}

/// What the sender was told has arrived has arrived, is held, or was reported lost (invariant 1).
fn custody(world: &World, state: &State, scope: &Scope, source: Port, faults: &mut Vec<String>) {
    let (end, peer) = (world.end(source), world.end(source.other()));
    let name = name(source);
    let data_end = 1 + scope.app(source).octets();
    let told = state.told(source).min(data_end);
    let delivered = 1 + peer.delivered();
    let lost = state.lost[index(source)];
    if state.told(source) > data_end && peer.rcv_nxt <= data_end {
        faults.push(format!(
            "{name}: its FIN is acknowledged, and has not arrived (H6.1)"
        ));
    }
    if end.snd_una > state.told(source).max(1) {
        faults.push(format!(
            "{name}: it knows of an acknowledgement that was never sent"
        ));
    }
    if told <= delivered || lost >= told - delivered {
        return;
    }
    let held = state.streams.filter(|streams| {
        let stream = streams[index(source)];
        matches!(
            stream.mode,
            DirectionMode::LocalAck | DirectionMode::Draining
        ) && stream.snd_una <= delivered
            && stream.rcv_nxt.min(data_end) >= told
            && stream.custody >= told - stream.snd_una
            && stream.debt >= told - delivered
    });
    if held.is_none() {
        faults.push(format!(
            "{name}: {told} was acknowledged, {delivered} is what arrived, {lost} octets were \
             reported lost, and the engine holds {:?} (invariant 1)",
            state.streams.map(|streams| streams[index(source)])
        ));
    }
}

/// An end is reset only if its peer has reset the connection, or is gone, or the engine gave up.
fn resets(world: &World, state: &State, port: Port, faults: &mut Vec<String>) {
    let (end, peer) = (world.end(port), world.end(port.other()));
    let cause = matches!(peer.life, Life::Aborted | Life::Closed) || state.gave_up;
    if end.life == Life::Reset && !cause {
        faults.push(format!("{}: it was reset out of nothing", name(port)));
    }
}
