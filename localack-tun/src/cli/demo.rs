//! `localack-tun demo`.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::env;
use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;
use std::thread;

use clap::Args;
use localack_core::Custody;
use localack_tun::config::{ControllerName, Rate, custody};
use localack_tun::demo::{self, Comparison, DemoError, Plan, Program, Progress};
use localack_tun::link::units::{self, BitRate, Probability};
use localack_tun::link::{BurstLoss, LinkConfig, Setting};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use super::Failure;
use super::run::Run;

/// The hidden command that the gateway's program is started with.
pub(super) const GATEWAY: &str = "demo-gateway";
/// What one direction of a connection may have in custody where less than half of that is on the way.
const BUFFER: u64 = 4 << 20;
/// The most that it may have.
const LARGEST_BUFFER: u64 = 512 << 20;
/// How long the gateway may hand connections back once its demonstration is gone.
const HANDING_BACK: Duration = Duration::from_secs(1);
/// How often the line about the progress changes.
const REFRESH: Duration = Duration::from_millis(200);

/// Move a file over an emulated long link, without an engine beside its sender and with one.
///
/// Makes network namespaces for a client, a gateway and a server, joins the gateway and the far host by
/// an emulated link, and moves a file: first with the gateway's kernel forwarding the packets, then with
/// `localack-tun run` on it. Both files are checked by their hash. The machine's own network is not
/// touched, and nothing of it is left at the end, whatever ends it.
///
/// The file goes from the client to the server; with --download the other way. The gateway is beside the
/// sender both times, for that is who waits for acknowledgements.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Size of the file: 500kb, 5mib.
    #[arg(long, value_name = "OCTETS", value_parser = units::octets, default_value = "2mb")]
    size: u64,

    /// Have the client fetch the file from a server, which has the gateway beside it.
    #[arg(long)]
    download: bool,

    /// Move the file so often, without and with the engine in turns, and show medians.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=99))]
    runs: u16,

    /// How long one transfer may take.
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "5min")]
    patience: Duration,

    /// Congestion control of the sender's kernel: cubic, reno, or another that it has.
    #[arg(long, value_name = "NAME", default_value = "cubic", value_parser = congestion_control)]
    sender_controller: String,

    /// Print JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    link: LinkArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
struct EngineArgs {
    /// Who decides how much may be in flight: reno, cubic, bbr, or provisioned, which takes the
    /// link's rate for granted.
    #[arg(long, value_name = "CONTROLLER", default_value = "bbr")]
    controller: ControllerName,

    /// When the engine may acknowledge: after-proof or after-handshake.
    #[arg(long, value_name = "WHEN", default_value = "after-proof", value_parser = custody)]
    custody: Custody,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Link, each way")]
struct LinkArgs {
    /// Delay, one way.
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "300ms")]
    delay: Duration,

    /// Vary the delay by up to this much either way, without reordering.
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "0ms")]
    jitter: Duration,

    /// Line rate.
    #[arg(long, default_value = "20mbit")]
    rate: BitRate,

    /// Octets that may wait for the line.
    #[arg(long, value_name = "OCTETS", value_parser = units::octets, default_value = "1mib")]
    queue: u64,

    /// Lose packets at random.
    #[arg(long, value_name = "CHANCE", default_value = "1%")]
    loss: Probability,

    /// Lose packets in bursts (Gilbert-Elliott): chance to enter a burst, to leave it, and to
    /// lose a packet within it [default: none; 100%].
    #[arg(long, value_name = "ENTER,LEAVE[,LOSS]")]
    burst_loss: Option<BurstLoss>,

    /// Hold packets back at random, so that later ones overtake them.
    #[arg(long, value_name = "CHANCE", default_value = "0%")]
    reorder: Probability,

    /// How late a packet is that was held back.
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "20ms")]
    reorder_by: Duration,

    /// Deliver packets twice at random.
    #[arg(long, value_name = "CHANCE", default_value = "0%")]
    duplicate: Probability,

    /// Flip a bit of packets at random.
    #[arg(long, value_name = "CHANCE", default_value = "0%")]
    corrupt: Probability,

    /// Seed of all random decisions; the way back uses the next number, each run the next two.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Change a setting of the way that the file takes only, for example loss=2% (repeatable).
    #[arg(long, value_name = "SETTING=VALUE")]
    there: Vec<Setting>,

    /// Change a setting of the way back only, for example rate=2mbit (repeatable).
    #[arg(long, value_name = "SETTING=VALUE")]
    back: Vec<Setting>,
}

impl LinkArgs {
    /// The links there and back.
    fn configs(&self) -> [LinkConfig; 2] {
        let mut shared = LinkConfig::default();
        shared.delay = self.delay;
        shared.jitter = self.jitter;
        shared.rate = Some(self.rate);
        shared.queue = self.queue;
        shared.loss = self.loss;
        shared.burst_loss = self.burst_loss;
        shared.reorder = self.reorder;
        shared.reorder_by = self.reorder_by;
        shared.duplicate = self.duplicate;
        shared.corrupt = self.corrupt;
        shared.seed = self.seed;
        let mut back = shared.clone();
        back.seed = back.seed.wrapping_add(1);
        let change = |mut config: LinkConfig, changes: &[Setting]| {
            changes.iter().for_each(|setting| config.apply(*setting));
            config
        };
        [change(shared, &self.there), change(back, &self.back)]
    }
}

impl Demo {
    fn plan(&self) -> Result<Plan, Failure> {
        if self.size == 0 {
            return Err(Failure::usage("--size: a file has an octet at least"));
        }
        let path = env::current_exe()
            .map_err(|error| Failure::runtime(format!("finding this program: {error}")))?;
        let [there, back] = self.link.configs();
        let mut program = Program::new(path, GATEWAY);
        program.buffer = buffer(&there, &back);
        let word = match self.engine.custody {
            Custody::AfterHandshake => "after-handshake",
            _ => "after-proof",
        };
        let controller = self.engine.controller;
        let arguments = ["--controller", &controller.to_string(), "--custody", word];
        program.arguments = arguments.map(Into::into).into();
        if controller == ControllerName::Provisioned {
            let rate = there.rate.unwrap_or(self.link.rate).bits_per_second();
            let rate = format!("{rate}bit");
            rate.parse::<Rate>().map_err(|error| {
                Failure::usage(format!(
                    "--controller provisioned at the link's rate: {error}"
                ))
            })?;
            program.arguments.extend(["--rate".into(), rate.into()]);
        }
        let mut plan = Plan::new(program);
        plan.there = there;
        plan.back = back;
        plan.octets = self.size;
        plan.download = self.download;
        plan.runs = self.runs;
        plan.patience = self.patience;
        plan.congestion_control = self.sender_controller.clone();
        plan.links(0)
            .map_err(|error| Failure::usage(format!("the link: {error}")))?;
        let limit = plan.physical_limit();
        if limit >= plan.patience {
            return Err(Failure::usage(format!(
                "--patience {} s: even a perfect transfer takes {:.1} s on this link",
                plan.patience.as_secs_f64(),
                limit.as_secs_f64()
            )));
        }
        Ok(plan)
    }

    pub(super) fn run(&self) -> Result<(), Failure> {
        let plan = self.plan()?;
        let (stop, signal) =
            watch_signals().map_err(|error| Failure::runtime(format!("signals: {error}")))?;
        let mut teller = Teller::new(&plan);
        let shown = demo::run(&plan, &stop, |progress| teller.tell(progress));
        teller.clear();
        let shown = shown.map_err(|error| match error {
            DemoError::Interrupted => Failure {
                message: "interrupted; everything that was made is removed".to_owned(),
                // As shells name the end by a signal.
                code: u8::try_from(128 + signal.load(Ordering::Relaxed)).unwrap_or(1),
            },
            error => Failure::runtime(format!("demo: {error}")),
        })?;
        self.show(&shown).map_err(Failure::runtime)
    }

    fn show(&self, shown: &Comparison) -> io::Result<()> {
        let mut out = io::stdout();
        if self.json {
            serde_json::to_writer_pretty(&out, shown)?;
            return writeln!(out);
        }
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = out.is_terminal() && !plain;
        write!(out, "{}", shown.text(colour))
    }
}

/// The name of a congestion control, as the kernel has them.
fn congestion_control(text: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    // TCP_CA_NAME_MAX, less its terminator.
    if !(1..=15).contains(&text.len()) || !text.chars().all(plain) {
        return Err("expected a name such as cubic, reno or bbr");
    }
    Ok(text.to_owned())
}

/// Twice what is on the way at the full rate, so that no buffer is the limit.
fn buffer(there: &LinkConfig, back: &LinkConfig) -> u64 {
    let round_trip = there.delay.saturating_add(back.delay);
    let on_the_way = there.rate.map_or(0, |rate| rate.octets_in(round_trip));
    let most = on_the_way.saturating_add(there.queue);
    most.saturating_mul(2).clamp(BUFFER, LARGEST_BUFFER)
}

/// What is set at SIGINT, SIGTERM and SIGHUP, and the number of the signal. A second one ends the
/// process where it is.
fn watch_signals() -> io::Result<(Arc<AtomicBool>, Arc<AtomicUsize>)> {
    let (stop, number) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
        let value = usize::try_from(signal).unwrap_or_default();
        flag::register_usize(signal, Arc::clone(&number), value)?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok((stop, number))
}

/// Says on standard error how far it is: on a terminal all the time in one line, elsewhere at the
/// end of each transfer.
struct Teller {
    terminal: bool,
    octets: u64,
    runs: u16,
    told: Option<Duration>,
    open: bool,
}

impl Teller {
    fn new(plan: &Plan) -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            octets: plan.octets,
            runs: plan.runs,
            told: None,
            open: false,
        }
    }

    fn line(&self, progress: &Progress) -> String {
        let run = match self.runs {
            1 => String::new(),
            runs => format!("{}/{runs} ", progress.run + 1),
        };
        let percent = u128::from(progress.octets) * 100 / u128::from(self.octets.max(1));
        format!(
            "{run}{}: {percent} % after {:.1} s",
            progress.mode.name(),
            progress.time.as_secs_f64()
        )
    }

    fn tell(&mut self, progress: Progress) {
        let mut err = io::stderr();
        // Nobody is there to hear of it if this fails.
        if progress.done {
            self.clear();
            let _ = writeln!(err, "{}", self.line(&progress));
            self.told = None;
        } else if self.terminal
            && self
                .told
                .is_none_or(|told| progress.time.saturating_sub(told) >= REFRESH)
        {
            let _ = write!(err, "\r{}\x1b[K", self.line(&progress));
            let _ = err.flush();
            self.told = Some(progress.time);
            self.open = true;
        }
    }

    /// Takes a line back that would change no more.
    fn clear(&mut self) {
        if core::mem::take(&mut self.open) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// The gateway of a demonstration: `run`, which ends when its standard input does.
#[derive(Debug, Args)]
pub(super) struct Gateway {
    #[command(flatten)]
    run: Run,
}

impl Gateway {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let watch = || {
            let mut ignored = [0; 64];
            while io::stdin()
                .read(&mut ignored)
                .is_ok_and(|octets| octets > 0)
            {}
            // The demonstration is gone, and its hosts are: nobody is left to deliver anything to.
            let _ = low_level::raise(SIGTERM);
            thread::sleep(HANDING_BACK);
            let _ = low_level::raise(SIGTERM);
        };
        let thread = thread::Builder::new().name("life".to_owned());
        thread.spawn(watch).map_err(Failure::runtime)?;
        self.run.run()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn parse(args: &str) -> Result<Demo, String> {
        let line = format!("localack-tun demo {args}");
        let parsed =
            Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
        let Command::Demo(demo) = parsed.command else {
            panic!("{line}");
        };
        Ok(*demo)
    }

    fn plan(args: &str) -> Plan {
        let demo = parse(args).unwrap_or_else(|error| panic!("{error}"));
        demo.plan()
            .unwrap_or_else(|failure| panic!("{}", failure.message))
    }

    fn refusal(args: &str) -> String {
        match parse(args) {
            Err(error) => error,
            Ok(demo) => {
                let failure = demo.plan().unwrap_err();
                assert_eq!(failure.code, 2);
                failure.message
            }
        }
    }

    #[test]
    fn the_default_is_a_satellite_hop_that_loses_one_packet_in_a_hundred() {
        let plan = plan("");
        assert_eq!(plan.there.delay, Duration::from_millis(300));
        assert_eq!(plan.there.rate, Some("20mbit".parse().unwrap()));
        assert_eq!(plan.there.loss, "1%".parse().unwrap());
        assert_eq!((plan.there.seed, plan.back.seed), (1, 2));
        let mut back = plan.back.clone();
        back.seed = plan.there.seed;
        assert_eq!(back, plan.there);
        let arguments = ["--controller", "bbr", "--custody", "after-proof"];
        assert_eq!(plan.program.arguments, arguments);
    }

    #[test]
    fn ways_can_differ_and_the_engine_be_told() {
        let plan = plan(
            "--there rate=8mbit --back loss=0% --back rate=1mbit --controller provisioned \
             --custody after-handshake --download --runs 3 --size 10kb",
        );
        assert_eq!(plan.there.rate, Some("8mbit".parse().unwrap()));
        assert_eq!(plan.back.rate, Some("1mbit".parse().unwrap()));
        assert_eq!(plan.back.loss, Probability::NEVER);
        assert!(plan.download && plan.runs == 3 && plan.octets == 10_000);
        let told = plan.program.arguments.join("-".as_ref());
        let expected = "--controller-provisioned---custody-after-handshake---rate-8000000bit";
        assert_eq!(told, expected);
    }

    #[test]
    fn large_paths_get_large_buffers() {
        assert_eq!(plan("--delay 1ms --queue 100kb").program.buffer, BUFFER);
        // 100 Mbit/s over 600 ms are 7.5 MB, and 1 MiB waits.
        let buffer = plan("--rate 100mbit").program.buffer;
        assert_eq!(buffer, 2 * (7_500_000 + (1 << 20)));
        let patient = plan("--rate 10gbit --delay 10s --patience 10min");
        assert_eq!(patient.program.buffer, LARGEST_BUFFER);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (args, said) in [
            ("--size 0", "--size: a file has an octet at least"),
            ("--runs 0", "1..=99"),
            ("--loss 101%", "a probability is at most 100%"),
            ("--rate 0mbit", "a rate is at least 1 bit per second"),
            (
                "--jitter 301ms",
                "the link: the jitter may not exceed the delay",
            ),
            ("--delay 2min", "even a perfect transfer takes 360.8 s"),
            ("--controller quick", "quick"),
            ("--custody never", "never"),
            ("--sender-controller cubic/..", "a name such as cubic"),
            ("--there lost=1%", "expected NAME=VALUE"),
            (
                "--rate 4kbit --size 1kb --controller provisioned",
                "at the link's rate",
            ),
        ] {
            let told = refusal(args);
            assert!(told.contains(said), "{args}: {told}");
        }
    }
}
