//! Lines and their answers.
#![allow(
    clippy::cast_possible_truncation,
    clippy::string_slice,
    reason = "short packets, and ASCII"
)]

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::boxed::Box;
use std::string::{String, ToString};
use std::vec;

use localack_core::wire::{self, Flags, HeaderSpec, Sum};
use localack_core::{
    Config, Instant, PacketMeta, Port, SeqNum, Sink, SinkFull, StaticStorage, Transmit, Verdict,
};
use serde_json::{Value, json};

use super::writer::Text;
use super::{Surroundings, answer};
use crate::abi::Serving;
use crate::rules::{Ruled, Rules};

type Memory = StaticStorage<8, 16, 64, { 64 * 1536 }>;

/// Takes everything, or nothing.
struct Hole(bool);

impl Sink for Hole {
    fn transmit(&mut self, _: Transmit<'_>) -> Result<(), SinkFull> {
        if self.0 { Ok(()) } else { Err(SinkFull) }
    }
}

struct World {
    engine: Ruled<'static>,
    around: Surroundings<'static>,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let memory = Box::leak(Box::new(Memory::new()));
        let config = Config::new([1, 2]);
        let rules = Box::leak(Box::new(Rules::new()));
        assert!(rules.serve_rest(&Serving {
            adopt: 1,
            inner_to_outer: 2,
            ..Serving::default()
        }));
        Self {
            engine: Ruled::new(memory.as_storage(), config, rules).unwrap(),
            around: Surroundings {
                devices: [b"lan0", b"sa\"t0"],
                since: Instant::ZERO,
                draining: false,
                slots: 8,
                blocks: 64,
                block: 1536,
            },
            now: Instant::from_millis(5),
        }
    }

    fn ask_in(&mut self, line: &str, room: usize) -> String {
        let mut octets = vec![0; room];
        let around = &mut self.around;
        let sink = &mut Hole(true);
        let used = answer(
            &mut self.engine,
            around,
            line.as_bytes(),
            &mut octets,
            self.now,
            sink,
        );
        String::from_utf8(octets[..used].to_vec()).unwrap()
    }

    fn ask(&mut self, line: &str) -> Value {
        let answer = self.ask_in(line, 1 << 16);
        assert!(answer.ends_with("}\n"), "{answer}");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    fn segment(&mut self, port: Port, seq: u32, ack: u32, flags: Flags, payload: usize) {
        let near: (IpAddr, u16) = ("2001:db8::1".parse().unwrap(), 40_000);
        let far: (IpAddr, u16) = ("2001:db8:0:1::".parse().unwrap(), 443);
        let ((src, src_port), (dst, dst_port)) = match port {
            Port::Inner => (near, far),
            Port::Outer => (far, near),
        };
        let payload = vec![7; payload];
        let mut sum = Sum::new();
        sum.add_bytes(&payload);
        let spec = HeaderSpec {
            src,
            dst,
            src_port,
            dst_port,
            seq: SeqNum::new(seq),
            ack: SeqNum::new(ack),
            flags,
            window: 8000,
            urgent: 0,
            timestamps: None,
            sack: &[],
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            dont_fragment: true,
        };
        let header = wire::emit(&spec, payload.len() as u32, sum).unwrap();
        let mut packet = header.as_slice().to_vec();
        packet.extend(payload);
        let meta = PacketMeta::default();
        let verdict = self
            .engine
            .ingest(port, self.now, &mut packet, meta, &mut Hole(true));
        assert!(!matches!(verdict, Verdict::Drop(_)), "{verdict:?}");
    }

    /// A connection that owes 500 octets.
    fn owing() -> Self {
        let mut world = Self::new();
        world.segment(Port::Inner, 1000, 0, Flags::SYN, 0);
        world.segment(Port::Outer, 5000, 1001, Flags::SYN.union(Flags::ACK), 0);
        world.segment(Port::Inner, 1001, 5001, Flags::ACK, 0);
        world.segment(Port::Inner, 1001, 5001, Flags::ACK, 500);
        world.segment(Port::Outer, 5001, 1501, Flags::ACK, 0);
        world.segment(Port::Inner, 1501, 5001, Flags::ACK, 500);
        world
    }
}

#[test]
fn status_says_what_there_is() {
    let answer = World::owing().ask(r#" {"v": 1, "id": 77, "request": "status"} "#);
    assert_eq!((&answer["v"], &answer["id"]), (&json!(1), &json!(77)));
    let status = &answer["answer"]["status"];
    assert_eq!(status["inner"], "lan0");
    assert_eq!(status["outer"], "sa?t0");
    assert_eq!(status["state"], "running");
    assert_eq!(status["uptime_ms"], 5);
    assert_eq!(status["pool"], json!({"octets": 64 * 1536, "used": 1536}));
    let totals = &status["totals"];
    assert_eq!(
        (&totals["debt"], &totals["flows"]["local_ack"]),
        (&json!(500), &json!(1))
    );
}

#[test]
fn flows_are_listed_and_changed_by_either_name() {
    let mut world = World::owing();
    let answer = world.ask(r#"{"v":1,"request":{"flows":{"sort":"rate","limit":5}}}"#);
    let flow = &answer["answer"]["flows"]["flows"][0];
    assert_eq!(flow["inner"], "[2001:db8::1]:40000");
    assert_eq!(flow["outer"], "[2001:db8:0:1::]:443");
    assert_eq!(
        (&flow["client"], &flow["state"]),
        (&json!("inner"), &json!("open"))
    );
    let outward = &flow["inner_to_outer"];
    assert_eq!(
        (&outward["debt"], &outward["mode"]),
        (&json!(500), &json!("local-ack"))
    );
    assert_eq!(flow["outer_to_inner"]["reason"]["name"], "bypass-service");
    let id = flow["id"].as_str().unwrap();
    for name in [
        json!({"id": id}),
        json!({"ends": [flow["outer"], flow["inner"]]}),
    ] {
        let request = json!({"flow": {
            "flow": name, "direction": "inner-to-outer", "service": "bypass"}});
        let answer = world.ask(&json!({"v": 1, "request": request}).to_string());
        let set = &answer["answer"]["flow"];
        assert_eq!(set["directions"], json!(["inner-to-outer"]));
        assert_eq!(
            (&set["id"], &set["service"]),
            (&json!(id), &json!("bypass"))
        );
    }
    let answer = world.ask(r#"{"v":1,"request":"flows"}"#);
    assert_eq!(answer["error"]["code"], "bad-request");
    let answer = world.ask(r#"{"v":1,"request":{"flows":{}}}"#);
    let outward = &answer["answer"]["flows"]["flows"][0]["inner_to_outer"];
    assert_eq!(outward["service"], "bypass");
    let gone = r#"{"v":1,"request":{"flow":{"flow":{"id":"0:1.99"},"service":"snoop"}}}"#;
    assert_eq!(world.ask(gone)["error"]["code"], "unknown-flow");
}

#[test]
fn a_drain_is_over_when_nothing_is_owed_and_a_reset_says_what_is_lost() {
    let mut world = World::owing();
    assert_eq!(world.ask(r#"{"v":1,"request":"drain"}"#)["answer"], "drain");
    let state = |world: &mut World| {
        world.ask(r#"{"v":1,"request":"status"}"#)["answer"]["status"]["state"].to_string()
    };
    assert_eq!(state(&mut world), "\"draining\"");
    let answer = world.ask(r#"{"v":1,"request":"reset"}"#);
    assert_eq!(
        answer["answer"]["reset"],
        json!({"flows": 1, "octets": 500, "owing": 0})
    );
    assert_eq!(state(&mut world), "\"drained\"");
    let stats = world.ask(r#"{"v":1,"request":"stats"}"#);
    let counters = stats["answer"]["stats"]["counters"]
        .as_array()
        .unwrap()
        .clone();
    let lost = json!({"group": "engine", "name": "octets-lost", "count": 500});
    assert!(counters.contains(&lost), "{counters:?}");
    let passed = json!({"group": "pass", "name": "handshake", "number": 9, "count": 3});
    assert!(counters.contains(&passed), "{counters:?}");
}

#[test]
fn what_is_no_request_is_told_so() {
    let mut world = World::new();
    for (line, code) in [
        ("", "bad-request"),
        ("{}", "bad-request"),
        ("{\"v\":1,\"request\":\"status\"} x", "bad-request"),
        ("{\"v\":1,\"request\":\"sta", "bad-request"),
        ("{\"v\":1,\"request\":\"status\",\"more\":1}", "bad-request"),
        (
            "{\"v\":99999999999999999999,\"request\":\"status\"}",
            "bad-request",
        ),
        ("{\"v\":2,\"request\":\"status\"}", "version"),
        ("{\"v\":2,\"request\":{\"unheard\":of}}", "version"),
        ("{\"v\":1,\"request\":\"policy-list\"}", "refused"),
        (
            r#"{"v":1,"request":{"set-rules":{"revision":9,"settings":"","default":{}}}}"#,
            "busy",
        ),
        (
            r#"{"v":1,"request":{"flow":{"flow":{"id":"0:1.1"},"arrangement":"x"}}}"#,
            "unknown-arrangement",
        ),
        (
            r#"{"v":1,"request":{"flow":{"flow":{"id":"1:1.1"},"service":"snoop"}}}"#,
            "bad-request",
        ),
        (
            r#"{"v":1,"request":{"flow":{"flow":{"ends":["1.2.3.4:5"]},"service":"snoop"}}}"#,
            "bad-request",
        ),
        (
            r#"{"v":1,"request":{"flow":{"flow":{"id":"0:1.1"}}}}"#,
            "bad-request",
        ),
    ] {
        assert_eq!(world.ask(line)["error"]["code"], code, "{line}");
    }
    assert_eq!(world.ask(r#"{"id":3,"v":1,"request":7}"#)["id"], 3);
    // Every beginning of a request is none, and too little room is no answer.
    let line = r#"{"v":1,"request":{"flow":{"flow":{"id":"0:1.1"},"service":"snoop"}}}"#;
    for end in 0..line.len() {
        assert_eq!(world.ask(&line[..end])["error"]["code"], "bad-request");
    }
    let whole = world.ask_in(line, 1000).len();
    for room in 0..whole {
        assert_eq!(world.ask_in(line, room), "", "{room}");
    }
}

#[test]
fn ends_are_written_as_they_are_read() {
    for text in [
        "::",
        "::1",
        "1::",
        "1:2:3:4:5:6:7:8",
        "1:0:0:4::8",
        "0:2::",
        "::7:8",
        "2001:db8::a00:0:1",
        "ff02::fb",
        "1:0:3:0:5:0:7:0",
        "fe80::1:2:3:ffff",
    ] {
        let address: Ipv6Addr = text.parse().unwrap();
        let mut room = [0; 80];
        let mut written = Text::new(&mut room);
        written.end(address.into(), 65_535);
        let length = written.length();
        let expected = SocketAddr::new(address.into(), 65_535).to_string();
        assert_eq!(&room[..length], std::format!("\"{expected}\"").as_bytes());
    }
}

/// A line that sets rules; those that it takes the place of are of this revision.
fn set_rules(revision: u64, policies: Value, arrangements: Value) -> String {
    let default =
        json!({"inner_to_outer": "local-ack", "controller": "provisioned", "rate": 500_000});
    json!({"v": 1, "request": {"set-rules": {
        "revision": revision, "settings": "one \"line\"\nand\u{1}\\ \u{e9}", "default": default,
        "arrangements": arrangements, "policies": policies}}})
    .to_string()
}

fn alone() -> Value {
    json!([
        {"name": "other", "serving": {}, "rules": [{"outer": "0a000000/8"}]},
        {"name": "alone", "serving": {"inner_to_outer": "bypass"},
         "rules": [{"outer": "20010db8000000010000000000000000/64", "inner_ports": [40_000, 40_000],
                    "dscp": [0], "from": "inner"}]}])
}

#[test]
fn rules_hold_for_new_connections_and_for_those_under_way() {
    for when in 0..4 {
        let mut world = World::new();
        let answer = world.ask(&set_rules(0, alone(), json!([])));
        let applied = json!({"revision": 1, "policies": 2, "flows_changed": 0, "flows_partial": 0});
        assert_eq!(answer["answer"]["set-rules"], applied, "{answer}");
        let steps: [(Port, u32, u32, Flags); 3] = [
            (Port::Inner, 1000, 0, Flags::SYN),
            (Port::Outer, 5000, 1001, Flags::SYN.union(Flags::ACK)),
            (Port::Inner, 1001, 5001, Flags::ACK),
        ];
        for (step, (port, seq, ack, flags)) in (0..).zip(steps) {
            if step == when {
                world.ask(&set_rules(1, json!([]), json!([])));
            }
            world.segment(port, seq, ack, flags, 0);
        }
        if when == 3 {
            let answer = world.ask(&set_rules(1, json!([]), json!([])));
            assert_eq!(
                answer["answer"]["set-rules"]["flows_changed"], 1,
                "{answer}"
            );
        }
        world.segment(Port::Inner, 1001, 5001, Flags::ACK, 500);
        world.segment(Port::Outer, 5001, 1501, Flags::ACK, 0);
        world.segment(Port::Inner, 1501, 5001, Flags::ACK, 500);
        let answer = world.ask(r#"{"v":1,"request":{"flows":{}}}"#);
        let flow = &answer["answer"]["flows"]["flows"][0];
        assert_eq!(
            flow["inner_to_outer"]["service"], "local-ack",
            "{when}: {answer}"
        );
        assert_eq!(flow["inner_to_outer"]["debt"], 500, "{when}: {answer}");
    }
}

#[test]
fn rules_are_told_with_what_they_were_made_from_and_how_often_they_were_met() {
    let mut world = World::new();
    let thin =
        json!([{"number": 3, "name": "thin", "ack_interval_us": 20_000, "service": "snoop"}]);
    let unserved = json!([{"name": "alone", "rules": [{}]}]);
    assert_eq!(
        world.ask(&set_rules(0, unserved, thin.clone()))["error"]["code"],
        "bad-policy",
        "a policy says how it serves"
    );
    world.ask(&set_rules(0, alone(), thin.clone()));
    world.segment(Port::Inner, 1000, 0, Flags::SYN, 0);
    world.segment(Port::Outer, 5000, 1001, Flags::SYN.union(Flags::ACK), 0);
    world.segment(Port::Inner, 1001, 5001, Flags::ACK, 0);
    let rules =
        |world: &mut World| world.ask(r#"{"v":1,"request":"rules"}"#)["answer"]["rules"].clone();
    let told = rules(&mut world);
    assert_eq!(told["settings"], "one \"line\"\nand\u{1}\\ \u{e9}");
    assert_eq!((&told["revision"], &told["rules"]), (&json!(1), &json!(2)));
    let hits = json!([{"name": "other", "hits": 0}, {"name": "alone", "hits": 1}]);
    assert_eq!((&told["policies"], &told["hits"]), (&hits, &json!(0)));
    let arranged = json!([{"number": 3, "name": "thin", "directions": 0}]);
    assert_eq!(told["arrangements"], arranged);
    // What is told of the default means the same when it is given.
    let again = json!({"v": 1, "request": {"set-rules": {
        "revision": 1, "settings": "", "default": told["default"], "arrangements": thin,
        "policies": [{"name": "alone", "serving": told["default"], "rules": [{}]}]}}});
    let answer = world.ask(&again.to_string());
    assert_eq!(answer["answer"]["set-rules"]["policies"], 1, "{answer}");
    let now = rules(&mut world);
    assert_eq!(now["default"], told["default"]);
    assert_eq!(now["policies"], json!([{"name": "alone", "hits": 1}]));

    // A flow has the arrangement that it is given, until there is none of the name.
    let give = |name: &str, more: &str| {
        std::format!(
            r#"{{"v":1,"request":{{"flow":{{"flow":{{"ends":["[2001:db8::1]:40000","[2001:db8:0:1::]:443"]}},
            "direction":"outer-to-inner","arrangement":"{name}"{more}}}}}}}"#
        )
    };
    assert_eq!(
        world.ask(&give("thin", r#","service":"bypass""#))["error"]["code"],
        "bad-request"
    );
    assert_eq!(
        world.ask(&give("fat", ""))["error"]["code"],
        "unknown-arrangement"
    );
    assert_eq!(
        world.ask(&give("thin", ""))["answer"]["flow"]["arrangement"],
        "thin"
    );
    let inward = |world: &mut World| {
        let answer = world.ask(r#"{"v":1,"request":{"flows":{}}}"#);
        answer["answer"]["flows"]["flows"][0]["outer_to_inner"].clone()
    };
    let direction = inward(&mut world);
    assert_eq!(
        (&direction["arrangement"], &direction["service"]),
        (&json!("thin"), &json!("snoop"))
    );
    assert_eq!(rules(&mut world)["arrangements"][0]["directions"], 1);
    let status = world.ask(r#"{"v":1,"request":"status"}"#);
    let status = &status["answer"]["status"];
    assert_eq!(
        (&status["policies"], &status["arrangements"]),
        (&json!(1), &json!(1))
    );
    // It follows what becomes of the arrangement.
    let passing = json!([{"number": 3, "name": "thin", "service": "local-ack"}]);
    world.ask(&set_rules(2, json!([]), passing));
    let direction = inward(&mut world);
    assert_eq!(direction["arrangement"], "thin");
    assert_eq!(direction["service"], "local-ack");
    world.ask(&set_rules(3, json!([]), json!([])));
    let direction = inward(&mut world);
    assert_eq!(
        (&direction["arrangement"], &direction["service"]),
        (&Value::Null, &json!("bypass"))
    );
}

#[test]
fn rules_that_make_no_sense_change_nothing() {
    let mut world = World::new();
    world.ask(&set_rules(0, alone(), json!([])));
    let one = |rule: Value| json!([{"name": "a", "serving": {}, "rules": [rule]}]);
    for policies in [
        one(json!({"outer": "0a000000/33"})),
        one(json!({"outer": "0a00000/8"})),
        one(json!({"outer": "0A000000/8"})),
        one(json!({"outer": "0a000000"})),
        one(json!({"outer": "0a000000/8", "inner": "20010db8000000000000000000000000/32"})),
        one(json!({"outer_ports": [9, 8]})),
        one(json!({"outer_ports": [9]})),
        one(json!({"outer_ports": [1, 2, 3]})),
        one(json!({"outer_ports": [1, 65_536]})),
        one(json!({"dscp": [64]})),
        one(json!({"from": "lan"})),
        one(json!({"unheard": 1})),
        json!([{"name": "", "serving": {}, "rules": []}]),
        json!([{"name": "a b", "serving": {}, "rules": []}]),
        json!([{"name": "x".repeat(65), "serving": {}, "rules": []}]),
        json!([{"name": "a", "serving": {"controller": "provisioned"}, "rules": [{}]}]),
        json!([{"name": "a", "serving": {"ack_delay_us": 10_001}, "rules": [{}]}]),
        json!([{"name": "a", "serving": {}, "rules": vec![json!({}); 257]}]),
        Value::Array(vec![json!({"name": "a", "serving": {}, "rules": []}); 65]),
    ] {
        let answer = world.ask(&set_rules(1, policies.clone(), json!([])));
        assert_eq!(answer["error"]["code"], "bad-policy", "{policies}");
    }
    for arrangements in [
        json!([{"number": 0, "name": "a"}]),
        json!([{"number": 16, "name": "a"}]),
        json!([{"number": 1}]),
        json!([{"number": 1, "name": "a", "ack_interval_us": 500_001}]),
    ] {
        let answer = world.ask(&set_rules(1, json!([]), arrangements.clone()));
        assert_eq!(answer["error"]["code"], "bad-policy", "{arrangements}");
    }
    let long = "x".repeat(24_577);
    let line = json!({"v": 1, "request": {"set-rules": {
        "revision": 1, "settings": long, "default": {}}}});
    assert_eq!(world.ask(&line.to_string())["error"]["code"], "bad-policy");
    let answer = world.ask(r#"{"v":1,"request":"rules"}"#);
    assert_eq!(answer["answer"]["rules"]["revision"], 1);
    assert_eq!(answer["answer"]["rules"]["policies"][1]["name"], "alone");
}

#[test]
fn what_is_documented_is_understood() {
    const TEXT: &str = include_str!("../../../../localack-tun/docs/control.md");
    let mut world = World::new();
    for revision in 0..3 {
        world.ask(&set_rules(revision, json!([]), json!([])));
    }
    let mut shown = 0;
    for block in TEXT.split("```json kernel-request\n").skip(1) {
        let line = block.split("```").next().unwrap().replace('\n', " ");
        let answer = world.ask(&line);
        assert!(answer["answer"].is_object(), "{answer}");
        shown += 1;
    }
    assert_eq!(shown, 2);
    let told = world.ask(r#"{"v":1,"request":"rules"}"#)["answer"]["rules"].clone();
    let keys = |value: &Value| -> std::vec::Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let answer = TEXT.split("```json kernel-answer\n").nth(1).unwrap();
    let answer: Value = serde_json::from_str(answer.split("```").next().unwrap()).unwrap();
    let expected = &answer["answer"]["rules"];
    assert_eq!(keys(&told), keys(expected));
    assert_eq!(told["default"], expected["default"]);
    assert_eq!(keys(&told["policies"][0]), keys(&expected["policies"][0]));
    assert_eq!(
        keys(&told["arrangements"][0]),
        keys(&expected["arrangements"][0])
    );
}
