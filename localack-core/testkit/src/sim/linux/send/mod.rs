//! The sending half.

pub(super) mod ack;
pub(super) mod flight;
mod prr;
mod rack;
mod recovery;
pub(super) mod rtt;
pub(super) mod source;
pub(super) mod timers;
pub(super) mod transmit;
mod undo;

use localack_core::Instant;

use super::config::LinuxConfig;
use super::congestion::Congestion;
use super::position::FIRST_OCTET;
use super::stamps::Stamps;
use super::stats::LinuxStats;
use flight::Flight;
use prr::Prr;
use rack::Rack;
use rtt::Rtt;
use source::Source;
use undo::Undo;

/// Where the sender stands in loss recovery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Phase {
    /// Nothing is suspicious.
    Open,
    /// Something was reported out of order.
    Disorder,
    /// The window is being reduced because of a mark or a repaired loss.
    Reducing,
    /// Fast recovery.
    Recovery,
    /// After a time-out.
    Loss,
}

/// Everything about the data that this host sends.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) una: u64,
    pub(super) nxt: u64,
    /// The peer's window, from `una`, and the sequence position that last set it.
    pub(super) wnd: u64,
    pub(super) wl1: u64,
    pub(super) max_window: u64,
    /// Most payload octets in a segment.
    pub(super) mss: u32,
    /// Whether SACK and timestamps are in use.
    pub(super) sack: bool,
    pub(super) stamps: bool,
    pub(super) ecn: bool,
    pub(super) flight: Flight,
    pub(super) phase: Phase,
    pub(super) congestion: Congestion,
    pub(super) rtt: Rtt,
    pub(super) source: Source,
    pub(super) stats: LinuxStats,
    /// Own timestamps, to tell originals from retransmissions by their echo.
    clock: Stamps,
    initial_window: u32,
    send_buffer: u64,
    paced: bool,
    /// Recovery is over when this is acknowledged.
    high_seq: u64,
    prr: Prr,
    rack: Rack,
    undo: Undo,
    /// F-RTO is trying to find out whether a time-out was right (RFC 5682).
    frto: bool,
    /// F-RTO wants new data before retransmissions.
    new_first: bool,
    /// A loss probe is out: what was sent when it left, and whether it was a retransmission.
    tlp: Option<(u64, bool)>,
    /// The reordering that is expected, in segments, and whether any was seen.
    reordering: u32,
    reordering_seen: bool,
    /// A retransmission was lost, too, since the last acknowledgement.
    lost_again: bool,
    /// Segments that D-SACKs reported.
    duplicates: u64,
    /// What must leave now, whatever the window says.
    forced: Option<transmit::Outgoing>,
    /// The peer was silent for too long.
    pub(super) gave_up: bool,
    /// A reduction is to be told by CWR.
    pub(super) queue_cwr: bool,
    timers: timers::SendTimers,
    /// The window was in the way of sending lately (RFC 7661).
    cwnd_limited: bool,
    most_out: u32,
    usage_end: u64,
    last_sent: Option<Instant>,
    /// When pacing lets the next segment go.
    next_send: Instant,
}

impl Sender {
    pub(super) fn new(config: &LinuxConfig) -> Self {
        Self {
            una: FIRST_OCTET,
            nxt: FIRST_OCTET,
            wnd: 0,
            wl1: 0,
            max_window: 0,
            mss: 536,
            sack: false,
            stamps: false,
            ecn: false,
            flight: Flight::default(),
            phase: Phase::Open,
            congestion: Congestion::new(config),
            rtt: Rtt::new(),
            source: Source::default(),
            stats: LinuxStats::default(),
            clock: Stamps::new(config.timestamp_offset),
            initial_window: config.initial_window_segments.max(1),
            send_buffer: config.send_buffer as u64,
            paced: config.paced,
            high_seq: FIRST_OCTET,
            prr: Prr::default(),
            rack: Rack::default(),
            undo: Undo::default(),
            frto: false,
            new_first: false,
            tlp: None,
            reordering: 3,
            reordering_seen: false,
            lost_again: false,
            duplicates: 0,
            forced: None,
            gave_up: false,
            queue_cwr: false,
            timers: timers::SendTimers::default(),
            cwnd_limited: false,
            most_out: 0,
            usage_end: FIRST_OCTET,
            last_sent: None,
            next_send: Instant::ZERO,
        }
    }

    /// The right edge of the peer's window.
    pub(super) const fn edge(&self) -> u64 {
        self.una + self.wnd
    }

    const fn in_reduction(&self) -> bool {
        matches!(self.phase, Phase::Reducing | Phase::Recovery)
    }

    /// Payload octets in a segment: Linux halves the largest window (rule H2.5).
    pub(super) fn segment_size(&self) -> u32 {
        let half = if self.max_window > 536 {
            self.max_window / 2
        } else {
            self.max_window
        };
        let half = u32::try_from(half).unwrap_or(u32::MAX);
        if half == 0 {
            self.mss
        } else {
            self.mss.min(half.max(8))
        }
    }
}
