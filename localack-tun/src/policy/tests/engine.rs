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

const ARRANGED: &str = r#"
    [[arrangement]]
    name = "radio"
    service = "snoop"
    [[arrangement]]
    name = "thin"
    ack_interval = "20ms"
    [default]
    arrangement = "radio"
    reverse_arrangement = "thin"
"#;

/// The service and the arrangement's name of each direction of the only flow.
fn arranged(engine: &mut Engine<'_, Policies>) -> [(Service, Option<String>); 2] {
    let flow = only_flow(engine);
    let arrangements = engine.policy_mut().arrangements();
    Direction::BOTH.map(|direction| {
        let info = flow.direction(direction);
        let name = arrangements.name(info.shaping);
        (info.service, name.map(str::to_owned))
    })
}

/// Lets other rules hold, for the flows that there are, too.
fn switch(engine: &mut Engine<'_, Policies>, text: &str, now: Instant) {
    let settings = Settings::parse(text).unwrap_or_else(|problems| panic!("{problems}"));
    let new = engine.policy_mut().reload(&settings);
    let old = core::mem::replace(engine.policy_mut(), new.clone());
    new.arrangements().tell(engine, now);
    let flow = only_flow(engine);
    let change = new.change_of_flow(&old, &flow);
    change.apply(engine, flow.id, now).expect("it lives");
    let flow = only_flow(engine);
    assert!(change.is_made(&flow));
    assert!(new.change_of_flow(&new, &flow).is_empty());
}

#[test]
fn a_connection_has_the_arrangements_of_its_rule() {
    let mut memory = Box::new(Memory::new());
    let policies = policies(ARRANGED);
    let config = Config::new([1, 2]);
    let mut engine = Engine::new(memory.as_storage(), config, policies.clone()).expect("memory");
    let now = Instant::from_millis(2);
    policies.arrangements().tell(&mut engine, now);
    let _ = open(&mut engine, 5000, 0);
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(
        arranged(&mut engine),
        [
            (Service::Snoop, some("radio")),
            (Service::Bypass, some("thin"))
        ]
    );
    let thin = only_flow(&engine).outer_to_inner.shaping;
    let interval = |engine: &Engine<'_, Policies>| engine.shaping(thin).ack_interval.as_millis();
    assert_eq!(interval(&engine), 20);

    // What a name means changes, for the flow too.
    let other = ARRANGED
        .replace("20ms", "30ms")
        .replace("snoop", "local-ack");
    switch(&mut engine, &other, now);
    assert_eq!(interval(&engine), 30);
    assert_eq!(arranged(&mut engine)[0], (Service::LocalAck, some("radio")));

    // One by order: it goes on under its name, in whatever order they are, and as long as there is one.
    let flow = only_flow(&engine).id;
    let radio = only_flow(&engine).inner_to_outer.shaping;
    let given = DirectionChange::arranged(Some(Service::Bypass), Some(thin));
    given
        .apply(&mut engine, flow, Direction::InnerToOuter, now)
        .expect("it lives");
    assert_eq!(arranged(&mut engine)[0], (Service::Bypass, some("thin")));
    let reordered = "[[arrangement]]\nname = \"new\"\n[[arrangement]]\nname = \"thin\"\n";
    switch(&mut engine, reordered, now);
    assert_eq!(
        arranged(&mut engine),
        [(Service::Bypass, None), (Service::Bypass, None)],
        "the rule has none now, and the same service as before"
    );
    assert_eq!(interval(&engine), 0);
    assert_eq!(
        engine.shaping(radio),
        localack_core::Shaping::NONE,
        "nothing is left of what is gone"
    );
}

#[test]
fn an_arrangement_by_order_stays_as_long_as_there_is_one_of_its_name() {
    let rules = |arrangements: &[&str]| -> String {
        let tables = arrangements
            .iter()
            .map(|name| format!("[[arrangement]]\nname = \"{name}\"\nmss_clamp = 1000\n"));
        tables.collect()
    };
    let mut memory = Box::new(Memory::new());
    let policies = policies(&rules(&["a", "b"]));
    let config = Config::new([1, 2]);
    let mut engine = Engine::new(memory.as_storage(), config, policies.clone()).expect("memory");
    let now = Instant::from_millis(2);
    let _ = open(&mut engine, 5000, 0);
    let flow = only_flow(&engine).id;
    let (b, service) = policies.arrangements().find("b").expect("there is one");
    let given = DirectionChange::arranged(service, Some(b));
    given
        .apply(&mut engine, flow, Direction::OuterToInner, now)
        .expect("it lives");
    let name = |engine: &mut Engine<'_, Policies>| arranged(engine)[1].1.clone();
    switch(&mut engine, &rules(&["c", "b"]), now);
    assert_eq!(name(&mut engine).as_deref(), Some("b"));
    switch(&mut engine, &rules(&["d", "c"]), now);
    assert_eq!(name(&mut engine), None);
    switch(&mut engine, &rules(&["b", "d", "c"]), now);
    assert_eq!(name(&mut engine), None, "another one of that name");
}
