//! Axes: what range they show, and how numbers on them are written.

/// What is along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds.
    Time,
    /// Octets.
    Octets,
    /// Ten thousandths of a whole.
    Share,
}

/// One axis; positions on it are whole numbers of its unit.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    /// What it is called.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// The first position that is shown.
    pub from: f64,
    /// The last one.
    pub to: f64,
    /// Whether equal steps are equal factors.
    pub logarithmic: bool,
}

impl Axis {
    /// A linear axis of these positions, widened where they are too near.
    #[must_use]
    pub fn linear(name: &'static str, unit: Unit, from: f64, to: f64) -> Self {
        Self {
            name,
            unit,
            from,
            to: to.max(from + 1.0),
            logarithmic: false,
        }
    }

    /// A logarithmic axis of whole decades around these positions; positions below one count as one.
    #[must_use]
    pub fn logarithmic(name: &'static str, unit: Unit, from: f64, to: f64) -> Self {
        let low = from.max(1.0).log10().floor();
        let high = to.max(1.0).log10().ceil().max(low + 1.0);
        Self {
            name,
            unit,
            from: 10_f64.powf(low),
            to: 10_f64.powf(high),
            logarithmic: true,
        }
    }

    /// A position such that equal steps of it are drawn equally long.
    pub(super) fn scaled(&self, at: i64) -> f64 {
        if self.logarithmic {
            (at.max(1) as f64).log10()
        } else {
            at as f64
        }
    }

    /// The ends of the axis, in the same measure.
    pub(super) fn range(&self) -> core::ops::Range<f64> {
        if self.logarithmic {
            self.from.log10()..self.to.log10()
        } else {
            self.from..self.to
        }
    }

    /// A number beside a tick.
    pub(super) fn label(&self, at: f64) -> String {
        let at = if self.logarithmic {
            10_f64.powf(at)
        } else {
            at
        };
        match self.unit {
            Unit::Share => format!("{}%", rounded(at / 100.0)),
            Unit::Octets => prefixed(
                at,
                self.largest(),
                &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")],
            ),
            Unit::Time => prefixed(at, self.largest(), &[(1e6, "s"), (1e3, "ms"), (1.0, "us")]),
        }
    }

    /// The number that decides about the prefix; each tick of a logarithmic axis has its own.
    fn largest(&self) -> Option<f64> {
        (!self.logarithmic).then(|| self.from.abs().max(self.to.abs()))
    }
}

fn prefixed(at: f64, largest: Option<f64>, units: &[(f64, &str)]) -> String {
    let size = largest.unwrap_or_else(|| at.abs());
    let (worth, name) = units
        .iter()
        .find(|unit| size >= unit.0 * 0.999)
        .or(units.last())
        .copied()
        .unwrap_or((1.0, ""));
    format!("{} {name}", rounded(at / worth))
}

/// At most three digits after the point, and no needless ones.
fn rounded(number: f64) -> String {
    let text = format!("{number:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_share_a_unit_on_linear_axes() {
        let axis = Axis::linear("time", Unit::Time, 0.0, 2_500_000.0);
        assert_eq!(
            [0.0, 500_000.0, 2_500_000.0].map(|at| axis.label(at)),
            ["0 s", "0.5 s", "2.5 s"]
        );
        let axis = Axis::linear("octets", Unit::Octets, 0.0, 256_000.0);
        assert_eq!(
            [0.0, 128_000.0].map(|at| axis.label(at)),
            ["0 kB", "128 kB"]
        );
        let axis = Axis::linear("share", Unit::Share, 0.0, 10_000.0);
        assert_eq!([0.0, 2_500.0].map(|at| axis.label(at)), ["0%", "25%"]);
    }

    #[test]
    fn logarithmic_axes_have_whole_decades() {
        let axis = Axis::logarithmic("wait", Unit::Time, 0.0, 595_000.0);
        assert_eq!((axis.from, axis.to), (1.0, 1_000_000.0));
        assert_eq!(
            [0.0, 3.0, 6.0].map(|at| axis.label(at)),
            ["1 us", "1 ms", "1 s"]
        );
        assert_eq!((axis.scaled(0), axis.scaled(1_000)), (0.0, 3.0));
        let axis = Axis::logarithmic("wait", Unit::Time, 100.0, 100.0);
        assert_eq!((axis.from, axis.to), (100.0, 1_000.0));
    }

    #[test]
    fn an_empty_range_is_widened() {
        let axis = Axis::linear("time", Unit::Time, 7.0, 7.0);
        assert!(axis.to > axis.from);
    }
}
