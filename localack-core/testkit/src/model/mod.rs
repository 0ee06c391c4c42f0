//! The reference model: two byte streams, the two hosts' views of them, a network that does what it is
//! told, and every invariant of the protocol that can be seen from outside, checked after each step.
//!
//! A [`Setup`] says what the connection is like, a list of [`Operation`]s what happens. [`run`] lives
//! through them, then lets the network be fair and time pass, until everything has been delivered or
//! both hosts know that it was not. It is driven by proptest (`localack-core/tests/model.rs`) and by
//! libFuzzer. [`minimise`] finds a shorter way to the same fault and prints it as a packet script
//! ([`crate::script`]), as far as a script can say it.
//!
//! The hosts have no timers and no congestion control: operations decide what they send. With what they get
//! they are as strict as any TCP. A segment that a host refuses is a fault of the engine unless the network
//! has changed the order of packets, or a soft hand-over has taken a window back: see `judge_refusal`.
//!
//! | invariant | observed by |
//! |---|---|
//! | 1 custody | `check_departure` (no ACK of what has not arrived), `check_custody` (what the receiver really lacks is held), `calm` (and delivered as it was sent), `declared` (or counted to the octet) |
//! | 2 A <= N <= M, We | `check_numbers`; edges by `laws` |
//! | 3 ACK, 4 right edge | `laws`; against the hosts' truth `check_departure` |
//! | 5 SEQ to S, 6 SEQ to R | `laws`; `judge_refusal` |
//! | 7 TSval, 8 TSecr | `laws`; PAWS of the hosts by `judge_refusal` |
//! | 9 SACK | `laws`, `check_blocks`, `check_custody`, `check_hand_over` |
//! | 10 the receiver's SACK | `check_blocks` |
//! | 11 release | `check_custody` (the store begins no later than what the receiver has) |
//! | 12 the stream | `laws`; each octet by the hosts (`Refusal::WrongOctet`), also where [`Operation::Conflict`] repeats others |
//! | 13 checksums | `goes_on`, and `laws` for packets made |
//! | 14 inert segments | `must_be_the_same`, for spoilt packets and strangers' guesses |
//! | 15 news at once | `check_relay` (ACK numbers) |
//! | 16 answers | `check_answers`; `rest` and `settle` (packets end) |
//! | 17 FIN | `laws`; against the truth `check_departure` |
//! | 19 forgetting | [`Operation::Forget`]: the rest of the run goes as if nothing had happened |
//! | 20 proof | `check_departure` |
//! | 21 RST | `declared`, `judge_end` (the other host hears of it) |
//! | 22 blind segments | `must_be_the_same`, `judge_end` (nobody is reset without a reason) |
//! | 23 pool | `check_pool` |
//! | 24 pass | `goes_on` |
//! | 25 draining | `check_hand_over`, `calm` (it ends) |
//! | 27 the edge | `check_numbers` (the flow's limit only) |
//! | 28 offsets | `Setup::isns`: half of them wrap; and [`Summary::digest`] does not depend on them |
//! | 30 services off | `goes_on`, `leaves_made` |
//!
//! Rules of their own: H7.1 and H7.3 ([`Setup::third_lost`]), H7.6 ([`Operation::Reboot`] and [`Setup::again`]: `judge_end`,
//! and that the next connection lives), H13.1 ([`Operation::Succeed`]: nothing is told from an
//! engine that goes on), H11.3 ([`Operation::Mark`]: `check_echo`, `laws`), H5.8 ([`Operation::Urgent`]:
//! `judge_end`).
//!
//! Not here: 18 (keepalives: whether an answer was owed is not visible; scripts `t21`, `regress_ages_keepalive`,
//! `regress_keepalives_*`), 26 (congestion: its own unit tests, `tests/recovery.rs` and the worlds), the rate bound of 27
//! (`tests/fairness.rs`, `half/window.rs`), 29 (both directions against two runs of one: the laws are judged by direction,
//! and `tests/smoltcp.rs` runs both).

mod account;
mod check;
mod crowd;
mod host;
mod minimise;
mod operation;
mod print;
mod ranges;
mod summary;
mod world;

use core::fmt;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use crate::memory::Memory;
use print::Script;
use world::{BLOCK_SIZE, World};

pub use minimise::minimise;
pub use operation::{Aim, Forgery, Hop, Operation, Setup, controller};
pub use summary::Summary;

/// What was wrong, and how it came to it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was wrong.
    pub fault: String,
    /// What the connection was like.
    pub setup: Setup,
    /// What happened; the last one showed it, unless the calm after it did.
    pub operations: Vec<Operation>,
    /// The same as a packet script.
    pub script: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.fault)?;
        writeln!(f, "--- {:?}", self.setup)?;
        for operation in &self.operations {
            writeln!(f, "    {operation:?}")?;
        }
        writeln!(f, "--- as a packet script:\n{}", self.script)?;
        writeln!(f, "# {}", self.fault.lines().next().unwrap_or(""))
    }
}

impl core::error::Error for Failure {}

/// Lives through operations, and through the calm after them.
///
/// # Errors
/// The first thing that was not as the protocol's rules say.
pub fn run(setup: &Setup, operations: &[Operation]) -> Result<Summary, Box<Failure>> {
    live(setup, operations, Script::new(setup, true)).map_err(|(fault, script)| {
        Box::new(Failure {
            fault,
            setup: *setup,
            operations: operations.to_vec(),
            script,
        })
    })
}

/// The same, with what was wrong, if anything, and a packet script of what happened in any case.
#[must_use]
pub fn transcribe(setup: &Setup, operations: &[Operation]) -> (Option<String>, String) {
    let mut told = String::new();
    let script = Script::new(setup, false);
    match live_telling(setup, operations, script, &mut told) {
        Ok(_) => (None, told),
        Err((fault, script)) => (Some(fault), script),
    }
}

/// Lives through operations, and through the calm after them.
///
/// # Panics
/// With the shortest way to it that was found, as operations and as a packet script, if anything is
/// not as the protocol's rules say.
pub fn check(setup: &Setup, operations: &[Operation]) -> Summary {
    match run(setup, operations) {
        Ok(summary) => summary,
        Err(failure) => panic!("{}", minimise(&failure)),
    }
}

type Ending = Result<Summary, (String, String)>;

fn live(setup: &Setup, operations: &[Operation], script: Script) -> Ending {
    live_telling(setup, operations, script, &mut String::new())
}

fn live_telling(
    setup: &Setup,
    operations: &[Operation],
    script: Script,
    told: &mut String,
) -> Ending {
    let mut memories = [(); 3].map(|()| Memory::new(8, setup.blocks.into(), BLOCK_SIZE));
    let storages = memories.iter_mut().map(Memory::storage).collect();
    let mut world = World::new(setup, storages, script);
    let lived = catch_unwind(AssertUnwindSafe(|| {
        world.handshake()?;
        for operation in operations {
            world.apply(operation)?;
        }
        world.calm()
    }));
    let script = world.script.text().to_owned();
    let fault = match lived {
        Ok(Ok(())) => {
            *told = script;
            world.summary.digest = world.script.digest;
            return Ok(world.summary);
        }
        Ok(Err(fault)) => fault,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
            format!("a panic: {}", text.unwrap_or_default())
        }
    };
    Err((fault, script))
}
