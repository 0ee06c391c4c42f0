//! Checks that run beside the engine on every replay.

use core::fmt;

use localack_core::{Instant, TransmitKind};

use super::shadow::Shadow;
use crate::conversation::{Conversation, End};
use crate::dissect::{Flags, Segment, Sum};

/// Violations that are remembered in words; more are only counted.
const DESCRIBED: usize = 20;
/// Octets of one direction that are remembered to compare with.
pub(crate) const SHADOW: usize = 1 << 24;

/// What was checked and what was found.
#[derive(Debug, Default)]
pub struct Checker {
    checked: u64,
    violations: u64,
    described: Vec<Violation>,
}

/// A broken promise.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The captured packet that was being processed, counted from 1.
    pub packet: u64,
    /// Virtual time.
    pub time: Instant,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "packet {} at {} us: {}",
            self.packet,
            self.time.as_micros(),
            self.what
        )
    }
}

/// Where in the replay something is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) packet: u64,
    pub(crate) time: Instant,
}

impl Checker {
    /// Checks that were made.
    #[must_use]
    pub const fn checked(&self) -> u64 {
        self.checked
    }

    /// Checks that failed.
    #[must_use]
    pub const fn violations(&self) -> u64 {
        self.violations
    }

    /// The first of them.
    #[must_use]
    pub fn described(&self) -> &[Violation] {
        &self.described
    }

    /// Counts one check; `what` says what is wrong if it failed.
    pub(crate) fn expect(&mut self, moment: Moment, holds: bool, what: impl FnOnce() -> String) {
        self.checked += 1;
        if holds {
            return;
        }
        self.violations += 1;
        if self.described.len() < DESCRIBED {
            self.described.push(Violation {
                packet: moment.packet,
                time: moment.time,
                what: what(),
            });
        }
    }

    /// A packet goes to `to` with an acknowledgement that is the engine's: nothing may be
    /// acknowledged that was not captured before.
    pub(crate) fn acknowledgement(
        &mut self,
        moment: Moment,
        conversation: &Conversation,
        to: End,
        segment: &Segment,
    ) {
        if !segment.flags.has(Flags::ACK) {
            return;
        }
        let position = conversation.position(to, segment.ack);
        let limit = conversation.acknowledgeable(to);
        let holds = position
            .zip(limit)
            .is_some_and(|(position, limit)| position <= limit);
        self.expect(moment, holds, || {
            let beyond = position
                .zip(limit)
                .map_or(0, |(position, limit)| position - limit);
            format!(
                "{}: {beyond} octets acknowledged that were not captured",
                name(segment)
            )
        });
    }

    /// A packet made by the engine carries data of a sender: each octet must be as captured.
    pub(crate) fn data(
        &mut self,
        moment: Moment,
        conversation: &Conversation,
        from: End,
        shadow: &Shadow,
        segment: &Segment,
        payload: &[u8],
    ) {
        let Some(start) = conversation.position(from, segment.payload_seq()) else {
            self.expect(moment, false, || {
                format!("{}: data of a sender never seen", name(segment))
            });
            return;
        };
        self.expect(moment, !shadow.contradicts(start, payload), || {
            format!("{}: data differs from what was captured", name(segment))
        });
        let end = start + payload.len() as i64;
        let limit = conversation.acknowledgeable(from);
        self.expect(moment, limit.is_some_and(|limit| end <= limit), || {
            format!("{}: data beyond what was captured", name(segment))
        });
    }

    /// A packet made by the engine needs a right checksum.
    pub(crate) fn made(&mut self, moment: Moment, kind: TransmitKind, segment: Option<&Segment>) {
        let holds = segment.is_some_and(|segment| segment.sum == Sum::Good);
        self.expect(moment, holds, || {
            let name = segment.map_or_else(|| "unreadable packet".to_owned(), name);
            format!("{name}: a {} without a right checksum", kind.slug())
        });
    }

    /// An edited packet has a right checksum exactly if its source had one (rule H1.8); one that a
    /// network card is to complete is left to it.
    pub(crate) fn edited(
        &mut self,
        moment: Moment,
        before: &Segment,
        after: Option<&Segment>,
        is_partial: bool,
    ) {
        let holds = after.is_some_and(|after| {
            if is_partial {
                after.checksum == before.checksum
            } else {
                (after.sum == Sum::Good) == (before.sum == Sum::Good)
            }
        });
        self.expect(moment, holds, || {
            format!("{}: its checksum was falsified", name(before))
        });
    }

    /// An edited packet's payload is the captured one.
    pub(crate) fn payload(&mut self, moment: Moment, segment: &Segment, unchanged: bool) {
        self.expect(moment, unchanged, || {
            format!("{}: its payload was changed", name(segment))
        });
    }

    /// Custody fits the memory that was lent.
    pub(crate) fn custody(&mut self, moment: Moment, custody: u64, lent: u64) {
        self.expect(moment, custody <= lent, || {
            format!("{custody} octets in custody, {lent} were lent")
        });
    }
}

/// A segment for a message.
fn name(segment: &Segment) -> String {
    let (source, target) = (segment.source, segment.target);
    format!(
        "{} > {} seq {} ack {}",
        crate::report::endpoint(source),
        crate::report::endpoint(target),
        segment.seq,
        segment.ack
    )
}
