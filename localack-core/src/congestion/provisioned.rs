//! A rate that the operator vouches for: paced from the first octet, without slow start, and not
//! slowed by losses, which say nothing about a path that is known.
//!
//! Which part of the rate a flow may use at present is its share's business (`pacing`); here is the
//! window that follows from it (invariant 26).

use super::controller::Provision;
use super::window::{CongestionWindow, WINDOW_LIMIT};
use super::words::Words;

/// Queue that the vouched rate may build before its window holds it, beside half a round trip, in
/// microseconds.
const QUEUE_ALLOWANCE_US: u32 = 20_000;
/// Round trip that is assumed before the first is measured, in microseconds.
const INITIAL_RTT_US: u32 = 1_000_000;
/// Segments that may always be in flight.
const FEWEST_SEGMENTS: u32 = 4;
/// Bits of a rate that are kept of a floor or ceiling.
const DIGITS: u32 = 11;

/// What a flow of a vouched share keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Provisioned {
    /// Octets per second that the flow may use at present.
    pub(crate) rate: u32,
    /// Octets that it may send before others of its share have their turn.
    pub(crate) deficit: u32,
    floor: u16,
    ceiling: u16,
}

impl Provisioned {
    pub(super) fn of(provision: &Provision) -> Self {
        Self {
            rate: provision.rate,
            deficit: 0,
            floor: rounded(provision.floor),
            ceiling: rounded(provision.ceiling),
        }
    }

    pub(super) fn provision(&self, share: u8) -> Provision {
        Provision {
            rate: self.rate,
            share,
            floor: self.floor(),
            ceiling: self.ceiling(),
        }
    }

    pub(super) fn load(words: &Words) -> Self {
        let [rate, deficit, bounds, ..] = *words;
        let [a, b, c, d] = bounds.to_le_bytes();
        Self {
            rate,
            deficit,
            floor: u16::from_le_bytes([a, b]),
            ceiling: u16::from_le_bytes([c, d]),
        }
    }

    pub(super) fn store(self, words: &mut Words) {
        let [rate, deficit, bounds, ..] = words;
        *rate = self.rate;
        *deficit = self.deficit;
        let ([a, b], [c, d]) = (self.floor.to_le_bytes(), self.ceiling.to_le_bytes());
        *bounds = u32::from_le_bytes([a, b, c, d]);
    }

    /// Octets per second that the flow may use even if its fair part is less.
    pub(crate) fn floor(&self) -> u32 {
        expanded(self.floor)
    }

    /// Octets per second that the flow may use at most.
    pub(crate) fn ceiling(&self) -> u32 {
        expanded(self.ceiling)
    }

    /// The window that the rate fills in a round trip and the queue that it may build.
    pub(super) fn resize(self, window: &mut CongestionWindow, srtt_us: Option<u32>) {
        let srtt_us = srtt_us.unwrap_or(INITIAL_RTT_US);
        let span_us = srtt_us
            .saturating_add(srtt_us / 2)
            .saturating_add(QUEUE_ALLOWANCE_US);
        let octets = u64::from(self.rate).saturating_mul(span_us.into()) / 1_000_000;
        let least = window.segment().saturating_mul(FEWEST_SEGMENTS);
        window.cwnd = u32::try_from(octets)
            .unwrap_or(WINDOW_LIMIT)
            .clamp(least.min(WINDOW_LIMIT), WINDOW_LIMIT);
    }
}

/// A rate in a mantissa of eleven bits and an exponent of five.
fn rounded(rate: u32) -> u16 {
    let shift = u32::BITS
        .saturating_sub(rate.leading_zeros())
        .saturating_sub(DIGITS);
    let mantissa = rate >> shift.min(31);
    u16::try_from(mantissa | shift << DIGITS).unwrap_or(u16::MAX)
}

fn expanded(rate: u16) -> u32 {
    let (mantissa, shift) = (u32::from(rate) & 0x7ff, u32::from(rate) >> DIGITS);
    let wide = u64::from(mantissa) << shift;
    u32::try_from(wide).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_bounds_stay_no_bounds_nearly() {
        assert_eq!(expanded(rounded(0)), 0);
        assert!(expanded(rounded(u32::MAX)) >= u32::MAX - (1 << 21));
    }

    #[test]
    fn invariant_26_the_window_is_the_rate_times_the_round_trip_and_the_queue() {
        let mut window = CongestionWindow::new(0, 1448, 10);
        let vouched = Provisioned::of(&Provision::new(0, 2_500_000));
        vouched.resize(&mut window, Some(600_000));
        // 600 ms + 300 ms + 20 ms.
        assert_eq!(window.cwnd, 2_300_000);
        vouched.resize(&mut window, Some(0));
        assert_eq!(window.cwnd, 50_000);
    }

    proptest! {
        #[test]
        fn bounds_keep_three_digits(rate: u32) {
            let kept = expanded(rounded(rate));
            prop_assert!(kept <= rate && rate.abs_diff(kept) <= rate / 1024, "{rate} {kept}");
        }

        #[test]
        fn the_words_keep_everything(rate: u32, deficit: u32, floor: u16, ceiling: u16) {
            let vouched = Provisioned { rate, deficit, floor, ceiling };
            let mut words = super::super::words::NOTHING;
            vouched.store(&mut words);
            prop_assert_eq!(Provisioned::load(&words), vouched);
            let _ = (vouched.floor(), vouched.ceiling());
        }
    }
}
