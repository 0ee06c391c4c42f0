//! Which plots there are.

use super::{Axis, Layer, Plot, Shape, Unit, colour};
use crate::trace::{DirectionTrace, Mark, Series};
use crate::waits::Waits;

/// Steps of a distribution.
const STEPS: usize = 400;

/// Sequence numbers over time, of the data of one sender; time counts from `begun`.
#[must_use]
pub fn sequence(
    name: &str,
    title: &str,
    trace: &DirectionTrace,
    begun: u64,
    served: bool,
) -> Option<Plot> {
    let (first, last) = trace.extent()?;
    let origin = trace.origin();
    let (low, high) = ((first - origin).min(0) as f64, (last - origin) as f64);
    let all = [
        (
            "receiver's window edge",
            "edge",
            colour::GREY,
            Shape::Steps,
            &trace.edge,
            true,
        ),
        (
            "ACK in the capture",
            "captured",
            colour::ORANGE,
            Shape::Steps,
            &trace.acknowledged,
            true,
        ),
        (
            "ACK with the engine",
            "engine",
            colour::GREEN,
            Shape::Steps,
            &trace.engine,
            served,
        ),
        (
            "SACK blocks",
            "sack",
            colour::PURPLE,
            Shape::Bars,
            &trace.sacked,
            true,
        ),
        (
            "sent from custody",
            "delivered",
            colour::SKY,
            Shape::Bars,
            &trace.delivered,
            served,
        ),
        ("data", "data", colour::BLUE, Shape::Bars, &trace.data, true),
        (
            "data sent again",
            "repeats",
            colour::VERMILION,
            Shape::Bars,
            &trace.repeats,
            true,
        ),
        (
            "sent again by the engine",
            "resent",
            colour::PINK,
            Shape::Bars,
            &trace.resent,
            served,
        ),
    ];
    let drawn = all
        .iter()
        .filter(|(.., series, wanted)| *wanted && !series.marks().is_empty());
    let layers: Vec<_> = drawn
        .clone()
        .map(|&(name, class, colour, shape, series, _)| Layer {
            name,
            class,
            colour,
            shape,
            marks: shifted(series, begun, origin),
        })
        .collect();
    let notes = drawn
        .filter_map(|(name, .., series, _)| note(name, series))
        .collect();
    // The window's edge may be far above all data: only its beginning is shown then.
    let top = layers
        .iter()
        .filter(|layer| layer.class == "edge")
        .flat_map(|layer| &layer.marks);
    let top = top.map(|mark| mark.high as f64).fold(high, f64::max);
    let (from, to) = span(&layers);
    Some(Plot {
        name: name.to_owned(),
        title: title.to_owned(),
        notes,
        x: Axis::linear("time", Unit::Time, from, to),
        y: Axis::linear(
            "octets of the stream",
            Unit::Octets,
            low,
            top.min(high + (high - low) * 0.2),
        ),
        layers,
        size: (960, 480),
    })
}

/// Octets in custody over time; `None` if there never were any.
#[must_use]
pub fn custody(
    name: &str,
    title: &str,
    trace: &DirectionTrace,
    begun: u64,
    over: &Axis,
) -> Option<Plot> {
    let marks = shifted(&trace.custody, begun, 0);
    let most = marks.iter().map(|mark| mark.high).max()?;
    Some(Plot {
        name: name.to_owned(),
        title: title.to_owned(),
        notes: note("custody", &trace.custody).into_iter().collect(),
        x: *over,
        y: Axis::linear("octets", Unit::Octets, 0.0, most as f64 * 1.1),
        layers: vec![Layer {
            name: "octets in custody",
            class: "custody",
            colour: colour::GREEN,
            shape: Shape::Steps,
            marks,
        }],
        size: (960, 240),
    })
}

/// The distributions of waits in the capture and with the engine; `None` if nothing waited.
#[must_use]
pub fn waits(name: &str, title: &str, captured: &Waits, engine: Option<&Waits>) -> Option<Plot> {
    let layer = |name, class, colour, waits: &Waits| Layer {
        name,
        class,
        colour,
        shape: Shape::Line,
        marks: curve(waits),
    };
    let mut layers = vec![layer(
        "in the capture",
        "captured",
        colour::ORANGE,
        captured,
    )];
    layers.extend(engine.map(|engine| layer("with the engine", "engine", colour::GREEN, engine)));
    layers.retain(|layer| !layer.marks.is_empty());
    let (from, to) = span(&layers);
    if layers.is_empty() {
        return None;
    }
    Some(Plot {
        name: name.to_owned(),
        title: title.to_owned(),
        notes: Vec::new(),
        x: Axis::logarithmic(
            "wait for the ACK; below 1 us counts as 1 us",
            Unit::Time,
            from,
            to,
        ),
        y: Axis::linear("packets that waited no longer", Unit::Share, 0.0, 10_000.0),
        layers,
        size: (960, 300),
    })
}

/// A distribution as marks that begin at the bottom.
fn curve(waits: &Waits) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (wait, part) in waits.curve(STEPS) {
        let at = (part * 10_000.0).round() as i64;
        if marks.is_empty() {
            marks.push(point(wait, 0));
        }
        marks.push(point(wait, at));
    }
    marks
}

const fn point(time: u64, at: i64) -> Mark {
    Mark {
        time,
        low: at,
        high: at,
    }
}

/// Marks with other origins of time and position.
fn shifted(series: &Series, begun: u64, origin: i64) -> Vec<Mark> {
    let marks = series.marks().iter();
    let shift = |mark: &Mark| Mark {
        time: mark.time.saturating_sub(begun),
        low: mark.low - origin,
        high: mark.high - origin,
    };
    marks.map(shift).collect()
}

/// The first and the last time.
fn span(layers: &[Layer]) -> (f64, f64) {
    let times = || {
        layers
            .iter()
            .flat_map(|layer| &layer.marks)
            .map(|mark| mark.time)
    };
    (
        times().min().unwrap_or(0) as f64,
        times().max().unwrap_or(0) as f64,
    )
}

/// What was left out of a series.
fn note(name: &str, series: &Series) -> Option<String> {
    let step = series.step()?;
    Some(format!(
        "{name}: {} of {} marks are drawn, of every {} the first, the last, the lowest and the highest",
        series.marks().len(),
        series.seen(),
        crate::report::units::time(step),
    ))
}
