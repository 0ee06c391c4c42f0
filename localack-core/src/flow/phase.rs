//! The life of a connection as the engine sees it (section 3 of the protocol's rules).
//!
//! ```text
//! (none) --SYN--> SynSeen --SYN-ACK--> SynAckSeen --ACK--> Open --both FINs acked--> (none)
//!                                                           |--reset, custody held--> Resetting
//!                                                           |--gave up--------------> Tombstone
//! Resetting --all delivered--> (none)      Resetting --time is up--> Tombstone --time--> (none)
//! ```

use crate::policy::Port;

/// Where a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// The slot is not in use.
    Free,
    /// A SYN was seen.
    SynSeen,
    /// A SYN-ACK answered it.
    SynAckSeen,
    /// The handshake is complete.
    Open,
    /// The host on this side has reset the connection; what it was promised is being delivered.
    Resetting {
        /// The side the reset came from.
        from: Port,
    },
    /// The connection was reset; whoever speaks is told again.
    Tombstone,
}

impl Phase {
    /// The phase as plain data; zero is [`Phase::Free`].
    pub(crate) const fn encode(self) -> u8 {
        match self {
            Self::Free => 0,
            Self::SynSeen => 1,
            Self::SynAckSeen => 2,
            Self::Open => 3,
            Self::Resetting { from: Port::Inner } => 4,
            Self::Resetting { from: Port::Outer } => 5,
            Self::Tombstone => 6,
        }
    }

    /// The phase that `code` stands for; anything unknown is [`Phase::Free`], so a damaged slot
    /// serves nobody.
    pub(crate) const fn decode(code: u8) -> Self {
        match code {
            1 => Self::SynSeen,
            2 => Self::SynAckSeen,
            3 => Self::Open,
            4 => Self::Resetting { from: Port::Inner },
            5 => Self::Resetting { from: Port::Outer },
            6 => Self::Tombstone,
            _ => Self::Free,
        }
    }

    /// Whether the handshake is still under way, so that the slot may be taken for another.
    pub(crate) const fn is_embryonic(self) -> bool {
        matches!(self, Self::SynSeen | Self::SynAckSeen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_survives_being_plain_data() {
        for phase in [
            Phase::Free,
            Phase::SynSeen,
            Phase::SynAckSeen,
            Phase::Open,
            Phase::Resetting { from: Port::Inner },
            Phase::Resetting { from: Port::Outer },
            Phase::Tombstone,
        ] {
            assert_eq!(Phase::decode(phase.encode()), phase);
        }
        assert_eq!(Phase::decode(250), Phase::Free);
    }
}
