//! Which cases there are.

use super::arrangement::Arrangement;
use super::case::{Case, Figure, Work};
use super::route::{Hazard, Route, Way};

/// Octets of a full packet.
const PACKET: u64 = 1500;
/// Milliseconds in microseconds.
const MS: u64 = 1000;
/// 20 Mbit/s in octets per second.
const TWENTY_MBIT: u32 = 2_500_000;

/// All cases, the ones of a scenario one after the other.
#[must_use]
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(lossy_last_hop());
    cases.extend(long_paths());
    cases.extend(starved_returns());
    cases.extend(short_flows());
    cases.extend(short_flows_starved());
    cases.extend(rate_limits());
    cases.extend(no_help());
    cases.extend(full_buffers());
    cases
}

struct Scenario {
    name: &'static str,
    figures: &'static [Figure],
    limit: Option<u32>,
}

impl Scenario {
    const fn new(name: &'static str, figures: &'static [Figure]) -> Self {
        Self {
            name,
            figures,
            limit: None,
        }
    }

    fn cases(
        &self,
        path: &str,
        route: Route,
        work: Work,
        arrangements: &[Arrangement],
    ) -> Vec<Case> {
        let case = |&arrangement: &Arrangement| Case {
            scenario: self.name,
            path: path.into(),
            route,
            work,
            arrangement,
            limit: self.limit,
            figures: self.figures,
        };
        arrangements.iter().map(case).collect()
    }
}

/// The engines that carry data over a long path of 20 Mbit/s, and those beside them.
const EVERYONE: [Arrangement; 5] = [
    Arrangement::DIRECT,
    Arrangement::SNOOP,
    Arrangement::CUBIC,
    Arrangement::BBR,
    Arrangement::provisioned(TWENTY_MBIT),
];

/// A server behind 40 ms of wire, the engine, and a radio of 20 Mbit/s and 5 ms.
fn radio(hazard: Hazard, queue: u64) -> Route {
    let wire = Way::new(1_000_000, 20 * MS).queued(1 << 24);
    let air = Way::new(20_000, 2_500);
    Route {
        outer_down: air,
        ..Route::of(wire, air.queued(queue * PACKET).with(hazard))
    }
}

fn lossy_last_hop() -> Vec<Case> {
    let scenario = Scenario::new(
        "lossy last hop",
        &[
            Figure::Goodput,
            Figure::SenderResent,
            Figure::SenderTimeouts,
            Figure::LinkResent,
            Figure::Needless,
            Figure::RoundTrip,
            Figure::Custody,
        ],
    );
    let hazards = [
        ("no loss", Hazard::None),
        ("1 %", Hazard::Loss(10_000)),
        ("3 %", Hazard::Loss(30_000)),
        ("3 %, bursts of 4", Hazard::Bursts(30_000, 4)),
    ];
    let mut cases = Vec::new();
    for (path, hazard) in hazards {
        cases.extend(scenario.cases(path, radio(hazard, 100), Work::ENDLESS, &EVERYONE));
        if let Hazard::Loss(ppm) = hazard {
            let link = Arrangement::DIRECT.named("direct, and the radio repeats");
            let route = radio(Hazard::Repeated(ppm), 100);
            cases.extend(scenario.cases(path, route, Work::ENDLESS, &[link]));
        }
    }
    let limited = Arrangement::SNOOP.limited(TWENTY_MBIT / 100 * 95);
    let snoops = [
        Arrangement::DIRECT,
        Arrangement::SNOOP,
        limited.named("snoop, rate limit 19 Mbit/s"),
        Arrangement::SNOOP.holding(16 << 10).named("snoop, 16 KB"),
    ];
    for (path, hazard) in [
        ("no loss, queue of 15 packets", Hazard::None),
        ("3 %, queue of 15 packets", Hazard::Loss(30_000)),
    ] {
        cases.extend(scenario.cases(path, radio(hazard, 15), Work::ENDLESS, &snoops));
    }
    cases
}

/// The engine beside the senders, and a long path of 20 Mbit/s behind it with a queue of one product of
/// bandwidth and delay.
fn long(rtt_ms: u64, hazard: Hazard) -> Route {
    let way = Way::new(20_000, rtt_ms * MS / 2);
    let queue = u64::from(TWENTY_MBIT) * rtt_ms / 1000;
    Route {
        outer_down: way,
        ..Route::of(Way::lan(), way.queued(queue).with(hazard))
    }
}

fn long_paths() -> Vec<Case> {
    const FIGURES: &[Figure] = &[
        Figure::Goodput,
        Figure::SenderResent,
        Figure::LinkResent,
        Figure::RoundTrip,
        Figure::Custody,
    ];
    let mut cases = Vec::new();
    for (name, hazard) in [
        ("long clean path", Hazard::None),
        (
            "long path, 1 % lost beyond the engine",
            Hazard::Loss(10_000),
        ),
    ] {
        let scenario = Scenario::new(name, FIGURES);
        for rtt_ms in [150, 600] {
            let path = format!("{rtt_ms} ms");
            let route = long(rtt_ms, hazard);
            let work = Work::Endless {
                flows: 1,
                seconds: if rtt_ms > 200 { 40 } else { 20 },
                read_rate: None,
                bystander: false,
            };
            cases.extend(scenario.cases(&path, route, work, &EVERYONE));
        }
    }
    cases
}

/// 20 Mbit/s to the receivers, and little the other way; the engine is on the receivers' side.
fn starved(kbit: u64) -> Route {
    Route {
        inner_up: Way::new(20_000, 25 * MS),
        inner_down: Way::new(kbit, 25 * MS).queued(4_000),
        ..Route::of(Way::lan(), Way::lan())
    }
}

fn starved_returns() -> Vec<Case> {
    let scenario = Scenario::new(
        "asymmetric link",
        &[
            Figure::Goodput,
            Figure::Fairness,
            Figure::SenderResent,
            Figure::SenderTimeouts,
            Figure::ReturnLoad,
            Figure::ReturnLost,
            Figure::RoundTrip,
        ],
    );
    let thinned = |name, millis| Arrangement::BYPASS.thinned(millis).named(name);
    let arrangements = [
        Arrangement::DIRECT,
        thinned("acks 20 ms apart", 20),
        thinned("acks 50 ms apart", 50),
        Arrangement::CUBIC,
        Arrangement::CUBIC
            .thinned(20)
            .named("local-ack cubic, acks 20 ms apart"),
    ];
    let mut cases = Vec::new();
    for (kbit, flows) in [(64, 1), (32, 1), (64, 4)] {
        let work = Work::Endless {
            flows,
            seconds: 20,
            read_rate: None,
            bystander: false,
        };
        let plural = if flows == 1 { "flow" } else { "flows" };
        let path = format!("{kbit} kbit/s back, {flows} {plural}");
        cases.extend(scenario.cases(&path, starved(kbit), work, &arrangements));
    }
    cases
}

fn short_flows() -> Vec<Case> {
    const SIZES: &[u32] = &[10_000, 60_000, 100_000];
    let scenario = Scenario::new("short flows", &[Figure::Times, Figure::SenderTimeouts]);
    let arrangements = [
        Arrangement::DIRECT,
        Arrangement::SNOOP,
        Arrangement::CUBIC,
        Arrangement::CUBIC
            .trusting()
            .named("local-ack cubic, custody at the handshake"),
        Arrangement::provisioned(TWENTY_MBIT)
            .trusting()
            .named("local-ack provisioned, custody at the handshake"),
    ];
    let (once, often) = (Work::Objects(SIZES, 1), Work::Objects(SIZES, 20));
    let paths = [
        ("600 ms, clean", long(600, Hazard::None), once),
        (
            "600 ms, 1 % beyond the engine",
            long(600, Hazard::Loss(10_000)),
            often,
        ),
        ("last hop, 3 %", radio(Hazard::Loss(30_000), 100), often),
    ];
    let cases = paths.map(|(path, route, work)| scenario.cases(path, route, work, &arrangements));
    cases.concat()
}

fn short_flows_starved() -> Vec<Case> {
    const SIZES: &[u32] = &[10_000, 100_000, 1_000_000];
    let scenario = Scenario::new(
        "short flows, little the other way",
        &[Figure::Times, Figure::SenderTimeouts],
    );
    let thinned = |name, millis| Arrangement::BYPASS.thinned(millis).named(name);
    let arrangements = [
        Arrangement::DIRECT,
        thinned("acks 20 ms apart", 20),
        thinned("acks 50 ms apart", 50),
    ];
    let mut cases = Vec::new();
    for kbit in [64, 32] {
        let path = format!("{kbit} kbit/s back");
        let work = Work::Objects(SIZES, 1);
        cases.extend(scenario.cases(&path, starved(kbit), work, &arrangements));
    }
    cases
}

fn rate_limits() -> Vec<Case> {
    const LIMIT: u32 = 625_000;
    let scenario = Scenario {
        limit: Some(LIMIT),
        ..Scenario::new(
            "5 Mbit/s for a flow",
            &[
                Figure::Goodput,
                Figure::Rate,
                Figure::PeakRate,
                Figure::DataLost,
                Figure::SenderResent,
                Figure::RoundTrip,
            ],
        )
    };
    let arrangements = [
        Arrangement::BYPASS.limited(LIMIT).named("rate limit"),
        Arrangement::SNOOP.limited(LIMIT).named("snoop, rate limit"),
        Arrangement::CUBIC
            .limited(LIMIT)
            .named("local-ack cubic, rate limit"),
        Arrangement::BBR
            .limited(LIMIT)
            .named("local-ack bbr, rate limit"),
    ];
    let mut cases = Vec::new();
    for rtt_ms in [20, 200] {
        let way = Way::new(100_000, rtt_ms * MS / 2).queued(1 << 21);
        let path = format!("{rtt_ms} ms");
        let route = Route::of(Way::lan(), way);
        let policed = Route {
            outer_up: way.with(Hazard::Policed(LIMIT)),
            ..route
        };
        let policer = [Arrangement::DIRECT.named("a policer that drops")];
        cases.extend(scenario.cases(&path, policed, Work::ENDLESS, &policer));
        let snoop = [Arrangement::SNOOP.named("snoop, a policer that drops")];
        cases.extend(scenario.cases(&path, policed, Work::ENDLESS, &snoop));
        cases.extend(scenario.cases(&path, route, Work::ENDLESS, &arrangements));
    }
    cases
}

fn no_help() -> Vec<Case> {
    const FIGURES: &[Figure] = &[
        Figure::Goodput,
        Figure::SenderResent,
        Figure::LinkResent,
        Figure::RoundTrip,
        Figure::Custody,
    ];
    let some = [
        Arrangement::DIRECT,
        Arrangement::SNOOP,
        Arrangement::CUBIC,
        Arrangement::BBR,
    ];
    let mut cases = Vec::new();
    // The engine stands behind the loss.
    let way = Way::new(20_000, 75 * MS).queued(375_000);
    let route = Route {
        inner_up: way.with(Hazard::Loss(10_000)),
        inner_down: way,
        ..Route::of(Way::lan(), Way::lan())
    };
    let wrong_side = Scenario::new("little or no help", FIGURES);
    let path = "150 ms, 1 % before the engine";
    cases.extend(wrong_side.cases(path, route, Work::ENDLESS, &some));
    // The engine stands in the middle.
    let half = Way::new(20_000, 37 * MS).queued(375_000);
    let lossy = half.with(Hazard::Loss(10_000));
    let route = Route {
        inner_up: lossy,
        inner_down: half,
        outer_up: lossy,
        outer_down: half,
    };
    let path = "150 ms, 1 % on each side of the engine";
    cases.extend(wrong_side.cases(path, route, Work::ENDLESS, &some));
    let short = Route::of(Way::lan(), Way::new(100_000, 5 * MS));
    let work = Work::Endless {
        flows: 1,
        seconds: 3,
        read_rate: None,
        bystander: false,
    };
    cases.extend(wrong_side.cases("10 ms, 100 Mbit/s, clean", short, work, &some));
    let slow = Scenario {
        limit: Some(250_000 / 1448 * 1500),
        ..wrong_side
    };
    let work = Work::Endless {
        flows: 1,
        seconds: 20,
        read_rate: Some(250_000),
        bystander: false,
    };
    let path = "150 ms, clean, a receiver that reads 2 Mbit/s";
    cases.extend(slow.cases(path, long(150, Hazard::None), work, &some));
    cases
}

fn full_buffers() -> Vec<Case> {
    let scenario = Scenario::new(
        "a queue of two seconds",
        &[
            Figure::Goodput,
            Figure::LinkResent,
            Figure::RoundTrip,
            Figure::Bystander,
            Figure::Custody,
        ],
    );
    let way = Way::new(20_000, 20 * MS).queued(5_000_000);
    let less = TWENTY_MBIT / 100 * 95;
    let arrangements = [
        Arrangement::DIRECT,
        Arrangement::SNOOP,
        Arrangement::CUBIC,
        Arrangement::BBR,
        Arrangement::provisioned(TWENTY_MBIT),
        Arrangement::BYPASS
            .limited(less)
            .named("rate limit 19 Mbit/s"),
        Arrangement::CUBIC
            .limited(less)
            .named("local-ack cubic, rate limit 19 Mbit/s"),
    ];
    let work = Work::Endless {
        flows: 1,
        seconds: 20,
        read_rate: None,
        bystander: true,
    };
    scenario.cases("40 ms", Route::of(Way::lan(), way), work, &arrangements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_case_is_measured_twice() {
        let mut names: Vec<String> = all().iter().map(Case::name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
