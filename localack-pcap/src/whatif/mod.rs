//! What if there had been an engine: the captured applications, played again over the path that the
//! capture tells of, without an engine and with one.
//!
//! Other than a [replay](mod@crate::replay) this is a closed loop: hosts whose TCP is Linux's react to
//! what reaches them, in virtual time. Each connection is taken by itself:
//!
//! 1. [`trace`]: what was captured of it.
//! 2. [`estimate`]: the path's round trip, rate, loss and queue, unless the caller tells them.
//! 3. [`application`]: what both applications wrote, and after what.
//! 4. [`endpoint`]: what both ends' TCP is like.
//! 5. It is played without an engine. That must give what was captured: if the time differs by more
//!    than [`TRUSTED`], something about the connection is not understood, and it is
//!    [marked](FlowWhatIf::trustworthy).
//! 6. It is played with an engine at the place that the caller chose.
//!
//! Where losses are random, each is done with several seeds.
//!
//! # What it cannot know
//! Connections do not share the path: each has it to itself, with the rate that it could itself be
//! seen to get. Acknowledgements are not lost. Who loses packets on which part of the path is not in a
//! capture: with the engine near the sender all losses are beyond it, with the engine near the
//! receiver all are before it, and in the middle half of them are on either side, but the bottleneck
//! is beyond it. The sender's congestion control is the caller's guess ([`SenderChoice`]).
//!
//! # The JSON form, `localack-what-if/1`
//! [`WhatIf`] and the types it is made of document every field. In short:
//!
//! - `schema`: `"localack-what-if/1"`.
//! - `input`: `packets`, `segments`, `conversations`.
//! - `settings`: `controller`, `place`, `sender`, `seeds`, `buffer_octets`.
//! - `flows[]`, the largest first: `client`, `server`, `data_sender`, `octets[client, server]`,
//!   `bursts[client, server]`, `think_us[client, server]`, `path` with `rtt_ms`, `rate_mbit`,
//!   `loss_pct` and `queue_octets`, each `{value, how, confidence}`, `sender_rtt_ms` and
//!   `rate_is_lower_bound`;
//!   `endpoints[client, server]`; `captured` with `completion_us`, `throughput_bps`,
//!   `retransmitted_segments`; `reproduced` and `engine` with percentiles
//!   `{min, p10, p50, p90, max}` of `completion_us`, `throughput_bps`, `retransmitted_segments`,
//!   `engine_retransmitted_segments` and `peak_custody_octets`, and `runs`, `unfinished`;
//!   `error_pct`, `trustworthy`, `speedup`, `notes[]`.
//! - `skipped[]`: `client`, `server`, `octets`, `reason`.
//! - `summary`: `flows`, `trustworthy`, `captured_us`, `reproduced_us`, `engine_us` (sums of medians
//!   over trustworthy flows), `speedup`, `buffer_octets` (the most that one flow needed).

pub mod application;
pub mod endpoint;
pub mod estimate;
mod progress;
mod report;
mod simulate;
mod text;
pub mod trace;

pub use estimate::{Missing, Told};
pub use progress::Progress;
pub use report::{
    Captured, FlowWhatIf, Input, Percentiles, SCHEMA, Settings, Simulated, Skipped, Summary, WhatIf,
};
pub use text::write_text;
pub(crate) use text::{place_in_words, rate};

use std::collections::BTreeMap;

use crate::source::Source;
use endpoint::EndpointEstimate;
use estimate::{Confidence, Estimates, PathEstimate};
use simulate::{Outcome, Scene};
use trace::Trace;

/// By how much of the captured time the reproduction may differ, either way.
pub const TRUSTED: f64 = 0.20;

/// Who decides in the engine how much may be in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ControllerChoice {
    /// See [`Reno`](localack_core::Controller::Reno).
    Reno,
    /// See [`Cubic`](localack_core::Controller::Cubic).
    Cubic,
    /// See [`Bbr`](localack_core::Controller::Bbr); the gateway's default.
    #[default]
    Bbr,
    /// See [`provisioned`](localack_core::Controller::provisioned); the rate vouched for is the path's.
    Provisioned,
}

impl ControllerChoice {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reno => "reno",
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
            Self::Provisioned => "provisioned",
        }
    }
}

/// The congestion control of the simulated hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SenderChoice {
    /// As Linux's, with HyStart.
    #[default]
    Cubic,
    /// RFC 5681.
    Reno,
}

impl SenderChoice {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::Reno => "reno",
        }
    }
}

/// Where on the path the engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// Beside whoever sends more: at the capture point, if that is within a tenth of the round trip.
    #[default]
    NearSender,
    /// Beside whoever receives more.
    NearReceiver,
    /// Half way.
    Middle,
}

impl Place {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NearSender => "near-sender",
            Self::NearReceiver => "near-receiver",
            Self::Middle => "middle",
        }
    }

    /// The part of the round trip between the data's sender and the engine, in milliseconds.
    fn distance(self, path: &PathEstimate) -> f64 {
        /// A round trip over a local network.
        const LOCAL: f64 = 0.2;
        let rtt = path.rtt_ms.value;
        let local = LOCAL.min(rtt / 100.0);
        match self {
            Self::NearSender if path.sender_rtt_ms <= rtt / 10.0 => path.sender_rtt_ms.max(local),
            Self::NearSender => local,
            Self::NearReceiver => rtt - local,
            Self::Middle => rtt / 2.0,
        }
    }
}

/// Octets that a capture may lack, besides a tenth.
const MOST_MISSING: u64 = 1 << 20;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// What is known of the path.
    pub told: Told,
    /// The engine's controller.
    pub controller: ControllerChoice,
    /// Where it is.
    pub place: Place,
    /// The hosts' congestion control.
    pub sender: SenderChoice,
    /// With how many seeds lossy paths are simulated, 1 or more.
    pub seeds: u32,
    /// How many connections are simulated, the largest first.
    pub top: usize,
    /// Octets that the engine may hold for a connection; the default is the gateway's.
    pub buffer: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            told: Told::default(),
            controller: ControllerChoice::default(),
            place: Place::default(),
            sender: SenderChoice::default(),
            seeds: 20,
            top: 10,
            buffer: 4 << 20,
        }
    }
}

/// Asks what an engine would have done for the connections of a capture.
///
/// `progress` is told now and then how many octets of the capture have been read. What cannot be
/// simulated is among [`WhatIf::skipped`], with the reason; a damaged capture is used as far as it can
/// be read.
#[must_use]
pub fn what_if(source: &mut Source, options: &Options, progress: &mut dyn FnMut(u64)) -> WhatIf {
    let traces = trace::read(source, progress);
    let mut order: Vec<&Trace> = traces.all.iter().collect();
    order.sort_by_key(|trace| core::cmp::Reverse(trace.octets.iter().sum::<u64>()));
    let (mut flows, mut skipped) = (Vec::new(), Vec::new());
    for trace in order {
        let result = if flows.len() < options.top {
            simulate(trace, options, false)
        } else {
            Err(CannotSimulate(
                "larger ones are simulated: see --top".to_owned(),
            ))
        };
        match result {
            Ok(one) => flows.push(one.flow),
            Err(reason) => skipped.push(Skipped::new(trace, reason.0)),
        }
    }
    WhatIf {
        schema: SCHEMA,
        input: Input {
            packets: traces.packets,
            segments: traces.segments,
            conversations: traces.all.len() as u64,
        },
        settings: Settings::of(options),
        summary: Summary::of(flows.iter()),
        flows,
        skipped,
    }
}

/// Why a connection cannot be simulated, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotSimulate(String);

impl From<Missing> for CannotSimulate {
    fn from(missing: Missing) -> Self {
        Self(missing.to_string())
    }
}

/// One connection, and how its data arrived.
#[derive(Debug)]
pub struct Foretold {
    /// Its figures.
    pub flow: FlowWhatIf,
    /// How its data arrived; nothing in it unless it was asked for.
    pub progress: Progress,
}

/// Certain connections of a capture.
#[derive(Debug)]
pub struct Chosen {
    /// What was asked.
    pub settings: Settings,
    /// What came of each, by its place among the capture's connections in the order of their first packets.
    pub flows: BTreeMap<usize, Result<Foretold, CannotSimulate>>,
    /// Those that were simulated, together.
    pub summary: Summary,
}

/// As [`what_if`] for the connections at these places among the capture's, in the order of their first
/// packets, whatever [`Options::top`] is; and how their data arrived.
pub fn what_if_of(
    source: &mut Source,
    options: &Options,
    chosen: &[usize],
    progress: &mut dyn FnMut(u64),
) -> Chosen {
    let traces = trace::read(source, progress);
    let one = |&place: &usize| {
        let missing = || CannotSimulate("it is not in the capture".to_owned());
        let trace = traces.all.get(place).ok_or_else(missing);
        (
            place,
            trace.and_then(|trace| simulate(trace, options, true)),
        )
    };
    let flows: BTreeMap<_, _> = chosen.iter().map(one).collect();
    Chosen {
        settings: Settings::of(options),
        summary: Summary::of(flows.values().flatten().map(|one| &one.flow)),
        flows,
    }
}

/// Simulates one connection; `watched`: how its data arrived is told, too.
fn simulate(trace: &Trace, options: &Options, watched: bool) -> Result<Foretold, CannotSimulate> {
    check(trace)?;
    let Estimates {
        path,
        round_trips,
        losses,
    } = estimate::estimate(trace, &options.told)?;
    let application = application::reconstruct(trace, &round_trips);
    let ends =
        trace::Side::BOTH.map(|side| EndpointEstimate::of(trace, side, &round_trips, &application));
    let [Some(client), Some(server)] = ends else {
        return Err(CannotSimulate("its SYNs were not captured".to_owned()));
    };
    let endpoints = [client, server];
    let scene = Scene {
        trace,
        application: &application,
        path: &path,
        endpoints: &endpoints,
        place: options.place,
        sender: options.sender,
        buffer: options.buffer,
    };
    if trace::Side::BOTH.into_iter().any(|side| {
        let octets = trace.octets[side as usize];
        application.scripts[side as usize].octets() > octets + octets / 10 + MOST_MISSING
    }) {
        return Err(CannotSimulate(
            "too much of it is missing from the capture".to_owned(),
        ));
    }
    let seeds = seeds(trace, &path, options.seeds);
    let runs = |controller| -> Vec<Outcome> {
        (0..seeds)
            .map(|seed| scene.run(u64::from(seed) + 1, controller))
            .collect()
    };
    let octets = trace.octets.iter().max().copied().unwrap_or(0);
    let [(reproduced, without), (engine, with)] =
        [None, Some(options.controller)].map(|controller| {
            let outcomes = runs(controller);
            let figures = Simulated::of(&outcomes, octets);
            let progress = if watched {
                progress::simulated(&scene, &outcomes, &figures, controller)
            } else {
                Vec::new()
            };
            (figures, progress)
        });
    let progress = Progress {
        captured: if watched {
            progress::captured(trace, &round_trips)
        } else {
            Vec::new()
        },
        reproduced: without,
        engine: with,
    };
    let flow = FlowWhatIf::new(
        trace,
        &application,
        (path, &losses),
        endpoints,
        (reproduced, engine),
    );
    Ok(Foretold { flow, progress })
}

/// With how many seeds a connection is simulated: without losses one run is as the other, and very
/// large ones have fewer.
fn seeds(trace: &Trace, path: &PathEstimate, asked: u32) -> u32 {
    /// Segments that all runs of one connection move, roughly.
    const SEGMENTS: u64 = 10_000_000;
    if path.loss_pct.value <= 0.0 {
        return 1;
    }
    let octets: u64 = trace.octets.iter().sum();
    let segments = octets / u64::from(trace.segment_size().max(1)) + 1;
    let affordable = u32::try_from(SEGMENTS / segments).unwrap_or(u32::MAX);
    asked.min(affordable).max(1)
}

/// Whether a connection can be simulated at all.
fn check(trace: &Trace) -> Result<(), CannotSimulate> {
    /// Octets that a reconstruction is about at the most.
    const MOST: u64 = 1 << 40;
    let reason = if !trace.complete_handshake {
        "its handshake is not complete"
    } else if trace.cut {
        "it has too many segments"
    } else if trace.octets == [0, 0] {
        "it carries no data"
    } else if trace.records.is_empty() {
        "its SYNs were not captured"
    } else if trace.ends[0] == trace.ends[1]
        || trace.ends[0].0.is_ipv4() != trace.ends[1].0.is_ipv4()
    {
        "its addresses make no sense"
    } else if trace.octets.iter().any(|&octets| octets > MOST) {
        "its sequence numbers make no sense"
    } else {
        return Ok(());
    };
    Err(CannotSimulate(reason.to_owned()))
}

/// Whether an estimate is worth a warning.
const fn is_weak(estimate: &estimate::Estimate) -> bool {
    matches!(estimate.confidence, Confidence::Low)
}
