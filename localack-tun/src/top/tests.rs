//! What is on the screen.

use core::net::SocketAddr;
use core::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::draw::page;
use super::{Action, App, Snapshot, draw};
use crate::clock::Clock;
use crate::control::protocol::{
    DirectionEntry, FlowCounts, FlowEntry, FlowList, PoolEntry, Reason, ReasonGroup, ServiceWord,
    Sort, Status, TotalsEntry,
};

fn direction(mode: &str, reason: (ReasonGroup, u8, &str), custody: u64) -> DirectionEntry {
    let (group, number, name) = reason;
    DirectionEntry {
        service: ServiceWord::LocalAck,
        arrangement: None,
        mode: mode.to_owned(),
        reason: Reason {
            group,
            number,
            name: name.to_owned(),
            text: String::new(),
        },
        rate: custody * 2,
        custody,
        debt: custody,
        acknowledged_early: custody * 100,
        saved_ms: custody / 10,
        srtt_us: 601_000,
        min_rtt_us: 598_000,
        controller: "bbr".to_owned(),
        cwnd: 100_000,
        in_flight: 50_000,
        lost: 0,
        mss: 1448,
    }
}

fn flow(number: u16, outer: &str) -> FlowEntry {
    let bypass = (ReasonGroup::Pass, 24, "bypass-service");
    FlowEntry {
        id: format!("0:{number}.1"),
        inner: SocketAddr::from(([10, 0, 0, 1], number)),
        outer: outer.parse().unwrap(),
        link: 0,
        client: "inner".to_owned(),
        state: "open".to_owned(),
        inner_to_outer: direction("local-ack", (ReasonGroup::Mode, 2, "local-ack"), 1_380_000),
        outer_to_inner: direction("bypass", bypass, 0),
    }
}

fn snapshot(flows: Vec<FlowEntry>) -> Snapshot {
    let count = flows.len() as u64;
    let totals = TotalsEntry {
        flows: FlowCounts {
            all: count,
            open: count,
            local_ack: count,
            bypass: count,
            ..FlowCounts::default()
        },
        custody: 1_380_000 * count,
        debt: 1_300_000 * count,
        rate_inner_to_outer: 2_400_000,
        rate_outer_to_inner: 0,
        acknowledged_early: 524_288_000,
        saved_ms: 217_000_000,
    };
    Snapshot {
        status: Status {
            version: "0.1.0".to_owned(),
            state: "running".to_owned(),
            uptime_ms: 90_061_001,
            inner: "lan0".to_owned(),
            outer: "sat0".to_owned(),
            config: None,
            queues: 2,
            policies: 3,
            arrangements: 2,
            flow_slots: 65_536,
            pool: PoolEntry {
                octets: 268_435_456,
                used: 1_843_200,
            },
            totals: totals.clone(),
        },
        flows: FlowList {
            sort: Sort::Custody,
            totals,
            flows,
        },
    }
}

/// The screen as text, without spaces at the ends of lines.
fn screen(app: &App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, app)).unwrap();
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(width.into()).map(|cells| {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

fn press(app: &mut App, code: KeyCode) -> Action {
    app.on_key(KeyEvent::new(code, KeyModifiers::NONE), 10)
}

fn app(flows: Vec<FlowEntry>) -> App {
    let mut app = App::new(Sort::Custody);
    app.update(Ok(snapshot(flows)));
    app
}

#[test]
fn a_usual_terminal_shows_totals_charts_and_flows() {
    let mut refused = flow(50_001, "[2001:db8::7]:443");
    refused.inner_to_outer = direction("bypass", (ReasonGroup::Demote, 3, "went-round"), 0);
    let mut inward = flow(50_002, "192.0.2.9:80");
    core::mem::swap(&mut inward.inner_to_outer, &mut inward.outer_to_inner);
    let mut app = app(vec![flow(50_000, "192.0.2.7:443"), refused, inward]);
    let mut later = app.snapshot().unwrap().clone();
    later.status.totals.saved_ms += 90_000;
    later.status.totals.custody *= 2;
    app.update(Ok(later));
    assert_eq!(
        screen(&app, 80, 24),
        "\
localack 0.1.0  running  up 1d 1h  lan0 <> sat0  queues 2  policies 3
flows 3  open 3  early 3  unproven 0  draining 0  pool 1.84 MB of 268 MB
rate 19.2 Mb/s             in custody 8.28 MB         saved 2d 12h
                        ██                          █                          █
                        ██                         ▄█                          █
                        ██                         ██                          █
INNER             OUTER                WHY                  RATE   HELDv   SAVED
10.0.0.1:50000    192.0.2.7:443     -> m2 local-ack    22.1 Mb/s 1.38 MB  2m 18s
10.0.0.1:50001    [2001:db8::7]:443 -> d3 went-round       0 b/s     0 B    0 ms
10.0.0.1:50002    192.0.2.9:80      <- m2 local-ack    22.1 Mb/s 1.38 MB  2m 18s













from 1 of 3  q quit  c custody  r rate  s saved  p pause  arrows scroll
"
    );
}

#[test]
fn a_wide_terminal_shows_arrangements_and_what_is_snooped() {
    let mut snooped = flow(50_000, "192.0.2.7:443");
    snooped.inner_to_outer = direction("snoop", (ReasonGroup::Mode, 4, "snoop"), 0);
    snooped.inner_to_outer.arrangement = Some("radio".to_owned());
    let mut app = app(vec![snooped]);
    let mut later = app.snapshot().unwrap().clone();
    later.status.totals.flows.snoop = 1;
    app.update(Ok(later));
    let shown = screen(&app, 110, 5);
    for part in ["unproven 0  snooped 1  draining 0", "ARRANGED"] {
        assert!(shown.contains(part), "{shown}");
    }
    let row = shown.lines().find(|line| line.contains("m4 snoop"));
    let words: Vec<_> = row.unwrap().split_whitespace().collect();
    assert_eq!(words[3..6], ["m4", "snoop", "radio"], "{shown}");
}

#[test]
fn a_narrow_terminal_shows_what_fits() {
    let app = app(vec![flow(50_000, "192.0.2.7:443")]);
    assert_eq!(
        screen(&app, 60, 10),
        "\
localack 0.1.0  running  up 1d 1h  lan0 <> sat0  queues 2  p
flows 1  open 1  early 1  unproven 0  draining 0  pool 1.84
INNER              WHY                  RATE   HELDv   SAVED
10.0.0.1:50000  -> m2 local-ack    22.1 Mb/s 1.38 MB  2m 18s





from 1 of 1  q quit  c custody  r rate  s saved  p pause  ar
"
    );
    // Whatever the size, something is drawn and nothing breaks.
    for width in (1..130).step_by(3) {
        for height in (1..30).step_by(2) {
            assert_eq!(
                screen(&app, width, height).lines().count(),
                usize::from(height)
            );
        }
    }
}

#[test]
fn nothing_known_no_flows_and_errors_are_told() {
    let mut app = App::new(Sort::Rate);
    assert!(screen(&app, 80, 24).contains("nothing known yet"));
    app.update(Err("/run/x.sock: no gateway answers".to_owned()));
    assert!(screen(&app, 80, 24).ends_with("/run/x.sock: no gateway answers\n"));
    app.update(Ok(snapshot(Vec::new())));
    let shown = screen(&app, 80, 24);
    assert!(
        shown.contains("no flows") && !shown.contains("answers"),
        "{shown}"
    );
    for code in [KeyCode::End, KeyCode::Down, KeyCode::PageDown, KeyCode::Up] {
        assert_eq!(press(&mut app, code), Action::None);
        assert_eq!(app.offset(), 0);
    }
}

#[test]
fn ten_thousand_flows_cost_no_more_than_a_screen() {
    let flows = |count: u16| {
        (0..count)
            .map(|number| flow(number, "192.0.2.7:443"))
            .collect()
    };
    let (few, mut many) = (app(flows(100)), app(flows(10_000)));
    assert_eq!(many.in_view(15).len(), 15);
    let time = |app: &App| {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let mut once = || {
            let clock = Clock::start();
            terminal.draw(|frame| draw(frame, app)).unwrap();
            clock.now()
        };
        (0..20).map(|_| once()).min().unwrap()
    };
    let (short, long) = (time(&few), time(&many));
    assert!(
        long < short * 4 + Duration::from_millis(1),
        "{short:?} {long:?}"
    );

    press(&mut many, KeyCode::End);
    let shown = screen(&many, 80, 24);
    assert!(
        shown.contains("10.0.0.1:9999") && shown.contains("from 10000 of 10000"),
        "{shown}"
    );
    press(&mut many, KeyCode::PageUp);
    assert_eq!(many.offset(), 9989);
    press(&mut many, KeyCode::Home);
    press(&mut many, KeyCode::Down);
    assert!(!screen(&many, 80, 24).contains("10.0.0.1:0 "));
    // The list became shorter.
    press(&mut many, KeyCode::End);
    many.update(Ok(snapshot(flows(3))));
    assert_eq!(many.offset(), 2);
}

#[test]
fn keys_do_what_the_foot_says() {
    let mut app = app(vec![flow(1, "192.0.2.7:443"), flow(2, "192.0.2.7:443")]);
    press(&mut app, KeyCode::Down);
    assert_eq!(
        press(&mut app, KeyCode::Char('r')),
        Action::Sort(Sort::Rate)
    );
    assert_eq!(app.offset(), 0);
    assert!(screen(&app, 80, 24).contains("RATEv"));
    assert_eq!(
        press(&mut app, KeyCode::Char('s')),
        Action::Sort(Sort::Saved)
    );
    assert_eq!(
        press(&mut app, KeyCode::Char('c')),
        Action::Sort(Sort::Custody)
    );
    press(&mut app, KeyCode::Char('p'));
    app.update(Ok(snapshot(Vec::new())));
    let paused = screen(&app, 80, 24);
    assert!(
        paused.contains("PAUSED") && paused.contains("10.0.0.1:2"),
        "{paused}"
    );
    press(&mut app, KeyCode::Char('p'));
    app.update(Ok(snapshot(Vec::new())));
    assert!(screen(&app, 80, 24).contains("no flows"));
    assert_eq!(press(&mut app, KeyCode::Char('q')), Action::Quit);
    let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(app.on_key(control, 10), Action::Quit);
}

#[test]
fn a_page_is_what_the_table_shows() {
    assert_eq!(page(24), 24 - 2 - 4 - 1 - 1);
    assert_eq!(page(10), 10 - 2 - 1 - 1);
    assert_eq!(page(1), 0);
}
