//! The cases by name, each of a size that an emulator gets through in a second.

use core::hint::black_box;
use core::time::Duration;

use localack_core::{PacketService, Passing, Sink, Step, Storage};
use localack_testkit::memory::Memory;

use super::{
    Crowd, Cycle, Due, End, Half, Lives, Order, Overlaps, Pass, PureAcks, Repairs, Reverse,
    SackAcks, Scattered, Swapped, Whole,
};
use crate::load::{Case, Setting};

/// Octets in flight where much is.
const FLIGHT: u32 = 1 << 20;
/// Four times as many.
const LARGE_FLIGHT: u32 = 4 << 20;
/// Packets of that flight are so far apart.
const TICK: Duration = Duration::from_micros(3);
/// Connections that have something due at the same time.
const CROWD: u32 = 512;

/// What ordinary hosts send.
pub const ORDINARY: &[&str] = &[
    "pass",
    "pure_ack",
    "sack_ack",
    "data_in",
    "ack_in",
    "cycle",
    "super_segment",
    "out_of_order",
    "retransmit",
    "churn",
    "adopt_expire",
];

/// What somebody sends who wants to hurt, with the ordinary case that it is compared with.
pub const HOSTILE: &[(&str, &str)] = &[
    ("sack_scattered", "sack_ack"),
    ("sack_scattered_4m", "sack_scattered"),
    ("overlaps", "data_in"),
    ("reverse_order", "out_of_order"),
    ("all_due", "retransmit"),
];

/// What ordinary hosts send through an engine that another may have to go on with at any moment
/// ([`Config::sink_waits`](localack_core::Config::sink_waits)), with the same case without that.
/// Behind it is how many times as much it may take.
pub const KEPT: &[(&str, &str, f64)] = &[
    ("pure_ack_kept", "pure_ack", 1.03),
    ("data_in_kept", "data_in", 1.03),
    ("ack_in_kept", "ack_in", 1.03),
    ("cycle_kept", "cycle", 1.03),
];

/// What ordinary hosts send through an engine that has a service of its caller's own, which they do not get.
/// What is left of its cost is a look into the flow: so much that it shows where an acknowledgement has nothing
/// to release.
pub const UNUSED: &[(&str, &str, f64)] = &[
    ("pure_ack_unused", "pure_ack", 1.02),
    ("data_in_unused", "data_in", 1.01),
    ("ack_in_unused", "ack_in", 1.01),
    ("cycle_unused", "cycle", 1.01),
];

/// Times of the ordinary case that one which means harm may take.
const HARM: f64 = 4.0;

/// What a case is compared with, and how many times as much it may take.
#[must_use]
pub fn bound(name: &str) -> Option<(&'static str, f64)> {
    compared()
        .find(|(case, ..)| *case == name)
        .map(|(_, ordinary, times)| (ordinary, times))
}

fn compared() -> impl Iterator<Item = (&'static str, &'static str, f64)> {
    let hostile = HOSTILE
        .iter()
        .map(|&(case, ordinary)| (case, ordinary, HARM));
    hostile.chain(KEPT.iter().chain(UNUSED).copied())
}

/// All names.
pub fn every() -> impl Iterator<Item = &'static str> {
    ORDINARY
        .iter()
        .copied()
        .chain(compared().map(|(name, ..)| name))
}

/// Starts the case of that name, and does something with it.
///
/// # Errors
/// If there is no such case, or it cannot be started.
pub fn with<R>(name: &str, act: impl FnOnce(&mut dyn Case) -> R) -> Result<R, String> {
    let mut memory = Memory::new(1024, 8192, 1536);
    let lent = memory.storage();
    if let Some(name) = name.strip_suffix("_unused") {
        return with_unused(name, lent, act);
    }
    let kept = name.strip_suffix("_kept");
    let set = |mut setting: Setting| {
        setting.config.sink_waits = kept.is_some();
        setting
    };
    let cycle = |storage, crowd, half| Cycle::new(storage, set(Setting::large()), crowd, half);
    let flight = Crowd::holding(FLIGHT, TICK);
    let large = Crowd::holding(LARGE_FLIGHT, TICK);
    let crowd = Crowd {
        flows: CROWD,
        held: 1,
        order: Order::Turns,
        ..Crowd::ONE
    };
    Ok(match kept.unwrap_or(name) {
        "pass" => act(&mut Pass::new(lent)),
        "pure_ack" => act(&mut PureAcks::new(lent, set(Setting::new()))),
        "sack_ack" => act(&mut SackAcks::new(lent, flight)?),
        "data_in" => act(&mut cycle(lent, flight, Half::Data)?),
        "ack_in" => act(&mut cycle(lent, flight, Half::Ack)?),
        "cycle" => act(&mut Cycle::new(
            lent,
            set(Setting::new()),
            Crowd::ONE,
            Half::Both,
        )?),
        "super_segment" => act(&mut Whole::new(lent)?),
        "out_of_order" => act(&mut Swapped::new(lent)?),
        "retransmit" => act(&mut Repairs::new(lent, flight)?),
        "churn" => act(&mut Lives::new(lent, End::Closed)),
        "adopt_expire" => act(&mut Lives::new(lent, End::Forgotten)),
        "sack_scattered" => act(&mut Scattered::new(lent, flight)?),
        "sack_scattered_4m" => act(&mut Scattered::new(lent, large)?),
        "overlaps" => act(&mut Overlaps::new(lent)?),
        "reverse_order" => act(&mut Reverse::new(lent)?),
        "all_due" => act(&mut Due::new(lent, crowd)?),
        _ => return Err(format!("no case {name}")),
    })
}

/// A service of the caller's own.
#[derive(Debug)]
struct Seen(u64);

impl PacketService for Seen {
    fn on_segment<S: Sink + ?Sized>(&mut self, passing: &mut Passing<'_, S>) -> Step {
        self.0 += black_box(passing.segment()).payload_len as u64;
        Step::On
    }
}

/// The same for an engine with a service that no flow names.
fn with_unused<R>(
    name: &str,
    lent: Storage<'_>,
    act: impl FnOnce(&mut dyn Case) -> R,
) -> Result<R, String> {
    let (unused, flight) = ((Seen(0),), Crowd::holding(FLIGHT, TICK));
    let (setting, crowd, half) = match name {
        "pure_ack" => {
            return Ok(act(&mut PureAcks::with_services(
                lent,
                Setting::new(),
                unused,
            )));
        }
        "data_in" => (Setting::large(), flight, Half::Data),
        "ack_in" => (Setting::large(), flight, Half::Ack),
        "cycle" => (Setting::new(), Crowd::ONE, Half::Both),
        _ => return Err(format!("no case {name}_unused")),
    };
    let mut cycle = Cycle::with_services(lent, setting, crowd, half, unused)?;
    Ok(act(&mut cycle))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each does what it says for more than a few batches; the counts of all others are in `check`.
    #[test]
    fn every_case_is_what_it_is_called() {
        for name in every() {
            let done = with(name, |case| {
                (0..4).try_for_each(|_| {
                    case.prepare();
                    let _ = case.run();
                    case.check()
                })
            });
            assert_eq!(done, Ok(Ok(())), "{name}");
        }
    }

    #[test]
    fn whatever_hurts_is_compared_with_what_there_is() {
        for (case, ordinary, _) in compared() {
            assert!(
                ORDINARY.contains(&ordinary) || bound(ordinary).is_some(),
                "{ordinary}"
            );
            assert!(!ORDINARY.contains(&case), "{case}");
        }
    }
}
