//! With another TCP at the other end, and with an engine between.

use localack_core::{Config, Engine, FlowConfig};

use super::*;
use crate::memory::Memory;
use crate::sim::{EngineBox, SmolHost, SmolSettings, Stream};

/// The octets of a [`Stream`].
fn stream(seed: u64, length: usize) -> Content {
    let mut random = Random::new(seed);
    Content::Octets((0..length).map(|_| random.octet()).collect())
}

#[test]
fn smoltcp_and_this_host_understand_each_other() {
    const OCTETS: usize = 300_000;
    for seed in seeds(4) {
        let net = Net {
            loss: 10_000,
            reorder: if seed % 2 == 0 { 20_000 } else { 0 },
            seed,
            ..CLEAN
        };
        println!("{net:?}: again with LOCALACK_SEED={seed}");
        let config = LinuxConfig {
            content: Some(stream(1, OCTETS)),
            expected: Some(stream(2, OCTETS)),
            ..LinuxConfig::default()
        };
        let connects = seed % 3 == 0;
        let smol = SmolHost::new(SmolSettings {
            own: config.peer,
            peer: config.own,
            connects,
            seed,
            stamps_from: (seed % 4 < 2).then_some(u32::MAX - 1000),
            buffer: 65_535,
            sends: Stream::new(2, OCTETS),
            expects: Stream::new(1, OCTETS),
        });
        let host = if connects {
            LinuxHost::listen(config)
        } else {
            LinuxHost::connect(config)
        };
        let mut random = Random::new(seed);
        let links = Links {
            outer_up: net.path(&mut random),
            outer_down: net.path(&mut random),
            ..Links::default()
        };
        let host = host.send_total(OCTETS as u64);
        let mut world = World::new(host, smol, Wire, links);
        for _ in 0..1_000_000 {
            let received = world.inner.received() == OCTETS as u64;
            if received && world.outer.received() == OCTETS || !world.step() {
                break;
            }
        }
        assert_eq!(world.outer.fault(), None);
        assert_eq!(world.outer.received(), OCTETS);
        assert_eq!(world.inner.received(), OCTETS as u64);
        assert_eq!(world.inner.grave_fault(), None);
    }
}

/// Runs both ways through an engine; both hosts have `send_buffer` octets in flight at most.
fn through_an_engine(send_buffer: usize) {
    for seed in seeds(4) {
        for (reorder, corrupt) in [(0, 0), (20_000, 5_000)] {
            let net = Net {
                loss: 10_000,
                reorder,
                corrupt,
                seed,
                ..CLEAN
            };
            println!("{net:?}: again with LOCALACK_SEED={seed}");
            let mut memory = Memory::new(4, 2048, 1536);
            let flow = FlowConfig::both_local_ack();
            let engine = Engine::new(memory.storage(), Config::new([1, 2]), flow).expect("valid");
            let config = LinuxConfig {
                isn: u32::MAX - 50_000,
                send_buffer,
                ..LinuxConfig::default()
            };
            let [inner, outer] = pair(&config);
            let hosts = [inner.send_total(MEBIBYTE), outer.send_total(MEBIBYTE / 2)];
            let mut world = net.world(hosts, EngineBox::new(engine));
            let done = world.run(Duration::from_secs(600));
            let before = world.middle.before_fault();
            assert_eq!(world.middle.faults().first(), None, "{before:#?}");
            blameless(&world, net.harms());
            assert!(done, "{:#?}\n{:#?}", world.inner, world.outer);
            assert_eq!(world.outer.received(), MEBIBYTE);
            assert_eq!(world.inner.received(), MEBIBYTE / 2);
        }
    }
}

#[test]
fn an_engine_between_is_not_noticed() {
    through_an_engine(60 << 10);
}

#[test]
fn an_engine_between_is_not_noticed_with_large_windows() {
    through_an_engine(4 << 20);
}
