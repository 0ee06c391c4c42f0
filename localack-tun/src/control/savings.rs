//! How much waiting senders are spared.
//!
//! An octet that is acknowledged early is in debt until its receiver acknowledges it, and so long its
//! sender would have waited. The waits of all octets together are the debt, added up over time. It is
//! looked at in regular intervals, which over some time, or over many flows, gives as much as watching
//! it all the time, and costs the engine nothing.

use core::time::Duration;
use std::collections::HashMap;

use localack_core::{Direction, DirectionMode, FlowId, FlowInfo, SeqNum};

use super::flow::is_served;

/// A longer interval tells nothing about what was between.
const LONGEST_INTERVAL: Duration = Duration::from_secs(5);
/// The size of a segment where the engine knows none, in octets.
const USUAL_MSS: u64 = 1448;

/// What senders were spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Saving {
    /// Octets acknowledged before their receivers had acknowledged them.
    pub octets: u64,
    /// Microseconds that segments did not wait, added up.
    micros: u64,
}

impl Saving {
    /// Milliseconds that segments did not wait for their acknowledgements, added up.
    #[must_use]
    pub const fn milliseconds(&self) -> u64 {
        self.micros / 1000
    }

    const fn add(&mut self, other: Self) {
        self.octets = self.octets.saturating_add(other.octets);
        self.micros = self.micros.saturating_add(other.micros);
    }
}

/// What is looked at of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DirectionSample {
    ack_sent: SeqNum,
    debt: u32,
    mss: u16,
    /// Whether data is acknowledged early at present.
    is_early: bool,
}

/// What is looked at of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    flow: (u16, FlowId),
    directions: [DirectionSample; 2],
}

impl Sample {
    /// A sample of a flow, if it is served.
    pub(super) fn of(queue: u16, flow: &FlowInfo) -> Option<Self> {
        let directions = Direction::BOTH.map(|direction| {
            let info = flow.direction(direction);
            DirectionSample {
                ack_sent: info.ack_sent,
                debt: info.debt,
                mss: info.mss,
                is_early: info.mode == DirectionMode::LocalAck,
            }
        });
        let served = |direction| is_served(flow.direction(direction));
        Direction::BOTH.into_iter().any(served).then_some(Self {
            flow: (queue, flow.id),
            directions,
        })
    }
}

/// What is remembered of a flow.
#[derive(Debug, Clone, Copy)]
struct Account {
    last: [DirectionSample; 2],
    savings: [Saving; 2],
    /// The round in which it was seen last.
    round: u64,
}

/// The savings of all flows that are there, and the sum for those that were.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: HashMap<(u16, FlowId), Account>,
    total: Saving,
    round: u64,
}

impl Ledger {
    /// Enters the samples of all served flows, `interval` after the ones before. Flows without a sample
    /// are forgotten; the total keeps what they had.
    pub(super) fn enter(&mut self, samples: &[Sample], interval: Duration) {
        let interval = interval.min(LONGEST_INTERVAL);
        self.round = self.round.wrapping_add(1);
        let round = self.round;
        for sample in samples {
            let known = self.accounts.get(&sample.flow).copied();
            let mut account = known.unwrap_or_else(|| Account {
                // What is in debt now was acknowledged since.
                last: sample.directions.map(|direction| DirectionSample {
                    debt: 0,
                    ack_sent: direction.ack_sent.retreat(direction.debt),
                    ..direction
                }),
                savings: [Saving::default(); 2],
                round,
            });
            let directions = account.last.iter().zip(&sample.directions);
            for ((last, now), saving) in directions.zip(&mut account.savings) {
                let more = between(last, now, interval);
                saving.add(more);
                self.total.add(more);
            }
            account.last = sample.directions;
            account.round = round;
            self.accounts.insert(sample.flow, account);
        }
        self.accounts.retain(|_, account| account.round == round);
    }

    /// The savings of a flow, inner to outer first.
    pub(super) fn of(&self, queue: u16, flow: FlowId) -> [Saving; 2] {
        let account = self.accounts.get(&(queue, flow));
        account.map_or([Saving::default(); 2], |account| account.savings)
    }

    /// The savings of all flows, those that have ended too.
    pub(super) const fn total(&self) -> Saving {
        self.total
    }

    /// The flows that have saved most, at most `limit`.
    pub(super) fn greatest(&self, limit: usize) -> Vec<(u16, FlowId)> {
        let saved = |account: &Account| {
            let [there, back] = account.savings.map(|saving| saving.micros);
            there.saturating_add(back)
        };
        let mut flows: Vec<_> = self
            .accounts
            .iter()
            .map(|(flow, account)| (saved(account), *flow))
            .collect();
        let order = |(saved, (queue, id)): &(u64, (u16, FlowId))| {
            (core::cmp::Reverse(*saved), *queue, id.slot())
        };
        if flows.len() > limit {
            flows.select_nth_unstable_by_key(limit, order);
            flows.truncate(limit);
        }
        flows.sort_by_key(order);
        flows.into_iter().map(|(_, flow)| flow).collect()
    }
}

/// What was saved between two samples of a direction.
fn between(last: &DirectionSample, now: &DirectionSample, interval: Duration) -> Saving {
    let octets = if last.is_early || now.is_early {
        now.ack_sent.octets_past(last.ack_sent)
    } else {
        0
    };
    let mss = match now.mss {
        0 => USUAL_MSS,
        mss => mss.into(),
    };
    let interval = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
    let debt = (u64::from(last.debt) + u64::from(now.debt)) / 2;
    Saving {
        octets: octets.into(),
        micros: debt.saturating_mul(interval) / mss,
    }
}
