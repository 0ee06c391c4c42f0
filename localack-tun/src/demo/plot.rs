//! What had arrived when, drawn with letters.

use core::fmt::Write as _;
use core::time::Duration;

use super::amount;

/// Lines that a plot has above its axis.
const ROWS: usize = 14;
/// Characters that a number on the vertical axis takes, at most.
const LABEL: usize = 9;
/// Distance of the numbers on the horizontal axis, at least, in characters.
const TICK: u128 = 10;

/// One line of a plot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series<'a> {
    /// What it is drawn with, one character.
    pub(super) mark: &'static str,
    pub(super) name: &'static str,
    /// What begins its colour on a terminal.
    pub(super) colour: &'static str,
    /// Octets by time, both growing.
    pub(super) points: &'a [(Duration, u64)],
}

/// Draws series, later ones over earlier ones, in so many columns; with `colour` for a terminal.
pub(super) fn plot(series: &[Series<'_>], columns: usize, colour: bool) -> String {
    let width = columns.saturating_sub(LABEL + 3).max(1);
    let last = |series: &Series<'_>| series.points.last().copied().unwrap_or_default();
    let (time, octets) = series
        .iter()
        .map(last)
        .fold((Duration::ZERO, 0), |most, (t, o)| {
            (most.0.max(t), most.1.max(o))
        });
    let mut grid = vec![vec![None; width]; ROWS];
    for series in series {
        draw(&mut grid, series, time, octets);
    }
    let mut text = String::new();
    for (row, cells) in grid.iter().enumerate() {
        let label = match row {
            0 => amount::octets(octets),
            row if row * 2 == ROWS => amount::octets(octets / 2),
            _ => String::new(),
        };
        let mut line = format!("{label:>LABEL$} |");
        for cell in cells {
            line.push_str(&cell.map_or(" ".to_owned(), |series| paint(series, colour)));
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str(&axis(time, width));
    let names = series
        .iter()
        .map(|series| format!("{} {}", paint(series, colour), series.name));
    let names = names.collect::<Vec<_>>().join("     ");
    let _ = writeln!(text, "{:LABEL$}  {names}", "");
    text
}

fn paint(series: &Series<'_>, colour: bool) -> String {
    if colour {
        format!("{}{}\x1b[0m", series.colour, series.mark)
    } else {
        series.mark.to_owned()
    }
}

type Grid<'s, 'p> = [Vec<Option<&'s Series<'p>>>];

/// Draws one, up to the moment when everything had arrived.
fn draw<'s, 'p>(grid: &mut Grid<'s, 'p>, series: &'s Series<'p>, time: Duration, octets: u64) {
    let width = grid.first().map_or(0, Vec::len);
    let mut below = 0;
    for column in 0..width {
        let until = time.as_nanos() * (column as u128 + 1) / width as u128;
        let arrived = series
            .points
            .partition_point(|(at, _)| at.as_nanos() <= until);
        let Some((_, value)) = arrived.checked_sub(1).and_then(|n| series.points.get(n)) else {
            continue;
        };
        // Something that has arrived is seen.
        let scaled = (u128::from(*value) * ROWS as u128).div_ceil(u128::from(octets.max(1)));
        let height = usize::try_from(scaled).unwrap_or(ROWS).clamp(1, ROWS);
        for level in (below + 1).min(height)..=height {
            let cell = grid
                .get_mut(ROWS - level)
                .and_then(|row| row.get_mut(column));
            if let Some(cell) = cell {
                *cell = Some(series);
            }
        }
        below = height;
        if arrived == series.points.len() {
            break;
        }
    }
}

/// The horizontal axis, and the times below it.
fn axis(time: Duration, width: usize) -> String {
    let step = step(time, width);
    let mut line = "-".repeat(width);
    let mut labels = String::new();
    for tick in 0.. {
        let at = step * tick;
        let column = at.as_nanos() * width as u128 / time.as_nanos().max(1);
        let column = usize::try_from(column).unwrap_or(usize::MAX);
        let label = amount::time_on_axis(at);
        if at > time || column + label.len() > width {
            break;
        }
        if column < width {
            line.replace_range(column..=column, "+");
        }
        let _ = write!(labels, "{:1$}", "", column.saturating_sub(labels.len()));
        labels.push_str(&label);
    }
    format!("{0:>LABEL$} +{line}\n{1:LABEL$}  {labels}\n", "0", "")
}

/// The distance of two ticks: 1, 2 or 5 times a power of ten.
fn step(time: Duration, width: usize) -> Duration {
    let least = time.as_nanos() * TICK / (width as u128).max(1);
    let mut power: u64 = 1_000_000;
    loop {
        for factor in [1, 2, 5] {
            let step = power.saturating_mul(factor);
            if u128::from(step) >= least || step == u64::MAX {
                return Duration::from_nanos(step);
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(points: &[(u64, u64)]) -> Vec<(Duration, u64)> {
        let point = |(at, octets): &(u64, u64)| (Duration::from_millis(*at), *octets);
        points.iter().map(point).collect()
    }

    fn draw(colour: bool) -> String {
        let slow: Vec<_> = (1..=60).map(|n| (n * 500, n * 50_000)).collect();
        let (slow, fast) = (points(&slow), points(&[(900, 10_000), (2_000, 3_000_000)]));
        let series = |mark, name, points| Series {
            mark,
            name,
            colour: "\x1b[32m",
            points,
        };
        let series = [series(".", "slow", &slow), series("#", "fast", &fast)];
        plot(&series, 80, colour)
    }

    #[test]
    fn a_plot_shows_both_and_fits_into_its_columns() {
        let expected = "
  3.00 MB |    #                                                          .....
          |    #                                                     .....
          |    #                                                 ....
          |    #                                           ......
          |    #                                       ....
          |    #                                  .....
          |    #                              ....
  1.50 MB |    #                        ......
          |    #                   .....
          |    #               ....
          |    #         ......
          |    #     ....
          |    #.....
          | .##.
";
        let text = draw(false);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(text.is_ascii());
        let shape: Vec<_> = text.lines().take(14).collect();
        let wanted: Vec<_> = expected.lines().skip(1).take(14).collect();
        assert_eq!(shape, wanted, "{text}");
        let lower: Vec<_> = text.lines().skip(14).collect();
        assert!(lower.first().unwrap().starts_with("        0 +"), "{text}");
        assert_eq!(
            lower.get(1).unwrap().split_whitespace().collect::<Vec<_>>(),
            ["0", "5", "s", "10", "s", "15", "s", "20", "s", "25", "s"],
        );
        assert_eq!(*lower.get(2).unwrap(), "           . slow     # fast");
    }

    #[test]
    fn only_a_terminal_gets_colours() {
        assert!(!draw(false).contains('\x1b'));
        let plain = draw(true).replace("\x1b[32m", "").replace("\x1b[0m", "");
        assert_eq!(plain, draw(false));
    }

    #[test]
    fn odd_series_are_drawn_too() {
        let one = points(&[(3, 7)]);
        for points in [&[][..], &one] {
            let series = Series {
                mark: "#",
                name: "odd",
                colour: "",
                points,
            };
            for columns in [0, 13, 80] {
                assert!(plot(&[series], columns, false).contains("odd"));
            }
        }
    }

    #[test]
    fn ticks_are_round_and_far_enough_apart() {
        let step = |milliseconds| step(Duration::from_millis(milliseconds), 68).as_millis();
        assert_eq!(step(30_000), 5_000);
        assert_eq!(step(34_000), 5_000);
        assert_eq!(step(35_000), 10_000);
        assert_eq!(step(2_500), 500);
        assert_eq!(step(120), 20);
    }
}
