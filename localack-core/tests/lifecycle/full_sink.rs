//! A sink that refuses any one packet: it is owed and comes later.

use localack_core::{
    Config, DirectionMode, FlowConfig, FlowState, Instant, PacketMeta, Poll, Port, TransmitKind,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, Layout};

use crate::lab::{ISN, Lab, Left, MSS, at, at_once, segment};

/// What came of a connection's life.
#[derive(PartialEq, Eq, Debug)]
struct Life {
    /// First octets that the inner and the outer host lack.
    reached: [u32; 2],
    /// When each learned of a higher acknowledgement.
    told: [Vec<(Instant, u32)>; 2],
    /// The highest edge of a window that each learned of.
    edges: [u32; 2],
    /// Octets sent into R's closed window.
    probes: usize,
    /// Numbers of the resets that each got.
    resets: [Option<u32>; 2],
    lost: u64,
    announced: u64,
    state: Option<FlowState>,
}

/// Leads a life with the `refused`th emission refused once; how many emissions there were.
fn live(refused: Option<usize>, flow: FlowConfig, script: fn(&mut Lab<'_>)) -> (usize, Life) {
    let mut memory = Memory::new(4, 64, 1536);
    let mut config = Config::new([1, 2]);
    config.give_up_after = core::time::Duration::from_secs(100);
    let mut lab = Lab::new(&mut memory, config, at_once(flow));
    lab.tape.refused = refused;
    lab.offer.0 = 1001;
    lab.shake(0, 0, 3);
    script(&mut lab);
    let acks = |port: Port| {
        let toward = lab.tape.left.iter().filter(move |left| left.toward == port);
        toward.filter(|left| left.flags.has(Flags::ACK) && !left.flags.has(Flags::RST))
    };
    let told = |port: Port| {
        let mut told: Vec<(Instant, u32)> = Vec::new();
        for left in acks(port) {
            match told.last_mut() {
                Some((_, highest)) if *highest >= left.ack => {}
                Some((at, highest)) if *at == left.at => *highest = left.ack,
                Some(_) | None => told.push((left.at, left.ack)),
            }
        }
        told
    };
    // The second of two that belong together is no promise: the tombstone says it again when asked.
    let resets = |port: Port| lab.resets(port).first().map(|left| left.seq);
    let is_probe = |left: &&Left| left.kind == Some(TransmitKind::WindowProbe);
    let life = Life {
        reached: Port::BOTH.map(|port| lab.reached(port)),
        told: Port::BOTH.map(told),
        edges: Port::BOTH.map(|port| {
            acks(port)
                .map(|left| left.ack + left.window)
                .max()
                .unwrap_or(0)
        }),
        probes: lab.tape.left.iter().filter(is_probe).count(),
        resets: Port::BOTH.map(resets),
        lost: lab.engine.counters().octets_lost,
        announced: lab.announced_lost(),
        state: lab.engine.flows().last().map(|flow| flow.state),
    };
    (lab.tape.offered, life)
}

/// Leads the same life once for each of its emissions, that one refused, and compares.
fn survives_a_full_sink(flow: FlowConfig, script: fn(&mut Lab<'_>)) -> Life {
    let (emissions, undisturbed) = live(None, flow, script);
    assert!(emissions >= 5, "{emissions} emissions prove little");
    for refused in 0..emissions {
        let (_, life) = live(Some(refused), flow, script);
        assert_eq!(
            life, undisturbed,
            "the emission numbered {refused} was refused"
        );
    }
    undisturbed
}

/// Data both ways, a closed window that is probed from both ends, a loss, FINs: whichever packet
/// the sink refuses once, it is owed and comes later (rules H5.10 and H2.6, invariant 1).
#[test]
fn h5_10_whatever_a_full_sink_refuses_is_sent_later() {
    let mut flow = FlowConfig::inner_local_ack();
    flow.buffer_limit = 8000;
    let life = survives_a_full_sink(flow, |lab| {
        let (s, r) = (Port::Inner, Port::Outer);
        for number in 0..8 {
            lab.says(11, s, 1 + number * MSS, 1, 60_000, MSS);
        }
        lab.says(12, r, 1, 1, 1001, 500);
        // S's window is shut: its probe is answered, and carries an ACK that R must hear of.
        assert_eq!(lab.flow().inner_to_outer.rcv_nxt.raw() - ISN[0], 8001);
        lab.says(13, s, 8001, 501, 60_000, 1);
        // R's window stays shut for a while: the engine probes it.
        lab.says(30, r, 501, 1001, 0, 0);
        lab.says(2_003, r, 501, 1001, 4000, 0);
        // All but the first segment are lost; the rest is sent again, by and by.
        lab.says(2_030, r, 501, 2001, 4000, 0);
        lab.until(4_000);
        for round in 0..20 {
            let reached = lab.flow().inner_to_outer.snd_nxt.raw() - ISN[0];
            lab.says(4_001 + 30 * round, r, 501, reached, 4000, 0);
        }
        let fin = segment(s, Flags::FIN | Flags::ACK, 8001, 501, 60_000, 0);
        lab.arrives(10_000, s, &fin);
        lab.says(10_030, r, 501, 8002, 4000, 0);
        lab.until(21_000);
    });
    assert_eq!((life.reached, life.lost), ([501, 8001], 0));
    let last = |told: &[(Instant, u32)]| told.last().map(|&(_, ack)| ack);
    assert_eq!(
        last(&life.told[0]),
        Some(8002),
        "S knows that its FIN arrived"
    );
    assert_eq!(life.told[1], [(at(0), 1), (at(13), 501)]);
    assert!(life.edges[0] > 12_000 && life.probes > 1, "{life:?}");
    assert_eq!(life.resets, [None, None]);
}

/// R falls silent with octets in custody both ways: each end is reset with the number that it has
/// acknowledged, and with the next where its own octets are lost and more went to it; what is lost is
/// counted and announced once (rules H8.7 and H13.1).
#[test]
fn h8_7_giving_up_survives_a_full_sink() {
    let both = FlowConfig::both_local_ack();
    let one = FlowConfig::inner_local_ack();
    for (flow, resets, lost) in [(both, [701, 2001], 2700), (one, [701, 1], 2000)] {
        let life = survives_a_full_sink(flow, |lab| {
            lab.says(10, Port::Inner, 1, 1, 60_000, 1000);
            lab.says(11, Port::Inner, 1001, 1, 60_000, 1000);
            lab.says(12, Port::Outer, 1, 1, 60_000, 700);
            // Without service for it, S itself acknowledges R's data.
            if lab.flow().outer_to_inner.mode == DirectionMode::Bypass {
                lab.says(13, Port::Inner, 2001, 701, 60_000, 0);
            }
            lab.until(130_000);
        });
        assert_eq!(life.resets, resets.map(Some));
        assert_eq!((life.lost, life.announced), (lost, lost));
        assert_eq!(life.state, Some(FlowState::Tombstone));
    }
}

/// S resets: R gets all that was promised, then the reset (rule H8.2, invariant 21) ..
#[test]
fn h8_2_a_reset_that_waits_survives_a_full_sink() {
    let life = survives_a_full_sink(FlowConfig::both_local_ack(), |lab| {
        for number in 0..4 {
            lab.says(10, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
        }
        let reset = segment(Port::Inner, Flags::RST | Flags::ACK, 4001, 1, 0, 0);
        lab.arrives(20, Port::Inner, &reset);
        lab.says(30, Port::Outer, 1, 1001, 60_000, 0);
        lab.says(40, Port::Outer, 1, 4001, 60_000, 0);
        lab.until(1_000);
    });
    assert_eq!((life.reached[1], life.lost), (4001, 0));
    assert_eq!(life.resets, [None, Some(4001)]);
    assert_eq!(life.state, None);
}

/// .. or, if R does not answer for three seconds, the reset all the same.
#[test]
fn h8_2_a_reset_that_waits_in_vain_survives_a_full_sink() {
    let life = survives_a_full_sink(FlowConfig::both_local_ack(), |lab| {
        for number in 0..4 {
            lab.says(10, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
        }
        let reset = segment(Port::Inner, Flags::RST | Flags::ACK, 4001, 1, 0, 0);
        lab.arrives(20, Port::Inner, &reset);
        lab.says(30, Port::Outer, 1, 1001, 60_000, 0);
        lab.until(5_000);
    });
    assert_eq!(life.resets, [None, Some(1001)]);
    assert_eq!((life.lost, life.announced), (3000, 3000));
    assert_eq!(life.state, Some(FlowState::Tombstone));
}

/// A sink that has refused a packet is not asked again in the same call, and a call offers no more packets than
/// its caller allows.
#[test]
fn a_call_ends_with_the_first_refusal_and_with_its_room() {
    let mut memory = Memory::new(4, 64, 1536);
    let flow = at_once(FlowConfig::both_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    lab.offer.0 = 1001;
    lab.shake(0, 0, 3);
    for number in 0..4 {
        lab.says(10, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
    }
    // Now more may be sent to the outer host, and what it says itself is to be acknowledged.
    let opened = segment(Port::Outer, Flags::ACK, 1, 1, 60_000, MSS);
    let mut octets = opened.encode(Layout::Aligned);
    let (now, meta, before) = (lab.tape.now, PacketMeta::default(), lab.tape.offered);
    lab.tape.refused = Some(before);
    let _ = lab
        .engine
        .ingest(Port::Outer, now, &mut octets, meta, &mut lab.tape);
    assert_eq!(lab.tape.offered, before + 1);
    let mut calls = 0;
    loop {
        let before = lab.tape.offered;
        let poll = lab.engine.poll(now, 1, &mut lab.tape);
        assert!(lab.tape.offered <= before + 1, "{:?}", lab.tape.left);
        if poll == Poll::Idle {
            break;
        }
        calls += 1;
        assert!(calls < 100, "poll does not come to rest");
    }
    assert_eq!(lab.reached(Port::Outer), 1 + 4 * MSS);
}
