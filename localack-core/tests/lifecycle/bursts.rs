//! A packet that goes on as it came is no larger a burst than what the engine sends itself (rule H12.1).

use core::time::Duration;

use localack_core::{
    Config, Controller, FlowConfig, PacketMeta, Poll, Port, Sink, SinkFull, Transmit, Verdict,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, Layout};

use super::lab::{Lab, MSS, at_once, segment};

#[test]
fn h12_1_a_super_segment_is_no_longer_burst_than_ten_segments() {
    for controller in [Controller::Reno, Controller::Cubic, Controller::Bbr] {
        let mut memory = Memory::new(4, 512, 1000);
        let mut flow = at_once(FlowConfig::inner_local_ack());
        flow.controller = controller;
        flow.pacing = true;
        let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
        lab.shake(0, 0, 1);
        lab.shake(50, 1, 3);
        let (mut seq, mut ms) = (1, 100);
        for _ in 0..8 {
            for _ in 0..40 {
                lab.says(ms, Port::Inner, seq, 1, 60_000, MSS);
                seq += MSS;
            }
            while lab.flow().inner_to_outer.debt > 0 {
                ms += 50;
                lab.until(ms);
                let sent = lab.reached(Port::Outer);
                lab.says(ms, Port::Outer, 1, sent, 60_000, 0);
            }
        }
        let flow = lab.flow().inner_to_outer;
        assert!(
            flow.debt == 0 && flow.cwnd > 30_000,
            "{controller:?} {flow:?}"
        );
        let large = segment(Port::Inner, Flags::ACK, seq, 1, 60_000, 30 * MSS);
        let mut octets = large.encode(Layout::Aligned);
        let meta = PacketMeta {
            gso_size: MSS as u16,
            ..PacketMeta::default()
        };
        let verdict =
            lab.engine
                .ingest(Port::Inner, lab.tape.now, &mut octets, meta, &mut lab.tape);
        assert!(
            matches!(verdict, Verdict::Absorb(_)),
            "{controller:?}: {verdict:?}"
        );
    }
}

/// A sink that looks at the checksums of super-segments.
#[derive(Default)]
struct Sums(Vec<[u16; 2]>);

impl Sink for Sums {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        if packet.gso_size() > 0 {
            let header = packet.header();
            let len = packet.wire_len() - 20;
            // RFC 9293 section 3.1: addresses, protocol and length.
            let mut sum = 6 + len;
            for pair in header[12..20].chunks(2) {
                sum += usize::from(u16::from_be_bytes([pair[0], pair[1]]));
            }
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            let field = u16::from_be_bytes([header[36], header[37]]);
            self.0.push([field, sum as u16]);
        }
        Ok(())
    }
}

/// Whoever cuts a super-segment adds up each piece: its checksum is that of the pseudo-header alone.
#[test]
fn a_super_segment_has_a_partial_checksum() {
    let mut memory = Memory::new(4, 64, 1536);
    let mut config = Config::new([1, 2]);
    config.super_segment = 32_768;
    let mut lab = Lab::new(&mut memory, config, at_once(FlowConfig::inner_local_ack()));
    lab.offer.0 = 1001;
    lab.shake(0, 0, 3);
    for number in 0..6 {
        lab.says(10, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
    }
    let opened = segment(Port::Outer, Flags::ACK, 1, 1 + MSS, 60_000, 0);
    let (now, meta, mut sums) = (lab.tape.now, PacketMeta::default(), Sums::default());
    let mut octets = opened.encode(Layout::Aligned);
    let _ = lab
        .engine
        .ingest(Port::Outer, now, &mut octets, meta, &mut sums);
    let _ = lab.engine.poll(now, 8, &mut sums);
    assert!(!sums.0.is_empty(), "nothing was sent as one");
    for [field, sum] in sums.0 {
        assert_eq!(field, sum);
    }
}

/// A caller that takes one packet in each call is told when to come back for the next, and all leaves as fast as
/// the pace lets it, or the rate that its operator vouches for.
#[test]
fn a_caller_with_room_for_one_packet_gets_all_of_them_in_time() {
    let vouched = [100_000, 1_000_000].map(Controller::provisioned);
    for (controller, most_ms) in [
        (Controller::Reno, 50),
        (vouched[0], 9 * 1040 / 100),
        (vouched[1], 9 * 1040 / 1000),
    ] {
        let mut memory = Memory::new(4, 64, 1536);
        let mut flow = at_once(FlowConfig::inner_local_ack());
        flow.controller = controller;
        flow.pacing = true;
        let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
        lab.offer.0 = 1001;
        lab.shake(0, 0, 1);
        lab.shake(100, 1, 3);
        for number in 0..10 {
            lab.says(110, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
        }
        lab.until(200);
        let opened = segment(Port::Outer, Flags::ACK, 1, 1 + MSS, 60_000, 0);
        let (begun, meta) = (lab.tape.now, PacketMeta::default());
        let mut octets = opened.encode(Layout::Aligned);
        // Nothing can leave yet.
        lab.tape.refused = Some(lab.tape.offered);
        let _ = lab
            .engine
            .ingest(Port::Outer, begun, &mut octets, meta, &mut lab.tape);
        loop {
            let poll = lab.engine.poll(lab.tape.now, 1, &mut lab.tape);
            if lab.reached(Port::Outer) == 1 + 10 * MSS {
                break;
            }
            if poll == Poll::Idle {
                let due = lab.engine.next_deadline().expect("more is to be sent");
                lab.tape.now = due.max(lab.tape.now);
            }
            let waited = lab.tape.now.since(begun);
            assert!(waited <= Duration::from_millis(most_ms), "{controller:?}");
        }
    }
}

#[test]
fn h5_4_a_super_segment_goes_on_as_it_came_if_its_pieces_fit() {
    let mut memory = Memory::new(4, 512, 1000);
    let flow = at_once(FlowConfig::inner_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    lab.shake(0, 0, 3);
    // What stands for segments of the size that the receiver takes, and one that is larger than that.
    for (seq, gso_size, goes_on) in [(1, MSS, true), (1 + 4 * MSS, 2 * MSS, false)] {
        let large = segment(Port::Inner, Flags::ACK, seq, 1, 60_000, 4 * MSS);
        let mut octets = large.encode(Layout::Aligned);
        let meta = PacketMeta {
            gso_size: gso_size as u16,
            ..PacketMeta::default()
        };
        let verdict =
            lab.engine
                .ingest(Port::Inner, lab.tape.now, &mut octets, meta, &mut lab.tape);
        assert_eq!(
            matches!(verdict, Verdict::Pass(_) | Verdict::Forward),
            goes_on,
            "{gso_size}: {verdict:?}"
        );
    }
}
