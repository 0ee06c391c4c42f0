//! How the data of a connection arrived over time: as captured, and as simulated.

use super::application::began;
use super::estimate::RoundTrips;
use super::simulate::{Outcome, Scene};
use super::trace::Trace;
use super::{ControllerChoice, Simulated};
use crate::trace::{Mark, Series};

/// Octets of the larger direction that had arrived, over the microseconds since the SYN left the client.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// As the captured acknowledgements tell.
    pub captured: Vec<Mark>,
    /// In the run without an engine whose time is the median.
    pub reproduced: Vec<Mark>,
    /// In the run with an engine whose time is the median.
    pub engine: Vec<Mark>,
}

/// Points that are kept of what was captured.
const MOST: usize = 1000;

/// When octets had arrived, as far as they were acknowledged.
pub(super) fn captured(trace: &Trace, round_trips: &RoundTrips) -> Vec<Mark> {
    let (sender, mut series) = (trace.sender(), Series::new(MOST));
    let Some(began) = began(trace, round_trips) else {
        return Vec::new();
    };
    let octets = i64::try_from(trace.octets[sender as usize]).unwrap_or(i64::MAX);
    // An acknowledgement comes by half a round trip after what it tells of.
    let back = round_trips.micros(sender.other()) / 2;
    for record in trace.records.iter().filter(|record| record.from != sender) {
        let time = (record.at - back - began).max(0).unsigned_abs();
        // Their FIN counts as an octet.
        let Some(ack) = record.ack.map(|ack| ack.clamp(0, octets)) else {
            continue;
        };
        if series.marks().last().is_none_or(|last| ack > last.high) {
            series.line(time, ack);
        }
    }
    series.marks().to_vec()
}

/// How it went in the run whose time is the median of all that ended.
pub(super) fn simulated(
    scene: &Scene<'_>,
    outcomes: &[Outcome],
    figures: &Simulated,
    controller: Option<ControllerChoice>,
) -> Vec<Mark> {
    let seed = figures.median_us().and_then(|median| {
        let mut seeds = (1..).zip(outcomes);
        seeds.find(|(_, outcome)| outcome.took_us == Some(median))
    });
    seed.map_or_else(Vec::new, |(seed, _)| scene.arrivals(seed, controller))
}
