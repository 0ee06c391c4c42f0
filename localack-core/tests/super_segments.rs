//! Super-segments, which a sink with offloads cuts: what they stand for arrives in order, and once.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that goes wrong here should stop"
)]

use core::time::Duration;

use localack_core::{Config, Controller, Engine, FlowConfig, PacketMeta, TransmitKind};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    BareBox, Between, Delay, Links, LinuxConfig, LinuxHost, Path, Rate, World,
};

/// Nothing is lost on a link with such a queue.
const QUEUE: u64 = 4_000_000;

/// A sender next to the engine, and a link of this rate, in octets per second, that takes so long each way.
fn links(rate: u64, each_way: Duration) -> Links {
    let near = || Path::new().then(Delay(Duration::from_micros(50)));
    Links {
        inner_up: near(),
        inner_down: near(),
        outer_up: Path::new()
            .then(Rate::new(rate, QUEUE))
            .then(Delay(each_way)),
        outer_down: Path::new().then(Delay(each_way)),
    }
}

/// What came of five seconds.
#[derive(Debug)]
struct Carried {
    /// Packets that the engine has sent again, before they were cut.
    again: u64,
    /// Octets that have arrived.
    arrived: u64,
    /// Data packets of the engine's, before they were cut.
    sent: u64,
}

fn carry(link: u64, each_way: Duration, controller: Controller, super_segment: u16) -> Carried {
    let mut memory = Memory::new(4, 4096, 2048);
    let mut settings = Config::new([1, 2]);
    settings.mtu = [1500; 2];
    settings.super_segment = super_segment;
    let mut flow = FlowConfig::inner_local_ack();
    flow.controller = controller;
    let engine = Engine::new(memory.storage(), settings, flow).expect("memory that fits");
    let config = LinuxConfig::default();
    let receiver = LinuxHost::listen(config.mirrored());
    let sender = LinuxHost::connect(config).send_endless();
    let middle = Between::new(Some(BareBox::new(engine, PacketMeta::default())));
    let mut world = World::new(sender, receiver, middle, links(link, each_way));
    world.linger(Duration::from_secs(5));
    assert_eq!(world.inner.grave_fault(), None);
    assert_eq!(world.outer.grave_fault(), None);
    let counters = world.middle.engine().expect("one").counters();
    Carried {
        again: counters.transmitted(TransmitKind::Retransmission),
        arrived: world.outer.received(),
        sent: counters.transmitted(TransmitKind::Data),
    }
}

/// Rules H12.1 and H12.2: a super-segment is many segments to the link and to its receiver, whose answers to the
/// first of them come while the last are still under way.
#[test]
fn nothing_is_sent_twice_where_nothing_is_lost() {
    let links = [
        (250_000, 100),
        (2_000_000, 60_000),
        (12_500_000, 100),
        (12_500_000, 25_000),
    ];
    for controller in [Controller::Reno, Controller::Cubic, Controller::Bbr] {
        for (rate, each_way_us) in links {
            let each_way = Duration::from_micros(each_way_us);
            let single = carry(rate, each_way, controller, 0);
            assert_eq!(single.again, 0, "{controller:?} {rate} {single:?}");
            for super_segment in [8_000, 32_768, u16::MAX] {
                let carried = carry(rate, each_way, controller, super_segment);
                let seen = format!("{controller:?} {rate} {super_segment} {single:?} {carried:?}");
                assert_eq!(carried.again, 0, "{seen}");
                assert!(
                    carried.arrived * 200 > single.arrived * 199,
                    "slower: {seen}"
                );
                assert!(
                    carried.sent * 10 < single.sent * 6,
                    "not many in one: {seen}"
                );
            }
        }
    }
}
