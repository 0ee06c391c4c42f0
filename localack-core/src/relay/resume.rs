//! What a flow takes from those before it to the same place, and leaves behind for the next: hints
//! (RFC 9040) and, where the policy allows it, a window to begin with (Careful Resume).

use super::Work;
use crate::congestion::Ack;
use crate::flow::{FlowFlags, FlowKey, FlowSlot};
use crate::path::{Answer, Lesson, PathKey, Resume, SAVED_LIFETIME_US, Standing};
use crate::policy::Direction;
use crate::sink::Sink;

impl FlowSlot {
    /// What a direction that is served has learned of its path; `None` if that is nothing yet.
    pub(crate) fn lesson(&self, key: &FlowKey, direction: Direction) -> Option<(PathKey, Lesson)> {
        let stream = self.stream(direction);
        let send = &stream.send;
        let knows_rate = send.rate != 0 && !stream.snoops();
        if !stream.chain.has_quota() || send.attempt.resume().is_resuming() || !knows_rate {
            return None;
        }
        let congestion = &send.congestion;
        let follows_window = congestion.provisioned().is_none();
        let in_slow_start = congestion.cwnd() < congestion.ssthresh();
        // What was delivered in a round trip was no harm, whatever the threshold says.
        let per_round_trip =
            u64::from(send.rate).saturating_mul(send.min_rtt.us().unwrap_or(0).into()) / 1_000_000;
        let delivered = u32::try_from(per_round_trip).unwrap_or(u32::MAX);
        let threshold = congestion.ssthresh().max(congestion.cwnd().min(delivered));
        let lesson = Lesson {
            srtt_us: send.srtt_us(),
            rttvar_us: None,
            ssthresh: (follows_window && !in_slow_start).then_some(threshold),
            // The window itself may have been twice that, or halved by a loss just now.
            cwnd: follows_window.then_some(delivered),
            in_slow_start: false,
            min_rtt_us: send.min_rtt.us(),
            rate: Some(send.rate),
        };
        Some((PathKey::to_receiver(key, direction), lesson))
    }
}

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Leaves behind what the direction has learned.
    pub(super) fn teach(&mut self, direction: Direction) {
        if let Some((path, lesson)) = self.flow.lesson(&self.key, direction) {
            self.paths.learn(&path, self.now, &lesson);
        }
    }

    /// A direction begins to be served: it takes what is known of its path.
    pub(super) fn take_hints(&mut self, direction: Direction) {
        let path = PathKey::to_receiver(&self.key, direction);
        let now = self.now;
        let allowed = self.has(FlowFlags::CAREFUL_RESUME) && self.initial_segments() > 1;
        if let Some(hint) = self.paths.hint(&path, now) {
            let send = &mut self.flow.stream_mut(direction).send;
            if let (None, Some(srtt_us)) = (send.srtt_us(), hint.srtt_us) {
                send.expect_round_trip(srtt_us);
            }
            if let Some(ssthresh) = hint.ssthresh.filter(|_| !allowed) {
                send.congestion.set_threshold(ssthresh);
            }
        }
        let send = &mut self.flow.stream_mut(direction).send;
        if !allowed || send.congestion.provisioned().is_some() {
            return;
        }
        let begun = Resume::begin(send.snd_una, send.congestion.cwnd());
        send.attempt.with_resume(|resume| *resume = begun);
        if send.min_rtt.us().is_some() {
            // The handshake has measured the path: nothing more would be learned from the initial
            // window than that it arrives.
            let saved = self.paths.saved(&path, now, SAVED_LIFETIME_US);
            let standing = self.standing(direction, 0, None);
            let most = self.flow.buffer_limit;
            let send = &mut self.flow.stream_mut(direction).send;
            let answer = send
                .attempt
                .with_resume(|resume| resume.jump_at_once(&standing, saved, most));
            self.apply(direction, answer);
        }
    }

    fn standing(&self, direction: Direction, delivered: u32, rtt_us: Option<u32>) -> Standing {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        let mss = u32::from(send.mss());
        let window = send.usable_edge().octets_past(send.snd_una);
        Standing {
            now: self.now,
            delivered,
            in_flight: self.pipe(direction),
            cwnd: send.congestion.cwnd(),
            initial_window: mss.saturating_mul(self.initial_segments()),
            mss,
            rtt_us,
            srtt_us: send.srtt_us(),
            min_rtt_us: send.min_rtt.us(),
            snd_una: send.snd_una,
            snd_nxt: send.snd_nxt,
            cwnd_limited: send.cwnd_full.after(send.snd_una),
            receiver_limited: window < send.congestion.cwnd(),
        }
    }

    /// An acknowledgement was taken in; the window was `cwnd` before the controller saw it.
    pub(super) fn resume_on_ack(&mut self, direction: Direction, ack: &Ack, cwnd: u32) {
        if self.flow.stream(direction).send.attempt.resume().is_over() {
            return;
        }
        let standing = Standing {
            cwnd,
            ..self.standing(direction, ack.delivered, ack.rtt_us)
        };
        let most = self.flow.buffer_limit;
        let send = &self.flow.stream(direction).send;
        let saved = if send.attempt.resume().is_confirmed(&standing) {
            let path = PathKey::to_receiver(&self.key, direction);
            self.paths.saved(&path, self.now, SAVED_LIFETIME_US)
        } else {
            None
        };
        let attempt = &mut self.flow.stream_mut(direction).send.attempt;
        let answer = attempt.with_resume(|resume| {
            if resume.is_confirmed(&standing) {
                resume.jump(&standing, saved, most)
            } else {
                resume.on_progress(&standing)
            }
        });
        self.apply(direction, answer);
        if matches!(answer, Answer::Threshold(_)) {
            self.flow
                .stream_mut(direction)
                .send
                .congestion
                .search_on(ack);
        }
    }

    /// Something was sent.
    pub(super) fn resume_on_sent(&mut self, direction: Direction) {
        if self
            .flow
            .stream(direction)
            .send
            .attempt
            .resume()
            .is_resuming()
        {
            let standing = self.standing(direction, 0, None);
            let attempt = &mut self.flow.stream_mut(direction).send.attempt;
            let answer = attempt.with_resume(|resume| resume.on_progress(&standing));
            self.apply(direction, answer);
        }
    }

    /// The window was reduced, and was `cwnd` before.
    pub(super) fn resume_on_congestion(&mut self, direction: Direction, cwnd: u32) {
        if self.flow.stream(direction).send.attempt.resume().is_over() {
            return;
        }
        let standing = Standing {
            cwnd,
            ..self.standing(direction, 0, None)
        };
        let attempt = &mut self.flow.stream_mut(direction).send.attempt;
        let answer = attempt.with_resume(|resume| resume.on_congestion(&standing));
        self.apply(direction, answer);
    }

    /// The retransmission timer has expired.
    pub(super) fn resume_on_timeout(&mut self, direction: Direction) {
        let send = &mut self.flow.stream_mut(direction).send;
        let mss = send.mss().into();
        let answer = send.attempt.with_resume(|resume| resume.on_timeout(mss));
        self.apply(direction, answer);
    }

    fn apply(&mut self, direction: Direction, answer: Answer) {
        let path = PathKey::to_receiver(&self.key, direction);
        let congestion = &mut self.flow.stream_mut(direction).send.congestion;
        match answer {
            Answer::Keep => {}
            Answer::Jump { cwnd, rate } => {
                congestion.jump(cwnd, rate);
                // The whole of what was saved bounds the debt (rule H6.3).
                self.flow
                    .stream_mut(direction)
                    .send
                    .expect_rate(rate.saturating_mul(2));
                self.paths.claim_saved(&path, self.now);
                self.counters.resumptions = self.counters.resumptions.saturating_add(1);
            }
            Answer::Window(cwnd) => congestion.set_cwnd(cwnd),
            Answer::Validated => {
                let rate = self.paths.saved_rate(&path).unwrap_or(0);
                congestion.confirm_jump(self.now, rate);
            }
            Answer::Retreat { cwnd } => {
                congestion.retreat(cwnd);
                self.paths.forget_saved(&path);
            }
            Answer::Threshold(ssthresh) => congestion.end_retreat(ssthresh),
            Answer::Abandon { ssthresh } => {
                congestion.set_threshold(ssthresh);
                self.paths.forget_saved(&path);
            }
        }
    }
}
