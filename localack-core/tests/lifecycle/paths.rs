//! Flows whose path may be dead: how soon that is believed, and what they do when they have something else to
//! do in between (RFC 6298 section 5.5, rule H8.7).

use localack_core::{Config, FlowConfig, Port};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, Packet};

use super::lab::{ISN, Lab, MSS, at_once, segment};

/// A segment of the connection from this port of the inner host; no host knows SACK.
pub(super) fn says(lab: &mut Lab<'_>, ms: u64, from: (u16, Port), flags: Flags, numbers: [u32; 3]) {
    let ((inner, port), [seq, ack, len]) = (from, numbers);
    let mut packet = segment(port, flags, seq, ack, 60_000, len);
    packet.options.sack_permitted = false;
    match port {
        Port::Inner => packet.source.set_port(inner),
        Port::Outer => packet.destination.set_port(inner),
    }
    lab.arrives(ms, port, &packet);
}

pub(super) fn opens(lab: &mut Lab<'_>, ms: u64, inner: u16, rtt_ms: u64) {
    let answer = Flags::SYN | Flags::ACK;
    says(lab, ms, (inner, Port::Inner), Flags::SYN, [0, 0, 0]);
    says(lab, ms + rtt_ms, (inner, Port::Outer), answer, [0, 1, 0]);
    for from in [Port::Inner, Port::Outer] {
        says(lab, ms + rtt_ms, (inner, from), Flags::ACK, [1, 1, 0]);
    }
}

/// A path is dead if a flow has timed out again and nobody in its network was heard since it first did; that
/// others time out meanwhile does not make up for a word that was heard.
#[test]
fn rfc6298_5_5_a_path_is_not_dead_that_was_heard_since_the_time_out_before() {
    let mut memory = Memory::new(8, 128, 1000);
    let policy = at_once(FlowConfig::inner_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy);
    let ports = [40_000, 40_001, 40_002, 40_003];
    let [first, second, third, quiet] = ports;
    for (at, port) in (0..).step_by(100).zip(ports) {
        opens(&mut lab, at, port, 100);
    }
    let sends = |lab: &mut Lab<'_>, ms, port| {
        says(lab, ms, (port, Port::Inner), Flags::ACK, [1, 1, MSS]);
    };
    // The first time-outs are 300 ms long, and so is half of the second, when a flow asks for its path.
    sends(&mut lab, 1_000, first);
    sends(&mut lab, 1_200, second);
    sends(&mut lab, 1_200, third);
    lab.until(1_320);
    assert_eq!(lab.engine.counters().timeouts, 1);
    let word = [1, 1, 10];
    says(&mut lab, 1_350, (quiet, Port::Outer), Flags::ACK, word);
    lab.until(1_520);
    assert_eq!(lab.engine.counters().timeouts, 3);
    lab.until(1_790);
    assert_eq!(lab.engine.counters().path_probes, 0, "the path was heard");
    // From then on nobody says anything.
    lab.until(1_900);
    assert_eq!(lab.engine.counters().path_probes, 1);
}

/// A dead path is probed for all of its flows, even after the only one had to say something to its sender.
#[test]
fn h8_7_who_had_something_else_to_do_goes_on_probing_a_dead_path() {
    let mut memory = Memory::new(8, 128, 1000);
    let policy = at_once(FlowConfig::inner_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy);
    let only = 40_000;
    opens(&mut lab, 0, only, 600);
    let inner = (only, Port::Inner);
    says(&mut lab, 1_000, inner, Flags::ACK, [1, 1, MSS]);
    let mut ms = 1_000;
    while lab.engine.counters().path_probes == 0 {
        ms += 100;
        assert!(ms < 30_000, "the path is never found dead");
        lab.until(ms);
    }
    // The sender goes on, and what it is told has to wait for room.
    lab.tape.refused = Some(lab.tape.offered);
    says(&mut lab, ms + 10, inner, Flags::ACK, [1 + MSS, 1, MSS]);
    let offered = lab.tape.refused.expect("just set");
    assert!(lab.tape.offered > offered + 1, "it was refused, and taken");
    let before = lab.engine.counters().path_probes;
    lab.until(ms + 1_010);
    let probes = lab.engine.counters().path_probes - before;
    assert!((6..=9).contains(&probes), "{probes} in a second");
}

/// A time-out counts like any other where the path was known to be dead: when it has come back. And what was sent
/// into it is lost, even if some of it arrived and only the answer did not: nothing is taken back for that (RFC 5682
/// section 3.1).
#[test]
fn h8_7_who_was_held_at_the_first_time_out_takes_nothing_back() {
    let mut memory = Memory::new(8, 128, 1000);
    let policy = at_once(FlowConfig::inner_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy);
    let (first, others) = (40_000, [40_001, 40_002]);
    opens(&mut lab, 0, first, 100);
    // The others know SACK.
    let tells = |lab: &mut Lab<'_>, ms, (inner, port): (u16, Port), mut packet: Packet| {
        match port {
            Port::Inner => packet.source.set_port(inner),
            Port::Outer => packet.destination.set_port(inner),
        }
        lab.arrives(ms, port, &packet);
    };
    let answer = Flags::SYN | Flags::ACK;
    for (ms, inner) in [(100, others[0]), (200, others[1])] {
        for (after, port, flags, [seq, ack]) in [
            (0, Port::Inner, Flags::SYN, [0, 0]),
            (100, Port::Outer, answer, [0, 1]),
            (100, Port::Inner, Flags::ACK, [1, 1]),
        ] {
            let packet = segment(port, flags, seq, ack, 60_000, 0);
            tells(&mut lab, ms + after, (inner, port), packet);
        }
    }
    let data = [1, 1, MSS];
    says(&mut lab, 1_000, (first, Port::Inner), Flags::ACK, data);
    let mut ms = 1_000;
    while lab.engine.counters().path_probes == 0 {
        ms += 100;
        assert!(ms < 30_000, "the path is never found dead");
        lab.until(ms);
    }
    for inner in others {
        for number in 0..3 {
            let seq = 1 + number * MSS;
            let packet = segment(Port::Inner, Flags::ACK, seq, 1, 60_000, MSS);
            tells(&mut lab, ms, (inner, Port::Inner), packet);
        }
    }
    lab.until(ms + 1_000);
    let before = lab.engine.counters().timeouts;
    let arrived = [1, 1 + MSS, 0];
    let outer = (first, Port::Outer);
    says(&mut lab, ms + 1_000, outer, Flags::ACK, arrived);
    lab.until(ms + 1_100);
    assert_eq!(lab.engine.counters().timeouts, before + 2);
    // The second segment of each had arrived before.
    for inner in others {
        let mut packet = segment(Port::Outer, Flags::ACK, 1, 1, 60_000, 0);
        packet.options.sack_present = true;
        packet.options.sack = [(ISN[0] + 1 + MSS, ISN[0] + 1 + 2 * MSS)].to_vec();
        tells(&mut lab, ms + 1_100, (inner, Port::Outer), packet);
    }
    assert_eq!(lab.engine.counters().spurious_recoveries, 0);
}
