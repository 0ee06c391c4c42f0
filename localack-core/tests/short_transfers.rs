//! What an engine costs short transfers on short, clean paths, where there is little to gain: next to nothing.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that goes wrong here should stop"
)]

use core::time::Duration;

use localack_core::{Config, Controller, Engine, FlowConfig, PacketMeta};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    BareBox, Between, Delay, Links, LinuxConfig, LinuxHost, Path, Rate, World,
};

/// 100 Mbit/s in octets per second, and what a link of that rate carries in ten milliseconds.
const RATE: u64 = 12_500_000;
const QUEUE: u64 = 125_000;
/// Octets of the transfers.
const SIZES: [u64; 4] = [10_000, 60_000, 100_000, 1_000_000];

/// A round trip of 10 ms, of which the sender's part is a fifth of a millisecond.
fn links() -> Links {
    let near = || Path::new().then(Delay(Duration::from_micros(100)));
    let far = || Path::new().then(Delay(Duration::from_micros(4_900)));
    Links {
        inner_up: near(),
        inner_down: near(),
        outer_up: far().then(Rate::new(RATE, QUEUE)),
        outer_down: far(),
    }
}

/// Microseconds until so many octets have arrived, by an engine with `controller` or without one.
fn arrivals(controller: Option<Controller>) -> [u64; 4] {
    let mut memory = Memory::new(4, 2048, 2048);
    let engine = controller.map(|controller| {
        let mut settings = Config::new([1, 2]);
        settings.mtu = [1500; 2];
        let mut flow = FlowConfig::inner_local_ack();
        flow.controller = controller;
        let engine = Engine::new(memory.storage(), settings, flow).expect("memory that fits");
        BareBox::new(engine, PacketMeta::default())
    });
    let config = LinuxConfig::default();
    let receiver = LinuxHost::listen(config.mirrored());
    let sender = LinuxHost::connect(config).send_endless();
    let mut world = World::new(sender, receiver, Between::new(engine), links());
    world.linger(Duration::from_secs(1));
    assert_eq!(world.inner.grave_fault(), None);
    assert_eq!(world.outer.grave_fault(), None);
    SIZES.map(|octets| {
        let at = world.outer.received_at(octets);
        at.expect("a second is enough").as_micros()
    })
}

/// Rule H12.1: a flow begins with an initial window in one burst, and is paced no slower than its window doubles.
/// Rule H6.3: what a receiver takes is known soon enough to be no bound.
#[test]
fn an_engine_does_short_transfers_no_harm() {
    let alone = arrivals(None);
    for controller in [Controller::Reno, Controller::Cubic, Controller::Bbr] {
        let with = arrivals(Some(controller));
        for ((octets, with), alone) in SIZES.into_iter().zip(with).zip(alone) {
            let most = if octets > 100_000 { 110 } else { 103 };
            assert!(
                with * 100 <= alone * most,
                "{controller:?}: {octets} octets after {with} us, without an engine after {alone}"
            );
        }
    }
}
