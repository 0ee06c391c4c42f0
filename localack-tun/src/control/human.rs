//! Numbers as people read them.

use core::time::Duration;

/// Three digits and a unit that is a power of 1000.
fn scaled(number: u64, units: [&str; 5]) -> String {
    let [one, larger @ ..] = units;
    if number < 1000 {
        return format!("{number} {one}");
    }
    // Tenths of a per cent of the last digit do not matter to a person.
    let mut value = number as f64;
    let mut unit = one;
    for next in larger {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let digits = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// A number of octets, such as `1.38 MB`.
#[must_use]
pub fn octets(octets: u64) -> String {
    scaled(octets, ["B", "kB", "MB", "GB", "TB"])
}

/// Octets per second as bits per second, such as `19.2 Mb/s`.
#[must_use]
pub fn rate(octets_per_second: u64) -> String {
    let bits = octets_per_second.saturating_mul(8);
    scaled(bits, ["b/s", "kb/s", "Mb/s", "Gb/s", "Tb/s"])
}

/// A number, such as `12.3 M`.
#[must_use]
pub fn number(number: u64) -> String {
    scaled(number, ["", "k", "M", "G", "T"])
        .trim_end()
        .to_owned()
}

/// A time in its two largest units, such as `1d 2h` or `350 ms`.
#[must_use]
pub fn time(time: Duration) -> String {
    let (seconds, millis) = (time.as_secs(), time.subsec_millis());
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if days > 0 {
        format!("{days}d {}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h {}m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes}m {}s", seconds % 60)
    } else if seconds > 0 {
        format!("{seconds}.{} s", millis / 100)
    } else {
        format!("{millis} ms")
    }
}

/// [`time`] of a number of milliseconds.
#[must_use]
pub fn milliseconds(millis: u64) -> String {
    time(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_enough() {
        for (value, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (9_994, "9.99 kB"),
            (9_996, "10.0 kB"),
            (99_960, "100 kB"),
            (999_499, "999 kB"),
            (999_600, "1.00 MB"),
            (1_382_400, "1.38 MB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(octets(value), text, "{value}");
        }
        assert_eq!(rate(2_400_000), "19.2 Mb/s");
        assert_eq!(rate(u64::MAX), "18446744 Tb/s");
        assert_eq!((number(7), number(12_345)), ("7".into(), "12.3 k".into()));
    }

    #[test]
    fn times_have_two_units() {
        for (millis, text) in [
            (0, "0 ms"),
            (350, "350 ms"),
            (1_950, "1.9 s"),
            (61_000, "1m 1s"),
            (3_660_000, "1h 1m"),
            (90_061_001, "1d 1h"),
        ] {
            assert_eq!(milliseconds(millis), text);
        }
    }
}
