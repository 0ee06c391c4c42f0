//! The report as one HTML file that needs nothing else: no network, no fonts, no other files.
//!
//! What is said in it is what the text report and the JSON form say. Its plots are SVG; a script makes
//! them answer to pointer and keys and sorts the table, and without it both are there all the same.

mod figure;
mod flows;
mod summary;
mod what_if;
mod words;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::plot::{Plot, PlotError, waits};
use crate::replay::Options;
use crate::report::{Report, Sort};
use crate::trace::Traces;
use crate::whatif::Chosen;
use figure::figure;
use flows::Section;

/// Conversations that the table shows at most; all others are in the JSON form.
pub const ROWS: usize = 10_000;
/// Conversations that are drawn at most, however many are asked for.
pub const DRAWN: usize = 200;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Nothing may be fetched, from wherever.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
                      script-src 'unsafe-inline'";

/// What a page is made of.
#[derive(Debug, Clone, Copy)]
pub struct Content<'r> {
    /// What to call the capture.
    pub name: &'r str,
    /// The figures.
    pub report: &'r Report,
    /// What is drawn.
    pub traces: &'r Traces,
    /// How the engine was set.
    pub options: &'r Options,
    /// Conversations that are drawn.
    pub top: usize,
    /// Which ones come first.
    pub sort: Sort,
    /// What is foretold of those that are drawn ([`Content::drawn`]), if that was asked for.
    pub what_if: Option<&'r Chosen>,
}

impl Content<'_> {
    /// Which of a report's conversations a page draws.
    #[must_use]
    pub fn drawn(report: &Report, top: usize, sort: Sort) -> Vec<usize> {
        report.order(sort).take(top.min(DRAWN)).collect()
    }
}

/// A page, and the plots in it.
#[derive(Debug)]
pub struct Page {
    /// The HTML text.
    pub html: String,
    /// The plots, with the names their files may have and their SVG text.
    pub plots: Vec<(String, String)>,
}

impl Page {
    /// Makes the page.
    ///
    /// # Errors
    /// [`PlotError`] if a plot cannot be drawn.
    pub fn new(content: &Content<'_>) -> Result<Self, PlotError> {
        let report = content.report;
        let order: Vec<_> = report.order(content.sort).collect();
        let mut drawn = Drawn::default();
        let [captured, engine] = content.traces.waits();
        let all_waits = waits(
            "waits",
            "Waits for acknowledgements, all conversations",
            captured,
            Some(engine),
        );
        let all_waits = all_waits.map(|plot| drawn.draw(plot, None)).transpose()?;
        let chosen = Content::drawn(report, content.top, content.sort);
        let count = chosen.len();
        let sections = chosen
            .into_iter()
            .map(|index| Section::new(content, index, &mut drawn));
        let sections = sections.collect::<Result<Vec<_>, _>>()?;
        let rows: Vec<_> = order.iter().copied().take(ROWS).collect();
        let body = html! {
            header {
                h1 { "What local acknowledgement would have done" }
                p.source { "Capture: " code { (content.name) } }
                nav aria-label="Contents" {
                    ul {
                        li { a href="#summary" { "Summary" } }
                        li { a href="#flows" { "Conversations" } }
                        @if count > 0 { li { a href="#graphs" { "Graphs" } } }
                        li { a href="#apart" { "Left alone" } }
                        li { a href="#engine" { "Engine" } }
                    }
                }
            }
            main {
                section #summary { (summary::summary(content)) (all_waits.unwrap_or_default()) }
                section #flows { (flows::table(report, &rows, count)) }
                @if count > 0 {
                    section #graphs {
                        h2 { "Graphs" }
                        p.help {
                            "Drag over a part of a graph to enlarge it; the graphs of a conversation go along in time. "
                            "With a graph in focus the wheel and the keys + and \u{2212} zoom, arrows move, and 0, Esc or a double click "
                            "shows all again. Point at a graph to read it; a tick in its legend hides or shows a part of it."
                        }
                        @for section in &sections { (section.markup()) }
                    }
                }
                section #apart { (summary::left_alone(report)) }
                section #engine { (summary::engine(content)) }
            }
            footer {
                "Made by localack-pcap " (env!("CARGO_PKG_VERSION")) ". This file needs no network and sends nothing."
            }
        };
        Ok(Self {
            html: document(content.name, &body).into_string(),
            plots: drawn.plots,
        })
    }
}

fn document(name: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Local acknowledgement: " (name) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// The plots drawn so far.
#[derive(Debug, Default)]
struct Drawn {
    plots: Vec<(String, String)>,
}

impl Drawn {
    /// Draws a plot; those with the same link show the same stretch of time.
    fn draw(&mut self, plot: Plot, link: Option<usize>) -> Result<Markup, PlotError> {
        let svg = plot.svg()?;
        let markup = figure(&plot, &svg, link);
        self.plots.push((plot.name, svg));
        Ok(markup)
    }
}
