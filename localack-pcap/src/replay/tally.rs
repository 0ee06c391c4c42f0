//! What the engine did for each conversation.

use localack_core::{Direction, FlowId, PassReason, Port};

use super::shadow::Shadow;
use super::watch::{Endings, Standing};
use crate::conversation::End;
use crate::waits::{Outstanding, Waits};

/// The engine's work on one conversation.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// The flow while it lives.
    pub(crate) flow: Option<FlowId>,
    /// Whether the engine followed the conversation from its handshake on.
    pub(crate) adopted: bool,
    /// Which port's end is the inner one, once that is known.
    pub(crate) inner: Option<Port>,
    /// Why it was left alone, in the engine's words.
    pub(crate) refused: Option<PassReason>,
    /// The last reason for which a packet passed that was not of the handshake.
    pub(crate) passed: Option<PassReason>,
    /// Whether a handshake packet passed.
    pub(crate) handshake_passed: bool,
    /// Packets inside tunnels, and packets that came in fragments.
    pub(crate) tunnelled: u64,
    /// See [`Tally::tunnelled`].
    pub(crate) reassembled: u64,
    /// Octets of the blocks that the flow holds.
    pub(crate) custody: u64,
    directions: [DirectionTally; 2],
}

/// The engine's work on one direction of data.
#[derive(Debug, Default)]
pub(crate) struct DirectionTally {
    /// Acknowledgements made by the engine, of whatever kind.
    pub(crate) local_acks: u64,
    /// The receiver's acknowledgements that were not passed on.
    pub(crate) absorbed_acks: u64,
    /// Packets of this sender that were edited.
    pub(crate) rewritten: u64,
    /// Packets sent again from custody.
    pub(crate) engine_retransmissions: u64,
    /// Packets sent from custody for the first time.
    pub(crate) custody_segments: u64,
    /// Data packets that could not be taken because octets are missing in the capture.
    pub(crate) cut_packets: u64,
    /// Most octets that were acknowledged to the sender and not by the receiver.
    pub(crate) peak_custody: u32,
    pub(crate) captured: Wait,
    pub(crate) engine: Wait,
    pub(crate) shadow: Shadow,
}

/// Data that waits, and how long other data waited.
#[derive(Debug, Default)]
pub(crate) struct Wait {
    pub(crate) outstanding: Outstanding,
    pub(crate) waits: Waits,
}

impl Tally {
    /// The direction whose data `sender` sends.
    pub(crate) const fn direction(&self, sender: End) -> &DirectionTally {
        &self.directions[sender as usize]
    }

    /// See [`Tally::direction`].
    pub(crate) const fn direction_mut(&mut self, sender: End) -> &mut DirectionTally {
        &mut self.directions[sender as usize]
    }

    /// What the conversation has come to so far.
    pub(crate) fn standing(&self) -> Standing {
        let mut standing = Standing::default();
        for direction in &self.directions {
            let captured = direction.captured.waits.total();
            standing.waited += captured;
            standing.saved += captured.saturating_sub(direction.engine.waits.total());
        }
        standing
    }

    /// The waits of both directions.
    pub(crate) fn endings(&self) -> [Endings<'_>; 2] {
        self.directions.each_ref().map(|direction| Endings {
            captured: &direction.captured.waits,
            engine: &direction.engine.waits,
        })
    }

    /// Takes note of a reason for which a packet of this conversation passed.
    pub(crate) fn pass(&mut self, reason: PassReason) {
        match reason {
            PassReason::Handshake => self.handshake_passed = true,
            PassReason::Untouched | PassReason::BypassService => {}
            other => self.passed = Some(other),
        }
    }

    /// A stable name of why the conversation was left alone; `None` if it was not.
    pub(crate) fn reason(&self, packets: u64) -> Option<&'static str> {
        let reason = if self.adopted {
            return None;
        } else if self.tunnelled == packets {
            PassReason::Tunnel
        } else if self.reassembled == packets {
            PassReason::Fragment
        } else {
            self.refused
                .or(self.passed)
                .unwrap_or(PassReason::Handshake)
        };
        Some(reason.slug())
    }
}

/// In a replay the client is on the inner port.
pub(crate) fn port(end: End, client: End) -> Port {
    if end == client {
        Port::Inner
    } else {
        Port::Outer
    }
}

/// The end on a port.
pub(crate) fn end(port: Port, client: End) -> End {
    if port == Port::Inner {
        client
    } else {
        client.other()
    }
}

/// The direction of the data of an end.
pub(crate) fn direction(sender: End, client: End) -> Direction {
    Direction::arriving_on(port(sender, client))
}
