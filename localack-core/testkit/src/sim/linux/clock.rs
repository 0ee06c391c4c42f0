//! Times in microseconds.

use core::time::Duration;

use localack_core::Instant;

/// Microseconds from `earlier` to `now`; zero if that is not the order.
pub(super) const fn since(now: Instant, earlier: Instant) -> u64 {
    now.as_micros().saturating_sub(earlier.as_micros())
}

/// The point `micros` microseconds after `now`.
pub(super) const fn after(now: Instant, micros: u64) -> Instant {
    now.after(Duration::from_micros(micros))
}

pub(super) const MILLISECOND: u64 = 1000;
pub(super) const SECOND: u64 = 1_000_000;
