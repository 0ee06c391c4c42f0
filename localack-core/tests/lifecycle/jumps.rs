//! A connection that goes on where an earlier one to the same network left off (RFC 9959), segment by
//! segment, and what is left behind for the next (RFC 9040).

use core::time::Duration;

use localack_core::{
    Config, Controller, Direction, DirectionInfo, DirectionMode, FlowConfig, Port, Service,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::Flags;

use super::lab::{ISN, Lab, MSS, at, at_once, segment};

const RTT_MS: u64 = 200;
/// After a jump nobody else jumps for a while.
const CLAIM_MS: u64 = 5000;
const FIRST: u16 = 40_000;
const SECOND: u16 = 40_001;
const THIRD: u16 = 40_002;
/// No threshold is known.
const UNKNOWN: u32 = 1 << 30;

fn policy(careful_resume: bool) -> FlowConfig {
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.controller = Controller::Reno;
    flow.pacing = false;
    flow.careful_resume = careful_resume;
    flow
}

/// A segment of the connection from this port of the inner host.
fn says(lab: &mut Lab<'_>, (inner, port): (u16, Port), flags: Flags, numbers: [u32; 3]) {
    tells(lab, (inner, port), flags, numbers, None);
}

/// The same with a SACK block.
fn tells(
    lab: &mut Lab<'_>,
    (inner, port): (u16, Port),
    flags: Flags,
    [seq, ack, len]: [u32; 3],
    block: Option<(u32, u32)>,
) {
    let mut packet = segment(port, flags, seq, ack, 65_000, len);
    match port {
        Port::Inner => packet.source.set_port(inner),
        Port::Outer => packet.destination.set_port(inner),
    }
    packet.options.sack = block
        .iter()
        .map(|&(from, to)| (ISN[0] + from, ISN[0] + to))
        .collect();
    let now = now_ms(lab);
    lab.arrives(now, port, &packet);
}

/// The time since the beginning.
fn now_ms(lab: &Lab<'_>) -> u64 {
    lab.tape.now.since(at(0)).as_millis() as u64
}

fn passes(lab: &mut Lab<'_>, ms: u64) {
    let until = now_ms(lab) + ms;
    lab.until(until);
}

/// A handshake whose SYN was sent so many times.
fn opens(lab: &mut Lab<'_>, inner: u16, syns: usize) {
    for _ in 0..syns {
        says(lab, (inner, Port::Inner), Flags::SYN, [0, 0, 0]);
        passes(lab, RTT_MS);
    }
    says(
        lab,
        (inner, Port::Outer),
        Flags::SYN | Flags::ACK,
        [0, 1, 0],
    );
    says(lab, (inner, Port::Inner), Flags::ACK, [1, 1, 0]);
}

/// Gives `count` segments from `from` on.
fn gives(lab: &mut Lab<'_>, inner: u16, from: u32, count: u32) {
    for number in 0..count {
        let seq = from + number * MSS;
        says(lab, (inner, Port::Inner), Flags::ACK, [seq, 1, MSS]);
    }
}

fn acks(lab: &mut Lab<'_>, inner: u16, ack: u32) {
    says(lab, (inner, Port::Outer), Flags::ACK, [1, ack, 0]);
}

fn info(lab: &Lab<'_>, inner: u16) -> DirectionInfo {
    let mut flows = lab.engine.flows();
    let flow = flows.find(|flow| flow.key.inner_port() == inner);
    flow.expect("a flow").inner_to_outer
}

/// It is served no more.
fn leaves(lab: &mut Lab<'_>, inner: u16) {
    let mut flows = lab.engine.flows();
    let flow = flows.find(|flow| flow.key.inner_port() == inner);
    let (id, now) = (flow.expect("a flow").id, lab.tape.now);
    drop(flows);
    let direction = Direction::InnerToOuter;
    let asked = lab.engine.set_service(id, direction, Service::Bypass, now);
    assert_eq!(asked, Ok(()));
    lab.settle();
    assert_eq!(info(lab, inner).mode, DirectionMode::Bypass);
}

/// The first connection finds out that sixty segments fit into a round trip.
fn learns(lab: &mut Lab<'_>) {
    opens(lab, FIRST, 1);
    let mut next = 1;
    for count in [10, 20, 40, 60, 60, 60] {
        gives(lab, FIRST, next, count);
        passes(lab, RTT_MS);
        for _ in 0..count / 2 {
            next += 2 * MSS;
            acks(lab, FIRST, next);
        }
    }
    assert_eq!(info(lab, FIRST).debt, 0);
}

/// A connection after that one: it has jumped to thirty segments, and they are on their way.
fn jumps(lab: &mut Lab<'_>) {
    learns(lab);
    leaves(lab, FIRST);
    opens(lab, SECOND, 1);
    assert_eq!(lab.engine.counters().resumptions, 1);
    let cwnd = info(lab, SECOND).cwnd;
    assert!((29 * MSS..=30 * MSS).contains(&cwnd), "{cwnd}");
    gives(lab, SECOND, 1, 30);
}

#[test]
fn rfc9959_3_3_a_jump_that_arrives_is_a_window_like_any_other() {
    let mut memory = Memory::new(4, 256, 1000);
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy(true));
    jumps(&mut lab);
    let jumped = info(&lab, SECOND).cwnd;
    passes(&mut lab, RTT_MS);
    // The window was filled, so that it is not held any more.
    acks(&mut lab, SECOND, 1 + MSS);
    assert!(info(&lab, SECOND).cwnd >= jumped);
    acks(&mut lab, SECOND, 1 + 30 * MSS);
    assert!(info(&lab, SECOND).cwnd > jumped);
    // A loss after that says nothing of the jump.
    gives(&mut lab, SECOND, 1 + 30 * MSS, 10);
    passes(&mut lab, RTT_MS);
    let block = Some((1 + 31 * MSS, 1 + 35 * MSS));
    tells(
        &mut lab,
        (SECOND, Port::Outer),
        Flags::ACK,
        [1, 1 + 30 * MSS, 0],
        block,
    );
    assert_eq!(lab.engine.counters().recoveries, 1);
    passes(&mut lab, RTT_MS);
    acks(&mut lab, SECOND, 1 + 40 * MSS);
    passes(&mut lab, CLAIM_MS);
    opens(&mut lab, THIRD, 1);
    assert_eq!(lab.engine.counters().resumptions, 2);
}

/// What was not used is not vouched for by anything, neither is it by a receiver that would have taken just as
/// much.
#[test]
fn rfc9959_3_3_a_jump_that_is_not_used_is_taken_back() {
    for spare in [0, 5 * MSS] {
        let mut memory = Memory::new(4, 256, 1000);
        let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy(true));
        learns(&mut lab);
        leaves(&mut lab, FIRST);
        opens(&mut lab, SECOND, 1);
        let jumped = info(&lab, SECOND).cwnd;
        assert!(jumped > 10 * MSS);
        gives(&mut lab, SECOND, 1, 5);
        passes(&mut lab, RTT_MS);
        // One octet of a receiver's window is never used (H1.1b).
        let window = jumped + 1 + spare;
        let mut packet = segment(Port::Outer, Flags::ACK, 1, 1 + 5 * MSS, window as u16, 0);
        packet.destination.set_port(SECOND);
        let now = now_ms(&lab);
        lab.arrives(now, Port::Outer, &packet);
        assert_eq!(info(&lab, SECOND).cwnd, 10 * MSS, "{spare}");
    }
}

#[test]
fn rfc9959_3_5_a_loss_in_the_jump_is_a_retreat() {
    let mut memory = Memory::new(4, 256, 1000);
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy(true));
    jumps(&mut lab);
    passes(&mut lab, RTT_MS);
    let block = Some((1 + MSS, 1 + 5 * MSS));
    tells(
        &mut lab,
        (SECOND, Port::Outer),
        Flags::ACK,
        [1, 1, 0],
        block,
    );
    assert_eq!(lab.engine.counters().recoveries, 1);
    let cwnd = info(&lab, SECOND).cwnd;
    assert!(cwnd <= 5 * MSS, "{cwnd}");
    passes(&mut lab, RTT_MS);
    acks(&mut lab, SECOND, 1 + 30 * MSS);
    passes(&mut lab, CLAIM_MS);
    opens(&mut lab, THIRD, 1);
    assert_eq!(lab.engine.counters().resumptions, 1);
}

#[test]
fn rfc9959_3_6_a_time_out_after_a_jump_forgets_what_was_saved() {
    let mut memory = Memory::new(4, 256, 1000);
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy(true));
    jumps(&mut lab);
    passes(&mut lab, CLAIM_MS);
    assert!(lab.engine.counters().timeouts > 0);
    let ssthresh = info(&lab, SECOND).ssthresh;
    assert!(ssthresh <= 2 * MSS, "{ssthresh}");
    opens(&mut lab, THIRD, 1);
    assert_eq!(lab.engine.counters().resumptions, 1);
}

#[test]
fn h12_5_without_leave_nothing_jumps() {
    let mut memory = Memory::new(4, 256, 1000);
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy(false));
    learns(&mut lab);
    leaves(&mut lab, FIRST);
    opens(&mut lab, SECOND, 1);
    assert_eq!(lab.engine.counters().resumptions, 0);
    assert_eq!(info(&lab, SECOND).cwnd, 10 * MSS);
}

#[test]
fn rfc9040_who_has_delivered_nothing_has_learned_nothing() {
    let mut memory = Memory::new(4, 256, 1000);
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy(false));
    opens(&mut lab, FIRST, 1);
    assert!(info(&lab, FIRST).srtt > Duration::ZERO);
    leaves(&mut lab, FIRST);
    // A SYN that was sent twice measures nothing.
    opens(&mut lab, SECOND, 2);
    assert_eq!(info(&lab, SECOND).srtt, Duration::ZERO);
}

/// A connection that may jump, but has lost its SYN, takes the threshold instead (H7.9).
#[test]
fn h7_9_a_lost_syn_takes_the_threshold_that_was_found_and_no_jump() {
    let mut memory = Memory::new(4, 256, 1000);
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy(true));
    learns(&mut lab);
    let next = 1 + 250 * MSS;
    gives(&mut lab, FIRST, next, 20);
    passes(&mut lab, RTT_MS);
    let block = Some((next + MSS, next + 20 * MSS));
    tells(
        &mut lab,
        (FIRST, Port::Outer),
        Flags::ACK,
        [1, next, 0],
        block,
    );
    passes(&mut lab, RTT_MS);
    acks(&mut lab, FIRST, next + 20 * MSS);
    let found = info(&lab, FIRST);
    assert_eq!(found.cwnd, found.ssthresh);
    assert!(found.ssthresh < UNKNOWN);
    leaves(&mut lab, FIRST);
    opens(&mut lab, SECOND, 2);
    assert_eq!(lab.engine.counters().resumptions, 0);
    let taken = info(&lab, SECOND);
    assert_eq!((taken.cwnd, taken.ssthresh < UNKNOWN), (MSS, true));
}
