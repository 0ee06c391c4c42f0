//! What is written for a segment of which an engine says beforehand that the flow only hears something.

#![allow(clippy::arithmetic_side_effects)]

use core::net::SocketAddr;
use std::format;
use std::vec;
use std::vec::Vec;

use localack_testkit::packet::{self as testkit, IpFields, Layout, Options, Packet};
use proptest::prelude::*;

use crate::config::Config;
use crate::engine::Engine;
use crate::flow::{FlowFlags, FlowSlot};
use crate::policy::{Custody, Direction, FlowConfig, Port, Service};
use crate::sink::{PacketMeta, Sink, SinkFull, Transmit};
use crate::storage::StaticStorage;
use crate::time::Instant;
use crate::wire::{self, Flags, Parsed};

/// Sequence numbers of the SYNs.
const ISNS: [u32; 2] = [1_000, 7_000];

/// A segment of one of the hosts; numbers are relative to what both have sent.
#[derive(Clone, Copy, Debug)]
struct Say {
    outer: bool,
    seq: i32,
    octets: u16,
    ack: i32,
    window: u16,
    flags: u8,
    /// Milliseconds before it.
    after: u16,
    unusual: bool,
    /// A service that is asked for before it, of the host's own data.
    asks: Option<Service>,
}

fn say() -> impl Strategy<Value = Say> {
    let seq = prop_oneof![6 => Just(0), 1 => Just(-1), 1 => -1_500_i32..200];
    let ack = prop_oneof![3 => Just(0), 3 => -3_000_i32..0, 1 => 1_i32..300];
    let octets = prop_oneof![3 => Just(0_u16), 2 => 1_u16..600];
    let window = prop_oneof![3 => Just(50_000_u16), 1 => 0_u16..2_000];
    let flags = prop_oneof![
        20 => Just(Flags::ACK),
        5 => Just(Flags::ACK.union(Flags::PSH)),
        1 => (0_u8..=255).prop_map(Flags::from_bits),
    ];
    let after = prop_oneof![2 => Just(0_u16), 4 => 1_u16..40, 1 => 300_u16..3_000];
    let unusual = prop::bool::weighted(0.02);
    let service = prop::sample::select(vec![Service::Bypass, Service::LocalAck, Service::Snoop]);
    let asks = prop::option::weighted(0.04, service);
    (
        any::<bool>(),
        seq,
        octets,
        ack,
        window,
        flags,
        after,
        (unusual, asks),
    )
        .prop_map(
            |(outer, seq, octets, ack, window, flags, after, (unusual, asks))| Say {
                outer,
                seq,
                octets,
                ack,
                window,
                flags: flags.bits(),
                after,
                unusual,
                asks,
            },
        )
}

/// A segment of one of the hosts, with timestamps.
fn segment(outer: bool, flags: testkit::Flags, numbers: [u32; 2], now: u64) -> Packet {
    let hosts = [([10, 0, 0, 1], 1), ([10, 0, 0, 2], 2)].map(SocketAddr::from);
    let [inner_host, outer_host] = hosts;
    let (source, destination) = if outer {
        (outer_host, inner_host)
    } else {
        (inner_host, outer_host)
    };
    let [seq, ack] = numbers;
    let stamp = u32::try_from(now / 1_000).expect("a short story");
    Packet {
        source,
        destination,
        ip: IpFields::default(),
        flags,
        seq,
        ack,
        window: 50_000,
        urgent: 0,
        options: Options {
            timestamps: Some((stamp, stamp.wrapping_sub(5))),
            ..Options::default()
        },
        payload: Vec::new(),
    }
}

/// A sink that takes everything.
struct Anywhere;

impl Sink for Anywhere {
    fn transmit(&mut self, _: Transmit<'_>) -> Result<(), SinkFull> {
        Ok(())
    }
}

/// What was `before`, but for what a flow may hear; a stream that was watched may have gone by in any way.
fn expected(before: &FlowSlot, after: &FlowSlot) -> FlowSlot {
    let mut slot = *before;
    slot.timer = after.timer;
    slot.ready = after.ready;
    slot.seen_at = after.seen_at;
    slot.hosts = after.hosts;
    for port in [Port::Inner, Port::Outer] {
        let void = FlowFlags::clock_void(port);
        slot.flags.put(void, after.flags.has(void));
    }
    for direction in Direction::BOTH {
        let (had, has) = (before.stream(direction), after.stream(direction));
        let stream = slot.stream_mut(direction);
        if had.is_only_watched() && has.is_only_watched() && !has.chain.has_quota() {
            *stream = *has;
            continue;
        }
        stream.recv.ts_recent = has.recv.ts_recent;
        stream.recv.ts_max = has.recv.ts_max;
        stream.send.cwnd_full = has.send.cwnd_full;
        #[cfg(feature = "bbr")]
        {
            stream.send.delivery = has.send.delivery;
        }
    }
    slot
}

/// Lives through `story`; how often the flow was said only to hear something, where a direction is served, and
/// where none is.
fn live(served: [bool; 2], custody: Custody, sack: bool, story: &[Say]) -> [u32; 2] {
    let mut config = Config::new([1, 2]);
    config.sink_waits = true;
    let mut policy = FlowConfig::both_local_ack();
    policy.custody = custody;
    let [inner, outer] = served.map(|served| {
        if served {
            Service::LocalAck
        } else {
            Service::Bypass
        }
    });
    (policy.inner_to_outer, policy.outer_to_inner) = (inner, outer);
    let mut memory = StaticStorage::<2, 4, 32, { 32 * 512 }>::new();
    let mut before = [FlowSlot::EMPTY];
    let mut storage = memory.as_storage();
    storage.before = &mut before;
    let mut engine = Engine::new(storage, config, policy).expect("memory that fits");
    let (mut now, mut next, mut heard) = (5_000_000_u64, ISNS.map(|isn| isn + 1), [0; 2]);
    let mut arrives = |engine: &mut Engine<'_, FlowConfig>, now, outer, packet: &Packet| {
        let mut packet = packet.encode(Layout::Aligned);
        let port = if outer { Port::Outer } else { Port::Inner };
        let direction = Direction::arriving_on(port);
        let Parsed::Tcp(seg) = wire::parse(&packet) else {
            return;
        };
        let slot = engine.storage.flows[0];
        let hears = slot.only_hears(direction, &seg);
        let meta = PacketMeta::default();
        let now = Instant::from_micros(now);
        let _ = engine.ingest(port, now, &mut packet, meta, &mut Anywhere);
        if hears {
            let watched = |&d: &Direction| slot.stream(d).is_only_watched();
            heard[usize::from(Direction::BOTH.iter().all(watched))] += 1;
            let after = engine.storage.flows[0];
            let (wanted, found) = (
                format!("{:#?}", expected(&slot, &after)),
                format!("{after:#?}"),
            );
            for (wanted, found) in wanted.lines().zip(found.lines()) {
                assert_eq!(wanted, found, "{seg:#?} in {after:#?}");
            }
        }
        let _ = engine.poll(now, 100, &mut Anywhere);
    };
    let syn = testkit::Flags::SYN;
    for step in 0..3_u8 {
        let outer = step == 1;
        let [own, other] = if outer { [1, 0] } else { [0, 1] };
        let flags = [syn, syn | testkit::Flags::ACK, testkit::Flags::ACK][usize::from(step)];
        let numbers = match step {
            0 => [ISNS[own], 0],
            1 => [ISNS[own], next[other]],
            _ => [next[own], next[other]],
        };
        let mut packet = segment(outer, flags, numbers, now);
        if step < 2 {
            packet.options.mss = Some(512);
            packet.options.sack_permitted = sack;
        }
        arrives(&mut engine, now, outer, &packet);
    }
    for say in story {
        now += u64::from(say.after) * 1_000;
        let [own, other] = if say.outer { [1, 0] } else { [0, 1] };
        if let Some(service) = say.asks {
            let flow = engine.flows().next().map(|flow| flow.id);
            let direction = Direction::BOTH[own];
            let now = Instant::from_micros(now);
            let _ = flow.map(|flow| engine.set_service(flow, direction, service, now));
        }
        let seq = next[own].wrapping_add_signed(say.seq);
        let ack = next[other].wrapping_add_signed(say.ack);
        let mut packet = segment(say.outer, testkit::Flags(say.flags.into()), [seq, ack], now);
        packet.window = say.window;
        packet.payload = vec![7; say.octets.into()];
        if say.unusual {
            packet.options.others = vec![253, 4, 0, 0];
        }
        let end = seq.wrapping_add(say.octets.into());
        if end.wrapping_sub(next[own]).cast_signed() > 0 {
            next[own] = end;
        }
        arrives(&mut engine, now, say.outer, &packet);
    }
    heard
}

proptest! {
    #[test]
    fn a_flow_that_only_hears_something_is_as_before_but_for_that(
        served in any::<[bool; 2]>(),
        early in any::<bool>(),
        sack in any::<bool>(),
        story in prop::collection::vec(say(), 1..120),
    ) {
        let custody = if early {
            Custody::AfterHandshake
        } else {
            Custody::AfterProof
        };
        let _ = live(served, custody, sack, &story);
    }
}

#[test]
fn acknowledgements_of_what_is_watched_are_only_heard() {
    let quiet = Say {
        outer: false,
        seq: 0,
        octets: 0,
        ack: 0,
        window: 50_000,
        flags: Flags::ACK.bits(),
        after: 1,
        unusual: false,
        asks: None,
    };
    let data = Say {
        octets: 100,
        outer: true,
        ..quiet
    };
    let story = [quiet, data, quiet, data, quiet];
    for (served, expected) in [
        ([true, false], [3, 0]),
        ([false, false], [0, 5]),
        ([true, true], [0, 0]),
    ] {
        let heard = live(served, Custody::AfterHandshake, true, &story);
        assert_eq!(heard, expected, "{served:?}");
    }
}

/// Only who waits for a dead path probes it, and is woken when it is back (rule H8.7).
#[test]
fn h8_7_who_waits_for_no_path_neither_probes_it_nor_is_woken() {
    let mut memory = StaticStorage::<2, 4, 32, { 32 * 512 }>::new();
    let mut policy = FlowConfig::inner_local_ack();
    policy.custody = Custody::AfterHandshake;
    let config = Config::new([1, 2]);
    let mut engine = Engine::new(memory.as_storage(), config, policy).expect("memory that fits");
    let now = Instant::from_micros(5_000_000);
    let (syn, ack) = (testkit::Flags::SYN, testkit::Flags::ACK);
    let [inner, outer] = ISNS;
    for (is_outer, flags, numbers, octets) in [
        (false, syn, [inner, 0], 0),
        (true, syn | ack, [outer, inner + 1], 0),
        (false, ack, [inner + 1, outer + 1], 0),
        (false, ack, [inner + 1, outer + 1], 500),
    ] {
        let mut packet = segment(is_outer, flags, numbers, 5_000_000);
        packet.payload = vec![7; octets];
        let mut packet = packet.encode(Layout::Aligned);
        let port = if is_outer { Port::Outer } else { Port::Inner };
        let meta = PacketMeta::default();
        let _ = engine.ingest(port, now, &mut packet, meta, &mut Anywhere);
        let _ = engine.poll(now, 100, &mut Anywhere);
    }
    let direction = Direction::InnerToOuter;
    let in_flight = |engine: &Engine<'_, FlowConfig>| {
        let send = &engine.storage.flows[0].stream(direction).send;
        (send.in_flight(), send.lost.octets())
    };
    assert_eq!(in_flight(&engine), (500, 0));
    for probes in [true, false] {
        let done = engine.work(0, now, 100, &mut Anywhere, |work| {
            if probes {
                work.probe_path(direction);
            } else {
                work.wake(direction);
            }
        });
        let room = done.map(|((), done)| done.room);
        assert_eq!(room, Some(100), "nothing is sent");
        assert_eq!(in_flight(&engine), (500, 0));
    }
    let counters = engine.counters();
    assert_eq!((counters.path_probes, counters.timeouts), (0, 0));
}
