//! Services that change under a transfer, as its sender sees it: no octet is lost, and no time-out expires that
//! would not have expired anyway (section 3 of the rules, H2.11, H6.7 and H12.3). The senders' TCP is Linux's, whose
//! time-out is 200 ms over what it measures.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that goes wrong here should stop"
)]

use core::time::Duration;

use localack_core::{
    Config, Direction, DirectionMode, Engine, Event, FlowConfig, Instant, PacketMeta, Service,
};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    BareBox, Delay, EngineBox, Links, LinuxConfig, LinuxHost, Loss, Path, Random, Rate, World,
    Write, seeds,
};

const UP: Direction = Direction::InnerToOuter;
const NEVER_FULL: u64 = 1 << 30;

/// The engine beside the sender, and behind it a path of so many octets per second and milliseconds there and back.
#[derive(Clone, Copy, Debug)]
struct Net {
    rate: u64,
    queue: u64,
    round_trip_ms: u64,
    buffer: u32,
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn links(net: Net) -> Links {
    let half = Delay(millis(net.round_trip_ms / 2));
    let near = Path::new().then(Delay(Duration::from_micros(350)));
    let far = Path::new().then(Rate::new(net.rate, net.queue)).then(half);
    Links {
        inner_up: near,
        inner_down: Path::new().then(Delay(Duration::from_micros(350))),
        outer_up: far,
        outer_down: Path::new().then(half),
    }
}

fn engine(memory: &mut Memory, net: Net) -> Engine<'_, FlowConfig> {
    let mut policy = FlowConfig::tracked().with_service(UP, Service::LocalAck);
    policy.buffer_limit = net.buffer;
    let mut settings = Config::new([1, 2]);
    settings.mtu = [1500; 2];
    settings.demotion_hold = millis(50);
    Engine::new(memory.storage(), settings, policy).expect("memory that fits")
}

/// What the sender has noticed, and what it has got across.
#[derive(Clone, Copy, Debug)]
struct Seen {
    timeouts: u64,
    again: u64,
    received: u64,
    mode: DirectionMode,
    served: usize,
}

type Changes<'c> = &'c [(u64, Service)];

/// Lets a sender's services change at these milliseconds, and looks until the last.
fn run(net: Net, sender: fn(LinuxHost) -> LinuxHost, changes: Changes<'_>, until: u64) -> Seen {
    let mut memory = Memory::new(4, 4096, 2048);
    let middle = BareBox::new(engine(&mut memory, net), PacketMeta::default());
    let config = LinuxConfig::default();
    let receiver = LinuxHost::listen(config.mirrored());
    let sender = sender(LinuxHost::connect(config));
    let mut world = World::new(sender, receiver, middle, links(net));
    let says = std::env::var_os("LOCALACK_SAYS").is_some();
    let mut noticed = 0;
    let mut last_said = (0, 0);
    for &(when, service) in changes.iter().chain(&[(until, Service::Bypass)]) {
        while world.now() < at(when) && world.step() {
            let stats = world.inner.stats();
            let now = stats.timeouts;
            if says && now != noticed {
                let now = world.now();
                let (flight, rto) = (
                    world.inner.in_flight(),
                    world.inner.retransmission_timeout(),
                );
                let flow = world.middle.engine().flows().last().expect("a flow");
                let up = flow.direction(UP);
                println!(
                    "{now:?}: a time-out with {flight} octets in flight, the next after {rto:?}; {:?}, {} in custody; since {last_said:?} {} was acknowledged",
                    up.mode,
                    up.custody,
                    world.inner.acknowledged()
                );
            }
            if world.inner.acknowledged() != last_said.1 {
                last_said = (world.now().as_micros(), world.inner.acknowledged());
            }
            noticed = now;
        }
        let now = world.now();
        let engine = world.middle.engine();
        let flow = engine.flows().last().expect("a flow").id;
        if when != until {
            if says {
                println!(
                    "{now:?} {:?} -> {service:?}",
                    engine.flow(flow).expect("it").direction(UP).mode
                );
            }
            engine.set_service(flow, UP, service, now).expect("a flow");
        }
    }
    assert_eq!(world.inner.grave_fault(), None);
    assert_eq!(world.outer.grave_fault(), None);
    let served = world
        .middle
        .events()
        .iter()
        .filter(|event| matches!(event, Event::CustodyBegun { .. }))
        .count();
    let stats = world.inner.stats();
    let engine = world.middle.engine();
    let flow = engine.flows().last().expect("a flow");
    Seen {
        timeouts: stats.timeouts,
        again: stats.segments_retransmitted,
        received: world.outer.received(),
        mode: flow.direction(UP).mode,
        served,
    }
}

/// Moments in slow start and later, on a path of this length.
fn moments(net: Net) -> [u64; 4] {
    let trip = net.round_trip_ms;
    [trip * 2 + 80, trip * 3 + 190, 3_000, 3_137]
}

fn nets() -> impl Iterator<Item = Net> {
    [20, 120, 200, 300, 600]
        .into_iter()
        .flat_map(|round_trip_ms| {
            [
                (1_250_000, 1 << 18),
                (5_000_000, 1 << 18),
                (1_250_000, 4 << 20),
                (5_000_000, 4 << 20),
            ]
            .map(move |(rate, buffer)| Net {
                rate,
                queue: NEVER_FULL,
                round_trip_ms,
                buffer,
            })
        })
}

/// Nobody's services need it, but that of a direction whose receiver is near may cost one tail loss probe: there
/// acknowledgements are left to the receiver at once.
fn near(net: Net) -> bool {
    net.round_trip_ms <= 100
}

/// No service that ends costs its sender a time-out, nor on a long path a segment, whatever else is asked for
/// before it has ended.
#[test]
fn h12_3_a_service_that_ends_costs_its_sender_no_time_out() {
    for net in nets() {
        for (number, when) in moments(net).into_iter().enumerate() {
            let changes: [Changes<'_>; 4] = [
                &[(when, Service::Bypass)],
                &[(when, Service::Snoop)],
                &[(when, Service::Bypass), (when + 30, Service::LocalAck)],
                &[(when, Service::Snoop), (when + 200, Service::Bypass)],
            ];
            let changes = changes[number % 4];
            let seen = run(net, LinuxHost::send_endless, changes, when + 8_000);
            let what = format!("{net:?} {changes:?} {seen:?}");
            assert_eq!(seen.timeouts, 0, "{what}");
            assert!(seen.again <= u64::from(near(net)), "{what}");
            let left = matches!(seen.mode, DirectionMode::Bypass | DirectionMode::Snoop);
            assert!(left && seen.served == 1, "{what}");
        }
    }
}

/// So it is with a sender that pauses, so that services begin again: six changes and more of them, one a second.
#[test]
fn h12_3_services_that_come_and_go_cost_a_sender_that_pauses_no_time_out() {
    for net in nets() {
        for shift in [0, 77, 190, 333] {
            let services = [
                Service::Bypass,
                Service::LocalAck,
                Service::Snoop,
                Service::LocalAck,
            ];
            let changes: Vec<(u64, Service)> = (0..12)
                .map(|number| {
                    (
                        2_500 + shift + 1_000 * number,
                        services[number as usize % 4],
                    )
                })
                .collect();
            let seen = run(net, pausing, &changes, 16_000);
            let what = format!("{net:?} {seen:?}");
            assert_eq!(seen.timeouts, 0, "{what}");
            assert!(seen.again <= 12 * u64::from(near(net)), "{what}");
            assert!(seen.served >= if near(net) { 3 } else { 1 }, "{what}");
        }
    }
}

fn pausing(host: LinuxHost) -> LinuxHost {
    let write = Write {
        after: 0,
        wait: millis(431),
        octets: 150_000,
    };
    host.send_scripted([write; 60], false)
}

/// A queue that is full of what a sender sends by itself is its own business; but it loses no more time than one
/// that was never served.
#[test]
fn h12_3_a_sender_that_is_handed_over_to_a_full_queue_has_no_time_out_either() {
    for round_trip_ms in [20, 120, 300, 600] {
        for (rate, queue) in [
            (1_250_000, 60_000),
            (1_250_000, 250_000),
            (5_000_000, 100_000),
            (5_000_000, 1_000_000),
        ] {
            let net = Net {
                rate,
                queue,
                round_trip_ms,
                buffer: 1 << 18,
            };
            let calm = run(
                net,
                LinuxHost::send_endless,
                &[(1, Service::Bypass)],
                11_000,
            );
            for when in moments(net) {
                let seen = run(
                    net,
                    LinuxHost::send_endless,
                    &[(when, Service::Bypass)],
                    11_000,
                );
                let what = format!("{net:?} {when} {calm:?} {seen:?}");
                assert!(seen.timeouts <= calm.timeouts, "{what}");
            }
        }
    }
}

/// Everything that is promised arrives, in order, and no law is broken, on long paths that lose, whatever both ends
/// know: services of both directions change at random moments.
#[test]
fn h4_6_services_that_change_on_a_long_lossy_path_lose_no_octet() {
    const OCTETS: u64 = 1 << 20;
    for seed in seeds(30) {
        let mut random = Random::new(seed);
        let mut memory = Memory::new(4, 1024, 2048);
        let net = Net {
            rate: 2_500_000,
            queue: 300_000,
            round_trip_ms: 120 + u64::from(random.below(500)),
            buffer: 1 << 18,
        };
        let middle = EngineBox::new(engine(&mut memory, net));
        let mut links = links(net);
        let mut lossy = |path: Path| {
            let random = random.fork();
            path.then(Loss { ppm: 3_000, random })
        };
        links = Links {
            inner_up: lossy(links.inner_up),
            inner_down: lossy(links.inner_down),
            outer_up: lossy(links.outer_up),
            outer_down: lossy(links.outer_down),
        };
        let config = LinuxConfig {
            sack: random.chance(800_000),
            timestamps: random.chance(800_000),
            ..LinuxConfig::default()
        };
        let outer = LinuxHost::listen(config.mirrored()).send_total(OCTETS);
        let inner = LinuxHost::connect(config).send_total(OCTETS);
        let mut world = World::new(inner, outer, middle, links);
        let mut eased = 0;
        while !(world.inner.is_closed() && world.outer.is_closed()) {
            world.linger(millis(20 + u64::from(random.below(900))));
            let now = world.now();
            assert!(now < at(900_000), "seed {seed}");
            let engine = world.middle.engine();
            let Some(flow) = engine.flows().last() else {
                continue;
            };
            let services = [
                Service::Bypass,
                Service::Snoop,
                Service::LocalAck,
                Service::LocalAck,
            ];
            let service = services[random.below(4) as usize];
            let direction = Direction::BOTH[random.below(2) as usize];
            let mode = flow.direction(direction).mode;
            eased += u32::from(mode == DirectionMode::Draining);
            // A flow that has closed in the meantime is gone.
            let _ = engine.set_service(flow.id, direction, service, now);
        }
        println!("LOCALACK_SEED={seed} {eased}");
        let received = [world.inner.received(), world.outer.received()];
        assert_eq!(received, [OCTETS; 2], "seed {seed}");
        for host in [&world.inner, &world.outer] {
            assert_eq!(host.grave_fault(), None, "seed {seed}");
        }
        let before = world.middle.before_fault().join("\n");
        assert_eq!(
            world.middle.faults(),
            &[] as &[String],
            "seed {seed}\n{before}"
        );
        assert_eq!(world.middle.counters().octets_lost, 0, "seed {seed}");
    }
}
