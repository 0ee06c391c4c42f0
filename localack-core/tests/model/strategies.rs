//! What may happen, at random: mostly progress, and now and then anything.

use localack_core::Port;
use localack_testkit::model::{Aim, Forgery, Hop, Operation, Setup};
use proptest::prelude::*;

pub(crate) fn port() -> impl Strategy<Value = Port> + Clone {
    prop_oneof![2 => Just(Port::Inner), 1 => Just(Port::Outer)]
}

fn hop() -> impl Strategy<Value = Hop> + Clone {
    prop::sample::select(Hop::ALL.to_vec())
}

fn aim() -> impl Strategy<Value = Aim> {
    prop_oneof![
        (-3000..3000_i16).prop_map(Aim::Near),
        any::<u32>().prop_map(Aim::Anywhere),
    ]
}

fn octets() -> impl Strategy<Value = u16> + Clone {
    prop_oneof![3 => Just(800), 3 => Just(400), 1 => Just(2400), 1 => 1..50_u16, 1 => 1..1200_u16]
}

/// What happens all the time.
fn progress() -> impl Strategy<Value = Operation> {
    let at = prop_oneof![6 => Just(0_u8), 1 => 0..8_u8];
    prop_oneof![
        10 => (port(), octets()).prop_map(|(from, octets)| Operation::Write { from, octets }),
        20 => (hop(), at).prop_map(|(hop, at)| Operation::Deliver(hop, at)),
        12 => (1..4_u8).prop_map(Operation::Exchange),
        6 => (0..40_u32).prop_map(Operation::Wait),
        3 => port().prop_map(Operation::Acknowledge),
        2 => Just(Operation::Deadline),
    ]
}

/// What a network does.
fn trouble() -> impl Strategy<Value = Operation> {
    prop_oneof![
        5 => (hop(), 0..4_u8).prop_map(|(hop, at)| Operation::Lose(hop, at)),
        2 => (hop(), 0..4_u8).prop_map(|(hop, at)| Operation::Repeat(hop, at)),
        2 => hop().prop_map(Operation::Delay),
        2 => (hop(), 0..4_u8, any::<u16>()).prop_map(|(hop, at, bit)| Operation::Corrupt(hop, at, bit)),
        3 => (port(), 0..2000_u16, octets())
            .prop_map(|(from, skip, octets)| Operation::Resend { from, skip, octets }),
        2 => (200..4000_u32).prop_map(Operation::Wait),
        2 => (port(), any::<bool>()).prop_map(|(from, stalled)| Operation::Stall(from, stalled)),
        1 => port().prop_map(Operation::Shrink),
        1 => port().prop_map(Operation::Keepalive),
        1 => any::<bool>().prop_map(|full| Operation::Sink { full }),
        1 => Just(Operation::Sink { full: false }),
        1 => (0..6_u8).prop_map(Operation::Room),
        2 => (hop(), 0..4_u8).prop_map(|(hop, at)| Operation::Mark(hop, at)),
    ]
}

/// What is rare, or malice.
fn event() -> impl Strategy<Value = Operation> {
    let what = prop_oneof![
        Just(Forgery::Reset),
        Just(Forgery::Syn),
        Just(Forgery::Data),
        Just(Forgery::Ack)
    ];
    prop_oneof![
        8 => (port(), what, aim(), aim())
            .prop_map(|(from, what, seq, ack)| Operation::Forge { from, what, seq, ack }),
        4 => (port(), 0..4000_u16, octets())
            .prop_map(|(from, back, octets)| Operation::Conflict { from, back, octets }),
        3 => (port(), 100..400_u16, 0..3000_u16)
            .prop_map(|(from, mtu, skip)| Operation::TooBig { from, mtu, skip }),
        4 => (port(), any::<bool>()).prop_map(|(from, serve)| Operation::Serve(from, serve)),
        8 => (port(), 0..12_u8).prop_map(|(from, number)| Operation::Arrange(from, number)),
        3 => (port(), 0..5_u8).prop_map(|(from, number)| Operation::Control(from, number)),
        2 => (1..5000_u16).prop_map(Operation::ClockBack),
        2 => any::<bool>().prop_map(Operation::ClockStill),
        2 => Just(Operation::ClockStill(false)),
        2 => Just(Operation::Crowd),
        2 => Just(Operation::Forget),
        4 => Just(Operation::Succeed),
        1 => (4000..30_000_u32).prop_map(Operation::Wait),
        1 => Just(Operation::Drain),
        1 => Just(Operation::GiveUp),
        1 => port().prop_map(Operation::Urgent),
    ]
}

/// What ends a connection.
fn ending() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => port().prop_map(Operation::Close),
        2 => port().prop_map(Operation::Abort),
        1 => port().prop_map(Operation::Vanish),
        1 => port().prop_map(Operation::Reboot),
    ]
}

/// Operations: a connection that lives at first, and then ends in one way or another.
pub(crate) fn operations(early: usize, late: usize) -> impl Strategy<Value = Vec<Operation>> {
    let life = prop_oneof![24 => progress(), 6 => trouble(), 2 => event()];
    let end = prop_oneof![72 => progress(), 18 => trouble(), 4 => event(), 2 => ending()];
    (
        prop::collection::vec(life, early),
        prop::collection::vec(end, late),
    )
        .prop_map(|(mut first, second)| {
            first.extend(second);
            first
        })
}

/// Connections of all kinds.
pub(crate) fn setup(served: [bool; 2]) -> impl Strategy<Value = Setup> {
    let isn = prop_oneof![
        Just(1000_u32),
        Just(u32::MAX),
        (0xffff_0000..0xffff_ff00_u32)
    ];
    let room = prop_oneof![
        Just(600_u16),
        Just(2500),
        Just(8000),
        Just(20_000),
        Just(60_000)
    ];
    let shift = prop_oneof![Just(None), Just(Some(0)), Just(Some(3)), Just(Some(7))];
    let numbers = (
        [isn.clone(), isn],
        [room.clone(), room],
        prop_oneof![3 => Just(400_u16), 2 => Just(200), 1 => Just(90)],
        prop_oneof![2 => Just(24_u8), 1 => Just(8), 1 => Just(100)],
        0..5_u8,
        shift,
    );
    (any::<[bool; 8]>(), any::<[bool; 4]>(), numbers).prop_map(
        move |(bits, [ecn, third, lost, again], numbers)| {
            let [
                v6,
                stamps,
                more_stamps,
                sack,
                outer_opens,
                early,
                lazy,
                orderly,
            ] = bits;
            let (isns, room, mss, blocks, controller, shift) = numbers;
            Setup {
                served,
                v6,
                timestamps: stamps || more_stamps,
                sack: sack || more_stamps,
                shift,
                outer_opens,
                early,
                isns,
                room,
                mss,
                blocks,
                lazy,
                controller,
                paced: early ^ lazy,
                ecn,
                third_lost: third && lost,
                again,
                orderly,
            }
        },
    )
}
