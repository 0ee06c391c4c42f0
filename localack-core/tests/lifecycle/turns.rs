//! Whose turn it is: polls without room, flows in line at vouched rates, handshakes that must make room.

use std::collections::BTreeSet;

use localack_core::{
    Config, Controller, Direction, FlowConfig, PacketMeta, Poll, Port, Provision, Service,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, Layout};

use super::lab::{Lab, MSS, at, at_once, segment};
use super::paths::{opens, says};

/// The inner host on this port sends so many segments, and nobody polls.
fn gives(lab: &mut Lab<'_>, inner: u16, segments: u32) {
    for number in 0..segments {
        let mut packet = segment(Port::Inner, Flags::ACK, 1 + number * MSS, 1, 60_000, MSS);
        packet.source.set_port(inner);
        let mut octets = packet.encode(Layout::Aligned);
        let (now, meta) = (lab.tape.now, PacketMeta::default());
        let _ = lab
            .engine
            .ingest(Port::Inner, now, &mut octets, meta, &mut lab.tape);
    }
}

/// What each flow has sent to its outer host, in the order of their ports.
fn sent(lab: &Lab<'_>) -> Vec<u32> {
    let mut flows: Vec<_> = lab
        .engine
        .flows()
        .map(|flow| (flow.key.inner_port(), flow.inner_to_outer.snd_nxt.raw()))
        .collect();
    flows.sort_unstable();
    flows.into_iter().map(|(_, next)| next).collect()
}

#[test]
fn a_poll_without_room_puts_nothing_off() {
    let mut memory = Memory::new(4, 128, 1000);
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.controller = Controller::Reno;
    flow.pacing = false;
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    opens(&mut lab, 0, 40_000, 100);
    // The receiver closes its window, and opens it again.
    let mut window = segment(Port::Outer, Flags::ACK, 1, 1, 1, 0);
    window.payload = vec![1];
    lab.arrives(200, Port::Outer, &window);
    lab.until(300);
    gives(&mut lab, 40_000, 30);
    lab.settle();
    assert_eq!(lab.reached(Port::Outer), 1);
    let open = segment(Port::Outer, Flags::ACK, 2, 1, 60_000, 0);
    let (now, meta) = (lab.tape.now, PacketMeta::default());
    let mut octets = open.encode(Layout::Aligned);
    let _ = lab
        .engine
        .ingest(Port::Outer, now, &mut octets, meta, &mut lab.tape);
    let before = sent(&lab);
    assert_eq!(lab.engine.poll(now, 0, &mut lab.tape), Poll::More);
    assert_eq!(sent(&lab), before, "there was no room");
    lab.settle();
    assert_eq!(lab.reached(Port::Outer), 1 + 10 * MSS);
}

#[test]
fn h8_7_a_poll_without_room_does_not_use_up_the_probe_of_a_dead_path() {
    let mut memory = Memory::new(8, 128, 1000);
    let policy = at_once(FlowConfig::inner_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy);
    opens(&mut lab, 0, 40_000, 600);
    let inner = (40_000, Port::Inner);
    says(&mut lab, 1_000, inner, Flags::ACK, [1, 1, MSS]);
    let mut ms = 1_000;
    while lab.engine.counters().path_probes == 0 {
        ms += 100;
        assert!(ms < 30_000, "the path is never found dead");
        lab.until(ms);
    }
    let due = lab.engine.next_deadline().expect("the next probe");
    let (probes, offered) = (lab.engine.counters().path_probes, lab.tape.offered);
    assert_eq!(lab.engine.poll(due, 0, &mut lab.tape), Poll::More);
    assert_eq!(lab.engine.counters().path_probes, probes);
    assert_eq!(lab.tape.offered, offered);
    let _ = lab.engine.poll(due, 8, &mut lab.tape);
    assert_eq!(lab.engine.counters().path_probes, probes + 1);
    assert_eq!(lab.tape.offered, offered + 1);
}

/// Two flows at rates of their own.
fn at_two_rates<'m>(memory: &'m mut Memory, rates: [u32; 2]) -> Lab<'m> {
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.controller = Controller::Provisioned(Provision::new(1, rates[0]));
    let mut lab = Lab::new(memory, Config::new([1, 2]), flow);
    opens(&mut lab, 0, 40_000, 600);
    opens(&mut lab, 700, 40_001, 600);
    let second = lab.flow();
    assert_eq!(second.key.inner_port(), 40_001);
    let controller = Controller::Provisioned(Provision::new(2, rates[1]));
    let now = lab.tape.now;
    let direction = Direction::InnerToOuter;
    let chosen = lab
        .engine
        .set_controller(second.id, direction, controller, now);
    assert_eq!(chosen, Ok(()));
    lab.until(2_000);
    lab
}

#[test]
fn flows_at_two_rates_take_turns_however_small_the_budget_is() {
    let mut memory = Memory::new(4, 256, 1000);
    let mut lab = at_two_rates(&mut memory, [100_000_000; 2]);
    gives(&mut lab, 40_000, 60);
    gives(&mut lab, 40_001, 60);
    lab.tape.now = at(2_001);
    let before = sent(&lab);
    for _ in 0..8 {
        let polled = lab.engine.poll(lab.tape.now, 1, &mut lab.tape);
        assert_eq!(polled, Poll::More);
    }
    let packets: Vec<u32> = sent(&lab)
        .iter()
        .zip(before)
        .map(|(after, before)| (after - before) / MSS)
        .collect();
    assert_eq!(packets, [4, 4]);
}

#[test]
fn a_flow_with_data_both_ways_waits_at_one_rate_after_the_other() {
    let mut memory = Memory::new(4, 256, 1000);
    let mut flow = at_once(FlowConfig::both_local_ack());
    flow.controller = Controller::Provisioned(Provision::new(1, 100_000));
    flow.inward_controller = Controller::Provisioned(Provision::new(2, 100_000));
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    // Both hosts are far away.
    for step in 0..3_u16 {
        lab.shake(600 * u64::from(step), step.into(), usize::from(step) + 1);
    }
    let segments = 20;
    for number in 0..segments {
        for from in [Port::Inner, Port::Outer] {
            let numbers = [1 + number * MSS, 1, MSS];
            says(&mut lab, 2_000, (40_000, from), Flags::ACK, numbers);
        }
    }
    // Less than a time-out, and long enough for both.
    lab.until(2_900);
    for port in [Port::Inner, Port::Outer] {
        assert_eq!(lab.reached(port), 1 + segments * MSS, "{port:?}");
    }
}

#[test]
fn who_can_send_no_more_leaves_its_part_of_the_rate_to_the_others() {
    let mut memory = Memory::new(4, 256, 1000);
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.controller = Controller::Provisioned(Provision::new(1, 100_000));
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    for (at, port) in [(0, 40_000), (700, 40_001)] {
        opens(&mut lab, at, port, 600);
    }
    lab.until(2_000);
    gives(&mut lab, 40_000, 50);
    gives(&mut lab, 40_001, 50);
    lab.until(2_100);
    // What the second flow may use, as it is told with news of its receiver.
    let part = |lab: &mut Lab<'_>, ms: u64, segments: u32| {
        let told = [1, 1 + segments * MSS, 0];
        says(lab, ms, (40_001, Port::Outer), Flags::ACK, told);
        let Controller::Provisioned(part) = lab.flow().inner_to_outer.controller else {
            panic!("it is vouched for");
        };
        part.rate
    };
    let half = part(&mut lab, 2_110, 1);
    // The receiver of the first flow closes its window.
    let mut shut = segment(Port::Outer, Flags::ACK, 1, 1 + MSS, 0, 0);
    shut.destination.set_port(40_000);
    lab.arrives(2_120, Port::Outer, &shut);
    let whole = part(&mut lab, 2_121, 2);
    assert_eq!((half, whole), (50_000, 100_000));
}

/// Whoever does not know the hash key cannot tell which handshake has to go (H7.8).
#[test]
fn h7_8_which_handshake_makes_room_is_a_matter_of_chance() {
    let mut evicted = BTreeSet::new();
    for key in 0..32 {
        let mut memory = Memory::new(16, 16, 256);
        let config = Config::new([key, key + 7]);
        let mut lab = Lab::new(&mut memory, config, FlowConfig::tracked());
        let ports: BTreeSet<u16> = (1..=9).collect();
        for &port in &ports {
            let mut syn = segment(Port::Inner, Flags::SYN, 0, 0, 60_000, 0);
            syn.source.set_port(port);
            lab.arrives(u64::from(port), Port::Inner, &syn);
        }
        let kept: BTreeSet<u16> = lab
            .engine
            .flows()
            .map(|flow| flow.key.inner_port())
            .collect();
        assert_eq!(kept.len(), 8, "half of the slots");
        evicted.extend(ports.difference(&kept).copied());
    }
    assert!(evicted.len() > 3, "{evicted:?}");
}

#[test]
fn h13_3_only_the_direction_that_keeps_copies_is_told_to() {
    let mut memory = Memory::new(4, 64, 1000);
    let flow = FlowConfig::tracked().with_service(Direction::InnerToOuter, Service::Snoop);
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    lab.shake(0, 0, 1);
    lab.shake(50, 1, 3);
    let told: Vec<_> = lab
        .tape
        .events
        .iter()
        .filter_map(|event| {
            let localack_core::Event::ServiceChanged {
                direction, service, ..
            } = *event
            else {
                return None;
            };
            Some((direction, service))
        })
        .collect();
    assert_eq!(told, [(Direction::InnerToOuter, Service::Snoop)]);
}
