#![allow(clippy::arithmetic_side_effects)]

use super::*;
use core::time::Duration;
use proptest::prelude::*;

const MSS: u32 = 1000;
const IW: u32 = 10 * MSS;
const RTT_US: u32 = 600_000;
const START: SeqNum = SeqNum::new(u32::MAX - 5000);

/// 300 segments, as in the RFC's examples.
const SAVED: Saved = Saved {
    cwnd: 300 * MSS,
    rtt_us: RTT_US,
};

/// A sender at the edge of its window.
#[derive(Clone, Copy)]
struct Sender {
    now: Instant,
    cwnd: u32,
    una: u32,
    nxt: u32,
    rtt_us: u32,
}

impl Sender {
    fn standing(&self, delivered: u32) -> Standing {
        Standing {
            now: self.now,
            delivered,
            in_flight: self.nxt - self.una,
            cwnd: self.cwnd,
            initial_window: IW,
            mss: MSS,
            rtt_us: Some(self.rtt_us).filter(|_| delivered > 0),
            srtt_us: Some(self.rtt_us),
            min_rtt_us: Some(self.rtt_us),
            snd_una: START.advance(self.una),
            snd_nxt: START.advance(self.nxt),
            cwnd_limited: true,
            receiver_limited: false,
        }
    }

    /// So many segments are sent.
    fn sent(&mut self, resume: &mut Resume, segments: u32) -> Answer {
        self.nxt += segments * MSS;
        self.apply(resume.on_progress(&self.standing(0)))
    }

    /// So many segments are acknowledged.
    fn acked(&mut self, resume: &mut Resume, segments: u32) -> Answer {
        self.una += segments * MSS;
        self.apply(resume.on_progress(&self.standing(segments * MSS)))
    }

    fn apply(&mut self, answer: Answer) -> Answer {
        match answer {
            Answer::Jump { cwnd, .. } | Answer::Window(cwnd) | Answer::Retreat { cwnd } => {
                self.cwnd = cwnd;
            }
            Answer::Keep | Answer::Validated | Answer::Threshold(_) | Answer::Abandon { .. } => {}
        }
        answer
    }

    fn later(&mut self, micros: u64) {
        self.now = self.now.after(Duration::from_micros(micros));
    }
}

/// The initial window is acknowledged, and 29 segments are in flight.
fn confirmed() -> (Resume, Sender) {
    let sender = Sender {
        now: Instant::from_millis(5000),
        cwnd: 29 * MSS,
        una: 10 * MSS,
        nxt: 39 * MSS,
        rtt_us: RTT_US,
    };
    let resume = Resume::begin(START, IW);
    assert!(resume.is_confirmed(&sender.standing(MSS)));
    (resume, sender)
}

fn jump(resume: &mut Resume, sender: &mut Sender) -> Answer {
    let answer = resume.jump(&sender.standing(MSS), Some(SAVED), u32::MAX);
    sender.apply(answer)
}

/// The flow has jumped to 150 segments and sent 121 more.
fn validating() -> (Resume, Sender) {
    let (mut resume, mut sender) = confirmed();
    let _ = jump(&mut resume, &mut sender);
    for _ in 0..120 {
        assert_eq!(sender.sent(&mut resume, 1), Answer::Keep);
    }
    assert_eq!(sender.sent(&mut resume, 1), Answer::Window(150 * MSS));
    (resume, sender)
}

#[test]
fn rfc9959_3_2_reconnaissance_waits_for_the_whole_initial_window() {
    let (resume, mut sender) = confirmed();
    sender.una = 10 * MSS - 1;
    assert!(!resume.is_confirmed(&sender.standing(MSS)));
    sender.una = 10 * MSS;
    let idle = Standing {
        cwnd_limited: false,
        ..sender.standing(MSS)
    };
    assert!(!resume.is_confirmed(&idle), "there is nothing to send");
    assert!(
        !Resume::EMPTY.is_confirmed(&sender.standing(MSS)),
        "the policy forbids it"
    );
    assert!(!resume.holds_window() && !resume.is_resuming());
}

#[test]
fn rfc9959_3_3_the_jump_is_half_of_what_was_saved() {
    let (mut resume, mut sender) = confirmed();
    let answer = jump(&mut resume, &mut sender);
    // 150,000 octets in 0.6 s.
    assert_eq!(
        answer,
        Answer::Jump {
            cwnd: 150 * MSS,
            rate: 250_000
        }
    );
    assert!(resume.holds_window() && resume.is_resuming());
    assert_eq!(resume.pacing_rate(sender.cwnd, Some(RTT_US)), Some(250_000));
    assert_eq!(
        resume.pacing_rate(sender.cwnd, Some(2 * RTT_US)),
        Some(125_000)
    );
    assert_eq!(jump(&mut resume, &mut sender), Answer::Keep, "once");
}

#[test]
fn rfc9959_3_3_the_operator_bounds_the_jump() {
    let (mut resume, sender) = confirmed();
    let answer = resume.jump(&sender.standing(MSS), Some(SAVED), 40 * MSS);
    assert!(matches!(answer, Answer::Jump { cwnd, .. } if cwnd == 40 * MSS));
}

#[test]
fn rfc9959_3_2_there_may_be_nothing_to_jump_by_or_to_gain() {
    for (saved, max_jump) in [
        (None, u32::MAX),
        (Some(SAVED), 29 * MSS),
        (
            Some(Saved {
                cwnd: 58 * MSS,
                ..SAVED
            }),
            u32::MAX,
        ),
    ] {
        let (mut resume, sender) = confirmed();
        let answer = resume.jump(&sender.standing(MSS), saved, max_jump);
        assert_eq!((answer, resume.is_resuming()), (Answer::Keep, false));
        assert!(
            !resume.is_confirmed(&sender.standing(MSS)),
            "there is one attempt"
        );
    }
}

#[test]
fn rfc9959_4_2_1_another_round_trip_is_another_path() {
    for (rtt_us, same) in [
        (RTT_US / 2, false),
        (RTT_US / 2 + 1, true),
        (RTT_US * 10, true),
        (RTT_US * 10 + 1, false),
    ] {
        let (mut resume, mut sender) = confirmed();
        sender.rtt_us = rtt_us;
        let answer = jump(&mut resume, &mut sender);
        assert_eq!(matches!(answer, Answer::Jump { .. }), same, "{rtt_us}");
    }
    let (mut resume, sender) = confirmed();
    let unmeasured = Standing {
        min_rtt_us: None,
        srtt_us: None,
        ..sender.standing(MSS)
    };
    assert_eq!(
        resume.jump(&unmeasured, Some(SAVED), u32::MAX),
        Answer::Keep
    );
}

#[test]
fn rfc9959_3_2_congestion_in_reconnaissance_ends_the_attempt() {
    let (mut resume, mut sender) = confirmed();
    assert_eq!(resume.on_congestion(&sender.standing(0)), Answer::Keep);
    assert_eq!(jump(&mut resume, &mut sender), Answer::Keep);
    let (mut resume, mut sender) = confirmed();
    assert_eq!(resume.on_timeout(MSS), Answer::Keep);
    assert_eq!(jump(&mut resume, &mut sender), Answer::Keep);
}

#[test]
fn rfc9959_appendix_without_loss_the_jump_is_validated() {
    let (mut resume, mut sender) = validating();
    assert!(!resume.holds_window(), "slow start goes on");
    assert!(resume.is_resuming());
    assert_eq!(resume.pacing_rate(sender.cwnd, Some(RTT_US)), None);
    for _ in 0..149 {
        assert_eq!(sender.acked(&mut resume, 1), Answer::Keep);
        assert!(resume.is_resuming());
    }
    assert_eq!(sender.acked(&mut resume, 1), Answer::Validated);
    assert!(!resume.is_resuming());
    // What is lost from now on is the controller's business alone.
    assert_eq!(resume.on_congestion(&sender.standing(0)), Answer::Keep);
    assert_eq!(resume.on_timeout(MSS), Answer::Keep);
}

#[test]
fn rfc9959_3_3_the_first_answer_ends_the_jump_with_what_is_in_flight() {
    let (mut resume, mut sender) = confirmed();
    let _ = jump(&mut resume, &mut sender);
    assert_eq!(sender.sent(&mut resume, 60), Answer::Keep);
    assert_eq!(
        sender.acked(&mut resume, 29),
        Answer::Keep,
        "all of it was sent before"
    );
    assert_eq!(sender.acked(&mut resume, 1), Answer::Window(59 * MSS));
    assert!(resume.is_resuming() && !resume.holds_window());
}

#[test]
fn rfc9959_3_3_less_than_an_initial_window_in_flight_proves_nothing() {
    // Two segments are in flight and are acknowledged; then `segments` are sent, one of which is.
    let after = |segments: u32| {
        let (mut resume, mut sender) = confirmed();
        sender.nxt -= 27 * MSS;
        let _ = jump(&mut resume, &mut sender);
        assert_eq!(sender.acked(&mut resume, 2), Answer::Keep);
        assert_eq!(sender.sent(&mut resume, segments), Answer::Keep);
        let answer = sender.acked(&mut resume, 1);
        (answer, resume.is_resuming())
    };
    assert_eq!(after(10), (Answer::Window(IW), false));
    assert_eq!(after(11), (Answer::Window(IW), true));
    assert_eq!(after(12), (Answer::Window(IW + MSS), true));
}

#[test]
fn an_attempt_is_kept_as_plain_data() {
    let (mut resume, mut sender) = confirmed();
    let _ = jump(&mut resume, &mut sender);
    let kept = Resume::from_words(resume.to_words());
    assert_eq!(kept, resume);
    assert!(kept.pacing_rate(sender.cwnd, Some(RTT_US)).is_some());
}

#[test]
fn rfc9959_3_3_a_round_trip_ends_the_jump() {
    let (mut resume, mut sender) = confirmed();
    let _ = jump(&mut resume, &mut sender);
    assert_eq!(sender.sent(&mut resume, 60), Answer::Keep);
    sender.later(u64::from(RTT_US));
    assert_eq!(sender.sent(&mut resume, 1), Answer::Keep);
    sender.later(1);
    assert_eq!(sender.sent(&mut resume, 1), Answer::Window(91 * MSS));
    assert!(!resume.holds_window());
}

#[test]
fn rfc9959_3_3_a_jump_that_is_not_used_proves_nothing() {
    let (mut resume, mut sender) = confirmed();
    let _ = jump(&mut resume, &mut sender);
    // Acknowledged by and by, while little is sent: 20 segments stay in flight.
    assert_eq!(sender.acked(&mut resume, 29), Answer::Keep);
    assert_eq!(sender.sent(&mut resume, 21), Answer::Keep);
    assert_eq!(sender.acked(&mut resume, 1), Answer::Window(30 * MSS));
    assert!(!resume.is_resuming());
    let (mut resume, mut sender) = confirmed();
    let _ = jump(&mut resume, &mut sender);
    sender.nxt -= 27 * MSS;
    sender.later(u64::from(RTT_US) + 1);
    assert_eq!(
        sender.sent(&mut resume, 0),
        Answer::Window(29 * MSS),
        "never below what was known"
    );
}

#[test]
fn rfc9959_appendix_a_loss_while_validating_retreats_to_half_of_what_arrived() {
    let (mut resume, mut sender) = validating();
    // The 29 of before, and 34 beyond them; the next is lost.
    for _ in 0..29 + 34 {
        assert_eq!(sender.acked(&mut resume, 1), Answer::Keep);
    }
    let answer = resume.on_congestion(&sender.standing(0));
    assert_eq!(sender.apply(answer), Answer::Retreat { cwnd: 63 * MSS / 2 });
    assert!(resume.holds_window() && resume.is_resuming());
    assert_eq!(resume.on_congestion(&sender.standing(0)), Answer::Keep);
    // The other 86 arrive by SACK, and then the repair.
    for _ in 0..86 {
        assert_eq!(resume.on_progress(&sender.standing(MSS)), Answer::Keep);
    }
    sender.una = sender.nxt;
    let over = resume.on_progress(&sender.standing(MSS));
    assert_eq!(over, Answer::Threshold(150 * MSS / 2));
    assert!(!resume.holds_window() && !resume.is_resuming());
}

#[test]
fn rfc9959_3_3_a_shorter_round_trip_after_the_jump_retreats() {
    let (mut resume, mut sender) = confirmed();
    let _ = jump(&mut resume, &mut sender);
    assert_eq!(sender.sent(&mut resume, 50), Answer::Keep);
    sender.rtt_us = RTT_US / 2;
    assert_eq!(
        sender.acked(&mut resume, 2),
        Answer::Retreat { cwnd: 29 * MSS / 2 }
    );
}

#[test]
fn rfc9959_3_5_a_loss_right_after_the_jump_retreats_and_covers_all_that_was_sent() {
    let (mut resume, mut sender) = confirmed();
    let _ = jump(&mut resume, &mut sender);
    assert_eq!(sender.sent(&mut resume, 50), Answer::Keep);
    let answer = resume.on_congestion(&sender.standing(0));
    assert_eq!(answer, Answer::Retreat { cwnd: 29 * MSS / 2 });
    sender.una = sender.nxt - 1;
    assert_eq!(resume.on_progress(&sender.standing(0)), Answer::Keep);
    sender.una = sender.nxt;
    assert_eq!(
        resume.on_progress(&sender.standing(0)),
        Answer::Threshold(29 * MSS / 2)
    );
}

#[test]
fn rfc9959_3_5_what_was_in_flight_at_the_jump_counts_once() {
    let (mut resume, mut sender) = confirmed();
    let _ = jump(&mut resume, &mut sender);
    assert_eq!(sender.sent(&mut resume, 50), Answer::Keep);
    assert_eq!(sender.acked(&mut resume, 9), Answer::Keep);
    let answer = resume.on_congestion(&sender.standing(0));
    assert_eq!(answer, Answer::Retreat { cwnd: 29 * MSS / 2 });
    assert_eq!(sender.acked(&mut resume, 20), Answer::Keep);
    // 29 that were in flight and 50 beyond.
    assert_eq!(
        sender.acked(&mut resume, 50),
        Answer::Threshold(79 * MSS / 2)
    );
}

#[test]
fn rfc9959_3_6_a_time_out_abandons_the_attempt() {
    let (mut resume, mut sender) = validating();
    assert_eq!(sender.acked(&mut resume, 29 + 11), Answer::Keep);
    assert_eq!(
        resume.on_timeout(MSS),
        Answer::Abandon { ssthresh: 20 * MSS }
    );
    assert!(!resume.is_resuming() && !resume.holds_window());
    assert_eq!(resume.on_timeout(MSS), Answer::Keep);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ack(u32),
    Send(u32),
    Congestion,
    Timeout,
    Wait(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u32..40).prop_map(Step::Ack),
        6 => (1u32..40).prop_map(Step::Send),
        1 => Just(Step::Congestion),
        1 => Just(Step::Timeout),
        1 => (0u32..700_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn rfc9959_1_5_a_jump_is_bounded_and_what_fails_is_taken_back(
        saved in 0u32..2_000_000,
        max_jump in 0u32..1_000_000,
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut sender = Sender {
            now: Instant::from_millis(9000), cwnd: IW, una: 0, nxt: 0, rtt_us: RTT_US,
        };
        let mut resume = Resume::begin(START, IW);
        let (mut jumps, mut jumped_to, mut resolved) = (0, 0, 0);
        for step in steps {
            let was_resuming = resume.is_resuming();
            let cwnd_before = sender.cwnd;
            let answer = match step {
                Step::Ack(segments) => {
                    let octets = (segments * MSS).min(sender.nxt - sender.una);
                    sender.una += octets;
                    let standing = sender.standing(octets);
                    if !resume.holds_window() {
                        sender.cwnd += octets;
                    }
                    if resume.is_confirmed(&standing) {
                        let saved = Saved { cwnd: saved, rtt_us: RTT_US };
                        resume.jump(&standing, Some(saved), max_jump)
                    } else {
                        resume.on_progress(&standing)
                    }
                }
                Step::Send(segments) => {
                    let room = sender.cwnd.saturating_sub(sender.nxt - sender.una);
                    sender.nxt += (segments * MSS).min(room / MSS * MSS);
                    resume.on_progress(&sender.standing(0))
                }
                Step::Congestion => resume.on_congestion(&sender.standing(0)),
                Step::Timeout => resume.on_timeout(MSS),
                Step::Wait(micros) => {
                    sender.later(micros.into());
                    Answer::Keep
                }
            };
            match answer {
                Answer::Keep => {}
                Answer::Validated => {
                    resolved += 1;
                    prop_assert!(was_resuming && !resume.is_resuming());
                }
                Answer::Jump { cwnd, .. } => {
                    jumps += 1;
                    jumped_to = cwnd;
                    prop_assert!(cwnd <= saved / 2 && cwnd <= max_jump && cwnd > cwnd_before);
                    prop_assert!(sender.una >= IW);
                }
                Answer::Window(cwnd) => prop_assert!(was_resuming && cwnd <= jumped_to),
                Answer::Retreat { cwnd } => {
                    prop_assert!(was_resuming && cwnd <= sender.cwnd);
                    // Never more than half of all that was sent.
                    prop_assert!(cwnd <= (sender.nxt / 2).max(2 * MSS));
                }
                Answer::Threshold(octets) | Answer::Abandon { ssthresh: octets } => {
                    resolved += 1;
                    prop_assert!(was_resuming && !resume.is_resuming());
                    prop_assert!(octets <= (sender.nxt / 2).max(2 * MSS));
                }
            }
            let _ = sender.apply(answer);
            prop_assert!(jumps <= 1 && resolved <= 1, "one attempt");
        }
    }

    #[test]
    fn damage_is_harmless(words: [u32; 4], cwnd in 0u32..1 << 30, nxt: u32, flight in 0u32..1 << 30) {
        let [tag, pipe, mark, jumped_at] = words;
        let resume = Resume {
            tag,
            pipe,
            mark: SeqNum::new(mark),
            jumped_at: Stamp::at(Instant::from_micros(jumped_at.into())),
        };
        let at = Standing {
            now: Instant::from_millis(1),
            delivered: flight,
            in_flight: flight,
            cwnd,
            initial_window: IW,
            mss: MSS,
            rtt_us: Some(1),
            srtt_us: Some(0),
            min_rtt_us: None,
            snd_una: SeqNum::new(nxt).retreat(flight),
            snd_nxt: SeqNum::new(nxt),
            cwnd_limited: true,
            receiver_limited: false,
        };
        let saved = Some(Saved { cwnd: pipe, rtt_us: tag });
        let mut copies = [resume; 4];
        let answers = [
            copies[0].on_progress(&at),
            copies[1].on_congestion(&at),
            copies[2].on_timeout(MSS),
            copies[3].jump(&at, saved, u32::MAX),
        ];
        let _ = resume.pacing_rate(cwnd, Some(0));
        for answer in answers {
            match answer {
                Answer::Keep | Answer::Validated => {}
                Answer::Window(octets) | Answer::Retreat { cwnd: octets } => prop_assert!(octets <= cwnd),
                Answer::Jump { cwnd: octets, .. }
                | Answer::Threshold(octets)
                | Answer::Abandon { ssthresh: octets } => prop_assert!(octets <= 1 << 30),
            }
        }
    }
}

#[test]
fn rfc9959_4_2_1_a_round_trip_too_long_to_note_is_not_jumped_by() {
    for (rtt_us, jumps) in [
        (LARGEST_NOTE, true),
        (LARGEST_NOTE + 1, false),
        (600_000_000, false),
    ] {
        let (mut resume, sender) = confirmed();
        let saved = Saved { rtt_us, ..SAVED };
        let at = Standing {
            min_rtt_us: Some(rtt_us),
            ..sender.standing(MSS)
        };
        let answer = resume.jump(&at, Some(saved), u32::MAX);
        assert_eq!(matches!(answer, Answer::Jump { .. }), jumps, "{rtt_us} us");
        assert_eq!(resume.is_resuming(), jumps);
    }
}

/// A round trip after a jump with nothing in flight.
#[test]
fn rfc9959_3_3_less_than_an_initial_window_validates_nothing() {
    for (segments, validates) in [(5, false), (9, false), (10, true), (11, true)] {
        let (mut resume, mut sender) = confirmed();
        sender.una = sender.nxt;
        let _ = jump(&mut resume, &mut sender);
        sender.nxt += segments * MSS;
        sender.later(u64::from(RTT_US) + 1);
        let answer = resume.on_progress(&sender.standing(0));
        let window = (segments * MSS).max(IW);
        assert_eq!(answer, Answer::Window(window), "{segments} segments");
        assert_eq!(resume.is_resuming(), validates, "{segments} segments");
        assert_eq!(resume.is_over(), !validates);
    }
}
