//! How a gateway ends: connections are handed back, what is left is given up, and everything is undone.

use core::time::Duration;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;

use localack_core::TransmitKind;
use localack_tun::clock::Clock;
use localack_tun::gateway::{Counts, Gateway, Handle, Remaining};
use signal_hook::consts::SIGHUP;
use tracing::{error, info, warn};

use super::place::{Place, Taken};
use super::{LAST_PACKETS, Notice};
use crate::cli::Failure;

/// How often a draining gateway is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Hands all connections back.
pub(super) fn drain(handle: &Handle, notices: &Receiver<Notice>) -> Result<(), Failure> {
    let patience = handle.settings().engine.drain_deadline;
    let clock = Clock::start();
    handle.drain().map_err(Failure::runtime)?;
    info!(
        deadline_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX),
        "stopping: connections are handed back to their ends"
    );
    loop {
        if let Some(Remaining { flows: 0, .. }) = handle.remaining() {
            info!("every connection is handed back");
            return Ok(());
        }
        let left = patience.saturating_sub(clock.now());
        if left.is_zero() {
            return give_up(handle);
        }
        match notices.recv_timeout(left.min(LOOK)) {
            Ok(Notice::Signal(SIGHUP) | Notice::HandOver(_)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Notice::Signal(_)) => {
                warn!("told to stop once more: not waiting any longer");
                return give_up(handle);
            }
            Ok(Notice::WorkerEnded) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Gives up what could not be delivered in time.
pub(super) fn give_up(handle: &Handle) -> Result<(), Failure> {
    let lost = handle.abandon().map_err(Failure::runtime)?;
    if lost.octets == 0 {
        return Ok(());
    }
    let told = format!(
        "{} octets of {} connections were acknowledged and could not be delivered in time: they are lost, and these connections reset",
        lost.octets, lost.flows
    );
    error!(
        octets_lost = lost.octets,
        connections = lost.flows,
        "{told}"
    );
    Err(Failure::runtime(told))
}

/// Undoes everything.
pub(super) fn finish(
    place: &Place,
    gateway: Gateway,
    taken: Taken,
    outcome: Result<(), Failure>,
) -> Result<(), Failure> {
    let without = taken.without();
    let (undone, rest) = match taken.remove() {
        Ok(rest) => (Ok(()), Some(rest)),
        Err(failure) => (Err(failure), None),
    };
    thread::sleep(LAST_PACKETS);
    let counted = gateway.stop().map_err(Failure::runtime);
    drop(rest);
    let undone = undone.and(place.remove_devices());
    match &undone {
        Ok(()) => info!("steering is undone: connections go on {without}"),
        Err(failure) => error!("steering is not undone: {}", failure.message),
    }
    let counted = counted?;
    say_counts(&counted);
    outcome.and(undone)
}

fn say_counts(counted: &[Counts]) {
    let sum = |count: fn(&Counts) -> u64| counted.iter().map(count).sum::<u64>();
    info!(
        connections = sum(|c| c.engine.flows_adopted),
        left_alone = sum(|c| c.engine.flows_refused),
        local_acks = sum(|c| c.engine.transmitted(TransmitKind::LocalAck)),
        data_packets = sum(|c| c.engine.transmitted(TransmitKind::Data)),
        retransmissions = sum(|c| c.engine.transmitted(TransmitKind::Retransmission)),
        octets_lost = sum(|c| c.engine.octets_lost),
        device_full = sum(|c| c.devices.full),
        device_refused = sum(|c| c.devices.refused),
        handed_over = sum(|c| c.devices.handed_over),
        "stopped"
    );
}
