//! `localack-tun emulate`.

use core::time::Duration;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::Args;
use localack_tun::capture::{Capture, WHOLE_PACKETS};
use localack_tun::device::{self, End};
use localack_tun::emulate::{Emulation, Limits, Report};
use localack_tun::link::units::{self, BitRate, Probability};
use localack_tun::link::{BurstLoss, Link, LinkConfig, Setting};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use super::Failure;

/// Join two TUN devices by an emulated link, until a limit or a signal.
///
/// Creates both devices, brings them up, and carries every IP packet from one to the other
/// through a link of the given delay, rate and losses. Addresses and routes are yours to set.
/// The settings hold for both directions; --left-to-right and --right-to-left change one.
#[derive(Debug, Args)]
pub(super) struct Emulate {
    /// The left device, to create in this or a named network namespace.
    #[arg(long, value_name = "NAME[@NETNS]")]
    left: End,

    /// The right device, to create in this or a named network namespace.
    #[arg(long, value_name = "NAME[@NETNS]")]
    right: End,

    /// Stop after this long.
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    duration: Option<Duration>,

    /// Stop when this many packets, both ways together, have crossed the link.
    #[arg(long, value_name = "N")]
    packets: Option<u64>,

    /// Write what passes the left device to this pcap file: a capture beside the sender.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// Store at most this many octets of each packet.
    #[arg(long, value_name = "OCTETS", default_value_t = WHOLE_PACKETS, requires = "write",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(WHOLE_PACKETS)))]
    snaplen: u32,

    #[command(flatten)]
    link: LinkArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Link, each way")]
struct LinkArgs {
    /// Delay, one way: 300ms, 1.5s.
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    delay: Option<Duration>,

    /// Vary the delay by up to this much either way, without reordering.
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    jitter: Option<Duration>,

    /// Line rate: 20mbit, 512kbit [default: unlimited].
    #[arg(long)]
    rate: Option<BitRate>,

    /// Octets that may wait for the line: 65536, 64kib [default: 1mib].
    #[arg(long, value_name = "OCTETS", value_parser = units::octets, requires = "rate")]
    queue: Option<u64>,

    /// Lose packets at random: 1%.
    #[arg(long, value_name = "CHANCE")]
    loss: Option<Probability>,

    /// Lose packets in bursts (Gilbert-Elliott): chance to enter a burst, to leave it, and to
    /// lose a packet within it [default: 100%].
    #[arg(long, value_name = "ENTER,LEAVE[,LOSS]")]
    burst_loss: Option<BurstLoss>,

    /// Hold packets back at random, so that later ones overtake them.
    #[arg(long, value_name = "CHANCE")]
    reorder: Option<Probability>,

    /// How late a packet is that was held back [default: 20ms].
    #[arg(long, value_name = "TIME", value_parser = units::duration, requires = "reorder")]
    reorder_by: Option<Duration>,

    /// Deliver packets twice at random.
    #[arg(long, value_name = "CHANCE")]
    duplicate: Option<Probability>,

    /// Flip a bit of packets at random.
    #[arg(long, value_name = "CHANCE")]
    corrupt: Option<Probability>,

    /// Seed of all random decisions; the way from right to left uses the next number [default: 1].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Change a setting from left to right only, for example loss=2% (repeatable).
    #[arg(long, value_name = "SETTING=VALUE")]
    left_to_right: Vec<Setting>,

    /// Change a setting from right to left only, for example rate=2mbit (repeatable).
    #[arg(long, value_name = "SETTING=VALUE")]
    right_to_left: Vec<Setting>,
}

impl LinkArgs {
    fn settings(&self) -> impl Iterator<Item = Setting> {
        [
            self.delay.map(Setting::Delay),
            self.jitter.map(Setting::Jitter),
            self.rate.map(Setting::Rate),
            self.queue.map(Setting::Queue),
            self.loss.map(Setting::Loss),
            self.burst_loss.map(Setting::BurstLoss),
            self.reorder.map(Setting::Reorder),
            self.reorder_by.map(Setting::ReorderBy),
            self.duplicate.map(Setting::Duplicate),
            self.corrupt.map(Setting::Corrupt),
            self.seed.map(Setting::Seed),
        ]
        .into_iter()
        .flatten()
    }
}

impl Emulate {
    /// The two links, left to right first.
    fn links(&self) -> Result<(Link, Link), Failure> {
        let mut shared = LinkConfig::default();
        self.link
            .settings()
            .for_each(|setting| shared.apply(setting));
        // The same draws both ways would lose a packet and its answer together.
        let mut back = shared.clone();
        back.seed = shared.seed.wrapping_add(1);
        let link = |mut config: LinkConfig, changes: &[Setting], way: &str| {
            changes.iter().for_each(|setting| config.apply(*setting));
            Link::new(config).map_err(|error| Failure::usage(format!("{way}: {error}")))
        };
        Ok((
            link(shared, &self.link.left_to_right, "left to right")?,
            link(back, &self.link.right_to_left, "right to left")?,
        ))
    }

    fn capture(&self) -> Result<Option<Capture<BufWriter<File>>>, Failure> {
        let create = |path: &Path| {
            Capture::create(path, self.snaplen)
                .map_err(|error| Failure::runtime(format!("{}: {error}", path.display())))
        };
        self.write.as_deref().map(create).transpose()
    }

    /// Joins the devices, and prints what has passed.
    pub(super) fn run(&self) -> Result<(), Failure> {
        let report = self.emulate()?;
        // A closed pipe at the very end leaves nobody to tell.
        write!(io::stdout(), "{report}").map_err(Failure::runtime)
    }

    fn emulate(&self) -> Result<Report, Failure> {
        if self.left == self.right {
            return Err(Failure::usage("--left and --right are the same device"));
        }
        let (left_to_right, right_to_left) = self.links()?;
        let stop = stop_signal().map_err(|error| Failure::runtime(format!("signals: {error}")))?;
        let left = device::open(&self.left).map_err(Failure::runtime)?;
        let right = device::open(&self.right).map_err(Failure::runtime)?;
        // Last, so that a run that could not begin does not replace an earlier capture.
        let capture = self.capture()?;
        eprintln!("ready: {} and {} are joined", self.left, self.right);
        let mut limits = Limits::default();
        limits.duration = self.duration;
        limits.packets = self.packets;
        Emulation::new(left, right, left_to_right, right_to_left, capture)
            .run(limits, stop.as_fd())
            .map_err(Failure::runtime)
    }
}

/// A descriptor that becomes readable at SIGINT or SIGTERM.
fn stop_signal() -> io::Result<UnixStream> {
    let (readable, written) = UnixStream::pair()?;
    pipe::register(SIGINT, written.try_clone()?)?;
    pipe::register(SIGTERM, written)?;
    Ok(readable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn parse(args: &str) -> Emulate {
        let line = format!("localack-tun emulate --left a --right b@n {args}");
        let parsed = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Emulate(emulate) = parsed.command else {
            panic!("{line}");
        };
        *emulate
    }

    #[test]
    fn directions_share_settings_unless_told_apart() {
        let emulate = parse("--delay 300ms --loss 1% --seed 7 --right-to-left loss=0%");
        let (there, back) = emulate
            .links()
            .unwrap_or_else(|failure| panic!("{}", failure.message));
        assert_eq!(there.config().delay, back.config().delay);
        assert_eq!(there.config().loss.to_string(), "1%");
        assert_eq!(back.config().loss, Probability::NEVER);
        assert_eq!((there.config().seed, back.config().seed), (7, 8));
    }

    #[test]
    fn contradictions_are_bad_usage() {
        let failure = parse("--jitter 1ms").links().unwrap_err();
        assert_eq!(failure.code, 2);
        assert!(
            failure.message.starts_with("left to right: "),
            "{}",
            failure.message
        );
        let same = Emulate {
            right: "a".parse().unwrap(),
            ..parse("")
        };
        assert_eq!(same.run().unwrap_err().code, 2);
    }
}
