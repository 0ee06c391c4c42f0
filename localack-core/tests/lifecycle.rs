//! What no packet script can say: services changed and drains begun while a handshake is under way,
//! a sink that is full at any one emission, small budgets, and slots that must come free again.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that goes wrong here should stop"
)]

use localack_core::{
    Config, Custody, Direction, DirectionMode, Engine, Event, FlowConfig, FlowId, FlowInfo,
    FlowState, Instant, PacketMeta, PassReason, Poll, Port, Service, Sink, SinkFull, Transmit,
    TransmitKind, Verdict,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet};

/// ISNs of the inner and the outer host; the numbers in the tests are relative to them.
const ISN: [u32; 2] = [1_000, 5_000];
const MSS: u32 = 1000;

/// A packet that left, with relative numbers. `kind` is `None` for one that came in and went on.
#[derive(Clone, Debug)]
struct Left {
    toward: Port,
    kind: Option<TransmitKind>,
    flags: Flags,
    seq: u32,
    ack: u32,
    window: u32,
    len: u32,
}

/// A sink that may refuse one packet.
#[derive(Default)]
struct Tape {
    left: Vec<Left>,
    events: Vec<Event>,
    /// Packets that the engine has offered.
    offered: usize,
    /// The number of the one to refuse.
    refused: Option<usize>,
}

impl Tape {
    fn note(&mut self, toward: Port, kind: Option<TransmitKind>, octets: &[u8]) {
        let packet = Packet::decode(octets).expect("a TCP segment").packet;
        let (own, peer) = match toward {
            Port::Outer => (ISN[0], ISN[1]),
            Port::Inner => (ISN[1], ISN[0]),
        };
        self.left.push(Left {
            toward,
            kind,
            flags: packet.flags,
            seq: packet.seq.wrapping_sub(own),
            ack: packet.ack.wrapping_sub(peer),
            window: packet.window.into(),
            len: packet.payload_len(),
        });
    }
}

impl Sink for Tape {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        self.offered += 1;
        if self.refused == Some(self.offered - 1) {
            return Err(SinkFull);
        }
        let octets: Vec<u8> = packet.slices().flatten().copied().collect();
        self.note(packet.port(), Some(packet.kind()), &octets);
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        self.events.push(event);
    }
}

/// A segment of the host on `port`. SYNs offer no scaling of windows.
fn segment(port: Port, flags: Flags, seq: u32, ack: u32, window: u16, len: u32) -> Packet {
    let [inner, outer] =
        ["192.0.2.1:40000", "203.0.113.1:443"].map(|text| text.parse().expect("a literal"));
    let (source, destination, own, peer) = match port {
        Port::Inner => (inner, outer, ISN[0], ISN[1]),
        Port::Outer => (outer, inner, ISN[1], ISN[0]),
    };
    let syn = flags.has(Flags::SYN);
    let has_ack = flags.has(Flags::ACK);
    Packet {
        source,
        destination,
        ip: IpFields::default(),
        flags,
        seq: own.wrapping_add(seq),
        ack: if has_ack { peer.wrapping_add(ack) } else { 0 },
        window,
        urgent: 0,
        options: Options {
            mss: syn.then_some(MSS as u16),
            sack_permitted: syn,
            ..Options::default()
        },
        payload: (seq..seq + len)
            .map(|number| (number % 251) as u8)
            .collect(),
    }
}

/// The same with custody from the handshake on.
fn at_once(mut flow: FlowConfig) -> FlowConfig {
    flow.custody = Custody::AfterHandshake;
    flow
}

fn at(ms: u64) -> Instant {
    Instant::from_millis(1_000_000 + ms)
}

/// An engine, its sink and a clock.
struct Lab<'m> {
    engine: Engine<'m, FlowConfig>,
    tape: Tape,
    now: Instant,
    /// The window in the outer host's SYN-ACK, and its scaling.
    offer: (u16, Option<u8>),
    /// What became of the last packet that came in.
    verdict: Option<Verdict>,
}

impl<'m> Lab<'m> {
    fn new(memory: &'m mut Memory, config: Config, flow: FlowConfig) -> Self {
        let engine = Engine::new(memory.storage(), config, flow).expect("valid settings");
        Self {
            engine,
            tape: Tape::default(),
            now: at(0),
            offer: (60_000, None),
            verdict: None,
        }
    }

    /// Polls until there is nothing to do now. Where the sink was full, it has room again.
    fn settle(&mut self) {
        let mut polls = 0;
        while self.engine.poll(self.now, 8, &mut self.tape) != Poll::Idle {
            polls += 1;
            assert!(polls < 1000, "poll does not come to rest");
        }
    }

    /// Lets time pass.
    fn until(&mut self, ms: u64) {
        self.settle();
        while let Some(due) = self.engine.next_deadline().filter(|&due| due <= at(ms)) {
            self.now = due.max(self.now);
            self.settle();
        }
        self.now = at(ms);
        self.settle();
    }

    fn arrives(&mut self, ms: u64, port: Port, packet: &Packet) {
        self.until(ms);
        let mut octets = packet.encode(Layout::Aligned);
        let meta = PacketMeta::default();
        let verdict = self
            .engine
            .ingest(port, self.now, &mut octets, meta, &mut self.tape);
        if matches!(verdict, Verdict::Pass(_) | Verdict::Forward) {
            self.tape.note(port.other(), None, &octets);
        }
        self.verdict = Some(verdict);
        self.settle();
    }

    /// A plain segment with data or an acknowledgement.
    fn says(&mut self, ms: u64, port: Port, seq: u32, ack: u32, window: u16, len: u32) {
        self.arrives(ms, port, &segment(port, Flags::ACK, seq, ack, window, len));
    }

    /// The first `steps` packets of a handshake that the inner host begins.
    fn shake(&mut self, ms: u64, from: usize, to: usize) {
        let all = [
            (Port::Inner, Flags::SYN, 0, 0),
            (Port::Outer, Flags::SYN | Flags::ACK, 0, 1),
            (Port::Inner, Flags::ACK, 1, 1),
        ];
        for &(port, flags, seq, ack) in &all[from..to] {
            let window = if port == Port::Outer {
                self.offer.0
            } else {
                60_000
            };
            let mut packet = segment(port, flags, seq, ack, window, 0);
            packet.options.window_scale = self.offer.1.filter(|_| flags.has(Flags::SYN));
            self.arrives(ms, port, &packet);
            assert!(self.has_passed(), "{:?}", self.verdict);
        }
    }

    fn has_passed(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Pass(_)))
    }

    fn flow(&self) -> FlowInfo {
        self.engine.flows().last().expect("a flow")
    }

    fn id(&self) -> FlowId {
        self.flow().id
    }

    /// Resets that went toward `port`.
    fn resets(&self, port: Port) -> Vec<&Left> {
        let is_reset = |left: &&Left| left.toward == port && left.flags.has(Flags::RST);
        self.tape.left.iter().filter(is_reset).collect()
    }

    /// The first octet that the host on `port` lacks.
    fn reached(&self, port: Port) -> u32 {
        let mut next = 1;
        let mut segments: Vec<(u32, u32)> = self
            .tape
            .left
            .iter()
            .filter(|left| left.toward == port && left.len > 0)
            .map(|left| (left.seq, left.seq + left.len))
            .collect();
        segments.sort_unstable();
        for (start, end) in segments {
            if start <= next {
                next = next.max(end);
            }
        }
        next
    }

    /// Octets that events say were lost.
    fn announced_lost(&self) -> u64 {
        let lost = |event: &Event| {
            if let Event::GivenUp { lost, .. } | Event::Reset { lost, .. } = *event {
                u64::from(lost)
            } else {
                0
            }
        };
        self.tape.events.iter().map(lost).sum()
    }
}

/// A service asked for while the handshake is under way waits for its end, and the poll in between
/// neither sends anything nor forgets what the handshake has shown (rule H7.1, section 3).
#[test]
fn h7_1_a_service_asked_for_during_the_handshake_waits_for_its_end() {
    for (seen, state) in [(1, FlowState::SynSeen), (2, FlowState::SynAckSeen)] {
        let mut memory = Memory::new(4, 64, 1536);
        let mut lab = Lab::new(&mut memory, Config::new([1, 2]), FlowConfig::tracked());
        lab.shake(0, 0, seen);
        let (id, now) = (lab.id(), lab.now);
        lab.engine
            .set_service(id, Direction::InnerToOuter, Service::LocalAck, now)
            .expect("the flow is known");
        lab.until(100);
        assert_eq!(lab.flow().state, state);
        assert_eq!(lab.flow().inner_to_outer.mode, DirectionMode::Bypass);
        assert_eq!(lab.tape.offered, 0);

        lab.shake(200, seen, 3);
        assert_eq!(lab.flow().state, FlowState::Open);
        // No proof yet: R alone acknowledges.
        lab.says(210, Port::Inner, 1, 1, 60_000, 100);
        assert_eq!(lab.tape.offered, 0);
        lab.says(230, Port::Outer, 1, 101, 60_000, 0);
        assert_eq!(lab.flow().inner_to_outer.mode, DirectionMode::LocalAck);
        lab.says(240, Port::Inner, 101, 1, 60_000, 100);
        let last = lab
            .tape
            .left
            .iter()
            .rfind(|left| left.toward == Port::Inner)
            .expect("an ACK");
        assert_eq!(
            (last.kind, last.seq, last.ack),
            (Some(TransmitKind::LocalAck), 1, 201)
        );
        assert_eq!(lab.reached(Port::Outer), 201);
    }
}

/// After `drain` there is no way back: a handshake under way is not adopted, and a service that is
/// asked for is not given (rule H12.3, section 3).
#[test]
fn h12_3_drain_leaves_no_way_back() {
    for seen in 1..=2 {
        let mut memory = Memory::new(4, 64, 1536);
        let flow = at_once(FlowConfig::both_local_ack());
        let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
        lab.shake(0, 0, seen);
        let (id, now) = (lab.id(), lab.now);
        lab.engine.drain(now);
        // Whether it is still known or not, it gets no service.
        let _ = lab
            .engine
            .set_service(id, Direction::InnerToOuter, Service::LocalAck, now);
        lab.shake(10, seen, 3);
        lab.says(20, Port::Inner, 1, 1, 60_000, 1000);
        assert!(lab.has_passed(), "{:?}", lab.verdict);
        lab.until(120_000);
        assert_eq!(
            lab.tape.offered, 0,
            "nothing is acknowledged in anybody's name"
        );
        assert!(
            !lab.tape
                .events
                .iter()
                .any(|event| matches!(event, Event::Adopted { .. }))
        );
        assert_eq!(lab.engine.counters().flows_adopted, 0);
        assert_eq!(lab.engine.flows().count(), 0);
    }
}

/// .. nor is it to a flow that was served.
#[test]
fn h12_3_drain_leaves_no_way_back_for_an_open_flow() {
    let mut memory = Memory::new(4, 64, 1536);
    let flow = at_once(FlowConfig::both_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    lab.shake(0, 0, 3);
    lab.says(10, Port::Inner, 1, 1, 60_000, 1000);
    assert_eq!(lab.flow().inner_to_outer.debt, 1000);
    let (id, now) = (lab.id(), lab.now);
    lab.engine.drain(now);
    for direction in Direction::BOTH {
        assert_eq!(
            lab.engine
                .set_service(id, direction, Service::LocalAck, now),
            Ok(())
        );
    }
    lab.says(30, Port::Outer, 1, 1001, 60_000, 0);
    lab.until(200_000);
    for direction in Direction::BOTH {
        let info = lab.flow();
        assert_eq!(info.direction(direction).mode, DirectionMode::Bypass);
        assert_eq!(info.direction(direction).service, Service::Bypass);
    }
    lab.says(200_001, Port::Inner, 1001, 1, 60_000, 1000);
    assert_eq!(lab.verdict, Some(Verdict::Pass(PassReason::BypassService)));
}

/// What came of a connection's life.
#[derive(PartialEq, Eq, Debug)]
struct Life {
    /// First octets that the inner and the outer host lack.
    reached: [u32; 2],
    /// Highest acknowledgement that each was told, and highest edge of a window.
    told: [(u32, u32); 2],
    /// Numbers of the resets that each got.
    resets: [Vec<u32>; 2],
    lost: u64,
    announced: u64,
    state: Option<FlowState>,
}

/// Leads a life with the `refused`th emission refused once; how many emissions there were.
fn live(refused: Option<usize>, flow: FlowConfig, script: fn(&mut Lab<'_>)) -> (usize, Life) {
    let mut memory = Memory::new(4, 64, 1536);
    let mut config = Config::new([1, 2]);
    config.give_up_after = core::time::Duration::from_secs(100);
    let mut lab = Lab::new(&mut memory, config, at_once(flow));
    lab.tape.refused = refused;
    lab.offer.0 = 1001;
    lab.shake(0, 0, 3);
    script(&mut lab);
    let told = |port: Port| {
        let acks = || {
            let toward = lab.tape.left.iter().filter(|left| left.toward == port);
            toward.filter(|left| left.flags.has(Flags::ACK) && !left.flags.has(Flags::RST))
        };
        let edges = acks().map(|left| left.ack + left.window);
        (
            acks().map(|left| left.ack).max().unwrap_or(0),
            edges.max().unwrap_or(0),
        )
    };
    let life = Life {
        reached: Port::BOTH.map(|port| lab.reached(port)),
        told: Port::BOTH.map(told),
        resets: Port::BOTH.map(|port| lab.resets(port).iter().map(|left| left.seq).collect()),
        lost: lab.engine.counters().octets_lost,
        announced: lab.announced_lost(),
        state: lab.engine.flows().last().map(|flow| flow.state),
    };
    (lab.tape.offered, life)
}

/// Leads the same life once for each of its emissions, that one refused, and compares.
fn survives_a_full_sink(flow: FlowConfig, script: fn(&mut Lab<'_>)) -> Life {
    let (emissions, undisturbed) = live(None, flow, script);
    assert!(emissions >= 5, "{emissions} emissions prove little");
    for refused in 0..emissions {
        let (_, life) = live(Some(refused), flow, script);
        assert_eq!(
            life, undisturbed,
            "the emission numbered {refused} was refused"
        );
    }
    undisturbed
}

/// Data both ways, a closed window that is probed from both ends, a loss, FINs: whichever packet
/// the sink refuses once, it is owed and comes later (rules H5.10 and H2.6, invariant 1).
#[test]
fn h5_10_whatever_a_full_sink_refuses_is_sent_later() {
    let mut flow = FlowConfig::inner_local_ack();
    flow.buffer_limit = 8000;
    let life = survives_a_full_sink(flow, |lab| {
        let (s, r) = (Port::Inner, Port::Outer);
        for number in 0..8 {
            lab.says(11, s, 1 + number * MSS, 1, 60_000, MSS);
        }
        lab.says(12, r, 1, 1, 1001, 500);
        // S's window is shut: its probe is answered, and carries an ACK that R must hear of.
        assert_eq!(lab.flow().inner_to_outer.rcv_nxt.raw() - ISN[0], 8001);
        lab.says(13, s, 8001, 501, 60_000, 1);
        // R's window stays shut for a while: the engine probes it.
        lab.says(30, r, 501, 1001, 0, 0);
        lab.says(2_003, r, 501, 1001, 4000, 0);
        // All but the first segment are lost; the rest is sent again, by and by.
        lab.says(2_030, r, 501, 2001, 4000, 0);
        lab.until(4_000);
        for round in 0..20 {
            let reached = lab.flow().inner_to_outer.snd_nxt.raw() - ISN[0];
            lab.says(4_001 + 30 * round, r, 501, reached, 4000, 0);
        }
        let fin = segment(s, Flags::FIN | Flags::ACK, 8001, 501, 60_000, 0);
        lab.arrives(10_000, s, &fin);
        lab.says(10_030, r, 501, 8002, 4000, 0);
        lab.until(21_000);
    });
    assert_eq!((life.reached, life.lost), ([501, 8001], 0));
    assert_eq!(life.told[0].0, 8002, "S knows that its FIN arrived");
    assert!(
        life.told[0].1 > 12_000,
        "and knew of its open window: {life:?}"
    );
    assert_eq!(life.told[1].0, 501);
    assert_eq!(life.resets, [vec![], vec![]]);
}

/// R falls silent with octets in custody both ways: each end gets one reset with its number, and
/// what is lost is counted and announced once (rules H8.7 and H13.1).
#[test]
fn h8_7_giving_up_survives_a_full_sink() {
    let life = survives_a_full_sink(FlowConfig::both_local_ack(), |lab| {
        lab.says(10, Port::Inner, 1, 1, 60_000, 1000);
        lab.says(11, Port::Inner, 1001, 1, 60_000, 1000);
        lab.says(12, Port::Outer, 1, 1, 60_000, 700);
        lab.until(130_000);
    });
    assert_eq!(life.resets, [vec![1], vec![1]]);
    assert_eq!((life.lost, life.announced), (2700, 2700));
    assert_eq!(life.state, Some(FlowState::Tombstone));
}

/// S resets: R gets all that was promised, then the reset (rule H8.2, invariant 21) ..
#[test]
fn h8_2_a_reset_that_waits_survives_a_full_sink() {
    let life = survives_a_full_sink(FlowConfig::both_local_ack(), |lab| {
        for number in 0..4 {
            lab.says(10, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
        }
        let reset = segment(Port::Inner, Flags::RST | Flags::ACK, 4001, 1, 0, 0);
        lab.arrives(20, Port::Inner, &reset);
        lab.says(30, Port::Outer, 1, 1001, 60_000, 0);
        lab.says(40, Port::Outer, 1, 4001, 60_000, 0);
        lab.until(1_000);
    });
    assert_eq!((life.reached[1], life.lost), (4001, 0));
    assert_eq!(life.resets, [vec![], vec![4001]]);
    assert_eq!(life.state, None);
}

/// .. or, if R does not answer for three seconds, the reset all the same.
#[test]
fn h8_2_a_reset_that_waits_in_vain_survives_a_full_sink() {
    let life = survives_a_full_sink(FlowConfig::both_local_ack(), |lab| {
        for number in 0..4 {
            lab.says(10, Port::Inner, 1 + number * MSS, 1, 60_000, MSS);
        }
        let reset = segment(Port::Inner, Flags::RST | Flags::ACK, 4001, 1, 0, 0);
        lab.arrives(20, Port::Inner, &reset);
        lab.says(30, Port::Outer, 1, 1001, 60_000, 0);
        lab.until(5_000);
    });
    assert_eq!(life.resets, [vec![], vec![1001]]);
    assert_eq!((life.lost, life.announced), (3000, 3000));
    assert_eq!(life.state, Some(FlowState::Tombstone));
}

/// A hole is filled before many small blocks, and nothing may be sent: the walk over them is spread
/// over several polls, each of a bounded length, and comes to its end (architecture: work and time).
#[test]
fn a_long_walk_is_spread_over_polls() {
    const BLOCK: usize = 64;
    let mut memory = Memory::new(4, 9000, BLOCK);
    let mut flow = at_once(FlowConfig::inner_local_ack());
    flow.buffer_limit = 512_000;
    let mut config = Config::new([1, 2]);
    config.debt_floor = 512_000;
    let mut lab = Lab::new(&mut memory, config, flow);
    lab.offer.1 = Some(7);
    lab.shake(0, 0, 3);
    lab.says(10, Port::Outer, 1, 1, 0, 0);
    lab.says(11, Port::Inner, 1, 1, 60_000, 1);
    // Nothing is acknowledged while the direction drains, so that walking is all there is to do.
    let (id, now) = (lab.id(), lab.now);
    lab.engine
        .set_service(id, Direction::InnerToOuter, Service::Bypass, now)
        .expect("known");
    lab.settle();
    let end = 400_002;
    for start in (1002..end).step_by(MSS as usize) {
        lab.says(12, Port::Inner, start, 1, 60_000, MSS);
    }
    assert_eq!(lab.flow().inner_to_outer.mode, DirectionMode::Draining);
    let filler = segment(Port::Inner, Flags::ACK, 2, 1, 60_000, MSS);
    let mut octets = filler.encode(Layout::Aligned);
    let meta = PacketMeta::default();
    let _ = lab
        .engine
        .ingest(Port::Inner, lab.now, &mut octets, meta, &mut lab.tape);
    let reached = |lab: &Lab<'_>| lab.flow().inner_to_outer.rcv_nxt.raw() - ISN[0];
    let (mut polls, mut longest) = (0, 0);
    loop {
        let before = reached(&lab);
        let answer = lab.engine.poll(lab.now, 1, &mut lab.tape);
        longest = longest.max(reached(&lab) - before);
        polls += 1;
        assert!(polls < 1000, "the walk does not come to its end");
        if answer == Poll::Idle {
            break;
        }
        assert_eq!(answer, Poll::More);
    }
    assert!(reached(&lab) >= end, "reached {}", reached(&lab));
    assert!(
        polls > 1 && longest < end / 2 + MSS * 100,
        "{polls} polls, {longest} octets at once"
    );
}

/// Hosts that vanish with a hole between them and a SACK promise: their slot serves others when the
/// idle time is over (rule H9.8).
#[test]
fn h9_8_a_slot_comes_free_after_the_idle_time() {
    let mut memory = Memory::new(1, 64, 1536);
    let flow = at_once(FlowConfig::inner_local_ack());
    let mut lab = Lab::new(&mut memory, Config::new([1, 2]), flow);
    lab.shake(0, 0, 3);
    lab.says(10, Port::Inner, 1, 1, 60_000, 1000);
    lab.says(11, Port::Inner, 2001, 1, 60_000, 1000);
    lab.says(30, Port::Outer, 1, 1001, 60_000, 0);
    assert_eq!(lab.flow().inner_to_outer.debt, 0);
    let other = |flags, seq, ack| {
        let mut packet = segment(Port::Inner, flags, seq, ack, 60_000, 0);
        packet.source = "192.0.2.2:40000".parse().expect("a literal");
        packet
    };
    lab.arrives(7_000_000, Port::Inner, &other(Flags::SYN, 0, 0));
    assert_eq!(lab.verdict, Some(Verdict::Pass(PassReason::TableFull)));
    lab.until(8_000_000);
    assert_eq!(lab.engine.flows().count(), 0);
    lab.arrives(8_000_001, Port::Inner, &other(Flags::SYN, 0, 0));
    assert_eq!(lab.verdict, Some(Verdict::Pass(PassReason::Handshake)));
    assert_eq!(lab.flow().state, FlowState::SynSeen);
}
