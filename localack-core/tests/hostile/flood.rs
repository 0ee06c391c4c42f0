//! SYN floods from as many sources as there are packets (rules H7.8 and H9.8, RFC 4987): whoever is
//! served notices nothing, and when the flood ends everything is as before.

use core::net::SocketAddrV4;
use core::time::Duration;

use localack_core::{
    BlockSlot, Config, Engine, EngineHead, FlowConfig, FlowSlot, FlowState, IndexSlot, Instant,
    PassReason, PathSlot, Port, Storage, TransmitKind, Verdict,
};
use localack_testkit::sim::Random;

use super::forge::{ACK, Forgery, PSH, RST, SYN};
use super::rig::{Made, Rig};

/// SYNs of a flood.
const SYNS: u64 = if cfg!(debug_assertions) {
    60_000
} else {
    1_000_000
};
const SLOTS: usize = 256;
/// ISNs of the inner and the outer host.
pub(crate) const ISN: [u32; 2] = [1_000, 5_000];
/// Octets in each segment of the served flows.
const LENGTH: u16 = 500;

/// Memory of an engine, whose hash index can be looked at.
pub(crate) struct Lent {
    head: Box<EngineHead>,
    flows: Vec<FlowSlot>,
    pub(crate) index: Vec<IndexSlot>,
    blocks: Vec<BlockSlot>,
    arena: Vec<u8>,
    paths: Vec<PathSlot>,
}

impl Lent {
    pub(crate) fn new(flows: usize, blocks: usize) -> Self {
        Self {
            head: Box::new(EngineHead::EMPTY),
            flows: vec![FlowSlot::EMPTY; flows],
            index: vec![IndexSlot::EMPTY; (2 * flows).next_power_of_two()],
            blocks: vec![BlockSlot::EMPTY; blocks],
            arena: vec![0; blocks * 1024],
            paths: vec![PathSlot::EMPTY; 16],
        }
    }

    pub(crate) fn storage(&mut self) -> Storage<'_> {
        Storage {
            head: &mut self.head,
            flows: &mut self.flows,
            index: &mut self.index,
            blocks: &mut self.blocks,
            arena: &mut self.arena,
            paths: &mut self.paths,
            before: &mut [],
        }
    }

    /// The longest run of occupied index slots: no look-up takes more steps, and one.
    pub(crate) fn longest_run(&self) -> usize {
        let slots = self.index.iter().chain(&self.index);
        let (mut longest, mut run) = (0, 0);
        for slot in slots {
            run = if *slot == IndexSlot::EMPTY {
                0
            } else {
                run + 1
            };
            longest = longest.max(run);
        }
        longest
    }
}

fn address(host: u32, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(host.into(), port)
}

/// The inner and the outer address of the connection `number`.
pub(crate) fn addresses(number: u32) -> [SocketAddrV4; 2] {
    [
        address(0x0a00_0000 + number, 40_000),
        address(0xcb00_7101, 443),
    ]
}

/// A segment of the host on `port`, with numbers relative to the ISNs and an open window.
pub(crate) fn segment(
    ends: [SocketAddrV4; 2],
    port: Port,
    flags: u8,
    numbers: [u32; 2],
    length: u16,
) -> Vec<u8> {
    offering(ends, port, flags, numbers, length, 60_000)
}

/// The same with another window.
pub(crate) fn offering(
    [inner, outer]: [SocketAddrV4; 2],
    port: Port,
    flags: u8,
    [seq, ack]: [u32; 2],
    length: u16,
    window: u16,
) -> Vec<u8> {
    let (source, destination, own, peer) = match port {
        Port::Inner => (inner, outer, ISN[0], ISN[1]),
        Port::Outer => (outer, inner, ISN[1], ISN[0]),
    };
    let forgery = Forgery {
        source,
        destination,
        flags,
        seq: own.wrapping_add(seq),
        ack: peer.wrapping_add(ack),
        window,
        stamps: None,
        length,
    };
    forgery.octets()
}

/// Three packets after which the engine serves the connection.
pub(crate) fn shake(rig: &mut Rig<'_>, now: Instant, ends: [SocketAddrV4; 2]) {
    for (port, flags, numbers, length) in [
        (Port::Inner, SYN, [0, 0], 0),
        (Port::Outer, SYN | ACK, [0, 1], 0),
        (Port::Inner, ACK, [1, 1], 0),
        // Proof (rule H7.1).
        (Port::Outer, ACK | PSH, [1, 1], 1),
    ] {
        let mut octets = segment(ends, port, flags, numbers, length);
        let _ = rig.take(now, port, &mut octets);
    }
}

/// Whether a connection made now gets the engine's service.
pub(crate) fn is_admitted(rig: &mut Rig<'_>, now: Instant, number: u32) -> bool {
    let ends = addresses(number);
    shake(rig, now, ends);
    let mut octets = segment(ends, Port::Inner, ACK, [1, 2], LENGTH);
    let (_, made) = rig.take(now, Port::Inner, &mut octets);
    made.iter().any(|made| made.kind == TransmitKind::LocalAck)
}

fn rig(lent: &mut Lent) -> Rig<'_> {
    let mut config = Config::new([11, 12]);
    config.reserved_blocks = 1;
    let flow = FlowConfig::inner_local_ack();
    Rig::new(Engine::new(lent.storage(), config, flow).expect("valid"))
}

/// What is done for one packet: its verdict, and what was made.
type Step = (Verdict, Vec<Made>);

/// Connections that are served while the flood goes on; all of them take turns.
struct Talk {
    count: u32,
    turn: u32,
}

impl Talk {
    /// The next packets: data, and its acknowledgement a round later, so that something is always in
    /// custody.
    fn go_on(&mut self, rig: &mut Rig<'_>, now: Instant) -> [Step; 2] {
        let (number, round) = (self.turn % self.count, self.turn / self.count);
        self.turn += 1;
        let ends = addresses(number);
        let start = 1 + round * u32::from(LENGTH);
        let data = segment(ends, Port::Inner, ACK, [start, 2], LENGTH);
        let ack = segment(ends, Port::Outer, ACK, [2, start], 0);
        [(Port::Inner, data), (Port::Outer, ack)]
            .map(|(port, mut octets)| rig.take(now, port, &mut octets))
    }
}

/// A SYN from anywhere to anywhere.
fn any_syn(random: &mut Random) -> (Port, Vec<u8>) {
    let client = address(random.below(u32::MAX), random.below(65_536) as u16);
    let server = address(0xcb00_7100 + random.below(256), 80);
    let port = if random.chance(500_000) {
        Port::Inner
    } else {
        Port::Outer
    };
    let ends = match port {
        Port::Inner => [client, server],
        Port::Outer => [server, client],
    };
    (
        port,
        segment(ends, port, SYN, [random.below(u32::MAX), 0], 0),
    )
}

/// Serves `talkers` connections for as long as a flood of `syns` takes, and looks at each packet of the
/// flood; answers all that was done for the connections. No packet costs more than a call of `poll`,
/// but for timers of the slots.
fn serve(rig: &mut Rig<'_>, talkers: u32, syns: u64, expected: PassReason) -> Vec<Step> {
    const EACH_MS: u64 = 20;
    let mut random = Random::new(9);
    let mut talk = Talk {
        count: talkers,
        turn: 0,
    };
    let (share, before) = (SLOTS / 2, rig.polls);
    let mut steps = Vec::new();
    for ms in 0..SYNS / EACH_MS {
        let now = Instant::from_millis(1_000 + ms);
        for _ in 0..EACH_MS.min(syns) {
            let (port, mut octets) = any_syn(&mut random);
            let original = octets.clone();
            let (verdict, made) = rig.take(now, port, &mut octets);
            assert_eq!(verdict, Verdict::Pass(expected));
            assert!(made.is_empty() && octets == original);
        }
        if ms % 8 == 0 {
            steps.extend(talk.go_on(rig, now));
        }
        if ms % 500 == 0 {
            let unfinished = rig
                .engine
                .flows()
                .filter(|flow| flow.state != FlowState::Open)
                .count();
            assert!(unfinished <= share, "{unfinished} unfinished handshakes");
        }
    }
    let packets = steps.len() as u64 + SYNS.min(syns);
    let polls = rig.polls - before;
    assert!(
        polls <= packets + SLOTS as u64,
        "{polls} polls for {packets} packets"
    );
    steps
}

/// Rule H7.8: unfinished handshakes get their share of the table, and nobody else's.
#[test]
fn h7_8_a_syn_flood_shows_to_nobody_who_is_served() {
    let talkers = 20;
    let start = Instant::from_millis(500);
    let mut lents = [Lent::new(SLOTS, 1024), Lent::new(SLOTS, 1024)];
    let [quiet, flooded] = lents.each_mut();
    let mut quiet = rig(quiet);
    let mut engine = rig(flooded);
    for number in 0..talkers {
        shake(&mut quiet, start, addresses(number));
        shake(&mut engine, start, addresses(number));
    }
    let expected = serve(&mut quiet, talkers, 0, PassReason::Handshake);
    let steps = serve(&mut engine, talkers, SYNS, PassReason::Handshake);
    let early = |steps: &[Step]| {
        let made = steps.iter().flat_map(|(_, made)| made);
        made.filter(|made| made.kind == TransmitKind::LocalAck)
            .count()
    };
    assert!(early(&expected) >= expected.len() / 2, "hardly served");
    // The same octets, the same verdicts.
    assert!(steps == expected, "the flood shows");
    let counters = engine.engine.counters();
    assert_eq!(counters.octets_lost, 0);
    assert!(counters.handshakes_evicted > SYNS - SLOTS as u64);

    // It has room again at once, and all of its slots when the handshakes have timed out.
    let end = Instant::from_millis(1_000 + SYNS / 20);
    for number in 0..SLOTS as u32 / 2 {
        assert!(
            is_admitted(&mut engine, end, 1_000_000 + number),
            "the connection {number} after the flood is not served"
        );
    }
    let before = engine.polls;
    let mut made = 0;
    for second in 1..=61 {
        made += engine.rest(end.after(Duration::from_secs(second))).len() as u64;
    }
    let open = engine
        .engine
        .flows()
        .filter(|flow| flow.state == FlowState::Open)
        .count();
    assert_eq!(open, talkers as usize + SLOTS / 2);
    assert_eq!(engine.engine.flows().count(), open);
    // A call for each second, retransmission and slot would be plenty.
    let polls = engine.polls - before;
    assert!(
        polls <= 61 + made + SLOTS as u64,
        "{polls} polls, {made} packets"
    );
    let run = lents.iter().map(Lent::longest_run).max();
    assert!(run <= Some(128), "a look-up may take {run:?} steps");
}

/// .. and a table full of served flows stays theirs; it has room again once one of them ends.
#[test]
fn h7_8_a_syn_flood_takes_nothing_from_a_full_table() {
    let start = Instant::from_millis(500);
    let mut lents = [Lent::new(SLOTS, 1024), Lent::new(SLOTS, 1024)];
    let [quiet, flooded] = lents.each_mut().map(rig).map(|mut rig| {
        for number in 0..SLOTS as u32 {
            shake(&mut rig, start, addresses(number));
        }
        assert_eq!(rig.engine.counters().flows_adopted, SLOTS as u64);
        rig
    });
    let (mut quiet, mut engine) = (quiet, flooded);
    let expected = serve(&mut quiet, 20, 0, PassReason::TableFull);
    let steps = serve(&mut engine, 20, SYNS, PassReason::TableFull);
    assert!(steps == expected, "the flood shows");
    let counters = engine.engine.counters();
    assert_eq!(counters.handshakes_evicted, 0);
    assert_eq!(counters.passed(PassReason::TableFull), SYNS);

    let end = Instant::from_millis(1_000 + SYNS / 20);
    assert!(!is_admitted(&mut engine, end, 1_000_000));
    // One flow that owes nothing is reset by its host.
    let mut reset = segment(addresses(100), Port::Inner, RST | ACK, [1, 2], 0);
    let (verdict, _) = engine.take(end, Port::Inner, &mut reset);
    assert!(
        matches!(verdict, Verdict::Pass(_) | Verdict::Forward),
        "{verdict:?}"
    );
    assert!(is_admitted(&mut engine, end, 1_000_001));
    assert_eq!(engine.engine.flows().count(), SLOTS);
}
