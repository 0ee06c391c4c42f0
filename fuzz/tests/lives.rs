//! Random lives: what a fuzzer would find in a moment, found on any toolchain.

use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};

use localack_fuzz::ingest;
use localack_fuzz::operation::{Operation, Setup, Shape};
use localack_testkit::packet::Flags;
use localack_testkit::sim::{Random, seeds};

/// Operations of a life.
const OPERATIONS: u32 = 300;

/// A life: one in four is led by hosts that only ever say what is plausible, so that it gets far.
fn life(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let tame = random.chance(250_000);
    let mut octets = vec![random.octet(), random.octet()];
    // SACK, timestamps and windows that scale are what most hosts agree on.
    if random.chance(600_000) {
        octets[0] |= Setup::SACK | Setup::TIMESTAMPS;
    }
    for _ in 0..OPERATIONS {
        operation(&mut random, tame).write(&mut octets);
    }
    octets
}

fn operation(random: &mut Random, tame: bool) -> Operation {
    let side = random.chance(500_000);
    match random.below(1000) {
        0..700 => Operation::Segment {
            outer: side,
            checksum: if tame { 0 } else { random.octet() & 3 },
            shape: shape(random, tame),
        },
        700..900 => Operation::Wait {
            log: 8 + random.octet() % if random.chance(50_000) { 20 } else { 14 },
            steps: random.octet() & 3,
            jump: random.chance(100_000),
        },
        900..930 => Operation::Full(random.octet() & 7),
        930..950 => Operation::Controller(side, random.octet() % 6),
        950..955 => Operation::Service(side, random.chance(900_000)),
        955..965 => Operation::Full(0),
        965..980 => Operation::TooBig(side, 500 + u16::from(random.octet()) * 4),
        980..985 => Operation::Backwards,
        985..999 if tame => Operation::Full(0),
        985..999 => Operation::Octets(side, (0..40).map(|_| random.octet()).collect()),
        _ if random.chance(100_000) => Operation::Drain,
        _ => Operation::Full(0),
    }
}

/// Which deviations a segment has.
fn shape(random: &mut Random, tame: bool) -> Shape {
    let small = |random: &mut Random| {
        let steps = i16::from(random.octet() % 16) - 8;
        steps * [1, 100, 1000][random.below(3) as usize]
    };
    let any = |random: &mut Random| i16::from_be_bytes([random.octet(), random.octet()]);
    let number = |random: &mut Random| {
        if random.chance(900_000) {
            small(random)
        } else {
            any(random)
        }
    };
    let rarely = if tame { 30_000 } else { 120_000 };
    Shape {
        seq: random.chance(rarely).then(|| number(random)),
        // What is heard last is not what has arrived: most acknowledgements lag or have holes.
        ack: random.chance(400_000).then(|| {
            let lag = -1000 * i16::from(random.octet() % 12);
            if tame { lag } else { number(random) }
        }),
        window: random
            .chance(150_000)
            .then(|| [0, 2, 500, 3_000, 60_001, 60_002][random.below(6) as usize]),
        sack: (0..random.below(4) * u32::from(random.chance(300_000)))
            .map(|_| (number(random), 1000 * u16::from(random.octet() % 8)))
            .collect(),
        payload: random
            .chance(500_000)
            .then(|| [0, 0, 0, 1, 300, 1_400][random.below(6) as usize]),
        flags: random
            .chance(if tame { 1_000 } else { 8_000 })
            .then(|| flags(random)),
        clock: random.chance(rarely).then(|| any(random)),
        damage: (0..u32::from(!tame && random.chance(30_000)))
            .map(|_| (any(random).unsigned_abs(), random.octet()))
            .collect(),
    }
}

fn flags(random: &mut Random) -> u8 {
    let all = [
        Flags::FIN | Flags::ACK,
        Flags::RST,
        Flags::RST | Flags::ACK,
        Flags::SYN,
        Flags::SYN | Flags::ACK,
        Flags::ACK | Flags::ECE,
        Flags::ACK | Flags::CWR,
        Flags::ACK | Flags::URG,
    ];
    let chosen = all[random.below(8) as usize];
    u8::try_from(chosen.0).expect("eight bits")
}

/// Invariants 1, 12, 14, 23 and 24, rules H1.1, H1.8 and H1.10: see [`ingest`].
#[test]
fn random_lives_of_all_controllers_are_survived() {
    for seed in seeds(400) {
        let octets = life(seed);
        let lived = catch_unwind(AssertUnwindSafe(|| ingest(&octets)));
        if let Err(reason) = lived {
            eprintln!("LOCALACK_SEED={seed} replays it");
            resume_unwind(reason);
        }
    }
}
