//! What a controller is told.

use crate::recovery::delivery::RateSample;
use crate::seq::SeqNum;
use crate::time::Instant;

/// An acknowledgement that brought news of what was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ack {
    pub(crate) now: Instant,
    /// Octets that it newly acknowledges, cumulatively.
    pub(crate) acked: u32,
    /// Octets of which it is the first to say that they arrived, cumulatively or by SACK.
    pub(crate) delivered: u32,
    /// Octets found lost since the last one.
    pub(crate) lost: u32,
    /// Octets in flight (`pipe`) just before it.
    pub(crate) prior_in_flight: u32,
    /// Octets in flight after it and after what it showed to be lost.
    pub(crate) in_flight: u32,
    /// The round trip that it measured, in microseconds, if any.
    pub(crate) rtt_us: Option<u32>,
    /// The smoothed round trip after it.
    pub(crate) srtt_us: Option<u32>,
    /// Acknowledged and sent up to here, after it.
    pub(crate) snd_una: SeqNum,
    pub(crate) snd_nxt: SeqNum,
    /// Whether the congestion window, and nothing else, held sending back before it. A window
    /// that is not used proves nothing about the path and does not grow (RFC 7661).
    pub(crate) cwnd_limited: bool,
    /// How fast the path delivered, if the acknowledgement can tell.
    pub(crate) rate: RateSample,
}

/// Segments were handed to the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SentNow {
    pub(crate) now: Instant,
    pub(crate) octets: u32,
    /// Octets in flight before them.
    pub(crate) in_flight: u32,
    /// Nothing but the application limits the flow at present.
    pub(crate) app_limited: bool,
}

/// Octets were found lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LostNow {
    pub(crate) now: Instant,
    /// How many.
    pub(crate) octets: u32,
    /// Octets in flight when the last of them were sent, themselves counted.
    pub(crate) tx_in_flight: u32,
    /// Octets found lost since they were sent, themselves counted.
    pub(crate) lost_since_sent: u32,
    /// The application limited the flow when they were sent.
    pub(crate) is_app_limited: bool,
    /// The receiver SACKs: more than one loss per round trip can be seen.
    pub(crate) sack: bool,
}

/// What a controller begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Start {
    pub(crate) now: Instant,
    /// Payload octets of a full-size segment.
    pub(crate) mss: u16,
    /// Full-size segments of the initial window, fewer if they are large (RFC 6928: 10; RFC 5681
    /// section 3.1: 1 after the handshake lost a SYN).
    pub(crate) initial_segments: u32,
    /// The round trip of the handshake, in microseconds, if it was measured.
    pub(crate) rtt_us: Option<u32>,
}
