//! What happens to the engine that is cut.

use localack_core::Port::{Inner, Outer};
use localack_testkit::packet::Flags;

use super::hosts::Say;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Segment(Say),
    /// So many milliseconds pass, and the engine does what is due.
    Wait(u64),
    /// The data of a connection's outer host is to go by.
    Bypass(usize),
    /// All flows are handed back.
    Drain,
}

impl Act {
    /// The connection that it is about; none of what concerns all.
    pub(crate) const fn connection(&self) -> Option<usize> {
        match self {
            Self::Segment(say) => Some(say.connection),
            Self::Bypass(connection) => Some(*connection),
            Self::Wait(_) | Self::Drain => None,
        }
    }
}

/// Something that happens, and its name if the engine is cut in it.
pub(crate) type Step = (Option<&'static str>, Act);

const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
const FIN_ACK: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);
const RST_ACK: Flags = Flags(Flags::RST.0 | Flags::ACK.0);

/// Connections that are open, of which each holds something, and then all that can happen to one of them.
pub(crate) fn story() -> Vec<Step> {
    let mut story = Vec::new();
    for connection in 0..3 {
        let say = |from, octets, ack| Say::new(connection, from, 0, octets, ack);
        story.extend([
            say(Inner, 0, 0).flagged(Flags::SYN),
            say(Outer, 0, 0).flagged(SYN_ACK),
            say(Inner, 0, 0),
            say(Inner, 1_000, 0),
            say(Outer, 800, 0),
            // Behind a hole, on both sides.
            Say::new(connection, Inner, 2_000, 500, 0),
            Say::new(connection, Outer, 1_700, 300, 0),
        ]);
    }
    let mut story: Vec<Step> = story
        .into_iter()
        .map(|say| (None, Act::Segment(say)))
        .collect();
    let (inner, outer) = (
        |seq, octets, ack| Say::new(0, Inner, seq, octets, ack),
        |seq, octets, ack| Say::new(0, Outer, seq, octets, ack),
    );
    let mut sacked = outer(800, 0, 1_000);
    sacked.sack = Some((2_000, 2_500));
    let new = |from| Say::new(3, from, 0, 0, 0);
    story.extend(
        [
            ("data behind the hole", inner(2_500, 1_000, 0)),
            ("data that closes a hole", inner(1_000, 1_000, 0)),
            ("data in order", inner(3_500, 1_000, 0)),
            ("data that is there", inner(3_000, 1_500, 0)),
            ("an acknowledgement that frees blocks", outer(800, 0, 1_000)),
            ("an acknowledgement with a block", sacked),
            ("and again", sacked),
            ("and a third time", sacked),
            ("data with an acknowledgement", outer(800, 900, 2_500)),
            ("all is acknowledged on one side", inner(4_500, 0, 2_000)),
            ("a connection begins", new(Inner).flagged(Flags::SYN)),
            ("is answered", new(Outer).flagged(SYN_ACK)),
            ("and is open", new(Inner)),
            ("data on it", Say::new(3, Outer, 0, 700, 0)),
        ]
        .map(|(name, say)| (Some(name), Act::Segment(say))),
    );
    let late = |from, seq, octets, ack| Act::Segment(Say::new(3, from, seq, octets, ack));
    story.extend([
        (Some("one direction is handed back"), Act::Bypass(3)),
        (Some("and has nothing left"), late(Inner, 0, 0, 700)),
        (Some("data beside it"), late(Inner, 0, 600, 700)),
        (Some("data that goes by"), late(Outer, 700, 100, 0)),
        (Some("and more"), late(Outer, 800, 100, 0)),
        (Some("their acknowledgement"), late(Inner, 600, 0, 900)),
        (Some("nobody answers"), Act::Wait(1_500)),
    ]);
    story.extend(
        [
            ("one side ends", inner(4_500, 0, 2_000).flagged(FIN_ACK)),
            ("its end is acknowledged", outer(2_000, 0, 4_501)),
            (
                "the other side ends",
                outer(2_000, 0, 4_501).flagged(FIN_ACK),
            ),
            ("the last acknowledgement", inner(4_501, 0, 2_001)),
            ("a reset", Say::new(1, Inner, 2_500, 0, 0).flagged(RST_ACK)),
        ]
        .map(|(name, say)| (Some(name), Act::Segment(say))),
    );
    story.push((Some("all is handed back"), Act::Drain));
    story.push((Some("and nobody answers"), Act::Wait(4_000)));
    story
}
