//! The choice of a congestion controller.

/// The number that stands for an algorithm in a flow slot; Reno is any other. The upper half of the
/// octet says which vouched rate is shared.
#[cfg(feature = "cubic")]
pub(super) const CUBIC: u8 = 1;
#[cfg(feature = "bbr")]
pub(super) const BBR: u8 = 2;
pub(super) const PROVISIONED: u8 = 3;

/// The algorithm that a tag names.
pub(super) const fn algorithm_of(tag: u8) -> u8 {
    tag & 0x0f
}

/// The share that a tag names.
pub(super) const fn share_of(tag: u8) -> u8 {
    tag >> 4
}

/// Who decides how much may be in flight toward a receiver.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Controller {
    /// Additive increase, multiplicative decrease (RFC 5681).
    Reno,
    /// The window follows a cubic curve of the time since the last loss (RFC 9438), with a slow
    /// start that ends when round trips grow (HyStart++, RFC 9406).
    #[cfg(feature = "cubic")]
    Cubic,
    /// The window follows a model of the path: its bandwidth and its shortest round trip
    /// (draft-ietf-ccwg-bbr, version 3).
    #[cfg(feature = "bbr")]
    Bbr,
    /// The operator vouches for a rate.
    Provisioned(Provision),
}

/// A rate that the operator vouches for, and the part of it that one flow may use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Provision {
    /// Octets of IP packets per second that all flows of the share may send together.
    pub rate: u32,
    /// Which rate, 0 to 15 (more counts modulo 16): flows with the same number share it fairly. The
    /// first of them says what it is, and it stays until the last of them has ended, or
    /// [`Engine::set_shared_rate`](crate::Engine::set_shared_rate) says otherwise.
    pub share: u8,
    /// Octets per second that the flow may use even if its fair part is less; kept to three digits.
    pub floor: u32,
    /// Octets per second that the flow may use at most; kept to three digits.
    pub ceiling: u32,
}

impl Provision {
    /// A rate in octets per second that flows share fairly, without floors and ceilings.
    #[must_use]
    pub const fn new(share: u8, rate: u32) -> Self {
        Self {
            rate,
            share,
            floor: 0,
            ceiling: u32::MAX,
        }
    }
}

impl Controller {
    /// A rate in octets per second that the operator vouches for; all flows for which the same is
    /// said share it.
    #[must_use]
    pub const fn provisioned(rate: u32) -> Self {
        Self::Provisioned(Provision::new(0, rate))
    }

    pub(super) const fn tag(self) -> u8 {
        match self {
            Self::Reno => 0,
            #[cfg(feature = "cubic")]
            Self::Cubic => CUBIC,
            #[cfg(feature = "bbr")]
            Self::Bbr => BBR,
            Self::Provisioned(provision) => PROVISIONED | (provision.share & 0x0f) << 4,
        }
    }
}

impl Default for Controller {
    /// CUBIC where it is built in, else Reno.
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Controller {
    #[cfg(feature = "cubic")]
    pub(crate) const DEFAULT: Self = Self::Cubic;
    #[cfg(not(feature = "cubic"))]
    pub(crate) const DEFAULT: Self = Self::Reno;
}
