//! The links of a case.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use localack_core::Instant;
use localack_testkit::sim::{BurstLoss, Delay, Links, Loss, Path, Random, Rate};

use super::nodes::{Arq, Gauge, Policer, Reading};

/// Octets of a full packet.
const PACKET: u64 = 1500;

/// What becomes of packets on one way of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hazard {
    /// All arrive.
    None,
    /// Each is lost with this probability, in parts per million.
    Loss(u32),
    /// So many parts per million are lost, in bursts of so many packets on average.
    Bursts(u32, u32),
    /// Each transmission is lost with this probability, in parts per million, and the link repeats it.
    Repeated(u32),
    /// What exceeds this rate in octets per second is dropped, a burst of a tenth of a second apart.
    Policed(u32),
}

/// One way of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// Octets per second.
    pub rate: u64,
    /// Octets of the drop-tail queue before it.
    pub queue: u64,
    /// One-way delay.
    pub delay: Duration,
    /// What becomes of packets behind the queue.
    pub hazard: Hazard,
}

impl Way {
    /// A way of so many kbit/s with a delay of so many microseconds, whose queue holds 100 packets.
    #[must_use]
    pub const fn new(kbit: u64, delay_us: u64) -> Self {
        Self {
            rate: kbit * 125,
            queue: 100 * PACKET,
            delay: Duration::from_micros(delay_us),
            hazard: Hazard::None,
        }
    }

    /// A local network: 1 Gbit/s, 0.1 ms. Linux does not drop in its own queue, it makes sockets wait.
    #[must_use]
    pub const fn lan() -> Self {
        Self::new(1_000_000, 100).queued(1 << 28)
    }

    /// The same with another queue, in octets.
    #[must_use]
    pub const fn queued(mut self, octets: u64) -> Self {
        self.queue = octets;
        self
    }

    /// The same with a hazard.
    #[must_use]
    pub const fn with(mut self, hazard: Hazard) -> Self {
        self.hazard = hazard;
        self
    }

    /// The share of packets that arrive.
    pub(super) fn kept(&self) -> f64 {
        match self.hazard {
            Hazard::None | Hazard::Policed(_) => 1.0,
            Hazard::Loss(ppm) | Hazard::Bursts(ppm, _) | Hazard::Repeated(ppm) => {
                1.0 - f64::from(ppm) / 1e6
            }
        }
    }

    /// The way, with a gauge before it and one behind.
    fn path(&self, seed: u64) -> (Path, [Dial; 2]) {
        let gauges = [Gauge::default(), Gauge::default()];
        let dials = [gauges[0].dial(), gauges[1].dial()];
        let [before, behind] = gauges;
        let random = Random::new(seed);
        let rate = match self.hazard {
            // What the link repeats takes of its rate.
            Hazard::Repeated(_) => (self.rate as f64 * self.kept()) as u64,
            _ => self.rate,
        };
        let path = Path::new().then(before).then(Rate::new(rate, self.queue));
        let path = match self.hazard {
            Hazard::None => path,
            Hazard::Loss(ppm) => path.then(Loss { ppm, random }),
            Hazard::Bursts(ppm, length) => path.then(BurstLoss::bursts(ppm, length, random)),
            Hazard::Repeated(ppm) => path.then(Arq {
                ppm,
                round_trip: 2 * self.delay,
                random,
                last: Instant::ZERO,
            }),
            Hazard::Policed(rate) => path.then(Policer {
                rate: rate.into(),
                burst: u64::from(rate) / 10,
                paid_until_us: 0,
            }),
        };
        (path.then(Delay(self.delay)).then(behind), dials)
    }
}

pub(super) type Dial = Rc<Cell<Reading>>;

/// The gauges of all ways: where packets enter and where they leave.
#[derive(Clone, Debug)]
pub(super) struct Dials {
    pub(super) inner_up: [Dial; 2],
    pub(super) inner_down: [Dial; 2],
    pub(super) outer_up: [Dial; 2],
}

/// Both links, each with its two ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// From the senders to the engine.
    pub inner_up: Way,
    /// From the engine to the senders.
    pub inner_down: Way,
    /// From the engine to the receivers.
    pub outer_up: Way,
    /// From the receivers to the engine.
    pub outer_down: Way,
}

impl Route {
    /// Links that are alike both ways.
    #[must_use]
    pub const fn of(inner: Way, outer: Way) -> Self {
        Self {
            inner_up: inner,
            inner_down: inner,
            outer_up: outer,
            outer_down: outer,
        }
    }

    /// Round-trip time without queues.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.inner_up.delay + self.inner_down.delay + self.outer_up.delay + self.outer_down.delay
    }

    /// Octets of packets per second that reach a receiver at most, of what is sent once.
    pub(super) fn most(&self) -> f64 {
        let rate = |way: Way| match way.hazard {
            Hazard::Policed(rate) => rate.into(),
            _ => way.rate as f64 * way.kept(),
        };
        rate(self.inner_up).min(rate(self.outer_up))
    }

    /// The links, with losses from `seed`.
    pub(super) fn links(&self, seed: u64) -> (Links, Dials) {
        let seed = |number: u64| seed * 16 + number;
        let (inner_up, inner_up_dials) = self.inner_up.path(seed(1));
        let (inner_down, inner_down_dials) = self.inner_down.path(seed(2));
        let (outer_up, outer_up_dials) = self.outer_up.path(seed(3));
        let (outer_down, _) = self.outer_down.path(seed(4));
        let links = Links {
            inner_up,
            inner_down,
            outer_up,
            outer_down,
        };
        let dials = Dials {
            inner_up: inner_up_dials,
            inner_down: inner_down_dials,
            outer_up: outer_up_dials,
        };
        (links, dials)
    }
}
