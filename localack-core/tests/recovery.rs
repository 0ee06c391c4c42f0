//! Losses on the way to the receiver are repaired, whatever the two ends agree on and whoever controls
//! the window: without SACK, without timestamps, without either; at random, in bursts, out of order.
//! And whatever is sent leaves at the pace that was promised (H12.1).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    reason = "a test that goes wrong here should stop"
)]

use core::time::Duration;

use localack_core::{Config, Controller, Engine, FlowConfig};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    BurstLoss, Delay, EngineBox, Exits, Links, LinuxConfig, LinuxHost, Loss, Node, Path, Random,
    Rate, Reorder, World,
};

const RTT: Duration = Duration::from_millis(60);
/// Octets per second of the outer link.
const RATE: u32 = 1_250_000;

type EngineWorld<'e> = World<LinuxHost, LinuxHost, EngineBox<'e, FlowConfig>>;

fn controllers() -> [Controller; 4] {
    [
        Controller::Reno,
        Controller::Cubic,
        Controller::Bbr,
        Controller::provisioned(RATE),
    ]
}

/// What the two ends may agree on.
fn agreements() -> [LinuxConfig; 4] {
    [(true, true), (true, false), (false, true), (false, false)].map(|(sack, timestamps)| {
        LinuxConfig {
            sack,
            timestamps,
            ..LinuxConfig::strict()
        }
    })
}

/// A world whose outer link, toward the receiver, is what `link` makes of it.
fn world<'e>(
    memory: &'e mut Memory,
    config: &LinuxConfig,
    controller: Controller,
    octets: u64,
    link: impl FnOnce(Path) -> Path,
) -> EngineWorld<'e> {
    let mut policy = FlowConfig::inner_local_ack();
    policy.controller = controller;
    let engine =
        Engine::new(memory.storage(), Config::new([1, 2]), policy).expect("memory that fits");
    let half = Delay(RTT / 2);
    let lan = || Path::new().then(Delay(Duration::from_micros(100)));
    let links = Links {
        outer_up: link(Path::new()).then(half),
        outer_down: Path::new().then(half),
        inner_up: lan(),
        inner_down: lan(),
    };
    let inner = LinuxHost::connect(config.clone()).send_total(octets);
    let outer = LinuxHost::listen(config.mirrored());
    World::new(inner, outer, EngineBox::new(engine), links)
}

fn memory() -> Memory {
    Memory::new(4, 2048, 2048)
}

/// Runs a transfer to its end, in which nobody refuses anything; the time it took.
fn transfer(world: &mut EngineWorld<'_>, octets: u64, limit_s: u64, what: &str) -> Duration {
    let took = transfer_in_disorder(world, octets, limit_s, what);
    assert_eq!(world.inner.faults(), [], "{what}");
    assert_eq!(world.outer.faults(), [], "{what}");
    took
}

/// The same over a path that reorders: late segments may be refused.
fn transfer_in_disorder(
    world: &mut EngineWorld<'_>,
    octets: u64,
    limit_s: u64,
    what: &str,
) -> Duration {
    assert!(
        world.run(Duration::from_secs(limit_s)),
        "{what}: not done in {limit_s} s"
    );
    assert_eq!(world.outer.received(), octets, "{what}");
    assert_eq!(world.inner.grave_fault(), None, "{what}");
    assert_eq!(world.outer.grave_fault(), None, "{what}");
    assert_eq!(world.middle.faults(), &[] as &[String], "{what}");
    world
        .outer
        .received_at(octets)
        .expect("it has arrived")
        .since(localack_core::Instant::ZERO)
}

#[test]
fn every_loss_is_repaired_whatever_the_ends_agree_on() {
    let octets = 1 << 20;
    for config in agreements() {
        for controller in controllers() {
            for seed in 1..=2 {
                let what = format!(
                    "{controller:?} SACK {} timestamps {} seed {seed}",
                    config.sack, config.timestamps
                );
                let mut memory = memory();
                let loss = Loss {
                    ppm: 20_000,
                    random: Random::new(seed),
                };
                let rate = Rate::new(RATE.into(), 150_000);
                let mut world = world(&mut memory, &config, controller, octets, |path| {
                    path.then(rate).then(loss)
                });
                transfer(&mut world, octets, 120, &what);
                let counters = world.middle.counters();
                assert!(counters.recoveries > 0, "{what}: nothing was lost");
                if config.sack {
                    // Deliveries tell of nearly all losses: the timer is for what was lost again.
                    assert!(
                        counters.timeouts <= 4,
                        "{what}: {} time-outs",
                        counters.timeouts
                    );
                }
            }
        }
    }
}

#[test]
fn rfc8985_bursts_and_reordering_are_survived() {
    let octets = 1 << 20;
    for config in agreements() {
        for controller in controllers() {
            let what = format!(
                "{controller:?} SACK {} timestamps {}",
                config.sack, config.timestamps
            );
            let mut memory = memory();
            let burst = BurstLoss::bursts(20_000, 3, Random::new(7));
            let reorder = Reorder {
                ppm: 50_000,
                by: RTT / 8,
                random: Random::new(8),
            };
            let rate = Rate::new(RATE.into(), 150_000);
            let mut world = world(&mut memory, &config, controller, octets, |path| {
                path.then(rate).then(burst).then(reorder)
            });
            transfer_in_disorder(&mut world, octets, 240, &what);
        }
    }
}

#[test]
fn rfc8985_6_2_a_path_that_only_reorders_costs_little_once_that_is_known() {
    let octets = 4 << 20;
    for controller in [Controller::Reno, Controller::Cubic, Controller::Bbr] {
        let mut memory = memory();
        let reorder = Reorder {
            ppm: 100_000,
            by: RTT / 8,
            random: Random::new(3),
        };
        let rate = Rate::new(RATE.into(), 150_000);
        let config = LinuxConfig::strict();
        let mut world = world(&mut memory, &config, controller, octets, |path| {
            path.then(rate).then(reorder)
        });
        let what = format!("{controller:?}");
        let took = transfer_in_disorder(&mut world, octets, 60, &what);
        // 3.4 s at the rate of the link.
        assert!(
            took < Duration::from_secs(5),
            "{controller:?} took {took:?}"
        );
        let counters = world.middle.counters();
        assert_eq!(counters.timeouts, 0, "{controller:?}");
    }
}

/// The longest series of packets that pass within a millisecond.
#[derive(Debug, Default)]
struct Bursts {
    since: Option<localack_core::Instant>,
    packets: u32,
    longest: std::rc::Rc<core::cell::Cell<u32>>,
}

impl Node for Bursts {
    fn pass(&mut self, now: localack_core::Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        let same = self
            .since
            .is_some_and(|since| now.since(since) < Duration::from_micros(100));
        if !same {
            self.since = Some(now);
            self.packets = 0;
        }
        self.packets += 1;
        self.longest.set(self.longest.get().max(self.packets));
        exits.onward(now, packet);
    }
}

#[test]
fn h12_1_no_more_than_ten_segments_leave_at_once() {
    let octets = 4 << 20;
    for controller in controllers() {
        let mut memory = memory();
        let bursts = Bursts::default();
        let longest = bursts.longest.clone();
        let loss = Loss {
            ppm: 5_000,
            random: Random::new(9),
        };
        let rate = Rate::new(RATE.into(), 150_000);
        let config = LinuxConfig::strict();
        let mut world = world(&mut memory, &config, controller, octets, |path| {
            path.then(bursts).then(rate).then(loss)
        });
        transfer(&mut world, octets, 120, &format!("{controller:?}"));
        assert!(
            longest.get() <= 10,
            "{controller:?}: {} packets at once",
            longest.get()
        );
        assert!(longest.get() >= 1);
    }
}
