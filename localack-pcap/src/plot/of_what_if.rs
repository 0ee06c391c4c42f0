//! Plots of what is foretold of a connection.

use super::{Axis, Layer, Plot, Shape, Unit, colour};
use crate::trace::Mark;
use crate::whatif::{FlowWhatIf, Progress, Simulated};

/// The distributions of the times that simulated runs took, and the time that was captured; `None` if no run
/// ended.
#[must_use]
pub fn completion(name: &str, title: &str, flow: &FlowWhatIf) -> Option<Plot> {
    let layer = |name, class, colour, runs: &Simulated| Layer {
        name,
        class,
        colour,
        shape: Shape::Line,
        marks: curve(runs),
    };
    let captured = Layer {
        name: "as captured",
        class: "captured",
        colour: colour::ORANGE,
        shape: Shape::Bars,
        marks: vec![Mark {
            time: flow.captured.completion_us,
            low: 0,
            high: WHOLE,
        }],
    };
    let mut layers = vec![
        captured,
        layer(
            "played again without an engine",
            "reproduced",
            colour::BLUE,
            &flow.reproduced,
        ),
        layer("with the engine", "engine", colour::GREEN, &flow.engine),
    ];
    layers.retain(|layer| !layer.marks.is_empty());
    if layers.len() < 2 {
        return None;
    }
    let last = last(&layers);
    Some(Plot {
        name: name.to_owned(),
        title: title.to_owned(),
        notes: Vec::new(),
        x: Axis::linear("completion time", Unit::Time, 0.0, last as f64 * 1.05),
        y: Axis::linear("runs that took no longer", Unit::Share, 0.0, WHOLE as f64),
        layers,
        size: (960, 240),
    })
}

/// Octets that had arrived over time; `None` if nothing is known of that.
#[must_use]
pub fn progress(name: &str, title: &str, progress: &Progress) -> Option<Plot> {
    let layer = |name, class, colour, marks: &Vec<Mark>| Layer {
        name,
        class,
        colour,
        shape: Shape::Steps,
        marks: marks.clone(),
    };
    let mut layers = vec![
        layer(
            "as captured",
            "captured",
            colour::ORANGE,
            &progress.captured,
        ),
        layer(
            "played again without an engine",
            "reproduced",
            colour::BLUE,
            &progress.reproduced,
        ),
        layer("with the engine", "engine", colour::GREEN, &progress.engine),
    ];
    layers.retain(|layer| !layer.marks.is_empty());
    let most = layers
        .iter()
        .flat_map(|layer| &layer.marks)
        .map(|mark| mark.high)
        .max()?;
    let last = last(&layers);
    Some(Plot {
        name: name.to_owned(),
        title: title.to_owned(),
        notes: Vec::new(),
        x: Axis::linear("time since the SYN", Unit::Time, 0.0, last as f64 * 1.05),
        y: Axis::linear("octets arrived", Unit::Octets, 0.0, most as f64 * 1.05),
        layers,
        size: (960, 360),
    })
}

/// All runs, in ten thousandths.
const WHOLE: i64 = 10_000;

/// A distribution by its percentiles.
fn curve(runs: &Simulated) -> Vec<Mark> {
    let Some(times) = runs.completion_us else {
        return Vec::new();
    };
    let point = |(time, at)| Mark {
        time,
        low: at,
        high: at,
    };
    let points = [
        (times.min, 0),
        (times.p10, WHOLE / 10),
        (times.p50, WHOLE / 2),
        (times.p90, WHOLE * 9 / 10),
        (times.max, WHOLE),
    ];
    points.map(point).to_vec()
}

fn last(layers: &[Layer]) -> u64 {
    let marks = layers.iter().flat_map(|layer| &layer.marks);
    marks.map(|mark| mark.time).max().unwrap_or(0)
}
