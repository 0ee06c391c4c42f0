//! What the engine decides about one packet, and why.
//!
//! Every reason has a number (stable: new ones are added at the end), a slug for reports, and a
//! counter in [`Counters`](crate::Counters).

/// The decision about the packet that was just ingested.
///
/// Exhaustive on purpose: an adapter must handle each of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "the packet must be sent on, or not, as the verdict says"]
pub enum Verdict {
    /// Send the packet on out of the other port: it was not touched, bit for bit.
    Pass(PassReason),
    /// Send the packet on out of the other port: it was edited in place, its length is the same.
    Forward,
    /// Do not send the packet: its content is held, or it has done its work.
    Absorb(AbsorbReason),
    /// Do not send the packet: no endpoint would accept it, or accepting it would do harm.
    Drop(DropReason),
}

impl Verdict {
    /// Whether the packet is sent on.
    pub(crate) const fn goes_on(self) -> bool {
        matches!(self, Self::Forward | Self::Pass(_))
    }

    /// The same verdict, for another reason if the packet passes.
    pub(crate) const fn passing_for(self, reason: PassReason) -> Self {
        match self {
            Self::Pass(_) => Self::Pass(reason),
            Self::Forward | Self::Absorb(_) | Self::Drop(_) => self,
        }
    }
}

/// Declares a reason enum with numbers, slugs and a list of all values.
macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $number:literal $slug:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        #[non_exhaustive]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub enum $name { $($(#[$doc])* $variant = $number,)+ }

        impl $name {
            /// All values, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// How many values there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The stable number of this reason.
            #[must_use]
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// A stable name for reports and metrics, in lower case with hyphens.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)+ }
            }

            /// The reason with this number, if there is one.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                Self::ALL.get(usize::from(number)).copied()
            }
        }
    };
}
pub(crate) use reasons;

reasons! {
    /// Why a packet passes untouched.
    PassReason {
        /// Not an IPv4 or IPv6 packet.
        NotIp = 0 "not-ip",
        /// Shorter than its own headers say (cut off by a snap length or in transit).
        Truncated = 1 "truncated",
        /// IP or TCP headers, or a TCP option list, contradict themselves.
        Malformed = 2 "malformed",
        /// An IP fragment (rule H10.3).
        Fragment = 3 "fragment",
        /// A jumbogram, or a super-segment whose IP header carries no length (rule H5.4).
        Jumbo = 4 "jumbo",
        /// Protected by ESP or AH (rule H9.7).
        Ipsec = 5 "ipsec",
        /// IP or Ethernet inside IP.
        Tunnel = 6 "tunnel",
        /// A transport protocol other than TCP.
        OtherProtocol = 7 "other-protocol",
        /// An ICMP message that is not the engine's business (rule H10.4).
        Icmp = 8 "icmp",
        /// A segment of a connection that is being set up; handshakes are end to end (rule H7.5).
        Handshake = 9 "handshake",
        /// A segment of a connection whose handshake the engine did not see (rule H9.3).
        MidStream = 10 "mid-stream",
        /// The policy does not want this connection served.
        Policy = 11 "policy",
        /// No flow slot or index slot was free.
        TableFull = 12 "table-full",
        /// The block pool could not promise the flow its minimum (rule H12.4).
        PoolFull = 13 "pool-full",
        /// Segments are authenticated by MD5 or TCP-AO; any edit would break them (rule H11.1).
        Authenticated = 14 "authenticated",
        /// Both ends agreed on an option the engine does not speak, such as MPTCP (rule H11.1).
        NegotiatedOption = 15 "negotiated-option",
        /// The connection negotiated accurate ECN (rule H11.2).
        AccurateEcn = 16 "accurate-ecn",
        /// Crossed SYNs or another handshake that is not SYN, SYN-ACK, ACK (rule H7.4).
        UnusualHandshake = 17 "unusual-handshake",
        /// IPv4 options or IPv6 extension headers (rule H10.3).
        IpOptions = 18 "ip-options",
        /// The sender allows fragmentation and the operator does not allow DF = 1 (rule H10.3).
        DfClear = 19 "df-clear",
        /// The same addresses and ports arrived at the wrong port (rule H9.11).
        WrongPort = 20 "wrong-port",
        /// The TCP checksum is wrong: the receiver will judge (rule H5.4).
        BadChecksum = 21 "bad-checksum",
        /// Outside the receiver's window or acceptable numbers: the receiver will judge (rule H1.9).
        Unacceptable = 22 "unacceptable",
        /// Nothing in the segment had to be changed.
        Untouched = 23 "untouched",
        /// No direction of the flow is served at present.
        BypassService = 24 "bypass-service",
        /// A reset that the receiver may judge for itself (rule H8.4).
        Reset = 25 "reset",
        /// The engine is handing its flows back and adopts no new ones.
        Draining = 26 "draining",
    }
}

reasons! {
    /// Why a packet is not sent on although nothing is wrong with it.
    AbsorbReason {
        /// Its payload is in custody and will be sent from there.
        Stored = 0 "stored",
        /// It repeats what the engine holds or the receiver has (rule H5.1).
        Duplicate = 1 "duplicate",
        /// It acknowledges what the engine acknowledged before it (section 2.2).
        Acknowledgement = 2 "acknowledgement",
        /// It asks for the window; the engine has answered (rule H2.6).
        WindowProbe = 3 "window-probe",
        /// It asks whether the peer lives; the answer waits for the peer (rule H9.1).
        Keepalive = 4 "keepalive",
        /// A repeated FIN; the first one is on its way (rule H6.2).
        DuplicateFin = 5 "duplicate-fin",
        /// A reset that must wait until what was acknowledged is delivered (rule H8.2).
        ResetHeld = 6 "reset-held",
        /// It belongs to a connection that was reset; its sender is told again (section 2.5).
        Tombstone = 7 "tombstone",
        /// A packet-too-big for octets in custody; the engine sends smaller segments (rule H10.1).
        PacketTooBig = 8 "packet-too-big",
        /// An inexact reset; the engine has challenged its sender (rule H8.1).
        Challenged = 9 "challenged",
        /// Its sender was reset by the engine's peer; its answer is not wanted there.
        AfterReset = 10 "after-reset",
        /// It could not be stored for want of memory; it was not acknowledged (rule H5.5).
        NoMemory = 11 "no-memory",
        /// It asks for data that the engine sends again from a copy (rule H13.3).
        Spared = 12 "spared",
        /// It acknowledges what the next one acknowledges too, and its path back is narrow (RFC 3449).
        Thinned = 13 "thinned",
        /// One of the caller's own services has absorbed it.
        Own = 14 "own",
    }
}

reasons! {
    /// Why a packet is discarded.
    DropReason {
        /// Data outside the window offered to its sender (rule H5.3).
        OutOfWindow = 0 "out-of-window",
        /// A timestamp older than the last one accepted (PAWS, RFC 7323 section 5.3).
        OldTimestamp = 1 "old-timestamp",
        /// An acknowledgement number no honest sender has (RFC 5961 section 5.2).
        InvalidAck = 2 "invalid-ack",
        /// A segment without the ACK flag on an established connection.
        NoAckFlag = 3 "no-ack-flag",
        /// A reset outside the window (rule H8.4).
        BlindReset = 4 "blind-reset",
        /// It acknowledges octets beyond anything offered to the sender (rule H4.6).
        AckBeyondEdge = 5 "ack-beyond-edge",
        /// An ICMP error about a packet that the engine made itself (rule H10.4).
        IcmpForSynthesized = 6 "icmp-for-synthesized",
        /// Data beyond its sender's own FIN (rule H6.4).
        BeyondFin = 7 "beyond-fin",
        /// It may be one of the engine's own that a router has sent back (rule H9.11).
        CameBack = 8 "came-back",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions_and_slugs_are_unique() {
        fn check<T: Copy + core::fmt::Debug>(
            all: &[T],
            number: fn(T) -> u8,
            slug: fn(T) -> &'static str,
        ) {
            for (position, &reason) in all.iter().enumerate() {
                assert_eq!(usize::from(number(reason)), position, "{reason:?}");
                assert_eq!(
                    all.iter()
                        .filter(|&&other| slug(other) == slug(reason))
                        .count(),
                    1,
                    "{reason:?}"
                );
            }
        }
        check(PassReason::ALL, PassReason::number, PassReason::slug);
        check(AbsorbReason::ALL, AbsorbReason::number, AbsorbReason::slug);
        check(DropReason::ALL, DropReason::number, DropReason::slug);
        assert_eq!(PassReason::from_number(255), None);
        assert_eq!(PassReason::from_number(3), Some(PassReason::Fragment));
    }
}
