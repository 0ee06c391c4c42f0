//! Paths that come to carry smaller packets while a connection is served, whether a router says so or
//! not, and paths that only fail for a while (H10.1, RFC 1191, RFC 8201, RFC 4821, RFC 8899).
//!
//! The inner host never hears of it: its octets are acknowledged by the engine, which alone must find a
//! size that gets through. Both ends check every octet, and a witness judges every packet.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    reason = "a test that goes wrong here should stop"
)]

use core::time::Duration;

use localack_core::{Config, Engine, FlowConfig, FlowInfo, Instant};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    Delay, EngineBox, Links, LinuxConfig, LinuxHost, Mtu, Outage, Path, Rate, World,
};

/// Round trip of the outer link, and its rate in octets per second.
const RTT_MS: u64 = 40;
const RATE: u64 = 2_500_000;
/// When the path changes.
const CHANGE: Instant = Instant::from_millis(1000);
const MEBIBYTE: u64 = 1 << 20;

type EngineWorld<'e> = World<LinuxHost, LinuxHost, EngineBox<'e, FlowConfig>>;

/// Hosts that differ in what they agree on, the first two in the default.
fn hosts() -> Vec<LinuxConfig> {
    let v4 = LinuxConfig::strict();
    let v6 = LinuxConfig {
        own: "[2001:db8::1]:1000".parse().expect("an address"),
        peer: "[2001:db8::2]:80".parse().expect("an address"),
        ..LinuxConfig::strict()
    };
    let plain = LinuxConfig {
        sack: false,
        timestamps: false,
        ..LinuxConfig::strict()
    };
    vec![v4, v6, plain]
}

/// A world with `node` on the way from the engine to the outer host.
fn world<'e>(
    memory: &'e mut Memory,
    config: &LinuxConfig,
    octets: u64,
    change: impl FnOnce(Path) -> Path,
) -> EngineWorld<'e> {
    let engine = Engine::new(
        memory.storage(),
        Config::new([1, 2]),
        FlowConfig::inner_local_ack(),
    )
    .expect("memory that fits");
    let half = Delay(Duration::from_millis(RTT_MS / 2));
    let links = Links {
        outer_up: change(Path::new().then(Rate::new(RATE, 200_000))).then(half),
        outer_down: Path::new().then(half),
        inner_up: Path::new().then(Delay(Duration::from_micros(100))),
        inner_down: Path::new().then(Delay(Duration::from_micros(100))),
    };
    let inner = LinuxHost::connect(config.clone()).send_total(octets);
    let outer = LinuxHost::listen(config.mirrored());
    World::new(inner, outer, EngineBox::new(engine), links)
}

fn memory() -> Memory {
    Memory::new(4, 2048, 2048)
}

/// Payload octets that fit a packet of `mtu`.
fn payload(config: &LinuxConfig, mtu: u16) -> u16 {
    let ip_and_tcp = if config.own.is_ipv6() { 60 } else { 40 };
    mtu - ip_and_tcp - if config.timestamps { 12 } else { 0 }
}

fn flow(world: &mut EngineWorld<'_>) -> FlowInfo {
    let flow = world.middle.engine().flows().last();
    flow.expect("the flow is there")
}

/// The segment size toward the outer host.
fn size(world: &mut EngineWorld<'_>) -> u16 {
    flow(world).inner_to_outer.mss
}

/// All octets arrived and both ends closed, without a fault of anybody's.
fn blameless(world: &EngineWorld<'_>, octets: u64) {
    assert_eq!(world.outer.received(), octets);
    assert_eq!(world.inner.faults(), []);
    assert_eq!(world.outer.faults(), []);
    assert_eq!(world.middle.faults(), &[] as &[String]);
}

#[test]
fn h10_1_a_smaller_mtu_that_a_router_announces_costs_no_window() {
    for config in hosts() {
        let mut memory = memory();
        let octets = 4 * MEBIBYTE;
        let mtu = Mtu::new(1500).until(CHANGE, 1300);
        let mut world = world(&mut memory, &config, octets, |path| path.then(mtu));
        world.linger(Duration::from_millis(900));
        assert_eq!(size(&mut world), payload(&config, 1500));
        let before = world.middle.counters().timeouts;
        world.linger(Duration::from_millis(300));
        assert_eq!(size(&mut world), payload(&config, 1300), "{config:?}");
        assert_eq!(world.middle.counters().timeouts, before, "{config:?}");
        assert!(world.run(Duration::from_secs(30)), "{config:?}");
        blameless(&world, octets);
    }
}

#[test]
fn h10_1_a_smaller_mtu_that_nobody_announces_is_found() {
    for config in hosts() {
        let mut memory = memory();
        let octets = 10 * MEBIBYTE;
        let mtu = Mtu::black_hole(1500).until(CHANGE, 1300);
        let mut world = world(&mut memory, &config, octets, |path| path.then(mtu));
        // Two time-outs, and then it goes on in segments that every path carries. Without SACK another may
        // follow, in which case the time-out is still a doubled one.
        world.linger(Duration::from_secs(5));
        let found = size(&mut world);
        assert!(
            found <= payload(&config, 1300) && found >= payload(&config, 1280),
            "{found} {config:?}"
        );
        let before = world.middle.counters().timeouts;
        assert!(world.run(Duration::from_secs(30)), "{config:?}");
        blameless(&world, octets);
        // The probes of larger sizes that failed were no congestion.
        assert_eq!(world.middle.counters().timeouts, before, "{config:?}");
    }
}

#[test]
fn h10_1_what_was_acknowledged_is_delivered_into_a_black_hole() {
    for config in hosts() {
        let mut memory = memory();
        // All of it is in custody when the path changes, and its sender has closed.
        let octets = 300_000;
        let mtu = Mtu::black_hole(1500).until(Instant::from_millis(150), 600);
        let mut config = config;
        let v6 = config.own.is_ipv6();
        let mtu = if v6 {
            Mtu::black_hole(1500).until(Instant::from_millis(150), 1280)
        } else {
            mtu
        };
        config.receive_buffer = 64 << 10;
        let mut world = world(&mut memory, &config, octets, |path| path.then(mtu));
        assert!(world.run(Duration::from_secs(120)), "{config:?}");
        blameless(&world, octets);
        let gave_up = world.inner.stats().timeouts;
        assert!(gave_up <= 20, "{gave_up}");
    }
}

#[test]
fn h10_1_an_outage_does_not_leave_the_segments_small() {
    for config in hosts() {
        let mut memory = memory();
        let end = CHANGE.after(Duration::from_secs(30));
        let outage = Outage::new([(CHANGE, end)]);
        let octets = 4 * MEBIBYTE;
        let mut world = world(&mut memory, &config, octets, |path| {
            path.then(Rate::new(400_000, 100_000)).then(outage)
        });
        world.linger(Duration::from_millis(30_900));
        assert!(size(&mut world) < payload(&config, 1500));
        world.linger(Duration::from_secs(5));
        assert_eq!(size(&mut world), payload(&config, 1500), "{config:?}");
        assert!(world.run(Duration::from_secs(120)), "{config:?}");
        blameless(&world, octets);
    }
}

#[test]
fn rfc1191_6_3_a_limit_that_is_gone_is_found_out_after_ten_minutes() {
    for config in hosts() {
        let mut memory = memory();
        let mtu = Mtu::new(1500)
            .until(CHANGE, 1300)
            .until(Instant::from_millis(60_000), 1500);
        let octets = 64 * MEBIBYTE;
        let mut world = world(&mut memory, &config, octets, |path| {
            path.then(mtu).then(Rate::new(20_000, 40_000))
        });
        world.linger(Duration::from_secs(590));
        assert_eq!(size(&mut world), payload(&config, 1300), "{config:?}");
        // A probe that a full queue drops costs another ten minutes.
        for _ in 0..40 {
            world.linger(Duration::from_secs(60));
            if size(&mut world) == payload(&config, 1500) {
                break;
            }
        }
        assert_eq!(size(&mut world), payload(&config, 1500), "{config:?}");
        assert_eq!(world.middle.faults(), &[] as &[String]);
    }
}
