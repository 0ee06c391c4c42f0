//! Measuring cases.

use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::Mutex;

use super::case::{Case, Work};
use super::lab::{Lab, memory};
use super::route::Dial;
use super::row::{Row, Times};

/// Share of a full packet that is payload (with timestamps).
const PAYLOAD_SHARE: f64 = 1448.0 / 1500.0;
/// Virtual time in which an object must have arrived, and a connection be closed.
const PATIENCE: Duration = Duration::from_secs(600);

/// A row, and what went wrong while it was measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The figures.
    pub row: Row,
    /// Faults that a host or the engine found, and what did not come to its end.
    pub faults: Vec<String>,
}

/// Measures one case with losses from `seed`.
#[must_use]
pub fn measure(case: &Case, seed: u64) -> Outcome {
    let mut outcome = Outcome {
        row: Row::of(case),
        faults: Vec::new(),
    };
    match case.work {
        Work::Endless { seconds, .. } => endless(case, seed, seconds, &mut outcome),
        Work::Objects(sizes, runs) => {
            for &octets in sizes {
                objects(case, seed, octets, runs, &mut outcome);
            }
        }
    }
    outcome
}

fn endless(case: &Case, seed: u64, seconds: u64, outcome: &mut Outcome) {
    let mut memory = memory(case);
    let mut lab = Lab::new(case, seed, memory.as_mut(), None);
    let time = Duration::from_secs(seconds);
    lab.watch(time);
    let received = lab.received();
    let all: u64 = received.iter().sum();
    let most = case.most();
    let used = time.as_secs_f64() - 1.5 * case.route.round_trip().as_secs_f64();
    let row = &mut outcome.row;
    row.goodput_share = Some(rounded(all as f64 / (most * PAYLOAD_SHARE * used)));
    if received.len() > 1 {
        let least = received.iter().min().copied().unwrap_or(0) as f64;
        let greatest = received.iter().max().copied().unwrap_or(0) as f64;
        row.fairness = Some(rounded(least / greatest.max(1.0)));
    }
    row.round_trip_ms = lab.seen.mean_ms().map(rounded);
    row.bystander_ms = lab.bystander.mean_ms().map(rounded);
    let outward = lab.dials.outer_up[0].get();
    row.rate_share = Some(rounded(outward.octets as f64 / (most * used)));
    row.peak_rate_share = Some(rounded(outward.most_in_a_second as f64 / most));
    row.return_packets_per_s =
        rounded(lab.dials.inner_down[0].get().packets as f64 / time.as_secs_f64());
    take(&lab, outcome);
}

/// Transfers of `octets`, each with its own losses.
fn objects(case: &Case, seed: u64, octets: u32, runs: u64, outcome: &mut Outcome) {
    let mut times = Vec::new();
    for run in 0..runs {
        let mut memory = memory(case);
        let mut lab = Lab::new(case, seed * 1000 + run, memory.as_mut(), Some(octets));
        match lab.run_until(octets.into(), PATIENCE) {
            Some(time) => times.push(time.as_secs_f64()),
            None => outcome
                .faults
                .push(format!("run {run}: {octets} octets did not arrive")),
        }
        if !lab.close(PATIENCE) {
            outcome
                .faults
                .push(format!("run {run}: the connection did not close"));
        }
        take(&lab, outcome);
    }
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times.get(times.len() * percent / 100);
    if let (Some(&median), Some(&of_95)) = (at(50), at(95)) {
        let half = case.route.round_trip().as_secs_f64() / 2.0;
        outcome.row.times.push(Times {
            octets,
            median_s: rounded(median),
            of_95_s: rounded(of_95),
            half_round_trips: rounded(median / half),
        });
    }
}

/// Takes the figures that every run has; those of several runs are the latest one's, but for counts.
fn take(lab: &Lab<'_>, outcome: &mut Outcome) {
    let lost = |[before, behind]: &[Dial; 2]| {
        let (came, went) = (before.get().packets, behind.get().packets);
        came.saturating_sub(went)
    };
    let share = |part: u64, all: u64| rounded(part as f64 / all.max(1) as f64);
    let row = &mut outcome.row;
    let stats: Vec<_> = lab.senders().map(|host| *host.stats()).collect();
    let sent = stats.iter().map(|stats| stats.octets_sent).sum();
    let again = stats.iter().map(|stats| stats.octets_retransmitted).sum();
    row.sender_resent = share(again, sent);
    row.sender_timeouts += stats.iter().map(|stats| stats.timeouts).sum::<u64>();
    let dials = &lab.dials;
    let [outward, arrived] = dials.outer_up.each_ref().map(|dial| dial.get());
    row.link_resent = share(outward.payload - outward.new, outward.payload);
    row.needless = share(arrived.payload - arrived.new, arrived.payload);
    row.return_lost += lost(&dials.inner_down);
    row.data_lost[0] += lost(&dials.inner_up);
    row.data_lost[1] += lost(&dials.outer_up);
    row.custody = row.custody.max(lab.most_custody());
    outcome.faults.extend(lab.faults());
}

/// Measures all of `cases` on `threads` threads; a panic becomes a fault. The outcomes come in the order of
/// the cases.
#[must_use]
pub fn measure_all(cases: &[Case], seed: u64, threads: usize) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some(place) = Some(next.fetch_add(1, Ordering::Relaxed))
            && let Some(case) = cases.get(place)
        {
            let outcome = measure_or_tell(case, seed);
            done.lock()
                .expect("nobody panics with it")
                .push((place, outcome));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().expect("nobody panicked with it");
    done.sort_by_key(|&(place, _)| place);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

fn measure_or_tell(case: &Case, seed: u64) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| measure(case, seed))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Outcome {
            row: Row::of(case),
            faults: vec![format!("panicked: {}", text.unwrap_or("without words"))],
        }
    })
}

/// A figure with four digits after the point.
fn rounded(figure: f64) -> f64 {
    (figure * 10_000.0).round() / 10_000.0
}
