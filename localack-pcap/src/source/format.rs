//! Names of file formats and link types.

use core::fmt;

/// The kind of a capture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The classic format, with time stamps in microseconds.
    Pcap,
    /// The classic format, with time stamps in nanoseconds.
    PcapNanoseconds,
    /// The block format.
    Pcapng,
}

impl Format {
    /// A stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcap => "pcap",
            Self::PcapNanoseconds => "pcap-ns",
            Self::Pcapng => "pcapng",
        }
    }
}

/// A link type: the number that says which header a frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: an address family in the byte order of the machine that captured.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// OpenBSD loopback: an address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// An IP packet and nothing before it.
    pub const RAW: Self = Self(101);
    /// An IPv4 packet and nothing before it.
    pub const IPV4: Self = Self(228);
    /// An IPv6 packet and nothing before it.
    pub const IPV6: Self = Self(229);
    /// Linux "cooked" capture.
    pub const LINUX_SLL: Self = Self(113);
    /// Linux "cooked" capture, second version.
    pub const LINUX_SLL2: Self = Self(276);
    /// FDDI.
    pub const FDDI: Self = Self(10);
    /// PPP, perhaps in HDLC framing.
    pub const PPP: Self = Self(9);
    /// PPP in HDLC framing.
    pub const PPP_HDLC: Self = Self(50);
    /// PPPoE without its Ethernet header.
    pub const PPP_ETHER: Self = Self(51);
    /// Cisco HDLC.
    pub const C_HDLC: Self = Self(104);
    /// The numbers that platforms used for [`LinkType::RAW`] before it had one.
    pub const OLD_RAW: [Self; 2] = [Self(12), Self(14)];
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NULL => "NULL",
            Self::ETHERNET => "EN10MB",
            Self::LOOP => "LOOP",
            Self::RAW => "RAW",
            Self::IPV4 => "IPV4",
            Self::IPV6 => "IPV6",
            Self::LINUX_SLL => "LINUX_SLL",
            Self::LINUX_SLL2 => "LINUX_SLL2",
            Self::FDDI => "FDDI",
            Self::PPP => "PPP",
            Self::PPP_HDLC => "PPP_SERIAL",
            Self::PPP_ETHER => "PPP_ETHER",
            Self::C_HDLC => "C_HDLC",
            other if Self::OLD_RAW.contains(&other) => "RAW",
            Self(number) => return write!(f, "LINKTYPE_{number}"),
        })
    }
}
