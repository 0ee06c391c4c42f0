//! The rate at which a receiver takes data, which bounds what may be owed to it (H6.3): it rises at once and
//! sinks slowly.

use localack_core::{Config, Controller, FlowConfig, Port};
use localack_testkit::memory::Memory;

use super::lab::{Lab, MSS, at_once};

#[test]
fn h6_3_the_rate_of_delivery_rises_at_once_and_sinks_slowly() {
    let mut memory = Memory::new(4, 512, 1000);
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.controller = Controller::Reno;
    flow.pacing = false;
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    lab.shake(0, 0, 1);
    lab.shake(50, 1, 3);
    let (mut ms, mut given) = (100, 1);
    // Ten times a second so many segments, each acknowledged 50 ms later; the rate then.
    let mut second = |lab: &mut Lab<'_>, segments: u32| {
        for _ in 0..10 {
            for _ in 0..segments {
                lab.says(ms, Port::Inner, given, 1, 60_000, MSS);
                given += MSS;
            }
            lab.until(ms + 50);
            lab.says(ms + 50, Port::Outer, 1, given, 60_000, 0);
            ms += 100;
        }
        assert_eq!(lab.flow().inner_to_outer.debt, 0);
        lab.flow().inner_to_outer.rate
    };
    second(&mut lab, 4);
    let slow = second(&mut lab, 4);
    assert!((39_000..=42_000).contains(&slow), "{slow}");
    second(&mut lab, 20);
    let fast = second(&mut lab, 20);
    assert!((195_000..=205_000).contains(&fast), "{fast}");
    // A quarter of the way in each tenth of a second: 40,000 and a twentieth of the difference are left.
    let after = second(&mut lab, 4);
    assert!((47_000..=51_000).contains(&after), "{after}");
    for _ in 0..2 {
        second(&mut lab, 4);
    }
    let slow = second(&mut lab, 4);
    assert!((39_000..=42_000).contains(&slow), "{slow}");
}
