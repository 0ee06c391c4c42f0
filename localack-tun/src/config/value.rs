//! Reads single values.

use core::fmt::Display;
use core::ops::RangeInclusive;
use core::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::quantity::{self, Rate, show_octets, show_time};
use super::reader::Span;

/// A value of a file, and its place.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// Why a value is refused, and which part of it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) span: Span,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(value: &Value<'_>, message: impl Display) -> Self {
        Self {
            span: value.span(),
            message: message.to_string(),
        }
    }

    /// The value is not even of the right kind.
    pub(super) fn kind(value: &Value<'_>, wanted: &str) -> Self {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        Self::new(value, format!("expected {wanted}, found {found}"))
    }
}

/// Reads `true` or `false`.
pub(super) fn boolean(value: &Value<'_>) -> Result<bool, Fault> {
    value
        .get_ref()
        .as_bool()
        .ok_or_else(|| Fault::kind(value, "true or false"))
}

/// The text of a value that must be a string.
pub(super) fn string<'v>(value: &'v Value<'_>, wanted: &str) -> Result<&'v str, Fault> {
    value
        .get_ref()
        .as_str()
        .ok_or_else(|| Fault::kind(value, wanted))
}

/// Reads a string with a parser of strings.
pub(super) fn text<T, E: Display>(
    parse: impl Fn(&str) -> Result<T, E>,
) -> impl Fn(&Value<'_>) -> Result<T, Fault> {
    move |value| {
        let text = string(value, "a string")?;
        parse(text).map_err(|error| Fault::new(value, error))
    }
}

/// The whole number that a value is, if it is one and not too large.
pub(super) fn integer(value: &Value<'_>) -> Option<i128> {
    let integer = value.get_ref().as_integer()?;
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// Reads a whole number within `range`.
pub(super) fn whole<T>(range: RangeInclusive<T>) -> impl Fn(&Value<'_>) -> Result<T, Fault>
where
    T: TryFrom<i128> + PartialOrd + Display,
{
    move |value| {
        let number = integer(value).ok_or_else(|| Fault::kind(value, "a whole number"))?;
        T::try_from(number)
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                Fault::new(value, format!("{number} is not between {least} and {most}"))
            })
    }
}

/// Reads a time within `range`.
pub(super) fn time(
    range: RangeInclusive<Duration>,
) -> impl Fn(&Value<'_>) -> Result<Duration, Fault> {
    move |value| {
        let text = string(value, "a time such as \"300ms\"")?;
        let time = quantity::time(text).map_err(|error| Fault::new(value, error))?;
        within(value, time, &range, show_time)
    }
}

/// Reads a number of octets within `range`.
pub(super) fn octets<T>(range: RangeInclusive<T>) -> impl Fn(&Value<'_>) -> Result<T, Fault>
where
    T: TryFrom<u64> + Into<u64> + Copy,
{
    move |value| {
        let number = match integer(value) {
            Some(number) => u64::try_from(number)
                .map_err(|_| Fault::new(value, format!("{number} is not a number of octets")))?,
            None => {
                let text = string(value, "a number of octets such as \"64mib\"")?;
                quantity::octets(text).map_err(|error| Fault::new(value, error))?
            }
        };
        let wide = (*range.start()).into()..=(*range.end()).into();
        let number = within(value, number, &wide, show_octets)?;
        T::try_from(number).map_err(|_| Fault::new(value, "too large"))
    }
}

fn within<T: PartialOrd + Copy>(
    value: &Value<'_>,
    given: T,
    range: &RangeInclusive<T>,
    show: impl Fn(T) -> String,
) -> Result<T, Fault> {
    if range.contains(&given) {
        return Ok(given);
    }
    let (given, least, most) = (show(given), show(*range.start()), show(*range.end()));
    let message = format!("{given} is not between {least} and {most}");
    Err(Fault::new(value, message))
}

/// Reads a rate.
pub(super) fn rate(value: &Value<'_>) -> Result<Rate, Fault> {
    let text = string(value, "a rate such as \"20mbit\"")?;
    text.parse().map_err(|error| Fault::new(value, error))
}

/// Reads one value, or a list of one or more.
pub(super) fn list<T>(
    parse: impl Fn(&Value<'_>) -> Result<T, Fault>,
) -> impl Fn(&Value<'_>) -> Result<Vec<T>, Fault> {
    move |value| match value.get_ref().as_array() {
        Some(items) if items.is_empty() => {
            Err(Fault::new(value, "an empty list would match nothing"))
        }
        Some(items) => items.iter().map(&parse).collect(),
        None => parse(value).map(|one| vec![one]),
    }
}
