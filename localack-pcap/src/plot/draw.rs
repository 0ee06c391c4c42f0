//! From a plot to its SVG text.

use core::fmt::Write as _;

use plotters::chart::ChartBuilder;
use plotters::element::{PathElement, Text};
use plotters::prelude::{IntoDrawingArea as _, IntoLogRange as _, SVGBackend};
use plotters::style::{BLACK, Color as _, IntoFont as _, RGBColor, ShapeStyle};

use super::{Axis, Layer, Plot, PlotError, Shape};
use crate::trace::Mark;

/// Units of a layer in a pixel.
const FINE: u32 = 64;
/// Sizes of text, in pixels.
const TEXT: u32 = 12;
const TITLE: u32 = 15;
/// Room beside the area, in pixels.
const LEFT: u32 = 70;
const RIGHT: u32 = 16;
const BOTTOM: u32 = 46;
/// Room for the title, and for each line of the legend.
const TOP: u32 = 30;
const LEGEND_LINE: u32 = 18;
/// The width of a line, in units of a layer.
const STROKE: u32 = FINE * 3 / 2;

const INK: RGBColor = RGBColor(34, 34, 34);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// The area between the axes, in pixels.
#[derive(Debug, Clone, Copy)]
struct Area {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Plot {
    /// The plot as the text of an SVG file.
    ///
    /// # Errors
    /// [`PlotError`] if the library refuses it.
    pub fn svg(&self) -> Result<String, PlotError> {
        let area = self.area();
        let axes = self.axes(area)?;
        let (width, height) = self.size;
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\">\n\
             <g class=\"axes\">\n{}</g>\n\
             <svg class=\"area\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" \
             viewBox=\"0 0 {} {}\" preserveAspectRatio=\"none\">\n",
            inside(&axes),
            area.left,
            area.top,
            area.width,
            area.height,
            area.width * FINE,
            area.height * FINE,
        );
        for layer in &self.layers {
            self.layer(layer, area, &mut out)?;
        }
        out.push_str("</svg>\n</svg>\n");
        Ok(out)
    }

    fn area(&self) -> Area {
        let legend = self
            .legend()
            .last()
            .map_or(0, |entry| entry.1 + LEGEND_LINE);
        let top = TOP + legend;
        Area {
            left: LEFT,
            top,
            width: self.size.0.saturating_sub(LEFT + RIGHT).max(1),
            height: self.size.1.saturating_sub(top + BOTTOM).max(1),
        }
    }

    /// Where each layer's name stands, from the left end of the area and the top of the legend.
    fn legend(&self) -> Vec<(u32, u32, &Layer)> {
        let (mut x, mut y) = (0, 0);
        let mut entries = Vec::new();
        for layer in &self.layers {
            // No font is measured: letters of this size are hardly ever wider than this on the average.
            let width = 34 + layer.name.chars().count() as u32 * 7;
            if x > 0 && LEFT + x + width > self.size.0 {
                (x, y) = (0, y + LEGEND_LINE);
            }
            entries.push((x, y, layer));
            x += width;
        }
        entries
    }

    /// Title, legend, grid, numbers and names of the axes.
    fn axes(&self, area: Area) -> Result<String, PlotError> {
        let mut text = String::new();
        {
            let root = SVGBackend::with_string(&mut text, self.size).into_drawing_area();
            let font = |size: u32| ("sans-serif", size).into_font().color(&INK);
            let place = |x: u32, y: u32| (x as i32, y as i32);
            root.draw(&Text::new(
                self.title.clone(),
                place(area.left, 8),
                font(TITLE),
            ))
            .map_err(refused)?;
            for (x, y, layer) in self.legend() {
                let (x, y) = (area.left + x, TOP + y);
                let line = vec![place(x, y + 6), place(x + 20, y + 6)];
                root.draw(&PathElement::new(line, layer.colour.stroke_width(3)))
                    .map_err(refused)?;
                root.draw(&Text::new(layer.name, place(x + 25, y), font(TEXT)))
                    .map_err(refused)?;
            }
            let mut builder = ChartBuilder::on(&root);
            builder
                .margin_top(area.top)
                .margin_right(RIGHT)
                .x_label_area_size(BOTTOM)
                .y_label_area_size(LEFT);
            macro_rules! mesh {
                ($x:expr, $label:expr) => {
                    builder
                        .build_cartesian_2d($x, self.y.range())
                        .map_err(refused)?
                        .configure_mesh()
                        .x_desc(self.x.name)
                        .y_desc(self.y.name)
                        .x_labels(8)
                        .y_labels((area.height / 44) as usize)
                        .x_label_formatter(&$label)
                        .y_label_formatter(&|&at: &f64| self.y.label(at))
                        .label_style(font(TEXT))
                        .axis_style(&INK)
                        .bold_line_style(&GRID)
                        .light_line_style(BLACK.mix(0.0))
                        .draw()
                        .map_err(refused)?
                };
            }
            let label = |axis: &Axis, at: f64| axis.label(at);
            if self.x.logarithmic {
                let range = (self.x.from..self.x.to).log_scale();
                mesh!(range, |&at: &f64| label(&self.x, at.log10()));
            } else {
                mesh!(self.x.range(), |&at: &f64| label(&self.x, at));
            }
            root.present().map_err(refused)?;
        }
        Ok(text)
    }

    /// One layer as a group, in fine units.
    fn layer(&self, layer: &Layer, area: Area, out: &mut String) -> Result<(), PlotError> {
        let mut text = String::new();
        {
            let fine = (area.width * FINE, area.height * FINE);
            let root = SVGBackend::with_string(&mut text, fine).into_drawing_area();
            let mut chart = ChartBuilder::on(&root)
                .build_cartesian_2d(self.x.range(), self.y.range())
                .map_err(refused)?;
            let style = ShapeStyle::from(layer.colour).stroke_width(STROKE);
            let shapes = self.shapes(layer).into_iter();
            chart
                .draw_series(shapes.map(|points| PathElement::new(points, style)))
                .map_err(refused)?;
            root.present().map_err(refused)?;
        }
        let RGBColor(red, green, blue) = layer.colour;
        let colour = format!("#{red:02X}{green:02X}{blue:02X}");
        // What all shapes have in common is said once, of the group.
        let shared =
            format!("fill=\"none\" opacity=\"1\" stroke=\"{colour}\" stroke-width=\"{STROKE}\" ");
        let _ = write!(
            out,
            "<g class=\"layer {}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{STROKE}\" \
             stroke-linecap=\"round\" stroke-linejoin=\"round\">\n{}</g>\n",
            layer.class,
            inside(&text).replace(&shared, ""),
        );
        Ok(())
    }

    /// The lines that a layer is made of.
    fn shapes(&self, layer: &Layer) -> Vec<Vec<(f64, f64)>> {
        let x = |mark: &Mark| {
            let time = i64::try_from(mark.time).unwrap_or(i64::MAX);
            near(&self.x, self.x.scaled(time))
        };
        let y = |at| near(&self.y, self.y.scaled(at));
        let marks = &layer.marks;
        match layer.shape {
            Shape::Bars => marks
                .iter()
                .map(|mark| vec![(x(mark), y(mark.low)), (x(mark), y(mark.high))])
                .collect(),
            Shape::Line => vec![marks.iter().map(|mark| (x(mark), y(mark.high))).collect()],
            Shape::Steps => {
                let mut line = Vec::with_capacity(marks.len() * 2);
                for mark in marks {
                    if let Some(&(_, level)) = line.last() {
                        line.push((x(mark), level));
                    }
                    line.push((x(mark), y(mark.high)));
                }
                vec![line]
            }
        }
    }
}

/// A position that is at most an axis' length outside of it, so that the library can count in its units;
/// upright and level lines stay what they are.
fn near(axis: &Axis, at: f64) -> f64 {
    let range = axis.range();
    let length = range.end - range.start;
    at.clamp(range.start - length, range.end + length)
}

/// What is inside an SVG file's only outermost element.
fn inside(svg: &str) -> &str {
    let begin = svg
        .find("<svg")
        .and_then(|at| Some(at + svg[at..].find('>')? + 1));
    let end = svg.rfind("</svg>");
    let inside = begin.zip(end).and_then(|(begin, end)| svg.get(begin..end));
    inside.unwrap_or_default().trim_start()
}

fn refused(error: impl core::fmt::Display) -> PlotError {
    PlotError(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{Unit, colour};
    use super::*;

    fn plot() -> Plot {
        let mark = |time, low, high| Mark { time, low, high };
        let layer = |class, shape| Layer {
            name: class,
            class,
            colour: colour::BLUE,
            shape,
            marks: vec![mark(0, 0, 100), mark(500, 100, 100), mark(1000, 0, 1000)],
        };
        Plot {
            name: "test".to_owned(),
            title: "a <b> & \"c\"".to_owned(),
            notes: Vec::new(),
            x: Axis::linear("time", Unit::Time, 0.0, 1000.0),
            y: Axis::linear("octets", Unit::Octets, 0.0, 1000.0),
            layers: vec![layer("bars", Shape::Bars), layer("steps", Shape::Steps)],
            size: (800, 400),
        }
    }

    #[test]
    fn marks_lie_where_their_numbers_are() {
        let svg = plot().svg().unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let find = |class| {
            let mut all = document.descendants();
            all.find(|node| node.attribute("class") == Some(class))
                .unwrap()
        };
        let area = find("area");
        let size: Vec<i64> = area
            .attribute("viewBox")
            .unwrap()
            .split(' ')
            .map(|word| word.parse().unwrap())
            .collect();
        let lines: Vec<Vec<i64>> = find("layer bars")
            .children()
            .filter(|node| node.has_tag_name("polyline"))
            .map(|node| {
                let points = node.attribute("points").unwrap().split([' ', ',']);
                points
                    .filter(|word| !word.is_empty())
                    .map(|word| word.parse().unwrap())
                    .collect()
            })
            .collect();
        assert_eq!(lines.len(), 3);
        let (width, height) = (size[2], size[3]);
        let near = |found: &[i64], wanted: &[i64]| {
            assert!(
                found
                    .iter()
                    .zip(wanted)
                    .all(|(one, other)| one.abs_diff(*other) <= 64),
                "{found:?}, not {wanted:?}"
            );
        };
        near(&lines[0], &[0, height, 0, height * 9 / 10]);
        near(
            &lines[1],
            &[width / 2, height * 9 / 10, width / 2, height * 9 / 10],
        );
        near(&lines[2], &[width, height, width, 0]);
        let steps = find("layer steps");
        let points = steps
            .descendants()
            .find_map(|node| node.attribute("points"))
            .unwrap();
        assert_eq!(points.split_whitespace().count(), 5);
    }

    #[test]
    fn axes_have_names_and_titles_are_text() {
        let svg = plot().svg().unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let texts: Vec<_> = document
            .descendants()
            .filter_map(|node| node.text().map(str::trim))
            .collect();
        for text in ["a <b> & \"c\"", "time", "octets", "bars", "0.4 ms", "1 kB"] {
            assert!(texts.contains(&text), "{text} in {texts:?}");
        }
    }

    #[test]
    fn wild_numbers_are_drawn_somewhere() {
        let mut wild = plot();
        let mark = |time, at: i64| Mark {
            time,
            low: -at,
            high: at,
        };
        wild.layers[0].marks = vec![mark(u64::MAX, i64::MAX), mark(0, i64::MIN + 1)];
        roxmltree::Document::parse(&wild.svg().unwrap()).unwrap();
        wild.layers.clear();
        roxmltree::Document::parse(&wild.svg().unwrap()).unwrap();
    }
}
