//! Times, octets and rates as text, both ways.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use serde::{Serialize, Serializer};

use crate::link::units::{self, BitRate, UnitError};

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number with a unit of time.
    #[error("{0:?} is not a time such as \"300ms\"; the units are ns, us, ms, s, min, h, d")]
    Time(String),
    /// Not a number of octets.
    #[error(
        "{0:?} is not a number of octets such as \"64mib\"; the units are kb, mb, gb, tb, kib, mib, gib, tib"
    )]
    Octets(String),
    /// Not a number with a unit of rates.
    #[error("{0:?} is not a rate such as \"20mbit\"; the units are bit, kbit, mbit, gbit")]
    Rate(String),
    /// A rate that no flow could use, or that cannot be counted.
    #[error("{0} is not between 8kbit and 32gbit")]
    RateRange(String),
}

/// Reads a time such as `300ms`, `1.5s`, `2h`, `30d`.
///
/// # Errors
/// [`QuantityError::Time`].
pub fn time(text: &str) -> Result<Duration, QuantityError> {
    let lower = text.trim().to_ascii_lowercase();
    let in_minutes = |number: &str, minutes: u32| {
        let minute = units::duration(&format!("{number}min")).ok()?;
        minute.checked_mul(minutes)
    };
    let time = if let Some(number) = lower.strip_suffix('h') {
        in_minutes(number.trim_end(), 60)
    } else if let Some(number) = lower.strip_suffix('d') {
        in_minutes(number.trim_end(), 24 * 60)
    } else {
        units::duration(&lower).ok()
    };
    time.ok_or_else(|| QuantityError::Time(text.to_owned()))
}

/// Reads a number of octets such as `65536`, `64kib`, `1.5gb`.
///
/// # Errors
/// [`QuantityError::Octets`].
pub fn octets(text: &str) -> Result<u64, QuantityError> {
    units::octets(text).map_err(|_| QuantityError::Octets(text.to_owned()))
}

/// The text that [`time`] reads as `time`, in the largest unit that it is a whole number of.
pub(super) fn show_time(time: Duration) -> String {
    const UNITS: [(&str, u128); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("min", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let nanos = time.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let (unit, worth) = UNITS
        .into_iter()
        .find(|(_, worth)| nanos.is_multiple_of(*worth))
        .unwrap_or(("ns", 1));
    format!("{}{unit}", nanos / worth)
}

/// The text that [`octets`] reads as `octets`.
pub(super) fn show_octets(octets: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("tib", 1 << 40),
        ("gib", 1 << 30),
        ("mib", 1 << 20),
        ("kib", 1 << 10),
    ];
    UNITS
        .into_iter()
        .find(|(_, worth)| octets > 0 && octets.is_multiple_of(*worth))
        .map_or_else(
            || octets.to_string(),
            |(unit, worth)| format!("{}{unit}", octets / worth),
        )
}

pub(super) fn write_time<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&show_time(*time))
}

pub(super) fn write_octets<T, S>(octets: &T, to: S) -> Result<S::Ok, S::Error>
where
    T: Into<u64> + Copy,
    S: Serializer,
{
    to.serialize_str(&show_octets((*octets).into()))
}

/// A rate that the operator vouches for, in whole octets of IP packets per second: 8 kbit/s to
/// 32 Gbit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u32);

impl Rate {
    /// Below this a segment takes more than a second.
    const LEAST: u64 = 8_000;
    /// Octets per second are counted in 32 bits.
    const MOST: u64 = 32_000_000_000;

    /// Octets of IP packets per second.
    #[must_use]
    pub const fn octets_per_second(self) -> u32 {
        self.0
    }

    /// Reads what stands behind `--rate`: a rate with its unit, or plain Mbit/s.
    ///
    /// # Errors
    /// [`QuantityError::Rate`] and [`QuantityError::RateRange`].
    pub fn from_flag(text: &str) -> Result<Self, QuantityError> {
        if text.ends_with(|last: char| last.is_ascii_digit()) {
            let with_unit = format!("{text}mbit");
            return with_unit.parse().map_err(|error| match error {
                QuantityError::Rate(_) => QuantityError::Rate(text.to_owned()),
                other => other,
            });
        }
        text.parse()
    }
}

impl FromStr for Rate {
    type Err = QuantityError;

    /// Reads `20mbit`, `1.5gbit`, `64kbit`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bits = match text.parse::<BitRate>() {
            Ok(rate) => rate.bits_per_second(),
            Err(UnitError::ZeroRate) => 0,
            Err(_) => return Err(QuantityError::Rate(text.to_owned())),
        };
        Some(bits)
            .filter(|bits| (Self::LEAST..=Self::MOST).contains(bits))
            .and_then(|bits| u32::try_from(bits / 8).ok())
            .map(Self)
            .ok_or_else(|| QuantityError::RateRange(text.trim().to_owned()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 3] = [
            ("gbit", 1_000_000_000),
            ("mbit", 1_000_000),
            ("kbit", 1_000),
        ];
        let bits = u64::from(self.0) * 8;
        let (unit, worth) = UNITS
            .into_iter()
            .find(|(_, worth)| bits.is_multiple_of(*worth))
            .unwrap_or(("bit", 1));
        write!(f, "{}{unit}", bits / worth)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hours_and_days_are_times_too() {
        assert_eq!(time("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(time("1.5 H"), Ok(Duration::from_secs(5400)));
        assert_eq!(time("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(time("20ms"), Ok(Duration::from_millis(20)));
        for text in ["5", "h", "-1s", "1w", "99999999999999999d", "1hd"] {
            assert_eq!(time(text), Err(QuantityError::Time(text.into())));
        }
    }

    #[test]
    fn octets_reach_as_far_as_a_buffer_may() {
        assert_eq!(octets("1tib"), Ok(1 << 40));
        assert_eq!(octets("0.5 TiB"), Ok(1 << 39));
        assert_eq!(show_octets(1 << 40), "1tib");
        assert_eq!(show_octets(1 << 39), "512gib");
        let error = octets("1pib").unwrap_err();
        assert!(error.to_string().ends_with("gib, tib"), "{error}");
    }

    #[test]
    fn rates_are_octets_per_second_within_their_range() {
        let octets = |text: &str| text.parse::<Rate>().map(Rate::octets_per_second);
        assert_eq!(octets("20mbit"), Ok(2_500_000));
        assert_eq!(octets("8kbit"), Ok(1_000));
        assert_eq!(octets("32gbit"), Ok(4_000_000_000));
        for text in ["7999bit", "0mbit", "33gbit"] {
            assert_eq!(octets(text), Err(QuantityError::RateRange(text.into())));
        }
        for text in ["20", "20mb", "fast"] {
            assert_eq!(octets(text), Err(QuantityError::Rate(text.into())));
        }
    }

    #[test]
    fn a_flag_without_a_unit_is_in_mbit() {
        let rate = |text| Rate::from_flag(text).map(Rate::octets_per_second);
        assert_eq!(rate("20"), Ok(2_500_000));
        assert_eq!(rate("0.5"), Ok(62_500));
        assert_eq!(rate("512kbit"), Ok(64_000));
        assert_eq!(rate("x1"), Err(QuantityError::Rate("x1".into())));
        assert!(rate("0").is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(
            nanos: u64, small in 0..100_u64, number: u64, bits in 1_000..4_000_000_000_u32,
        ) {
            let second = 1_000_000_000;
            for nanos in [nanos, nanos / second * second, small * 3600 * second] {
                let exact = Duration::from_nanos(nanos);
                prop_assert_eq!(time(&show_time(exact)), Ok(exact));
            }
            for number in [number, small << 20, small << 40] {
                prop_assert_eq!(octets(&show_octets(number)), Ok(number));
            }
            for rate in [Rate(bits), Rate(bits / 125_000 * 125_000 + 125_000)] {
                prop_assert_eq!(rate.to_string().parse(), Ok(rate));
            }
        }
    }
}
