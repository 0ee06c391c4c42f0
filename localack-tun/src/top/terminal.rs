//! The terminal: taken over, and given back whatever happens.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use ratatui::crossterm::event::{self, Event, KeyEventKind};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::app::{Action, App};
use super::draw::{draw, page};
use super::feed::Feed;
use crate::control::protocol::Sort;

/// How long keys are waited for before it is looked for news.
const GLANCE: Duration = Duration::from_millis(100);

/// Why the view ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopError {
    /// There is no terminal.
    #[error("this needs a terminal; `localack-tun ctl flows --watch` does not")]
    NoTerminal,
    /// The terminal, or the system, fails.
    #[error("the terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// Shows the gateway behind `socket` until `q` or a signal.
///
/// # Errors
/// [`TopError`]. The terminal is as before in any case, after a panic too.
pub fn run(socket: PathBuf, sort: Sort) -> Result<(), TopError> {
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return Err(TopError::NoTerminal);
    }
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&ended))?;
    }
    let feed = Feed::start(socket, sort)?;
    // It gives the terminal back in a panic too.
    let mut terminal = ratatui::try_init()?;
    let outcome = show(&mut terminal, &feed, App::new(sort), &ended);
    ratatui::try_restore()?;
    outcome
}

fn show(
    terminal: &mut ratatui::DefaultTerminal,
    feed: &Feed,
    mut app: App,
    ended: &AtomicBool,
) -> Result<(), TopError> {
    let mut is_stale = true;
    while !ended.load(Ordering::Relaxed) {
        for news in feed.news.try_iter() {
            app.update(news);
            is_stale = true;
        }
        if is_stale {
            terminal.draw(|frame| draw(frame, &app))?;
            is_stale = false;
        }
        if !event::poll(GLANCE)? {
            continue;
        }
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                match app.on_key(key, page(terminal.size()?.height)) {
                    Action::None => {}
                    Action::Sort(sort) => feed.order(sort),
                    Action::Quit => return Ok(()),
                }
                is_stale = true;
            }
            Event::Resize(..) => is_stale = true,
            _ => {}
        }
    }
    Ok(())
}
