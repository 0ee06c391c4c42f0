//! Plots as SVG, without fonts or anything else of the machine they are drawn on.
//!
//! A plot's curves are layers over its axes. They are drawn in a finer unit than pixels, so that a reader can
//! zoom into them: the area between the axes is an `svg` element of its own, whose `viewBox` says
//! what is shown.

mod axis;
mod draw;
mod of_flow;
mod of_what_if;

use plotters::style::RGBColor;

use crate::trace::Mark;

pub use axis::{Axis, Unit};
pub use of_flow::{custody, sequence, waits};
pub use of_what_if::{completion, progress};

/// Width and height of a plot, in pixels.
pub type Size = (u32, u32);

/// One plot.
#[derive(Debug, Clone)]
pub struct Plot {
    /// Its name in file names: lower case letters, digits and hyphens.
    pub name: String,
    /// What it shows, for its head and for those who cannot see it.
    pub title: String,
    /// What has to be said about it: what was left out.
    pub notes: Vec<String>,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
    /// What is drawn, the first one at the back.
    pub layers: Vec<Layer>,
    /// How large it is.
    pub size: Size,
}

/// One thing that is drawn in a plot.
#[derive(Debug, Clone)]
pub struct Layer {
    /// What it is called in the legend.
    pub name: &'static str,
    /// The class of its group: a lower-case word.
    pub class: &'static str,
    /// Its colour.
    pub colour: RGBColor,
    /// How its marks are drawn.
    pub shape: Shape,
    /// What is drawn.
    pub marks: Vec<Mark>,
}

/// How marks are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An upright bar for each.
    Bars,
    /// A line that stays level until the next mark.
    Steps,
    /// A straight line from mark to mark.
    Line,
}

/// Why a plot could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw a plot: {0}")]
pub struct PlotError(String);

/// Colours that people with any colour vision can tell apart (after Okabe and Ito).
pub(crate) mod colour {
    use plotters::style::RGBColor;

    pub(crate) const BLUE: RGBColor = RGBColor(0, 114, 178);
    pub(crate) const SKY: RGBColor = RGBColor(86, 180, 233);
    pub(crate) const GREEN: RGBColor = RGBColor(0, 158, 115);
    pub(crate) const ORANGE: RGBColor = RGBColor(230, 159, 0);
    pub(crate) const VERMILION: RGBColor = RGBColor(213, 94, 0);
    pub(crate) const PURPLE: RGBColor = RGBColor(204, 121, 167);
    pub(crate) const PINK: RGBColor = RGBColor(225, 40, 130);
    pub(crate) const GREY: RGBColor = RGBColor(140, 140, 140);
}
