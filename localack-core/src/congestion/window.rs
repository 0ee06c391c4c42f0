//! The window that every controller moves, and what is shared in moving it: initial, restart and
//! loss window, episodes of reduction.

/// No congestion window or slow-start threshold is larger, in octets.
pub(super) const WINDOW_LIMIT: u32 = 1 << 30;

/// Segments that a slow-start ACK may grow the window by (RFC 3465 section 2.2). A receiver that
/// acknowledges every second segment is followed exactly.
const SLOW_START_SEGMENTS: u32 = 2;

/// Octets per segment at which the initial window is capped (RFC 6928 section 2: 14600 / 10).
const INITIAL_SEGMENT: u32 = 1460;

/// The sender has all the window it may use.
pub(super) const OPEN: u8 = 0;
/// A loss was found by its traces, or the path marked a packet; new ones belong to it until the
/// recovery point is reached.
pub(super) const RECOVERY: u8 = 1;
/// The retransmission timer expired and nothing has been acknowledged since.
pub(super) const TIMED_OUT: u8 = 2;
/// As [`TIMED_OUT`], but something has been acknowledged since.
pub(super) const AFTER_TIMEOUT: u8 = 3;

/// What all controllers keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(super) struct CongestionWindow {
    /// Octets that may be in flight.
    pub(super) cwnd: u32,
    /// Below this the window grows exponentially, in octets.
    pub(super) ssthresh: u32,
    /// Payload octets of a full-size segment (SMSS).
    pub(super) mss: u16,
    /// What is being recovered from.
    pub(super) episode: u8,
    /// Which algorithm: an unknown number means Reno.
    pub(super) kind: u8,
}

impl CongestionWindow {
    pub(super) const EMPTY: Self = Self {
        cwnd: 0,
        ssthresh: 0,
        mss: 0,
        episode: OPEN,
        kind: 0,
    };

    /// What of `in_flight` the window let go: the flight that a threshold is a part of (RFC 5681 section
    /// 3.1). Octets behind a hole stay outstanding after they were SACKed, and the longer a recovery
    /// lasts the more there are; no window was ever large enough for all of them.
    pub(super) fn flight(&self, in_flight: u32) -> u32 {
        let window = if self.episode == OPEN {
            self.cwnd
        } else {
            self.cwnd.max(self.ssthresh)
        };
        in_flight.min(window)
    }

    pub(super) fn new(kind: u8, mss: u16, initial_segments: u32) -> Self {
        let mut window = Self {
            ssthresh: WINDOW_LIMIT,
            mss: mss.max(1),
            kind,
            ..Self::EMPTY
        };
        window.cwnd = window.initial(initial_segments);
        window
    }

    /// Octets of a full-size segment.
    pub(super) fn segment(&self) -> u32 {
        self.mss.into()
    }

    pub(super) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// The initial window: so many segments, but no more octets than as many of 1460, or two
    /// (RFC 6928 section 2).
    pub(super) fn initial(&self, segments: u32) -> u32 {
        let wanted = segments.max(1).saturating_mul(self.segment());
        let usual = segments.saturating_mul(INITIAL_SEGMENT);
        wanted
            .min(usual.max(self.segment().saturating_mul(2)))
            .min(WINDOW_LIMIT)
    }

    pub(super) fn grow(&mut self, octets: u32) {
        self.cwnd = self.cwnd.saturating_add(octets).min(WINDOW_LIMIT);
    }

    /// Octets by which an ACK of `octets` grows the window in slow start: what it acknowledges, at
    /// most two segments, and one while what follows a time-out is sent again (RFC 3465
    /// sections 2.2 and 2.3).
    pub(super) fn slow_start_step(&self, octets: u32) -> u32 {
        let segments = if self.episode == AFTER_TIMEOUT {
            1
        } else {
            SLOW_START_SEGMENTS
        };
        octets.min(segments.saturating_mul(self.segment()))
    }

    /// Segments now carry at most `mss` octets. A smaller size shrinks the window in proportion,
    /// so that it is not a larger burst of packets (RFC 5681 section 3.1).
    pub(super) fn resize(&mut self, mss: u16) {
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
