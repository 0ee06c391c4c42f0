//! What no packet script can say: services changed and drains begun while a handshake is under way,
//! sinks that are full at any one emission, small budgets, and slots that must come free again.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that goes wrong here should stop"
)]

#[path = "lifecycle/bursts.rs"]
mod bursts;
#[path = "lifecycle/caller.rs"]
mod caller;
#[path = "lifecycle/controllers.rs"]
mod controllers;
#[path = "lifecycle/full_sink.rs"]
mod full_sink;
#[path = "lifecycle/growth.rs"]
mod growth;
#[path = "lifecycle/jumps.rs"]
mod jumps;
#[path = "lifecycle/lab.rs"]
mod lab;
#[path = "lifecycle/lessons.rs"]
mod lessons;
#[path = "lifecycle/paths.rs"]
mod paths;
#[path = "lifecycle/pool.rs"]
mod pool;
#[path = "lifecycle/rates.rs"]
mod rates;
#[path = "lifecycle/settings.rs"]
mod settings;
#[path = "lifecycle/share_turns.rs"]
mod share_turns;
#[path = "lifecycle/shortage.rs"]
mod shortage;
#[path = "lifecycle/startup.rs"]
mod startup;
#[path = "lifecycle/turns.rs"]
mod turns;
#[path = "lifecycle/walks.rs"]
mod walks;

use localack_core::{
    Config, Direction, DirectionMode, Event, FlowConfig, FlowState, PacketMeta, PassReason, Poll,
    Port, Service, TransmitKind, Verdict,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, Layout};

use lab::{ISN, Lab, MSS, at_once, segment};

/// A service asked for while the handshake is under way waits for its end, and the poll in between
/// neither sends anything nor forgets what the handshake has shown (rule H7.1, section 3).
#[test]
fn h7_1_a_service_asked_for_during_the_handshake_waits_for_its_end() {
    for (seen, state) in [(1, FlowState::SynSeen), (2, FlowState::SynAckSeen)] {
        let mut memory = Memory::new(4, 64, 1536);
        let mut lab = Lab::new(&mut memory, Config::new([1, 2]), FlowConfig::tracked());
        lab.shake(0, 0, seen);
        let (id, now) = (lab.id(), lab.tape.now);
        lab.engine
            .set_service(id, Direction::InnerToOuter, Service::LocalAck, now)
            .expect("the flow is known");
        lab.until(100);
        assert_eq!(lab.flow().state, state);
        assert_eq!(lab.flow().inner_to_outer.mode, DirectionMode::Bypass);
        assert_eq!(lab.tape.offered, 0);

        lab.shake(200, seen, 3);
        assert_eq!(lab.flow().state, FlowState::Open);
        // No proof yet: R alone acknowledges.
        lab.says(210, Port::Inner, 1, 1, 60_000, 100);
        assert_eq!(lab.tape.offered, 0);
        lab.says(230, Port::Outer, 1, 101, 60_000, 0);
        assert_eq!(lab.flow().inner_to_outer.mode, DirectionMode::LocalAck);
        lab.says(240, Port::Inner, 101, 1, 60_000, 100);
        let last = lab
            .tape
            .left
            .iter()
            .rfind(|left| left.toward == Port::Inner)
            .expect("an ACK");
        assert_eq!(
            (last.kind, last.seq, last.ack),
            (Some(TransmitKind::LocalAck), 1, 201)
        );
        assert_eq!(lab.reached(Port::Outer), 201);
    }
}

/// After `drain` there is no way back: a handshake under way is not adopted, and a service that is
/// asked for is not given (rule H12.3, section 3).
#[test]
fn h12_3_drain_leaves_no_way_back() {
    for seen in 1..=2 {
        let mut memory = Memory::new(4, 64, 1536);
        let flow = at_once(FlowConfig::both_local_ack());
        let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
        lab.shake(0, 0, seen);
        let (id, now) = (lab.id(), lab.tape.now);
        lab.engine.drain(now);
        // Whether it is still known or not, it gets no service.
        let _ = lab
            .engine
            .set_service(id, Direction::InnerToOuter, Service::LocalAck, now);
        lab.shake(10, seen, 3);
        lab.says(20, Port::Inner, 1, 1, 60_000, 1000);
        assert!(lab.has_passed(), "{:?}", lab.verdict);
        lab.until(120_000);
        assert_eq!(
            lab.tape.offered, 0,
            "nothing is acknowledged in anybody's name"
        );
        assert!(
            !lab.tape
                .events
                .iter()
                .any(|event| matches!(event, Event::Adopted { .. }))
        );
        assert_eq!(lab.engine.counters().flows_adopted, 0);
        assert_eq!(lab.engine.flows().count(), 0);
    }
}

/// .. nor is it to a flow that was served.
#[test]
fn h12_3_drain_leaves_no_way_back_for_an_open_flow() {
    let mut memory = Memory::new(4, 64, 1536);
    let flow = at_once(FlowConfig::both_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    lab.shake(0, 0, 3);
    lab.says(10, Port::Inner, 1, 1, 60_000, 1000);
    assert_eq!(lab.flow().inner_to_outer.debt, 1000);
    let (id, now) = (lab.id(), lab.tape.now);
    lab.engine.drain(now);
    for direction in Direction::BOTH {
        assert_eq!(
            lab.engine
                .set_service(id, direction, Service::LocalAck, now),
            Ok(())
        );
    }
    lab.says(30, Port::Outer, 1, 1001, 60_000, 0);
    lab.until(200_000);
    for direction in Direction::BOTH {
        let info = lab.flow();
        assert_eq!(info.direction(direction).mode, DirectionMode::Bypass);
        assert_eq!(info.direction(direction).service, Service::Bypass);
    }
    lab.says(200_001, Port::Inner, 1001, 1, 60_000, 1000);
    assert_eq!(lab.verdict, Some(Verdict::Pass(PassReason::BypassService)));
}

/// A hole is filled before many small blocks, and nothing may be sent: the walk over them is spread
/// over several polls, each of a bounded length, and comes to its end (architecture: work and time).
#[test]
fn a_long_walk_is_spread_over_polls() {
    const BLOCK: usize = 64;
    let mut memory = Memory::new(4, 9000, BLOCK);
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.buffer_limit = 512_000;
    let mut config = Config::new([1, 2]);
    config.debt_floor = 512_000;
    let mut lab = Lab::new(&mut memory, config, flow);
    lab.offer.1 = Some(7);
    lab.shake(0, 0, 3);
    lab.says(10, Port::Outer, 1, 1, 0, 0);
    lab.says(11, Port::Inner, 1, 1, 60_000, 1);
    // Nothing is acknowledged while the direction drains, so that walking is all there is to do.
    let (id, now) = (lab.id(), lab.tape.now);
    lab.engine
        .set_service(id, Direction::InnerToOuter, Service::Bypass, now)
        .expect("known");
    lab.settle();
    let end = 400_002;
    for start in (1002..end).step_by(MSS as usize) {
        lab.says(12, Port::Inner, start, 1, 60_000, MSS);
    }
    assert_eq!(lab.flow().inner_to_outer.mode, DirectionMode::Draining);
    let filler = segment(Port::Inner, Flags::ACK, 2, 1, 60_000, MSS);
    let mut octets = filler.encode(Layout::Aligned);
    let meta = PacketMeta::default();
    let _ = lab
        .engine
        .ingest(Port::Inner, lab.tape.now, &mut octets, meta, &mut lab.tape);
    let reached = |lab: &Lab<'_>| lab.flow().inner_to_outer.rcv_nxt.raw() - ISN[0];
    let (mut polls, mut longest) = (0, 0);
    loop {
        let before = reached(&lab);
        let answer = lab.engine.poll(lab.tape.now, 1, &mut lab.tape);
        longest = longest.max(reached(&lab) - before);
        polls += 1;
        assert!(polls < 1000, "the walk does not come to its end");
        if answer == Poll::Idle {
            break;
        }
        assert_eq!(answer, Poll::More);
    }
    assert!(reached(&lab) >= end, "reached {}", reached(&lab));
    assert!(
        polls > 1 && longest < end / 2 + MSS * 100,
        "{polls} polls, {longest} octets at once"
    );
}

/// Hosts that vanish with a hole between them and a SACK promise: their slot serves others when the
/// idle time is over (rule H9.8).
#[test]
fn h9_8_a_slot_comes_free_after_the_idle_time() {
    let mut memory = Memory::new(1, 64, 1536);
    let flow = at_once(FlowConfig::inner_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    lab.shake(0, 0, 3);
    lab.says(10, Port::Inner, 1, 1, 60_000, 1000);
    lab.says(11, Port::Inner, 2001, 1, 60_000, 1000);
    lab.says(30, Port::Outer, 1, 1001, 60_000, 0);
    assert_eq!(lab.flow().inner_to_outer.debt, 0);
    let other = |flags, seq, ack| {
        let mut packet = segment(Port::Inner, flags, seq, ack, 60_000, 0);
        packet.source = "192.0.2.2:40000".parse().expect("a literal");
        packet
    };
    lab.arrives(7_000_000, Port::Inner, &other(Flags::SYN, 0, 0));
    assert_eq!(lab.verdict, Some(Verdict::Pass(PassReason::TableFull)));
    lab.until(8_000_000);
    assert_eq!(lab.engine.flows().count(), 0);
    lab.arrives(8_000_001, Port::Inner, &other(Flags::SYN, 0, 0));
    assert_eq!(lab.verdict, Some(Verdict::Pass(PassReason::Handshake)));
    assert_eq!(lab.flow().state, FlowState::SynSeen);
}
