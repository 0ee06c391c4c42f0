//! What is reported, as JSON and by the text.

use core::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::application::Application;
use super::endpoint::{EndpointEstimate, repeats};
use super::estimate::{Losses, PathEstimate};
use super::simulate::Outcome;
use super::trace::Trace;
use super::{Options, TRUSTED, is_weak};

/// The name and version of the JSON form.
pub const SCHEMA: &str = "localack-what-if/1";

/// The answer; serializes to the JSON form.
#[derive(Debug, Serialize)]
pub struct WhatIf {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The capture.
    pub input: Input,
    /// What was asked.
    pub settings: Settings,
    /// The connections that were simulated, the largest first.
    pub flows: Vec<FlowWhatIf>,
    /// The others.
    pub skipped: Vec<Skipped>,
    /// All of them together.
    pub summary: Summary,
}

/// Figures of the capture.
#[derive(Debug, Serialize)]
pub struct Input {
    /// Frames.
    pub packets: u64,
    /// TCP segments.
    pub segments: u64,
    /// Conversations.
    pub conversations: u64,
}

/// What was asked.
#[derive(Debug, Serialize)]
pub struct Settings {
    /// The engine's controller: `reno`, `cubic`, `bbr` or `provisioned`.
    pub controller: &'static str,
    /// Where it is: `near-sender`, `near-receiver` or `middle`.
    pub place: &'static str,
    /// The hosts' congestion control: `cubic` or `reno`.
    pub sender: &'static str,
    /// Seeds of lossy paths.
    pub seeds: u32,
    /// Octets that the engine may hold for a connection.
    pub buffer_octets: u32,
}

impl Settings {
    pub(super) const fn of(options: &Options) -> Self {
        Self {
            controller: options.controller.name(),
            place: options.place.name(),
            sender: options.sender.name(),
            seeds: options.seeds,
            buffer_octets: options.buffer,
        }
    }
}

/// One connection.
#[derive(Debug, Serialize)]
pub struct FlowWhatIf {
    /// Address and port of the client.
    pub client: String,
    /// Address and port of the server.
    pub server: String,
    /// The end that sends more, which the engine serves: `client` or `server`.
    pub data_sender: &'static str,
    /// Payload octets that client and server send.
    pub octets: [u64; 2],
    /// In how many writes, as reconstructed.
    pub bursts: [u64; 2],
    /// How long both applications wait by themselves, in microseconds.
    pub think_us: [u64; 2],
    /// The path.
    pub path: PathEstimate,
    /// The client's TCP and the server's.
    pub endpoints: [EndpointEstimate; 2],
    /// What was captured.
    pub captured: Captured,
    /// The simulation without an engine.
    pub reproduced: Simulated,
    /// The simulation with an engine.
    pub engine: Simulated,
    /// By how much the reproduction's median took longer than what was captured, in percent; none if
    /// it did not end.
    pub error_pct: Option<f64>,
    /// Whether that is within [`TRUSTED`] either way, so that the prediction means something.
    pub trustworthy: bool,
    /// The reproduction's median time divided by the engine's; none if either did not end.
    pub speedup: Option<f64>,
    /// What should be known about these figures, in words.
    pub notes: Vec<String>,
}

/// Figures of a captured connection.
#[derive(Debug, Serialize)]
pub struct Captured {
    /// From the SYN's leaving the client to the last octet's reaching its receiver, in microseconds.
    pub completion_us: u64,
    /// Payload octets of the larger direction in that time, in bits per second.
    pub throughput_bps: u64,
    /// Segments of both ends that were seen twice.
    pub retransmitted_segments: u64,
}

/// Figures of several runs.
#[derive(Debug, Serialize)]
pub struct Simulated {
    /// Runs that ended.
    pub runs: u64,
    /// Runs that were given up: too many events, or nothing happened any more.
    pub unfinished: u64,
    /// As of [`Captured`].
    pub completion_us: Option<Percentiles>,
    /// As of [`Captured`].
    pub throughput_bps: Option<Percentiles>,
    /// Segments that both hosts sent again.
    pub retransmitted_segments: Option<Percentiles>,
    /// Segments that the engine sent again.
    pub engine_retransmitted_segments: Option<Percentiles>,
    /// The most octets in custody: the buffer that the connection needs.
    pub peak_custody_octets: Option<Percentiles>,
}

/// Exact percentiles (nearest ranks) over runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// The least.
    pub min: u64,
    /// A tenth is not above it.
    pub p10: u64,
    /// The median.
    pub p50: u64,
    /// Nine tenths are not above it.
    pub p90: u64,
    /// The most.
    pub max: u64,
}

impl Percentiles {
    /// Those of `values`; none of none.
    #[must_use]
    pub fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let rank = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100).max(1);
            values.get(rank - 1).copied()
        };
        Some(Self {
            min: rank(0)?,
            p10: rank(10)?,
            p50: rank(50)?,
            p90: rank(90)?,
            max: rank(100)?,
        })
    }
}

impl Simulated {
    /// Figures of `outcomes` that moved `octets` in the larger direction.
    pub(super) fn of(outcomes: &[Outcome], octets: u64) -> Self {
        let ended = || outcomes.iter().filter(|outcome| outcome.took_us.is_some());
        let figure =
            |figure: fn(&Outcome) -> u64| Percentiles::of(ended().map(figure).collect::<Vec<_>>());
        let times: Vec<u64> = ended().filter_map(|outcome| outcome.took_us).collect();
        let rates = times.iter().map(|&time| throughput(octets, time)).collect();
        Self {
            runs: times.len() as u64,
            unfinished: (outcomes.len() - times.len()) as u64,
            throughput_bps: Percentiles::of(rates),
            completion_us: Percentiles::of(times),
            retransmitted_segments: figure(|outcome| outcome.retransmissions),
            engine_retransmitted_segments: figure(|outcome| outcome.engine_retransmissions),
            peak_custody_octets: figure(|outcome| outcome.peak_custody),
        }
    }

    /// The median time, if any run ended and most did.
    #[must_use]
    pub fn median_us(&self) -> Option<u64> {
        self.completion_us
            .filter(|_| self.runs > self.unfinished)
            .map(|times| times.p50)
    }
}

/// Bits per second.
fn throughput(octets: u64, micros: u64) -> u64 {
    let bits = u128::from(octets) * 8_000_000;
    u64::try_from(bits / u128::from(micros.max(1))).unwrap_or(u64::MAX)
}

impl FlowWhatIf {
    pub(super) fn new(
        trace: &Trace,
        application: &Application,
        (path, losses): (PathEstimate, &Losses),
        endpoints: [EndpointEstimate; 2],
        (reproduced, engine): (Simulated, Simulated),
    ) -> Self {
        let took = application.took_us;
        let sides = super::trace::Side::BOTH;
        let octets = trace.octets.iter().max().copied().unwrap_or(0);
        let error_pct = reproduced
            .median_us()
            .map(|median| (median as f64 / took.max(1) as f64 - 1.0) * 100.0);
        let trustworthy = error_pct.is_some_and(|error| error.abs() <= TRUSTED * 100.0);
        let speedup = reproduced
            .median_us()
            .zip(engine.median_us())
            .map(|(without, with)| without as f64 / with.max(1) as f64);
        let mut flow = Self {
            client: name(trace.ends[0]),
            server: name(trace.ends[1]),
            data_sender: trace.sender().name(),
            octets: trace.octets,
            bursts: sides.map(|side| application.scripts[side as usize].bursts() as u64),
            think_us: sides.map(|side| application.scripts[side as usize].think_us()),
            path,
            endpoints,
            captured: Captured {
                completion_us: took,
                throughput_bps: throughput(octets, took),
                retransmitted_segments: sides.iter().map(|&side| repeats(trace, side)).sum(),
            },
            reproduced,
            engine,
            error_pct,
            trustworthy,
            speedup,
            notes: Vec::new(),
        };
        flow.notes = flow.remarks(losses);
        flow
    }

    fn remarks(&self, losses: &Losses) -> Vec<String> {
        let mut notes = Vec::new();
        match self.error_pct {
            None => notes.push("the reproduction did not end: not trustworthy".to_owned()),
            Some(error) if !self.trustworthy => notes.push(format!(
                "the reproduction is {:.0} % {}: not trustworthy",
                error.abs(),
                if error > 0.0 { "slower" } else { "faster" }
            )),
            Some(_) => {}
        }
        if self.engine.unfinished > 0 {
            let (gone, all) = (
                self.engine.unfinished,
                self.engine.runs + self.engine.unfinished,
            );
            notes.push(format!("{gone} of {all} runs with the engine did not end"));
        }
        if self.path.rate_is_lower_bound {
            notes.push(
                "its rate is only a lower bound, for it never filled its path: with the engine it may be faster \
                 than this says, unless the rate is told"
                    .to_owned(),
            );
        }
        for (name, estimate) in [
            ("round trip", &self.path.rtt_ms),
            ("rate", &self.path.rate_mbit),
            ("loss", &self.path.loss_pct),
        ] {
            let is_said = name == "rate" && self.path.rate_is_lower_bound;
            if is_weak(estimate) && !is_said {
                notes.push(format!("little is known of its {name}"));
            }
        }
        if losses.random >= 1.0 && losses.longest_queue_us == 0.0 {
            notes.push("losses by a full queue could not be told from others".to_owned());
        }
        notes
    }
}

/// A connection that was not simulated.
#[derive(Debug, Serialize)]
pub struct Skipped {
    /// Address and port of the client.
    pub client: String,
    /// Address and port of the server.
    pub server: String,
    /// Payload octets of both ends.
    pub octets: u64,
    /// Why it was not.
    pub reason: String,
}

impl Skipped {
    pub(super) fn new(trace: &Trace, reason: String) -> Self {
        Self {
            client: name(trace.ends[0]),
            server: name(trace.ends[1]),
            octets: trace.octets.iter().sum(),
            reason,
        }
    }
}

fn name((address, port): (IpAddr, u16)) -> String {
    SocketAddr::new(address, port).to_string()
}

/// All connections together.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Connections that were simulated.
    pub flows: u64,
    /// Those whose reproduction can be trusted; the rest of the summary is about them.
    pub trustworthy: u64,
    /// The sum of their captured times, in microseconds.
    pub captured_us: u64,
    /// The sum of their reproductions' median times.
    pub reproduced_us: u64,
    /// The sum of their median times with the engine.
    pub engine_us: u64,
    /// `reproduced_us` divided by `engine_us`; none of none.
    pub speedup: Option<f64>,
    /// The most octets that one of them had in custody, in nine runs of ten.
    pub buffer_octets: u64,
}

impl Summary {
    pub(super) fn of<'f>(flows: impl Iterator<Item = &'f FlowWhatIf> + Clone) -> Self {
        let all = flows.clone().count();
        let trusted = || {
            let flows = flows.clone();
            flows.filter(|flow| flow.trustworthy && flow.speedup.is_some())
        };
        let sum =
            |figure: fn(&FlowWhatIf) -> u64| trusted().map(figure).fold(0, u64::saturating_add);
        let reproduced_us = sum(|flow| flow.reproduced.median_us().unwrap_or(0));
        let engine_us = sum(|flow| flow.engine.median_us().unwrap_or(0));
        let custody = |flow: &FlowWhatIf| flow.engine.peak_custody_octets;
        Self {
            flows: all as u64,
            trustworthy: trusted().count() as u64,
            captured_us: sum(|flow| flow.captured.completion_us),
            reproduced_us,
            engine_us,
            speedup: (engine_us > 0).then(|| reproduced_us as f64 / engine_us as f64),
            buffer_octets: trusted()
                .filter_map(custody)
                .map(|octets| octets.p90)
                .max()
                .unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        assert_eq!(Percentiles::of(Vec::new()), None);
        let one = Percentiles::of(vec![7]).unwrap();
        assert_eq!((one.min, one.p50, one.max), (7, 7, 7));
        let all = Percentiles::of((1..=20).rev().collect()).unwrap();
        assert_eq!(
            (all.min, all.p10, all.p50, all.p90, all.max),
            (1, 2, 10, 18, 20)
        );
    }

    #[test]
    fn runs_that_did_not_end_are_counted_apart() {
        let outcome = |took_us| Outcome {
            took_us,
            ..Outcome::default()
        };
        let runs = [Some(1_000_000), None, Some(2_000_000)].map(outcome);
        let figures = Simulated::of(&runs, 1_000_000);
        assert_eq!((figures.runs, figures.unfinished), (2, 1));
        assert_eq!(figures.median_us(), Some(1_000_000));
        assert_eq!(figures.throughput_bps.unwrap().max, 8_000_000);
        assert_eq!(Simulated::of(&runs[..2], 1).median_us(), None);
    }
}
