#![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::*;
use crate::time::Stamp;
use proptest::prelude::*;

const MBIT: u32 = 125_000;
const START: u64 = 77_000_000;

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

/// Sends packets of `octets` at one instant until no more may leave; answers the octets sent.
fn burst(pacer: &mut Pacer, now: Instant, octets: u32, pace: Pace) -> u32 {
    let mut sent = 0;
    while pacer.may_send(now, octets, pace) {
        pacer.on_sent(now, octets, pace);
        sent += octets;
        assert!(sent <= 64 * 65_535, "it never stops");
    }
    sent
}

/// What a sender does that always has packets of `octets` and looks again when it is told to, but
/// `late` microseconds later: octets sent and looks taken until `end`.
fn greedy(octets: u32, pace: Pace, late: u64, end: u64) -> (u64, u64) {
    let (mut pacer, mut now) = (Pacer::EMPTY, START);
    let (mut sent, mut looks) = (0, 0);
    while now <= end {
        sent += u64::from(burst(&mut pacer, at(now), octets, pace));
        looks += 1;
        now = pacer.wake_at(at(now), octets, pace).unwrap().as_micros() + late;
    }
    (sent, looks)
}

#[test]
fn h12_1_a_quantum_is_a_millisecond_within_two_and_ten_segments() {
    for (rate, segment, super_segment, expected) in [
        (1, 1500, 0, 3000),
        (2 * MBIT, 1500, 0, 3000),
        (40 * MBIT, 1500, 0, 5000),
        (1000 * MBIT, 1500, 0, 15_000),
        (u32::MAX, 1500, 0, 15_000),
        (2 * MBIT, 1500, 64_000, 64_000),
        (40 * MBIT, 1500, 4500, 5000),
        (0, 0, 0, 2),
        (u32::MAX, u16::MAX, u16::MAX, 655_350),
    ] {
        assert_eq!(quantum(rate, segment, super_segment), expected, "{rate}");
    }
}

#[test]
fn a_limit_holds_where_it_is_the_slower_one_and_no_rate_is_none() {
    let [slow, fast] = [MBIT, 2 * MBIT].map(|rate| Pace::new(rate, 1500, 0));
    for (own, limit, expected) in [
        (fast, slow, slow),
        (slow, fast, slow),
        (Pace::UNPACED, slow, slow),
        (slow, Pace::UNPACED, slow),
        (Pace::UNPACED, Pace::UNPACED, Pace::UNPACED),
    ] {
        assert_eq!(own.limited(limit), expected, "{own:?} and {limit:?}");
    }
}

#[test]
fn ten_gigabit_do_not_drift() {
    let pace = Pace::new(10_000 * MBIT, 1500, 0);
    let (sent, _) = greedy(1500, pace, 0, START + 100_000);
    let ideal = 1000 * u64::from(MBIT);
    assert!(sent <= ideal + 15_000, "{sent}");
    assert!(sent + 15_000 >= ideal, "{sent} of {ideal}");
}

#[test]
fn the_remainders_of_single_packets_do_not_add_up() {
    // Each packet costs 349.2 ns, far less than a microsecond, and half of them leave alone.
    let pace = Pace::new(u32::MAX, 1500, 0);
    let mut pacer = Pacer::EMPTY;
    pacer.on_sent(at(START), 1500, pace);
    for _ in 0..1_000_000 {
        pacer.on_sent(at(START), 1500, pace);
    }
    let ready = pacer.ready_at(at(START), 15_000, pace).unwrap().as_micros() - START;
    let ideal = 1500 * 1_000_001_000_000 / u64::from(u32::MAX);
    assert!(
        ready.abs_diff(ideal) <= ideal / 10_000,
        "{ready} not {ideal}"
    );
}

#[test]
fn a_timer_comes_at_most_twice_per_quantum_and_may_be_late() {
    for (rate, packet) in [(20 * MBIT, 1500), (1000 * MBIT, 1500), (1000 * MBIT, 40)] {
        let pace = Pace::new(rate, 1500, 0);
        let quantum = u64::from(pace.quantum);
        let half_us = quantum * 1_000_000 / u64::from(rate) / 2;
        let ideal = u64::from(rate / 10);
        for late in [0, 1, half_us / 2, half_us - 2] {
            let (sent, looks) = greedy(packet, pace, late, START + 100_000);
            assert!(sent <= ideal + quantum, "{sent} of {ideal}");
            assert!(
                sent + 2 * quantum >= ideal,
                "{sent} of {ideal} when {late} late"
            );
            assert!(looks <= 2 * ideal / quantum + 2, "{looks} looks");
        }
        let (sent, _) = greedy(packet, pace, 3 * half_us, START + 100_000);
        assert!(sent < ideal * 3 / 4, "it may not catch up by larger bursts");
    }
}

#[test]
fn idleness_of_any_length_earns_one_quantum() {
    let pace = Pace::new(20 * MBIT, 1500, 0);
    for idle in [
        0,
        1,
        1_200,
        1 << 31,
        (1 << 32) - 1,
        1 << 32,
        1 << 40,
        1 << 46,
    ] {
        let mut pacer = Pacer::EMPTY;
        assert_eq!(burst(&mut pacer, at(START), 1500, pace), 3000);
        let again = burst(&mut pacer, at(START + idle), 1500, pace);
        assert_eq!(again, if idle < 600 { 0 } else { 3000 }, "idle {idle}");
    }
}

#[test]
fn a_packet_larger_than_a_quantum_waits_for_a_full_one() {
    let pace = Pace::new(20 * MBIT, 1500, 0);
    let mut pacer = Pacer::EMPTY;
    assert!(pacer.may_send(at(START), 9000, pace));
    pacer.on_sent(at(START), 9000, pace);
    // 6000 octets of debt and a quantum of 3000, at 2.5 octets a microsecond.
    assert_eq!(
        pacer.ready_at(at(START), 9000, pace),
        Some(at(START + 3600))
    );
    assert_eq!(pacer.allowance(at(START + 2400), pace), 0);
    assert_eq!(pacer.allowance(at(START + 3000), pace), 1500);
}

#[test]
fn no_number_of_packets_puts_a_sender_off_for_more_than_the_horizon() {
    let pace = Pace::new(1, 1500, 0);
    let mut pacer = Pacer::EMPTY;
    for _ in 0..10 {
        pacer.on_sent(at(START), 1_000_000, pace);
        assert_eq!(pacer.allowance(at(START), pace), 0, "nor sets it free");
    }
    // A deadline that a stamp took for the past would be due for ever.
    let ready = pacer.ready_at(at(START), 1_000_000, pace.doubled());
    let stamp = ready.map(Stamp::at).expect("it has to wait");
    assert!(!stamp.is_due(at(START)));
    assert_eq!(stamp.resolve(at(START)), ready);
    let horizon_us = HORIZON >> TICK_BITS;
    assert_eq!(pacer.allowance(at(START + horizon_us), pace), 0);
    assert_eq!(pacer.allowance(at(START + horizon_us + 5_000_000), pace), 5);
}

#[test]
fn the_end_of_a_span_of_ticks_is_like_any_other_time() {
    // Ticks modulo 2^64 begin anew each 2^48 microseconds.
    let now = at((1 << 48) - 1000);
    let pace = Pace::new(1_000_000, 1500, 0);
    assert_eq!(
        Pacer::EMPTY.allowance(now, pace),
        3000,
        "nothing was sent yet"
    );
    let mut pacer = Pacer::EMPTY;
    pacer.set(present(now));
    // Done exactly where zero would say that nothing was sent.
    pacer.on_sent(now, 1000, pace);
    assert_eq!(pacer.allowance(now, pace), 0);
    assert_eq!(pacer.allowance(at((1 << 48) + 1001), pace), 1000);
}

#[test]
fn without_a_rate_nothing_waits() {
    let pace = Pace::new(0, 1500, 0);
    let mut pacer = Pacer::EMPTY;
    pacer.on_sent(at(START), u32::MAX, Pace::new(1, 1500, 0));
    assert!(!pacer.may_send(at(START), 1, Pace::new(1, 1500, 0)));
    assert_eq!(pacer.allowance(at(START), pace), u32::MAX);
    assert_eq!(pacer.wake_at(at(START), u32::MAX, pace), None);
    pacer.on_sent(at(START), 1, pace);
    assert_eq!(pacer, Pacer::EMPTY, "a rate that comes later begins anew");
}

#[test]
fn going_back_in_time_is_standing_still() {
    let pace = Pace::new(20 * MBIT, 1500, 0);
    let mut pacer = Pacer::EMPTY;
    burst(&mut pacer, at(START), 1500, pace);
    let before = pacer;
    assert_eq!(burst(&mut pacer, at(START - 10_000), 1500, pace), 0);
    assert_eq!(pacer, before);
}

fn paces() -> impl Strategy<Value = Pace> {
    let rate = (0u32..32, any::<u32>()).prop_map(|(bits, wide)| (wide >> bits).max(100));
    let super_segment = prop_oneof![Just(0), any::<u16>()];
    (rate, 40u16..9000, super_segment)
        .prop_map(|(rate, segment, super_segment)| Pace::new(rate, segment, super_segment))
}

proptest! {
    #[test]
    fn h12_1_no_interval_sees_more_than_its_rate_and_a_quantum(
        pace in paces(),
        steps in prop::collection::vec((0u32..24, any::<u64>(), 1u32..70_000), 1..100),
    ) {
        let (mut pacer, mut now, mut sent) = (Pacer::EMPTY, START, 0i128);
        // Octets beyond the rate since the start, times a million; and their least so far.
        let mut least = i128::MAX;
        for (bits, wide, octets) in steps {
            now += wide & ((1 << bits) - 1);
            let octets = octets.min(pace.quantum);
            loop {
                let beyond = sent * 1_000_000 - i128::from(pace.rate) * i128::from(now - START);
                least = least.min(beyond);
                prop_assert!(beyond - least <= i128::from(pace.quantum) * 1_000_000);
                if !pacer.may_send(at(now), octets, pace) {
                    break;
                }
                pacer.on_sent(at(now), octets, pace);
                sent += i128::from(octets);
            }
        }
    }

    #[test]
    fn a_sender_that_looks_when_told_gets_all_of_its_rate(pace in paces(), part in 1u32..=8) {
        // The clock has no finer steps than microseconds.
        prop_assume!(pace.quantum / 2 > pace.rate / 1_000_000);
        let octets = (pace.quantum / 2 / part).max(1);
        let span = (300 * pace.ticks(pace.quantum)) >> TICK_BITS;
        let (sent, looks) = greedy(octets, pace, 0, START + span);
        let ideal = u128::from(pace.rate) * u128::from(span) / 1_000_000;
        prop_assert!(u128::from(sent) <= ideal + u128::from(pace.quantum));
        prop_assert!(u128::from(sent + 2 * u64::from(pace.quantum)) >= ideal, "{} of {}", sent, ideal);
        // Each look but the first is worth as many packets as half a quantum holds.
        let least = u64::from(pace.quantum / 2 / octets * octets);
        prop_assert!(looks <= sent / least + 2, "{} looks for {} octets", looks, sent);
    }

    #[test]
    fn a_packet_may_leave_when_it_is_ready_and_no_earlier(
        low: u32,
        high in any::<u32>(),
        near in 0u64..1 << 36,
        is_near: bool,
        octets in 1u32..70_000,
        pace in paces(),
    ) {
        let mut pacer = Pacer { low, high };
        if is_near {
            pacer.set(present(at(START)).wrapping_add(near).max(1));
        }
        let octets = octets.min(pace.quantum);
        match pacer.ready_at(at(START), octets, pace) {
            None => {
                prop_assert!(pacer.may_send(at(START), octets, pace));
                prop_assert_eq!(pacer.wake_at(at(START), octets, pace), None);
            }
            Some(ready) => {
                let before = at(ready.as_micros() - 1);
                prop_assert!(pacer.may_send(ready, octets, pace));
                prop_assert!(before < at(START) || !pacer.may_send(before, octets, pace));
                prop_assert!(pacer.wake_at(at(START), octets, pace) >= Some(ready));
                // Whatever the memory says, nobody waits for ever.
                prop_assert!(ready.as_micros() <= START + (HORIZON >> TICK_BITS) * 2 + 1);
            }
        }
    }

    #[test]
    fn damage_and_extremes_are_harmless(
        low: u32,
        high: u32,
        now: u64,
        octets: u32,
        rate: u32,
        segment: u16,
        super_segment: u16,
    ) {
        let (mut pacer, pace) = (Pacer { low, high }, Pace::new(rate, segment, super_segment));
        for octets in [octets, 0, u32::MAX] {
            prop_assert!(pacer.allowance(at(now), pace) <= pace.quantum);
            for wake in [pacer.ready_at(at(now), octets, pace), pacer.wake_at(at(now), octets, pace)] {
                prop_assert!(wake.is_none_or(|wake| wake > at(now) || now == u64::MAX));
            }
            pacer.on_sent(at(now), octets, pace.doubled().at_rate(rate / 2));
        }
    }
}

#[test]
fn h12_1_who_begins_may_send_most_of_an_initial_window_at_once_and_then_keeps_the_rate() {
    let usual = Pace::new(2 * MBIT, 1500, 0);
    for (pace, first) in [(usual, 2), (usual.beginning(1500), 8)] {
        let mut pacer = Pacer::EMPTY;
        let (segment, now) = (1500, at(START));
        assert_eq!(burst(&mut pacer, now, segment, pace), first * segment);
        // Two segments take 12 ms at 2 Mbit/s.
        let next = pacer.wake_at(now, segment, pace).unwrap();
        assert_eq!(next, at(START + 6_000));
        assert_eq!(burst(&mut pacer, next, segment, pace), segment);
        // A silence saves as much again, and no more.
        let later = at(START + 1_000_000);
        assert_eq!(burst(&mut pacer, later, segment, pace), first * segment);
    }
    let fast = Pace::new(1000 * MBIT, 1500, 0).beginning(1500);
    let mut pacer = Pacer::EMPTY;
    assert_eq!(burst(&mut pacer, at(START), 1500, fast), 15_000);
}

#[test]
fn h12_1_a_limit_of_the_same_rate_takes_no_first_burst_away() {
    let pace = Pace::new(8 * MBIT, 1500, 0);
    let own = pace.beginning(1500);
    assert_eq!(own.limited(pace), own);
    assert_eq!(Pacer::EMPTY.allowance(at(START), own.limited(pace)), 12_000);
}

#[test]
fn h12_1_nobody_waits_longer_than_a_horizon_for_a_burst() {
    let pace = Pace::new(1, 1500, 0);
    let mut pacer = Pacer::EMPTY;
    pacer.on_sent(at(START), 1500, pace);
    let allowed = |seconds: u64| pacer.allowance(at(START + seconds * 1_000_000), pace);
    assert_eq!(allowed(1_000), 1_000);
    assert_eq!(allowed(1_100), pace.burst);
}
