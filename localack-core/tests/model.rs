//! The reference model, driven at random: see `localack_testkit::model`.
//!
//! `LOCALACK_SEED` chooses what happens, `LOCALACK_CASES` how many connections each test lives
//! through.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that goes wrong here should stop"
)]

#[path = "model/strategies.rs"]
mod strategies;

use localack_core::{AbsorbReason, DropReason, PassReason, Port, TransmitKind};
use localack_testkit::model::{Operation, Setup, Summary, minimise, run, transcribe};
use localack_testkit::script::Script;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use strategies::{operations, setup};

/// Operations of a connection: while it lives, and when it may end.
const EARLY: usize = 120;
const LATE: usize = 80;
/// Connections of each of the four tests.
const CASES: u32 = 500;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

fn runner(seed: u64, cases: u32) -> TestRunner {
    let mut octets = [0; 32];
    octets[..8].copy_from_slice(&seed.to_be_bytes());
    let config = Config {
        cases,
        // The model looks for shorter ways itself.
        max_shrink_iters: 0,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &octets))
}

/// Lives through connections with these services; answers what happened in all of them.
fn live(number: u64, served: [bool; 2]) -> Summary {
    let seed = variable("LOCALACK_SEED").unwrap_or(1);
    let cases = variable("LOCALACK_CASES").map_or(CASES, |cases| {
        u32::try_from(cases).expect("fewer than 2^32 cases")
    });
    let strategy = (setup(served), operations(EARLY, LATE));
    let total = core::cell::RefCell::new(Summary::default());
    let lived = runner(seed ^ number << 32, cases).run(&strategy, |(setup, operations)| {
        match run(&setup, &operations) {
            Ok(summary) => total.borrow_mut().add(&summary),
            Err(failure) => return Err(TestCaseError::fail(minimise(&failure).to_string())),
        }
        Ok(())
    });
    match lived {
        Ok(()) => total.into_inner(),
        Err(TestError::Fail(failure, _)) => {
            panic!("LOCALACK_SEED={seed} replays it: {failure}")
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

/// Rule H2.6: chance shuts the engine's own window too rarely to count on it.
#[test]
fn h2_6_a_probe_of_the_engines_own_window_is_answered_here() {
    let mut operations = vec![Operation::Exchange(3), Operation::Stall(Port::Outer, true)];
    for _ in 0..40 {
        let from = Port::Inner;
        operations.push(Operation::Write { from, octets: 4000 });
        operations.push(Operation::Exchange(2));
    }
    operations.push(Operation::Keepalive(Port::Inner));
    operations.push(Operation::Exchange(1));
    operations.push(Operation::Stall(Port::Outer, false));
    let setup = Setup {
        served: [true, false],
        room: [20_000, 600],
        mss: 200,
        blocks: 24,
        v6: false,
        timestamps: true,
        sack: true,
        shift: Some(0),
        outer_opens: false,
        early: true,
        isns: [1000, 70_000],
        lazy: false,
        controller: 0,
        paced: false,
        ecn: false,
        third_lost: false,
        again: false,
        orderly: true,
    };
    let summary = run(&setup, &operations).expect("nothing is broken");
    assert!(summary.absorbed(AbsorbReason::WindowProbe) > 0);
}

/// Invariants 1 to 27 as the model's table says, with data from the inner side in custody.
#[test]
fn whatever_happens_nothing_is_lost_in_silence() {
    let total = live(1, [true, false]);
    // A model that never gets far proves nothing.
    for &kind in TransmitKind::ALL {
        if kind == TransmitKind::Own {
            // There are no services of the caller's own here.
            continue;
        }
        assert!(total.transmitted(kind) > 0, "no {}", kind.slug());
    }
    for reason in [
        AbsorbReason::Stored,
        AbsorbReason::Duplicate,
        AbsorbReason::Acknowledgement,
        AbsorbReason::Keepalive,
        AbsorbReason::ResetHeld,
        AbsorbReason::Tombstone,
        AbsorbReason::Challenged,
        AbsorbReason::NoMemory,
        AbsorbReason::Spared,
        AbsorbReason::Thinned,
    ] {
        assert!(total.absorbed(reason) > 0, "no {}", reason.slug());
    }
    for reason in [
        DropReason::OldTimestamp,
        DropReason::InvalidAck,
        DropReason::BlindReset,
        DropReason::AckBeyondEdge,
    ] {
        assert!(total.dropped(reason) > 0, "no {}", reason.slug());
    }
    for reason in [
        PassReason::BadChecksum,
        PassReason::MidStream,
        PassReason::Reset,
    ] {
        assert!(total.passed(reason) > 0, "no {}", reason.slug());
    }
    assert!(total.edited() > 0 && total.octets_lost > 0 && total.hand_overs > 0);
}

/// The same with data of both sides in custody.
#[test]
fn nor_with_custody_of_both_directions() {
    live(2, [true, true]);
}

/// The same with data from the outer side in custody.
#[test]
fn nor_with_custody_of_data_from_the_outer_side() {
    live(3, [false, true]);
}

/// Invariant 30: with services off the engine is a wire, until one is asked for.
#[test]
fn invariant_30_and_without_custody_all_passes_as_it_is() {
    let total = live(4, [false, false]);
    assert!(total.passed(PassReason::BypassService) + total.passed(PassReason::Untouched) > 0);
}

/// Invariant 28: with other initial sequence numbers and timestamps, which wrap, the same packets
/// leave, number for number.
#[test]
fn invariant_28_numbers_may_begin_anywhere() {
    let seed = variable("LOCALACK_SEED").unwrap_or(1);
    let strategy = (setup([true, true]), operations(EARLY, LATE));
    let lived = runner(seed, CASES / 16).run(&strategy, |(mut setup, operations)| {
        let mut digests = Vec::new();
        for isns in [
            [1000, 70_000],
            [u32::MAX, u32::MAX - 500],
            [1 << 31, (1 << 31) - 300],
        ] {
            setup.isns = isns;
            match run(&setup, &operations) {
                Ok(summary) => digests.push(summary.digest),
                Err(failure) => return Err(TestCaseError::fail(minimise(&failure).to_string())),
            }
        }
        prop_assert_eq!(digests[0], digests[1]);
        prop_assert_eq!(digests[0], digests[2]);
        Ok(())
    });
    if let Err(TestError::Fail(failure, _)) = lived {
        panic!("LOCALACK_SEED={seed} replays it: {failure}");
    }
}

/// What a failure prints can be replayed: each line is understood, and the engine breaks no law of
/// the wire on the way, as it did not here.
#[test]
fn a_run_is_a_packet_script() {
    let strategy = (setup([true, false]), operations(40, 20));
    let lived = runner(1, 40).run(&strategy, |(setup, operations)| {
        if let Err(failure) = run(&setup, &operations) {
            return Err(TestCaseError::fail(minimise(&failure).to_string()));
        }
        let (_, text) = transcribe(&setup, &operations);
        let script = Script::parse(&text);
        prop_assert!(script.is_ok(), "{}\n{text}", script.unwrap_err());
        Ok(())
    });
    if let Err(TestError::Fail(failure, _)) = lived {
        panic!("{failure}");
    }
}
