//! A packet that goes on as it came is no larger a burst than what the engine sends itself (rule H12.1).

use localack_core::{Config, Controller, FlowConfig, PacketMeta, Port, Verdict};
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
