//! What came of it: a table, a plot, and the same for machines.

use core::fmt::Write as _;
use core::time::Duration;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::gateway::Counts;
use super::plot::{Series, plot};
use super::{Mode, Plan, amount};
use crate::link::LinkConfig;

/// Columns of the table: what it is, without the engine, with it.
const COLUMNS: [usize; 3] = [36, 20, 20];

/// One transfer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Outcome {
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub(super) time: Duration,
    #[serde(rename = "longest_wait_seconds", serialize_with = "seconds")]
    pub(super) longest_wait: Duration,
    pub(super) sender_retransmissions: u64,
    pub(super) engine: Option<EngineCounts>,
    pub(super) sha256: String,
    /// Octets that had arrived by the time in seconds.
    #[serde(serialize_with = "points")]
    pub(super) progress: Vec<(Duration, u64)>,
}

/// What the engine did meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct EngineCounts {
    pub(super) local_acks: u64,
    pub(super) retransmissions: u64,
}

impl From<Counts> for EngineCounts {
    fn from(counts: Counts) -> Self {
        Self {
            local_acks: counts.local_acks,
            retransmissions: counts.retransmissions,
        }
    }
}

/// What was shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Setting {
    octets: u64,
    direction: &'static str,
    /// From the gateway, the way that the file takes, and back.
    link: [String; 2],
    #[serde(rename = "physical_limit_seconds", serialize_with = "seconds")]
    limit: Duration,
    sender_controller: String,
    gateway: Vec<String>,
}

impl Setting {
    pub(super) fn new(plan: &Plan) -> Self {
        let arguments = plan.program.arguments.iter();
        Self {
            octets: plan.octets,
            direction: if plan.download { "download" } else { "upload" },
            link: [&plan.there, &plan.back].map(describe),
            limit: plan.physical_limit(),
            sender_controller: plan.congestion_control.clone(),
            gateway: arguments
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect(),
        }
    }

    fn picture(&self) -> String {
        let [there, back] = &self.link;
        let (near, far, says) = match self.direction {
            "upload" => ("client", "server", "from the client to the server"),
            _ => ("server", "client", "from the server to the client"),
        };
        let mut text = format!("{near} --- gateway ===== {there} =====> {far}\n");
        if back != there {
            let _ = writeln!(text, "{:1$}<===== {back} =====", "", near.len() + 13);
        }
        let octets = amount::octets(self.octets);
        let _ = writeln!(
            text,
            "{octets} {says}; the sender's kernel has {}",
            self.sender_controller
        );
        text
    }
}

/// A link in a line.
fn describe(config: &LinkConfig) -> String {
    let mut parts = vec![amount::time(config.delay)];
    let mut part = |given: bool, text: String| {
        if given {
            parts.push(text);
        }
    };
    let jitter = amount::time(config.jitter);
    part(!config.jitter.is_zero(), format!("jitter {jitter}"));
    if let Some(rate) = config.rate {
        let rate = amount::rate(rate.bits_per_second() / 8, Duration::from_secs(1));
        part(true, rate);
        let queue = LinkConfig::default().queue != config.queue;
        part(queue, format!("queue {}", amount::octets(config.queue)));
    }
    part(config.loss.ppm() > 0, format!("{} lost", config.loss));
    if let Some(burst) = config.burst_loss {
        part(true, format!("bursts of loss after {}", burst.enter));
    }
    part(
        config.reorder.ppm() > 0,
        format!("{} reordered", config.reorder),
    );
    part(
        config.duplicate.ppm() > 0,
        format!("{} twice", config.duplicate),
    );
    part(
        config.corrupt.ppm() > 0,
        format!("{} corrupted", config.corrupt),
    );
    parts.join(", ")
}

/// The transfers of one mode.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Transfers {
    median: Medians,
    runs: Vec<Outcome>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Medians {
    #[serde(rename = "seconds", serialize_with = "seconds")]
    time: Duration,
    goodput_bits_per_second: u64,
    share_of_limit: f64,
    #[serde(rename = "longest_wait_seconds", serialize_with = "seconds")]
    longest_wait: Duration,
    sender_retransmissions: u64,
    engine_retransmissions: Option<u64>,
}

impl Transfers {
    fn new(setting: &Setting, runs: Vec<Outcome>) -> Self {
        let time = median_time(&runs, |run| run.time);
        let goodput = setting.octets as f64 * 8.0 / time.as_secs_f64().max(1e-9);
        let repairs: Option<Vec<u64>> = runs
            .iter()
            .map(|run| run.engine.map(|engine| engine.retransmissions))
            .collect();
        Self {
            median: Medians {
                time,
                goodput_bits_per_second: goodput.round() as u64,
                share_of_limit: setting.limit.as_secs_f64() / time.as_secs_f64().max(1e-9),
                longest_wait: median_time(&runs, |run| run.longest_wait),
                sender_retransmissions: median(
                    runs.iter().map(|run| run.sender_retransmissions).collect(),
                ),
                engine_retransmissions: repairs.map(median),
            },
            runs,
        }
    }

    /// The run whose time is nearest to the median: the one to draw.
    fn typical(&self) -> &[(Duration, u64)] {
        let nearest = self
            .runs
            .iter()
            .min_by_key(|run| run.time.abs_diff(self.median.time));
        nearest.map_or(&[], |run| &run.progress)
    }

    fn range(&self) -> String {
        let times = || self.runs.iter().map(|run| run.time);
        let time = |time: Option<Duration>| amount::time(time.unwrap_or_default());
        format!("{} to {}", time(times().min()), time(times().max()))
    }
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    let upper = values.get(values.len() / 2).copied().unwrap_or_default();
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = (values.len() / 2).checked_sub(1);
    let lower = lower.and_then(|n| values.get(n)).copied();
    lower.map_or(upper, |lower| lower.midpoint(upper))
}

fn median_time(runs: &[Outcome], time: impl Fn(&Outcome) -> Duration) -> Duration {
    let nanos = |run| u64::try_from(time(run).as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(median(runs.iter().map(nanos).collect()))
}

/// The same file without and with the engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    setting: Setting,
    sha256: String,
    /// How many times sooner the file was there with the engine.
    times_sooner: f64,
    without_engine: Transfers,
    with_engine: Transfers,
}

impl Comparison {
    pub(super) fn new(setting: Setting, direct: Vec<Outcome>, engine: Vec<Outcome>) -> Self {
        let digest = direct.first().map(|run| run.sha256.clone());
        let direct = Transfers::new(&setting, direct);
        let engine = Transfers::new(&setting, engine);
        let times = direct.median.time.as_secs_f64() / engine.median.time.as_secs_f64().max(1e-9);
        Self {
            setting,
            sha256: digest.unwrap_or_default(),
            times_sooner: times,
            without_engine: direct,
            with_engine: engine,
        }
    }

    /// How long the median transfer took.
    pub fn time(&self, mode: Mode) -> Duration {
        self.of(mode).median.time
    }

    fn of(&self, mode: Mode) -> &Transfers {
        match mode {
            Mode::Direct => &self.without_engine,
            Mode::Engine => &self.with_engine,
        }
    }

    /// As text, 80 columns wide; with `colour` for a terminal.
    #[must_use]
    pub fn text(&self, colour: bool) -> String {
        let mut text = self.setting.picture();
        text.push('\n');
        text.push_str(&self.table());
        text.push('\n');
        let series = [
            (Mode::Direct, ".", "\x1b[33m"),
            (Mode::Engine, "#", "\x1b[32m"),
        ];
        let series = series.map(|(mode, mark, colour)| Series {
            mark,
            name: mode.name(),
            colour,
            points: self.of(mode).typical(),
        });
        text.push_str("What had arrived, over time:\n");
        text.push_str(&plot(&series, 80, colour));
        text
    }

    fn table(&self) -> String {
        let both = [&self.without_engine, &self.with_engine];
        let runs = self.without_engine.runs.len();
        let mut table = String::new();
        let mut row = |name: &str, cells: [String; 2]| {
            let [first, second, third] = COLUMNS;
            let [left, right] = cells;
            let _ = writeln!(table, "{name:<first$}{left:>second$}{right:>third$}");
        };
        let name = match runs {
            1 => String::new(),
            runs => format!("medians of {runs} transfers each"),
        };
        row(
            &name,
            [Mode::Direct, Mode::Engine].map(|mode| mode.name().to_owned()),
        );
        let median = |show: &dyn Fn(&Medians) -> String| both.map(|these| show(&these.median));
        row("time", median(&|m| amount::time(m.time)));
        if runs > 1 {
            row("times of all", both.map(Transfers::range));
        }
        let octets = self.setting.octets;
        row("goodput", median(&|m| amount::rate(octets, m.time)));
        let limit = self.setting.limit;
        let name = format!("share of the physical limit, {}", amount::time(limit));
        row(&name, median(&|m| amount::share(limit, m.time)));
        row(
            "longest wait without progress",
            median(&|m| amount::time(m.longest_wait)),
        );
        let sent_again = median(&|m| m.sender_retransmissions.to_string());
        row("retransmissions by the sender", sent_again);
        let repaired = |m: &Medians| match m.engine_retransmissions {
            Some(count) => count.to_string(),
            None => "-".to_owned(),
        };
        row("retransmissions by the engine", median(&repaired));
        // Anything else is an error.
        row(
            "SHA-256 of what arrived",
            ["right", "right"].map(str::to_owned),
        );
        let [direct, engine] = both.map(|these| these.median.time);
        let said = if engine <= direct {
            format!(
                "{} times sooner with the engine",
                amount::times(direct, engine)
            )
        } else {
            format!(
                "{} times later with the engine",
                amount::times(engine, direct)
            )
        };
        let _ = writeln!(table, "\n{said}");
        table
    }
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

fn points<S: Serializer>(points: &[(Duration, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(points.len()))?;
    for (time, octets) in points {
        sequence.serialize_element(&(time.as_secs_f64(), octets))?;
    }
    sequence.end()
}

#[cfg(test)]
mod tests {
    use super::super::Program;
    use super::*;

    fn outcome(milliseconds: u64, engine: Option<u64>) -> Outcome {
        let time = Duration::from_millis(milliseconds);
        Outcome {
            time,
            longest_wait: time / 10,
            sender_retransmissions: milliseconds / 1000,
            engine: engine.map(|retransmissions| EngineCounts {
                local_acks: 9,
                retransmissions,
            }),
            sha256: "ab".to_owned(),
            progress: vec![(time / 2, 1_000_000), (time, 2_000_000)],
        }
    }

    fn comparison(direct: &[u64], engine: &[u64]) -> Comparison {
        let mut plan = Plan::new(Program::new("localack-tun".into(), "run"));
        plan.octets = 2_000_000;
        plan.there.delay = Duration::from_millis(300);
        plan.there.rate = Some("20mbit".parse().unwrap());
        plan.there.loss = "1%".parse().unwrap();
        plan.back = plan.there.clone();
        let setting = Setting::new(&plan);
        let direct = direct.iter().map(|time| outcome(*time, None)).collect();
        let engine = engine.iter().map(|time| outcome(*time, Some(7))).collect();
        Comparison::new(setting, direct, engine)
    }

    #[test]
    fn the_table_has_both_beside_each_other() {
        let expected = "\
client --- gateway ===== 300 ms, 20.0 Mbit/s, 1% lost =====> server
2.00 MB from the client to the server; the sender's kernel has cubic

                                      without the engine     with the engine
time                                              31.2 s              2.60 s
goodput                                       513 kbit/s         6.15 Mbit/s
share of the physical limit, 1.73 s                5.5 %                66 %
longest wait without progress                     3.12 s              260 ms
retransmissions by the sender                         31                   2
retransmissions by the engine                          -                   7
SHA-256 of what arrived                            right               right

12 times sooner with the engine

What had arrived, over time:
";
        let text = comparison(&[31_200], &[2_600]).text(false);
        assert!(text.starts_with(expected), "{text}");
        assert!(text.lines().all(|line| line.len() <= 81), "{text}");
    }

    #[test]
    fn several_runs_are_told_by_their_medians() {
        let text = comparison(&[9_000, 1_000, 3_000, 5_000], &[5_000, 3_000, 10_000]).text(false);
        for line in [
            "medians of 4 transfers each           without the engine     with the engine",
            "time                                              4.00 s              5.00 s",
            "times of all                            1.00 s to 9.00 s    3.00 s to 10.0 s",
            "1.2 times later with the engine",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line:?} in\n{text}"
            );
        }
    }

    #[test]
    fn links_that_differ_are_both_told() {
        let mut plan = Plan::new(Program::new("localack-tun".into(), "run"));
        plan.download = true;
        plan.congestion_control = "reno".to_owned();
        for setting in "delay=1s jitter=5ms rate=8mbit queue=64kb loss=0.25% burst-loss=1%,25% \
                        reorder=2% duplicate=3% corrupt=4%"
            .split_whitespace()
        {
            plan.there.apply(setting.parse().unwrap());
        }
        let picture = Setting::new(&plan).picture();
        let expected = "\
server --- gateway ===== 1.00 s, jitter 5.00 ms, 8.00 Mbit/s, queue 64.0 kB, 0.25% lost, \
bursts of loss after 1%, 2% reordered, 3% twice, 4% corrupted =====> client
                   <===== 0 ms =====
1.00 MB from the server to the client; the sender's kernel has reno
";
        assert_eq!(picture, expected);
    }

    #[test]
    fn machines_get_numbers() {
        let json = serde_json::to_value(comparison(&[30_000], &[2_000])).unwrap();
        assert_eq!(json["times_sooner"], 15.0);
        assert_eq!(json["without_engine"]["median"]["seconds"], 30.0);
        assert_eq!(
            json["without_engine"]["median"]["goodput_bits_per_second"],
            533_333
        );
        assert_eq!(
            json["with_engine"]["runs"][0]["engine"]["retransmissions"],
            7
        );
        assert_eq!(json["with_engine"]["runs"][0]["progress"][1][1], 2_000_000);
        assert_eq!(json["setting"]["direction"], "upload");
    }
}
