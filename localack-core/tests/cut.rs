//! An engine is cut between two instructions, and another takes over what is left (rules H8.7, H13.1).
//!
//! A process lives through a short story; this one lets it do one instruction at a time, looks at its memory
//! as it would be if the process was killed there, and lets an engine take a copy of it over: the connection that
//! was written to is as it should be or is reset and what is lost with it is told, and all others go on, octet for
//! octet. A memory that is as after the instruction before is not judged again.
//!
//! By default that begins somewhere in the story, leaves some instructions out, and ends after a while:
//! `LOCALACK_SEED` says where it begins and what it leaves out. All of them are
//!
//! ```sh
//! LOCALACK_CUTS=all cargo test --release -p localack-core --features bytemuck --test cut -- --nocapture
//! ```

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test that goes wrong here should stop"
)]

#[path = "cut/hosts.rs"]
mod hosts;
#[path = "cut/judge.rs"]
mod judge;
#[path = "cut/life.rs"]
mod life;
#[path = "cut/story.rs"]
mod story;
#[path = "cut/tracer.rs"]
mod tracer;

use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::{catch_unwind, resume_unwind};
use std::time::Instant;

use hosts::Truth;
use judge::{Before, Outcome, flows, judge};
use localack_testkit::sim::{Random, seeds};
use story::{Act, story};
use tracer::{Image, Stop, Tracee};

/// Instructions between two cuts, at most, unless all are asked for.
const STRIDE: u32 = if cfg!(debug_assertions) { 400 } else { 40 };
/// How long it is cut, unless everywhere is asked for.
const BUDGET: Duration = Duration::from_secs(10);

/// The process that is cut.
#[test]
#[ignore = "the other test starts it"]
fn the_engine_that_is_cut() {
    life::live(false);
}

/// The same, whose packets leave when a call is over.
#[test]
#[ignore = "the other test starts it"]
fn the_engine_that_is_cut_before_it_speaks() {
    life::live(true);
}

/// Which instructions are done before the next cut.
struct Cuts {
    exhaustive: bool,
    seed: u64,
    random: Random,
    begun: Instant,
}

impl Cuts {
    fn new() -> Self {
        let seed = seeds(1)[0];
        Self {
            exhaustive: std::env::var("LOCALACK_CUTS").is_ok_and(|value| value == "all"),
            seed,
            random: Random::new(seed),
            begun: Instant::now(),
        }
    }

    /// Where in the story, of so many steps, it is cut first.
    fn first(&mut self, steps: usize) -> usize {
        if self.exhaustive {
            0
        } else {
            self.random.below(steps as u32) as usize
        }
    }

    fn gap(&mut self) -> u32 {
        if self.exhaustive {
            1
        } else {
            1 + self.random.below(STRIDE)
        }
    }

    fn is_over(&self) -> bool {
        !self.exhaustive && self.begun.elapsed() > BUDGET
    }
}

/// What all cuts together have led to.
#[derive(Default, Debug)]
struct Tally {
    judged: u32,
    interrupted: u32,
    ruined: u32,
    with_loss: u32,
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        self.judged += 1;
        self.interrupted += u32::from(outcome.interrupted);
        self.ruined += u32::from(outcome.ruined);
        self.with_loss += u32::from(outcome.lost > 0);
    }
}

/// Cuts what happens next, until the process stops itself or time is up.
fn cut(tracee: &Tracee, before: &Before, name: &str, cuts: &mut Cuts, tally: &mut Tally) {
    let (mut image, mut last) = (Image::empty(), Image::empty());
    tracee.look(&mut last);
    let (mut instructions, mut next) = (0, cuts.gap());
    while tracee.step() == Stop::Step {
        instructions += 1;
        if instructions < next {
            continue;
        }
        if cuts.is_over() {
            assert_eq!(tracee.run(), Stop::Itself);
            break;
        }
        next += cuts.gap();
        tracee.look(&mut image);
        if image == last {
            continue;
        }
        last.clone_from(&image);
        let outcome = catch_unwind(AssertUnwindSafe(|| judge(&image, before)));
        tally.add(outcome.unwrap_or_else(|reason| {
            let seed = cuts.seed;
            eprintln!("after {instructions} instructions of \"{name}\"; LOCALACK_SEED={seed}");
            resume_unwind(reason)
        }));
    }
    println!("{name}: {instructions} instructions");
}

/// Cuts an engine, which is the test of that name, in all that happens to it.
fn cut_everywhere(engine: &str) -> (Tally, bool) {
    let mut cuts = Cuts::new();
    let mut tally = Tally::default();
    let story = story();
    let begins = story.iter().filter(|(name, _)| name.is_none()).count();
    let first = begins + cuts.first(story.len() - begins);
    let tracee = Tracee::start(engine);
    let mut truth = Truth::default();
    let mut now = life::BEGINNING;
    for (number, (name, act)) in story.into_iter().enumerate() {
        match &act {
            Act::Segment(say) => truth.hears(say),
            Act::Wait(ms) => now += ms * 1_000,
            Act::Bypass(_) | Act::Drain => {}
        }
        if let Some(name) = name {
            assert_eq!(tracee.run(), Stop::Itself);
            if number < first || cuts.is_over() {
                assert_eq!(tracee.run(), Stop::Itself);
            } else {
                let mut image = Image::empty();
                tracee.look(&mut image);
                let before = Before {
                    flows: flows(&image),
                    truth,
                    about: act.connection(),
                    now,
                };
                cut(&tracee, &before, name, &mut cuts, &mut tally);
            }
        }
        now += 1_000;
    }
    println!("{tally:?}");
    // Cuts that never hurt would prove nothing.
    assert!(tally.interrupted > 0, "{tally:?}");
    (tally, cuts.exhaustive)
}

/// Whatever is left is sound, or is reset and accounted for, alone.
#[test]
fn h13_1_an_engine_that_is_cut_anywhere_loses_nothing_in_silence() {
    let (tally, exhaustive) = cut_everywhere("the_engine_that_is_cut");
    let hurts = tally.interrupted > tally.judged / 4 && tally.with_loss > 0;
    assert!(hurts || !exhaustive, "{tally:?}");
}

/// Where nobody has heard of what was being done, it is put back, and hardly a connection is lost.
#[test]
fn h13_1_an_engine_that_is_cut_before_it_speaks_puts_back_what_it_was_at() {
    let (tally, _) = cut_everywhere("the_engine_that_is_cut_before_it_speaks");
    assert!(tally.ruined < tally.interrupted.div_ceil(4), "{tally:?}");
}
