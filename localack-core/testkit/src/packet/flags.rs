//! The control bits of a TCP header.

use core::fmt;

/// The control bits of a TCP header.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// ECN echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);
    /// The accurate-ECN bit (RFC 9768), formerly NS.
    pub const AE: Self = Self(0x100);

    const LETTERS: [(Self, char); 9] = [
        (Self::SYN, 'S'),
        (Self::FIN, 'F'),
        (Self::RST, 'R'),
        (Self::PSH, 'P'),
        (Self::URG, 'U'),
        (Self::ECE, 'E'),
        (Self::CWR, 'C'),
        (Self::AE, 'A'),
        (Self::ACK, '.'),
    ];

    /// The flags named by letters: `S F R P U E C A` and `.` for ACK.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let mut flags = Self::default();
        for letter in word.chars() {
            let (flag, _) = Self::LETTERS
                .into_iter()
                .find(|&(_, known)| known == letter)?;
            flags = flags | flag;
        }
        (!word.is_empty()).then_some(flags)
    }

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sequence numbers that SYN and FIN take.
    #[must_use]
    pub fn octets(self) -> u32 {
        u32::from(self.has(Self::SYN)) + u32::from(self.has(Self::FIN))
    }
}

impl core::ops::BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (flag, letter) in Self::LETTERS {
            if self.has(flag) {
                write!(f, "{letter}")?;
            }
        }
        if self.0 == 0 { write!(f, "-") } else { Ok(()) }
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
