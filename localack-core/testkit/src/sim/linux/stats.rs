//! What a host counts.

/// Counters of a [`LinuxHost`](super::LinuxHost).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct LinuxStats {
    /// Segments with payload or FIN that were sent, retransmissions included.
    pub segments_sent: u64,
    /// Payload octets sent, retransmissions included.
    pub octets_sent: u64,
    /// Segments that were retransmitted, probes included.
    pub segments_retransmitted: u64,
    /// Payload octets that were retransmitted, probes included.
    pub octets_retransmitted: u64,
    /// Segments without payload that were sent after the handshake.
    pub acks_sent: u64,
    /// Retransmission time-outs.
    pub timeouts: u64,
    /// Tail loss probes.
    pub loss_probes: u64,
    /// Probes of a closed window.
    pub window_probes: u64,
    /// Times recovery from loss began.
    pub recoveries: u64,
    /// Reductions of the congestion window that were undone.
    pub undone: u64,
    /// Reductions because of ECN.
    pub ecn_reductions: u64,
    /// Segments that arrived, whatever they were.
    pub segments_received: u64,
    /// Segments that were refused because of their timestamp.
    pub refused_paws: u64,
    /// Segments that were refused because of their place in the window.
    pub refused_sequence: u64,
    /// Challenge acknowledgements (RFC 5961).
    pub challenges: u64,
}
