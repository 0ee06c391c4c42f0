//! What `localack-pcap what-if` foretells of a path, beside what the gateway does there.

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
}

impl Path {
    /// The paths that are measured.
    #[allow(dead_code, reason = "a test has its own")]
    pub(crate) const ALL: [Self; 14] = [
        path(20, 5, 0.0, 2_000_000),
        path(20, 20, 0.0, 4_000_000),
        path(20, 50, 0.0, 8_000_000),
        path(20, 20, 1.0, 4_000_000),
        path(100, 5, 0.0, 2_000_000),
        path(100, 20, 0.0, 4_000_000),
        path(100, 50, 0.0, 8_000_000),
        path(100, 20, 0.3, 2_000_000),
        path(100, 20, 1.0, 2_000_000),
        path(300, 5, 0.0, 2_000_000),
        path(300, 20, 0.0, 4_000_000),
        path(300, 50, 0.0, 8_000_000),
        path(300, 20, 0.3, 1_000_000),
        path(600, 20, 0.0, 4_000_000),
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

    /// Uploads directly and by the gateway in turns.
    pub(crate) fn compare(&self, runs: usize) -> Found {
        let mut figures: [Vec<f64>; 4] = Default::default();
        for run in 0..runs {
            let [captured, reproduced, foretold] = self.foretell(2 * run + 1);
            let measured = self.measure(1000 + 2 * run);
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
        }
    }

    /// The seconds of a direct upload, of its reproduction, and with an engine, from its capture.
    fn foretell(&self, seed: usize) -> [f64; 3] {
        let capture = Scratch::new(&format!("foretold-{seed}.pcap"));
        let link = format!(
            "{} --snaplen 100 --write {}",
            self.link(seed),
            capture.0.display()
        );
        let stage = Stage::new("foretold", Some(&link), None);
        stage.keep_order();
        stage.upload(self.octets, None);
        // The emulator writes the rest when it ends.
        drop(stage);
        let mut source = Source::open(&capture.0).unwrap();
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
        times.map(|micros| micros as f64 / 1e6)
    }

    /// The seconds of an upload by the gateway.
    fn measure(&self, seed: usize) -> f64 {
        let settings = format!("{ROOM}[default]\ncontroller = \"bbr\"\n");
        let stage = Stage::new("measured", Some(&self.link(seed)), Some(&settings));
        stage.keep_order();
        stage.upload(self.octets, None).as_secs_f64()
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
            "| {} | {:.0} MB | {:.2} s | {:.2} s | {:.2} s | {:.2} s | {:+.0} % |",
            self.path.name(),
            self.path.octets as f64 / 1e6,
            self.captured,
            self.reproduced,
            self.foretold,
            self.measured,
            self.error_pct(),
        )
    }
}
