//! Events of the engines as lines of the log.
//!
//! Workers write nothing: they put events into a queue that never blocks, and a thread of its own makes
//! lines of them. Where a flood of one kind comes, only so many are written, and how many were not.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use localack_core::{DemoteCause, Direction, Event, FlowKey, PassReason, Port, Service};
use tracing::level_filters::LevelFilter;
use tracing::{Level, debug, error, info, warn};

use super::demotions::Demotions;
use crate::clock::Clock;

/// Events that may wait for the thread.
const WAITING: usize = 4096;
/// Lines of one kind that may be written at once, and how many more each second.
const BURST: u32 = 100;
const PER_SECOND: u32 = 20;
/// How often it is told what was left out.
const SUMMARY: Duration = Duration::from_secs(5);
/// How many refused connections are remembered.
const REMEMBERED: usize = 256;

/// A connection that was left alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Refused {
    /// Its ends.
    pub key: FlowKey,
    /// The side that the deciding segment came from.
    pub from: Port,
    /// Why.
    pub reason: PassReason,
    /// When it was noted, as time since the Unix epoch.
    pub at: Duration,
}

/// The connections that were left alone last.
type Memory = Arc<Mutex<VecDeque<Refused>>>;

/// Takes the events of one queue.
#[derive(Clone)]
pub(super) struct Reporter {
    queue: u16,
    entries: SyncSender<(u16, Event)>,
    missed: Arc<AtomicU64>,
    demotions: Demotions,
}

impl Reporter {
    /// Takes note of an event, if anybody wants to know.
    pub(super) fn report(&self, event: Event) {
        self.demotions.note(self.queue, &event);
        let wanted = matches!(event, Event::Refused { .. })
            || Kind::of(&event).level() <= LevelFilter::current();
        if wanted && self.entries.try_send((self.queue, event)).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The thread that writes. It ends once all reporters have gone.
pub(super) struct Journal {
    entries: Option<SyncSender<(u16, Event)>>,
    missed: Arc<AtomicU64>,
    memory: Memory,
    demotions: Demotions,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    pub(super) fn start(clock: Clock) -> io::Result<Self> {
        let (entries, waiting) = sync_channel(WAITING);
        let (missed, memory) = (Arc::default(), Memory::default());
        let mut writer = Writer {
            waiting,
            clock,
            missed: Arc::clone(&missed),
            memory: Arc::clone(&memory),
            limits: [Limit::default(); Kind::COUNT],
        };
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())?;
        Ok(Self {
            entries: Some(entries),
            missed,
            memory,
            demotions: Demotions::default(),
            thread: Some(thread),
        })
    }

    /// For the worker of `queue`.
    pub(super) fn reporter(&self, queue: u16) -> Option<Reporter> {
        Some(Reporter {
            queue,
            entries: self.entries.clone()?,
            missed: Arc::clone(&self.missed),
            demotions: self.demotions.clone(),
        })
    }

    /// Why flows are not acknowledged early any more.
    pub(super) fn demotions(&self) -> Demotions {
        self.demotions.clone()
    }

    /// The connections that were left alone last, the newest at the end.
    pub(super) fn memory(&self) -> Memory {
        Arc::clone(&self.memory)
    }
}

/// Waits until everything is written; all reporters have gone.
impl Drop for Journal {
    fn drop(&mut self) {
        self.entries = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Kinds of events, which are limited each for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Adopted,
    Refused,
    CustodyBegun,
    Demoted,
    ServiceChanged,
    SlowClose,
    Reset,
    Lost,
    GivenUp,
    Closed,
    Other,
}

impl Kind {
    const COUNT: usize = Self::Other as usize + 1;

    const ALL: [Self; Self::COUNT] = [
        Self::Adopted,
        Self::Refused,
        Self::CustodyBegun,
        Self::Demoted,
        Self::ServiceChanged,
        Self::SlowClose,
        Self::Reset,
        Self::Lost,
        Self::GivenUp,
        Self::Closed,
        Self::Other,
    ];

    const fn of(event: &Event) -> Self {
        match event {
            Event::Adopted { .. } => Self::Adopted,
            Event::Refused { .. } => Self::Refused,
            Event::CustodyBegun { .. } => Self::CustodyBegun,
            Event::Demoted { .. } => Self::Demoted,
            Event::ServiceChanged { .. } => Self::ServiceChanged,
            Event::SlowClose { .. } => Self::SlowClose,
            Event::Reset { lost: 0, .. } => Self::Reset,
            Event::Reset { .. } => Self::Lost,
            Event::GivenUp { .. } => Self::GivenUp,
            Event::Closed { .. } => Self::Closed,
            _ => Self::Other,
        }
    }

    /// What happens to each connection is for whoever looks for something; what is lost is not.
    const fn level(self) -> Level {
        match self {
            Self::Lost | Self::GivenUp => Level::WARN,
            Self::SlowClose => Level::INFO,
            _ => Level::DEBUG,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Adopted => "adopted",
            Self::Refused => "left alone",
            Self::CustodyBegun => "custody begins",
            Self::Demoted => "handed back",
            Self::ServiceChanged => "service changed",
            Self::SlowClose => "slow close",
            Self::Reset => "reset by an end",
            Self::Lost => "reset by an end, octets lost",
            Self::GivenUp => "given up",
            Self::Closed => "closed",
            Self::Other => "other",
        }
    }
}

/// How many lines may be written: a bucket of [`BURST`] that fills by [`PER_SECOND`].
#[derive(Clone, Copy, Debug)]
struct Limit {
    left: u32,
    filled_at: Duration,
    left_out: u64,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            left: BURST,
            filled_at: Duration::ZERO,
            left_out: 0,
        }
    }
}

impl Limit {
    /// Whether a line may be written at the time `now`.
    fn allows(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.filled_at);
        let more = u32::try_from(passed.as_millis() * u128::from(PER_SECOND) / 1000);
        let more = more.unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(BURST);
            self.filled_at = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.left_out = self.left_out.saturating_add(1);
                false
            }
        }
    }
}

struct Writer {
    waiting: Receiver<(u16, Event)>,
    clock: Clock,
    missed: Arc<AtomicU64>,
    memory: Memory,
    limits: [Limit; Kind::COUNT],
}

impl Writer {
    fn run(&mut self) {
        let mut summary_at = self.clock.now() + SUMMARY;
        loop {
            let wait = summary_at.saturating_sub(self.clock.now());
            let entry = self.waiting.recv_timeout(wait);
            let now = self.clock.now();
            match entry {
                Ok((queue, event)) => self.note(queue, &event, now),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if now >= summary_at {
                self.sum_up();
                summary_at = now + SUMMARY;
            }
        }
        self.sum_up();
    }

    fn note(&mut self, queue: u16, event: &Event, now: Duration) {
        if let Event::Refused { key, from, reason } = *event {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            if memory.len() >= REMEMBERED {
                memory.pop_front();
            }
            memory.push_back(Refused {
                key,
                from,
                reason,
                at: self.clock.stamp(now),
            });
        }
        let kind = Kind::of(event);
        if kind.level() > LevelFilter::current() {
            return;
        }
        let limit = self.limits.get_mut(kind as usize);
        if limit.is_none_or(|limit| limit.allows(now)) {
            write(queue, event);
        }
    }

    /// Tells what was left out.
    fn sum_up(&mut self) {
        for (kind, limit) in Kind::ALL.into_iter().zip(&mut self.limits) {
            let left_out = core::mem::take(&mut limit.left_out);
            if left_out > 0 {
                warn!(
                    event = kind.name(),
                    left_out, "events came too fast to be logged"
                );
            }
        }
        let missed = self.missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            warn!(missed, "events came too fast to be taken note of");
        }
    }
}

/// Writes the line of one event.
fn write(queue: u16, event: &Event) {
    match *event {
        Event::Adopted {
            flow,
            key,
            handshake,
        } => {
            let client = side(handshake.client);
            debug!(queue, %flow, connection = %key, client, "adopted");
        }
        Event::Refused { key, from, reason } => {
            let (reason, from) = (reason.slug(), side(from));
            debug!(queue, connection = %key, from, reason, "left alone");
        }
        Event::CustodyBegun { flow, direction } => {
            debug!(queue, %flow, direction = way(direction), "custody begins");
        }
        Event::Demoted {
            flow,
            direction,
            cause,
        } => {
            let (direction, cause) = (way(direction), cause_word(cause));
            debug!(queue, %flow, direction, cause, "handed back");
        }
        Event::ServiceChanged {
            flow,
            direction,
            service,
            soft,
        } => {
            let service = match service {
                Service::Bypass => "bypass",
                Service::Snoop => "snoop",
                _ => "local-ack",
            };
            debug!(queue, %flow, direction = way(direction), service, soft, "service changed");
        }
        Event::SlowClose {
            flow,
            direction,
            octets,
        } => {
            let direction = way(direction);
            info!(queue, %flow, direction, octets, "closes slowly: octets are still in custody");
        }
        Event::Reset { flow, from, lost } if lost > 0 => {
            warn!(queue, %flow, from = side(from), octets_lost = lost, "reset by an end, octets lost");
        }
        Event::Reset { flow, from, .. } => {
            debug!(queue, %flow, from = side(from), "reset by an end");
        }
        Event::GivenUp {
            flow,
            direction,
            lost,
        } => {
            let direction = way(direction);
            warn!(queue, %flow, direction, octets_lost = lost, "given up: both ends are reset");
        }
        Event::Closed { flow, key } => debug!(queue, %flow, connection = %key, "closed"),
        _ => error!(queue, ?event, "an event without words"),
    }
}

const fn side(port: Port) -> &'static str {
    match port {
        Port::Inner => "inner",
        Port::Outer => "outer",
    }
}

const fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::InnerToOuter => "inner-to-outer",
        Direction::OuterToInner => "outer-to-inner",
    }
}

const fn cause_word(cause: DemoteCause) -> &'static str {
    match cause {
        DemoteCause::Request => "request",
        DemoteCause::Urgent => "urgent-data",
        DemoteCause::UnknownOption => "unknown-option",
        DemoteCause::WentRound => "went-round",
        DemoteCause::Asymmetric => "asymmetric",
        DemoteCause::DfClear => "df-clear",
        DemoteCause::PoolLow => "pool-low",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn a_flood_is_cut_and_counted_and_a_trickle_is_not() {
        let mut limit = Limit::default();
        let written = (0..1000).filter(|n| limit.allows(ms(*n))).count();
        // The burst, and twenty in the second.
        assert!((100..=120).contains(&written), "{written}");
        assert_eq!(limit.left_out, 1000 - written as u64);
        let mut limit = Limit::default();
        assert!((0..1000).all(|n| limit.allows(ms(n * 100))));
        assert_eq!(limit.left_out, 0);
    }

    #[test]
    fn the_last_refused_connections_are_remembered() {
        let journal = Journal::start(Clock::start()).unwrap();
        let memory = journal.memory();
        let reporter = journal.reporter(0).unwrap();
        let key = |port| FlowKey::new([10, 0, 0, 1].into(), port, [192, 0, 2, 1].into(), 80, 0);
        for port in 0..300 {
            reporter.report(Event::Refused {
                key: key(port),
                from: Port::Inner,
                reason: PassReason::Policy,
            });
        }
        drop(reporter);
        drop(journal);
        let memory = memory.lock().unwrap();
        assert_eq!(memory.len(), REMEMBERED);
        assert_eq!(memory.back().map(|refused| refused.key), Some(key(299)));
    }

    #[test]
    fn every_kind_has_its_place() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }
}
