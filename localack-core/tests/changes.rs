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
    Config, Direction, DirectionInfo, DirectionMode, Engine, Event, FlowConfig, Instant,
    PacketMeta, Service,
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

/// What the sender has noticed, and how its data is served in the end.
#[derive(Clone, Copy, Debug)]
struct Seen {
    timeouts: u64,
    again: u64,
    mode: DirectionMode,
    /// How often custody began.
    served: usize,
}

type Changes<'c> = &'c [(u64, Service)];
type Lab<'e> = World<LinuxHost, LinuxHost, BareBox<'e, FlowConfig>>;

fn lab<'e>(memory: &'e mut Memory, net: Net, sender: fn(LinuxHost) -> LinuxHost) -> Lab<'e> {
    let middle = BareBox::new(engine(memory, net), PacketMeta::default());
    let config = LinuxConfig::default();
    let receiver = LinuxHost::listen(config.mirrored());
    let sender = sender(LinuxHost::connect(config));
    let mut world = World::new(sender, receiver, middle, links(net));
    world.linger(millis(1));
    world
}

fn up(world: &mut Lab<'_>) -> DirectionInfo {
    let engine = world.middle.engine();
    *engine.flows().last().expect("a flow").direction(UP)
}

fn ask_for(world: &mut Lab<'_>, service: Service) {
    println!("{:?}: {:?}, then {service:?}", world.now(), up(world).mode);
    let now = world.now();
    let engine = world.middle.engine();
    let flow = engine.flows().last().expect("a flow").id;
    engine.set_service(flow, UP, service, now).expect("a flow");
}

/// Goes on until `when`, and then until something is in custody where custody is taken. Says what there was to
/// say about each time-out.
fn go_on(world: &mut Lab<'_>, when: Instant, told: &mut (Instant, u64)) {
    let is_idle = |world: &mut Lab<'_>| {
        let up = up(world);
        up.mode == DirectionMode::LocalAck && up.debt == 0
    };
    while world.now() < when || is_idle(world) {
        let before = world.inner.stats().timeouts;
        assert!(world.step(), "somebody always sends");
        let acknowledged = world.inner.acknowledged();
        if world.inner.stats().timeouts > before {
            let up = up(world);
            println!(
                "{:?}: a time-out, the next after {:?}. {} octets in flight, none acknowledged since {:?}; {:?}, {} in custody",
                world.now(),
                world.inner.retransmission_timeout(),
                world.inner.in_flight(),
                told.0,
                up.mode,
                up.custody,
            );
        }
        if acknowledged > told.1 {
            *told = (world.now(), acknowledged);
        }
    }
}

/// Lets a sender's services change at these milliseconds, or soon after where nothing is in custody then, and looks
/// until the last.
fn run(net: Net, sender: fn(LinuxHost) -> LinuxHost, changes: Changes<'_>, until: u64) -> Seen {
    let mut memory = Memory::new(4, 4096, 2048);
    let mut world = lab(&mut memory, net, sender);
    let mut told = (Instant::ZERO, 0);
    for &(when, service) in changes {
        go_on(&mut world, at(when), &mut told);
        ask_for(&mut world, service);
    }
    while world.now() < at(until) {
        let now = world.now();
        go_on(&mut world, now.after(millis(1)).min(at(until)), &mut told);
    }
    assert_eq!(world.inner.grave_fault(), None);
    assert_eq!(world.outer.grave_fault(), None);
    let events = world.middle.events();
    let begins = |event: &&Event| matches!(event, Event::CustodyBegun { .. });
    let served = events.iter().filter(begins).count();
    let stats = *world.inner.stats();
    Seen {
        timeouts: stats.timeouts,
        again: stats.segments_retransmitted,
        mode: up(&mut world).mode,
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

/// Whether a path is so short that acknowledgements are left to the receiver as soon as may be: that may cost a
/// tail loss probe, never a time-out.
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

/// So it is with a sender that pauses, so that services begin again: twelve changes, one a second.
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
            let times = (0..12).map(|number| 2_500 + shift + 1_000 * number);
            let changes: Vec<_> = times.zip(services.into_iter().cycle()).collect();
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

/// A sender of which nothing is held is left to its receiver at once (the promise of transparency). Where the round
/// trip exceeds its time-out it learns that by one, as it does of a path that has become longer.
#[test]
fn rfc6298_a_sender_of_which_nothing_is_held_learns_of_a_longer_path_by_itself() {
    for (round_trip_ms, most) in [(120, 0), (180, 0), (300, 1), (600, 2)] {
        let mut net = long(round_trip_ms);
        net.buffer = 1 << 15;
        let mut memory = Memory::new(4, 4096, 2048);
        let mut world = lab(&mut memory, net, |host| {
            let write = Write {
                after: 0,
                wait: millis(5_000),
                octets: 60_000,
            };
            host.send_scripted([write; 4], false)
        });
        world.linger(millis(10_000 + round_trip_ms));
        while up(&mut world).debt == 0 && world.step() {}
        while up(&mut world).debt > 0 && world.step() {}
        assert_eq!(
            (up(&mut world).mode, up(&mut world).debt),
            (DirectionMode::LocalAck, 0)
        );
        ask_for(&mut world, Service::Bypass);
        world.linger(millis(20));
        assert_eq!(up(&mut world).mode, DirectionMode::Bypass);
        world.linger(millis(12_000));
        let stats = *world.inner.stats();
        assert!(stats.timeouts <= most, "{net:?} {stats:?}");
        assert_eq!(world.outer.received(), 240_000);
    }
}

/// An engine that hands everything back takes no longer for it than delivering does, whatever the paths.
#[test]
fn h2_11_an_engine_that_drains_gives_no_sender_time() {
    for round_trip_ms in [120, 300, 600] {
        let mut memory = Memory::new(4, 4096, 2048);
        let mut world = lab(&mut memory, long(round_trip_ms), LinuxHost::send_endless);
        world.linger(millis(6_000));
        let now = world.now();
        world.middle.engine().drain(now);
        while up(&mut world).mode != DirectionMode::Bypass {
            assert!(world.step(), "it ends");
        }
        let took = world.now().as_micros() - now.as_micros();
        assert!(took < round_trip_ms * 2_500, "{round_trip_ms}: {took}");
    }
}

fn long(round_trip_ms: u64) -> Net {
    Net {
        rate: 5_000_000,
        queue: NEVER_FULL,
        round_trip_ms,
        buffer: 1 << 18,
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
