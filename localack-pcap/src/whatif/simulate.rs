//! One connection, played again by simulated hosts over a simulated path.

use core::net::SocketAddr;
use core::time::Duration;

use localack_core::{Config, Controller, Engine, FlowConfig, Instant, PacketMeta, TransmitKind};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    BareBox, Between, Delay, Links, LinuxConfig, LinuxCongestion, LinuxHost, Loss, Path, Random,
    Rate, World,
};

use super::application::{Application, Script};
use super::endpoint::{EndpointEstimate, buffer};
use super::estimate::PathEstimate;
use super::trace::{Side, Trace};
use super::{ControllerChoice, Place, SenderChoice};
use crate::trace::Mark;

/// Events of one run; one that needs more is given up.
pub(super) const MOST_EVENTS: u64 = 20_000_000;
/// Octets per second of a link that is no bottleneck, and what it can queue.
const FAST: u64 = 1_250_000_000;
const FAST_QUEUE: u64 = 256 << 20;
const BLOCK_SIZE: usize = 2048;
/// Steps in which arrivals are told.
const ARRIVALS: u64 = 256;

type Play<'m> = World<LinuxHost, LinuxHost, Between<'m, FlowConfig>>;

/// What is simulated.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) trace: &'a Trace,
    pub(super) application: &'a Application,
    pub(super) path: &'a PathEstimate,
    pub(super) endpoints: &'a [EndpointEstimate; 2],
    pub(super) place: Place,
    pub(super) sender: SenderChoice,
    /// Octets that the engine may hold for a connection.
    pub(super) buffer: u32,
}

/// How one run went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Outcome {
    /// From the SYN to the last octet's arrival; none if it was given up.
    pub(super) took_us: Option<u64>,
    /// Segments that both hosts sent again.
    pub(super) retransmissions: u64,
    /// Segments that the engine sent again.
    pub(super) engine_retransmissions: u64,
    /// The most octets in custody.
    pub(super) peak_custody: u64,
}

impl Scene<'_> {
    /// Runs it, with an engine if there is a controller for one.
    pub(super) fn run(&self, seed: u64, controller: Option<ControllerChoice>) -> Outcome {
        self.watched(seed, controller, |_| ()).0
    }

    /// Runs it; when how many octets of the sender's had arrived, in microseconds since the SYN.
    pub(super) fn arrivals(&self, seed: u64, controller: Option<ControllerChoice>) -> Vec<Mark> {
        let all = self.script(self.trace.sender()).octets();
        let arrived = |world: &Play<'_>| {
            let mut marks: Vec<Mark> = Vec::new();
            for step in 1..=ARRIVALS {
                let octets = (u128::from(all) * u128::from(step) / u128::from(ARRIVALS)) as u64;
                let Some(at) = world.outer.received_at(octets.max(1)) else {
                    break;
                };
                let octets = i64::try_from(octets).unwrap_or(i64::MAX);
                marks.push(Mark {
                    time: at.as_micros(),
                    low: octets,
                    high: octets,
                });
            }
            marks
        };
        self.watched(seed, controller, arrived).1
    }

    /// Runs it, and looks at the world at its end.
    fn watched<T>(
        &self,
        seed: u64,
        controller: Option<ControllerChoice>,
        look: impl FnOnce(&Play<'_>) -> T,
    ) -> (Outcome, T) {
        let octets = self.buffer as usize * 3 / 2;
        let blocks = (octets / BLOCK_SIZE).max(64);
        let mut memory = controller.map(|_| Memory::new(4, blocks, BLOCK_SIZE));
        let engine = memory
            .as_mut()
            .zip(controller)
            .and_then(|(memory, controller)| self.engine(memory, controller));
        let sender = self.trace.sender();
        let [inner, outer] = [sender, sender.other()].map(|side| self.host(side));
        let mut world = World::new(inner, outer, Between::new(engine), self.links(seed));
        let took = self.play(&mut world);
        let again = |host: &LinuxHost| host.stats().segments_retransmitted;
        let (engine_retransmissions, peak_custody) =
            world.middle.engine().map_or((0, 0), |engine| {
                (
                    engine.counters().transmitted(TransmitKind::Retransmission),
                    engine.most_debt()[0].into(),
                )
            });
        let outcome = Outcome {
            took_us: took,
            retransmissions: again(&world.inner) + again(&world.outer),
            engine_retransmissions,
            peak_custody,
        };
        let seen = look(&world);
        (outcome, seen)
    }

    fn play(&self, world: &mut Play<'_>) -> Option<u64> {
        let sender = self.trace.sender();
        let expected = |side: Side| self.script(side).octets();
        let (up, down) = (expected(sender), expected(sender.other()));
        let patience = Duration::from_micros(self.application.took_us.saturating_mul(20));
        let end = Instant::ZERO.after(patience.max(Duration::from_secs(600)));
        let mut events = 0;
        while world.outer.received() < up || world.inner.received() < down {
            events += 1;
            if events > MOST_EVENTS || world.now() > end || !world.step() {
                return None;
            }
        }
        let arrivals = [
            world.outer.received_at(up.max(1)),
            world.inner.received_at(down.max(1)),
        ];
        let last = arrivals.into_iter().flatten().max();
        Some(last.unwrap_or(Instant::ZERO).as_micros())
    }

    fn engine<'m>(
        &self,
        memory: &'m mut Memory,
        controller: ControllerChoice,
    ) -> Option<BareBox<'m, FlowConfig>> {
        let mut config = Config::new([7, 11]);
        config.mtu = [self.mtu(); 2];
        let mut policy = FlowConfig::inner_local_ack();
        policy.controller = match controller {
            ControllerChoice::Reno => Controller::Reno,
            ControllerChoice::Cubic => Controller::Cubic,
            ControllerChoice::Bbr => Controller::Bbr,
            ControllerChoice::Provisioned => {
                let rate = self.rate().min(u64::from(u32::MAX));
                Controller::provisioned(u32::try_from(rate).unwrap_or(u32::MAX))
            }
        };
        policy.buffer_limit = self.buffer;
        let engine = Engine::new(memory.storage(), config, policy).ok()?;
        Some(BareBox::new(engine, PacketMeta::default()).measuring())
    }

    fn script(&self, side: Side) -> &Script {
        &self.application.scripts[side as usize]
    }

    /// Octets per second of the bottleneck.
    fn rate(&self) -> u64 {
        ((self.path.rate_mbit.value * 125_000.0) as u64).max(1000)
    }

    /// The largest packet of the path.
    fn mtu(&self) -> u16 {
        let header = if self.trace.ends[0].0.is_ipv4() {
            40
        } else {
            60
        };
        let mss = self.endpoints.iter().map(|end| end.mss).min();
        mss.unwrap_or(536).max(88).saturating_add(header)
    }

    /// The four one-way links: the engine, or the wire, is `place`.
    fn links(&self, seed: u64) -> Links {
        let mut random = Random::new(seed);
        let rtt = self.path.rtt_ms.value * 1000.0;
        let near = self.place.distance(self.path) * 1000.0;
        let delay = |micros: f64| Delay(Duration::from_micros((micros / 2.0) as u64));
        let queue = (self.path.queue_octets.value as u64).max(3000);
        let share = (self.path.loss_pct.value / 100.0).clamp(0.0, 0.99);
        let bottleneck = || Rate::new(self.rate(), queue);
        let fast = || Rate::new(FAST, FAST_QUEUE);
        let mut loss = |share: f64| Loss {
            ppm: (share * 1e6) as u32,
            random: random.fork(),
        };
        let half = 1.0 - (1.0 - share).sqrt();
        let near = delay(near);
        let far = Delay(delay(rtt).0.saturating_sub(near.0));
        match self.place {
            Place::NearSender => Links {
                inner_up: Path::new().then(fast()).then(near),
                inner_down: Path::new().then(fast()).then(near),
                outer_up: Path::new().then(bottleneck()).then(loss(share)).then(far),
                outer_down: Path::new().then(bottleneck()).then(far),
            },
            Place::Middle => Links {
                inner_up: Path::new().then(fast()).then(loss(half)).then(near),
                inner_down: Path::new().then(fast()).then(near),
                outer_up: Path::new().then(bottleneck()).then(loss(half)).then(far),
                outer_down: Path::new().then(bottleneck()).then(far),
            },
            Place::NearReceiver => Links {
                inner_up: Path::new().then(bottleneck()).then(loss(share)).then(near),
                inner_down: Path::new().then(bottleneck()).then(near),
                outer_up: Path::new().then(fast()).then(far),
                outer_down: Path::new().then(fast()).then(far),
            },
        }
    }

    fn host(&self, side: Side) -> LinuxHost {
        let address = |side: Side| SocketAddr::from(self.trace.ends[side as usize]);
        let end = &self.endpoints[side as usize];
        let client = side == Side::Client;
        let reno = self.sender == SenderChoice::Reno;
        let config = LinuxConfig {
            own: address(side),
            peer: address(side.other()),
            mtu: self.mtu(),
            send_buffer: usize::try_from(end.send_buffer).unwrap_or(4 << 20),
            receive_buffer: buffer(end.first_window),
            receive_buffer_max: buffer(end.window_limit.max(end.first_window)),
            timestamps: end.timestamps,
            sack: end.sack,
            window_scale: end.window_scale.map(|scale| scale.min(14)),
            initial_window_segments: end.initial_window_segments,
            congestion: if reno {
                LinuxCongestion::Reno
            } else {
                LinuxCongestion::Cubic
            },
            classic_hystart: !reno,
            isn: if client { 0x2f6b_3d15 } else { 0x60b3_d152 },
            timestamp_offset: if client { 0x4c1e_a70b } else { 0x0a3c_1e75 },
            ..LinuxConfig::default()
        };
        let host = if client {
            LinuxHost::connect(config)
        } else {
            LinuxHost::listen(config)
        };
        let script = self.script(side);
        host.read_rate(end.read_rate)
            .send_scripted(script.steps.iter().copied(), script.closes)
    }
}
