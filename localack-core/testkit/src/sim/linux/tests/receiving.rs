//! What a host answers to data.

use super::bench::Bench;
use super::*;
use crate::packet::{Flags, Options};

const MSS: u32 = 1448;

fn bench() -> Bench {
    Bench::open(LinuxHost::connect(LinuxConfig::default()))
}

/// A bench that has left the time of quick acknowledgements behind.
fn delayed() -> (Bench, u32) {
    delayed_with(LinuxConfig::default())
}

fn delayed_with(config: LinuxConfig) -> (Bench, u32) {
    let mut bench = Bench::open(LinuxHost::connect(config));
    let mut seq = 1;
    for step in 0..60 {
        bench.octets(seq, MSS, Flags::PSH);
        seq += MSS;
        bench.at(101 + step);
    }
    bench.at(200);
    (bench, seq)
}

#[test]
fn rfc5681_4_2_every_second_segment_or_40_ms() {
    let (mut bench, seq) = delayed();
    bench.octets(seq, MSS, Flags::PSH);
    assert_eq!(bench.next(), None, "acknowledged at once");
    bench.until(239);
    assert_eq!(bench.next(), None, "acknowledged too early");
    bench.until(240);
    assert_eq!(bench.next().map(|seen| seen.ack), Some(seq + MSS));
    bench.octets(seq + MSS, MSS, Flags::PSH);
    assert_eq!(bench.next(), None);
    bench.octets(seq + 2 * MSS, MSS, Flags::PSH);
    assert_eq!(
        bench.all().iter().map(|seen| seen.ack).collect::<Vec<_>>(),
        [seq + 3 * MSS]
    );
}

#[test]
fn rfc5681_4_2_the_first_sixteen_segments_are_acknowledged_at_once() {
    let mut bench = bench();
    assert_eq!(bench.all().len(), 1, "the third segment of the handshake");
    for number in 0..15 {
        bench.octets(1 + number * MSS, MSS, Flags::PSH);
        assert_eq!(
            bench.next().map(|seen| seen.ack),
            Some(1 + (number + 1) * MSS)
        );
    }
}

#[test]
fn rfc2018_blocks_are_the_most_recent_first_and_gaps_are_told_at_once() {
    let (mut bench, seq) = delayed();
    let at = |number: u32| seq + number * MSS;
    for number in [1, 3, 5, 7] {
        bench.octets(at(number), MSS, Flags::PSH);
    }
    let all = bench.all();
    assert_eq!(all.len(), 4);
    let last = all.last().unwrap();
    assert_eq!(last.sack, [(at(7), at(8)), (at(5), at(6)), (at(3), at(4))]);
    assert_eq!(last.ack, seq);
    bench.octets(at(4), MSS, Flags::PSH);
    let merged = bench.next().unwrap();
    assert_eq!(
        merged.sack,
        [(at(3), at(6)), (at(7), at(8)), (at(1), at(2))]
    );
    bench.octets(at(0), MSS, Flags::PSH);
    let filled = bench.next().unwrap();
    assert_eq!(
        (filled.ack, filled.sack),
        (at(2), vec![(at(3), at(6)), (at(7), at(8))])
    );
    assert_eq!(bench.faults(), []);
}

#[test]
fn rfc2883_repeated_octets_are_reported_once() {
    let (mut bench, seq) = delayed();
    bench.octets(seq - MSS, MSS, Flags::PSH);
    let seen = bench.next().unwrap();
    assert_eq!((seen.ack, seen.sack), (seq, vec![(seq - MSS, seq)]));
    bench.octets(seq + MSS, MSS, Flags::PSH);
    assert_eq!(bench.next().unwrap().sack, [(seq + MSS, seq + 2 * MSS)]);
    bench.octets(seq + MSS, MSS, Flags::PSH);
    let block = (seq + MSS, seq + 2 * MSS);
    assert_eq!(bench.next().unwrap().sack, [block, block]);
    bench.octets(seq - 100, MSS, Flags::PSH);
    let seen = bench.next().unwrap();
    assert_eq!(
        (seen.ack, seen.sack[0]),
        (seq - 100 + MSS, (seq - 100, seq))
    );
}

#[test]
fn rfc7323_4_3_the_echo_is_of_the_segment_that_fills_the_gap() {
    let (mut bench, seq) = delayed();
    let echo = |bench: &mut Bench| bench.next().unwrap().stamps.unwrap().1;
    bench.stamp = 2000;
    bench.octets(seq, MSS, Flags::PSH);
    bench.stamp = 2001;
    bench.octets(seq + MSS, MSS, Flags::PSH);
    assert_eq!(
        echo(&mut bench),
        2000,
        "of a delayed acknowledgement, the first"
    );
    bench.stamp = 2005;
    bench.octets(seq + 3 * MSS, MSS, Flags::PSH);
    assert_eq!(
        echo(&mut bench),
        2000,
        "of a gap, the last that began at an ACK"
    );
    bench.stamp = 2007;
    bench.octets(seq + 2 * MSS, MSS, Flags::PSH);
    assert_eq!(echo(&mut bench), 2007);
}

#[test]
fn rfc7323_5_old_timestamps_are_refused_and_held_against_the_peer() {
    let (mut bench, seq) = delayed();
    bench.stamp = 5000;
    bench.octets(seq, MSS, Flags::PSH);
    bench.octets(seq + MSS, MSS, Flags::PSH);
    bench.at(201);
    bench.stamp = 4999;
    bench.octets(seq + 2 * MSS, MSS, Flags::PSH);
    assert_eq!(bench.faults(), []);
    bench.stamp = 4998;
    bench.octets(seq + 3 * MSS, MSS, Flags::PSH);
    let received = bench.host.received();
    assert_eq!(received, u64::from(seq + 3 * MSS - 1));
    assert_eq!(bench.faults(), [FaultKind::PawsData]);
    bench.octets(seq, MSS, Flags::PSH);
    assert_eq!(bench.faults(), [FaultKind::PawsData, FaultKind::Paws]);
    assert_eq!(bench.host.stats().refused_paws, 2);
}

#[test]
fn rfc9293_3_10_7_4_what_is_beyond_the_window_is_refused() {
    let (mut bench, mut seq) = delayed_with(LinuxConfig {
        receive_buffer_max: 128 << 10,
        ..LinuxConfig::default()
    });
    let left = |bench: &Bench| u32::try_from(bench.host.receive_window()).unwrap();
    bench.host.pause_reading(true);
    let promised = seq + left(&bench);
    let mut ms = 200;
    while left(&bench) > 1000 {
        let length = (left(&bench) - 1000).min(MSS);
        bench.octets(seq, length, Flags::PSH);
        seq += length;
        ms += 1;
        bench.at(ms);
    }
    assert_eq!(bench.faults(), []);
    // While there is something to read, Linux takes nothing of a segment that ends beyond.
    bench.octets(seq, left(&bench) + 300, Flags::PSH);
    assert_eq!(bench.host.received(), u64::from(seq) - 1);
    assert_eq!(bench.faults(), [FaultKind::BeyondWindow]);
    // To the last octet it is taken. (Rounding moves the edge a little with each acknowledgement.)
    while left(&bench) > 0 {
        let length = left(&bench);
        bench.octets(seq, length, Flags::PSH);
        seq += length;
        ms += 50;
        bench.at(ms);
    }
    assert_eq!(bench.host.received(), u64::from(seq) - 1);
    assert!(
        (promised..promised + 2000).contains(&seq),
        "{seq} {promised}"
    );
    // A probe of one octet is answered and not taken, and is no fault.
    bench.octets(seq, 1, Flags::PSH);
    let answer = bench.next().unwrap();
    assert_eq!((answer.ack, answer.window), (seq, 0));
    assert_eq!(bench.faults().len(), 1);
    // The window opens when the application reads, and the peer is told.
    bench.host.pause_reading(false);
    let update = bench.next().unwrap();
    assert!(update.ack == seq && update.window > 100, "{update:?}");
}

#[test]
fn the_oracle_notices_octets_and_ends_of_streams_that_are_wrong() {
    let (mut bench, seq) = delayed();
    let options = bench_options(&bench);
    let mut payload = Content::Pattern(2).octets(u64::from(seq) - 1, 10);
    payload[7] ^= 1;
    bench.packet(Flags::ACK, seq, 1, 500, options, payload);
    assert_eq!(bench.faults(), [FaultKind::WrongOctet(u64::from(seq) + 6)]);
    bench.octets(seq + 10, 10, Flags::FIN);
    bench.octets(seq + 20, 1, Flags::PSH);
    assert_eq!(bench.faults()[1..], [FaultKind::BeyondFin]);
    bench.octets(seq + 15, 4, Flags::FIN);
    assert_eq!(bench.faults()[1..], [FaultKind::BeyondFin; 2]);
    assert_eq!(bench.host.received(), u64::from(seq) + 19);
}

#[test]
fn the_oracle_notices_segments_that_no_peer_sends() {
    let (mut bench, seq) = delayed();
    let plain = bench_options(&bench);
    bench.packet(Flags::ACK, seq, 1, 500, Options::default(), Vec::new());
    let foreign = Options {
        timestamps: Some((bench.stamp, bench.echo.wrapping_add(1_000_000))),
        ..Options::default()
    };
    bench.packet(Flags::ACK, seq, 1, 500, foreign, Vec::new());
    bench.packet(
        Flags::ACK | Flags::ECE,
        seq,
        1,
        500,
        plain.clone(),
        Vec::new(),
    );
    bench.packet(Flags::PSH, seq, 1, 500, plain.clone(), Vec::new());
    bench.packet(Flags::SYN, seq + 9, 1, 500, plain.clone(), Vec::new());
    bench.packet(Flags::ACK, seq, 2, 500, plain.clone(), Vec::new());
    bench.packet(Flags::RST, seq + 1, 1, 500, plain.clone(), Vec::new());
    assert!(
        bench.host.is_established(),
        "reset by an inexact RST (RFC 5961 section 3.2)"
    );
    bench.packet(Flags::RST, seq, 1, 500, plain, Vec::new());
    assert!(!bench.host.is_established());
    use FaultKind::*;
    let expected = [
        MissingTimestamp,
        EchoOfUnsent,
        NotNegotiated,
        MissingAck,
        UnexpectedSyn,
        AckOfUnsent,
        UnexpectedReset,
        UnexpectedReset,
    ];
    assert_eq!(bench.faults(), expected);
    assert!(bench.host.grave_fault().is_some());
}

fn bench_options(bench: &Bench) -> Options {
    Options {
        timestamps: Some((bench.stamp, bench.echo)),
        ..Options::default()
    }
}
