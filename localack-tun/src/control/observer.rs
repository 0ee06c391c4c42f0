//! What all of the operator's interfaces know of a gateway together.

use core::time::Duration;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::backend::{Backend, BackendError};
use super::protocol::{FlowEntry, FlowName, Sort, TotalsEntry};
use super::savings::{Ledger, Standing};
use super::{Seen, Selection, Totals};
use crate::clock::Clock;

/// How often flows are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Watches a gateway: looks at its flows every second, and answers for it. The control socket and the
/// metrics share one.
pub struct Observer {
    shared: Arc<Shared>,
    /// The thread ends when this is dropped.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    backend: Arc<dyn Backend>,
    ledger: Mutex<Ledger>,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A number that is missing would be better than no answers.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters what has been saved in `interval`. Whether it could be found out.
    fn enter(&self, interval: Duration) -> bool {
        match self.backend.collect(Selection::samples()) {
            Ok(selection) => {
                self.ledger().enter(&selection.into_samples(), interval);
                true
            }
            Err(_) => false,
        }
    }
}

impl Observer {
    /// Begins to watch `backend`, in a thread of its own.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start(backend: Arc<dyn Backend>) -> std::io::Result<Arc<Self>> {
        let shared = Arc::new(Shared {
            backend,
            ledger: Mutex::default(),
        });
        let (end, ended) = channel();
        let watched = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("observer".to_owned())
            .spawn(move || {
                let clock = Clock::start();
                let mut entered = clock.now();
                while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    let now = clock.now();
                    if watched.enter(now.saturating_sub(entered)) {
                        entered = now;
                    }
                }
            })?;
        Ok(Arc::new(Self {
            shared,
            end: Some(end),
            thread: Some(thread),
        }))
    }

    /// The gateway.
    #[must_use]
    pub fn backend(&self) -> &dyn Backend {
        &*self.shared.backend
    }

    /// What is known of all flows beside the engines' accounts, inner to outer first.
    #[must_use]
    pub fn standings(&self) -> [Standing; 2] {
        self.shared.ledger().totals()
    }

    /// What all flows have together.
    ///
    /// # Errors
    /// As [`Backend::collect`].
    pub fn totals(&self) -> Result<Totals, BackendError> {
        let selection = Selection::greatest(0);
        let selection = self.backend().collect(selection)?;
        Ok(selection.totals().clone())
    }

    /// The greatest flows and what all have together.
    pub(super) fn flows(
        &self,
        sort: Sort,
        limit: usize,
    ) -> Result<(TotalsEntry, Vec<FlowEntry>), BackendError> {
        let by = |measure: fn(&Standing) -> u64| {
            let measures = self.shared.ledger().measures(measure);
            Selection::by(measures, limit)
        };
        let selection = match sort {
            Sort::Custody => Selection::greatest(limit),
            Sort::Rate => by(|standing| standing.rate),
            Sort::Saved => by(|standing| standing.saving.milliseconds()),
        };
        let selection = self.backend().collect(selection)?;
        let policies = self.backend().policies();
        let ledger = self.shared.ledger();
        let totals = TotalsEntry::new(selection.totals(), &ledger.totals());
        let entry = |seen: &Seen| {
            let standings = ledger.of(seen.queue, seen.flow.id);
            let causes = self.backend().demoted(seen.queue, seen.flow.id);
            FlowEntry::new(seen, &standings, causes, policies.arrangements())
        };
        let flows = selection.into_flows().iter().map(entry).collect();
        Ok((totals, flows))
    }

    /// Flows of this name, at most `limit`.
    pub(super) fn named(&self, name: &FlowName, limit: usize) -> Result<Vec<Seen>, BackendError> {
        let selection = Selection::named(name, limit).map_err(BackendError::Refused)?;
        Ok(self.backend().collect(selection)?.into_flows())
    }

    /// Enters what has been saved in `interval`, instead of the thread.
    #[cfg(test)]
    pub(crate) fn enter(&self, interval: Duration) {
        assert!(self.shared.enter(interval));
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say if it has panicked: the panic was printed.
            let _ = thread.join();
        }
    }
}

impl core::fmt::Debug for Observer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}
