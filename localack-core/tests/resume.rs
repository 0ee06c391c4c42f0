//! Careful Resume (RFC 9959) where the policy allows it (H12.5): a connection goes on where an earlier one
//! to the same network ended, a path that has become worse is found out and not trusted again, and without
//! leave nothing is taken over but hints.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    reason = "a test that goes wrong here should stop"
)]

use core::cell::Cell;
use core::net::SocketAddr;
use core::time::Duration;
use std::rc::Rc;

use localack_core::{
    Config, Controller, Counters, Custody, Direction, DirectionInfo, Engine, FlowConfig, Instant,
    PacketMeta, Service,
};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    BareBox, Delay, Exits, Links, LinuxConfig, LinuxHost, Node, Path, Rate, World,
};

const RTT: Duration = Duration::from_millis(300);
/// Octets per second of the outer link, and those that it carries in a round trip.
const RATE: u32 = 2_500_000;
const PRODUCT: u32 = 750_000;
/// What the first connection sends: enough to find out what the path carries.
const LESSON: u64 = 6 << 20;
/// What a later one sends.
const OBJECT: u64 = 1 << 20;

const WINDOWS: [Controller; 3] = [Controller::Reno, Controller::Cubic, Controller::Bbr];

/// What the outer link is at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Weather {
    Fair,
    /// Each hundredth packet is lost, for no reason.
    Noisy,
    /// A tenth of the rate, and hardly a queue.
    Poor,
    /// Nothing passes.
    Dead,
}

/// A link whose weather changes.
#[derive(Debug)]
struct Link {
    weather: Rc<Cell<Weather>>,
    fair: Rate,
    poor: Rate,
    packets: u32,
}

impl Node for Link {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        match self.weather.get() {
            Weather::Fair => self.fair.pass(now, packet, exits),
            Weather::Noisy => {
                self.packets += 1;
                if self.packets % 100 != 37 {
                    self.fair.pass(now, packet, exits);
                }
            }
            Weather::Poor => self.poor.pass(now, packet, exits),
            Weather::Dead => {}
        }
    }
}

/// How a connection went.
#[derive(Clone, Copy, Debug, Default)]
struct Course {
    /// Until everything was there.
    took: Duration,
    /// The largest windows of the first four round trips, and after the sixth.
    early: u32,
    late: u32,
    /// The rate that bounds what may be owed, before anything that was sent can be acknowledged.
    expected: u32,
}

/// Connections from one host to another, one after the other.
struct Lab<'m> {
    world: World<LinuxHost, LinuxHost, BareBox<'m, FlowConfig>>,
    weather: Rc<Cell<Weather>>,
    /// The link dies for two seconds once so many octets of the connection have arrived.
    dies_after: Option<u64>,
    /// A connection is served no more once all has arrived.
    demotes: bool,
    connections: u16,
}

fn hosts(number: u16, octets: u64) -> [LinuxHost; 2] {
    let address = |text: &str, port| SocketAddr::new(text.parse().expect("a literal"), port);
    let sender = LinuxConfig {
        own: address("192.0.2.10", 40_000 + number),
        peer: address("203.0.113.20", 443),
        isn: 0x0100_0000 * u32::from(number),
        receive_buffer_max: 32 << 20,
        ..LinuxConfig::default()
    };
    let receiver = sender.mirrored();
    let sender = LinuxHost::connect(sender).send_total(octets);
    [sender, LinuxHost::listen(receiver)]
}

impl<'m> Lab<'m> {
    fn new(memory: &'m mut Memory, policy: FlowConfig) -> Self {
        let engine =
            Engine::new(memory.storage(), Config::new([7, 11]), policy).expect("memory that fits");
        let half = Delay(RTT / 2);
        let lan = || Path::new().then(Delay(Duration::from_micros(100)));
        let weather = Rc::new(Cell::new(Weather::Fair));
        let link = Link {
            weather: weather.clone(),
            fair: Rate::new(RATE.into(), PRODUCT.into()),
            poor: Rate::new((RATE / 10).into(), 30_000),
            packets: 0,
        };
        let links = Links {
            outer_up: Path::new().then(link).then(half),
            outer_down: Path::new().then(half),
            inner_up: lan(),
            inner_down: lan(),
        };
        let [inner, outer] = hosts(0, LESSON);
        let middle = BareBox::new(engine, PacketMeta::default());
        Self {
            world: World::new(inner, outer, middle, links),
            weather,
            dies_after: None,
            demotes: false,
            connections: 0,
        }
    }

    /// One more connection for so many octets, to its end.
    fn connection(&mut self, octets: u64) -> Course {
        [self.world.inner, self.world.outer] = hosts(self.connections, octets);
        self.connections += 1;
        let begun = self.world.now();
        let mut course = Course::default();
        while self.world.outer.received() < octets {
            assert!(self.world.step(), "the transfer stands still");
            course.took = self.world.now().since(begun);
            assert!(course.took < Duration::from_secs(120), "not done in time");
            let received = self.world.outer.received();
            if self.dies_after.is_some_and(|octets| received > octets) {
                self.dies_after = None;
                self.weather.set(Weather::Dead);
                self.world.linger(Duration::from_secs(2));
                self.weather.set(Weather::Fair);
            }
            let window = self.window();
            if course.took < RTT * 2 {
                course.expected = course.expected.max(self.rate());
            }
            if course.took < RTT * 4 {
                course.early = course.early.max(window);
            } else if course.took > RTT * 6 {
                course.late = course.late.max(window);
            }
        }
        if self.demotes {
            let now = self.world.now();
            let engine = self.world.middle.engine();
            let flow = engine.flows().last().expect("a flow").id;
            engine
                .set_service(flow, Direction::InnerToOuter, Service::Bypass, now)
                .expect("it is known");
        }
        assert!(self.world.run(Duration::from_secs(60)), "both ends close");
        assert_eq!(self.world.outer.received(), octets);
        assert_eq!(self.world.inner.grave_fault(), None);
        assert_eq!(self.world.outer.grave_fault(), None);
        course
    }

    /// The congestion window of the present connection, zero before the engine has seen it.
    fn window(&mut self) -> u32 {
        self.info().map_or(0, |info| info.cwnd)
    }

    /// Octets per second that its receiver is believed to take, likewise.
    fn rate(&mut self) -> u32 {
        self.info().map_or(0, |info| info.rate)
    }

    fn info(&mut self) -> Option<DirectionInfo> {
        let port = 40_000 + self.connections - 1;
        let mut flows = self.world.middle.engine().flows();
        let flow = flows.find(|flow| flow.key.inner_port() == port)?;
        Some(flow.inner_to_outer)
    }

    fn counters(&self) -> &Counters {
        self.world.middle.counters()
    }
}

fn memory() -> Memory {
    Memory::new(8, 8192, 2048)
}

fn policy(controller: Controller, careful_resume: bool) -> FlowConfig {
    let mut policy = FlowConfig::inner_local_ack();
    policy.controller = controller;
    policy.careful_resume = careful_resume;
    policy.buffer_limit = 4 << 20;
    policy
}

#[test]
fn rfc9959_a_later_connection_begins_with_half_of_what_an_earlier_one_used() {
    for (controller, custody) in [
        (Controller::Reno, Custody::AfterProof),
        (Controller::Cubic, Custody::AfterHandshake),
        (Controller::Bbr, Custody::AfterProof),
    ] {
        {
            let what = format!("{controller:?} {custody:?}");
            let [plain, resumed] = [false, true].map(|allowed| {
                let mut memory = memory();
                let mut policy = policy(controller, allowed);
                policy.custody = custody;
                let mut lab = Lab::new(&mut memory, policy);
                let lesson = lab.connection(LESSON);
                assert!(lesson.early < PRODUCT / 8, "{what}: {lesson:?}");
                assert_eq!(lab.counters().resumptions, 0, "{what}: nothing is known");
                let course = lab.connection(OBJECT);
                assert_eq!(lab.counters().resumptions, u64::from(allowed), "{what}");
                course
            });
            assert!(plain.early < PRODUCT / 8, "{what}: {plain:?}");
            let half = PRODUCT / 3..=PRODUCT / 2;
            assert!(half.contains(&resumed.early), "{what}: {resumed:?}");
            let saved = plain.took.saturating_sub(resumed.took);
            assert!(saved > RTT * 3 / 4, "{what}: {saved:?}");
            // The remembered rate bounds the debt (H6.3), not the half of it that is used.
            assert_eq!(plain.expected, 0, "{what}");
            let whole = RATE * 3 / 4..=RATE;
            assert!(whole.contains(&resumed.expected), "{what}: {resumed:?}");
        }
    }
}

#[test]
fn rfc9959_3_5_a_path_that_has_become_worse_is_taken_for_what_it_is() {
    for controller in WINDOWS {
        let mut memory = memory();
        let mut lab = Lab::new(&mut memory, policy(controller, true));
        lab.connection(LESSON);
        lab.weather.set(Weather::Poor);
        let course = lab.connection(OBJECT);
        assert!(course.early > PRODUCT / 3, "{controller:?}: {course:?}");
        assert!(course.late < PRODUCT / 4, "{controller:?}: {course:?}");
        let after = lab.connection(OBJECT);
        assert!(after.early < PRODUCT / 8, "{controller:?}: {after:?}");
    }
}

/// Losses that BBR takes for chance make a later connection no slower than one that knows nothing: the
/// retreat from the jump is followed by the usual search for the rate.
#[test]
fn rfc9959_3_5_chance_losses_after_a_jump_cost_a_retreat_and_no_more() {
    let [plain, resumed] = [false, true].map(|allowed| {
        let mut memory = memory();
        let mut lab = Lab::new(&mut memory, policy(Controller::Bbr, allowed));
        lab.connection(LESSON);
        lab.weather.set(Weather::Noisy);
        let course = lab.connection(LESSON);
        assert_eq!(lab.counters().resumptions, u64::from(allowed));
        course
    });
    let longer = resumed.took.saturating_sub(plain.took);
    assert!(longer <= RTT * 2, "{resumed:?} instead of {plain:?}");
}

#[test]
fn rfc9959_3_6_a_time_out_ends_the_attempt() {
    for controller in WINDOWS {
        let mut memory = memory();
        let mut lab = Lab::new(&mut memory, policy(controller, true));
        lab.connection(LESSON);
        lab.dies_after = Some(30_000);
        let course = lab.connection(OBJECT);
        assert!(course.early > PRODUCT / 3, "{controller:?}: {course:?}");
        assert_eq!(lab.counters().timeouts, 1, "{controller:?}");
        // A model of the path knows better what to begin with than half of what was proved.
        if controller != Controller::Bbr {
            assert!(course.late < PRODUCT / 4, "{controller:?}: {course:?}");
        }
    }
}

/// What a connection has learned stays known if it is handed back to its ends before it is over.
#[test]
fn h12_5_a_demotion_forgets_no_lesson() {
    let mut memory = memory();
    let mut lab = Lab::new(&mut memory, policy(Controller::Reno, true));
    lab.demotes = true;
    lab.connection(LESSON);
    lab.connection(OBJECT);
    assert_eq!(lab.counters().resumptions, 1);
}

/// Half a rate that nobody vouched for is less than the whole of one that somebody vouches for.
#[test]
fn h12_5_a_vouched_rate_is_taken_instead() {
    let mut memory = memory();
    let mut lab = Lab::new(&mut memory, policy(Controller::provisioned(RATE), true));
    lab.connection(LESSON);
    lab.connection(OBJECT);
    assert_eq!(lab.counters().resumptions, 0);
}
