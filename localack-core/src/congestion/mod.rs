//! How much may be in flight toward the receiver.
//!
//! One vocabulary of events for every controller, told by whoever detects losses; the answer is
//! a window in octets. Controllers are plain old data in the flow slot and matched statically by
//! [`Congestion`], so a flow chooses its own at run time. What they share (initial and restart
//! window, loss window, episodes, undoing) is here; what makes one differ from another is in its
//! own file.

mod reno;

use reno::Reno;

/// No congestion window or slow-start threshold is larger, in octets.
const WINDOW_LIMIT: u32 = 1 << 30;

/// Segments that a slow-start ACK may grow the window by (RFC 3465 section 2.2).
const SLOW_START_SEGMENTS: u32 = 2;

/// Octets per segment at which the initial window is capped (RFC 6928 section 2: 14600 / 10).
const INITIAL_SEGMENT: u32 = 1460;

/// A congestion control algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Congestion {
    /// Additive increase, multiplicative decrease (RFC 5681).
    #[default]
    Reno,
}

impl Congestion {
    /// The number that stands for the algorithm in a flow slot.
    const fn tag(self) -> u32 {
        match self {
            Self::Reno => 0,
        }
    }

    const fn from_tag(tag: u32) -> Option<Self> {
        match tag {
            0 => Some(Self::Reno),
            _ => None,
        }
    }
}

/// The sender has all the window it may use.
const OPEN: u32 = 0;
/// A loss was found by its traces; new losses belong to it until the recovery point is reached.
const RECOVERY: u32 = 1;
/// The retransmission timer expired and nothing has been acknowledged since.
const TIMED_OUT: u32 = 2;
/// As [`TIMED_OUT`], but something has been acknowledged since.
const AFTER_TIMEOUT: u32 = 3;

/// An acknowledgement of new data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ack {
    /// Octets that it newly acknowledges, cumulatively.
    pub(crate) octets: u32,
    /// Whether the congestion window, and nothing else, held sending back before it. A window
    /// that is not used proves nothing about the path and does not grow (RFC 7661).
    pub(crate) cwnd_limited: bool,
}

/// The controller of one direction. Plain old data; all zeroes before
/// [`ControllerState::on_established`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(crate) struct ControllerState {
    /// Which algorithm: an unknown number means Reno.
    kind: u32,
    window: CongestionWindow,
    reno: Reno,
}

/// What all controllers keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
struct CongestionWindow {
    /// Payload octets of a full-size segment (SMSS).
    mss: u32,
    /// Segments of the initial window.
    initial_segments: u32,
    /// Octets that may be in flight.
    cwnd: u32,
    /// Below this the window grows exponentially, in octets.
    ssthresh: u32,
    /// `cwnd` and `ssthresh` before the latest reduction, zero if there is nothing to go back to.
    prior_cwnd: u32,
    prior_ssthresh: u32,
    /// What is being recovered from.
    episode: u32,
}

impl ControllerState {
    /// No connection yet.
    pub(crate) const EMPTY: Self = Self {
        kind: 0,
        window: CongestionWindow::EMPTY,
        reno: Reno::EMPTY,
    };

    /// The connection is established: `initial_segments` full-size segments may be sent, fewer if
    /// they are large (RFC 6928: 10; RFC 5681 section 3.1: 1 after the handshake lost a SYN).
    pub(crate) fn on_established(
        &mut self,
        congestion: Congestion,
        mss: u32,
        initial_segments: u32,
    ) {
        *self = Self {
            kind: congestion.tag(),
            window: CongestionWindow::new(mss, initial_segments),
            reno: Reno::EMPTY,
        };
    }

    /// New data was acknowledged.
    pub(crate) fn on_ack(&mut self, ack: Ack) {
        if ack.octets > 0 && self.window.episode == TIMED_OUT {
            self.window.episode = AFTER_TIMEOUT;
        }
        if !ack.cwnd_limited || self.window.episode == RECOVERY {
            return;
        }
        match self.congestion() {
            Congestion::Reno => self.reno.on_ack(&mut self.window, ack.octets),
        }
    }

    /// The first loss of a flight was found, or an ECN echo arrived (RFC 3168 section 6.1.2), with
    /// `in_flight` octets outstanding. Tell it once per flight, and
    /// [`ControllerState::on_recovery_exit`] when that flight is acknowledged.
    pub(crate) fn on_loss(&mut self, in_flight: u32) {
        self.window.remember();
        self.window.ssthresh = match self.congestion() {
            Congestion::Reno => self.reno.on_reduction(&self.window, in_flight),
        };
        self.window.cwnd = self.window.ssthresh;
        self.window.episode = RECOVERY;
    }

    /// Everything that was in flight when the loss was found or the timer expired is acknowledged.
    pub(crate) fn on_recovery_exit(&mut self) {
        self.window.episode = OPEN;
    }

    /// The retransmission timer expired with `in_flight` octets outstanding.
    pub(crate) fn on_timeout(&mut self, in_flight: u32) {
        // RFC 5681 section 3.1: the threshold is held while the same segment times out again.
        if self.window.episode != TIMED_OUT {
            self.window.remember();
            self.window.ssthresh = match self.congestion() {
                Congestion::Reno => self.reno.on_reduction(&self.window, in_flight),
            };
        }
        self.window.cwnd = self.window.mss;
        self.window.episode = TIMED_OUT;
    }

    /// The latest reduction was for nothing: nothing was lost (RFC 3708, RFC 4015, RFC 5682).
    /// Takes it back, and with it the episode.
    pub(crate) fn on_spurious(&mut self) {
        let window = &mut self.window;
        if window.prior_cwnd == 0 {
            return;
        }
        window.cwnd = window.cwnd.max(window.prior_cwnd);
        window.ssthresh = window.ssthresh.max(window.prior_ssthresh);
        (window.prior_cwnd, window.prior_ssthresh) = (0, 0);
        window.episode = OPEN;
    }

    /// Nothing was sent for longer than a retransmission time-out: the window says nothing of the
    /// path any more, and shrinks to the restart window (RFC 5681 section 4.1).
    pub(crate) fn on_idle_restart(&mut self) {
        self.window.cwnd = self.window.cwnd.min(self.window.initial());
    }

    /// Segments now carry at most `mss` octets. A smaller size shrinks the window in proportion,
    /// so that it is not a larger burst of packets (RFC 5681 section 3.1).
    pub(crate) fn on_mss_change(&mut self, mss: u32) {
        self.window.resize(mss);
    }

    /// Octets that may be in flight.
    pub(crate) const fn cwnd(&self) -> u32 {
        self.window.cwnd
    }

    /// The algorithm in charge.
    fn congestion(&self) -> Congestion {
        // Damaged memory must still send safely.
        Congestion::from_tag(self.kind).unwrap_or_default()
    }
}

impl CongestionWindow {
    const EMPTY: Self = Self {
        mss: 0,
        initial_segments: 0,
        cwnd: 0,
        ssthresh: 0,
        prior_cwnd: 0,
        prior_ssthresh: 0,
        episode: OPEN,
    };

    fn new(mss: u32, initial_segments: u32) -> Self {
        let mut window = Self {
            mss: mss.max(1),
            initial_segments,
            ssthresh: WINDOW_LIMIT,
            ..Self::EMPTY
        };
        window.cwnd = window.initial();
        window
    }

    /// The initial window: so many segments, but no more octets than as many of 1460, or two
    /// (RFC 6928 section 2).
    fn initial(&self) -> u32 {
        let wanted = self.initial_segments.max(1).saturating_mul(self.mss);
        let usual = self.initial_segments.saturating_mul(INITIAL_SEGMENT);
        wanted
            .min(usual.max(self.mss.saturating_mul(2)))
            .min(WINDOW_LIMIT)
    }

    fn grow(&mut self, octets: u32) {
        self.cwnd = self.cwnd.saturating_add(octets).min(WINDOW_LIMIT);
    }

    /// Octets by which an ACK of `octets` grows the window in slow start: what it acknowledges, at
    /// most two segments, and one while what follows a time-out is sent again (RFC 3465
    /// sections 2.2 and 2.3).
    fn slow_start_step(&self, octets: u32) -> u32 {
        let segments = if self.episode == AFTER_TIMEOUT {
            1
        } else {
            SLOW_START_SEGMENTS
        };
        octets.min(segments.saturating_mul(self.mss))
    }

    /// Keeps what the reduction that follows may turn out to have taken for nothing. A time-out
    /// in recovery goes back to the window of that recovery: the loss before it was real.
    const fn remember(&mut self) {
        (self.prior_cwnd, self.prior_ssthresh) = (self.cwnd, self.ssthresh);
    }

    fn resize(&mut self, mss: u32) {
        let mss = mss.max(1);
        if mss < self.mss {
            let scaled = u64::from(self.cwnd)
                .saturating_mul(mss.into())
                .checked_div(self.mss.into());
            self.cwnd = scaled
                .and_then(|octets| u32::try_from(octets).ok())
                .unwrap_or(mss);
        }
        self.mss = mss;
        self.cwnd = self.cwnd.max(mss);
        self.ssthresh = self.ssthresh.max(mss.saturating_mul(2));
    }
}

#[cfg(test)]
mod tests;
