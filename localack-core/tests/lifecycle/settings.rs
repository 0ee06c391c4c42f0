//! What the caller gives: memory, settings, a policy, and links.

use core::time::Duration;

use localack_core::{
    Admit, BlockSlot, Config, ConfigError, Direction, DirectionMode, Engine, EngineHead, Event,
    FlowConfig, FlowKey, FlowSlot, Handshake, IndexSlot, Instant, LinkId, PacketMeta, PassReason,
    Policy, Port, Service, Sink, SinkFull, StaticStorage, Storage, SynInfo, Transmit, Verdict,
};
use localack_testkit::memory::Memory;
use localack_testkit::packet::{Flags, Layout};

use super::lab::{Lab, Tape, at, at_once, segment};

/// Whether an engine takes so many flow slots, index slots and blocks, and so many octets.
fn takes(flows: usize, index: usize, blocks: usize, octets: usize) -> Result<(), ConfigError> {
    let (mut head, mut arena) = (Box::new(EngineHead::EMPTY), vec![0; octets]);
    let storage = Storage {
        head: &mut head,
        flows: &mut vec![FlowSlot::EMPTY; flows],
        index: &mut vec![IndexSlot::EMPTY; index],
        blocks: &mut vec![BlockSlot::EMPTY; blocks],
        arena: &mut arena,
        paths: &mut [],
        before: &mut [],
    };
    Engine::new(storage, Config::new([1, 2]), FlowConfig::tracked()).map(|_| ())
}

#[test]
fn memory_that_does_not_fit_together_is_refused() {
    assert_eq!(takes(4, 8, 16, 16 * 64), Ok(()));
    assert_eq!(takes(1, 2, 2, 2 * 64), Ok(()));
    assert_eq!(takes(4, 64, 16, 16 * 65_535), Ok(()));

    assert_eq!(takes(0, 8, 16, 16 * 64), Err(ConfigError::Flows));
    for index in [0, 4, 7, 9, 12] {
        assert_eq!(
            takes(4, index, 16, 16 * 64),
            Err(ConfigError::Index),
            "{index}"
        );
    }
    assert_eq!(takes(5, 8, 16, 16 * 64), Err(ConfigError::Index));
    for (blocks, octets) in [(0, 64), (16, 0), (16, 16 * 64 - 1), (16, 16 * 65_536)] {
        let answer = takes(4, 8, blocks, octets);
        assert_eq!(answer, Err(ConfigError::Blocks), "{blocks} {octets}");
    }
}

fn checked(change: impl FnOnce(&mut Config)) -> Result<(), ConfigError> {
    let mut memory = Memory::new(2, 16, 256);
    let mut config = Config::new([1, 2]);
    change(&mut config);
    Engine::new(memory.storage(), config, FlowConfig::tracked()).map(|_| ())
}

#[test]
fn a_copy_of_a_flow_needs_a_slot() {
    let mut memory = Memory::new(2, 16, 256);
    let mut config = Config::new([1, 2]);
    config.sink_waits = true;
    for (slots, answer) in [(1, Ok(())), (0, Err(ConfigError::Before))] {
        let mut storage = memory.storage();
        storage.before = &mut storage.before[..slots];
        let made = Engine::new(storage, config, FlowConfig::tracked()).map(|_| ());
        assert_eq!(made, answer, "{slots}");
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    assert_eq!(checked(|_| ()), Ok(()));
    for (blocks, answer) in [
        (0, Err(ConfigError::Reservation)),
        (1, Ok(())),
        (16, Ok(())),
        (17, Err(ConfigError::Reservation)),
    ] {
        assert_eq!(checked(|c| c.reserved_blocks = blocks), answer, "{blocks}");
    }

    let tick = Duration::from_micros(1);
    let wrong = Err(ConfigError::Time);
    // The longest times that may be set: deadlines within half an hour, ages within a month.
    type Setting = (fn(&mut Config, Duration), u64);
    let settings: [Setting; 9] = [
        (|c, time| c.debt_time = time, 1800),
        (|c, time| c.drain_patience = time, 1800),
        (|c, time| c.handshake_time = time, 1800),
        (|c, time| c.demotion_hold = time, 1800),
        (|c, time| c.give_up_after = time, 1800),
        (|c, time| c.rto_max = time, 1800),
        (|c, time| (c.rto_min, c.rto_max) = (time, time), 1800),
        (|c, time| c.idle_time = time, 30 * 24 * 3600),
        (|c, time| c.closing_time = time, 30 * 24 * 3600),
    ];
    for (number, (set, most)) in settings.into_iter().enumerate() {
        let most = Duration::from_secs(most);
        assert_eq!(checked(|c| set(c, most)), Ok(()), "{number}");
        assert_eq!(checked(|c| set(c, most + tick)), wrong, "{number}");
    }
    // R2 of RFC 9293 section 3.8.3: at least 100 s.
    let least = Duration::from_secs(100);
    assert_eq!(checked(|c| c.give_up_after = least), Ok(()));
    assert_eq!(checked(|c| c.give_up_after = least - tick), wrong);
    // The least time-out is some time, and no longer than the longest.
    assert_eq!(checked(|c| c.rto_min = Duration::ZERO), wrong);
    assert_eq!(checked(|c| c.rto_min = c.rto_max), Ok(()));
    assert_eq!(checked(|c| c.rto_min = c.rto_max + tick), wrong);
}

#[test]
fn memory_for_a_static_is_all_that_an_engine_needs() {
    type Small = StaticStorage<3, 8, 12, { 12 * 1024 }>;
    let mut fresh = Box::new(Small::new());
    let mut default = Box::<Small>::default();
    for memory in [&mut fresh, &mut default] {
        let storage = memory.as_storage();
        assert_eq!(
            (
                storage.flows.len(),
                storage.index.len(),
                storage.paths.len()
            ),
            (3, 8, 3)
        );
        assert_eq!((storage.blocks.len(), storage.arena.len()), (12, 12 * 1024));
        let policy = at_once(FlowConfig::inner_local_ack());
        let engine = Engine::new(storage, Config::new([1, 2]), policy).expect("valid settings");
        assert_eq!(engine.flows().count(), 0);
    }
}

/// Leaves connections to port 443 alone, and chooses the service of others once it knows the round trip.
#[derive(Default)]
struct Choosy {
    asked: Vec<(FlowKey, Port, SynInfo)>,
    shaken: Vec<Handshake>,
}

impl Policy for Choosy {
    fn admit(&mut self, key: &FlowKey, from: Port, syn: &SynInfo) -> Admit {
        self.asked.push((*key, from, *syn));
        if key.outer_port() == 443 {
            Admit::Pass
        } else {
            Admit::Adopt(FlowConfig::tracked())
        }
    }

    fn established(
        &mut self,
        _: &FlowKey,
        handshake: &Handshake,
        chosen: FlowConfig,
    ) -> FlowConfig {
        assert_eq!(chosen, FlowConfig::tracked());
        self.shaken.push(*handshake);
        chosen.with_service(Direction::InnerToOuter, Service::LocalAck)
    }
}

/// SYN, SYN-ACK after 50 ms, third ACK after 10 more, and a segment of data.
fn opening() -> [(u64, Port, Flags, u32, u32, u32); 4] {
    [
        (0, Port::Inner, Flags::SYN, 0, 0, 0),
        (50, Port::Outer, Flags::SYN | Flags::ACK, 0, 1, 0),
        (60, Port::Inner, Flags::ACK, 1, 1, 0),
        (70, Port::Inner, Flags::ACK, 1, 1, 100),
    ]
}

#[test]
fn what_a_policy_refuses_passes_bit_for_bit_and_what_it_adopts_is_served_as_it_says() {
    let mut memory = Memory::new(4, 64, 1536);
    let mut policy = Choosy::default();
    // Lent to the engine, so that it can be looked at afterwards.
    let mut engine =
        Engine::new(memory.storage(), Config::new([1, 2]), &mut policy).expect("valid settings");
    let mut tape = Tape::default();
    for (outer_port, begun) in [(443, 0), (444, 1000)] {
        for (ms, port, flags, seq, ack, len) in opening() {
            let mut packet = segment(port, flags, seq, ack, 60_000, len);
            let outer = match port {
                Port::Inner => &mut packet.destination,
                Port::Outer => &mut packet.source,
            };
            outer.set_port(outer_port);
            let before = packet.encode(Layout::Aligned);
            let mut octets = before.clone();
            let meta = PacketMeta::default();
            let verdict = engine.ingest(port, at(begun + ms), &mut octets, meta, &mut tape);
            assert_eq!(octets, before);
            let reason = match (outer_port, flags.has(Flags::SYN) && port == Port::Inner) {
                (443, true) => PassReason::Policy,
                (443, false) => PassReason::MidStream,
                _ => continue,
            };
            assert_eq!(verdict, Verdict::Pass(reason));
        }
        assert_eq!(tape.offered, 0, "no custody before proof");
        let served = usize::from(outer_port == 444);
        assert_eq!(engine.flows().count(), served);
    }
    let refused = tape.events.iter().find_map(|event| {
        if let Event::Refused { key, from, reason } = *event {
            Some((key.outer_port(), from, reason))
        } else {
            None
        }
    });
    assert_eq!(refused, Some((443, Port::Inner, PassReason::Policy)));
    let flow = engine.flows().last().expect("a flow");
    assert_eq!(flow.inner_to_outer.service, Service::LocalAck);
    assert_eq!(flow.inner_to_outer.mode, DirectionMode::StoreAndForward);
    assert_eq!(flow.outer_to_inner.service, Service::Bypass);
    assert_eq!(engine.policy_mut().asked.len(), 2);

    let (key, from, syn) = policy.asked[1];
    assert_eq!((key, from), (flow.key, Port::Inner));
    assert_eq!(
        (syn.mss, syn.sack_permitted, syn.timestamps),
        (Some(1000), true, false)
    );
    assert_eq!((syn.isn.raw(), syn.window_scale), (super::ISN[0], None));
    let [handshake] = policy.shaken[..] else {
        panic!("{:?}", policy.shaken)
    };
    assert_eq!(
        (handshake.client, handshake.retransmitted),
        (Port::Inner, false)
    );
    let ms = Duration::from_millis;
    assert_eq!(handshake.round_trip(Port::Outer), ms(50));
    assert_eq!(handshake.round_trip(Port::Inner), ms(10));
}

/// Serves the first connection and leaves all others alone.
#[derive(Default)]
struct Once {
    asked: u32,
}

impl Policy for Once {
    fn admit(&mut self, _: &FlowKey, _: Port, _: &SynInfo) -> Admit {
        self.asked += 1;
        if self.asked == 1 {
            Admit::Adopt(at_once(FlowConfig::inner_local_ack()))
        } else {
            Admit::Pass
        }
    }
}

/// A host that has lost its memory opens the same connection anew, and the policy wants no more of it: what the
/// old one was owed is lost loudly, and the new one passes as if nobody had ever served its addresses.
#[test]
fn h7_6_a_successor_that_the_policy_refuses_passes_bit_for_bit() {
    let mut memory = Memory::new(4, 64, 1536);
    let mut engine = Engine::new(memory.storage(), Config::new([1, 2]), Once::default())
        .expect("valid settings");
    let mut tape = Tape::default();
    for (ms, port, flags, seq, ack, len) in opening() {
        let packet = segment(port, flags, seq, ack, 60_000, len);
        let mut octets = packet.encode(Layout::Aligned);
        let meta = PacketMeta::default();
        let _verdict = engine.ingest(port, at(ms), &mut octets, meta, &mut tape);
    }
    assert_eq!(
        engine
            .flows()
            .map(|flow| flow.inner_to_outer.debt)
            .sum::<u32>(),
        100
    );
    tape.left.clear();
    let successor = [
        (Port::Inner, Flags::SYN, 900_000, 0, PassReason::Handshake),
        (
            Port::Outer,
            Flags::SYN | Flags::ACK,
            700_000,
            900_001,
            PassReason::Policy,
        ),
        (
            Port::Inner,
            Flags::ACK,
            900_001,
            700_001,
            PassReason::MidStream,
        ),
    ];
    for (number, (port, flags, seq, ack, reason)) in successor.into_iter().enumerate() {
        let before = segment(port, flags, seq, ack, 60_000, 0).encode(Layout::Aligned);
        let mut octets = before.clone();
        let meta = PacketMeta::default();
        let now = at(1000 + number as u64);
        let verdict = engine.ingest(port, now, &mut octets, meta, &mut tape);
        assert_eq!((verdict, octets), (Verdict::Pass(reason), before));
    }
    assert_eq!(engine.flows().count(), 0);
    assert_eq!(engine.policy_mut().asked, 2);
    // Whoever still knows the old connection is told (H8.7).
    let told: Vec<Port> = tape.left.iter().map(|left| left.toward).collect();
    assert!(tape.left.iter().all(|left| left.flags.has(Flags::RST)));
    assert_eq!(told.len(), 2, "{:?}", tape.left);
    assert!(told.contains(&Port::Inner) && told.contains(&Port::Outer));
    let tells =
        |wanted: fn(&Event) -> bool| tape.events.iter().filter(|event| wanted(event)).count();
    assert_eq!(
        tells(|event| matches!(event, Event::Reset { lost: 100, .. })),
        1
    );
    let refuses = |event: &Event| {
        matches!(
            event,
            Event::Refused {
                reason: PassReason::Policy,
                ..
            }
        )
    };
    assert_eq!(tells(refuses), 1);
}

/// Where each packet is to go.
#[derive(Default)]
struct Links(Vec<(Port, LinkId)>);

impl Sink for Links {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        self.0.push((packet.port(), packet.link()));
        Ok(())
    }

    fn event(&mut self, _: Instant, _: Event) {}
}

/// The same addresses on another link are another connection, and what is made for a connection goes back
/// to its link (H9.5).
#[test]
fn h9_5_a_link_is_part_of_a_connection_and_comes_back() {
    let mut memory = Memory::new(4, 64, 1536);
    let policy = at_once(FlowConfig::inner_local_ack());
    let mut engine =
        Engine::new(memory.storage(), Config::new([1, 2]), policy).expect("valid settings");
    let mut links = Links::default();
    for (number, link) in [LinkId(7), LinkId(0xffff_0001)].into_iter().enumerate() {
        for (ms, port, flags, seq, ack, len) in opening() {
            let packet = segment(port, flags, seq, ack, 60_000, len);
            let mut octets = packet.encode(Layout::Aligned);
            let meta = PacketMeta {
                link,
                ..PacketMeta::default()
            };
            let _verdict = engine.ingest(port, at(ms), &mut octets, meta, &mut links);
        }
        assert_eq!(engine.flows().count(), number + 1);
        let (port, back) = links.0.pop().expect("an acknowledgement");
        assert_eq!((port, back), (Port::Inner, link));
        links.0.clear();
    }
    // Nobody has opened it on this one.
    let stray = segment(Port::Inner, Flags::ACK, 101, 1, 60_000, 100);
    let mut octets = stray.encode(Layout::Aligned);
    let meta = PacketMeta::default();
    let verdict = engine.ingest(Port::Inner, at(80), &mut octets, meta, &mut links);
    assert_eq!(verdict, Verdict::Pass(PassReason::MidStream));
}

/// What is owed is not forgotten because nobody speaks (H9.8), and delivered when the receiver is back.
#[test]
fn h9_8_no_silence_evicts_what_is_owed() {
    let mut memory = Memory::new(4, 64, 1536);
    let mut config = Config::new([1, 2]);
    config.idle_time = Duration::from_secs(20);
    let policy = at_once(FlowConfig::inner_local_ack());
    let mut lab = Lab::new(&mut memory, config, policy);
    lab.shake(0, 0, 3);
    lab.says(10, Port::Inner, 1, 1, 60_000, 100);
    lab.until(90_000);
    assert_eq!(lab.flow().inner_to_outer.debt, 100);
    lab.says(90_010, Port::Outer, 1, 101, 60_000, 0);
    assert_eq!(lab.flow().inner_to_outer.debt, 0);
    lab.until(90_010 + 19_000);
    assert_eq!(lab.engine.flows().count(), 1);
    lab.until(90_010 + 41_000);
    assert_eq!(lab.engine.flows().count(), 0, "nothing is owed");
}

/// A handshake that makes room for another is found wherever it is (H7.8); connections are not given up.
#[test]
fn h7_8_the_oldest_slots_may_be_taken_by_connections() {
    for first in 0..3 {
        let mut memory = Memory::new(4, 64, 1536);
        let mut lab = Lab::new(&mut memory, Config::new([3, first]), FlowConfig::tracked());
        lab.shake(0, 0, 3);
        for number in 0..12_u16 {
            let mut syn = segment(Port::Inner, Flags::SYN, 0, 0, 60_000, 0);
            syn.source.set_port(50_000 + number);
            lab.arrives(100 + u64::from(number), Port::Inner, &syn);
            let verdict = Verdict::Pass(PassReason::Handshake);
            assert_eq!(lab.verdict, Some(verdict), "key {first}, SYN {number}");
        }
        let counters = lab.engine.counters();
        assert_eq!((counters.flows_adopted, counters.flows_refused), (1, 0));
        // Half of the slots are for handshakes.
        assert_eq!(lab.engine.flows().count(), 3);
        assert_eq!(lab.engine.counters().handshakes_evicted, 10);
    }
}

/// How many time-outs there are in so many milliseconds in which the receiver is silent.
fn time_outs(ms: u64, change: fn(&mut Config)) -> u64 {
    let mut memory = Memory::new(4, 64, 1536);
    let mut config = Config::new([1, 2]);
    change(&mut config);
    let mut storage = memory.storage();
    // Nobody asks whether the path is dead.
    storage.paths = &mut [];
    let mut lab = Lab::over(storage, config, at_once(FlowConfig::inner_local_ack()));
    lab.shake(0, 0, 1);
    lab.shake(50, 1, 3);
    lab.says(60, Port::Inner, 1, 1, 60_000, 1000);
    lab.until(60 + ms);
    lab.engine.counters().timeouts
}

#[test]
fn h12_1_time_outs_keep_to_their_bounds() {
    let slow = |config: &mut Config| config.rto_min = Duration::from_secs(2);
    assert_eq!([900, 2_100].map(|ms| time_outs(ms, |_| ())), [1, 3]);
    assert_eq!([1_900, 2_400].map(|ms| time_outs(ms, slow)), [0, 1]);
    let steady = |config: &mut Config| config.rto_max = Duration::from_secs(1);
    let (doubling, steady) = (time_outs(20_000, |_| ()), time_outs(20_000, steady));
    assert!(doubling < 8, "{doubling}");
    assert!((18..24).contains(&steady), "{steady}");
}

/// A SYN that was repeated measures nothing, and whose network loses SYNs is given more time (RFC 6298 section 5.7).
#[test]
fn h7_9_a_repeated_syn_lengthens_the_first_time_out() {
    let time_outs = |repeated: bool, ms: u64| {
        let mut memory = Memory::new(4, 64, 1536);
        let mut lab = Lab::new(
            &mut memory,
            Config::new([1, 2]),
            at_once(FlowConfig::inner_local_ack()),
        );
        lab.shake(0, 0, 1);
        if repeated {
            lab.shake(1_000, 0, 1);
        }
        lab.shake(1_050, 1, 3);
        lab.says(1_060, Port::Inner, 1, 1, 60_000, 1000);
        lab.until(1_060 + ms);
        lab.engine.counters().timeouts
    };
    assert_eq!(time_outs(true, 2_900), 0);
    assert_eq!(time_outs(true, 3_100), 1);
}

/// Which unfinished handshake makes room is a matter of chance for whoever does not know the key.
#[test]
fn h7_8_the_key_says_which_handshake_makes_room() {
    let survivors = |key: u64| {
        let mut memory = Memory::new(32, 64, 1536);
        let mut config = Config::new([3, key]);
        config.handshake_share = 100;
        let mut lab = Lab::new(&mut memory, config, FlowConfig::tracked());
        for number in 0..33_u16 {
            let mut syn = segment(Port::Inner, Flags::SYN, 0, 0, 60_000, 0);
            syn.source.set_port(50_000 + number);
            lab.arrives(u64::from(number), Port::Inner, &syn);
        }
        let mut ports: Vec<u16> = lab
            .engine
            .flows()
            .map(|flow| flow.key.inner_port())
            .collect();
        ports.sort_unstable();
        assert_eq!(ports.len(), 32);
        ports
    };
    let all: std::collections::BTreeSet<_> = (0..32).map(|key| survivors(key << 32)).collect();
    assert!(all.len() > 10, "{} victims of 32 keys", all.len());
}

/// Whatever came and went, as many connections find room as there are slots.
#[test]
fn h9_8_every_slot_serves_again_and_again() {
    let mut memory = Memory::new(4, 64, 1536);
    let mut config = Config::new([1, 2]);
    config.handshake_share = 100;
    let mut lab = Lab::new(&mut memory, config, FlowConfig::tracked());
    let mut ms = 0;
    for turn in 0..4_u16 {
        for number in 0..4 {
            let mut syn = segment(Port::Inner, Flags::SYN, 0, 0, 60_000, 0);
            syn.source.set_port(50_000 + turn * 4 + number);
            lab.arrives(ms, Port::Inner, &syn);
            ms += 1;
        }
        assert_eq!(lab.engine.flows().count(), 4, "turn {turn}");
        // They come free in another order than they were taken in, and by a time-out.
        for number in [2, 0, 3] {
            let mut refusal = segment(Port::Outer, Flags::RST | Flags::ACK, 0, 1, 0, 0);
            refusal.destination.set_port(50_000 + turn * 4 + number);
            lab.arrives(ms, Port::Outer, &refusal);
            ms += 1;
        }
        assert_eq!(lab.engine.flows().count(), 1, "turn {turn}");
        ms += 61_000;
        lab.until(ms);
        assert_eq!(lab.engine.flows().count(), 0, "turn {turn}");
    }
    assert_eq!(lab.engine.counters().handshakes_evicted, 0);
}
