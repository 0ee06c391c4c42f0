//! An application that writes by a script.

use core::time::Duration;
use std::collections::VecDeque;

use localack_core::Instant;

/// One step of a scripted application: it waits until so much has arrived, then for a while, and then
/// writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Write {
    /// Octets that must have arrived from the peer, in order, since the connection began.
    pub after: u64,
    /// How long it waits once they have arrived and the step before is done, or, as its first step,
    /// once the handshake is over.
    pub wait: Duration,
    /// Octets that it then writes at once; none, if it only waits.
    pub octets: u64,
}

/// What a scripted application still has to do.
#[derive(Clone, Debug)]
pub(super) struct Application {
    steps: VecDeque<Write>,
    /// Whether it closes after the last step.
    closes: bool,
    /// When the next step is due, once its octets have arrived.
    due: Option<Instant>,
}

impl Application {
    pub(super) fn new(steps: impl IntoIterator<Item = Write>, closes: bool) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            closes,
            due: None,
        }
    }

    /// When the next step is due.
    pub(super) const fn next_at(&self) -> Option<Instant> {
        self.due
    }

    /// Does what is due with `received` octets; answers how much is written, and whether it closes.
    ///
    /// To be called whenever octets have arrived: that is how it knows when they have.
    pub(super) fn advance(&mut self, now: Instant, received: u64) -> (u64, bool) {
        let mut written = 0;
        while let Some(&step) = self.steps.front() {
            if self.due.is_none() && received >= step.after {
                self.due = Some(now.after(step.wait));
            }
            if self.due.is_none_or(|due| due > now) {
                return (written, false);
            }
            written += step.octets;
            self.steps.pop_front();
            self.due = None;
        }
        (written, core::mem::take(&mut self.closes))
    }
}
