//! The figures of one case.

use serde::Serialize;

use super::case::Case;

/// How long transfers of one size took.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Times {
    /// Octets.
    pub octets: u32,
    /// The median of the times until all had arrived, in seconds.
    pub median_s: f64,
    /// What 19 of 20 did not exceed.
    pub of_95_s: f64,
    /// The median in halves of the route's round trip.
    pub half_round_trips: f64,
}

/// The figures of one case; shares are of one.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// What is to be seen.
    pub scenario: &'static str,
    /// What the route is like.
    pub path: String,
    /// What the engine does.
    pub arrangement: &'static str,
    /// Payload received over what could have been.
    pub goodput_share: Option<f64>,
    /// The least that a flow received over the most.
    pub fairness: Option<f64>,
    /// Payload that senders sent again, over all that they sent.
    pub sender_resent: f64,
    /// Time-outs of senders.
    pub sender_timeouts: u64,
    /// Payload that went to the receivers again, over all that went to them.
    pub link_resent: f64,
    /// Payload that receivers had already, over all that arrived.
    pub needless: f64,
    /// Packets a second on the way back to the senders.
    pub return_packets_per_s: f64,
    /// Packets that were lost there.
    pub return_lost: u64,
    /// Data packets lost before the engine and behind it.
    pub data_lost: [u64; 2],
    /// The mean of the round trips that senders saw, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// The same of a bystander.
    pub bystander_ms: Option<f64>,
    /// Octets of packets that went to the receivers over what could have.
    pub rate_share: Option<f64>,
    /// The same in the second with the most of them.
    pub peak_rate_share: Option<f64>,
    /// The most octets in custody.
    pub custody: u32,
    /// Times of transfers.
    pub times: Vec<Times>,
}

impl Row {
    /// The row of `case`, without figures.
    pub(super) fn of(case: &Case) -> Self {
        Self {
            scenario: case.scenario,
            path: case.path.clone(),
            arrangement: case.arrangement.name,
            goodput_share: None,
            fairness: None,
            sender_resent: 0.0,
            sender_timeouts: 0,
            link_resent: 0.0,
            needless: 0.0,
            return_packets_per_s: 0.0,
            return_lost: 0,
            data_lost: [0; 2],
            round_trip_ms: None,
            bystander_ms: None,
            rate_share: None,
            peak_rate_share: None,
            custody: 0,
            times: Vec::new(),
        }
    }
}
