//! The scene: hosts on both sides of a bridge, a short cable to the inner ones, and a long one, which
//! loses packets, to the outer ones. Time is virtual.

use core::time::Duration;

use localack_core::{Engine, Instant, Policy, Port};

use super::bridge::{Bridge, Observer};
use super::cable::{Cable, MTU};
use super::hosts::{Amount, Buffers, Host, Sockets};

/// How long the long cable is, in microseconds.
const LONG_US: u64 = 150_000;
/// How long the other one is.
const SHORT_US: u64 = 500;
/// Time in which all must have arrived.
const LIMIT: Duration = Duration::from_secs(600);
/// Time that is left for the FINs.
const AFTERWARDS: Duration = Duration::from_secs(20);
/// The least step of time.
const STEP: Duration = Duration::from_micros(50);

/// What the long cable loses on the way out: each of some packets alone, and five in a row now and then.
const fn loses_outward(number: u32) -> bool {
    number % 29 == 17 || matches!(number % 211, 100..105)
}

/// And on the way back.
const fn loses_inward(number: u32) -> bool {
    number % 37 == 23
}

const fn loses_nothing(_: u32) -> bool {
    false
}

/// The cables of a scene.
pub(crate) struct Cables {
    short: Cable,
    long: Cable,
}

impl Cables {
    /// Empty ones.
    pub(crate) const fn new() -> Self {
        Self {
            short: Cable::new(SHORT_US, [loses_nothing; 2]),
            long: Cable::new(LONG_US, [loses_outward, loses_inward]),
        }
    }
}

/// What the hosts of one side keep their connections in.
pub(crate) type Desk<'h> = (&'h mut Sockets<'h>, &'h mut Buffers);

/// How the scene ended.
pub(crate) struct Outcome {
    /// Whether each octet of both streams of each connection arrived, in its place.
    pub(crate) intact: bool,
    /// Octets that arrived at the inner hosts and at the outer ones.
    pub(crate) received: [u32; 2],
    /// When the last of them arrived.
    pub(crate) lasted: Duration,
    /// Packets on the long cable, and how many of them it lost.
    pub(crate) packets: u32,
    /// See [`Outcome::packets`].
    pub(crate) lost: u32,
    /// Packets that found no room.
    pub(crate) dropped: u32,
}

/// Lets all connections carry `amount` through `engine`; `inspect` looks at the engine in the end.
pub(crate) fn exchange<'h, P: Policy>(
    engine: Engine<'_, P>,
    cables: &'h Cables,
    desks: [Desk<'h>; 2],
    amount: Amount,
    observer: &mut impl Observer,
    inspect: impl FnOnce(&mut Engine<'_, P>),
) -> Outcome {
    let [inner_end, inner_port] = cables.short.ends();
    let [outer_port, outer_end] = cables.long.ends();
    let [
        (inner_sockets, inner_buffers),
        (outer_sockets, outer_buffers),
    ] = desks;
    let mut inner = Host::new(Port::Inner, inner_end, inner_sockets, inner_buffers, amount);
    let mut outer = Host::new(Port::Outer, outer_end, outer_sockets, outer_buffers, amount);
    let mut bridge = Bridge::<_, _, _, MTU>::new(engine, inner_port, outer_port);
    let (mut now, mut content_at) = (Instant::from_millis(1), None);
    let start = now;
    while now.since(start) < LIMIT {
        inner.turn(now);
        outer.turn(now);
        while bridge.turn(now, observer) {}
        if inner.is_content() && outer.is_content() {
            let since = *content_at.get_or_insert(now);
            if now.since(since) >= AFTERWARDS {
                break;
            }
        }
        let times = [
            inner.next_deadline(now),
            outer.next_deadline(now),
            bridge.next_deadline(),
            cables.short.next_arrival(),
            cables.long.next_arrival(),
        ];
        let soonest = times.into_iter().flatten().min();
        let soonest = soonest.unwrap_or_else(|| now.after(AFTERWARDS));
        now = soonest.max(now.after(STEP));
    }
    inspect(bridge.engine());
    let (packets, lost) = cables.long.losses();
    let received = [inner.received(), outer.received()];
    Outcome {
        intact: content_at.is_some() && received.iter().all(Option::is_some),
        received: received.map(Option::unwrap_or_default),
        lasted: content_at.unwrap_or(now).since(start),
        packets,
        lost,
        dropped: bridge.dropped(),
    }
}
