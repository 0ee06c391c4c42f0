//! What takes more steps than one packet may is done in parts, and soon (promise 5; RFC 8985 section 6.2).

use localack_core::{Config, FlowConfig, PacketMeta, Port, TransmitKind};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, Layout};

use super::lab::{ISN, Lab, MSS, at_once, segment};

/// Sixteen blocks hold one segment.
const BLOCK: usize = 64;

fn sacks(lab: &mut Lab<'_>, ms: u64, ack: u32, (from, to): (u32, u32)) {
    let mut packet = segment(Port::Outer, Flags::ACK, 1, ack, 60_000, 0);
    packet.options.sack_present = true;
    packet.options.sack = [(ISN[0] + from, ISN[0] + to)].to_vec();
    lab.arrives(ms, Port::Outer, &packet);
}

/// Octets that were sent again.
fn repaired(lab: &Lab<'_>) -> u32 {
    let left = lab.tape.left.iter();
    left.filter(|left| left.kind == Some(TransmitKind::Retransmission))
        .map(|left| left.len)
        .sum()
}

/// All of a flight but its last segment is lost, which is more than is looked through at once: nobody has to
/// say anything more for all of it to be found.
#[test]
fn rfc8985_6_2_a_burst_of_losses_is_found_without_another_word() {
    let mut memory = Memory::new(4, 1024, BLOCK);
    let policy = at_once(FlowConfig::inner_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy);
    lab.shake(0, 0, 1);
    lab.shake(50, 1, 3);
    for number in 0..10 {
        lab.says(60, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
    }
    lab.until(100);
    assert_eq!(lab.reached(Port::Outer), 1 + 10 * MSS);
    sacks(&mut lab, 110, 1, (1 + 9 * MSS, 1 + 10 * MSS));
    // A quarter of the round trip is for what is only late.
    lab.until(125);
    assert_eq!(lab.engine.counters().recoveries, 1);
    let (again, info) = (repaired(&lab), lab.flow().inner_to_outer);
    assert_eq!((info.pipe, info.lost), (again, 9 * MSS - again));

    // What is sent again arrives, and nothing has to wait for a time-out.
    let mut ms = 160;
    while lab.flow().inner_to_outer.debt > 0 {
        assert!(ms < 1_000, "{:?}", lab.flow());
        let arrived = 1 + repaired(&lab);
        let all = 1 + 9 * MSS;
        let ack = if arrived < all { arrived } else { all + MSS };
        lab.says(ms, Port::Outer, 1, ack, 60_000, 0);
        ms += 50;
    }
    assert_eq!(lab.engine.counters().timeouts, 0);
}

/// The same where three segments behind a longer burst say that it is lost (RFC 6675 section 4, `IsLost`).
#[test]
fn rfc6675_4_a_burst_of_losses_before_three_segments_is_found_as_a_whole() {
    let mut memory = Memory::new(4, 1024, BLOCK);
    let policy = at_once(FlowConfig::inner_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy);
    lab.shake(0, 0, 1);
    lab.shake(50, 1, 3);
    for number in 0..10 {
        lab.says(60, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
    }
    lab.says(110, Port::Outer, 1, 1 + 10 * MSS, 60_000, 0);
    for number in 10..30 {
        lab.says(120, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
    }
    lab.until(150);
    assert_eq!(lab.reached(Port::Outer), 1 + 30 * MSS);
    let arrived = (1 + 27 * MSS, 1 + 30 * MSS);
    sacks(&mut lab, 170, 1 + 10 * MSS, arrived);
    lab.until(175);
    let (again, info) = (repaired(&lab), lab.flow().inner_to_outer);
    assert_eq!((info.pipe, info.lost), (again, 17 * MSS - again));
}

/// Behind an acknowledgement of everything nothing is left to be walked through: no caller has to come back at
/// once.
#[test]
fn an_acknowledgement_of_everything_leaves_nothing_to_do() {
    let mut memory = Memory::new(4, 64, 1536);
    let policy = at_once(FlowConfig::inner_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), policy);
    lab.shake(0, 0, 3);
    lab.says(60, Port::Inner, 1, 1, 60_000, MSS);
    lab.until(80);
    let all = segment(Port::Outer, Flags::ACK, 1, 1 + MSS, 60_000, 0);
    let mut octets = all.encode(Layout::Aligned);
    let (now, meta) = (lab.tape.now, PacketMeta::default());
    let _ = lab
        .engine
        .ingest(Port::Outer, now, &mut octets, meta, &mut lab.tape);
    assert_eq!(lab.flow().inner_to_outer.debt, 0);
    let due = lab.engine.next_deadline();
    assert!(due.is_none_or(|due| due > now), "{due:?} at {now:?}");
}
