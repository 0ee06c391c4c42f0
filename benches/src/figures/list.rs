//! Which figures there are, and how each is measured.

use core::time::Duration;

use localack_testkit::memory::Memory;

use super::etherparse::Etherparse;
use super::floors::{Floor, Task};
use super::measure::Rounds;
use super::pair::together_and_alone;
use super::smoltcp::Splice;
use super::touches::Touches;
use super::{Figure, Meter};
use crate::load::cases::{
    Crowd, Cycle, End, Half, Lives, Order, Pass, PureAcks, Repairs, SackAcks, Swapped, Whole,
};
use crate::load::{Case, HEADERS, PAYLOAD, Setting};

const KIB: u32 = 1 << 10;
const MIB: u32 = 1 << 20;
/// Octets of a block: an Ethernet segment and a little.
const BLOCK: usize = 1536;
/// Packets of a large window are so far apart.
const TICK: Duration = Duration::from_micros(3);

const COPY_AND_CHECKSUM: &str = "copy and checksum of the payload";
const CHECKSUM: &str = "checksum of 1448 octets";
const ETHERPARSE: &str = "etherparse's parse and checksum";

/// Figures that are measured together.
struct Group {
    names: &'static [&'static str],
    measure: fn(&Meter) -> Result<Vec<Figure>, String>,
}

const GROUPS: &[Group] = &[
    Group {
        names: &["cycle_cache", "cycle_memcpy", "cycle_etherparse", "smoltcp"],
        measure: cycle,
    },
    Group {
        names: &["two_engines"],
        measure: two_engines,
    },
    Group {
        names: &["cycle_256m"],
        measure: cycle_256m,
    },
    Group {
        names: &["cycle_256m_frames"],
        measure: cycle_256m_frames,
    },
    Group {
        names: &["pass", "pass_etherparse"],
        measure: pass,
    },
    Group {
        names: &["pure_ack", "sack_ack"],
        measure: acks,
    },
    Group {
        names: &["super_segment"],
        measure: super_segment,
    },
    Group {
        names: &["out_of_order"],
        measure: out_of_order,
    },
    Group {
        names: &["churn", "adopt_expire"],
        measure: lives,
    },
    Group {
        names: &[
            "custody_64k_floor",
            "custody_16m_floor",
            "custody_256m_floor",
            "custody_16m",
            "custody_256m",
        ],
        measure: custody,
    },
    Group {
        names: &[
            "retransmit_64k_floor",
            "retransmit_256m_floor",
            "retransmit_256m",
        ],
        measure: retransmit,
    },
    Group {
        names: &["flows_1k_uniform", "flows_1k_zipf"],
        measure: |meter| flows(meter, 1_000, "1k"),
    },
    Group {
        names: &["flows_100k_uniform", "flows_100k_zipf"],
        measure: |meter| flows(meter, 100_000, "100k"),
    },
    Group {
        names: &["flows_1m_uniform", "flows_1m_zipf"],
        measure: |meter| flows(meter, 1_000_000, "1m"),
    },
];

/// All names, in the order in which they are measured.
pub fn names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().flat_map(|group| group.names).copied()
}

/// Measures the figures in whose names one of `words` is, or all if there are none. `tell` hears of each
/// as it is measured.
///
/// # Errors
/// If there is no such figure, or what was to be measured went wrong.
pub fn measure(
    meter: &Meter,
    words: &[&str],
    mut tell: impl FnMut(&Figure),
) -> Result<Vec<Figure>, String> {
    let is_wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    let mut figures = Vec::new();
    for group in GROUPS {
        if !group.names.iter().any(|name| is_wanted(name)) {
            continue;
        }
        let measured = (group.measure)(meter);
        let measured = measured.map_err(|error| format!("{}: {error}", group.names.join(", ")))?;
        debug_assert!(measured.iter().map(|figure| &figure.name).eq(group.names));
        for figure in measured {
            if is_wanted(&figure.name) {
                tell(&figure);
                figures.push(figure);
            }
        }
    }
    if figures.is_empty() {
        let all: Vec<&str> = names().collect();
        return Err(format!("no such figure; there are {}", all.join(", ")));
    }
    Ok(figures)
}

/// A figure from the rounds of several cases: the time of one and that of another, as `of` finds them.
fn figure(name: &str, against: &str, rounds: &Rounds, of: impl Fn(&[f64]) -> [f64; 2]) -> Figure {
    let pairs: Vec<[f64; 2]> = rounds.iter().map(|round| of(round)).collect();
    Figure::new(name, against, &pairs)
}

fn small() -> Memory {
    Memory::new(1024, 4096, BLOCK)
}

fn cycle(meter: &Meter) -> Result<Vec<Figure>, String> {
    let mut memory = small();
    let mut cycle = Cycle::new(memory.storage(), Setting::new(), Crowd::ONE, Half::Both)?;
    let rounds = meter.compare(
        &mut [
            &mut cycle,
            &mut Floor::in_cache(Task::CopyAndChecksum, PAYLOAD),
            &mut Floor::in_cache(Task::Copy, PAYLOAD),
            &mut Etherparse::new(),
            &mut Splice::new()?,
        ],
        1,
    )?;
    let against = |other: usize| move |round: &[f64]| [round[0], round[other]];
    Ok(vec![
        figure("cycle_cache", COPY_AND_CHECKSUM, &rounds, against(1)),
        figure("cycle_memcpy", "copy of the payload", &rounds, against(2)),
        figure("cycle_etherparse", ETHERPARSE, &rounds, against(3)),
        figure(
            "smoltcp",
            "smoltcp's receive and transmit path",
            &rounds,
            against(4),
        ),
    ])
}

fn two_engines(meter: &Meter) -> Result<Vec<Figure>, String> {
    let rounds = together_and_alone(meter.rounds)?;
    let against = "one engine, the other core idle";
    Ok(vec![Figure::new("two_engines", against, &rounds)])
}

fn cycle_256m(meter: &Meter) -> Result<Vec<Figure>, String> {
    let crowd = Crowd {
        flows: 256,
        held: MIB / PAYLOAD as u32,
        order: Order::Turns,
        frames: 0,
        tick: TICK,
    };
    let mut memory = Memory::new(1024, crowd.blocks(), BLOCK);
    let mut cycle = Cycle::new(memory.storage(), Setting::large(), crowd, Half::Both)?;
    let mut floor = Floor::new(Task::CopyAndChecksum, PAYLOAD, 0, 256 * MIB as usize);
    let rounds = meter.compare(&mut [&mut cycle, &mut floor], 1)?;
    Ok(vec![figure(
        "cycle_256m",
        "copy and checksum into 256 MiB",
        &rounds,
        |round| [round[0], round[1]],
    )])
}

fn cycle_256m_frames(meter: &Meter) -> Result<Vec<Figure>, String> {
    let frames = 256 * MIB as usize / (HEADERS + PAYLOAD);
    let crowd = Crowd {
        frames,
        ..Crowd::ONE
    };
    let mut memory = small();
    let mut cycle = Cycle::new(memory.storage(), Setting::new(), crowd, Half::Both)?;
    let mut floor = Floor::new(Task::CopyAndChecksum, PAYLOAD, frames, 0);
    let rounds = meter.compare(&mut [&mut cycle, &mut floor], 1)?;
    Ok(vec![figure(
        "cycle_256m_frames",
        "copy and checksum out of 256 MiB",
        &rounds,
        |round| [round[0], round[1]],
    )])
}

fn pass(meter: &Meter) -> Result<Vec<Figure>, String> {
    let mut memory = small();
    let rounds = meter.compare(
        &mut [
            &mut Pass::new(memory.storage()),
            &mut Floor::in_cache(Task::Checksum, PAYLOAD),
            &mut Etherparse::new(),
        ],
        1,
    )?;
    Ok(vec![
        figure("pass", CHECKSUM, &rounds, |round| [round[0], round[1]]),
        figure("pass_etherparse", ETHERPARSE, &rounds, |round| {
            [round[0], round[2]]
        }),
    ])
}

fn acks(meter: &Meter) -> Result<Vec<Figure>, String> {
    let crowd = Crowd::holding(16 * MIB, TICK);
    let [mut first, mut second] = [small(), Memory::new(1024, crowd.blocks(), BLOCK)];
    let rounds = meter.compare(
        &mut [
            &mut PureAcks::new(first.storage(), Setting::new()),
            &mut SackAcks::new(second.storage(), crowd)?,
            &mut Floor::in_cache(Task::Checksum, PAYLOAD),
        ],
        2,
    )?;
    Ok(vec![
        figure("pure_ack", CHECKSUM, &rounds, |round| [round[0], round[2]]),
        figure("sack_ack", CHECKSUM, &rounds, |round| [round[1], round[2]]),
    ])
}

fn super_segment(meter: &Meter) -> Result<Vec<Figure>, String> {
    let mut memory = small();
    let rounds = meter.compare(
        &mut [
            &mut Whole::new(memory.storage())?,
            &mut Floor::in_cache(Task::CopyAndChecksum, Whole::OCTETS),
        ],
        1,
    )?;
    Ok(vec![figure(
        "super_segment",
        COPY_AND_CHECKSUM,
        &rounds,
        |round| [round[0], round[1]],
    )])
}

fn out_of_order(meter: &Meter) -> Result<Vec<Figure>, String> {
    let mut memory = small();
    let rounds = meter.compare(
        &mut [
            &mut Swapped::new(memory.storage())?,
            &mut Floor::in_cache(Task::CopyAndChecksum, PAYLOAD),
        ],
        1,
    )?;
    Ok(vec![figure(
        "out_of_order",
        COPY_AND_CHECKSUM,
        &rounds,
        |round| [round[0], round[1]],
    )])
}

fn lives(meter: &Meter) -> Result<Vec<Figure>, String> {
    let [mut first, mut second] = [small(), small()];
    let rounds = meter.compare(
        &mut [
            &mut Lives::new(first.storage(), End::Closed),
            &mut Lives::new(second.storage(), End::Forgotten),
            &mut Floor::in_cache(Task::Checksum, PAYLOAD),
        ],
        2,
    )?;
    let each = |packets: &str| format!("{packets} checksums of 1448 octets");
    Ok(vec![
        figure("churn", &each("six"), &rounds, |round| {
            [round[0], 6.0 * round[2]]
        }),
        figure("adopt_expire", &each("three"), &rounds, |round| {
            [round[1], 3.0 * round[2]]
        }),
    ])
}

fn custody(meter: &Meter) -> Result<Vec<Figure>, String> {
    const OCTETS: [u32; 3] = [64 * KIB, 16 * MIB, 256 * MIB];
    let crowds = OCTETS.map(|octets| Crowd::holding(octets, TICK));
    let [mut a, mut b, mut c] = crowds.map(|crowd| Memory::new(16, crowd.blocks(), BLOCK));
    let cycle = |memory, crowd| Cycle::new(memory, Setting::large(), crowd, Half::Both);
    let floor = |octets| Floor::new(Task::CopyAndChecksum, PAYLOAD, 0, octets as usize);
    let [mut floor_a, mut floor_b, mut floor_c] = OCTETS.map(floor);
    let rounds = meter.compare(
        &mut [
            &mut cycle(a.storage(), crowds[0])?,
            &mut cycle(b.storage(), crowds[1])?,
            &mut cycle(c.storage(), crowds[2])?,
            &mut floor_a,
            &mut floor_b,
            &mut floor_c,
        ],
        3,
    )?;
    let into = |size: &str| format!("copy and checksum into {size}");
    let own = |which: usize| move |round: &[f64]| [round[which], round[3 + which]];
    let scaled =
        |which: usize| move |round: &[f64]| [round[which], round[3 + which] * round[0] / round[3]];
    let as_small = "as many times its floor as with 64 KiB";
    Ok(vec![
        figure("custody_64k_floor", &into("64 KiB"), &rounds, own(0)),
        figure("custody_16m_floor", &into("16 MiB"), &rounds, own(1)),
        figure("custody_256m_floor", &into("256 MiB"), &rounds, own(2)),
        figure("custody_16m", as_small, &rounds, scaled(1)),
        figure("custody_256m", as_small, &rounds, scaled(2)),
    ])
}

fn retransmit(meter: &Meter) -> Result<Vec<Figure>, String> {
    const OCTETS: [u32; 2] = [64 * KIB, 256 * MIB];
    let crowds = OCTETS.map(|octets| Crowd::holding(octets, TICK));
    let [mut a, mut b] = crowds.map(|crowd| Memory::new(16, crowd.blocks(), BLOCK));
    // The copy goes from the frames of so many octets into one place.
    let frames = |octets: u32| octets as usize / PAYLOAD;
    let floor = |octets| Floor::new(Task::CopyAndChecksum, PAYLOAD, frames(octets), 0);
    let [mut floor_a, mut floor_b] = OCTETS.map(floor);
    let rounds = meter.compare(
        &mut [
            &mut Repairs::new(a.storage(), crowds[0])?,
            &mut Repairs::new(b.storage(), crowds[1])?,
            &mut floor_a,
            &mut floor_b,
        ],
        2,
    )?;
    let out_of = |size: &str| format!("copy and checksum out of {size}");
    let as_small = "as many times its floor as with 64 KiB";
    Ok(vec![
        figure(
            "retransmit_64k_floor",
            &out_of("64 KiB"),
            &rounds,
            |round| [round[0], round[2]],
        ),
        figure(
            "retransmit_256m_floor",
            &out_of("256 MiB"),
            &rounds,
            |round| [round[1], round[3]],
        ),
        figure("retransmit_256m", as_small, &rounds, |round| {
            [round[1], round[3] * round[0] / round[2]]
        }),
    ])
}

fn flows(meter: &Meter, count: u32, name: &str) -> Result<Vec<Figure>, String> {
    let one = Crowd {
        held: 1,
        tick: Duration::from_micros(1),
        ..Crowd::ONE
    };
    let many = Crowd {
        flows: count,
        order: Order::Uniform,
        ..one
    };
    super::memory::see_that_there_is(count as usize * 2 * (1024 + BLOCK + 128))?;
    let [mut few, mut all] =
        [one, many].map(|crowd| Memory::new(crowd.flows as usize + 1, crowd.blocks(), BLOCK));
    // A connection whose turn comes again at once would have to wait for its pace.
    let mut setting = Setting::new();
    setting.flow.pacing = false;
    // They are all opened at the same time.
    setting.config.handshake_share = 100;
    let mut one = Cycle::new(few.storage(), setting, one, Half::Both)?;
    let mut many = Cycle::new(all.storage(), setting, many, Half::Both)?;
    let mut touches = Touches::new(count, Order::Uniform);
    let against = "one flow, and as many cold lines touched";
    let mut figures = Vec::new();
    for (order, order_name) in [(Order::Uniform, "uniform"), (Order::Zipf, "zipf")] {
        many.set_order(order);
        touches.set_order(order);
        let cases: &mut [&mut dyn Case] = &mut [&mut one, &mut many, &mut touches];
        let rounds = meter.compare(cases, 2)?;
        let name = format!("flows_{name}_{order_name}");
        figures.push(figure(&name, against, &rounds, |round| {
            [round[1], round[0] + round[2]]
        }));
    }
    Ok(figures)
}
