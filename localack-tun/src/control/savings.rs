//! How much waiting senders are spared.
//!
//! An octet that is acknowledged early and on its way would have let its sender wait until its receiver
//! acknowledges it. The waits of all octets together are what is on its way, added up over time; what
//! the engine holds and has not sent does not count, for without the engine its sender would hold it. It
//! is looked at in regular intervals, which over some time, or over many flows, gives as much as
//! watching it all the time, and costs the engine nothing.
//!
//! Rates are found in the same way: the engine's own are those of the last acknowledgements, however
//! long ago these came.

use core::time::Duration;
use std::collections::HashMap;

use localack_core::{Direction, DirectionMode, FlowId, FlowInfo, SeqNum};

use super::flow::is_served;
use super::selection::Measures;

/// Of a longer interval no more is counted: it tells nothing about what was between.
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

    pub(super) const fn add(&mut self, other: Self) {
        self.octets = self.octets.saturating_add(other.octets);
        self.micros = self.micros.saturating_add(other.micros);
    }
}

/// What is known of one direction of a flow, or of all flows, beside the engine's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// What its sender was spared.
    pub saving: Saving,
    /// Octets per second that its receiver acknowledged between the last two looks, while it was served.
    pub rate: u64,
}

impl Standing {
    /// Goes on with what an interval has brought; the rate is the interval's alone.
    const fn go_on(&mut self, more: Self) {
        self.saving.add(more.saving);
        self.rate = more.rate;
    }
}

/// What is looked at of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DirectionSample {
    ack_sent: SeqNum,
    snd_una: SeqNum,
    /// Octets acknowledged to the sender and not by the receiver, sent or not.
    debt: u32,
    /// Those of them that were sent.
    outstanding: u32,
    mss: u16,
    is_served: bool,
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
                snd_una: info.snd_una,
                debt: info.debt,
                outstanding: info.snd_nxt.octets_past(info.snd_una).min(info.debt),
                mss: info.mss,
                is_served: is_served(info),
                is_early: info.mode == DirectionMode::LocalAck,
            }
        });
        let is_served = directions.iter().any(|direction| direction.is_served);
        is_served.then_some(Self {
            flow: (queue, flow.id),
            directions,
        })
    }
}

/// What is remembered of a flow.
#[derive(Debug, Clone, Copy)]
struct Account {
    last: [DirectionSample; 2],
    standings: [Standing; 2],
    /// The round in which it was seen last.
    round: u64,
}

/// What is known of all flows that are there, and the sum, with the savings of those that were.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: HashMap<(u16, FlowId), Account>,
    totals: [Standing; 2],
    round: u64,
}

impl Ledger {
    /// Enters the samples of all served flows, `interval` after the ones before. Flows without a sample
    /// are forgotten; the total keeps what they had.
    pub(super) fn enter(&mut self, samples: &[Sample], interval: Duration) {
        self.round = self.round.wrapping_add(1);
        let round = self.round;
        for total in &mut self.totals {
            total.rate = 0;
        }
        for sample in samples {
            let known = self.accounts.get(&sample.flow).copied();
            let mut account = known.unwrap_or_else(|| Account {
                // What is in debt now was acknowledged since.
                last: sample.directions.map(|direction| DirectionSample {
                    outstanding: 0,
                    ack_sent: direction.ack_sent.retreat(direction.debt),
                    ..direction
                }),
                standings: [Standing::default(); 2],
                round,
            });
            let directions = account.last.iter().zip(&sample.directions);
            let standings = account.standings.iter_mut().zip(&mut self.totals);
            for ((last, now), (standing, total)) in directions.zip(standings) {
                let more = between(last, now, interval);
                standing.go_on(more);
                total.saving.add(more.saving);
                total.rate = total.rate.saturating_add(more.rate);
            }
            account.last = sample.directions;
            account.round = round;
            self.accounts.insert(sample.flow, account);
        }
        self.accounts.retain(|_, account| account.round == round);
    }

    /// What is known of a flow, inner to outer first.
    pub(super) fn of(&self, queue: u16, flow: FlowId) -> [Standing; 2] {
        let account = self.accounts.get(&(queue, flow));
        account.map_or([Standing::default(); 2], |account| account.standings)
    }

    /// The same of all flows together, with the savings of those that have ended.
    pub(super) const fn totals(&self) -> [Standing; 2] {
        self.totals
    }

    /// A measure of all flows, both directions together.
    pub(super) fn measures(&self, measure: impl Fn(&Standing) -> u64) -> Measures {
        let of = |account: &Account| {
            let [there, back] = &account.standings;
            measure(there).saturating_add(measure(back))
        };
        let accounts = self.accounts.iter();
        accounts
            .map(|(flow, account)| (*flow, of(account)))
            .collect()
    }
}

/// What came about between two samples of a direction.
fn between(last: &DirectionSample, now: &DirectionSample, interval: Duration) -> Standing {
    let octets = if last.is_early || now.is_early {
        now.ack_sent.octets_past(last.ack_sent)
    } else {
        0
    };
    let mss = match now.mss {
        0 => USUAL_MSS,
        mss => mss.into(),
    };
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let counted = micros(interval.min(LONGEST_INTERVAL));
    let outstanding = (u64::from(last.outstanding) + u64::from(now.outstanding)) / 2;
    let delivered = u64::from(now.snd_una.octets_past(last.snd_una)).saturating_mul(1_000_000);
    Standing {
        saving: Saving {
            octets: octets.into(),
            micros: outstanding.saturating_mul(counted) / mss,
        },
        rate: match now.is_served {
            true => delivered.checked_div(micros(interval)).unwrap_or(0),
            false => 0,
        },
    }
}
