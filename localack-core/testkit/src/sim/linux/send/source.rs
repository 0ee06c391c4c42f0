//! The application that writes.

use super::super::position::FIRST_OCTET;

/// What the application means to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in super::super) enum Source {
    /// Nothing; it closes when the peer has closed.
    #[default]
    Nothing,
    /// So many octets and then FIN.
    Total(u64),
    /// Octets without end.
    Endless,
    /// So many octets until now, and perhaps FIN.
    Written {
        /// The octets.
        octets: u64,
        /// Whether that is all.
        closed: bool,
    },
}

impl Source {
    /// The position after the last octet, if there is a last one.
    pub(in super::super) const fn end(self) -> u64 {
        match self {
            Self::Nothing => FIRST_OCTET,
            Self::Total(octets) | Self::Written { octets, .. } => FIRST_OCTET + octets,
            Self::Endless => u64::MAX,
        }
    }

    /// The position of the FIN, if one is due.
    pub(in super::super) const fn fin(self) -> Option<u64> {
        match self {
            Self::Total(octets)
            | Self::Written {
                octets,
                closed: true,
            } => Some(FIRST_OCTET + octets),
            Self::Nothing | Self::Endless | Self::Written { .. } => None,
        }
    }

    /// Whether all up to `una` is all there is, FIN included.
    pub(in super::super) fn is_over(self, una: u64) -> bool {
        self.fin().is_some_and(|fin| una > fin)
    }
}
