//! What connections leave behind for those after them to the same network (H12.5).

use localack_core::{
    Config, Controller, Direction, DirectionInfo, DirectionMode, FlowConfig, Port, Service,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::Flags;

use super::lab::{ISN, Lab, MSS, at_once, segment};

const RTT_MS: u64 = 200;

/// A segment of the connection from this port of the inner host.
fn says(lab: &mut Lab<'_>, ms: u64, from: (u16, Port), flags: Flags, numbers: [u32; 3]) {
    let ((inner, port), [seq, ack, len]) = (from, numbers);
    let mut packet = segment(port, flags, seq, ack, 65_000, len);
    match port {
        Port::Inner => packet.source.set_port(inner),
        Port::Outer => packet.destination.set_port(inner),
    }
    if port == Port::Outer && len == 0 && seq == 1 && ack == 1 {
        packet.options.sack = [(ISN[0] + 1 + MSS, ISN[0] + 1 + 4 * MSS)].to_vec();
    }
    lab.arrives(ms, port, &packet);
}

fn opens(lab: &mut Lab<'_>, ms: u64, inner: u16) {
    says(lab, ms, (inner, Port::Inner), Flags::SYN, [0, 0, 0]);
    let answer = Flags::SYN | Flags::ACK;
    says(lab, ms + RTT_MS, (inner, Port::Outer), answer, [0, 1, 0]);
    says(
        lab,
        ms + RTT_MS,
        (inner, Port::Inner),
        Flags::ACK,
        [1, 1, 0],
    );
}

fn info(lab: &Lab<'_>, inner: u16) -> DirectionInfo {
    let mut flows = lab.engine.flows();
    let flow = flows.find(|flow| flow.key.inner_port() == inner);
    flow.expect("a flow").inner_to_outer
}

/// It is served no more, and everything is delivered.
fn leaves(lab: &mut Lab<'_>, inner: u16) {
    let mut flows = lab.engine.flows();
    let flow = flows.find(|flow| flow.key.inner_port() == inner);
    let (id, now) = (flow.expect("a flow").id, lab.tape.now);
    drop(flows);
    let asked = lab
        .engine
        .set_service(id, Direction::InnerToOuter, Service::Bypass, now);
    assert_eq!(asked, Ok(()));
    lab.settle();
    assert_eq!(info(lab, inner).mode, DirectionMode::Bypass);
}

#[test]
fn h12_5_a_threshold_is_left_by_those_who_found_one_and_only_by_them() {
    let mut memory = Memory::new(4, 256, 1000);
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.controller = Controller::Reno;
    flow.pacing = false;
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    let (first, second, third) = (40_000, 40_001, 40_002);
    opens(&mut lab, 0, first);
    opens(&mut lab, 300, second);
    let inner = |port| (port, Port::Inner);
    let outer = |port| (port, Port::Outer);

    // The first of four segments is lost: the threshold becomes two, and the window grows again.
    let mut ms = 600;
    for number in 0..18 {
        let seq = 1 + number * MSS;
        if number == 4 {
            says(&mut lab, ms + RTT_MS, outer(first), Flags::ACK, [1, 1, 0]);
            ms += RTT_MS * 2;
            says(&mut lab, ms, outer(first), Flags::ACK, [1, seq, 0]);
            assert_eq!(info(&lab, first).cwnd, 2 * MSS);
        }
        says(&mut lab, ms, inner(first), Flags::ACK, [seq, 1, MSS]);
    }
    for acked in [6, 9, 13, 18] {
        ms += RTT_MS;
        let ack = 1 + acked * MSS;
        says(&mut lab, ms, outer(first), Flags::ACK, [1, ack, 0]);
    }
    let found = info(&lab, first);
    assert_eq!(
        (found.debt, found.cwnd, found.ssthresh),
        (0, 6 * MSS, 2 * MSS)
    );

    // The second, which began before anything was known, has never filled a window.
    for number in 0..3 {
        let seq = 1 + number * MSS;
        says(&mut lab, ms, inner(second), Flags::ACK, [seq, 1, MSS]);
        ms += RTT_MS;
        says(&mut lab, ms, outer(second), Flags::ACK, [1, seq + MSS, 0]);
    }
    assert!(info(&lab, second).rate > 0);
    leaves(&mut lab, first);
    leaves(&mut lab, second);

    // What was delivered in a round trip did no harm, though the threshold was lower.
    opens(&mut lab, ms + 100, third);
    let min_rtt = found.min_rtt.as_micros();
    let delivered = u128::from(found.rate) * min_rtt / 1_000_000;
    assert!((4_500..5_500).contains(&delivered), "{delivered}");
    assert_eq!(u128::from(info(&lab, third).ssthresh), delivered);
}
