//! One file over a long link, without an engine beside its sender and with one.
//!
//! For each transfer a network is made from nothing: two hosts, a gateway, and the emulated
//! link, in network namespaces without a name. They are gone when the transfer ends or the process
//! does, however it ends; the machine's own network is not touched. The TCP of both hosts is the
//! machine's. Without the engine the gateway's kernel forwards the packets; with it, a child process
//! does what `localack-tun run` does.
//!
//! The same packets in the same order meet the same losses with and without the engine: each pair of
//! transfers has the same seed, and each pair its own.

mod amount;
mod error;
mod gateway;
mod home;
mod net;
mod plot;
mod report;
mod stop;
mod transfer;
mod world;

use core::sync::atomic::AtomicBool;
use core::time::Duration;

pub use self::error::DemoError;
use self::gateway::Gateway;
pub use self::gateway::Program;
use self::home::Home;
pub use self::report::Comparison;
use self::report::{Outcome, Setting};
use self::stop::Stop;
use self::transfer::{Task, Trouble, transfer};
use self::world::World;
use crate::link::{ConfigError, Link, LinkConfig};

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The link from the gateway, the way that the file takes.
    pub there: LinkConfig,
    /// The link to the gateway.
    pub back: LinkConfig,
    /// The size of the file in octets, at least 1.
    pub octets: u64,
    /// Whether the receiver opens the connection and asks for the file. Either way the gateway is
    /// beside the sender.
    pub download: bool,
    /// How often the file is moved, without the engine and with it in turns; at least 1.
    pub runs: u16,
    /// How long one transfer may take.
    pub patience: Duration,
    /// The congestion control of the sender's kernel, by its name there.
    pub congestion_control: String,
    /// The gateway with the engine.
    pub program: Program,
}

impl Plan {
    /// A plan for one upload of 1 MB over perfect links by a sender with CUBIC, of at most five minutes.
    pub fn new(program: Program) -> Self {
        Self {
            there: LinkConfig::default(),
            back: LinkConfig::default(),
            octets: 1_000_000,
            download: false,
            runs: 1,
            patience: Duration::from_secs(300),
            congestion_control: "cubic".to_owned(),
            program,
        }
    }

    /// The links of the run of that number, counted from 0.
    ///
    /// # Errors
    ///
    /// When settings contradict each other.
    pub fn links(&self, run: u16) -> Result<(Link, Link), ConfigError> {
        let link = |config: &LinkConfig| {
            let mut config = config.clone();
            config.seed = config.seed.wrapping_add(u64::from(run) * 2);
            Link::new(config)
        };
        Ok((link(&self.there)?, link(&self.back)?))
    }

    /// The least time that the file can take: the link is crossed until data may be sent and once by
    /// the data, and everything passes the line in full-size segments.
    pub fn physical_limit(&self) -> Duration {
        /// Payload and headers of a full-size segment with timestamps, over IPv4 on Ethernet.
        const SEGMENT: (u64, u64) = (1448, 52);
        let headers = self.octets.div_ceil(SEGMENT.0).saturating_mul(SEGMENT.1);
        let on_the_line = self.octets.saturating_add(headers);
        let line = self
            .there
            .rate
            .map_or(Duration::ZERO, |rate| rate.time_for(on_the_line));
        // SYN, SYN and ACK, data; or SYN, SYN and ACK, request, data.
        let crossings = if self.download {
            self.back.delay + self.there.delay + self.back.delay + self.there.delay
        } else {
            self.there.delay + self.back.delay + self.there.delay
        };
        line.saturating_add(crossings)
    }
}

/// Without or with the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The gateway's kernel forwards the packets.
    Direct,
    /// The gateway's engine does.
    Engine,
}

impl Mode {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "without the engine",
            Self::Engine => "with the engine",
        }
    }
}

/// How far a demonstration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Which transfer is under way.
    pub mode: Mode,
    /// The number of the run, counted from 0.
    pub run: u16,
    /// How long it has taken until now.
    pub time: Duration,
    /// Octets that have arrived.
    pub octets: u64,
    /// Whether that is all.
    pub done: bool,
}

/// Moves the file as planned, until `stop` is set; says now and then how far it is.
///
/// # Errors
///
/// When the system refuses something, when the engine serves nothing, when what arrives is not what was
/// sent, and when `stop` is set. Whatever has been made is gone by then.
pub fn run(
    plan: &Plan,
    stop: &AtomicBool,
    mut tell: impl FnMut(Progress),
) -> Result<Comparison, DemoError> {
    let stop = Stop(stop);
    // First, so that it is found out before anything is written that this may not be done.
    let probe = net::Namespace::new().map_err(DemoError::making("a network namespace"));
    drop(probe?);
    let home = Home::new().map_err(DemoError::making("a directory below /run"))?;
    let mut outcomes = [Vec::new(), Vec::new()];
    for run in 0..plan.runs.max(1) {
        for (mode, outcomes) in [Mode::Direct, Mode::Engine].into_iter().zip(&mut outcomes) {
            let mut tell = |time, octets, done| {
                tell(Progress {
                    mode,
                    run,
                    time,
                    octets,
                    done,
                });
            };
            let (there, back) = plan.links(run).map_err(DemoError::Setting)?;
            let world = World::new(there, back)?;
            let outcome = attempt(plan, mode, world, &home, stop, &mut tell)?;
            tell(outcome.time, plan.octets, true);
            outcomes.push(outcome);
        }
    }
    let [direct, engine] = outcomes;
    Ok(Comparison::new(Setting::new(plan), direct, engine))
}

/// Moves the file once.
fn attempt(
    plan: &Plan,
    mode: Mode,
    world: World,
    home: &Home,
    stop: Stop<'_>,
    tell: &mut dyn FnMut(Duration, u64, bool),
) -> Result<Outcome, DemoError> {
    stop.check()?;
    let mut gateway = match mode {
        Mode::Direct => None,
        Mode::Engine => Some(Gateway::start(&plan.program, &world.gateway, home, stop)?),
    };
    let task = Task {
        octets: plan.octets,
        download: plan.download,
        congestion_control: &plan.congestion_control,
    };
    let transferred = transfer(&world, task, |time, octets| {
        tell(time, octets, false);
        let gone = gateway.as_mut().is_some_and(Gateway::has_ended);
        time < plan.patience && !gone && !world.is_broken() && !stop.is_wanted()
    });
    let arrival = match transferred {
        Ok(arrival) => arrival,
        Err(trouble) => return Err(reason(plan, mode, world, gateway, stop, trouble)),
    };
    if arrival.octets != plan.octets || arrival.sent != arrival.received {
        return Err(DemoError::Corrupted {
            mode: mode.name(),
            octets: arrival.octets,
            digest: arrival.received,
        });
    }
    let sender_retransmissions = world.retransmissions()?;
    let counts = gateway.map(Gateway::end).transpose()?;
    if let Some(counts) = counts.filter(|counts| counts.local_acks == 0) {
        return Err(DemoError::NotServed(format!("{counts:?}")));
    }
    world.end()?;
    Ok(Outcome {
        time: arrival.took,
        longest_wait: arrival.longest_wait,
        sender_retransmissions,
        engine: counts.map(Into::into),
        sha256: arrival.received,
        progress: arrival.progress,
    })
}

/// Why a transfer has not come to its end.
fn reason(
    plan: &Plan,
    mode: Mode,
    world: World,
    gateway: Option<Gateway>,
    stop: Stop<'_>,
    trouble: Trouble,
) -> DemoError {
    let mode = mode.name();
    if stop.is_wanted() {
        return DemoError::Interrupted;
    }
    if let Some(mut gateway) = gateway
        && gateway.has_ended()
    {
        return gateway.ended_early();
    }
    if let Err(error) = world.end() {
        return error;
    }
    match trouble {
        Trouble::Broken(octets) => DemoError::TooSlow {
            mode,
            octets,
            size: plan.octets,
            patience: plan.patience,
        },
        Trouble::Host(host, error) => DemoError::Transfer { mode, host, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let mut plan = Plan::new(Program::new("localack-tun".into(), "run"));
        plan.there.delay = Duration::from_millis(300);
        plan.back.delay = Duration::from_millis(200);
        plan.there.rate = Some("20mbit".parse().unwrap());
        plan
    }

    #[test]
    fn the_physical_limit_is_crossings_and_the_time_on_the_line() {
        let mut plan = plan();
        plan.octets = 1448 * 1000;
        // A thousand packets of 1500 octets, 0.6 ms each.
        assert_eq!(plan.physical_limit(), Duration::from_millis(800 + 600));
        plan.download = true;
        assert_eq!(plan.physical_limit(), Duration::from_millis(1000 + 600));
        plan.there.rate = None;
        assert_eq!(plan.physical_limit(), Duration::from_millis(1000));
    }

    #[test]
    fn both_transfers_of_a_run_have_one_seed_and_each_run_and_way_its_own() {
        let mut plan = plan();
        plan.back.seed = 2;
        let seeds = |run| {
            let (there, back) = plan.links(run).unwrap();
            [there.config().seed, back.config().seed]
        };
        assert_eq!(seeds(0), [1, 2]);
        assert_eq!(seeds(1), [3, 4]);
        assert_eq!(seeds(1), seeds(1));
    }
}
