//! How much may be in flight toward the receiver.
//!
//! One vocabulary of events for every controller, told by whoever detects losses; the answer is
//! a window in octets. Controllers are plain old data in the flow slot and matched statically by
//! [`Congestion`], so a flow chooses its own at run time. What they share (initial and restart
//! window, loss window, episodes) is here; what makes one differ from another is in its
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
    const fn tag(self) -> u8 {
        match self {
            Self::Reno => 0,
        }
    }

    const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            0 => Some(Self::Reno),
            _ => None,
        }
    }
}

/// The sender has all the window it may use.
const OPEN: u8 = 0;
/// A loss was found by its traces; new losses belong to it until the recovery point is reached.
const RECOVERY: u8 = 1;
/// The retransmission timer expired and nothing has been acknowledged since.
const TIMED_OUT: u8 = 2;
/// As [`TIMED_OUT`], but something has been acknowledged since.
const AFTER_TIMEOUT: u8 = 3;

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
    window: CongestionWindow,
    reno: Reno,
}

/// What all controllers keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
struct CongestionWindow {
    /// Octets that may be in flight.
    cwnd: u32,
    /// Below this the window grows exponentially, in octets.
    ssthresh: u32,
    /// Payload octets of a full-size segment (SMSS).
    mss: u16,
    /// What is being recovered from.
    episode: u8,
    /// Which algorithm: an unknown number means Reno.
    kind: u8,
}

impl ControllerState {
    /// No connection yet.
    pub(crate) const EMPTY: Self = Self {
        window: CongestionWindow::EMPTY,
        reno: Reno::EMPTY,
    };

    /// The connection is established: `initial_segments` full-size segments may be sent, fewer if
    /// they are large (RFC 6928: 10; RFC 5681 section 3.1: 1 after the handshake lost a SYN).
    pub(crate) fn on_established(
        &mut self,
        congestion: Congestion,
        mss: u16,
        initial_segments: u32,
    ) {
        *self = Self {
            window: CongestionWindow::new(congestion, mss, initial_segments),
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
            self.window.ssthresh = match self.congestion() {
                Congestion::Reno => self.reno.on_reduction(&self.window, in_flight),
            };
        }
        self.window.cwnd = self.window.segment();
        self.window.episode = TIMED_OUT;
    }

    /// Nothing was sent for longer than a retransmission time-out: the window says nothing of the
    /// path any more, and shrinks to the restart window, which is as large as the initial one
    /// (RFC 5681 section 4.1).
    pub(crate) fn on_idle_restart(&mut self, initial_segments: u32) {
        self.window.cwnd = self.window.cwnd.min(self.window.initial(initial_segments));
    }

    /// Segments now carry at most `mss` octets. A smaller size shrinks the window in proportion,
    /// so that it is not a larger burst of packets (RFC 5681 section 3.1).
    pub(crate) fn on_mss_change(&mut self, mss: u16) {
        self.window.resize(mss);
    }

    /// Payload octets of a full-size segment (SMSS); zero before the connection is established.
    pub(crate) const fn mss(&self) -> u16 {
        self.window.mss
    }

    /// Octets that may be in flight.
    pub(crate) const fn cwnd(&self) -> u32 {
        self.window.cwnd
    }

    /// The algorithm in charge.
    fn congestion(&self) -> Congestion {
        // Damaged memory must still send safely.
        Congestion::from_tag(self.window.kind).unwrap_or_default()
    }
}

impl CongestionWindow {
    const EMPTY: Self = Self {
        cwnd: 0,
        ssthresh: 0,
        mss: 0,
        episode: OPEN,
        kind: 0,
    };

    fn new(congestion: Congestion, mss: u16, initial_segments: u32) -> Self {
        let mut window = Self {
            ssthresh: WINDOW_LIMIT,
            mss: mss.max(1),
            kind: congestion.tag(),
            ..Self::EMPTY
        };
        window.cwnd = window.initial(initial_segments);
        window
    }

    /// Octets of a full-size segment.
    fn segment(&self) -> u32 {
        self.mss.into()
    }

    /// The initial window: so many segments, but no more octets than as many of 1460, or two
    /// (RFC 6928 section 2).
    fn initial(&self, segments: u32) -> u32 {
        let wanted = segments.max(1).saturating_mul(self.segment());
        let usual = segments.saturating_mul(INITIAL_SEGMENT);
        wanted
            .min(usual.max(self.segment().saturating_mul(2)))
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
        octets.min(segments.saturating_mul(self.segment()))
    }

    fn resize(&mut self, mss: u16) {
        let mss = mss.max(1);
        if mss < self.mss {
            let scaled = u64::from(self.cwnd)
                .saturating_mul(mss.into())
                .checked_div(self.mss.into());
            self.cwnd = scaled
                .and_then(|octets| u32::try_from(octets).ok())
                .unwrap_or(0);
        }
        self.mss = mss;
        self.cwnd = self.cwnd.max(self.segment());
        self.ssthresh = self.ssthresh.max(self.segment().saturating_mul(2));
    }
}

#[cfg(test)]
mod tests;
