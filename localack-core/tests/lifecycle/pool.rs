//! Windows that wait for memory that others hold (H12.4).

use localack_core::{Config, FlowConfig, Port};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, Packet};

use super::lab::{Lab, MSS, at_once, segment};

/// The source port of the second connection, and by how much its numbers are higher.
const OTHER: (u16, u32) = (40_001, 1_000_000);

fn of_other(mut packet: Packet, port: Port) -> Packet {
    if port == Port::Inner {
        packet.source.set_port(OTHER.0);
        packet.seq += OTHER.1;
    } else {
        packet.destination.set_port(OTHER.0);
        if packet.flags.has(Flags::ACK) {
            packet.ack += OTHER.1;
        }
    }
    packet
}

/// The highest window edge that the first or the other inner host was offered.
fn edge(lab: &Lab<'_>, other: bool) -> u32 {
    let to_inner = lab
        .tape
        .left
        .iter()
        .filter(|left| left.toward == Port::Inner);
    let edges = to_inner.map(|left| left.ack + left.window);
    let own = edges.filter(|&edge| (edge >= OTHER.1) == other && edge < 2 * OTHER.1);
    own.max().expect("an offer") - if other { OTHER.1 } else { 0 }
}

/// A window that is shut for want of memory opens when others have given theirs back, though nothing more is heard of
/// its own flow.
#[test]
fn h12_4_a_window_opens_when_others_give_memory_back() {
    let mut memory = Memory::new(4, 24, 1000);
    let mut config = Config::new([1, 2]);
    config.reserved_blocks = 1;
    let mut lab = Lab::new(&mut memory, config, at_once(FlowConfig::inner_local_ack()));
    lab.offer.0 = 3_000;
    lab.shake(0, 0, 1);
    lab.shake(20, 1, 3);
    for (ms, port, flags, ack) in [
        (30, Port::Inner, Flags::SYN, 0),
        (50, Port::Outer, Flags::SYN | Flags::ACK, 1),
        (51, Port::Inner, Flags::ACK, 1),
    ] {
        let seq = u32::from(ms == 51);
        let packet = segment(port, flags, seq, ack, 60_000, 0);
        lab.arrives(ms, port, &of_other(packet, port));
    }
    lab.says(52, Port::Outer, 1, 1, 3_000, 0);
    let (mut own, mut others, mut ms) = (1, 1, 60);
    for _ in 0..100 {
        ms += 1;
        if others + MSS <= edge(&lab, true) {
            let packet = segment(Port::Inner, Flags::ACK, others, 1, 60_000, MSS);
            lab.arrives(ms, Port::Inner, &of_other(packet, Port::Inner));
            others += MSS;
        }
        if own + MSS <= edge(&lab, false) {
            lab.says(ms, Port::Inner, own, 1, 60_000, MSS);
            own += MSS;
            let reached = lab.reached(Port::Outer);
            lab.says(ms, Port::Outer, 1, reached, 3_000, 0);
        }
    }
    let left = edge(&lab, false) - own;
    assert!(left < 2 * MSS, "{left} and {:?}", lab.flow());
    let shut = edge(&lab, false);
    let ack = segment(Port::Outer, Flags::ACK, 1, others, 60_000, 0);
    lab.arrives(ms + 10, Port::Outer, &of_other(ack, Port::Outer));
    lab.until(ms + 240);
    assert!(edge(&lab, false) >= shut + 2 * MSS);
}
