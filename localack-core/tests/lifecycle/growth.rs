//! A window that is not used says nothing of the path and does not grow (RFC 7661, H12.1).

use localack_core::{Config, Controller, FlowConfig, Port};
use localack_testkit::memory::Memory;
use localack_testkit::packet::Flags;

use super::lab::{ISN, Lab, MSS, at_once, segment};

/// A connection over a round trip of 50 ms whose sender gives the engine as much as a test wants.
struct Transfer<'m> {
    lab: Lab<'m>,
    ms: u64,
    /// The sender's next octet, and the first that the receiver has not acknowledged.
    given: u32,
    acked: u32,
}

impl<'m> Transfer<'m> {
    fn new(memory: &'m mut Memory) -> Self {
        let mut flow = at_once(FlowConfig::inner_local_ack());
        flow.controller = Controller::Reno;
        flow.pacing = false;
        let mut lab = Lab::new(memory, Config::new([1, 2]), flow);
        lab.shake(0, 0, 1);
        lab.shake(50, 1, 3);
        Self {
            lab,
            ms: 100,
            given: 1,
            acked: 1,
        }
    }

    fn give(&mut self, segments: u32) {
        for _ in 0..segments {
            self.lab
                .says(self.ms, Port::Inner, self.given, 1, 60_000, MSS);
            self.given += MSS;
        }
        self.ms += 50;
        self.lab.until(self.ms);
    }

    /// The receiver acknowledges every second segment of what has been sent.
    fn acknowledge(&mut self) {
        let sent = self.lab.reached(Port::Outer);
        while self.acked < sent {
            self.acked = sent.min(self.acked + 2 * MSS);
            self.lab
                .says(self.ms, Port::Outer, 1, self.acked, 60_000, 0);
        }
    }

    /// So many segments, and a round trip later their acknowledgements; the window then.
    fn round(&mut self, segments: u32) -> u32 {
        self.give(segments);
        self.acknowledge();
        self.window()
    }

    fn window(&self) -> u32 {
        self.lab.flow().inner_to_outer.cwnd
    }
}

#[test]
fn rfc7661_in_slow_start_more_than_half_a_window_has_to_be_used() {
    let mut memory = Memory::new(4, 512, 1000);
    let mut transfer = Transfer::new(&mut memory);
    assert_eq!(transfer.window(), 10 * MSS);
    for _ in 0..5 {
        assert_eq!(transfer.round(5), 10 * MSS);
    }
    assert!(transfer.round(6) > 10 * MSS);
}

#[test]
fn rfc7661_in_congestion_avoidance_all_of_a_window_has_to_be_used() {
    let mut memory = Memory::new(4, 512, 1000);
    let mut transfer = Transfer::new(&mut memory);
    while transfer.window() < 30 * MSS {
        transfer.round(transfer.window() / MSS);
    }
    // One segment is lost; the reduction leaves slow start for good.
    transfer.give(transfer.window() / MSS);
    let mut dup = segment(Port::Outer, Flags::ACK, 1, transfer.acked, 60_000, 0);
    let (hole, sent) = (transfer.acked + MSS, transfer.lab.reached(Port::Outer));
    dup.options.sack_present = true;
    dup.options.sack = [(ISN[0] + hole, ISN[0] + sent)].to_vec();
    transfer.lab.arrives(transfer.ms, Port::Outer, &dup);
    assert_eq!(transfer.lab.engine.counters().recoveries, 1);
    transfer.give(0);
    transfer.acknowledge();
    transfer.round(2);
    let info = transfer.lab.flow().inner_to_outer;
    let window = info.cwnd;
    assert!(window >= info.ssthresh && window < 30 * MSS && window.is_multiple_of(MSS));

    // A segment less than the window: it stays, for as long as it takes.
    for _ in 0..10 {
        assert_eq!(transfer.round(3), window);
        assert_eq!(transfer.round(window / MSS - 1), window);
    }
    // All of it: a segment per round trip.
    for segments in 1..5 {
        let now = transfer.window();
        assert_eq!(transfer.round(now / MSS), window + segments * MSS);
    }
}
