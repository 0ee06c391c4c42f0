//! Senders that are short of their window because the pool is short of blocks (H2.6, H12.4), and those that
//! are short of it for other reasons.

use localack_core::{Config, Controller, FlowConfig, Port, TransmitKind};
use localack_testkit::memory::Memory;
use localack_testkit::packet::Flags;

use super::lab::{ISN, Lab, Left, MSS, at_once, segment};

/// A round trip so long that no timer of the flow's own runs out within a second.
const RTT_MS: u64 = 1000;
/// Inner ports of the connection that uses up the pool and of the one that is short of blocks then.
const GREEDY: u16 = 40_000;
const SHORT: u16 = 40_001;

/// A segment of a connection; its receiver offers so much at first.
fn says(lab: &mut Lab<'_>, ms: u64, (inner, port): (u16, Port), flags: Flags, numbers: [u32; 4]) {
    let [seq, ack, window, len] = numbers;
    let mut packet = segment(port, flags, seq, ack, window as u16, len);
    match port {
        Port::Inner => packet.source.set_port(inner),
        Port::Outer => packet.destination.set_port(inner),
    }
    lab.arrives(ms, port, &packet);
}

fn opens(lab: &mut Lab<'_>, inner: u16, window: u32) {
    let answer = Flags::SYN | Flags::ACK;
    says(lab, 0, (inner, Port::Inner), Flags::SYN, [0, 0, 60_000, 0]);
    says(lab, RTT_MS, (inner, Port::Outer), answer, [0, 1, window, 0]);
    says(
        lab,
        RTT_MS,
        (inner, Port::Inner),
        Flags::ACK,
        [1, 1, 60_000, 0],
    );
}

/// `count` segments from `seq` on.
fn gives(lab: &mut Lab<'_>, ms: u64, inner: u16, seq: u32, count: u32) {
    for number in 0..count {
        let numbers = [seq + number * MSS, 1, 60_000, MSS];
        says(lab, ms, (inner, Port::Inner), Flags::ACK, numbers);
    }
}

/// The receiver of the second connection has so much.
fn hears(lab: &mut Lab<'_>, ms: u64, ack: u32) {
    says(
        lab,
        ms,
        (SHORT, Port::Outer),
        Flags::ACK,
        [1, ack, 4001 - ack, 0],
    );
}

/// What has to wait waits for an acknowledgement.
fn unpaced() -> FlowConfig {
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.controller = Controller::Reno;
    flow.pacing = false;
    flow
}

/// One connection has used up what nobody else was promised, and another has `promised` blocks left and was
/// offered `offered` octets.
fn shortage<'m>(memory: &'m mut Memory, promised: u32, offered: u32) -> Lab<'m> {
    let mut config = Config::new([1, 2]);
    config.reserved_blocks = promised;
    let mut lab = Lab::new(memory, config, unpaced());
    says(
        &mut lab,
        0,
        (GREEDY, Port::Inner),
        Flags::SYN,
        [0, 0, 60_000, 0],
    );
    says(
        &mut lab,
        0,
        (SHORT, Port::Inner),
        Flags::SYN,
        [0, 0, 60_000, 0],
    );
    for (inner, window) in [(GREEDY, 60_000), (SHORT, offered)] {
        let answer = Flags::SYN | Flags::ACK;
        says(
            &mut lab,
            RTT_MS,
            (inner, Port::Outer),
            answer,
            [0, 1, window, 0],
        );
        says(
            &mut lab,
            RTT_MS,
            (inner, Port::Inner),
            Flags::ACK,
            [1, 1, 60_000, 0],
        );
    }
    gives(&mut lab, 1100, GREEDY, 1, 57);
    lab
}

fn is_quiet_for_a_second(lab: &Lab<'_>) -> bool {
    lab.engine
        .next_deadline()
        .is_none_or(|due| due.since(lab.tape.now).as_millis() > 700)
}

#[test]
fn h2_6_a_sender_short_of_blocks_is_offered_those_that_another_gives_back() {
    let mut memory = Memory::new(4, 61, 1000);
    let mut lab = shortage(&mut memory, 4, 4000);
    gives(&mut lab, 1101, SHORT, 1, 4);
    let edge = |lab: &Lab<'_>| {
        let mut flows = lab.engine.flows();
        let flow = flows
            .find(|flow| flow.key.inner_port() == SHORT)
            .expect("a flow");
        flow.inner_to_outer.offered_edge.raw() - ISN[0]
    };
    hears(&mut lab, 1110, 1001);
    assert_eq!(edge(&lab), 4001);
    says(
        &mut lab,
        1150,
        (GREEDY, Port::Outer),
        Flags::ACK,
        [1, 57_001, 60_000, 0],
    );
    lab.until(1350);
    assert!(edge(&lab) >= 4001 + 2 * MSS, "{}", edge(&lab));
    let offered = |left: &&Left| {
        left.toward == Port::Inner
            && left.kind == Some(TransmitKind::WindowUpdate)
            && left.ack == 4001
    };
    assert_eq!(lab.tape.left.iter().filter(offered).count(), 1);
}

#[test]
fn h2_6_nobody_looks_for_blocks_who_needs_none() {
    // Two segments may still come.
    let mut memory = Memory::new(4, 60, 1000);
    let mut lab = shortage(&mut memory, 3, 4000);
    gives(&mut lab, 1101, SHORT, 1, 2);
    hears(&mut lab, 1102, 1);
    assert!(
        is_quiet_for_a_second(&lab),
        "{:?}",
        lab.engine.next_deadline()
    );
    // All has been said.
    let last = [1 + 2 * MSS, 1, 60_000, MSS];
    says(
        &mut lab,
        1103,
        (SHORT, Port::Inner),
        Flags::ACK | Flags::FIN,
        last,
    );
    hears(&mut lab, 1104, 1);
    assert!(
        is_quiet_for_a_second(&lab),
        "{:?}",
        lab.engine.next_deadline()
    );
    // What may be owed is all owed, and there are blocks enough.
    let mut memory = Memory::new(4, 60, 1000);
    let mut flow = unpaced();
    flow.buffer_limit = 8000;
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    opens(&mut lab, SHORT, 4000);
    gives(&mut lab, 1101, SHORT, 1, 8);
    hears(&mut lab, 1102, 1);
    let info = lab.flow().inner_to_outer;
    assert_eq!((info.debt, info.offered_edge), (8000, info.rcv_nxt));
    assert!(
        is_quiet_for_a_second(&lab),
        "{:?}",
        lab.engine.next_deadline()
    );
}
