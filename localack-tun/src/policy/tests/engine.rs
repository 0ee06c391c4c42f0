//! Policies in an engine, packet by packet.

use localack_core::wire::{self, Flags, HeaderSpec, Sum};
use localack_core::{
    Config, Engine, FlowInfo, Instant, PacketMeta, PassReason, Poll, SeqNum, Service, Sink,
    SinkFull, StaticStorage, Transmit, Verdict,
};

use super::*;

type Memory = StaticStorage<8, 16, 64, { 64 * 1536 }>;

/// A sink for an engine that has nothing to send.
struct Nowhere;

impl Sink for Nowhere {
    fn transmit(&mut self, _: Transmit<'_>) -> Result<(), SinkFull> {
        Ok(())
    }
}

const INNER: [u8; 4] = [10, 0, 0, 1];
const OUTER: [u8; 4] = [192, 0, 2, 1];

/// A packet of a connection from the inner side to port 80.
fn packet(
    from: Port,
    client_port: u16,
    flags: Flags,
    (seq, ack): (u32, u32),
    class: u8,
) -> Vec<u8> {
    let (inner, outer) = ((INNER.into(), client_port), (OUTER.into(), 80));
    let (src, dst) = match from {
        Port::Inner => (inner, outer),
        Port::Outer => (outer, inner),
    };
    let spec = HeaderSpec {
        src: src.0,
        dst: dst.0,
        src_port: src.1,
        dst_port: dst.1,
        seq: SeqNum::new(seq),
        ack: SeqNum::new(ack),
        flags,
        window: 60_000,
        urgent: 0,
        timestamps: None,
        sack: &[],
        hop_limit: 64,
        traffic_class: class,
        flow_label: 0,
        dont_fragment: true,
    };
    let header = wire::emit(&spec, 0, Sum::new()).expect("one IP version");
    header.as_slice().to_vec()
}

/// Opens a connection from the inner side, and answers what became of its SYN.
fn open(engine: &mut Engine<'_, Policies>, client_port: u16, class: u8) -> Verdict {
    let now = Instant::from_millis(1);
    let syn_ack = Flags::SYN.union(Flags::ACK);
    let handshake = [
        (Port::Inner, Flags::SYN, (100, 0)),
        (Port::Outer, syn_ack, (200, 101)),
        (Port::Inner, Flags::ACK, (101, 201)),
    ];
    let verdicts = handshake.map(|(from, flags, numbers)| {
        let mut packet = packet(from, client_port, flags, numbers, class);
        let meta = PacketMeta::default();
        engine.ingest(from, now, &mut packet, meta, &mut Nowhere)
    });
    while engine.poll(now, 64, &mut Nowhere) == Poll::More {}
    verdicts[0]
}

fn only_flow(engine: &Engine<'_, Policies>) -> FlowInfo {
    let mut flows = engine.flows();
    let flow = flows.next().expect("a flow");
    assert_eq!(flows.next(), None, "one flow");
    flow
}

const RULES: &str = r#"
    [[policy]]
    name = "voice"
    dscp = "ef"
    track = false
    [[policy]]
    name = "web"
    destination_port = 80
    from = "inner"
    outer_to_inner = "local-ack"
    controller = "reno"
"#;

fn hits(policies: &Policies) -> Vec<(&str, u64)> {
    policies
        .rules()
        .map(|rule| (rule.name(), rule.hits()))
        .collect()
}

#[test]
fn a_connection_is_served_as_its_rule_says() {
    let policies = policies(RULES);
    let mut memory = Box::new(Memory::new());
    let config = Config::new([1, 2]);
    let mut engine = Engine::new(memory.as_storage(), config, policies.clone()).expect("memory");
    let verdict = open(&mut engine, 5000, 0);
    assert_eq!(verdict, Verdict::Pass(PassReason::Handshake));
    let flow = only_flow(&engine);
    assert_eq!(flow.inner_to_outer.service, Service::LocalAck);
    assert_eq!(flow.outer_to_inner.service, Service::LocalAck);
    assert_eq!(flow.inner_to_outer.controller, Controller::Reno);
    assert_eq!(flow.outer_to_inner.controller, Controller::Cubic);
    assert_eq!(hits(&policies), [("voice", 0), ("web", 1), (DEFAULT, 0)]);
}

#[test]
fn flows_tell_what_policies_ask_and_are_seen_in_steps() {
    let mut memory = Box::new(Memory::new());
    let config = Config::new([1, 2]);
    let mut engine = Engine::new(memory.as_storage(), config, policies("")).expect("memory");
    for (client_port, class) in [(5000, 0), (5001, 0xb8 | 1)] {
        let _ = open(&mut engine, client_port, class);
    }
    assert_eq!(engine.slots_used(), 2);
    let steps: Vec<FlowInfo> = (0..3)
        .flat_map(|slot| engine.flows_in(slot..slot + 1).collect::<Vec<_>>())
        .collect();
    assert_eq!(steps, engine.flows().collect::<Vec<_>>());
    let asked: Vec<_> = steps
        .iter()
        .map(|flow| (flow.key.inner_port(), flow.client, flow.traffic_class))
        .collect();
    let inner = Port::Inner;
    assert_eq!(
        asked,
        [(5000, inner, 0), (5001, inner, 0xb8)],
        "without ECN"
    );
}

#[test]
fn what_is_not_tracked_is_left_alone() {
    let policies = policies(RULES);
    let mut memory = Box::new(Memory::new());
    let config = Config::new([1, 2]);
    let mut engine = Engine::new(memory.as_storage(), config, policies.clone()).expect("memory");
    let verdict = open(&mut engine, 5000, 46 << 2);
    assert_eq!(verdict, Verdict::Pass(PassReason::Policy));
    assert_eq!(engine.flows().count(), 0);
    assert_eq!(hits(&policies), [("voice", 1), ("web", 0), (DEFAULT, 0)]);
}

#[test]
fn queues_count_together() {
    let policies = policies(RULES);
    for _ in 0..2 {
        let mut memory = Box::new(Memory::new());
        let config = Config::new([1, 2]);
        let mut engine =
            Engine::new(memory.as_storage(), config, policies.clone()).expect("memory");
        let _ = open(&mut engine, 5000, 0);
    }
    assert_eq!(hits(&policies), [("voice", 0), ("web", 2), (DEFAULT, 0)]);
}

#[test]
fn live_flows_are_led_over_to_other_rules() {
    let old = policies(RULES);
    let mut memory = Box::new(Memory::new());
    let config = Config::new([1, 2]);
    let mut engine = Engine::new(memory.as_storage(), config, old.clone()).expect("memory");
    let _ = open(&mut engine, 5000, 0);

    let text = "[[policy]]\nname = \"web\"\nservice = \"bypass\"\ncontroller = \"cubic\"\n";
    let settings = Settings::parse(text).unwrap_or_else(|problems| panic!("{problems}"));
    let new = old.reload(&settings);
    assert_eq!(hits(&new), [("web", 1), (DEFAULT, 0)], "under its name");
    let before = core::mem::replace(engine.policy_mut(), new.clone());
    let flow = only_flow(&engine);
    let subject = Subject::new(flow.key, Port::Inner, 0);
    assert_eq!(new.find(&subject).name(), "web");
    let change = new.change(&before, &subject);
    let now = Instant::from_millis(2);
    change.apply(&mut engine, flow.id, now).expect("it lives");

    let flow = only_flow(&engine);
    assert_eq!(flow.inner_to_outer.service, Service::Bypass);
    assert_eq!(flow.outer_to_inner.service, Service::Bypass);
    assert_eq!(flow.inner_to_outer.controller, Controller::Cubic);
    let _ = open(&mut engine, 5001, 0);
    assert_eq!(hits(&new), [("web", 2), (DEFAULT, 0)]);
    assert_eq!(hits(&old), [("voice", 0), ("web", 2), (DEFAULT, 0)]);
}
