//! A sender that has run out of data tells nothing of its path's rate (draft-ietf-ccwg-bbr section 4.1.2.4).

use localack_core::{Config, Controller, FlowConfig, Port};
use localack_testkit::memory::Memory;

use super::lab::{ISN, Lab, MSS, at_once};

/// Little requests do not make BBR believe that it has found the rate: when there is more to send, the
/// window grows as at the beginning.
#[test]
fn bbr_4_1_2_4_little_requests_do_not_end_startup() {
    let mut memory = Memory::new(4, 512, 1000);
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.controller = Controller::Bbr;
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    lab.shake(0, 0, 1);
    lab.shake(100, 1, 3);
    let (mut given, mut before) = (1, 1);
    // Twenty round trips of two segments each, and four of all that may be sent.
    for round in 0..24 {
        let ms = 200 + round * 100;
        let wanted = if round < 20 { 2 } else { 60 };
        for _ in 0..wanted {
            let edge = lab.flow().inner_to_outer.offered_edge.raw() - ISN[0];
            if given + MSS <= edge {
                lab.says(ms, Port::Inner, given, 1, 60_000, MSS);
                given += MSS;
            }
        }
        lab.until(ms + 99);
        let reached = lab.reached(Port::Outer);
        lab.says(ms + 99, Port::Outer, 1, reached, 60_000, 0);
        if round == 20 {
            // The pause before it has not slowed it down, either (section 5.4.1).
            assert!(reached - before >= 40 * MSS, "{}", reached - before);
        }
        before = reached;
    }
    let cwnd = lab.flow().inner_to_outer.cwnd;
    assert!(cwnd >= 100 * MSS, "{cwnd}");
}
