//! The reference model on operations that a fuzzer thinks up.

use localack_core::Port;
use localack_testkit::model::{Aim, Forgery, Hop, Operation, Setup, check};

use crate::input::Input;

/// Operations of one input; more only repeat what fewer can do.
const MOST_OPERATIONS: usize = 400;

/// Lives the life that `octets` describe: four octets of set-up, then operations.
///
/// # Panics
/// With the shortest way to it that was found, as operations and as a packet script, if an invariant
/// of the protocol does not hold: see [`localack_testkit::model`].
pub fn model(octets: &[u8]) {
    let mut input = Input(octets);
    let Some(setup) = input.array().map(setup) else {
        return;
    };
    let operations: Vec<_> = core::iter::from_fn(|| operation(&mut input))
        .take(MOST_OPERATIONS)
        .collect();
    check(&setup, &operations);
}

fn setup([bits, more, sizes, numbers]: [u8; 4]) -> Setup {
    let has = |octet: u8, bit: u8| octet & 1 << bit != 0;
    let room = |number: u8| [600, 2500, 8000, 60_000][usize::from(number & 3)];
    let isn = |number: u8| [1000, u32::MAX, 0xffff_f000, 0x7fff_f000][usize::from(number & 3)];
    Setup {
        served: [!has(bits, 0), has(bits, 1)],
        v6: has(bits, 2),
        timestamps: !has(bits, 3),
        sack: !has(bits, 4),
        outer_opens: !has(bits, 5),
        early: has(bits, 6),
        lazy: has(bits, 7),
        orderly: has(more, 0),
        paced: has(more, 1),
        controller: (more >> 2) % 5,
        shift: [Some(0), None, Some(3), Some(7)][usize::from(more >> 6)],
        room: [room(!sizes), room(sizes >> 2)],
        mss: [200, 90, 400, 536][usize::from(sizes >> 4 & 3)],
        blocks: [24, 8, 100, 12][usize::from(sizes >> 6)],
        isns: [isn(numbers), isn(numbers >> 2)],
        ecn: has(numbers, 4),
        third_lost: has(numbers, 5),
        again: has(numbers, 6),
    }
}

fn operation(input: &mut Input<'_>) -> Option<Operation> {
    let head = input.u8()?;
    let from = if head & 0x20 == 0 {
        Port::Inner
    } else {
        Port::Outer
    };
    let (hop, bit) = (Hop::new(from, head & 0x40 == 0), head & 0x80 != 0);
    Some(match head & 0x1f {
        0 | 1 => Operation::Write {
            from,
            octets: u16::from(input.u8()?) * 10 + u16::from(bit),
        },
        2 => Operation::Resend {
            from,
            skip: u16::from(input.u8()?) * 10 + u16::from(bit),
            octets: u16::from(input.u8()?) * 4,
        },
        3 if bit => Operation::Urgent(from),
        3 => Operation::Acknowledge(from),
        4 => Operation::Keepalive(from),
        5 => Operation::Stall(from, bit),
        6 => Operation::Shrink(from),
        7 => Operation::Close(from),
        8 => Operation::Abort(from),
        9 if bit => Operation::Reboot(from),
        9 => Operation::Vanish(from),
        10 | 11 => Operation::Deliver(hop, 0),
        12 => Operation::Deliver(hop, input.u8()?),
        13 if bit => Operation::Mark(hop, input.u8()?),
        13 => Operation::Lose(hop, input.u8()?),
        14 => Operation::Repeat(hop, input.u8()?),
        15 => Operation::Corrupt(hop, input.u8()?, input.u16()?),
        16 => Operation::Delay(hop),
        17 | 18 => Operation::Exchange(1 + (head >> 5)),
        19 => Operation::Wait(u32::from(input.u8()?)),
        20 => Operation::Wait(u32::from(input.u16()?)),
        21 => Operation::Deadline,
        22 => Operation::ClockBack(input.u16()?),
        23 => Operation::ClockStill(bit),
        24 => Operation::Forge {
            from,
            what: [Forgery::Reset, Forgery::Syn, Forgery::Data, Forgery::Ack]
                [usize::from(head >> 6)],
            seq: aim(input)?,
            ack: aim(input)?,
        },
        25 => Operation::Conflict {
            from,
            back: input.u16()?,
            octets: u16::from(input.u8()?) * 4,
        },
        26 => Operation::TooBig {
            from,
            mtu: input.u16()?,
            skip: u16::from(input.u8()?) * 10,
        },
        27 if hop.inward => Operation::Serve(from, bit),
        27 => Operation::Arrange(from, input.u8()?),
        28 => Operation::Control(from, input.u8()?),
        29 if hop.inward => Operation::Sink { full: bit },
        29 => Operation::Room(input.u8()? & 7),
        30 if bit => Operation::Drain,
        30 => Operation::Crowd,
        _ if bit => Operation::GiveUp,
        _ if hop.inward => Operation::Forget,
        _ => Operation::Succeed,
    })
}

/// Near the right number, or anywhere.
fn aim(input: &mut Input<'_>) -> Option<Aim> {
    let near = input.i16()?;
    Some(if near == i16::MIN {
        Aim::Anywhere(input.u32()?)
    } else {
        Aim::Near(near)
    })
}

/// Lives worth starting from: name and octets.
pub(crate) fn lives() -> Vec<(String, Vec<u8>)> {
    // Writes of both hosts with round trips between them.
    let talk = [0, 100, 0x20, 60, 0x71, 0, 200, 0x51];
    let with = |setup: [u8; 4], rest: &[u8]| [&setup[..], &talk, rest].concat();
    let plain = [0, 0, 0x28, 0];
    let both = [0x02, 0, 0x28, 0x09];
    [
        ("talk", with(plain, &[])),
        ("both", with(both, &talk)),
        ("loss", with(plain, &[0, 250, 13, 1, 0x71, 20, 2, 0, 0x51])),
        ("reorder", with(plain, &[0, 250, 12, 3, 16, 14, 1, 0x71])),
        (
            "spoilt",
            with(plain, &[0, 250, 15, 1, 2, 7, 0x71, 2, 10, 50]),
        ),
        (
            "stalled",
            with(plain, &[0xa5, 0, 255, 0x71, 20, 8, 0, 0x25, 0x71]),
        ),
        ("reset", with(plain, &[0, 250, 10, 10, 0x28, 0x71])),
        (
            "reset-both",
            with(both, &[0, 250, 0x20, 250, 10, 0x6a, 8, 0x71]),
        ),
        ("vanished", with(plain, &[0, 250, 0x29, 10, 10])),
        ("demoted", with(plain, &[0, 250, 10, 27, 0x71, 0xbb, 19, 9])),
        ("drained", with(both, &[0, 250, 0x20, 250, 10, 0x9e, 0x71])),
        (
            "full-sink",
            with(plain, &[0x9d, 0, 250, 0x71, 19, 99, 0x1d]),
        ),
        (
            "crowded",
            with([0, 0, 0x68, 0], &[30, 30, 0, 255, 0x71, 30, 0, 255]),
        ),
        ("forgotten", with(plain, &[0x71, 31, 0, 100, 0x71])),
        (
            "succession",
            with(both, &[0, 250, 10, 0x5f, 0x20, 60, 0x5f, 0x71]),
        ),
        (
            "clock",
            with(plain, &[0, 250, 22, 9, 9, 0x97, 19, 99, 0x17, 0x71]),
        ),
        (
            "stranger",
            with(plain, &[0x18, 0, 9, 0, 9, 0xf8, 128, 0, 1, 2, 3, 4, 0, 0]),
        ),
        ("conflict", with(plain, &[0, 250, 10, 25, 0, 90, 20, 0x71])),
        (
            "too-big",
            with([0, 0, 0xb8, 0], &[0, 250, 10, 26, 1, 44, 1, 0x71]),
        ),
        ("closing", with(both, &[7, 0x27, 0x71, 0x53])),
    ]
    .map(|(name, octets)| (name.to_owned(), octets))
    .into()
}

#[cfg(test)]
mod tests {
    use localack_core::{AbsorbReason, TransmitKind};
    use localack_testkit::model::{Summary, run};

    use super::*;

    /// The seeds would be worth little if all of them were alike.
    #[test]
    fn the_seeds_get_far() {
        let mut total = Summary::default();
        for (name, octets) in lives() {
            let mut input = Input(&octets);
            let setup = setup(input.array().expect("four octets at least"));
            let operations: Vec<_> = core::iter::from_fn(|| operation(&mut input)).collect();
            let summary = run(&setup, &operations).unwrap_or_else(|failure| panic!("{failure}"));
            assert!(summary.delivered > 0, "{name}");
            total.add(&summary);
        }
        for kind in [
            TransmitKind::LocalAck,
            TransmitKind::Data,
            TransmitKind::Reset,
        ] {
            assert!(total.transmitted(kind) > 0, "no {}", kind.slug());
        }
        assert!(total.absorbed(AbsorbReason::Stored) > 0 && total.octets_lost > 0);
        assert!(total.hand_overs > 0);
    }
}
