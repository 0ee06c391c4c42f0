//! What a host holds against its peer, or against whatever stands between them.

use core::fmt;

use localack_core::Instant;

use crate::packet::{Flags, Packet};

/// Something that a well-behaved peer does not do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// When it was noticed.
    pub at: Instant,
    /// What it was.
    pub kind: FaultKind,
    /// The segment, in words; numbers are relative to both ends' initial sequence numbers.
    pub segment: String,
}

impl Fault {
    /// Whether a network that reorders, duplicates or corrupts may have done it, with peers that
    /// are right. Over a network that only delays and loses nothing may be to blame but the peer.
    #[must_use]
    pub const fn may_be_network(&self) -> bool {
        self.kind.may_be_network()
    }
}

/// Kinds of [`Fault`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// Not a TCP segment for this host.
    Undecodable,
    /// A checksum of IP or TCP is wrong.
    BadChecksum,
    /// The packet is longer than this host's MTU, or its payload than the MSS it announced.
    Oversize,
    /// An octet of the stream is not the one that was sent; its offset.
    WrongOctet(u64),
    /// A segment starts or ends beyond the right edge of every window ever announced.
    BeyondWindow,
    /// Octets or a FIN beyond the FIN, or a FIN before octets that were received.
    BeyondFin,
    /// An acknowledgement of what was never sent.
    AckOfUnsent,
    /// A segment that was sent later than another acknowledges less than that.
    AckRetreat,
    /// An acknowledgement older than the largest window (RFC 5961 section 5.2).
    AckTooOld,
    /// An acknowledgement below SND.UNA, of which a strict host takes nothing.
    OldAck,
    /// A segment without data below RCV.NXT that has something new to say, to a strict host in vain.
    BehindWindow,
    /// A segment without data at the right edge of an open window, which a strict host refuses.
    AtEdge,
    /// A segment for which the handshake has no place, so that a strict host takes nothing of it.
    OutOfTurn,
    /// The right edge of the peer's window moved left.
    WindowRetreat,
    /// A SACK block of what was never sent.
    SackOfUnsent,
    /// A SACK block that is empty or ends before it starts.
    SackMalformed,
    /// Octets that were reported by SACK are missing after all (RFC 2018 section 8).
    Reneged,
    /// A D-SACK for octets that were sent once only.
    UnexplainedDsack,
    /// A segment with wanted octets is too old by its timestamp (RFC 7323 section 5).
    PawsData,
    /// A segment without wanted octets is too old by its timestamp.
    Paws,
    /// An echo of a timestamp that was not sent yet.
    EchoOfUnsent,
    /// Timestamps were agreed on, and the segment has none.
    MissingTimestamp,
    /// An option or an ECN mark that was not agreed on.
    NotNegotiated,
    /// A RST.
    UnexpectedReset,
    /// A SYN of another connection.
    UnexpectedSyn,
    /// A segment without ACK.
    MissingAck,
    /// The peer was silent for so long that the host gave up.
    GaveUp,
}

impl FaultKind {
    /// See [`Fault::may_be_network`].
    #[must_use]
    pub const fn may_be_network(self) -> bool {
        matches!(
            self,
            Self::Undecodable
                | Self::BadChecksum
                | Self::AckTooOld
                | Self::OldAck
                | Self::BehindWindow
                | Self::OutOfTurn
                | Self::UnexplainedDsack
                | Self::PawsData
                | Self::Paws
        )
    }
}

/// Faults that are kept; a run with more is broken enough.
const MOST_KEPT: usize = 1000;

/// What was noticed so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) all: Vec<Fault>,
    /// The segment that is being looked at.
    pub(super) segment: Option<Seen>,
}

impl Faults {
    pub(super) fn add(&mut self, at: Instant, kind: FaultKind) {
        if self.all.len() < MOST_KEPT {
            let segment = self.segment.map_or(String::new(), |seen| seen.to_string());
            self.all.push(Fault { at, kind, segment });
        }
    }
}

/// A segment as faults describe it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    flags: Flags,
    seq: u32,
    length: u32,
    ack: u32,
    window: u16,
    stamps: Option<(u32, u32)>,
    sack: [Option<(u32, u32)>; 4],
}

impl Seen {
    /// Describes a packet; numbers count from these initial sequence numbers.
    pub(super) fn new(packet: &Packet, peer_isn: u32, own_isn: u32) -> Self {
        let own = |number: u32| number.wrapping_sub(own_isn);
        let blocks = &packet.options.sack;
        Self {
            flags: packet.flags,
            seq: packet.seq.wrapping_sub(peer_isn),
            length: packet.payload_len(),
            ack: own(packet.ack),
            window: packet.window,
            stamps: packet.options.timestamps,
            sack: [0, 1, 2, 3].map(|index| {
                let &(left, right) = blocks.get(index)?;
                Some((own(left), own(right)))
            }),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.seq.wrapping_add(self.length);
        let (flags, seq, ack, window) = (self.flags, self.seq, self.ack, self.window);
        write!(f, "{flags} {seq}:{end} ack {ack} w{window}")?;
        if let Some((value, echo)) = self.stamps {
            write!(f, " ts {value} {echo}")?;
        }
        for (left, right) in self.sack.into_iter().flatten() {
            write!(f, " sack {left}:{right}")?;
        }
        Ok(())
    }
}
