//! Quantities of a link, each with its text form: durations, rates, sizes, probabilities.

use core::fmt;
use core::num::NonZeroU64;
use core::str::FromStr;
use core::time::Duration;

/// Why a text is not a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No decimal number at the beginning, or one too large or too fine for its unit.
    #[error("not a number that fits its unit")]
    Number,
    /// The letters after the number are not a unit of this quantity.
    #[error("unknown unit; use one of {0}")]
    Unit(&'static str),
    /// A probability above 100 %.
    #[error("a probability is at most 100%")]
    AboveOne,
    /// A rate of zero.
    #[error("a rate is at least 1 bit per second")]
    ZeroRate,
}

/// A chance between 0 and 1 in whole parts per million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Probability(u32);

impl Probability {
    /// Never.
    pub const NEVER: Self = Self(0);
    /// Always.
    pub const ALWAYS: Self = Self(Self::WHOLE);
    const WHOLE: u32 = 1_000_000;

    /// A chance of `ppm` parts per million, or `None` above 1,000,000.
    pub const fn from_ppm(ppm: u32) -> Option<Self> {
        if ppm <= Self::WHOLE {
            Some(Self(ppm))
        } else {
            None
        }
    }

    /// The chance in parts per million.
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// Whether the event happens for `draw`, a number uniform over all of `u32`.
    pub(super) fn happens(self, draw: u32) -> bool {
        // Scales the draw to 0..1,000,000 by its high bits.
        (u64::from(draw) * u64::from(Self::WHOLE)) >> 32 < u64::from(self.0)
    }
}

impl FromStr for Probability {
    type Err = UnitError;

    /// Reads `1%`, `0.25%`, or a plain fraction such as `0.01`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ppm = scaled(text, &[("%", 10_000), ("", 1_000_000)], "%")?;
        u32::try_from(ppm)
            .ok()
            .and_then(Self::from_ppm)
            .ok_or(UnitError::AboveOne)
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (percent, rest) = (self.0 / 10_000, self.0 % 10_000);
        if rest == 0 {
            write!(f, "{percent}%")
        } else {
            let digits = format!("{rest:04}");
            write!(f, "{percent}.{}%", digits.trim_end_matches('0'))
        }
    }
}

/// A line rate in bits per second, at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitRate(NonZeroU64);

impl BitRate {
    /// A rate of `bits` per second, or `None` for 0.
    pub const fn from_bits_per_second(bits: u64) -> Option<Self> {
        match NonZeroU64::new(bits) {
            Some(bits) => Some(Self(bits)),
            None => None,
        }
    }

    /// Bits per second.
    pub const fn bits_per_second(self) -> u64 {
        self.0.get()
    }

    /// How long `octets` take on the line, rounded up to a whole nanosecond so that the rate is
    /// never exceeded.
    pub fn time_for(self, octets: u64) -> Duration {
        let nanos = (u128::from(octets) * 8 * 1_000_000_000).div_ceil(u128::from(self.0.get()));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many octets the line carries in `time`, rounded up.
    pub fn octets_in(self, time: Duration) -> u64 {
        let octets = time
            .as_nanos()
            .saturating_mul(u128::from(self.0.get()))
            .div_ceil(8 * 1_000_000_000);
        u64::try_from(octets).unwrap_or(u64::MAX)
    }
}

impl FromStr for BitRate {
    type Err = UnitError;

    /// Reads `20mbit`, `1.5gbit`, `64kbit`, `9600bit`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const UNITS: &[(&str, u64)] = &[
            ("bit", 1),
            ("kbit", 1_000),
            ("mbit", 1_000_000),
            ("gbit", 1_000_000_000),
        ];
        let bits = scaled(text, UNITS, "bit, kbit, mbit, gbit")?;
        Self::from_bits_per_second(bits).ok_or(UnitError::ZeroRate)
    }
}

/// Reads a duration such as `300ms`, `1.5s`, `20us`, `100ns`, `2min`.
///
/// # Errors
///
/// [`UnitError`] when the text is not a number with one of these units.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    const UNITS: &[(&str, u64)] = &[
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("min", 60_000_000_000),
    ];
    scaled(text, UNITS, "ns, us, ms, s, min").map(Duration::from_nanos)
}

/// Reads a number of octets such as `65536`, `64kib`, `1.5mb`.
///
/// # Errors
///
/// [`UnitError`] when the text is not a number with one of these units.
pub fn octets(text: &str) -> Result<u64, UnitError> {
    const UNITS: &[(&str, u64)] = &[
        ("", 1),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("tb", 1_000_000_000_000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
    ];
    scaled(text, UNITS, "kb, mb, gb, tb, kib, mib, gib, tib")
}

/// Reads a decimal number and its unit exactly: a value that is not a whole number of the
/// smallest unit is refused, not rounded.
fn scaled(text: &str, units: &[(&str, u64)], names: &'static str) -> Result<u64, UnitError> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start();
    let (_, factor) = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .ok_or(UnitError::Unit(names))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let parse = |digits: &str| digits.parse::<u64>().map_err(|_| UnitError::Number);
    let whole = parse(whole)?
        .checked_mul(*factor)
        .ok_or(UnitError::Number)?;
    let fraction = part_of(fraction, *factor)?;
    whole.checked_add(fraction).ok_or(UnitError::Number)
}

/// The value of the digits after the decimal point, in units of `factor`.
fn part_of(digits: &str, factor: u64) -> Result<u64, UnitError> {
    let value: u64 = digits.parse().map_err(|_| UnitError::Number)?;
    let scale = u32::try_from(digits.len())
        .ok()
        .and_then(|places| 10_u64.checked_pow(places))
        .ok_or(UnitError::Number)?;
    let product = u128::from(value) * u128::from(factor);
    if product % u128::from(scale) != 0 {
        return Err(UnitError::Number);
    }
    u64::try_from(product / u128::from(scale)).map_err(|_| UnitError::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration(" 20 us "), Ok(Duration::from_micros(20)));
        assert_eq!(duration("2MIN"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("0.5ns"), Err(UnitError::Number));
        assert_eq!(duration("300"), Err(UnitError::Unit("ns, us, ms, s, min")));
        assert_eq!(duration("99999999999999999999s"), Err(UnitError::Number));
        for text in ["ms", ".ms", "1.ms", ".5s", "1.2.3s"] {
            assert_eq!(duration(text), Err(UnitError::Number), "{text:?}");
        }
        assert!(duration("-1s").is_err());
    }

    #[test]
    fn probabilities_are_percent_or_fraction() {
        let ppm = |text: &str| text.parse::<Probability>().map(Probability::ppm);
        assert_eq!(ppm("1%"), Ok(10_000));
        assert_eq!(ppm("0.25%"), Ok(2_500));
        assert_eq!(ppm("0.01"), Ok(10_000));
        assert_eq!(ppm("100%"), Ok(1_000_000));
        assert_eq!(ppm("100.0001%"), Err(UnitError::AboveOne));
        assert_eq!(ppm("0.00001%"), Err(UnitError::Number));
        for text in ["0%", "0.25%", "1%", "99.9999%", "100%"] {
            assert_eq!(text.parse::<Probability>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_chance_divides_the_draws_in_proportion() {
        let one_percent = Probability::from_ppm(10_000).unwrap();
        // The boundary lies at 1 % of the range of the draw.
        let boundary = u32::try_from((1_u64 << 32) / 100).unwrap();
        assert!(one_percent.happens(0));
        assert!(one_percent.happens(boundary - 1));
        assert!(!one_percent.happens(boundary + 1));
        assert!(!Probability::NEVER.happens(0));
        assert!(Probability::ALWAYS.happens(u32::MAX));
    }

    #[test]
    fn rates_never_round_in_favour_of_the_sender() {
        let rate: BitRate = "20mbit".parse().unwrap();
        assert_eq!(rate.time_for(1500), Duration::from_micros(600));
        assert_eq!(rate.octets_in(Duration::from_micros(600)), 1500);
        let odd = BitRate::from_bits_per_second(3).unwrap();
        assert_eq!(odd.time_for(1), Duration::from_nanos(2_666_666_667));
        assert_eq!("0mbit".parse::<BitRate>(), Err(UnitError::ZeroRate));
        assert_eq!("0.5bit".parse::<BitRate>(), Err(UnitError::Number));
        let fastest = BitRate::from_bits_per_second(u64::MAX).unwrap();
        assert_eq!(fastest.octets_in(Duration::MAX), u64::MAX);
    }

    #[test]
    fn sizes_know_both_kinds_of_kilo() {
        assert_eq!(octets("65536"), Ok(65_536));
        assert_eq!(octets("64kib"), Ok(65_536));
        assert_eq!(octets("1.5mb"), Ok(1_500_000));
        assert_eq!(octets("2tb"), Ok(2_000_000_000_000));
        assert_eq!(octets("1tib"), Ok(1 << 40));
        assert!(octets("1.5").is_err());
        assert!(octets("10 bananas").is_err());
    }
}
