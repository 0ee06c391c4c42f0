//! What is shown, and what keys do to it.

use std::collections::VecDeque;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::control::protocol::{FlowEntry, FlowList, Sort, Status, TotalsEntry};

/// Seconds that are remembered.
const HISTORY: usize = 240;

/// What the gateway said at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The gateway as a whole.
    pub status: Status,
    /// Its greatest flows.
    pub flows: FlowList,
}

/// What a key leads to beyond the app itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Flows are wanted in this order.
    Sort(Sort),
    /// The end.
    Quit,
}

/// The state of the view.
#[derive(Debug, Default)]
pub struct App {
    snapshot: Option<Snapshot>,
    /// Why there is nothing new.
    error: Option<String>,
    sort: Sort,
    /// Flows above the first that is shown.
    offset: usize,
    is_paused: bool,
    history: History,
}

/// The last values of what is drawn over time, the newest last.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Octets per second, both directions.
    pub(super) rate: VecDeque<u64>,
    /// Octets held.
    pub(super) custody: VecDeque<u64>,
    /// Milliseconds saved since the value before.
    pub(super) saved: VecDeque<u64>,
    /// The sum so far, of which the last step was taken.
    saved_ms: Option<u64>,
}

impl History {
    fn push(&mut self, totals: &TotalsEntry) {
        let rate = totals
            .rate_inner_to_outer
            .saturating_add(totals.rate_outer_to_inner);
        // A gateway that began anew begins at nothing.
        let before = self
            .saved_ms
            .replace(totals.saved_ms)
            .unwrap_or(totals.saved_ms);
        let saved = totals.saved_ms.saturating_sub(before);
        for (values, value) in [
            (&mut self.rate, rate),
            (&mut self.custody, totals.custody),
            (&mut self.saved, saved),
        ] {
            if values.len() == HISTORY {
                values.pop_front();
            }
            values.push_back(value);
        }
    }
}

impl App {
    /// A view that knows nothing yet and wants flows in this order.
    #[must_use]
    pub fn new(sort: Sort) -> Self {
        Self {
            sort,
            ..Self::default()
        }
    }

    /// Takes over what the gateway says, or why it says nothing; ignored while the view is paused.
    pub fn update(&mut self, news: Result<Snapshot, String>) {
        if self.is_paused {
            return;
        }
        match news {
            Ok(snapshot) => {
                self.history.push(&snapshot.status.totals);
                self.snapshot = Some(snapshot);
                self.error = None;
            }
            Err(error) => self.error = Some(error),
        }
        self.scroll_to(self.offset);
    }

    /// Does what a key is for; a page has `page` flows.
    pub fn on_key(&mut self, key: KeyEvent, page: usize) -> Action {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Action::Quit,
            KeyCode::Char('q') | KeyCode::Esc => return Action::Quit,
            KeyCode::Char('c') => return self.sort_by(Sort::Custody),
            KeyCode::Char('r') => return self.sort_by(Sort::Rate),
            KeyCode::Char('s') => return self.sort_by(Sort::Saved),
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Down | KeyCode::Char('j') => self.scroll_to(self.offset.saturating_add(1)),
            KeyCode::Up | KeyCode::Char('k') => self.scroll_to(self.offset.saturating_sub(1)),
            KeyCode::PageDown => self.scroll_to(self.offset.saturating_add(page)),
            KeyCode::PageUp => self.scroll_to(self.offset.saturating_sub(page)),
            KeyCode::Home | KeyCode::Char('g') => self.scroll_to(0),
            KeyCode::End | KeyCode::Char('G') => self.scroll_to(usize::MAX),
            _ => {}
        }
        Action::None
    }

    fn sort_by(&mut self, sort: Sort) -> Action {
        self.sort = sort;
        self.offset = 0;
        Action::Sort(sort)
    }

    /// At least the last flow stays in view.
    fn scroll_to(&mut self, offset: usize) {
        let flows = self
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.flows.flows.len());
        self.offset = offset.min(flows.saturating_sub(1));
    }

    pub(super) const fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    pub(super) const fn history(&self) -> &History {
        &self.history
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.is_paused
    }

    pub(super) const fn sort(&self) -> Sort {
        self.sort
    }

    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    /// The flows that `rows` rows have room for; nothing else of the list is looked at.
    pub(super) fn in_view(&self, rows: usize) -> &[FlowEntry] {
        let flows = self
            .snapshot
            .as_ref()
            .map_or(&[][..], |snapshot| &snapshot.flows.flows);
        let rest = flows.get(self.offset..).unwrap_or_default();
        rest.get(..rows).unwrap_or(rest)
    }
}
