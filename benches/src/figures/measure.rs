//! Times of several cases, taken in turns.
//!
//! What the machine does besides falls on all cases of a comparison alike: each has its turn of about a
//! millisecond, again and again, and a round is as long as four turns of each. What is told of a round is
//! the ratio of times within it.

use core::time::Duration;
use std::time::Instant;

use crate::load::Case;

/// Measured time of one turn.
const TURN: Duration = Duration::from_millis(1);
/// Turns of each case in a round.
const TURNS: usize = 4;
/// Batches before each turn that are not measured: the case before has used the cache.
const WARM: usize = 3;
/// Most batches of a turn.
const MOST: usize = 512;
/// Of so many batches the slowest is left out, in every case alike: another program had the processor.
const LEFT_OUT: usize = 8;

/// Times of a unit in nanoseconds: for each round, one for each case.
pub(super) type Rounds = Vec<Vec<f64>>;

/// How cases are measured.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    /// Rounds of a comparison.
    pub rounds: usize,
    /// How often memory was allocated so far.
    pub allocations: fn() -> usize,
}

impl Meter {
    /// Compares `cases`, of which the first `ours` are the engine's.
    ///
    /// # Errors
    /// If a case was not what it should have been, or the engine allocated memory.
    pub(super) fn compare(
        &self,
        cases: &mut [&mut dyn Case],
        ours: usize,
    ) -> Result<Rounds, String> {
        let mut turns = Vec::new();
        for case in &mut *cases {
            turns.push(self.batches(&mut **case)?);
        }
        let mut times: Vec<Vec<f64>> = turns
            .iter()
            .map(|batches| Vec::with_capacity(batches * TURNS))
            .collect();
        let mut rounds = Vec::with_capacity(self.rounds);
        for _ in 0..self.rounds {
            times.iter_mut().for_each(Vec::clear);
            for _ in 0..TURNS {
                for (number, case) in cases.iter_mut().enumerate() {
                    for batch in 0..WARM + turns[number] {
                        let time = self.timed(&mut **case, number < ours)?;
                        if batch >= WARM {
                            times[number].push(time.1);
                        }
                    }
                }
            }
            rounds.push(times.iter_mut().map(|times| typical(times)).collect());
        }
        Ok(rounds)
    }

    /// Carries a batch. Answers its time, and that of a unit in nanoseconds.
    fn timed(&self, case: &mut dyn Case, is_ours: bool) -> Result<(Duration, f64), String> {
        case.prepare();
        let before = (self.allocations)();
        let began = now();
        let units = case.run();
        let time = began.elapsed();
        if is_ours && (self.allocations)() != before {
            return Err("the engine has allocated memory".into());
        }
        case.check()?;
        Ok((time, nanoseconds(time) / f64::from(units)))
    }

    /// How many batches make a turn.
    fn batches(&self, case: &mut dyn Case) -> Result<usize, String> {
        let mut shortest = Duration::MAX;
        for _ in 0..WARM + 5 {
            shortest = shortest.min(self.timed(case, false)?.0);
        }
        let batches = TURN.as_nanos() / shortest.as_nanos().max(1);
        Ok(usize::try_from(batches).unwrap_or(MOST).clamp(2, MOST))
    }
}

/// The mean of all but the longest of `times`.
pub(super) fn typical(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    let kept = &times[..times.len() - times.len() / LEFT_OUT];
    kept.iter().sum::<f64>() / kept.len() as f64
}

/// A time in nanoseconds.
#[must_use]
pub(super) fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// The clock on the wall.
#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing(u32);

    impl Case for Nothing {
        fn prepare(&mut self) {}

        fn run(&mut self) -> u32 {
            self.0 += 1;
            core::hint::black_box(vec![self.0]);
            1
        }
    }

    fn none() -> usize {
        0
    }

    /// A counter that moves whenever it is read.
    fn always() -> usize {
        static COUNT: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);
        COUNT.fetch_add(1, core::sync::atomic::Ordering::Relaxed)
    }

    #[test]
    fn every_round_has_a_time_of_every_case() {
        let meter = Meter {
            rounds: 3,
            allocations: none,
        };
        let rounds = meter
            .compare(&mut [&mut Nothing(0), &mut Nothing(0)], 1)
            .unwrap();
        assert_eq!(rounds.len(), 3);
        assert!(rounds.iter().all(|round| round.len() == 2));
        assert!(rounds.iter().flatten().all(|&time| time > 0.0));
    }

    #[test]
    fn memory_that_the_engine_allocates_is_noticed_and_that_of_others_is_not() {
        let meter = Meter {
            rounds: 1,
            allocations: always,
        };
        assert!(meter.compare(&mut [&mut Nothing(0)], 1).is_err());
        assert!(meter.compare(&mut [&mut Nothing(0)], 0).is_ok());
    }

    #[test]
    fn the_slowest_batches_are_left_out() {
        let mut times = [1.0, 3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1000.0];
        assert!((typical(&mut times) - 2.0).abs() < 1e-9);
    }
}
