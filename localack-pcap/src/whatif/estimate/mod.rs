//! What a capture says about the path of a connection.

mod loss;
mod rate;
mod rtt;

use serde::Serialize;

pub use loss::Losses;
pub use rtt::RoundTrips;

use super::trace::{Side, Trace};

/// How sure an estimate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A guess: little in the capture speaks for it.
    Low,
    /// Some evidence.
    Medium,
    /// Much evidence that agrees with itself.
    High,
    /// The caller's word.
    Told,
}

impl Confidence {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Told => "told",
        }
    }
}

/// A figure, how it was found, and how sure it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure, in the unit that its field names.
    pub value: f64,
    /// How it was found, in words.
    pub how: String,
    /// How sure it is.
    pub confidence: Confidence,
}

impl Estimate {
    /// What the caller says.
    #[must_use]
    pub fn told(value: f64, option: &str) -> Self {
        Self {
            value,
            how: format!("{option} says so"),
            confidence: Confidence::Told,
        }
    }
}

/// What the caller knows of the path; `None`: it is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Told {
    /// Round trip between the ends without queues, in milliseconds, above 0.
    pub rtt_ms: Option<f64>,
    /// Rate of the bottleneck in Mbit/s of IP packets, above 0.
    pub rate_mbit: Option<f64>,
    /// Loss of data packets in percent, 0 .. 100.
    pub loss_pct: Option<f64>,
}

/// What a path cannot be known without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Nothing was captured that tells the round trip.
    #[error("its round trip cannot be told from the capture: give --rtt")]
    Rtt,
    /// Too little was captured that tells the rate.
    #[error("too little was sent to tell the rate of its path: give --rate")]
    Rate,
}

/// The path of a connection, as far as a capture tells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PathEstimate {
    /// Round trip between the ends without queues, in milliseconds.
    pub rtt_ms: Estimate,
    /// The part of it between the capture point and the data's sender, in milliseconds.
    pub sender_rtt_ms: f64,
    /// Rate of the bottleneck toward the data's receiver, in Mbit/s of IP packets.
    pub rate_mbit: Estimate,
    /// Whether that is only a lower bound: nothing shows that the sender ever filled its path.
    pub rate_is_lower_bound: bool,
    /// Loss of data packets that no full queue explains, in percent.
    pub loss_pct: Estimate,
    /// What the queue at the bottleneck holds, in octets of IP packets.
    pub queue_octets: Estimate,
}

/// All that is estimated of a connection.
#[derive(Debug, Clone)]
pub struct Estimates {
    /// The path.
    pub path: PathEstimate,
    /// Round trips between the capture point and both ends.
    pub round_trips: RoundTrips,
    /// Losses as captured.
    pub losses: Losses,
}

/// Half of all packets wait at least so long in a queue that is said to be there.
const LEAST_WAIT_US: i64 = 4000;
/// The least queue that is believed: 64 full packets.
const LEAST_QUEUE: f64 = 64.0 * 1500.0;

/// Estimates the path of a connection.
///
/// # Errors
/// If the caller does not tell what the capture cannot tell.
pub fn estimate(trace: &Trace, told: &Told) -> Result<Estimates, Missing> {
    let sender = trace.sender();
    let round_trips = RoundTrips::of(trace);
    let captured = round_trips.estimate();
    let sender_rtt_ms = round_trips.part(sender).map_or(0.0, |part| part / 1000.0);
    let rtt_ms = match told.rtt_ms {
        Some(rtt) => Estimate::told(rtt, "--rtt"),
        None => captured.ok_or(Missing::Rtt)?,
    };
    let losses = Losses::of(trace, sender, &round_trips);
    let rate::Found {
        rate: rate_mbit,
        is_lower_bound,
    } = match told.rate_mbit {
        Some(rate) => rate::Found {
            rate: Estimate::told(rate, "--rate"),
            is_lower_bound: false,
        },
        None => {
            let waits = Side::BOTH.map(|side| round_trips.above(side, 50));
            let rtt_us = (rtt_ms.value * 1000.0) as i64;
            let flow = rate::Flow {
                rtt_us,
                is_queued: waits.iter().sum::<i64>() >= (rtt_us / 10).max(LEAST_WAIT_US),
            };
            rate::estimate(trace, sender, flow).ok_or(Missing::Rate)?
        }
    };
    let loss_pct = match told.loss_pct {
        Some(loss) => Estimate::told(loss, "--loss"),
        None => losses.estimate(),
    };
    let bytes_per_ms = rate_mbit.value * 125.0;
    let queue_octets = queue(&losses, rtt_ms.value * bytes_per_ms, bytes_per_ms);
    Ok(Estimates {
        path: PathEstimate {
            sender_rtt_ms: sender_rtt_ms.min(rtt_ms.value),
            rtt_ms,
            rate_mbit,
            rate_is_lower_bound: is_lower_bound,
            loss_pct,
            queue_octets,
        },
        round_trips,
        losses,
    })
}

/// What the queue holds, from how long packets waited in it; `product` is the path's
/// bandwidth-delay product.
fn queue(losses: &Losses, product: f64, bytes_per_ms: f64) -> Estimate {
    let seen = losses.longest_queue_us / 1000.0 * bytes_per_ms;
    let waited = losses.longest_queue_us / 1000.0;
    if losses.congestive > 0.0 && seen >= LEAST_QUEUE / 4.0 {
        return Estimate {
            value: seen.max(LEAST_QUEUE / 4.0),
            how: format!("packets waited up to {waited:.1} ms when some were lost"),
            confidence: Confidence::Medium,
        };
    }
    let assumed = product.max(LEAST_QUEUE);
    if seen > assumed {
        return Estimate {
            value: seen * 1.25,
            how: format!("packets waited up to {waited:.1} ms, and none was lost for that"),
            confidence: Confidence::Low,
        };
    }
    Estimate {
        value: assumed,
        how: "it was never full: one bandwidth-delay product is assumed".to_owned(),
        confidence: Confidence::Low,
    }
}

/// When which octets of a direction are known to have got somewhere, in order of time.
pub(super) fn side_records(
    trace: &Trace,
    side: Side,
) -> impl Iterator<Item = &super::trace::Record> {
    trace
        .records
        .iter()
        .filter(move |record| record.from == side)
}
