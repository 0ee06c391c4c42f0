#![cfg(feature = "bbr")]
#![allow(clippy::arithmetic_side_effects)]

use super::*;
use std::vec::Vec;

const SEGMENT: u32 = 1000;

fn ms(millis: u64) -> Instant {
    Instant::from_millis(1000 + millis)
}

/// Octets per millisecond of a sample.
fn rate(sample: &RateSample) -> u32 {
    sample.delivered * 1000 / sample.interval_us
}

/// A path of 100 ms that is sent a segment every 10 ms, and acknowledges each: the notes, and the
/// delivery so far, after `count` segments, of which those were acknowledged that could be.
fn steady(count: u64) -> (Delivery, Vec<Sent>) {
    let mut delivery = Delivery::EMPTY;
    let mut notes: Vec<Sent> = Vec::new();
    let mut in_flight = 0;
    for index in 0..count {
        if let Some(arrived) = index.checked_sub(10) {
            let note = notes[usize::try_from(arrived).unwrap()];
            delivery.on_delivered(ms(index * 10), SEGMENT, Some(&note), Some(100_000));
            in_flight -= SEGMENT;
        }
        notes.push(delivery.on_sent(ms(index * 10), SEGMENT, in_flight));
        in_flight += SEGMENT;
    }
    (delivery, notes)
}

#[test]
fn cheng_3_3_a_steady_flow_is_measured_exactly() {
    let (mut delivery, notes) = steady(30);
    let sample = delivery.on_delivered(ms(300), SEGMENT, Some(&notes[20]), Some(100_000));
    assert!(sample.is_known && !sample.is_app_limited);
    // Sent after the acknowledgement of 10; 11 to 20 have come since, in as many steps of 10 ms.
    assert_eq!((sample.delivered, sample.interval_us), (10_000, 100_000));
    assert_eq!(
        (sample.prior_delivered, sample.total_delivered),
        (11_000, 21_000)
    );
    assert_eq!((sample.tx_in_flight, sample.lost), (10_000, 0));
}

#[test]
fn cheng_3_3_the_first_flight_counts_from_its_first_segment() {
    let mut delivery = Delivery::EMPTY;
    let first = delivery.on_sent(ms(0), SEGMENT, 0);
    let second = delivery.on_sent(ms(5), SEGMENT, SEGMENT);
    let sample = delivery.on_delivered(ms(100), SEGMENT, Some(&first), None);
    assert_eq!((sample.delivered, sample.interval_us), (1000, 100_000));
    let sample = delivery.on_delivered(ms(105), SEGMENT, Some(&second), Some(100_000));
    assert_eq!((sample.delivered, sample.interval_us), (2000, 105_000));
}

#[test]
fn cheng_2_2_a_stretched_acknowledgement_counts_all_that_it_brings() {
    let (mut delivery, notes) = steady(30);
    // Nothing for 50 ms, then five at once.
    let sample = delivery.on_delivered(ms(340), 5 * SEGMENT, Some(&notes[24]), Some(100_000));
    // 24 was sent at 240 ms after 14 had come at 240 ms: 15 to 24.
    assert_eq!((sample.delivered, sample.interval_us), (10_000, 100_000));
    // The next comes at once: its own flight is as long.
    let sample = delivery.on_delivered(ms(350), SEGMENT, Some(&notes[25]), Some(100_000));
    assert_eq!((sample.delivered, sample.interval_us), (10_000, 100_000));
}

#[test]
fn cheng_2_2_compressed_acknowledgements_are_held_to_the_rate_of_sending() {
    let mut delivery = Delivery::EMPTY;
    let mut notes = Vec::new();
    // Twenty segments in 190 ms.
    for index in 0..20_u32 {
        notes.push(delivery.on_sent(ms(u64::from(index) * 10), SEGMENT, index * SEGMENT));
    }
    // The path holds all acknowledgements back and lets them go a millisecond apart.
    let mut last = RateSample::default();
    for (at, note) in (300..).zip(&notes) {
        last = delivery.on_delivered(ms(at), SEGMENT, Some(note), Some(100_000));
        assert!(last.interval_us == 0 || rate(&last) <= 100, "{last:?}");
    }
    assert_eq!(last.delivered, 20_000);
    // A flight sent meanwhile would look twenty times as fast by its acknowledgements alone.
    let mut later = Vec::new();
    for index in 0..20_u32 {
        later.push(delivery.on_sent(ms(320 + u64::from(index) * 10), SEGMENT, SEGMENT));
    }
    for (at, note) in (620..).zip(&later) {
        let sample = delivery.on_delivered(ms(at), SEGMENT, Some(note), Some(100_000));
        assert!(rate(&sample) <= 105, "{sample:?}");
    }
}

#[test]
fn cheng_3_3_the_interval_of_sending_is_that_of_the_flight() {
    let mut delivery = Delivery::EMPTY;
    let first = delivery.on_sent(ms(0), SEGMENT, 0);
    let second = delivery.on_sent(ms(400), SEGMENT, SEGMENT);
    let third = delivery.on_sent(ms(900), SEGMENT, 2 * SEGMENT);
    delivery.on_delivered(ms(901), SEGMENT, Some(&first), Some(100_000));
    // Acknowledged within a millisecond of the first, but sent 400 and 900 ms after it.
    let sample = delivery.on_delivered(ms(902), SEGMENT, Some(&second), Some(100_000));
    assert_eq!((sample.delivered, sample.interval_us), (2000, 902_000));
    let fourth = delivery.on_sent(ms(902), SEGMENT, SEGMENT);
    let sample = delivery.on_delivered(ms(903), 2 * SEGMENT, Some(&fourth), Some(100_000));
    assert_eq!(sample.interval_us, 502_000, "from the second's sending on");
    assert_eq!(third.first_sent_at, first.at);
}

#[test]
fn cheng_3_2_time_without_data_is_not_the_paths() {
    let (mut delivery, notes) = steady(12);
    for (at, note) in (0..).zip(&notes[2..]) {
        delivery.on_delivered(ms(120 + at), SEGMENT, Some(note), Some(100_000));
    }
    let note = delivery.on_sent(ms(60_000), SEGMENT, 0);
    let sample = delivery.on_delivered(ms(60_100), SEGMENT, Some(&note), Some(100_000));
    assert_eq!((sample.delivered, sample.interval_us), (1000, 100_000));
}

#[test]
fn cheng_3_4_samples_are_limited_until_the_bubble_has_left() {
    let mut delivery = Delivery::EMPTY;
    let before = delivery.on_sent(ms(0), SEGMENT, 0);
    delivery.on_app_limited(SEGMENT);
    let after = delivery.on_sent(ms(50), SEGMENT, SEGMENT);
    assert!(
        !delivery
            .on_delivered(ms(100), SEGMENT, Some(&before), None)
            .is_app_limited
    );
    let still = delivery.on_sent(ms(101), SEGMENT, SEGMENT);
    assert_ne!(
        still.flags & Sent::APP_LIMITED,
        0,
        "the bubble is just acknowledged"
    );
    assert!(
        delivery
            .on_delivered(ms(150), SEGMENT, Some(&after), None)
            .is_app_limited
    );
    let free = delivery.on_sent(ms(151), SEGMENT, SEGMENT);
    assert_eq!(free.flags & Sent::APP_LIMITED, 0);
    assert!(
        delivery
            .on_delivered(ms(201), SEGMENT, Some(&still), None)
            .is_app_limited
    );
    assert!(
        !delivery
            .on_delivered(ms(251), SEGMENT, Some(&free), None)
            .is_app_limited
    );
}

#[test]
fn cheng_3_3_less_than_a_round_trip_measures_nothing() {
    let mut delivery = Delivery::EMPTY;
    let original = delivery.on_sent(ms(0), SEGMENT, 0);
    delivery.on_delivered(ms(100), SEGMENT, Some(&original), None);
    delivery.on_sent(ms(100), SEGMENT, 0);
    // Sent again 5 ms before the acknowledgement of the first transmission arrives.
    let again = delivery.on_sent(ms(195), SEGMENT, 0);
    let sample = delivery.on_delivered(ms(200), SEGMENT, Some(&again), Some(100_000));
    assert_eq!(sample.interval_us, 0);
    assert!(sample.is_known, "rounds still count");
    assert_eq!(
        (sample.prior_delivered, sample.total_delivered),
        (1000, 2000)
    );
    let sample = delivery.on_delivered(ms(200), SEGMENT, None, Some(100_000));
    assert!(!sample.is_known && sample.total_delivered == 3000);
    let sample = delivery.on_delivered(ms(200), SEGMENT, Some(&Sent::NEVER), Some(100_000));
    assert!(!sample.is_known && sample.total_delivered == 4000);
}

#[test]
fn an_acknowledgement_without_news_moves_nothing() {
    let (mut delivery, notes) = steady(30);
    let before = delivery;
    let sample = delivery.on_delivered(ms(299), 0, Some(&notes[20]), Some(100_000));
    assert!(!sample.is_known && sample.total_delivered == 20_000);
    assert_eq!(delivery, before);
}

#[test]
fn bbr_4_1_losses_since_the_sending_are_counted() {
    let mut delivery = Delivery::EMPTY;
    let first = delivery.on_sent(ms(0), SEGMENT, 0);
    assert_eq!(delivery.on_lost(3000), 3000);
    let second = delivery.on_sent(ms(10), SEGMENT, SEGMENT);
    assert_eq!(delivery.on_lost(500), 3500);
    assert_eq!(
        delivery
            .on_delivered(ms(100), SEGMENT, Some(&first), None)
            .lost,
        3500
    );
    assert_eq!(
        delivery
            .on_delivered(ms(110), SEGMENT, Some(&second), None)
            .lost,
        500
    );
}

#[test]
fn all_counters_may_wrap() {
    let origin = (1_u64 << 32) - 50_000;
    let us = |micros: u64| Instant::from_micros(origin + micros);
    let mut delivery = Delivery::EMPTY;
    delivery.on_delivered(us(0), u32::MAX - 1500, None, None);
    delivery.on_lost(u32::MAX - 200);
    let first = delivery.on_sent(us(0), SEGMENT, 0);
    let second = delivery.on_sent(us(10_000), SEGMENT, SEGMENT);
    delivery.on_app_limited(2 * SEGMENT);
    delivery.on_lost(700);
    let limited = delivery.on_sent(us(20_000), SEGMENT, 2 * SEGMENT);
    let sample = delivery.on_delivered(us(100_000), SEGMENT, Some(&first), None);
    assert_eq!(
        (sample.delivered, sample.interval_us, sample.lost),
        (1000, 100_000, 700)
    );
    let sample = delivery.on_delivered(us(110_000), SEGMENT, Some(&second), None);
    assert_eq!((sample.delivered, sample.interval_us), (2000, 110_000));
    assert!(!sample.is_app_limited);
    let sample = delivery.on_delivered(us(120_000), SEGMENT, Some(&limited), None);
    assert_eq!((sample.delivered, sample.interval_us), (3000, 120_000));
    assert!(sample.is_app_limited);
    assert_eq!(delivery.on_sent(us(120_000), SEGMENT, SEGMENT).flags, 0);
}

#[test]
fn a_bubble_that_ends_where_the_count_wraps_is_still_a_bubble() {
    let mut delivery = Delivery::EMPTY;
    delivery.on_delivered(ms(0), u32::MAX - 999, None, None);
    delivery.on_app_limited(SEGMENT);
    let note = delivery.on_sent(ms(1), SEGMENT, SEGMENT);
    assert_ne!(note.flags & Sent::APP_LIMITED, 0);
    delivery.on_delivered(ms(100), 2 * SEGMENT, Some(&note), None);
    assert_eq!(delivery.on_sent(ms(101), SEGMENT, SEGMENT).flags, 0);
}

#[test]
fn notes_from_hours_ago_measure_nothing_absurd() {
    let mut delivery = Delivery::EMPTY;
    let note = delivery.on_sent(ms(0), SEGMENT, 0);
    for minutes in [30, 36, 60, 71] {
        let mut later = delivery;
        let sample = later.on_delivered(ms(minutes * 60_000), SEGMENT, Some(&note), Some(1000));
        assert!(
            sample.interval_us == 0 || rate(&sample) == 0,
            "{minutes} min: {sample:?}"
        );
    }
}

/// The mark is compared as sequence numbers are: half way round it is not passed yet.
#[test]
fn h9_9_the_limit_of_the_application_ends_when_its_mark_is_passed() {
    for (in_flight, is_limited) in [
        (1, true),
        (1 << 31, true),
        ((1 << 31) + 1, true),
        ((1 << 31) + 2, false),
    ] {
        let mut delivery = Delivery::EMPTY;
        delivery.on_app_limited(in_flight);
        let _ = delivery.on_delivered(ms(0), 1, None, None);
        let sent = delivery.on_sent(ms(1), SEGMENT, SEGMENT);
        let flags = if is_limited { Sent::APP_LIMITED } else { 0 };
        assert_eq!(sent.flags, flags, "a mark at {in_flight}");
    }
}
