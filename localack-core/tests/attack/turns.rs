//! Turns at vouched rates for flows whose two directions want one.

use core::time::Duration;

use localack_core::{Config, Controller, Engine, FlowConfig, Instant, Provision};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    Delay, EngineBox, Links, LinuxConfig, LinuxHost, Mtu, Path, Rate, World,
};

/// Both hosts send `octets` at the same time; when both were done.
fn exchange(controllers: [Controller; 2], octets: u64) -> Instant {
    let mut memory = Memory::new(4, 512, 2048);
    let mut policy = FlowConfig::both_local_ack();
    [policy.controller, policy.inward_controller] = controllers;
    let engine =
        Engine::new(memory.storage(), Config::new([1, 2]), policy).expect("memory that fits");
    let way = |ms| Path::new().then(Delay(Duration::from_millis(ms)));
    let links = Links {
        inner_up: way(1),
        inner_down: way(1),
        outer_up: way(20),
        outer_down: way(20),
    };
    let config = LinuxConfig::strict();
    let inner = LinuxHost::connect(config.clone()).send_total(octets);
    let outer = LinuxHost::listen(config.mirrored()).send_total(octets);
    let mut world = World::new(inner, outer, EngineBox::new(engine), links);
    assert!(world.run(Duration::from_secs(200)), "{controllers:?}");
    assert_eq!(world.inner.faults(), []);
    assert_eq!(world.outer.faults(), []);
    assert_eq!(world.middle.faults(), &[] as &[String]);
    let done = [world.inner.finished_at(), world.outer.finished_at()];
    done.into_iter().flatten().max().expect("both are done")
}

/// One rate for both directions: each gets what the other leaves, and neither waits for the other to end.
#[test]
fn h12_1_both_directions_of_a_flow_have_their_turns_at_one_rate() {
    let rate = Controller::provisioned(200_000);
    let done = exchange([rate, rate], 400_000);
    // Twice 415 KB of packets, at 200 KB/s.
    let fair = 4_150_000;
    let took = done.as_micros();
    assert!((fair..fair * 12 / 10).contains(&took), "{took}");
}

/// A rate for each: a flow waits in one line at a time, and yet neither direction starves.
#[test]
fn h12_1_two_directions_at_two_rates_keep_both() {
    let rates = [0, 1].map(|share| Controller::Provisioned(Provision::new(share, 100_000)));
    let done = exchange(rates, 400_000);
    let took = done.as_micros();
    let fair = 4_150_000;
    assert!((fair..fair * 12 / 10).contains(&took), "{took}");
}

/// The first segments are small, because the path was thought to carry no more, and the share must still
/// have turns for the largest.
#[test]
fn h12_1_a_turn_is_good_for_the_largest_segment_that_a_flow_may_come_to_send() {
    let mut memory = Memory::new(4, 512, 2048);
    let mut policy = FlowConfig::inner_local_ack();
    policy.controller = Controller::Reno;
    let engine =
        Engine::new(memory.storage(), Config::new([1, 2]), policy).expect("memory that fits");
    let at = Instant::from_millis;
    let way = |ms| Path::new().then(Delay(Duration::from_millis(ms)));
    let links = Links {
        inner_up: way(1),
        inner_down: way(1),
        // Nothing larger gets through for some seconds.
        outer_up: way(20).then(Rate::new(60_000, 30_000)).then(
            Mtu::black_hole(1500)
                .until(at(300), 1280)
                .until(at(6_000), 1500),
        ),
        outer_down: way(20),
    };
    let config = LinuxConfig::strict();
    let inner = LinuxHost::connect(config.clone()).send_endless();
    let outer = LinuxHost::listen(config.mirrored());
    let mut world = World::new(inner, outer, EngineBox::new(engine), links);
    world.linger(Duration::from_secs(5));
    let flow = world.middle.engine().flows().last().expect("a flow");
    assert!(
        flow.inner_to_outer.mss < 1448,
        "{}",
        flow.inner_to_outer.mss
    );
    let now = world.now();
    let (id, rate) = (flow.id, Controller::provisioned(20_000));
    let direction = localack_core::Direction::InnerToOuter;
    let chosen = world
        .middle
        .engine()
        .set_controller(id, direction, rate, now);
    assert_eq!(chosen, Ok(()));
    // Ten minutes later larger segments are tried again.
    world.linger(Duration::from_secs(640));
    let flow = world.middle.engine().flow(id).expect("the flow");
    assert_eq!(flow.inner_to_outer.mss, 1448);
    assert_eq!(world.middle.faults(), &[] as &[String]);
}
