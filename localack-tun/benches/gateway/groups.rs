//! What is measured of transfers, and the least that is wanted.

use core::time::Duration;

use crate::gateway::Site;
use crate::ideal::Task;
use crate::resources;
use crate::stage::{PAYLOAD, ROOM, Stage, judge, least, median, on_the_line};
use crate::watch::Watch;

/// A group's name, and what measures it so often and tells how many bars were missed.
type Group = (&'static str, fn(usize) -> usize);

/// All groups, in their order.
pub(crate) const ALL: [Group; 12] = [
    ("long", long),
    ("ideal", ideal),
    ("fresh", fresh),
    ("learned", learned),
    ("sndbuf", sndbuf),
    ("lossy", lossy),
    ("objects", objects),
    ("short", short),
    ("veth", resources::veth),
    ("syscalls", resources::syscalls),
    ("memory", resources::memory),
    ("idle", resources::idle),
];

/// A path.
struct Path {
    rtt: Duration,
    mbit: f64,
    loss: &'static str,
}

impl Path {
    fn link(&self) -> String {
        let delay = self.rtt.as_micros() / 2;
        // A queue of a round trip, and of 20 ms at least.
        let queue = (self.mbit * 125_000.0 * self.rtt.as_secs_f64().max(0.02)) as u64;
        format!(
            "--delay {delay}us --rate {}kbit --queue {queue} --loss {}",
            self.mbit * 1000.0,
            self.loss
        )
    }

    fn name(&self) -> String {
        format!("{:?} {} Mbit/s {}", self.rtt, self.mbit, self.loss)
    }
}

/// Somebody on the path.
struct Contender {
    name: &'static str,
    /// Of the program; with none, the gateway only forwards.
    settings: Option<String>,
    /// The least share that is wanted.
    bar: Option<f64>,
    /// Whether its receiver offers a large window from the start; others' grows as Linux's does, which
    /// takes some round trips.
    wide: bool,
}

fn plain() -> Contender {
    Contender {
        name: "plain forwarding",
        settings: None,
        bar: None,
        wide: false,
    }
}

fn served(name: &'static str, settings: &str, bar: Option<f64>) -> Contender {
    // More than a round trip of the longest path.
    let settings = Some(format!("{ROOM}[default]\nbuffer = \"32mib\"\n{settings}"));
    Contender {
        name,
        settings,
        bar,
        wide: false,
    }
}

fn provisioned(name: &'static str, mbit: f64, custody: &str, bar: Option<f64>) -> Contender {
    let settings =
        format!("controller = \"provisioned\"\nrate = \"{mbit}mbit\"\ncustody = \"{custody}\"\n");
    served(name, &settings, bar)
}

/// Lets the contenders take turns; the median time of each, in seconds.
fn times(
    path: &Path,
    contenders: &[Contender],
    octets: usize,
    sndbuf: Option<usize>,
    runs: usize,
) -> Vec<f64> {
    let stages: Vec<_> = contenders
        .iter()
        .enumerate()
        .map(|(n, contender)| {
            let link = path.link();
            let stage = Stage::new(&format!("b{n}"), Some(&link), contender.settings.as_deref());
            if contender.wide {
                stage.widen_receiver();
            }
            stage
        })
        .collect();
    let mut times = vec![Vec::new(); stages.len()];
    for _ in 0..runs {
        for (stage, times) in stages.iter().zip(&mut times) {
            times.push(stage.upload(octets, sndbuf).as_secs_f64());
        }
    }
    times.into_iter().map(median).collect()
}

/// Measures shares of the physical limit.
fn shares(
    path: &Path,
    contenders: &[Contender],
    octets: usize,
    sndbuf: Option<usize>,
    runs: usize,
) -> usize {
    let times = times(path, contenders, octets, sndbuf, runs);
    let mut missed = 0;
    for (contender, time) in contenders.iter().zip(times) {
        let share = least(path.rtt, path.mbit, octets) / time;
        let goodput = on_the_line(path.mbit, octets) / (time - path.rtt.as_secs_f64());
        let name = format!("{}, {} kB: {}", path.name(), octets / 1000, contender.name);
        let more = format!("{time:.2} s; {goodput:.2} of the rate from the handshake's end on");
        missed += judge(&name, share, contender.bar, &more);
    }
    missed
}

/// The round trip of the long paths.
const LONG: Duration = Duration::from_millis(600);
/// Their rates, losses and uploads, and the least share of a vouched rate.
const LONG_UPLOADS: [(f64, &str, usize, f64); 5] = [
    (20.0, "0%", 5_000_000, 0.75),
    (20.0, "1%", 5_000_000, 0.70),
    (20.0, "0%", 20_000_000, 0.88),
    (20.0, "1%", 20_000_000, 0.82),
    (100.0, "0%", 25_000_000, 0.70),
];

fn long(runs: usize) -> usize {
    let mut missed = 0;
    for (mbit, loss, octets, bar) in LONG_UPLOADS {
        let rtt = LONG;
        let path = Path { rtt, mbit, loss };
        // The default custody is allowed one round trip more.
        let least = least(rtt, mbit, octets);
        let later = least / (least / bar + rtt.as_secs_f64());
        let mut contenders = vec![
            provisioned(
                "provisioned, after-handshake",
                mbit,
                "after-handshake",
                Some(bar),
            ),
            provisioned("provisioned, after-proof", mbit, "after-proof", Some(later)),
        ];
        // What the receiver's window takes of that.
        contenders.push(Contender {
            wide: true,
            ..provisioned(
                "after-handshake, wide receiver",
                mbit,
                "after-handshake",
                None,
            )
        });
        // With losses, these would take minutes.
        if loss == "0%" {
            contenders.extend([served("bbr, after-proof", "", None), plain()]);
        }
        missed += shares(&path, &contenders, octets, None, runs);
    }
    missed
}

/// The time of an ideal sender that obeys the windows of the same receiver, divided by the gateway's.
fn ideal(runs: usize) -> usize {
    let mut missed = 0;
    for (mbit, loss, octets, _) in LONG_UPLOADS {
        let path = Path {
            rtt: LONG,
            mbit,
            loss,
        };
        let contender = provisioned("provisioned", mbit, "after-handshake", None);
        let settings = contender.settings.as_deref();
        let stage = Stage::new("bi", Some(&path.link()), settings);
        let lost: f64 = loss.trim_end_matches('%').parse().unwrap();
        let task = Task {
            rtt: LONG.as_secs_f64(),
            rate: mbit * 1e6 / 8.0 * PAYLOAD / 1500.0,
            loss: lost / 100.0,
            octets: octets as u64,
        };
        let (mut shares, mut times) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let watch = Watch::start(stage.name(Site::Server));
            let took = stage.upload(octets, None).as_secs_f64();
            let offers = watch.offers();
            shares.push(task.least(&offers) / took);
            times.push(took);
        }
        let [share, time] = [shares, times].map(median);
        let name = format!("{}, {} kB: beside ideal", path.name(), octets / 1000);
        let more = format!(
            "{time:.2} s, ideal {:.2} s, without any window {:.2} s",
            share * time,
            least(LONG, mbit, octets)
        );
        missed += judge(&name, share, Some(0.95), &more);
    }
    missed
}

/// A path that connections have used before, and nobody vouches for.
fn learned(runs: usize) -> usize {
    let mut missed = 0;
    for (loss, bar) in [("0%", Some(0.75)), ("1%", None)] {
        let path = Path {
            rtt: LONG,
            mbit: 20.0,
            loss,
        };
        let octets = 20_000_000;
        let settings = "controller = \"bbr\"\ncareful_resume = true\n";
        let contender = served("bbr, Careful Resume", settings, bar);
        let stage = Stage::new("bl", Some(&path.link()), contender.settings.as_deref());
        let first = stage.upload(octets, None).as_secs_f64();
        let later = (0..runs).map(|_| stage.upload(octets, None).as_secs_f64());
        let time = median(later.collect());
        let least = least(path.rtt, path.mbit, octets);
        let name = format!("{}, {} kB: {}", path.name(), octets / 1000, contender.name);
        let more = format!("{time:.2} s, the first {first:.2} s ({:.3})", least / first);
        missed += judge(&name, least / time, contender.bar, &more);
    }
    missed
}

fn fresh(runs: usize) -> usize {
    let rtt = LONG;
    let mut missed = 0;
    for octets in [1_000_000, 5_000_000, 20_000_000] {
        let path = Path {
            rtt,
            mbit: 20.0,
            loss: "0%",
        };
        let forgets = served("bbr", "", None);
        let forgets = Contender {
            settings: forgets
                .settings
                .map(|text| text.replace("networks = 100", "networks = 0")),
            ..forgets
        };
        missed += beside_plain(&path, vec![forgets], octets, runs, 1.0);
    }
    missed
}

/// The time of plain forwarding divided by that of each contender.
fn beside_plain(
    path: &Path,
    mut contenders: Vec<Contender>,
    octets: usize,
    runs: usize,
    bar: f64,
) -> usize {
    contenders.push(plain());
    let times = times(path, &contenders, octets, None, runs);
    let Some((plain, times)) = times.split_last() else {
        return 0;
    };
    let mut missed = 0;
    for (contender, time) in contenders.iter().zip(times) {
        let kb = octets / 1000;
        let name = format!("{}, {kb} kB: {} beside plain", path.name(), contender.name);
        let more = format!("{time:.4} s, plain {plain:.4} s");
        missed += judge(&name, plain / time, Some(bar), &more);
    }
    missed
}

fn sndbuf(runs: usize) -> usize {
    let path = Path {
        rtt: Duration::from_millis(50),
        mbit: 100.0,
        loss: "0%",
    };
    let bar = Some(0.90);
    let contenders = [
        served("reno", "controller = \"reno\"\n", bar),
        served("cubic", "controller = \"cubic\"\n", bar),
        served("bbr", "controller = \"bbr\"\n", bar),
        provisioned("provisioned", 100.0, "after-proof", bar),
        plain(),
    ];
    shares(&path, &contenders, 150_000_000, Some(64 << 10), runs)
}

fn lossy(runs: usize) -> usize {
    let path = Path {
        rtt: Duration::from_millis(50),
        mbit: 100.0,
        loss: "1%",
    };
    let bar = Some(0.83);
    let contenders = [
        served("bbr", "controller = \"bbr\"\n", bar),
        provisioned("provisioned", 100.0, "after-proof", bar),
    ];
    let missed = shares(&path, &contenders, 150_000_000, None, runs);
    // These are slow, and told for comparison.
    let contenders = [served("cubic", "controller = \"cubic\"\n", None), plain()];
    missed + shares(&path, &contenders, 5_000_000, None, runs)
}

fn objects(runs: usize) -> usize {
    let mut missed = 0;
    for rtt in [10, 50, 200, 600] {
        for octets in [10_000, 100_000] {
            let rtt = Duration::from_millis(rtt);
            let path = Path {
                rtt,
                mbit: 100.0,
                loss: "0%",
            };
            let contenders = vec![
                served("bbr", "", None),
                served("cubic", "controller = \"cubic\"\n", None),
            ];
            missed += beside_plain(&path, contenders, octets, 3 * runs, 1.0 / 1.03);
        }
    }
    missed
}

fn short(runs: usize) -> usize {
    let mut missed = 0;
    for micros in [200, 10_000] {
        let rtt = Duration::from_micros(micros);
        let path = Path {
            rtt,
            mbit: 100.0,
            loss: "0%",
        };
        let contenders = vec![
            served("bbr", "", None),
            served("cubic", "controller = \"cubic\"\n", None),
        ];
        missed += beside_plain(&path, contenders, 50_000_000, runs, 0.98);
    }
    missed
}
