//! Quantities for people.

/// Octets with three or four digits and a decimal prefix.
pub(crate) fn bytes(octets: u64) -> String {
    const PREFIXES: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    scaled(octets, 1000, &PREFIXES)
}

/// A time in microseconds with its unit.
pub(crate) fn time(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{micros} us"),
        10_000..10_000_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        10_000_000..10_000_000_000 => {
            format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000)
        }
        10_000_000_000.. => format!("{} h", micros / 3_600_000_000),
    }
}

/// A time, or a dash where there is none.
pub(crate) fn time_or_dash(micros: Option<u64>) -> String {
    micros.map_or_else(|| "-".to_owned(), time)
}

/// A count and its noun.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn scaled(number: u64, step: u64, prefixes: &[&str]) -> String {
    let mut unit = 1;
    let mut prefix = 0;
    while number / unit >= step && prefix + 1 < prefixes.len() {
        unit *= step;
        prefix += 1;
    }
    let name = prefixes[prefix];
    if prefix == 0 {
        format!("{number} {name}")
    } else {
        format!("{}.{} {name}", number / unit, number % unit * 10 / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_short() {
        assert_eq!(
            [0, 999, 1000, 256_000, 1_234_567].map(bytes),
            ["0 B", "999 B", "1.0 kB", "256.0 kB", "1.2 MB"]
        );
        assert_eq!(
            [0, 9_999, 10_000, 560_123, 39_422_000].map(time),
            ["0 us", "9999 us", "10.0 ms", "560.1 ms", "39.4 s"]
        );
        assert_eq!(
            [7_200_000_000_000, u64::MAX].map(time),
            ["2000 h", "5124095576 h"]
        );
        assert_eq!(bytes(u64::MAX), "18446744.0 TB");
        assert_eq!(
            [count(1, "packet"), count(2, "packet")],
            ["1 packet", "2 packets"]
        );
    }
}
