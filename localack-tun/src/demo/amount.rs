//! Quantities as people read them: three digits and a unit.

use core::time::Duration;

/// Octets, in powers of 1000.
pub(super) fn octets(octets: u64) -> String {
    scaled(octets as f64, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// Octets in a time as a rate.
pub(super) fn rate(octets: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64().max(1e-9);
    scaled(
        octets as f64 * 8.0 / seconds,
        &[
            "bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", "Pbit/s", "Ebit/s",
        ],
    )
}

/// A time in milliseconds or seconds.
pub(super) fn time(time: Duration) -> String {
    if time.is_zero() {
        return "0 ms".to_owned();
    }
    scaled(time.as_secs_f64() * 1000.0, &["ms", "s"])
}

/// A time on an axis: nothing more precise than it has to be.
pub(super) fn time_on_axis(time: Duration) -> String {
    match time.as_millis() {
        0 => "0".to_owned(),
        milliseconds if milliseconds < 1000 => format!("{milliseconds} ms"),
        milliseconds => format!("{} s", milliseconds as f64 / 1000.0),
    }
}

/// A part of a whole.
pub(super) fn share(part: Duration, whole: Duration) -> String {
    let percent = 100.0 * part.as_secs_f64() / whole.as_secs_f64().max(1e-9);
    let places = usize::from(percent < 9.95);
    format!("{percent:.places$} %")
}

/// How many times one is the other.
pub(super) fn times(long: Duration, short: Duration) -> String {
    let times = long.as_secs_f64() / short.as_secs_f64().max(1e-9);
    let places = usize::from(times < 9.95);
    format!("{times:.places$}")
}

fn scaled(mut value: f64, units: &[&str]) -> String {
    let mut units = units.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    for next in units {
        // What would be rounded to 1000 has the next unit.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let places = match value {
        value if unit == "B" || value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.places$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_three_digits() {
        assert_eq!(octets(0), "0 B");
        assert_eq!(octets(999), "999 B");
        assert_eq!(octets(3_000_000), "3.00 MB");
        assert_eq!(octets(999_960), "1.00 MB");
        assert_eq!(rate(250_000, Duration::from_secs(2)), "1.00 Mbit/s");
        assert_eq!(rate(64_125, Duration::from_secs(1)), "513 kbit/s");
        assert_eq!(time(Duration::from_micros(2_450)), "2.45 ms");
        assert_eq!(time(Duration::from_millis(31_234)), "31.2 s");
        assert_eq!(time(Duration::from_secs(1200)), "1200 s");
        assert_eq!(
            share(Duration::from_secs(1), Duration::from_secs(3)),
            "33 %"
        );
        assert_eq!(
            share(Duration::from_secs(1), Duration::from_secs(30)),
            "3.3 %"
        );
        assert_eq!(times(Duration::from_secs(31), Duration::from_secs(2)), "16");
        assert_eq!(times(Duration::from_secs(3), Duration::from_secs(2)), "1.5");
        assert_eq!(time_on_axis(Duration::from_millis(2_500)), "2.5 s");
    }
}
