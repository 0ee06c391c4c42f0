//! One direction of an emulated link, sans-IO and deterministic.
//!
//! Packets go through it in this order: the *queue* takes or drops them, the *line* sends them
//! one after the other at its rate, the *way* loses some, delays the rest, and may hold back,
//! duplicate or corrupt them. Time is a [`Duration`] since any moment the caller likes; time that
//! runs backwards counts as standing still. There is no floating-point arithmetic: a seed has one
//! outcome on every machine.

use core::cmp::{Ordering, Reverse};
use core::fmt;
use core::time::Duration;
use std::collections::BinaryHeap;

mod chance;
mod config;
pub mod units;

pub use config::{BurstLoss, BurstLossError, ConfigError, LinkConfig, Setting, SettingError};

use chance::Chances;

/// One direction of a link.
#[derive(Debug, Clone)]
pub struct Link {
    config: LinkConfig,
    chances: Chances,
    /// The latest time the link has been told of.
    now: Duration,
    /// When the line will have sent all it has taken.
    line_free: Duration,
    /// When the last packet that was not held back is due: none may arrive before it.
    last_due: Duration,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    octets_under_way: u64,
    next_order: u64,
    latest_delivered: Option<u64>,
    counters: LinkCounters,
}

/// What has become of the packets of a [`Link`].
///
/// Always `packets_in + duplicated == packets_out + lost + dropped_queue + dropped_memory + held`,
/// with `held` from [`Link::held`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LinkCounters {
    /// Packets given to [`Link::push`].
    pub packets_in: u64,
    /// Their octets.
    pub octets_in: u64,
    /// Packets handed out by [`Link::pop_due`].
    pub packets_out: u64,
    /// Their octets.
    pub octets_out: u64,
    /// Packets lost on the way, alone or in bursts.
    pub lost: u64,
    /// Packets that found the queue full.
    pub dropped_queue: u64,
    /// Packets for which the link had no memory left.
    pub dropped_memory: u64,
    /// Packets that arrived after one that had been pushed later.
    pub reordered: u64,
    /// Copies the link has made.
    pub duplicated: u64,
    /// Packets of which a bit was flipped.
    pub corrupted: u64,
}

impl fmt::Display for LinkCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "in {} packets {} octets, out {} packets {} octets, lost {}, dropped by queue {}, \
             by memory {}, reordered {}, duplicated {}, corrupted {}",
            self.packets_in,
            self.octets_in,
            self.packets_out,
            self.octets_out,
            self.lost,
            self.dropped_queue,
            self.dropped_memory,
            self.reordered,
            self.duplicated,
            self.corrupted,
        )
    }
}

impl Link {
    /// Makes an idle link whose time begins at zero.
    ///
    /// # Errors
    ///
    /// When the settings contradict each other, see [`ConfigError`].
    pub fn new(config: LinkConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            chances: Chances::new(config.seed),
            config,
            now: Duration::ZERO,
            line_free: Duration::ZERO,
            last_due: Duration::ZERO,
            under_way: BinaryHeap::new(),
            octets_under_way: 0,
            next_order: 0,
            latest_delivered: None,
            counters: LinkCounters::default(),
        })
    }

    /// Takes a packet at one end at the time `now`.
    pub fn push(&mut self, now: Duration, mut packet: Vec<u8>) {
        self.advance(now);
        let octets = octets_of(&packet);
        self.counters.packets_in += 1;
        self.counters.octets_in += octets;
        if !self.queue_has_room(octets) {
            self.counters.dropped_queue += 1;
            return;
        }
        if !self.memory_has_room(octets) {
            self.counters.dropped_memory += 1;
            return;
        }
        let sent = self.send_on_line(octets);
        if self.chances.lost(&self.config) {
            self.counters.lost += 1;
            return;
        }
        if self.chances.corrupt(&self.config, &mut packet) {
            self.counters.corrupted += 1;
        }
        let due = self.arrival(sent);
        let copy = (self.chances.duplicated(&self.config)
            && self.memory_has_room(octets.saturating_mul(2)))
        .then(|| packet.clone());
        self.schedule(due, packet);
        if let Some(copy) = copy {
            self.counters.duplicated += 1;
            self.schedule(due, copy);
        }
    }

    /// Hands out the next packet that has arrived at the other end by the time `now`. Call it
    /// until it returns `None`.
    pub fn pop_due(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.advance(now);
        if self.next_deadline()? > self.now {
            return None;
        }
        let Reverse(UnderWay { order, packet, .. }) = self.under_way.pop()?;
        let octets = octets_of(&packet);
        self.octets_under_way = self.octets_under_way.saturating_sub(octets);
        self.counters.packets_out += 1;
        self.counters.octets_out += octets;
        if self.latest_delivered.is_some_and(|latest| order < latest) {
            self.counters.reordered += 1;
        } else {
            self.latest_delivered = Some(order);
        }
        Some(packet)
    }

    /// When the next packet will have arrived, or `None` while nothing is under way.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.under_way.peek().map(|Reverse(next)| next.due)
    }

    /// Packets that have been pushed and neither dropped nor handed out yet, copies included.
    pub fn held(&self) -> usize {
        self.under_way.len()
    }

    /// What has become of the packets so far.
    pub fn counters(&self) -> &LinkCounters {
        &self.counters
    }

    /// The settings the link was made with.
    pub fn config(&self) -> &LinkConfig {
        &self.config
    }

    fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// Whether the queue takes a packet. An idle line takes any packet, however short its queue.
    fn queue_has_room(&self, octets: u64) -> bool {
        let Some(rate) = self.config.rate else {
            return true;
        };
        let waiting = rate.octets_in(self.line_free.saturating_sub(self.now));
        waiting == 0 || waiting.saturating_add(octets) <= self.config.queue
    }

    fn memory_has_room(&self, octets: u64) -> bool {
        self.octets_under_way.saturating_add(octets) <= self.config.memory
    }

    /// Puts a packet on the line; returns when its last bit has left.
    fn send_on_line(&mut self, octets: u64) -> Duration {
        let starts = self.line_free.max(self.now);
        let takes = self
            .config
            .rate
            .map_or(Duration::ZERO, |rate| rate.time_for(octets));
        self.line_free = starts.saturating_add(takes);
        self.line_free
    }

    /// When a packet arrives that left the line at `sent`.
    fn arrival(&mut self, sent: Duration) -> Duration {
        let due = sent.saturating_add(self.chances.delay(&self.config));
        if self.chances.held_back(&self.config) {
            return due
                .max(self.last_due)
                .saturating_add(self.config.reorder_by);
        }
        self.last_due = self.last_due.max(due);
        self.last_due
    }

    fn schedule(&mut self, due: Duration, packet: Vec<u8>) {
        self.octets_under_way = self.octets_under_way.saturating_add(octets_of(&packet));
        self.under_way.push(Reverse(UnderWay {
            due,
            order: self.next_order,
            packet,
        }));
        self.next_order += 1;
    }
}

/// A packet between the two ends, ordered by arrival, then by departure.
#[derive(Debug, Clone)]
struct UnderWay {
    due: Duration,
    order: u64,
    packet: Vec<u8>,
}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for UnderWay {}

fn octets_of(packet: &[u8]) -> u64 {
    u64::try_from(packet.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
