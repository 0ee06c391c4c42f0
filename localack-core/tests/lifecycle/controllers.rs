//! Another controller takes over while losses are repaired: it knows of the loss, and the window does not
//! leap (RFC 9937, RFC 5681 section 3.1).

use localack_core::{
    Config, Controller, Direction, DirectionMode, Engine, FlowConfig, Port, Provision, Service,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::Flags;

use super::lab::{ISN, Lab, MSS, at_once, segment};

/// The receiver has everything up to `ack`, and `from .. to`.
fn sacks(lab: &mut Lab<'_>, ms: u64, ack: u32, (from, to): (u32, u32)) {
    let mut packet = segment(Port::Outer, Flags::ACK, 1, ack, 60_000, 0);
    packet.options.sack_present = true;
    packet.options.sack = [(ISN[0] + from, ISN[0] + to)].to_vec();
    lab.arrives(ms, Port::Outer, &packet);
}

#[test]
fn rfc9937_a_controller_that_takes_over_in_recovery_reduces_the_window() {
    let all = [
        Controller::Reno,
        Controller::Cubic,
        Controller::Bbr,
        Controller::provisioned(2_000_000),
    ];
    for (from, to) in all.iter().flat_map(|&from| all.map(|to| (from, to))) {
        let what = format!("{from:?} to {to:?}");
        let mut memory = Memory::new(4, 128, 1000);
        let mut flow = at_once(FlowConfig::inner_local_ack());
        flow.controller = from;
        let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
        lab.shake(0, 0, 1);
        lab.shake(50, 1, 3);
        for segment in 0..20 {
            lab.says(60, Port::Inner, 1 + segment * MSS, 1, 60_000, MSS);
        }
        lab.until(100);
        let sent = lab.flow().inner_to_outer.snd_nxt.raw() - ISN[0];
        assert!(sent > 10_000, "{what}: {sent}");
        // The first segment is lost, and nothing else.
        sacks(&mut lab, 110, 1, (1001, 4001));
        assert_eq!(lab.engine.counters().recoveries, 1, "{what}");
        let (id, now) = (lab.id(), lab.tape.now);
        let direction = Direction::InnerToOuter;
        let chosen = lab.engine.set_controller(id, direction, to, now);
        assert_eq!(chosen, Ok(()));
        sacks(&mut lab, 111, 1, (1001, 5001));
        // Where a rate or a model of the path bounds what is in flight, it does so still.
        let follows_window = matches!(to, Controller::Reno | Controller::Cubic);
        let cwnd = lab.flow().inner_to_outer.cwnd;
        assert!(
            !follows_window || cwnd <= 20_000,
            "{what}: {cwnd} in recovery"
        );
        let sent = lab.flow().inner_to_outer.snd_nxt.raw() - ISN[0];
        lab.says(170, Port::Outer, 1, sent, 60_000, 0);
        let cwnd = lab.flow().inner_to_outer.cwnd;
        assert!(
            !follows_window || cwnd <= 15_000,
            "{what}: {cwnd} after recovery"
        );
    }
}

/// Where nothing is lost a controller that takes over goes on with the window as it is.
#[test]
fn h12_1_a_controller_that_takes_over_without_a_loss_reduces_nothing() {
    for to in [Controller::Reno, Controller::Cubic] {
        let mut memory = Memory::new(4, 128, 1000);
        let mut flow = at_once(FlowConfig::inner_local_ack());
        flow.controller = Controller::Cubic;
        let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
        lab.shake(0, 0, 1);
        lab.shake(50, 1, 3);
        for segment in 0..40 {
            lab.says(60, Port::Inner, 1 + segment * MSS, 1, 60_000, MSS);
        }
        let before = lab.flow().inner_to_outer.cwnd;
        let (id, now) = (lab.id(), lab.tape.now);
        let direction = Direction::InnerToOuter;
        let chosen = lab.engine.set_controller(id, direction, to, now);
        assert_eq!(chosen, Ok(()));
        for ms in 110..115 {
            let sent = lab.flow().inner_to_outer.snd_una.raw() - ISN[0] + 2 * MSS;
            lab.says(ms, Port::Outer, 1, sent, 60_000, 0);
        }
        let after = lab.flow().inner_to_outer.cwnd;
        assert!(after > before, "{to:?}: {before} before, {after} after");
    }
}

/// What a controller forbade and its successor allows leaves at the next poll.
#[test]
fn a_controller_that_allows_more_is_heard_at_once() {
    let mut memory = Memory::new(4, 128, 1000);
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.controller = Controller::Reno;
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    lab.shake(0, 0, 1);
    lab.shake(50, 1, 3);
    for segment in 0..30 {
        lab.says(60, Port::Inner, 1 + segment * MSS, 1, 60_000, MSS);
    }
    let before = lab.reached(Port::Outer);
    assert!(before < 20_000, "{before}");
    let (id, now) = (lab.id(), lab.tape.now);
    let vouched = Controller::provisioned(2_000_000);
    let direction = Direction::InnerToOuter;
    let chosen = lab.engine.set_controller(id, direction, vouched, now);
    assert_eq!(chosen, Ok(()));
    assert_eq!(lab.engine.next_deadline(), Some(now));
    lab.until(75);
    assert_eq!(lab.reached(Port::Outer), 30_001, "15 ms at 2 MB/s");
}

#[test]
fn a_vouched_rate_can_be_changed_while_flows_wait_for_it() {
    let mut memory = Memory::new(4, 128, 1000);
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.controller = Controller::Provisioned(Provision::new(5, 10_000));
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    assert!(!lab.engine.set_shared_rate(5, 10_000, lab.tape.now));
    lab.shake(0, 0, 1);
    lab.shake(50, 1, 3);
    lab.says(60, Port::Outer, 1, 1, 60_000, 0);
    for segment in 0..40 {
        lab.says(70, Port::Inner, 1 + segment * MSS, 1, 60_000, MSS);
    }
    // The receiver acknowledges what it has, ten times a second.
    let reached_by = |lab: &mut Lab<'_>, from: u64, to: u64| {
        for ms in (from..to).step_by(100) {
            lab.until(ms);
            let reached = lab.reached(Port::Outer);
            lab.says(ms, Port::Outer, 1, reached, 60_000, 0);
        }
        lab.until(to);
        lab.reached(Port::Outer)
    };
    let slow = reached_by(&mut lab, 100, 1100);
    assert!((8_000..16_000).contains(&slow), "{slow}");
    assert!(lab.engine.set_shared_rate(5, 1_000_000, lab.tape.now));
    let fast = reached_by(&mut lab, 1100, 1500);
    assert_eq!(fast, 40_001, "{slow} before");
}

/// The rate that was vouched for last is known to no flow; it lasts as long as they do.
#[test]
fn a_vouched_rate_that_was_changed_outlives_its_engine() {
    let mut memory = Memory::new(4, 128, 1000);
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.controller = Controller::Provisioned(Provision::new(5, 10_000_000));
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    lab.shake(0, 0, 1);
    lab.shake(50, 1, 3);
    lab.says(60, Port::Outer, 1, 1, 60_000, 0);
    assert!(lab.engine.set_shared_rate(5, 10_000, lab.tape.now));
    let (storage, config, policy) = lab.engine.into_parts();
    let (engine, report) = Engine::attach(storage, config, policy).expect("one lived here");
    assert_eq!(report.flows, 1);
    lab.engine = engine;
    for segment in 0..40 {
        lab.says(70, Port::Inner, 1 + segment * MSS, 1, 60_000, MSS);
    }
    lab.until(1_070);
    let reached = lab.reached(Port::Outer);
    assert!((1_001..16_000).contains(&reached), "{reached} in a second");
}

#[test]
fn h12_3_a_flow_that_waits_for_its_turn_is_handed_back_at_the_next_poll() {
    let mut memory = Memory::new(4, 128, 1000);
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.controller = Controller::Provisioned(Provision::new(5, 10_000));
    for drains in [false, true] {
        let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
        lab.shake(0, 0, 1);
        lab.shake(50, 1, 3);
        lab.says(60, Port::Outer, 1, 1, 60_000, 0);
        for segment in 0..3 {
            lab.says(70, Port::Inner, 1 + segment * MSS, 1, 60_000, MSS);
        }
        let (id, now) = (lab.id(), lab.tape.now);
        if drains {
            lab.engine.drain(now);
        } else {
            let direction = Direction::InnerToOuter;
            let asked = lab.engine.set_service(id, direction, Service::Bypass, now);
            assert_eq!(asked, Ok(()));
        }
        lab.settle();
        assert_eq!(lab.flow().inner_to_outer.mode, DirectionMode::Draining);
    }
}
