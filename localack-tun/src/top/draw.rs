//! The view, drawn.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Sparkline, Table};

use super::app::App;
use crate::control::human;
use crate::control::protocol::{
    DirectionEntry, FlowEntry, PoolEntry, Reason, ReasonGroup, Sort, Status,
};

/// Rows of a chart with its title.
const CHART: u16 = 4;
/// Lines of the table that are no flows: its heading.
const HEADING: u16 = 1;
/// Without so many lines there are no charts.
const LEAST_FOR_CHARTS: u16 = 14;
/// Without so many columns the round-trip times are left out.
const LEAST_FOR_RTT: u16 = 92;
/// Without so many columns arrangements are left out.
const LEAST_FOR_ARRANGED: u16 = 108;
/// Without so many columns there is only what fits: one end and what is done.
const LEAST_FOR_ENDS: u16 = 64;

/// Rows for flows in a terminal of this height.
pub(super) fn page(height: u16) -> usize {
    let [_, _, table, _] = areas(Rect::new(0, 0, 80, height));
    usize::from(table.height.saturating_sub(HEADING))
}

/// Heading, charts, table and foot.
fn areas(area: Rect) -> [Rect; 4] {
    let charts = if area.height >= LEAST_FOR_CHARTS {
        CHART
    } else {
        0
    };
    Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(charts),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area)
}

/// Draws the app as it is. The work is bounded by the size of the terminal, however many flows there
/// are.
pub fn draw(frame: &mut Frame<'_>, app: &App) {
    let [head, charts, table, foot] = areas(frame.area());
    frame.render_widget(Paragraph::new(heading(app)), head);
    draw_charts(frame, app, charts);
    draw_table(frame, app, table);
    frame.render_widget(Paragraph::new(footing(app)), foot);
}

fn heading(app: &App) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else {
        return vec![Line::from("localack"), Line::from("nothing known yet")];
    };
    let Status {
        version,
        state,
        uptime_ms,
        inner,
        outer,
        queues,
        policies,
        pool: PoolEntry { octets, used },
        totals,
        ..
    } = &snapshot.status;
    let flows = &totals.flows;
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let state_style = if state == "running" {
        bold.fg(Color::Green)
    } else {
        bold.fg(Color::Yellow)
    };
    let snooped = match flows.snoop {
        0 => String::new(),
        some => format!("  snooped {some}"),
    };
    vec![
        Line::from(vec![
            Span::styled(format!("localack {version}  "), bold),
            Span::styled(state.clone(), state_style),
            Span::raw(format!(
                "  up {}  {inner} <> {outer}  queues {queues}  policies {policies}",
                human::milliseconds(*uptime_ms)
            )),
        ]),
        Line::from(format!(
            "flows {}  open {}  early {}  unproven {}{snooped}  draining {}  pool {} of {}",
            flows.all,
            flows.open,
            flows.local_ack,
            flows.store_and_forward,
            flows.draining,
            human::octets(*used),
            human::octets(*octets),
        )),
    ]
}

fn draw_charts(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let history = app.history();
    let saved_in_all = app
        .snapshot()
        .map_or(0, |snapshot| snapshot.status.totals.saved_ms);
    let last = |values: &VecDeque<u64>| values.back().copied().unwrap_or(0);
    let charts = [
        (
            format!("rate {}", human::rate(last(&history.rate))),
            &history.rate,
            Color::Cyan,
        ),
        (
            format!("in custody {}", human::octets(last(&history.custody))),
            &history.custody,
            Color::Yellow,
        ),
        (
            format!("saved {}", human::milliseconds(saved_in_all)),
            &history.saved,
            Color::Green,
        ),
    ];
    let places: [Rect; 3] = Layout::horizontal([Constraint::Fill(1); 3])
        .spacing(1)
        .areas(area);
    for ((title, values, color), place) in charts.into_iter().zip(places) {
        let [above, below] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(place);
        frame.render_widget(Paragraph::new(title), above);
        // The newest at the right edge.
        let wide = usize::from(below.width);
        let shown = values
            .iter()
            .skip(values.len().saturating_sub(wide))
            .copied();
        let data: Vec<u64> = core::iter::repeat_n(0, wide.saturating_sub(values.len()))
            .chain(shown)
            .collect();
        let chart = Sparkline::default()
            .data(&data)
            .style(Style::new().fg(color));
        frame.render_widget(chart, below);
    }
}

fn draw_table(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let rows = usize::from(area.height.saturating_sub(HEADING));
    let shown = app.in_view(rows);
    let columns = Columns::of(area.width);
    let heading = Row::new(columns.heading(app.sort()))
        .style(Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED));
    let rows = shown.iter().map(|flow| columns.row(flow));
    let table = Table::new(rows, columns.widths())
        .header(heading)
        .column_spacing(1);
    frame.render_widget(table, area);
    if app.snapshot().is_some() && shown.is_empty() && area.height > HEADING {
        let place = Rect {
            y: area.y + HEADING,
            height: 1,
            ..area
        };
        frame.render_widget(Paragraph::new("no flows"), place);
    }
}

fn footing(app: &App) -> Line<'static> {
    if let Some(error) = app.error() {
        let style = Style::new().fg(Color::Red);
        return Line::styled(error.to_owned(), style);
    }
    let flows = app
        .snapshot()
        .map_or(0, |snapshot| snapshot.flows.flows.len());
    let place = match flows {
        0 => String::new(),
        _ => format!("from {} of {flows}  ", app.offset() + 1),
    };
    let paused = if app.is_paused() { "PAUSED  " } else { "" };
    Line::from(format!(
        "{paused}{place}q quit  c custody  r rate  s saved  p pause  arrows scroll"
    ))
}

/// The columns that a width has room for.
struct Columns {
    /// Columns for each end's address.
    end: u16,
    has_outer: bool,
    has_rtt: bool,
    has_arranged: bool,
}

const WHY: u16 = 15;
const ARRANGED: u16 = 14;
const RATE: u16 = 9;
const CUSTODY: u16 = 7;
const SAVED: u16 = 7;
const RTT: u16 = 7;

impl Columns {
    fn of(width: u16) -> Self {
        let has_outer = width >= LEAST_FOR_ENDS;
        let has_rtt = width >= LEAST_FOR_RTT;
        let has_arranged = width >= LEAST_FOR_ARRANGED;
        // A space before each, and two columns for the arrow.
        let mut fixed = 2 + 1 + WHY + 1 + RATE + 1 + CUSTODY + 1 + SAVED + 1;
        if has_rtt {
            fixed += 1 + RTT;
        }
        if has_arranged {
            fixed += 1 + ARRANGED;
        }
        let room = width.saturating_sub(fixed);
        let end = if has_outer {
            room.saturating_sub(1) / 2
        } else {
            room
        };
        Self {
            end,
            has_outer,
            has_rtt,
            has_arranged,
        }
    }

    fn widths(&self) -> Vec<Constraint> {
        let mut widths = vec![self.end];
        if self.has_outer {
            widths.push(self.end);
        }
        widths.extend([2, WHY]);
        if self.has_arranged {
            widths.push(ARRANGED);
        }
        widths.extend([RATE, CUSTODY, SAVED]);
        if self.has_rtt {
            widths.push(RTT);
        }
        widths.into_iter().map(Constraint::Length).collect()
    }

    fn heading(&self, sort: Sort) -> Vec<Cell<'static>> {
        let mark = |name: &str, of: Sort| {
            let mark = if sort == of { "v" } else { "" };
            Line::from(format!("{name}{mark}")).right_aligned().into()
        };
        let mut cells: Vec<Cell<'static>> = vec!["INNER".into()];
        if self.has_outer {
            cells.push("OUTER".into());
        }
        cells.extend(["".into(), "WHY".into()]);
        if self.has_arranged {
            cells.push("ARRANGED".into());
        }
        cells.extend([
            mark("RATE", Sort::Rate),
            mark("HELD", Sort::Custody),
            mark("SAVED", Sort::Saved),
        ]);
        if self.has_rtt {
            cells.push(Line::from("RTT").right_aligned().into());
        }
        cells
    }

    fn row(&self, flow: &FlowEntry) -> Row<'static> {
        let (arrow, direction) = foremost(flow);
        let right = |text: String| Cell::from(Line::from(text).right_aligned());
        let mut cells: Vec<Cell<'static>> = vec![end(&flow.inner.to_string(), self.end).into()];
        if self.has_outer {
            cells.push(end(&flow.outer.to_string(), self.end).into());
        }
        cells.extend([
            arrow.into(),
            Cell::from(why(&direction.reason)).style(color(&direction.reason)),
        ]);
        if self.has_arranged {
            let name = direction.arrangement.as_deref().unwrap_or_default();
            cells.push(name.to_owned().into());
        }
        cells.extend([
            right(human::rate(direction.rate)),
            right(human::octets(direction.custody)),
            right(human::milliseconds(direction.saved_ms)),
        ]);
        if self.has_rtt {
            cells.push(right(human::milliseconds(direction.srtt_us / 1000)));
        }
        Row::new(cells)
    }
}

/// The direction in which most is going on, and an arrow for it.
fn foremost(flow: &FlowEntry) -> (&'static str, &DirectionEntry) {
    let weight = |direction: &DirectionEntry| {
        let is_served = direction.mode != "bypass";
        (
            is_served,
            direction.custody,
            direction.rate,
            direction.saved_ms,
        )
    };
    if weight(&flow.outer_to_inner) > weight(&flow.inner_to_outer) {
        ("<-", &flow.outer_to_inner)
    } else {
        ("->", &flow.inner_to_outer)
    }
}

/// The end of an address that fits: ports tell more apart than networks.
fn end(text: &str, width: u16) -> String {
    let width = usize::from(width);
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = text
        .chars()
        .skip(length - width.saturating_sub(1).min(length));
    if width == 0 {
        String::new()
    } else {
        core::iter::once('\u{2026}').chain(kept).collect()
    }
}

/// A reason, short: a letter for its group, its number, its name.
fn why(reason: &Reason) -> String {
    let letter = match reason.group {
        ReasonGroup::Mode => 'm',
        ReasonGroup::Pass => 'p',
        ReasonGroup::Demote => 'd',
        ReasonGroup::Unknown => '?',
    };
    format!("{letter}{} {}", reason.number, reason.name)
}

fn color(reason: &Reason) -> Style {
    match (reason.group, reason.name.as_str()) {
        (ReasonGroup::Mode, "local-ack" | "snoop") => Style::new().fg(Color::Green),
        (ReasonGroup::Demote, _) => Style::new().fg(Color::Red),
        (ReasonGroup::Mode, _) => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    }
}
