//! One plot in the page.

use maud::{Markup, PreEscaped, html};
use serde_json::{Value, json};

use crate::plot::{Axis, Layer, Plot, Shape, Unit};

/// A plot with its head, what was left out of it, and the numbers that its script reads out.
pub(super) fn figure(plot: &Plot, svg: &str, link: Option<usize>) -> Markup {
    html! {
        figure.plot id=(format!("plot-{}", plot.name)) tabindex="0" data-link=[link] aria-label=(plot.title) {
            figcaption {
                strong { (plot.title) }
                @for note in &plot.notes { small { (note) } }
            }
            div.legend {}
            div.canvas {
                // The library escapes all text.
                (PreEscaped(svg))
                div.readout role="status" {}
            }
            script type="application/json" { (PreEscaped(numbers(plot))) }
        }
    }
}

/// What is drawn, as JSON; it can close no element.
fn numbers(plot: &Plot) -> String {
    let layers: Vec<_> = plot.layers.iter().map(layer).collect();
    let numbers = json!({ "x": axis(&plot.x), "y": axis(&plot.y), "layers": layers });
    numbers.to_string().replace('<', "\\u003c")
}

fn axis(axis: &Axis) -> Value {
    let unit = match axis.unit {
        Unit::Time => "time",
        Unit::Octets => "octets",
        Unit::Share => "share",
    };
    json!({
        "name": axis.name,
        "unit": unit,
        "from": axis.from,
        "to": axis.to,
        "log": axis.logarithmic,
    })
}

fn layer(layer: &Layer) -> Value {
    let shape = match layer.shape {
        Shape::Bars => "bars",
        Shape::Steps => "steps",
        Shape::Line => "line",
    };
    let marks: Vec<_> = layer
        .marks
        .iter()
        .map(|mark| {
            if mark.low == mark.high {
                json!([mark.time, mark.high])
            } else {
                json!([mark.time, mark.low, mark.high])
            }
        })
        .collect();
    json!({ "name": layer.name, "class": layer.class, "shape": shape, "marks": marks })
}
