//! Careful Resume (RFC 9959): one flow's jump to half of what an earlier flow to the same place
//! could use, its validation, and its retreat.
//!
//! Beside a controller, not instead of one: the controller does what it always does, but for the
//! changes that the answers here ask for, and while [`Resume::holds_window`] its window stays.
//!
//! | phase | begins with | ends with |
//! |---|---|---|
//! | Reconnaissance | the connection | the initial window acknowledged: jump, or nothing to jump by; congestion: normal |
//! | Unvalidated | the jump | the window filled, its first octet acknowledged, or a round trip |
//! | Validating | the last octet of the jump sent | that octet acknowledged: normal |
//! | Safe Retreat | congestion, or another path, in one of those two | everything sent until then acknowledged |

use super::hint::Saved;
use crate::seq::SeqNum;
use crate::time::{Instant, Stamp};

/// No window or threshold is larger, in octets.
const WINDOW_LIMIT: u32 = 1 << 30;

/// A round trip this many times longer than the saved one is another path (section 4.2.1).
const LONGEST_RTT: u32 = 10;

/// Bits of the tag that hold the phase, and the largest number that the others hold.
const PHASE_BITS: u32 = 3;
const LARGEST_NOTE: u32 = u32::MAX >> PHASE_BITS;

/// Where a flow is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The method is not in use, or no longer.
    Normal,
    Reconnaissance,
    Unvalidated,
    Validating,
    SafeRetreat,
}

/// The state of one direction. Plain old data; all zeroes is normal congestion control.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub(crate) struct Resume {
    /// The phase, and above it a note: while unvalidated, the saved round trip in microseconds;
    /// later, octets in flight that the sum has already.
    tag: u32,
    /// PipeSize: octets that the path is known to carry.
    pipe: u32,
    /// What must be acknowledged for the phase to end. Before the jump, the end of the initial
    /// window; after it, the first octet that went beyond what was known, then the last.
    mark: SeqNum,
    /// When the flow jumped.
    jumped_at: Stamp,
}

const _: () = assert!(size_of::<Resume>() <= 16);

/// Where a flow stands, after an acknowledgement and what it shows to be lost, or after a
/// transmission (`delivered` is zero then).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Standing {
    pub(crate) now: Instant,
    /// Octets of which this is the first to say that they arrived, cumulatively or by SACK.
    pub(crate) delivered: u32,
    /// Octets in flight.
    pub(crate) in_flight: u32,
    /// The congestion window in octets, before the controller grows it.
    pub(crate) cwnd: u32,
    /// Octets of the initial window, and of a full-size segment.
    pub(crate) initial_window: u32,
    pub(crate) mss: u32,
    /// The round trip just measured, if any; smoothed; shortest. In microseconds.
    pub(crate) rtt_us: Option<u32>,
    pub(crate) srtt_us: Option<u32>,
    pub(crate) min_rtt_us: Option<u32>,
    pub(crate) snd_una: SeqNum,
    pub(crate) snd_nxt: SeqNum,
    /// More could be sent if the congestion window were larger.
    pub(crate) cwnd_limited: bool,
    /// The receiver's window is smaller than the congestion window.
    pub(crate) receiver_limited: bool,
}

/// What the controller must do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the window does not change by itself"]
pub(crate) enum Answer {
    /// Go on.
    Keep,
    /// The window becomes `cwnd` octets, and what is sent is paced at `rate` octets per second
    /// (section 3.3). A controller with a bandwidth estimate takes `rate` for it while in its
    /// startup. The saved parameters are in use now.
    Jump { cwnd: u32, rate: u32 },
    /// The window becomes so many octets: what is in flight, or what was used.
    Window(u32),
    /// All that went beyond what was known has arrived: the path is as it was. A controller with a
    /// bandwidth estimate takes all of the saved rate for it.
    Validated,
    /// The path cannot carry it: window and threshold become `cwnd` octets at once, without
    /// proportional rate reduction (section 4.5), and the saved parameters are forgotten. A
    /// controller with a bandwidth estimate drains and discards what it measures meanwhile.
    Retreat { cwnd: u32 },
    /// The retreat is over: the threshold becomes so many octets, and the window stays.
    Threshold(u32),
    /// A time-out ended the attempt (section 3.6): the threshold becomes no larger than so many
    /// octets, and the saved parameters are forgotten.
    Abandon { ssthresh: u32 },
}

impl Resume {
    /// The method is not in use.
    pub(crate) const EMPTY: Self = Self {
        tag: 0,
        pipe: 0,
        mark: SeqNum::ZERO,
        jumped_at: Stamp::NEVER,
    };

    pub(crate) const fn from_words(words: [u32; 4]) -> Self {
        let [tag, pipe, mark, jumped_at] = words;
        Self {
            tag,
            pipe,
            mark: SeqNum::new(mark),
            jumped_at: Stamp::from_bits(jumped_at),
        }
    }

    pub(crate) const fn to_words(self) -> [u32; 4] {
        [self.tag, self.pipe, self.mark.raw(), self.jumped_at.bits()]
    }

    /// The connection is established, and data begins at `snd_una` with a window of
    /// `initial_window` octets. Only where the policy allows it (rule H12.5).
    pub(crate) fn begin(snd_una: SeqNum, initial_window: u32) -> Self {
        let mut resume = Self {
            mark: snd_una.advance(initial_window),
            ..Self::EMPTY
        };
        resume.enter(Phase::Reconnaissance, 0);
        resume
    }

    /// Whether the path has shown itself fit to be resumed: all of the initial window is
    /// acknowledged without congestion, and there is more to send than the window admits (section
    /// 3.2). Then [`Resume::jump`].
    pub(crate) fn is_confirmed(&self, at: &Standing) -> bool {
        self.phase() == Phase::Reconnaissance
            && at.snd_una.at_or_after(self.mark)
            && at.cwnd_limited
    }

    /// Jumps, to at most `max_jump` octets, if `saved` was measured on a path like this one.
    pub(crate) fn jump(&mut self, at: &Standing, saved: Option<Saved>, max_jump: u32) -> Answer {
        if !self.is_confirmed(at) {
            return Answer::Keep;
        }
        self.jump_by(at, saved, max_jump)
    }

    /// The same before anything was sent: the handshake that has just passed here stands for the
    /// initial window, and the policy bounds the first flight by what was saved instead (rule H12.1).
    pub(crate) fn jump_at_once(
        &mut self,
        at: &Standing,
        saved: Option<Saved>,
        max_jump: u32,
    ) -> Answer {
        if self.phase() != Phase::Reconnaissance {
            return Answer::Keep;
        }
        self.jump_by(at, saved, max_jump)
    }

    fn jump_by(&mut self, at: &Standing, saved: Option<Saved>, max_jump: u32) -> Answer {
        self.stop();
        let (Some(saved), Some(rtt_us)) = (saved, at.min_rtt_us.or(at.srtt_us)) else {
            return Answer::Keep;
        };
        let cwnd = (saved.cwnd / 2).min(max_jump).min(WINDOW_LIMIT);
        let is_same_path = rtt_us > saved.rtt_us / 2
            && rtt_us <= saved.rtt_us.saturating_mul(LONGEST_RTT)
            && saved.rtt_us <= LARGEST_NOTE;
        if !is_same_path || cwnd <= at.cwnd {
            return Answer::Keep;
        }
        *self = Self {
            tag: 0,
            pipe: at.in_flight,
            mark: at.snd_nxt,
            jumped_at: Stamp::at(at.now),
        };
        self.enter(Phase::Unvalidated, saved.rtt_us);
        Answer::Jump {
            cwnd,
            rate: rate(cwnd, at.srtt_us.unwrap_or(rtt_us)),
        }
    }

    /// Something was acknowledged or sent.
    pub(crate) fn on_progress(&mut self, at: &Standing) -> Answer {
        match self.phase() {
            Phase::Normal | Phase::Reconnaissance => Answer::Keep,
            Phase::Unvalidated => self.on_progress_unvalidated(at),
            Phase::Validating => {
                self.count(at.delivered);
                if at.snd_una.before(self.mark) {
                    return Answer::Keep;
                }
                self.stop();
                Answer::Validated
            }
            Phase::SafeRetreat => {
                self.count(at.delivered);
                if at.snd_una.before(self.mark) {
                    return Answer::Keep;
                }
                self.stop();
                Answer::Threshold(self.validated(at.mss).min(WINDOW_LIMIT))
            }
        }
    }

    fn on_progress_unvalidated(&mut self, at: &Standing) -> Answer {
        // What was in flight at the jump is in the sum already: only what went beyond it proves
        // more. (Section 3.3 would count it twice, the RFC's own example does not.)
        let beyond = at.snd_una.octets_past(self.mark);
        self.pipe = self.pipe.saturating_add(at.delivered.min(beyond));
        // Half the round trip would mean twice the rate (section 4.2.1).
        if at.rtt_us.is_some_and(|rtt_us| rtt_us <= self.note() / 2) {
            return self.retreat(at);
        }
        let filled = at.in_flight.saturating_add(at.mss) > at.cwnd;
        if at.receiver_limited && !filled {
            // A receiver that opens its window step by step puts the jump off, and what it lets
            // through meanwhile is less than what was vouched for.
            self.jumped_at = Stamp::at(at.now);
            return Answer::Keep;
        }
        let answered = at.snd_una.after(self.mark);
        let late = self.jumped_at.age(at.now) > at.srtt_us.unwrap_or(0);
        if !filled && !answered && !late {
            return Answer::Keep;
        }
        // A window that was not used proves nothing.
        if at.in_flight < at.initial_window || at.in_flight <= self.pipe {
            self.stop();
            return Answer::Window(self.pipe.max(at.initial_window).min(at.cwnd));
        }
        self.enter(Phase::Validating, self.mark.octets_past(at.snd_una));
        self.mark = at.snd_nxt;
        Answer::Window(at.in_flight.min(at.cwnd))
    }

    /// A loss was found, or the path marked a packet (RFC 3168). Tell it beside the controller's own
    /// reduction, once per flight, with the window of before.
    pub(crate) fn on_congestion(&mut self, at: &Standing) -> Answer {
        match self.phase() {
            Phase::Normal | Phase::SafeRetreat => Answer::Keep,
            Phase::Reconnaissance => {
                self.stop();
                Answer::Keep
            }
            Phase::Unvalidated | Phase::Validating => self.retreat(at),
        }
    }

    /// The retransmission timer expired.
    pub(crate) fn on_timeout(&mut self, mss: u32) -> Answer {
        let is_attempt = self.is_resuming();
        self.stop();
        if is_attempt {
            Answer::Abandon {
                ssthresh: self.validated(mss).min(WINDOW_LIMIT),
            }
        } else {
            Answer::Keep
        }
    }

    /// Whether the method is not in use, or no longer.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase(), Phase::Normal)
    }

    /// Whether the window must stay as it is, whatever the controller makes of acknowledgements
    /// (sections 3.3 and 3.5).
    pub(crate) fn holds_window(&self) -> bool {
        matches!(self.phase(), Phase::Unvalidated | Phase::SafeRetreat)
    }

    /// Whether the flow has jumped and that is neither validated nor taken back: the flag
    /// `carefully-resuming` of the RFC's notes for BBR.
    pub(crate) fn is_resuming(&self) -> bool {
        !matches!(self.phase(), Phase::Normal | Phase::Reconnaissance)
    }

    /// Octets per second at which to pace instead of the controller's rate: the window over one
    /// round trip, while it is unvalidated (section 3.3).
    pub(crate) fn pacing_rate(&self, cwnd: u32, srtt_us: Option<u32>) -> Option<u32> {
        let unvalidated = self.phase() == Phase::Unvalidated;
        srtt_us
            .filter(|_| unvalidated)
            .map(|srtt_us| rate(cwnd, srtt_us))
    }

    /// Section 3.5. The retreat lasts until everything sent so far is acknowledged, as loss
    /// recovery does.
    fn retreat(&mut self, at: &Standing) -> Answer {
        let counted = if self.phase() == Phase::Unvalidated {
            self.mark.octets_past(at.snd_una)
        } else {
            self.note()
        };
        self.enter(Phase::SafeRetreat, counted);
        self.mark = at.snd_nxt;
        Answer::Retreat {
            cwnd: self.validated(at.mss).min(at.cwnd),
        }
    }

    /// Half of what the path is known to carry, but two segments.
    fn validated(&self, mss: u32) -> u32 {
        (self.pipe / 2).max(mss.saturating_mul(2))
    }

    /// Octets arrived: those that were in flight at the jump are in the sum already.
    fn count(&mut self, octets: u32) {
        let counted = self.note();
        let news = octets.saturating_sub(counted);
        self.pipe = self.pipe.saturating_add(news);
        self.enter(self.phase(), counted.saturating_sub(octets));
    }

    fn stop(&mut self) {
        self.enter(Phase::Normal, 0);
    }

    const fn note(&self) -> u32 {
        self.tag >> PHASE_BITS
    }

    const fn phase(&self) -> Phase {
        match self.tag & ((1 << PHASE_BITS) - 1) {
            1 => Phase::Reconnaissance,
            2 => Phase::Unvalidated,
            3 => Phase::Validating,
            4 => Phase::SafeRetreat,
            _ => Phase::Normal,
        }
    }

    fn enter(&mut self, phase: Phase, note: u32) {
        let number = match phase {
            Phase::Normal => 0,
            Phase::Reconnaissance => 1,
            Phase::Unvalidated => 2,
            Phase::Validating => 3,
            Phase::SafeRetreat => 4,
        };
        self.tag = note.min(LARGEST_NOTE) << PHASE_BITS | number;
    }
}

/// Octets per second that are `octets` per round trip.
fn rate(octets: u32, rtt_us: u32) -> u32 {
    let per_second = u64::from(octets)
        .saturating_mul(1_000_000)
        .checked_div(rtt_us.into())
        .unwrap_or(u64::MAX);
    u32::try_from(per_second).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
