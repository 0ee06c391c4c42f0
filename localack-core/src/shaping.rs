//! What is done with one direction of a flow beside its [`Service`](crate::Service): a rate that it must
//! not exceed, acknowledgements that are left out, a segment size, and the caller's own services.
//!
//! Few flows have any of it, and many that do have the same: an engine keeps sixteen of them, and a flow
//! names one by its number. What the number means may change at any time, for all of its flows at once.

use core::time::Duration;

use crate::time::micros;

/// How packets that travel in one direction are treated beside the direction's service, in this order: the
/// caller's own services see them, SYNs are clamped, the service does its work, the rate is kept, and
/// acknowledgements are thinned out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Shaping {
    /// Octets of IP packets per second that the direction's data may take; zero is no limit. No packet is
    /// dropped for it: with [`Service::LocalAck`](crate::Service::LocalAck) the engine paces what it sends,
    /// and otherwise it offers the sender its receiver's window little by little.
    pub rate_limit: u32,
    /// Acknowledgements without data that bring nothing but a higher number, or a longer stretch behind a hole,
    /// follow each other no faster than this while more may come (RFC 3449 section 5.2.1); at least four in each
    /// window of data that is on its way behind the engine however, and one for each 64 KiB. The last one passes
    /// a quarter to half of this after it came. All flows that share the way back should find room on it: an
    /// interval shorter than the flows times what a packet of 52 to 80 octets takes there thins out too little.
    /// Zero lets all of them pass. At most 500 ms, in steps of 10 µs.
    pub ack_interval: Duration,
    /// Largest segment, in octets of payload, that a SYN of this direction may announce; zero leaves it
    /// alone. A SYN without the option is left alone, too.
    pub mss_clamp: u16,
    /// Which of the caller's own services see the direction's segments: the lowest bit is for the first.
    pub own: u8,
}

impl Shaping {
    /// Nothing is done.
    pub const NONE: Self = Self {
        rate_limit: 0,
        ack_interval: Duration::ZERO,
        mss_clamp: 0,
        own: 0,
    };

    /// The longest interval of acknowledgements, in microseconds.
    const MAX_ACK_INTERVAL_US: u64 = 500_000;

    /// A rate that must not be exceeded, in octets of IP packets per second; zero is none.
    #[must_use]
    pub const fn with_rate_limit(mut self, octets_per_second: u32) -> Self {
        self.rate_limit = octets_per_second;
        self
    }

    /// The least interval between acknowledgements that may be left out; zero lets all of them pass.
    #[must_use]
    pub const fn with_ack_interval(mut self, interval: Duration) -> Self {
        self.ack_interval = interval;
        self
    }

    /// The largest segment that a SYN may announce, in octets; zero leaves it alone.
    #[must_use]
    pub const fn with_mss_clamp(mut self, octets: u16) -> Self {
        self.mss_clamp = octets;
        self
    }

    /// Which of the caller's own services see the segments, the lowest bit for the first.
    #[must_use]
    pub const fn with_own(mut self, mask: u8) -> Self {
        self.own = mask;
        self
    }
}

/// The number of one of an engine's sixteen [`Shaping`]s.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ShapingId(u8);

impl ShapingId {
    /// Always means [`Shaping::NONE`].
    pub const NONE: Self = Self(0);
    /// How many there are, the one that means nothing included.
    pub const COUNT: usize = 16;

    /// The number `number`, 0 to 15; `None` if it is greater.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < 16 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Its number, 0 to 15.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The id in the memory of a flow, whatever stands there.
    pub(crate) const fn decode(code: u8) -> Self {
        Self(code & 0xf)
    }
}

/// A [`Shaping`] as plain data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
struct Packed {
    rate_limit: u32,
    /// In steps of [`STEP_US`].
    ack_interval: u16,
    mss_clamp: u16,
    own: u32,
}

/// What an interval of acknowledgements is measured in, in microseconds.
const STEP_US: u64 = 10;

impl Packed {
    const NONE: Self = Self {
        rate_limit: 0,
        ack_interval: 0,
        mss_clamp: 0,
        own: 0,
    };

    fn of(shaping: &Shaping) -> Self {
        let interval_us = micros(shaping.ack_interval).min(Shaping::MAX_ACK_INTERVAL_US);
        Self {
            rate_limit: shaping.rate_limit,
            ack_interval: u16::try_from(interval_us.div_ceil(STEP_US)).unwrap_or(u16::MAX),
            mss_clamp: shaping.mss_clamp,
            own: shaping.own.into(),
        }
    }

    fn unpack(&self) -> Shaping {
        let interval_us = u64::from(self.ack_interval).saturating_mul(STEP_US);
        let [own, ..] = self.own.to_le_bytes();
        Shaping {
            rate_limit: self.rate_limit,
            ack_interval: Duration::from_micros(interval_us),
            mss_clamp: self.mss_clamp,
            own,
        }
    }
}

/// What each number means. Plain old data; all zeroes is nothing.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Shapings {
    cells: [Packed; ShapingId::COUNT],
    /// How many of them clamp segment sizes.
    clamps: u32,
    spare: u32,
}

impl Shapings {
    pub(crate) const EMPTY: Self = Self {
        cells: [Packed::NONE; ShapingId::COUNT],
        clamps: 0,
        spare: 0,
    };

    /// What `id` means; the first of them always nothing.
    pub(crate) fn get(&self, id: ShapingId) -> Shaping {
        if id == ShapingId::NONE {
            return Shaping::NONE;
        }
        self.cells
            .get(usize::from(id.number()))
            .map_or(Shaping::NONE, Packed::unpack)
    }

    /// Whether any of them clamps segment sizes.
    pub(crate) const fn clamp_any(&self) -> bool {
        self.clamps != 0
    }

    /// Lets `id` mean something else; whether it can.
    pub(crate) fn set(&mut self, id: ShapingId, shaping: &Shaping) -> bool {
        if id == ShapingId::NONE {
            return false;
        }
        match self.cells.get_mut(usize::from(id.number())) {
            Some(cell) => {
                *cell = Packed::of(shaping);
                let clamps = self.cells.iter().filter(|cell| cell.mss_clamp != 0);
                self.clamps = u32::try_from(clamps.count()).unwrap_or(0);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shaping_survives_being_plain_data_but_for_what_is_out_of_range() {
        let mut table = Shapings::EMPTY;
        let id = ShapingId::new(15).unwrap();
        let shaping = Shaping {
            rate_limit: u32::MAX,
            ack_interval: Duration::from_micros(10),
            mss_clamp: 1,
            own: 0x81,
        };
        assert!(table.set(id, &shaping));
        assert_eq!(table.get(id), shaping);
        let slow = shaping.with_ack_interval(Duration::from_secs(60));
        assert!(table.set(id, &slow));
        assert_eq!(table.get(id).ack_interval, Duration::from_millis(500));
        let fine = shaping.with_ack_interval(Duration::from_nanos(1_001));
        assert!(table.set(id, &fine));
        assert_eq!(table.get(id).ack_interval, Duration::from_micros(10));
    }

    #[test]
    fn the_first_number_means_nothing_for_ever_and_there_are_sixteen() {
        let mut table = Shapings::EMPTY;
        assert!(!table.set(ShapingId::NONE, &Shaping::NONE.with_mss_clamp(536)));
        assert_eq!(table.get(ShapingId::NONE), Shaping::NONE);
        assert_eq!(ShapingId::new(16), None);
    }

    #[test]
    fn segment_sizes_are_clamped_as_long_as_one_shaping_says_so() {
        let mut table = Shapings::EMPTY;
        let [one, other] = [3, 9].map(|number| ShapingId::new(number).unwrap());
        let clamps = Shaping::NONE.with_mss_clamp(1000);
        let steps = [
            (one, Shaping::NONE.with_rate_limit(1000), false),
            (one, clamps, true),
            (other, clamps, true),
            (one, Shaping::NONE, true),
            (other, Shaping::NONE, false),
        ];
        assert!(!table.clamp_any());
        for (id, shaping, clamped) in steps {
            assert!(table.set(id, &shaping));
            assert_eq!(table.clamp_any(), clamped);
        }
    }
}
