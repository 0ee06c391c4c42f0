//! Classic ECN between hosts and queues that mark instead of dropping (H11.3, RFC 3168): each hop's
//! marks slow the sender of that hop, and nobody else.

#![allow(
    clippy::expect_used,
    reason = "a test that goes wrong here should stop"
)]

use core::time::Duration;

use localack_core::{Config, Controller, Engine, FlowConfig};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    CoDel, CoDelSettings, Delay, EngineBox, Links, LinuxConfig, LinuxHost, Path, World,
};

const OCTETS: u64 = 6 << 20;

/// A link of so many octets per second whose queue marks.
fn marking(rate: u64) -> Path {
    let settings = CoDelSettings {
        ecn: true,
        ..CoDelSettings::default()
    };
    Path::new().then(CoDel::new(rate, settings))
}

/// Runs a transfer of [`OCTETS`] from the inner host; `links` are the paths to the engine and from it.
fn run(
    config: &LinuxConfig,
    served: FlowConfig,
    up: [Path; 2],
) -> (LinuxHost, LinuxHost, [u64; 2]) {
    let mut memory = Memory::new(4, 4096, 2048);
    let engine =
        Engine::new(memory.storage(), Config::new([1, 2]), served).expect("memory that fits");
    let [inner_up, outer_up] = up;
    let links = Links {
        inner_up: inner_up.then(Delay(Duration::from_micros(200))),
        inner_down: Path::new().then(Delay(Duration::from_micros(200))),
        outer_up: outer_up.then(Delay(Duration::from_millis(15))),
        outer_down: Path::new().then(Delay(Duration::from_millis(15))),
    };
    let inner = LinuxHost::connect(config.clone()).send_total(OCTETS);
    let outer = LinuxHost::listen(config.mirrored());
    let mut world = World::new(inner, outer, EngineBox::new(engine), links);
    assert!(world.run(Duration::from_secs(120)), "{config:?}");
    assert_eq!(world.outer.received(), OCTETS);
    assert_eq!(world.inner.faults(), []);
    assert_eq!(world.outer.faults(), []);
    assert_eq!(world.middle.faults(), &[] as &[String]);
    let counters = world.middle.counters();
    let counted = [counters.recoveries, counters.timeouts];
    (world.inner, world.outer, counted)
}

/// Hosts that agree on ECN, with and without SACK and timestamps.
fn hosts() -> [LinuxConfig; 2] {
    [true, false].map(|modern| LinuxConfig {
        ecn: true,
        sack: modern,
        timestamps: modern,
        ..LinuxConfig::strict()
    })
}

#[test]
fn h11_3_marks_beyond_the_engine_slow_the_engine_alone() {
    for config in hosts() {
        for controller in [Controller::Reno, Controller::Cubic] {
            let mut served = FlowConfig::inner_local_ack();
            served.controller = controller;
            let (inner, _, [reductions, timeouts]) =
                run(&config, served, [Path::new(), marking(1_000_000)]);
            assert!(reductions > 2, "{reductions} {controller:?}");
            assert_eq!(timeouts, 0, "{controller:?}");
            assert_eq!(inner.stats().ecn_reductions, 0);
        }
    }
}

#[test]
fn h11_3_marks_before_the_engine_slow_the_sender_alone() {
    for config in hosts() {
        let served = FlowConfig::inner_local_ack();
        let (inner, _, [reductions, timeouts]) =
            run(&config, served, [marking(1_000_000), Path::new()]);
        assert!(inner.stats().ecn_reductions > 0);
        assert_eq!(inner.stats().segments_retransmitted, 0);
        assert_eq!([reductions, timeouts], [0, 0]);
    }
}
