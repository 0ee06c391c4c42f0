//! Random damage: what a fuzzer would find in a moment, found on any toolchain.

use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};

use localack_fuzz::attach;
use localack_testkit::sim::{Random, seeds};

/// Invariants 1, 12 and 23, rule H13.1: see [`attach`].
#[test]
fn random_damage_is_survived() {
    let cases =
        std::env::var("LOCALACK_CASES").map_or(600, |cases| cases.parse().expect("a number"));
    seeds(cases).into_iter().for_each(survive);
}

/// What once did harm: copies that sent what they had not (487), a mode that there is not, with a debt (14362), and
/// a deadline further off than a stamp can tell, which was due for ever (54808).
#[test]
fn damage_that_did_harm_is_survived() {
    [487, 14_362, 54_808].into_iter().for_each(survive);
}

fn survive(seed: u64) {
    let mut random = Random::new(seed);
    let length = 8 + random.below(300);
    let mut octets: Vec<u8> = (0..length).map(|_| random.octet()).collect();
    // Little damage hurts in more ways than much.
    octets[1] &= if random.chance(20_000) { 0x83 } else { 0x03 };
    let lived = catch_unwind(AssertUnwindSafe(|| attach(&octets)));
    if let Err(reason) = lived {
        eprintln!("LOCALACK_SEED={seed} replays it");
        resume_unwind(reason);
    }
}
