//! Routes that an engine does not expect: another engine on the same path, and packets that go round it
//! (rules H9.2, H9.3 and H9.6).

use core::net::SocketAddr;
use core::time::Duration;

use localack_core::{
    Config, Custody, DemoteCause, Engine, Event, FlowConfig, FlowInfo, Instant, Port, TransmitKind,
};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    Delay, FaultKind, Links, LinuxConfig, LinuxHost, Middle, Path, Random, Rate, Series, World,
    seeds,
};

use super::forge::{ACK, Forgery, PSH, RST};
use super::rig::Rig;

const LIMIT: Duration = Duration::from_secs(120);

fn config() -> LinuxConfig {
    let address = |text: &str| -> SocketAddr { text.parse().expect("a literal") };
    LinuxConfig {
        own: address("192.0.2.10:40000"),
        peer: address("203.0.113.20:443"),
        ..LinuxConfig::strict()
    }
}

fn memory() -> Memory {
    Memory::new(2, 2_000, 2048)
}

fn rig(memory: &mut Memory, flow: FlowConfig) -> Rig<'_> {
    Rig::new(Engine::new(memory.storage(), Config::new([5, 6]), flow).expect("valid"))
}

fn links() -> Links {
    let near = || Path::new().then(Delay(Duration::from_micros(300)));
    let away = || {
        Path::new()
            .then(Rate::new(400_000, 4_000_000))
            .then(Delay(Duration::from_millis(30)))
    };
    Links {
        inner_up: near(),
        inner_down: near(),
        outer_up: away(),
        outer_down: away(),
    }
}

/// How often somebody forges something.
const PESTERS_EVERY: Duration = Duration::from_millis(1);

/// A piece of wire that loses packets, and by which somebody sends resets, data and acknowledgements with
/// any numbers to both ends.
struct Pest {
    random: Random,
    loss_ppm: u32,
    forged: u64,
    /// When it sends something next.
    next: Instant,
}

impl Pest {
    fn forge(&mut self, toward: Port) -> Vec<u8> {
        let SocketAddr::V4(inner) = config().own else {
            panic!("IPv4")
        };
        let SocketAddr::V4(outer) = config().peer else {
            panic!("IPv4")
        };
        let (source, destination) = match toward {
            Port::Inner => (outer, inner),
            Port::Outer => (inner, outer),
        };
        let random = &mut self.random;
        let (flags, length) =
            [(RST, 0), (RST | ACK, 0), (ACK, 0), (ACK | PSH, 100)][random.below(4) as usize];
        self.forged += 1;
        let mut any = || random.below(u32::MAX);
        Forgery {
            source,
            destination,
            flags,
            seq: any(),
            ack: any(),
            window: any() as u16,
            stamps: (any() % 2 == 0).then(|| (any(), any())),
            length,
        }
        .octets()
    }
}

impl Middle for Pest {
    fn ingest(&mut self, now: Instant, port: Port, packet: Vec<u8>) -> Vec<(Port, Vec<u8>)> {
        let lost = self.random.chance(self.loss_ppm);
        let mut out: Vec<_> = (!lost)
            .then_some((port.other(), packet))
            .into_iter()
            .collect();
        if now >= self.next {
            self.next = now.after(PESTERS_EVERY);
            for toward in [Port::Inner, Port::Outer].repeat(5) {
                out.push((toward, self.forge(toward)));
            }
        }
        out
    }

    fn poll(&mut self, _: Instant) -> Vec<(Port, Vec<u8>)> {
        Vec::new()
    }

    fn next_at(&self) -> Option<Instant> {
        None
    }
}

/// Rule H9.6: two engines in series, between which packets are lost, and with attackers before, behind and
/// between them. A forgery that one engine does not stop meets the other, or a host that is as strict.
#[test]
fn h9_6_engines_in_series_withstand_loss_and_forgeries() {
    const OCTETS: u64 = 400_000;
    for seed in seeds(3) {
        let mut random = Random::new(seed);
        let mut memories = [memory(), memory()];
        let [first, second] = memories
            .each_mut()
            .map(|memory| rig(memory, FlowConfig::both_local_ack()));
        let mut pest = |loss_ppm| Pest {
            random: random.fork(),
            loss_ppm,
            forged: 0,
            // When the handshake is over.
            next: Instant::from_millis(200),
        };
        let (near, between, far) = (pest(0), pest(15_000), pest(15_000));
        let behind = Series {
            first: second,
            second: far,
        };
        let behind = Series {
            first: between,
            second: behind,
        };
        let middle = Series {
            first: near,
            second: Series {
                first,
                second: behind,
            },
        };
        let inner = LinuxHost::connect(config()).send_total(OCTETS);
        let outer = LinuxHost::listen(config().mirrored()).send_total(OCTETS);
        let mut world = World::new(inner, outer, middle, links());
        assert!(world.run(LIMIT), "seed {seed}: the flow does not end");
        // The inner and outer attackers reach hosts that no engine covers.
        let hosts = [(&world.inner, Port::Inner), (&world.outer, Port::Outer)];
        for (host, port) in hosts {
            assert!(
                host.is_closed(),
                "seed {seed} {port:?}: not closed in order"
            );
            let reached = (host.received(), host.acknowledged());
            assert_eq!(reached, (OCTETS, OCTETS), "seed {seed} {port:?}");
        }
        let series = &world.middle.second;
        let engines = [&series.first, &series.second.second.first];
        for rig in engines {
            let counters = rig.engine.counters();
            assert_eq!(
                (counters.flows_adopted, counters.octets_lost),
                (1, 0),
                "seed {seed}"
            );
            let harm = rig.events().iter().find(|event| {
                matches!(
                    event,
                    Event::Reset { .. } | Event::GivenUp { .. } | Event::Demoted { .. }
                )
            });
            assert_eq!(harm, None, "seed {seed}");
        }
        let forged = series.second.first.forged;
        assert!(forged > 500, "seed {seed}: {forged}");
    }
}

/// An engine that packets go round which arrive on one of the ports, from some time on.
struct Aside<'e> {
    rig: Rig<'e>,
    blind_on: Port,
    from: Instant,
    /// Packets that did not leave as they came, and that the engine made.
    changed: u64,
    made: u64,
}

impl Middle for Aside<'_> {
    fn ingest(&mut self, now: Instant, port: Port, packet: Vec<u8>) -> Vec<(Port, Vec<u8>)> {
        if port == self.blind_on && now >= self.from {
            return vec![(port.other(), packet)];
        }
        let original = packet.clone();
        let left = self.rig.ingest(now, port, packet);
        if left != [(port.other(), original)] {
            self.changed += 1;
        }
        left
    }

    fn poll(&mut self, now: Instant) -> Vec<(Port, Vec<u8>)> {
        let made = self.rig.poll(now);
        self.made += made.len() as u64;
        made
    }

    fn next_at(&self) -> Option<Instant> {
        self.rig.next_at()
    }
}

type Lopsided<'e> = World<LinuxHost, LinuxHost, Aside<'e>>;

fn lopsided(
    memory: &mut Memory,
    flow: FlowConfig,
    blind_on: Port,
    from: Instant,
    sends: [u64; 2],
) -> Lopsided<'_> {
    let middle = Aside {
        rig: rig(memory, flow),
        blind_on,
        from,
        changed: 0,
        made: 0,
    };
    let mut inner = LinuxHost::connect(config());
    let mut outer = LinuxHost::listen(config().mirrored());
    // Whoever sends nothing closes after its peer.
    if sends[0] > 0 {
        inner = inner.send_total(sends[0]);
    }
    if sends[1] > 0 {
        outer = outer.send_total(sends[1]);
    }
    World::new(inner, outer, middle, links())
}

/// Both hosts have got everything, and hold nothing against each other.
fn is_unharmed(world: &mut Lopsided<'_>, sends: [u64; 2], what: &str) {
    assert!(world.run(LIMIT), "{what}: the flow does not end");
    let [inner, outer] = [&world.inner, &world.outer];
    assert!(
        inner.is_closed() && outer.is_closed(),
        "{what}: not closed in order"
    );
    assert_eq!([outer.received(), inner.received()], sends, "{what}");
    for (host, side) in [(inner, "inner"), (outer, "outer")] {
        // The windows that the engine offered were larger than the receiver's own (rule H2.11).
        let offered = |kind| matches!(kind, FaultKind::BeyondWindow | FaultKind::WindowRetreat);
        let grave = host
            .faults()
            .iter()
            .find(|fault| !offered(fault.kind) && !fault.may_be_network());
        assert_eq!(grave, None, "{what}: {side}");
    }
    let resets = |event: &&Event| matches!(event, Event::Reset { .. });
    assert_eq!(
        world.middle.rig.events().iter().find(resets),
        None,
        "{what}"
    );
    assert_eq!(world.middle.rig.engine.counters().octets_lost, 0, "{what}");
}

fn was_demoted(world: &Lopsided<'_>, because: DemoteCause) -> bool {
    let is_it = |event: &Event| matches!(event, Event::Demoted { cause, .. } if *cause == because);
    world.middle.rig.events().iter().any(is_it)
}

/// Rule H9.3: an engine that sees one direction only adopts nothing, and all that it sees passes as it came.
#[test]
fn h9_3_half_a_connection_is_not_adopted() {
    for blind_on in [Port::Inner, Port::Outer] {
        let mut memory = memory();
        let mut flow = FlowConfig::both_local_ack();
        flow.custody = Custody::AfterHandshake;
        let sends = [100_000, 100_000];
        let mut world = lopsided(&mut memory, flow, blind_on, Instant::ZERO, sends);
        is_unharmed(&mut world, sends, &format!("blind on {blind_on:?}"));
        let middle = &world.middle;
        assert_eq!((middle.changed, middle.made), (0, 0), "{blind_on:?}");
        assert_eq!(middle.rig.engine.counters().flows_adopted, 0);
    }
}

/// Rules H4.6 and H9.2: the sender's packets go round the engine in the middle of what it sends. What is in
/// custody is delivered; what went round is acknowledged by its receiver.
#[test]
fn h9_2_a_sender_whose_packets_go_round_loses_nothing() {
    for at_ms in [150, 300, 700] {
        let mut memory = memory();
        let flow = FlowConfig::inner_local_ack();
        let sends = [2_000_000, 0];
        let from = Instant::from_millis(at_ms);
        let mut world = lopsided(&mut memory, flow, Port::Inner, from, sends);
        world.linger(Duration::from_millis(at_ms));
        let debt = |flow: FlowInfo| flow.inner_to_outer.debt;
        assert!(
            world.middle.rig.flow().map_or(0, debt) > 10_000,
            "at {at_ms}"
        );
        is_unharmed(&mut world, sends, &format!("at {at_ms} ms"));
        assert!(was_demoted(&world, DemoteCause::WentRound), "at {at_ms} ms");
    }
}

/// Rule H9.3: the receiver's packets go round the engine while nothing is in custody. What its peer
/// acknowledges tells the engine so, and from then on it promises nothing.
#[test]
fn h9_3_a_receiver_whose_packets_go_round_is_noticed() {
    let mut memory = memory();
    let flow = FlowConfig::inner_local_ack();
    let from = Instant::from_millis(700);
    let mut world = lopsided(&mut memory, flow, Port::Outer, from, [0, 600_000]);
    world.linger(Duration::from_millis(900));
    assert!(was_demoted(&world, DemoteCause::Asymmetric));
    // Only now does the inner host have something to say.
    world.inner = world.inner.clone().send_total(200_000);
    is_unharmed(&mut world, [200_000, 600_000], "a receiver");
    let counters = world.middle.rig.engine.counters();
    assert_eq!(counters.transmitted(TransmitKind::LocalAck), 0);
    assert_eq!(counters.transmitted(TransmitKind::Retransmission), 0);
}
