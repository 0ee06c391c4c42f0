#![allow(clippy::arithmetic_side_effects)]

use super::*;
use crate::path::{PathHead, PathTable};
use crate::policy::Port;
use core::time::Duration;
use proptest::prelude::*;

const NOW: Instant = Instant::from_millis(5_000);
const MINUTES: u64 = 60;

fn later(seconds: u64) -> Instant {
    NOW.after(Duration::from_secs(seconds))
}

fn key() -> PathKey {
    PathKey::new([192, 0, 2, 1].into(), Port::Outer, 0)
}

/// A flow that filled 2.5 Mbit of a path of 600 ms.
fn lesson() -> Lesson {
    Lesson {
        srtt_us: Some(640_000),
        rttvar_us: Some(20_000),
        ssthresh: Some(1_000_000),
        cwnd: Some(1_500_000),
        in_slow_start: false,
        min_rtt_us: Some(600_000),
        rate: Some(2_500_000),
    }
}

fn with_table(act: impl FnOnce(&mut PathTable<'_>)) {
    let (mut head, mut slots) = (PathHead::EMPTY, [PathSlot::EMPTY; 8]);
    act(&mut PathTable::new(&mut head, &mut slots, [1, 2]));
}

#[test]
fn rfc9040_6_a_first_lesson_is_the_hint() {
    with_table(|table| {
        assert_eq!(table.hint(&key(), NOW), None);
        table.learn(&key(), NOW, &lesson());
        let hint = Hint {
            srtt_us: Some(640_000),
            rttvar_us: Some(20_000),
            ssthresh: Some(1_000_000),
            rate: Some(2_500_000),
        };
        assert_eq!(table.hint(&key(), later(1)), Some(hint));
        let other = PathKey::new([192, 0, 3, 1].into(), Port::Outer, 0);
        assert_eq!(table.hint(&other, later(1)), None);
    });
}

#[test]
fn rfc9040_6_later_lessons_are_averaged() {
    with_table(|table| {
        table.learn(&key(), NOW, &lesson());
        let second = Lesson {
            srtt_us: Some(660_000),
            ssthresh: None,
            rate: Some(500_000),
            ..lesson()
        };
        table.learn(&key(), later(60), &second);
        let hint = table.hint(&key(), later(61)).unwrap();
        assert_eq!(hint.srtt_us, Some(650_000));
        assert_eq!(hint.ssthresh, Some(1_000_000), "it saw no loss");
        assert_eq!(hint.rate, Some(1_500_000));
    });
}

#[test]
fn h12_5_hints_are_forgotten_after_ten_minutes() {
    with_table(|table| {
        table.learn(&key(), NOW, &lesson());
        assert!(table.hint(&key(), later(10 * MINUTES - 1)).is_some());
        assert_eq!(table.hint(&key(), later(10 * MINUTES)), None);
        // Milliseconds modulo 2^32 would look fresh again after 49.7 days.
        assert_eq!(
            table.hint(&key(), NOW.after(Duration::from_millis(1 << 32))),
            None
        );
        let fresh = Lesson {
            srtt_us: Some(10_000),
            ..Lesson::default()
        };
        table.learn(&key(), later(11 * MINUTES), &fresh);
        let hint = table.hint(&key(), later(11 * MINUTES)).unwrap();
        assert_eq!(
            (hint.srtt_us, hint.ssthresh),
            (Some(10_000), None),
            "nothing old is mixed in"
        );
    });
}

#[test]
fn a_flow_that_learned_nothing_teaches_nothing() {
    with_table(|table| {
        table.learn(&key(), NOW, &Lesson::default());
        assert_eq!(table.hint(&key(), NOW), None);
        assert_eq!(table.saved(&key(), NOW, SAVED_LIFETIME_US), None);
        table.learn(
            &key(),
            NOW,
            &Lesson {
                srtt_us: Some(0),
                ..Lesson::default()
            },
        );
        assert_eq!(table.hint(&key(), NOW), None);
    });
}

/// The window that is saved of a lesson.
fn saved_of(lesson: &Lesson) -> Option<Saved> {
    let mut answer = None;
    with_table(|table| {
        table.learn(&key(), NOW, lesson);
        answer = table.saved(&key(), NOW, SAVED_LIFETIME_US);
    });
    answer
}

#[test]
fn rfc9959_3_1_the_capacity_of_a_round_trip_is_saved() {
    let saved = |cwnd| {
        Some(Saved {
            cwnd,
            rtt_us: 600_000,
        })
    };
    assert_eq!(saved_of(&lesson()), saved(1_500_000));
    // A window with a queue in it, or twice the product of rate and round trip by design.
    let queued = Lesson {
        cwnd: Some(3_000_000),
        ..lesson()
    };
    assert_eq!(saved_of(&queued), saved(1_500_000));
    let unmeasured = Lesson {
        rate: None,
        ..queued
    };
    assert_eq!(saved_of(&unmeasured), saved(3_000_000));
    let doubling = Lesson {
        in_slow_start: true,
        ..unmeasured
    };
    assert_eq!(saved_of(&doubling), saved(1_500_000));
}

#[test]
fn rfc9959_3_1_a_small_or_unfilled_window_is_not_saved() {
    let small = Lesson {
        cwnd: Some(LEAST_SAVED - 1),
        rate: None,
        ..lesson()
    };
    assert_eq!(saved_of(&small), None);
    let least = Lesson {
        cwnd: Some(LEAST_SAVED),
        ..small
    };
    assert!(saved_of(&least).is_some());
    assert_eq!(
        saved_of(&Lesson {
            cwnd: None,
            ..lesson()
        }),
        None
    );
    assert_eq!(
        saved_of(&Lesson {
            min_rtt_us: None,
            ..lesson()
        }),
        None
    );
}

#[test]
fn rfc9959_3_1_there_is_one_set_of_parameters_and_the_last_counts() {
    with_table(|table| {
        table.learn(&key(), NOW, &lesson());
        let later_one = Lesson {
            cwnd: Some(700_000),
            ..lesson()
        };
        table.learn(&key(), later(5), &later_one);
        let unfilled = Lesson {
            cwnd: None,
            ..lesson()
        };
        table.learn(&key(), later(6), &unfilled);
        let saved = table.saved(&key(), later(7), SAVED_LIFETIME_US);
        assert_eq!(saved.map(|saved| saved.cwnd), Some(700_000));
    });
}

#[test]
fn rfc9959_3_2_saved_parameters_expire() {
    with_table(|table| {
        table.learn(&key(), NOW, &lesson());
        let minute = 60_000_000;
        assert!(table.saved(&key(), later(59), minute).is_some());
        assert_eq!(table.saved(&key(), later(61), minute), None);
        assert!(
            table
                .saved(&key(), later(10 * MINUTES - 1), SAVED_LIFETIME_US)
                .is_some()
        );
        assert_eq!(
            table.saved(&key(), later(10 * MINUTES), SAVED_LIFETIME_US),
            None
        );
    });
}

/// A flow that jumped by half of it, and was right, goes on with all of it.
#[test]
fn rfc9959_3_4_the_rate_that_was_used_is_known_while_a_flow_tries_it() {
    with_table(|table| {
        assert_eq!(table.saved_rate(&key()), None);
        table.learn(&key(), NOW, &lesson());
        assert_eq!(table.saved_rate(&key()), Some(2_500_000));
        table.claim_saved(&key(), later(1));
        assert_eq!(table.saved_rate(&key()), Some(2_500_000));
    });
}

#[test]
fn rfc9959_3_2_only_one_flow_jumps_at_a_time() {
    with_table(|table| {
        table.learn(&key(), NOW, &lesson());
        table.claim_saved(&key(), later(1));
        // Eight round trips of 600 ms.
        assert_eq!(table.saved(&key(), later(5), SAVED_LIFETIME_US), None);
        assert!(table.saved(&key(), later(6), SAVED_LIFETIME_US).is_some());
        // To the microsecond.
        let end = later(1).after(core::time::Duration::from_micros(8 * 600_000));
        assert!(table.saved(&key(), end, SAVED_LIFETIME_US).is_some());
    });
}

#[test]
fn rfc9959_3_5_a_retreat_takes_the_parameters_back() {
    with_table(|table| {
        table.learn(&key(), NOW, &lesson());
        table.forget_saved(&key());
        assert_eq!(table.saved(&key(), NOW, SAVED_LIFETIME_US), None);
        assert!(table.hint(&key(), NOW).is_some(), "the hints stay");
        table.learn(&key(), later(1), &lesson());
        assert!(table.saved(&key(), later(1), SAVED_LIFETIME_US).is_some());
    });
}

proptest! {
    #[test]
    fn rfc9040_6_an_average_lies_between(known in 1u32.., news in 1u32..) {
        let merged = merge(known, news);
        let mean = (u64::from(known) + u64::from(news)) / 2;
        prop_assert_eq!(u64::from(merged), mean);
    }

    #[test]
    fn rfc9959_3_1_no_more_is_saved_than_was_filled_or_delivered(
        cwnd: u32, rtt_us in 1u32.., rate in prop::option::of(1u32..), in_slow_start: bool,
    ) {
        let lesson = Lesson {
            cwnd: Some(cwnd), min_rtt_us: Some(rtt_us), rate, in_slow_start, ..Lesson::default()
        };
        let delivered = rate.map(|rate| u128::from(rate) * u128::from(rtt_us) / 1_000_000);
        let filled = u128::from(if in_slow_start { cwnd / 2 } else { cwnd });
        let capacity = delivered.map_or(filled, |octets| octets.min(filled));
        match saved_of(&lesson) {
            Some(saved) => {
                prop_assert_eq!((u128::from(saved.cwnd), saved.rtt_us), (capacity, rtt_us));
                prop_assert!(saved.cwnd >= LEAST_SAVED);
            }
            None => prop_assert!(capacity < u128::from(LEAST_SAVED)),
        }
    }
}

#[test]
fn rfc9959_3_2_a_jump_on_a_short_path_is_over_after_four_seconds() {
    with_table(|table| {
        let short = Lesson {
            min_rtt_us: Some(50_000),
            rate: None,
            ..lesson()
        };
        table.learn(&key(), NOW, &short);
        table.claim_saved(&key(), later(1));
        let at = |micros| later(1).after(Duration::from_micros(micros));
        assert_eq!(table.saved(&key(), at(3_999_999), SAVED_LIFETIME_US), None);
        assert!(
            table
                .saved(&key(), at(4_000_000), SAVED_LIFETIME_US)
                .is_some()
        );
    });
}

#[test]
fn rfc9959_3_1_what_was_measured_as_zero_was_not_measured() {
    let no_round_trip = Lesson {
        min_rtt_us: Some(0),
        rate: None,
        ..lesson()
    };
    assert_eq!(saved_of(&no_round_trip), None);
    let no_rate = Lesson {
        rate: Some(0),
        ..lesson()
    };
    let cwnd = saved_of(&no_rate).map(|saved| saved.cwnd);
    assert_eq!(cwnd, Some(1_500_000), "it bounds nothing");
}
