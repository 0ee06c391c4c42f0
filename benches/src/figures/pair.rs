//! Two engines on two cores: they share nothing but what the machine shares.

use std::sync::Barrier;
use std::thread;

use core::time::Duration;

use localack_testkit::memory::Memory;

use super::measure::{nanoseconds, now, typical};
use crate::load::cases::{Crowd, Cycle, Half};
use crate::load::{Case, Setting};

/// How long each works in a part of a round.
const PART: Duration = Duration::from_millis(10);

/// For each round the time of a cycle with another engine at work, and without; in nanoseconds.
///
/// # Errors
/// If a cycle was not what it should have been.
pub(super) fn together_and_alone(rounds: usize) -> Result<Vec<[f64; 2]>, String> {
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        let other = scope.spawn(|| work(&barrier, rounds, false));
        let ours = work(&barrier, rounds, true);
        let theirs = other.join().map_err(|_| "a thread has panicked")?;
        let (ours, theirs) = (ours?, theirs?);
        let both = ours.iter().zip(&theirs);
        Ok(both
            .map(|([with, without], [other, _])| [f64::midpoint(*with, *other), *without])
            .collect())
    })
}

/// The times of one engine; `leads` works alone too.
fn work(barrier: &Barrier, rounds: usize, leads: bool) -> Result<Vec<[f64; 2]>, String> {
    let mut memory = Memory::new(16, 4096, 1536);
    let mut cycle = Cycle::new(memory.storage(), Setting::new(), Crowd::ONE, Half::Both)?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        barrier.wait();
        let alone = if leads { part(&mut cycle)? } else { 0.0 };
        barrier.wait();
        times.push([part(&mut cycle)?, alone]);
    }
    Ok(times)
}

fn part(cycle: &mut Cycle<'_>) -> Result<f64, String> {
    let mut times = Vec::new();
    let mut spent = Duration::ZERO;
    while spent < PART {
        cycle.prepare();
        let began = now();
        let units = cycle.run();
        let time = began.elapsed();
        cycle.check()?;
        spent += time;
        times.push(nanoseconds(time) / f64::from(units));
    }
    Ok(typical(&mut times))
}
