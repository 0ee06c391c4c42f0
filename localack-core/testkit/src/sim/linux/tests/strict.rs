//! What a strict host refuses, and a lenient one does not; and that two of them get along.

use localack_core::Instant;

use super::bench::{Bench, Seen};
use super::*;
use crate::packet::{Flags, Options};

const MSS: u32 = 1448;

/// A host that sends `octets` octets, connected, with what it has sent so far thrown away.
fn bench(strict: bool, octets: u64) -> Bench {
    let config = LinuxConfig {
        strict,
        receive_buffer_max: 128 << 10,
        ..LinuxConfig::default()
    };
    let mut bench = Bench::open(LinuxHost::connect(config).send_total(octets));
    bench.at(100);
    bench
}

fn stamped(bench: &Bench) -> Options {
    Options {
        timestamps: Some((bench.stamp, bench.echo)),
        ..Options::default()
    }
}

/// The peer says something without data.
fn bare(bench: &mut Bench, seq: u32, ack: u32, window: u16) -> Vec<Seen> {
    let options = stamped(bench);
    bench.packet(Flags::ACK, seq, ack, window, options, Vec::new());
    bench.all()
}

fn edge(bench: &Bench, next: u32) -> u32 {
    next + u32::try_from(bench.host.receive_window()).unwrap()
}

#[test]
fn rfc7323_5_3_no_tick_is_tolerated() {
    for (strict, taken) in [(true, 1000), (false, 2000)] {
        let mut bench = bench(strict, 0);
        bench.stamp = 5000;
        bench.octets(1, 1000, Flags::PSH);
        bench.stamp = 4999;
        bench.octets(1001, 1000, Flags::PSH);
        assert_eq!(bench.host.received(), taken);
        let expected: &[FaultKind] = if strict { &[FaultKind::PawsData] } else { &[] };
        assert_eq!(bench.faults(), expected);
    }
}

#[test]
fn rfc7323_3_2_a_timestamp_must_not_be_missing() {
    for strict in [true, false] {
        let mut bench = bench(strict, 0);
        let payload = Content::Pattern(2).octets(0, 1000);
        bench.packet(Flags::ACK, 1, 1, 500, Options::default(), payload);
        assert_eq!(bench.faults(), [FaultKind::MissingTimestamp]);
        assert_eq!(bench.host.received(), if strict { 0 } else { 1000 });
        assert_eq!(bench.all().is_empty(), strict, "answered");
    }
}

#[test]
fn h1_3_nothing_is_taken_of_a_segment_with_an_old_acknowledgement() {
    for strict in [true, false] {
        let mut bench = bench(strict, 10_000);
        bench.ack(1 + 2 * MSS, &[]);
        bench.at(101);
        let options = stamped(&bench);
        let payload = Content::Pattern(2).octets(0, 1000);
        bench.packet(Flags::ACK, 1, 1 + MSS, 500, options, payload);
        assert_eq!(bench.host.received(), if strict { 0 } else { 1000 });
        let expected: &[FaultKind] = if strict { &[FaultKind::OldAck] } else { &[] };
        assert_eq!(bench.faults(), expected);
        if strict {
            assert_eq!(bench.next(), None);
        }
        // What was never outstanding is refused by all of them (RFC 5961 section 5.2).
        let wrong = 0_u32.wrapping_sub(100_000);
        bench.at(1000);
        let next = 1 + u32::try_from(bench.host.received()).unwrap();
        bare(&mut bench, next, wrong, 500);
        assert_eq!(bench.faults().last(), Some(&FaultKind::AckTooOld));
    }
}

#[test]
fn h1_1_what_ends_beyond_the_window_is_refused_whole() {
    for strict in [true, false] {
        let mut bench = bench(strict, 0);
        let edge = edge(&bench, 1);
        bench.octets(edge - 1000, 1300, Flags::PSH);
        assert_eq!(bench.faults(), [FaultKind::BeyondWindow]);
        let taken = bench.next().expect("an answer").sack;
        let all = [(edge - 1000, edge + 300)];
        assert_eq!(taken, if strict { &[][..] } else { &all });
    }
}

#[test]
fn h1_1b_at_the_edge_of_an_open_window_nothing_is_heard() {
    for strict in [true, false] {
        let mut bench = bench(strict, 10_000);
        let edge = edge(&bench, 1);
        bare(&mut bench, edge - 1, 1 + MSS, 500);
        assert_eq!(
            (bench.host.acknowledged(), bench.faults()),
            (MSS.into(), vec![])
        );
        let answers = bare(&mut bench, edge, 1 + 2 * MSS, 500);
        if strict {
            assert_eq!(bench.host.acknowledged(), u64::from(MSS));
            assert_eq!(bench.faults(), [FaultKind::AtEdge]);
            assert!(answers.iter().any(|seen| seen.ack == 1));
        } else {
            assert_eq!(bench.host.acknowledged(), 2 * u64::from(MSS));
        }
        bare(&mut bench, edge + 1, 1 + 3 * MSS, 500);
        assert_eq!(bench.faults().last(), Some(&FaultKind::BeyondWindow));
        assert!(bench.host.acknowledged() <= 2 * u64::from(MSS));
    }
}

#[test]
fn rfc9293_3_10_7_4_a_closed_window_has_an_acceptable_number() {
    let mut bench = bench(true, 10_000);
    bench.host.pause_reading(true);
    let mut seq = 1;
    let mut ms = 100;
    while bench.host.receive_window() > 0 {
        let length = u32::try_from(bench.host.receive_window()).unwrap().min(MSS);
        bench.octets(seq, length, Flags::PSH);
        seq += length;
        ms += 50;
        bench.at(ms);
    }
    assert_eq!(bench.faults(), []);
    bare(&mut bench, seq, 1 + MSS, 500);
    assert_eq!(bench.host.acknowledged(), u64::from(MSS));
    // A probe is answered, and its octet not taken.
    bench.at(ms + 1);
    bench.octets(seq, 1, Flags::PSH);
    assert_eq!(bench.next().map(|seen| seen.ack), Some(seq));
    assert_eq!(bench.host.received(), u64::from(seq) - 1);
    assert_eq!(bench.faults(), []);
}

#[test]
fn h2_4_news_from_below_the_window_are_not_heard() {
    let mut bench = bench(true, 10_000);
    bench.octets(1, 1000, Flags::PSH);
    bare(&mut bench, 1001, 1 + MSS, 500);
    bench.at(1000);
    // A question for a sign of life is answered.
    let answers = bare(&mut bench, 1000, 1 + 2 * MSS, 600);
    assert!(
        answers
            .iter()
            .any(|seen| seen.length == 0 && seen.ack == 1001)
    );
    assert_eq!(bench.faults(), []);
    bare(&mut bench, 999, 1 + MSS, 500);
    assert_eq!(bench.faults(), []);
    bare(&mut bench, 996, 1 + 2 * MSS, 500);
    bare(&mut bench, 999, 1 + MSS, 600);
    assert_eq!(bench.faults(), [FaultKind::BehindWindow; 2]);
    assert_eq!(bench.host.acknowledged(), u64::from(MSS));
}

#[test]
fn rfc2883_octets_that_are_there_bring_nothing_else() {
    let mut bench = bench(true, 10_000);
    bench.octets(1, 1000, Flags::PSH);
    bench.at(200);
    let options = stamped(&bench);
    let payload = Content::Pattern(2).octets(0, 1000);
    bench.packet(Flags::ACK, 1, 1 + MSS, 500, options, payload);
    let answers = bench.all();
    assert!(
        answers.iter().any(|seen| seen.sack == [(1, 1001)]),
        "{answers:?}"
    );
    assert_eq!((bench.host.acknowledged(), bench.faults()), (0, vec![]));
}

#[test]
fn rfc5961_3_2_a_reset_is_exact_at_rcv_nxt_only() {
    for strict in [true, false] {
        let mut bench = bench(strict, 0);
        bench.octets(1001, 1000, Flags::PSH);
        bench.at(700);
        let options = stamped(&bench);
        bench.packet(Flags::RST, 2001, 1, 0, options.clone(), Vec::new());
        assert_eq!(bench.host.is_established(), strict);
        assert_eq!(bench.all().len(), usize::from(strict), "challenges");
        bench.packet(Flags::RST, 1, 1, 0, options, Vec::new());
        assert!(!bench.host.is_established());
    }
}

#[test]
fn rfc9293_3_10_7_3_a_syn_ack_must_answer_the_syn() {
    let answer = |ack: u32, echo: u32| {
        let mut bench = Bench::new(LinuxHost::connect(LinuxConfig::strict()));
        let syn = bench.next().expect("a SYN");
        let value = syn.stamps.expect("timestamps").0;
        bench.at(100);
        bench.echo = value.wrapping_add(echo);
        let options = Options {
            mss: Some(1460),
            ..stamped(&bench)
        };
        bench.packet(Flags::SYN | Flags::ACK, 0, ack, 64_000, options, Vec::new());
        let reset = bench.all().iter().any(|seen| seen.flags == Flags::RST);
        (bench.host.is_established(), reset, bench.faults())
    };
    assert_eq!(answer(1, 0), (true, false, vec![]));
    assert_eq!(answer(2, 0), (false, true, vec![FaultKind::AckOfUnsent]));
    let ahead = answer(1, 1_000_000);
    assert_eq!(ahead, (false, true, vec![FaultKind::EchoOfUnsent]));
}

#[test]
fn h3_6_a_third_ack_echoes_a_syn_ack_and_is_no_older_than_its_syn() {
    let third = |value: u32, echo: u32, stamped: bool| {
        let mut bench = Bench::new(LinuxHost::listen(LinuxConfig::strict()));
        bench.until(1_000);
        let options = |timestamps| Options {
            timestamps,
            ..Options::default()
        };
        let syn = options(Some((77, 0)));
        bench.packet(Flags::SYN, 0, 0, 64_000, syn, Vec::new());
        let told = bench
            .next()
            .expect("a SYN-ACK")
            .stamps
            .expect("timestamps")
            .0;
        // It is said a second time, two ticks and a second later.
        bench.until(2_002);
        let ack = options(stamped.then_some((value, told.wrapping_add(echo))));
        bench.packet(Flags::ACK, 1, 1, 500, ack, Vec::new());
        (bench.host.is_established(), bench.faults())
    };
    assert_eq!(third(78, 0, true), (true, vec![]));
    assert_eq!(third(77, 1000, true), (true, vec![]));
    let wrong = vec![FaultKind::EchoOfUnsent];
    assert_eq!(third(78, 1001, true), (false, wrong.clone()));
    assert_eq!(third(78, u32::MAX, true), (false, wrong));
    assert_eq!(third(76, 0, true), (false, vec![FaultKind::Paws]));
    let missing = vec![FaultKind::MissingTimestamp];
    assert_eq!(third(78, 0, false), (false, missing));
}

#[test]
fn h7_4_what_the_handshake_has_no_place_for_is_held_against_the_peer() {
    let mut listens = Bench::new(LinuxHost::listen(LinuxConfig::strict()));
    listens.packet(Flags::ACK, 1, 1, 500, Options::default(), vec![1]);
    assert_eq!(listens.faults(), [FaultKind::OutOfTurn]);
    let mut connects = Bench::new(LinuxHost::connect(LinuxConfig::strict()));
    connects.until(10);
    connects.packet(Flags::ACK, 1, 1, 500, Options::default(), vec![1]);
    assert_eq!(connects.faults(), [FaultKind::OutOfTurn]);
    assert!(!connects.host.is_established());
    assert_eq!(connects.now, Instant::from_millis(10));
}

/// Two of them get along, over a network that loses packets: nobody is more strict than TCP allows.
#[test]
fn strict_hosts_have_nothing_against_each_other() {
    for (sack, timestamps) in [(true, true), (true, false), (false, true), (false, false)] {
        for seed in 1..=3 {
            let net = Net {
                loss: 20_000,
                seed,
                ..CLEAN
            };
            let config = LinuxConfig {
                sack,
                timestamps,
                ..LinuxConfig::strict()
            };
            let hosts = pair(&config).map(|host| host.send_total(300_000));
            let mut world = net.bare(hosts);
            assert!(world.run(Duration::from_secs(200)));
            assert_eq!(
                (world.inner.received(), world.outer.received()),
                (300_000, 300_000)
            );
            blameless(&world, false);
        }
    }
}

/// .. and reach the end over one that harms packets, whatever they refuse.
#[test]
fn strict_hosts_survive_a_bad_network() {
    for seed in 1..=3 {
        let net = Net {
            loss: 5_000,
            reorder: 30_000,
            duplicate: 20_000,
            corrupt: 10_000,
            seed,
            ..CLEAN
        };
        let hosts = pair(&LinuxConfig::strict()).map(|host| host.send_total(300_000));
        let mut world = net.bare(hosts);
        assert!(world.run(Duration::from_secs(300)));
        assert_eq!(
            (world.inner.received(), world.outer.received()),
            (300_000, 300_000)
        );
        blameless(&world, true);
        let refused = |host: &LinuxHost| host.faults().len();
        assert!(refused(&world.inner) + refused(&world.outer) > 0);
    }
}
