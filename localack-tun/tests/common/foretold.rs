//! What `localack-pcap what-if` foretells of a path, beside what the gateway does there.

use std::fs;
use std::path::PathBuf;

use localack_pcap::source::Source;
use localack_pcap::whatif::{ControllerChoice, Options, what_if};

use crate::common::Scratch;
use crate::stage::{ROOM, Stage, median};

/// A path and an upload over it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub(crate) rtt_ms: u32,
    pub(crate) rate_mbit: u32,
    /// Loss of data packets in percent.
    pub(crate) loss: f64,
    pub(crate) octets: usize,
}

const fn path(rtt_ms: u32, rate_mbit: u32, loss: f64, octets: usize) -> Path {
    Path {
        rtt_ms,
        rate_mbit,
        loss,
        octets,
    }
}

/// What was foretold and what was measured, in seconds.
#[derive(Debug)]
pub(crate) struct Found {
    path: Path,
    captured: f64,
    reproduced: f64,
    pub(crate) foretold: f64,
    pub(crate) measured: f64,
    /// Whether the path's rate was only a lower bound in most captures: it may be faster than foretold.
    at_most: bool,
}

impl Path {
    /// Combinations of a few round trips, rates and losses. What-if's estimates have been worked on
    /// with captures of them.
    #[allow(dead_code, reason = "a test has its own")]
    pub(crate) const GRID: [Self; 20] = [
        path(20, 5, 0.0, 2_000_000),
        path(20, 20, 0.0, 4_000_000),
        path(20, 50, 0.0, 8_000_000),
        path(20, 50, 0.3, 4_000_000),
        path(20, 5, 1.0, 2_000_000),
        path(20, 20, 1.0, 4_000_000),
        path(100, 5, 0.0, 2_000_000),
        path(100, 20, 0.0, 4_000_000),
        path(100, 50, 0.0, 8_000_000),
        path(100, 20, 0.3, 2_000_000),
        path(100, 50, 0.3, 2_000_000),
        path(100, 5, 1.0, 1_000_000),
        path(100, 20, 1.0, 2_000_000),
        path(300, 5, 0.0, 2_000_000),
        path(300, 20, 0.0, 4_000_000),
        path(300, 50, 0.0, 8_000_000),
        path(300, 20, 0.3, 1_000_000),
        path(300, 5, 1.0, 500_000),
        path(600, 5, 0.0, 2_000_000),
        path(600, 20, 0.0, 4_000_000),
    ];

    /// Others, with no value in common with [`Self::GRID`] but the absence of losses: whoever works on the
    /// estimates leaves these alone.
    #[allow(dead_code, reason = "a test has its own")]
    pub(crate) const HELD_OUT: [Self; 14] = [
        path(35, 8, 0.0, 2_000_000),
        path(35, 30, 0.5, 4_000_000),
        path(50, 16, 2.0, 1_000_000),
        path(60, 12, 0.7, 2_000_000),
        path(60, 40, 0.0, 6_000_000),
        path(80, 15, 1.5, 1_000_000),
        path(140, 8, 0.7, 1_000_000),
        path(150, 25, 0.2, 2_000_000),
        path(200, 10, 0.0, 2_000_000),
        path(220, 30, 0.5, 1_000_000),
        path(250, 15, 0.7, 1_000_000),
        path(400, 12, 0.2, 1_000_000),
        path(450, 25, 0.0, 4_000_000),
        path(500, 10, 0.0, 2_000_000),
    ];

    /// Its name.
    pub(crate) fn name(&self) -> String {
        let Self {
            rtt_ms,
            rate_mbit,
            loss,
            ..
        } = self;
        format!("{rtt_ms}ms {rate_mbit}mbit {loss}%")
    }

    /// The emulator's settings: a queue of a bandwidth-delay product, 64 packets at least, and losses
    /// among the data.
    fn link(&self, seed: usize) -> String {
        let product = self.rtt_ms * self.rate_mbit * 125;
        format!(
            "--delay {}us --rate {}mbit --queue {} --seed {seed} --left-to-right loss={}%",
            self.rtt_ms * 500,
            self.rate_mbit,
            product.max(96_000),
            self.loss,
        )
    }

    /// Uploads directly and by the gateway in turns. In a folder that is given, captures and measured
    /// times are kept; what is there already is not done again.
    pub(crate) fn compare(&self, runs: usize, keep: Option<&std::path::Path>) -> Found {
        let mut figures: [Vec<f64>; 4] = Default::default();
        let mut at_most = 0;
        for run in 0..runs {
            let file = |kind: &str| {
                let name = self.name().replace([' ', '%'], "-");
                keep.map(|folder| folder.join(format!("{name}{run}.{kind}")))
            };
            let ([captured, reproduced, foretold], is_lower_bound) =
                self.foretell(2 * run + 1, file("pcap"));
            at_most += usize::from(is_lower_bound);
            let measured = self.measure(1000 + 2 * run, file("seconds"));
            for (list, figure) in figures
                .iter_mut()
                .zip([captured, reproduced, foretold, measured])
            {
                list.push(figure);
            }
        }
        let [captured, reproduced, foretold, measured] = figures.map(median);
        Found {
            path: *self,
            captured,
            reproduced,
            foretold,
            measured,
            at_most: 2 * at_most > runs,
        }
    }

    /// The seconds of a direct upload, of its reproduction, and with an engine, from its capture; and
    /// whether the path's rate is only a lower bound.
    fn foretell(&self, seed: usize, keep: Option<PathBuf>) -> ([f64; 3], bool) {
        let scratch = Scratch::new(&format!("foretold-{seed}.pcap"));
        let capture = keep.as_deref().unwrap_or(&scratch.0);
        if !capture.exists() {
            self.capture(seed, capture);
        }
        let mut source = Source::open(capture).unwrap();
        let options = Options {
            controller: ControllerChoice::Bbr,
            seeds: 15,
            ..Options::default()
        };
        let answer = what_if(&mut source, &options, &mut |_| ());
        let flow = answer.flows.first();
        let flow = flow.unwrap_or_else(|| panic!("{:?}", answer.skipped));
        let times = [
            flow.captured.completion_us,
            flow.reproduced.median_us().unwrap(),
            flow.engine.median_us().unwrap(),
        ];
        let times = times.map(|micros| micros as f64 / 1e6);
        (times, flow.path.rate_is_lower_bound)
    }

    /// Uploads directly, and captures that.
    fn capture(&self, seed: usize, file: &std::path::Path) {
        let link = format!(
            "{} --snaplen 100 --write {}",
            self.link(seed),
            file.display()
        );
        let stage = Stage::new("foretold", Some(&link), None);
        stage.keep_order();
        stage.upload(self.octets, None);
        // The emulator writes the rest when it ends.
        drop(stage);
    }

    /// The seconds of an upload by the gateway.
    fn measure(&self, seed: usize, keep: Option<PathBuf>) -> f64 {
        let kept = keep.as_ref().and_then(|file| fs::read_to_string(file).ok());
        if let Some(kept) = kept {
            return kept.trim().parse().unwrap();
        }
        let settings = format!("{ROOM}[default]\ncontroller = \"bbr\"\n");
        let stage = Stage::new("measured", Some(&self.link(seed)), Some(&settings));
        stage.keep_order();
        let seconds = stage.upload(self.octets, None).as_secs_f64();
        if let Some(file) = keep {
            fs::write(file, seconds.to_string()).unwrap();
        }
        seconds
    }
}

impl Found {
    /// By how much more was foretold than measured, in percent.
    pub(crate) fn error_pct(&self) -> f64 {
        (self.foretold / self.measured - 1.0) * 100.0
    }

    /// A line of a table.
    #[allow(dead_code, reason = "a test prints it whole")]
    pub(crate) fn row(&self) -> String {
        format!(
            "| {} | {:.1} MB | {:.2} s | {:.2} s | {}{:.2} s | {:.2} s | {:+.0} % |",
            self.path.name(),
            self.path.octets as f64 / 1e6,
            self.captured,
            self.reproduced,
            if self.at_most { "at most " } else { "" },
            self.foretold,
            self.measured,
            self.error_pct(),
        )
    }
}
