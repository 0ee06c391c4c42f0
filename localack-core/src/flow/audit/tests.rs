//! What is made of flows that an earlier engine has left.

#![allow(clippy::arithmetic_side_effects)]

use super::*;
use crate::policy::Direction;
use crate::pool::{BlockSize, BlockSlot, PoolHead};
use crate::seq::SeqNum;
use crate::stats::DirectionMode;

const ISN: SeqNum = SeqNum::new(u32::MAX - 100);
const NOW: Instant = Instant::from_micros(5_000_000);

/// A direction with so many octets on their way, and so many that wait behind an offer of so many.
fn left(mode: DirectionMode, [sent, waits, offered]: [u32; 3]) -> FlowSlot {
    let mut flow = FlowSlot::EMPTY;
    let stream = flow.stream_mut(Direction::OuterToInner);
    stream.start_at(ISN);
    stream.set_mode(mode);
    stream.send.snd_nxt = ISN.advance(sent);
    stream.chain.follow(ISN.advance(sent + waits));
    stream.send.wnd_edge = ISN.advance(sent + offered);
    flow
}

#[test]
fn rfc6298_5_what_is_unanswered_or_shut_in_gets_a_timer() {
    use DirectionMode::{Bypass, Draining, LocalAck, Snoop};
    for (mode, octets, waits) in [
        (LocalAck, [10, 0, 100], true),
        (Draining, [10, 0, 100], true),
        (Snoop, [10, 0, 100], true),
        (Bypass, [10, 0, 100], false),
        (LocalAck, [10, 10, 0], true),
        // RFC 9293 section 3.8.6.1: a closed window is asked about if something waits behind it.
        (LocalAck, [0, 10, 0], true),
        (LocalAck, [0, 10, 100], false),
        (LocalAck, [0, 0, 0], false),
        (LocalAck, [0, 0, 100], false),
        (Bypass, [0, 10, 0], false),
    ] {
        let timer = |flow: &mut FlowSlot| {
            flow.await_answers(NOW);
            let stream = flow.stream(Direction::OuterToInner);
            stream.send.timer.resolve(NOW)
        };
        let mut flow = left(mode, octets);
        let due = waits.then_some(Instant::from_micros(6_000_000));
        assert_eq!(timer(&mut flow), due, "{mode:?} {octets:?}");

        // Its path looks after a flow that is held, and a timer that runs goes on.
        let mut held = left(mode, octets);
        let stream = held.stream_mut(Direction::OuterToInner);
        stream.flags.set(StreamFlags::HELD);
        assert_eq!(timer(&mut held), None);
        let mut running = left(mode, octets);
        let soon = Instant::from_micros(5_200_000);
        let stream = running.stream_mut(Direction::OuterToInner);
        stream.send.timer = Stamp::at(soon);
        assert_eq!(timer(&mut running), Some(soon));
        let mut paced = left(mode, octets);
        let stream = paced.stream_mut(Direction::OuterToInner);
        stream.send.pace_due = Stamp::at(soon);
        assert_eq!(timer(&mut paced), None);
    }
}

#[test]
fn h8_7_what_is_given_up_keeps_its_debt_and_waits_for_nothing() {
    let mut blocks = [BlockSlot::EMPTY; 2];
    let mut arena = [0; 1024];
    let size = BlockSize::of(&blocks, &arena).expect("memory that fits");
    let mut head = PoolHead::EMPTY;
    let mut pool = Pool::new(&mut head, &mut blocks, &mut arena, size);
    let mut flow = left(DirectionMode::LocalAck, [500, 500, 1000]);
    let due = Stamp::at(Instant::from_micros(5_200_000));
    let stream = flow.stream_mut(Direction::OuterToInner);
    stream.recv.ack_sent = ISN.advance(700);
    stream.recv.fin = ISN.advance(1000);
    stream.flags.set(StreamFlags::FIN_SEEN);
    stream.send.lost.lose_all(stream.send.outstanding());
    for stamp in [
        &mut stream.patience,
        &mut stream.recv.ack_due,
        &mut stream.recv.window_due,
        &mut stream.send.timer,
        &mut stream.send.pace_due,
    ] {
        *stamp = due;
    }
    flow.condemn(0, false, &mut pool);
    assert!(flow.is_ruined());
    let stream = flow.stream(Direction::OuterToInner);
    assert_eq!((stream.debt(), stream.chain.end()), (700, ISN.advance(700)));
    assert!(stream.fin().is_none() && stream.send.lost.is_empty());
    for stamp in [
        stream.patience,
        stream.recv.ack_due,
        stream.recv.window_due,
        stream.send.timer,
        stream.send.pace_due,
    ] {
        assert!(!stamp.is_set());
    }
}
