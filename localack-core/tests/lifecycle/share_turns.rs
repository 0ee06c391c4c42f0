//! Flows that wait for their turn at a vouched rate get it, whatever one poll has room for (invariant 26).

use localack_core::{
    Config, Controller, Direction, Event, FlowConfig, PacketMeta, Poll, Port, Provision,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, Layout};

use super::lab::{Lab, Left, MSS, at, at_once, segment};

/// Octets of the headers of a packet.
const HEADERS: u32 = 40;

/// A flow at a vouched rate whose receiver is known to be there.
fn vouched(memory: &mut Memory, rate: u32, super_segment: u16) -> Lab<'_> {
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.controller = Controller::Provisioned(Provision::new(5, rate));
    let mut config = Config::new([1, 2]);
    config.super_segment = super_segment;
    let mut lab = Lab::new(memory, config, flow);
    lab.shake(0, 0, 1);
    lab.shake(50, 1, 3);
    lab.says(60, Port::Outer, 1, 1, 60_000, 0);
    lab
}

/// The receiver acknowledges what it has, and nobody polls.
fn acknowledge(lab: &mut Lab<'_>) {
    let reached = lab.reached(Port::Outer);
    let ack = segment(Port::Outer, Flags::ACK, 1, reached, 60_000, 0);
    let (mut octets, meta) = (ack.encode(Layout::Aligned), PacketMeta::default());
    let now = lab.tape.now;
    let _ = lab
        .engine
        .ingest(Port::Outer, now, &mut octets, meta, &mut lab.tape);
}

#[test]
fn polls_with_little_room_keep_a_vouched_rate_busy() {
    let budgets = [1, 2, 3, 5, 8, 40];
    for (budget, super_segment) in budgets
        .map(|budget| [(budget, 0), (budget, 8_000)])
        .concat()
    {
        let what = format!("budget {budget}, super-segments of {super_segment}");
        let mut memory = Memory::new(4, 128, 1000);
        let mut lab = vouched(&mut memory, 100_000, super_segment);
        for number in 0..40 {
            lab.says(70, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
        }
        let all = 1 + 40 * MSS;
        let mut polls = 0;
        while lab.reached(Port::Outer) < all {
            polls += 1;
            assert!(polls < 1000, "{what}: {}", lab.reached(Port::Outer));
            let due = lab.engine.next_deadline().expect("there is more to send");
            lab.tape.now = due.max(lab.tape.now);
            let now = lab.tape.now;
            let _ = lab.engine.poll(now, budget, &mut lab.tape);
            acknowledge(&mut lab);
        }
        let took = lab.tape.now.since(at(70)).as_millis();
        assert!((300..430).contains(&took), "{what}: {took} ms");
        assert_eq!(lab.engine.counters().timeouts, 0);
    }
}

#[test]
fn a_turn_that_sends_all_there_is_is_over() {
    let mut memory = Memory::new(4, 128, 1000);
    let mut lab = vouched(&mut memory, 10_000, 0);
    for number in 0..3 {
        lab.says(70, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
    }
    let all = 1 + 3 * MSS;
    while lab.reached(Port::Outer) < all {
        let due = lab.engine.next_deadline().expect("there is more to send");
        lab.tape.now = due.max(lab.tape.now);
        let now = lab.tape.now;
        let poll = lab.engine.poll(now, 1, &mut lab.tape);
        if lab.reached(Port::Outer) == all {
            assert_eq!(poll, Poll::Idle);
            assert!(lab.engine.next_deadline() > Some(now));
        }
    }
}

#[test]
fn a_tail_probe_counts_against_a_vouched_rate() {
    // A segment of 1,040 octets takes 520 ms.
    let mut memory = Memory::new(4, 128, 1000);
    let mut lab = vouched(&mut memory, 2_000, 0);
    let (mut ms, mut given) = (70, 1);
    for _ in 0..4 {
        lab.says(ms, Port::Inner, given, 1, 60_000, MSS);
        given += MSS;
        while lab.reached(Port::Outer) < given {
            ms += 1;
            lab.until(ms);
            assert!(ms < 10_000, "{given} of {:?}", lab.flow());
        }
        if given < 1 + 4 * MSS {
            ms += 50;
            lab.says(ms, Port::Outer, 1, given, 60_000, 0);
        }
    }
    let sent = ms;
    while lab.engine.counters().tail_probes == 0 {
        ms += 1;
        lab.until(ms);
        assert!(ms < sent + 500, "there is no probe");
    }
    lab.says(ms, Port::Inner, given, 1, 60_000, MSS);
    lab.says(ms + 50, Port::Outer, 1, given, 60_000, 0);
    ms += 50;
    while lab.reached(Port::Outer) == given {
        ms += 1;
        lab.until(ms);
        assert!(ms < sent + 10_000, "it does not leave");
    }
    assert!(ms - sent >= 1_000, "{} ms", ms - sent);
}

/// The packets that a super-segment becomes have headers each.
#[test]
fn super_segments_count_as_the_packets_that_they_become() {
    let mut memory = Memory::new(4, 256, 1000);
    let mut lab = vouched(&mut memory, 1_000_000, 10_000);
    for number in 0..50 {
        lab.says(70, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
    }
    lab.until(150);
    let data = |left: &&Left| left.toward == Port::Outer && left.len > 0;
    let sent: Vec<_> = lab.tape.left.iter().filter(data).collect();
    let first = sent.iter().find(|left| left.len > 2 * MSS);
    let first = first.expect("a super-segment");
    let last = sent.last().expect("there was one before");
    let packets = (last.seq - first.seq) / MSS;
    assert!(packets > 30, "{packets}");
    // An octet takes a microsecond.
    let took = last.at.since(first.at).as_micros();
    let least = u128::from(packets * (MSS + HEADERS)) - 100;
    assert!(
        (least..least + 2_000).contains(&took),
        "{took} us for {packets}"
    );
}

/// A controller that takes over where nothing is lost goes on with the window that there is.
#[test]
fn a_controller_that_takes_over_in_slow_start_keeps_the_window() {
    for (from, to) in [
        (Controller::Cubic, Controller::Reno),
        (Controller::Reno, Controller::Cubic),
    ] {
        let mut memory = Memory::new(4, 128, 1000);
        let mut flow = at_once(FlowConfig::inner_local_ack());
        flow.controller = from;
        let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
        lab.shake(0, 0, 1);
        lab.shake(50, 1, 3);
        for number in 0..20 {
            lab.says(60, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
        }
        lab.until(100);
        let before = lab.flow().inner_to_outer.cwnd;
        let (id, now) = (lab.id(), lab.tape.now);
        let chosen = lab
            .engine
            .set_controller(id, Direction::InnerToOuter, to, now);
        assert_eq!(chosen, Ok(()));
        assert_eq!(lab.flow().inner_to_outer.cwnd, before, "{from:?} to {to:?}");
    }
}

/// H6.3: what is late is data; a FIN that was acknowledged is not.
#[test]
fn h6_3_a_direction_that_has_ended_closes_slowly_no_more() {
    for acked in [false, true] {
        let mut memory = Memory::new(4, 128, 1000);
        let flow = at_once(FlowConfig::inner_local_ack());
        let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
        lab.shake(0, 0, 1);
        lab.shake(50, 1, 3);
        lab.says(60, Port::Outer, 1, 1, 60_000, 0);
        let last = segment(Port::Inner, Flags::FIN | Flags::ACK, 1, 1, 60_000, MSS);
        lab.arrives(70, Port::Inner, &last);
        if acked {
            lab.says(120, Port::Outer, 1, 2 + MSS, 60_000, 0);
        }
        lab.until(60_000);
        let is_slow = |event: &Event| matches!(event, Event::SlowClose { .. });
        assert_eq!(lab.tape.events.iter().any(is_slow), !acked);
    }
}
