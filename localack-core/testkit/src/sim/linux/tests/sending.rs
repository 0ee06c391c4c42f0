//! What a host does about acknowledgements, and about their absence.

use super::bench::Bench;
use super::*;
use crate::packet::Flags;

const MSS: u32 = 1448;

/// The first octet of the segment with this number, from 0.
const fn at(number: u32) -> u32 {
    1 + number * MSS
}

fn sender(config: LinuxConfig) -> Bench {
    let mut bench = Bench::open(LinuxHost::connect(config).send_endless());
    let all = bench.data();
    assert_eq!(all[0], (1, 0), "the third segment of the handshake");
    let first: Vec<(u32, u32)> = (0..10).map(|number| (at(number), MSS)).collect();
    assert_eq!(all[1..], first[..], "RFC 6928: ten segments");
    bench
}

fn plain() -> Bench {
    sender(LinuxConfig::default())
}

/// Numbers of the segments that the host sent.
fn numbers(bench: &mut Bench) -> Vec<u32> {
    let all = bench.data().into_iter();
    all.map(|(seq, length)| {
        assert_eq!((seq % MSS, length), (1, MSS), "not a whole segment");
        seq / MSS
    })
    .collect()
}

#[test]
fn rfc5681_3_1_slow_start_doubles() {
    let mut bench = plain();
    bench.at(200);
    bench.ack(at(10), &[]);
    assert_eq!(numbers(&mut bench), (10..30).collect::<Vec<_>>());
    bench.at(300);
    bench.ack(at(30), &[]);
    assert_eq!(numbers(&mut bench), (30..70).collect::<Vec<_>>());
    assert_eq!(bench.host.congestion_window(), (40, u32::MAX));
}

#[test]
fn rfc6675_three_reported_segments_begin_recovery_and_rfc6937_reduces() {
    let mut bench = plain();
    bench.at(200);
    bench.ack(1, &[(at(1), at(2))]);
    bench.ack(1, &[(at(1), at(3))]);
    // Limited transmit (RFC 3042): each report lets a new segment go.
    assert_eq!(numbers(&mut bench), [10, 11]);
    bench.ack(1, &[(at(1), at(4))]);
    assert_eq!(numbers(&mut bench)[0], 0);
    assert_eq!(bench.host.congestion_window().1, 7, "beta is 0.7");
    // For the eight others that are in flight no more than seven leave.
    let mut sent = 1;
    for last in 5..=12 {
        bench.ack(1, &[(at(1), at(last))]);
        sent += numbers(&mut bench).len();
    }
    assert!((5..=8).contains(&sent), "{sent}");
    bench.at(300);
    bench.ack(at(12), &[]);
    assert_eq!(bench.host.congestion_window().0, 7);
    assert_eq!(bench.host.stats().recoveries, 1);
    assert_eq!(bench.faults(), []);
}

#[test]
fn rfc8985_reordering_within_a_quarter_of_the_round_trip_is_waited_for() {
    let mut bench = plain();
    bench.at(200);
    bench.ack(1, &[(at(1), at(3))]);
    assert_eq!(numbers(&mut bench), [10, 11]);
    bench.until(224);
    assert_eq!(numbers(&mut bench), [], "retransmitted too early");
    bench.until(226);
    assert_eq!(numbers(&mut bench), [0]);
    // The original was late: with timestamps, and with D-SACK without them, all is undone.
    bench.echo = bench.echo.wrapping_sub(120);
    bench.ack(at(3), &[]);
    assert_eq!(bench.host.stats().undone, 1);
    let (cwnd, ssthresh) = bench.host.congestion_window();
    assert!(cwnd >= 10 && ssthresh == u32::MAX, "{cwnd} {ssthresh}");
}

#[test]
fn rfc2883_dsack_undoes_a_needless_reduction() {
    let mut bench = sender(LinuxConfig {
        timestamps: false,
        mtu: 1488,
        ..LinuxConfig::default()
    });
    bench.at(200);
    bench.ack(1, &[(at(1), at(4))]);
    assert_eq!(numbers(&mut bench)[0], 0);
    assert_eq!(bench.host.congestion_window().1, 7);
    bench.at(210);
    bench.ack(at(4), &[]);
    assert_eq!(bench.host.stats().undone, 0);
    bench.at(300);
    bench.ack(at(4), &[(at(0), at(1))]);
    assert_eq!(bench.host.stats().undone, 1);
    assert_eq!(bench.host.congestion_window().1, u32::MAX);
    assert_eq!(bench.faults(), []);
}

#[test]
fn rfc8985_7_a_tail_probe_leaves_after_two_round_trips() {
    let config = LinuxConfig::default();
    let host = LinuxHost::connect(config).send_total(u64::from(5 * MSS));
    let mut bench = Bench::open(host);
    assert_eq!(bench.data().len(), 6);
    bench.until(301);
    assert_eq!(bench.data(), []);
    bench.until(303);
    let probe = bench.next().unwrap();
    assert_eq!((probe.seq, probe.length), (at(4), MSS));
    assert!(
        probe.flags.0 & Flags::FIN.0 != 0,
        "the FIN is in the last segment"
    );
    // Its acknowledgement shows by D-SACK that nothing was lost.
    bench.at(400);
    bench.ack(at(5) + 1, &[(at(4), at(5) + 1)]);
    assert_eq!(bench.host.congestion_window(), (10, u32::MAX));
    assert_eq!(bench.host.stats().loss_probes, 1);
}

#[test]
fn rfc8985_7_4_a_loss_that_the_probe_repaired_is_a_loss() {
    let mut bench = sender(LinuxConfig {
        send_buffer: 10 * MSS as usize,
        ..LinuxConfig::default()
    });
    bench.until(303);
    assert_eq!(
        numbers(&mut bench),
        [9],
        "the last one, as nothing new is there"
    );
    bench.at(400);
    bench.ack(at(10), &[]);
    assert_eq!(bench.host.congestion_window().1, u32::MAX);
    bench.at(500);
    bench.ack(at(11), &[]);
    let stats = bench.host.stats();
    assert_eq!((stats.loss_probes, stats.timeouts), (1, 0));
    assert_ne!(bench.host.congestion_window().1, u32::MAX);
}

#[test]
fn rfc6298_5_time_outs_double_and_begin_with_one_segment() {
    let mut bench = sender(LinuxConfig {
        sack: false,
        ..LinuxConfig::default()
    });
    let mut times = Vec::new();
    for seconds in 1..8 {
        bench.until(seconds * 1000);
        times.extend(bench.all().into_iter().map(|seen| {
            assert_eq!((seen.seq, seen.length), (1, MSS));
            seen.at_ms
        }));
    }
    // SRTT 100 ms, RTTVAR 50 ms: 300 ms at first.
    assert_eq!(times, [400, 1000, 2200, 4600]);
    assert_eq!(bench.host.congestion_window(), (1, 7));
    bench.at(7000);
    // F-RTO sends new data first (RFC 5682 step 2b); a duplicate shows that the rest was lost.
    bench.ack(at(1), &[]);
    assert_eq!(numbers(&mut bench), [10, 11]);
    bench.ack(at(1), &[]);
    assert_eq!(numbers(&mut bench), [1]);
}

#[test]
fn rfc5682_a_time_out_of_a_mere_delay_is_undone() {
    for timestamps in [false, true] {
        let mut bench = sender(LinuxConfig {
            timestamps,
            mtu: if timestamps { 1500 } else { 1488 },
            ..LinuxConfig::default()
        });
        let echo = bench.echo;
        // The tail probe is a new segment; then the timer.
        bench.until(800);
        assert_eq!(numbers(&mut bench), [10, 0]);
        assert_eq!(bench.host.congestion_window(), (1, 7));
        // Acknowledgements of the originals arrive at last: F-RTO sends new data first.
        bench.echo = echo;
        bench.ack(at(2), &[]);
        if timestamps {
            assert_eq!(bench.host.stats().undone, 1, "Eifel sees it at once");
        } else {
            assert_eq!(numbers(&mut bench), [11, 12, 13]);
            bench.ack(at(4), &[]);
        }
        assert_eq!(bench.host.stats().undone, 1);
        let (cwnd, ssthresh) = bench.host.congestion_window();
        assert!(cwnd >= 10 && ssthresh == u32::MAX, "{cwnd} {ssthresh}");
        assert!(
            !numbers(&mut bench).contains(&5),
            "retransmits what is not lost"
        );
    }
}

#[test]
fn rfc2018_8_reneging_is_survived_and_held_against_the_peer() {
    let mut bench = plain();
    bench.at(200);
    bench.ack(1, &[(at(2), at(10))]);
    assert!(numbers(&mut bench).starts_with(&[0, 1]));
    bench.at(300);
    bench.ack(at(2), &[]);
    assert_eq!(bench.faults(), [FaultKind::Reneged]);
    bench.until(320);
    assert!(
        numbers(&mut bench).contains(&2),
        "waits for what it thinks is there"
    );
}

#[test]
fn rfc6582_recovery_without_sack() {
    let mut bench = sender(LinuxConfig {
        sack: false,
        ..LinuxConfig::default()
    });
    bench.at(200);
    for _ in 0..2 {
        bench.ack(1, &[]);
    }
    assert_eq!(numbers(&mut bench), [10, 11]);
    bench.ack(1, &[]);
    assert_eq!(numbers(&mut bench)[0], 0);
    for _ in 0..6 {
        bench.ack(1, &[]);
    }
    bench.at(300);
    // A partial acknowledgement: the next hole.
    bench.ack(at(4), &[]);
    assert_eq!(numbers(&mut bench)[0], 4);
    assert_eq!(bench.host.stats().timeouts, 0);
}

#[test]
fn rfc9293_3_8_6_1_a_closed_window_is_probed_and_opens() {
    let mut bench = plain();
    bench.window = 0;
    bench.at(200);
    bench.ack(at(10), &[]);
    bench.until(4000);
    let probes = bench.all();
    let times: Vec<u64> = probes.iter().map(|seen| seen.at_ms).collect();
    assert_eq!(times.len(), 3, "{times:?}");
    assert!(
        times[0] - 200 >= 200 && times[1] - times[0] < times[2] - times[1],
        "{times:?}"
    );
    for probe in probes {
        assert_eq!((probe.seq, probe.length), (at(10) - 1, 0));
    }
    assert_eq!(bench.host.stats().timeouts, 0);
    bench.window = 500;
    bench.ack(at(10), &[]);
    assert_eq!(numbers(&mut bench)[0], 10);
    // A window of less than a segment is used by the probe only.
    let mut bench = plain();
    bench.window = 3;
    bench.at(200);
    bench.ack(at(10), &[]);
    assert_eq!(bench.data(), []);
    bench.until(1000);
    assert_eq!(bench.data()[0], (at(10), 3 << 7));
}

#[test]
fn paced_segments_are_spread_over_half_a_round_trip_of_slow_start() {
    let mut bench = Bench::open(
        LinuxHost::connect(LinuxConfig {
            paced: true,
            ..LinuxConfig::default()
        })
        .send_endless(),
    );
    bench.until(199);
    let times: Vec<u64> = bench.all().iter().skip(1).map(|seen| seen.at_ms).collect();
    // Ten segments at twice ten segments in 100 ms.
    assert_eq!(times, [100, 105, 110, 115, 120, 125, 130, 135, 140, 145]);
}

#[test]
fn the_send_buffer_limits_what_is_in_flight() {
    let config = LinuxConfig {
        send_buffer: 64 << 10,
        ..LinuxConfig::default()
    };
    let mut bench = sender(config);
    let mut acked = 0;
    for round in 2..12 {
        bench.at(round * 100);
        acked = (acked + 45).min(u32::try_from(bench.host.stats().segments_sent).unwrap());
        bench.ack(at(acked), &[]);
        let in_flight = bench.host.stats().octets_sent - bench.host.acknowledged();
        assert!(in_flight <= 64 << 10, "{in_flight}");
        assert!(
            round < 6 || in_flight > 60 << 10,
            "{in_flight} in round {round}"
        );
    }
}

#[test]
fn rfc3168_marks_reduce_the_window_once_a_round_trip() {
    let config = LinuxConfig {
        ecn: true,
        ..LinuxConfig::default()
    };
    let net = CLEAN;
    let [inner, outer] = pair(&config);
    let mut world = net.bare([inner.send_total(MEBIBYTE), outer]);
    world.linger(Duration::from_millis(120));
    assert!(world.inner.is_established());
    world.outer.echo_congestion = true;
    assert!(world.run(Duration::from_secs(20)));
    assert_eq!(world.inner.stats().ecn_reductions, 1);
    assert_eq!(world.inner.stats().segments_retransmitted, 0);
    blameless(&world, false);
}

#[test]
fn the_oracle_notices_acknowledgements_that_no_receiver_sends() {
    let mut bench = plain();
    bench.at(200);
    bench.ack(at(10) + 1, &[]);
    bench.ack(at(1), &[(at(9), at(10) + 1)]);
    bench.ack(at(1), &[(at(9), at(9))]);
    bench.ack(at(2), &[(at(0), at(1))]);
    bench.window = 100;
    bench.ack(at(3), &[]);
    bench.stamp += 1;
    bench.ack(at(2), &[]);
    use FaultKind::*;
    let expected = [
        AckOfUnsent,
        SackOfUnsent,
        SackMalformed,
        UnexplainedDsack,
        WindowRetreat,
        AckRetreat,
    ];
    assert_eq!(bench.faults(), expected);
}

#[test]
fn a_lost_syn_is_sent_again_after_a_second_and_the_window_is_small_after_two() {
    let mut bench = Bench::new(LinuxHost::connect(LinuxConfig::default()).send_endless());
    bench.until(8500);
    let times: Vec<u64> = bench.all().iter().map(|seen| seen.at_ms).collect();
    assert_eq!(times, [0, 1000, 2000, 3000, 4000, 5000, 7000]);
    bench.syn_ack();
    assert_eq!(bench.data(), [(1, 0), (1, MSS)]);
}

#[test]
fn a_silent_peer_is_given_up() {
    let mut bench = plain();
    bench.until(2_000_000);
    assert_eq!(bench.faults(), [FaultKind::GaveUp]);
    let at = bench.host.faults()[0].at.as_micros() / 1_000_000;
    assert!((800..1000).contains(&at), "{at} s");
    assert_eq!(bench.host.stats().timeouts, 15);
}
